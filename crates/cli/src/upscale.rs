//! `framelift upscale`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, is_separator};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use framelift::media::Output;
use framelift::{
    Batch, BatchError, BatchFilm, CancelToken, CopyPolicy, DeviceOptions, Error, ErrorKind, Model, PartSpec, Place,
    Precision, ReadOptions, Target, Tier, Upscaler, WindowOptions, WriteOptions, output_beside,
};

use crate::args::{Compute, Keeping, PrecisionChoice, Upscale};
use crate::record::Records;
use crate::report::Reporter;
use crate::{Failure, batch};

/// After Ctrl-C a stage may be deep in a frame; past this the process ends without it.
const GRACE: Duration = Duration::from_millis(900);

pub(crate) fn upscale(args: &Upscale) -> Result<(), Failure> {
    let settings = Settings::new(args)?;
    let input = match &args.inputs[..] {
        [input] if !Path::new(input).is_dir() => input,
        inputs => {
            if args.output.is_none()
                && let Some(output) = meant_as_output(inputs)
            {
                let message =
                    format!("there is no input {output}; if that is where the film goes, say --output {output}");
                return Err(Failure::Command(ErrorKind::Usage, message));
            }
            let place = match args.output.as_deref() {
                Some("-") => {
                    let message = "several films cannot go to one pipe; name a folder with --output";
                    return Err(Failure::Command(ErrorKind::Usage, message.into()));
                }
                Some(output) if names_a_film(output) => {
                    return Err(Error::from(BatchError::FileForFolder { file: output.into() }).into());
                }
                Some(output) => Place::Folder(output.into()),
                None => Place::Beside { label: settings.label().into() },
            };
            return batch::batch(args, settings, &place);
        }
    };
    let output = match &args.output {
        Some(folder) if folder != "-" && (Path::new(folder).is_dir() || folder.ends_with(is_separator)) => {
            let alone = Batch::collect(std::slice::from_ref(input), &Place::Folder(folder.into()))?;
            let output = alone.films().first().map(|film| film.output.clone()).unwrap_or_default();
            std::fs::create_dir_all(folder).map_err(|error| {
                Failure::Command(
                    ErrorKind::Output,
                    format!("the folder {folder} cannot be made: {error}; check the disk"),
                )
            })?;
            output
        }
        Some(output) => output.clone(),
        None => output_beside(input, settings.label())?,
    };
    one(args, &settings, input, &output)
}

/// One film by itself.
fn one(args: &Upscale, settings: &Settings, input: &str, output: &str) -> Result<(), Failure> {
    let reporter = Arc::new(Reporter::new(args.progress));
    reporter.heading(&format!("{input} -> {output} with {}", settings.label()));
    let film = BatchFilm { input: input.to_owned(), output: output.to_owned() };
    let records = Arc::new(Records::new(std::slice::from_ref(&film), settings.label()));
    records.began(0);
    let events = (Arc::clone(&reporter), Arc::clone(&records));
    let cancel = CancelToken::new();
    let upscaler = settings.upscaler(&film).cancel(&cancel).on_event(move |event| {
        events.1.event(0, &event);
        events.0.event(&event);
    });
    let failure = match run_until_interrupt(cancel, move || upscaler.run()) {
        Finished::Done(Ok(summary)) => {
            reporter.finished(output, &summary);
            records.made(0, &summary);
            None
        }
        Finished::Done(Err(error)) => Some(error.into()),
        Finished::Panicked => {
            framelift::discard_partial_outputs();
            Some(crate::bug())
        }
        Finished::Overdue => {
            framelift::discard_partial_outputs();
            Some(interrupted_at(output))
        }
    };
    if let Some(failure) = &failure {
        reporter.abandon();
        records.failed(0, failure);
    }
    let written = args.report.as_deref().map_or(Ok(()), |report| records.write(report, &[]));
    failure.map_or(written, Err)
}

/// Ctrl-C ended the work on `output`, of which some may be kept.
fn interrupted_at(output: &str) -> Failure {
    match framelift::status(output) {
        Ok(Some(status)) if status.frames_done > 0 => {
            let (frames, folder) = (status.frames_done, status.folder.display());
            let message = format!(
                "interrupted; the first {frames} frames are kept in {folder}, the same command goes on from there"
            );
            Failure::Command(ErrorKind::Interrupted, message)
        }
        _ => interrupted(),
    }
}

/// Ctrl-C ended work of which nothing is kept.
pub(crate) fn interrupted() -> Failure {
    Failure::Command(ErrorKind::Interrupted, "interrupted; nothing was left under the output's name".into())
}

/// Whether `output` is the name of a film that may be written, rather than a folder.
fn names_a_film(output: &str) -> bool {
    !Path::new(output).is_dir() && Output::parse(output).is_ok()
}

/// The last of several inputs, where it is none, but the name of a film that may be written.
fn meant_as_output(inputs: &[String]) -> Option<&String> {
    let [_, .., last] = inputs else { return None };
    (names_a_film(last) && !Path::new(last).exists() && !last.contains("://")).then_some(last)
}

/// How each film is worked on.
#[derive(Clone)]
pub(crate) struct Settings {
    model: Option<Model>,
    tier: Tier,
    label: String,
    write: WriteOptions,
    read: ReadOptions,
    device: DeviceOptions,
    part: PartSpec,
    shots: bool,
    windows: WindowOptions,
    target: Option<Target>,
    keeping: Keeping,
}

