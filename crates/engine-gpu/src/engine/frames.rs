//! Frames to the device and back.

use std::sync::Arc;

use cubecl::bytes::Bytes;
use cubecl::prelude::*;
use framelift_engine::{Download, EngineError, Precision, Shape, Tensor};
use framelift_frame::{Frame, Plane, Size, Timestamp};

use super::{GpuEngine, guarded, misfit};
use crate::kernels;
use crate::launch::row_of;
use crate::map::{array, read};
use crate::read::Read;

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

    /// [`Engine::begin_download`](framelift_engine::Engine::begin_download).
    pub(super) fn begun(&self, tensor: &Tensor, time: Timestamp, duration_ticks: i64) -> Result<Download, EngineError> {
        let (from, shape) = (read::<R>(tensor)?, tensor.shape().one_map()?);
        let what = || format!("{shape} {} is not a picture of three f32 channels", tensor.precision());
        let (Ok(width), Ok(height)) = (u32::try_from(shape.width), u32::try_from(shape.height)) else {
            return misfit(what());
        };
        if shape.channels != 3 || tensor.precision() != Precision::F32 {
            return misfit(what());
        }
        let size = Size::new(width, height);
        if shape.is_empty() {
            return Ok(Download::ready(Ok(Frame::black(size, time, duration_ticks))));
        }
        let pixels = shape.pixels();
        let words = (3 * pixels).div_ceil(2);
        let samples = self.pool.allocate(words * size_of::<u32>())?;
        let broken = self.pool.filled([0, u32::MAX].iter().flat_map(|word| word.to_ne_bytes()).collect())?;
        let (count, dim) = row_of(words);
        // SAFETY: one unit for each word of the samples; each reads pixels inside the map.
        unsafe {
            kernels::frames::quantize::launch_unchecked::<R>(
                &self.client,
                count,
                dim,
                from.arg()?,
                array(&samples, words)?,
                array(&broken, 2)?,
                pixels as u32,
            );
        }
        let copies = Read::begin(&self.client, vec![samples.handle(), broken.handle()]);
        let health = Arc::clone(&self.health);
        Ok(Download::coming(move || guarded(&health, || frame_of(&copies.wait()?, size, time, duration_ticks))))
    }
}

/// The frame whose samples, and the number and place of those that are broken, are `bytes`.
fn frame_of(bytes: &[Bytes], size: Size, time: Timestamp, duration_ticks: i64) -> Result<Frame, EngineError> {
    let (pixels, width) = (size.width as usize * size.height as usize, size.width as usize);
    let word = |at: usize| bytes[1].as_chunks::<4>().0.get(at).map_or(0, |word| u32::from_ne_bytes(*word) as usize);
    let (count, first) = (word(0), word(1));
    if count > 0 {
        return Err(EngineError::NonFinite { count, x: first % width, y: first / width });
    }
    let plane = |c: usize| {
        let bytes = &bytes[0][c * pixels * 2..][..pixels * 2];
        Plane::new(size, bytes.as_chunks::<2>().0.iter().map(|b| u16::from_le_bytes(*b)).collect())
    };
    let planes = plane(0).zip(plane(1)).zip(plane(2)).map(|((red, green), blue)| [red, green, blue]);
    let frame = planes.and_then(|planes| Frame::new(planes, time, duration_ticks));
    frame.ok_or_else(|| EngineError::Shape(format!("the samples of a frame of {size}")))
}
