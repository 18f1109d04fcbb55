//! Strips of rows: what is made at many times the size of the features is made a few rows at a time, so that its memory does
//! not grow with the frame.
//!
//! A strip sees a few rows more than it keeps: four layers of 3×3 between features and picture, at one, two, four and four
//! times the size of the features, see 1 + ½ + ¼ + ¼ = 2 rows of features beyond their own.

use std::ops::Range;

/// Rows and columns of the picture for each of the features.
pub(crate) const FACTOR: usize = 4;

/// Rows of features on either side that a row of the picture depends on.
const HALO: usize = 2;

/// Positions of features in a strip, about.
const POSITIONS: usize = 32_768;

/// The fewest rows that a strip keeps: of fewer, too large a share would be made twice.
const LEAST_ROWS: usize = 24;

/// The strips of a map of features.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Strips {
    /// Rows of the map.
    pub(crate) height: usize,
    /// Rows that a strip keeps; the last may keep fewer.
    rows: usize,
}

impl Strips {
    /// Those of a map of so many rows and columns: one where it is small.
    pub(crate) fn of(height: usize, width: usize) -> Self {
        let most = (POSITIONS / width.max(1)).max(LEAST_ROWS);
        Self::at_most(height, most)
    }

    /// Strips as even as can be, which keep at most `most` rows.
    pub(crate) fn at_most(height: usize, most: usize) -> Self {
        let count = height.div_ceil(most).max(1);
        Self { height, rows: height.div_ceil(count).max(1) }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.height.div_ceil(self.rows).max(1)
    }

    /// The most rows that one sees.
    pub(crate) fn most_seen(&self) -> usize {
        self.iter().map(|(seen, _)| seen.len()).max().unwrap_or(0)
    }

    /// The rows of features that each sees, and those of them that it keeps.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Range<usize>, Range<usize>)> + use<> {
        let Self { height, rows } = *self;
        (0..self.count()).map(move |i| {
            let kept = i * rows..((i + 1) * rows).min(height);
            let seen = kept.start.saturating_sub(HALO)..(kept.end + HALO).min(height);
            (seen, kept)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strips_cover_every_row_once_and_see_enough() {
        for (height, width) in [(1, 1), (180, 320), (360, 640), (1080, 1920), (2160, 3840), (35, 9000), (64, 1 << 20)] {
            let strips = Strips::of(height, width);
            let mut next = 0;
            for (seen, kept) in strips.iter() {
                assert_eq!(kept.start, next);
                assert!(!kept.is_empty());
                assert!(seen.start == 0 || seen.start + HALO <= kept.start);
                assert!(seen.end == height || seen.end >= kept.end + HALO);
                next = kept.end;
            }
            assert_eq!(next, height);
            let most = (POSITIONS / width).max(LEAST_ROWS) + 2 * HALO;
            assert!(strips.most_seen() <= most, "{height}x{width}: {strips:?}");
        }
        assert_eq!(Strips::of(90, 160).count(), 1);
    }
}
