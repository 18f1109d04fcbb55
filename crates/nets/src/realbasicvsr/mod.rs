//! RealBasicVSR: frames are cleaned, then go through BasicVSR (Chan et al. 2022, CVPR; mmagic 1.2,
//! `mmagic/models/editors/real_basicvsr/real_basicvsr_net.py`).
//!
//! ```text
//! at most three times:
//!     r(i) = image_cleaning.1(image_cleaning.0(x(i)))             residual blocks, 3 → channels; 3×3, channels → 3
//!     x(i) = x(i) + r(i)                                          for every frame of the window
//!     until the mean of |r| over the whole window is below threshold / 255
//! y = basicvsr(x)
//! ```
//! RGB in [0, 1], `h × w × 3`, to `4h × 4w × 3`, not clamped. A threshold of 255, the default, cleans once; the
//! paper's tests used 5. Of a checkpoint's two generators the averaged one is used (`generator_ema.`).

use std::ops::Range;
use std::sync::Arc;

use framelift_engine::{Conv, ConvSpec, Engine, EngineError, Precision, Tensor};

use crate::basicvsr::{BasicVsr, BasicVsrWeights, MIN_SIDE_PX, SCALE};
use crate::blocks::ResidualBlocks;
use crate::network::Emit;
use crate::reader::{ConvWeights, Reader, counted};
use crate::registry::{Detected, Weights};
use crate::store::FeatureStore;
use crate::window::{Windowed, together};
use crate::{Checkpoint, Descriptor, ModelError, Network, Reach, Together, Upsampling, Values, known};

const NAME: &str = "RealBasicVSR";

/// How often frames are cleaned at most.
const MAX_CLEANINGS: usize = 3;
/// The threshold of the published models, in levels of 8 bits.
const DEFAULT_THRESHOLD: f32 = 255.0;

/// Whether the names of the tensors are this network's.
pub(crate) fn recognise(checkpoint: &Checkpoint) -> bool {
    checkpoint.tensors().keys().any(|name| name.starts_with("image_cleaning."))
}

/// Reads the weights and all numbers of the network.
pub(crate) fn read(checkpoint: &Checkpoint) -> Result<Detected, ModelError> {
    let mut reader = Reader::new(checkpoint, NAME);
    let basicvsr = BasicVsrWeights::read(&mut reader, "basicvsr.");
    let channels = basicvsr.channels;
    let cleaning = ResidualBlocks::read(&mut reader, "image_cleaning.0", 3, channels);
    let residue = reader.conv("image_cleaning.1", 3, channels, 3);
    let parameters = reader.finish()?;

    let otherwise = "filmed scenes with noise, blur and compression of unknown kind, four times the size";
    let (purpose, licence) = known::purpose_and_licence(checkpoint, otherwise);
    let (as_it_came, together, upsampling) = (Values::pictures(1), basicvsr.together(), basicvsr.upsampling());
    let descriptor = Descriptor {
        architecture: NAME,
        variant: format!(
            "{}, {}, {} of cleaning",
            counted(channels, "channel"),
            counted(basicvsr.backward.len(), "block"),
            counted(cleaning.len(), "block")
        ),
        scale: SCALE,
        reach: Reach::Window,
        size_multiple: 1,
        min_side_px: MIN_SIDE_PX,
        parameters,
        macs_per_pixel: basicvsr.macs() + cleaning.macs() + residue.macs(),
        // Frames are there as they came and cleaned.
        phases: vec![basicvsr.phase() + as_it_came],
        together: vec![Together { outside: together.outside + as_it_came, ..together }, cleaning_work(channels)],
        upsampling: Some(Upsampling { outside: upsampling.outside + as_it_came, ..upsampling }),
        held: Values::pictures(2),
        stored_values_per_pixel: channels as u64,
        precisions: &[Precision::F32, Precision::Bf16, Precision::F16],
        purpose,
        licence,
    };
    let weights = Parts { cleaning, residue, basicvsr };
    Ok(Detected::new(descriptor, RealBasicVsrWeights { parts: Arc::new(weights), threshold: DEFAULT_THRESHOLD }))
}

