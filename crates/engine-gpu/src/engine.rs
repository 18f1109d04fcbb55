//! The engine: checks what it is asked for, finds memory, and launches kernels in order.

#![expect(unsafe_code, reason = "launches kernels that do not check their bounds")]

use std::collections::BTreeMap;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use cubecl::features::TypeUsage;
use cubecl::ir::{ElemType, FloatKind};
use cubecl::prelude::*;
use cubecl::server::Handle;
use cubecl::stream_id::StreamId;
use cubecl::wgpu::WgpuRuntime;
use framelift_engine::{
    Addend, Conv, ConvSpec, DeformConv, DeformSpec, Engine, EngineError, EngineInfo, HostTensor, MemoryUse, Padding,
    Precision, ResizeMode, Shape, Support, Tensor, stacked,
};
use framelift_frame::{Frame, Timestamp};

use crate::device::{self, GpuInfo, GpuKind, Health, said};
use crate::kernels;
use crate::launch::row_of;
use crate::map::{self, Map, decode, encode, pack, read, storage_type, unpack, vectors};
use crate::pool::{Buffer, Pool};
use crate::{GpuError, NAME};

mod conv;
mod frames;
mod sampled;
mod tables;

use tables::Tables;

/// How an engine is set up.
#[derive(Clone, Debug)]
pub struct GpuOptions {
    /// The device, of [`devices`](crate::devices).
    pub device: GpuInfo,
    /// The most bytes that tensors and weights may take together: of the device's memory, or of the host's where it has none
    /// of its own. No limit where `None`.
    pub memory_limit_bytes: Option<usize>,
}

/// An engine on a GPU, through the runtime `R`.
pub struct GpuEngine<R: Runtime> {
    info: EngineInfo,
    client: ComputeClient<R>,
    health: Arc<Health>,
    pool: Arc<Pool<R>>,
    /// The limit, where it is one on a memory of the device's own.
    own_memory_bytes: Option<u64>,
    /// Whether the device stores and converts f16.
    has_f16: bool,
    /// Whether it adds in f64.
    has_f64: bool,
    /// Whether it is a program that stands in for a card.
    is_software: bool,
    /// Samples and weights of the resizes that have been asked for.
    tables: Mutex<BTreeMap<tables::Key, Arc<Tables<R>>>>,
}

impl<R: Runtime> std::fmt::Debug for GpuEngine<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GpuEngine")
            .field("info", &self.info)
            .field("memory", &self.pool.memory())
            .finish_non_exhaustive()
    }
}

/// Each engine launches in an order of its own.
static STREAMS: AtomicU64 = AtomicU64::new(0);

impl GpuEngine<WgpuRuntime> {
    /// An engine on a device of Vulkan or Metal.
    ///
    /// # Errors
    /// [`GpuError::Unusable`].
    pub fn new(options: &GpuOptions) -> Result<Self, GpuError> {
        let opened = device::open(&options.device)?;
        let client = device::client(&opened);
        Ok(Self::on(client, opened.health, options))
    }
}

impl<R: Runtime> GpuEngine<R> {
    fn on(mut client: ComputeClient<R>, health: Arc<Health>, options: &GpuOptions) -> Self {
        // Far from those that CubeCL numbers threads with.
        let stream = StreamId { value: STREAMS.fetch_add(1, Ordering::Relaxed) | 1 << 32 };
        // SAFETY: all work of this engine goes through clones of this client, so that it runs in the order of the calls
        // whatever thread they come from.
        unsafe { client.set_stream(stream) };
        let supports = |kind| {
            let usage = client.properties().type_usage(ElemType::Float(kind).into());
            usage.contains(TypeUsage::Buffer) && usage.contains(TypeUsage::Conversion)
        };
        let info = &options.device;
        Self {
            info: EngineInfo { name: NAME, detail: format!("{info}, {}, {}", info.name, info.driver) },
            pool: Pool::new(client.clone(), Arc::clone(&health), options.memory_limit_bytes),
            own_memory_bytes: own_memory_bytes(options),
            has_f16: supports(FloatKind::F16),
            has_f64: supports(FloatKind::F64),
            is_software: info.kind == GpuKind::Software,
            client,
            health,
            tables: Mutex::default(),
        }
    }

    /// Runs a call. What CubeCL and the driver panic over becomes an error.
    fn guarded<T>(&self, call: impl FnOnce() -> Result<T, EngineError>) -> Result<T, EngineError> {
        let done = catch_unwind(AssertUnwindSafe(call));
        let done = done.unwrap_or_else(|panic| Err(device_error(said(&*panic))));
        match self.health.fault() {
            None => done,
            Some(reason) => Err(device_error(reason)),
        }
    }

