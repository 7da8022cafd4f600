//! Finds and copies plain bytes, eight at a time: those that stand for themselves in JSON strings.

const ONES: u64 = u64::from_ne_bytes([1; 8]);
const HIGH: u64 = ONES << 7;
/// XOR with it makes a quote a space, and a control character another one, so that one comparison
/// finds both.
const QUOTE: u64 = ONES * 0x02;
const BACKSLASH: u64 = ONES * 0x5C;

/// Returns the number of bytes before the first quote, backslash or control character.
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

/// Copies `bytes`, and returns whether all are plain ASCII. If not, the copy may be incomplete. The
/// last piece overlaps, since most strings are too short for a second loop to pay.
///
/// # Safety
/// `to` has room for as many bytes.
#[inline]
pub unsafe fn copy_ascii(bytes: &[u8], to: *mut u8) -> bool {
    let (chunks, _) = bytes.as_chunks::<8>();
    // SAFETY: the caller's; each piece has the same offset in `to` as in `bytes`.
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

/// Whether a word is plain ASCII. If no byte has a high bit, each difference has one where it went
/// below 0; the borrow then does no harm.
#[inline]
fn is_ascii_word(word: u64) -> bool {
    (word | below(word ^ QUOTE, 0x21) | below(word ^ BACKSLASH, 1)) & HIGH == 0
}

/// Returns the high bit of the lowest quote, backslash or control character, if any; higher bits
/// may be wrong.
#[inline]
fn special(word: u64) -> u64 {
    (below(word ^ QUOTE, 0x21) | below(word ^ BACKSLASH, 1)) & !word & HIGH
}

/// Subtracts `limit` from each byte.
#[inline]
fn below(word: u64, limit: u64) -> u64 {
    word.wrapping_sub(ONES * limit)
}
