//! lift: the built-in network, a causal recurrence with one frame of look-ahead, for any processor.
//!
//! For frame `t` of a shot, with `x(−1) = x(0)`, `x(T) = x(T−1)` and a hidden state that begins as zeros:
//!
//! ```text
//! b, a    = the flows from x(t) to x(t−1) and to x(t+1)             Engine::motion
//! f = leaky(conv_in([warp(x(t−1), b), x(t), warp(x(t+1), a), warp(hidden, b)]), 0.1)
//!                                                                3×3, 9 + channels → channels; the border repeated
//! for i in blocks:  f = f + body.i.1(leaky(body.i.0(f), 0.1))    3×3, channels → channels
//! y = pixel_shuffle(conv_out(f), s) + bilinear(x(t), s)          3×3, channels → 3·s²
//! hidden = f
//! ```
//! Where `conv_in` bears the name `conv_aligned` it is so; older checkpoints have `conv_in`, and nothing is warped.
//! RGB in [0, 1], `h × w × 3`, to `s·h × s·w × 3`, not clamped.

use std::sync::Arc;

use framelift_engine::{
    Activation, Addend, Conv, ConvSpec, Engine, EngineError, Padding, Precision, Shape, Tensor, Upsample,
};

use crate::reader::{ConvWeights, Reader, counted};
use crate::registry::{Detected, Weights};
use crate::{Checkpoint, Descriptor, ModelError, Network, Reach, Shot, Values, known};

const NAME: &str = "lift";
const SLOPE: f32 = 0.1;
/// Channels of the three frames.
const FRAME_CHANNELS: usize = 9;
/// The tensor that only networks along motion have.
const ALIGNED: &str = "conv_aligned.weight";
/// Values for each pixel that the engine holds while it finds flows: both flows, and some thirty planes of them and of
/// the frames, f32.
const MOTION_VALUES: u64 = 34;

/// Whether the names of the tensors are this network's.
pub(crate) fn recognise(checkpoint: &Checkpoint) -> bool {
    let has = |name| checkpoint.get(name).is_some_and(|weight| weight.shape().len() == 4);
    (has("conv_in.weight") || has(ALIGNED)) && has("conv_out.weight") && has("body.0.0.weight")
}

/// Reads the weights and all numbers of the network.
pub(crate) fn read(checkpoint: &Checkpoint) -> Result<Detected, ModelError> {
    let shape = |name: &str| checkpoint.get(name).map(|weight| weight.shape().to_vec()).unwrap_or_default();
    let along_motion = checkpoint.get(ALIGNED).is_some();
    let conv_in = if along_motion { "conv_aligned" } else { "conv_in" };
    let (channels, out) = (shape(&format!("{conv_in}.weight"))[0], shape("conv_out.weight")[0]);
    let all = checkpoint.tensors().values().filter(|weight| weight.shape().len() == 4).count();
    let blocks = all.saturating_sub(2).div_ceil(2);
    let scale = (out / 3).isqrt();
    if channels == 0 || scale == 0 || scale * scale * 3 != out {
        return Err(ModelError::Variant {
            file: checkpoint.name().into(),
            architecture: NAME,
            what: format!("{channels} channels inside, {out} at the end: no pixels of three channels"),
        });
    }

    let mut reader = Reader::new(checkpoint, NAME);
    let weights = LiftWeights {
        along_motion,
        conv_in: reader.conv(conv_in, 3, FRAME_CHANNELS + channels, channels),
        body: (0..blocks)
            .map(|i| [0, 1].map(|j| reader.conv(&format!("body.{i}.{j}"), 3, channels, channels)))
            .collect(),
        conv_out: reader.conv("conv_out", 3, channels, out),
        scale,
    };
    let parameters = reader.finish()?;

    let (c, b, values) = (channels as u64, blocks as u64, out as u64);
    let (purpose, licence) = known::purpose_and_licence(checkpoint, "whatever its checkpoint was trained for");
    let along = if along_motion { ", along motion" } else { "" };
    // Three frames and, in a block, its input, inner map and output, or at the end the features and the output.
    let mut phases =
        vec![Values::features(3 * c) + Values::pictures(3), Values::features(c) + Values::pictures(3 + values / 3)];
    if along_motion {
        // The hidden state while the flows are found; both of it, the flows and both warped frames.
        let finding = Values::features(c) + Values::pictures(3) + Values::f32(MOTION_VALUES);
        phases.extend([finding, Values::features(2 * c) + Values::pictures(5) + Values::flows(2)]);
    }
    let descriptor = Descriptor {
        architecture: NAME,
        variant: format!("{}, {}{along}", counted(channels, "channel"), counted(blocks, "block")),
        scale: scale as u32,
        reach: Reach::Causal { lookahead: 1 },
        size_multiple: 1,
        min_side_px: 1,
        parameters,
        macs_per_pixel: 9 * ((9 + c) * c + 2 * b * c * c + c * values),
        phases,
        together: Vec::new(),
        upsampling: None,
        held: Values::default(),
        stored_values_per_pixel: 0,
        precisions: &[Precision::F32, Precision::Bf16, Precision::F16],
        purpose,
        licence,
    };
    Ok(Detected::new(descriptor, weights))
}

struct LiftWeights {
    along_motion: bool,
    conv_in: ConvWeights,
    body: Vec<[ConvWeights; 2]>,
    conv_out: ConvWeights,
    scale: usize,
}

