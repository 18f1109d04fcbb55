//! Memory of the device: buffers cut out of slabs that are kept for reuse, counted, and bounded.
//!
//! All work of an engine runs in the order it was launched in, so a range whose tensor is gone can be written to at once,
//! whatever still reads it. Values from the host are another matter: they overtake the launches, so that each has memory of
//! its own, which goes back with it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cubecl::prelude::*;
use cubecl::server::Handle;
use framelift_engine::{EngineError, MemoryUse};

use crate::NAME;
use crate::device::Health;
use crate::engine::{device_error, reason_of};

/// Sizes are rounded up to this, which is what ranges must begin at a multiple of.
const GRAIN_BYTES: usize = 256;

/// Slabs may be this much more than tensors have taken at once, in sixteenths: what is free between them is of no use to the
/// next one at times.
const SLACK_SIXTEENTHS: usize = 1;

/// What is free between the tensors of a network at work, in sixteenths of what they take: three eighths are enough for every
/// kind of network that there is; a quarter is not for lift of six blocks in f32 (`tests/gpu/memory.rs`).
pub(crate) const GAPS_SIXTEENTHS: u64 = 6;

/// Tensors of at least one such part of what is planned lie at the ends of free ranges, the others at the beginnings.
const LARGE_PART: usize = 5;

/// Memory from the device, parts of which are in use.
struct Slab {
    handle: Handle,
    bytes: usize,
    /// Ranges that are not in use, by their starts; none touches the next.
    free: BTreeMap<usize, usize>,
}

impl Slab {
    fn is_empty(&self) -> bool {
        self.free.get(&0) == Some(&self.bytes)
    }

    /// Takes the first or the last `bytes` of the free range that begins at `start`, which has as many.
    fn take(&mut self, start: usize, bytes: usize, at_end: bool) -> Range<usize> {
        let end = self.free.remove(&start).unwrap_or(start + bytes);
        let (taken, rest) =
            if at_end { (end - bytes..end, start..end - bytes) } else { (start..start + bytes, start + bytes..end) };
        if !rest.is_empty() {
            self.free.insert(rest.start, rest.end);
        }
        taken
    }

    fn give_back(&mut self, range: Range<usize>) {
        let end = self.free.remove(&range.end).unwrap_or(range.end);
        match self.free.range_mut(..range.start).next_back() {
            Some((_, before)) if *before == range.start => *before = end,
            _ => drop(self.free.insert(range.start, end)),
        }
    }
}

#[derive(Default)]
struct State {
    /// By their numbers, oldest first.
    slabs: BTreeMap<u64, Slab>,
    next: u64,
    memory: MemoryUse,
    /// The most that `memory.used_bytes` has been.
    most_used_bytes: usize,
    /// What all slabs are planned to come to.
    planned_bytes: usize,
}

impl State {
    /// The first free range of at least `bytes`: its slab and its start. What is small stays together at the beginning.
    fn first(&self, bytes: usize) -> Option<(u64, usize)> {
        self.slabs.iter().find_map(|(&number, slab)| {
            let start = slab.free.iter().find_map(|(&start, &end)| (end - start >= bytes).then_some(start))?;
            Some((number, start))
        })
    }

    /// Whether a tensor is so large that those that stay should not lie in its way.
    fn is_large(&self, bytes: usize) -> bool {
        self.planned_bytes > 0 && bytes >= self.planned_bytes / LARGE_PART
    }

    /// Takes slabs out of which nothing is in use, oldest first, until at most `bytes` are free in all, or none is left.
    fn trim(&mut self, bytes: usize) -> Vec<Slab> {
        let mut excess = self.memory.pooled_bytes.saturating_sub(bytes);
        let mut dropped = Vec::new();
        while excess > 0 {
            let Some(number) = self.slabs.iter().find_map(|(&number, slab)| slab.is_empty().then_some(number)) else {
                break;
            };
            let Some(slab) = self.slabs.remove(&number) else { break };
            self.memory.pooled_bytes -= slab.bytes;
            excess = excess.saturating_sub(slab.bytes);
            dropped.push(slab);
        }
        dropped
    }

    fn count(&mut self, bytes: usize) {
        let memory = &mut self.memory;
        memory.used_bytes += bytes;
        memory.peak_bytes = memory.peak_bytes.max(memory.used_bytes + memory.pooled_bytes);
        self.most_used_bytes = self.most_used_bytes.max(memory.used_bytes);
    }
}

