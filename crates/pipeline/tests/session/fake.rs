//! Small networks whose results show every frame that they saw, and in which precision.

use std::ops::Range;
use std::sync::Arc;

use framelift_engine::reference::ReferenceEngine;
use framelift_engine::{Engine, EngineError, HostTensor, Precision, Shape, Tensor};
use framelift_frame::{Frame, Plane, Size, TimeBase, Timestamp};
use framelift_nets::network::Emit;
use framelift_nets::{Descriptor, FeatureStore, Network, Reach, Shot, Values};
use framelift_pipeline::Model;

/// What a fake network is like.
#[derive(Clone, Copy)]
pub(crate) struct Fake {
    pub(crate) reach: Reach,
    pub(crate) scale: u32,
    pub(crate) size_multiple: u32,
    pub(crate) min_side_px: u32,
    pub(crate) values_per_pixel: u64,
    /// Frames whose first red sample is this overflow in bf16.
    pub(crate) overflows: Option<u16>,
    /// Frames whose first red sample is this overflow in every precision.
    pub(crate) fails: Option<u16>,
}

impl Fake {
    pub(crate) fn new(reach: Reach, scale: u32) -> Self {
        Self { reach, scale, size_multiple: 1, min_side_px: 1, values_per_pixel: 10, overflows: None, fails: None }
    }

    pub(crate) fn network(self, engine: &Arc<dyn Engine>, precision: Precision) -> Arc<dyn Network> {
        let descriptor = Descriptor {
            architecture: "fake",
            variant: String::new(),
            scale: self.scale,
            reach: self.reach,
            size_multiple: self.size_multiple,
            min_side_px: self.min_side_px,
            parameters: 0,
            macs_per_pixel: 0,
            phases: vec![Values::features(self.values_per_pixel)],
            together: Vec::new(),
            upsampling: None,
            held: Values::pictures(1),
            stored_values_per_pixel: 3,
            precisions: &[Precision::F32, Precision::Bf16],
            purpose: String::new(),
            licence: None,
        };
        Arc::new(FakeNetwork { fake: self, descriptor, engine: engine.clone(), precision })
    }

    pub(crate) fn model(self, precision: Precision) -> Model {
        self.model_on(ReferenceEngine::new(), precision)
    }

    pub(crate) fn model_on(self, engine: ReferenceEngine, precision: Precision) -> Model {
        let engine: Arc<dyn Engine> = Arc::new(engine);
        let on = engine.clone();
        Model::new(engine, precision, move |precision| Ok(self.network(&on, precision))).unwrap()
    }
}

struct FakeNetwork {
    fake: Fake,
    descriptor: Descriptor,
    engine: Arc<dyn Engine>,
    precision: Precision,
}

impl FakeNetwork {
    /// The values of a frame as this precision keeps them; NaN where they overflow.
    fn features(&self, frame: &Tensor) -> Result<HostTensor, EngineError> {
        let mut values = self.engine.to_host(frame)?;
        let map = values.shape().len() / values.shape().maps;
        for first in values.data_mut().iter_mut().step_by(map) {
            let sample = (*first * 65_535.0).round() as u16;
            let overflows = Some(sample) == self.fake.fails
                || (self.precision != Precision::F32 && Some(sample) == self.fake.overflows);
            if overflows {
                *first = f32::NAN;
            }
        }
        self.engine.to_host(&self.engine.from_host(&values, self.precision)?)
    }

    /// A picture `scale` times as large.
    fn result(&self, values: &HostTensor) -> Result<Tensor, EngineError> {
        let (shape, scale) = (values.shape(), self.fake.scale as usize);
        let Shape { maps, height, width, channels } = shape;
        // One map after another is one of as many times the height.
        let values = HostTensor::new(Shape::new(maps * height, width, channels), values.data().to_vec())?;
        let large = HostTensor::from_fn(Shape::new(maps * height * scale, width * scale, 3), |y, x, c| {
            values.at(y / scale, x / scale, c)
        });
        let large = HostTensor::new(shape.with(height * scale, width * scale, 3), large.data().to_vec())?;
        self.engine.from_host(&large, Precision::F32)
    }
}

