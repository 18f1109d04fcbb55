//! Films and encoders of other kinds, stopped in the middle: what goes on is bit for bit what an undisturbed run makes.

use std::fs;
use std::path::{Path, PathBuf};

use framelift::{Frame, Size, Timestamp};

use crate::common::{MS, film, frames, times_ms};
use crate::formats::has_encoder;
use crate::resume::{Job, copied_packets, hash, notices, shots};

/// Kills the job each time that it has so many pieces done, and holds its output to that of one that was left alone, which
/// it gives.
fn goes_on(input: &Path, name: &str, options: &[&str], stops: &[usize]) -> PathBuf {
    let at = |weather: &str| input.with_file_name(format!("{weather}-{name}"));
    Job::new(input, &at("calm"), options).run();
    let job = Job::new(input, &at("stormy"), options);
    for &pieces in stops {
        job.stop_after(pieces);
    }
    let told = job.run();
    let begun = told.iter().find(|event| event["event"] == "started").unwrap();
    assert!(begun["frames_before"].as_u64() > Some(0), "{name} starts afresh: {}", notices(&told));
    assert!(hash(&at("calm")) == hash(&at("stormy")), "{name}: another film; {}", notices(&told));
    at("calm")
}

/// `count` frames whose rows are of two moments in turn, 40 ms a frame, with cuts between them.
fn woven(size: Size, count: usize) -> Vec<Frame> {
    let moments = shots(size, 2 * count);
    let weave = |(n, pair): (usize, &[Frame])| {
        let mut frame = pair[0].clone();
        (frame.time, frame.duration_ticks) = (Timestamp::new(n as i64 * 40, MS), 40);
        let width = size.width as usize;
        for (plane, later) in frame.planes_mut().iter_mut().zip(pair[1].planes()) {
            let rows = plane.samples_mut().chunks_exact_mut(width).zip(later.samples().chunks_exact(width));
            rows.skip(1).step_by(2).for_each(|(row, later)| row.copy_from_slice(later));
        }
        frame
    };
    moments.chunks_exact(2).enumerate().map(weave).collect()
}

#[test]
fn fields_go_on_where_they_were_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("in.mkv");
    film(&input, woven(Size::new(64, 48), 160));
    let from_fields = |mode: &str, part: &[&str]| -> Vec<String> {
        let fixed = ["--model", "lift-x2", "--deinterlace", mode];
        fixed.iter().chain(part).map(|&option| option.to_owned()).collect()
    };
    for (mode, in_all, ms) in [("frame", 160, 40), ("field", 320, 20)] {
        let options = from_fields(mode, &["--piece", "20"]);
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        let made = goes_on(&input, &format!("{mode}.mkv"), &options, &[2, 4]);
        assert_eq!(times_ms(&made), (0..in_all).map(|n| n * ms).collect::<Vec<_>>(), "{mode}");
        assert_eq!(copied_packets(&made), copied_packets(&input), "{mode}");
    }
    // Sound ends with the last field that was asked for, in pieces as in one go.
    let part = |name: &str, how: &[&str]| {
        let options = from_fields("field", &[&["--frames", "100"], how].concat());
        let output = folder.path().join(name);
        Job::new(&input, &output, &options.iter().map(String::as_str).collect::<Vec<_>>()).run();
        (times_ms(&output), copied_packets(&output))
    };
    let (pieces, at_once) = (part("pieces.mkv", &["--piece", "30"]), part("at-once.mkv", &["--no-resume"]));
    assert_eq!(pieces.0, (0..100).map(|n| n * 20).collect::<Vec<_>>());
    assert_eq!(pieces, at_once);
    let last = pieces.1.iter().filter_map(|(_, ms, _)| *ms).max().unwrap();
    assert!((1900..2000).contains(&last), "sound ends at {last} ms");
}

/// A transport stream put together of two takes of the same clip (`fixtures/clip.ts`, 125 frames and half a second more of
/// sound), whose clock jumps back in the middle: moments of the first take are found in the second as well, with the same
/// pictures. Made by `ffmpeg -f lavfi -i testsrc2=size=64x48:rate=25:duration=5 -f lavfi -i sine=440:r=8000:duration=5.3
/// -c:v libx264 -preset veryslow -crf 30 -g 25 -bf 2 -c:a aac -ac 1 -b:a 12k -mpegts_flags +resend_headers -muxdelay 0
/// -sdt_period 100 -pat_period 0.5 clip.ts`.
#[test]
fn joined_streams_go_on_where_they_were_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let clip = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/clip.ts")).unwrap();
    let input = folder.path().join("joined.ts");
    fs::write(&input, [&clip[..], &clip].concat()).unwrap();
    let options = ["--model", "lift-x2", "--piece", "20"];
    let made = goes_on(&input, "out.mkv", &options, &[3, 5, 8]);
    let times = times_ms(&made);
    assert_eq!(times.len(), 250);
    // The second take begins where the sound of the first ends, not its pictures.
    assert_eq!(times[125] - times[124], 496);
    let at_once = folder.path().join("at-once.mkv");
    Job::new(&input, &at_once, &["--model", "lift-x2", "--no-resume"]).run();
    assert_eq!(times, times_ms(&at_once));
    assert_eq!(copied_packets(&made), copied_packets(&at_once));

    let part = ["--start", "1", "--end", "4.5"];
    goes_on(&input, "part.mkv", &[&options[..], &part].concat(), &[2]);
}

/// The first shot has 70 frames: a piece may end with it, just before or just after.
#[test]
fn pieces_that_end_where_shots_do_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("in.mkv");
    film(&input, shots(Size::new(64, 48), 400));
    for piece in ["70", "69", "71", "35"] {
        let name = format!("{piece}.mkv");
        goes_on(&input, &name, &["--model", "lift-x4", "--piece", piece], &[1, 2]);
    }
}

#[test]
fn other_encoders_go_on_where_they_were_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("in.mkv");
    film(&input, shots(Size::new(64, 48), 72));
    for (encoder, name, more) in [
        ("libvpx-vp9", "vp9.webm", &["--encoder-options", "threads=2"][..]),
        ("libsvtav1", "av1.mkv", &[]),
        ("libaom-av1", "aom.mkv", &[]),
        ("libx265", "h265.mp4", &[]),
        ("mpeg4", "mpeg4.mp4", &["--encoder-options", "bf=2"]),
        ("mpeg2video", "mpeg2.mkv", &["--encoder-options", "bf=2"]),
        ("prores_ks", "prores.mov", &[]),
        ("ffv1", "ffv1.mkv", &[]),
    ] {
        if !has_encoder(encoder) {
            continue;
        }
        let options = [&["--model", "lift-x2", "--piece", "12", "--codec", encoder], more].concat();
        let speed: &[&str] = if encoder.starts_with("lib") { &["--preset", "ultrafast"] } else { &[] };
        let made = goes_on(&input, name, &[&options, speed].concat(), &[2]);
        assert_eq!(frames(&made).len(), 72, "{encoder}");
        assert_eq!(times_ms(&made), times_ms(&input), "{encoder}");
    }
}
