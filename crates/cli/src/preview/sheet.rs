//! Several pictures of one moment in one: side by side, or parted by lines that move, each with its label.

use std::ops::Range;

use framelift::{Frame, Plane, Size};

use crate::args::LayoutChoice;
use crate::font::Text;

/// The largest sheet: what players and encoders take everywhere.
const LARGEST: Size = Size::new(3840, 2160);

/// Pixels between pictures.
const GAP_PX: u32 = 4;

/// What lies between pictures, and what lines and letters are drawn in: 16 bits a sample.
const DARK: u16 = 0x1818;
const LIGHT: u16 = 0xf0f0;

/// How much of the picture is left under a label.
const UNDER_LABEL: f32 = 0.35;

/// Width of the line between two pictures.
const LINE_PX: usize = 2;

/// How far a line moves to either side, in widths of a picture's share.
const SWING: f64 = 0.8;

/// How pictures are put together.
pub(super) struct Sheet {
    layout: LayoutChoice,
    labels: Vec<Label>,
    /// Columns and rows of pictures.
    grid: (u32, u32),
    /// The part of each frame that is shown.
    crop: Crop,
}

/// A part of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Crop {
    left: u32,
    top: u32,
    size: Size,
}

impl Sheet {
    /// A sheet of pictures called `labels`, all of size `frame`; where whole ones do not fit, they are cropped around `focus`.
    pub(super) fn new(layout: LayoutChoice, labels: &[String], frame: Size, focus: (f64, f64)) -> Self {
        let count = labels.len().max(1) as u32;
        let grid = match (layout, count) {
            (LayoutChoice::Wipe, _) => (1, 1),
            (LayoutChoice::Side, 1..=3) => (count, 1),
            (LayoutChoice::Side, 4) => (2, 2),
            (LayoutChoice::Side, _) => (3, count.div_ceil(3)),
        };
        // Even sides, which every encoder takes.
        let side = |of: u32, sheet: u32, pictures: u32| (((sheet + GAP_PX) / pictures - GAP_PX).min(of) / 2 * 2).max(2);
        let size = Size::new(side(frame.width, LARGEST.width, grid.0), side(frame.height, LARGEST.height, grid.1));
        let place = |of: u32, part: u32, at: f64| {
            let most = of.saturating_sub(part);
            ((f64::from(of) * at - f64::from(part) / 2.0).round().max(0.0) as u32).min(most)
        };
        let crop = Crop {
            left: place(frame.width, size.width, focus.0),
            top: place(frame.height, size.height, focus.1),
            size,
        };
        let room = match layout {
            LayoutChoice::Side => size.width,
            LayoutChoice::Wipe => size.width / count,
        };
        let height_px = (size.height as f32 / 28.0).clamp(9.0, 32.0);
        let labels = labels.iter().map(|label| Label::new(label, height_px, room)).collect();
        Self { layout, labels, grid, crop }
    }

    /// Size of the sheet.
    pub(super) fn size(&self) -> Size {
        let side = |picture: u32, pictures: u32| picture * pictures + GAP_PX * (pictures - 1);
        Size::new(side(self.crop.size.width, self.grid.0), side(self.crop.size.height, self.grid.1))
    }

    /// Whether the pictures are shown whole.
    pub(super) fn shows_all_of(&self, frame: Size) -> bool {
        self.crop.size.width + 1 >= frame.width && self.crop.size.height + 1 >= frame.height
    }

