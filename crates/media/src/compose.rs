//! Films from scratch: frames at any times, with sound, subtitles, chapters and fonts beside them.
//!
//! For demonstrations and tests. Pictures go through [`ToYuv`] and [`Encoder`] like those of any film; sound is
//! uncompressed, and subtitles and attachments are handed to the container as they are, so that no other encoder is
//! needed. Matroska holds all of it.

use ffmpeg_next::ffi;
use framelift_frame::{ChromaLocation, ColorSpec, Frame, Size, TimeBase, Timestamp};

use crate::color::Context;
use crate::demux::Packet;
use crate::info::{Chapter, Combing, MediaInfo, Metadata, Scan, StreamInfo, StreamKind, VideoInfo};
use crate::pixel::Format;
use crate::raw::{self, Parameters};
use crate::side_data::SideData;
use crate::templates::{Role, StreamTemplate, StreamTemplates};
use crate::{Encoder, MediaError, Muxer, Output, OutputVideo, ToYuv, WriteOptions};

/// Samples of sound in one packet.
const SAMPLES_IN_A_PACKET: usize = 1024;

/// The ticks of text and chapters.
const MILLISECONDS: TimeBase = TimeBase::new(1, 1000);

/// What the pictures of a film are to be.
#[derive(Clone, Debug)]
pub struct Canvas {
    /// Width and height.
    pub size: Size,
    /// FFmpeg's name of a pixel format; an encoder that does not take it gets the closest.
    pub format: String,
    /// Colours; what is left open is filled in as players do.
    pub color: ColorSpec,
    /// Width to height of a pixel.
    pub sample_aspect_ratio: (i32, i32),
    /// Frames a second, for rate control; frames bear their own times.
    pub frame_rate: (i32, i32),
    /// The length of a tick.
    pub time_base: TimeBase,
    /// Degrees, clockwise, that players turn the pictures by. Matroska holds them from FFmpeg 6.1 on, MP4 and MOV always.
    pub rotation_degrees: i32,
}

impl Canvas {
    /// Pictures of `size`, 4:2:0 of 8 bits, 24 a second, with ticks of a millisecond.
    #[must_use]
    pub fn new(size: Size) -> Self {
        Self {
            size,
            format: "yuv420p".to_owned(),
            color: ColorSpec::default(),
            sample_aspect_ratio: (1, 1),
            frame_rate: (24, 1),
            time_base: MILLISECONDS,
            rotation_degrees: 0,
        }
    }
}

/// A line of subtitles.
#[derive(Clone, Debug)]
pub struct Cue {
    /// When it appears.
    pub start_ms: i64,
    /// When it goes.
    pub end_ms: i64,
    /// What it says.
    pub text: String,
}

/// How subtitles are written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubtitleFormat {
    /// SubRip: plain text.
    SubRip,
    /// Advanced SubStation Alpha: text with styles and fonts.
    Ass,
}

/// What an ASS stream starts with: one style, in the font that is named.
fn ass_header(font: &str, size: Size) -> String {
    format!(
        "[Script Info]\nScriptType: v4.00+\nPlayResX: {}\nPlayResY: {}\n\n[V4+ Styles]\nFormat: Name, Fontname, Fontsize, \
         PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, Underline, StrikeOut, ScaleX, ScaleY, \
         Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, MarginV, Encoding\nStyle: \
         Default,{font},{},&Hffffff,&Hffffff,&H0,&H0,0,0,0,0,100,100,0,0,1,1,0,2,10,10,10,1\n\n[Events]\nFormat: Layer, \
         Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n",
        size.width,
        size.height,
        (size.height / 12).max(8),
    )
}

/// A film in the making.
pub struct Composition {
    canvas: Canvas,
    streams: Vec<StreamTemplate>,
    packets: Vec<Packet>,
    chapters: Vec<Chapter>,
    metadata: Metadata,
}

