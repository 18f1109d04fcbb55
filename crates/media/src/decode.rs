//! Pictures out of packets.

use std::collections::VecDeque;
use std::ptr;

use ffmpeg_next::ffi;
use framelift_frame::{ColorSpec, Size, TimeBase, Timestamp};

use crate::color::color_codes;
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
    errors: u64,
    last_error: Option<String>,
}

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
            errors: 0,
            last_error: None,
        };
        // SAFETY: each pointer is checked before use; the context is freed by drop whatever happens.
        unsafe {
            let codec = ffi::avcodec_find_decoder(parameters.get().codec_id);
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
        self.send_raw(packet.raw.as_ptr())
    }

    /// Says that no packet follows; [`Self::receive`] then gives back what the decoder still holds.
    ///
    /// # Errors
    ///
    /// [`MediaError::Internal`] without memory.
    pub fn finish(&mut self) -> Result<(), MediaError> {
        self.send_raw(ptr::null())
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
        let frame = match self.waiting.pop_front() {
            Some(frame) => Some(frame),
            None => self.take()?,
        };
        Ok(frame.map(|frame| self.placed(frame)))
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
        self.last = Some(Last { ticks, duration_ticks });
        Picture { frame, time: Timestamp::new(ticks, self.time_base), duration_ticks }
    }

    fn damaged(&mut self, code: Code) -> Result<(), MediaError> {
        if code == Code::NO_MEMORY {
            return Err(raw::out_of_memory());
        }
        self.errors += 1;
        let words = code.describe();
        tracing::debug!("damaged video: {words}");
        self.last_error = Some(words);
        Ok(())
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

    /// Bytes of sample memory held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.frame.bytes()
    }
}
