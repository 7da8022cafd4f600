//! Lua patterns that are regular: all but `%b`, `%f` and `%1`. Whether one matches is found byte by
//! byte as they come, in time that is linear in them; the captures are found once there is a match.
//! Uses `framing::pattern::capture`, `framing::pattern::parse`, `framing::pattern::program`,
//! `framing::pattern::scan`, `error`.

mod backtrack;
pub mod capture;
pub mod parse;
mod program;
pub mod scan;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;

pub use capture::Capture;

use crate::error::Result;
use capture::{Match, Search};
use parse::parse;
use program::Program;
use scan::Masks;

/// Patterns that are kept compiled. A dialogue has a handful.
const KEPT: usize = 32;

thread_local! {
    static COMPILED: RefCell<Vec<Rc<Pattern>>> = const { RefCell::new(Vec::new()) };
}

/// A pattern that is compiled.
pub struct Pattern {
    source: Vec<u8>,
    masks: Masks,
    program: Program,
    /// A search that is over, whose memory the next one takes.
    spare: Cell<Option<Box<Search>>>,
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
    pub fn compile(source: &[u8]) -> std::result::Result<Rc<Self>, String> {
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

    fn new(source: &[u8]) -> std::result::Result<Self, String> {
        let parsed = parse(source)?;
        let (masks, program) = (Masks::new(&parsed), Program::new(&parsed));
        Ok(Self { source: source.to_vec(), masks, program, spare: Cell::default() })
    }

    pub fn masks(&self) -> &Masks {
        &self.masks
    }

    /// Goes on with a search in so many bytes of what has come, or begins one: whether it is over.
    pub fn step_search(
        &self,
        search: &mut Option<Box<Search>>,
        filled: &[u8],
        window: usize,
    ) -> Result<bool> {
        let search = match search {
            Some(search) if search.is_in(window) => search,
            other => {
                let mut fresh = other.take().or_else(|| self.spare.take()).unwrap_or_default();
                fresh.begin(&self.program, filled, window)?;
                other.insert(fresh)
            }
        };
        Ok(search.advance(&self.program, filled))
    }

    /// The first match that a search has found, and its captures, as `string.find` has them.
    pub fn found(&self, search: &Search) -> Option<Match> {
        search.found(&self.program)
    }

    /// A search is not needed any more.
    pub fn give_back(&self, search: Option<Box<Search>>) {
        self.spare.set(search);
    }

    /// The first match in so many bytes.
    pub fn find(&self, filled: &[u8], window: usize) -> Result<Option<Match>> {
        let mut search = None;
        while !self.step_search(&mut search, filled, window)? {}
        Ok(search.and_then(|search| self.found(&search)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(pattern: &[u8], text: &[u8]) -> Option<Match> {
        let pattern = Pattern::compile(pattern).expect("is a pattern");
        pattern.find(text, text.len()).expect("memory")
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
        assert_eq!(find(b"(a?)(a-)(a*)b", b"aaab"), {
            Some((0..4, vec![Text(0..1), Text(1..1), Text(1..3)]))
        });
        assert_eq!(find(b".-()$", b"ab"), Some((0..2, vec![Position(2)])));
        assert_eq!(find(b"", b"ab"), Some((0..0, vec![])));
        assert_eq!(find(b"$", b"ab"), Some((2..2, vec![])));
        assert_eq!(find(b"a-$", b"baa"), Some((1..3, vec![])));
    }

    /// However much there is to look at, one step is short.
    #[test]
    fn a_search_is_made_in_short_steps() {
        use Capture::Text;
        let pattern = [b"(".repeat(30), b".-".repeat(900), b")".repeat(30), b"b".to_vec()].concat();
        let pattern = Pattern::compile(&pattern).expect("is a pattern");
        let text = [b"a".repeat(1000), b"b".to_vec()].concat();
        let (mut search, mut steps) = (None, 1);
        while !pattern.step_search(&mut search, &text, text.len()).expect("memory") {
            steps += 1;
        }
        let (whole, captures) = pattern.found(&search.expect("has begun")).expect("a match");
        assert_eq!((whole, captures.len()), (0..1001, 30));
        assert_eq!(captures[29], Text(0..1000));
        assert!(steps > 100, "{steps}");
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