impl Composition {
    /// A film of pictures alone.
    ///
    /// # Errors
    ///
    /// [`MediaError::Internal`] without memory.
    pub fn new(canvas: Canvas) -> Result<Self, MediaError> {
        let mut parameters = Parameters::new()?;
        parameters.as_mut().codec_type = ffi::AVMediaType::AVMEDIA_TYPE_VIDEO;
        let mut main = template(Role::Main, parameters, canvas.time_base, Metadata::new());
        if canvas.rotation_degrees != 0 {
            main.side_data.push(SideData::rotation(canvas.rotation_degrees));
        }
        Ok(Self { canvas, streams: vec![main], packets: Vec::new(), chapters: Vec::new(), metadata: Metadata::new() })
    }

    /// Adds a track of sound: samples of all channels in turn, −32768 to 32767, starting at zero.
    ///
    /// # Errors
    ///
    /// [`MediaError::Internal`] without memory.
    pub fn sound(
        &mut self,
        sample_rate: u32,
        channels: u32,
        samples: &[i16],
        metadata: &[(&str, &str)],
    ) -> Result<&mut Self, MediaError> {
        let mut parameters = Parameters::new()?;
        let p = parameters.as_mut();
        p.codec_type = ffi::AVMediaType::AVMEDIA_TYPE_AUDIO;
        p.codec_id = ffi::AVCodecID::AV_CODEC_ID_PCM_S16LE;
        p.format = ffi::AVSampleFormat::AV_SAMPLE_FMT_S16 as i32;
        p.sample_rate = i32::try_from(sample_rate).unwrap_or(48_000);
        p.bits_per_coded_sample = 16;
        p.block_align = 2 * channels as i32;
        p.bit_rate = i64::from(sample_rate) * i64::from(channels) * 16;
        // SAFETY: the layout is that of valid parameters.
        unsafe { ffi::av_channel_layout_default(&raw mut p.ch_layout, channels as i32) };
        let base = TimeBase::new(1, p.sample_rate);
        let index = self.add(template(Role::Audio, parameters, base, owned(metadata)));
        let step = SAMPLES_IN_A_PACKET * channels.max(1) as usize;
        for (at, block) in samples.chunks(step).enumerate() {
            let payload: Vec<u8> = block.iter().flat_map(|sample| sample.to_le_bytes()).collect();
            let duration = (block.len() / channels.max(1) as usize) as i64;
            self.packet(index, &payload, (at * SAMPLES_IN_A_PACKET) as i64, duration, base)?;
        }
        Ok(self)
    }

    /// Adds a track of subtitles. ASS is set in the font `Framelift Test`.
    ///
    /// # Errors
    ///
    /// [`MediaError::Internal`] without memory.
    pub fn subtitles(
        &mut self,
        format: SubtitleFormat,
        cues: &[Cue],
        metadata: &[(&str, &str)],
    ) -> Result<&mut Self, MediaError> {
        let mut parameters = Parameters::new()?;
        parameters.as_mut().codec_type = ffi::AVMediaType::AVMEDIA_TYPE_SUBTITLE;
        parameters.as_mut().codec_id = match format {
            SubtitleFormat::SubRip => ffi::AVCodecID::AV_CODEC_ID_SUBRIP,
            SubtitleFormat::Ass => ffi::AVCodecID::AV_CODEC_ID_ASS,
        };
        if format == SubtitleFormat::Ass {
            parameters.set_extradata(ass_header("Framelift Test", self.canvas.size).as_bytes())?;
        }
        let index = self.add(template(Role::Subtitle, parameters, MILLISECONDS, owned(metadata)));
        for (order, cue) in cues.iter().enumerate() {
            let text = match format {
                SubtitleFormat::SubRip => cue.text.clone(),
                SubtitleFormat::Ass => format!("{order},0,Default,,0,0,0,,{}", cue.text),
            };
            self.packet(index, text.as_bytes(), cue.start_ms, cue.end_ms - cue.start_ms, MILLISECONDS)?;
        }
        Ok(self)
    }

