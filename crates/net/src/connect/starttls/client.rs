//! What the client of each protocol has in common: its shape, what it learns of the server, and the
//! words of its failures. Pure. Uses `memory`, `error`.

use std::fmt::Arguments;

use crate::error::{Code, Error, Result};
use crate::memory::copy;
use crate::text::excerpt;

/// The longest answer that is gathered, in bytes. Real ones have a tenth of it.
pub const LIMIT: usize = 16 * 1024;

/// How much of what the server said a message has, in bytes.
const SHOWN: usize = 200;

/// The client's part in the dialogue of one protocol. It keeps its place, and no bytes.
pub trait Client {
    /// Looks at what the server has said and was not taken yet, at most [`LIMIT`] bytes: how many
    /// of them are taken now, and what comes next.
    fn step(&mut self, input: &[u8], transcript: &mut Transcript) -> Result<(usize, Next)>;

    /// What it waits for, as a timeout says it.
    fn awaits(&self) -> &'static str;

    /// Bytes of earlier answers that are not taken yet.
    fn kept(&self) -> usize {
        0
    }
}

#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// The answer is not whole; nothing is taken.
    More,
    /// This is to be sent. Then the next step follows, with what is left.
    Send(Vec<u8>),
    /// TLS begins.
    Begin,
}

/// What the server said of itself, as it came. Empty where its protocol has no such thing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transcript {
    pub greeting: Vec<u8>,
    pub capabilities: Vec<u8>,
}

impl Transcript {
    pub fn greeted(&mut self, greeting: &[u8]) -> Result<()> {
        self.greeting = copy(greeting)?;
        Ok(())
    }

    pub fn offered(&mut self, capabilities: &[u8]) -> Result<()> {
        self.capabilities = copy(capabilities)?;
        Ok(())
    }
}

/// A command that is sent.
pub fn send(command: &str) -> Next {
    Next::Send(command.as_bytes().to_vec())
}

/// The server can, or may, not begin TLS.
#[cold]
pub fn not_offered(what: &str, said: &[u8]) -> Error {
    unexpected(format_args!("the server does not offer {what}"), said)
}

/// The server said no.
#[cold]
pub fn refused(what: &str, said: &[u8]) -> Error {
    unexpected(format_args!("the server refused {what}"), said)
}

/// What came is not of this protocol.
#[cold]
pub fn foreign(protocol: &str, said: &[u8]) -> Error {
    unexpected(format_args!("the server does not speak {protocol}"), said)
}

fn unexpected(what: Arguments<'_>, said: &[u8]) -> Error {
    let said = said.trim_ascii();
    let said = excerpt(&said[..said.len().min(SHOWN)]);
    Error::new(Code::Unexpected, format!("{what}, it said \"{said}\""))
}

#[cold]
pub fn too_large() -> Error {
    Error::new(Code::TooLarge, format!("an answer of over {LIMIT} bytes"))
}
