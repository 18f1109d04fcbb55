//! PSNR and SSIM of two pictures.
//!
//! In: planes of 8-bit-scaled samples, 0 to 255 as f64, unrounded. The Y of RGB is MATLAB's `rgb2ycbcr` (BT.601,
//! studio range, 16 to 235), unrounded. SSIM is that of Wang et al., "Image quality assessment: from error visibility
//! to structural similarity", 2004, with its published constants: Gaussian window 11×11 of σ 1.5, K 0.01 and 0.03,
//! means taken where the window lies inside the picture.

use framelift_frame::{Frame, Plane, Size};

/// The full scale of samples.
const PEAK: f64 = 255.0;

/// Side of SSIM's window.
pub(crate) const WINDOW_PX: usize = 11;

/// One channel of a picture: samples of 0 to 255, row by row.
#[derive(Clone, Debug, PartialEq)]
pub struct Channel {
    width: usize,
    height: usize,
    samples: Vec<f64>,
}

impl Channel {
    /// The part of a plane that is `crop_px` or more from its border; empty where nothing is left.
    #[must_use]
    pub fn of_plane(plane: &Plane, crop_px: u32) -> Self {
        Self::map(plane.size(), crop_px, |i| f64::from(plane.samples()[i]) / 257.0)
    }

    /// Y of a frame: 16 + 65.481 R + 128.553 G + 24.966 B for RGB of 0 to 1.
    #[must_use]
    pub fn luma(frame: &Frame, crop_px: u32) -> Self {
        let [red, green, blue] = frame.planes().each_ref().map(Plane::samples);
        Self::map(frame.size(), crop_px, |i| {
            let rgb = f64::from(red[i]) * 65.481 + f64::from(green[i]) * 128.553 + f64::from(blue[i]) * 24.966;
            16.0 + rgb / 65535.0
        })
    }

    fn map(size: Size, crop_px: u32, at: impl Fn(usize) -> f64) -> Self {
        let (full_width, crop) = (size.width as usize, crop_px as usize);
        let width = full_width.saturating_sub(2 * crop);
        let height = (size.height as usize).saturating_sub(2 * crop);
        let place = |i: usize| (i / width + crop) * full_width + i % width + crop;
        Self { width, height, samples: (0..width * height).map(|i| at(place(i))).collect() }
    }

    /// Width and height in pixels.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        (self.width, self.height)
    }

    fn mean_square_error(&self, other: &Self) -> f64 {
        let square = |(a, b): (&f64, &f64)| (a - b) * (a - b);
        self.samples.iter().zip(&other.samples).map(square).sum::<f64>() / self.samples.len() as f64
    }
}

/// Peak signal-to-noise ratio in dB over all channels together; infinite for equal pictures.
///
/// Channels must have the same sizes in both.
#[must_use]
pub fn psnr(reference: &[Channel], output: &[Channel]) -> f64 {
    let errors = reference.iter().zip(output).map(|(a, b)| a.mean_square_error(b));
    let error = errors.sum::<f64>() / reference.len() as f64;
    10.0 * (PEAK * PEAK / error).log10()
}

/// Structural similarity of two channels of one size, -1 to 1; NaN where a side is under 11 pixels.
#[must_use]
pub fn ssim(reference: &Channel, output: &Channel) -> f64 {
    const C1: f64 = (0.01 * PEAK) * (0.01 * PEAK);
    const C2: f64 = (0.03 * PEAK) * (0.03 * PEAK);
    let (width, height) = reference.size();
    if width < WINDOW_PX || height < WINDOW_PX {
        return f64::NAN;
    }
    let kernel = window();
    let (a, b) = (&reference.samples, &output.samples);
    let out_width = width - WINDOW_PX + 1;
    // For each column: the window's means of a, b, aa, bb, ab down the rows.
    let mut columns = vec![[0.0f64; 5]; width];
    let mut total = 0.0;
    for y in 0..=height - WINDOW_PX {
        columns.fill([0.0; 5]);
        for (weight, row) in kernel.iter().zip(y..) {
            let (a, b) = (&a[row * width..][..width], &b[row * width..][..width]);
            for ((sums, a), b) in columns.iter_mut().zip(a).zip(b) {
                let values = [*a, *b, a * a, b * b, a * b];
                sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += weight * value);
            }
        }
        for x in 0..out_width {
            let mut means = [0.0f64; 5];
            for (weight, column) in kernel.iter().zip(&columns[x..]) {
                means.iter_mut().zip(column).for_each(|(mean, value)| *mean += weight * value);
            }
            let [a, b, aa, bb, ab] = means;
            let (variances, covariance) = (aa - a * a + bb - b * b, ab - a * b);
            total += (2.0 * a * b + C1) * (2.0 * covariance + C2) / ((a * a + b * b + C1) * (variances + C2));
        }
    }
    total / (out_width * (height - WINDOW_PX + 1)) as f64
}

