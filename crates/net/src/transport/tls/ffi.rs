//! The functions of OpenSSL that the crate `openssl` does not offer. They give what a connection's
//! messages tell, its cipher before the handshake ends, and the chain that was sent. They take
//! a connection's certificates away, prepare the verification of a server, and tell the hash of a
//! signature, malformed certificates, lists that are no whole ones, and privileged processes. Uses
//! `alert`.
#![allow(unsafe_code)]

use std::ffi::{c_char, c_int, c_void};
use std::ptr;
use std::slice;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};

use foreign_types::ForeignTypeRef;
use openssl::error::ErrorStack;
use openssl::ex_data::Index;
use openssl::nid::Nid;
use openssl::ssl::{Ssl, SslCipherRef, SslRef};
use openssl::stack::StackRef;
use openssl::x509::{X509, X509CrlRef, X509Ref, X509StoreContextRef};
use openssl_sys::{
    EXFLAG_INVALID, NID_delta_crl, SSL, SSL_CIPHER, X509_CRL_get_ext_by_NID, X509_STORE_CTX,
    X509_get_extension_flags, stack_st_X509,
};

use crate::alert::Alert;

// Content types of records (RFC 8446, section 5.1), and OpenSSL's for a hello in the form of SSL 2.
const ALERT: c_int = 21;
const HANDSHAKE: c_int = 22;
const SSL2: c_int = 0;

// Handshake messages (RFC 8446, section 4).
const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;
const CERTIFICATE_REQUEST: u8 = 13;

/// The version of SSL 3 in a hello (RFC 6101, section 5.6).
const SSL3: u16 = 0x300;

// An alert's level, and its number (RFC 5246, section 7.2).
const FATAL: u8 = 2;
const NO_RENEGOTIATION: u8 = 100;

type OnMessage =
    unsafe extern "C" fn(c_int, c_int, c_int, *const c_void, usize, *mut SSL, *mut c_void);

// SAFETY: as OpenSSL's headers declare them, from 1.1.1 on.
unsafe extern "C" {
    fn OPENSSL_issetugid() -> c_int;
    fn SSL_get_pending_cipher(ssl: *const SSL) -> *const SSL_CIPHER;
    fn SSL_set_msg_callback(ssl: *mut SSL, on_message: OnMessage);
    fn SSL_certs_clear(ssl: *mut SSL);
    fn X509_get_signature_info(
        certificate: *mut openssl_sys::X509,
        digest: *mut c_int,
        key: *mut c_int,
        bits: *mut c_int,
        flags: *mut u32,
    ) -> c_int;
    fn X509_STORE_CTX_set_default(store: *mut X509_STORE_CTX, name: *const c_char) -> c_int;
    fn X509_STORE_CTX_get0_untrusted(store: *const X509_STORE_CTX) -> *mut stack_st_X509;
}

/// What the messages of a connection have told that later errors refer to.
#[derive(Default)]
pub struct Messages {
    /// The number of the fatal alert that this end has sent.
    sent_alert: OnceLock<u8>,
    /// The peer has asked for a renegotiation, which was refused, and has sent no payload since.
    refused_renegotiation: AtomicBool,
    /// The version in the peer's first hello, 0 before it has come.
    hello_version: AtomicU16,
    /// The server has asked the client for a certificate.
    requested_certificate: AtomicBool,
}

impl Messages {
    /// Records what the messages of this connection tell from now on.
    pub fn watch(ssl: &mut Ssl) -> Result<(), ErrorStack> {
        ssl.set_ex_data(index()?, Self::default());
        // SAFETY: OpenSSL calls the callback with this connection only, while it lives.
        unsafe { SSL_set_msg_callback(ssl.as_ptr(), on_message) };
        Ok(())
    }

    pub fn of(ssl: &SslRef) -> Option<&Self> {
        ssl.ex_data(index().ok()?)
    }

    /// The fatal alert of this end, once it is sent. That of the peer is in OpenSSL's errors.
    pub fn sent_alert(&self) -> Option<Alert> {
        self.sent_alert.get().map(|number| Alert { number: *number, is_peers: false })
    }

    pub fn has_refused_renegotiation(&self) -> bool {
        self.refused_renegotiation.load(Ordering::Relaxed)
    }

    pub fn has_requested_certificate(&self) -> bool {
        self.requested_certificate.load(Ordering::Relaxed)
    }

    /// Notes that payload has come: the peer goes on without the renegotiation.
    pub fn note_payload(&self) {
        self.refused_renegotiation.store(false, Ordering::Relaxed);
    }

    /// Whether a hello of the peer has come.
    pub fn has_hello(&self) -> bool {
        self.hello_version.load(Ordering::Relaxed) != 0
    }

    /// Whether the peer's hello is of SSL 3 or SSL 2.
    pub fn has_old_hello(&self) -> bool {
        (1..=SSL3).contains(&self.hello_version.load(Ordering::Relaxed))
    }

    fn note_sent_alert(&self, level: u8, number: u8) {
        if level == FATAL {
            let _ = self.sent_alert.set(number);
        } else if number == NO_RENEGOTIATION {
            self.refused_renegotiation.store(true, Ordering::Relaxed);
        }
    }

