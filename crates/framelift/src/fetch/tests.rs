//! Fetching from a server of our own on this machine, which misbehaves as it is told.

use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use framelift_testkit::synth;

use super::*;

/// How the server treats the next requests, one each; the last stays.
#[derive(Clone, Copy, Debug)]
enum Manner {
    /// Parts and wholes, as asked.
    Good,
    /// Only wholes: ranges are not known.
    Whole,
    /// Ends the connection after so many bytes.
    EndsAfter(usize),
    /// Another file of the same length.
    Other,
    /// Bytes without end, and without a length.
    Endless,
    /// A status and nothing else.
    Status(u16),
    /// Another part than the one asked for.
    OtherPart,
}

struct Server {
    address: String,
    /// What was asked for: where from.
    asked: Arc<Mutex<Vec<u64>>>,
}

fn serve(file: Vec<u8>, manners: &[Manner]) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/releases", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (log, manners) = (Arc::clone(&asked), manners.to_vec());
    thread::spawn(move || {
        for (n, stream) in listener.incoming().enumerate() {
            answer(stream.unwrap(), &file, manners[n.min(manners.len() - 1)], &log);
        }
    });
    Server { address, asked }
}

fn answer(mut stream: TcpStream, file: &[u8], manner: Manner, log: &Mutex<Vec<u64>>) {
    let mut from = 0;
    for line in BufReader::new(stream.try_clone().unwrap()).lines() {
        let line = line.unwrap().to_ascii_lowercase();
        if let Some(range) = line.strip_prefix("range: bytes=") {
            from = range.trim_end_matches('-').parse().unwrap();
        }
        if line.is_empty() {
            break;
        }
    }
    log.lock().unwrap().push(from as u64);
    let length = file.len();
    let part = |from: usize| {
        format!(
            "HTTP/1.1 206 Partial Content\r\ncontent-length: {}\r\ncontent-range: bytes {from}-{}/{length}\r\n",
            length - from,
            length - 1
        )
    };
    let whole = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n");
    let (head, body) = match manner {
        Manner::Good | Manner::EndsAfter(_) if from >= length && from > 0 => {
            ("HTTP/1.1 416 Range Not Satisfiable\r\ncontent-length: 0\r\n".to_owned(), Vec::new())
        }
        Manner::Good if from > 0 => (part(from), file[from..].to_vec()),
        Manner::EndsAfter(count) if from > 0 => (part(from), file[from..][..count].to_vec()),
        Manner::OtherPart if from > 0 => (part(1), file[1..].to_vec()),
        Manner::Good | Manner::Whole | Manner::OtherPart => (whole, file.to_vec()),
        Manner::EndsAfter(count) => (whole, file[..count].to_vec()),
        Manner::Other => (whole, file.iter().map(|byte| byte ^ 1).collect()),
        Manner::Endless => ("HTTP/1.1 200 OK\r\n".to_owned(), vec![7; 2 * length + (1 << 20)]),
        Manner::Status(status) => (format!("HTTP/1.1 {status} No\r\ncontent-length: 0\r\n"), Vec::new()),
    };
    // A client that has read enough hangs up.
    let _ = stream.write_all(head.as_bytes());
    let _ = stream.write_all(b"connection: close\r\n\r\n");
    let _ = stream.write_all(&body);
}

/// A small checkpoint, and where it is served.
fn published(manners: &[Manner]) -> (Vec<u8>, Download, Server) {
    let file = synth::to_safetensors(&synth::compact(8, 2, 2));
    let server = serve(file.clone(), manners);
    let hash: String = Sha256::digest(&file).iter().map(|byte| format!("{byte:02x}")).collect();
    let download = Download {
        name: "small".into(),
        url: format!("{}/small-{}.safetensors", server.address, &hash[..8]),
        bytes: Some(file.len() as u64),
        sha256: hash,
        purpose: String::new(),
        licence: String::new(),
    };
    (file, download, server)
}

fn folder() -> (tempfile::TempDir, ModelFolder) {
    let folder = tempfile::tempdir().unwrap();
    let models = ModelFolder::at(folder.path().join("data/models"));
    (folder, models)
}

fn kind(result: Result<Installed, Error>) -> (ErrorKind, String) {
    let error = result.unwrap_err();
    (error.kind(), error.to_string())
}

#[test]
fn a_checkpoint_is_fetched_checked_and_installed() {
    let (file, download, server) = published(&[Manner::Good]);
    let (_guard, models) = folder();
    let mut told = Vec::new();
    let installed = download.fetch(&models, |there, total| told.push((there, total))).unwrap();
    assert_eq!(installed.name, "small");
    assert_eq!(fs::read(&installed.file).unwrap(), file);
    assert_eq!(told.last(), Some(&(file.len() as u64, Some(file.len() as u64))));
    assert_eq!(models.list().unwrap(), [installed]);
    assert_eq!(fs::read_dir(models.path()).unwrap().count(), 1, "nothing unfinished is left");
    // What is there is not fetched again.
    download.fetch(&models, |_, _| ()).unwrap();
    assert_eq!(*server.asked.lock().unwrap(), [0]);
}

