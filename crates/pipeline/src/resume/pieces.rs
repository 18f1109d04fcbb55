//! The pieces of a job on the disk: packets of the encoded video, in files of their own until the end.
//!
//! A piece is written beside its name, made to last, renamed, and only then entered in the journal; so is the state that
//! the next piece begins with. Whatever moment the process dies at, the journal tells of whole pieces only.

use std::fs::{self, File};
use std::hash::Hasher as _;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::path::PathBuf;

use framelift_frame::TimeBase;
use framelift_media::EncodedPacket;
use twox_hash::XxHash3_64;

use super::disk::Room;
use super::folder::{Folder, state_part, sync_folder, work};
use super::journal::{Hash, Journal, Piece, Place, Then};
use crate::PipelineError;

/// Takes the packets of a job and enters its pieces in the journal.
pub(crate) struct Pieces {
    pub(super) folder: Folder,
    pub(super) journal: Journal,
    pub(super) done: Vec<Piece>,
    open: Option<Open>,
    room: Room,
}

/// The piece that is being written.
struct Open {
    file: BufWriter<Hashed<File>>,
    path: PathBuf,
    /// When each picture is shown, in the order of their packets.
    ticks: Vec<i64>,
}

impl Pieces {
    pub(super) fn new(folder: Folder, journal: Journal, done: Vec<Piece>, room: Room) -> Self {
        if !done.is_empty() {
            folder.is_worth_keeping();
        }
        Self { folder, journal, done, open: None, room }
    }

    /// Where files of the job lie.
    pub(crate) fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Frames of the pieces that are done.
    pub(crate) fn frames(&self) -> u64 {
        self.done.iter().fold(0, |sum, piece| sum.saturating_add(piece.frames))
    }

    /// Where copied streams end before the film does, in ticks of the stream, once all pieces are done.
    pub(crate) fn end_ticks(&self) -> Option<i64> {
        match self.done.last()?.then {
            Then::End { at, .. } => at,
            Then::Piece(_) => None,
        }
    }

    /// Shots of the film, once all pieces are done.
    pub(crate) fn shots(&self) -> u64 {
        match self.done.last().map(|piece| piece.then) {
            Some(Then::End { shots, .. }) => shots,
            _ => 0,
        }
    }

    /// Whether all pieces are done.
    pub(crate) fn is_complete(&self) -> bool {
        matches!(self.done.last(), Some(Piece { then: Then::End { .. }, .. }))
    }

    /// Adds a packet to the piece.
    pub(crate) fn write(&mut self, packet: &EncodedPacket) -> Result<(), PipelineError> {
        let open = match &mut self.open {
            Some(open) => open,
            none => {
                let path = self.folder.piece(self.done.len()).with_extension("part");
                let file = File::create(&path).map_err(|e| work(&path, e))?;
                let file = BufWriter::with_capacity(1 << 18, Hashed::new(file));
                none.insert(Open { file, path, ticks: Vec::new() })
            }
        };
        open.ticks.push(packet.time().ticks);
        packet.write(&mut open.file).map_err(|e| work(&open.path, e))
    }

    /// Ends the piece; gives a word of warning where the disk will not hold the rest.
    pub(crate) fn end(&mut self, then: Then) -> Result<Option<String>, PipelineError> {
        let (number, before) = (self.done.len(), self.frames());
        let Some(Open { file, path, ticks }) = self.open.take() else {
            return Err(PipelineError::Lost { decoded: 1, written: 0 });
        };
        if let Then::Piece(Place { state: true, .. }) = then {
            let frame = before + ticks.len() as u64;
            make_last(&state_part(self.folder.path(), frame), &self.folder.state(frame))?;
        }
        let Hashed { hash, bytes, inner } = file.into_inner().map_err(|e| work(&path, e.into_error()))?;
        inner.sync_all().map_err(|e| work(&path, e))?;
        drop(inner);
        let name = self.folder.piece(number);
        fs::rename(&path, &name).map_err(|e| work(&name, e))?;
        sync_folder(self.folder.path());
        let piece = Piece { frames: ticks.len() as u64, bytes, hash: Hash(hash.finish()), delay: delay(&ticks), then };
        self.journal.piece(piece).map_err(|e| work(&self.folder.journal(), e))?;
        self.done.push(piece);
        self.folder.is_worth_keeping();
        // What the piece began with stays while a last line of the journal could be torn; what the one before it began with
        // is not needed any more.
        if let Some(earlier) = number.checked_sub(1) {
            let _ = fs::remove_file(self.folder.state(before - self.done[earlier].frames));
        }
        self.room.check(&self.done, self.folder.path())
    }

