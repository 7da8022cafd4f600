//! Lengths of a fixed number of bytes. Four bytes, big-endian and without anything else, are the
//! wire format of Erlang's `{packet, 4}` and Java's `DataOutputStream.writeInt`. Uses
//! `framing::head`, `memory`, `error`.

use byteorder::{BigEndian, ByteOrder, LittleEndian};

use super::head::{Decoded, Few, Head};
use crate::error::{Code, Error, Pending, Result};
use crate::memory::append;
use crate::text::excerpt;

/// Bytes of the length in the default framing.
pub const HEADER: usize = 4;

/// Byte order of a length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Endian {
    #[default]
    Big,
    Little,
}

/// The body's length in the default framing, as soon as the header is there.
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

/// What a header may be that announces too much: text, or a length in the other byte order.
#[cold]
pub fn likely(header: &[u8], endian: Endian, limit: usize) -> String {
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

/// A length somewhere in a header: constant bytes, bytes of the script's, and the length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Length {
    /// Bytes of the length: 1, 2, 3, 4 or 8.
    pub size: usize,
    /// Bytes in front of it, the prefix among them.
    pub offset: usize,
    /// What the body has more than the length says, in bytes.
    pub adjustment: i64,
    /// The bytes that each packet begins with.
    pub prefix: Few,
}

impl Length {
    /// A length and nothing else.
    pub fn plain(size: usize) -> Self {
        Self { size, offset: 0, adjustment: 0, prefix: Few::default() }
    }

    /// Bytes in front of the body.
    pub fn before(&self) -> usize {
        self.offset + self.size
    }

    /// Bytes between the prefix and the length, which are the script's.
    pub fn header_size(&self) -> usize {
        self.offset - self.prefix.bytes().len()
    }

    pub fn decode(&self, filled: &[u8], endian: Endian) -> Result<Decoded> {
        self.check_prefix(filled)?;
        let Some(head) = filled.get(..self.before()) else {
            let pending = Pending::Header { have: filled.len(), need: self.before() };
            return Ok(Decoded::NotYet(pending));
        };
        let field = &head[self.offset..];
        let said = match endian {
            Endian::Big => BigEndian::read_uint(field, self.size),
            Endian::Little => LittleEndian::read_uint(field, self.size),
        };
        let length = said.checked_add_signed(self.adjustment);
        let length = length.ok_or_else(|| self.no_length(said))?;
        Ok(Decoded::Head(Head { before: self.before(), length, after: 0 }))
    }

    fn check_prefix(&self, filled: &[u8]) -> Result<()> {
        let prefix = self.prefix.bytes();
        let here = prefix.len().min(filled.len());
        if filled[..here] == prefix[..here] { Ok(()) } else { Err(self.other_prefix(filled)) }
    }

    #[cold]
    fn other_prefix(&self, filled: &[u8]) -> Error {
        let prefix = self.prefix.bytes();
        let begins = excerpt(&filled[..prefix.len().min(filled.len())]);
        let detail =
            format!("a packet begins with '{begins}', the prefix is '{}'", excerpt(prefix));
        Error::new(Code::Unexpected, detail)
    }

    /// With its adjustment it is under zero, or over 64 bits.
    #[cold]
    fn no_length(&self, said: u64) -> Error {
        let adjustment = self.adjustment;
        let detail = format!("a length of {said}, length_adjustment is {adjustment}");
        Error::new(Code::Unexpected, detail)
    }

    /// Appends all in front of the body, and leaves room for the length.
    pub fn open(&self, out: &mut Vec<u8>, header: &[u8]) -> Result<()> {
        if header.len() != self.header_size() {
            let (need, got) = (self.header_size(), header.len());
            return Err(Error::unfit(2, format!("a header of {need} bytes expected, got {got}")));
        }
        append(out, self.prefix.bytes())?;
        append(out, header)?;
        append(out, &[0; 8][..self.size])
    }

    /// Fills in the length of a body.
    pub fn close(&self, head: &mut [u8], length: usize, endian: Endian) -> Result<()> {
        let said = length as i128 - i128::from(self.adjustment);
        let Ok(said) = u64::try_from(said) else {
            let adjustment = self.adjustment;
            let why = format!("a body of {length} bytes, length_adjustment is {adjustment}");
            return Err(Error::unfit(1, why));
        };
        let most = u64::MAX >> (64 - 8 * self.size);
        if said > most {
            let size = self.size;
            let detail = format!("a length of {said}, one of length_size {size} is {most} at most");
            return Err(Error::new(Code::TooLarge, detail));
        }
        let field = &mut head[self.offset..];
        match endian {
            Endian::Big => BigEndian::write_uint(field, said, self.size),
            Endian::Little => LittleEndian::write_uint(field, said, self.size),
        }
        Ok(())
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
    fn a_length_of_any_size_is_read_and_written() {
        for (size, length) in [(1, 255), (2, 65_535), (3, 16_777_215), (4, 70_000), (8, 1 << 40)] {
            for endian in [Endian::Big, Endian::Little] {
                let framing = Length { adjustment: -7, ..Length::plain(size) };
                let mut head = [0; 8];
                framing.close(&mut head, length as usize - 7, endian).expect("fits");
                let decoded = framing.decode(&head[..size], endian).expect("is a head");
                let expected = Head { before: size, length: length - 7, after: 0 };
                assert_eq!(decoded, Decoded::Head(expected));
            }
        }
        let error = Length::plain(1).close(&mut [0], 256, Endian::Big).unwrap_err();
        assert_eq!(error.code(), Code::TooLarge);
    }

    #[test]
    fn a_length_is_never_under_zero_nor_over_64_bits() {
        let framing = Length { adjustment: -4, ..Length::plain(2) };
        let error = framing.decode(&[0, 3], Endian::Big).unwrap_err();
        assert_eq!(error.code(), Code::Unexpected);
        let framing = Length { adjustment: 4, ..Length::plain(8) };
        assert_eq!(
            framing.close(&mut [0; 8], 3, Endian::Big).unwrap_err().unfit_argument(),
            Some(1)
        );
        let error = framing.decode(&[0xff; 8], Endian::Big).unwrap_err();
        let detail = "a length of 18446744073709551615, length_adjustment is 4";
        assert_eq!((error.code(), error.detail()), (Code::Unexpected, detail));
        let framing = Length::plain(8);
        let Ok(Decoded::Head(head)) = framing.decode(&[0xff; 8], Endian::Big) else { panic!() };
        assert_eq!(head.length, u64::MAX);
    }

    #[test]
    fn a_prefix_is_checked_with_its_first_byte() {
        let prefix = Few::new(b"ZBXD").expect("is short");
        let framing = Length { offset: 5, prefix, ..Length::plain(4) };
        let pending = Pending::Header { have: 2, need: 9 };
        assert_eq!(framing.decode(b"ZB", Endian::Big).expect("fits"), Decoded::NotYet(pending));
        let error = framing.decode(b"ZA", Endian::Big).unwrap_err();
        assert_eq!(error.code(), Code::Unexpected);
        assert_eq!(error.detail(), "a packet begins with 'ZA', the prefix is 'ZBXD'");
    }
}
