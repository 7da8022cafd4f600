//! The functions of OpenSSL that the crate `openssl` does not offer. They give a connection's
//! alerts, its cipher before the handshake ends, and the chain that was sent. They verify a chain
//! as that of a server, and tell malformed certificates and privileged processes. Nothing else
//! calls OpenSSL by its C names.
#![allow(unsafe_code)]

use std::ffi::{c_char, c_int, c_void};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use foreign_types::ForeignTypeRef;
use openssl::error::ErrorStack;
use openssl::ex_data::Index;
use openssl::ssl::{Ssl, SslCipherRef, SslRef};
use openssl::stack::StackRef;
use openssl::x509::{X509, X509Ref, X509StoreContextRef};
use openssl_sys::{
    EXFLAG_INVALID, SSL, SSL_CIPHER, X509_STORE_CTX, X509_get_extension_flags, stack_st_X509,
};

use super::alert::Alert;

/// The content type of an alert record (RFC 8446, section 5.1).
const ALERT: c_int = 21;
const TLS13: c_int = 0x304;

// Alerts (RFC 8446, section 6; RFC 5246, section 7.2.2).
const FATAL: u8 = 2;
const CLOSE_NOTIFY: u8 = 0;
const USER_CANCELED: u8 = 90;
const NO_RENEGOTIATION: u8 = 100;

type OnMessage =
    unsafe extern "C" fn(c_int, c_int, c_int, *const c_void, usize, *mut SSL, *mut c_void);

// SAFETY: as OpenSSL's headers declare them, from 1.1.1 on.
unsafe extern "C" {
    fn OPENSSL_issetugid() -> c_int;
    fn SSL_get_pending_cipher(ssl: *const SSL) -> *const SSL_CIPHER;
    fn SSL_set_msg_callback(ssl: *mut SSL, on_message: OnMessage);
    fn X509_STORE_CTX_set_default(store: *mut X509_STORE_CTX, name: *const c_char) -> c_int;
    fn X509_STORE_CTX_get0_untrusted(store: *const X509_STORE_CTX) -> *mut stack_st_X509;
}

/// The alerts of a connection that later errors refer to.
#[derive(Default)]
pub struct Alerts {
    /// The alert that has ended the connection.
    pub fatal: OnceLock<Alert>,
    /// The peer has asked for a renegotiation, which was refused, and has sent no payload since.
    refused_renegotiation: AtomicBool,
}

impl Alerts {
    /// Records the alerts of this connection from now on.
    pub fn watch(ssl: &mut Ssl) -> Result<(), ErrorStack> {
        ssl.set_ex_data(index()?, Self::default());
        // SAFETY: OpenSSL calls the callback with this connection only, while it lives.
        unsafe { SSL_set_msg_callback(ssl.as_ptr(), on_message) };
        Ok(())
    }

    pub fn of(ssl: &SslRef) -> Option<&Self> {
        ssl.ex_data(index().ok()?)
    }

    pub fn has_refused_renegotiation(&self) -> bool {
        self.refused_renegotiation.load(Ordering::Relaxed)
    }

    /// Notes that payload has come: the peer goes on without the renegotiation.
    pub fn note_payload(&self) {
        self.refused_renegotiation.store(false, Ordering::Relaxed);
    }

    fn note(&self, alert: Alert, is_fatal: bool) {
        if is_fatal {
            let _ = self.fatal.set(alert);
        } else if alert == (Alert { number: NO_RENEGOTIATION, is_peers: false }) {
            self.refused_renegotiation.store(true, Ordering::Relaxed);
        }
    }
}

fn index() -> Result<Index<Ssl, Alerts>, ErrorStack> {
    static INDEX: OnceLock<Index<Ssl, Alerts>> = OnceLock::new();
    match INDEX.get() {
        Some(index) => Ok(*index),
        None => Ssl::new_ex_index().map(|index| *INDEX.get_or_init(|| index)),
    }
}

unsafe extern "C" fn on_message(
    is_ours: c_int,
    version: c_int,
    kind: c_int,
    bytes: *const c_void,
    size: usize,
    ssl: *mut SSL,
    _: *mut c_void,
) {
    if kind != ALERT || size != 2 {
        return;
    }
    // SAFETY: OpenSSL passes its live connection, and as many bytes as `size` says.
    let (ssl, [level, number]) = unsafe { (SslRef::from_ptr(ssl), *bytes.cast::<[u8; 2]>()) };
    // In TLS 1.3 the level does not matter (RFC 8446, section 6).
    let is_fatal = match version {
        TLS13 => !matches!(number, CLOSE_NOTIFY | USER_CANCELED),
        _ => level == FATAL,
    };
    if let Some(alerts) = Alerts::of(ssl) {
        alerts.note(Alert { number, is_peers: is_ours == 0 }, is_fatal);
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

/// Verifies the chain of a server, with the purpose and trust that a client's handshake uses.
pub fn verify_server(store: &mut X509StoreContextRef) -> Result<bool, ErrorStack> {
    // SAFETY: the context is alive, and OpenSSL has a set of parameters of that name.
    if unsafe { X509_STORE_CTX_set_default(store.as_ptr(), c"ssl_server".as_ptr()) } != 1 {
        return Err(ErrorStack::get());
    }
    store.verify_cert()
}

/// Whether OpenSSL cannot read an extension of the certificate.
pub fn is_malformed(certificate: &X509Ref) -> bool {
    // SAFETY: the certificate is alive; OpenSSL caches the flags behind a lock of its own.
    let flags = unsafe { X509_get_extension_flags(certificate.as_ptr()) };
    flags & EXFLAG_INVALID != 0
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
