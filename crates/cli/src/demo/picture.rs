//! The side-by-side picture: labelled crops of the input, bicubic, the model and the truth.

use std::path::Path;

use framelift::{Frame, Size};

use crate::font::Text;
use crate::png_file;

/// An RGB picture of 8 bits a sample.
pub(crate) struct Picture {
    size: Size,
    rgb: Vec<u8>,
}

/// Pixels between panels.
const GAP_PX: u32 = 8;

/// Height of the strip above each panel that holds its label, in pixels.
const LABEL_PX: u32 = 32;

impl Picture {
    fn new(size: Size) -> Self {
        Self { size, rgb: vec![24; size.pixels() as usize * 3] }
    }

    /// Rows of panels, each with a label above it; all panels of one size.
    pub(crate) fn of_panels(rows: &[Vec<(&str, Self)>]) -> Self {
        let panel = rows.iter().flatten().next().map_or(Size::new(1, 1), |(_, panel)| panel.size);
        let columns = rows.iter().map(Vec::len).max().unwrap_or(0) as u32;
        let cell = Size::new(panel.width + GAP_PX, panel.height + LABEL_PX + GAP_PX);
        let mut sheet = Self::new(Size::new(columns * cell.width + GAP_PX, rows.len() as u32 * cell.height + GAP_PX));
        for (row, panels) in rows.iter().enumerate() {
            for (column, (label, panel)) in panels.iter().enumerate() {
                let (left, top) = (GAP_PX + column as u32 * cell.width, GAP_PX + row as u32 * cell.height);
                sheet.write(label, left, top + 9, 14.0);
                sheet.place(panel, left, top + LABEL_PX);
            }
        }
        sheet
    }

    /// The part of `frame` at `left`, `top` (in fractions of the frame) that is `share` of it wide and high, each
    /// pixel repeated so that the panel comes out `panel` large.
    pub(crate) fn crop(frame: &Frame, left: f64, top: f64, panel: Size, share: f64) -> Self {
        let size = frame.size();
        let mut picture = Self::new(panel);
        let at = |n: u32, of: u32, origin: f64, side: u32| {
            let position = (origin + share * (f64::from(n) + 0.5) / f64::from(of)) * f64::from(side);
            (position as u32).min(side - 1) as usize
        };
        for y in 0..panel.height {
            for x in 0..panel.width {
                let from =
                    at(y, panel.height, top, size.height) * size.width as usize + at(x, panel.width, left, size.width);
                let to = (y * panel.width + x) as usize * 3;
                for (channel, plane) in frame.planes().iter().enumerate() {
                    picture.rgb[to + channel] = ((u32::from(plane.samples()[from]) + 128) / 257) as u8;
                }
            }
        }
        picture
    }

    fn place(&mut self, panel: &Self, left: u32, top: u32) {
        let row = panel.size.width as usize * 3;
        for y in 0..panel.size.height {
            let to = ((top + y) * self.size.width + left) as usize * 3;
            let from = y as usize * row;
            self.rgb[to..to + row].copy_from_slice(&panel.rgb[from..from + row]);
        }
    }

    fn write(&mut self, text: &str, left: u32, top: u32, height_px: f32) {
        let text = Text::new(&text.to_uppercase());
        let width = (text.width() * height_px).ceil() as u32;
        for y in 0..height_px as u32 + 4 {
            for x in 0..width.min(self.size.width - left) {
                let distance = text.distance((x as f32 - 1.0) / height_px, (y as f32 - 2.0) / height_px) * height_px;
                let ink = (1.4 - distance).clamp(0.0, 1.0);
                let at = (((top + y).saturating_sub(2)) * self.size.width + left + x) as usize * 3;
                for value in &mut self.rgb[at..at + 3] {
                    *value = (f32::from(*value) + (230.0 - f32::from(*value)) * ink) as u8;
                }
            }
        }
    }

    /// Writes it as a PNG file.
    pub(crate) fn save(&self, path: &Path) -> Result<(), png::EncodingError> {
        png_file::save(path, self.size, &self.rgb)
    }
}
