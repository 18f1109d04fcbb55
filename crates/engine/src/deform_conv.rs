//! What a deformable convolution is told: its fixed part, prepared once with the weights.

use crate::{EngineError, Precision, Shape};

/// The fixed part of a modulated deformable 3×3 convolution (DCNv2, Zhu et al. 2019) of stride 1.
///
/// The channels of all inputs, taken as concatenated, lie in `groups` consecutive groups of one size, each with
/// offsets and masks of its own. An input holds whole groups.
#[derive(Clone, Debug, PartialEq)]
pub struct DeformSpec {
    /// Channels of each input; the inputs count as concatenated in this order.
    pub in_channels: Vec<usize>,
    /// Channels of the output.
    pub out_channels: usize,
    /// Consecutive groups of input channels.
    pub groups: usize,
    /// How far a residue moves a tap at most, in pixels.
    pub max_residue: f32,
    /// What weights and masked samples are rounded to before they are multiplied. Sums are f32.
    pub precision: Precision,
    /// How the output is stored.
    pub output: Precision,
}

impl DeformSpec {
    /// Taps of the kernel.
    pub const TAPS: usize = 9;

    /// A deformable convolution in f32, whose residues move a tap by up to 10 pixels.
    #[must_use]
    pub fn new(in_channels: &[usize], out_channels: usize, groups: usize) -> Self {
        Self {
            in_channels: in_channels.to_vec(),
            out_channels,
            groups,
            max_residue: 10.0,
            precision: Precision::F32,
            output: Precision::F32,
        }
    }

    /// Computed in `precision` and stored in `output`.
    #[must_use]
    pub fn precision(mut self, precision: Precision, output: Precision) -> Self {
        self.precision = precision;
        self.output = output;
        self
    }

    /// Channels of all inputs together.
    #[must_use]
    pub fn total_in_channels(&self) -> usize {
        self.in_channels.iter().sum()
    }

    /// Channels of a group.
    #[must_use]
    pub fn group_channels(&self) -> usize {
        self.total_in_channels() / self.groups
    }

    /// Channels of the offsets: `dy` and `dx` for each group and tap.
    #[must_use]
    pub fn offset_channels(&self) -> usize {
        self.groups * Self::TAPS * 2
    }

    /// Channels of the masks: one for each group and tap.
    #[must_use]
    pub fn mask_channels(&self) -> usize {
        self.groups * Self::TAPS
    }

    /// Values in the weight array, `out_channels * total_in_channels * 9`.
    #[must_use]
    pub fn weight_len(&self) -> usize {
        self.out_channels * self.total_in_channels() * Self::TAPS
    }

    /// Multiply-adds for each output position, sampling not counted.
    #[must_use]
    pub fn macs_per_position(&self) -> u64 {
        self.weight_len() as u64
    }

    /// Whether the numbers make a convolution that engines know, with `weights` and `bias` of the right length.
    ///
    /// # Errors
    /// [`EngineError::Shape`] saying what does not fit.
    pub fn check(&self, weights: &[f32], bias: &[f32]) -> Result<(), EngineError> {
        let fail = |what: String| Err(EngineError::Shape(what));
        if self.in_channels.is_empty() || self.in_channels.contains(&0) || self.out_channels == 0 || self.groups == 0 {
            return fail("a deformable convolution without channels or groups".into());
        }
        let (channels, groups) = (&self.in_channels, self.groups);
        if !self.total_in_channels().is_multiple_of(groups) {
            return fail(format!("{channels:?} channels do not lie in {groups} groups of one size"));
        }
        if let Some(split) = channels.iter().find(|&c| !c.is_multiple_of(self.group_channels())) {
            return fail(format!(
                "an input of {split} channels does not hold whole groups of {}",
                self.group_channels()
            ));
        }
        if weights.len() != self.weight_len() {
            return fail(format!("{} weights where {} are due", weights.len(), self.weight_len()));
        }
        if bias.len() != self.out_channels {
            return fail(format!("{} biases for {} channels", bias.len(), self.out_channels));
        }
        if !self.max_residue.is_finite() {
            return fail(format!("residues of up to {} pixels", self.max_residue));
        }
        Ok(())
    }

    /// Whether tensors of these shapes can be inputs, residues and flows of one call.
    ///
    /// # Errors
    /// [`EngineError::Shape`] saying what does not fit.
    pub fn check_call(&self, inputs: &[Shape], residues: Shape, flows: &[Shape]) -> Result<(), EngineError> {
        let fail = |what: String| Err(EngineError::Shape(what));
        let channels: Vec<usize> = inputs.iter().map(|input| input.channels).collect();
        if channels != self.in_channels {
            let due = &self.in_channels;
            return fail(format!("inputs of {channels:?} channels for a deformable convolution of {due:?}"));
        }
        let first = inputs[0];
        if let Some(other) = inputs.iter().find(|input| !input.lies_on(first)) {
            return fail(format!("inputs of {first} and {other}"));
        }
        let of = |channels| first.with(first.height, first.width, channels);
        let due = of(self.offset_channels() + self.mask_channels());
        if residues != due {
            return fail(format!("residues of {residues} where {due} are due"));
        }
        if !flows.is_empty() && flows.len() != inputs.len() {
            return fail(format!("{} flows for {} inputs", flows.len(), inputs.len()));
        }
        let due = of(2);
        match flows.iter().find(|flow| **flow != due) {
            Some(flow) => fail(format!("a flow of {flow} for inputs of {first}")),
            None => Ok(()),
        }
    }
}
