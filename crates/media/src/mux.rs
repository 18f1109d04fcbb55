//! Packets into a container.
use crate::{EncodedPacket, Encoder, MediaError, Output, Packet, StreamTemplates, WriteOptions};

/// Writes an output beside its final name and renames it when it is whole.
///
/// Dropped without [`Muxer::finish`], it removes what it wrote.
pub struct Muxer {}

impl Muxer {
    /// Creates the output: the encoded video and whatever of the input's streams it can hold.
    ///
    /// # Errors
    ///
    /// [`MediaError::Exists`], and [`MediaError::Output`] when the output cannot be created.
    pub fn create(
        _output: &Output,
        _encoder: &Encoder,
        _templates: &StreamTemplates,
        _options: &WriteOptions,
    ) -> Result<Self, MediaError> {
        Err(MediaError::internal("being written"))
    }

    /// What the container cannot hold, and which can, since the last call.
    pub fn take_notices(&mut self) -> Vec<String> {
        Vec::new()
    }

    /// Whether packets of the input's stream `index` are copied.
    #[must_use]
    pub fn copies(&self, _index: usize) -> bool {
        false
    }

    /// Writes a packet of the encoded video.
    ///
    /// # Errors
    ///
    /// [`MediaError::Output`] when writing fails.
    pub fn write_video(&mut self, _packet: EncodedPacket) -> Result<(), MediaError> {
        Ok(())
    }

    /// Copies a packet of the input; packets of streams that are not copied are dropped.
    ///
    /// # Errors
    ///
    /// [`MediaError::Output`] when writing fails.
    pub fn copy(&mut self, _packet: Packet) -> Result<(), MediaError> {
        Ok(())
    }

    /// Completes the output and gives it its name.
    ///
    /// # Errors
    ///
    /// [`MediaError::Output`] when anything, to the last byte, cannot be written.
    pub fn finish(self) -> Result<(), MediaError> {
        Ok(())
    }
}
