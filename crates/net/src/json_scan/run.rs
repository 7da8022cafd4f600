//! Counts the bytes of one sort at the front of a slice, in words or blocks where it can. Pure.

/// Counts white space, by steps of eight, four or one byte. The processor predicts which step comes
/// next where lines are indented alike, so it need not wait for a count of blanks.
#[inline(always)]
pub fn spaces(bytes: &[u8]) -> usize {
    let mut rest = bytes;
    loop {
        while let Some((word, behind)) = rest.split_first_chunk()
            && u64::from_le_bytes(*word) == each(b' ')
        {
            rest = behind;
        }
        if let Some((word, behind)) = rest.split_first_chunk()
            && *word == [b' '; 4]
        {
            rest = behind;
        }
        match rest.split_first() {
            Some((&byte, behind)) if is_space(byte) => rest = behind,
            _ => return bytes.len() - rest.len(),
        }
    }
}

/// Whether this byte is white space.
#[inline(always)]
pub fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// Counts the digits `0` to `9`.
#[inline(always)]
pub fn digits(bytes: &[u8]) -> usize {
    before(bytes, no_digits)
}

/// The same in one word.
#[inline(always)]
pub fn digits_in_word(word: [u8; 8]) -> usize {
    no_digits(u64::from_le_bytes(word)).trailing_zeros() as usize / 8
}

/// Sets the high bit of each byte that is no digit.
#[inline(always)]
fn no_digits(word: u64) -> u64 {
    let values = word ^ each(b'0');
    (((values & each(0x7F)) + each(0x7F - 9)) | values) & each(0x80)
}

/// Counts the plain bytes of a string: all but quote, backslash and control characters.
#[inline(always)]
pub fn plain(bytes: &[u8]) -> usize {
    // Most strings are shorter than this; for them, blocks are a quarter slower than words.
    const SHORT: usize = 32;
    let short = before(&bytes[..bytes.len().min(SHORT)], specials);
    if short < SHORT { short } else { long_plain(bytes) }
}

/// The same in one word.
#[inline(always)]
pub fn plain_in_word(word: [u8; 8]) -> usize {
    specials(u64::from_le_bytes(word)).trailing_zeros() as usize / 8
}

/// Counts in blocks, which is three times as fast as words alone.
#[inline(never)]
fn long_plain(bytes: &[u8]) -> usize {
    let (blocks, _) = bytes.as_chunks::<64>();
    let special = |byte: &u8| (*byte < b' ') | (*byte == b'"') | (*byte == b'\\');
    // Without an early exit, the block is compiled to vector instructions.
    let plain = |block: &&[u8; 64]| !block.iter().fold(false, |any, byte| any | special(byte));
    let at = 64 * blocks.iter().take_while(plain).count();
    at + before(&bytes[at..], specials)
}

/// Counts the bytes before the first for which `stops` sets a bit. It must set one for 0.
#[inline(always)]
fn before(bytes: &[u8], stops: impl Fn(u64) -> u64) -> usize {
    let (words, rest) = bytes.as_chunks::<8>();
    for (i, &word) in words.iter().enumerate() {
        let stop = stops(u64::from_le_bytes(word));
        if stop != 0 {
            return 8 * i + stop.trailing_zeros() as usize / 8;
        }
    }
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    8 * words.len() + stops(u64::from_le_bytes(last)).trailing_zeros() as usize / 8
}

/// Sets the high bit of the first quote, backslash or control character. The first XOR makes a
/// quote a space and keeps control characters below it, so that one comparison finds both.
#[inline(always)]
fn specials(word: u64) -> u64 {
    below(word ^ each(b'"' ^ b' '), b' ' + 1) | below(word ^ each(b'\\'), 1)
}

/// Sets the high bit of each byte below `limit`, which is at most 0x80. Right for the lowest such
/// byte; the borrow may make the bytes above it wrong.
#[inline(always)]
fn below(word: u64, limit: u8) -> u64 {
    word.wrapping_sub(each(limit)) & !word & each(0x80)
}

const fn each(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}
