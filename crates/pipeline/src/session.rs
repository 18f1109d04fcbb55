//! A model at work on one stream: frames in, frames out, in the same order and number.

use std::collections::VecDeque;
use std::sync::Arc;

use framelift_engine::{Engine, EngineError, Tensor};
use framelift_frame::{Frame, Size, Timestamp};
use framelift_nets::{Network, Shot};

/// Why a session cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The engine failed on a frame.
    #[error("frame {index} at {time}: {source}")]
    Frame {
        /// Frames of the stream before it.
        index: u64,
        /// When it is shown.
        time: Timestamp,
        /// What the engine said.
        source: EngineError,
    },
    /// The engine failed after the last frame.
    #[error("at the end of the shot: {0}")]
    End(EngineError),
    /// The frame is smaller than the network can take.
    #[error(
        "the frames are {size}, but {architecture} needs at least {min_side_px} pixels a side; choose another model"
    )]
    TooSmall {
        /// Width and height of the frame.
        size: Size,
        /// The network's name.
        architecture: &'static str,
        /// The smallest side it takes.
        min_side_px: u32,
    },
    /// The network takes only certain sizes.
    #[error(
        "the frames are {size}, but {architecture} needs sides that are multiples of {multiple}; choose another model"
    )]
    NotMultiple {
        /// Width and height of the frame.
        size: Size,
        /// The network's name.
        architecture: &'static str,
        /// What both sides must be multiples of.
        multiple: u32,
    },
    /// A frame has another size than those before it.
    #[error("frame {index} is {got} where the stream began with {expected}; every frame of a session has one size")]
    SizeChanged {
        /// Frames of the stream before it.
        index: u64,
        /// Its size.
        got: Size,
        /// The size of the first.
        expected: Size,
    },
    /// The network gave back another number of frames than it took.
    #[error("the network gave {got} frames for {expected}; please report this")]
    Count {
        /// Frames given.
        got: u64,
        /// Frames taken.
        expected: u64,
    },
}

/// A network on an engine, running through the shots of one stream.
pub struct Session {
    engine: Arc<dyn Engine>,
    network: Arc<dyn Network>,
    shot: Option<Box<dyn Shot>>,
    size: Option<Size>,
    /// Frames pushed and not yet given back: time and duration.
    waiting: VecDeque<(Timestamp, i64)>,
    pushed: u64,
    given: u64,
}

impl Session {
    /// A session at the start of a stream.
    #[must_use]
    pub fn new(engine: Arc<dyn Engine>, network: Arc<dyn Network>) -> Self {
        Self { engine, network, shot: None, size: None, waiting: VecDeque::new(), pushed: 0, given: 0 }
    }

    /// The network at work.
    #[must_use]
    pub fn network(&self) -> &Arc<dyn Network> {
        &self.network
    }

    /// Takes the next frame; gives the frames that are ready, with the times of those they were made from.
    ///
    /// # Errors
    /// [`SessionError`]; the session cannot be used afterwards.
    pub fn push(&mut self, frame: &Frame) -> Result<Vec<Frame>, SessionError> {
        self.check_size(frame.size())?;
        let (index, time) = (self.pushed, frame.time);
        let failed = |source| SessionError::Frame { index, time, source };
        self.pushed += 1;
        self.waiting.push_back((frame.time, frame.duration_ticks));
        let input = self.engine.upload(frame).map_err(failed)?;
        let shot = self.shot.get_or_insert_with(|| Arc::clone(&self.network).begin());
        let results = shot.push(input).map_err(failed)?;
        self.download(&results)
    }

    /// Ends the shot: the next frame starts with a fresh state. Gives the frames still held.
    ///
    /// # Errors
    /// [`SessionError`]; the session cannot be used afterwards.
    pub fn cut(&mut self) -> Result<Vec<Frame>, SessionError> {
        let Some(shot) = self.shot.take() else { return Ok(Vec::new()) };
        let results = shot.finish().map_err(|source| match self.waiting.front() {
            Some(&(time, _)) => SessionError::Frame { index: self.given, time, source },
            None => SessionError::End(source),
        })?;
        let frames = self.download(&results)?;
        if self.given == self.pushed {
            Ok(frames)
        } else {
            Err(SessionError::Count { got: self.given, expected: self.pushed })
        }
    }

    fn download(&mut self, results: &[Tensor]) -> Result<Vec<Frame>, SessionError> {
        results
            .iter()
            .map(|result| {
                let Some((time, duration_ticks)) = self.waiting.pop_front() else {
                    return Err(SessionError::Count { got: self.given + 1, expected: self.pushed });
                };
                let index = self.given;
                self.given += 1;
                let failed = |source| SessionError::Frame { index, time, source };
                self.engine.download(result, time, duration_ticks).map_err(failed)
            })
            .collect()
    }

    fn check_size(&mut self, size: Size) -> Result<(), SessionError> {
        let descriptor = self.network.descriptor();
        match self.size {
            Some(expected) if expected != size => {
                return Err(SessionError::SizeChanged { index: self.pushed, got: size, expected });
            }
            Some(_) => return Ok(()),
            None => {}
        }
        let architecture = descriptor.architecture;
        if size.width.min(size.height) < descriptor.min_side_px {
            return Err(SessionError::TooSmall { size, architecture, min_side_px: descriptor.min_side_px });
        }
        let multiple = descriptor.size_multiple;
        if !size.width.is_multiple_of(multiple) || !size.height.is_multiple_of(multiple) {
            return Err(SessionError::NotMultiple { size, architecture, multiple });
        }
        self.size = Some(size);
        Ok(())
    }
}
