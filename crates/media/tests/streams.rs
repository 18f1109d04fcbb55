//! What lies beside the pictures reaches the output, or is named.
#![cfg(test)]

mod common;

use common::*;
use framelift_frame::{Size, TimeBase, Timestamp};
use framelift_media::compose::{Canvas, Composition, Cue, SubtitleFormat};
use framelift_media::{CopyKind, CopyPolicy, MediaInfo, StreamKind, WriteOptions};

const SIZE: Size = Size::new(64, 48);
const BASE: TimeBase = TimeBase::new(1, 1000);

fn tone(rate: u32, channels: u32, hz: f32, seconds: f32) -> Vec<i16> {
    let count = (rate as f32 * seconds) as usize;
    (0..count)
        .flat_map(|i| {
            let sample = ((i as f32 / rate as f32 * hz * std::f32::consts::TAU).sin() * 8000.0) as i16;
            std::iter::repeat_n(sample, channels as usize)
        })
        .collect()
}

/// One second of everything, with `png` as its cover.
fn everything(png: &[u8]) -> Composition {
    let mut film = Composition::new(Canvas::new(SIZE)).unwrap();
    film.video_metadata("language", "jpn").video_metadata("title", "pictures").default_stream();
    film.metadata("title", "A film").metadata("comment", "of everything");
    film.sound(48_000, 2, &tone(48_000, 2, 440.0, 1.0), &[("language", "eng"), ("title", "Stereo")]).unwrap();
    film.default_stream();
    film.sound(44_100, 1, &tone(44_100, 1, 220.0, 1.0), &[("language", "fra")]).unwrap();
    let cue = |start_ms, end_ms, text: &str| Cue { start_ms, end_ms, text: text.into() };
    let cues = [cue(100, 400, "one"), cue(500, 900, "two")];
    film.subtitles(SubtitleFormat::SubRip, &cues, &[("language", "ger")]).unwrap();
    film.subtitles(SubtitleFormat::Ass, &cues, &[("language", "eng"), ("title", "Signs")]).unwrap();
    film.attachment("test.ttf", "application/x-truetype-font", b"not really a font").unwrap();
    film.cover_png(png).unwrap();
    film.chapter(0, 500, "Start").chapter(500, 1000, "End");
    film
}

/// A picture as a PNG file, made by the crate itself.
fn png() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let pattern = file(&folder, "%d.png");
    let frame = pattern_frame();
    Composition::new(Canvas { format: "gbrp".into(), ..Canvas::new(SIZE) })
        .unwrap()
        .write(&output(&pattern), &WriteOptions::default(), [frame])
        .unwrap();
    std::fs::read(file(&folder, "1.png")).unwrap()
}

fn pattern_frame() -> framelift_frame::Frame {
    pattern(SIZE, 0, Timestamp::new(0, BASE), 40)
}

fn second() -> Vec<framelift_frame::Frame> {
    let ticks: Vec<i64> = (0..25).map(|i| i * 40).collect();
    frames_at(SIZE, BASE, &ticks, 40)
}

/// Streams as kind, codec, language, title and dispositions.
fn shape(info: &MediaInfo) -> Vec<String> {
    let streams = info.streams.iter();
    streams
        .map(|s| {
            let title = s.title.clone().unwrap_or_default();
            let language = s.language.clone().unwrap_or_default();
            let codec = if matches!(s.kind, StreamKind::Video(ref v) if !v.cover) { "" } else { &s.codec };
            format!("{} {codec} {language} {title} {}", s.kind.name(), s.dispositions.join("+"))
        })
        .collect()
}

/// Packets of a stream: time, duration and payload size.
fn packets(path: &std::path::Path, index: usize) -> Vec<(i64, usize)> {
    let mut demuxer = open(path);
    let mut all = Vec::new();
    while let Some(packet) = demuxer.read().unwrap() {
        if packet.stream_index() == index {
            all.push((packet.time().unwrap().ticks, packet.bytes()));
        }
    }
    all
}

