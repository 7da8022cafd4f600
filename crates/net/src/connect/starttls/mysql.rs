//! MySQL and MariaDB (protocol 10): the server's handshake packet, and the SSLRequest behind which
//! TLS begins at once. Pure. Uses `client`.

use super::client::{Client, LIMIT, Next, Transcript, foreign, not_offered, refused, too_large};
use crate::error::Result;

/// Bytes before the body of a packet: its length in three, its number in one.
const HEADER: usize = 4;

const PROTOCOL_41: u32 = 1 << 9;
const SSL: u32 = 1 << 11;
const SECURE_CONNECTION: u32 = 1 << 15;
const PLUGIN_AUTH: u32 = 1 << 19;

/// What the first packet of a server that refuses a client begins with, and of the others.
const ERR: u8 = 0xff;
const PROTOCOL: u8 = 10;

/// The largest packet that the SSLRequest says is taken, in bytes, and its character set, utf8mb4.
const LARGEST: u32 = 1 << 24;
const CHARACTERS: u8 = 45;

#[derive(Default)]
pub struct Mysql {
    has_asked: bool,
}

impl Client for Mysql {
    fn step(&mut self, input: &[u8], transcript: &mut Transcript) -> Result<(usize, Next)> {
        if self.has_asked {
            return Ok((0, Next::Begin));
        }
        let no_mysql = || foreign("MySQL", input);
        let Some((header, rest)) = input.split_first_chunk::<HEADER>() else {
            return Ok((0, Next::More));
        };
        let [a, b, c, number] = *header;
        let size = u32::from_le_bytes([a, b, c, 0]) as usize;
        if number != 0 || size == 0 {
            return Err(no_mysql());
        }
        match rest.first() {
            None => return Ok((0, Next::More)),
            Some(&(PROTOCOL | ERR)) => {}
            Some(_) => return Err(no_mysql()),
        }
        if HEADER + size > LIMIT {
            return Err(too_large());
        }
        let Some(body) = rest.get(..size) else { return Ok((0, Next::More)) };
        if body[0] == ERR {
            return Err(refused("the connection", &failure(body)));
        }
        let Handshake { version, flags } = Handshake::read(body).ok_or_else(no_mysql)?;
        transcript.greeted(body)?;
        transcript.offered(&flags.to_le_bytes())?;
        if flags & SSL == 0 {
            return Err(not_offered("TLS", version));
        }
        self.has_asked = true;
        Ok((HEADER + size, Next::Send(ssl_request(flags))))
    }

    fn awaits(&self) -> &'static str {
        "the greeting of MySQL"
    }
}

/// What is of interest in the handshake packet.
struct Handshake<'a> {
    version: &'a [u8],
    /// What the server can do.
    flags: u32,
}

impl<'a> Handshake<'a> {
    fn read(body: &'a [u8]) -> Option<Self> {
        let length = memchr::memchr(0, body)?;
        let version = body.get(1..length)?;
        // The connection's number (4), the first part of the challenge (8), a zero.
        let rest = body.get(length + 1 + 13..)?;
        let lower = rest.get(..2)?;
        // The character set (1) and the status (2) stand between. An old server ends before them.
        let upper = rest.get(5..7).unwrap_or(&[0, 0]);
        let flags = u32::from_le_bytes([lower[0], lower[1], upper[0], upper[1]]);
        Some(Self { version, flags })
    }
}

/// The packet that asks for TLS: the flags, of which the server has all, and what fills it up.
fn ssl_request(offered: u32) -> Vec<u8> {
    let flags = (PROTOCOL_41 | SSL | SECURE_CONNECTION | PLUGIN_AUTH) & offered;
    let mut packet = vec![32, 0, 0, 1];
    packet.extend_from_slice(&flags.to_le_bytes());
    packet.extend_from_slice(&LARGEST.to_le_bytes());
    packet.push(CHARACTERS);
    packet.resize(HEADER + 32, 0);
    packet
}

/// What an ERR packet says: its number and its text. An SQLSTATE may stand between.
fn failure(body: &[u8]) -> Vec<u8> {
    let Some((number, text)) = body[1..].split_first_chunk::<2>() else { return body.to_vec() };
    let text = match text {
        [b'#', _, _, _, _, _, text @ ..] => text,
        text => text,
    };
    let mut words = format!("{} ", u16::from_le_bytes(*number)).into_bytes();
    words.extend_from_slice(text);
    words
}
