//! Packets out of pictures.

use std::collections::BTreeMap;
use std::ptr;

use ffmpeg_next::ffi;
use framelift_frame::{TimeBase, Timestamp};

use crate::containers::wants_global_header;
use crate::encoders::VideoEncoder;
use crate::error::{Code, check, must};
use crate::heap::{CleanMemory, trim_heap};
use crate::options::Container;
use crate::raw::{self, Dictionary, Parameters, av_base, rational, stated};
use crate::{MediaError, Output, OutputVideo, Picture, WriteOptions, hdr, log};

/// Encodes pictures in order of display.
pub struct Encoder {
    context: *mut ffi::AVCodecContext,
    video: OutputVideo,
    output: String,
    /// Whether what it makes depends on what memory held before.
    reads_unwritten_memory: bool,
    clock: Clock,
    waiting: std::collections::VecDeque<EncodedPacket>,
}

/// Where the timestamps of pictures are kept while they are inside the encoder.
///
/// Most encoders carry any timestamp. Those whose codec counts frames are given numbers, and get their true times back
/// by these.
struct Clock {
    counts_frames: bool,
    /// By what the encoder knows a picture by: its ticks, or its number.
    pictures: BTreeMap<i64, (i64, i64)>,
    sent: i64,
    first: Option<(i64, i64)>,
}

// SAFETY: the context has one owner and is only used through it, one thread at a time.
unsafe impl Send for Encoder {}

impl Encoder {
    /// Opens the encoder for `output`.
    ///
    /// # Errors
    ///
    /// [`MediaError::Usage`] for options the encoder does not know or take.
    pub fn new(video: &OutputVideo, output: &Output, options: &WriteOptions) -> Result<Self, MediaError> {
        log::install();
        log::clear();
        let codec = VideoEncoder::find(&video.encoder)?;
        let mut settings = Dictionary::new();
        for (key, value) in settings_of(codec, video, options)? {
            settings.set(&key, &value);
        }
        let mut encoder = Self {
            context: ptr::null_mut(),
            video: video.clone(),
            output: output.to_string(),
            reads_unwritten_memory: codec.reads_unwritten_memory(),
            clock: Clock { counts_frames: codec.counts_frames(), pictures: BTreeMap::new(), sent: 0, first: None },
            waiting: std::collections::VecDeque::new(),
        };
        let _clean = codec.reads_unwritten_memory().then(CleanMemory::new);
        // SAFETY: the pointer is checked before use; the context is freed by drop whatever happens.
        unsafe {
            encoder.context = ffi::avcodec_alloc_context3(codec.as_ptr());
            let Some(context) = encoder.context.as_mut() else { return Err(raw::out_of_memory()) };
            context.width = side_px(video.size.width)?;
            context.height = side_px(video.size.height)?;
            (&raw mut context.pix_fmt).cast::<i32>().write(video.av_format.0);
            context.sample_aspect_ratio = rational(video.sample_aspect_ratio);
            set_colors(context, video);
            context.time_base = av_base(video.time_base);
            if let Some(rate) = video.frame_rate {
                context.framerate = rational(rate);
            }
            // 0 is as many as the encoder likes; the library by itself would use one.
            context.thread_count = i32::try_from(options.encoder_threads).unwrap_or(0);
            if encoder.clock.counts_frames {
                let (num, den) = codec.nearest_rate(video.frame_rate.unwrap_or((25, 1)));
                context.time_base = rational((den, num));
                context.framerate = rational((num, den));
            }
            if wants_global_header(video.container)? {
                context.flags |= ffi::AV_CODEC_FLAG_GLOBAL_HEADER as i32;
            }
            if video.container == Container::Y4m {
                context.strict_std_compliance = ffi::FF_COMPLIANCE_UNOFFICIAL;
            }
            let opened = ffi::avcodec_open2(context, codec.as_ptr(), settings.as_mut_ptr());
            check(opened).map_err(|code| refused(&video.encoder, code))?;
        }
        let unknown = settings.pairs();
        if let Some((key, _)) = unknown.first() {
            return Err(MediaError::usage(
                format!("the encoder {} has no option {key}", video.encoder),
                format!("ffmpeg -h encoder={} lists those it has", video.encoder),
            ));
        }
        Ok(encoder)
    }

    /// What the encoder makes.
    #[must_use]
    pub fn video(&self) -> &OutputVideo {
        &self.video
    }

    /// What a muxer must know of the stream.
    pub(crate) fn parameters(&self) -> Result<Parameters, MediaError> {
        let parameters = Parameters::new()?;
        // SAFETY: both are valid and the context is open.
        must("describing the encoded video", unsafe {
            ffi::avcodec_parameters_from_context(parameters.as_ptr(), self.context)
        })?;
        Ok(parameters)
    }

