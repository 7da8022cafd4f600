//! Lists of revoked certificates, parsed once for all contexts that have the same. Parsed, they
//! take several times the memory of their text. Uses `decode`, `pem`, `error`.
#![allow(unsafe_code)]

use std::sync::{Arc, Mutex, PoisonError, Weak};

use foreign_types::ForeignType;
use openssl::sha::sha256;
use openssl::x509::X509Crl;
use openssl_sys::{OPENSSL_STACK, OPENSSL_sk_free, OPENSSL_sk_new_null, OPENSSL_sk_push};

use super::decode;
use super::pem::Pem;
use crate::error::{Error, Result};

/// Lists, and a stack of them for OpenSSL.
pub struct Lists {
    stack: *mut OPENSSL_STACK,
    _lists: Vec<X509Crl>,
}

impl Lists {
    fn new(lists: Vec<X509Crl>) -> Result<Self> {
        // SAFETY: a new stack, of pointers to lists that live as long as it.
        unsafe {
            let this = Self { stack: OPENSSL_sk_new_null(), _lists: lists };
            let push = |list: &X509Crl| OPENSSL_sk_push(this.stack, list.as_ptr().cast()) > 0;
            match !this.stack.is_null() && this._lists.iter().all(push) {
                true => Ok(this),
                false => Err(Error::out_of_memory()),
            }
        }
    }

    /// The stack, which lives as long as this value.
    pub fn stack(&self) -> *mut OPENSSL_STACK {
        self.stack
    }
}

// SAFETY: nothing changes the stack or its lists once they are made, and what OpenSSL caches in a
// list is behind a lock.
unsafe impl Send for Lists {}
// SAFETY: as for `Send`, threads only read it.
unsafe impl Sync for Lists {}

impl Drop for Lists {
    fn drop(&mut self) {
        // SAFETY: the stack is this value's own, its elements are not the stack's.
        unsafe { OPENSSL_sk_free(self.stack) };
    }
}

/// The digests of several texts.
type Digests = Vec<[u8; 32]>;

/// The lists that contexts have, by what they were parsed from.
static SHARED: Mutex<Vec<(Digests, Weak<Lists>)>> = Mutex::new(Vec::new());

/// Returns the lists of PEMs whose files are read; there is one PEM at least.
pub fn shared(pems: &[Pem]) -> Result<Arc<Lists>> {
    let of: Digests = pems.iter().map(|pem| sha256(pem.text())).collect();
    let lock = || SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    let find = |(other, lists): &(Digests, Weak<Lists>)| lists.upgrade().filter(|_| *other == of);
    if let Some(lists) = lock().iter().find_map(find) {
        return Ok(lists);
    }
    let lists = Arc::new(Lists::new(decode::lists(pems)?)?);
    let mut shared = lock();
    shared.retain(|(_, lists)| lists.strong_count() > 0);
    shared.push((of, Arc::downgrade(&lists)));
    Ok(lists)
}
