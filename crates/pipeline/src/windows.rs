//! Networks that see windows of a shot: frames are gathered, the grid says when a window is whole, results leave one at a
//! time.

use std::collections::VecDeque;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use framelift_engine::{Download, EngineError, Tensor};
use framelift_frame::Frame;
use framelift_nets::{FeatureId, FeatureStore, Network};
use framelift_shots::{Blocks, Grid, Window, stands_still};

use crate::fade::Fade;
use crate::outlet::{Outlet, Sink};
use crate::plan::{Offload, SessionPlan, WindowPlan};
use crate::store::ScratchStore;
use crate::{Model, SessionError};

/// A shot in progress.
pub(crate) struct WindowWork {
    model: Model,
    plan: SessionPlan,
    window: WindowPlan,
    grid: Grid,
    store: ScratchStore,
    /// Frames of the shot that are still needed, from number `first` on.
    frames: VecDeque<Frame>,
    /// Of the same frames, what tells whether the picture stands still; empty where windows do not depend on it.
    blocks: VecDeque<Blocks>,
    first: u64,
    /// Where the next body begins.
    start: u64,
    /// What the window before made of the frames from `start` on.
    fade: Fade,
    /// Whether the user was told of shorter windows.
    noticed_still: bool,
}

impl WindowWork {
    pub(crate) fn new(model: Model, plan: SessionPlan, window: WindowPlan, offload: Offload, folder: PathBuf) -> Self {
        let folder = (offload != Offload::Never).then_some(folder);
        let store =
            ScratchStore::new(model.engine().clone(), window.store_limit_bytes(), folder).with_host(window.host_bytes);
        let grid = Grid::new(window.body, window.context);
        Self {
            model,
            plan,
            window,
            grid,
            store,
            frames: VecDeque::new(),
            blocks: VecDeque::new(),
            first: 0,
            start: 0,
            fade: Fade::default(),
            noticed_still: false,
        }
    }

    /// Goes on with the body that begins with frame `start` of a shot, of whose first frames the window before made `state`.
    pub(crate) fn thaw(&mut self, start: u64, state: &[Option<Tensor>]) -> Result<(), EngineError> {
        (self.first, self.start) = (start, start);
        self.fade = Fade::thawed(&**self.model.engine(), state)?;
        Ok(())
    }

    /// Sees a frame before those that a thawed shot goes on with.
    pub(crate) fn recall(&mut self, frame: Frame) {
        self.wait(frame);
        while self.frames.len() as u64 > self.window.context.min(self.start) {
            self.frames.pop_front();
            self.blocks.pop_front();
        }
        self.first = self.start - self.frames.len() as u64;
    }

    fn seen(&self) -> u64 {
        self.first + self.frames.len() as u64
    }

    /// Takes the next frame of the shot.
    pub(crate) fn push<S: Sink>(&mut self, frame: Frame, out: &mut Outlet<'_, S>) -> Result<(), S::Error> {
        if self.window.body == 0 && self.seen() >= self.window.most_frames.max(1) {
            return Err(SessionError::ShotTooLong { time: frame.time, most_frames: self.window.most_frames }.into());
        }
        self.wait(frame);
        self.run(false, out)
    }

    /// Adds a frame to those that wait.
    fn wait(&mut self, frame: Frame) {
        if self.window.still.is_some() {
            self.blocks.push_back(Blocks::of(&frame));
        }
        self.frames.push_back(frame);
    }

    /// Ends the shot.
    pub(crate) fn finish<S: Sink>(&mut self, out: &mut Outlet<'_, S>) -> Result<(), S::Error> {
        self.run(true, out)?;
        self.frames.clear();
        self.blocks.clear();
        (self.first, self.start) = (0, 0);
        self.fade = Fade::default();
        Ok(())
    }

