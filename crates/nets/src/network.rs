//! A network ready on an engine, and its run through a shot.

use std::sync::Arc;

use framelift_engine::{EngineError, Tensor};

use crate::Descriptor;

/// Weights prepared on an engine; shared by any number of shots at once.
pub trait Network: Send + Sync {
    /// What it is.
    fn descriptor(&self) -> &Descriptor;

    /// Begins a shot with a fresh state.
    fn begin(self: Arc<Self>) -> Box<dyn Shot>;
}

/// A network at work on the frames of one shot.
///
/// Frames are `height × width × 3` tensors from [`Engine::upload`](framelift_engine::Engine::upload); results come back in
/// the same order and number, `scale` times the size, not clamped.
pub trait Shot: Send {
    /// Takes the next frame; gives the results that are ready, perhaps none.
    ///
    /// # Errors
    /// Those of the engine.
    fn push(&mut self, frame: Tensor) -> Result<Vec<Tensor>, EngineError>;

    /// Ends the shot; gives the results still held.
    ///
    /// # Errors
    /// Those of the engine.
    fn finish(self: Box<Self>) -> Result<Vec<Tensor>, EngineError>;
}
