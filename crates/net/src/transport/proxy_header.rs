//! The header of the PROXY protocol, versions 1 and 2 (HAProxy's proxy-protocol.txt): how it is
//! read, as far as it has come, and how it is written. Knows no socket. Uses `error`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use memchr::memchr2;

use crate::error::{Code, Error, Result};
use crate::text::excerpt;

/// The most bytes of a line of version 1, its CRLF included (section 2.1).
const LINE: usize = 107;
const WORD: &[u8] = b"PROXY ";
const PROTOCOLS: [&[u8]; 3] = [b"TCP4 ", b"TCP6 ", b"UNKNOWN"];

/// What version 2 begins with (section 2.2), and its size up to the addresses.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const FIXED: usize = 16;

const UNSPECIFIED: u8 = 0x00;
const TCP4: u8 = 0x11;
const TCP6: u8 = 0x21;
const UNIX: u8 = 0x31;

/// The most bytes that may stand behind the addresses of version 2: senders use some hundred.
const TLVS: usize = 4096;
/// Type and length of a TLV.
const TLV: usize = 3;

/// Bytes of another protocol that a message shows: enough to tell which, and no secret of it.
const SHOWN: usize = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    One,
    Two,
}

/// The two ends of the connection that a header tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    pub source: SocketAddr,
    pub destination: SocketAddr,
}

/// What the first bytes of a connection are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// The begin of a header. All of these bytes belong to it.
    Partial,
    /// A header of so many bytes. Without ends (LOCAL, UNKNOWN and what this connection cannot
    /// have) they are those of the connection itself.
    Whole { size: usize, ends: Option<Ends> },
}

/// Reads a header. What cannot become one is an error as early as that is known.
pub fn parse(bytes: &[u8]) -> Result<Parsed> {
    if is_begin_of(SIGNATURE, bytes) {
        return parse_block(bytes);
    }
    let is_line = is_begin_of(WORD, bytes)
        && PROTOCOLS.iter().any(|protocol| is_begin_of(protocol, behind(bytes, WORD.len())));
    if is_line {
        return parse_line(bytes);
    }
    let first = excerpt(&bytes[..bytes.len().min(SHOWN)]);
    Err(bad(format!("no PROXY header, the connection begins with '{first}'")))
}

/// Whether these bytes begin as the fixed ones do, as far as both go.
fn is_begin_of(fixed: &[u8], bytes: &[u8]) -> bool {
    let common = fixed.len().min(bytes.len());
    fixed[..common] == bytes[..common]
}

fn behind(bytes: &[u8], count: usize) -> &[u8] {
    bytes.get(count..).unwrap_or_default()
}

#[cold]
fn bad(detail: impl Into<String>) -> Error {
    Error::new(Code::Proxy, detail)
}

// Version 1.

fn parse_line(bytes: &[u8]) -> Result<Parsed> {
    let line = &bytes[..bytes.len().min(LINE)];
    let Some(end) = memchr2(b'\r', b'\n', line) else {
        return if line.len() < LINE { Ok(Parsed::Partial) } else { Err(too_long()) };
    };
    match line.get(end..end + 2) {
        Some(b"\r\n") => {
            let ends = parse_text(&line[WORD.len()..end])?;
            Ok(Parsed::Whole { size: end + 2, ends })
        }
        None if line[end] == b'\r' && line.len() < LINE => Ok(Parsed::Partial),
        None if line[end] == b'\r' => Err(too_long()),
        _ => Err(bad("bad PROXY header, a line that does not end with CR and LF")),
    }
}

#[cold]
fn too_long() -> Error {
    bad(format!("bad PROXY header, a line of over {LINE} bytes"))
}

/// What stands between the first blank and the line's end.
fn parse_text(text: &[u8]) -> Result<Option<Ends>> {
    let wrong = || bad(format!("bad PROXY header, '{}'", excerpt(text)));
    let Ok(text) = std::str::from_utf8(text) else {
        // Whatever follows UNKNOWN does not count.
        return if is_unknown(text) { Ok(None) } else { Err(wrong()) };
    };
    if is_unknown(text.as_bytes()) {
        return Ok(None);
    }
    let mut words = text.split(' ');
    let ends = match words.next() {
        Some("TCP4") => parse_ends::<Ipv4Addr>(&mut words),
        Some("TCP6") => parse_ends::<Ipv6Addr>(&mut words),
        _ => None,
    };
    match (ends, words.next()) {
        (Some(ends), None) => Ok(Some(ends)),
        _ => Err(wrong()),
    }
}

