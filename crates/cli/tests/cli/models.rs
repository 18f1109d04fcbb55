//! `framelift models`: checkpoints added, found by name, fetched from a server of our own, and removed.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::Output as Finished;

use framelift_testkit::synth;
use serde_json::Value;

use crate::common::{film, framelift, frames, stderr, variable_rate};

/// Runs with a data folder of its own.
fn run(folder: &Path, arguments: &[&str]) -> Finished {
    framelift().current_dir(folder).env("FRAMELIFT_DATA_DIR", folder.join("data")).args(arguments).output().unwrap()
}

fn good(folder: &Path, arguments: &[&str]) -> String {
    let run = run(folder, arguments);
    assert!(run.status.success(), "{arguments:?}: {}", stderr(&run));
    String::from_utf8(run.stdout).unwrap()
}

fn refused(folder: &Path, arguments: &[&str], code: i32, says: &str) {
    let run = run(folder, arguments);
    let message = stderr(&run);
    assert!(run.status.code() == Some(code) && message.contains(says), "{arguments:?}: {:?} {message}", run.status);
}

/// The model called `name` in the list.
fn listed(folder: &Path, name: &str) -> Option<Value> {
    let list: Value = serde_json::from_str(&good(folder, &["models", "list", "--json"])).unwrap();
    list.as_array().unwrap().iter().find(|model| model["name"] == name).cloned()
}

#[test]
fn a_file_is_added_used_by_name_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    fs::write(here.join("my_net_20240131-0a1b2c3d.safetensors"), synth::to_safetensors(&synth::compact(8, 2, 2)))
        .unwrap();
    film(&here.join("film.mkv"), variable_rate(2));
    refused(here, &["upscale", "film.mkv", "--model", "my_net"], 2, "there is no model `my_net`");
    let told = good(here, &["models", "add", "my_net_20240131-0a1b2c3d.safetensors"]);
    assert!(told.contains("my_net is installed") && told.contains("SRVGGNetCompact"), "{told}");
    // Again changes nothing; another file of the name is not taken unasked.
    good(here, &["models", "add", "my_net_20240131-0a1b2c3d.safetensors"]);
    fs::write(here.join("my_net.safetensors"), synth::to_safetensors(&synth::compact(8, 2, 4))).unwrap();
    refused(here, &["models", "add", "my_net.safetensors"], 2, "--overwrite");
    let model = listed(here, "my_net").unwrap();
    assert_eq!((&model["state"], &model["network"]["scale"]), (&"installed".into(), &2.into()));
    assert!(good(here, &["models"]).contains("my_net"));
    assert!(good(here, &["models", "show", "my_net"]).contains("SRVGGNetCompact"));

    good(here, &["upscale", "film.mkv", "--model", "my_net", "--preset", "ultrafast"]);
    assert_eq!(frames(&here.join("film.my_net.mkv"))[0].size().width, 96);
    refused(here, &["upscale", "film.mkv", "--model", "my_net", "--denoise", "0.5"], 2, "--denoise is for");
    good(here, &["models", "add", "my_net.safetensors", "--overwrite"]);
    assert_eq!(listed(here, "my_net").unwrap()["network"]["scale"], 4);
    assert_eq!(fs::read_dir(here.join("data/models")).unwrap().count(), 1);

    good(here, &["models", "remove", "my_net"]);
    assert_eq!(listed(here, "my_net"), None);
    refused(here, &["models", "remove", "my_net"], 2, "no checkpoint called my_net");
}

#[test]
fn what_is_not_added() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let net = synth::to_safetensors(&synth::compact(8, 2, 2));
    fs::write(here.join("text.pth"), "no checkpoint").unwrap();
    for name in ["bicubic.safetensors", "no-extension", "lift.safetensors"] {
        fs::write(here.join(name), &net).unwrap();
    }
    refused(here, &["models", "add", "text.pth"], 3, "text.pth");
    refused(here, &["models", "add", "missing.pth"], 3, "missing.pth");
    refused(here, &["models", "add", "bicubic.safetensors"], 2, "framelift's own");
    refused(here, &["models", "add", "lift.safetensors"], 2, "framelift's own");
    refused(here, &["models", "add", "no-extension"], 2, "name it like");
    refused(here, &["models", "remove", "lift-x4"], 2, "built in");
    refused(here, &["models", "fetch", "nothing"], 2, "no checkpoint called nothing is known");
    assert!(!here.join("data").exists());
}

/// Answers every request with `file`; gives the address.
fn serve(file: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let lines = BufReader::new(stream.try_clone().unwrap()).lines();
            lines.map_while(Result::ok).take_while(|line| !line.is_empty()).for_each(drop);
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", file.len());
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&file));
        }
    });
    address
}

#[test]
fn fetching_checks_what_comes() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let model = listed(here, "realesr-animevideov3").unwrap();
    assert_eq!((&model["state"], &model["bytes"]), (&"fetchable".into(), &2_504_012.into()));
    assert!(model["licence"].as_str().unwrap().starts_with("BSD-3-Clause"));
    // A page of a portal in place of the file, as hotels send it.
    let fetch = |address: &str, name: &str| {
        framelift()
            .env("FRAMELIFT_DATA_DIR", here.join("data"))
            .env("FRAMELIFT_MODELS_MIRROR", address)
            .args(["models", "fetch", name])
            .output()
            .unwrap()
    };
    let portal = serve(b"<html>welcome</html>".to_vec());
    for name in ["realesr-animevideov3", "basicvsr_reds4"] {
        let run = fetch(&portal, name);
        assert_eq!(run.status.code(), Some(3), "{}", stderr(&run));
        assert!(stderr(&run).contains("licence: "), "the licence is told first: {}", stderr(&run));
    }
    let run = fetch("http://192.0.2.1", "realesr-animevideov3");
    assert!(run.status.code() == Some(2) && stderr(&run).contains("only https"), "{}", stderr(&run));
    let run = fetch("http://127.0.0.1:1", "realesr-animevideov3");
    assert!(run.status.code() == Some(3) && stderr(&run).contains("same command again"), "{}", stderr(&run));
    assert_eq!(listed(here, "realesr-animevideov3").unwrap()["state"], "fetchable");
}
