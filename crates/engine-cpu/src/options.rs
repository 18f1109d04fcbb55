//! How an engine is set up.

use std::thread::available_parallelism;

use crate::Isa;

/// The environment variable that caps the instructions used.
const CAP_VARIABLE: &str = "FRAMELIFT_CPU";

/// What can keep an engine from being set up.
#[derive(Debug, thiserror::Error)]
pub enum CpuError {
    /// A cap that is not a known name.
    #[error(
        "FRAMELIFT_CPU is '{name}', which is no instruction set; use portable, neon, avx2, avx512 or avx512bf16, or unset it"
    )]
    UnknownIsa {
        /// What was asked for.
        name: String,
    },
    /// A cap of another architecture.
    #[error("FRAMELIFT_CPU is '{}', which this program for {architecture} cannot use; use portable, or unset it", isa.name())]
    ForeignIsa {
        /// What was asked for.
        isa: Isa,
        /// The architecture of this build.
        architecture: &'static str,
    },
    /// The system did not give the threads.
    #[error("{threads} worker threads could not be started; use fewer")]
    Threads {
        /// How many were asked for.
        threads: usize,
        /// What the system said.
        source: rayon::ThreadPoolBuildError,
    },
}

/// How an engine is set up. The default: all processors, the best instructions, memory without limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CpuOptions {
    /// Worker threads; as many as there are processors where `None`.
    pub threads: Option<usize>,
    /// The best instructions that may be used; all where `None`.
    pub isa: Option<Isa>,
    /// The most bytes that tensors, weights and buffers may take together; no limit where `None`.
    pub memory_limit_bytes: Option<usize>,
}

impl CpuOptions {
    /// The default, with the cap of the environment variable `FRAMELIFT_CPU` where it is set and not empty.
    ///
    /// # Errors
    /// [`CpuError::UnknownIsa`] where its value is none of [`Isa::name`].
    pub fn from_env() -> Result<Self, CpuError> {
        let value = std::env::var_os(CAP_VARIABLE).unwrap_or_default();
        Self::with_cap(&value.to_string_lossy())
    }

    /// The default, capped at the instruction set of this name; not capped where it is empty.
    fn with_cap(name: &str) -> Result<Self, CpuError> {
        let isa = if name.is_empty() { None } else { Some(name.parse()?) };
        Ok(Self { isa, ..Self::default() })
    }

    /// Worker threads, at least one.
    pub(crate) fn thread_count(&self) -> usize {
        self.threads.unwrap_or_else(|| available_parallelism().map_or(1, usize::from)).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cap_is_read_and_a_bad_one_refused() {
        assert_eq!(CpuOptions::with_cap("").unwrap(), CpuOptions::default());
        assert_eq!(CpuOptions::with_cap("avx2").unwrap().isa, Some(Isa::Avx2));
        assert!(matches!(CpuOptions::with_cap("AVX 2"), Err(CpuError::UnknownIsa { .. })));
    }
}
