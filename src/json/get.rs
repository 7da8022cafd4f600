//! The values that JSON Pointers name in a text, found in one pass: what is asked for goes on the
//! tape, what is passed on the way is checked, and what stands behind the last is not looked at. Of
//! equal names in an object the first counts. Pure: bytes in, tape or failure out.
//!
//! May call: `parse`, `pointer`, `tape`, `net::json_scan`, simdutf8.

use std::ops::Range;

use net::json_scan::skip::{Cursor, Refused};
use net::json_scan::{self, Invalid};

use super::parse::{self, BigInt, Failure};
use super::pointer::Wanted;
use super::tape::{Entry, Found, Tape};

/// Fills an empty tape with the values that are wanted, and its `found` with where they are.
pub fn get(text: &[u8], bigint: BigInt, wanted: &Wanted, tape: &mut Tape) -> Result<(), Failure> {
    if u32::try_from(text.len()).is_err() {
        return Err(invalid(text, Invalid { at: 0, what: "longer than 4 GiB" }));
    }
    let count = wanted.count();
    tape.found.try_reserve(count).map_err(|_| Failure::Memory)?;
    tape.found.resize(count, None);
    let mut followed = Vec::new();
    followed.try_reserve_exact(count).map_err(|_| Failure::Memory)?;
    followed.resize(count, 0);
    let cursor = Cursor { bytes: text, at: 0 };
    let mut search =
        Search { text, cursor, bigint, wanted, tape, followed, left: count, checked: 0 };
    match search.document() {
        Ok(()) => Ok(()),
        Err(Stop::Failed(failure)) => Err(failure),
        Err(Stop::Refused) => {
            let otherwise = Invalid { at: search.cursor.at, what: "not JSON" };
            Err(invalid(text, json_scan::fault(text).unwrap_or(otherwise)))
        }
    }
}

#[cold]
fn invalid(text: &[u8], invalid: Invalid) -> Failure {
    Failure::Invalid(invalid.describe(text))
}

/// Why the search is over.
enum Stop {
    /// The text is no JSON, of which `json_scan` says why.
    Refused,
    Failed(Failure),
}

impl From<Refused> for Stop {
    fn from(Refused: Refused) -> Self {
        Self::Refused
    }
}

type Searched<T = ()> = Result<T, Stop>;

struct Search<'a> {
    text: &'a [u8],
    cursor: Cursor<'a>,
    bigint: BigInt,
    wanted: &'a Wanted,
    tape: &'a mut Tape,
    /// For each pointer, how many of its tokens were followed. Each token is followed once.
    followed: Vec<usize>,
    /// How many are not found.
    left: usize,
    /// All before this is known to be UTF-8, and is followed by a whole character.
    checked: usize,
}

