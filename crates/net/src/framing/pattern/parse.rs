//! The grammar of Lua patterns (Lua manual, section 6.4.1), read as Lua reads it. Uses nothing of
//! ours.

/// Captures that Lua has room for.
const MOST_CAPTURES: usize = 32;

/// Single characters that a pattern has at most. It bounds what is compiled.
const MOST_ITEMS: usize = 1000;

/// A set of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Class([u64; 4]);

impl Class {
    fn of(is_in: impl Fn(u8) -> bool) -> Self {
        let mut class = Self::default();
        (0..=u8::MAX).filter(|byte| is_in(*byte)).for_each(|byte| class.add(byte));
        class
    }

    fn add(&mut self, byte: u8) {
        self.0[usize::from(byte >> 6)] |= 1 << (byte & 63);
    }

    fn join(&mut self, other: Self) {
        self.0.iter_mut().zip(other.0).for_each(|(word, more)| *word |= more);
    }

    fn inverted(self) -> Self {
        Self(self.0.map(|word| !word))
    }

    pub fn has(&self, byte: u8) -> bool {
        self.0[usize::from(byte >> 6)] >> (byte & 63) & 1 != 0
    }
}

/// How often a single character comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    Once,
    /// `?`
    Maybe,
    /// `*`
    Many,
    /// `-`
    Few,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    Single(Class, Times),
    Open,
    Close,
    /// `()`
    Position,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Parsed {
    pub is_anchored: bool,
    pub pieces: Vec<Piece>,
    /// It ends with `$`.
    pub is_to_end: bool,
}

impl Parsed {
    /// Of each capture, whether it is one of a position.
    pub fn positions(&self) -> Vec<bool> {
        let captures = self.pieces.iter().filter_map(|piece| match piece {
            Piece::Open => Some(false),
            Piece::Position => Some(true),
            _ => None,
        });
        captures.collect()
    }
}

/// What a pattern says; or what is wrong with it, in Lua's words where it has them.
pub fn parse(source: &[u8]) -> Result<Parsed, String> {
    let is_anchored = source.first() == Some(&b'^');
    let rest = &source[usize::from(is_anchored)..];
    let mut parser = Parser { rest, parsed: Parsed::default(), open: 0 };
    parser.parsed.is_anchored = is_anchored;
    while let Some(byte) = parser.next() {
        parser.piece(byte)?;
    }
    match parser.open {
        0 => Ok(parser.parsed),
        _ => Err("unfinished capture".into()),
    }
}

struct Parser<'a> {
    rest: &'a [u8],
    parsed: Parsed,
    /// Captures that are not closed yet.
    open: usize,
}

impl Parser<'_> {
    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn next_is(&mut self, byte: u8) -> bool {
        let is_next = self.rest.first() == Some(&byte);
        self.rest = &self.rest[usize::from(is_next)..];
        is_next
    }

    fn piece(&mut self, byte: u8) -> Result<(), String> {
        match byte {
            b'(' => self.capture()?,
            b')' => {
                self.open = self.open.checked_sub(1).ok_or("invalid pattern capture")?;
                self.parsed.pieces.push(Piece::Close);
            }
            b'$' if self.rest.is_empty() => self.parsed.is_to_end = true,
            b'%' => {
                let class = self.escape()?;
                self.single(class)?;
            }
            b'[' => {
                let class = self.set()?;
                self.single(class)?;
            }
            b'.' => self.single(Class::of(|_| true))?,
            _ => self.single(Class::of(|other| other == byte))?,
        }
        Ok(())
    }

    fn capture(&mut self) -> Result<(), String> {
        let count = self.parsed.positions().len();
        if count == MOST_CAPTURES {
            return Err("too many captures".into());
        }
        let is_position = self.next_is(b')');
        self.open += usize::from(!is_position);
        self.parsed.pieces.push(if is_position { Piece::Position } else { Piece::Open });
        Ok(())
    }

    fn escape(&mut self) -> Result<Class, String> {
        match self.next() {
            None => Err("malformed pattern (ends with '%')".into()),
            Some(byte @ (b'b' | b'f' | b'0'..=b'9')) => {
                Err(format!("'%{}' is not for read_match", char::from(byte)))
            }
            Some(byte) => Ok(class(byte)),
        }
    }

    /// What follows `[`. As in Lua, a `]` that comes first is itself, and where a range ends there
    /// is no escape.
    fn set(&mut self) -> Result<Class, String> {
        let is_inverted = self.next_is(b'^');
        let set = self.rest;
        let mut end = 0;
        loop {
            let missing = || "malformed pattern (missing ']')".to_owned();
            let byte = set.get(end).ok_or_else(missing)?;
            end += if *byte == b'%' { 2 } else { 1 };
            if *set.get(end).ok_or_else(missing)? == b']' {
                break;
            }
        }
        self.rest = &set[end + 1..];
        let class = members(&set[..end]);
        Ok(if is_inverted { class.inverted() } else { class })
    }

    /// A single character, with what says how often it comes.
    fn single(&mut self, class: Class) -> Result<(), String> {
        let pieces = &mut self.parsed.pieces;
        if pieces.len() >= MOST_ITEMS {
            return Err(format!("a pattern of over {MOST_ITEMS} items"));
        }
        let times = match self.rest.first() {
            Some(b'?') => Times::Maybe,
            Some(b'*') => Times::Many,
            Some(b'-') => Times::Few,
            Some(b'+') => {
                pieces.push(Piece::Single(class, Times::Once));
                Times::Many
            }
            _ => {
                pieces.push(Piece::Single(class, Times::Once));
                return Ok(());
            }
        };
        self.rest = &self.rest[1..];
        pieces.push(Piece::Single(class, times));
        Ok(())
    }
}

