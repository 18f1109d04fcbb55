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
    /// Frames a second: over the last ten seconds or 64 frames, whichever is longer; over the last whole windows for networks
    /// that see windows.
    pub fps: f64,
    /// Time left at that speed. A network that sees windows has given its first one before there is such a speed.
    pub eta: Option<Duration>,
    /// Time since the run began.
    pub elapsed: Duration,
}

/// Speed over the recent past.
pub(crate) struct Meter {
    started: Instant,
    recent: VecDeque<Instant>,
    done: u64,
    total: Option<u64>,
    /// When the last finished frame is shown.
    position: Option<Timestamp>,
    /// For a network that sees windows: where each of the last began, as frames done and the moment. The frames of a window
    /// come in a burst at its end, so that only whole windows tell a speed.
    windows: VecDeque<(u64, Instant)>,
}

const WINDOW: Duration = Duration::from_secs(10);
const WINDOW_FRAMES: usize = 64;

/// Whole windows that the speed is measured over.
const WINDOWS: usize = 8;

impl Meter {
    /// A meter of a run that has `total` frames to make in all, of which `done` were made before.
    pub(crate) fn new(total: Option<u64>, done: u64, started: Instant) -> Self {
        Self { started, recent: VecDeque::new(), done, total, position: None, windows: VecDeque::new() }
    }

    /// Counts a frame finished `now`.
    pub(crate) fn tick(&mut self, position: Timestamp, now: Instant) -> Progress {
        self.done += 1;
        self.recent.push_back(now);
        while self.recent.len() > WINDOW_FRAMES && self.recent.front().is_some_and(|&t| now - t > WINDOW) {
            self.recent.pop_front();
        }
        self.position = Some(position);
        self.progress(position, now)
    }

    /// Notes that a window is worked on of which no frame is finished yet. Where frames of the one before were finished since,
    /// that one is whole, and the speed is known anew.
    pub(crate) fn inside_window(&mut self, now: Instant) -> Option<Progress> {
        let begun = self.windows.back().map(|(frames, _)| *frames);
        if begun == Some(self.done) {
            return None;
        }
        // The first window's time counts from the start of the run.
        self.windows.push_back((self.done, if begun.is_none() { self.started } else { now }));
        if self.windows.len() > WINDOWS + 1 {
            self.windows.pop_front();
        }
        self.position.filter(|_| begun.is_some()).map(|position| self.progress(position, now))
    }

    fn progress(&self, position: Timestamp, now: Instant) -> Progress {
        let total = self.total.map(|t| t.max(self.done));
        let whole = self.whole_windows();
        let fps = whole.map_or_else(|| self.fps(now), |(fps, ..)| fps);
        let left_s = total.and_then(|total| match whole {
            Some((fps, frames, at)) => Some(((total - frames) as f64 / fps - (now - at).as_secs_f64()).max(0.0)),
            None if self.windows.is_empty() && fps > 0.0 => Some((total - self.done) as f64 / fps),
            None => None,
        });
        let left_s = if total == Some(self.done) { Some(0.0) } else { left_s };
        let eta = left_s.and_then(|left| Duration::try_from_secs_f64(left).ok());
        let elapsed = now - self.started;
        Progress { frames_done: self.done, frames_total: total, position, fps, eta, elapsed }
    }

    /// Frames a second over the last whole windows, and where the window after them began.
    fn whole_windows(&self) -> Option<(f64, u64, Instant)> {
        let (&(from, since), &(frames, at)) = (self.windows.front()?, self.windows.back()?);
        let seconds = (at - since).as_secs_f64();
        (frames > from && seconds > 0.0).then(|| ((frames - from) as f64 / seconds, frames, at))
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
    fn windows_tell_the_time_left_once_the_first_is_whole() {
        let start = Instant::now();
        let at = Timestamp::new(0, TimeBase::new(1, 25));
        let mut meter = Meter::new(Some(400), 0, start);
        let s = |seconds: f64| start + Duration::from_secs_f64(seconds);
        // Windows of 100 frames: 80 s of passes, then five frames a second.
        for window in 0..3 {
            let begun = f64::from(window) * 100.0;
            let told = meter.inside_window(s(begun + 1.0));
            match window {
                0 => assert_eq!(told, None),
                _ => {
                    let left = 400.0 - 100.0 * f64::from(window) - 1.0;
                    let told = told.unwrap();
                    assert!((told.fps - 1.0).abs() < 0.02, "{told:?}");
                    assert!((told.eta.unwrap().as_secs_f64() - left).abs() < 5.0, "{told:?}");
                }
            }
            assert_eq!(meter.inside_window(s(begun + 40.0)), None, "once a window");
            for frame in 0..100 {
                let now = begun + 80.0 + 0.2 * f64::from(frame + 1);
                let told = meter.tick(at, s(now));
                match told.eta {
                    None => assert_eq!(window, 0),
                    Some(eta) => assert!((eta.as_secs_f64() - (400.0 - now)).abs() < 5.0, "{told:?} at {now}"),
                }
            }
        }
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
