//! Why a certificate was refused, in words that say what to do: the name that was expected and the
//! ones that it has, the date that it expired, the issuer that nobody knows.

use std::net::IpAddr;
use std::sync::OnceLock;

use openssl::nid::Nid;
use openssl::x509::{GeneralNameRef, X509NameRef, X509Ref, X509StoreContextRef, X509VerifyResult};

/// The first thing that verification found wrong, if anything.
pub struct Refusal {
    expected: String,
    why: OnceLock<String>,
}

impl Refusal {
    pub fn new(expected: &str) -> Self {
        Self { expected: expected.to_owned(), why: OnceLock::new() }
    }

    pub fn why(&self) -> Option<&str> {
        self.why.get().map(String::as_str)
    }

    /// Writes down what `store` found, unless something was found before. `system`: whether the
    /// system's store was trusted, and not certificates that the script named.
    pub fn note(&self, store: &X509StoreContextRef, system: bool) {
        self.why.get_or_init(|| {
            let certificate = store.current_cert();
            self.words(store.error(), certificate, system)
        });
    }

    fn words(
        &self,
        error: X509VerifyResult,
        certificate: Option<&X509Ref>,
        system: bool,
    ) -> String {
        let plain = error.error_string().to_owned();
        let Some(certificate) = certificate else { return plain };
        let subject = name(certificate.subject_name());
        let issuer = name(certificate.issuer_name());
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

fn remedy(system: bool) -> &'static str {
    if system {
        "not in the system's CA store (ca_file or ca names others to trust)"
    } else {
        "not among the trusted certificates given"
    }
}

/// The names that a certificate is for.
fn names(certificate: &X509Ref) -> String {
    let names: Vec<String> = certificate
        .subject_alt_names()
        .map(|all| all.iter().filter_map(alternative).collect())
        .unwrap_or_default();
    if names.is_empty() {
        let subject = name(certificate.subject_name());
        return format!("no name at all (the subject, {subject}, does not count)");
    }
    names.join(", ")
}

fn alternative(name: &GeneralNameRef) -> Option<String> {
    let address = |bytes: &[u8]| match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        _ => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
    };
    let dns = name.dnsname().map(str::to_owned);
    dns.or_else(|| name.ipaddress().and_then(address).map(|ip| ip.to_string()))
}

/// A subject or issuer in short: its common name, or whatever comes first.
fn name(name: &X509NameRef) -> String {
    let common = name.entries_by_nid(Nid::COMMONNAME).next();
    let entry = common.or_else(|| name.entries().next());
    match entry.and_then(|entry| entry.data().to_string().ok()) {
        Some(text) => format!("'{text}'"),
        None => "without a name".to_owned(),
    }
}