    /// Runs the windows that are whole.
    fn run<S: Sink>(&mut self, ended: bool, out: &mut Outlet<'_, S>) -> Result<(), S::Error> {
        while let Some(window) = self.grid.window(self.start, self.seen(), ended) {
            let window = self.shorter_if_still(window, ended, out);
            out.sink.window(window.body.start, self.model.engine(), &self.fade)?;
            if self.plan.grid.count() == 1 {
                self.whole(&window, out)?
            } else {
                self.tiled(&window, out)?
            }
            self.start = window.body.end;
            let needed = self.start.saturating_sub(self.window.context);
            let done = (needed - self.first).min(self.frames.len() as u64);
            self.frames.drain(..done as usize);
            self.blocks.drain(..(done as usize).min(self.blocks.len()));
            self.first += done;
        }
        Ok(())
    }

    /// `window`, or the shorter one that begins where it does, if the picture stands still in what it sees.
    fn shorter_if_still<S: Sink>(&mut self, window: Window, ended: bool, out: &mut Outlet<'_, S>) -> Window {
        let Some(still) = self.window.still else { return window };
        let seen: Vec<&Blocks> = self.blocks.range(self.places(&window)).collect();
        if window.body.end - window.body.start <= still.body || !stands_still(&seen) {
            return window;
        }
        if !std::mem::replace(&mut self.noticed_still, true) {
            out.notice_still(&still);
        }
        Grid::new(still.body, still.context).window(self.start, self.seen(), ended).unwrap_or(window)
    }

    /// Where the frames that a window sees wait.
    fn places(&self, window: &Window) -> Range<usize> {
        (window.first - self.first) as usize..(window.end - self.first) as usize
    }

    fn frames_of(&self, window: &Window) -> impl Iterator<Item = &Frame> {
        self.frames.range(self.places(window))
    }

    fn whole<S: Sink>(&mut self, window: &Window, out: &mut Outlet<'_, S>) -> Result<(), S::Error> {
        let engine = self.model.engine();
        let inputs: Result<Vec<Tensor>, _> = self.frames_of(window).map(|frame| engine.upload(frame)).collect();
        let inputs = inputs.map_err(|source| out.failed(source, 0))?;
        let mut next = Fade::default();
        let results = Results::Given { body: body_frames(window), before: &self.fade, next: &mut next };
        let mut part = Part { out, results, share: (0.0, 1.0), noticed: false };
        let keep = self.keep(window);
        run_part(&self.model, &self.plan, &mut self.store, &inputs, keep, &mut part)?;
        self.fade = next;
        Ok(())
    }

    /// The frames of a window whose results are wanted, counted from the first frame it sees: its body and what it fades
    /// into the next over.
    fn keep(&self, window: &Window) -> Range<usize> {
        let keep = window.keep();
        keep.start as usize..(keep.end + self.window.fade.min(window.end - window.body.end)) as usize
    }

    fn tiled<S: Sink>(&mut self, window: &Window, out: &mut Outlet<'_, S>) -> Result<(), S::Error> {
        let engine = self.model.engine();
        let scale = self.model.descriptor().scale;
        let Some(size) = self.plan.padded.scaled(scale) else {
            let what = format!("{} times {scale} is too large", self.plan.padded);
            return Err(out.failed(EngineError::Shape(what), 0));
        };
        let keep = self.keep(window);
        let kept = self.frames_of(window).skip(keep.start).take(keep.len());
        let mut results: Vec<Frame> = kept.map(|frame| Frame::black(size, frame.time, frame.duration_ticks)).collect();
        let (tiles, count) = (self.plan.grid.clone(), self.plan.grid.count() as f64);
        let mut noticed = false;
        for (n, tile) in tiles.tiles().enumerate() {
            let inputs: Result<Vec<Tensor>, _> =
                self.frames_of(window).map(|frame| engine.upload(&tiles.cut_out(frame, tile))).collect();
            let inputs = inputs.map_err(|source| out.failed(source, 0))?;
            let mut add = |index: usize, piece: &Frame| tiles.add(&mut results[index], tile, piece, scale);
            let share = (n as f64 / count, 1.0 / count);
            let mut part = Part { out, results: Results::Added(&mut add), share, noticed };
            run_part(&self.model, &self.plan, &mut self.store, &inputs, keep.clone(), &mut part)?;
            noticed = part.noticed;
        }
        let before = std::mem::take(&mut self.fade);
        results.drain(body_frames(window)..).for_each(|result| self.fade.push(result));
        results.into_iter().enumerate().try_for_each(|(index, mut result)| {
            before.mix(index, &mut result);
            out.give(result)
        })
    }
}

