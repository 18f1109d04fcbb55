//! What a model says of itself.

use framelift_engine::{Layout, Precision};

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
    /// In f32 more where channels are filled up to fours.
    pub padding: u64,
}

impl Values {
    /// So many in the working precision.
    #[must_use]
    pub const fn features(features: u64) -> Self {
        Self { features, f32: 0, padding: 0 }
    }

    /// So many in f32, of maps whose channels are multiples of four.
    #[must_use]
    pub const fn f32(f32: u64) -> Self {
        Self { features: 0, f32, padding: 0 }
    }

    /// Those of pixels in RGB.
    #[must_use]
    pub const fn pictures(pixels: u64) -> Self {
        Self { features: 0, f32: 3 * pixels, padding: pixels }
    }

    /// Those of so many vectors of two components.
    #[must_use]
    pub const fn flows(vectors: u64) -> Self {
        Self { features: 0, f32: 2 * vectors, padding: 2 * vectors }
    }

    /// Bytes where values are kept like that.
    #[must_use]
    pub const fn bytes(self, layout: Layout) -> u64 {
        let f32 = if layout.in_fours { self.f32 + self.padding } else { self.f32 };
        self.features * layout.precision.bytes() as u64 + f32 * Precision::F32.bytes() as u64
    }
}

impl std::ops::Add for Values {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            features: self.features + other.features,
            f32: self.f32 + other.f32,
            padding: self.padding + other.padding,
        }
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

/// Work that is done on several frames of a window at once, where the engine gains by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Together {
    /// Values alive meanwhile, for each input pixel of one frame.
    pub outside: Values,
    /// For each input pixel of each of the frames.
    pub each: Values,
}

/// Of a picture for each position of features.
const PICTURE: Values = Values::pictures((FACTOR * FACTOR) as u64);

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
    /// The phases in which several frames are worked on at once.
    pub together: Vec<Together>,
    /// The phase in which the picture is made of the features, where that is done in strips.
    pub upsampling: Option<Upsampling>,
    /// What each further frame of a window keeps in memory to its end, for each input pixel: the frame itself and its flows.
    /// Nothing unless the reach is [`Reach::Window`].
    pub held: Values,
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
    /// Bytes alive at once while a frame of so many pixels is worked on, with values kept as `layout` says, or as many frames
    /// as there are `lanes`, 1 or more; the network sees `frames` in each.
    #[must_use]
    pub fn work_bytes(&self, height: usize, width: usize, frames: u64, lanes: u64, layout: Layout) -> u64 {
        let most = |phases: &[Values]| phases.iter().map(|values| values.bytes(layout)).max().unwrap_or(0);
        let pixels = (height * width) as u64;
        let with_gaps = |bytes: u64| bytes + bytes / 16 * layout.gaps_sixteenths;
        let count = (layout.maps_together(height * width) as u64).min(frames.saturating_mul(lanes)).max(lanes);
        let together = |phase: &Together| lanes * phase.outside.bytes(layout) + count * phase.each.bytes(layout);
        let together = self.together.iter().map(together).max().unwrap_or(0);
        let features = (lanes * most(&self.phases)).max(together) * pixels;
        let Some(upsampling) = &self.upsampling else { return with_gaps(features) };
        let side = |px: usize| (px * self.scale as usize).div_ceil(FACTOR);
        let (height, width) = (side(height), side(width));
        let strips = Strips::of(height, width);
        let strip = most(&upsampling.strip_phases) * (strips.most_seen() * width) as u64;
        // The strips' pictures wait until the last is made; then they are put together.
        let picture = PICTURE.bytes(layout) * (height * width) as u64;
        let waiting = if strips.count() > 1 { picture } else { 0 };
        let upsampled = upsampling.outside.bytes(layout) * pixels + (strip + waiting).max(2 * waiting);
        with_gaps(features.max(lanes * upsampled))
    }

    /// Bytes that each further frame of a window gives to the [`FeatureStore`](crate::FeatureStore), for each input pixel.
    #[must_use]
    pub const fn stored_bytes_per_pixel(&self, precision: Precision) -> u64 {
        self.stored_values_per_pixel * precision.bytes() as u64
    }
}
