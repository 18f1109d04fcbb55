//! RRDBNet: residual-in-residual dense blocks, the large network of ESRGAN and Real-ESRGAN (Wang et al. 2018, ESRGAN;
//! Wang et al. 2021, Real-ESRGAN; BasicSR 1.4, `basicsr/archs/rrdbnet_arch.py`).
//!
//! ```text
//! f = conv_first(pixel_unshuffle(x, 4 / scale))               3×3, 3 · (4 / scale)² → features
//! in each block, for rdb1, rdb2, rdb3:
//!     g(k) = leaky(convk([d, g(1) …, g(k − 1)]), 0.2)         3×3, features + (k − 1) · growth → growth, k = 1 … 4
//!     d    = d + 0.2 · conv5([d, g(1), g(2), g(3), g(4)])     3×3 → features
//! each block's output is its input + 0.2 · d
//! f = f + conv_body(blocks(f))
//! f = leaky(conv_up(nearest(f, 2)), 0.2)                      twice
//! y = conv_last(leaky(conv_hr(f), 0.2))                       3×3, features → features → 3
//! ```
//! RGB in [0, 1], `h × w × 3`, to `scale · h × scale · w × 3`, not clamped. The first convolution's channels tell the
//! scale: 3 for 4, 12 for 2, 48 for 1.
//!
//! A convolution of a map in which each value stands four times is one of the map itself: for each of the four places
//! of an output pixel, the taps that fall on one value are added up ([`on_repeated`]).

mod names;

use std::sync::Arc;

use framelift_engine::{Activation, Addend, Conv, ConvSpec, Engine, EngineError, Precision, Tensor};

use crate::blocks::Upsampler;
use crate::network::{FrameShot, OneFrame};
use crate::reader::{ConvWeights, Reader, counted};
use crate::registry::{Detected, Weights};
use crate::{Checkpoint, Descriptor, ModelError, Network, Reach, Shot, Upsampling, Values, known};

use names::Dialect;

const NAME: &str = "RRDBNet";
const LEAKY: Activation = Activation::Leaky(0.2);
/// What residues are multiplied by before they are added.
const RESIDUE_SCALE: f32 = 0.2;
/// Convolutions of a dense block.
const DENSE_CONVS: usize = 5;
/// Dense blocks of a block.
const DENSE_BLOCKS: usize = 3;

/// Whether the names of the tensors are this network's.
pub(crate) fn recognise(checkpoint: &Checkpoint) -> bool {
    Dialect::of(checkpoint).is_some()
}

/// Reads the weights and all numbers of the network.
pub(crate) fn read(checkpoint: &Checkpoint) -> Result<Detected, ModelError> {
    let variant = |what: String| ModelError::Variant { file: checkpoint.name().into(), architecture: NAME, what };
    let Some(dialect) = Dialect::of(checkpoint) else {
        return Err(variant("its blocks have other names".into()));
    };
    let mut reader = Reader::new(checkpoint, NAME);
    let shape = |name: &str| checkpoint.get(&format!("{name}.weight")).map(|w| w.shape().to_vec()).unwrap_or_default();
    let blocks = dialect.blocks(&reader);
    let (first, growth) = (shape(dialect.first()), reader.outs(&dialect.dense(0, 1, 1)));
    let &[features, ins @ (3 | 12 | 48), 3, 3] = first.as_slice() else {
        return Err(variant(format!("its first convolution has shape {first:?}; RGB in is run, at scales 1, 2 and 4")));
    };
    let unshuffle = (ins / 3).isqrt();

    let mut dense = |block: usize, dense: usize| -> [ConvWeights; DENSE_CONVS] {
        std::array::from_fn(|i| {
            let out = if i + 1 == DENSE_CONVS { features } else { growth };
            reader.conv(&dialect.dense(block, dense, i + 1), 3, features + i * growth, out)
        })
    };
    let blocks: Vec<[_; DENSE_BLOCKS]> =
        (0..blocks).map(|block| std::array::from_fn(|i| dense(block, i + 1))).collect();
    let mut conv = |name: String, out: usize| reader.conv(&name, 3, features, out);
    let weights = RrdbNetWeights {
        after: conv(dialect.after(blocks.len()), features),
        ups: [1, 2].map(|place| conv(dialect.up(place).into(), features)),
        hr: conv(dialect.hr().into(), features),
        last: conv(dialect.last().into(), 3),
        first: reader.conv(dialect.first(), 3, ins, features),
        blocks,
        growth,
        unshuffle,
    };
    let parameters = reader.finish()?;

    let otherwise = "still pictures, or films where flicker does not matter, with the damage it was trained for";
    let (purpose, licence) = known::purpose_and_licence(checkpoint, otherwise);
    let descriptor = Descriptor {
        architecture: NAME,
        variant: format!("{}, {}", counted(features, "feature"), counted(weights.blocks.len(), "block")),
        scale: (4 / unshuffle) as u32,
        reach: Reach::Frame,
        size_multiple: unshuffle as u32,
        min_side_px: unshuffle as u32,
        parameters,
        macs_per_pixel: weights.macs(),
        phases: vec![weights.values()],
        together: Vec::new(),
        upsampling: Some(Upsampling {
            outside: weights.outside(),
            strip_phases: Upsampler::phases(features, features),
        }),
        held: Values::default(),
        stored_values_per_pixel: 0,
        precisions: &[Precision::F32, Precision::Bf16, Precision::F16],
        purpose,
        licence,
    };
    Ok(Detected::new(descriptor, weights))
}

