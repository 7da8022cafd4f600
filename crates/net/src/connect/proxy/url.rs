//! A proxy, as its URL describes it. What is wrong with a URL is said without a part of it: it may
//! have a password. Uses `endpoint`, `connect::host`, `transport::tls`.

use std::fmt;

use percent_encoding::percent_decode_str;

use crate::connect::host::{ascii, is_plain, literal};
use crate::endpoint::Endpoint;
use crate::transport::tls;

/// The ports that curl takes where a URL has none.
const PORT: u16 = 1080;
const HTTPS_PORT: u16 = 443;

/// The longest user, and password, of SOCKS (RFC 1929, section 2), in bytes.
const LONGEST: usize = 255;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// CONNECT (RFC 9110, section 9.3.6).
    Http,
    /// The same, over TLS to the proxy.
    Https,
    /// SOCKS 5 (RFC 1928); the peer's name is resolved here.
    Socks5,
    /// The same, and the proxy resolves it.
    Socks5h,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Http, Self::Https, Self::Socks5, Self::Socks5h];

    /// The scheme of its URL.
    pub fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Socks5 => "socks5",
            Self::Socks5h => "socks5h",
        }
    }

    pub fn is_socks(self) -> bool {
        matches!(self, Self::Socks5 | Self::Socks5h)
    }
}

/// Who asks the proxy, decoded.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    pub user: Vec<u8>,
    pub password: Vec<u8>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials")
    }
}

/// A field of a header: its name and its value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Field {
    pub name: String,
    pub value: Vec<u8>,
}

impl Field {
    /// Line ends in it would begin another one (RFC 9110, section 5.5).
    pub fn new(name: &[u8], value: &[u8]) -> Parsed<Self> {
        let is_token =
            |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
        let is_text = |byte: &u8| !byte.is_ascii_control() || *byte == b'\t';
        if name.is_empty() || !name.iter().all(is_token) {
            return Err("names of header fields expected");
        }
        if !value.iter().all(is_text) {
            return Err("values of header fields expected, without line ends");
        }
        let name = name.iter().copied().map(char::from).collect();
        Ok(Self { name, value: value.to_vec() })
    }
}

/// What `info()` tells of a proxy.
#[derive(Clone, Debug)]
pub struct ProxyFacts {
    pub kind: Kind,
    pub endpoint: Endpoint,
}

#[derive(Clone)]
pub struct Proxy {
    pub kind: Kind,
    pub endpoint: Endpoint,
    pub credentials: Option<Credentials>,
    /// Fields that CONNECT has besides.
    pub headers: Vec<Field>,
    /// Settings of TLS to the proxy, where they are not the defaults.
    pub tls: Option<Box<tls::Settings>>,
}

/// As messages name it, without its user.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.kind.name(), self.endpoint)
    }
}

pub type Parsed<T> = Result<T, &'static str>;

impl Proxy {
    /// What a URL says, or why it is none of a proxy. Ports and schemes that are left out are those
    /// of curl.
    pub fn parse(text: &str) -> Parsed<Self> {
        let (kind, rest) = match text.split_once("://") {
            Some((scheme, rest)) => (kind_of(scheme)?, rest),
            None => (Kind::Http, text),
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        // Behind a password that is not percent-encoded, a host would be taken for a path.
        if !matches!(path, "" | "/") {
            return Err(
                "a URL without a path expected; in user and password, / ? # are %2F %3F %23",
            );
        }
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority),
        };
        let credentials = user.map_or(Ok(None), |user| credentials(kind, user))?;
        let default = if kind == Kind::Https { HTTPS_PORT } else { PORT };
        let endpoint = endpoint(host, default)?;
        Ok(Self { kind, endpoint, credentials, headers: Vec::new(), tls: None })
    }

    pub fn facts(&self) -> ProxyFacts {
        ProxyFacts { kind: self.kind, endpoint: self.endpoint.clone() }
    }

    /// Whether the script has given CONNECT this field.
    pub fn has_header(&self, name: &str) -> bool {
        self.headers.iter().any(|given| given.name.eq_ignore_ascii_case(name))
    }
}

fn kind_of(scheme: &str) -> Parsed<Kind> {
    let is_named = |kind: &Kind| kind.name().eq_ignore_ascii_case(scheme);
    let kind = Kind::ALL.into_iter().find(is_named);
    kind.ok_or("a URL of http, https, socks5 or socks5h expected")
}

fn credentials(kind: Kind, text: &str) -> Parsed<Option<Credentials>> {
    let (user, password) = text.split_once(':').unwrap_or((text, ""));
    let decoded = |part| percent_decode_str(part).collect::<Vec<u8>>();
    let (user, password) = (decoded(user), decoded(password));
    if kind.is_socks() && user.len().max(password.len()) > LONGEST {
        return Err("user and password of SOCKS have 255 bytes at most");
    }
    // In Basic a colon ends the user (RFC 7617, section 2).
    if !kind.is_socks() && user.contains(&b':') {
        return Err("a user without a colon expected");
    }
    let is_none = user.is_empty() && password.is_empty();
    Ok((!is_none).then_some(Credentials { user, password }))
}

fn endpoint(text: &str, default: u16) -> Parsed<Endpoint> {
    let wrong = "a host and a port expected, an IPv6 address in brackets";
    let (host, port) = match text.strip_prefix('[') {
        Some(inner) => {
            let (address, port) = inner.split_once(']').ok_or(wrong)?;
            let port = match port {
                "" => None,
                port => Some(port.strip_prefix(':').ok_or(wrong)?),
            };
            (bracketed(address).ok_or(wrong)?, port)
        }
        None => match text.split_once(':') {
            Some((host, port)) => (named(host).ok_or(wrong)?, Some(port)),
            None => (named(text).ok_or(wrong)?, None),
        },
    };
    let is_number = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    let port = match port {
        None | Some("") => default,
        Some(port) if is_number(port) => port.parse().map_err(|_| wrong)?,
        Some(_) => return Err(wrong),
    };
    if port == 0 { Err(wrong) } else { Ok(Endpoint { host, port }) }
}

