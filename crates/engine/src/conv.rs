//! What a convolution is told: its fixed part, prepared once with the weights, and its inputs.

use crate::{EngineError, Precision, Shape, Tensor};

/// What is applied to each sum of a convolution, bias included.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Activation {
    /// Nothing.
    #[default]
    None,
    /// `max(x, 0)`.
    Relu,
    /// `x` where positive, else `slope * x`.
    Leaky(f32),
    /// Leaky with a slope for each output channel of the convolution (before the pixel shuffle).
    Prelu(Vec<f32>),
}

/// The fixed part of a convolution: stride 1 or 2, zero padding of `kernel / 2` on every side.
///
/// `output = addend + scale * pixel_shuffle(activation(bias + Σ weight · input))`
#[derive(Clone, Debug, PartialEq)]
pub struct ConvSpec {
    /// Side of the kernel: 1, 3 or 7.
    pub kernel: usize,
    /// Step between output positions, 1 or 2. The output has `ceil(size / stride)` rows and columns.
    pub stride: usize,
    /// Channels of each input; the inputs count as concatenated in this order.
    pub in_channels: Vec<usize>,
    /// Channels of the sums, before the pixel shuffle.
    pub out_channels: usize,
    /// Applied to each sum.
    pub activation: Activation,
    /// Multiplies the activated sums, before the addend.
    pub scale: f32,
    /// Factor of the pixel shuffle, 1 for none: `r² · c` channels become `c` at `r` times the size, channel
    /// `c · r² + r · dy + dx` going to row offset `dy`, column offset `dx` (PyTorch's `PixelShuffle`).
    pub pixel_shuffle: usize,
    /// What weights and inputs are rounded to before they are multiplied. Sums are f32.
    pub precision: Precision,
    /// How the output is stored.
    pub output: Precision,
}

impl ConvSpec {
    /// A convolution of stride 1 without activation, scale or shuffle, in f32.
    #[must_use]
    pub fn new(kernel: usize, in_channels: &[usize], out_channels: usize) -> Self {
        Self {
            kernel,
            stride: 1,
            in_channels: in_channels.to_vec(),
            out_channels,
            activation: Activation::None,
            scale: 1.0,
            pixel_shuffle: 1,
            precision: Precision::F32,
            output: Precision::F32,
        }
    }

    /// Followed by `activation`.
    #[must_use]
    pub fn activation(mut self, activation: Activation) -> Self {
        self.activation = activation;
        self
    }

    /// With a pixel shuffle by `factor`.
    #[must_use]
    pub fn pixel_shuffle(mut self, factor: usize) -> Self {
        self.pixel_shuffle = factor;
        self
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

    /// Values in the weight array, `out_channels * total_in_channels * kernel²`.
    #[must_use]
    pub fn weight_len(&self) -> usize {
        self.out_channels * self.total_in_channels() * self.kernel * self.kernel
    }

    /// Multiply-adds for each output position before the pixel shuffle.
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
        if ![1, 3, 7].contains(&self.kernel) {
            return fail(format!("a {0}x{0} kernel; 1, 3 and 7 are known", self.kernel));
        }
        if ![1, 2].contains(&self.stride) {
            return fail(format!("a stride of {}; 1 and 2 are known", self.stride));
        }
        if self.total_in_channels() == 0 || self.in_channels.contains(&0) || self.out_channels == 0 {
            return fail("a convolution without channels".into());
        }
        if self.pixel_shuffle == 0 || !self.out_channels.is_multiple_of(self.pixel_shuffle * self.pixel_shuffle) {
            return fail(format!("{} channels cannot be shuffled by {}", self.out_channels, self.pixel_shuffle));
        }
        if weights.len() != self.weight_len() {
            return fail(format!("{} weights where {} are due", weights.len(), self.weight_len()));
        }
        if bias.len() != self.out_channels {
            return fail(format!("{} biases for {} channels", bias.len(), self.out_channels));
        }
        match &self.activation {
            Activation::Prelu(slopes) if slopes.len() != self.out_channels => {
                fail(format!("{} PReLU slopes for {} channels", slopes.len(), self.out_channels))
            }
            _ => Ok(()),
        }
    }

    /// The shape of what inputs of these shapes become, if they and an addend can be of one call.
    ///
    /// # Errors
    /// [`EngineError::Shape`] saying what does not fit.
    pub fn check_call(&self, inputs: &[Shape], addend: Option<(Shape, Upsample)>) -> Result<Shape, EngineError> {
        let fail = |what: String| Err(EngineError::Shape(what));
        let channels: Vec<usize> = inputs.iter().map(|input| input.channels).collect();
        if channels != self.in_channels {
            return fail(format!("inputs of {channels:?} channels for a convolution of {:?}", self.in_channels));
        }
        let first = inputs[0];
        if let Some(other) = inputs.iter().find(|input| !input.lies_on(first)) {
            return fail(format!("inputs of {first} and {other}"));
        }
        let [height, width] = [first.height, first.width].map(|side| side.div_ceil(self.stride));
        let r = self.pixel_shuffle;
        let output = first.with(height * r, width * r, self.out_channels / (r * r));
        match addend {
            Some((addend, upsample)) if !upsample.fits(addend, output) => {
                fail(format!("an addend of {addend} (upsampling: {upsample:?}) for an output of {output}"))
            }
            _ => Ok(output),
        }
    }
}

/// How an addend smaller than the output is brought to its size, by a whole factor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Upsample {
    /// It has the output's size.
    #[default]
    None,
    /// Each value repeated.
    Nearest,
    /// Bilinear, half-pixel centres (PyTorch's `align_corners=False`), edges clamped.
    Bilinear,
}

impl Upsample {
    /// Whether it brings an addend of this shape to that of the output.
    fn fits(self, addend: Shape, output: Shape) -> bool {
        match self {
            Self::None => addend == output,
            Self::Nearest | Self::Bilinear => {
                !addend.is_empty()
                    && (addend.maps, addend.channels) == (output.maps, output.channels)
                    && output.height.is_multiple_of(addend.height)
                    && output.width.is_multiple_of(addend.width)
                    && output.height / addend.height == output.width / addend.width
            }
        }
    }
}

/// What is added to the output of a convolution: a residual, or the upscaled base of a network.
#[derive(Clone, Copy, Debug)]
pub struct Addend<'a> {
    /// As many channels as the output.
    pub tensor: &'a Tensor,
    /// How it comes to the output's size.
    pub upsample: Upsample,
}

impl<'a> Addend<'a> {
    /// A tensor of the output's own shape.
    #[must_use]
    pub fn same(tensor: &'a Tensor) -> Self {
        Self { tensor, upsample: Upsample::None }
    }
}
