//! Where the match of a pattern is in the bytes that have come so far. Made in steps: what there is
//! to look at may be much. Uses `framing::pattern`, `error`.

use std::ops::Range;
use std::rc::Rc;

use crate::error::{Code, Error, Result};
use crate::framing::pattern::capture::{Match, Search};
use crate::framing::pattern::scan::Progress;
use crate::framing::pattern::{Capture, Pattern};
use crate::text::excerpt;

/// Bytes of a rejected text that a message has.
const SHOWN: usize = 200;

/// How far the search for the match at the front of the buffer has come.
#[derive(Debug, Default)]
pub struct Matching {
    /// The pattern that is wanted, and the one that is rejected.
    looks: [Option<Look>; 2],
    captures: Vec<Capture>,
}

/// What a step has come to.
#[derive(Debug, PartialEq, Eq)]
pub enum Matched {
    Text(Range<usize>),
    /// Not in what has come.
    Nothing,
    /// There is more to look at.
    Busy,
}

impl Matching {
    /// The bytes in front are others from now on.
    #[inline]
    pub fn restart(&mut self) {
        self.looks.iter_mut().flatten().for_each(Look::restart);
    }

    /// The captures of the match that was found last.
    pub fn captures(&self) -> &[Capture] {
        &self.captures
    }

    /// The match in the first `max` bytes. Of two matches the one that begins first counts, and
    /// where there is one, that one.
    pub fn step_find(
        &mut self,
        filled: &[u8],
        pattern: &Rc<Pattern>,
        reject: Option<&Rc<Pattern>>,
        max: usize,
    ) -> Result<Matched> {
        let window = filled.len().min(max);
        let wanted = Look::at(&mut self.looks[0], pattern).step(filled, window)?;
        let refused = match reject {
            Some(reject) => Look::at(&mut self.looks[1], reject).step(filled, window)?,
            None => Looked::Nothing,
        };
        match (wanted, refused) {
            (Looked::Busy, _) | (_, Looked::Busy) => Ok(Matched::Busy),
            (Looked::Match((text, captures)), Looked::Nothing) => Ok(self.found(text, captures)),
            (Looked::Match((text, captures)), Looked::Match((other, _)))
                if text.start <= other.start =>
            {
                Ok(self.found(text, captures))
            }
            (_, Looked::Match((text, _))) => Err(rejected(&filled[text])),
            (Looked::Nothing, Looked::Nothing) if filled.len() >= max => {
                let detail = format!("no match in {max} bytes, the limit (max)");
                Err(Error::new(Code::TooLarge, detail))
            }
            (Looked::Nothing, Looked::Nothing) => Ok(Matched::Nothing),
        }
    }

    fn found(&mut self, text: Range<usize>, captures: Vec<Capture>) -> Matched {
        self.captures = captures;
        Matched::Text(text)
    }
}

/// How far one pattern has been looked for.
#[derive(Debug)]
struct Look {
    pattern: Rc<Pattern>,
    progress: Progress,
    /// The search for the captures, once it is known that there is a match.
    search: Option<Box<Search>>,
}

enum Looked {
    Match(Match),
    Nothing,
    Busy,
}

impl Look {
    /// The look for this pattern, from the front where it was another one.
    fn at<'a>(slot: &'a mut Option<Self>, pattern: &Rc<Pattern>) -> &'a mut Self {
        if slot.as_ref().is_none_or(|look| look.pattern != *pattern) {
            *slot = None;
        }
        slot.get_or_insert_with(|| Self {
            pattern: Rc::clone(pattern),
            progress: Progress::default(),
            search: None,
        })
    }

    fn restart(&mut self) {
        self.progress.restart();
        if self.search.is_some() {
            self.pattern.give_back(self.search.take());
        }
    }

    /// Looks at what has come since the last time, and for the match and its captures once there is
    /// one.
    fn step(&mut self, filled: &[u8], window: usize) -> Result<Looked> {
        let Self { pattern, progress, search } = self;
        let is_all = window == filled.len();
        match progress.advance(pattern.masks(), &filled[..window], is_all) {
            None => return Ok(Looked::Busy),
            Some(false) => return Ok(Looked::Nothing),
            Some(true) => {}
        }
        if !pattern.step_search(search, filled, window)? {
            return Ok(Looked::Busy);
        }
        let found = search.as_ref().and_then(|search| pattern.found(search));
        Ok(found.map_or(Looked::Nothing, Looked::Match))
    }
}

#[cold]
fn rejected(text: &[u8]) -> Error {
    let shown = excerpt(&text[..text.len().min(SHOWN)]);
    Error::new(Code::Unexpected, format!("reject has matched '{shown}'"))
}