impl Weights for LiftWeights {
    fn prepare(
        &self,
        descriptor: &Descriptor,
        engine: Arc<dyn Engine>,
        precision: Precision,
    ) -> Result<Arc<dyn Network>, EngineError> {
        let channels = self.conv_in.bias.len();
        let conv = |conv: &ConvWeights, ins: &[usize], activation: Activation| {
            let spec = ConvSpec::new(3, ins, conv.bias.len()).activation(activation).precision(precision, precision);
            engine.prepare_conv(&spec, &conv.weights, &conv.bias)
        };
        let leaky = Activation::Leaky(SLOPE);
        let conv_in = conv(&self.conv_in, &[3, 3, 3, channels], leaky.clone())?;
        let mut body = Vec::with_capacity(self.body.len());
        for [a, b] in &self.body {
            body.push([conv(a, &[channels], leaky.clone())?, conv(b, &[channels], Activation::None)?]);
        }
        let last = ConvSpec::new(3, &[channels], self.conv_out.bias.len())
            .pixel_shuffle(self.scale)
            .precision(precision, Precision::F32);
        let conv_out = engine.prepare_conv(&last, &self.conv_out.weights, &self.conv_out.bias)?;
        let (descriptor, along_motion) = (descriptor.clone(), self.along_motion);
        Ok(Arc::new(Lift { descriptor, precision, channels, along_motion, conv_in, body, conv_out, engine }))
    }
}

/// The network on an engine.
struct Lift {
    descriptor: Descriptor,
    engine: Arc<dyn Engine>,
    precision: Precision,
    channels: usize,
    along_motion: bool,
    conv_in: Conv,
    body: Vec<[Conv; 2]>,
    conv_out: Conv,
}

impl Lift {
    /// The features of the frame in the middle, which are the next hidden state too.
    fn features(&self, frames: [&Tensor; 3], hidden: Tensor) -> Result<Tensor, EngineError> {
        let [before, now, after] = frames;
        let engine = &*self.engine;
        let mut features = if self.along_motion {
            let flows = engine.motion(now, &[before, after])?;
            let before = engine.flow_warp(before, &flows[0], Padding::Border)?;
            let after = engine.flow_warp(after, &flows[1], Padding::Border)?;
            let carried = engine.flow_warp(&hidden, &flows[0], Padding::Border)?;
            drop((flows, hidden));
            engine.conv(&self.conv_in, &[&before, now, &after, &carried], None)?
        } else {
            let features = engine.conv(&self.conv_in, &[before, now, after, &hidden], None)?;
            drop(hidden);
            features
        };
        for [a, b] in &self.body {
            let inner = engine.conv(a, &[&features], None)?;
            features = engine.conv(b, &[&inner], Some(Addend::same(&features)))?;
        }
        Ok(features)
    }

    fn zeros(&self, frame: &Tensor) -> Result<Tensor, EngineError> {
        let Shape { height, width, .. } = frame.shape();
        self.engine.zeros(Shape::new(height, width, self.channels), self.precision)
    }
}

impl Network for Lift {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    fn begin(self: Arc<Self>) -> Box<dyn Shot> {
        Box::new(LiftShot { network: self, before: None, now: None, hidden: None })
    }

    fn thaw(self: Arc<Self>, state: Vec<Option<Tensor>>) -> Result<Box<dyn Shot>, EngineError> {
        let count = state.len();
        let Ok([before, now, hidden]) = <[Option<Tensor>; 3]>::try_from(state) else {
            return Err(EngineError::Shape(format!("a state of {count} tensors where {NAME} has 3")));
        };
        Ok(Box::new(LiftShot { network: self, before, now, hidden }))
    }
}

struct LiftShot {
    network: Arc<Lift>,
    /// The frame before the one to be made; none at the start.
    before: Option<Tensor>,
    /// The frame to be made, waiting for the one after it.
    now: Option<Tensor>,
    hidden: Option<Tensor>,
}

impl LiftShot {
    /// Makes `now`, `after` being the frame after it.
    fn make(&mut self, now: &Tensor, after: &Tensor) -> Result<Tensor, EngineError> {
        let network = &self.network;
        let hidden = match self.hidden.take() {
            Some(hidden) => hidden,
            None => network.zeros(now)?,
        };
        let before = self.before.as_ref().unwrap_or(now);
        let features = network.features([before, now, after], hidden)?;
        let base = Addend { tensor: now, upsample: Upsample::Bilinear };
        let output = network.engine.conv(&network.conv_out, &[&features], Some(base))?;
        self.hidden = Some(features);
        Ok(output)
    }
}

impl Shot for LiftShot {
    fn push(&mut self, frame: Tensor) -> Result<Vec<Tensor>, EngineError> {
        let Some(now) = self.now.replace(frame.clone()) else { return Ok(Vec::new()) };
        let output = self.make(&now, &frame)?;
        self.before = Some(now);
        Ok(vec![output])
    }

    fn freeze(&self) -> Option<Vec<Option<Tensor>>> {
        Some(vec![self.before.clone(), self.now.clone(), self.hidden.clone()])
    }

    fn finish(mut self: Box<Self>) -> Result<Vec<Tensor>, EngineError> {
        match self.now.take() {
            Some(now) => Ok(vec![self.make(&now, &now)?]),
            None => Ok(Vec::new()),
        }
    }
}
