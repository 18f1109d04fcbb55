//! The clock of a film, kept running forward.
//!
//! Transport and program streams that were joined from pieces jump back in time, for all their streams, each at its own
//! packet. No container can follow: from a jump on, every stream goes on from where the film had come to, by the same
//! offset, so that sound stays with its pictures. Gaps stay as they are.

use framelift_frame::{TimeBase, Timestamp};

use crate::raw::rescale;

/// Steps back of less than this are disorder, not a jump.
const DISORDER_S: f64 = 1.0;

/// A jump forward of half of what 33 bits hold at 90 kHz is a jump back that was taken for a wrap of the clock.
const HALF_A_WRAP_S: f64 = (1u64 << 32) as f64 / 90_000.0;

/// What a stream has come to.
#[derive(Clone, Copy, Debug, Default)]
struct Track {
    /// Jumps behind it.
    jumps: usize,
    /// Where its last packet ended, jumps bridged.
    end: Option<Timestamp>,
}

/// The clock of all streams.
#[derive(Default)]
pub(crate) struct Timeline {
    /// Whether the format allows for jumps.
    bridges: bool,
    tracks: Vec<Track>,
    /// What is added to the times of a stream behind each jump, and what was added before the first: nothing.
    offsets: Vec<Timestamp>,
    pub(crate) notices: Vec<String>,
}

impl Timeline {
    pub(crate) fn new(bridges: bool, streams: usize) -> Self {
        let none = Timestamp::new(0, TimeBase::new(1, 1));
        Self { bridges, tracks: vec![Track::default(); streams], offsets: vec![none], notices: Vec::new() }
    }

    /// Whether the format allows for jumps.
    pub(crate) fn bridges(&self) -> bool {
        self.bridges
    }

    /// What is to be added to the times of a packet of `stream` at `ticks`, that lasts for `duration_ticks`.
    pub(crate) fn offset(&mut self, stream: usize, ticks: i64, duration_ticks: i64, base: TimeBase) -> i64 {
        let Some(&Track { mut jumps, end }) = self.tracks.get(stream) else { return 0 };
        if end.is_none() {
            jumps = self.offsets.len() - 1;
        }
        let offset = |timeline: &Self, jumps: usize| {
            let offset = timeline.offsets[jumps];
            rescale(offset.ticks, offset.base, base)
        };
        if let (true, Some(end)) = (self.bridges, end) {
            let jumped = |ticks: i64| {
                let step_s = (ticks as f64 - rescale(end.ticks, end.base, base) as f64) * base.seconds();
                !(-DISORDER_S..HALF_A_WRAP_S).contains(&step_s)
            };
            while jumped(ticks + offset(self, jumps)) {
                jumps += 1;
                if jumps == self.offsets.len() {
                    let reached = self.tracks.iter().filter_map(|track| track.end).max().unwrap_or(end);
                    let offset = Timestamp::new(rescale(reached.ticks, reached.base, base) - ticks, base);
                    self.offsets.push(offset);
                    self.notices.push(format!(
                        "the film's clock jumps from {reached} to {}; the film goes on without the jump",
                        Timestamp::new(ticks, base)
                    ));
                    break;
                }
            }
        }
        let added = offset(self, jumps);
        let own_end = Timestamp::new(ticks + added + duration_ticks.max(0), base);
        self.tracks[stream] = Track { jumps, end: Some(end.map_or(own_end, |end| end.max(own_end))) };
        added
    }

    /// Forgets where the streams are: they go on from another place of the film.
    pub(crate) fn seek(&mut self) {
        self.tracks.fill(Track::default());
        self.offsets.truncate(1);
    }

    /// The latest moment that a stream has come to.
    pub(crate) fn reached(&self) -> Option<Timestamp> {
        self.tracks.iter().filter_map(|track| track.end).max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: TimeBase = TimeBase::new(1, 90_000);

    #[test]
    fn a_jump_is_bridged_by_all_streams_alike() {
        let mut line = Timeline::new(true, 2);
        for i in 0..10 {
            assert_eq!(line.offset(0, 900_000 + i * 3600, 3600, BASE), 0);
            assert_eq!(line.offset(1, 900_000 + i * 3600, 3600, BASE), 0);
        }
        // The first stream jumps; the second has some packets left.
        let added = line.offset(0, 0, 3600, BASE);
        assert_eq!(added, 936_000);
        assert_eq!(line.offset(1, 936_000, 3600, BASE), 0);
        assert_eq!(line.offset(1, 1800, 3600, BASE), added);
        assert_eq!(line.offset(0, 3600, 3600, BASE), added);
        assert_eq!(line.notices.len(), 1);
        // Another one.
        let again = line.offset(1, 1_000_000_000_000, 3600, BASE);
        assert!(again < 0 && line.notices.len() == 2);
    }

    #[test]
    fn gaps_and_disorder_stay() {
        let mut line = Timeline::new(true, 1);
        for ticks in [0, 3600, 1800, 90_000 * 3600, 90_000 * 3600 - 80_000] {
            assert_eq!(line.offset(0, ticks, 3600, BASE), 0);
        }
        let mut fixed = Timeline::new(false, 1);
        assert_eq!(fixed.offset(0, 900_000, 1, BASE), 0);
        assert_eq!(fixed.offset(0, 0, 1, BASE), 0);
        assert_eq!(fixed.reached(), Some(Timestamp::new(900_001, BASE)));
    }
}
