//! JSON Pointers (RFC 6901), and the list of those that a call asks for. Pure: no Lua. May call:
//! `net::memory`.

use std::cmp::Ordering;
use std::ops::Range;

use net::error::Result;
use net::memory::{append, reserve};

/// What one call looks for.
#[derive(Default)]
pub struct Wanted {
    /// In the order of `compare`, so that those which begin alike stand together.
    pointers: Vec<Pointer>,
    /// Whether they came as a list.
    pub is_list: bool,
}

/// One pointer: its reference tokens with their escapes undone, one behind the other.
#[derive(Default)]
struct Pointer {
    text: Vec<u8>,
    ends: Vec<usize>,
    /// Its number in the list.
    slot: usize,
}

/// Why a text is no pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    Front,
    Escape,
}

impl Malformed {
    pub fn words(self) -> &'static str {
        match self {
            Self::Front => "a JSON Pointer is empty or begins with '/'",
            Self::Escape => "in a JSON Pointer '~' stands before 0 or 1",
        }
    }
}

impl Wanted {
    /// Adds one more pointer.
    pub fn add(&mut self, text: &str) -> Result<std::result::Result<(), Malformed>> {
        let mut pointer = Pointer { slot: self.pointers.len(), ..Pointer::default() };
        if let Err(malformed) = pointer.read(text)? {
            return Ok(Err(malformed));
        }
        reserve(&mut self.pointers, 1)?;
        self.pointers.push(pointer);
        Ok(Ok(()))
    }

    /// Sorts the pointers, once all have been added.
    pub fn sorted(mut self) -> Self {
        self.pointers.sort_unstable_by(Pointer::compare);
        self
    }

    /// Counts the pointers.
    pub fn count(&self) -> usize {
        self.pointers.len()
    }

    pub fn slot(&self, number: usize) -> usize {
        self.pointers[number].slot
    }

    /// Of pointers with the same first `depth` tokens, returns those that have no more.
    pub fn ending(&self, among: Range<usize>, depth: usize) -> Range<usize> {
        let has_ended = |pointer: &Pointer| pointer.ends.len() == depth;
        let count = self.pointers[among.clone()].iter().take_while(|each| has_ended(each)).count();
        among.start..among.start + count
    }

    /// Of pointers with the same first `depth` tokens, returns those that go on with this name.
    pub fn with_name(&self, among: Range<usize>, depth: usize, name: &[u8]) -> Range<usize> {
        let pointers = &self.pointers[among.clone()];
        let start = pointers.partition_point(|each| each.order(depth, name).is_lt());
        let is_same = |each: &Pointer| each.order(depth, name).is_eq();
        let count = pointers[start..].partition_point(is_same);
        among.start + start..among.start + start + count
    }

    /// Of pointers with the same first `depth` tokens, returns those with the smallest array index,
    /// and that index.
    pub fn with_index(&self, among: Range<usize>, depth: usize) -> Option<(usize, Range<usize>)> {
        let index_of = |number: &usize| self.pointers[*number].index(depth);
        let start = among.clone().find(|number| index_of(number).is_some())?;
        let index = self.pointers[start].index(depth)?;
        let count = (start..among.end).take_while(|each| index_of(each) == Some(index)).count();
        Some((index, start..start + count))
    }
}

impl Pointer {
    fn read(&mut self, text: &str) -> Result<std::result::Result<(), Malformed>> {
        let mut tokens = text.split('/');
        if tokens.next() != Some("") {
            return Ok(Err(Malformed::Front));
        }
        for token in tokens {
            let mut parts = token.split('~');
            append(&mut self.text, parts.next().unwrap_or_default().as_bytes())?;
            for part in parts {
                let (byte, rest) = match part.as_bytes() {
                    [b'0', rest @ ..] => (b"~", rest),
                    [b'1', rest @ ..] => (b"/", rest),
                    _ => return Ok(Err(Malformed::Escape)),
                };
                append(&mut self.text, byte)?;
                append(&mut self.text, rest)?;
            }
            reserve(&mut self.ends, 1)?;
            self.ends.push(self.text.len());
        }
        Ok(Ok(()))
    }

    /// The token behind `depth` others.
    fn token(&self, depth: usize) -> Option<&[u8]> {
        let end = *self.ends.get(depth)?;
        let start = if depth == 0 { 0 } else { self.ends[depth - 1] };
        Some(&self.text[start..end])
    }

    /// The token as an array's index: digits without a leading zero.
    fn index(&self, depth: usize) -> Option<usize> {
        match self.token(depth)? {
            b"0" => Some(0),
            digits @ [b'1'..=b'9', rest @ ..] if rest.iter().all(u8::is_ascii_digit) => {
                str::from_utf8(digits).ok()?.parse().ok()
            }
            _ => None,
        }
    }

    /// Compares the token with a name. A pointer without such a token comes first.
    fn order(&self, depth: usize, name: &[u8]) -> Ordering {
        self.token(depth).map_or(Ordering::Less, |token| shorter_first(token, name))
    }

    /// Compares token by token. The pointer with fewer tokens comes first.
    fn compare(&self, other: &Self) -> Ordering {
        let depths = 0..self.ends.len().min(other.ends.len());
        let mut orders = depths.map(|depth| {
            shorter_first(
                self.token(depth).unwrap_or_default(),
                other.token(depth).unwrap_or_default(),
            )
        });
        let first = orders.find(|order| order.is_ne());
        first.unwrap_or_else(|| self.ends.len().cmp(&other.ends.len()))
    }
}

/// Compares lengths first: so indexes are in the order of numbers.
fn shorter_first(one: &[u8], other: &[u8]) -> Ordering {
    one.len().cmp(&other.len()).then_with(|| one.cmp(other))
}
