//! Shots of a film: where it cuts, and the windows in which a shot is worked on.
//!
//! ```text
//! frames ▶ CutDetector ▶ (frame, begins a shot) ▶ Grid ▶ windows
//! ```
//!
//! No recurrence ever crosses a cut. Networks that look at past and future see a shot in windows: [`Grid`] says
//! which, as a pure function of the shot's length. Where [`stands_still`] finds that a picture does, windows are shorter.

pub mod cuts;
pub mod grid;
mod likeness;
mod luma;
pub mod stillness;

pub use cuts::CutDetector;
pub use grid::{Grid, Window, windows};
pub use stillness::{Blocks, stands_still};
