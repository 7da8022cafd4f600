//! JSON text to tape: strict RFC 8259, UTF-8 only, numbers exact. Pure: bytes in, tape or failure out.
//!
//! One UTF-8 check of the whole text comes first, so that below it strings are only searched for their
//! end. Line and column are computed once something has failed. May call: `scalar`, `tape`, simdutf8.

use std::collections::TryReserveError;

use super::MAX_DEPTH;
use super::tape::{Entry, Tape};

/// What an integer becomes that this Lua cannot hold exactly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BigInt {
    /// The nearest float.
    #[default]
    Float,
    /// Its digits.
    String,
    /// An error.
    Error,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Failure {
    /// `line 1 column 5: ...`
    Invalid(String),
    Memory,
}

/// Fills an empty tape with the one value that `text` holds.
pub fn parse(text: &[u8], bigint: BigInt, tape: &mut Tape) -> Result<(), Failure> {
    if u32::try_from(text.len()).is_err() {
        return Err(locate(text, 0, "longer than 4 GiB"));
    }
    let Ok(text) = simdutf8::basic::from_utf8(text) else {
        let at = std::str::from_utf8(text).err().map_or(0, |error| error.valid_up_to());
        return Err(locate(text, at, "not UTF-8"));
    };
    let mut parser = Parser { text, bytes: text.as_bytes(), at: 0, bigint, tape, fault: None };
    match (parser.document(), parser.fault) {
        (Ok(()), _) => Ok(()),
        (Err(Stop), Some(reason)) => Err(locate(parser.bytes, parser.at, reason)),
        (Err(Stop), None) => Err(Failure::Memory),
    }
}

#[cold]
fn locate(text: &[u8], at: usize, reason: &str) -> Failure {
    let before = &text[..at.min(text.len())];
    let newline = before.iter().rposition(|&byte| byte == b'\n');
    let line_start = newline.map_or(0, |newline| newline + 1);
    let line = 1 + before.iter().filter(|&&byte| byte == b'\n').count();
    let is_char_start = |&&byte: &&u8| byte & 0xC0 != 0x80;
    let column = 1 + before[line_start..].iter().filter(is_char_start).count();
    Failure::Invalid(format!("line {line} column {column}: {reason}"))
}

/// Parsing is over, `at` the parser's `fault`; without one, for want of memory. Nothing in itself, since
/// a result that fits a register makes parsing faster by 5 to 14 %.
pub(super) struct Stop;

impl From<TryReserveError> for Stop {
    #[cold]
    fn from(_: TryReserveError) -> Stop {
        Stop
    }
}

pub(super) type Parsed<T = ()> = Result<T, Stop>;

pub(super) struct Parser<'a> {
    pub text: &'a str,
    /// The text again.
    pub bytes: &'a [u8],
    pub at: usize,
    pub bigint: BigInt,
    pub tape: &'a mut Tape,
    fault: Option<&'static str>,
}

impl Parser<'_> {
    fn document(&mut self) -> Parsed {
        self.value(0)?;
        match self.token() {
            None => Ok(()),
            Some(_) => self.fault("unexpected text after the value"),
        }
    }

    /// The value at the next token, within `depth` containers. Each sort is a call of its own, so that short
    /// strings, which most values are, pay for no more registers than they need.
    #[inline(always)]
    fn value(&mut self, depth: usize) -> Parsed {
        match self.token() {
            Some(b'"') => self.string(),
            Some(b'{') => self.object(depth + 1),
            Some(b'[') => self.array(depth + 1),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true", Entry::Bool(true)),
            Some(b'f') => self.word("false", Entry::Bool(false)),
            Some(b'n') => self.word("null", Entry::Null),
            Some(_) => self.fault("expected a value"),
            None => self.fault("unexpected end, expected a value"),
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
                    Some(_) => return self.fault("expected ',' or ']'"),
                    None => return self.fault("unexpected end, expected ',' or ']'"),
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
                    Some(_) => return self.fault("expected ',' or '}'"),
                    None => return self.fault("unexpected end, expected ',' or '}'"),
                }
            }
        }
        self.tape.entries[header] = Entry::Object { len };
        Ok(())
    }

    /// A container's bracket, and the place of its header on the tape.
    fn open(&mut self, depth: usize) -> Parsed<usize> {
        if depth > MAX_DEPTH {
            return self.fault("nested deeper than 128");
        }
        self.at += 1;
        self.tape.depth = self.tape.depth.max(depth);
        let header = self.tape.entries.len();
        self.tape.push(Entry::Null)?;
        Ok(header)
    }

    /// A member's name and the colon.
    fn name(&mut self) -> Parsed {
        match self.token() {
            Some(b'"') => {}
            Some(_) => return self.fault("expected a member name in double quotes"),
            None => return self.fault("unexpected end, expected a member name"),
        }
        self.string()?;
        match self.token() {
            Some(b':') => self.at += 1,
            Some(_) => return self.fault("expected ':'"),
            None => return self.fault("unexpected end, expected ':'"),
        }
        Ok(())
    }

    fn word(&mut self, word: &str, entry: Entry) -> Parsed {
        if !self.bytes[self.at..].starts_with(word.as_bytes()) {
            return self.fault("expected a value");
        }
        self.at += word.len();
        self.push(entry)
    }

    pub fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// The first byte that is not white space.
    fn token(&mut self) -> Option<u8> {
        loop {
            match self.peek() {
                Some(b' ' | b'\n' | b'\t' | b'\r') => self.at += 1,
                other => return other,
            }
        }
    }

    pub fn fault<T>(&mut self, reason: &'static str) -> Parsed<T> {
        self.fault_at(self.at, reason)
    }

    #[cold]
    pub fn fault_at<T>(&mut self, at: usize, reason: &'static str) -> Parsed<T> {
        self.at = at;
        self.fault = Some(reason);
        Err(Stop)
    }
}
