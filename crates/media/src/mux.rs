//! Packets into a container.

use std::ptr;

use ffmpeg_next::ffi;
use framelift_frame::{TimeBase, Timestamp};

use crate::containers::{Placement, holder, muxer, placement};
use crate::demux::stream_base;
use crate::destination::Destination;
use crate::error::{Code, check, must};
use crate::info::Chapter;
use crate::input::file_url;
use crate::options::Container;
use crate::output_streams::{
    Context, CopiedStream, MATROSKA_ROTATES, add_chapters, add_copy, add_video, attach_cover, describe, dictionary,
};
use crate::plan::OutputVideo;
use crate::raw::{self, Dictionary, av_base, c_bytes, os_bytes, rescale, stated};
use crate::side_data;
use crate::templates::{Role, StreamTemplates};
use crate::{CopyKind, EncodedPacket, Encoder, MediaError, Output, Packet, WriteOptions, log};

/// Writes an output beside its final name and renames it when it is whole.
///
/// Dropped without [`Muxer::finish`], it removes what it wrote.
pub struct Muxer {
    // The container is closed before the file it writes is removed.
    sink: Sink,
    /// What becomes of each stream of the input.
    copies: Vec<Option<CopiedStream>>,
    /// Added to every timestamp.
    shift: Option<Timestamp>,
    trim_start: Option<Timestamp>,
    trim_end: Option<Timestamp>,
    notices: Vec<String>,
    frames: u64,
    destination: Destination,
}

/// What takes the packets.
enum Sink {
    /// FFmpeg's muxer, and the place of the encoded video in it.
    Container { context: Context, container: Container, video: usize },
    /// One file a picture, from this number on.
    Pictures { next: u64 },
}

impl Muxer {
    /// Creates the output: the encoded video and whatever of the input's streams it can hold.
    ///
    /// # Errors
    ///
    /// [`MediaError::Exists`], and [`MediaError::Output`] when the output cannot be created.
    pub fn create(
        output: &Output,
        encoder: &Encoder,
        templates: &StreamTemplates,
        options: &WriteOptions,
    ) -> Result<Self, MediaError> {
        log::install();
        log::clear();
        let container = output.container()?;
        let mut muxer = Self {
            sink: Sink::Pictures { next: templates.first_number.unwrap_or(1) },
            copies: Vec::new(),
            shift: options.trim_start.map(|start| Timestamp::new(-start.ticks, start.base)),
            trim_start: options.trim_start,
            trim_end: options.trim_end,
            notices: Vec::new(),
            frames: 0,
            destination: Destination::create(output, options.overwrite, options.part_folder.as_deref())?,
        };
        let placements = muxer.place(container, templates, options);
        if matches!(container, Container::Png | Container::Y4m) && encoder.video().variable_frame_rate {
            muxer.notices.push(format!(
                "the film's frame rate varies, and {} holds no timestamps; a .mkv file does",
                container.name()
            ));
        }
        if container == Container::Png {
            muxer.copies.resize_with(templates.streams.len(), || None);
            return Ok(muxer);
        }
        let context = muxer.open(container, output)?;
        let video = muxer.add_streams(&context, container, encoder, templates, &placements, options)?;
        muxer.shift_to_zero(container, templates);
        muxer.write_header(&context, container, encoder.video(), templates)?;
        muxer.sink = Sink::Container { context, container, video };
        muxer.write_covers(templates, &placements)?;
        Ok(muxer)
    }

