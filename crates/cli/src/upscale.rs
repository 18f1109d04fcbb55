//! `framelift upscale`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use framelift::{
    CancelToken, CopyPolicy, DeviceOptions, ErrorKind, Model, Precision, ReadOptions, Upscaler, WriteOptions,
};

use crate::Failure;
use crate::args::{Compute, PrecisionChoice, Upscale};
use crate::report::Reporter;

/// After Ctrl-C a stage may be deep in a frame; past this the process ends without it.
const GRACE: Duration = Duration::from_millis(900);

pub(crate) fn upscale(args: &Upscale) -> Result<(), Failure> {
    let model = model(args)?;
    let output = match &args.output {
        Some(output) => output.clone(),
        None => default_output(&args.input, args.model.as_deref().unwrap_or("lift"), args.weights.as_deref())?,
    };
    let write = WriteOptions {
        codec: args.codec.clone(),
        crf: args.crf,
        preset: args.preset.clone(),
        encoder_options: args.encoder_options.clone().unwrap_or_default().0,
        copy: CopyPolicy::parse(&args.copy)?,
        png16: args.png16,
        overwrite: args.overwrite,
        ..WriteOptions::default()
    };
    let mut read = ReadOptions::default();
    if let Some(rate) = args.frame_rate {
        read.sequence_rate = rate;
    }
    let mut device = device(&args.compute)?;
    device.memory_limit_bytes = args.memory;

    let reporter = Arc::new(Reporter::new(args.progress));
    let name = model.as_ref().map_or("lift", Model::name);
    reporter.heading(&format!("{} -> {output} with {name}", args.input));
    let events = Arc::clone(&reporter);
    let cancel = CancelToken::new();
    let mut upscaler = Upscaler::new(&args.input, &output)
        .part(args.part())
        .shots(!args.no_shots)
        .windows(args.windows())
        .device(device)
        .read(read)
        .write(write)
        .cancel(&cancel)
        .on_event(move |event| events.event(&event));
    if let Some(model) = model {
        upscaler = upscaler.model(model);
    }
    if let Some(target) = args.target() {
        upscaler = upscaler.target(target);
    }
    let result = run_until_interrupt(cancel, move || upscaler.run());
    match result {
        Outcome::Done(Ok(summary)) => {
            reporter.finished(&output, &summary);
            Ok(())
        }
        Outcome::Done(Err(error)) => {
            reporter.abandon();
            Err(error.into())
        }
        Outcome::Panicked => {
            reporter.abandon();
            framelift::discard_partial_outputs();
            Err(crate::bug())
        }
        Outcome::Overdue => {
            reporter.abandon();
            framelift::discard_partial_outputs();
            Err(Failure::Command(
                ErrorKind::Interrupted,
                "interrupted; nothing was left under the output's name".into(),
            ))
        }
    }
}

enum Outcome<T> {
    Done(T),
    /// It did not end within [`GRACE`] of Ctrl-C.
    Overdue,
    Panicked,
}

/// Runs `work` on a thread of its own, so that Ctrl-C need not wait for it.
fn run_until_interrupt<T: Send + 'static>(
    cancel: CancelToken,
    work: impl FnOnce() -> T + Send + 'static,
) -> Outcome<T> {
    let (done, wait) = mpsc::channel();
    let overdue = done.clone();
    // Where no handler can be set, Ctrl-C ends the process as it always does.
    let _ = ctrlc::set_handler(move || {
        cancel.cancel();
        let overdue = overdue.clone();
        thread::spawn(move || {
            thread::sleep(GRACE);
            let _ = overdue.send(Outcome::Overdue);
        });
    });
    thread::spawn(move || {
        let result = catch_unwind(AssertUnwindSafe(work));
        let _ = done.send(result.map_or(Outcome::Panicked, Outcome::Done));
    });
    wait.recv().unwrap_or(Outcome::Panicked)
}

fn model(args: &Upscale) -> Result<Option<Model>, Failure> {
    let model = match (&args.model, &args.weights) {
        (_, Some(file)) => match args.denoise {
            Some(strength) => Some(Model::open_denoise(file, args.denoise_weights.as_deref(), strength)?),
            None => Some(Model::open(file)?),
        }
        .map(|model| match args.cleaning_threshold {
            Some(threshold) => model.cleaning_threshold(threshold),
            None => Ok(model),
        })
        .transpose()?,
        (Some(name), None) if name != "lift" => Some(Model::named(name)?),
        _ => None,
    };
    Ok(model)
}

pub(crate) fn device(compute: &Compute) -> Result<DeviceOptions, Failure> {
    Ok(DeviceOptions {
        device: compute.device.parse()?,
        precision: match compute.precision {
            PrecisionChoice::Auto => None,
            PrecisionChoice::F32 => Some(Precision::F32),
            PrecisionChoice::Bf16 => Some(Precision::Bf16),
            PrecisionChoice::F16 => Some(Precision::F16),
        },
        threads: compute.threads.map(usize::from),
        memory_limit_bytes: None,
    })
}

/// `film.mp4` becomes `film.lift.mp4`; what framelift does not write becomes Matroska.
fn default_output(input: &str, model: &str, weights: Option<&Path>) -> Result<String, Failure> {
    let path = Path::new(input);
    if input == "-" || input.contains("://") || input.contains('%') {
        let message = format!("no name for the output can be made from {input}; give one with --output");
        return Err(Failure::Command(ErrorKind::Usage, message));
    }
    let model = weights.and_then(Path::file_stem).map_or_else(|| model.into(), |stem| stem.to_string_lossy());
    let extension = path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase);
    let extension = extension.as_deref().filter(|e| ["mp4", "mov", "m4v", "webm"].contains(e)).unwrap_or("mkv");
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let name: PathBuf = path.with_file_name(format!("{stem}.{model}.{extension}"));
    Ok(name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_are_named_after_input_and_model() {
        let name = |input, weights| default_output(input, "lift", weights).unwrap();
        assert_eq!(name("a/film.mp4", None), "a/film.lift.mp4");
        assert_eq!(name("film.v2.avi", None), "film.v2.lift.mkv");
        assert_eq!(name("film.TS", Some(Path::new("w/net.pth"))), "film.net.mkv");
        assert!(default_output("-", "lift", None).is_err());
    }
}
