//! What can go wrong on an engine.

/// An engine's refusal or failure.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Shapes, channels or lengths do not fit together; a fault of the caller.
    #[error("tensors do not fit: {0}")]
    Shape(String),
    /// The engine cannot do this.
    #[error("{engine} cannot {what}")]
    Unsupported {
        /// The engine's name.
        engine: &'static str,
        /// What was asked.
        what: String,
    },
    /// Memory is at its limit.
    #[error(
        "{wanted_bytes} bytes are needed beside {used_bytes} in use, over the limit of {limit_bytes}; use a smaller frame or raise --memory"
    )]
    OutOfMemory {
        /// The allocation refused.
        wanted_bytes: usize,
        /// Bytes held by tensors at that moment.
        used_bytes: usize,
        /// The ceiling.
        limit_bytes: usize,
    },
    /// A result holds infinite values or NaN.
    #[error("{count} values of the result are not finite, first at column {x}, row {y}")]
    NonFinite {
        /// How many.
        count: usize,
        /// Column of the first.
        x: usize,
        /// Row of the first.
        y: usize,
    },
    /// The file that features wait in could not be written or read back.
    #[error(
        "the scratch file for features that do not fit in memory failed: {0}; make room on its disk or raise --memory"
    )]
    Scratch(#[source] std::io::Error),
    /// Whoever takes results or hears of progress wants no more; why, it knows itself.
    #[error("stopped by the caller")]
    Stopped,
    /// The device failed, or is gone.
    #[error("the {engine} failed: {reason}; run again, with --device cpu if it stays so")]
    Device {
        /// The engine's name.
        engine: &'static str,
        /// What its driver said.
        reason: String,
    },
    /// A tensor or convolution of another engine was handed in; a fault of the caller.
    #[error("a {what} of another engine was handed to {engine}")]
    Foreign {
        /// `tensor` or `convolution`.
        what: &'static str,
        /// The engine that got it.
        engine: &'static str,
    },
}
