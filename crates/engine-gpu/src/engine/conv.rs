//! Convolutions: how they are cut into tiles, their weights, and the launch.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cubecl::prelude::*;
use framelift_engine::{Activation, Addend, Conv, ConvSpec, EngineError, Precision, Shape, Tensor, Upsample};

use super::GpuEngine;
use crate::NAME;
use crate::kernels::conv::{Activation as Applied, Added, ConvPlan, ConvSizesLaunch};
use crate::kernels::product::{Block, MatrixSize};
use crate::kernels::{self, LANES, Source};
use crate::map::{Map, array, encode, read, storage_type, vectors};
use crate::pool::Buffer;
use crate::tuning;

/// Width of a tile, in pixels; where matrix cores multiply it is that of their matrices.
const TILE_WIDTH: usize = 16;

/// Vectors of input channels that are in shared memory at once, at most.
const CHUNK: usize = 4;

/// The same for matrix cores, which take them faster, and for software that stands in for a card.
const CHUNK_OF_MATRICES: [usize; 2] = [8, 1];

/// A convolution's weights on the device, and the plan of the kernel but for what each call brings.
pub(super) struct Prepared<R: Runtime> {
    weights: Buffer<R>,
    weights_len: usize,
    /// Biases, then slopes.
    channels: Buffer<R>,
    plan: ConvPlan,
}

/// Input pixels of a layer that is measured, on a card and on software that stands in for one.
const MEASURED: [(usize, usize); 2] = [(192, 320), (16, 24)];

/// Calls between two looks at the clock, and such looks.
const CALLS: u32 = 4;
const LOOKS: usize = 2;

/// How units of the shape share a tile of `output_vectors` vectors of outputs.
pub(super) fn share(
    [columns, vectors, rows, pixels]: tuning::Shape,
    output_vectors: usize,
    matrix: Option<MatrixSize>,
    is_software: bool,
) -> Block {
    let mut block = Block {
        columns,
        rows,
        pixels,
        vectors,
        chunk: if matrix.is_some() { CHUNK_OF_MATRICES[usize::from(is_software)] } else { CHUNK },
        weight_vectors: 0,
        pixel_step: 0,
        matrix,
        unrolled: !is_software,
    };
    block.weight_vectors = output_vectors.next_multiple_of(block.tile_vectors());
    block
}

/// Vectors of outputs of a convolution, before the pixel shuffle.
fn output_vectors(spec: &ConvSpec) -> usize {
    let area = spec.pixel_shuffle * spec.pixel_shuffle;
    area * vectors(spec.out_channels / area)
}

/// The plan for a convolution by blocks of `shape` in `shared_bytes` of shared memory, without the inputs' places.
fn plan(
    spec: &ConvSpec,
    shared_bytes: usize,
    shape: tuning::Shape,
    matrix: Option<MatrixSize>,
    is_software: bool,
) -> ConvPlan {
    let r = spec.pixel_shuffle;
    let mut block = share(shape, output_vectors(spec), matrix, is_software);
    let output_vectors = vectors(spec.out_channels / (r * r));
    let mut first = 0;
    let source = |channels: &usize| {
        let count = vectors(*channels);
        first += count;
        Source { half: false, slot: 0, first: first - count, count }
    };
    let sources: Vec<Source> = spec.in_channels.iter().map(source).collect();
    // Vectors of channels that are multiplied at once.
    let depth = matrix.map_or(1, |matrix| matrix.channels / LANES);
    block.chunk = block.chunk.min(first).next_multiple_of(depth);
    let tile_width = matrix.map_or(TILE_WIDTH, |matrix| matrix.pixels);
    let activation = match spec.activation {
        Activation::None => Applied::None,
        Activation::Relu => Applied::Relu,
        Activation::Leaky(_) | Activation::Prelu(_) => Applied::Slopes,
    };
    let mut plan = ConvPlan {
        block,
        tile_height: 0,
        tile_width,
        kernel: spec.kernel,
        stride: spec.stride,
        sources,
        activation,
        added: Added::None,
        scaled: spec.scale != 1.0,
        shuffle: r,
        output_vectors,
    };
    // Large kernels and strides have wide borders: fewer pixels then, or fewer channels at once.
    loop {
        plan.tile_height = plan.block.tile_pixels() / tile_width;
        let (pixels, chunk) = (plan.block.pixels, plan.block.chunk);
        let bytes = plan.block.shared_bytes(plan.shared_vectors(), spec.precision.bytes());
        if bytes <= shared_bytes || (pixels == 1 && chunk == depth) {
            break;
        }
        if pixels > 2 || chunk == depth {
            plan.block.pixels /= 2;
        } else {
            plan.block.chunk -= depth;
        }
    }
    let rows_apart = if matrix.is_some() { 1 } else { plan.block.rows / tile_width } * plan.stride;
    plan.block.pixel_step = rows_apart * plan.halo_width() * plan.block.pixel_stride();
    plan
}

