//! What networks say of themselves.

use std::sync::Arc;

use framelift_engine::reference::ReferenceEngine;
use framelift_engine::{Engine, HostTensor, Layout, Precision, Tensor};
use framelift_nets::builtin::{self, Tier};
use framelift_nets::{Checkpoint, Descriptor, MemoryStore, Network, Reach, detect};
use framelift_testkit::synth;

use crate::counting::CountingEngine;
use crate::{checkpoint, fastest_engine, network, noise, run};

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
    for (channels, blocks, scale, along) in [(32, 3, 4, true), (32, 3, 2, false), (16, 1, 3, true), (48, 10, 4, false)]
    {
        let arrays = if along { synth::lift_along_motion } else { synth::lift }(channels, blocks, scale);
        let descriptor = detect(&checkpoint("synthetic", &arrays)).unwrap().descriptor().clone();
        assert_eq!(descriptor.architecture, "lift");
        let plural = if blocks == 1 { "" } else { "s" };
        let motion = if along { ", along motion" } else { "" };
        assert_eq!(descriptor.variant, format!("{channels} channels, {blocks} block{plural}{motion}"));
        assert_eq!(descriptor.scale as usize, scale);
        assert_eq!(descriptor.reach, Reach::Causal { lookahead: 1 });
        assert_eq!(descriptor.parameters, arrays.values().map(|a| a.values.len() as u64).sum::<u64>());
        let products = arrays.values().filter(|a| a.shape.len() == 4).map(|a| a.values.len() as u64).sum::<u64>();
        assert_eq!(descriptor.macs_per_pixel, products);
    }
}

#[test]
fn numbers_of_large_networks_are_read_off_the_tensors() {
    // Architecture, variant, scale, reach, multiple and smallest side.
    type Said = (&'static str, &'static str, u32, Reach, u32, u32);
    let window = Reach::Window;
    let due: [(_, Said); 8] = [
        (synth::basicvsr(64, 5), ("BasicVSR", "64 channels, 5 blocks", 4, window, 1, 64)),
        (synth::basicvsr_plusplus(32, 7, false), ("BasicVSR++", "32 channels, 7 blocks", 4, window, 1, 64)),
        (synth::basicvsr_plusplus(16, 1, true), ("BasicVSR++", "16 channels, 1 block, same size", 1, window, 4, 256)),
        (
            synth::realbasicvsr(16, 2, 3),
            ("RealBasicVSR", "16 channels, 2 blocks, 3 blocks of cleaning", 4, window, 1, 64),
        ),
        (synth::rrdbnet(64, 32, 6, 4), ("RRDBNet", "64 features, 6 blocks", 4, Reach::Frame, 1, 1)),
        (synth::rrdbnet(32, 16, 1, 4), ("RRDBNet", "32 features, 1 block", 4, Reach::Frame, 1, 1)),
        (synth::rrdbnet(16, 8, 2, 2), ("RRDBNet", "16 features, 2 blocks", 2, Reach::Frame, 2, 2)),
        (synth::rrdbnet(16, 8, 2, 1), ("RRDBNet", "16 features, 2 blocks", 1, Reach::Frame, 4, 4)),
    ];
    for (arrays, due) in due {
        let d = detect(&checkpoint("synthetic", &arrays)).unwrap().descriptor().clone();
        let said = (d.architecture, d.variant.as_str(), d.scale, d.reach, d.size_multiple, d.min_side_px);
        assert_eq!(said, due);
        assert_eq!(d.parameters, arrays.values().map(|a| a.values.len() as u64).sum::<u64>());
        assert_eq!(d.held.f32 > 0, d.reach == window);
        assert_eq!(d.stored_values_per_pixel > 0, d.reach == window);
    }
}

