//! Standard input as a source for FFmpeg, whose waiting can be interrupted.

use std::ffi::{c_int, c_void};
use std::ptr;

use ffmpeg_next::ffi;

use crate::MediaError;
use crate::error::Code;
use crate::interrupt::Interrupt;
use crate::raw::out_of_memory;

/// Bytes read at once.
const BUFFER_BYTES: usize = 1 << 18;

/// How long a wait lasts before the interrupt is asked again.
#[cfg(unix)]
const PATIENCE_MS: c_int = 50;

/// A reader of standard input. It must outlive the format context it is given to.
pub(crate) struct StandardInput(*mut ffi::AVIOContext);

impl StandardInput {
    /// The interrupt must outlive the reader.
    pub(crate) fn new(interrupt: &Interrupt) -> Result<Self, MediaError> {
        // SAFETY: the buffer is FFmpeg's own, as it may exchange it; `read` has the type FFmpeg wants and gets
        // the interrupt back as its argument.
        unsafe {
            let buffer = ffi::av_malloc(BUFFER_BYTES).cast::<u8>();
            if buffer.is_null() {
                return Err(out_of_memory());
            }
            let opaque = ptr::from_ref(interrupt).cast_mut().cast();
            let context = ffi::avio_alloc_context(buffer, BUFFER_BYTES as c_int, 0, opaque, Some(read), None, None);
            if context.is_null() {
                ffi::av_free(buffer.cast());
                return Err(out_of_memory());
            }
            Ok(Self(context))
        }
    }

    pub(crate) fn as_ptr(&self) -> *mut ffi::AVIOContext {
        self.0
    }
}

impl Drop for StandardInput {
    fn drop(&mut self) {
        // SAFETY: the context is ours, and nothing reads from it any more.
        unsafe {
            ffi::av_freep((&raw mut (*self.0).buffer).cast());
            ffi::avio_context_free(&raw mut self.0);
        }
    }
}

unsafe extern "C" fn read(opaque: *mut c_void, buffer: *mut u8, bytes: c_int) -> c_int {
    // SAFETY: the pointer is that of `StandardInput::new`, whose interrupt outlives the reader.
    let interrupt = unsafe { &*opaque.cast::<Interrupt>() };
    let room = usize::try_from(bytes).unwrap_or(0);
    loop {
        if interrupt.is_set() {
            return Code::EXIT.0;
        }
        #[cfg(unix)]
        {
            let mut waiting = libc::pollfd { fd: libc::STDIN_FILENO, events: libc::POLLIN, revents: 0 };
            // SAFETY: one valid entry.
            match unsafe { libc::poll(&raw mut waiting, 1, PATIENCE_MS) } {
                0 => continue,
                -1 if last_errno() == libc::EINTR => continue,
                _ => {}
            }
        }
        // SAFETY: FFmpeg's buffer has room for that many bytes.
        let got = unsafe { libc::read(0, buffer.cast(), room as _) };
        match got {
            0 => return Code::EOF.0,
            -1 => match last_errno() {
                libc::EINTR | libc::EAGAIN => {}
                errno => return ffi::AVERROR(errno),
            },
            got => return c_int::try_from(got).unwrap_or(c_int::MAX),
        }
    }
}

fn last_errno() -> c_int {
    std::io::Error::last_os_error().raw_os_error().unwrap_or(0)
}
