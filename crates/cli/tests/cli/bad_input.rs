//! What cannot be done is refused in one line with the documented exit code, and leaves nothing behind.

use std::fs;
use std::path::Path;

use crate::common::{film, framelift, stderr, variable_rate};

/// Runs in `folder`; checks exit code, a one-line message that holds `says`, and that no output appeared.
fn refused(folder: &Path, arguments: &[&str], code: i32, says: &str) {
    let before = listing(folder);
    let run = framelift().current_dir(folder).args(arguments).output().unwrap();
    let message = stderr(&run);
    assert_eq!(run.status.code(), Some(code), "{arguments:?}: {message}");
    let last = message.lines().last().unwrap_or_default();
    assert!(last.starts_with("framelift: ") && last.contains(says), "{arguments:?}: {message}");
    assert!(!message.contains("panicked"), "{message}");
    assert_eq!(listing(folder), before, "{arguments:?} left something behind");
}

fn listing(folder: &Path) -> Vec<std::ffi::OsString> {
    let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    names
}

#[test]
fn inputs_that_are_no_films() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    film(&path("ok.mkv"), variable_rate(5));
    fs::create_dir(path("folder")).unwrap();
    fs::write(path("text.mp4"), "this is no film\n".repeat(50)).unwrap();
    fs::write(path("empty.mp4"), "").unwrap();
    film(&path("whole.mp4"), variable_rate(5));
    let whole = fs::read(path("whole.mp4")).unwrap();
    fs::write(path("cut.mp4"), &whole[..whole.len() / 2]).unwrap();
    for (input, says) in [
        ("missing.mp4", "no such file"),
        ("text.mp4", "no film"),
        ("empty.mp4", "empty"),
        ("cut.mp4", "cut short"),
        ("none/%04d.png", "none/"),
    ] {
        refused(folder.path(), &["upscale", input, "-o", "out.mkv"], 3, says);
        refused(folder.path(), &["probe", input], 3, says);
    }
    refused(folder.path(), &["probe", "folder"], 3, "folder");
    refused(folder.path(), &["upscale", "folder", "-o", "out.mkv"], 2, "name a folder");
}

#[test]
fn a_film_without_pictures() {
    let folder = tempfile::tempdir().unwrap();
    // A RIFF file of one second of silence.
    let mut wav =
        b"RIFF\x64\x1f\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x40\x1f\0\0\x01\0\x08\0data\x40\x1f\0\0".to_vec();
    wav.resize(44 + 8000, 128);
    fs::write(folder.path().join("sound.wav"), wav).unwrap();
    refused(folder.path(), &["upscale", "sound.wav", "-o", "out.mkv"], 3, "no video");
}

#[test]
fn outputs_that_cannot_be() {
    let folder = tempfile::tempdir().unwrap();
    film(&folder.path().join("ok.mkv"), variable_rate(5));
    fs::write(folder.path().join("there.mkv"), "mine").unwrap();
    let cases: [(&[&str], i32, &str); 6] = [
        (&["upscale", "ok.mkv", "-o", "no/such/out.mkv"], 6, "there is no folder"),
        (&["upscale", "ok.mkv", "-o", "out.avi"], 2, "not a container"),
        (&["upscale", "ok.mkv", "-o", "there.mkv"], 2, "--overwrite"),
        (&["upscale", "ok.mkv", "-o", "ok.mkv", "--overwrite"], 2, "the input itself"),
        (&["upscale", "ok.mkv", "-o", "out.mkv", "--codec", "nothing"], 2, "no video encoder called nothing"),
        (&["upscale", "ok.mkv", "-o", "out.mkv", "--encoder-options", "nothing=1"], 2, "no option nothing"),
    ];
    for (arguments, code, says) in cases {
        refused(folder.path(), arguments, code, says);
    }
    assert_eq!(fs::read(folder.path().join("there.mkv")).unwrap(), b"mine");
}