fn body_frames(window: &Window) -> usize {
    (window.body.end - window.body.start) as usize
}

/// What becomes of the results of a part of a window.
enum Results<'a> {
    /// The first `body` are the session's, mixed with those of the window before; those after wait for the next window.
    Given { body: usize, before: &'a Fade, next: &'a mut Fade },
    /// They are pieces, by their number among those wanted.
    Added(&'a mut (dyn FnMut(usize, &Frame) + Send)),
}

/// A window, or a tile of one, on its way out.
struct Part<'a, 'b, S: Sink> {
    out: &'a mut Outlet<'b, S>,
    results: Results<'a>,
    /// Where in the window's work the part begins, and how much of it it is.
    share: (f64, f64),
    /// Whether the user was told that this window is run again.
    noticed: bool,
}

impl<S: Sink> Part<'_, '_, S> {
    /// How far ahead of the next result to be given the result `index` of the body is.
    fn ahead(&self, index: usize) -> usize {
        match self.results {
            Results::Given { body, .. } => index.saturating_sub(body),
            Results::Added(_) => index,
        }
    }

    fn result(&mut self, index: usize, mut frame: Frame) -> Result<(), S::Error> {
        match &mut self.results {
            Results::Given { body, before, .. } if index < *body => {
                before.mix(index, &mut frame);
                self.out.give(frame)
            }
            Results::Given { next, .. } => {
                next.push(frame);
                Ok(())
            }
            Results::Added(add) => {
                add(index, &frame);
                Ok(())
            }
        }
    }
}

/// Runs the network over a window or a tile of one, in f32 from the first result on that is not finite.
fn run_part<S: Sink>(
    model: &Model,
    plan: &SessionPlan,
    store: &mut ScratchStore,
    inputs: &[Tensor],
    keep: Range<usize>,
    part: &mut Part<'_, '_, S>,
) -> Result<(), S::Error> {
    let mut next = keep.start;
    let mut ended = attempt(model, &**model.network(), store, inputs, keep.clone(), &mut next, part);
    if let Err(Stop::Engine(EngineError::OutOfMemory { .. })) = ended
        && model.engine().own_memory_bytes().is_some()
        && store.crowd_out()
    {
        part.out.sink.notice(
            "the device has less memory free than planned; features wait in the host's memory from now on, which takes longer"
                .into(),
        );
        store.reset(0);
        ended = attempt(model, &**model.network(), store, inputs, keep.clone(), &mut next, part);
    }
    if let Err(Stop::Engine(EngineError::NonFinite { .. })) = ended {
        let ahead = part.ahead(next - keep.start);
        if let Some(full) = model.in_full().map_err(|source| part.out.failed(source, ahead))? {
            if !std::mem::replace(&mut part.noticed, true) {
                part.out.notice_full(model.precision(), ahead, "its window is run again");
            }
            store.reset(plan.store_bytes_in_full(model.descriptor(), model.layout()));
            ended = attempt(model, &*full, store, inputs, keep.clone(), &mut next, part);
        }
    }
    store.reset(plan.window.map_or(0, |window| window.store_limit_bytes()));
    match ended {
        Ok(()) if next == keep.end => Ok(()),
        Ok(()) => {
            let (got, expected) = ((next - keep.start) as u64, (keep.end - keep.start) as u64);
            Err(SessionError::Count { got, expected }.into())
        }
        Err(Stop::Sink(error)) => Err(error),
        Err(Stop::Engine(source)) => Err(part.out.failed(source, part.ahead(next - keep.start))),
    }
}

