//! Going on after a stop: killed at any moment and started again, the output is bit for bit that of a run that was left alone.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use framelift::media::Demuxer;
use framelift::{Frame, Input, Plane, ReadOptions, Size, Timestamp};
use framelift_testkit::synth;
use serde_json::Value;

use crate::common::{MS, film, framelift, frames, picture, stderr, times_ms};

/// How often a job is killed: more in a longer test.
pub(crate) fn kills() -> u32 {
    std::env::var("FRAMELIFT_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(4)
}

/// A random number generator of few bits: SplitMix64.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, most: f64) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut n = self.0;
        n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        most * ((n ^ (n >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// `count` frames of a variable rate, with cuts after 30 to 110 frames.
pub(crate) fn shots(size: Size, count: usize) -> Vec<Frame> {
    let (mut at, mut scene, mut left) = (0, 0_usize, 70);
    (0..count)
        .map(|n| {
            if left == 0 {
                scene += 1;
                left = 30 + scene * 37 % 80;
            }
            left -= 1;
            let duration = [40, 33, 67][n % 3];
            at += duration;
            scene_frame(size, scene, n, Timestamp::new(at - duration, MS), duration)
        })
        .collect()
}

/// A soft spot that moves over blocks; scenes have other blocks and colours.
fn scene_frame(size: Size, scene: usize, n: usize, time: Timestamp, duration_ticks: i64) -> Frame {
    let plane = |channel: usize| {
        let at = |i: usize| {
            let (x, y) = (i % size.width as usize, i / size.width as usize);
            let block = ((x / 11 + scene) * 7919) ^ ((y / 9 + scene * 3) * 104_729) ^ (channel * 31);
            let spot = (x + 2 * n) % size.width as usize / 8;
            ((block % 97) * 500 + spot * 900 + (scene * 13 + channel * 5) % 7 * 2000) as u16
        };
        Plane::new(size, (0..size.pixels() as usize).map(at).collect()).unwrap()
    };
    Frame::new([plane(0), plane(1), plane(2)], time, duration_ticks).unwrap()
}

/// The folder in which the work of `output` is kept.
pub(crate) fn work_of(output: &Path) -> PathBuf {
    output.with_file_name(format!(".{}.framelift", output.file_name().unwrap().to_string_lossy()))
}

/// How many pieces of the work on `output` are done.
fn pieces(output: &Path) -> usize {
    let is_piece = |entry: &std::io::Result<fs::DirEntry>| {
        entry.as_ref().is_ok_and(|entry| entry.path().extension().is_some_and(|extension| extension == "piece"))
    };
    fs::read_dir(work_of(output)).map_or(0, |work| work.filter(is_piece).count())
}

/// A film to be made by the command.
pub(crate) struct Job {
    pub(crate) input: PathBuf,
    pub(crate) output: PathBuf,
    pub(crate) options: Vec<String>,
}

impl Job {
    pub(crate) fn new(input: &Path, output: &Path, options: &[&str]) -> Self {
        let fixed = ["--progress", "json", "--precision", "f32"];
        // Other encoders have speeds of other names, or none.
        let fast: &[&str] = if options.contains(&"--codec") { &[] } else { &["--preset", "veryfast"] };
        let options = [&fixed, fast, options].concat().into_iter().map(str::to_owned).collect();
        Self { input: input.to_owned(), output: output.to_owned(), options }
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin("framelift"));
        command.env_remove("FRAMELIFT_LOG").arg("upscale").arg(&self.input).arg("-o").arg(&self.output);
        command.args(&self.options);
        command
    }

    /// Runs it to its end; gives what it told.
    pub(crate) fn run(&self) -> Vec<Value> {
        let run = self.command().output().unwrap();
        assert!(run.status.success(), "{}", stderr(&run));
        // SVT-AV1 writes to standard error by itself.
        let told = stderr(&run);
        told.lines().filter(|line| !line.starts_with("Svt[")).map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Runs it and kills it once `count` pieces are done.
    pub(crate) fn stop_after(&self, count: usize) {
        let mut child = self.command().stderr(Stdio::null()).spawn().unwrap();
        while pieces(&self.output) < count {
            assert!(child.try_wait().unwrap().is_none(), "it ended before it could be stopped");
            std::thread::sleep(Duration::from_millis(1));
        }
        child.kill().unwrap();
        assert!(!child.wait().unwrap().success(), "it ended before it was stopped");
    }

    /// Runs it and kills it after `time`, or lets it end; gives frames made, at most, and whether it ended by itself.
    fn run_for(&self, time: Duration) -> (u64, bool) {
        let mut child = self.command().stderr(Stdio::piped()).spawn().unwrap();
        let told = BufReader::new(child.stderr.take().unwrap());
        let reader = std::thread::spawn(move || {
            let events = told.lines().map_while(Result::ok);
            events.filter_map(|line| serde_json::from_str(&line).ok()).collect::<Vec<Value>>()
        });
        let begun = Instant::now();
        while begun.elapsed() < time && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(2));
        }
        child.kill().unwrap();
        let ended = child.wait().unwrap().success();
        let events = reader.join().unwrap();
        let before = events.iter().find_map(|e| e["frames_before"].as_u64()).unwrap_or(0);
        let last = events.iter().rfind(|e| e["event"] == "progress");
        // Progress is told five times a second: so many more may have been made since.
        let unseen = last.map_or(0.0, |e| e["fps"].as_f64().unwrap() * 0.2) as u64;
        let made = last.map_or(0, |e| e["frames_done"].as_u64().unwrap() - before + unseen);
        (made, ended)
    }
}

pub(crate) fn hash(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap()
}

/// The bytes of all packets of the streams that are not video.
pub(crate) fn copied_packets(path: &Path) -> Vec<(usize, Option<i64>, usize)> {
    let mut demuxer = Demuxer::open(&Input::parse(path).unwrap(), &ReadOptions::default()).unwrap();
    let video = demuxer.info().video.unwrap();
    let mut packets = Vec::new();
    while let Some(packet) = demuxer.read().unwrap() {
        if packet.stream_index() != video {
            let ms = packet.time().map(|time| (time.seconds() * 1000.0).round() as i64);
            packets.push((packet.stream_index(), ms, packet.bytes()));
        }
    }
    packets.sort_unstable();
    packets
}

/// Kills the job at random moments until it is done, and holds its output to that of one that was left alone.
fn survives(input: &Path, name: &str, options: &[&str], frames_in_all: usize) {
    let (calm, stormy) = weathered(input, name, options, frames_in_all);
    assert!(hash(&calm) == hash(&stormy), "{name}: another film");
}

/// The output of a job that was left alone, and that of one that was killed at random moments until it was done.
fn weathered(input: &Path, name: &str, options: &[&str], frames_in_all: usize) -> (PathBuf, PathBuf) {
    let folder = input.parent().unwrap();
    let (calm, stormy) = (folder.join(format!("calm-{name}")), folder.join(format!("stormy-{name}")));
    let begun = Instant::now();
    Job::new(input, &calm, options).run();
    let alone = begun.elapsed();
    assert!(!work_of(&calm).exists(), "nothing is left beside the output");

    let job = Job::new(input, &stormy, options);
    let mut random = Random(frames_in_all as u64);
    let (kills, mut killed, mut made) = (kills(), 0, 0);
    // On average the kills come while the job as a whole is at work.
    let mean = alone.as_secs_f64() / f64::from(kills) * 1.6 + 0.15;
    while killed < kills {
        let (frames, ended) = job.run_for(Duration::from_secs_f64(random.below(2.0 * mean)));
        made += frames;
        if ended {
            break;
        }
        killed += 1;
    }
    if !stormy.exists() {
        let told = job.run();
        let finished = told.iter().rfind(|event| event["event"] == "finished").unwrap();
        made += finished["frames"].as_u64().unwrap() - finished["frames_before"].as_u64().unwrap();
    }
    let share = made as f64 / frames_in_all as f64;
    eprintln!("{name}: killed {killed} times; {made} frames made of {frames_in_all}, {share:.2} times each");
    assert!(!work_of(&stormy).exists(), "nothing is left beside the output");
    let left: Vec<_> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().starts_with('.')), "{left:?}");
    assert!(kills < 20 || share <= 2.0, "{name}: {share:.2} times each frame");
    (calm, stormy)
}

