//! The run: edges and threads in flow order, then the wait for the root cause or the finished file.

use std::any::Any;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use framelift_frame::{Size, TimeBase, Timestamp};
use framelift_media::{Encoder, MediaInfo, Muxer, OutputVideo, StreamInfo, ToRgb, ToYuv, VideoInfo, WriteOptions};
use framelift_nets::Reach;
use framelift_shots::CutDetector;

use crate::memory::{
    FRAMES_BEFORE, FRAMES_BEHIND, PACKET_BYTES, default_limit_bytes, frame_bytes, outside_network_bytes,
    peak_resident_bytes, thriftier,
};
use crate::queue::queue;
use crate::stages::{self, Halt, Shared};
use crate::{
    CancelToken, Event, Job, PartSpec, PipelineError, Plan, Session, SessionError, SessionOptions, SessionPlan,
    Summary, Upscale, WindowOptions,
};

/// Does the job: reads, upscales, writes. The output appears under its name only when it is whole.
///
/// `on_event` is called from several threads, in order for each kind of event.
///
/// # Errors
/// The root cause of the failure; nothing is left under the output's name.
pub fn run(job: Job, cancel: &CancelToken, on_event: &(dyn Fn(Event) + Sync)) -> Result<Summary, PipelineError> {
    let started = Instant::now();
    let Job { mut input, output, mut write, upscale, target, part, shots, windows, scratch_folder, memory_limit_bytes } =
        job;
    input.set_interrupt(cancel.flag());
    let info = input.info().clone();
    let Some((stream, video)) = info.video_stream() else { return Err(PipelineError::NoVideo) };
    let video_stream = stream.index;
    let size = target.resolve(video.size)?;
    let network_size = scaled(video.size, upscale.scale())?;
    let (start, end) = moments(&part, &info, stream.time_base)?;
    let total = frames_total(&part, &info, stream, video);
    (write.trim_start, write.trim_end, write.resize) = (start, end, upscale.filter());
    let decoder = input.decoder()?;
    let mut to_rgb = ToRgb::new(video)?;
    let mut wanted = OutputVideo::plan(&info, size, &output, &write)?;
    let limit_bytes = memory_limit_bytes.unwrap_or_else(default_limit_bytes);
    // Networks of one frame carry nothing that a cut must end.
    let shots = shots && matches!(&upscale, Upscale::Network(model) if model.descriptor().reach != Reach::Frame);
    let planning = Planning { upscale: &upscale, wanted: &wanted, shots, windows, scratch_folder, limit_bytes };
    let (mut planned, mut shorter) = (planning.plan(video.size, network_size, total, &write), None);
    if !planned.as_ref().is_ok_and(|planned| planned.tiles().is_none()) {
        // Whole frames, or fewer tiles, matter more than how far the encoder looks ahead.
        for (look_ahead, thrifty) in thriftier(&wanted.encoder, &write) {
            let less = planning.plan(video.size, network_size, total, &thrifty);
            let better = match (&planned, &less) {
                (Err(_), Ok(_)) => true,
                (Ok(planned), Ok(less)) => less.work_pixels() < planned.work_pixels(),
                (_, Err(_)) => false,
            };
            if better {
                (planned, shorter) = (less, Some((look_ahead, thrifty)));
            } else if planned.is_err() {
                // The least that would do, for the message.
                planned = less;
            }
        }
    }
    let planned = planned?;
    let shorter = shorter.map(|(look_ahead, thrifty)| {
        write = thrifty;
        format!("to keep to the memory allowed, the encoder looks {look_ahead} pictures ahead, which makes the file a little larger")
    });
    let to_yuv = ToYuv::new(network_size, &wanted)?;
    let encoder = Encoder::new(&wanted, &output, &write)?;
    let mut muxer = Muxer::create(&output, &encoder, &input.template()?, &write)?;
    let detector = shots.then(|| CutDetector::new(video.size));
    on_event(Event::Started(Plan {
        input: video.size,
        output: size,
        frames: total,
        encoder: wanted.encoder.clone(),
        memory_bytes: planned.memory_bytes,
        memory_limit_bytes: limit_bytes,
        device_bytes: planned.session.as_ref().and_then(|(_, plan)| plan.device_bytes),
        shots,
        window: planned.session.as_ref().and_then(|(_, plan)| plan.window),
        tiles: planned.tiles(),
    }));
    if let Some((columns, rows, tile)) = planned.tiles() {
        on_event(Event::Notice(format!(
            "a whole frame does not fit in the memory allowed; each is worked on in {columns} x {rows} tiles of {tile}, \
             which takes longer"
        )));
    }
    let session = match (upscale, planned.session) {
        (Upscale::Network(model), Some((options, plan))) => Some(Session::with_plan(model, options, plan)),
        _ => None,
    };
    for notice in [
        to_rgb.take_notices(),
        shorter.into_iter().collect(),
        std::mem::take(&mut wanted.notices),
        muxer.take_notices(),
    ]
    .concat()
    {
        on_event(Event::Notice(notice));
    }

    let shared = Shared {
        start,
        end: end.map_or_else(OnceLock::new, OnceLock::from),
        frames: part.frames,
        decoded: AtomicU64::new(0),
        written: AtomicU64::new(0),
        first_frame: OnceLock::new(),
        network: OnceLock::new(),
        shots: AtomicU64::new(0),
        started,
        cancel,
        on_event,
    };
    if let Some(start) = start {
        input.seek(start)?;
    }
    let room = |frames: u64, size| usize::try_from(frames * frame_bytes(size)).unwrap_or(usize::MAX);
    let before = room(FRAMES_BEFORE, video.size);
    let behind = room(FRAMES_BEHIND, network_size);
    let finished = room(FRAMES_BEHIND, size);

    let (shared, cause) = (&shared, &Cause::default());
    let muxer = thread::scope(|scope| {
        let (packets, packets_in) = queue(PACKET_BYTES);
        let (pictures, pictures_in) = queue(before);
        let (frames, frames_in) = queue(before);
        let (marked, marked_in) = queue(before);
        let (results, results_in) = queue(behind);
        let (outputs, outputs_in) = queue(finished);
        let (muxed, muxed_in) = queue(PACKET_BYTES);
        let copied = muxed.clone();

        spawn(scope, cause, "demux", move || stages::demux(shared, input, video_stream, packets, copied))?;
        spawn(scope, cause, "decode", move || stages::decode(shared, decoder, packets_in, pictures))?;
        spawn(scope, cause, "to_rgb", move || stages::to_rgb(shared, to_rgb, pictures_in, frames))?;
        spawn(scope, cause, "split_shots", move || stages::split_shots(shared, detector, frames_in, marked))?;
        spawn(scope, cause, "upscale", move || stages::upscale(shared, session, total, marked_in, results))?;
        spawn(scope, cause, "to_yuv", move || stages::to_yuv(shared, to_yuv, results_in, outputs))?;
        spawn(scope, cause, "encode", move || stages::encode(shared, encoder, outputs_in, muxed))?;
        let mux = spawn(scope, cause, "mux", move || stages::mux(shared, muxer, muxed_in))?;
        Ok(mux.join().ok().flatten())
    });
    let muxer = match (cause.take(), muxer) {
        (Some(cause), _) | (None, Err(cause)) => return Err(cause),
        (None, Ok(muxer)) => muxer,
    };

    let (decoded, written) = (shared.decoded.load(Ordering::Relaxed), shared.written.load(Ordering::Relaxed));
    let Some(muxer) = muxer.filter(|_| decoded == written) else {
        return Err(PipelineError::Lost { decoded, written });
    };
    if decoded == 0 {
        return Err(if part == PartSpec::default() { PipelineError::NoFrames } else { PipelineError::EmptyRange });
    }
    muxer.finish()?;
    Ok(Summary {
        frames: written,
        size,
        elapsed: started.elapsed(),
        first_frame: shared.first_frame.get().copied().unwrap_or_default(),
        network: shared.network.get().copied().unwrap_or_default(),
        shots: shots.then(|| shared.shots.load(Ordering::Relaxed)),
        peak_resident_bytes: peak_resident_bytes(),
    })
}

