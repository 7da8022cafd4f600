//! JSON text for people and for signatures: a tape, written by serde_json's serializer. Pure: tape
//! in, text out. May call: `parse`'s failure, `tape`, serde, serde_json.

use std::cell::Cell;
use std::collections::TryReserveError;
use std::io;

use serde::ser::{Error, Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::ser::{CharEscape, CompactFormatter, Formatter, PrettyFormatter};

use super::parse::Failure;
use super::tape::{Entry, Tape};

/// How a text is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// Spaces for each level, with each member on a line of its own.
    pub indent: Option<usize>,
    /// Names in the order of their bytes.
    pub sort_keys: bool,
    /// Escapes for all that is not ASCII.
    pub ascii: bool,
}

/// Spaces that a level may be indented by.
pub const MAX_INDENT: usize = 16;

/// Writes what `tape` holds for `text`.
pub fn lay_out(text: &[u8], tape: &Tape, layout: Layout) -> Result<Vec<u8>, Failure> {
    let mut out = Output::default();
    let source = Source { text, tape, sort_keys: layout.sort_keys, next: Cell::new(0) };
    let written = match layout.indent {
        Some(width) => {
            let spaces = &[b' '; MAX_INDENT][..width.min(MAX_INDENT)];
            source.write(&mut out, layout.ascii, PrettyFormatter::with_indent(spaces))
        }
        None => source.write(&mut out, layout.ascii, CompactFormatter),
    };
    // All that can fail is to get memory.
    written.map(|()| out.text).map_err(|_| Failure::Memory)
}

struct Source<'a> {
    text: &'a [u8],
    tape: &'a Tape,
    sort_keys: bool,
    /// The entry that is serialized next.
    next: Cell<usize>,
}

impl Source<'_> {
    fn write(
        &self,
        out: &mut Output,
        ascii: bool,
        inner: impl Formatter,
    ) -> serde_json::Result<()> {
        let formatter = Escaping { ascii, inner };
        self.serialize(&mut serde_json::Serializer::with_formatter(out, formatter))
    }

    fn take(&self) -> Entry {
        let at = self.next.replace(self.next.get() + 1);
        self.tape.entries.get(at).copied().unwrap_or(Entry::Null)
    }

    fn string(&self, entry: Entry) -> &str {
        let (bytes, len, at) = match entry {
            Entry::Text { len, at } => (self.text, len, at),
            Entry::Unescaped { len, at } => (&self.tape.arena[..], len, at),
            _ => return "",
        };
        // The text was checked as a whole; this fails for no part of it.
        let part = bytes.get(at..at + len as usize).unwrap_or_default();
        simdutf8::basic::from_utf8(part).unwrap_or_default()
    }

    fn name(&self) -> &str {
        self.string(self.take())
    }

    /// Passes one value.
    fn pass(&self) {
        let mut left = 1;
        while left > 0 {
            left -= 1;
            left += match self.take() {
                Entry::Array { len } => len as usize,
                // A name counts as a value.
                Entry::Object { len } => 2 * len as usize,
                _ => 0,
            };
        }
    }

    fn array<S: Serializer>(&self, len: usize, to: S) -> Result<S::Ok, S::Error> {
        let mut sequence = to.serialize_seq(Some(len))?;
        for _ in 0..len {
            sequence.serialize_element(self)?;
        }
        sequence.end()
    }

    fn object<S: Serializer>(&self, len: usize, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(len))?;
        if self.sort_keys {
            let members = self.sorted(len).map_err(S::Error::custom)?;
            let end = self.next.get();
            for (name, value) in members {
                self.next.set(value);
                map.serialize_entry(name, self)?;
            }
            self.next.set(end);
        } else {
            for _ in 0..len {
                map.serialize_entry(self.name(), self)?;
            }
        }
        map.end()
    }

    /// The members of an object by name, each with the entry of its value.
    fn sorted(&self, len: usize) -> Result<Vec<(&str, usize)>, TryReserveError> {
        let mut members = Vec::new();
        members.try_reserve_exact(len)?;
        for _ in 0..len {
            members.push((self.name(), self.next.get()));
            self.pass();
        }
        members.sort_unstable();
        Ok(members)
    }
}

/// The next value, with all that is in it.
impl Serialize for Source<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.take() {
            Entry::Null => to.serialize_unit(),
            Entry::Bool(value) => to.serialize_bool(value),
            Entry::Integer(value) => to.serialize_i64(value),
            Entry::Float(value) => to.serialize_f64(value),
            string @ (Entry::Text { .. } | Entry::Unescaped { .. }) => {
                to.serialize_str(self.string(string))
            }
            Entry::Array { len } => self.array(len as usize, to),
            Entry::Object { len } => self.object(len as usize, to),
        }
    }
}

/// Text that grows as far as there is memory.
#[derive(Default)]
struct Output {
    text: Vec<u8>,
}

impl io::Write for &mut Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.try_reserve(bytes.len())?;
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Another formatter's layout, with escapes for what is not ASCII if that is wanted.
struct Escaping<F> {
    ascii: bool,
    inner: F,
}

type Written = io::Result<()>;

impl<F: Formatter> Formatter for Escaping<F> {
    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, to: &mut W, part: &str) -> Written {
        if !self.ascii || part.is_ascii() {
            return self.inner.write_string_fragment(to, part);
        }
        for char in part.chars() {
            if char.is_ascii() {
                to.write_all(&[char as u8])?;
                continue;
            }
            // A pair of surrogates where there must be.
            for unit in char.encode_utf16(&mut [0; 2]) {
                write!(to, "\\u{unit:04x}")?;
            }
        }
        Ok(())
    }

    fn write_char_escape<W: ?Sized + io::Write>(
        &mut self,
        to: &mut W,
        char: CharEscape,
    ) -> Written {
        self.inner.write_char_escape(to, char)
    }

    fn begin_array<W: ?Sized + io::Write>(&mut self, to: &mut W) -> Written {
        self.inner.begin_array(to)
    }

    fn end_array<W: ?Sized + io::Write>(&mut self, to: &mut W) -> Written {
        self.inner.end_array(to)
    }

    fn begin_array_value<W: ?Sized + io::Write>(&mut self, to: &mut W, is_first: bool) -> Written {
        self.inner.begin_array_value(to, is_first)
    }

    fn end_array_value<W: ?Sized + io::Write>(&mut self, to: &mut W) -> Written {
        self.inner.end_array_value(to)
    }

    fn begin_object<W: ?Sized + io::Write>(&mut self, to: &mut W) -> Written {
        self.inner.begin_object(to)
    }

    fn end_object<W: ?Sized + io::Write>(&mut self, to: &mut W) -> Written {
        self.inner.end_object(to)
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, to: &mut W, is_first: bool) -> Written {
        self.inner.begin_object_key(to, is_first)
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, to: &mut W) -> Written {
        self.inner.begin_object_value(to)
    }

    fn end_object_value<W: ?Sized + io::Write>(&mut self, to: &mut W) -> Written {
        self.inner.end_object_value(to)
    }
}
