//! Finds where one JSON value ends in a buffer that is still growing.
//!
//! Promises: strict RFC 8259, judged as the bytes come: the first byte that cannot be JSON is
//! refused at once, wherever the input happened to be cut. A value is found with its last byte, and
//! nothing behind it is judged. Each byte is looked at once however many steps it takes, and the
//! memory used is this struct. What is accepted here parses, save for numbers out of range.
//!
//! Pure: bytes in, decision out. May use simdutf8, nothing of ours.

use std::ops::Range;

use simdutf8::compat::from_utf8;

/// Deepest nesting accepted; anything deeper is more likely an attack or a cycle than data.
pub const MAX_DEPTH: u32 = 128;

/// The scan of one value at the front of a buffer. It remembers offsets, so it goes with that
/// buffer: when bytes leave the front, a new scan begins.
#[derive(Debug, Default)]
pub struct Scan {
    grammar: Grammar,
    /// Where the value begins, once it has begun.
    start: Option<usize>,
    /// All before this is known to be UTF-8.
    checked: usize,
}

/// What a step came to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Found {
    /// The value's text is this range of the buffer, without the white space before it.
    Value(Range<usize>),
    /// More bytes are needed; the next step gets the same buffer, longer.
    Incomplete,
    /// Nothing but white space so far: a stream that ends here ends cleanly.
    Nothing,
}

/// The buffer cannot begin with a JSON value.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Invalid {
    /// Offset of the first byte that cannot be; the buffer's length where the end cannot be.
    pub at: usize,
    /// What is wrong, in words.
    pub what: &'static str,
}

impl Scan {
    /// Looks at what is new. `filled` is all of the buffer from its front, what was seen before
    /// included; `end` says that no more will come.
    ///
    /// A step after a value or an error gives the same again.
    pub fn step(&mut self, filled: &[u8], end: bool) -> Result<Found, Invalid> {
        self.skip_leading_space(filled);
        let Some(start) = self.start else { return Ok(Found::Nothing) };
        // A local copy lives in registers: 1.5 times as fast.
        let mut grammar = self.grammar;
        let result = grammar.run(filled);
        self.grammar = grammar;
        self.check_utf8(filled)?;
        result?;
        if end {
            self.grammar.end_number()?;
        }
        Ok(match self.grammar.state {
            State::Done => Found::Value(start..self.grammar.at),
            _ => Found::Incomplete,
        })
    }

    fn skip_leading_space(&mut self, filled: &[u8]) {
        if self.start.is_none() {
            let at = self.checked + space_run(&filled[self.checked..]);
            self.grammar.at = at;
            self.checked = at;
            self.start = (at < filled.len()).then_some(at);
        }
    }

    /// Checks all that the grammar took; a fault here lies before one it found.
    fn check_utf8(&mut self, filled: &[u8]) -> Result<(), Invalid> {
        let taken = &filled[self.checked..self.grammar.at];
        let Err(error) = from_utf8(taken) else {
            self.checked = self.grammar.at;
            return Ok(());
        };
        self.checked += error.valid_up_to();
        // Without a length, the rest of the character may be still to come.
        let Some(sound) = error.error_len() else { return Ok(()) };
        let lead = filled[self.checked];
        let sound = if matches!(lead, 0xc2..=0xf4) { sound } else { 0 };
        Err(Invalid { at: self.checked + sound, what: "invalid UTF-8" })
    }
}

/// The grammar but for UTF-8: bytes over 0x7f in strings pass.
#[derive(Clone, Copy, Debug, Default)]
struct Grammar {
    /// All before this has been taken.
    at: usize,
    state: State,
    nest: Nest,
    /// Whether the string being read names a member.
    name: bool,
}

/// What comes next.
#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Value,
    ItemOrEnd,
    NameOrEnd,
    Name,
    Colon,
    CommaOrEnd,
    /// More of a string,
    Text,
    /// what follows a backslash in it,
    Escape,
    /// or more of a number, after this part of it.
    Number(Part),
    /// Nothing: the value is complete.
    Done,
}

/// The parts of a number in their order.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Part {
    Minus,
    Zero,
    Integer,
    Point,
    Fraction,
    E,
    Sign,
    Exponent,
}

/// Why bytes are no longer taken.
enum Halt {
    /// The next ones, if any, cannot be judged without those behind them.
    Short,
    Invalid(Invalid),
}

type Taken = Result<(), Halt>;

impl Grammar {
    /// Takes what is there, up to the end of the value.
    fn run(&mut self, bytes: &[u8]) -> Result<(), Invalid> {
        loop {
            match self.step(bytes) {
                Ok(()) => {}
                Err(Halt::Short) => return Ok(()),
                Err(Halt::Invalid(invalid)) => return Err(invalid),
            }
        }
    }

