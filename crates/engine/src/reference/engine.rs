//! The reference operations as an engine: whole networks, slowly.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use framelift_frame::{Frame, Plane, Size, Timestamp};

use super::{
    add_scaled, avg_pool, conv, deform_conv, deform_offsets, flow_warp, mean_abs, misfit, pixel_shuffle,
    pixel_unshuffle, resize, rounded, scale_channels,
};
use crate::{
    Addend, Conv, ConvSpec, DeformConv, DeformSpec, Engine, EngineError, EngineInfo, HostTensor, Layout, MemoryUse,
    Padding, Precision, ResizeMode, Shape, Support, Tensor, stacked_maps,
};

/// An engine of plain loops on one thread, in every precision. Values are kept as f32 that the precision can hold.
#[derive(Debug)]
pub struct ReferenceEngine {
    info: EngineInfo,
    bytes: Arc<Bytes>,
    together_px: usize,
}

/// Bytes in living tensors, and the most there have been.
#[derive(Debug, Default)]
struct Bytes {
    used: AtomicUsize,
    peak: AtomicUsize,
}

/// The storage of a tensor.
struct Stored {
    values: HostTensor,
    bytes: Arc<Bytes>,
}

impl Drop for Stored {
    fn drop(&mut self) {
        self.bytes.used.fetch_sub(size_of_val(self.values.data()), Ordering::Relaxed);
    }
}

/// The prepared form of a convolution.
struct Weights {
    weights: Vec<f32>,
    bias: Vec<f32>,
}

impl ReferenceEngine {
    /// An engine.
    #[must_use]
    pub fn new() -> Self {
        let info = EngineInfo { name: "reference", detail: "plain loops on one thread".into() };
        Self { info, bytes: Arc::default(), together_px: 0 }
    }

    /// The engine with stacks of maps that come to `together_px` pixels: they can be put together, parted and brought to host
    /// memory and back, for what goes about them; all else takes one map.
    #[must_use]
    pub fn with_stacks(self, together_px: usize) -> Self {
        Self { together_px, ..self }
    }

    fn store(&self, values: HostTensor, precision: Precision) -> Tensor {
        let values = rounded(values, precision);
        let bytes = size_of_val(values.data());
        let used = self.bytes.used.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.bytes.peak.fetch_max(used, Ordering::Relaxed);
        let shape = values.shape();
        Tensor::new(shape, precision, Arc::new(Stored { values, bytes: Arc::clone(&self.bytes) }))
    }

    fn values<'t>(&self, tensor: &'t Tensor) -> Result<&'t HostTensor, EngineError> {
        tensor.shape().one_map()?;
        self.stacked(tensor)
    }

    /// The values of one map or several.
    fn stacked<'t>(&self, tensor: &'t Tensor) -> Result<&'t HostTensor, EngineError> {
        let foreign = EngineError::Foreign { what: "tensor", engine: self.info.name };
        tensor.storage::<Stored>().map(|stored| &stored.values).ok_or(foreign)
    }

    /// The shape, if it is one of tensors here.
    fn held(&self, shape: Shape) -> Result<Shape, EngineError> {
        if self.together_px > 0 { Ok(shape) } else { shape.one_map() }
    }

    /// The values of a flow.
    fn flow<'t>(&self, flow: &'t Tensor) -> Result<&'t HostTensor, EngineError> {
        match flow.precision() {
            Precision::F32 => self.values(flow),
            other => misfit(format!("a flow in {other}; flows are f32")),
        }
    }
}

impl Default for ReferenceEngine {
    fn default() -> Self {
        Self::new()
    }
}

/// The largest sample of a [`Frame`].
const FULL: f32 = u16::MAX as f32;

impl Engine for ReferenceEngine {
    fn info(&self) -> &EngineInfo {
        &self.info
    }

    fn support(&self, precision: Precision) -> Support {
        if precision == Precision::F32 { Support::Native } else { Support::Emulated }
    }

    fn memory(&self) -> MemoryUse {
        MemoryUse {
            used_bytes: self.bytes.used.load(Ordering::Relaxed),
            pooled_bytes: 0,
            peak_bytes: self.bytes.peak.load(Ordering::Relaxed),
        }
    }

