//! The network at work on a window.

use std::ops::Range;
use std::sync::Arc;

use framelift_engine::{Addend, Conv, Engine, EngineError, ResizeMode, Shape, Tensor, Upsample};

use super::SAME_SIZE_STRIDE;
use super::align::{Align, Before, second_order};
use crate::Descriptor;
use crate::blocks::{ResidualBlocks, Upsampler};
use crate::network::Emit;
use crate::spynet::Spynet;
use crate::store::{FeatureId, FeatureStore};
use crate::window::{Windowed, fit, lanes_of, neighbours, parted, together};

/// The network on an engine.
pub(super) struct BasicVsrPlusPlus {
    pub(super) descriptor: Descriptor,
    pub(super) engine: Arc<dyn Engine>,
    pub(super) spynet: Spynet,
    /// The convolutions of stride 2 of the variant of the input's size.
    pub(super) strided: Option<[Conv; 2]>,
    pub(super) extract: ResidualBlocks<Conv>,
    /// The three whose features others need, in the order they run in.
    pub(super) branches: [Branch; 3],
    /// The one whose features only its own frame's result needs.
    pub(super) last_branch: Branch,
    pub(super) reconstruction: ResidualBlocks<Conv>,
    pub(super) upsampler: Upsampler<Conv>,
}

/// One branch of the propagation.
pub(super) struct Branch {
    pub(super) align: Align,
    pub(super) backbone: ResidualBlocks<Conv>,
}

/// The flows between neighbours, both ways.
struct Flows {
    /// From each frame but the last to the next.
    to_next: Vec<Tensor>,
    /// From each frame but the first to the one before.
    to_previous: Vec<Tensor>,
}

impl BasicVsrPlusPlus {
    /// The features of frames by themselves.
    fn spatial(&self, frames: &[Tensor]) -> Result<Vec<Tensor>, EngineError> {
        let engine = &*self.engine;
        let frames: Vec<&Tensor> = frames.iter().collect();
        let stack = engine.stack_maps(&frames)?;
        parted(engine, &self.extracted(&stack)?, &lanes_of(&frames))
    }

    fn extracted(&self, frame: &Tensor) -> Result<Tensor, EngineError> {
        let engine = &*self.engine;
        let Some([a, b]) = &self.strided else { return self.extract.run(engine, &[frame]) };
        let map = engine.conv(a, &[frame], None)?;
        let map = engine.conv(b, &[&map], None)?;
        self.extract.run(engine, &[&map])
    }

    /// The flows of a window, at the size of its features.
    fn flows(&self, frames: &[Tensor]) -> Result<Flows, EngineError> {
        let mut flows = Flows { to_next: Vec::new(), to_previous: Vec::new() };
        let mut from = 0;
        while from + 1 < frames.len() {
            let end = frames.len().min(from + 1 + together(&*self.engine, &frames[from]));
            let frames =
                frames[from..end].iter().map(|frame| self.at_features(frame)).collect::<Result<Vec<_>, _>>()?;
            let frames: Vec<&Tensor> = frames.iter().collect();
            let [these, next] = neighbours(&*self.engine, &frames)?.map(|frames| self.spynet.pyramid(&frames));
            let (these, next) = (these?, next?);
            flows.to_next.extend(self.spynet.flows(&these, &next)?);
            flows.to_previous.extend(self.spynet.flows(&next, &these)?);
            from = end - 1;
        }
        Ok(flows)
    }

    /// A frame at the size of its features.
    fn at_features(&self, frame: &Tensor) -> Result<Tensor, EngineError> {
        if self.strided.is_none() {
            return Ok(frame.clone());
        }
        let Shape { height, width, .. } = frame.shape();
        self.engine.resize(frame, height / SAME_SIZE_STRIDE, width / SAME_SIZE_STRIDE, ResizeMode::Bicubic)
    }

    /// Runs one branch over all frames. The features of a frame in `needed` join those `stored` of it; those of the
    /// others are not needed any more once the branch is past them.
    fn propagate(
        &self,
        branch: &Branch,
        stored: &mut [Vec<FeatureId>],
        flows: &[Tensor],
        backward: bool,
        needed: Range<usize>,
        store: &mut dyn FeatureStore,
    ) -> Result<(), EngineError> {
        let mut pass = Pass::begin(self, branch);
        let frames = stored.len();
        for step in 0..frames {
            let i = if backward { frames - 1 - step } else { step };
            // Between the frame and the one before it in this direction.
            let flow = if backward { flows.get(i) } else { i.checked_sub(1).map(|before| &flows[before]) };
            let features = pass.step(&get(store, &stored[i])?, flow)?;
            if needed.contains(&i) {
                stored[i].push(store.put(features)?);
            } else {
                stored[i].drain(..).for_each(|id| store.release(id));
            }
        }
        Ok(())
    }
}