/// Tenths of the memory allowed that a plan may come to: allocators keep some of what was given back.
const PLANNED_TENTHS: u64 = 9;

/// What a plan of the memory depends on.
struct Planning<'a> {
    upscale: &'a Upscale,
    wanted: &'a OutputVideo,
    shots: bool,
    windows: WindowOptions,
    scratch_folder: PathBuf,
    limit_bytes: u64,
}

impl Planning<'_> {
    /// The plan with an encoder that is told `write`.
    fn plan(
        &self,
        input: Size,
        network: Size,
        frames: Option<u64>,
        write: &WriteOptions,
    ) -> Result<Planned, PipelineError> {
        let outside = outside_network_bytes(input, network, frames, self.wanted, write);
        let refused = |needed_bytes: u64, how| PipelineError::Memory {
            needed_bytes: (needed_bytes / PLANNED_TENTHS + 1) * 10,
            limit_bytes: self.limit_bytes,
            input,
            output: self.wanted.size,
            how,
            fits: self.smaller_that_fits(input, frames, write),
        };
        let Upscale::Network(model) = self.upscale else {
            let planned = Planned { memory_bytes: outside, session: None };
            return if outside <= self.planned_bytes() { Ok(planned) } else { Err(refused(outside, String::new())) };
        };
        let options = self.session_options(outside);
        // One window over each shot: how long the shots are is not known before they are there.
        let mut planned = options.plan(model, input, frames);
        if planned.is_err() && self.shots && self.windows.body == Some(0) {
            planned = options.plan(model, input, None);
        }
        match planned {
            Ok(plan) => Ok(Planned { memory_bytes: outside + plan.memory_bytes, session: Some((options, plan)) }),
            Err(SessionError::Memory { needed_bytes, .. }) => {
                let how = format!(" ({} of it outside the network)", crate::mib(outside));
                Err(refused(outside + needed_bytes, how))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// What plans may come to, so that the run itself stays within the limit.
    fn planned_bytes(&self) -> u64 {
        self.limit_bytes / 10 * PLANNED_TENTHS
    }

    fn session_options(&self, outside: u64) -> SessionOptions {
        SessionOptions {
            windows: self.windows,
            memory_bytes: Some(self.planned_bytes().saturating_sub(outside)),
            scratch_folder: self.scratch_folder.clone(),
        }
    }

    /// A smaller size of the film, of the same shape, that would fit.
    fn smaller_that_fits(&self, input: Size, frames: Option<u64>, write: &WriteOptions) -> Option<Size> {
        let Upscale::Network(model) = self.upscale else { return None };
        let shares = [(3, 4), (2, 3), (1, 2), (1, 3), (1, 4)];
        shares.into_iter().find_map(|(part, of)| {
            let shrunk = |px: u32| (px * part / of / 2 * 2).max(2);
            let size = |size: Size| Size::new(shrunk(size.width), shrunk(size.height));
            let smaller = size(input);
            let mut wanted = self.wanted.clone();
            wanted.size = size(wanted.size);
            let network = smaller.scaled(model.descriptor().scale)?;
            let outside = outside_network_bytes(smaller, network, frames, &wanted, write);
            self.session_options(outside).plan(model, smaller, frames).ok().map(|_| smaller)
        })
    }
}

/// How a run will keep to its memory.
struct Planned {
    /// The most that the run will take.
    memory_bytes: u64,
    /// How the session goes about its frames, where there is one.
    session: Option<(SessionOptions, SessionPlan)>,
}

impl Planned {
    /// Input pixels that the network works on for a frame, margins of tiles included.
    fn work_pixels(&self) -> u64 {
        let plan = self.session.as_ref().map(|(_, plan)| plan);
        plan.map_or(0, |plan| (plan.tiles.0 * plan.tiles.1) as u64 * plan.tile.pixels())
    }

    /// Columns, rows and size of the tiles, where there is more than one.
    fn tiles(&self) -> Option<(usize, usize, Size)> {
        let (_, plan) = self.session.as_ref()?;
        let (columns, rows) = plan.tiles;
        (columns * rows > 1).then_some((columns, rows, plan.tile))
    }
}

/// The first cause of a failure; what follows from it is not recorded.
#[derive(Default)]
struct Cause(Mutex<Option<PipelineError>>);

impl Cause {
    fn record(&self, error: PipelineError) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }

    fn take(&self) -> Option<PipelineError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Starts a stage on a thread of its name. A panic in it is a cause like any other.
fn spawn<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    cause: &'scope Cause,
    stage: &'static str,
    work: impl FnOnce() -> Result<T, Halt> + Send + 'scope,
) -> Result<ScopedJoinHandle<'scope, Option<T>>, PipelineError> {
    let guarded = move || {
        let span = tracing::info_span!("stage", name = stage);
        let _entered = span.enter();
        match std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)) {
            Ok(Ok(value)) => Some(value),
            Ok(Err(Halt::Closed)) => None,
            Ok(Err(Halt::Failed(error))) => {
                cause.record(error);
                None
            }
            Err(panic) => {
                cause.record(PipelineError::Panic { stage, message: panic_message(&*panic) });
                None
            }
        }
    };
    thread::Builder::new()
        .name(stage.to_owned())
        .spawn_scoped(scope, guarded)
        .map_err(|source| PipelineError::Thread { stage, source })
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}