fn is_unknown(text: &[u8]) -> bool {
    let rest = text.strip_prefix(b"UNKNOWN");
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b" "))
}

fn parse_ends<'a, T>(words: &mut impl Iterator<Item = &'a str>) -> Option<Ends>
where
    T: FromStr + Into<IpAddr>,
{
    let mut address = || words.next()?.parse::<T>().ok().map(Into::into);
    let (source, destination): (IpAddr, IpAddr) = (address()?, address()?);
    let mut port = || parse_port(words.next()?);
    let (from, to) = (port()?, port()?);
    Some(Ends { source: (source, from).into(), destination: (destination, to).into() })
}

/// Digits alone, and no zero in front: the standard library takes `+80` and `080`.
fn parse_port(word: &str) -> Option<u16> {
    let is_plain = word.bytes().all(|byte| byte.is_ascii_digit());
    let is_short = word == "0" || !word.starts_with('0');
    (is_plain && is_short).then(|| word.parse().ok()).flatten()
}

// Version 2.

fn parse_block(bytes: &[u8]) -> Result<Parsed> {
    let Some(&command) = bytes.get(12) else { return Ok(Parsed::Partial) };
    let is_local = match command {
        0x20 => true,
        0x21 => false,
        _ => return Err(bad(format!("bad PROXY header, version and command {command:#04x}"))),
    };
    let Some(&family) = bytes.get(13) else { return Ok(Parsed::Partial) };
    // The family of LOCAL does not count.
    let family = if is_local { UNSPECIFIED } else { family };
    let addresses = addresses_of(family)?;
    let Some(length) = bytes.get(14..FIXED) else { return Ok(Parsed::Partial) };
    let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
    let Some(tlvs) = length.checked_sub(addresses) else {
        let detail = format!("bad PROXY header, {length} bytes of addresses, not {addresses}");
        return Err(bad(detail));
    };
    if tlvs > TLVS {
        return Err(bad(format!("bad PROXY header, {tlvs} bytes of TLVs, over {TLVS}")));
    }
    let size = FIXED + length;
    let Some(body) = bytes.get(FIXED..size) else { return Ok(Parsed::Partial) };
    let (addresses, tlvs) = body.split_at(addresses);
    if family != UNSPECIFIED {
        check_tlvs(tlvs)?;
    }
    Ok(Parsed::Whole { size, ends: read_ends(addresses) })
}

/// How many bytes of addresses come with a family. Those of Unix sockets are no peer that this
/// connection could name: they count as unspecified ones do. One for datagrams cannot be true.
fn addresses_of(family: u8) -> Result<usize> {
    match family {
        UNSPECIFIED => Ok(0),
        TCP4 => Ok(2 * (4 + 2)),
        TCP6 => Ok(2 * (16 + 2)),
        UNIX => Ok(2 * 108),
        _ => Err(bad(format!("bad PROXY header, family and protocol {family:#04x}"))),
    }
}

/// The ends, in as many bytes as only those of one family have.
fn read_ends(bytes: &[u8]) -> Option<Ends> {
    fn ends<const N: usize>(bytes: &[u8]) -> Option<Ends>
    where
        IpAddr: From<[u8; N]>,
    {
        let (source, rest) = bytes.split_first_chunk::<N>()?;
        let (destination, rest) = rest.split_first_chunk::<N>()?;
        let (from, rest) = rest.split_first_chunk()?;
        let to = rest.try_into().ok()?;
        Some(Ends {
            source: (IpAddr::from(*source), u16::from_be_bytes(*from)).into(),
            destination: (IpAddr::from(*destination), u16::from_be_bytes(to)).into(),
        })
    }
    ends::<4>(bytes).or_else(|| ends::<16>(bytes))
}

/// Each is whole; what it says does not count.
fn check_tlvs(mut rest: &[u8]) -> Result<()> {
    while !rest.is_empty() {
        let size = rest.get(1..TLV).map(|size| usize::from(u16::from_be_bytes([size[0], size[1]])));
        let next = size.and_then(|size| rest.get(TLV + size..));
        rest = next.ok_or_else(|| bad("bad PROXY header, a TLV that is cut off"))?;
    }
    Ok(())
}

