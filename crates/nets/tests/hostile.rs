//! Files with random damage: refused or read, never a panic, never more memory than a small multiple of the file.
//!
//! One test alone in its program, because it measures all that the program allocates.

use framelift_nets::{Checkpoint, detect};
use framelift_testkit::pth::{self, Packing, Stored};
use framelift_testkit::synth;
use peak_alloc::PeakAlloc;
use proptest::prelude::{ProptestConfig, any};
use proptest::strategy::Strategy;
use proptest::test_runner::{TestCaseError, TestRunner};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// How many times its own size a file may take.
const MAX_GROWTH: usize = 32;
/// What messages and tables of any size may take.
const FLOOR_BYTES: usize = 64 << 10;

/// A change to a file. Places are parts of its length.
#[derive(Clone, Debug)]
enum Damage {
    Set { at: u16, value: u8 },
    Flip { at: u16, bit: u8 },
    Number { at: u16, value: u64, bytes: u8 },
    Remove { at: u16, count: u8 },
    Repeat { at: u16, count: u8, times: u8 },
    Cut { at: u16 },
}

/// Numbers that lengths and offsets break at.
const EDGES: [u64; 8] = [0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 1 << 40, i64::MAX as u64, u64::MAX];

fn damage() -> impl Strategy<Value = Damage> {
    proptest::prop_oneof![
        (any::<u16>(), any::<u8>()).prop_map(|(at, value)| Damage::Set { at, value }),
        (any::<u16>(), 0_u8..8).prop_map(|(at, bit)| Damage::Flip { at, bit }),
        (any::<u16>(), 0_usize..8, 1_u8..=8).prop_map(|(at, edge, bytes)| Damage::Number {
            at,
            value: EDGES[edge],
            bytes
        }),
        (any::<u16>(), 1_u8..40).prop_map(|(at, count)| Damage::Remove { at, count }),
        (any::<u16>(), 1_u8..40, 1_u8..8).prop_map(|(at, count, times)| Damage::Repeat { at, count, times }),
        any::<u16>().prop_map(|at| Damage::Cut { at }),
    ]
}

fn apply(file: &mut Vec<u8>, damage: &Damage) {
    if file.is_empty() {
        return;
    }
    let place = |at: u16| (usize::from(at) * file.len()) >> 16;
    match *damage {
        Damage::Set { at, value } => {
            let at = place(at);
            file[at] = value;
        }
        Damage::Flip { at, bit } => {
            let at = place(at);
            file[at] ^= 1 << bit;
        }
        Damage::Number { at, value, bytes } => {
            let at = place(at);
            let end = (at + usize::from(bytes)).min(file.len());
            file[at..end].copy_from_slice(&value.to_le_bytes()[..end - at]);
        }
        Damage::Remove { at, count } => {
            let at = place(at);
            let end = (at + usize::from(count)).min(file.len());
            file.drain(at..end);
        }
        Damage::Repeat { at, count, times } => {
            let at = place(at);
            let end = (at + usize::from(count)).min(file.len());
            let piece = file[at..end].repeat(usize::from(times));
            file.splice(at..at, piece);
        }
        Damage::Cut { at } => {
            let at = place(at);
            file.truncate(at);
        }
    }
}

#[test]
fn damaged_files_are_refused_or_read_within_bounds() {
    let arrays = synth::compact(2, 1, 2);
    let other = synth::compact(2, 1, 1);
    let dicts = [("params", &other), ("params_ema", &arrays)];
    let files = [
        pth::to_zip(&dicts, Stored::F32),
        pth::to_zip(&[("", &arrays)], Stored::F16),
        pth::to_zip_packed(&[("params", &arrays)], Stored::F32, Packing::Deflated),
        pth::to_zip_packed(&[("params", &arrays)], Stored::F32, Packing::Zip64),
        pth::to_legacy(&dicts, Stored::F32),
        synth::to_safetensors(&arrays),
    ];
    for file in &files {
        assert!(detect(&Checkpoint::from_bytes("whole", file).unwrap()).is_ok());
    }

    let mut read = 0_u32;
    let mut runner =
        TestRunner::new(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(20_000) });
    let cases = (0..files.len(), proptest::collection::vec(damage(), 1..6));
    let outcome = runner.run(&cases, |(which, damages)| {
        let mut file = files[which].clone();
        damages.iter().for_each(|damage| apply(&mut file, damage));
        let before = MEMORY.current_usage();
        MEMORY.reset_peak_usage();
        let checkpoint = Checkpoint::from_bytes("damaged", &file);
        let detected = checkpoint.as_ref().map(detect);
        let taken = MEMORY.peak_usage().saturating_sub(before);
        drop(detected);
        if taken > MAX_GROWTH * file.len() + FLOOR_BYTES {
            return Err(TestCaseError::fail(format!("{taken} bytes for a file of {}", file.len())));
        }
        Ok(())
    });
    // Some damage must be harmless, or the cases never come past the first check.
    for (i, file) in files.iter().enumerate() {
        for at in (0..file.len()).step_by(7) {
            let mut file = file.clone();
            file[at] ^= 1 << (i % 8);
            read += u32::from(Checkpoint::from_bytes("flipped", &file).is_ok());
        }
    }
    println!("{read} files with a flipped bit were read");
    assert!(read > 100);
    outcome.unwrap();
}
