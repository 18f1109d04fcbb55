//! A model at work on one stream: frames in, frames out, in the same order and number.

use std::path::PathBuf;

use framelift_engine::{EngineError, Tensor};
use framelift_frame::{Frame, Size, Timestamp};
use framelift_nets::Reach;

use crate::memory::default_limit_bytes;
use crate::outlet::{Clock, Collect, Outlet, Sink};
use crate::pieces::pad;
use crate::plan::{Room, SessionPlan, Stream, WindowOptions, WindowPlan};
use crate::stream::{StreamWork, TiledWork};
use crate::windows::WindowWork;
use crate::{Model, mib};

/// Why a session cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The engine failed on a frame.
    #[error("frame {index} at {time}: {source}")]
    Frame {
        /// Frames of the stream before it.
        index: u64,
        /// When it is shown.
        time: Timestamp,
        /// What the engine said.
        source: EngineError,
    },
    /// The engine failed after the last frame.
    #[error("at the end of the shot: {0}")]
    End(EngineError),
    /// A result is NaN or infinite even in f32.
    #[error(
        "frame {index} at {time}: {count} values of the result are NaN or infinite, even in f32; use another checkpoint, or leave the frame out with --start and --end"
    )]
    NonFinite {
        /// Frames of the stream before it.
        index: u64,
        /// When it is shown.
        time: Timestamp,
        /// How many values.
        count: usize,
    },
    /// No plan fits in the memory allowed.
    #[error(
        "frames of {size} take at least {}, over the {} allowed; allow more memory or use smaller frames",
        mib(*needed_bytes), mib(*limit_bytes)
    )]
    Memory {
        /// Width and height of the frames.
        size: Size,
        /// The least that would do.
        needed_bytes: u64,
        /// The ceiling.
        limit_bytes: u64,
    },
    /// No plan fits in the memory of the device.
    #[error(
        "frames of {size} take at least {} of the device's memory, over the {} that are free; use --device cpu or smaller frames",
        mib(*needed_bytes), mib(*limit_bytes)
    )]
    DeviceMemory {
        /// Width and height of the frames.
        size: Size,
        /// The least that would do.
        needed_bytes: u64,
        /// What there is.
        limit_bytes: u64,
    },
    /// Features of one window do not fit on the disk either.
    #[error(
        "the features of a window of {frames} frames take {} of scratch file, over half of the {} free on its disk; make room, set a shorter --window, or raise --memory",
        mib(*needed_bytes), mib(*free_bytes)
    )]
    Disk {
        /// Frames that the window sees.
        frames: u64,
        /// What they take.
        needed_bytes: u64,
        /// What is free.
        free_bytes: u64,
    },
    /// One window over a whole shot was asked for, and the shot is too long.
    #[error(
        "the shot that reaches {time} is longer than the {most_frames} frames that fit in one window; set --window, or raise --memory"
    )]
    ShotTooLong {
        /// The first frame that does not fit.
        time: Timestamp,
        /// Frames that fit.
        most_frames: u64,
    },
    /// A frame has another size than those before it.
    #[error("frame {index} is {got} where the stream began with {expected}; every frame of a session has one size")]
    SizeChanged {
        /// Frames of the stream before it.
        index: u64,
        /// Its size.
        got: Size,
        /// The size of the first.
        expected: Size,
    },
    /// A frame without pixels, or one that becomes too large.
    #[error("frames of {size} cannot be made {scale} times as large; use frames of 1 to 65535 pixels a side")]
    Size {
        /// Width and height of the frame.
        size: Size,
        /// The network's scale.
        scale: u32,
    },
    /// A card's thread could not be started, or is gone.
    #[error("a thread that a device is driven from could not be started, or has ended; run again with fewer devices")]
    Thread,
    /// The network gave back another number of frames than it took.
    #[error("the network gave {got} frames for {expected}; please report this")]
    Count {
        /// Frames given.
        got: u64,
        /// Frames taken.
        expected: u64,
    },
}

