//! What a handshake may agree upon: versions, ciphers, groups, signature algorithms, and how weak
//! they may be. Uses `errors`, `profile`, `error`.

use openssl::error::ErrorStack;
use openssl::ssl::{SslContextBuilder, SslVersion};

use super::errors::{clear_errors, openssl_error, reasons};
use super::profile::{Profile, Version};
use crate::error::{Code, Error, Result};
use crate::text::printable;

/// Restricts a context to what the profile allows.
pub fn restrict(builder: &mut SslContextBuilder, profile: &Profile) -> Result<()> {
    if profile.max_version.is_some_and(|max| max < profile.min_version) {
        let detail = "max_version is lower than min_version, which is 1.2 unless it is given";
        return Err(Error::new(Code::Tls, detail));
    }
    builder.set_min_proto_version(Some(version(profile.min_version))).map_err(openssl_error)?;
    builder.set_max_proto_version(profile.max_version.map(version)).map_err(openssl_error)?;
    if let Some(ciphers) = &profile.ciphers {
        builder.set_cipher_list(ciphers).map_err(|stack| refused("ciphers", &stack))?;
    }
    if let Some(suites) = &profile.ciphersuites {
        builder.set_ciphersuites(suites).map_err(|stack| refused("ciphersuites", &stack))?;
    }
    if let Some(groups) = &profile.groups {
        set_list("groups", groups, |list| builder.set_groups_list(list))?;
    }
    if let Some(algorithms) = &profile.signature_algorithms {
        set_list("signature_algorithms", algorithms, |list| builder.set_sigalgs_list(list))?;
    }
    // After the ciphers, which may have a level of their own in them.
    if let Some(level) = profile.security_level {
        builder.set_security_level(level.into());
    }
    Ok(())
}

fn version(version: Version) -> SslVersion {
    match version {
        Version::Tls10 => SslVersion::TLS1,
        Version::Tls11 => SslVersion::TLS1_1,
        Version::Tls12 => SslVersion::TLS1_2,
        Version::Tls13 => SslVersion::TLS1_3,
    }
}

/// Sets a list of names. OpenSSL does not always say which of them it does not know.
fn set_list(
    option: &str,
    list: &str,
    mut set: impl FnMut(&str) -> std::result::Result<(), ErrorStack>,
) -> Result<()> {
    if set(list).is_ok() {
        return Ok(());
    }
    let detail = match list.split(':').find(|name| set(name).is_err()) {
        Some(name) => format!("{option}: this OpenSSL has no '{}'", printable(name)),
        None => format!("{option}: this OpenSSL refuses the list, is a name in it twice?"),
    };
    clear_errors();
    Err(Error::new(Code::Tls, detail))
}

/// The failure of an option whose value OpenSSL refuses.
pub fn refused(option: &str, stack: &ErrorStack) -> Error {
    Error::new(Code::Tls, format!("{option}: {}", reasons(stack)))
}
