//! Whole networks, on the reference engine and on the CPU engine with every instruction set of this machine.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "helpers of tests fail as tests do, and say what they measured"
)]

mod counting;
mod descriptors;
mod dialects;
mod golden;
mod precision;
mod shots;
mod windows;

use std::collections::BTreeMap;
use std::sync::Arc;

use framelift_engine::reference::ReferenceEngine;
use framelift_engine::{Engine, HostTensor, Precision, Shape};
use framelift_engine_cpu::{CpuEngine, CpuOptions, Isa};
use framelift_nets::{Checkpoint, Network, detect};
use framelift_testkit::golden::Array;
use framelift_testkit::synth;

/// The reference, and the CPU engine with each instruction set that this processor has.
fn engines() -> Vec<(String, Arc<dyn Engine>)> {
    let mut engines: Vec<(String, Arc<dyn Engine>)> = vec![("reference".into(), Arc::new(ReferenceEngine::new()))];
    for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
        let options = CpuOptions { isa: Some(isa), ..CpuOptions::default() };
        engines.push((format!("cpu {}", isa.name()), Arc::new(CpuEngine::new(&options).unwrap())));
    }
    engines
}

/// The CPU engine as programs use it.
fn fastest_engine() -> (String, Arc<dyn Engine>) {
    let engine = CpuEngine::new(&CpuOptions::default()).unwrap();
    (engine.info().detail.clone(), Arc::new(engine))
}

/// The checkpoint of a file of `arrays`.
fn checkpoint(name: &str, arrays: &BTreeMap<String, Array>) -> Checkpoint {
    Checkpoint::from_bytes(name, &synth::to_safetensors(arrays)).unwrap()
}

/// The network of `checkpoint` on `engine`.
fn network(checkpoint: &Checkpoint, engine: &Arc<dyn Engine>, precision: Precision) -> Arc<dyn Network> {
    detect(checkpoint).unwrap().prepare(Arc::clone(engine), precision).unwrap()
}

/// What the network makes of one shot, all frames pushed one after another.
fn run(network: &Arc<dyn Network>, engine: &Arc<dyn Engine>, frames: &[HostTensor]) -> Vec<HostTensor> {
    let mut shot = Arc::clone(network).begin();
    let mut outputs = Vec::new();
    for frame in frames {
        let frame = engine.from_host(frame, Precision::F32).unwrap();
        outputs.extend(shot.push(frame).unwrap().iter().map(|output| engine.to_host(output).unwrap()));
    }
    outputs.extend(shot.finish().unwrap().iter().map(|output| engine.to_host(output).unwrap()));
    outputs
}

/// Frames of noise in [0, 1).
fn noise(count: usize, height: usize, width: usize) -> Vec<HostTensor> {
    let mut values = synth::uniform("frames").map(|u| (u * 0.5 + 0.5) as f32);
    let mut frame = || HostTensor::from_fn(Shape::new(height, width, 3), |_, _, _| values.next().unwrap());
    (0..count).map(|_| frame()).collect()
}
