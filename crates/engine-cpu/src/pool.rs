//! Memory of an engine: blocks handed out, taken back and handed out again, under a limit.
//!
//! Networks ask for the same few sizes frame after frame. The block given back last is handed out first, while it
//! may still be in a cache.

#![expect(
    unsafe_code,
    reason = "blocks are aligned for vectors, reused without being cleared and shared between threads"
)]

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use framelift_engine::{EngineError, MemoryUse};

/// Alignment of every block: a cache line, and the widest vector.
const ALIGN_BYTES: usize = 64;

/// Initialised bytes after the end of every buffer, so that a vector may be read across it.
pub(crate) const SLACK_BYTES: usize = 128;

/// Blocks from this size on are aligned to, and backed by, huge pages where the system has them.
const HUGE_BYTES: usize = 2 << 20;

/// The least that a buffer must have to lie in a huge page. Kernels that write to many places at once run slower
/// without one, as a processor keeps the addresses of few pages for stores.
pub(crate) const HUGE_PAGE_BYTES: usize = HUGE_BYTES - SLACK_BYTES;

/// A free block is good for a request that wants at least this share of it, in eighths.
const FIT_EIGHTHS: usize = 7;

struct Block {
    start: NonNull<u8>,
    layout: Layout,
}

// SAFETY: a block is memory that nothing else points to.
unsafe impl Send for Block {}

impl Block {
    /// A block of zeros.
    fn new(bytes: usize) -> Option<Self> {
        let align = if bytes >= HUGE_BYTES { HUGE_BYTES } else { ALIGN_BYTES };
        let layout = Layout::from_size_align(bytes, align).ok()?;
        #[cfg(target_os = "linux")]
        if bytes >= HUGE_BYTES {
            return pages::map(layout).map(|start| Self { start, layout });
        }
        // SAFETY: `bytes` is not zero (see `Pool::allocate`).
        let Some(start) = NonNull::new(unsafe { alloc_zeroed(layout) }) else { handle_alloc_error(layout) };
        Some(Self { start, layout })
    }

    fn bytes(&self) -> usize {
        self.layout.size()
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        #[cfg(target_os = "linux")]
        if self.bytes() >= HUGE_BYTES {
            // SAFETY: mapped in `Block::new` with this layout, and unmapped once.
            unsafe { pages::unmap(self.start, self.layout) };
            return;
        }
        // SAFETY: allocated in `Block::new` with this layout, and freed once.
        unsafe { dealloc(self.start.as_ptr(), self.layout) }
    }
}

/// Large blocks straight from the system: a heap would keep those that are given back, scattered, and take new ones beside.
#[cfg(target_os = "linux")]
mod pages {
    use std::alloc::Layout;
    use std::ptr::NonNull;

    /// A multiple of the pages of every system.
    const PAGE_BYTES: usize = 64 << 10;

    /// Memory of this layout, of zeros, in huge pages where there are some; `None` where the system has none left.
    pub(super) fn map(layout: Layout) -> Option<NonNull<u8>> {
        let bytes = layout.size().next_multiple_of(PAGE_BYTES);
        let all = bytes.checked_add(layout.align())?;
        // SAFETY: a new mapping that replaces none, and cuts from its ends that are whole pages (the alignment is too).
        unsafe {
            let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
            let mapped = libc::mmap(std::ptr::null_mut(), all, access, kind, -1, 0);
            if mapped == libc::MAP_FAILED {
                return None;
            }
            let before = mapped.align_offset(layout.align());
            let start = mapped.byte_add(before);
            if before > 0 {
                libc::munmap(mapped, before);
            }
            libc::munmap(start.byte_add(bytes), all - before - bytes);
            // A hint; whether it succeeds does not matter.
            libc::madvise(start, bytes, libc::MADV_HUGEPAGE);
            NonNull::new(start.cast())
        }
    }

    /// Gives back what [`map`] gave for this layout.
    ///
    /// # Safety
    /// It must have, and nothing point there any more.
    pub(super) unsafe fn unmap(start: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller answers for it.
        unsafe { libc::munmap(start.as_ptr().cast(), layout.size().next_multiple_of(PAGE_BYTES)) };
    }
}

struct State {
    /// Oldest first.
    free: Vec<Block>,
    memory: MemoryUse,
    /// Nothing is pooled beyond it.
    ceiling_bytes: usize,
}

impl State {
    /// Frees pooled blocks, oldest first, until at most `bytes` of them are left.
    fn trim(&mut self, bytes: usize) {
        let mut excess = self.memory.pooled_bytes.saturating_sub(bytes);
        let count = self.free.iter().take_while(|block| {
            let more = excess > 0;
            excess = excess.saturating_sub(block.bytes());
            more
        });
        let count = count.count();
        self.memory.pooled_bytes -= self.free.drain(..count).map(|block| block.bytes()).sum::<usize>();
    }
}

