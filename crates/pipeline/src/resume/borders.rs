//! Where pieces begin: a pure function of the film and the settings, never of time or of where a run was stopped.
//!
//! A piece ends before a frame that begins a shot once it has half the length wanted, and in the middle of a shot, at a
//! border of windows or anywhere for other networks, once it has all of it.

use std::collections::VecDeque;
use std::hash::Hasher as _;

use framelift_frame::Size;
use framelift_nets::Descriptor;
use framelift_shots::CutDetector;
use twox_hash::XxHash3_64;

use super::journal::{Hash, Place};

/// Multiply-adds of a piece: a minute or so on a small processor.
const PIECE_MACS: u64 = 20_000_000_000_000;

/// The least and most frames of a piece, whatever they cost.
const PIECE_FRAMES: std::ops::RangeInclusive<u64> = 64..=256;

/// The least length of a piece in seconds of film: it bounds the journal.
const PIECE_SECONDS: f64 = 2.0;

/// Frames that are read before those that going on needs, for what looks at neighbours on the way to RGB.
const RUN_UP: usize = 8;

/// Frames before a border by which it is known again, at the least.
const CHECKED: usize = 16;

/// How many frames a piece should have.
pub(crate) fn piece_frames(network: Option<&Descriptor>, size: Size, frames_a_second: Option<(i32, i32)>) -> u64 {
    let (least, most) = (*PIECE_FRAMES.start(), *PIECE_FRAMES.end());
    let macs = network.map_or(0, |network| network.macs_per_pixel.saturating_mul(size.pixels()));
    let by_work = PIECE_MACS.checked_div(macs).unwrap_or(most).clamp(least, most);
    let rate = frames_a_second.map_or(25.0, |(num, den)| f64::from(num) / f64::from(den));
    by_work.max((rate * PIECE_SECONDS).ceil().min(1e6) as u64)
}

/// How many frames before a border must be read again to go on there: for the cut detector, the context of a window, and a
/// shot that may have to go on in f32.
pub(crate) fn lead_frames(shots: bool, context: u64, warm_up: usize) -> usize {
    let shots = if shots { CutDetector::LEAD } else { 0 };
    CHECKED.max(shots).max(usize::try_from(context).unwrap_or(usize::MAX)).max(warm_up)
}

/// Samples that are brought to bytes at a time.
const HASHED_AT_ONCE: usize = 1 << 14;

/// The hash of a frame's pixels.
pub(crate) fn hash_of(frame: &framelift_frame::Frame) -> u64 {
    let mut state = XxHash3_64::with_seed(0);
    let mut row = vec![0; 2 * HASHED_AT_ONCE];
    for plane in frame.planes() {
        for samples in plane.samples().chunks(HASHED_AT_ONCE) {
            let bytes = &mut row[..2 * samples.len()];
            for (to, sample) in bytes.chunks_exact_mut(2).zip(samples) {
                to.copy_from_slice(&sample.to_le_bytes());
            }
            state.write(bytes);
        }
    }
    state.finish()
}

/// Hashes of frames in a row, as one.
#[derive(Clone)]
pub(crate) struct Check(XxHash3_64);

impl Check {
    pub(crate) fn new() -> Self {
        Self(XxHash3_64::with_seed(0))
    }

    pub(crate) fn add(&mut self, ticks: i64, hash: u64) {
        self.0.write(&ticks.to_le_bytes());
        self.0.write(&hash.to_le_bytes());
    }

    pub(crate) fn value(&self) -> Hash {
        Hash(self.0.finish())
    }
}

/// A frame as a border knows it.
#[derive(Clone, Copy)]
struct Seen {
    ticks: i64,
    hash: u64,
}

/// Follows frames into the network and results out of it, and says where a piece begins.
pub(crate) struct Borders {
    target: u64,
    lead: usize,
    /// The frame that the next result is of.
    next: u64,
    /// Results of the piece so far.
    in_piece: u64,
    /// The first frame of the shot that the next result is of.
    shot_start: u64,
    /// Shots begun by results.
    shots: u64,
    /// Frames that begin shots, of those that were pushed and have no result yet.
    coming: VecDeque<u64>,
    /// Frames pushed since the piece began that the last of them will be in.
    ahead: u64,
    /// Frames from number `first` on.
    seen: VecDeque<Seen>,
    first: u64,
}

impl Borders {
    /// Pieces of about `target` frames, of a job that goes on with frame `next` at `place`, or begins.
    pub(crate) fn new(target: u64, lead: usize, next: u64, place: Option<&Place>) -> Self {
        Self {
            target: target.max(1),
            lead,
            next,
            in_piece: 0,
            shot_start: next - place.map_or(0, |place| place.shot).min(next),
            shots: place.map_or(0, |place| place.shots),
            coming: VecDeque::new(),
            ahead: 0,
            seen: VecDeque::new(),
            first: next,
        }
    }

    /// A frame before the first, read again.
    pub(crate) fn recall(&mut self, ticks: i64, hash: u64) {
        self.seen.push_back(Seen { ticks, hash });
    }

    /// All frames before the first were read again.
    pub(crate) fn recalled(&mut self) {
        self.first = self.next - (self.seen.len() as u64).min(self.next);
    }