    /// The codec's header, as containers keep it beside the stream; empty where there is none.
    #[must_use]
    pub fn header(&self) -> Vec<u8> {
        // SAFETY: the context is open; its header, where there is one, has as many bytes as it says.
        unsafe {
            let context = &*self.context;
            match usize::try_from(context.extradata_size) {
                Ok(size) if size > 0 && !context.extradata.is_null() => {
                    std::slice::from_raw_parts(context.extradata, size).to_vec()
                }
                _ => Vec::new(),
            }
        }
    }

    /// How many pictures the coding order may run ahead of the order of display.
    #[must_use]
    pub fn reorder_delay(&self) -> usize {
        // SAFETY: the context is open.
        usize::try_from(unsafe { (*self.context).has_b_frames }).unwrap_or(0)
    }

    /// What becomes of a plain picture: bytes that tell apart encoders of other versions, options or threads, as far as
    /// they say so in their stream. The encoder cannot be used afterwards.
    ///
    /// # Errors
    ///
    /// [`MediaError::Output`] when the encoder fails.
    pub fn fingerprint(mut self) -> Result<Vec<u8>, MediaError> {
        let time = Timestamp::new(0, self.video.time_base);
        let (size, format) = (self.video.size, self.video.av_format);
        let mut frame = raw::Frame::with_buffer(format.0, side_px(size.width)?, side_px(size.height)?)?;
        crate::color::set_color_codes!(frame.as_mut(), self.video.color, chroma_location);
        frame.zero();
        let mut bytes = self.header();
        self.send(Picture::new(frame, time, 1))?;
        self.finish()?;
        while let Some(packet) = self.receive()? {
            bytes.extend_from_slice(packet.raw.payload());
        }
        Ok(bytes)
    }

    /// Takes the next picture in order of display.
    ///
    /// # Errors
    ///
    /// [`MediaError::Output`] when the encoder fails, [`MediaError::Internal`] for a picture in another time base.
    pub fn send(&mut self, mut picture: Picture) -> Result<(), MediaError> {
        let ticks = picture.time().exactly_in(self.video.time_base).ok_or_else(|| {
            MediaError::internal(format!(
                "a picture at {} ticks of {} is not on a tick of {}",
                picture.time().ticks,
                picture.time().base,
                self.video.time_base
            ))
        })?;
        let duration_ticks = picture.duration_ticks().max(1);
        let raw = picture.frame.as_mut();
        raw.pts = self.clock.enter(ticks, duration_ticks);
        raw.pict_type = ffi::AVPictureType::AV_PICTURE_TYPE_NONE;
        // SAFETY: the context is open. Encoders of a constant quantizer read it off each picture.
        raw.quality = unsafe { (*self.context).global_quality };
        self.send_raw(picture.frame.as_ptr())
    }

    /// Says that no picture follows; [`Self::receive`] then gives back what the encoder still holds.
    ///
    /// # Errors
    ///
    /// [`MediaError::Output`] when the encoder fails.
    pub fn finish(&mut self) -> Result<(), MediaError> {
        self.send_raw(ptr::null())
    }

    fn send_raw(&mut self, frame: *const ffi::AVFrame) -> Result<(), MediaError> {
        log::clear();
        let _clean = self.reads_unwritten_memory.then(CleanMemory::new);
        loop {
            // SAFETY: the context is open; the frame is valid, or null, which starts the draining.
            match check(unsafe { ffi::avcodec_send_frame(self.context, frame) }) {
                Ok(_) | Err(Code::EOF) => return Ok(()),
                // The encoder wants to be emptied first.
                Err(Code::AGAIN) => match self.take()? {
                    Some(packet) => self.waiting.push_back(packet),
                    None => return Err(MediaError::internal("the encoder takes no picture and gives no packet")),
                },
                Err(code) => return Err(self.failed(code)),
            }
        }
    }

    /// The next packet, in order of decoding; `None` when another picture is needed, or at the end.
    ///
    /// # Errors
    ///
    /// [`MediaError::Output`] when the encoder fails.
    pub fn receive(&mut self) -> Result<Option<EncodedPacket>, MediaError> {
        match self.waiting.pop_front() {
            Some(packet) => Ok(Some(packet)),
            None => self.take(),
        }
    }

    fn take(&mut self) -> Result<Option<EncodedPacket>, MediaError> {
        log::clear();
        let mut packet = raw::Packet::new()?;
        // SAFETY: the context is open and the packet blank.
        match check(unsafe { ffi::avcodec_receive_packet(self.context, packet.as_ptr()) }) {
            Ok(_) => {}
            Err(Code::AGAIN | Code::EOF) => return Ok(None),
            Err(code) => return Err(self.failed(code)),
        }
        self.clock.leave(packet.as_mut());
        Ok(Some(EncodedPacket { raw: packet, time_base: self.video.time_base }))
    }

