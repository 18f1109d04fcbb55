//! Films made and read back by tests.
#![allow(dead_code, reason = "each test file uses its own part of this")]
#![allow(unreachable_pub, reason = "a module of tests, not of a crate")]
#![allow(clippy::allow_attributes, reason = "whether an item is used differs from file to file")]

use std::path::{Path, PathBuf};

use framelift_frame::{Frame, Plane, Size, TimeBase, Timestamp};
use framelift_media::{
    Decoder, Demuxer, Encoder, Input, MediaError, Muxer, Output, OutputVideo, Picture, ReadOptions, ToRgb, ToYuv,
    WriteOptions,
};

/// The folder of real films, or `None` with a word on standard error.
pub fn test_data() -> Option<PathBuf> {
    let folder = std::env::var_os("FRAMELIFT_TEST_DATA").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("SKIPPED: {} (FRAMELIFT_TEST_DATA is not set)", std::thread::current().name().unwrap_or("test"));
    }
    folder
}

/// Whether this FFmpeg has an encoder; says so where it has not.
pub fn has_encoder(name: &str) -> bool {
    let found = ffmpeg_next::encoder::find_by_name(name).is_some();
    if !found {
        eprintln!("SKIPPED: this FFmpeg has no {name}");
    }
    found
}

/// A frame of a moving pattern: a slope in each channel, and a bright box that goes to the right.
pub fn pattern(size: Size, number: usize, time: Timestamp, duration_ticks: i64) -> Frame {
    let (w, h) = (size.width as usize, size.height as usize);
    let planes = std::array::from_fn(|channel| {
        let mut samples = Vec::with_capacity(w * h);
        for y in 0..h {
            for x in 0..w {
                let boxed = x >= (number * 3) % w && x < (number * 3) % w + w / 4 && y > h / 4 && y < h / 2;
                let slope = match channel {
                    0 => x * 65535 / w.max(1),
                    1 => y * 65535 / h.max(1),
                    _ => (x + y) * 32767 / (w + h).max(1),
                };
                samples.push(if boxed { 60000 } else { slope as u16 });
            }
        }
        Plane::new(size, samples).unwrap()
    });
    Frame::new(planes, time, duration_ticks).unwrap()
}

/// Frames at `ticks`; each lasts until the next, the last for `last_ticks`.
pub fn frames_at(size: Size, base: TimeBase, ticks: &[i64], last_ticks: i64) -> Vec<Frame> {
    ticks
        .iter()
        .enumerate()
        .map(|(number, &at)| {
            let duration = ticks.get(number + 1).map_or(last_ticks, |next| next - at);
            pattern(size, number, Timestamp::new(at, base), duration)
        })
        .collect()
}

/// What a film turned out to hold.
pub struct Read {
    pub times: Vec<Timestamp>,
    pub durations: Vec<i64>,
    pub pictures: Vec<Picture>,
    pub errors: u64,
}

pub fn open(path: &Path) -> Demuxer {
    Demuxer::open(&Input::File(path.to_owned()), &ReadOptions::default()).unwrap()
}

/// Decodes a film, up to `limit` pictures, which are kept if `keep`.
pub fn read(path: &Path, limit: usize, keep: bool) -> Read {
    read_input(&Input::File(path.to_owned()), limit, keep)
}

pub fn read_input(input: &Input, limit: usize, keep: bool) -> Read {
    read_with(input, &ReadOptions::default(), limit, keep)
}

pub fn read_with(input: &Input, options: &ReadOptions, limit: usize, keep: bool) -> Read {
    let mut demuxer = Demuxer::open(input, options).unwrap();
    let mut decoder = demuxer.decoder().unwrap();
    let video = demuxer.info().video.unwrap();
    let mut all = Read { times: Vec::new(), durations: Vec::new(), pictures: Vec::new(), errors: 0 };
    let take = |decoder: &mut Decoder, all: &mut Read| {
        while let Some(picture) = decoder.receive().unwrap() {
            if all.times.len() < limit {
                all.times.push(picture.time());
                all.durations.push(picture.duration_ticks());
                if keep {
                    all.pictures.push(picture);
                }
            }
        }
    };
    while let Some(packet) = demuxer.read().unwrap() {
        if packet.stream_index() == video {
            decoder.send(packet).unwrap();
            take(&mut decoder, &mut all);
        }
        if all.times.len() == limit {
            return all;
        }
    }
    decoder.finish().unwrap();
    take(&mut decoder, &mut all);
    all.errors = decoder.errors();
    all
}

