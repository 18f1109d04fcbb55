//! Pictures out of packets.

use std::collections::VecDeque;
use std::ptr;

use ffmpeg_next::ffi;
use framelift_frame::{ColorSpec, Size, TimeBase, Timestamp};

use crate::color::color_codes;
use crate::damage::Damage;
use crate::deinterlace::Deinterlacer;
use crate::demux::bad_input;
use crate::error::{Code, check, must};
use crate::pixel::Format;
use crate::raw::{self, av_base, rational, stated};
use crate::samples::Reader;
use crate::{Input, MediaError, Packet, StreamInfo, VideoInfo, log};

/// Decodes the packets of one video stream, in order of display.
pub struct Decoder {
    context: *mut ffi::AVCodecContext,
    time_base: TimeBase,
    /// Ticks between frames where the film does not say; at least 1.
    usual_ticks: i64,
    last: Option<Last>,
    waiting: VecDeque<raw::Frame>,
    /// The latest picture, which lasts until the next.
    held: Option<Picture>,
    /// Where the stream ends, as far as it says.
    end_ticks: Option<i64>,
    deinterlacer: Option<Deinterlacer>,
    ended: bool,
    damage: Damage,
    errors: u64,
    last_error: Option<String>,
}

/// Usual durations that a last picture may last by its stream's word; more is sound that goes on alone.
const LONGEST_LAST_FRAME: i64 = 100;

/// Where the previous picture lies.
#[derive(Clone, Copy)]
struct Last {
    ticks: i64,
    duration_ticks: i64,
}

// SAFETY: the context has one owner and is only used through it, one thread at a time.
unsafe impl Send for Decoder {}

impl Decoder {
    pub(crate) fn new(
        input: &Input,
        parameters: &raw::Parameters,
        stream: &StreamInfo,
        video: &VideoInfo,
        threads: usize,
    ) -> Result<Self, MediaError> {
        log::clear();
        let rate = video.average_frame_rate.or(video.base_frame_rate);
        let usual_ticks = rate.map_or(1, |(num, den)| {
            let ticks = f64::from(den) / f64::from(num) / stream.time_base.seconds();
            (ticks.round() as i64).max(1)
        });
        let mut decoder = Self {
            context: ptr::null_mut(),
            time_base: stream.time_base,
            usual_ticks,
            last: None,
            waiting: VecDeque::new(),
            held: None,
            end_ticks: stream.duration_ticks.map(|ticks| stream.start.map_or(0, |start| start.ticks) + ticks),
            deinterlacer: video.deinterlace.map(|how| Deinterlacer::new(how, stream.time_base)),
            ended: false,
            damage: Damage::new(
                stream.time_base,
                usual_ticks,
                !video.variable_frame_rate() && rate.is_some(),
                shows_every_packet(parameters.get().codec_id),
            ),
            errors: 0,
            last_error: None,
        };
        // SAFETY: each pointer is checked before use; the context is freed by drop whatever happens.
        unsafe {
            let codec = match alpha_decoder(parameters.get().codec_id).filter(|_| video.format.alpha) {
                Some(codec) => codec,
                None => ffi::avcodec_find_decoder(parameters.get().codec_id),
            };
            if codec.is_null() {
                return Err(bad_input(
                    input,
                    format!("this FFmpeg has no decoder for its video, {}", stream.codec),
                    "install a complete FFmpeg",
                ));
            }
            decoder.context = ffi::avcodec_alloc_context3(codec);
            let Some(context) = decoder.context.as_mut() else { return Err(raw::out_of_memory()) };
            must(
                "handing the stream to its decoder",
                ffi::avcodec_parameters_to_context(context, parameters.as_ptr()),
            )?;
            context.pkt_timebase = av_base(stream.time_base);
            if let Some(rate) = rate {
                context.framerate = rational(rate);
            }
            context.thread_count = i32::try_from(threads).unwrap_or(0);
            context.thread_type = ffi::FF_THREAD_FRAME | ffi::FF_THREAD_SLICE;
            check(ffi::avcodec_open2(context, codec, ptr::null_mut())).map_err(|code| {
                bad_input(
                    input,
                    format!("the decoder of its video ({}) does not start: {}", stream.codec, code.describe()),
                    "the file is damaged: copy it again",
                )
            })?;
        }
        Ok(decoder)
    }

    /// Takes a packet of the stream. Damaged packets are counted, not refused.
    ///
    /// # Errors
    ///
    /// [`MediaError::Internal`] without memory.
    pub fn send(&mut self, packet: Packet) -> Result<(), MediaError> {
        let raw = packet.raw.get();
        if let (Some(ticks), true) = (stated(raw.pts), raw.flags & ffi::AV_PKT_FLAG_DISCARD == 0) {
            self.damage.sent(ticks);
        }
        if raw.flags & ffi::AV_PKT_FLAG_CORRUPT != 0 {
            self.damage.sign();
        }
        self.send_raw(packet.raw.as_ptr())
    }

