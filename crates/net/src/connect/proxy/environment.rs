//! The proxy that the environment names, read as curl reads it. Uses `connect::proxy::url`,
//! `connect::host`, `error`.

use std::ffi::OsString;
use std::net::IpAddr;

use super::url::Proxy;
use crate::connect::host::{ascii, literal};
use crate::error::{Code, Error, Result};

/// The proxy for a host, by these variables; none where there is none for it.
pub fn find(host: &str, variable: impl Fn(&str) -> Option<OsString>) -> Result<Option<Proxy>> {
    // One that is empty does not count.
    let first = |names: [&'static str; 2]| {
        let value =
            |name| variable(name).filter(|value| !value.is_empty()).map(|value| (name, value));
        names.into_iter().find_map(value)
    };
    let Some((name, url)) = first(["all_proxy", "ALL_PROXY"]) else { return Ok(None) };
    if let Some((_, excepted)) = first(["no_proxy", "NO_PROXY"])
        && is_excepted(host, &excepted.to_string_lossy())
    {
        return Ok(None);
    }
    let parsed = url.to_str().ok_or("UTF-8 expected").and_then(Proxy::parse);
    parsed.map(Some).map_err(|why| Error::new(Code::Proxy, format!("the variable {name}: {why}")))
}

/// Whether a list such as that of `no_proxy` has this host in it.
pub fn is_excepted(host: &str, list: &str) -> bool {
    if list == "*" {
        return true;
    }
    let host = host.split_once('%').map_or(host, |(address, _)| address);
    match literal(host).or_else(|| literal(host.trim_matches(['[', ']']))) {
        Some(ip) => entries(list).any(|entry| has_address(entry, ip)),
        None => {
            let name = ascii(host).unwrap_or_else(|_| host.to_owned());
            let name = name.strip_suffix('.').unwrap_or(&name);
            entries(list).any(|entry| has_name(entry, name))
        }
    }
}

fn entries(list: &str) -> impl Iterator<Item = &str> {
    list.split([',', ' ', '\t']).filter(|entry| !entry.is_empty())
}

/// Whether an entry is this name, or one that it ends in.
fn has_name(entry: &str, name: &str) -> bool {
    let entry = entry.strip_suffix('.').unwrap_or(entry);
    let entry = entry.strip_prefix('.').unwrap_or(entry);
    let Some(before) = name.len().checked_sub(entry.len()).filter(|_| !entry.is_empty()) else {
        return false;
    };
    let (front, end) = name.as_bytes().split_at(before);
    end.eq_ignore_ascii_case(entry.as_bytes()) && matches!(front, [] | [.., b'.'])
}

/// Whether an entry is this address, or a network (RFC 4632) that has it.
fn has_address(entry: &str, ip: IpAddr) -> bool {
    let (network, length) = match entry.split_once('/') {
        Some((network, length)) => (network, number(length)),
        None => (entry, 0),
    };
    match (ip, network.parse()) {
        (IpAddr::V4(ip), Ok(IpAddr::V4(network))) => {
            let differ = u32::from(ip) ^ u32::from(network);
            // All of it is compared where no length is given, and for curl 0 is none.
            let length = if length == 0 { 32 } else { length };
            length <= 32 && differ >> (32 - length) == 0
        }
        (IpAddr::V6(ip), Ok(IpAddr::V6(network))) => {
            let differ = u128::from(ip) ^ u128::from(network);
            let length = if length == 0 { 128 } else { length };
            length <= 128 && differ >> (128 - length) == 0
        }
        _ => false,
    }
}

/// A number as C's `atoi` reads it; what is beyond all networks may be any such.
fn number(text: &str) -> u32 {
    let digits = text.strip_prefix('+').unwrap_or(text);
    if digits.starts_with('-') {
        return u32::MAX;
    }
    let end = digits.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(digits.len());
    if end == 0 { 0 } else { digits[..end].parse().unwrap_or(u32::MAX) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_environment(variables: &[(&str, &str)]) -> Result<Option<String>> {
        let variable = |name: &str| {
            let found = variables.iter().find(|(other, _)| *other == name);
            found.map(|(_, value)| value.into())
        };
        Ok(find("a.example", variable)?.map(|proxy| proxy.to_string()))
    }

    #[test]
    fn lower_case_comes_first_and_empty_is_none() {
        for (variables, expected) in [
            (&[][..], None),
            (&[("all_proxy", "p:1"), ("ALL_PROXY", "q:1")], Some("http://p:1")),
            (&[("all_proxy", ""), ("ALL_PROXY", "socks5://q")], Some("socks5://q:1080")),
            (&[("http_proxy", "p:1")], None),
            (&[("all_proxy", "p:1"), ("no_proxy", "a.example")], None),
            (&[("all_proxy", "p:1"), ("no_proxy", ""), ("NO_PROXY", "a.example")], None),
            (
                &[("all_proxy", "p:1"), ("no_proxy", "b"), ("NO_PROXY", "a.example")],
                Some("http://p:1"),
            ),
            (&[("all_proxy", "p:x"), ("no_proxy", "*")], None),
        ] {
            let found = in_environment(variables).expect("a URL");
            assert_eq!(found.as_deref(), expected, "{variables:?}");
        }
    }

    #[test]
    fn a_variable_that_is_no_url_is_named() {
        let error = in_environment(&[("ALL_PROXY", "ftp://secret")]).expect_err("no proxy");
        assert_eq!(error.code(), Code::Proxy);
        assert_eq!(
            error.detail(),
            "the variable ALL_PROXY: a URL of http, https, socks5 or socks5h expected"
        );
    }

    /// What curl does with the rest stands in spec/proxy_spec.lua.
    #[test]
    fn an_address_is_compared_as_one() {
        for (host, list, expected) in [
            ("[2001:db8::1]", "2001:db8:0::1", true),
            ("2001:db8::1", "2001:db8::/32", true),
            ("2001:db8::1", "2001:db9::/31", true),
            ("2001:db8::1", "2001:dba::/31", false),
            ("2001:db8::1", "2001:db8::/129", false),
            ("2001:db8::1", "2001:db8::1/128", true),
            ("fe80::1%eth0", "fe80::/10", true),
            ("::1", "::/1", true),
            ("192.0.2.7", "192.0.2.0/31", false),
            ("192.0.2.7", "128.0.0.0/1", true),
            ("192.0.2.7", "192.0.2.7/99999999999", false),
            ("::ffff:192.0.2.7", "192.0.2.7", false),
        ] {
            assert_eq!(is_excepted(host, list), expected, "{host} in {list}");
        }
    }
}
