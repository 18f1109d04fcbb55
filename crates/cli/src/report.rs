//! What people and machines are told: results on stdout, all else on stderr.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use framelift::{Event, Plan, Progress, Summary, WindowPlan};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use crate::Failure;
use crate::args::ProgressMode;

/// A line on stdout. A closed pipe is nobody's loss.
pub(crate) fn out(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// A line on stderr.
pub(crate) fn err(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Says why the command failed.
pub(crate) fn failure(failure: &Failure, json: bool) {
    if json {
        let event = json!({"event": "error", "message": failure.to_string(), "exit_code": failure.kind().exit_code()});
        err(&event.to_string());
    } else {
        err(&format!("framelift: {failure}"));
    }
}

/// Time between lines of plain progress.
const PLAIN_INTERVAL: Duration = Duration::from_secs(5);

/// Time between lines of JSON progress; the first and the last frame always have one.
const JSON_INTERVAL: Duration = Duration::from_millis(200);

/// Shows the events of a run.
pub(crate) struct Reporter {
    mode: Mode,
    last_line: Mutex<Option<Instant>>,
    /// The latest progress, where it was not shown.
    unshown: Mutex<Option<Progress>>,
}

enum Mode {
    Bar(ProgressBar),
    Plain,
    Json,
    None,
}

impl Reporter {
    pub(crate) fn new(mode: ProgressMode) -> Self {
        let mode = match mode {
            ProgressMode::Auto if std::io::stderr().is_terminal() => Mode::Bar(bar()),
            ProgressMode::Auto | ProgressMode::Plain => Mode::Plain,
            ProgressMode::Json => Mode::Json,
            ProgressMode::None => Mode::None,
        };
        Self { mode, last_line: Mutex::new(None), unshown: Mutex::new(None) }
    }

    pub(crate) fn event(&self, event: &Event) {
        match event {
            Event::Started(plan) => self.started(plan),
            Event::Notice(notice) => self.notice(notice),
            Event::Progress(progress) => self.progress(progress),
            Event::Window(done) => self.window(*done),
            _ => {}
        }
    }

    /// What is about to happen, in a line.
    pub(crate) fn heading(&self, text: &str) {
        match &self.mode {
            Mode::Bar(_) | Mode::Plain => err(text),
            Mode::Json | Mode::None => {}
        }
    }

    fn started(&self, plan: &Plan) {
        let Plan { input, output, frames, encoder, .. } = plan;
        match &self.mode {
            Mode::Bar(_) | Mode::Plain => {
                let frames = frames.map_or_else(|| "frames".to_owned(), |n| format!("{n} frames"));
                err(&format!("{input} -> {output}, {frames}, encoder {encoder}, {}", memory(plan)));
            }
            Mode::Json => err(&json!({
                "event": "started", "input": input.to_string(), "output": output.to_string(),
                "frames_total": frames, "encoder": encoder, "memory_bytes": plan.memory_bytes,
                "memory_limit_bytes": plan.memory_limit_bytes, "device_bytes": plan.device_bytes, "shots": plan.shots,
                "window": plan.window.map(|w| json!({
                    "body": w.body, "context": w.context, "still": w.still.map(|(body, context)| json!({
                        "body": body, "context": context,
                    })), "store_bytes": w.store_bytes, "scratch_bytes": w.scratch_bytes,
                })),
                "tiles": plan.tiles.map(|(columns, rows, tile)| json!({
                    "columns": columns, "rows": rows, "size": tile.to_string(),
                })),
            })
            .to_string()),
            Mode::None => {}
        }
        if let (Mode::Bar(bar), Some(frames)) = (&self.mode, frames) {
            bar.set_length(*frames);
        }
    }

    fn notice(&self, notice: &str) {
        match &self.mode {
            Mode::Bar(bar) => bar.suspend(|| err(&format!("note: {notice}"))),
            Mode::Plain => err(&format!("note: {notice}")),
            Mode::Json => err(&json!({"event": "notice", "message": notice}).to_string()),
            Mode::None => {}
        }
    }

    /// A window's frames come at its end; until then there is this.
    fn window(&self, done: f64) {
        let percent = (done * 100.0).round();
        match &self.mode {
            Mode::Bar(bar) => bar.set_message(format!("window {percent} %")),
            Mode::Plain if self.due(PLAIN_INTERVAL) => err(&format!("window {percent} %")),
            Mode::Json if self.due(JSON_INTERVAL) => err(&json!({"event": "window", "done": done}).to_string()),
            _ => {}
        }
    }

    fn progress(&self, progress: &Progress) {
        let Progress { frames_done, frames_total, position, fps, eta, .. } = progress;
        match &self.mode {
            Mode::Bar(bar) => {
                if let Some(total) = frames_total {
                    bar.set_length(*total);
                }
                bar.set_position(*frames_done);
                let eta = eta.map_or_else(String::new, |eta| format!(", {} left", human_time(eta)));
                bar.set_message(format!("{position}  {fps:.2} fps{eta}"));
            }
            Mode::Plain if self.due(PLAIN_INTERVAL) => err(&plain(progress)),
            Mode::Json => {
                let due = self.due(JSON_INTERVAL);
                if due {
                    err(&progress_json(progress, *frames_total));
                }
                *self.unshown.lock().unwrap_or_else(PoisonError::into_inner) = (!due).then_some(*progress);
            }
            _ => {}
        }
    }

    /// The last word on a run that ended well.
    pub(crate) fn finished(&self, output: &str, summary: &Summary) {
        let Summary { frames, size, elapsed, first_frame, network, shots, peak_resident_bytes } = summary;
        let fps = *frames as f64 / elapsed.as_secs_f64().max(1e-9);
        let plural = if *frames == 1 { "" } else { "s" };
        let done = || {
            let peak = peak_resident_bytes.map_or_else(String::new, |peak| format!(", {} at most", human_bytes(peak)));
            let shots = match shots {
                None => String::new(),
                Some(1) => " in one shot".to_owned(),
                Some(shots) => format!(" in {shots} shots"),
            };
            format!(
                "{output}: {frames} frame{plural} of {size}{shots} in {} ({fps:.2} fps{peak})",
                human_time(*elapsed)
            )
        };
        match &self.mode {
            Mode::Bar(bar) => {
                bar.finish_and_clear();
                err(&done());
            }
            Mode::Plain => err(&done()),
            Mode::Json => {
                if let Some(last) = self.unshown.lock().unwrap_or_else(PoisonError::into_inner).take() {
                    err(&progress_json(&last, Some(*frames)));
                }
                err(&json!({
                    "event": "finished", "output": output, "frames": frames, "size": size.to_string(),
                    "elapsed_s": elapsed.as_secs_f64(), "first_frame_s": first_frame.as_secs_f64(),
                    "network_s": network.as_secs_f64(), "fps": fps, "shots": shots,
                    "peak_resident_bytes": peak_resident_bytes,
                })
                .to_string());
            }
            Mode::None => {}
        }
    }

    /// Clears the bar before an error is shown.
    pub(crate) fn abandon(&self) {
        if let Mode::Bar(bar) = &self.mode {
            bar.finish_and_clear();
        }
    }

    fn due(&self, interval: Duration) -> bool {
        let mut last = self.last_line.lock().unwrap_or_else(PoisonError::into_inner);
        let due = last.is_none_or(|at| at.elapsed() >= interval);
        if due {
            *last = Some(Instant::now());
        }
        due
    }
}

/// How a run goes about its memory: `window of 40 + 2x12 frames, features in memory, about 3.1 GiB of 4.0 GiB`.
fn memory(plan: &Plan) -> String {
    let mut line = String::new();
    if let Some(WindowPlan { body, context, store_bytes, scratch_bytes, .. }) = &plan.window {
        let _ = match (body, plan.shots) {
            (0, true) => write!(line, "one window a shot"),
            (0, false) => write!(line, "one window"),
            _ => write!(line, "window of {body} + 2x{context} frames"),
        };
        let scratch = human_bytes(*scratch_bytes);
        let _ = match (store_bytes, scratch_bytes) {
            (_, 0) => write!(line, ", features in memory, "),
            (0, _) => write!(line, ", features in a scratch file of {scratch}, "),
            _ => write!(line, ", features in memory and in a scratch file of {scratch}, "),
        };
    }
    if let Some((columns, rows, tile)) = &plan.tiles {
        let _ = write!(line, "{columns} x {rows} tiles of {tile}, ");
    }
    let (needed, limit) = (human_bytes(plan.memory_bytes), human_bytes(plan.memory_limit_bytes));
    let _ = write!(line, "about {needed} of {limit} of memory");
    if let Some(bytes) = plan.device_bytes {
        let _ = write!(line, " and {} of the device's", human_bytes(bytes));
    }
    line
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(5));
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len}  {msg}") {
        bar.set_style(style);
    }
    bar
}

