//! FTP (RFC 4217): greeting, FEAT, AUTH TLS. A server need not know FEAT, and one that lists no
//! AUTH TLS may still take it. Pure. Uses `client`, `lines`.

use super::client::{Client, Next, Transcript, foreign, refused, send};
use super::lines::{Between, Reply, reply};
use crate::error::Result;

#[derive(Default)]
pub struct Ftp {
    awaits: Awaits,
}

#[derive(Clone, Copy, Default)]
enum Awaits {
    #[default]
    Greeting,
    Features,
    GoAhead,
}

impl Client for Ftp {
    fn step(&mut self, input: &[u8], transcript: &mut Transcript) -> Result<(usize, Next)> {
        let Some((size, Reply { code, bytes })) = last_reply(input)? else {
            return Ok((0, Next::More));
        };
        let next = match (self.awaits, code) {
            (Awaits::Greeting, 220) => {
                transcript.greeted(&input[..size])?;
                self.awaits = Awaits::Features;
                send("FEAT\r\n")
            }
            (Awaits::Greeting, _) => return Err(refused("the connection", bytes)),
            // It ends the connection with this one.
            (Awaits::Features, 421) => return Err(refused("FEAT", bytes)),
            (Awaits::Features, code) => {
                if code == 211 {
                    transcript.offered(bytes)?;
                }
                self.awaits = Awaits::GoAhead;
                send("AUTH TLS\r\n")
            }
            (Awaits::GoAhead, 234) => Next::Begin,
            (Awaits::GoAhead, _) => return Err(refused("AUTH TLS", bytes)),
        };
        Ok((size, next))
    }

    fn awaits(&self) -> &'static str {
        match self.awaits {
            Awaits::Greeting => "the greeting of FTP",
            Awaits::Features => "the answer to FEAT",
            Awaits::GoAhead => "the answer to AUTH TLS",
        }
    }
}

/// The first reply that is not of those which announce another one (RFC 959, section 4.2: 1yz), and
/// where it ends.
fn last_reply(input: &[u8]) -> Result<Option<(usize, Reply<'_>)>> {
    let mut at = 0;
    loop {
        let found = reply(&input[at..], Between::Free).map_err(|line| foreign("FTP", line))?;
        let Some(reply) = found else { return Ok(None) };
        at += reply.bytes.len();
        if reply.code >= 200 {
            return Ok(Some((at, reply)));
        }
    }
}
