//! Operations on each value by itself, means of blocks, the sum of magnitudes, and rows.

use cubecl::ir::{ElemType, FloatKind, StorageType};
use cubecl::prelude::*;
use framelift_engine::{EngineError, Precision, Shape, Tensor};

use super::{GpuEngine, misfit};
use crate::kernels::{self, pointwise};
use crate::launch::row_of;
use crate::map::{Map, array, encode, read, storage_type, vectors};

/// The most units that sum magnitudes, each a part of the values.
const SUMMING_UNITS: usize = 8192;

impl<R: Runtime> GpuEngine<R> {
    /// [`Engine::zeros`](framelift_engine::Engine::zeros).
    pub(super) fn zeroed(&self, shape: Shape, precision: Precision) -> Result<Tensor, EngineError> {
        let map = self.allocate(shape, precision)?;
        if map.len() > 0 {
            let (count, dim) = row_of(map.len());
            // SAFETY: one unit for each vector of the map; units beyond do nothing.
            unsafe {
                pointwise::fill_zero::launch_unchecked::<R>(
                    &self.client,
                    count,
                    dim,
                    map.arg()?,
                    map.len() as u32,
                    storage_type(precision),
                );
            }
        }
        Ok(map.finish())
    }

    /// [`Engine::avg_pool`](framelift_engine::Engine::avg_pool).
    pub(super) fn pooled(&self, input: &Tensor) -> Result<Tensor, EngineError> {
        let (from, shape) = (read::<R>(input)?, input.shape());
        let output = shape.with(shape.height / 2, shape.width / 2, shape.channels);
        let map = self.allocate(output, input.precision())?;
        if map.len() > 0 {
            let sizes = [output.height, output.width, shape.height, shape.width, map.pixel_vectors(), map.len()];
            let [height, width, input_height, input_width, vectors, len] = sizes.map(|n| n as u32);
            let (count, dim) = row_of(map.len());
            // SAFETY: one unit for each vector of the output; each reads four pixels inside the input.
            unsafe {
                pointwise::avg_pool::launch_unchecked::<R>(
                    &self.client,
                    count,
                    dim,
                    from.arg()?,
                    map.arg()?,
                    height,
                    width,
                    input_height,
                    input_width,
                    vectors,
                    len,
                    storage_type(input.precision()),
                );
            }
        }
        Ok(map.finish())
    }

    /// [`Engine::scale_channels`](framelift_engine::Engine::scale_channels).
    pub(super) fn scaled(&self, input: &Tensor, gains: &[f32], offsets: &[f32]) -> Result<Tensor, EngineError> {
        let shape = input.shape();
        if gains.len() != shape.channels || offsets.len() != shape.channels {
            return misfit(format!("{} gains and {} offsets for {shape}", gains.len(), offsets.len()));
        }
        let from = read::<R>(input)?;
        let map = self.allocate(shape, input.precision())?;
        if map.len() > 0 {
            let padded = vectors(shape.channels) * kernels::LANES;
            let mut channels = vec![0.0; 2 * padded];
            channels[..gains.len()].copy_from_slice(gains);
            channels[padded..][..offsets.len()].copy_from_slice(offsets);
            let channels = self.pool.filled(encode(&channels, Precision::F32))?;
            let (count, dim) = row_of(map.len());
            // SAFETY: one unit for each vector of the map; gains and offsets for each vector of a pixel.
            unsafe {
                pointwise::scale_channels::launch_unchecked::<R>(
                    &self.client,
                    count,
                    dim,
                    from.arg()?,
                    array(&channels, 2 * map.pixel_vectors())?,
                    map.arg()?,
                    map.len() as u32,
                    map.pixel_vectors() as u32,
                    storage_type(input.precision()),
                );
            }
        }
        Ok(map.finish())
    }

    /// [`Engine::add_scaled`](framelift_engine::Engine::add_scaled).
    pub(super) fn sum_of(&self, a: &Tensor, scale: f32, b: &Tensor) -> Result<Tensor, EngineError> {
        let shape = a.shape();
        if shape != b.shape() {
            return misfit(format!("a sum of {shape} and {}", b.shape()));
        }
        let (left, right) = (read::<R>(a)?, read::<R>(b)?);
        let map = self.allocate(shape, a.precision())?;
        if map.len() > 0 {
            let (count, dim) = row_of(map.len());
            // SAFETY: one unit for each vector of maps of one shape.
            unsafe {
                pointwise::add_scaled::launch_unchecked::<R>(
                    &self.client,
                    count,
                    dim,
                    left.arg()?,
                    right.arg()?,
                    map.arg()?,
                    scale,
                    map.len() as u32,
                    [storage_type(a.precision()), storage_type(b.precision())],
                );
            }
        }
        Ok(map.finish())
    }

