//! The test film: two shots of moving texture and text, variable frame rate, two sound tracks, subtitles, chapters.

use framelift::{Frame, Size, TimeBase, Timestamp};

use super::scene::{CUT_S, Scene};

/// Size of the film; the truth is drawn at [`TRUTH_SCALE`] times this.
pub(crate) const SIZE: Size = Size::new(320, 180);

/// Truth pixels for each film pixel along a side.
pub(crate) const TRUTH_SCALE: u32 = 4;

/// Milliseconds, Matroska's tick.
pub(crate) const BASE: TimeBase = TimeBase::new(1, 1000);

/// Sound samples a second.
pub(crate) const SAMPLE_RATE: u32 = 48_000;

/// How long the frames are shown in turn: no constant rate fits them.
const DURATIONS_MS: [i64; 7] = [40, 40, 33, 50, 20, 67, 40];

/// Where the film ends.
const END_MS: i64 = 2800;

/// When each frame is shown and for how long, in ticks of [`BASE`].
pub(crate) fn times() -> Vec<(i64, i64)> {
    let mut times = Vec::new();
    let mut at = 0;
    while at < END_MS {
        let duration = DURATIONS_MS[times.len() % DURATIONS_MS.len()];
        times.push((at, duration));
        at += duration;
    }
    times
}

/// The frame shown at `ticks`, drawn at `scale` times the film's size.
pub(crate) fn truth(scene: &Scene, ticks: i64, duration_ticks: i64) -> Frame {
    let size = Size::new(SIZE.width * TRUTH_SCALE, SIZE.height * TRUTH_SCALE);
    scene.draw(size, Timestamp::new(ticks, BASE), duration_ticks)
}

/// One channel of sound: a tone that beeps at each second and at the cut, so that an ear can tell whether it is in
/// sync; `pitch_hz` tells the tracks apart.
pub(crate) fn sound(pitch_hz: f64) -> Vec<i16> {
    let length = END_MS as usize * SAMPLE_RATE as usize / 1000;
    let sample = |n: usize| {
        let t = n as f64 / f64::from(SAMPLE_RATE);
        let beep = t.fract() < 0.08 || (CUT_S..CUT_S + 0.08).contains(&t);
        let loudness = if beep { 0.5 } else { 0.06 };
        ((t * pitch_hz * std::f64::consts::TAU).sin() * loudness * f64::from(i16::MAX)) as i16
    };
    (0..length).map(sample).collect()
}

/// Subtitles: from, for how long (ticks of [`BASE`]), and text.
pub(crate) const SUBTITLES: [(i64, i64, &str); 3] =
    [(200, 1200, "A wall, a sign, a ball."), (1600, 500, "A cut."), (2150, 600, "A star, and text that rolls.")];
