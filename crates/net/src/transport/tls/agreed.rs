//! What a handshake has agreed upon, as far as the crate `openssl` does not tell: the group, the
//! peer's signature, and the issuers that a server accepts. Uses `x509`, `error`.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;

use foreign_types::ForeignTypeRef;
use openssl::nid::Nid;
use openssl::ssl::{SslRef, SslVersion};
use openssl::stack::StackRef;
use openssl::x509::{X509Name, X509Ref};
use openssl_sys::{SSL, SSL_ctrl, stack_st_X509_NAME};

use super::x509;
use crate::error::Result;
use crate::memory::reserve;

// Commands of SSL_ctrl, in ssl.h.
const PEER_SIGNATURE_HASH: c_int = 108;
const NEGOTIATED_GROUP: c_int = 134;

// SAFETY: as OpenSSL's headers declare them, from 3.0 on.
unsafe extern "C" {
    fn SSL_get0_peer_CA_list(ssl: *const SSL) -> *const stack_st_X509_NAME;
    fn SSL_get_peer_signature_type_nid(ssl: *const SSL, nid: *mut c_int) -> c_int;
    fn SSL_group_to_name(ssl: *mut SSL, id: c_int) -> *const c_char;
}

/// Returns the name of the group that the keys were exchanged in (RFC 8446, section 4.2.7); none if
/// there was none, or if a session of TLS 1.2 goes on.
pub fn group(ssl: &SslRef) -> Option<String> {
    // OpenSSL looks into the session.
    ssl.session()?;
    // SAFETY: the connection is alive; its context has the name, which is copied.
    unsafe {
        let id = SSL_ctrl(ssl.as_ptr(), NEGOTIATED_GROUP, 0, ptr::null_mut());
        let id = c_int::try_from(id).ok().filter(|id| *id > 0)?;
        let name = SSL_group_to_name(ssl.as_ptr(), id);
        (!name.is_null()).then(|| CStr::from_ptr(name).to_string_lossy().into_owned())
    }
}

/// Returns the scheme of the peer's signature in the handshake, by the name that RFC 8446 (section
/// 4.2.3) gives it. `leaf` is the peer's certificate: a name of RSA-PSS says of which kind its key
/// is.
pub fn signature_algorithm(ssl: &SslRef, leaf: Option<&X509Ref>) -> Option<String> {
    let (mut kind, mut hash) = (0, 0);
    // SAFETY: the connection is alive; each number is written to its place.
    let (has_kind, has_hash) = unsafe {
        let place: *mut c_void = (&raw mut hash).cast::<c_int>().cast();
        (
            SSL_get_peer_signature_type_nid(ssl.as_ptr(), &raw mut kind) == 1,
            SSL_ctrl(ssl.as_ptr(), PEER_SIGNATURE_HASH, 0, place) == 1,
        )
    };
    if !has_kind {
        return None;
    }
    let known = |nid: c_int| Nid::from_raw(nid).short_name().ok().map(str::to_ascii_lowercase);
    let hash = Some(hash).filter(|hash| has_hash && *hash != 0).and_then(known);
    let Some(hash) = hash else {
        // Ed25519, Ed448, and what signs without a hash of its own.
        return known(kind).map(|name| name.trim_start_matches("id-").replace('-', ""));
    };
    let hash = hash.replace('-', "_");
    Some(match Nid::from_raw(kind) {
        Nid::RSAENCRYPTION => format!("rsa_pkcs1_{hash}"),
        Nid::RSASSAPSS => {
            let is_pss = leaf.and_then(x509::key_algorithm).map(|(kind, _)| kind.nid())
                == Some(Nid::RSASSAPSS);
            format!("rsa_pss_{}_{hash}", if is_pss { "pss" } else { "rsae" })
        }
        Nid::X9_62_ID_ECPUBLICKEY => match leaf.and_then(brainpool) {
            Some(curve) if ssl.version2() == Some(SslVersion::TLS1_3) => {
                format!("ecdsa_{curve}tls13_{hash}")
            }
            _ => format!("ecdsa_{}{hash}", curve_of(&hash)),
        },
        _ => format!("{}_{hash}", known(kind)?),
    })
}

/// Returns the curve of a key if RFC 8734 has schemes of its own for it.
fn brainpool(leaf: &X509Ref) -> Option<String> {
    let (_, curve) = x509::key_algorithm(leaf)?;
    x509::object_text(curve?, false).ok()?.filter(|curve| curve.starts_with("brainpool"))
}

/// Returns the curve in the name of a scheme of ECDSA, which RFC 8446 ties to the hash.
fn curve_of(hash: &str) -> &'static str {
    match hash {
        "sha256" => "secp256r1_",
        "sha384" => "secp384r1_",
        "sha512" => "secp521r1_",
        _ => "",
    }
}

/// Returns the names of the issuers whose certificates the server accepts of a client, as RFC 4514
/// writes them; an empty list if any.
pub fn acceptable_issuers(ssl: &SslRef) -> Result<Vec<Vec<u8>>> {
    // SAFETY: the list belongs to the connection; nothing changes it while it is read.
    let names = unsafe {
        let names = SSL_get0_peer_CA_list(ssl.as_ptr());
        (!names.is_null()).then(|| StackRef::<X509Name>::from_ptr(names.cast_mut()))
    };
    let mut texts = Vec::new();
    for name in names.into_iter().flatten() {
        if let Some(text) = x509::name_text(name)? {
            reserve(&mut texts, 1)?;
            texts.push(text);
        }
    }
    Ok(texts)
}
