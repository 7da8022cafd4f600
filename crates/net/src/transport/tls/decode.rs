//! What PEM text holds: certificates, a key, lists of revoked certificates. A message says which
//! option the text is from, which of its parts cannot be read, and why. Uses `pem`, `errors`,
//! `ffi`, `memory`, `error`.

use std::iter;

use memchr::memmem;
use openssl::pkey::{PKey, Private};
use openssl::x509::{X509, X509Crl};

use super::errors::reasons;
use super::ffi;
use super::pem::Pem;
use crate::error::{Code, Error, Result};
use crate::memory::reserve;

const CERTIFICATE: &[u8] = b"-----BEGIN CERTIFICATE-----";
const LIST: &[u8] = b"-----BEGIN X509 CRL-----";

/// Returns the certificates of a PEM; at least one.
pub fn certificates(pem: &Pem, option: &str) -> Result<Vec<X509>> {
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
    pieces(pem.text(), CERTIFICATE).enumerate().find_map(|(at, piece)| {
        let why = reasons(&X509::from_pem(piece).err()?);
        let (number, source) = (at + 1, pem.source(option));
        let detail = format!("certificate {number} in {source} cannot be read: {why}");
        Some(Error::new(Code::Tls, detail))
    })
}

/// Returns the lists of revoked certificates of several PEMs; at least one of each.
pub fn lists(pems: &[Pem]) -> Result<Vec<X509Crl>> {
    let mut lists = Vec::new();
    for pem in pems {
        let others = lists.len();
        for (at, piece) in pieces(pem.text(), LIST).enumerate() {
            let wrong = |why: String| {
                let (number, source) = (at + 1, pem.source("crl"));
                Error::new(Code::Tls, format!("list {number} in {source} {why}"))
            };
            let list = X509Crl::from_pem(piece)
                .map_err(|stack| wrong(format!("cannot be read: {}", reasons(&stack))))?;
            // OpenSSL would take it for a whole list, in place of that which it goes with.
            if ffi::is_delta(&list) {
                return Err(wrong("is a delta, a whole list is wanted".to_owned()));
            }
            reserve(&mut lists, 1)?;
            lists.push(list);
        }
        if lists.len() == others {
            return Err(Error::new(Code::Tls, format!("no PEM list in {}", pem.source("crl"))));
        }
    }
    Ok(lists)
}

/// Returns the parts of a text that begin so, each up to the next.
fn pieces<'a>(text: &'a [u8], begin: &[u8]) -> impl Iterator<Item = &'a [u8]> {
    let mut rest = memmem::find(text, begin).map(|at| &text[at..]);
    iter::from_fn(move || {
        let piece = rest?;
        let next = memmem::find(&piece[begin.len()..], begin).map(|at| at + begin.len());
        rest = next.map(|at| &piece[at..]);
        Some(&piece[..next.unwrap_or(piece.len())])
    })
}

pub fn private_key(pem: &Pem, option: &str, password: Option<&[u8]>) -> Result<PKey<Private>> {
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
