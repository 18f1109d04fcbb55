//! Checkpoints in the user's data folder, which [`Model::named`] finds by name.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use framelift_nets::known::{KNOWN, Known};

use crate::{Error, ErrorKind, Model};

/// Overrides the folder that framelift keeps its data in.
pub const DATA_FOLDER_VARIABLE: &str = "FRAMELIFT_DATA_DIR";

/// Extensions of checkpoint files.
const EXTENSIONS: [&str; 2] = ["pth", "safetensors"];

/// A checkpoint that is installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// What `--model` calls it.
    pub name: String,
    /// Its file.
    pub file: PathBuf,
}

/// Why a checkpoint is not installed, or not removed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InstallError {
    /// Nothing says where the user's data lies.
    #[error("no folder for checkpoints is known on this system; set {DATA_FOLDER_VARIABLE} to one")]
    NoFolder,
    /// The name is one of framelift's own.
    #[error("{} would be called {name}, which is a model of framelift's own; rename the file", file.display())]
    Reserved {
        /// The file to install.
        file: PathBuf,
        /// The name it would have.
        name: String,
    },
    /// Another checkpoint of the name is installed.
    #[error("another checkpoint called {name} is installed ({}); pass --overwrite to replace it, or rename the file", file.display())]
    Taken {
        /// The name.
        name: String,
        /// The file that is installed.
        file: PathBuf,
    },
    /// The file's name says nothing that a model could be called by.
    #[error("{} has no name that a model could be called by; name it like film-model.pth or film-model.safetensors", file.display())]
    Name {
        /// The file to install.
        file: PathBuf,
    },
    /// No checkpoint of the name is installed.
    #[error("no checkpoint called {name} is installed; `framelift models list` shows those that are")]
    NotInstalled {
        /// The name.
        name: String,
    },
    /// The folder could not be read or written.
    #[error("{}: {source}; check its permissions and the disk, or set {DATA_FOLDER_VARIABLE}", path.display())]
    Folder {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file to install could not be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl InstallError {
    pub(crate) const fn kind(&self) -> ErrorKind {
        match self {
            Self::Reserved { .. } | Self::Taken { .. } | Self::Name { .. } | Self::NotInstalled { .. } => {
                ErrorKind::Usage
            }
            Self::Read { .. } => ErrorKind::Input,
            Self::NoFolder | Self::Folder { .. } => ErrorKind::Output,
        }
    }
}

/// A folder of checkpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelFolder(PathBuf);

impl ModelFolder {
    /// The folder `models` in the user's data folder: `FRAMELIFT_DATA_DIR`, else where the system keeps such data.
    ///
    /// # Errors
    /// [`InstallError::NoFolder`] where there is no such place.
    pub fn of_user() -> Result<Self, InstallError> {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        if let Some(folder) = set(DATA_FOLDER_VARIABLE) {
            return Ok(Self(folder.join("models")));
        }
        let home = || set("HOME");
        let data = if cfg!(windows) {
            set("LOCALAPPDATA")
        } else if cfg!(target_os = "macos") {
            home().map(|home| home.join("Library/Application Support"))
        } else {
            // The XDG Base Directory Specification: relative paths count as unset.
            set("XDG_DATA_HOME").filter(|path| path.is_absolute()).or_else(|| Some(home()?.join(".local/share")))
        };
        data.map(|data| Self(data.join("framelift").join("models"))).ok_or(InstallError::NoFolder)
    }

    /// A folder of one's own.
    #[must_use]
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Self(folder.into())
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The checkpoints in it, by name; none where there is no such folder.
    ///
    /// # Errors
    /// [`InstallError::Folder`].
    pub fn list(&self) -> Result<Vec<Installed>, InstallError> {
        let entries = match fs::read_dir(&self.0) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(self.failed(&self.0, error)),
        };
        let mut found = Vec::new();
        for entry in entries {
            let file = entry.map_err(|error| self.failed(&self.0, error))?.path();
            let hidden = file.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
            if let (false, Some(name)) = (hidden, model_name(&file)) {
                found.push(Installed { name, file });
            }
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    /// The checkpoint called `name`, by its own name or its file's.
    ///
    /// # Errors
    /// [`InstallError::Folder`].
    pub fn find(&self, name: &str) -> Result<Option<Installed>, InstallError> {
        let is_it = |found: &Installed| {
            found.name == name
                || found.file.file_stem() == Some(OsStr::new(name))
                || found.file.file_name() == Some(OsStr::new(name))
        };
        Ok(self.list()?.into_iter().find(is_it))
    }

    /// Installs a checkpoint file: it is loaded to see that it is one and that its network is known, then copied. The same
    /// file again changes nothing.
    ///
    /// # Errors
    /// As [`Model::open`]; [`InstallError`].
    pub fn add(&self, file: impl AsRef<Path>, replace: bool) -> Result<Installed, Error> {
        let file = file.as_ref();
        Model::open(file)?;
        let installed = self.place(file)?;
        if let Some(there) = self.taken(&installed)? {
            if same_content(file, &there.file)? {
                return Ok(there);
            }
            if !replace {
                return Err(InstallError::Taken { name: there.name, file: there.file }.into());
            }
        }
        fs::create_dir_all(&self.0).map_err(|error| self.failed(&self.0, error))?;
        let beside = self.unfinished(&installed);
        let copied = fs::copy(file, &beside).and_then(|_| File::open(&beside)?.sync_all());
        copied.map_err(|error| self.failed(&beside, error)).inspect_err(|_| {
            let _ = fs::remove_file(&beside);
        })?;
        Ok(self.publish(&beside, installed)?)
    }

    /// Removes a checkpoint; gives what it was.
    ///
    /// # Errors
    /// [`InstallError::NotInstalled`], [`InstallError::Folder`].
    pub fn remove(&self, name: &str) -> Result<Installed, InstallError> {
        let Some(found) = self.find(name)? else {
            return Err(InstallError::NotInstalled { name: name.to_owned() });
        };
        fs::remove_file(&found.file).map_err(|error| self.failed(&found.file, error))?;
        Ok(found)
    }

    /// What a file would be called by, and where it would lie.
    fn place(&self, file: &Path) -> Result<Installed, InstallError> {
        let Some((name, file_name)) = model_name(file).zip(file.file_name()) else {
            return Err(InstallError::Name { file: file.to_owned() });
        };
        if Model::is_reserved(&name) {
            return Err(InstallError::Reserved { file: file.to_owned(), name });
        }
        let kept = |c: char| if c.is_ascii_alphanumeric() || "._+-".contains(c) { c } else { '-' };
        let file_name: String = file_name.to_string_lossy().chars().map(kept).collect();
        Ok(Installed { name, file: self.0.join(file_name) })
    }

    /// The checkpoint that is installed under the same name.
    fn taken(&self, installed: &Installed) -> Result<Option<Installed>, InstallError> {
        Ok(self.list()?.into_iter().find(|there| there.name == installed.name || there.file == installed.file))
    }

    /// Where a file lies until it is whole.
    pub(crate) fn unfinished(&self, installed: &Installed) -> PathBuf {
        let name = installed.file.file_name().unwrap_or_default().to_string_lossy();
        self.0.join(format!(".{name}.part"))
    }

    /// Gives a whole file its name, in place of another of the same name.
    pub(crate) fn publish(&self, beside: &Path, installed: Installed) -> Result<Installed, InstallError> {
        let old = self.taken(&installed)?.filter(|there| there.file != installed.file);
        fs::rename(beside, &installed.file).map_err(|error| self.failed(&installed.file, error))?;
        if let Some(old) = old {
            fs::remove_file(&old.file).map_err(|error| self.failed(&old.file, error))?;
        }
        Ok(installed)
    }

    pub(crate) fn failed(&self, path: &Path, source: io::Error) -> InstallError {
        InstallError::Folder { path: path.to_owned(), source }
    }
}

/// What the model in a file is called: the file's name without what publishers hang on it, the date and the beginning of the
/// file's SHA-256.
pub(crate) fn model_name(file: &Path) -> Option<String> {
    let extension = file.extension()?.to_str()?.to_ascii_lowercase();
    if !EXTENSIONS.contains(&extension.as_str()) {
        return None;
    }
    let stem = file.file_stem()?.to_str()?;
    let kept = |c: char| if c.is_ascii_alphanumeric() || "._+-".contains(c) { c } else { '-' };
    let mut name: &str = stem;
    if let Some((head, hash)) = stem.rsplit_once('-')
        && hash.len() == 8
        && hash.bytes().all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase())
    {
        name = head;
        if let Some((head, date)) = head.rsplit_once('_')
            && date.len() == 8
            && date.bytes().all(|b| b.is_ascii_digit())
        {
            name = head;
        }
        // Some hang settings of the training on it as well.
        let whole = |known: &Known| name.strip_prefix(known.name).is_some_and(|rest| rest.starts_with('_'));
        name = KNOWN.iter().find(|known| whole(known)).map_or(name, |known| known.name);
    }
    let name: String = name.chars().map(kept).collect();
    name.chars().any(|c| c.is_ascii_alphanumeric()).then_some(name)
}

fn same_content(a: &Path, b: &Path) -> Result<bool, InstallError> {
    let read = |path: &Path| fs::read(path).map_err(|source| InstallError::Read { path: path.to_owned(), source });
    Ok(read(a)? == read(b)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_from_files() {
        let name = |file: &str| model_name(Path::new(file));
        let is = |name: &str| Some(name.to_owned());
        assert_eq!(name("a/realesr-animevideov3.pth"), is("realesr-animevideov3"));
        assert_eq!(
            name("basicvsr_plusplus_c64n7_8x1_600k_reds4_20210217-db622b2f.pth"),
            is("basicvsr_plusplus_c64n7_8x1_600k_reds4")
        );
        assert_eq!(
            name("realbasicvsr_c64b20_1x30x8_lr5e-5_150k_reds_20211104-52f77c2c.pth"),
            is("realbasicvsr_c64b20")
        );
        assert_eq!(name("realesr-general-x4v3-mine.pth"), is("realesr-general-x4v3-mine"));
        assert_eq!(name("basicvsr_plusplus_denoise-28f6920c.pth"), is("basicvsr_plusplus_denoise"));
        assert_eq!(name("BasicVSR_REDS4-543c8261.pth"), is("BasicVSR_REDS4"));
        assert_eq!(name("my model (1).safetensors"), is("my-model--1-"));
        assert_eq!(name("model-v2.SAFETENSORS"), is("model-v2"));
        for none in ["model", "model.txt", "??.pth", ".pth"] {
            assert_eq!(name(none), None, "{none}");
        }
    }
}