    /// Adds a file, such as a font (`font/ttf`).
    ///
    /// # Errors
    ///
    /// [`MediaError::Internal`] without memory.
    pub fn attachment(&mut self, file_name: &str, mime_type: &str, bytes: &[u8]) -> Result<&mut Self, MediaError> {
        let mut parameters = Parameters::new()?;
        parameters.as_mut().codec_type = ffi::AVMediaType::AVMEDIA_TYPE_ATTACHMENT;
        parameters.as_mut().codec_id = match mime_type {
            "font/ttf" | "application/x-truetype-font" => ffi::AVCodecID::AV_CODEC_ID_TTF,
            "font/otf" | "application/vnd.ms-opentype" => ffi::AVCodecID::AV_CODEC_ID_OTF,
            _ => ffi::AVCodecID::AV_CODEC_ID_BIN_DATA,
        };
        parameters.set_extradata(bytes)?;
        let metadata = owned(&[("filename", file_name), ("mimetype", mime_type)]);
        self.add(template(Role::Attachment, parameters, MILLISECONDS, metadata));
        Ok(self)
    }

    /// Adds a cover picture, the bytes of a PNG file.
    ///
    /// # Errors
    ///
    /// [`MediaError::Internal`] without memory.
    pub fn cover_png(&mut self, png: &[u8]) -> Result<&mut Self, MediaError> {
        let mut parameters = Parameters::new()?;
        parameters.as_mut().codec_type = ffi::AVMediaType::AVMEDIA_TYPE_VIDEO;
        parameters.as_mut().codec_id = ffi::AVCodecID::AV_CODEC_ID_PNG;
        // A PNG file states its size in the first chunk, behind eight bytes of signature and eight of chunk header.
        let side_px = |at: usize| png.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(1, i32::from_be_bytes);
        (parameters.as_mut().width, parameters.as_mut().height) = (side_px(16), side_px(20));
        let mut cover = template(Role::Cover, parameters, MILLISECONDS, Metadata::new());
        cover.disposition = ffi::AV_DISPOSITION_ATTACHED_PIC;
        cover.picture = png.to_vec();
        self.add(cover);
        Ok(self)
    }

    /// Adds a chapter.
    pub fn chapter(&mut self, start_ms: i64, end_ms: i64, title: &str) -> &mut Self {
        self.chapters.push(Chapter {
            start: Timestamp::new(start_ms, MILLISECONDS),
            end: Timestamp::new(end_ms, MILLISECONDS),
            metadata: owned(&[("title", title)]),
        });
        self
    }

