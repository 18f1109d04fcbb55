//! Tensors of a checkpoint, from whatever type and layout they are stored in.

use half::{bf16, f16};

use super::Fault;

/// A tensor of a checkpoint: f32, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Weight {
    shape: Vec<usize>,
    values: Vec<f32>,
}

impl Weight {
    /// A tensor of `values`; `None` unless they fill `shape`.
    #[must_use]
    pub fn new(shape: Vec<usize>, values: Vec<f32>) -> Option<Self> {
        (count(&shape) == Some(values.len())).then_some(Self { shape, values })
    }

    /// Dimensions, outermost first.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The values.
    #[must_use]
    pub fn values(&self) -> &[f32] {
        &self.values
    }
}

/// The types that checkpoints store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dtype {
    F64,
    F32,
    F16,
    Bf16,
    I64,
    I32,
    I16,
    I8,
    U8,
}

impl Dtype {
    pub(super) fn bytes(self) -> usize {
        match self {
            Self::F64 | Self::I64 => 8,
            Self::F32 | Self::I32 => 4,
            Self::F16 | Self::Bf16 | Self::I16 => 2,
            Self::I8 | Self::U8 => 1,
        }
    }

    /// Little-endian values as f32.
    pub(super) fn decode(self, bytes: &[u8]) -> Vec<f32> {
        fn each<const N: usize>(bytes: &[u8], value: impl Fn([u8; N]) -> f32) -> Vec<f32> {
            bytes.as_chunks::<N>().0.iter().map(|&v| value(v)).collect()
        }
        match self {
            Self::F64 => each(bytes, |v| f64::from_le_bytes(v) as f32),
            Self::F32 => each(bytes, f32::from_le_bytes),
            Self::F16 => each(bytes, |v| f16::from_le_bytes(v).to_f32()),
            Self::Bf16 => each(bytes, |v| bf16::from_le_bytes(v).to_f32()),
            Self::I64 => each(bytes, |v| i64::from_le_bytes(v) as f32),
            Self::I32 => each(bytes, |v| i32::from_le_bytes(v) as f32),
            Self::I16 => each(bytes, |v| i16::from_le_bytes(v).into()),
            Self::I8 => each(bytes, |v| i8::from_le_bytes(v).into()),
            Self::U8 => each(bytes, |v| u8::from_le_bytes(v).into()),
        }
    }
}

/// The number of values of a tensor of `shape`; `None` where it overflows.
pub(super) fn count(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1_usize, |product, &side| product.checked_mul(side))
}

/// Where in its storage a tensor lies, in values.
#[derive(Clone, Debug)]
pub(super) struct View {
    pub(super) offset: usize,
    pub(super) shape: Vec<usize>,
    pub(super) strides: Vec<usize>,
}

impl View {
    /// Most dimensions of a tensor.
    pub(super) const MAX_RANK: usize = 8;

    /// Values in the tensor, once it is sure that all lie within a storage of `available` values and that they are no
    /// more than these. `name` is for the error.
    pub(super) fn checked_count(&self, available: usize, name: &str) -> Result<usize, Fault> {
        let Self { offset, shape, strides } = self;
        let fault = |what: &str| {
            Err(Fault::Damaged(format!(
                "tensor `{name}` {what}: shape {shape:?}, strides {strides:?}, offset {offset} in {available} values"
            )))
        };
        if shape.len() != strides.len() {
            return fault("has other strides than dimensions");
        }
        let Some(count) = count(shape) else { return fault("is too large") };
        if count == 0 {
            return Ok(0);
        }
        let last = shape.iter().zip(strides).try_fold(*offset, |last, (&side, &stride)| {
            (side - 1).checked_mul(stride).and_then(|step| last.checked_add(step))
        });
        if last.is_none_or(|last| last >= available) {
            return fault("reaches beyond its storage");
        }
        if count > available {
            return fault("holds values more than once");
        }
        Ok(count)
    }

    /// The tensor, of a storage of `dtype` that [`View::checked_count`] has found long enough.
    pub(super) fn read(&self, storage: &[u8], dtype: Dtype, name: &str) -> Result<Weight, Fault> {
        let size = dtype.bytes();
        let count = self.checked_count(storage.len() / size, name)?;
        let values = if count == 0 {
            Vec::new()
        } else if self.is_contiguous() {
            dtype.decode(&storage[self.offset * size..(self.offset + count) * size])
        } else {
            let mut gathered = Vec::with_capacity(count * size);
            for index in 0..count {
                let at = self.position(index);
                gathered.extend_from_slice(&storage[at * size..(at + 1) * size]);
            }
            dtype.decode(&gathered)
        };
        Ok(Weight { shape: self.shape.clone(), values })
    }

    /// Where the value `index`, counted row by row, lies in the storage.
    fn position(&self, index: usize) -> usize {
        let (mut rest, mut position) = (index, self.offset);
        for (&side, &stride) in self.shape.iter().zip(&self.strides).rev() {
            position += rest % side * stride;
            rest /= side;
        }
        position
    }

    fn is_contiguous(&self) -> bool {
        let mut due = 1;
        for (&side, &stride) in self.shape.iter().zip(&self.strides).rev() {
            if side != 1 && stride != due {
                return false;
            }
            due *= side;
        }
        true
    }
}
