//! Sessions that are frozen and go on.

use std::sync::Arc;

use framelift_engine::reference::ReferenceEngine;
use framelift_engine::{Engine, Precision};
use framelift_frame::{Frame, Plane, Size, TimeBase, Timestamp};
use framelift_nets::{Checkpoint, detect};
use framelift_testkit::synth;

use super::state;
use crate::session::Frozen;
use crate::{Fade, Model, Session, SessionError, SessionOptions, Sink, WindowOptions};

const SIZE: Size = Size::new(9, 7);

fn frame(n: usize, size: Size) -> Frame {
    let plane = |channel: usize| {
        let at = |i: usize| ((i * 7919 + n * 5003 + channel * 104_729) % 65_536) as u16;
        Plane::new(size, (0..size.pixels() as usize).map(at).collect()).unwrap()
    };
    Frame::new([plane(0), plane(1), plane(2)], Timestamp::new(n as i64 * 40, TimeBase::new(1, 1000)), 40).unwrap()
}

fn lift(precision: Precision) -> Model {
    let engine: Arc<dyn Engine> = Arc::new(ReferenceEngine::new());
    let bytes = synth::to_safetensors(&synth::lift(8, 2, 2));
    let detected = detect(&Checkpoint::from_bytes("lift.safetensors", &bytes).unwrap()).unwrap();
    let on = engine.clone();
    Model::new(engine, precision, move |precision| detected.prepare(on.clone(), precision)).unwrap()
}

#[test]
fn a_session_frozen_anywhere_in_a_shot_goes_on_to_the_bit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    for precision in [Precision::F32, Precision::Bf16] {
        let model = lift(precision);
        let options = SessionOptions { memory_bytes: Some(1 << 30), ..SessionOptions::default() };
        let frames: Vec<Frame> = (0..16).map(|n| frame(n, SIZE)).collect();
        let mut whole = Session::new(model.clone(), options.clone());
        let mut due: Vec<Frame> = frames.iter().flat_map(|frame| whole.push(frame.clone()).unwrap()).collect();
        due.extend(whole.cut().unwrap());
        for stop in 2..frames.len() {
            let mut first = Session::new(model.clone(), options.clone());
            let mut made: Vec<Frame> = frames[..stop].iter().flat_map(|f| first.push(f.clone()).unwrap()).collect();
            let frozen = first.freeze().unwrap();
            state::write(&path, &**model.engine(), frozen.state.iter().cloned().map(Ok)).unwrap();
            let thawed = Frozen { state: state::read(&path, &**model.engine()).unwrap(), ..frozen };
            let next = made.len();
            let plan = first.plan().unwrap().clone();
            let mut second = Session::thawed(model.clone(), options.clone(), plan, SIZE, next as u64, thawed).unwrap();
            frames[..next].iter().for_each(|frame| second.recall(frame.clone()));
            made.extend(frames[next..].iter().flat_map(|frame| second.push(frame.clone()).unwrap()));
            made.extend(second.cut().unwrap());
            assert_eq!(made, due, "{precision}, stopped after {stop} frames");
        }
    }
}

/// Results, and where windows begin.
#[derive(Default)]
struct Watch {
    made: Vec<Frame>,
    windows: Vec<u64>,
    /// What fades into each.
    fades: Vec<Fade>,
}

impl Sink for Watch {
    type Error = SessionError;

    fn frame(&mut self, frame: Frame) -> Result<(), SessionError> {
        self.made.push(frame);
        Ok(())
    }

    fn window(&mut self, shot_frames: u64, _: &Arc<dyn Engine>, fade: &Fade) -> Result<(), SessionError> {
        assert_eq!(shot_frames, self.made.len() as u64, "told before its first result");
        self.windows.push(shot_frames);
        self.fades.push(fade.clone());
        Ok(())
    }
}

#[test]
fn a_session_goes_on_between_windows_to_the_bit() {
    let size = Size::new(64, 64);
    let engine: Arc<dyn Engine> = Arc::new(framelift_engine::reference::ReferenceEngine::new());
    let bytes = synth::to_safetensors(&synth::basicvsr(4, 1));
    let detected = detect(&Checkpoint::from_bytes("small.safetensors", &bytes).unwrap()).unwrap();
    let on = engine.clone();
    let model = Model::new(engine.clone(), Precision::F32, move |p| detected.prepare(on.clone(), p)).unwrap();
    let windows = WindowOptions { body: Some(2), context: Some(1), fade: Some(1), ..WindowOptions::default() };
    let options = SessionOptions { windows, memory_bytes: Some(4 << 30), ..SessionOptions::default() };
    let frames: Vec<Frame> = (0..5).map(|n| frame(n, size)).collect();
    let run = |session: &mut Session, frames: &[Frame]| {
        let mut watch = Watch::default();
        for frame in frames {
            session.push_to(frame.clone(), &mut watch).unwrap();
        }
        session.cut_to(&mut watch).unwrap();
        watch
    };
    let mut whole = Session::new(model.clone(), options.clone());
    let due = run(&mut whole, &frames);
    assert_eq!(due.windows, [0, 2, 4]);
    let plan = whole.plan().unwrap().clone();
    for (start, fade) in [2, 4_usize].into_iter().zip(&due.fades[1..]) {
        let state: Vec<_> = fade.freeze(&*engine).collect::<Result<_, _>>().unwrap();
        assert_eq!(state.len(), 1);
        let frozen = Frozen { given: start as u64, pushed: start as u64, state, ..Frozen::default() };
        let (model, options, plan) = (model.clone(), options.clone(), plan.clone());
        let mut session = Session::thawed(model, options, plan, size, start as u64, frozen).unwrap();
        frames[..start].iter().for_each(|frame| session.recall(frame.clone()));
        let mut made = Vec::new();
        for frame in &frames[start..] {
            made.extend(session.push(frame.clone()).unwrap());
        }
        made.extend(session.cut().unwrap());
        assert_eq!(made, due.made[start..], "from frame {start}");
    }
}
