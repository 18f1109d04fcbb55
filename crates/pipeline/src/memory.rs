//! What memory there is, and what a run takes of it outside the network.
//!
//! Bytes everywhere. Figures of the encoders are of libx264 and libx265 as FFmpeg sets them up: pictures that wait for
//! rate control, in full size and in the small copies they are analysed in.

use std::path::Path;

use framelift_frame::Size;
use framelift_media::{OutputVideo, WriteOptions};
use framelift_shots::CutDetector;

/// Bytes of compressed packets between demux and its neighbours.
pub(crate) const PACKET_BYTES: usize = 8 << 20;

/// Bytes of a pixel of an RGB frame between the stages: three planes of 16 bits.
pub(crate) const FRAME_BYTES_PER_PIXEL: u64 = 6;

/// Frames of the input's size on each edge before the network.
pub(crate) const FRAMES_BEFORE: u64 = 3;

/// Frames of the output's size on each edge behind the network.
pub(crate) const FRAMES_BEHIND: u64 = 2;

/// Program, libraries, stacks and what allocators keep.
const PROCESS_BYTES: u64 = 64 << 20;

/// Pictures that a decoder keeps as references, and that its threads work on.
const DECODER_PICTURES: u64 = 24;

/// Planes of alpha that wait for the network: those of a window and of the edges.
const ALPHA_PLANES: u64 = 140;

/// Where the system does not say how much memory is free.
const UNKNOWN_LIMIT_BYTES: u64 = 4 << 30;

/// What a run may take where nobody said: three quarters of the memory that is free, whether the machine or the control
/// group is what limits it.
#[must_use]
pub fn default_limit_bytes() -> u64 {
    available_bytes().map_or(UNKNOWN_LIMIT_BYTES, |bytes| bytes / 4 * 3)
}

/// Memory that can be taken without swapping; `None` where the system does not say.
#[must_use]
pub fn available_bytes() -> Option<u64> {
    let machine = field_kib("/proc/meminfo", "MemAvailable:")?;
    Some(control_group_bytes().map_or(machine, |group| group.min(machine)))
}

/// The most memory that the process has had at once; `None` where the system does not say.
#[must_use]
pub fn peak_resident_bytes() -> Option<u64> {
    field_kib("/proc/self/status", "VmHWM:")
}

/// Bytes on the line of `file` that begins with `field` and counts in kB.
fn field_kib(file: &str, field: &str) -> Option<u64> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// What the control group and those it lies in leave; `None` where none of them sets a limit.
fn control_group_bytes() -> Option<u64> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let unified = groups.lines().find_map(|line| line.strip_prefix("0::/"));
    let root = Path::new("/sys/fs/cgroup");
    let second = unified.map(|path| root.join(path)).and_then(|folder| {
        let folders = folder.ancestors().take_while(|folder| folder.starts_with(root));
        folders.filter_map(|folder| left_in(folder, "memory.max", "memory.current", "inactive_file")).min()
    });
    let first = left_in(&root.join("memory"), "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file");
    first.into_iter().chain(second).min()
}

/// The limit of a group less what it uses, cached files not counted.
fn left_in(folder: &Path, limit: &str, used: &str, cached: &str) -> Option<u64> {
    let number = |name: &str| std::fs::read_to_string(folder.join(name)).ok()?.trim().parse::<u64>().ok();
    let limit = number(limit)?;
    let stat = std::fs::read_to_string(folder.join("memory.stat")).unwrap_or_default();
    let cached = stat.lines().find_map(|line| line.strip_prefix(cached)?.trim().parse::<u64>().ok());
    Some(limit.saturating_sub(number(used)?.saturating_sub(cached.unwrap_or(0))))
}

/// Bytes of a frame of `size` between the stages.
pub(crate) fn frame_bytes(size: Size) -> u64 {
    size.pixels() * FRAME_BYTES_PER_PIXEL
}

/// Bytes of a finished picture.
fn picture_bytes(output: &OutputVideo) -> u64 {
    let samples = output.size.pixels() as f64 * output.format.samples_per_pixel();
    samples as u64 * u64::from(output.format.depth.div_ceil(8))
}

/// What a run holds beside the network and its session: the program, decoder and encoder, and the edges between the
/// stages, for a film of `frames` frames of the size `input` that the network turns into frames of the size `network`.
#[must_use]
pub fn outside_network_bytes(
    input: Size,
    network: Size,
    frames: Option<u64>,
    output: &OutputVideo,
    write: &WriteOptions,
) -> u64 {
    let deep = if output.format.depth > 8 { 2 } else { 1 };
    // Not more than 16 bits a sample, 4:2:0: whatever else there is, is rare and has few references.
    let decoder = DECODER_PICTURES * input.pixels() * 3;
    let encoder = encoder_bytes_per_pixel(&output.encoder, write, frames.unwrap_or(u64::MAX)) * output.size.pixels();
    // Three edges, two frames in each stage at their ends, and those that wait to be known as a cut or not.
    let before = (3 * FRAMES_BEFORE + 4 + CutDetector::LOOKAHEAD as u64 + 1) * frame_bytes(input);
    let behind = (FRAMES_BEHIND + 2) * frame_bytes(network);
    let finished = (FRAMES_BEHIND + 2) * picture_bytes(output);
    let alpha = if output.format.alpha { ALPHA_PLANES * 2 * input.pixels() } else { 0 };
    PROCESS_BYTES + PACKET_BYTES as u64 + decoder + before + behind + alpha + finished + deep * encoder
}

/// The option by which libx264 is told how many pictures to look ahead.
const LOOK_AHEAD: &str = "rc-lookahead";

