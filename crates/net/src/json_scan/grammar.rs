//! The grammar of JSON. It takes runs of bytes at a time where it can, and single bytes elsewhere.
//! It does not check UTF-8: in strings, it accepts any byte over 0x7F. Uses `escape`, `nest`,
//! `run`.

use super::escape::{self, Halt};
use super::invalid::Invalid;
use super::nest::{MAX_DEPTH, Nest};
use super::run;

#[derive(Clone, Copy, Debug, Default)]
pub struct Grammar {
    /// The number of bytes that are taken.
    pub(super) at: usize,
    pub(super) state: State,
    pub(super) nest: Nest,
    /// Whether the string being read names a member.
    name: bool,
}

/// What the grammar expects next.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum State {
    #[default]
    Value,
    ItemOrEnd,
    NameOrEnd,
    Name,
    Colon,
    CommaOrEnd,
    /// The rest of a string,
    Text,
    /// the rest of an escape, after its backslash,
    Escape,
    /// or the rest of a number, after this part of it.
    Number(Part),
    /// Nothing: the value is complete.
    Done,
}

/// The parts of a number, in their order.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Part {
    Minus,
    Zero,
    Integer,
    Point,
    Fraction,
    E,
    Sign,
    Exponent,
}

impl Grammar {
    pub fn starting_at(at: usize) -> Self {
        Self { at, ..Self::default() }
    }

    pub fn taken(&self) -> usize {
        self.at
    }

    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Takes bytes up to the end of the value, or to their own end.
    pub fn advance(&mut self, bytes: &[u8]) -> Result<(), Invalid> {
        let halt = loop {
            if let Err(halt) = self.take_some(bytes) {
                break halt;
            }
        };
        match halt {
            Halt::Short => Ok(()),
            Halt::Wrong { ahead, what } => Err(Invalid { at: self.at + ahead, what }),
        }
    }

    /// Returns the message for a text that ends here.
    pub fn unfinished(&self) -> &'static str {
        match self.state {
            State::Value | State::ItemOrEnd | State::Done => "unexpected end, expected a value",
            State::NameOrEnd | State::Name => "unexpected end, expected a member name",
            State::Colon => "unexpected end, expected ':'",
            State::CommaOrEnd if self.nest.in_object() => "unexpected end, expected ',' or '}'",
            State::CommaOrEnd => "unexpected end, expected ',' or ']'",
            State::Text | State::Escape => "unexpected end in a string",
            State::Number(_) => "unexpected end in a number",
        }
    }
}

/// The functions that take bytes. All are inlined into one loop, which is a third faster than with
/// calls.
impl Grammar {
    #[inline(always)]
    fn take_some(&mut self, bytes: &[u8]) -> Result<(), Halt> {
        match self.state {
            State::Value => self.value(bytes),
            State::ItemOrEnd if self.peek(bytes)? == b']' => self.close(bytes),
            State::ItemOrEnd => self.value(bytes),
            State::NameOrEnd if self.peek(bytes)? == b'}' => self.close(bytes),
            State::NameOrEnd | State::Name => self.name(bytes),
            State::Colon => self.colon(bytes),
            State::CommaOrEnd => self.comma_or_end(bytes),
            State::Text => self.text(bytes),
            State::Escape => self.escape(bytes),
            State::Number(part) => self.number(part, bytes),
            State::Done => Err(Halt::Short),
        }
    }

    #[inline(always)]
    fn value(&mut self, bytes: &[u8]) -> Result<(), Halt> {
        match self.peek(bytes)? {
            b'"' => self.string(false, bytes),
            b'[' => self.open(false),
            b'{' => self.open(true),
            b'-' => self.number_from(Part::Minus, bytes),
            b'0' => self.number_from(Part::Zero, bytes),
            b'1'..=b'9' => self.number_from(Part::Integer, bytes),
            b't' => self.word(b"true", "expected true", bytes),
            b'f' => self.word(b"false", "expected false", bytes),
            b'n' => self.word(b"null", "expected null", bytes),
            _ => self.space_or(bytes, "expected a value"),
        }
    }

    /// Ends a value. It also takes a comma right behind it, which saves an iteration.
    #[inline(always)]
    pub(super) fn end_value(&mut self, bytes: &[u8]) -> Result<(), Halt> {
        if self.nest.depth() == 0 {
            self.state = State::Done;
            return Ok(());
        }
        self.state = State::CommaOrEnd;
        if self.peek(bytes)? == b',' {
            self.take(self.after_comma());
        }
        Ok(())
    }

