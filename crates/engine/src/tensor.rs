//! Feature maps and their shapes.

use std::any::Any;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::EngineError;

/// Height, width and channels of a feature map, or of each of several in one tensor. Channels are the innermost dimension,
/// maps the outermost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    /// Maps: 1 but for what [`Engine::stack_maps`](crate::Engine::stack_maps) made, and what becomes of it.
    pub maps: usize,
    /// Rows of a map.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Channels.
    pub channels: usize,
}

impl Shape {
    /// One map of `height` × `width` × `channels`.
    #[must_use]
    pub const fn new(height: usize, width: usize, channels: usize) -> Self {
        Self { maps: 1, height, width, channels }
    }

    /// As many maps as there are here, of `height` × `width` × `channels`.
    #[must_use]
    pub const fn with(self, height: usize, width: usize, channels: usize) -> Self {
        Self { maps: self.maps, height, width, channels }
    }

    /// Whether each position here is one of `other`, too, whatever the channels.
    #[must_use]
    pub const fn lies_on(self, other: Self) -> bool {
        self.maps == other.maps && self.height == other.height && self.width == other.width
    }

    /// Rows of all maps.
    #[must_use]
    pub const fn rows(self) -> usize {
        self.maps * self.height
    }

    /// Positions of all maps.
    #[must_use]
    pub const fn pixels(self) -> usize {
        self.rows() * self.width
    }

    /// Values of all maps.
    #[must_use]
    pub const fn len(self) -> usize {
        self.pixels() * self.channels
    }

    /// For what is done to one map only.
    ///
    /// # Errors
    /// [`EngineError::Shape`] where there are several.
    pub fn one_map(self) -> Result<Self, EngineError> {
        if self.maps == 1 { Ok(self) } else { Err(EngineError::Shape(format!("{self} where one map is due"))) }
    }

    /// The shape of the rows `rows` of each map of a tensor of this shape.
    ///
    /// # Errors
    /// [`EngineError::Shape`] where there are no such rows.
    pub fn of_rows(self, rows: &Range<usize>) -> Result<Self, EngineError> {
        if rows.start <= rows.end && rows.end <= self.height {
            Ok(Self { height: rows.end - rows.start, ..self })
        } else {
            Err(EngineError::Shape(format!("rows {} to {} of {self}", rows.start, rows.end)))
        }
    }

    /// The shape of the maps `maps` of a tensor of this shape.
    ///
    /// # Errors
    /// [`EngineError::Shape`] where there are no such maps.
    pub fn of_maps(self, maps: &Range<usize>) -> Result<Self, EngineError> {
        if maps.start < maps.end && maps.end <= self.maps {
            Ok(Self { maps: maps.end - maps.start, ..self })
        } else {
            Err(EngineError::Shape(format!("maps {} to {} of {self}", maps.start, maps.end)))
        }
    }

    /// Whether a dimension is zero.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.len() == 0
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { maps, height, width, channels } = self;
        if *maps != 1 {
            write!(f, "{maps} maps of ")?;
        }
        write!(f, "{height}x{width}x{channels}")
    }
}

/// How values are stored. Sums are f32 in every precision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Precision {
    /// IEEE 754 single precision.
    #[default]
    F32,
    /// bfloat16: the upper half of an f32.
    Bf16,
    /// IEEE 754 half precision.
    F16,
}

impl Precision {
    /// Bytes a value.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::Bf16 | Self::F16 => 2,
        }
    }

    /// `f32`, `bf16` or `f16`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::F16 => "f16",
        }
    }
}

/// The most windows or frames that are worked on at once.
const MOST_LANES: usize = 8;

/// How an engine keeps the values of a feature map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// What values that are not f32 in any case are kept in.
    pub precision: Precision,
    /// Whether the channels of a pixel are filled up to a multiple of four.
    pub in_fours: bool,
    /// What is free between tensors that come and go, in sixteenths of what they take.
    pub gaps_sixteenths: u64,
    /// Pixels of small maps that are worth being worked on at once; 0 where maps are worked on one by one.
    pub together_px: usize,
}

impl Layout {
    /// Channels without gaps.
    #[must_use]
    pub const fn packed(precision: Precision) -> Self {
        Self { precision, in_fours: false, gaps_sixteenths: 0, together_px: 0 }
    }

