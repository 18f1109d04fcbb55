//! The folder beside an output in which its work is kept: journal, pieces, state, and the output until it is whole.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use framelift_media::{MediaError, Output, forget_partial_output, register_partial_output};

use super::hash;
use crate::PipelineError;

/// The longest part of an output's name that its folder's name repeats: file systems allow 255 bytes.
const NAME_BYTES: usize = 200;

/// `.film.mkv.framelift` beside `film.mkv`, `frames/.%08d.png.framelift` for `frames/%08d.png`; none for standard output.
pub(crate) fn folder_of(output: &Output) -> Option<PathBuf> {
    let path = match output {
        Output::Stdout => return None,
        Output::File(path) => path.clone(),
        Output::Sequence(pattern) => PathBuf::from(pattern.to_string()),
    };
    let name = path.file_name()?.to_string_lossy();
    let mut end = name.len().min(NAME_BYTES);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    let rest = if end < name.len() { format!("-{:x}", hash(name.as_bytes())) } else { String::new() };
    Some(path.with_file_name(format!(".{}{rest}.framelift", &name[..end])))
}

/// The folder, locked: no other process works in it as long as this lives. Dropped before it is worth keeping, it is
/// removed.
pub(crate) struct Folder {
    path: PathBuf,
    keep: AtomicBool,
    _lock: File,
}

impl Folder {
    /// Makes the folder where it is not there, and locks it.
    ///
    /// # Errors
    /// [`PipelineError::Busy`] where another process has it; [`PipelineError::Work`].
    pub(crate) fn lock(output: &Output) -> Result<Option<Self>, PipelineError> {
        let Some(path) = folder_of(output) else { return Ok(None) };
        let beside = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        if let Some(folder) = beside.filter(|folder| !folder.exists()) {
            let what = format!("there is no folder {}", folder.display());
            let remedy = format!("make it first: mkdir -p {}", folder.display());
            return Err(MediaError::Output { output: output.to_string(), what, remedy }.into());
        }
        let mut tries = 0;
        loop {
            match fs::create_dir(&path) {
                Err(source) if source.kind() != io::ErrorKind::AlreadyExists => return Err(work(&path, source)),
                _ => {}
            }
            let name = path.join("lock");
            let opened = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&name);
            let mut lock = match opened {
                Ok(lock) => lock,
                // Whoever had it has just ended and removed the folder.
                Err(source) if source.kind() == io::ErrorKind::NotFound => continue,
                Err(source) => return Err(work(&name, source)),
            };
            match lock.try_lock() {
                Ok(()) => {}
                // Someone may only have looked whether it is taken.
                Err(TryLockError::WouldBlock) if tries < 3 => {
                    tries += 1;
                    std::thread::sleep(Duration::from_millis(20));
                    continue;
                }
                Err(TryLockError::WouldBlock) => {
                    let mut process = String::new();
                    let _ = (&mut lock).take(20).read_to_string(&mut process);
                    return Err(PipelineError::Busy { output: output.to_string(), process: process.trim().to_owned() });
                }
                // File systems that know no locks are no reason to refuse.
                Err(TryLockError::Error(_)) => {}
            }
            if !is_at(&lock, &name) {
                continue;
            }
            lock.set_len(0).and_then(|()| writeln!(lock, "{}", std::process::id())).map_err(|e| work(&name, e))?;
            register_partial_output(&path);
            return Ok(Some(Self { path, keep: AtomicBool::new(false), _lock: lock }));
        }
    }

    /// Whether another process is at work in the folder `path`.
    pub(crate) fn is_locked(path: &Path) -> bool {
        File::open(path.join("lock")).is_ok_and(|lock| matches!(lock.try_lock(), Err(TryLockError::WouldBlock)))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn journal(&self) -> PathBuf {
        journal_in(&self.path)
    }

    /// The file of piece `number`.
    pub(crate) fn piece(&self, number: usize) -> PathBuf {
        self.path.join(format!("{number:06}.piece"))
    }

    /// The file of the network's state before it makes frame `frame`.
    pub(crate) fn state(&self, frame: u64) -> PathBuf {
        state_part(&self.path, frame).with_extension("state")
    }

    /// From now on the folder stays when the process ends early.
    pub(crate) fn is_worth_keeping(&self) {
        forget_partial_output(&self.path);
        self.keep.store(true, Ordering::Relaxed);
    }

    /// Removes all files but those in `keep` and the lock.
    pub(crate) fn clear(&self, keep: &[PathBuf]) -> Result<(), PipelineError> {
        let lock = self.path.join("lock");
        let entries = fs::read_dir(&self.path).map_err(|e| work(&self.path, e))?;
        for entry in entries {
            let path = entry.map_err(|e| work(&self.path, e))?.path();
            if path == lock || keep.contains(&path) {
                continue;
            }
            let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            removed.map_err(|e| work(&path, e))?;
        }
        Ok(())
    }

    /// Removes the folder with all that it holds.
    pub(crate) fn remove(self) {
        self.keep.store(false, Ordering::Relaxed);
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.keep.load(Ordering::Relaxed) {
            return;
        }
        forget_partial_output(&self.path);
        // The journal first: without it the rest means nothing, however far the removal comes.
        let _ = fs::remove_file(self.journal());
        if let Err(error) = fs::remove_dir_all(&self.path) {
            tracing::warn!("could not remove {}: {error}", self.path.display());
        }
    }
}

