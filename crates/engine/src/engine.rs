//! The operations that networks are made of.

use std::ops::Range;

use framelift_frame::{Frame, Timestamp};

use crate::motion::Motion;
use crate::{
    Addend, Conv, ConvSpec, DeformConv, DeformSpec, Download, EngineError, HostTensor, Layout, Precision, Shape, Tensor,
};

/// What an engine is, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineInfo {
    /// `cpu`, `reference`, …
    pub name: &'static str,
    /// Such as `2 threads, AVX-512`.
    pub detail: String,
}

/// How well an engine runs a precision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// In its own instructions: faster than f32.
    Native,
    /// Correct, but not faster than f32.
    Emulated,
    /// Not at all.
    No,
}

/// Memory held by an engine's tensors and buffers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryUse {
    /// Bytes in living tensors.
    pub used_bytes: usize,
    /// Bytes kept for reuse.
    pub pooled_bytes: usize,
    /// The most that `used_bytes + pooled_bytes` has been.
    pub peak_bytes: usize,
}

/// How values between samples are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResizeMode {
    /// The nearest sample, towards the origin (PyTorch's `nearest`).
    Nearest,
    /// Bilinear, half-pixel centres (`align_corners=False`).
    Bilinear,
    /// Bilinear, corners on corners (`align_corners=True`).
    BilinearAligned,
    /// Bicubic, a = −0.75, half-pixel centres (PyTorch's `bicubic`).
    Bicubic,
    /// Bicubic, a = −0.5, widened when shrinking (PyTorch's `antialias=True`, MATLAB's `imresize`).
    BicubicAntialias,
}

impl ResizeMode {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Nearest, Self::Bilinear, Self::BilinearAligned, Self::Bicubic, Self::BicubicAntialias];
}

/// What lies outside of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// Zeros.
    Zeros,
    /// The nearest sample of the border.
    Border,
}

/// Where arithmetic runs. Shared between threads; operations may be called from several at once.
///
/// Every operation returns a new tensor. Images (3 channels in, 3 out) are f32 in every precision, so that a
/// frame's colours are not rounded on the way through.
pub trait Engine: Send + Sync {
    /// What it is.
    fn info(&self) -> &EngineInfo;

    /// How well it runs `precision`.
    fn support(&self, precision: Precision) -> Support;

    /// What the device failed of for good, where it did: nothing can be computed on it any more.
    fn fault(&self) -> Option<String> {
        None
    }

    /// Memory now and at its highest.
    fn memory(&self) -> MemoryUse;

    /// The most bytes that tensors may take of a memory that is the device's own; `None` where they lie in the host's.
    fn own_memory_bytes(&self) -> Option<u64> {
        None
    }

    /// How it keeps values in `precision`.
    fn layout(&self, precision: Precision) -> Layout {
        Layout::packed(precision)
    }

    /// Tensors and weights are planned to take `planned_bytes` from now on, which an engine may set aside at once. Memory that
    /// is only kept to be used again goes back where it and what is in use come to more than `limit_bytes`. What is in use
    /// may still come to more.
    fn set_memory_plan(&self, _planned_bytes: u64, _limit_bytes: u64) {}

    /// Waits until all that was asked for is done: operations may return before they are.
    ///
    /// # Errors
    /// [`EngineError::Device`].
    fn wait(&self) -> Result<(), EngineError> {
        Ok(())
    }

    /// The frame as a `height × width × 3` tensor, RGB in [0, 1], f32.
    ///
    /// # Errors
    /// [`EngineError::OutOfMemory`].
    fn upload(&self, frame: &Frame) -> Result<Tensor, EngineError>;

    /// A `height × width × 3` tensor as a frame: clamped to [0, 1], rounded to the nearest of 65536 levels.
    ///
    /// # Errors
    /// [`EngineError::NonFinite`] where values are NaN or infinite, [`EngineError::Shape`].
    fn download(&self, tensor: &Tensor, time: Timestamp, duration_ticks: i64) -> Result<Frame, EngineError>;

