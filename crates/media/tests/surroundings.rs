//! Pipes, full disks and interruption: what only a process of its own can meet.
//!
//! Called without arguments it runs the checks, each of which starts it again as `recode INPUT OUTPUT`.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a program of tests")]

#[expect(clippy::unwrap_used, clippy::print_stderr, reason = "a module of tests")]
mod common;

#[cfg(not(unix))]
fn main() {
    println!("SKIPPED: the checks need a Unix shell");
}

#[cfg(unix)]
fn main() -> std::process::ExitCode {
    unix::main()
}

#[cfg(unix)]
mod unix {
    use std::io::{Read, Write};
    use std::path::Path;
    use std::process::{Command, ExitCode, Output, Stdio};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::{Duration, Instant};

    use framelift_frame::Size;
    use framelift_media::compose::{Canvas, Composition};
    use framelift_media::{Demuxer, ErrorKind, Input, ReadOptions, WriteOptions};

    use crate::common::*;

    const SIZE: Size = Size::new(64, 48);

    pub(crate) fn main() -> ExitCode {
        let arguments: Vec<_> = std::env::args().skip(1).collect();
        if let [word, from, to] = arguments.as_slice() {
            if word == "recode" {
                return child(from, to);
            }
            if word == "wait" {
                return wait_for_standard_input();
            }
        }
        // What a test harness may be asked for, such as a list of tests, is not for this one.
        if arguments.iter().any(|argument| argument == "--list") {
            return ExitCode::SUCCESS;
        }
        let checks: [(&str, fn()); 7] = [
            ("y4m_through_pipes", y4m_through_pipes),
            ("pipes_of_ten_bits", pipes_of_ten_bits),
            ("a_reader_that_leaves", a_reader_that_leaves),
            ("full_disks", full_disks),
            ("pictures_on_full_disks", pictures_on_full_disks),
            ("waiting_is_interrupted", waiting_is_interrupted),
            ("waiting_for_a_pipe_is_interrupted", waiting_for_a_pipe_is_interrupted),
        ];
        for (name, check) in checks {
            check();
            println!("test {name} ... ok");
        }
        ExitCode::SUCCESS
    }

    /// Recodes a film, and ends with the exit code of what went wrong.
    fn child(from: &str, to: &str) -> ExitCode {
        let output = framelift_media::Output::parse(to).unwrap();
        let options =
            if to.ends_with(".mkv") || to.ends_with(".mov") { fast("mpeg4") } else { WriteOptions::default() };
        match recode(&Input::parse(from).unwrap(), &output, &options, usize::MAX) {
            Ok(_) => ExitCode::SUCCESS,
            Err(error) => {
                let _ = writeln!(std::io::stderr(), "{error}");
                ExitCode::from(error.kind().exit_code())
            }
        }
    }

    fn film(path: &Path, format: &str, frames: i64) {
        let base = Canvas::new(SIZE).time_base;
        let canvas = Canvas { format: format.into(), frame_rate: (25, 1), ..Canvas::new(SIZE) };
        let ticks: Vec<i64> = (0..frames).map(|i| i * 40).collect();
        Composition::new(canvas).unwrap().write(&output(path), &lossless(), frames_at(SIZE, base, &ticks, 40)).unwrap();
    }

