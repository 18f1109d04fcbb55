//! Inputs that are no films: one line each, of what is wrong and what to do.
#![cfg(test)]

mod common;

use std::path::Path;

use common::*;
use framelift_frame::Size;
use framelift_media::compose::{Canvas, Composition};
use framelift_media::{Demuxer, ErrorKind, Input, MediaError, ReadOptions, WriteOptions};

/// What opening a film and getting ready to decode it says.
fn complaint(path: &Path) -> String {
    let error = Demuxer::open(&Input::File(path.to_owned()), &ReadOptions::default())
        .and_then(|demuxer| demuxer.decoder().map(drop))
        .expect_err("an error");
    expect_one_line(&error);
    error.to_string()
}

fn expect_one_line(error: &MediaError) {
    assert_eq!(error.kind(), ErrorKind::Input, "{error}");
    let text = error.to_string();
    assert!(!text.contains('\n') && text.contains("; "), "{text}");
    assert!(!text.contains(" @ 0x"), "{text}");
}

fn holds(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "{word:?} is not in: {text}");
    }
}

#[test]
fn missing_folders_texts_and_empty_files() {
    let folder = tempfile::tempdir().unwrap();
    holds(&complaint(&file(&folder, "none.mp4")), &["none.mp4", "no such file"]);
    holds(&complaint(folder.path()), &["folder", "%08d"]);
    let write = |name: &str, bytes: &[u8]| {
        let path = file(&folder, name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    holds(&complaint(&write("empty.mp4", b"")), &["empty"]);
    let text = "This is a letter, not a film.\n".repeat(200);
    for name in ["letter.txt", "letter.mp4", "letter"] {
        complaint(&write(name, text.as_bytes()));
    }
    complaint(&write("zeros.mkv", &[0; 100_000]));
    let noise: Vec<u8> = (0..200_000_u64).map(|i| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect();
    complaint(&write("noise.mp4", &noise));
    complaint(&write("subtitles.srt", b"1\n00:00:00,000 --> 00:00:01,000\nHello\n\n"));
    complaint(&write("zero.y4m", b"YUV4MPEG2 W0 H0 F25:1 Ip A1:1 C420jpeg\nFRAME\n"));
    complaint(&write(
        "playlist.m3u8",
        b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n",
    ));
}

#[test]
fn a_sequence_of_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for pattern in [file(&folder, "%08d.png"), file(&folder, "nowhere/%08d.png")] {
        let error = Demuxer::open(&input(&pattern), &ReadOptions::default()).err().unwrap();
        expect_one_line(&error);
    }
}

/// A second of film in a container.
fn film(folder: &tempfile::TempDir, name: &str) -> std::path::PathBuf {
    let path = file(folder, name);
    let size = Size::new(64, 48);
    let ticks: Vec<i64> = (0..25).map(|i| i * 40).collect();
    let mut film = Composition::new(Canvas::new(size)).unwrap();
    film.sound(8000, 1, &[0; 8000], &[]).unwrap();
    film.write(&output(&path), &fast("mpeg4"), frames_at(size, Canvas::new(size).time_base, &ticks, 40)).unwrap();
    path
}

#[test]
fn films_cut_short_give_what_they_have_or_say_why_not() {
    let folder = tempfile::tempdir().unwrap();
    let mov = std::fs::read(film(&folder, "whole.mov")).unwrap();
    let cut = file(&folder, "cut.mov");
    std::fs::write(&cut, &mov[..mov.len() / 2]).unwrap();
    holds(&complaint(&cut), &["moov", "cut short"]);

    let mkv = std::fs::read(film(&folder, "whole.mkv")).unwrap();
    let cut = file(&folder, "cut.mkv");
    std::fs::write(&cut, &mkv[..mkv.len() / 2]).unwrap();
    let frames = read(&cut, usize::MAX, false).times.len();
    assert!((1..25).contains(&frames), "{frames}");
}

#[test]
fn no_byte_flipped_makes_it_crash_or_hang() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a.mov", "a.mkv"] {
        let whole = std::fs::read(film(&folder, name)).unwrap();
        let path = file(&folder, &format!("damaged-{name}"));
        let mut state = 1_u64;
        for _ in 0..40 {
            let mut bytes = whole.clone();
            for _ in 0..20 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let at = (state >> 33) as usize % bytes.len();
                bytes[at] ^= (state >> 24) as u8 | 1;
            }
            std::fs::write(&path, &bytes).unwrap();
            let Ok(mut demuxer) = Demuxer::open(&Input::File(path.clone()), &ReadOptions::default()) else { continue };
            let Ok(mut decoder) = demuxer.decoder() else { continue };
            let video = demuxer.info().video;
            let mut last = None;
            while let Ok(Some(packet)) = demuxer.read() {
                if Some(packet.stream_index()) == video {
                    decoder.send(packet).unwrap();
                    while let Some(picture) = decoder.receive().unwrap() {
                        assert!(last.is_none_or(|last| picture.time() > last), "times grow");
                        last = Some(picture.time());
                    }
                }
            }
        }
    }
}

#[test]
fn sound_alone_is_no_film() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, "sound.wav");
    let mut wav =
        b"RIFF\x24\x10\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0data\0\x10\0\0".to_vec();
    wav.extend([0; 4096]);
    std::fs::write(&path, wav).unwrap();
    holds(&complaint(&path), &["no video", "audio"]);
    // Probing it is fine: there is something to tell.
    assert_eq!(open(&path).info().streams.len(), 1);
}

#[test]
fn a_film_of_no_frames_has_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, "none.mkv");
    Composition::new(Canvas::new(Size::new(64, 48))).unwrap().write(&output(&path), &lossless(), []).unwrap();
    match Demuxer::open(&Input::File(path), &ReadOptions::default())
        .and_then(|demuxer| demuxer.decoder().map(|decoder| (demuxer, decoder)))
    {
        Err(error) => expect_one_line(&error),
        Ok((mut demuxer, mut decoder)) => {
            while let Some(packet) = demuxer.read().unwrap() {
                decoder.send(packet).unwrap();
            }
            decoder.finish().unwrap();
            assert!(decoder.receive().unwrap().is_none());
        }
    }
}

#[test]
fn a_rate_of_nothing_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let pattern = file(&folder, "%d.png");
    let size = Size::new(8, 8);
    let frames = frames_at(size, Canvas::new(size).time_base, &[0], 40);
    Composition::new(Canvas { format: "gbrp".into(), ..Canvas::new(size) })
        .unwrap()
        .write(&output(&pattern), &WriteOptions::default(), frames)
        .unwrap();
    let options = ReadOptions { sequence_rate: (24, 0), ..ReadOptions::default() };
    assert_eq!(Demuxer::open(&input(&pattern), &options).err().unwrap().kind(), ErrorKind::Usage);
}
