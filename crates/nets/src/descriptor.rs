//! What a model says of itself.

use framelift_engine::Precision;

use crate::strips::{FACTOR, Strips};

/// Which frames a network needs to make one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The frame itself.
    Frame,
    /// All frames before it, through a carried state, and `lookahead` after it.
    Causal {
        /// Frames after the one made.
        lookahead: usize,
    },
    /// Past and future frames of a window.
    Window,
}

/// How many values are kept, by how they are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Values {
    /// In the working precision.
    pub features: u64,
    /// In f32 whatever the precision: pictures, flows, offsets.
    pub f32: u64,
}

impl Values {
    /// So many of either.
    #[must_use]
    pub const fn new(features: u64, f32: u64) -> Self {
        Self { features, f32 }
    }

    /// Bytes where the working precision is `precision`.
    #[must_use]
    pub const fn bytes(self, precision: Precision) -> u64 {
        self.features * precision.bytes() as u64 + self.f32 * Precision::F32.bytes() as u64
    }
}

impl std::ops::Add for Values {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { features: self.features + other.features, f32: self.f32 + other.f32 }
    }
}

/// Values alive while a picture of four times the size of the features is made of them, a strip of rows at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upsampling {
    /// Outside the strips, for each input pixel.
    pub outside: Values,
    /// For each position of features in a strip, in each phase of its making.
    pub strip_phases: Vec<Values>,
}

/// Values of a picture for each position of features.
const PICTURE_VALUES: u64 = 3 * (FACTOR * FACTOR) as u64;

/// What a checkpoint is: read off its tensors, never asked of the user.
#[derive(Clone, Debug, PartialEq)]
pub struct Descriptor {
    /// The architecture's name, such as `SRVGGNetCompact`.
    pub architecture: &'static str,
    /// The architecture's numbers, such as `64 features, 16 convolutions`.
    pub variant: String,
    /// Output pixels for each input pixel along a side.
    pub scale: u32,
    /// Which frames it needs.
    pub reach: Reach,
    /// Both sides of the input must be multiples of this.
    pub size_multiple: u32,
    /// Each side of the input must be at least this, in pixels.
    pub min_side_px: u32,
    /// Weights in the network.
    pub parameters: u64,
    /// Multiply-adds for each input pixel of a frame.
    pub macs_per_pixel: u64,
    /// Values alive at once for each input pixel in each phase of the work on a frame; the most counts.
    pub phases: Vec<Values>,
    /// The phase in which the picture is made of the features, where that is done in strips.
    pub upsampling: Option<Upsampling>,
    /// What each further frame of a window keeps in memory to its end, for each input pixel, in values of f32: the frame
    /// itself and its flows. 0 unless the reach is [`Reach::Window`].
    pub held_values_per_pixel: u64,
    /// What each further frame of a window gives to the [`FeatureStore`](crate::FeatureStore), for each input pixel,
    /// in values of the working precision. 0 unless the reach is [`Reach::Window`].
    pub stored_values_per_pixel: u64,
    /// Precisions in which the output is good.
    pub precisions: &'static [Precision],
    /// What it is good for, in one sentence.
    pub purpose: String,
    /// The licence of the weights, where known.
    pub licence: Option<String>,
}

impl Descriptor {
    /// Bytes alive at once while a frame of so many pixels is worked on in `precision`.
    #[must_use]
    pub fn work_bytes(&self, height: usize, width: usize, precision: Precision) -> u64 {
        let most = |phases: &[Values]| phases.iter().map(|values| values.bytes(precision)).max().unwrap_or(0);
        let pixels = (height * width) as u64;
        let features = most(&self.phases) * pixels;
        let Some(upsampling) = &self.upsampling else { return features };
        let side = |px: usize| (px * self.scale as usize).div_ceil(FACTOR);
        let (height, width) = (side(height), side(width));
        let strips = Strips::of(height, width);
        let strip = most(&upsampling.strip_phases) * (strips.most_seen() * width) as u64;
        // The strips' pictures wait until the last is made; then they are put together.
        let picture = Values::new(0, PICTURE_VALUES).bytes(precision) * (height * width) as u64;
        let waiting = if strips.count() > 1 { picture } else { 0 };
        features.max(upsampling.outside.bytes(precision) * pixels + (strip + waiting).max(2 * waiting))
    }

    /// Bytes that each further frame of a window keeps in memory to its end, for each input pixel.
    #[must_use]
    pub fn held_bytes_per_pixel(&self) -> u64 {
        Values::new(0, self.held_values_per_pixel).bytes(Precision::F32)
    }
}