/// `a · share + b`, value by value.
fn add(a: &HostTensor, share: f32, b: &HostTensor) -> HostTensor {
    let data = a.data().iter().zip(b.data()).map(|(a, b)| a * share + b).collect();
    HostTensor::new(a.shape(), data).unwrap()
}

impl Network for FakeNetwork {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    fn begin(self: Arc<Self>) -> Box<dyn Shot> {
        Box::new(FakeShot { network: self, waiting: Vec::new(), state: None })
    }

    /// Each result is the sum of all frames of the window, weighted by their distance; the first pass runs backwards.
    fn window(
        &self,
        frames: &[Tensor],
        keep: Range<usize>,
        store: &mut dyn FeatureStore,
        emit: &mut Emit<'_>,
    ) -> Result<(), EngineError> {
        let mut kept = Vec::new();
        for frame in frames.iter().rev() {
            let features = self.features(frame)?;
            kept.push(store.put(self.engine.from_host(&features, self.precision)?)?);
        }
        kept.reverse();
        for n in keep {
            let mut sum = vec![0.0; frames[n].shape().len()];
            for (m, id) in kept.iter().enumerate() {
                // Of several windows some may have ended.
                let features = self.engine.to_host(&store.get(*id)?)?;
                let share = 0.4 * 0.5_f32.powi(n.abs_diff(m) as i32);
                sum.iter_mut().zip(features.data()).for_each(|(sum, value)| *sum += value * share);
            }
            emit(self.result(&HostTensor::new(frames[n].shape(), sum)?)?)?;
        }
        kept.into_iter().for_each(|id| store.release(id));
        Ok(())
    }
}

/// A network of one frame, or one that adds half of what it had to each frame.
struct FakeShot {
    network: Arc<FakeNetwork>,
    waiting: Vec<Tensor>,
    state: Option<HostTensor>,
}

impl FakeShot {
    fn make(&mut self, frame: &Tensor) -> Result<Tensor, EngineError> {
        let mut features = self.network.features(frame)?;
        if let (Reach::Causal { .. }, Some(state)) = (self.network.fake.reach, &self.state) {
            features = add(state, 0.5, &features);
        }
        let halved = HostTensor::new(features.shape(), features.data().iter().map(|v| v * 0.5).collect())?;
        self.state = Some(features);
        self.network.result(&halved)
    }
}

impl Shot for FakeShot {
    fn push(&mut self, frame: Tensor) -> Result<Vec<Tensor>, EngineError> {
        let lookahead = match self.network.fake.reach {
            Reach::Causal { lookahead } => lookahead,
            _ => 0,
        };
        self.waiting.push(frame);
        if self.waiting.len() <= lookahead {
            return Ok(Vec::new());
        }
        let now = self.waiting.remove(0);
        Ok(vec![self.make(&now)?])
    }

    fn finish(mut self: Box<Self>) -> Result<Vec<Tensor>, EngineError> {
        let waiting = std::mem::take(&mut self.waiting);
        waiting.iter().map(|frame| self.make(frame)).collect()
    }
}

/// The first red sample of frame `n` of [`film`].
pub(crate) fn first_sample(n: usize) -> u16 {
    (n * 1009 % 30_000) as u16
}

/// Frames that differ, at uneven times.
pub(crate) fn film(size: Size, count: usize) -> Vec<Frame> {
    let mut ticks = -7;
    (0..count)
        .map(|n| {
            let plane = |channel: usize| {
                let at = |i: usize| ((i * 7919 + n * 1009 + channel * 20_011) % 30_000) as u16;
                Plane::new(size, (0..size.pixels() as usize).map(at).collect()).unwrap()
            };
            let duration = 1 + (n % 3) as i64;
            ticks += duration;
            Frame::new([plane(0), plane(1), plane(2)], Timestamp::new(ticks, TimeBase::new(1, 24)), duration).unwrap()
        })
        .collect()
}
