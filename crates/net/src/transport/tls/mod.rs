//! TLS over a TCP transport. The handshake and the records are steps, and one place maps all
//! results of OpenSSL. Only this folder calls OpenSSL.

mod ca_store;
mod certificate;
mod context;
mod decode;
mod errors;
mod failure;
mod ffi;
mod hints;
mod key_log;
mod loader;
mod outcome;
mod pem;
mod profile;
mod report;
mod session;
mod setup;
mod stamp;
mod store;
mod stream;

pub use certificate::{Certificate, parse_pin};
pub use errors::keeping_errors;
pub use openssl::base64::encode_block as base64;
pub use pem::Pem;
pub use profile::{Pin, Profile, Settings, Trust, Version, server_name};
pub use report::{Chain, Report};
pub use setup::{Config, Handshake, Setup, Side};
pub use stream::Tls;
