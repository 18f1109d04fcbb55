//! NVIDIA's cards through CUDA.
//!
//! NVIDIA's driver is loaded at run time, and so is NVRTC of the CUDA toolkit, which compiles kernels when they are first
//! launched and reads the toolkit's headers for it. CubeCL panics where one of them is not there: it is looked for before.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::{Arc, Mutex, PoisonError};

use cubecl::Runtime as _;
use cubecl::client::ComputeClient;
use cubecl::cuda::{CudaDevice, CudaRuntime, install};
use cudarc::driver::DriverError;
use cudarc::driver::result::{ctx, device, init, mem_get_info, primary_ctx};
use cudarc::driver::sys::{self, CUdevice, CUdevice_attribute as Attribute};

use super::{GpuBackend, GpuInfo, GpuKind, Health, said};
use crate::GpuError;

/// The headers that kernels include.
const HEADERS: [&str; 3] = ["cuda_runtime.h", "cuda_fp16.h", "mma.h"];

/// What CUDA needs and the machine has not.
pub(super) fn missing() -> Option<&'static str> {
    // SAFETY: loads the library and lets go of it.
    if !unsafe { sys::is_culib_present() } {
        return Some("NVIDIA's driver was not found; install it");
    }
    // SAFETY: likewise.
    if !unsafe { cudarc::nvrtc::sys::is_culib_present() } {
        return Some("NVRTC, the compiler of the CUDA toolkit, was not found; install the toolkit");
    }
    let headers = install::cuda_path().map(|toolkit| toolkit.join("include"));
    if !headers.is_some_and(|folder| HEADERS.iter().all(|header| folder.join(header).is_file())) {
        return Some("the headers of the CUDA toolkit were not found; set CUDA_PATH to the toolkit's folder");
    }
    None
}

/// The cards; none where something is missing.
pub(super) fn devices() -> Vec<GpuInfo> {
    if missing().is_some() || init().is_err() {
        return Vec::new();
    }
    let count = device::get_count().unwrap_or(0);
    (0..count).filter_map(|index| describe(index).ok()).collect()
}

fn describe(index: i32) -> Result<GpuInfo, DriverError> {
    let card = device::get(index)?;
    let mut version = 0;
    // SAFETY: writes the number that it is given.
    unsafe { sys::cuDriverGetVersion(&raw mut version) }.result()?;
    let major = attribute(card, Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?;
    let minor = attribute(card, Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?;
    let is_integrated = attribute(card, Attribute::CU_DEVICE_ATTRIBUTE_INTEGRATED)? != 0;
    Ok(GpuInfo {
        backend: GpuBackend::Cuda,
        index: index.unsigned_abs() as usize,
        name: device::get_name(card)?,
        driver: format!("CUDA {}.{}, compute capability {major}.{minor}", version / 1000, version % 1000 / 10),
        kind: if is_integrated { GpuKind::Integrated } else { GpuKind::Discrete },
        // SAFETY: the driver gave the card.
        memory_bytes: Some(unsafe { device::total_mem(card) }? as u64),
        // Only a card that is at work says it: see `free_bytes`.
        free_bytes: None,
        f16: (major, minor) >= (5, 3),
        matrix_cores: major >= 7,
    })
}

fn attribute(card: CUdevice, attribute: Attribute) -> Result<i32, DriverError> {
    // SAFETY: the driver gave the card.
    unsafe { device::get_attribute(card, attribute) }
}

/// Bytes of a card's memory that are free. Sets the card to work, which takes a moment and some of its memory.
pub(super) fn free_bytes(index: usize) -> Option<u64> {
    let ask = || -> Result<usize, DriverError> {
        init()?;
        let card = device::get(i32::try_from(index).unwrap_or(i32::MAX))?;
        let before = ctx::get_current()?.unwrap_or(ptr::null_mut());
        // SAFETY: the driver gave card and contexts. The card's own context is CubeCL's too and stays.
        unsafe {
            ctx::set_current(primary_ctx::retain(card)?)?;
            let (free, _) = mem_get_info()?;
            ctx::set_current(before)?;
            Ok(free)
        }
    };
    catch_unwind(ask).ok()?.ok().map(|bytes| bytes as u64)
}

/// What is known of the cards that were opened.
static OPENED: Mutex<BTreeMap<usize, Arc<Health>>> = Mutex::new(BTreeMap::new());

/// Opens the card that `info` describes.
pub(crate) fn open(info: &GpuInfo) -> Result<(ComputeClient<CudaRuntime>, Arc<Health>), GpuError> {
    let unusable = |reason: String| GpuError::Unusable { name: info.to_string(), reason };
    if let Some(missing) = missing() {
        return Err(GpuError::NoCuda { missing });
    }
    let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
    let health = Arc::clone(opened.entry(info.index).or_insert_with(|| Arc::new(Health::of_calls())));
    if let Some(reason) = health.fault() {
        return Err(unusable(reason));
    }
    let open = || CudaRuntime::client(&CudaDevice::new(info.index));
    let client = catch_unwind(AssertUnwindSafe(open)).map_err(|panic| unusable(said(&*panic)))?;
    Ok((client, health))
}