pub(crate) fn checkpoint(folder: &Path) -> String {
    let path = folder.join("small.safetensors");
    fs::write(&path, synth::to_safetensors(&synth::basicvsr_plusplus(16, 1, false))).unwrap();
    path.to_string_lossy().into_owned()
}

#[test]
fn a_recurrent_network_survives_kills() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("in.mkv");
    let count = 500 + 60 * kills() as usize;
    film(&input, shots(Size::new(64, 48), count));
    survives(&input, "out.mkv", &["--model", "lift-x4", "--piece", "60"], count);
    assert_eq!(times_ms(&folder.path().join("calm-out.mkv")), times_ms(&input));
    assert_eq!(copied_packets(&folder.path().join("calm-out.mkv")), copied_packets(&input));
}

#[test]
fn long_shots_and_mp4_survive_kills() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("in.mkv");
    film(&input, shots(Size::new(64, 48), 600));
    survives(&input, "out.mp4", &["--model", "lift-x2", "--piece", "40", "--no-shots"], 600);
    assert_eq!(times_ms(&folder.path().join("calm-out.mp4")), times_ms(&input));
}

#[test]
fn windows_survive_kills() {
    let folder = tempfile::tempdir().unwrap();
    let (input, weights) = (folder.path().join("in.mkv"), checkpoint(folder.path()));
    let count = 60 + 3 * kills() as usize;
    film(&input, shots(Size::new(64, 64), count));
    let options = ["--weights", &weights, "--window", "6", "--context", "2", "--fade", "2", "--piece", "6"];
    survives(&input, "out.mkv", &options, count);
}