/// Where output `at` of the kernel's order, `[row offset][column offset][channel]`, is in the order of the weights.
fn output_of(plan: &ConvPlan, spec: &ConvSpec, at: usize) -> Option<usize> {
    let area = plan.shuffle * plan.shuffle;
    let (part, channel) = (at / (plan.output_vectors * LANES), at % (plan.output_vectors * LANES));
    (part < area && channel < spec.out_channels / area).then_some(channel * area + part)
}

/// Weights as the kernel reads them.
fn pack_weights(plan: &ConvPlan, spec: &ConvSpec, weights: &[f32]) -> Vec<f32> {
    let taps = spec.kernel * spec.kernel;
    let (chunk, outputs) = (plan.block.chunk * LANES, plan.block.weight_vectors * LANES);
    let total = spec.total_in_channels();
    let mut packed = vec![0.0; plan.chunks() * taps * chunk * outputs];
    let mut before = 0;
    for (source, &channels) in plan.sources.iter().zip(&spec.in_channels) {
        for channel in 0..channels {
            let at = source.first * LANES + channel;
            for tap in 0..taps {
                let row = (at / chunk * taps + tap) * chunk + at % chunk;
                for output in 0..outputs {
                    if let Some(out) = output_of(plan, spec, output) {
                        packed[plan.block.weight_at(row, output)] =
                            weights[(out * total + before + channel) * taps + tap];
                    }
                }
            }
        }
        before += channels;
    }
    packed
}

/// The inputs of a kernel, by their types, and the plan's sources in their places.
pub(super) struct Inputs<R: Runtime> {
    pub(super) singles: SequenceArg<R, Array<kernels::V4<f32>>>,
    pub(super) halves: SequenceArg<R, Array<kernels::V4<half::f16>>>,
    pub(super) sources: Vec<Source>,
}

impl<R: Runtime> Inputs<R> {
    pub(super) fn new(maps: &[&Map<R>], sources: &[Source]) -> Result<Self, EngineError> {
        let (mut singles, mut halves) = (SequenceArg::new(), SequenceArg::new());
        let mut placed = Vec::with_capacity(maps.len());
        for (map, source) in maps.iter().zip(sources) {
            let half = map.precision == Precision::F16;
            let slot = if half { halves.values.len() } else { singles.values.len() };
            if half {
                halves.push(map.arg()?);
            } else {
                singles.push(map.arg()?);
            }
            placed.push(Source { half, slot, ..*source });
        }
        Ok(Self { singles, halves, sources: placed })
    }
}

impl<R: Runtime> GpuEngine<R> {
    /// [`Engine::prepare_conv`](framelift_engine::Engine::prepare_conv).
    pub(super) fn prepared_conv(&self, spec: &ConvSpec, weights: &[f32], bias: &[f32]) -> Result<Conv, EngineError> {
        spec.check(weights, bias)?;
        self.check_precision(spec.precision)?;
        self.check_precision(spec.output)?;
        let (shapes, matrix) = self.shapes(spec);
        let layer = format!(
            "{} {} {} {} {} {}",
            if matrix.is_some() { "conv_in_matrices" } else { "conv" },
            spec.kernel,
            spec.stride,
            spec.in_channels.iter().map(|&channels| vectors(channels)).sum::<usize>().next_power_of_two().min(16),
            output_vectors(spec).next_power_of_two().min(32),
            spec.precision
        );
        let shape = self.tuner.choose(&layer, &shapes, |shape| self.time(spec, shape, matrix).ok());
        self.prepared_in(shape, matrix, spec, weights, bias)
    }

