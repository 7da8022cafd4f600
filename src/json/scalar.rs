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
    pub fn number(&mut self, start: usize) -> Parsed {
        let negative = self.peek(start) == Some(b'-');
        let first = start + usize::from(negative);
        let mut number = Digits::default();
        let end = self.digits(first, &mut number)?;
        let is_zero = self.bytes[first] == b'0';
        if is_zero && number.count > 1 {
            return self.refuse(end);
        }
        match self.peek(end) {
            Some(b'.' | b'e' | b'E') => self.fraction(start, end, negative, number),
            _ if negative && is_zero => self.push(Entry::Float(-0.0), end),
            _ => self.integer(start, end, negative, number),
        }
    }

    fn integer(&mut self, start: usize, end: usize, negative: bool, number: Digits) -> Parsed {
        let integer = if number.count <= 18 {
            let magnitude = number.mantissa as i64;
            Ok(if negative { -magnitude } else { magnitude })
        } else {
            self.text[start..end].parse()
        };
        match (integer, self.bigint) {
            (Ok(integer), _) if EXACT.contains(&integer) => self.push(Entry::Integer(integer), end),
            (Ok(integer), BigInt::Integer) => self.push(Entry::Integer(integer), end),
            (_, BigInt::Float | BigInt::Integer) => self.float(start, end),
            (_, BigInt::String) => {
                self.push(Entry::Text { len: (end - start) as u32, at: start }, end)
            }
            (_, BigInt::Error) => self.fault_at(start, "integer too large to be exact"),
        }
    }

    /// Parses a number from its fraction or exponent, at `at`, on.
    fn fraction(&mut self, start: usize, at: usize, negative: bool, mut number: Digits) -> Parsed {
        let (whole, mut end) = (number.count, at);
        if self.peek(end) == Some(b'.') {
            end = self.digits(end + 1, &mut number)?;
        }
        if let Some(b'e' | b'E') = self.peek(end) {
            let signed = matches!(self.peek(end + 1), Some(b'+' | b'-'));
            end = self.digits(end + 1 + usize::from(signed), &mut Digits::default())?;
            return self.float(start, end);
        }
        if number.count > MANTISSA_DIGITS {
            return self.float(start, end);
        }
        let float = quotient(number.mantissa, 10u64.pow((number.count - whole) as u32));
        self.push(Entry::Float(if negative { -float } else { float }), end)
    }

    fn float(&mut self, start: usize, end: usize) -> Parsed {
        match self.text[start..end].parse::<f64>() {
            Ok(float) if float.is_finite() => self.push(Entry::Float(float), end),
            _ => self.fault_at(start, "number out of range"),
        }
    }

    /// Takes at least one digit, and adds them to `number`.
    #[inline(always)]
    fn digits(&mut self, start: usize, number: &mut Digits) -> Parsed {
        let mut at = start;
        while let Some(digit @ b'0'..=b'9') = self.peek(at) {
            let digit = u64::from(digit - b'0');
            number.mantissa = number.mantissa.wrapping_mul(10).wrapping_add(digit);
            at += 1;
        }
        number.count += at - start;
        if at == start { self.refuse(at) } else { Ok(at) }
    }

    /// Parses the string whose first quote is at `at`.
    pub fn string(&mut self, at: usize) -> Parsed {
        let start = at + 1;
        let rest = &self.bytes[start..];
        let len = plain::run(rest);
        let end = start + len;
        match rest.get(len) {
            Some(b'"') => self.push(Entry::Text { len: len as u32, at: start }, end + 1),
            Some(b'\\') => self.escaped_string(start, end),
            _ => self.refuse(end),
        }
    }

    /// Parses the string whose characters begin at `start`. All of them before `at` are plain.
    #[inline(never)]
    pub fn escaped_string(&mut self, start: usize, at: usize) -> Parsed {
        let arena = self.tape.arena.len();
        let (mut run, mut at) = (start, at);
        loop {
            self.tape.unescaped(&self.bytes[run..at])?;
            match self.peek(at) {
                Some(b'"') => break,
                // Nothing stands between escapes that follow each other.
                Some(b'\\') => {
                    while self.peek(at) == Some(b'\\') {
                        at = self.escape(at)?;
                    }
                }
                _ => return self.refuse(at),
            }
            run = at;
            at += plain::run(&self.bytes[run..]);
        }
        let len = (self.tape.arena.len() - arena) as u32;
        self.push(Entry::Unescaped { len, at: arena }, at + 1)
    }

    fn escape(&mut self, at: usize) -> Parsed {
        let byte = match self.peek(at + 1) {
            Some(byte @ (b'"' | b'\\' | b'/')) => byte,
            Some(b'b') => 0x08,
            Some(b'f') => 0x0C,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'u') => return self.scalar(at),
            _ => return self.refuse(at),
        };
        self.tape.unescaped(&[byte])?;
        Ok(at + 2)
    }

    /// Appends the character of `\uXXXX`, or of a surrogate pair.
    fn scalar(&mut self, at: usize) -> Parsed {
        let (mut code, mut end) = (self.hex4(at + 2)?, at + 6);
        if let 0xD800..0xDC00 = code
            && self.bytes[end..].starts_with(b"\\u")
        {
            if let low @ 0xDC00..0xE000 = self.hex4(end + 2)? {
                code = 0x10000 + ((code - 0xD800) << 10 | (low - 0xDC00));
            }
            end += 6;
        }
        let Some(char) = char::from_u32(code) else { return self.refuse(at) };
        self.tape.unescaped(char.encode_utf8(&mut [0; 4]).as_bytes())?;
        Ok(end)
    }

    fn hex4(&mut self, at: usize) -> Parsed<u32> {
        let Some(digits) = self.bytes[at..].first_chunk::<4>() else { return self.refuse(at) };
        let [a, b, c, d] = digits.map(|digit| u32::from(HEX_VALUES[usize::from(digit)]));
        if (a | b | c | d) > 0xF {
            return self.refuse(at);
        }
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

/// Divides by a power of ten of up to eighteen zeros, and rounds once, to the nearest float.
fn quotient(dividend: u64, divisor: u64) -> f64 {
    // Floats hold both exactly.
    if dividend < 1 << 53 {
        return dividend as f64 / divisor as f64;
    }
    // The quotient has at least 63 bits, more than a float. Its last bit is set, too, if there is a
    // remainder, so that a quotient just over the middle of two floats is not taken for it.
    let (up, down) = (dividend.leading_zeros(), divisor.leading_zeros());
    let (high, low) = (u128::from(dividend << up) << 63, u128::from(divisor << down));
    let quotient = high / low;
    let bits = quotient as u64 | u64::from(quotient * low != high);
    // A power of two, which is exact.
    let scale = f64::from_bits(u64::from(1023 - 63 + down - up) << 52);
    bits as f64 * scale
}