fn progress_json(progress: &Progress, frames_total: Option<u64>) -> String {
    json!({
        "event": "progress", "frames_done": progress.frames_done, "frames_total": frames_total,
        "position_s": progress.position.seconds(), "fps": progress.fps,
        "eta_s": progress.eta.map(|eta| eta.as_secs_f64()), "elapsed_s": progress.elapsed.as_secs_f64(),
    })
    .to_string()
}

fn plain(progress: &Progress) -> String {
    let Progress { frames_done, frames_total, position, fps, eta, .. } = progress;
    let mut line = format!("frame {frames_done}");
    if let Some(total) = frames_total {
        let _ = write!(line, " of {total}");
    }
    let _ = write!(line, ", {position}, {fps:.2} fps");
    if let Some(eta) = eta {
        let _ = write!(line, ", {} left", human_time(*eta));
    }
    line
}

/// `42 s`, `3 min 20 s`, `2 h 05 min`.
pub(crate) fn human_time(time: Duration) -> String {
    let s = time.as_secs_f64();
    let whole = s.round() as u64;
    match whole {
        0..10 => format!("{s:.1} s"),
        10..60 => format!("{whole} s"),
        60..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3600, whole / 60 % 60),
    }
}

/// `512 bytes`, `3.4 MiB`.
pub(crate) fn human_bytes(bytes: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut name = "bytes";
    for unit in units {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        name = unit;
    }
    if name == "bytes" { format!("{bytes} bytes") } else { format!("{value:.1} {name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_sizes_read_well() {
        assert_eq!(human_time(Duration::from_millis(1234)), "1.2 s");
        assert_eq!(human_time(Duration::from_secs(59)), "59 s");
        assert_eq!(human_time(Duration::from_secs(200)), "3 min 20 s");
        assert_eq!(human_time(Duration::from_secs(7500)), "2 h 05 min");
        assert_eq!(human_bytes(512), "512 bytes");
        assert_eq!(human_bytes(3_565_158), "3.4 MiB");
    }
}
