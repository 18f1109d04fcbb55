//! A look at some pictures of a film before the work: what they show and its container does not say.
//!
//! Whether pictures are woven is asked of FFmpeg's `idet`, at four places of the film: marks of fields are often wrong, both
//! ways. It compares lines with those of the pictures around, and takes some motion of whole pictures for fields; so a
//! picture must comb by itself, too. HDR metadata may lie in the pictures alone.

use ffmpeg_next::ffi;
use framelift_frame::{ColorFamily, Size, Timestamp};

use crate::deinterlace::{can_deinterlace, source_of, working_format};
use crate::graph::Chain;
use crate::hdr;
use crate::pixel::Format;
use crate::raw::{self, c_string, pairs};
use crate::samples::{Reader, repack};
use crate::side_data::SideData;
use crate::{Combing, Decoder, Demuxer, MediaError, MediaInfo, VideoInfo};

/// Pictures looked at from the start on: enough for some rounds of a telecine's five.
const FIRST: u64 = 40;

/// Pictures looked at for their metadata alone.
const FEW: u64 = 3;

/// Pictures looked at in each further place.
const FURTHER: u64 = 20;

/// Parts of the film's length at which the further places lie.
const PLACES: [f64; 3] = [0.25, 0.5, 0.75];

/// Higher pictures are never interlaced.
const MOST_LINES: u32 = 1152;

/// What was seen.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    /// Pictures that `idet` spoke of, by what it took them for.
    top_first: u64,
    bottom_first: u64,
    whole: u64,
    open: u64,
    /// Pictures in which enough moves to tell, and of those the ones that comb.
    moved: u64,
    combed: u64,
    /// Pictures of which one field was that of the picture before.
    repeats_top: u64,
    repeats_bottom: u64,
    /// Pictures marked as two fields, and as such with a field to be shown again.
    marked: u64,
    marked_top: u64,
    pub(crate) pulldown: u64,
    /// HDR10's metadata of the first picture that has any.
    pub(crate) light: Vec<SideData>,
    pub(crate) dynamic_hdr: bool,
    pub(crate) captions: bool,
}

impl Survey {
    /// Looks at the film that `demuxer` has open, which is not to be used for anything else.
    ///
    /// # Errors
    ///
    /// Those of reading and decoding; what a damaged film hides stays unknown.
    pub(crate) fn look(mut demuxer: Demuxer) -> Result<Self, MediaError> {
        let mut survey = Self::default();
        let info = demuxer.info().clone();
        let Some((stream, video)) = info.video_stream() else { return Ok(survey) };
        demuxer.keep(|_| false);
        let combs = may_comb(&stream.codec, video);
        survey.look_at(&mut demuxer, if combs { FIRST } else { FEW }, combs)?;
        if combs {
            for place in places(&info) {
                demuxer.seek(place)?;
                survey.look_at(&mut demuxer, FURTHER, combs)?;
            }
        }
        tracing::debug!("seen in the pictures: {survey:?}");
        Ok(survey)
    }

    fn look_at(&mut self, demuxer: &mut Demuxer, pictures: u64, combs: bool) -> Result<(), MediaError> {
        let mut decoder = demuxer.decoder()?;
        let mut look = Look { combs, idet: None, before: None };
        let (mut left, mut packets) = (pictures, pictures * 2 + 64);
        while left > 0 {
            match demuxer.read()?.filter(|_| packets > 0) {
                Some(packet) if demuxer.info().video == Some(packet.stream_index()) => decoder.send(packet)?,
                Some(_) => continue,
                None => {
                    decoder.finish()?;
                    self.take(&mut decoder, &mut left, &mut look)?;
                    break;
                }
            }
            packets -= 1;
            self.take(&mut decoder, &mut left, &mut look)?;
        }
        if let Some((chain, ..)) = &mut look.idet {
            chain.push(None)?;
            self.note(chain)?;
        }
        Ok(())
    }

    fn take(&mut self, decoder: &mut Decoder, left: &mut u64, look: &mut Look) -> Result<(), MediaError> {
        while *left > 0 {
            let Some(picture) = decoder.receive()? else { return Ok(()) };
            *left -= 1;
            let size = picture.size();
            let frame = picture.frame;
            self.note_marks(&frame);
            let format = Format(frame.get().format);
            let Some(works_in) = working_format(format).filter(|_| look.combs) else { continue };
            let frame = if works_in == format { frame } else { repack(&frame, works_in)? };
            if look.idet.as_ref().is_none_or(|(_, format, of)| (*format, *of) != (works_in, size)) {
                let row = [(c"idet", c_string(""))];
                (look.idet, look.before) =
                    (Some((Chain::new(&source_of(works_in, size), &row)?, works_in, size)), None);
            }
            let before = look.before.replace(frame.share()?);
            if let Some(combs) = before.and_then(|before| combs(&frame, &before)) {
                self.moved += 1;
                self.combed += u64::from(combs);
            }
            let Some((chain, ..)) = &mut look.idet else { continue };
            chain.push(Some(frame))?;
            self.note(chain)?;
        }
        Ok(())
    }

