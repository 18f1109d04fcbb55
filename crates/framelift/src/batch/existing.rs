//! Whether a result that is there already is whole, and of this film.

use std::path::Path;
use std::time::SystemTime;

use framelift_frame::Size;
use framelift_media::{Deinterlace, Input, MediaInfo, Output, ReadOptions, probe};
use framelift_pipeline::{PartSpec, frames_in_part};

/// What is there under the output's name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Existing {
    /// Nothing, or the output is a pipe.
    None,
    /// The whole result of this film: its frames, its length, the size asked for, and not older than the film.
    Whole,
    /// Something else; what tells it apart.
    Other(String),
}

/// What a result of a film is to be.
pub(crate) struct Due {
    /// Size of its frames.
    pub(crate) size: Size,
    /// Its frames, as far as the film says.
    pub(crate) frames: Option<u64>,
    /// Its length in seconds, as far as the film says.
    pub(crate) duration_s: Option<f64>,
}

/// Parts of the frames, and of the length, that the counts of containers may differ by where they are estimates.
const TOLERANCE: f64 = 0.01;

/// Frames that counts may differ by in any case.
const FRAMES: f64 = 2.0;

/// Seconds that lengths may differ by in any case.
const SECONDS: f64 = 0.5;

/// Compares what lies under the output's name with what the film's result would be.
pub(crate) fn existing(input: &str, output: &Output, due: &Due, read: &ReadOptions) -> Existing {
    // What becomes of the film's fields has been done to the result.
    let read = &ReadOptions { deinterlace: Deinterlace::Off, ..read.clone() };
    let (first, size, frames, duration_s) = match output {
        Output::Stdout => return Existing::None,
        Output::File(path) => {
            if std::fs::symlink_metadata(path).is_err() {
                return Existing::None;
            }
            match probe(&Input::File(path.clone()), read) {
                Ok(info) => match described(&info) {
                    Some((size, frames)) => (path.clone(), size, frames, info.duration_s),
                    None => return Existing::Other("it holds no video".into()),
                },
                Err(_) => return Existing::Other("it cannot be read as a film".into()),
            }
        }
        Output::Sequence(pattern) => {
            let names = std::fs::read_dir(pattern.folder()).into_iter().flatten().flatten();
            let numbers: Vec<u64> = names.filter_map(|entry| pattern.number(entry.file_name().to_str()?)).collect();
            let Some(first) = numbers.iter().min() else { return Existing::None };
            match probe(&Input::Sequence(pattern.clone()), read) {
                Ok(info) => match described(&info) {
                    Some((size, _)) => (pattern.path(*first), size, Some(numbers.len() as u64), None),
                    None => return Existing::Other("its pictures cannot be read".into()),
                },
                Err(_) => return Existing::Other("its pictures cannot be read".into()),
            }
        }
    };
    if size != due.size {
        return Existing::Other(format!("its frames are {size} where {} are due", due.size));
    }
    let pictures = matches!(output, Output::Sequence(_)) && matches!(Input::parse(input), Ok(Input::Sequence(_)));
    if let (Some(there), Some(wanted)) = (frames, due.frames)
        && there != wanted
        // Pictures are counted; containers often only estimate.
        && (pictures || !close(there as f64, wanted as f64, FRAMES))
    {
        return Existing::Other(format!("it has {there} frames where {wanted} are due"));
    }
    if let (Some(there), Some(wanted)) = (duration_s, due.duration_s)
        && !close(there, wanted, SECONDS)
    {
        return Existing::Other(format!("it is {there:.1} s long where {wanted:.1} s are due"));
    }
    match (modified(Path::new(input)), modified(&first)) {
        (Some(film), Some(result)) if film > result => Existing::Other("the film is newer".into()),
        _ => Existing::Whole,
    }
}

fn close(a: f64, b: f64, least: f64) -> bool {
    (a - b).abs() <= least.max(TOLERANCE * a.max(b))
}

fn described(info: &MediaInfo) -> Option<(Size, Option<u64>)> {
    let (_, video) = info.video_stream()?;
    Some((video.size, frames_in_part(&PartSpec::default(), info)))
}

fn modified(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).ok()?.modified().ok()
}
