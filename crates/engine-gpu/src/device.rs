//! The devices of the machine, and opening one.

#![expect(unsafe_code, reason = "asks the driver for what the graphics library does not pass on")]

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use cubecl::MemoryConfiguration;
use cubecl::wgpu::{AutoGraphicsApi, GraphicsApi, RuntimeOptions, WgpuDevice, WgpuRuntime, init_setup};
use wgpu::{Backend, Backends, DeviceType, Features, Instance, InstanceDescriptor};

use crate::GpuError;

#[cfg(feature = "cuda")]
pub(crate) mod cuda;

/// A build without CUDA.
#[cfg(not(feature = "cuda"))]
mod cuda {
    pub(super) fn missing() -> Option<&'static str> {
        Some("this build has no CUDA; build with the feature `cuda`")
    }

    pub(super) fn devices() -> Vec<super::GpuInfo> {
        Vec::new()
    }

    pub(super) fn free_bytes(_index: usize) -> Option<u64> {
        None
    }
}

/// Through what a device is driven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum GpuBackend {
    /// Vulkan.
    Vulkan,
    /// Apple's Metal.
    Metal,
    /// NVIDIA's CUDA.
    Cuda,
}

impl GpuBackend {
    /// `vulkan`, `metal` or `cuda`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Vulkan => "vulkan",
            Self::Metal => "metal",
            Self::Cuda => "cuda",
        }
    }
}

/// What a device is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GpuKind {
    /// A card with memory of its own.
    Discrete,
    /// A part of the processor, with the processor's memory.
    Integrated,
    /// A share of a card in a virtual machine.
    Virtual,
    /// A program that stands in for a card, slower than the CPU engine.
    Software,
    /// The driver does not say.
    Other,
}

impl GpuKind {
    /// In a word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Discrete => "discrete",
            Self::Integrated => "integrated",
            Self::Virtual => "virtual",
            Self::Software => "software",
            Self::Other => "other",
        }
    }
}

/// A device of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GpuInfo {
    /// Through what it is driven.
    pub backend: GpuBackend,
    /// Its number there, from 0.
    pub index: usize,
    /// What its maker calls it.
    pub name: String,
    /// The driver and its version.
    pub driver: String,
    /// What it is made of.
    pub kind: GpuKind,
    /// Bytes of its memory; `None` where the driver does not say.
    pub memory_bytes: Option<u64>,
    /// Bytes of it that are free; `None` where the driver does not say, or only once the device is at work
    /// ([`GpuInfo::free_memory_bytes`]).
    pub free_bytes: Option<u64>,
    /// Whether it stores and converts f16.
    pub f16: bool,
    /// Whether it multiplies f16 matrices in units of their own.
    pub matrix_cores: bool,
}

impl GpuInfo {
    /// Whether its memory is not the processor's.
    #[must_use]
    pub fn has_own_memory(&self) -> bool {
        matches!(self.kind, GpuKind::Discrete | GpuKind::Virtual)
    }

    /// Bytes of its memory that are free now, if the driver says. A device of CUDA is set to work for it.
    #[must_use]
    pub fn free_memory_bytes(&self) -> Option<u64> {
        if self.backend == GpuBackend::Cuda { cuda::free_bytes(self.index) } else { self.free_bytes }
    }

    /// How good a choice it is where nobody chose: larger is better; `None` for what is never chosen. A card that Vulkan
    /// drives, too, is not driven through CUDA.
    fn rank(&self) -> Option<(bool, bool, u8, u64)> {
        let kind = match self.kind {
            GpuKind::Discrete => 3,
            GpuKind::Virtual => 2,
            GpuKind::Integrated => 1,
            GpuKind::Software | GpuKind::Other => return None,
        };
        Some((self.has_own_memory(), self.backend != GpuBackend::Cuda, kind, self.memory_bytes.unwrap_or(0)))
    }
}

/// As `--device` takes it: `vulkan:0`.
impl fmt::Display for GpuInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.backend.name(), self.index)
    }
}

/// The devices that there are, as they were when this was first asked; none where the machine has no driver for any. Those
/// of CUDA come last.
#[must_use]
pub fn devices() -> Vec<GpuInfo> {
    static DEVICES: OnceLock<Vec<GpuInfo>> = OnceLock::new();
    // A driver that panics is as good as none.
    let find = || {
        let graphics = || adapters().iter().enumerate().map(|(index, adapter)| describe(index, adapter)).collect();
        let mut found: Vec<GpuInfo> = catch_unwind(graphics).unwrap_or_default();
        found.extend(catch_unwind(cuda::devices).unwrap_or_default());
        found
    };
    DEVICES.get_or_init(find).clone()
}

