//! `framelift bench`: networks alone, on frames of noise.

use std::sync::Arc;

use framelift::engine::{Engine, HostTensor, Precision, Shape, Support, Tensor};
use framelift::{Model, Reach, Size, seconds_a_frame};
use serde_json::{Value, json};

use crate::args::Bench;
use crate::report::{err, human_bytes, out};
use crate::{Failure, upscale};

pub(crate) fn bench(args: &Bench) -> Result<(), Failure> {
    let mut models: Vec<Model> = Vec::new();
    for name in &args.model {
        models.push(Model::named(name)?);
    }
    for file in &args.weights {
        models.push(Model::open(file)?);
    }
    if models.is_empty() {
        for name in Model::names() {
            models.push(Model::named(name)?);
        }
        models.retain(|model| model.descriptor().is_some());
    }
    let device = upscale::device(&args.compute)?;
    let engine = device.engine()?;
    if let Some(notice) = device.notice() {
        err(&format!("note: {notice}"));
    }
    let precisions: Vec<Precision> = match device.precision {
        Some(precision) => vec![precision],
        None => {
            let all = [Precision::F32, Precision::Bf16, Precision::F16];
            all.into_iter().filter(|&precision| engine.support(precision) == Support::Native).collect()
        }
    };
    if !args.json {
        out(&format!("{}: {}", engine.info().name, engine.info().detail));
        out(&format!(
            "{:<28} {:>9}  {:<5} {:>9} {:>9} {:>8} {:>9}  {:>9}",
            "model", "input", "", "ms/frame", "best", "fps", "GFLOP/s", "memory"
        ));
    }
    let mut results = Vec::new();
    for model in &models {
        for &size in &args.input {
            for &precision in &precisions {
                // An engine of its own, whose highest memory is that of this measurement.
                let result = measure(args, &device.engine()?, model, size, precision)?;
                if !args.json {
                    out(&row(&result));
                }
                results.push(result);
            }
        }
    }
    if args.json {
        out(&json!({
            "engine": engine.info().name,
            "detail": engine.info().detail,
            "results": results.iter().map(|r| as_json(args, r)).collect::<Vec<_>>(),
        })
        .to_string());
    }
    Ok(())
}

struct Measured {
    model: String,
    size: Size,
    precision: Precision,
    frames: usize,
    /// Frames of a window, for networks that see windows.
    window: Option<usize>,
    median_ms: f64,
    min_ms: f64,
    gflop_per_frame: f64,
    peak_bytes: usize,
}

/// The time of a frame: of the pushes in the middle of a shot, or of a window shared by its frames; tensors in, tensors out.
fn measure(
    args: &Bench,
    engine: &Arc<dyn Engine>,
    model: &Model,
    size: Size,
    precision: Precision,
) -> Result<Measured, Failure> {
    let device = framelift::DeviceOptions { precision: Some(precision), ..upscale::device(&args.compute)? };
    let network = model.prepare(Arc::clone(engine), &device)?;
    let shape = Shape::new(size.height as usize, size.width as usize, 3);
    let mut noise = 1u32;
    let mut frame = || {
        let values = HostTensor::from_fn(shape, |_, _, _| {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (noise >> 8) as f32 / (1 << 24) as f32
        });
        engine.from_host(&values, Precision::F32)
    };
    let window = (network.descriptor().reach == Reach::Window).then_some(usize::from(args.window));
    let frames: Vec<Tensor> = (0..window.unwrap_or(1)).map(|_| frame()).collect::<Result<_, _>>()?;
    let times = seconds_a_frame(&**engine, &network, &frames, args.seconds)?;
    Ok(Measured {
        model: model.name().to_owned(),
        size,
        precision,
        frames: times.len() * window.unwrap_or(1),
        window,
        median_ms: 1e3 * times[times.len() / 2],
        min_ms: 1e3 * times[0],
        gflop_per_frame: 2e-9 * (network.descriptor().macs_per_pixel * size.pixels()) as f64,
        peak_bytes: engine.memory().peak_bytes,
    })
}

fn row(m: &Measured) -> String {
    format!(
        "{:<28} {:>9}  {:<5} {:>9.2} {:>9.2} {:>8.2} {:>9.1}  {:>9}{}",
        m.model,
        m.size.to_string(),
        m.precision.name(),
        m.median_ms,
        m.min_ms,
        1e3 / m.median_ms,
        m.gflop_per_frame / (m.median_ms * 1e-3),
        human_bytes(m.peak_bytes as u64),
        m.window.map_or_else(String::new, |window| format!("  in windows of {window} frames")),
    )
}

fn as_json(args: &Bench, m: &Measured) -> Value {
    json!({
        "model": m.model,
        "width": m.size.width,
        "height": m.size.height,
        "precision": m.precision.name(),
        "threads": args.compute.threads,
        "frames": m.frames,
        "window": m.window,
        "ms_per_frame": m.median_ms,
        "ms_min": m.min_ms,
        "gflop_per_frame": m.gflop_per_frame,
        "peak_bytes": m.peak_bytes,
    })
}
