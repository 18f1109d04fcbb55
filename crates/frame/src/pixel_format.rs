//! How the pictures of a stream are stored.

use std::fmt;

/// What the planes of a picture hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ColorFamily {
    /// One plane of luma.
    Gray,
    /// Red, green, blue.
    Rgb,
    /// Luma and two chroma planes, perhaps subsampled.
    Yuv,
}

/// The sample layout of a stream's pictures, as far as it decides what must be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PixelFormat {
    /// What the planes hold.
    pub family: ColorFamily,
    /// Bits a sample, 1 to 16, or 32 for floating point.
    pub depth: u8,
    /// log2 of the horizontal chroma subsampling: 0 (4:4:4), 1 (4:2:2, 4:2:0), 2 (4:1:1).
    pub log2_chroma_w: u8,
    /// log2 of the vertical chroma subsampling: 0 (4:4:4, 4:2:2), 1 (4:2:0).
    pub log2_chroma_h: u8,
    /// Whether there is an alpha plane.
    pub alpha: bool,
}

impl PixelFormat {
    /// Samples of a pixel, alpha included: 1.5 in 4:2:0.
    #[must_use]
    pub fn samples_per_pixel(self) -> f64 {
        let chroma = match self.family {
            ColorFamily::Gray => 0.0,
            _ => 2.0 / f64::from(1_u32 << (self.log2_chroma_w + self.log2_chroma_h)),
        };
        1.0 + chroma + f64::from(u8::from(self.alpha))
    }

    /// The name of the chroma subsampling, such as `4:2:0`.
    #[must_use]
    pub fn subsampling(self) -> &'static str {
        match (self.family, self.log2_chroma_w, self.log2_chroma_h) {
            (ColorFamily::Gray, ..) => "gray",
            (ColorFamily::Rgb, ..) => "RGB",
            (ColorFamily::Yuv, 0, 0) => "4:4:4",
            (ColorFamily::Yuv, 1, 0) => "4:2:2",
            (ColorFamily::Yuv, 1, 1) => "4:2:0",
            (ColorFamily::Yuv, 2, 0) => "4:1:1",
            (ColorFamily::Yuv, 2, 2) => "4:1:0",
            (ColorFamily::Yuv, 0, 1) => "4:4:0",
            (ColorFamily::Yuv, ..) => "YUV",
        }
    }
}

impl fmt::Display for PixelFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} bit", self.subsampling(), self.depth)?;
        if self.alpha { f.write_str(" with alpha") } else { Ok(()) }
    }
}
