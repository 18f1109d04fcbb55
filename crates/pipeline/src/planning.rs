//! The plan of a run's memory: how the network works, and how far the encoder looks ahead.

use std::path::PathBuf;

use framelift_frame::Size;
use framelift_media::{OutputVideo, WriteOptions};

use crate::memory::{outside_network_bytes, thriftier};
use crate::resume::Pins;
use crate::{Model, PipelineError, SessionError, SessionOptions, SessionPlan, Upscale, WindowOptions};

/// Tenths of the memory allowed that a plan may come to: allocators keep some of what was given back.
const PLANNED_TENTHS: u64 = 9;

/// Of the network's work, what must be left at most for an encoder to look less far ahead.
const WORTH_LOOKING_LESS_AHEAD: f64 = 0.9;

/// Of several devices each has so many shares of the memory for its session, and one for frames and results that wait.
const SESSION_SHARES: u64 = 3;

/// Bytes of frames and results that may wait for one of several devices, whose sessions work by `options`.
pub(crate) fn queue_bytes(model: &Model, options: &SessionOptions) -> u64 {
    if model.devices() > 1 { options.memory_bytes.unwrap_or(0) / SESSION_SHARES } else { 0 }
}

/// What a plan of the memory depends on.
pub(crate) struct Planning<'a> {
    pub(crate) upscale: &'a Upscale,
    pub(crate) wanted: &'a OutputVideo,
    pub(crate) shots: bool,
    pub(crate) windows: WindowOptions,
    pub(crate) scratch_folder: PathBuf,
    pub(crate) limit_bytes: u64,
    /// Width and height of the film's frames and of the network's results.
    pub(crate) input: Size,
    pub(crate) network: Size,
    /// Frames in all, as far as the film says.
    pub(crate) frames: Option<u64>,
}

