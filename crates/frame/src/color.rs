//! What the numbers of a picture mean: matrix, range, primaries, transfer and chroma siting.
//!
//! Discriminants are the code points of ITU-T H.273, which containers, codecs and FFmpeg share.

use std::fmt;

/// Matrix coefficients from RGB to YUV (ITU-T H.273, table 4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Matrix {
    /// No matrix: the planes are RGB.
    Rgb = 0,
    /// BT.709.
    Bt709 = 1,
    /// Not stated.
    #[default]
    Unspecified = 2,
    /// FCC 73.682.
    Fcc = 4,
    /// BT.601, 625 lines.
    Bt470Bg = 5,
    /// BT.601, 525 lines (the same numbers).
    Smpte170M = 6,
    /// SMPTE 240M.
    Smpte240M = 7,
    /// YCgCo.
    YCgCo = 8,
    /// BT.2020, non-constant luminance.
    Bt2020Ncl = 9,
    /// BT.2020, constant luminance.
    Bt2020Cl = 10,
    /// BT.2100 ICtCp.
    ICtCp = 14,
}

impl Matrix {
    /// The H.273 code point.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The value of an H.273 code point; `None` for reserved ones.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            0 => Self::Rgb,
            1 => Self::Bt709,
            2 => Self::Unspecified,
            4 => Self::Fcc,
            5 => Self::Bt470Bg,
            6 => Self::Smpte170M,
            7 => Self::Smpte240M,
            8 => Self::YCgCo,
            9 => Self::Bt2020Ncl,
            10 => Self::Bt2020Cl,
            14 => Self::ICtCp,
            _ => return None,
        })
    }

    /// The name FFmpeg's tools use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rgb => "gbr",
            Self::Bt709 => "bt709",
            Self::Unspecified => "unspecified",
            Self::Fcc => "fcc",
            Self::Bt470Bg => "bt470bg",
            Self::Smpte170M => "smpte170m",
            Self::Smpte240M => "smpte240m",
            Self::YCgCo => "ycgco",
            Self::Bt2020Ncl => "bt2020nc",
            Self::Bt2020Cl => "bt2020c",
            Self::ICtCp => "ictcp",
        }
    }
}

impl fmt::Display for Matrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Colour primaries (ITU-T H.273, table 2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Primaries {
    /// BT.709, sRGB.
    Bt709 = 1,
    /// Not stated.
    #[default]
    Unspecified = 2,
    /// BT.470 system M.
    Bt470M = 4,
    /// BT.601, 625 lines.
    Bt470Bg = 5,
    /// BT.601, 525 lines.
    Smpte170M = 6,
    /// SMPTE 240M.
    Smpte240M = 7,
    /// Generic film.
    Film = 8,
    /// BT.2020.
    Bt2020 = 9,
    /// CIE 1931 XYZ.
    Smpte428 = 10,
    /// DCI P3.
    Smpte431 = 11,
    /// Display P3.
    Smpte432 = 12,
    /// EBU 3213-E.
    Ebu3213 = 22,
}

impl Primaries {
    /// The H.273 code point.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The value of an H.273 code point; `None` for reserved ones.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            1 => Self::Bt709,
            2 => Self::Unspecified,
            4 => Self::Bt470M,
            5 => Self::Bt470Bg,
            6 => Self::Smpte170M,
            7 => Self::Smpte240M,
            8 => Self::Film,
            9 => Self::Bt2020,
            10 => Self::Smpte428,
            11 => Self::Smpte431,
            12 => Self::Smpte432,
            22 => Self::Ebu3213,
            _ => return None,
        })
    }

    /// The name FFmpeg's tools use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bt709 => "bt709",
            Self::Unspecified => "unspecified",
            Self::Bt470M => "bt470m",
            Self::Bt470Bg => "bt470bg",
            Self::Smpte170M => "smpte170m",
            Self::Smpte240M => "smpte240m",
            Self::Film => "film",
            Self::Bt2020 => "bt2020",
            Self::Smpte428 => "smpte428",
            Self::Smpte431 => "smpte431",
            Self::Smpte432 => "smpte432",
            Self::Ebu3213 => "jedec-p22",
        }
    }
}

