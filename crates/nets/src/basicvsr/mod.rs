//! BasicVSR: features carried backwards and forwards through a window (Chan et al. 2021, CVPR; mmagic 1.2,
//! `mmagic/models/editors/basicvsr/basicvsr_net.py`; BasicSR 1.4, `basicsr/archs/basicvsr_arch.py`).
//!
//! For the frames `x(0) … x(n − 1)` of a window, `flow(a, b)` by SPyNet from frame `a` to frame `b`, zeros where there
//! is no frame before:
//!
//! ```text
//! b(i) = backward_resblocks([x(i), warp(b(i + 1), flow(i, i + 1))])       3 + channels → channels
//! f(i) = forward_resblocks([x(i), warp(f(i − 1), flow(i, i − 1))])
//! y(i) = upsampler(leaky(fusion([b(i), f(i)]), 0.1)) + bilinear(x(i), 4)  1×1, then the upsampler
//! ```
//! RGB in [0, 1], `h × w × 3`, to `4h × 4w × 3`, not clamped. The reference leaves half of the flows out for windows
//! that are mirrored in time; they are the same values.

use std::ops::Range;
use std::sync::Arc;

use framelift_engine::{Addend, Conv, Engine, EngineError, Padding, Precision, Shape, Tensor, Upsample};

use crate::blocks::{LAST_CHANNELS, LEAKY, ResidualBlocks, Upsampler, prepare};
use crate::network::Emit;
use crate::reader::{ConvWeights, Reader, counted};
use crate::registry::{Detected, Weights};
use crate::spynet::{Spynet, SpynetWeights, flow_work};
use crate::store::FeatureStore;
use crate::window::{Windowed, fit, neighbours, together};
use crate::{Checkpoint, Descriptor, ModelError, Network, Reach, Together, Upsampling, Values, known};

const NAME: &str = "BasicVSR";

/// Output pixels for each input pixel along a side.
pub(crate) const SCALE: u32 = 4;
/// The smallest side that the network was made for, in pixels.
pub(crate) const MIN_SIDE_PX: u32 = 64;

/// Whether the names of the tensors are this network's.
pub(crate) fn recognise(checkpoint: &Checkpoint) -> bool {
    let has = |part: &str| checkpoint.tensors().keys().any(|name| name.starts_with(part));
    (has("backward_resblocks.") || has("backward_trunk.")) && !has("edvr.")
}

/// Reads the weights and all numbers of the network.
pub(crate) fn read(checkpoint: &Checkpoint) -> Result<Detected, ModelError> {
    let mut reader = Reader::new(checkpoint, NAME);
    let weights = BasicVsrWeights::read(&mut reader, "");
    let parameters = reader.finish()?;
    let otherwise = "four times the size of whatever its checkpoint was trained for, bicubic shrinking as a rule";
    let (purpose, licence) = known::purpose_and_licence(checkpoint, otherwise);
    let descriptor = Descriptor {
        architecture: NAME,
        variant: format!("{}, {}", counted(weights.channels, "channel"), counted(weights.backward.len(), "block")),
        scale: SCALE,
        reach: Reach::Window,
        size_multiple: 1,
        min_side_px: MIN_SIDE_PX,
        parameters,
        macs_per_pixel: weights.macs(),
        phases: vec![weights.phase()],
        together: vec![weights.together()],
        upsampling: Some(weights.upsampling()),
        held: Values::pictures(1),
        stored_values_per_pixel: weights.channels as u64,
        precisions: &[Precision::F32, Precision::Bf16, Precision::F16],
        purpose,
        licence,
    };
    Ok(Detected::new(descriptor, weights))
}

/// The weights of the network, which is a part of RealBasicVSR too.
pub(crate) struct BasicVsrWeights {
    pub(crate) channels: usize,
    spynet: SpynetWeights,
    pub(crate) backward: ResidualBlocks<ConvWeights>,
    forward: ResidualBlocks<ConvWeights>,
    fusion: ConvWeights,
    upsampler: Upsampler<ConvWeights>,
}

impl BasicVsrWeights {
    /// The network whose names begin with `prefix`.
    pub(crate) fn read(reader: &mut Reader<'_>, prefix: &str) -> Self {
        let channels = reader.outs(&format!("{prefix}fusion"));
        let mut branch = |direction: &str| {
            let names = ["resblocks", "trunk"].map(|kind| format!("{prefix}{direction}_{kind}.main.0"));
            let name = reader.either(&names);
            ResidualBlocks::read(reader, name.trim_end_matches(".main.0"), 3 + channels, channels)
        };
        let (backward, forward) = (branch("backward"), branch("forward"));
        Self {
            channels,
            spynet: SpynetWeights::read(reader, &format!("{prefix}spynet.")),
            backward,
            forward,
            fusion: reader.conv(&format!("{prefix}fusion"), 1, 2 * channels, channels),
            upsampler: Upsampler::read(reader, prefix, channels),
        }
    }

    /// Multiply-adds for each input pixel, two flows a frame.
    pub(crate) fn macs(&self) -> u64 {
        2 * self.spynet.macs() + self.backward.macs() + self.forward.macs() + self.fusion.macs() + self.upsampler.macs()
    }

