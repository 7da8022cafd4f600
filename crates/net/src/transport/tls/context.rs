//! OpenSSL contexts, made from profiles. Contexts of clients are cached by profile, since loading
//! the trusted certificates costs more than a handshake.

use std::env;
use std::ffi::OsString;
use std::sync::{Mutex, PoisonError};

use openssl::error::ErrorStack;
use openssl::ssl::{
    AlpnError, SslContext, SslContextBuilder, SslMethod, SslMode, SslOptions, SslSessionCacheMode,
    SslVerifyMode,
};
use openssl::x509::store::X509Store;
use openssl_sys::SSL_OP_LEGACY_SERVER_CONNECT;

use super::algorithms::{self, refused};
use super::decode::{certificates, private_key};
use super::errors::{clear_errors, openssl_error};
use super::pem::Pem;
use super::profile::{Profile, Settings};
use super::stamp::{self, Stamp};
use super::store::{self, Stamps};
use super::verify::Rules;
use super::{hints, key_log};
use crate::error::{Code, Error, Result};

/// The most contexts in the cache.
const KEPT: usize = 16;

/// All that a context depends on: the settings, and the stamp of each file and folder.
#[derive(Clone, PartialEq)]
pub struct Key {
    profile: Profile,
    trusted: Stamps,
    files: Vec<Option<Stamp>>,
    environment: Option<OsString>,
    /// The identity of the key log, so that a log that was rotated gets a context of its own.
    log: Option<(u64, u64)>,
}

impl Key {
    pub fn of(profile: &Profile) -> Self {
        let Profile { trust, certificate, key, lists, .. } = profile;
        let pems = certificate.iter().chain(key).chain(lists);
        Self {
            profile: profile.clone(),
            trusted: Stamps::of(trust),
            files: pems.filter_map(Pem::path).map(stamp::file).collect(),
            environment: env::var_os("SSLKEYLOGFILE"),
            log: key_log::path(profile).and_then(|path| stamp::identity(&path)),
        }
    }
}

static CLIENTS: Mutex<Vec<(Key, SslContext)>> = Mutex::new(Vec::new());

/// Returns a client's context from the cache, if it is there. The one used last is the last.
pub fn kept(key: &Key) -> Option<SslContext> {
    let mut clients = CLIENTS.lock().unwrap_or_else(PoisonError::into_inner);
    let at = clients.iter().position(|(other, _)| other == key)?;
    clients[at..].rotate_left(1);
    clients.last().map(|(_, context)| context.clone())
}

/// Makes a client's context from a profile whose files are read, and caches it. It is not cached if
/// a trusted file could not be read, or if its key log did not exist: either may change.
pub fn client(profile: &Profile, key: &Key) -> Result<SslContext> {
    let (store, is_whole) = store::shared(&profile.trust, &key.profile.trust, &key.trusted)?;
    let is_new_log = key.log.is_none() && key_log::path(profile).is_some();
    let mut builder = build(profile, SslMethod::tls_client(), store)?;
    if let Some(psk) = &profile.psk {
        let Profile { ciphers, ciphersuites, .. } = profile;
        psk.install_in_client(&mut builder, ciphers.is_some(), ciphersuites.is_some())?;
    }
    if profile.legacy_renegotiation {
        builder.set_options(SslOptions::from_bits_retain(SSL_OP_LEGACY_SERVER_CONNECT));
    }
    if !profile.alpn.is_empty() {
        builder.set_alpn_protos(&profile.alpn_wire()).map_err(openssl_error)?;
    }
    // Scripts keep the sessions; OpenSSL caches none.
    builder.set_session_cache_mode(SslSessionCacheMode::OFF);
    let context = builder.build();
    if is_whole && !is_new_log {
        let mut clients = CLIENTS.lock().unwrap_or_else(PoisonError::into_inner);
        if clients.len() == KEPT {
            clients.remove(0);
        }
        clients.push((key.clone(), context.clone()));
    }
    Ok(context)
}

