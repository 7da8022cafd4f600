//! JSON text to tape: strict RFC 8259, UTF-8 only, numbers exact. Pure: bytes in, tape or failure out.
//!
//! One UTF-8 check of the whole text comes first, so that below it strings are only searched for their
//! end. Line and column are computed once something has failed. May call: `plain`, `tape`, simdutf8.

use std::collections::TryReserveError;

use super::MAX_DEPTH;
use super::plain;
use super::tape::{Entry, Tape};

/// The integers that this Lua holds exactly.
const EXACT: std::ops::RangeInclusive<i64> =
    if cfg!(any(feature = "lua51", feature = "lua52", feature = "luajit")) {
        -(1 << 53)..=1 << 53
    } else {
        i64::MIN..=i64::MAX
    };

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

impl BigInt {
    /// The option value `"float"`, `"string"` or `"error"`.
    pub fn from_name(name: &[u8]) -> Option<BigInt> {
        match name {
            b"float" => Some(BigInt::Float),
            b"string" => Some(BigInt::String),
            b"error" => Some(BigInt::Error),
            _ => None,
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
pub enum Failure {
    /// `line 1 column 5: ...`
    Invalid(String),
    Memory,
}

impl Failure {
    /// A panic here, that is.
    #[cold]
    pub fn internal() -> Failure {
        Failure::Invalid("internal error".to_owned())
    }
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
struct Stop;

impl From<TryReserveError> for Stop {
    #[cold]
    fn from(_: TryReserveError) -> Stop {
        Stop
    }
}

type Parsed<T = ()> = Result<T, Stop>;

/// The digits of a number so far, as one integer (wrapped around beyond 19).
#[derive(Default)]
struct Digits {
    mantissa: u64,
    count: usize,
}

/// So many digits make an integer that a float holds exactly.
const EXACT_DIGITS: usize = 15;

/// Exact as floats.
const POWERS_OF_TEN: [f64; EXACT_DIGITS + 1] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

struct Parser<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    bigint: BigInt,
    tape: &'a mut Tape,
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

    /// The value at the next token, within `depth` containers.
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
    fn push(&mut self, entry: Entry) -> Parsed {
        Ok(self.tape.push(entry)?)
    }

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
            Some(b':') => Ok(self.at += 1),
            Some(_) => self.fault("expected ':'"),
            None => self.fault("unexpected end, expected ':'"),
        }
    }

    fn word(&mut self, word: &str, entry: Entry) -> Parsed {
        if !self.bytes[self.at..].starts_with(word.as_bytes()) {
            return self.fault("expected a value");
        }
        self.at += word.len();
        self.push(entry)
    }

    fn number(&mut self) -> Parsed {
        let start = self.at;
        let negative = self.peek() == Some(b'-');
        self.at += usize::from(negative);
        let first = self.at;
        let mut number = Digits::default();
        self.digits(&mut number)?;
        if self.bytes[first] == b'0' && number.count > 1 {
            return self.fault_at(first, "a number may not start with 0");
        }
        match self.peek() {
            Some(b'.' | b'e' | b'E') => self.fraction(start, negative, number),
            _ if negative && number.mantissa == 0 => self.push(Entry::Float(-0.0)),
            _ => self.integer(start, negative, number),
        }
    }

    fn integer(&mut self, start: usize, negative: bool, number: Digits) -> Parsed {
        let integer = if number.count <= 18 {
            let magnitude = number.mantissa as i64;
            Ok(if negative { -magnitude } else { magnitude })
        } else {
            self.text[start..self.at].parse()
        };
        match (integer, self.bigint) {
            (Ok(integer), _) if EXACT.contains(&integer) => self.push(Entry::Integer(integer)),
            (_, BigInt::Float) => self.float(start),
            (_, BigInt::String) => {
                self.push(Entry::Text { len: (self.at - start) as u32, at: start })
            }
            (_, BigInt::Error) => self.fault_at(start, "integer too large to be exact"),
        }
    }

    /// A number from its fraction or exponent on.
    fn fraction(&mut self, start: usize, negative: bool, mut number: Digits) -> Parsed {
        let whole = number.count;
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits(&mut number)?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits(&mut Digits::default())?;
            return self.float(start);
        }
        match POWERS_OF_TEN.get(number.count - whole) {
            // Both are exact, so the quotient is correctly rounded.
            Some(power) if number.count <= EXACT_DIGITS => {
                let float = number.mantissa as f64 / power;
                self.push(Entry::Float(if negative { -float } else { float }))
            }
            _ => self.float(start),
        }
    }

