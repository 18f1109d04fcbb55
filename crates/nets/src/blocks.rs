//! Parts that the networks of the BasicVSR family share (Chan et al. 2021, section 3; mmagic 1.2,
//! `mmagic/models/editors/basicvsr/basicvsr_net.py`).

use framelift_engine::{Activation, Addend, Conv, ConvSpec, Engine, EngineError, Precision, Tensor};

use crate::reader::{ConvWeights, Reader};

/// Slope of the family's LeakyReLU below zero.
pub(crate) const LEAKY: Activation = Activation::Leaky(0.1);

/// Channels after the second pixel shuffle, whatever the network's own are.
pub(crate) const LAST_CHANNELS: usize = 64;

/// A convolution of `ins`, weights and features in `precision`.
pub(crate) fn prepare(
    engine: &dyn Engine,
    conv: &ConvWeights,
    kernel: usize,
    ins: &[usize],
    activation: Activation,
    precision: Precision,
) -> Result<Conv, EngineError> {
    let spec = ConvSpec::new(kernel, ins, conv.outs()).activation(activation).precision(precision, precision);
    engine.prepare_conv(&spec, &conv.weights, &conv.bias)
}

/// A convolution, then residual blocks without normalisation: `ResidualBlocksWithInputConv` in mmagic,
/// `ConvResidualBlocks` in BasicSR, names of tensors alike.
///
/// ```text
/// f = leaky(main.0(concat(inputs)), 0.1)                          3×3, inputs → channels
/// for i in blocks:  f = f + main.2.i.conv2(relu(main.2.i.conv1(f)))   3×3, channels → channels
/// ```
pub(crate) struct ResidualBlocks<C> {
    first: C,
    blocks: Vec<[C; 2]>,
}

impl ResidualBlocks<ConvWeights> {
    /// The part `name` of a network, `ins` channels to `channels`.
    pub(crate) fn read(reader: &mut Reader<'_>, name: &str, ins: usize, channels: usize) -> Self {
        let first = reader.conv(&format!("{name}.main.0"), 3, ins, channels);
        let blocks = (0..reader.count(&format!("{name}.main.2.")))
            .map(|i| [1, 2].map(|j| reader.conv(&format!("{name}.main.2.{i}.conv{j}"), 3, channels, channels)))
            .collect();
        Self { first, blocks }
    }

    /// Multiply-adds for each position.
    pub(crate) fn macs(&self) -> u64 {
        self.first.macs() + self.blocks.iter().flatten().map(ConvWeights::macs).sum::<u64>()
    }

    /// Residual blocks.
    pub(crate) fn len(&self) -> usize {
        self.blocks.len()
    }

    /// Ready for inputs of `ins` channels.
    pub(crate) fn prepare(
        &self,
        engine: &dyn Engine,
        ins: &[usize],
        precision: Precision,
    ) -> Result<ResidualBlocks<Conv>, EngineError> {
        let channels = [self.first.outs()];
        let first = prepare(engine, &self.first, 3, ins, LEAKY, precision)?;
        let mut blocks = Vec::with_capacity(self.blocks.len());
        for [a, b] in &self.blocks {
            let inner = prepare(engine, a, 3, &channels, Activation::Relu, precision)?;
            blocks.push([inner, prepare(engine, b, 3, &channels, Activation::None, precision)?]);
        }
        Ok(ResidualBlocks { first, blocks })
    }
}

impl ResidualBlocks<Conv> {
    /// The features of `inputs`, taken as concatenated.
    pub(crate) fn run(&self, engine: &dyn Engine, inputs: &[&Tensor]) -> Result<Tensor, EngineError> {
        let mut features = engine.conv(&self.first, inputs, None)?;
        for [a, b] in &self.blocks {
            let inner = engine.conv(a, &[&features], None)?;
            features = engine.conv(b, &[&inner], Some(Addend::same(&features)))?;
        }
        Ok(features)
    }
}

/// From features to a picture of four times the size.
///
/// ```text
/// f = leaky(pixel_shuffle(upsample1.upsample_conv(f), 2), 0.1)    3×3, channels → 4 · channels
/// f = leaky(pixel_shuffle(upsample2.upsample_conv(f), 2), 0.1)    3×3, channels → 4 · 64
/// y = conv_last(leaky(conv_hr(f), 0.1)) + base                    3×3, 64 → 64 → 3
/// ```
/// BasicSR calls the first two `upconv1` and `upconv2`.
pub(crate) struct Upsampler<C> {
    up1: C,
    up2: C,
    hr: C,
    last: C,
}

impl Upsampler<ConvWeights> {
    /// The part of a network whose names begin with `prefix`.
    pub(crate) fn read(reader: &mut Reader<'_>, prefix: &str, channels: usize) -> Self {
        let mut up = |place: usize, out: usize| {
            let names = [format!("{prefix}upsample{place}.upsample_conv"), format!("{prefix}upconv{place}")];
            let name = reader.either(&names);
            reader.conv(&name, 3, channels, 4 * out)
        };
        Self {
            up1: up(1, channels),
            up2: up(2, LAST_CHANNELS),
            hr: reader.conv(&format!("{prefix}conv_hr"), 3, LAST_CHANNELS, LAST_CHANNELS),
            last: reader.conv(&format!("{prefix}conv_last"), 3, LAST_CHANNELS, 3),
        }
    }

    /// Multiply-adds for each position of the features.
    pub(crate) fn macs(&self) -> u64 {
        self.up1.macs() + 4 * self.up2.macs() + 16 * (self.hr.macs() + self.last.macs())
    }

    /// Values alive at once for each position of features of `channels`, these included: after the second shuffle
    /// there are 16 pixels, two maps of 64 channels or one and the picture, which counts twice.
    pub(crate) fn values(channels: u64) -> u64 {
        let last = LAST_CHANNELS as u64;
        channels + (4 * channels + 16 * last).max(32 * last).max(16 * (last + 6))
    }

    pub(crate) fn prepare(&self, engine: &dyn Engine, precision: Precision) -> Result<Upsampler<Conv>, EngineError> {
        let channels = self.up1.outs() / 4;
        let up = |conv: &ConvWeights| {
            let spec = ConvSpec::new(3, &[channels], conv.outs()).activation(LEAKY).pixel_shuffle(2);
            engine.prepare_conv(&spec.precision(precision, precision), &conv.weights, &conv.bias)
        };
        let last = ConvSpec::new(3, &[LAST_CHANNELS], 3).precision(precision, Precision::F32);
        Ok(Upsampler {
            up1: up(&self.up1)?,
            up2: up(&self.up2)?,
            hr: prepare(engine, &self.hr, 3, &[LAST_CHANNELS], LEAKY, precision)?,
            last: engine.prepare_conv(&last, &self.last.weights, &self.last.bias)?,
        })
    }
}

impl Upsampler<Conv> {
    /// The picture of `features`, `base` added.
    pub(crate) fn run(&self, engine: &dyn Engine, features: Tensor, base: Addend<'_>) -> Result<Tensor, EngineError> {
        let mut features = features;
        for conv in [&self.up1, &self.up2, &self.hr] {
            features = engine.conv(conv, &[&features], None)?;
        }
        engine.conv(&self.last, &[&features], Some(base))
    }
}
