//! The unfinished outputs of this process, so that a program that must end at once can remove them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

static PARTIAL: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

fn lock() -> MutexGuard<'static, Vec<PathBuf>> {
    PARTIAL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Notes a hidden file or folder that holds an unfinished output, for [`discard_partial_outputs`].
pub fn register_partial_output(path: &Path) {
    lock().push(path.to_owned());
}

/// Forgets it: it was renamed or removed, or is worth keeping.
pub fn forget_partial_output(path: &Path) {
    lock().retain(|known| known != path);
}

/// Removes the unfinished outputs of this process, for programs that end without waiting for their threads.
///
/// A writer that is still at work afterwards fails or writes to a file without a name; nothing of it remains.
pub fn discard_partial_outputs() {
    for path in lock().drain(..) {
        let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        if let Err(error) = removed {
            tracing::warn!("could not remove the unfinished {}: {error}", path.display());
        }
    }
}