/// What a session may do and take.
#[derive(Clone, Debug)]
pub struct SessionOptions {
    /// The windows of networks that see windows.
    pub windows: WindowOptions,
    /// Ceiling on the memory of network, weights and waiting frames; `None` for a share of what is free.
    pub memory_bytes: Option<u64>,
    /// Where a scratch file is made.
    pub scratch_folder: PathBuf,
    /// Whether several small windows or frames may be worked on at once where the device gains by it. Results may then be held
    /// beyond the end of a shot: [`Session::settle_to`] gives them.
    pub may_hold_back: bool,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self {
            windows: WindowOptions::default(),
            memory_bytes: None,
            scratch_folder: std::env::temp_dir(),
            may_hold_back: false,
        }
    }
}

impl SessionOptions {
    /// The memory allowed, or a share of what is free.
    fn limit_bytes(&self) -> u64 {
        self.memory_bytes.unwrap_or_else(default_limit_bytes)
    }

    /// How `model` goes about frames of `size`, with shots of at most `frames` where that is known.
    ///
    /// # Errors
    /// [`SessionError::Memory`], [`SessionError::Disk`] where it cannot.
    pub fn plan(&self, model: &Model, size: Size, frames: Option<u64>) -> Result<SessionPlan, SessionError> {
        let memory_bytes = self.limit_bytes();
        let mut room = Room::new(memory_bytes, &self.scratch_folder);
        room.scratch_bytes /= model.devices() as u64;
        let stream = Stream {
            descriptor: model.descriptor(),
            layout: model.layout(),
            beside_host: model.own_memory_bytes().is_some(),
            weights_bytes: model.weights_bytes(),
            size,
            frames,
            lanes: 1,
        };
        let with_lanes = |plan: SessionPlan, room| match self.may_hold_back {
            true => plan.with_lanes(&stream, &self.windows, room, memory_bytes),
            false => plan,
        };
        let disk = |window: &WindowPlan| SessionError::Disk {
            frames: window.body + 2 * window.context,
            needed_bytes: window.scratch_bytes,
            free_bytes: room.scratch_bytes.saturating_mul(2),
        };
        let Some(device_bytes) = model.own_memory_bytes() else {
            let plan = SessionPlan::choose(&stream, &self.windows, room).map_err(|least| match &least.window {
                Some(window) if least.memory_bytes <= memory_bytes => disk(window),
                _ => SessionError::Memory { size, needed_bytes: least.memory_bytes, limit_bytes: memory_bytes },
            });
            return Ok(with_lanes(plan?, room));
        };
        // Features that do not fit on the device wait in the host's memory first, then on the disk.
        let scratch_bytes = room.scratch_bytes.saturating_add(memory_bytes);
        let device_room = Room { memory_bytes: device_bytes, scratch_bytes };
        let plan = SessionPlan::choose(&stream, &self.windows, device_room);
        let plan = plan.map_err(|least| SessionError::DeviceMemory {
            size,
            needed_bytes: least.memory_bytes,
            limit_bytes: device_bytes,
        })?;
        let plan = with_lanes(plan, device_room).beside_device(memory_bytes);
        match &plan.window {
            _ if plan.memory_bytes > memory_bytes => {
                Err(SessionError::Memory { size, needed_bytes: plan.memory_bytes, limit_bytes: memory_bytes })
            }
            Some(window) if window.scratch_bytes > room.scratch_bytes => Err(disk(window)),
            _ => Ok(plan),
        }
    }
}

/// A session between two results of a shot.
#[derive(Default)]
pub(crate) struct Frozen {
    /// Frames of the shot that were pushed.
    pub(crate) pushed: u64,
    /// Results of the shot that were given.
    pub(crate) given: u64,
    /// Whether the shot goes on in f32 because the working precision overflowed.
    pub(crate) in_full: bool,
    /// The state of the network, where it carries one; of windows, what fades into the next.
    pub(crate) state: Vec<Option<Tensor>>,
}

/// How the network is fed.
enum Work {
    Stream(Box<StreamWork>),
    Tiles(TiledWork),
    Windows(Box<WindowWork>),
}

/// A network on an engine, running through the shots of one stream.
pub struct Session {
    model: Model,
    options: SessionOptions,
    plan: Option<SessionPlan>,
    /// From the first frame on: its size, that of results, and the work.
    running: Option<(Size, Size, Work)>,
    clock: Clock,
}

