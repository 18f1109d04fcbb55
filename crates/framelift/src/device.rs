//! Where networks run: picks an engine by name and feature.

use std::fmt;
use std::sync::Arc;

use framelift_engine::{Engine, Precision, Support};

use crate::Error;

/// Where to compute, how precisely, with how many threads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceOptions {
    /// The device.
    pub device: Device,
    /// Further GPUs, of the same kind, that take shots of a film beside `device`. Only an [`Upscaler`](crate::Upscaler) works
    /// on several.
    pub beside: Vec<Device>,
    /// How features are stored and multiplied; `None` takes a short precision where the device has instructions for it and
    /// the network is good in it (f16 rather than bf16), else f32.
    pub precision: Option<Precision>,
    /// Threads of the CPU engine; `None` for one a core.
    pub threads: Option<usize>,
    /// Ceiling on the host's memory: of the whole run in an [`Upscaler`](crate::Upscaler), of the network and its frames in
    /// a [`Session`](crate::Session). `None` for a share of what is free. A GPU's own memory is not counted; of that, most
    /// of what is free may be taken.
    pub memory_limit_bytes: Option<usize>,
}

/// A device by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Device {
    /// The fastest there is: the best GPU, or the processor where there is none. Software that stands in for a GPU is
    /// never taken.
    #[default]
    Auto,
    /// The processor.
    Cpu,
    /// The best GPU.
    Gpu,
    /// The GPU of this number among those of [`devices`].
    Vulkan(usize),
    /// The NVIDIA GPU of this number, through CUDA, in a build with the feature `cuda`.
    Cuda(usize),
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Gpu => f.write_str("gpu"),
            Self::Vulkan(index) => write!(f, "vulkan:{index}"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
        }
    }
}

impl std::str::FromStr for Device {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        let indexed = name.split_once(':').and_then(|(backend, index)| Some((backend, index.parse().ok()?)));
        match (name, indexed) {
            ("auto", _) => Ok(Self::Auto),
            ("cpu", _) => Ok(Self::Cpu),
            ("gpu", _) => Ok(Self::Gpu),
            (_, Some(("vulkan", index))) => Ok(Self::Vulkan(index)),
            (_, Some(("cuda", index))) => Ok(Self::Cuda(index)),
            _ => Err(Error::Device(format!(
                "there is no device `{name}`; use --device auto, cpu, gpu, vulkan:N or cuda:N, N as `framelift devices` \
                 numbers them"
            ))),
        }
    }
}

/// A device of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceInfo {
    /// What chooses it.
    pub device: Device,
    /// What its maker calls it; of the processor, its threads and instructions.
    pub name: String,
    /// `cpu`, `vulkan`, `metal` or `cuda`.
    pub backend: &'static str,
    /// `processor`, `discrete`, `integrated`, `virtual`, `software` or `other`.
    pub kind: &'static str,
    /// Bytes of its memory, where it says.
    pub memory_bytes: Option<u64>,
    /// Whether it stores features as f16.
    pub f16: bool,
    /// Whether it multiplies matrices of a short precision in units of their own.
    pub matrix_cores: bool,
}

/// Devices by name, as `--device` takes them: one, or several GPUs with commas between.
///
/// # Errors
/// [`Error::Device`] where a name is none, or several are not all of GPUs by number.
pub fn parse_devices(names: &str) -> Result<(Device, Vec<Device>), Error> {
    let devices = names.split(',').map(|name| name.trim().parse()).collect::<Result<Vec<Device>, _>>()?;
    match &devices[..] {
        [one] => Ok((*one, Vec::new())),
        [first, others @ ..] if devices.iter().all(|device| matches!(device, Device::Vulkan(_) | Device::Cuda(_))) => {
            Ok((*first, others.to_vec()))
        }
        _ => Err(Error::Device(format!(
            "`{names}` names several devices, which must all be GPUs by number; use --device vulkan:0,vulkan:1, N as \
             `framelift devices` numbers them"
        ))),
    }
}

/// An engine, and what should be said about its choice.
pub(crate) struct Chosen {
    pub(crate) engine: Arc<dyn Engine>,
    /// Those on the devices beside it.
    pub(crate) others: Vec<Arc<dyn Engine>>,
    pub(crate) notice: Option<String>,
}

