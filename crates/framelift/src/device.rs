//! Where networks run: picks an engine by name and feature.

use std::sync::Arc;

use framelift_engine::{Engine, Precision, Support};

use crate::Error;

/// Where to compute, how precisely, with how many threads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceOptions {
    /// The device.
    pub device: Device,
    /// How features are stored and multiplied; `None` takes bf16 where the device multiplies it natively and the
    /// network allows it, else f32.
    pub precision: Option<Precision>,
    /// Threads of the CPU engine; `None` for one a core.
    pub threads: Option<usize>,
    /// Ceiling on memory: of the whole run in an [`Upscaler`](crate::Upscaler), of the network and its frames in a
    /// [`Session`](crate::Session). `None` for a share of what is free.
    pub memory_limit_bytes: Option<usize>,
}

/// A device by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Device {
    /// The fastest there is.
    #[default]
    Auto,
    /// The processor.
    Cpu,
}

impl std::str::FromStr for Device {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        match name {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            _ => Err(Error::Device(format!("there is no device `{name}` in this build; use --device auto or cpu"))),
        }
    }
}

impl DeviceOptions {
    /// Makes the engine.
    ///
    /// # Errors
    /// [`Error::Device`] where the build holds no engine for the device or the device cannot be used.
    pub fn engine(&self) -> Result<Arc<dyn Engine>, Error> {
        match self.device {
            Device::Auto | Device::Cpu => self.cpu(),
        }
    }

    /// The precision to run a network in that is good in `allowed`.
    pub(crate) fn precision_on(&self, engine: &dyn Engine, allowed: &[Precision]) -> Result<Precision, Error> {
        let Some(wanted) = self.precision else {
            let native = |p: &Precision| *p != Precision::F32 && engine.support(*p) == Support::Native;
            return Ok(allowed.iter().copied().find(native).unwrap_or(Precision::F32));
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