    /// Opens the pieces to be read from the first.
    pub(crate) fn packets(&self, time_base: TimeBase) -> Packets<'_> {
        let delay = self.done.iter().map(|piece| piece.delay).max().unwrap_or(0);
        Packets { pieces: self, time_base, number: 0, reader: None, order: Order::new(delay), peeked: None }
    }

    /// Refuses to join where there is no room for the output.
    pub(crate) fn check_room(&self) -> Result<(), PipelineError> {
        self.room.check_join(&self.done, self.folder.path())
    }

    /// Says in the journal that the output is whole and about to get its name.
    pub(crate) fn publishing(&mut self) -> Result<(), PipelineError> {
        self.journal.publishing().map_err(|e| work(&self.folder.journal(), e))
    }

    /// Removes all traces of the work.
    pub(crate) fn remove(self) {
        self.folder.remove();
    }
}

fn make_last(part: &std::path::Path, name: &std::path::Path) -> Result<(), PipelineError> {
    let synced = File::open(part).and_then(|file| file.sync_all());
    synced.and_then(|()| fs::rename(part, name)).map_err(|e| work(name, e))
}

/// How many pictures the packets of pictures shown at `ticks` run ahead of the order of display, at most.
fn delay(ticks: &[i64]) -> usize {
    let mut order: Vec<usize> = (0..ticks.len()).collect();
    order.sort_by_key(|&packet| ticks[packet]);
    order.iter().enumerate().map(|(rank, &packet)| packet.saturating_sub(rank)).max().unwrap_or(0)
}

/// Counts and hashes what passes.
struct Hashed<T> {
    inner: T,
    hash: XxHash3_64,
    bytes: u64,
}

impl<T> Hashed<T> {
    fn new(inner: T) -> Self {
        Self { inner, hash: XxHash3_64::with_seed(0), bytes: 0 }
    }

    fn passed(&mut self, bytes: &[u8]) {
        self.hash.write(bytes);
        self.bytes += bytes.len() as u64;
    }
}

impl<T: Write> Write for Hashed<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.passed(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<T: Read> Read for Hashed<T> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(bytes)?;
        self.passed(&bytes[..read]);
        Ok(read)
    }
}

/// The packets of all pieces, one after another, with the decoding times that one encoder of the whole film would give.
pub(crate) struct Packets<'a> {
    pieces: &'a Pieces,
    time_base: TimeBase,
    number: usize,
    reader: Option<BufReader<Hashed<File>>>,
    order: Order,
    peeked: Option<EncodedPacket>,
}

impl<'a> Packets<'a> {
    /// Whose they are.
    pub(crate) fn pieces(&self) -> &'a Pieces {
        self.pieces
    }

    /// The next packet, which stays the next.
    pub(crate) fn peek(&mut self) -> Result<Option<&EncodedPacket>, PipelineError> {
        if self.peeked.is_none() {
            self.peeked = self.read()?;
        }
        Ok(self.peeked.as_ref())
    }

    /// The next packet.
    pub(crate) fn next(&mut self) -> Result<Option<EncodedPacket>, PipelineError> {
        match self.peeked.take() {
            Some(packet) => Ok(Some(packet)),
            None => self.read(),
        }
    }

    fn read(&mut self) -> Result<Option<EncodedPacket>, PipelineError> {
        while let Some(piece) = self.pieces.done.get(self.number) {
            let path = self.pieces.folder.piece(self.number);
            let damaged = |what: String| PipelineError::Piece { path: path.clone(), what };
            let reader = match &mut self.reader {
                Some(reader) => reader,
                none => {
                    // Decoding times reach as far into the piece after as pictures run ahead.
                    while self.order.known_pieces <= (self.number + 1).min(self.pieces.done.len() - 1) {
                        let path = self.pieces.folder.piece(self.order.known_pieces);
                        let ticks = ticks(&path).map_err(|e| PipelineError::Piece { path, what: e.to_string() })?;
                        self.order.add(ticks);
                    }
                    let file = File::open(&path).map_err(|e| damaged(e.to_string()))?;
                    none.insert(BufReader::with_capacity(1 << 18, Hashed::new(file)))
                }
            };
            match EncodedPacket::read(reader, self.time_base).map_err(|e| damaged(e.to_string()))? {
                Some(mut packet) => {
                    packet.set_decode_ticks(self.order.next());
                    return Ok(Some(packet));
                }
                None => {
                    let read = reader.get_ref();
                    if (read.bytes, read.hash.finish()) != (piece.bytes, piece.hash.0) {
                        return Err(damaged("its bytes are not those that were written".to_owned()));
                    }
                    self.reader = None;
                    self.number += 1;
                }
            }
        }
        Ok(None)
    }
}

