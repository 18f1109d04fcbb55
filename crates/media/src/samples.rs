//! Samples in and out of FFmpeg's pictures, whatever their layout, without changing a value.
//!
//! FFmpeg's descriptors say where each component of a pixel lies: plane, step, offset, shift and depth.

use std::ffi::{c_int, c_void};

use ffmpeg_next::ffi;
use framelift_frame::{ColorFamily, Size};

use crate::MediaError;
use crate::pixel::Format;
use crate::raw::Frame;

/// A component of a pixel format as FFmpeg describes it, in one picture.
struct Component {
    index: usize,
    plane: usize,
    step: usize,
    offset: usize,
    shift: u32,
    mask: u32,
    access: Access,
}

/// How a sample is read and written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    /// In one byte.
    Byte,
    /// In two bytes, the lower first.
    LittleWord,
    /// In two bytes, the upper first.
    BigWord,
    /// By FFmpeg's own slow functions: bits and samples across words; or through a palette.
    Slow,
}

impl Component {
    fn of(format: Format, index: usize) -> Option<Self> {
        let d = format.descriptor()?;
        let c = d.comp.get(index).filter(|_| index < usize::from(d.nb_components))?;
        let slow = ffi::AV_PIX_FMT_FLAG_BITSTREAM | ffi::AV_PIX_FMT_FLAG_PAL | ffi::AV_PIX_FMT_FLAG_FLOAT;
        let bits = c.shift + c.depth;
        let big = d.flags & ffi::AV_PIX_FMT_FLAG_BE as u64 != 0;
        let access = if d.flags & slow as u64 != 0 || bits > 16 {
            Access::Slow
        } else if bits <= 8 {
            Access::Byte
        } else if big {
            Access::BigWord
        } else {
            Access::LittleWord
        };
        Some(Self {
            index,
            plane: usize::try_from(c.plane).ok()?,
            step: usize::try_from(c.step).ok()?,
            // Of a big-endian word, what lies in one byte is counted from the byte before it.
            offset: usize::try_from(c.offset + i32::from(access == Access::Byte && big)).ok()?,
            shift: u32::try_from(c.shift).ok()?,
            mask: ((1u64 << c.depth) - 1) as u32,
            access,
        })
    }

    /// Bytes of a row that hold `width` samples.
    fn row_bytes(&self, width: usize) -> usize {
        let sample_bytes = if self.access == Access::Byte { 1 } else { 2 };
        (width - 1) * self.step + self.offset + sample_bytes
    }
}

/// Columns and rows of component `index` in a picture of `width` × `height`.
pub(crate) fn component_size(format: Format, index: usize, width: usize, height: usize) -> (usize, usize) {
    let chroma = matches!(index, 1 | 2) && format.layout().is_some_and(|l| l.family == ColorFamily::Yuv);
    match format.descriptor() {
        Some(d) if chroma => (
            (width + (1 << d.log2_chroma_w) - 1) >> d.log2_chroma_w,
            (height + (1 << d.log2_chroma_h) - 1) >> d.log2_chroma_h,
        ),
        _ => (width, height),
    }
}

unsafe extern "C" {
    fn av_read_image_line2(
        to: *mut c_void,
        data: *const *const u8,
        row_bytes: *const c_int,
        descriptor: *const ffi::AVPixFmtDescriptor,
        x: c_int,
        y: c_int,
        component: c_int,
        width: c_int,
        through_palette: c_int,
        element_bytes: c_int,
    );
    fn av_write_image_line2(
        from: *const c_void,
        data: *const *mut u8,
        row_bytes: *const c_int,
        descriptor: *const ffi::AVPixFmtDescriptor,
        x: c_int,
        y: c_int,
        component: c_int,
        width: c_int,
        element_bytes: c_int,
    );
}

/// Reads rows of one component of a picture.
pub(crate) struct Reader<'a> {
    frame: &'a Frame,
    component: Component,
    width: usize,
    height: usize,
}

impl<'a> Reader<'a> {
    /// `None` where the picture's format has no such component.
    pub(crate) fn new(frame: &'a Frame, index: usize) -> Option<Self> {
        let raw = frame.get();
        let format = Format(raw.format);
        let mut component = Component::of(format, if format.is_palette() { 0 } else { index })?;
        component.index = index;
        let (width, height) = (usize::try_from(raw.width).ok()?, usize::try_from(raw.height).ok()?);
        let (width, height) = component_size(format, index, width, height);
        (width > 0 && height > 0 && !raw.data[component.plane].is_null()).then_some(Self {
            frame,
            component,
            width,
            height,
        })
    }

