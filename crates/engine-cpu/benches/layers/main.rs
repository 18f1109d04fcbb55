//! Single convolutions, and what is done between them, against the machine's measured peak of multiply-adds.
//!
//! `cargo bench -p framelift-engine-cpu --bench layers [-- SECONDS --only=NAME --cpu-time --threads=N]`: the least time over so many
//! seconds each (1). `FRAMELIFT_CPU` caps the instructions. GFLOP/s count the multiply-adds of the
//! plain convolution, whatever the method; so Winograd's may be above the peak.

#![allow(clippy::print_stdout, clippy::unwrap_used, missing_docs, unsafe_code, reason = "a program to measure with")]

use framelift_engine::{
    Activation, Addend, ConvSpec, DeformSpec, Engine, HostTensor, Padding, Precision, ResizeMode, Shape, Tensor,
    Upsample,
};
use framelift_engine_cpu::{ConvMethod, CpuEngine};
use framelift_frame::{Frame, Size, TimeBase, Timestamp};

#[path = "../common/mod.rs"]
mod common;
mod peak;

use common::{Setup, Stopwatch, random};

struct Layer {
    name: &'static str,
    spec: ConvSpec,
    upsample: Option<Upsample>,
}

fn layers() -> Vec<Layer> {
    let prelu = Activation::Prelu(vec![0.1; 64]);
    let plain = |name, inputs: &[usize], out| Layer { name, spec: ConvSpec::new(3, inputs, out), upsample: None };
    let mut layers = vec![
        plain("64 -> 64, prelu", &[64], 64),
        plain("32 -> 32", &[32], 32),
        plain("128 -> 64", &[64, 64], 64),
        plain("3 -> 64", &[3], 64),
        plain("3+3+3+32 -> 32", &[3, 3, 3, 32], 32),
        Layer { upsample: Some(Upsample::Nearest), ..plain("64 -> 48, shuffle 4, nearest", &[64], 48) },
        Layer { upsample: Some(Upsample::Bilinear), ..plain("32 -> 48, shuffle 4, bilinear", &[32], 48) },
    ];
    layers[0].spec.activation = prelu;
    for layer in &mut layers[5..] {
        layer.spec.pixel_shuffle = 4;
    }
    layers.extend([
        plain("3+64 -> 64", &[3, 64], 64),
        plain("64+64+64+2+2 -> 64", &[64, 64, 64, 2, 2], 64),
        plain("64 -> 432", &[64], 432),
        plain("64+64+64 -> 64", &[64; 3], 64),
        plain("5 x 64 -> 64", &[64; 5], 64),
        plain("64+4x32 -> 32", &[64, 32, 32, 32, 32], 32),
        plain("64+4x32 -> 64", &[64, 32, 32, 32, 32], 64),
        plain("64 -> 256", &[64], 256),
        plain("64 -> 3", &[64], 3),
    ]);
    for (name, inputs, out) in [
        ("7x7 3+3+2 -> 32", &[3, 3, 2][..], 32),
        ("7x7 32 -> 64", &[32], 64),
        ("7x7 64 -> 32", &[64], 32),
        ("7x7 32 -> 16", &[32], 16),
        ("7x7 16 -> 2", &[16], 2),
    ] {
        layers.push(Layer { name, spec: ConvSpec::new(7, inputs, out), upsample: None });
    }
    layers
}

fn main() {
    let Setup { options, stopwatch, filter } = Setup::new(1.0);
    let engines =
        [ConvMethod::Direct, ConvMethod::Winograd].map(|method| CpuEngine::new(&options).unwrap().with_method(method));
    let peak = peak::gflops(engines[0].isa(), options.threads.unwrap(), stopwatch.budget);
    println!("{}; peak of f32 multiply-adds {peak:.0} GFLOP/s", engines[0].info().detail);
    println!("GFLOP/s and percent of that peak");
    let columns = ["f32 direct", "f32 winograd", "bf16 direct", "bf16 winograd"];
    println!("{:40} {}", "", columns.map(|column| format!("{column:>16}")).concat());
    for (width, height) in [(320, 180), (640, 360)] {
        for layer in layers().iter().filter(|layer| layer.name.contains(&filter)) {
            let mut line = String::new();
            for precision in [Precision::F32, Precision::Bf16] {
                for engine in &engines {
                    let gflops = measure(engine, layer, precision, width, height, &stopwatch);
                    line += &format!("{:>11.0} {:>3.0}%", gflops, 100.0 * gflops / peak);
                }
            }
            println!("{:30} {width:>4}x{height:<4} {line}", layer.name);
        }
    }
    if "frames".contains(&filter) {
        frames(&engines[0], &stopwatch);
    }
    for precision in [Precision::F32, Precision::Bf16] {
        sampled(&engines[0], precision, &filter, &stopwatch);
    }
}

