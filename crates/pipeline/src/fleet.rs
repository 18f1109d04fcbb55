//! Several cards at work on one stream: each takes whole shots, and results leave in the order of the frames.
//!
//! Every card has a session of its own, on a thread, all with one plan, so that what becomes of a shot does not depend on the card
//! that it went to. A card that is ahead of its turn waits when it has [`Fleet::new`]'s share of results.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use framelift_engine::Engine;
use framelift_frame::Frame;
use framelift_nets::Reach;

use crate::fade::Fade;
use crate::memory::frame_bytes;
use crate::outlet::Sink;
use crate::session::Frozen;
use crate::{Session, SessionError, SessionPlan};

/// The network at work: on one card, or on several.
pub(crate) enum Workers {
    One(Box<Session>),
    Many(Box<Fleet>),
}

impl Workers {
    /// See [`Session::plan`].
    pub(crate) fn plan(&self) -> Option<&SessionPlan> {
        match self {
            Self::One(session) => session.plan(),
            Self::Many(fleet) => fleet.plan.as_ref(),
        }
    }

    /// See [`Session::recall`].
    pub(crate) fn recall(&mut self, frame: Frame) {
        match self {
            Self::One(session) => session.recall(frame),
            Self::Many(fleet) => {
                if let Some(session) = fleet.waiting.first_mut() {
                    session.recall(frame);
                }
            }
        }
    }

    /// See [`Session::push_to`].
    pub(crate) fn push_to<S: Sink>(&mut self, frame: Frame, sink: &mut S) -> Result<(), S::Error> {
        match self {
            Self::One(session) => session.push_to(frame, sink),
            Self::Many(fleet) => fleet.push_to(frame, sink),
        }
    }

    /// Ends the shot; frames still held may go to `sink` later, where there are several cards.
    pub(crate) fn cut_to<S: Sink>(&mut self, sink: &mut S) -> Result<(), S::Error> {
        match self {
            Self::One(session) => session.cut_to(sink),
            Self::Many(fleet) => fleet.cut_to(sink),
        }
    }

    /// Gives all results that can be made of the frames so far.
    pub(crate) fn settle_to<S: Sink>(&mut self, sink: &mut S) -> Result<(), S::Error> {
        match self {
            Self::One(session) => session.settle_to(sink),
            Self::Many(fleet) => fleet.settle_to(sink),
        }
    }

    /// Whether [`Workers::freeze`] can give anything.
    pub(crate) fn can_freeze(&self) -> bool {
        match self {
            Self::One(session) => session.model().descriptor().reach != Reach::Window,
            Self::Many(fleet) => fleet.reach != Reach::Window,
        }
    }

    /// See [`Session::freeze`]; and the engine that holds the state. All must be settled.
    pub(crate) fn freeze(&mut self) -> Option<(Frozen, Arc<dyn Engine>)> {
        match self {
            Self::One(session) => Some((session.freeze()?, Arc::clone(session.model().engine()))),
            Self::Many(fleet) => fleet.freeze(),
        }
    }
}

/// What a card is asked for.
enum Task {
    /// A shot begins with this frame of the stream.
    Shot(u64),
    Frame(Frame),
    Cut,
    Settle,
    Freeze,
}

impl Task {
    fn bytes(&self) -> u64 {
        if let Self::Frame(frame) = self { frame_bytes(frame.size()) } else { 0 }
    }
}

/// What a card tells.
enum Told {
    Frame(Frame),
    Notice(String),
    /// As [`Sink::window`] is told.
    Window(u64, Arc<dyn Engine>, Fade),
    Inside(f64),
    /// All results of a shot are told.
    End,
    Failed(SessionError),
}

impl Told {
    fn bytes(&self) -> u64 {
        if let Self::Frame(frame) = self { frame_bytes(frame.size()) } else { 0 }
    }
}

#[derive(Default)]
struct Card {
    tasks: VecDeque<Task>,
    task_bytes: u64,
    /// Whether it is at a task.
    is_busy: bool,
    told: VecDeque<Told>,
    told_bytes: u64,
    frozen: Option<(Frozen, Arc<dyn Engine>)>,
}