struct RrdbNetWeights {
    first: ConvWeights,
    blocks: Vec<[[ConvWeights; DENSE_CONVS]; DENSE_BLOCKS]>,
    after: ConvWeights,
    ups: [ConvWeights; 2],
    hr: ConvWeights,
    last: ConvWeights,
    growth: usize,
    /// Pixels of the frame, along a side, for each of the features.
    unshuffle: usize,
}

impl RrdbNetWeights {
    /// Multiply-adds for each input pixel.
    fn macs(&self) -> u64 {
        let [up1, up2] = &self.ups;
        let blocks = self.blocks.iter().flatten().flatten().map(ConvWeights::macs).sum::<u64>();
        let upsampler = 4 * up1.macs() + 16 * (up2.macs() + self.hr.macs() + self.last.macs());
        self.per_pixel(self.first.macs() + blocks + self.after.macs() + upsampler)
    }

    /// Values alive at once for each input pixel in a dense block: the frame as it came and unshuffled, four maps of
    /// features and four of growth.
    fn values(&self) -> Values {
        let (features, growth) = (self.first.outs() as u64, self.growth as u64);
        Values::features(self.per_pixel(4 * features + 4 * growth)) + self.frames()
    }

    /// Values alive beside the upsampler's strips: the frame and the features.
    fn outside(&self) -> Values {
        Values::features(self.per_pixel(self.first.outs() as u64)) + self.frames()
    }

    fn frames(&self) -> Values {
        let unshuffled = if self.unshuffle > 1 { Values::f32(3) } else { Values::default() };
        Values::pictures(1) + unshuffled
    }

    fn per_pixel(&self, for_each_position: u64) -> u64 {
        for_each_position.div_ceil((self.unshuffle * self.unshuffle) as u64)
    }
}

/// The convolution that gives, followed by a pixel shuffle by 2, what `conv` gives of the map with every value repeated
/// in two rows and two columns.
///
/// A row of outputs at an even place sees its taps on the row before, its own and its own again; one at an odd place on
/// its own, its own and the row after. Columns alike. Zeros beyond the border stay zeros.
fn on_repeated(conv: &ConvWeights) -> ConvWeights {
    /// Where tap `tap` of an output at place 0 or 1 falls: before, on, or after.
    fn falls_on(place: usize, tap: usize) -> usize {
        (place + tap).div_ceil(2)
    }
    let mut weights = vec![0.0; 4 * conv.weights.len()];
    let ins = conv.weights.len() / (9 * conv.outs()).max(1);
    for (i, &weight) in conv.weights.iter().enumerate() {
        let (out, input, row, column) = (i / (9 * ins), i / 9 % ins, i / 3 % 3, i % 3);
        for place in 0..4 {
            let (dy, dx) = (place / 2, place % 2);
            let kernel = ((out * 4 + place) * ins + input) * 9;
            weights[kernel + falls_on(dy, row) * 3 + falls_on(dx, column)] += weight;
        }
    }
    ConvWeights { weights, bias: conv.bias.iter().flat_map(|&bias| [bias; 4]).collect() }
}

