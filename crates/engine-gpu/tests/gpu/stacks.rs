//! Several maps in one tensor: what is done with it is done with each map by itself, to the bit.

use framelift_engine::{
    Activation, Addend, ConvSpec, DeformSpec, Engine, EngineError, HostTensor, Padding, Precision, ResizeMode, Shape,
    Tensor, Upsample,
};
use framelift_frame::{TimeBase, Timestamp};
use framelift_testkit::synth;

use crate::{engine, precisions};

/// Maps of a stack.
const MAPS: usize = 3;

/// Sides that tiles do not divide.
const SIDES: (usize, usize) = (23, 37);

struct Values(Box<dyn Iterator<Item = f64>>);

impl Values {
    fn new(seed: &'static str) -> Self {
        Self(Box::new(synth::uniform(seed)))
    }

    fn take(&mut self, count: usize) -> Vec<f32> {
        self.0.by_ref().take(count).map(|value| value as f32).collect()
    }

    /// Maps of one shape whose values lie within `most` of zero.
    fn maps(&mut self, engine: &dyn Engine, shape: Shape, precision: Precision, most: f32) -> Vec<Tensor> {
        let map = |_| {
            let values = self.take(shape.len()).iter().map(|value| value * most).collect();
            engine.from_host(&HostTensor::new(shape, values).unwrap(), precision).unwrap()
        };
        (0..MAPS).map(map).collect()
    }
}

fn stack(engine: &dyn Engine, maps: &[Tensor]) -> Tensor {
    engine.stack_maps(&maps.iter().collect::<Vec<_>>()).unwrap()
}

/// Whether `operation` makes of stacks of `inputs` what it makes of their maps.
fn check(
    engine: &dyn Engine,
    what: &str,
    inputs: &[Vec<Tensor>],
    operation: impl Fn(&[&Tensor]) -> Result<Tensor, EngineError>,
) {
    let stacks: Vec<Tensor> = inputs.iter().map(|maps| stack(engine, maps)).collect();
    let made = operation(&stacks.iter().collect::<Vec<_>>()).unwrap();
    assert_eq!(made.shape().maps, MAPS, "{what}");
    for n in 0..MAPS {
        let made = engine.maps(&made, n..n + 1).unwrap();
        let due = operation(&inputs.iter().map(|maps| &maps[n]).collect::<Vec<_>>()).unwrap();
        assert_eq!(made.shape(), due.shape(), "{what}");
        assert!(engine.to_bytes(&made).unwrap() == engine.to_bytes(&due).unwrap(), "{what}: map {n} is another");
    }
}

#[test]
fn convolutions_of_stacks_are_those_of_their_maps() {
    let Some(engine) = engine() else { return };
    let engine = &*engine;
    let mut values = Values::new("stacked convolutions");
    let (height, width) = SIDES;
    let spec = |kernel, ins: &[usize], outs| ConvSpec::new(kernel, ins, outs).activation(Activation::Leaky(0.1));
    for &precision in precisions(engine) {
        let cases = [
            (spec(3, &[16, 3], 20), Upsample::None, 1),
            (spec(7, &[8], 5), Upsample::None, 1),
            (ConvSpec { stride: 2, ..spec(3, &[12], 16) }, Upsample::None, 1),
            (ConvSpec { pixel_shuffle: 2, ..spec(3, &[16], 64) }, Upsample::Bilinear, 2),
            (ConvSpec { pixel_shuffle: 2, ..spec(1, &[6], 12) }, Upsample::Nearest, 2),
        ];
        for (spec, upsample, factor) in cases {
            let spec = spec.precision(precision, precision);
            let conv =
                engine.prepare_conv(&spec, &values.take(spec.weight_len()), &values.take(spec.out_channels)).unwrap();
            let mut inputs: Vec<Vec<Tensor>> = Vec::new();
            for &channels in &spec.in_channels {
                inputs.push(values.maps(engine, Shape::new(height, width, channels), precision, 1.0));
            }
            let area = spec.pixel_shuffle * spec.pixel_shuffle;
            let [rows, columns] = [height, width].map(|side| side.div_ceil(spec.stride) * spec.pixel_shuffle / factor);
            let addend = Shape::new(rows, columns, spec.out_channels / area);
            inputs.push(values.maps(engine, addend, Precision::F32, 1.0));
            check(engine, &format!("{spec:?}, {upsample:?}"), &inputs, |tensors| {
                let (tensor, inputs) = tensors.split_last().unwrap();
                engine.conv(&conv, inputs, Some(Addend { tensor, upsample }))
            });
        }
    }
}

#[test]
fn sampling_in_stacks_is_that_in_their_maps() {
    let Some(engine) = engine() else { return };
    let engine = &*engine;
    let mut values = Values::new("stacked samples");
    let (height, width) = SIDES;
    let map = |channels| Shape::new(height, width, channels);
    for &precision in precisions(engine) {
        // Far enough to point into the map above or below.
        let flows = values.maps(engine, map(2), Precision::F32, 30.0);
        let input = values.maps(engine, map(10), precision, 1.0);
        for padding in [Padding::Zeros, Padding::Border] {
            let what = format!("a warp in {precision}, {padding:?}");
            check(engine, &what, &[input.clone(), flows.clone()], |tensors| {
                engine.flow_warp(tensors[0], tensors[1], padding)
            });
        }
        let spec = DeformSpec { max_residue: 10.0, ..DeformSpec::new(&[8, 8], 12, 4).precision(precision, precision) };
        let conv = engine.prepare_deform_conv(&spec, &values.take(spec.weight_len()), &values.take(12)).unwrap();
        let mut inputs: Vec<Vec<Tensor>> =
            [8, 8].map(|channels| values.maps(engine, map(channels), precision, 1.0)).into();
        inputs.push(values.maps(engine, map(27 * 4), Precision::F32, 2.0));
        inputs.extend([flows.clone(), values.maps(engine, map(2), Precision::F32, 5.0)]);
        check(engine, &format!("a deformable convolution in {precision}"), &inputs, |tensors| {
            engine.deform_conv(&conv, &tensors[..2], tensors[2], &tensors[3..])
        });
        for mode in ResizeMode::ALL {
            for (height, width) in [(2 * height, 2 * width), (height / 2, width / 3), (height + 1, width)] {
                check(engine, &format!("{mode:?} in {precision}"), std::slice::from_ref(&input), |tensors| {
                    engine.resize(tensors[0], height, width, mode)
                });
            }
        }
    }
}