struct State {
    cards: Vec<Card>,
    is_closed: bool,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    /// Bytes of frames that wait for a card, at most, and of its results.
    queue_bytes: u64,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change of the state is complete before anything could panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    /// The next task of a card; `None` when the stream is over.
    fn task(&self, card: usize) -> Option<Task> {
        let mut state = self.lock();
        state.cards[card].is_busy = false;
        self.changed.notify_all();
        loop {
            if state.is_closed {
                return None;
            }
            if let Some(task) = state.cards[card].tasks.pop_front() {
                state.cards[card].task_bytes -= task.bytes();
                state.cards[card].is_busy = true;
                self.changed.notify_all();
                return Some(task);
            }
            state = self.wait(state);
        }
    }

    /// Tells something, when there is room for it.
    fn tell(&self, card: usize, told: Told) -> Result<(), Gone> {
        let mut state = self.lock();
        let bytes = told.bytes();
        loop {
            if state.is_closed {
                return Err(Gone::Closed);
            }
            let held = state.cards[card].told_bytes;
            if held == 0 || held + bytes <= self.queue_bytes {
                break;
            }
            state = self.wait(state);
        }
        state.cards[card].told_bytes += bytes;
        state.cards[card].told.push_back(told);
        self.changed.notify_all();
        Ok(())
    }
}

/// Why a card stops before the end of the stream.
enum Gone {
    Closed,
    Failed(SessionError),
}

impl From<SessionError> for Gone {
    fn from(error: SessionError) -> Self {
        Self::Failed(error)
    }
}

/// The way of a card's results.
struct Teller<'a> {
    shared: &'a Shared,
    card: usize,
}

impl Sink for Teller<'_> {
    type Error = Gone;

    fn frame(&mut self, frame: Frame) -> Result<(), Gone> {
        self.shared.tell(self.card, Told::Frame(frame))
    }

    fn notice(&mut self, notice: String) {
        // Where nobody hears it any more, the next result says so.
        let _ = self.shared.tell(self.card, Told::Notice(notice));
    }

    fn window(&mut self, shot_frames: u64, engine: &Arc<dyn Engine>, fade: &Fade) -> Result<(), Gone> {
        self.shared.tell(self.card, Told::Window(shot_frames, Arc::clone(engine), fade.clone()))
    }

    fn inside_window(&mut self, done: f64) -> Result<(), Gone> {
        self.shared.tell(self.card, Told::Inside(done))
    }
}

/// A card's thread.
fn work(shared: &Shared, card: usize, mut session: Session) {
    let mut sink = Teller { shared, card };
    while let Some(task) = shared.task(card) {
        let done = match task {
            Task::Shot(number) => {
                session.go_on_at(number);
                Ok(())
            }
            Task::Frame(frame) => session.push_to(frame, &mut sink),
            Task::Cut => session.cut_to(&mut sink).and_then(|()| shared.tell(card, Told::End)),
            Task::Settle => session.settle_to(&mut sink),
            Task::Freeze => {
                let engine = Arc::clone(session.model().engine());
                shared.lock().cards[card].frozen = session.freeze().map(|frozen| (frozen, engine));
                Ok(())
            }
        };
        match done {
            Ok(()) => {}
            Err(Gone::Closed) => return,
            Err(Gone::Failed(error)) => {
                let _ = shared.tell(card, Told::Failed(error));
                return;
            }
        }
    }
}

/// Sessions on several cards.
pub(crate) struct Fleet {
    reach: Reach,
    plan: Option<SessionPlan>,
    /// Before the first frame; then they are on their threads.
    waiting: Vec<Session>,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    /// The cards of the shots whose results are not all given, in order.
    open: VecDeque<usize>,
    /// Where the frames of the shot go that is being pushed.
    current: Option<usize>,
    /// Frames of the stream before the next.
    pushed: u64,
}

impl Fleet {
    /// One card for each of `sessions`, of which the first may go on in the middle of a shot, `pushed` frames into the
    /// stream. `queue_bytes` of frames may wait for each card, and as many of its results.
    pub(crate) fn new(sessions: Vec<Session>, queue_bytes: u64, pushed: u64) -> Self {
        let cards = sessions.iter().map(|_| Card::default()).collect();
        let shared = Shared {
            state: Mutex::new(State { cards, is_closed: false }),
            changed: Condvar::new(),
            queue_bytes: queue_bytes / 2,
        };
        Self {
            reach: sessions.first().map_or(Reach::Window, |session| session.model().descriptor().reach),
            plan: sessions.first().and_then(Session::plan).cloned(),
            waiting: sessions,
            shared: Arc::new(shared),
            threads: Vec::new(),
            open: VecDeque::new(),
            current: None,
            pushed,
        }
    }

