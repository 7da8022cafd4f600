//! Digests of bytes, such as a certificate's, by the names that OpenSSL gives them. Uses `errors`,
//! `error`.

use openssl::hash::{MessageDigest, hash};

use super::errors::openssl_error;
use crate::error::Result;

/// The digest of `bytes`; none where there is no such algorithm.
pub fn digest(algorithm: &str, bytes: &[u8]) -> Result<Option<Vec<u8>>> {
    let algorithm = match algorithm {
        "sha1" => MessageDigest::sha1(),
        "sha256" => MessageDigest::sha256(),
        "sha512" => MessageDigest::sha512(),
        _ => return Ok(None),
    };
    let digest = hash(algorithm, bytes).map_err(openssl_error)?;
    Ok(Some(digest.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_algorithms_are_known() {
        for (name, size) in [("sha1", 20), ("sha256", 32), ("sha512", 64)] {
            let digest = digest(name, b"bytes").expect("a digest");
            assert_eq!(digest.map(|digest| digest.len()), Some(size), "{name}");
        }
        assert_eq!(digest("md2", b"bytes").expect("no failure"), None);
    }
}