#[test]
fn matroska_keeps_everything() {
    let folder = tempfile::tempdir().unwrap();
    let (made, again) = (file(&folder, "made.mkv"), file(&folder, "again.mkv"));
    let png = png();
    everything(&png).write(&output(&made), &lossless(), second()).unwrap();
    let notices = recode(&input(&made), &output(&again), &lossless(), usize::MAX).unwrap();
    assert!(notices.iter().all(|notice| !notice.contains("left out")), "{notices:?}");

    let (a, b) = (open(&made), open(&again));
    let expected = [
        "video  jpn pictures default",
        "audio pcm_s16le eng Stereo default",
        "audio pcm_s16le fra  ",
        "subtitle subrip ger  ",
        "subtitle ass eng Signs ",
        "attachment ttf   ",
        "video png   attached_pic",
    ];
    assert_eq!(shape(a.info()), expected);
    assert_eq!(shape(b.info()), expected);
    for info in [a.info(), b.info()] {
        assert_eq!(info.video, Some(0));
        let titles: Vec<_> =
            info.chapters.iter().map(|c| (c.title().unwrap(), c.start.seconds(), c.end.seconds())).collect();
        assert_eq!(titles, [("Start", 0.0, 0.5), ("End", 0.5, 1.0)]);
        let find = |key: &str| info.metadata.iter().find(|(k, _)| k.eq_ignore_ascii_case(key)).map(|(_, v)| v.as_str());
        assert_eq!((find("title"), find("comment")), (Some("A film"), Some("of everything")));
        let StreamKind::Attachment { file_name } = &info.streams[5].kind else { panic!("no attachment") };
        assert_eq!(file_name.as_deref(), Some("test.ttf"));
    }
    for index in 1..5 {
        let (a, b) = (packets(&made, index), packets(&again, index));
        assert!(!a.is_empty());
        assert_eq!(a, b, "stream {index}");
    }
    // The bytes of font and cover are in the file as they were.
    let bytes = std::fs::read(&again).unwrap();
    assert!(bytes.windows(17).any(|w| w == b"not really a font"));
    assert!(bytes.windows(png.len()).any(|w| w == png));
    assert_eq!(names(folder.path()), ["again.mkv", "made.mkv"]);
}

#[test]
fn mp4_says_what_it_cannot_hold() {
    let folder = tempfile::tempdir().unwrap();
    let (made, again) = (file(&folder, "made.mkv"), file(&folder, "again.mp4"));
    everything(&png()).write(&output(&made), &lossless(), second()).unwrap();
    let notices = recode(&input(&made), &output(&again), &fast("mpeg4"), usize::MAX).unwrap();
    for named in ["subtitle stream 3 (subrip, ger)", "subtitle stream 4 (ass, eng)", "attachment 5 (ttf, test.ttf)"] {
        let notice = notices.iter().find(|notice| notice.contains(named));
        let notice = notice.unwrap_or_else(|| panic!("{named} not in {notices:?}"));
        assert!(notice.contains("MP4") && notice.contains("a .mkv file holds it"), "{notice}");
    }
    let demuxer = open(&again);
    assert_eq!(demuxer.info().chapters.len(), 2);
    assert!(demuxer.info().streams.iter().any(|s| matches!(&s.kind, StreamKind::Video(v) if v.cover)));
    assert_eq!(read(&again, usize::MAX, false).times.len(), 25);
    // And back again: the text track that MP4 makes of chapters is not a stream of the film.
    let back = file(&folder, "back.mov");
    let notices = recode(&input(&again), &output(&back), &fast("mpeg4"), usize::MAX).unwrap();
    assert!(notices.iter().all(|notice| !notice.contains("left out")), "{notices:?}");
    assert_eq!(open(&back).info().chapters.len(), 2);
}

