//! ManageSieve (RFC 5804): the greeting lists the capabilities; then STARTTLS. Strings may be
//! literals, whose bytes are counted and can look like anything. Pure. Uses `client`, `lines`.

use memchr::memrchr;

use super::client::{Client, Next, Transcript, foreign, not_offered, refused, send};
use super::lines::lines;
use crate::error::Result;

#[derive(Default)]
pub struct Sieve {
    /// STARTTLS is sent.
    has_asked: bool,
}

/// What comes up to a line that is OK, NO or BYE.
struct Response<'a> {
    is_ok: bool,
    bytes: &'a [u8],
    has_starttls: bool,
}

impl Client for Sieve {
    fn step(&mut self, input: &[u8], transcript: &mut Transcript) -> Result<(usize, Next)> {
        let Some(Response { is_ok, bytes, has_starttls }) = response(input)? else {
            return Ok((0, Next::More));
        };
        let next = match (self.has_asked, is_ok) {
            (true, true) => Next::Begin,
            (true, false) => return Err(refused("STARTTLS", bytes)),
            (false, false) => return Err(refused("the connection", bytes)),
            (false, true) => {
                transcript.greeted(bytes)?;
                transcript.offered(bytes)?;
                if !has_starttls {
                    return Err(not_offered("STARTTLS", bytes));
                }
                self.has_asked = true;
                send("STARTTLS\r\n")
            }
        };
        Ok((bytes.len(), next))
    }

    fn awaits(&self) -> &'static str {
        if self.has_asked { "the answer to STARTTLS" } else { "the greeting of ManageSieve" }
    }
}

/// The response at the front; `None` where it is not whole.
fn response(input: &[u8]) -> Result<Option<Response<'_>>> {
    let (mut at, mut has_starttls) = (0, false);
    loop {
        let Some(size) = logical_line(&input[at..]) else { return Ok(None) };
        let line = &input[at..at + size];
        at += size;
        match first_string(line) {
            Some(name) => has_starttls |= name.eq_ignore_ascii_case(b"STARTTLS"),
            None => {
                let is_ok = status(line).ok_or_else(|| foreign("ManageSieve", line))?;
                return Ok(Some(Response { is_ok, bytes: &input[..at], has_starttls }));
            }
        }
    }
}

/// The size of the line at the front with the literals in it; `None` where it is not whole.
fn logical_line(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let line = lines(&bytes[at..]).next()?;
        at += line.end;
        match literal(line.text) {
            None => return Some(at),
            Some(size) => at = at.checked_add(size).filter(|end| *end <= bytes.len())?,
        }
    }
}

/// The size of the literal that a line announces at its end: `{5}`, `{5+}`.
fn literal(line: &[u8]) -> Option<usize> {
    let inner = line.strip_suffix(b"}")?;
    let digits = &inner[memrchr(b'{', inner)? + 1..];
    let digits = digits.strip_suffix(b"+").unwrap_or(digits);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    // One that no number holds never ends.
    Some(str::from_utf8(digits).ok()?.parse().unwrap_or(usize::MAX))
}

/// The string that a capability's line begins with; `None` for another line.
fn first_string(line: &[u8]) -> Option<&[u8]> {
    if let Some(quoted) = line.strip_prefix(b"\"") {
        return quoted.split(|byte| *byte == b'"').next();
    }
    let first = lines(line).next()?;
    let size = literal(first.text).filter(|_| first.text.starts_with(b"{"))?;
    line.get(first.end..)?.get(..size)
}

/// Whether the line is OK, and not NO or BYE; `None` where it is neither.
fn status(line: &[u8]) -> Option<bool> {
    let is_end = |byte: &u8| byte.is_ascii_whitespace() || *byte == b'(';
    let word = line.split(is_end).next()?;
    let words: [(&[u8], bool); 3] = [(b"OK", true), (b"NO", false), (b"BYE", false)];
    words.into_iter().find(|(name, _)| word.eq_ignore_ascii_case(name)).map(|(_, is_ok)| is_ok)
}