#[test]
fn pictures_survive_kills() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("in.mkv");
    film(&input, shots(Size::new(64, 48), 120));
    let made = |name: &str| {
        fs::create_dir(folder.path().join(name)).unwrap();
        folder.path().join(name).join("%04d.png")
    };
    let (calm, stormy) = (made("calm"), made("stormy"));
    let options = |job: Job| Job { options: ["--progress", "json", "--piece", "20"].map(str::to_owned).into(), ..job };
    let begun = Instant::now();
    options(Job::new(&input, &calm, &[])).run();
    let alone = begun.elapsed();
    let job = options(Job::new(&input, &stormy, &[]));
    let mut random = Random(7);
    let is_made = (0..kills()).any(|_| job.run_for(alone.mul_f64(0.1 + random.below(0.5))).1);
    if !is_made {
        job.run();
    }
    let names = |pattern: &Path| {
        let mut names: Vec<_> =
            fs::read_dir(pattern.parent().unwrap()).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(names(&calm), names(&stormy));
    assert_eq!(names(&calm).len(), 120);
    for name in names(&calm) {
        assert!(hash(&calm.with_file_name(&name)) == hash(&stormy.with_file_name(&name)), "{name:?}");
    }
}

/// A job that was killed with some of its pieces done.
fn stopped(folder: &Path, options: &[&str]) -> Job {
    let input = folder.join("in.mkv");
    film(&input, shots(Size::new(64, 48), 600));
    let job = Job::new(&input, &folder.join("out.mkv"), &[&["--piece", "40"], options].concat());
    job.stop_after(3);
    job
}

pub(crate) fn status(output: &Path) -> Value {
    let run = framelift().arg("status").arg(output).arg("--json").output().unwrap();
    assert!(run.status.success(), "{}", stderr(&run));
    serde_json::from_slice(&run.stdout).unwrap()
}

pub(crate) fn notices(told: &[Value]) -> String {
    let all = told.iter().filter(|event| event["event"] == "notice");
    all.map(|event| event["message"].as_str().unwrap()).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_stopped_job_tells_where_it_stands_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let job = stopped(folder.path(), &[]);
    let told = status(&job.output);
    let done = told["frames_done"].as_u64().unwrap();
    assert!(done >= 20 && told["frames_total"].as_u64() >= Some(done), "{told}");
    assert_eq!((told["running"].as_bool(), told["complete"].as_bool()), (Some(false), Some(false)));
    let words = framelift().arg("status").arg(&job.output).output().unwrap();
    assert!(String::from_utf8_lossy(&words.stdout).contains("the same command goes on"), "{words:?}");

    // A torn line is no loss but of itself.
    let journal = work_of(&job.output).join("journal");
    let mut bytes = fs::read(&journal).unwrap();
    bytes.truncate(bytes.len() - 7);
    fs::write(&journal, &bytes).unwrap();
    let told = status(&job.output);
    assert!(told["frames_done"].as_u64().unwrap() < done);
    let told = job.run();
    assert_eq!(times_ms(&job.output), times_ms(&job.input));
    let begun = told.iter().find(|e| e["event"] == "started").unwrap();
    assert!(begun["frames_before"].as_u64() > Some(0), "{begun} {}", notices(&told));
    assert_eq!(status(&job.output), Value::Null);
}

#[test]
fn what_changed_starts_afresh_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let mut job = stopped(folder.path(), &[]);
    job.options.extend(["--crf".to_owned(), "30".to_owned()]);
    let told = job.run();
    assert!(notices(&told).contains("the encoding changed"), "{}", notices(&told));
    assert_eq!(told.iter().rfind(|e| e["event"] == "finished").unwrap()["frames_before"], 0);

    fs::remove_file(&job.output).unwrap();
    let mut job = stopped(folder.path(), &[]);
    film(&job.input, shots(Size::new(64, 48), 590));
    let told = job.run();
    assert!(notices(&told).contains("the film changed"), "{}", notices(&told));
    assert_eq!(frames(&job.output).len(), 590);

    fs::remove_file(&job.output).unwrap();
    job = stopped(folder.path(), &[]);
    job.options.push("--fresh".to_owned());
    let told = job.run();
    assert!(!notices(&told).contains("made before"), "{}", notices(&told));
    assert_eq!(told.iter().rfind(|e| e["event"] == "finished").unwrap()["frames_before"], 0);
}