    fn check_precision(&self, precision: Precision) -> Result<(), EngineError> {
        match self.support(precision) {
            Support::No => {
                let what =
                    format!("store or compute in {precision}; use {}", if self.has_f16 { "f16 or f32" } else { "f32" });
                Err(EngineError::Unsupported { engine: NAME, what })
            }
            _ => Ok(()),
        }
    }

    fn allocate(&self, shape: Shape, precision: Precision) -> Result<Map<R>, EngineError> {
        self.check_precision(precision)?;
        Map::allocate(&self.pool, shape, precision)
    }

    /// The bytes of a buffer, once all that was launched before is done.
    fn download_bytes(&self, handles: Vec<Handle>) -> Result<Vec<cubecl::bytes::Bytes>, EngineError> {
        let bytes = cubecl::reader::read_sync(self.client.read_async(handles));
        bytes.map_err(|error| device_error(first_line(&error.to_string())))
    }

    /// The bytes of a map as they are stored, without padding.
    fn plain_bytes(&self, map: &Map<R>) -> Result<Vec<u8>, EngineError> {
        if map.shape.is_empty() {
            return Ok(Vec::new());
        }
        let bytes = self.download_bytes(vec![handle(map.buffer())?])?;
        Ok(unpack(map.shape, map.precision.bytes(), &bytes[0]))
    }

    /// Copies `count` rows of `from`, from row `first` on, to those of `to` from row `start` on. Both must have them, and
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
                kernels::pointwise::copy::launch_unchecked::<R>(
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

    /// A map of values without padding.
    fn stored_plain(&self, shape: Shape, precision: Precision, plain: &[u8]) -> Result<Tensor, EngineError> {
        self.check_precision(precision)?;
        Ok(Map::filled(&self.pool, shape, precision, pack(shape, precision.bytes(), plain))?.finish())
    }
}

/// The limit on the device's own memory, if it has one.
fn own_memory_bytes(options: &GpuOptions) -> Option<u64> {
    let limit = options.memory_limit_bytes.map(|bytes| bytes as u64);
    limit.or(options.device.memory_bytes).filter(|_| options.device.has_own_memory())
}

fn device_error(reason: String) -> EngineError {
    EngineError::Device { engine: NAME, reason }
}

/// CubeCL's errors go on with a backtrace.
fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

fn handle<R: Runtime>(buffer: &Buffer<R>) -> Result<Handle, EngineError> {
    buffer.handle().ok_or_else(|| device_error("a buffer is gone".into()))
}

fn misfit<T>(what: String) -> Result<T, EngineError> {
    Err(EngineError::Shape(what))
}

/// The most units that sum magnitudes, each a part of the values.
const SUMMING_UNITS: usize = 8192;

impl<R: Runtime> Engine for GpuEngine<R> {
    fn info(&self) -> &EngineInfo {
        &self.info
    }

    fn support(&self, precision: Precision) -> Support {
        match precision {
            Precision::F32 => Support::Native,
            Precision::F16 if self.has_f16 => Support::Native,
            Precision::F16 | Precision::Bf16 => Support::No,
        }
    }

    fn memory(&self) -> MemoryUse {
        self.pool.memory()
    }

    fn own_memory_bytes(&self) -> Option<u64> {
        self.own_memory_bytes
    }

    fn wait(&self) -> Result<(), EngineError> {
        self.guarded(|| {
            let done = cubecl::future::block_on(self.client.sync());
            done.map_err(|error| device_error(first_line(&error.to_string())))
        })
    }

    fn upload(&self, frame: &Frame) -> Result<Tensor, EngineError> {
        self.guarded(|| self.uploaded(frame))
    }

    fn download(&self, tensor: &Tensor, time: Timestamp, duration_ticks: i64) -> Result<Frame, EngineError> {
        self.guarded(|| self.downloaded(tensor, time, duration_ticks))
    }

    fn from_host(&self, values: &HostTensor, precision: Precision) -> Result<Tensor, EngineError> {
        self.guarded(|| self.stored_plain(values.shape(), precision, &encode(values.data(), precision)))
    }

    fn to_host(&self, tensor: &Tensor) -> Result<HostTensor, EngineError> {
        self.guarded(|| decode(tensor.shape(), tensor.precision(), &self.plain_bytes(read(tensor)?)?))
    }

