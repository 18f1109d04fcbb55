//! The stages of a run, one function each, in flow order. Each loops until its queue ends, drains what it holds,
//! and drops its ends of the edges when it returns.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use framelift_engine::{Engine, EngineError, Tensor};
use framelift_frame::{Frame, Timestamp};
use framelift_media::{Decoder, Demuxer, EncodedPacket, Encoder, Muxer, Packet, Picture, ToRgb, ToYuv};
use framelift_shots::CutDetector;

use crate::fade::Fade;
use crate::fleet::Workers;
use crate::progress::Meter;
use crate::queue::{Closed, Receiver, Sender, Weigh};
use crate::resume::borders::{Borders, hash_of};
use crate::resume::lead::{Lead, Part};
use crate::resume::{Pieces, Place, Resumed, Then, state, state_part};
use crate::{CancelToken, Event, PipelineError, Sink};

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

/// A frame of the film, and the hash of its pixels where the work is done in pieces.
pub(crate) struct FilmFrame {
    frame: Frame,
    hash: u64,
}

/// A frame, and whether it begins a shot.
pub(crate) struct ShotFrame {
    frame: Frame,
    hash: u64,
    begins: bool,
    /// Whether it was made before, and is only there so that the work can go on.
    lead: bool,
}

/// A result, or what becomes of it, and the place where a piece begins with it.
pub(crate) struct Made<T> {
    picture: T,
    begins: Option<Place>,
}