/// The devices that this build can run on.
#[must_use]
pub fn devices() -> Vec<DeviceInfo> {
    let mut devices = Vec::new();
    if let Ok(engine) = DeviceOptions::default().cpu() {
        devices.push(DeviceInfo {
            device: Device::Cpu,
            name: engine.info().detail.clone(),
            backend: "cpu",
            kind: "processor",
            memory_bytes: framelift_pipeline::available_bytes(),
            f16: engine.support(Precision::F16) == Support::Native,
            matrix_cores: false,
        });
    }
    devices.extend(gpu::devices());
    devices
}

impl DeviceOptions {
    /// Makes the engine.
    ///
    /// # Errors
    /// [`Error::Device`] where the build holds no engine for the device or the device cannot be used.
    pub fn engine(&self) -> Result<Arc<dyn Engine>, Error> {
        if let Some(other) = self.beside.first() {
            let message =
                format!("only films are worked on by several devices; use --device {} without {other}", self.device);
            return Err(Error::Device(message));
        }
        self.chosen().map(|chosen| chosen.engine)
    }

    /// What a user should be told of the choice that [`DeviceOptions::engine`] makes: that there is no GPU.
    #[must_use]
    pub fn notice(&self) -> Option<String> {
        (self.device == Device::Auto && gpu::BUILT_IN && !gpu::is_there()).then(|| gpu::NONE.to_owned())
    }

    pub(crate) fn chosen(&self) -> Result<Chosen, Error> {
        let quiet = |engine| Chosen { engine, others: Vec::new(), notice: None };
        match self.device {
            Device::Cpu => self.cpu().map(quiet),
            Device::Gpu | Device::Vulkan(_) | Device::Cuda(_) => {
                let on = |device: &Device| {
                    // A device that is named twice is shared.
                    let named = std::iter::once(&self.device).chain(&self.beside).filter(|named| *named == device);
                    gpu::engine(*device, self.memory_limit_bytes, named.count().max(1))
                };
                let chosen = quiet(on(&self.device)?);
                let others = self.beside.iter().map(on).collect::<Result<Vec<_>, _>>()?;
                same_kind(&chosen.engine, &others)?;
                Ok(Chosen { others, ..chosen })
            }
            Device::Auto if gpu::is_there() => match gpu::engine(Device::Gpu, self.memory_limit_bytes, 1) {
                Ok(engine) => Ok(quiet(engine)),
                Err(error) => {
                    let notice = format!("{error}; computing on the processor");
                    Ok(Chosen { engine: self.cpu()?, others: Vec::new(), notice: Some(notice) })
                }
            },
            Device::Auto => Ok(Chosen { engine: self.cpu()?, others: Vec::new(), notice: self.notice() }),
        }
    }

    /// The same without the devices that `failed`, of which the first speaks for `device` and the others for those beside
    /// it; `None` where none failed, or all did.
    pub(crate) fn without(&self, failed: &[bool]) -> Option<Self> {
        let named = std::iter::once(self.device).chain(self.beside.iter().copied());
        let mut left = named.zip(failed).filter(|(_, has_failed)| !**has_failed).map(|(device, _)| device);
        let device = left.next()?;
        let beside: Vec<Device> = left.collect();
        (beside.len() + 1 < failed.len()).then(|| Self { device, beside, ..self.clone() })
    }

    /// The devices, as `--device` takes them.
    pub(crate) fn names(&self) -> String {
        let named = std::iter::once(&self.device).chain(&self.beside);
        named.map(ToString::to_string).collect::<Vec<_>>().join(",")
    }

    /// The precision to run a network in that is good in `allowed`.
    pub(crate) fn precision_on(&self, engine: &dyn Engine, allowed: &[Precision]) -> Result<Precision, Error> {
        let Some(wanted) = self.precision else {
            // Of two that take the same memory the finer first: recurrences gather what is rounded away.
            let good = |p: &Precision| allowed.contains(p) && engine.support(*p) == Support::Native;
            return Ok([Precision::F16, Precision::Bf16].into_iter().find(good).unwrap_or(Precision::F32));
        };
        if engine.support(wanted) == Support::No {
            let name = engine.info().name;
            return Err(Error::Device(format!("the device {name} does not compute in {wanted}; use --precision f32")));
        }
        if !allowed.contains(&wanted) {
            return Err(Error::Device(format!("this network is not good in {wanted}; use --precision f32")));
        }
        Ok(wanted)
    }

