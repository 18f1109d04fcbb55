//! `framelift models`.

use std::path::Path;

use framelift::{Descriptor, Model, Precision, Reach, Size};
use serde_json::{Value, json};

use crate::Failure;
use crate::args::{Models, ModelsCommand};
use crate::report::{human_bytes, out};

pub(crate) fn models(args: &Models) -> Result<(), Failure> {
    match &args.command {
        None => list(false),
        Some(ModelsCommand::List { json }) => list(*json),
        Some(ModelsCommand::Show { model, json }) => show(model, *json),
    }
}

fn list(json: bool) -> Result<(), Failure> {
    let models: Vec<Model> = Model::names().iter().map(|name| Model::named(name)).collect::<Result<_, _>>()?;
    if json {
        out(&format!("{:#}", Value::Array(models.iter().map(as_json).collect())));
        return Ok(());
    }
    for model in &models {
        out(&format!("{:<10} {}", model.name(), model.purpose()));
    }
    out("");
    out(
        "Checkpoint files are used with `framelift upscale --weights FILE`; `framelift models show FILE` says what one is.",
    );
    Ok(())
}

fn show(name: &str, json: bool) -> Result<(), Failure> {
    let is_file = Path::new(name).exists() || name.ends_with(".pth") || name.ends_with(".safetensors");
    let model = if is_file { Model::open(Path::new(name))? } else { Model::named(name)? };
    if json {
        out(&format!("{:#}", as_json(&model)));
        return Ok(());
    }
    out(&format!("{name}: {}", model.purpose()));
    let Some(d) = model.descriptor() else {
        out("  no network: a resampling filter, any scale");
        return Ok(());
    };
    out(&format!("  architecture   {} ({})", d.architecture, d.variant));
    out(&format!("  scale          x{}", d.scale));
    out(&format!("  sees           {}", reach(d)));
    out(&format!("  parameters     {}", d.parameters));
    out(&format!("  work           {} multiply-adds an input pixel", d.macs_per_pixel));
    for size in SIZES {
        let gmac = d.macs_per_pixel as f64 * size.pixels() as f64 * 1e-9;
        out(&format!("                 {gmac:.1} GMAC for a frame of {size}"));
    }
    for (n, size) in SIZES.into_iter().enumerate() {
        let label = if n == 0 { "memory" } else { "" };
        let needs = memory_of(d, size).map(human_bytes);
        let [work, each] = &needs;
        let more =
            if d.reach == Reach::Window { format!(", and {each} for each frame of a window") } else { String::new() };
        out(&format!("  {label:<14} {work} at {size}{more}"));
    }
    let precisions: Vec<&str> = d.precisions.iter().map(|p| p.name()).collect();
    out(&format!("  precisions     {}", precisions.join(", ")));
    if d.size_multiple > 1 {
        out(&format!("  sides          multiples of {}", d.size_multiple));
    }
    if d.min_side_px > 1 {
        out(&format!("  smallest side  {} pixels", d.min_side_px));
    }
    out(&format!("  licence        {}", d.licence.as_deref().unwrap_or("not stated in the file")));
    Ok(())
}

/// Sizes of frames that work and memory are told for.
const SIZES: [Size; 2] = [Size::new(320, 180), Size::new(1920, 1080)];

/// Bytes in f32 for frames of `size`: while one is worked on, and for each that a window holds.
fn memory_of(d: &Descriptor, size: Size) -> [u64; 2] {
    let f32_bytes = Precision::F32.bytes() as u64;
    let each = d.held_bytes_per_pixel() + d.stored_values_per_pixel * f32_bytes;
    [work_bytes(d, size), each * size.pixels()]
}

fn work_bytes(d: &Descriptor, size: Size) -> u64 {
    d.work_bytes(size.height as usize, size.width as usize, Precision::F32)
}

fn reach(d: &Descriptor) -> String {
    match d.reach {
        Reach::Frame => "one frame".to_owned(),
        Reach::Causal { lookahead } => format!("all frames before, {lookahead} after"),
        Reach::Window => "a window of past and future frames".to_owned(),
    }
}

fn as_json(model: &Model) -> Value {
    let mut value = json!({"name": model.name(), "purpose": model.purpose()});
    if let Some(d) = model.descriptor() {
        value["network"] = json!({
            "architecture": d.architecture,
            "variant": d.variant,
            "scale": d.scale,
            "reach": reach(d),
            "parameters": d.parameters,
            "macs_per_pixel": d.macs_per_pixel,
            "work_bytes": SIZES.map(|size| json!({"input": size.to_string(), "f32": work_bytes(d, size)})),
            "held_values_per_pixel": d.held_values_per_pixel,
            "stored_values_per_pixel": d.stored_values_per_pixel,
            "precisions": d.precisions.iter().map(|p| p.name()).collect::<Vec<_>>(),
            "size_multiple": d.size_multiple,
            "min_side_px": d.min_side_px,
            "licence": d.licence,
        });
    }
    value
}
