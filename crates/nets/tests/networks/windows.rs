//! Networks of windows: what is kept, where features wait, what is refused.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use framelift_engine::{Engine, EngineError, HostTensor, Precision, Shape, Tensor};
use framelift_nets::{FeatureId, FeatureStore, MemoryStore, Network, Reach, detect};
use framelift_testkit::golden::Array;
use framelift_testkit::{max_abs_diff_of_frames, synth};

use crate::{checkpoint, engines, fastest_engine, network, noise, run};

/// Small networks of windows, each with a size it can be run at.
fn networks() -> [(BTreeMap<String, Array>, usize, usize); 4] {
    [
        (synth::basicvsr(8, 1), 20, 36),
        (synth::basicvsr_plusplus(8, 1, false), 20, 36),
        (synth::basicvsr_plusplus(8, 1, true), 48, 64),
        (synth::realbasicvsr(8, 1, 1), 20, 36),
    ]
}

/// The results of the frames `keep` of a window.
fn window(
    network: &dyn Network,
    engine: &dyn Engine,
    frames: &[HostTensor],
    keep: Range<usize>,
    store: &mut dyn FeatureStore,
) -> Result<Vec<HostTensor>, EngineError> {
    let frames: Vec<Tensor> = frames.iter().map(|f| engine.from_host(f, Precision::F32).unwrap()).collect();
    let mut results = Vec::new();
    network.window(&frames, keep, store, &mut |result| {
        results.push(engine.to_host(&result)?);
        Ok(())
    })?;
    Ok(results)
}

/// Features as bytes, as in a scratch file.
struct BytesStore {
    engine: Arc<dyn Engine>,
    features: BTreeMap<FeatureId, (Shape, Precision, Vec<u8>)>,
    next: u64,
    values: usize,
    peak_values: usize,
}

impl BytesStore {
    fn new(engine: &Arc<dyn Engine>) -> Self {
        Self { engine: Arc::clone(engine), features: BTreeMap::new(), next: 0, values: 0, peak_values: 0 }
    }
}

impl FeatureStore for BytesStore {
    fn put(&mut self, feature: Tensor) -> Result<FeatureId, EngineError> {
        let bytes = self.engine.to_bytes(&feature)?;
        let id = FeatureId(self.next);
        self.next += 1;
        self.values += feature.shape().len();
        self.peak_values = self.peak_values.max(self.values);
        self.features.insert(id, (feature.shape(), feature.precision(), bytes));
        Ok(id)
    }

    fn get(&mut self, id: FeatureId) -> Result<Tensor, EngineError> {
        let (shape, precision, bytes) = &self.features[&id];
        self.engine.from_bytes(*shape, *precision, bytes)
    }

    fn release(&mut self, id: FeatureId) {
        let (shape, ..) = self.features.remove(&id).unwrap();
        self.values -= shape.len();
    }
}

#[test]
fn what_is_kept_does_not_change_it() {
    let (_, engine) = fastest_engine();
    for (arrays, height, width) in networks() {
        let network = network(&checkpoint("synthetic", &arrays), &engine, Precision::F32);
        let said = network.descriptor().architecture;
        assert_eq!(network.descriptor().reach, Reach::Window);
        let frames = noise(4, height, width);
        let whole = run(&network, &engine, &frames);
        for start in 0..=4 {
            for end in start..=4 {
                let mut store = MemoryStore::new();
                let kept = window(&*network, &*engine, &frames, start..end, &mut store).unwrap();
                assert_eq!(kept, whole[start..end], "{said} {start}..{end}");
                assert!(store.is_empty(), "{said} {start}..{end}");
            }
        }
    }
}

#[test]
fn every_frame_of_a_window_counts() {
    let (_, engine) = fastest_engine();
    for (arrays, height, width) in networks() {
        let network = network(&checkpoint("synthetic", &arrays), &engine, Precision::F32);
        let frames = noise(3, height, width);
        let whole = run(&network, &engine, &frames);
        for changed in 0..3 {
            let mut frames = frames.clone();
            frames[changed].data_mut().iter_mut().for_each(|v| *v = 1.0 - *v);
            let results = run(&network, &engine, &frames);
            for (i, (result, before)) in results.iter().zip(&whole).enumerate() {
                assert_ne!(result, before, "{}: frame {changed} on {i}", network.descriptor().architecture);
            }
        }
    }
}

#[test]
fn features_that_wait_as_bytes_change_nothing() {
    let (_, engine) = fastest_engine();
    for precision in [Precision::F32, Precision::Bf16] {
        for (arrays, height, width) in networks() {
            let network = network(&checkpoint("synthetic", &arrays), &engine, precision);
            let said = network.descriptor();
            let frames = noise(5, height, width);
            let whole = run(&network, &engine, &frames);
            let mut store = BytesStore::new(&engine);
            let results = window(&*network, &*engine, &frames, 0..5, &mut store).unwrap();
            assert_eq!(results, whole, "{} {precision}", said.architecture);
            assert!(store.features.is_empty(), "{}", said.architecture);
            let due = 5 * height * width * said.stored_values_per_pixel as usize;
            assert_eq!(store.peak_values, due, "{}", said.architecture);
        }
    }
}