    /// The sheet of one moment, which lies at `turn` of the way to and fro that lines go, 0 to 1.
    pub(super) fn draw(&self, frames: &[Frame], turn: f64) -> Option<Frame> {
        let first = frames.first()?;
        let mut sheet = Frame::new([0; 3].map(|_| Plane::filled(self.size(), DARK)), first.time, first.duration_ticks)?;
        let (width, height) = (self.crop.size.width as usize, self.crop.size.height as usize);
        let bounds = self.bounds(turn);
        for (n, frame) in frames.iter().enumerate() {
            let (left, top, columns) = match self.layout {
                LayoutChoice::Side => {
                    let (column, row) = (n as u32 % self.grid.0, n as u32 / self.grid.0);
                    let (wide, high) = (self.crop.size.width + GAP_PX, self.crop.size.height + GAP_PX);
                    ((column * wide) as usize, (row * high) as usize, 0..width)
                }
                LayoutChoice::Wipe => (0, 0, bounds[n]..bounds[n + 1]),
            };
            for (to, from) in sheet.planes_mut().iter_mut().zip(frame.planes()) {
                for y in 0..height.min(from.size().height as usize - self.crop.top as usize) {
                    let row = &from.row(self.crop.top as usize + y)[self.crop.left as usize..];
                    let taken = columns.start..columns.end.min(row.len());
                    copy(to, left + taken.start, top + y, &row[taken]);
                }
            }
            if n > 0 && self.layout == LayoutChoice::Wipe {
                line(&mut sheet, columns.start);
            }
            if let Some(label) = self.labels.get(n) {
                label.draw(&mut sheet, left + columns.start, top, columns.len());
            }
        }
        Some(sheet)
    }

    /// Where each picture of a wipe begins, and where the last ends.
    fn bounds(&self, turn: f64) -> Vec<usize> {
        let (count, width) = (self.labels.len(), self.crop.size.width as usize);
        let swing = SWING / count as f64 * (turn * std::f64::consts::TAU).sin();
        let inner = (1..count).map(|n| ((n as f64 / count as f64 + swing) * width as f64).round() as usize);
        std::iter::once(0).chain(inner).chain(std::iter::once(width)).collect()
    }
}

fn copy(to: &mut Plane, left: usize, y: usize, row: &[u16]) {
    let start = y * to.size().width as usize + left;
    to.samples_mut()[start..start + row.len()].copy_from_slice(row);
}

fn line(sheet: &mut Frame, x: usize) {
    for plane in sheet.planes_mut() {
        let width = plane.size().width as usize;
        let columns: Range<usize> = x.saturating_sub(LINE_PX / 2)..(x + LINE_PX / 2).min(width);
        for row in plane.samples_mut().chunks_exact_mut(width) {
            row[columns.clone()].fill(LIGHT);
        }
    }
}

/// A line of text on a dark ground.
struct Label {
    size: Size,
    /// How much ink each pixel has, 0 to 1.
    ink: Vec<f32>,
}

impl Label {
    /// `text` in letters of `height_px`, shortened until it takes no more than `room_px`.
    fn new(text: &str, height_px: f32, room_px: u32) -> Self {
        let margin = height_px * 0.6;
        let width = |text: &Text| (text.width() * height_px + 2.0 * margin).ceil();
        let mut letters: Vec<char> = text.to_uppercase().chars().collect();
        let mut drawn = Text::new(&letters.iter().collect::<String>());
        while width(&drawn) > room_px as f32 && letters.len() > 2 {
            // The beginning of a name says which network it is.
            letters.truncate(letters.len() - 1);
            drawn = Text::new(&format!("{}..", letters[..letters.len().saturating_sub(2)].iter().collect::<String>()));
        }
        let size = Size::new((width(&drawn) as u32).min(room_px), (height_px + 2.0 * margin).ceil() as u32);
        let ink = (0..size.pixels() as u32).map(|at| {
            let (x, y) = ((at % size.width) as f32, (at / size.width) as f32);
            drawn.coverage(x + 0.5 - margin, y + 0.5 - margin, height_px)
        });
        Self { size, ink: ink.collect() }
    }

