//! Where an output is written until it is whole, and how it gets its name then.
//!
//! Files and folders of pictures are written beside their final place, under a hidden name that tells the process, and
//! renamed at the end. Dropped before that, they are removed.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::options::Output;
use crate::sequence::Pattern;
use crate::{MediaError, partial};

/// The name of an unfinished output in a folder of its own.
const PART: &str = "output";

/// An output that is not yet whole.
pub(crate) struct Destination {
    output: Output,
    overwrite: bool,
    /// The hidden file or folder; `None` for standard output, and once it is renamed.
    part: Option<PathBuf>,
    /// Numbers of the pictures written.
    pictures: Vec<u64>,
}

impl Destination {
    /// Reserves the hidden place: a name in the folder `within`, where what an earlier run left is removed, or one beside
    /// the output.
    pub(crate) fn create(output: &Output, overwrite: bool, within: Option<&Path>) -> Result<Self, MediaError> {
        let mut destination = Self { output: output.clone(), overwrite, part: None, pictures: Vec::new() };
        match output {
            Output::Stdout => {}
            Output::File(path) => {
                destination.check_free(path)?;
                let part = match within {
                    Some(folder) => Some(folder.join(PART)),
                    None => hidden(path),
                };
                let part = part.ok_or_else(|| destination.failed("it has no file name", "name a file"))?;
                File::create(&part).map_err(|error| destination.io_error(path, &error))?;
                partial::register_partial_output(&part);
                destination.part = Some(part);
            }
            Output::Sequence(pattern) => {
                if let (Some(first), false) = (destination.numbers(pattern)?.first(), overwrite) {
                    return Err(MediaError::Exists { path: pattern.path(*first) });
                }
                let part = match within {
                    Some(folder) => {
                        let part = folder.join(PART);
                        // A run that was killed left it.
                        if part.is_dir() {
                            fs::remove_dir_all(&part).map_err(|error| destination.io_error(&part, &error))?;
                        }
                        Some(part)
                    }
                    None => hidden(&pattern.path(0)),
                };
                let part = part.ok_or_else(|| destination.failed("it has no file name", "name a pattern"))?;
                fs::create_dir(&part).map_err(|error| destination.io_error(&part, &error))?;
                partial::register_partial_output(&part);
                destination.part = Some(part);
            }
        }
        Ok(destination)
    }

    /// The hidden file.
    pub(crate) fn part(&self) -> Option<&Path> {
        self.part.as_deref()
    }

    fn check_free(&self, path: &Path) -> Result<(), MediaError> {
        match fs::symlink_metadata(path) {
            Ok(metadata) if metadata.is_dir() => {
                Err(self.failed("it is a folder", "name a file in it, such as film.mkv"))
            }
            Ok(_) if !self.overwrite => Err(MediaError::Exists { path: path.to_owned() }),
            _ => Ok(()),
        }
    }

    fn numbers(&self, pattern: &Pattern) -> Result<Vec<u64>, MediaError> {
        pattern.numbers().map_err(|error| self.io_error(&pattern.path(0), &error))
    }

    /// Writes a picture of a sequence.
    pub(crate) fn write_picture(&mut self, number: u64, bytes: &[u8]) -> Result<(), MediaError> {
        let (Output::Sequence(pattern), Some(part)) = (&self.output, &self.part) else {
            return Err(MediaError::internal("a picture for an output that is not a sequence"));
        };
        let path = part.join(pattern.file_name(number));
        let written = File::create(&path).and_then(|mut file| file.write_all(bytes));
        written.map_err(|error| self.io_error(&pattern.path(number), &error))?;
        self.pictures.push(number);
        Ok(())
    }