/// What the muxer is handed.
pub(crate) enum Muxed {
    /// A packet of the upscaled video, and the time of the last picture the encoder had taken by then.
    Video(EncodedPacket, Timestamp),
    /// A packet of another stream, to copy.
    Copy(Packet),
    /// Here a piece ends and the next begins.
    Border(Place),
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

impl Weigh for FilmFrame {
    fn bytes(&self) -> usize {
        self.frame.bytes()
    }
}

impl Weigh for Made<Frame> {
    fn bytes(&self) -> usize {
        self.picture.bytes()
    }
}

impl Weigh for Made<Picture> {
    fn bytes(&self) -> usize {
        self.picture.bytes()
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
            Self::Border(_) => 0,
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
    /// Whether the work is done in pieces.
    pub(crate) in_pieces: bool,
    /// Where the work goes on, where some of it was done before.
    pub(crate) resumed: Option<Resumed>,
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
        shared.notices(input.take_notices());
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
    shared.notices(input.take_notices());
    if let Some(video) = video {
        video.finish();
    }
    copy.finish();
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
        match packets.recv()? {
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
            if let Some(resumed) = shared.resumed.filter(|resumed| time < resumed.at) {
                if resumed.from.is_none_or(|from| time >= from) {
                    pictures.send(picture)?;
                }
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
    shared.notices(decoder.notices());
    pictures.finish();
    Ok(())
}

/// Pictures in the film's format to RGB frames.
pub(crate) fn to_rgb(
    shared: &Shared<'_>,
    mut converter: ToRgb,
    pictures: Receiver<Picture>,
    frames: Sender<FilmFrame>,
) -> Result<(), Halt> {
    while let Some(picture) = pictures.recv()? {
        shared.go_on()?;
        let frame = converter.push(picture)?;
        let hash = if shared.in_pieces { hash_of(&frame) } else { 0 };
        frames.send(FilmFrame { frame, hash })?;
        shared.notices(converter.take_notices());
    }
    frames.finish();
    Ok(())
}

/// Marks the frames that begin a shot. Without a detector none does. Where the work goes on, the frames before it are known
/// again here.
pub(crate) fn split_shots(
    shared: &Shared<'_>,
    mut detector: Option<CutDetector>,
    frames: Receiver<FilmFrame>,
    marked: Sender<ShotFrame>,
) -> Result<(), Halt> {
    let mut lead = shared.resumed.map(Lead::new);
    let mut told = false;
    let mut entered = shared.resumed.filter(|_| detector.is_some());
    let mut seen: VecDeque<(u64, bool)> = VecDeque::new();
    let mut mark = |(frame, begins): (Frame, bool), seen: &mut VecDeque<(u64, bool)>| {
        let (hash, lead) = seen.pop_front().unwrap_or_default();
        let begins = begins || (!lead && entered.take().is_some_and(|resumed| resumed.place.shot == 0));
        shared.shots.fetch_add(u64::from(begins), Ordering::Relaxed);
        marked.send(ShotFrame { frame, hash, begins, lead })
    };
    while let Some(FilmFrame { frame, hash }) = frames.recv()? {
        shared.go_on()?;
        let part = lead.as_mut().map_or(Ok(Part::Work), |lead| lead.part(frame.time, hash))?;
        if part == Part::Before {
            continue;
        }
        if part == Part::Work
            && !std::mem::replace(&mut told, true)
            && lead.as_ref().is_some_and(|lead| !lead.is_known())
        {
            let what = "the film's pictures are not decoded as they were before, as happens to damaged films; the work goes on";
            shared.notices(vec![what.to_owned()]);
        }
        seen.push_back((hash, part == Part::Lead));
        match &mut detector {
            Some(detector) => detector.push(frame).into_iter().try_for_each(|frame| mark(frame, &mut seen))?,
            None => mark((frame, false), &mut seen)?,
        }
    }
    if let Some(lead) = lead.filter(|lead| !lead.is_passed()) {
        return Err(lead.drifted().into());
    }
    let last = detector.map_or_else(Vec::new, CutDetector::finish);
    last.into_iter().try_for_each(|frame| mark(frame, &mut seen))?;
    marked.finish();
    Ok(())
}

/// Frames to larger frames. Without a session they pass as they are. Here it is decided where pieces begin.
pub(crate) fn upscale(
    shared: &Shared<'_>,
    mut workers: Option<Workers>,
    borders: Option<(Borders, PathBuf)>,
    total: Option<u64>,
    frames: Receiver<ShotFrame>,
    results: Sender<Made<Frame>>,
) -> Result<(), Halt> {
    let meter = Meter::new(total, shared.resumed.map_or(0, |resumed| resumed.frames), shared.started);
    let mut out = Results { shared, meter, results, waited: Duration::ZERO, borders, begins: None };
    let mut inside = Duration::ZERO;
    let mut next = frames.recv()?;
    while let Some(ShotFrame { frame, hash, .. }) = next.take_if(|next| next.lead) {
        if let Some((borders, _)) = &mut out.borders {
            borders.recall(frame.time.ticks, hash);
        }
        if let Some(workers) = &mut workers {
            workers.recall(frame);
        }
        next = frames.recv()?;
    }
    if let Some((borders, _)) = &mut out.borders {
        borders.recalled();
    }
    while let Some(ShotFrame { frame, hash, begins, .. }) = next {
        shared.go_on()?;
        let begun = Instant::now();
        if let Some(workers) = workers.as_mut().filter(|_| begins) {
            workers.cut_to(&mut out)?;
        }
        if let Some(workers) = workers.as_mut().filter(|workers| !begins && workers.can_freeze() && out.may_be_due()) {
            workers.settle_to(&mut out)?;
        }
        out.upcoming(frame.time.ticks, hash, begins, workers.as_mut())?;
        match &mut workers {
            Some(workers) => workers.push_to(frame, &mut out)?,
            None => out.frame(frame)?,
        }
        inside += begun.elapsed();
        next = frames.recv()?;
    }
    let begun = Instant::now();
    if let Some(workers) = &mut workers {
        workers.cut_to(&mut out)?;
        workers.settle_to(&mut out)?;
        let _ = shared.network.set((inside + begun.elapsed()).saturating_sub(out.waited));
    }
    out.results.finish();
    Ok(())
}

/// Where the frames of the session go, one at a time.
struct Results<'a> {
    shared: &'a Shared<'a>,
    meter: Meter,
    results: Sender<Made<Frame>>,
    /// Time until there was room for them.
    waited: Duration,
    /// Where pieces begin, and the folder for states of the network.
    borders: Option<(Borders, PathBuf)>,
    /// The place with which the next result begins a piece.
    begins: Option<Place>,
}

impl Results<'_> {
    /// Whether a piece may end before the next frame, which does not begin a shot, once all results so far are given.
    fn may_be_due(&self) -> bool {
        self.borders.as_ref().is_some_and(|(borders, _)| borders.may_be_due())
    }

    /// A frame is about to go into the network: before it a piece may end. Where it begins a shot, that is seen by its result.
    fn upcoming(
        &mut self,
        ticks: i64,
        hash: u64,
        begins_shot: bool,
        workers: Option<&mut Workers>,
    ) -> Result<(), Halt> {
        let Some((borders, folder)) = &mut self.borders else { return Ok(()) };
        // Where the next result begins a shot, the piece ends there at the latest, and needs no state.
        if !begins_shot && !borders.next_begins_shot() && borders.is_due(false) {
            if let Some(workers) = workers {
                if let Some((frozen, engine)) = workers.freeze() {
                    let state = keep_state(folder, borders.next(), &*engine, frozen.state.into_iter().map(Ok))?;
                    let place = borders.begin(ticks, false, frozen.pushed - frozen.given);
                    self.begins = Some(Place { full: frozen.in_full, state, ..place });
                }
            } else {
                self.begins = Some(borders.begin(ticks, false, 0));
            }
        }
        borders.pushed(ticks, hash, begins_shot);
        Ok(())
    }
}

/// Writes what going on with frame `next` needs, beside the pieces; whether it needs anything.
fn keep_state(
    folder: &Path,
    next: u64,
    engine: &dyn Engine,
    state: impl ExactSizeIterator<Item = Result<Option<Tensor>, EngineError>>,
) -> Result<bool, PipelineError> {
    if state.len() == 0 {
        return Ok(false);
    }
    state::write(&state_part(folder, next), engine, state)?;
    Ok(true)
}

impl Sink for Results<'_> {
    type Error = Halt;