/// A film through decode, RGB and encode at its own size, stopped after `limit` frames; gives what was said.
pub fn recode(input: &Input, output: &Output, options: &WriteOptions, limit: usize) -> Result<Vec<String>, MediaError> {
    recode_with(input, output, options, &ReadOptions::default(), limit)
}

pub fn recode_with(
    input: &Input,
    output: &Output,
    options: &WriteOptions,
    read: &ReadOptions,
    limit: usize,
) -> Result<Vec<String>, MediaError> {
    let mut demuxer = Demuxer::open(input, read)?;
    let mut decoder = demuxer.decoder()?;
    let (stream, video) = demuxer.info().require_video(input)?;
    let (index, video) = (stream.index, video.clone());
    let plan = OutputVideo::plan(demuxer.info(), video.size, output, options)?;
    let mut notices = plan.notices.clone();
    let mut chain = Chain {
        to_rgb: ToRgb::new(&video)?.keep_alpha(plan.format.alpha),
        to_yuv: ToYuv::new(video.size, &plan)?,
        encoder: Encoder::new(&plan, output, options)?,
        frames: 0,
        limit,
    };
    let mut muxer = Muxer::create(output, &chain.encoder, &demuxer.template()?, options)?;
    notices.extend(muxer.take_notices());
    demuxer.keep(|index| muxer.copies(index));
    while let Some(packet) = demuxer.read()? {
        if packet.stream_index() == index {
            decoder.send(packet)?;
            chain.pump(&mut decoder, &mut muxer)?;
        } else {
            muxer.copy(packet)?;
        }
        if chain.frames >= limit {
            break;
        }
    }
    if chain.frames < limit {
        decoder.finish()?;
        chain.pump(&mut decoder, &mut muxer)?;
    }
    chain.encoder.finish()?;
    chain.drain(&mut muxer)?;
    notices.extend(chain.to_rgb.take_notices());
    notices.extend(muxer.take_notices());
    muxer.finish()?;
    Ok(notices)
}

struct Chain {
    to_rgb: ToRgb,
    to_yuv: ToYuv,
    encoder: Encoder,
    frames: usize,
    limit: usize,
}

impl Chain {
    fn pump(&mut self, decoder: &mut Decoder, muxer: &mut Muxer) -> Result<(), MediaError> {
        while let Some(picture) = decoder.receive()? {
            if self.frames == self.limit {
                return Ok(());
            }
            self.frames += 1;
            let frame = self.to_rgb.push(picture)?;
            self.encoder.send(self.to_yuv.push(&frame)?)?;
            self.drain(muxer)?;
        }
        Ok(())
    }

    fn drain(&mut self, muxer: &mut Muxer) -> Result<(), MediaError> {
        while let Some(packet) = self.encoder.receive()? {
            muxer.write_video(packet)?;
        }
        Ok(())
    }
}

/// Options for speed.
pub fn fast(codec: &str) -> WriteOptions {
    let mut options = WriteOptions { codec: Some(codec.to_owned()), overwrite: true, ..WriteOptions::default() };
    match codec {
        "libx264" | "libx265" => options.preset = Some("ultrafast".to_owned()),
        "libvpx-vp9" => {
            options.encoder_options =
                vec![("deadline".to_owned(), "realtime".to_owned()), ("cpu-used".to_owned(), "8".to_owned())]
        }
        _ => {}
    }
    options
}

/// Exact pictures: FFV1.
pub fn lossless() -> WriteOptions {
    fast("ffv1")
}

pub fn file(folder: &tempfile::TempDir, name: &str) -> PathBuf {
    folder.path().join(name)
}

pub fn output(path: &Path) -> Output {
    Output::parse(path).unwrap()
}

pub fn input(path: &Path) -> Input {
    Input::parse(path).unwrap()
}

/// Names in a folder, hidden ones included.
pub fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
