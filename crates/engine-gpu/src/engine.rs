//! The engine: checks what it is asked for, finds memory, and launches kernels in order.

#![expect(unsafe_code, reason = "launches kernels that do not check their bounds")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use cubecl::bytes::Bytes;
use cubecl::features::TypeUsage;
use cubecl::ir::{ElemType, FloatKind};
use cubecl::prelude::*;
use cubecl::server::{Handle, ServerError};
use cubecl::stream_id::StreamId;
use cubecl::wgpu::WgpuRuntime;
use framelift_engine::{
    Addend, Conv, ConvSpec, DeformConv, DeformSpec, Download, Engine, EngineError, EngineInfo, HostTensor, Layout,
    MemoryUse, Padding, Precision, ResizeMode, Shape, Support, Tensor, stacked, stacked_maps,
};
use framelift_frame::{Frame, Timestamp};

use crate::device::{self, GpuBackend, GpuInfo, GpuKind, Health, said};
use crate::kernels::product::{Block, MatrixSize};
use crate::map::{Map, decode, encode, pack, read, unpack};
use crate::pool::{GAPS_SIXTEENTHS, Pool};
use crate::read::Read;
use crate::tuning::{Tuner, Tuning};
use crate::{GpuError, NAME};

mod conv;
mod frames;
mod motion;
mod pointwise;
mod sampled;
mod shuffle;
mod tables;

use tables::Tables;

/// Pixels of small maps that fill large cards a few times over.
const TOGETHER_PX: usize = 1 << 19;

/// How an engine is set up.
#[derive(Clone, Debug)]
pub struct GpuOptions {
    /// The device, of [`devices`](crate::devices).
    pub device: GpuInfo,
    /// The most bytes that tensors and weights may take together: of the device's memory, or of the host's where it has none
    /// of its own. No limit where `None`.
    pub memory_limit_bytes: Option<usize>,
    /// Whether the shapes of kernels are measured.
    pub tuning: Tuning,
    /// Whether convolutions of f16 maps run on the device's matrix cores, where it has them.
    pub matrix_cores: bool,
    /// What kernels are shaped for in place of the device, to see what a compiler makes of them where there is no such card.
    pub assumed: Option<AssumedCard>,
}

/// A card that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AssumedCard {
    /// Units of its planes (subgroups).
    pub plane_units: usize,
    /// Pixels, outputs and channels of the matrices that its cores for them multiply.
    pub matrix_side: usize,
}

/// Whether matrix cores are to be used: unless the environment variable `FRAMELIFT_GPU_MATRIX_CORES` says `off`.
#[must_use]
pub fn matrix_cores_from_env() -> bool {
    std::env::var_os("FRAMELIFT_GPU_MATRIX_CORES").is_none_or(|value| value != "off")
}