impl Search<'_> {
    fn document(&mut self) -> Searched {
        if self.left > 0 {
            self.value(0..self.wanted.count(), 0, false)?;
        }
        self.check_utf8()?;
        if self.left > 0 {
            self.cursor.token();
            if !self.cursor.is_at_end() {
                return Err(Stop::Refused);
            }
        }
        Ok(())
    }

    /// Searches the next value, within `depth` containers, for which these pointers are.
    fn value(&mut self, among: Range<usize>, depth: usize, is_member: bool) -> Searched {
        if self.wanted.ending(among.clone(), depth).is_empty() {
            return match self.cursor.token() {
                b'{' => self.object(among, depth),
                b'[' => self.array(among, depth),
                _ => Ok(self.cursor.skip(depth as u32)?),
            };
        }
        let entry = self.build(depth)?;
        let longer = self.found(among, depth, Found { entry, is_member });
        if !longer.is_empty() {
            self.inside(longer, depth, entry);
        }
        Ok(())
    }

    fn object(&mut self, among: Range<usize>, depth: usize) -> Searched {
        let mut is_next = self.cursor.open(depth as u32 + 1, b'}')?;
        while is_next {
            let inner = self.named(among.clone(), depth)?;
            self.go_on(inner, depth, true)?;
            if self.left == 0 {
                break;
            }
            is_next = self.cursor.comma(b'}')?;
        }
        Ok(())
    }

    fn array(&mut self, among: Range<usize>, depth: usize) -> Searched {
        let mut ahead = self.wanted.with_index(among.clone(), depth);
        let mut is_next = self.cursor.open(depth as u32 + 1, b']')?;
        let mut index = 0;
        while is_next {
            let inner = self.at_index(&mut ahead, index, among.end, depth);
            self.go_on(inner, depth, false)?;
            if self.left == 0 {
                break;
            }
            is_next = self.cursor.comma(b']')?;
            index += 1;
        }
        Ok(())
    }

    /// Searches the next member of a container, or passes it if no pointers lead to it.
    fn go_on(&mut self, inner: Range<usize>, depth: usize, is_member: bool) -> Searched {
        if inner.is_empty() {
            return Ok(self.cursor.skip(depth as u32 + 1)?);
        }
        self.followed[inner.clone()].fill(depth + 1);
        self.value(inner, depth + 1, is_member)
    }

    /// Passes the name of a member and the colon. Returns the pointers that lead to the member.
    fn named(&mut self, among: Range<usize>, depth: usize) -> Searched<Range<usize>> {
        self.cursor.token();
        let start = self.cursor.at + 1;
        self.cursor.name()?;
        // A colon, and perhaps white space, stands behind the second quote.
        let passed = self.text.get(start..self.cursor.at).unwrap_or_default();
        let end = memchr::memrchr(b'"', passed).unwrap_or_default();
        let name = &passed[..end];
        if !name.contains(&b'\\') {
            return Ok(self.first_with(among, depth, name));
        }
        let kept = self.tape.arena.len();
        parse::unescape(&passed[..=end], self.tape).map_err(|_| Stop::Failed(Failure::Memory))?;
        let inner = self.first_with(among, depth, &self.tape.arena[kept..]);
        self.tape.arena.truncate(kept);
        Ok(inner)
    }

    /// Returns the pointers that go on with this name, or none if the object had the name before.
    fn first_with(&self, among: Range<usize>, depth: usize, name: &[u8]) -> Range<usize> {
        let inner = self.wanted.with_name(among, depth, name);
        let is_first = self.followed.get(inner.start).is_some_and(|&count| count <= depth);
        if is_first { inner } else { 0..0 }
    }

    /// Puts the next value on the tape. Returns its entry.
    fn build(&mut self, depth: usize) -> Searched<usize> {
        self.cursor.token();
        let start = self.cursor.at;
        self.cursor.skip(depth as u32)?;
        self.check_utf8()?;
        let entry = self.tape.entries.len();
        let passed = &self.text[..self.cursor.at];
        // SAFETY: `check_utf8` has looked at all of it, in parts that end with a value.
        let passed = unsafe { str::from_utf8_unchecked(passed) };
        match parse::parse_at(passed, start, depth, self.bigint, self.tape) {
            Ok(()) => Ok(entry),
            Err(None) => Err(Stop::Failed(Failure::Memory)),
            Err(Some(fault)) => Err(Stop::Failed(invalid(self.text, fault))),
        }
    }

    fn check_utf8(&mut self) -> Searched {
        let end = self.cursor.at;
        if simdutf8::basic::from_utf8(&self.text[self.checked..end]).is_err() {
            return Err(Stop::Refused);
        }
        self.checked = end;
        Ok(())
    }

    /// Records a value for each pointer that ends at it. Returns the pointers that go on.
    fn found(&mut self, among: Range<usize>, depth: usize, found: Found) -> Range<usize> {
        let ending = self.wanted.ending(among.clone(), depth);
        for number in ending.clone() {
            self.tape.found[self.wanted.slot(number)] = Some(found);
        }
        self.left -= ending.len();
        ending.end..among.end
    }

    /// Searches the members of a value on the tape. Returns the entry behind the value.
    fn inside(&mut self, among: Range<usize>, depth: usize, entry: usize) -> usize {
        match self.tape.entries[entry] {
            Entry::Array { len } => self.inside_array(among, depth, entry + 1, len as usize),
            Entry::Object { len } => self.inside_object(among, depth, entry + 1, len),
            _ => entry + 1,
        }
    }

    fn inside_array(&mut self, among: Range<usize>, depth: usize, at: usize, len: usize) -> usize {
        let mut entry = at;
        let mut ahead = self.wanted.with_index(among.clone(), depth);
        for index in 0..len {
            let inner = self.at_index(&mut ahead, index, among.end, depth);
            entry = self.inside_member(inner, depth, Found { entry, is_member: false });
        }
        entry
    }

    fn inside_object(&mut self, among: Range<usize>, depth: usize, at: usize, len: u32) -> usize {
        let mut entry = at;
        for _ in 0..len {
            let name = match self.tape.entries[entry] {
                Entry::Text { len, at } => &self.text[at..at + len as usize],
                Entry::Unescaped { len, at } => &self.tape.arena[at..at + len as usize],
                _ => &[],
            };
            let inner = self.first_with(among.clone(), depth, name);
            let member = Found { entry: entry + 1, is_member: true };
            entry = self.inside_member(inner, depth, member);
        }
        entry
    }

    fn inside_member(&mut self, inner: Range<usize>, depth: usize, member: Found) -> usize {
        self.followed[inner.clone()].fill(depth + 1);
        let longer = self.found(inner, depth + 1, member);
        self.inside(longer, depth + 1, member.entry)
    }

    /// Returns the pointers that lead to this index, and moves `ahead` to the next ones.
    fn at_index(
        &self,
        ahead: &mut Option<(usize, Range<usize>)>,
        index: usize,
        end: usize,
        depth: usize,
    ) -> Range<usize> {
        match ahead.clone() {
            Some((next, inner)) if next == index => {
                *ahead = self.wanted.with_index(inner.end..end, depth);
                inner
            }
            _ => 0..0,
        }
    }
}