    /// Maps of `pixels` that are worked on at once, where there are as many that do not wait for each other: 1 or more.
    #[must_use]
    pub const fn maps_together(&self, pixels: usize) -> usize {
        let pixels = if pixels == 0 { 1 } else { pixels };
        let maps = self.together_px / pixels;
        if maps == 0 { 1 } else { maps }
    }

    /// Windows of frames of `pixels`, or frames that are seen one by one, that are worked on at once where a stream has as
    /// many: 1 or more. Fewer than maps of one window, as each takes a window's memory and makes the results after it wait.
    #[must_use]
    pub const fn lanes(&self, pixels: usize) -> usize {
        let maps = self.maps_together(pixels.saturating_mul(4));
        if maps > MOST_LANES { MOST_LANES } else { maps }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A feature map on an engine. Cheap to clone; immutable; its memory returns to the engine's pool with the last clone.
#[derive(Clone)]
pub struct Tensor {
    shape: Shape,
    precision: Precision,
    storage: Arc<dyn Any + Send + Sync>,
}

impl Tensor {
    /// For engines: a tensor of `shape` whose values are in `storage`.
    pub fn new(shape: Shape, precision: Precision, storage: Arc<dyn Any + Send + Sync>) -> Self {
        Self { shape, precision, storage }
    }

    /// Maps, height, width and channels, without an engine's padding.
    #[must_use]
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// How the values are stored.
    #[must_use]
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// For engines: the storage, if it is of type `S`.
    #[must_use]
    pub fn storage<S: Any>(&self) -> Option<&S> {
        self.storage.downcast_ref()
    }
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tensor({} {})", self.shape, self.precision)
    }
}

/// A feature map in host memory: f32, channels last, without padding.
#[derive(Clone, Debug, PartialEq)]
pub struct HostTensor {
    shape: Shape,
    data: Vec<f32>,
}

impl HostTensor {
    /// A tensor of `data`, `[map][height][width][channels]`.
    ///
    /// # Errors
    /// [`EngineError::Shape`] unless there are `shape.len()` values.
    pub fn new(shape: Shape, data: Vec<f32>) -> Result<Self, EngineError> {
        if data.len() == shape.len() {
            Ok(Self { shape, data })
        } else {
            Err(EngineError::Shape(format!("{} values for a tensor of {shape}", data.len())))
        }
    }

    /// A tensor whose value at `(y, x, channel)` is `value(y, x, channel)`.
    pub fn from_fn(shape: Shape, mut value: impl FnMut(usize, usize, usize) -> f32) -> Self {
        let mut data = Vec::with_capacity(shape.len());
        for y in 0..shape.height {
            for x in 0..shape.width {
                data.extend((0..shape.channels).map(|c| value(y, x, c)));
            }
        }
        Self { shape, data }
    }

    /// A tensor from planar values, `[channels][height][width]`, as PyTorch keeps them.
    ///
    /// # Errors
    /// [`EngineError::Shape`] unless there are `shape.len()` values.
    pub fn from_planar(shape: Shape, planar: &[f32]) -> Result<Self, EngineError> {
        if planar.len() == shape.len() {
            Ok(Self::from_fn(shape, |y, x, c| planar[(c * shape.height + y) * shape.width + x]))
        } else {
            Err(EngineError::Shape(format!("{} values for a tensor of {shape}", planar.len())))
        }
    }

    /// The values as `[channels][height][width]`.
    #[must_use]
    pub fn to_planar(&self) -> Vec<f32> {
        let Shape { height, width, channels, .. } = self.shape;
        let mut planar = Vec::with_capacity(self.data.len());
        for c in 0..channels {
            for i in 0..height * width {
                planar.push(self.data[i * channels + c]);
            }
        }
        planar
    }

    /// Height, width and channels.
    #[must_use]
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The values, `[height][width][channels]`.
    #[must_use]
    pub fn data(&self) -> &[f32] {
        &self.data
    }

    /// The values, to write to.
    #[must_use]
    pub fn data_mut(&mut self) -> &mut [f32] {
        &mut self.data
    }

    /// The value at row `y`, column `x`, `channel`. Panics outside the tensor.
    #[must_use]
    pub fn at(&self, y: usize, x: usize, channel: usize) -> f32 {
        self.data[(y * self.shape.width + x) * self.shape.channels + channel]
    }
}