/// An engine on a GPU, through the runtime `R`.
struct GpuEngine<R: Runtime> {
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
    /// The matrices that its cores for them multiply, if it has such and they are to be used.
    matrix: Option<MatrixSize>,
    /// Units of a plane: at most, and at least.
    plane_units: (usize, usize),
    /// Whether it is a program that stands in for a card.
    is_software: bool,
    tuner: Tuner,
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

/// An engine on a device, through whatever drives it.
///
/// # Errors
/// [`GpuError::Unusable`]; [`GpuError::NoCuda`].
pub fn open(options: &GpuOptions) -> Result<Arc<dyn Engine>, GpuError> {
    Ok(match options.device.backend {
        #[cfg(feature = "cuda")]
        GpuBackend::Cuda => Arc::new(GpuEngine::<cubecl::cuda::CudaRuntime>::on_cuda(options)?),
        _ => Arc::new(GpuEngine::<WgpuRuntime>::new(options)?),
    })
}

impl GpuEngine<WgpuRuntime> {
    /// An engine on a device of Vulkan or Metal.
    ///
    /// # Errors
    /// [`GpuError::Unusable`].
    fn new(options: &GpuOptions) -> Result<Self, GpuError> {
        let opened = device::open(&options.device)?;
        let client = device::client(&opened);
        Ok(Self::on(client, opened.health, options))
    }
}

#[cfg(feature = "cuda")]
impl GpuEngine<cubecl::cuda::CudaRuntime> {
    /// An engine on a device of CUDA.
    ///
    /// # Errors
    /// [`GpuError::Unusable`]; [`GpuError::NoCuda`].
    fn on_cuda(options: &GpuOptions) -> Result<Self, GpuError> {
        let (client, health) = device::cuda::open(&options.device)?;
        let engine = Self::on(client, health, options);
        // The runtime's own pools are of fixed sizes, up to a quarter of the card each; kept "for ever", buffers are as large
        // as they are asked for, and go when the engine's pool has them cleaned up.
        // SAFETY: nothing else uses the engine's stream yet.
        unsafe { engine.client.allocation_mode(cubecl::MemoryAllocationMode::Persistent) };
        Ok(engine)
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
        let is_software = info.kind == GpuKind::Software && options.assumed.is_none();
        let hardware = &client.properties().hardware;
        let plane_units = match options.assumed {
            Some(card) => (card.plane_units, card.plane_units),
            None => (hardware.plane_size_max as usize, hardware.plane_size_min as usize),
        };
        let assumed = options.assumed.map(|AssumedCard { matrix_side: side, .. }| MatrixSize {
            pixels: side,
            outputs: side,
            channels: side,
        });
        let matrix = assumed
            .or_else(|| matrix_size(&client))
            .filter(|_| options.matrix_cores && info.backend != GpuBackend::Metal);
        let largest_bytes = match info.backend {
            GpuBackend::Cuda => info.memory_bytes.unwrap_or(u64::MAX),
            _ => client.properties().memory.max_page_size,
        };
        let mut detail = format!("{info}, {}, {}", info.name, info.driver);
        if let Some(MatrixSize { pixels, outputs, channels }) = matrix {
            let _ = write!(detail, ", matrix cores ({pixels}x{outputs}x{channels}) for f16");
        }
        Self {
            info: EngineInfo { name: NAME, detail },
            pool: Pool::new(client.clone(), Arc::clone(&health), options.memory_limit_bytes, largest_bytes),
            own_memory_bytes: own_memory_bytes(options),
            has_f16: supports(FloatKind::F16),
            has_f64: supports(FloatKind::F64),
            matrix,
            plane_units,
            is_software,
            tuner: Tuner::new(&options.tuning, info, is_software),
            client,
            health,
            tables: Mutex::default(),
        }
    }

    /// Runs a call. What CubeCL and the driver panic over becomes an error.
    fn guarded<T>(&self, call: impl FnOnce() -> Result<T, EngineError>) -> Result<T, EngineError> {
        guarded(&self.health, call)
    }

