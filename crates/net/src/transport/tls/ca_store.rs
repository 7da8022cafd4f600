//! Where OpenSSL looks for trusted certificates, and whether there are any: in the system's store,
//! asked when an issuer is not known (where there is no store, none is), and in a folder of the
//! script's.

use std::env;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::error::{Error, Result};

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

/// Whether what there is of the store can be read. OpenSSL goes on without what it cannot read, and
/// says nothing.
pub fn is_readable() -> Result<bool> {
    let Some((file, dirs)) = places() else { return Ok(true) };
    // To open a pipe would take from it.
    let file = file.is_file().then(|| File::open(&file).map(drop));
    let dirs = dirs.iter().map(|dir| fs::read_dir(dir).map(drop));
    let mut is_readable = true;
    for error in file.into_iter().chain(dirs).filter_map(io::Result::err) {
        if is_shortage(&error) {
            return Err(error.into());
        }
        is_readable &= error.kind() == io::ErrorKind::NotFound;
    }
    Ok(is_readable)
}

/// Why no file could be read at this moment, if that is so.
pub fn shortage() -> Option<Error> {
    File::open("/").err().filter(is_shortage).map(Error::from)
}

fn is_shortage(error: &io::Error) -> bool {
    let shortages = [Errno::MFILE, Errno::NFILE, Errno::NOMEM];
    shortages.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
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
