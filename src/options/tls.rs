//! The options of TLS. Uses `ffi`, `options::psk`.

use std::path::PathBuf;
use std::sync::Arc;

use net::transport::tls::{self, Side};

use super::names::names;
use super::psk;
use crate::ffi::argument::{Argument, Type};
use crate::ffi::call::Result;

/// The options of `start_tls` on a connection to `host`, and the side that they are for. A Unix
/// socket has no host.
pub fn start(
    argument: Argument<'_>,
    side: Side,
    host: Option<&str>,
) -> Result<(Side, tls::Settings)> {
    let mut side = side;
    if !argument.is_absent() {
        // It decides which of the others there are.
        argument.each_option(|option| {
            if option.name() == "side" {
                side = option.one_of(&[("client", Side::Client), ("server", Side::Server)])?;
            }
            Ok(true)
        })?;
    }
    let name = match (side, host) {
        (Side::Client, Some(host)) => tls::server_name(host)?,
        _ => String::new(),
    };
    let mut settings = tls::Settings::new(name);
    let mut is_nameless = false;
    if !argument.is_absent() {
        argument.each_option(|option| match option.name() {
            "side" => Ok(true),
            "server_name" if side == Side::Client && is_false(option) => {
                is_nameless = true;
                set_of(side, &mut settings, option)
            }
            _ => set_of(side, &mut settings, option),
        })?;
    }
    if side == Side::Client && settings.server_name.is_empty() && !is_nameless {
        return Err(argument.wrong("option 'server_name' expected, a Unix socket has no host"));
    }
    Ok((side, settings))
}

/// Sets an option that this side has. False: it has no such name.
pub fn set_of(side: Side, settings: &mut tls::Settings, option: Argument<'_>) -> Result<bool> {
    match option.name() {
        "server_name" | "session" | "ocsp" | "legacy_renegotiation" if side == Side::Server => {
            return Err(option.wrong("a client's, this side is the server"));
        }
        "names" if side == Side::Client => {
            return Err(option.wrong("a server's, this side is the client"));
        }
        "verify" if side == Side::Server => {
            settings.is_optional = is_word(option, b"optional");
            settings.verify = settings.is_optional || option.boolean()?;
        }
        "psk" if side == Side::Server => settings.profile.psk = Some(psk::of_server(option)?),
        _ => return set(settings, option),
    }
    Ok(true)
}

/// Sets one option of a client. False: there is none of that name.
pub fn set(settings: &mut tls::Settings, option: Argument<'_>) -> Result<bool> {
    let profile = &mut settings.profile;
    match option.name() {
        "verify" if is_word(option, b"chain") => settings.any_name = true,
        "verify" => settings.verify = option.boolean()?,
        "server_name" if is_false(option) => settings.server_name = String::new(),
        "server_name" => {
            settings.server_name = tls::server_name(option.text()?)
                .map_err(|_| option.wrong("a host name or an IP address expected"))?;
        }
        "ca_file" | "ca" => profile.trust.certificates.push(pem(option)?),
        "ca_dir" => profile.trust.dir = Some(path(option)?),
        "cert_file" | "cert" => once(&mut profile.certificate, option)?,
        "key_file" | "key" => once(&mut profile.key, option)?,
        "names" => profile.names = names(option)?,
        "key_password" => profile.key_password = Some(Arc::new(option.owned_bytes()?)),
        "min_version" => profile.min_version = version(option)?,
        "max_version" => profile.max_version = Some(version(option)?),
        "ciphers" => profile.ciphers = Some(word_list(option, "ciphers")?),
        "ciphersuites" => profile.ciphersuites = Some(word_list(option, "ciphers")?),
        "groups" => profile.groups = Some(word_list(option, "groups")?),
        "signature_algorithms" => {
            let words = word_list(option, "signature algorithms")?;
            profile.signature_algorithms = Some(words);
        }
        "security_level" => profile.security_level = Some(option.integer(0, 5)? as u8),
        "partial_chain" => profile.partial_chain = option.boolean()?,
        "crl_file" | "crl" => profile.lists.push(pem(option)?),
        "ocsp" => profile.reports_ocsp = option.one_of(&[("report", true)])?,
        "psk" => profile.psk = Some(psk::of_client(option)?),
        "legacy_renegotiation" => profile.legacy_renegotiation = option.boolean()?,
        "alpn" => profile.alpn = list(option, protocol)?,
        "session" => settings.session = Some(option.owned_bytes()?),
        "pin_sha256" => settings.pins = list(option, pin)?,
        "close_notify" => {
            settings.ignore_truncation = option.one_of(&[("require", false), ("ignore", true)])?;
        }
        "keylog" => profile.keylog = option.boolean()?,
        _ => return Ok(false),
    }
    Ok(true)
}

