//! Command lines: each line of the input is an argument.

use clap::Parser;
use framelift::media::{CopyPolicy, Input, Output};
use framelift::{Device, Size};

#[expect(dead_code, unused_imports, reason = "only parsing is of interest here")]
#[path = "../../crates/cli/src/args/mod.rs"]
mod args;

/// Parses the arguments, and all that the program reads out of them before it opens a file.
pub(crate) fn run(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let arguments: Vec<&str> = text.split('\n').collect();
    for argument in &arguments {
        let _ = Input::parse(argument);
        let _ = Output::parse(argument);
        let _ = CopyPolicy::parse(argument);
        let _ = argument.parse::<Device>();
        let _ = framelift::output_beside(argument, "lift");
    }
    let Ok(cli) = args::Cli::try_parse_from(std::iter::once("framelift").chain(arguments)) else { return };
    if let args::Command::Upscale(upscale) = cli.command {
        let (_, _) = (upscale.part(), upscale.windows());
        for size in [Size::new(1, 1), Size::new(720, 576), Size::new(16_384, 16_384)] {
            let Some(target) = upscale.target() else { continue };
            if let Ok(size) = target.resolve(size) {
                assert!(!size.is_empty() && size.width.max(size.height) <= 16_384, "{target:?} gives {size}");
            }
        }
    }
}