    #[cfg(feature = "cpu")]
    fn cpu(&self) -> Result<Arc<dyn Engine>, Error> {
        use framelift_engine_cpu::{CpuEngine, CpuOptions};

        let from_env = CpuOptions::from_env().map_err(|error| Error::Device(error.to_string()))?;
        let options = CpuOptions { threads: self.threads, memory_limit_bytes: self.memory_limit_bytes, ..from_env };
        Ok(Arc::new(CpuEngine::new(&options).map_err(|error| Error::Device(error.to_string()))?))
    }

    #[cfg(not(feature = "cpu"))]
    fn cpu(&self) -> Result<Arc<dyn Engine>, Error> {
        Err(Error::Device("this build has no CPU engine; build with the feature `cpu`".into()))
    }
}

/// What of an engine shows in results: not which of several of one kind it is.
pub(crate) fn kind_of(engine: &dyn Engine) -> &str {
    let detail = engine.info().detail.as_str();
    detail.split_once(", ").map_or(detail, |(_, kind)| kind)
}

/// Cards of different kinds, or with different drivers, round differently.
fn same_kind(first: &Arc<dyn Engine>, others: &[Arc<dyn Engine>]) -> Result<(), Error> {
    let kind = kind_of(&**first);
    match others.iter().find(|other| kind_of(&***other) != kind) {
        None => Ok(()),
        Some(other) => Err(Error::Device(format!(
            "{kind} and {} round differently, and a film must not show which shots were made on which; name devices of one \
             kind with --device",
            kind_of(&**other)
        ))),
    }
}

/// GPUs, in a build that has them.
#[cfg(feature = "gpu")]
mod gpu {
    use std::sync::Arc;

    use framelift_engine::Engine;
    use framelift_engine_gpu::{GpuBackend, GpuError, GpuInfo, GpuOptions, Tuning, matrix_cores_from_env};

    use super::{Device, DeviceInfo};
    use crate::Error;

    pub(super) const BUILT_IN: bool = true;

    pub(super) const NONE: &str = "no GPU was found; computing on the processor";

    /// Tenths of a card's free memory that an engine may take: the driver and other programs need some.
    const SHARE_TENTHS: u64 = 9;

    pub(super) fn devices() -> Vec<DeviceInfo> {
        let info = |gpu: GpuInfo| DeviceInfo {
            device: match gpu.backend {
                GpuBackend::Cuda => Device::Cuda(gpu.index),
                _ => Device::Vulkan(gpu.index),
            },
            name: gpu.name,
            backend: gpu.backend.name(),
            kind: gpu.kind.name(),
            memory_bytes: gpu.memory_bytes,
            f16: gpu.f16,
            matrix_cores: gpu.matrix_cores,
        };
        framelift_engine_gpu::devices().into_iter().map(info).collect()
    }

    pub(super) fn is_there() -> bool {
        framelift_engine_gpu::best_device().is_some()
    }

    /// The engine on a GPU, which `share` engines share: within its own memory, or within the host's where it has none.
    pub(super) fn engine(
        device: Device,
        memory_limit_bytes: Option<usize>,
        share: usize,
    ) -> Result<Arc<dyn Engine>, Error> {
        let failed = |error: GpuError| Error::Device(error.to_string());
        let gpu = match device {
            Device::Vulkan(index) => framelift_engine_gpu::device(GpuBackend::Vulkan, index).map_err(failed)?,
            Device::Cuda(index) => framelift_engine_gpu::device(GpuBackend::Cuda, index).map_err(failed)?,
            _ => framelift_engine_gpu::best_device().ok_or_else(|| failed(GpuError::None))?,
        };
        let memory_limit_bytes = if gpu.has_own_memory() {
            let free = gpu.free_memory_bytes().or(gpu.memory_bytes);
            free.map(|bytes| usize::try_from(bytes / 10 * SHARE_TENTHS).unwrap_or(usize::MAX) / share)
        } else {
            memory_limit_bytes
        };
        framelift_engine_gpu::open(&GpuOptions {
            device: gpu,
            memory_limit_bytes,
            tuning: Tuning::from_env(),
            matrix_cores: matrix_cores_from_env(),
            assumed: None,
        })
        .map_err(failed)
    }
}

