//! Hosts as scripts give them: an address, or a name for DNS. Uses `error`.

use std::net::{IpAddr, SocketAddr};

use crate::error::{Code, Error, Result};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    Inet,
    Inet6,
}

impl Family {
    pub fn of(ip: IpAddr) -> Self {
        if ip.is_ipv4() { Self::Inet } else { Self::Inet6 }
    }
}

pub fn family_of(address: SocketAddr) -> Family {
    Family::of(address.ip())
}

/// The longest name, in bytes: four for each of the 255 that DNS allows (RFC 1035, section 2.3.4).
const LONGEST: usize = 1020;

pub const TOO_LONG: &str = "not a name, they have 253 characters at most";

/// Returns a host that a script gave. It is cut right behind the longest name, so that the lookup
/// refuses it.
pub fn host(given: &[u8]) -> String {
    String::from_utf8_lossy(&given[..given.len().min(LONGEST + 1)]).into_owned()
}

/// Parses an address, which needs no resolver: `192.0.2.7`, `2001:db8::7`, `[2001:db8::7]`.
pub fn literal(host: &str) -> Option<IpAddr> {
    let inner = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    match inner {
        Some(inner) => inner.parse().ok().filter(IpAddr::is_ipv6),
        None => host.parse().ok(),
    }
}

/// Returns the name in ASCII: an international name is converted (RFC 5890).
pub fn ascii(host: &str) -> Result<String> {
    let name = to_ascii(host)?;
    match ends_in_number(&name) {
        true => Err(Error::new(Code::Dns, "not a name, it ends in a number")),
        false => Ok(name),
    }
}

/// Whether a name has only what URLs and proxies read as a part of a name.
pub fn is_plain(name: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    !name.is_empty() && name.bytes().all(is_letter)
}

/// Whether the resolver would take this host for an address in an unusual notation, such as `127.1`
/// or `0x7f.1`. A filter of names would miss these.
pub fn is_unusual_address(host: &str) -> bool {
    literal(host).is_none() && to_ascii(host).is_ok_and(|name| ends_in_number(&name))
}

fn to_ascii(host: &str) -> Result<String> {
    if host.len() > LONGEST {
        return Err(Error::new(Code::Dns, TOO_LONG));
    }
    if let Some(why) = mistaken(host) {
        return Err(Error::new(Code::Dns, why));
    }
    if host.is_empty() || host.starts_with('.') || host.contains('\0') {
        return Err(Error::new(Code::Dns, "not a name"));
    }
    if host.is_ascii() {
        let inner = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        return Ok(inner.unwrap_or(host).to_owned());
    }
    idna::domain_to_ascii(host).map_err(|_| Error::new(Code::Dns, "not a valid international name"))
}

/// Whether the last label is a number. No name has one, or it could be taken for an address (RFC
/// 3696, section 2).
fn ends_in_number(name: &str) -> bool {
    let last = name.strip_suffix('.').unwrap_or(name).rsplit('.').next().unwrap_or_default();
    let is_decimal = !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit());
    let hex = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
    let is_hex = hex.is_some_and(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()));
    // In an IPv6 address, a number at the end is the name of an interface.
    !name.contains(':') && (is_decimal || is_hex)
}

/// Returns what to do about a host that was given as a URL, path or `host:port`. A resolver would
/// only say that the name is unknown.
fn mistaken(host: &str) -> Option<&'static str> {
    if host.starts_with(['/', '@']) || host.starts_with("./") || host.starts_with("unix:") {
        return Some("not a name but a path, connect_unix and listen_unix take it");
    }
    if host.contains('/') {
        return Some("not a name but a URL, give the host alone, without scheme and path");
    }
    if host.contains(|letter: char| letter.is_whitespace() || letter.is_control()) {
        return Some("not a name, there is a blank or a line end in it");
    }
    // An IPv6 address has more than one colon.
    let (name, port) = host.rsplit_once(':')?;
    let is_port = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    (is_port && !name.contains(':') || name.ends_with(']'))
        .then_some("not a name but a host with a port, give the port as an argument of its own")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_came_with_something_else_is_told_from_a_name() {
        for (host, why) in [
            ("/run/x.sock", "not a name but a path"),
            ("@x", "not a name but a path"),
            ("https://example.com", "without scheme and path"),
            ("example.com/status", "without scheme and path"),
            ("example.com\r", "a line end"),
            ("an example", "a blank"),
            ("example.com:443", "an argument of its own"),
            ("[::1]:443", "an argument of its own"),
        ] {
            let error = ascii(host).unwrap_err();
            assert!(error.detail().contains(why), "{host}: {}", error.detail());
        }
        for host in
            ["example.com", "example.com.", "_dmarc.example.com", "fe80::1%lo", "[fe80::1%lo]"]
        {
            assert!(ascii(host).is_ok(), "{host}");
        }
    }

    #[test]
    fn literals_need_no_resolver() {
        assert!(literal("127.0.0.1").is_some());
        assert!(literal("::1").is_some() && literal("[::1]").is_some());
        assert!(literal("[127.0.0.1]").is_none() && literal("localhost").is_none());
    }

    #[test]
    fn international_names_are_converted() {
        assert_eq!(ascii("münchen.example").expect("valid"), "xn--mnchen-3ya.example");
        assert_eq!(ascii("[fe80::1%lo]").expect("valid"), "fe80::1%lo");
    }

    #[test]
    fn what_a_resolver_takes_for_an_address_is_one_only_as_it_is_usually_written() {
        for host in [
            "127.1",
            "0x7f.1",
            "0X7F.0x1",
            "2130706433",
            "0177.0.0.1",
            "127.0.0.1.",
            "256.1.1.1",
            "[127.1]",
            "[127.0.0.1]",
            "１２７.1",
            "127。1",
        ] {
            assert!(is_unusual_address(host) && ascii(host).is_err(), "{host}");
        }
        for host in [
            "127.0.0.1",
            "::1",
            "[::1]",
            "::ffff:127.0.0.1",
            "fe80::1%eth0.100",
            "localhost",
            "1.example",
            "0xg",
            "example.c0m",
            "",
        ] {
            assert!(!is_unusual_address(host), "{host}");
        }
    }
}
