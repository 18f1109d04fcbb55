//! The engine: checks what it is asked for, finds memory, and spreads tasks over its threads.

#![expect(unsafe_code, reason = "runs the kernels, which write to shared memory from several threads")]

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use framelift_engine::{
    Addend, Conv, ConvSpec, DeformConv, DeformSpec, Engine, EngineError, EngineInfo, HostTensor, MemoryUse, Padding,
    Precision, ResizeMode, Shape, Support, Tensor, stacked,
};
use framelift_frame::{Frame, Plane, Size, Timestamp};
use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::kernels::conv::{Added, Job, Plan};
use crate::kernels::pointwise;
use crate::kernels::resize::{self, Taps};
use crate::kernels::{self, Kernels};
use crate::map::{self, NewMap, View, pixel_stride};
use crate::pool::{Buffer, HUGE_PAGE_BYTES, Pool};
use crate::{ConvMethod, CpuError, CpuOptions, Isa, NAME, host};

mod sampled;

/// An engine on the processor's own threads and vector instructions.
pub struct CpuEngine {
    info: EngineInfo,
    isa: Isa,
    pub(crate) kernels: &'static Kernels,
    pool: Arc<Pool>,
    threads: ThreadPool,
    /// Working memory of each thread, as large as it has had to be.
    scratch: Vec<Mutex<Option<Buffer>>>,
    /// The method for every convolution that it is possible for, in place of the one that suits it.
    method: Option<ConvMethod>,
}

impl std::fmt::Debug for CpuEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CpuEngine").field("info", &self.info).field("memory", &self.memory()).finish_non_exhaustive()
    }
}

/// Rows that a thread takes at once in operations that do little with each.
const ROWS_AT_ONCE: usize = 16;

impl CpuEngine {
    /// An engine as `options` say, its threads started.
    ///
    /// # Errors
    /// [`CpuError::ForeignIsa`], [`CpuError::Threads`].
    pub fn new(options: &CpuOptions) -> Result<Self, CpuError> {
        let isa = Isa::best(options.isa)?;
        let count = options.thread_count();
        let threads = ThreadPoolBuilder::new()
            .num_threads(count)
            .thread_name(|i| format!("cpu-{i}"))
            .build()
            .map_err(|source| CpuError::Threads { threads: count, source })?;
        let plural = if count == 1 { "" } else { "s" };
        Ok(Self {
            info: EngineInfo { name: NAME, detail: format!("{count} thread{plural}, {isa}") },
            isa,
            kernels: kernels::of(isa),
            pool: Pool::new(options.memory_limit_bytes),
            threads,
            scratch: (0..count).map(|_| Mutex::default()).collect(),
            method: None,
        })
    }

    /// Computes convolutions by `method` wherever that is possible, suitable or not: to test and to measure it.
    #[must_use]
    pub fn with_method(mut self, method: ConvMethod) -> Self {
        self.method = Some(method);
        self
    }

    /// The instructions it uses.
    #[must_use]
    pub fn isa(&self) -> Isa {
        self.isa
    }

    fn allocate(&self, shape: Shape, precision: Precision) -> Result<NewMap, EngineError> {
        NewMap::allocate(&self.pool, shape, precision)
    }

    /// Calls `task` with the numbers `0..count`, on all threads.
    fn for_each(&self, count: usize, task: impl Fn(usize) + Send + Sync) {
        self.threads.install(|| (0..count).into_par_iter().for_each(task));
    }

    /// Calls `task` with each of `rows` rows, some at once.
    fn for_each_row(&self, rows: usize, task: impl Fn(usize) + Send + Sync) {
        self.for_each(rows.div_ceil(ROWS_AT_ONCE), |i| {
            (i * ROWS_AT_ONCE..rows.min((i + 1) * ROWS_AT_ONCE)).for_each(&task);
        });
    }

    /// Calls `task` with at least `len` values of scratch that belong to the calling thread.
    fn with_scratch<T>(&self, len: usize, task: impl FnOnce(*mut f32) -> T) -> Result<T, EngineError> {
        let thread = self.threads.current_thread_index().unwrap_or(0);
        let mut place = self.scratch[thread].lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = (len * size_of::<f32>()).max(HUGE_PAGE_BYTES);
        let buffer = match place.take().filter(|buffer| buffer.bytes() >= bytes) {
            Some(buffer) => buffer,
            None => self.pool.allocate(bytes)?,
        };
        Ok(task(place.insert(buffer).start().cast()))
    }

