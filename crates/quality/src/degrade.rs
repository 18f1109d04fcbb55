//! The inputs of the papers' tables, made of their ground truth.
//!
//! In: frames whose samples are taken at 8 bits, as the papers' pictures are stored. Out: frames of samples of 8 bits
//! (multiples of 257), a quarter of the size.
//!
//! * BI is MATLAB's `imresize(picture, 1/scale)`: cubic convolution of a = -0.5 (Keys 1981), widened by the scale
//!   against aliasing, weights normalised, the border mirrored; rows first, rounded to 8 bits after either direction,
//!   as MATLAB does for pictures of 8 bits.
//! * BD is a Gaussian of σ 1.6 px on an even window of 12×12, the border repeated, sampled at the centre of each
//!   4×4 block, rounded once.

use framelift_frame::{ColorFamily, Frame, Matrix, PixelFormat, Plane, Range, Size};
use framelift_media::{Encoder, MediaError, MediaInfo, Muxer, Output, OutputVideo, StreamKind, ToYuv, WriteOptions};

use crate::Film;

/// How a film is made worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Degradation {
    /// Scaled down by bicubic interpolation, antialiased.
    Bicubic {
        /// How many pixels of a side become one.
        scale: u32,
    },
    /// Blurred by a Gaussian, every fourth pixel of every fourth row kept.
    Blur,
}

/// Why a film cannot be degraded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DegradeError {
    /// The film cannot be read or the result not written.
    #[error(transparent)]
    Media(#[from] MediaError),
    /// The film has no frame.
    #[error("{name} has no frame; give a film with pictures")]
    NoFrames {
        /// The film.
        name: String,
    },
    /// Sides are no multiples of the scale.
    #[error("{size} does not divide by {scale}, and the result could not be compared; crop the film to {fits} first")]
    Size {
        /// The film's size.
        size: Size,
        /// The scale.
        scale: u32,
        /// The largest size that divides.
        fits: Size,
    },
}

/// What the first sample of a direction is made of: the first source sample (perhaps outside) and the weights from there on.
struct Taps {
    first: i64,
    /// Source samples from one sample to the next.
    step: i64,
    weights: Vec<f64>,
    border: Border,
}

/// What lies outside a picture.
#[derive(Clone, Copy)]
enum Border {
    /// The picture mirrored, its last sample repeated.
    Mirrored,
    /// Its last sample.
    Repeated,
}

impl Degradation {
    /// How many pixels of a side become one.
    #[must_use]
    pub fn scale(self) -> u32 {
        match self {
            Self::Bicubic { scale } => scale,
            Self::Blur => 4,
        }
    }

    /// The size a film of `size` gets.
    ///
    /// # Errors
    /// [`DegradeError::Size`] where a side does not divide by the scale.
    pub fn size(self, size: Size) -> Result<Size, DegradeError> {
        let scale = self.scale().max(1);
        let small = Size::new(size.width / scale, size.height / scale);
        let fits = small.scaled(scale).unwrap_or(size);
        if small.is_empty() || fits != size {
            return Err(DegradeError::Size { size, scale, fits });
        }
        Ok(small)
    }

    /// Degrades a frame; time and duration stay.
    ///
    /// # Errors
    /// As [`Degradation::size`].
    pub fn frame(self, frame: &Frame) -> Result<Frame, DegradeError> {
        let size = self.size(frame.size())?;
        let taps = self.taps();
        let planes = frame.planes().each_ref().map(|plane| self.plane(plane, size, &taps));
        Ok(Frame::new(planes, frame.time, frame.duration_ticks)
            .unwrap_or_else(|| Frame::black(size, frame.time, frame.duration_ticks)))
    }

