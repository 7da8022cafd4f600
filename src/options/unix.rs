//! Which options a Unix socket has, and one that somebody else has opened; and those of a Unix
//! socket's file. Uses `ffi`.

use net::endpoint::Name;
use net::unix::socket_file::FileOptions;

use crate::ffi::argument::{Argument, Type};
use crate::ffi::call::Result;

/// Options of TCP sockets alone.
const TCP_ONLY: [&str; 10] = [
    "bind",
    "device",
    "family",
    "keepalive",
    "nodelay",
    "proxy",
    "reset_on_close",
    "tos",
    "ttl",
    "user_timeout",
];
/// Options of sockets that are yet to be bound or connected.
const NEW_ONLY: [&str; 6] =
    ["bind", "connect_timeout", "device", "family", "proxy", "proxy_protocol"];

/// Why such a socket has no option of this name, if it has none.
pub fn why_none(name: &str, is_unix: bool, is_given: bool) -> Option<&'static str> {
    if is_unix && TCP_ONLY.contains(&name) {
        Some("a Unix socket has none")
    } else if is_given && NEW_ONLY.contains(&name) {
        Some("this socket is open already")
    } else {
        None
    }
}

/// Sets `mode` or `unlink`.
pub fn set_file(file: &mut FileOptions, name: &Name, option: Argument<'_>) -> Result<()> {
    if let Name::Unix(address) = name
        && address.path().is_none()
    {
        return Err(option.wrong("an abstract name has no file"));
    }
    match option.name() {
        "mode" => file.mode = Some(mode(option)?),
        "unlink" => file.unlink = option.boolean()?,
        _ => unreachable!("the two options of a file"),
    }
    Ok(())
}

/// Permission bits as chmod(1) takes them. A number would be taken for decimal by some readers.
fn mode(option: Argument<'_>) -> Result<u32> {
    let wrong = || option.wrong("octal digits in a string, such as \"0600\", expected");
    if option.value_type() != Type::String {
        return Err(wrong());
    }
    let digits = option.bytes()?;
    let is_octal = digits.iter().all(|digit| matches!(digit, b'0'..=b'7'));
    if !is_octal || !(3..=4).contains(&digits.len()) {
        return Err(wrong());
    }
    let mode = digits.iter().fold(0, |mode, digit| 8 * mode + u32::from(digit - b'0'));
    if mode > 0o777 { Err(wrong()) } else { Ok(mode) }
}
