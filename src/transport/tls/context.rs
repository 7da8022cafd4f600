//! What a TLS client is configured to do, and the OpenSSL contexts made of it. Contexts are kept
//! for the next connection with the same settings: loading trusted certificates costs more than a
//! handshake.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use openssl::error::ErrorStack;
use openssl::ssl::{
    Ssl, SslContext, SslContextBuilder, SslMethod, SslMode, SslVerifyMode, SslVersion,
};
use openssl::x509::X509;
use openssl::x509::verify::X509CheckFlags;

use super::failed;
use super::refusal::Refusal;
use crate::error::{Code, Error, Result, system_text};

/// Contexts kept at most.
const KEPT: usize = 16;

/// Whose signatures count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    /// A file of PEM certificates.
    pub file: Option<PathBuf>,
    /// A folder of PEM certificates, named by hash as `openssl rehash` does.
    pub dir: Option<PathBuf>,
    /// PEM certificates as text.
    pub text: Option<Vec<u8>>,
}

impl Trust {
    /// Nothing named: the system's store is trusted.
    pub fn is_system(&self) -> bool {
        self.file.is_none() && self.dir.is_none() && self.text.is_none()
    }
}

/// The settings of a TLS client.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The name or address that the certificate must be for. A name, in ASCII and without the dot
    /// that may end it, is also sent as SNI (RFC 6066, section 3).
    pub server_name: String,
    /// Refuse a certificate that does not verify.
    pub verify: bool,
    pub trust: Trust,
}

/// All that a context depends on. Files count with their time and size.
#[derive(Debug, PartialEq)]
struct Key {
    trust: Trust,
    file: Option<(SystemTime, u64)>,
    dir: Option<(SystemTime, u64)>,
    environment: [Option<std::ffi::OsString>; 2],
}

impl Key {
    fn of(settings: &Settings) -> Self {
        let Trust { file, dir, .. } = &settings.trust;
        Self {
            trust: settings.trust.clone(),
            file: file.as_deref().and_then(stamp),
            dir: dir.as_deref().and_then(stamp),
            environment: ["SSL_CERT_FILE", "SSL_CERT_DIR"].map(std::env::var_os),
        }
    }
}

fn stamp(path: &Path) -> Option<(SystemTime, u64)> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

static CONTEXTS: Mutex<Vec<(Key, SslContext)>> = Mutex::new(Vec::new());

/// The context for these settings: one that is kept, or a new one.
pub fn client(settings: &Settings) -> Result<SslContext> {
    let key = Key::of(settings);
    let mut contexts = CONTEXTS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(at) = contexts.iter().position(|(other, _)| *other == key) {
        // The one used last stands last.
        contexts[at..].rotate_left(1);
    } else {
        let context = build(settings)?;
        if contexts.len() == KEPT {
            contexts.remove(0);
        }
        contexts.push((key, context));
    }
    Ok(contexts.last().expect("just put there").1.clone())
}

fn build(settings: &Settings) -> Result<SslContext> {
    let mut builder = SslContextBuilder::new(SslMethod::tls_client()).map_err(failed)?;
    builder.set_min_proto_version(Some(SslVersion::TLS1_2)).map_err(failed)?;
    // Our write buffer moves, and a write may take a part; an idle connection keeps no buffers.
    builder.set_mode(
        SslMode::ENABLE_PARTIAL_WRITE
            | SslMode::ACCEPT_MOVING_WRITE_BUFFER
            | SslMode::RELEASE_BUFFERS,
    );
    trust(&mut builder, &settings.trust)?;
    Ok(builder.build())
}

fn trust(builder: &mut SslContextBuilder, trust: &Trust) -> Result<()> {
    if trust.is_system() {
        return builder.set_default_verify_paths().map_err(failed);
    }
    if let Some(path) = &trust.file {
        let text = fs::read(path).map_err(|error| unreadable("ca_file", path, &error))?;
        add(builder, &text, &format!("ca_file '{}'", path.display()))?;
    }
    if let Some(path) = &trust.dir {
        fs::read_dir(path).map_err(|error| unreadable("ca_dir", path, &error))?;
        builder.load_verify_locations(None, Some(path)).map_err(failed)?;
    }
    if let Some(text) = &trust.text {
        add(builder, text, "ca")?;
    }
    Ok(())
}

fn add(builder: &mut SslContextBuilder, pem: &[u8], source: &str) -> Result<()> {
    let certificates = X509::stack_from_pem(pem).unwrap_or_default();
    if certificates.is_empty() {
        return Err(Error::new(Code::Tls, format!("no PEM certificate in {source}")));
    }
    let store = builder.cert_store_mut();
    certificates.into_iter().try_for_each(|each| store.add_cert(each)).map_err(failed)
}

fn unreadable(option: &str, path: &Path, error: &std::io::Error) -> Error {
    let detail = format!("cannot read {option} '{}': {}", path.display(), system_text(error));
    Error::new(Code::Io, detail)
}

/// Tells one connection whom to expect: the name sent, the name or address verified (RFC 9525: the
/// subject alternative names, never the CN), and where a refusal is written down.
pub fn expect(
    ssl: &mut Ssl,
    settings: &Settings,
    refusal: &Arc<Refusal>,
) -> std::result::Result<(), ErrorStack> {
    let name = &settings.server_name;
    let param = ssl.param_mut();
    param.set_hostflags(X509CheckFlags::NO_PARTIAL_WILDCARDS | X509CheckFlags::NEVER_CHECK_SUBJECT);
    match name.parse::<IpAddr>() {
        Ok(address) => param.set_ip(address)?,
        Err(_) => {
            param.set_host(name)?;
            ssl.set_hostname(name)?;
        }
    }
    let (refusal, verify, trust) =
        (Arc::clone(refusal), settings.verify, settings.trust.is_system());
    ssl.set_verify_callback(SslVerifyMode::PEER, move |ok, store| {
        if !ok {
            refusal.note(store, trust);
        }
        ok || !verify
    });
    Ok(())
}
