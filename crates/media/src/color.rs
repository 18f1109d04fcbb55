//! What a stream says of its colours, and what is assumed where it says nothing.
//!
//! Assumptions follow what players do: pictures of 1280 columns or more, or of more than 576 rows, are BT.709;
//! of 576 or 288 rows BT.601 for 625 lines, and all others BT.601 for 525 lines. Code points are those of ITU-T H.273.

use ffmpeg_next::ffi;
use framelift_frame::{ChromaLocation, ColorFamily, ColorSpec, Matrix, PixelFormat, Primaries, Range, Size, Transfer};

/// The five fields of FFmpeg's structures that speak of colour, as numbers: streams may hold any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Codes {
    pub(crate) matrix: i32,
    pub(crate) range: i32,
    pub(crate) primaries: i32,
    pub(crate) transfer: i32,
    pub(crate) chroma_location: i32,
}

/// Reads the fields of a frame, a codec context or codec parameters as numbers.
macro_rules! color_codes {
    ($from:expr, $matrix:ident, $chroma:ident) => {{
        let from = $from;
        // SAFETY: the fields are C enums in a valid structure, and any bits make an i32.
        unsafe {
            $crate::color::Codes {
                matrix: (&raw const from.$matrix).cast::<i32>().read(),
                range: (&raw const from.color_range).cast::<i32>().read(),
                primaries: (&raw const from.color_primaries).cast::<i32>().read(),
                transfer: (&raw const from.color_trc).cast::<i32>().read(),
                chroma_location: (&raw const from.$chroma).cast::<i32>().read(),
            }
        }
    }};
}

/// Writes the fields of a frame or a codec context as numbers.
macro_rules! set_color_codes {
    ($to:expr, $spec:expr, $chroma:ident) => {{
        let to = $to;
        let codes = $crate::color::Codes::of(&$spec);
        // SAFETY: the fields are C enums in a valid structure; `Codes::of` gives only values they have.
        unsafe {
            (&raw mut to.colorspace).cast::<i32>().write(codes.matrix);
            (&raw mut to.color_range).cast::<i32>().write(codes.range);
            (&raw mut to.color_primaries).cast::<i32>().write(codes.primaries);
            (&raw mut to.color_trc).cast::<i32>().write(codes.transfer);
            (&raw mut to.$chroma).cast::<i32>().write(codes.chroma_location);
        }
    }};
}

pub(crate) use {color_codes, set_color_codes};

impl Codes {
    pub(crate) fn of(spec: &ColorSpec) -> Self {
        Self {
            matrix: i32::from(spec.matrix.code()),
            range: match spec.range {
                Range::Unspecified => 0,
                Range::Limited => 1,
                Range::Full => 2,
            },
            primaries: i32::from(spec.primaries.code()),
            transfer: i32::from(spec.transfer.code()),
            chroma_location: match spec.chroma_location {
                ChromaLocation::Unspecified => 0,
                ChromaLocation::Left => 1,
                ChromaLocation::Center => 2,
                ChromaLocation::TopLeft => 3,
                ChromaLocation::Top => 4,
                ChromaLocation::BottomLeft => 5,
                ChromaLocation::Bottom => 6,
            },
        }
    }

    /// What the numbers mean; those that mean nothing count as not stated.
    pub(crate) fn spec(self) -> ColorSpec {
        fn code<T: Default>(value: i32, from: impl Fn(u8) -> Option<T>) -> T {
            u8::try_from(value).ok().and_then(from).unwrap_or_default()
        }
        ColorSpec {
            matrix: code(self.matrix, Matrix::from_code),
            range: match self.range {
                1 => Range::Limited,
                2 => Range::Full,
                _ => Range::Unspecified,
            },
            primaries: code(self.primaries, Primaries::from_code),
            transfer: code(self.transfer, Transfer::from_code),
            chroma_location: match self.chroma_location {
                1 => ChromaLocation::Left,
                2 => ChromaLocation::Center,
                3 => ChromaLocation::TopLeft,
                4 => ChromaLocation::Top,
                5 => ChromaLocation::BottomLeft,
                6 => ChromaLocation::Bottom,
                _ => ChromaLocation::Unspecified,
            },
        }
    }
}

/// `first`, with what it leaves open taken from `second`.
pub(crate) fn merge(first: ColorSpec, second: ColorSpec) -> ColorSpec {
    fn pick<T: Default + PartialEq>(a: T, b: T) -> T {
        if a == T::default() { b } else { a }
    }
    ColorSpec {
        matrix: pick(first.matrix, second.matrix),
        range: pick(first.range, second.range),
        primaries: pick(first.primaries, second.primaries),
        transfer: pick(first.transfer, second.transfer),
        chroma_location: pick(first.chroma_location, second.chroma_location),
    }
}

