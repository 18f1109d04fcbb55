//! An engine that counts the multiply-adds it is asked for and the bytes of its tensors.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use framelift_engine::{
    Addend, Conv, ConvSpec, DeformConv, DeformSpec, Engine, EngineError, EngineInfo, HostTensor, MemoryUse, Padding,
    Precision, ResizeMode, Shape, Support, Tensor,
};
use framelift_frame::{Frame, Timestamp};

/// Another engine's work, counted.
pub(crate) struct CountingEngine {
    engine: Arc<dyn Engine>,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    macs: AtomicU64,
    bytes: AtomicU64,
    peak_bytes: AtomicU64,
}

/// A tensor of the other engine; its bytes count until it is gone.
struct Counted {
    tensor: Tensor,
    bytes: u64,
    counts: Arc<Counts>,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.counts.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl CountingEngine {
    pub(crate) fn new(engine: Arc<dyn Engine>) -> Self {
        Self { engine, counts: Arc::default() }
    }

    /// Multiply-adds since the last call.
    pub(crate) fn take_macs(&self) -> u64 {
        self.counts.macs.swap(0, Ordering::Relaxed)
    }

    /// Bytes of living tensors, and the most there have been.
    pub(crate) fn bytes(&self) -> (u64, u64) {
        (self.counts.bytes.load(Ordering::Relaxed), self.counts.peak_bytes.load(Ordering::Relaxed))
    }

    fn count_macs(&self, positions: usize, macs: u64) {
        self.counts.macs.fetch_add(positions as u64 * macs, Ordering::Relaxed);
    }

    /// `tensor`, counted.
    fn counted(&self, tensor: Result<Tensor, EngineError>) -> Result<Tensor, EngineError> {
        let tensor = tensor?;
        let (shape, precision) = (tensor.shape(), tensor.precision());
        let bytes = (shape.len() * precision.bytes()) as u64;
        let before = self.counts.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.counts.peak_bytes.fetch_max(before + bytes, Ordering::Relaxed);
        let counted = Counted { tensor, bytes, counts: Arc::clone(&self.counts) };
        Ok(Tensor::new(shape, precision, Arc::new(counted)))
    }
}

/// The other engine's tensor.
fn inner(tensor: &Tensor) -> &Tensor {
    &tensor.storage::<Counted>().unwrap().tensor
}

fn inners<'a>(tensors: &[&'a Tensor]) -> Vec<&'a Tensor> {
    tensors.iter().map(|tensor| inner(tensor)).collect()
}

impl Engine for CountingEngine {
    fn info(&self) -> &EngineInfo {
        self.engine.info()
    }

    fn support(&self, precision: Precision) -> Support {
        self.engine.support(precision)
    }

    fn memory(&self) -> MemoryUse {
        self.engine.memory()
    }

    fn upload(&self, frame: &Frame) -> Result<Tensor, EngineError> {
        self.counted(self.engine.upload(frame))
    }

    fn download(&self, tensor: &Tensor, time: Timestamp, duration_ticks: i64) -> Result<Frame, EngineError> {
        self.engine.download(inner(tensor), time, duration_ticks)
    }

    fn from_host(&self, values: &HostTensor, precision: Precision) -> Result<Tensor, EngineError> {
        self.counted(self.engine.from_host(values, precision))
    }

    fn to_host(&self, tensor: &Tensor) -> Result<HostTensor, EngineError> {
        self.engine.to_host(inner(tensor))
    }

    fn zeros(&self, shape: Shape, precision: Precision) -> Result<Tensor, EngineError> {
        self.counted(self.engine.zeros(shape, precision))
    }

    fn prepare_conv(&self, spec: &ConvSpec, weights: &[f32], bias: &[f32]) -> Result<Conv, EngineError> {
        self.engine.prepare_conv(spec, weights, bias)
    }

    fn conv(&self, conv: &Conv, inputs: &[&Tensor], addend: Option<Addend<'_>>) -> Result<Tensor, EngineError> {
        let addend = addend.map(|addend| Addend { tensor: inner(addend.tensor), ..addend });
        let output = self.counted(self.engine.conv(conv, &inners(inputs), addend))?;
        let shuffle = conv.spec().pixel_shuffle;
        self.count_macs(output.shape().pixels() / (shuffle * shuffle), conv.spec().macs_per_position());
        Ok(output)
    }

    fn resize(&self, input: &Tensor, height: usize, width: usize, mode: ResizeMode) -> Result<Tensor, EngineError> {
        self.counted(self.engine.resize(inner(input), height, width, mode))
    }

    fn pixel_shuffle(&self, input: &Tensor, factor: usize) -> Result<Tensor, EngineError> {
        self.counted(self.engine.pixel_shuffle(inner(input), factor))
    }

    fn pixel_unshuffle(&self, input: &Tensor, factor: usize) -> Result<Tensor, EngineError> {
        self.counted(self.engine.pixel_unshuffle(inner(input), factor))
    }

    fn flow_warp(&self, input: &Tensor, flow: &Tensor, padding: Padding) -> Result<Tensor, EngineError> {
        self.counted(self.engine.flow_warp(inner(input), inner(flow), padding))
    }

    fn prepare_deform_conv(&self, spec: &DeformSpec, weights: &[f32], bias: &[f32]) -> Result<DeformConv, EngineError> {
        self.engine.prepare_deform_conv(spec, weights, bias)
    }

    fn deform_conv(
        &self,
        conv: &DeformConv,
        inputs: &[&Tensor],
        residues: &Tensor,
        flows: &[&Tensor],
    ) -> Result<Tensor, EngineError> {
        let output = self.engine.deform_conv(conv, &inners(inputs), inner(residues), &inners(flows));
        let output = self.counted(output)?;
        self.count_macs(output.shape().pixels(), conv.spec().macs_per_position());
        Ok(output)
    }

    fn avg_pool(&self, input: &Tensor) -> Result<Tensor, EngineError> {
        self.counted(self.engine.avg_pool(inner(input)))
    }

    fn scale_channels(&self, input: &Tensor, gains: &[f32], offsets: &[f32]) -> Result<Tensor, EngineError> {
        self.counted(self.engine.scale_channels(inner(input), gains, offsets))
    }

    fn add_scaled(&self, a: &Tensor, scale: f32, b: &Tensor) -> Result<Tensor, EngineError> {
        self.counted(self.engine.add_scaled(inner(a), scale, inner(b)))
    }

    fn mean_abs(&self, input: &Tensor) -> Result<f64, EngineError> {
        self.engine.mean_abs(inner(input))
    }

    fn to_bytes(&self, tensor: &Tensor) -> Result<Vec<u8>, EngineError> {
        self.engine.to_bytes(inner(tensor))
    }

    fn from_bytes(&self, shape: Shape, precision: Precision, bytes: &[u8]) -> Result<Tensor, EngineError> {
        self.counted(self.engine.from_bytes(shape, precision, bytes))
    }

    fn rows(&self, input: &Tensor, rows: Range<usize>) -> Result<Tensor, EngineError> {
        self.counted(self.engine.rows(inner(input), rows))
    }

    fn stack_rows(&self, parts: &[Tensor]) -> Result<Tensor, EngineError> {
        let parts: Vec<Tensor> = parts.iter().map(|part| inner(part).clone()).collect();
        self.counted(self.engine.stack_rows(&parts))
    }
}