    /// Says that no packet follows; [`Self::receive`] then gives back what the decoder still holds.
    ///
    /// # Errors
    ///
    /// [`MediaError::Internal`] without memory.
    pub fn finish(&mut self) -> Result<(), MediaError> {
        self.send_raw(ptr::null())?;
        self.ended = true;
        Ok(())
    }

    fn send_raw(&mut self, packet: *const ffi::AVPacket) -> Result<(), MediaError> {
        log::clear();
        loop {
            // SAFETY: the context is open; the packet is valid, or null, which starts the draining.
            match check(unsafe { ffi::avcodec_send_packet(self.context, packet) }) {
                Ok(_) | Err(Code::EOF) => return Ok(()),
                // The decoder wants to be emptied first.
                Err(Code::AGAIN) => match self.take()? {
                    Some(frame) => self.waiting.push_back(frame),
                    None => return Err(MediaError::internal("the decoder takes no packet and gives no picture")),
                },
                Err(code) => return self.damaged(code),
            }
        }
    }

    /// The next picture; `None` when another packet is needed, or at the end.
    ///
    /// # Errors
    ///
    /// [`MediaError::Internal`] without memory.
    pub fn receive(&mut self) -> Result<Option<Picture>, MediaError> {
        loop {
            if let Some(picture) = self.deinterlacer.as_mut().and_then(Deinterlacer::receive) {
                return Ok(Some(picture));
            }
            let picture = self.lasting()?;
            match (&mut self.deinterlacer, picture) {
                (None, picture) => return Ok(picture),
                (Some(deinterlacer), Some(picture)) => deinterlacer.push(picture)?,
                (Some(deinterlacer), None) if std::mem::take(&mut self.ended) => deinterlacer.finish()?,
                (Some(_), None) => return Ok(None),
            }
        }
    }

    /// The next picture of which it is known how long it lasts: until the next, and the last until the end that the stream
    /// states. What packets say of it is about decoding where pictures are reordered.
    fn lasting(&mut self) -> Result<Option<Picture>, MediaError> {
        loop {
            let frame = match self.waiting.pop_front() {
                Some(frame) => Some(frame),
                None => self.take()?,
            };
            let Some(frame) = frame else {
                let last = if self.ended { self.held.take() } else { None };
                return Ok(last.map(|mut last| {
                    let left = self.end_ticks.map(|end| end - last.time.ticks);
                    let plausible = 1..=self.usual_ticks.saturating_mul(LONGEST_LAST_FRAME);
                    last.duration_ticks = left.filter(|left| plausible.contains(left)).unwrap_or(last.duration_ticks);
                    last
                }));
            };
            let next = self.placed(frame);
            let ticks = next.time.ticks;
            if let Some(mut before) = self.held.replace(next) {
                before.duration_ticks = ticks - before.time.ticks;
                return Ok(Some(before));
            }
        }
    }

    fn take(&mut self) -> Result<Option<raw::Frame>, MediaError> {
        log::clear();
        let frame = raw::Frame::new()?;
        loop {
            // SAFETY: the context is open and the frame blank.
            match check(unsafe { ffi::avcodec_receive_frame(self.context, frame.as_ptr()) }) {
                Ok(_) => return Ok(Some(frame)),
                Err(Code::AGAIN | Code::EOF) => return Ok(None),
                Err(code) => self.damaged(code)?,
            }
        }
    }

    /// Gives a picture its place in time.
    ///
    /// One without a timestamp, or with one that does not follow the last picture's, follows it by that
    /// picture's duration, or by one tick where it claims a moment that has passed.
    fn placed(&mut self, frame: raw::Frame) -> Picture {
        let stated_ticks = stated(frame.get().best_effort_timestamp);
        let duration_ticks = duration_ticks(frame.get()).filter(|&ticks| ticks > 0);
        let ticks = match (stated_ticks, self.last) {
            (Some(ticks), None) => ticks,
            (Some(ticks), Some(last)) => ticks.max(last.ticks + 1),
            (None, None) => 0,
            (None, Some(last)) => last.ticks + last.duration_ticks,
        };
        let duration_ticks = duration_ticks.unwrap_or(self.usual_ticks);
        let marred = frame.get().flags & ffi::AV_FRAME_FLAG_CORRUPT != 0 || frame.get().decode_error_flags != 0;
        self.damage.shown(ticks, self.last.map(|last| last.ticks + last.duration_ticks), marred);
        self.last = Some(Last { ticks, duration_ticks });
        Picture { frame, time: Timestamp::new(ticks, self.time_base), duration_ticks }
    }