#[test]
fn a_broken_connection_is_gone_on_from() {
    let (file, mut download, server) = published(&[Manner::EndsAfter(1000), Manner::EndsAfter(500), Manner::Good]);
    let (_guard, models) = folder();
    for _ in 0..2 {
        let (kind, message) = kind(download.fetch(&models, |_, _| ()));
        assert_eq!(kind, ErrorKind::Input);
        assert!(message.contains("goes on where it stopped"), "{message}");
    }
    assert_eq!(models.list().unwrap(), []);
    // Without a known size the server's counts.
    download.bytes = None;
    let installed = download.fetch(&models, |_, _| ()).unwrap();
    assert_eq!(fs::read(installed.file).unwrap(), file);
    assert_eq!(*server.asked.lock().unwrap(), [0, 1000, 1500]);
}

#[test]
fn servers_without_parts_and_leftovers_of_other_files() {
    for manner in [Manner::Whole, Manner::OtherPart] {
        let (file, download, _server) = published(&[Manner::EndsAfter(1000), manner, Manner::Good]);
        let (_guard, models) = folder();
        download.fetch(&models, |_, _| ()).unwrap_err();
        let installed = download.fetch(&models, |_, _| ()).unwrap();
        assert_eq!(fs::read(installed.file).unwrap(), file, "{manner:?}");
    }
    // What lies there from before is of another file, shorter, as long, or longer.
    for known in [true, false] {
        for length in [100, 0, 5000] {
            let (file, mut download, _server) = published(&[Manner::Good]);
            download.bytes = download.bytes.filter(|_| known);
            let (_guard, models) = folder();
            fs::create_dir_all(models.path()).unwrap();
            let length = if length == 0 { file.len() } else { length.min(2 * file.len()) };
            let part = models.path().join(format!(".{}.part", download.file_name()));
            fs::write(part, vec![1; length]).unwrap();
            let installed = download.fetch(&models, |_, _| ()).unwrap();
            assert_eq!(fs::read(installed.file).unwrap(), file, "{length}");
        }
    }
}

#[test]
fn what_is_not_the_published_file_is_thrown_away() {
    let cases: [(Manner, ErrorKind, &str); 4] = [
        (Manner::Other, ErrorKind::Input, "SHA-256"),
        (Manner::Endless, ErrorKind::Input, "longer than"),
        (Manner::Status(404), ErrorKind::Input, "404"),
        (Manner::Status(500), ErrorKind::Input, "500"),
    ];
    for (manner, due, says) in cases {
        let (_, download, _server) = published(&[manner]);
        let (_guard, models) = folder();
        let (kind, message) = kind(download.fetch(&models, |_, _| ()));
        assert!(kind == due && message.contains(says), "{manner:?}: {message}");
        assert_eq!(models.list().unwrap(), []);
        let left: u64 = fs::read_dir(models.path()).unwrap().map(|e| e.unwrap().metadata().unwrap().len()).sum();
        assert_eq!(left, 0, "{manner:?}");
    }
    // The right hash, and no checkpoint.
    let server = serve(b"no checkpoint".to_vec(), &[Manner::Good]);
    let hash: String = Sha256::digest(b"no checkpoint").iter().map(|byte| format!("{byte:02x}")).collect();
    let (_, mut download, _other) = published(&[Manner::Good]);
    (download.url, download.bytes, download.sha256) = (format!("{}/a.pth", server.address), None, hash);
    let (_guard, models) = folder();
    assert!(kind(download.fetch(&models, |_, _| ())).1.contains("a.pth"));
    assert_eq!(fs::read_dir(models.path()).unwrap().count(), 0);
}

#[test]
fn only_safe_addresses_are_fetched() {
    let (_guard, models) = folder();
    let (_, mut download, _server) = published(&[Manner::Good]);
    for url in ["http://example.org/a.pth", "ftp://example.org/a.pth", "http://localhost:1@example.org/a.pth"] {
        download.url = url.into();
        assert_eq!(kind(download.fetch(&models, |_, _| ())).0, ErrorKind::Usage, "{url}");
    }
    assert!(matches!(Download::named("nothing"), Err(FetchError::Unknown { .. })));
    assert_eq!(Download::named("RealESRGAN_x4plus").unwrap().file_name(), "RealESRGAN_x4plus.pth");
}

#[test]
fn two_at_once_do_not_mix() {
    let (_, download, _server) = published(&[Manner::Good]);
    let (_guard, models) = folder();
    fs::create_dir_all(models.path()).unwrap();
    let part = models.path().join(format!(".{}.part", download.file_name()));
    let other = File::create(part).unwrap();
    other.lock().unwrap();
    assert!(kind(download.fetch(&models, |_, _| ())).1.contains("another framelift"));
    drop(other);
    download.fetch(&models, |_, _| ()).unwrap();
}