/// Networks in proportions like those of the published ones, each with a size that SPyNet does not stretch.
fn large_networks() -> [(Checkpoint, usize); 6] {
    [
        (synth::basicvsr(32, 2), 32),
        (synth::basicvsr_plusplus(32, 1, false), 32),
        (synth::basicvsr_plusplus(32, 1, true), 128),
        (synth::realbasicvsr(32, 1, 2), 32),
        (synth::rrdbnet(32, 16, 1, 4), 16),
        (synth::rrdbnet(32, 16, 1, 2), 32),
    ]
    .map(|(arrays, side)| (checkpoint("synthetic", &arrays), side))
}

/// Runs all frames, each result dropped as soon as it is there.
fn run_and_drop(network: &Arc<dyn Network>, engine: &dyn Engine, frames: &[HostTensor]) {
    let frames: Vec<Tensor> = frames.iter().map(|f| engine.from_host(f, Precision::F32).unwrap()).collect();
    if network.descriptor().reach == Reach::Window {
        network.window(&frames, 0..frames.len(), &mut MemoryStore::new(), &mut |_| Ok(())).unwrap();
    } else {
        let mut shot = Arc::clone(network).begin();
        frames.into_iter().for_each(|frame| drop(shot.push(frame).unwrap()));
    }
}

#[test]
fn multiply_adds_said_are_multiply_adds_done() {
    for (checkpoint, side) in large_networks() {
        let (_, engine) = fastest_engine();
        let counting = Arc::new(CountingEngine::new(engine));
        let engine: Arc<dyn Engine> = counting.clone();
        let network = network(&checkpoint, &engine, Precision::F32);
        let macs = [3, 4].map(|count| {
            run_and_drop(&network, &*engine, &noise(count, side, side));
            counting.take_macs()
        });
        let Descriptor { architecture, macs_per_pixel, .. } = *network.descriptor();
        // A pixel's share is rounded up.
        let (frame, said) = (macs[1] - macs[0], macs_per_pixel * (side * side) as u64);
        assert!(frame <= said && said - frame <= 3 * (side * side) as u64, "{architecture}: {frame} of {said}");
    }
}

/// The most bytes of tensors that so many frames take.
fn peak_bytes(checkpoint: &Checkpoint, precision: Precision, count: usize, height: usize, width: usize) -> u64 {
    let counting = Arc::new(CountingEngine::new(fastest_engine().1));
    let engine: Arc<dyn Engine> = counting.clone();
    run_and_drop(&network(checkpoint, &engine, precision), &*engine, &noise(count, height, width));
    let (left_bytes, peak_bytes) = counting.bytes();
    assert_eq!(left_bytes, 0, "a finished window holds nothing");
    peak_bytes
}

/// What a further frame of a window takes is what its network says, and so is the most that is taken at once.
#[test]
fn bytes_of_windows_are_those_taken() {
    for (checkpoint, side) in large_networks() {
        let d = detect(&checkpoint).unwrap().descriptor().clone();
        for precision in [Precision::F32, Precision::Bf16] {
            let peaks = [1, 3, 5].map(|count| peak_bytes(&checkpoint, precision, count, side, side));
            let pixels = (side * side) as u64;
            let layout = Layout::packed(precision);
            let a_frame = (d.held.bytes(layout) + d.stored_bytes_per_pixel(precision)) * pixels;
            if d.reach == Reach::Window {
                let taken = (peaks[2] - peaks[1]) / 2;
                assert!(taken.abs_diff(a_frame) <= 4 * pixels, "{}: {taken} of {a_frame} a frame", d.architecture);
            }
            for (frames, peak) in [1, 3, 5].into_iter().zip(peaks) {
                // Networks of one frame at a time were handed all frames before.
                let further = if d.reach == Reach::Window { a_frame } else { 12 * pixels };
                let said = d.work_bytes(side, side, frames, 1, layout) + (frames - 1) * further;
                println!("{} {precision}: {frames} frames, {peak} of {said} bytes", d.architecture);
                assert!(peak <= said && peak * 10 >= said * 9, "{}: {frames} frames, {peak} of {said}", d.architecture);
            }
        }
    }
}

