//! What people and machines are told: results on stdout, all else on stderr.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use framelift::{Event, Plan, Precision, Progress, Summary, WindowPlan};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};

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
        let event = json!({"event": "error", "message": failure.to_string(), "exit_code": failure.exit_code()});
        err(&event.to_string());
    } else {
        err(&format!("framelift: {failure}"));
    }
}

/// Time between lines of plain progress.
const PLAIN_INTERVAL: Duration = Duration::from_secs(5);

/// Time between lines of JSON progress; the first and the last frame always have one.
const JSON_INTERVAL: Duration = Duration::from_millis(200);

/// Which film of a batch is worked on, and how far the whole batch is.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    /// The film's number, from 1, and how many there are.
    film: (usize, usize),
    share: Option<f64>,
    left: Option<Duration>,
}

/// Shows the events of a run, or of one run after another.
pub(crate) struct Reporter {
    mode: Mode,
    /// In a batch, where it is.
    place: Mutex<Option<Place>>,
    /// When the film will be made, by the last that was told.
    end: Mutex<Option<Instant>>,
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
        Self {
            mode,
            place: Mutex::new(None),
            end: Mutex::new(None),
            last_line: Mutex::new(None),
            unshown: Mutex::new(None),
        }
    }

    /// From here on, film `number` of `count` is worked on.
    pub(crate) fn film(&self, number: usize, count: usize) {
        *self.place.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Place { film: (number, count), ..Place::default() });
        *self.unshown.lock().unwrap_or_else(PoisonError::into_inner) = None;
        *self.end.lock().unwrap_or_else(PoisonError::into_inner) = None;
        *self.last_line.lock().unwrap_or_else(PoisonError::into_inner) = None;
        if let Mode::Bar(bar) = &self.mode {
            bar.set_position(0);
            bar.set_message("");
        }
    }

    /// How far the whole batch is, and how long it will take, where known.
    pub(crate) fn whole(&self, share: Option<f64>, left: Option<Duration>) {
        if let Some(place) = &mut *self.place.lock().unwrap_or_else(PoisonError::into_inner) {
            (place.share, place.left) = (share, left);
        }
    }

    /// Where the batch is; `None` for a film by itself.
    fn place(&self) -> Option<Place> {
        *self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A line for people, which says of a batch which film it is about.
    fn line(&self, text: &str) {
        let text = match self.place() {
            Some(Place { film: (number, count), .. }) => format!("[{number}/{count}] {text}"),
            None => text.to_owned(),
        };
        match &self.mode {
            Mode::Bar(bar) => bar.suspend(|| err(&text)),
            Mode::Plain => err(&text),
            Mode::Json | Mode::None => {}
        }
    }

    /// A line for machines, which says of a batch which film it is about and how far the whole is.
    fn object(&self, mut event: Value) {
        if let Some(Place { film, share, left }) = self.place() {
            event["film"] = json!(film.0);
            event["films"] = json!(film.1);
            if event["event"] == "progress" {
                event["batch_done"] = json!(share);
                event["batch_eta_s"] = json!(left.map(|left| left.as_secs_f64()));
            }
        }
        err(&event.to_string());
    }

    pub(crate) fn event(&self, event: &Event) {
        match event {
            Event::Started(plan) => self.started(plan),
            Event::Notice(notice) => self.notice(notice),
            Event::Progress(progress) => self.progress(progress),
            Event::Window(done) => self.window(*done),
            Event::Joining(done) => self.joining(*done),
            _ => {}
        }
    }

    /// What is about to happen, in a line.
    pub(crate) fn heading(&self, text: &str) {
        self.line(text);
    }

    /// A last word for people that is of no single film.
    pub(crate) fn whole_run(&self, text: &str) {
        if matches!(self.mode, Mode::Bar(_) | Mode::Plain) {
            err(text);
        }
    }

    /// Something for machines only.
    pub(crate) fn machine(&self, event: Value) {
        if matches!(self.mode, Mode::Json) {
            self.object(event);
        }
    }

    fn started(&self, plan: &Plan) {
        let Plan { input, output, frames, encoder, .. } = plan;
        match &self.mode {
            Mode::Bar(_) | Mode::Plain => {
                let frames = frames.map_or_else(|| "frames".to_owned(), |n| format!("{n} frames"));
                let (model, memory) = (model(plan), memory(plan));
                self.line(&format!("{input} -> {output}, {frames}, {model}, encoder {encoder}, {memory}"));
            }
            Mode::Json => {
                let mut event = plan_json(plan);
                event["event"] = json!("started");
                self.object(event);
            }
            Mode::None => {}
        }
        if let (Mode::Bar(bar), Some(frames)) = (&self.mode, frames) {
            bar.set_length(*frames);
        }
    }

    fn notice(&self, notice: &str) {
        match &self.mode {
            Mode::Bar(_) | Mode::Plain => self.line(&format!("note: {notice}")),
            Mode::Json => self.object(json!({"event": "notice", "message": notice})),
            Mode::None => {}
        }
    }

    /// A window's frames come at its end; until then there is this.
    fn window(&self, done: f64) {
        let percent = (done * 100.0).round();
        match &self.mode {
            Mode::Bar(bar) => bar.set_message(format!("window {percent} %{}", self.left_text())),
            Mode::Plain if self.due(PLAIN_INTERVAL) => self.line(&format!("window {percent} %{}", self.left_text())),
            Mode::Json if self.due(JSON_INTERVAL) => self.object(json!({"event": "window", "done": done})),
            _ => {}
        }
    }

    /// Every frame is made; the film is put together.
    fn joining(&self, done: f64) {
        let percent = (done * 100.0).round();
        match &self.mode {
            Mode::Bar(bar) => bar.set_message(format!("putting the film together, {percent} %")),
            Mode::Plain if self.due(PLAIN_INTERVAL) => self.line(&format!("putting the film together, {percent} %")),
            Mode::Json if self.due(JSON_INTERVAL) => self.object(json!({"event": "joining", "done": done})),
            _ => {}
        }
    }

    fn progress(&self, progress: &Progress) {
        let end = progress.eta.and_then(|eta| Instant::now().checked_add(eta));
        *self.end.lock().unwrap_or_else(PoisonError::into_inner) = end;
        let Progress { frames_done, frames_total, position, fps, eta, .. } = progress;
        match &self.mode {
            Mode::Bar(bar) => {
                if let Some(total) = frames_total {
                    bar.set_length(*total);
                }
                bar.set_position(*frames_done);
                let eta = eta.map_or_else(String::new, |eta| format!(", {} left", human_time(eta)));
                bar.set_message(format!("{position}  {fps:.2} fps{eta}{}", self.whole_text()));
            }
            Mode::Plain if self.due(PLAIN_INTERVAL) => {
                self.line(&format!("{}{}", plain(progress), self.whole_text()));
            }
            Mode::Json => {
                let due = self.due(JSON_INTERVAL);
                if due {
                    self.object(progress_json(progress, *frames_total));
                }
                *self.unshown.lock().unwrap_or_else(PoisonError::into_inner) = (!due).then_some(*progress);
            }
            _ => {}
        }
    }

    /// The last word on a run that ended well.
    pub(crate) fn finished(&self, output: &str, summary: &Summary) {
        let Summary { frames, frames_before, size, elapsed, first_frame, network, shots, peak_resident_bytes } =
            summary;
        let fps = (*frames - *frames_before) as f64 / elapsed.as_secs_f64().max(1e-9);
        let plural = if *frames == 1 { "" } else { "s" };
        let done = || {
            let peak = peak_resident_bytes.map_or_else(String::new, |peak| format!(", {} at most", human_bytes(peak)));
            let shots = match shots {
                None => String::new(),
                Some(1) => " in one shot".to_owned(),
                Some(shots) => format!(" in {shots} shots"),
            };
            let before = if *frames_before > 0 { format!(", {frames_before} of them before") } else { String::new() };
            format!(
                "{output}: {frames} frame{plural} of {size}{before}{shots} in {} ({fps:.2} fps{peak})",
                human_time(*elapsed)
            )
        };
        match &self.mode {
            Mode::Bar(bar) => {
                if self.place().is_none() {
                    bar.finish_and_clear();
                }
                self.line(&done());
            }
            Mode::Plain => self.line(&done()),
            Mode::Json => {
                let last = self.unshown.lock().unwrap_or_else(PoisonError::into_inner).take();
                if let Some(last) = last {
                    self.object(progress_json(&last, Some(*frames)));
                }
                self.object(json!({
                    "event": "finished", "output": output, "frames": frames, "frames_before": frames_before, "size": size.to_string(),
                    "elapsed_s": elapsed.as_secs_f64(), "first_frame_s": first_frame.as_secs_f64(),
                    "network_s": network.as_secs_f64(), "fps": fps, "shots": shots,
                    "peak_resident_bytes": peak_resident_bytes,
                }));
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

    /// `, 3 min 20 s left`, counted on from the last time that was told, and how far a batch is.
    fn left_text(&self) -> String {
        let end = *self.end.lock().unwrap_or_else(PoisonError::into_inner);
        let left = end.map(|end| format!(", {} left", human_time(end.saturating_duration_since(Instant::now()))));
        format!("{}{}", left.unwrap_or_default(), self.whole_text())
    }

    /// `; all 34 %, 2 h 05 min left`, in a batch.
    fn whole_text(&self) -> String {
        let Some(Place { share, left, .. }) = self.place() else { return String::new() };
        let mut text = String::new();
        if let Some(share) = share {
            let _ = write!(text, "; all {:.0} %", share * 100.0);
        }
        if let Some(left) = left {
            let _ = write!(text, "{}{} left", if text.is_empty() { "; all " } else { ", " }, human_time(left));
        }
        text
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

/// What a run is going to do.
pub(crate) fn plan_json(plan: &Plan) -> Value {
    json!({
        "model": plan.model, "precision": plan.precision.map(Precision::name), "engines": plan.engines,
        "input": plan.input.to_string(), "output": plan.output.to_string(),
        "frames_total": plan.frames, "frames_before": plan.frames_before, "encoder": plan.encoder, "memory_bytes": plan.memory_bytes,
        "memory_limit_bytes": plan.memory_limit_bytes, "device_bytes": plan.device_bytes,
        "disk_bytes": plan.disk.map(|disk| [disk.calm_bytes, disk.restless_bytes]), "shots": plan.shots,
        "window": plan.window.map(|w| json!({
            "body": w.body, "context": w.context, "fade": w.fade, "still": w.still.map(|still| json!({
                "body": still.body, "context": still.context,
            })), "store_bytes": w.store_bytes, "scratch_bytes": w.scratch_bytes,
        })),
        "tiles": plan.tiles.map(|(columns, rows, tile)| json!({
            "columns": columns, "rows": rows, "size": tile.to_string(),
        })),
        "at_once": plan.lanes,
    })
}

/// What makes the frames: `lift-x4 (f16 on 2 threads, AVX-512)`.
fn model(plan: &Plan) -> String {
    match plan.precision {
        Some(precision) => format!("{} ({precision} on {})", plan.model, plan.engines.join("; ")),
        None => plan.model.clone(),
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
        if plan.lanes > 1 {
            let _ = write!(line, ", {} at once", plan.lanes);
        }
        let scratch = human_bytes(*scratch_bytes);
        let _ = match (store_bytes, scratch_bytes) {
            (_, 0) => write!(line, ", features in memory, "),
            (0, _) => write!(line, ", features in a scratch file of {scratch}, "),
            _ => write!(line, ", features in memory and in a scratch file of {scratch}, "),
        };
    }
    if plan.window.is_none() && plan.lanes > 1 {
        let _ = write!(line, "{} frames at once, ", plan.lanes);
    }
    if let Some((columns, rows, tile)) = &plan.tiles {
        let _ = write!(line, "{columns} x {rows} tiles of {tile}, ");
    }
    let (needed, limit) = (human_bytes(plan.memory_bytes), human_bytes(plan.memory_limit_bytes));
    let _ = write!(line, "about {needed} of {limit} of memory");
    if let Some(bytes) = plan.device_bytes {
        let _ = write!(line, " and {} of the device's", human_bytes(bytes));
    }
    if let Some(disk) = plan.disk {
        let (calm, restless) = (human_bytes(disk.calm_bytes), human_bytes(disk.restless_bytes));
        let _ = match disk.calm_bytes == disk.restless_bytes {
            true => write!(line, ", {calm} of disk"),
            false => write!(line, ", by estimate {calm} to {restless} of disk"),
        };
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

fn progress_json(progress: &Progress, frames_total: Option<u64>) -> Value {
    json!({
        "event": "progress", "frames_done": progress.frames_done, "frames_total": frames_total,
        "position_s": progress.position.seconds(), "fps": progress.fps,
        "eta_s": progress.eta.map(|eta| eta.as_secs_f64()), "elapsed_s": progress.elapsed.as_secs_f64(),
    })
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
