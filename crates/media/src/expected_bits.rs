//! How much an encoder makes of a film, as far as that can be told before: a range between calm and restless pictures.

use std::ops::Range;

use crate::{OutputVideo, WriteOptions};

/// What encoders with a rate factor make of a pixel in bits at some factor, of calm and of restless films, and by how much
/// the factor must grow for half of it. From 20 frames each of six real films, four times enlarged, in 8 bits and 4:2:0,
/// rounded outwards: x264 made 0.105 to 0.44, x265 0.045 to 0.29, VP9 0.044 to 0.39, SVT-AV1 0.026 to 0.23.
const FACTORS: [(&str, f32, Range<f64>, f32); 4] = [
    ("libx264", 16.0, 0.05..0.5, 6.0),
    ("libx265", 18.0, 0.03..0.35, 6.0),
    ("libvpx-vp9", 20.0, 0.03..0.45, 12.0),
    ("libsvtav1", 24.0, 0.02..0.3, 12.0),
];

/// Settings that take the place of the rate factor, so that nothing is known of the size.
const OTHER_RATES: [&str; 6] = ["b", "qp", "q", "maxrate", "global_quality", "lossless"];

/// What a pixel of an output may take.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ExpectedBits {
    /// Bits in a calm film.
    pub calm: f64,
    /// Bits in a restless one.
    pub restless: f64,
    /// Whether hardly any film takes less than a calm one, so that a job can be refused by it.
    pub sure: bool,
}

impl OutputVideo {
    /// What a pixel of the output may take; `None` for encoders and settings that nothing is known of.
    #[must_use]
    pub fn expected_bits(&self, options: &WriteOptions) -> Option<ExpectedBits> {
        let samples = self.format.samples_per_pixel();
        let raw = samples * if self.format.depth > 8 { 16.0 } else { 8.0 };
        match self.encoder.as_str() {
            "wrapped_avframe" | "rawvideo" => return Some(ExpectedBits { calm: raw, restless: raw, sure: true }),
            // Lossless of what a film is: rarely under a fifth, and of noise no less than it is.
            "png" | "ffv1" | "huffyuv" | "ffvhuff" => {
                return Some(ExpectedBits { calm: raw / 5.0, restless: raw, sure: true });
            }
            _ => {}
        }
        if options.encoder_options.iter().any(|(key, _)| OTHER_RATES.contains(&key.as_str())) {
            return None;
        }
        let (_, usual, bits, half) = FACTORS.iter().find(|(encoder, ..)| *encoder == self.encoder)?.clone();
        let asked = options.encoder_options.iter().find(|(key, _)| key == "crf").map(|(_, value)| value.parse());
        let factor = match asked {
            Some(factor) => factor.ok()?,
            None => options.crf.unwrap_or(usual),
        };
        let times = f64::from((usual - factor) / half).exp2() * samples / 1.5;
        // However fine the factor, no encoder makes more than the samples are.
        let at_most = |bits: f64| (bits * times).min(raw);
        // At a factor of zero most are lossless.
        let restless = if factor > 0.0 { at_most(bits.end) } else { raw };
        Some(ExpectedBits { calm: at_most(bits.start), restless, sure: false })
    }
}

#[cfg(test)]
mod tests {
    use framelift_frame::Size;

    use super::*;
    use crate::compose::{Canvas, Composition};
    use crate::{Demuxer, Input, Output, ReadOptions};

    #[test]
    fn finer_factors_deeper_chroma_and_other_rates_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.y4m");
        let frame = framelift_frame::Frame::black(
            Size::new(64, 64),
            framelift_frame::Timestamp::new(0, framelift_frame::TimeBase::new(1, 25)),
            1,
        );
        let canvas = Canvas::new(Size::new(64, 64));
        Composition::new(canvas)
            .unwrap()
            .write(&Output::parse(&path).unwrap(), &WriteOptions::default(), [frame])
            .unwrap();
        let film = Demuxer::open(&Input::File(path), &ReadOptions::default()).unwrap();
        let of = |output: &str, options: &WriteOptions| {
            let output = Output::parse(output).unwrap();
            OutputVideo::plan(film.info(), Size::new(64, 64), &output, options).unwrap().expected_bits(options)
        };
        let with =
            |codec: Option<&str>, crf| WriteOptions { codec: codec.map(str::to_owned), crf, ..Default::default() };
        let raw = of("a.y4m", &WriteOptions::default()).unwrap();
        assert_eq!(raw, ExpectedBits { calm: 12.0, restless: 12.0, sure: true });
        assert!(of("a.mkv", &with(Some("mpeg4"), None)).is_none());
        let Some(usual) = of("a.mkv", &with(Some("libx264"), None)) else { return };
        let coarse = of("a.mkv", &with(Some("libx264"), Some(22.0))).unwrap();
        assert!((usual.calm / coarse.calm - 2.0).abs() < 1e-9 && !usual.sure);
        let finest = of("a.mkv", &with(Some("libx264"), Some(-60.0))).unwrap();
        assert!(finest.restless <= 12.0, "{finest:?}");
        let mut rated = with(Some("libx264"), None);
        rated.encoder_options.push(("b".into(), "100000".into()));
        assert!(of("a.mkv", &rated).is_none());
    }
}
