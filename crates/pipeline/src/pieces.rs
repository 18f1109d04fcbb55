//! Parts of frames: padding to what a network takes, cropping, and tiles that are put together without a seam.
//!
//! A frame that does not fit as a whole is parted into tiles of one size, because a network's flow may depend on the
//! exact size. Neighbours overlap by twice [`MARGIN_PX`] and a ramp of [`FEATHER_PX`] between, over which one fades into
//! the other: no pixel within the margin of a border that the frame does not have is ever seen.

use framelift_frame::{Frame, Plane, Size};

/// Input pixels of a tile, next to a border the frame does not have, that are not seen.
pub(crate) const MARGIN_PX: u32 = 64;

/// Input pixels over which a tile fades into the next.
pub(crate) const FEATHER_PX: u32 = 16;

/// Full weight of a pixel along one axis.
const ONE: u32 = 256;

/// The smallest size that a network takes and that holds `size`: sides of at least `least_px`, multiples of `multiple`.
#[must_use]
pub fn padded_size(size: Size, least_px: u32, multiple: u32) -> Size {
    let side = |px: u32| px.max(least_px).div_ceil(multiple.max(1)).saturating_mul(multiple.max(1));
    Size::new(side(size.width), side(size.height))
}

/// `frame` with its content mirrored beyond its right and lower border up to `size`; where it is too small to be mirrored,
/// the last pixel goes on.
pub(crate) fn pad(frame: &Frame, size: Size) -> Frame {
    let from = frame.size();
    let mirrored =
        |at: u32, side: u32| if at < side { at } else { (2 * (side - 1)).checked_sub(at).unwrap_or(side - 1) };
    let columns: Vec<usize> = (from.width..size.width).map(|x| mirrored(x, from.width) as usize).collect();
    map_planes(frame, size, |plane, to| {
        for y in 0..size.height {
            let row = plane.row(mirrored(y, from.height) as usize);
            to.extend_from_slice(row);
            to.extend(columns.iter().map(|&x| row[x]));
        }
    })
}

/// The part of `frame` of `size` whose upper left pixel is (`x`, `y`). It must lie inside.
pub(crate) fn crop(frame: &Frame, x: u32, y: u32, size: Size) -> Frame {
    let columns = x as usize..(x + size.width) as usize;
    map_planes(frame, size, |plane, to| {
        for row in y..y + size.height {
            to.extend_from_slice(&plane.row(row as usize)[columns.clone()]);
        }
    })
}

fn map_planes(frame: &Frame, size: Size, write: impl Fn(&Plane, &mut Vec<u16>)) -> Frame {
    let mut made = Frame::black(Size::default(), frame.time, frame.duration_ticks);
    for (plane, to) in frame.planes().iter().zip(made.planes_mut()) {
        let mut samples = Vec::with_capacity(size.pixels() as usize);
        write(plane, &mut samples);
        if let Some(plane) = Plane::new(size, samples) {
            *to = plane;
        }
    }
    made
}

/// Tiles along one side of a frame: where each begins, all of one length.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Axis {
    starts_px: Vec<u32>,
    tile_px: u32,
}

impl Axis {
    /// `count` tiles over `side_px`, which is a multiple of `multiple`, each at least `least_px`; `None` where they would be
    /// no smaller than the whole or lie too close.
    fn new(side_px: u32, count: u32, multiple: u32, least_px: u32) -> Option<Self> {
        if count == 1 {
            return Some(Self { starts_px: vec![0], tile_px: side_px });
        }
        let overlap = 2 * MARGIN_PX + FEATHER_PX + multiple;
        let tile_px = (side_px + (count - 1) * overlap).div_ceil(count).max(least_px).next_multiple_of(multiple);
        let spare = side_px.checked_sub(tile_px).filter(|spare| *spare >= (count - 1) * (FEATHER_PX + multiple))?;
        let start = |i: u32| {
            let exact = u64::from(i) * u64::from(spare) / u64::from(count - 1);
            exact as u32 / multiple * multiple
        };
        Some(Self { starts_px: (0..count).map(start).collect(), tile_px })
    }

