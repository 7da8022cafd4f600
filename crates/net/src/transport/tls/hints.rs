//! Hints for a failed handshake: they name the option that the alert is about, where OpenSSL's text
//! does not. There is no hint if it would only be a guess. Uses `errors`, `profile`.

use super::errors::ALERT;
use super::profile::Settings;

// Alerts (RFC 8446, section 6).
const HANDSHAKE_FAILURE: i32 = ALERT + 40;
const BAD_RECORD_MAC: i32 = ALERT + 20;
const BAD_CERTIFICATE: i32 = ALERT + 42;
const CERTIFICATE_UNKNOWN: i32 = ALERT + 46;
const ILLEGAL_PARAMETER: i32 = ALERT + 47;
const UNKNOWN_CA: i32 = ALERT + 48;
const DECRYPT_ERROR: i32 = ALERT + 51;
const PROTOCOL_VERSION: i32 = ALERT + 70;
const INSUFFICIENT_SECURITY: i32 = ALERT + 71;
const UNRECOGNIZED_NAME: i32 = ALERT + 112;
const UNKNOWN_PSK_IDENTITY: i32 = ALERT + 115;
const CERTIFICATE_REQUIRED: i32 = ALERT + 116;
const NO_APPLICATION_PROTOCOL: i32 = ALERT + 120;

// Reason codes of failures that OpenSSL itself finds, in sslerr.h.
const NO_SUITABLE_KEY_SHARE: i32 = 101;
const NO_SUITABLE_SIGNATURE_ALGORITHM: i32 = 118;
const EXCESSIVE_MESSAGE_SIZE: i32 = 152;
const NO_CIPHERS: i32 = 181;
const NO_COMPRESSION_SPECIFIED: i32 = 187;
const NO_COMMON_CIPHER: i32 = 193;
const NO_CERTIFICATE_RETURNED: i32 = 199;
const NO_COMMON_PROTOCOL: i32 = 235;
const PSK_IDENTITY_NOT_FOUND: i32 = 223;
const CALLBACK_FAILED: i32 = 234;
const UNEXPECTED_MESSAGE: i32 = 244;
const UNKNOWN_PROTOCOL: i32 = 252;
const UNSUPPORTED_COMPRESSION_ALGORITHM: i32 = 257;
const UNSUPPORTED_PROTOCOL: i32 = 258;
const NO_SUITABLE_GROUPS: i32 = 295;
const UNSAFE_LEGACY_RENEGOTIATION_DISABLED: i32 = 338;
const INVALID_COMPRESSION_ALGORITHM: i32 = 341;
const REQUIRED_COMPRESSION_ALGORITHM_MISSING: i32 = 342;
const COMPRESSION_DISABLED: i32 = 343;
const DH_KEY_TOO_SMALL: i32 = 394;
const VERSION_TOO_LOW: i32 = 396;
const CA_KEY_TOO_SMALL: i32 = 397;
// ERR_R_MALLOC_FAILURE, in err.h of OpenSSL 1.1.1 and of 3.0.
const MALLOC_FAILURE: i32 = 65;
const MALLOC_FAILURE_3: i32 = 0xC0100;
// ERR_R_CRYPTO_LIB, which OpenSSL 3.5 says for it.
const CRYPTO_FAILURE: i32 = 0x8000F;
const CA_MD_TOO_WEAK: i32 = 398;
const EE_KEY_TOO_SMALL: i32 = 399;

const VERSIONS: &str = "no version in common, see min_version and max_version";

/// The hint for keys and signatures below OpenSSL's security level.
pub const WEAK: &str = "security_level = 0 allows weak keys and signatures";

/// Whether a failure is about a key or a signature below OpenSSL's security level.
pub fn is_weak(reason: i32) -> bool {
    matches!(reason, DH_KEY_TOO_SMALL | CA_KEY_TOO_SMALL | CA_MD_TOO_WEAK | EE_KEY_TOO_SMALL)
}

/// The hint for a client whose server has asked for a renegotiation.
pub const SERVER_RENEGOTIATES: &str = "the server wanted to renegotiate, often to ask for a client \
    certificate for some paths alone, and this is refused: it must ask for one in the first handshake";

/// The hint for a server whose client has asked for a renegotiation.
pub const CLIENT_RENEGOTIATES: &str =
    "the client wanted to renegotiate, and this is refused: it must connect again";

/// Returns the hint for a peer that wants what is broken, and no option allows.
/// `has_old_hello`: its hello was one of SSL 3 or SSL 2.
pub fn to_outdated(reason: i32, has_old_hello: bool) -> Option<&'static str> {
    match reason {
        NO_COMPRESSION_SPECIFIED
        | UNSUPPORTED_COMPRESSION_ALGORITHM
        | INVALID_COMPRESSION_ALGORITHM
        | REQUIRED_COMPRESSION_ALGORITHM_MISSING
        | COMPRESSION_DISABLED => {
            Some("the peer wanted compression, and this is refused: it must do without")
        }
        UNKNOWN_PROTOCOL | UNSUPPORTED_PROTOCOL | VERSION_TOO_LOW if has_old_hello => {
            Some("the peer speaks SSL 3 or older, and this is refused: it must be updated")
        }
        _ => None,
    }
}

