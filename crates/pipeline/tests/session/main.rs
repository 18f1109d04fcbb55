//! Sessions: whole and in windows, in memory and in a scratch file, in one precision and the other, padded and in tiles.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod fake;
mod lanes;

use std::sync::Arc;

use framelift_engine::{Engine, Precision};
use framelift_frame::{Frame, Size};
use framelift_nets::{MemoryStore, Reach};
use framelift_pipeline::{
    DEFAULT_BODY, DEFAULT_CONTEXT, DEFAULT_FADE, Fade, Model, Offload, STILL_WINDOW, Session, SessionError,
    SessionOptions, Sink, WindowOptions,
};
use framelift_shots::windows;

use crate::fake::{Fake, film, first_sample};

const SMALL: Size = Size::new(6, 5);
const ROOMY: u64 = 1 << 30;

fn options(body: u64, context: u64, offload: Offload) -> SessionOptions {
    SessionOptions {
        windows: WindowOptions { body: Some(body), context: Some(context), offload, ..WindowOptions::default() },
        memory_bytes: Some(ROOMY),
        ..SessionOptions::default()
    }
}

/// Everything a session gives for shots of frames.
fn run(model: &Model, options: &SessionOptions, shots: &[&[Frame]]) -> Result<Vec<Frame>, SessionError> {
    let mut session = Session::new(model.clone(), options.clone());
    let mut results = Vec::new();
    for shot in shots {
        results.extend(session.cut()?);
        for frame in *shot {
            results.extend(session.push(frame.clone())?);
        }
    }
    results.extend(session.cut()?);
    Ok(results)
}

/// The same by hand: the network over each window of the grid.
fn by_hand(fake: Fake, precision: Precision, shot: &[Frame], body: u64, context: u64) -> Vec<Frame> {
    by_hand_fading(fake, precision, shot, (body, context), 0)
}

/// The same with windows that fade into the next over `fade` frames.
fn by_hand_fading(
    fake: Fake,
    precision: Precision,
    shot: &[Frame],
    (body, context): (u64, u64),
    fade: u64,
) -> Vec<Frame> {
    let model = fake.model(precision);
    let engine = model.engine();
    let mut results = Vec::new();
    let mut before: Vec<Frame> = Vec::new();
    for window in windows(shot.len() as u64, body, context) {
        let seen = &shot[window.first as usize..window.end as usize];
        let inputs: Vec<_> = seen.iter().map(|frame| engine.upload(frame).unwrap()).collect();
        let keep = window.keep();
        let end = (keep.end + fade).min(inputs.len() as u64);
        let mut made = Vec::new();
        let mut emit = |tensor| {
            let from = &shot[window.body.start as usize + made.len()];
            made.push(engine.download(&tensor, from.time, from.duration_ticks).unwrap());
            Ok(())
        };
        model.network().window(&inputs, keep.start as usize..end as usize, &mut MemoryStore::new(), &mut emit).unwrap();
        let after = made.split_off((keep.end - keep.start) as usize);
        for (index, (new, old)) in made.iter_mut().zip(&before).enumerate() {
            let share = (index + 1) as f64 / (before.len() + 1) as f64;
            for (new, old) in new.planes_mut().iter_mut().zip(old.planes()) {
                for (new, &old) in new.samples_mut().iter_mut().zip(old.samples()) {
                    *new = (f64::from(old) + (f64::from(*new) - f64::from(old)) * share).round() as u16;
                }
            }
        }
        results.extend(made);
        before = after;
    }
    results
}

/// The largest difference of a sample.
fn distance(a: &[Frame], b: &[Frame]) -> u16 {
    assert_eq!(a.len(), b.len());
    let samples = |frames: &[Frame]| -> Vec<u16> {
        frames.iter().flat_map(|frame| frame.planes()).flat_map(|plane| plane.samples().to_vec()).collect()
    };
    samples(a).iter().zip(&samples(b)).map(|(a, b)| a.abs_diff(*b)).max().unwrap_or(0)
}

#[test]
fn windows_are_the_networks_own_whatever_waits_where() {
    let fake = Fake::new(Reach::Window, 2);
    for precision in [Precision::F32, Precision::Bf16] {
        let model = fake.model(precision);
        for (body, context) in [(0, 3), (1, 0), (1, 2), (4, 1), (5, 9), (100, 12)] {
            for count in [1, 2, 3, 5, 9, 14, 23] {
                let shot = film(SMALL, count);
                let due = by_hand(fake, precision, &shot, body, context);
                assert_eq!(due.len(), count);
                for offload in [Offload::Never, Offload::Auto, Offload::Always] {
                    let made = run(&model, &options(body, context, offload), &[&shot]).unwrap();
                    assert!(made == due, "{count} frames in {body} + {context}, {offload:?}, {precision}");
                }
            }
        }
    }
}