impl Planning<'_> {
    /// The best plan: fewer tiles and longer windows, where they spare a good part of the network's work, matter more than
    /// how far the encoder looks ahead.
    pub(crate) fn decide(&self, write: &WriteOptions) -> Result<Decided, PipelineError> {
        let (mut planned, mut look_ahead, mut told) = (self.plan(write), None, write.clone());
        for (frames, thrifty) in thriftier(&self.wanted.encoder, write) {
            let less = self.plan(&thrifty);
            let better = match (&planned, &less) {
                (Err(_), Ok(_)) => true,
                (Ok(planned), Ok(less)) => less.work() < WORTH_LOOKING_LESS_AHEAD * planned.work(),
                (_, Err(_)) => false,
            };
            if better {
                (planned, look_ahead, told) = (less, Some(frames), thrifty);
            } else if planned.is_err() {
                // The least that would do, for the message.
                planned = less;
            }
        }
        Ok(Decided { planned: planned?, look_ahead, write: told })
    }

    /// The plan that the first `frames_done` frames were made by, in the memory that there is now.
    pub(crate) fn keep_to(
        mut self,
        pins: &Pins,
        frames_done: u64,
        write: &WriteOptions,
    ) -> Result<Decided, PipelineError> {
        self.limit_bytes = self.limit_bytes.min(pins.limit_bytes);
        if let Some((body, context)) = pins.window {
            self.windows = self.windows.settled(body, context);
        }
        let mut told = WriteOptions { encoder_threads: pins.encoder_threads, ..write.clone() };
        if let Some(frames) = pins.look_ahead {
            let thrifty = thriftier(&self.wanted.encoder, write).find(|(look_ahead, _)| *look_ahead == frames);
            if let Some((_, thrifty)) = thrifty {
                told.encoder_options = thrifty.encoder_options;
            }
        }
        let planned = match self.plan(&told) {
            Ok(planned) if planned.pins(pins) == *pins => planned,
            Err(error) if !matches!(error, PipelineError::Memory { .. }) => return Err(error),
            _ => {
                let windows = pins.window.map(|(body, context)| match body {
                    0 => "in one window a shot".to_owned(),
                    _ => format!("in windows of {body} + 2x{context} frames"),
                });
                let (columns, rows) = pins.tiles;
                let tiles =
                    if columns * rows == 1 { "in whole frames".into() } else { format!("in {columns} x {rows} tiles") };
                let how = [windows, Some(tiles)].into_iter().flatten().collect::<Vec<_>>().join(" and ");
                let remedy = format!(
                    "allow what was allowed then with --memory {}MiB, or start over with --fresh",
                    pins.limit_bytes.div_ceil(1 << 20)
                );
                return Err(PipelineError::Pinned { frames: frames_done, how, remedy });
            }
        };
        Ok(Decided { planned, look_ahead: pins.look_ahead, write: told })
    }

    /// The plan with an encoder that is told `write`.
    fn plan(&self, write: &WriteOptions) -> Result<Planned, PipelineError> {
        let Self { input, network, frames, .. } = *self;
        let outside = outside_network_bytes(input, network, frames, self.wanted, write);
        let refused = |needed_bytes: u64, how| PipelineError::Memory {
            needed_bytes: (needed_bytes / PLANNED_TENTHS + 1) * 10,
            limit_bytes: self.limit_bytes,
            input,
            output: self.wanted.size,
            how,
            fits: self.smaller_that_fits(input, frames, write),
        };
        let Upscale::Network(model) = self.upscale else {
            let planned = Planned { memory_bytes: outside, session: None };
            return if outside <= self.planned_bytes() { Ok(planned) } else { Err(refused(outside, String::new())) };
        };
        let options = self.session_options(outside);
        // One window over each shot: how long the shots are is not known before they are there.
        let mut planned = options.plan(model, input, frames);
        if planned.is_err() && self.shots && self.windows.body == Some(0) {
            planned = options.plan(model, input, None);
        }
        match planned {
            Ok(plan) => {
                let devices = model.devices() as u64;
                let each = plan.memory_bytes + queue_bytes(model, &options);
                Ok(Planned { memory_bytes: outside + devices * each, session: Some((options, plan)) })
            }
            Err(SessionError::Memory { needed_bytes, .. }) => {
                let needed_bytes = needed_bytes * self.session_shares() / SESSION_SHARES;
                let how = format!(" ({} of it outside the network)", crate::mib(outside));
                Err(refused(outside + needed_bytes, how))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Into how many shares the memory for sessions is parted, of which a session has [`SESSION_SHARES`].
    fn session_shares(&self) -> u64 {
        match self.upscale {
            Upscale::Network(model) if model.devices() > 1 => model.devices() as u64 * (SESSION_SHARES + 1),
            _ => SESSION_SHARES,
        }
    }

    /// What plans may come to, so that the run itself stays within the limit.
    fn planned_bytes(&self) -> u64 {
        self.limit_bytes / 10 * PLANNED_TENTHS
    }

    fn session_options(&self, outside: u64) -> SessionOptions {
        SessionOptions {
            windows: self.windows,
            memory_bytes: Some(self.planned_bytes().saturating_sub(outside) / self.session_shares() * SESSION_SHARES),
            scratch_folder: self.scratch_folder.clone(),
            // Of several devices each may wait for shots that another has.
            may_hold_back: matches!(self.upscale, Upscale::Network(model) if model.devices() == 1),
        }
    }

    /// A smaller size of the film, of the same shape, that would fit.
    fn smaller_that_fits(&self, input: Size, frames: Option<u64>, write: &WriteOptions) -> Option<Size> {
        let Upscale::Network(model) = self.upscale else { return None };
        let shares = [(3, 4), (2, 3), (1, 2), (1, 3), (1, 4)];
        shares.into_iter().find_map(|(part, of)| {
            let shrunk = |px: u32| (px * part / of / 2 * 2).max(2);
            let size = |size: Size| Size::new(shrunk(size.width), shrunk(size.height));
            let smaller = size(input);
            let mut wanted = self.wanted.clone();
            wanted.size = size(wanted.size);
            let network = smaller.scaled(model.descriptor().scale)?;
            let outside = outside_network_bytes(smaller, network, frames, &wanted, write);
            self.session_options(outside).plan(model, smaller, frames).ok().map(|_| smaller)
        })
    }
}

/// What was decided.
pub(crate) struct Decided {
    pub(crate) planned: Planned,
    /// How far the encoder was told to look ahead, where memory is short.
    pub(crate) look_ahead: Option<u64>,
    /// What the encoder is told.
    pub(crate) write: WriteOptions,
}

impl Decided {
    /// What must stay when the work goes on another time.
    pub(crate) fn pins(&self, limit_bytes: u64) -> Pins {
        let encoder_threads = self.write.encoder_threads;
        let given = Pins { limit_bytes, window: None, tiles: (1, 1), look_ahead: self.look_ahead, encoder_threads };
        self.planned.pins(&given)
    }
}

/// How a run will keep to its memory.
pub(crate) struct Planned {
    /// The most that the run will take.
    pub(crate) memory_bytes: u64,
    /// How the session goes about its frames, where there is one.
    pub(crate) session: Option<(SessionOptions, SessionPlan)>,
}

impl Planned {
    /// What of `pins` depends on the plan, as this plan has it.
    fn pins(&self, pins: &Pins) -> Pins {
        let plan = self.session.as_ref().map(|(_, plan)| plan);
        let window = plan.and_then(|plan| plan.window).map(|window| (window.body, window.context));
        Pins { window, tiles: plan.map_or((1, 1), |plan| plan.tiles), ..*pins }
    }

    /// Input pixels that the network works on for a frame, margins of tiles and contexts of windows included.
    fn work(&self) -> f64 {
        let Some((_, plan)) = &self.session else { return 0.0 };
        let pixels = ((plan.tiles.0 * plan.tiles.1) as u64 * plan.tile.pixels()) as f64;
        match plan.window {
            Some(window) if window.body > 0 => pixels * (1.0 + (2 * window.context) as f64 / window.body as f64),
            _ => pixels,
        }
    }

    /// Columns, rows and size of the tiles, where there is more than one.
    pub(crate) fn tiles(&self) -> Option<(usize, usize, Size)> {
        let (_, plan) = self.session.as_ref()?;
        let (columns, rows) = plan.tiles;
        (columns * rows > 1).then_some((columns, rows, plan.tile))
    }
}

#[cfg(test)]
mod tests {
    use framelift_engine::Precision;
    use framelift_nets::Reach;

    use super::*;
    use crate::fake::Fake;

    #[test]
    fn contexts_of_windows_are_work() {
        let model = Fake::new(Reach::Window, 2).model(Precision::F32);
        let work = |body, context| {
            let windows = WindowOptions { body: Some(body), context: Some(context), ..WindowOptions::default() };
            let options = SessionOptions { windows, memory_bytes: Some(1 << 30), ..SessionOptions::default() };
            let plan = options.plan(&model, Size::new(8, 6), None).unwrap();
            Planned { memory_bytes: 0, session: Some((options, plan)) }.work()
        };
        let whole = work(0, 0);
        assert!((work(4, 4) / whole - 3.0).abs() < 1e-9 && (work(48, 12) / whole - 1.5).abs() < 1e-9);
        assert!(work(12, 8) < WORTH_LOOKING_LESS_AHEAD * work(4, 4) && work(48, 12) > 0.9 * work(40, 12));
    }
}