/// Of frames whose pictures are made in strips, too.
#[test]
fn bytes_of_large_frames_are_those_taken() {
    let (height, width) = (96, 768);
    for arrays in [synth::basicvsr(16, 1), synth::basicvsr_plusplus(16, 1, false), synth::rrdbnet(16, 16, 1, 4)] {
        let checkpoint = checkpoint("synthetic", &arrays);
        let d = detect(&checkpoint).unwrap().descriptor().clone();
        let (precision, pixels) = (Precision::Bf16, (height * width) as u64);
        let layout = Layout::packed(precision);
        let a_frame = d.held.bytes(layout) + d.stored_bytes_per_pixel(precision);
        let further = if d.reach == Reach::Window { a_frame } else { 12 };
        let said = d.work_bytes(height, width, 3, 1, layout) + 2 * further * pixels;
        let peak = peak_bytes(&checkpoint, precision, 3, height, width);
        println!("{}: {peak} of {said} bytes", d.architecture);
        assert!(peak <= said && peak * 10 >= said * 8, "{}: {peak} of {said}", d.architecture);
    }
}

#[test]
fn the_built_in_models_are_whole_and_described() {
    assert_eq!(builtin::names().collect::<Vec<_>>(), ["lift-x4", "lift-fast-x4", "lift-x3", "lift-x2"]);
    for model in builtin::BUILTINS {
        let descriptor = detect(&builtin::checkpoint(model.name).unwrap().unwrap()).unwrap().descriptor().clone();
        assert_eq!((descriptor.architecture, descriptor.scale), ("lift", model.scale), "{}", model.name);
        assert!(descriptor.variant.ends_with("along motion"), "{}: {}", model.name, descriptor.variant);
        assert!(descriptor.purpose.contains("films"));
        assert!(descriptor.licence.unwrap().contains("MIT"));
        // The work that each tier may take, of a frame of 320x180.
        let gmac = descriptor.macs_per_pixel as f64 * 320.0 * 180.0 / 1e9;
        let most = if model.tiers.contains(&Tier::LiftFast) { 5.0 } else { 18.0 };
        println!("{}: {gmac:.2} GMAC", model.name);
        assert!(gmac <= most, "{}: {gmac}", model.name);
    }
    assert!(builtin::checkpoint("lift-x5").is_none());
}

#[test]
fn every_tier_has_a_model_of_every_scale() {
    for tier in Tier::ALL {
        assert_eq!(Tier::named(tier.name()), Some(tier));
        for scale in [2, 3, 4] {
            assert_eq!(tier.model(scale).map(|model| model.scale), Some(scale), "{}", tier.name());
        }
        assert!(tier.model(5).is_none());
    }
    assert_eq!(Tier::Lift.model(4).unwrap().name, "lift-x4");
    assert_eq!(Tier::LiftFast.model(4).unwrap().name, "lift-fast-x4");
    assert_eq!(Tier::named("lift-x4"), None);
}

/// The memory that a network says it needs is what it takes: enough, and not much more.
#[test]
fn bytes_said_bound_the_memory_taken() {
    let checkpoints: Vec<Checkpoint> = [
        synth::compact(24, 3, 2),
        synth::compact(16, 2, 4),
        synth::lift(32, 2, 4),
        synth::lift_along_motion(32, 2, 4),
        synth::rrdbnet(32, 16, 1, 4),
        synth::rrdbnet(32, 16, 1, 2),
        synth::rrdbnet(64, 32, 1, 4),
    ]
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
        let said = network.descriptor().work_bytes(height, width, 1, 1, Layout::packed(Precision::F32)) as usize / 4;
        assert!(peak_values <= said, "{}: {peak_values} > {said}", network.descriptor().architecture);
        assert!(peak_values * 2 > said, "{}: {peak_values} is far below {said}", network.descriptor().architecture);
        assert_eq!(reference.memory().used_bytes, 0, "a finished shot holds nothing");
    }
}
