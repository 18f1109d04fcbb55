//! What a window made of the first frames after its body, until the next window has made them too: one fades into the other,
//! so that where recurrences remember longer than a context lasts, no border shows.

use framelift_engine::{Engine, EngineError, Tensor};
use framelift_frame::{Frame, TimeBase, Timestamp};

/// Results of the window before, from the first frame of a body on.
#[derive(Clone, Debug, Default)]
pub struct Fade(Vec<Frame>);

impl Fade {
    /// Adds the next frame.
    pub(crate) fn push(&mut self, frame: Frame) {
        self.0.push(frame);
    }

    /// Mixes `frame`, which is `index` of the body, with what the window before made of it: of `n` frames the first counts
    /// by one part in `n + 1`, the last by `n`.
    pub(crate) fn mix(&self, index: usize, frame: &mut Frame) {
        let Some(before) = self.0.get(index) else { return };
        let parts = self.0.len() as u64 + 1;
        let new = index as u64 + 1;
        for (before, plane) in before.planes().iter().zip(frame.planes_mut()) {
            for (&before, sample) in before.samples().iter().zip(plane.samples_mut()) {
                let sum = u64::from(before) * (parts - new) + u64::from(*sample) * new;
                *sample = ((sum + parts / 2) / parts) as u16;
            }
        }
    }

    /// The frames as tensors, for a file.
    pub(crate) fn freeze(
        &self,
        engine: &dyn Engine,
    ) -> impl ExactSizeIterator<Item = Result<Option<Tensor>, EngineError>> {
        self.0.iter().map(|frame| engine.upload(frame).map(Some))
    }

    /// The frames that were frozen.
    pub(crate) fn thawed(engine: &dyn Engine, state: &[Option<Tensor>]) -> Result<Self, EngineError> {
        // Each is mixed into a frame that has a time.
        let time = Timestamp::new(0, TimeBase::new(1, 1));
        state.iter().flatten().map(|tensor| engine.download(tensor, time, 0)).collect::<Result<_, _>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use framelift_engine::reference::ReferenceEngine;
    use framelift_frame::{Plane, Size};

    use super::*;

    const SIZE: Size = Size::new(5, 3);

    fn grey(value: u16) -> Frame {
        let plane = Plane::filled(SIZE, value);
        Frame::new([plane.clone(), plane.clone(), plane], Timestamp::new(7, TimeBase::new(1, 25)), 1).unwrap()
    }

    #[test]
    fn the_new_takes_over_in_equal_steps() {
        let mut fade = Fade::default();
        (0..3).for_each(|_| fade.push(grey(1000)));
        for (index, due) in [1500, 2000, 2500, 3000, 3000].into_iter().enumerate() {
            let mut frame = grey(3000);
            fade.mix(index, &mut frame);
            assert!(frame == grey(due), "{index}");
        }
        let mut alone = grey(9);
        Fade::default().mix(0, &mut alone);
        assert!(alone == grey(9));
    }

    #[test]
    fn every_sample_survives_the_freezer() {
        let engine = ReferenceEngine::new();
        let size = Size::new(256, 256);
        let plane = Plane::new(size, (0..=u16::MAX).collect()).unwrap();
        let frame =
            Frame::new([plane.clone(), plane.clone(), plane], Timestamp::new(0, TimeBase::new(1, 1)), 0).unwrap();
        let fade = Fade(vec![frame.clone(), frame]);
        let back = Fade::thawed(&engine, &fade.freeze(&engine).collect::<Result<Vec<_>, _>>().unwrap()).unwrap();
        assert!(back.0 == fade.0);
    }
}