    /// Degrades a film and writes its pictures alone. Without an encoder in `options` nothing is lost of them: FFV1 in
    /// Matroska, x264's lossless RGB in MP4 and MOV, or PNG pictures. Gives the number of frames and what had to give way.
    ///
    /// `go_on` is asked before each frame; where it says no, nothing is written and the error is
    /// [`MediaError::Interrupted`].
    ///
    /// # Errors
    /// [`DegradeError`].
    pub fn film(
        self,
        film: &mut Film,
        output: &Output,
        options: &WriteOptions,
        go_on: &dyn Fn() -> bool,
    ) -> Result<(u64, Vec<String>), DegradeError> {
        let Some((_, video)) = film.info().video_stream() else {
            return Err(DegradeError::NoFrames { name: film.name().to_owned() });
        };
        let (from, size) = (video.size, self.size(video.size)?);
        let keeps_all = options.codec.is_none();
        let options = &if keeps_all { lossless(output, options) } else { options.clone() };
        let info = if keeps_all { as_rgb(film.info()) } else { film.info().clone() };
        let plan = OutputVideo::plan(&info, size, output, options)?;
        if keeps_all && plan.format.family != ColorFamily::Rgb {
            let what = format!("{output} holds no RGB, so the pictures would lose");
            let remedy = "write to a .mkv file or a PNG pattern, or name a --codec".to_owned();
            return Err(MediaError::Usage { what, remedy }.into());
        }
        let mut to_yuv = ToYuv::new(size, &plan)?;
        let mut encoder = Encoder::new(&plan, output, options)?;
        let mut muxer = Muxer::create(output, &encoder, &film.demuxer().template()?, options)?;
        let mut frames = 0;
        while let Some(frame) = film.next_frame()? {
            if !go_on() {
                return Err(MediaError::Interrupted.into());
            }
            debug_assert_eq!(frame.size(), from, "frames have the stream's size");
            encoder.send(to_yuv.push(&self.frame(&frame)?)?)?;
            while let Some(packet) = encoder.receive()? {
                muxer.write_video(packet)?;
            }
            frames += 1;
        }
        if frames == 0 {
            return Err(DegradeError::NoFrames { name: film.name().to_owned() });
        }
        encoder.finish()?;
        while let Some(packet) = encoder.receive()? {
            muxer.write_video(packet)?;
        }
        let mut notices = plan.notices;
        notices.extend(muxer.take_notices());
        muxer.finish()?;
        Ok((frames, notices))
    }

    fn plane(self, plane: &Plane, size: Size, taps: &Taps) -> Plane {
        let source: Vec<f64> = plane.samples().iter().map(|v| to_8_bits(f64::from(*v) / 257.0)).collect();
        // MATLAB rounds pictures of 8 bits after either direction.
        let between = if matches!(self, Self::Bicubic { .. }) { to_8_bits } else { |value: f64| value };
        let made = taps.resample(&source, plane.size(), size, between);
        let samples = made.into_iter().map(|value| to_8_bits(value) as u16 * 257).collect();
        Plane::new(size, samples).unwrap_or_else(|| Plane::filled(size, 0))
    }

    /// What each sample is made of; all are alike, `scale` samples apart.
    fn taps(self) -> Taps {
        let (first, mut weights, border) = match self {
            Self::Bicubic { scale } => {
                // Sample 0 lies at (scale - 1) / 2; the kernel reaches 2 · scale to either side.
                let (scale, reach) = (f64::from(scale), 2 * i64::from(scale));
                let center = (scale - 1.0) / 2.0;
                let first = center.floor() as i64 - reach;
                let weights = (first..=center.ceil() as i64 + reach).map(|at| cubic((at as f64 - center) / scale));
                (first, weights.collect::<Vec<f64>>(), Border::Mirrored)
            }
            Self::Blur => {
                const SIGMA_PX: f64 = 1.6;
                let gauss = |tap: i32| (-(f64::from(tap) - 5.5).powi(2) / (2.0 * SIGMA_PX * SIGMA_PX)).exp();
                (-4, (0..12).map(gauss).collect(), Border::Repeated)
            }
        };
        let sum: f64 = weights.iter().sum();
        weights.iter_mut().for_each(|weight| *weight /= sum);
        Taps { first, step: i64::from(self.scale()), weights, border }
    }
}

