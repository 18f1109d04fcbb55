//! How far a run has come, how fast it goes, and when it will end.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use framelift_frame::Timestamp;

/// The state of a run after a frame was finished.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// Frames upscaled and handed to the encoder.
    pub frames_done: u64,
    /// Frames in all, as far as the film says; never less than `frames_done`. `None` where it does not say.
    pub frames_total: Option<u64>,
    /// When the last finished frame is shown.
    pub position: Timestamp,
    /// Frames a second over the last ten seconds or 64 frames, whichever is longer.
    pub fps: f64,
    /// Time left at that speed.
    pub eta: Option<Duration>,
    /// Time since the run began.
    pub elapsed: Duration,
}

/// Speed over a moving window of recent frames.
pub(crate) struct Meter {
    started: Instant,
    recent: VecDeque<Instant>,
    done: u64,
    total: Option<u64>,
}

const WINDOW: Duration = Duration::from_secs(10);
const WINDOW_FRAMES: usize = 64;

impl Meter {
    /// A meter of a run that has `total` frames to make in all, of which `done` were made before.
    pub(crate) fn new(total: Option<u64>, done: u64, started: Instant) -> Self {
        Self { started, recent: VecDeque::new(), done, total }
    }

    /// Counts a frame finished `now`.
    pub(crate) fn tick(&mut self, position: Timestamp, now: Instant) -> Progress {
        self.done += 1;
        self.recent.push_back(now);
        while self.recent.len() > WINDOW_FRAMES && self.recent.front().is_some_and(|&t| now - t > WINDOW) {
            self.recent.pop_front();
        }
        let total = self.total.map(|t| t.max(self.done));
        let fps = self.fps(now);
        let eta =
            total.filter(|_| fps > 0.0).and_then(|t| Duration::try_from_secs_f64((t - self.done) as f64 / fps).ok());
        let elapsed = now - self.started;
        Progress { frames_done: self.done, frames_total: total, position, fps, eta, elapsed }
    }

    fn fps(&self, now: Instant) -> f64 {
        // Of n moments, n - 1 intervals are known; the first frame is measured from the start of the run.
        let (from, intervals) = match self.recent.front() {
            Some(&first) if self.recent.len() > 1 => (first, self.recent.len() - 1),
            _ => (self.started, 1),
        };
        let seconds = (now - from).as_secs_f64();
        if seconds > 0.0 { intervals as f64 / seconds } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use framelift_frame::TimeBase;

    use super::*;

    #[test]
    fn the_window_forgets_a_slow_start() {
        let start = Instant::now();
        let at = Timestamp::new(0, TimeBase::new(1, 25));
        let mut meter = Meter::new(Some(400), 0, start);
        let mut now = start + Duration::from_secs(100);
        let mut last = meter.tick(at, now);
        assert!((last.fps - 0.01).abs() < 1e-9);
        for _ in 0..200 {
            now += Duration::from_millis(100);
            last = meter.tick(at, now);
        }
        assert!((last.fps - 10.0).abs() < 0.1, "{}", last.fps);
        assert_eq!((last.frames_done, last.frames_total), (201, Some(400)));
        assert!((last.eta.unwrap().as_secs_f64() - 19.9).abs() < 0.3);
    }

    #[test]
    fn a_total_that_was_too_low_is_raised() {
        let start = Instant::now();
        let at = Timestamp::new(0, TimeBase::new(1, 25));
        let mut meter = Meter::new(Some(1), 0, start);
        meter.tick(at, start + Duration::from_secs(1));
        let p = meter.tick(at, start + Duration::from_secs(2));
        assert_eq!(p.frames_total, Some(2));
        assert_eq!(p.eta, Some(Duration::ZERO));
    }
}
