//! Which network a checkpoint is of, read off the names and shapes of its tensors.

use std::fmt;
use std::sync::Arc;

use framelift_engine::{Engine, EngineError, Precision, Support};

use crate::reader::first_few;
use crate::{
    Checkpoint, Descriptor, ModelError, Network, basicvsr, basicvsr_plusplus, compact, lift, realbasicvsr, rrdbnet,
};

/// The networks that are run, for messages.
pub(crate) const SUPPORTED: &str = "lift, BasicVSR, BasicVSR++, RealBasicVSR, RRDBNet (RealESRGAN_x4plus and others) and \
     SRVGGNetCompact (realesr-animevideov3, realesr-general-x4v3)";

/// A network that is run: how its checkpoints are told, and how they are read.
struct Architecture {
    recognise: fn(&Checkpoint) -> bool,
    read: fn(&Checkpoint) -> Result<Detected, ModelError>,
}

const ARCHITECTURES: [Architecture; 6] = [
    Architecture { recognise: lift::recognise, read: lift::read },
    Architecture { recognise: compact::recognise, read: compact::read },
    Architecture { recognise: realbasicvsr::recognise, read: realbasicvsr::read },
    Architecture { recognise: basicvsr_plusplus::recognise, read: basicvsr_plusplus::read },
    Architecture { recognise: basicvsr::recognise, read: basicvsr::read },
    Architecture { recognise: rrdbnet::recognise, read: rrdbnet::read },
];

/// Networks that are known by a part of a tensor's name, and not run; the first that matches counts.
const NOT_YET: [(&str, &str); 2] =
    [("edvr.", "IconVSR, whose key frames need EDVR"), ("basic_module.0.", "SPyNet, a part of other networks")];

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

    /// The same network that cleans its frames until their residue is below `threshold`; none where it cleans nothing.
    fn with_cleaning_threshold(&self, threshold: f32) -> Option<Arc<dyn Weights>> {
        let _ = threshold;
        None
    }
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

    /// RealBasicVSR that cleans its frames, up to three times, until the mean absolute residue of a window is below
    /// `threshold` levels of 8 bits. 255 is the published models' own and cleans once; 5 is what the paper tests with.
    ///
    /// # Errors
    /// [`ModelError::CleaningThreshold`] for other networks, and for a threshold that is not between 0 and 255.
    pub fn with_cleaning_threshold(&self, threshold: f32) -> Result<Self, ModelError> {
        let architecture = self.descriptor.architecture;
        if !(0.0..=255.0).contains(&threshold) {
            let what = format!("a cleaning threshold of {threshold} is not between 0 and 255");
            return Err(ModelError::CleaningThreshold { architecture, what });
        }
        let Some(weights) = self.weights.with_cleaning_threshold(threshold) else {
            let what = "it has no cleaning network, which RealBasicVSR has; leave the threshold out".into();
            return Err(ModelError::CleaningThreshold { architecture, what });
        };
        Ok(Self { descriptor: self.descriptor.clone(), weights })
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
