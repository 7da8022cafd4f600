//! A certificate with its chain and its key, as one end shows them: read from PEM, and given to a
//! context or to one connection. Uses `decode`, `profile`, `pem`, `errors`,
//! `ffi`, `error`.

use std::sync::Arc;

use openssl::error::ErrorStack;
use openssl::pkey::{PKey, Private};
use openssl::ssl::{SslContextBuilder, SslRef};
use openssl::x509::X509;

use super::algorithms::refused;
use super::decode::{certificates, private_key};
use super::errors::openssl_error;
use super::pem::Pem;
use super::profile::Profile;
use super::{ffi, hints};
use crate::error::{Code, Error, Result};

pub struct Identity {
    leaf: X509,
    chain: Vec<X509>,
    key: PKey<Private>,
}

impl Identity {
    /// Reads that of a profile, if it has one.
    pub fn of_profile(profile: &Profile) -> Result<Option<Self>> {
        let Profile { certificate, key, key_password, .. } = profile;
        Self::of(certificate.as_ref(), key.as_ref(), key_password.as_ref())
    }

    /// Reads it, if there is one.
    pub fn of(
        certificate: Option<&Pem>,
        key: Option<&Pem>,
        password: Option<&Arc<Vec<u8>>>,
    ) -> Result<Option<Self>> {
        match certificate {
            Some(pem) => Self::read(pem, key, password.map(|password| &***password)).map(Some),
            None if key.is_some() => {
                Err(Error::new(Code::Tls, "a key without a certificate, give cert_file or cert"))
            }
            None => Ok(None),
        }
    }

    /// The failure of a server that has none.
    #[cold]
    pub fn missing() -> Error {
        Error::new(
            Code::Tls,
            "a server needs a certificate (cert_file, cert, or one in names), or psk",
        )
    }

    /// Without a PEM of its own, the key is in that of the certificate.
    fn read(certificate: &Pem, key: Option<&Pem>, password: Option<&[u8]>) -> Result<Self> {
        let mut chain = certificates(certificate, "cert")?.into_iter();
        let leaf = chain.next().expect("one at least");
        let (pem, option) = key.map_or((certificate, "cert"), |key| (key, "key"));
        let key = private_key(pem, option, password)?;
        Ok(Self { leaf, chain: chain.collect(), key })
    }

    /// Whether the key is that of the certificate.
    pub fn is_pair(&self) -> bool {
        self.leaf.public_key().is_ok_and(|public| public.public_eq(&self.key))
    }

    /// Gives it to all connections of a context.
    pub fn give_to_context(self, builder: &mut SslContextBuilder) -> Result<()> {
        builder.set_certificate(&self.leaf).map_err(|stack| unfit(&stack))?;
        for certificate in self.chain {
            builder.add_extra_chain_cert(certificate).map_err(openssl_error)?;
        }
        builder.set_private_key(&self.key).map_err(|_| mismatch())?;
        builder.check_private_key().map_err(|_| mismatch())
    }

    /// Gives it to one connection, in place of what that has.
    pub fn give_to_connection(&self, ssl: &mut SslRef) -> Result<()> {
        ffi::clear_certificates(ssl);
        ssl.set_certificate(&self.leaf).map_err(|stack| unfit(&stack))?;
        for certificate in &self.chain {
            ssl.add_chain_cert(certificate.clone()).map_err(|stack| unfit(&stack))?;
        }
        ssl.set_private_key(&self.key).map_err(|_| mismatch())
    }
}

#[cold]
pub fn mismatch() -> Error {
    Error::new(Code::Tls, "the key does not match the certificate")
}

/// The failure of a certificate that OpenSSL does not take for one of this end's.
fn unfit(stack: &ErrorStack) -> Error {
    let error = refused("cert", stack);
    match stack.errors().iter().any(|error| hints::is_weak(error.reason_code())) {
        true => Error::new(Code::Tls, format!("{} ({})", error.detail(), hints::WEAK)),
        false => error,
    }
}
