//! Turns errors of OpenSSL into those of this crate. Uses `alert`, `error`.

use std::borrow::Cow;

use openssl::error::{self, ErrorStack};
use openssl::ssl::{self, ErrorCode};

use crate::alert::Alert;
use crate::error::{Code, Error};

/// The number of OpenSSL's SSL library (ERR_LIB_SSL). Other libraries give the same numbers to
/// other reasons.
pub const SSL_LIBRARY: i32 = 20;

// Reason codes of the SSL library, in sslerr.h.
pub const CERTIFICATE_VERIFY_FAILED: i32 = 134;
pub const HTTP_REQUEST: i32 = 156;
pub const PACKET_LENGTH_TOO_LONG: i32 = 198;
pub const UNEXPECTED_EOF_WHILE_READING: i32 = 294;
pub const WRONG_VERSION_NUMBER: i32 = 267;

/// OpenSSL's reason code for a fatal alert of the peer is this plus the alert's number.
pub const ALERT: i32 = 1000;

/// Empties OpenSSL's error queue. It belongs to the thread, and SSL_get_error would take an old
/// entry for the result of the next operation.
pub fn clear_errors() {
    drop(ErrorStack::get());
}

/// Acts on another connection while OpenSSL is at work for one. The error queue of that one stays.
pub fn keeping_errors<T>(act: impl FnOnce() -> T) -> T {
    let before = ErrorStack::get();
    let value = act();
    before.put();
    value
}

/// Whether the stream ended without close_notify.
pub fn is_end(error: &ssl::Error) -> bool {
    match error.code() {
        ErrorCode::SYSCALL => error.io_error().is_none() && error.ssl_error().is_none(),
        ErrorCode::SSL => reason_codes(error).any(|reason| reason == UNEXPECTED_EOF_WHILE_READING),
        _ => false,
    }
}

/// Returns the reason codes of the SSL library. Entries of other libraries may precede them in the
/// queue.
pub fn reason_codes(error: &ssl::Error) -> impl Iterator<Item = i32> {
    let entries = error.ssl_error().map_or(&[][..], ErrorStack::errors).iter();
    entries.filter(|entry| entry.library_code() == SSL_LIBRARY).map(|entry| entry.reason_code())
}

/// Returns the peer's fatal alert, if that is the failure.
pub fn peers_alert(error: &ssl::Error) -> Option<Alert> {
    reason_codes(error).find_map(alert_of)
}

fn alert_of(reason: i32) -> Option<Alert> {
    let number = u8::try_from(reason.checked_sub(ALERT)?).ok()?;
    Some(Alert { number, is_peers: true })
}

/// Returns the error of a read or write: of TLS, or of what carries it, which is `broken` then.
#[cold]
pub fn record_error(error: ssl::Error, broken: Option<Error>) -> Error {
    if is_end(&error) {
        return Error::closed("end of stream without TLS close_notify");
    }
    if error.code() == ErrorCode::ZERO_RETURN {
        return Error::closed("the peer has closed the connection");
    }
    if let Some(broken) = broken.filter(|_| error.code() == ErrorCode::SYSCALL) {
        return broken;
    }
    match error.into_io_error() {
        Ok(error) => error.into(),
        Err(error) => {
            Error::new(Code::Tls, error.ssl_error().map_or_else(|| error.to_string(), reasons))
        }
    }
}

/// Returns OpenSSL's reason texts for a failure, all of them. Each level of ASN.1 adds the same.
pub fn reasons(stack: &ErrorStack) -> String {
    let mut words: Vec<_> = stack.errors().iter().filter_map(reason).collect();
    words.dedup();
    if words.is_empty() { "OpenSSL gives no reason".to_owned() } else { words.join(", ") }
}

/// OpenSSL has no words for the rarer alerts, nor for those that are none.
fn reason(error: &error::Error) -> Option<Cow<'_, str>> {
    if let Some(words) = error.reason() {
        return Some(words.into());
    }
    let code = (error.library_code() == SSL_LIBRARY).then(|| error.reason_code())?;
    let alert = alert_of(code)?;
    Some(format!("alert number {} ({})", alert.number, alert.name()).into())
}

/// Returns the error of a failed setup, before there is a peer.
#[cold]
pub fn openssl_error(stack: ErrorStack) -> Error {
    match is_memory(&stack) {
        true => Error::out_of_memory(),
        false => Error::new(Code::Tls, reasons(&stack)),
    }
}

/// Whether OpenSSL had no memory.
pub fn is_memory(stack: &ErrorStack) -> bool {
    // The reason code for it differs between versions of OpenSSL.
    stack.errors().iter().any(|error| error.reason() == Some("malloc failure"))
}
