//! Operations that sample their inputs where flows and offsets point.

use std::sync::Arc;

use framelift_engine::motion::Motion;
use framelift_engine::{DeformConv, DeformSpec, Engine, EngineError, Padding, Precision, Shape, Tensor};
use rayon::prelude::*;

use super::{CpuEngine, map};
use crate::NAME;
use crate::kernels::{deform_conv, flow_warp};
use crate::map::View;

/// The view of an f32 flow.
fn read_flow(flow: &Tensor) -> Result<View, EngineError> {
    match flow.precision() {
        Precision::F32 => map::read(flow),
        other => Err(EngineError::Shape(format!("a flow in {other}; flows are f32"))),
    }
}

impl CpuEngine {
    /// [`Engine::flow_warp`](framelift_engine::Engine::flow_warp).
    pub(super) fn warped(&self, input: &Tensor, flow: &Tensor, padding: Padding) -> Result<Tensor, EngineError> {
        let shape = input.shape();
        let (from, flow_view) = (map::read(input)?, read_flow(flow)?);
        if flow.shape() != Shape::new(shape.height, shape.width, 2) {
            return Err(EngineError::Shape(format!("a flow of {} for {shape}", flow.shape())));
        }
        let map = self.allocate(shape, input.precision())?;
        let job = flow_warp::Job { input: from, flow: flow_view, output: map.view(), padding };
        // SAFETY: row `y` is this call's alone; the processor has the instructions; input and flow live.
        self.for_each_row(shape.height, |y| unsafe { (self.kernels.warp_row)(&job, y) });
        Ok(map.finish())
    }

    /// [`Engine::motion`].
    pub(super) fn motion_to(&self, from: &Tensor, to: &[&Tensor]) -> Result<Vec<Tensor>, EngineError> {
        let frames = to.iter().map(|to| self.to_host(to)).collect::<Result<Vec<_>, _>>()?;
        let motion = Motion::of(&self.to_host(from)?)?;
        let flows: Vec<_> = self.threads.install(|| frames.par_iter().map(|to| motion.flow_to(to)).collect());
        flows.into_iter().map(|flow| self.from_host(&flow?, Precision::F32)).collect()
    }

    /// [`Engine::prepare_deform_conv`](framelift_engine::Engine::prepare_deform_conv).
    pub(super) fn prepared_deform(
        &self,
        spec: &DeformSpec,
        weights: &[f32],
        bias: &[f32],
    ) -> Result<DeformConv, EngineError> {
        spec.check(weights, bias)?;
        let plan = deform_conv::Plan::new(spec, weights, bias, self.kernels, &self.pool)?;
        Ok(DeformConv::new(spec.clone(), Arc::new(plan)))
    }

    /// [`Engine::deform_conv`](framelift_engine::Engine::deform_conv).
    pub(super) fn deformed(
        &self,
        conv: &DeformConv,
        inputs: &[&Tensor],
        residues: &Tensor,
        flows: &[&Tensor],
    ) -> Result<Tensor, EngineError> {
        let spec = conv.spec();
        let plan: &deform_conv::Plan =
            conv.prepared().ok_or(EngineError::Foreign { what: "convolution", engine: NAME })?;
        let shape = conv.check_call(inputs, residues, flows)?;
        let inputs = inputs.iter().map(|input| map::read(input)).collect::<Result<Vec<View>, _>>()?;
        let flows = flows.iter().map(|flow| read_flow(flow)).collect::<Result<Vec<View>, _>>()?;
        let map = self.allocate(shape, spec.output)?;
        let residues = map::read(residues)?;
        let job = deform_conv::Job { plan, inputs: &inputs, residues, flows: &flows, output: map.view() };
        let scratch_len = job.scratch_len();
        self.threads.install(|| {
            (0..job.output.height).into_par_iter().try_for_each(|y| {
                // SAFETY: the processor has the kernel's instructions; what is read lives and is complete; the scratch
                // is this thread's, and row `y` of the output this call's alone.
                self.with_scratch(scratch_len, |scratch| unsafe { (self.kernels.deform_row)(&job, y, scratch) })
            })
        })?;
        Ok(map.finish())
    }
}
