//! Video super-resolution and restoration that keeps the whole film.
//!
//! [`Upscaler`] takes a film from file to file: decoded, upscaled by a network that looks at neighbouring frames,
//! encoded, with every timestamp, sound track, subtitle, chapter, attachment and colour tag kept. [`Session`]
//! takes frames in memory. [`Model`] is what makes the pixels: built in, a published checkpoint, or a filter.
//!
//! Errors say what went wrong, where, and what to do; [`Error::kind`] says who must act.
//!
//! Features: `cpu` (default) holds the CPU engine; `fetch` (default) downloads published checkpoints; `gpu` holds the engine for
//! graphics cards through Vulkan and Metal, whose driver is looked for when the program runs.

mod batch;
mod device;
mod error;
#[cfg(feature = "fetch")]
mod fetch;
mod installed;
mod model;
mod session;
mod upscaler;

/// The contract between networks and engines, for programs that measure or extend it.
pub use framelift_engine as engine;
pub use framelift_engine::{Layout, Precision};
pub use framelift_frame::{
    Beside, ChromaLocation, ColorFamily, ColorSpec, Frame, Matrix, PixelFormat, Plane, Primaries, Range, Size,
    TimeBase, Timestamp, Transfer,
};
/// Films in and out, for programs that read or compose them themselves.
pub use framelift_media as media;
pub use framelift_media::{
    Chapter, Combing, CopyKind, CopyPolicy, Deinterlace, Deinterlacing, Filter, Input, MediaInfo, ReadOptions,
    StreamInfo, StreamKind, VideoInfo, WriteOptions, discard_partial_outputs, probe,
};
pub use framelift_nets::builtin::Tier;
pub use framelift_nets::{Descriptor, FeatureId, FeatureStore, MemoryStore, Network, Reach, seconds_a_frame};
pub use framelift_pipeline::{
    CancelToken, DEFAULT_BODY, DEFAULT_CONTEXT, DEFAULT_FADE, Event, ExpectedDisk, JobStatus, Offload, PartSpec, Plan,
    Progress, STILL_WINDOW, StillWindow, Summary, Target, WindowOptions, WindowPlan,
};
/// How close a film is to another, and the papers' ways to make films worse.
pub use framelift_quality as quality;

pub use batch::{
    Batch, BatchError, BatchEvent, BatchFilm, BatchSummary, Ended, Existing, LeftOut, Outcome, Place, WhyLeftOut,
    output_beside,
};
pub use device::{Device, DeviceInfo, DeviceOptions, devices, parse_devices};
pub use error::{Error, ErrorKind};
#[cfg(feature = "fetch")]
pub use fetch::{Download, FetchError, MIRROR_VARIABLE, downloads};
pub use installed::{DATA_FOLDER_VARIABLE, InstallError, Installed, ModelFolder};
pub use model::{Model, ModelError};
pub use session::Session;
pub use upscaler::{Survey, Upscaler, status};
