//! SPyNet: optical flow, coarse to fine (Ranjan and Black 2017; mmagic 1.2, `SPyNet` in
//! `mmagic/models/editors/basicvsr/basicvsr_net.py`; BasicSR 1.4, `basicsr/archs/spynet_arch.py`).
//!
//! Both frames, `h × w × 3`, RGB in [0, 1], are resized (bilinear) to sides that are multiples of 32, normalised by
//! `mean` and `std`, and halved five times. From the smallest level on, the flow beginning with zeros:
//!
//! ```text
//! up   = 2 · bilinear(flow, twice the size, corners on corners)
//! flow = up + basic_module.level([from, warp(to, up, border), up])       7×7: 8 → 32 → 64 → 32 → 16 → 2, ReLU between
//! ```
//! The flow, `h × w × 2`, is `(dx, dy)` in pixels: where in `to` that is which lies at a position of `from`. It
//! depends on the size of the frames, which tells how far they are stretched. Flow and pyramids are f32 in every
//! precision; the maps between the convolutions are not.

use std::sync::Arc;

use framelift_engine::{
    Activation, Addend, Conv, ConvSpec, Engine, EngineError, Padding, Precision, ResizeMode, Shape, Tensor,
};

use crate::Values;
use crate::reader::{ConvWeights, Reader};
use crate::window::{lanes_of, parted};

#[cfg(test)]
mod tests;

/// Levels of the pyramid.
const LEVELS: usize = 6;
/// Sides are multiples of this at the finest level.
const MULTIPLE: usize = 1 << (LEVELS - 1);
/// Input and output channels of the convolutions of a level.
const CHANNELS: [(usize, usize); 5] = [(8, 32), (32, 64), (64, 32), (32, 16), (16, 2)];

/// A frame's pyramid for each of its pixels: four thirds of the frame.
const PYRAMID: Values = Values { features: 0, f32: 4, padding: 2 };

/// Values alive at once while a flow is made of two pyramids, these included: the flow before and the maps of 32 and 64
/// channels at the finest level.
pub(crate) fn flow_work() -> Values {
    PYRAMID + PYRAMID + Values::flows(1) + Values::features(32 + 64)
}

/// The weights of the network.
pub(crate) struct SpynetWeights {
    mean: Vec<f32>,
    std: Vec<f32>,
    /// Coarsest first.
    levels: Vec<[ConvWeights; 5]>,
}

impl SpynetWeights {
    /// The network whose names begin with `prefix`.
    pub(crate) fn read(reader: &mut Reader<'_>, prefix: &str) -> Self {
        let mut conv = |level: usize, i: usize| {
            let module = format!("{prefix}basic_module.{level}.basic_module");
            let name = reader.either(&[format!("{module}.{i}.conv"), format!("{module}.{}", 2 * i)]);
            let (ins, out) = CHANNELS[i];
            reader.conv(&name, 7, ins, out)
        };
        let levels = (0..LEVELS).map(|level| std::array::from_fn(|i| conv(level, i))).collect();
        Self {
            mean: reader.tensor(format!("{prefix}mean"), &[1, 3, 1, 1]),
            std: reader.tensor(format!("{prefix}std"), &[1, 3, 1, 1]),
            levels,
        }
    }

    /// Multiply-adds of one flow for each pixel of frames whose sides are multiples of 32, rounded up.
    pub(crate) fn macs(&self) -> u64 {
        // For a block of pixels that is one position of the coarsest level.
        let level =
            |(i, convs): (usize, &[ConvWeights; 5])| convs.iter().map(ConvWeights::macs).sum::<u64>() << (2 * i);
        self.levels.iter().enumerate().map(level).sum::<u64>().div_ceil((MULTIPLE * MULTIPLE) as u64)
    }

    /// Convolutions in `precision`.
    pub(crate) fn prepare(&self, engine: Arc<dyn Engine>, precision: Precision) -> Result<Spynet, EngineError> {
        let prepare = |convs: &[ConvWeights; 5], i: usize| {
            let last = i + 1 == CHANNELS.len();
            let ins: &[usize] = if i == 0 { &[3, 3, 2] } else { &[CHANNELS[i].0] };
            let activation = if last { Activation::None } else { Activation::Relu };
            let output = if last { Precision::F32 } else { precision };
            let spec = ConvSpec::new(7, ins, CHANNELS[i].1).activation(activation).precision(precision, output);
            engine.prepare_conv(&spec, &convs[i].weights, &convs[i].bias)
        };
        let level = |convs: &[ConvWeights; 5]| -> Result<Level, EngineError> {
            let middle = [prepare(convs, 1)?, prepare(convs, 2)?, prepare(convs, 3)?];
            Ok(Level { first: prepare(convs, 0)?, middle, last: prepare(convs, 4)? })
        };
        let levels = self.levels.iter().map(level).collect::<Result<_, _>>()?;
        let gains = self.std.iter().map(|std| 1.0 / std).collect();
        let offsets = self.mean.iter().zip(&self.std).map(|(mean, std)| -mean / std).collect();
        Ok(Spynet { engine, gains, offsets, levels })
    }
}

