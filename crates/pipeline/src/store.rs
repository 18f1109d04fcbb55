//! Where features wait that do not fit in memory: a scratch file without a name, which is gone with the process.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;
use std::sync::Arc;

use framelift_engine::{Engine, EngineError, Precision, Shape, Tensor};
use framelift_nets::{FeatureId, FeatureStore};

/// A feature and where it waits.
enum Kept {
    Memory(Tensor),
    Host { values: Vec<u8>, shape: Shape, precision: Precision },
    Scratch { at: u64, bytes: u64, shape: Shape, precision: Precision },
}

/// Keeps features in memory up to a share, and the rest in a scratch file, with the very bits they have. Where the engine's
/// memory is its device's own, the host's memory comes between the two.
///
/// What is put first stays in memory: every pass over a window asks for each feature about as often, so that it matters
/// little which lie where.
pub(crate) struct ScratchStore {
    engine: Arc<dyn Engine>,
    memory_bytes: u64,
    used_bytes: u64,
    /// Bytes that may wait in the host's memory, and those that do.
    host_limit_bytes: u64,
    host_bytes: u64,
    /// Whether the device had less memory than planned: then nothing is kept there.
    crowded: bool,
    /// Where the file is made when it is first needed; `None` where features must not leave memory.
    folder: Option<PathBuf>,
    file: Option<File>,
    /// Where in the file there is room again, by its length.
    holes: BTreeMap<u64, Vec<u64>>,
    end: u64,
    most_bytes: u64,
    features: BTreeMap<FeatureId, Kept>,
    next: u64,
}

impl ScratchStore {
    /// An empty store that holds up to `memory_bytes` in memory.
    pub(crate) fn new(engine: Arc<dyn Engine>, memory_bytes: u64, folder: Option<PathBuf>) -> Self {
        Self {
            engine,
            memory_bytes,
            used_bytes: 0,
            host_limit_bytes: 0,
            host_bytes: 0,
            crowded: false,
            folder,
            file: None,
            holes: BTreeMap::new(),
            end: 0,
            most_bytes: 0,
            features: BTreeMap::new(),
            next: 0,
        }
    }

    /// Lets up to `host_bytes` wait in the host's memory before any go to the file.
    pub(crate) fn with_host(mut self, host_bytes: u64) -> Self {
        self.host_limit_bytes = host_bytes;
        self
    }

    /// From the next reset on keeps nothing in the engine's memory. Says whether that is news.
    pub(crate) fn crowd_out(&mut self) -> bool {
        self.folder.is_some() && !std::mem::replace(&mut self.crowded, true)
    }

    /// Forgets everything kept, and what the file held; from now on up to `memory_bytes` stay in memory.
    pub(crate) fn reset(&mut self, memory_bytes: u64) {
        self.features.clear();
        self.holes.clear();
        let memory_bytes = if self.crowded { 0 } else { memory_bytes };
        (self.memory_bytes, self.used_bytes, self.host_bytes, self.end) = (memory_bytes, 0, 0, 0);
    }

    /// The most bytes that have lain in the scratch file.
    #[cfg(test)]
    pub(crate) fn scratch_bytes(&self) -> u64 {
        self.most_bytes
    }

    /// Bytes of a tensor as [`Engine::to_bytes`] gives them.
    fn size_bytes(tensor: &Tensor) -> u64 {
        (tensor.shape().len() * tensor.precision().bytes()) as u64
    }

    fn write(&mut self, tensor: &Tensor) -> Result<Kept, EngineError> {
        let values = self.engine.to_bytes(tensor)?;
        let bytes = values.len() as u64;
        if self.host_bytes + bytes <= self.host_limit_bytes {
            self.host_bytes += bytes;
            return Ok(Kept::Host { values, shape: tensor.shape(), precision: tensor.precision() });
        }
        let hole = self.holes.get_mut(&bytes).and_then(Vec::pop);
        let at = hole.unwrap_or(self.end);
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                let folder = self.folder.as_deref().unwrap_or(std::path::Path::new("."));
                none.insert(tempfile::tempfile_in(folder).map_err(EngineError::Scratch)?)
            }
        };
        let written = file.seek(SeekFrom::Start(at)).and_then(|_| file.write_all(&values));
        written.map_err(EngineError::Scratch)?;
        self.end = self.end.max(at + bytes);
        self.most_bytes = self.most_bytes.max(self.end);
        Ok(Kept::Scratch { at, bytes, shape: tensor.shape(), precision: tensor.precision() })
    }
}

impl FeatureStore for ScratchStore {
    fn put(&mut self, feature: Tensor) -> Result<FeatureId, EngineError> {
        let bytes = Self::size_bytes(&feature);
        let kept = if self.folder.is_none() || self.used_bytes + bytes <= self.memory_bytes {
            self.used_bytes += bytes;
            Kept::Memory(feature)
        } else {
            self.write(&feature)?
        };
        let id = FeatureId(self.next);
        self.next += 1;
        self.features.insert(id, kept);
        Ok(id)
    }

