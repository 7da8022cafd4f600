//! The fields of a certificate, as plain data. Uses `extensions`, `x509`, `errors`, `memory`,
//! `error`.

use openssl::asn1::{Asn1Time, Asn1TimeRef};
use openssl::base64::{decode_block, encode_block};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::sha::sha256;
use openssl::x509::{X509NameRef, X509Ref};

use super::errors::{clear_errors, is_memory};
use super::extensions::{self, Access, AlternativeNames, Values};
use super::profile::Pin;
use super::x509;
use crate::error::{Error, Result};
use crate::memory::{check, copy_text, reserve};
use crate::text::printable;

/// The fields of one certificate. Those that cannot be described are none: a peer may send
/// anything.
#[derive(Clone, Debug)]
pub struct Certificate {
    pub version: Option<i64>,
    pub subject: Attributes,
    pub issuer: Attributes,
    /// The same as RFC 4514 writes them.
    pub subject_text: Option<Vec<u8>>,
    pub issuer_text: Option<Vec<u8>>,
    /// Hexadecimal, upper case, two digits a byte.
    pub serial: Option<String>,
    /// Seconds since 1970, UTC.
    pub not_before: Option<i64>,
    pub not_after: Option<i64>,
    pub names: AlternativeNames,
    /// The algorithm of the issuer's signature.
    pub signature_algorithm: Option<String>,
    pub public_key: PublicKey,
    pub key_usage: Option<Vec<&'static str>>,
    pub extended_key_usage: Option<Vec<String>>,
    pub is_ca: Option<bool>,
    pub access: Access,
    pub crl_urls: Option<Values>,
    /// Digests of the whole certificate, hexadecimal, lower case.
    pub fingerprint_sha1: Option<String>,
    pub fingerprint_sha256: Option<String>,
    /// SHA-256 of the public key (SPKI), base64.
    pub public_key_sha256: Option<String>,
    pub pem: Option<Vec<u8>>,
}

/// The attributes of a name in order, each with its short name (`CN`, `O`) and its value in UTF-8.
/// One that has no characters, or not those of its kind, is left out.
pub type Attributes = Vec<(String, Vec<u8>)>;

/// What the small fields of a certificate, or of an entry that is none, take at most, in bytes.
pub const ROOM: usize = 64 * 1024;

/// The key of a certificate.
#[derive(Clone, Debug, Default)]
pub struct PublicKey {
    pub algorithm: Option<String>,
    pub bits: Option<i64>,
    /// The curve, if the key is on one that has a name.
    pub curve: Option<String>,
}

impl Certificate {
    /// Fails for want of memory alone.
    pub fn of(certificate: &X509Ref) -> Result<Self> {
        clear_errors();
        let described = Self::describe(certificate)?;
        // What OpenSSL cannot read is none; what it has no memory for is a failure.
        match is_memory(&ErrorStack::get()) {
            true => Err(Error::out_of_memory()),
            false => Ok(described),
        }
    }

    fn describe(certificate: &X509Ref) -> Result<Self> {
        let digest = |kind| certificate.digest(kind).ok().map(|digest| hexadecimal(&digest));
        let (subject, issuer) = (certificate.subject_name(), certificate.issuer_name());
        let signature = certificate.signature_algorithm().object();
        // OpenSSL's text is copied by code that cannot handle a refusal.
        check(3 * x509::size(certificate) + ROOM)?;
        Ok(Self {
            version: Some(i64::from(certificate.version()) + 1).filter(|n| (1..=3).contains(n)),
            subject: attributes(subject)?,
            issuer: attributes(issuer)?,
            subject_text: x509::name_text(subject)?,
            issuer_text: x509::name_text(issuer)?,
            serial: serial(certificate)?,
            not_before: unix(certificate.not_before()).ok(),
            not_after: not_after(certificate),
            names: extensions::alternative_names(certificate)?,
            signature_algorithm: x509::object_text(signature, true)?,
            public_key: PublicKey::of(certificate)?,
            key_usage: extensions::key_usage(certificate),
            extended_key_usage: extensions::extended_key_usage(certificate)?,
            is_ca: x509::is_ca(certificate),
            access: extensions::access(certificate)?,
            crl_urls: extensions::crl_urls(certificate)?,
            fingerprint_sha1: digest(MessageDigest::sha1()),
            fingerprint_sha256: digest(MessageDigest::sha256()),
            public_key_sha256: pin(certificate).ok().map(|pin| encode_block(&pin)),
            pem: certificate.to_pem().ok(),
        })
    }
}

