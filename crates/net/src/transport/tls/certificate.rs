//! The fields of a certificate, as plain data.

use std::net::IpAddr;

use openssl::asn1::{Asn1Time, Asn1TimeRef};
use openssl::base64::{decode_block, encode_block};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::sha::sha256;
use openssl::x509::{GeneralNameRef, X509NameRef, X509Ref};

use super::profile::Pin;
use crate::text::printable;

/// The fields of one certificate. Those that cannot be read are none: a peer may send anything.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// The attributes in order, each with its short name (`CN`, `O`).
    pub subject: Vec<(String, String)>,
    pub issuer: Vec<(String, String)>,
    /// Hexadecimal, upper case, two digits a byte.
    pub serial: Option<String>,
    /// Seconds since 1970, UTC.
    pub not_before: Option<i64>,
    pub not_after: Option<i64>,
    /// The subject's alternative names (RFC 5280, section 4.2.1.6).
    pub dns_names: Vec<String>,
    pub ip_addresses: Vec<String>,
    /// SHA-256 of the whole certificate, hexadecimal, lower case.
    pub fingerprint_sha256: Option<String>,
    /// SHA-256 of the public key (SPKI), base64.
    pub public_key_sha256: Option<String>,
    pub pem: Option<String>,
}

impl Certificate {
    pub fn of(certificate: &X509Ref) -> Self {
        let (dns_names, ip_addresses) = alternative_names(certificate);
        let digest = certificate.digest(MessageDigest::sha256()).ok();
        let pem = certificate.to_pem().ok();
        Self {
            subject: attributes(certificate.subject_name()),
            issuer: attributes(certificate.issuer_name()),
            serial: serial(certificate).ok(),
            not_before: unix(certificate.not_before()).ok(),
            not_after: unix(certificate.not_after()).ok(),
            dns_names,
            ip_addresses,
            fingerprint_sha256: digest.map(|digest| hexadecimal(&digest)),
            public_key_sha256: pin(certificate).ok().map(|pin| encode_block(&pin)),
            pem: pem.map(|pem| String::from_utf8_lossy(&pem).into_owned()),
        }
    }
}

fn serial(certificate: &X509Ref) -> Result<String, ErrorStack> {
    let serial = certificate.serial_number().to_bn()?.to_hex_str()?.to_string();
    // BN_bn2hex gives 0 a single digit.
    Ok(if serial == "0" { "00".to_owned() } else { serial })
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns the SHA-256 of the certificate's public key (SPKI), to compare with pins.
pub fn pin(certificate: &X509Ref) -> Result<Pin, ErrorStack> {
    Ok(sha256(&certificate.public_key()?.public_key_to_der()?))
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
            pairs.map(|pair| u8::from_str_radix(pair, 16)).collect::<Result<Vec<_>, _>>().ok()?
        }
        _ => decode_block(text).ok()?,
    };
    bytes.try_into().ok()
}

/// Returns the DNS names and the IP addresses among the subject's alternative names.
pub fn alternative_names(certificate: &X509Ref) -> (Vec<String>, Vec<String>) {
    let Some(names) = certificate.subject_alt_names() else { return Default::default() };
    let dns = names.iter().filter_map(GeneralNameRef::dnsname).map(str::to_owned);
    let ips = names.iter().filter_map(GeneralNameRef::ipaddress).filter_map(address);
    (dns.collect(), ips.map(|ip| ip.to_string()).collect())
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        _ => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
    }
}

fn attributes(name: &X509NameRef) -> Vec<(String, String)> {
    let text = |entry: &openssl::x509::X509NameEntryRef| {
        let nid = entry.object().nid();
        let name = match nid {
            Nid::UNDEF => entry.object().to_string(),
            nid => nid.short_name().unwrap_or_default().to_owned(),
        };
        (name, entry.data().to_string().unwrap_or_default())
    };
    name.entries().map(text).collect()
}

/// Returns a short form of a subject or issuer: its common name, or else its first attribute.
pub fn short(name: &X509NameRef) -> String {
    let attributes = attributes(name);
    let common = attributes.iter().find(|(name, _)| name == "CN");
    match common.or(attributes.first()) {
        Some((_, text)) => format!("'{}'", printable(text)),
        None => "without a name".to_owned(),
    }
}

/// Returns a time in seconds since 1970, UTC.
pub fn unix(time: &Asn1TimeRef) -> Result<i64, ErrorStack> {
    let since = Asn1Time::from_unix(0)?.diff(time)?;
    Ok(i64::from(since.days) * 86_400 + i64::from(since.secs))
}
