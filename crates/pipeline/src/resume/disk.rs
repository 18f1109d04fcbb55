//! Room on the disk: what a job will take, and whether it is there.
//!
//! The pieces lie on the disk until the output is whole, so that a job takes its video twice at the end.

use std::path::Path;

use framelift_media::{OutputVideo, WriteOptions};

use super::journal::Piece;
use crate::PipelineError;

/// What a job may take of the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpectedDisk {
    /// Where the film is calm.
    pub calm_bytes: u64,
    /// Where it is restless.
    pub restless_bytes: u64,
    /// Whether hardly any film takes less than a calm one.
    pub sure: bool,
}

/// What a job may take whose video lies on the disk `times` at the end; `None` where nothing is known of it.
pub(crate) fn expected_bytes(
    video: &OutputVideo,
    write: &WriteOptions,
    frames: Option<u64>,
    copied_bytes: u64,
    times: u64,
) -> Option<ExpectedDisk> {
    let bits = video.expected_bits(write)?;
    let pixels = video.size.pixels() as f64 * frames? as f64;
    let bytes = |bits: f64| ((bits / 8.0 * pixels) as u64).saturating_mul(times);
    Some(ExpectedDisk {
        calm_bytes: bytes(bits.calm),
        restless_bytes: bytes(bits.restless).saturating_add(copied_bytes),
        sure: bits.sure,
    })
}

/// What a job takes, watched as it grows.
pub(crate) struct Room {
    /// Ceiling on what it may take, where the user set one.
    pub(crate) limit_bytes: Option<u64>,
    /// Frames in all, as far as the film says.
    pub(crate) frames: Option<u64>,
    /// Bytes of the streams that are copied, at most.
    pub(crate) copied_bytes: u64,
    warned: bool,
}

impl Room {
    pub(crate) fn new(limit_bytes: Option<u64>, frames: Option<u64>, copied_bytes: u64) -> Self {
        Self { limit_bytes, frames, copied_bytes, warned: false }
    }

    /// Refuses a job that cannot fit before it begins; a word of warning where it may not.
    pub(crate) fn check_before(
        &self,
        video: &OutputVideo,
        write: &WriteOptions,
        done: &[Piece],
        disk: &Path,
    ) -> Result<Option<String>, PipelineError> {
        let Some(needed) = expected_bytes(video, write, self.frames, self.copied_bytes, 2) else { return Ok(None) };
        if needed.sure {
            self.refuse(needed.calm_bytes, done, disk)?;
        }
        let there = bytes_of(done);
        let range = format!("{} to {}", crate::mib(needed.calm_bytes), crate::mib(needed.restless_bytes));
        Ok(match (self.limit_bytes, fs4::available_space(disk)) {
            (Some(limit), _) if needed.restless_bytes > limit => Some(format!(
                "by estimate the job takes {range} of disk, and {} are allowed; it stops where that is reached, and goes on with a larger --disk",
                crate::mib(limit)
            )),
            (_, Ok(free)) if needed.restless_bytes.saturating_sub(there) > free => Some(format!(
                "by estimate the job takes {range} of disk, and {} are free; should they be filled, it stops there and goes on when there is room",
                crate::mib(free)
            )),
            _ => None,
        })
    }

    /// Refuses where `needed_bytes` in all are more than may be or are.
    fn refuse(&self, needed_bytes: u64, done: &[Piece], disk: &Path) -> Result<(), PipelineError> {
        if let Some(limit_bytes) = self.limit_bytes.filter(|limit| needed_bytes > *limit) {
            return Err(PipelineError::DiskLimit { needed_bytes, limit_bytes });
        }
        let there = bytes_of(done);
        match fs4::available_space(disk) {
            Ok(free_bytes) if needed_bytes.saturating_sub(there) > free_bytes => {
                let folder = disk.parent().unwrap_or(disk).to_owned();
                Err(PipelineError::DiskSpace { needed_bytes: needed_bytes - there, free_bytes, folder })
            }
            _ => Ok(()),
        }
    }

    /// Looks at what the pieces take; a word of warning, once, where the whole job will not fit.
    pub(crate) fn check(&mut self, done: &[Piece], disk: &Path) -> Result<Option<String>, PipelineError> {
        let there = bytes_of(done);
        let frames: u64 = done.iter().map(|piece| piece.frames).sum();
        if let Some(limit_bytes) = self.limit_bytes.filter(|limit| there.saturating_mul(2) > *limit) {
            return Err(PipelineError::DiskLimit { needed_bytes: there.saturating_mul(2), limit_bytes });
        }
        let Some(total) = self.frames.filter(|total| !self.warned && frames > 0 && *total >= frames) else {
            return Ok(None);
        };
        let video = (there as f64 / frames as f64 * total as f64) as u64;
        let needed = video.saturating_mul(2).saturating_add(self.copied_bytes);
        let warning = match (self.limit_bytes, fs4::available_space(disk)) {
            (Some(limit), _) if needed > limit => Some(format!(
                "by what is done, the job will take about {} of disk, over the {} allowed; it stops where that is reached, and goes on with a larger --disk",
                crate::mib(needed),
                crate::mib(limit)
            )),
            (_, Ok(free)) if needed.saturating_sub(there) > free => Some(format!(
                "by what is done, the job will take about {} more of disk, and {} are free; make room while it works, or it stops there and goes on when there is room",
                crate::mib(needed - there),
                crate::mib(free)
            )),
            _ => None,
        };
        self.warned = warning.is_some();
        Ok(warning)
    }

    /// Refuses to join where the output does not fit beside the pieces.
    pub(crate) fn check_join(&self, done: &[Piece], disk: &Path) -> Result<(), PipelineError> {
        self.refuse(bytes_of(done).saturating_mul(2), done, disk)
    }
}

fn bytes_of(done: &[Piece]) -> u64 {
    done.iter().fold(0, |sum, piece| sum.saturating_add(piece.bytes))
}

#[cfg(test)]
mod tests {
    use super::super::journal::tests::piece;
    use super::*;

    #[test]
    fn a_ceiling_is_kept_and_foreseen() {
        let here = Path::new(".");
        let done = [piece(10, false), piece(10, false)];
        let mut roomy = Room::new(Some(1 << 40), Some(100), 0);
        assert!(matches!(roomy.check(&done, here), Ok(None)));
        let mut tight = Room::new(Some(100_000), Some(100), 0);
        let warning = tight.check(&done, here).unwrap().unwrap();
        assert!(warning.contains("--disk"), "{warning}");
        assert!(matches!(tight.check(&done, here), Ok(None)), "said once");
        let mut full = Room::new(Some(40_000), Some(100), 0);
        assert!(matches!(full.check(&done, here), Err(PipelineError::DiskLimit { .. })));
        let huge = [Piece { bytes: u64::MAX / 4, ..piece(10, true) }];
        assert!(matches!(Room::new(None, None, 0).check_join(&huge, here), Err(PipelineError::DiskSpace { .. })));
    }
}