/// What must be known of a stream to fill in what it does not say of its colours.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context {
    /// Its pictures' size.
    pub(crate) size: Size,
    /// Their layout.
    pub(crate) layout: PixelFormat,
    /// Whether the pixel format is one of the old full-range names, or gray of a codec that means it so.
    pub(crate) full_range: bool,
    /// Whether the codec puts chroma between the columns when it says nothing (JPEG).
    pub(crate) centered_chroma: bool,
}

/// Every field of `stated` with a value, and the words for those that had to be assumed.
pub(crate) fn resolve(stated: ColorSpec, context: Context) -> (ColorSpec, Vec<String>) {
    let mut spec = stated;
    let mut assumed = Vec::new();
    let subsampled = context.layout.log2_chroma_w > 0 || context.layout.log2_chroma_h > 0;
    match context.layout.family {
        ColorFamily::Rgb => {
            spec.matrix = Matrix::Rgb;
            if spec.range == Range::Unspecified {
                spec.range = Range::Full;
            }
            if spec.primaries == Primaries::Unspecified {
                spec.primaries = Primaries::Bt709;
            }
            if spec.transfer == Transfer::Unspecified {
                spec.transfer = Transfer::Srgb;
            }
        }
        ColorFamily::Gray | ColorFamily::Yuv => {
            // YUV pictures cannot have the matrix "RGB": a wrong tag counts as none.
            if matches!(spec.matrix, Matrix::Unspecified | Matrix::Rgb) {
                spec.matrix = matrix_by_size(context.size);
                assumed.push(format!("matrix {}", spec.matrix));
            }
            let (primaries, transfer) = companions(spec.matrix);
            if spec.primaries == Primaries::Unspecified {
                spec.primaries = primaries;
                assumed.push(format!("primaries {primaries}"));
            }
            if spec.transfer == Transfer::Unspecified {
                spec.transfer = transfer;
                assumed.push(format!("transfer {transfer}"));
            }
            if context.full_range {
                spec.range = Range::Full;
            } else if spec.range == Range::Unspecified {
                spec.range = Range::Limited;
                assumed.push("limited range".to_owned());
            }
        }
    }
    if !subsampled {
        spec.chroma_location = ChromaLocation::Unspecified;
    } else if spec.chroma_location == ChromaLocation::Unspecified {
        spec.chroma_location = if context.centered_chroma { ChromaLocation::Center } else { ChromaLocation::Left };
        assumed.push(if context.centered_chroma { "chroma center" } else { "chroma left" }.to_owned());
    }
    (spec, assumed)
}

fn matrix_by_size(size: Size) -> Matrix {
    if size.width >= 1280 || size.height > 576 {
        Matrix::Bt709
    } else if matches!(size.height, 576 | 288) {
        Matrix::Bt470Bg
    } else {
        Matrix::Smpte170M
    }
}

/// The primaries and transfer that standards pair with a matrix.
fn companions(matrix: Matrix) -> (Primaries, Transfer) {
    match matrix {
        Matrix::Bt470Bg => (Primaries::Bt470Bg, Transfer::Smpte170M),
        Matrix::Smpte170M | Matrix::Fcc => (Primaries::Smpte170M, Transfer::Smpte170M),
        Matrix::Smpte240M => (Primaries::Smpte240M, Transfer::Smpte240M),
        Matrix::Bt2020Ncl | Matrix::Bt2020Cl => (Primaries::Bt2020, Transfer::Bt2020Ten),
        Matrix::ICtCp => (Primaries::Bt2020, Transfer::Pq),
        Matrix::Rgb | Matrix::Bt709 | Matrix::Unspecified | Matrix::YCgCo => (Primaries::Bt709, Transfer::Bt709),
    }
}

/// `zscale`'s word for a range.
pub(crate) const fn zscale_range(range: Range) -> &'static str {
    match range {
        Range::Full => "full",
        Range::Limited | Range::Unspecified => "limited",
    }
}

/// `zscale`'s word for a chroma location.
pub(crate) const fn zscale_chroma(location: ChromaLocation) -> &'static str {
    match location {
        ChromaLocation::Left | ChromaLocation::Unspecified => "left",
        ChromaLocation::Center => "center",
        ChromaLocation::TopLeft => "topleft",
        ChromaLocation::Top => "top",
        ChromaLocation::BottomLeft => "bottomleft",
        ChromaLocation::Bottom => "bottom",
    }
}

