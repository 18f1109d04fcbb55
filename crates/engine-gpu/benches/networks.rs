//! Networks and their layers on a GPU, without the rest of framelift: for machines that have a card, and no FFmpeg.
//!
//! `cargo bench -p framelift-engine-gpu --bench networks -- --layers --input=320x180`: what a call of each kind of layer takes
//! in f16 and f32, with its share of arithmetic and of memory traffic. Else the options are those of `framelift bench` with
//! `--json`, so that `benches/peers/gpu.py --framelift PROGRAM` takes this program too; it says besides how long after its
//! start the first frame was there. `--only=TEXT` takes the layers with that in their names; `--as-card=UNITS` shapes kernels
//! for a card with planes of so many units. `--launches` measures what launches take of the processor's threads.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    missing_docs,
    reason = "a program to measure with"
)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use framelift_engine::{
    Activation, Addend, ConvSpec, DeformSpec, Engine, HostTensor, Padding, Precision, ResizeMode, Shape, Tensor,
    Upsample,
};
use framelift_engine_gpu::{AssumedCard, GpuOptions, Tuning, best_device, devices, matrix_cores_from_env, open};
use framelift_frame::{TimeBase, Timestamp};
use framelift_nets::{Checkpoint, MemoryStore, Reach, builtin, detect, seconds_a_frame};
use framelift_testkit::synth;

/// Calls that are waited for together.
const CALLS: u32 = 20;

const TIME: Timestamp = Timestamp::new(0, TimeBase::new(1, 25));

struct Options {
    layers: bool,
    launches: bool,
    model: Option<String>,
    weights: Option<String>,
    size: (usize, usize),
    precisions: Vec<Precision>,
    device: Option<String>,
    assumed: Option<AssumedCard>,
    /// Of the layers, those with this in their names.
    only: String,
    window: usize,
    seconds: f64,
}

impl Options {
    /// Those of the command line: `--name value`, or `--name=value`.
    fn parse() -> Self {
        let mut options = Self {
            layers: false,
            launches: false,
            model: None,
            weights: None,
            size: (320, 180),
            precisions: vec![Precision::F16, Precision::F32],
            device: None,
            assumed: None,
            only: String::new(),
            window: 30,
            seconds: 3.0,
        };
        let mut arguments = std::env::args().skip(1).flat_map(|argument| {
            let parts = argument.split_once('=').map(|(name, value)| vec![name.to_owned(), value.to_owned()]);
            parts.unwrap_or_else(|| vec![argument])
        });
        while let Some(name) = arguments.next() {
            let mut value = || arguments.next().unwrap_or_else(|| panic!("{name} wants a value"));
            match name.as_str() {
                "bench" | "--bench" | "--json" => {}
                "--layers" => options.layers = true,
                "--launches" => options.launches = true,
                "--model" => options.model = Some(value()),
                "--weights" => options.weights = Some(value()),
                "--input" => {
                    let text = value();
                    let (width, height) = text.split_once('x').unwrap();
                    options.size = (width.parse().unwrap(), height.parse().unwrap());
                }
                "--precision" => {
                    let text = value();
                    options.precisions.retain(|precision| precision.name() == text);
                }
                "--device" => options.device = Some(value()).filter(|name| name.contains(':')),
                "--as-card" => {
                    options.assumed = Some(AssumedCard { plane_units: value().parse().unwrap(), matrix_side: 16 });
                }
                "--only" => options.only = value(),
                "--window" => options.window = value().parse().unwrap(),
                "--seconds" => options.seconds = value().parse().unwrap(),
                other => panic!("there is no option {other}"),
            }
        }
        options
    }

    fn engine(&self) -> Arc<dyn Engine> {
        let device = match &self.device {
            Some(name) => devices().into_iter().find(|device| device.to_string() == *name),
            None => best_device().or_else(|| devices().into_iter().next()),
        };
        open(&GpuOptions {
            device: device.expect("a GPU"),
            memory_limit_bytes: None,
            tuning: if self.assumed.is_some() { Tuning::Off } else { Tuning::from_env() },
            matrix_cores: matrix_cores_from_env(),
            assumed: self.assumed,
        })
        .unwrap()
    }
}

