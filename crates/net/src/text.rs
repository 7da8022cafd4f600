//! Text for people, of what the system, a script or a peer has given. Uses no other module.

use std::io;
use std::net::SocketAddr;

use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

/// The system's words for a failed call, as they read in the middle of a sentence.
pub fn system_text(error: &io::Error) -> String {
    let full = error.to_string();
    let text = full.split(" (os error ").next().unwrap_or(&full);
    if Errno::from_io_error(error) == Some(Errno::MFILE) {
        let limit = getrlimit(Resource::Nofile).current;
        let limit = limit.map_or_else(|| "none".to_owned(), |limit| limit.to_string());
        return format!("too many open files (the limit is {limit}, see ulimit -n)");
    }
    let mut letters = text.chars();
    match (letters.next(), letters.as_str()) {
        (Some(first), rest) if rest.starts_with(char::is_lowercase) => {
            first.to_lowercase().chain(rest.chars()).collect()
        }
        _ => text.to_owned(),
    }
}

/// A number of a script, without hundreds of digits.
pub fn number_text(number: f64) -> String {
    let size = number.abs();
    let is_long = size >= 1e15 || size > 0.0 && size < 1e-5;
    if is_long { format!("{number:e}") } else { number.to_string() }
}

/// An address without its port, with its zone: one of a link alone is not reached without it.
pub fn address_text(address: &SocketAddr) -> String {
    match address {
        SocketAddr::V6(v6) if v6.scope_id() != 0 => format!("{}%{}", v6.ip(), v6.scope_id()),
        _ => address.ip().to_string(),
    }
}

/// Text that a script or a peer gave, without what would disturb a terminal or a log, and no longer
/// than a host name can be (RFC 1035, section 2.3.4).
pub fn printable(text: &str) -> String {
    let mut printable = String::with_capacity(text.len().min(255));
    for letter in text.chars().take(255) {
        match letter.is_control() {
            true => printable.extend(letter.escape_default()),
            false => printable.push(letter),
        }
    }
    printable
}

/// The same of bytes, however many there are.
pub fn excerpt(bytes: &[u8]) -> String {
    let bytes = &bytes[..bytes.len().min(255)];
    match str::from_utf8(bytes) {
        // Most are short and plain, such as the name of an option.
        Ok(text) if bytes.iter().all(|byte| matches!(byte, b' '..=b'~')) => text.to_owned(),
        _ => printable(&String::from_utf8_lossy(bytes)),
    }
}
