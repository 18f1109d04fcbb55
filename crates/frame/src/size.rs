//! Width and height in pixels.

use std::fmt;

/// The width and height of a picture, in pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Size {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

impl Size {
    /// A picture of `width` × `height` pixels.
    #[must_use]
    pub const fn new(width: u32, height: u32) -> Self {
        Self { width, height }
    }

    /// Both sides multiplied by `factor`; `None` where a side would not fit in 32 bits.
    #[must_use]
    pub fn scaled(self, factor: u32) -> Option<Self> {
        Some(Self { width: self.width.checked_mul(factor)?, height: self.height.checked_mul(factor)? })
    }

    /// Pixels in the picture.
    #[must_use]
    pub const fn pixels(self) -> u64 {
        self.width as u64 * self.height as u64
    }

    /// Whether a side is zero.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.width == 0 || self.height == 0
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}
