//! What was done with each film, as a JSON file: `--report`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use framelift::{BatchFilm, ErrorKind, Event, LeftOut, Outcome, Summary, WhyLeftOut};
use serde_json::{Map, Value, json};

use crate::Failure;
use crate::report::plan_json;

/// Version of the report's form; it changes when a field changes its meaning.
const FORM: u32 = 1;

/// What is known of each film so far.
pub(crate) struct Records {
    model: String,
    began: Instant,
    at: SystemTime,
    films: Mutex<Vec<Record>>,
}

/// What is known of a film.
#[derive(Clone)]
pub(crate) struct Record {
    pub(crate) film: BatchFilm,
    pub(crate) status: Status,
    began: Option<Instant>,
    plan: Option<Value>,
    notices: Vec<String>,
    frames_done: u64,
}

/// How far a film is.
#[derive(Clone)]
pub(crate) enum Status {
    /// Not begun.
    Waiting,
    /// At work, or stopped there.
    Working,
    Made(Summary),
    Skipped,
    Failed {
        message: String,
        exit_code: u8,
        elapsed: Duration,
    },
}

impl Records {
    pub(crate) fn new(films: &[BatchFilm], model: &str) -> Self {
        let record = |film: &BatchFilm| Record {
            film: film.clone(),
            status: Status::Waiting,
            began: None,
            plan: None,
            notices: Vec::new(),
            frames_done: 0,
        };
        Self {
            model: model.to_owned(),
            began: Instant::now(),
            at: SystemTime::now(),
            films: Mutex::new(films.iter().map(record).collect()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Record>> {
        self.films.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All films as they stand.
    pub(crate) fn films(&self) -> Vec<Record> {
        self.lock().clone()
    }

    /// Time since the beginning.
    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    pub(crate) fn began(&self, index: usize) {
        if let Some(record) = self.lock().get_mut(index) {
            (record.status, record.began) = (Status::Working, Some(Instant::now()));
        }
    }

    pub(crate) fn event(&self, index: usize, event: &Event) {
        let mut films = self.lock();
        let Some(record) = films.get_mut(index) else { return };
        match event {
            Event::Started(plan) => record.plan = Some(plan_json(plan)),
            Event::Notice(notice) => record.notices.push(notice.clone()),
            Event::Progress(progress) => record.frames_done = progress.frames_done,
            _ => {}
        }
    }

    pub(crate) fn ended(&self, index: usize, outcome: &Outcome) {
        match outcome {
            Outcome::Made(summary) => self.made(index, summary),
            Outcome::Skipped => self.set(index, |_| Status::Skipped),
            Outcome::Failed(error) => self.fail(index, error.to_string(), error.kind().exit_code()),
            Outcome::Stopped => {}
        }
    }

    pub(crate) fn made(&self, index: usize, summary: &Summary) {
        self.set(index, |_| Status::Made(*summary));
    }

    /// The film failed, unless it was only stopped.
    pub(crate) fn failed(&self, index: usize, failure: &Failure) {
        if failure.exit_code() != ErrorKind::Interrupted.exit_code() {
            self.fail(index, failure.to_string(), failure.exit_code());
        }
    }

    fn fail(&self, index: usize, message: String, exit_code: u8) {
        self.set(index, |record| Status::Failed {
            message,
            exit_code,
            elapsed: record.began.map_or(Duration::ZERO, |began| began.elapsed()),
        });
    }

    fn set(&self, index: usize, status: impl FnOnce(&Record) -> Status) {
        if let Some(record) = self.lock().get_mut(index) {
            record.status = status(record);
        }
    }

    /// Writes the report: beside, then renamed.
    pub(crate) fn write(&self, path: &Path, left_out: &[LeftOut]) -> Result<(), Failure> {
        let films = self.films();
        let left_out: Vec<Value> = left_out
            .iter()
            .map(|file| json!({"path": file.path.to_string_lossy(), "why": file.why.to_string()}))
            .collect();
        let report = json!({
            "form": FORM,
            "framelift": env!("CARGO_PKG_VERSION"),
            "model": self.model,
            "began_unix_s": self.at.duration_since(UNIX_EPOCH).map_or(0.0, |at| at.as_secs_f64()),
            "elapsed_s": self.elapsed().as_secs_f64(),
            "made": films.iter().filter(|film| matches!(film.status, Status::Made(_))).count(),
            "skipped": films.iter().filter(|film| matches!(film.status, Status::Skipped)).count(),
            "failed": films.iter().filter(|film| matches!(film.status, Status::Failed { .. })).count(),
            "stopped": films.iter().filter(|film| matches!(film.status, Status::Working)).count(),
            "waiting": films.iter().filter(|film| matches!(film.status, Status::Waiting)).count(),
            "films": films.iter().map(as_json).collect::<Vec<_>>(),
            "left_out": left_out,
        });
        let mut beside = path.as_os_str().to_owned();
        beside.push(".part");
        let written =
            fs::write(&beside, format!("{report:#}\n")).and_then(|()| fs::rename(&beside, path)).inspect_err(|_| {
                let _ = fs::remove_file(&beside);
            });
        written.map_err(|error| {
            let message = format!("cannot write the report {}: {error}; check the folder and the disk", path.display());
            Failure::Command(ErrorKind::Output, message)
        })
    }
}

fn as_json(record: &Record) -> Value {
    let Record { film, status, plan, notices, frames_done, .. } = record;
    let mut value = Map::new();
    value.insert("input".into(), json!(film.input));
    value.insert("output".into(), json!(film.output));
    let mut put = |key: &str, what: Value| value.insert(key.into(), what);
    match status {
        Status::Waiting => put("status", json!("waiting")),
        Status::Working => {
            put("status", json!("stopped"));
            put("frames_done", json!(frames_done))
        }
        Status::Skipped => put("status", json!("skipped")),
        Status::Failed { message, exit_code, elapsed } => {
            put("status", json!("failed"));
            put("error", json!({"message": message, "exit_code": exit_code}));
            put("frames_done", json!(frames_done));
            put("elapsed_s", json!(elapsed.as_secs_f64()))
        }
        Status::Made(summary) => {
            let Summary { frames, frames_before, size, elapsed, first_frame, network, shots, peak_resident_bytes } =
                summary;
            put("status", json!("made"));
            put("frames", json!(frames));
            put("frames_before", json!(frames_before));
            put("size", json!(size.to_string()));
            put("elapsed_s", json!(elapsed.as_secs_f64()));
            put("first_frame_s", json!(first_frame.as_secs_f64()));
            put("network_s", json!(network.as_secs_f64()));
            put("shots", json!(shots));
            put("peak_resident_bytes", json!(peak_resident_bytes))
        }
    };
    if let Some(plan) = plan {
        value.insert("plan".into(), plan.clone());
    }
    value.insert("notices".into(), json!(notices));
    Value::Object(value)
}

/// What was left out, in a line: `5 files are no films (3 .srt, 2 .nfo)`; empty for nothing.
pub(crate) fn left_out_line(left_out: &[LeftOut]) -> String {
    let mut no_films: BTreeMap<String, usize> = BTreeMap::new();
    let (mut pictures, mut others) = (0, Vec::new());
    for file in left_out {
        match &file.why {
            WhyLeftOut::NoFilm => {
                let extension = file.path.extension().map_or_else(String::new, |e| format!(".{}", e.to_string_lossy()));
                *no_films
                    .entry(if extension.is_empty() { "without extension".into() } else { extension })
                    .or_default() += 1;
            }
            WhyLeftOut::SinglePicture => pictures += 1,
            why => others.push(format!("{}: {why}", file.path.display())),
        }
    }
    let mut parts = Vec::new();
    if !no_films.is_empty() {
        let kinds: Vec<String> = no_films.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        let count: usize = no_films.values().sum();
        let are = if count == 1 { "file is no film" } else { "files are no films" };
        parts.push(format!("{count} {are} ({})", kinds.join(", ")));
    }
    match pictures {
        0 => {}
        1 => parts.push("1 picture is not one of a numbered sequence".into()),
        _ => parts.push(format!("{pictures} pictures are not of a numbered sequence")),
    }
    parts.extend(others);
    if parts.is_empty() { String::new() } else { format!("left out: {}", parts.join("; ")) }
}
