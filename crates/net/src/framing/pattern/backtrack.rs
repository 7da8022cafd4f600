//! A match by backtracking, as Lua finds it, where that is short work. For most patterns it is; of
//! those for which it is not, a peer may have chosen the text. Uses `framing::pattern::parse`,
//! `framing::pattern::program`.

use super::parse::Times;
use super::program::{Op, Program};

/// Steps for each byte, and at most in one search.
const FOR_A_BYTE: usize = 4;
const MOST: usize = 1 << 14;

/// A single character that may take more bytes or fewer: what comes behind it is tried after each
/// number of them.
#[derive(Debug)]
pub struct Choice {
    /// Of what comes behind it.
    place: usize,
    /// Where that was tried last, and the first byte that the character may take.
    at: usize,
    first: usize,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A match that ends there; the slots are filled.
    Match(usize),
    Nothing,
    /// It is too much work.
    GivenUp,
}

/// Looks for the first match. `slots` has room for those of the program, and `choices` for as many
/// as it has places.
pub fn find(
    program: &Program,
    text: &[u8],
    slots: &mut [usize],
    choices: &mut Vec<Choice>,
) -> Outcome {
    let left = MOST.min(FOR_A_BYTE * text.len() + 64);
    let mut search = Search { program, text, choices, left };
    let last = if program.is_anchored { 0 } else { text.len() };
    for start in 0..=last {
        slots[0] = start;
        match search.run(start, slots) {
            Outcome::Nothing => {}
            other => return other,
        }
    }
    Outcome::Nothing
}

struct Search<'a> {
    program: &'a Program,
    text: &'a [u8],
    choices: &'a mut Vec<Choice>,
    /// Steps.
    left: usize,
}

impl Search<'_> {
    /// A match that begins here. A slot that was filled on a way that led nowhere is filled again:
    /// each way to a match has all of them.
    fn run(&mut self, start: usize, slots: &mut [usize]) -> Outcome {
        let (mut place, mut at) = (0, start);
        self.choices.clear();
        loop {
            if self.left == 0 {
                return Outcome::GivenUp;
            }
            self.left -= 1;
            let goes_on = match self.program.ops.get(place) {
                None if !self.program.is_to_end || at == self.text.len() => {
                    return Outcome::Match(at);
                }
                None => false,
                Some(Op::Save(slot)) => {
                    slots[*slot] = at;
                    true
                }
                Some(Op::Take(class, Times::Once)) => {
                    let takes = self.text.get(at).is_some_and(|byte| class.has(*byte));
                    at += usize::from(takes);
                    takes
                }
                Some(Op::Take(_, Times::Few)) => {
                    self.choices.push(Choice { place: place + 1, at, first: at });
                    true
                }
                Some(Op::Take(class, times)) => {
                    let most = if *times == Times::Maybe { 1 } else { self.left };
                    let behind = self.text[at..].iter().take(most);
                    let count = behind.take_while(|byte| class.has(**byte)).count();
                    self.left = self.left.saturating_sub(count);
                    if self.left == 0 {
                        return Outcome::GivenUp;
                    }
                    self.choices.push(Choice { place: place + 1, at: at + count, first: at });
                    at += count;
                    true
                }
            };
            if goes_on {
                place += 1;
            } else if let Some(other) = self.back() {
                (place, at) = other;
            } else {
                return Outcome::Nothing;
            }
        }
    }

    /// The next way to be tried: a place, and where.
    fn back(&mut self) -> Option<(usize, usize)> {
        while let Some(choice) = self.choices.last_mut() {
            let (may_go_on, at) = match &self.program.ops[choice.place - 1] {
                Op::Take(class, Times::Few) => {
                    let takes = self.text.get(choice.at).is_some_and(|byte| class.has(*byte));
                    (takes, choice.at + 1)
                }
                _ => (choice.at > choice.first, choice.at.saturating_sub(1)),
            };
            if may_go_on {
                choice.at = at;
                return Some((choice.place, at));
            }
            self.choices.pop();
        }
        None
    }
}
