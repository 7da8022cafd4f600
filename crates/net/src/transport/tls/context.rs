//! OpenSSL contexts, made of profiles. A client's are kept for the next connection with the same
//! profile: loading trusted certificates costs more than a handshake.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use openssl::error::ErrorStack;
use openssl::pkey::{PKey, Private};
use openssl::ssl::{
    AlpnError, SslContext, SslContextBuilder, SslMethod, SslMode, SslOptions, SslSessionCacheMode,
    SslVerifyMode, SslVersion,
};
use openssl::x509::X509;

use super::profile::{Pem, Profile, Settings, Trust, Version};
use super::{ca_store, clear_errors, failed, reasons};
use crate::error::{Code, Error, Result, system_text};

/// Contexts kept at most.
const KEPT: usize = 16;

/// All that a context depends on. Files count with their time and size.
#[derive(PartialEq)]
struct Key {
    profile: Arc<Profile>,
    files: Vec<Option<(SystemTime, u64)>>,
    environment: [Option<OsString>; 3],
}

impl Key {
    fn of(profile: &Arc<Profile>) -> Self {
        let Profile { trust, certificate, key, .. } = &**profile;
        let pems = trust.certificates.iter().chain(certificate).chain(key);
        let paths = pems.filter_map(Pem::path).chain(&trust.dir);
        Self {
            profile: Arc::clone(profile),
            files: paths.map(|path| stamp(path)).collect(),
            environment: ["SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE"].map(std::env::var_os),
        }
    }
}

fn stamp(path: &Path) -> Option<(SystemTime, u64)> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

static CLIENTS: Mutex<Vec<(Key, SslContext)>> = Mutex::new(Vec::new());

/// A client's context: one that is kept, or a new one.
pub fn client(profile: &Arc<Profile>) -> Result<SslContext> {
    let key = Key::of(profile);
    let mut clients = CLIENTS.lock().unwrap_or_else(PoisonError::into_inner);
    match clients.iter().position(|(other, _)| *other == key) {
        // The one used last stands last.
        Some(at) => clients[at..].rotate_left(1),
        None => {
            let mut builder = build(profile, SslMethod::tls_client())?;
            if !profile.alpn.is_empty() {
                builder.set_alpn_protos(&profile.alpn_wire()).map_err(failed)?;
            }
            // The sessions are the script's; OpenSSL keeps none.
            builder.set_session_cache_mode(SslSessionCacheMode::OFF);
            if clients.len() == KEPT {
                clients.remove(0);
            }
            clients.push((key, builder.build()));
        }
    }
    Ok(clients.last().expect("just put there").1.clone())
}

/// A server's context, made anew each time. Where it trusts somebody, its clients are asked for a
/// certificate, and unless nothing is verified they must show one.
pub fn server(settings: &Settings) -> Result<SslContext> {
    let profile = &settings.profile;
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
        // Without one, OpenSSL refuses to resume a session that has a client certificate.
        builder.set_session_id_context(b"tcp").map_err(failed)?;
    }
    let ours = profile.alpn.clone();
    if !ours.is_empty() {
        builder.set_alpn_select_callback(move |_, theirs| {
            // No name in common is fatal (RFC 7301, section 3.2).
            select(&ours, theirs).ok_or(AlpnError::ALERT_FATAL)
        });
    }
    Ok(builder.build())
}