    fn zeros(&self, shape: Shape, precision: Precision) -> Result<Tensor, EngineError> {
        self.guarded(|| {
            let map = self.allocate(shape, precision)?;
            if map.len() > 0 {
                let (count, dim) = row_of(map.len());
                // SAFETY: one unit for each vector of the map; units beyond do nothing.
                unsafe {
                    kernels::pointwise::fill_zero::launch_unchecked::<R>(
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
        })
    }

    fn prepare_conv(&self, spec: &ConvSpec, weights: &[f32], bias: &[f32]) -> Result<Conv, EngineError> {
        self.guarded(|| self.prepared_conv(spec, weights, bias))
    }

    fn conv(&self, conv: &Conv, inputs: &[&Tensor], addend: Option<Addend<'_>>) -> Result<Tensor, EngineError> {
        self.guarded(|| self.convolved(conv, inputs, addend))
    }

    fn resize(&self, input: &Tensor, height: usize, width: usize, mode: ResizeMode) -> Result<Tensor, EngineError> {
        self.guarded(|| self.resized(input, height, width, mode))
    }

    fn pixel_shuffle(&self, input: &Tensor, factor: usize) -> Result<Tensor, EngineError> {
        let (r, shape) = (factor, input.shape());
        if r == 0 || !shape.channels.is_multiple_of(r * r) {
            return misfit(format!("{} channels cannot be shuffled by {r}", shape.channels));
        }
        self.guarded(|| {
            let from = read::<R>(input)?;
            let output = Shape::new(shape.height * r, shape.width * r, shape.channels / (r * r));
            let map = self.allocate(output, input.precision())?;
            if map.len() > 0 {
                let [height, width, channels, r] = [output.height, output.width, output.channels, r].map(|n| n as u32);
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
                        storage_type(input.precision()),
                    );
                }
            }
            Ok(map.finish())
        })
    }

    fn pixel_unshuffle(&self, input: &Tensor, factor: usize) -> Result<Tensor, EngineError> {
        let (r, shape) = (factor, input.shape());
        if r == 0 || !shape.height.is_multiple_of(r) || !shape.width.is_multiple_of(r) {
            return misfit(format!("the sides of {shape} are not multiples of {r}"));
        }
        self.guarded(|| {
            let from = read::<R>(input)?;
            let output = Shape::new(shape.height / r, shape.width / r, shape.channels * r * r);
            let map = self.allocate(output, input.precision())?;
            if map.len() > 0 {
                let [height, width, channels, r] = [output.height, output.width, output.channels, r].map(|n| n as u32);
                let (count, dim) = row_of(map.len());
                // SAFETY: one unit for each vector of the output; each reads vectors inside the input.
                unsafe {
                    kernels::shuffle::pixel_unshuffle::launch_unchecked::<R>(
                        &self.client,
                        count,
                        dim,
                        from.arg()?,
                        map.arg()?,
                        height,
                        width,
                        channels,
                        r,
                        storage_type(input.precision()),
                    );
                }
            }
            Ok(map.finish())
        })
    }

    fn flow_warp(&self, input: &Tensor, flow: &Tensor, padding: Padding) -> Result<Tensor, EngineError> {
        self.guarded(|| self.warped(input, flow, padding))
    }

    fn prepare_deform_conv(&self, spec: &DeformSpec, weights: &[f32], bias: &[f32]) -> Result<DeformConv, EngineError> {
        self.guarded(|| self.prepared_deform(spec, weights, bias))
    }

    fn deform_conv(
        &self,
        conv: &DeformConv,
        inputs: &[&Tensor],
        residues: &Tensor,
        flows: &[&Tensor],
    ) -> Result<Tensor, EngineError> {
        self.guarded(|| self.deformed(conv, inputs, residues, flows))
    }

    fn avg_pool(&self, input: &Tensor) -> Result<Tensor, EngineError> {
        self.guarded(|| {
            let (from, shape) = (read::<R>(input)?, input.shape());
            let output = Shape::new(shape.height / 2, shape.width / 2, shape.channels);
            let map = self.allocate(output, input.precision())?;
            if map.len() > 0 {
                let sizes = [output.height, output.width, shape.width, map.pixel_vectors()].map(|n| n as u32);
                let [height, width, input_width, vectors] = sizes;
                let (count, dim) = row_of(map.len());
                // SAFETY: one unit for each vector of the output; each reads four pixels inside the input.
                unsafe {
                    kernels::pointwise::avg_pool::launch_unchecked::<R>(
                        &self.client,
                        count,
                        dim,
                        from.arg()?,
                        map.arg()?,
                        height,
                        width,
                        input_width,
                        vectors,
                        storage_type(input.precision()),
                    );
                }
            }
            Ok(map.finish())
        })
    }

    fn scale_channels(&self, input: &Tensor, gains: &[f32], offsets: &[f32]) -> Result<Tensor, EngineError> {
        let shape = input.shape();
        if gains.len() != shape.channels || offsets.len() != shape.channels {
            return misfit(format!("{} gains and {} offsets for {shape}", gains.len(), offsets.len()));
        }
        self.guarded(|| {
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
                    kernels::pointwise::scale_channels::launch_unchecked::<R>(
                        &self.client,
                        count,
                        dim,
                        from.arg()?,
                        map::array(&channels, 2 * map.pixel_vectors())?,
                        map.arg()?,
                        map.len() as u32,
                        map.pixel_vectors() as u32,
                        storage_type(input.precision()),
                    );
                }
            }
            Ok(map.finish())
        })
    }

