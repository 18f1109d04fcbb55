//! How long a network takes: tensors in, tensors out.

use std::sync::Arc;
use std::time::Instant;

use framelift_engine::{Engine, EngineError, Tensor};

use crate::{MemoryStore, Network, Reach};

/// Frames before the clock starts: pools are filled, caches warm, the look-ahead primed.
const WARM_UP: usize = 3;

/// Frames that are pushed before the engine is waited for take about so long: a device that works on while the next frames
/// are asked for shows its speed then, as it does in a film.
const BATCH_SECONDS: f64 = 0.1;

/// Frames of such a batch, at most.
const MOST_IN_BATCH: usize = 32;

/// Seconds of a frame, measured again and again for about `seconds`, shortest first: of pushes in the middle of a shot of
/// the first of `frames`, or, of a network that sees windows, of a window of all of them, shared among them.
///
/// # Errors
/// [`EngineError::Shape`] where there are no frames; those of the engine.
pub fn seconds_a_frame(
    engine: &dyn Engine,
    network: &Arc<dyn Network>,
    frames: &[Tensor],
    seconds: f64,
) -> Result<Vec<f64>, EngineError> {
    let Some(first) = frames.first() else { return Err(EngineError::Shape("no frames to measure with".into())) };
    let mut times = match network.descriptor().reach {
        Reach::Window => of_windows(engine, &**network, frames, seconds)?,
        Reach::Frame | Reach::Causal { .. } => of_pushes(engine, network, first, seconds)?,
    };
    times.sort_by(f64::total_cmp);
    Ok(times)
}

fn of_pushes(
    engine: &dyn Engine,
    network: &Arc<dyn Network>,
    frame: &Tensor,
    seconds: f64,
) -> Result<Vec<f64>, EngineError> {
    let mut shot = Arc::clone(network).begin();
    for _ in 0..WARM_UP {
        shot.push(frame.clone())?;
        engine.wait()?;
    }
    let mut batch = |frames: usize| {
        let at = Instant::now();
        for _ in 0..frames {
            drop(shot.push(frame.clone())?);
        }
        engine.wait()?;
        Ok::<f64, EngineError>(at.elapsed().as_secs_f64() / frames as f64)
    };
    let frames = ((BATCH_SECONDS / batch(1)?) as usize).clamp(1, MOST_IN_BATCH);
    let begun = Instant::now();
    let mut times = Vec::new();
    while times.len() < 3 || begun.elapsed().as_secs_f64() < seconds {
        times.push(batch(frames)?);
    }
    Ok(times)
}

/// Each window after the first, which warms up.
fn of_windows(
    engine: &dyn Engine,
    network: &dyn Network,
    frames: &[Tensor],
    seconds: f64,
) -> Result<Vec<f64>, EngineError> {
    let begun = Instant::now();
    let mut times = Vec::new();
    while times.len() < 2 || begun.elapsed().as_secs_f64() < seconds {
        let at = Instant::now();
        network.window(frames, 0..frames.len(), &mut MemoryStore::new(), &mut |_| Ok(()))?;
        engine.wait()?;
        times.push(at.elapsed().as_secs_f64() / frames.len() as f64);
    }
    times.remove(0);
    Ok(times)
}
