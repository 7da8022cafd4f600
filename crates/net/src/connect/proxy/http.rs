//! CONNECT (RFC 9110, section 9.3.6): the request as bytes, and what the answer's bytes are. Pure.
//! Uses `connect::proxy::{answer, destination, url}`, `transport::tls`, `error`.

use httparse::{ParserConfig, Response, Status};

use super::answer::{Failure, Progress, Result, nonsense};
use super::destination::Destination;
use super::url::{Field, Proxy};
use crate::text::excerpt;
use crate::transport::tls::base64;

/// Fields at most that an answer may have.
const FIELDS: usize = 128;

/// From so many bytes on a secret is one within other letters, too.
const LONG: usize = 8;

const VERSION: &[u8] = b"HTTP/1.";

/// One request, and what becomes of it.
pub struct Http {
    /// What no message may show.
    secrets: Vec<Vec<u8>>,
}

impl Http {
    /// The dialogue, and what begins it.
    pub fn new(proxy: &Proxy, destination: &Destination) -> (Self, Vec<u8>) {
        let mut secrets = Vec::new();
        let mut request = format!("CONNECT {destination} HTTP/1.1\r\n").into_bytes();
        let mut add = |name: &str, value: &[u8]| {
            request.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
        };
        if !proxy.has_header("Host") {
            add("Host", destination.to_string().as_bytes());
        }
        if let Some(who) = &proxy.credentials {
            let token = base64(&[&who.user, b":".as_slice(), &who.password].concat());
            if !proxy.has_header("Proxy-Authorization") {
                add("Proxy-Authorization", format!("Basic {token}").as_bytes());
            }
            let token = token.trim_end_matches('=').as_bytes().to_vec();
            secrets.extend([who.user.clone(), who.password.clone(), token]);
        }
        for Field { name, value } in &proxy.headers {
            add(name, value);
            // The secret of `Bearer <token>` is its last word. A shorter one keeps no secret, and
            // may be a word of any sentence.
            let word = value.rsplit(|byte| *byte == b' ').next().unwrap_or_default();
            let word = word.split(|byte| *byte == b'=').next().unwrap_or_default();
            if word.len() >= LONG {
                secrets.push(word.to_vec());
            }
        }
        request.extend(b"\r\n");
        secrets.retain(|secret| !secret.is_empty());
        (Self { secrets }, request)
    }

    pub fn advance(&self, bytes: &[u8]) -> Result<Progress> {
        let seen = bytes.len().min(VERSION.len());
        if bytes[..seen] != VERSION[..seen] {
            return nonsense(self.not_http(bytes));
        }
        let Some(used) = head_size(bytes) else { return Ok(Progress::NotYet) };
        let mut fields = [httparse::EMPTY_HEADER; FIELDS];
        let mut response = Response::new(&mut fields);
        let mut parser = ParserConfig::default();
        parser.ignore_invalid_headers_in_responses(true);
        let parsed = parser.parse_response(&mut response, &bytes[..used]);
        match (parsed, response.code) {
            (Ok(Status::Complete(_)), Some(200..=299)) => Ok(Progress::Open { used }),
            // An interim answer; the other one follows. But 101 is another protocol.
            (Ok(Status::Complete(_)), Some(100 | 102..=199)) => {
                Ok(Progress::Next { used, send: Vec::new() })
            }
            (Ok(Status::Complete(_)), Some(code)) => Err(self.refused(code, &response)),
            _ => nonsense(self.not_http(bytes)),
        }
    }

    #[cold]
    fn refused(&self, code: u16, response: &Response<'_, '_>) -> Failure {
        let mut words = match response.reason.map(|reason| self.shown(reason.as_bytes())) {
            Some(reason) if !reason.is_empty() => format!("{code} {reason}"),
            _ => code.to_string(),
        };
        // Of the ways that it takes, we know Basic alone.
        let is_wanted =
            |field: &&httparse::Header<'_>| field.name.eq_ignore_ascii_case("Proxy-Authenticate");
        let mut wanted = response.headers.iter().filter(is_wanted).peekable();
        if code == 407 && wanted.peek().is_some() {
            let scheme = |field: &httparse::Header<'_>| {
                self.shown(field.value.split(|byte| *byte == b' ').next().unwrap_or_default())
            };
            let schemes: Vec<_> = wanted.map(scheme).collect();
            words = format!("{words} (it takes {})", schemes.join(", "));
        }
        Failure::Refused(words)
    }

    #[cold]
    fn not_http(&self, bytes: &[u8]) -> String {
        let hint = match bytes {
            [0x15 | 0x16, 3, ..] => ", it speaks TLS: https://?",
            [5, ..] => ", it speaks SOCKS: socks5://?",
            _ => "",
        };
        // The beginning of a secret may stand where the line is cut.
        if !self.secrets.is_empty() {
            return format!("its answer is not HTTP{hint}");
        }
        let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        format!("its answer is not HTTP: '{}'{hint}", self.shown(&line[..line.len().min(80)]))
    }

    /// The words of the proxy, unless they repeat what is ours alone.
    fn shown(&self, words: &[u8]) -> String {
        let has = |secret: &Vec<u8>| stands_in(words, secret);
        if self.secrets.iter().any(has) { "...".to_owned() } else { excerpt(words) }
    }
}

