//! Stages, bounded queues and progress: from a film to a film.
//!
//! [`run`](run()) builds the picture of the design: demux, decode, to_rgb, upscale, to_yuv, encode and mux, each on a
//! thread of its name, joined by queues that are bounded in bytes. [`Session`] is the stage in the middle on its
//! own: frames in, frames out.

mod error;
mod job;
mod progress;
mod queue;
mod run;
mod session;
mod stages;

pub use error::PipelineError;
pub use job::{CancelToken, Event, Job, MAX_SIDE_PX, PartSpec, Plan, Summary, Target, Upscale};
pub use progress::Progress;
pub use run::run;
pub use session::{Session, SessionError};
