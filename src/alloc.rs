//! The module's allocator: the system's, with a reserve for when that refuses. Rust ends the
//! process where a small allocation is refused, so these come from the reserve, and the call ends
//! with what it has; until the system has memory again, the next call is refused at the door. What
//! is larger is asked for with `net::memory`, and may be refused.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use net::memory;

/// What the reserve is given in, in bytes.
const UNIT: usize = 256;
/// The units of a part, one bit each. No block is larger than a part.
const UNITS: usize = 64;
const PART: usize = UNITS * UNIT;
const PARTS: usize = 64;

struct Allocator;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

/// Registers with the C library what frees the variables of this thread, which ends the process
/// where it has no memory to do so later.
pub fn prepare() {
    drop(thread::current());
}

/// Whether calls may be made: false after one that needed the reserve, while the system has no
/// memory to fill it.
pub fn refill() -> bool {
    if !RESERVE.is_touched.load(Ordering::Relaxed) {
        return true;
    }
    let is_filled = RESERVE.is_half_free() && memory::check(4 * PART).is_ok();
    RESERVE.is_touched.store(!is_filled, Ordering::Relaxed);
    is_filled
}

// SAFETY: a block is the system's or the reserve's, as its address tells, and goes back to where it
// came from.
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
            // SAFETY: the block is so large, and nobody else's.
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
    /// What `realloc` does where the system cannot.
    #[cold]
    unsafe fn move_block(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's: `size` is valid for this alignment, both blocks are as large as is
        // copied, and the old one is given back once.
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

/// Taken when the module is loaded, as a part of it. What is not used of it has no memory behind
/// it.
static RESERVE: Reserve = Reserve {
    memory: Memory(UnsafeCell::new([0; PARTS * PART])),
    parts: [const { AtomicU64::new(0) }; PARTS],
    is_touched: AtomicBool::new(false),
};

/// Its functions allocate nothing and take no lock, as resolver threads and children of fork use it
/// as well.
struct Reserve {
    memory: Memory,
    /// The units of each part that are given, from its lowest bit on.
    parts: [AtomicU64; PARTS],
    is_touched: AtomicBool,
}

#[repr(align(256))]
struct Memory(UnsafeCell<[u8; PARTS * PART]>);

// SAFETY: only addresses are taken of it; each byte belongs to whom its block was given.
unsafe impl Sync for Memory {}

impl Reserve {
    /// A block of the first part that has room for it; null where there is none.
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

/// As many bits as `size` bytes have units, from the lowest on.
fn units(size: usize) -> u64 {
    u64::MAX >> (UNITS - size.div_ceil(UNIT).max(1))
}

/// The lowest unit of a part from which on there is room for `size` bytes.
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
        // SAFETY: the block is the reserve's, of this size, and is given back once.
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