/// Pictures that an encoder may look ahead where memory is short, from many to few.
const SHORTER_LOOK_AHEADS: [u64; 3] = [20, 10, 0];

/// The same options with an encoder that looks fewer pictures ahead, at last on one thread, from more memory to less, each
/// with how far it looks; none where the encoder cannot. How far the user has it look is kept.
pub(crate) fn thriftier<'a>(
    encoder: &str,
    write: &'a WriteOptions,
) -> impl Iterator<Item = (u64, WriteOptions)> + use<'a> {
    let fixed = write.encoder_options.iter().any(|(key, _)| key == LOOK_AHEAD);
    let now = x264_look_ahead(write);
    let can = encoder == "libx264";
    let shorter = SHORTER_LOOK_AHEADS.into_iter().filter(move |look_ahead| can && !fixed && *look_ahead < now);
    let shorter = shorter.map(|look_ahead| {
        let mut thrifty = write.clone();
        thrifty.encoder_options.push((LOOK_AHEAD.to_owned(), look_ahead.to_string()));
        (look_ahead, thrifty)
    });
    let last = (can && x264_threads(write) > 1).then(|| {
        let (look_ahead, thrifty) = shorter.clone().next_back().unwrap_or_else(|| (now, write.clone()));
        (look_ahead, WriteOptions { encoder_threads: 1, ..thrifty })
    });
    shorter.chain(last)
}

/// [`outside_network_bytes`] with the encoder that takes the least: what a run in short memory may come to.
#[must_use]
pub fn least_outside_network_bytes(input: Size, network: Size, output: &OutputVideo, write: &WriteOptions) -> u64 {
    let thrifty = thriftier(&output.encoder, write).last().map(|(_, thrifty)| thrifty);
    outside_network_bytes(input, network, Some(1), output, thrifty.as_ref().unwrap_or(write))
}

/// Pictures that libx264 looks ahead.
fn x264_look_ahead(write: &WriteOptions) -> u64 {
    let said =
        write.encoder_options.iter().find(|(key, _)| key == LOOK_AHEAD).and_then(|(_, value)| value.parse().ok());
    said.unwrap_or(match write.preset.as_deref().unwrap_or("medium") {
        "ultrafast" | "superfast" => 0,
        "veryfast" => 10,
        "faster" => 20,
        "fast" => 30,
        "slow" => 50,
        "slower" | "veryslow" | "placebo" => 60,
        _ => 40,
    })
}

/// Threads that libx264 works on: as many as it is told, or half as many again as there are processors.
fn x264_threads(write: &WriteOptions) -> u64 {
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let threads = if write.encoder_threads > 0 { write.encoder_threads } else { processors * 3 / 2 };
    threads as u64
}

/// Bytes that an encoder of 8-bit pictures holds for each pixel of one, of a film of so many frames.
fn encoder_bytes_per_pixel(encoder: &str, write: &WriteOptions, frames: u64) -> u64 {
    match encoder {
        // Each thread works on a picture of its own, kept with its planes of half pixels; those looked ahead at are kept once.
        "libx264" | "libx264rgb" => 72 + 10 * x264_threads(write) + x264_look_ahead(write).min(frames) * 13 / 4,
        "libx265" => {
            let look_ahead = match write.preset.as_deref().unwrap_or("medium") {
                "ultrafast" => 5,
                "superfast" => 10,
                "veryfast" | "faster" | "fast" => 15,
                "slow" => 25,
                "slower" | "veryslow" | "placebo" => 40,
                _ => 20,
            };
            30 + look_ahead.min(frames) * 8
        }
        "png" | "wrapped_avframe" => 20,
        _ => 200,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn the_system_says_what_is_free() {
        let free = available_bytes().unwrap();
        assert!(free > 1 << 20 && default_limit_bytes() <= free);
        assert!(peak_resident_bytes().unwrap() > 1 << 20);
    }

    #[test]
    fn an_encoder_short_of_memory_looks_less_far_ahead() {
        let of = |preset: Option<&str>, options: &[(&str, &str)]| {
            let encoder_options = options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            let preset = preset.map(str::to_owned);
            let write = WriteOptions { preset, encoder_options, encoder_threads: 3, ..WriteOptions::default() };
            let bytes = |write: &WriteOptions| encoder_bytes_per_pixel("libx264", write, 100);
            let thrifty: Vec<u64> = thriftier("libx264", &write).map(|(_, thrifty)| bytes(&thrifty)).collect();
            assert!(thrifty.iter().all(|less| *less < bytes(&write)) && thrifty.is_sorted_by(|a, b| a > b));
            thrifty.len()
        };
        assert_eq!(of(None, &[]), 4);
        assert_eq!(of(Some("veryfast"), &[]), 2);
        assert_eq!(of(Some("ultrafast"), &[]), 1);
        assert_eq!(of(None, &[("rc-lookahead", "50")]), 1, "what the user says is kept");
        assert_eq!(thriftier("ffv1", &WriteOptions::default()).count(), 0);
    }

    #[test]
    fn a_group_leaves_its_limit_less_what_is_used_and_not_cached() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        let left = || left_in(folder.path(), "memory.max", "memory.current", "inactive_file");
        write("memory.current", "700\n");
        write("memory.stat", "anon 300\ninactive_file 400\n");
        write("memory.max", "max\n");
        assert_eq!(left(), None);
        write("memory.max", "1000\n");
        assert_eq!(left(), Some(700));
        write("memory.current", "5000\n");
        assert_eq!(left(), Some(0));
    }
}