    /// Values alive at once for each input pixel of a window of one frame: the frame, its flow and, in a block, what was
    /// carried on, input, inner map and output.
    pub(crate) fn phase(&self) -> Values {
        Values::features(4 * self.channels as u64) + Values::pictures(1) + Values::flows(1)
    }

    /// While flows are made: the frame and the features carried on beside them.
    pub(crate) fn together(&self) -> Together {
        let outside = Values::features(self.channels as u64) + Values::pictures(1);
        Together { outside, each: flow_work() }
    }

    /// Beside the strips: the frame, its flow, what is carried on, and the features themselves.
    pub(crate) fn upsampling(&self) -> Upsampling {
        let outside = Values::features(2 * self.channels as u64) + Values::pictures(1) + Values::flows(1);
        Upsampling { outside, strip_phases: Upsampler::phases(self.channels, LAST_CHANNELS) }
    }

    pub(crate) fn prepare(&self, engine: Arc<dyn Engine>, precision: Precision) -> Result<BasicVsr, EngineError> {
        let ins = [3, self.channels];
        let both = [self.channels; 2];
        Ok(BasicVsr {
            channels: self.channels,
            precision,
            spynet: self.spynet.prepare(Arc::clone(&engine), precision)?,
            backward: self.backward.prepare(&*engine, &ins, precision)?,
            forward: self.forward.prepare(&*engine, &ins, precision)?,
            fusion: prepare(&*engine, &self.fusion, 1, &both, LEAKY, precision)?,
            upsampler: self.upsampler.prepare(&*engine, precision)?,
            engine,
        })
    }
}

/// The network on an engine.
pub(crate) struct BasicVsr {
    engine: Arc<dyn Engine>,
    channels: usize,
    precision: Precision,
    spynet: Spynet,
    backward: ResidualBlocks<Conv>,
    forward: ResidualBlocks<Conv>,
    fusion: Conv,
    upsampler: Upsampler<Conv>,
}

impl BasicVsr {
    /// Runs a window, as [`Windowed::run`]. Of the two passes the backward one ends where `keep` begins, the forward
    /// one where it ends: no result depends on what is left out.
    pub(crate) fn run(
        &self,
        frames: &[Tensor],
        keep: Range<usize>,
        store: &mut dyn FeatureStore,
        emit: &mut Emit<'_>,
    ) -> Result<(), EngineError> {
        let mut waiting = Vec::with_capacity(keep.len());
        let latest_first: Vec<&Tensor> = frames[keep.start..].iter().rev().collect();
        self.propagate(&self.backward, &latest_first, |step, features| {
            if keep.contains(&(frames.len() - 1 - step)) {
                waiting.push(store.put(features)?);
            }
            Ok(())
        })?;

        let earliest_first: Vec<&Tensor> = frames[..keep.end].iter().collect();
        self.propagate(&self.forward, &earliest_first, |i, forward| {
            if !keep.contains(&i) {
                return Ok(());
            }
            // What was put last is the earliest frame's.
            let Some(id) = waiting.pop() else { return Ok(()) };
            let backward = store.get(id)?;
            store.release(id);
            let fused = self.engine.conv(&self.fusion, &[&backward, &forward], None)?;
            drop((backward, forward));
            let base = Addend { tensor: &frames[i], upsample: Upsample::Bilinear };
            emit(self.upsampler.run(&*self.engine, fused, Some(base))?)
        })
    }

    /// Carries features on from each of `frames` to the next; `take` is given those of each, and its place.
    fn propagate(
        &self,
        blocks: &ResidualBlocks<Conv>,
        frames: &[&Tensor],
        mut take: impl FnMut(usize, Tensor) -> Result<(), EngineError>,
    ) -> Result<(), EngineError> {
        let engine = &*self.engine;
        let Some(first) = frames.first() else { return Ok(()) };
        let nothing = engine.zeros(Shape { channels: self.channels, ..first.shape() }, self.precision)?;
        let mut features = blocks.run(engine, &[first, &nothing])?;
        drop(nothing);
        take(0, features.clone())?;
        let mut at = 0;
        while at + 1 < frames.len() {
            let end = frames.len().min(at + 1 + together(engine, frames[at + 1]));
            let [to, from] = neighbours(engine, &frames[at..end])?.map(|frames| self.spynet.pyramid(&frames));
            for flow in self.spynet.flows(&from?, &to?)? {
                at += 1;
                let both = fit(engine, &features, flow.shape().maps)?;
                drop(features);
                let carried = engine.flow_warp(&both, &flow, Padding::Zeros)?;
                drop(both);
                let carried = fit(engine, &carried, frames[at].shape().maps)?;
                features = blocks.run(engine, &[frames[at], &carried])?;
                drop(carried);
                take(at, features.clone())?;
            }
        }
        Ok(())
    }
}

impl Weights for BasicVsrWeights {
    fn prepare(
        &self,
        descriptor: &Descriptor,
        engine: Arc<dyn Engine>,
        precision: Precision,
    ) -> Result<Arc<dyn Network>, EngineError> {
        let network = self.prepare(engine, precision)?;
        Ok(Arc::new(BasicVsrNetwork { descriptor: descriptor.clone(), network }))
    }
}

/// The network as it is run by itself.
struct BasicVsrNetwork {
    descriptor: Descriptor,
    network: BasicVsr,
}

impl Windowed for BasicVsrNetwork {
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
        self.network.run(frames, keep, store, emit)
    }
}
