//! The stages of a run, one function each, in flow order. Each loops until its queue ends, drains what it holds,
//! and drops its ends of the edges when it returns.

use std::collections::VecDeque;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use framelift_frame::{Frame, Timestamp};
use framelift_media::{Decoder, Demuxer, EncodedPacket, Encoder, Muxer, Packet, Picture, ToRgb, ToYuv};
use framelift_shots::CutDetector;

use crate::progress::Meter;
use crate::queue::{Closed, Receiver, Sender, Weigh};
use crate::{CancelToken, Event, PipelineError, Session, Sink};

/// Why a stage ended early.
#[derive(Debug)]
pub(crate) enum Halt {
    /// A neighbour is gone; the cause lies there.
    Closed,
    /// The cause.
    Failed(PipelineError),
}

impl From<Closed> for Halt {
    fn from(Closed: Closed) -> Self {
        Self::Closed
    }
}

impl<E: Into<PipelineError>> From<E> for Halt {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// A frame, and whether it begins a shot.
pub(crate) struct ShotFrame {
    frame: Frame,
    begins: bool,
}

/// What the muxer is handed.
pub(crate) enum Muxed {
    /// A packet of the upscaled video, and the time of the last picture the encoder had taken by then.
    Video(EncodedPacket, Timestamp),
    /// A packet of another stream, to copy.
    Copy(Packet),
}

impl Weigh for Packet {
    fn bytes(&self) -> usize {
        self.bytes()
    }
}

impl Weigh for Picture {
    fn bytes(&self) -> usize {
        self.bytes()
    }
}

impl Weigh for Frame {
    fn bytes(&self) -> usize {
        self.bytes()
    }
}

impl Weigh for ShotFrame {
    fn bytes(&self) -> usize {
        self.frame.bytes()
    }
}

impl Weigh for Muxed {
    fn bytes(&self) -> usize {
        match self {
            Self::Video(packet, _) => packet.bytes(),
            Self::Copy(packet) => packet.bytes(),
        }
    }
}

/// The part of the film to work on and what the stages know of each other.
pub(crate) struct Shared<'a> {
    /// Frames shown before this are left out.
    pub(crate) start: Option<Timestamp>,
    /// Frames shown from here on are left out. Set by the decode stage when the frames asked for are reached.
    pub(crate) end: OnceLock<Timestamp>,
    /// At most so many frames.
    pub(crate) frames: Option<u64>,
    /// Frames decoded and kept.
    pub(crate) decoded: AtomicU64,
    /// Packets of video written.
    pub(crate) written: AtomicU64,
    /// Time to the first upscaled frame.
    pub(crate) first_frame: OnceLock<Duration>,
    /// Time inside the network.
    pub(crate) network: OnceLock<Duration>,
    /// Shots found.
    pub(crate) shots: AtomicU64,
    /// When the run began.
    pub(crate) started: Instant,
    /// Stops the run.
    pub(crate) cancel: &'a CancelToken,
    /// Takes what the run tells.
    pub(crate) on_event: &'a (dyn Fn(Event) + Sync),
}

impl Shared<'_> {
    fn go_on(&self) -> Result<(), Halt> {
        if self.cancel.is_cancelled() { Err(Halt::Failed(PipelineError::Interrupted)) } else { Ok(()) }
    }

    fn is_past_end(&self, time: Timestamp) -> bool {
        self.end.get().is_some_and(|&end| time >= end)
    }

    fn notices(&self, notices: Vec<String>) {
        for notice in notices {
            (self.on_event)(Event::Notice(notice));
        }
    }
}

/// Sound and subtitles may lie this much behind the video in the file.
const INTERLEAVE_SLACK_S: f64 = 2.0;

