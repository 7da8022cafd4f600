//! The option `psk`. No message of it shows a key. Uses `ffi`.

use net::memory::reserve;
use net::transport::tls::Psk;

use crate::ffi::argument::{Argument, Type};
use crate::ffi::call::Result;

/// The most identities of a server.
const MANY: usize = 65_536;

/// `{identity =, key = "hex"}`.
pub fn of_client(option: Argument<'_>) -> Result<Psk> {
    let (mut identity, mut key) = (None, None);
    option.each_option(|member| {
        match member.name() {
            "identity" if !Psk::is_identity(member.bytes()?) => {
                return Err(option.wrong(IDENTITY));
            }
            "identity" => identity = Some(member.owned_bytes()?),
            "key" => key = Some(key_of(option, member)?),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    match identity.zip(key) {
        Some(secret) => Ok(Psk::new([secret])),
        None => Err(option.wrong("a table with identity and key expected")),
    }
}

/// `{[identity] = "hex", ...}`.
pub fn of_server(option: Argument<'_>) -> Result<Psk> {
    let mut secrets = Vec::new();
    option.each(|identity, key| {
        // A number would become text in its place, and the table have no next key.
        if identity.value_type() != Type::String || !Psk::is_identity(identity.bytes()?) {
            return Err(option.wrong(IDENTITY));
        }
        if secrets.len() == MANY {
            return Err(option.wrong(format_args!("up to {MANY} identities expected")));
        }
        reserve(&mut secrets, 1)?;
        secrets.push((identity.owned_bytes()?, key_of(option, key)?));
        Ok(())
    })?;
    match secrets.is_empty() {
        true => Err(option.wrong("a table of identities and their keys expected")),
        false => Ok(Psk::new(secrets)),
    }
}

const IDENTITY: &str = "an identity of 1 to 255 bytes, without a zero byte, expected";

fn key_of(option: Argument<'_>, key: Argument<'_>) -> Result<Vec<u8>> {
    let wrong = || option.wrong("a key of 16 to 256 bytes in hexadecimal expected");
    // Digits that Lua took for a number are not the ones that were written.
    match key.value_type() {
        Type::String => Psk::parse_key(key.bytes()?).ok_or_else(wrong),
        _ => Err(wrong()),
    }
}
