//! A session to resume, as the opaque string that scripts keep. OpenSSL checks neither name nor
//! dates when it resumes. So the string holds what these checks need: the server's name, the
//! settings, and the peer's chain.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use openssl::error::ErrorStack;
use openssl::sha::Sha256;
use openssl::ssl::{SslContextRef, SslSession};
use openssl::stack::Stack;
use openssl::x509::{X509, X509StoreContext, X509StoreContextRef};

use super::certificate::pin;
use super::failure::Failure;
use super::pem::Pem;
use super::profile::{Profile, Settings};
use super::psk::Psk;
use super::report::owned;
use super::verify::verify_server;
use crate::memory::copy;

/// The most parts of the string: more certificates than a handshake can carry.
const PARTS: usize = 256;
/// The longest failure of a verification, in bytes.
const LONGEST_FAILURE: usize = 4096;

/// The first bytes of the string, with the number of its format.
const MAGIC: &[u8] = b"tcp session 1\n";

pub struct Session {
    pub resume: SslSession,
    /// Leaf first.
    pub chain: Vec<X509>,
    /// The path that the chain verifies by today; none if verification failed.
    pub path: Option<Vec<X509>>,
    /// Why verification failed when the peer showed that chain, if it did.
    pub failure: Option<Failure>,
}

impl Session {
    /// Returns the string. Settings and context are those of the connection that the session is
    /// from.
    pub fn to_bytes(
        &self,
        settings: &Settings,
        context: &SslContextRef,
    ) -> Result<Vec<u8>, ErrorStack> {
        let mut parts = vec![
            settings.server_name.as_bytes().to_vec(),
            digest(settings, context)?.to_vec(),
            self.failure.as_ref().map_or(Vec::new(), failure_bytes),
            self.resume.to_der()?,
        ];
        for certificate in &self.chain {
            parts.push(certificate.to_der()?);
        }
        let mut bytes = MAGIC.to_vec();
        for part in parts {
            bytes.extend((part.len() as u32).to_be_bytes());
            bytes.extend(part);
        }
        Ok(bytes)
    }

    /// Decodes a session if it may be offered to the server that `settings` name. Name and settings
    /// must be the same, and the chain must verify today.
    pub fn offered(bytes: &[u8], settings: &Settings, context: &SslContextRef) -> Option<Self> {
        let mut parts = parts(bytes)?.into_iter();
        if parts.next()? != settings.server_name.as_bytes()
            || parts.next()? != digest(settings, context).ok()?
        {
            return None;
        }
        let failure = match parts.next().filter(|part| part.len() <= LONGEST_FAILURE)? {
            [] => None,
            part => Some(failure(part)?),
        };
        let resume = SslSession::from_der(parts.next()?).ok()?;
        let chain = decode(parts.collect())?;
        let mut session = Self { resume, chain, path: None, failure };
        let holds = match session.failure {
            Some(_) => !settings.verify,
            None => {
                session.path = session.verified_path(context);
                session.path.is_some()
            }
        };
        (holds && session.is_pinned(settings)).then_some(session)
    }

    /// Returns the path by which the chain verifies today, as that of a server. The name is the
    /// same as when the peer showed the chain, and was checked then.
    fn verified_path(&self, context: &SslContextRef) -> Option<Vec<X509>> {
        let verify = || -> Result<Option<Vec<X509>>, ErrorStack> {
            let mut untrusted = Stack::new()?;
            for certificate in self.chain.iter().skip(1) {
                untrusted.push(certificate.clone())?;
            }
            let Some(leaf) = self.chain.first() else { return Ok(None) };
            let mut store = X509StoreContext::new()?;
            store.init(context.cert_store(), leaf, &untrusted, |store| {
                let path = |store: &X509StoreContextRef| owned(store.chain());
                Ok(verify_server(store, context)?.then(|| path(store)))
            })
        };
        verify().ok().flatten()
    }

    fn is_pinned(&self, settings: &Settings) -> bool {
        let key = || self.chain.first().and_then(|leaf| pin(leaf).ok());
        settings.pins.is_empty() || key().is_some_and(|key| settings.pins.contains(&key))
    }
}