/// When the pictures of a piece are shown, in order of display.
fn ticks(path: &std::path::Path) -> io::Result<Vec<i64>> {
    fn all(from: &mut (impl Read + Seek)) -> io::Result<Vec<i64>> {
        let mut ticks = Vec::new();
        while let Some(at) = EncodedPacket::skip(from)? {
            ticks.push(at);
        }
        ticks.sort_unstable();
        Ok(ticks)
    }
    all(&mut BufReader::new(File::open(path)?))
}

/// Decoding times: packet `i` is decoded when picture `i - delay` is shown, and the first ones as far before the first
/// picture as that takes.
struct Order {
    delay: usize,
    /// When pictures are shown, those from number `first` on.
    shown: std::collections::VecDeque<i64>,
    first: usize,
    packet: usize,
    known_pieces: usize,
    /// How long before the first picture the first packet is decoded.
    before: Option<i64>,
}

impl Order {
    fn new(delay: usize) -> Self {
        Self { delay, shown: std::collections::VecDeque::new(), first: 0, packet: 0, known_pieces: 0, before: None }
    }

    fn add(&mut self, ticks: Vec<i64>) {
        self.shown.extend(ticks);
        self.known_pieces += 1;
    }

    fn next(&mut self) -> i64 {
        let packet = self.packet;
        self.packet += 1;
        let shown = |number: usize| self.shown.get(number.checked_sub(self.first)?).copied();
        let Some(early) = packet.checked_sub(self.delay) else {
            let first = shown(0).unwrap_or(0);
            let before = *self.before.get_or_insert(
                // A film shorter than the delay stretches what pictures it has.
                shown(self.delay).or(self.shown.back().map(|last| last + 1)).unwrap_or(first) - first,
            );
            return shown(packet).map_or(first - before + packet as i64, |ticks| ticks - before);
        };
        let ticks = shown(early).unwrap_or_default();
        while self.first < early {
            self.shown.pop_front();
            self.first += 1;
        }
        ticks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode_ticks(pieces: &[&[i64]], delay: usize) -> Vec<i64> {
        let mut order = Order::new(delay);
        for ticks in pieces {
            order.add(ticks.to_vec());
        }
        (0..pieces.iter().map(|ticks| ticks.len()).sum()).map(|_| order.next()).collect()
    }

    #[test]
    fn decoding_times_run_behind_the_pictures_across_pieces() {
        assert_eq!(decode_ticks(&[&[0, 40, 80, 120], &[160, 200]], 2), [-80, -40, 0, 40, 80, 120]);
        assert_eq!(decode_ticks(&[&[0, 40, 80], &[120]], 0), [0, 40, 80, 120]);
        assert_eq!(decode_ticks(&[&[5, 6, 100, 101, 500]], 2), [-90, -89, 5, 6, 100], "ticks as they are");
        assert_eq!(decode_ticks(&[&[7]], 2), [6]);
        for (ticks, delay) in [(&[3, 9][..], 2), (&[3, 9], 5), (&[0, 1, 2, 3, 4, 5], 3)] {
            let times = decode_ticks(&[ticks], delay);
            assert!(times.is_sorted_by(|a, b| a < b), "{ticks:?} {delay}: {times:?}");
            assert!(times.iter().zip(ticks).all(|(decoded, shown)| decoded <= shown), "{ticks:?} {delay}: {times:?}");
        }
    }

    #[test]
    fn the_delay_is_what_the_packets_need() {
        assert_eq!(delay(&[0, 40, 80]), 0);
        assert_eq!(delay(&[0, 160, 80, 40, 120]), 2);
        assert_eq!(delay(&[0, 80, 40]), 1);
        assert_eq!(delay(&[]), 0);
    }
}
