//! How a session goes about frames of a size within the memory it may take: windows, scratch file, tiles.
//!
//! A window of `n` frames takes what its network's descriptor says of the work on a frame; and for each input pixel, in bytes,
//! `4 · held · n` for frames and flows, `p · stored · n` for features (which may lie in a scratch file), `p` being the bytes
//! of a value, and 6 for each frame that waits.

use std::path::Path;

use framelift_engine::{Layout, Precision};
use framelift_frame::Size;
use framelift_nets::{Descriptor, Reach};
use framelift_shots::{Blocks, Grid};

use crate::memory::frame_bytes;
use crate::pieces::{TileGrid, padded_size};
use crate::stream::WARM_UP_FRAMES;

/// Frames of a window that are kept, at most: in longer ones recurrences etch lines into what moves slowly
/// (docs/windows.md).
pub const DEFAULT_BODY: u64 = 48;

/// Frames before and after the body that only warm the recurrence up.
pub const DEFAULT_CONTEXT: u64 = 12;

/// Frames after a border over which one window fades into the next, at most.
pub const DEFAULT_FADE: u64 = 3;

/// Body and context where the picture stands still, which longer recurrences do not bear.
pub const STILL_WINDOW: (u64, u64) = (24, 8);

/// Bodies that are tried, longest first. Steps, so that a little more or less of free memory plans the same windows.
const BODIES: [u64; 6] = [DEFAULT_BODY, 40, 32, 24, 20, 16];

/// Bodies and contexts for frames that are so large that no window of [`BODIES`] fits.
const SHORT_WINDOWS: [(u64, u64); 4] = [(12, 8), (8, 8), (8, 4), (4, 4)];

/// Body and context where no tiles fit with those either.
const SHORTEST_WINDOW: (u64, u64) = (2, 2);

/// Channels of a feature, at most, in the networks there are; of several features a frame, one is on its way at a time.
const FEATURE_CHANNELS: u64 = 64;

/// Whether features may wait in a scratch file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Offload {
    /// Where windows of a sensible length do not fit in memory.
    #[default]
    Auto,
    /// Never.
    Never,
    /// All of them.
    Always,
}

/// What the user wants of windows; what is `None` is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WindowOptions {
    /// Frames whose results are kept; 0 for one window over each shot.
    pub body: Option<u64>,
    /// Frames on either side that only warm the recurrence up.
    pub context: Option<u64>,
    /// Whether windows are shorter where the picture stands still; by default where the body is chosen.
    pub shorter_if_still: Option<bool>,
    /// Frames at the beginning of a window's results that are mixed with what the window before made of them, from little to
    /// much of the new; by default [`DEFAULT_FADE`] or a quarter of the context where the body is chosen, else none, and none
    /// where memory allows of very short windows only.
    pub fade: Option<u64>,
    /// Whether features may wait in a scratch file.
    pub offload: Offload,
}

impl WindowOptions {
    /// The same with windows of a length that was chosen before.
    pub(crate) fn settled(self, body: u64, context: u64) -> Self {
        let shorter_if_still = Some(self.shortens_if_still());
        Self {
            body: Some(body),
            context: Some(context),
            shorter_if_still,
            fade: Some(self.fades(body, context)),
            ..self
        }
    }

    fn shortens_if_still(&self) -> bool {
        self.shorter_if_still.unwrap_or(self.body.is_none())
    }

    /// Frames over which windows of this length fade.
    fn fades(&self, body: u64, context: u64) -> u64 {
        let short = SHORT_WINDOWS.iter().any(|&(most, _)| body <= most);
        let chosen = if self.body.is_none() && !short { DEFAULT_FADE.min(context / 4) } else { 0 };
        self.fade.unwrap_or(chosen).min(context).min(body)
    }
}

