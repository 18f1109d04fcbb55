//! Operations on each value by itself, means, and raw bytes.

use super::*;

const PRECISIONS: [Precision; 2] = [Precision::F32, Precision::Bf16];

#[track_caller]
fn assert_close(got: &HostTensor, expected: &HostTensor, stored: Precision) {
    assert_eq!(got.shape(), expected.shape());
    for (&got, &expected) in got.data().iter().zip(expected.data()) {
        let [low, high] = [expected - 1e-6, expected + 1e-6].map(|bound| reference::round(bound, stored));
        assert!((low..=high).contains(&got), "{got} for {expected}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn any_pointwise_operation(
        channels in select(vec![1_usize, 2, 3, 4, 5, 16, 24, 64]),
        (height, width) in (1..40_usize, 1..40_usize),
        stored in select(PRECISIONS.to_vec()),
        other in select(PRECISIONS.to_vec()),
    ) {
        let shape = Shape::new(height, width, channels);
        let a = reference::rounded(noise_tensor(shape, 1), stored);
        let b = reference::rounded(noise_tensor(shape, 2), other);
        let gains: Vec<f32> = (0..channels).map(|c| 1.0 - c as f32 / 40.0).collect();
        let offsets: Vec<f32> = (0..channels).map(|c| c as f32 / 64.0).collect();
        for engine in engines(None) {
            let (x, y) = (engine.from_host(&a, stored).unwrap(), engine.from_host(&b, other).unwrap());
            let host = |tensor: framelift_engine::Tensor| {
                assert_eq!(tensor.precision(), stored);
                engine.to_host(&tensor).unwrap()
            };
            let scaled = engine.scale_channels(&x, &gains, &offsets).unwrap();
            assert_close(&host(scaled.clone()), &reference::scale_channels(&a, &gains, &offsets).unwrap(), stored);
            let sum = host(engine.add_scaled(&x, -0.75, &y).unwrap());
            assert_close(&sum, &reference::add_scaled(&a, -0.75, &b).unwrap(), stored);
            assert_close(&host(engine.avg_pool(&x).unwrap()), &reference::avg_pool(&a), stored);
            let mean = engine.mean_abs(&x).unwrap();
            prop_assert!((mean - reference::mean_abs(&a).unwrap()).abs() <= 1e-12);
            // The padding has stayed zero, as convolutions need it.
            let conv = engine.prepare_conv(&ConvSpec::new(1, &[channels], 1), &vec![0.5; channels], &[0.0]).unwrap();
            let before = engine.conv(&conv, &[&scaled], None).unwrap();
            let bytes = engine.to_bytes(&scaled).unwrap();
            prop_assert_eq!(bytes.len(), shape.len() * stored.bytes());
            let back = engine.from_bytes(shape, stored, &bytes).unwrap();
            prop_assert_eq!(host(back.clone()), host(scaled));
            let after = engine.conv(&conv, &[&back], None).unwrap();
            prop_assert_eq!(engine.to_host(&after).unwrap(), engine.to_host(&before).unwrap());
        }
    }
}

#[test]
fn bytes_of_every_engine_are_the_same() {
    let values = noise_tensor(Shape::new(5, 3, 7), 3);
    let other = ReferenceEngine::new();
    for precision in PRECISIONS {
        let expected = other.to_bytes(&other.from_host(&values, precision).unwrap()).unwrap();
        for engine in engines(None) {
            assert_eq!(engine.to_bytes(&engine.from_host(&values, precision).unwrap()).unwrap(), expected);
            let wrong = engine.from_bytes(values.shape(), precision, &expected[1..]);
            assert!(matches!(wrong, Err(EngineError::Shape(_))));
        }
    }
}

#[test]
fn a_mean_does_not_depend_on_the_number_of_threads_and_shows_what_is_not_finite() {
    let mut values = noise_tensor(Shape::new(67, 45, 3), 4);
    let mean = |threads, values: &HostTensor| {
        let options = CpuOptions { threads: Some(threads), ..CpuOptions::default() };
        let engine = CpuEngine::new(&options).unwrap();
        engine.mean_abs(&engine.from_host(values, Precision::F32).unwrap()).unwrap()
    };
    assert_eq!(mean(1, &values).to_bits(), mean(3, &values).to_bits());
    values.data_mut()[77] = f32::NAN;
    assert!(mean(2, &values).is_nan());
}

#[test]
fn pointwise_operations_that_do_not_fit_are_refused() {
    let engine = CpuEngine::new(&CpuOptions::default()).unwrap();
    let zeros = |width, channels| engine.zeros(Shape::new(4, width, channels), Precision::F32).unwrap();
    assert!(matches!(engine.scale_channels(&zeros(3, 3), &[1.0; 3], &[0.0; 2]), Err(EngineError::Shape(_))));
    assert!(matches!(engine.add_scaled(&zeros(3, 3), 1.0, &zeros(3, 2)), Err(EngineError::Shape(_))));
    assert!(matches!(engine.mean_abs(&zeros(0, 3)), Err(EngineError::Shape(_))));
}