    /// What a picture itself says.
    fn note_marks(&mut self, frame: &raw::Frame) {
        use ffi::AVFrameSideDataType as Kind;
        if let Some(top_first) = frame.top_field_first() {
            self.marked += 1;
            self.marked_top += u64::from(top_first);
        }
        self.pulldown += u64::from(frame.get().repeat_pict > 0);
        let dynamic = [Kind::AV_FRAME_DATA_DYNAMIC_HDR_PLUS, Kind::AV_FRAME_DATA_DOVI_METADATA];
        self.dynamic_hdr |= dynamic.into_iter().any(|kind| frame.side_data(kind).is_some());
        self.captions |= frame.side_data(Kind::AV_FRAME_DATA_A53_CC).is_some();
        if self.light.is_empty() {
            let pieces = hdr::OF_FRAMES.iter().filter_map(|&(of_frame, kind)| Some((kind, frame.side_data(of_frame)?)));
            self.light.extend(pieces.map(|(kind, bytes)| SideData { kind, bytes: bytes.to_vec() }));
        }
    }

    /// What `idet` says.
    fn note(&mut self, chain: &mut Chain) -> Result<(), MediaError> {
        while let Some(frame) = chain.pull()? {
            // SAFETY: the frame's dictionary is valid, or null.
            for (key, value) in unsafe { pairs(frame.get().metadata) } {
                let count = match (key.as_str(), value.as_str()) {
                    ("lavfi.idet.single.current_frame", "tff") => &mut self.top_first,
                    ("lavfi.idet.single.current_frame", "bff") => &mut self.bottom_first,
                    ("lavfi.idet.single.current_frame", "progressive") => &mut self.whole,
                    ("lavfi.idet.single.current_frame", _) => &mut self.open,
                    ("lavfi.idet.repeated.current_frame", "top") => &mut self.repeats_top,
                    ("lavfi.idet.repeated.current_frame", "bottom") => &mut self.repeats_bottom,
                    _ => continue,
                };
                *count += 1;
            }
        }
        Ok(())
    }

    /// What the pictures are.
    pub(crate) fn combing(&self) -> Combing {
        let all = self.top_first + self.bottom_first + self.whole + self.open;
        if all < 2 {
            return Combing::Unknown;
        }
        let woven = self.top_first + self.bottom_first;
        let (more, less) = (self.top_first.max(self.bottom_first), self.top_first.min(self.bottom_first));
        let top_first = match self.marked {
            0 => self.top_first >= self.bottom_first,
            marked => 2 * self.marked_top >= marked,
        };
        // Pulldown of 3:2 shows in each five pictures a field of the upper and a field of the lower lines again, and
        // weaves two of them.
        let fifth = |count: u64| (all / 10..=all * 3 / 10).contains(&count) && count > 1;
        if fifth(self.repeats_top) && fifth(self.repeats_bottom) && (all / 4..=all * 3 / 5).contains(&self.combed) {
            return Combing::Telecined { top_first };
        }
        // Fields come in one order; motion that merely looks like them has none, unless it combs throughout.
        let ordered = more >= less * 4 || self.combed * 4 >= all * 3;
        // Pictures that are marked so throughout, in the order that is seen, need not comb as clearly.
        let as_marked = self.marked * 10 >= all * 9
            && woven * 10 >= all * 9
            && top_first == (self.top_first >= self.bottom_first)
            && more >= less * 4;
        let clearly = self.combed * 3 >= self.moved * 2 && self.combed * 5 >= woven;
        let combs = woven * 3 >= all && woven > self.whole * 2 && (as_marked || ordered && clearly);
        // Where too little moves to tell, the marks are believed.
        let still = self.open * 10 > all * 9 && self.marked * 2 > all;
        if combs || still { Combing::Fields { top_first } } else { Combing::Whole }
    }
}

/// What is kept from picture to picture in one place.
struct Look {
    combs: bool,
    idet: Option<(Chain, Format, Size)>,
    before: Option<raw::Frame>,
}

