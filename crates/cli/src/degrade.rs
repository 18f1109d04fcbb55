//! `framelift degrade`.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use framelift::media::Output;
use framelift::quality::{Degradation, DegradeError, Film};
use framelift::{CopyPolicy, Error, ErrorKind, ReadOptions, WriteOptions};

use crate::Failure;
use crate::args::{Degrade, DegradeCodec, DegradeKind};
use crate::report::err;

pub(crate) fn degrade(args: &Degrade) -> Result<(), Failure> {
    let degradation = match args.kind {
        DegradeKind::Bi => Degradation::Bicubic { scale: args.scale },
        DegradeKind::Bd if args.scale == 4 => Degradation::Blur,
        DegradeKind::Bd => {
            let message = format!("--kind bd is defined for --scale 4, not {}; leave --scale out", args.scale);
            return Err(Failure::Command(ErrorKind::Usage, message));
        }
    };
    let output = Output::parse(&args.output)?;
    if same_file(&args.input, &args.output) {
        return Err(Error::SameFile { path: args.output.clone() }.into());
    }
    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&interrupted);
    // Where no handler can be set, Ctrl-C ends the process as it always does.
    let _ = ctrlc::set_handler(move || flag.store(true, Ordering::Relaxed));
    let read = ReadOptions { interrupt: Some(Arc::clone(&interrupted)), ..ReadOptions::default() };
    let mut film = Film::open(&args.input, &read)?;
    let options = write_options(args);
    let go_on = || !interrupted.load(Ordering::Relaxed);
    let (frames, notices) = degradation.film(&mut film, &output, &options, &go_on).map_err(|error| match error {
        DegradeError::Media(error) => error.into(),
        DegradeError::Size { .. } => Failure::Command(ErrorKind::Limits, error.to_string()),
        _ => Failure::Command(ErrorKind::Input, error.to_string()),
    })?;
    notices.iter().for_each(|notice| err(&format!("note: {notice}")));
    err(&format!("{}: {frames} frame{}", args.output, if frames == 1 { "" } else { "s" }));
    Ok(())
}

fn write_options(args: &Degrade) -> WriteOptions {
    let extension = Path::new(&args.output).extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase);
    let (codec, crf) = match (args.codec, extension.as_deref()) {
        (Some(DegradeCodec::H264), _) => (Some("libx264"), args.crf),
        (Some(DegradeCodec::H265), _) => (Some("libx265"), args.crf),
        (None, Some("mkv")) => (Some("ffv1"), None),
        (None, Some("mp4" | "m4v" | "mov")) => (Some("libx264rgb"), Some(0.0)),
        (None, _) => (None, None),
    };
    WriteOptions {
        codec: codec.map(str::to_owned),
        crf,
        copy: CopyPolicy::None,
        overwrite: args.overwrite,
        ..WriteOptions::default()
    }
}

/// Whether both names are of one file that exists.
fn same_file(input: &str, output: &str) -> bool {
    let real = |path: &str| fs::canonicalize(path).ok().filter(|path| path.is_file());
    real(input).is_some_and(|input| real(output) == Some(input))
}