/// An IPv6 address, with its zone if it has one (RFC 6874).
fn bracketed(text: &str) -> Option<String> {
    let text = text.replacen("%25", "%", 1);
    let bare = text.split('%').next().unwrap_or_default();
    let is_zone = |letter: char| !letter.is_whitespace() && !letter.is_control();
    let is_address = literal(bare).is_some_and(|ip| ip.is_ipv6()) && text.chars().all(is_zone);
    is_address.then_some(text)
}

/// A name, or an IPv4 address in its usual form.
fn named(text: &str) -> Option<String> {
    let host = percent_decode_str(text).decode_utf8().ok()?.into_owned();
    let is_host = match literal(&host) {
        Some(ip) => ip.is_ipv4(),
        None => ascii(&host).is_ok_and(|name| is_plain(&name)),
    };
    is_host.then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scheme, host, port, user and password of a URL.
    fn parts(text: &str) -> Parsed<(&'static str, String, u16, String)> {
        let Proxy { kind, endpoint, credentials, .. } = Proxy::parse(text)?;
        let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let who = credentials.map_or_else(String::new, |Credentials { user, password }| {
            format!("{}|{}", lossy(&user), lossy(&password))
        });
        Ok((kind.name(), endpoint.host, endpoint.port, who))
    }

    #[test]
    fn a_url_has_the_parts_that_curl_sees() {
        for (text, kind, host, port, who) in [
            ("http://a:3128", "http", "a", 3128, ""),
            ("http://a", "http", "a", 1080, ""),
            ("http://a:80", "http", "a", 80, ""),
            ("a:3128", "http", "a", 3128, ""),
            ("a", "http", "a", 1080, ""),
            ("a:", "http", "a", 1080, ""),
            ("https://a", "https", "a", 443, ""),
            ("SOCKS5H://a/", "socks5h", "a", 1080, ""),
            ("socks5://u@a:1", "socks5", "a", 1, "u|"),
            ("socks5://u:@a:1", "socks5", "a", 1, "u|"),
            ("socks5://:p@a:1", "socks5", "a", 1, "|p"),
            ("http://@a:1", "http", "a", 1, ""),
            ("http://:@a:1", "http", "a", 1, ""),
            ("http://u:p:q@a:1", "http", "a", 1, "u|p:q"),
            (
                "http://u@b:p@q@a:1",
                "http",
                "a",
                1,
                "u@b|p@q".split_once("u@b").map_or("", |_| "u@b|p@q"),
            ),
            ("http://%75%40:%2f%3a%00@a:1", "http", "a", 1, "u@|/:\0"),
            ("http://u%:p%zz@a:1", "http", "a", 1, "u%|p%zz"),
            ("http://192.0.2.7:1", "http", "192.0.2.7", 1, ""),
            ("http://[::1]:1", "http", "::1", 1, ""),
            ("[2001:db8::1]", "http", "2001:db8::1", 1080, ""),
            ("socks5://[fe80::1%25eth0]:1", "socks5", "fe80::1%eth0", 1, ""),
            ("socks5://[fe80::1%eth0]:1", "socks5", "fe80::1%eth0", 1, ""),
            ("http://b%C3%BCcher:1", "http", "bücher", 1, ""),
        ] {
            let expected = (kind, host.to_owned(), port, who.to_owned());
            assert_eq!(parts(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_url_of_a_proxy_is_refused_without_its_words() {
        for text in [
            "",
            "http://",
            "ftp://secret",
            "socks4://secret",
            "://secret",
            "http://secret:0",
            "http://secret:65536",
            "http://secret:+1",
            "http://secret:x",
            "http://::1",
            "http://[::1",
            "http://[::1]1",
            "http://[secret]:1",
            "http://[192.0.2.7]:1",
            "http://secret/x",
            "http://secret:12/34@a",
            "http://a?x",
            "http://sec ret:1",
            "http://sec\nret:1",
            "http://127.1:1",
            "http://a/secret",
            "http://%ff:1",
            "http://a%2fb:1",
            "http://%3asecret:1",
            "http://a%40b:1",
            "http://a%25b:1",
            "http://u%3asecret:p@a:1",
        ] {
            let why = parts(text).expect_err(text);
            assert!(!why.contains("secret"), "{text}: {why}");
        }
        let long = "x".repeat(256);
        assert!(parts(&format!("socks5://{long}@a:1")).is_err());
        assert!(parts(&format!("socks5://u:{long}@a:1")).is_err());
        assert!(parts(&format!("http://u:{long}@a:1")).is_ok());
    }

    #[test]
    fn nothing_shows_user_or_password() {
        let proxy = Proxy::parse("http://user:secret@a:1").expect("a URL");
        assert_eq!(proxy.to_string(), "http://a:1");
        assert_eq!(format!("{:?}", proxy.credentials), "Some(Credentials)");
    }

    #[test]
    fn a_field_is_one_line() {
        assert!(Field::new(b"X-Key", b"a b\tc\xff").is_ok());
        for (name, value) in
            [("", ""), ("a b", ""), ("a:", ""), ("a\r", ""), ("a", "b\r\nc: d"), ("a", "\0")]
        {
            assert!(Field::new(name.as_bytes(), value.as_bytes()).is_err());
        }
    }
}
