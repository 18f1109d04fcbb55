//! `framelift status`.

use framelift::JobStatus;
use serde_json::json;

use crate::Failure;
use crate::args::Status;
use crate::report::{human_bytes, out};

pub(crate) fn status(args: &Status) -> Result<(), Failure> {
    let status = framelift::status(&args.output)?;
    if args.json {
        let object = status.as_ref().map(|status| {
            json!({
                "input": status.input, "output": status.output, "model": status.model, "folder": status.folder,
                "pieces": status.pieces, "frames_done": status.frames_done, "frames_total": status.frames_total,
                "bytes": status.bytes, "complete": status.complete, "running": status.running, "next": next(status),
            })
        });
        out(&object.map_or_else(|| "null".to_owned(), |object| object.to_string()));
        return Ok(());
    }
    let Some(status) = status else {
        let there = std::path::Path::new(&args.output).exists();
        out(&if there {
            format!("{}: no job is under way; the output is there", args.output)
        } else {
            format!("{}: no job is under way, and there is no such output", args.output)
        });
        return Ok(());
    };
    let frames = match status.frames_total {
        Some(total) if total > 0 => {
            let percent = status.frames_done as f64 / total as f64 * 100.0;
            format!("{} of about {total} frames ({percent:.1} %)", status.frames_done)
        }
        _ => format!("{} frames", status.frames_done),
    };
    out(&format!("{} -> {} with {}", status.input, status.output, status.model));
    let plural = if status.pieces == 1 { "" } else { "s" };
    out(&format!(
        "kept: {frames} in {} piece{plural}, {} in {}",
        status.pieces,
        human_bytes(status.bytes),
        status.folder.display()
    ));
    out(next(&status));
    Ok(())
}

/// What happens next, or what to do.
fn next(status: &JobStatus) -> &'static str {
    match (status.running, status.complete) {
        (true, false) => "at work now",
        (true, true) => "being put together now",
        (false, false) => "stopped; the same command goes on from there",
        (false, true) => "stopped with every frame made; the same command puts the film together",
    }
}
