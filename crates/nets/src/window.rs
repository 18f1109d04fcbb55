//! What networks of windows share.

use std::ops::Range;
use std::sync::Arc;

use framelift_engine::{EngineError, Tensor};

use crate::{Descriptor, MemoryStore, Network, Shot};

/// A shot that is one window, kept in memory to its end.
pub(crate) struct WindowShot {
    network: Arc<dyn Network>,
    frames: Vec<Tensor>,
}

impl WindowShot {
    pub(crate) fn new(network: Arc<dyn Network>) -> Self {
        Self { network, frames: Vec::new() }
    }
}

impl Shot for WindowShot {
    fn push(&mut self, frame: Tensor) -> Result<Vec<Tensor>, EngineError> {
        same_shape(self.frames.first().unwrap_or(&frame), &frame)?;
        self.frames.push(frame);
        Ok(Vec::new())
    }

    fn finish(self: Box<Self>) -> Result<Vec<Tensor>, EngineError> {
        let mut results = Vec::with_capacity(self.frames.len());
        let mut emit = |result| {
            results.push(result);
            Ok(())
        };
        self.network.window(&self.frames, 0..self.frames.len(), &mut MemoryStore::new(), &mut emit)?;
        Ok(results)
    }
}

/// Whether `frames` can be a window of which `keep` is kept.
pub(crate) fn check(descriptor: &Descriptor, frames: &[Tensor], keep: &Range<usize>) -> Result<(), EngineError> {
    if keep.start > keep.end || keep.end > frames.len() {
        return Err(EngineError::Shape(format!("results {keep:?} of a window of {} frames", frames.len())));
    }
    let Some(first) = frames.first() else { return Ok(()) };
    let multiple = descriptor.size_multiple as usize;
    let shape = first.shape();
    if !shape.height.is_multiple_of(multiple) || !shape.width.is_multiple_of(multiple) {
        return Err(EngineError::Shape(format!(
            "a frame of {shape} for {}, whose sides are multiples of {multiple}",
            descriptor.architecture
        )));
    }
    frames.iter().try_for_each(|frame| same_shape(first, frame))
}

fn same_shape(first: &Tensor, frame: &Tensor) -> Result<(), EngineError> {
    if first.shape() == frame.shape() {
        return Ok(());
    }
    Err(EngineError::Shape(format!("a frame of {} in a shot of {}", frame.shape(), first.shape())))
}
