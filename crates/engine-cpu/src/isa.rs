//! Which instructions the kernels may use.

use std::fmt;
use std::str::FromStr;

use crate::CpuError;

/// A set of vector instructions, in the order of preference within an architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Isa {
    /// None: plain Rust.
    Portable,
    /// NEON, of 64-bit ARM.
    Neon,
    /// AVX2, FMA and F16C, of x86-64.
    Avx2,
    /// AVX-512 F, BW, DQ and VL, of x86-64.
    Avx512,
    /// AVX-512 with the bf16 dot product, of x86-64.
    Avx512Bf16,
}

impl Isa {
    /// All that are known, on any architecture.
    pub const ALL: [Self; 5] = [Self::Portable, Self::Neon, Self::Avx2, Self::Avx512, Self::Avx512Bf16];

    /// `portable`, `neon`, `avx2`, `avx512` or `avx512bf16`: the values of `FRAMELIFT_CPU`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Neon => "neon",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
            Self::Avx512Bf16 => "avx512bf16",
        }
    }

    /// Whether this processor has it.
    #[must_use]
    pub fn is_available(self) -> bool {
        match self {
            Self::Portable => true,
            #[cfg(target_arch = "aarch64")]
            Self::Neon => std::arch::is_aarch64_feature_detected!("neon"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => {
                is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c")
            }
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => {
                Self::Avx2.is_available()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
            }
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Bf16 => Self::Avx512.is_available() && is_x86_feature_detected!("avx512bf16"),
            _ => false,
        }
    }

    /// Whether the architecture of this build could have it.
    fn is_of_this_architecture(self) -> bool {
        match self {
            Self::Portable => true,
            Self::Neon => cfg!(target_arch = "aarch64"),
            Self::Avx2 | Self::Avx512 | Self::Avx512Bf16 => cfg!(target_arch = "x86_64"),
        }
    }

    /// The best that this processor has, at most `cap`.
    ///
    /// # Errors
    /// [`CpuError::ForeignIsa`] where `cap` is of another architecture.
    pub fn best(cap: Option<Self>) -> Result<Self, CpuError> {
        if let Some(cap) = cap.filter(|cap| !cap.is_of_this_architecture()) {
            return Err(CpuError::ForeignIsa { isa: cap, architecture: std::env::consts::ARCH });
        }
        let allowed = |isa: &Self| cap.is_none_or(|cap| *isa <= cap) && isa.is_available();
        Ok(Self::ALL.into_iter().rev().find(allowed).unwrap_or(Self::Portable))
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Portable => "no vector instructions",
            Self::Neon => "NEON",
            Self::Avx2 => "AVX2",
            Self::Avx512 => "AVX-512",
            Self::Avx512Bf16 => "AVX-512 BF16",
        })
    }
}

impl FromStr for Isa {
    type Err = CpuError;

    fn from_str(name: &str) -> Result<Self, CpuError> {
        Self::ALL.into_iter().find(|isa| isa.name() == name).ok_or_else(|| CpuError::UnknownIsa { name: name.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_others_are_refused() {
        for isa in Isa::ALL {
            assert_eq!(isa.name().parse::<Isa>().unwrap(), isa);
        }
        let error = "sse9".parse::<Isa>().unwrap_err().to_string();
        assert!(error.contains("sse9") && error.contains("avx512bf16"), "{error}");
    }

    #[test]
    fn a_cap_is_never_exceeded() {
        for cap in Isa::ALL {
            match Isa::best(Some(cap)) {
                Ok(isa) => assert!(isa <= cap && isa.is_available()),
                Err(error) => assert!(matches!(error, CpuError::ForeignIsa { .. })),
            }
        }
        assert_eq!(Isa::best(Some(Isa::Portable)).unwrap(), Isa::Portable);
    }
}