#[test]
fn mov_keeps_sound_to_the_sample() {
    let folder = tempfile::tempdir().unwrap();
    let (made, again) = (file(&folder, "made.mov"), file(&folder, "again.mov"));
    let mut film = Composition::new(Canvas { time_base: TimeBase::new(1, 30_000), ..Canvas::new(SIZE) }).unwrap();
    film.sound(44_100, 2, &tone(44_100, 2, 440.0, 1.0), &[("language", "eng")]).unwrap();
    let ticks: Vec<i64> = (0..30).map(|i| 4000 + i * 1001).collect();
    film.write(&output(&made), &fast("mpeg4"), frames_at(SIZE, TimeBase::new(1, 30_000), &ticks, 1001)).unwrap();
    recode(&input(&made), &output(&again), &fast("mpeg4"), usize::MAX).unwrap();
    let sum = |path: &std::path::Path| packets(path, 1).iter().map(|(_, bytes)| bytes).sum::<usize>();
    assert_eq!(sum(&again), 44_100 * 4);
    assert_eq!(packets(&again, 1).first().unwrap().0, packets(&made, 1).first().unwrap().0);
    assert_eq!(read(&again, 1, false).times[0], Timestamp::new(4000, TimeBase::new(1, 30_000)));
}

#[test]
fn only_the_kinds_asked_for_are_copied() {
    let folder = tempfile::tempdir().unwrap();
    let made = file(&folder, "made.mkv");
    everything(&png()).write(&output(&made), &lossless(), second()).unwrap();
    for (policy, kinds, chapters, title) in [
        (CopyPolicy::None, "video", 0, false),
        (CopyPolicy::Kinds(vec![CopyKind::Audio, CopyKind::Chapters]), "video audio audio", 2, false),
        (CopyPolicy::Kinds(vec![CopyKind::Subtitles, CopyKind::Metadata]), "video subtitle subtitle", 0, true),
    ] {
        let again = file(&folder, "again.mkv");
        let options = WriteOptions { copy: policy.clone(), ..lossless() };
        let notices = recode(&input(&made), &output(&again), &options, usize::MAX).unwrap();
        assert!(notices.iter().all(|notice| !notice.contains("left out")), "{notices:?}");
        let demuxer = open(&again);
        let info = demuxer.info();
        let found: Vec<_> = info.streams.iter().map(|s| s.kind.name()).collect();
        assert_eq!(found.join(" "), kinds, "{policy:?}");
        assert_eq!(info.chapters.len(), chapters, "{policy:?}");
        assert_eq!(info.metadata.iter().any(|(k, _)| k.eq_ignore_ascii_case("title")), title, "{policy:?}");
    }
}

