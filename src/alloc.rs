//! The module's allocator: the system's, and a reserve for when that refuses. Rust aborts the
//! process if a small allocation fails, so the reserve serves it, and the call can end. Calls then
//! fail at once until the system has memory again. Larger allocations are made with `net::memory`,
//! and may fail.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use net::memory;

/// The unit of allocation in the reserve, in bytes.
const UNIT: usize = 256;
/// The units of a part, one bit each. A block lies within one part.
const UNITS: usize = 64;
const PART: usize = UNITS * UNIT;
const PARTS: usize = 64;

struct Allocator;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

/// Makes the C library register the destructors of this thread's variables. Later it could lack
/// memory for that, and would abort the process.
pub fn prepare() {
    drop(thread::current());
}

/// Returns whether calls may be made. It is false after a call has used the reserve, until the
/// system has memory to refill it.
pub fn refill() -> bool {
    if !RESERVE.is_touched.load(Ordering::Relaxed) {
        return true;
    }
    let is_filled = RESERVE.is_half_free() && memory::check(4 * PART).is_ok();
    RESERVE.is_touched.store(!is_filled, Ordering::Relaxed);
    is_filled
}

// SAFETY: a block is the system's or the reserve's; its address tells which, and it is freed there.
unsafe impl GlobalAlloc for Allocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's.
        let block = unsafe { System.alloc(layout) };
        if block.is_null() { RESERVE.take(layout) } else { block }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        match RESERVE.offset_of(block) {
            Some(offset) => RESERVE.give_back(offset, layout.size()),
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
            // SAFETY: the block has this size and no other owner.
            unsafe { block.write_bytes(0, layout.size()) };
        }
        block
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if RESERVE.offset_of(block).is_none() {
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
    /// Reallocates a block where the system's realloc cannot.
    #[cold]
    unsafe fn move_block(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's: `size` is valid for this alignment. Both blocks hold the bytes that
        // are copied, and the old one is freed once.
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

/// The reserve is part of the module's image. Its unused pages take no memory.
static RESERVE: Reserve = Reserve {
    memory: Memory(UnsafeCell::new([0; PARTS * PART])),
    parts: [const { AtomicU64::new(0) }; PARTS],
    is_touched: AtomicBool::new(false),
};

/// Its functions allocate nothing and take no lock, since resolver threads and children of fork
/// call them, too.
struct Reserve {
    memory: Memory,
    /// The allocated units of each part, from its lowest bit on.
    parts: [AtomicU64; PARTS],
    is_touched: AtomicBool,
}

#[repr(align(256))]
struct Memory(UnsafeCell<[u8; PARTS * PART]>);

// SAFETY: only its address is used here; each byte belongs to the owner of its block.
unsafe impl Sync for Memory {}

impl Reserve {
    /// Allocates a block in the first part that has room; null if none has.
    #[cold]
    fn take(&self, layout: Layout) -> *mut u8 {
        if layout.size() > PART || layout.align() > UNIT {
            return ptr::null_mut();
        }
        self.is_touched.store(true, Ordering::Relaxed);
        for (index, part) in self.parts.iter().enumerate() {
            let take =
                |given| Some(given | units(layout.size()) << first_free(given, layout.size())?);
            if let Ok(given) = part.fetch_update(Ordering::Acquire, Ordering::Relaxed, take) {
                let unit = first_free(given, layout.size()).unwrap_or_default();
                return self.start().wrapping_add(index * PART + unit as usize * UNIT);
            }
        }
        ptr::null_mut()
    }

    #[cold]
    fn give_back(&self, offset: usize, size: usize) {
        let mask = units(size) << (offset % PART / UNIT);
        self.parts[offset / PART].fetch_and(!mask, Ordering::Release);
    }

    #[inline]
    fn offset_of(&self, block: *const u8) -> Option<usize> {
        let offset = (block as usize).wrapping_sub(self.start() as usize);
        (offset < PARTS * PART).then_some(offset)
    }

    fn is_half_free(&self) -> bool {
        let given: u32 =
            self.parts.iter().map(|part| part.load(Ordering::Relaxed).count_ones()).sum();
        given as usize <= PARTS * UNITS / 2
    }

    fn start(&self) -> *mut u8 {
        self.memory.0.get().cast()
    }
}

/// Returns a mask with a bit for each unit of `size` bytes, from the lowest on.
fn units(size: usize) -> u64 {
    u64::MAX >> (UNITS - size.div_ceil(UNIT).max(1))
}

/// Returns the lowest unit of a part from which `size` bytes are free.
fn first_free(given: u64, size: usize) -> Option<u32> {
    let mask = units(size);
    (0..=mask.leading_zeros()).find(|unit| given & mask << unit == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reserve() -> Reserve {
        Reserve {
            memory: Memory(UnsafeCell::new([0; PARTS * PART])),
            parts: [const { AtomicU64::new(0) }; PARTS],
            is_touched: AtomicBool::new(false),
        }
    }

    fn layout(size: usize) -> Layout {
        Layout::from_size_align(size, 8).expect("a layout")
    }

    #[test]
    fn what_is_given_back_is_given_again() {
        let reserve = Box::new(reserve());
        let blocks: Vec<_> = [1, 256, 257, PART].map(|size| reserve.take(layout(size))).into();
        let offsets: Vec<_> = blocks.iter().map(|block| reserve.offset_of(*block)).collect();
        assert_eq!(offsets, [Some(0), Some(UNIT), Some(2 * UNIT), Some(PART)]);
        reserve.give_back(UNIT, 256);
        assert_eq!(reserve.take(layout(512)), blocks[2].wrapping_add(2 * UNIT));
        assert_eq!(reserve.take(layout(8)), blocks[1]);
        for (offset, size) in [(0, 1), (UNIT, 8), (2 * UNIT, 257), (4 * UNIT, 512), (PART, PART)] {
            reserve.give_back(offset, size);
        }
        assert!(reserve.parts.iter().all(|part| part.load(Ordering::Relaxed) == 0));
    }

    #[test]
    fn it_has_an_end() {
        let reserve = Box::new(reserve());
        for index in 0..PARTS {
            assert_eq!(reserve.is_half_free(), index <= PARTS / 2);
            assert_eq!(reserve.take(layout(PART)), reserve.start().wrapping_add(index * PART));
        }
        assert!(reserve.take(layout(1)).is_null());
        reserve.give_back(3 * PART, PART);
        assert!(!reserve.take(layout(1)).is_null());
    }

    #[test]
    fn it_is_for_what_is_small() {
        let reserve = Box::new(reserve());
        assert!(reserve.take(layout(PART + 1)).is_null());
        let page = Layout::from_size_align(64, 4096).expect("a layout");
        assert!(reserve.take(page).is_null());
        assert!(!reserve.is_touched.load(Ordering::Relaxed));
        assert_eq!(reserve.offset_of(ptr::null()), None);
    }

    #[test]
    fn blocks_grow_and_shrink_across_its_border() {
        // SAFETY: the block is the reserve's, has this size, and is freed once.
        unsafe {
            let block = RESERVE.take(layout(300));
            block.write_bytes(7, 300);
            let grown = ALLOCATOR.realloc(block, layout(300), 100_000);
            assert_eq!(RESERVE.offset_of(grown), None);
            assert!((0..300).all(|at| *grown.add(at) == 7));
            ALLOCATOR.dealloc(grown, layout(100_000));
        }
        assert!(RESERVE.is_touched.load(Ordering::Relaxed));
        assert!(refill());
        assert!(!RESERVE.is_touched.load(Ordering::Relaxed));
    }
}
