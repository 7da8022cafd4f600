//! The parser of numbers and strings; pure, as all of the parser. May call: `parse`, `plain`,
//! `tape`.

use std::ops::RangeInclusive;

use super::parse::{BigInt, Parsed, Parser};
use super::plain;
use super::tape::Entry;

/// The integers that this Lua holds exactly.
const EXACT: RangeInclusive<i64> =
    if cfg!(any(feature = "lua51", feature = "lua52", feature = "luajit")) {
        -(1 << 53)..=1 << 53
    } else {
        i64::MIN..=i64::MAX
    };

/// The digits of a number so far, as one integer, which wraps around after 19 digits.
#[derive(Default)]
struct Digits {
    mantissa: u64,
    count: usize,
}

/// The most digits that a mantissa of 64 bits holds, whatever they are.
const MANTISSA_DIGITS: usize = 19;

impl Parser<'_> {
    #[inline(never)]
    pub fn number(&mut self) -> Parsed {
        let start = self.at;
        let negative = self.peek() == Some(b'-');
        self.at += usize::from(negative);
        let first = self.at;
        let mut number = Digits::default();
        self.digits(&mut number)?;
        if self.bytes[first] == b'0' && number.count > 1 {
            return self.refuse();
        }
        match self.peek() {
            Some(b'.' | b'e' | b'E') => self.fraction(start, negative, number),
            _ if negative && self.bytes[first] == b'0' => self.push(Entry::Float(-0.0)),
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
            (Ok(integer), BigInt::Integer) => self.push(Entry::Integer(integer)),
            (_, BigInt::Float | BigInt::Integer) => self.float(start),
            (_, BigInt::String) => {
                self.push(Entry::Text { len: (self.at - start) as u32, at: start })
            }
            (_, BigInt::Error) => self.fault_at(start, "integer too large to be exact"),
        }
    }

    /// Parses a number from its fraction or exponent on.
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
        if number.count > MANTISSA_DIGITS {
            return self.float(start);
        }
        let float = quotient(number.mantissa, 10u64.pow((number.count - whole) as u32));
        self.push(Entry::Float(if negative { -float } else { float }))
    }

    fn float(&mut self, start: usize) -> Parsed {
        match self.text[start..self.at].parse::<f64>() {
            Ok(float) if float.is_finite() => self.push(Entry::Float(float)),
            _ => self.fault_at(start, "number out of range"),
        }
    }

    /// Takes at least one digit, and adds them to `number`.
    fn digits(&mut self, number: &mut Digits) -> Parsed {
        let start = self.at;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            let digit = u64::from(digit - b'0');
            number.mantissa = number.mantissa.wrapping_mul(10).wrapping_add(digit);
            self.at += 1;
        }
        number.count += self.at - start;
        if self.at == start { self.refuse() } else { Ok(()) }
    }

    pub fn string(&mut self) -> Parsed {
        let start = self.at + 1;
        let rest = &self.bytes[start..];
        let len = plain::run(rest);
        self.at = start + len;
        match rest.get(len) {
            Some(b'"') => {
                self.at += 1;
                self.push(Entry::Text { len: len as u32, at: start })
            }
            Some(b'\\') => self.escaped_string(start),
            _ => self.refuse(),
        }
    }

    /// Parses the string from `start` on. All before the present offset is plain.
    #[inline(never)]
    pub fn escaped_string(&mut self, start: usize) -> Parsed {
        let at = self.tape.arena.len();
        let mut run = start;
        loop {
            self.tape.unescaped(&self.bytes[run..self.at])?;
            match self.peek() {
                Some(b'"') => break self.at += 1,
                Some(b'\\') => {
                    while self.peek() == Some(b'\\') {
                        self.escape()?;
                    }
                }
                _ => return self.refuse(),
            }
            run = self.at;
            self.at += plain::run(&self.bytes[run..]);
        }
        let len = (self.tape.arena.len() - at) as u32;
        self.push(Entry::Unescaped { len, at })
    }

    fn escape(&mut self) -> Parsed {
        let escape = self.bytes.get(self.at + 1).copied();
        self.at += 2;
        let byte = match escape {
            Some(byte @ (b'"' | b'\\' | b'/')) => byte,
            Some(b'b') => 0x08,
            Some(b'f') => 0x0C,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'u') => {
                let char = self.scalar()?;
                return Ok(self.tape.unescaped(char.encode_utf8(&mut [0; 4]).as_bytes())?);
            }
            _ => return self.refuse(),
        };
        Ok(self.tape.unescaped(&[byte])?)
    }

    /// Returns the character of `\uXXXX`, or of a surrogate pair.
    fn scalar(&mut self) -> Parsed<char> {
        let mut code = self.hex4()?;
        if let 0xD800..0xDC00 = code
            && self.bytes[self.at..].starts_with(b"\\u")
        {
            self.at += 2;
            if let low @ 0xDC00..0xE000 = self.hex4()? {
                code = 0x10000 + ((code - 0xD800) << 10 | (low - 0xDC00));
            }
        }
        match char::from_u32(code) {
            Some(char) => Ok(char),
            None => self.refuse(),
        }
    }

    fn hex4(&mut self) -> Parsed<u32> {
        let Some(digits) = self.bytes[self.at..].first_chunk::<4>() else { return self.refuse() };
        let [a, b, c, d] = digits.map(|digit| u32::from(HEX_VALUES[usize::from(digit)]));
        if (a | b | c | d) > 0xF {
            return self.refuse();
        }
        self.at += 4;
        Ok(a << 12 | b << 8 | c << 4 | d)
    }
}

/// The value of each byte as a hexadecimal digit, 0xFF for no digit.
const HEX_VALUES: [u8; 256] = {
    let mut values = [0xFF; 256];
    let mut value = 0;
    while value < 16 {
        let digit = b"0123456789abcdef"[value as usize];
        values[digit as usize] = value;
        values[digit.to_ascii_uppercase() as usize] = value;
        value += 1;
    }
    values
};

/// Divides, and rounds once, to the nearest float: the integer quotient has at least 63 bits, and
/// its last one stands for the rest.
fn quotient(dividend: u64, divisor: u64) -> f64 {
    if dividend == 0 {
        return 0.0;
    }
    let (up, down) = (dividend.leading_zeros(), divisor.leading_zeros());
    let (high, low) = (u128::from(dividend << up) << 63, u128::from(divisor << down));
    let quotient = high / low;
    let bits = quotient as u64 | u64::from(quotient * low != high);
    // A power of two, which is exact.
    let scale = f64::from_bits(u64::from(1023 - 63 + down - up) << 52);
    bits as f64 * scale
}
