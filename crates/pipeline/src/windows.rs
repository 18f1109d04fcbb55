//! Networks that see windows of a shot: frames are gathered, the grid says when a window is whole, results leave one at a
//! time.

use std::collections::VecDeque;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use framelift_engine::{Download, Engine, EngineError, Tensor};
use framelift_frame::Frame;
use framelift_nets::{FeatureId, FeatureStore, Network};
use framelift_shots::{Blocks, Grid, Window, stands_still};

use crate::fade::Fade;
use crate::outlet::{Outlet, Sink};
use crate::plan::{Offload, SessionPlan, WindowPlan};
use crate::store::ScratchStore;
use crate::stream::NO_ROOM_FOR_LANES;
use crate::{Model, SessionError};

/// A shot in progress.
pub(crate) struct WindowWork {
    model: Model,
    plan: SessionPlan,
    window: WindowPlan,
    /// Windows that wait until there are as many as are worked on at once.
    waiting: Vec<Ready>,
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
            waiting: Vec::new(),
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
        Ok(())
    }

    /// Works on the windows that are whole, and have waited for as many as are worked on at once.
    fn run<S: Sink>(&mut self, ended: bool, out: &mut Outlet<'_, S>) -> Result<(), S::Error> {
        while let Some(window) = self.grid.window(self.start, self.seen(), ended) {
            let window = self.shorter_if_still(window, ended, out);
            if self.plan.grid.count() == 1 {
                let ready = self.ready(&window, out)?;
                self.waiting.push(ready);
                if self.waiting.len() as u64 >= self.plan.lanes {
                    self.settle(out)?;
                }
            } else {
                out.sink.window(window.body.start, self.model.engine(), &self.fade)?;
                self.tiled(&window, out)?;
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

    /// Results of windows that wait for others.
    pub(crate) fn held(&self) -> u64 {
        self.waiting.iter().map(|window| window.body as u64).sum()
    }

    /// Gives the results of the windows that wait.
    pub(crate) fn settle<S: Sink>(&mut self, out: &mut Outlet<'_, S>) -> Result<(), S::Error> {
        let mut windows = std::mem::take(&mut self.waiting);
        let made = if windows.len() > 1 { self.at_once(&mut windows, out)? } else { None };
        let Some(made) = made else { return windows.into_iter().try_for_each(|window| self.alone(&window, out)) };
        for (window, results) in windows.iter().zip(made) {
            out.sink.window(window.start, self.model.engine(), &self.fade)?;
            self.give(window.body, results, out)?;
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
            out.notice_still(&still, self.held() as usize);
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

    /// A window whose frames are all there, on the engine.
    fn ready<S: Sink>(&self, window: &Window, out: &Outlet<'_, S>) -> Result<Ready, S::Error> {
        let engine = self.model.engine();
        let inputs: Result<Vec<Tensor>, _> = self.frames_of(window).map(|frame| engine.upload(frame)).collect();
        let inputs = inputs.map_err(|source| out.failed(source, self.held() as usize))?;
        Ok(Ready { start: window.body.start, inputs, keep: self.keep(window), body: body_frames(window) })
    }

    /// Works on one window by itself; each result leaves when it is made.
    fn alone<S: Sink>(&mut self, window: &Ready, out: &mut Outlet<'_, S>) -> Result<(), S::Error> {
        out.sink.window(window.start, self.model.engine(), &self.fade)?;
        let mut next = Fade::default();
        let results = Results::Given { body: window.body, before: &self.fade, next: &mut next };
        let lane = Lane { keep: window.keep.clone(), results };
        let mut part = Part { out, lanes: vec![lane], share: (0.0, 1.0), noticed: false };
        run_part(&self.model, &self.plan, &mut self.store, &window.inputs, &mut part)?;
        self.fade = next;
        Ok(())
    }

    /// Works on several windows at once; the results of each. `None` where each must be worked on by itself: a result is not
    /// finite, or there is less memory than planned.
    fn at_once<S: Sink>(
        &mut self,
        windows: &mut [Ready],
        out: &mut Outlet<'_, S>,
    ) -> Result<Option<Vec<Vec<Frame>>>, S::Error> {
        let engine = self.model.engine();
        // The longest first, as networks want it.
        let mut order: Vec<usize> = (0..windows.len()).collect();
        order.sort_by_key(|&n| std::cmp::Reverse(windows[n].inputs.len()));
        let longest = order.first().map_or(0, |&n| windows[n].inputs.len());
        // A frame's memory is free when it is in the stack.
        let mut left: Vec<_> = order.iter().map(|&n| std::mem::take(&mut windows[n].inputs).into_iter()).collect();
        let stack = |_| {
            let frames: Vec<Tensor> = left.iter_mut().filter_map(Iterator::next).collect();
            engine.stack_maps(&frames.iter().collect::<Vec<_>>())
        };
        let inputs: Result<Vec<Tensor>, _> = (0..longest).map(stack).collect();
        let inputs = inputs.map_err(|source| out.failed(source, 0))?;

        let before = |n: usize| windows[..n].iter().map(|window| window.body).sum();
        let lane = |&n: &usize| Lane {
            keep: windows[n].keep.clone(),
            results: Results::Kept { first: before(n), frames: Vec::with_capacity(windows[n].keep.len()) },
        };
        let mut part = Part { out, lanes: order.iter().map(lane).collect(), share: (0.0, 1.0), noticed: false };
        let Range { start: mut next, end } = part.frames();
        let ended = attempt(&self.model, &**self.model.network(), &mut self.store, &inputs, &mut next, &mut part);
        let lanes = part.lanes;
        self.store.reset(self.window.store_limit_bytes());
        match ended {
            Ok(()) if next == end => {
                let mut made: Vec<Vec<Frame>> = windows.iter().map(|_| Vec::new()).collect();
                for (&n, lane) in order.iter().zip(lanes) {
                    if let Results::Kept { frames, .. } = lane.results {
                        made[n] = frames;
                    }
                }
                return Ok(Some(made));
            }
            Err(Stop::Sink(error)) => return Err(error),
            Err(Stop::Engine(EngineError::OutOfMemory { .. })) => {
                out.sink.notice(NO_ROOM_FOR_LANES.into());
                self.plan.lanes = 1;
            }
            // By itself a window says which result it was.
            Ok(()) | Err(Stop::Engine(_)) => {}
        }
        for (lane, &n) in order.iter().enumerate() {
            let stacks = inputs.iter().take_while(|stack| stack.shape().maps > lane);
            let its = stacks.map(|stack| engine.maps(stack, lane..lane + 1)).collect::<Result<_, _>>();
            windows[n].inputs = its.map_err(|source| out.failed(source, 0))?;
        }
        Ok(None)
    }

    /// Gives the results of a window, of which `body` are its own and those after wait for the next.
    fn give<S: Sink>(&mut self, body: usize, mut results: Vec<Frame>, out: &mut Outlet<'_, S>) -> Result<(), S::Error> {
        let before = std::mem::take(&mut self.fade);
        results.drain(body..).for_each(|result| self.fade.push(result));
        results.into_iter().enumerate().try_for_each(|(index, mut result)| {
            before.mix(index, &mut result);
            out.give(result)
        })
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
            let lane = Lane { keep: keep.clone(), results: Results::Added(&mut add) };
            let mut part = Part { out, lanes: vec![lane], share, noticed };
            run_part(&self.model, &self.plan, &mut self.store, &inputs, &mut part)?;
            noticed = part.noticed;
        }
        self.give(body_frames(window), results, out)
    }
}

/// A window whose frames are all there.
struct Ready {
    /// Frames of its shot before its body.
    start: u64,
    /// What it sees, on the engine.
    inputs: Vec<Tensor>,
    /// The frames of these whose results are wanted.
    keep: Range<usize>,
    /// How many of the results are its own; those after fade into the next window's.
    body: usize,
}

fn body_frames(window: &Window) -> usize {
    (window.body.end - window.body.start) as usize
}

/// What becomes of the results of a part of a window.
enum Results<'a> {
    /// The first `body` are the session's, mixed with those of the window before; those after wait for the next window.
    Given { body: usize, before: &'a Fade, next: &'a mut Fade },
    /// They wait until those of all windows are made; the first is that many ahead of the next to be given.
    Kept { first: usize, frames: Vec<Frame> },
    /// They are pieces, by their number among those wanted.
    Added(&'a mut (dyn FnMut(usize, &Frame) + Send)),
}

/// One of the windows that are worked on at once, or a tile of the only one.
struct Lane<'a> {
    /// The frames whose results are wanted.
    keep: Range<usize>,
    results: Results<'a>,
}

impl Lane<'_> {
    /// How far ahead of the next result to be given that of frame `i` is, with `waiting` before it on their way.
    fn ahead(&self, i: usize, waiting: usize) -> usize {
        let index = i - self.keep.start;
        match self.results {
            Results::Given { body, .. } => index.saturating_sub(body) + waiting,
            Results::Kept { first, .. } => first + index,
            Results::Added(_) => index,
        }
    }
}

/// Windows, or a tile of one, on their way out.
struct Part<'a, 'b, S: Sink> {
    out: &'a mut Outlet<'b, S>,
    /// The longest window first.
    lanes: Vec<Lane<'a>>,
    /// Where in the window's work the part begins, and how much of it it is.
    share: (f64, f64),
    /// Whether the user was told that this window is run again.
    noticed: bool,
}

impl<S: Sink> Part<'_, '_, S> {
    /// The frames whose results any window wants.
    fn frames(&self) -> Range<usize> {
        let start = self.lanes.iter().map(|lane| lane.keep.start).min().unwrap_or(0);
        start..self.lanes.iter().map(|lane| lane.keep.end).max().unwrap_or(start)
    }

    /// The failure `source` of frame `i` of the only window.
    fn failed(&self, source: EngineError, i: usize) -> S::Error {
        self.out.failed(source, self.lanes.first().map_or(0, |lane| lane.ahead(i, 0)))
    }

    /// The results of frame `i` on their way from the engine, with `waiting` steps before it on theirs.
    fn downloads(
        &self,
        engine: &dyn Engine,
        stack: &Tensor,
        i: usize,
        waiting: usize,
    ) -> Result<Vec<(usize, Download)>, EngineError> {
        let wanted = self.lanes.iter().enumerate().take(stack.shape().maps).filter(|(_, lane)| lane.keep.contains(&i));
        let begin = |(n, lane): (usize, &Lane<'_>)| {
            let map = engine.maps(stack, n..n + 1)?;
            Ok((n, self.out.download(engine, &map, lane.ahead(i, waiting))))
        };
        wanted.map(begin).collect()
    }

    /// Takes the result of frame `i` of lane `n`.
    fn result(&mut self, n: usize, i: usize, mut frame: Frame) -> Result<(), S::Error> {
        let Some(lane) = self.lanes.get_mut(n) else { return Ok(()) };
        let index = i - lane.keep.start;
        match &mut lane.results {
            Results::Given { body, before, .. } if index < *body => {
                before.mix(index, &mut frame);
                return self.out.give(frame);
            }
            Results::Given { next, .. } => next.push(frame),
            Results::Kept { frames, .. } => frames.push(frame),
            Results::Added(add) => add(index, &frame),
        }
        Ok(())
    }
}

/// Runs the network over a window or a tile of one, in f32 from the first result on that is not finite.
fn run_part<S: Sink>(
    model: &Model,
    plan: &SessionPlan,
    store: &mut ScratchStore,
    inputs: &[Tensor],
    part: &mut Part<'_, '_, S>,
) -> Result<(), S::Error> {
    let Range { start, end } = part.frames();
    let mut next = start;
    let mut ended = attempt(model, &**model.network(), store, inputs, &mut next, part);
    if let Err(Stop::Engine(EngineError::OutOfMemory { .. })) = ended
        && model.engine().own_memory_bytes().is_some()
        && store.crowd_out()
    {
        part.out.sink.notice(
            "the device has less memory free than planned; features wait in the host's memory from now on, which takes longer"
                .into(),
        );
        store.reset(0);
        ended = attempt(model, &**model.network(), store, inputs, &mut next, part);
    }
    if let Err(Stop::Engine(EngineError::NonFinite { .. })) = ended
        && let Some(full) = model.in_full().map_err(|source| part.failed(source, next))?
    {
        if !std::mem::replace(&mut part.noticed, true) {
            let ahead = part.lanes.first().map_or(0, |lane| lane.ahead(next, 0));
            part.out.notice_full(model.precision(), ahead, "its window is run again");
        }
        store.reset(plan.store_bytes_in_full(model.descriptor(), model.layout()));
        ended = attempt(model, &*full, store, inputs, &mut next, part);
    }
    store.reset(plan.window.map_or(0, |window| window.store_limit_bytes()));
    match ended {
        Ok(()) if next == end => Ok(()),
        Ok(()) => Err(SessionError::Count { got: (next - start) as u64, expected: (end - start) as u64 }.into()),
        Err(Stop::Sink(error)) => Err(error),
        Err(Stop::Engine(source)) => Err(part.failed(source, next)),
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
    next: &mut usize,
    part: &mut Part<'_, '_, S>,
) -> Result<(), Stop<S::Error>> {
    let pixels: usize = inputs.iter().map(|input| input.shape().pixels()).sum();
    let due = network.descriptor().stored_values_per_pixel * pixels as u64;
    let range = *next..part.frames().end;
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
    // The last result is given when the next is on its way, or the window ends: a device works on meanwhile.
    let mut pending: Option<Vec<(usize, Download)>> = None;
    let mut deliver = |downloads: Vec<(usize, Download)>| {
        for (lane, download) in downloads {
            let frame = download.wait()?;
            let (part, failure) = &mut *lock();
            part.result(lane, *next, frame).map_err(|error| {
                *failure = Some(error);
                EngineError::Stopped
            })?;
        }
        *next += 1;
        Ok(())
    };
    let mut made = range.start;
    let mut emit = |stack: Tensor| {
        let begun = {
            let (part, _) = &mut *lock();
            part.downloads(&**model.engine(), &stack, made, usize::from(pending.is_some()))?
        };
        made += 1;
        drop(stack);
        if let Some(before) = pending.take() {
            deliver(before)?;
        }
        if begun.iter().all(|(_, download)| download.is_ready()) {
            deliver(begun)?;
        } else {
            pending = Some(begun);
        }
        Ok(())
    };
    let mut ended = network.window(inputs, range, &mut watched, &mut emit);
    if ended.is_ok()
        && let Some(last) = pending.take()
    {
        ended = deliver(last);
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