    fn failed(&self, code: Code) -> MediaError {
        let why = log::latest_of(&self.video.encoder).unwrap_or_else(|| code.describe());
        MediaError::Output {
            output: self.output.clone(),
            what: format!("the encoder {} failed: {why}", self.video.encoder),
            remedy: "try other --encoder-options or another --codec".to_owned(),
        }
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        // SAFETY: self owns the context, which may be null, and is gone after this.
        unsafe { ffi::avcodec_free_context(&raw mut self.context) };
        trim_heap();
    }
}

impl Clock {
    /// Keeps a picture's time, and gives what the encoder is to know it by.
    fn enter(&mut self, ticks: i64, duration_ticks: i64) -> i64 {
        let key = if self.counts_frames { self.sent } else { ticks };
        self.sent += 1;
        self.first.get_or_insert((ticks, duration_ticks));
        self.pictures.insert(key, (ticks, duration_ticks));
        key
    }

    /// Gives a packet its picture's time and duration.
    fn leave(&mut self, packet: &mut ffi::AVPacket) {
        let decoded = stated(packet.dts).unwrap_or(packet.pts);
        let (ticks, duration_ticks) = self.pictures.get(&packet.pts).copied().unwrap_or((packet.pts, packet.duration));
        packet.dts = decoded;
        if self.counts_frames {
            packet.dts = match (self.pictures.get(&decoded), self.first) {
                (Some(&(ticks, _)), _) => ticks,
                (None, Some((first, usual))) => first + decoded * usual,
                (None, None) => decoded,
            };
            // Numbers below this packet's are not asked for again: decoding times only grow.
            self.pictures = self.pictures.split_off(&decoded);
        } else {
            self.pictures.remove(&packet.pts);
        }
        packet.pts = ticks;
        packet.duration = duration_ticks;
    }
}

fn set_colors(context: &mut ffi::AVCodecContext, video: &OutputVideo) {
    crate::color::set_color_codes!(context, video.color, chroma_sample_location);
}

fn settings_of(
    codec: VideoEncoder,
    video: &OutputVideo,
    options: &WriteOptions,
) -> Result<Vec<(String, String)>, MediaError> {
    let mut settings = if matches!(video.container, Container::Png | Container::Y4m) {
        if options.crf.is_some() || options.preset.is_some() {
            return Err(MediaError::usage(
                format!("{} has no quality to choose: it is lossless", video.container.name()),
                "leave --crf and --preset out",
            ));
        }
        Vec::new()
    } else {
        let (num, den) = video.frame_rate.unwrap_or((25, 1));
        // Generous for encoders that know nothing but a rate: a fifth of a bit a pixel.
        let bit_rate = video.size.pixels() as f64 * f64::from(num) / f64::from(den) * 0.2;
        codec.settings(options.crf, options.preset.as_deref(), bit_rate as u64)?
    };
    if video.format.alpha && video.encoder.starts_with("libvpx") {
        // Pictures that are not shown have no alpha to lie beside them.
        settings.push(("auto-alt-ref".to_owned(), "0".to_owned()));
    }
    if let Some((key, value)) = hdr::encoder_option(&video.encoder, &video.light) {
        add(&mut settings, key, value);
    }
    for (key, value) in &options.encoder_options {
        add(&mut settings, key, value.clone());
    }
    Ok(settings)
}

/// Adds an option; one that is there gives way, except that parameters an encoder takes in a list are added to it.
fn add(settings: &mut Vec<(String, String)>, key: &str, value: String) {
    match settings.iter_mut().find(|(known, _)| known == key) {
        Some((_, list)) if key.ends_with("-params") => *list = format!("{list}:{value}"),
        Some((_, known)) => *known = value,
        None => settings.push((key.to_owned(), value)),
    }
}

fn refused(encoder: &str, code: Code) -> MediaError {
    let complaints = log::take_all();
    let why = match complaints.first() {
        Some(line) => line.clone(),
        None => code.describe(),
    };
    MediaError::usage(
        format!("the encoder {encoder} does not start: {why}"),
        format!(
            "check --crf, --preset and --encoder-options (ffmpeg -h encoder={encoder} lists them), or use another --codec"
        ),
    )
}

fn side_px(px: u32) -> Result<i32, MediaError> {
    i32::try_from(px).map_err(|_| MediaError::internal(format!("a side of {px} pixels")))
}

/// A packet of the encoded video.
pub struct EncodedPacket {
    pub(crate) raw: raw::Packet,
    pub(crate) time_base: TimeBase,
}

impl EncodedPacket {
    /// Bytes of payload.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.raw.payload().len()
    }

    /// When it is decoded.
    #[must_use]
    pub fn decode_time(&self) -> Timestamp {
        Timestamp::new(self.raw.get().dts, self.time_base)
    }

    /// Has it decoded at `ticks` of its picture's time base.
    pub fn set_decode_ticks(&mut self, ticks: i64) {
        self.raw.as_mut().dts = ticks;
    }

    /// When its picture is shown.
    #[must_use]
    pub fn time(&self) -> Timestamp {
        Timestamp::new(self.raw.get().pts, self.time_base)
    }
}
