//! SMTP (RFC 3207) and LMTP (RFC 2033): greeting, EHLO or LHLO, STARTTLS. Pure. Uses `client`,
//! `lines`.

use super::client::{Client, Next, Transcript, foreign, not_offered, refused, send};
use super::lines::{Between, first_word, reply};
use crate::error::Result;

pub struct Smtp {
    protocol: &'static str,
    /// `EHLO` or `LHLO`.
    hello: &'static str,
    /// The name behind it.
    name: String,
    awaits: Awaits,
}

#[derive(Clone, Copy)]
enum Awaits {
    Greeting,
    Capabilities,
    GoAhead,
}

impl Smtp {
    pub fn new(name: &str) -> Self {
        let name = name.to_owned();
        Self { protocol: "SMTP", hello: "EHLO", name, awaits: Awaits::Greeting }
    }

    pub fn lmtp(name: &str) -> Self {
        Self { protocol: "LMTP", hello: "LHLO", ..Self::new(name) }
    }
}

impl Client for Smtp {
    fn step(&mut self, input: &[u8], transcript: &mut Transcript) -> Result<(usize, Next)> {
        let reply = reply(input, Between::Coded).map_err(|line| foreign(self.protocol, line))?;
        let Some(reply) = reply else { return Ok((0, Next::More)) };
        let next = match (self.awaits, reply.code) {
            (Awaits::Greeting, 220) => {
                transcript.greeted(reply.bytes)?;
                self.awaits = Awaits::Capabilities;
                send(&format!("{} {}\r\n", self.hello, self.name))
            }
            (Awaits::Greeting, _) => return Err(refused("the connection", reply.bytes)),
            (Awaits::Capabilities, 250) => {
                transcript.offered(reply.bytes)?;
                // The first line names the server.
                let is_offered = |text| first_word(text).eq_ignore_ascii_case(b"STARTTLS");
                if !reply.texts().skip(1).any(is_offered) {
                    return Err(not_offered("STARTTLS", reply.bytes));
                }
                self.awaits = Awaits::GoAhead;
                send("STARTTLS\r\n")
            }
            (Awaits::Capabilities, _) => return Err(refused(self.hello, reply.bytes)),
            (Awaits::GoAhead, 220) => Next::Begin,
            (Awaits::GoAhead, _) => return Err(refused("STARTTLS", reply.bytes)),
        };
        Ok((reply.bytes.len(), next))
    }

    fn awaits(&self) -> &'static str {
        match (self.awaits, self.hello) {
            (Awaits::Greeting, "EHLO") => "the greeting of SMTP",
            (Awaits::Greeting, _) => "the greeting of LMTP",
            (Awaits::Capabilities, "EHLO") => "the answer to EHLO",
            (Awaits::Capabilities, _) => "the answer to LHLO",
            (Awaits::GoAhead, _) => "the answer to STARTTLS",
        }
    }
}
