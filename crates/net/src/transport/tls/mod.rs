//! TLS over a TCP transport. The handshake and the records are steps, and one place maps all
//! results of OpenSSL. Only this folder calls OpenSSL.

mod agreed;
mod algorithms;
mod ca_store;
mod certificate;
mod checks;
mod context;
mod crl;
mod decode;
mod entries;
mod errors;
mod extensions;
mod failure;
mod ffi;
mod hints;
mod inspect;
mod key_log;
mod loader;
mod ocsp;
mod outcome;
mod pem;
mod profile;
mod psk;
mod report;
mod session;
mod setup;
mod stamp;
mod store;
mod stream;
mod verify;
mod x509;

pub use certificate::{Attributes, Certificate, parse_pin};
pub use entries::{Entry, entries};
pub use errors::keeping_errors;
pub use ocsp::Ocsp;
pub use openssl::base64::encode_block as base64;
pub use pem::{Pem, Reader};
pub use profile::{Pin, Profile, Settings, Trust, Version, server_name};
pub use psk::Psk;
pub use report::{Chain, Report};
pub use setup::{Config, Handshake, Setup, Side};
pub use stream::Tls;
