//! Parses JSON text to a tape: strict RFC 8259, UTF-8 only, numbers exact. Pure: bytes in, tape or
//! failure out.
//!
//! The whole text is first checked to be UTF-8, so that strings need only a search for their end.
//! May call: `scalar`, `tape`, `net::json_scan`, simdutf8.

use std::collections::TryReserveError;

use net::json_scan::{self, Invalid, run};

use super::MAX_DEPTH;
use super::tape::{Entry, Tape};

/// The result for an integer that this Lua cannot hold exactly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BigInt {
    /// The nearest float.
    #[default]
    Float,
    /// A string of its digits.
    String,
    /// A failure.
    Error,
    /// The exact integer of 64 bits, which is only written again.
    Integer,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Failure {
    /// `line 1 column 5: ...`
    Invalid(String),
    Memory,
}

/// Parses the one value of `text` to an empty tape. If the text is invalid, `json_scan` gives the
/// reason, as for streams.
pub fn parse(text: &[u8], bigint: BigInt, tape: &mut Tape) -> Result<(), Failure> {
    if u32::try_from(text.len()).is_err() {
        return Err(invalid(text, Invalid { at: 0, what: "longer than 4 GiB" }));
    }
    let Ok(checked) = simdutf8::basic::from_utf8(text) else {
        return Err(refused(text, Invalid { at: 0, what: "not UTF-8" }));
    };
    let mut parser = Parser::new(checked, bigint, tape);
    match (parser.document(), parser.fault) {
        (Ok(()), _) => Ok(()),
        (Err(Stop), None) => Err(Failure::Memory),
        (Err(Stop), Some(fault)) => Err(refused(text, fault)),
    }
}

/// Appends to a tape the value that begins at `at`, within `depth` containers, in a text that is
/// known to be JSON up to its end. It fails for want of memory, or by a number that does not fit.
pub fn parse_at(
    text: &str,
    at: usize,
    depth: usize,
    bigint: BigInt,
    tape: &mut Tape,
) -> Result<(), Option<Invalid>> {
    let mut parser = Parser::new(text, bigint, tape);
    match parser.value(at, depth) {
        Ok(_) => Ok(()),
        Err(Stop) => Err(parser.fault),
    }
}

/// Appends the characters of a string to the tape's arena. `rest` is the string, known to be JSON,
/// without its first quote.
pub fn unescape(rest: &[u8], tape: &mut Tape) -> Parsed<()> {
    let kept = tape.entries.len();
    let plain = rest.iter().take_while(|&&byte| byte != b'\\').count();
    let mut parser = Parser { bytes: rest, ..Parser::new("", BigInt::Float, tape) };
    let done = parser.escaped_string(0, plain);
    tape.entries.truncate(kept);
    done.map(|_| ())
}

/// Returns the first error of the grammar, or else the one that only the parser finds.
#[cold]
fn refused(text: &[u8], otherwise: Invalid) -> Failure {
    invalid(text, json_scan::fault(text).unwrap_or(otherwise))
}

#[cold]
fn invalid(text: &[u8], invalid: Invalid) -> Failure {
    Failure::Invalid(invalid.describe(text))
}

/// Parsing stops, because of the parser's `fault`. It is an empty type, since a result in a
/// register makes parsing faster by 5 to 14 %.
pub(super) struct Stop;

impl From<TryReserveError> for Stop {
    #[cold]
    fn from(_: TryReserveError) -> Stop {
        Stop
    }
}

/// Mostly the offset behind what was parsed.
pub(super) type Parsed<T = usize> = Result<T, Stop>;

/// The functions take an offset and return the next one. So it stays in a register, since a store
/// that is loaded again takes longer than most of them.
pub(super) struct Parser<'a> {
    pub text: &'a str,
    /// The bytes of `text`.
    pub bytes: &'a [u8],
    pub bigint: BigInt,
    pub tape: &'a mut Tape,
    /// Why parsing stopped; none for want of memory.
    fault: Option<Invalid>,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str, bigint: BigInt, tape: &'a mut Tape) -> Self {
        Self { text, bytes: text.as_bytes(), bigint, tape, fault: None }
    }
}