impl Taps {
    /// Down the columns, then along the rows; what is between goes through `between`.
    fn resample(&self, source: &[f64], from: Size, to: Size, between: fn(f64) -> f64) -> Vec<f64> {
        let (width, height) = (from.width as usize, from.height as usize);
        let mut rows = vec![0.0f64; width * to.height as usize];
        for (row, first) in rows.chunks_exact_mut(width).zip((self.first..).step_by(self.step as usize)) {
            for (weight, at) in self.weights.iter().zip(first..) {
                let source = &source[self.border.place(at, height) * width..][..width];
                row.iter_mut().zip(source).for_each(|(sum, value)| *sum += weight * value);
            }
            row.iter_mut().for_each(|value| *value = between(*value));
        }
        let firsts = (self.first..).step_by(self.step as usize).take(to.width as usize);
        let along = |row: &[f64], first: i64| -> f64 {
            self.weights.iter().zip(first..).map(|(weight, at)| weight * row[self.border.place(at, width)]).sum()
        };
        rows.chunks_exact(width).flat_map(|row| firsts.clone().map(move |first| along(row, first))).collect()
    }
}

impl Border {
    /// The sample of a side of `length` that stands for the one at `at`.
    fn place(self, at: i64, length: usize) -> usize {
        let last = length as i64 - 1;
        let inside = match self {
            Self::Repeated => at.clamp(0, last),
            Self::Mirrored => {
                let folded = at.rem_euclid(2 * (last + 1));
                folded.min(2 * last + 1 - folded)
            }
        };
        inside as usize
    }
}

/// The options with an encoder that loses nothing, where `output` is of a container that has one.
fn lossless(output: &Output, options: &WriteOptions) -> WriteOptions {
    let extension = match output {
        Output::File(path) => path.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase),
        _ => None,
    };
    let (codec, crf) = match extension.as_deref() {
        Some("mkv") => (Some("ffv1"), None),
        Some("mp4" | "m4v" | "mov") => (Some("libx264rgb"), Some(0.0)),
        _ => (None, None),
    };
    WriteOptions { codec: codec.map(str::to_owned), crf, ..options.clone() }
}

/// The film as it would be if it were stored as RGB of 8 bits.
fn as_rgb(info: &MediaInfo) -> MediaInfo {
    let mut info = info.clone();
    let main = info.video;
    for stream in info.streams.iter_mut().filter(|stream| Some(stream.index) == main) {
        if let StreamKind::Video(video) = &mut stream.kind {
            video.format =
                PixelFormat { family: ColorFamily::Rgb, depth: 8, log2_chroma_w: 0, log2_chroma_h: 0, alpha: false };
            video.format_name = "gbrp".to_owned();
            (video.color.matrix, video.color.range) = (Matrix::Rgb, Range::Full);
        }
    }
    info
}

/// Cubic convolution with a = -0.5.
fn cubic(x: f64) -> f64 {
    let x = x.abs();
    if x <= 1.0 {
        (1.5 * x - 2.5) * x * x + 1.0
    } else if x <= 2.0 {
        ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    } else {
        0.0
    }
}

/// Rounded as pictures of 8 bits are: halves up, 0 to 255.
fn to_8_bits(value: f64) -> f64 {
    (value + 0.5).floor().clamp(0.0, 255.0)
}

#[cfg(test)]
mod tests {
    use framelift_frame::{TimeBase, Timestamp};
    use framelift_testkit::golden::Golden;

    use super::*;

    fn frame(size: Size, at: impl Fn(usize, usize) -> u8) -> Frame {
        let sample = |i: usize| u16::from(at(i % size.width as usize, i / size.width as usize)) * 257;
        let plane = Plane::new(size, (0..size.pixels() as usize).map(sample).collect()).unwrap();
        Frame::new([plane.clone(), plane.clone(), plane], Timestamp::new(3, TimeBase::new(1, 25)), 1).unwrap()
    }