    /// Copies `count` rows of `from`, from row `first` on, to those of `to` from row `start` on. Both must have them, and be of
    /// one width, number of channels and `precision`.
    fn copy_rows(&self, from: &View, first: usize, to: &View, start: usize, count: usize, precision: Precision) {
        let bytes = to.row_len() * precision.bytes();
        // SAFETY: the rows are inside their maps; each row of `to` is one call's alone, and `from` is complete.
        self.for_each_row(count, |y| unsafe {
            to.at(start + y, 0).copy_from_nonoverlapping(from.at(first + y, 0), bytes);
        });
    }

    /// A map of `output` whose pixel at row `y`, column `x` and channel `c` is the value of `input` that `source` names.
    fn rearranged(
        &self,
        input: &Tensor,
        output: Shape,
        source: impl Fn(usize, usize, usize) -> (usize, usize, usize) + Send + Sync,
    ) -> Result<Tensor, EngineError> {
        let from = map::read(input)?;
        let map = self.allocate(output, input.precision())?;
        let to = map.view();
        self.for_each_row(output.height, |y| {
            for x in 0..output.width {
                for c in 0..pixel_stride(output.channels) {
                    let (row, column, channel) = source(y, x, c.min(output.channels - 1));
                    // SAFETY: sources are inside the input; row `y` of the output is this call's alone.
                    unsafe {
                        let value = from.get(row, column, channel);
                        to.put(y, x, c, if c < output.channels { value } else { 0.0 });
                    }
                }
            }
        });
        Ok(map.finish())
    }
}

impl Engine for CpuEngine {
    fn info(&self) -> &EngineInfo {
        &self.info
    }

    fn support(&self, precision: Precision) -> Support {
        match precision {
            Precision::F32 => Support::Native,
            Precision::Bf16 if self.kernels.pairs => Support::Native,
            Precision::F16 if self.kernels.f16 => Support::Native,
            Precision::Bf16 | Precision::F16 => Support::Emulated,
        }
    }

    fn memory(&self) -> MemoryUse {
        self.pool.memory()
    }

    fn set_memory_plan(&self, _planned_bytes: u64, limit_bytes: u64) {
        self.pool.keep_within(usize::try_from(limit_bytes).unwrap_or(usize::MAX));
    }

    fn upload(&self, frame: &Frame) -> Result<Tensor, EngineError> {
        let Size { width, height } = frame.size();
        let map = self.allocate(Shape::new(height as usize, width as usize, 3), Precision::F32)?;
        let to = map.view();
        let planes = frame.planes();
        self.for_each_row(to.height, |y| {
            // SAFETY: row `y` is this call's alone; the kernels are of instructions that the processor has.
            unsafe {
                let row = std::slice::from_raw_parts_mut(to.f32_at(y, 0), to.row_len());
                (self.kernels.interleave)([0, 1, 2].map(|c| planes[c].row(y)), row);
            }
        });
        Ok(map.finish())
    }

    fn download(&self, tensor: &Tensor, time: Timestamp, duration_ticks: i64) -> Result<Frame, EngineError> {
        let from = map::read(tensor)?;
        let shape = tensor.shape();
        let misfit =
            || EngineError::Shape(format!("{shape} {} is not a picture of three f32 channels", tensor.precision()));
        let (Ok(width), Ok(height)) = (u32::try_from(shape.width), u32::try_from(shape.height)) else {
            return Err(misfit());
        };
        if shape.channels != 3 || from.precision != Precision::F32 {
            return Err(misfit());
        }
        if shape.is_empty() {
            return Ok(Frame::black(Size::new(width, height), time, duration_ticks));
        }
        // SAFETY: the tensor holds this many values, and lives.
        let values = unsafe { std::slice::from_raw_parts(from.f32_at(0, 0), shape.len()) };
        let mut planes = [0, 1, 2].map(|_| vec![0; shape.pixels()]);
        let piece = shape.width * ROWS_AT_ONCE;
        let [red, green, blue] = &mut planes;
        let pieces = red.par_chunks_mut(piece).zip(green.par_chunks_mut(piece)).zip(blue.par_chunks_mut(piece));
        let is_finite = self.threads.install(|| {
            pieces
                .zip(values.par_chunks(3 * piece))
                // SAFETY: the kernels are of instructions that the processor has.
                .map(|(((r, g), b), pixels)| unsafe { (self.kernels.quantize)(pixels, [r, g, b]) })
                .reduce(|| true, |a, b| a & b)
        });
        if !is_finite {
            return Err(host::non_finite(values, shape));
        }
        let [red, green, blue] = planes.map(|samples| Plane::new(Size::new(width, height), samples));
        let planes = red.zip(green).zip(blue).map(|((red, green), blue)| [red, green, blue]);
        planes.and_then(|planes| Frame::new(planes, time, duration_ticks)).ok_or_else(misfit)
    }