    fn layout(&self, precision: Precision) -> Layout {
        Layout { together_px: self.together_px, ..Layout::packed(precision) }
    }

    fn upload(&self, frame: &Frame) -> Result<Tensor, EngineError> {
        let Size { width, height } = frame.size();
        let shape = Shape::new(height as usize, width as usize, 3);
        let values = HostTensor::from_fn(shape, |y, x, c| f32::from(frame.planes()[c].row(y)[x]) / FULL);
        Ok(self.store(values, Precision::F32))
    }

    fn download(&self, tensor: &Tensor, time: Timestamp, duration_ticks: i64) -> Result<Frame, EngineError> {
        let values = self.values(tensor)?;
        let shape = values.shape();
        let (Ok(width), Ok(height), 3) = (u32::try_from(shape.width), u32::try_from(shape.height), shape.channels)
        else {
            return misfit(format!("{shape} is not a picture of three channels"));
        };
        let broken: Vec<usize> = (0..shape.len()).filter(|&i| !values.data()[i].is_finite()).collect();
        if let Some(first) = broken.first().map(|i| i / shape.channels) {
            let (x, y) = (first % shape.width, first / shape.width);
            return Err(EngineError::NonFinite { count: broken.len(), x, y });
        }
        let planes = [0, 1, 2].map(|c| {
            let mut plane = Plane::filled(Size::new(width, height), 0);
            for (i, sample) in plane.samples_mut().iter_mut().enumerate() {
                *sample = (values.data()[i * 3 + c].clamp(0.0, 1.0) * FULL).round() as u16;
            }
            plane
        });
        let no_frame = || EngineError::Shape(format!("planes of {shape} do not make a frame"));
        Frame::new(planes, time, duration_ticks).ok_or_else(no_frame)
    }

    fn from_host(&self, values: &HostTensor, precision: Precision) -> Result<Tensor, EngineError> {
        self.held(values.shape())?;
        Ok(self.store(values.clone(), precision))
    }

    fn to_host(&self, tensor: &Tensor) -> Result<HostTensor, EngineError> {
        self.stacked(tensor).cloned()
    }

    fn zeros(&self, shape: Shape, precision: Precision) -> Result<Tensor, EngineError> {
        Ok(self.store(HostTensor::new(self.held(shape)?, vec![0.0; shape.len()])?, precision))
    }

    fn prepare_conv(&self, spec: &ConvSpec, weights: &[f32], bias: &[f32]) -> Result<Conv, EngineError> {
        spec.check(weights, bias)?;
        let prepared = Weights { weights: weights.to_vec(), bias: bias.to_vec() };
        Ok(Conv::new(spec.clone(), Arc::new(prepared)))
    }

    fn conv(&self, op: &Conv, inputs: &[&Tensor], addend: Option<Addend<'_>>) -> Result<Tensor, EngineError> {
        let foreign = EngineError::Foreign { what: "convolution", engine: self.info.name };
        let Weights { weights, bias } = op.prepared().ok_or(foreign)?;
        let inputs = inputs.iter().map(|t| self.values(t)).collect::<Result<Vec<_>, _>>()?;
        let addend = match addend {
            Some(Addend { tensor, upsample }) => Some((self.values(tensor)?, upsample)),
            None => None,
        };
        Ok(self.store(conv(op.spec(), weights, bias, &inputs, addend)?, op.spec().output))
    }

    fn resize(&self, input: &Tensor, height: usize, width: usize, mode: ResizeMode) -> Result<Tensor, EngineError> {
        Ok(self.store(resize(self.values(input)?, height, width, mode)?, input.precision()))
    }

    fn pixel_shuffle(&self, input: &Tensor, factor: usize) -> Result<Tensor, EngineError> {
        Ok(self.store(pixel_shuffle(self.values(input)?, factor)?, input.precision()))
    }

    fn pixel_unshuffle(&self, input: &Tensor, factor: usize) -> Result<Tensor, EngineError> {
        Ok(self.store(pixel_unshuffle(self.values(input)?, factor)?, input.precision()))
    }

    fn flow_warp(&self, input: &Tensor, flow: &Tensor, padding: Padding) -> Result<Tensor, EngineError> {
        let warped = flow_warp(self.values(input)?, self.flow(flow)?, padding)?;
        Ok(self.store(warped, input.precision()))
    }

