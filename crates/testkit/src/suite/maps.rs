//! Operations on one or two maps: resizes, shuffles, warps, values by themselves, bytes.

use framelift_engine::reference::ReferenceEngine;
use framelift_engine::{
    Addend, ConvSpec, DeformSpec, Engine, EngineError, HostTensor, Padding, Precision, ResizeMode, Shape, Tensor,
    reference,
};
use proptest::prelude::*;
use proptest::sample::select;

use super::{assert_close, noise_tensor, scaled};

/// A map, and how it is stored.
#[derive(Clone, Copy, Debug)]
pub struct MapCase {
    /// Its shape.
    pub shape: Shape,
    /// How it is stored.
    pub stored: Precision,
    /// How a second map is.
    pub other: Precision,
}

/// Maps of up to `side` rows and columns in `precisions`.
pub fn map_cases(precisions: &'static [Precision], side: usize) -> impl Strategy<Value = MapCase> {
    let channels = select(vec![1_usize, 2, 3, 4, 5, 7, 16, 20, 24, 64]);
    (channels, 1..side, 1..side, select(precisions), select(precisions)).prop_map(
        |(channels, height, width, stored, other)| MapCase {
            shape: Shape::new(height, width, channels),
            stored,
            other,
        },
    )
}

impl MapCase {
    fn values(&self, seed: u64) -> HostTensor {
        reference::rounded(noise_tensor(self.shape, seed), self.stored)
    }
}

fn upload(engine: &dyn Engine, values: &HostTensor, stored: Precision) -> Tensor {
    engine.from_host(values, stored).expect("an upload")
}

fn download(engine: &dyn Engine, tensor: &Tensor, stored: Precision) -> HostTensor {
    assert_eq!(tensor.precision(), stored);
    engine.to_host(tensor).expect("a download")
}

/// Resizes to `height` × `width` in every mode.
///
/// # Panics
/// Where a result is not the reference's.
pub fn check_resize(case: &MapCase, (height, width): (usize, usize), engines: &[&dyn Engine]) {
    let input = case.values(5);
    for mode in ResizeMode::ALL {
        let expected = reference::resize(&input, height, width, mode).expect("a well-formed case");
        for engine in engines {
            let tensor = upload(*engine, &input, case.stored);
            let got = engine.resize(&tensor, height, width, mode).expect("a resize");
            assert_close(&(case, mode), &download(*engine, &got, case.stored), &expected, 2e-6, case.stored);
        }
    }
}

/// Pixel shuffle by `factor`, and back.
///
/// # Panics
/// Where a value is not in its place.
pub fn check_shuffle(case: &MapCase, factor: usize, engine: &dyn Engine) {
    let Shape { height, width, channels, .. } = case.shape;
    let shape = Shape::new(height, width, channels * factor * factor);
    let input = MapCase { shape, ..*case }.values(5);
    let tensor = upload(engine, &input, case.stored);
    let shuffled = engine.pixel_shuffle(&tensor, factor).expect("a shuffle");
    let expected = reference::pixel_shuffle(&input, factor).expect("a well-formed case");
    assert_eq!(download(engine, &shuffled, case.stored), expected);
    let back = engine.pixel_unshuffle(&shuffled, factor).expect("a shuffle");
    assert_eq!(download(engine, &back, case.stored), input);
}

/// A warp by flows of up to `flow_px` pixels.
///
/// # Panics
/// Where a result is not the reference's.
pub fn check_warp(case: &MapCase, flow_px: f32, padding: Padding, engines: &[&dyn Engine]) {
    let input = case.values(5);
    let flow = scaled(noise_tensor(Shape::new(case.shape.height, case.shape.width, 2), 6), flow_px);
    let expected = reference::flow_warp(&input, &flow, padding).expect("a well-formed case");
    for engine in engines {
        let (tensor, flow) = (upload(*engine, &input, case.stored), upload(*engine, &flow, Precision::F32));
        let got = engine.flow_warp(&tensor, &flow, padding).expect("a warp");
        assert_close(&(case, flow_px, padding), &download(*engine, &got, case.stored), &expected, 2e-6, case.stored);
    }
}

