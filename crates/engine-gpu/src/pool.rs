//! Memory of the device: buffers that are kept for reuse, counted, and bounded.
//!
//! All work of an engine runs in the order it was launched in, so a buffer whose tensor is gone can be written to at once,
//! whatever still reads it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cubecl::prelude::*;
use cubecl::server::Handle;
use framelift_engine::{EngineError, MemoryUse};

use crate::NAME;
use crate::device::Health;

/// Sizes are rounded up to this.
const GRAIN_BYTES: usize = 256;

/// A free buffer is good for a request that wants at least this share of it, in eighths.
const FIT_EIGHTHS: usize = 7;

struct Block {
    handle: Handle,
    bytes: usize,
}

#[derive(Default)]
struct State {
    /// Oldest first.
    free: Vec<Block>,
    memory: MemoryUse,
}

impl State {
    /// Takes free buffers out, oldest first, until at most `bytes` of them are left.
    fn trim(&mut self, bytes: usize) -> Vec<Block> {
        let mut excess = self.memory.pooled_bytes.saturating_sub(bytes);
        let count = self.free.iter().take_while(|block| {
            let more = excess > 0;
            excess = excess.saturating_sub(block.bytes);
            more
        });
        let count = count.count();
        let dropped: Vec<Block> = self.free.drain(..count).collect();
        self.memory.pooled_bytes -= dropped.iter().map(|block| block.bytes).sum::<usize>();
        dropped
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
    /// An empty pool that never holds more than `limit_bytes`.
    pub(crate) fn new(client: ComputeClient<R>, health: Arc<Health>, limit_bytes: Option<usize>) -> Arc<Self> {
        let largest_bytes = usize::try_from(client.properties().memory.max_page_size).unwrap_or(usize::MAX);
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
        let fits = |block: &Block| (wanted_bytes..=wanted_bytes / FIT_EIGHTHS * 8).contains(&block.bytes);
        let best = (0..state.free.len()).rev().filter(|&i| fits(&state.free[i])).min_by_key(|&i| state.free[i].bytes);
        if let Some(i) = best {
            let block = state.free.remove(i);
            state.memory.pooled_bytes -= block.bytes;
            state.memory.used_bytes += block.bytes;
            return Ok(self.buffer(block));
        }
        self.make_room(&mut state, wanted_bytes)?;
        let handle = self.client.empty(wanted_bytes);
        // Nothing waits for the device here; the server only has to have made the buffer.
        let made = self.client.memory_usage();
        if self.health.take_out_of_memory() {
            drop(handle);
            let dropped = state.trim(0);
            drop(dropped);
            self.client.memory_cleanup();
            let used_bytes = state.memory.used_bytes;
            return Err(EngineError::OutOfMemory { wanted_bytes, used_bytes, limit_bytes: used_bytes });
        }
        made.map_err(|error| EngineError::Device { engine: NAME, reason: error.to_string() })?;
        Self::count(&mut state, wanted_bytes);
        Ok(self.buffer(Block { handle, bytes: wanted_bytes }))
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
        Self::count(&mut state, bytes);
        Ok(self.buffer(Block { handle, bytes }))
    }

    /// Sees to it that `wanted_bytes` more stay under the limit.
    fn make_room(&self, state: &mut State, wanted_bytes: usize) -> Result<(), EngineError> {
        let used_bytes = state.memory.used_bytes;
        let limit_bytes = if wanted_bytes > self.largest_bytes { self.largest_bytes } else { self.limit_bytes };
        let room = limit_bytes.checked_sub(used_bytes).and_then(|room| room.checked_sub(wanted_bytes));
        let Some(room) = room else {
            return Err(EngineError::OutOfMemory { wanted_bytes, used_bytes, limit_bytes });
        };
        // A size not seen before: what is pooled may be of sizes that will not be seen again.
        let dropped = state.trim(room.min(used_bytes + wanted_bytes));
        if !dropped.is_empty() {
            drop(dropped);
            self.client.memory_cleanup();
        }
        Ok(())
    }

    fn count(state: &mut State, bytes: usize) {
        state.memory.used_bytes += bytes;
        state.memory.peak_bytes = state.memory.peak_bytes.max(state.memory.used_bytes + state.memory.pooled_bytes);
    }

    fn buffer(self: &Arc<Self>, block: Block) -> Buffer<R> {
        Buffer { block: Some(block), pool: Arc::clone(self) }
    }
}

/// Memory of a [`Pool`], which takes it back on drop.
pub(crate) struct Buffer<R: Runtime> {
    block: Option<Block>,
    pool: Arc<Pool<R>>,
}

impl<R: Runtime> Buffer<R> {
    /// What kernels and copies name it by.
    pub(crate) fn handle(&self) -> Option<Handle> {
        self.block.as_ref().map(|block| block.handle.clone())
    }
}

impl<R: Runtime> Drop for Buffer<R> {
    fn drop(&mut self) {
        if let Some(block) = self.block.take() {
            let mut state = self.pool.state();
            state.memory.used_bytes -= block.bytes;
            state.memory.pooled_bytes += block.bytes;
            state.free.push(block);
        }
    }
}
