//! The module's allocator: the system's, with a reserve for when that refuses. Rust ends the process where a
//! small allocation is refused, so these come from the reserve, and the call ends with what it has; until the
//! system has memory again, the next call is refused at the door. What is larger is asked for with
//! `net::memory`, and may be refused.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The largest block that the reserve gives, in bytes.
const SMALL: usize = 16 * 1024;
/// Each part of the reserve is free again when all its blocks are.
const PART: usize = 64 * 1024;
const PARTS: usize = 16;

/// Of all blocks; also the alignment of the reserve, and so the largest that it gives.
const GRAIN: usize = 16;

struct Allocator;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

/// Whether calls may be made: false after one that needed the reserve, while the system has no memory to fill it.
pub fn refill() -> bool {
    if !RESERVE.is_touched.load(Ordering::Relaxed) {
        return true;
    }
    let is_filled = RESERVE.is_half_free() && system_has(PART);
    RESERVE.is_touched.store(!is_filled, Ordering::Relaxed);
    is_filled
}

fn system_has(size: usize) -> bool {
    Vec::<u8>::new().try_reserve_exact(size).is_ok()
}

// SAFETY: a block is the system's or the reserve's, as its address tells, and goes back to where it came from.
unsafe impl GlobalAlloc for Allocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's.
        let block = unsafe { System.alloc(layout) };
        if block.is_null() { RESERVE.take(layout) } else { block }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        match RESERVE.part_of(block) {
            Some(part) => RESERVE.give_back(part),
            // SAFETY: the caller's.
            None => unsafe { System.dealloc(block, layout) },
        }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's.
        let block = unsafe { System.alloc_zeroed(layout) };
        if !block.is_null() {
            return block;
        }
        let block = RESERVE.take(layout);
        if !block.is_null() {
            // SAFETY: the block is so large, and nobody else's.
            unsafe { block.write_bytes(0, layout.size()) };
        }
        block
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if RESERVE.part_of(block).is_none() {
            // SAFETY: the caller's; the block is the system's.
            let moved = unsafe { System.realloc(block, layout, size) };
            if !moved.is_null() {
                return moved;
            }
        }
        // SAFETY: the caller's.
        unsafe { self.move_block(block, layout, size) }
    }
}

impl Allocator {
    /// What `realloc` does where the system cannot.
    #[cold]
    unsafe fn move_block(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's: `size` is valid for this alignment, both blocks are as large as is copied, and the
        // old one is given back once.
        unsafe {
            let moved = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !moved.is_null() {
                ptr::copy_nonoverlapping(block, moved, layout.size().min(size));
                self.dealloc(block, layout);
            }
            moved
        }
    }
}

/// Taken when the module is loaded, as a part of it.
static RESERVE: Reserve = Reserve {
    memory: Memory(UnsafeCell::new([0; PARTS * PART])),
    parts: [const { AtomicU64::new(0) }; PARTS],
    is_touched: AtomicBool::new(false),
};

/// Its functions allocate nothing and take no lock, as resolver threads and children of fork use it as well.
struct Reserve {
    memory: Memory,
    /// Of each part: bytes that were given below, blocks that are out above.
    parts: [AtomicU64; PARTS],
    is_touched: AtomicBool,
}

#[repr(align(16))]
struct Memory(UnsafeCell<[u8; PARTS * PART]>);

// SAFETY: only addresses are taken of it; each byte belongs to whom its block was given.
unsafe impl Sync for Memory {}

/// One block that is out.
const ONE: u64 = 1 << 32;

fn given(part: u64) -> usize {
    (part % ONE) as usize
}

impl Reserve {
    /// A block of a part that has room for it; null where there is none.
    #[cold]
    fn take(&self, layout: Layout) -> *mut u8 {
        if layout.size() > SMALL || layout.align() > GRAIN {
            return ptr::null_mut();
        }
        self.is_touched.store(true, Ordering::Relaxed);
        let size = layout.size().next_multiple_of(GRAIN);
        let grow = |part: u64| (given(part) + size <= PART).then_some(part + ONE + size as u64);
        for (index, part) in self.parts.iter().enumerate() {
            if let Ok(before) = part.fetch_update(Ordering::Acquire, Ordering::Relaxed, grow) {
                return self.start().wrapping_add(index * PART + given(before));
            }
        }
        ptr::null_mut()
    }

    /// Takes back a block of a part. With the last one, all of the part can be given again.
    #[cold]
    fn give_back(&self, part: usize) {
        let shrink = |part: u64| Some(if part < 2 * ONE { 0 } else { part - ONE });
        let _ = self.parts[part].fetch_update(Ordering::Release, Ordering::Relaxed, shrink);
    }

    #[inline]
    fn part_of(&self, block: *const u8) -> Option<usize> {
        let offset = (block as usize).wrapping_sub(self.start() as usize);
        (offset < PARTS * PART).then_some(offset / PART)
    }

    fn is_half_free(&self) -> bool {
        let free = self.parts.iter().filter(|part| part.load(Ordering::Relaxed) == 0).count();
        free >= PARTS / 2
    }

    fn start(&self) -> *mut u8 {
        self.memory.0.get().cast()
    }
}
