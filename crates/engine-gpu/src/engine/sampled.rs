//! Operations that sample their inputs where flows and offsets point.

use std::sync::Arc;

use cubecl::prelude::*;
use framelift_engine::{DeformConv, DeformSpec, EngineError, Padding, Precision, Shape, Tensor};

use super::conv::{Inputs, share};
use super::{GpuEngine, misfit};
use crate::NAME;
use crate::kernels::deform_conv::DeformPlan;
use crate::kernels::product::MatrixSize;
use crate::kernels::{self, LANES, Source};
use crate::launch::{in_rows, row_of};
use crate::map::{Map, array, encode, read, storage_type, vectors};
use crate::pool::Buffer;
use crate::tuning;

/// Vectors of a pixel that are in shared memory at once, about.
const CHUNK: usize = 8;

/// A deformable convolution's weights on the device, and the plan of the kernel but for what each call brings.
struct Prepared<R: Runtime> {
    weights: Buffer<R>,
    weights_len: usize,
    bias: Buffer<R>,
    plan: DeformPlan,
}

/// The map of an f32 flow.
fn read_flow<R: Runtime>(flow: &Tensor) -> Result<&Map<R>, EngineError> {
    match flow.precision() {
        Precision::F32 => read(flow),
        other => misfit(format!("a flow in {other}; flows are f32")),
    }
}

/// The plan in `shared_bytes` of shared memory; with `matrix`, those for planes of so many units are multiplied.
fn plan(spec: &DeformSpec, shared_bytes: usize, matrix: Option<(MatrixSize, usize)>, is_software: bool) -> DeformPlan {
    let output_vectors = vectors(spec.out_channels);
    let group_vectors = vectors(spec.group_channels());
    let mut first = 0;
    let source = |channels: &usize| {
        let count = channels / spec.group_channels();
        first += count;
        Source { half: false, slot: 0, first: first - count, count }
    };
    let sources = spec.in_channels.iter().map(source).collect();
    let shape = match matrix {
        Some((matrix, units)) => tuning::shapes_of_matrices(spec.out_channels, matrix, (units, units), is_software)[0],
        None => tuning::shapes(output_vectors, is_software)[0],
    };
    let matrix = matrix.map(|(matrix, _)| matrix);
    let mut block = share(shape, output_vectors, matrix, is_software);
    block.pixels = block.pixels.min(4);
    // Items whose channels fill whole matrices.
    let depth = matrix.map_or(1, |matrix| matrix.channels / LANES);
    let least = (1..=depth).find(|items| (items * group_vectors).is_multiple_of(depth)).unwrap_or(depth);
    let mut items = (CHUNK / group_vectors).next_multiple_of(least).max(least);
    loop {
        block.chunk = items * group_vectors;
        let bytes = block.shared_bytes(block.tile_pixels() * block.pixel_stride(), spec.precision.bytes());
        if bytes <= shared_bytes || (items == least && block.pixels == 1) {
            break;
        }
        if items > least {
            items = (items / 2).next_multiple_of(least);
        } else {
            block.pixels /= 2;
        }
    }
    block.pixel_step = matrix.map_or(block.rows, |matrix| matrix.pixels) * block.pixel_stride();
    DeformPlan {
        block,
        sources,
        groups: spec.groups,
        group_channels: spec.group_channels(),
        items,
        flows: false,
        output_vectors,
    }
}

/// Weights as the kernel reads them.
fn pack_weights(plan: &DeformPlan, spec: &DeformSpec, weights: &[f32]) -> Vec<f32> {
    let outputs = plan.block.weight_vectors * LANES;
    let padded = plan.group_vectors() * LANES;
    let mut packed = vec![0.0; plan.chunks() * plan.items * padded * outputs];
    for item in 0..plan.groups * DeformSpec::TAPS {
        let (group, tap) = (item / DeformSpec::TAPS, item % DeformSpec::TAPS);
        for channel in 0..plan.group_channels {
            let row = item * padded + channel;
            let input = group * plan.group_channels + channel;
            for out in 0..spec.out_channels {
                packed[plan.block.weight_at(row, out)] =
                    weights[(out * spec.total_in_channels() + input) * DeformSpec::TAPS + tap];
            }
        }
    }
    packed
}

impl<R: Runtime> GpuEngine<R> {
    /// [`Engine::flow_warp`](framelift_engine::Engine::flow_warp).
    pub(super) fn warped(&self, input: &Tensor, flow: &Tensor, padding: Padding) -> Result<Tensor, EngineError> {
        let shape = input.shape();
        let (from, by) = (read::<R>(input)?, read_flow::<R>(flow)?);
        if flow.shape() != (Shape { channels: 2, ..shape }) {
            return misfit(format!("a flow of {} for {shape}", flow.shape()));
        }
        let map = self.allocate(shape, input.precision())?;
        if map.len() > 0 {
            let (count, dim) = row_of(map.len());
            // SAFETY: one unit for each vector of the output; samples outside of the input are not read.
            unsafe {
                kernels::flow_warp::flow_warp::launch_unchecked::<R>(
                    &self.client,
                    count,
                    dim,
                    from.arg()?,
                    by.arg()?,
                    map.arg()?,
                    shape.height as u32,
                    shape.width as u32,
                    map.pixel_vectors() as u32,
                    map.len() as u32,
                    padding == Padding::Border,
                    storage_type(input.precision()),
                );
            }
        }
        Ok(map.finish())
    }

