//! y4m films: opened, described, decoded and brought to RGB, as far as a few frames.

use std::path::PathBuf;

use framelift::media::{Demuxer, Input, MediaError, ReadOptions, ToRgb};

/// Frames that are decoded of a film.
const FRAMES: usize = 4;

/// Packets that are read of a film.
const PACKETS: usize = 16;

/// What every y4m film begins with, so that the input is taken for one.
const MAGIC: &[u8] = b"YUV4MPEG2 ";

/// The most pixels of a frame that are converted: larger ones are right, and slow.
const PIXELS: u64 = 1 << 18;

/// Reads the bytes behind the magic as a film.
pub(crate) fn run(bytes: &[u8]) {
    let path = file();
    let film = [MAGIC, bytes].concat();
    assert!(std::fs::write(&path, film).is_ok(), "no room for {}", path.display());
    let _ = decode(&path);
    let _ = std::fs::remove_file(path);
}

/// A file of this process's own, in memory where the system has such a place.
fn file() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    let folder = if memory.is_dir() { memory } else { std::env::temp_dir() };
    folder.join(format!("framelift-fuzz-{}.y4m", std::process::id()))
}

fn decode(path: &std::path::Path) -> Result<(), MediaError> {
    let options = ReadOptions { decoder_threads: 1, ..ReadOptions::default() };
    let mut demuxer = Demuxer::open(&Input::File(path.to_owned()), &options)?;
    let info = demuxer.info().clone();
    let Some((stream, video)) = info.video_stream() else { return Ok(()) };
    let mut decoder = demuxer.decoder()?;
    let mut to_rgb = if video.size.pixels() <= PIXELS { Some(ToRgb::new(video)?) } else { None };
    let (mut frames, mut ended) = (0, false);
    for _ in 0..PACKETS {
        match demuxer.read()? {
            Some(packet) if packet.stream_index() == stream.index => decoder.send(packet)?,
            Some(_) => {}
            None => {
                decoder.finish()?;
                ended = true;
            }
        }
        while let Some(picture) = decoder.receive()? {
            if let Some(to_rgb) = &mut to_rgb {
                let frame = to_rgb.push(picture)?;
                assert_eq!(frame.size(), video.size, "a frame of another size than was said");
            }
            frames += 1;
            if frames == FRAMES {
                return Ok(());
            }
        }
        if ended {
            break;
        }
    }
    Ok(())
}
