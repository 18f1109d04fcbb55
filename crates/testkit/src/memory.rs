//! How much memory the process has taken, as Linux counts it.

/// The most resident memory the process has had, in bytes (`VmHWM`); `None` where the system does not say.
#[must_use]
pub fn peak_bytes() -> Option<u64> {
    status_bytes("VmHWM:")
}

/// The resident memory of the process now, in bytes (`VmRSS`); `None` where the system does not say.
#[must_use]
pub fn resident_bytes() -> Option<u64> {
    status_bytes("VmRSS:")
}

/// Sets the peak back to what is resident now; `false` where the system does not let it be set.
pub fn reset_peak() -> bool {
    std::fs::write("/proc/self/clear_refs", "5").is_ok()
}

fn status_bytes(field: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_peak_outlives_the_allocation() {
        const BYTES: u64 = 64 << 20;
        let before = resident_bytes().unwrap();
        drop(std::hint::black_box(vec![1_u8; BYTES as usize]));
        assert!(peak_bytes().unwrap() >= before + BYTES / 2);
    }
}
