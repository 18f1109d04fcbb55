//! A frame on its way from an engine.

use std::fmt;

use framelift_frame::Frame;

use crate::EngineError;

/// What [`Engine::begin_download`](crate::Engine::begin_download) began: a frame that is there, or that is waited for.
pub struct Download(State);

enum State {
    Ready(Result<Frame, EngineError>),
    Coming(Box<dyn FnOnce() -> Result<Frame, EngineError> + Send>),
}

impl Download {
    /// For engines: it is there.
    #[must_use]
    pub fn ready(frame: Result<Frame, EngineError>) -> Self {
        Self(State::Ready(frame))
    }

    /// For engines: it is on its way, and `wait` waits for it.
    #[must_use]
    pub fn coming(wait: impl FnOnce() -> Result<Frame, EngineError> + Send + 'static) -> Self {
        Self(State::Coming(Box::new(wait)))
    }

    /// Whether [`Download::wait`] need not wait.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        matches!(self.0, State::Ready(_))
    }

    /// The frame, once it is there.
    ///
    /// # Errors
    /// As [`Engine::download`](crate::Engine::download).
    pub fn wait(self) -> Result<Frame, EngineError> {
        match self.0 {
            State::Ready(frame) => frame,
            State::Coming(wait) => wait(),
        }
    }
}

impl fmt::Debug for Download {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Download").field("is_ready", &self.is_ready()).finish()
    }
}
