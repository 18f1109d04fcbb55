//! Milliseconds a frame of stacks of convolutions in the shape of real networks, with random weights.
//!
//! `cargo bench -p framelift-engine-cpu --bench networks [-- SECONDS --only=NAME --cpu-time --threads=N]`: the least time over so
//! many seconds each (3). `FRAMELIFT_CPU` caps the instructions.

#![allow(clippy::print_stdout, clippy::unwrap_used, missing_docs, unsafe_code, reason = "a program to measure with")]

use framelift_engine::{Activation, Addend, Conv, ConvSpec, Engine, HostTensor, Precision, Shape, Tensor, Upsample};
use framelift_engine_cpu::CpuEngine;

#[path = "../common/mod.rs"]
mod common;

use common::{Setup, random};

fn prepare(engine: &dyn Engine, spec: &ConvSpec) -> Conv {
    let gain = 3.4 / (spec.weight_len() as f32 / spec.out_channels as f32).sqrt();
    let weights = random(1, spec.weight_len(), gain);
    engine.prepare_conv(spec, &weights, &random(2, spec.out_channels, 0.1)).unwrap()
}

/// SRVGGNetCompact with 64 features and 16 hidden convolutions, ×4.
struct Compact {
    convs: Vec<Conv>,
}

impl Compact {
    fn new(engine: &dyn Engine, precision: Precision) -> Self {
        let prelu = || Activation::Prelu(random(3, 64, 0.5));
        let mut specs = vec![ConvSpec::new(3, &[3], 64).activation(prelu()).precision(precision, precision)];
        specs.extend((0..16).map(|_| ConvSpec::new(3, &[64], 64).activation(prelu()).precision(precision, precision)));
        specs.push(ConvSpec::new(3, &[64], 48).pixel_shuffle(4).precision(precision, Precision::F32));
        Self { convs: specs.iter().map(|spec| prepare(engine, spec)).collect() }
    }

    fn run(&self, engine: &dyn Engine, image: &Tensor) -> Tensor {
        let (last, hidden) = self.convs.split_last().unwrap();
        let mut x = image.clone();
        for conv in hidden {
            x = engine.conv(conv, &[&x], None).unwrap();
        }
        let base = Addend { tensor: image, upsample: Upsample::Nearest };
        engine.conv(last, &[&x], Some(base)).unwrap()
    }
}

/// The built-in model: three frames and the hidden state in, three residual blocks, ×4.
struct Lift {
    first: Conv,
    body: Vec<(Conv, Conv)>,
    last: Conv,
}

impl Lift {
    fn new(engine: &dyn Engine, precision: Precision) -> Self {
        let hidden = |inputs: &[usize]| ConvSpec::new(3, inputs, 32).precision(precision, precision);
        let leaky = |spec: ConvSpec| prepare(engine, &spec.activation(Activation::Leaky(0.1)));
        let block = |_| (leaky(hidden(&[32])), prepare(engine, &hidden(&[32])));
        let last = ConvSpec::new(3, &[32], 48).pixel_shuffle(4).precision(precision, Precision::F32);
        Self { first: leaky(hidden(&[3, 3, 3, 32])), body: (0..3).map(block).collect(), last: prepare(engine, &last) }
    }

    fn run(&self, engine: &dyn Engine, image: &Tensor, state: &Tensor) -> (Tensor, Tensor) {
        let mut x = engine.conv(&self.first, &[image, image, image, state], None).unwrap();
        for (a, b) in &self.body {
            let inner = engine.conv(a, &[&x], None).unwrap();
            x = engine.conv(b, &[&inner], Some(Addend::same(&x))).unwrap();
        }
        let base = Addend { tensor: image, upsample: Upsample::Bilinear };
        (engine.conv(&self.last, &[&x], Some(base)).unwrap(), x)
    }
}

fn main() {
    let Setup { options, stopwatch, filter } = Setup::new(3.0);
    let engine = CpuEngine::new(&options).unwrap();
    println!("{}; milliseconds a frame", engine.info().detail);
    println!("{:28} {:>9} {:>9}", "", "f32", "bf16");
    for (width, height) in [(320, 180), (640, 360)] {
        let shape = Shape::new(height, width, 3);
        let image = HostTensor::new(shape, random(4, shape.len(), 1.0)).unwrap();
        let image = engine.from_host(&image, Precision::F32).unwrap();
        for name in ["animevideov3 x4", "lift x4"] {
            let name = format!("{name} {width}x{height}");
            if !name.contains(&filter) {
                continue;
            }
            let times = [Precision::F32, Precision::Bf16].map(|precision| {
                let seconds = if name.starts_with("lift") {
                    let network = Lift::new(&engine, precision);
                    let mut state = engine.zeros(Shape::new(height, width, 32), precision).unwrap();
                    stopwatch.least_seconds(|| state = network.run(&engine, &image, &state).1)
                } else {
                    let network = Compact::new(&engine, precision);
                    stopwatch.least_seconds(|| drop(network.run(&engine, &image)))
                };
                1e3 * seconds
            });
            println!("{name:28} {:>9.1} {:>9.1}", times[0], times[1]);
        }
    }
}
