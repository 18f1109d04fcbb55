//! Several windows, or frames, at once: what networks make of each is what they make of it by itself, to the bit.

use std::sync::Arc;

use framelift_engine::{Engine, HostTensor, Precision, Shape, Tensor};
use framelift_nets::{Checkpoint, Detected, MemoryStore, Network, Reach, detect};
use framelift_testkit::golden::Array;
use framelift_testkit::synth;

use crate::{engine, precisions};

/// Frames of each window, and which of them are wanted.
const WINDOWS: [(usize, std::ops::Range<usize>); 3] = [(5, 1..5), (3, 0..2), (1, 0..1)];

fn detected(arrays: &std::collections::BTreeMap<String, Array>) -> Detected {
    detect(&Checkpoint::from_bytes("lanes", &synth::to_safetensors(arrays)).unwrap()).unwrap()
}

/// Frames of windows that differ in contrast: what is decided by a window's frames is decided otherwise in each.
fn windows(engine: &dyn Engine, side: usize) -> Vec<Vec<Tensor>> {
    let mut values = synth::uniform("frames of lanes").map(|value| value as f32);
    let window = |(lane, (frames, _)): (usize, &(usize, _))| {
        let contrast = 0.5 / (1 << (2 * lane)) as f32;
        let mut frame = || {
            let shape = Shape::new(side, side, 3);
            let frame = HostTensor::from_fn(shape, |_, _, _| 0.5 + contrast * values.next().unwrap());
            engine.from_host(&frame, Precision::F32).unwrap()
        };
        (0..*frames).map(|_| frame()).collect()
    };
    WINDOWS.iter().enumerate().map(window).collect()
}

/// Frame by frame, those of all windows that are so long.
fn stacked(engine: &dyn Engine, windows: &[Vec<Tensor>]) -> Vec<Tensor> {
    let of = |i: usize| windows.iter().filter_map(|window| window.get(i)).collect::<Vec<_>>();
    (0..windows[0].len()).map(|i| engine.stack_maps(&of(i)).unwrap()).collect()
}

fn window(network: &Arc<dyn Network>, frames: &[Tensor], keep: std::ops::Range<usize>) -> Vec<Tensor> {
    let mut results = Vec::new();
    let mut emit = |result| {
        results.push(result);
        Ok(())
    };
    network.window(frames, keep, &mut MemoryStore::new(), &mut emit).unwrap();
    results
}

fn check(detected: &Detected, side: usize) {
    let Some(engine) = engine() else { return };
    let windows = windows(&*engine, side);
    let frames = stacked(&*engine, &windows);
    let all = 0..WINDOWS.iter().map(|(_, keep)| keep.end).max().unwrap();
    for &precision in precisions(&*engine) {
        let network = detected.prepare(Arc::clone(&engine), precision).unwrap();
        let is_of_windows = network.descriptor().reach == Reach::Window;
        let results = |frames: &[Tensor], keep: std::ops::Range<usize>| {
            if is_of_windows {
                return window(&network, frames, keep);
            }
            let mut shot = Arc::clone(&network).begin();
            frames[keep].iter().flat_map(|frame| shot.push(frame.clone()).unwrap()).collect()
        };
        let together = results(&frames, all.clone());
        for (lane, (window, (_, keep))) in windows.iter().zip(&WINDOWS).enumerate() {
            for (i, due) in keep.clone().zip(results(window, keep.clone())) {
                let got = engine.maps(&together[i], lane..lane + 1).unwrap();
                assert!(
                    engine.to_bytes(&got).unwrap() == engine.to_bytes(&due).unwrap(),
                    "{} in {precision}: frame {i} of window {lane} is another",
                    network.descriptor().architecture
                );
            }
        }
    }
}

#[test]
fn windows_of_basicvsr() {
    check(&detected(&synth::basicvsr(16, 1)), 32);
}

#[test]
fn windows_of_realbasicvsr() {
    // Some windows are cleaned more often than others.
    let detected = detected(&synth::realbasicvsr(16, 1, 1)).with_cleaning_threshold(5.0).unwrap();
    check(&detected, 32);
}

#[test]
fn windows_of_basicvsr_plusplus() {
    check(&detected(&synth::basicvsr_plusplus(16, 1, false)), 32);
}

#[test]
fn windows_of_basicvsr_plusplus_of_the_same_size() {
    check(&detected(&synth::basicvsr_plusplus(16, 1, true)), 128);
}

#[test]
fn frames() {
    check(&detected(&synth::compact(16, 2, 4)), 24);
    check(&detected(&synth::rrdbnet(16, 8, 1, 2)), 24);
}