/// The device of number `index` of CUDA, or of Vulkan or Metal, whichever the machine has.
///
/// # Errors
/// [`GpuError::NoSuchDevice`]; [`GpuError::NoCuda`] where there is no device of CUDA for want of what it needs.
pub fn device(backend: GpuBackend, index: usize) -> Result<GpuInfo, GpuError> {
    let is_cuda = |backend| backend == GpuBackend::Cuda;
    let found = devices().into_iter().find(|d| is_cuda(d.backend) == is_cuda(backend) && d.index == index);
    found.ok_or_else(|| match cuda::missing().filter(|_| is_cuda(backend)) {
        Some(missing) => GpuError::NoCuda { missing },
        None => GpuError::NoSuchDevice { name: format!("{}:{index}", backend.name()) },
    })
}

/// The best device that is not a program.
#[must_use]
pub fn best_device() -> Option<GpuInfo> {
    best(devices())
}

fn best(devices: Vec<GpuInfo>) -> Option<GpuInfo> {
    devices.into_iter().filter(|device| device.rank().is_some()).max_by_key(GpuInfo::rank)
}

/// The adapters of the one graphics interface that kernels are made for here.
fn adapters() -> Vec<wgpu::Adapter> {
    let backend = AutoGraphicsApi::backend();
    let instance = Instance::new(InstanceDescriptor {
        backends: Backends::from(backend),
        ..InstanceDescriptor::new_without_display_handle()
    });
    cubecl::future::block_on(instance.enumerate_adapters(Backends::from(backend)))
}

fn describe(index: usize, adapter: &wgpu::Adapter) -> GpuInfo {
    let info = adapter.get_info();
    let features = adapter.features();
    let (memory_bytes, free_bytes) = memory(adapter);
    GpuInfo {
        backend: if info.backend == Backend::Metal { GpuBackend::Metal } else { GpuBackend::Vulkan },
        index,
        name: info.name,
        driver: format!("{} {}", info.driver, info.driver_info).trim().to_owned(),
        kind: match info.device_type {
            DeviceType::DiscreteGpu => GpuKind::Discrete,
            DeviceType::IntegratedGpu => GpuKind::Integrated,
            DeviceType::VirtualGpu => GpuKind::Virtual,
            DeviceType::Cpu => GpuKind::Software,
            DeviceType::Other => GpuKind::Other,
        },
        memory_bytes,
        free_bytes,
        f16: features.contains(Features::SHADER_F16),
        matrix_cores: features.contains(Features::EXPERIMENTAL_COOPERATIVE_MATRIX),
    }
}

/// Bytes of the largest heap of the device's own, and how many of them this process may still take.
fn memory(adapter: &wgpu::Adapter) -> (Option<u64>, Option<u64>) {
    // SAFETY: the handles are only read, while the adapter lives.
    let Some(vulkan) = (unsafe { adapter.as_hal::<wgpu::hal::api::Vulkan>() }) else { return (None, None) };
    let instance = vulkan.shared_instance().raw_instance();
    let physical = vulkan.raw_physical_device();
    let has_budget = vulkan.physical_device_capabilities().supports_extension(ash::ext::memory_budget::NAME);
    let mut budget = ash::vk::PhysicalDeviceMemoryBudgetPropertiesEXT::default();
    let mut all = ash::vk::PhysicalDeviceMemoryProperties2::default();
    if has_budget {
        all = all.push_next(&mut budget);
    }
    // SAFETY: the device is of this instance, and the structures are linked as Vulkan wants them.
    unsafe { instance.get_physical_device_memory_properties2(physical, &mut all) };
    let memory = all.memory_properties;
    let heaps = &memory.memory_heaps[..memory.memory_heap_count as usize];
    let own = (0..heaps.len()).filter(|&i| heaps[i].flags.contains(ash::vk::MemoryHeapFlags::DEVICE_LOCAL));
    let Some(largest) = own.max_by_key(|&i| heaps[i].size) else { return (None, None) };
    let free = has_budget.then(|| budget.heap_budget[largest].saturating_sub(budget.heap_usage[largest]));
    (Some(heaps[largest].size), free)
}

/// What went wrong on a device beside the calls that the engine made.
#[derive(Debug, Default)]
pub(crate) struct Health {
    out_of_memory: AtomicBool,
    fault: Mutex<Option<String>>,
    /// Whether the runtime reports nothing but what its calls return.
    of_calls: bool,
}

impl Health {
    /// Of a device whose runtime reports nothing but what its calls return.
    #[cfg(feature = "cuda")]
    fn of_calls() -> Self {
        Self { of_calls: true, ..Self::default() }
    }

