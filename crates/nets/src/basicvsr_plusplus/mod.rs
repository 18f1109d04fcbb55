//! BasicVSR++: second-order propagation, aligned by deformable convolutions (Chan et al. 2022, CVPR; mmagic 1.2,
//! `mmagic/models/editors/basicvsr_plusplus_net/basicvsr_plusplus_net.py`; BasicSR 1.4,
//! `basicsr/archs/basicvsrpp_arch.py`).
//!
//! Every frame of a window has features `s(i) = feat_extract(x(i))`. Four branches run over the window, `backward_1`,
//! `forward_1`, `backward_2`, `forward_2`, each with the features of all before it. For a frame, `n1` and `n2` are
//! this branch's features one and two frames before it in the branch's direction, `flow1` the flow from the frame to
//! the one before:
//!
//! ```text
//! flow2 = flow1 + warp(that frame's flow1, flow1)                         from the frame to the one two before
//! o     = conv_offset([warp(n1, flow1), s, warp(n2, flow2), flow1, flow2])    four 3×3, channels → 27 · groups
//! p     = deform_conv([n1, n2], offsets 10 · tanh(o) + flow, masks sigmoid(o))    3×3, 2 · channels → channels
//! f     = p + backbone([s, earlier branches …, p])
//! ```
//! Zeros stand for frames that are not there; the first frame of a branch has `p = 0`. At the end
//! `y(i) = upsampler(reconstruction([s, backward_1, forward_1, backward_2, forward_2])) + bilinear(x(i), 4)`.
//! RGB in [0, 1], `h × w × 3`, to `4h × 4w × 3`, not clamped.
//!
//! A variant for denoising, deblurring and decompression gives the input's size: its `feat_extract` begins with two
//! convolutions of stride 2, flows are of the frames at a quarter of the size (bicubic), and `x(i)` itself is added.

mod align;
mod network;

use std::sync::Arc;

use framelift_engine::{ConvSpec, Engine, EngineError, Precision};

use crate::blocks::{LAST_CHANNELS, LEAKY, ResidualBlocks, Upsampler};
use crate::reader::{ConvWeights, Reader, counted};
use crate::registry::{Detected, Weights};
use crate::spynet::{SpynetWeights, flow_work};
use crate::{Checkpoint, Descriptor, ModelError, Network, Reach, Together, Upsampling, Values, known};

use align::AlignWeights;
use network::{BasicVsrPlusPlus, Branch};

const NAME: &str = "BasicVSR++";

/// The branches in the order they run in.
const BRANCHES: [&str; 4] = ["backward_1", "forward_1", "backward_2", "forward_2"];
/// Pixels of the frame, along a side, for each of the features in the variant of the input's size.
const SAME_SIZE_STRIDE: usize = 4;
/// The smallest side of features that the network was made for, in pixels.
const MIN_FEATURE_SIDE_PX: u32 = 64;

/// Whether the names of the tensors are this network's.
pub(crate) fn recognise(checkpoint: &Checkpoint) -> bool {
    checkpoint.tensors().keys().any(|name| name.starts_with("deform_align."))
}

/// Reads the weights and all numbers of the network.
pub(crate) fn read(checkpoint: &Checkpoint) -> Result<Detected, ModelError> {
    let mut reader = Reader::new(checkpoint, NAME);
    let same_size = checkpoint.get("feat_extract.0.weight").is_some();
    let channels = reader.outs("reconstruction.main.0");
    let (strided, extract) = if same_size {
        let strided =
            [reader.conv("feat_extract.0", 3, 3, channels), reader.conv("feat_extract.2", 3, channels, channels)];
        (Some(strided), ResidualBlocks::read(&mut reader, "feat_extract.4", channels, channels))
    } else {
        (None, ResidualBlocks::read(&mut reader, "feat_extract", 3, channels))
    };
    let branches = std::array::from_fn(|i| {
        let name = BRANCHES[i];
        BranchWeights {
            align: AlignWeights::read(&mut reader, &format!("deform_align.{name}"), channels),
            backbone: ResidualBlocks::read(&mut reader, &format!("backbone.{name}"), (2 + i) * channels, channels),
        }
    });
    let weights = BasicVsrPlusPlusWeights {
        channels,
        spynet: SpynetWeights::read(&mut reader, "spynet."),
        strided,
        extract,
        branches,
        reconstruction: ResidualBlocks::read(&mut reader, "reconstruction", (BRANCHES.len() + 1) * channels, channels),
        upsampler: Upsampler::read(&mut reader, "", channels),
    };
    let parameters = reader.finish()?;
    let groups = weights.branches[0].align.groups();
    if groups == 0 || !(2 * channels).is_multiple_of(groups) || !channels.is_multiple_of(2 * channels / groups) {
        return Err(ModelError::Variant {
            file: checkpoint.name().into(),
            architecture: NAME,
            what: format!("{channels} channels in {groups} deformable groups; 16 groups are usual"),
        });
    }

    let otherwise = if same_size {
        "repair at the same size of whatever damage its checkpoint was trained for: noise, blur or compression"
    } else {
        "four times the size of whatever its checkpoint was trained for, bicubic shrinking as a rule"
    };
    let (purpose, licence) = known::purpose_and_licence(checkpoint, otherwise);
    let blocks = counted(weights.branches[0].backbone.len(), "block");
    let (stride, kind) = if same_size { (SAME_SIZE_STRIDE as u32, ", same size") } else { (1, "") };
    let descriptor = Descriptor {
        architecture: NAME,
        variant: format!("{}, {blocks}{kind}", counted(channels, "channel")),
        scale: 4 / stride,
        reach: Reach::Window,
        size_multiple: stride,
        min_side_px: MIN_FEATURE_SIDE_PX * stride,
        parameters,
        macs_per_pixel: weights.macs(),
        phases: weights.phases(),
        together: weights.together(),
        upsampling: Some(weights.upsampling()),
        held: FRAME + weights.shared(FLOWS),
        stored_values_per_pixel: weights.per_pixel(BRANCHES.len() as u64 * channels as u64),
        precisions: &[Precision::F32, Precision::Bf16, Precision::F16],
        purpose,
        licence,
    };
    Ok(Detected::new(descriptor, weights))
}

