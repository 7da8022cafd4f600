//! What peers send, and what a read of it must give: found in the whole of it, which the module
//! gets in pieces.

use std::ops::Range;

use net::framing::Endian;
use net::framing::text::Request;
use simulated::Random;

pub const MOST: usize = 1 << 30;
pub const MOST_PACKET: usize = 512_000;
const DELIMITER: &[u8] = b";=;";

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    All,
    Available(usize),
    Exact(usize),
    Line,
    Packet,
    Until,
}

/// What must come of it where all has come.
#[derive(Debug, PartialEq, Eq)]
pub enum Expected {
    /// Offsets from the present position: of what is given, and of the end of what is consumed.
    Item(Range<usize>, usize),
    /// The stream ends before.
    Nothing,
    TooLarge,
}

impl Ask {
    pub fn request(self) -> Request<'static> {
        match self {
            Self::All => Request::All { max: MOST },
            Self::Available(max) => Request::Available { max },
            Self::Exact(size) => Request::Exact { size, max: MOST },
            Self::Line => Request::Line { max: MOST, keep: false },
            Self::Packet => Request::Packet { max: MOST_PACKET, endian: Endian::Big },
            Self::Until => Request::Until { delimiter: DELIMITER, max: MOST },
        }
    }

    /// `rest` is all that is still to be read.
    pub fn expected(self, rest: &[u8]) -> Expected {
        let find = |what: &[u8]| rest.windows(what.len()).position(|window| window == what);
        match self {
            Self::All => Expected::Item(0..rest.len(), rest.len()),
            Self::Available(_) if rest.is_empty() => Expected::Nothing,
            Self::Available(_) => Expected::Item(0..1, 1),
            Self::Exact(size) if size > rest.len() => Expected::Nothing,
            Self::Exact(size) => Expected::Item(0..size, size),
            Self::Line => match rest.iter().position(|byte| *byte == b'\n') {
                Some(at) => {
                    let has_return = at > 0 && rest[at - 1] == b'\r';
                    Expected::Item(0..at - usize::from(has_return), at + 1)
                }
                None if rest.is_empty() => Expected::Nothing,
                None => Expected::Item(0..rest.len(), rest.len()),
            },
            Self::Packet => {
                let Some(header) = rest.first_chunk() else { return Expected::Nothing };
                let size = u32::from_be_bytes(*header) as usize;
                match size {
                    _ if size > MOST_PACKET => Expected::TooLarge,
                    _ if size + 4 > rest.len() => Expected::Nothing,
                    _ => Expected::Item(4..size + 4, size + 4),
                }
            }
            Self::Until => match find(DELIMITER) {
                Some(at) => Expected::Item(0..at, at + DELIMITER.len()),
                None => Expected::Nothing,
            },
        }
    }

    /// Whether only the end of the stream tells what is given.
    pub fn needs_end(self, rest: &[u8]) -> bool {
        self == Self::All || self == Self::Line && !rest.contains(&b'\n')
    }

    pub fn any(random: &mut Random) -> Self {
        match random.below(12) {
            0 => Self::All,
            1 | 2 => Self::Available(random.one_of(&[1, 7, 100, 8192])),
            3 | 4 => Self::Exact(random.one_of(&[0, 1, 4, 50, 1000])),
            5 | 6 => Self::Until,
            7..=9 => Self::Line,
            _ => Self::Packet,
        }
    }
}

/// Bytes, and what they are best read by: in order, with the bytes of each.
#[derive(Clone, Debug, Default)]
pub struct Content {
    pub bytes: Vec<u8>,
    pub asks: Vec<(usize, Ask)>,
}

impl Content {
    pub fn any(random: &mut Random) -> Self {
        let mut content = Self::default();
        let is_large = random.chance(4);
        for _ in 0..random.below(12) {
            content.add(random, is_large);
        }
        if random.chance(150) {
            content.asks.push((content.bytes.len(), Ask::Line));
            content.bytes.extend_from_slice(b"a line without an end");
        }
        content
    }

    fn add(&mut self, random: &mut Random, is_large: bool) {
        let begin = self.bytes.len();
        let size = match random.below(10) {
            0 => 0,
            1..=6 => random.below(60),
            7 | 8 => random.below(3000),
            _ if is_large => random.between(100_000, 400_000),
            _ => random.below(20_000),
        };
        let ask = match random.below(4) {
            0 => {
                self.text(random, size);
                self.bytes.extend_from_slice(random.one_of(&[&b"\n"[..], b"\r\n"]));
                Ask::Line
            }
            1 => {
                self.bytes.extend_from_slice(&(size as u32).to_be_bytes());
                self.text(random, size);
                Ask::Packet
            }
            2 => {
                self.text(random, size);
                self.bytes.extend_from_slice(DELIMITER);
                Ask::Until
            }
            _ => {
                self.text(random, size);
                Ask::Exact(size)
            }
        };
        self.asks.push((begin, ask));
    }

    /// No two places of it look alike, for long.
    fn text(&mut self, random: &mut Random, size: usize) {
        let mut number = random.number();
        for at in 0..size {
            if at % 8 == 0 {
                number = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1);
            }
            self.bytes.push(b'!' + ((number >> (at % 8 * 7)) as u8 & 0x3f) % 60);
        }
    }
}
