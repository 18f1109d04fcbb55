//! The run: edges and threads in flow order, then the wait for the root cause or the finished file.

use std::any::Any;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use framelift_frame::{Size, TimeBase, Timestamp};
use framelift_media::{Encoder, MediaInfo, Muxer, Output, OutputVideo, ToRgb, ToYuv, trim_heap};
use framelift_nets::{Descriptor, Reach};
use framelift_shots::CutDetector;

use crate::fleet::{Fleet, Workers};
use crate::memory::{
    FRAMES_BEFORE, FRAMES_BEHIND, PACKET_BYTES, default_limit_bytes, frame_bytes, peak_resident_bytes,
};
use crate::planning::{Decided, Planning, queue_bytes};
use crate::queue::queue;
use crate::resume::borders::{self, Borders};
use crate::resume::join::join;
use crate::resume::lead::can_seek;
use crate::resume::{Pieces, Resumed, Settings, Then, Work, copied_bytes, expected_bytes, state, status};
use crate::session::Frozen;
use crate::stages::{self, Halt, Shared};
use crate::stream::WARM_UP_FRAMES;
use crate::{
    CancelToken, Event, Job, Model, PartSpec, PipelineError, Plan, Session, SessionOptions, SessionPlan, Summary,
    Upscale,
};

/// Does the job: reads, upscales, writes. The output appears under its name only when it is whole. A job that can go on where
/// it is stopped is done in pieces, which are put together at the end.
///
/// `on_event` is called from several threads, in order for each kind of event.
///
/// # Errors
/// The root cause of the failure; nothing is left under the output's name.
pub fn run(job: Job, cancel: &CancelToken, on_event: &(dyn Fn(Event) + Sync)) -> Result<Summary, PipelineError> {
    let output = job.output.clone();
    work_on(job, cancel, on_event).map_err(|error| error.of_output(&output)).inspect_err(|error| {
        if matches!(error, PipelineError::Busy { .. } | PipelineError::Drifted { .. } | PipelineError::Piece { .. }) {
            return;
        }
        if let Ok(Some(status)) = status(&output)
            && status.frames_done > 0
        {
            let folder = status.folder.display();
            on_event(Event::Notice(format!(
                "the first {} frames are kept in {folder}; the same command goes on from there",
                status.frames_done
            )));
        }
    })
}