#[test]
fn frames_keep_their_number_times_and_order() {
    for reach in [Reach::Frame, Reach::Causal { lookahead: 2 }, Reach::Window] {
        let model = Fake::new(reach, 3).model(Precision::F32);
        for count in 0..12 {
            let shot = film(SMALL, count);
            let made = run(&model, &options(4, 2, Offload::Auto), &[&shot]).unwrap();
            let times = |frames: &[Frame]| frames.iter().map(|f| (f.time.ticks, f.duration_ticks)).collect::<Vec<_>>();
            assert_eq!(times(&made), times(&shot), "{reach:?}");
            assert!(made.iter().all(|frame| frame.size() == Size::new(18, 15)));
        }
    }
}

#[test]
fn a_cut_makes_two_runs() {
    let film = film(SMALL, 17);
    for reach in [Reach::Frame, Reach::Causal { lookahead: 1 }, Reach::Window] {
        let model = Fake::new(reach, 2).model(Precision::Bf16);
        let options = options(3, 2, Offload::Auto);
        for at in [1, 2, 3, 8, 16] {
            let (first, second) = film.split_at(at);
            let together = run(&model, &options, &[first, second]).unwrap();
            let apart = [first, second].map(|shot| run(&model, &options, &[shot]).unwrap()).concat();
            assert!(together == apart, "{reach:?} cut at {at}");
            let uncut = run(&model, &options, &[&film]).unwrap();
            assert_eq!(uncut == together, reach == Reach::Frame, "a cut matters where there is recurrence");
        }
    }
}

/// Collects all that a session tells.
#[derive(Default)]
struct Told {
    frames: Vec<Frame>,
    notices: Vec<String>,
    inside: Vec<f64>,
    /// Where windows begin: how many results there were, and how many frames of the shot.
    windows: Vec<(usize, u64)>,
}

impl Sink for Told {
    type Error = SessionError;

    fn frame(&mut self, frame: Frame) -> Result<(), SessionError> {
        self.frames.push(frame);
        Ok(())
    }

    fn notice(&mut self, notice: String) {
        self.notices.push(notice);
    }

    fn inside_window(&mut self, done: f64) -> Result<(), SessionError> {
        self.inside.push(done);
        Ok(())
    }

    fn window(&mut self, shot_frames: u64, _: &Arc<dyn Engine>, _: &Fade) -> Result<(), SessionError> {
        self.windows.push((self.frames.len(), shot_frames));
        Ok(())
    }
}

fn told(model: &Model, options: &SessionOptions, shots: &[&[Frame]]) -> Result<Told, SessionError> {
    let mut session = Session::new(model.clone(), options.clone());
    let mut told = Told::default();
    for shot in shots {
        session.cut_to(&mut told)?;
        shot.iter().try_for_each(|frame| session.push_to(frame.clone(), &mut told))?;
    }
    session.cut_to(&mut told)?;
    session.settle_to(&mut told)?;
    Ok(told)
}

#[test]
fn a_window_that_overflows_is_run_again_in_f32() {
    let fake = Fake { overflows: Some(first_sample(10)), ..Fake::new(Reach::Window, 2) };
    let shot = film(SMALL, 16);
    let (low, full) = ([Precision::Bf16, Precision::F32]).into();
    let sound = Fake { overflows: None, ..fake };
    let (in_low, in_full) = (by_hand(sound, low, &shot, 4, 1), by_hand(sound, full, &shot, 4, 1));
    assert!((0..16).all(|n| in_low[n] != in_full[n]), "the precisions can be told apart");
    for offload in [Offload::Auto, Offload::Always] {
        let told = told(&fake.model(low), &options(4, 1, offload), &[&shot]).unwrap();
        // Frame 10 lies in the body of the third window alone, and in no context.
        let due = [&in_low[..8], &in_full[8..12], &in_low[12..]].concat();
        assert!(told.frames == due);
        let [notice] = &told.notices[..] else { panic!("one notice: {:?}", told.notices) };
        assert!(notice.contains("frame 8") && notice.contains("bf16") && notice.contains("f32"), "{notice}");
        assert!(told.inside.iter().all(|done| (0.0..=1.0).contains(done)) && told.inside.contains(&1.0));
    }
}

