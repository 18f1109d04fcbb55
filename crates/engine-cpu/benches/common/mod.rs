//! What the benchmarks share: command line, clock, random values.

use std::time::{Duration, Instant};

use framelift_engine_cpu::CpuOptions;

/// What the command line and the environment ask for.
pub(crate) struct Setup {
    pub(crate) options: CpuOptions,
    pub(crate) stopwatch: Stopwatch,
    /// Measure only what has this in its name.
    pub(crate) filter: String,
}

impl Setup {
    /// `[SECONDS] [--only=NAME] [--cpu-time] [--threads=N]`, and `FRAMELIFT_CPU`. Without SECONDS `seconds` a figure.
    pub(crate) fn new(seconds: f64) -> Self {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        let seconds = arguments.iter().find_map(|argument| argument.parse().ok()).unwrap_or(seconds);
        let threads = arguments.iter().find_map(|argument| argument.strip_prefix("--threads=")?.parse().ok());
        let threads = threads.unwrap_or_else(|| std::thread::available_parallelism().unwrap().get());
        let filter = arguments.iter().find_map(|argument| argument.strip_prefix("--only=")).unwrap_or("").to_owned();
        let cpu_time = arguments.iter().any(|argument| argument == "--cpu-time");
        let stopwatch =
            Stopwatch { budget: Duration::from_secs_f64(seconds), cpu_time_of: cpu_time.then_some(threads) };
        Self { options: CpuOptions { threads: Some(threads), ..CpuOptions::from_env().unwrap() }, stopwatch, filter }
    }
}

/// Takes the least time of several runs.
pub(crate) struct Stopwatch {
    pub(crate) budget: Duration,
    /// Count processor time, divided by so many threads, in place of wall time: for machines with other work.
    cpu_time_of: Option<usize>,
}

impl Stopwatch {
    /// The least time of `work` in seconds, after one run to warm up.
    pub(crate) fn least_seconds(&self, mut work: impl FnMut()) -> f64 {
        work();
        let (start, mut least) = (Instant::now(), f64::INFINITY);
        while start.elapsed() < self.budget {
            let (wall, cpu) = (Instant::now(), cpu_seconds());
            work();
            least = least.min(match self.cpu_time_of {
                Some(threads) => (cpu_seconds() - cpu) / threads as f64,
                None => wall.elapsed().as_secs_f64(),
            });
        }
        least
    }
}

/// Processor time that the process has used; 0 where the system does not say.
fn cpu_seconds() -> f64 {
    #[cfg(target_os = "linux")]
    {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: writes one `timespec`.
        unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
        time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
    }
    #[cfg(not(target_os = "linux"))]
    0.0
}

/// `len` values in ±`gain` / 2.
pub(crate) fn random(seed: usize, len: usize, gain: f32) -> Vec<f32> {
    let value = |i: usize| ((i * 2_654_435_761 + seed * 40_503) % 65_521) as f32 / 65_521.0 - 0.5;
    (0..len).map(|i| value(i) * gain).collect()
}
