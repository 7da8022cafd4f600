//! Stores of trusted certificates. All contexts with the same trust share one, since reading the
//! certificates of the system costs more than a handshake. Uses `ca_store`, `decode`, `stamp`,
//! `profile`, `error`.
#![allow(unsafe_code)]

use std::env;
use std::ffi::{CString, OsString, c_char, c_int};
use std::fs;
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::{Mutex, PoisonError};

use foreign_types::{ForeignType, ForeignTypeRef};
use openssl::error::ErrorStack;
use openssl::x509::store::{X509Store, X509StoreBuilder, X509StoreRef};
use openssl_sys::X509_STORE;

use super::ca_store;
use super::decode::certificates;
use super::errors::{clear_errors, openssl_error};
use super::pem::Pem;
use super::profile::Trust;
use super::stamp::{self, Stamp};
use crate::error::{Code, Error, Result};
use crate::text::system_text;

/// The most stores in the cache.
const KEPT: usize = 4;

// SAFETY: as OpenSSL's headers declare them, from 1.1.0 on.
unsafe extern "C" {
    fn X509_STORE_up_ref(store: *mut X509_STORE) -> c_int;
    fn X509_STORE_load_locations(
        store: *mut X509_STORE,
        file: *const c_char,
        dir: *const c_char,
    ) -> c_int;
}

/// The state of all files and folders that a store is read from.
#[derive(Clone, PartialEq)]
pub struct Stamps {
    files: Vec<Option<Stamp>>,
    folders: Vec<Option<u64>>,
    environment: [Option<OsString>; 2],
}

impl Stamps {
    pub fn of(trust: &Trust) -> Self {
        let store = trust.is_system().then(ca_store::places).flatten();
        let (file, dirs) = store.map_or((None, Vec::new()), |(file, dirs)| (Some(file), dirs));
        let files = trust.certificates.iter().filter_map(Pem::path).chain(file.as_deref());
        let folders = trust.dir.iter().chain(&dirs);
        Self {
            files: files.map(stamp::file).collect(),
            folders: folders.map(|dir: &PathBuf| stamp::folder(dir)).collect(),
            environment: ["SSL_CERT_FILE", "SSL_CERT_DIR"].map(env::var_os),
        }
    }
}

/// What a store was read from, and the store.
type Kept = (Trust, Stamps, X509Store);

static STORES: Mutex<Vec<Kept>> = Mutex::new(Vec::new());

/// Returns the store of this trust, whose files are read, and whether it is whole: a trusted file
/// or folder that could not be read may be there the next time. `unread` and `stamps` are those
/// from before its files were read.
pub fn shared(trust: &Trust, unread: &Trust, stamps: &Stamps) -> Result<(X509Store, bool)> {
    let lock = || STORES.lock().unwrap_or_else(PoisonError::into_inner);
    let mut stores = lock();
    if let Some(at) = stores.iter().position(|(of, at, _)| of == unread && at == stamps) {
        stores[at..].rotate_left(1);
        return Ok((stores.last().map(|(.., store)| another(store)).expect("found above"), true));
    }
    drop(stores);
    let is_whole = !trust.is_system() || ca_store::is_readable()?;
    let store = build(trust)?;
    if is_whole && !has_pipes(trust) {
        let mut stores = lock();
        // A store from before a change is of no use any more.
        stores.retain(|(of, ..)| of != unread);
        if stores.len() == KEPT {
            stores.remove(0);
        }
        stores.push((unread.clone(), stamps.clone(), another(&store)));
    }
    Ok((store, is_whole))
}

/// Whether a file is a pipe: what it has said once, it does not say again.
fn has_pipes(trust: &Trust) -> bool {
    let mut files = trust.certificates.iter().chain(&trust.pipe).filter_map(Pem::path);
    files.any(|file| !file.is_file())
}

/// Another reference to the same store.
fn another(store: &X509StoreRef) -> X509Store {
    // SAFETY: the store is alive, and the reference that is taken is that of the value returned.
    unsafe {
        X509_STORE_up_ref(store.as_ptr());
        X509Store::from_ptr(store.as_ptr())
    }
}

/// Makes a store. OpenSSL looks into folders during the handshake, and only then.
pub fn build(trust: &Trust) -> Result<X509Store> {
    clear_errors();
    if let Some(path) = &trust.dir {
        fs::read_dir(path).map_err(|error| unreadable(path, &system_text(&error)))?;
        if !ca_store::is_hashed(path) {
            let path = path.display();
            let detail = format!(
                "no certificate in ca_dir '{path}' is named by its hash, openssl rehash does it"
            );
            return Err(Error::new(Code::Tls, detail));
        }
    }
    let system = if trust.is_system() { ca_store::places() } else { None };
    let (file, folders) = system.map_or_else(
        || (None, trust.dir.iter().cloned().collect()),
        |(file, dirs)| (Some(file), dirs),
    );
    for folder in &folders {
        // OpenSSL would block on the FIFO in the middle of a handshake.
        if let Some(name) = ca_store::pipe_in(folder) {
            return Err(unreadable(folder, &format!("{} is a pipe", name.display())));
        }
    }
    let mut store = X509StoreBuilder::new().map_err(openssl_error)?;
    // An OpenSSL that was built with the module has other paths than the system's.
    if trust.is_system() && trust.pipe.is_none() && !cfg!(feature = "vendored") {
        store.set_default_paths().map_err(openssl_error)?;
        return Ok(store.build());
    }
    for pem in trust.certificates.iter().chain(&trust.pipe) {
        for certificate in certificates(pem, "ca")? {
            store.add_cert(certificate).map_err(openssl_error)?;
        }
    }
    let store = store.build();
    if let Some(file) = file.filter(|file| trust.pipe.is_none() && file.is_file()) {
        // One that cannot be read is passed over, as OpenSSL does with its own.
        let _ = add(&store, &file, true);
    }
    folders.iter().try_for_each(|folder| add(&store, folder, false).map_err(openssl_error))?;
    Ok(store)
}

fn add(store: &X509StoreRef, path: &Path, is_file: bool) -> std::result::Result<(), ErrorStack> {
    // No path of the system's has a zero byte.
    let Ok(path) = CString::new(path.as_os_str().as_encoded_bytes()) else { return Ok(()) };
    let (file, folder) =
        if is_file { (path.as_ptr(), ptr::null()) } else { (ptr::null(), path.as_ptr()) };
    // SAFETY: the store and the path are alive; OpenSSL copies the path.
    match unsafe { X509_STORE_load_locations(store.as_ptr(), file, folder) } {
        1 => Ok(()),
        _ => Err(ErrorStack::get()),
    }
}

#[cold]
fn unreadable(folder: &Path, why: &str) -> Error {
    Error::new(Code::Io, format!("cannot read ca_dir '{}': {why}", folder.display()))
}
