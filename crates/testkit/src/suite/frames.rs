//! Frames to an engine and back.

use framelift_engine::reference::ReferenceEngine;
use framelift_engine::{Engine, EngineError, HostTensor, Precision, Shape};
use framelift_frame::{Frame, Plane, Size, TimeBase, Timestamp};

use super::{noise, noise_tensor};

fn random_frame(width: u32, height: u32) -> Frame {
    let size = Size::new(width, height);
    let mut next = noise(7);
    let mut samples = || (0..size.pixels()).map(|_| ((next() + 1.0) * 32767.5) as u16).collect();
    let planes = [0; 3].map(|_| Plane::new(size, samples()).expect("samples for every pixel"));
    Frame::new(planes, Timestamp::new(7, TimeBase::new(1, 25)), 3).expect("planes of one size")
}

/// Every level of a frame comes back as it went; the values between are the reference's to `tolerance`.
///
/// # Panics
/// Where one does not.
pub fn frames_come_back(engine: &dyn Engine, tolerance: f32) {
    let mut frame = random_frame(61, 37);
    for (level, sample) in (0..).zip(frame.planes_mut()[1].samples_mut()) {
        *sample = level * 29;
    }
    let tensor = engine.upload(&frame).expect("an upload");
    let reference = ReferenceEngine::new();
    let expected = reference.to_host(&reference.upload(&frame).expect("an upload")).expect("a download");
    let got = engine.to_host(&tensor).expect("a download");
    assert!(crate::max_abs_diff(&got, &expected) <= tolerance);
    assert_eq!(engine.download(&tensor, frame.time, frame.duration_ticks).expect("a download"), frame);
}

/// Downloads clamp, round, and find values that are not finite.
///
/// # Panics
/// Where they do not.
pub fn broken_values_are_found(engine: &dyn Engine) {
    let mut values = noise_tensor(Shape::new(40, 33, 3), 8);
    values.data_mut()[5..12].copy_from_slice(&[2.0, -0.0, 1.0, 0.5, 0.999_99, 1e-30, -1e30]);
    let reference = ReferenceEngine::new();
    let time = Timestamp::new(0, TimeBase::new(1, 25));
    let download = |engine: &dyn Engine, values: &HostTensor| {
        engine.download(&engine.from_host(values, Precision::F32).expect("an upload"), time, 1)
    };
    assert_eq!(download(engine, &values).expect("a frame"), download(&reference, &values).expect("a frame"));
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut values = values.clone();
        values.data_mut()[(20 * 33 + 4) * 3 + 1] = bad;
        values.data_mut()[(39 * 33 + 32) * 3 + 2] = bad;
        let error = download(engine, &values).expect_err("values that are not finite");
        assert!(matches!(error, EngineError::NonFinite { count: 2, x: 4, y: 20 }), "{error}");
    }
}
