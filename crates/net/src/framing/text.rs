//! Where the thing that a read asks for ends in the bytes that have come so far. Pure, and
//! resumable: a byte is looked at once, however often the same read is made again. Uses `framing`,
//! `framing::matching`, `json_scan`, `error`.

use std::ops::Range;
use std::rc::Rc;

use memchr::{memchr, memmem};

use crate::error::{Code, Error, Pending, Result};
use crate::framing::matching::{Matched, Matching};
use crate::framing::pattern::{Capture, Pattern};
use crate::framing::{self, Decoded, Endian, Framing, HEADER};
use crate::json_scan::{self, Scan};
use crate::memory::append;

/// What one read asks for. Sizes in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// All until the end of the stream.
    All { max: usize },
    /// Whatever is there, at least one byte.
    Available { max: usize },
    /// So many bytes.
    Exact { size: usize, max: usize },
    /// One JSON value.
    Json { max: usize },
    /// A line; its `\n` or `\r\n` does not count for `max`, and is part of it if `keep`.
    Line { max: usize, keep: bool },
    /// What a pattern matches in the first `max` bytes, and all in front of it.
    Match { pattern: &'a Rc<Pattern>, reject: Option<&'a Rc<Pattern>>, max: usize },
    /// A length of four bytes, and the body.
    Packet { max: usize, endian: Endian },
    /// A packet that is cut in another way.
    Framed { framing: &'a Framing, max: usize, endian: Endian },
    /// What stands in front of the body of such a packet.
    Head { framing: &'a Framing, endian: Endian },
    /// What stands before the delimiter, which does not count for `max`.
    Until { delimiter: &'a [u8], max: usize },
}

/// An item at the front of the buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// What the script gets.
    pub text: Range<usize>,
    /// What is consumed with it.
    pub size: usize,
}

impl Item {
    fn whole(size: usize) -> Self {
        Self { text: 0..size, size }
    }
}

#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    Item(Item),
    /// The stream ended, and nothing of an item is there.
    End,
    /// More bytes are needed; at the end of the stream: an item is cut short.
    NotYet(Pending),
    /// There is more to look at than one step does.
    Busy,
}

/// How far the search for the item at the front of the buffer has come.
#[derive(Debug, Default)]
pub struct Search {
    /// What was searched for, and how many bytes are known not to begin it.
    delimiter: Vec<u8>,
    seen: usize,
    scan: Scan,
    /// Few connections are ever read by a pattern.
    matching: Option<Box<Matching>>,
}

impl Search {
    /// Looks for the item in `filled`; `end` says that no more bytes will come.
    pub fn find(&mut self, request: Request<'_>, filled: &[u8], end: bool) -> Result<Found> {
        let found = match request {
            Request::All { max } => all(filled, max, end)?,
            Request::Available { max } => available(filled, max),
            Request::Exact { size, max } => exact(filled, size, max)?,
            Request::Json { max } => self.json(filled, max, end)?,
            Request::Line { max, keep } => self.line(filled, max, keep, end)?,
            Request::Match { pattern, reject, max } => {
                let matching = self.matching.get_or_insert_default();
                match matching.step_find(filled, pattern, reject, max)? {
                    Matched::Text(text) => Found::Item(Item { size: text.end, text }),
                    Matched::Nothing => Found::NotYet(Pending::More { have: filled.len() }),
                    Matched::Busy => Found::Busy,
                }
            }
            Request::Packet { max, endian } => packet(filled, max, endian)?,
            Request::Framed { framing, max, endian } => {
                self.framed(filled, framing, max, endian)?
            }
            Request::Head { framing, endian } => head(filled, framing, endian)?,
            Request::Until { delimiter, max } => self.until(filled, delimiter, max)?,
        };
        let is_missing = end && filled.is_empty() && matches!(found, Found::NotYet(_));
        Ok(if is_missing { Found::End } else { found })
    }

    /// The item is consumed: what was known of the front of the buffer is no longer true.
    pub fn restart(&mut self) {
        self.seen = 0;
        self.scan = Scan::default();
        if let Some(matching) = &mut self.matching {
            matching.restart();
        }
    }

    /// The captures of the match that was found last.
    pub fn captures(&self) -> &[Capture] {
        self.matching.as_deref().map_or(&[], Matching::captures)
    }

    fn line(&mut self, filled: &[u8], max: usize, keep: bool, end: bool) -> Result<Found> {
        let (length, size) = match self.search(filled, b"\n")? {
            Some(at) => (at - usize::from(filled[..at].ends_with(b"\r")), at + 1),
            None if end && !filled.is_empty() => (filled.len(), filled.len()),
            None => {
                // The last byte may be the `\r` of a line end.
                within(filled.len().saturating_sub(1), max, "a line")?;
                return Ok(Found::NotYet(Pending::More { have: filled.len() }));
            }
        };
        within(length, max, "a line")?;
        Ok(Found::Item(Item { text: 0..if keep { size } else { length }, size }))
    }

