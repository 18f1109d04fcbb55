//! From RGB frames to the pictures an encoder takes.
use framelift_frame::{Frame, Size};

use crate::{Filter, MediaError, OutputVideo, Picture};

/// Converts RGB frames to the output's size, pixel format and colours.
pub struct ToYuv {}

impl ToYuv {
    /// A converter for frames of `size`.
    ///
    /// # Errors
    ///
    /// [`MediaError::Internal`] when FFmpeg refuses the conversion.
    pub fn new(_size: Size, _output: &OutputVideo) -> Result<Self, MediaError> {
        Ok(Self {})
    }

    /// Converts a frame; time and duration pass through.
    ///
    /// # Errors
    ///
    /// [`MediaError::Internal`] without memory.
    pub fn push(&mut self, _frame: &Frame) -> Result<Picture, MediaError> {
        Err(MediaError::internal("being written"))
    }
}

/// Resizes RGB frames.
pub struct Resizer {}

impl Resizer {
    /// A resizer of frames of size `from` to `to`.
    ///
    /// # Errors
    ///
    /// [`MediaError::Internal`] when FFmpeg refuses the conversion.
    pub fn new(_from: Size, _to: Size, _filter: Filter) -> Result<Self, MediaError> {
        Ok(Self {})
    }

    /// Resizes a frame; time and duration pass through.
    ///
    /// # Errors
    ///
    /// [`MediaError::Internal`] without memory.
    pub fn push(&mut self, _frame: &Frame) -> Result<Frame, MediaError> {
        Err(MediaError::internal("being written"))
    }
}