/// Makes a server's context from a profile whose files are read. If the profile names trusted
/// certificates, clients are asked for one. With `verify` or pins they must send it.
pub fn server(profile: &Profile, settings: &Settings) -> Result<SslContext> {
    if profile.certificate.is_none() && profile.psk.is_none() {
        return Err(Error::new(Code::Tls, "a server needs a certificate: cert_file or cert"));
    }
    let asks = !profile.trust.is_system() || !settings.pins.is_empty();
    if !profile.lists.is_empty() && !asks {
        let detail = "crl_file and crl go with ca_file, ca_dir or ca, which ask for a certificate";
        return Err(Error::new(Code::Tls, detail));
    }
    let mut builder = build(profile, SslMethod::tls_server(), server_store(profile)?)?;
    if let Some(psk) = &profile.psk {
        psk.install_in_server(&mut builder, profile.ciphersuites.is_some())?;
    }
    if asks {
        let must = match settings.verify || !settings.pins.is_empty() {
            true => SslVerifyMode::FAIL_IF_NO_PEER_CERT,
            false => SslVerifyMode::empty(),
        };
        builder.set_verify(SslVerifyMode::PEER | must);
        // A ticket holds only the client's leaf, and verifying it again takes the whole chain.
        builder.set_options(SslOptions::NO_TICKET);
        builder.set_num_tickets(0).map_err(openssl_error)?;
    }
    // Clients keep their tickets; a cache here would hold their certificates for hours.
    builder.set_session_cache_mode(SslSessionCacheMode::OFF);
    let ours = profile.alpn.clone();
    if !ours.is_empty() {
        builder.set_alpn_select_callback(move |_, theirs| {
            // No name in common is fatal (RFC 7301, section 3.2).
            select(&ours, theirs).ok_or(AlpnError::ALERT_FATAL)
        });
    }
    Ok(builder.build())
}

/// A server's certificates are read anew each time. Those of the system serve to complete its own
/// chain.
fn server_store(profile: &Profile) -> Result<X509Store> {
    let Profile { trust, .. } = profile;
    match trust.is_system() && trust.pipe.is_none() {
        true => store::shared(trust, trust, &Stamps::of(trust)).map(|(store, _)| store),
        false => store::build(trust),
    }
}

/// Returns the first of this end's names that the peer has sent, too.
fn select<'a>(ours: &[Vec<u8>], theirs: &'a [u8]) -> Option<&'a [u8]> {
    let mut names = Vec::new();
    let mut rest = theirs;
    while let Some((length, after)) = rest.split_first() {
        let (name, after) = after.split_at_checked(usize::from(*length))?;
        names.push(name);
        rest = after;
    }
    ours.iter().find_map(|our| names.iter().copied().find(|their| their == our))
}

fn build(profile: &Profile, method: SslMethod, store: X509Store) -> Result<SslContextBuilder> {
    clear_errors();
    let mut builder = SslContextBuilder::new(method).map_err(openssl_error)?;
    // The write buffer may move between tries, and a write may be partial. An idle connection keeps
    // no buffers.
    builder.set_mode(
        SslMode::ENABLE_PARTIAL_WRITE
            | SslMode::ACCEPT_MOVING_WRITE_BUFFER
            | SslMode::RELEASE_BUFFERS,
    );
    builder.set_options(SslOptions::NO_RENEGOTIATION | SslOptions::NO_COMPRESSION);
    algorithms::restrict(&mut builder, profile)?;
    builder.set_cert_store(store);
    Rules::install(&mut builder, profile)?;
    identify(&mut builder, profile)?;
    if let Some(path) = key_log::path(profile) {
        key_log::append(&mut builder, &path)?;
    }
    Ok(builder)
}

/// Gives the context its certificate and key, if the profile has them.
fn identify(builder: &mut SslContextBuilder, profile: &Profile) -> Result<()> {
    let Some(pem) = &profile.certificate else {
        return match profile.key {
            Some(_) => {
                Err(Error::new(Code::Tls, "a key without a certificate, give cert_file or cert"))
            }
            None => Ok(()),
        };
    };
    let mut chain = certificates(pem, "cert")?.into_iter();
    let leaf = chain.next().expect("one at least");
    builder.set_certificate(&leaf).map_err(|stack| unfit(&stack))?;
    for certificate in chain {
        builder.add_extra_chain_cert(certificate).map_err(openssl_error)?;
    }
    // The same PEM may hold the certificate and the key.
    let (pem, option) = profile.key.as_ref().map_or((pem, "cert"), |key| (key, "key"));
    let key = private_key(pem, option, profile.key_password.as_ref().map(|password| &***password))?;
    builder.set_private_key(&key).map_err(|_| mismatch())?;
    builder.check_private_key().map_err(|_| mismatch())
}

/// The failure of a certificate that OpenSSL does not take for one of this end's.
fn unfit(stack: &ErrorStack) -> Error {
    let error = refused("cert", stack);
    match stack.errors().iter().any(|error| hints::is_weak(error.reason_code())) {
        true => Error::new(Code::Tls, format!("{} ({})", error.detail(), hints::WEAK)),
        false => error,
    }
}

fn mismatch() -> Error {
    Error::new(Code::Tls, "the key does not match the certificate")
}
