//! The OCSP response that a server has stapled to its certificate (RFC 6960, RFC 6066 section 8):
//! what it says, and whether it may be believed. Uses `certificate`, `errors`.
#![allow(unsafe_code)]

use foreign_types::ForeignTypeRef;
use openssl::asn1::{Asn1GeneralizedTimeRef, Asn1TimeRef};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::ocsp::{
    OcspBasicResponse, OcspCertId, OcspCertStatus, OcspFlag, OcspResponse, OcspResponseStatus,
    OcspStatus,
};
use openssl::stack::Stack;
use openssl::x509::store::X509StoreBuilder;
use openssl::x509::verify::X509VerifyFlags;
use openssl::x509::{X509, X509Ref, X509VerifyResult};

use super::certificate::unix;
use super::errors::{clear_errors, reasons};
use crate::io::deadline::since_1970;

/// How far a responder's clock may be ahead, in seconds.
const AHEAD: i64 = 300;

/// What a response says of one certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ocsp {
    /// `good`, `revoked` or `unknown`; `stale` if that does not hold today; `invalid` if it is not
    /// to be believed.
    pub status: &'static str,
    /// Seconds since 1970, UTC; none of a response that is not to be believed.
    pub this_update: Option<i64>,
    pub next_update: Option<i64>,
    pub revoked_at: Option<i64>,
    /// Why it is stale or invalid.
    pub error: Option<String>,
}

impl Ocsp {
    /// Returns what a response says of the first certificate of a chain. Its issuer is among the
    /// certificates of the path or the chain.
    pub fn of(response: &[u8], chain: &[X509], path: &[X509]) -> Self {
        clear_errors();
        let outcome = read(response, chain, path);
        clear_errors();
        let invalid = |why| Self { status: "invalid", error: Some(why), ..Self::default() };
        outcome.unwrap_or_else(invalid)
    }

    fn new(said: &OcspStatus<'_>) -> Self {
        let status = match said.status {
            OcspCertStatus::GOOD => "good",
            OcspCertStatus::REVOKED => "revoked",
            _ => "unknown",
        };
        let mut this = Self {
            status,
            this_update: seconds(said.this_update),
            next_update: said.next_update().and_then(seconds),
            revoked_at: said.revocation_time.and_then(seconds),
            error: None,
        };
        let now = since_1970().as_secs() as i64;
        let why = if this.next_update.is_some_and(|next| next < now) {
            "it was valid until next_update"
        } else if this.this_update.is_none_or(|from| from > now + AHEAD) {
            "it is valid from this_update on"
        } else {
            return this;
        };
        // A certificate that was revoked stays so.
        if status != "revoked" {
            this.status = "stale";
        }
        this.error = Some(why.to_owned());
        this
    }
}

fn read(response: &[u8], chain: &[X509], path: &[X509]) -> Result<Ocsp, String> {
    let unreadable = |stack: ErrorStack| format!("it cannot be read: {}", reasons(&stack));
    let response = OcspResponse::from_der(response).map_err(unreadable)?;
    if response.status() != OcspResponseStatus::SUCCESSFUL {
        return Err(format!("the responder has no answer: {}", status_name(response.status())));
    }
    let basic = response.basic().map_err(unreadable)?;
    let leaf = chain.first().ok_or("there is no certificate")?;
    let issuer = path.iter().chain(chain).find(|each| has_issued(each, leaf));
    let issuer = issuer.ok_or("the certificate's issuer is not known here")?;
    is_signed(&basic, issuer, chain).map_err(|stack| {
        format!("the issuer has neither signed it nor let somebody sign: {}", reasons(&stack))
    })?;
    let said = find(&basic, leaf, issuer).ok_or("it is about another certificate")?;
    said.map(|said| Ocsp::new(&said)).map_err(unreadable)
}

/// Whether this is the issuer, by its key and not by its name alone.
fn has_issued(issuer: &X509Ref, leaf: &X509Ref) -> bool {
    let has_signed = || leaf.verify(&*issuer.public_key()?);
    issuer.issued(leaf) == X509VerifyResult::OK && has_signed().unwrap_or(false)
}

/// Whether the issuer has signed the response, or one whom it has certified for that. The issuer is
/// trusted here: whether it may be is the business of the chain's verification.
fn is_signed(
    basic: &OcspBasicResponse,
    issuer: &X509Ref,
    chain: &[X509],
) -> Result<(), ErrorStack> {
    let mut store = X509StoreBuilder::new()?;
    store.add_cert(issuer.to_owned())?;
    store.set_flags(X509VerifyFlags::PARTIAL_CHAIN)?;
    let mut others = Stack::new()?;
    others.push(issuer.to_owned())?;
    for certificate in chain {
        others.push(certificate.clone())?;
    }
    basic.verify(&others, &store.build(), OcspFlag::NO_EXPLICIT)
}

/// What the response says of the certificate. The responder chooses the hash that it is named by.
fn find<'a>(
    basic: &'a OcspBasicResponse,
    leaf: &X509Ref,
    issuer: &X509Ref,
) -> Option<Result<OcspStatus<'a>, ErrorStack>> {
    use MessageDigest as Hash;
    let hashes = [Hash::sha1(), Hash::sha256(), Hash::sha384(), Hash::sha512()];
    hashes.into_iter().find_map(|hash| match OcspCertId::from_cert(hash, leaf, issuer) {
        Ok(id) => basic.find_status(&id).map(Ok),
        Err(stack) => Some(Err(stack)),
    })
}

/// The name of RFC 6960, section 4.2.1.
fn status_name(status: OcspResponseStatus) -> &'static str {
    match status {
        OcspResponseStatus::MALFORMED_REQUEST => "malformedRequest",
        OcspResponseStatus::INTERNAL_ERROR => "internalError",
        OcspResponseStatus::TRY_LATER => "tryLater",
        OcspResponseStatus::SIG_REQUIRED => "sigRequired",
        OcspResponseStatus::UNAUTHORIZED => "unauthorized",
        _ => "an unknown status",
    }
}

fn seconds(time: &Asn1GeneralizedTimeRef) -> Option<i64> {
    // SAFETY: an ASN1_TIME of OpenSSL's is one of two kinds, and this is one of them.
    let time = unsafe { Asn1TimeRef::from_ptr(time.as_ptr().cast()) };
    unix(time).ok()
}
