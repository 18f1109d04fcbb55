//! Convolution: a list of channels-last maps in, bias, activation, scale, addend and pixel shuffle on the way out.
//!
//! Two methods. [`direct`] gathers the input of a band of rows into a cache-sized scratch and multiplies it by the
//! weights, a few pixels by up to 64 outputs at a time. [`winograd`] computes 3×3 convolutions of stride 1 on 4×4
//! tiles with a quarter of the multiplications. Both end in [`finish`]. Neither keeps a full-size intermediate map:
//! a task reads its part of the inputs and writes its part of the output.
//!
//! Every output value is computed by one task in a fixed order, so the result does not depend on the number of threads.

pub(super) mod direct;
mod finish;
mod gather;
mod pack;
mod plan;
pub(super) mod winograd;

pub(crate) use finish::Added;
pub use plan::ConvMethod;
pub(crate) use plan::Plan;

use crate::map::View;

/// A convolution to compute: the whole of it, of which a task does a part.
pub(crate) struct Job<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) inputs: &'a [View],
    pub(crate) output: View,
    pub(crate) added: Option<Added>,
    /// Rows of sums, before the pixel shuffle.
    pub(crate) height: usize,
    /// Columns of sums, before the pixel shuffle.
    pub(crate) width: usize,
}

/// How a job is cut up.
#[derive(Clone, Copy)]
pub(crate) struct Tasks {
    pub(crate) count: usize,
    /// Values of scratch that a task needs.
    pub(crate) scratch_len: usize,
}

/// Computes task number `task` of a job with a scratch of [`Tasks::scratch_len`] initialised values.
///
/// # Safety
/// The processor must have the instructions; views and scratch must be valid, and the part of the output that belongs
/// to the task not be touched by anyone else meanwhile.
pub(crate) type TaskFn = unsafe fn(job: &Job<'_>, task: usize, scratch: *mut f32);

impl Job<'_> {
    /// How the job is cut into tasks.
    pub(crate) fn tasks(&self) -> Tasks {
        match self.plan.method {
            ConvMethod::Direct => direct::tasks(self),
            ConvMethod::Winograd => winograd::tasks(self),
        }
    }

    /// The kernel that computes its tasks.
    pub(crate) fn kernel(&self) -> TaskFn {
        match self.plan.method {
            ConvMethod::Direct => self.plan.kernels.conv_direct,
            ConvMethod::Winograd => self.plan.kernels.conv_winograd,
        }
    }
}