/// Gains, sums, block means, the mean of magnitudes (to `mean_tolerance`), and bytes.
///
/// # Panics
/// Where a result is not the reference's.
pub fn check_pointwise(case: &MapCase, mean_tolerance: f64, engines: &[&dyn Engine]) {
    let MapCase { shape, stored, other } = *case;
    let channels = shape.channels;
    let a = case.values(1);
    let b = reference::rounded(noise_tensor(shape, 2), other);
    let gains: Vec<f32> = (0..channels).map(|c| 1.0 - c as f32 / 40.0).collect();
    let offsets: Vec<f32> = (0..channels).map(|c| c as f32 / 64.0).collect();
    for engine in engines {
        let engine = *engine;
        let (x, y) = (upload(engine, &a, stored), upload(engine, &b, other));
        let host = |tensor: &Tensor| download(engine, tensor, stored);
        let scaled = engine.scale_channels(&x, &gains, &offsets).expect("gains");
        let expected = reference::scale_channels(&a, &gains, &offsets).expect("a well-formed case");
        assert_close(case, &host(&scaled), &expected, 1e-6, stored);
        let sum = engine.add_scaled(&x, -0.75, &y).expect("a sum");
        let expected = reference::add_scaled(&a, -0.75, &b).expect("a well-formed case");
        assert_close(case, &host(&sum), &expected, 1e-6, stored);
        let means = engine.avg_pool(&x).expect("means");
        assert_close(case, &host(&means), &reference::avg_pool(&a), 1e-6, stored);
        let mean = engine.mean_abs(&x).expect("a mean");
        let expected = reference::mean_abs(&a).expect("a well-formed case");
        assert!((mean - expected).abs() <= mean_tolerance, "{case:?}: {mean} for {expected}");
        // The padding has stayed zero, as convolutions need it.
        let spec = ConvSpec::new(1, &[channels], 1);
        let conv = engine.prepare_conv(&spec, &vec![0.5; channels], &[0.0]).expect("a convolution");
        let through = |tensor: &Tensor| {
            let sums = engine.conv(&conv, &[tensor], None).expect("a convolution");
            engine.to_host(&sums).expect("a download")
        };
        let bytes = engine.to_bytes(&scaled).expect("bytes");
        assert_eq!(bytes.len(), shape.len() * stored.bytes());
        let back = engine.from_bytes(shape, stored, &bytes).expect("a tensor");
        assert_eq!(host(&back), host(&scaled));
        assert_eq!(through(&back), through(&scaled));
    }
}

/// Bytes are the same on every engine.
///
/// # Panics
/// Where they are not.
pub fn bytes_are_the_references(engine: &dyn Engine, precisions: &[Precision]) {
    let values = noise_tensor(Shape::new(5, 3, 7), 3);
    let other = ReferenceEngine::new();
    for &precision in precisions {
        let expected = other.to_bytes(&upload(&other, &values, precision)).expect("bytes");
        assert_eq!(engine.to_bytes(&upload(engine, &values, precision)).expect("bytes"), expected);
        let wrong = engine.from_bytes(values.shape(), precision, &expected[1..]);
        assert!(matches!(wrong, Err(EngineError::Shape(_))));
    }
}

/// Rows are cut out and stacked again, in each of `precisions`.
///
/// # Panics
/// Where a value is not in its place.
pub fn rows_are_cut_and_stacked(engine: &dyn Engine, precisions: &[Precision]) {
    let reference = ReferenceEngine::new();
    let kinds = precisions.iter().flat_map(|&precision| [(3, precision), (20, precision)]);
    for (channels, precision) in kinds {
        let values = noise_tensor(Shape::new(37, 5, channels), 7);
        let map = upload(engine, &values, precision);
        let same = upload(&reference, &values, precision);
        let parts = [0..1, 1..20, 20..20, 20..37].map(|rows| {
            let part = engine.rows(&map, rows.clone()).expect("rows");
            assert_eq!(part.shape(), Shape::new(rows.len(), 5, channels));
            let due = reference.rows(&same, rows).expect("rows");
            assert_eq!(download(engine, &part, precision), download(&reference, &due, precision));
            part
        });
        let whole = engine.stack_rows(&parts).expect("a stack");
        assert_eq!(engine.to_bytes(&whole).expect("bytes"), reference.to_bytes(&same).expect("bytes"));
        // What comes after relies on the padding, which is copied too.
        let spec = ConvSpec::new(3, &[channels], 4).precision(precision, Precision::F32);
        let conv = engine.prepare_conv(&spec, &vec![0.5; 36 * channels], &[0.0; 4]).expect("a convolution");
        let through = |tensor: &Tensor| {
            let sums = engine.conv(&conv, &[tensor], None).expect("a convolution");
            engine.to_host(&sums).expect("a download")
        };
        assert_eq!(through(&map), through(&whole));

        assert!(matches!(engine.rows(&map, 30..38), Err(EngineError::Shape(_))));
        assert!(matches!(engine.stack_rows(&[]), Err(EngineError::Shape(_))));
        let wider = engine.zeros(Shape::new(1, 6, channels), precision).expect("zeros");
        assert!(matches!(engine.stack_rows(&[map, wider]), Err(EngineError::Shape(_))));
    }
}

