//! The nouns of framelift: frames, pixel formats, colour, time and size.
//!
//! Plain data, shared by every other crate. Nothing here decodes, converts or computes.

mod color;
mod frame;
mod pixel_format;
mod size;
mod time;

pub use color::{ChromaLocation, ColorSpec, Matrix, Primaries, Range, Transfer};
pub use frame::{Beside, Frame, Plane};
pub use pixel_format::{ColorFamily, PixelFormat};
pub use size::Size;
pub use time::{TimeBase, Timestamp};
