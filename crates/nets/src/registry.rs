//! Which network a checkpoint is of, read off the names and shapes of its tensors.

use std::fmt;
use std::sync::Arc;

use framelift_engine::{Engine, EngineError, Precision, Support};

use crate::reader::first_few;
use crate::{Checkpoint, Descriptor, ModelError, Network, compact, lift};

/// The networks that are run, for messages.
pub(crate) const SUPPORTED: &str = "lift and SRVGGNetCompact (realesr-animevideov3, realesr-general-x4v3)";

/// A network that is run: how its checkpoints are told, and how they are read.
struct Architecture {
    recognise: fn(&Checkpoint) -> bool,
    read: fn(&Checkpoint) -> Result<Detected, ModelError>,
}

const ARCHITECTURES: [Architecture; 2] = [
    Architecture { recognise: lift::recognise, read: lift::read },
    Architecture { recognise: compact::recognise, read: compact::read },
];

/// Networks that are known by a part of a tensor's name, and not run; the first that matches counts.
const NOT_YET: [(&str, &str); 7] = [
    ("image_cleaning.", "RealBasicVSR"),
    ("deform_align.", "BasicVSR++"),
    ("backward_resblocks.", "BasicVSR"),
    ("backward_trunk.", "BasicVSR"),
    (".rdb1.conv1.", "RRDBNet (Real-ESRGAN)"),
    (".RDB1.conv1.", "RRDBNet (ESRGAN)"),
    ("basic_module.0.", "SPyNet"),
];

/// The network that `checkpoint` is of, with its weights.
///
/// # Errors
/// [`ModelError`]: the checkpoint is of no network that is run, or tensors are missing, misshapen or left over.
pub fn detect(checkpoint: &Checkpoint) -> Result<Detected, ModelError> {
    if let Some(architecture) = ARCHITECTURES.iter().find(|a| (a.recognise)(checkpoint)) {
        return (architecture.read)(checkpoint);
    }
    let file = checkpoint.name().to_owned();
    let has = |part: &str| checkpoint.tensors().keys().any(|name| name.contains(part));
    if let Some((_, architecture)) = NOT_YET.iter().find(|(part, _)| has(part)) {
        return Err(ModelError::NotYet { file, architecture });
    }
    let names: Vec<String> = checkpoint.tensors().keys().cloned().collect();
    Err(ModelError::Unknown { file, tensors: first_few(&names) })
}

/// The weights of a network, not yet on an engine.
pub(crate) trait Weights: Send + Sync {
    /// Prepares the weights in a precision that the engine has.
    fn prepare(
        &self,
        descriptor: &Descriptor,
        engine: Arc<dyn Engine>,
        precision: Precision,
    ) -> Result<Arc<dyn Network>, EngineError>;
}

/// A checkpoint whose network is known.
#[derive(Clone)]
pub struct Detected {
    descriptor: Descriptor,
    weights: Arc<dyn Weights>,
}

impl Detected {
    pub(crate) fn new(descriptor: Descriptor, weights: impl Weights + 'static) -> Self {
        Self { descriptor, weights: Arc::new(weights) }
    }

    /// What it is.
    #[must_use]
    pub fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// The network with its weights ready on `engine`.
    ///
    /// # Errors
    /// [`EngineError::Unsupported`] where the network or the engine does not go with `precision`; the engine's own.
    pub fn prepare(&self, engine: Arc<dyn Engine>, precision: Precision) -> Result<Arc<dyn Network>, EngineError> {
        let good = self.descriptor.precisions.contains(&precision);
        if !good || engine.support(precision) == Support::No {
            let what = format!("run {} in {precision}", self.descriptor.architecture);
            return Err(EngineError::Unsupported { engine: engine.info().name, what });
        }
        self.weights.prepare(&self.descriptor, engine, precision)
    }
}

impl fmt::Debug for Detected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.descriptor.fmt(f)
    }
}
