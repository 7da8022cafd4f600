//! Reads the files of a profile, one after the other. Uses `pem`, `profile`, `ca_store`,
//! `io::step`.

use std::mem;

use super::ca_store;
use super::pem::{Pem, Reader};
use super::profile::Profile;
use crate::error::Result;
use crate::io::step::{Step, ready};

/// A profile whose files are being read.
pub struct Loader {
    profile: Profile,
    reader: Option<Reader>,
}

impl Loader {
    pub fn new(mut profile: Profile) -> Self {
        if profile.trust.is_system() {
            profile.trust.pipe = ca_store::pipe().map(Pem::File);
        }
        Self { profile, reader: None }
    }

    /// Returns the profile once all of its files are read.
    pub fn step(&mut self) -> Result<Step<&Profile>> {
        let Profile { trust, certificate, key, lists, names, .. } = &mut self.profile;
        let trusted = trust.certificates.iter_mut().chain(&mut trust.pipe).map(|pem| (pem, "ca"));
        let own = certificate.iter_mut().map(|pem| (pem, "cert"));
        let keys = key.iter_mut().map(|pem| (pem, "key"));
        let lists = lists.iter_mut().map(|pem| (pem, "crl"));
        let named = names.iter_mut().flat_map(|named| {
            let own = named.certificate.iter_mut().map(|pem| (pem, "cert"));
            own.chain(named.key.iter_mut().map(|pem| (pem, "key")))
        });
        for (pem, option) in trusted.chain(own).chain(keys).chain(lists).chain(named) {
            let Pem::File(path) = pem else { continue };
            let reader = match &mut self.reader {
                Some(reader) => reader,
                empty => empty.insert(Reader::open(path, option)?),
            };
            let text = ready!(reader.step(path)?);
            *pem = Pem::Read(mem::take(path), text);
            self.reader = None;
        }
        Ok(Step::Done(&self.profile))
    }
}
