//! The length prefix of a packet: four bytes, unsigned, the body's length in bytes. Big-endian it
//! is the wire format of Erlang's `{packet, 4}` and Java's `DataOutputStream.writeInt`. Knows no
//! socket and no Lua.

pub mod text;

use byteorder::{BigEndian, ByteOrder, LittleEndian};

use crate::error::{Code, Error, Result};

/// Bytes of the length prefix.
pub const HEADER: usize = 4;

/// Byte order of the length prefix.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Endian {
    #[default]
    Big,
    Little,
}

/// The body's length, as soon as the header is there.
pub fn length(filled: &[u8], endian: Endian) -> Option<usize> {
    let header = filled.get(..HEADER)?;
    let length = match endian {
        Endian::Big => BigEndian::read_u32(header),
        Endian::Little => LittleEndian::read_u32(header),
    };
    Some(length as usize)
}

/// Writes the length of a body into the header in front of it.
pub fn put_length(header: &mut [u8], length: usize, endian: Endian) -> Result<()> {
    let length = u32::try_from(length)
        .map_err(|_| Error::new(Code::TooLarge, format!("a packet of {length} bytes")))?;
    match endian {
        Endian::Big => BigEndian::write_u32(header, length),
        Endian::Little => LittleEndian::write_u32(header, length),
    }
    Ok(())
}

/// Refuses a body over `limit` bytes.
pub fn check(length: usize, limit: usize) -> Result<()> {
    if length > limit {
        return Err(too_large(length, limit, ""));
    }
    Ok(())
}

/// Refuses a body over `limit` bytes that `filled` announces, and says what else its header may be.
pub fn check_announced(length: usize, limit: usize, filled: &[u8], endian: Endian) -> Result<()> {
    if length > limit {
        return Err(too_large(length, limit, &likely(&filled[..HEADER], endian, limit)));
    }
    Ok(())
}

#[cold]
fn too_large(length: usize, limit: usize, likely: &str) -> Error {
    let detail = format!("a packet of {length} bytes, the limit (max_packet) is {limit}{likely}");
    Error::new(Code::TooLarge, detail)
}

/// What a header may be that announces too much: text, or a length in the other byte order.
#[cold]
fn likely(header: &[u8], endian: Endian, limit: usize) -> String {
    let other = match endian {
        Endian::Big => Endian::Little,
        Endian::Little => Endian::Big,
    };
    if header.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\r' | b'\n')) {
        return format!(
            ", the bytes read '{}', does the peer send packets?",
            header.escape_ascii()
        );
    }
    match length(header, other) {
        Some(length) if length <= limit => {
            format!(", in the other byte order it has {length}, see endian")
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_read_as_soon_as_its_header_is_there() {
        let bytes = [0, 0, 1, 2, b'x'];
        for cut in 0..HEADER {
            assert_eq!(length(&bytes[..cut], Endian::Big), None);
        }
        assert_eq!(length(&bytes, Endian::Big), Some(258));
        assert_eq!(length(&bytes, Endian::Little), Some(0x0201_0000));
        assert_eq!(length(&[0xff; 4], Endian::Big), Some(4_294_967_295));
    }

    #[test]
    fn a_length_survives_the_way_through_a_header() {
        for endian in [Endian::Big, Endian::Little] {
            let mut header = [0; HEADER];
            put_length(&mut header, 512_000, endian).expect("fits");
            assert_eq!(length(&header, endian), Some(512_000));
        }
        assert!(put_length(&mut [0; HEADER], 1 << 32, Endian::Big).is_err());
    }

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
