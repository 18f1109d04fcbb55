//! `framelift models`.

use std::path::Path;

use framelift::{Descriptor, Model, Reach};
use serde_json::{Value, json};

use crate::Failure;
use crate::args::{Models, ModelsCommand};
use crate::report::out;

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
    let gmac = d.macs_per_pixel as f64 * 320.0 * 180.0 * 1e-9;
    out(&format!("                 {gmac:.1} GMAC for a frame of 320x180"));
    out(&format!("  memory         {} values an input pixel", d.values_per_pixel));
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
            "values_per_pixel": d.values_per_pixel,
            "precisions": d.precisions.iter().map(|p| p.name()).collect::<Vec<_>>(),
            "size_multiple": d.size_multiple,
            "min_side_px": d.min_side_px,
            "licence": d.licence,
        });
    }
    value
}
