//! A network on an engine, in its working precision and, where that overflows, in f32.

use std::sync::{Arc, Mutex, PoisonError};

use framelift_engine::{Engine, EngineError, Layout, Precision};
use framelift_nets::{Descriptor, Network};

/// Makes a network ready in a precision.
pub type Prepare = dyn Fn(Precision) -> Result<Arc<dyn Network>, EngineError> + Send + Sync;

/// A network ready on an engine. Clones share it.
#[derive(Clone)]
pub struct Model {
    engine: Arc<dyn Engine>,
    network: Arc<dyn Network>,
    precision: Precision,
    prepare: Arc<Prepare>,
    /// Prepared when it is first needed, then kept.
    full: Arc<Mutex<Option<Arc<dyn Network>>>>,
    /// The same network on other devices, which take shots of a film beside this one.
    others: Vec<Model>,
}

impl Model {
    /// The network that `prepare` makes ready on `engine`, to work in `precision`.
    ///
    /// # Errors
    /// Those of `prepare`.
    pub fn new(
        engine: Arc<dyn Engine>,
        precision: Precision,
        prepare: impl Fn(Precision) -> Result<Arc<dyn Network>, EngineError> + Send + Sync + 'static,
    ) -> Result<Self, EngineError> {
        let network = prepare(precision)?;
        Ok(Self { engine, network, precision, prepare: Arc::new(prepare), full: Arc::default(), others: Vec::new() })
    }

    /// With the same network on another device, which takes shots of a film beside this one. A [`Session`](crate::Session)
    /// works on the first device alone.
    #[must_use]
    pub fn beside(mut self, other: Self) -> Self {
        self.others.push(other);
        self
    }

    /// The network on each of its devices.
    pub(crate) fn on_each(&self) -> Vec<Self> {
        let first = Self { others: Vec::new(), ..self.clone() };
        std::iter::once(first).chain(self.others.iter().cloned()).collect()
    }

    /// How many devices it is on.
    #[must_use]
    pub fn devices(&self) -> usize {
        1 + self.others.len()
    }

    /// What tensors may take of a memory of the devices' own, on the one with the least; `None` where one has none.
    pub(crate) fn own_memory_bytes(&self) -> Option<u64> {
        let others = self.others.iter().map(|other| other.engine.own_memory_bytes());
        std::iter::once(self.engine.own_memory_bytes()).chain(others).min()?
    }

    /// Where it computes.
    #[must_use]
    pub fn engine(&self) -> &Arc<dyn Engine> {
        &self.engine
    }

    /// What it computes on, as each engine says it.
    pub(crate) fn engines(&self) -> Vec<String> {
        let engines = std::iter::once(&self.engine).chain(self.others.iter().map(|other| &other.engine));
        engines.map(|engine| engine.info().detail.clone()).collect()
    }

    /// The network in its working precision.
    #[must_use]
    pub fn network(&self) -> &Arc<dyn Network> {
        &self.network
    }

    /// How values are kept in its working precision.
    pub(crate) fn layout(&self) -> Layout {
        self.engine.layout(self.precision)
    }

    /// What the network is.
    #[must_use]
    pub fn descriptor(&self) -> &Descriptor {
        self.network.descriptor()
    }

    /// How features are kept.
    #[must_use]
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Bytes that the weights take: as they are in the file, and as the engine keeps them.
    #[must_use]
    pub fn weights_bytes(&self) -> u64 {
        4 * self.descriptor().parameters + self.engine.memory().used_bytes as u64
    }

    /// The network in f32; `None` where it works in f32 already.
    pub(crate) fn in_full(&self) -> Result<Option<Arc<dyn Network>>, EngineError> {
        if self.precision == Precision::F32 {
            return Ok(None);
        }
        let mut full = self.full.lock().unwrap_or_else(PoisonError::into_inner);
        if full.is_none() {
            *full = Some((self.prepare)(Precision::F32)?);
        }
        Ok(full.clone())
    }
}
