//! `framelift degrade`.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use framelift::media::Output;
use framelift::quality::{Degradation, DegradeError, Film};
use framelift::{CopyPolicy, Deinterlace, Error, ErrorKind, ReadOptions, WriteOptions};

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
    let read = ReadOptions {
        deinterlace: Deinterlace::Off,
        interrupt: Some(Arc::clone(&interrupted)),
        ..ReadOptions::default()
    };
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
    let codec = args.codec.map(|codec| match codec {
        DegradeCodec::H264 => "libx264".to_owned(),
        DegradeCodec::H265 => "libx265".to_owned(),
    });
    WriteOptions { codec, crf: args.crf, copy: CopyPolicy::None, overwrite: args.overwrite, ..WriteOptions::default() }
}

/// Whether both names are of one file that exists.
fn same_file(input: &str, output: &str) -> bool {
    let real = |path: &str| fs::canonicalize(path).ok().filter(|path| path.is_file());
    real(input).is_some_and(|input| real(output) == Some(input))
}
