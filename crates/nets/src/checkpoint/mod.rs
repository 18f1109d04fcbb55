//! Checkpoints: named tensors of weights, read from files that may come from anywhere.
//!
//! `.safetensors` and `.pth` (the zip form and the one before it) are told apart by their content. Values become f32
//! whatever they are stored as. Of several sets of weights the averaged one counts: `params_ema` before `params`,
//! `generator_ema.` before `generator.`. No file makes the reader run code, recurse without bound, or allocate more
//! than a small multiple of the file.

mod bytes;
mod error;
mod pickle;
mod pth;
mod safetensors;
mod weight;
mod zip;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

pub use error::{CheckpointError, Fault};
pub use weight::Weight;

/// Tensors by name.
type Tensors = BTreeMap<String, Weight>;

/// Most bytes of a file that is taken for a checkpoint.
const MAX_FILE_BYTES: u64 = 4 << 30;

/// Bytes at the start of a file that tell what it is.
const START_BYTES: u64 = 512;

/// Named tensors, and what their file says of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    name: String,
    tensors: Tensors,
    metadata: BTreeMap<String, String>,
}

impl Checkpoint {
    /// The checkpoint in the file at `path`.
    ///
    /// # Errors
    /// [`CheckpointError::Read`]; [`CheckpointError::Content`] where the file is damaged, hostile or no checkpoint.
    pub fn open(path: &Path) -> Result<Self, CheckpointError> {
        Self::from_bytes(&path.display().to_string(), &read(path)?)
    }

    /// The checkpoint in the bytes of a file; `name` stands for it in messages.
    ///
    /// # Errors
    /// [`CheckpointError::Content`] where the bytes are damaged, hostile or no checkpoint.
    pub fn from_bytes(name: &str, bytes: &[u8]) -> Result<Self, CheckpointError> {
        let content = |fault| CheckpointError::Content { file: name.to_owned(), fault };
        let (tensors, metadata) = Format::of(bytes).and_then(|format| format.read(bytes)).map_err(content)?;
        Ok(Self { name: name.to_owned(), tensors, metadata })
    }

    /// A checkpoint of `tensors`; `name` stands for it in messages.
    #[must_use]
    pub fn from_tensors(name: &str, tensors: BTreeMap<String, Weight>) -> Self {
        Self { name: name.to_owned(), tensors, metadata: BTreeMap::new() }
    }

    /// The file's path, or the name of a built-in model.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The tensor `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Weight> {
        self.tensors.get(name)
    }

    /// All tensors, by name.
    #[must_use]
    pub fn tensors(&self) -> &BTreeMap<String, Weight> {
        &self.tensors
    }

    /// What the file says of itself, such as `licence`.
    #[must_use]
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// The same with `value` as its metadata for `key`.
    #[must_use]
    pub fn with_metadata(mut self, key: &str, value: &str) -> Self {
        self.metadata.insert(key.to_owned(), value.to_owned());
        self
    }

    /// `weight * self + (1 - weight) * other`, tensor by tensor: deep network interpolation (Wang et al. 2019).
    ///
    /// Real-ESRGAN's denoise strength is the `weight` of realesr-general-x4v3 mixed with realesr-general-wdn-x4v3.
    /// Of the metadata stays what both say.
    ///
    /// # Errors
    /// [`CheckpointError::Mix`] where names or shapes differ or `weight` is outside [0, 1].
    pub fn mix(&self, other: &Self, weight: f32) -> Result<Self, CheckpointError> {
        let fail =
            |what: String| Err(CheckpointError::Mix { first: self.name.clone(), second: other.name.clone(), what });
        if !(0.0..=1.0).contains(&weight) {
            return fail(format!("a weight of {weight} is not between 0 and 1"));
        }
        if let Some(name) = other.tensors.keys().find(|&name| !self.tensors.contains_key(name)) {
            return fail(format!("only the second has `{name}`"));
        }
        let mut tensors = Tensors::new();
        for (name, first) in &self.tensors {
            let Some(second) = other.tensors.get(name) else {
                return fail(format!("only the first has `{name}`"));
            };
            if first.shape() != second.shape() {
                return fail(format!("`{name}` has shape {:?} and {:?}", first.shape(), second.shape()));
            }
            let mixed = |(a, b): (&f32, &f32)| weight * a + (1.0 - weight) * b;
            let values = first.values().iter().zip(second.values()).map(mixed).collect();
            let Some(mixed) = Weight::new(first.shape().to_vec(), values) else {
                return fail(format!("`{name}` is not whole"));
            };
            tensors.insert(name.clone(), mixed);
        }
        let shared = |(key, value): &(&String, &String)| other.metadata.get(*key) == Some(*value);
        let metadata = self.metadata.iter().filter(shared).map(|(k, v)| (k.clone(), v.clone())).collect();
        Ok(Self { name: format!("{} mixed with {}", self.name, other.name), tensors, metadata })
    }
}

