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
    let mut parser = Parser::new(checked, 0, bigint, tape);
    match (parser.document(), parser.fault) {
        (Ok(()), _) => Ok(()),
        (Err(Stop), Fault::Memory) => Err(Failure::Memory),
        (Err(Stop), Fault::Text(what)) => Err(refused(text, Invalid { at: parser.at, what })),
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
    let mut parser = Parser::new(text, at, bigint, tape);
    match (parser.value(depth), parser.fault) {
        (Ok(()), _) => Ok(()),
        (Err(Stop), Fault::Memory) => Err(None),
        (Err(Stop), Fault::Text(what)) => Err(Some(Invalid { at: parser.at, what })),
    }
}

/// Appends the characters of a string to the tape's arena. `rest` is the string, known to be JSON,
/// without its first quote.
pub fn unescape(rest: &[u8], tape: &mut Tape) -> Parsed {
    let kept = tape.entries.len();
    let plain = rest.iter().take_while(|&&byte| byte != b'\\').count();
    let mut parser = Parser { bytes: rest, ..Parser::new("", plain, BigInt::Float, tape) };
    let done = parser.escaped_string(0);
    tape.entries.truncate(kept);
    done
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

/// Why parsing stopped.
#[derive(Clone, Copy)]
enum Fault {
    /// No memory, unless the text is invalid, too.
    Memory,
    /// An error at the parser's offset.
    Text(&'static str),
}

pub(super) type Parsed<T = ()> = Result<T, Stop>;

pub(super) struct Parser<'a> {
    pub text: &'a str,
    /// The bytes of `text`.
    pub bytes: &'a [u8],
    pub at: usize,
    pub bigint: BigInt,
    pub tape: &'a mut Tape,
    fault: Fault,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str, at: usize, bigint: BigInt, tape: &'a mut Tape) -> Self {
        Self { text, bytes: text.as_bytes(), at, bigint, tape, fault: Fault::Memory }
    }
}

impl Parser<'_> {
    fn document(&mut self) -> Parsed {
        self.value(0)?;
        if self.token().is_some() { self.refuse() } else { Ok(()) }
    }

    /// Parses the value at the next token, within `depth` containers. Each type has a function of
    /// its own, so that short strings, the most common values, need to save few registers.
    #[inline(always)]
    fn value(&mut self, depth: usize) -> Parsed {
        match self.token() {
            Some(b'"') => self.string(),
            Some(b'{') => self.object(depth + 1),
            Some(b'[') => self.array(depth + 1),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word(b"true", Entry::Bool(true)),
            Some(b'f') => self.word(b"false", Entry::Bool(false)),
            Some(b'n') => self.word(b"null", Entry::Null),
            _ => self.refuse(),
        }
    }

    #[inline]
    pub fn push(&mut self, entry: Entry) -> Parsed {
        Ok(self.tape.push(entry)?)
    }

    #[inline(never)]
    fn array(&mut self, depth: usize) -> Parsed {
        let header = self.open(depth)?;
        self.tape.has_arrays = true;
        let mut len = 0;
        if self.token() == Some(b']') {
            self.at += 1;
        } else {
            loop {
                self.value(depth)?;
                len += 1;
                match self.token() {
                    Some(b',') => self.at += 1,
                    Some(b']') => break self.at += 1,
                    _ => return self.refuse(),
                }
            }
        }
        self.tape.entries[header] = Entry::Array { len };
        Ok(())
    }

    #[inline(never)]
    fn object(&mut self, depth: usize) -> Parsed {
        let header = self.open(depth)?;
        let mut len = 0;
        if self.token() == Some(b'}') {
            self.at += 1;
        } else {
            loop {
                self.name()?;
                self.value(depth)?;
                len += 1;
                match self.token() {
                    Some(b',') => self.at += 1,
                    Some(b'}') => break self.at += 1,
                    _ => return self.refuse(),
                }
            }
        }
        self.tape.entries[header] = Entry::Object { len };
        Ok(())
    }

    /// Takes a container's opening bracket; returns the index of its header on the tape.
    fn open(&mut self, depth: usize) -> Parsed<usize> {
        if depth > MAX_DEPTH {
            return self.refuse();
        }
        self.at += 1;
        self.tape.depth = self.tape.depth.max(depth);
        let header = self.tape.entries.len();
        self.tape.push(Entry::Null)?;
        Ok(header)
    }

    /// Takes a member's name and the colon.
    fn name(&mut self) -> Parsed {
        if self.token() != Some(b'"') {
            return self.refuse();
        }
        self.string()?;
        if self.token() != Some(b':') {
            return self.refuse();
        }
        self.at += 1;
        Ok(())
    }

    fn word<const N: usize>(&mut self, word: &[u8; N], entry: Entry) -> Parsed {
        if self.bytes[self.at..].first_chunk() != Some(word) {
            return self.refuse();
        }
        self.at += N;
        self.push(entry)
    }

    pub fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// Skips white space, and returns the byte behind it.
    #[inline(always)]
    fn token(&mut self) -> Option<u8> {
        if self.peek().is_some_and(run::is_space) {
            self.at += 1;
            if self.peek().is_some_and(run::is_space) {
                self.skip_spaces();
            }
        }
        self.peek()
    }

    /// Skips more white space. It is not inlined, since most texts have none.
    #[inline(never)]
    fn skip_spaces(&mut self) {
        self.at += run::spaces(&self.bytes[self.at..]);
    }

    /// Stops at a text that is not JSON; `json_scan` gives the reason.
    pub fn refuse<T>(&mut self) -> Parsed<T> {
        self.fault_at(self.at, "not JSON")
    }

    #[cold]
    pub fn fault_at<T>(&mut self, at: usize, reason: &'static str) -> Parsed<T> {
        self.at = at;
        self.fault = Fault::Text(reason);
        Err(Stop)
    }
}