/// Whether rows of luma fit their neighbours no better than the same rows of the picture before do, in what moves: of a
/// woven picture one field lies as far from its own other field as from that of the picture before.
fn combs(frame: &raw::Frame, before: &raw::Frame) -> Option<bool> {
    let (now, then) = (Reader::new(frame, 0)?, Reader::new(before, 0)?);
    if (now.width(), now.height()) != (then.width(), then.height()) || now.height() < 4 {
        return None;
    }
    let depth = Format(frame.get().format).layout().map_or(8, |layout| layout.depth.clamp(8, 16));
    let moves = MOVES << (depth - 8);
    let mut rows: [Vec<u16>; 3] = std::array::from_fn(|_| vec![0; now.width()]);
    let mut old = vec![0; now.width()];
    (0..2).for_each(|y| now.row(y, &mut rows[y + 1], |sample| sample));
    let mut moving = 0u64;
    let (mut own, mut strange) = ([0u64; 2], [0u64; 2]);
    for y in 1..now.height() - 1 {
        rows.rotate_left(1);
        now.row(y + 1, &mut rows[2], |sample| sample);
        then.row(y, &mut old, |sample| sample);
        // Sums of a few neighbours: noise cancels out in them, the teeth of a comb lie level.
        let sums = |row: &[u16]| -> Vec<i64> {
            row.chunks_exact(LEVEL).map(|samples| samples.iter().map(|&sample| i64::from(sample)).sum()).collect()
        };
        let [above, here, below, before] = [&rows[0], &rows[1], &rows[2], &old].map(|row| sums(row));
        for x in 0..here.len() {
            if here[x].abs_diff(before[x]) > moves * LEVEL as u64 {
                moving += 1;
                own[y % 2] += (2 * here[x] - above[x] - below[x]).unsigned_abs();
                strange[y % 2] += (2 * before[x] - above[x] - below[x]).unsigned_abs();
            }
        }
    }
    (moving > 8).then(|| (0..2).any(|field| strange[field] * 10 < own[field] * 13))
}

/// Pixels of a row that are taken together.
const LEVEL: usize = 4;

/// Steps of 8 bits by which a sample must differ from the picture before to count as moving.
const MOVES: u64 = 10;

/// Whether the pictures of a codec, of their format and size, can be woven from fields.
fn may_comb(codec: &str, video: &VideoInfo) -> bool {
    const NEVER: [&str; 8] = ["vp8", "vp9", "av1", "png", "gif", "apng", "webp", "theora"];
    let format = Format::named(&video.format_name);
    video.format.family == ColorFamily::Yuv
        && video.size.height <= MOST_LINES
        && !NEVER.contains(&codec)
        && format.is_some_and(|format| can_deinterlace(format, video.size))
}

fn places(info: &MediaInfo) -> Vec<Timestamp> {
    let (Some((stream, _)), Some(duration_s)) = (info.video_stream(), info.duration_s) else { return Vec::new() };
    let start_s = info.start_s.unwrap_or(0.0);
    let at = |part: f64| {
        Timestamp::new(((start_s + duration_s * part) / stream.time_base.seconds()) as i64, stream.time_base)
    };
    // A film of a few seconds is seen from the start.
    if duration_s < 10.0 { Vec::new() } else { PLACES.into_iter().map(at).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_become_a_verdict() {
        let woven = Survey { top_first: 60, whole: 5, open: 30, moved: 60, combed: 50, ..Survey::default() };
        assert_eq!(woven.combing(), Combing::Fields { top_first: true });
        let lower = Survey { bottom_first: 60, top_first: 2, marked: 90, moved: 60, combed: 40, ..Survey::default() };
        assert_eq!(lower.combing(), Combing::Fields { top_first: false });
        let whole = Survey { whole: 70, top_first: 6, bottom_first: 5, open: 19, marked: 100, ..Survey::default() };
        assert_eq!(whole.combing(), Combing::Whole);
        let gradient = Survey { top_first: 90, moved: 60, combed: 30, ..Survey::default() };
        assert_eq!(gradient.combing(), Combing::Whole);
        let marked = Survey { bottom_first: 90, marked: 90, ..gradient };
        assert_eq!(Survey { top_first: 0, ..marked }.combing(), Combing::Fields { top_first: false });
        let jitter =
            Survey { top_first: 30, bottom_first: 25, whole: 10, open: 20, moved: 60, combed: 30, ..Survey::default() };
        assert_eq!(jitter.combing(), Combing::Whole);
        let still = Survey { open: 100, marked: 100, marked_top: 100, ..Survey::default() };
        assert_eq!(still.combing(), Combing::Fields { top_first: true });
        assert_eq!(Survey { open: 100, ..Survey::default() }.combing(), Combing::Whole);
        let counts = Survey {
            top_first: 80,
            whole: 20,
            moved: 100,
            combed: 40,
            repeats_top: 19,
            repeats_bottom: 20,
            ..Survey::default()
        };
        assert_eq!(counts.combing(), Combing::Telecined { top_first: true });
        assert_eq!(Survey::default().combing(), Combing::Unknown);
    }
}