/// The Gaussian of σ 1.5 along one side; the window is its product with itself.
fn window() -> [f64; WINDOW_PX] {
    const SIGMA_PX: f64 = 1.5;
    let center = (WINDOW_PX / 2) as f64;
    let mut kernel: [f64; WINDOW_PX] =
        std::array::from_fn(|i| (-(i as f64 - center).powi(2) / (2.0 * SIGMA_PX * SIGMA_PX)).exp());
    let sum: f64 = kernel.iter().sum();
    kernel.iter_mut().for_each(|weight| *weight /= sum);
    kernel
}

/// How close one frame is to its reference.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scores {
    /// PSNR over red, green and blue together, dB.
    pub psnr_rgb: f64,
    /// Mean of the SSIM of red, green and blue.
    pub ssim_rgb: f64,
    /// PSNR of Y, dB.
    pub psnr_y: f64,
    /// SSIM of Y.
    pub ssim_y: f64,
}

impl Scores {
    /// Scores two frames of one size, without the `crop_px` pixels along the border.
    #[must_use]
    pub fn of(reference: &Frame, output: &Frame, crop_px: u32) -> Self {
        let rgb = |frame: &Frame| frame.planes().each_ref().map(|plane| Channel::of_plane(plane, crop_px));
        let channels = |frame: &Frame| (rgb(frame), Channel::luma(frame, crop_px));
        let (a, b) = (channels(reference), channels(output));
        // Four threads: SSIM is nearly all of the work.
        let [red, green, blue, luma] = std::thread::scope(|scope| {
            let pairs = [(&a.0[0], &b.0[0]), (&a.0[1], &b.0[1]), (&a.0[2], &b.0[2]), (&a.1, &b.1)];
            let workers = pairs.map(|(a, b)| scope.spawn(move || ssim(a, b)));
            workers.map(|worker| worker.join().unwrap_or(f64::NAN))
        });
        Self {
            psnr_rgb: psnr(&a.0, &b.0),
            ssim_rgb: (red + green + blue) / 3.0,
            psnr_y: psnr(std::slice::from_ref(&a.1), std::slice::from_ref(&b.1)),
            ssim_y: luma,
        }
    }
}

#[cfg(test)]
mod tests {
    use framelift_frame::{TimeBase, Timestamp};

    use super::*;

    const SIZE: Size = Size::new(40, 28);

    fn frame(at: impl Fn(usize, usize, usize) -> usize) -> Frame {
        let plane = |c: usize| {
            let sample = |i: usize| (at(i % SIZE.width as usize, i / SIZE.width as usize, c) * 257) as u16;
            Plane::new(SIZE, (0..SIZE.pixels() as usize).map(sample).collect()).unwrap()
        };
        Frame::new([plane(0), plane(1), plane(2)], Timestamp::new(0, TimeBase::new(1, 25)), 1).unwrap()
    }

    fn ramp(x: usize, y: usize, c: usize) -> usize {
        (x * 5 + y * 3 + c * 40) % 256
    }

    fn noisy(x: usize, y: usize, c: usize) -> usize {
        (ramp(x, y, c) + (x * 7 + y * 11 + c * 13) % 17).saturating_sub(8).min(255)
    }

    /// The due values are of a program of its own, in NumPy and SciPy (`scipy.ndimage.correlate1d`).
    #[test]
    fn scores_are_those_of_an_independent_program() {
        let (reference, output) = (frame(ramp), frame(noisy));
        for (crop_px, psnr_rgb, ssim_rgb, psnr_y, ssim_y) in [
            (0, 34.404_587_294_580_93, 0.913_635_635_858_892, 40.040_952_572_737_12, 0.966_770_779_325_277_9),
            (3, 34.399_584_714_132_025, 0.912_466_494_648_559_7, 40.059_250_610_612_69, 0.964_050_439_070_649_1),
        ] {
            let scores = Scores::of(&reference, &output, crop_px);
            assert!((scores.psnr_rgb - psnr_rgb).abs() < 1e-9, "{scores:?}");
            assert!((scores.ssim_rgb - ssim_rgb).abs() < 1e-9, "{scores:?}");
            assert!((scores.psnr_y - psnr_y).abs() < 1e-9, "{scores:?}");
            assert!((scores.ssim_y - ssim_y).abs() < 1e-9, "{scores:?}");
        }
    }

    #[test]
    fn a_frame_is_like_itself() {
        let scores = Scores::of(&frame(ramp), &frame(ramp), 2);
        assert_eq!((scores.psnr_rgb, scores.psnr_y), (f64::INFINITY, f64::INFINITY));
        assert!((scores.ssim_rgb - 1.0).abs() < 1e-12 && (scores.ssim_y - 1.0).abs() < 1e-12);
    }

    #[test]
    fn luma_spans_the_studio_range() {
        let luma = |value: usize| Channel::luma(&frame(|_, _, _| value), 0).samples[0];
        assert!((luma(0) - 16.0).abs() < 1e-9 && (luma(255) - 235.0).abs() < 1e-9);
    }

    #[test]
    fn a_side_shorter_than_the_window_has_no_similarity() {
        let channel = Channel::of_plane(&Plane::filled(Size::new(10, 30), 0), 0);
        assert!(ssim(&channel, &channel).is_nan());
    }
}
