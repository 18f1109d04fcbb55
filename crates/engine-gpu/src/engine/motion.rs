//! Motion between frames: its launches, from the smallest size of the frames to the largest.

use cubecl::prelude::*;
use framelift_engine::motion::{check, sizes};
use framelift_engine::{EngineError, Precision, Shape, Tensor};

use super::GpuEngine;
use crate::kernels::motion;
use crate::launch::row_of;
use crate::map::{Map, array, read, storage_type};
use crate::pool::Buffer;

/// Planes of single values, one below the other.
struct Planes<R: Runtime> {
    values: Buffer<R>,
    count: usize,
    height: usize,
    width: usize,
}

impl<R: Runtime> Planes<R> {
    fn len(&self) -> usize {
        self.count * self.height * self.width
    }

    fn arg(&self) -> Result<ArrayArg<R>, EngineError> {
        array(&self.values, self.len())
    }
}

impl<R: Runtime> GpuEngine<R> {
    /// [`Engine::motion`](framelift_engine::Engine::motion).
    pub(super) fn moved(&self, from: &Tensor, to: &[&Tensor]) -> Result<Vec<Tensor>, EngineError> {
        let shape = from.shape();
        let sizes = sizes(shape)?;
        to.iter().try_for_each(|to| check(shape, to.shape()))?;
        if to.is_empty() {
            return Ok(Vec::new());
        }
        let mut levels = Vec::with_capacity(sizes.len());
        let mut sharp = self.lumas(from, to)?;
        for &(height, width) in &sizes {
            if (height, width) != (sharp.height, sharp.width) {
                sharp = self.halved(&sharp, height, width)?;
            }
            levels.push(self.softened(&sharp)?);
        }
        drop(sharp);
        let mut flow: Option<Map<R>> = None;
        while let Some(planes) = levels.pop() {
            let sums = self.corrected(&planes, to.len(), flow.as_ref())?;
            if levels.is_empty() {
                let flow = |n| self.mean_flow(&sums, shape.height, n * shape.pixels(), 1);
                return (0..to.len()).map(|n| Ok(flow(n)?.finish())).collect();
            }
            flow = Some(self.mean_flow(&sums, planes.height, 0, to.len())?);
        }
        Ok(Vec::new())
    }

    fn planes(&self, count: usize, height: usize, width: usize) -> Result<Planes<R>, EngineError> {
        // As many values as a map of so many pixels has vectors, whose number is checked.
        let values = Shape::new(count * height, width, 1);
        crate::map::stored_bytes(values, Precision::F32)?;
        Ok(Planes { values: self.pool.allocate(values.len() * size_of::<f32>())?, count, height, width })
    }

    fn vectors(&self, count: usize, height: usize, width: usize) -> Result<Map<R>, EngineError> {
        self.allocate(Shape::new(count * height, width, crate::kernels::LANES), Precision::F32)
    }

    /// Luma of `from`, then of each of `to`.
    fn lumas(&self, from: &Tensor, to: &[&Tensor]) -> Result<Planes<R>, EngineError> {
        let shape = from.shape();
        let planes = self.planes(1 + to.len(), shape.height, shape.width)?;
        for (n, frame) in std::iter::once(&from).chain(to).enumerate() {
            let frame = read::<R>(frame)?;
            let (count, dim) = row_of(shape.pixels());
            let (at, len) = ((n * shape.pixels()) as u32, shape.pixels() as u32);
            // SAFETY: one unit for each pixel of the frame, whose plane there is.
            unsafe {
                motion::luma::launch_unchecked::<R>(
                    &self.client,
                    count,
                    dim,
                    frame.arg()?,
                    planes.arg()?,
                    at,
                    len,
                    storage_type(frame.precision),
                );
            }
        }
        Ok(planes)
    }

    fn halved(&self, from: &Planes<R>, height: usize, width: usize) -> Result<Planes<R>, EngineError> {
        let planes = self.planes(from.count, height, width)?;
        let (count, dim) = row_of(planes.len());
        let [height, width, from_height, from_width, len] =
            [height, width, from.height, from.width, planes.len()].map(|n| n as u32);
        // SAFETY: one unit for each value; each reads four of the larger planes.
        unsafe {
            motion::halve::launch_unchecked::<R>(
                &self.client,
                count,
                dim,
                from.arg()?,
                planes.arg()?,
                height,
                width,
                from_height,
                from_width,
                len,
            );
        }
        Ok(planes)
    }

