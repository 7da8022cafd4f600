//! A question to the system's resolver, and its answer. Uses `connect::host`, `memory`, `error`.

use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};

use dns_lookup::{AddrFamily, AddrInfoHints, LookupError, SockType, get_hostname, getaddrinfo};

use crate::connect::host::Family;
use crate::errno::is_exhausted;
use crate::error::{Code, Error, Result};
use crate::memory::collect;
use crate::text::system_text;

/// The file of the names that need no name server.
const HOSTS: &str = "/etc/hosts";

/// The host and the address family to look up.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Question {
    pub host: String,
    pub family: Option<Family>,
}

pub type Answer = Result<Vec<SocketAddr>>;

impl Question {
    /// Calls getaddrinfo, which may block for long.
    pub fn ask(&self) -> Answer {
        let family = self.family.map_or(0, |family| match family {
            Family::Inet => AddrFamily::Inet.into(),
            Family::Inet6 => AddrFamily::Inet6.into(),
        });
        let socktype = SockType::Stream.into();
        let hints = AddrInfoHints { address: family, socktype, ..AddrInfoHints::default() };
        let found = getaddrinfo(Some(&self.host), None, Some(hints)).map_err(failure)?;
        collect(found.filter_map(|each| Some(each.ok()?.sockaddr)))
    }

    /// Whether the lookup needs no name server.
    pub fn is_local(&self) -> bool {
        let hosts = fs::read(HOSTS).unwrap_or_default();
        self.host.contains(':')
            || self.host.eq_ignore_ascii_case("localhost")
            || self.stands_in(&String::from_utf8_lossy(&hosts))
    }

    /// Whether a file such as /etc/hosts has an address for the host.
    fn stands_in(&self, hosts: &str) -> bool {
        hosts.lines().any(|line| {
            let line = line.split('#').next().unwrap_or_default();
            let mut words = line.split_ascii_whitespace();
            let ip: Option<IpAddr> = words.next().and_then(|word| word.parse().ok());
            ip.is_some_and(|ip| self.family.is_none_or(|family| family == Family::of(ip)))
                && words.any(|name| name.eq_ignore_ascii_case(&self.host))
        })
    }
}

/// The name of this machine.
pub fn this_host() -> Result<String> {
    get_hostname().map_err(Error::from)
}

fn failure(error: LookupError) -> Error {
    let error = io::Error::from(error);
    // If descriptors are used up, glibc returns various errors, none of which says so.
    match io::pipe() {
        Err(wanting) if is_exhausted(&wanting) => wanting.into(),
        _ if is_exhausted(&error) => error.into(),
        _ => Error::new(Code::Dns, words_of(&error)),
    }
}

fn words_of(error: &io::Error) -> String {
    let text = system_text(error);
    let words = text.rsplit("information: ").next().unwrap_or(&text);
    let mut letters = words.chars();
    let first = letters.next().map(|letter| letter.to_ascii_lowercase());
    first.into_iter().chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(host: &str, family: Option<Family>) -> Question {
        Question { host: host.to_owned(), family }
    }

    #[test]
    fn a_name_in_the_hosts_file_is_local_in_the_families_that_it_has_there() {
        let hosts = "# 127.0.0.1 not\n127.0.0.1 localhost here # 127.0.0.1 there\n::1\tlocalhost\n";
        assert!(question("HERE", None).stands_in(hosts));
        assert!(question("here", Some(Family::Inet)).stands_in(hosts));
        assert!(question("localhost", Some(Family::Inet6)).stands_in(hosts));
        assert!(!question("here", Some(Family::Inet6)).stands_in(hosts));
        assert!(!question("there", None).stands_in(hosts));
        assert!(!question("not", None).stands_in(hosts));
    }
}
