//! Why a certificate was refused, in words that say what to do: the name that was expected and the
//! ones that it has, the date that it expired, the issuer that nobody knows. Keeps the chain, which
//! OpenSSL has not got any more when the handshake has failed.

use std::sync::OnceLock;

use openssl::x509::{X509, X509Ref, X509StoreContextRef, X509VerifyResult};

use super::ca_store;
use super::certificate::{alternative_names, short};
use super::profile::Trust;
use crate::error::{Error, printable};

/// The first thing that verification found wrong, if anything.
pub struct VerifyFailure {
    expected: String,
    found: OnceLock<(String, Vec<X509>)>,
    /// Why what is trusted could not be looked at.
    shortage: OnceLock<Error>,
}

impl VerifyFailure {
    /// For a peer that should be `expected`.
    pub fn new(expected: &str) -> Self {
        Self { expected: expected.to_owned(), found: OnceLock::new(), shortage: OnceLock::new() }
    }

    pub fn why(&self) -> Option<&str> {
        self.found.get().map(|(why, _)| why.as_str())
    }

    /// The chain as it was when that was found, leaf first.
    pub fn chain(&self) -> &[X509] {
        self.found.get().map_or(&[], |(_, chain)| chain)
    }

    /// Why what is trusted could not be looked at, if that is what is wrong.
    pub fn shortage(&self) -> Option<&Error> {
        self.shortage.get()
    }

    /// Writes down what `store` found, unless something was found before. It says of a folder that could
    /// not be read what it says of one without the issuer.
    pub fn note(&self, store: &X509StoreContextRef, trust: &Trust) {
        if trust.has_folders()
            && let Some(error) = ca_store::shortage()
        {
            self.shortage.get_or_init(|| error);
        }
        let system = trust.is_system();
        self.found.get_or_init(|| {
            let chain = store.chain().map(|chain| chain.iter().map(ToOwned::to_owned).collect());
            (self.words(store.error(), store.current_cert(), system), chain.unwrap_or_default())
        });
    }

    fn words(&self, error: X509VerifyResult, at: Option<&X509Ref>, system: bool) -> String {
        let plain = error.error_string();
        let Some(certificate) = at else { return plain.to_owned() };
        let subject = short(certificate.subject_name());
        let issuer = short(certificate.issuer_name());
        // X509_V_ERR_*, in x509_vfy.h.
        match error.as_raw() {
            9 => format!("not yet valid, only from {} on ({subject})", certificate.not_before()),
            10 => format!("expired on {} ({subject})", certificate.not_after()),
            18 => format!("self-signed certificate ({subject}), {}", remedy(system)),
            19 => format!("unknown issuer: self-signed root {subject}, {}", remedy(system)),
            2 | 20 | 21 => format!("unknown issuer {issuer} of {subject}, {}", remedy(system)),
            62 | 64 => format!(
                "host name mismatch: expected {}, the certificate is for {}",
                self.expected,
                names(certificate)
            ),
            _ => format!("{plain} ({subject})"),
        }
    }
}

fn remedy(system: bool) -> String {
    if !system {
        return "not among the trusted certificates given".to_owned();
    }
    match ca_store::places() {
        Some((file, dirs)) if ca_store::is_empty(&file, &dirs) => {
            let places: Vec<_> =
                [file].iter().chain(&dirs).map(|at| at.display().to_string()).collect();
            format!(
                "and the system's CA store is empty or missing ({}): install ca-certificates, or \
                 name one with ca_file or SSL_CERT_FILE",
                printable(&places.join(", "))
            )
        }
        _ => "not in the system's CA store (ca_file or ca names others to trust)".to_owned(),
    }
}

/// The names that a certificate is for.
fn names(certificate: &X509Ref) -> String {
    let (dns, ips) = alternative_names(certificate);
    let names = [dns, ips].concat();
    if names.is_empty() {
        let subject = short(certificate.subject_name());
        return format!("no name at all (the subject, {subject}, does not count)");
    }
    printable(&names.join(", "))
}