    /// Sets the threads to work, the first time.
    fn start(&mut self) -> Result<(), SessionError> {
        for (card, session) in self.waiting.drain(..).enumerate() {
            let shared = Arc::clone(&self.shared);
            let thread = thread::Builder::new().name(format!("card {card}")).spawn(move || {
                // A panic would otherwise be waited for.
                let run = std::panic::AssertUnwindSafe(|| work(&shared, card, session));
                if std::panic::catch_unwind(run).is_err() {
                    let _ = shared.tell(card, Told::Failed(SessionError::Thread));
                }
            });
            self.threads.push(thread.map_err(|_| SessionError::Thread)?);
            if card == 0 {
                // Where the stream goes on in the middle of a shot, it is this session's.
                (self.current, self.open) = (Some(0), [0].into());
            }
        }
        Ok(())
    }

    fn push_to<S: Sink>(&mut self, frame: Frame, sink: &mut S) -> Result<(), S::Error> {
        self.start()?;
        let card = match self.current {
            Some(card) => card,
            None => {
                let count = self.threads.len();
                let shots = |card: &usize| self.open.iter().filter(|open| *open == card).count();
                let card = (0..count).min_by_key(shots).unwrap_or(0);
                self.current = Some(card);
                self.open.push_back(card);
                self.ask(card, Task::Shot(self.pushed), sink)?;
                card
            }
        };
        self.pushed += 1;
        self.ask(card, Task::Frame(frame), sink)?;
        // What sees one frame at a time has no use for shots.
        if self.reach == Reach::Frame { self.cut_to(sink) } else { Ok(()) }
    }

    fn cut_to<S: Sink>(&mut self, sink: &mut S) -> Result<(), S::Error> {
        match self.current.take() {
            Some(card) => self.ask(card, Task::Cut, sink),
            None => Ok(()),
        }
    }

    /// Puts a task before a card when there is room; until then, and as long as there are any, results leave.
    fn ask<S: Sink>(&mut self, card: usize, task: Task, sink: &mut S) -> Result<(), S::Error> {
        let bytes = task.bytes();
        let room = |state: &State, most: u64| {
            let held = state.cards[card].task_bytes;
            held == 0 || held + bytes <= most
        };
        self.deliver(sink, |state, most| room(state, most))?;
        let mut state = self.shared.lock();
        state.cards[card].task_bytes += bytes;
        state.cards[card].tasks.push_back(task);
        drop(state);
        self.shared.changed.notify_all();
        Ok(())
    }

    fn settle_to<S: Sink>(&mut self, sink: &mut S) -> Result<(), S::Error> {
        if let Some(card) = self.current.filter(|_| !self.threads.is_empty()) {
            self.ask(card, Task::Settle, sink)?;
        }
        self.deliver(sink, |state, _| {
            state.cards.iter().all(|card| card.tasks.is_empty() && !card.is_busy && card.told.is_empty())
        })
    }

    fn freeze(&mut self) -> Option<(Frozen, Arc<dyn Engine>)> {
        // Between frames that are shots of their own any card's state will do: there is none.
        let card = self.current.unwrap_or(0);
        if self.reach == Reach::Window || self.threads.is_empty() {
            return None;
        }
        let mut state = self.shared.lock();
        state.cards[card].tasks.push_back(Task::Freeze);
        self.shared.changed.notify_all();
        // It can tell nothing but a failure now.
        while (!state.cards[card].tasks.is_empty() || state.cards[card].is_busy) && state.cards[card].told.is_empty() {
            state = self.shared.wait(state);
        }
        state.cards[card].frozen.take()
    }