impl Settings {
    fn new(args: &Upscale) -> Result<Self, Failure> {
        let (model, tier) = (model(args)?, tier(args));
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
        let mut read = ReadOptions { deinterlace: args.deinterlace.into(), ..ReadOptions::default() };
        if let Some(rate) = args.frame_rate {
            read.sequence_rate = rate;
        }
        let mut device = device(&args.compute)?;
        device.memory_limit_bytes = args.memory;
        Ok(Self {
            label: model.as_ref().map_or(tier.name(), Model::name).to_owned(),
            model,
            tier,
            write,
            read,
            device,
            part: args.part(),
            shots: !args.no_shots,
            windows: args.windows(),
            target: args.target(),
            keeping: args.keeping.clone(),
        })
    }

    /// What results are called by: the model's name.
    pub(crate) fn label(&self) -> &str {
        &self.label
    }

    /// The work on one film of many: what is said of encoders is not for pictures.
    pub(crate) fn of_batch(&self, film: &BatchFilm) -> Upscaler {
        let mut settings = self.clone();
        if matches!(Output::parse(&film.output), Ok(Output::Sequence(_))) {
            let WriteOptions { codec, crf, preset, encoder_options, .. } = &mut settings.write;
            (*codec, *crf, *preset) = (None, None, None);
            encoder_options.clear();
        }
        settings.upscaler(film)
    }

    /// The work on one film.
    pub(crate) fn upscaler(&self, film: &BatchFilm) -> Upscaler {
        let mut upscaler = Upscaler::new(&film.input, &film.output)
            .part(self.part)
            .shots(self.shots)
            .windows(self.windows)
            .device(self.device.clone())
            .read(self.read.clone())
            .write(self.write.clone())
            .tier(self.tier)
            .resume(!self.keeping.no_resume)
            .fresh(self.keeping.fresh);
        if let Some(frames) = self.keeping.piece {
            upscaler = upscaler.piece_frames(frames);
        }
        if let Some(bytes) = self.keeping.disk {
            upscaler = upscaler.disk_limit_bytes(bytes as u64);
        }
        if let Some(model) = &self.model {
            upscaler = upscaler.model(model.clone());
        }
        match self.target {
            Some(target) => upscaler.target(target),
            None => upscaler,
        }
    }
}

/// How the work ended.
pub(crate) enum Finished<T> {
    Done(T),
    /// It did not end within [`GRACE`] of Ctrl-C.
    Overdue,
    Panicked,
}

/// Runs `work` on a thread of its own, so that Ctrl-C need not wait for it.
pub(crate) fn run_until_interrupt<T: Send + 'static>(
    cancel: CancelToken,
    work: impl FnOnce() -> T + Send + 'static,
) -> Finished<T> {
    let (done, wait) = mpsc::channel();
    let overdue = done.clone();
    // Where no handler can be set, Ctrl-C ends the process as it always does.
    let _ = ctrlc::set_handler(move || {
        cancel.cancel();
        let overdue = overdue.clone();
        thread::spawn(move || {
            thread::sleep(GRACE);
            let _ = overdue.send(Finished::Overdue);
        });
    });
    thread::spawn(move || {
        let result = catch_unwind(AssertUnwindSafe(work));
        let _ = done.send(result.map_or(Finished::Panicked, Finished::Done));
    });
    wait.recv().unwrap_or(Finished::Panicked)
}

/// The built-in models to choose from where [`model`] finds none.
fn tier(args: &Upscale) -> Tier {
    args.model.as_deref().and_then(Tier::named).unwrap_or_default()
}

/// The model that is asked for, if it is not left to the film.
fn model(args: &Upscale) -> Result<Option<Model>, Failure> {
    let installed = args.model.as_deref().and_then(Model::installed);
    let file = args.weights.as_deref().or(installed.as_ref().map(|there| there.file.as_path()));
    let model = match (file, args.denoise, args.model.as_deref()) {
        (Some(file), Some(strength), _) => Some(Model::open_denoise(file, args.denoise_weights.as_deref(), strength)?),
        (None, Some(_), _) => {
            let message = "--denoise is for realesr-general-x4v3: name its file with --weights, or install it and name it with --model";
            return Err(Failure::Command(ErrorKind::Usage, message.into()));
        }
        (Some(file), None, None) => Some(Model::open(file)?),
        (_, None, None) => None,
        (_, None, Some(name)) if Tier::named(name).is_some() => None,
        (_, None, Some(name)) => Some(Model::named(name)?),
    };
    match (model, args.cleaning_threshold) {
        (Some(model), Some(threshold)) => Ok(Some(model.cleaning_threshold(threshold)?)),
        (None, Some(_)) => {
            let message = "--cleaning-threshold is for RealBasicVSR: name its file with --weights, or install it and name it with --model";
            Err(Failure::Command(ErrorKind::Usage, message.into()))
        }
        (model, None) => Ok(model),
    }
}

pub(crate) fn device(compute: &Compute) -> Result<DeviceOptions, Failure> {
    let (device, beside) = framelift::parse_devices(&compute.device)?;
    Ok(DeviceOptions {
        device,
        beside,
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