#[test]
fn windows_match_the_reference_on_every_engine() {
    for (arrays, ..) in networks() {
        let checkpoint = checkpoint("synthetic", &arrays);
        let side = if detect(&checkpoint).unwrap().descriptor().size_multiple > 1 { 36 } else { 20 };
        let frames = noise(3, side, side);
        let mut due: Option<Vec<HostTensor>> = None;
        for (name, engine) in engines() {
            let network = network(&checkpoint, &engine, Precision::F32);
            let results = run(&network, &engine, &frames);
            let diff = max_abs_diff_of_frames(due.get_or_insert_with(|| results.clone()), &results);
            println!("{} {name}: {diff:.2e}", network.descriptor().architecture);
            assert!(diff <= 1e-4, "{} on {name}: {diff:e}", network.descriptor().architecture);
        }
    }
}

#[test]
fn windows_that_cannot_be_are_refused() {
    let (_, engine) = fastest_engine();
    let keeps = |arrays: &BTreeMap<String, Array>, frames: &[HostTensor], keep: Range<usize>| {
        let network = network(&checkpoint("synthetic", arrays), &engine, Precision::F32);
        window(&*network, &*engine, frames, keep, &mut MemoryStore::new()).unwrap_err().to_string()
    };
    for (arrays, height, width) in networks() {
        let mut frames = noise(3, height, width);
        assert!(keeps(&arrays, &frames, 1..4).contains("results 1..4 of a window of 3 frames"));
        frames.extend(noise(1, height, width + 4));
        assert!(keeps(&arrays, &frames, 0..4).contains("in a shot of"));
    }
    let message = keeps(&synth::basicvsr_plusplus(8, 1, true), &noise(1, 48, 50), 0..1);
    assert!(message.contains("a frame of 48x50x3 for BasicVSR++, whose sides are multiples of 4"), "{message}");
    // Networks of another reach take their frames one by one.
    for arrays in [synth::lift(4, 1, 2), synth::rrdbnet(4, 2, 1, 4)] {
        let message = keeps(&arrays, &noise(1, 8, 8), 0..1);
        assert!(message.contains("cannot run in windows; its frames are pushed one by one"), "{message}");
    }
}

#[test]
fn a_failing_store_or_taker_ends_the_window() {
    struct Full(MemoryStore);
    impl FeatureStore for Full {
        fn put(&mut self, feature: Tensor) -> Result<FeatureId, EngineError> {
            if self.0.len() == 2 {
                return Err(EngineError::Scratch(std::io::Error::from(std::io::ErrorKind::StorageFull)));
            }
            self.0.put(feature)
        }
        fn get(&mut self, id: FeatureId) -> Result<Tensor, EngineError> {
            self.0.get(id)
        }
        fn release(&mut self, id: FeatureId) {
            self.0.release(id);
        }
    }
    let (_, engine) = fastest_engine();
    for (arrays, height, width) in networks() {
        let network = network(&checkpoint("synthetic", &arrays), &engine, Precision::F32);
        let frames = noise(3, height, width);
        let error = window(&*network, &*engine, &frames, 0..3, &mut Full(MemoryStore::new())).unwrap_err();
        assert!(matches!(error, EngineError::Scratch(_)), "{error}");

        let frames: Vec<Tensor> = frames.iter().map(|f| engine.from_host(f, Precision::F32).unwrap()).collect();
        let mut taken = 0;
        let mut refuse = |_| {
            taken += 1;
            Err(EngineError::Shape("enough".into()))
        };
        assert!(network.window(&frames, 0..3, &mut MemoryStore::new(), &mut refuse).is_err());
        assert_eq!(taken, 1);
    }
}

#[test]
fn only_realbasicvsr_has_a_cleaning_threshold() {
    let detected = |arrays| detect(&checkpoint("synthetic", &arrays)).unwrap();
    let cleaning = detected(synth::realbasicvsr(8, 1, 1));
    for threshold in [-1.0, 256.0, f32::NAN] {
        let message = cleaning.with_cleaning_threshold(threshold).unwrap_err().to_string();
        assert!(message.contains("is not between 0 and 255"), "{message}");
    }
    for arrays in [synth::basicvsr(8, 1), synth::lift(4, 1, 2), synth::rrdbnet(4, 2, 1, 4)] {
        let message = detected(arrays).with_cleaning_threshold(5.0).unwrap_err().to_string();
        assert!(message.contains("it has no cleaning network"), "{message}");
    }

    let (_, engine) = fastest_engine();
    let frames = noise(3, 24, 24);
    let cleaned = |threshold: Option<f32>| {
        let detected = threshold.map_or(cleaning.clone(), |t| cleaning.with_cleaning_threshold(t).unwrap());
        run(&detected.prepare(Arc::clone(&engine), Precision::F32).unwrap(), &engine, &frames)
    };
    let once = cleaned(None);
    assert_eq!(cleaned(Some(255.0)), once);
    assert_ne!(cleaned(Some(0.0)), once, "three times");
}
