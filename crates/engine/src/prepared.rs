//! What an engine made of an operation's fixed part and its weights.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use crate::{ConvSpec, DeformSpec, EngineError, Shape, Tensor};

/// A convolution prepared on an engine.
pub type Conv = Prepared<ConvSpec>;

/// A deformable convolution prepared on an engine.
pub type DeformConv = Prepared<DeformSpec>;

/// An operation prepared on an engine: weights rearranged, ready for any number of threads. Cheap to clone.
pub struct Prepared<S> {
    spec: Arc<S>,
    prepared: Arc<dyn Any + Send + Sync>,
}

impl<S> Prepared<S> {
    /// For engines: what `spec` became.
    pub fn new(spec: S, prepared: Arc<dyn Any + Send + Sync>) -> Self {
        Self { spec: Arc::new(spec), prepared }
    }

    /// What it was prepared from.
    #[must_use]
    pub fn spec(&self) -> &S {
        &self.spec
    }

    /// For engines: the prepared weights, if they are of type `P`.
    #[must_use]
    pub fn prepared<P: Any>(&self) -> Option<&P> {
        self.prepared.downcast_ref()
    }
}

impl DeformConv {
    /// The shape of what these tensors become, if they can be inputs, residues and flows of one call.
    ///
    /// # Errors
    /// What [`DeformSpec::check_call`] finds.
    pub fn check_call(&self, inputs: &[&Tensor], residues: &Tensor, flows: &[&Tensor]) -> Result<Shape, EngineError> {
        let shapes = |tensors: &[&Tensor]| tensors.iter().map(|tensor| tensor.shape()).collect::<Vec<Shape>>();
        let inputs = shapes(inputs);
        self.spec.check_call(&inputs, residues.shape(), &shapes(flows))?;
        Ok(Shape { channels: self.spec.out_channels, ..inputs[0] })
    }
}

impl<S> Clone for Prepared<S> {
    fn clone(&self) -> Self {
        Self { spec: Arc::clone(&self.spec), prepared: Arc::clone(&self.prepared) }
    }
}

impl<S: fmt::Debug> fmt::Debug for Prepared<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.spec.fmt(f)
    }
}
