//! The journal of a job: what it is, and which pieces of it are done.
//!
//! A text file of lines that is only ever appended to: 16 hexadecimal digits of the XXH3 hash of the rest, a space, and
//! JSON. The first line says what the job is, each further one that a piece is on the disk, and the last that the whole
//! output is about to get its name. A line that is torn or does not match its hash ends the journal.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::folder::sync_folder;
use super::hash;

/// The form of the journal and of the files beside it.
pub(crate) const FORMAT: u32 = 1;

/// The longest journal that is read: 4 hours of pieces of a second are under a hundredth of it.
const MOST_BYTES: u64 = 256 << 20;

/// A hash, written as 16 hexadecimal digits: JSON's numbers have no room for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub(crate) struct Hash(pub(crate) u64);

impl From<Hash> for String {
    fn from(Hash(value): Hash) -> Self {
        format!("{value:016x}")
    }
}

impl TryFrom<String> for Hash {
    type Error = std::num::ParseIntError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        u64::from_str_radix(&text, 16).map(Self)
    }
}

/// What a job is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Header {
    pub(crate) format: u32,
    /// The film and the result, for people.
    pub(crate) input: String,
    pub(crate) output: String,
    pub(crate) model: String,
    /// Frames in all, as far as the film says.
    pub(crate) frames: Option<u64>,
    /// What the bytes of the output depend on, by names that people know.
    pub(crate) key: BTreeMap<String, String>,
    /// What the encoder makes of a plain picture.
    pub(crate) encoder: Hash,
    pub(crate) pins: Pins,
}

/// What was chosen by what the machine had free when the job began, and must stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pins {
    /// The ceiling on memory that the choice was made for.
    pub(crate) limit_bytes: u64,
    /// Body and context of windows.
    pub(crate) window: Option<(u64, u64)>,
    /// Columns and rows of tiles.
    pub(crate) tiles: (usize, usize),
    /// How far the encoder looks ahead, where it was told to look less far than it likes.
    pub(crate) look_ahead: Option<u64>,
    /// Threads of the encoder, where what it makes depends on them.
    pub(crate) encoder_threads: usize,
}

/// A piece that is on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Piece {
    pub(crate) frames: u64,
    pub(crate) bytes: u64,
    pub(crate) hash: Hash,
    /// How many pictures its packets run ahead of the order of display, at most.
    pub(crate) delay: usize,
    /// What follows.
    pub(crate) then: Then,
}

/// What follows a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Then {
    /// Another piece.
    Piece(Place),
    /// Nothing.
    End {
        /// When the frame after the last that was asked for is shown, where one was decoded: copied streams end there.
        at: Option<i64>,
        /// Shots of the film.
        shots: u64,
    },
}

/// Where in the film a piece begins. Times are ticks of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    /// When its first frame is shown.
    pub(crate) at: i64,
    /// When the first of the frames before it that going on needs is shown.
    pub(crate) lead: i64,
    /// Where to read from, so that those are there; `None` for the beginning.
    pub(crate) from: Option<i64>,
    /// Of the frames from `lead` up to `at`.
    pub(crate) check: Hash,
    /// Frames of its shot that lie before it.
    pub(crate) shot: u64,
    /// Frames from it on that the network holds already.
    pub(crate) held: u64,
    /// Whether the shot goes on in f32, the working precision having overflowed.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) full: bool,
    /// Whether there is a file with the network's state.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) state: bool,
    /// Shots up to here.
    pub(crate) shots: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Job(Header),
    Piece(Piece),
    Publishing,
}

/// What a journal says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Recorded {
    pub(crate) header: Header,
    pub(crate) pieces: Vec<Piece>,
    /// Whether the output was whole and about to get its name.
    pub(crate) publishing: bool,
    /// Bytes of the lines that hold.
    pub(crate) valid_bytes: u64,
}