fn work_on(job: Job, cancel: &CancelToken, on_event: &(dyn Fn(Event) + Sync)) -> Result<Summary, PipelineError> {
    let started = Instant::now();
    let Job {
        mut input,
        output,
        mut write,
        model,
        upscale,
        target,
        part,
        shots,
        windows,
        scratch_folder,
        memory_limit_bytes,
        resume,
    } = job;
    input.set_interrupt(cancel.flag());
    let info = input.info().clone();
    let Some((stream, video)) = info.video_stream() else { return Err(PipelineError::NoVideo) };
    let video_stream = stream.index;
    let size = target.resolve(video.size)?;
    let network_size = scaled(video.size, upscale.scale())?;
    let (start, end) = moments(&part, &info, video.time_base)?;
    let total = frames_in_part(&part, &info);
    (write.trim_start, write.trim_end, write.resize) = (start, end, upscale.filter());
    let decoder = input.decoder()?;
    let mut wanted = OutputVideo::plan(&info, size, &output, &write)?;
    let mut to_rgb = ToRgb::new(video)?.keep_alpha(wanted.format.alpha);
    let limit_bytes = memory_limit_bytes.unwrap_or_else(default_limit_bytes);
    let network = match &upscale {
        Upscale::Network(model) => Some(model.descriptor().clone()),
        Upscale::Resample(_) => None,
    };
    // Networks of one frame carry nothing that a cut must end.
    let shots = shots && network.as_ref().is_some_and(|network| network.reach != Reach::Frame);

    let piece_frames = resume.as_ref().and_then(|resume| resume.piece_frames);
    let piece_frames =
        piece_frames.unwrap_or_else(|| borders::piece_frames(network.as_ref(), video.size, video.average_frame_rate));
    let mut work = match &resume {
        Some(resume) => {
            let settings =
                Settings { model: &model, video: &wanted, write: &write, part, shots, windows, piece_frames };
            let work = Work::open(resume, &input, &output, &settings, total)?;
            if work.is_none() && output != Output::Stdout {
                on_event(Event::Notice(format!(
                    "{} cannot be read twice, so that a stopped run would start again from the beginning",
                    input.input()
                )));
            }
            work
        }
        None => None,
    };
    if let Some((frames, shots_made)) = work.as_ref().and_then(|work| work.published(&output)) {
        if let Some(work) = work {
            work.remove();
        }
        on_event(Event::Notice("it was whole when the last run was stopped; nothing is left to do".to_owned()));
        return Ok(Summary {
            frames,
            frames_before: frames,
            size,
            elapsed: started.elapsed(),
            first_frame: Duration::ZERO,
            network: Duration::ZERO,
            shots: shots.then_some(shots_made),
            peak_resident_bytes: peak_resident_bytes(),
        });
    }
    if let Some(work) = &work {
        write.part_folder = Some(work.folder().to_owned());
        write.encoder_threads = encoder_threads(&wanted);
        write.overwrite |= work.was_publishing();
    }
    let decided = loop {
        let planning = Planning {
            upscale: &upscale,
            wanted: &wanted,
            shots,
            windows,
            scratch_folder: scratch_folder.clone(),
            limit_bytes,
            input: video.size,
            network: network_size,
            frames: total,
        };
        let decided = match work.as_ref().and_then(Work::pins) {
            Some((pins, frames)) => planning.keep_to(&pins, frames, &write)?,
            None => planning.decide(&write)?,
        };
        let Some(work) = &mut work else { break decided };
        if work.accepts(&Encoder::new(&wanted, &output, &decided.write)?.fingerprint()?) {
            break decided;
        }
    };
    let pins = decided.pins(limit_bytes);
    let Decided { planned, look_ahead, write } = decided;
    let to_yuv = ToYuv::new(network_size, &wanted)?;
    let encoder = Encoder::new(&wanted, &output, &write)?;
    let header = encoder.header();
    let mut muxer = Muxer::create(&output, &encoder, &input.template()?, &write)?;
    let (pieces, place) = match work {
        Some(work) => {
            let (pieces, place) = work.begin(pins, &wanted, &write, on_event)?;
            (Some(pieces), place)
        }
        None => (None, None),
    };
    let frames_before = pieces.as_ref().map_or(0, Pieces::frames);
    // Making the network ready took more than it keeps.
    trim_heap();
    let (precision, engines) = match &upscale {
        Upscale::Network(model) => (Some(model.precision()), model.engines()),
        Upscale::Resample(_) => (None, Vec::new()),
    };
    on_event(Event::Started(Box::new(Plan {
        model,
        precision,
        engines,
        input: video.size,
        output: size,
        frames: total,
        frames_before,
        encoder: wanted.encoder.clone(),
        memory_bytes: planned.memory_bytes,
        memory_limit_bytes: limit_bytes,
        disk: match output {
            Output::Stdout => None,
            _ => expected_bytes(&wanted, &write, total, copied_bytes(&input), if pieces.is_some() { 2 } else { 1 }),
        },
        device_bytes: planned.session.as_ref().and_then(|(_, plan)| plan.device_bytes),
        shots,
        window: planned.session.as_ref().and_then(|(_, plan)| plan.window),
        tiles: planned.tiles(),
        lanes: planned.session.as_ref().map_or(1, |(_, plan)| plan.lanes),
    })));
    if let Some((columns, rows, tile)) = planned.tiles() {
        on_event(Event::Notice(format!(
            "a whole frame does not fit in the memory allowed; each is worked on in {columns} x {rows} tiles of {tile}, \
             which takes longer"
        )));
    }
    let shorter = look_ahead.map(|look_ahead| {
        let threads = if write.encoder_threads == 1 { " and works on one thread" } else { "" };
        format!(
            "to keep to the memory allowed, the encoder looks {look_ahead} pictures ahead{threads}, which makes the file a \
             little larger"
        )
    });
    let again =
        pieces.is_some().then(|| format!("{frames_before} frames were made before; the work goes on from there"));
    for notice in [
        again.filter(|_| frames_before > 0).into_iter().collect(),
        to_rgb.take_notices(),
        shorter.into_iter().collect(),
        std::mem::take(&mut wanted.notices),
        muxer.take_notices(),
    ]
    .concat()
    {
        on_event(Event::Notice(notice));
    }

    let resumed = place.map(|place| Resumed::new(place, frames_before, wanted.time_base));
    let go_on = match resumed.filter(|resumed| resumed.from.is_some()) {
        Some(resumed) if can_seek(input.reopen()?, video, start, resumed)? => resumed.from,
        _ => None,
    };
    let film_again = pieces.is_some().then(|| input.reopen()).transpose()?;
    let whole = pieces.as_ref().is_some_and(Pieces::is_complete);
    let session = match (upscale, planned.session) {
        (Upscale::Network(model), Some((options, plan))) => {
            let queue_bytes = queue_bytes(&model, &options);
            let mut models = model.on_each().into_iter();
            let session = |model| Session::with_plan(model, options.clone(), plan.clone());
            let first = models.next().map(|model| match (&pieces, &resumed) {
                (Some(pieces), Some(resumed)) => {
                    thawed(model, options.clone(), plan.clone(), video.size, pieces, resumed)
                }
                _ => Ok(session(model)),
            });
            let mut sessions: Vec<Session> = first.into_iter().collect::<Result<_, _>>()?;
            sessions.extend(models.map(session));
            if sessions.len() > 1 {
                Some(Workers::Many(Box::new(Fleet::new(sessions, queue_bytes, frames_before))))
            } else {
                sessions.pop().map(|session| Workers::One(Box::new(session)))
            }
        }
        _ => None,
    };
    let lead = borders::lead_frames(
        shots,
        session.as_ref().and_then(Workers::plan).and_then(|plan| plan.window).map_or(0, |window| window.context),
        warm_up_frames(network.as_ref()),
    );
    let detector = shots.then(|| match &resumed {
        Some(resumed) => {
            let (first, start) = (frames_before.saturating_sub(lead as u64), frames_before - resumed.place.shot);
            CutDetector::going_on(video.size, first as usize, frames_before as usize, start as usize)
        }
        None => CutDetector::new(video.size),
    });
    let borders = pieces.as_ref().map(|pieces| {
        let borders = Borders::new(piece_frames, lead, frames_before, place.as_ref());
        (borders, pieces.folder().path().to_owned())
    });

    let shared = Shared {
        start,
        end: end.map_or_else(OnceLock::new, OnceLock::from),
        frames: part.frames,
        in_pieces: pieces.is_some(),
        resumed,
        decoded: AtomicU64::new(frames_before),
        written: AtomicU64::new(frames_before),
        first_frame: OnceLock::new(),
        network: OnceLock::new(),
        shots: AtomicU64::new(place.map_or(0, |place| place.shots)),
        started,
        cancel,
        on_event,
    };
    if pieces.is_some() {
        // What is copied is read when the pieces are put together.
        input.keep(|_| false);
    }
    match (go_on, start) {
        (Some(place), _) => input.go_on(start, place)?,
        (None, Some(start)) => input.seek(start)?,
        (None, None) => {}
    }
    let room = |frames: u64, size| usize::try_from(frames * frame_bytes(size)).unwrap_or(usize::MAX);
    let before = room(FRAMES_BEFORE, video.size);
    let behind = room(FRAMES_BEHIND, network_size);
    let finished = room(FRAMES_BEHIND, size);
    let another = || {
        let encoder = Encoder::new(&wanted, &output, &write)?;
        if encoder.header() == header {
            Ok(encoder)
        } else {
            Err(PipelineError::Seam { encoder: wanted.encoder.clone() })
        }
    };

    let (shared, cause) = (&shared, &Cause::default());
    let made = if whole {
        Ok((Some(muxer), pieces))
    } else {
        thread::scope(|scope| {
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
            spawn(scope, cause, "upscale", move || {
                stages::upscale(shared, session, borders, total, marked_in, results)
            })?;
            spawn(scope, cause, "to_yuv", move || stages::to_yuv(shared, to_yuv, results_in, outputs))?;
            spawn(scope, cause, "encode", move || stages::encode(shared, encoder, another, outputs_in, muxed))?;
            match pieces {
                None => {
                    let mux = spawn(scope, cause, "mux", move || stages::mux(shared, muxer, muxed_in))?;
                    Ok((mux.join().ok().flatten(), None))
                }
                Some(pieces) => {
                    let keep = spawn(scope, cause, "keep", move || stages::keep(shared, pieces, muxed_in))?;
                    Ok((Some(muxer), keep.join().ok().flatten()))
                }
            }
        })
    };
    let (muxer, pieces) = match (cause.take(), made) {
        (Some(cause), _) | (None, Err(cause)) => return Err(cause),
        (None, Ok(made)) => made,
    };

    let (decoded, written) = (shared.decoded.load(Ordering::Relaxed), shared.written.load(Ordering::Relaxed));
    let all = decoded == written && pieces.is_some() == shared.in_pieces;
    let Some(mut muxer) = muxer.filter(|_| all) else {
        return Err(PipelineError::Lost { decoded, written });
    };
    if decoded == 0 {
        return Err(if part == PartSpec::default() { PipelineError::NoFrames } else { PipelineError::EmptyRange });
    }
    let mut shots_made = shared.shots.load(Ordering::Relaxed);
    match (pieces, film_again) {
        (Some(mut pieces), Some(mut film)) => {
            if !whole {
                let at = shared.end.get().map(|end| end.ticks);
                if let Some(notice) = pieces.end(Then::End { at, shots: shots_made })? {
                    on_event(Event::Notice(notice));
                }
            }
            shots_made = pieces.shots();
            let joined = join(pieces.packets(wanted.time_base), &mut film, &mut muxer, start, cancel, on_event)?;
            if joined != pieces.frames() {
                return Err(PipelineError::Lost { decoded: pieces.frames(), written: joined });
            }
            let complete = muxer.complete()?;
            pieces.publishing()?;
            complete.publish()?;
            pieces.remove();
        }
        _ => muxer.finish()?,
    }
    Ok(Summary {
        frames: written,
        frames_before,
        size,
        elapsed: started.elapsed(),
        first_frame: shared.first_frame.get().copied().unwrap_or_default(),
        network: shared.network.get().copied().unwrap_or_default(),
        shots: shots.then_some(shots_made),
        peak_resident_bytes: peak_resident_bytes(),
    })
}