#[test]
fn a_shot_that_overflows_goes_on_in_f32_until_the_cut() {
    let fake = Fake { overflows: Some(first_sample(4)), ..Fake::new(Reach::Causal { lookahead: 1 }, 1) };
    let sound = Fake { overflows: None, ..fake };
    let all = film(SMALL, 16);
    let (first, second) = (&all[..9], &all[9..]);
    let any = options(1, 0, Offload::Auto);
    let told = told(&fake.model(Precision::Bf16), &any, &[first, second]).unwrap();
    let low = run(&sound.model(Precision::Bf16), &any, &[first, second]).unwrap();
    let full = run(&sound.model(Precision::F32), &any, &[first, second]).unwrap();
    // The shot in f32 was warmed up with all frames before, so that it is the one that would have been.
    assert!(told.frames[..4] == low[..4] && told.frames[4..9] == full[4..9] && told.frames[9..] == low[9..]);
    assert_eq!(told.notices.len(), 1, "{:?}", told.notices);
    // The last frame of a shot comes out at its end.
    let at_end = Fake { overflows: Some(first_sample(8)), ..sound };
    let made = run(&at_end.model(Precision::Bf16), &any, &[first]).unwrap();
    assert!(made[..8] == low[..8] && made.len() == 9);
}

#[test]
fn a_frame_that_overflows_is_made_again_alone() {
    let fake = Fake { overflows: Some(first_sample(2)), ..Fake::new(Reach::Frame, 2) };
    let sound = Fake { overflows: None, ..fake };
    let shot = film(SMALL, 5);
    let any = options(1, 0, Offload::Auto);
    let made = run(&fake.model(Precision::Bf16), &any, &[&shot]).unwrap();
    let low = run(&sound.model(Precision::Bf16), &any, &[&shot]).unwrap();
    let full = run(&sound.model(Precision::F32), &any, &[&shot]).unwrap();
    assert!(made == [&low[..2], &full[2..3], &low[3..]].concat());
}

#[test]
fn what_overflows_in_f32_too_ends_the_session_with_frame_and_time() {
    let shot = film(SMALL, 12);
    for reach in [Reach::Frame, Reach::Causal { lookahead: 1 }, Reach::Window] {
        let fake = Fake { fails: Some(first_sample(6)), ..Fake::new(reach, 1) };
        for precision in [Precision::F32, Precision::Bf16] {
            let failed = run(&fake.model(precision), &options(3, 0, Offload::Auto), &[&shot]);
            let Err(SessionError::NonFinite { index: 6, time, count: 1 }) = failed else {
                panic!("{reach:?}, {precision}: {failed:?}")
            };
            assert_eq!(time, shot[6].time);
        }
    }
}

#[test]
fn frames_of_any_size_are_padded_and_cropped() {
    let rules = Fake { size_multiple: 4, min_side_px: 8, ..Fake::new(Reach::Window, 2) };
    let free = Fake::new(Reach::Window, 2);
    for size in [Size::new(1, 1), Size::new(9, 3), Size::new(12, 8), Size::new(13, 31)] {
        let shot = film(size, 5);
        let any = options(2, 1, Offload::Auto);
        let made = run(&rules.model(Precision::F32), &any, &[&shot]).unwrap();
        // This network makes each pixel of one pixel's place, so that padding must not show.
        let due = run(&free.model(Precision::F32), &any, &[&shot]).unwrap();
        assert!(made == due, "{size}");
        let plan = any.plan(&rules.model(Precision::F32), size, None).unwrap();
        assert!(plan.padded.width.is_multiple_of(4) && plan.padded.height >= 8);
    }
}

#[test]
fn tiles_show_no_seam() {
    let size = Size::new(380, 230);
    for reach in [Reach::Frame, Reach::Window] {
        let fake = Fake { values_per_pixel: 2000, overflows: Some(0), ..Fake::new(reach, 2) };
        let shot = film(size, 3);
        for precision in [Precision::F32, Precision::Bf16] {
            let model = fake.model(precision);
            let roomy = options(2, 1, Offload::Auto);
            let whole = run(&model, &roomy, &[&shot]).unwrap();
            let tight = SessionOptions {
                memory_bytes: Some(size.pixels() * 1000 * precision.bytes() as u64 + (16 << 20)),
                ..roomy
            };
            let plan = tight.plan(&model, size, None).unwrap();
            assert!(plan.tiles.0 * plan.tiles.1 > 1, "{plan:?}");
            let told = told(&model, &tight, &[&shot]).unwrap();
            assert_eq!(told.frames.len(), 3);
            for (tiled, whole) in told.frames.iter().zip(&whole) {
                for (tiled, whole) in tiled.planes().iter().zip(whole.planes()) {
                    let far = tiled.samples().iter().zip(whole.samples()).map(|(a, b)| a.abs_diff(*b)).max();
                    // Where one tile was made again in f32, the others stay as they were.
                    let close = if precision == Precision::F32 { 2 } else { 600 };
                    assert!(far <= Some(close), "{reach:?}, {precision}: {far:?}");
                }
            }
        }
    }
}

