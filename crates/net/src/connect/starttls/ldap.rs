//! LDAP (RFC 4511, section 4.14): the extended operation StartTLS, in BER. Pure. Uses `client`.

use super::client::{Client, LIMIT, Next, Transcript, foreign, refused, too_large};
use crate::error::Result;

/// An LDAPMessage with the number 1: the ExtendedRequest 1.3.6.1.4.1.1466.20037.
const START_TLS: &[u8] = b"\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037";

const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const ENUMERATED: u8 = 0x0a;
const SEQUENCE: u8 = 0x30;
const EXTENDED_RESPONSE: u8 = 0x78;

#[derive(Default)]
pub struct Ldap {
    has_asked: bool,
}

impl Client for Ldap {
    fn step(&mut self, input: &[u8], _: &mut Transcript) -> Result<(usize, Next)> {
        if !self.has_asked {
            self.has_asked = true;
            return Ok((0, Next::Send(START_TLS.to_vec())));
        }
        let no_ldap = || foreign("LDAP", input);
        if input.first().is_some_and(|tag| *tag != SEQUENCE) {
            return Err(no_ldap());
        }
        let message = match Header::read(input).ok_or_else(no_ldap)? {
            None => return Ok((0, Next::More)),
            Some(header) if header.end() > LIMIT => return Err(too_large()),
            Some(header) => match input.get(header.start..header.end()) {
                None => return Ok((0, Next::More)),
                Some(message) => message,
            },
        };
        let result = LdapResult::read(message).ok_or_else(no_ldap)?;
        if !(result.is_answer && result.code == 0) {
            return Err(refused("StartTLS", &result.words()));
        }
        let size = message.as_ptr_range().end as usize - input.as_ptr() as usize;
        Ok((size, Next::Begin))
    }

    fn awaits(&self) -> &'static str {
        "the answer to StartTLS"
    }
}

/// What the server says of an extended operation.
struct LdapResult<'a> {
    /// Whether it answers the request. Else it is a notice, such as that of a disconnection.
    is_answer: bool,
    code: u32,
    diagnostic: &'a [u8],
}

impl<'a> LdapResult<'a> {
    /// Reads what is in the sequence of an LDAPMessage; `None` where it is not that of an
    /// ExtendedResponse. What follows its first three members is not looked at.
    fn read(mut message: &'a [u8]) -> Option<Self> {
        let number = integer(take(&mut message, INTEGER)?)?;
        let mut response = take(&mut message, EXTENDED_RESPONSE)?;
        let code = integer(take(&mut response, ENUMERATED)?)?;
        take(&mut response, OCTET_STRING)?;
        let diagnostic = take(&mut response, OCTET_STRING)?;
        Some(Self { is_answer: number == 1, code, diagnostic })
    }

    /// `protocolError (2): unsupported extended operation`.
    fn words(&self) -> Vec<u8> {
        let mut words = format!("{} ({})", name(self.code), self.code).into_bytes();
        if !self.diagnostic.is_empty() {
            words.extend_from_slice(b": ");
            words.extend_from_slice(self.diagnostic);
        }
        words
    }
}

/// Where the content of an element begins, and its size.
struct Header {
    start: usize,
    size: usize,
}

impl Header {
    fn end(&self) -> usize {
        self.start.saturating_add(self.size)
    }

    /// The header of the element at the front: `Some(None)` where it is not whole, `None` where it
    /// is none. LDAP has definite lengths only (RFC 4511, section 5.1), which need not be short.
    fn read(bytes: &[u8]) -> Option<Option<Self>> {
        let Some(first) = bytes.get(1) else { return Some(None) };
        match usize::from(*first) {
            size @ ..=0x7f => Some(Some(Self { start: 2, size })),
            count @ 0x81..=0x84 => {
                let start = 2 + (count - 0x80);
                let Some(digits) = bytes.get(2..start) else { return Some(None) };
                let size = digits.iter().fold(0, |size, digit| size << 8 | usize::from(*digit));
                Some(Some(Self { start, size }))
            }
            _ => None,
        }
    }
}

/// Takes the element at the front, which must have this tag: its content.
fn take<'a>(bytes: &mut &'a [u8], tag: u8) -> Option<&'a [u8]> {
    if *bytes.first()? != tag {
        return None;
    }
    let header = Header::read(bytes)??;
    let content = bytes.get(header.start..header.end())?;
    *bytes = &bytes[header.end()..];
    Some(content)
}

/// An integer that is not negative.
fn integer(content: &[u8]) -> Option<u32> {
    match content {
        [first, ..] if *first < 0x80 && content.len() <= 4 => {
            Some(content.iter().fold(0, |value, digit| value << 8 | u32::from(*digit)))
        }
        _ => None,
    }
}

/// The name of a result code (RFC 4511, section 4.1.9).
fn name(code: u32) -> &'static str {
    match code {
        0 => "success",
        1 => "operationsError",
        2 => "protocolError",
        8 => "strongerAuthRequired",
        10 => "referral",
        13 => "confidentialityRequired",
        50 => "insufficientAccessRights",
        51 => "busy",
        52 => "unavailable",
        53 => "unwillingToPerform",
        80 => "other",
        _ => "result",
    }
}
