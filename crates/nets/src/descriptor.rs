//! What a model says of itself.

use framelift_engine::Precision;

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
    /// Values alive at once for each input pixel while a frame is worked on, in values (not bytes) of the working
    /// precision. Values of pictures, which are f32 in every precision, count as two.
    pub values_per_pixel: u64,
    /// What each further frame of a window keeps in memory to its end, for each input pixel, counted as
    /// `values_per_pixel`: the frame itself and its flows. 0 unless the reach is [`Reach::Window`].
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
