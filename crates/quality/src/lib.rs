//! How close a film is to another, and how the inputs of the papers' tables are made.
//!
//! [`Comparison`] takes the frames of two films in lock-step and gives PSNR and SSIM as the papers on video
//! super-resolution count them; [`Degradation`] makes the small or blurred films their networks are tested on.
//! [`Film`] reads the frames of either.

pub mod compare;
pub mod degrade;
mod film;
mod metrics;

pub use compare::{CompareError, Comparison, FrameScores, Report};
pub use degrade::{Degradation, DegradeError};
pub use film::Film;
pub use metrics::{Channel, Scores, psnr, ssim};
