//! A dialogue before TLS, whatever its protocol: what the server says goes in, what is to be sent
//! comes out, until TLS may begin. Pure, so that it can be cut anywhere. Uses the clients of the
//! protocols, `client`, `error`.

use std::mem;

use super::client::{Client, LIMIT, Next, Transcript, too_large};
use super::ftp::Ftp;
use super::imap::Imap;
use super::ldap::Ldap;
use super::mysql::Mysql;
use super::pop3::Pop3;
use super::postgres::Postgres;
use super::sieve::Sieve;
use super::smtp::Smtp;
use super::xmpp::Xmpp;
use crate::error::{Code, Error, Result};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Smtp,
    Lmtp,
    Imap,
    Pop3,
    Ftp,
    Sieve,
    Ldap,
    Postgres,
    Mysql,
    Xmpp,
}

/// All of them, as scripts name them.
pub const PROTOCOLS: [(&str, Protocol); 10] = [
    ("smtp", Protocol::Smtp),
    ("lmtp", Protocol::Lmtp),
    ("imap", Protocol::Imap),
    ("pop3", Protocol::Pop3),
    ("ftp", Protocol::Ftp),
    ("sieve", Protocol::Sieve),
    ("ldap", Protocol::Ldap),
    ("postgres", Protocol::Postgres),
    ("mysql", Protocol::Mysql),
    ("xmpp", Protocol::Xmpp),
];

impl Protocol {
    pub fn name(self) -> &'static str {
        PROTOCOLS.iter().find(|(_, protocol)| *protocol == self).map_or("", |(name, _)| *name)
    }
}

/// By which names the client and the server go.
#[derive(Clone, Copy, Debug)]
pub struct Names<'a> {
    /// What EHLO and LHLO say of this side.
    pub hello: &'a str,
    /// What XMPP calls the other one.
    pub server: &'a str,
}

pub struct Dialogue {
    client: Box<dyn Client>,
    /// What has come and was not taken yet.
    input: Vec<u8>,
    transcript: Transcript,
}

impl Dialogue {
    pub fn new(protocol: Protocol, names: Names<'_>) -> Self {
        let client: Box<dyn Client> = match protocol {
            Protocol::Smtp => Box::new(Smtp::new(names.hello)),
            Protocol::Lmtp => Box::new(Smtp::lmtp(names.hello)),
            Protocol::Imap => Box::new(Imap::default()),
            Protocol::Pop3 => Box::new(Pop3::default()),
            Protocol::Ftp => Box::new(Ftp::default()),
            Protocol::Sieve => Box::new(Sieve::default()),
            Protocol::Ldap => Box::new(Ldap::default()),
            Protocol::Postgres => Box::new(Postgres::default()),
            Protocol::Mysql => Box::new(Mysql::default()),
            Protocol::Xmpp => Box::new(Xmpp::new(names.server)),
        };
        Self { client, input: Vec::new(), transcript: Transcript::default() }
    }

    /// What the server says is appended here. Whatever the size of the pieces, the outcome of
    /// [`Dialogue::step`] is the same, but for what comes behind the end.
    pub fn input(&mut self) -> &mut Vec<u8> {
        &mut self.input
    }

    /// The next step. What is to be sent must be sent before the one after it.
    pub fn step(&mut self) -> Result<Next> {
        let seen = &self.input[..self.input.len().min(LIMIT)];
        let (taken, next) = self.client.step(seen, &mut self.transcript)?;
        if next == Next::More && seen.len() == LIMIT {
            return Err(too_large());
        }
        self.input.drain(..taken);
        if next == Next::Begin && !self.input.is_empty() {
            // It was not protected, whoever sent it.
            let detail = "plaintext came before the handshake (injected commands?)";
            return Err(Error::new(Code::Tls, detail));
        }
        Ok(next)
    }

    /// What it waits for, and how much of that has come.
    pub fn awaits(&self) -> (&'static str, usize) {
        (self.client.awaits(), self.input.len() - self.client.kept())
    }

    /// What the server has said of itself.
    pub fn take_transcript(&mut self) -> Transcript {
        mem::take(&mut self.transcript)
    }
}
