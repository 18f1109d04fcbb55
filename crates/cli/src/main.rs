//! The command `framelift`: arguments, progress and errors for people and machines, exit codes.

mod args;
mod batch;
mod bench;
mod degrade;
mod demo;
mod devices;
mod font;
mod measure;
mod models;
mod png_file;
mod preview;
mod probe;
mod record;
mod report;
mod status;
mod upscale;

use std::process::ExitCode;

use clap::Parser;
use framelift::{Error, ErrorKind};

use crate::args::{Cli, Command, ProgressMode};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Where even stderr is closed, the exit code is all there is.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { ErrorKind::Usage.exit_code() } else { 0 });
        }
    };
    log(cli.verbose);
    let json = match &cli.command {
        Command::Upscale(args) => args.progress == ProgressMode::Json,
        Command::Preview(args) => args.progress == ProgressMode::Json,
        _ => false,
    };
    let run = || match &cli.command {
        Command::Upscale(args) => upscale::upscale(args),
        Command::Status(args) => status::status(args),
        Command::Preview(args) => preview::preview(args),
        Command::Probe(args) => probe::probe(args),
        Command::Models(args) => models::models(args),
        Command::Devices(args) => devices::devices(args),
        Command::Bench(args) => bench::bench(args),
        Command::Measure(args) => measure::measure(args),
        Command::Degrade(args) => degrade::degrade(args),
        Command::Demo(args) => demo::demo(args),
    };
    match std::panic::catch_unwind(run).unwrap_or_else(|_| Err(bug())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            report::failure(&failure, json);
            ExitCode::from(failure.exit_code())
        }
    }
}

/// What ends a command.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The library's error.
    Library(Error),
    /// A fault found by the command line itself.
    Command(ErrorKind, String),
    /// Films of a batch that failed, told one by one before.
    SomeFailed(String),
}

/// The exit code of a batch of which some films failed.
const SOME_FAILED: u8 = 1;

impl Failure {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Library(error) => error.kind().exit_code(),
            Self::Command(kind, _) => kind.exit_code(),
            Self::SomeFailed(_) => SOME_FAILED,
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Library(error) => error.fmt(f),
            Self::Command(_, message) | Self::SomeFailed(message) => f.write_str(message),
        }
    }
}

impl<E: Into<Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Library(error.into())
    }
}

/// What is said after a panic, whose own message has gone to stderr already.
fn bug() -> Failure {
    let message = "a bug in framelift ended the run (details above); please report it with the command and, if you can, the input";
    Failure::Command(ErrorKind::Bug, message.into())
}

fn log(verbose: u8) {
    let level = match verbose {
        0 => "off",
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_env("FRAMELIFT_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(level));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false).init();
}
