//! What the lists of revoked certificates say of a chain: which of OpenSSL's failures count, and
//! what they are in words. Uses `certificate`, `errors`.
#![allow(unsafe_code)]

use foreign_types::ForeignTypeRef;
use openssl::x509::{CrlStatus, X509CrlRef, X509Ref, X509StoreContextRef, X509VerifyResult};
use openssl_sys::{X509_CRL, X509_STORE_CTX};

use super::certificate::short;
use super::errors::clear_errors;

// X509_V_ERR_*, in x509_vfy.h.
const NO_LIST: i32 = 3;
const LIST_SIGNATURE: i32 = 8;
const LIST_NOT_YET_VALID: i32 = 11;
const LIST_HAS_EXPIRED: i32 = 12;
const REVOKED: i32 = 23;
/// Other failures of a list: its dates, its issuer, its extensions, its scope.
const OTHERS: [i32; 8] = [5, 15, 16, 33, 35, 36, 44, 54];

// SAFETY: as OpenSSL's header declares it, from 1.1.0 on.
unsafe extern "C" {
    fn X509_STORE_CTX_get0_current_crl(store: *const X509_STORE_CTX) -> *mut X509_CRL;
}

/// Whether a failure does not count: a CA on the path has no list, or the path ends below the one
/// that has. What is ignored is forgotten.
pub fn is_ignored(store: &mut X509StoreContextRef) -> bool {
    let depth = store.error_depth() as usize;
    let is_ignored = match store.error().as_raw() {
        _ if depth == 0 => false,
        NO_LIST => true,
        LIST_SIGNATURE | LIST_NOT_YET_VALID | LIST_HAS_EXPIRED | REVOKED => is_cut(store, depth),
        other => OTHERS.contains(&other) && is_cut(store, depth),
    };
    if is_ignored {
        store.set_error(X509VerifyResult::OK);
        clear_errors();
    }
    is_ignored
}

/// Whether the path ends at this depth without a root. The list of that certificate's issuer is not
/// of the path then.
fn is_cut(store: &X509StoreContextRef, depth: usize) -> bool {
    let Some(chain) = store.chain() else { return false };
    let is_root = |end: &X509Ref| end.issued(end) == X509VerifyResult::OK;
    depth + 1 == chain.len() && chain.get(depth).is_some_and(|end| !is_root(end))
}

/// Returns the words for the failure of this certificate; none if it is about something else.
pub fn describe(store: &X509StoreContextRef, certificate: &X509Ref) -> Option<String> {
    let error = store.error();
    let issuer = short(certificate.issuer_name());
    let list = current(store);
    Some(match (error.as_raw(), list) {
        // OpenSSL tries the key of the certificate itself where the list does not name another.
        (NO_LIST | LIST_SIGNATURE, _) if is_cut(store, store.error_depth() as usize) => format!(
            "no list of {issuer} that can be verified: its certificate must be trusted, too, see \
             ca_file"
        ),
        (NO_LIST, _) => format!("no list of {issuer}"),
        (LIST_NOT_YET_VALID, Some(list)) => {
            let from = list.last_update();
            format!("no list of {issuer} that is valid today, there is one only from {from} on")
        }
        (LIST_HAS_EXPIRED, Some(list)) => {
            let expired = list.next_update().map(|date| format!(" on {date}")).unwrap_or_default();
            format!("no list of {issuer} that is valid today, there is one that expired{expired}")
        }
        (LIST_SIGNATURE, _) => {
            format!("no list of {issuer} that it has signed, there is one with another signature")
        }
        (REVOKED, list) => {
            let subject = short(certificate.subject_name());
            match list.map(|list| list.get_by_cert(&certificate.to_owned())) {
                Some(CrlStatus::Revoked(entry)) => {
                    format!("revoked on {} ({subject})", entry.revocation_date())
                }
                _ => format!("revoked ({subject})"),
            }
        }
        (other, _) if OTHERS.contains(&other) => {
            format!("no list of {issuer} that can be used: {}", error.error_string())
        }
        _ => return None,
    })
}

/// Returns the list that is being looked at.
fn current(store: &X509StoreContextRef) -> Option<&X509CrlRef> {
    // SAFETY: the verification is alive, and so is the list while it is the current one.
    unsafe {
        let list = X509_STORE_CTX_get0_current_crl(store.as_ptr());
        (!list.is_null()).then(|| X509CrlRef::from_ptr(list))
    }
}
