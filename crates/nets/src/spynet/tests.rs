//! The flow by itself, which no checkpoint of a whole network shows.

use std::sync::Arc;

use framelift_engine::reference::ReferenceEngine;
use framelift_engine::{Engine, HostTensor, Precision, Shape};
use framelift_engine_cpu::{CpuEngine, CpuOptions};
use framelift_testkit::golden::{Array, Golden};
use framelift_testkit::{max_abs_diff, synth};

use super::{Spynet, SpynetWeights};
use crate::Checkpoint;
use crate::reader::Reader;

fn engines() -> [Arc<dyn Engine>; 2] {
    [Arc::new(ReferenceEngine::new()), Arc::new(CpuEngine::new(&CpuOptions::default()).unwrap())]
}

fn spynet(arrays: &std::collections::BTreeMap<String, Array>, engine: &Arc<dyn Engine>) -> (Spynet, u64) {
    let checkpoint = Checkpoint::from_bytes("spynet", &synth::to_safetensors(arrays)).unwrap();
    let mut reader = Reader::new(&checkpoint, "SPyNet");
    let weights = SpynetWeights::read(&mut reader, "");
    reader.finish().unwrap();
    (weights.prepare(Arc::clone(engine), Precision::F32).unwrap(), weights.macs())
}

fn flow(spynet: &Spynet, engine: &Arc<dyn Engine>, from: &HostTensor, to: &HostTensor) -> HostTensor {
    let [from, to] = [from, to].map(|frame| engine.from_host(frame, Precision::F32).unwrap());
    let [from, to] = [from, to].map(|frame| spynet.pyramid(&[frame]).unwrap());
    engine.to_host(&spynet.flows(&from, &to).unwrap()[0]).unwrap()
}

#[test]
fn the_flow_matches_the_published_network() {
    let golden = Golden::case("spynet_70x100").unwrap();
    let frames = golden.frames("input");
    let Array { shape, values } = golden.array("output");
    let due = HostTensor::from_planar(Shape::new(shape[1], shape[2], 2), values).unwrap();
    for engine in engines() {
        let (spynet, _) = spynet(&synth::spynet(), &engine);
        let diff = max_abs_diff(&flow(&spynet, &engine, &frames[0], &frames[1]), &due);
        println!("spynet_70x100 {}: {diff:.2e}", engine.info().name);
        assert!(diff <= 1e-4, "{}: {diff:e}", engine.info().name);
    }
}

#[test]
fn both_dialects_are_one_network() {
    let [_, engine] = engines();
    let arrays = synth::spynet();
    let basicsr = synth::renamed(&arrays, |name| {
        let parts: Vec<&str> = name.split('.').collect();
        match parts.as_slice() {
            [a, level, b, place, "conv", kind] => {
                format!("{a}.{level}.{b}.{}.{kind}", 2 * place.parse::<usize>().unwrap())
            }
            _ => name.to_owned(),
        }
    });
    assert!(basicsr.contains_key("basic_module.5.basic_module.8.weight"));
    let frame = |seed: &str| {
        let mut values = synth::uniform(seed).map(|u| (u * 0.5 + 0.5) as f32);
        HostTensor::from_fn(Shape::new(40, 64, 3), |_, _, _| values.next().unwrap())
    };
    let (from, to) = (frame("from"), frame("to"));
    let flows = [&arrays, &basicsr].map(|arrays| flow(&spynet(arrays, &engine).0, &engine, &from, &to));
    assert_eq!(flows[0], flows[1]);
    assert_eq!(flows[0].shape(), Shape::new(40, 64, 2));
}

#[test]
fn multiply_adds_are_those_of_all_levels() {
    let [_, engine] = engines();
    let finest = 49 * (8 * 32 + 32 * 64 + 64 * 32 + 32 * 16 + 16 * 2);
    // A quarter for each coarser level: 1365 / 1024 in all.
    assert_eq!(spynet(&synth::spynet(), &engine).1, (finest * 1365_u64).div_ceil(1024));
}