impl Parser<'_> {
    fn document(&mut self) -> Parsed<()> {
        let end = self.value(0, 0)?;
        match self.token(end) {
            (_, None) => Ok(()),
            (at, Some(_)) => self.refuse(at),
        }
    }

    /// Parses the value at the next token, within `depth` containers. Each type has a function of
    /// its own, so that short strings, the most common values, need to save few registers.
    #[inline(always)]
    fn value(&mut self, at: usize, depth: usize) -> Parsed {
        let (at, first) = self.token(at);
        match first {
            Some(b'"') => self.string(at),
            Some(b'{') => self.object(at, depth + 1),
            Some(b'[') => self.array(at, depth + 1),
            Some(b'-' | b'0'..=b'9') => self.number(at),
            Some(b't') => self.word(at, b"true", Entry::Bool(true)),
            Some(b'f') => self.word(at, b"false", Entry::Bool(false)),
            Some(b'n') => self.word(at, b"null", Entry::Null),
            _ => self.refuse(at),
        }
    }

    /// Appends what ends at `end`.
    #[inline]
    pub fn push(&mut self, entry: Entry, end: usize) -> Parsed {
        self.tape.push(entry)?;
        Ok(end)
    }

    #[inline(never)]
    fn array(&mut self, at: usize, depth: usize) -> Parsed {
        let header = self.open(at, depth)?;
        self.tape.has_arrays = true;
        let mut len = 0;
        let (mut at, first) = self.token(at + 1);
        if first != Some(b']') {
            loop {
                let end = self.value(at, depth)?;
                len += 1;
                let mark;
                (at, mark) = self.token(end);
                match mark {
                    Some(b',') => at += 1,
                    Some(b']') => break,
                    _ => return self.refuse(at),
                }
            }
        }
        self.tape.entries[header] = Entry::Array { len };
        Ok(at + 1)
    }

    #[inline(never)]
    fn object(&mut self, at: usize, depth: usize) -> Parsed {
        let header = self.open(at, depth)?;
        let mut len = 0;
        let (mut at, first) = self.token(at + 1);
        if first != Some(b'}') {
            loop {
                let colon = self.name(at)?;
                let end = self.value(colon + 1, depth)?;
                len += 1;
                let mark;
                (at, mark) = self.token(end);
                match mark {
                    Some(b',') => at += 1,
                    Some(b'}') => break,
                    _ => return self.refuse(at),
                }
            }
        }
        self.tape.entries[header] = Entry::Object { len };
        Ok(at + 1)
    }

    /// Begins the container whose bracket is at `at`; returns the index of its header on the tape.
    fn open(&mut self, at: usize, depth: usize) -> Parsed<usize> {
        if depth > MAX_DEPTH {
            return self.refuse(at);
        }
        self.tape.depth = self.tape.depth.max(depth);
        let header = self.tape.entries.len();
        self.tape.push(Entry::Null)?;
        Ok(header)
    }

    /// Parses a member's name; returns the offset of the colon.
    #[inline(always)]
    fn name(&mut self, at: usize) -> Parsed {
        let (at, quote) = self.token(at);
        if quote != Some(b'"') {
            return self.refuse(at);
        }
        let end = self.string(at)?;
        let (at, colon) = self.token(end);
        if colon == Some(b':') { Ok(at) } else { self.refuse(at) }
    }

    fn word<const N: usize>(&mut self, at: usize, word: &[u8; N], entry: Entry) -> Parsed {
        if self.bytes[at..].first_chunk() != Some(word) {
            return self.refuse(at);
        }
        self.push(entry, at + N)
    }

    #[inline(always)]
    pub fn peek(&self, at: usize) -> Option<u8> {
        self.bytes.get(at).copied()
    }

    /// Skips white space; returns the offset and the byte behind it.
    #[inline(always)]
    fn token(&self, at: usize) -> (usize, Option<u8>) {
        let is_space = |at| self.peek(at).is_some_and(run::is_space);
        let at = match is_space(at) {
            true if is_space(at + 1) => self.skip_spaces(at + 1),
            true => at + 1,
            false => at,
        };
        (at, self.peek(at))
    }

    /// Skips more white space. It is not inlined, since most texts have none.
    #[inline(never)]
    fn skip_spaces(&self, at: usize) -> usize {
        at + run::spaces(&self.bytes[at..])
    }

    /// Stops at a text that is not JSON; `json_scan` gives the reason.
    pub fn refuse<T>(&mut self, at: usize) -> Parsed<T> {
        self.fault_at(at, "not JSON")
    }

    #[cold]
    pub fn fault_at<T>(&mut self, at: usize, what: &'static str) -> Parsed<T> {
        self.fault = Some(Invalid { at, what });
        Err(Stop)
    }
}