    fn texture(x: usize, y: usize) -> u8 {
        ((x * x * 7 + y * y * 13 + x * y * 5 + 31) % 256) as u8
    }

    fn codes(frame: &Frame) -> Vec<u16> {
        frame.planes()[0].samples().iter().map(|v| v / 257).collect()
    }

    /// PyTorch's antialiased bicubic, which leaves out what lies outside where MATLAB mirrors: the same inside.
    #[test]
    fn bicubic_is_that_of_pytorch_away_from_the_border() {
        let Some(ops) = Golden::case("ops") else { return };
        let (input, due) = (ops.array("resize.input_48x64"), ops.array("resize.bicubic_x0.25_antialias"));
        let (from, to) = (Size::new(64, 48), Size::new(16, 12));
        let taps = Degradation::Bicubic { scale: 4 }.taps();
        for (plane, due) in input.values.chunks_exact(64 * 48).zip(due.values.chunks_exact(16 * 12)) {
            let source: Vec<f64> = plane.iter().map(|v| f64::from(*v)).collect();
            let made = taps.resample(&source, from, to, |value| value);
            let inside = |i: &usize| (3..13).contains(&(i % 16)) && (3..9).contains(&(i / 16));
            let error = |i: usize| (made[i] - f64::from(due[i])).abs();
            let worst = (0..made.len()).filter(inside).map(error).fold(0.0, f64::max);
            assert!(worst < 1e-5, "{worst}");
        }
    }

    /// The due values are of a program of its own, in NumPy after MATLAB's own steps.
    #[test]
    fn pictures_of_8_bits_come_out_as_matlab_rounds_them() {
        let source = frame(Size::new(24, 16), texture);
        let by_4 = Degradation::Bicubic { scale: 4 }.frame(&source).unwrap();
        assert_eq!(by_4.size(), Size::new(6, 4));
        assert_eq!(by_4.time, source.time);
        let due = [
            94, 141, 130, 113, 131, 117, 140, 140, 129, 125, 135, 108, 112, 130, 131, 106, 125, 121, 125, 117, 120, 98,
            134, 128,
        ];
        assert_eq!(codes(&by_4), due);
        let by_2 = Degradation::Bicubic { scale: 2 }.frame(&source).unwrap();
        let due = [
            39, 96, 173, 111, 133, 121, 94, 120, 83, 175, 87, 119, 125, 124, 125, 159, 150, 119, 140, 124, 156, 159,
            127, 112,
        ];
        assert_eq!(codes(&by_2)[..24], due);
    }

    /// The due values are of a program of its own, in NumPy, with the two-dimensional kernel.
    #[test]
    fn blur_is_centred_on_its_blocks() {
        let due = [
            99, 138, 131, 118, 134, 115, 136, 139, 130, 121, 133, 111, 113, 130, 129, 103, 122, 124, 125, 120, 120,
            102, 133, 126,
        ];
        assert_eq!(codes(&Degradation::Blur.frame(&frame(Size::new(24, 16), texture)).unwrap()), due);
    }

    #[test]
    fn plain_pictures_stay_plain_at_every_scale() {
        for scale in [1, 2, 3, 4, 8] {
            let small = Degradation::Bicubic { scale }.frame(&frame(Size::new(48, 24), |_, _| 77)).unwrap();
            assert!(codes(&small).iter().all(|v| *v == 77), "scale {scale}");
        }
        let tiny = Degradation::Blur.frame(&frame(Size::new(4, 4), |_, _| 200)).unwrap();
        assert_eq!(codes(&tiny), [200]);
    }

    #[test]
    fn sizes_that_do_not_divide_are_refused() {
        let refused = Degradation::Blur.size(Size::new(721, 578)).unwrap_err().to_string();
        assert!(refused.contains("721x578") && refused.contains("720x576"), "{refused}");
        assert!(Degradation::Bicubic { scale: 8 }.size(Size::new(4, 4)).is_err());
    }
}
