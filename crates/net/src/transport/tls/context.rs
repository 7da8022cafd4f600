//! OpenSSL contexts, made from profiles. Contexts of clients are cached by profile, since loading
//! the trusted certificates costs more than a handshake.

use std::env;
use std::ffi::OsString;
use std::sync::{Mutex, PoisonError};

use openssl::ssl::{
    AlpnError, SslContext, SslContextBuilder, SslMethod, SslMode, SslOptions, SslSessionCacheMode,
    SslVerifyMode,
};
use openssl::x509::store::X509Store;
use openssl_sys::SSL_OP_LEGACY_SERVER_CONNECT;

use super::algorithms;
use super::errors::{clear_errors, openssl_error};
use super::identity::Identity;
use super::pem::Pem;
use super::profile::{Profile, Settings};
use super::stamp::{self, Stamp};
use super::store::{self, Stamps};
use super::verify::Rules;
use super::{key_log, sni};
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
    if let Some(identity) = Identity::of_profile(profile)? {
        identity.give_to_context(&mut builder)?;
    }
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
        // A context from before a file changed is of no use any more.
        clients.retain(|(other, _)| other.profile != key.profile);
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
    let Profile { certificate, names, psk, .. } = profile;
    if certificate.is_none() && names.is_empty() && psk.is_none() {
        return Err(Identity::missing());
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
        let must = match settings.demands_certificate() {
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
    let identity = Identity::of_profile(profile)?;
    if !names.is_empty() {
        return sni::serve(builder, identity, profile);
    }
    if let Some(identity) = identity {
        identity.give_to_context(&mut builder)?;
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
    if let Some(path) = key_log::path(profile) {
        key_log::append(&mut builder, &path)?;
    }
    Ok(builder)
}