    pub(crate) fn height(&self) -> usize {
        self.height
    }

    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// The samples of row `y`, each through `map`, into `row`.
    pub(crate) fn row(&self, y: usize, row: &mut [u16], map: impl Fn(u16) -> u16) {
        assert!(y < self.height && row.len() == self.width, "row {y} of {}", self.height);
        let c = &self.component;
        if c.access == Access::Slow {
            self.slow_row(y, row);
            row.iter_mut().for_each(|sample| *sample = map(*sample));
            return;
        }
        // SAFETY: the row is one of the component's, and its samples end within the row.
        let bytes = unsafe { self.frame.row(c.plane, y, c.row_bytes(self.width)) };
        let bytes = &bytes[c.offset..];
        let keep = |word: u32| map(((word >> c.shift) & c.mask) as u16);
        match (c.access, c.step) {
            (Access::Byte, 1) => row.iter_mut().zip(bytes).for_each(|(s, &b)| *s = keep(u32::from(b))),
            (Access::Byte, step) => {
                row.iter_mut().zip(bytes.chunks(step)).for_each(|(s, b)| *s = keep(u32::from(b[0])));
            }
            (Access::BigWord, step) => row
                .iter_mut()
                .zip(bytes.chunks(step))
                .for_each(|(s, b)| *s = keep(u32::from(u16::from_be_bytes([b[0], b[1]])))),
            (_, step) => row
                .iter_mut()
                .zip(bytes.chunks(step))
                .for_each(|(s, b)| *s = keep(u32::from(u16::from_le_bytes([b[0], b[1]])))),
        }
    }

    fn slow_row(&self, y: usize, row: &mut [u16]) {
        let raw = self.frame.get();
        let Some(descriptor) = Format(raw.format).descriptor() else { return };
        if descriptor.flags & ffi::AV_PIX_FMT_FLAG_PAL as u64 != 0 {
            self.palette_row(y, row);
            return;
        }
        let data: [*const u8; 4] = std::array::from_fn(|i| raw.data[i].cast_const());
        // SAFETY: the picture has this row and width, and `row` has room for the width in elements of two bytes.
        unsafe {
            av_read_image_line2(
                row.as_mut_ptr().cast(),
                data.as_ptr(),
                raw.linesize.as_ptr(),
                descriptor,
                0,
                y as c_int,
                self.component.index as c_int,
                row.len() as c_int,
                0,
                2,
            );
        }
    }

    /// The second plane holds 256 colours, each a number 0xAARRGGBB; the first says by a byte which one a pixel has.
    fn palette_row(&self, y: usize, row: &mut [u16]) {
        const PALETTE_BYTES: usize = 256 * 4;
        // SAFETY: the row has a byte a pixel, and the palette its fixed size.
        let (numbers, palette) = unsafe { (self.frame.row(0, y, row.len()), self.frame.row(1, 0, PALETTE_BYTES)) };
        let (colors, _) = palette.as_chunks::<4>();
        let shift = [16, 8, 0, 24][self.component.index.min(3)];
        for (sample, &number) in row.iter_mut().zip(numbers) {
            *sample = ((u32::from_ne_bytes(colors[usize::from(number)]) >> shift) & 0xff) as u16;
        }
    }

    /// Row `y` of floating-point samples, 0 to 1, as 0 to 65535.
    pub(crate) fn float_row(&self, y: usize, row: &mut [u16]) {
        assert!(y < self.height && row.len() == self.width, "row {y} of {}", self.height);
        let c = &self.component;
        let big = Format(self.frame.get().format).has(ffi::AV_PIX_FMT_FLAG_BE);
        // SAFETY: the row is one of the component's; samples are four bytes wide.
        let bytes = unsafe { self.frame.row(c.plane, y, (self.width - 1) * c.step + c.offset + 4) };
        for (sample, b) in row.iter_mut().zip(bytes[c.offset..].chunks(c.step)) {
            let b = [b[0], b[1], b[2], b[3]];
            let value = if big { f32::from_be_bytes(b) } else { f32::from_le_bytes(b) };
            // Not-a-number becomes 0.
            *sample = (value.clamp(0.0, 1.0) * 65535.0 + 0.5) as u16;
        }
    }
}