/// Encodes a failure as code, depth and words.
fn failure_bytes(failure: &Failure) -> Vec<u8> {
    let Failure { words, code, depth } = failure;
    format!("{code} {depth} {words}").into_bytes()
}

fn failure(bytes: &[u8]) -> Option<Failure> {
    let text = String::from_utf8_lossy(bytes);
    let (code, rest) = text.split_once(' ')?;
    let (depth, words) = rest.split_once(' ')?;
    let words = words.to_owned();
    Some(Failure { words, code: code.parse().ok()?, depth: depth.parse().ok()? })
}

/// A chain and its DER encoding.
type Decoded = (Vec<Vec<u8>>, Vec<X509>);

/// The chains decoded last, cached since decoding one costs a third of a handshake.
static DECODED: Mutex<VecDeque<Decoded>> = Mutex::new(VecDeque::new());
const KEPT: usize = 16;

fn decode(ders: Vec<&[u8]>) -> Option<Vec<X509>> {
    let mut decoded = DECODED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, chain)) = decoded.iter().find(|(kept, _)| *kept == ders) {
        return Some(chain.clone());
    }
    let chain: Vec<_> =
        ders.iter().map(|der| X509::from_der(der)).collect::<Result<_, _>>().ok()?;
    decoded.truncate(KEPT - 1);
    // The chain is not cached if there is no memory for it.
    if let Ok(ders) = ders.into_iter().map(copy).collect() {
        decoded.push_front((ders, chain.clone()));
    }
    Some(chain)
}

fn parts(bytes: &[u8]) -> Option<Vec<&[u8]>> {
    let mut rest = bytes.strip_prefix(MAGIC)?;
    let mut parts = Vec::new();
    while !rest.is_empty() {
        let (length, after) = rest.split_first_chunk::<4>()?;
        let (part, after) = after.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        if parts.len() == PARTS {
            return None;
        }
        parts.push(part);
        rest = after;
    }
    Some(parts)
}

/// Returns a digest of all settings that a session must share with a connection that resumes it.
fn digest(settings: &Settings, context: &SslContextRef) -> Result<[u8; 32], ErrorStack> {
    let Profile { trust, lists, min_version, max_version, .. } = &settings.profile;
    let Profile { groups, signature_algorithms, security_level, psk, .. } = &settings.profile;
    let Profile { partial_chain, reports_ocsp, legacy_renegotiation, .. } = &settings.profile;
    let mut digest = Sha256::new();
    // Each setting follows its length, so that no two sets of settings give the same bytes.
    let mut add = |bytes: &[u8]| {
        digest.update(&(bytes.len() as u64).to_be_bytes());
        digest.update(bytes);
    };
    add(&[settings.verify.into(), settings.any_name.into()]);
    add(&settings.pins.concat());
    add(format!("{min_version:?} {max_version:?}").as_bytes());
    add(format!("{:?}", (&settings.profile.ciphers, &settings.profile.ciphersuites)).as_bytes());
    add(format!("{groups:?} {signature_algorithms:?} {security_level:?}").as_bytes());
    let secrets = psk.as_ref().map_or(&[][..], Psk::secrets);
    add(&secrets.len().to_be_bytes());
    for secret in secrets {
        add(&secret.identity);
        add(&secret.key);
    }
    add(&[(*partial_chain).into(), (*reports_ocsp).into(), (*legacy_renegotiation).into()]);
    add(&settings.profile.alpn_wire());
    add(trust.dir.as_ref().map_or(&[], |dir| dir.as_os_str().as_encoded_bytes()));
    // The certificate itself counts: its file may hold another one by then.
    add(&context.certificate().map_or(Ok(Vec::new()), |certificate| certificate.to_der())?);
    for pems in [&trust.certificates, lists] {
        // The order is that of a Lua table's keys, which differs between processes.
        let mut pems: Vec<_> = pems.iter().map(named).collect();
        pems.sort_unstable();
        add(&(pems.len() as u64).to_be_bytes());
        pems.into_iter().for_each(&mut add);
    }
    Ok(digest.finish())
}

/// Returns the identity of a PEM: its path, or else its text.
fn named(pem: &Pem) -> &[u8] {
    pem.path().map_or(pem.text(), |path| path.as_os_str().as_encoded_bytes())
}
