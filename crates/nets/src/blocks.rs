//! Parts that the networks of the BasicVSR family share (Chan et al. 2021, section 3; mmagic 1.2,
//! `mmagic/models/editors/basicvsr/basicvsr_net.py`).

use framelift_engine::{Activation, Addend, Conv, ConvSpec, Engine, EngineError, Precision, Shape, Tensor};

use crate::Values;
use crate::reader::{ConvWeights, Reader};
use crate::strips::{FACTOR, Strips};

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
    pub(crate) up1: C,
    pub(crate) up2: C,
    pub(crate) hr: C,
    pub(crate) last: C,
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

    /// Values alive at once for each position of a strip of `channels` features, in each phase: before and after the second
    /// shuffle, where there are 16 pixels of `last` channels for each position, between two maps of this size, and between
    /// one and the picture.
    pub(crate) fn phases(channels: usize, last: usize) -> Vec<Values> {
        let (channels, last) = (channels as u64, last as u64);
        let features = |values| Values::features(channels + values);
        vec![
            features(4 * channels + 16 * last),
            features(32 * last),
            Values::features(16 * last) + Values::pictures(16),
        ]
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
    /// The picture of `features`, `base` added, made strip by strip.
    pub(crate) fn run(
        &self,
        engine: &dyn Engine,
        features: Tensor,
        base: Option<Addend<'_>>,
    ) -> Result<Tensor, EngineError> {
        let Shape { height, width, .. } = features.shape();
        self.run_in(&Strips::of(height, width), engine, features, base)
    }

    fn run_in(
        &self,
        strips: &Strips,
        engine: &dyn Engine,
        features: Tensor,
        base: Option<Addend<'_>>,
    ) -> Result<Tensor, EngineError> {
        if strips.count() == 1 {
            return self.picture(engine, features, base);
        }
        let mut pictures = Vec::with_capacity(strips.count());
        for (seen, kept) in strips.iter() {
            let part = match base {
                Some(Addend { tensor, upsample }) => {
                    // Rows of the base for each of the features.
                    let each = tensor.shape().height / strips.height;
                    Some((engine.rows(tensor, seen.start * each..seen.end * each)?, upsample))
                }
                None => None,
            };
            let base = part.as_ref().map(|(tensor, upsample)| Addend { tensor, upsample: *upsample });
            let picture = self.picture(engine, engine.rows(&features, seen.clone())?, base)?;
            let [start, end] = [kept.start, kept.end].map(|row| (row - seen.start) * FACTOR);
            pictures.push(engine.rows(&picture, start..end)?);
        }
        drop(features);
        engine.stack_rows(&pictures)
    }

    fn picture(
        &self,
        engine: &dyn Engine,
        mut features: Tensor,
        base: Option<Addend<'_>>,
    ) -> Result<Tensor, EngineError> {
        for conv in [&self.up1, &self.up2, &self.hr] {
            features = engine.conv(conv, &[&features], None)?;
        }
        engine.conv(&self.last, &[&features], base)
    }
}

#[cfg(test)]
mod tests {
    use framelift_engine::{HostTensor, Upsample};
    use framelift_engine_cpu::{CpuEngine, CpuOptions};
    use framelift_testkit::{max_abs_diff, synth};

    use super::*;

    #[test]
    fn strips_make_the_picture_of_the_whole_frame() {
        let engine = CpuEngine::new(&CpuOptions::from_env().unwrap()).unwrap();
        let (height, width, channels) = (45, 50, 16);
        let conv = |name: &str, ins: usize, outs: usize| {
            let values = |part, shape: &[usize]| synth::tensor(&format!("{name}.{part}"), shape).values;
            ConvWeights { weights: values("weight", &[outs, ins, 3, 3]), bias: values("bias", &[outs]) }
        };
        let weights = Upsampler {
            up1: conv("up1", channels, 4 * channels),
            up2: conv("up2", channels, 4 * LAST_CHANNELS),
            hr: conv("hr", LAST_CHANNELS, LAST_CHANNELS),
            last: conv("last", LAST_CHANNELS, 3),
        };
        let mut values = synth::uniform("features").map(|value| value as f32);
        let mut map = |height, width, channels, precision| {
            let map = HostTensor::from_fn(Shape::new(height, width, channels), |_, _, _| values.next().unwrap());
            engine.from_host(&map, precision).unwrap()
        };
        // Engines may add up in another order near borders; in bf16 that is a step of a feature here and there.
        for (precision, tolerance) in [(Precision::F32, 1e-5), (Precision::Bf16, 4e-3)] {
            let upsampler = weights.prepare(&engine, precision).unwrap();
            let features = map(height, width, channels, precision);
            for (upsample, size) in [(Upsample::Bilinear, 1), (Upsample::None, FACTOR)] {
                let frame = map(height * size, width * size, 3, Precision::F32);
                let picture = |rows| {
                    let base = Addend { tensor: &frame, upsample };
                    let strips = Strips::at_most(height, rows);
                    let picture = upsampler.run_in(&strips, &engine, features.clone(), Some(base)).unwrap();
                    (strips.count(), engine.to_host(&picture).unwrap())
                };
                let (one, whole) = picture(height);
                assert_eq!(one, 1);
                for rows in [8, 20] {
                    let (count, stacked) = picture(rows);
                    let difference = max_abs_diff(&stacked, &whole);
                    assert!(
                        count > 1 && difference < tolerance,
                        "{count} strips in {precision}, {upsample:?}: {difference}"
                    );
                }
            }
        }
    }
}
