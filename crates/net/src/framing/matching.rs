//! Where the match of a pattern is in the bytes that have come so far. Uses `framing::pattern`,
//! `error`.

use std::ops::Range;
use std::rc::Rc;

use crate::error::{Code, Error, Result};
use crate::framing::pattern::scan::Progress;
use crate::framing::pattern::{Capture, Pattern};
use crate::text::excerpt;

/// Bytes of a rejected text that a message has.
const SHOWN: usize = 200;

/// How far the search for the match at the front of the buffer has come.
#[derive(Debug, Default)]
pub struct Matching {
    /// The pattern that is wanted, and the one that is rejected.
    patterns: [Option<(Rc<Pattern>, Progress)>; 2],
    captures: Vec<Capture>,
}

impl Matching {
    /// The bytes in front are others from now on.
    pub fn restart(&mut self) {
        self.patterns.iter_mut().flatten().for_each(|(_, progress)| progress.restart());
    }

    /// The captures of the match that was found last.
    pub fn captures(&self) -> &[Capture] {
        &self.captures
    }

    /// The match in the first `max` bytes. Of two matches the one that begins first counts, and
    /// where there is one, that one.
    pub fn find(
        &mut self,
        filled: &[u8],
        pattern: &Rc<Pattern>,
        reject: Option<&Rc<Pattern>>,
        max: usize,
    ) -> Result<Option<Range<usize>>> {
        let window = filled.len().min(max);
        let wanted = look(&mut self.patterns[0], pattern, filled, window);
        let refused = match reject {
            Some(reject) => look(&mut self.patterns[1], reject, filled, window),
            None => None,
        };
        match (wanted, refused) {
            (Some((text, captures)), None) => self.found(text, captures),
            (Some((text, captures)), Some((other, _))) if text.start <= other.start => {
                self.found(text, captures)
            }
            (_, Some((text, _))) => Err(rejected(&filled[text])),
            (None, None) if filled.len() >= max => {
                let detail = format!("no match in {max} bytes, the limit (max)");
                Err(Error::new(Code::TooLarge, detail))
            }
            (None, None) => Ok(None),
        }
    }

    fn found(
        &mut self,
        text: Range<usize>,
        captures: Vec<Capture>,
    ) -> Result<Option<Range<usize>>> {
        self.captures = captures;
        Ok(Some(text))
    }
}

/// Looks at what has come since the last time, and for the match and its captures once there is
/// one.
fn look(
    slot: &mut Option<(Rc<Pattern>, Progress)>,
    pattern: &Rc<Pattern>,
    filled: &[u8],
    window: usize,
) -> Option<(Range<usize>, Vec<Capture>)> {
    if slot.as_ref().is_none_or(|(known, _)| known != pattern) {
        *slot = None;
    }
    let (_, progress) = slot.get_or_insert_with(|| (Rc::clone(pattern), Progress::default()));
    let is_all = window == filled.len();
    let is_found = progress.advance(pattern.masks(), &filled[..window], is_all);
    is_found.then(|| pattern.find(filled, window)).flatten()
}

#[cold]
fn rejected(text: &[u8]) -> Error {
    let shown = excerpt(&text[..text.len().min(SHOWN)]);
    Error::new(Code::Unexpected, format!("reject has matched '{shown}'"))
}
