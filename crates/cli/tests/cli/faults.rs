//! What can go wrong in the middle of a job: a disk that is full, an encoder that fails, packets that cannot be decoded.

use std::fs;
use std::path::Path;
use std::process::{Command, Output as Finished};

use framelift::media::Output;
use framelift::media::compose::{Canvas, Composition};
use framelift::{Frame, Plane, Size, Timestamp, WriteOptions};

use crate::common::{MS, film, frames, stderr, times_ms};
use crate::formats::has_encoder;
use crate::resume::{Job, Random, hash, kills, shots, status, work_of};

/// A small disk in memory, mounted at a folder as long as this lives.
struct Disk<'a>(&'a Path);

impl<'a> Disk<'a> {
    /// Mounts it; says so where that is not allowed.
    fn mount(at: &'a Path, kib: u64) -> Option<Self> {
        let options = format!("size={kib}k");
        let made = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "none"]).arg(at).output();
        match made {
            Ok(made) if made.status.success() => Some(Self(at)),
            Ok(made) => {
                eprintln!("SKIPPED: no small disk can be mounted here: {}", stderr(&made).trim());
                None
            }
            Err(error) => {
                eprintln!("SKIPPED: no small disk can be mounted here: {error}");
                None
            }
        }
    }

    fn resize(&self, kib: u64) {
        let options = format!("remount,size={kib}k");
        let made = Command::new("mount").args(["-o", &options]).arg(self.0).status().unwrap();
        assert!(made.success());
    }
}

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

/// Names in a folder, of whatever is there.
fn names(folder: &Path) -> Vec<String> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

/// The disk is full again and again, each time a little later: in a piece, in the state of the network, in the journal, and
/// while the pieces are joined.
#[test]
fn a_full_disk_ends_the_run_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("in.mkv");
    film(&input, shots(Size::new(64, 48), 240));
    let options = ["--model", "lift-x2", "--piece", "20", "--crf", "10"];
    let calm = folder.path().join("calm.mkv");
    Job::new(&input, &calm, &options).run();
    let whole_kib = fs::metadata(&calm).unwrap().len().div_ceil(1024);

    let at = folder.path().join("disk");
    fs::create_dir(&at).unwrap();
    let mut random = Random(11);
    let mut room_kib = 8;
    let Some(disk) = Disk::mount(&at, room_kib) else { return };
    let job = Job::new(&input, &at.join("out.mkv"), &options);
    let (mut failures, mut done) = (0, 0);
    loop {
        let run = job.command().output().unwrap();
        if run.status.success() {
            break;
        }
        failures += 1;
        let told = stderr(&run);
        assert_eq!(run.status.code(), Some(6), "with {room_kib} KiB: {told}");
        assert!(told.contains("free some space") || told.contains("make room"), "with {room_kib} KiB: {told}");
        assert!(!job.output.exists(), "with {room_kib} KiB something lies under the output's name");
        assert!(names(&at).iter().all(|name| name == ".out.mkv.framelift"), "{:?}", names(&at));
        let kept = status(&job.output)["frames_done"].as_u64().unwrap_or(0);
        assert!(kept >= done, "{kept} frames are kept of {done}");
        done = kept;
        room_kib += 1 + random.below(whole_kib as f64 * 3.0 / f64::from(kills().max(6))) as u64;
        disk.resize(room_kib);
    }
    eprintln!("the disk was full {failures} times; {whole_kib} KiB of film went onto {room_kib} KiB");
    assert!(failures >= 4, "the disk was full {failures} times");
    assert!(hash(&job.output) == hash(&calm), "another film");
    assert!(!work_of(&job.output).exists());
    drop(disk);
}

/// Windows whose features wait in a scratch file on a disk that has no room for them.
#[test]
fn a_full_disk_under_a_scratch_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (input, at) = (folder.path().join("in.mkv"), folder.path().join("disk"));
    film(&input, shots(Size::new(64, 64), 12));
    fs::create_dir(&at).unwrap();
    let weights = crate::resume::checkpoint(folder.path());
    let options = ["--weights", &weights, "--window", "6", "--context", "2", "--offload", "always"];
    let Some(_disk) = Disk::mount(&at, 300) else { return };
    let job = Job::new(&input, &at.join("out.mkv"), &options);
    let run = job.command().output().unwrap();
    let told = stderr(&run);
    assert!(matches!(run.status.code(), Some(4 | 6)), "{told}");
    assert!(told.contains("disk") || told.contains("space"), "{told}");
    assert_eq!(names(&at), [""; 0], "{told}");
}