/// A map of noise in [-1, 1].
fn noise(engine: &dyn Engine, shape: Shape, precision: Precision) -> Tensor {
    let mut values = synth::uniform("noise").map(|value| value as f32);
    let map = HostTensor::from_fn(shape, |_, _, _| values.next().unwrap());
    engine.from_host(&map, precision).unwrap()
}

fn main() {
    let begun = Instant::now();
    let options = Options::parse();
    if options.launches {
        launches(&options);
    } else if options.layers {
        layers(&options);
    } else {
        network(&options, begun);
    }
}

fn network(options: &Options, begun: Instant) {
    let engine = options.engine();
    let checkpoint = match (&options.model, &options.weights) {
        (Some(name), _) => builtin::checkpoint(name).expect("a model of this name").unwrap(),
        (None, Some(file)) => Checkpoint::open(file.as_ref()).unwrap(),
        (None, None) => panic!("name a --model or a file of --weights"),
    };
    let detected = detect(&checkpoint).unwrap();
    let (width, height) = options.size;
    let results = options.precisions.iter().map(|&precision| {
        let network = detected.prepare(Arc::clone(&engine), precision).unwrap();
        let shape = Shape::new(height, width, 3);
        let count = if network.descriptor().reach == Reach::Window { options.window } else { 1 };
        let frames: Vec<Tensor> = (0..count).map(|_| noise(&*engine, shape, Precision::F32)).collect();
        let d = network.descriptor();
        let mut first_ms = None;
        let mut note = |result: &Tensor| {
            if first_ms.is_none() {
                engine.download(result, TIME, 1).unwrap();
                first_ms = Some(begun.elapsed().as_secs_f64() * 1e3);
            }
        };
        if d.reach == Reach::Window {
            let mut emit = |result: Tensor| {
                note(&result);
                Ok(())
            };
            network.window(&frames, 0..count, &mut MemoryStore::new(), &mut emit).unwrap();
        } else {
            let mut shot = Arc::clone(&network).begin();
            let mut results = shot.push(frames[0].clone()).unwrap();
            results.extend(shot.finish().unwrap());
            results.first().map(&mut note);
        }
        let times = seconds_a_frame(&*engine, &network, &frames, options.seconds).unwrap();
        format!(
            r#"{{"precision":"{precision}","width":{width},"height":{height},"window":{count},"first_frame_ms":{},"ms_per_frame":{},"ms_min":{},"gflop_per_frame":{},"peak_bytes":{}}}"#,
            first_ms.unwrap(),
            1e3 * times[times.len() / 2],
            1e3 * times[0],
            2e-9 * (d.macs_per_pixel * (width * height) as u64) as f64,
            engine.memory().peak_bytes
        )
    });
    let results: Vec<String> = results.collect();
    println!(r#"{{"engine":"gpu","detail":"{}","results":[{}]}}"#, engine.info().detail, results.join(","));
}

/// Prints what launches of kernels that do next to nothing take: time, and that of each thread that works at it. A thread that
/// waits for others turns in circles at first, which counts.
fn launches(options: &Options) {
    const COUNT: u32 = 20_000;
    let engine = options.engine();
    println!("{}", engine.info().detail);
    let map = noise(&*engine, Shape::new(8, 8, 64), Precision::F32);
    let spec = ConvSpec::new(3, &[64], 64);
    let conv = engine.prepare_conv(&spec, &weights(spec.weight_len()), &[0.0; 64]).unwrap();
    let measure = |name: &str, call: &dyn Fn() -> Tensor| {
        drop(call());
        engine.wait().unwrap();
        let (before, begun) = (busy_threads(), Instant::now());
        for _ in 0..COUNT {
            drop(call());
        }
        engine.wait().unwrap();
        let each = |seconds: f64| seconds * 1e6 / f64::from(COUNT);
        println!("{name}: {:.2} us a launch", each(begun.elapsed().as_secs_f64()));
        for (thread, seconds) in busy_threads() {
            let seconds = seconds - before.get(&thread).copied().unwrap_or(0.0);
            if each(seconds) > 0.1 {
                println!("    {:.2} us of {thread}", each(seconds));
            }
        }
    };
    measure("add_scaled", &|| engine.add_scaled(&map, 0.5, &map).unwrap());
    measure("conv 3x3 [64] -> 64", &|| engine.conv(&conv, &[&map], None).unwrap());
}

/// Seconds that each thread of this process has worked, by its number and name; nothing where the system does not say.
fn busy_threads() -> BTreeMap<String, f64> {
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let busy = |thread: std::fs::DirEntry| {
        let read = |name| std::fs::read_to_string(thread.path().join(name)).ok();
        let nanoseconds: f64 = read("schedstat")?.split(' ').next()?.parse().ok()?;
        Some((format!("{} {}", thread.file_name().display(), read("comm")?.trim()), nanoseconds * 1e-9))
    };
    threads.filter_map(busy).collect()
}

/// The layers of one size in one precision.
struct Layers<'a> {
    engine: &'a dyn Engine,
    precision: Precision,
    height: usize,
    width: usize,
    /// For each of them.
    seconds: f64,
    only: &'a str,
}

