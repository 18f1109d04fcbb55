//! Pictures out of packets.
use framelift_frame::{Size, Timestamp};

use crate::{MediaError, Packet};

/// Decodes the packets of one video stream.
pub struct Decoder {}

impl Decoder {
    /// Takes a packet of the stream. Damaged packets are counted, not refused.
    ///
    /// # Errors
    ///
    /// [`MediaError::Internal`] without memory.
    pub fn send(&mut self, _packet: Packet) -> Result<(), MediaError> {
        Ok(())
    }

    /// Says that no packet follows; [`Self::receive`] then gives back what the decoder still holds.
    ///
    /// # Errors
    ///
    /// [`MediaError::Internal`] without memory.
    pub fn finish(&mut self) -> Result<(), MediaError> {
        Ok(())
    }

    /// The next picture in order of display; `None` when another packet is needed, or at the end.
    ///
    /// # Errors
    ///
    /// [`MediaError::Internal`] without memory.
    pub fn receive(&mut self) -> Result<Option<Picture>, MediaError> {
        Ok(None)
    }

    /// Packets and pictures that were damaged so far.
    #[must_use]
    pub fn errors(&self) -> u64 {
        0
    }
}

/// A picture in the pixel format of its stream.
pub struct Picture {}

impl Picture {
    /// When it is shown, in the stream's time base.
    #[must_use]
    pub fn time(&self) -> Timestamp {
        Timestamp::new(0, framelift_frame::TimeBase::new(1, 1))
    }

    /// How long it is shown; 0 where the film does not say.
    #[must_use]
    pub fn duration_ticks(&self) -> i64 {
        0
    }

    /// Width and height.
    #[must_use]
    pub fn size(&self) -> Size {
        Size::default()
    }

    /// Bytes of sample memory held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        0
    }
}
