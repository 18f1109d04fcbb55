//! What makes the pixels: a built-in network, a checkpoint, or a filter.

use std::hash::Hasher as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use framelift_engine::{Engine, Precision};
use framelift_frame::Size;
use framelift_media::Filter;
use framelift_nets::builtin::{self, Tier};
use framelift_nets::{Checkpoint, CheckpointError, Descriptor, Detected, Network, detect};

use crate::{DeviceOptions, Error, ErrorKind, Installed, ModelFolder};

/// A model by name or from a file, not yet on a device.
#[derive(Clone, Debug)]
pub struct Model {
    name: String,
    kind: Kind,
    /// What its results depend on: the hash of its weights, and how it was told to work.
    identity: String,
}

/// What stands behind a model.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Network(Box<Detected>),
    Resample(Filter),
}

/// The filters that count as models.
const FILTERS: [(&str, Filter, &str); 2] = [
    ("bicubic", Filter::Bicubic, "no network: cubic interpolation, any scale; the yardstick"),
    ("lanczos", Filter::Lanczos, "no network: Lanczos interpolation, any scale; sharper than bicubic"),
];

/// Why there is no model.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// No model has the name.
    #[error("there is no model `{name}`; there are {known}, or use --weights with a checkpoint file{hint}")]
    UnknownName {
        /// The name given.
        name: String,
        /// All names.
        known: String,
        /// What else helps; empty where nothing does.
        hint: String,
    },
    /// The file is not a usable checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The checkpoint is not of a network that is run.
    #[error(transparent)]
    Network(#[from] framelift_nets::ModelError),
    /// The second checkpoint of a denoise mix is not there.
    #[error("{} is mixed with its wdn sibling for --denoise, but {} is not there; put it beside or name it with --denoise-weights", file.display(), wanted.display())]
    NoSibling {
        /// The checkpoint given.
        file: PathBuf,
        /// Where the other was looked for.
        wanted: PathBuf,
    },
    /// A cleaning threshold for a filter.
    #[error("{name} is a filter and cleans nothing; --cleaning-threshold is for RealBasicVSR")]
    NoCleaning {
        /// The model.
        name: String,
    },
    /// A denoise strength for a checkpoint that has none.
    #[error("{} has no denoise strength; --denoise is for realesr-general-x4v3, whose wdn sibling it mixes in", file.display())]
    NoDenoise {
        /// The checkpoint given.
        file: PathBuf,
    },
}

impl ModelError {
    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Self::UnknownName { .. } | Self::NoDenoise { .. } | Self::NoCleaning { .. } => ErrorKind::Usage,
            Self::Network(framelift_nets::ModelError::CleaningThreshold { .. }) => ErrorKind::Usage,
            Self::Checkpoint(_) | Self::Network(_) | Self::NoSibling { .. } => ErrorKind::Input,
        }
    }
}

impl Model {
    /// The most lines of a film that is made four times as large where no size is asked for.
    pub const X4_LINES: u32 = 576;
    /// The most lines of a film that is made three times as large where no size is asked for.
    pub const X3_LINES: u32 = 720;

    /// A model at hand: one of [`Model::names`], a [`Tier`]'s name for its model of ×4, or a checkpoint
    /// that is installed in [`ModelFolder::of_user`].
    ///
    /// # Errors
    /// [`ModelError::UnknownName`]; as [`Model::open`] for checkpoints that are installed.
    pub fn named(name: &str) -> Result<Self, Error> {
        if let Some((_, filter, _)) = FILTERS.iter().find(|(known, ..)| *known == name) {
            return Ok(Self { name: name.to_owned(), kind: Kind::Resample(*filter), identity: name.to_owned() });
        }
        let full = Tier::named(name).and_then(|tier| tier.model(4)).map_or(name, |model| model.name);
        let Some(checkpoint) = builtin::checkpoint(full) else {
            return match Self::installed(name) {
                Some(found) => {
                    let checkpoint = Checkpoint::open(&found.file).map_err(ModelError::from)?;
                    Self::from_checkpoint(found.name, &checkpoint)
                }
                None => Err(unknown(name).into()),
            };
        };
        Self::from_checkpoint(full.to_owned(), &checkpoint.map_err(ModelError::from)?)
    }

    /// The checkpoint called `name` that is installed for the user, if there is one.
    #[must_use]
    pub fn installed(name: &str) -> Option<Installed> {
        ModelFolder::of_user().and_then(|folder| folder.find(name)).ok().flatten()
    }