    #[inline(always)]
    fn step(&mut self, bytes: &[u8]) -> Taken {
        match self.state {
            State::Value => self.value(bytes),
            State::ItemOrEnd => match self.peek(bytes)? {
                b']' => self.close(bytes),
                _ => self.value(bytes),
            },
            State::NameOrEnd => match self.peek(bytes)? {
                b'}' => self.close(bytes),
                _ => self.name(bytes, "expected a string or `}`"),
            }
            State::Name => self.name(bytes, "expected a string"),
            State::Colon => match self.peek(bytes)? {
                b':' => self.take(State::Value),
                _ => self.space_or(bytes, "expected `:`"),
            }
            State::CommaOrEnd => self.comma_or_end(bytes),
            State::Text => self.text(bytes),
            State::Escape => self.escape(bytes),
            State::Number(part) => self.number(part, bytes),
            State::Done => Err(Halt::Short),
        }
    }

    #[inline(always)]
    fn space_or(&mut self, bytes: &[u8], expected: &'static str) -> Taken {
        match space_run(&bytes[self.at..]) {
            0 => self.refuse(expected),
            run => { self.at += run; Ok(()) }
        }
    }

    #[inline(always)]
    fn value(&mut self, bytes: &[u8]) -> Taken {
        match self.peek(bytes)? {
            b'"' => {
                self.name = false;
                self.take(State::Text)?;
                self.text(bytes)
            }
            b'[' => self.open(false),
            b'{' => self.open(true),
            b'-' => self.begin_number(Part::Minus, bytes),
            b'0' => self.begin_number(Part::Zero, bytes),
            b'1'..=b'9' => self.begin_number(Part::Integer, bytes),
            b't' => self.word(b"true", "expected `true`", bytes),
            b'f' => self.word(b"false", "expected `false`", bytes),
            b'n' => self.word(b"null", "expected `null`", bytes),
            _ => self.space_or(bytes, "expected a value"),
        }
    }

    #[inline(always)]
    fn begin_number(&mut self, part: Part, bytes: &[u8]) -> Taken {
        self.take(State::Number(part))?;
        self.number(part, bytes)
    }

    #[inline(always)]
    fn name(&mut self, bytes: &[u8], expected: &'static str) -> Taken {
        if self.peek(bytes)? != b'"' {
            return self.space_or(bytes, expected);
        }
        self.name = true;
        self.take(State::Text)?;
        self.text(bytes)
    }

    #[inline(always)]
    fn open(&mut self, object: bool) -> Taken {
        if self.nest.depth == MAX_DEPTH {
            return self.refuse("nested too deeply");
        }
        self.nest.open(object);
        self.take(if object { State::NameOrEnd } else { State::ItemOrEnd })
    }

    #[inline(always)]
    fn close(&mut self, bytes: &[u8]) -> Taken {
        self.nest.close();
        self.at += 1;
        self.end_value(bytes)
    }

    #[inline(always)]
    fn end_value(&mut self, bytes: &[u8]) -> Taken {
        if self.nest.depth == 0 {
            self.state = State::Done;
        } else if bytes.get(self.at) == Some(&b',') {
            self.take(self.nest.after_comma())?;
        } else {
            self.state = State::CommaOrEnd;
        }
        Ok(())
    }

    #[inline(always)]
    fn comma_or_end(&mut self, bytes: &[u8]) -> Taken {
        match (self.peek(bytes)?, self.nest.in_object()) {
            (b',', _) => self.take(self.nest.after_comma()),
            (b'}', true) | (b']', false) => self.close(bytes),
            (_, true) => self.space_or(bytes, "expected `,` or `}`"),
            (_, false) => self.space_or(bytes, "expected `,` or `]`"),
        }
    }

    #[inline(always)]
    fn text(&mut self, bytes: &[u8]) -> Taken {
      loop {
        self.at += plain_run(&bytes[self.at..]);
        match self.peek(bytes)? {
            b'"' if self.name => {
                self.take(State::Colon)?;
                if self.peek(bytes)? == b':' {
                    self.take(State::Value)?;
                }
                return Ok(())
            }
            b'"' => { self.at += 1; return self.end_value(bytes) }
            b'\\' => { self.take(State::Escape)?; self.escape(bytes)? }
            _ => return self.refuse("control character in a string"),
        }
      }
    }

    /// Takes the rest of an escape as a whole.
    #[inline(always)]
    fn escape(&mut self, bytes: &[u8]) -> Taken {
        match &bytes[self.at..] {
            [b'u', b'd' | b'D', b'8' | b'9' | b'a' | b'b' | b'A' | b'B', ..] => self.escape_as(PAIR, bytes),
            [b'u', b'd' | b'D', ..] => self.escape_as([U, D, TO_7, HEX, HEX], bytes),
            [b'u', ..] => self.escape_as([U, HEX, HEX, HEX, HEX], bytes),
            _ => self.escape_as([ESCAPED], bytes),
        }
    }