    /// Decides what becomes of each stream, and says what is lost.
    fn place(&mut self, container: Container, templates: &StreamTemplates, options: &WriteOptions) -> Vec<Placement> {
        let mut placements = Vec::new();
        for (index, stream) in templates.streams.iter().enumerate() {
            let kind = match stream.role {
                Role::Audio => Some(CopyKind::Audio),
                Role::Subtitle => Some(CopyKind::Subtitles),
                Role::Attachment => Some(CopyKind::Attachments),
                Role::Video | Role::Cover => Some(CopyKind::Video),
                Role::Data => Some(CopyKind::Data),
                Role::Main | Role::ChapterTrack => None,
            };
            if kind.is_some_and(|kind| !options.copy.holds(kind)) {
                placements.push(Placement::Remade);
                continue;
            }
            let place = placement(container, stream);
            if place == Placement::LeftOut && stream.role != Role::Main && stream.role != Role::ChapterTrack {
                let remedy = match holder(stream) {
                    Some(extension) => format!("a {extension} file holds it"),
                    None => "no container that framelift writes holds it".to_owned(),
                };
                self.notices.push(format!(
                    "{} is left out: {} cannot hold it; {remedy}",
                    describe(index, stream),
                    container.name()
                ));
            }
            placements.push(place);
        }
        let chapters = !templates.chapters.is_empty() && options.copy.holds(CopyKind::Chapters);
        if chapters && matches!(container, Container::Png | Container::Y4m) {
            self.notices.push(format!(
                "{} chapters are left out: {} cannot hold them; a .mkv file holds them",
                templates.chapters.len(),
                container.name()
            ));
        }
        placements
    }

    fn open(&self, container: Container, output: &Output) -> Result<Context, MediaError> {
        let mut raw = ptr::null_mut();
        // SAFETY: the format is static; the new context passes to its owner before anything can fail.
        let context = unsafe {
            let format = muxer(container)?;
            must(
                "preparing the output",
                ffi::avformat_alloc_output_context2(&raw mut raw, format.cast_mut(), ptr::null(), ptr::null()),
            )?;
            Context(raw)
        };
        let url = match (output, self.destination.part()) {
            (Output::Stdout, _) | (_, None) => c_bytes(b"pipe:1"),
            (_, Some(part)) => c_bytes(&os_bytes(&file_url(part))),
        };
        // SAFETY: the context is valid and the name terminated.
        let code = unsafe {
            ffi::avio_open2(&raw mut (*context.0).pb, url.as_ptr(), ffi::AVIO_FLAG_WRITE, ptr::null(), ptr::null_mut())
        };
        check(code).map_err(|code| self.failed(code))?;
        Ok(context)
    }

    /// Adds all streams in the input's order, and gives back the place of the encoded video.
    fn add_streams(
        &mut self,
        context: &Context,
        container: Container,
        encoder: &Encoder,
        templates: &StreamTemplates,
        placements: &[Placement],
        options: &WriteOptions,
    ) -> Result<usize, MediaError> {
        let mut video = None;
        for (stream, place) in templates.streams.iter().zip(placements) {
            let added = match (stream.role, place) {
                (Role::Main, _) => {
                    video = Some(add_video(context, container, encoder, stream, options)?);
                    None
                }
                (_, Placement::Copy) => Some(add_copy(context, container, stream)?),
                (_, Placement::AttachCover) => {
                    attach_cover(context, stream)?;
                    None
                }
                (_, Placement::Remade | Placement::LeftOut) => None,
            };
            self.copies.push(added);
        }
        let main = templates.streams.iter().find(|stream| stream.role == Role::Main);
        if let (Some(main), true) = (main, container.is_matroska_family() && !MATROSKA_ROTATES) {
            let degrees = main.side_data.iter().find_map(side_data::SideData::rotation_degrees).unwrap_or(0);
            if degrees != 0 {
                self.notices.push(format!(
                    "players turn the film by {degrees} degrees, which this FFmpeg cannot write to {}; a .mp4 file holds it",
                    container.name()
                ));
            }
        }
        let chapters =
            if options.copy.holds(CopyKind::Chapters) { self.trimmed(&templates.chapters) } else { Vec::new() };
        // SAFETY: the context is valid and its header not yet written.
        unsafe {
            if container != Container::Y4m {
                add_chapters(context.0, &chapters)?;
            }
            if options.copy.holds(CopyKind::Metadata) {
                (*context.0).metadata = dictionary(&templates.metadata).into_raw();
            }
        }
        video.ok_or_else(|| MediaError::internal("the output has no place for the video"))
    }