/// The first of our names that is among theirs.
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
    let mut builder = SslContextBuilder::new(method).map_err(failed)?;
    // Our write buffer moves, and a write may take a part; an idle connection keeps no buffers.
    builder.set_mode(
        SslMode::ENABLE_PARTIAL_WRITE
            | SslMode::ACCEPT_MOVING_WRITE_BUFFER
            | SslMode::RELEASE_BUFFERS,
    );
    builder.set_options(SslOptions::NO_RENEGOTIATION);
    if profile.max_version.is_some_and(|max| max < profile.min_version) {
        let detail = "max_version is lower than min_version, which is 1.2 unless it is given";
        return Err(Error::new(Code::Tls, detail));
    }
    builder.set_min_proto_version(Some(version(profile.min_version))).map_err(failed)?;
    builder.set_max_proto_version(profile.max_version.map(version)).map_err(failed)?;
    if let Some(ciphers) = &profile.ciphers {
        builder.set_cipher_list(ciphers).map_err(|stack| refused("ciphers", &stack))?;
    }
    if let Some(suites) = &profile.ciphersuites {
        builder.set_ciphersuites(suites).map_err(|stack| refused("ciphersuites", &stack))?;
    }
    trust(&mut builder, &profile.trust)?;
    identify(&mut builder, profile)?;
    if profile.keylog {
        log_keys(&mut builder)?;
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
    if trust.is_system() {
        return builder.set_default_verify_paths().map_err(failed);
    }
    for pem in &trust.certificates {
        for certificate in certificates(pem, "ca")? {
            builder.cert_store_mut().add_cert(certificate).map_err(failed)?;
        }
    }
    if let Some(path) = &trust.dir {
        fs::read_dir(path).map_err(|error| {
            let (path, why) = (path.display(), system_text(&error));
            Error::new(Code::Io, format!("cannot read ca_dir '{path}': {why}"))
        })?;
        if !ca_store::is_hashed(path) {
            let path = path.display();
            let detail = format!(
                "no certificate in ca_dir '{path}' is named by its hash, openssl rehash does it"
            );
            return Err(Error::new(Code::Tls, detail));
        }
        builder.load_verify_locations(None, Some(path)).map_err(failed)?;
    }
    Ok(())
}

/// Gives the context its own certificate, where it has one.
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
        builder.add_extra_chain_cert(certificate).map_err(failed)?;
    }
    // The key may stand behind the certificate.
    let (pem, option) = profile.key.as_ref().map_or((pem, "cert"), |key| (key, "key"));
    let key = private_key(pem, option, profile.key_password.as_deref())?;
    builder.set_private_key(&key).map_err(|_| mismatch())?;
    builder.check_private_key().map_err(|_| mismatch())
}

fn mismatch() -> Error {
    Error::new(Code::Tls, "the key does not match the certificate")
}

/// The certificates of a PEM, one at least.
fn certificates(pem: &Pem, option: &str) -> Result<Vec<X509>> {
    let certificates = X509::stack_from_pem(&pem.read(option)?).unwrap_or_default();
    if certificates.is_empty() {
        return Err(Error::new(
            Code::Tls,
            format!("no PEM certificate in {}", source(pem, option)),
        ));
    }
    Ok(certificates)
}

fn private_key(pem: &Pem, option: &str, password: Option<&[u8]>) -> Result<PKey<Private>> {
    let text = pem.read(option)?;
    let mut asked = false;
    // Without a callback, OpenSSL would ask on the terminal.
    let key = PKey::private_key_from_pem_callback(&text, |room| {
        asked = true;
        let password = password.filter(|password| password.len() <= room.len());
        let password = password.unwrap_or_default();
        room[..password.len()].copy_from_slice(password);
        Ok(password.len())
    });
    key.map_err(|_| {
        let source = source(pem, option);
        Error::new(
            Code::Tls,
            match (asked, password) {
                (true, None) => format!("{source} is encrypted, and there is no key_password"),
                (true, Some(_)) => format!("key_password does not open {source}"),
                (false, _) if option == "cert" => {
                    format!("no PEM private key in {source}, and no key_file or key is given")
                }
                (false, _) => format!("no PEM private key in {source}"),
            },
        )
    })
}

/// Where a PEM came from, in words.
fn source(pem: &Pem, option: &str) -> String {
    match pem {
        Pem::File(path) => format!("{option}_file '{}'", path.display()),
        Pem::Text(_) => option.to_owned(),
    }
}

fn refused(option: &str, stack: &ErrorStack) -> Error {
    Error::new(Code::Tls, format!("{option}: {}", reasons(stack)))
}

/// Appends the keys of each connection to the file that the environment names, for Wireshark.
fn log_keys(builder: &mut SslContextBuilder) -> Result<()> {
    let Some(path) = std::env::var_os("SSLKEYLOGFILE").filter(|path| !path.is_empty()) else {
        return Ok(());
    };
    // What is in it opens all that was said: nobody else is to read it.
    let file = OpenOptions::new().append(true).create(true).mode(0o600).open(&path);
    let file = file.map_err(|error| {
        let (path, why) = (Path::new(&path).display(), system_text(&error));
        Error::new(Code::Io, format!("cannot write SSLKEYLOGFILE '{path}': {why}"))
    })?;
    builder.set_keylog_callback(move |_, line| {
        // A log that cannot be written is no reason to fail.
        let _ = (&file).write_all(format!("{line}\n").as_bytes());
    });
    Ok(())
}
