//! Where one JSON value ends in a buffer that is still growing.
//!
//! Promises: strict RFC 8259, judged as the bytes come: the first byte that cannot be JSON is
//! refused at once, and where the input happens to be cut makes no difference. A value is found
//! with its last byte; what follows it is not judged. The work is linear in the bytes, however many
//! steps they take, and nothing is allocated. What is found here parses, save for numbers out of
//! range.
//!
//! Pure: bytes in, decision out. Uses nothing of the crate.

mod escape;
mod grammar;
mod invalid;
mod nest;
mod number;
mod run;

use std::ops::Range;

use simdutf8::compat::from_utf8;

use self::grammar::Grammar;
pub use self::invalid::Invalid;
pub use self::nest::MAX_DEPTH;

/// The scan of one value at the front of a buffer. It remembers offsets, so it goes with that
/// buffer: once bytes have left the front, a new scan begins.
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
pub enum Scanned {
    /// The value's text is this range of the buffer, without the white space before it.
    Value(Range<usize>),
    /// More bytes are needed; the next step gets the same buffer, longer.
    Incomplete,
    /// Nothing but white space so far: a stream that ends here ends cleanly.
    Nothing,
}

/// What is wrong with a text that is to be one value, white space around it allowed; nothing for
/// numbers out of range.
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
    /// Looks at what is new. `filled` is all of the buffer from its front, what was seen before
    /// included; `end` says that no more will come.
    ///
    /// A value or an error, once given, is given again by every later step.
    pub fn step(&mut self, filled: &[u8], end: bool) -> Result<Scanned, Invalid> {
        self.skip_leading_space(filled);
        let Some(start) = self.start else { return Ok(Scanned::Nothing) };
        let grammar = self.grammar.advance(filled);
        // What is not UTF-8 was taken by the grammar, so it lies before what the grammar refuses.
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

    /// Checks all that the grammar took, in one go: several times as fast as string by string.
    fn check_utf8(&mut self, filled: &[u8]) -> Result<(), Invalid> {
        let taken = self.grammar.taken();
        let Err(error) = from_utf8(&filled[self.checked..taken]) else {
            self.checked = taken;
            return Ok(());
        };
        self.checked += error.valid_up_to();
        // Without a length it is a character whose rest is still to come.
        let Some(length) = error.error_len() else { return Ok(()) };
        let leads = matches!(filled[self.checked], 0xC2..=0xF4);
        Err(Invalid { at: self.checked + if leads { length } else { 0 }, what: "not UTF-8" })
    }
}
