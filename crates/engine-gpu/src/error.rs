//! What can keep a GPU from being used.

/// Why there is no engine.
#[derive(Debug, thiserror::Error)]
pub enum GpuError {
    /// The machine has no GPU, or no driver for it.
    #[error("no GPU was found; install its Vulkan driver, or use --device cpu")]
    None,
    /// No device has the name.
    #[error("there is no device {name}; use --device auto, or one that `framelift devices` lists")]
    NoSuchDevice {
        /// The name asked for.
        name: String,
    },
    /// The device is there, but cannot be opened.
    #[error("the device {name} cannot be used: {reason}; use another --device")]
    Unusable {
        /// Its name.
        name: String,
        /// What the driver said.
        reason: String,
    },
    /// CUDA lacks something.
    #[error("{missing}, or use --device gpu, which drives NVIDIA's cards through Vulkan")]
    NoCuda {
        /// What is not there.
        missing: &'static str,
    },
}
