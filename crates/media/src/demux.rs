//! Packets out of a container.
use std::sync::{Arc, atomic::AtomicBool};

use framelift_frame::Timestamp;

use crate::{Decoder, Input, MediaError, MediaInfo, ReadOptions};

/// Opens an input only to describe it.
///
/// # Errors
///
/// [`MediaError::Input`] when it cannot be read.
pub fn probe(input: &Input, options: &ReadOptions) -> Result<MediaInfo, MediaError> {
    Ok(Demuxer::open(input, options)?.info().clone())
}

/// Takes the packets of all streams out of a container, in file order.
pub struct Demuxer {
    info: MediaInfo,
}

impl Demuxer {
    /// Opens an input and finds its streams.
    ///
    /// # Errors
    ///
    /// [`MediaError::Input`] when it cannot be read.
    pub fn open(_input: &Input, _options: &ReadOptions) -> Result<Self, MediaError> {
        Err(MediaError::internal("being written"))
    }

    /// What the film holds.
    #[must_use]
    pub fn info(&self) -> &MediaInfo {
        &self.info
    }

    /// Goes to the last key frame of the video stream at or before `time`.
    ///
    /// # Errors
    ///
    /// [`MediaError::Input`] when the input cannot be sought.
    pub fn seek(&mut self, _time: Timestamp) -> Result<(), MediaError> {
        Err(MediaError::internal("being written"))
    }

    /// The next packet; `None` at the end.
    ///
    /// # Errors
    ///
    /// [`MediaError::Input`] when reading fails, [`MediaError::Interrupted`] once the flag is set.
    pub fn read(&mut self) -> Result<Option<Packet>, MediaError> {
        Err(MediaError::internal("being written"))
    }

    /// A decoder of the video stream.
    ///
    /// # Errors
    ///
    /// [`MediaError::Input`] when there is no video stream or no decoder for it.
    pub fn decoder(&self) -> Result<Decoder, MediaError> {
        Err(MediaError::internal("being written"))
    }

    /// What a muxer needs to copy the streams.
    ///
    /// # Errors
    ///
    /// [`MediaError::Internal`] without memory.
    pub fn template(&self) -> Result<StreamTemplates, MediaError> {
        Err(MediaError::internal("being written"))
    }

    /// Once `flag` is true, a read that waits for a pipe or the network ends with [`MediaError::Interrupted`].
    pub fn set_interrupt(&mut self, _flag: Arc<AtomicBool>) {}
}

/// A piece of one stream as the container holds it.
pub struct Packet {}

impl Packet {
    /// The stream it belongs to.
    #[must_use]
    pub fn stream_index(&self) -> usize {
        0
    }

    /// Bytes of payload.
    #[must_use]
    pub fn bytes(&self) -> usize {
        0
    }

    /// When it is shown or heard.
    #[must_use]
    pub fn time(&self) -> Option<Timestamp> {
        None
    }
}

/// What a muxer needs to know to copy an input's streams, chapters and metadata.
pub struct StreamTemplates {}