    /// The models at hand, the default first.
    #[must_use]
    pub fn names() -> Vec<&'static str> {
        builtin::names().chain(FILTERS.iter().map(|(name, ..)| *name)).collect()
    }

    /// The checkpoint in a file, `.pth` or `.safetensors`. Architecture and numbers are read off its tensors.
    ///
    /// # Errors
    /// [`ModelError::Checkpoint`], [`ModelError::Network`].
    pub fn open(file: impl AsRef<Path>) -> Result<Self, Error> {
        let file = file.as_ref();
        Self::from_checkpoint(stem(file), &Checkpoint::open(file).map_err(ModelError::from)?)
    }

    /// realesr-general-x4v3 with a denoise `strength` from 0 (keeps noise and grain) to 1 (removes it): the linear mix of
    /// its weights with those of realesr-general-wdn-x4v3, from `wdn` or from the file of that name beside it.
    ///
    /// # Errors
    /// As [`Model::open`]; [`ModelError::NoSibling`], [`ModelError::NoDenoise`].
    pub fn open_denoise(file: impl AsRef<Path>, wdn: Option<&Path>, strength: f32) -> Result<Self, Error> {
        let file = file.as_ref();
        let sibling = match wdn {
            Some(wdn) => wdn.to_owned(),
            None => wdn_sibling(file)?,
        };
        let open = |path: &Path| Checkpoint::open(path).map_err(ModelError::from);
        let mixed = open(file)?.mix(&open(&sibling)?, strength).map_err(ModelError::from)?;
        Self::from_checkpoint(stem(file), &mixed)
    }

    /// The same model with another threshold at which cleaning ends, in steps of 1/255: RealBasicVSR cleans a window up to
    /// three times, until the mean change is below it.
    ///
    /// # Errors
    /// [`ModelError::Network`] for models that do not clean.
    pub fn cleaning_threshold(mut self, threshold: f32) -> Result<Self, Error> {
        match &self.kind {
            Kind::Network(detected) => {
                let cleaning = detected.with_cleaning_threshold(threshold).map_err(ModelError::from)?;
                self.kind = Kind::Network(Box::new(cleaning));
                self.identity.push_str(&format!(" cleaned to {threshold}"));
                Ok(self)
            }
            Kind::Resample(_) => Err(ModelError::NoCleaning { name: self.name }.into()),
        }
    }

    fn from_checkpoint(name: String, checkpoint: &Checkpoint) -> Result<Self, Error> {
        let kind = Kind::Network(Box::new(detect(checkpoint).map_err(ModelError::from)?));
        Ok(Self { name, kind, identity: identity(checkpoint) })
    }

    /// The built-in model of a tier for films of size `input`: where a size of the `output` is asked for, the one of the least
    /// scale that reaches it; else ×4 up to [`Model::X4_LINES`] lines, ×3 up to [`Model::X3_LINES`], ×2 above.
    ///
    /// # Errors
    /// None as long as the program is whole.
    pub fn built_in(tier: Tier, input: Size, output: Option<Size>) -> Result<Self, Error> {
        let scale = match output {
            Some(output) => {
                let reaches = |scale: u32| output.width <= scale * input.width && output.height <= scale * input.height;
                [2, 3].into_iter().find(|&scale| reaches(scale)).unwrap_or(4)
            }
            None => {
                let lines = input.width.min(input.height);
                if lines <= Self::X4_LINES {
                    4
                } else if lines <= Self::X3_LINES {
                    3
                } else {
                    2
                }
            }
        };
        Self::named(tier.model(scale).map_or(tier.name(), |model| model.name))
    }

    /// Whether a name is the program's own, and no checkpoint may have it.
    #[must_use]
    pub fn is_reserved(name: &str) -> bool {
        Self::names().contains(&name) || Tier::named(name).is_some()
    }

    /// Its name, or the file's without folder and extension.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it is good for, in one sentence.
    #[must_use]
    pub fn purpose(&self) -> &str {
        match &self.kind {
            Kind::Network(detected) => &detected.descriptor().purpose,
            Kind::Resample(filter) => FILTERS.iter().find(|(_, f, _)| f == filter).map_or("", |(.., purpose)| purpose),
        }
    }

    /// What the network says of itself; `None` for filters.
    #[must_use]
    pub fn descriptor(&self) -> Option<&Descriptor> {
        match &self.kind {
            Kind::Network(detected) => Some(detected.descriptor()),
            Kind::Resample(_) => None,
        }
    }

    /// Output pixels for each input pixel along a side; 1 for filters.
    #[must_use]
    pub fn scale(&self) -> u32 {
        self.descriptor().map_or(1, |d| d.scale)
    }

    /// The network with its weights ready on `engine`.
    ///
    /// # Errors
    /// [`Error::Device`] for filters and where the engine does not know the precision; the engine's own.
    pub fn prepare(&self, engine: Arc<dyn Engine>, device: &DeviceOptions) -> Result<Arc<dyn Network>, Error> {
        match &self.kind {
            Kind::Network(detected) => {
                let precision = device.precision_on(&*engine, detected.descriptor().precisions)?;
                Ok(detected.prepare(engine, precision)?)
            }
            Kind::Resample(_) => Err(Error::Device(format!("{} is a filter, not a network", self.name))),
        }
    }

    /// The network with its weights ready on `engine`, in the working precision and when need be in f32.
    ///
    /// # Errors
    /// As [`Model::prepare`].
    pub(crate) fn ready(
        &self,
        engine: Arc<dyn Engine>,
        device: &DeviceOptions,
    ) -> Result<framelift_pipeline::Model, Error> {
        let Kind::Network(detected) = &self.kind else {
            return Err(Error::Device(format!("{} is a filter, not a network", self.name)));
        };
        let precision = device.precision_on(&*engine, detected.descriptor().precisions)?;
        let (detected, on) = (detected.clone(), Arc::clone(&engine));
        let prepare = move |precision: Precision| detected.prepare(Arc::clone(&on), precision);
        Ok(framelift_pipeline::Model::new(engine, precision, prepare)?)
    }

    pub(crate) fn identity(&self) -> &str {
        &self.identity
    }

    pub(crate) fn kind(&self) -> &Kind {
        &self.kind
    }
}