/// What recurrent networks do besides convolutions, in the sizes of BasicVSR++ at 320×180.
fn sampled(engine: &CpuEngine, precision: Precision, filter: &str, stopwatch: &Stopwatch) {
    let tensor = |channels: usize, gain: f32, precision: Precision| {
        let shape = Shape::new(180, 320, channels);
        engine.from_host(&HostTensor::new(shape, random(4, shape.len(), gain)).unwrap(), precision).unwrap()
    };
    // A flow as films have it: neighbours move alike.
    let flow = HostTensor::from_fn(Shape::new(180, 320, 2), |y, x, c| ((x + 2 * y + 40 * c) as f32 / 60.0).sin() * 6.0);
    let flow = engine.from_host(&flow, Precision::F32).unwrap();
    let (features, image) = (tensor(64, 1.0, precision), tensor(3, 1.0, Precision::F32));
    let ms = |name: &str, work: &dyn Fn()| {
        let name = format!("{name}, {precision}");
        if !name.contains(filter) {
            return;
        }
        println!("{name:40} {:>8.2} ms", 1e3 * stopwatch.least_seconds(work));
    };
    let spec = DeformSpec::new(&[64, 64], 64, 16).precision(precision, precision);
    let weights = random(1, spec.weight_len(), 0.1);
    let conv = engine.prepare_deform_conv(&spec, &weights, &random(2, 64, 0.1)).unwrap();
    for reach in [0.1, 1.0] {
        let residues = tensor(spec.offset_channels() + spec.mask_channels(), reach, precision);
        let name = format!("deform_conv 64+64 -> 64, +-{:.1} px", 5.0 * reach);
        let run = || drop(engine.deform_conv(&conv, &[&features; 2], &residues, &[&flow; 2]).unwrap());
        ms(&name, &run);
    }
    ms("flow_warp 64", &|| drop(engine.flow_warp(&features, &flow, Padding::Zeros).unwrap()));
    ms("flow_warp 3, border", &|| drop(engine.flow_warp(&image, &flow, Padding::Border).unwrap()));
    ms("flow_warp 2", &|| drop(engine.flow_warp(&flow, &flow, Padding::Zeros).unwrap()));
    ms("add_scaled 64", &|| drop(engine.add_scaled(&features, 0.2, &features).unwrap()));
    ms("scale_channels 3", &|| drop(engine.scale_channels(&image, &[0.5; 3], &[0.1; 3]).unwrap()));
    ms("avg_pool 3", &|| drop(engine.avg_pool(&image).unwrap()));
    ms("mean_abs 3", &|| _ = engine.mean_abs(&image).unwrap());
    ms("to_bytes 64", &|| drop(engine.to_bytes(&features).unwrap()));
    ms("bilinear aligned x2 of 2", &|| {
        drop(engine.resize(&flow, 360, 640, ResizeMode::BilinearAligned).unwrap());
    });
    ms("bilinear 3 to 320x192", &|| drop(engine.resize(&image, 192, 320, ResizeMode::Bilinear).unwrap()));
    ms("bicubic 3 to quarter", &|| drop(engine.resize(&image, 45, 80, ResizeMode::Bicubic).unwrap()));
}

/// What happens to each frame of a 1080p film outside the network.
fn frames(engine: &CpuEngine, stopwatch: &Stopwatch) {
    let time = Timestamp::new(0, TimeBase::new(1, 25));
    let frame = Frame::black(Size::new(1920, 1080), time, 1);
    let tensor = engine.upload(&frame).unwrap();
    let half = engine.resize(&tensor, 540, 960, ResizeMode::BicubicAntialias).unwrap();
    let ms = |name: &str, work: &dyn Fn()| println!("{name:40} {:>8.2} ms", 1e3 * stopwatch.least_seconds(work));
    ms("upload 1920x1080", &|| drop(engine.upload(&frame).unwrap()));
    ms("download 1920x1080", &|| drop(engine.download(&tensor, time, 1).unwrap()));
    ms("bicubic 960x540 to 1920x1080", &|| drop(engine.resize(&half, 1080, 1920, ResizeMode::Bicubic).unwrap()));
    let shrink = || drop(engine.resize(&tensor, 540, 960, ResizeMode::BicubicAntialias).unwrap());
    ms("bicubic 1920x1080 to 960x540", &shrink);
}

fn measure(
    engine: &CpuEngine,
    layer: &Layer,
    precision: Precision,
    width: usize,
    height: usize,
    stopwatch: &Stopwatch,
) -> f64 {
    let shuffled = layer.spec.pixel_shuffle > 1;
    let spec = layer.spec.clone().precision(precision, if shuffled { Precision::F32 } else { precision });
    let weights = random(1, spec.weight_len(), 0.1);
    let conv = engine.prepare_conv(&spec, &weights, &random(2, spec.out_channels, 0.1)).unwrap();
    let tensor = |channels: usize| {
        let shape = Shape::new(height, width, channels);
        let precision = if channels <= 3 { Precision::F32 } else { precision };
        engine.from_host(&HostTensor::new(shape, random(4, shape.len(), 1.0)).unwrap(), precision).unwrap()
    };
    let inputs: Vec<Tensor> = spec.in_channels.iter().map(|&channels| tensor(channels)).collect();
    let inputs: Vec<&Tensor> = inputs.iter().collect();
    let base = tensor(3);
    let addend = layer.upsample.map(|upsample| Addend { tensor: &base, upsample });
    let seconds = stopwatch.least_seconds(|| drop(engine.conv(&conv, &inputs, addend).unwrap()));
    2.0 * spec.macs_per_position() as f64 * (width * height) as f64 / seconds * 1e-9
}
