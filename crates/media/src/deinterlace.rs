//! Woven pictures made whole by `bwdif`, one for each picture or one for each field.
//!
//! `bwdif` looks at the pictures before and after, so it gives a picture when the next is there. What it gives is counted
//! against what it took, and times come from the pictures, never from the filter.

use std::collections::VecDeque;

use ffmpeg_next::ffi;
use framelift_frame::{Size, TimeBase, Timestamp};

use crate::graph::Chain;
use crate::pixel::Format;
use crate::raw::c_string;
use crate::samples::repack;
use crate::{Combing, MediaError, Picture, Scan, VideoInfo};

/// What becomes of films whose pictures are woven from two fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Deinterlace {
    /// Films whose pictures comb are deinterlaced, one frame a picture; others are left alone.
    #[default]
    Auto,
    /// Pictures are taken as they are.
    Off,
    /// One frame of each picture.
    Frame,
    /// One frame of each field: twice as many.
    Field,
}

/// How the pictures of a film are deinterlaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deinterlacing {
    /// Whether each field becomes a frame.
    pub fields: bool,
    /// Whether the upper field is the earlier one, where a picture does not say.
    pub top_first: bool,
    /// Whether only the pictures that comb are worked on: telecined films have whole ones between them.
    pub combed_only: bool,
}

impl Deinterlacing {
    /// The ticks in which the moments of fields are whole, where each becomes a frame.
    pub(crate) fn time_base(self, pictures: TimeBase) -> Option<TimeBase> {
        if self.fields {
            pictures.den.checked_mul(2).map(|den| TimeBase::new(pictures.num, den))
        } else {
            Some(pictures)
        }
    }
}

impl VideoInfo {
    /// Decides how the pictures are deinterlaced, and what that makes of their rate and ticks.
    pub(crate) fn deinterlace_as(&mut self, asked: Deinterlace) -> Result<(), MediaError> {
        let fits = Format::named(&self.format_name).is_some_and(|format| can_deinterlace(format, self.size));
        let (combed_only, order) = match self.combing {
            Combing::Fields { top_first } => (false, Some(top_first)),
            Combing::Telecined { top_first } => (true, Some(top_first)),
            Combing::Unknown if self.scan.is_interlaced() => (false, Some(self.scan == Scan::TopFirst)),
            Combing::Unknown | Combing::Whole => (false, None),
        };
        // Most films have the upper field first where nothing says so.
        let top_first = order.unwrap_or(self.scan != Scan::BottomFirst);
        self.deinterlace = match asked {
            Deinterlace::Off => None,
            Deinterlace::Auto => order.map(|_| Deinterlacing { fields: false, top_first, combed_only }),
            Deinterlace::Frame => Some(Deinterlacing { fields: false, top_first, combed_only }),
            Deinterlace::Field => Some(Deinterlacing { fields: true, top_first, combed_only: false }),
        }
        .filter(|_| fits);
        if matches!(asked, Deinterlace::Frame | Deinterlace::Field) && !fits {
            return Err(MediaError::usage(
                format!("pictures of {} in {} cannot be deinterlaced", self.size, self.format_name),
                "leave --deinterlace out",
            ));
        }
        if let Some(how) = self.deinterlace.filter(|how| how.fields) {
            let base = self.time_base;
            self.time_base = how.time_base(base).ok_or_else(|| {
                MediaError::usage(format!("half a tick of {base} s cannot be stated"), "use --deinterlace frame")
            })?;
            for rate in [&mut self.average_frame_rate, &mut self.base_frame_rate] {
                *rate = rate.and_then(|(num, den)| Some((num.checked_mul(2)?, den)));
            }
            self.frames_estimate = self.frames_estimate.map(|frames| frames * 2);
        }
        Ok(())
    }
}

/// The smallest picture that `bwdif` takes, with room for subsampled chroma.
const LEAST_PX: u32 = 16;

/// Whether pictures of a format and size can be deinterlaced.
pub(crate) fn can_deinterlace(format: Format, size: Size) -> bool {
    size.width >= LEAST_PX && size.height >= LEAST_PX && working_format(format).is_some()
}

/// The planar format that `bwdif` and `idet` work in.
pub(crate) fn working_format(format: Format) -> Option<Format> {
    let planar = format.planar()?;
    // Alpha stays where it has a plane of its own.
    let own = format.has(ffi::AV_PIX_FMT_FLAG_PLANAR) && !format.is_float();
    let native = format.has(ffi::AV_PIX_FMT_FLAG_BE) == planar.has(ffi::AV_PIX_FMT_FLAG_BE);
    let semi = format.descriptor().is_some_and(|d| d.comp[1].plane == d.comp[2].plane);
    Some(if own && native && !semi { format } else { planar })
}

/// The pictures' own arguments for a filter's source.
pub(crate) fn source_of(format: Format, size: Size) -> std::ffi::CString {
    c_string(&format!("video_size={size}:pix_fmt={}:time_base=1/1000:pixel_aspect=1/1", format.name()))
}

