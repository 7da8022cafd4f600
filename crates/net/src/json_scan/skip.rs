//! Where a value ends in a text that is all there: strict RFC 8259, as `grammar` is, but for UTF-8,
//! which the caller checks. Nothing is remembered and no state is kept, so that a text is passed at
//! twice the speed of `grammar`. What is wrong with a text that is refused here, `fault` says. Uses
//! `escape`, `nest`, `run`.

use super::escape;
use super::nest::MAX_DEPTH;
use super::run;

/// The text is no JSON from here on, or nested too deep.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Refused;

type Passed = Result<(), Refused>;

/// A place in a text.
#[derive(Clone, Copy, Debug)]
pub struct Cursor<'a> {
    pub bytes: &'a [u8],
    pub at: usize,
}

impl Cursor<'_> {
    /// The first byte that is not white space; the cursor then stands on it.
    #[inline(always)]
    pub fn token(&mut self) -> Option<u8> {
        if let Some(b' ' | b'\n' | b'\t' | b'\r') = self.peek() {
            self.at += run::spaces(&self.bytes[self.at..]);
        }
        self.peek()
    }

    /// Takes this token, if it is the next.
    #[inline(always)]
    pub fn take(&mut self, token: u8) -> bool {
        let is_next = self.token() == Some(token);
        self.at += usize::from(is_next);
        is_next
    }

    /// Passes the next value, within `depth` containers.
    #[inline(always)]
    pub fn skip(&mut self, depth: u32) -> Passed {
        match self.token() {
            Some(b'"') => self.string(),
            Some(b'{') => self.object(depth + 1),
            Some(b'[') => self.array(depth + 1),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word(b"true"),
            Some(b'f') => self.word(b"false"),
            Some(b'n') => self.word(b"null"),
            _ => Err(Refused),
        }
    }

    /// Takes the bracket of a container that is the `depth`th. False: it has no members, and its
    /// end is taken, too.
    #[inline(always)]
    pub fn open(&mut self, depth: u32, end: u8) -> Result<bool, Refused> {
        if depth > MAX_DEPTH {
            return Err(Refused);
        }
        self.at += 1;
        Ok(!self.take(end))
    }

    /// Takes the comma behind a member. False: it is the container's end, which is taken.
    #[inline(always)]
    pub fn comma(&mut self, end: u8) -> Result<bool, Refused> {
        match self.token() {
            Some(b',') => self.at += 1,
            Some(byte) if byte == end => {
                self.at += 1;
                return Ok(false);
            }
            _ => return Err(Refused),
        }
        Ok(true)
    }

    /// Passes a member's name and the colon.
    #[inline(always)]
    pub fn name(&mut self) -> Passed {
        if self.token() != Some(b'"') {
            return Err(Refused);
        }
        self.string()?;
        if self.take(b':') { Ok(()) } else { Err(Refused) }
    }

    #[inline(never)]
    fn object(&mut self, depth: u32) -> Passed {
        let mut is_member = self.open(depth, b'}')?;
        while is_member {
            self.name()?;
            self.skip(depth)?;
            is_member = self.comma(b'}')?;
        }
        Ok(())
    }

    #[inline(never)]
    fn array(&mut self, depth: u32) -> Passed {
        let mut is_member = self.open(depth, b']')?;
        while is_member {
            self.skip(depth)?;
            is_member = self.comma(b']')?;
        }
        Ok(())
    }

    /// Passes the string that begins here.
    #[inline(always)]
    pub fn string(&mut self) -> Passed {
        self.at += 1;
        self.at += run::plain(&self.bytes[self.at..]);
        match self.peek() {
            Some(b'"') => {
                self.at += 1;
                Ok(())
            }
            _ => self.escaped_string(),
        }
    }

    /// The rest of a string, from its first escape on.
    #[inline(never)]
    fn escaped_string(&mut self) -> Passed {
        while self.peek() == Some(b'\\') {
            self.at += 1;
            self.at += escape::length(&self.bytes[self.at..]).map_err(|_| Refused)?;
            self.at += run::plain(&self.bytes[self.at..]);
        }
        if self.peek() != Some(b'"') {
            return Err(Refused);
        }
        self.at += 1;
        Ok(())
    }

    #[inline(always)]
    fn number(&mut self) -> Passed {
        self.at += usize::from(self.peek() == Some(b'-'));
        match self.peek() {
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        match self.peek() {
            Some(b'.' | b'e' | b'E' | b'0'..=b'9') => self.fraction(),
            _ => Ok(()),
        }
    }

    /// A number from its fraction or exponent on.
    #[inline(always)]
    fn fraction(&mut self) -> Passed {
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), Some(b'+' | b'-')));
            self.digits()?;
        }
        // A digit is left behind a leading zero.
        if self.peek().is_some_and(|byte| byte.is_ascii_digit()) { Err(Refused) } else { Ok(()) }
    }

    /// One digit or more.
    #[inline(always)]
    fn digits(&mut self) -> Passed {
        let count = run::digits(&self.bytes[self.at..]);
        self.at += count;
        if count == 0 { Err(Refused) } else { Ok(()) }
    }

    #[inline(always)]
    fn word(&mut self, word: &[u8]) -> Passed {
        if !self.bytes[self.at..].starts_with(word) {
            return Err(Refused);
        }
        self.at += word.len();
        Ok(())
    }

    #[inline(always)]
    pub fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }
}
