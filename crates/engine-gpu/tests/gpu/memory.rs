//! Memory of the device: counted, reused, bounded.

use framelift_engine::{Engine as _, EngineError, Precision, Shape};
use framelift_testkit::suite::ConvCase;

use crate::engine_within;

/// A little less than three tensors of a mebibyte.
const LIMIT_BYTES: usize = (3 << 20) - 256;

#[test]
fn memory_is_counted_recycled_and_limited() {
    let Some(engine) = engine_within(Some(LIMIT_BYTES)) else { return };
    let shape = Shape::new(128, 128, 16);
    let bytes = shape.len() * 4;
    let tensor = engine.zeros(shape, Precision::F32).unwrap();
    let used = engine.memory().used_bytes;
    assert!((bytes..bytes + 4096).contains(&used), "{used}");
    let clone = tensor.clone();
    drop(tensor);
    assert_eq!(engine.memory().used_bytes, used);
    drop(clone);
    assert_eq!((engine.memory().used_bytes, engine.memory().pooled_bytes), (0, used));

    let tensors = [(); 2].map(|()| engine.zeros(shape, Precision::F32).unwrap());
    assert_eq!(engine.memory().pooled_bytes, 0);
    let error = engine.zeros(shape, Precision::F32).unwrap_err();
    assert!(matches!(error, EngineError::OutOfMemory { limit_bytes, .. } if limit_bytes == LIMIT_BYTES), "{error}");
    drop(tensors);
    // Another size fits only once what is pooled has been let go.
    let larger = engine.zeros(Shape::new(160, 160, 16), Precision::F32).unwrap();
    assert!(engine.memory().peak_bytes <= LIMIT_BYTES);
    drop(larger);
    let Some(engine) = engine_within(Some(1 << 18)) else { return };
    assert!(matches!(ConvCase::new(3, &[64], 64, 40, 40).run(&engine), Err(EngineError::OutOfMemory { .. })));
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