fn layers(options: &Options) {
    let engine = options.engine();
    let (width, height) = options.size;
    println!("{}", engine.info().detail);
    println!("{:<48} {:<4} {:>9} {:>9} {:>8}", "layer", "", "us", "TFLOP/s", "GB/s");
    for &precision in &options.precisions {
        let layers =
            Layers { engine: &*engine, precision, height, width, seconds: options.seconds / 10.0, only: &options.only };
        layers.conv(ConvSpec::new(3, &[64], 64), 1, None);
        layers.conv(ConvSpec::new(3, &[64], 64), 1, Some(Upsample::None));
        layers.conv(ConvSpec::new(3, &[64; 6], 64), 1, None);
        layers.conv(ConvSpec::new(3, &[64, 64, 64, 2, 2], 64), 1, None);
        layers.conv(ConvSpec::new(3, &[64], 432), 1, None);
        layers.deform_conv();
        layers.flow_warp();
        layers.conv(ConvSpec::new(7, &[3, 3, 2], 32), 1, None);
        layers.conv(ConvSpec::new(7, &[32], 64), 1, None);
        layers.conv(ConvSpec::new(7, &[64], 32), 1, None);
        layers.conv(ConvSpec::new(3, &[64], 256).pixel_shuffle(2), 1, None);
        layers.conv(ConvSpec::new(3, &[64], 256).pixel_shuffle(2), 2, None);
        layers.conv(ConvSpec::new(3, &[64], 64), 4, None);
        layers.conv(ConvSpec::new(3, &[64], 3), 4, Some(Upsample::Bilinear));
        layers.conv(ConvSpec::new(3, &[64, 32, 32], 32), 1, None);
    }
}

