//! Packets out of pictures.
use framelift_frame::{ColorSpec, PixelFormat, Size, TimeBase};

use crate::{Filter, MediaError, MediaInfo, Output, Picture, WriteOptions};

/// The pictures of an output: which encoder, and everything decided about them.
#[derive(Clone, Debug)]
pub struct OutputVideo {
    /// FFmpeg's name of the encoder.
    pub encoder: String,
    /// Width and height.
    pub size: Size,
    /// How pictures are stored.
    pub format: PixelFormat,
    /// Colours, every one stated.
    pub color: ColorSpec,
    /// Width to height of a pixel.
    pub sample_aspect_ratio: (i32, i32),
    /// Frames a second on average, for rate control.
    pub frame_rate: Option<(i32, i32)>,
    /// The length of a tick: the input's.
    pub time_base: TimeBase,
    /// The kernel of the resize to `size`.
    pub resize: Filter,
    /// What was assumed or had to give way, for people.
    pub notices: Vec<String>,
}

impl OutputVideo {
    /// Decides encoder, pixel format and colours of an output of `size` made of `input`'s pictures.
    ///
    /// # Errors
    ///
    /// [`MediaError::Usage`] for an encoder that does not exist or does not fit the container.
    pub fn plan(
        _input: &MediaInfo,
        _size: Size,
        _output: &Output,
        _options: &WriteOptions,
    ) -> Result<Self, MediaError> {
        Err(MediaError::internal("being written"))
    }
}

/// Encodes pictures.
pub struct Encoder {}

impl Encoder {
    /// Opens the encoder.
    ///
    /// # Errors
    ///
    /// [`MediaError::Usage`] for options the encoder does not know or take.
    pub fn new(_video: &OutputVideo, _output: &Output, _options: &WriteOptions) -> Result<Self, MediaError> {
        Err(MediaError::internal("being written"))
    }

    /// Takes the next picture in order of display.
    ///
    /// # Errors
    ///
    /// [`MediaError::Output`] when the encoder fails.
    pub fn send(&mut self, _picture: Picture) -> Result<(), MediaError> {
        Ok(())
    }

    /// Says that no picture follows; [`Self::receive`] then gives back what the encoder still holds.
    ///
    /// # Errors
    ///
    /// [`MediaError::Output`] when the encoder fails.
    pub fn finish(&mut self) -> Result<(), MediaError> {
        Ok(())
    }

    /// The next packet; `None` when another picture is needed, or at the end.
    ///
    /// # Errors
    ///
    /// [`MediaError::Output`] when the encoder fails.
    pub fn receive(&mut self) -> Result<Option<EncodedPacket>, MediaError> {
        Ok(None)
    }
}

/// A packet of the encoded video.
pub struct EncodedPacket {}

impl EncodedPacket {
    /// Bytes of payload.
    #[must_use]
    pub fn bytes(&self) -> usize {
        0
    }
}