impl PublicKey {
    fn of(certificate: &X509Ref) -> Result<Self> {
        let Some((algorithm, parameter)) = x509::key_algorithm(certificate) else {
            return Ok(Self::default());
        };
        let curve = parameter.filter(|_| algorithm.nid() == Nid::X9_62_ID_ECPUBLICKEY);
        let curve = curve.map(|curve| x509::object_text(curve, false)).transpose()?;
        Ok(Self {
            algorithm: x509::object_text(algorithm, true)?,
            bits: certificate.public_key().ok().map(|key| i64::from(key.bits())),
            curve: curve.flatten(),
        })
    }
}

/// Returns when the certificate expires, in seconds since 1970.
pub fn not_after(certificate: &X509Ref) -> Option<i64> {
    unix(certificate.not_after()).ok()
}

/// Returns a time in seconds since 1970, UTC.
pub fn unix(time: &Asn1TimeRef) -> std::result::Result<i64, ErrorStack> {
    let since = Asn1Time::from_unix(0)?.diff(time)?;
    Ok(i64::from(since.days) * 86_400 + i64::from(since.secs))
}

fn serial(certificate: &X509Ref) -> Result<Option<String>> {
    let serial = certificate.serial_number().to_bn().and_then(|number| number.to_hex_str());
    let Ok(serial) = serial else { return Ok(None) };
    let digits: &str = &serial;
    // BN_bn2hex gives 0 a single digit.
    copy_text(if digits == "0" { "00" } else { digits }).map(Some)
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns the SHA-256 of the certificate's public key (SPKI), to compare with pins.
pub fn pin(certificate: &X509Ref) -> std::result::Result<Pin, ErrorStack> {
    // A key that OpenSSL does not know is not compared.
    certificate.public_key()?;
    x509::with_key_der(certificate, sha256)
}

/// Parses a pin in base64, or in hexadecimal with or without colons.
pub fn parse_pin(text: &str) -> Option<Pin> {
    // The longest form has 32 pairs of digits with colons between them.
    if text.len() > 95 {
        return None;
    }
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b':').collect();
    let bytes = match digits.len() {
        64 if digits.iter().all(u8::is_ascii_hexdigit) => {
            let pairs = digits.chunks(2).map(|pair| std::str::from_utf8(pair).unwrap_or_default());
            pairs
                .map(|pair| u8::from_str_radix(pair, 16))
                .collect::<std::result::Result<Vec<_>, _>>()
                .ok()?
        }
        _ => decode_block(text).ok()?,
    };
    bytes.try_into().ok()
}

fn attributes(name: &X509NameRef) -> Result<Attributes> {
    let mut attributes = Vec::new();
    for entry in name.entries() {
        let key = x509::object_text(entry.object(), false)?;
        if let (Some(key), Some(value)) = (key, x509::utf8(entry.data())?) {
            reserve(&mut attributes, 1)?;
            attributes.push((key, value));
        }
    }
    Ok(attributes)
}

/// Returns a short form of a subject or issuer: its common name, or else its first attribute.
pub fn short(name: &X509NameRef) -> String {
    let attributes = attributes(name).unwrap_or_default();
    let common = attributes.iter().find(|(name, _)| name == "CN");
    match common.or(attributes.first()) {
        Some((_, text)) => format!("'{}'", printable(&String::from_utf8_lossy(text))),
        None => "without a name".to_owned(),
    }
}