    /// The weight of each pixel of tile `i`, `scale` times as large, 0 to [`ONE`]. Those of all tiles at a place add up to it.
    fn weights(&self, i: usize, scale: u32) -> Vec<u32> {
        let ramp = |left: usize| {
            // Where the tile `left` fades into the next, counted from the start of tile `i`.
            let (from, to) = (self.starts_px[left + 1], self.starts_px[left] + self.tile_px);
            let begin = i64::from((from + to) / 2) - i64::from(FEATHER_PX / 2) - i64::from(self.starts_px[i]);
            begin * i64::from(scale)
        };
        let length = i64::from(FEATHER_PX * scale);
        let risen = |at: i64, begin: i64| {
            let steps = (at - begin).clamp(0, length);
            // The middle of the step, so that the ramp is the same from both sides.
            if steps == 0 && at < begin {
                0
            } else {
                ((2 * steps + 1) * i64::from(ONE) / (2 * length)).min(i64::from(ONE))
            }
        };
        let rise = i.checked_sub(1).map(ramp);
        let fall = (i + 1 < self.starts_px.len()).then(|| ramp(i));
        (0..i64::from(self.tile_px * scale))
            .map(|at| {
                let rising = rise.map_or(i64::from(ONE), |begin| risen(at, begin));
                let falling = fall.map_or(0, |begin| risen(at, begin));
                (rising - falling) as u32
            })
            .collect()
    }
}

/// How a frame is parted into tiles of one size: a grid of columns and rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TileGrid {
    columns: Axis,
    rows: Axis,
}

/// A tile of a [`TileGrid`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tile {
    column: usize,
    row: usize,
    pub(crate) x_px: u32,
    pub(crate) y_px: u32,
}

impl TileGrid {
    /// The frame in one piece.
    pub(crate) fn whole(size: Size) -> Self {
        let axis = |tile_px| Axis { starts_px: vec![0], tile_px };
        Self { columns: axis(size.width), rows: axis(size.height) }
    }

    /// The ways to part a frame of `size` into more than one tile, from few to many.
    pub(crate) fn finer(size: Size, multiple: u32, least_px: u32) -> Vec<Self> {
        const MOST_A_SIDE: u32 = 64;
        let axes = |side_px: u32| -> Vec<Axis> {
            (1..=MOST_A_SIDE).map_while(|count| Axis::new(side_px, count, multiple, least_px)).collect()
        };
        let (columns, rows) = (axes(size.width), axes(size.height));
        let mut grids: Vec<Self> = columns
            .iter()
            .flat_map(|columns| rows.iter().map(|rows| Self { columns: columns.clone(), rows: rows.clone() }))
            .filter(|grid| grid.count() > 1)
            .collect();
        // Of two with as many pixels in all, the one with the smaller tiles.
        grids.sort_by_key(|grid| (grid.count() as u64 * grid.tile().pixels(), grid.tile().pixels()));
        let mut least = u64::MAX;
        grids.retain(|grid| {
            let smaller = grid.tile().pixels() < least;
            least = least.min(grid.tile().pixels());
            smaller
        });
        grids
    }

    /// Width and height of every tile.
    pub(crate) fn tile(&self) -> Size {
        Size::new(self.columns.tile_px, self.rows.tile_px)
    }

    /// Tiles side by side and one above the other.
    pub(crate) fn columns_and_rows(&self) -> (usize, usize) {
        (self.columns.starts_px.len(), self.rows.starts_px.len())
    }

    /// How many tiles there are.
    pub(crate) fn count(&self) -> usize {
        self.columns.starts_px.len() * self.rows.starts_px.len()
    }