/// Where an engine's memory comes from.
pub(crate) struct Pool<R: Runtime> {
    client: ComputeClient<R>,
    health: Arc<Health>,
    state: Mutex<State>,
    limit_bytes: usize,
    /// The largest buffer that kernels can see.
    largest_bytes: usize,
}

impl<R: Runtime> Pool<R> {
    /// An empty pool that never holds more than `limit_bytes`, on a device whose buffers have at most `largest_bytes`.
    pub(crate) fn new(
        client: ComputeClient<R>,
        health: Arc<Health>,
        limit_bytes: Option<usize>,
        largest_bytes: u64,
    ) -> Arc<Self> {
        let largest_bytes = usize::try_from(largest_bytes).unwrap_or(usize::MAX);
        let limit_bytes = limit_bytes.unwrap_or(usize::MAX);
        Arc::new(Self { client, health, state: Mutex::default(), limit_bytes, largest_bytes })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change of the state is complete before anything could panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is held now, and the most that was.
    pub(crate) fn memory(&self) -> MemoryUse {
        self.state().memory
    }

    /// A buffer of at least `bytes`, its contents left over from its last use.
    ///
    /// # Errors
    /// [`EngineError::OutOfMemory`] where the limit would be exceeded even with nothing kept for reuse, or the device has
    /// no more; [`EngineError::Device`].
    pub(crate) fn allocate(self: &Arc<Self>, bytes: usize) -> Result<Buffer<R>, EngineError> {
        let wanted_bytes = bytes.max(1).next_multiple_of(GRAIN_BYTES);
        let mut state = self.state();
        let (number, start) = match state.first(wanted_bytes) {
            Some(found) => found,
            None => {
                let planned_bytes = self.planned(&state, wanted_bytes);
                match self.add_slab(&mut state, planned_bytes) {
                    Err(EngineError::OutOfMemory { .. }) if planned_bytes > wanted_bytes => {
                        self.add_slab(&mut state, wanted_bytes)
                    }
                    added => added,
                }
                .map(|number| (number, 0))?
            }
        };
        let is_large = state.is_large(wanted_bytes);
        let Some(slab) = state.slabs.get_mut(&number) else {
            return Err(EngineError::Device { engine: NAME, reason: "a slab is gone".into() });
        };
        let range = slab.take(start, wanted_bytes, is_large);
        let rest = slab.bytes - range.end;
        let handle = slab.handle.clone().offset_start(range.start as u64).offset_end(rest as u64);
        state.memory.pooled_bytes -= wanted_bytes;
        state.count(wanted_bytes);
        Ok(Buffer { handle, bytes: wanted_bytes, slab: Some((number, range)), pool: Arc::clone(self) })
    }

    /// Bytes of the slab that a buffer of `wanted_bytes` begins: all that was planned and is not there yet. In one slab,
    /// what is free between tensors that stay is of use to all others.
    fn planned(&self, state: &State, wanted_bytes: usize) -> usize {
        let there: usize = state.slabs.values().map(|slab| slab.bytes).sum();
        let planned = state.planned_bytes.saturating_sub(there).min(self.largest_bytes) / GRAIN_BYTES * GRAIN_BYTES;
        planned.max(wanted_bytes)
    }

    /// A slab that is free: its number.
    fn add_slab(&self, state: &mut State, bytes: usize) -> Result<u64, EngineError> {
        self.make_room(state, bytes)?;
        let handle = self.slab(state, bytes)?;
        let number = state.next;
        state.next += 1;
        state.slabs.insert(number, Slab { handle, bytes, free: [(0, bytes)].into() });
        state.memory.pooled_bytes += bytes;
        Ok(number)
    }

    /// Tensors will take about `bytes` from now on, what is in use included; slabs out of which nothing is in use go where
    /// there are more.
    pub(crate) fn set_aside(&self, bytes: usize) {
        let mut state = self.state();
        let outside: usize = state.memory.used_bytes + state.memory.pooled_bytes
            - state.slabs.values().map(|slab| slab.bytes).sum::<usize>();
        state.planned_bytes = bytes.saturating_sub(outside);
        let there = state.memory.used_bytes + state.memory.pooled_bytes;
        if there > bytes + bytes / 16 * SLACK_SIXTEENTHS {
            drop(state.trim(0));
            self.client.memory_cleanup();
        }
    }

    /// Memory from the device.
    fn slab(&self, state: &mut State, bytes: usize) -> Result<Handle, EngineError> {
        let handle = self.client.empty(bytes);
        if !self.is_there(&handle)? {
            return Err(self.has_no_more(state, bytes));
        }
        Ok(handle)
    }

    /// Whether there was memory for a buffer. Nothing waits for the device here; the server only has to have made it.
    fn is_there(&self, handle: &Handle) -> Result<bool, EngineError> {
        if self.health.is_of_calls() {
            // Of a buffer that is not there, the server may panic.
            let ask = || self.client.get_resource(handle.clone()).is_ok();
            return Ok(catch_unwind(AssertUnwindSafe(ask)).unwrap_or(false));
        }
        let made = self.client.memory_usage();
        if self.health.take_out_of_memory() {
            return Ok(false);
        }
        made.map_err(|error| device_error(reason_of(&error)))?;
        Ok(true)
    }

    /// Lets go of what is not in use: the device has no `wanted_bytes` more.
    fn has_no_more(&self, state: &mut State, wanted_bytes: usize) -> EngineError {
        drop(state.trim(0));
        self.client.memory_cleanup();
        let used_bytes = state.memory.used_bytes;
        EngineError::OutOfMemory { wanted_bytes, used_bytes, limit_bytes: used_bytes }
    }

    /// A buffer that holds `data`.
    ///
    /// # Errors
    /// As [`Pool::allocate`].
    pub(crate) fn filled(self: &Arc<Self>, mut data: Vec<u8>) -> Result<Buffer<R>, EngineError> {
        data.resize(data.len().max(1).next_multiple_of(GRAIN_BYTES), 0);
        let bytes = data.len();
        let mut state = self.state();
        self.make_room(&mut state, bytes)?;
        let handle = self.client.create(cubecl::bytes::Bytes::from_bytes_vec(data));
        // What launches do with a buffer that is not there, this runtime does not say.
        if self.health.is_of_calls() && !self.is_there(&handle)? {
            return Err(self.has_no_more(&mut state, bytes));
        }
        state.count(bytes);
        Ok(Buffer { handle, bytes, slab: None, pool: Arc::clone(self) })
    }

    /// Sees to it that `wanted_bytes` more stay under the limit.
    fn make_room(&self, state: &mut State, wanted_bytes: usize) -> Result<(), EngineError> {
        let used_bytes = state.memory.used_bytes;
        let out_of = |limit_bytes| Err(EngineError::OutOfMemory { wanted_bytes, used_bytes, limit_bytes });
        if wanted_bytes > self.largest_bytes {
            return out_of(self.largest_bytes);
        }
        let will_be_used = used_bytes.saturating_add(wanted_bytes);
        let Some(room) = self.limit_bytes.checked_sub(will_be_used) else { return out_of(self.limit_bytes) };
        let most = state.most_used_bytes.max(state.planned_bytes).max(will_be_used);
        let dropped = state.trim(room.min(most + most / 16 * SLACK_SIXTEENTHS - will_be_used));
        if !dropped.is_empty() {
            drop(dropped);
            self.client.memory_cleanup();
        }
        // What is free in slabs that are in use cannot be let go.
        if state.memory.pooled_bytes > room { out_of(self.limit_bytes) } else { Ok(()) }
    }
}

/// Memory of a [`Pool`], which takes it back on drop.
pub(crate) struct Buffer<R: Runtime> {
    handle: Handle,
    bytes: usize,
    /// What of which slab it is; `None` where its memory is its own.
    slab: Option<(u64, Range<usize>)>,
    pool: Arc<Pool<R>>,
}

impl<R: Runtime> Buffer<R> {
    /// What kernels and copies name it by.
    pub(crate) fn handle(&self) -> Handle {
        self.handle.clone()
    }
}

impl<R: Runtime> Drop for Buffer<R> {
    fn drop(&mut self) {
        let mut state = self.pool.state();
        state.memory.used_bytes -= self.bytes;
        if let Some((number, range)) = self.slab.take()
            && let Some(slab) = state.slabs.get_mut(&number)
        {
            slab.give_back(range);
            state.memory.pooled_bytes += self.bytes;
        }
    }
}