/// `zscale`'s words for primaries and transfer on both sides of a conversion.
///
/// Only BT.2020 constant luminance and ICtCp need the true ones, for their matrices work on other than
/// gamma-coded RGB. For all others equal words on both sides keep the samples' own transfer.
pub(crate) fn zscale_light(spec: &ColorSpec) -> (&'static str, &'static str) {
    match spec.matrix {
        Matrix::Bt2020Cl | Matrix::ICtCp => {
            let transfer = match spec.transfer {
                Transfer::Pq => "smpte2084",
                Transfer::Hlg => "arib-std-b67",
                Transfer::Bt2020Twelve => "2020_12",
                _ => "2020_10",
            };
            ("2020", transfer)
        }
        _ => ("709", "709"),
    }
}

/// Whether gray samples of a codec that say nothing of their range use all of it: FFmpeg's convention, except for
/// codecs of film whose gray is luma.
pub(crate) fn gray_is_full_range(id: ffi::AVCodecID) -> bool {
    use ffi::AVCodecID as Id;
    !matches!(
        id,
        Id::AV_CODEC_ID_H264
            | Id::AV_CODEC_ID_HEVC
            | Id::AV_CODEC_ID_AV1
            | Id::AV_CODEC_ID_VP8
            | Id::AV_CODEC_ID_VP9
            | Id::AV_CODEC_ID_MPEG1VIDEO
            | Id::AV_CODEC_ID_MPEG2VIDEO
            | Id::AV_CODEC_ID_MPEG4
            | Id::AV_CODEC_ID_DIRAC
            | Id::AV_CODEC_ID_PRORES
            | Id::AV_CODEC_ID_DNXHD
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(width: u32, height: u32, family: ColorFamily) -> Context {
        let sub = u8::from(family == ColorFamily::Yuv);
        Context {
            size: Size::new(width, height),
            layout: PixelFormat { family, depth: 8, log2_chroma_w: sub, log2_chroma_h: sub, alpha: false },
            full_range: false,
            centered_chroma: false,
        }
    }

    #[test]
    fn unstated_colours_go_by_size() {
        for (width, height, matrix) in [
            (1280, 534, Matrix::Bt709),
            (720, 578, Matrix::Bt709),
            (1024, 576, Matrix::Bt470Bg),
            (352, 288, Matrix::Bt470Bg),
            (720, 480, Matrix::Smpte170M),
            (640, 360, Matrix::Smpte170M),
        ] {
            let (spec, assumed) = resolve(ColorSpec::default(), context(width, height, ColorFamily::Yuv));
            assert_eq!(spec.matrix, matrix, "{width}x{height}");
            assert_eq!((spec.range, spec.chroma_location), (Range::Limited, ChromaLocation::Left));
            assert_eq!(assumed.len(), 5);
        }
    }

    #[test]
    fn what_is_stated_stays() {
        let stated = ColorSpec {
            matrix: Matrix::Bt2020Ncl,
            range: Range::Full,
            primaries: Primaries::Bt2020,
            transfer: Transfer::Pq,
            chroma_location: ChromaLocation::TopLeft,
        };
        assert_eq!(resolve(stated, context(640, 360, ColorFamily::Yuv)), (stated, Vec::new()));
    }

    #[test]
    fn a_matrix_brings_its_companions() {
        let stated = ColorSpec { matrix: Matrix::Bt2020Ncl, ..ColorSpec::default() };
        let (spec, _) = resolve(stated, context(640, 360, ColorFamily::Yuv));
        assert_eq!((spec.primaries, spec.transfer), (Primaries::Bt2020, Transfer::Bt2020Ten));
    }

    #[test]
    fn rgb_is_srgb_without_a_word() {
        let (spec, assumed) = resolve(ColorSpec::default(), context(640, 360, ColorFamily::Rgb));
        assert_eq!((spec.matrix, spec.range, spec.transfer), (Matrix::Rgb, Range::Full, Transfer::Srgb));
        assert!(assumed.is_empty());
    }

    #[test]
    fn numbers_and_meanings_are_inverse() {
        let (spec, _) = resolve(ColorSpec::default(), context(640, 360, ColorFamily::Yuv));
        assert_eq!(Codes::of(&spec).spec(), spec);
        let nonsense = Codes { matrix: 99, range: -3, primaries: 0, transfer: 400, chroma_location: 12 };
        assert_eq!(nonsense.spec(), ColorSpec::default());
    }
}