impl Session {
    /// A session at the start of a stream. It makes its plan when it sees the first frame.
    #[must_use]
    pub fn new(model: Model, options: SessionOptions) -> Self {
        Self { model, options, plan: None, running: None, clock: Clock::default() }
    }

    /// A session that keeps to a plan made before, for frames of the plan's size.
    #[must_use]
    pub fn with_plan(model: Model, options: SessionOptions, plan: SessionPlan) -> Self {
        Self { plan: Some(plan), ..Self::new(model, options) }
    }

    /// A session that goes on in the middle of a stream of frames of `size`, `frames` of which were pushed to the session
    /// that was frozen. [`Session::recall`] must then see the frames before.
    ///
    /// # Errors
    /// [`SessionError::End`] where the state is not one of the model's.
    pub(crate) fn thawed(
        model: Model,
        options: SessionOptions,
        plan: SessionPlan,
        size: Size,
        frames: u64,
        frozen: Frozen,
    ) -> Result<Self, SessionError> {
        let mut session = Self::with_plan(model, options, plan);
        session.begin(size)?;
        session.clock.pushed = frames;
        session.clock.given = frames;
        if let Some((.., work)) = &mut session.running {
            match work {
                Work::Stream(work) => work.thaw(frozen).map_err(SessionError::End)?,
                Work::Tiles(_) => {}
                Work::Windows(work) => work.thaw(frozen.given, &frozen.state).map_err(SessionError::End)?,
            }
        }
        Ok(session)
    }

    /// Sees a frame before those that a thawed session goes on with; of all those, in order, up to the one before it.
    pub(crate) fn recall(&mut self, frame: Frame) {
        let (Some(plan), Some((.., work))) = (&self.plan, &mut self.running) else { return };
        let frame = if frame.size() == plan.padded { frame } else { pad(&frame, plan.padded) };
        match work {
            Work::Stream(work) => work.recall(frame),
            Work::Tiles(_) => {}
            Work::Windows(work) => work.recall(frame),
        }
    }

    /// What a session of the same model needs to go on from the next result, beside the frames before it; `None` where it
    /// cannot go on between these two results.
    pub(crate) fn freeze(&self) -> Option<Frozen> {
        match &self.running.as_ref()?.2 {
            Work::Stream(work) => work.freeze(),
            Work::Tiles(_) => Some(Frozen::default()),
            // Where one window's results end and the next one's begin, the sink is told.
            Work::Windows(_) => None,
        }
    }

    /// The windows of a network that sees windows; no effect after the first frame.
    #[must_use]
    pub fn windows(mut self, windows: WindowOptions) -> Self {
        self.options.windows = windows;
        self
    }

    /// The model at work.
    #[must_use]
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// How it goes about its frames; `None` before the first.
    #[must_use]
    pub fn plan(&self) -> Option<&SessionPlan> {
        self.plan.as_ref()
    }

    /// Takes the next frame; gives the frames that are ready, with the times of those they were made from.
    ///
    /// # Errors
    /// [`SessionError`]; the session cannot be used afterwards.
    pub fn push(&mut self, frame: Frame) -> Result<Vec<Frame>, SessionError> {
        let mut ready = Collect::default();
        self.push_to(frame, &mut ready)?;
        Ok(ready.0)
    }

    /// Ends the shot: the next frame starts with a fresh state. Gives the frames still held.
    ///
    /// # Errors
    /// [`SessionError`]; the session cannot be used afterwards.
    pub fn cut(&mut self) -> Result<Vec<Frame>, SessionError> {
        let mut ready = Collect::default();
        self.cut_to(&mut ready)?;
        Ok(ready.0)
    }