/// Tensors that do not fit, and those of another engine, are refused.
///
/// # Panics
/// Where one is not.
pub fn misfits_are_refused(engine: &dyn Engine, short: Precision) {
    let zeros = |height, width, channels, precision| {
        engine.zeros(Shape::new(height, width, channels), precision).expect("zeros")
    };
    let single = |height, width, channels| zeros(height, width, channels, Precision::F32);
    let conv = engine.prepare_conv(&ConvSpec::new(1, &[3, 2], 8), &[0.0; 40], &[0.0; 8]).expect("a convolution");
    let (image, flow) = (single(4, 5, 3), single(4, 5, 2));
    let is_shape = |result: Result<_, EngineError>| matches!(result, Err(EngineError::Shape(_)));
    assert!(engine.conv(&conv, &[&image, &flow], None).is_ok());
    assert!(is_shape(engine.conv(&conv, &[&image], None)));
    assert!(is_shape(engine.conv(&conv, &[&flow, &image], None)));
    assert!(is_shape(engine.conv(&conv, &[&image, &single(5, 4, 2)], None)));
    assert!(is_shape(engine.conv(&conv, &[&image, &flow], Some(Addend::same(&single(4, 5, 7))))));
    assert!(is_shape(engine.pixel_shuffle(&image, 2)));
    assert!(is_shape(engine.pixel_unshuffle(&image, 2)));
    assert!(is_shape(engine.resize(&image, 0, 4, ResizeMode::Bilinear)));
    assert!(is_shape(engine.scale_channels(&image, &[1.0; 3], &[0.0; 2])));
    assert!(is_shape(engine.add_scaled(&image, 1.0, &flow)));
    assert!(matches!(engine.mean_abs(&single(0, 4, 3)), Err(EngineError::Shape(_))));

    let other = ReferenceEngine::new();
    let foreign = upload(&other, &HostTensor::from_fn(Shape::new(4, 5, 3), |_, _, _| 0.0), Precision::F32);
    assert!(matches!(engine.conv(&conv, &[&foreign, &flow], None), Err(EngineError::Foreign { what: "tensor", .. })));
    let foreign = other.prepare_conv(&ConvSpec::new(1, &[3, 2], 8), &[0.0; 40], &[0.0; 8]).expect("a convolution");
    let refused = engine.conv(&foreign, &[&image, &flow], None);
    assert!(matches!(refused, Err(EngineError::Foreign { what: "convolution", .. })));

    let input = single(4, 5, 8);
    assert!(engine.flow_warp(&input, &flow, Padding::Zeros).is_ok());
    assert!(is_shape(engine.flow_warp(&input, &input, Padding::Zeros)));
    assert!(is_shape(engine.flow_warp(&input, &zeros(4, 5, 2, short), Padding::Zeros)));
    let spec = DeformSpec::new(&[8, 8], 3, 4);
    let prepare = |spec: &DeformSpec| engine.prepare_deform_conv(spec, &[0.0; 16 * 9 * 3], &[0.0; 3]);
    let conv = prepare(&spec).expect("a convolution");
    let residues = zeros(4, 5, 4 * 27, short);
    assert!(engine.deform_conv(&conv, &[&input, &input], &residues, &[]).is_ok());
    assert!(engine.deform_conv(&conv, &[&input, &input], &residues, &[&flow, &flow]).is_ok());
    assert!(is_shape(engine.deform_conv(&conv, &[&input], &residues, &[])));
    assert!(is_shape(engine.deform_conv(&conv, &[&input, &input], &residues, &[&flow])));
    assert!(is_shape(engine.deform_conv(&conv, &[&input, &input], &input, &[])));
    assert!(is_shape(engine.deform_conv(&conv, &[&input, &input], &residues, &[&flow, &input])));
    for wrong in [
        DeformSpec { groups: 3, ..spec.clone() },
        DeformSpec { in_channels: vec![6, 10], ..spec.clone() },
        DeformSpec { out_channels: 4, ..spec.clone() },
        DeformSpec { max_residue: f32::NAN, ..spec.clone() },
    ] {
        assert!(matches!(prepare(&wrong), Err(EngineError::Shape(_))), "{wrong:?}");
    }
}
