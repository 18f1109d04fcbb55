//! Frames in, frames out.

use std::sync::Arc;

use framelift_engine::reference::ReferenceEngine;
use framelift_engine::{Engine, HostTensor, Precision, Shape, Tensor};
use framelift_nets::Shot;
use framelift_testkit::synth;
use proptest::prelude::{ProptestConfig, prop_assert, prop_assert_eq, proptest};
use proptest::strategy::Strategy;

use crate::{checkpoint, engines, network, noise, run};

fn reference() -> Arc<dyn Engine> {
    Arc::new(ReferenceEngine::new())
}

#[test]
fn as_many_frames_come_out_as_go_in() {
    for arrays in [synth::lift(4, 1, 2), synth::lift_along_motion(4, 1, 3), synth::compact(4, 1, 3)] {
        let checkpoint = checkpoint("synthetic", &arrays);
        for (name, engine) in engines() {
            let network = network(&checkpoint, &engine, Precision::F32);
            let scale = network.descriptor().scale as usize;
            for count in [0, 1, 2, 5] {
                let outputs = run(&network, &engine, &noise(count, 3, 5));
                assert_eq!(outputs.len(), count, "{name}");
                assert!(outputs.iter().all(|output| output.shape() == Shape::new(3 * scale, 5 * scale, 3)), "{name}");
            }
        }
    }
}

#[test]
fn a_single_frame_has_itself_for_neighbours() {
    let engine = reference();
    let network = network(&checkpoint("synthetic", &synth::lift(8, 2, 2)), &engine, Precision::F32);
    let frame = noise(1, 6, 4).remove(0);
    let alone = run(&network, &engine, std::slice::from_ref(&frame));
    let twice = run(&network, &engine, &[frame.clone(), frame]);
    assert_eq!(alone[0], twice[0]);
    assert_ne!(alone[0], twice[1], "the state is carried");
}

#[test]
fn a_changed_size_within_a_shot_is_refused() {
    let engine = reference();
    for arrays in [synth::lift(4, 1, 2), synth::lift_along_motion(4, 1, 2)] {
        let network = network(&checkpoint("synthetic", &arrays), &engine, Precision::F32);
        let mut shot = network.begin();
        let mut push = |height| shot.push(engine.from_host(&noise(1, height, 4)[0], Precision::F32).unwrap());
        push(4).unwrap();
        assert!(push(6).is_err());
    }
}

#[test]
fn a_frozen_shot_goes_on_to_the_bit() {
    let engine = reference();
    let network = network(&checkpoint("synthetic", &synth::lift(8, 2, 2)), &engine, Precision::F32);
    let frames = noise(7, 6, 5);
    let whole = run(&network, &engine, &frames);
    for frozen_after in 0..=frames.len() {
        let mut outputs = Vec::new();
        let mut shot = network.clone().begin();
        let upload = |frame: &HostTensor| engine.from_host(frame, Precision::F32).unwrap();
        for (n, frame) in frames.iter().enumerate() {
            if n == frozen_after {
                shot = network.clone().thaw(shot.freeze().unwrap()).unwrap();
            }
            outputs.extend(shot.push(upload(frame)).unwrap());
        }
        outputs.extend(shot.finish().unwrap());
        let outputs: Vec<HostTensor> = outputs.iter().map(|output| engine.to_host(output).unwrap()).collect();
        assert_eq!(outputs, whole, "frozen after {frozen_after} frames");
    }
    assert!(network.thaw(vec![None]).is_err(), "another network's state");
}

/// The outputs of a shot that is fed now and then.
struct Fed {
    shot: Option<Box<dyn Shot>>,
    outputs: Vec<HostTensor>,
}

impl Fed {
    fn keep(&mut self, engine: &dyn Engine, outputs: &[Tensor]) {
        self.outputs.extend(outputs.iter().map(|output| engine.to_host(output).unwrap()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// A causal network's output does not depend on how the stream is cut up: frames are pushed in bursts of any
    /// size, in between those of another shot on the same network.
    #[test]
    fn outputs_do_not_depend_on_how_pushes_are_grouped(
        (count, bursts) in (0_usize..7).prop_flat_map(|n| (
            proptest::strategy::Just(n),
            proptest::collection::vec(proptest::bool::ANY, 2 * n),
        )),
        (height, width) in (1_usize..7, 1_usize..7),
    ) {
        let engine = reference();
        let network = network(&checkpoint("synthetic", &synth::lift(4, 1, 2)), &engine, Precision::F32);
        let frames = noise(2 * count, height, width);
        let streams = [&frames[..count], &frames[count..]];
        let mut fed = [0, 1].map(|_| Fed { shot: Some(Arc::clone(&network).begin()), outputs: Vec::new() });
        let mut next = [0, 0];
        for second in bursts {
            let mut which = usize::from(second);
            if next[which] == count {
                which = 1 - which;
            }
            let frame = engine.from_host(&streams[which][next[which]], Precision::F32).unwrap();
            next[which] += 1;
            let outputs = fed[which].shot.as_mut().unwrap().push(frame).unwrap();
            fed[which].keep(&*engine, &outputs);
        }
        for (fed, stream) in fed.iter_mut().zip(streams) {
            let last = fed.shot.take().unwrap().finish().unwrap();
            fed.keep(&*engine, &last);
            prop_assert_eq!(&fed.outputs, &run(&network, &engine, stream));
        }
    }

    /// One frame of look-ahead: an output is the same whatever comes later than the frame after it.
    #[test]
    fn outputs_depend_on_one_frame_to_come(count in 2_usize..7, kept in 1_usize..6) {
        let kept = kept.min(count - 1);
        let engine = reference();
        let network = network(&checkpoint("synthetic", &synth::lift(4, 1, 2)), &engine, Precision::F32);
        let frames = noise(count, 4, 5);
        let whole = run(&network, &engine, &frames);
        let part = run(&network, &engine, &frames[..=kept]);
        prop_assert_eq!(&whole[..kept], &part[..kept]);
        prop_assert!(kept + 1 == count || whole[kept] != part[kept]);
    }
}