/// Returns the hint for a client with these settings.
pub fn to_client(reason: i32, settings: &Settings) -> Option<&'static str> {
    let has_certificate = settings.profile.certificate.is_some();
    Some(match reason {
        // Servers say so in different ways.
        HANDSHAKE_FAILURE
        | BAD_RECORD_MAC
        | ILLEGAL_PARAMETER
        | DECRYPT_ERROR
        | UNKNOWN_PSK_IDENTITY
        | INSUFFICIENT_SECURITY
            if settings.profile.psk.is_some() =>
        {
            "perhaps the server does not know the identity, has another key for it, or no cipher \
             suite with SHA-256, see psk"
        }
        // OpenSSL has no other words for an empty one.
        MALLOC_FAILURE | MALLOC_FAILURE_3 | CRYPTO_FAILURE | EXCESSIVE_MESSAGE_SIZE
            if settings.profile.reports_ocsp =>
        {
            "perhaps the server's OCSP response is empty or too large, see ocsp"
        }
        CERTIFICATE_REQUIRED => "the server wants a client certificate, see cert_file",
        // Some servers send this alert if the certificate is missing.
        BAD_CERTIFICATE if !has_certificate => {
            "perhaps the server wants a client certificate, see cert_file"
        }
        HANDSHAKE_FAILURE if !has_certificate => {
            "often no cipher, key exchange group or signature algorithm in common, see ciphers, \
             groups and signature_algorithms, or a client certificate is wanted, see cert_file"
        }
        HANDSHAKE_FAILURE => {
            "often no cipher, key exchange group or signature algorithm in common, see ciphers, \
             groups and signature_algorithms"
        }
        NO_SUITABLE_GROUPS => "none of groups is for these versions, see groups and min_version",
        UNKNOWN_CA if has_certificate => {
            "the server does not know the CA of our certificate, see cert_file"
        }
        BAD_CERTIFICATE..=CERTIFICATE_UNKNOWN if has_certificate => {
            "the server refuses our certificate, see cert_file"
        }
        PROTOCOL_VERSION | UNSUPPORTED_PROTOCOL => VERSIONS,
        NO_CIPHERS => {
            "nothing is left to offer, see ciphers, ciphersuites, security_level and the versions"
        }
        INSUFFICIENT_SECURITY => "the server wants stronger ciphers, see ciphers",
        UNRECOGNIZED_NAME => "the server has no such name, see server_name",
        NO_APPLICATION_PROTOCOL => "the server speaks none of these protocols, see alpn",
        weak if is_weak(weak) => WEAK,
        UNSAFE_LEGACY_RENEGOTIATION_DISABLED => {
            "the server is too old to renegotiate securely (RFC 5746): it must be updated, \
             legacy_renegotiation = true connects all the same"
        }
        _ => return None,
    })
}

/// Returns the hint for a client after the handshake of TLS 1.3.
pub fn to_client_later(reason: i32, settings: &Settings) -> Option<&'static str> {
    match reason {
        UNEXPECTED_MESSAGE => Some(
            "perhaps the server asked for a client certificate after the handshake, and this is \
             refused: it must ask for one in the handshake, see cert_file",
        ),
        _ => to_client(reason, settings),
    }
}

/// Returns the hint for a server with these settings after the handshake of TLS 1.3.
pub fn to_server_later(reason: i32, settings: &Settings) -> Option<&'static str> {
    match reason {
        UNEXPECTED_MESSAGE => Some(
            "perhaps the client wanted to renegotiate, which TLS 1.3 does not have: it must connect \
             again",
        ),
        _ => to_server(reason, settings),
    }
}

/// Returns the hint for a server with these settings.
pub fn to_server(reason: i32, settings: &Settings) -> Option<&'static str> {
    let has_certificate = settings.profile.certificate.is_some();
    Some(match reason {
        PSK_IDENTITY_NOT_FOUND => "the client's identity is not in psk",
        NO_COMMON_CIPHER | NO_SUITABLE_SIGNATURE_ALGORITHM if !has_certificate => {
            "the client has no identity that is in psk, or no cipher suite with SHA-256 in common, \
             and there is no certificate, see cert_file"
        }
        // A client that has a key refuses each certificate.
        BAD_CERTIFICATE..=CERTIFICATE_UNKNOWN | UNKNOWN_CA if settings.profile.psk.is_some() => {
            "the client refuses our certificate, perhaps it has an identity that is not in psk; the \
             chain belongs into cert_file, too"
        }
        BAD_CERTIFICATE..=CERTIFICATE_UNKNOWN | UNKNOWN_CA => {
            "the client refuses our certificate; the chain belongs into cert_file, too"
        }
        NO_CERTIFICATE_RETURNED => "ca_file, ca_dir, ca or pin_sha256 demand one of each client",
        NO_COMMON_CIPHER => "see ciphers, signature_algorithms, and the kind of key in key_file",
        NO_SUITABLE_SIGNATURE_ALGORITHM => {
            "no signature algorithm in common that the key is for, see signature_algorithms, and the \
             kind of key in key_file"
        }
        NO_SUITABLE_KEY_SHARE | NO_SUITABLE_GROUPS => "no key exchange group in common, see groups",
        CALLBACK_FAILED => {
            "there is no certificate for the name that the client asks for, see names"
        }
        NO_COMMON_PROTOCOL => "the client speaks none of alpn",
        PROTOCOL_VERSION | UNSUPPORTED_PROTOCOL => VERSIONS,
        _ => return None,
    })
}