    fn this(from: &str, to: &str) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["recode", from, to]);
        command
    }

    fn text(path: &Path) -> &str {
        path.to_str().unwrap()
    }

    fn piped(input: &[u8], mut command: Command) -> Output {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                // A child that fails early closes its end.
                let _ = stdin.write_all(input);
            });
            child.wait_with_output().unwrap()
        })
    }

    fn y4m_through_pipes() {
        let folder = tempfile::tempdir().unwrap();
        let (made, y4m) = (file(&folder, "a.mkv"), file(&folder, "a.y4m"));
        film(&made, "yuv420p", 12);
        let out = piped(b"", this(text(&made), "-"));
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        assert!(out.stdout.starts_with(b"YUV4MPEG2 W64 H48 F25:1"), "{:?}", &out.stdout[..40]);
        std::fs::write(&y4m, &out.stdout).unwrap();
        assert_eq!(read(&y4m, usize::MAX, false).times.len(), 12);
        // And in by a pipe; the second generation is the first's equal.
        let again = piped(&out.stdout, this("-", "-"));
        assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stderr));
        assert_eq!(again.stdout.len(), out.stdout.len());
        let nothing = piped(b"not a film at all", this("-", "-"));
        assert_eq!(nothing.status.code(), Some(3));
        assert!(String::from_utf8_lossy(&nothing.stderr).contains("yuv4mpegpipe"));
    }

    fn pipes_of_ten_bits() {
        let folder = tempfile::tempdir().unwrap();
        let (made, y4m) = (file(&folder, "a.mkv"), file(&folder, "a.y4m"));
        film(&made, "yuv422p10le", 3);
        let out = piped(b"", this(text(&made), "-"));
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        std::fs::write(&y4m, &out.stdout).unwrap();
        assert_eq!(read(&y4m, usize::MAX, true).pictures[2].format_name(), "yuv422p10le");
    }

    fn a_reader_that_leaves() {
        let folder = tempfile::tempdir().unwrap();
        let made = file(&folder, "a.mkv");
        film(&made, "yuv420p", 200);
        let mut child =
            this(text(&made), "-").stdout(Stdio::piped()).stderr(Stdio::piped()).stdin(Stdio::null()).spawn().unwrap();
        let mut start = [0; 100];
        child.stdout.take().unwrap().read_exact(&mut start).unwrap();
        let out = child.wait_with_output().unwrap();
        assert_eq!(out.status.code(), Some(6), "{}", String::from_utf8_lossy(&out.stderr));
        assert!(String::from_utf8_lossy(&out.stderr).contains("ended early"));
    }

    /// Runs under a limit of file size, which writing meets as it meets a full disk.
    fn limited(from: &Path, to: &Path, blocks: u32) -> Output {
        let exe = std::env::current_exe().unwrap();
        let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" recode \"$1\" \"$2\"");
        Command::new("sh").args(["-c", &script]).args([&exe, from, to]).output().unwrap()
    }

    fn full_disks() {
        let folder = tempfile::tempdir().unwrap();
        let made = file(&folder, "a.mkv");
        film(&made, "yuv420p", 100);
        // One block is met at the end, in the trailer or in closing; MOV writes its index there.
        for (name, blocks) in [("b.mkv", 8), ("b.mkv", 1), ("b.mov", 8), ("b.mov", 1), ("b.y4m", 64)] {
            let out = limited(&made, &file(&folder, name), blocks);
            let said = String::from_utf8_lossy(&out.stderr);
            assert_eq!(out.status.code(), Some(6), "{name}: {said}");
            assert!(said.contains("too large") && said.trim().lines().count() == 1, "{name}: {said}");
            assert_eq!(names(folder.path()), ["a.mkv"], "{name}");
        }
    }

    fn pictures_on_full_disks() {
        let folder = tempfile::tempdir().unwrap();
        let made = file(&folder, "a.mkv");
        film(&made, "yuv420p", 3);
        let out = limited(&made, &file(&folder, "%d.png"), 1);
        assert_eq!(out.status.code(), Some(6), "{}", String::from_utf8_lossy(&out.stderr));
        assert_eq!(names(folder.path()), ["a.mkv"]);
    }

    /// A server that accepts and then says nothing.
    fn waiting_is_interrupted() {
        let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("tcp://127.0.0.1:{}", server.local_addr().unwrap().port());
        let flag = Arc::new(AtomicBool::new(false));
        let options = ReadOptions { interrupt: Some(Arc::clone(&flag)), ..ReadOptions::default() };
        let since = Instant::now();
        let error = std::thread::scope(|scope| {
            scope.spawn(|| {
                let connection = server.accept();
                std::thread::sleep(Duration::from_millis(300));
                flag.store(true, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(1500));
                drop(connection);
            });
            let error = Demuxer::open(&Input::Url(url), &options).err();
            assert!(since.elapsed() < Duration::from_millis(1300), "{:?}", since.elapsed());
            error
        });
        assert_eq!(error.unwrap().kind(), ErrorKind::Interrupted);
    }

    /// Reads standard input until a flag is set, and ends with the exit code of what was said.
    fn wait_for_standard_input() -> ExitCode {
        let flag = Arc::new(AtomicBool::new(false));
        let options = ReadOptions { interrupt: Some(Arc::clone(&flag)), ..ReadOptions::default() };
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(300));
            flag.store(true, Ordering::Relaxed);
        });
        match Demuxer::open(&Input::Stdin, &options) {
            Ok(_) => ExitCode::SUCCESS,
            Err(error) => ExitCode::from(error.kind().exit_code()),
        }
    }

    fn waiting_for_a_pipe_is_interrupted() {
        let since = Instant::now();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["wait", "-", "-"])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        // The pipe stays open, and nothing comes.
        let pipe = child.stdin.take().unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(130));
        assert!(since.elapsed() < Duration::from_millis(1300), "{:?}", since.elapsed());
        drop(pipe);
    }
}
