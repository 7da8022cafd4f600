//! The error of an invalid text, with its place.

use memchr::{memchr_iter, memrchr};
use simdutf8::compat::from_utf8;

/// U+FEFF in UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// The buffer cannot begin with a JSON value.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Invalid {
    /// The offset of the first invalid byte.
    pub at: usize,
    /// The reason, in words.
    pub what: &'static str,
}

impl Invalid {
    /// Returns place and reason: `line 1 column 5: ...`, counted in characters of `text`.
    #[cold]
    pub fn describe(&self, text: &[u8]) -> String {
        let (before, rest) = text.split_at(self.at.min(text.len()));
        // An unfinished character is the error itself.
        let valid = from_utf8(before).map_or_else(|error| error.valid_up_to(), str::len);
        let before = &before[..valid];
        let line = 1 + memchr_iter(b'\n', before).count();
        let line_start = memrchr(b'\n', before).map_or(0, |newline| newline + 1);
        let is_char_start = |byte: &&u8| **byte & 0xC0 != 0x80;
        let column = 1 + before[line_start..].iter().filter(is_char_start).count();
        // The mark is recognized here, since its first byte is refused before the others have come.
        let what = if rest.starts_with(BYTE_ORDER_MARK) { "a byte order mark" } else { self.what };
        format!("line {line} column {column}: {what}")
    }
}