/// A frame of noise, as no encoder likes it.
fn noise(size: Size, n: usize) -> Frame {
    let mut state = n as u64 + 1;
    let mut plane = || {
        let mut at = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 48) as u16
        };
        Plane::new(size, (0..size.pixels()).map(|_| at()).collect()).unwrap()
    };
    let planes = std::array::from_fn(|_| plane());
    Frame::new(planes, Timestamp::new(n as i64 * 40, MS), 40).unwrap()
}

/// DNxHD holds its rate whatever comes, unless it is forbidden to quantize as coarsely as noise takes: then it fails where
/// noise begins.
#[test]
fn an_encoder_that_fails_in_the_middle_is_named_and_what_was_made_is_kept() {
    if !has_encoder("ffv1") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("in.mkv");
    let size = Size::new(320, 240);
    let film = (0..60).map(|n| match n {
        0..40 => Frame::black(size, Timestamp::new(n as i64 * 40, MS), 40),
        _ => noise(size, n),
    });
    let write = WriteOptions { codec: Some("ffv1".into()), ..WriteOptions::default() };
    let canvas = Canvas { time_base: MS, format: "yuv422p".into(), ..Canvas::new(size) };
    Composition::new(canvas).unwrap().write(&Output::parse(&input).unwrap(), &write, film).unwrap();

    let careful = "profile=dnxhr_lb:qmax=2";
    let options = |how: &'static str| {
        ["--model", "bicubic", "--scale", "2", "--piece", "16", "--codec", "dnxhd", "--encoder-options", how]
    };
    let job = Job::new(&input, &folder.path().join("out.mov"), &options(careful));
    for _ in 0..2 {
        let run = job.command().output().unwrap();
        let told = stderr(&run);
        assert_eq!(run.status.code(), Some(6), "{told}");
        assert!(told.contains("the encoder dnxhd failed: picture could not fit"), "{told}");
        assert!(told.contains("--encoder-options"), "{told}");
        assert!(!job.output.exists());
        assert_eq!(status(&job.output)["frames_done"], 32, "{told}");
    }
    let kinder = Job::new(&input, &job.output, &options("profile=dnxhr_lb"));
    kinder.run();
    assert_eq!(frames(&job.output).len(), 60);
}

/// Sets all bytes from `from` to `to` of a file, as parts of its length, to something else.
fn spoil(path: &Path, from: f64, to: f64) {
    let mut bytes = fs::read(path).unwrap();
    let at = |part: f64| (bytes.len() as f64 * part) as usize;
    let (from, to) = (at(from), at(to));
    bytes[from..to].iter_mut().for_each(|byte| *byte ^= 0xa5);
    fs::write(path, bytes).unwrap();
}

fn upscale(input: &Path, output: &Path) -> Finished {
    Job::new(input, output, &["--model", "lift-x2", "--piece", "20"]).command().output().unwrap()
}

/// A decoder that gives errors for a stretch in the middle, and one that gives nothing else from the middle on.
#[test]
fn what_cannot_be_decoded_is_told_and_the_rest_keeps_its_time() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole.mkv");
    film(&whole, shots(Size::new(64, 48), 200));
    let times = times_ms(&whole);
    for (name, from, to, least) in [("middle.mkv", 0.45, 0.5, 100), ("half.mkv", 0.5, 1.0, 50)] {
        let (input, output) = (folder.path().join(name), folder.path().join(format!("out-{name}")));
        fs::copy(&whole, &input).unwrap();
        spoil(&input, from, to);
        let run = upscale(&input, &output);
        let told = stderr(&run);
        assert!(run.status.success(), "{name}: {told}");
        assert!(told.contains("lost") || told.contains("damaged"), "{name}: {told}");
        let left = times_ms(&output);
        assert!(left.len() >= least && left.len() <= times.len(), "{name}: {} frames are left", left.len());
        assert!(left.iter().all(|ms| times.contains(ms)), "{name}: frames have moved in time");
    }
}
