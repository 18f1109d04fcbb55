//! A flag that ends FFmpeg's waiting.

use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock};

use ffmpeg_next::ffi;

/// Asked by FFmpeg, over and over, whether to go on waiting.
///
/// FFmpeg keeps a pointer to it: it must not move while a context that was given [`Interrupt::callback`] lives.
pub(crate) struct Interrupt {
    flag: RwLock<Option<Arc<AtomicBool>>>,
}

impl Interrupt {
    pub(crate) fn new(flag: Option<Arc<AtomicBool>>) -> Self {
        Self { flag: RwLock::new(flag) }
    }

    pub(crate) fn set_flag(&self, flag: Arc<AtomicBool>) {
        if let Ok(mut slot) = self.flag.write() {
            *slot = Some(flag);
        }
    }

    pub(crate) fn is_set(&self) -> bool {
        self.flag.read().is_ok_and(|flag| flag.as_ref().is_some_and(|flag| flag.load(Ordering::Relaxed)))
    }

    pub(crate) fn callback(&self) -> ffi::AVIOInterruptCB {
        ffi::AVIOInterruptCB { callback: Some(ask), opaque: std::ptr::from_ref(self).cast_mut().cast() }
    }
}

unsafe extern "C" fn ask(opaque: *mut c_void) -> c_int {
    // SAFETY: FFmpeg gives back the pointer of `callback`, and the interrupt outlives the context.
    let interrupt = unsafe { &*opaque.cast::<Interrupt>() };
    c_int::from(interrupt.is_set())
}