    fn from_host(&self, values: &HostTensor, precision: Precision) -> Result<Tensor, EngineError> {
        let map = self.allocate(values.shape(), precision)?;
        let to = map.view();
        self.for_each_row(to.height, |y| host::write_row(values, &to, y));
        Ok(map.finish())
    }

    fn to_host(&self, tensor: &Tensor) -> Result<HostTensor, EngineError> {
        host::read(&map::read(tensor)?, tensor.shape())
    }

    fn zeros(&self, shape: Shape, precision: Precision) -> Result<Tensor, EngineError> {
        let map = self.allocate(shape, precision)?;
        let to = map.view();
        self.for_each_row(to.height, |y| {
            let bytes = to.row_len() * precision.bytes();
            // SAFETY: row `y` is this call's alone.
            unsafe { to.start.add(y * bytes).write_bytes(0, bytes) }
        });
        Ok(map.finish())
    }

    fn prepare_conv(&self, spec: &ConvSpec, weights: &[f32], bias: &[f32]) -> Result<Conv, EngineError> {
        spec.check(weights, bias)?;
        let plan = Plan::new(spec, weights, bias, self.kernels, self.method, &self.pool)?;
        Ok(Conv::new(spec.clone(), Arc::new(plan)))
    }

    fn conv(&self, conv: &Conv, inputs: &[&Tensor], addend: Option<Addend<'_>>) -> Result<Tensor, EngineError> {
        let spec = conv.spec();
        let plan: &Plan = conv.prepared().ok_or(EngineError::Foreign { what: "convolution", engine: NAME })?;
        let input_shapes: Vec<Shape> = inputs.iter().map(|input| input.shape()).collect();
        let inputs = inputs.iter().map(|input| map::read(input)).collect::<Result<Vec<View>, _>>()?;
        let shape = spec.check_call(&input_shapes, addend.map(|addend| (addend.tensor.shape(), addend.upsample)))?;
        let added = match addend {
            Some(Addend { tensor, upsample }) => Some((map::read(tensor)?, upsample)),
            None => None,
        };
        let map = self.allocate(shape, spec.output)?;
        if shape.is_empty() {
            return Ok(map.finish());
        }
        let added = added.map(|(view, upsample)| Added::new(view, upsample, shape.height, shape.width));
        let [height, width] = [shape.height, shape.width].map(|side| side / spec.pixel_shuffle);
        let job = Job { plan, inputs: &inputs, output: map.view(), added, height, width };
        let (tasks, kernel) = (job.tasks(), job.kernel());
        self.threads.install(|| {
            (0..tasks.count).into_par_iter().try_for_each(|task| {
                // SAFETY: the processor has the kernel's instructions; inputs and addend live and are complete; no
                // two tasks share a part of the output.
                self.with_scratch(tasks.scratch_len, |scratch| unsafe { kernel(&job, task, scratch) })
            })
        })?;
        Ok(map.finish())
    }

