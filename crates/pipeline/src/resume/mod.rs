//! Going on where a run was stopped.
//!
//! A job is always done in pieces, whether it is stopped or not, so that both give the same bytes. Each piece is encoded by
//! itself and written to the folder beside the output (`folder`, `pieces`), where a journal tells which are done
//! (`journal`). Where a piece begins follows from the film and the settings alone (`borders`). At the end the pieces and
//! the streams that are copied are put together in one pass (`join`).
//!
//! A job that is started again finds its place by the journal, reads the frames before it once more (`lead`) and makes the
//! rest. If anything that the output depends on is not what it was (`key`), it starts afresh.

pub(crate) mod borders;
mod disk;
mod folder;
pub(crate) mod join;
mod journal;
mod key;
pub(crate) mod lead;
mod pieces;
pub(crate) mod state;
mod status;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;

use framelift_frame::Timestamp;
use framelift_media::{CopyPolicy, Demuxer, MediaError, Output, OutputVideo, WriteOptions};

use self::disk::Room;
use self::folder::{Folder, work};
use self::journal::{FORMAT, Hash, Header, Journal, Recorded};
use crate::{Event, PartSpec, PipelineError, WindowOptions};

pub use self::disk::ExpectedDisk;
pub(crate) use self::disk::expected_bytes;
pub(crate) use self::folder::state_part;
pub(crate) use self::journal::{Pins, Place, Then};
pub(crate) use self::pieces::Pieces;
pub use self::status::{JobStatus, status};

/// What the program makes of the same film, settings and engine. It is raised whenever that becomes something else, so that
/// no output is put together from the work of two programs.
pub const NUMERICS: u32 = 1;

/// Whether and how a job can go on where it was stopped.
#[derive(Clone, Debug, Default)]
pub struct Resume {
    /// What the model's results depend on, by names that people know: checkpoint, engine, precision.
    pub key: BTreeMap<String, String>,
    /// Forget what was done before.
    pub fresh: bool,
    /// Frames of a piece; `None` for as many as make about a minute's work.
    pub piece_frames: Option<u64>,
    /// Ceiling on the disk that the job may take at once.
    pub disk_limit_bytes: Option<u64>,
}

pub(crate) fn hash(bytes: &[u8]) -> u64 {
    twox_hash::XxHash3_64::oneshot(bytes)
}

/// Bytes of the streams that are copied, at most: no more is known of them than that they are in the film.
pub(crate) fn copied_bytes(input: &Demuxer) -> u64 {
    std::fs::metadata(input.input().to_string()).map_or(0, |metadata| metadata.len())
}

/// What the bytes of a job's output depend on, beside the model, and the model's name.
pub(crate) struct Settings<'a> {
    pub(crate) model: &'a str,
    pub(crate) video: &'a OutputVideo,
    pub(crate) write: &'a WriteOptions,
    pub(crate) part: PartSpec,
    pub(crate) shots: bool,
    pub(crate) windows: WindowOptions,
    pub(crate) piece_frames: u64,
}

/// A job's folder before the work begins: what was done before, if it is of the same job.
pub(crate) struct Work {
    folder: Folder,
    header: Header,
    recorded: Option<Recorded>,
    room: Room,
    /// Why the work starts afresh although there was some.
    afresh: Option<String>,
}

impl Work {
    /// Locks the folder of `output` and reads what was done. `None` where the job cannot go on where it is stopped:
    /// its input cannot be read twice, or its output is a pipe.
    pub(crate) fn open(
        resume: &Resume,
        input: &Demuxer,
        output: &Output,
        settings: &Settings<'_>,
        frames: Option<u64>,
    ) -> Result<Option<Self>, PipelineError> {
        let content = key::content(input.input()).map_err(|error| MediaError::Input {
            input: input.input().to_string(),
            what: error.to_string(),
            remedy: "check the file and the disk".to_owned(),
        })?;
        let Some(content) = content else { return Ok(None) };
        let Some(folder) = Folder::lock(output)? else { return Ok(None) };
        let mut key = resume.key.clone();
        let mut add = |name: &str, value: String| key.insert(name.to_owned(), value);
        let mut video = settings.video.clone();
        video.notices.clear();
        // What is copied, and where the output waits, is nothing to the pictures.
        let write = WriteOptions {
            copy: CopyPolicy::All,
            overwrite: false,
            trim_start: None,
            trim_end: None,
            part_folder: None,
            encoder_threads: 0,
            ..settings.write.clone()
        };
        add("program's numerics", NUMERICS.to_string());
        add("film", format!("{content:016x}"));
        add("reading of the film", input.reading());
        add("FFmpeg", framelift_media::libraries());
        add("encoding", format!("{:016x}", hash(format!("{video:?} {write:?}").as_bytes())));
        add("size", video.size.to_string());
        add("part of the film", format!("{:?}", settings.part));
        add("shots and windows", format!("{} {:?}", settings.shots, settings.windows));
        add("length of pieces", settings.piece_frames.to_string());
        let header = Header {
            format: FORMAT,
            input: input.input().to_string(),
            output: output.to_string(),
            model: settings.model.to_owned(),
            frames,
            key,
            encoder: Hash::default(),
            pins: Pins { limit_bytes: 0, window: None, tiles: (1, 1), look_ahead: None, encoder_threads: 0 },
        };
        let room = Room::new(resume.disk_limit_bytes, frames, copied_bytes(input));
        let recorded = Recorded::read(&folder.journal()).map_err(|e| work(&folder.journal(), e))?;
        let mut opened = Self { folder, header, recorded: None, room, afresh: None };
        if let Some(recorded) = recorded.filter(|recorded| !recorded.pieces.is_empty()) {
            opened.folder.is_worth_keeping();
            let changed = key::differences(&recorded.header.key, &opened.header.key);
            let missing = opened.missing(&recorded);
            opened.recorded = Some(recorded);
            if resume.fresh {
                opened.recorded = None;
            } else if !changed.is_empty() {
                opened.start_afresh(&format!("{} changed", changed.join(", ")));
            } else if let Some(missing) = missing {
                opened.start_afresh(&format!("{missing} is not what it was"));
            }
        }
        Ok(Some(opened))
    }