/// A disk that fills up: the shell's limit on the size of files.
#[cfg(unix)]
#[test]
fn a_full_disk() {
    let folder = tempfile::tempdir().unwrap();
    film(&folder.path().join("ok.mkv"), variable_rate(40));
    let binary = assert_cmd::cargo::cargo_bin("framelift");
    let script = format!("trap '' XFSZ; ulimit -f 16; exec '{}' upscale ok.mkv -o out.mkv --crf 1", binary.display());
    let run = std::process::Command::new("sh").args(["-c", &script]).current_dir(folder.path()).output().unwrap();
    assert_eq!(run.status.code(), Some(6), "{}", stderr(&run));
    assert!(stderr(&run).contains("cannot write out.mkv"), "{}", stderr(&run));
    assert_eq!(listing(folder.path()), ["ok.mkv"]);
}

#[test]
fn a_reader_of_the_pipe_that_leaves() {
    let folder = tempfile::tempdir().unwrap();
    film(&folder.path().join("ok.mkv"), variable_rate(60));
    let binary = assert_cmd::cargo::cargo_bin("framelift");
    let script = format!("'{}' upscale ok.mkv -o - ; echo $? >&2", binary.display());
    let run = std::process::Command::new("sh")
        .args(["-c", &format!("({script}) | head -c 100 >/dev/null")])
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(stderr(&run).ends_with("\n6\n"), "{}", stderr(&run));
}

#[test]
fn checkpoints_that_are_none() {
    let folder = tempfile::tempdir().unwrap();
    film(&folder.path().join("ok.mkv"), variable_rate(5));
    fs::write(folder.path().join("text.pth"), "no weights here").unwrap();
    let with_weights = |weights: &str, says: &str| {
        refused(folder.path(), &["upscale", "ok.mkv", "-o", "out.mkv", "--weights", weights], 3, says);
    };
    with_weights("text.pth", "no checkpoint");
    with_weights("missing.pth", "cannot read missing.pth");
    refused(folder.path(), &["upscale", "ok.mkv", "--model", "nothing"], 2, "there is no model `nothing`");
    refused(folder.path(), &["models", "show", "text.pth"], 3, "no checkpoint");
    let Some(data) = framelift_testkit::test_data() else { return };
    for (file, says) in [("evil.pth", "posix.system"), ("truncated.pth", "damaged")] {
        let path = data.join("golden/checkpoints").join(file);
        with_weights(path.to_str().unwrap(), says);
    }
}

#[test]
fn limits_and_devices() {
    let folder = tempfile::tempdir().unwrap();
    film(&folder.path().join("ok.mkv"), variable_rate(5));
    let cases: [(&[&str], i32, &str); 6] = [
        (&["--size", "20000x20"], 4, "16384"),
        (&["--memory", "1MiB"], 4, "--memory"),
        (&["--memory", "8MiB"], 4, "--memory"),
        (&["--device", "cuda:0"], 5, "--device"),
        (&["--start", "100"], 2, "no frame lies in the part"),
        (&["--start", "2", "--end", "1"], 2, "no frame lies in the part"),
    ];
    for (options, code, says) in cases {
        refused(folder.path(), &[&["upscale", "ok.mkv", "-o", "out.mkv"], options].concat(), code, says);
    }
}

#[test]
fn an_output_where_an_input_is_due() {
    let folder = tempfile::tempdir().unwrap();
    film(&folder.path().join("ok.mkv"), variable_rate(5));
    refused(folder.path(), &["upscale", "ok.mkv", "big.mkv"], 2, "say --output big.mkv");
    refused(folder.path(), &["upscale", "ok.mkv", "ok.mkv", "frames/%04d.png"], 2, "say --output frames/%04d.png");
}

#[test]
fn arguments_that_are_wrong() {
    let cases: [&[&str]; 7] = [
        &[],
        &["nothing"],
        &["upscale"],
        &["upscale", "a.mkv", "--scale", "0"],
        &["upscale", "a.mkv", "--size", "big"],
        &["upscale", "a.mkv", "--scale", "2", "--size", "720p"],
        &["upscale", "a.mkv", "--start", "soon"],
    ];
    for arguments in cases {
        let run = framelift().args(arguments).output().unwrap();
        assert_eq!(run.status.code(), Some(2), "{arguments:?}: {}", stderr(&run));
    }
}