    /// Draws it with its corner at `left`, `top`, as far as it fits into `room_px`.
    fn draw(&self, sheet: &mut Frame, left: usize, top: usize, room_px: usize) {
        for plane in sheet.planes_mut() {
            let (wide, high) = (plane.size().width as usize, plane.size().height as usize);
            let columns = (self.size.width as usize).min(room_px).min(wide.saturating_sub(left));
            let samples = plane.samples_mut();
            for y in 0..(self.size.height as usize).min(high.saturating_sub(top)) {
                let row = &mut samples[(top + y) * wide + left..][..columns];
                for (sample, ink) in row.iter_mut().zip(&self.ink[y * self.size.width as usize..]) {
                    let ground = f32::from(*sample) * UNDER_LABEL;
                    *sample = (ground + (f32::from(LIGHT) - ground) * ink) as u16;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use framelift::{TimeBase, Timestamp};

    use super::*;

    fn plain(size: Size, value: u16) -> Frame {
        let time = Timestamp::new(3, TimeBase::new(1, 25));
        Frame::new([0; 3].map(|_| Plane::filled(size, value)), time, 1).unwrap()
    }

    fn at(frame: &Frame, x: usize, y: usize) -> u16 {
        frame.planes()[1].row(y)[x]
    }

    fn sheet(layout: LayoutChoice, labels: &[&str], size: Size, focus: (f64, f64)) -> Sheet {
        let labels: Vec<String> = labels.iter().map(|&label| label.to_owned()).collect();
        Sheet::new(layout, &labels, size, focus)
    }

    #[test]
    fn pictures_lie_side_by_side() {
        let size = Size::new(301, 200);
        for (count, due) in
            [(2, Size::new(604, 200)), (3, Size::new(908, 200)), (4, Size::new(604, 404)), (5, Size::new(908, 404))]
        {
            let sheet = sheet(LayoutChoice::Side, &vec!["a"; count], size, (0.5, 0.5));
            assert_eq!(sheet.size(), due);
            assert!(sheet.shows_all_of(size));
            let frames: Vec<Frame> = (0..count).map(|n| plain(size, 1000 * n as u16)).collect();
            let drawn = sheet.draw(&frames, 0.3).unwrap();
            assert_eq!((drawn.size(), drawn.time.ticks), (due, 3));
            assert_eq!(at(&drawn, 150, 150), 0);
            assert_eq!(at(&drawn, 301, 150), DARK);
            assert_eq!(at(&drawn, 454, 150), 1000);
            if count == 4 {
                assert_eq!(at(&drawn, 454, 354), 3000);
            }
        }
    }

    #[test]
    fn large_pictures_are_cropped_around_the_focus() {
        let size = Size::new(4000, 3000);
        let corner = sheet(LayoutChoice::Side, &["a", "b"], size, (1.0, 0.0));
        assert_eq!(corner.crop, Crop { left: 4000 - 1918, top: 0, size: Size::new(1918, 2160) });
        assert_eq!(corner.size(), Size::new(3840, 2160));
        assert!(!corner.shows_all_of(size));
        let middle = sheet(LayoutChoice::Wipe, &["a", "b"], size, (0.5, 0.5));
        assert_eq!(middle.crop, Crop { left: 80, top: 420, size: LARGEST });
        assert!(middle.draw(&[plain(size, 1), plain(size, 2)], 0.0).is_some());
    }

    #[test]
    fn a_wipe_moves_to_and_fro() {
        let size = Size::new(400, 100);
        let sheet = sheet(LayoutChoice::Wipe, &["a", "b"], size, (0.5, 0.5));
        let frames = [plain(size, 1000), plain(size, 2000)];
        for (turn, border) in [(0.0, 200), (0.25, 360), (0.5, 200), (0.75, 40)] {
            let drawn = sheet.draw(&frames, turn).unwrap();
            assert_eq!((at(&drawn, border - 5, 90), at(&drawn, border + 5, 90)), (1000, 2000), "{turn}");
            assert_eq!(at(&drawn, border, 90), LIGHT);
        }
        let four = super::tests::sheet(LayoutChoice::Wipe, &["a"; 4], size, (0.5, 0.5));
        assert!([0.0, 0.25, 0.6, 0.75].iter().all(|&turn| four.bounds(turn).is_sorted()));
    }

    #[test]
    fn labels_are_there_and_keep_to_their_room() {
        let size = Size::new(64, 60);
        let name = "basicvsr_plusplus_c64n7_8x1_600k_reds4";
        let sheet = sheet(LayoutChoice::Side, &[name, "b"], size, (0.5, 0.5));
        assert!(sheet.labels[0].size.width <= 64);
        let drawn = sheet.draw(&[plain(size, 20_000), plain(size, 20_000)], 0.0).unwrap();
        let row = drawn.planes()[0].row(10);
        assert!(row.iter().any(|&v| v > 50_000) && row.contains(&((20_000.0 * UNDER_LABEL) as u16)));
        assert_eq!(at(&drawn, 30, 50), 20_000);
    }
}