    /// Matroska holds no negative times, and MP4 shows no picture of one: a film that starts before zero is moved as a
    /// whole.
    fn shift_to_zero(&mut self, container: Container, templates: &StreamTemplates) {
        if self.shift.is_some() {
            return;
        }
        let kept = templates.streams.iter().enumerate().filter(|(index, stream)| match stream.role {
            Role::Main => true,
            // Sound before zero is there to be thrown away by decoders, and Matroska is spared it.
            Role::Audio => false,
            _ => container.is_matroska_family() && self.copies.get(*index).is_some_and(Option::is_some),
        });
        let starts = kept.filter_map(|(_, stream)| Some(Timestamp::new(stream.start_ticks?, stream.time_base)));
        if let Some(first) = starts.min().filter(|first| first.ticks < 0) {
            self.notices.push(format!(
                "the film starts at {first}, and {} shows nothing before zero; all of it is moved to start at 0",
                container.name()
            ));
            self.shift = Some(Timestamp::new(-first.ticks, first.base));
        }
    }

    fn write_header(
        &self,
        context: &Context,
        container: Container,
        video: &OutputVideo,
        templates: &StreamTemplates,
    ) -> Result<(), MediaError> {
        let mut options = Dictionary::new();
        if container.is_mov_family() {
            let (track, movie) = self.timescales(video, templates);
            options.set("video_track_timescale", &track.to_string());
            options.set("movie_timescale", &movie.to_string());
        }
        if container == Container::Matroska {
            // The flags of the streams are the input's, not FFmpeg's choice.
            options.set("default_mode", "passthrough");
        }
        // SAFETY: the context has its streams and writer.
        unsafe {
            if container.is_matroska_family() {
                // Done here, for FFmpeg would move the film by however much sound lies before zero.
                (*context.0).avoid_negative_ts = 0;
                // Without it the identifiers of film and tracks are drawn by chance, and no two files are equal.
                (*context.0).flags |= ffi::AVFMT_FLAG_BITEXACT;
            }
            if container == Container::Y4m {
                (*context.0).strict_std_compliance = ffi::FF_COMPLIANCE_UNOFFICIAL;
            }
            let code = ffi::avformat_write_header(context.0, options.as_mut_ptr());
            check(code).map_err(|code| self.failed(code))?;
        }
        Ok(())
    }

    /// Ticks a second of video tracks, in which every timestamp of the input is whole, and of the movie, in which the
    /// starts of all tracks are.
    fn timescales(&self, video: &OutputVideo, templates: &StreamTemplates) -> (i64, i64) {
        const LARGEST: i64 = 50_000_000;
        let main = i64::from(video.time_base.den);
        let copied = |role| {
            let streams = templates.streams.iter().zip(&self.copies);
            streams
                .filter(move |(stream, copy)| stream.role == role && copy.is_some())
                .map(|(stream, _)| i64::from(stream.time_base.den))
        };
        let common = |start: i64, others: &mut dyn Iterator<Item = i64>| {
            others.fold(start, |all, den| Some(lcm(all, den)).filter(|&all| all <= LARGEST.max(main)).unwrap_or(all))
        };
        let track = common(main, &mut copied(Role::Video));
        let movie = common(track, &mut copied(Role::Audio));
        (track, movie)
    }

    /// Cover pictures that MP4 and MOV keep as tracks of one packet.
    fn write_covers(&mut self, templates: &StreamTemplates, placements: &[Placement]) -> Result<(), MediaError> {
        for (index, (stream, place)) in templates.streams.iter().zip(placements).enumerate() {
            if stream.role != Role::Cover || *place != Placement::Copy || stream.picture.is_empty() {
                continue;
            }
            let Some(target) = self.copies[index].as_ref().map(|copy| copy.index) else { continue };
            let mut packet = raw::Packet::of(&stream.picture)?;
            let raw = packet.as_mut();
            (raw.pts, raw.dts, raw.stream_index) = (0, 0, target as i32);
            raw.flags |= ffi::AV_PKT_FLAG_KEY;
            self.write(&packet)?;
        }
        Ok(())
    }

