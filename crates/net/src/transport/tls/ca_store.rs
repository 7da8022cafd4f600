//! Where OpenSSL looks for trusted certificates, and whether there are any: in the system's store,
//! asked when an issuer is not known (where there is no store, none is), and in a folder of the
//! script's.

use std::env;
use std::fs::{self, DirEntry, File};
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::ffi;
use crate::error::{Error, Result};

/// The file and the folders of the store, if OpenSSL tells where it looks.
pub fn places() -> Option<(PathBuf, Vec<PathBuf>)> {
    let built = openssl::version::dir().split('"').nth(1).map(Path::new);
    let named = |name| env::var_os(name).filter(|_| !ffi::is_privileged());
    let file = named("SSL_CERT_FILE").map(PathBuf::from);
    let dirs = named("SSL_CERT_DIR")
        .map(|dirs| env::split_paths(&dirs).filter(|dir| !dir.as_os_str().is_empty()).collect());
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
    // A pipe or a device may have no end.
    let text = file.is_file().then(|| fs::read(file).ok()).flatten().unwrap_or_default();
    memchr::memmem::find(&text, b"CERTIFICATE-----").is_some()
}

/// Whether a folder has a file that OpenSSL would find.
pub fn is_hashed(dir: &Path) -> bool {
    hashed(dir).next().is_some()
}

/// The store's file, where it is a pipe: OpenSSL would wait for its writer, however long.
pub fn pipe() -> Option<PathBuf> {
    places().map(|(file, _)| file).filter(|file| is_pipe(file))
}

/// The name of a pipe among the files that OpenSSL would find in a folder.
pub fn pipe_in(dir: &Path) -> Option<PathBuf> {
    hashed(dir).find(|entry| is_pipe(&entry.path())).map(|entry| entry.file_name().into())
}

/// What is named by eight digits of a hash, a dot and a number.
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