impl Weights for RrdbNetWeights {
    fn prepare(
        &self,
        descriptor: &Descriptor,
        engine: Arc<dyn Engine>,
        precision: Precision,
    ) -> Result<Arc<dyn Network>, EngineError> {
        let (features, growth) = (self.first.outs(), self.growth);
        let spec =
            |ins: &[usize], conv: &ConvWeights| ConvSpec::new(3, ins, conv.outs()).precision(precision, precision);
        let prepare = |spec: ConvSpec, conv: &ConvWeights| engine.prepare_conv(&spec, &conv.weights, &conv.bias);
        let up = |conv: &ConvWeights| {
            let conv = on_repeated(conv);
            prepare(spec(&[features], &conv).activation(LEAKY).pixel_shuffle(2), &conv)
        };
        let mut blocks = Vec::with_capacity(self.blocks.len());
        for block in &self.blocks {
            let mut convs = Vec::with_capacity(DENSE_BLOCKS * DENSE_CONVS);
            for (i, conv) in block.iter().flat_map(|dense| dense.iter().enumerate()) {
                let mut ins = vec![growth; i + 1];
                ins[0] = features;
                let spec = spec(&ins, conv);
                let last = i + 1 == DENSE_CONVS;
                let spec = if last { ConvSpec { scale: RESIDUE_SCALE, ..spec } } else { spec.activation(LEAKY) };
                convs.push(prepare(spec, conv)?);
            }
            blocks.push(convs);
        }
        let first = prepare(spec(&[self.first.weights.len() / (9 * features)], &self.first), &self.first)?;
        Ok(Arc::new(RrdbNet {
            descriptor: descriptor.clone(),
            unshuffle: self.unshuffle,
            first,
            blocks,
            after: prepare(spec(&[features], &self.after), &self.after)?,
            upsampler: Upsampler {
                up1: up(&self.ups[0])?,
                up2: up(&self.ups[1])?,
                hr: prepare(spec(&[features], &self.hr).activation(LEAKY), &self.hr)?,
                last: prepare(spec(&[features], &self.last).precision(precision, Precision::F32), &self.last)?,
            },
            engine,
        }))
    }
}

/// The network on an engine.
struct RrdbNet {
    descriptor: Descriptor,
    engine: Arc<dyn Engine>,
    unshuffle: usize,
    first: Conv,
    /// The convolutions of each block's dense blocks, one after another.
    blocks: Vec<Vec<Conv>>,
    after: Conv,
    upsampler: Upsampler<Conv>,
}

impl OneFrame for RrdbNet {
    fn upscale(&self, frame: &Tensor) -> Result<Tensor, EngineError> {
        let engine = &*self.engine;
        let first = if self.unshuffle > 1 {
            engine.conv(&self.first, &[&engine.pixel_unshuffle(frame, self.unshuffle)?], None)?
        } else {
            engine.conv(&self.first, &[frame], None)?
        };
        let mut features = first.clone();
        for block in &self.blocks {
            let mut residue = features.clone();
            for dense in block.chunks(DENSE_CONVS) {
                residue = self.dense_block(dense, residue)?;
            }
            features = engine.add_scaled(&residue, RESIDUE_SCALE, &features)?;
        }
        features = engine.conv(&self.after, &[&features], Some(Addend::same(&first)))?;
        drop(first);
        self.upsampler.run(engine, features, None)
    }
}

impl RrdbNet {
    fn dense_block(&self, convs: &[Conv], input: Tensor) -> Result<Tensor, EngineError> {
        let mut maps = vec![input];
        for (i, conv) in convs.iter().enumerate() {
            let inputs: Vec<&Tensor> = maps.iter().collect();
            let residue = (i + 1 == convs.len()).then(|| Addend::same(&maps[0]));
            let map = self.engine.conv(conv, &inputs, residue)?;
            maps.push(map);
        }
        // The last map is the block's output; a block without convolutions would be its input.
        maps.pop().ok_or_else(|| EngineError::Shape("a dense block without maps".into()))
    }
}

impl Network for RrdbNet {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    fn begin(self: Arc<Self>) -> Box<dyn Shot> {
        Box::new(FrameShot(self))
    }
}

#[cfg(test)]
mod tests {
    use framelift_engine::reference::ReferenceEngine;
    use framelift_engine::{HostTensor, ResizeMode, Shape};
    use framelift_testkit::{max_abs_diff, synth};

    use super::*;

    #[test]
    fn a_convolution_on_repeated_values_is_one_of_the_map_itself() {
        let (ins, outs) = (3, 5);
        let weights = synth::tensor("weight", &[outs, ins, 3, 3]).values;
        let conv = ConvWeights { weights, bias: synth::tensor("bias", &[outs]).values };
        let folded = on_repeated(&conv);
        let engine = ReferenceEngine::new();
        let mut values = synth::uniform("map").map(|u| u as f32);
        let map = HostTensor::from_fn(Shape::new(4, 6, ins), |_, _, _| values.next().unwrap());
        let map = engine.from_host(&map, Precision::F32).unwrap();

        let plain = engine.prepare_conv(&ConvSpec::new(3, &[ins], outs), &conv.weights, &conv.bias).unwrap();
        let repeated = engine.resize(&map, 8, 12, ResizeMode::Nearest).unwrap();
        let due = engine.to_host(&engine.conv(&plain, &[&repeated], None).unwrap()).unwrap();

        let spec = ConvSpec::new(3, &[ins], 4 * outs).pixel_shuffle(2);
        let folded = engine.prepare_conv(&spec, &folded.weights, &folded.bias).unwrap();
        let got = engine.to_host(&engine.conv(&folded, &[&map], None).unwrap()).unwrap();
        assert!(max_abs_diff(&got, &due) < 1e-6);
    }
}
