//! FFmpeg's log, brought to `tracing` (target `ffmpeg`) instead of standard error.
//!
//! The last complaint on each thread is kept, so that an error can say more than FFmpeg's return code does.

use std::cell::RefCell;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, Once, PoisonError};

use ffmpeg_next::ffi;

/// Lines longer than this are cut.
const LINE_BYTES: usize = 1024;

/// Complaints kept a thread.
const KEPT_LINES: usize = 4;

type Callback = unsafe extern "C" fn(*mut c_void, c_int, *const c_char, *mut c_void);

// The variable arguments travel as one pointer on every platform FFmpeg is built for, but the bindings give
// that pointer a type which differs between them.
unsafe extern "C" {
    fn av_log_set_callback(callback: Option<Callback>);
    fn av_log_format_line2(
        context: *mut c_void,
        level: c_int,
        format: *const c_char,
        arguments: *mut c_void,
        line: *mut c_char,
        line_bytes: c_int,
        print_prefix: *mut c_int,
    ) -> c_int;
}

thread_local! {
    static COMPLAINTS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Sends FFmpeg's log to `tracing` from now on. Every entry point of the crate calls it.
pub(crate) fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: the callback has the type FFmpeg wants and lives as long as the program.
        unsafe { av_log_set_callback(Some(forward)) };
    });
}

/// Complaints of decoders so far, on whatever threads they run: some say only here that data is damaged.
static FAULTS: AtomicU64 = AtomicU64::new(0);

/// How often decoders of this process have complained.
pub(crate) fn faults() -> u64 {
    FAULTS.load(Ordering::Relaxed)
}

/// Whether a line begins with the name of a decoder.
fn is_of_decoder(text: &str) -> bool {
    let Some((name, _)) = text.split_once(": ") else { return false };
    let name = crate::raw::c_string(name);
    // SAFETY: a terminated string.
    !unsafe { ffi::avcodec_find_decoder_by_name(name.as_ptr()) }.is_null()
}

/// The last complaint on any thread: encoders have threads of their own.
static LATEST: Mutex<Option<String>> = Mutex::new(None);

/// What the encoder or decoder `name` complained of, where that was the last complaint of all.
pub(crate) fn latest_of(name: &str) -> Option<String> {
    let latest = LATEST.lock().unwrap_or_else(PoisonError::into_inner).clone();
    latest?.strip_prefix(name)?.strip_prefix(": ").map(str::to_owned)
}

/// Forgets the complaints of this thread: called before an operation whose error will ask for them.
pub(crate) fn clear() {
    let _ = COMPLAINTS.try_with(|lines| lines.borrow_mut().clear());
}

/// The last complaint on this thread since [`clear`], which it also forgets.
pub(crate) fn take_last() -> Option<String> {
    COMPLAINTS
        .try_with(|lines| {
            let mut lines = lines.borrow_mut();
            let last = lines.pop();
            lines.clear();
            last
        })
        .ok()
        .flatten()
}

/// All complaints on this thread since [`clear`], oldest first, which it also forgets.
pub(crate) fn take_all() -> Vec<String> {
    COMPLAINTS.try_with(|lines| std::mem::take(&mut *lines.borrow_mut())).unwrap_or_default()
}

unsafe extern "C" fn forward(context: *mut c_void, level: c_int, format: *const c_char, arguments: *mut c_void) {
    let level = level & 0xff;
    if level > ffi::AV_LOG_DEBUG
        || (level > ffi::AV_LOG_WARNING && !tracing::enabled!(target: "ffmpeg", tracing::Level::DEBUG))
    {
        return;
    }
    let mut line = [0; LINE_BYTES];
    let mut print_prefix = 1;
    // SAFETY: FFmpeg calls with a valid context, format and arguments; the buffer's true length is given and
    // the line is always terminated.
    let text = unsafe {
        av_log_format_line2(
            context,
            level,
            format,
            arguments,
            line.as_mut_ptr(),
            LINE_BYTES as c_int,
            &raw mut print_prefix,
        );
        CStr::from_ptr(line.as_ptr()).to_string_lossy()
    };
    let text = without_address(text.trim());
    if text.is_empty() {
        return;
    }
    if level <= ffi::AV_LOG_ERROR {
        *LATEST.lock().unwrap_or_else(PoisonError::into_inner) = Some(text.clone());
        FAULTS.fetch_add(u64::from(is_of_decoder(&text)), Ordering::Relaxed);
        let _ = COMPLAINTS.try_with(|lines| {
            if let Ok(mut lines) = lines.try_borrow_mut() {
                if lines.len() == KEPT_LINES {
                    lines.remove(0);
                }
                lines.push(text.clone());
            }
        });
    }
    if level <= ffi::AV_LOG_ERROR {
        tracing::error!(target: "ffmpeg", "{text}");
    } else if level <= ffi::AV_LOG_WARNING {
        tracing::warn!(target: "ffmpeg", "{text}");
    } else if level <= ffi::AV_LOG_VERBOSE {
        tracing::debug!(target: "ffmpeg", "{text}");
    } else {
        tracing::trace!(target: "ffmpeg", "{text}");
    }
}

/// Drops the memory address from a prefix such as `[libx264 @ 0x55d0c8e0] `.
fn without_address(line: &str) -> String {
    let Some((name, rest)) = line.strip_prefix('[').and_then(|line| line.split_once(" @ 0x")) else {
        return line.to_owned();
    };
    match rest.split_once("] ") {
        Some((_, text)) => format!("{name}: {}", without_address(text)),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_lose_their_addresses() {
        assert_eq!(
            without_address("[mov,mp4 @ 0x5581] [h264 @ 0x7f00] moov atom not found"),
            "mov,mp4: h264: moov atom not found"
        );
        assert_eq!(without_address("plain"), "plain");
    }

    #[test]
    fn decoders_are_known_by_name() {
        assert!(is_of_decoder("h264: error while decoding MB 9 0"));
        assert!(!is_of_decoder("mov,mp4: moov atom not found") && !is_of_decoder("plain"));
    }

    #[test]
    fn complaints_are_kept_for_the_thread_that_caused_them() {
        install();
        clear();
        let text = c"value %d is out of bounds\n";
        // SAFETY: the format takes one int, which is given.
        unsafe { ffi::av_log(std::ptr::null_mut(), ffi::AV_LOG_ERROR, text.as_ptr(), 7 as c_int) };
        assert_eq!(std::thread::spawn(take_last).join().unwrap(), None);
        assert_eq!(take_last().as_deref(), Some("value 7 is out of bounds"));
        assert_eq!(take_last(), None);
    }
}