    /// The first file of the work that is not there as the journal says.
    fn missing(&self, recorded: &Recorded) -> Option<String> {
        let length = |path: &Path| path.metadata().ok().map(|metadata| metadata.len());
        let pieces = recorded.pieces.iter().enumerate().map(|(n, piece)| (self.folder.piece(n), Some(piece.bytes)));
        let state = recorded.place().filter(|place| place.state).map(|_| (self.folder.state(recorded.frames()), None));
        let is_missing = |(path, bytes): &(std::path::PathBuf, Option<u64>)| match (length(path), bytes) {
            (Some(length), Some(bytes)) => length != *bytes,
            (length, _) => length.is_none(),
        };
        pieces.chain(state).find(is_missing).map(|(path, _)| path.display().to_string())
    }

    /// Takes nothing over from the work there was.
    fn start_afresh(&mut self, why: &str) {
        if let Some(recorded) = self.recorded.take() {
            let frames = recorded.frames();
            self.afresh = Some(format!("{why} since the first {frames} frames were made; the work starts afresh"));
        }
    }

    /// Where files of the job lie.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What was chosen by the memory that was free when the work began, and the frames made since; `None` where it begins now.
    pub(crate) fn pins(&self) -> Option<(Pins, u64)> {
        self.recorded.as_ref().map(|recorded| (recorded.header.pins, recorded.frames()))
    }

    /// Whether the output was about to get its name, so that what lies there may be replaced.
    pub(crate) fn was_publishing(&self) -> bool {
        self.recorded.as_ref().is_some_and(|recorded| recorded.publishing)
    }

    /// The frames and shots of an output that got its name just before the process ended; then only the folder is left to
    /// be removed.
    pub(crate) fn published(&self, output: &Output) -> Option<(u64, u64)> {
        let there = match output {
            Output::File(path) => path.is_file(),
            Output::Sequence(pattern) => pattern.numbers().is_ok_and(|numbers| !numbers.is_empty()),
            Output::Stdout => false,
        };
        let recorded = self.recorded.as_ref().filter(|recorded| recorded.publishing && there)?;
        if self.folder.path().join("output").exists() {
            return None;
        }
        let shots = match recorded.pieces.last()?.then {
            Then::End { shots, .. } => shots,
            Then::Piece(_) => 0,
        };
        Some((recorded.frames(), shots))
    }

    /// Removes all traces of the work.
    pub(crate) fn remove(self) {
        self.folder.remove();
    }

    /// Whether the work there is was encoded by the same encoder; where not, it counts no longer.
    pub(crate) fn accepts(&mut self, fingerprint: &[u8]) -> bool {
        let encoder = Hash(hash(fingerprint));
        self.header.encoder = encoder;
        let same = self.recorded.as_ref().is_none_or(|recorded| recorded.header.encoder == encoder);
        if !same {
            self.start_afresh("the encoder's version, or the number of processors that it works on,");
        }
        same
    }

    /// Begins the work, or goes on with it; says so.
    pub(crate) fn begin(
        mut self,
        pins: Pins,
        video: &OutputVideo,
        write: &WriteOptions,
        on_event: &(dyn Fn(Event) + Sync),
    ) -> Result<(Pieces, Option<Place>), PipelineError> {
        self.header.pins = pins;
        let path = self.folder.journal();
        if let Some(afresh) = self.afresh.take() {
            on_event(Event::Notice(afresh));
        }
        let done = self.recorded.as_ref().map_or(&[][..], |recorded| &recorded.pieces);
        if let Some(warning) = self.room.check_before(video, write, done, self.folder.path())? {
            on_event(Event::Notice(warning));
        }
        let Some(recorded) = self.recorded else {
            self.folder.clear(&[self.folder.path().join("output")])?;
            let journal = Journal::create(&path, self.header).map_err(|e| work(&path, e))?;
            return Ok((Pieces::new(self.folder, journal, Vec::new(), self.room), None));
        };
        let (number, place) = (recorded.pieces.len(), recorded.place());
        let mut keep: Vec<_> = (0..number).map(|n| self.folder.piece(n)).collect();
        keep.extend([path.clone(), self.folder.state(recorded.frames()), self.folder.path().join("output")]);
        self.folder.clear(&keep)?;
        let journal = Journal::go_on(&path, recorded.valid_bytes).map_err(|e| work(&path, e))?;
        Ok((Pieces::new(self.folder, journal, recorded.pieces, self.room), place))
    }
}

/// A place in the film, with its times as moments.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resumed {
    pub(crate) place: Place,
    /// Frames before it.
    pub(crate) frames: u64,
    /// Where to read from; `None` for the beginning.
    pub(crate) from: Option<Timestamp>,
    pub(crate) lead: Timestamp,
    pub(crate) at: Timestamp,
}

impl Resumed {
    pub(crate) fn new(place: Place, frames: u64, base: framelift_frame::TimeBase) -> Self {
        let moment = |ticks| Timestamp::new(ticks, base);
        Self { place, frames, from: place.from.map(moment), lead: moment(place.lead), at: moment(place.at) }
    }
}
