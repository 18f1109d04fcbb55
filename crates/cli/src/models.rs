//! `framelift models`.

use std::path::Path;

use framelift::{Descriptor, Installed, Layout, Model, ModelFolder, Precision, Reach, Size};
use serde_json::{Value, json};

use crate::Failure;
use crate::args::{Models, ModelsCommand};
use crate::report::{human_bytes, out};

#[cfg(feature = "fetch")]
mod fetch;

pub(crate) fn models(args: &Models) -> Result<(), Failure> {
    match &args.command {
        None => list(false),
        Some(ModelsCommand::List { json }) => list(*json),
        Some(ModelsCommand::Show { model, json }) => show(model, *json),
        Some(ModelsCommand::Add { file, overwrite }) => add(file, *overwrite),
        #[cfg(feature = "fetch")]
        Some(ModelsCommand::Fetch { names, progress }) => fetch::fetch(names, *progress),
        Some(ModelsCommand::Remove { name }) => remove(name),
    }
}

/// A model of the list: where it is, its name, what it is good for, its licence, and its size to download where that is
/// known.
struct Line {
    state: &'static str,
    name: String,
    purpose: String,
    licence: String,
    json: Value,
}

impl Line {
    fn of(state: &'static str, model: &Model, name: &str, file: Option<&Path>) -> Self {
        let licence = model.descriptor().map_or(Some("none needed"), |d| d.licence.as_deref());
        let mut json = as_json(model);
        json["name"] = json!(name);
        json["state"] = json!(state);
        json["file"] = json!(file.map(|file| file.to_string_lossy()));
        Self {
            state,
            name: name.to_owned(),
            purpose: model.purpose().to_owned(),
            licence: licence.unwrap_or("not stated in the file").to_owned(),
            json,
        }
    }

    /// A checkpoint that is installed and cannot be read any more.
    fn broken(there: &Installed, what: &str) -> Self {
        let json = json!({"name": there.name, "state": "broken", "file": there.file.to_string_lossy(), "error": what});
        Self { state: "installed", name: there.name.clone(), purpose: what.to_owned(), licence: "unknown".into(), json }
    }
}

fn list(json: bool) -> Result<(), Failure> {
    let folder = ModelFolder::of_user();
    let mut lines = Vec::new();
    for name in Model::names() {
        lines.push(Line::of("builtin", &Model::named(name)?, name, None));
    }
    for there in folder.as_ref().map_or_else(|_| Ok(Vec::new()), ModelFolder::list).map_err(framelift::Error::from)? {
        lines.push(match Model::open(&there.file) {
            Ok(model) => Line::of("installed", &model, &there.name, Some(&there.file)),
            Err(error) => Line::broken(&there, &error.to_string()),
        });
    }
    #[cfg(feature = "fetch")]
    lines.extend(fetch::lines(&lines));
    if json {
        out(&format!("{:#}", Value::Array(lines.into_iter().map(|line| line.json).collect())));
        return Ok(());
    }
    let place = folder.map_or_else(|_| String::new(), |folder| format!(" in {}", folder.path().display()));
    let sections = [
        ("builtin", "built in".to_owned()),
        ("installed", format!("installed{place}")),
        ("fetchable", "to fetch from their authors: framelift models fetch NAME".to_owned()),
    ];
    for (state, title) in sections {
        let here: Vec<&Line> = lines.iter().filter(|line| line.state == state).collect();
        if here.is_empty() {
            continue;
        }
        out(&title);
        for Line { name, purpose, licence, .. } in here {
            out(&format!("  {name}"));
            out(&format!("      {purpose}"));
            out(&format!("      licence: {licence}"));
        }
        out("");
    }
    out(
        "`framelift models add FILE` installs a checkpoint, `upscale --weights FILE` uses one as it lies, `models show` says what one is.",
    );
    Ok(())
}

fn add(file: &Path, overwrite: bool) -> Result<(), Failure> {
    let folder = ModelFolder::of_user().map_err(framelift::Error::from)?;
    told(&folder.add(file, overwrite)?)
}

fn remove(name: &str) -> Result<(), Failure> {
    if Model::is_reserved(name) {
        let message = format!("{name} is built in and cannot be removed");
        return Err(Failure::Command(framelift::ErrorKind::Usage, message));
    }
    let folder = ModelFolder::of_user().map_err(framelift::Error::from)?;
    let removed = folder.remove(name).map_err(framelift::Error::from)?;
    out(&format!("{} is removed ({})", removed.name, removed.file.display()));
    Ok(())
}

/// Says what was installed and how it is used.
fn told(installed: &Installed) -> Result<(), Failure> {
    let model = Model::open(&installed.file)?;
    out(&format!("{} is installed: {}", installed.name, installed.file.display()));
    if let Some(d) = model.descriptor() {
        out(&format!("  {} ({}), x{}: {}", d.architecture, d.variant, d.scale, model.purpose()));
        out(&format!("  licence: {}", d.licence.as_deref().unwrap_or("not stated in the file")));
    }
    out(&format!("  use it with: framelift upscale FILM --model {}", installed.name));
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

/// As processors keep values.
const IN_F32: Layout = Layout::packed(Precision::F32);

/// Bytes in f32 for frames of `size`: while one is worked on, and for each that a window holds.
fn memory_of(d: &Descriptor, size: Size) -> [u64; 2] {
    let each = d.held.bytes(IN_F32) + d.stored_bytes_per_pixel(IN_F32.precision);
    [work_bytes(d, size), each * size.pixels()]
}

fn work_bytes(d: &Descriptor, size: Size) -> u64 {
    d.work_bytes(size.height as usize, size.width as usize, 1, 1, IN_F32)
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
            "held_values_per_pixel": d.held.f32,
            "stored_values_per_pixel": d.stored_values_per_pixel,
            "precisions": d.precisions.iter().map(|p| p.name()).collect::<Vec<_>>(),
            "size_multiple": d.size_multiple,
            "min_side_px": d.min_side_px,
            "licence": d.licence,
        });
    }
    value
}