// Writing.

/// The header of a connection between these ends. Without them, or where they are of two families,
/// it is one of which nothing is known.
pub fn write(version: Version, ends: Option<&Ends>) -> Vec<u8> {
    let known = ends.and_then(|ends| write_known(version, ends));
    known.unwrap_or_else(|| match version {
        Version::One => b"PROXY UNKNOWN\r\n".to_vec(),
        Version::Two => fixed(0x21, UNSPECIFIED, 0),
    })
}

fn write_known(version: Version, ends: &Ends) -> Option<Vec<u8>> {
    let (from, to) = (ends.source.port(), ends.destination.port());
    Some(match (version, ends.source.ip(), ends.destination.ip()) {
        (Version::One, IpAddr::V4(source), IpAddr::V4(destination)) => {
            format!("PROXY TCP4 {source} {destination} {from} {to}\r\n").into_bytes()
        }
        (Version::One, IpAddr::V6(source), IpAddr::V6(destination)) => {
            let (source, destination) = (hex(source), hex(destination));
            format!("PROXY TCP6 {source} {destination} {from} {to}\r\n").into_bytes()
        }
        (Version::Two, IpAddr::V4(source), IpAddr::V4(destination)) => {
            block(TCP4, &[&source.octets(), &destination.octets()], from, to)
        }
        (Version::Two, IpAddr::V6(source), IpAddr::V6(destination)) => {
            block(TCP6, &[&source.octets(), &destination.octets()], from, to)
        }
        _ => return None,
    })
}

/// The header of a connection that its sender has made for itself.
pub fn local() -> Vec<u8> {
    fixed(0x20, UNSPECIFIED, 0)
}

/// An address in groups of hexadecimal digits alone: the specification knows no others.
fn hex(address: Ipv6Addr) -> String {
    match address.to_ipv4_mapped() {
        Some(_) => address.segments().map(|group| format!("{group:x}")).join(":"),
        None => address.to_string(),
    }
}

fn fixed(command: u8, family: u8, length: u16) -> Vec<u8> {
    let mut bytes = SIGNATURE.to_vec();
    bytes.extend([command, family]);
    bytes.extend(length.to_be_bytes());
    bytes
}