/// Writes row `y` of component `index` of a picture.
///
/// The picture's buffers must have no other owner; `row` must be as wide as the component.
pub(crate) fn write_row(frame: &mut Frame, index: usize, y: usize, row: &[u16]) {
    let format = Format(frame.get().format);
    let (width, height) = (frame.get().width.max(0) as usize, frame.get().height.max(0) as usize);
    let (width, height) = component_size(format, index, width, height);
    assert!(y < height && row.len() == width && width > 0, "row {y} of {height}");
    let Some(c) = Component::of(format, index) else { return };
    if c.access == Access::Slow {
        let raw = frame.get();
        let Some(descriptor) = format.descriptor() else { return };
        // SAFETY: the picture has this row and width, and `row` as many elements of two bytes.
        unsafe {
            av_write_image_line2(
                row.as_ptr().cast(),
                raw.data.as_ptr(),
                raw.linesize.as_ptr(),
                descriptor,
                0,
                y as c_int,
                index as c_int,
                width as c_int,
                2,
            );
        }
        return;
    }
    // SAFETY: the row is one of the component's, its samples end within it, and the caller owns the buffers.
    let bytes = unsafe { frame.row_mut(c.plane, y, c.row_bytes(width)) };
    let bytes = &mut bytes[c.offset..];
    match (c.access, c.step) {
        (Access::Byte, step) => {
            bytes.chunks_mut(step).zip(row).for_each(|(b, &s)| b[0] = (u32::from(s) << c.shift) as u8);
        }
        (Access::BigWord, step) => bytes.chunks_mut(step).zip(row).for_each(|(b, &s)| {
            b[..2].copy_from_slice(&((u32::from(s) << c.shift) as u16).to_be_bytes());
        }),
        (_, step) => bytes.chunks_mut(step).zip(row).for_each(|(b, &s)| {
            b[..2].copy_from_slice(&((u32::from(s) << c.shift) as u16).to_le_bytes());
        }),
    }
}

/// The same samples in another layout of the same family and subsampling; alpha is left behind, and opaque
/// where `format` has it and `source` has not.
pub(crate) fn repack(source: &Frame, format: Format) -> Result<Frame, MediaError> {
    let raw = source.get();
    let mut target = Frame::with_buffer(format.0, raw.width, raw.height)?;
    let components = format.descriptor().map_or(0, |d| usize::from(d.nb_components));
    for index in 0..components {
        match Reader::new(source, index) {
            Some(reader) => {
                let mut row = vec![0; reader.width()];
                for y in 0..reader.height() {
                    reader.row(y, &mut row, |sample| sample);
                    write_row(&mut target, index, y, &row);
                }
            }
            None => {
                let (width, height) =
                    component_size(format, index, raw.width.max(0) as usize, raw.height.max(0) as usize);
                let opaque = format.descriptor().map_or(u16::MAX, |d| ((1u32 << d.comp[index].depth) - 1) as u16);
                let row = vec![opaque; width];
                (0..height).for_each(|y| write_row(&mut target, index, y, &row));
            }
        }
    }
    Ok(target)
}

/// The least size that holds `size` and whose chroma is whole in `format`: what `zscale` asks for.
pub(crate) fn even_size(size: Size, format: Format) -> Size {
    let (w, h) = format.descriptor().map_or((0, 0), |d| (u32::from(d.log2_chroma_w), u32::from(d.log2_chroma_h)));
    Size::new(size.width.next_multiple_of(1 << w), size.height.next_multiple_of(1 << h))
}