impl Layers<'_> {
    fn map(&self, channels: usize, scale: usize, precision: Precision) -> Tensor {
        let map = noise(self.engine, Shape::new(self.height, self.width, channels), precision);
        self.engine.resize(&map, scale * self.height, scale * self.width, ResizeMode::Nearest).unwrap()
    }

    /// On maps of `scale` times the size; pictures are added to, and are, f32.
    fn conv(&self, spec: ConvSpec, scale: usize, upsample: Option<Upsample>) {
        let outs = spec.out_channels;
        let output = if outs == 3 { Precision::F32 } else { self.precision };
        let spec = spec.activation(Activation::Leaky(0.1)).precision(self.precision, output);
        let prepared = self.engine.prepare_conv(&spec, &weights(spec.weight_len()), &vec![0.0; outs]).unwrap();
        let inputs: Vec<Tensor> = spec.in_channels.iter().map(|&c| self.map(c, scale, self.precision)).collect();
        let inputs: Vec<&Tensor> = inputs.iter().collect();
        let addend = upsample.map(|upsample| match upsample {
            Upsample::None => (self.map(outs, scale, output), upsample),
            Upsample::Nearest | Upsample::Bilinear => (self.map(outs, 1, output), upsample),
        });
        let addend = addend.as_ref().map(|(tensor, upsample)| Addend { tensor, upsample: *upsample });
        let name = format!(
            "{0}x{0} {1:?} -> {outs}{2}{3}{4}",
            spec.kernel,
            spec.in_channels,
            if spec.pixel_shuffle > 1 { ", shuffled" } else { "" },
            if addend.is_some() { ", added to" } else { "" },
            if scale > 1 { format!(", at {scale} times the size") } else { String::new() },
        );
        let added = if upsample == Some(Upsample::None) { outs } else { 0 };
        let bytes = spec.total_in_channels() * self.precision.bytes() + (outs + added) * output.bytes();
        self.measure(&name, spec.weight_len(), bytes, scale, || self.engine.conv(&prepared, &inputs, addend).unwrap());
    }

    fn deform_conv(&self) {
        let spec = DeformSpec::new(&[64; 2], 64, 16).precision(self.precision, self.precision);
        let spec = DeformSpec { max_residue: 10.0, ..spec };
        let prepared = self.engine.prepare_deform_conv(&spec, &weights(spec.weight_len()), &[0.0; 64]).unwrap();
        let [one, two] = [0; 2].map(|_| self.map(64, 1, self.precision));
        let [residues, flow] = [432, 2].map(|channels| self.map(channels, 1, Precision::F32));
        let bytes = 3 * 64 * self.precision.bytes() + (432 + 2 * 2) * 4;
        self.measure("deformable 3x3 [64, 64] -> 64", spec.weight_len(), bytes, 1, || {
            self.engine.deform_conv(&prepared, &[&one, &two], &residues, &[&flow, &flow]).unwrap()
        });
    }

    fn flow_warp(&self) {
        let (input, flow) = (self.map(64, 1, self.precision), self.map(2, 1, Precision::F32));
        let bytes = 2 * 64 * self.precision.bytes() + 2 * 4;
        self.measure("warp 64", 4 * 64, bytes, 1, || self.engine.flow_warp(&input, &flow, Padding::Zeros).unwrap());
    }

    /// Measures `call`, which does `macs` multiply-adds for each position of maps of `scale` times the size, and must read and
    /// write so many bytes for it.
    fn measure(&self, name: &str, macs: usize, bytes: usize, scale: usize, call: impl Fn() -> Tensor) {
        if !name.contains(self.only) {
            return;
        }
        let seconds = least_seconds(self.engine, self.seconds, &call);
        let rate = |each: usize| (each * scale * scale * self.height * self.width) as f64 / seconds;
        let (tflops, gigabytes) = (2e-12 * rate(macs), 1e-9 * rate(bytes));
        println!("{name:<48} {:<4} {:>9.1} {tflops:>9.1} {gigabytes:>8.0}", self.precision, seconds * 1e6);
    }
}

fn weights(count: usize) -> Vec<f32> {
    synth::uniform("weights").take(count).map(|value| value as f32).collect()
}

/// The least time of a call among several that follow each other, measured for about `budget` seconds.
fn least_seconds(engine: &dyn Engine, budget: f64, call: &dyn Fn() -> Tensor) -> f64 {
    drop(call());
    engine.wait().unwrap();
    let (begun, mut least) = (Instant::now(), f64::INFINITY);
    while least.is_infinite() || begun.elapsed().as_secs_f64() < budget {
        let at = Instant::now();
        for _ in 0..CALLS {
            drop(call());
        }
        engine.wait().unwrap();
        least = least.min(at.elapsed().as_secs_f64() / f64::from(CALLS));
    }
    least
}