    fn prepare_deform_conv(&self, spec: &DeformSpec, weights: &[f32], bias: &[f32]) -> Result<DeformConv, EngineError> {
        spec.check(weights, bias)?;
        let prepared = Weights { weights: weights.to_vec(), bias: bias.to_vec() };
        Ok(DeformConv::new(spec.clone(), Arc::new(prepared)))
    }

    fn deform_conv(
        &self,
        op: &DeformConv,
        inputs: &[&Tensor],
        residues: &Tensor,
        flows: &[&Tensor],
    ) -> Result<Tensor, EngineError> {
        let foreign = EngineError::Foreign { what: "convolution", engine: self.info.name };
        let Weights { weights, bias } = op.prepared().ok_or(foreign)?;
        let inputs = inputs.iter().map(|t| self.values(t)).collect::<Result<Vec<_>, _>>()?;
        let flows = flows.iter().map(|t| self.flow(t)).collect::<Result<Vec<_>, _>>()?;
        let (offsets, masks) = deform_offsets(op.spec(), self.values(residues)?, &flows)?;
        let output = deform_conv(op.spec(), weights, bias, &inputs, &offsets, &masks)?;
        Ok(self.store(output, op.spec().output))
    }

    fn avg_pool(&self, input: &Tensor) -> Result<Tensor, EngineError> {
        Ok(self.store(avg_pool(self.values(input)?), input.precision()))
    }

    fn scale_channels(&self, input: &Tensor, gains: &[f32], offsets: &[f32]) -> Result<Tensor, EngineError> {
        Ok(self.store(scale_channels(self.values(input)?, gains, offsets)?, input.precision()))
    }

    fn add_scaled(&self, a: &Tensor, scale: f32, b: &Tensor) -> Result<Tensor, EngineError> {
        Ok(self.store(add_scaled(self.values(a)?, scale, self.values(b)?)?, a.precision()))
    }

    fn mean_abs(&self, input: &Tensor) -> Result<f64, EngineError> {
        mean_abs(self.values(input)?)
    }

    fn to_bytes(&self, tensor: &Tensor) -> Result<Vec<u8>, EngineError> {
        let values = self.stacked(tensor)?.data().iter();
        Ok(match tensor.precision() {
            Precision::F32 => values.flat_map(|v| v.to_ne_bytes()).collect(),
            Precision::Bf16 => values.flat_map(|&v| half::bf16::from_f32(v).to_ne_bytes()).collect(),
            Precision::F16 => values.flat_map(|&v| half::f16::from_f32(v).to_ne_bytes()).collect(),
        })
    }

    fn from_bytes(&self, shape: Shape, precision: Precision, bytes: &[u8]) -> Result<Tensor, EngineError> {
        if bytes.len() != shape.len() * precision.bytes() {
            return misfit(format!("{} bytes for {shape} values in {precision}", bytes.len()));
        }
        let halves = || bytes.as_chunks::<2>().0.iter().copied();
        let values = match precision {
            Precision::F32 => bytes.as_chunks::<4>().0.iter().map(|b| f32::from_ne_bytes(*b)).collect(),
            Precision::Bf16 => halves().map(|b| half::bf16::from_ne_bytes(b).to_f32()).collect(),
            Precision::F16 => halves().map(|b| half::f16::from_ne_bytes(b).to_f32()).collect(),
        };
        Ok(self.store(HostTensor::new(self.held(shape)?, values)?, precision))
    }

    fn stack_maps(&self, maps: &[&Tensor]) -> Result<Tensor, EngineError> {
        let (shape, precision) = stacked_maps(maps)?;
        let mut data = Vec::with_capacity(shape.len());
        for map in maps {
            data.extend_from_slice(self.stacked(map)?.data());
        }
        Ok(self.store(HostTensor::new(self.held(shape)?, data)?, precision))
    }

    fn maps(&self, stack: &Tensor, maps: Range<usize>) -> Result<Tensor, EngineError> {
        let shape = stack.shape().of_maps(&maps)?;
        let map = shape.len() / shape.maps;
        let data = self.stacked(stack)?.data()[maps.start * map..maps.end * map].to_vec();
        Ok(self.store(HostTensor::new(shape, data)?, stack.precision()))
    }
}
