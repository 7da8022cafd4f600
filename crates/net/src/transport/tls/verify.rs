//! How a peer's chain is verified where the script wants other rules than OpenSSL's: where the path
//! may end, and which certificates are revoked. Calls OpenSSL by its C names. Uses `lists`,
//! `errors`, `ffi`, `profile`.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_ulong, c_void};
use std::ptr;
use std::sync::{Arc, OnceLock};

use foreign_types::{ForeignType, ForeignTypeRef};
use openssl::error::ErrorStack;
use openssl::ex_data::Index;
use openssl::ssl::{SslContext, SslContextBuilder, SslContextRef};
use openssl::stack::Stack;
use openssl::x509::verify::X509VerifyFlags;
use openssl::x509::{X509, X509Ref, X509StoreContextRef};
use openssl_sys::{SSL_CTX, X509_NAME, X509_STORE_CTX, stack_st_X509, stack_st_X509_CRL};

use super::errors::{clear_errors, openssl_error};
use super::lists::{self, Lists};
use super::profile::Profile;
use super::{crl, ffi};
use crate::error::Result;

type OnChain = unsafe extern "C" fn(*mut X509_STORE_CTX, *mut c_void) -> c_int;
type OnStep = unsafe extern "C" fn(c_int, *mut X509_STORE_CTX) -> c_int;

// SAFETY: as OpenSSL's headers declare them, from 1.1.0 on.
unsafe extern "C" {
    fn SSL_CTX_set_cert_verify_callback(context: *mut SSL_CTX, on: OnChain, with: *mut c_void);
    fn X509_STORE_CTX_get0_cert(store: *const X509_STORE_CTX) -> *mut openssl_sys::X509;
    fn X509_STORE_CTX_get1_certs(
        store: *mut X509_STORE_CTX,
        subject: *const X509_NAME,
    ) -> *mut stack_st_X509;
    fn X509_STORE_CTX_get_verify_cb(store: *const X509_STORE_CTX) -> Option<OnStep>;
    fn X509_STORE_CTX_set_verify_cb(store: *mut X509_STORE_CTX, on: OnStep);
    fn X509_STORE_CTX_set_flags(store: *mut X509_STORE_CTX, flags: c_ulong);
    fn X509_STORE_CTX_set0_crls(store: *mut X509_STORE_CTX, lists: *mut stack_st_X509_CRL);
    fn X509_STORE_CTX_set0_trusted_stack(store: *mut X509_STORE_CTX, trusted: *mut stack_st_X509);
    fn X509_STORE_CTX_set0_untrusted(store: *mut X509_STORE_CTX, sent: *mut stack_st_X509);
}

/// The rules of one profile.
pub struct Rules {
    /// The path ends at the first certificate that is trusted, root or not.
    is_partial: bool,
    /// Lists of revoked certificates; that of the leaf's issuer must be among them.
    lists: Option<Arc<Lists>>,
}

impl Rules {
    /// Gives the context the rules of a profile whose files are read, if it has any.
    pub fn install(builder: &mut SslContextBuilder, profile: &Profile) -> Result<()> {
        let Some(rules) = Self::new(profile)? else { return Ok(()) };
        builder.verify_param_mut().set_flags(rules.flags()).map_err(openssl_error)?;
        let rules = Arc::new(rules);
        let with = Arc::as_ptr(&rules).cast_mut().cast();
        builder.set_ex_data(index().map_err(openssl_error)?, rules);
        // SAFETY: the context keeps the rules as long as it lives, and calls with no others.
        unsafe { SSL_CTX_set_cert_verify_callback(builder.as_ptr(), on_chain, with) };
        Ok(())
    }

    fn new(profile: &Profile) -> Result<Option<Self>> {
        let is_partial = profile.partial_chain;
        let has_lists = !profile.lists.is_empty();
        let lists = has_lists.then(|| lists::shared(&profile.lists)).transpose()?;
        Ok((is_partial || lists.is_some()).then_some(Self { is_partial, lists }))
    }

    fn flags(&self) -> X509VerifyFlags {
        let mut flags = X509VerifyFlags::empty();
        flags.set(X509VerifyFlags::PARTIAL_CHAIN, self.is_partial);
        let checks = X509VerifyFlags::CRL_CHECK | X509VerifyFlags::CRL_CHECK_ALL;
        flags.set(checks, self.lists.is_some());
        flags
    }