/// Values alive at once while frames are cleaned: in a block input, inner map and output.
fn cleaning_work(channels: usize) -> Together {
    Together { outside: Values::pictures(1), each: Values::features(3 * channels as u64) + Values::pictures(2) }
}

struct RealBasicVsrWeights {
    parts: Arc<Parts>,
    /// In levels of 8 bits.
    threshold: f32,
}

struct Parts {
    cleaning: ResidualBlocks<ConvWeights>,
    residue: ConvWeights,
    basicvsr: BasicVsrWeights,
}

impl Weights for RealBasicVsrWeights {
    fn prepare(
        &self,
        descriptor: &Descriptor,
        engine: Arc<dyn Engine>,
        precision: Precision,
    ) -> Result<Arc<dyn Network>, EngineError> {
        let Parts { cleaning, residue, basicvsr } = &*self.parts;
        let last = ConvSpec::new(3, &[basicvsr.channels], 3).precision(precision, Precision::F32);
        Ok(Arc::new(RealBasicVsr {
            descriptor: descriptor.clone(),
            max_mean_residue: f64::from(self.threshold) / 255.0,
            cleaning: cleaning.prepare(&*engine, &[3], precision)?,
            residue: engine.prepare_conv(&last, &residue.weights, &residue.bias)?,
            basicvsr: basicvsr.prepare(Arc::clone(&engine), precision)?,
            engine,
        }))
    }

    fn with_cleaning_threshold(&self, threshold: f32) -> Option<Arc<dyn Weights>> {
        Some(Arc::new(Self { parts: Arc::clone(&self.parts), threshold }))
    }
}

/// The network on an engine.
struct RealBasicVsr {
    descriptor: Descriptor,
    engine: Arc<dyn Engine>,
    cleaning: ResidualBlocks<Conv>,
    residue: Conv,
    /// Cleaning goes on until the mean residue is below this.
    max_mean_residue: f64,
    basicvsr: BasicVsr,
}

impl RealBasicVsr {
    /// The frames of one window, cleaned.
    fn cleaned(&self, frames: &[Tensor]) -> Result<Vec<Tensor>, EngineError> {
        let engine = &*self.engine;
        let mut frames = frames.to_vec();
        let together = frames.first().map_or(1, |frame| together(engine, frame));
        for _ in 0..MAX_CLEANINGS {
            let mut sum = 0.0;
            for some in frames.chunks_mut(together) {
                let stack = engine.stack_maps(&some.iter().collect::<Vec<_>>())?;
                let features = self.cleaning.run(engine, &[&stack])?;
                let residue = engine.conv(&self.residue, &[&features], None)?;
                drop(features);
                sum += engine.mean_abs(&residue)? * some.len() as f64;
                let cleaner = engine.add_scaled(&residue, 1.0, &stack)?;
                some.clone_from_slice(&engine.unstack_maps(&cleaner)?);
            }
            if sum / (frames.len() as f64) < self.max_mean_residue {
                break;
            }
        }
        Ok(frames)
    }
}

impl Windowed for RealBasicVsr {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    fn run(
        &self,
        frames: &[Tensor],
        keep: Range<usize>,
        store: &mut dyn FeatureStore,
        emit: &mut Emit<'_>,
    ) -> Result<(), EngineError> {
        let engine = &*self.engine;
        // How often a window's frames are cleaned is decided for each by itself.
        let mut windows = Vec::with_capacity(frames[0].shape().maps);
        for lane in 0..frames[0].shape().maps {
            let its = frames.iter().take_while(|frame| frame.shape().maps > lane);
            let its = its.map(|frame| engine.maps(frame, lane..lane + 1)).collect::<Result<Vec<_>, _>>()?;
            windows.push(self.cleaned(&its)?);
        }
        let stacked = |i| engine.stack_maps(&windows.iter().filter_map(|window| window.get(i)).collect::<Vec<_>>());
        let frames = (0..frames.len()).map(stacked).collect::<Result<Vec<_>, _>>()?;
        drop(windows);
        self.basicvsr.run(&frames, keep, store, emit)
    }
}
