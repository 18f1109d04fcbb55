//! Films in and out through FFmpeg: the only crate that links it