impl Recorded {
    /// What the bytes of a journal say; `None` where not even its first line holds.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut recorded: Option<Self> = None;
        let mut at = 0;
        while let Some(length) = bytes[at..].iter().position(|&b| b == b'\n') {
            let Some(line) = parse_line(&bytes[at..at + length]) else { break };
            at += length + 1;
            match (line, &mut recorded) {
                (Line::Job(header), None) if header.format == FORMAT => {
                    recorded = Some(Self { header, pieces: Vec::new(), publishing: false, valid_bytes: 0 });
                }
                (Line::Piece(piece), Some(recorded)) if !recorded.is_complete() => recorded.pieces.push(piece),
                (Line::Publishing, Some(recorded)) if recorded.is_complete() => recorded.publishing = true,
                _ => break,
            }
            if let Some(recorded) = &mut recorded {
                recorded.valid_bytes = at as u64;
            }
        }
        recorded
    }

    /// Reads the journal at `path`; `None` where there is none that holds.
    pub(crate) fn read(path: &Path) -> io::Result<Option<Self>> {
        match fs::metadata(path) {
            Ok(metadata) if metadata.len() <= MOST_BYTES => Ok(Self::parse(&fs::read(path)?)),
            Ok(_) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether every piece is done.
    pub(crate) fn is_complete(&self) -> bool {
        matches!(self.pieces.last(), Some(Piece { then: Then::End { .. }, .. }))
    }

    /// Frames of the pieces that are done.
    pub(crate) fn frames(&self) -> u64 {
        self.pieces.iter().fold(0, |sum, piece| sum.saturating_add(piece.frames))
    }

    /// Where the work goes on; `None` at the beginning and at the end.
    pub(crate) fn place(&self) -> Option<Place> {
        match self.pieces.last()?.then {
            Then::Piece(place) => Some(place),
            Then::End { .. } => None,
        }
    }
}

fn parse_line(line: &[u8]) -> Option<Line> {
    let (digits, rest) = line.split_at_checked(16)?;
    let json = rest.strip_prefix(b" ")?;
    let stated = u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    if stated != hash(json) {
        return None;
    }
    serde_json::from_slice(json).ok()
}

/// A journal that is being written.
pub(crate) struct Journal(File);

impl Journal {
    /// Begins a journal; it is there as a whole or not at all.
    pub(crate) fn create(path: &Path, header: Header) -> io::Result<Self> {
        let part = path.with_extension("part");
        let mut journal = Self(File::create(&part)?);
        journal.append(&Line::Job(header))?;
        fs::rename(&part, path)?;
        path.parent().map(sync_folder);
        Ok(journal)
    }

    /// Goes on with a journal after the lines that hold.
    pub(crate) fn go_on(path: &Path, valid_bytes: u64) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).open(path)?;
        file.set_len(valid_bytes)?;
        Ok(Self(file))
    }

    /// Says that a piece is on the disk.
    pub(crate) fn piece(&mut self, piece: Piece) -> io::Result<()> {
        self.append(&Line::Piece(piece))
    }

    /// Says that the output is whole and about to get its name.
    pub(crate) fn publishing(&mut self) -> io::Result<()> {
        self.append(&Line::Publishing)
    }

    fn append(&mut self, line: &Line) -> io::Result<()> {
        let json = serde_json::to_string(line)?;
        self.0.write_all(format!("{:016x} {json}\n", hash(json.as_bytes())).as_bytes())?;
        self.0.sync_data()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn header() -> Header {
        Header {
            format: FORMAT,
            input: "in.mkv".into(),
            output: "out.mkv".into(),
            model: "lift-x4".into(),
            frames: Some(1000),
            key: BTreeMap::from([("input".into(), "abc".into())]),
            encoder: Hash(u64::MAX),
            pins: Pins {
                limit_bytes: 1 << 32,
                window: Some((100, 12)),
                tiles: (1, 1),
                look_ahead: None,
                encoder_threads: 3,
            },
        }
    }

    pub(crate) fn piece(frames: u64, last: bool) -> Piece {
        let place = Place {
            at: -40,
            lead: -400,
            from: None,
            check: Hash(7),
            shot: 3,
            held: 1,
            full: false,
            state: true,
            shots: 2,
        };
        let then = if last { Then::End { at: Some(9), shots: 5 } } else { Then::Piece(place) };
        Piece { frames, bytes: 12_345, hash: Hash(3), delay: 2, then }
    }

    fn journal(folder: &Path, pieces: usize) -> Vec<u8> {
        let path = folder.join("journal");
        let mut journal = Journal::create(&path, header()).unwrap();
        for n in 1..=pieces {
            journal.piece(piece(n as u64, n == pieces)).unwrap();
        }
        journal.publishing().unwrap();
        fs::read(path).unwrap()
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let bytes = journal(folder.path(), 3);
        let recorded = Recorded::parse(&bytes).unwrap();
        assert_eq!(recorded.header, header());
        assert_eq!(recorded.pieces, [piece(1, false), piece(2, false), piece(3, true)]);
        assert!(recorded.publishing && recorded.is_complete() && recorded.frames() == 6);
        assert_eq!(recorded.valid_bytes, bytes.len() as u64);
        assert_eq!(recorded.place(), None);
    }

    #[test]
    fn a_journal_torn_anywhere_holds_up_to_its_last_whole_line() {
        let folder = tempfile::tempdir().unwrap();
        let bytes = journal(folder.path(), 4);
        let ends: Vec<usize> = (0..bytes.len()).filter(|&at| bytes[at] == b'\n').map(|at| at + 1).collect();
        for length in 0..bytes.len() {
            let whole = ends.iter().filter(|&&end| end <= length).count();
            let recorded = Recorded::parse(&bytes[..length]);
            assert_eq!(recorded.as_ref().map_or(0, |r| 1 + r.pieces.len() + usize::from(r.publishing)), whole);
            assert_eq!(recorded.map_or(0, |r| r.valid_bytes as usize), if whole == 0 { 0 } else { ends[whole - 1] });
        }
        let path = folder.path().join("journal");
        fs::write(&path, &bytes[..ends[2] + 20]).unwrap();
        let recorded = Recorded::read(&path).unwrap().unwrap();
        Journal::go_on(&path, recorded.valid_bytes).unwrap().piece(piece(9, true)).unwrap();
        let recorded = Recorded::read(&path).unwrap().unwrap();
        assert_eq!(recorded.pieces, [piece(1, false), piece(2, false), piece(9, true)]);
    }

    #[test]
    fn a_changed_byte_ends_the_journal() {
        let folder = tempfile::tempdir().unwrap();
        let bytes = journal(folder.path(), 2);
        let first = bytes.iter().position(|&b| b == b'\n').unwrap();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            let recorded = Recorded::parse(&changed);
            assert!(recorded.as_ref().is_none_or(|r| !r.publishing || r.valid_bytes < bytes.len() as u64), "{at}");
            assert!(at > first || recorded.is_none(), "{at}");
        }
    }

    #[test]
    fn four_hours_of_pieces_of_a_second_are_small() {
        let line = serde_json::to_string(&Line::Piece(Piece { hash: Hash(u64::MAX), ..piece(50, false) })).unwrap();
        assert!((line.len() + 18) * 3600 < 1 << 20, "{} bytes a line", line.len());
    }
}
