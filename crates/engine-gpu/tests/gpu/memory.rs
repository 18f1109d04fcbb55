//! Memory of the device: counted, reused, bounded.

use std::sync::Arc;

use framelift_engine::{Engine, EngineError, Precision, Shape, Support};
use framelift_frame::{Frame, Size, TimeBase, Timestamp};
use framelift_nets::{Checkpoint, MemoryStore, builtin, detect};
use framelift_testkit::suite::memory_is_counted_recycled_and_limited as memory_counts;
use framelift_testkit::synth;

use crate::engine_within;

#[test]
fn memory_is_counted_recycled_and_limited() {
    if engine_within(None).is_some() {
        memory_counts(|limit| engine_within(Some(limit)).unwrap());
    }
}

#[test]
fn what_does_not_fit_is_out_of_memory_and_the_engine_goes_on() {
    let Some(engine) = engine_within(None) else { return };
    // Some cards hold four gigabytes in one buffer; none must fail in another way than this.
    let huge = engine.zeros(Shape::new(16_000, 16_000, 4), Precision::F32);
    assert!(matches!(huge, Ok(_) | Err(EngineError::OutOfMemory { .. })), "{huge:?}");
    drop(huge);
    let beyond = engine.zeros(Shape::new(1 << 20, 1 << 20, 4), Precision::F32);
    assert!(matches!(beyond, Err(EngineError::Shape(_))), "{beyond:?}");
    let zeros = engine.zeros(Shape::new(4, 4, 2), Precision::F32).unwrap();
    assert_eq!(engine.to_host(&zeros).unwrap().data(), [0.0; 32]);
}

/// Bytes that a network takes of the device while it makes a few frames of `side` pixels a side, and what its descriptor says.
fn taken_and_said(engine: &Arc<dyn Engine>, checkpoint: &Checkpoint, precision: Precision, side: usize) -> (u64, u64) {
    const COUNT: usize = 4;
    let network = detect(checkpoint).unwrap().prepare(Arc::clone(engine), precision).unwrap();
    let d = network.descriptor().clone();
    let weights = engine.memory().used_bytes as u64;
    let layout = engine.layout(precision);
    let pixels = (side * side) as u64;
    let each = d.held.bytes(layout) + d.stored_bytes_per_pixel(precision);
    let said = weights + d.work_bytes(side, side, COUNT as u64, 1, layout) + COUNT as u64 * each * pixels;
    engine.set_memory_plan(said, said);
    let frame = || engine.upload(&Frame::black(Size::new(side as u32, side as u32), TIME, 1)).unwrap();
    // Frame after frame, as sessions feed it.
    let mut shot = network.begin();
    for _ in 0..COUNT {
        drop(shot.push(frame()).unwrap());
    }
    drop(shot.finish().unwrap());
    (engine.memory().peak_bytes as u64, said)
}

/// Likewise of as many windows of a few frames at once as there are `lanes`.
fn taken_and_said_at_once(
    engine: &Arc<dyn Engine>,
    checkpoint: &Checkpoint,
    precision: Precision,
    side: usize,
    lanes: usize,
) -> (u64, u64) {
    const COUNT: usize = 4;
    let network = detect(checkpoint).unwrap().prepare(Arc::clone(engine), precision).unwrap();
    let d = network.descriptor().clone();
    let weights = engine.memory().used_bytes as u64;
    let layout = engine.layout(precision);
    let each = d.held.bytes(layout) + d.stored_bytes_per_pixel(precision);
    let kept = (COUNT * lanes * side * side) as u64 * each;
    let said = weights + d.work_bytes(side, side, COUNT as u64, lanes as u64, layout) + kept;
    engine.set_memory_plan(said, said);
    let frame = |_| engine.upload(&Frame::black(Size::new(side as u32, side as u32), TIME, 1)).unwrap();
    let stack = |_| engine.stack_maps(&(0..lanes).map(frame).collect::<Vec<_>>().iter().collect::<Vec<_>>()).unwrap();
    let frames: Vec<_> = (0..COUNT).map(stack).collect();
    network.window(&frames, 0..COUNT, &mut MemoryStore::new(), &mut |_| Ok(())).unwrap();
    (engine.memory().peak_bytes as u64, said)
}

const TIME: Timestamp = Timestamp::new(0, TimeBase::new(1, 25));

#[test]
fn networks_take_what_plans_say() {
    let made = |name, arrays| Checkpoint::from_bytes(name, &synth::to_safetensors(arrays)).unwrap();
    let checkpoints = [
        (builtin::checkpoint("lift-x4").unwrap().unwrap(), 96),
        (builtin::checkpoint("lift-fast-x4").unwrap().unwrap(), 96),
        (made("compact", &synth::compact(32, 2, 4)), 64),
        (made("rrdbnet", &synth::rrdbnet(32, 16, 1, 4)), 48),
        (made("basicvsr", &synth::basicvsr(16, 1)), 64),
        (made("basicvsr_plusplus", &synth::basicvsr_plusplus(16, 1, false)), 64),
    ];
    for (checkpoint, side) in checkpoints {
        for precision in [Precision::F32, Precision::F16] {
            let Some(engine) = engine_within(None) else { return };
            if engine.support(precision) == Support::No {
                continue;
            }
            let (taken, said) = taken_and_said(&engine, &checkpoint, precision, side);
            check(&checkpoint, &format!("{precision}"), taken, said);
        }
    }
}

/// Whether a network took within 15 % of what its plan says.
fn check(checkpoint: &Checkpoint, how: &str, taken: u64, said: u64) {
    let name = detect(checkpoint).unwrap().descriptor().architecture;
    println!("{name} {how}: {taken} of {said} bytes, {:.2}", taken as f64 / said as f64);
    assert!(taken * 100 <= said * 115 && taken * 100 >= said * 85, "{name} {how}: {taken} of {said}");
}

#[test]
fn several_windows_at_once_take_what_plans_say() {
    const LANES: usize = 3;
    let made = |name, arrays| Checkpoint::from_bytes(name, &synth::to_safetensors(arrays)).unwrap();
    let checkpoints = [
        made("basicvsr", &synth::basicvsr(16, 1)),
        made("realbasicvsr", &synth::realbasicvsr(16, 1, 1)),
        made("basicvsr_plusplus", &synth::basicvsr_plusplus(16, 1, false)),
    ];
    for checkpoint in checkpoints {
        let Some(engine) = engine_within(None) else { return };
        let (taken, said) = taken_and_said_at_once(&engine, &checkpoint, Precision::F32, 64, LANES);
        check(&checkpoint, &format!("{LANES} at once"), taken, said);
    }
}