    /// Begins [`Engine::download`]: the tensor may be dropped and more may be asked for before the frame is waited for. Where
    /// the engine does not work on by itself, the frame is there at once.
    fn begin_download(&self, tensor: &Tensor, time: Timestamp, duration_ticks: i64) -> Download {
        Download::ready(self.download(tensor, time, duration_ticks))
    }

    /// Values from host memory, stored in `precision`.
    ///
    /// # Errors
    /// [`EngineError::OutOfMemory`], [`EngineError::Unsupported`].
    #[expect(clippy::wrong_self_convention, reason = "named for where the values come from, beside `to_host`")]
    fn from_host(&self, values: &HostTensor, precision: Precision) -> Result<Tensor, EngineError>;

    /// Values to host memory.
    ///
    /// # Errors
    /// [`EngineError::Foreign`].
    fn to_host(&self, tensor: &Tensor) -> Result<HostTensor, EngineError>;

    /// A tensor of zeros.
    ///
    /// # Errors
    /// [`EngineError::OutOfMemory`], [`EngineError::Unsupported`].
    fn zeros(&self, shape: Shape, precision: Precision) -> Result<Tensor, EngineError>;

    /// Weights (`[out][in][ky][kx]`) and bias (`[out]`) made ready for [`Engine::conv`].
    ///
    /// # Errors
    /// What [`ConvSpec::check`] finds; [`EngineError::Unsupported`].
    fn prepare_conv(&self, spec: &ConvSpec, weights: &[f32], bias: &[f32]) -> Result<Conv, EngineError>;

