//! Where a value ends in a text that is all there: strict RFC 8259, as `grammar` is, but for UTF-8,
//! which the caller checks. Nothing is kept from call to call, so a text is passed half as fast
//! again as by `grammar`, or more. What is wrong with a text that is refused here, `fault` says.
//! Uses `escape`, `nest`, `run`.

use super::escape;
use super::nest::{MAX_DEPTH, Nest};
use super::run;

/// The text is no JSON, or nested too deep.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Refused;

type Passed<T = ()> = Result<T, Refused>;

/// A place in a text.
#[derive(Clone, Copy, Debug)]
pub struct Cursor<'a> {
    pub bytes: &'a [u8],
    pub at: usize,
}

impl Cursor<'_> {
    /// Passes white space, and gives the byte behind it, where the cursor then stands. At the end
    /// it gives 0, which begins no value.
    #[inline(always)]
    pub fn token(&mut self) -> u8 {
        if self.peek() <= b' ' {
            self.at += run::spaces(&self.bytes[self.at..]);
        }
        self.peek()
    }

    pub fn is_at_end(&self) -> bool {
        self.at == self.bytes.len()
    }

    /// Takes the bracket of a container that is the `depth`th. False: it has no members, and its
    /// end is taken, too.
    #[inline(always)]
    pub fn open(&mut self, depth: u32, end: u8) -> Passed<bool> {
        if depth > MAX_DEPTH {
            return Err(Refused);
        }
        self.at += 1;
        let is_empty = self.token() == end;
        self.at += usize::from(is_empty);
        Ok(!is_empty)
    }

    /// Takes the comma behind a member. False: it is the container's end, which is taken.
    #[inline(always)]
    pub fn comma(&mut self, end: u8) -> Passed<bool> {
        let token = self.token();
        if token != b',' && token != end {
            return Err(Refused);
        }
        self.at += 1;
        Ok(token == b',')
    }

    /// Passes a member's name and the colon.
    #[inline(always)]
    pub fn name(&mut self) -> Passed {
        if self.token() != b'"' {
            return Err(Refused);
        }
        self.string()?;
        if self.token() != b':' {
            return Err(Refused);
        }
        self.at += 1;
        Ok(())
    }

    /// Passes the next value, within `depth` containers. One loop for all containers: with a
    /// call for each, and slices for short runs, it was about half as fast.
    #[inline(never)]
    pub fn skip(&mut self, depth: u32) -> Passed {
        let mut nest = Nest::default();
        loop {
            match self.token() {
                open @ (b'{' | b'[') => {
                    let is_object = open == b'{';
                    let end = if is_object { b'}' } else { b']' };
                    if self.open(depth + nest.depth() + 1, end)? {
                        nest.open(is_object);
                        if is_object {
                            self.name()?;
                        }
                        continue;
                    }
                }
                token => self.scalar(token)?,
            }
            if self.ends(&mut nest)? {
                return Ok(());
            }
        }
    }

    /// Passes what follows a value, up to the next one. True: there is none.
    #[inline(always)]
    fn ends(&mut self, nest: &mut Nest) -> Passed<bool> {
        while nest.depth() > 0 {
            let is_object = nest.in_object();
            if self.comma(if is_object { b'}' } else { b']' })? {
                if is_object {
                    self.name()?;
                }
                return Ok(false);
            }
            nest.close();
        }
        Ok(true)
    }

    #[inline(always)]
    fn scalar(&mut self, token: u8) -> Passed {
        match token {
            b'"' => self.string(),
            b'-' | b'0'..=b'9' => self.number(),
            b't' => self.word(b"true"),
            b'f' => self.word(b"false"),
            b'n' => self.word(b"null"),
            _ => Err(Refused),
        }
    }

    #[inline(always)]
    fn string(&mut self) -> Passed {
        // Most strings end within so many words.
        const WORDS: usize = 4;
        self.at += 1;
        for _ in 0..WORDS {
            let Some(&word) = self.word_here() else { break };
            let plain = run::plain_in_word(word);
            self.at += plain;
            if plain < 8 {
                break;
            }
        }
        if self.peek() == b'"' {
            self.at += 1;
            return Ok(());
        }
        self.long_string()
    }

    /// The rest of a string.
    #[inline(never)]
    fn long_string(&mut self) -> Passed {
        loop {
            self.at += run::plain(&self.bytes[self.at..]);
            match self.peek() {
                b'"' => break,
                b'\\' => self.at += 1,
                _ => return Err(Refused),
            }
            self.at += escape::length(&self.bytes[self.at..]).map_err(|_| Refused)?;
        }
        self.at += 1;
        Ok(())
    }

    #[inline(always)]
    fn number(&mut self) -> Passed {
        self.at += usize::from(self.peek() == b'-');
        if self.peek() == b'0' {
            self.at += 1;
            if self.peek().is_ascii_digit() {
                return Err(Refused);
            }
        } else {
            self.integer()?;
        }
        if self.peek() == b'.' {
            self.at += 1;
            self.digits()?;
        }
        if let b'e' | b'E' = self.peek() {
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), b'+' | b'-'));
            self.digits()?;
        }
        Ok(())
    }

    /// One digit or more; most are but a few.
    #[inline(always)]
    fn integer(&mut self) -> Passed {
        for count in 0..3 {
            if !self.peek().is_ascii_digit() {
                return if count == 0 { Err(Refused) } else { Ok(()) };
            }
            self.at += 1;
        }
        if self.peek().is_ascii_digit() { self.digits() } else { Ok(()) }
    }

    /// One digit or more.
    #[inline(always)]
    fn digits(&mut self) -> Passed {
        let start = self.at;
        loop {
            let Some(&word) = self.word_here() else {
                self.at += run::digits(&self.bytes[self.at..]);
                break;
            };
            let count = run::digits_in_word(word);
            self.at += count;
            if count < 8 {
                break;
            }
        }
        if self.at == start { Err(Refused) } else { Ok(()) }
    }

    #[inline(always)]
    fn word(&mut self, word: &[u8]) -> Passed {
        if !self.bytes[self.at..].starts_with(word) {
            return Err(Refused);
        }
        self.at += word.len();
        Ok(())
    }

    /// The next eight bytes, if there are so many.
    #[inline(always)]
    fn word_here(&self) -> Option<&[u8; 8]> {
        self.bytes.get(self.at..)?.first_chunk()
    }

    /// The next byte; 0 at the end, which no value has where this looks.
    #[inline(always)]
    fn peek(&self) -> u8 {
        self.bytes.get(self.at).copied().unwrap_or_default()
    }
}