/// Where an engine's memory comes from.
pub(crate) struct Pool {
    state: Mutex<State>,
    limit_bytes: usize,
}

impl Pool {
    /// An empty pool that never holds more than `limit_bytes`.
    pub(crate) fn new(limit_bytes: Option<usize>) -> Arc<Self> {
        let limit_bytes = limit_bytes.unwrap_or(usize::MAX);
        let state = State { free: Vec::new(), memory: MemoryUse::default(), ceiling_bytes: limit_bytes };
        Arc::new(Self { state: Mutex::new(state), limit_bytes })
    }

    /// Pools no more than keeps used and pooled bytes together below `bytes`.
    pub(crate) fn keep_within(&self, bytes: usize) {
        let mut state = self.state();
        state.ceiling_bytes = bytes;
        let room = bytes.saturating_sub(state.memory.used_bytes);
        state.trim(room);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change of the state is complete before anything could panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is held now, and the most that was.
    pub(crate) fn memory(&self) -> MemoryUse {
        self.state().memory
    }

    /// A buffer of at least `bytes`, its contents left over from its last use. (Zero, when new. In tests and debug
    /// builds NaN, so that a read of what was never written shows.)
    ///
    /// # Errors
    /// [`EngineError::OutOfMemory`] where the limit would be exceeded even with nothing kept for reuse.
    pub(crate) fn allocate(self: &Arc<Self>, bytes: usize) -> Result<Buffer, EngineError> {
        let wanted_bytes = (bytes + SLACK_BYTES).next_multiple_of(ALIGN_BYTES);
        let mut state = self.state();
        let fits = |block: &Block| (wanted_bytes..=wanted_bytes / FIT_EIGHTHS * 8).contains(&block.bytes());
        let best = (0..state.free.len()).rev().filter(|&i| fits(&state.free[i])).min_by_key(|&i| state.free[i].bytes());
        let recycled = best.map(|i| state.free.remove(i));
        if let Some(block) = &recycled {
            state.memory.pooled_bytes -= block.bytes();
        } else {
            let (used_bytes, ceiling_bytes) = (state.memory.used_bytes, state.ceiling_bytes);
            let refused = EngineError::OutOfMemory { wanted_bytes, used_bytes, limit_bytes: self.limit_bytes };
            let Some(room) = self.limit_bytes.checked_sub(used_bytes).and_then(|room| room.checked_sub(wanted_bytes))
            else {
                return Err(refused);
            };
            // A size not seen before: what is pooled may be of sizes that will not be seen again.
            let below_ceiling = ceiling_bytes.saturating_sub(used_bytes + wanted_bytes);
            state.trim(room.min(used_bytes + wanted_bytes).min(below_ceiling));
        }
        // Counted before it is allocated, so that the lock need not be held meanwhile.
        state.memory.used_bytes += recycled.as_ref().map_or(wanted_bytes, Block::bytes);
        state.memory.peak_bytes = state.memory.peak_bytes.max(state.memory.used_bytes + state.memory.pooled_bytes);
        drop(state);
        let block = match recycled {
            Some(block) => block,
            None => Block::new(wanted_bytes).ok_or_else(|| {
                let mut state = self.state();
                state.memory.used_bytes -= wanted_bytes;
                let used_bytes = state.memory.used_bytes;
                EngineError::OutOfMemory { wanted_bytes, used_bytes, limit_bytes: isize::MAX as usize }
            })?,
        };
        if cfg!(debug_assertions) {
            // SAFETY: the block is ours alone. All bits set are NaN, in f32 as in bf16.
            unsafe { block.start.as_ptr().write_bytes(0xff, block.bytes()) };
        }
        Ok(Buffer { block: Some(block), pool: Arc::clone(self) })
    }
}

/// Memory of a [`Pool`], which takes it back on drop.
pub(crate) struct Buffer {
    block: Option<Block>,
    pool: Arc<Pool>,
}

// SAFETY: a buffer is plain memory; who writes to it through `start` answers for there being no data race.
unsafe impl Sync for Buffer {}

impl Buffer {
    /// The first byte, aligned to a cache line. [`SLACK_BYTES`] beyond the size asked for may be read.
    pub(crate) fn start(&self) -> *mut u8 {
        self.block.as_ref().map_or(std::ptr::null_mut(), |block| block.start.as_ptr())
    }

    /// Bytes that may be used, at least as many as were asked for.
    pub(crate) fn bytes(&self) -> usize {
        self.block.as_ref().map_or(0, |block| block.bytes() - SLACK_BYTES)
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some(block) = self.block.take() {
            let mut state = self.pool.state();
            state.memory.used_bytes -= block.bytes();
            state.memory.pooled_bytes += block.bytes();
            state.free.push(block);
        }
    }
}