/// Pictures on their way through `bwdif`.
pub(crate) struct Deinterlacer {
    how: Deinterlacing,
    chain: Option<(Chain, Format, Size)>,
    /// Pictures that were taken and not yet given, with their times and durations in ticks of the pictures.
    waiting: VecDeque<(i64, i64)>,
    /// Whether the first field of the foremost picture was given.
    half_given: bool,
    number: i64,
    ready: VecDeque<Picture>,
    base: TimeBase,
}

impl Deinterlacer {
    /// `base` is that of the pictures that come.
    pub(crate) fn new(how: Deinterlacing, base: TimeBase) -> Self {
        let (waiting, ready) = (VecDeque::new(), VecDeque::new());
        Self { how, chain: None, waiting, half_given: false, number: 0, ready, base }
    }

    /// Takes a picture, in order of display.
    pub(crate) fn push(&mut self, picture: Picture) -> Result<(), MediaError> {
        let (time, duration_ticks, size) = (picture.time(), picture.duration_ticks(), picture.size());
        let format = Format(picture.frame.get().format);
        let unsupported = || MediaError::internal(format!("bwdif does not take {}", format.name()));
        let works_in = working_format(format).ok_or_else(unsupported)?;
        if self.chain.as_ref().is_some_and(|(_, format, of)| (*format, *of) != (works_in, size)) {
            self.finish()?;
        }
        if self.chain.is_none() {
            self.chain = Some((self.chain(works_in, size)?, works_in, size));
        }
        let mut frame = picture.frame;
        if works_in != format {
            let captions = frame.side_data(ffi::AVFrameSideDataType::AV_FRAME_DATA_A53_CC).unwrap_or_default().to_vec();
            let mut planar = repack(&frame, works_in)?;
            if !captions.is_empty() {
                planar.attach(ffi::AVFrameSideDataType::AV_FRAME_DATA_A53_CC, &captions)?;
            }
            if let Some(top_first) = frame.top_field_first() {
                planar.set_top_field_first(top_first);
            }
            let codes = crate::color::color_codes!(frame.get(), colorspace, chroma_location).spec();
            crate::color::set_color_codes!(planar.as_mut(), codes, chroma_location);
            frame = planar;
        }
        // A picture that is marked knows the order of its fields; any other has that of the film.
        if frame.top_field_first().is_none() {
            frame.set_top_field_first(self.how.top_first);
        }
        frame.as_mut().pts = self.number;
        self.number += 1;
        self.waiting.push_back((time.ticks, duration_ticks));
        if let Some((chain, ..)) = &mut self.chain {
            chain.push(Some(frame))?;
        }
        self.collect()
    }

    fn chain(&self, format: Format, size: Size) -> Result<Chain, MediaError> {
        let rate = if self.how.fields { "send_field" } else { "send_frame" };
        let which = if self.how.combed_only { "interlaced" } else { "all" };
        let bwdif = (c"bwdif", c_string(&format!("mode={rate}:parity=auto:deint={which}")));
        let source = source_of(format, size);
        // `idet` marks each picture by what it sees of it.
        if self.how.combed_only {
            Chain::new(&source, &[(c"idet", c_string("")), bwdif])
        } else {
            Chain::new(&source, &[bwdif])
        }
    }

    /// Says that no picture follows.
    pub(crate) fn finish(&mut self) -> Result<(), MediaError> {
        if let Some((chain, ..)) = &mut self.chain {
            chain.push(None)?;
            self.collect()?;
        }
        self.chain = None;
        if self.waiting.is_empty() {
            return Ok(());
        }
        Err(MediaError::internal(format!("bwdif kept {} pictures to itself", self.waiting.len())))
    }

    /// The next picture that is ready.
    pub(crate) fn receive(&mut self) -> Option<Picture> {
        self.ready.pop_front()
    }

    fn collect(&mut self) -> Result<(), MediaError> {
        let Some((chain, ..)) = &mut self.chain else { return Ok(()) };
        while let Some(mut frame) = chain.pull()? {
            let Some(&(ticks, duration_ticks)) = self.waiting.front() else {
                return Err(MediaError::internal("bwdif gave more pictures than it took"));
            };
            let (time, duration_ticks) = if self.how.fields {
                let next = self.waiting.get(1).map_or(ticks + duration_ticks, |&(next, _)| next);
                // In half ticks: the second field lies in the middle between two pictures.
                let (first, second, end) = (2 * ticks, ticks + next, 2 * next);
                let base = self.how.time_base(self.base).unwrap_or(self.base);
                if self.half_given {
                    self.waiting.pop_front();
                    frame.remove(ffi::AVFrameSideDataType::AV_FRAME_DATA_A53_CC);
                    (Timestamp::new(second, base), end - second)
                } else {
                    (Timestamp::new(first, base), second - first)
                }
            } else {
                self.waiting.pop_front();
                (Timestamp::new(ticks, self.base), duration_ticks)
            };
            self.half_given = self.how.fields && !self.half_given;
            self.ready.push_back(Picture::new(frame, time, duration_ticks));
        }
        Ok(())
    }
}