    #[inline(always)]
    fn escape_as<const N: usize>(&mut self, kinds: [u8; N], bytes: &[u8]) -> Taken {
        let rest = &bytes[self.at..];
        let fits = |head: &[u8; N]| kinds.iter().zip(head).all(|(&kind, &byte)| is(kind, byte));
        if rest.first_chunk().is_some_and(fits) {
            self.at += N;
            self.state = State::Text;
            return Ok(());
        }
        let fit = kinds.iter().zip(rest).take_while(|&(&kind, &byte)| is(kind, byte)).count();
        if fit == rest.len() {
            return Err(Halt::Short);
        }
        let surrogate = matches!(kinds[fit], TO_7 | BACKSLASH | D | C_TO_F);
        let what = if surrogate { "lone surrogate" } else { "invalid escape" };
        Err(Halt::Invalid(Invalid { at: self.at + fit, what }))
    }

    /// Takes the word as a whole.
    #[inline(always)]
    fn word(&mut self, word: &[u8], expected: &'static str, bytes: &[u8]) -> Taken {
        let rest = &bytes[self.at..];
        if rest.starts_with(word) {
            self.at += word.len();
            return self.end_value(bytes);
        }
        let fit = word.iter().zip(rest).take_while(|(letter, byte)| letter == byte).count();
        if fit == rest.len() {
            return Err(Halt::Short);
        }
        Err(Halt::Invalid(Invalid { at: self.at + fit, what: expected }))
    }

    /// Leaves the byte that ends the number where it is.
    #[inline(always)]
    fn number(&mut self, mut part: Part, bytes: &[u8]) -> Taken {
        use Part::*;
        if part == Minus {
            part = match self.peek(bytes)? {
                b'0' => Zero,
                b'1'..=b'9' => Integer,
                _ => return self.refuse("expected a digit"),
            };
            self.take(State::Number(part))?;
        }
        if part == Integer {
            self.at += digit_run(&bytes[self.at..]);
        }
        if let Zero | Integer = part {
            match self.peek(bytes)? {
                b'.' => { part = Point; self.take(State::Number(part))?; }
                b'0'..=b'9' => return self.refuse("leading zero"),
                _ => {}
            }
        }
        if part == Point {
            match self.peek(bytes)? {
                b'0'..=b'9' => { part = Fraction; self.take(State::Number(part))?; }
                _ => return self.refuse("expected a digit"),
            }
        }
        if part == Fraction {
            self.at += digit_run(&bytes[self.at..]);
        }
        if let Zero | Integer | Fraction = part {
            match self.peek(bytes)? {
                b'e' | b'E' => { part = E; self.take(State::Number(part))?; }
                _ => {}
            }
        }
        if part == E {
            match self.peek(bytes)? {
                b'+' | b'-' => { part = Sign; self.take(State::Number(part))?; }
                _ => {}
            }
        }
        if let E | Sign = part {
            match self.peek(bytes)? {
                b'0'..=b'9' => { part = Exponent; self.take(State::Number(part))?; }
                _ => return self.refuse("expected a digit"),
            }
        }
        if part == Exponent {
            self.at += digit_run(&bytes[self.at..]);
            self.peek(bytes)?;
        }
        self.end_value(bytes)
    }

    /// A number that stands alone has no last byte of its own: the end of the input ends it.
    fn end_number(&mut self) -> Result<(), Invalid> {
        match self.state {
            State::Number(part) if self.nest.depth == 0 => match part {
                Part::Zero | Part::Integer | Part::Fraction | Part::Exponent => {
                    self.state = State::Done;
                    Ok(())
                }
                _ => Err(Invalid { at: self.at, what: "expected a digit" }),
            }
            _ => Ok(()),
        }
    }

    #[inline(always)]
    fn peek(&self, bytes: &[u8]) -> Result<u8, Halt> {
        bytes.get(self.at).copied().ok_or(Halt::Short)
    }

    #[inline(always)]
    fn take(&mut self, next: State) -> Taken {
        self.at += 1;
        self.state = next;
        Ok(())
    }

    #[inline(always)]
    fn refuse(&self, what: &'static str) -> Taken {
        Err(Halt::Invalid(Invalid { at: self.at, what }))
    }
}

/// The arrays and objects around the current place, as bits: the innermost lowest, 1 an object.
#[derive(Clone, Copy, Debug, Default)]
struct Nest {
    objects: u128,
    depth: u32,
}

