//! Networks that take frame after frame: those that see one frame, and those that carry a state forward.

use std::collections::VecDeque;
use std::sync::Arc;

use framelift_engine::{Download, Engine, EngineError, Tensor};
use framelift_frame::Frame;
use framelift_nets::{Reach, Shot};

use crate::Model;
use crate::outlet::{Outlet, Sink};
use crate::pieces::TileGrid;
use crate::session::Frozen;

/// Frames that a shot in f32 is warmed up with, where it takes over from one that overflowed.
pub(crate) const WARM_UP_FRAMES: usize = 6;

/// A shot in progress.
pub(crate) struct StreamWork {
    model: Model,
    /// Frames that are worked on at once, by a network that sees one.
    lanes: usize,
    /// Those that wait until there are so many.
    waiting: Vec<Tensor>,
    shot: Option<Box<dyn Shot>>,
    /// Whether `shot` works in f32 because the working precision overflowed.
    in_full: bool,
    /// The latest frames of the shot, for a shot that must take over.
    recent: VecDeque<Frame>,
    /// The next result, on its way from a device that works on meanwhile.
    pending: Option<Download>,
    /// Frames of the shot pushed, and results given.
    pushed: usize,
    given: usize,
    /// Frames to come that a thawed shot holds already.
    held: usize,
}

impl StreamWork {
    /// `lanes` frames are worked on at once; more than one only by a network that sees one.
    pub(crate) fn new(model: Model, lanes: usize) -> Self {
        Self {
            model,
            lanes,
            waiting: Vec::new(),
            shot: None,
            in_full: false,
            recent: VecDeque::new(),
            pending: None,
            pushed: 0,
            given: 0,
            held: 0,
        }
    }

    /// The shot as it is between its last result and the next; `None` where the network cannot be frozen, or a result is on
    /// its way: see [`StreamWork::settle`].
    pub(crate) fn freeze(&self) -> Option<Frozen> {
        if self.pending.is_some() || !self.waiting.is_empty() {
            return None;
        }
        let state = match &self.shot {
            Some(shot) if self.carries_state() => shot.freeze()?,
            _ => Vec::new(),
        };
        Some(Frozen { pushed: self.pushed as u64, given: self.given as u64, in_full: self.in_full, state })
    }

    /// Goes on with a frozen shot.
    pub(crate) fn thaw(&mut self, frozen: Frozen) -> Result<(), EngineError> {
        self.given = frozen.given as usize;
        self.pushed = self.given;
        self.held = (frozen.pushed - frozen.given) as usize;
        self.in_full = frozen.in_full;
        if frozen.state.is_empty() {
            return Ok(());
        }
        let full = if frozen.in_full { self.model.in_full()? } else { None };
        self.shot = Some(full.unwrap_or_else(|| Arc::clone(self.model.network())).thaw(frozen.state)?);
        Ok(())
    }

    /// Sees a frame before those that a thawed shot goes on with.
    pub(crate) fn recall(&mut self, frame: Frame) {
        self.recent.push_back(frame);
        while self.recent.len() > self.frames_kept().min(self.given) {
            self.recent.pop_front();
        }
    }

    /// Takes the next frame of the shot.
    pub(crate) fn push<S: Sink>(&mut self, frame: Frame, out: &mut Outlet<'_, S>) -> Result<(), S::Error> {
        let engine = self.model.engine();
        let ahead = self.pushed - self.given;
        self.pushed += 1;
        let results = if self.held > 0 {
            self.held -= 1;
            Vec::new()
        } else {
            let input = engine.upload(&frame).map_err(|source| out.failed(source, ahead))?;
            self.waiting.push(input);
            if self.waiting.len() < self.lanes { Vec::new() } else { self.feed(out)? }
        };
        self.recent.push_back(frame);
        // The result before may still have to be made again.
        let kept = match self.frames_kept() {
            0 => 0,
            kept => kept + usize::from(self.pending.is_some()),
        };
        while self.recent.len() > kept {
            self.recent.pop_front();
        }
        self.deliver(results, false, out).map(drop)
    }