/// Values of a frame for each of its pixels.
const FRAME: Values = Values::pictures(1);

/// Values of the two flows of a frame for each position of the features.
const FLOWS: Values = Values::flows(2);

struct BranchWeights {
    align: AlignWeights,
    backbone: ResidualBlocks<ConvWeights>,
}

struct BasicVsrPlusPlusWeights {
    channels: usize,
    spynet: SpynetWeights,
    /// The convolutions of stride 2 of the variant of the input's size.
    strided: Option<[ConvWeights; 2]>,
    extract: ResidualBlocks<ConvWeights>,
    branches: [BranchWeights; 4],
    reconstruction: ResidualBlocks<ConvWeights>,
    upsampler: Upsampler<ConvWeights>,
}

impl BasicVsrPlusPlusWeights {
    /// What is so much for each position of the features, for each input pixel.
    fn per_pixel(&self, for_each_position: u64) -> u64 {
        let positions = if self.strided.is_some() { SAME_SIZE_STRIDE * SAME_SIZE_STRIDE } else { 1 };
        for_each_position.div_ceil(positions as u64)
    }

    /// Multiply-adds for each input pixel, two flows a frame.
    fn macs(&self) -> u64 {
        let branches = self.branches.iter().map(|branch| branch.align.macs() + branch.backbone.macs());
        // The first of the strided convolutions gives four positions for each of the features.
        let strided = self.strided.as_ref().map_or(0, |[a, b]| 4 * a.macs() + b.macs());
        self.per_pixel(
            2 * self.spynet.macs()
                + strided
                + self.extract.macs()
                + branches.sum::<u64>()
                + self.reconstruction.macs()
                + self.upsampler.macs(),
        )
    }

    /// Values alive at once for each input pixel of a window of one frame: the frame, a branch's features of two frames
    /// before, the frame's own, and what aligns these for the last branch.
    fn phases(&self) -> Vec<Values> {
        let channels = self.channels as u64;
        let at_hand = Values::features((2 + BRANCHES.len() as u64) * channels);
        let aligning = self.branches[0].align.phases(channels).map(|phase| at_hand + phase);
        aligning.map(|phase| self.shared(phase) + FRAME).into()
    }

    /// While flows are made, and while the features of frames by themselves are: in a block input, inner map and output.
    fn together(&self) -> Vec<Together> {
        let spatial = self.shared(Values::features(3 * self.channels as u64)) + FRAME;
        [self.shared(flow_work()), spatial].map(|each| Together { outside: FRAME, each }).into()
    }

    /// Beside the strips: the frame, a branch's features of two frames before, and the features themselves.
    fn upsampling(&self) -> Upsampling {
        let outside = self.shared(Values::features(3 * self.channels as u64)) + FRAME;
        Upsampling { outside, strip_phases: Upsampler::phases(self.channels, LAST_CHANNELS) }
    }

    /// The share of an input pixel in what is there for each position.
    fn shared(&self, values: Values) -> Values {
        Values {
            features: self.per_pixel(values.features),
            f32: self.per_pixel(values.f32),
            padding: self.per_pixel(values.padding),
        }
    }
}

impl Weights for BasicVsrPlusPlusWeights {
    fn prepare(
        &self,
        descriptor: &Descriptor,
        engine: Arc<dyn Engine>,
        precision: Precision,
    ) -> Result<Arc<dyn Network>, EngineError> {
        let channels = self.channels;
        let strided = |conv: &ConvWeights, ins: usize| {
            let spec = ConvSpec::new(3, &[ins], channels).activation(LEAKY).precision(precision, precision);
            engine.prepare_conv(&ConvSpec { stride: 2, ..spec }, &conv.weights, &conv.bias)
        };
        let strided = match &self.strided {
            Some([a, b]) => Some([strided(a, 3)?, strided(b, channels)?]),
            None => None,
        };
        let branch = |i: usize| -> Result<Branch, EngineError> {
            let BranchWeights { align, backbone } = &self.branches[i];
            Ok(Branch {
                align: align.prepare(&*engine, channels, precision)?,
                backbone: backbone.prepare(&*engine, &vec![channels; 2 + i], precision)?,
            })
        };
        Ok(Arc::new(BasicVsrPlusPlus {
            descriptor: descriptor.clone(),
            spynet: self.spynet.prepare(Arc::clone(&engine), precision)?,
            extract: self.extract.prepare(&*engine, &[if strided.is_some() { channels } else { 3 }], precision)?,
            strided,
            branches: [branch(0)?, branch(1)?, branch(2)?],
            last_branch: branch(3)?,
            reconstruction: self.reconstruction.prepare(&*engine, &[channels; BRANCHES.len() + 1], precision)?,
            upsampler: self.upsampler.prepare(&*engine, precision)?,
            engine,
        }))
    }
}
