//! Which string bytes are plain, that is, stand for themselves in JSON: found, and copied, eight at
//! a time.

const ONES: u64 = u64::from_ne_bytes([1; 8]);
const HIGH: u64 = ONES << 7;
/// Turns a quote into a space and a control character into another one, so that one comparison
/// finds both.
const QUOTE: u64 = ONES * 0x02;
const BACKSLASH: u64 = ONES * 0x5C;

/// How many bytes there are before the first quote, backslash or control character.
#[inline]
pub fn run(bytes: &[u8]) -> usize {
    let mut rest = bytes;
    while let Some((word, after)) = rest.split_first_chunk::<8>() {
        let special = special(u64::from_le_bytes(*word));
        if special != 0 {
            return bytes.len() - rest.len() + special.trailing_zeros() as usize / 8;
        }
        rest = after;
    }
    bytes.len() - rest.len() + short_run(rest)
}

#[inline(never)]
fn short_run(bytes: &[u8]) -> usize {
    let is_special = |&byte: &u8| byte < 0x20 || matches!(byte, b'"' | b'\\');
    bytes.iter().position(is_special).unwrap_or(bytes.len())
}

/// Copies `bytes` in the same go in which it looks whether all of it is plain ASCII. If not, the
/// copy may have a part of it only. Pieces overlap, for most strings are too short to leave a rest
/// to a loop of its own.
///
/// # Safety
/// `to` has room for as many bytes.
#[inline]
pub unsafe fn copy_ascii(bytes: &[u8], to: *mut u8) -> bool {
    let (chunks, _) = bytes.as_chunks::<8>();
    // SAFETY: the caller's; each piece is written as far from `to` as it stands from the front of
    // `bytes`.
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

/// Of bytes without a high bit, each difference has one where it went below 0; what it borrows then
/// does no harm.
#[inline]
fn is_ascii_word(word: u64) -> bool {
    (word | below(word ^ QUOTE, 0x21) | below(word ^ BACKSLASH, 1)) & HIGH == 0
}

/// The high bit of the lowest quote, backslash or control character, if there is one; bits above it
/// may be wrong.
#[inline]
fn special(word: u64) -> u64 {
    (below(word ^ QUOTE, 0x21) | below(word ^ BACKSLASH, 1)) & !word & HIGH
}

/// Takes `limit` from each byte.
#[inline]
fn below(word: u64, limit: u64) -> u64 {
    word.wrapping_sub(ONES * limit)
}
