//! The frames of a film, one after the other.

use framelift_frame::Frame;
use framelift_media::{Decoder, Demuxer, Input, MediaError, MediaInfo, ReadOptions, ToRgb};

/// A film being read: its main video stream, as full-range RGB.
pub struct Film {
    name: String,
    info: MediaInfo,
    demuxer: Demuxer,
    decoder: Decoder,
    to_rgb: ToRgb,
    stream: usize,
    ended: bool,
}

impl Film {
    /// Opens a film: a file, a URL, `-`, or an image pattern.
    ///
    /// # Errors
    /// As [`Demuxer::open`]; [`MediaError::Input`] without a video stream.
    pub fn open(name: &str, options: &ReadOptions) -> Result<Self, MediaError> {
        let demuxer = Demuxer::open(&Input::parse(name)?, options)?;
        let info = demuxer.info().clone();
        let decoder = demuxer.decoder()?;
        let Some((stream, video)) = info.video_stream() else {
            let what = "there is no video in it".to_owned();
            return Err(MediaError::Input { input: name.to_owned(), what, remedy: "give a film".to_owned() });
        };
        let (to_rgb, stream) = (ToRgb::new(video)?, stream.index);
        Ok(Self { name: name.to_owned(), info, demuxer, decoder, to_rgb, stream, ended: false })
    }

    /// The name it was opened by.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the film holds.
    #[must_use]
    pub fn info(&self) -> &MediaInfo {
        &self.info
    }

    /// What a muxer needs to know of the film's streams.
    #[must_use]
    pub fn demuxer(&self) -> &Demuxer {
        &self.demuxer
    }

    /// The next frame in order of time; `None` after the last.
    ///
    /// # Errors
    /// As reading, decoding and conversion to RGB fail.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, MediaError> {
        loop {
            if let Some(picture) = self.decoder.receive()? {
                return self.to_rgb.push(picture).map(Some);
            }
            if self.ended {
                return Ok(None);
            }
            match self.demuxer.read()? {
                Some(packet) if packet.stream_index() != self.stream => {}
                Some(packet) => self.decoder.send(packet)?,
                None => {
                    self.decoder.finish()?;
                    self.ended = true;
                }
            }
        }
    }
}
