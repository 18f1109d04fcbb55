//! Which films a batch holds and where each goes: folders are walked, names kept, names that would meet told apart.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use framelift_media::{Input, MediaError};

use super::pictures::{PICTURES, sequences};
use super::{Batch, BatchError, BatchFilm, LeftOut, Place, WhyLeftOut};
use crate::Error;

/// Extensions of films; other files of a folder are left out. A file that is named by itself is always taken.
const FILMS: [&str; 40] = [
    "3g2", "3gp", "264", "265", "asf", "avi", "divx", "dv", "f4v", "flv", "h264", "h265", "hevc", "ivf", "m1v", "m2t",
    "m2ts", "m2v", "m4v", "mkv", "mk3d", "mov", "mp4", "mpe", "mpeg", "mpg", "mpv", "mts", "mxf", "nut", "obu", "ogm",
    "ogv", "qt", "rm", "rmvb", "ts", "vob", "webm", "wmv",
];

/// Extensions of films that framelift writes and takes by the same name.
const KEPT: [&str; 4] = ["mp4", "mov", "m4v", "webm"];

/// A film found, and where it goes as far as its own name says.
struct Found {
    input: String,
    /// The folder of the result, below the folder of all results; for results beside their films their own folder.
    folder: PathBuf,
    /// The last folder that the film lies in, for names that meet.
    parent: Option<String>,
    name: Name,
}

/// The name of a result.
enum Name {
    /// A film's stem and its extension, as they are.
    Film { stem: String, extension: String },
    /// A sequence of pictures: the pattern's file name, ending in `.png`.
    Pictures(String),
}

/// How a name was made its own.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Apart {
    /// It was to begin with.
    Plain,
    /// The film's own extension stays in it.
    Extension,
    /// It lies in a folder of its film's folder's name.
    Parent,
}

pub(super) fn collect(inputs: &[String], place: &Place) -> Result<Batch, Error> {
    let mut walk = Walk::new(place);
    let many = inputs.len() > 1;
    for input in inputs {
        walk.take(input, many)?;
    }
    let Walk { found, left_out, .. } = walk;
    if found.is_empty() {
        let inputs = inputs.join(", ");
        return Err(BatchError::NoFilms { inputs, left_out: left_out.len() }.into());
    }
    let outputs = outputs(&found, place);
    let films = found.into_iter().zip(outputs).map(|(found, output)| BatchFilm { input: found.input, output });
    Ok(Batch { films: films.collect(), left_out })
}

/// The name of a result beside its film: `film.mp4` becomes `film.LABEL.mp4`; what framelift does not write becomes Matroska.
///
/// # Errors
/// [`BatchError::NoName`] for standard input, URLs and patterns.
pub fn output_beside(input: &str, label: &str) -> Result<String, Error> {
    if input == "-" || input.contains("://") || matches!(Input::parse(input)?, Input::Sequence(_)) {
        return Err(BatchError::NoName { input: input.to_owned() }.into());
    }
    let path = Path::new(input);
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let name = format!("{stem}.{label}.{}", written_extension(path));
    Ok(path.with_file_name(name).to_string_lossy().into_owned())
}

/// The extension of a film's result.
fn written_extension(path: &Path) -> &'static str {
    let extension = extension(path);
    KEPT.into_iter().find(|kept| *kept == extension).unwrap_or("mkv")
}

/// The extension in small letters; empty where there is none.
fn extension(path: &Path) -> String {
    path.extension().and_then(OsStr::to_str).unwrap_or_default().to_ascii_lowercase()
}

struct Walk {
    found: Vec<Found>,
    left_out: Vec<LeftOut>,
    beside: bool,
    /// The folder of the results, which is never an input.
    results: Option<PathBuf>,
    seen: BTreeSet<PathBuf>,
}

impl Walk {
    fn new(place: &Place) -> Self {
        let (beside, results) = match place {
            Place::Folder(folder) => (false, folder.canonicalize().ok()),
            Place::Beside { .. } => (true, None),
        };
        Self { found: Vec::new(), left_out: Vec::new(), beside, results, seen: BTreeSet::new() }
    }