    /// Waits until all that was launched is done.
    fn finished(&self) -> Result<(), EngineError> {
        let done = cubecl::future::block_on(self.client.sync());
        done.map_err(|error| device_error(reason_of(&error)))
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

    /// Whether the device has units and shared memory for cubes of `block` with `tile_vectors` vectors in their tile.
    fn has_room(&self, block: &Block, tile_vectors: usize, precision: Precision) -> bool {
        let hardware = &self.client.properties().hardware;
        block.shared_bytes(tile_vectors, precision.bytes()) <= hardware.max_shared_memory_size
            && block.units() <= hardware.max_units_per_cube as usize
    }

    /// The matrices that convolutions of `precision` are summed in, if they are.
    fn matrix_of(&self, precision: Precision) -> Option<MatrixSize> {
        self.matrix.filter(|_| precision == Precision::F16)
    }

    fn allocate(&self, shape: Shape, precision: Precision) -> Result<Map<R>, EngineError> {
        self.check_precision(precision)?;
        Map::allocate(&self.pool, shape, precision)
    }

    /// The bytes of buffers, once all that was launched before is done.
    fn download_bytes(&self, handles: Vec<Handle>) -> Result<Vec<Bytes>, EngineError> {
        Read::begin(&self.client, handles).wait()
    }

    /// The bytes of a map as they are stored, without padding.
    fn plain_bytes(&self, map: &Map<R>) -> Result<Vec<u8>, EngineError> {
        if map.shape.is_empty() {
            return Ok(Vec::new());
        }
        let bytes = self.download_bytes(vec![map.buffer().handle()])?;
        Ok(unpack(map.shape, map.precision.bytes(), &bytes[0]))
    }

    /// A map of values without padding.
    fn stored_plain(&self, shape: Shape, precision: Precision, plain: &[u8]) -> Result<Tensor, EngineError> {
        self.check_precision(precision)?;
        Ok(Map::filled(&self.pool, shape, precision, pack(shape, precision.bytes(), plain))?.finish())
    }
}

/// The largest matrices of f16 that the device multiplies and sums in f32, of the sizes that kernels can be made for.
fn matrix_size<R: Runtime>(client: &ComputeClient<R>) -> Option<MatrixSize> {
    let of = |kind| ElemType::Float(kind).into();
    let (half, single) = (of(FloatKind::F16), of(FloatKind::F32));
    let known = |side: u32| [8, 16].contains(&side);
    let sizes = client.properties().features.matmul.cmma.iter().filter(|config| {
        config.a_type == half
            && config.b_type == half
            && config.cd_type == single
            && [config.m, config.n, config.k].into_iter().all(known)
    });
    sizes.max_by_key(|config| config.m * config.n * config.k).map(|config| MatrixSize {
        pixels: config.m as usize,
        outputs: config.n as usize,
        channels: config.k as usize,
    })
}

/// The limit on the device's own memory, if it has one.
fn own_memory_bytes(options: &GpuOptions) -> Option<u64> {
    let limit = options.memory_limit_bytes.map(|bytes| bytes as u64);
    limit.or(options.device.memory_bytes).filter(|_| options.device.has_own_memory())
}

/// Runs a call on a device of this `health`. What CubeCL and the driver panic over becomes an error.
fn guarded<T>(health: &Health, call: impl FnOnce() -> Result<T, EngineError>) -> Result<T, EngineError> {
    let done = catch_unwind(AssertUnwindSafe(call));
    let done = done.unwrap_or_else(|panic| Err(device_error(said(&*panic))));
    if let Err(EngineError::Device { reason, .. }) = &done {
        health.failed(reason);
    }
    match health.fault() {
        None => done,
        Some(reason) => Err(device_error(reason)),
    }
}

pub(crate) fn device_error(reason: String) -> EngineError {
    EngineError::Device { engine: NAME, reason }
}

/// What CubeCL says of an error, in a line: the first of several, without its backtrace and the kernel's source.
pub(crate) fn reason_of(error: &ServerError) -> String {
    if let ServerError::ServerUnhealthy { errors, .. } = error
        && let Some(first) = errors.first()
    {
        return reason_of(first);
    }
    let text = error.to_string();
    let lines = text.lines().map(str::trim).take_while(|line| !line.starts_with("Backtrace") && *line != "[Source]");
    lines.filter(|line| !line.is_empty() && *line != "Caused by:").collect::<Vec<_>>().join(": ")
}

fn misfit<T>(what: String) -> Result<T, EngineError> {
    Err(EngineError::Shape(what))
}

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

    fn fault(&self) -> Option<String> {
        self.health.fault()
    }

    fn memory(&self) -> MemoryUse {
        self.pool.memory()
    }

    fn own_memory_bytes(&self) -> Option<u64> {
        // For kernels, tables and what the plan did not foresee.
        self.own_memory_bytes.map(|bytes| bytes / 10 * 9)
    }

    fn layout(&self, precision: Precision) -> Layout {
        Layout { precision, in_fours: true, gaps_sixteenths: GAPS_SIXTEENTHS, together_px: TOGETHER_PX }
    }

