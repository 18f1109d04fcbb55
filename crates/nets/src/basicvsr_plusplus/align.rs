//! Features of the two frames before, moved to where the present frame shows the same things (section 3.2 of the
//! paper; `SecondOrderDeformableAlignment` in mmagic and BasicSR).

use framelift_engine::{
    Activation, Conv, ConvSpec, DeformConv, DeformSpec, Engine, EngineError, Padding, Precision, Tensor,
};

use crate::Values;
use crate::blocks::{LEAKY, prepare};
use crate::reader::{ConvWeights, Reader};

/// How far a residue moves a tap from where the flow points, in pixels; no checkpoint stores it.
const MAX_RESIDUE_PX: f32 = 10.0;

/// Offsets and mask of a tap, for each tap of a group.
const RESIDUES_A_GROUP: usize = 3 * DeformSpec::TAPS;

/// The weights of one branch's alignment.
pub(super) struct AlignWeights {
    /// `conv_offset.{0, 2, 4, 6}`.
    offset: [ConvWeights; 4],
    deform: ConvWeights,
}

impl AlignWeights {
    /// The part `name` of a network of `channels`.
    pub(super) fn read(reader: &mut Reader<'_>, name: &str, channels: usize) -> Self {
        let residues = reader.outs(&format!("{name}.conv_offset.6"));
        let mut conv =
            |place: usize, ins: usize, out: usize| reader.conv(&format!("{name}.conv_offset.{place}"), 3, ins, out);
        let offset = [
            conv(0, 3 * channels + 4, channels),
            conv(2, channels, channels),
            conv(4, channels, channels),
            conv(6, channels, residues),
        ];
        Self { offset, deform: reader.conv(name, 3, 2 * channels, channels) }
    }

    /// Deformable groups; 0 where the residues are not those of whole groups.
    pub(super) fn groups(&self) -> usize {
        let residues = self.offset[3].outs();
        if residues.is_multiple_of(RESIDUES_A_GROUP) { residues / RESIDUES_A_GROUP } else { 0 }
    }

    /// Multiply-adds for each position, sampling not counted.
    pub(super) fn macs(&self) -> u64 {
        self.offset.iter().map(ConvWeights::macs).sum::<u64>() + self.deform.macs()
    }

    /// Values alive at once for each position beside the features aligned: two warped maps, the second flow and the first
    /// map of the offsets; in the end a map, the residues and the result.
    pub(super) fn phases(&self, channels: u64) -> [Values; 2] {
        let residues = self.offset[3].outs() as u64;
        let end = Values::features(2 * channels) + Values::f32(residues) + Values::flows(1);
        [Values::features(3 * channels) + Values::flows(1), end]
    }

    pub(super) fn prepare(
        &self,
        engine: &dyn Engine,
        channels: usize,
        precision: Precision,
    ) -> Result<Align, EngineError> {
        let [first, second, third, last] = &self.offset;
        let residues = ConvSpec::new(3, &[channels], last.outs()).activation(Activation::None);
        let deform = DeformSpec {
            max_residue: MAX_RESIDUE_PX,
            ..DeformSpec::new(&[channels; 2], channels, self.groups()).precision(precision, precision)
        };
        Ok(Align {
            first: prepare(engine, first, 3, &[channels, channels, channels, 2, 2], LEAKY, precision)?,
            middle: [
                prepare(engine, second, 3, &[channels], LEAKY, precision)?,
                prepare(engine, third, 3, &[channels], LEAKY, precision)?,
            ],
            residues: engine.prepare_conv(&residues.precision(precision, Precision::F32), &last.weights, &last.bias)?,
            deform: engine.prepare_deform_conv(&deform, &self.deform.weights, &self.deform.bias)?,
        })
    }
}

/// The alignment of one branch on an engine.
pub(super) struct Align {
    first: Conv,
    middle: [Conv; 2],
    residues: Conv,
    deform: DeformConv,
}

/// A frame before the present one, in the direction of a branch.
pub(super) struct Before {
    /// The branch's features of it.
    pub(super) features: Tensor,
    /// The flow from the present frame to it.
    pub(super) flow: Tensor,
}

impl Align {
    /// Features of one and of two frames before, aligned with the present frame, whose own are `spatial`.
    pub(super) fn run(
        &self,
        engine: &dyn Engine,
        spatial: &Tensor,
        n1: &Before,
        n2: Option<Before>,
    ) -> Result<Tensor, EngineError> {
        let warp = |before: &Before| engine.flow_warp(&before.features, &before.flow, Padding::Zeros);
        let (n2, warped2) = match n2 {
            Some(n2) => {
                let warped = warp(&n2)?;
                (n2, warped)
            }
            None => {
                let zeros = engine.zeros(n1.features.shape(), n1.features.precision())?;
                let flow = engine.zeros(n1.flow.shape(), Precision::F32)?;
                (Before { features: zeros.clone(), flow }, zeros)
            }
        };
        let mut map = {
            let warped1 = warp(n1)?;
            engine.conv(&self.first, &[&warped1, spatial, &warped2, &n1.flow, &n2.flow], None)?
        };
        drop(warped2);
        for conv in &self.middle {
            map = engine.conv(conv, &[&map], None)?;
        }
        let residues = engine.conv(&self.residues, &[&map], None)?;
        engine.deform_conv(&self.deform, &[&n1.features, &n2.features], &residues, &[&n1.flow, &n2.flow])
    }
}

/// The flow from the present frame to the one two before: `flow1` to the one before, and on from there.
pub(super) fn second_order(engine: &dyn Engine, flow1: &Tensor, flow_on: &Tensor) -> Result<Tensor, EngineError> {
    engine.add_scaled(&engine.flow_warp(flow_on, flow1, Padding::Zeros)?, 1.0, flow1)
}
