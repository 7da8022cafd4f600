//! Finds the end of a JSON value in a buffer that is still growing.
//!
//! It is strict (RFC 8259) and incremental. The first invalid byte is refused at once, wherever the
//! input happens to be cut. A value ends with its last byte; bytes behind it are not checked. The
//! time is linear in the bytes, however many steps they take, and nothing is allocated. A value
//! that is found here also parses, unless a number is out of range.
//!
//! Pure: bytes in, decision out. Uses nothing of the crate.

mod escape;
mod grammar;
mod invalid;
mod nest;
mod number;
pub mod run;
pub mod skip;

use std::ops::Range;

use simdutf8::compat::from_utf8;

use self::grammar::Grammar;
pub use self::invalid::Invalid;
pub use self::nest::MAX_DEPTH;

/// The scan of one value at the front of a buffer. It keeps offsets: once bytes are removed from
/// the front, a new scan must begin.
#[derive(Debug, Default)]
pub struct Scan {
    grammar: Grammar,
    /// Where the value begins, once it has begun.
    start: Option<usize>,
    /// The number of bytes that are known to be UTF-8.
    checked: usize,
}

/// The result of a step.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Scanned {
    /// The value's text is this range of the buffer, without the white space before it.
    Value(Range<usize>),
    /// More bytes are needed; the next step gets the same buffer, longer.
    Incomplete,
    /// There is only white space so far: a stream may end here.
    Nothing,
}

/// Returns why a text is not one JSON value, perhaps with white space around it. Numbers out of
/// range are no fault.
#[cold]
pub fn fault(text: &[u8]) -> Option<Invalid> {
    let mut scan = Scan::default();
    let end = match scan.step(text, true) {
        Ok(Scanned::Value(value)) => value.end,
        Ok(Scanned::Nothing | Scanned::Incomplete) => {
            return Some(Invalid { at: text.len(), what: scan.grammar.unfinished() });
        }
        Err(invalid) => return Some(invalid),
    };
    let at = end + run::spaces(&text[end..]);
    (at < text.len()).then_some(Invalid { at, what: "unexpected text after the value" })
}

impl Scan {
    /// Scans the new bytes. `filled` is the whole buffer, with the bytes of earlier steps; `end`
    /// says that no more will come.
    ///
    /// Once a step has returned a value or an error, each later step returns it again.
    pub fn step(&mut self, filled: &[u8], end: bool) -> Result<Scanned, Invalid> {
        self.skip_leading_space(filled);
        let Some(start) = self.start else { return Ok(Scanned::Nothing) };
        let grammar = self.grammar.advance(filled);
        // The grammar takes bytes that are not UTF-8, so they precede the byte that it refuses.
        self.check_utf8(filled)?;
        grammar?;
        if end {
            self.grammar.end_lone_number();
        }
        Ok(if self.grammar.is_done() {
            Scanned::Value(start..self.grammar.taken())
        } else {
            Scanned::Incomplete
        })
    }

    fn skip_leading_space(&mut self, filled: &[u8]) {
        if self.start.is_none() {
            self.checked += run::spaces(&filled[self.checked..]);
            self.start = (self.checked < filled.len()).then_some(self.checked);
            self.grammar = Grammar::starting_at(self.checked);
        }
    }

    /// Checks all bytes that the grammar took at once, which is several times as fast as by string.
    fn check_utf8(&mut self, filled: &[u8]) -> Result<(), Invalid> {
        let taken = self.grammar.taken();
        let Err(error) = from_utf8(&filled[self.checked..taken]) else {
            self.checked = taken;
            return Ok(());
        };
        self.checked += error.valid_up_to();
        // No length means that the rest of a character is still to come.
        let Some(length) = error.error_len() else { return Ok(()) };
        let leads = matches!(filled[self.checked], 0xC2..=0xF4);
        Err(Invalid { at: self.checked + if leads { length } else { 0 }, what: "not UTF-8" })
    }
}
