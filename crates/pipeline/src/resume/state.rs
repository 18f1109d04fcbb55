//! The state of a network between two frames of a shot, in a file.
//!
//! The file holds the number of tensors (4 bytes, little-endian), and for each one byte that tells whether it is there, and
//! if so its precision (0 f32, 1 bf16, 2 f16), height, width and channels (8 bytes each), and its values as the engine gives them;
//! at the end the XXH3 hash of all before.

use std::fs::File;
use std::hash::Hasher as _;
use std::io::{self, BufReader, Read as _, Write as _};
use std::path::Path;

use framelift_engine::{Engine, EngineError, Precision, Shape, Tensor};
use twox_hash::XxHash3_64;

use super::folder::work;
use crate::{PipelineError, SessionError};

/// The most tensors that a network's state has.
const MOST_TENSORS: u32 = 1024;

/// The byte that stands for a precision.
const fn code(precision: Precision) -> u8 {
    match precision {
        Precision::F32 => 0,
        Precision::Bf16 => 1,
        Precision::F16 => 2,
    }
}

/// Rows that are brought to the host at once.
const ROWS_AT_ONCE: usize = 64;

/// Writes `tensors`, of which each may be made when its turn comes, to `path`.
///
/// # Errors
/// [`PipelineError::Work`]; those of the engine.
pub(crate) fn write(
    path: &Path,
    engine: &dyn Engine,
    tensors: impl ExactSizeIterator<Item = Result<Option<Tensor>, EngineError>>,
) -> Result<(), PipelineError> {
    let failed = |e| work(path, e);
    let mut file = File::create(path).map_err(failed)?;
    let mut hash = XxHash3_64::with_seed(0);
    let mut put = |bytes: &[u8]| {
        hash.write(bytes);
        file.write_all(bytes).map_err(failed)
    };
    put(&(tensors.len() as u32).to_le_bytes())?;
    for tensor in tensors {
        let Some(tensor) = tensor.map_err(SessionError::End)? else {
            put(&[0])?;
            continue;
        };
        let Shape { height, width, channels, .. } = tensor.shape();
        put(&[1, code(tensor.precision())])?;
        for side in [height, width, channels] {
            put(&(side as u64).to_le_bytes())?;
        }
        for first in (0..height).step_by(ROWS_AT_ONCE) {
            let rows = engine.rows(&tensor, first..height.min(first + ROWS_AT_ONCE));
            put(&rows.and_then(|rows| engine.to_bytes(&rows)).map_err(SessionError::End)?)?;
        }
    }
    let hash = hash.finish();
    file.write_all(&hash.to_le_bytes()).map_err(failed)
}

/// Reads what [`write()`] wrote, which must be of frames of at most `most_pixels`.
///
/// # Errors
/// [`PipelineError::Work`] for files that cannot be read or are not whole; those of the engine.
pub(crate) fn read(path: &Path, engine: &dyn Engine) -> Result<Vec<Option<Tensor>>, PipelineError> {
    let length = path.metadata().map_err(|e| work(path, e))?.len();
    let file = BufReader::new(File::open(path).map_err(|e| work(path, e))?);
    let mut from = Hashed { file, hash: XxHash3_64::with_seed(0), left: length };
    let tensors = from.tensors(engine);
    tensors.map_err(|error| match error {
        Failed::Read(source) => work(path, source),
        Failed::Engine(source) => SessionError::End(source).into(),
    })
}

enum Failed {
    Read(io::Error),
    Engine(EngineError),
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self::Read(error)
    }
}

struct Hashed {
    file: BufReader<File>,
    hash: XxHash3_64,
    left: u64,
}

impl Hashed {
    fn bytes(&mut self, count: u64) -> io::Result<Vec<u8>> {
        if count > self.left {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut bytes = vec![0; count as usize];
        self.file.read_exact(&mut bytes)?;
        self.hash.write(&bytes);
        self.left -= count;
        Ok(bytes)
    }

    fn number<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut number = [0; N];
        number.copy_from_slice(&self.bytes(N as u64)?);
        Ok(number)
    }

    fn tensors(&mut self, engine: &dyn Engine) -> Result<Vec<Option<Tensor>>, Failed> {
        let invalid = || io::Error::from(io::ErrorKind::InvalidData);
        let count = u32::from_le_bytes(self.number()?);
        if count > MOST_TENSORS {
            return Err(invalid().into());
        }
        let mut tensors = Vec::new();
        for _ in 0..count {
            if self.number::<1>()? == [0] {
                tensors.push(None);
                continue;
            }
            let [said] = self.number::<1>()?;
            let all = [Precision::F32, Precision::Bf16, Precision::F16];
            let precision = all.into_iter().find(|precision| code(*precision) == said).ok_or_else(invalid)?;
            let [height, width, channels] = [self.number()?, self.number()?, self.number()?].map(u64::from_le_bytes);
            let values = height.checked_mul(width).and_then(|pixels| pixels.checked_mul(channels));
            let bytes = values.and_then(|values| values.checked_mul(precision.bytes() as u64)).ok_or_else(invalid)?;
            let values = self.bytes(bytes)?;
            let shape = Shape::new(height as usize, width as usize, channels as usize);
            tensors.push(Some(engine.from_bytes(shape, precision, &values).map_err(Failed::Engine)?));
        }
        let hash = self.hash.finish();
        if u64::from_le_bytes(self.number()?) != hash || self.left > 0 {
            return Err(invalid().into());
        }
        Ok(tensors)
    }
}

#[cfg(test)]
mod tests {
    use framelift_engine::HostTensor;
    use framelift_engine::reference::ReferenceEngine;

    use super::*;

    #[test]
    fn tensors_come_back_to_the_bit_and_damage_is_seen() {
        let engine = ReferenceEngine::new();
        let tensor = |n: usize, precision| {
            let value = |y: usize, x: usize, c: usize| ((y * 31 + x * 17 + c * 7 + n) % 101) as f32 * 0.137 - 3.0;
            engine.from_host(&HostTensor::from_fn(Shape::new(67, 3, 2), value), precision).unwrap()
        };
        let tensors =
            [Some(tensor(1, Precision::F32)), None, Some(tensor(2, Precision::Bf16)), Some(tensor(3, Precision::F16))];
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        write(&path, &engine, tensors.iter().cloned().map(Ok)).unwrap();
        let back = read(&path, &engine).unwrap();
        let bytes = |tensors: &[Option<Tensor>]| -> Vec<Option<Vec<u8>>> {
            tensors.iter().map(|t| t.as_ref().map(|t| engine.to_bytes(t).unwrap())).collect()
        };
        assert_eq!(bytes(&back), bytes(&tensors));
        let precisions = |tensors: &[Option<Tensor>]| -> Vec<Option<Precision>> {
            tensors.iter().map(|tensor| tensor.as_ref().map(Tensor::precision)).collect()
        };
        assert_eq!(precisions(&back), precisions(&tensors));
        let written = std::fs::read(&path).unwrap();
        for at in (0..written.len()).step_by(13) {
            let mut changed = written.clone();
            changed[at] ^= 0x80;
            std::fs::write(&path, changed).unwrap();
            assert!(read(&path, &engine).is_err(), "byte {at}");
            std::fs::write(&path, &written[..at]).unwrap();
            assert!(read(&path, &engine).is_err(), "{at} bytes");
        }
    }
}
