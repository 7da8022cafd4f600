//! OpenSSL contexts, made from profiles. Contexts of clients are cached by profile, since loading
//! the trusted certificates costs more than a handshake.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use memchr::memmem;
use openssl::error::ErrorStack;
use openssl::pkey::{PKey, Private};
use openssl::ssl::{
    AlpnError, SslContext, SslContextBuilder, SslMethod, SslMode, SslOptions, SslSessionCacheMode,
    SslVerifyMode, SslVersion,
};
use openssl::x509::X509;

use super::errors::{clear_errors, openssl_error, reasons};
use super::pem::Pem;
use super::profile::{Profile, Settings, Trust, Version};
use super::stamp::{self, Stamp};
use super::{ca_store, key_log};
use crate::error::{Code, Error, Result};
use crate::text::system_text;

/// The most contexts in the cache.
const KEPT: usize = 16;

/// All that a context depends on: the settings, and the stamp of each file and folder.
#[derive(Clone, PartialEq)]
pub struct Key {
    profile: Profile,
    files: Vec<Option<Stamp>>,
    folders: Vec<Option<u64>>,
    environment: [Option<OsString>; 3],
    /// The identity of the key log, so that a log that was rotated gets a context of its own.
    log: Option<(u64, u64)>,
}

impl Key {
    pub fn of(profile: &Profile) -> Self {
        let Profile { trust, certificate, key, .. } = profile;
        let pems = trust.certificates.iter().chain(certificate).chain(key);
        let store = trust.is_system().then(ca_store::places).flatten();
        let (file, dirs) = store.map_or((None, Vec::new()), |(file, dirs)| (Some(file), dirs));
        let files = pems.filter_map(Pem::path).chain(file.as_deref());
        let folders = trust.dir.iter().chain(&dirs);
        Self {
            profile: profile.clone(),
            files: files.map(stamp::file).collect(),
            folders: folders.map(|dir: &PathBuf| stamp::folder(dir)).collect(),
            environment: ["SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE"].map(env::var_os),
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
    let is_whole = !profile.trust.is_system() || ca_store::is_readable()?;
    let is_new_log = key.log.is_none() && key_log::path(profile).is_some();
    let mut builder = build(profile, SslMethod::tls_client())?;
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
    if profile.certificate.is_none() {
        return Err(Error::new(Code::Tls, "a server needs a certificate: cert_file or cert"));
    }
    let mut builder = build(profile, SslMethod::tls_server())?;
    if !profile.trust.is_system() || !settings.pins.is_empty() {
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

fn build(profile: &Profile, method: SslMethod) -> Result<SslContextBuilder> {
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
    if profile.max_version.is_some_and(|max| max < profile.min_version) {
        let detail = "max_version is lower than min_version, which is 1.2 unless it is given";
        return Err(Error::new(Code::Tls, detail));
    }
    builder.set_min_proto_version(Some(version(profile.min_version))).map_err(openssl_error)?;
    builder.set_max_proto_version(profile.max_version.map(version)).map_err(openssl_error)?;
    if let Some(ciphers) = &profile.ciphers {
        builder.set_cipher_list(ciphers).map_err(|stack| refused("ciphers", &stack))?;
    }
    if let Some(suites) = &profile.ciphersuites {
        builder.set_ciphersuites(suites).map_err(|stack| refused("ciphersuites", &stack))?;
    }
    trust(&mut builder, &profile.trust)?;
    identify(&mut builder, profile)?;
    if let Some(path) = key_log::path(profile) {
        key_log::append(&mut builder, &path)?;
    }
    Ok(builder)
}

fn version(version: Version) -> SslVersion {
    match version {
        Version::Tls10 => SslVersion::TLS1,
        Version::Tls11 => SslVersion::TLS1_1,
        Version::Tls12 => SslVersion::TLS1_2,
        Version::Tls13 => SslVersion::TLS1_3,
    }
}

fn trust(builder: &mut SslContextBuilder, trust: &Trust) -> Result<()> {
    if let Some(path) = &trust.dir {
        fs::read_dir(path).map_err(|error| unreadable(path, &system_text(&error)))?;
        if !ca_store::is_hashed(path) {
            let path = path.display();
            let detail = format!(
                "no certificate in ca_dir '{path}' is named by its hash, openssl rehash does it"
            );
            return Err(Error::new(Code::Tls, detail));
        }
    }
    let store = if trust.is_system() { ca_store::places() } else { None };
    let folders = store.map_or_else(|| trust.dir.iter().cloned().collect(), |(_, dirs)| dirs);
    for folder in &folders {
        // OpenSSL would block on the FIFO in the middle of a handshake.
        if let Some(name) = ca_store::pipe_in(folder) {
            return Err(unreadable(folder, &format!("{} is a pipe", name.display())));
        }
    }
    if trust.is_system() && trust.pipe.is_none() {
        return builder.set_default_verify_paths().map_err(openssl_error);
    }
    for pem in trust.certificates.iter().chain(&trust.pipe) {
        for certificate in certificates(pem, "ca")? {
            builder.cert_store_mut().add_cert(certificate).map_err(openssl_error)?;
        }
    }
    folders.iter().try_for_each(|folder| {
        builder.load_verify_locations(None, Some(folder)).map_err(openssl_error)
    })
}

#[cold]
fn unreadable(folder: &Path, why: &str) -> Error {
    Error::new(Code::Io, format!("cannot read ca_dir '{}': {why}", folder.display()))
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
    builder.set_certificate(&leaf).map_err(|stack| refused("cert", &stack))?;
    for certificate in chain {
        builder.add_extra_chain_cert(certificate).map_err(openssl_error)?;
    }
    // The same PEM may hold the certificate and the key.
    let (pem, option) = profile.key.as_ref().map_or((pem, "cert"), |key| (key, "key"));
    let key = private_key(pem, option, profile.key_password.as_ref().map(|password| &***password))?;
    builder.set_private_key(&key).map_err(|_| mismatch())?;
    builder.check_private_key().map_err(|_| mismatch())
}

fn mismatch() -> Error {
    Error::new(Code::Tls, "the key does not match the certificate")
}

/// Returns the certificates of a PEM; at least one.
fn certificates(pem: &Pem, option: &str) -> Result<Vec<X509>> {
    match X509::stack_from_pem(pem.text()) {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        outcome => Err(corrupt(pem, option).unwrap_or_else(|| {
            let source = pem.source(option);
            let detail = match outcome.err().map(|stack| reasons(&stack)) {
                Some(why) if !why.is_empty() => format!("{source} cannot be read: {why}"),
                _ => format!("no PEM certificate in {source}"),
            };
            Error::new(Code::Tls, detail)
        })),
    }
}

/// Returns which of several certificates cannot be read, and why; none if each can be.
#[cold]
fn corrupt(pem: &Pem, option: &str) -> Option<Error> {
    const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";
    let text = pem.text();
    let begins: Vec<_> = memmem::find_iter(text, BEGIN).collect();
    let ends = begins.iter().skip(1).copied().chain([text.len()]);
    let mut pieces = begins.iter().zip(ends).map(|(from, to)| &text[*from..to]).enumerate();
    pieces.find_map(|(at, piece)| {
        let why = reasons(&X509::from_pem(piece).err()?);
        let (number, source) = (at + 1, pem.source(option));
        Some(Error::new(
            Code::Tls,
            format!("certificate {number} in {source} cannot be read: {why}"),
        ))
    })
}

fn private_key(pem: &Pem, option: &str, password: Option<&[u8]>) -> Result<PKey<Private>> {
    let mut asked = false;
    // Without a callback, OpenSSL would ask for the password on the terminal.
    let key = PKey::private_key_from_pem_callback(pem.text(), |room| {
        asked = true;
        let password = password.filter(|password| password.len() <= room.len());
        let password = password.unwrap_or_default();
        room[..password.len()].copy_from_slice(password);
        Ok(password.len())
    });
    key.map_err(|stack| {
        let source = pem.source(option);
        Error::new(
            Code::Tls,
            match (asked, password) {
                (true, None) => format!("{source} is encrypted, and there is no key_password"),
                (true, Some(_)) => format!("key_password does not open {source}"),
                (false, _) if memmem::find(pem.text(), b"PRIVATE KEY-----").is_some() => {
                    format!("the private key in {source} cannot be read: {}", reasons(&stack))
                }
                (false, _) if option == "cert" => {
                    format!("no PEM private key in {source}, and no key_file or key is given")
                }
                (false, _) => format!("no PEM private key in {source}"),
            },
        )
    })
}

fn refused(option: &str, stack: &ErrorStack) -> Error {
    Error::new(Code::Tls, format!("{option}: {}", reasons(stack)))
}