impl fmt::Display for Primaries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Transfer characteristics (ITU-T H.273, table 3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Transfer {
    /// BT.709.
    Bt709 = 1,
    /// Not stated.
    #[default]
    Unspecified = 2,
    /// Gamma 2.2.
    Gamma22 = 4,
    /// Gamma 2.8.
    Gamma28 = 5,
    /// BT.601.
    Smpte170M = 6,
    /// SMPTE 240M.
    Smpte240M = 7,
    /// Linear light.
    Linear = 8,
    /// Logarithmic, 100:1.
    Log100 = 9,
    /// Logarithmic, 316:1.
    Log316 = 10,
    /// xvYCC.
    Xvycc = 11,
    /// BT.1361 extended.
    Bt1361 = 12,
    /// sRGB.
    Srgb = 13,
    /// BT.2020, 10 bit.
    Bt2020Ten = 14,
    /// BT.2020, 12 bit.
    Bt2020Twelve = 15,
    /// PQ (SMPTE ST 2084).
    Pq = 16,
    /// SMPTE ST 428-1.
    Smpte428 = 17,
    /// Hybrid log-gamma.
    Hlg = 18,
}

impl Transfer {
    /// The H.273 code point.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The value of an H.273 code point; `None` for reserved ones.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            1 => Self::Bt709,
            2 => Self::Unspecified,
            4 => Self::Gamma22,
            5 => Self::Gamma28,
            6 => Self::Smpte170M,
            7 => Self::Smpte240M,
            8 => Self::Linear,
            9 => Self::Log100,
            10 => Self::Log316,
            11 => Self::Xvycc,
            12 => Self::Bt1361,
            13 => Self::Srgb,
            14 => Self::Bt2020Ten,
            15 => Self::Bt2020Twelve,
            16 => Self::Pq,
            17 => Self::Smpte428,
            18 => Self::Hlg,
            _ => return None,
        })
    }

    /// The name FFmpeg's tools use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bt709 => "bt709",
            Self::Unspecified => "unspecified",
            Self::Gamma22 => "bt470m",
            Self::Gamma28 => "bt470bg",
            Self::Smpte170M => "smpte170m",
            Self::Smpte240M => "smpte240m",
            Self::Linear => "linear",
            Self::Log100 => "log100",
            Self::Log316 => "log316",
            Self::Xvycc => "iec61966-2-4",
            Self::Bt1361 => "bt1361e",
            Self::Srgb => "iec61966-2-1",
            Self::Bt2020Ten => "bt2020-10",
            Self::Bt2020Twelve => "bt2020-12",
            Self::Pq => "smpte2084",
            Self::Smpte428 => "smpte428",
            Self::Hlg => "arib-std-b67",
        }
    }
}

impl fmt::Display for Transfer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The range of code values that black to white takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Range {
    /// Not stated.
    #[default]
    Unspecified,
    /// 16 to 235 (luma) and 16 to 240 (chroma) at 8 bit; "tv", "mpeg".
    Limited,
    /// 0 to the largest code value; "pc", "jpeg".
    Full,
}

/// Where the chroma samples of subsampled pictures sit, relative to luma.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ChromaLocation {
    /// Not stated.
    #[default]
    Unspecified,
    /// Left column, between two rows: MPEG-2, H.264 and H.265 by default.
    Left,
    /// Between columns and between rows: MPEG-1, JPEG.
    Center,
    /// Left column, upper row: BT.2020, UHD Blu-ray.
    TopLeft,
    /// Between columns, upper row.
    Top,
    /// Left column, lower row.
    BottomLeft,
    /// Between columns, lower row.
    Bottom,
}

/// What a stream says of its colours. `Unspecified` where it says nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ColorSpec {
    /// Matrix coefficients.
    pub matrix: Matrix,
    /// Range of code values.
    pub range: Range,
    /// Colour primaries.
    pub primaries: Primaries,
    /// Transfer characteristics.
    pub transfer: Transfer,
    /// Chroma siting.
    pub chroma_location: ChromaLocation,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_points_round_trip() {
        for code in 0..=255 {
            assert!(Matrix::from_code(code).is_none_or(|m| m.code() == code));
            assert!(Primaries::from_code(code).is_none_or(|p| p.code() == code));
            assert!(Transfer::from_code(code).is_none_or(|t| t.code() == code));
        }
        assert_eq!(Matrix::from_code(9), Some(Matrix::Bt2020Ncl));
        assert_eq!(Transfer::from_code(3), None);
    }
}
