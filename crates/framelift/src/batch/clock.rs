//! How long a batch will take: what is left to make, in pixels, over the speed measured so far.

use std::time::Duration;

use framelift_pipeline::Progress;

use crate::Survey;

/// What the films of a batch take, and how fast they have gone.
#[derive(Debug)]
pub(super) struct Clock {
    /// Pixels that each film's network makes, as far as the film says how long it is; zero for films that are not worked on.
    work: Vec<Option<f64>>,
    done: f64,
    spent_s: f64,
}

impl Clock {
    /// A clock of films; `None` for those that are not worked on.
    pub(super) fn new<'a>(films: impl Iterator<Item = Option<&'a Survey>>) -> Self {
        let pixels = |survey: &Survey| survey.frames.map(|frames| frames as f64 * survey.made.pixels() as f64);
        Self { work: films.map(|film| film.map_or(Some(0.0), pixels)).collect(), done: 0.0, spent_s: 0.0 }
    }

    /// The time left for all films once film `index` has come as far as `progress`; `None` while something is not known.
    pub(super) fn left(&self, index: usize, progress: &Progress) -> Option<Duration> {
        let eta_s = progress.eta?.as_secs_f64();
        let whole_s = progress.elapsed.as_secs_f64() + eta_s;
        let this = self.work.get(index).copied().flatten()?;
        let rest: f64 = self.work.get(index + 1..)?.iter().copied().sum::<Option<f64>>()?;
        let work = self.done + this;
        let rest_s = if rest == 0.0 { 0.0 } else { rest * (self.spent_s + whole_s) / work };
        Duration::try_from_secs_f64(eta_s + rest_s).ok()
    }

    /// Film `index` was made in `elapsed`.
    pub(super) fn finished(&mut self, index: usize, elapsed: Duration) {
        if let Some(work) = self.work.get(index).copied().flatten() {
            self.done += work;
            self.spent_s += elapsed.as_secs_f64();
        }
    }

    /// The share of all the work that is done with film `index` at `frames` of its frames; `None` while it is not known.
    pub(super) fn share(&self, index: usize, progress: &Progress) -> Option<f64> {
        let before: f64 = self.work.get(..index)?.iter().copied().sum::<Option<f64>>()?;
        let all: f64 = self.work.iter().copied().sum::<Option<f64>>()?;
        let this = self.work.get(index).copied().flatten()?;
        let part = progress.frames_done as f64 / progress.frames_total?.max(1) as f64;
        (all > 0.0).then(|| ((before + this * part) / all).min(1.0))
    }
}

#[cfg(test)]
mod tests {
    use framelift_frame::{Size, TimeBase, Timestamp};

    use super::*;
    use crate::Existing;

    fn survey(frames: Option<u64>) -> Survey {
        let size = Size::new(10, 10);
        Survey { input: size, made: size, output: size, frames, existing: Existing::None }
    }

    fn progress(done: u64, total: u64, elapsed_s: u64, eta_s: u64) -> Progress {
        Progress {
            frames_done: done,
            frames_total: Some(total),
            position: Timestamp::new(0, TimeBase::new(1, 25)),
            fps: 1.0,
            eta: Some(Duration::from_secs(eta_s)),
            elapsed: Duration::from_secs(elapsed_s),
        }
    }

    #[test]
    fn the_rest_goes_at_the_speed_so_far() {
        let films = [survey(Some(100)), survey(Some(300)), survey(Some(100))];
        let mut clock = Clock::new([Some(&films[0]), None, Some(&films[1]), Some(&films[2])].into_iter());
        // Halfway through the first of 100 frames, at a second a frame: 50 and 400 more.
        let at = progress(50, 100, 50, 50);
        assert_eq!(clock.left(0, &at), Some(Duration::from_secs(450)));
        assert_eq!(clock.share(0, &at), Some(0.1));
        clock.finished(0, Duration::from_secs(100));
        // The next goes twice as fast, which the last will only half follow: 400 frames in 250 s.
        let left = clock.left(2, &progress(100, 300, 50, 100)).unwrap().as_secs_f64();
        assert!((left - (100.0 + 100.0 * 250.0 / 400.0)).abs() < 1e-6, "{left}");
    }

    #[test]
    fn what_is_not_known_is_not_told() {
        let films = [survey(Some(100)), survey(None)];
        let clock = Clock::new(films.iter().map(Some));
        assert_eq!(clock.left(0, &progress(50, 100, 50, 50)), None);
        assert_eq!(clock.share(0, &progress(50, 100, 50, 50)), None);
    }
}