    fn take(&mut self, input: &str, many: bool) -> Result<(), Error> {
        match Input::parse(input)? {
            Input::Stdin => return Err(BatchError::Stdin.into()),
            Input::Url(url) if !self.beside => self.url(url),
            Input::Sequence(pattern) if !self.beside => {
                let folder = last(pattern.folder()).map(PathBuf::from).unwrap_or_default();
                let path = Path::new(input).with_extension("png");
                let name = last(&path).unwrap_or_default();
                self.found.push(Found { input: input.to_owned(), folder, parent: None, name: Name::Pictures(name) });
            }
            Input::Url(input) => return Err(BatchError::NoName { input }.into()),
            Input::Sequence(pattern) => return Err(BatchError::NoName { input: pattern.to_string() }.into()),
            Input::File(path) if path.is_dir() => {
                if self.beside {
                    return Err(BatchError::FolderWithoutPlace { folder: path }.into());
                }
                let root = path.canonicalize().map_err(|error| unreadable(&path, &error))?;
                if self.results.as_ref() == Some(&root) {
                    return Err(BatchError::SameFolder { folder: path }.into());
                }
                let below = if many { last(&root).map(PathBuf::from).unwrap_or_default() } else { PathBuf::new() };
                std::fs::read_dir(&path).map_err(|error| unreadable(&path, &error))?;
                self.folder(&path, &below);
            }
            Input::File(path) => {
                let folder =
                    if self.beside { path.parent().unwrap_or(Path::new("")).to_owned() } else { PathBuf::new() };
                self.film(&path, folder);
            }
        }
        Ok(())
    }

    fn url(&mut self, url: String) {
        let path = url.split(['?', '#']).next().unwrap_or_default();
        let name = Path::new(path.rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or("film"));
        let stem = last_stem(name);
        self.found.push(Found {
            folder: PathBuf::new(),
            parent: None,
            name: Name::Film { stem, extension: extension(name) },
            input: url,
        });
    }

    fn film(&mut self, path: &Path, folder: PathBuf) {
        let Some(input) = path.to_str() else {
            self.left_out.push(LeftOut { path: path.to_owned(), why: WhyLeftOut::Name });
            return;
        };
        let parent = path.parent().and_then(|parent| parent.canonicalize().ok()).and_then(|parent| last(&parent));
        let name = Name::Film { stem: last_stem(path), extension: extension(path) };
        self.found.push(Found { input: input.to_owned(), folder, parent, name });
    }

    /// Takes the films of `folder`, whose results go to `below`, and of the folders in it.
    fn folder(&mut self, folder: &Path, below: &Path) {
        let real = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
        if self.results.as_ref() == Some(&real) || !self.seen.insert(real) {
            return;
        }
        let entries = match std::fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) => {
                self.left_out.push(LeftOut { path: folder.to_owned(), why: WhyLeftOut::Unreadable(error.to_string()) });
                return;
            }
        };
        let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        // Hidden files are the system's, or unfinished results.
        paths.retain(|path| !path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".")));
        paths.sort();
        let (folders, files): (Vec<PathBuf>, Vec<PathBuf>) = paths.into_iter().partition(|path| path.is_dir());
        let (pictures, files): (Vec<PathBuf>, Vec<PathBuf>) =
            files.into_iter().partition(|path| PICTURES.contains(&extension(path).as_str()));
        for path in files {
            if FILMS.contains(&extension(&path).as_str()) || extension(&path) == "y4m" {
                self.film(&path, below.to_owned());
            } else {
                self.left_out.push(LeftOut { path, why: WhyLeftOut::NoFilm });
            }
        }
        let (sequences, single) = sequences(&pictures);
        for sequence in sequences {
            let Some(folder) = folder.to_str() else {
                self.left_out.push(LeftOut { path: folder.join(sequence.pattern()), why: WhyLeftOut::Name });
                continue;
            };
            let input = Path::new(&folder.replace('%', "%%")).join(sequence.pattern()).to_string_lossy().into_owned();
            let name = Name::Pictures(sequence.png_pattern());
            self.found.push(Found { input, folder: below.to_owned(), parent: None, name });
        }
        self.left_out.extend(single.into_iter().map(|path| LeftOut { path, why: WhyLeftOut::SinglePicture }));
        for path in folders {
            let name = path.file_name().unwrap_or_default();
            self.folder(&path, &below.join(name));
        }
    }
}

