//! The operations that networks are made of.

use framelift_frame::{Frame, Timestamp};

use crate::{Addend, Conv, ConvSpec, EngineError, HostTensor, Precision, Shape, Tensor};

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

/// Where arithmetic runs. Shared between threads; operations may be called from several at once.
///
/// Every operation returns a new tensor. Images (3 channels in, 3 out) are f32 in every precision, so that a
/// frame's colours are not rounded on the way through.
pub trait Engine: Send + Sync {
    /// What it is.
    fn info(&self) -> &EngineInfo;

    /// How well it runs `precision`.
    fn support(&self, precision: Precision) -> Support;

    /// Memory now and at its highest.
    fn memory(&self) -> MemoryUse;

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
}