/// The forms of checkpoint that are read.
#[derive(Clone, Copy, Debug)]
enum Format {
    Zip,
    Legacy,
    Safetensors,
}

impl Format {
    /// The form that a file of this beginning has.
    fn of(start: &[u8]) -> Result<Self, Fault> {
        if start.starts_with(b"PK\x03\x04") {
            Ok(Self::Zip)
        } else if start.starts_with(&pth::LEGACY_MAGIC) {
            Ok(Self::Legacy)
        } else if safetensors::recognise(start) {
            Ok(Self::Safetensors)
        } else {
            Err(Fault::NotACheckpoint(guess(start).into()))
        }
    }

    fn read(self, bytes: &[u8]) -> Result<(Tensors, BTreeMap<String, String>), Fault> {
        let (tensors, metadata) = match self {
            Self::Zip => (pth::read_zip(bytes)?, BTreeMap::new()),
            Self::Legacy => (pth::read_legacy(bytes)?, BTreeMap::new()),
            Self::Safetensors => safetensors::read(bytes)?,
        };
        if tensors.is_empty() {
            return Err(Fault::NotACheckpoint("it holds no tensors".into()));
        }
        Ok((tensors, metadata))
    }
}

/// The bytes of the file at `path`, once its beginning is that of a checkpoint.
fn read(path: &Path) -> Result<Vec<u8>, CheckpointError> {
    let file = path.display().to_string();
    let failed = |source| CheckpointError::Read { file: file.clone(), source };
    let mut source = File::open(path).map_err(failed)?;
    if source.metadata().map_err(failed)?.is_dir() {
        return Err(failed(io::Error::new(io::ErrorKind::IsADirectory, "it is a folder")));
    }
    let mut bytes = Vec::new();
    source.by_ref().take(START_BYTES).read_to_end(&mut bytes).map_err(failed)?;
    Format::of(&bytes).map_err(|fault| CheckpointError::Content { file: file.clone(), fault })?;
    source.take(MAX_FILE_BYTES).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        let what = "it is larger than 4 GiB, more than any checkpoint";
        return Err(failed(io::Error::new(io::ErrorKind::FileTooLarge, what)));
    }
    Ok(bytes)
}

/// What a file that is no checkpoint may be.
fn guess(bytes: &[u8]) -> &'static str {
    let start = bytes[..bytes.len().min(START_BYTES as usize)].trim_ascii_start().to_ascii_lowercase();
    if bytes.is_empty() {
        "it is empty"
    } else if start.starts_with(b"<!doctype html") || start.starts_with(b"<html") {
        "it is a web page, perhaps saved in place of the download"
    } else if start.starts_with(b"version https://git-lfs") {
        "it is a pointer of Git LFS, not the file itself"
    } else if start.iter().all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace()) {
        "it is a text"
    } else if bytes.starts_with(b"\x80") {
        "it is a pickle that torch.save did not write"
    } else {
        "its content is of no known kind"
    }
}

/// Which part of the names counts, and is left out of them: the averaged generator, else the generator, else
/// everything, without the `module.` that parallel training puts before every name.
fn prefix<'a>(names: impl Iterator<Item = &'a str> + Clone) -> &'static str {
    let some = |prefix| names.clone().any(|name| name.starts_with(prefix));
    if some("generator_ema.") {
        "generator_ema."
    } else if some("generator.") {
        "generator."
    } else if names.clone().all(|name| name.starts_with("module.")) {
        "module."
    } else {
        ""
    }
}