    /// What the container cannot hold, and which can, since the last call.
    pub fn take_notices(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notices)
    }

    /// Whether packets of the input's stream `index` are copied.
    #[must_use]
    pub fn copies(&self, index: usize) -> bool {
        self.copies.get(index).and_then(Option::as_ref).is_some_and(|copy| copy.role != Role::Cover)
    }

    /// Writes a packet of the encoded video.
    ///
    /// # Errors
    ///
    /// [`MediaError::Output`] when writing fails.
    pub fn write_video(&mut self, packet: EncodedPacket) -> Result<(), MediaError> {
        let frame = self.frames;
        self.frames += 1;
        let shift = self.shift_in(packet.time_base);
        match &mut self.sink {
            Sink::Pictures { next } => {
                let number = *next;
                *next += 1;
                self.destination.write_picture(number, packet.raw.payload())
            }
            Sink::Container { context, container, video } => {
                let mut raw_packet = packet.raw;
                let raw = raw_packet.as_mut();
                raw.pts += shift;
                raw.dts += shift;
                raw.pos = -1;
                raw.stream_index = *video as i32;
                if *container == Container::Y4m {
                    // Frames follow one another without timestamps; FFmpeg only wants growing ones.
                    (raw.pts, raw.dts, raw.duration) = (frame as i64, frame as i64, 1);
                } else {
                    // SAFETY: the stream is one of the context's, and the packet valid.
                    unsafe {
                        let to = stream_base(*(*context.0).streams.add(*video));
                        ffi::av_packet_rescale_ts(raw, av_base(packet.time_base), av_base(to));
                    }
                }
                self.write(&raw_packet)
            }
        }
    }

    /// Copies a packet of the input; packets of streams that are not copied are dropped.
    ///
    /// # Errors
    ///
    /// [`MediaError::Output`] when writing fails.
    pub fn copy(&mut self, packet: Packet) -> Result<(), MediaError> {
        let base = packet.time_base;
        let shift = self.shift_in(base);
        let (start, end) = (ticks_in(self.trim_start, base), ticks_in(self.trim_end, base));
        let Sink::Container { context, container, .. } = &self.sink else { return Ok(()) };
        let Some(Some(copy)) = self.copies.get_mut(packet.stream_index()) else { return Ok(()) };
        if copy.role == Role::Cover {
            return Ok(());
        }
        let mut packet = packet.raw;
        let raw = packet.as_mut();
        let dts = stated(raw.dts).unwrap_or_else(|| copy.decoding_ticks(stated(raw.pts), raw.duration));
        let pts = stated(raw.pts).unwrap_or(dts);
        copy.end_ticks = Some(dts + raw.duration.max(0));
        (raw.pts, raw.dts) = (pts, dts);
        if end.is_some_and(|end| pts >= end) {
            return Ok(());
        }
        if let Some(start) = start.filter(|&start| pts < start) {
            // A subtitle that is still shown at the start is shown from there on.
            if copy.role != Role::Subtitle || pts + raw.duration <= start {
                return Ok(());
            }
            raw.duration -= start - pts;
            (raw.pts, raw.dts) = (start, start);
        }
        raw.pts += shift + copy.delay;
        raw.dts += shift + copy.delay;
        if container.is_matroska_family() && raw.pts < 0 {
            // Matroska holds no negative times. Sound there is only what a decoder throws away at its start.
            return Ok(());
        }
        raw.pos = -1;
        raw.stream_index = copy.index as i32;
        // SAFETY: the stream is one of the context's, and the packet valid.
        unsafe {
            let to = stream_base(*(*context.0).streams.add(copy.index));
            ffi::av_packet_rescale_ts(raw, av_base(base), av_base(to));
        }
        // Muxers refuse decoding times that do not grow; damaged films and coarser ticks have them.
        let least = copy
            .last_dts
            .map(|last| if copy.role == Role::Subtitle || copy.role == Role::Data { last } else { last + 1 });
        if let Some(least) = least.filter(|&least| raw.dts < least) {
            raw.dts = least;
            raw.pts = raw.pts.max(least);
        }
        copy.last_dts = Some(raw.dts);
        self.write(&packet)
    }

    fn write(&self, packet: &raw::Packet) -> Result<(), MediaError> {
        let Sink::Container { context, .. } = &self.sink else { return Ok(()) };
        log::clear();
        // SAFETY: the header is written; FFmpeg takes the packet's contents and leaves it blank.
        let code = unsafe { ffi::av_interleaved_write_frame(context.0, packet.as_ptr()) };
        check(code).map(drop).map_err(|code| self.failed(code))
    }

    fn shift_in(&self, base: TimeBase) -> i64 {
        ticks_in(self.shift, base).unwrap_or(0)
    }

    fn trimmed(&self, chapters: &[Chapter]) -> Vec<Chapter> {
        let kept = chapters.iter().filter(|chapter| {
            self.trim_start.is_none_or(|start| chapter.end > start)
                && self.trim_end.is_none_or(|end| chapter.start < end)
        });
        kept.map(|chapter| {
            let mut chapter = chapter.clone();
            if let Some(end) = self.trim_end.filter(|&end| chapter.end > end) {
                chapter.end = Timestamp::new(rescale(end.ticks, end.base, chapter.end.base), chapter.end.base);
            }
            let shift = self.shift_in(chapter.start.base);
            chapter.start.ticks = (chapter.start.ticks + shift).max(0);
            chapter.end.ticks += shift;
            chapter
        })
        .collect()
    }

    fn failed(&self, code: Code) -> MediaError {
        match code.errno() {
            Some(errno) if errno != libc::EINVAL => self.destination.failed_errno(errno),
            _ => self.destination.failed(code.describe(), "write to a .mkv file, or leave streams out with --copy"),
        }
    }

    /// Completes the output and gives it its name.
    ///
    /// # Errors
    ///
    /// [`MediaError::Output`] when anything, to the last byte, cannot be written.
    pub fn finish(self) -> Result<(), MediaError> {
        self.complete()?.publish()
    }

    /// Completes the output, which still lies where nobody looks.
    ///
    /// # Errors
    ///
    /// [`MediaError::Output`] when anything, to the last byte, cannot be written.
    pub fn complete(mut self) -> Result<Complete, MediaError> {
        log::clear();
        if let Sink::Container { context, .. } = &mut self.sink {
            // SAFETY: the header is written. Closing flushes what is left, and may fail for want of space.
            let (trailer, kept, closed) = unsafe {
                let trailer = ffi::av_write_trailer(context.0);
                ffi::avio_flush((*context.0).pb);
                let kept = (*(*context.0).pb).error;
                (trailer, kept, ffi::avio_closep(&raw mut (*context.0).pb))
            };
            for code in [kept, trailer, closed] {
                check(code).map_err(|code| self.failed(code))?;
            }
        }
        Ok(Complete(self.destination))
    }
}

/// An output that is whole and has not yet its name. Dropped, it is removed.
pub struct Complete(Destination);

impl Complete {
    /// Gives the output its name.
    ///
    /// # Errors
    ///
    /// [`MediaError::Exists`] where the name was taken meanwhile, [`MediaError::Output`].
    pub fn publish(self) -> Result<(), MediaError> {
        self.0.publish()
    }
}

fn ticks_in(time: Option<Timestamp>, base: TimeBase) -> Option<i64> {
    time.map(|time| rescale(time.ticks, time.base, base))
}

fn lcm(a: i64, b: i64) -> i64 {
    let (mut x, mut y) = (a, b);
    while y != 0 {
        (x, y) = (y, x % y);
    }
    (a / x).saturating_mul(b)
}