/// The hash of the names, shapes and values of all tensors.
fn identity(checkpoint: &Checkpoint) -> String {
    let mut hash = twox_hash::XxHash3_64::with_seed(0);
    let mut bytes = Vec::new();
    for (name, weight) in checkpoint.tensors() {
        bytes.clear();
        bytes.extend(format!("{name} {:?}", weight.shape()).bytes());
        bytes.extend(weight.values().iter().flat_map(|value| value.to_le_bytes()));
        hash.write(&bytes);
    }
    format!("{:016x}", hash.finish())
}

/// Says which names there are, and how the one that was given could be had.
fn unknown(name: &str) -> ModelError {
    let mut known: Vec<String> = Model::names().into_iter().map(str::to_owned).collect();
    let installed = ModelFolder::of_user().and_then(|folder| folder.list()).unwrap_or_default();
    known.extend(installed.into_iter().map(|there| there.name));
    #[cfg(feature = "fetch")]
    let hint = match crate::downloads().iter().any(|download| download.name == name) {
        true => format!("; `framelift models fetch {name}` downloads it"),
        false => String::new(),
    };
    #[cfg(not(feature = "fetch"))]
    let hint = String::new();
    ModelError::UnknownName { name: name.to_owned(), known: known.join(", "), hint }
}

fn stem(file: &Path) -> String {
    file.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// `realesr-general-x4v3.pth` has `realesr-general-wdn-x4v3.pth` beside it.
fn wdn_sibling(file: &Path) -> Result<PathBuf, ModelError> {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    if !name.contains("general-x4v3") {
        return Err(ModelError::NoDenoise { file: file.to_owned() });
    }
    let wanted = file.with_file_name(name.replacen("general-x4v3", "general-wdn-x4v3", 1));
    if wanted.exists() { Ok(wanted) } else { Err(ModelError::NoSibling { file: file.to_owned(), wanted }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_model_suits_film_and_target() {
        let name = |tier: Tier, input: (u32, u32), output: Option<(u32, u32)>| {
            let [input, output] =
                [Some(input), output].map(|size| size.map(|(width, height)| Size::new(width, height)));
            Model::built_in(tier, input.unwrap(), output).unwrap().name
        };
        // Without a size asked for, by the lines, of upright films too.
        assert_eq!(name(Tier::Lift, (720, 576), None), "lift-x4");
        assert_eq!(name(Tier::LiftFast, (576, 720), None), "lift-fast-x4");
        assert_eq!(name(Tier::Lift, (1280, 720), None), "lift-x3");
        assert_eq!(name(Tier::LiftFast, (1920, 1080), None), "lift-x2");
        // With one, by what reaches it.
        assert_eq!(name(Tier::Lift, (720, 480), Some((1440, 960))), "lift-x2");
        assert_eq!(name(Tier::Lift, (720, 480), Some((1620, 1080))), "lift-x3");
        assert_eq!(name(Tier::Lift, (720, 480), Some((2880, 1920))), "lift-x4");
        assert_eq!(name(Tier::Lift, (1280, 720), Some((7680, 4320))), "lift-x4");
        assert_eq!(name(Tier::Lift, (640, 480), Some((640, 1440))), "lift-x3");
        assert_eq!(name(Tier::Lift, (720, 480), Some((360, 240))), "lift-x2");
    }

    #[test]
    fn names_of_tiers_are_reserved_and_stand_for_a_model() {
        assert_eq!(Model::named("lift").unwrap().name(), "lift-x4");
        assert_eq!(Model::named("lift-fast").unwrap().name(), "lift-fast-x4");
        for name in ["lift", "lift-fast", "lift-x2", "bicubic"] {
            assert!(Model::is_reserved(name), "{name}");
        }
        assert!(!Model::is_reserved("realesr-animevideov3"));
    }
}
