//! A network ready on an engine, and its run through a shot.

use std::ops::Range;
use std::sync::Arc;

use framelift_engine::{EngineError, Tensor};

use crate::{Descriptor, FeatureStore};

/// Takes the results of a window, one at a time.
pub type Emit<'a> = dyn FnMut(Tensor) -> Result<(), EngineError> + 'a;

/// Weights prepared on an engine; shared by any number of shots at once.
pub trait Network: Send + Sync {
    /// What it is.
    fn descriptor(&self) -> &Descriptor;

    /// Begins a shot with a fresh state.
    fn begin(self: Arc<Self>) -> Box<dyn Shot>;

    /// Goes on with a shot from what [`Shot::freeze`] gave: its results are, to the bit, those of the shot that was frozen.
    ///
    /// # Errors
    /// [`EngineError::Unsupported`] for networks whose shots cannot be frozen, [`EngineError::Shape`] for what is no state
    /// of this network.
    fn thaw(self: Arc<Self>, state: Vec<Option<Tensor>>) -> Result<Box<dyn Shot>, EngineError> {
        let _ = state;
        let what = "go on in the middle of a shot".into();
        Err(EngineError::Unsupported { engine: self.descriptor().architecture, what })
    }

    /// Runs a window of a network of [`Reach::Window`](crate::Reach::Window): `frames` are all that it sees, context
    /// included. The results of the frames in `keep` go to `emit`, in order, as soon as each is ready; features wait
    /// in `store`, which is empty again at the end.
    ///
    /// Where the engine works on several maps at once, it may be several windows, which have nothing to do with each other: a
    /// frame is then a stack of the frames of that number of all windows that are so long, the longest window first, and so is
    /// a result. Each window's results are those that it has by itself.
    ///
    /// # Errors
    /// [`EngineError::Unsupported`] for networks of another reach; [`EngineError::Shape`] where `keep` reaches beyond
    /// the frames, their sizes differ or are too small, or a frame is of more windows than the one before; those of the engine,
    /// of `store` and of `emit`. After an error the store may still hold features.
    fn window(
        &self,
        frames: &[Tensor],
        keep: Range<usize>,
        store: &mut dyn FeatureStore,
        emit: &mut Emit<'_>,
    ) -> Result<(), EngineError> {
        let _ = (frames, keep, store, emit);
        let what = "run in windows; its frames are pushed one by one".into();
        Err(EngineError::Unsupported { engine: self.descriptor().architecture, what })
    }
}

/// A network at work on the frames of one shot.
///
/// Frames are `height × width × 3` tensors from [`Engine::upload`](framelift_engine::Engine::upload); results come back in
/// the same order and number, `scale` times the size, not clamped.
pub trait Shot: Send {
    /// Takes the next frame; gives the results that are ready, perhaps none. A network of [`Reach::Frame`](crate::Reach::Frame)
    /// takes a stack of frames as well, and gives one of results.
    ///
    /// # Errors
    /// Those of the engine.
    fn push(&mut self, frame: Tensor) -> Result<Vec<Tensor>, EngineError>;

    /// All that the frames pushed so far left behind, frames held included, in an order of the network's own; an entry is
    /// `None` where the shot has not come so far. `None` as a whole for a network that cannot give its state away: its
    /// long shots are then worked through in one go.
    fn freeze(&self) -> Option<Vec<Option<Tensor>>> {
        None
    }

    /// Ends the shot; gives the results still held.
    ///
    /// # Errors
    /// Those of the engine.
    fn finish(self: Box<Self>) -> Result<Vec<Tensor>, EngineError>;
}

/// A network of [`Reach::Frame`](crate::Reach::Frame): what it makes of a frame.
pub(crate) trait OneFrame: Send + Sync {
    /// A frame of `scale` times the size.
    fn upscale(&self, frame: &Tensor) -> Result<Tensor, EngineError>;
}

/// A shot of such a network, which carries nothing on.
pub(crate) struct FrameShot<N>(pub(crate) Arc<N>);

impl<N: OneFrame> Shot for FrameShot<N> {
    fn push(&mut self, frame: Tensor) -> Result<Vec<Tensor>, EngineError> {
        Ok(vec![self.0.upscale(&frame)?])
    }

    fn finish(self: Box<Self>) -> Result<Vec<Tensor>, EngineError> {
        Ok(Vec::new())
    }
}