/// Reads the film: video packets one way, packets of the streams to copy the other.
pub(crate) fn demux(
    shared: &Shared<'_>,
    mut input: Demuxer,
    video_stream: usize,
    video: Sender<Packet>,
    copy: Sender<Muxed>,
) -> Result<(), Halt> {
    let mut video = Some(video);
    while let Some(packet) = input.read()? {
        shared.go_on()?;
        if let (Some(time), Some(end)) = (packet.time(), shared.end.get())
            && time.seconds() > end.seconds() + INTERLEAVE_SLACK_S
        {
            break;
        }
        if packet.stream_index() != video_stream {
            copy.send(Muxed::Copy(packet))?;
        } else if let Some(edge) = &video {
            // The decode stage leaves when it has the last frame asked for; sound goes on to the same moment.
            if edge.send(packet).is_err() {
                video = None;
                if shared.end.get().is_none() {
                    return Err(Halt::Closed);
                }
            }
        }
    }
    Ok(())
}

/// Packets to pictures, of which those outside the part asked for are dropped.
pub(crate) fn decode(
    shared: &Shared<'_>,
    mut decoder: Decoder,
    packets: Receiver<Packet>,
    pictures: Sender<Picture>,
) -> Result<(), Halt> {
    let mut ended = false;
    while !ended {
        shared.go_on()?;
        match packets.recv() {
            Some(packet) => decoder.send(packet)?,
            None => {
                decoder.finish()?;
                ended = true;
            }
        }
        while let Some(picture) = decoder.receive()? {
            let time = picture.time();
            if shared.start.is_some_and(|start| time < start) {
                continue;
            }
            if shared.frames.is_some_and(|frames| shared.decoded.load(Ordering::Relaxed) >= frames) {
                let _ = shared.end.set(time);
            }
            if shared.is_past_end(time) {
                ended = true;
                break;
            }
            shared.decoded.fetch_add(1, Ordering::Relaxed);
            pictures.send(picture)?;
        }
    }
    if decoder.errors() > 0 {
        let count = decoder.errors();
        (shared.on_event)(Event::Notice(format!("{count} damaged packets of the video could not be decoded whole")));
    }
    Ok(())
}

/// Pictures in the film's format to RGB frames.
pub(crate) fn to_rgb(
    shared: &Shared<'_>,
    mut converter: ToRgb,
    pictures: Receiver<Picture>,
    frames: Sender<Frame>,
) -> Result<(), Halt> {
    while let Some(picture) = pictures.recv() {
        shared.go_on()?;
        frames.send(converter.push(picture)?)?;
        shared.notices(converter.take_notices());
    }
    Ok(())
}

/// Marks the frames that begin a shot. Without a detector none does.
pub(crate) fn split_shots(
    shared: &Shared<'_>,
    mut detector: Option<CutDetector>,
    frames: Receiver<Frame>,
    marked: Sender<ShotFrame>,
) -> Result<(), Halt> {
    let mark = |(frame, begins): (Frame, bool)| {
        shared.shots.fetch_add(u64::from(begins), Ordering::Relaxed);
        marked.send(ShotFrame { frame, begins })
    };
    while let Some(frame) = frames.recv() {
        shared.go_on()?;
        match &mut detector {
            Some(detector) => detector.push(frame).into_iter().try_for_each(mark)?,
            None => mark((frame, false))?,
        }
    }
    detector.map_or_else(Vec::new, CutDetector::finish).into_iter().try_for_each(mark)?;
    Ok(())
}

/// Frames to larger frames. Without a session they pass as they are.
pub(crate) fn upscale(
    shared: &Shared<'_>,
    mut session: Option<Session>,
    total: Option<u64>,
    frames: Receiver<ShotFrame>,
    results: Sender<Frame>,
) -> Result<(), Halt> {
    let mut out = Results { shared, meter: Meter::new(total, shared.started), results, waited: Duration::ZERO };
    let mut inside = Duration::ZERO;
    let mut ended = false;
    while !ended {
        shared.go_on()?;
        let next = frames.recv();
        ended = next.is_none();
        let begun = Instant::now();
        match (next, session.as_mut()) {
            (Some(ShotFrame { frame, begins }), Some(session)) => {
                if begins {
                    session.cut_to(&mut out)?;
                }
                session.push_to(frame, &mut out)?;
            }
            (None, Some(session)) => session.cut_to(&mut out)?,
            (Some(ShotFrame { frame, .. }), None) => out.frame(frame)?,
            (None, None) => {}
        }
        inside += begun.elapsed();
    }
    if session.is_some() {
        let _ = shared.network.set(inside.saturating_sub(out.waited));
    }
    Ok(())
}