    /// Gives the results whose turn it is, and waits for more of them until `enough`.
    fn deliver<S: Sink>(&mut self, sink: &mut S, enough: impl Fn(&State, u64) -> bool) -> Result<(), S::Error> {
        let mut state = self.shared.lock();
        loop {
            let told = self.open.front().and_then(|&first| {
                let card = &mut state.cards[first];
                let told = card.told.pop_front()?;
                card.told_bytes -= told.bytes();
                Some(told)
            });
            let Some(told) = told else {
                if enough(&state, self.shared.queue_bytes) {
                    return Ok(());
                }
                state = self.shared.wait(state);
                continue;
            };
            drop(state);
            self.shared.changed.notify_all();
            match told {
                Told::Frame(frame) => sink.frame(frame)?,
                Told::Notice(notice) => sink.notice(notice),
                Told::Window(shot_frames, engine, fade) => sink.window(shot_frames, &engine, &fade)?,
                Told::Inside(done) => sink.inside_window(done)?,
                Told::End => drop(self.open.pop_front()),
                Told::Failed(error) => return Err(error.into()),
            }
            state = self.shared.lock();
        }
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.shared.lock().is_closed = true;
        self.shared.changed.notify_all();
        for thread in self.threads.drain(..) {
            // What failed in it was told.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use framelift_engine::Precision;
    use framelift_frame::Size;

    use super::*;
    use crate::fake::{Fake, film, first_sample};
    use crate::outlet::Collect;
    use crate::{Model, SessionOptions, WindowOptions};

    const SIZE: Size = Size::new(6, 5);

    /// Shots of these lengths.
    const SHOTS: [usize; 7] = [5, 1, 12, 3, 3, 1, 9];

    fn workers(model: &Model, cards: usize, queue_bytes: u64) -> Workers {
        let windows = WindowOptions { body: Some(4), context: Some(2), ..WindowOptions::default() };
        let options = SessionOptions { windows, memory_bytes: Some(1 << 30), ..SessionOptions::default() };
        let plan = options.plan(model, SIZE, None).unwrap();
        let mut sessions: Vec<Session> =
            (0..cards).map(|_| Session::with_plan(model.clone(), options.clone(), plan.clone())).collect();
        match cards {
            1 => Workers::One(Box::new(sessions.remove(0))),
            _ => Workers::Many(Box::new(Fleet::new(sessions, queue_bytes, 0))),
        }
    }

    /// Everything that comes of a film, settled before each frame where `settled`.
    fn run(mut workers: Workers, settled: bool) -> Result<Vec<Frame>, SessionError> {
        let (mut results, film) = (Collect::default(), film(SIZE, SHOTS.iter().sum()));
        let mut frames = film.into_iter();
        for length in SHOTS {
            workers.cut_to(&mut results)?;
            for frame in frames.by_ref().take(length) {
                if settled {
                    workers.settle_to(&mut results)?;
                }
                workers.push_to(frame, &mut results)?;
            }
        }
        workers.cut_to(&mut results)?;
        workers.settle_to(&mut results)?;
        Ok(results.0)
    }

    #[test]
    fn several_cards_give_what_one_gives() {
        for reach in [Reach::Frame, Reach::Causal { lookahead: 1 }, Reach::Window] {
            let fake = Fake { overflows: Some(first_sample(8)), ..Fake::new(reach, 2) };
            let model = fake.model(Precision::Bf16);
            let due = run(workers(&model, 1, 0), false).unwrap();
            assert_eq!(due.len(), SHOTS.iter().sum::<usize>());
            for (cards, queue_bytes) in [(2, 0), (2, 1 << 20), (3, 5000), (5, 1 << 30)] {
                assert_eq!(run(workers(&model, cards, queue_bytes), false).unwrap(), due, "{reach:?} on {cards}");
            }
            assert_eq!(run(workers(&model, 2, 1 << 20), true).unwrap(), due, "{reach:?}, settled");
        }
    }

    #[test]
    fn a_failure_comes_in_its_turn_and_names_its_frame() {
        let failing = 19;
        let fake = Fake { fails: Some(first_sample(failing)), ..Fake::new(Reach::Causal { lookahead: 1 }, 2) };
        let model = fake.model(Precision::F32);
        let error = run(workers(&model, 3, 1 << 20), false).unwrap_err();
        assert!(matches!(error, SessionError::NonFinite { index, .. } if index == failing as u64), "{error}");
    }

    #[test]
    fn a_state_is_that_of_a_single_session() {
        for reach in [Reach::Frame, Reach::Causal { lookahead: 1 }] {
            let model = Fake::new(reach, 1).model(Precision::F32);
            let frozen = |cards| {
                let (mut workers, mut results) = (workers(&model, cards, 1 << 20), Collect::default());
                assert!(workers.can_freeze());
                for frame in film(SIZE, 4) {
                    workers.push_to(frame, &mut results).unwrap();
                }
                workers.settle_to(&mut results).unwrap();
                workers.freeze().map(|(frozen, _)| frozen.pushed - frozen.given)
            };
            assert_eq!(frozen(2), frozen(1), "{reach:?}");
        }
    }
}
