//! The extensions of a certificate (RFC 5280, section 4.2), as far as scripts see them. One that is
//! not there has no values; one that cannot be read is none. Uses `x509`, `memory`, `error`.

use std::net::IpAddr;

use openssl::asn1::{Asn1BitString, Asn1Object};
use openssl::nid::Nid;
use openssl::stack::Stack;
use openssl::x509::{AccessDescription, DistPoint, GeneralName, X509Ref};

use super::x509::{self, Extension, NameKind};
use crate::error::Result;
use crate::memory::{collect, copy, reserve};

/// The values of a list.
pub type Values = Vec<Vec<u8>>;

/// The subject's alternative names (section 4.2.1.6). A list is none if it cannot be told.
#[derive(Clone, Debug, Default)]
pub struct AlternativeNames {
    pub dns: Option<Values>,
    pub emails: Option<Values>,
    pub uris: Option<Values>,
    /// None also if one of them is not as long as an address.
    pub ips: Option<Vec<IpAddr>>,
}

#[allow(unsafe_code)]
pub fn alternative_names(certificate: &X509Ref) -> Result<AlternativeNames> {
    // SAFETY: OpenSSL decodes this extension to such a stack.
    let names =
        unsafe { x509::extension::<Stack<GeneralName>>(certificate, Nid::SUBJECT_ALT_NAME) };
    let names = match &names {
        Extension::Unreadable => return Ok(AlternativeNames::default()),
        Extension::Absent => None,
        Extension::Value(names) => Some(names),
    };
    let of_kind = |kind| {
        let names = names.into_iter().flatten().filter_map(x509::general_name);
        names.filter(move |(other, _)| *other == kind).map(|(_, bytes)| bytes)
    };
    let copies = |kind| collected(of_kind(kind).map(copy)).map(Some);
    let ips = collect(of_kind(NameKind::Ip).map(address))?;
    Ok(AlternativeNames {
        dns: copies(NameKind::Dns)?,
        emails: copies(NameKind::Email)?,
        uris: copies(NameKind::Uri)?,
        ips: ips.into_iter().collect(),
    })
}

fn collected<T>(items: impl Iterator<Item = Result<T>>) -> Result<Vec<T>> {
    let mut all = Vec::new();
    for item in items {
        reserve(&mut all, 1)?;
        all.push(item?);
    }
    Ok(all)
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        _ => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
    }
}

/// The names of the bits, the first one first (section 4.2.1.3).
const USAGES: [&str; 9] = [
    "digitalSignature",
    "nonRepudiation",
    "keyEncipherment",
    "dataEncipherment",
    "keyAgreement",
    "keyCertSign",
    "cRLSign",
    "encipherOnly",
    "decipherOnly",
];

/// Returns what the key may be used for; none if the certificate does not say.
#[allow(unsafe_code)]
pub fn key_usage(certificate: &X509Ref) -> Option<Vec<&'static str>> {
    // SAFETY: OpenSSL decodes this extension to a bit string.
    let bits = unsafe { x509::extension::<Asn1BitString>(certificate, Nid::KEY_USAGE) };
    let Extension::Value(bits) = bits else { return None };
    let bytes = bits.as_slice();
    let is_set = |at: usize| bytes.get(at / 8).is_some_and(|byte| byte << (at % 8) & 0x80 != 0);
    let usages = USAGES.iter().enumerate().filter(|(at, _)| is_set(*at));
    Some(usages.map(|(_, name)| *name).collect())
}

/// Returns the purposes of the key (section 4.2.1.12) by OpenSSL's short names (`serverAuth`), or
/// else by their numbers; none if the certificate does not say.
#[allow(unsafe_code)]
pub fn extended_key_usage(certificate: &X509Ref) -> Result<Option<Vec<String>>> {
    // SAFETY: OpenSSL decodes this extension to such a stack.
    let purposes = unsafe { x509::extension::<Stack<Asn1Object>>(certificate, Nid::EXT_KEY_USAGE) };
    let Extension::Value(purposes) = purposes else { return Ok(None) };
    let names = collected(purposes.iter().map(|purpose| x509::object_text(purpose, false)))?;
    Ok(names.into_iter().collect())
}

/// The addresses of section 4.2.2.1.
#[derive(Clone, Debug, Default)]
pub struct Access {
    pub ocsp_urls: Option<Values>,
    pub issuer_urls: Option<Values>,
}

#[allow(unsafe_code)]
pub fn access(certificate: &X509Ref) -> Result<Access> {
    // SAFETY: OpenSSL decodes this extension to such a stack.
    let access =
        unsafe { x509::extension::<Stack<AccessDescription>>(certificate, Nid::INFO_ACCESS) };
    let access = match &access {
        Extension::Unreadable => return Ok(Access::default()),
        Extension::Absent => None,
        Extension::Value(access) => Some(access),
    };
    let urls = |method| {
        let access = access.into_iter().flatten();
        let wanted = access.filter(|each| each.method().nid() == method);
        let names = wanted.filter_map(|each| x509::general_name(each.location()));
        collected(names.filter_map(url)).map(Some)
    };
    Ok(Access { ocsp_urls: urls(Nid::AD_OCSP)?, issuer_urls: urls(Nid::AD_CA_ISSUERS)? })
}

fn url((kind, bytes): (NameKind, &[u8])) -> Option<Result<Vec<u8>>> {
    (kind == NameKind::Uri).then(|| copy(bytes))
}

/// Returns where the lists of revoked certificates are (section 4.2.1.13).
#[allow(unsafe_code)]
pub fn crl_urls(certificate: &X509Ref) -> Result<Option<Values>> {
    // SAFETY: OpenSSL decodes this extension to such a stack.
    let points =
        unsafe { x509::extension::<Stack<DistPoint>>(certificate, Nid::CRL_DISTRIBUTION_POINTS) };
    match &points {
        Extension::Unreadable => Ok(None),
        Extension::Absent => Ok(Some(Vec::new())),
        Extension::Value(points) => {
            let names = points.iter().filter_map(|point| point.distpoint()?.fullname()).flatten();
            collected(names.filter_map(x509::general_name).filter_map(url)).map(Some)
        }
    }
}