fn members(mut set: &[u8]) -> Class {
    let mut all = Class::default();
    loop {
        set = match set {
            [] => return all,
            [b'%', byte, rest @ ..] => {
                all.join(class(*byte));
                rest
            }
            [low, b'-', high, rest @ ..] => {
                (*low..=*high).for_each(|byte| all.add(byte));
                rest
            }
            [byte, rest @ ..] => {
                all.add(*byte);
                rest
            }
        };
    }
}

/// What `%` makes of a byte: a class in ASCII, or the byte itself.
fn class(byte: u8) -> Class {
    let class = match byte.to_ascii_lowercase() {
        b'a' => Class::of(|byte| byte.is_ascii_alphabetic()),
        b'c' => Class::of(|byte| byte.is_ascii_control()),
        b'd' => Class::of(|byte| byte.is_ascii_digit()),
        b'g' => Class::of(|byte| byte.is_ascii_graphic()),
        b'l' => Class::of(|byte| byte.is_ascii_lowercase()),
        b'p' => Class::of(|byte| byte.is_ascii_punctuation()),
        b's' => Class::of(|byte| matches!(byte, b' ' | b'\t'..=b'\r')),
        b'u' => Class::of(|byte| byte.is_ascii_uppercase()),
        b'w' => Class::of(|byte| byte.is_ascii_alphanumeric()),
        b'x' => Class::of(|byte| byte.is_ascii_hexdigit()),
        b'z' => Class::of(|byte| byte == 0),
        _ => return Class::of(|other| other == byte),
    };
    if byte.is_ascii_uppercase() { class.inverted() } else { class }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(pattern: &[u8]) -> Vec<u8> {
        match parse(pattern).expect("is a pattern").pieces[..] {
            [Piece::Single(class, Times::Once)] => {
                (0..=u8::MAX).filter(|byte| class.has(*byte)).collect()
            }
            ref pieces => panic!("{pieces:?}"),
        }
    }

    #[test]
    fn a_set_is_what_lua_makes_of_it() {
        assert_eq!(set(b"[]]"), b"]");
        assert_eq!(set(b"[%]a]"), b"]a");
        assert_eq!(set(b"[a-c]"), b"abc");
        assert_eq!(set(b"[a-]"), b"-a");
        assert_eq!(set(b"[-a]"), b"-a");
        assert_eq!(set(b"[#-%%d]"), b"#$%0123456789");
        assert_eq!(set(b"[%d-f]"), b"-0123456789f");
        assert_eq!(set(b"[^%z\x01-\xff]"), b"");
        assert_eq!(set(b"[]-a]"), b"]^_`a");
    }

    #[test]
    fn what_is_malformed_is_said_in_luas_words() {
        for (pattern, words) in [
            (&b"%"[..], "malformed pattern (ends with '%')"),
            (b"a%", "malformed pattern (ends with '%')"),
            (b"[", "malformed pattern (missing ']')"),
            (b"[]", "malformed pattern (missing ']')"),
            (b"[^]", "malformed pattern (missing ']')"),
            (b"[%]", "malformed pattern (missing ']')"),
            (b"[a%", "malformed pattern (missing ']')"),
            (b"(a", "unfinished capture"),
            (b"a)", "invalid pattern capture"),
            (b"%bxy", "'%b' is not for read_match"),
            (b"%f[a]", "'%f' is not for read_match"),
            (b"(a)%1", "'%1' is not for read_match"),
        ] {
            assert_eq!(parse(pattern).unwrap_err(), words, "{pattern:?}");
        }
        assert_eq!(parse(&b"()".repeat(33)).unwrap_err(), "too many captures");
        assert!(parse(&b"()".repeat(32)).is_ok());
        assert!(parse(&b"a".repeat(1000)).is_ok());
        assert!(parse(&b"a".repeat(1001)).is_err());
    }
}