    /// The shapes that a convolution may have on this device, the usual one first: all that sum its outputs in the same order.
    /// And the matrices that it is summed in, where the device has cores for them.
    fn shapes(&self, spec: &ConvSpec) -> (Vec<tuning::Shape>, Option<MatrixSize>) {
        let shared_bytes = self.client.properties().hardware.max_shared_memory_size;
        let outputs = output_vectors(spec);
        if let Some(matrix) = self.matrix_of(spec.precision) {
            let all = tuning::shapes_of_matrices(outputs * LANES, matrix, self.plane_units, self.is_software);
            let usual = plan(spec, shared_bytes, all[0], Some(matrix), self.is_software);
            if self.has_room(&usual.block, usual.shared_vectors(), spec.precision) {
                return (self.fitting(spec, &all, Some(matrix)), Some(matrix));
            }
        }
        (self.fitting(spec, tuning::shapes(outputs, self.is_software), None), None)
    }

    /// The first of `all` shapes, and those that sum as it does and fit this device as they are.
    fn fitting(&self, spec: &ConvSpec, all: &[tuning::Shape], matrix: Option<MatrixSize>) -> Vec<tuning::Shape> {
        let shared_bytes = self.client.properties().hardware.max_shared_memory_size;
        let planned = |shape| plan(spec, shared_bytes, shape, matrix, self.is_software);
        let chunk = planned(all[0]).block.chunk;
        let fits = |shape: tuning::Shape| {
            let plan = planned(shape);
            tuning::shape_of(&plan.block) == shape
                && plan.block.chunk == chunk
                && self.has_room(&plan.block, plan.shared_vectors(), spec.precision)
        };
        let others = all[1..].iter().copied().filter(|shape| fits(*shape));
        std::iter::once(all[0]).chain(others).collect()
    }

    /// How long a call takes in blocks of `shape`.
    fn time(&self, spec: &ConvSpec, shape: tuning::Shape, matrix: Option<MatrixSize>) -> Result<Duration, EngineError> {
        let (height, width) = MEASURED[usize::from(self.is_software)];
        let conv =
            self.prepared_in(shape, matrix, spec, &vec![0.0; spec.weight_len()], &vec![0.0; spec.out_channels])?;
        let zeros = |&channels: &usize| self.zeroed(Shape::new(height, width, channels), spec.precision);
        let inputs = spec.in_channels.iter().map(zeros).collect::<Result<Vec<_>, _>>()?;
        let inputs: Vec<&Tensor> = inputs.iter().collect();
        // The first call makes the kernel.
        self.convolved(&conv, &inputs, None)?;
        self.finished()?;
        let mut least = Duration::MAX;
        for _ in 0..LOOKS {
            let begun = Instant::now();
            for _ in 0..CALLS {
                self.convolved(&conv, &inputs, None)?;
            }
            self.finished()?;
            least = least.min(begun.elapsed() / CALLS);
        }
        Ok(least)
    }

    /// A convolution prepared for blocks of `shape`.
    fn prepared_in(
        &self,
        shape: tuning::Shape,
        matrix: Option<MatrixSize>,
        spec: &ConvSpec,
        weights: &[f32],
        bias: &[f32],
    ) -> Result<Conv, EngineError> {
        let shared_bytes = self.client.properties().hardware.max_shared_memory_size;
        let plan = plan(spec, shared_bytes, shape, matrix, self.is_software);
        let outputs = plan.block.weight_vectors * LANES;
        let slope = |out: usize| match &spec.activation {
            Activation::Leaky(slope) => *slope,
            Activation::Prelu(slopes) => slopes[out],
            Activation::None | Activation::Relu => 0.0,
        };
        let of = |value: &dyn Fn(usize) -> f32| -> Vec<f32> {
            (0..outputs).map(|at| output_of(&plan, spec, at).map_or(0.0, value)).collect()
        };
        let channels = [of(&|out| bias[out]), of(&slope)].concat();
        let packed = pack_weights(&plan, spec, weights);
        let prepared = Prepared {
            weights_len: packed.len() / LANES,
            weights: self.pool.filled(encode(&packed, spec.precision))?,
            channels: self.pool.filled(encode(&channels, Precision::F32))?,
            plan,
        };
        Ok(Conv::new(spec.clone(), Arc::new(prepared)))
    }