    /// Says something of the whole film, such as its `title`.
    pub fn metadata(&mut self, key: &str, value: &str) -> &mut Self {
        self.metadata.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Says something of the pictures' stream, such as its `language`.
    pub fn video_metadata(&mut self, key: &str, value: &str) -> &mut Self {
        if let Some(main) = self.streams.first_mut() {
            main.metadata.push((key.to_owned(), value.to_owned()));
        }
        self
    }

    /// Marks the stream added last, or the pictures where none was, as the default of its kind.
    pub fn default_stream(&mut self) -> &mut Self {
        if let Some(stream) = self.streams.last_mut() {
            stream.disposition |= ffi::AV_DISPOSITION_DEFAULT;
        }
        self
    }

    fn add(&mut self, stream: StreamTemplate) -> usize {
        self.streams.push(stream);
        self.streams.len() - 1
    }

    fn packet(
        &mut self,
        index: usize,
        payload: &[u8],
        ticks: i64,
        duration_ticks: i64,
        base: TimeBase,
    ) -> Result<(), MediaError> {
        let mut packet = raw::Packet::of(payload)?;
        let raw = packet.as_mut();
        (raw.pts, raw.dts, raw.duration) = (ticks, ticks, duration_ticks);
        raw.stream_index = index as i32;
        raw.flags |= ffi::AV_PKT_FLAG_KEY;
        self.packets.push(Packet { raw: packet, time_base: base });
        Ok(())
    }

    /// Encodes `frames`, whose times must lie on the canvas's ticks and grow, and writes the film.
    ///
    /// # Errors
    ///
    /// As of [`OutputVideo::plan`], [`Encoder`] and [`Muxer`]; [`MediaError::Usage`] for an unknown pixel format.
    pub fn write(
        mut self,
        output: &Output,
        options: &WriteOptions,
        frames: impl IntoIterator<Item = Frame>,
    ) -> Result<(), MediaError> {
        let mut frames = frames.into_iter().peekable();
        if let (Some(first), Some(main)) = (frames.peek(), self.streams.first_mut()) {
            main.start_ticks = Some(first.time.ticks);
        }
        let info = self.info()?;
        let plan = OutputVideo::plan(&info, self.canvas.size, output, options)?;
        let mut to_yuv = ToYuv::new(self.canvas.size, &plan)?;
        let mut encoder = Encoder::new(&plan, output, options)?;
        let templates = StreamTemplates {
            streams: self.streams,
            chapters: self.chapters,
            metadata: self.metadata,
            first_number: None,
        };
        let mut muxer = Muxer::create(output, &encoder, &templates, options)?;
        let mut packets = self.packets;
        packets.sort_by_key(|packet| packet.time());
        let mut packets = packets.into_iter().peekable();
        for frame in frames {
            while let Some(packet) = packets.next_if(|packet| packet.time().is_none_or(|time| time <= frame.time)) {
                muxer.copy(packet)?;
            }
            encoder.send(to_yuv.push(&frame)?)?;
            while let Some(packet) = encoder.receive()? {
                muxer.write_video(packet)?;
            }
        }
        encoder.finish()?;
        while let Some(packet) = encoder.receive()? {
            muxer.write_video(packet)?;
        }
        for packet in packets {
            muxer.copy(packet)?;
        }
        muxer.finish()
    }

    /// The film as a container would describe it.
    fn info(&self) -> Result<MediaInfo, MediaError> {
        let canvas = &self.canvas;
        let unknown =
            || MediaError::usage(format!("{} is not a pixel format", canvas.format), "use one such as yuv420p");
        let format = Format::named(&canvas.format).ok_or_else(unknown)?;
        let layout = format.layout().ok_or_else(unknown)?;
        let video = VideoInfo {
            size: canvas.size,
            format: layout,
            format_name: canvas.format.clone(),
            color: canvas.color,
            sample_aspect_ratio: canvas.sample_aspect_ratio,
            average_frame_rate: Some(canvas.frame_rate),
            base_frame_rate: None,
            rotation_degrees: canvas.rotation_degrees,
            scan: Scan::Progressive,
            combing: Combing::Whole,
            pulldown: false,
            deinterlace: None,
            time_base: canvas.time_base,
            cover: false,
            mastering_display: false,
            dolby_vision: false,
            dynamic_hdr: false,
            dolby_vision_only: false,
            captions: false,
            light: Vec::new(),
            frames_estimate: None,
            resolve: Context {
                size: canvas.size,
                layout,
                full_range: format.is_full_range_yuv(),
                centered_chroma: canvas.color.chroma_location == ChromaLocation::Center,
            },
        };
        let stream = StreamInfo {
            index: 0,
            kind: StreamKind::Video(video),
            codec: "none".to_owned(),
            time_base: canvas.time_base,
            start: None,
            duration_ticks: None,
            frames: None,
            language: None,
            title: None,
            dispositions: Vec::new(),
            metadata: Metadata::new(),
        };
        Ok(MediaInfo { streams: vec![stream], video: Some(0), ..MediaInfo::default() })
    }
}

fn template(role: Role, parameters: Parameters, time_base: TimeBase, metadata: Metadata) -> StreamTemplate {
    StreamTemplate {
        role,
        parameters,
        time_base,
        average_frame_rate: None,
        start_ticks: None,
        metadata,
        disposition: 0,
        side_data: Vec::new(),
        picture: Vec::new(),
    }
}

fn owned(pairs: &[(&str, &str)]) -> Metadata {
    pairs.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
}
