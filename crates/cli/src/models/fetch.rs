//! `framelift models fetch`.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use framelift::{Download, Error, ModelFolder, downloads};
use indicatif::{ProgressBar, ProgressDrawTarget};
use serde_json::json;

use super::{Line, told};
use crate::Failure;
use crate::args::ProgressMode;
use crate::report::{err, human_bytes};

/// Time between lines of progress.
const INTERVAL: Duration = Duration::from_secs(5);

pub(super) fn fetch(names: &[String], progress: ProgressMode) -> Result<(), Failure> {
    let folder = ModelFolder::of_user().map_err(Error::from)?;
    // All names are looked up before anything is fetched.
    let wanted: Vec<Download> = names.iter().map(|name| Download::named(name)).collect::<Result<_, _>>()?;
    for download in &wanted {
        if progress != ProgressMode::None && progress != ProgressMode::Json {
            let size = download.bytes.map_or_else(String::new, |bytes| format!(", {}", human_bytes(bytes)));
            err(&format!("{} from {}{size}", download.name, download.url));
            err(&format!("  licence: {}", download.licence));
        }
        told(&with_progress(download, &folder, progress)?)?;
    }
    Ok(())
}

fn with_progress(
    download: &Download,
    folder: &ModelFolder,
    progress: ProgressMode,
) -> Result<framelift::Installed, Failure> {
    let bar = (progress == ProgressMode::Auto && std::io::stderr().is_terminal())
        .then(|| ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(5)));
    let mut last: Option<Instant> = None;
    let result =
        download.fetch(folder, |there, total| {
            if let Some(bar) = &bar {
                bar.set_length(total.unwrap_or(0));
                bar.set_position(there);
                return;
            }
            if last.is_some_and(|at| at.elapsed() < INTERVAL) {
                return;
            }
            match progress {
                ProgressMode::Json => {
                    err(&json!({"event": "fetch", "name": download.name, "bytes": there, "bytes_total": total})
                        .to_string());
                }
                ProgressMode::None => {}
                _ => {
                    let of = total.map_or_else(String::new, |total| format!(" of {}", human_bytes(total)));
                    err(&format!("  {}{of}", human_bytes(there)));
                }
            }
            last = Some(Instant::now());
        });
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    Ok(result?)
}

/// The published checkpoints that are not installed.
pub(super) fn lines(installed: &[Line]) -> Vec<Line> {
    let fetchable = downloads().into_iter().filter(|d| !installed.iter().any(|line| line.name == d.name));
    fetchable
        .map(|Download { name, url, bytes, sha256, purpose, licence }| Line {
            json: json!({
                "name": name, "state": "fetchable", "purpose": purpose, "licence": licence, "url": url, "bytes": bytes,
                "sha256": sha256,
            }),
            state: "fetchable",
            name,
            purpose,
            licence,
        })
        .collect()
}
