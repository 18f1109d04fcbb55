//! What networks of windows share.

use std::ops::Range;
use std::sync::Arc;

use framelift_engine::{Engine, EngineError, Precision, Shape, Tensor};

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

/// Tensors like `frame` that are worked on at once, where they do not wait for each other.
pub(crate) fn together(engine: &dyn Engine, frame: &Tensor) -> usize {
    let Shape { maps, height, width, .. } = frame.shape();
    // As many in every precision.
    (engine.layout(Precision::F32).maps_together(height * width) / maps.max(1)).max(1)
}

/// The first `lanes` maps of `stack`, with maps of zeros after its own where it has fewer: what there is of a window where it
/// has not begun.
pub(crate) fn fit(engine: &dyn Engine, stack: &Tensor, lanes: usize) -> Result<Tensor, EngineError> {
    let shape = stack.shape();
    if lanes <= shape.maps {
        return engine.maps(stack, 0..lanes);
    }
    let zeros = engine.zeros(Shape { maps: lanes - shape.maps, ..shape }, stack.precision())?;
    engine.stack_maps(&[stack, &zeros])
}

/// `stack` in parts of so many maps, one after another.
pub(crate) fn parted(engine: &dyn Engine, stack: &Tensor, parts: &[usize]) -> Result<Vec<Tensor>, EngineError> {
    let mut start = 0;
    let part = |&maps: &usize| {
        start += maps;
        engine.maps(stack, start - maps..start)
    };
    parts.iter().map(part).collect()
}

/// How many maps each of `tensors` has.
pub(crate) fn lanes_of(tensors: &[&Tensor]) -> Vec<usize> {
    tensors.iter().map(|tensor| tensor.shape().maps).collect()
}

/// Frames and those next to them, of the windows that have both.
pub(crate) fn neighbours(engine: &dyn Engine, frames: &[&Tensor]) -> Result<[Vec<Tensor>; 2], EngineError> {
    let mut sides = [Vec::with_capacity(frames.len()), Vec::with_capacity(frames.len())];
    for pair in frames.windows(2) {
        let lanes = lanes_of(pair).into_iter().min().unwrap_or(0);
        for (side, frame) in sides.iter_mut().zip(pair) {
            side.push(fit(engine, frame, lanes)?);
        }
    }
    Ok(sides)
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
    frames.iter().try_for_each(|frame| same_shape(first, frame))?;
    match frames.windows(2).find(|pair| pair[0].shape().maps < pair[1].shape().maps) {
        Some(pair) => Err(EngineError::Shape(format!("{:?} after {:?}, of fewer windows", pair[1], pair[0]))),
        None => Ok(()),
    }
}

fn same_shape(first: &Tensor, frame: &Tensor) -> Result<(), EngineError> {
    if first.shape() == (Shape { maps: first.shape().maps, ..frame.shape() }) {
        return Ok(());
    }
    Err(EngineError::Shape(format!("a frame of {} in a shot of {}", frame.shape(), first.shape())))
}