    /// The tiles, row by row.
    pub(crate) fn tiles(&self) -> impl Iterator<Item = Tile> + '_ {
        self.rows.starts_px.iter().enumerate().flat_map(move |(row, &y_px)| {
            let columns = self.columns.starts_px.iter().enumerate();
            columns.map(move |(column, &x_px)| Tile { column, row, x_px, y_px })
        })
    }

    /// The part of `frame` that `tile` shows.
    pub(crate) fn cut_out(&self, frame: &Frame, tile: Tile) -> Frame {
        crop(frame, tile.x_px, tile.y_px, self.tile())
    }

    /// Adds `piece`, a tile `scale` times as large, to `frame`, which begins black and is whole when every tile is added.
    pub(crate) fn add(&self, frame: &mut Frame, tile: Tile, piece: &Frame, scale: u32) {
        let across = self.columns.weights(tile.column, scale);
        let down = self.rows.weights(tile.row, scale);
        let (x, y) = ((tile.x_px * scale) as usize, (tile.y_px * scale) as usize);
        let width = frame.size().width as usize;
        for (plane, to) in piece.planes().iter().zip(frame.planes_mut()) {
            for (row, &down) in down.iter().enumerate().filter(|(_, down)| **down > 0) {
                let start = (y + row) * width + x;
                let to = &mut to.samples_mut()[start..start + across.len()];
                for ((to, &sample), &across) in to.iter_mut().zip(plane.row(row)).zip(&across) {
                    let share = u64::from(sample) * u64::from(across * down) + u64::from(ONE * ONE / 2);
                    *to = to.saturating_add((share / u64::from(ONE * ONE)) as u16);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use framelift_frame::{TimeBase, Timestamp};

    use super::*;

    fn picture(size: Size) -> Frame {
        let plane = |c: u32| {
            let at = |i: u64| ((i * 7919 + u64::from(c) * 104_729) % 65_536) as u16;
            Plane::new(size, (0..size.pixels()).map(at).collect()).unwrap()
        };
        Frame::new([plane(0), plane(1), plane(2)], Timestamp::new(5, TimeBase::new(1, 25)), 1).unwrap()
    }

    #[test]
    fn padding_mirrors_and_is_cropped_away() {
        assert_eq!(padded_size(Size::new(33, 100), 64, 4), Size::new(64, 100));
        assert_eq!(padded_size(Size::new(65, 64), 64, 4), Size::new(68, 64));
        assert_eq!(padded_size(Size::new(65, 63), 1, 1), Size::new(65, 63));
        for (from, to) in [((5, 4), (8, 6)), ((3, 1), (64, 64)), ((7, 7), (7, 8))] {
            let (from, to) = (Size::new(from.0, from.1), Size::new(to.0, to.1));
            let frame = picture(from);
            let padded = pad(&frame, to);
            assert_eq!(padded.size(), to);
            assert_eq!(crop(&padded, 0, 0, from), frame);
        }
        let row = |frame: &Frame| frame.planes()[0].row(0).to_vec();
        let frame = picture(Size::new(3, 1));
        let [a, b, c] = row(&frame)[..] else { unreachable!("three pixels") };
        assert_eq!(row(&pad(&frame, Size::new(7, 1))), [a, b, c, b, a, c, c]);
    }

    #[test]
    fn weights_add_up_everywhere_and_are_none_in_the_margin() {
        for (side, multiple, least, scale) in [(1920, 1, 1, 4), (1000, 4, 256, 1), (1080, 2, 64, 2), (777, 1, 1, 3)] {
            for count in 1..8 {
                let Some(axis) = Axis::new(side / multiple * multiple, count, multiple, least) else { continue };
                let side = side / multiple * multiple;
                let mut sum = vec![0; (side * scale) as usize];
                for (i, &start) in axis.starts_px.iter().enumerate() {
                    assert!(start.is_multiple_of(multiple) && start + axis.tile_px <= side);
                    let weights = axis.weights(i, scale);
                    let margin = (MARGIN_PX * scale) as usize;
                    assert!(i == 0 || weights[..margin].iter().all(|w| *w == 0), "{side} in {count}");
                    let last = i + 1 == axis.starts_px.len();
                    assert!(last || weights[weights.len() - margin..].iter().all(|w| *w == 0), "{side} in {count}");
                    for (at, weight) in weights.into_iter().enumerate() {
                        sum[(start * scale) as usize + at] += weight;
                    }
                }
                assert!(sum.iter().all(|w| *w == ONE), "{side} in {count}");
            }
        }
    }

    #[test]
    fn tiles_put_together_are_the_frame() {
        let size = Size::new(700, 452);
        let frame = picture(size);
        let grids = TileGrid::finer(size, 4, 64);
        assert!(grids.len() > 3);
        for grid in grids {
            let mut whole = Frame::black(size, frame.time, frame.duration_ticks);
            for tile in grid.tiles() {
                grid.add(&mut whole, tile, &grid.cut_out(&frame, tile), 1);
            }
            for (a, b) in whole.planes().iter().zip(frame.planes()) {
                let far = a.samples().iter().zip(b.samples()).map(|(a, b)| a.abs_diff(*b)).max();
                assert!(far <= Some(2), "{grid:?}: {far:?}");
            }
        }
        assert!(TileGrid::finer(Size::new(150, 90), 1, 1).is_empty(), "too small to be parted");
    }
}
