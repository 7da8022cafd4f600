//! Records how the peer's certificate was verified. A failure is worded so that it says what to do:
//! it has the expected name and those of the certificate, the date of expiry, or the unknown
//! issuer.

use std::net::IpAddr;
use std::sync::OnceLock;

use openssl::x509::{X509, X509Ref, X509StoreContextRef};

use super::certificate::short;
use super::errors::clear_errors;
use super::extensions::alternative_names;
use super::profile::Profile;
use super::{ca_store, crl, ffi, hints, verify};
use crate::error::Error;
use crate::text::printable;

/// Why a verification has failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub words: String,
    /// OpenSSL's number for it (X509_V_ERR_*).
    pub code: i32,
    /// The place of the certificate in the path, 0 for the peer's own.
    pub depth: u32,
}

/// The verification of one peer.
pub struct Verification {
    expected: String,
    /// The peer's chain. OpenSSL drops its own copy when the handshake fails.
    sent: OnceLock<Vec<X509>>,
    /// The first failure that verification has found.
    failure: OnceLock<Failure>,
    /// The shortage of descriptors or memory that kept the trusted certificates from being read.
    shortage: OnceLock<Error>,
}

impl Verification {
    /// Begins the verification of a peer whose name should be `expected`.
    pub fn new(expected: &str) -> Self {
        Self {
            expected: expected.to_owned(),
            sent: OnceLock::new(),
            failure: OnceLock::new(),
            shortage: OnceLock::new(),
        }
    }

    pub fn failure(&self) -> Option<&Failure> {
        self.failure.get()
    }

    /// Returns the chain as the peer has sent it, leaf first; none before it has come.
    pub fn sent(&self) -> Option<&[X509]> {
        self.sent.get().map(Vec::as_slice)
    }

    /// Returns the shortage that kept the trusted certificates from being read, if there was one.
    pub fn shortage(&self) -> Option<&Error> {
        self.shortage.get()
    }

    /// Records the chain that `store` verifies and, unless `ok`, why it fails. OpenSSL reports a
    /// folder that it could not read as an unknown issuer, so a shortage is checked here.
    pub fn note(&self, ok: bool, store: &X509StoreContextRef, profile: &Profile) {
        self.sent.get_or_init(|| ffi::sent_chain(store));
        if ok {
            return;
        }
        if profile.trust.has_folders()
            && let Some(error) = ca_store::shortage()
        {
            self.shortage.get_or_init(|| error);
        }
        self.failure.get_or_init(|| {
            let words = self.describe(store, profile);
            Failure { words, code: store.error().as_raw(), depth: store.error_depth() }
        });
        // A failure that is ignored must not be taken for the result of the operation.
        clear_errors();
    }

    fn describe(&self, store: &X509StoreContextRef, profile: &Profile) -> String {
        let error = store.error();
        let plain = error.error_string();
        let Some(certificate) = store.current_cert() else { return plain.to_owned() };
        let subject = short(certificate.subject_name());
        let issuer = short(certificate.issuer_name());
        // OpenSSL reports a malformed certificate as an unknown issuer, or as one without names.
        if ffi::is_malformed(certificate) {
            return format!("malformed certificate ({subject}), an extension cannot be read");
        }
        if let Some(words) = crl::describe(store, certificate) {
            return words;
        }
        let remedy = || match ends_early(store, profile) {
            Some(end) => {
                let end = short(end.subject_name());
                format!("but {end} is trusted: partial_chain = true ends the chain there")
            }
            None => remedy(profile.trust.is_system()),
        };
        // X509_V_ERR_*, in x509_vfy.h.
        match error.as_raw() {
            9 => format!("not yet valid, only from {} on ({subject})", certificate.not_before()),
            10 => format!("expired on {} ({subject})", certificate.not_after()),
            18 => format!("self-signed certificate ({subject}), {}", remedy()),
            19 => format!("unknown issuer: self-signed root {subject}, {}", remedy()),
            2 | 20 | 21 => format!("unknown issuer {issuer} of {subject}, {}", remedy()),
            62 | 64 => format!(
                "host name mismatch: expected {}, the certificate is for {}",
                self.expected,
                names(certificate, &self.expected)
            ),
            // OpenSSL reports an unreadable key as a weak one, and no option helps.
            66 | 67 if certificate.public_key().is_err() => {
                format!("unreadable key ({subject}), of a kind that this OpenSSL does not know")
            }
            66..=68 => format!("{plain} ({subject}), {}", hints::WEAK),
            _ => format!("{plain} ({subject})"),
        }
    }
}

/// Returns the first certificate of a path that is trusted and no root, where that is not enough.
fn ends_early<'a>(store: &'a X509StoreContextRef, profile: &Profile) -> Option<&'a X509Ref> {
    if profile.partial_chain {
        return None;
    }
    store.chain()?.iter().find(|each| verify::is_trusted(store, each))
}

fn remedy(system: bool) -> String {
    if !system {
        return "not among the trusted certificates given".to_owned();
    }
    match ca_store::places() {
        Some((file, dirs)) if ca_store::is_empty(&file, &dirs) => {
            let places = [file].into_iter().chain(dirs).filter(|at| !at.as_os_str().is_empty());
            let places: Vec<_> = places.map(|at| at.display().to_string()).collect();
            format!(
                "and the system's CA store is empty or missing ({}): install ca-certificates, or \
                 name one with ca_file or SSL_CERT_FILE",
                printable(&places.join(", "))
            )
        }
        _ => "not in the system's CA store (ca_file or ca names others to trust)".to_owned(),
    }
}

/// Returns the names of a certificate, in words.
fn names(certificate: &X509Ref, expected: &str) -> String {
    let names = alternative_names(certificate).unwrap_or_default();
    let texts = names.dns.unwrap_or_default().into_iter();
    let dns: Vec<_> = texts.map(|name| String::from_utf8_lossy(&name).into_owned()).collect();
    let ips = names.ips.unwrap_or_default();
    let names: Vec<_> = dns.iter().cloned().chain(ips.iter().map(IpAddr::to_string)).collect();
    if names.is_empty() {
        let subject = short(certificate.subject_name());
        return format!("no name at all (the subject, {subject}, does not count)");
    }
    let names = printable(&names.join(", "));
    // The expected name is listed and does not match only if it is an address.
    match dns.iter().any(|name| name == expected) {
        true => format!("{names} (there as a DNS name, which an address does not match)"),
        false => names,
    }
}
