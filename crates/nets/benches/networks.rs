//! Multiply-adds and milliseconds a frame of the published networks at 320×180, with weights made up.
//!
//! `cargo bench -p framelift-nets --bench networks [-- --only=NAME --precision=f32|bf16]`. A frame of a window is what a
//! window of four takes more than one of two, halved, so that what a window does only once does not count.

#![allow(clippy::print_stdout, clippy::unwrap_used, missing_docs, reason = "a program to measure with")]

use std::sync::Arc;
use std::time::Instant;

use framelift_engine::{Engine, Layout, Precision, Shape, Tensor};
use framelift_engine_cpu::{CpuEngine, CpuOptions};
use framelift_nets::{Checkpoint, MemoryStore, Network, Reach, detect};
use framelift_testkit::golden::Array;
use framelift_testkit::synth;

const WIDTH: usize = 320;
const HEIGHT: usize = 180;

type Arrays = std::collections::BTreeMap<String, Array>;

/// A name, and what makes the weights.
type Named = (&'static str, fn() -> Arrays);

const NETWORKS: [Named; 8] = [
    ("BasicVSR 64x30", || synth::basicvsr(64, 30)),
    ("BasicVSR++ 64x7", || synth::basicvsr_plusplus(64, 7, false)),
    ("BasicVSR++ 128x25", || synth::basicvsr_plusplus(128, 25, false)),
    ("BasicVSR++ 64x15 same size", || synth::basicvsr_plusplus(64, 15, true)),
    ("RealBasicVSR 64x20", || synth::realbasicvsr(64, 20, 20)),
    ("RRDBNet x4plus", || synth::rrdbnet(64, 32, 23, 4)),
    ("RRDBNet x4plus anime_6B", || synth::rrdbnet(64, 32, 6, 4)),
    ("RRDBNet x2plus", || synth::rrdbnet(64, 32, 23, 2)),
];

/// Seconds that so many frames take.
fn seconds(network: &Arc<dyn Network>, frames: &[Tensor]) -> f64 {
    let start = Instant::now();
    if network.descriptor().reach == Reach::Window {
        network.window(frames, 0..frames.len(), &mut MemoryStore::new(), &mut |_| Ok(())).unwrap();
    } else {
        let mut shot = Arc::clone(network).begin();
        frames.iter().for_each(|frame| drop(shot.push(frame.clone()).unwrap()));
    }
    start.elapsed().as_secs_f64()
}

fn main() {
    let option = |name: &str| std::env::args().find_map(|a| Some(a.strip_prefix(name)?.to_owned())).unwrap_or_default();
    let (only, precision) = (option("--only="), option("--precision="));
    let engine = Arc::new(CpuEngine::new(&CpuOptions::from_env().unwrap()).unwrap());
    println!("{}; {WIDTH}x{HEIGHT}", engine.info().detail);
    let mut values = synth::uniform("frames").map(|u| (u * 0.5 + 0.5) as f32);
    for (name, arrays) in NETWORKS.into_iter().filter(|(name, _)| name.contains(&only)) {
        let checkpoint = Checkpoint::from_bytes(name, &synth::to_safetensors(&arrays())).unwrap();
        let detected = detect(&checkpoint).unwrap();
        let d = detected.descriptor();
        let gmac = (d.macs_per_pixel * (WIDTH * HEIGHT) as u64) as f64 / 1e9;
        println!(
            "{name}: {gmac:.1} GMAC a frame, {:.2} M weights; {} MiB at work in f32; values a pixel: {} held, {} stored",
            d.parameters as f64 / 1e6,
            d.work_bytes(HEIGHT, WIDTH, 1, 1, Layout::packed(Precision::F32)) >> 20,
            d.held.f32,
            d.stored_values_per_pixel
        );
        for precision in [Precision::F32, Precision::Bf16].into_iter().filter(|p| p.name().contains(&precision)) {
            let network = detected.prepare(Arc::clone(&engine) as Arc<dyn Engine>, precision).unwrap();
            let shape = Shape::new(HEIGHT, WIDTH, 3);
            let mut frame = || framelift_engine::HostTensor::from_fn(shape, |_, _, _| values.next().unwrap());
            let frames: Vec<Tensor> = (0..4).map(|_| engine.from_host(&frame(), Precision::F32).unwrap()).collect();
            let (two, four) = (seconds(&network, &frames[..2]), seconds(&network, &frames));
            let frame = (four - two) / 2.0;
            println!("    {precision}: {:.0} ms a frame, {:.0} GMAC/s", 1e3 * frame, gmac / frame);
        }
    }
}
