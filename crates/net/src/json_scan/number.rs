//! The grammar of numbers.

use super::escape::Halt;
use super::grammar::{Grammar, Part, State, wrong};
use super::run;

impl Grammar {
    /// Ends a number at top level, which only the end of the input can end.
    pub fn end_lone_number(&mut self) {
        if let (State::Number(part), 0) = (self.state, self.nest.depth())
            && !matches!(part, Part::Minus | Part::Point | Part::E | Part::Sign)
        {
            self.state = State::Done;
        }
    }

    #[inline(always)]
    pub(super) fn number_from(&mut self, part: Part, bytes: &[u8]) -> Result<(), Halt> {
        self.part(part);
        self.number(part, bytes)
    }

    /// Takes the number, but not the byte behind it. The code follows the order of the parts: a
    /// loop over them was a quarter slower on floats.
    #[inline(always)]
    pub(super) fn number(&mut self, mut part: Part, bytes: &[u8]) -> Result<(), Halt> {
        use Part::*;
        if part == Minus {
            part = if self.peek(bytes)? == b'0' { Zero } else { Integer };
            self.first_digit(part, bytes)?;
        }
        if part == Integer {
            self.digits(bytes);
        }
        if part == Zero && self.peek(bytes)?.is_ascii_digit() {
            return wrong("a number may not start with 0");
        }
        if matches!(part, Zero | Integer) && self.peek(bytes)? == b'.' {
            part = self.part(Point);
        }
        if part == Point {
            part = self.first_digit(Fraction, bytes)?;
        }
        if part == Fraction {
            self.digits(bytes);
        }
        if matches!(part, Zero | Integer | Fraction) && matches!(self.peek(bytes)?, b'e' | b'E') {
            part = self.part(E);
        }
        if part == E && matches!(self.peek(bytes)?, b'+' | b'-') {
            part = self.part(Sign);
        }
        if matches!(part, E | Sign) {
            part = self.first_digit(Exponent, bytes)?;
        }
        if part == Exponent {
            self.digits(bytes);
            self.peek(bytes)?;
        }
        self.end_value(bytes)
    }

    #[inline(always)]
    fn part(&mut self, part: Part) -> Part {
        self.take(State::Number(part));
        part
    }

    #[inline(always)]
    fn first_digit(&mut self, part: Part, bytes: &[u8]) -> Result<Part, Halt> {
        match self.peek(bytes)? {
            b'0'..=b'9' => Ok(self.part(part)),
            _ => wrong("expected a digit"),
        }
    }

    #[inline(always)]
    fn digits(&mut self, bytes: &[u8]) {
        self.at += run::digits(&bytes[self.at..]);
    }
}
