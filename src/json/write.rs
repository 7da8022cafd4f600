//! JSON text of strings and numbers, appended to a buffer. Pure: no Lua.
//! May call: `plain`, itoa, simdutf8, zmij.

use std::collections::TryReserveError;

use super::plain;

/// Why something could not be written; what was appended of it is to be cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unwritable {
    NotUtf8,
    NotFinite,
    Memory,
}

impl From<TryReserveError> for Unwritable {
    #[cold]
    fn from(_: TryReserveError) -> Unwritable {
        Unwritable::Memory
    }
}

/// Appends `bytes` as they are.
#[inline]
pub fn raw(out: &mut Vec<u8>, bytes: &[u8]) -> Result<(), Unwritable> {
    if out.capacity() - out.len() < bytes.len() {
        grow(out, bytes.len())?;
    }
    out.extend_from_slice(bytes);
    Ok(())
}

/// Appends `bytes` in quotes, with the escapes that JSON demands and no others.
pub fn string(out: &mut Vec<u8>, bytes: &[u8]) -> Result<(), Unwritable> {
    between(out, b"\"", bytes, b"\"")
}

/// Appends the name of an object's member: its first, or one that follows another.
pub fn name(out: &mut Vec<u8>, is_first: bool, bytes: &[u8]) -> Result<(), Unwritable> {
    between(out, if is_first { b"{\"" } else { b",\"" }, bytes, b"\":")
}

#[inline(always)]
fn between<const FRONT: usize, const BACK: usize>(
    out: &mut Vec<u8>,
    front: &[u8; FRONT],
    bytes: &[u8],
    back: &[u8; BACK],
) -> Result<(), Unwritable> {
    let (start, size) = (out.len(), FRONT + bytes.len() + BACK);
    if out.capacity() - start < size {
        grow(out, size)?;
    }
    // SAFETY: there is room for all three, and they are written when the length is set.
    unsafe {
        let to = out.as_mut_ptr().add(start);
        to.cast::<[u8; FRONT]>().write(*front);
        if plain::copy_ascii(bytes, to.add(FRONT)) {
            to.add(FRONT + bytes.len()).cast::<[u8; BACK]>().write(*back);
            out.set_len(start + size);
            return Ok(());
        }
    }
    raw(out, front)?;
    escaped(out, bytes)?;
    raw(out, back)
}

#[cold]
fn grow(out: &mut Vec<u8>, size: usize) -> Result<(), TryReserveError> {
    out.try_reserve(size)
}

#[inline(never)]
fn escaped(out: &mut Vec<u8>, bytes: &[u8]) -> Result<(), Unwritable> {
    simdutf8::basic::from_utf8(bytes).map_err(|_| Unwritable::NotUtf8)?;
    let mut rest = bytes;
    loop {
        let (run, special) = rest.split_at(plain::run(rest));
        raw(out, run)?;
        let Some((&byte, after)) = special.split_first() else { return Ok(()) };
        escape(out, byte)?;
        rest = after;
    }
}

fn escape(out: &mut Vec<u8>, byte: u8) -> Result<(), Unwritable> {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    match byte {
        b'"' => raw(out, b"\\\""),
        b'\\' => raw(out, b"\\\\"),
        b'\n' => raw(out, b"\\n"),
        b'\r' => raw(out, b"\\r"),
        b'\t' => raw(out, b"\\t"),
        0x08 => raw(out, b"\\b"),
        0x0C => raw(out, b"\\f"),
        _ => {
            let digits = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
            raw(out, &[b'\\', b'u', b'0', b'0', digits[0], digits[1]])
        }
    }
}

#[inline]
pub fn integer(out: &mut Vec<u8>, integer: i64) -> Result<(), Unwritable> {
    raw(out, itoa::Buffer::new().format(integer).as_bytes())
}

/// Appends the shortest digits that give `float` back.
#[inline]
pub fn float(out: &mut Vec<u8>, float: f64) -> Result<(), Unwritable> {
    const SIZE: usize = size_of::<zmij::Buffer>();
    const { assert!(align_of::<zmij::Buffer>() == 1) };
    if !float.is_finite() {
        return Err(Unwritable::NotFinite);
    }
    let start = out.len();
    if out.capacity() - start < SIZE {
        grow(out, SIZE)?;
    }
    // SAFETY: there is room for a buffer, for which any address is aligned. The text is within it,
    // and is moved to its front if it does not begin there.
    unsafe {
        let to = out.as_mut_ptr().add(start);
        to.cast::<zmij::Buffer>().write(zmij::Buffer::new());
        let text = (*to.cast::<zmij::Buffer>()).format_finite(float);
        let (from, size) = (text.as_ptr(), text.len());
        if from != to {
            from.copy_to(to, size);
        }
        out.set_len(start + size);
    }
    Ok(())
}