    /// The convolution of `inputs`, taken as concatenated, and what its [`ConvSpec`] says comes after it.
    ///
    /// # Errors
    /// [`EngineError::Shape`] where inputs or addend do not fit, [`EngineError::Foreign`], [`EngineError::OutOfMemory`].
    fn conv(&self, conv: &Conv, inputs: &[&Tensor], addend: Option<Addend<'_>>) -> Result<Tensor, EngineError>;

    /// The tensor at `height` × `width`, in the input's precision.
    ///
    /// # Errors
    /// [`EngineError::Shape`], [`EngineError::Foreign`], [`EngineError::OutOfMemory`].
    fn resize(&self, input: &Tensor, height: usize, width: usize, mode: ResizeMode) -> Result<Tensor, EngineError>;

    /// `r² · c` channels become `c` at `r` times the size (PyTorch's `PixelShuffle`).
    ///
    /// # Errors
    /// [`EngineError::Shape`], [`EngineError::Foreign`], [`EngineError::OutOfMemory`].
    fn pixel_shuffle(&self, input: &Tensor, factor: usize) -> Result<Tensor, EngineError>;

    /// `c` channels become `r² · c` at a size divided by `r` (PyTorch's `PixelUnshuffle`).
    ///
    /// # Errors
    /// [`EngineError::Shape`] where a side is not a multiple of `r`; [`EngineError::Foreign`], [`EngineError::OutOfMemory`].
    fn pixel_unshuffle(&self, input: &Tensor, factor: usize) -> Result<Tensor, EngineError>;

    /// For each position the bilinear value of `input` at that position plus its flow, in the input's precision.
    /// `flow` is f32 and has two channels, `(dx, dy)`, in pixels.
    ///
    /// # Errors
    /// [`EngineError::Shape`] unless the flow is an f32 flow of the input's size; [`EngineError::Foreign`],
    /// [`EngineError::OutOfMemory`].
    fn flow_warp(&self, input: &Tensor, flow: &Tensor, padding: Padding) -> Result<Tensor, EngineError>;

    /// The flow from the frame `from` to each frame of `to`, `height × width × 2`, f32: see [`motion`](crate::motion).
    ///
    /// # Errors
    /// [`EngineError::Shape`] unless all are frames of one size; [`EngineError::Foreign`], [`EngineError::OutOfMemory`].
    fn motion(&self, from: &Tensor, to: &[&Tensor]) -> Result<Vec<Tensor>, EngineError> {
        let motion = Motion::of(&self.to_host(from)?)?;
        let flow = |to: &&Tensor| self.from_host(&motion.flow_to(&self.to_host(to)?)?, Precision::F32);
        to.iter().map(flow).collect()
    }

    /// Weights (`[out][in][3][3]`) and bias (`[out]`) made ready for [`Engine::deform_conv`].
    ///
    /// # Errors
    /// What [`DeformSpec::check`] finds; [`EngineError::Unsupported`].
    fn prepare_deform_conv(&self, spec: &DeformSpec, weights: &[f32], bias: &[f32]) -> Result<DeformConv, EngineError>;

    /// The deformable convolution of `inputs`, taken as concatenated:
    /// `bias + Σ weight · mask · input(position + tap + offset)`, bilinear, zero outside.
    ///
    /// `residues` has `27 · groups` channels: `(dy, dx)` for each group and tap (row by row), then a mask for each group
    /// and tap. `offset = max_residue * tanh(residue)`, plus `(dy, dx)` of the flow of the input in which the group's
    /// channels lie: `flows` holds an f32 flow `(dx, dy)` for each input, or none at all, and then nothing is added.
    /// `mask = sigmoid(residue)`.
    ///
    /// # Errors
    /// What [`DeformSpec::check_call`] finds; [`EngineError::Foreign`], [`EngineError::OutOfMemory`].
    fn deform_conv(
        &self,
        conv: &DeformConv,
        inputs: &[&Tensor],
        residues: &Tensor,
        flows: &[&Tensor],
    ) -> Result<Tensor, EngineError>;

    /// The mean of each 2×2 block, in the input's precision; a last odd row or column is left out.
    ///
    /// # Errors
    /// [`EngineError::Foreign`], [`EngineError::OutOfMemory`].
    fn avg_pool(&self, input: &Tensor) -> Result<Tensor, EngineError>;

    /// `input[c] * gains[c] + offsets[c]` for each channel `c`, in the input's precision.
    ///
    /// # Errors
    /// [`EngineError::Shape`] unless there is one gain and one offset for each channel; [`EngineError::Foreign`],
    /// [`EngineError::OutOfMemory`].
    fn scale_channels(&self, input: &Tensor, gains: &[f32], offsets: &[f32]) -> Result<Tensor, EngineError>;

    /// `a * scale + b`, in the precision of `a`.
    ///
    /// # Errors
    /// [`EngineError::Shape`] unless both have one shape; [`EngineError::Foreign`], [`EngineError::OutOfMemory`].
    fn add_scaled(&self, a: &Tensor, scale: f32, b: &Tensor) -> Result<Tensor, EngineError>;

    /// The mean of the magnitudes of all values, summed in f64.
    ///
    /// # Errors
    /// [`EngineError::Shape`] where there are no values; [`EngineError::Foreign`].
    fn mean_abs(&self, input: &Tensor) -> Result<f64, EngineError>;

    /// The values as they are stored, `[height][width][channels]` without padding, in the machine's byte order: for a
    /// scratch file of the same process.
    ///
    /// # Errors
    /// [`EngineError::Foreign`].
    fn to_bytes(&self, tensor: &Tensor) -> Result<Vec<u8>, EngineError>;

    /// The tensor whose [`Engine::to_bytes`] gave `bytes`.
    ///
    /// # Errors
    /// [`EngineError::Shape`] where the bytes are not of such a tensor; [`EngineError::OutOfMemory`],
    /// [`EngineError::Unsupported`].
    #[expect(clippy::wrong_self_convention, reason = "named for where the values come from, beside `to_bytes`")]
    fn from_bytes(&self, shape: Shape, precision: Precision, bytes: &[u8]) -> Result<Tensor, EngineError>;

    /// `maps`, of one size, number of channels and precision, in one tensor; where some are several in one tensor themselves,
    /// one after another. What is done with it is done with each map by itself, so that an engine on which a small map
    /// leaves much idle does several at once. Only as many as [`Layout::maps_together`] says are worth it.
    ///
    /// # Errors
    /// [`EngineError::Shape`] unless there are maps, of one size, number of channels and precision;
    /// [`EngineError::Unsupported`] by engines that work on them one by one; [`EngineError::Foreign`],
    /// [`EngineError::OutOfMemory`].
    fn stack_maps(&self, maps: &[&Tensor]) -> Result<Tensor, EngineError> {
        let what = || format!("work on {} maps at once", maps.len());
        match maps {
            [map] => Ok(Tensor::clone(map)),
            _ => Err(EngineError::Unsupported { engine: self.info().name, what: what() }),
        }
    }

    /// The maps `maps` of `stack`, in one tensor.
    ///
    /// # Errors
    /// [`EngineError::Shape`] where there are no such maps; [`EngineError::Foreign`], [`EngineError::OutOfMemory`].
    fn maps(&self, stack: &Tensor, maps: Range<usize>) -> Result<Tensor, EngineError> {
        // Such an engine has one.
        stack.shape().of_maps(&maps)?.one_map()?;
        Ok(stack.clone())
    }

    /// Each map of `stack` by itself.
    ///
    /// # Errors
    /// [`EngineError::Foreign`], [`EngineError::OutOfMemory`].
    fn unstack_maps(&self, stack: &Tensor) -> Result<Vec<Tensor>, EngineError> {
        (0..stack.shape().maps).map(|n| self.maps(stack, n..n + 1)).collect()
    }

    /// The rows `rows` of `input`, of each of its maps, in its precision.
    ///
    /// # Errors
    /// [`EngineError::Shape`] where there are no such rows; [`EngineError::Foreign`], [`EngineError::OutOfMemory`].
    fn rows(&self, input: &Tensor, rows: Range<usize>) -> Result<Tensor, EngineError> {
        let shape = input.shape().one_map()?.of_rows(&rows)?;
        let row_bytes = shape.width * shape.channels * input.precision().bytes();
        let bytes = self.to_bytes(input)?;
        self.from_bytes(shape, input.precision(), &bytes[rows.start * row_bytes..rows.end * row_bytes])
    }

    /// `parts` one below the other, map by map, in their precision.
    ///
    /// # Errors
    /// [`EngineError::Shape`] unless there are parts, of as many maps, one width, number of channels and precision;
    /// [`EngineError::Foreign`], [`EngineError::OutOfMemory`].
    fn stack_rows(&self, parts: &[Tensor]) -> Result<Tensor, EngineError> {
        let (shape, precision) = stacked(parts)?;
        let shape = shape.one_map()?;
        let mut bytes = Vec::with_capacity(shape.len() * precision.bytes());
        for part in parts {
            bytes.extend(self.to_bytes(part)?);
        }
        self.from_bytes(shape, precision, &bytes)
    }
}

/// The shape and precision of `parts` one below the other.
///
/// # Errors
/// [`EngineError::Shape`] unless there are parts, of as many maps, one width, number of channels and precision.
pub fn stacked(parts: &[Tensor]) -> Result<(Shape, Precision), EngineError> {
    let [first, ..] = parts else { return Err(EngineError::Shape("a stack of no tensors".into())) };
    let (shape, precision) = (first.shape(), first.precision());
    let mut height = 0;
    for part in parts {
        if (Shape { height: shape.height, ..part.shape() }, part.precision()) != (shape, precision) {
            return Err(EngineError::Shape(format!("{part:?} below {first:?}")));
        }
        height += part.shape().height;
    }
    Ok((Shape { height, ..shape }, precision))
}

/// The shape and precision of `maps` in one tensor, one after another.
///
/// # Errors
/// [`EngineError::Shape`] unless there are maps, of one size, number of channels and precision.
pub fn stacked_maps(maps: &[&Tensor]) -> Result<(Shape, Precision), EngineError> {
    let [first, ..] = maps else { return Err(EngineError::Shape("a stack of no maps".into())) };
    let each = |map: &Tensor| (Shape { maps: 1, ..map.shape() }, map.precision());
    if let Some(other) = maps.iter().find(|other| each(other) != each(first)) {
        return Err(EngineError::Shape(format!("{other:?} stacked on {first:?}")));
    }
    let maps = maps.iter().map(|map| map.shape().maps).sum();
    Ok((Shape { maps, ..first.shape() }, first.precision()))
}
