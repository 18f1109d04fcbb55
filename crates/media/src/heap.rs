//! What the heap gives an encoder, and what it keeps of what an encoder gives back.
//!
//! libx264 weighs frames against each other (its `mbtree`) by values that it has not always written before. What they are
//! is then up to the heap, and two encoders of the same pictures differ once one of them is not the first of its process.
//! With memory of zeros both make the same. glibc can be told to clear what it gives out; other C libraries cannot.
//!
//! What an encoder gives back lies scattered over the heaps of its threads, and the next one's threads have others: a film in
//! many pieces would take more memory the longer it is. So the pages go back to the system when an encoder is gone.

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod glibc {
    use std::ffi::c_int;
    use std::sync::{Mutex, PoisonError};

    /// How many are held now.
    static HELD: Mutex<usize> = Mutex::new(0);

    /// While it lives, blocks that this process allocates are cleared.
    pub(crate) struct CleanMemory(());

    impl CleanMemory {
        pub(crate) fn new() -> Self {
            let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
            if *held == 0 {
                // A block is filled with the complement of this byte.
                perturb(0xff);
            }
            *held += 1;
            Self(())
        }
    }

    impl Drop for CleanMemory {
        fn drop(&mut self) {
            let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
            *held -= 1;
            if *held == 0 {
                perturb(0);
            }
        }
    }

    /// Gives pages of the heap in which nothing lies back to the system: after work that took more than what follows.
    pub fn trim_heap() {
        // SAFETY: malloc_trim may be called at any time and from any thread, and moves nothing that is in use.
        unsafe { libc::malloc_trim(0) };
    }

    fn perturb(byte: c_int) {
        // SAFETY: mallopt may be called at any time and from any thread; this parameter only says what blocks hold when
        // they are given out and taken back, which nobody may count on.
        unsafe { libc::mallopt(libc::M_PERTURB, byte) };
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(crate) use glibc::CleanMemory;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub use glibc::trim_heap;

/// Nothing can be done here.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) struct CleanMemory(());

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
impl CleanMemory {
    pub(crate) fn new() -> Self {
        Self(())
    }
}

/// Nothing can be done here.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn trim_heap() {}