const _: () = assert!(MAX_DEPTH <= u128::BITS);

impl Nest {
    fn open(&mut self, object: bool) {
        self.objects = self.objects << 1 | u128::from(object);
        self.depth += 1;
    }

    fn close(&mut self) {
        self.objects >>= 1;
        self.depth -= 1;
    }

    fn in_object(&self) -> bool {
        self.objects & 1 == 1
    }

    fn after_comma(&self) -> State {
        if self.in_object() { State::Name } else { State::Value }
    }
}

const SPACE: u8 = 1;
const ESCAPED: u8 = 1 << 1;
const U: u8 = 1 << 2;
const HEX: u8 = 1 << 3;
const D: u8 = 1 << 4;
const TO_7: u8 = 1 << 5;
const C_TO_F: u8 = 1 << 6;
const BACKSLASH: u8 = 1 << 7;

/// What follows the backslash of `\ud800\udc00`.
const PAIR: [u8; 11] = [U, D, HEX, HEX, HEX, BACKSLASH, U, D, C_TO_F, HEX, HEX];

/// The kinds each byte is of.
static KINDS: [u8; 256] = {
    let sets: [(u8, &[u8]); 8] = [
        (SPACE, b" \t\n\r"),
        (ESCAPED, b"\"\\/bfnrtu"),
        (U, b"u"),
        (HEX, b"0123456789abcdefABCDEF"),
        (D, b"dD"),
        (TO_7, b"01234567"),
        (C_TO_F, b"cdefCDEF"),
        (BACKSLASH, b"\\"),
    ];
    let mut kinds = [0; 256];
    let mut s = 0;
    while s < sets.len() {
        let (kind, bytes) = sets[s];
        let mut b = 0;
        while b < bytes.len() {
            kinds[bytes[b] as usize] |= kind;
            b += 1;
        }
        s += 1;
    }
    kinds
};

#[inline(always)]
fn is(kind: u8, byte: u8) -> bool {
    KINDS[usize::from(byte)] & kind != 0
}

#[inline(always)]
fn space_run(bytes: &[u8]) -> usize {
    let mut at = 0;
    while bytes.get(at).is_some_and(|&byte| is(SPACE, byte)) {
        at += 1;
        if bytes.get(at) == Some(&b' ') {
            at += run(&bytes[at..], |word| word ^ (EACH * b' ' as u64));
        }
    }
    at
}

const EACH: u64 = u64::from_le_bytes([1; 8]);
const HIGH: u64 = EACH << 7;

/// How many bytes stand before the first one that `stops` marks, by a bit in it. A zero stops.
#[inline(always)]
fn run(bytes: &[u8], stops: impl Fn(u64) -> u64) -> usize {
    let (words, rest) = bytes.as_chunks::<8>();
    for (i, &word) in words.iter().enumerate() {
        let stop = stops(u64::from_le_bytes(word));
        if stop != 0 {
            return i * 8 + stop.trailing_zeros() as usize / 8;
        }
    }
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    words.len() * 8 + stops(u64::from_le_bytes(last)).trailing_zeros() as usize / 8
}

#[inline(always)]
fn digit_run(bytes: &[u8]) -> usize {
    run(bytes, |word| {
        let value = word ^ (EACH * b'0' as u64);
        (((value & !HIGH) + EACH * (0x7f - 9)) | value) & HIGH
    })
}

/// How many bytes stand before the first quote, backslash or control character.
#[inline(always)]
fn plain_run(bytes: &[u8]) -> usize {
    let (words, _) = bytes.as_chunks::<8>();
    let mut at = 0;
    for &word in words.iter().take(4) {
        let stop = special_bytes(u64::from_le_bytes(word));
        if stop != 0 {
            return at + stop.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    at + long_plain_run(&bytes[at..])
}
#[inline(never)]
fn long_plain_run(bytes: &[u8]) -> usize {
    let (blocks, _) = bytes.as_chunks::<64>();
    let plain = blocks.iter().take_while(|block| !block.iter().fold(false, |any, &byte| any | (byte < 0x20) | (byte == b'"') | (byte == b'\\'))).count() * 64;
    plain + run(&bytes[plain..], special_bytes)
}

/// Sets the high bit of each byte that is special; only the lowest of them is to be trusted, as
/// the borrow of a subtraction may touch those above.
#[inline(always)]
fn special_bytes(word: u64) -> u64 {
    let quote = word ^ (EACH * b'"' as u64);
    let backslash = word ^ (EACH * b'\\' as u64);
    let control = word.wrapping_sub(EACH * 0x20) & !word;
    let quote = quote.wrapping_sub(EACH) & !quote;
    let backslash = backslash.wrapping_sub(EACH) & !backslash;
    (control | quote | backslash) & HIGH
}