    fn resize(&self, input: &Tensor, height: usize, width: usize, mode: ResizeMode) -> Result<Tensor, EngineError> {
        let from = map::read(input)?;
        let shape = input.shape();
        if shape.is_empty() || height == 0 || width == 0 {
            return Err(EngineError::Shape(format!("{shape} cannot be resized to {height}x{width}")));
        }
        if (height, width) == (shape.height, shape.width) {
            // Every mode takes each sample from its own place then.
            return Ok(input.clone());
        }
        let map = self.allocate(Shape::new(height, width, shape.channels), input.precision())?;
        let rows = Taps::new(shape.height, height, mode);
        let columns = Taps::new(shape.width, width, mode);
        let job = resize::Job { input: from, output: map.view(), rows: &rows, columns: &columns };
        let len = job.line_len();
        self.threads.install(|| {
            (0..height).into_par_iter().with_min_len(ROWS_AT_ONCE.min(height)).try_for_each(|y| {
                self.with_scratch(len, |line| {
                    // SAFETY: the scratch holds this many initialised values that are this thread's; the processor has
                    // the kernel's instructions; the input lives; row `y` is this call's alone.
                    unsafe { (self.kernels.resize_row)(&job, y, std::slice::from_raw_parts_mut(line, len)) }
                })
            })
        })?;
        Ok(map.finish())
    }

    fn pixel_shuffle(&self, input: &Tensor, factor: usize) -> Result<Tensor, EngineError> {
        let (r, shape) = (factor, input.shape());
        if r == 0 || !shape.channels.is_multiple_of(r * r) {
            return Err(EngineError::Shape(format!("{} channels cannot be shuffled by {r}", shape.channels)));
        }
        let output = Shape::new(shape.height * r, shape.width * r, shape.channels / (r * r));
        self.rearranged(input, output, |y, x, c| (y / r, x / r, c * r * r + r * (y % r) + x % r))
    }

    fn pixel_unshuffle(&self, input: &Tensor, factor: usize) -> Result<Tensor, EngineError> {
        let (r, shape) = (factor, input.shape());
        if r == 0 || !shape.height.is_multiple_of(r) || !shape.width.is_multiple_of(r) {
            return Err(EngineError::Shape(format!("the sides of {shape} are not multiples of {r}")));
        }
        let output = Shape::new(shape.height / r, shape.width / r, shape.channels * r * r);
        self.rearranged(input, output, |y, x, channel| {
            let (c, offset) = (channel / (r * r), channel % (r * r));
            (y * r + offset / r, x * r + offset % r, c)
        })
    }

    fn flow_warp(&self, input: &Tensor, flow: &Tensor, padding: Padding) -> Result<Tensor, EngineError> {
        self.warped(input, flow, padding)
    }

    fn motion(&self, from: &Tensor, to: &[&Tensor]) -> Result<Vec<Tensor>, EngineError> {
        self.motion_to(from, to)
    }

    fn prepare_deform_conv(&self, spec: &DeformSpec, weights: &[f32], bias: &[f32]) -> Result<DeformConv, EngineError> {
        self.prepared_deform(spec, weights, bias)
    }

    fn deform_conv(
        &self,
        conv: &DeformConv,
        inputs: &[&Tensor],
        residues: &Tensor,
        flows: &[&Tensor],
    ) -> Result<Tensor, EngineError> {
        self.deformed(conv, inputs, residues, flows)
    }

    fn avg_pool(&self, input: &Tensor) -> Result<Tensor, EngineError> {
        let from = map::read(input)?;
        let shape = input.shape();
        let map = self.allocate(Shape::new(shape.height / 2, shape.width / 2, shape.channels), input.precision())?;
        let to = map.view();
        // SAFETY: row `y` is this call's alone; it is of two rows of the input, which lives.
        self.for_each_row(to.height, |y| unsafe { pointwise::pool_row(&from, &to, y) });
        Ok(map.finish())
    }

    fn scale_channels(&self, input: &Tensor, gains: &[f32], offsets: &[f32]) -> Result<Tensor, EngineError> {
        let (from, shape) = (map::read(input)?, input.shape());
        if gains.len() != shape.channels || offsets.len() != shape.channels {
            let what = format!("{} gains and {} offsets for {shape}", gains.len(), offsets.len());
            return Err(EngineError::Shape(what));
        }
        let map = self.allocate(shape, input.precision())?;
        let job = pointwise::Scale::new(from, map.view(), gains, offsets);
        // SAFETY: row `y` is this call's alone; the processor has the instructions; the input lives.
        self.for_each_row(shape.height, |y| unsafe { (self.kernels.scale_row)(&job, y) });
        Ok(map.finish())
    }

