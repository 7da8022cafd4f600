//! What to do about a handshake that failed: the option that the peer's alert is about, where
//! OpenSSL's words do not name it. Says nothing where there is more than a guess to make. Uses
//! `profile`.

use super::profile::Settings;

/// A fatal alert of the peer is this and its number, in OpenSSL's reasons.
const ALERT: i32 = 1000;

// Alerts (RFC 8446, section 6).
const HANDSHAKE_FAILURE: i32 = ALERT + 40;
const BAD_CERTIFICATE: i32 = ALERT + 42;
const CERTIFICATE_UNKNOWN: i32 = ALERT + 46;
const UNKNOWN_CA: i32 = ALERT + 48;
const PROTOCOL_VERSION: i32 = ALERT + 70;
const INSUFFICIENT_SECURITY: i32 = ALERT + 71;
const UNRECOGNIZED_NAME: i32 = ALERT + 112;
const CERTIFICATE_REQUIRED: i32 = ALERT + 116;
const NO_APPLICATION_PROTOCOL: i32 = ALERT + 120;

// What OpenSSL itself finds, in sslerr.h.
const NO_COMMON_CIPHER: i32 = 193;
const NO_CERTIFICATE_RETURNED: i32 = 199;
const NO_COMMON_PROTOCOL: i32 = 235;
const UNSUPPORTED_PROTOCOL: i32 = 258;

const VERSIONS: &str = "no version in common, see min_version and max_version";

/// For an end with these settings, a client.
pub fn to_client(reason: i32, settings: &Settings) -> Option<&'static str> {
    let has_certificate = settings.profile.certificate.is_some();
    Some(match reason {
        CERTIFICATE_REQUIRED => "the server wants a client certificate, see cert_file",
        // Some servers have no other word for one that is missing.
        BAD_CERTIFICATE if !has_certificate => {
            "perhaps the server wants a client certificate, see cert_file"
        }
        HANDSHAKE_FAILURE if !has_certificate => {
            "often no cipher in common, see ciphers, or a client certificate is wanted, see cert_file"
        }
        HANDSHAKE_FAILURE => "often no cipher in common, see ciphers",
        UNKNOWN_CA if has_certificate => {
            "the server does not know the CA of our certificate, see cert_file"
        }
        BAD_CERTIFICATE..=CERTIFICATE_UNKNOWN if has_certificate => {
            "the server refuses our certificate, see cert_file"
        }
        PROTOCOL_VERSION | UNSUPPORTED_PROTOCOL => VERSIONS,
        INSUFFICIENT_SECURITY => "the server wants stronger ciphers, see ciphers",
        UNRECOGNIZED_NAME => "the server has no such name, see server_name",
        NO_APPLICATION_PROTOCOL => "the server speaks none of these protocols, see alpn",
        _ => return None,
    })
}

/// For a server.
pub fn to_server(reason: i32) -> Option<&'static str> {
    Some(match reason {
        BAD_CERTIFICATE..=CERTIFICATE_UNKNOWN | UNKNOWN_CA => {
            "the client refuses our certificate; the chain belongs into cert_file, too"
        }
        NO_CERTIFICATE_RETURNED => "ca_file, ca_dir, ca or pin_sha256 demand one of each client",
        NO_COMMON_CIPHER => "see ciphers, and the kind of key in key_file",
        NO_COMMON_PROTOCOL => "the client speaks none of alpn",
        PROTOCOL_VERSION | UNSUPPORTED_PROTOCOL => VERSIONS,
        _ => return None,
    })
}