    fn framed(
        &mut self,
        filled: &[u8],
        framing: &Framing,
        max: usize,
        endian: Endian,
    ) -> Result<Found> {
        if let Framing::Delimiter(delimiter) = framing {
            return self.delimited(filled, delimiter.bytes(), max);
        }
        let head = match framing.decode(filled, endian)? {
            Decoded::Head(head) => head,
            Decoded::NotYet(pending) => return Ok(Found::NotYet(pending)),
        };
        let length = framing::within(head.length, max)?;
        // What has not come is not added up: with it a size may be over what memory has addresses.
        let come = &filled[head.before..];
        let Some(after) = come.get(length..).and_then(|behind| behind.get(..head.after)) else {
            let need = length.saturating_add(head.after);
            return Ok(Found::NotYet(Pending::Bytes { have: come.len(), need }));
        };
        framing.check_end(after)?;
        let text = head.before..head.before + length;
        Ok(Found::Item(Item { size: text.end + head.after, text }))
    }

    fn delimited(&mut self, filled: &[u8], delimiter: &[u8], max: usize) -> Result<Found> {
        let found = self.search(filled, delimiter)?;
        if self.seen > max {
            let detail = format!("a packet of over {max} bytes, the limit (max_packet)");
            return Err(Error::new(Code::TooLarge, detail));
        }
        Ok(match found {
            Some(at) => Found::Item(Item { text: 0..at, size: at + delimiter.len() }),
            None => Found::NotYet(Pending::More { have: filled.len() }),
        })
    }

    fn until(&mut self, filled: &[u8], delimiter: &[u8], max: usize) -> Result<Found> {
        let Some(length) = self.search(filled, delimiter)? else {
            within(self.seen, max, "an item")?;
            return Ok(Found::NotYet(Pending::More { have: filled.len() }));
        };
        within(length, max, "an item")?;
        Ok(Found::Item(Item { text: 0..length, size: length + delimiter.len() }))
    }

    /// Where the delimiter begins. No byte is searched twice.
    fn search(&mut self, filled: &[u8], delimiter: &[u8]) -> Result<Option<usize>> {
        // A line's end is one byte: not worth a call of memcmp.
        let is_known = match (self.delimiter.as_slice(), delimiter) {
            ([known], [byte]) => known == byte,
            (known, _) => known == delimiter,
        };
        if !is_known {
            self.delimiter.clear();
            append(&mut self.delimiter, delimiter)?;
            self.seen = 0;
        }
        let unseen = &filled[self.seen..];
        let found = match delimiter {
            [byte] => memchr(*byte, unseen),
            _ => memmem::find(unseen, delimiter),
        };
        // Where nothing was found, the end may hold the beginning of the delimiter.
        let known = found.unwrap_or((unseen.len() + 1).saturating_sub(delimiter.len()));
        self.seen += known;
        Ok(found.map(|_| self.seen))
    }

    /// White space before the value counts for `max`, as does what comes before a fault: however
    /// the stream is cut, the verdict is the same.
    fn json(&mut self, filled: &[u8], max: usize, end: bool) -> Result<Found> {
        let (length, found) = match self.scan.step(filled, end) {
            Ok(json_scan::Scanned::Value(text)) => {
                (text.end, Ok(Found::Item(Item::whole(text.end))))
            }
            Ok(json_scan::Scanned::Nothing) if end => (filled.len(), Ok(Found::End)),
            Ok(_) => (filled.len(), Ok(Found::NotYet(Pending::More { have: filled.len() }))),
            Err(invalid) => (invalid.at, Err(invalid)),
        };
        within(length, max, "a JSON value")?;
        found.map_err(|invalid| Error::new(Code::Json, invalid.describe(filled)))
    }
}

fn all(filled: &[u8], max: usize, end: bool) -> Result<Found> {
    within(filled.len(), max, "the stream")?;
    Ok(if end {
        Found::Item(Item::whole(filled.len()))
    } else {
        Found::NotYet(Pending::More { have: filled.len() })
    })
}

fn available(filled: &[u8], max: usize) -> Found {
    match filled.len().min(max) {
        0 => Found::NotYet(Pending::More { have: 0 }),
        size => Found::Item(Item::whole(size)),
    }
}

fn exact(filled: &[u8], size: usize, max: usize) -> Result<Found> {
    if size > max {
        let detail = format!("{size} bytes asked for, the limit (max_buffer) is {max}");
        return Err(Error::new(Code::TooLarge, detail));
    }
    Ok(if filled.len() >= size {
        Found::Item(Item::whole(size))
    } else {
        Found::NotYet(Pending::Bytes { have: filled.len(), need: size })
    })
}

fn packet(filled: &[u8], max: usize, endian: Endian) -> Result<Found> {
    let Some(length) = framing::length(filled, endian) else {
        return Ok(Found::NotYet(Pending::Header { have: filled.len(), need: HEADER }));
    };
    framing::check_announced(length, max, filled, endian)?;
    let come = filled.len() - HEADER;
    Ok(if come >= length {
        Found::Item(Item { text: HEADER..HEADER + length, size: HEADER + length })
    } else {
        Found::NotYet(Pending::Bytes { have: come, need: length })
    })
}

/// What is in front of a body, where it says how long that is.
fn head(filled: &[u8], framing: &Framing, endian: Endian) -> Result<Found> {
    Ok(match framing.decode(filled, endian)? {
        Decoded::Head(head) => Found::Item(Item::whole(head.before)),
        Decoded::NotYet(pending) => Found::NotYet(pending),
    })
}

fn within(length: usize, max: usize, what: &str) -> Result<()> {
    if length > max {
        return Err(Error::new(Code::TooLarge, format!("{what} of over {max} bytes")));
    }
    Ok(())
}