/// Whether the words have this secret. A short one counts as a word of its own alone: by chance it
/// is a part of others, and says nothing there.
fn stands_in(words: &[u8], secret: &[u8]) -> bool {
    let is_letter = |byte: &u8| byte.is_ascii_alphanumeric() || !byte.is_ascii();
    let is_inside = |at: usize| {
        let (before, behind) = (words[..at].last(), words.get(at + secret.len()));
        before.is_some_and(is_letter) || behind.is_some_and(is_letter)
    };
    let mut places = words.windows(secret.len()).enumerate().filter(|(_, part)| *part == secret);
    places.any(|(at, _)| secret.len() >= LONG || !is_inside(at))
}

/// Where the fields end: behind a line that is empty.
fn head_size(bytes: &[u8]) -> Option<usize> {
    memchr::memchr_iter(b'\n', bytes).find_map(|at| match &bytes[at + 1..] {
        [b'\n', ..] => Some(at + 2),
        [b'\r', b'\n', ..] => Some(at + 3),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(url: &str) -> (Http, String) {
        let proxy = Proxy::parse(url).expect("a URL");
        let (http, request) = Http::new(&proxy, &Destination::Name("peer".to_owned(), 5432));
        (http, String::from_utf8(request).expect("ASCII"))
    }

    #[test]
    fn the_request_names_the_peer_and_says_who_asks() {
        let (_, request) = to("http://a:1");
        assert_eq!(request, "CONNECT peer:5432 HTTP/1.1\r\nHost: peer:5432\r\n\r\n");
        let (_, request) = to("http://user:p%40ss@a:1");
        let basic = "Proxy-Authorization: Basic dXNlcjpwQHNz\r\n\r\n";
        assert_eq!(request, format!("CONNECT peer:5432 HTTP/1.1\r\nHost: peer:5432\r\n{basic}"));
    }

    #[test]
    fn no_part_of_a_secret_stands_in_what_is_said_of_an_answer() {
        let (http, _) = to("http://alice:correct-horse-battery-staple@a:1");
        let token = base64(b"alice:correct-horse-battery-staple");
        let long = format!("Bad request, you said {}{token}\r\n", "x".repeat(20));
        for answer in [long.as_str(), &long[..30], &format!("Bad {}", &token[..9])] {
            let Err(Failure::Nonsense(said)) = http.advance(answer.as_bytes()) else {
                panic!("it is not HTTP: {answer}");
            };
            assert_eq!(said, "its answer is not HTTP");
        }
        let bare = token.trim_end_matches('=');
        let answer = format!("HTTP/1.1 407 bad token {bare}%3D\r\n\r\n");
        let Err(Failure::Refused(said)) = http.advance(answer.as_bytes()) else {
            panic!("it is refused");
        };
        assert_eq!(said, "407 ...");
    }

    #[test]
    fn a_short_secret_hides_no_other_words() {
        for (url, words, said) in [
            ("http://a@a:1", "407 Authentication Required", "407 Authentication Required"),
            ("http://u:pass@a:1", "403 Bypassing us", "403 Bypassing us"),
            ("http://a@a:1", "407 not you, 'a'", "407 ..."),
            ("http://u:pass@a:1", "407 user=u pass=pass", "407 ..."),
            ("http://u:pass@a:1", "407 xpass pass", "407 ..."),
            ("http://u:a%20a@a:1", "407 xa a a", "407 ..."),
            ("http://u:password@a:1", "407 xpasswordx", "407 ..."),
        ] {
            let Err(Failure::Refused(shown)) =
                to(url).0.advance(format!("HTTP/1.1 {words}\r\n\r\n").as_bytes())
            else {
                panic!("it is refused: {words}");
            };
            assert_eq!(shown, said, "{url}");
        }
    }

    #[test]
    fn a_header_of_the_script_takes_the_place_of_ours() {
        let mut proxy = Proxy::parse("http://user:pass@a:1").expect("a URL");
        for (name, value) in [("proxy-authorization", "Bearer x"), ("host", "b"), ("X", "")] {
            let field = Field::new(name.as_bytes(), value.as_bytes());
            proxy.headers.push(field.expect("a field"));
        }
        let (_, request) = Http::new(&proxy, &Destination::Name("peer".to_owned(), 1));
        assert_eq!(
            request,
            b"CONNECT peer:1 HTTP/1.1\r\nproxy-authorization: Bearer x\r\nhost: b\r\nX: \r\n\r\n"
        );
    }

    #[test]
    fn the_way_is_open_behind_a_head_of_2xx() {
        let (http, _) = to("http://a:1");
        for head in [
            "HTTP/1.1 200 Connection established\r\n\r\n",
            "HTTP/1.0 200\r\n\r\n",
            "HTTP/1.1 204 \r\nA: b\r\nContent-Length: 5\r\n\r\n",
            "HTTP/1.1 299 x\n\n",
            "HTTP/1.1 200 x\r\nno field\r\nB: c\n\r\n",
        ] {
            for cut in 0..head.len() {
                assert_eq!(http.advance(&head.as_bytes()[..cut]), Ok(Progress::NotYet), "{head:?}");
            }
            let behind = format!("{head}HTTP/1.1 500 of the peer\r\n\r\n");
            for bytes in [head, &behind] {
                assert_eq!(http.advance(bytes.as_bytes()), Ok(Progress::Open { used: head.len() }));
            }
        }
    }

    #[test]
    fn an_interim_answer_is_passed_over() {
        let (http, _) = to("http://a:1");
        let head = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n";
        assert_eq!(http.advance(head), Ok(Progress::Next { used: head.len(), send: Vec::new() }));
    }

    #[test]
    fn other_answers_are_told_in_their_words() {
        let (http, _) = to("http://user:secret@a:1");
        for (head, words) in [
            ("HTTP/1.1 503 Service Unavailable\r\n\r\n", "503 Service Unavailable"),
            ("HTTP/1.1 403\r\n\r\n", "403"),
            ("HTTP/1.1 302 Found\r\nLocation: x\r\n\r\n", "302 Found"),
            ("HTTP/1.1 101 Switching\r\n\r\n", "101 Switching"),
            ("HTTP/1.1 999 a\tb\r\n\r\n", "999 a\\tb"),
            ("HTTP/1.1 407 No, Basic dXNlcjpzZWNyZXQ=\r\n\r\n", "407 ..."),
            ("HTTP/1.1 407 not you, user\r\n\r\n", "407 ..."),
            (
                "HTTP/1.1 407 Who?\r\nproxy-authenticate: NTLM\r\nProxy-Authenticate: Digest x=\"y\"\r\n\r\n",
                "407 Who? (it takes NTLM, Digest)",
            ),
        ] {
            assert_eq!(http.advance(head.as_bytes()), Err(Failure::Refused(words.to_owned())));
        }
    }

    #[test]
    fn what_is_not_http_is_nonsense_at_once() {
        let (http, _) = to("http://a:1");
        for (bytes, words) in [
            (&b"SSH-2.0-x\r\n"[..], "'SSH-2.0-x'"),
            (b"HTTQ", "'HTTQ'"),
            (b"HTTP/2 ", "'HTTP/2 '"),
            (b"\r\n", "''"),
            (b"\x15\x03\x01", "'\\u{15}\\u{3}\\u{1}', it speaks TLS: https://?"),
            (b"\x05\xff", "'\\u{5}\u{fffd}', it speaks SOCKS: socks5://?"),
            (b"HTTP/1.1 2x0\r\n\r\n", "'HTTP/1.1 2x0'"),
        ] {
            let expected = Failure::Nonsense(format!("its answer is not HTTP: {words}"));
            assert_eq!(http.advance(bytes), Err(expected));
        }
        let many = format!("HTTP/1.1 200\r\n{}\r\n", "a: b\r\n".repeat(FIELDS + 1));
        assert!(matches!(http.advance(many.as_bytes()), Err(Failure::Nonsense(_))));
    }
}
