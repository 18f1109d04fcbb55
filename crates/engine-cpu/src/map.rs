//! How a feature map lies in memory.
//!
//! Rows of pixels without gaps, channels innermost. Up to four channels are packed tightly (images, flow); more are
//! padded to a multiple of sixteen, and **the padding holds zeros**: every operation keeps it so, and may rely on it.

#![expect(unsafe_code, reason = "hands out typed views of pool memory")]

use std::sync::Arc;

use framelift_engine::{EngineError, Precision, Shape, Tensor};

use crate::pool::{Buffer, Pool};
use crate::simd::Simd;
use crate::values;

/// Channels of a block: padded maps have a whole number of these.
pub(crate) const BLOCK: usize = 16;

/// The most channels that are packed without padding.
const MAX_NARROW: usize = 4;

/// Values from one pixel to the next in a map of `channels`.
pub(crate) const fn pixel_stride(channels: usize) -> usize {
    if channels <= MAX_NARROW { channels } else { channels.next_multiple_of(BLOCK) }
}

/// The storage behind a [`Tensor`] of this engine.
pub(crate) struct Map {
    buffer: Buffer,
}

/// A map being written, or read: raw, so that tasks can write to disjoint parts at once.
#[derive(Clone, Copy)]
pub(crate) struct View {
    /// The first value: `f32`, or the bits of a short precision as `u16`.
    pub(crate) start: *mut u8,
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) channels: usize,
    /// Values from one pixel to the next.
    pub(crate) stride: usize,
    pub(crate) precision: Precision,
}

// SAFETY: a view is an address. Kernels answer for what they do with it: tasks write to disjoint parts, and read
// only what is complete.
unsafe impl Send for View {}
// SAFETY: as above.
unsafe impl Sync for View {}

impl View {
    /// Address of row `y`, column `x` as f32 values. The map must hold such, the pixel be inside or one past the end.
    #[inline(always)]
    pub(crate) fn f32_at(&self, y: usize, x: usize) -> *mut f32 {
        self.start.cast::<f32>().wrapping_add((y * self.width + x) * self.stride)
    }

    /// Address of row `y`, column `x`. The pixel must be inside or one past the end.
    #[inline(always)]
    pub(crate) fn at(&self, y: usize, x: usize) -> *mut u8 {
        self.value_at(y, x, 0)
    }

    /// Address of value `i` from row `y`, column `x` on. It must be inside, or in the slack.
    #[inline(always)]
    fn value_at(&self, y: usize, x: usize, i: usize) -> *mut u8 {
        self.start.wrapping_add(((y * self.width + x) * self.stride + i) * self.precision.bytes())
    }

    /// The vector that begins `i` values from row `y`, column `x` on, widened.
    ///
    /// # Safety
    /// It must lie inside the map or its slack.
    #[inline(always)]
    pub(crate) unsafe fn load<S: Simd>(&self, s: S, y: usize, x: usize, i: usize) -> S::V {
        // SAFETY: the caller answers for it.
        unsafe { values::load(s, self.precision, self.value_at(y, x, i)) }
    }

    /// Stores a vector `i` values from row `y`, column `x` on, rounded.
    ///
    /// # Safety
    /// It must lie inside the map, in what is the caller's.
    #[inline(always)]
    pub(crate) unsafe fn store<S: Simd>(&self, s: S, y: usize, x: usize, i: usize, value: S::V) {
        // SAFETY: the caller answers for it.
        unsafe { values::store(s, self.precision, self.value_at(y, x, i), value) }
    }

    /// The value `i` values from row `y`, column `x` on.
    ///
    /// # Safety
    /// It must lie inside the map.
    #[inline(always)]
    pub(crate) unsafe fn get(&self, y: usize, x: usize, i: usize) -> f32 {
        // SAFETY: the caller answers for it.
        unsafe { values::get(self.precision, self.value_at(y, x, i)) }
    }

    /// Stores the value `i` values from row `y`, column `x` on, rounded.
    ///
    /// # Safety
    /// It must lie inside the map, in what is the caller's.
    #[inline(always)]
    pub(crate) unsafe fn put(&self, y: usize, x: usize, i: usize, value: f32) {
        // SAFETY: the caller answers for it.
        unsafe { values::put(self.precision, self.value_at(y, x, i), value) }
    }

    /// Four values from a pixel on of a map of at most four channels, widened; those beyond its channels mean nothing.
    ///
    /// # Safety
    /// The pixel must lie inside the map.
    #[inline(always)]
    pub(crate) unsafe fn four(&self, y: usize, x: usize) -> [f32; 4] {
        // SAFETY: a map may be read a little beyond its end.
        unsafe { values::four(self.precision, self.at(y, x)) }
    }

    /// Values in a row.
    #[inline(always)]
    pub(crate) fn row_len(&self) -> usize {
        self.width * self.stride
    }

    /// Whether channels are packed without padding.
    pub(crate) fn is_narrow(&self) -> bool {
        self.channels <= MAX_NARROW
    }
}

/// A map of a shape, to be written in full before it becomes a tensor.
pub(crate) struct NewMap {
    shape: Shape,
    precision: Precision,
    buffer: Buffer,
}

impl NewMap {
    /// Memory for a map; its contents are whatever they were.
    pub(crate) fn allocate(pool: &Arc<Pool>, shape: Shape, precision: Precision) -> Result<Self, EngineError> {
        let bytes = shape
            .one_map()?
            .height
            .checked_mul(shape.width)
            .and_then(|pixels| pixels.checked_mul(pixel_stride(shape.channels) * precision.bytes()))
            .filter(|&bytes| bytes < isize::MAX as usize / 2)
            .ok_or_else(|| EngineError::Shape(format!("{shape} values are more than memory can address")))?;
        Ok(Self { shape, precision, buffer: pool.allocate(bytes)? })
    }

    /// Where to write.
    pub(crate) fn view(&self) -> View {
        view(self.shape, self.precision, &self.buffer)
    }

    /// The tensor, now written.
    pub(crate) fn finish(self) -> Tensor {
        Tensor::new(self.shape, self.precision, Arc::new(Map { buffer: self.buffer }))
    }
}

fn view(shape: Shape, precision: Precision, buffer: &Buffer) -> View {
    View {
        start: buffer.start(),
        height: shape.height,
        width: shape.width,
        channels: shape.channels,
        stride: pixel_stride(shape.channels),
        precision,
    }
}

/// The values of `tensor`, to read. The view must not outlive it.
pub(crate) fn read(tensor: &Tensor) -> Result<View, EngineError> {
    let map: &Map = tensor.storage().ok_or(EngineError::Foreign { what: "tensor", engine: crate::NAME })?;
    Ok(view(tensor.shape(), tensor.precision(), &map.buffer))
}
