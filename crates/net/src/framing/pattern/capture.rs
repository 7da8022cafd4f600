//! Where a pattern matches, and what it captures. Found by backtracking where that is short work;
//! else by all places of the pattern that may be next, in order of preference, each with what it
//! has captured so far (Pike's algorithm). That is linear in the bytes, and made in steps, so that
//! none takes long. Uses `framing::pattern::backtrack`, `framing::pattern::parse`,
//! `framing::pattern::program`, `memory`, `error`.

use std::ops::Range;

use super::backtrack::{self, Choice, Outcome};
use super::parse::Times;
use super::program::{Op, Program, begin_of};
use crate::error::Result;
use crate::memory::reserve;

/// Places and slots looked at in one step: a fraction of a millisecond.
const STEP: usize = 1 << 15;

/// What a pattern matched with one of its parentheses, or as a whole. Places count from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Capture {
    Text(Range<usize>),
    Position(usize),
}

/// A match, and its captures.
pub type Match = (Range<usize>, Vec<Capture>);

/// Places of the pattern in order of preference, and the slots of each.
#[derive(Debug, Default)]
struct Threads {
    places: Vec<usize>,
    slots: Vec<usize>,
}

impl Threads {
    fn clear(&mut self) {
        self.places.clear();
        self.slots.clear();
    }

    fn push(&mut self, place: usize, slots: &[usize]) {
        self.places.push(place);
        self.slots.extend_from_slice(slots);
    }
}

/// A search for the first match in what has come, and how far it is.
#[derive(Debug, Default)]
pub struct Search {
    /// Bytes that it looks at, and those that it has taken.
    window: usize,
    at: usize,
    threads: Threads,
    next: Threads,
    /// For each place, the last byte's number, from 1 on, at which it was reached.
    reached: Vec<usize>,
    /// The slots at hand, and what was in those that were filled on the way.
    slots: Vec<usize>,
    before: Vec<usize>,
    /// Where the best match so far ends, and its slots.
    end: Option<usize>,
    best: Vec<usize>,
    is_over: bool,
    choices: Vec<Choice>,
}

impl Search {
    /// Begins a search in so many bytes.
    pub fn begin(&mut self, program: &Program, filled: &[u8], window: usize) -> Result<()> {
        (self.window, self.at, self.end, self.is_over) = (window, 0, None, false);
        fill(&mut self.best, program.slots())?;
        self.choices.clear();
        reserve(&mut self.choices, program.ops.len())?;
        match backtrack::find(program, &filled[..window], &mut self.best, &mut self.choices) {
            Outcome::GivenUp => return self.begin_all(program),
            Outcome::Match(end) => self.end = Some(end),
            Outcome::Nothing => {}
        }
        self.is_over = true;
        Ok(())
    }

    /// Begins with all places of the pattern.
    fn begin_all(&mut self, program: &Program) -> Result<()> {
        let (places, slots) = (program.ops.len() + 1, program.slots());
        for threads in [&mut self.threads, &mut self.next] {
            threads.clear();
            reserve(&mut threads.places, places)?;
            reserve(&mut threads.slots, places * slots)?;
        }
        fill(&mut self.reached, places)?;
        fill(&mut self.slots, slots)?;
        self.before.clear();
        reserve(&mut self.before, slots)?;
        self.enter(program, 0, 0);
        std::mem::swap(&mut self.threads, &mut self.next);
        Ok(())
    }

    /// Whether it looks at so many bytes.
    pub fn is_in(&self, window: usize) -> bool {
        self.window == window
    }

    /// Goes on for a while: whether it is over. The bytes are those of before.
    pub fn advance(&mut self, program: &Program, filled: &[u8]) -> bool {
        let mut left = STEP;
        while !self.is_over && left > 0 {
            left = left.saturating_sub(self.take(program, filled.get(self.at).copied()));
        }
        self.is_over
    }

    /// What was found, once it is over.
    pub fn found(&self, program: &Program) -> Option<Match> {
        let text = self.best[0]..self.end?;
        let captures = program.positions.iter().enumerate().map(|(number, is_position)| {
            let begin = begin_of(number);
            let start = self.best[begin];
            match is_position {
                true => Capture::Position(start),
                false => Capture::Text(start..self.best[begin + 1]),
            }
        });
        Some((text, captures.collect()))
    }