    /// The frames that wait into the network; its results.
    fn feed<S: Sink>(&mut self, out: &mut Outlet<'_, S>) -> Result<Vec<Tensor>, S::Error> {
        let frames = std::mem::take(&mut self.waiting);
        let count = frames.len();
        if count == 0 {
            return Ok(Vec::new());
        }
        let (engine, network) = (self.model.engine(), self.model.network());
        let shot = self.shot.get_or_insert_with(|| Arc::clone(network).begin());
        let mut results = at_once(&**engine, &mut **shot, &frames);
        if count > 1 && matches!(results, Err(EngineError::OutOfMemory { .. })) {
            out.sink.notice(NO_ROOM_FOR_LANES.into());
            self.lanes = 1;
            let each: Result<Vec<_>, _> = frames.into_iter().map(|frame| shot.push(frame)).collect();
            results = each.map(|results| results.into_iter().flatten().collect());
        }
        results.map_err(|source| out.failed(source, self.pushed - self.given - count))
    }

    /// Gives the results that are on their way, and those of the frames that wait.
    pub(crate) fn settle<S: Sink>(&mut self, out: &mut Outlet<'_, S>) -> Result<(), S::Error> {
        let results = self.feed(out)?;
        if self.deliver(results, false, out)? {
            self.arrive(false, out)?;
        }
        Ok(())
    }

    /// Ends the shot.
    pub(crate) fn finish<S: Sink>(&mut self, out: &mut Outlet<'_, S>) -> Result<(), S::Error> {
        if !self.waiting.is_empty() {
            self.settle(out)?;
        }
        let Some(shot) = self.shot.take() else { return Ok(()) };
        let results = shot.finish().map_err(|source| out.failed(source, 0))?;
        if self.deliver(results, true, out)? {
            self.arrive(true, out)?;
        }
        self.recent.clear();
        (self.in_full, self.pushed, self.given) = (false, 0, 0);
        Ok(())
    }

    /// Frames that the network sees before it gives a result.
    fn lookahead(&self) -> usize {
        match self.model.descriptor().reach {
            Reach::Causal { lookahead } => lookahead,
            Reach::Frame | Reach::Window => 0,
        }
    }

    /// How many frames are kept for a shot in f32: none where it could not help.
    fn frames_kept(&self) -> usize {
        match self.model.descriptor().reach {
            _ if self.in_full || self.model.precision() == framelift_engine::Precision::F32 => 0,
            Reach::Causal { lookahead } => WARM_UP_FRAMES + lookahead + 1,
            Reach::Frame | Reach::Window => self.lanes,
        }
    }

