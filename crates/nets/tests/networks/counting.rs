//! An engine that counts the multiply-adds it is asked for.

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
    macs: AtomicU64,
}

impl CountingEngine {
    pub(crate) fn new(engine: Arc<dyn Engine>) -> Self {
        Self { engine, macs: AtomicU64::new(0) }
    }

    /// Multiply-adds since the last call.
    pub(crate) fn take_macs(&self) -> u64 {
        self.macs.swap(0, Ordering::Relaxed)
    }

    fn count(&self, positions: usize, macs: u64) {
        self.macs.fetch_add(positions as u64 * macs, Ordering::Relaxed);
    }
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
        self.engine.upload(frame)
    }

    fn download(&self, tensor: &Tensor, time: Timestamp, duration_ticks: i64) -> Result<Frame, EngineError> {
        self.engine.download(tensor, time, duration_ticks)
    }

    fn from_host(&self, values: &HostTensor, precision: Precision) -> Result<Tensor, EngineError> {
        self.engine.from_host(values, precision)
    }

    fn to_host(&self, tensor: &Tensor) -> Result<HostTensor, EngineError> {
        self.engine.to_host(tensor)
    }

    fn zeros(&self, shape: Shape, precision: Precision) -> Result<Tensor, EngineError> {
        self.engine.zeros(shape, precision)
    }

    fn prepare_conv(&self, spec: &ConvSpec, weights: &[f32], bias: &[f32]) -> Result<Conv, EngineError> {
        self.engine.prepare_conv(spec, weights, bias)
    }

    fn conv(&self, conv: &Conv, inputs: &[&Tensor], addend: Option<Addend<'_>>) -> Result<Tensor, EngineError> {
        let output = self.engine.conv(conv, inputs, addend)?;
        let shuffle = conv.spec().pixel_shuffle;
        self.count(output.shape().pixels() / (shuffle * shuffle), conv.spec().macs_per_position());
        Ok(output)
    }

    fn resize(&self, input: &Tensor, height: usize, width: usize, mode: ResizeMode) -> Result<Tensor, EngineError> {
        self.engine.resize(input, height, width, mode)
    }

    fn pixel_shuffle(&self, input: &Tensor, factor: usize) -> Result<Tensor, EngineError> {
        self.engine.pixel_shuffle(input, factor)
    }

    fn pixel_unshuffle(&self, input: &Tensor, factor: usize) -> Result<Tensor, EngineError> {
        self.engine.pixel_unshuffle(input, factor)
    }

    fn flow_warp(&self, input: &Tensor, flow: &Tensor, padding: Padding) -> Result<Tensor, EngineError> {
        self.engine.flow_warp(input, flow, padding)
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
        let output = self.engine.deform_conv(conv, inputs, residues, flows)?;
        self.count(output.shape().pixels(), conv.spec().macs_per_position());
        Ok(output)
    }

    fn avg_pool(&self, input: &Tensor) -> Result<Tensor, EngineError> {
        self.engine.avg_pool(input)
    }

    fn scale_channels(&self, input: &Tensor, gains: &[f32], offsets: &[f32]) -> Result<Tensor, EngineError> {
        self.engine.scale_channels(input, gains, offsets)
    }

    fn add_scaled(&self, a: &Tensor, scale: f32, b: &Tensor) -> Result<Tensor, EngineError> {
        self.engine.add_scaled(a, scale, b)
    }

    fn mean_abs(&self, input: &Tensor) -> Result<f64, EngineError> {
        self.engine.mean_abs(input)
    }

    fn to_bytes(&self, tensor: &Tensor) -> Result<Vec<u8>, EngineError> {
        self.engine.to_bytes(tensor)
    }

    fn from_bytes(&self, shape: Shape, precision: Precision, bytes: &[u8]) -> Result<Tensor, EngineError> {
        self.engine.from_bytes(shape, precision, bytes)
    }
}
