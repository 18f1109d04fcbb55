//! Where the results of a session go, and the clock that gives them their times.

use std::collections::VecDeque;
use std::sync::Arc;

use framelift_engine::{Download, Engine, EngineError, Tensor};
use framelift_frame::{Beside, Frame, Size, TimeBase, Timestamp};

use crate::SessionError;
use crate::fade::Fade;
use crate::pieces::crop;
use crate::plan::StillWindow;

/// The time of a result that no frame was pushed for; counting refuses it.
const NO_TIME: Timestamp = Timestamp::new(0, TimeBase::new(1, 1));

/// Takes what a session gives, as soon as it is there.
pub trait Sink: Send {
    /// What ends the session early.
    type Error: From<SessionError> + Send;

    /// Takes the next result.
    ///
    /// # Errors
    /// Whatever must end the session.
    fn frame(&mut self, frame: Frame) -> Result<(), Self::Error>;

    /// Something the user should know.
    fn notice(&mut self, notice: String) {
        let _ = notice;
    }

    /// The next result is the first of a window, with `shot_frames` frames of its shot before it; a session that goes on here
    /// needs the frames of `fade`, too.
    ///
    /// # Errors
    /// Whatever must end the session.
    fn window(&mut self, shot_frames: u64, engine: &Arc<dyn Engine>, fade: &Fade) -> Result<(), Self::Error> {
        let _ = (shot_frames, engine, fade);
        Ok(())
    }

    /// How far the passes over a window are that must end before its first result: 0 to 1.
    ///
    /// # Errors
    /// Whatever must end the session.
    fn inside_window(&mut self, done: f64) -> Result<(), Self::Error> {
        let _ = done;
        Ok(())
    }
}

/// Collects results.
#[derive(Default)]
pub(crate) struct Collect(pub(crate) Vec<Frame>);

impl Sink for Collect {
    type Error = SessionError;

    fn frame(&mut self, frame: Frame) -> Result<(), SessionError> {
        self.0.push(frame);
        Ok(())
    }
}

/// Frames that were taken and not yet given back: when each is shown, and what goes past the network with it.
#[derive(Default)]
pub(crate) struct Clock {
    waiting: VecDeque<(Timestamp, i64, Beside)>,
    pub(crate) pushed: u64,
    pub(crate) given: u64,
}

impl Clock {
    pub(crate) fn push(&mut self, frame: &mut Frame) {
        self.waiting.push_back((frame.time, frame.duration_ticks, std::mem::take(&mut frame.beside)));
        self.pushed += 1;
    }

    /// The time of the frame `ahead` of the next to be given; that of the last where there are not so many.
    fn time(&self, ahead: usize) -> Option<(Timestamp, i64)> {
        self.waiting.get(ahead).or(self.waiting.back()).map(|&(time, duration_ticks, _)| (time, duration_ticks))
    }
}

/// The way of results out of a session: each gets its time and the size that is due.
pub(crate) struct Outlet<'a, S: Sink> {
    pub(crate) clock: &'a mut Clock,
    pub(crate) sink: &'a mut S,
    /// The size of results; what lies beyond comes from padding.
    pub(crate) size: Size,
}

impl<S: Sink> Outlet<'_, S> {
    /// Gives the next result.
    pub(crate) fn give(&mut self, frame: Frame) -> Result<(), S::Error> {
        let Some((.., beside)) = self.clock.waiting.pop_front() else {
            let (got, expected) = (self.clock.given + 1, self.clock.pushed);
            return Err(SessionError::Count { got, expected }.into());
        };
        self.clock.given += 1;
        let mut frame = if frame.size() == self.size { frame } else { crop(&frame, 0, 0, self.size) };
        frame.beside = beside;
        self.sink.frame(frame)
    }

    /// The tensor of the result that is `ahead` of the next to be given, on its way to be a frame of its time.
    pub(crate) fn download(&self, engine: &dyn Engine, tensor: &Tensor, ahead: usize) -> Download {
        let (time, duration_ticks) = self.clock.time(ahead).unwrap_or((NO_TIME, 0));
        engine.begin_download(tensor, time, duration_ticks)
    }

    /// The failure `source` of the frame that is `ahead` of the next to be given.
    pub(crate) fn failed(&self, source: EngineError, ahead: usize) -> S::Error {
        let index = self.clock.given + ahead as u64;
        let error = match (self.clock.time(ahead), source) {
            (Some((time, _)), EngineError::NonFinite { count, .. }) => SessionError::NonFinite { index, time, count },
            (Some((time, _)), source) => SessionError::Frame { index, time, source },
            (None, source) => SessionError::End(source),
        };
        error.into()
    }

    /// Tells that windows are shorter from the frame on that is `ahead` of the next to be given.
    pub(crate) fn notice_still(&mut self, still: &StillWindow, ahead: usize) {
        let StillWindow { body, context } = still;
        let index = self.clock.given + ahead as u64;
        let at = self.clock.time(ahead).map_or_else(String::new, |(time, _)| format!(" at {time}"));
        self.sink.notice(format!(
            "much of the picture stands still from frame {index}{at} on; in such shots windows have {body} + 2x{context} \
             frames, so that no lines etch themselves in (--window sets a length for all)"
        ));
    }

    /// Tells that a frame is worked on again in f32.
    pub(crate) fn notice_full(&mut self, precision: framelift_engine::Precision, ahead: usize, what: &str) {
        let index = self.clock.given + ahead as u64;
        let at = self.clock.time(ahead).map_or_else(String::new, |(time, _)| format!(" at {time}"));
        self.sink.notice(format!("frame {index}{at} is not finite in {precision}; {what} in f32"));
    }
}