    /// [`Engine::conv`](framelift_engine::Engine::conv).
    pub(super) fn convolved(
        &self,
        conv: &Conv,
        inputs: &[&Tensor],
        addend: Option<Addend<'_>>,
    ) -> Result<Tensor, EngineError> {
        let spec = conv.spec();
        let prepared: &Prepared<R> =
            conv.prepared().ok_or(EngineError::Foreign { what: "convolution", engine: NAME })?;
        let maps = inputs.iter().map(|input| read::<R>(input)).collect::<Result<Vec<_>, _>>()?;
        let shapes: Vec<Shape> = maps.iter().map(|map| map.shape).collect();
        let shape = spec.check_call(&shapes, addend.map(|addend| (addend.tensor.shape(), addend.upsample)))?;
        let Shape { height, width, .. } = maps[0].shape;
        let [sum_height, sum_width] = [height, width].map(|side| side.div_ceil(spec.stride));
        let mut plan = prepared.plan.clone();
        let added = match addend {
            Some(Addend { tensor, upsample }) => {
                plan.added = match upsample {
                    Upsample::None => Added::Same,
                    Upsample::Nearest => Added::Nearest,
                    Upsample::Bilinear => Added::Bilinear,
                };
                Some(read::<R>(tensor)?)
            }
            None => None,
        };
        let map = self.allocate(shape, spec.output)?;
        if shape.is_empty() {
            return Ok(map.finish());
        }
        let inputs = Inputs::new(&maps, &plan.sources)?;
        plan.sources = inputs.sources;
        let weights = || array(&prepared.weights, prepared.weights_len);
        let addend = added.map_or_else(weights, Map::arg)?;
        let added_precision = added.map_or(spec.precision, |map| map.precision);
        let added_shape = added.map_or(shape, |map| map.shape);
        let block = plan.block;
        let channels_len = 2 * block.weight_vectors;
        let size = |n: usize| n as u32;
        let sizes = ConvSizesLaunch::new(
            size(height),
            size(width),
            size(sum_height),
            size(sum_width),
            size(added_shape.height),
            size(added_shape.width),
            spec.scale,
        );
        let count = CubeCount::Static(
            size(sum_width.div_ceil(plan.tile_width)),
            size(sum_height.div_ceil(plan.tile_height)),
            size(maps[0].shape.maps * plan.cubes_of_outputs()),
        );
        let dim = CubeDim::new_2d(size(block.columns), size(block.rows));
        let (weights, channels) = (weights()?, array(&prepared.channels, channels_len)?);
        // SAFETY: cubes cover the output, and units beyond it write nothing; inputs are read where the kernel has checked
        // that they are; weights and channels are as long as the plan says.
        unsafe {
            if block.matrix.is_some() {
                kernels::conv::conv_in_matrices::launch_unchecked::<R>(
                    &self.client,
                    count,
                    dim,
                    inputs.singles,
                    inputs.halves,
                    weights,
                    channels,
                    addend,
                    map.arg()?,
                    sizes,
                    plan,
                    [added_precision, spec.output].map(storage_type),
                );
            } else {
                kernels::conv::conv::launch_unchecked::<R>(
                    &self.client,
                    count,
                    dim,
                    inputs.singles,
                    inputs.halves,
                    weights,
                    channels,
                    addend,
                    map.arg()?,
                    sizes,
                    plan,
                    [spec.precision, added_precision, spec.output].map(storage_type),
                );
            }
        }
        Ok(map.finish())
    }
}
