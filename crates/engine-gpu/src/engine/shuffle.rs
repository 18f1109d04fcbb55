//! Channels to pixels and back.

use cubecl::prelude::*;
use framelift_engine::{EngineError, Tensor};

use super::{GpuEngine, misfit};
use crate::kernels;
use crate::launch::row_of;
use crate::map::{read, storage_type};

impl<R: Runtime> GpuEngine<R> {
    /// [`Engine::pixel_shuffle`](framelift_engine::Engine::pixel_shuffle), or
    /// [`Engine::pixel_unshuffle`](framelift_engine::Engine::pixel_unshuffle), which takes pixels `together`.
    pub(super) fn shuffled(&self, input: &Tensor, factor: usize, together: bool) -> Result<Tensor, EngineError> {
        let (r, shape) = (factor, input.shape());
        let output = if together {
            if r == 0 || !shape.height.is_multiple_of(r) || !shape.width.is_multiple_of(r) {
                return misfit(format!("the sides of {shape} are not multiples of {r}"));
            }
            shape.with(shape.height / r, shape.width / r, shape.channels * r * r)
        } else {
            if r == 0 || !shape.channels.is_multiple_of(r * r) {
                return misfit(format!("{} channels cannot be shuffled by {r}", shape.channels));
            }
            shape.with(shape.height * r, shape.width * r, shape.channels / (r * r))
        };
        let from = read::<R>(input)?;
        let map = self.allocate(output, input.precision())?;
        if map.len() > 0 {
            // Rows of one map become rows of one map: all lie one below the other.
            let [height, width, channels, r] = [output.rows(), output.width, output.channels, r].map(|n| n as u32);
            let (count, dim) = row_of(map.len());
            // SAFETY: one unit for each vector of the output; each reads vectors inside the input.
            unsafe {
                kernels::shuffle::pixel_shuffle::launch_unchecked::<R>(
                    &self.client,
                    count,
                    dim,
                    from.arg()?,
                    map.arg()?,
                    height,
                    width,
                    channels,
                    r,
                    together,
                    storage_type(input.precision()),
                );
            }
        }
        Ok(map.finish())
    }
}
