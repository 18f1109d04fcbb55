//! A film through the whole chain, decoded to RGB frames and encoded again at its own size:
//! `cargo run --release -p framelift-media --example recode -- film.mp4 out.mkv [codec [option=value …]]`.

use std::sync::mpsc::sync_channel;
use std::thread;

use framelift_media::{
    Demuxer, Encoder, Input, MediaError, Muxer, Output, OutputVideo, ReadOptions, ToRgb, ToYuv, WriteOptions,
};

/// What goes to the muxer.
enum ToMux {
    Video(framelift_media::EncodedPacket),
    Copy(framelift_media::Packet),
}

fn main() -> Result<(), MediaError> {
    let mut arguments = std::env::args().skip(1);
    let input = Input::parse(arguments.next().unwrap_or_default())?;
    let output = Output::parse(arguments.next().unwrap_or_default())?;
    let codec = arguments.next();
    let encoder_options =
        arguments.filter_map(|option| option.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned()))).collect();
    let options = WriteOptions { codec, encoder_options, overwrite: true, png16: true, ..WriteOptions::default() };

    let mut demuxer = Demuxer::open(&input, &ReadOptions::default())?;
    let mut decoder = demuxer.decoder()?;
    let (video_index, video) = {
        let (stream, video) = demuxer.info().require_video(&input)?;
        (stream.index, video.clone())
    };
    let plan = OutputVideo::plan(demuxer.info(), video.size, &output, &options)?;
    let mut to_rgb = ToRgb::new(&video)?;
    let mut to_yuv = ToYuv::new(video.size, &plan)?;
    let mut encoder = Encoder::new(&plan, &output, &options)?;
    let mut muxer = Muxer::create(&output, &encoder, &demuxer.template()?, &options)?;
    for notice in plan.notices.iter().chain(&muxer.take_notices()) {
        tell(notice);
    }

    let (packets_in, packets) = sync_channel(64);
    let (pictures_in, pictures) = sync_channel(4);
    let (frames_in, frames) = sync_channel(4);
    let (yuv_in, yuv) = sync_channel(4);
    let (mux_in, mux) = sync_channel(256);
    let copies: Vec<_> = (0..demuxer.info().streams.len()).map(|index| muxer.copies(index)).collect();
    let copy_in = mux_in.clone();
    thread::scope(|scope| {
        // A closed channel means that the stage behind it failed, and tells why.
        let demux = scope.spawn(move || {
            while let Some(packet) = demuxer.read()? {
                let index = packet.stream_index();
                let sent = if index == video_index {
                    packets_in.send(packet).is_ok()
                } else {
                    !copies[index] || copy_in.send(ToMux::Copy(packet)).is_ok()
                };
                if !sent {
                    break;
                }
            }
            Ok(())
        });
        let decode = scope.spawn(move || {
            let drain = |decoder: &mut framelift_media::Decoder| {
                while let Some(picture) = decoder.receive()? {
                    if pictures_in.send(picture).is_err() {
                        break;
                    }
                }
                Ok::<_, MediaError>(())
            };
            for packet in packets {
                decoder.send(packet)?;
                drain(&mut decoder)?;
            }
            decoder.finish()?;
            drain(&mut decoder)
        });
        let rgb = scope.spawn(move || {
            for picture in pictures {
                let frame = to_rgb.push(picture)?;
                for notice in to_rgb.take_notices() {
                    tell(&notice);
                }
                if frames_in.send(frame).is_err() {
                    break;
                }
            }
            Ok(())
        });
        let back = scope.spawn(move || {
            for frame in frames {
                if yuv_in.send(to_yuv.push(&frame)?).is_err() {
                    break;
                }
            }
            Ok(())
        });
        let encode = scope.spawn(move || {
            let drain = |encoder: &mut Encoder| {
                while let Some(packet) = encoder.receive()? {
                    if mux_in.send(ToMux::Video(packet)).is_err() {
                        break;
                    }
                }
                Ok::<_, MediaError>(())
            };
            for picture in yuv {
                encoder.send(picture)?;
                drain(&mut encoder)?;
            }
            encoder.finish()?;
            drain(&mut encoder)
        });
        let write = scope.spawn(move || {
            for packet in mux {
                match packet {
                    ToMux::Video(packet) => muxer.write_video(packet)?,
                    ToMux::Copy(packet) => muxer.copy(packet)?,
                }
            }
            muxer.finish()
        });
        for stage in [write, encode, back, rgb, decode, demux] {
            match stage.join() {
                Ok(result) => result?,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        Ok(())
    })
}

#[expect(clippy::print_stderr, reason = "an example is a program: it talks to people")]
fn tell(notice: &str) {
    eprintln!("note: {notice}");
}