/// The same samples in a picture of `size`, its last column and row repeated to the right and below.
pub(crate) fn padded(source: &Frame, format: Format, size: Size) -> Result<Frame, MediaError> {
    let side_px = |px: u32| i32::try_from(px).map_err(|_| MediaError::internal(format!("a picture of {size}")));
    let mut target = Frame::with_buffer(format.0, side_px(size.width)?, side_px(size.height)?)?;
    for index in 0..format.descriptor().map_or(0, |d| usize::from(d.nb_components)) {
        let Some(reader) = Reader::new(source, index) else { continue };
        let (width, height) = component_size(format, index, size.width as usize, size.height as usize);
        let mut row = vec![0; width];
        for y in 0..height {
            if y < reader.height() {
                reader.row(y, &mut row[..reader.width()], |sample| sample);
                let last = row[reader.width() - 1];
                row[reader.width()..].fill(last);
            }
            write_row(&mut target, index, y, &row);
        }
    }
    Ok(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A picture whose samples are all different, as far as their depth allows.
    fn pattern(format: Format, width: i32, height: i32) -> Frame {
        let mut frame = Frame::with_buffer(format.0, width, height).unwrap();
        let d = format.descriptor().unwrap();
        for index in 0..usize::from(d.nb_components) {
            let (w, h) = component_size(format, index, width as usize, height as usize);
            let mask = (1u32 << d.comp[index].depth) - 1;
            for y in 0..h {
                let row: Vec<u16> = (0..w).map(|x| ((x * 37 + y * 101 + index * 53) as u32 & mask) as u16).collect();
                write_row(&mut frame, index, y, &row);
            }
        }
        frame
    }

    fn samples(frame: &Frame, index: usize) -> Vec<u16> {
        let reader = Reader::new(frame, index).unwrap();
        let mut all = Vec::new();
        for y in 0..reader.height() {
            let mut row = vec![0; reader.width()];
            reader.row(y, &mut row, |s| s);
            all.extend(row);
        }
        all
    }

    #[test]
    fn every_format_with_planes_goes_there_and_back() {
        let mut walked = 0;
        for number in 0..1000 {
            let format = Format(number);
            let (Some(layout), Some(planar)) = (format.layout(), format.planar()) else { continue };
            // Palettes cannot be written; floating point is read apart.
            if format.is_palette() || format.is_float() || layout.alpha {
                continue;
            }
            let components = 3;
            // Formats whose components differ in depth, such as rgb565, have no lossless planar form.
            let d = format.descriptor().unwrap();
            if d.comp[..components].iter().any(|c| c.depth != d.comp[0].depth) {
                continue;
            }
            let source = pattern(format, 22, 6);
            let planes = repack(&source, planar).unwrap();
            for index in 0..components {
                assert_eq!(samples(&source, index), samples(&planes, index), "{} {index}", format.name());
            }
            let back = repack(&planes, format).unwrap();
            for index in 0..components {
                assert_eq!(samples(&source, index), samples(&back, index), "{} {index}", format.name());
            }
            walked += 1;
        }
        assert!(walked > 80, "only {walked} formats");
    }

    #[test]
    fn known_bytes_are_read_where_they_lie() {
        let mut frame = Frame::with_buffer(Format::named("bgra").unwrap().0, 2, 1).unwrap();
        // SAFETY: two pixels of four bytes.
        unsafe { frame.row_mut(0, 0, 8) }.copy_from_slice(&[1, 2, 3, 255, 4, 5, 6, 255]);
        assert_eq!(samples(&frame, 0), [3, 6]);
        assert_eq!(samples(&frame, 2), [1, 4]);
        let mut frame = Frame::with_buffer(Format::named("p010le").unwrap().0, 2, 2).unwrap();
        // SAFETY: one row of two samples of two bytes.
        unsafe { frame.row_mut(0, 0, 4) }.copy_from_slice(&[0x40, 0x00, 0xc0, 0xff]);
        assert_eq!(samples(&frame, 0)[..2], [1, 1023]);
        let mut frame = Frame::with_buffer(Format::named("rgb48be").unwrap().0, 1, 1).unwrap();
        // SAFETY: one pixel of six bytes.
        unsafe { frame.row_mut(0, 0, 6) }.copy_from_slice(&[1, 2, 3, 4, 5, 6]);
        assert_eq!((samples(&frame, 0), samples(&frame, 2)), (vec![0x0102], vec![0x0506]));
    }

    #[test]
    fn palettes_are_looked_up() {
        let mut frame = Frame::with_buffer(Format::named("pal8").unwrap().0, 2, 1).unwrap();
        // SAFETY: one row of two bytes; palettes have 256 entries of four bytes.
        unsafe {
            frame.row_mut(0, 0, 2).copy_from_slice(&[0, 1]);
            let palette = frame.row_mut(1, 0, 8);
            palette[..4].copy_from_slice(&0xff10_2030_u32.to_ne_bytes());
            palette[4..].copy_from_slice(&0xff40_5060_u32.to_ne_bytes());
        }
        assert_eq!(samples(&frame, 0), [0x10, 0x40]);
        assert_eq!(samples(&frame, 1), [0x20, 0x50]);
        assert_eq!(samples(&frame, 2), [0x30, 0x60]);
    }
}