fn scaled(size: Size, factor: u32) -> Result<Size, PipelineError> {
    crate::Target::Scale(f64::from(factor)).resolve(size)
}

/// Start and end in the film's own time: what the user counts from zero, moved by the film's first moment.
fn moments(
    part: &PartSpec,
    info: &MediaInfo,
    base: TimeBase,
) -> Result<(Option<Timestamp>, Option<Timestamp>), PipelineError> {
    if part.frames == Some(0) || part.end.is_some_and(|end| end <= part.start.unwrap_or_default()) {
        return Err(PipelineError::EmptyRange);
    }
    let moment = |at: Duration| {
        let seconds = info.start_s.unwrap_or(0.0) + at.as_secs_f64();
        // Half a tick early, so that a frame whose time prints as the moment asked for counts as at it.
        Timestamp::new((seconds / base.seconds() - 0.5).ceil() as i64, base)
    };
    Ok((part.start.filter(|at| !at.is_zero()).map(moment), part.end.map(moment)))
}

/// Frames that the part holds, as far as the film says how many it has.
fn frames_total(part: &PartSpec, info: &MediaInfo, stream: &StreamInfo, video: &VideoInfo) -> Option<u64> {
    let all = stream.frames.or(video.frames_estimate);
    let share = match (part.start, part.end, info.duration_s) {
        (None, None, _) => 1.0,
        (start, end, Some(duration_s)) if duration_s > 0.0 => {
            let start_s = start.unwrap_or_default().as_secs_f64().min(duration_s);
            let end_s = end.map_or(duration_s, |end| end.as_secs_f64().min(duration_s));
            (end_s - start_s).max(0.0) / duration_s
        }
        _ => return part.frames,
    };
    let in_range = all.map(|frames| (frames as f64 * share).round() as u64);
    match (in_range, part.frames) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