    /// Whether a failed allocation is told by nothing but that the buffer is not there.
    pub(crate) fn is_of_calls(&self) -> bool {
        self.of_calls
    }

    /// Takes note of what a call failed with.
    pub(crate) fn failed(&self, reason: &str) {
        if self.of_calls {
            self.fail(reason.to_owned());
        }
    }

    /// Whether an allocation failed since this was last asked.
    pub(crate) fn take_out_of_memory(&self) -> bool {
        self.out_of_memory.swap(false, Ordering::AcqRel)
    }

    /// The first failure that is not for want of memory.
    pub(crate) fn fault(&self) -> Option<String> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn fail(&self, reason: String) {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(reason);
    }
}

/// A device at work, shared by the engines on it.
#[derive(Clone, Debug)]
pub(crate) struct Opened {
    pub(crate) device: WgpuDevice,
    pub(crate) health: Arc<Health>,
}

/// Devices are opened once in a process.
static OPENED: Mutex<BTreeMap<usize, Opened>> = Mutex::new(BTreeMap::new());

/// Opens the device that `info` describes.
pub(crate) fn open(info: &GpuInfo) -> Result<Opened, GpuError> {
    let unusable = |reason: String| GpuError::Unusable { name: info.to_string(), reason };
    let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(opened) = opened.get(&info.index) {
        return match opened.health.fault() {
            None => Ok(opened.clone()),
            Some(reason) => Err(unusable(reason)),
        };
    }
    let same_kind = devices().iter().take(info.index).filter(|device| device.kind == info.kind).count();
    let device = match info.kind {
        GpuKind::Discrete => WgpuDevice::DiscreteGpu(same_kind),
        GpuKind::Integrated => WgpuDevice::IntegratedGpu(same_kind),
        GpuKind::Virtual => WgpuDevice::VirtualGpu(same_kind),
        GpuKind::Software if same_kind == 0 => WgpuDevice::Cpu,
        GpuKind::Software | GpuKind::Other => return Err(unusable("its driver does not say what it is".into())),
    };
    let health = Arc::<Health>::default();
    let set_up = || {
        let options = RuntimeOptions {
            // The engine's own pool decides what is kept.
            memory_config: MemoryConfiguration::ExclusivePages,
            ..RuntimeOptions::default()
        };
        let setup = init_setup::<AutoGraphicsApi>(&device, options);
        let noted = Arc::clone(&health);
        setup.device.on_uncaptured_error(Arc::new(move |error| match error {
            wgpu::Error::OutOfMemory { .. } => noted.out_of_memory.store(true, Ordering::Release),
            other => noted.fail(other.to_string()),
        }));
        let noted = Arc::clone(&health);
        setup.device.set_device_lost_callback(move |reason, message| {
            if reason != wgpu::DeviceLostReason::Destroyed {
                noted.fail(format!("the device is lost: {message}"));
            }
        });
    };
    catch_unwind(AssertUnwindSafe(set_up)).map_err(|panic| unusable(said(&*panic)))?;
    let new = Opened { device, health };
    opened.insert(info.index, new.clone());
    Ok(new)
}

/// What a panic said.
pub(crate) fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned())).unwrap_or_else(|| "a panic".to_owned())
}

/// The client of an opened device.
pub(crate) fn client(opened: &Opened) -> cubecl::client::ComputeClient<WgpuRuntime> {
    use cubecl::Runtime as _;
    WgpuRuntime::client(&opened.device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_is_driven_through_vulkan_where_it_can_be() {
        let device = |backend, kind| GpuInfo {
            backend,
            index: 0,
            name: String::new(),
            driver: String::new(),
            kind,
            memory_bytes: None,
            free_bytes: None,
            f16: true,
            matrix_cores: true,
        };
        let vulkan = |kind| device(GpuBackend::Vulkan, kind);
        let cuda = || device(GpuBackend::Cuda, GpuKind::Discrete);
        let taken = |listed: Vec<GpuInfo>| best(listed).map(|device| device.backend);
        assert_eq!(taken(vec![vulkan(GpuKind::Discrete), cuda()]), Some(GpuBackend::Vulkan));
        assert_eq!(taken(vec![vulkan(GpuKind::Virtual), cuda()]), Some(GpuBackend::Vulkan));
        assert_eq!(taken(vec![vulkan(GpuKind::Integrated), cuda()]), Some(GpuBackend::Cuda));
        assert_eq!(taken(vec![vulkan(GpuKind::Software), cuda()]), Some(GpuBackend::Cuda));
        assert_eq!(taken(vec![vulkan(GpuKind::Software)]), None);
    }
}
