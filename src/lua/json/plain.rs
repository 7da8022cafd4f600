//! Which string bytes are plain, that is, stand for themselves in JSON: eight at a time.

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

/// Whether all of `bytes` is plain ASCII. The last chunk overlaps the one before it, for most strings are
/// too short to leave a rest to a loop of its own.
#[inline]
pub fn is_ascii(bytes: &[u8]) -> bool {
    let (chunks, _) = bytes.as_chunks();
    if let Some(last) = bytes.last_chunk() {
        return chunks.iter().chain([last]).all(|chunk| is_ascii_word(u64::from_le_bytes(*chunk)));
    }
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        let word =
            u64::from(u32::from_le_bytes(*first)) << 32 | u64::from(u32::from_le_bytes(*last));
        return is_ascii_word(word);
    }
    bytes.iter().all(|byte| matches!(byte, 0x20..0x80) && !matches!(byte, b'"' | b'\\'))
}

#[inline]
fn is_ascii_word(word: u64) -> bool {
    special(word) | word & HIGH == 0
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
