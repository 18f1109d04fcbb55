//! FFmpeg's pixel formats: what each holds, and which are planes that `zscale` converts.

use std::ffi::{c_char, c_int};

use ffmpeg_next::ffi;
use framelift_frame::{ColorFamily, PixelFormat};

use crate::raw::{c_string, text};

// The bindings type pixel formats as a Rust enum of those known when they were made; a library of a later
// version may hand out more.
unsafe extern "C" {
    fn av_pix_fmt_desc_get(format: c_int) -> *const ffi::AVPixFmtDescriptor;
    fn av_get_pix_fmt(name: *const c_char) -> c_int;
}

/// One of FFmpeg's pixel formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Format(pub(crate) i32);

impl Format {
    /// Full-range RGB in planes of 16 bits, in this machine's byte order.
    pub(crate) const GBRP16: Self = Self(if cfg!(target_endian = "big") {
        ffi::AVPixelFormat::AV_PIX_FMT_GBRP16BE as i32
    } else {
        ffi::AVPixelFormat::AV_PIX_FMT_GBRP16LE as i32
    });

    pub(crate) fn named(name: &str) -> Option<Self> {
        let name = c_string(name);
        // SAFETY: a terminated string.
        let format = unsafe { av_get_pix_fmt(name.as_ptr()) };
        (format >= 0).then_some(Self(format))
    }

    pub(crate) fn descriptor(self) -> Option<&'static ffi::AVPixFmtDescriptor> {
        // SAFETY: any number may be asked for; descriptors are static.
        unsafe { av_pix_fmt_desc_get(self.0).as_ref() }
    }

    pub(crate) fn name(self) -> String {
        match self.descriptor() {
            // SAFETY: names of descriptors are static strings.
            Some(descriptor) => unsafe { text(descriptor.name) },
            None => format!("unknown ({})", self.0),
        }
    }

    pub(crate) fn has(self, flag: i32) -> bool {
        self.descriptor().is_some_and(|d| d.flags & flag as u64 != 0)
    }

    /// Colours by number in a table beside the picture.
    pub(crate) fn is_palette(self) -> bool {
        self.has(ffi::AV_PIX_FMT_FLAG_PAL)
    }

    pub(crate) fn is_float(self) -> bool {
        self.has(ffi::AV_PIX_FMT_FLAG_FLOAT)
    }

    /// Old names of full-range formats.
    pub(crate) fn is_full_range_yuv(self) -> bool {
        self.name().starts_with("yuvj")
    }

    /// Whether 0 is white.
    pub(crate) fn counts_from_white(self) -> bool {
        self.name() == "monow"
    }

    /// What the format holds; `None` for those that are not pictures of gray, RGB or YUV samples in memory.
    pub(crate) fn layout(self) -> Option<PixelFormat> {
        let d = self.descriptor()?;
        let name = self.name();
        let odd = ffi::AV_PIX_FMT_FLAG_HWACCEL | ffi::AV_PIX_FMT_FLAG_BAYER;
        // Luma of uyyvyy411 has no even step, which descriptors cannot say.
        if d.flags & odd as u64 != 0 || name.starts_with("xyz") || name == "uyyvyy411" || d.nb_components == 0 {
            return None;
        }
        let alpha = d.flags & ffi::AV_PIX_FMT_FLAG_ALPHA as u64 != 0;
        let family = if self.is_palette() || d.flags & ffi::AV_PIX_FMT_FLAG_RGB as u64 != 0 {
            ColorFamily::Rgb
        } else if d.nb_components <= 2 {
            ColorFamily::Gray
        } else {
            ColorFamily::Yuv
        };
        let depth = if self.is_palette() {
            8
        } else {
            let colors = usize::from(d.nb_components) - usize::from(alpha);
            d.comp[..colors.max(1)].iter().map(|c| c.depth).max().unwrap_or(8)
        };
        Some(PixelFormat {
            family,
            depth: u8::try_from(depth).ok()?,
            log2_chroma_w: if family == ColorFamily::Yuv { d.log2_chroma_w } else { 0 },
            log2_chroma_h: if family == ColorFamily::Yuv { d.log2_chroma_h } else { 0 },
            alpha,
        })
    }

    /// The planar format of this machine's byte order, without alpha, that holds the same samples and that
    /// `zscale` converts.
    pub(crate) fn planar(self) -> Option<Self> {
        Self::planar_of(self.layout()?)
    }

    /// As [`Self::planar`], of a layout. Gray has none: `zscale` does not convert it.
    pub(crate) fn planar_of(layout: PixelFormat) -> Option<Self> {
        let depth = layout.depth;
        if !ZSCALE_DEPTHS.contains(&depth) {
            return None;
        }
        let base = match (layout.family, layout.log2_chroma_w, layout.log2_chroma_h) {
            (ColorFamily::Rgb, ..) => "gbrp",
            (ColorFamily::Yuv, 0, 0) => "yuv444p",
            (ColorFamily::Yuv, 1, 0) => "yuv422p",
            (ColorFamily::Yuv, 1, 1) => "yuv420p",
            (ColorFamily::Yuv, 2, 0) if depth == 8 => "yuv411p",
            (ColorFamily::Yuv, 2, 2) if depth == 8 => "yuv410p",
            (ColorFamily::Yuv, 0, 1) if depth == 8 => "yuv440p",
            _ => return None,
        };
        if depth == 8 {
            Self::named(base)
        } else {
            Self::named(&format!("{base}{depth}{}", if cfg!(target_endian = "big") { "be" } else { "le" }))
        }
    }
}

/// Depths of which `zscale` knows planar formats.
const ZSCALE_DEPTHS: [u8; 6] = [8, 9, 10, 12, 14, 16];

#[cfg(test)]
mod tests {
    use super::*;

    fn planar(name: &str) -> Option<String> {
        Format::named(name).unwrap().planar().map(Format::name)
    }

    #[test]
    fn every_layout_has_its_planes() {
        assert_eq!(planar("nv12").as_deref(), Some("yuv420p"));
        assert_eq!(planar("p010le").as_deref(), Some("yuv420p10le"));
        assert_eq!(planar("p016be").as_deref(), Some("yuv420p16le"));
        assert_eq!(planar("yuyv422").as_deref(), Some("yuv422p"));
        assert_eq!(planar("yuvj444p").as_deref(), Some("yuv444p"));
        assert_eq!(planar("yuva420p10le").as_deref(), Some("yuv420p10le"));
        assert_eq!(planar("bgra").as_deref(), Some("gbrp"));
        assert_eq!(planar("rgb48be").as_deref(), Some("gbrp16le"));
        assert_eq!(planar("pal8").as_deref(), Some("gbrp"));
        assert_eq!(planar("gray"), None);
        assert_eq!(planar("yuv440p10le"), None);
    }

    #[test]
    fn only_samples_in_memory_have_a_layout() {
        for name in ["vaapi", "bayer_bggr8", "xyz12le"] {
            assert_eq!(Format::named(name).unwrap().layout(), None, "{name}");
        }
        let gray = Format::named("gray10le").unwrap().layout().unwrap();
        assert_eq!((gray.family, gray.depth), (ColorFamily::Gray, 10));
        assert_eq!(Format::named("bgr0").unwrap().layout().unwrap().depth, 8);
        assert!(Format::named("ya8").unwrap().layout().unwrap().alpha);
    }
}