/// The windows that a session will use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowPlan {
    /// Frames of a window whose results are kept, at most; 0 for one window over each shot.
    pub body: u64,
    /// Frames on either side, at most.
    pub context: u64,
    /// Frames over which a window fades into the next, at most.
    pub fade: u64,
    /// The shorter windows where the picture stands still; `None` where windows are that short anyway, or the user has said
    /// how long they are.
    pub still: Option<StillWindow>,
    /// The most frames that a window can see in the memory and on the disk that there are.
    pub most_frames: u64,
    /// Bytes of features kept in memory, at most: in the device's, where it has its own.
    pub store_bytes: u64,
    /// Bytes of features that may wait in the host's memory, for a device with memory of its own; else 0.
    pub host_bytes: u64,
    /// Bytes of features in a scratch file, at most.
    pub scratch_bytes: u64,
}

impl WindowPlan {
    /// Frames that a window sees, at most.
    fn frames_seen(&self) -> u64 {
        if self.body == 0 { self.most_frames } else { self.body.saturating_add(self.context.saturating_mul(2)) }
    }

    /// Bytes that features may take in memory before they go to the scratch file.
    pub(crate) fn store_limit_bytes(&self) -> u64 {
        if self.scratch_bytes == 0 && self.host_bytes == 0 { u64::MAX } else { self.store_bytes }
    }
}

/// The windows where the picture stands still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StillWindow {
    /// Frames whose results are kept, at most.
    pub body: u64,
    /// Frames on either side, at most.
    pub context: u64,
}

/// How a session goes about frames of a size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionPlan {
    /// The windows, for a network that sees windows.
    pub window: Option<WindowPlan>,
    /// The size that the network sees: the frame's, or larger where the network takes only certain sizes.
    pub padded: Size,
    /// Width and height of each tile; the whole frame where there is one.
    pub tile: Size,
    /// Columns and rows of tiles.
    pub tiles: (usize, usize),
    /// Windows that are worked on at once, or frames, by a network that sees one: more than 1 where frames are so small that a
    /// device gains by it.
    pub lanes: u64,
    /// The most memory that network, weights and waiting frames take, estimated: the host's share, where the device has
    /// memory of its own.
    pub memory_bytes: u64,
    /// The most of the device's own memory, where it has any.
    pub device_bytes: Option<u64>,
    /// What of `memory_bytes` is the host's whatever the device: frames that wait, and results.
    pub(crate) host_bytes: u64,
    pub(crate) grid: TileGrid,
}

/// What a session may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// Bytes of the disk with the scratch file; half of what is free there.
    pub scratch_bytes: u64,
}

impl Room {
    /// Memory of `memory_bytes`, and what the disk of `folder` has.
    #[must_use]
    pub fn new(memory_bytes: u64, folder: &Path) -> Self {
        // Where the system does not say, the first write that fails does.
        let free = fs4::available_space(folder).unwrap_or(u64::MAX);
        Self { memory_bytes, scratch_bytes: free / 2 }
    }
}

/// What is known of a stream of frames before a plan is made.
#[derive(Clone, Copy, Debug)]
pub struct Stream<'a> {
    /// The network.
    pub descriptor: &'a Descriptor,
    /// How the engine keeps values.
    pub layout: Layout,
    /// Whether the memory to be planned is a device's own: frames that wait are the host's then, and not counted.
    pub beside_host: bool,
    /// Bytes that the network's weights take already.
    pub weights_bytes: u64,
    /// Width and height of the frames.
    pub size: Size,
    /// The most frames that a shot can have, where known.
    pub frames: Option<u64>,
    /// Windows, or frames, that are to be worked on at once.
    pub lanes: u64,
}

impl Stream<'_> {
    /// Windows, or frames, that are worth being worked on at once, where there are as many.
    fn most_lanes(&self) -> u64 {
        let padded = padded_size(self.size, self.descriptor.min_side_px, self.descriptor.size_multiple);
        match self.descriptor.reach {
            Reach::Causal { .. } => 1,
            Reach::Frame | Reach::Window => {
                self.layout.lanes(usize::try_from(padded.pixels()).unwrap_or(usize::MAX)) as u64
            }
        }
    }
}

