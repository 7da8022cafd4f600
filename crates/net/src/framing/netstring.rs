//! Netstrings: a length in decimal digits, a colon, the body, a comma. Uses `framing::head`,
//! `error`.

use super::head::{Decoded, Head};
use crate::error::{Code, Error, Pending, Result};
use crate::text::excerpt;

/// What stands behind a body.
pub const END: u8 = b',';

/// Digits that 64 bits take at most.
const MOST: usize = 20;

/// A length is complete with its colon. A digit too many, or another byte, is refused with it.
pub fn decode(filled: &[u8]) -> Result<Decoded> {
    let mut length = 0_u64;
    for (at, byte) in filled.iter().enumerate().take(MOST + 1) {
        let next = match byte {
            b':' if at > 0 => {
                return Ok(Decoded::Head(Head { before: at + 1, length, after: 1 }));
            }
            // A leading zero is the only digit.
            b'0'..=b'9' if at == 0 || filled[0] != b'0' => {
                let digit = u64::from(byte - b'0');
                length.checked_mul(10).and_then(|length| length.checked_add(digit))
            }
            _ => None,
        };
        length = next.ok_or_else(|| malformed(&filled[..=at]))?;
    }
    Ok(Decoded::NotYet(Pending::More { have: filled.len() }))
}

#[cold]
fn malformed(bytes: &[u8]) -> Error {
    let detail = format!("a packet begins with '{}', it is no netstring", excerpt(bytes));
    Error::new(Code::Unexpected, detail)
}

/// Refuses another byte behind the body.
pub fn check_end(byte: u8) -> Result<()> {
    if byte == END {
        return Ok(());
    }
    let detail = format!("a netstring ends with '{}', a comma expected", excerpt(&[byte]));
    Err(Error::new(Code::Unexpected, detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_complete_with_its_colon() {
        for (bytes, before, length) in [
            (&b"0:,"[..], 2, 0),
            (b"12:hello world!,", 3, 12),
            (b"18446744073709551615:", 21, u64::MAX),
        ] {
            let decoded = decode(bytes).expect("is a netstring");
            assert_eq!(decoded, Decoded::Head(Head { before, length, after: 1 }));
            for cut in 0..before {
                let pending = Pending::More { have: cut };
                assert_eq!(decode(&bytes[..cut]).expect("fits"), Decoded::NotYet(pending));
            }
        }
    }

    #[test]
    fn what_is_malformed_is_refused_with_its_first_byte() {
        for bytes in [
            &b":"[..],
            b"x",
            b"-",
            b"00",
            b"01",
            b"1x",
            b"18446744073709551616",
            b"99999999999999999999",
            b"111111111111111111111",
        ] {
            assert_eq!(decode(bytes).unwrap_err().code(), Code::Unexpected, "{bytes:?}");
            let short = decode(&bytes[..bytes.len() - 1]);
            assert!(matches!(short, Ok(Decoded::NotYet(_))), "{bytes:?}");
        }
    }
}
