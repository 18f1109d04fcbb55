//! What networks of windows share.

use std::ops::Range;
use std::sync::Arc;

use framelift_engine::{Engine, EngineError, Precision, Tensor};

use crate::network::Emit;
use crate::{Descriptor, FeatureStore, MemoryStore, Network, Shot};

/// A network of [`Reach::Window`](crate::Reach::Window): all that tells one from another.
pub(crate) trait Windowed: Send + Sync {
    fn descriptor(&self) -> &Descriptor;

    /// As [`Network::window`]; `keep` is not empty and lies within `frames`, which have one size that the network takes.
    fn run(
        &self,
        frames: &[Tensor],
        keep: Range<usize>,
        store: &mut dyn FeatureStore,
        emit: &mut Emit<'_>,
    ) -> Result<(), EngineError>;
}

impl<N: Windowed + 'static> Network for N {
    fn descriptor(&self) -> &Descriptor {
        Windowed::descriptor(self)
    }

    fn begin(self: Arc<Self>) -> Box<dyn Shot> {
        Box::new(WindowShot { network: self, frames: Vec::new() })
    }

    fn window(
        &self,
        frames: &[Tensor],
        keep: Range<usize>,
        store: &mut dyn FeatureStore,
        emit: &mut Emit<'_>,
    ) -> Result<(), EngineError> {
        check(Windowed::descriptor(self), frames, &keep)?;
        if keep.is_empty() { Ok(()) } else { self.run(frames, keep, store, emit) }
    }
}

/// Frames of the size of `frame` that are worked on at once, where they do not wait for each other.
pub(crate) fn together(engine: &dyn Engine, frame: &Tensor) -> usize {
    // As many in every precision.
    engine.layout(Precision::F32).maps_together(frame.shape().pixels())
}

/// A shot that is one window, kept in memory to its end.
struct WindowShot {
    network: Arc<dyn Network>,
    frames: Vec<Tensor>,
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
fn check(descriptor: &Descriptor, frames: &[Tensor], keep: &Range<usize>) -> Result<(), EngineError> {
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