    fn verify(&self, store: &mut X509StoreContextRef) -> std::result::Result<bool, ErrorStack> {
        if let Some(lists) = &self.lists {
            // SAFETY: both are alive until the verification has ended.
            unsafe { X509_STORE_CTX_set0_crls(store.as_ptr(), lists.stack().cast()) };
        }
        // A list is verified with the CA's certificate, which must be on the path then.
        let is_alone = self.is_partial && self.lists.is_none();
        let leaf = if is_alone { trusted_leaf(store) } else { None };
        clear_errors();
        match leaf {
            Some(leaf) => verify_alone(store, leaf),
            None => store.verify_cert(),
        }
    }
}

fn index() -> std::result::Result<Index<SslContext, Arc<Rules>>, ErrorStack> {
    static INDEX: OnceLock<Index<SslContext, Arc<Rules>>> = OnceLock::new();
    match INDEX.get() {
        Some(index) => Ok(*index),
        None => SslContext::new_ex_index().map(|index| *INDEX.get_or_init(|| index)),
    }
}

unsafe extern "C" fn on_chain(store: *mut X509_STORE_CTX, rules: *mut c_void) -> c_int {
    // SAFETY: OpenSSL passes its live verification, and the rules of the context at work.
    let (store, rules) =
        unsafe { (X509StoreContextRef::from_ptr_mut(store), &*rules.cast::<Rules>()) };
    rules.verify(store).unwrap_or(false).into()
}

/// Verifies the chain of a server outside of a handshake, by the rules of this context.
pub fn verify_server(
    store: &mut X509StoreContextRef,
    context: &SslContextRef,
) -> std::result::Result<bool, ErrorStack> {
    ffi::set_server_purpose(store)?;
    let Some(rules) = context.ex_data(index()?) else { return store.verify_cert() };
    // SAFETY: the verification is alive.
    unsafe {
        X509_STORE_CTX_set_flags(store.as_ptr(), rules.flags().bits());
        X509_STORE_CTX_set_verify_cb(store.as_ptr(), on_step);
    }
    rules.verify(store)
}

unsafe extern "C" fn on_step(ok: c_int, store: *mut X509_STORE_CTX) -> c_int {
    // SAFETY: OpenSSL passes its live verification.
    let store = unsafe { X509StoreContextRef::from_ptr_mut(store) };
    (ok == 1 || crl::is_ignored(store)).into()
}

/// Verifies a leaf that is trusted itself: what was sent besides is not looked at.
fn verify_alone(
    store: &mut X509StoreContextRef,
    leaf: X509,
) -> std::result::Result<bool, ErrorStack> {
    let mut path = Stack::new()?;
    path.push(leaf)?;
    // SAFETY: the verification is alive, and so is the path until it has ended. What was sent is
    // told to the callback while it is still there.
    unsafe {
        let notes = X509_STORE_CTX_get_verify_cb(store.as_ptr());
        if notes.is_some_and(|note| note(1, store.as_ptr()) == 0) {
            return Ok(false);
        }
        X509_STORE_CTX_set0_trusted_stack(store.as_ptr(), path.as_ptr());
        X509_STORE_CTX_set0_untrusted(store.as_ptr(), ptr::null_mut());
    }
    let verified = store.verify_cert();
    // SAFETY: as above. The path goes.
    unsafe { X509_STORE_CTX_set0_trusted_stack(store.as_ptr(), ptr::null_mut()) };
    verified
}

/// Returns the certificate that is verified if it is trusted itself.
fn trusted_leaf(store: &mut X509StoreContextRef) -> Option<X509> {
    // SAFETY: the verification is alive, and its certificate with it.
    let leaf = unsafe {
        let leaf = X509_STORE_CTX_get0_cert(store.as_ptr());
        (!leaf.is_null()).then(|| X509Ref::from_ptr(leaf).to_owned())
    }?;
    is_trusted(store, &leaf).then_some(leaf)
}

/// Whether a certificate is among the trusted ones.
pub fn is_trusted(store: &X509StoreContextRef, certificate: &X509Ref) -> bool {
    let subject = certificate.subject_name();
    // SAFETY: the verification is alive; the stack is the caller's to free.
    let found = unsafe {
        let found = X509_STORE_CTX_get1_certs(store.as_ptr(), subject.as_ptr());
        (!found.is_null()).then(|| Stack::<X509>::from_ptr(found))
    };
    found.is_some_and(|found| found.iter().any(|each| *each == *certificate))
}