/// Where the state before frame `frame` is written until it is whole.
pub(crate) fn state_part(folder: &Path, frame: u64) -> PathBuf {
    folder.join(format!("before-{frame:09}.part"))
}

pub(crate) fn journal_in(folder: &Path) -> PathBuf {
    folder.join("journal")
}

/// Whether `file` is still what lies at `path`.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    match (file.metadata(), fs::metadata(path)) {
        (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => false,
    }
}

#[cfg(not(unix))]
fn is_at(_file: &File, path: &Path) -> bool {
    path.exists()
}

/// Makes renames and new names in `folder` last. Some file systems cannot.
pub(crate) fn sync_folder(folder: &Path) {
    if let Ok(folder) = File::open(folder) {
        let _ = folder.sync_all();
    }
}

/// The failure of something in the folder.
pub(crate) fn work(path: &Path, source: io::Error) -> PipelineError {
    PipelineError::Work { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_have_folders_beside_them() {
        let of = |output: &str| folder_of(&Output::parse(output).unwrap());
        assert_eq!(of("a/film.mkv"), Some("a/.film.mkv.framelift".into()));
        assert_eq!(of("film.mp4"), Some(".film.mp4.framelift".into()));
        assert_eq!(of("frames/%08d.png"), Some("frames/.%08d.png.framelift".into()));
        assert_eq!(of("-"), None);
        let (a, b) = (of(&format!("{}a.mkv", "x".repeat(230))), of(&format!("{}b.mkv", "x".repeat(230))));
        assert!(a != b && a.is_some_and(|a| a.file_name().is_some_and(|name| name.len() < 255)));
    }

    #[test]
    fn a_second_lock_is_refused_until_the_first_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let output = Output::parse(folder.path().join("film.mkv")).unwrap();
        let first = Folder::lock(&output).unwrap().unwrap();
        let path = first.path().to_owned();
        assert!(Folder::is_locked(&path));
        assert!(matches!(Folder::lock(&output), Err(PipelineError::Busy { .. })));
        fs::write(first.piece(3), "x").unwrap();
        first.remove();
        assert!(!path.exists() && !Folder::is_locked(&path));
        let again = Folder::lock(&output).unwrap().unwrap();
        fs::write(again.piece(3), "x").unwrap();
        fs::write(again.journal(), "x").unwrap();
        again.clear(&[again.journal()]).unwrap();
        assert!(again.journal().exists() && !again.piece(3).exists());
        again.remove();
    }
}
