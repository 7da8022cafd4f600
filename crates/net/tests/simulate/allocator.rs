//! Counts the blocks that a thread has, so that a run that keeps memory is found.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counting;

thread_local! {
    static BLOCKS: Cell<isize> = const { Cell::new(0) };
}

/// Blocks that this thread has allocated and not freed.
pub fn blocks() -> isize {
    BLOCKS.get()
}

fn count(change: isize) {
    let _ = BLOCKS.try_with(|blocks| blocks.set(blocks.get() + change));
}

// SAFETY: the system's allocator, which is called with what this is called with.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(1);
        // SAFETY: the caller's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(-1);
        // SAFETY: the caller's.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's.
        unsafe { System.realloc(block, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;