    fn float(&mut self, start: usize) -> Parsed {
        match self.text[start..self.at].parse::<f64>() {
            Ok(float) if float.is_finite() => self.push(Entry::Float(float)),
            _ => self.fault_at(start, "number out of range"),
        }
    }

    /// One digit or more, added to `number`.
    fn digits(&mut self, number: &mut Digits) -> Parsed {
        let start = self.at;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            let digit = u64::from(digit - b'0');
            number.mantissa = number.mantissa.wrapping_mul(10).wrapping_add(digit);
            self.at += 1;
        }
        number.count += self.at - start;
        if self.at == start { self.fault("expected a digit") } else { Ok(()) }
    }

    fn string(&mut self) -> Parsed {
        let start = self.at + 1;
        self.at = plain::end(self.bytes, start);
        match self.peek() {
            Some(b'"') => {
                let len = (self.at - start) as u32;
                self.at += 1;
                self.push(Entry::Text { len, at: start })
            }
            Some(b'\\') => self.escaped_string(start),
            Some(_) => self.fault("control character in a string"),
            None => self.fault("unexpected end in a string"),
        }
    }

    /// The string from `start` on, whose first escape is here.
    fn escaped_string(&mut self, start: usize) -> Parsed {
        let at = self.tape.arena.len();
        let mut run = start;
        loop {
            self.tape.unescaped(&self.bytes[run..self.at])?;
            match self.peek() {
                Some(b'"') => break self.at += 1,
                Some(b'\\') => self.escape()?,
                Some(_) => return self.fault("control character in a string"),
                None => return self.fault("unexpected end in a string"),
            }
            run = self.at;
            self.at = plain::end(self.bytes, run);
        }
        let len = (self.tape.arena.len() - at) as u32;
        self.push(Entry::Unescaped { len, at })
    }

    fn escape(&mut self) -> Parsed {
        let start = self.at;
        let escape = self.bytes.get(start + 1).copied();
        self.at += 2;
        let char = match escape {
            Some(char @ (b'"' | b'\\' | b'/')) => char::from(char),
            Some(b'b') => '\x08',
            Some(b'f') => '\x0C',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => self.scalar(start)?,
            Some(_) => return self.fault_at(start, "unknown escape"),
            None => return self.fault_at(start, "unexpected end in a string"),
        };
        Ok(self.tape.unescaped(char.encode_utf8(&mut [0; 4]).as_bytes())?)
    }

    /// What `\uXXXX`, or a pair of them, stands for; `start` is the first backslash.
    fn scalar(&mut self, start: usize) -> Parsed<char> {
        let mut code = self.hex4(start)?;
        if let 0xD800..0xDC00 = code
            && self.bytes[self.at..].starts_with(b"\\u")
        {
            self.at += 2;
            if let low @ 0xDC00..0xE000 = self.hex4(self.at - 2)? {
                code = 0x10000 + ((code - 0xD800) << 10 | (low - 0xDC00));
            }
        }
        match char::from_u32(code) {
            Some(char) => Ok(char),
            None => self.fault_at(start, "half of a surrogate pair"),
        }
    }

    fn hex4(&mut self, escape: usize) -> Parsed<u32> {
        let digits = self.bytes.get(self.at..self.at + 4).unwrap_or_default();
        self.at += 4;
        let value = digits
            .iter()
            .try_fold(0, |value, &digit| Some(value << 4 | char::from(digit).to_digit(16)?));
        match value {
            Some(value) if digits.len() == 4 => Ok(value),
            _ => self.fault_at(escape, "expected four hexadecimal digits after \\u"),
        }
    }

    fn peek(&self) -> Option<u8> {
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

    fn fault<T>(&mut self, reason: &'static str) -> Parsed<T> {
        self.fault_at(self.at, reason)
    }

    #[cold]
    fn fault_at<T>(&mut self, at: usize, reason: &'static str) -> Parsed<T> {
        self.at = at;
        self.fault = Some(reason);
        Err(Stop)
    }
}