    fn note_hello(&self, version: [u8; 2]) {
        self.hello_version.store(u16::from_be_bytes(version), Ordering::Relaxed);
    }
}

fn index() -> Result<Index<Ssl, Messages>, ErrorStack> {
    static INDEX: OnceLock<Index<Ssl, Messages>> = OnceLock::new();
    match INDEX.get() {
        Some(index) => Ok(*index),
        None => Ssl::new_ex_index().map(|index| *INDEX.get_or_init(|| index)),
    }
}

unsafe extern "C" fn on_message(
    is_ours: c_int,
    _: c_int,
    kind: c_int,
    bytes: *const c_void,
    size: usize,
    ssl: *mut SSL,
    _: *mut c_void,
) {
    let is_ours = is_ours != 0;
    let is_read = matches!((kind, is_ours), (ALERT, true) | (HANDSHAKE, _) | (SSL2, false));
    if bytes.is_null() || !is_read {
        return;
    }
    // SAFETY: OpenSSL passes its live connection, and as many bytes as `size` says.
    let (ssl, bytes) =
        unsafe { (SslRef::from_ptr(ssl), slice::from_raw_parts(bytes.cast::<u8>(), size)) };
    let Some(messages) = Messages::of(ssl) else { return };
    match (kind, is_ours, bytes) {
        (ALERT, _, &[level, number]) => messages.note_sent_alert(level, number),
        (HANDSHAKE, _, &[CERTIFICATE_REQUEST, ..]) => {
            messages.requested_certificate.store(true, Ordering::Relaxed);
        }
        (HANDSHAKE, false, &[CLIENT_HELLO | SERVER_HELLO, _, _, _, major, minor, ..])
        | (SSL2, _, &[CLIENT_HELLO, major, minor, ..]) => messages.note_hello([major, minor]),
        _ => {}
    }
}

/// Returns the chain that `store` verifies, as the peer has sent it, leaf first.
pub fn sent_chain(store: &X509StoreContextRef) -> Vec<X509> {
    // SAFETY: the chain, if there is one, belongs to the store and lives as long.
    let chain = unsafe {
        let chain = X509_STORE_CTX_get0_untrusted(store.as_ptr());
        (!chain.is_null()).then(|| StackRef::<X509>::from_ptr(chain))
    };
    chain.map_or(Vec::new(), |chain| chain.iter().map(ToOwned::to_owned).collect())
}

/// Gives a verification the purpose and trust that a client's handshake uses.
pub fn set_server_purpose(store: &mut X509StoreContextRef) -> Result<(), ErrorStack> {
    // SAFETY: the context is alive, and OpenSSL has a set of parameters of that name.
    match unsafe { X509_STORE_CTX_set_default(store.as_ptr(), c"ssl_server".as_ptr()) } {
        1 => Ok(()),
        _ => Err(ErrorStack::get()),
    }
}

/// Takes a connection's certificates and keys away, those that it has from its context among them.
pub fn clear_certificates(ssl: &mut SslRef) {
    // SAFETY: the connection is alive, and not used elsewhere meanwhile.
    unsafe { SSL_certs_clear(ssl.as_ptr()) };
}

/// Returns the hash of the certificate's signature, also where it is a parameter of the algorithm
/// (RSA-PSS); undefined where there is none, and nothing for a signature that OpenSSL cannot read.
pub fn signature_digest(certificate: &X509Ref) -> Option<Nid> {
    let (mut digest, none) = (0, ptr::null_mut());
    let flags = ptr::null_mut();
    // SAFETY: the certificate is alive, and what is not asked for may be null.
    let is_known = unsafe {
        X509_get_signature_info(certificate.as_ptr(), &raw mut digest, none, none, flags) == 1
    };
    is_known.then(|| Nid::from_raw(digest))
}

/// Whether OpenSSL cannot read an extension of the certificate.
pub fn is_malformed(certificate: &X509Ref) -> bool {
    // SAFETY: the certificate is alive; OpenSSL caches the flags behind a lock of its own.
    let flags = unsafe { X509_get_extension_flags(certificate.as_ptr()) };
    flags & EXFLAG_INVALID != 0
}

/// Whether a list of revoked certificates has only what is new since another one (RFC 5280, section
/// 5.2.4).
pub fn is_delta(list: &X509CrlRef) -> bool {
    // SAFETY: the list is alive, and is only read.
    unsafe { X509_CRL_get_ext_by_NID(list.as_ptr(), NID_delta_crl, -1) >= 0 }
}

/// Whether this process runs with more rights than its caller (set-user-ID), so that OpenSSL
/// ignores the environment.
pub fn is_privileged() -> bool {
    // SAFETY: the function has no arguments and changes nothing.
    unsafe { OPENSSL_issetugid() != 0 }
}

/// Returns the negotiated cipher, also before it is in use.
pub fn agreed_cipher(ssl: &SslRef) -> Option<&SslCipherRef> {
    // SAFETY: ciphers are static data of OpenSSL.
    let pending = || unsafe {
        let cipher = SSL_get_pending_cipher(ssl.as_ptr());
        (!cipher.is_null()).then(|| SslCipherRef::from_ptr(cipher.cast_mut()))
    };
    ssl.current_cipher().or_else(pending)
}