    /// Gives the whole output its name.
    pub(crate) fn publish(mut self) -> Result<(), MediaError> {
        let Some(part) = self.part.clone() else { return Ok(()) };
        match self.output.clone() {
            Output::Stdout => {}
            Output::File(path) => {
                let synced = File::open(&part).and_then(|file| file.sync_all());
                synced.map_err(|error| self.io_error(&path, &error))?;
                // Another program may have taken the name while the film was made.
                self.check_free(&path)?;
                fs::rename(&part, &path).map_err(|error| self.io_error(&path, &error))?;
                partial::forget_partial_output(&part);
                self.part = None;
                sync_folder(&path);
            }
            Output::Sequence(pattern) => {
                let old = self.numbers(&pattern)?;
                if let (Some(first), false) = (old.first(), self.overwrite) {
                    return Err(MediaError::Exists { path: pattern.path(*first) });
                }
                for &number in &self.pictures {
                    let synced = File::open(part.join(pattern.file_name(number))).and_then(|file| file.sync_data());
                    synced.map_err(|error| self.io_error(&pattern.path(number), &error))?;
                }
                for &number in &self.pictures {
                    let (from, to) = (part.join(pattern.file_name(number)), pattern.path(number));
                    fs::rename(from, &to).map_err(|error| self.io_error(&to, &error))?;
                }
                // Pictures of a longer film that had these names would seem to belong to this one.
                let new: std::collections::BTreeSet<_> = self.pictures.iter().collect();
                for number in old.iter().filter(|number| !new.contains(number)) {
                    let path = pattern.path(*number);
                    fs::remove_file(&path).map_err(|error| self.io_error(&path, &error))?;
                }
                // The hidden folder is empty now; drop removes it.
                sync_folder(&pattern.path(0));
            }
        }
        Ok(())
    }

    pub(crate) fn failed(&self, what: impl Into<String>, remedy: impl Into<String>) -> MediaError {
        MediaError::Output { output: self.output.to_string(), what: what.into(), remedy: remedy.into() }
    }

    fn io_error(&self, path: &Path, error: &io::Error) -> MediaError {
        let folder = folder_of(path);
        if error.kind() == io::ErrorKind::NotFound && !folder.exists() {
            let folder = folder.display();
            return self.failed(format!("there is no folder {folder}"), format!("make it first: mkdir -p {folder}"));
        }
        match error.raw_os_error() {
            Some(errno) => self.failed_errno(errno),
            None => self.failed(error.to_string(), "check the folder and the disk"),
        }
    }

    /// The error for a number of the operating system's.
    pub(crate) fn failed_errno(&self, errno: i32) -> MediaError {
        let text = io::Error::from_raw_os_error(errno).to_string();
        let text = text.split(" (os error").next().unwrap_or_default().to_lowercase();
        let remedy = match errno {
            libc::ENOSPC => "free some space, or write to another disk",
            libc::EDQUOT => "free some of your quota, or write to another disk",
            libc::EFBIG => "write to a disk whose files may be larger, or raise the limit (ulimit -f)",
            libc::EACCES | libc::EPERM => "check the permissions of its folder, or write elsewhere",
            libc::EROFS => "write to another disk",
            libc::ENAMETOOLONG => "choose a shorter name",
            libc::EPIPE => "the program that reads it ended early: look at its messages",
            _ => "check the folder and the disk",
        };
        self.failed(text, remedy)
    }
}

impl Drop for Destination {
    fn drop(&mut self) {
        let Some(part) = &self.part else { return };
        partial::forget_partial_output(part);
        let removed = match self.output {
            Output::Sequence(_) => fs::remove_dir_all(part),
            _ => fs::remove_file(part),
        };
        if let Err(error) = removed {
            tracing::warn!("could not remove the unfinished {}: {error}", part.display());
        }
    }
}

/// `.name.process.part` in the folder of `path`, not yet taken.
fn hidden(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_string_lossy();
    // Room for the rest within the 255 bytes that file systems allow.
    let mut end = name.len().min(200);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    let process = std::process::id();
    let folder = folder_of(path);
    let names = std::iter::once(format!(".{}.{process}.part", &name[..end]))
        .chain((2..).map(|n| format!(".{}.{process}-{n}.part", &name[..end])));
    names.map(|name| folder.join(name)).find(|path| fs::symlink_metadata(path).is_err())
}

fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// Makes a rename last through a crash. Some file systems cannot, and the film is whole without it.
fn sync_folder(path: &Path) {
    if let Ok(folder) = File::open(folder_of(path)) {
        let _ = folder.sync_all();
    }
}