    fn set_memory_plan(&self, planned_bytes: u64, _limit_bytes: u64) {
        self.pool.set_aside(usize::try_from(planned_bytes).unwrap_or(usize::MAX));
    }

    fn wait(&self) -> Result<(), EngineError> {
        self.guarded(|| self.finished())
    }

    fn upload(&self, frame: &Frame) -> Result<Tensor, EngineError> {
        self.guarded(|| self.uploaded(frame))
    }

    fn download(&self, tensor: &Tensor, time: Timestamp, duration_ticks: i64) -> Result<Frame, EngineError> {
        self.begin_download(tensor, time, duration_ticks).wait()
    }

    fn begin_download(&self, tensor: &Tensor, time: Timestamp, duration_ticks: i64) -> Download {
        let begun = self.guarded(|| self.begun(tensor, time, duration_ticks));
        begun.unwrap_or_else(|error| Download::ready(Err(error)))
    }

    fn from_host(&self, values: &HostTensor, precision: Precision) -> Result<Tensor, EngineError> {
        self.guarded(|| self.stored_plain(values.shape(), precision, &encode(values.data(), precision)))
    }

    fn to_host(&self, tensor: &Tensor) -> Result<HostTensor, EngineError> {
        self.guarded(|| decode(tensor.shape(), tensor.precision(), &self.plain_bytes(read(tensor)?)?))
    }

    fn zeros(&self, shape: Shape, precision: Precision) -> Result<Tensor, EngineError> {
        self.guarded(|| self.zeroed(shape, precision))
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
        self.guarded(|| self.shuffled(input, factor, false))
    }

    fn pixel_unshuffle(&self, input: &Tensor, factor: usize) -> Result<Tensor, EngineError> {
        self.guarded(|| self.shuffled(input, factor, true))
    }

    fn flow_warp(&self, input: &Tensor, flow: &Tensor, padding: Padding) -> Result<Tensor, EngineError> {
        self.guarded(|| self.warped(input, flow, padding))
    }

    fn motion(&self, from: &Tensor, to: &[&Tensor]) -> Result<Vec<Tensor>, EngineError> {
        self.guarded(|| self.moved(from, to))
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
        self.guarded(|| self.pooled(input))
    }

    fn scale_channels(&self, input: &Tensor, gains: &[f32], offsets: &[f32]) -> Result<Tensor, EngineError> {
        self.guarded(|| self.scaled(input, gains, offsets))
    }

    fn add_scaled(&self, a: &Tensor, scale: f32, b: &Tensor) -> Result<Tensor, EngineError> {
        self.guarded(|| self.sum_of(a, scale, b))
    }

    fn mean_abs(&self, input: &Tensor) -> Result<f64, EngineError> {
        self.guarded(|| self.mean_magnitude(input))
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

    fn stack_maps(&self, maps: &[&Tensor]) -> Result<Tensor, EngineError> {
        if let [map] = maps {
            return Ok(Tensor::clone(map));
        }
        let (shape, precision) = stacked_maps(maps)?;
        self.guarded(|| self.put_together(maps, shape, precision))
    }

    fn maps(&self, stack: &Tensor, maps: Range<usize>) -> Result<Tensor, EngineError> {
        let shape = stack.shape().of_maps(&maps)?;
        if shape == stack.shape() {
            return Ok(stack.clone());
        }
        self.guarded(|| self.maps_of(stack, maps.start, shape))
    }

    fn rows(&self, input: &Tensor, rows: Range<usize>) -> Result<Tensor, EngineError> {
        let shape = input.shape().of_rows(&rows)?;
        self.guarded(|| self.rows_of(input, rows.start, shape))
    }

    fn stack_rows(&self, parts: &[Tensor]) -> Result<Tensor, EngineError> {
        let (shape, precision) = stacked(parts)?;
        self.guarded(|| self.put_below(parts, shape, precision))
    }
}