/// Why a run over a window ended.
enum Stop<E> {
    Engine(EngineError),
    Sink(E),
}

fn attempt<S: Sink>(
    model: &Model,
    network: &dyn Network,
    store: &mut ScratchStore,
    inputs: &[Tensor],
    keep: Range<usize>,
    next: &mut usize,
    part: &mut Part<'_, '_, S>,
) -> Result<(), Stop<S::Error>> {
    let pixels = inputs.first().map_or(0, |input| input.shape().pixels());
    let due = network.descriptor().stored_values_per_pixel * (pixels * inputs.len()) as u64;
    let (from, share) = part.share;
    // The store and the network's outlet both lead to the sink, in turn.
    let shared = Mutex::new((part, None));
    let lock = || shared.lock().unwrap_or_else(PoisonError::into_inner);
    let mut put = 0;
    let mut on_put = |values: u64| {
        let before = put;
        put += values;
        let step = |values: u64| values * STEPS / due.max(1);
        if step(before) == step(put) {
            return Ok(());
        }
        let done = (put as f64 / due as f64).min(1.0);
        let (part, failure) = &mut *lock();
        part.out.sink.inside_window(from + share * done).map_err(|error| {
            *failure = Some(error);
            EngineError::Stopped
        })
    };
    let mut watched = Watched { store, on_put: &mut on_put };
    let first = keep.start;
    let range = *next..keep.end;
    // The last result is given when the next is on its way, or the window ends: a device works on meanwhile.
    let mut pending: Option<Download> = None;
    let mut deliver = |download: Download| {
        let frame = download.wait()?;
        let (part, failure) = &mut *lock();
        part.result(*next - first, frame).map_err(|error| {
            *failure = Some(error);
            EngineError::Stopped
        })?;
        *next += 1;
        Ok(*next)
    };
    let mut due = range.start;
    let mut emit = |tensor: Tensor| {
        let begun = {
            let (part, _) = &mut *lock();
            let ahead = part.ahead(due - first) + usize::from(pending.is_some());
            part.out.download(&**model.engine(), &tensor, ahead)
        };
        drop(tensor);
        if let Some(before) = pending.take() {
            due = deliver(before)?;
        }
        if begun.is_ready() {
            due = deliver(begun)?;
        } else {
            pending = Some(begun);
        }
        Ok(())
    };
    let mut ended = network.window(inputs, range, &mut watched, &mut emit);
    if ended.is_ok()
        && let Some(last) = pending.take()
    {
        ended = deliver(last).map(drop);
    }
    let (_, failure) = shared.into_inner().unwrap_or_else(PoisonError::into_inner);
    match (failure, ended) {
        (Some(failure), _) => Err(Stop::Sink(failure)),
        (None, ended) => ended.map_err(Stop::Engine),
    }
}

/// How often a window tells how far it is.
const STEPS: u64 = 100;

/// Tells of every feature that is put.
struct Watched<'a> {
    store: &'a mut ScratchStore,
    on_put: &'a mut (dyn FnMut(u64) -> Result<(), EngineError> + Send),
}

impl FeatureStore for Watched<'_> {
    fn put(&mut self, feature: Tensor) -> Result<FeatureId, EngineError> {
        let values = feature.shape().len() as u64;
        let id = self.store.put(feature)?;
        (self.on_put)(values)?;
        Ok(id)
    }

    fn get(&mut self, id: FeatureId) -> Result<Tensor, EngineError> {
        self.store.get(id)
    }

    fn release(&mut self, id: FeatureId) {
        self.store.release(id);
    }
}
