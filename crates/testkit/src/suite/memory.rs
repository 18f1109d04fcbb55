//! An engine's memory: counted, reused, bounded.

use std::sync::Arc;

use framelift_engine::{Engine, EngineError, Precision, Shape};

use super::ConvCase;

/// A little less than three tensors of a mebibyte.
const LIMIT_BYTES: usize = (3 << 20) - 256;

/// Memory is counted, recycled and limited. `within` makes an engine that holds at most so many bytes.
///
/// # Panics
/// Where it is not.
pub fn memory_is_counted_recycled_and_limited(within: impl Fn(usize) -> Arc<dyn Engine>) {
    let engine = within(LIMIT_BYTES);
    let zeros = |shape| engine.zeros(shape, Precision::F32);
    let shape = Shape::new(128, 128, 16);
    let bytes = shape.len() * 4;
    let tensor = zeros(shape).expect("zeros");
    let used = engine.memory().used_bytes;
    assert!((bytes..bytes + 4096).contains(&used), "{used}");
    let clone = tensor.clone();
    drop(tensor);
    assert_eq!(engine.memory().used_bytes, used);
    drop(clone);
    assert_eq!((engine.memory().used_bytes, engine.memory().pooled_bytes), (0, used));

    let tensors = [(); 2].map(|()| zeros(shape).expect("zeros"));
    assert_eq!(engine.memory().pooled_bytes, 0);
    let error = zeros(shape).expect_err("a third");
    assert!(matches!(error, EngineError::OutOfMemory { limit_bytes, .. } if limit_bytes == LIMIT_BYTES), "{error}");
    drop(tensors);
    // Another size fits only once what is pooled has been let go.
    let larger = zeros(Shape::new(160, 160, 16)).expect("zeros");
    assert!(engine.memory().peak_bytes <= LIMIT_BYTES);
    drop(larger);
    let case = ConvCase::new(3, &[64], 64, 40, 40);
    assert!(matches!(case.run(&*within(1 << 19)), Err(EngineError::OutOfMemory { .. })));
}
