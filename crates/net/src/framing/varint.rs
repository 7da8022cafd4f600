//! Lengths as protobuf's libraries write them in front of messages: LEB128, seven bits a byte, the
//! lowest first. Uses `framing::head`, `error`.

use super::head::{Decoded, Head};
use crate::error::{Code, Error, Pending, Result};

/// Bytes that 64 bits take at most.
pub const MOST: usize = 10;

pub fn decode(filled: &[u8]) -> Result<Decoded> {
    let mut length = 0_u64;
    for (at, byte) in filled.iter().take(MOST).enumerate() {
        let bits = u64::from(byte & 0x7f);
        if at == MOST - 1 && *byte > 1 {
            let detail = "a length of over 64 bits, it is no varint";
            return Err(Error::new(Code::Unexpected, detail));
        }
        length |= bits << (7 * at);
        if byte & 0x80 == 0 {
            return Ok(Decoded::Head(Head { before: at + 1, length, after: 0 }));
        }
    }
    Ok(Decoded::NotYet(Pending::More { have: filled.len() }))
}

/// The bytes of a length, and how many they are.
pub fn encode(length: usize) -> ([u8; MOST], usize) {
    let (mut bytes, mut left) = ([0; MOST], length as u64);
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = left as u8 & 0x7f;
        left >>= 7;
        if left == 0 {
            return (bytes, at + 1);
        }
        *byte |= 0x80;
    }
    (bytes, MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_survives_the_way() {
        for length in [0, 1, 127, 128, 300, 16_383, 16_384, 1 << 32, u64::MAX] {
            let (bytes, size) = encode(length as usize);
            let decoded = decode(&bytes[..size]).expect("is a varint");
            assert_eq!(decoded, Decoded::Head(Head { before: size, length, after: 0 }));
            let pending = Pending::More { have: size - 1 };
            assert_eq!(decode(&bytes[..size - 1]).expect("fits"), Decoded::NotYet(pending));
        }
    }

    #[test]
    fn a_length_without_end_is_unexpected() {
        for tenth in [2, 0x7f, 0x80, 0xff] {
            let bytes = [&[0x80; 9][..], &[tenth, 0]].concat();
            assert!(matches!(decode(&bytes[..9]), Ok(Decoded::NotYet(_))));
            assert_eq!(decode(&bytes[..10]).unwrap_err().code(), Code::Unexpected);
            assert_eq!(decode(&bytes).unwrap_err().code(), Code::Unexpected);
        }
    }
}