/// A build without GPUs.
#[cfg(not(feature = "gpu"))]
mod gpu {
    use std::sync::Arc;

    use framelift_engine::Engine;

    use super::{Device, DeviceInfo};
    use crate::Error;

    pub(super) const BUILT_IN: bool = false;

    pub(super) const NONE: &str = "";

    pub(super) fn devices() -> Vec<DeviceInfo> {
        Vec::new()
    }

    pub(super) fn is_there() -> bool {
        false
    }

    pub(super) fn engine(
        device: Device,
        _memory_limit_bytes: Option<usize>,
        _share: usize,
    ) -> Result<Arc<dyn Engine>, Error> {
        let message =
            format!("this build knows no GPUs, so not {device}; build with the feature `gpu`, or use --device auto");
        Err(Error::Device(message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_have_names() {
        for device in [Device::Auto, Device::Cpu, Device::Gpu, Device::Vulkan(0), Device::Cuda(3)] {
            assert_eq!(device.to_string().parse::<Device>().unwrap(), device);
        }
        let two = (Device::Vulkan(0), vec![Device::Vulkan(1), Device::Vulkan(0)]);
        assert_eq!(parse_devices("vulkan:0,vulkan:1, vulkan:0").unwrap(), two);
        assert_eq!(parse_devices("cpu").unwrap(), (Device::Cpu, Vec::new()));
        for wrong in ["cpu,vulkan:0", "gpu,gpu", "vulkan:0,", ","] {
            assert!(parse_devices(wrong).is_err(), "{wrong}");
        }
        for wrong in ["", "tpu", "vulkan", "vulkan:", "vulkan:-1", "cpu:0"] {
            assert!(wrong.parse::<Device>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_devices_that_have_not_failed_are_left() {
        let (device, beside) = parse_devices("vulkan:2,vulkan:0,vulkan:1").unwrap();
        let three = DeviceOptions { device, beside, threads: Some(3), ..DeviceOptions::default() };
        let left = |failed: [bool; 3]| three.without(&failed).map(|left| left.names());
        assert_eq!(left([false, true, false]).as_deref(), Some("vulkan:2,vulkan:1"));
        assert_eq!(left([true, false, true]).as_deref(), Some("vulkan:0"));
        assert_eq!(left([false; 3]), None);
        assert_eq!(left([true; 3]), None);
        assert_eq!(three.without(&[]), None, "nothing was begun");
        assert_eq!(three.without(&[true, false, false]).unwrap().threads, Some(3));
        assert_eq!(DeviceOptions::default().without(&[true]), None, "one device is not replaced by a processor");
    }

    #[cfg(feature = "cpu")]
    #[test]
    fn the_processor_is_always_there_and_auto_takes_no_program_for_a_gpu() {
        assert_eq!(devices()[0].device, Device::Cpu);
        let engine = DeviceOptions::default().engine().unwrap();
        let has_gpu = devices().iter().any(|device| !["processor", "software", "other"].contains(&device.kind));
        assert_eq!(engine.info().name, if has_gpu { "gpu" } else { "cpu" });
        let beyond = DeviceOptions { device: Device::Vulkan(999), ..DeviceOptions::default() };
        assert!(matches!(beyond.engine(), Err(Error::Device(_))));
    }

    #[cfg(feature = "cpu")]
    #[test]
    fn the_finest_short_precision_is_taken_that_is_fast() {
        use Precision::{Bf16, F16, F32};

        let options = DeviceOptions { device: Device::Cpu, ..DeviceOptions::default() };
        let engine = options.engine().unwrap();
        let is_fast = |precision| engine.support(precision) == Support::Native;
        let taken = |allowed: &[Precision]| options.precision_on(&*engine, allowed).unwrap();
        assert_eq!(taken(&[F32]), F32);
        assert_eq!(taken(&[F32, Bf16]), if is_fast(Bf16) { Bf16 } else { F32 });
        assert_eq!(taken(&[F32, Bf16, F16]), if is_fast(F16) { F16 } else { taken(&[F32, Bf16]) });
        let asked = DeviceOptions { precision: Some(Bf16), ..options.clone() };
        assert_eq!(asked.precision_on(&*engine, &[F32, Bf16, F16]).unwrap(), Bf16);
        assert!(matches!(asked.precision_on(&*engine, &[F32]), Err(Error::Device(_))));
    }
}