    /// Takes the next frame; the frames that are ready go to `sink`, one at a time.
    ///
    /// # Errors
    /// Those of the sink, and [`SessionError`]; the session cannot be used afterwards.
    pub fn push_to<S: Sink>(&mut self, mut frame: Frame, sink: &mut S) -> Result<(), S::Error> {
        self.begin(frame.size())?;
        let (Some(plan), Some((_, size, work))) = (&self.plan, &mut self.running) else { return Ok(()) };
        self.clock.push(&mut frame);
        let frame = if frame.size() == plan.padded { frame } else { pad(&frame, plan.padded) };
        let mut out = Outlet { clock: &mut self.clock, sink, size: *size };
        match work {
            Work::Stream(work) => work.push(frame, &mut out),
            Work::Tiles(work) => work.push(&frame, &mut out),
            Work::Windows(work) => work.push(frame, &mut out),
        }
    }

    /// Ends the shot; the frames still held go to `sink`, one at a time.
    ///
    /// # Errors
    /// Those of the sink, and [`SessionError`]; the session cannot be used afterwards.
    pub fn cut_to<S: Sink>(&mut self, sink: &mut S) -> Result<(), S::Error> {
        let Some((_, size, work)) = &mut self.running else { return Ok(()) };
        let mut out = Outlet { clock: &mut self.clock, sink, size: *size };
        match work {
            Work::Stream(work) => work.finish(&mut out)?,
            Work::Tiles(_) => {}
            Work::Windows(work) => work.finish(&mut out)?,
        }
        let held = match work {
            Work::Windows(work) => work.held(),
            Work::Stream(_) | Work::Tiles(_) => 0,
        };
        let (got, expected) = (self.clock.given + held, self.clock.pushed);
        if got == expected { Ok(()) } else { Err(SessionError::Count { got, expected }.into()) }
    }

    /// Between two shots: the next frame is number `frames` of the stream, whose others another session has seen.
    pub(crate) fn go_on_at(&mut self, frames: u64) {
        (self.clock.pushed, self.clock.given) = (frames, frames);
    }

    /// Gives the results that are on their way from a device or held back until more can be made with them, so that the session
    /// can be frozen or is done.
    ///
    /// # Errors
    /// Those of the sink, and [`SessionError`]; the session cannot be used afterwards.
    pub fn settle_to<S: Sink>(&mut self, sink: &mut S) -> Result<(), S::Error> {
        let Some((_, size, work)) = &mut self.running else { return Ok(()) };
        let mut out = Outlet { clock: &mut self.clock, sink, size: *size };
        match work {
            Work::Stream(work) => work.settle(&mut out),
            Work::Windows(work) => work.settle(&mut out),
            // Nothing of theirs is on its way between two frames.
            Work::Tiles(_) => Ok(()),
        }
    }

    /// Sees to it that there is a plan for frames of `size`, and a network at work.
    fn begin(&mut self, size: Size) -> Result<(), SessionError> {
        if let Some((expected, ..)) = self.running {
            let index = self.clock.pushed;
            return if expected == size {
                Ok(())
            } else {
                Err(SessionError::SizeChanged { index, got: size, expected })
            };
        }
        let descriptor = self.model.descriptor();
        let scale = descriptor.scale;
        let result = size.scaled(scale).filter(|result| !result.is_empty());
        let result = result.ok_or(SessionError::Size { size, scale })?;
        let plan = match self.plan.take() {
            Some(plan) => plan,
            None => self.options.plan(&self.model, size, None)?,
        };
        let model = self.model.clone();
        let (planned_bytes, limit_bytes) = match (plan.device_bytes, model.own_memory_bytes()) {
            (Some(planned_bytes), Some(limit_bytes)) => (planned_bytes, limit_bytes),
            _ => [plan.memory_bytes, self.options.limit_bytes()].map(|all| all.saturating_sub(plan.host_bytes)).into(),
        };
        model.engine().set_memory_plan(planned_bytes, limit_bytes);
        let work = match (descriptor.reach, plan.window) {
            (Reach::Window, Some(window)) => {
                let (offload, folder) = (self.options.windows.offload, self.options.scratch_folder.clone());
                Work::Windows(Box::new(WindowWork::new(model, plan.clone(), window, offload, folder)))
            }
            _ if plan.grid.count() > 1 => Work::Tiles(TiledWork::new(model, plan.grid.clone())),
            _ => Work::Stream(Box::new(StreamWork::new(model, plan.lanes as usize))),
        };
        self.plan = Some(plan);
        self.running = Some((size, result, work));
        Ok(())
    }
}
