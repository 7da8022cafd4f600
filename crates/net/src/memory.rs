//! Fallible allocation: all memory that grows with data is reserved here, and a refusal is an
//! error. Rust's other allocations are small and cannot be refused. Uses `error`.

use std::collections::TryReserveError;

use crate::error::{Error, Result};

impl From<TryReserveError> for Error {
    #[cold]
    fn from(_: TryReserveError) -> Self {
        Self::out_of_memory()
    }
}

/// Fails if so many bytes cannot be allocated. It is called before code that cannot handle a
/// refusal.
pub fn check(size: usize) -> Result<()> {
    Ok(Vec::<u8>::new().try_reserve_exact(size)?)
}

/// Reserves room for `room` more items, and twice the present capacity if possible.
pub fn reserve<T>(items: &mut Vec<T>, room: usize) -> Result<()> {
    Ok(items.try_reserve(room).or_else(|_| items.try_reserve_exact(room))?)
}

/// Appends a copy of `more`.
pub fn append(bytes: &mut Vec<u8>, more: &[u8]) -> Result<()> {
    reserve(bytes, more.len())?;
    bytes.extend_from_slice(more);
    Ok(())
}

pub fn copy(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut copy = Vec::new();
    copy.try_reserve_exact(bytes.len())?;
    copy.extend_from_slice(bytes);
    Ok(copy)
}

pub fn copy_text(text: &str) -> Result<String> {
    let mut copy = String::new();
    copy.try_reserve_exact(text.len())?;
    copy.push_str(text);
    Ok(copy)
}

pub fn collect<T>(items: impl IntoIterator<Item = T>) -> Result<Vec<T>> {
    let mut collected = Vec::new();
    for item in items {
        reserve(&mut collected, 1)?;
        collected.push(item);
    }
    Ok(collected)
}