    /// [`Engine::prepare_deform_conv`](framelift_engine::Engine::prepare_deform_conv).
    pub(super) fn prepared_deform(
        &self,
        spec: &DeformSpec,
        weights: &[f32],
        bias: &[f32],
    ) -> Result<DeformConv, EngineError> {
        spec.check(weights, bias)?;
        self.check_precision(spec.precision)?;
        self.check_precision(spec.output)?;
        let shared_bytes = self.client.properties().hardware.max_shared_memory_size;
        let matrix = self.matrix_of(spec.precision);
        let in_matrices =
            matrix.map(|matrix| plan(spec, shared_bytes, Some((matrix, self.plane_units.0)), self.is_software));
        let fits = |plan: &DeformPlan| {
            self.has_room(&plan.block, plan.block.tile_pixels() * plan.block.pixel_stride(), spec.precision)
        };
        let plan = in_matrices.filter(fits).unwrap_or_else(|| plan(spec, shared_bytes, None, self.is_software));
        let packed = pack_weights(&plan, spec, weights);
        let mut channels = bias.to_vec();
        channels.resize(plan.block.weight_vectors * LANES, 0.0);
        let prepared = Prepared {
            weights_len: packed.len() / LANES,
            weights: self.pool.filled(encode(&packed, spec.precision))?,
            bias: self.pool.filled(encode(&channels, Precision::F32))?,
            plan,
        };
        Ok(DeformConv::new(spec.clone(), Arc::new(prepared)))
    }

    /// [`Engine::deform_conv`](framelift_engine::Engine::deform_conv).
    pub(super) fn deformed(
        &self,
        conv: &DeformConv,
        inputs: &[&Tensor],
        residues: &Tensor,
        flows: &[&Tensor],
    ) -> Result<Tensor, EngineError> {
        let spec = conv.spec();
        let prepared: &Prepared<R> =
            conv.prepared().ok_or(EngineError::Foreign { what: "convolution", engine: NAME })?;
        let shape = conv.check_call(inputs, residues, flows)?;
        let maps = inputs.iter().map(|input| read::<R>(input)).collect::<Result<Vec<_>, _>>()?;
        let from_residues = read::<R>(residues)?;
        let mut flow_args = SequenceArg::new();
        for flow in flows {
            flow_args.push(read_flow::<R>(flow)?.arg()?);
        }
        let Shape { height, width, .. } = shape;
        let map = self.allocate(shape, spec.output)?;
        if map.len() == 0 {
            return Ok(map.finish());
        }
        let inputs = Inputs::new(&maps, &prepared.plan.sources)?;
        let plan = DeformPlan { sources: inputs.sources, flows: !flows.is_empty(), ..prepared.plan.clone() };
        let block = plan.block;
        let (tiles, rows) = in_rows(shape.pixels().div_ceil(block.tile_pixels()));
        let count = CubeCount::Static(tiles, (block.weight_vectors / block.tile_vectors()) as u32, rows);
        let dim = CubeDim::new_2d(block.columns as u32, block.rows as u32);
        let residue_stride = (from_residues.pixel_vectors() * LANES) as u32;
        // SAFETY: cubes cover the output, and units beyond it write nothing; samples outside of the inputs are not read;
        // residues, weights and biases are as long as the plan says.
        unsafe {
            if block.matrix.is_some() {
                kernels::deform_conv::deform_conv_in_matrices::launch_unchecked::<R>(
                    &self.client,
                    count,
                    dim,
                    inputs.singles,
                    inputs.halves,
                    flow_args,
                    from_residues.values_arg()?,
                    array(&prepared.weights, prepared.weights_len)?,
                    array(&prepared.bias, block.weight_vectors)?,
                    map.arg()?,
                    height as u32,
                    width as u32,
                    shape.pixels() as u32,
                    residue_stride,
                    spec.max_residue,
                    plan,
                    [residues.precision(), spec.output].map(storage_type),
                );
            } else {
                kernels::deform_conv::deform_conv::launch_unchecked::<R>(
                    &self.client,
                    count,
                    dim,
                    inputs.singles,
                    inputs.halves,
                    flow_args,
                    from_residues.values_arg()?,
                    array(&prepared.weights, prepared.weights_len)?,
                    array(&prepared.bias, block.weight_vectors)?,
                    map.arg()?,
                    height as u32,
                    width as u32,
                    shape.pixels() as u32,
                    residue_stride,
                    spec.max_residue,
                    plan,
                    [spec.precision, residues.precision(), spec.output].map(storage_type),
                );
            }
        }
        Ok(map.finish())
    }
}