#[test]
fn what_is_done_to_each_value_of_stacks_is_done_to_those_of_their_maps() {
    let Some(engine) = engine() else { return };
    let engine = &*engine;
    let mut values = Values::new("stacked values");
    let (height, width) = SIDES;
    let odd = Shape::new(height, width, 12);
    for &precision in precisions(engine) {
        let input = [values.maps(engine, odd, precision, 1.0)];
        check(engine, "a mean of blocks", &input, |tensors| engine.avg_pool(tensors[0]));
        check(engine, "a shuffle", &input, |tensors| engine.pixel_shuffle(tensors[0], 2));
        let (gains, offsets) = (values.take(12), values.take(12));
        check(engine, "gains", &input, |tensors| engine.scale_channels(tensors[0], &gains, &offsets));
        let two = [input[0].clone(), values.maps(engine, odd, precision, 1.0)];
        check(engine, "a sum", &two, |tensors| engine.add_scaled(tensors[0], 0.5, tensors[1]));
        let even = [values.maps(engine, Shape::new(24, 36, 3), precision, 1.0)];
        check(engine, "blocks as channels", &even, |tensors| engine.pixel_unshuffle(tensors[0], 2));

        let mean = engine.mean_abs(&stack(engine, &input[0])).unwrap();
        let means: f64 = input[0].iter().map(|map| engine.mean_abs(map).unwrap()).sum();
        assert!((mean - means / MAPS as f64).abs() < 1e-6, "{mean}");
    }
}

#[test]
fn rows_of_stacks_are_those_of_their_maps() {
    let Some(engine) = engine() else { return };
    let engine = &*engine;
    let mut values = Values::new("stacked rows");
    let (height, width) = SIDES;
    for &precision in precisions(engine) {
        let mut maps = || values.maps(engine, Shape::new(height, width, 6), precision, 1.0);
        let two = [maps(), maps()];
        check(engine, "rows", &two[..1], |tensors| engine.rows(tensors[0], 4..11));
        check(engine, "rows below rows", &two, |tensors| {
            engine.stack_rows(&[engine.rows(tensors[1], 20..23)?, tensors[0].clone()])
        });
    }
}

#[test]
fn stacks_are_put_together_and_parted() {
    let Some(engine) = engine() else { return };
    let engine = &*engine;
    let mut values = Values::new("stacks of stacks");
    let (height, width) = SIDES;
    for &precision in precisions(engine) {
        let maps = values.maps(engine, Shape::new(height, width, 5), precision, 1.0);
        let two = engine.stack_maps(&[&maps[0], &maps[1]]).unwrap();
        let all = engine.stack_maps(&[&two, &maps[2], &two]).unwrap();
        assert_eq!(all.shape().maps, 5);
        let bytes = |tensor: &Tensor| engine.to_bytes(tensor).unwrap();
        for (range, due) in [(0..2, vec![0, 1]), (1..4, vec![1, 2, 0]), (0..5, vec![0, 1, 2, 0, 1]), (4..5, vec![1])] {
            let part = engine.maps(&all, range.clone()).unwrap();
            let due: Vec<u8> = due.into_iter().flat_map(|n| bytes(&maps[n])).collect();
            assert!(bytes(&part) == due, "maps {range:?} in {precision}");
            // What lies in a longer stack is a map like any other.
            let sum = engine.add_scaled(&part, 0.0, &part).unwrap();
            assert!(bytes(&sum) == due, "maps {range:?} in {precision}, used");
        }
    }
}

#[test]
fn what_does_not_fit_stacks_is_refused() {
    let Some(engine) = engine() else { return };
    let engine = &*engine;
    let shape = Shape::new(20, 24, 3);
    let maps = Values::new("refused").maps(engine, shape, Precision::F32, 1.0);
    let frames = stack(engine, &maps);
    assert_eq!(frames.shape().to_string(), "3 maps of 20x24x3");
    let refused = |result: Result<(), EngineError>| assert!(matches!(result, Err(EngineError::Shape(_))), "{result:?}");
    refused(engine.stack_rows(&[frames.clone(), maps[0].clone()]).map(drop));
    refused(engine.stack_maps(&[]).map(drop));
    refused(engine.maps(&frames, 2..4).map(drop));
    refused(engine.maps(&frames, 1..1).map(drop));
    refused(engine.motion(&frames, &[&frames]).map(drop));
    refused(engine.add_scaled(&frames, 1.0, &maps[0]).map(drop));
    let time = Timestamp::new(0, TimeBase::new(1, 25));
    refused(engine.download(&frames, time, 1).map(drop));
    let smaller = engine.zeros(Shape::new(20, 20, 3), Precision::F32).unwrap();
    refused(engine.stack_maps(&[&maps[0], &smaller]).map(drop));
}
