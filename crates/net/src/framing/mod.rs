//! How a stream is cut into packets: bytes in, decision out. Knows no socket and no Lua. Uses
//! `memory`, `error`.

pub mod delimiter;
pub mod head;
pub mod length;
pub mod matching;
pub mod netstring;
pub mod pattern;
pub mod text;
pub mod varint;

pub use head::{Decoded, Few, Head};
pub use length::{Endian, HEADER, Length, length, put_length};

use crate::error::{Code, Error, Pending, Result};
use crate::memory::{append, reserve};

/// How a packet is cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// A length of four bytes and the body.
    #[default]
    Plain,
    Length(Length),
    Varint,
    Netstring,
    /// The body, then these bytes, of which there is one at least.
    Delimiter(Few),
}

impl Framing {
    /// Where the body is. A delimiter says nothing in front of it.
    pub fn decode(&self, filled: &[u8], endian: Endian) -> Result<Decoded> {
        match self {
            Self::Plain => Ok(match length(filled, endian) {
                Some(length) => {
                    Decoded::Head(Head { before: HEADER, length: length as u64, after: 0 })
                }
                None => Decoded::NotYet(Pending::Header { have: filled.len(), need: HEADER }),
            }),
            Self::Length(length) => length.decode(filled, endian),
            Self::Varint => varint::decode(filled),
            Self::Netstring => netstring::decode(filled),
            Self::Delimiter(_) => Ok(Decoded::Head(Head { before: 0, length: 0, after: 0 })),
        }
    }

    /// Refuses what stands behind a body and does not belong there.
    pub fn check_end(&self, after: &[u8]) -> Result<()> {
        match (self, after) {
            (Self::Netstring, [byte]) => netstring::check_end(*byte),
            _ => Ok(()),
        }
    }

    /// The bytes of a whole packet that are the script's besides the body.
    pub fn header<'a>(&self, packet: &'a [u8]) -> Option<&'a [u8]> {
        match self {
            Self::Length(length) if length.header_size() > 0 => {
                packet.get(length.prefix.bytes().len()..length.offset)
            }
            _ => None,
        }
    }

    /// Appends what stands in front of a body, as far as it is known before the body.
    pub fn open(&self, out: &mut Vec<u8>, header: &[u8]) -> Result<()> {
        match self {
            Self::Length(length) => length.open(out, header),
            _ if !header.is_empty() => Err(Error::unfit(2, "this framing has no header")),
            Self::Plain => append(out, &[0; HEADER]),
            _ => Ok(()),
        }
    }

    /// Completes a packet that begins at `start` and whose body, the last of `out`, at `body`.
    pub fn close(&self, out: &mut Vec<u8>, start: usize, body: usize, order: Endian) -> Result<()> {
        let length = out.len() - body;
        match self {
            Self::Plain => put_length(&mut out[start..body], length, order),
            Self::Length(field) => field.close(&mut out[start..body], length, order),
            Self::Varint => {
                let (bytes, size) = varint::encode(length);
                insert(out, body, &bytes[..size])
            }
            Self::Netstring => {
                insert(out, body, format!("{length}:").as_bytes())?;
                append(out, &[netstring::END])
            }
            Self::Delimiter(delimiter) => {
                append(out, delimiter.bytes())?;
                delimiter::check(&out[body..], delimiter)
            }
        }
    }
}

/// Puts a few bytes in front of the last ones.
fn insert(out: &mut Vec<u8>, at: usize, bytes: &[u8]) -> Result<()> {
    reserve(out, bytes.len())?;
    let end = out.len();
    out.extend_from_slice(bytes);
    out.copy_within(at..end, at + bytes.len());
    out[at..at + bytes.len()].copy_from_slice(bytes);
    Ok(())
}

/// Refuses a body over `limit` bytes.
pub fn check(length: usize, limit: usize) -> Result<()> {
    within(length as u64, limit).map(drop)
}

/// The length of a body that is announced, which is not over `limit` bytes.
pub fn within(length: u64, limit: usize) -> Result<usize> {
    let fits = usize::try_from(length).ok().filter(|length| *length <= limit);
    fits.ok_or_else(|| too_large(length, limit, ""))
}

/// Refuses a body over `limit` bytes that `filled` announces, and says what else its header may be.
pub fn check_announced(length: usize, limit: usize, filled: &[u8], endian: Endian) -> Result<()> {
    if length > limit {
        let likely = length::likely(&filled[..HEADER], endian, limit);
        return Err(too_large(length as u64, limit, &likely));
    }
    Ok(())
}

#[cold]
fn too_large(length: u64, limit: usize, likely: &str) -> Error {
    let detail = format!("a packet of {length} bytes, the limit (max_packet) is {limit}{likely}");
    Error::new(Code::TooLarge, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_over_the_limit_is_refused_with_both_numbers() {
        assert!(check(10, 10).is_ok());
        let error = check(11, 10).unwrap_err();
        assert_eq!(error.code(), Code::TooLarge);
        assert!(error.detail().contains("11") && error.detail().contains("10"));
    }

    #[test]
    fn what_announces_too_much_is_told_if_it_can_be() {
        for (header, endian, words) in [
            (*b"HTTP", Endian::Big, "the bytes read 'HTTP'"),
            (*b"220 ", Endian::Little, "the bytes read '220 '"),
            (*b"\x0d\0\0\0", Endian::Big, "it has 13, see endian"),
            (*b"\0\0\0\x0d", Endian::Little, "it has 13, see endian"),
        ] {
            let error = check_announced(101, 100, &header, endian).unwrap_err();
            assert!(error.detail().contains(words), "{}", error.detail());
        }
        let error = check_announced(101, 100, b"\xff\0\0\xff", Endian::Big).unwrap_err();
        assert!(error.detail().ends_with("is 100"));
        assert!(check_announced(100, 100, b"HTTP", Endian::Big).is_ok());
    }
}
