//! `framelift devices`: what there is to compute on.

use framelift::DeviceInfo;
use serde_json::{Value, json};

use crate::Failure;
use crate::args::Devices;
use crate::report::{human_bytes, out};

pub(crate) fn devices(args: &Devices) -> Result<(), Failure> {
    let devices = framelift::devices();
    if args.json {
        out(&Value::from(devices.iter().map(as_json).collect::<Vec<_>>()).to_string());
        return Ok(());
    }
    for device in &devices {
        out(&row(device));
    }
    if !cfg!(feature = "gpu") {
        out("This build knows no GPUs; build with `--features gpu` for graphics cards.");
    } else if devices.iter().all(|device| device.backend == "cpu") {
        out("No GPU was found: none is there, or its Vulkan driver is not installed.");
    }
    Ok(())
}

/// `vulkan:0  NVIDIA H100, discrete, 80.0 GiB, f16, matrix cores`.
fn row(device: &DeviceInfo) -> String {
    let DeviceInfo { device: choice, name, backend, kind, memory_bytes, f16, matrix_cores } = device;
    let mut line = format!("{:<10} {name}, {kind}", choice.to_string());
    if *backend == "metal" {
        line.push_str(", Metal");
    }
    if let Some(bytes) = memory_bytes {
        let free = if *backend == "cpu" { " free" } else { "" };
        line.push_str(&format!(", {}{free}", human_bytes(*bytes)));
    }
    if *f16 {
        line.push_str(", f16");
    }
    if *matrix_cores {
        line.push_str(", matrix cores");
    }
    if *kind == "software" {
        line.push_str(" (for tests; slower than cpu, never chosen by auto)");
    }
    line
}

fn as_json(device: &DeviceInfo) -> Value {
    json!({
        "device": device.device.to_string(),
        "name": device.name,
        "backend": device.backend,
        "kind": device.kind,
        "memory_bytes": device.memory_bytes,
        "f16": device.f16,
        "matrix_cores": device.matrix_cores,
    })
}
