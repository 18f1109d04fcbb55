//! Motion between frames.

use framelift_engine::motion::Motion;
use framelift_engine::{Engine, EngineError, HostTensor, Precision, Shape};

use super::noise;

/// A picture with detail in every direction and some noise, moved by `(dx, dy)`.
fn picture(height: usize, width: usize, dx: f32, dy: f32) -> HostTensor {
    let mut grain = noise(11);
    HostTensor::from_fn(Shape::new(height, width, 3), |y, x, channel| {
        let (x, y) = (x as f32 + dx, y as f32 + dy);
        let value = (x * 0.31 + y * 0.11).sin() + (y * 0.37 - x * 0.07).cos() + (x * 0.05).sin() * (y * 0.06).cos();
        0.5 + 0.15 * value + 0.02 * channel as f32 + 0.01 * grain()
    })
}

/// Flows to two frames are the reference's to `tolerance` pixels, at odd sizes and single pixels, and what is not finite
/// stays so.
///
/// # Panics
/// Where one is not.
pub fn motions_are_the_references(engine: &dyn Engine, tolerance: f32) {
    let upload = |values: &HostTensor| engine.from_host(values, Precision::F32).expect("an upload");
    for (height, width) in [(1, 1), (1, 40), (16, 16), (17, 15), (61, 83), (128, 130)] {
        let from = picture(height, width, 0.0, 0.0);
        let others = [(1.3, -0.8), (-3.0, 2.5)].map(|(dx, dy)| picture(height, width, dx, dy));
        let motion = Motion::of(&from).expect("a frame");
        let tensors = others.each_ref().map(upload);
        let flows = engine.motion(&upload(&from), &tensors.each_ref()).expect("flows");
        assert_eq!(flows.len(), 2);
        for (flow, other) in flows.iter().zip(&others) {
            let (got, due) = (engine.to_host(flow).expect("a download"), motion.flow_to(other).expect("a flow"));
            assert_eq!(got.shape(), due.shape());
            let worst = got.data().iter().zip(due.data()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst <= tolerance, "{height}x{width}: {worst} pixels");
        }
        // What comes after relies on the padding.
        let again = upload(&engine.to_host(&flows[0]).expect("a download"));
        let frame = upload(&from);
        let warp = |flow| engine.flow_warp(&frame, flow, framelift_engine::Padding::Border).expect("a warp");
        let [a, b] = [warp(&flows[0]), warp(&again)].map(|warped| engine.to_host(&warped).expect("a download"));
        assert_eq!(a, b);
    }
    let broken = HostTensor::from_fn(Shape::new(20, 24, 3), |_, _, _| f32::NAN);
    let flows = engine.motion(&upload(&picture(20, 24, 0.0, 0.0)), &[&upload(&broken)]).expect("flows");
    assert!(engine.to_host(&flows[0]).expect("a download").data().iter().any(|v| v.is_nan()));
    let frame = upload(&picture(20, 20, 0.0, 0.0));
    let refused = engine.motion(&frame, &[&upload(&picture(20, 21, 0.0, 0.0))]);
    assert!(matches!(refused, Err(EngineError::Shape(_))));
    assert!(engine.motion(&frame, &[]).expect("no flows").is_empty());
}
