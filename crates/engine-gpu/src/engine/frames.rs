//! Frames to the device and back.

use cubecl::prelude::*;
use framelift_engine::{EngineError, Precision, Shape, Tensor};
use framelift_frame::{Frame, Plane, Size, Timestamp};

use super::{GpuEngine, handle, misfit};
use crate::kernels;
use crate::launch::row_of;
use crate::map::{array, read};

impl<R: Runtime> GpuEngine<R> {
    /// [`Engine::upload`](framelift_engine::Engine::upload).
    pub(super) fn uploaded(&self, frame: &Frame) -> Result<Tensor, EngineError> {
        let Size { width, height } = frame.size();
        let map = self.allocate(Shape::new(height as usize, width as usize, 3), Precision::F32)?;
        let pixels = map.shape.pixels();
        if pixels > 0 {
            let samples = frame.planes().iter().flat_map(Plane::samples);
            let words = self.pool.filled(samples.flat_map(|sample| sample.to_le_bytes()).collect())?;
            let (count, dim) = row_of(pixels);
            // SAFETY: one unit for each pixel of the map; two of its samples a word.
            unsafe {
                kernels::frames::interleave::launch_unchecked::<R>(
                    &self.client,
                    count,
                    dim,
                    array(&words, (3 * pixels).div_ceil(2))?,
                    map.arg()?,
                    pixels as u32,
                );
            }
        }
        Ok(map.finish())
    }

    /// [`Engine::download`](framelift_engine::Engine::download).
    pub(super) fn downloaded(
        &self,
        tensor: &Tensor,
        time: Timestamp,
        duration_ticks: i64,
    ) -> Result<Frame, EngineError> {
        let (from, shape) = (read::<R>(tensor)?, tensor.shape());
        let what = || format!("{shape} {} is not a picture of three f32 channels", tensor.precision());
        let (Ok(width), Ok(height)) = (u32::try_from(shape.width), u32::try_from(shape.height)) else {
            return misfit(what());
        };
        if shape.channels != 3 || tensor.precision() != Precision::F32 {
            return misfit(what());
        }
        let size = Size::new(width, height);
        if shape.is_empty() {
            return Ok(Frame::black(size, time, duration_ticks));
        }
        let pixels = shape.pixels();
        let words = (3 * pixels).div_ceil(2);
        let samples = self.pool.allocate(words * size_of::<u32>())?;
        let broken = self.pool.filled(vec![0; size_of::<u32>()])?;
        let (count, dim) = row_of(words);
        // SAFETY: one unit for each word of the samples; each reads pixels inside the map.
        unsafe {
            kernels::frames::quantize::launch_unchecked::<R>(
                &self.client,
                count,
                dim,
                from.arg()?,
                array(&samples, words)?,
                array(&broken, 1)?,
                pixels as u32,
            );
        }
        let bytes = self.download_bytes(vec![handle(&samples)?, handle(&broken)?])?;
        if bytes[1][..size_of::<u32>()].iter().any(|&byte| byte != 0) {
            return Err(self.non_finite(tensor));
        }
        let plane = |c: usize| {
            let bytes = &bytes[0][c * pixels * 2..][..pixels * 2];
            Plane::new(size, bytes.as_chunks::<2>().0.iter().map(|b| u16::from_le_bytes(*b)).collect())
        };
        let planes = plane(0).zip(plane(1)).zip(plane(2)).map(|((red, green), blue)| [red, green, blue]);
        let frame = planes.and_then(|planes| Frame::new(planes, time, duration_ticks));
        frame.ok_or_else(|| EngineError::Shape(what()))
    }

    /// Where values of a picture are not finite.
    fn non_finite(&self, tensor: &Tensor) -> EngineError {
        use framelift_engine::Engine as _;
        match self.to_host(tensor) {
            Err(error) => error,
            Ok(values) => {
                let shape = values.shape();
                let broken = || (0..shape.len()).filter(|&i| !values.data()[i].is_finite());
                let first = broken().next().unwrap_or(0) / shape.channels;
                EngineError::NonFinite { count: broken().count(), x: first % shape.width, y: first / shape.width }
            }
        }
    }
}