fn is_word(option: Argument<'_>, word: &[u8]) -> bool {
    option.value_type() == Type::String && option.bytes().is_ok_and(|given| given == word)
}

/// Whether the option says no.
pub fn is_false(option: Argument<'_>) -> bool {
    option.value_type() == Type::Boolean(false)
}

/// Whether there is an option of this name, be its value right or wrong.
pub fn is_known(option: Argument<'_>) -> bool {
    !matches!(set(&mut tls::Settings::new(String::new()), option), Ok(false))
}

/// PEM text, or with `_file` in the option's name the path of a file of it.
fn pem(option: Argument<'_>) -> Result<tls::Pem> {
    Ok(match option.name().ends_with("_file") {
        true => tls::Pem::File(path(option)?),
        false => tls::Pem::Text(Arc::new(option.owned_bytes()?)),
    })
}

/// Sets what may be given as a file or as text, and not as both.
pub fn once(pem_of: &mut Option<tls::Pem>, option: Argument<'_>) -> Result<()> {
    match pem_of.replace(pem(option)?) {
        Some(_) => Err(option.wrong("given as a file and as text")),
        None => Ok(()),
    }
}

fn version(option: Argument<'_>) -> Result<tls::Version> {
    use tls::Version::{Tls10, Tls11, Tls12, Tls13};
    option.one_of(&[("1.0", Tls10), ("1.1", Tls11), ("1.2", Tls12), ("1.3", Tls13)])
}

/// The longest path, and list in OpenSSL's notation, in bytes.
const LONGEST: usize = 4096;
/// Values of an option that may be a list.
const MANY: usize = 64;

/// A list in OpenSSL's notation.
fn word_list(option: Argument<'_>, of: &str) -> Result<String> {
    let words = option.text()?;
    if words.is_empty() || words.len() > LONGEST || words.contains('\0') {
        return Err(option.wrong(format_args!("OpenSSL's names of {of} expected")));
    }
    option.owned_text()
}

/// One value or a table of several.
fn list<T>(option: Argument<'_>, one: fn(Argument<'_>) -> Result<T>) -> Result<Vec<T>> {
    if option.value_type() != Type::Table {
        return Ok(vec![one(option)?]);
    }
    let wrong = || option.wrong(format_args!("one value or a list of up to {MANY} expected"));
    let mut values = Vec::new();
    let is_sequence = option.each_of_sequence(|element| {
        if values.len() == MANY {
            return Err(wrong());
        }
        values.push(one(element)?);
        Ok(())
    })?;
    // A list that is empty, or not read to its end, would pass for one that asks for less.
    if values.is_empty() || !is_sequence {
        return Err(wrong());
    }
    Ok(values)
}

/// A protocol's name for ALPN (RFC 7301, section 3.1).
fn protocol(option: Argument<'_>) -> Result<Vec<u8>> {
    match option.bytes()?.len() {
        1..=255 => option.owned_bytes(),
        _ => Err(option.wrong("names of 1 to 255 bytes expected")),
    }
}

/// A SHA-256, in hexadecimal or base64.
fn pin(option: Argument<'_>) -> Result<tls::Pin> {
    let text = option.text()?;
    tls::parse_pin(text).ok_or_else(|| {
        option.wrong("the SHA-256 of a public key, in base64 or hexadecimal, expected")
    })
}

pub fn path(option: Argument<'_>) -> Result<PathBuf> {
    let path = option.text()?;
    if path.len() > LONGEST || path.contains('\0') {
        return Err(option.wrong("a path of up to 4096 bytes, without a zero byte, expected"));
    }
    Ok(PathBuf::from(option.owned_text()?))
}
