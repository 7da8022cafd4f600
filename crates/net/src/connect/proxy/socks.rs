//! SOCKS 5 (RFC 1928) with a user and a password (RFC 1929): what is sent as bytes, and what the
//! answer's bytes are. Pure. Uses `connect::proxy::{answer, destination, url}`, `error`.

use std::net::IpAddr;

use super::answer::{Failure, Progress, Result, nonsense};
use super::destination::Destination;
use super::url::{Credentials, Proxy};
use crate::error::Code;

const VERSION: u8 = 5;
/// Of the dialogue about user and password.
const PASSWORD_VERSION: u8 = 1;

// Methods of authentication (RFC 1928, section 3).
const NONE: u8 = 0;
const PASSWORD: u8 = 2;
const UNACCEPTABLE: u8 = 0xff;

const CONNECT: u8 = 1;

// Types of addresses (RFC 1928, section 5).
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

/// One request, and what becomes of it.
pub struct Socks {
    awaited: Awaited,
    credentials: Option<Credentials>,
    request: Vec<u8>,
}

enum Awaited {
    Method,
    /// What it says to user and password.
    Permission,
    Reply,
}

impl Socks {
    /// The dialogue, and what begins it.
    pub fn new(proxy: &Proxy, destination: &Destination) -> (Self, Vec<u8>) {
        let credentials = proxy.credentials.clone();
        let methods = match credentials {
            Some(_) => &[VERSION, 2, NONE, PASSWORD][..],
            None => &[VERSION, 1, NONE],
        };
        let (awaited, request) = (Awaited::Method, request(destination));
        (Self { awaited, credentials, request }, methods.to_vec())
    }

    pub fn advance(&mut self, bytes: &[u8]) -> Result<Progress> {
        match (&self.awaited, bytes) {
            (_, []) => Ok(Progress::NotYet),
            (Awaited::Method, [VERSION, method, ..]) => self.authenticate(*method),
            // Some say the version of SOCKS here.
            (Awaited::Permission, [PASSWORD_VERSION | VERSION, status, ..]) => match status {
                0 => Ok(self.ask(2)),
                _ => refused("it does not accept user and password"),
            },
            (Awaited::Reply, [VERSION, reply, rest @ ..]) => read_reply(*reply, rest),
            (Awaited::Permission, [PASSWORD_VERSION]) | (_, [VERSION]) => Ok(Progress::NotYet),
            (_, [other, ..]) => nonsense(match other {
                0 | 4 => "it speaks SOCKS 4, not 5".to_owned(),
                b'H' | b'<' => "its answer is not SOCKS 5, it speaks HTTP: http://?".to_owned(),
                _ => format!("its answer is not SOCKS 5 but begins with {other:#04x}"),
            }),
        }
    }

    fn authenticate(&mut self, method: u8) -> Result<Progress> {
        match (method, &self.credentials) {
            (NONE, _) => Ok(self.ask(2)),
            (PASSWORD, Some(Credentials { user, password })) => {
                // As the URL was read, both have 255 bytes at most.
                let (user_size, size) = (user.len() as u8, password.len() as u8);
                let send = [&[PASSWORD_VERSION, user_size][..], user, &[size], password].concat();
                self.awaited = Awaited::Permission;
                Ok(Progress::Next { used: 2, send })
            }
            (UNACCEPTABLE, Some(_)) => refused("it does not want user and password, nor none"),
            (UNACCEPTABLE, None) => {
                refused("it wants to know who asks: no user and password given")
            }
            (method, _) => nonsense(format!("it chose authentication {method:#04x}, not offered")),
        }
    }

    fn ask(&mut self, used: usize) -> Progress {
        self.awaited = Awaited::Reply;
        Progress::Next { used, send: self.request.clone() }
    }
}

fn request(destination: &Destination) -> Vec<u8> {
    let (kind, host, port) = match destination {
        Destination::Address(IpAddr::V4(ip), port) => (IPV4, ip.octets().to_vec(), port),
        Destination::Address(IpAddr::V6(ip), port) => (IPV6, ip.octets().to_vec(), port),
        Destination::Name(name, port) => {
            // A name has 254 bytes at most.
            (NAME, [&[name.len() as u8], name.as_bytes()].concat(), port)
        }
    };
    [&[VERSION, CONNECT, 0, kind][..], &host, &port.to_be_bytes()].concat()
}

/// What follows the reply's code: a zero, and the address that the proxy has from then on.
fn read_reply(reply: u8, rest: &[u8]) -> Result<Progress> {
    check(reply)?;
    let size = match rest {
        [] | [_] | [_, NAME] => return Ok(Progress::NotYet),
        [_, IPV4, ..] => 4,
        [_, IPV6, ..] => 16,
        [_, NAME, size, ..] => 1 + usize::from(*size),
        [_, kind, ..] => return nonsense(format!("an address of type {kind:#04x} in its answer")),
    };
    // With version, code, zero, type and port.
    let used = 4 + size + 2;
    Ok(if rest.len() + 2 < used { Progress::NotYet } else { Progress::Open { used } })
}