    fn add_scaled(&self, a: &Tensor, scale: f32, b: &Tensor) -> Result<Tensor, EngineError> {
        let shape = a.shape();
        if shape != b.shape() {
            return misfit(format!("a sum of {shape} and {}", b.shape()));
        }
        self.guarded(|| {
            let (left, right) = (read::<R>(a)?, read::<R>(b)?);
            let map = self.allocate(shape, a.precision())?;
            if map.len() > 0 {
                let (count, dim) = row_of(map.len());
                // SAFETY: one unit for each vector of maps of one shape.
                unsafe {
                    kernels::pointwise::add_scaled::launch_unchecked::<R>(
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
        })
    }

    fn mean_abs(&self, input: &Tensor) -> Result<f64, EngineError> {
        let shape = input.shape();
        if shape.is_empty() {
            return misfit(format!("the mean of {shape}"));
        }
        self.guarded(|| {
            let from = read::<R>(input)?;
            let units = from.len().min(SUMMING_UNITS);
            let sum_bytes = if self.has_f64 { size_of::<f64>() } else { size_of::<f32>() };
            let sum_type = if self.has_f64 { FloatKind::F64 } else { FloatKind::F32 };
            let sums = self.pool.allocate(units * sum_bytes)?;
            let (count, dim) = row_of(units);
            // SAFETY: as many units as sums; each reads every `units`-th vector of the map.
            unsafe {
                kernels::pointwise::sum_abs::launch_unchecked::<R>(
                    &self.client,
                    count,
                    dim,
                    from.arg()?,
                    map::array(&sums, units)?,
                    from.len() as u32,
                    units as u32,
                    [storage_type(input.precision()), StorageType::Scalar(ElemType::Float(sum_type))],
                );
            }
            let bytes = self.download_bytes(vec![handle(&sums)?])?;
            let bytes = &bytes[0][..units * sum_bytes];
            let sum: f64 = if self.has_f64 {
                bytes.as_chunks::<8>().0.iter().map(|b| f64::from_ne_bytes(*b)).sum()
            } else {
                bytes.as_chunks::<4>().0.iter().map(|b| f64::from(f32::from_ne_bytes(*b))).sum()
            };
            Ok(sum / shape.len() as f64)
        })
    }

    fn to_bytes(&self, tensor: &Tensor) -> Result<Vec<u8>, EngineError> {
        self.guarded(|| self.plain_bytes(read(tensor)?))
    }

    fn from_bytes(&self, shape: Shape, precision: Precision, bytes: &[u8]) -> Result<Tensor, EngineError> {
        if bytes.len() != shape.len() * precision.bytes() {
            return misfit(format!("{} bytes for {shape} values in {precision}", bytes.len()));
        }
        self.guarded(|| self.stored_plain(shape, precision, bytes))
    }

    fn rows(&self, input: &Tensor, rows: Range<usize>) -> Result<Tensor, EngineError> {
        let shape = input.shape().of_rows(&rows)?;
        self.guarded(|| {
            let map = self.allocate(shape, input.precision())?;
            self.copy_rows(read(input)?, rows.start, &map, 0, shape.height)?;
            Ok(map.finish())
        })
    }

    fn stack_rows(&self, parts: &[Tensor]) -> Result<Tensor, EngineError> {
        let (shape, precision) = stacked(parts)?;
        self.guarded(|| {
            let map = self.allocate(shape, precision)?;
            let mut start = 0;
            for part in parts {
                self.copy_rows(read(part)?, 0, &map, start, part.shape().height)?;
                start += part.shape().height;
            }
            Ok(map.finish())
        })
    }
}
