//! Turns the FFmpeg version that `ffmpeg-sys-next` found into `cfg(ffmpeg_X_Y)` switches.

use std::env;

/// The versions at which an interface that this crate uses changed.
const VERSIONS: [&str; 4] = ["ffmpeg_6_0", "ffmpeg_6_1", "ffmpeg_7_0", "ffmpeg_7_1"];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    for version in VERSIONS {
        println!("cargo::rustc-check-cfg=cfg({version})");
        if env::var(format!("DEP_FFMPEG_{}", version.to_uppercase())).as_deref() == Ok("true") {
            println!("cargo::rustc-cfg={version}");
        }
    }
}