    /// A frame goes into the network.
    pub(crate) fn pushed(&mut self, ticks: i64, hash: u64, begins_shot: bool) {
        if begins_shot {
            self.coming.push_back(self.first + self.seen.len() as u64);
            // A piece will begin here when its result comes.
            if self.ahead >= self.target.div_ceil(2) {
                self.ahead = 0;
            }
        }
        self.ahead += 1;
        self.seen.push_back(Seen { ticks, hash });
    }

    /// A result has come out.
    pub(crate) fn given(&mut self) {
        if self.coming.front() == Some(&self.next) {
            self.coming.pop_front();
            self.shot_start = self.next;
            self.shots += 1;
        }
        self.next += 1;
        self.in_piece += 1;
        while self.first + ((self.lead + RUN_UP) as u64) < self.next {
            self.seen.pop_front();
            self.first += 1;
        }
    }

    /// Whether a piece should begin with the next result, which `begins_shot` or could go on with in the middle of one.
    pub(crate) fn is_due(&self, begins_shot: bool) -> bool {
        let least = if begins_shot { self.target.div_ceil(2) } else { self.target };
        self.in_piece >= least
    }

    /// Whether the next result begins a shot.
    pub(crate) fn next_begins_shot(&self) -> bool {
        self.coming.front() == Some(&self.next)
    }

    /// Whether a piece may begin with the frame that comes next, in the middle of a shot, once the results of all frames
    /// before are given. Until then [`Borders::is_due`] need not be asked.
    pub(crate) fn may_be_due(&self) -> bool {
        self.ahead >= self.target
    }

    /// Begins a piece with the next result, of which the network holds `held` frames already. Its frame must have been
    /// pushed, or be `upcoming`.
    pub(crate) fn begin(&mut self, upcoming: i64, begins_shot: bool, held: u64) -> Place {
        self.in_piece = 0;
        if !begins_shot {
            self.ahead = (self.first + self.seen.len() as u64).saturating_sub(self.next);
        }
        let number = |number: u64| number.checked_sub(self.first).and_then(|at| self.seen.get(at as usize));
        let lead = self.next - (self.lead as u64).min(self.next);
        let mut check = Check::new();
        for seen in (lead..self.next).filter_map(number) {
            check.add(seen.ticks, seen.hash);
        }
        let at = number(self.next).map_or(upcoming, |seen| seen.ticks);
        let shot_start = match self.coming.front() {
            Some(&start) if start == self.next => start,
            _ if begins_shot => self.next,
            _ => self.shot_start,
        };
        Place {
            at,
            lead: number(lead).map_or(at, |seen| seen.ticks),
            from: lead.checked_sub(RUN_UP as u64).and_then(number).map(|seen| seen.ticks),
            check: check.value(),
            shot: self.next - shot_start,
            held,
            full: false,
            state: false,
            shots: self.shots,
        }
    }

    /// The number of the frame that the next result is of.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_as_long_as_the_work_wants_within_bounds() {
        let size = Size::new(320, 180);
        assert_eq!(piece_frames(None, size, Some((25, 1))), 256);
        assert_eq!(piece_frames(None, size, Some((240, 1))), 480);
        assert_eq!(piece_frames(None, size, None), 256);
    }

    /// The borders of a film of frame-by-frame work with cuts at `cuts`, going on from `from`.
    fn borders(frames: u64, cuts: &[u64], from: Option<(u64, Place)>) -> Vec<(u64, Place)> {
        let next = from.as_ref().map_or(0, |(next, _)| *next);
        let mut borders = Borders::new(20, 4, next, from.as_ref().map(|(_, place)| place));
        let ticks = |n: u64| n as i64 * 3;
        for n in next.saturating_sub(4 + RUN_UP as u64)..next {
            borders.recall(ticks(n), n * 17);
        }
        borders.recalled();
        let mut found = Vec::new();
        for n in next..frames {
            let begins = cuts.contains(&n);
            if n > next && borders.is_due(begins) {
                found.push((n, borders.begin(ticks(n), begins, 0)));
            }
            borders.pushed(ticks(n), n * 17, begins);
            borders.given();
        }
        found
    }

    #[test]
    fn pieces_begin_at_shots_or_after_their_length() {
        let found = borders(100, &[0, 5, 12, 40, 49, 95], None);
        let numbers: Vec<u64> = found.iter().map(|(n, _)| *n).collect();
        assert_eq!(numbers, [12, 32, 49, 69, 89]);
        let place = found[0].1;
        assert_eq!((place.at, place.lead, place.from, place.shot, place.shots), (36, 24, Some(0), 0, 2));
        assert_eq!((found[1].1.shot, found[2].1.shot, found[2].1.shots), (20, 0, 4));
    }

    #[test]
    fn going_on_finds_the_same_borders() {
        let cuts = [0, 5, 12, 40, 49, 95];
        let all = borders(100, &cuts, None);
        for (n, &border) in all.iter().enumerate() {
            assert_eq!(borders(100, &cuts, Some(border)), all[n + 1..], "from frame {}", border.0);
        }
    }
}