#[test]
fn two_at_once_are_one_too_many() {
    let folder = tempfile::tempdir().unwrap();
    let job = stopped(folder.path(), &[]);
    let mut first = job.command().stderr(Stdio::null()).spawn().unwrap();
    let begun = Instant::now();
    while status(&job.output)["running"] != true && begun.elapsed() < Duration::from_secs(60) {}
    let second = job.command().output().unwrap();
    first.kill().unwrap();
    first.wait().unwrap();
    assert_eq!(second.status.code(), Some(6), "{}", stderr(&second));
    assert!(stderr(&second).contains("another framelift"), "{}", stderr(&second));
    assert!(status(&job.output)["frames_done"].as_u64() >= Some(20), "the first one's work is untouched");
    job.run();
}

#[cfg(unix)]
#[test]
fn an_interrupt_keeps_the_work_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let job = stopped(folder.path(), &[]);
    let child = job.command().stderr(Stdio::piped()).spawn().unwrap();
    let begun = Instant::now();
    while status(&job.output)["running"] != true && begun.elapsed() < Duration::from_secs(60) {}
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(130), "{}", stderr(&ended));
    assert!(stderr(&ended).contains("the same command goes on from there"), "{}", stderr(&ended));
    assert!(!job.output.exists());
    job.run();
    assert_eq!(frames(&job.output).len(), 600);
}

#[test]
fn the_disk_is_watched() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("in.mkv");
    film(&input, (0..40).map(|n| picture(Size::new(64, 48), n, Timestamp::new(n as i64 * 40, MS), 40)).collect());
    let y4m = folder.path().join("out.y4m");
    let small = framelift().arg("upscale").arg(&input).arg("-o").arg(&y4m).args(["--disk", "1MiB"]).output().unwrap();
    assert_eq!(small.status.code(), Some(4), "{}", stderr(&small));
    assert!(stderr(&small).contains("--disk"), "{}", stderr(&small));
    assert!(!y4m.exists() && !work_of(&y4m).exists());

    // Where the size is known only as it grows, the work stays and goes on under a higher ceiling.
    let mut job =
        Job::new(&input, &folder.path().join("out.mkv"), &["--piece", "10", "--crf", "0", "--disk", "100KiB"]);
    let stopped = job.command().output().unwrap();
    assert_eq!(stopped.status.code(), Some(4), "{}", stderr(&stopped));
    assert!(!job.output.exists() && status(&job.output)["frames_done"].as_u64() > Some(0), "{}", stderr(&stopped));
    assert!(stderr(&stopped).contains("by estimate the job takes"), "{}", stderr(&stopped));
    *job.options.last_mut().unwrap() = "1GiB".into();
    let told = job.run();
    assert!(!notices(&told).contains("by estimate"), "{}", notices(&told));
    let begun = told.iter().find(|event| event["event"] == "started").unwrap();
    let (calm, restless) = (begun["disk_bytes"][0].as_u64().unwrap(), begun["disk_bytes"][1].as_u64().unwrap());
    let took = 2 * fs::metadata(&job.output).unwrap().len();
    assert!((calm..=restless).contains(&took), "{took} bytes of an estimate of {calm} to {restless}");
    assert_eq!(frames(&job.output).len(), 40);
}

/// Packets that cannot be decoded, in the middle: frames of the same times come out whether the run was stopped or not. What
/// decoders put where pictures are lost is whatever their memory held, so that even two calm runs differ there.
#[test]
fn damaged_films_survive_kills() {
    let folder = tempfile::tempdir().unwrap();
    let (input, damaged) = (folder.path().join("in.mkv"), folder.path().join("damaged.mkv"));
    film(&input, shots(Size::new(64, 48), 400));
    let mut bytes = fs::read(&input).unwrap();
    let (from, to) = (bytes.len() * 2 / 5, bytes.len() * 3 / 5);
    for at in (from..to).step_by(997) {
        bytes[at] ^= 0x5a;
    }
    fs::write(&damaged, bytes).unwrap();
    let (calm, stormy) = weathered(&damaged, "out.mkv", &["--model", "lift-x2", "--piece", "30"], 400);
    assert_eq!(times_ms(&calm), times_ms(&stormy));
}
