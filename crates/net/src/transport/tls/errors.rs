//! What OpenSSL says of a failure, as ours. Uses `error`.

use openssl::error::ErrorStack;
use openssl::ssl::{self, ErrorCode};

use crate::error::{Code, Error};

/// OpenSSL's number for its SSL library: other libraries have other reasons under the same numbers.
pub const SSL_LIBRARY: i32 = 20;

// Reasons of that library, in sslerr.h.
pub const CERTIFICATE_VERIFY_FAILED: i32 = 134;
pub const HTTP_REQUEST: i32 = 156;
pub const UNEXPECTED_EOF_WHILE_READING: i32 = 294;
pub const WRONG_VERSION_NUMBER: i32 = 267;

/// OpenSSL's queue of errors belongs to the thread: an entry that another library left there would
/// be taken for the outcome of the next operation.
pub fn clear_errors() {
    drop(ErrorStack::get());
}

/// Whether the stream ended where TLS does not end it.
pub fn is_end(error: &ssl::Error) -> bool {
    match error.code() {
        ErrorCode::SYSCALL => error.io_error().is_none(),
        ErrorCode::SSL => reason_codes(error).any(|reason| reason == UNEXPECTED_EOF_WHILE_READING),
        _ => false,
    }
}

/// The reasons of OpenSSL's SSL library for a failure; those of other libraries may stand before
/// them.
pub fn reason_codes(error: &ssl::Error) -> impl Iterator<Item = i32> {
    let entries = error.ssl_error().map_or(&[][..], ErrorStack::errors).iter();
    entries.filter(|entry| entry.library_code() == SSL_LIBRARY).map(|entry| entry.reason_code())
}

/// A failure of what is carried, or of the carrier.
#[cold]
pub fn record_error(error: ssl::Error) -> Error {
    if is_end(&error) {
        return Error::closed("end of stream without TLS close_notify");
    }
    if error.code() == ErrorCode::ZERO_RETURN {
        return Error::closed("the peer has closed the connection");
    }
    match error.into_io_error() {
        Ok(error) => error.into(),
        Err(error) => {
            Error::new(Code::Tls, error.ssl_error().map_or_else(|| error.to_string(), reasons))
        }
    }
}

/// OpenSSL's own words for a failure, all of them.
pub fn reasons(stack: &ErrorStack) -> String {
    let words: Vec<_> = stack.errors().iter().filter_map(|error| error.reason()).collect();
    if words.is_empty() { stack.to_string() } else { words.join(", ") }
}

/// A failure to set something up, before there is a peer.
#[cold]
pub fn openssl_error(stack: ErrorStack) -> Error {
    // OpenSSL's number for it changes with its versions.
    let is_memory = |error: &openssl::error::Error| error.reason() == Some("malloc failure");
    match stack.errors().iter().any(is_memory) {
        true => Error::out_of_memory(),
        false => Error::new(Code::Tls, reasons(&stack)),
    }
}
