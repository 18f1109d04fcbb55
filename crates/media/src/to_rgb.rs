//! From a stream's pictures to RGB frames.
use framelift_frame::Frame;

use crate::{MediaError, Picture, VideoInfo};

/// Converts pictures to full-range planar RGB of 16 bits a sample.
pub struct ToRgb {}

impl ToRgb {
    /// A converter for the pictures of a stream.
    ///
    /// # Errors
    ///
    /// [`MediaError::Input`] for a pixel format that cannot be converted.
    pub fn new(_video: &VideoInfo) -> Result<Self, MediaError> {
        Ok(Self {})
    }

    /// Converts a picture; time and duration pass through.
    ///
    /// # Errors
    ///
    /// [`MediaError::Input`] for a pixel format that cannot be converted.
    pub fn push(&mut self, _picture: Picture) -> Result<Frame, MediaError> {
        Err(MediaError::internal("being written"))
    }

    /// What was assumed of the stream, or of a change in it, since the last call.
    pub fn take_notices(&mut self) -> Vec<String> {
        Vec::new()
    }
}