/// Where each film goes: names that would meet are told apart by the film's extension, by its folder, then by a number.
fn outputs(found: &[Found], place: &Place) -> Vec<String> {
    let mut apart = vec![Apart::Plain; found.len()];
    for next in [Apart::Extension, Apart::Parent] {
        for meeting in meeting(&named(found, &apart, place)) {
            for n in meeting {
                let film = matches!(found[n].name, Name::Film { .. });
                // A film whose name is kept whole keeps it.
                let kept = matches!(&found[n].name, Name::Film { extension, .. } if KEPT.contains(&extension.as_str()) || extension == "mkv");
                match next {
                    Apart::Extension if film && !kept => apart[n] = Apart::Extension,
                    Apart::Parent if found[n].parent.is_some() && !matches!(place, Place::Beside { .. }) => {
                        apart[n] = Apart::Parent;
                    }
                    _ => {}
                }
            }
        }
    }
    let mut outputs = named(found, &apart, place);
    let mut taken: BTreeSet<String> = outputs.iter().map(|output| output.to_lowercase()).collect();
    for meeting in meeting(&outputs) {
        for (count, &n) in meeting.iter().enumerate().skip(1) {
            let numbered = (count + 1..).map(|number| numbered(&outputs[n], number));
            let free = numbered.into_iter().find(|name| !taken.contains(&name.to_lowercase()));
            outputs[n] = free.unwrap_or_default();
            taken.insert(outputs[n].to_lowercase());
        }
    }
    outputs
}

/// `film.mkv` as `film-2.mkv`.
fn numbered(output: &str, number: usize) -> String {
    let path = Path::new(output);
    let extension = path.extension().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{}-{number}.{extension}", last_stem(path))).to_string_lossy().into_owned()
}

/// Groups of outputs of one name; file systems may not tell large letters from small ones.
fn meeting(outputs: &[String]) -> Vec<Vec<usize>> {
    let mut groups: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (n, output) in outputs.iter().enumerate() {
        groups.entry(output.to_lowercase()).or_default().push(n);
    }
    groups.into_values().filter(|group| group.len() > 1).collect()
}

fn named(found: &[Found], apart: &[Apart], place: &Place) -> Vec<String> {
    found.iter().zip(apart).map(|(found, &apart)| output(found, apart, place)).collect()
}

fn output(found: &Found, apart: Apart, place: &Place) -> String {
    let mut path = match place {
        Place::Folder(folder) => folder.join(&found.folder),
        Place::Beside { .. } => found.folder.clone(),
    };
    if let (Apart::Parent, Some(parent)) = (apart, &found.parent) {
        path.push(parent);
    }
    match &found.name {
        Name::Pictures(pattern) => {
            // Percent signs of the folder are no part of the pattern.
            let folder = path.to_string_lossy().replace('%', "%%");
            Path::new(&folder).join(pattern).to_string_lossy().into_owned()
        }
        Name::Film { stem, extension } => {
            let ending = KEPT.into_iter().find(|kept| kept == extension).unwrap_or("mkv");
            let mut name = stem.clone();
            if apart == Apart::Extension {
                name = format!("{name}.{extension}");
            }
            if let Place::Beside { label } = place {
                name = format!("{name}.{label}");
            }
            path.push(format!("{name}.{ending}"));
            no_pattern(path.to_string_lossy().into_owned())
        }
    }
}

/// A name that would be taken for a pattern of pictures, without its percent signs.
fn no_pattern(path: String) -> String {
    let is_pattern =
        path.split('%').skip(1).any(|rest| rest.trim_start_matches(|c: char| c.is_ascii_digit()).starts_with('d'));
    if is_pattern { path.replace('%', "_") } else { path }
}

fn last(path: &Path) -> Option<String> {
    path.file_name().map(|name| name.to_string_lossy().into_owned())
}

fn last_stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

fn unreadable(folder: &Path, error: &std::io::Error) -> Error {
    MediaError::Input {
        input: folder.display().to_string(),
        what: format!("the folder cannot be read: {error}"),
        remedy: "check its permissions".into(),
    }
    .into()
}
