//! What a stopped job left behind: its journal, as it is and with the hashes of its lines put right, and its pieces.

use std::hash::Hasher as _;
use std::io::Cursor;

use framelift::media::EncodedPacket;
use framelift::{JobStatus, TimeBase};
use twox_hash::XxHash3_64;

/// Hexadecimal digits of a line's hash, and the space behind them.
const HASH_BYTES: usize = 17;

/// Reads the bytes as a journal, as one whose lines have the right hashes, and as a piece.
pub(crate) fn run(bytes: &[u8]) {
    journal(bytes);
    journal(&with_hashes(bytes));
    piece(bytes);
}

/// Each line with the hash of what follows the place of its hash.
fn with_hashes(bytes: &[u8]) -> Vec<u8> {
    let mut righted = Vec::new();
    for line in bytes.split_inclusive(|&byte| byte == b'\n') {
        let text = line.get(HASH_BYTES..).unwrap_or_default();
        let mut hash = XxHash3_64::with_seed(0);
        hash.write(text.strip_suffix(b"\n").unwrap_or(text));
        righted.extend(format!("{:016x} ", hash.finish()).bytes());
        righted.extend(text);
    }
    righted
}

fn journal(bytes: &[u8]) {
    let status = JobStatus::parse(bytes);
    let lines = bytes.iter().filter(|&&byte| byte == b'\n').count() as u64;
    if let Some(status) = &status {
        assert!(status.pieces < lines, "{} pieces in {lines} lines", status.pieces);
        assert!(status.frames_total.is_none_or(|total| total >= status.frames_done), "{status:?}");
        assert!(!status.complete || status.frames_total == Some(status.frames_done), "{status:?}");
    }
    assert_eq!(JobStatus::parse(&[bytes, b"0123456789abcdef {\"pie"].concat()), status, "a torn line changes nothing");
    let before = JobStatus::parse(&bytes[..bytes.len() / 2]);
    let pieces = |status: &Option<JobStatus>| status.as_ref().map(|status| status.pieces);
    assert!(pieces(&before) <= pieces(&status), "more in the half than in the whole");
}

fn piece(bytes: &[u8]) {
    let (mut read, mut skipped) = (Cursor::new(bytes), Cursor::new(bytes));
    while let Ok(Some(packet)) = EncodedPacket::read(&mut read, TimeBase::new(1, 1000)) {
        let at = EncodedPacket::skip(&mut skipped);
        assert!(at.is_ok_and(|at| at == Some(packet.time().ticks)), "skipped to another packet");
        assert_eq!(read.position(), skipped.position());
        let mut again = Vec::new();
        assert!(packet.write(&mut again).is_ok() && packet.bytes() <= bytes.len(), "{} bytes", packet.bytes());
    }
}
