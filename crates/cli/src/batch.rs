//! `framelift upscale` of a folder or of several inputs: one view of all films, and a table at the end.

use std::sync::Arc;

use framelift::{Batch, BatchEvent, CancelToken, ErrorKind, Event, Outcome, Place};
use serde_json::json;

use crate::Failure;
use crate::args::{ProgressMode, Upscale};
use crate::record::{Record, Records, Status, left_out_line};
use crate::report::{Reporter, err, human_time};
use crate::upscale::{Finished, Settings, run_until_interrupt};

/// Characters of a film's name in the table.
const NAME_CHARACTERS: usize = 44;

pub(crate) fn batch(args: &Upscale, settings: Settings, place: &Place) -> Result<(), Failure> {
    let batch = Batch::collect(&args.inputs, place)?;
    let (films, left_out) = (batch.films().to_vec(), batch.left_out().to_vec());
    let count = films.len();
    let records = Arc::new(Records::new(&films, settings.label()));
    let reporter = Arc::new(Reporter::new(args.progress));
    let to = match place {
        Place::Folder(folder) => format!(" -> {}", folder.display()),
        Place::Beside { .. } => String::new(),
    };
    reporter.heading(&format!("{}{to} with {}", films_of(count), settings.label()));
    if !left_out.is_empty() {
        reporter.heading(&left_out_line(&left_out));
    }

    let cancel = CancelToken::new();
    let (shown, recorded, stop) = (Arc::clone(&reporter), Arc::clone(&records), cancel.clone());
    let work = move || {
        let names = films;
        batch.run(
            &stop,
            move |film| settings.of_batch(film),
            move |event| match event {
                BatchEvent::Surveyed { done, due, frames } => {
                    let frames_text = frames.map_or_else(String::new, |frames| format!(", {frames} frames"));
                    shown.heading(&format!("{} to make{frames_text}, {done} done already", films_of(due)));
                    shown.machine(json!({
                        "event": "surveyed", "films": count, "due": due, "done": done, "frames_total": frames,
                    }));
                }
                BatchEvent::Began { index } => {
                    recorded.began(index);
                    shown.film(index + 1, count);
                    if let Some(film) = names.get(index) {
                        shown.heading(&format!("{} -> {}", film.input, film.output));
                        shown.machine(json!({"event": "film", "input": film.input, "output": film.output}));
                    }
                }
                BatchEvent::Film { index, event, share, left } => {
                    recorded.event(index, event);
                    if matches!(event, Event::Progress(_)) {
                        shown.whole(share, left);
                    }
                    shown.event(event);
                }
                BatchEvent::Ended { index, outcome } => {
                    recorded.ended(index, outcome);
                    let output = names.get(index).map_or("", |film| film.output.as_str());
                    match outcome {
                        Outcome::Made(summary) => shown.finished(output, summary),
                        Outcome::Skipped => {
                            shown.film(index + 1, count);
                            shown.heading(&format!("{output}: done already"));
                            shown.machine(json!({"event": "skipped", "output": output}));
                        }
                        Outcome::Failed(error) => {
                            shown.film(index + 1, count);
                            shown.heading(&format!("failed: {error}"));
                            shown.machine(json!({
                                "event": "failed", "output": output, "message": error.to_string(),
                                "exit_code": error.kind().exit_code(),
                            }));
                        }
                        Outcome::Stopped => {}
                    }
                }
                _ => {}
            },
        )
    };
    let finished = run_until_interrupt(cancel.clone(), work);
    reporter.abandon();
    let bug = match finished {
        Finished::Done(_) => None,
        Finished::Overdue => {
            framelift::discard_partial_outputs();
            None
        }
        Finished::Panicked => {
            framelift::discard_partial_outputs();
            Some(crate::bug())
        }
    };
    let films = records.films();
    let failed = films.iter().filter(|film| matches!(film.status, Status::Failed { .. })).count();
    let summary = summary(&films, &records, &left_out_line(&left_out));
    if matches!(args.progress, ProgressMode::Auto | ProgressMode::Plain) {
        table(&films).iter().for_each(|line| err(line));
        err(&summary);
    }
    let written = args.report.as_deref().map_or(Ok(()), |report| records.write(report, &left_out));
    match bug {
        Some(bug) => Err(bug),
        None if cancel.is_cancelled() => {
            let message = "interrupted; films that are whole stay, and the same command goes on with the others";
            Err(Failure::Command(ErrorKind::Interrupted, message.into()))
        }
        None if failed > 0 => {
            written?;
            let (them, were) = if failed == 1 { ("film", "was") } else { ("films", "were") };
            Err(Failure::SomeFailed(format!("{failed} {them} of {count} {were} not made; the others are whole")))
        }
        None => written,
    }
}

fn films_of(count: usize) -> String {
    if count == 1 { "1 film".into() } else { format!("{count} films") }
}

/// What became of each film, a line each.
fn table(films: &[Record]) -> Vec<String> {
    let names: Vec<String> = films.iter().map(|film| shortened(&film.film.input)).collect();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let line = |(name, film): (&String, &Record)| {
        let what = match &film.status {
            Status::Waiting => "not begun".into(),
            Status::Working => "stopped".into(),
            Status::Skipped => "done already".into(),
            Status::Failed { message, .. } => format!("failed: {message}"),
            Status::Made(summary) => {
                format!("made: {} frames of {} in {}", summary.frames, summary.size, human_time(summary.elapsed))
            }
        };
        format!("{name:<width$}  {what}")
    };
    names.iter().zip(films).map(line).collect()
}

/// The end of a long name, which tells films apart better than its beginning.
fn shortened(name: &str) -> String {
    let count = name.chars().count();
    if count <= NAME_CHARACTERS {
        return name.to_owned();
    }
    let end: String = name.chars().skip(count - NAME_CHARACTERS + 1).collect();
    format!("…{end}")
}

/// The whole batch in a line.
fn summary(films: &[Record], records: &Records, left_out: &str) -> String {
    let count = |is: fn(&Status) -> bool| films.iter().filter(|film| is(&film.status)).count();
    let parts = [
        (count(|status| matches!(status, Status::Made(_))), "made"),
        (count(|status| matches!(status, Status::Skipped)), "done already"),
        (count(|status| matches!(status, Status::Failed { .. })), "failed"),
        (count(|status| matches!(status, Status::Working)), "stopped"),
        (count(|status| matches!(status, Status::Waiting)), "not begun"),
    ];
    let told: Vec<String> =
        parts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    let end = if left_out.is_empty() { String::new() } else { format!("; {left_out}") };
    format!("{}: {}, in {}{end}", films_of(films.len()), told.join(", "), human_time(records.elapsed()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_keep_their_end() {
        assert_eq!(shortened("a/film.mkv"), "a/film.mkv");
        let long = format!("{}/film.mkv", "x".repeat(80));
        let short = shortened(&long);
        assert_eq!(short.chars().count(), NAME_CHARACTERS);
        assert!(short.starts_with('…') && short.ends_with("x/film.mkv"));
    }
}
