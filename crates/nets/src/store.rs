//! Where the features of a window wait.

use std::collections::BTreeMap;

use framelift_engine::{EngineError, Tensor};

/// A feature in a [`FeatureStore`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FeatureId(pub u64);

/// Where a window's features wait until they are needed: in memory, or in a scratch file.
///
/// A network asks for features in an order that is the same for every window of a length: what a pass has put in, the
/// passes after it get one frame after another, forwards or backwards.
pub trait FeatureStore: Send {
    /// Keeps a feature; gives its number.
    ///
    /// # Errors
    /// Those of the memory or the file it goes to.
    fn put(&mut self, feature: Tensor) -> Result<FeatureId, EngineError>;

    /// The feature, with the bits it was given with. It stays kept.
    ///
    /// # Errors
    /// Those of the memory or the file it comes from; [`EngineError::Shape`] for a number that is not kept.
    fn get(&mut self, id: FeatureId) -> Result<Tensor, EngineError>;

    /// The feature is not needed any more.
    fn release(&mut self, id: FeatureId);
}

/// Features kept as they are, in the engine's memory.
#[derive(Debug, Default)]
pub struct MemoryStore {
    features: BTreeMap<FeatureId, Tensor>,
    next: u64,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Features kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.features.len()
    }

    /// Whether nothing is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.features.is_empty()
    }
}

impl FeatureStore for MemoryStore {
    fn put(&mut self, feature: Tensor) -> Result<FeatureId, EngineError> {
        let id = FeatureId(self.next);
        self.next += 1;
        self.features.insert(id, feature);
        Ok(id)
    }

    fn get(&mut self, id: FeatureId) -> Result<Tensor, EngineError> {
        let feature = self.features.get(&id).cloned();
        feature.ok_or_else(|| EngineError::Shape(format!("feature {} is not kept", id.0)))
    }

    fn release(&mut self, id: FeatureId) {
        self.features.remove(&id);
    }
}
