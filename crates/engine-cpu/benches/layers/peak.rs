//! The peak of the machine: independent chains of multiply-adds between registers, on every thread at once.

#![allow(unsafe_code, reason = "vector instructions")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use framelift_engine_cpu::Isa;

/// Multiply-adds in flight, enough to hide the latency of two units.
const CHAINS: usize = 12;

/// GFLOP/s of f32 multiply-adds with the instructions of `isa`, the most of any run within `budget`.
pub(crate) fn gflops(isa: Isa, threads: usize, budget: Duration) -> f64 {
    let repeats = 1_000_000;
    let (start, mut most) = (Instant::now(), 0.0_f64);
    while start.elapsed() < budget {
        let begin = Instant::now();
        let flops: usize = std::thread::scope(|scope| {
            let chains: Vec<_> = (0..threads).map(|_| scope.spawn(|| chains(isa, repeats))).collect();
            chains.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        most = most.max(flops as f64 / begin.elapsed().as_secs_f64() * 1e-9);
    }
    most
}

/// Runs the chains `repeats` times; gives the floating-point operations done.
fn chains(isa: Isa, repeats: usize) -> usize {
    let lanes = match isa {
        // SAFETY: an engine of this instruction set exists, so the processor has it.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 | Isa::Avx512Bf16 => unsafe { avx512(repeats) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => unsafe { avx2(repeats) },
        _ => plain(repeats),
    };
    2 * CHAINS * lanes * repeats
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn avx512(repeats: usize) -> usize {
    use std::arch::x86_64::{_mm512_fmadd_ps, _mm512_reduce_add_ps, _mm512_set1_ps};
    let factor = black_box(_mm512_set1_ps(0.5));
    let mut sums = [factor; CHAINS];
    for _ in 0..repeats {
        for sum in &mut sums {
            *sum = _mm512_fmadd_ps(*sum, factor, factor);
        }
    }
    black_box(sums.map(|sum| _mm512_reduce_add_ps(sum)));
    16
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2(repeats: usize) -> usize {
    use std::arch::x86_64::{_mm256_fmadd_ps, _mm256_set1_ps};
    let factor = black_box(_mm256_set1_ps(0.5));
    let mut sums = [factor; CHAINS];
    for _ in 0..repeats {
        for sum in &mut sums {
            *sum = _mm256_fmadd_ps(*sum, factor, factor);
        }
    }
    black_box(sums);
    8
}

/// Vectors as the compiler makes them; on x86-64 without a fused instruction, so as a product and a sum.
fn plain(repeats: usize) -> usize {
    let factor = black_box([0.5_f32; 4]);
    let mut sums = [factor; CHAINS];
    for _ in 0..repeats {
        for sum in &mut sums {
            for (value, factor) in sum.iter_mut().zip(factor) {
                *value = if cfg!(target_arch = "aarch64") {
                    value.mul_add(factor, factor)
                } else {
                    *value * factor + factor
                };
            }
        }
    }
    black_box(sums);
    4
}
