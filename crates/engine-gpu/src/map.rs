//! How a feature map lies in the device's memory.
//!
//! Rows of pixels without gaps, channels innermost, in vectors of four; the last vector of a pixel is filled up with
//! zeros.

use std::sync::Arc;

use cubecl::ir::{ElemType, FloatKind, StorageType};
use cubecl::prelude::*;
use framelift_engine::{EngineError, HostTensor, Precision, Shape, Tensor};
use half::f16;

use crate::NAME;
use crate::kernels::LANES;
use crate::pool::{Buffer, Pool};

/// Vectors of a pixel of `channels`.
pub(crate) const fn vectors(channels: usize) -> usize {
    channels.div_ceil(LANES)
}

/// What kernels call values of `precision`.
pub(crate) const fn storage_type(precision: Precision) -> StorageType {
    let kind = match precision {
        Precision::F32 => FloatKind::F32,
        Precision::F16 => FloatKind::F16,
        Precision::Bf16 => FloatKind::BF16,
    };
    StorageType::Scalar(ElemType::Float(kind))
}

/// A map: the storage behind a [`Tensor`] of this engine, or one being written.
pub(crate) struct Map<R: Runtime> {
    pub(crate) shape: Shape,
    pub(crate) precision: Precision,
    buffer: Arc<Buffer<R>>,
}

impl<R: Runtime> Map<R> {
    /// Memory for a map; its contents are whatever they were.
    pub(crate) fn allocate(pool: &Arc<Pool<R>>, shape: Shape, precision: Precision) -> Result<Self, EngineError> {
        let bytes = stored_bytes(shape, precision)?;
        Ok(Self { shape, precision, buffer: Arc::new(pool.allocate(bytes)?) })
    }

    /// A map of values on their way from the host, as [`pack`] lays them out.
    pub(crate) fn filled(
        pool: &Arc<Pool<R>>,
        shape: Shape,
        precision: Precision,
        data: Vec<u8>,
    ) -> Result<Self, EngineError> {
        Ok(Self { shape, precision, buffer: Arc::new(pool.filled(data)?) })
    }

    /// The tensor, now written.
    pub(crate) fn finish(self) -> Tensor {
        Tensor::new(self.shape, self.precision, Arc::new(self))
    }

    /// The first `maps` maps, which there must be, where they lie.
    pub(crate) fn first_maps(&self, maps: usize) -> Self {
        Self { shape: Shape { maps, ..self.shape }, precision: self.precision, buffer: Arc::clone(&self.buffer) }
    }

    /// Vectors of a pixel.
    pub(crate) fn pixel_vectors(&self) -> usize {
        vectors(self.shape.channels)
    }

    /// Vectors of the map.
    pub(crate) fn len(&self) -> usize {
        self.shape.pixels() * self.pixel_vectors()
    }

    /// The map as an argument of a kernel: its vectors.
    pub(crate) fn arg(&self) -> Result<ArrayArg<R>, EngineError> {
        array(&self.buffer, self.len())
    }

    /// Likewise: its single values.
    pub(crate) fn values_arg(&self) -> Result<ArrayArg<R>, EngineError> {
        array(&self.buffer, self.len() * LANES)
    }

    /// Where it lies.
    pub(crate) fn buffer(&self) -> &Buffer<R> {
        &self.buffer
    }
}

/// The first `len` elements of a buffer as an argument of a kernel.
pub(crate) fn array<R: Runtime>(buffer: &Buffer<R>, len: usize) -> Result<ArrayArg<R>, EngineError> {
    let handle = buffer.handle();
    // SAFETY: callers name no more elements than the buffer has room for.
    #[expect(unsafe_code, reason = "the length is the caller's to know")]
    Ok(unsafe { ArrayArg::from_raw_parts(handle, len) })
}

/// The map behind `tensor`.
pub(crate) fn read<R: Runtime>(tensor: &Tensor) -> Result<&Map<R>, EngineError> {
    tensor.storage().ok_or(EngineError::Foreign { what: "tensor", engine: NAME })
}

/// Bytes of a map. Kernels count vectors in 32 bits.
pub(crate) fn stored_bytes(shape: Shape, precision: Precision) -> Result<usize, EngineError> {
    let sides = [shape.height, shape.width, vectors(shape.channels)];
    let len = sides.into_iter().try_fold(shape.maps, usize::checked_mul);
    let len = len.filter(|&len| len < u32::MAX as usize / LANES);
    let len = len.ok_or_else(|| EngineError::Shape(format!("{shape} values are more than a GPU can address")))?;
    Ok(len * LANES * precision.bytes())
}

/// The values of a map as they are stored on the device, from those without padding: `value_bytes` each.
pub(crate) fn pack(shape: Shape, value_bytes: usize, plain: &[u8]) -> Vec<u8> {
    let (from, to) = (shape.channels * value_bytes, vectors(shape.channels) * LANES * value_bytes);
    if from == to {
        return plain.to_vec();
    }
    let mut packed = vec![0; shape.pixels() * to];
    if from > 0 {
        for (to, from) in packed.chunks_exact_mut(to).zip(plain.chunks_exact(from)) {
            to[..from.len()].copy_from_slice(from);
        }
    }
    packed
}

/// The inverse of [`pack`].
pub(crate) fn unpack(shape: Shape, value_bytes: usize, packed: &[u8]) -> Vec<u8> {
    let (to, from) = (shape.channels * value_bytes, vectors(shape.channels) * LANES * value_bytes);
    if to == 0 {
        return Vec::new();
    }
    packed[..shape.pixels() * from].chunks_exact(from).flat_map(|pixel| &pixel[..to]).copied().collect()
}

/// The values of a host tensor as bytes of `precision`.
pub(crate) fn encode(values: &[f32], precision: Precision) -> Vec<u8> {
    match precision {
        Precision::F16 => values.iter().flat_map(|&v| f16::from_f32(v).to_ne_bytes()).collect(),
        _ => values.iter().flat_map(|v| v.to_ne_bytes()).collect(),
    }
}

/// The inverse of [`encode`].
pub(crate) fn decode(shape: Shape, precision: Precision, bytes: &[u8]) -> Result<HostTensor, EngineError> {
    let values = match precision {
        Precision::F16 => bytes.as_chunks::<2>().0.iter().map(|b| f16::from_ne_bytes(*b).to_f32()).collect(),
        _ => bytes.as_chunks::<4>().0.iter().map(|b| f32::from_ne_bytes(*b)).collect(),
    };
    HostTensor::new(shape, values)
}