/// The features `ids`.
fn get(store: &mut dyn FeatureStore, ids: &[FeatureId]) -> Result<Vec<Tensor>, EngineError> {
    ids.iter().map(|id| store.get(*id)).collect()
}

/// A branch on its way from frame to frame.
struct Pass<'n> {
    network: &'n BasicVsrPlusPlus,
    branch: &'n Branch,
    /// The branch's features of the frame before.
    n1: Option<Tensor>,
    /// Those of the frame two before, and the flow to it from the frame before.
    n2: Option<Before>,
}

impl<'n> Pass<'n> {
    fn begin(network: &'n BasicVsrPlusPlus, branch: &'n Branch) -> Self {
        Self { network, branch, n1: None, n2: None }
    }

    /// The branch's features of the next frame: `earlier` are the frame's own and those of earlier branches, `flow`
    /// goes from it to the frame before.
    fn step(&mut self, earlier: &[Tensor], flow: Option<&Tensor>) -> Result<Tensor, EngineError> {
        let engine = &*self.network.engine;
        let [spatial, ..] = earlier else {
            return Err(EngineError::Shape("a frame without features".into()));
        };
        let aligned = match (self.n1.take(), flow) {
            (Some(features), Some(flow)) => {
                // Of several windows, those that have the frame before; and of these, those that have the one before that.
                let lanes = flow.shape().maps;
                let n1 = Before { features: fit(engine, &features, lanes)?, flow: flow.clone() };
                let n2 = match self.n2.take() {
                    Some(n2) => {
                        let known = n2.flow.shape().maps.min(lanes);
                        let [flow, on] = [flow, &n2.flow].map(|flow| fit(engine, flow, known));
                        let flow = fit(engine, &second_order(engine, &flow?, &on?)?, lanes)?;
                        Some(Before { features: fit(engine, &n2.features, lanes)?, flow })
                    }
                    None => None,
                };
                let aligned = self.branch.align.run(engine, &fit(engine, spatial, lanes)?, &n1, n2)?;
                self.n2 = Some(n1);
                fit(engine, &aligned, spatial.shape().maps)?
            }
            _ => engine.zeros(spatial.shape(), spatial.precision())?,
        };
        let inputs: Vec<&Tensor> = earlier.iter().chain([&aligned]).collect();
        let features = engine.add_scaled(&self.branch.backbone.run(engine, &inputs)?, 1.0, &aligned)?;
        self.n1 = Some(features.clone());
        Ok(features)
    }
}

impl Windowed for BasicVsrPlusPlus {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// The last branch ends where `keep` does: no result depends on what is
    /// left out.
    fn run(
        &self,
        frames: &[Tensor],
        keep: Range<usize>,
        store: &mut dyn FeatureStore,
        emit: &mut Emit<'_>,
    ) -> Result<(), EngineError> {
        let flows = self.flows(frames)?;
        // Of each frame, its own features and those of the branches that are past it.
        let mut stored: Vec<Vec<FeatureId>> = Vec::with_capacity(frames.len());
        for some in frames.chunks(together(&*self.engine, &frames[0])) {
            for features in self.spatial(some)? {
                stored.push(vec![store.put(features)?]);
            }
        }

        let [backward_1, forward_1, backward_2] = &self.branches;
        self.propagate(backward_1, &mut stored, &flows.to_next, true, 0..frames.len(), store)?;
        self.propagate(forward_1, &mut stored, &flows.to_previous, false, 0..frames.len(), store)?;
        self.propagate(backward_2, &mut stored, &flows.to_next, true, 0..keep.end, store)?;

        let mut pass = Pass::begin(self, &self.last_branch);
        for (i, frame) in frames.iter().enumerate().take(keep.end) {
            let mut features = get(store, &stored[i])?;
            stored[i].drain(..).for_each(|id| store.release(id));
            let last = pass.step(&features, i.checked_sub(1).map(|before| &flows.to_previous[before]))?;
            if !keep.contains(&i) {
                continue;
            }
            features.push(last);
            let inputs: Vec<&Tensor> = features.iter().collect();
            let reconstructed = self.reconstruction.run(&*self.engine, &inputs)?;
            drop(features);
            let upsample = if self.strided.is_some() { Upsample::None } else { Upsample::Bilinear };
            let base = Addend { tensor: frame, upsample };
            emit(self.upsampler.run(&*self.engine, reconstructed, Some(base))?)?;
        }
        Ok(())
    }
}