/// The network on an engine.
pub(crate) struct Spynet {
    engine: Arc<dyn Engine>,
    /// Of the normalisation.
    gains: Vec<f32>,
    offsets: Vec<f32>,
    /// Coarsest first.
    levels: Vec<Level>,
}

/// The convolutions of a level.
struct Level {
    first: Conv,
    middle: [Conv; 3],
    last: Conv,
}

/// Frames at all levels, ready for flows from and to them.
pub(crate) struct Pyramid {
    /// Maps of each of the frames.
    lanes: Vec<usize>,
    /// Of a frame.
    height: usize,
    width: usize,
    /// Coarsest first.
    levels: Vec<Tensor>,
}

impl Spynet {
    /// The levels of frames of one size, not more than are worked on at once.
    pub(crate) fn pyramid(&self, frames: &[Tensor]) -> Result<Pyramid, EngineError> {
        let frames: Vec<&Tensor> = frames.iter().collect();
        let lanes = lanes_of(&frames);
        let frames = self.engine.stack_maps(&frames)?;
        let Shape { height, width, .. } = frames.shape();
        let stretched = self.resized(&frames, height.next_multiple_of(MULTIPLE), width.next_multiple_of(MULTIPLE))?;
        let mut levels = vec![self.engine.scale_channels(&stretched, &self.gains, &self.offsets)?];
        for level in 1..LEVELS {
            levels.push(self.engine.avg_pool(&levels[level - 1])?);
        }
        levels.reverse();
        Ok(Pyramid { lanes, height, width, levels })
    }

    /// The flow from each frame to that in its place among as many others of its size.
    pub(crate) fn flows(&self, from: &Pyramid, to: &Pyramid) -> Result<Vec<Tensor>, EngineError> {
        parted(&*self.engine, &self.flow(from, to)?, &from.lanes)
    }

    fn flow(&self, from: &Pyramid, to: &Pyramid) -> Result<Tensor, EngineError> {
        let engine = &*self.engine;
        let mut flow = engine.zeros(Shape { channels: 2, ..from.levels[0].shape() }, Precision::F32)?;
        for ((level, from), to) in self.levels.iter().zip(&from.levels).zip(&to.levels) {
            let Shape { height, width, .. } = from.shape();
            if flow.shape().height != height {
                let wide = engine.resize(&flow, height, width, ResizeMode::BilinearAligned)?;
                flow = engine.scale_channels(&wide, &[2.0, 2.0], &[0.0, 0.0])?;
            }
            flow = self.refined(level, from, to, &flow)?;
        }
        let Shape { height, width, .. } = flow.shape();
        if (height, width) == (from.height, from.width) {
            return Ok(flow);
        }
        let gains = [from.width as f32 / width as f32, from.height as f32 / height as f32];
        engine.scale_channels(&self.resized(&flow, from.height, from.width)?, &gains, &[0.0, 0.0])
    }

    /// One level: `flow`, and what is left of the motion added.
    fn refined(&self, level: &Level, from: &Tensor, to: &Tensor, flow: &Tensor) -> Result<Tensor, EngineError> {
        let warped = self.engine.flow_warp(to, flow, Padding::Border)?;
        let mut features = self.engine.conv(&level.first, &[from, &warped, flow], None)?;
        drop(warped);
        for conv in &level.middle {
            features = self.engine.conv(conv, &[&features], None)?;
        }
        self.engine.conv(&level.last, &[&features], Some(Addend::same(flow)))
    }

    fn resized(&self, map: &Tensor, height: usize, width: usize) -> Result<Tensor, EngineError> {
        if (map.shape().height, map.shape().width) == (height, width) {
            return Ok(map.clone());
        }
        self.engine.resize(map, height, width, ResizeMode::Bilinear)
    }
}