    /// [`Engine::mean_abs`](framelift_engine::Engine::mean_abs).
    pub(super) fn mean_magnitude(&self, input: &Tensor) -> Result<f64, EngineError> {
        let shape = input.shape();
        if shape.is_empty() {
            return misfit(format!("the mean of {shape}"));
        }
        let from = read::<R>(input)?;
        let units = from.len().min(SUMMING_UNITS);
        let sum_bytes = if self.has_f64 { size_of::<f64>() } else { size_of::<f32>() };
        let sum_type = if self.has_f64 { FloatKind::F64 } else { FloatKind::F32 };
        let sums = self.pool.allocate(units * sum_bytes)?;
        let (count, dim) = row_of(units);
        // SAFETY: as many units as sums; each reads every `units`-th vector of the map.
        unsafe {
            pointwise::sum_abs::launch_unchecked::<R>(
                &self.client,
                count,
                dim,
                from.arg()?,
                array(&sums, units)?,
                from.len() as u32,
                units as u32,
                [storage_type(input.precision()), StorageType::Scalar(ElemType::Float(sum_type))],
            );
        }
        let bytes = self.download_bytes(vec![sums.handle()])?;
        let bytes = &bytes[0][..units * sum_bytes];
        let sum: f64 = if self.has_f64 {
            bytes.as_chunks::<8>().0.iter().map(|b| f64::from_ne_bytes(*b)).sum()
        } else {
            bytes.as_chunks::<4>().0.iter().map(|b| f64::from(f32::from_ne_bytes(*b))).sum()
        };
        Ok(sum / shape.len() as f64)
    }

    /// A tensor of `shape` of the rows of each map of `input` from row `start` on, which they must have.
    pub(super) fn rows_of(&self, input: &Tensor, start: usize, shape: Shape) -> Result<Tensor, EngineError> {
        let runs = (0..shape.maps).map(|n| (input, n * input.shape().height + start, shape.height));
        self.gathered(runs, shape, input.precision())
    }

    /// A tensor of `shape` of the maps of `stack` from map `start` on, which it must have.
    pub(super) fn maps_of(&self, stack: &Tensor, start: usize, shape: Shape) -> Result<Tensor, EngineError> {
        // Fewer would hold on to the memory of many.
        if start == 0 && 2 * shape.maps > stack.shape().maps {
            return Ok(read::<R>(stack)?.first_maps(shape.maps).finish());
        }
        self.gathered([(stack, start * shape.height, shape.rows())], shape, stack.precision())
    }

    /// A tensor of `shape` of the maps of `parts`, one after another; they must come to those of the shape.
    pub(super) fn put_together(
        &self,
        parts: &[&Tensor],
        shape: Shape,
        precision: Precision,
    ) -> Result<Tensor, EngineError> {
        self.gathered(parts.iter().map(|part| (*part, 0, part.shape().rows())), shape, precision)
    }

    /// A tensor of `shape`, each of whose maps has the rows of those of `parts` one below the other; they must come to those of
    /// the shape.
    pub(super) fn put_below(
        &self,
        parts: &[Tensor],
        shape: Shape,
        precision: Precision,
    ) -> Result<Tensor, EngineError> {
        let run = |part, n| (part, n * Tensor::shape(part).height, Tensor::shape(part).height);
        let runs = (0..shape.maps).flat_map(|n| parts.iter().map(move |part| run(part, n)));
        self.gathered(runs, shape, precision)
    }

    /// A tensor of `shape` of runs of rows, one after another, each a tensor, its first row of all maps, and the number of
    /// rows; they must be there, and come to those of the shape.
    fn gathered<'t>(
        &self,
        runs: impl IntoIterator<Item = (&'t Tensor, usize, usize)>,
        shape: Shape,
        precision: Precision,
    ) -> Result<Tensor, EngineError> {
        let map = self.allocate(shape, precision)?;
        let mut start = 0;
        for (from, first, rows) in runs {
            self.copy_rows(read(from)?, first, &map, start, rows)?;
            start += rows;
        }
        Ok(map.finish())
    }

    /// Copies `rows` rows of `from`, from row `first` on, to those of `to` from row `start` on. Both must have them, and
    /// be of one width, number of channels and precision.
    fn copy_rows(
        &self,
        from: &Map<R>,
        first: usize,
        to: &Map<R>,
        start: usize,
        rows: usize,
    ) -> Result<(), EngineError> {
        let row = to.shape.width * to.pixel_vectors();
        if rows * row > 0 {
            let [from_at, to_at, len] = [first * row, start * row, rows * row].map(|n| n as u32);
            let (count, dim) = row_of(rows * row);
            // SAFETY: one unit for each vector of the rows, which both maps have.
            unsafe {
                pointwise::copy::launch_unchecked::<R>(
                    &self.client,
                    count,
                    dim,
                    from.arg()?,
                    to.arg()?,
                    from_at,
                    to_at,
                    len,
                    storage_type(to.precision),
                );
            }
        }
        Ok(())
    }
}