    /// Gives results, the last of them with the next call where the device works on; `false` where they were made again.
    fn deliver<S: Sink>(
        &mut self,
        results: Vec<Tensor>,
        ended: bool,
        out: &mut Outlet<'_, S>,
    ) -> Result<bool, S::Error> {
        for result in results {
            let ahead = usize::from(self.pending.is_some());
            let begun = out.download(&**self.model.engine(), &result, ahead);
            drop(result);
            if !self.arrive(ended, out)? {
                return Ok(false);
            }
            let is_ready = begun.is_ready();
            self.pending = Some(begun);
            if is_ready && !self.arrive(ended, out)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Waits for the result that is on its way; `false` where it had to be made again, and all that were due with it.
    fn arrive<S: Sink>(&mut self, ended: bool, out: &mut Outlet<'_, S>) -> Result<bool, S::Error> {
        let Some(pending) = self.pending.take() else { return Ok(true) };
        match pending.wait() {
            Ok(frame) => {
                out.give(frame)?;
                self.given += 1;
                Ok(true)
            }
            Err(EngineError::NonFinite { .. }) if !self.recent.is_empty() => {
                if self.carries_state() {
                    self.again(ended, out)?;
                    Ok(false)
                } else {
                    self.one_again(out)?;
                    Ok(true)
                }
            }
            Err(source) => Err(out.failed(source, 0)),
        }
    }

    fn carries_state(&self) -> bool {
        matches!(self.model.descriptor().reach, Reach::Causal { .. })
    }

    /// Makes the next result in f32, of a network that sees one frame.
    fn one_again<S: Sink>(&mut self, out: &mut Outlet<'_, S>) -> Result<(), S::Error> {
        let full = self.model.in_full().map_err(|source| out.failed(source, 0))?;
        let place = self.recent.len().checked_sub(self.pushed - self.given);
        let (Some(full), Some(frame)) = (full, place.and_then(|place| self.recent.get(place))) else { return Ok(()) };
        out.notice_full(self.model.precision(), 0, "it is made again");
        let results = self.model.engine().upload(frame).and_then(|input| full.begin().push(input));
        for result in results.map_err(|source| out.failed(source, 0))? {
            let frame = out.download(&**self.model.engine(), &result, 0).wait();
            out.give(frame.map_err(|source| out.failed(source, 0))?)?;
            self.given += 1;
        }
        Ok(())
    }

    /// Makes the results that are due in f32, and goes on so to the end of the shot.
    fn again<S: Sink>(&mut self, ended: bool, out: &mut Outlet<'_, S>) -> Result<(), S::Error> {
        let full = self.model.in_full().map_err(|source| out.failed(source, 0))?;
        let Some(full) = full else { return Ok(()) };
        out.notice_full(self.model.precision(), 0, "the shot goes on");
        let mut shot = full.begin();
        let mut results = Vec::new();
        // As many frames warm it up, however late it showed.
        let late = (self.pushed - self.given).saturating_sub(self.lookahead() + 1);
        while self.recent.len() > self.frames_kept() + late {
            self.recent.pop_front();
        }
        // Results of frames that were given before only warm the state up.
        let mut skip = (self.given + self.recent.len()).saturating_sub(self.pushed);
        let mut take = |made: Vec<Tensor>| {
            for result in made {
                match skip.checked_sub(1) {
                    Some(left) => skip = left,
                    None => results.push(result),
                }
            }
        };
        for frame in &self.recent {
            let made = self.model.engine().upload(frame).and_then(|input| shot.push(input));
            take(made.map_err(|source| out.failed(source, 0))?);
        }
        if ended {
            take(shot.finish().map_err(|source| out.failed(source, 0))?);
        } else {
            self.shot = Some(shot);
            self.in_full = true;
        }
        for result in results {
            let frame = out.download(&**self.model.engine(), &result, 0).wait();
            let frame = frame.map_err(|source| out.failed(source, 0))?;
            out.give(frame)?;
            self.given += 1;
        }
        Ok(())
    }
}

/// Said where frames or windows were planned to be worked on at once.
pub(crate) const NO_ROOM_FOR_LANES: &str =
    "the device has less memory free than planned; from now on it works on one after another, which takes longer";

/// What a network makes of a frame, or one that sees one frame of several.
fn at_once(engine: &dyn Engine, shot: &mut dyn Shot, frames: &[Tensor]) -> Result<Vec<Tensor>, EngineError> {
    let stack = engine.stack_maps(&frames.iter().collect::<Vec<_>>())?;
    let results = shot.push(stack)?.iter().map(|stack| engine.unstack_maps(stack)).collect::<Result<Vec<_>, _>>()?;
    Ok(results.into_iter().flatten().collect())
}

/// One frame after another in tiles, by a network that sees one frame.
pub(crate) struct TiledWork {
    model: Model,
    grid: TileGrid,
}

impl TiledWork {
    pub(crate) fn new(model: Model, grid: TileGrid) -> Self {
        Self { model, grid }
    }

    /// Takes the next frame.
    pub(crate) fn push<S: Sink>(&mut self, frame: &Frame, out: &mut Outlet<'_, S>) -> Result<(), S::Error> {
        let scale = self.model.descriptor().scale;
        let Some(size) = frame.size().scaled(scale) else {
            return Err(out.failed(EngineError::Shape(format!("{} times {scale} is too large", frame.size())), 0));
        };
        let mut whole = Frame::black(size, frame.time, frame.duration_ticks);
        let mut noticed = false;
        for tile in self.grid.tiles() {
            let piece = self.grid.cut_out(frame, tile);
            let made = match self.piece(&piece, false) {
                Err(EngineError::NonFinite { .. }) if self.model.precision() != framelift_engine::Precision::F32 => {
                    if !std::mem::replace(&mut noticed, true) {
                        out.notice_full(self.model.precision(), 0, "it is made again");
                    }
                    self.piece(&piece, true)
                }
                made => made,
            };
            let made = made.map_err(|source| out.failed(source, 0))?;
            self.grid.add(&mut whole, tile, &made, scale);
        }
        out.give(whole)
    }

    fn piece(&self, piece: &Frame, in_full: bool) -> Result<Frame, EngineError> {
        let engine = self.model.engine();
        let network = if in_full { self.model.in_full()? } else { None };
        let mut shot = network.unwrap_or_else(|| Arc::clone(self.model.network())).begin();
        let mut results = shot.push(engine.upload(piece)?)?;
        results.extend(shot.finish()?);
        match &results[..] {
            [result] => engine.download(result, piece.time, piece.duration_ticks),
            _ => Err(EngineError::Shape(format!("{} results of one frame", results.len()))),
        }
    }
}
