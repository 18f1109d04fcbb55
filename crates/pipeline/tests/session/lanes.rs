//! Several small windows or frames at once: results are those of one after another, in order, and none is forgotten.

use framelift_engine::reference::ReferenceEngine;
use framelift_engine::{Engine, Precision};
use framelift_frame::{Frame, Size};
use framelift_nets::Reach;
use framelift_pipeline::{Model, Offload, Session, SessionError, SessionOptions};

use crate::fake::{Fake, film, first_sample};
use crate::{SMALL, Told, options, told};

/// Windows or frames that the engine below is worth working on at once.
const LANES: usize = 3;

fn model(fake: Fake, precision: Precision) -> Model {
    let pixels = SMALL.pixels() as usize;
    let together_px = (1..).find(|px| ReferenceEngine::new().with_stacks(*px).layout(precision).lanes(pixels) == LANES);
    fake.model_on(ReferenceEngine::new().with_stacks(together_px.unwrap()), precision)
}

fn run(model: &Model, options: &SessionOptions, shots: &[Vec<Frame>], lanes: bool) -> Result<Told, SessionError> {
    let options = SessionOptions { may_hold_back: lanes, ..options.clone() };
    let plan = options.plan(model, SMALL, None)?;
    assert_eq!(plan.lanes, if lanes { LANES as u64 } else { 1 });
    told(model, &options, &shots.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

/// Shots of a film.
fn shots(lengths: &[usize]) -> Vec<Vec<Frame>> {
    let mut frames = film(SMALL, lengths.iter().sum()).into_iter();
    lengths.iter().map(|&length| frames.by_ref().take(length).collect()).collect()
}

#[test]
fn results_are_those_of_one_after_another() {
    for reach in [Reach::Window, Reach::Frame] {
        for lengths in [&[1][..], &[5], &[30], &[3, 1, 9, 2, 14, 4, 4], &[7, 7, 7], &[2, 40]] {
            let shots = shots(lengths);
            for (body, context, fade) in [(4, 2, 0), (4, 2, 2), (5, 9, 3), (100, 3, 0)] {
                let mut options = options(body, context, Offload::Auto);
                options.windows.fade = Some(fade);
                for precision in [Precision::F32, Precision::Bf16] {
                    let model = model(Fake::new(reach, 2), precision);
                    let due = run(&model, &options, &shots, false).unwrap();
                    let told = run(&model, &options, &shots, true).unwrap();
                    let what = format!("{reach:?}, {lengths:?} in {body} + {context}, fade {fade}, {precision}");
                    assert!(told.frames == due.frames, "{what}");
                    assert_eq!(told.windows, due.windows, "{what}");
                    assert_eq!(told.notices, due.notices, "{what}");
                }
            }
        }
    }
}

#[test]
fn what_overflows_is_run_again_by_itself() {
    let shots = shots(&[9, 3, 8, 1, 6]);
    let options = options(4, 1, Offload::Auto);
    for reach in [Reach::Window, Reach::Frame] {
        for broken in 0..27 {
            let fake = Fake { overflows: Some(first_sample(broken)), ..Fake::new(reach, 2) };
            let model = model(fake, Precision::Bf16);
            let due = run(&model, &options, &shots, false).unwrap();
            let told = run(&model, &options, &shots, true).unwrap();
            assert!(told.frames == due.frames, "{reach:?}, frame {broken}");
            assert_eq!(told.notices, due.notices, "{reach:?}, frame {broken}");
        }
    }
}

#[test]
fn what_cannot_be_made_ends_the_session_with_frame_and_time() {
    let shots = shots(&[9, 3, 8]);
    for reach in [Reach::Window, Reach::Frame] {
        for broken in [0, 7, 10, 19] {
            let fake = Fake { fails: Some(first_sample(broken)), ..Fake::new(reach, 1) };
            let failed = |lanes| {
                let ended = run(&model(fake, Precision::F32), &options(4, 0, Offload::Auto), &shots, lanes);
                match ended.map(|told| told.frames.len()) {
                    Err(SessionError::NonFinite { index, time, .. }) => (index, time),
                    other => panic!("{reach:?}: frame {broken}: {other:?}"),
                }
            };
            assert_eq!(failed(true), failed(false), "{reach:?}, frame {broken}");
        }
    }
}

#[test]
fn a_session_that_may_not_hold_back_ends_each_shot() {
    let model = model(Fake::new(Reach::Window, 2), Precision::F32);
    let mut session = Session::new(model, options(4, 1, Offload::Auto));
    for shot in shots(&[3, 5]) {
        let mut results = 0;
        for frame in &shot {
            results += session.push(frame.clone()).unwrap().len();
        }
        assert_eq!(results + session.cut().unwrap().len(), shot.len());
    }
}

#[test]
fn there_are_as_many_lanes_as_fit() {
    let size = Size::new(60, 40);
    let fake = Fake { values_per_pixel: 400, ..Fake::new(Reach::Window, 2) };
    let model = fake.model_on(ReferenceEngine::new().with_stacks(1 << 20), Precision::F32);
    let plan = |memory_bytes: u64| {
        let options =
            SessionOptions { memory_bytes: Some(memory_bytes), may_hold_back: true, ..SessionOptions::default() };
        options.plan(&model, size, None)
    };
    let roomy = plan(1 << 30).unwrap();
    assert_eq!(roomy.lanes, 8);
    let mut before = roomy.lanes;
    for mib in (5..400).rev() {
        let plan = plan(mib << 20).unwrap();
        assert!(plan.memory_bytes <= mib << 20 && plan.lanes <= before);
        // Windows do not become shorter for it.
        assert!(plan.lanes == 1 || plan.window.unwrap().body == roomy.window.unwrap().body);
        before = plan.lanes;
    }
    assert_eq!(before, 1);
}
