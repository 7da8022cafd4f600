//! The places where OpenSSL looks for trusted certificates: the system's store and a folder that
//! the script names. OpenSSL searches them during verification, and reports a missing store only as
//! an unknown issuer.

use std::env;
use std::fs::{self, DirEntry, File};
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::ffi;
use crate::error::{Error, Result};

/// Returns the file and the folders of the system's store; none if OpenSSL does not tell them.
pub fn places() -> Option<(PathBuf, Vec<PathBuf>)> {
    let named = |name| env::var_os(name).filter(|_| !ffi::is_privileged());
    let file = named("SSL_CERT_FILE").map(PathBuf::from);
    let dirs: Option<Vec<_>> = named("SSL_CERT_DIR")
        .map(|dirs| env::split_paths(&dirs).filter(|dir| !dir.as_os_str().is_empty()).collect());
    if let (Some(file), Some(dirs)) = (&file, &dirs) {
        return Some((file.clone(), dirs.clone()));
    }
    let (usual_file, usual_dirs) = probed().or_else(built)?;
    Some((file.unwrap_or(usual_file), dirs.unwrap_or(usual_dirs)))
}

/// Returns the file and the folder that OpenSSL was built with.
fn built() -> Option<(PathBuf, Vec<PathBuf>)> {
    let built = openssl::version::dir().split('"').nth(1).map(Path::new)?;
    Some((built.join("cert.pem"), vec![built.join("certs")]))
}

/// Returns the places that are usual on this system, where OpenSSL was built with the module: that
/// has the paths of its own build. The crate reads the environment, which nobody with privileges
/// may.
#[cfg(feature = "vendored")]
fn probed() -> Option<(PathBuf, Vec<PathBuf>)> {
    let found = (!ffi::is_privileged()).then(openssl_probe::probe)?;
    let is_found = found.cert_file.is_some() || !found.cert_dir.is_empty();
    is_found.then(|| (found.cert_file.unwrap_or_default(), found.cert_dir))
}

#[cfg(not(feature = "vendored"))]
fn probed() -> Option<(PathBuf, Vec<PathBuf>)> {
    None
}

/// Whether the file and the folders of the store can be read, as far as they exist. OpenSSL ignores
/// those that it cannot read.
pub fn is_readable() -> Result<bool> {
    let Some((file, dirs)) = places() else { return Ok(true) };
    // Opening a FIFO could take bytes from it.
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

/// Returns an error if no file can be opened at present, for want of descriptors or memory.
pub fn shortage() -> Option<Error> {
    File::open("/").err().filter(is_shortage).map(Error::from)
}

fn is_shortage(error: &io::Error) -> bool {
    let shortages = [Errno::MFILE, Errno::NFILE, Errno::NOMEM];
    shortages.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// Whether neither the file nor the folders hold a certificate.
pub fn is_empty(file: &Path, dirs: &[PathBuf]) -> bool {
    !dirs.iter().any(|dir| is_hashed(dir)) && !has_certificates(file)
}

fn has_certificates(file: &Path) -> bool {
    // A FIFO or a device may have no end.
    let text = file.is_file().then(|| fs::read(file).ok()).flatten().unwrap_or_default();
    memchr::memmem::find(&text, b"CERTIFICATE-----").is_some()
}

/// Whether a folder has a file that OpenSSL would find by its hash.
pub fn is_hashed(dir: &Path) -> bool {
    hashed(dir).next().is_some()
}

/// Returns the store's file if it is a FIFO. OpenSSL would block until a writer has opened it.
pub fn pipe() -> Option<PathBuf> {
    places().map(|(file, _)| file).filter(|file| is_pipe(file))
}

/// Returns the name of a FIFO among the files that OpenSSL would find in a folder.
pub fn pipe_in(dir: &Path) -> Option<PathBuf> {
    hashed(dir).find(|entry| is_pipe(&entry.path())).map(|entry| entry.file_name().into())
}

/// Returns the entries that are named as OpenSSL expects: eight digits of a hash, a dot, a number.
fn hashed(dir: &Path) -> impl Iterator<Item = DirEntry> {
    fs::read_dir(dir).into_iter().flatten().flatten().filter(|entry| {
        let name = entry.file_name();
        let name = name.as_encoded_bytes();
        name.get(8) == Some(&b'.') && name[..8].iter().all(u8::is_ascii_hexdigit)
    })
}

fn is_pipe(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_fifo())
}
