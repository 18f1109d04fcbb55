//! Plans: sizes, windows and memory of any amount, for each kind of network.

use std::sync::OnceLock;

use framelift::{Layout, Offload, Precision, Size, Target, WindowOptions};
use framelift_nets::{Checkpoint, Descriptor, detect};
use framelift_pipeline::{Room, SessionPlan, Stream};
use framelift_shots::Grid;
use framelift_testkit::synth;

/// Windows of a shot that are walked through.
const WALKED: usize = 2000;

/// Numbers off the input, zero once it has ended.
struct Numbers<'a>(&'a [u8]);

impl Numbers<'_> {
    fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first
    }

    /// A number of up to 64 bits, small ones as likely as large ones.
    fn number(&mut self) -> u64 {
        let bits = u32::from(self.byte() % 65);
        let value = (0..8).fold(0, |value, _| value << 8 | u64::from(self.byte()));
        value.checked_shr(64 - bits).unwrap_or(0)
    }

    fn side(&mut self) -> u32 {
        (self.number() % 65_535) as u32 + 1
    }

    fn maybe(&mut self) -> Option<u64> {
        (self.byte() & 1 == 1).then(|| self.number())
    }
}

/// One network of each kind.
fn descriptors() -> &'static [Descriptor] {
    static DESCRIPTORS: OnceLock<Vec<Descriptor>> = OnceLock::new();
    DESCRIPTORS.get_or_init(|| {
        let files = [
            synth::to_safetensors(&synth::compact(8, 2, 4)),
            synth::to_safetensors(&synth::basicvsr_plusplus(16, 1, false)),
            synth::to_safetensors(&synth::basicvsr_plusplus(16, 1, true)),
        ];
        let read =
            |file: &[u8]| Some(detect(&Checkpoint::from_bytes("synthetic", file).ok()?).ok()?.descriptor().clone());
        let mut all: Vec<Descriptor> = files.iter().filter_map(|file| read(file)).collect();
        let lift = framelift_nets::builtin::checkpoint("lift-x4").and_then(Result::ok);
        all.extend(lift.and_then(|lift| detect(&lift).ok()).map(|detected| detected.descriptor().clone()));
        assert_eq!(all.len(), 4);
        all
    })
}

/// Plans a session and a grid, and checks what they promise.
pub(crate) fn run(bytes: &[u8]) {
    let mut numbers = Numbers(bytes);
    let descriptors = descriptors();
    let descriptor = &descriptors[usize::from(numbers.byte()) % descriptors.len()];
    let precision = numbers.byte();
    let stream = Stream {
        descriptor,
        layout: Layout {
            precision: if precision & 1 == 0 { Precision::F32 } else { Precision::Bf16 },
            in_fours: precision & 64 != 0,
            gaps_sixteenths: u64::from(precision & 64) / 16,
            together_px: usize::from(precision & 32) << 14,
        },
        beside_host: precision & 128 != 0,
        weights_bytes: numbers.number(),
        size: Size::new(numbers.side(), numbers.side()),
        frames: numbers.maybe(),
        lanes: 1,
    };
    let options = WindowOptions {
        body: numbers.maybe(),
        context: numbers.maybe(),
        shorter_if_still: None,
        fade: (precision & 2 != 0).then_some(u64::from(precision >> 2)),
        offload: [Offload::Auto, Offload::Never, Offload::Always][usize::from(numbers.byte() % 3)],
    };
    let room = Room { memory_bytes: numbers.number(), scratch_bytes: numbers.number() };
    match SessionPlan::choose(&stream, &options, room) {
        Ok(plan) => {
            assert!(plan.memory_bytes <= room.memory_bytes, "{plan:?} in {room:?}");
            assert!(
                plan.window.is_none_or(|window| window.scratch_bytes <= room.scratch_bytes),
                "{plan:?} in {room:?}"
            );
            assert!(plan.tiles.0 * plan.tiles.1 >= 1 && !plan.tile.is_empty(), "{plan:?}");
            assert!(plan.tile.width <= plan.padded.width && plan.tile.height <= plan.padded.height, "{plan:?}");
            let host_bytes = numbers.number();
            let several = plan.clone().with_lanes(&stream, &options, room, host_bytes);
            assert!(several.memory_bytes <= room.memory_bytes && several.lanes >= 1, "{several:?} in {room:?}");
            assert!(
                several.tiles == plan.tiles && (several.lanes == 1) == (several == plan),
                "{several:?} for {plan:?}"
            );
        }
        Err(least) => {
            let scratch = least.window.map_or(0, |window| window.scratch_bytes);
            assert!(least.memory_bytes > room.memory_bytes || scratch > room.scratch_bytes, "{least:?} in {room:?}");
        }
    }

    let (frames, body, context) = (numbers.number(), numbers.number(), numbers.number());
    let mut next = 0;
    for window in Grid::new(body, context).windows(frames).take(WALKED) {
        assert_eq!(window.body.start, next, "bodies follow each other");
        assert!(window.first <= window.body.start && window.body.end <= window.end && window.end <= frames);
        assert!(window.body.end > window.body.start, "every window keeps frames");
        next = window.body.end;
    }
    let factor = f64::from_bits(numbers.number());
    for target in [Target::Scale(factor), Target::ShortSide(numbers.number() as u32)] {
        if let Ok(size) = target.resolve(stream.size) {
            assert!(!size.is_empty(), "{target:?} of {} gives {size}", stream.size);
        }
    }
}