    fn frame(&mut self, frame: Frame) -> Result<(), Halt> {
        self.shared.go_on()?;
        let position = frame.time;
        let now = Instant::now();
        self.shared.first_frame.get_or_init(|| now - self.shared.started);
        if let Some((borders, _)) = &mut self.borders
            && borders.next_begins_shot()
            && borders.is_due(true)
        {
            self.begins = Some(borders.begin(position.ticks, true, 0));
        }
        self.results.send(Made { picture: frame, begins: self.begins.take() })?;
        if let Some((borders, _)) = &mut self.borders {
            borders.given();
        }
        self.waited += now.elapsed();
        (self.shared.on_event)(Event::Progress(self.meter.tick(position, now)));
        Ok(())
    }

    fn notice(&mut self, notice: String) {
        (self.shared.on_event)(Event::Notice(notice));
    }

    fn window(&mut self, shot_frames: u64, engine: &Arc<dyn Engine>, fade: &Fade) -> Result<(), Halt> {
        let due = |(borders, _): &&mut (Borders, PathBuf)| shot_frames > 0 && borders.is_due(false);
        if let Some((borders, folder)) = self.borders.as_mut().filter(due) {
            let state = keep_state(folder, borders.next(), &**engine, fade.freeze(&**engine))?;
            self.begins = Some(Place { state, ..borders.begin(0, false, 0) });
        }
        Ok(())
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
    frames: Receiver<Made<Frame>>,
    pictures: Sender<Made<Picture>>,
) -> Result<(), Halt> {
    while let Some(Made { picture: frame, begins }) = frames.recv()? {
        shared.go_on()?;
        pictures.send(Made { picture: converter.push(&frame)?, begins })?;
    }
    pictures.finish();
    Ok(())
}

/// Pictures to packets. Where a piece begins, an encoder of its own begins, which `again` makes.
pub(crate) fn encode(
    shared: &Shared<'_>,
    mut encoder: Encoder,
    again: impl Fn() -> Result<Encoder, PipelineError>,
    pictures: Receiver<Made<Picture>>,
    packets: Sender<Muxed>,
) -> Result<(), Halt> {
    let mut taken = None;
    let drain = |encoder: &mut Encoder, taken: Option<Timestamp>| -> Result<(), Halt> {
        while let (Some(packet), Some(taken)) = (encoder.receive()?, taken) {
            packets.send(Muxed::Video(packet, taken))?;
        }
        Ok(())
    };
    while let Some(Made { picture, begins }) = pictures.recv()? {
        shared.go_on()?;
        if let Some(place) = begins {
            encoder.finish()?;
            drain(&mut encoder, taken)?;
            packets.send(Muxed::Border(place))?;
            // Two at once would take twice the memory.
            drop(encoder);
            encoder = again()?;
        }
        taken = Some(picture.time());
        encoder.send(picture)?;
        drain(&mut encoder, taken)?;
    }
    shared.go_on()?;
    encoder.finish()?;
    drain(&mut encoder, taken)?;
    packets.finish();
    Ok(())
}

/// Packets of the video into the pieces that they belong to. The last piece stays open: it ends when it is known that the
/// whole film has come through.
pub(crate) fn keep(shared: &Shared<'_>, mut pieces: Pieces, packets: Receiver<Muxed>) -> Result<Pieces, Halt> {
    while let Some(packet) = packets.recv()? {
        shared.go_on()?;
        match packet {
            Muxed::Video(packet, _) => {
                pieces.write(&packet)?;
                shared.written.fetch_add(1, Ordering::Relaxed);
            }
            Muxed::Border(place) => shared.notices(pieces.end(Then::Piece(place))?.into_iter().collect()),
            Muxed::Copy(_) => {}
        }
    }
    shared.go_on()?;
    Ok(pieces)
}

/// Bytes of copied packets that wait for the video before they are written regardless.
const WAITING_BYTES: usize = 64 << 20;

/// Everything into the output, copied packets when the video has reached their moment.
pub(crate) fn mux(shared: &Shared<'_>, mut muxer: Muxer, packets: Receiver<Muxed>) -> Result<Muxer, Halt> {
    let mut waiting: VecDeque<Packet> = VecDeque::new();
    let mut waiting_bytes = 0;
    let mut reached: Option<Timestamp> = None;
    while let Some(packet) = packets.recv()? {
        shared.go_on()?;
        match packet {
            Muxed::Border(_) => {}
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