    fn softened(&self, from: &Planes<R>) -> Result<Planes<R>, EngineError> {
        let planes = self.planes(from.count, from.height, from.width)?;
        let (count, dim) = row_of(planes.len());
        let [height, width, len] = [from.height, from.width, planes.len()].map(|n| n as u32);
        // SAFETY: one unit for each value; each reads inside its own plane.
        unsafe {
            motion::soften::launch_unchecked::<R>(
                &self.client,
                count,
                dim,
                from.arg()?,
                planes.arg()?,
                height,
                width,
                len,
            );
        }
        Ok(planes)
    }

    /// Sums, over rows, of the flows of one size with a step added: from the first of `planes` to each of the `count` others.
    fn corrected(&self, planes: &Planes<R>, count: usize, coarse: Option<&Map<R>>) -> Result<Map<R>, EngineError> {
        let (height, width) = (planes.height, planes.width);
        let pixels = height * width;
        let sides = [height as u32, width as u32];
        let all = (count * pixels) as u32;
        let gradients = self.vectors(1, height, width)?;
        let (one, one_dim) = row_of(pixels);
        // SAFETY: one unit for each position of a plane; each reads inside the planes and writes one vector.
        unsafe {
            motion::gradients::launch_unchecked::<R>(
                &self.client,
                one.clone(),
                one_dim,
                planes.arg()?,
                gradients.arg()?,
                sides[0],
                sides[1],
            );
        }
        let rows = self.vectors(1, height, width)?;
        let inverses = self.vectors(1, height, width)?;
        // SAFETY: as above.
        unsafe {
            motion::matrix_rows::launch_unchecked::<R>(
                &self.client,
                one.clone(),
                one_dim,
                gradients.arg()?,
                rows.arg()?,
                sides[0],
                sides[1],
            );
            motion::inverse::launch_unchecked::<R>(
                &self.client,
                one,
                one_dim,
                rows.arg()?,
                inverses.arg()?,
                sides[0],
                sides[1],
            );
        }
        drop(rows);
        let residues = self.vectors(count, height, width)?;
        let (cubes, dim) = row_of(count * pixels);
        let [coarse_height, coarse_width] =
            coarse.map_or([1, 1], |map| [map.shape.height / count, map.shape.width].map(|n| n as u32));
        // SAFETY: one unit for each position of `count` planes; each reads inside the planes, the gradients and the coarse
        // flow, which is not read where there is none.
        unsafe {
            motion::residue::launch_unchecked::<R>(
                &self.client,
                cubes.clone(),
                dim,
                planes.arg()?,
                gradients.arg()?,
                coarse.unwrap_or(&gradients).arg()?,
                residues.arg()?,
                sides[0],
                sides[1],
                coarse_height,
                coarse_width,
                all,
                coarse.is_none(),
            );
        }
        drop(gradients);
        let sums = self.vectors(count, height, width)?;
        // SAFETY: one unit for each position of `count` planes; each reads inside its own plane. A launch only reads what those
        // before it wrote.
        unsafe {
            motion::residue_rows::launch_unchecked::<R>(
                &self.client,
                cubes.clone(),
                dim,
                residues.arg()?,
                sums.arg()?,
                sides[0],
                sides[1],
                all,
            );
            motion::step::launch_unchecked::<R>(
                &self.client,
                cubes.clone(),
                dim,
                sums.arg()?,
                inverses.arg()?,
                residues.arg()?,
                sides[0],
                sides[1],
                all,
            );
            motion::flow_rows::launch_unchecked::<R>(
                &self.client,
                cubes,
                dim,
                residues.arg()?,
                sums.arg()?,
                sides[0],
                sides[1],
                all,
            );
        }
        Ok(sums)
    }

    /// The means of `count` planes of flows from vector `from` on, as a map of two channels.
    fn mean_flow(&self, sums: &Map<R>, height: usize, from: usize, count: usize) -> Result<Map<R>, EngineError> {
        let width = sums.shape.width;
        let flow = self.allocate(Shape::new(count * height, width, 2), Precision::F32)?;
        let (cubes, dim) = row_of(flow.len());
        let [height, width, from, len] = [height, width, from, flow.len()].map(|n| n as u32);
        // SAFETY: one unit for each position of the flow; each reads inside its plane of the sums.
        unsafe {
            motion::flow_mean::launch_unchecked::<R>(
                &self.client,
                cubes,
                dim,
                sums.arg()?,
                flow.arg()?,
                height,
                width,
                from,
                len,
            );
        }
        Ok(flow)
    }
}
