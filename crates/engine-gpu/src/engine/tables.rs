//! Resizing: its tables of samples and weights, and the launch.

use std::sync::{Arc, PoisonError};

use cubecl::prelude::*;
use framelift_engine::reference::resize_taps;
use framelift_engine::{EngineError, Precision, ResizeMode, Tensor};

use super::{GpuEngine, misfit};
use crate::kernels;
use crate::launch::row_of;
use crate::map::{array, encode, read, storage_type};
use crate::pool::Buffer;

/// Samples along a dimension of the input and of the output, and the mode.
pub(super) type Key = (usize, usize, u8);

/// What each sample of an output is made of, along one dimension.
pub(super) struct Tables<R: Runtime> {
    /// Numbers of samples of the input, `taps` for each of the output.
    samples: Buffer<R>,
    weights: Buffer<R>,
    taps: usize,
}

/// Tables that are kept, at most; a film needs few.
const MOST_TABLES: usize = 256;

impl<R: Runtime> GpuEngine<R> {
    fn tables(&self, input: usize, output: usize, mode: ResizeMode) -> Result<Arc<Tables<R>>, EngineError> {
        let key = (input, output, mode as u8);
        let mut known = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tables) = known.get(&key) {
            return Ok(Arc::clone(tables));
        }
        let all: Vec<Vec<(usize, f64)>> = (0..output).map(|at| resize_taps(at, input, output, mode)).collect();
        let taps = all.iter().map(Vec::len).max().unwrap_or(1);
        let (mut samples, mut weights) = (Vec::new(), Vec::new());
        for at in &all {
            // Shorter lists end with samples that do not count.
            let padding = at.last().map_or(0, |last| last.0);
            for i in 0..taps {
                let (sample, weight) = at.get(i).copied().unwrap_or((padding, 0.0));
                samples.extend((sample as u32).to_ne_bytes());
                weights.push(weight as f32);
            }
        }
        let tables = Arc::new(Tables {
            samples: self.pool.filled(samples)?,
            weights: self.pool.filled(encode(&weights, Precision::F32))?,
            taps,
        });
        if known.len() >= MOST_TABLES {
            known.clear();
        }
        known.insert(key, Arc::clone(&tables));
        Ok(tables)
    }

    /// [`Engine::resize`](framelift_engine::Engine::resize).
    pub(super) fn resized(
        &self,
        input: &Tensor,
        height: usize,
        width: usize,
        mode: ResizeMode,
    ) -> Result<Tensor, EngineError> {
        let (from, shape) = (read::<R>(input)?, input.shape());
        if shape.is_empty() || height == 0 || width == 0 {
            return misfit(format!("{shape} cannot be resized to {height}x{width}"));
        }
        if (height, width) == (shape.height, shape.width) {
            // Every mode takes each sample from its own place then.
            return Ok(input.clone());
        }
        let rows = self.tables(shape.height, height, mode)?;
        let columns = self.tables(shape.width, width, mode)?;
        let map = self.allocate(shape.with(height, width, shape.channels), input.precision())?;
        let (count, dim) = row_of(map.len());
        let sizes = [height, width, shape.height, shape.width, map.pixel_vectors(), map.len()].map(|n| n as u32);
        let [to_height, to_width, input_height, input_width, vectors, len] = sizes;
        // SAFETY: one unit for each vector of the output; tables for each of its rows and columns, of samples inside the
        // input.
        unsafe {
            kernels::resize::resize::launch_unchecked::<R>(
                &self.client,
                count,
                dim,
                from.arg()?,
                map.arg()?,
                array(&rows.samples, height * rows.taps)?,
                array(&rows.weights, height * rows.taps)?,
                array(&columns.samples, width * columns.taps)?,
                array(&columns.weights, width * columns.taps)?,
                to_height,
                to_width,
                input_height,
                input_width,
                vectors,
                len,
                rows.taps as u32,
                columns.taps as u32,
                storage_type(input.precision()),
            );
        }
        Ok(map.finish())
    }
}