/// A session that goes on where the pieces end.
fn thawed(
    model: Model,
    options: SessionOptions,
    plan: SessionPlan,
    size: Size,
    pieces: &Pieces,
    resumed: &Resumed,
) -> Result<Session, PipelineError> {
    let (place, frames) = (resumed.place, resumed.frames);
    let state = match place.state {
        true => state::read(&pieces.folder().state(frames), &**model.engine())?,
        false => Vec::new(),
    };
    let frozen = Frozen { pushed: place.shot + place.held, given: place.shot, in_full: place.full, state };
    Ok(Session::thawed(model, options, plan, size, frames, frozen)?)
}

/// Frames before the next that a shot may be warmed up with in f32.
fn warm_up_frames(network: Option<&Descriptor>) -> usize {
    match network.map(|network| network.reach) {
        Some(Reach::Causal { lookahead }) => WARM_UP_FRAMES + lookahead + 1,
        _ => 0,
    }
}

/// As many threads as the encoder would take, where what it makes depends on how many it has: the work may go on where there
/// are others. 0 leaves it to the encoder.
fn encoder_threads(video: &OutputVideo) -> usize {
    /// As x264 counts them: one and a half for each processor, at most one for each 32 lines.
    const MOST: usize = 128;
    match video.encoder.as_str() {
        "libx264" | "libx264rgb" => {
            let processors = thread::available_parallelism().map_or(1, usize::from);
            let by_lines = (video.size.height.div_ceil(16) / 2).max(1) as usize;
            (processors * 3 / 2).min(by_lines).clamp(1, MOST)
        }
        _ => 0,
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

/// Frames of the result that a part of a film becomes, as far as the film says how many it has.
#[must_use]
pub fn frames_in_part(part: &PartSpec, info: &MediaInfo) -> Option<u64> {
    let (_, video) = info.video_stream()?;
    let all = video.frames_estimate;
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
