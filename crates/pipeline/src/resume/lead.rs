//! The frames before the place where a job goes on: read once more, and known again by their hash.
//!
//! That the film and FFmpeg are what they were is in the job's key, so frames that differ come of where reading began, or of
//! damage: decoders fill what is lost with what their memory held before. The first calls for reading from the beginning;
//! the second cannot be helped, and is told.

use framelift_frame::{Frame, Timestamp};
use framelift_media::{Demuxer, MediaError, ToRgb, VideoInfo};

use super::Resumed;
use super::borders::{Check, hash_of};
use crate::PipelineError;

/// Tells which frames lie before the place, and whether they are those that lay there when the work was done.
pub(crate) struct Lead {
    resumed: Resumed,
    check: Check,
    passed: bool,
    known: bool,
}

/// What a frame is to a job that goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Of no use.
    Before,
    /// One that going on needs.
    Lead,
    /// To be made.
    Work,
}

impl Lead {
    pub(crate) fn new(resumed: Resumed) -> Self {
        Self { resumed, check: Check::new(), passed: false, known: false }
    }

    /// Whether the film has come as far as the place.
    pub(crate) fn is_passed(&self) -> bool {
        self.passed
    }

    /// Whether the frames before the place were those that lay there when the work was done.
    pub(crate) fn is_known(&self) -> bool {
        self.known
    }

    /// That the film is not what it was.
    pub(crate) fn drifted(&self) -> PipelineError {
        PipelineError::Drifted { frames: self.resumed.frames }
    }

    /// What the next frame is.
    ///
    /// # Errors
    /// [`PipelineError::Drifted`] where there is no frame at the place.
    pub(crate) fn part(&mut self, time: Timestamp, hash: u64) -> Result<Part, PipelineError> {
        if self.passed {
            return Ok(Part::Work);
        }
        if time >= self.resumed.at {
            self.passed = true;
            self.known = self.check.value() == self.resumed.place.check;
            return if time == self.resumed.at { Ok(Part::Work) } else { Err(self.drifted()) };
        }
        if time < self.resumed.lead {
            return Ok(Part::Before);
        }
        self.check.add(time.ticks, hash);
        Ok(Part::Lead)
    }
}

/// Whether `film`, sought to where the place is to be read from, gives the frames that lay before it. Not every format can
/// be sought to a frame, and some give other pictures or times when they are.
///
/// # Errors
/// [`MediaError::Interrupted`].
pub(crate) fn can_seek(
    mut film: Demuxer,
    video: &VideoInfo,
    start: Option<Timestamp>,
    resumed: Resumed,
) -> Result<bool, PipelineError> {
    let Some(from) = resumed.from else { return Ok(false) };
    let attempt = |film: &mut Demuxer| -> Result<bool, PipelineError> {
        film.go_on(start, from)?;
        let index = film.info().video;
        let mut decoder = film.decoder()?;
        let mut to_rgb = ToRgb::new(video)?;
        let mut lead = Lead::new(resumed);
        loop {
            let packet = film.read()?;
            let ended = packet.is_none();
            match packet {
                Some(packet) if Some(packet.stream_index()) != index => continue,
                Some(packet) => decoder.send(packet)?,
                None => decoder.finish()?,
            }
            while let Some(picture) = decoder.receive()? {
                if picture.time() < from {
                    continue;
                }
                let frame: Frame = to_rgb.push(picture)?;
                match lead.part(frame.time, hash_of(&frame)) {
                    Ok(Part::Work) => return Ok(lead.is_known()),
                    Ok(Part::Before | Part::Lead) => {}
                    Err(_) => return Ok(false),
                }
            }
            if ended {
                return Ok(false);
            }
        }
    };
    match attempt(&mut film) {
        Err(PipelineError::Media(MediaError::Interrupted)) => Err(PipelineError::Interrupted),
        Err(error) => {
            tracing::info!("the film is read from its beginning: {error}");
            Ok(false)
        }
        found => found,
    }
}