#[test]
fn what_does_not_fit_is_refused_at_the_first_frame() {
    let fake = Fake { values_per_pixel: 1000, ..Fake::new(Reach::Causal { lookahead: 1 }, 2) };
    let frames = film(Size::new(64, 64), 2);
    let tight = SessionOptions { memory_bytes: Some(1 << 20), ..SessionOptions::default() };
    let refused = run(&fake.model(Precision::F32), &tight, &[&frames]);
    let Err(SessionError::Memory { needed_bytes, .. }) = refused else { panic!("{refused:?}") };
    let enough = SessionOptions { memory_bytes: Some(needed_bytes), ..SessionOptions::default() };
    assert_eq!(run(&fake.model(Precision::F32), &enough, &[&frames]).unwrap().len(), 2);
}

#[test]
fn one_window_over_a_shot_that_is_too_long_says_so() {
    let model = Fake::new(Reach::Window, 1).model(Precision::F32);
    let size = Size::new(64, 64);
    let whole = SessionOptions { memory_bytes: Some(3 << 20), ..options(0, 0, Offload::Never) };
    let frames = film(size, 200);
    let refused = run(&model, &whole, &[&frames]);
    let Err(SessionError::ShotTooLong { most_frames, time }) = refused else { panic!("{refused:?}") };
    assert_eq!(time, frames[most_frames as usize].time);
    assert_eq!(run(&model, &whole, &[&frames[..most_frames as usize]]).unwrap().len() as u64, most_frames);
}

#[test]
fn a_frame_of_another_size_is_refused() {
    let model = Fake::new(Reach::Frame, 1).model(Precision::F32);
    let mut session = Session::new(model, SessionOptions::default());
    session.push(film(SMALL, 1).remove(0)).unwrap();
    let refused = session.push(film(Size::new(7, 5), 1).remove(0));
    assert!(matches!(refused, Err(SessionError::SizeChanged { index: 1, .. })), "{refused:?}");
}

#[test]
fn windows_fade_into_the_next() {
    let fake = Fake::new(Reach::Window, 2);
    let model = fake.model(Precision::F32);
    for (body, context, fade) in [(4, 2, 1), (4, 3, 3), (5, 9, 4), (3, 3, 3), (1, 2, 2), (8, 2, 100)] {
        for count in [1, 3, 7, 9, 14, 23] {
            let shot = film(SMALL, count);
            let due = by_hand_fading(fake, Precision::F32, &shot, (body, context), fade.min(context).min(body));
            for offload in [Offload::Never, Offload::Always] {
                let mut options = options(body, context, offload);
                options.windows.fade = Some(fade);
                let made = run(&model, &options, &[&shot, &shot]).unwrap();
                for made in made.chunks(count) {
                    assert!(distance(made, &due) <= 1, "{count} frames in {body} + {context}, fade {fade}");
                }
            }
        }
    }
}

/// Windows are the default ones for what moves, and shorter where the picture stands still.
#[test]
fn a_picture_that_stands_still_is_seen_in_shorter_windows() {
    let size = Size::new(32, 32);
    let (count, fake) = (130, Fake::new(Reach::Window, 1));
    let moving = film(size, count);
    // The picture of one frame at the times of all.
    let at = |frame: &Frame| Frame::new(moving[0].planes().clone(), frame.time, frame.duration_ticks).unwrap();
    let still: Vec<Frame> = moving.iter().map(at).collect();
    let model = fake.model(Precision::F32);
    let defaults = SessionOptions { memory_bytes: Some(ROOMY), ..SessionOptions::default() };
    let (body, context) = STILL_WINDOW;
    let due = by_hand_fading(fake, Precision::F32, &moving, (DEFAULT_BODY, DEFAULT_CONTEXT), DEFAULT_FADE);
    assert!(distance(&run(&model, &defaults, &[&moving]).unwrap(), &due) <= 1, "but for rounding");
    let made = run(&model, &defaults, &[&still]).unwrap();
    let due = by_hand_fading(fake, Precision::F32, &still, (body, context), DEFAULT_FADE);
    // The last window is too short to tell.
    let told = count / body as usize * body as usize;
    assert!(distance(&made[..told], &due[..told]) <= 1);
    let long = by_hand(fake, Precision::F32, &still, 100, 12);
    assert!(distance(&made[..told], &long[..told]) > 1, "a difference that can be seen");

    let asked = options(100, 12, Offload::Auto);
    assert!(
        run(&model, &asked, &[&still]).unwrap() == by_hand(fake, Precision::F32, &still, 100, 12),
        "as the user says"
    );
}