    /// Takes a byte, or the end: how much was looked at.
    fn take(&mut self, program: &Program, byte: Option<u8>) -> usize {
        let byte = byte.filter(|_| self.at < self.window);
        let (size, mut looked) = (program.slots(), 1 + self.threads.places.len());
        self.next.clear();
        for number in 0..self.threads.places.len() {
            let (place, first) = (self.threads.places[number], number * size);
            let slots = &self.threads.slots[first..first + size];
            let Some(Op::Take(class, times)) = program.ops.get(place) else {
                // What comes behind it in the list is less wanted.
                self.end = Some(self.at);
                self.best.copy_from_slice(slots);
                break;
            };
            if byte.is_some_and(|byte| class.has(byte)) {
                self.slots.copy_from_slice(slots);
                let repeats = matches!(times, Times::Many | Times::Few);
                looked += self.enter(program, place + usize::from(!repeats), self.at + 1);
            }
        }
        if byte.is_none() {
            self.is_over = true;
            return looked;
        }
        self.at += 1;
        let may_begin = self.end.is_none() && !program.is_anchored;
        if may_begin {
            self.slots[0] = self.at;
            looked += self.enter(program, 0, self.at);
        }
        std::mem::swap(&mut self.threads, &mut self.next);
        self.is_over = !may_begin && self.threads.places.is_empty();
        looked
    }

    /// Adds a place, and those behind it that can be reached without a byte: how much was looked
    /// at. The slots at hand are those of the way there.
    fn enter(&mut self, program: &Program, first: usize, at: usize) -> usize {
        let mut place = first;
        // Whoever came there before is wanted more, and has gone all the way on.
        while self.reached[place] != at + 1 {
            self.reached[place] = at + 1;
            match program.ops.get(place) {
                Some(Op::Save(slot)) => {
                    self.before.push(std::mem::replace(&mut self.slots[*slot], at));
                }
                // It would rather take nothing: it is added on the way back.
                Some(Op::Take(_, Times::Few)) => {}
                Some(Op::Take(_, times)) => {
                    self.next.push(place, &self.slots);
                    if *times == Times::Once {
                        break;
                    }
                }
                None => {
                    if !program.is_to_end || at == self.window {
                        self.next.push(place, &self.slots);
                    }
                    break;
                }
            }
            place += 1;
        }
        for back in (first..place).rev() {
            match program.ops[back] {
                Op::Save(slot) => self.slots[slot] = self.before.pop().unwrap_or_default(),
                Op::Take(_, Times::Few) => self.next.push(back, &self.slots),
                Op::Take(..) => {}
            }
        }
        (1 + place - first) * (1 + self.slots.len() / 8)
    }
}

fn fill(list: &mut Vec<usize>, size: usize) -> Result<()> {
    list.clear();
    reserve(list, size)?;
    list.resize(size, 0);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::parse::parse;
    use super::*;

    /// What a search with all places finds.
    fn find_all(program: &Program, text: &[u8]) -> Option<Match> {
        let mut search = Search { window: text.len(), ..Search::default() };
        fill(&mut search.best, program.slots()).expect("memory");
        search.begin_all(program).expect("memory");
        while !search.advance(program, text) {}
        search.found(program)
    }

    /// What backtracking finds; none where it is too much work.
    fn find_short(program: &Program, text: &[u8]) -> Option<Option<Match>> {
        let mut search = Search::default();
        search.begin(program, text, text.len()).expect("memory");
        search.is_over.then(|| search.found(program))
    }

    #[test]
    fn both_ways_find_the_same() {
        const PARTS: [&str; 20] = [
            "a", "b", ".", "%d", "[ab]", "[^a]", "(", ")", "()", "a*", "a-", "b+", ".-", ".*",
            "a?", "%a?", "[ab]-", "(a-)", "(.*)", "$",
        ];
        let (mut seed, mut matches) = (1_u64, 0);
        let mut random = |most: usize| {
            seed = seed * 16807 % 2_147_483_647;
            seed as usize % most
        };
        for _ in 0..20_000 {
            let mut source = if random(3) == 0 { "^".to_owned() } else { String::new() };
            (0..random(7)).for_each(|_| source.push_str(PARTS[random(PARTS.len())]));
            let Ok(parsed) = parse(source.as_bytes()) else { continue };
            let program = Program::new(&parsed);
            let text: Vec<u8> = (0..random(9)).map(|_| b"ab1 $"[random(5)]).collect();
            let Some(found) = find_short(&program, &text) else { continue };
            assert_eq!(find_all(&program, &text), found, "{source} in {text:?}");
            matches += usize::from(found.is_some());
        }
        assert!(matches > 5000, "{matches}");
    }
}
