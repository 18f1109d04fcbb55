//! What came out: frames, times and streams against the input's, pictures against the truth.

use std::path::Path;

use framelift::media::{Demuxer, Input, ToRgb};
use framelift::{Error, Frame, ReadOptions, StreamInfo, Timestamp};

/// Calls `take` with each frame of the film at `path`, in order, until it says no.
pub(crate) fn read(path: &Path, mut take: impl FnMut(Frame) -> bool) -> Result<(), Error> {
    let mut demuxer = Demuxer::open(&Input::parse(path.as_os_str())?, &ReadOptions::default())?;
    let info = demuxer.info().clone();
    let Some((stream, video)) = info.video_stream() else { return Ok(()) };
    let mut decoder = demuxer.decoder()?;
    let mut to_rgb = ToRgb::new(video)?;
    let mut ended = false;
    while !ended {
        match demuxer.read()? {
            Some(packet) if packet.stream_index() != stream.index => continue,
            Some(packet) => decoder.send(packet)?,
            None => {
                decoder.finish()?;
                ended = true;
            }
        }
        while let Some(picture) = decoder.receive()? {
            if !take(to_rgb.push(picture)?) {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// The times of all frames.
pub(crate) fn times(path: &Path) -> Result<Vec<Timestamp>, Error> {
    let mut times = Vec::new();
    read(path, |frame| {
        times.push(frame.time);
        true
    })?;
    Ok(times)
}

/// What a stream is, without what re-encoding changes: kind, language, and the codec where it is copied.
pub(crate) fn describe(stream: &StreamInfo, is_video: bool) -> String {
    let codec = if is_video { "" } else { &stream.codec };
    format!("{} {codec} {}", stream.kind.name(), stream.language.as_deref().unwrap_or("-"))
}

/// Peak signal-to-noise ratio of luma in dB: Y = 16 + 65.481 R + 128.553 G + 24.966 B (BT.601, studio), peak 255.
pub(crate) fn y_psnr(a: &Frame, b: &Frame) -> f64 {
    const WEIGHTS: [f64; 3] = [65.481, 128.553, 24.966];
    let difference = |plane: usize, i: usize| {
        let sample = |frame: &Frame| f64::from(frame.planes()[plane].samples()[i]) / 65535.0;
        WEIGHTS[plane] * (sample(a) - sample(b))
    };
    let count = a.planes()[0].samples().len().min(b.planes()[0].samples().len());
    let squares: f64 = (0..count).map(|i| (0..3).map(|plane| difference(plane, i)).sum::<f64>().powi(2)).sum();
    10.0 * (255.0 * 255.0 * count as f64 / squares.max(1e-12)).log10()
}

/// The most memory this process has held, in bytes, where the system says.
pub(crate) fn peak_memory_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

#[cfg(test)]
mod tests {
    use framelift::{Plane, Size, TimeBase};

    use super::*;

    #[test]
    fn psnr_of_a_known_difference() {
        let time = Timestamp::new(0, TimeBase::new(1, 1000));
        let size = Size::new(4, 4);
        let gray = |value| Frame::new(std::array::from_fn(|_| Plane::filled(size, value)), time, 1).unwrap();
        // A step of 1/255 in R, G and B is 219/255 in Y: 20 log10(255 / (219 / 255)).
        let psnr = y_psnr(&gray(257 * 100), &gray(257 * 101));
        assert!((psnr - 49.4526).abs() < 1e-3, "{psnr}");
    }
}
