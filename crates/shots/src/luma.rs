//! Small grey pictures of frames, on which cuts are looked for.

use std::num::{NonZeroU8, NonZeroUsize};
use std::sync::Arc;

use framelift_frame::{Frame, Size};
use v_frame::chroma::ChromaSubsampling;
use v_frame::frame::FrameBuilder;

/// A grey picture as the detector takes it: 8 bits a sample.
pub(crate) type Luma = v_frame::frame::Frame<u8>;

/// Sides of the grey pictures: large enough for the detector's blocks, small enough to be cheap.
const SIDE_PX: std::ops::RangeInclusive<u32> = 64..=320;

/// BT.709 weights of red, green and blue in 1/32768.
const WEIGHTS: [u32; 3] = [6966, 23436, 2366];

/// The size of the grey pictures of a film of `size`: its longer side at most 320 px, no side under 64 px.
pub(crate) fn luma_size(size: Size) -> Size {
    let longer = size.width.max(size.height).max(1);
    let fit = |side: u32| {
        let fitted = u64::from(side) * u64::from(*SIDE_PX.end()) / u64::from(longer.max(*SIDE_PX.end()));
        u32::try_from(fitted).unwrap_or(*SIDE_PX.end()).max(*SIDE_PX.start())
    };
    Size::new(fit(size.width), fit(size.height))
}

/// The grey picture of a frame: BT.709 luma of the RGB samples, each pixel the mean of those it covers. A frame
/// without pixels is black.
pub(crate) fn luma(frame: &Frame, size: Size) -> Arc<Luma> {
    let mut picture = blank(size);
    if frame.size().is_empty() {
        return Arc::new(picture);
    }
    let (columns, rows) = (spans(frame.size().width, size.width), spans(frame.size().height, size.height));
    let mut sums = vec![0u64; frame.size().width as usize];
    for (span, out) in rows.iter().zip(picture.y_plane.rows_mut()) {
        sums.fill(0);
        for y in span.clone() {
            let [red, green, blue] = frame.planes().each_ref().map(|plane| plane.row(y));
            for (sum, ((r, g), b)) in sums.iter_mut().zip(red.iter().zip(green).zip(blue)) {
                let luma = WEIGHTS[0] * u32::from(*r) + WEIGHTS[1] * u32::from(*g) + WEIGHTS[2] * u32::from(*b);
                *sum += u64::from(luma >> 15);
            }
        }
        for (column, out) in columns.iter().zip(out) {
            let total: u64 = sums[column.clone()].iter().sum();
            let covered = (column.len() * span.len()) as u64;
            // 65535 becomes 255.
            *out = u8::try_from(total / covered / 257).unwrap_or(u8::MAX);
        }
    }
    Arc::new(picture)
}

/// For each of `to` pixels in a row, the pixels of `from` it covers: at least one.
fn spans(from: u32, to: u32) -> Vec<std::ops::Range<usize>> {
    let at = |i: u32| (u64::from(i) * u64::from(from) / u64::from(to)) as usize;
    (0..to).map(|i| at(i)..at(i + 1).max(at(i) + 1)).collect()
}

/// A black picture, with the margin the detector's block search may touch.
#[expect(clippy::expect_used, reason = "grey pictures of 8 bits can be built at every size but zero")]
fn blank(size: Size) -> Luma {
    const MARGIN_PX: usize = 80;
    const BITS: NonZeroU8 = NonZeroU8::new(8).expect("eight is not zero");
    let side = |px: u32| NonZeroUsize::new(px as usize).unwrap_or(NonZeroUsize::MIN);
    FrameBuilder::new(side(size.width), side(size.height), ChromaSubsampling::Monochrome, BITS)
        .luma_padding_left(MARGIN_PX)
        .luma_padding_right(MARGIN_PX)
        .luma_padding_top(MARGIN_PX)
        .luma_padding_bottom(MARGIN_PX)
        .build()
        .expect("grey pictures of 8 bits can be built at every size")
}

#[cfg(test)]
mod tests {
    use framelift_frame::{Plane, TimeBase, Timestamp};

    use super::*;

    fn frame(size: Size, at: impl Fn(usize) -> [u16; 3]) -> Frame {
        let plane = |c: usize| Plane::new(size, (0..size.pixels() as usize).map(|i| at(i)[c]).collect()).unwrap();
        Frame::new([plane(0), plane(1), plane(2)], Timestamp::new(0, TimeBase::new(1, 25)), 1).unwrap()
    }

    #[test]
    fn every_size_has_a_grey_picture() {
        for (size, due) in [
            (Size::new(1920, 1080), Size::new(320, 180)),
            (Size::new(320, 180), Size::new(320, 180)),
            (Size::new(1, 1), Size::new(64, 64)),
            (Size::new(8, 4000), Size::new(64, 320)),
            (Size::new(97, 65), Size::new(97, 65)),
        ] {
            assert_eq!(luma_size(size), due, "{size}");
            let picture = luma(&frame(size, |_| [65535; 3]), due);
            assert!(picture.y_plane.pixels().all(|v| v == 255), "{size}");
        }
        let none = luma(&frame(Size::new(0, 5), |_| [0; 3]), Size::new(64, 64));
        assert!(none.y_plane.pixels().all(|v| v == 0));
    }

    #[test]
    fn pixels_are_means_of_bt709_luma() {
        let size = Size::new(640, 128);
        let halves = frame(size, |i| if i % 2 == 0 { [65535, 0, 0] } else { [0, 65535, 0] });
        let picture = luma(&halves, luma_size(size));
        let due = (0.2126 + 0.7152) / 2.0 * 255.0;
        assert!(picture.y_plane.pixels().all(|v| (f64::from(v) - due).abs() <= 1.0));
    }
}
