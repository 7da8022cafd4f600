//! Which string bytes are plain, that is, stand for themselves in JSON: found, and copied, eight at a time.

const ONES: u64 = u64::from_ne_bytes([1; 8]);
const HIGH: u64 = ONES << 7;

/// The first quote, backslash or control character at or after `at`, else the end.
#[inline]
pub fn end(bytes: &[u8], mut at: usize) -> usize {
    while let Some(chunk) = bytes.get(at..at + 8) {
        let special = special(chunk.try_into().map_or(0, u64::from_le_bytes));
        if special != 0 {
            return at + special.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    let rest = bytes.get(at..).unwrap_or_default();
    let is_special = |&byte: &u8| byte < 0x20 || matches!(byte, b'"' | b'\\');
    at + rest.iter().position(is_special).unwrap_or(rest.len())
}

/// Copies `bytes` in the same go in which it looks whether all of it is plain ASCII. If not, the copy may
/// have a part of it only. Pieces overlap, for most strings are too short to leave a rest to a loop of its own.
///
/// # Safety
/// `to` has room for as many bytes.
#[inline]
pub unsafe fn copy_ascii(bytes: &[u8], to: *mut u8) -> bool {
    let (chunks, _) = bytes.as_chunks::<8>();
    // SAFETY: the caller's; each piece is written as far from `to` as it stands from the front of `bytes`.
    unsafe {
        if let Some(last) = bytes.last_chunk::<8>() {
            for (at, chunk) in chunks.iter().enumerate() {
                if !is_ascii_word(u64::from_le_bytes(*chunk)) {
                    return false;
                }
                to.add(8 * at).cast::<[u8; 8]>().write(*chunk);
            }
            to.add(bytes.len() - 8).cast::<[u8; 8]>().write(*last);
            return is_ascii_word(u64::from_le_bytes(*last));
        }
        if let (Some(first), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
            to.cast::<[u8; 4]>().write(*first);
            to.add(bytes.len() - 4).cast::<[u8; 4]>().write(*last);
            let word =
                u64::from(u32::from_le_bytes(*first)) << 32 | u64::from(u32::from_le_bytes(*last));
            return is_ascii_word(word);
        }
        let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return true };
        let middle = bytes.len() / 2;
        to.write(*first);
        to.add(middle).write(bytes[middle]);
        to.add(bytes.len() - 1).write(*last);
        is_ascii_word(u64::from_le_bytes([
            *first,
            bytes[middle],
            *last,
            b' ',
            b' ',
            b' ',
            b' ',
            b' ',
        ]))
    }
}

/// Of bytes without a high bit, each difference has one where it went below 0; what it borrows then does
/// no harm.
#[inline]
fn is_ascii_word(word: u64) -> bool {
    let control = word.wrapping_sub(ONES * 0x20);
    let quote = (word ^ (ONES * u64::from(b'"'))).wrapping_sub(ONES);
    let backslash = (word ^ (ONES * u64::from(b'\\'))).wrapping_sub(ONES);
    (word | control | quote | backslash) & HIGH == 0
}

/// The high bit of the lowest quote, backslash or control character, if there is one; bits above it may
/// be wrong.
#[inline]
fn special(word: u64) -> u64 {
    let zero = |word: u64| word.wrapping_sub(ONES) & !word;
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    let quote = zero(word ^ (ONES * u64::from(b'"')));
    let backslash = zero(word ^ (ONES * u64::from(b'\\')));
    (control | quote | backslash) & HIGH
}
