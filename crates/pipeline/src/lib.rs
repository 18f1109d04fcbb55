//! Stages, bounded queues and progress: from a film to a film.
//!
//! [`run`](run()) builds the picture of the design: demux, decode, to_rgb, split_shots, upscale, to_yuv, encode and mux, each on a
//! thread of its name, joined by queues that are bounded in bytes. [`Session`] is the stage in the middle on its
//! own: frames in, frames out. [`SessionPlan`] is how it goes about them in the memory it may take.

mod error;
mod fade;
#[cfg(test)]
#[path = "../tests/session/fake.rs"]
mod fake;
mod fleet;
mod job;
mod memory;
mod model;
mod outlet;
mod pieces;
mod plan;
mod planning;
mod progress;
mod queue;
mod resume;
mod run;
mod session;
mod stages;
mod store;
mod stream;
mod windows;

pub use error::PipelineError;
pub use fade::Fade;
pub use job::{CancelToken, Event, Job, MAX_SIDE_PX, PartSpec, Plan, Summary, Target, Upscale};
pub use memory::{
    available_bytes, default_limit_bytes, least_outside_network_bytes, outside_network_bytes, peak_resident_bytes,
};
pub use model::{Model, Prepare};
pub use outlet::Sink;
pub use pieces::padded_size;
pub use plan::{
    DEFAULT_BODY, DEFAULT_CONTEXT, DEFAULT_FADE, Offload, Room, STILL_WINDOW, SessionPlan, StillWindow, Stream,
    WindowOptions, WindowPlan,
};
pub use progress::Progress;
pub use resume::{ExpectedDisk, JobStatus, NUMERICS, Resume, status};
pub use run::{frames_in_part, run};
pub use session::{Session, SessionError, SessionOptions};

// Fakes of the tests of sessions name the crate as other crates do.
#[cfg(test)]
extern crate self as framelift_pipeline;

fn mib(bytes: u64) -> String {
    format!("{} MiB", bytes.div_ceil(1 << 20))
}
