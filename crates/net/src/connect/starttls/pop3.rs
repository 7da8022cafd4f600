//! POP3 (RFC 2595, section 4): greeting, CAPA, STLS. A server need not know CAPA, and is asked for
//! STLS all the same. Pure. Uses `client`, `lines`.

use super::client::{Client, Next, Transcript, foreign, not_offered, refused, send};
use super::lines::{Line, Lines, first_word, lines};
use crate::error::Result;

#[derive(Default)]
pub struct Pop3 {
    awaits: Awaits,
}

#[derive(Clone, Copy, Default)]
enum Awaits {
    #[default]
    Greeting,
    Capabilities,
    GoAhead,
}

impl Client for Pop3 {
    fn step(&mut self, input: &[u8], transcript: &mut Transcript) -> Result<(usize, Next)> {
        let mut lines = lines(input);
        let Some(Line { text, end }) = lines.next() else { return Ok((0, Next::More)) };
        let is_ok = match first_word(text) {
            b"+OK" => true,
            b"-ERR" => false,
            _ => return Err(foreign("POP3", text)),
        };
        Ok(match (self.awaits, is_ok) {
            (Awaits::Greeting, true) => {
                transcript.greeted(&input[..end])?;
                self.awaits = Awaits::Capabilities;
                (end, send("CAPA\r\n"))
            }
            (Awaits::Greeting, false) => return Err(refused("the connection", text)),
            (Awaits::Capabilities, true) => match listed(lines) {
                None => (0, Next::More),
                Some(list) => {
                    transcript.offered(&input[..list.end])?;
                    if !list.has_stls {
                        return Err(not_offered("STLS", &input[..list.end]));
                    }
                    self.ask(list.end)
                }
            },
            (Awaits::Capabilities, false) => self.ask(end),
            (Awaits::GoAhead, true) => (end, Next::Begin),
            (Awaits::GoAhead, false) => return Err(refused("STLS", text)),
        })
    }

    fn awaits(&self) -> &'static str {
        match self.awaits {
            Awaits::Greeting => "the greeting of POP3",
            Awaits::Capabilities => "the answer to CAPA",
            Awaits::GoAhead => "the answer to STLS",
        }
    }
}

impl Pop3 {
    fn ask(&mut self, taken: usize) -> (usize, Next) {
        self.awaits = Awaits::GoAhead;
        (taken, send("STLS\r\n"))
    }
}

struct Listed {
    has_stls: bool,
    /// Where it ends in the input.
    end: usize,
}

/// A list up to the line that is a dot (RFC 2449, section 5); `None` where it is not whole.
fn listed(lines: Lines<'_>) -> Option<Listed> {
    let mut has_stls = false;
    for Line { text, end } in lines {
        if text == b"." {
            return Some(Listed { has_stls, end });
        }
        has_stls |= first_word(text).eq_ignore_ascii_case(b"STLS");
    }
    None
}
