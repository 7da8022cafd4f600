//! The tape: a parsed JSON text as a flat list of entries. Each container precedes its members and
//! has their exact number. Strings stay in the text; only those with escapes are copied.

use std::cell::Cell;
use std::collections::TryReserveError;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};

/// The largest tape that is kept for the next text, in entries (1 MiB).
const KEPT_ENTRIES: usize = 1 << 16;
/// The same for its unescaped strings, in bytes.
const KEPT_ARENA: usize = 1 << 18;

/// A value, or a member's name (always `Text` or `Unescaped`), which its value follows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Entry {
    Null,
    Bool(bool),
    Integer(i64),
    Float(f64),
    /// A part of the text itself.
    Text {
        len: u32,
        at: usize,
    },
    /// A part of the tape's arena.
    Unescaped {
        len: u32,
        at: usize,
    },
    /// `len` values follow, each with its own members.
    Array {
        len: u32,
    },
    /// `len` pairs of name and value follow.
    Object {
        len: u32,
    },
}

const _: () = assert!(size_of::<Entry>() == 16);

/// A value on the tape that a pointer leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    pub entry: usize,
    /// Whether it is an object's member.
    pub is_member: bool,
}

#[derive(Default)]
pub struct Tape {
    pub entries: Vec<Entry>,
    pub arena: Vec<u8>,
    /// The deepest nesting of containers: 1 for one without another inside.
    pub depth: usize,
    pub has_arrays: bool,
    /// Of several values on one tape, where each is; none for those that are not there.
    pub found: Vec<Option<Found>>,
}

impl Tape {
    #[inline]
    pub fn push(&mut self, entry: Entry) -> Result<(), TryReserveError> {
        if self.entries.len() == self.entries.capacity() {
            self.grow()?;
        }
        self.entries.push(entry);
        Ok(())
    }

    #[cold]
    fn grow(&mut self) -> Result<(), TryReserveError> {
        self.entries.try_reserve(1)
    }

    pub fn unescaped(&mut self, bytes: &[u8]) -> Result<(), TryReserveError> {
        self.arena.try_reserve(bytes.len())?;
        self.arena.extend_from_slice(bytes);
        Ok(())
    }

    fn clear(&mut self) {
        self.entries.clear();
        self.arena.clear();
        self.depth = 0;
        self.has_arrays = false;
        self.found.clear();
    }
}

thread_local! {
    static SPARE: Cell<Option<Box<Tape>>> = Cell::default();
}

/// The thread's spare tape on loan. A decode within a decode, as in a finalizer, gets a new one. It
/// is boxed, since each reply of an operation is as large as the largest.
pub struct BorrowedTape(ManuallyDrop<Box<Tape>>);

impl BorrowedTape {
    pub fn take() -> BorrowedTape {
        let mut tape = SPARE.try_with(Cell::take).ok().flatten().unwrap_or_default();
        tape.clear();
        BorrowedTape(ManuallyDrop::new(tape))
    }
}

impl Drop for BorrowedTape {
    fn drop(&mut self) {
        // SAFETY: the loan ends here.
        let tape = unsafe { ManuallyDrop::take(&mut self.0) };
        if tape.entries.capacity() <= KEPT_ENTRIES
            && tape.arena.capacity() <= KEPT_ARENA
            && tape.found.capacity() <= KEPT_ENTRIES
        {
            // Fails only on a thread that is ending, which needs no spare.
            let _ = SPARE.try_with(|spare| spare.set(Some(tape)));
        }
    }
}

impl Deref for BorrowedTape {
    type Target = Tape;

    fn deref(&self) -> &Tape {
        &self.0
    }
}

impl DerefMut for BorrowedTape {
    fn deref_mut(&mut self) -> &mut Tape {
        &mut self.0
    }
}