fn block(family: u8, addresses: &[&[u8]], from: u16, to: u16) -> Vec<u8> {
    let addresses = addresses.concat();
    let mut bytes = fixed(0x21, family, addresses.len() as u16 + 4);
    bytes.extend(addresses);
    bytes.extend(from.to_be_bytes());
    bytes.extend(to.to_be_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(source: &str, destination: &str) -> Ends {
        let parse = |text: &str| text.parse().expect("an address");
        Ends { source: parse(source), destination: parse(destination) }
    }

    fn some() -> [Ends; 3] {
        [
            ends("192.0.2.7:65535", "198.51.100.1:0"),
            ends("[2001:db8::1]:443", "[::1]:1"),
            ends("[::ffff:192.0.2.7]:5", "[::ffff:198.51.100.1]:443"),
        ]
    }

    /// The block of a header, with the length that it should have.
    fn block_of(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = fixed(command, family, body.len() as u16);
        bytes.extend(body);
        bytes
    }

    fn whole(bytes: &[u8]) -> Option<Ends> {
        match parse(bytes).expect("a header") {
            Parsed::Whole { size, ends } => {
                assert_eq!(size, bytes.len());
                ends
            }
            Parsed::Partial => panic!("only the begin of a header: {}", bytes.escape_ascii()),
        }
    }

    fn refused(bytes: &[u8]) -> String {
        match parse(bytes) {
            Err(error) => {
                assert_eq!(error.code(), Code::Proxy);
                error.detail().to_owned()
            }
            Ok(parsed) => panic!("{parsed:?}: {}", bytes.escape_ascii()),
        }
    }

    #[test]
    fn what_is_written_is_read_however_it_is_cut() {
        let mut headers = vec![(local(), None)];
        for ends in some() {
            headers.push((write(Version::One, Some(&ends)), Some(ends)));
            headers.push((write(Version::Two, Some(&ends)), Some(ends)));
        }
        for (mut header, ends) in headers {
            for cut in 0..header.len() {
                assert_eq!(parse(&header[..cut]).expect("no error yet"), Parsed::Partial);
            }
            assert_eq!(whole(&header), ends);
            let size = header.len();
            header.extend(b"\r\npayload");
            assert_eq!(parse(&header).expect("a header"), Parsed::Whole { size, ends });
        }
    }

    #[test]
    fn a_line_has_hexadecimal_groups_alone() {
        let line = |ends: &Ends| String::from_utf8(write(Version::One, Some(ends))).expect("ASCII");
        let [v4, v6, mapped] = some();
        assert_eq!(line(&v4), "PROXY TCP4 192.0.2.7 198.51.100.1 65535 0\r\n");
        assert_eq!(line(&v6), "PROXY TCP6 2001:db8::1 ::1 443 1\r\n");
        assert_eq!(
            line(&mapped),
            "PROXY TCP6 0:0:0:0:0:ffff:c000:207 0:0:0:0:0:ffff:c633:6401 5 443\r\n"
        );
        // HAProxy writes it so.
        let mapped = Some(mapped);
        assert_eq!(whole(b"PROXY TCP6 ::ffff:192.0.2.7 ::ffff:198.51.100.1 5 443\r\n"), mapped);
    }

    #[test]
    fn ends_of_two_families_are_not_told() {
        let mixed = ends("192.0.2.7:1", "[::1]:2");
        assert_eq!(write(Version::One, Some(&mixed)), b"PROXY UNKNOWN\r\n");
        assert_eq!(write(Version::Two, Some(&mixed)), block_of(0x21, 0, b""));
        assert_eq!(whole(&write(Version::Two, Some(&mixed))), None);
        assert_eq!(write(Version::One, None), b"PROXY UNKNOWN\r\n");
    }

    #[test]
    fn what_follows_unknown_does_not_count() {
        let longest = format!("PROXY UNKNOWN {}\r\n", "x".repeat(91));
        assert_eq!(longest.len(), LINE);
        for line in ["PROXY UNKNOWN\r\n", "PROXY UNKNOWN \r\n", "PROXY UNKNOWN ::1 x\r\n", &longest]
        {
            assert_eq!(whole(line.as_bytes()), None);
        }
        assert_eq!(whole(b"PROXY UNKNOWN \xff\0\r\n"), None);
    }

    #[test]
    fn a_line_that_differs_by_a_byte_is_refused() {
        for line in [
            "PROXY TCP4 192.0.2.7 198.51.100.1 +80 443\r\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1 080 443\r\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1 80 00\r\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1 80 65536\r\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1 80 -1\r\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1 80 \r\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1 80\r\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1 80 443 \r\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1 80 443 1\r\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1  80 443\r\n",
            "PROXY TCP4  192.0.2.7 198.51.100.1 80 443\r\n",
            "PROXY TCP4\t192.0.2.7 198.51.100.1 80 443\r\n",
            "PROXY TCP4 192.0.2.07 198.51.100.1 80 443\r\n",
            "PROXY TCP4 192.0.2 198.51.100.1 80 443\r\n",
            "PROXY TCP4 192.0.2.256 198.51.100.1 80 443\r\n",
            "PROXY TCP4 ::1 ::1 80 443\r\n",
            "PROXY TCP4 \r\n",
            "PROXY TCP6 192.0.2.7 198.51.100.1 80 443\r\n",
            "PROXY TCP6 ::1 192.0.2.7 80 443\r\n",
            "PROXY TCP6 ::1%1 ::1 80 443\r\n",
            "PROXY TCP6 [::1] ::1 80 443\r\n",
            "PROXY TCP6 1::2::3 ::1 80 443\r\n",
            "PROXY TCP6 12345::1 ::1 80 443\r\n",
            "PROXY TCP6 1:2:3:4:5:6:7:8:9 ::1 80 443\r\n",
            "PROXY UNKNOWNX\r\n",
            "PROXY UNKNOWN\n",
            "PROXY UNKNOWN a\nb\r\n",
            "PROXY UNKNOWN a\rb\r\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1 80 443\n",
            "PROXY TCP4 192.0.2.7 198.51.100.1 80 443\r\r\n",
            "PROXY UDP4 192.0.2.7 198.51.100.1 80 443\r\n",
            "PROXY tcp4 192.0.2.7 198.51.100.1 80 443\r\n",
            "proxy TCP4 192.0.2.7 198.51.100.1 80 443\r\n",
            " PROXY TCP4 192.0.2.7 198.51.100.1 80 443\r\n",
            "PROXY  TCP4 192.0.2.7 198.51.100.1 80 443\r\n",
            "\r\n\r\n\r\n",
            "GET / HTTP/1.1\r\n",
        ] {
            refused(line.as_bytes());
        }
    }

    #[test]
    fn what_cannot_become_a_header_is_refused_at_its_first_wrong_byte() {
        for header in
            [local(), b"PROXY TCP4 ".to_vec(), b"PROXY TCP6 ".to_vec(), b"PROXY UNKNOWN".to_vec()]
        {
            // Behind these the protocol, the family and the length have more than one value.
            for at in 0..header.len().min(13) {
                let mut wrong = header[..=at].to_vec();
                wrong[at] ^= 0x40;
                refused(&wrong);
            }
        }
        assert_eq!(
            refused(b"\x16\x03\x01"),
            "no PROXY header, the connection begins with '\\u{16}\\u{3}\\u{1}'"
        );
        assert_eq!(
            refused(&fixed(0x31, TCP4, 12)[..13]),
            "bad PROXY header, version and command 0x31"
        );
        assert_eq!(
            refused(&fixed(0x22, TCP4, 12)[..13]),
            "bad PROXY header, version and command 0x22"
        );
        assert_eq!(
            refused(&fixed(0x21, 0x12, 12)[..14]),
            "bad PROXY header, family and protocol 0x12"
        );
    }

    #[test]
    fn a_line_ends_within_its_most_bytes() {
        let long = format!("PROXY UNKNOWN {}", "x".repeat(120));
        let long = long.as_bytes();
        assert_eq!(parse(&long[..LINE - 1]).expect("no error yet"), Parsed::Partial);
        assert_eq!(refused(&long[..LINE]), "bad PROXY header, a line of over 107 bytes");
        let mut late = long[..LINE - 1].to_vec();
        late.extend(b"\r\n");
        refused(&late[..LINE]);
        refused(&late);
    }

    #[test]
    fn families_have_their_sizes_and_tlvs_their_limit() {
        let families = [(TCP4, 12), (TCP6, 36), (UNIX, 216), (UNSPECIFIED, 0)];
        for (family, addresses) in families {
            for missing in 1..=addresses {
                refused(&fixed(0x21, family, (addresses - missing) as u16));
            }
            let mut tlvs = vec![4, 0, 0];
            tlvs.resize(TLVS, 0);
            tlvs[1..3].copy_from_slice(&((TLVS - TLV) as u16).to_be_bytes());
            let mut body = vec![1; addresses];
            body.extend(&tlvs);
            let found = whole(&block_of(0x21, family, &body));
            assert_eq!(found.is_some(), matches!(family, TCP4 | TCP6));
            let over = fixed(0x21, family, (addresses + TLVS + 1) as u16);
            assert_eq!(refused(&over), "bad PROXY header, 4097 bytes of TLVs, over 4096");
        }
        for family in 0..=255 {
            if !families.iter().any(|(known, _)| *known == family) {
                refused(&fixed(0x21, family, 300));
            }
            // It does not count there, nor does what comes with it.
            assert_eq!(whole(&block_of(0x20, family, b"whatever")), None);
        }
        refused(&fixed(0x20, 0, TLVS as u16 + 1));
    }

    #[test]
    fn a_tlv_that_is_cut_off_is_refused() {
        for tlvs in
            [&b"\x04"[..], b"\x04\0", b"\x04\0\x01", b"\x04\0\x01ab\x04\0", b"\x04\xff\xffabc"]
        {
            let mut body = vec![1; 12];
            body.extend(tlvs);
            refused(&block_of(0x21, TCP4, &body));
        }
        let mut body = vec![1; 12];
        body.extend(b"\x04\0\0\x01\0\x02h2\xee\0\x01x");
        assert!(whole(&block_of(0x21, TCP4, &body)).is_some());
    }
}
