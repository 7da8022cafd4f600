//! The certificates of a PEM text, each described or with the reason why it cannot be read. Nothing
//! is verified. Uses `certificate`, `x509`, `errors`, `memory`, `error`.

use memchr::memmem;

use super::certificate::{Certificate, ROOM};
use super::errors::{clear_errors, is_memory, reasons};
use super::x509;
use crate::error::{Error, Result};
use crate::memory::check;

/// What begins an entry (RFC 7468, section 2).
const BEGIN: &[u8] = b"-----BEGIN ";
/// What stands before the last word of a certificate's label. The last one is OpenSSL's own: its
/// settings of trust follow the certificate.
const KINDS: [&[u8]; 3] = [b"", b"X509 ", b"TRUSTED "];

/// A certificate, or in words why it cannot be read.
pub type Entry = std::result::Result<Box<Certificate>, String>;

/// Returns the entries of a text in order. Each ends where the next one begins: a broken one does
/// not take another with it.
pub fn entries(text: &[u8]) -> impl Iterator<Item = Result<Entry>> {
    let is_certificate = move |at: &usize| {
        let label = &text[at + BEGIN.len()..];
        let words = |kind: &&[u8]| label.strip_prefix(*kind).unwrap_or_default();
        KINDS.iter().any(|kind| words(kind).starts_with(b"CERTIFICATE-----"))
    };
    let mut begins = memmem::find_iter(text, BEGIN).filter(is_certificate).peekable();
    std::iter::from_fn(move || {
        let from = begins.next()?;
        let to = begins.peek().copied().unwrap_or(text.len());
        Some(entry(&text[from..to]))
    })
}

fn entry(text: &[u8]) -> Result<Entry> {
    clear_errors();
    check(ROOM)?;
    Ok(match x509::decode_entry(text) {
        Ok(Some(certificate)) => Ok(Box::new(Certificate::of(&certificate)?)),
        Ok(None) => Err("it has a header, as an encrypted entry has".to_owned()),
        Err(stack) if is_memory(&stack) => return Err(Error::out_of_memory()),
        Err(stack) => Err(reasons(&stack)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcomes(text: &str) -> Vec<String> {
        let outcome = |entry: Result<Entry>| match entry.expect("memory") {
            Ok(_) => "good".to_owned(),
            Err(why) => why,
        };
        entries(text.as_bytes()).map(outcome).collect()
    }

    #[test]
    fn each_entry_is_told_also_one_without_an_end() {
        for text in ["", "-----BEGIN ", "-----BEGIN PRIVATE KEY-----\nAA==\n", "CERTIFICATE-----"] {
            assert!(outcomes(text).is_empty(), "{text}");
        }
        let cut = "-----BEGIN CERTIFICATE-----\nAAAA\n";
        let whole = "-----BEGIN X509 CERTIFICATE-----\nAAAA\n-----END X509 CERTIFICATE-----\n";
        assert_eq!(outcomes(&[cut, whole, whole, cut].concat()).len(), 4);
        for why in outcomes(&[cut, whole].concat()) {
            assert!(why != "good" && !why.is_empty());
        }
    }

    #[test]
    fn an_encrypted_entry_asks_nobody() {
        let text = "-----BEGIN CERTIFICATE-----\nProc-Type: 4,ENCRYPTED\n\
                    DEK-Info: AES-256-CBC,00112233445566778899AABBCCDDEEFF\n\nAAAA\n\
                    -----END CERTIFICATE-----\n";
        assert_eq!(outcomes(text), ["it has a header, as an encrypted entry has"]);
    }
}