/// The codes of RFC 1928, section 6.
fn check(reply: u8) -> Result<()> {
    let peer = |code, words: &str| Err(Failure::Peer(code, words.to_owned()));
    match reply {
        0 => Ok(()),
        1 => peer(Code::Proxy, "general failure"),
        2 => peer(Code::Proxy, "connection not allowed by ruleset"),
        3 => peer(Code::Unreachable, "network unreachable"),
        4 => peer(Code::Unreachable, "host unreachable"),
        5 => peer(Code::Refused, "connection refused"),
        6 => peer(Code::Unreachable, "TTL expired"),
        7 => peer(Code::Proxy, "command not supported"),
        8 => peer(Code::Proxy, "address type not supported"),
        other => peer(Code::Proxy, &format!("failure {other:#04x}")),
    }
}

fn refused<T>(words: &str) -> Result<T> {
    Err(Failure::Refused(words.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(url: &str) -> Socks {
        Socks::new(&Proxy::parse(url).expect("a URL"), &Destination::Name("peer".to_owned(), 258)).0
    }

    /// What each of these answers comes to, one after the other.
    fn all(mut socks: Socks, answers: &[&[u8]]) -> Result<Vec<Progress>> {
        answers.iter().map(|bytes| socks.advance(bytes)).collect()
    }

    const REQUEST: &[u8] = b"\x05\x01\0\x03\x04peer\x01\x02";

    fn next(send: &[u8]) -> Progress {
        Progress::Next { used: 2, send: send.to_vec() }
    }

    #[test]
    fn without_a_user_none_is_offered() {
        let proxy = Proxy::parse("socks5h://a").expect("a URL");
        let destination = Destination::Name("peer".to_owned(), 258);
        assert_eq!(Socks::new(&proxy, &destination).1, [5, 1, 0]);
        let proxy = Proxy::parse("socks5h://u@a").expect("a URL");
        assert_eq!(Socks::new(&proxy, &destination).1, [5, 2, 0, 2]);
    }

    #[test]
    fn the_dialogue_is_that_of_the_rfc() {
        let ipv4 = b"\x05\0\0\x01\x7f\0\0\x01\x12\x34behind";
        let name = b"\x05\0\0\x03\x02ab\x12\x34behind";
        let ipv6 = [&b"\x05\0\0\x04"[..], &[7; 18], b"behind"].concat();
        for reply in [&ipv4[..], name, &ipv6] {
            let used = reply.len() - "behind".len();
            let expected = vec![next(REQUEST), Progress::Open { used }];
            assert_eq!(all(to("socks5h://a"), &[b"\x05\0", reply]), Ok(expected));
            for cut in 0..used {
                let expected = vec![next(REQUEST), Progress::NotYet];
                assert_eq!(all(to("socks5h://a"), &[b"\x05\0", &reply[..cut]]), Ok(expected));
            }
        }
        let expected =
            vec![Progress::NotYet, next(b"\x01\x01u\x02pw"), Progress::NotYet, next(REQUEST)];
        assert_eq!(
            all(to("socks5h://u:pw@a"), &[b"\x05", b"\x05\x02", b"\x01", b"\x01\0"]),
            Ok(expected)
        );
    }

    #[test]
    fn what_it_says_of_the_peer_is_told_apart() {
        let code = |reply: u8| match all(to("socks5h://a"), &[b"\x05\0", &[5, reply]]) {
            Err(Failure::Peer(code, _)) => code,
            other => panic!("{other:?}"),
        };
        use Code::{Proxy, Refused, Unreachable};
        let codes: Vec<_> = (1..=9).map(code).collect();
        assert_eq!(
            codes,
            [Proxy, Proxy, Unreachable, Unreachable, Refused, Unreachable, Proxy, Proxy, Proxy]
        );
    }

    #[test]
    fn what_is_no_answer_is_nonsense() {
        for (url, answers) in [
            ("socks5h://a", &[&b"\x04\0"[..]][..]),
            ("socks5h://a", &[b"\0\x5a"]),
            ("socks5h://a", &[b"HTTP/1.1 400 Bad Request\r\n"]),
            ("socks5h://a", &[b"\x01"]),
            ("socks5h://a", &[b"\x05\x02"]),
            ("socks5h://u@a", &[b"\x05\x01"]),
            ("socks5h://u@a", &[b"\x05\x02", b"\x02\0"]),
            ("socks5h://a", &[b"\x05\0", b"\x01\0"]),
            ("socks5h://a", &[b"\x05\0", b"\x05\0\0\x02"]),
        ] {
            assert!(matches!(all(to(url), answers), Err(Failure::Nonsense(_))), "{answers:?}");
        }
        for (url, answers) in [
            ("socks5h://a", &[&b"\x05\xff"[..]][..]),
            ("socks5h://u@a", &[b"\x05\xff"]),
            ("socks5h://u@a", &[b"\x05\x02", b"\x01\x01"]),
        ] {
            assert!(matches!(all(to(url), answers), Err(Failure::Refused(_))), "{answers:?}");
        }
    }
}
