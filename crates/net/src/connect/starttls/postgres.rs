//! PostgreSQL (its protocol 3.0, section "SSL Session Encryption"): SSLRequest, and one byte. Pure.
//! Uses `client`.

use super::client::{Client, LIMIT, Next, Transcript, foreign, not_offered, refused, too_large};
use crate::error::Result;

/// Eight bytes, and the number that asks for TLS.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

#[derive(Default)]
pub struct Postgres {
    has_asked: bool,
}

impl Client for Postgres {
    fn step(&mut self, input: &[u8], _: &mut Transcript) -> Result<(usize, Next)> {
        if !self.has_asked {
            self.has_asked = true;
            return Ok((0, Next::Send(SSL_REQUEST.to_vec())));
        }
        match input.first() {
            None => Ok((0, Next::More)),
            Some(b'S') => Ok((1, Next::Begin)),
            Some(b'N') => Err(not_offered("TLS", b"N")),
            Some(b'E') => failure(input),
            Some(_) => Err(foreign("PostgreSQL", input)),
        }
    }

    fn awaits(&self) -> &'static str {
        "the answer to SSLRequest"
    }
}

/// What an ErrorResponse says, once it has come.
fn failure(input: &[u8]) -> Result<(usize, Next)> {
    let bytes = &input[1..];
    let Some((length, _)) = bytes.split_first_chunk::<4>() else { return Ok((0, Next::More)) };
    let length = u32::from_be_bytes(*length) as usize;
    if length < 4 {
        return Err(foreign("PostgreSQL", input));
    }
    if length >= LIMIT {
        return Err(too_large());
    }
    match bytes.get(4..length) {
        None => Ok((0, Next::More)),
        Some(fields) => Err(refused("TLS", message(fields))),
    }
}

/// The field for people, among those of which each is a letter and a text that a zero ends.
fn message(fields: &[u8]) -> &[u8] {
    let mut each = fields.split(|byte| *byte == 0);
    each.find_map(|field| field.strip_prefix(b"M")).unwrap_or(fields)
}
