//! Keys that both sides know, in place of certificates (RFC 4279; RFC 8446, section 2.2). Uses
//! `errors`, `error`.

use std::ops::RangeInclusive;
use std::sync::{Arc, OnceLock};

use openssl::error::ErrorStack;
use openssl::ex_data::Index;
use openssl::ssl::{Ssl, SslContextBuilder, SslOptions, SslRef, SslVersion};

use super::errors::openssl_error;
use crate::error::Result;

/// What an identity and a key may measure, in bytes. OpenSSL takes identities of 255 bytes on both
/// sides, and RFC 4279, section 5.3, has keys of 64.
const IDENTITY: RangeInclusive<usize> = 1..=255;
const KEY: RangeInclusive<usize> = 16..=256;

/// The suites of TLS 1.3 for a key whose hash is not told: it is SHA-256 (RFC 8446, section
/// 4.2.11).
const SUITES: &str = "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256";

/// The ciphers of TLS 1.2 that show no certificate.
const CIPHERS: &str = "kECDHEPSK:kDHEPSK:kPSK:!eNULL";

#[derive(PartialEq, Eq)]
pub struct Secret {
    pub identity: Vec<u8>,
    pub key: Vec<u8>,
}

/// Keys by identity; a client has one of them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Psk(Arc<Vec<Secret>>);

impl Psk {
    /// The keys of several identities, in any order.
    pub fn new(secrets: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>) -> Self {
        let secret = |(identity, key)| Secret { identity, key };
        let mut secrets: Vec<_> = secrets.into_iter().map(secret).collect();
        secrets.sort_by(|one, other| one.identity.cmp(&other.identity));
        Self(Arc::new(secrets))
    }

    /// Whether an identity may read so.
    pub fn is_identity(identity: &[u8]) -> bool {
        IDENTITY.contains(&identity.len()) && !identity.contains(&0)
    }

    /// Parses a key in hexadecimal.
    pub fn parse_key(digits: &[u8]) -> Option<Vec<u8>> {
        if digits.len() % 2 == 1 || !KEY.contains(&(digits.len() / 2)) {
            return None;
        }
        let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
        digits.chunks(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
    }

    /// The keys, by identity.
    pub fn secrets(&self) -> &[Secret] {
        &self.0
    }

    /// Has a client use the key, and offer nothing that goes without it unless the script does.
    pub fn install_in_client(
        &self,
        builder: &mut SslContextBuilder,
        has_ciphers: bool,
        has_suites: bool,
    ) -> Result<()> {
        if !has_ciphers {
            builder.set_cipher_list(CIPHERS).map_err(openssl_error)?;
        }
        restrict(builder, has_suites)?;
        let secrets = Arc::clone(&self.0);
        builder.set_psk_client_callback(move |_, _, identity, key| {
            let Some(secret) = secrets.first() else { return Ok(0) };
            // The identity ends with a zero byte.
            if secret.identity.len() >= identity.len() {
                return Ok(0);
            }
            identity[..secret.identity.len()].copy_from_slice(&secret.identity);
            identity[secret.identity.len()] = 0;
            Ok(put(&secret.key, key))
        });
        Ok(())
    }

    /// Has a server take the keys. It gives no tickets: each client shows anew that it has its key.
    pub fn install_in_server(
        &self,
        builder: &mut SslContextBuilder,
        has_suites: bool,
    ) -> Result<()> {
        restrict(builder, has_suites)?;
        builder.set_options(SslOptions::NO_TICKET);
        builder.set_num_tickets(0).map_err(openssl_error)?;
        // OpenSSL takes a key for a session, and wants this where certificates are asked for.
        builder.set_session_id_context(b"psk").map_err(openssl_error)?;
        let index = index().map_err(openssl_error)?;
        let secrets = Arc::clone(&self.0);
        builder.set_psk_server_callback(move |ssl, identity, key| {
            let Some(identity) = identity else { return Ok(0) };
            let known = secrets.binary_search_by(|secret| (*secret.identity).cmp(identity));
            let Ok(at) = known else { return Ok(0) };
            let secret = &secrets[at];
            ssl.set_ex_data(index, secret.identity.clone());
            Ok(put(&secret.key, key))
        });
        Ok(())
    }

    /// Returns the identity whose key this connection has used, after the handshake.
    pub fn used(&self, ssl: &SslRef) -> Option<Vec<u8>> {
        let is_used = match ssl.version2() {
            // No session is resumed where there are keys.
            Some(SslVersion::TLS1_3) => ssl.session_reused(),
            _ => {
                let name = ssl.current_cipher().and_then(|cipher| cipher.standard_name());
                name.is_some_and(|name| name.contains("_PSK_"))
            }
        };
        let identity = match ssl.is_server() {
            true => index().ok().and_then(|index| ssl.ex_data(index)),
            false => self.0.first().map(|secret| &secret.identity),
        };
        identity.filter(|_| is_used).cloned()
    }
}

fn restrict(builder: &mut SslContextBuilder, has_suites: bool) -> Result<()> {
    match has_suites {
        true => Ok(()),
        false => builder.set_ciphersuites(SUITES).map_err(openssl_error),
    }
}

/// Copies a key into the room that OpenSSL has for it, and returns its length; 0 if there is none.
fn put(key: &[u8], room: &mut [u8]) -> usize {
    let Some(room) = room.get_mut(..key.len()) else { return 0 };
    room.copy_from_slice(key);
    key.len()
}

/// The identity that a client of this end has named.
fn index() -> std::result::Result<Index<Ssl, Vec<u8>>, ErrorStack> {
    static INDEX: OnceLock<Index<Ssl, Vec<u8>>> = OnceLock::new();
    match INDEX.get() {
        Some(index) => Ok(*index),
        None => Ssl::new_ex_index().map(|index| *INDEX.get_or_init(|| index)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_at_least_sixteen_bytes_in_hexadecimal() {
        let key = "00112233445566778899AABBCCddeeff";
        let bytes = Psk::parse_key(key.as_bytes()).expect("16 bytes");
        assert_eq!((bytes.len(), bytes[1], bytes[15]), (16, 0x11, 0xff));
        assert!(Psk::parse_key(&[b'a'; 512]).is_some());
        let wrong = ["", "00", &key[2..], &key[1..], &format!("{key}0"), &key.replace('0', "g")];
        for digits in wrong.into_iter().chain([&*"a".repeat(514), &key.replace("00", "0 ")]) {
            assert!(Psk::parse_key(digits.as_bytes()).is_none(), "{digits}");
        }
    }

    #[test]
    fn the_same_keys_are_equal_in_any_order() {
        let (one, two) = ((b"one".to_vec(), vec![1; 16]), (b"two".to_vec(), vec![2; 16]));
        let keys = Psk::new([one.clone(), two.clone()]);
        assert!(keys == Psk::new([two, one.clone()]));
        assert!(keys != Psk::new([one]));
    }
}