/// Where the frames of the session go, one at a time.
struct Results<'a> {
    shared: &'a Shared<'a>,
    meter: Meter,
    results: Sender<Frame>,
    /// Time until there was room for them.
    waited: Duration,
}

impl Sink for Results<'_> {
    type Error = Halt;

    fn frame(&mut self, frame: Frame) -> Result<(), Halt> {
        self.shared.go_on()?;
        let position = frame.time;
        let now = Instant::now();
        self.shared.first_frame.get_or_init(|| now - self.shared.started);
        self.results.send(frame)?;
        self.waited += now.elapsed();
        (self.shared.on_event)(Event::Progress(self.meter.tick(position, now)));
        Ok(())
    }

    fn notice(&mut self, notice: String) {
        (self.shared.on_event)(Event::Notice(notice));
    }

    fn inside_window(&mut self, done: f64) -> Result<(), Halt> {
        self.shared.go_on()?;
        if let Some(progress) = self.meter.inside_window(Instant::now()) {
            (self.shared.on_event)(Event::Progress(progress));
        }
        (self.shared.on_event)(Event::Window(done));
        Ok(())
    }
}

/// RGB frames to pictures in the output's format and size.
pub(crate) fn to_yuv(
    shared: &Shared<'_>,
    mut converter: ToYuv,
    frames: Receiver<Frame>,
    pictures: Sender<Picture>,
) -> Result<(), Halt> {
    while let Some(frame) = frames.recv() {
        shared.go_on()?;
        pictures.send(converter.push(&frame)?)?;
    }
    Ok(())
}

/// Pictures to packets.
pub(crate) fn encode(
    shared: &Shared<'_>,
    mut encoder: Encoder,
    pictures: Receiver<Picture>,
    packets: Sender<Muxed>,
) -> Result<(), Halt> {
    let mut taken = None;
    let mut ended = false;
    while !ended {
        shared.go_on()?;
        match pictures.recv() {
            Some(picture) => {
                taken = Some(picture.time());
                encoder.send(picture)?;
            }
            None => {
                // Whoever stopped early must not make the encoder flush its frames for nothing.
                shared.go_on()?;
                encoder.finish()?;
                ended = true;
            }
        }
        while let (Some(packet), Some(taken)) = (encoder.receive()?, taken) {
            packets.send(Muxed::Video(packet, taken))?;
        }
    }
    Ok(())
}

/// Bytes of copied packets that wait for the video before they are written regardless.
const WAITING_BYTES: usize = 64 << 20;

/// Everything into the output, copied packets when the video has reached their moment.
pub(crate) fn mux(shared: &Shared<'_>, mut muxer: Muxer, packets: Receiver<Muxed>) -> Result<Muxer, Halt> {
    let mut waiting: VecDeque<Packet> = VecDeque::new();
    let mut waiting_bytes = 0;
    let mut reached: Option<Timestamp> = None;
    while let Some(packet) = packets.recv() {
        shared.go_on()?;
        match packet {
            Muxed::Video(packet, taken) => {
                reached = Some(taken);
                muxer.write_video(packet)?;
                shared.written.fetch_add(1, Ordering::Relaxed);
            }
            Muxed::Copy(packet) => {
                waiting_bytes += packet.bytes();
                waiting.push_back(packet);
            }
        }
        while let Some(next) = waiting.front() {
            if waiting_bytes <= WAITING_BYTES && next.time().is_some_and(|time| Some(time) > reached) {
                break;
            }
            if let Some(next) = waiting.pop_front() {
                waiting_bytes -= next.bytes();
                copy(shared, &mut muxer, next)?;
            }
        }
    }
    for packet in waiting {
        copy(shared, &mut muxer, packet)?;
    }
    shared.go_on()?;
    Ok(muxer)
}

fn copy(shared: &Shared<'_>, muxer: &mut Muxer, packet: Packet) -> Result<(), Halt> {
    if !packet.time().is_some_and(|time| shared.is_past_end(time)) {
        muxer.copy(packet)?;
    }
    Ok(())
}
