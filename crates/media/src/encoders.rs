//! What the encoders of FFmpeg are called, take, and call their settings.

use std::ffi::c_int;
use std::ptr;

use ffmpeg_next::ffi;

use crate::MediaError;
use crate::options::Container;
use crate::pixel::Format;
use crate::raw::{c_string, text};

/// Encoders tried in turn for containers of general use.
const GENERAL: [&str; 6] = ["libx264", "libx265", "libsvtav1", "libopenh264", "libxvid", "mpeg4"];

/// Encoders tried in turn for WebM.
const WEBM: [&str; 4] = ["libvpx-vp9", "libsvtav1", "libaom-av1", "libvpx"];

/// Encoders that may be proposed where another cannot hold a film's depth or chroma.
const DEEP: [&str; 5] = ["libx264", "libx265", "libvpx-vp9", "libaom-av1", "ffv1"];

/// x264's names of speeds, slowest first.
const SPEEDS: [&str; 10] =
    ["placebo", "veryslow", "slower", "slow", "medium", "fast", "faster", "veryfast", "superfast", "ultrafast"];

/// One of FFmpeg's video encoders.
#[derive(Clone, Copy)]
pub(crate) struct VideoEncoder(&'static ffi::AVCodec);

impl VideoEncoder {
    /// The encoder `name`, or the first that encodes the codec `name`.
    pub(crate) fn find(name: &str) -> Result<Self, MediaError> {
        let c_name = c_string(name);
        // SAFETY: terminated strings; codecs and descriptors are static.
        let found = unsafe {
            ffi::avcodec_find_encoder_by_name(c_name.as_ptr()).as_ref().or_else(|| {
                let descriptor = ffi::avcodec_descriptor_get_by_name(c_name.as_ptr()).as_ref()?;
                ffi::avcodec_find_encoder(descriptor.id).as_ref()
            })
        };
        let encoder = found.filter(|codec| codec.type_ == ffi::AVMediaType::AVMEDIA_TYPE_VIDEO);
        encoder.map(Self).ok_or_else(|| {
            let known: Vec<_> =
                GENERAL.iter().chain(&WEBM).chain(&["ffv1", "prores_ks"]).copied().filter(|n| exists(n)).collect();
            MediaError::usage(
                format!("this FFmpeg has no video encoder called {name}"),
                format!("use one that it has, such as {} (ffmpeg -encoders lists all)", known.join(", ")),
            )
        })
    }

    /// The encoder for a container when none is asked for, and a notice where it is not the usual one.
    pub(crate) fn default_for(container: Container) -> Result<(Self, Option<String>), MediaError> {
        let list: &[&str] = match container {
            Container::WebM => &WEBM,
            Container::Png => &["png"],
            Container::Y4m => &["wrapped_avframe"],
            _ => &GENERAL,
        };
        let Some(name) = list.iter().find(|name| exists(name)) else {
            return Err(MediaError::usage(
                format!("this FFmpeg has none of the encoders {}", list.join(", ")),
                "install an FFmpeg that has one, or choose another with --codec (ffmpeg -encoders lists them)",
            ));
        };
        let notice = (*name != list[0]).then(|| {
            format!("this FFmpeg has no encoder {}; {name} takes its place, --codec chooses another", list[0])
        });
        Ok((Self::find(name)?, notice))
    }

    pub(crate) fn as_ptr(self) -> *const ffi::AVCodec {
        self.0
    }

    pub(crate) fn id(self) -> ffi::AVCodecID {
        self.0.id
    }

    pub(crate) fn name(self) -> String {
        // SAFETY: names of codecs are static strings.
        unsafe { text(self.0.name) }
    }

    /// Pixel formats it takes; `None` when it takes any.
    pub(crate) fn formats(self) -> Option<Vec<Format>> {
        // SAFETY: both kinds of list are static; the older ends with -1, the newer says its length.
        unsafe {
            #[cfg(ffmpeg_7_1)]
            {
                let (mut list, mut count): (*const std::ffi::c_void, c_int) = (ptr::null(), 0);
                let what = ffi::AVCodecConfig::AV_CODEC_CONFIG_PIX_FORMAT;
                let code =
                    ffi::avcodec_get_supported_config(ptr::null(), self.0, what, 0, &raw mut list, &raw mut count);
                if code < 0 || list.is_null() {
                    return None;
                }
                let list = std::slice::from_raw_parts(list.cast::<c_int>(), count.max(0) as usize);
                Some(list.iter().map(|&format| Format(format)).collect())
            }
            #[cfg(not(ffmpeg_7_1))]
            {
                let mut at = self.0.pix_fmts.cast::<c_int>();
                if at.is_null() {
                    return None;
                }
                let mut formats = Vec::new();
                while *at != -1 {
                    formats.push(Format(*at));
                    at = at.add(1);
                }
                Some(formats)
            }
        }
    }

    /// Whether it has an option of its own called `name`.
    pub(crate) fn has_option(self, name: &str) -> bool {
        if self.0.priv_class.is_null() {
            return false;
        }
        let name = c_string(name);
        let class = &raw const self.0.priv_class;
        // SAFETY: a codec's class is static; av_opt_find with a fake object takes a pointer to a class pointer.
        unsafe {
            !ffi::av_opt_find(class.cast_mut().cast(), name.as_ptr(), ptr::null(), 0, ffi::AV_OPT_SEARCH_FAKE_OBJ)
                .is_null()
        }
    }

    /// Whether its codec can only be lossless.
    pub(crate) fn is_lossless(self) -> bool {
        // SAFETY: descriptors are static.
        unsafe { ffi::avcodec_descriptor_get(self.id()).as_ref() }.is_some_and(|descriptor| {
            descriptor.props & ffi::AV_CODEC_PROP_LOSSLESS != 0 && descriptor.props & ffi::AV_CODEC_PROP_LOSSY == 0
        })
    }

    /// Whether subsampled pictures must have even sides. FFmpeg does not say; those that are known not to care do not.
    pub(crate) fn needs_even_sides(self) -> bool {
        const CAREFREE: [&str; 12] = [
            "ffv1",
            "libvpx",
            "libvpx-vp9",
            "libaom-av1",
            "librav1e",
            "mpeg4",
            "mpeg2video",
            "mjpeg",
            "rawvideo",
            "wrapped_avframe",
            "huffyuv",
            "ffvhuff",
        ];
        !CAREFREE.contains(&self.name().as_str())
    }

    /// Whether its codec counts time in frames of one rate instead of ticks.
    pub(crate) fn counts_frames(self) -> bool {
        use ffi::AVCodecID as Id;
        matches!(
            self.id(),
            Id::AV_CODEC_ID_MPEG1VIDEO
                | Id::AV_CODEC_ID_MPEG2VIDEO
                | Id::AV_CODEC_ID_MPEG4
                | Id::AV_CODEC_ID_H263
                | Id::AV_CODEC_ID_DNXHD
                | Id::AV_CODEC_ID_DVVIDEO
                | Id::AV_CODEC_ID_THEORA
        )
    }

    /// Whether what it makes depends on what the memory it gets held before.
    pub(crate) fn reads_unwritten_memory(self) -> bool {
        matches!(self.name().as_str(), "libx264" | "libx264rgb")
    }

    /// The rate closest to `rate` among those its codec can state.
    pub(crate) fn nearest_rate(self, rate: (i32, i32)) -> (i32, i32) {
        const MPEG: [(i32, i32); 8] =
            [(24_000, 1001), (24, 1), (25, 1), (30_000, 1001), (30, 1), (50, 1), (60_000, 1001), (60, 1)];
        let value = |(num, den): (i32, i32)| f64::from(num) / f64::from(den);
        let off = |candidate: &(i32, i32)| (value(*candidate) / value(rate)).ln().abs();
        match self.id() {
            ffi::AVCodecID::AV_CODEC_ID_MPEG1VIDEO | ffi::AVCodecID::AV_CODEC_ID_MPEG2VIDEO => {
                MPEG.into_iter().min_by(|a, b| off(a).total_cmp(&off(b))).unwrap_or(rate)
            }
            // MPEG-4 states the rate in 16 bits.
            _ => reduced(rate, 65_535),
        }
    }

    /// The encoder's own options for quality and speed.
    pub(crate) fn settings(
        self,
        crf: Option<f32>,
        preset: Option<&str>,
        bit_rate: u64,
    ) -> Result<Vec<(String, String)>, MediaError> {
        let name = self.name();
        let mut options = Vec::new();
        let mut set = |key: &str, value: String| options.push((key.to_owned(), value));
        match name.as_str() {
            "libx264" | "libx264rgb" => {
                set("crf", crf.unwrap_or(16.0).to_string());
                set("preset", word(&name, preset)?);
            }
            "libx265" => {
                set("crf", crf.unwrap_or(18.0).to_string());
                set("preset", word(&name, preset)?);
                // x265 writes its report to standard error by itself, past FFmpeg's log.
                set("x265-params", "log-level=none".to_owned());
            }
            "libsvtav1" => {
                set("crf", whole(crf.unwrap_or(24.0)));
                set("preset", speed(&name, preset, &["0", "2", "3", "4", "6", "8", "9", "10", "11", "12"])?);
            }
            "libvpx-vp9" | "libvpx" => {
                set("crf", whole(crf.unwrap_or(if name == "libvpx" { 8.0 } else { 20.0 })));
                // Without it, the rate that FFmpeg sets by itself would bound the quality. VP8 needs a bound.
                set("b", if name == "libvpx" { bit_rate.saturating_mul(4).to_string() } else { "0".to_owned() });
                set("deadline", "good".to_owned());
                set("cpu-used", speed(&name, preset, &["0", "0", "1", "1", "2", "3", "4", "5", "5", "5"])?);
                if name == "libvpx-vp9" {
                    set("row-mt", "1".to_owned());
                }
            }
            "libaom-av1" => {
                set("crf", whole(crf.unwrap_or(22.0)));
                set("b", "0".to_owned());
                set("cpu-used", speed(&name, preset, &["0", "1", "2", "3", "4", "5", "6", "7", "8", "8"])?);
                set("row-mt", "1".to_owned());
            }
            "librav1e" => {
                // rav1e's quantizer runs from 0 to 255 where others' rate factors run from 0 to 63.
                set("qp", whole(crf.unwrap_or(20.0) * 4.0));
                set("speed", speed(&name, preset, &["0", "1", "2", "4", "6", "7", "8", "9", "10", "10"])?);
            }
            "mpeg4" | "libxvid" | "mpeg2video" | "mpeg1video" | "mjpeg" => {
                refuse_preset(&name, preset)?;
                let scale = crf.unwrap_or(2.0);
                if !(1.0..=31.0).contains(&scale) {
                    return Err(MediaError::usage(
                        format!("{name} takes --crf as its quantizer scale, from 1 to 31, and {scale} is not in there"),
                        "use a value such as 2",
                    ));
                }
                set("flags", "+qscale".to_owned());
                set("global_quality", whole(scale * ffi::FF_QP2LAMBDA as f32));
            }
            _ if name.ends_with("_nvenc") => {
                set("rc", "vbr".to_owned());
                set("cq", crf.unwrap_or(19.0).to_string());
                set("b", "0".to_owned());
                if let Some(preset) = preset {
                    set("preset", preset.to_owned());
                }
            }
            _ if name.ends_with("_qsv") => {
                set("global_quality", whole(crf.unwrap_or(20.0)));
                if let Some(preset) = preset {
                    set("preset", preset.to_owned());
                }
            }
            _ => {
                if let Some(crf) = crf {
                    if !self.has_option("crf") {
                        let why = if self.is_lossless() { "is lossless and has no --crf" } else { "has no --crf" };
                        return Err(MediaError::usage(
                            format!("the encoder {name} {why}"),
                            format!("leave --crf out; ffmpeg -h encoder={name} lists what --encoder-options may set"),
                        ));
                    }
                    set("crf", crf.to_string());
                } else if !self.is_lossless() && !self.name().starts_with("prores") {
                    set("b", bit_rate.to_string());
                }
                if let Some(preset) = preset {
                    if !self.has_option("preset") {
                        refuse_preset(&name, Some(preset))?;
                    }
                    set("preset", preset.to_owned());
                }
            }
        }
        Ok(options)
    }
}

/// Encoders that may hold what another cannot.
pub(crate) fn deep_encoders() -> impl Iterator<Item = VideoEncoder> {
    DEEP.iter().filter(|name| exists(name)).filter_map(|name| VideoEncoder::find(name).ok())
}

fn exists(name: &str) -> bool {
    let name = c_string(name);
    // SAFETY: a terminated string.
    !unsafe { ffi::avcodec_find_encoder_by_name(name.as_ptr()) }.is_null()
}

/// A positive fraction in numbers of at most `largest`.
pub(crate) fn reduced((num, den): (i32, i32), largest: i64) -> (i32, i32) {
    let (mut to_num, mut to_den) = (0, 0);
    // SAFETY: writes two numbers.
    unsafe { ffi::av_reduce(&raw mut to_num, &raw mut to_den, num.into(), den.into(), largest) };
    if to_num > 0 && to_den > 0 { (to_num, to_den) } else { (25, 1) }
}

fn whole(value: f32) -> String {
    (value.round() as i64).to_string()
}

/// A speed in x264's words. x264 itself would complain of others on standard error.
fn word(encoder: &str, preset: Option<&str>) -> Result<String, MediaError> {
    let preset = preset.unwrap_or("medium");
    if SPEEDS.contains(&preset) {
        return Ok(preset.to_owned());
    }
    Err(MediaError::usage(format!("{encoder} has no --preset {preset}"), format!("use one of {}", SPEEDS.join(", "))))
}

/// A speed in x264's words or the encoder's own numbers, as the encoder's number.
fn speed(encoder: &str, preset: Option<&str>, numbers: &[&str; SPEEDS.len()]) -> Result<String, MediaError> {
    let preset = preset.unwrap_or("medium");
    if let Some(at) = SPEEDS.iter().position(|&word| word == preset) {
        return Ok(numbers[at].to_owned());
    }
    if preset.parse::<u32>().is_ok() {
        return Ok(preset.to_owned());
    }
    Err(MediaError::usage(
        format!("{encoder} has no --preset {preset}"),
        format!("use one of {}, or the encoder's own number", SPEEDS.join(", ")),
    ))
}

fn refuse_preset(encoder: &str, preset: Option<&str>) -> Result<(), MediaError> {
    match preset {
        None => Ok(()),
        Some(preset) => Err(MediaError::usage(
            format!("the encoder {encoder} has no --preset, and {preset} was asked for"),
            format!("leave --preset out; ffmpeg -h encoder={encoder} lists what --encoder-options may set"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    fn settings(name: &str, crf: Option<f32>, preset: Option<&str>) -> Result<Vec<(String, String)>, MediaError> {
        VideoEncoder::find(name).unwrap().settings(crf, preset, 1_000_000)
    }

    #[test]
    fn quality_and_speed_are_called_what_each_encoder_calls_them() {
        let has =
            |options: &[(String, String)], key: &str, value: &str| options.iter().any(|(k, v)| k == key && v == value);
        if exists("libx264") {
            let options = settings("libx264", None, None).unwrap();
            assert!(has(&options, "crf", "16") && has(&options, "preset", "medium"));
        }
        let options = settings("mpeg4", Some(3.0), None).unwrap();
        assert!(has(&options, "global_quality", "354"));
        assert_eq!(settings("mpeg4", Some(40.0), None).unwrap_err().kind(), ErrorKind::Usage);
        assert_eq!(settings("mpeg4", None, Some("fast")).unwrap_err().kind(), ErrorKind::Usage);
        assert_eq!(settings("ffv1", Some(3.0), None).unwrap_err().kind(), ErrorKind::Usage);
        if exists("libvpx-vp9") {
            assert!(has(&settings("libvpx-vp9", None, Some("ultrafast")).unwrap(), "cpu-used", "5"));
            assert!(settings("libvpx-vp9", None, Some("quick")).is_err());
        }
    }

    #[test]
    fn unknown_encoders_are_named() {
        let error = VideoEncoder::find("libx999").map(VideoEncoder::name).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
        assert!(error.to_string().contains("libx999"));
        assert!(VideoEncoder::find("aac").is_err());
    }
}
