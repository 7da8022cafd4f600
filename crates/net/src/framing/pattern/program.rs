//! A pattern as what is done at each of its places. Uses `framing::pattern::parse`.

use super::parse::{Class, Parsed, Piece, Times};

#[derive(Clone, Copy, Debug)]
pub enum Op {
    Take(Class, Times),
    /// The place in the text goes into this slot.
    Save(usize),
}

/// The pattern as what is done at each of its places; behind the last one it has matched.
#[derive(Debug)]
pub struct Program {
    pub ops: Vec<Op>,
    /// Of each capture, whether it is one of a position.
    pub positions: Vec<bool>,
    pub is_anchored: bool,
    pub is_to_end: bool,
}

impl Program {
    pub fn new(parsed: &Parsed) -> Self {
        let (mut count, mut open) = (0, Vec::new());
        let op = |piece: &Piece| match piece {
            Piece::Single(class, times) => Op::Take(*class, *times),
            Piece::Open | Piece::Position => {
                let slot = begin_of(count);
                count += 1;
                if *piece == Piece::Open {
                    open.push(slot);
                }
                Op::Save(slot)
            }
            // None is closed that is not open: the parser has seen to it.
            Piece::Close => Op::Save(open.pop().map_or(0, |slot: usize| slot + 1)),
        };
        Self {
            ops: parsed.pieces.iter().map(op).collect(),
            positions: parsed.positions(),
            is_anchored: parsed.is_anchored,
            is_to_end: parsed.is_to_end,
        }
    }

    /// The place where the match begins, and those where each capture begins and ends.
    pub fn slots(&self) -> usize {
        begin_of(self.positions.len())
    }
}

/// The slot where a capture begins; where it ends is in the next one.
pub fn begin_of(capture: usize) -> usize {
    1 + 2 * capture
}