    fn get(&mut self, id: FeatureId) -> Result<Tensor, EngineError> {
        match (self.features.get(&id), &mut self.file) {
            (Some(Kept::Memory(tensor)), _) => Ok(tensor.clone()),
            (Some(Kept::Host { values, shape, precision }), _) => self.engine.from_bytes(*shape, *precision, values),
            (Some(Kept::Scratch { at, bytes, shape, precision }), Some(file)) => {
                let mut values = vec![0; *bytes as usize];
                let read = file.seek(SeekFrom::Start(*at)).and_then(|_| file.read_exact(&mut values));
                read.map_err(EngineError::Scratch)?;
                self.engine.from_bytes(*shape, *precision, &values)
            }
            _ => Err(EngineError::Shape(format!("feature {} is not kept", id.0))),
        }
    }

    fn release(&mut self, id: FeatureId) {
        match self.features.remove(&id) {
            Some(Kept::Memory(tensor)) => self.used_bytes -= Self::size_bytes(&tensor),
            Some(Kept::Host { values, .. }) => self.host_bytes -= values.len() as u64,
            Some(Kept::Scratch { at, bytes, .. }) => self.holes.entry(bytes).or_default().push(at),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use framelift_engine::HostTensor;
    use framelift_engine::reference::ReferenceEngine;

    use super::*;

    fn feature(engine: &dyn Engine, n: usize, precision: Precision) -> Tensor {
        let value = |y: usize, x: usize, c: usize| ((y * 31 + x * 17 + c * 7 + n) % 101) as f32 * 0.137 - 3.0;
        engine.from_host(&HostTensor::from_fn(Shape::new(3, 5, 20), value), precision).unwrap()
    }

    #[test]
    fn what_is_spilled_comes_back_to_the_bit() {
        let engine: Arc<dyn Engine> = Arc::new(ReferenceEngine::new());
        let folder = tempfile::tempdir().unwrap();
        for precision in [Precision::F32, Precision::Bf16] {
            let bytes = (3 * 5 * 20 * precision.bytes()) as u64;
            let mut store = ScratchStore::new(engine.clone(), 2 * bytes, Some(folder.path().into()));
            let put = |store: &mut ScratchStore, n| store.put(feature(&*engine, n, precision)).unwrap();
            let ids: Vec<FeatureId> = (0..6).map(|n| put(&mut store, n)).collect();
            let same = |store: &mut ScratchStore, id, n| {
                let (got, due) = (store.get(id).unwrap(), feature(&*engine, n, precision));
                assert_eq!(engine.to_bytes(&got).unwrap(), engine.to_bytes(&due).unwrap());
                assert_eq!((got.shape(), got.precision()), (due.shape(), due.precision()));
            };
            for n in (0..6).rev() {
                same(&mut store, ids[n], n);
            }
            assert_eq!(store.scratch_bytes(), 4 * bytes);
            store.release(ids[3]);
            assert!(store.get(ids[3]).is_err(), "released");
            let again = put(&mut store, 9);
            assert_eq!(store.scratch_bytes(), 4 * bytes, "room is used again");
            same(&mut store, again, 9);
            same(&mut store, ids[4], 4);
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "the file has no name");
        }
    }

    #[test]
    fn the_hosts_memory_comes_before_the_file() {
        let engine: Arc<dyn Engine> = Arc::new(ReferenceEngine::new());
        let folder = tempfile::tempdir().unwrap();
        let bytes = 3 * 5 * 20 * 4;
        let mut store = ScratchStore::new(engine.clone(), bytes, Some(folder.path().into())).with_host(2 * bytes);
        let put = |store: &mut ScratchStore, n| store.put(feature(&*engine, n, Precision::F32)).unwrap();
        let same = |store: &mut ScratchStore, id, n| {
            let (got, due) = (store.get(id).unwrap(), feature(&*engine, n, Precision::F32));
            assert_eq!(engine.to_bytes(&got).unwrap(), engine.to_bytes(&due).unwrap());
        };
        let ids: Vec<FeatureId> = (0..4).map(|n| put(&mut store, n)).collect();
        assert_eq!((store.used_bytes, store.host_bytes, store.scratch_bytes()), (bytes, 2 * bytes, bytes));
        (0..4).for_each(|n| same(&mut store, ids[n], n));
        store.release(ids[1]);
        let again = put(&mut store, 7);
        assert_eq!((store.host_bytes, store.scratch_bytes()), (2 * bytes, bytes), "room is used again");
        same(&mut store, again, 7);

        assert!(store.crowd_out() && !store.crowd_out());
        store.reset(u64::MAX);
        let id = put(&mut store, 5);
        assert_eq!((store.used_bytes, store.host_bytes), (0, bytes), "nothing stays on a device that has no room");
        same(&mut store, id, 5);
    }

    #[test]
    fn without_a_folder_everything_stays_in_memory() {
        let engine: Arc<dyn Engine> = Arc::new(ReferenceEngine::new());
        let mut store = ScratchStore::new(engine.clone(), 0, None);
        let id = store.put(feature(&*engine, 1, Precision::F32)).unwrap();
        assert!(store.get(id).is_ok() && store.scratch_bytes() == 0);
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error_of_the_disk() {
        let engine: Arc<dyn Engine> = Arc::new(ReferenceEngine::new());
        let mut store = ScratchStore::new(engine.clone(), 0, Some("no/such/folder".into()));
        let error = store.put(feature(&*engine, 1, Precision::F32)).unwrap_err();
        assert!(matches!(error, EngineError::Scratch(_)), "{error}");
    }
}