    fn add_scaled(&self, a: &Tensor, scale: f32, b: &Tensor) -> Result<Tensor, EngineError> {
        let shape = a.shape();
        if shape != b.shape() {
            return Err(EngineError::Shape(format!("a sum of {shape} and {}", b.shape())));
        }
        let map = self.allocate(shape, a.precision())?;
        let job = pointwise::Add { a: map::read(a)?, scale, b: map::read(b)?, output: map.view() };
        // SAFETY: row `y` is this call's alone; the processor has the instructions; the inputs live.
        self.for_each_row(shape.height, |y| unsafe { (self.kernels.add_row)(&job, y) });
        Ok(map.finish())
    }

    fn mean_abs(&self, input: &Tensor) -> Result<f64, EngineError> {
        let (from, shape) = (map::read(input)?, input.shape());
        if shape.is_empty() {
            return Err(EngineError::Shape(format!("the mean of {shape}")));
        }
        // Sums of rows, added in order whatever the number of threads.
        // SAFETY: the map lives and is complete.
        let rows = |rows: usize| (0..rows).into_par_iter().map(|y| unsafe { pointwise::sum_abs(&from, y) }).collect();
        let sums: Vec<f64> = self.threads.install(|| rows(shape.height));
        Ok(sums.iter().sum::<f64>() / shape.len() as f64)
    }

    fn to_bytes(&self, tensor: &Tensor) -> Result<Vec<u8>, EngineError> {
        let from = map::read(tensor)?;
        let shape = tensor.shape();
        let pixel = shape.channels * tensor.precision().bytes();
        let mut bytes = vec![0; shape.len() * tensor.precision().bytes()];
        if bytes.is_empty() {
            return Ok(bytes);
        }
        let piece = shape.width * ROWS_AT_ONCE;
        self.threads.install(|| {
            bytes.par_chunks_mut(piece * pixel).enumerate().for_each(|(i, bytes)| {
                for (j, to) in bytes.chunks_exact_mut(pixel).enumerate() {
                    // SAFETY: the pixel lies in the map, which lives and is complete.
                    to.copy_from_slice(unsafe { std::slice::from_raw_parts(from.at(0, i * piece + j), pixel) });
                }
            });
        });
        Ok(bytes)
    }

    fn from_bytes(&self, shape: Shape, precision: Precision, bytes: &[u8]) -> Result<Tensor, EngineError> {
        let map = self.allocate(shape, precision)?;
        let to = map.view();
        let pixel = shape.channels * precision.bytes();
        let stride = to.stride * precision.bytes();
        if bytes.len() != shape.pixels() * pixel {
            return Err(EngineError::Shape(format!("{} bytes for {shape} values in {precision}", bytes.len())));
        }
        self.for_each_row(shape.height, |y| {
            for x in 0..shape.width {
                let at = y * shape.width + x;
                // SAFETY: the pixel lies in the map; row `y` is this call's alone.
                unsafe {
                    to.at(y, x).copy_from_nonoverlapping(bytes.as_ptr().add(at * pixel), pixel);
                    to.at(y, x).add(pixel).write_bytes(0, stride - pixel);
                }
            }
        });
        Ok(map.finish())
    }

    fn rows(&self, input: &Tensor, rows: Range<usize>) -> Result<Tensor, EngineError> {
        let shape = input.shape().of_rows(&rows)?;
        let map = self.allocate(shape, input.precision())?;
        self.copy_rows(&map::read(input)?, rows.start, &map.view(), 0, shape.height, input.precision());
        Ok(map.finish())
    }

    fn stack_rows(&self, parts: &[Tensor]) -> Result<Tensor, EngineError> {
        let (shape, precision) = stacked(parts)?;
        let views = parts.iter().map(map::read).collect::<Result<Vec<View>, _>>()?;
        let map = self.allocate(shape, precision)?;
        let to = map.view();
        let mut start = 0;
        for part in views {
            self.copy_rows(&part, 0, &to, start, part.height, precision);
            start += part.height;
        }
        Ok(map.finish())
    }
}
