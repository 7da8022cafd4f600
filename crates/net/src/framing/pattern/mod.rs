//! Lua patterns that are regular: all but `%b`, `%f` and `%1`. Whether one matches is found byte by
//! byte as they come, in time that is linear in them; the captures are found once, by the crate
//! regex-automata. Uses `framing::pattern::parse`, `framing::pattern::scan`.

pub mod parse;
pub mod scan;

use std::cell::RefCell;
use std::fmt;
use std::ops::Range;
use std::rc::Rc;

use regex_automata::nfa::thompson::{self, pikevm::Cache, pikevm::PikeVM};
use regex_automata::{Anchored, Input, util::syntax};

use parse::{Parsed, parse};
use scan::Masks;

/// Patterns that are kept compiled. A dialogue has a handful.
const KEPT: usize = 32;

thread_local! {
    static COMPILED: RefCell<Vec<Rc<Pattern>>> = const { RefCell::new(Vec::new()) };
}

/// What a pattern matched with one of its parentheses, or as a whole. Places count from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Capture {
    Text(Range<usize>),
    Position(usize),
}

/// A pattern that is compiled.
pub struct Pattern {
    source: Vec<u8>,
    is_anchored: bool,
    /// Of each capture, whether it is one of a position.
    positions: Vec<bool>,
    masks: Masks,
    machine: PikeVM,
    cache: RefCell<Cache>,
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

impl Eq for Pattern {}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}'", self.source.escape_ascii())
    }
}

impl Pattern {
    /// The pattern, compiled now or not long ago; or what is wrong with it.
    pub fn compile(source: &[u8]) -> Result<Rc<Self>, String> {
        COMPILED.with_borrow_mut(|kept| {
            let at = kept.iter().position(|pattern| pattern.source == source);
            let pattern = match at {
                Some(at) => kept.remove(at),
                None => Rc::new(Self::new(source)?),
            };
            kept.truncate(KEPT - 1);
            kept.insert(0, Rc::clone(&pattern));
            Ok(pattern)
        })
    }

    fn new(source: &[u8]) -> Result<Self, String> {
        let parsed = parse(source)?;
        let text = parsed.to_regex();
        let nfa = thompson::Compiler::new()
            .syntax(syntax::Config::new().unicode(false).utf8(false))
            .configure(thompson::Config::new().utf8(false))
            .build(&text)
            .map_err(|error| error.to_string())?;
        let machine = PikeVM::new_from_nfa(nfa).map_err(|error| error.to_string())?;
        let cache = RefCell::new(machine.create_cache());
        let masks = Masks::new(&parsed);
        let Parsed { is_anchored, .. } = parsed;
        let positions = parsed.positions();
        Ok(Self { source: source.to_vec(), is_anchored, positions, masks, machine, cache })
    }

    pub fn masks(&self) -> &Masks {
        &self.masks
    }

    /// The first match in so many bytes of what has come, and its captures, as `string.find` has
    /// them.
    pub fn find(&self, filled: &[u8], window: usize) -> Option<(Range<usize>, Vec<Capture>)> {
        let anchored = if self.is_anchored { Anchored::Yes } else { Anchored::No };
        let input = Input::new(filled).span(0..window).anchored(anchored);
        let mut slots = vec![None; 2 * (self.positions.len() + 1)];
        self.machine.search_slots(&mut self.cache.borrow_mut(), &input, &mut slots)?;
        let span = |group: usize| Some(slots[2 * group]?.get()..slots[2 * group + 1]?.get());
        let whole = span(0)?;
        let captures = (1..).zip(&self.positions).map(|(group, is_position)| {
            let text = span(group)?;
            Some(if *is_position { Capture::Position(text.start) } else { Capture::Text(text) })
        });
        let captures = captures.collect::<Option<_>>()?;
        Some((whole, captures))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(pattern: &[u8], text: &[u8]) -> Option<(Range<usize>, Vec<Capture>)> {
        Pattern::compile(pattern).expect("is a pattern").find(text, text.len())
    }

    #[test]
    fn captures_are_those_of_lua() {
        use Capture::{Position, Text};
        assert_eq!(
            find(b"^(%d%d%d)([ -])([^\r\n]*)\r?\n", b"220-hello\r\n220 x\r\n"),
            Some((0..11, vec![Text(0..3), Text(3..4), Text(4..9)]))
        );
        assert_eq!(find(b"()l+()", b"hello"), Some((2..4, vec![Position(2), Position(4)])));
        assert_eq!(
            find(b"(a(b-)(b*))", b"xabb"),
            Some((1..4, vec![Text(1..4), Text(2..2), Text(2..4)]))
        );
        assert_eq!(find(b"[%]%-x]$", b"]a-"), Some((2..3, vec![])));
        assert_eq!(find(b"[^\0-\xff]", b"abc"), None);
        assert_eq!(find(b"[\x80-\xff]+", b"a\xc3\xa9b"), Some((1..3, vec![])));
    }

    #[test]
    fn compiled_patterns_are_kept_and_bounded() {
        let first = Pattern::compile(b"first").expect("is a pattern");
        assert!(Rc::ptr_eq(&first, &Pattern::compile(b"first").expect("is a pattern")));
        for number in 0..100 {
            Pattern::compile(format!("{number}").as_bytes()).expect("is a pattern");
        }
        assert!(COMPILED.with_borrow(Vec::len) <= KEPT);
        assert!(!Rc::ptr_eq(&first, &Pattern::compile(b"first").expect("is a pattern")));
    }
}