impl SessionPlan {
    /// The plan that makes the longest windows in the room there is; tiles where no window fits.
    ///
    /// # Errors
    /// The plan that takes the least memory, where even that does not fit.
    pub fn choose(stream: &Stream<'_>, options: &WindowOptions, room: Room) -> Result<Self, Box<Self>> {
        let d = stream.descriptor;
        let padded = padded_size(stream.size, d.min_side_px, d.size_multiple);
        let mut least: Option<Self> = None;
        let whole = TileGrid::whole(padded);
        let finer = match d.reach {
            Reach::Causal { .. } => Vec::new(),
            Reach::Frame | Reach::Window => TileGrid::finer(padded, d.size_multiple, d.min_side_px),
        };
        let grids: Vec<TileGrid> = std::iter::once(whole).chain(finer).collect();
        for (grid, shortest) in grids.iter().map(|grid| (grid, false)).chain(grids.iter().map(|grid| (grid, true))) {
            let cost = Cost { stream, options, padded, grid: grid.clone() };
            for plan in if shortest { cost.shortest(room) } else { cost.plans(room) } {
                if plan.memory_bytes <= room.memory_bytes
                    && plan.window.is_none_or(|w| w.scratch_bytes <= room.scratch_bytes)
                {
                    return Ok(plan);
                }
                if least.as_ref().is_none_or(|least| plan.memory_bytes < least.memory_bytes) {
                    least = Some(plan);
                }
            }
        }
        Err(Box::new(
            least.unwrap_or_else(|| Cost { stream, options, padded, grid: TileGrid::whole(padded) }.stream_plan()),
        ))
    }

    /// The plan with as many lanes as are worth it and there is room for, where this one has one and needs neither tiles nor
    /// leaves features out of memory: the windows stay as they are. Of the host's memory it may take `host_bytes`.
    pub fn with_lanes(self, stream: &Stream<'_>, options: &WindowOptions, room: Room, host_bytes: u64) -> Self {
        let length = |window: WindowPlan| (window.body, window.context);
        if self.tiles != (1, 1) || self.window.is_some_and(|window| window.scratch_bytes > 0 || window.body == 0) {
            return self;
        }
        let options = self.window.map_or(*options, |window| options.settled(window.body, window.context));
        let with = |lanes| {
            let plan = Self::choose(&Stream { lanes, ..*stream }, &options, Room { scratch_bytes: 0, ..room }).ok()?;
            let is_alike = plan.tiles == self.tiles && plan.window.map(length) == self.window.map(length);
            (is_alike && plan.host_bytes <= host_bytes).then_some(plan)
        };
        (2..=stream.most_lanes()).rev().find_map(with).unwrap_or(self)
    }

    /// The plan for a device with memory of its own, which [`SessionPlan::choose`] chose for that memory: what it takes of
    /// the host's, of which `host_bytes` are there.
    pub(crate) fn beside_device(mut self, host_bytes: u64) -> Self {
        self.device_bytes = Some(self.memory_bytes);
        self.memory_bytes = self.host_bytes;
        if let Some(window) = &mut self.window {
            window.host_bytes = host_bytes.saturating_sub(self.memory_bytes);
            let waiting = window.scratch_bytes.min(window.host_bytes);
            window.scratch_bytes -= waiting;
            self.memory_bytes += waiting;
        }
        self
    }

    /// Bytes of features that may stay in memory while a window runs in f32 for once, in a session of `descriptor` at
    /// values kept as `layout` says: what is left by values twice as wide, and the weights once more.
    pub(crate) fn store_bytes_in_full(&self, descriptor: &Descriptor, layout: Layout) -> u64 {
        let full = Layout { precision: Precision::F32, ..layout };
        let frames = self.window.map_or(1, |window| window.frames_seen());
        let work_bytes = |layout| work_bytes(descriptor, self.tile, frames, self.lanes, layout);
        let more = work_bytes(full) - work_bytes(layout);
        let more = more + 4 * descriptor.parameters;
        self.window.map_or(0, |window| window.store_bytes.saturating_sub(more))
    }
}

