//! Where a run of plain string bytes ends: those that stand for themselves in JSON, eight at a time.

const ONES: u64 = u64::from_ne_bytes([1; 8]);
const HIGH: u64 = ONES << 7;

/// The first quote, backslash or control character at or after `at`, else the end.
#[inline]
pub fn end(bytes: &[u8], at: usize) -> usize {
    find::<false>(bytes, at)
}

/// As `end`, and bytes beyond ASCII end a run too.
#[inline]
pub fn ascii_end(bytes: &[u8], at: usize) -> usize {
    find::<true>(bytes, at)
}

#[inline]
fn find<const ASCII: bool>(bytes: &[u8], mut at: usize) -> usize {
    while let Some(chunk) = bytes.get(at..at + 8) {
        let word = chunk.try_into().map_or(0, u64::from_le_bytes);
        let beyond = if ASCII { word } else { 0 };
        let ends = control(word) | equal(word, b'"') | equal(word, b'\\') | beyond;
        if ends & HIGH != 0 {
            return at + (ends & HIGH).trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    let rest = bytes.get(at..).unwrap_or_default();
    let is_end = |&byte: &u8| byte < 0x20 || matches!(byte, b'"' | b'\\') || ASCII && byte >= 0x80;
    at + rest.iter().position(is_end).unwrap_or(rest.len())
}

// The high bit of the lowest byte in question is set; bytes after that one may err.

#[inline]
fn control(word: u64) -> u64 {
    word.wrapping_sub(ONES * 0x20) & !word
}

#[inline]
fn equal(word: u64, byte: u8) -> u64 {
    let word = word ^ (ONES * u64::from(byte));
    word.wrapping_sub(ONES) & !word
}
