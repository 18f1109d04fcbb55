//! What networks say of themselves.

use std::sync::Arc;

use framelift_engine::reference::ReferenceEngine;
use framelift_engine::{Engine, EngineError, Precision};
use framelift_nets::{Checkpoint, Reach, builtin, detect};
use framelift_testkit::synth;

use crate::{checkpoint, network, noise, run};

#[test]
fn hyperparameters_are_read_off_the_tensors() {
    for (features, convs, scale) in [(64, 16, 4), (64, 32, 4), (24, 8, 2), (8, 0, 1), (16, 1, 3)] {
        let arrays = synth::compact(features, convs, scale);
        let descriptor = detect(&checkpoint("synthetic", &arrays)).unwrap().descriptor().clone();
        assert_eq!(descriptor.architecture, "SRVGGNetCompact");
        let plural = if convs == 1 { "" } else { "s" };
        assert_eq!(descriptor.variant, format!("{features} features, {convs} convolution{plural}"));
        assert_eq!(descriptor.scale as usize, scale);
        assert_eq!(descriptor.reach, Reach::Frame);
        assert_eq!(descriptor.parameters, arrays.values().map(|a| a.values.len() as u64).sum::<u64>());
        let products = arrays.values().filter(|a| a.shape.len() == 4).map(|a| a.values.len() as u64).sum::<u64>();
        assert_eq!(descriptor.macs_per_pixel, products);
        assert_eq!(descriptor.licence, None);
    }
    for (channels, blocks, scale) in [(32, 3, 4), (32, 3, 2), (16, 1, 3), (48, 10, 4)] {
        let arrays = synth::lift(channels, blocks, scale);
        let descriptor = detect(&checkpoint("synthetic", &arrays)).unwrap().descriptor().clone();
        assert_eq!(descriptor.architecture, "lift");
        let plural = if blocks == 1 { "" } else { "s" };
        assert_eq!(descriptor.variant, format!("{channels} channels, {blocks} block{plural}"));
        assert_eq!(descriptor.scale as usize, scale);
        assert_eq!(descriptor.reach, Reach::Causal { lookahead: 1 });
        assert_eq!(descriptor.parameters, arrays.values().map(|a| a.values.len() as u64).sum::<u64>());
        let products = arrays.values().filter(|a| a.shape.len() == 4).map(|a| a.values.len() as u64).sum::<u64>();
        assert_eq!(descriptor.macs_per_pixel, products);
    }
}

#[test]
fn the_built_in_models_are_whole_and_described() {
    assert_eq!(builtin::names().collect::<Vec<_>>(), ["lift-x4", "lift-x2"]);
    for (name, scale) in [("lift-x4", 4), ("lift-x2", 2)] {
        let descriptor = detect(&builtin::checkpoint(name).unwrap().unwrap()).unwrap().descriptor().clone();
        assert_eq!((descriptor.scale, descriptor.variant.as_str()), (scale, "32 channels, 3 blocks"));
        assert!(descriptor.purpose.contains("films"));
        assert!(descriptor.licence.unwrap().contains("MIT"));
    }
    assert!(builtin::checkpoint("lift-x3").is_none());
}

/// The memory that a network says it needs is what it takes: enough, and not much more.
#[test]
fn values_per_pixel_bound_the_memory_taken() {
    let checkpoints: Vec<Checkpoint> = [synth::compact(24, 3, 2), synth::compact(16, 2, 4), synth::lift(32, 2, 4)]
        .iter()
        .map(|arrays| checkpoint("synthetic", arrays))
        .collect();
    for checkpoint in checkpoints {
        let (height, width) = (20, 30);
        let reference = Arc::new(ReferenceEngine::new());
        let engine: Arc<dyn Engine> = reference.clone();
        let network = network(&checkpoint, &engine, Precision::F32);
        run(&network, &engine, &noise(4, height, width));
        let peak_values = reference.memory().peak_bytes / 4;
        let said = network.descriptor().values_per_pixel as usize * height * width;
        assert!(peak_values <= said, "{}: {peak_values} > {said}", network.descriptor().architecture);
        assert!(peak_values * 2 > said, "{}: {peak_values} is far below {said}", network.descriptor().architecture);
        assert_eq!(reference.memory().used_bytes, 0, "a finished shot holds nothing");
    }
}

#[test]
fn precisions_that_are_not_good_are_refused() {
    let checkpoint = builtin::checkpoint("lift-x2").unwrap().unwrap();
    let engine: Arc<dyn Engine> = Arc::new(ReferenceEngine::new());
    let error = detect(&checkpoint).unwrap().prepare(engine, Precision::F16).err().unwrap();
    assert!(matches!(error, EngineError::Unsupported { .. }), "{error}");
}
