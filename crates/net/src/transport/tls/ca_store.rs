//! Where OpenSSL looks for trusted certificates, and whether there are any: in the system's store,
//! asked when an issuer is not known (where there is no store, none is), and in a folder of the
//! script's.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// The file and the folders of the store, if OpenSSL tells where it looks.
pub fn places() -> Option<(PathBuf, Vec<PathBuf>)> {
    let built = openssl::version::dir().split('"').nth(1).map(Path::new);
    let file = env::var_os("SSL_CERT_FILE").map(PathBuf::from);
    let dirs = env::var_os("SSL_CERT_DIR").map(|dirs| env::split_paths(&dirs).collect());
    Some((
        file.or_else(|| Some(built?.join("cert.pem")))?,
        dirs.or_else(|| Some(vec![built?.join("certs")]))?,
    ))
}

/// Whether no certificate is in any of them.
pub fn is_empty(file: &Path, dirs: &[PathBuf]) -> bool {
    !dirs.iter().any(|dir| is_hashed(dir)) && !has_certificates(file)
}

fn has_certificates(file: &Path) -> bool {
    let text = fs::read(file).unwrap_or_default();
    memchr::memmem::find(&text, b"CERTIFICATE-----").is_some()
}

/// Whether a folder has a file that OpenSSL would find: eight digits of a hash, a dot, a number.
pub fn is_hashed(dir: &Path) -> bool {
    let Ok(entries) = fs::read_dir(dir) else { return false };
    entries.flatten().any(|entry| {
        let name = entry.file_name();
        let name = name.as_encoded_bytes();
        name.get(8) == Some(&b'.') && name[..8].iter().all(u8::is_ascii_hexdigit)
    })
}