    fn damaged(&mut self, code: Code) -> Result<(), MediaError> {
        if code == Code::NO_MEMORY {
            return Err(raw::out_of_memory());
        }
        self.errors += 1;
        self.damage.sign();
        let words = code.describe();
        tracing::debug!("damaged video: {words}");
        self.last_error = Some(words);
        Ok(())
    }

    /// What was lost by damage, to be asked for at the end.
    #[must_use]
    pub fn notices(&mut self) -> Vec<String> {
        self.damage.finish();
        let mut notices = self.damage.notices();
        if notices.is_empty() && self.errors > 0 {
            notices.push(format!("{} damaged packets of the video could not be decoded whole", self.errors));
        }
        notices
    }

    /// Packets and pictures that were damaged so far.
    #[must_use]
    pub fn errors(&self) -> u64 {
        self.errors
    }

    /// What the last of them suffered from.
    #[must_use]
    pub fn last_error(&self) -> Option<&str> {
        self.last_error.as_deref()
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        // SAFETY: self owns the context, which may be null, and is gone after this.
        unsafe { ffi::avcodec_free_context(&raw mut self.context) };
    }
}

/// The decoder of a codec whose alpha lies beside its pictures, where FFmpeg's own leaves that out.
pub(crate) fn alpha_decoder(codec: ffi::AVCodecID) -> Option<*const ffi::AVCodec> {
    let name = match codec {
        ffi::AVCodecID::AV_CODEC_ID_VP8 => c"libvpx",
        ffi::AVCodecID::AV_CODEC_ID_VP9 => c"libvpx-vp9",
        _ => return None,
    };
    // SAFETY: a terminated string; codecs are static.
    let codec = unsafe { ffi::avcodec_find_decoder_by_name(name.as_ptr()) };
    (!codec.is_null()).then_some(codec)
}

/// Whether every packet of a codec holds a picture that is shown: others have some that are only referred to.
fn shows_every_packet(codec: ffi::AVCodecID) -> bool {
    use ffi::AVCodecID as Id;
    !matches!(codec, Id::AV_CODEC_ID_VP8 | Id::AV_CODEC_ID_VP9 | Id::AV_CODEC_ID_AV1)
}

/// How long a frame is shown, as its packet said.
fn duration_ticks(frame: &ffi::AVFrame) -> Option<i64> {
    #[cfg(ffmpeg_6_0)]
    let ticks = frame.duration;
    #[cfg(not(ffmpeg_6_0))]
    let ticks = frame.pkt_duration;
    (ticks > 0).then_some(ticks)
}

/// A picture in the pixel format of its stream.
pub struct Picture {
    pub(crate) frame: raw::Frame,
    time: Timestamp,
    duration_ticks: i64,
}

impl Picture {
    pub(crate) fn new(frame: raw::Frame, time: Timestamp, duration_ticks: i64) -> Self {
        Self { frame, time, duration_ticks }
    }

    /// When it is shown, in the stream's time base.
    #[must_use]
    pub fn time(&self) -> Timestamp {
        self.time
    }

    /// How long it is shown, in ticks of the same base: the film's word, or the usual frame duration.
    #[must_use]
    pub fn duration_ticks(&self) -> i64 {
        self.duration_ticks
    }

    /// Width and height.
    #[must_use]
    pub fn size(&self) -> Size {
        let frame = self.frame.get();
        Size::new(u32::try_from(frame.width).unwrap_or(0), u32::try_from(frame.height).unwrap_or(0))
    }

    /// FFmpeg's name of its pixel format, such as `yuv420p10le`.
    #[must_use]
    pub fn format_name(&self) -> String {
        Format(self.frame.get().format).name()
    }

    /// What it says of its colours.
    #[must_use]
    pub fn color(&self) -> ColorSpec {
        color_codes!(self.frame.get(), colorspace, chroma_location).spec()
    }

    /// The code values of one component, row by row, with the component's size: 0 for luma, gray or red, 1 and 2 for
    /// the chroma planes or green and blue, the last for alpha. `None` where there is no such component.
    #[must_use]
    pub fn samples(&self, component: usize) -> Option<(Size, Vec<u16>)> {
        let reader = Reader::new(&self.frame, component)?;
        let mut samples = vec![0; reader.width() * reader.height()];
        for (y, row) in samples.chunks_exact_mut(reader.width()).enumerate() {
            reader.row(y, row, |sample| sample);
        }
        let side_px = |px: usize| u32::try_from(px).ok();
        Some((Size::new(side_px(reader.width())?, side_px(reader.height())?), samples))
    }

    /// The captions that come with it: `cc_data` of ATSC A/53 part 4.
    #[must_use]
    pub fn captions(&self) -> &[u8] {
        self.frame.side_data(ffi::AVFrameSideDataType::AV_FRAME_DATA_A53_CC).unwrap_or_default()
    }

    /// Bytes of sample memory held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.frame.bytes()
    }
}