fn work_bytes(descriptor: &Descriptor, size: Size, frames: u64, lanes: u64, layout: Layout) -> u64 {
    descriptor.work_bytes(size.height as usize, size.width as usize, frames, lanes, layout)
}

/// What a way to work takes.
struct Cost<'a> {
    stream: &'a Stream<'a>,
    options: &'a WindowOptions,
    padded: Size,
    grid: TileGrid,
}

impl Cost<'_> {
    /// All plans worth a try, best first.
    fn plans(&self, room: Room) -> Vec<SessionPlan> {
        let options = self.options;
        if self.stream.descriptor.reach != Reach::Window {
            return vec![self.stream_plan()];
        }
        let context = options.context.unwrap_or(DEFAULT_CONTEXT);
        let lengths: Vec<(u64, u64)> = match options.body {
            Some(body) => vec![(body, context)],
            None => BODIES.iter().map(|&body| (body, context)).collect(),
        };
        let short: Vec<(u64, u64)> = match (options.body, options.context) {
            (Some(_), _) => Vec::new(),
            (None, Some(context)) => SHORT_WINDOWS.iter().map(|&(body, _)| (body, context)).collect(),
            (None, None) => SHORT_WINDOWS.to_vec(),
        };
        [lengths, short].iter().flat_map(|lengths| self.window_plans(lengths, room)).collect()
    }

    /// Plans for where none of these fits.
    fn shortest(&self, room: Room) -> Vec<SessionPlan> {
        match (self.stream.descriptor.reach, self.options.body, self.options.context) {
            (Reach::Window, None, None) => self.window_plans(&[SHORTEST_WINDOW], room),
            _ => Vec::new(),
        }
    }

    /// Windows of these lengths, with all features in memory, then with some in a scratch file.
    fn window_plans(&self, lengths: &[(u64, u64)], room: Room) -> Vec<SessionPlan> {
        let (kinds, store): (&[bool], u64) = match self.options.offload {
            Offload::Auto => (&[false, true], u64::MAX),
            Offload::Never => (&[false], u64::MAX),
            Offload::Always => (&[true], 0),
        };
        let all = kinds.iter().flat_map(|&scratch| lengths.iter().map(move |&length| (length, scratch)));
        all.map(|((body, context), scratch)| self.window_plan(body, context, scratch, store, room)).collect()
    }

    fn value_bytes(&self) -> u64 {
        self.stream.layout.precision.bytes() as u64
    }

    /// Weights, the frame that is worked on, its result, and the frame that comes in; the network sees `frames`.
    fn base_bytes(&self, frames: u64) -> u64 {
        let Stream { descriptor: d, weights_bytes, lanes, .. } = self.stream;
        weights_bytes
            .saturating_add(work_bytes(d, self.grid.tile(), frames, *lanes, self.stream.layout))
            .saturating_add(self.frames_bytes())
    }

    /// Of these, the frames.
    fn frames_bytes(&self) -> u64 {
        let scale = self.stream.descriptor.scale;
        (2 * u64::from(scale * scale) * frame_bytes(self.padded) + frame_bytes(self.padded)) * self.stream.lanes
    }

    /// A network that takes frame after frame.
    fn stream_plan(&self) -> SessionPlan {
        let kept = match self.stream.descriptor.reach {
            Reach::Causal { lookahead } if self.stream.layout.precision != Precision::F32 => {
                (WARM_UP_FRAMES + lookahead) as u64 + 1
            }
            _ => self.stream.lanes,
        };
        let kept = kept * frame_bytes(self.padded);
        self.plan(None, self.base_bytes(1), kept)
    }

    /// Windows with features in memory up to `store_bytes`, or up to what the room leaves, and the rest in a scratch file if
    /// `scratch`.
    fn window_plan(&self, body: u64, context: u64, scratch: bool, store_bytes: u64, room: Room) -> SessionPlan {
        let Stream { descriptor: d, frames, lanes, .. } = self.stream;
        let adapts = self.options.shortens_if_still();
        let tile = self.grid.tile().pixels();
        let stored = (d.stored_bytes_per_pixel(self.stream.layout.precision) * tile * lanes).max(1);
        let held = d.held.bytes(self.stream.layout) * tile * lanes;
        let waiting = frame_bytes(self.padded) + if adapts { Blocks::bytes(self.padded.pixels()) } else { 0 };
        let result = u64::from(d.scale * d.scale) * frame_bytes(self.padded);
        // Tiles are put together in as many results as the body has frames.
        let results = if self.grid.count() > 1 { result } else { 0 };
        let longest = frames.unwrap_or(u64::MAX);
        // Of one window over each shot, what is not known yet counts as long.
        let most_seen = if body == 0 { longest } else { body.saturating_add(context.saturating_mul(2)).min(longest) };
        let base = self.base_bytes(most_seen);
        // The bytes of a feature on its way to the file or back.
        let transfer = if scratch { stored.min(FEATURE_CHANNELS * self.value_bytes() * tile) } else { 0 };
        let left = room.memory_bytes.saturating_sub(base.saturating_add(transfer));
        let each = held + self.shared_bytes(waiting + results);
        let most_frames = match scratch {
            true => (left / each.max(1)).min(room.scratch_bytes / stored),
            false => left / (each + stored),
        };
        // Those of the window before wait for those they are mixed with, and tiles are put together in both.
        let fade = if longest > body { self.options.fades(body, context) } else { 0 };
        let faded = fade.saturating_mul(result + results);
        let (seen, waits, made) = match Grid::new(body, context).frames_held() {
            Some(waits) => (most_seen, waits.min(longest), body.min(longest)),
            // One window over each shot, however long: as long as fits, if that is not known.
            None => [frames.unwrap_or(most_frames.max(1)); 3].into(),
        };
        let all = stored.saturating_mul(seen);
        // Of several windows at once, the results of all wait until the last is made.
        let made_at_once = if *lanes > 1 { made.saturating_add(fade).saturating_mul(lanes * result) } else { 0 };
        let on_host = waiting
            .saturating_mul(waits)
            .saturating_add(results.saturating_mul(made))
            .saturating_add(faded)
            .saturating_add(made_at_once);
        let fixed = base.saturating_add(transfer).saturating_add(held.saturating_mul(seen));
        let left = room.memory_bytes.saturating_sub(fixed).saturating_sub(self.shared_bytes(on_host));
        let in_memory = if scratch { all.min(store_bytes).min(left) } else { all };
        let still = (adapts && body > STILL_WINDOW.0)
            .then(|| StillWindow { body: STILL_WINDOW.0, context: STILL_WINDOW.1.min(context) });
        let window = WindowPlan {
            body,
            context: if body == 0 { 0 } else { context },
            fade,
            still,
            most_frames,
            store_bytes: in_memory,
            host_bytes: 0,
            scratch_bytes: all - in_memory,
        };
        self.plan(Some(window), fixed.saturating_add(in_memory), on_host)
    }

    /// What frames that wait in the host's memory take of the memory that is planned.
    fn shared_bytes(&self, waiting: u64) -> u64 {
        if self.stream.beside_host { 0 } else { waiting }
    }

    /// A plan of work that takes `work_bytes` beside the frames that wait.
    fn plan(&self, window: Option<WindowPlan>, work_bytes: u64, waiting: u64) -> SessionPlan {
        let memory_bytes = work_bytes.saturating_add(self.shared_bytes(waiting));
        let host_bytes = self.frames_bytes().saturating_add(waiting);
        SessionPlan {
            window,
            padded: self.padded,
            tile: self.grid.tile(),
            tiles: self.grid.columns_and_rows(),
            lanes: self.stream.lanes,
            memory_bytes,
            device_bytes: None,
            host_bytes,
            grid: self.grid.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use framelift_nets::Values;

    use super::*;

    const MIB: u64 = 1 << 20;

    fn network(reach: Reach) -> Descriptor {
        Descriptor {
            architecture: "test",
            variant: String::new(),
            scale: 4,
            reach,
            size_multiple: 1,
            min_side_px: 64,
            parameters: 1,
            macs_per_pixel: 1,
            phases: vec![Values::features(2100)],
            together: Vec::new(),
            upsampling: None,
            held: Values::pictures(1) + Values::flows(2),
            stored_values_per_pixel: 256,
            precisions: &[Precision::F32, Precision::Bf16],
            purpose: String::new(),
            licence: None,
        }
    }

    fn choose(
        reach: Reach,
        options: WindowOptions,
        frames: Option<u64>,
        memory_bytes: u64,
        scratch_bytes: u64,
    ) -> Result<SessionPlan, Box<SessionPlan>> {
        chosen(reach, options, frames, Room { memory_bytes, scratch_bytes }, false)
    }

    fn chosen(
        reach: Reach,
        options: WindowOptions,
        frames: Option<u64>,
        room: Room,
        beside_host: bool,
    ) -> Result<SessionPlan, Box<SessionPlan>> {
        let descriptor = network(reach);
        let stream = Stream {
            descriptor: &descriptor,
            layout: Layout::packed(Precision::Bf16),
            beside_host,
            weights_bytes: 30 * MIB,
            size: Size::new(320, 180),
            frames,
            lanes: 1,
        };
        SessionPlan::choose(&stream, &options, room)
    }

    #[test]
    fn the_longest_window_that_fits_is_chosen() {
        let plan =
            |memory_mib| choose(Reach::Window, WindowOptions::default(), None, memory_mib * MIB, u64::MAX).unwrap();
        let roomy = plan(8000);
        let window = roomy.window.unwrap();
        assert_eq!((window.body, window.context, window.scratch_bytes), (DEFAULT_BODY, DEFAULT_CONTEXT, 0));
        assert_eq!(window.fade, DEFAULT_FADE);
        let (body, context) = STILL_WINDOW;
        assert_eq!(window.still, Some(StillWindow { body, context }));
        assert!(roomy.memory_bytes < 8000 * MIB && roomy.tiles == (1, 1));
        let tighter = plan(2000).window.unwrap();
        assert!(tighter.body < DEFAULT_BODY && tighter.body >= 16 && tighter.scratch_bytes == 0, "{tighter:?}");
        let spilling = plan(1000);
        let window = spilling.window.unwrap();
        assert!(window.scratch_bytes > 0 && window.body == DEFAULT_BODY, "{window:?}");
        assert!(spilling.memory_bytes <= 1000 * MIB);
        let tiled = plan(300);
        assert!(tiled.tiles != (1, 1) && tiled.memory_bytes <= 300 * MIB, "{tiled:?}");
    }

    #[test]
    fn a_device_with_memory_of_its_own_leaves_the_host_the_frames_and_what_does_not_fit() {
        let plan = |device_mib, host_mib| {
            let room = Room { memory_bytes: device_mib * MIB, scratch_bytes: u64::MAX };
            chosen(Reach::Window, WindowOptions::default(), None, room, true).unwrap().beside_device(host_mib * MIB)
        };
        let roomy = plan(8000, 500);
        let window = roomy.window.unwrap();
        assert_eq!(window.scratch_bytes, 0);
        assert!(roomy.device_bytes.unwrap() > 1000 * MIB && roomy.memory_bytes < 200 * MIB, "{roomy:?}");
        assert_eq!(roomy.memory_bytes + window.host_bytes, 500 * MIB);
        let tight = plan(1000, 20_000);
        let window = tight.window.unwrap();
        assert!(window.scratch_bytes == 0 && tight.memory_bytes > 1000 * MIB, "{tight:?}");
        assert!(window.store_limit_bytes() < u64::MAX);
        let both = plan(1000, 500);
        assert!(both.window.unwrap().scratch_bytes > 0 && both.memory_bytes == 500 * MIB, "{both:?}");
    }

    #[test]
    fn what_cannot_fit_is_refused_with_the_least_that_would() {
        let least = choose(Reach::Window, WindowOptions::default(), None, 60 * MIB, u64::MAX).unwrap_err();
        assert!(least.memory_bytes > 60 * MIB);
        assert!(choose(Reach::Window, WindowOptions::default(), None, least.memory_bytes, u64::MAX).is_ok());
        let causal = choose(Reach::Causal { lookahead: 1 }, WindowOptions::default(), None, 60 * MIB, 0).unwrap_err();
        assert_eq!((causal.tiles, causal.window), ((1, 1), None));
    }

    #[test]
    fn what_the_user_says_is_kept() {
        let options =
            WindowOptions { body: Some(30), context: Some(5), offload: Offload::Never, ..WindowOptions::default() };
        let window = choose(Reach::Window, options, None, 4000 * MIB, u64::MAX).unwrap().window.unwrap();
        assert_eq!((window.body, window.context, window.scratch_bytes, window.still), (30, 5, 0, None));
        assert_eq!(window.fade, 0);
        let faded = WindowOptions { fade: Some(4), ..options };
        let fading = choose(Reach::Window, faded, None, 4000 * MIB, u64::MAX).unwrap();
        let least = choose(Reach::Window, options, None, 4000 * MIB, u64::MAX).unwrap();
        assert_eq!(fading.window.unwrap().fade, 4);
        assert_eq!(fading.memory_bytes - least.memory_bytes, 4 * 16 * frame_bytes(Size::new(320, 180)));
        let always = WindowOptions { offload: Offload::Always, ..options };
        let window = choose(Reach::Window, always, None, 4000 * MIB, u64::MAX).unwrap().window.unwrap();
        assert_eq!((window.body, window.store_bytes), (30, 0));
        let full = choose(Reach::Window, always, None, 4000 * MIB, MIB);
        assert!(full.is_err(), "the disk is full");
    }

    #[test]
    fn windows_that_were_settled_are_the_ones_that_were_chosen() {
        let mut bodies = Vec::new();
        for memory_mib in [230, 250, 300, 320, 500, 1000, 2000, 8000] {
            let plan = |options| choose(Reach::Window, options, None, memory_mib * MIB, u64::MAX).unwrap();
            for options in [WindowOptions::default(), WindowOptions { fade: Some(2), ..WindowOptions::default() }] {
                let chosen = plan(options);
                let window = chosen.window.unwrap();
                assert_eq!(plan(options.settled(window.body, window.context)), chosen, "{memory_mib} MiB");
                bodies.push(window.body);
            }
        }
        assert!(bodies.iter().any(|&body| body <= 12) && bodies.contains(&DEFAULT_BODY), "{bodies:?}");
    }

    #[test]
    fn one_window_over_a_shot_knows_how_long_it_can_be() {
        let whole = WindowOptions { body: Some(0), offload: Offload::Never, ..WindowOptions::default() };
        let window = choose(Reach::Window, whole, None, 2000 * MIB, 0).unwrap().window.unwrap();
        assert!((20..100).contains(&window.most_frames), "{window:?}");
        assert!(choose(Reach::Window, whole, Some(10), 2000 * MIB, 0).is_ok());
        assert!(choose(Reach::Window, whole, Some(10_000), 2000 * MIB, 0).is_err());
    }

    #[test]
    fn a_few_frames_take_the_memory_of_a_few() {
        let few = choose(Reach::Window, WindowOptions::default(), Some(5), 900 * MIB, 0).unwrap();
        let window = few.window.unwrap();
        assert_eq!((window.body, window.scratch_bytes), (DEFAULT_BODY, 0));
    }
}
