//! The run: edges and threads in flow order, then the wait for the root cause or the finished file.

use std::any::Any;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use framelift_frame::{Size, TimeBase, Timestamp};
use framelift_media::{Encoder, MediaInfo, Muxer, OutputVideo, StreamInfo, ToRgb, ToYuv, VideoInfo};

use crate::queue::queue;
use crate::stages::{self, Halt, Shared};
use crate::{CancelToken, Event, Job, PartSpec, PipelineError, Plan, Session, Summary, Upscale};

/// Bytes of compressed packets between demux and its neighbours.
const PACKET_BYTES: usize = 8 << 20;

/// Bytes of a value in an RGB frame between the stages: three planes of 16 bits.
const FRAME_BYTES_PER_PIXEL: usize = 6;

/// Frames of the input's size on each edge before the network.
const FRAMES_BEFORE: usize = 3;

/// Frames of the output's size on each edge behind the network.
const FRAMES_BEHIND: usize = 2;

/// Does the job: reads, upscales, writes. The output appears under its name only when it is whole.
///
/// `on_event` is called from several threads, in order for each kind of event.
///
/// # Errors
/// The root cause of the failure; nothing is left under the output's name.
pub fn run(job: Job, cancel: &CancelToken, on_event: &(dyn Fn(Event) + Sync)) -> Result<Summary, PipelineError> {
    let started = Instant::now();
    let Job { mut input, output, mut write, upscale, target, part, memory_limit_bytes } = job;
    input.set_interrupt(cancel.flag());
    let info = input.info().clone();
    let Some((stream, video)) = info.video_stream() else { return Err(PipelineError::NoVideo) };
    let video_stream = stream.index;
    let size = target.resolve(video.size)?;
    let network_size = scaled(video.size, upscale.scale())?;
    let (start, end) = moments(&part, &info, stream.time_base)?;
    let total = frames_total(&part, &info, stream, video);
    let memory_bytes = memory_estimate(&upscale, video.size, network_size, size);
    if let Some(limit_bytes) = memory_limit_bytes.filter(|&limit| memory_bytes > limit) {
        return Err(PipelineError::Memory { needed_bytes: memory_bytes, limit_bytes, input: video.size, output: size });
    }

    (write.trim_start, write.trim_end, write.resize) = (start, end, upscale.filter());
    let decoder = input.decoder()?;
    let mut to_rgb = ToRgb::new(video)?;
    let mut wanted = OutputVideo::plan(&info, size, &output, &write)?;
    let to_yuv = ToYuv::new(network_size, &wanted)?;
    let encoder = Encoder::new(&wanted, &output, &write)?;
    let mut muxer = Muxer::create(&output, &encoder, &input.template()?, &write)?;
    let session = match &upscale {
        Upscale::Network { engine, network } => Some(Session::new(engine.clone(), network.clone())),
        Upscale::Resample(_) => None,
    };
    on_event(Event::Started(Plan {
        input: video.size,
        output: size,
        frames: total,
        encoder: wanted.encoder.clone(),
        memory_bytes,
    }));
    for notice in [to_rgb.take_notices(), std::mem::take(&mut wanted.notices), muxer.take_notices()].concat() {
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
        started,
        cancel,
        on_event,
    };
    if let Some(start) = start {
        input.seek(start)?;
    }
    let before = FRAMES_BEFORE * frame_bytes(video.size);
    let behind = FRAMES_BEHIND * frame_bytes(network_size);
    let finished = FRAMES_BEHIND * frame_bytes(size);

    let (shared, cause) = (&shared, &Cause::default());
    let muxer = thread::scope(|scope| {
        let (packets, packets_in) = queue(PACKET_BYTES);
        let (pictures, pictures_in) = queue(before);
        let (frames, frames_in) = queue(before);
        let (results, results_in) = queue(behind);
        let (outputs, outputs_in) = queue(finished);
        let (muxed, muxed_in) = queue(PACKET_BYTES);
        let copied = muxed.clone();

        spawn(scope, cause, "demux", move || stages::demux(shared, input, video_stream, packets, copied))?;
        spawn(scope, cause, "decode", move || stages::decode(shared, decoder, packets_in, pictures))?;
        spawn(scope, cause, "to_rgb", move || stages::to_rgb(shared, to_rgb, pictures_in, frames))?;
        spawn(scope, cause, "upscale", move || stages::upscale(shared, session, total, frames_in, results))?;
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
    })
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

fn frame_bytes(size: Size) -> usize {
    size.pixels() as usize * FRAME_BYTES_PER_PIXEL
}

/// Frames on the edges and inside the stages, and what the network holds.
fn memory_estimate(upscale: &Upscale, input: Size, network_size: Size, output: Size) -> usize {
    let network = match upscale {
        Upscale::Network { network, .. } => {
            let values = network.descriptor().values_per_pixel * input.pixels();
            usize::try_from(values * 4).unwrap_or(usize::MAX)
        }
        Upscale::Resample(_) => 0,
    };
    let before = 2 * (FRAMES_BEFORE + 2) * frame_bytes(input);
    let behind = (FRAMES_BEHIND + 2) * frame_bytes(network_size);
    let finished = (FRAMES_BEHIND + 2) * frame_bytes(output);
    network.saturating_add(before + behind + finished + 3 * PACKET_BYTES)
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