#[test]
fn a_trimmed_film_starts_at_zero_with_all_its_streams() {
    let folder = tempfile::tempdir().unwrap();
    let (made, again) = (file(&folder, "made.mkv"), file(&folder, "again.mkv"));
    everything(&png()).write(&output(&made), &lossless(), second()).unwrap();
    // The caller drops the frames outside; here every frame is kept, and the muxer trims what it copies.
    let (start, end) = (Timestamp::new(200, BASE), Timestamp::new(800, BASE));
    let options = WriteOptions { trim_start: Some(start), trim_end: Some(end), ..lossless() };
    let mut demuxer = open(&made);
    let mut decoder = demuxer.decoder().unwrap();
    let info = demuxer.info().clone();
    let out = output(&again);
    let plan = framelift_media::OutputVideo::plan(&info, SIZE, &out, &options).unwrap();
    let mut to_rgb = framelift_media::ToRgb::new(info.video_stream().unwrap().1).unwrap();
    let mut to_yuv = framelift_media::ToYuv::new(SIZE, &plan).unwrap();
    let mut encoder = framelift_media::Encoder::new(&plan, &out, &options).unwrap();
    let mut muxer = framelift_media::Muxer::create(&out, &encoder, &demuxer.template().unwrap(), &options).unwrap();
    while let Some(packet) = demuxer.read().unwrap() {
        if packet.stream_index() != 0 {
            muxer.copy(packet).unwrap();
            continue;
        }
        decoder.send(packet).unwrap();
        while let Some(picture) = decoder.receive().unwrap() {
            if picture.time() >= start && picture.time() < end {
                encoder.send(to_yuv.push(&to_rgb.push(picture).unwrap()).unwrap()).unwrap();
            }
        }
        while let Some(packet) = encoder.receive().unwrap() {
            muxer.write_video(packet).unwrap();
        }
    }
    encoder.finish().unwrap();
    while let Some(packet) = encoder.receive().unwrap() {
        muxer.write_video(packet).unwrap();
    }
    muxer.finish().unwrap();

    let times = read(&again, usize::MAX, false).times;
    assert_eq!((times.len(), times[0].ticks, times[14].ticks), (15, 0, 560));
    let sound = packets(&again, 1);
    assert!(sound[0].0 < 22 && sound.last().unwrap().0 < 600, "{sound:?}");
    // The first subtitle, shown from 100 to 400, is shown from the start on.
    assert_eq!(packets(&again, 3).iter().map(|p| p.0).collect::<Vec<_>>(), [0, 300]);
    let chapters = open(&again).info().chapters.clone();
    let spans: Vec<_> =
        chapters.iter().map(|c| ((c.start.seconds() * 1e3).round(), (c.end.seconds() * 1e3).round())).collect();
    assert_eq!(spans, [(0.0, 300.0), (300.0, 600.0)]);
}

#[test]
fn pixel_shape_and_rotation_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    for (name, degrees) in [("mkv", 0), ("mp4", 90), ("mov", 270)] {
        let (made, again) = (file(&folder, &format!("made.{name}")), file(&folder, &format!("again.{name}")));
        let canvas = Canvas { sample_aspect_ratio: (16, 11), rotation_degrees: degrees, ..Canvas::new(SIZE) };
        Composition::new(canvas).unwrap().write(&output(&made), &fast("mpeg4"), second()).unwrap();
        recode(&input(&made), &output(&again), &fast("mpeg4"), usize::MAX).unwrap();
        for path in [made, again] {
            let demuxer = open(&path);
            let (_, video) = demuxer.info().video_stream().unwrap();
            assert_eq!(video.sample_aspect_ratio, (16, 11), "{}", path.display());
            assert_eq!(video.rotation_degrees, degrees, "{}", path.display());
        }
    }
}

#[test]
fn matroska_keeps_rotation_or_its_loss_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (made, again) = (file(&folder, "made.mp4"), file(&folder, "again.mkv"));
    let canvas = Canvas { rotation_degrees: 90, ..Canvas::new(SIZE) };
    Composition::new(canvas).unwrap().write(&output(&made), &fast("mpeg4"), second()).unwrap();
    let notices = recode(&input(&made), &output(&again), &fast("mpeg4"), usize::MAX).unwrap();
    let kept = open(&again).info().video_stream().unwrap().1.rotation_degrees;
    let named = notices.iter().any(|notice| notice.contains("turn the film by 90 degrees"));
    assert!((kept == 90) != named, "kept {kept}, notices {notices:?}");
}

#[test]
fn the_shape_of_the_picture_outlives_a_resize() {
    let folder = tempfile::tempdir().unwrap();
    let made = file(&folder, "made.mkv");
    let canvas = Canvas { sample_aspect_ratio: (16, 11), ..Canvas::new(SIZE) };
    Composition::new(canvas).unwrap().write(&output(&made), &lossless(), [pattern_frame()]).unwrap();
    let demuxer = open(&made);
    let plan = |size| {
        let out = output(&file(&folder, "out.mkv"));
        framelift_media::OutputVideo::plan(demuxer.info(), size, &out, &lossless()).unwrap().sample_aspect_ratio
    };
    assert_eq!(plan(Size::new(256, 192)), (16, 11));
    assert_eq!(plan(Size::new(128, 48)), (8, 11));
}
