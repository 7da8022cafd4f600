//! Escapes in strings: a letter, `\u` and four digits, or a surrogate pair of two `\u` escapes.
//! Pure.

/// Why the scan stops.
pub enum Halt {
    /// The bytes are used up, or more are needed to judge the rest.
    Short,
    /// A byte is wrong: `ahead` is its offset from the first byte that is not taken.
    Wrong { ahead: usize, what: &'static str },
}

/// Returns the length of an escape without its backslash, which stands before `rest`.
#[inline(always)]
pub fn length(rest: &[u8]) -> Result<usize, Halt> {
    match rest {
        [b'u', b'd' | b'D', b'8' | b'9' | b'a' | b'b' | b'A' | b'B', ..] => {
            fit(rest, [U, D, HEX, HEX, HEX, BACKSLASH, U, D, C_TO_F, HEX, HEX])
        }
        [b'u', b'd' | b'D', ..] => fit(rest, [U, D, TO_7, HEX, HEX]),
        [b'u', ..] => fit(rest, [U, HEX, HEX, HEX, HEX]),
        _ => fit(rest, [LETTER]),
    }
}

#[inline(always)]
fn fit<const N: usize>(rest: &[u8], kinds: [u8; N]) -> Result<usize, Halt> {
    let fits = |bytes: &[u8; N]| bytes.iter().zip(kinds).all(|(&byte, kind)| is(kind, byte));
    if rest.first_chunk().is_some_and(fits) { Ok(N) } else { Err(misfit(rest, &kinds)) }
}

const NO_DIGIT: &str = "expected four hexadecimal digits after \\u";

#[cold]
fn misfit(rest: &[u8], kinds: &[u8]) -> Halt {
    let mismatch = |(&byte, &kind): (&u8, &u8)| !is(kind, byte);
    let Some(ahead) = rest.iter().zip(kinds).position(mismatch) else { return Halt::Short };
    let what = match kinds[ahead] {
        LETTER => "unknown escape",
        HEX => NO_DIGIT,
        D | TO_7 | C_TO_F if !is(HEX, rest[ahead]) => NO_DIGIT,
        _ => "half of a surrogate pair",
    };
    Halt::Wrong { ahead, what }
}

// Kinds of bytes.
const LETTER: u8 = 1;
const U: u8 = 1 << 1;
const BACKSLASH: u8 = 1 << 2;
const HEX: u8 = 1 << 3;
const D: u8 = 1 << 4;
const TO_7: u8 = 1 << 5;
const C_TO_F: u8 = 1 << 6;

/// The kinds that each byte belongs to.
static KINDS: [u8; 256] = {
    let members: [(u8, &[u8]); 7] = [
        (LETTER, b"\"\\/bfnrt"),
        (U, b"u"),
        (BACKSLASH, b"\\"),
        (HEX, b"0123456789ABCDEFabcdef"),
        (D, b"Dd"),
        (TO_7, b"01234567"),
        (C_TO_F, b"CDEFcdef"),
    ];
    let mut kinds = [0; 256];
    let mut k = 0;
    while k < members.len() {
        let (kind, bytes) = members[k];
        let mut b = 0;
        while b < bytes.len() {
            kinds[bytes[b] as usize] |= kind;
            b += 1;
        }
        k += 1;
    }
    kinds
};

#[inline(always)]
fn is(kinds: u8, byte: u8) -> bool {
    KINDS[byte as usize] & kinds != 0
}