    fn after_comma(&self) -> State {
        if self.nest.in_object() { State::Name } else { State::Value }
    }

    #[inline(always)]
    fn open(&mut self, object: bool) -> Result<(), Halt> {
        if self.nest.depth() == MAX_DEPTH {
            return wrong("nested deeper than 128");
        }
        self.nest.open(object);
        self.take(if object { State::NameOrEnd } else { State::ItemOrEnd });
        Ok(())
    }

    #[inline(always)]
    fn close(&mut self, bytes: &[u8]) -> Result<(), Halt> {
        self.nest.close();
        self.at += 1;
        self.end_value(bytes)
    }

    #[inline(always)]
    fn comma_or_end(&mut self, bytes: &[u8]) -> Result<(), Halt> {
        match (self.peek(bytes)?, self.nest.in_object()) {
            (b',', _) => {
                self.take(self.after_comma());
                Ok(())
            }
            (b'}', true) | (b']', false) => self.close(bytes),
            (_, true) => self.space_or(bytes, "expected ',' or '}'"),
            (_, false) => self.space_or(bytes, "expected ',' or ']'"),
        }
    }

    #[inline(always)]
    fn name(&mut self, bytes: &[u8]) -> Result<(), Halt> {
        match self.peek(bytes)? {
            b'"' => self.string(true, bytes),
            _ => self.space_or(bytes, "expected a member name in double quotes"),
        }
    }

    #[inline(always)]
    fn colon(&mut self, bytes: &[u8]) -> Result<(), Halt> {
        if self.peek(bytes)? != b':' {
            return self.space_or(bytes, "expected ':'");
        }
        self.take(State::Value);
        Ok(())
    }

    #[inline(always)]
    fn space_or(&mut self, bytes: &[u8], expected: &'static str) -> Result<(), Halt> {
        let spaces = run::spaces(&bytes[self.at..]);
        self.at += spaces;
        if spaces == 0 { wrong(expected) } else { Ok(()) }
    }

    #[inline(always)]
    fn string(&mut self, name: bool, bytes: &[u8]) -> Result<(), Halt> {
        self.name = name;
        self.take(State::Text);
        self.text(bytes)
    }

    #[inline(always)]
    fn text(&mut self, bytes: &[u8]) -> Result<(), Halt> {
        loop {
            self.at += run::plain(&bytes[self.at..]);
            match self.peek(bytes)? {
                b'"' => return self.end_string(bytes),
                b'\\' => self.take(State::Escape),
                _ => return wrong("control character in a string"),
            }
            self.escape(bytes)?;
        }
    }

    #[inline(always)]
    fn end_string(&mut self, bytes: &[u8]) -> Result<(), Halt> {
        self.at += 1;
        if !self.name {
            return self.end_value(bytes);
        }
        self.state = State::Colon;
        self.colon(bytes)
    }

    /// Takes the rest of an escape, as a whole.
    #[inline(always)]
    fn escape(&mut self, bytes: &[u8]) -> Result<(), Halt> {
        self.at += escape::length(&bytes[self.at..])?;
        self.state = State::Text;
        Ok(())
    }

    /// Takes `true`, `false` or `null`, as a whole.
    #[inline(always)]
    fn word(&mut self, word: &[u8], expected: &'static str, bytes: &[u8]) -> Result<(), Halt> {
        let rest = &bytes[self.at..];
        if rest.starts_with(word) {
            self.at += word.len();
            return self.end_value(bytes);
        }
        match rest.iter().zip(word).position(|(byte, letter)| byte != letter) {
            Some(ahead) => Err(Halt::Wrong { ahead, what: expected }),
            None => Err(Halt::Short),
        }
    }

    #[inline(always)]
    pub(super) fn peek(&self, bytes: &[u8]) -> Result<u8, Halt> {
        bytes.get(self.at).copied().ok_or(Halt::Short)
    }

    #[inline(always)]
    pub(super) fn take(&mut self, next: State) {
        self.at += 1;
        self.state = next;
    }
}

#[inline(always)]
pub(super) fn wrong<T>(what: &'static str) -> Result<T, Halt> {
    Err(Halt::Wrong { ahead: 0, what })
}
