//! IMAP (RFC 9051, section 6.2.1; RFC 3501): greeting, CAPABILITY unless the greeting has told it,
//! STARTTLS. Pure. Uses `client`, `lines`.

use super::client::{Client, Next, Transcript, foreign, not_offered, refused, send};
use super::lines::{Line, first_word, lines};
use crate::error::Result;

#[derive(Default)]
pub struct Imap {
    awaits: Awaits,
}

#[derive(Clone, Copy, Default)]
enum Awaits {
    #[default]
    Greeting,
    /// The answer to CAPABILITY.
    Capabilities,
    /// That to STARTTLS, with this tag.
    GoAhead(&'static str),
}

/// An answer up to its tagged line.
struct Tagged<'a> {
    /// What is behind the tag.
    status: &'a [u8],
    bytes: &'a [u8],
    has_starttls: bool,
}

impl Client for Imap {
    fn step(&mut self, input: &[u8], transcript: &mut Transcript) -> Result<(usize, Next)> {
        let tag = match self.awaits {
            Awaits::Greeting => return self.greeted(input, transcript),
            Awaits::Capabilities => "a1",
            Awaits::GoAhead(tag) => tag,
        };
        let Some(Tagged { status, bytes, has_starttls }) = tagged(input, tag)? else {
            return Ok((0, Next::More));
        };
        let is_ok = is(first_word(status), b"OK");
        let next = match (self.awaits, is_ok) {
            (Awaits::GoAhead(_), true) => Next::Begin,
            (Awaits::GoAhead(_), false) => return Err(refused("STARTTLS", bytes)),
            (_, false) => return Err(refused("CAPABILITY", bytes)),
            (_, true) => {
                transcript.offered(bytes)?;
                if !has_starttls {
                    return Err(not_offered("STARTTLS", bytes));
                }
                self.awaits = Awaits::GoAhead("a2");
                send("a2 STARTTLS\r\n")
            }
        };
        Ok((bytes.len(), next))
    }

    fn awaits(&self) -> &'static str {
        match self.awaits {
            Awaits::Greeting => "the greeting of IMAP",
            Awaits::Capabilities => "the answer to CAPABILITY",
            Awaits::GoAhead(_) => "the answer to STARTTLS",
        }
    }
}

impl Imap {
    fn greeted(&mut self, input: &[u8], transcript: &mut Transcript) -> Result<(usize, Next)> {
        let Some(Line { text, end }) = lines(input).next() else { return Ok((0, Next::More)) };
        let status = text.strip_prefix(b"* ").ok_or_else(|| foreign("IMAP", text))?;
        match first_word(status) {
            word if is(word, b"OK") => {}
            word if is(word, b"BYE") => return Err(refused("the connection", text)),
            // Who is logged in already cannot begin TLS any more.
            word if is(word, b"PREAUTH") => return Err(not_offered("STARTTLS", text)),
            _ => return Err(foreign("IMAP", text)),
        }
        transcript.greeted(&input[..end])?;
        if code_has_starttls(status) {
            transcript.offered(&input[..end])?;
            self.awaits = Awaits::GoAhead("a1");
            return Ok((end, send("a1 STARTTLS\r\n")));
        }
        self.awaits = Awaits::Capabilities;
        Ok((end, send("a1 CAPABILITY\r\n")))
    }
}

/// The answer to the command with this tag; `None` where it is not whole.
fn tagged<'a>(input: &'a [u8], tag: &str) -> Result<Option<Tagged<'a>>> {
    let mut has_starttls = false;
    for Line { text, end } in lines(input) {
        if let Some(rest) = text.strip_prefix(b"* ") {
            match first_word(rest) {
                word if is(word, b"BYE") => return Err(refused("the connection", text)),
                word if is(word, b"CAPABILITY") => has_starttls |= lists_starttls(rest),
                _ => has_starttls |= code_has_starttls(rest),
            }
        } else if let Some(status) = text.strip_prefix(tag.as_bytes())
            && let Some(status) = status.strip_prefix(b" ")
        {
            has_starttls |= code_has_starttls(status);
            return Ok(Some(Tagged { status, bytes: &input[..end], has_starttls }));
        } else {
            return Err(foreign("IMAP", text));
        }
    }
    Ok(None)
}

/// Whether a line such as `OK [CAPABILITY IMAP4rev1 STARTTLS] ready` has it.
fn code_has_starttls(status: &[u8]) -> bool {
    let mut words = status.splitn(2, |byte| *byte == b'[');
    let code = words.nth(1).and_then(|rest| rest.split(|byte| *byte == b']').next());
    code.is_some_and(|code| is(first_word(code), b"CAPABILITY") && lists_starttls(code))
}

fn lists_starttls(list: &[u8]) -> bool {
    list.split(|byte| *byte == b' ').any(|word| is(word, b"STARTTLS"))
}

/// Words are the same in whatever case.
fn is(word: &[u8], other: &[u8]) -> bool {
    word.eq_ignore_ascii_case(other)
}
