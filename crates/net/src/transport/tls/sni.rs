//! Certificates that a server chooses by the name that a client asks for (SNI, RFC 6066, section
//! 3). Only the certificate and its key differ by name. So they are given to each connection by
//! itself, and all connections share one context. Uses `identity`, `profile`, `errors`, `error`.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use openssl::ssl::{NameType, SniError, Ssl, SslAlert, SslContext, SslContextBuilder, SslRef};

use super::errors::{clear_errors, openssl_error};
use super::identity::{Identity, mismatch};
use super::profile::{Named, Profile, server_name};
use crate::error::{Error, Result};

/// Returns a name as `Named` has it, from how a script writes it: a host name, or `*.` and one,
/// which stands for all names with one label more. A client never asks for an address.
pub fn sni_pattern(text: &str) -> Option<String> {
    let (star, host) = match text.strip_prefix("*.") {
        Some(host) => ("*.", host),
        None => ("", text),
    };
    let name = server_name(host).ok()?.to_ascii_lowercase();
    name.parse::<IpAddr>().is_err().then(|| format!("{star}{name}"))
}

/// The identities of a server.
struct Identities {
    /// For a client that asks for no name, or for another one.
    default: Option<Identity>,
    exact: HashMap<Vec<u8>, Identity>,
    /// By what stands behind `*.`.
    wildcard: HashMap<Vec<u8>, Identity>,
    /// Clients may have a key in common with the server in place of a certificate.
    has_psk: bool,
}

/// Makes a context whose connections show the certificate of the name that the client asks for.
pub fn serve(
    mut builder: SslContextBuilder,
    default: Option<Identity>,
    profile: &Profile,
) -> Result<SslContext> {
    let identities = Arc::new(Identities::read(default, profile)?);
    let chosen = Arc::clone(&identities);
    builder.set_servername_callback(move |ssl, alert| chosen.choose(ssl, alert));
    let context = builder.build();
    identities.check(&context)?;
    Ok(context)
}

impl Identities {
    fn read(default: Option<Identity>, profile: &Profile) -> Result<Self> {
        let (exact, wildcard, has_psk) = (HashMap::new(), HashMap::new(), profile.psk.is_some());
        let mut identities = Self { default, exact, wildcard, has_psk };
        for Named { name, certificate, key, key_password } in &profile.names {
            let password = key_password.as_ref().or(profile.key_password.as_ref());
            let identity = Identity::of(certificate.as_ref(), key.as_ref(), password)
                .and_then(|identity| identity.ok_or_else(Identity::missing))
                .map_err(|error| of_name(&error, name))?;
            let (map, name) = match name.strip_prefix("*.") {
                Some(rest) => (&mut identities.wildcard, rest),
                None => (&mut identities.exact, &**name),
            };
            map.insert(name.as_bytes().to_vec(), identity);
        }
        Ok(identities)
    }

    /// Whether OpenSSL takes all of them, so that a wrong one is no surprise in a handshake.
    fn check(&self, context: &SslContext) -> Result<()> {
        let mut ssl = Ssl::new(context).map_err(openssl_error)?;
        let mut try_it = |identity: &Identity| {
            identity.give_to_connection(&mut ssl)?;
            // OpenSSL keeps a key of another kind beside the certificate.
            if identity.is_pair() { Ok(()) } else { Err(mismatch()) }
        };
        if let Some(identity) = &self.default {
            try_it(identity)?;
        }
        for (star, identities) in [("", &self.exact), ("*.", &self.wildcard)] {
            for (name, identity) in identities {
                try_it(identity).map_err(|error| {
                    of_name(&error, &format!("{star}{}", String::from_utf8_lossy(name)))
                })?;
            }
        }
        Ok(())
    }

    /// Called by OpenSSL for each client, and once more after a HelloRetryRequest.
    fn choose(&self, ssl: &mut SslRef, alert: &mut SslAlert) -> std::result::Result<(), SniError> {
        let named = ssl.servername_raw(NameType::HOST_NAME).and_then(|name| self.named(name));
        let Some(identity) = named.or(self.default.as_ref()) else {
            if self.has_psk {
                return Err(SniError::NOACK);
            }
            *alert = SslAlert::UNRECOGNIZED_NAME;
            return Err(SniError::ALERT_FATAL);
        };
        if identity.give_to_connection(ssl).is_err() {
            clear_errors();
            *alert = SslAlert::INTERNAL_ERROR;
            return Err(SniError::ALERT_FATAL);
        }
        // A server does not confirm a name that it does not know.
        named.map_or(Err(SniError::NOACK), |_| Ok(()))
    }

    /// Returns the identity for a name as a client sends it; an exact name comes first.
    fn named(&self, asked: &[u8]) -> Option<&Identity> {
        let name = asked.strip_suffix(b".").unwrap_or(asked).to_ascii_lowercase();
        self.exact.get(&name).or_else(|| {
            let dot = name.iter().position(|byte| *byte == b'.').filter(|dot| *dot > 0)?;
            self.wildcard.get(&name[dot + 1..])
        })
    }
}

/// The failure of an entry of `names`.
#[cold]
fn of_name(error: &Error, name: &str) -> Error {
    Error::new(error.code(), format!("{} (names, '{name}')", error.detail()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_that_a_client_asks_for() {
        for (text, name) in [
            ("A.Example.", "a.example"),
            ("*.B.example", "*.b.example"),
            ("Bücher.example", "xn--bcher-kva.example"),
            ("*.bücher.example", "*.xn--bcher-kva.example"),
            ("localhost", "localhost"),
        ] {
            assert_eq!(sni_pattern(text).as_deref(), Some(name));
        }
        for text in
            ["", "*", "*.", "*.*.example", "a.*.example", "w*.example", "192.0.2.1", "*.::1", "::1"]
        {
            assert_eq!(sni_pattern(text), None, "{text}");
        }
    }
}
