//! A network on an engine, in its working precision and, where that overflows, in f32.

use std::sync::{Arc, Mutex, PoisonError};

use framelift_engine::{Engine, EngineError, Precision};
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
        Ok(Self { engine, network, precision, prepare: Arc::new(prepare), full: Arc::default() })
    }

    /// Where it computes.
    #[must_use]
    pub fn engine(&self) -> &Arc<dyn Engine> {
        &self.engine
    }

    /// The network in its working precision.
    #[must_use]
    pub fn network(&self) -> &Arc<dyn Network> {
        &self.network
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
