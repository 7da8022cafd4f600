//! A proxy that says anything, in arbitrary pieces with waits between them: the dialogue comes to
//! the same however it is cut, takes no byte of the peer's, and shows nobody's password. URLs,
//! header fields and lists of `no_proxy` that are anything.

#![no_main]

use std::collections::VecDeque;
use std::io::PipeReader;
use std::os::fd::{AsFd, BorrowedFd};

use libfuzzer_sys::fuzz_target;
use net::connect::proxy::{Destination, Dialogue, Field, Kind, Proxy, is_excepted};
use net::endpoint::Endpoint;
use net::error::{Code, Result};
use net::io::step::{Step, Wait, Want};
use net::transport::Transport;
use tcp_fuzz::Bytes;

// Each has eight bytes: a shorter one is kept secret only as a word of its own.
const USER: &str = "Us3r-0f-it";
const PASSWORD: &str = "P4ssw0rd";
const BASIC: &str = "VXMzci0wZi1pdDpQNHNzdzByZA==";

/// Of a host's name, in bytes (RFC 1035, section 2.3.4).
const LONGEST_NAME: usize = 253;

fuzz_target!(|bytes: &[u8]| {
    let mut bytes = Bytes(bytes);
    let manner = bytes.byte();
    match manner & 3 {
        0 => settings(bytes.0),
        kind => {
            let url = ["", "http", "socks5", "socks5h"][usize::from(kind)];
            let who = if manner & 4 == 0 { String::new() } else { format!("{USER}:{PASSWORD}@") };
            let proxy = Proxy::parse(&format!("{url}://{who}a")).expect("a URL");
            let count = usize::from(bytes.byte());
            let events = bytes.take(count).to_vec();
            // Some go beyond the longest answer.
            let says = bytes.0.repeat(if manner & 8 == 0 { 1 } else { 16 });
            talks(&proxy, &events, &says);
        }
    }
});

/// URLs, fields and lists.
fn settings(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let _ = Field::new(&bytes[..bytes.len() / 2], &bytes[bytes.len() / 2..]);
    let (host, list) = text.split_once('\n').unwrap_or((&text, "*.a, b/8 ::/1"));
    let _ = is_excepted(host, list);
    let _ = Destination::new(&Endpoint { host: host.to_owned(), port: 1 });
    let Ok(proxy) = Proxy::parse(&text) else { return };
    // What is told of it is a URL of the same proxy, without its user. A longer host is cut there.
    if proxy.endpoint.host.len() > LONGEST_NAME {
        return;
    }
    let again = Proxy::parse(&proxy.to_string()).expect("a URL");
    assert_eq!((again.kind, again.endpoint.port), (proxy.kind, proxy.endpoint.port));
    assert!(again.credentials.is_none());
}

/// What all of it comes to: the size of what was behind the answer, or the code of the failure.
fn talks(proxy: &Proxy, events: &[u8], says: &[u8]) {
    let (whole, written) = talk(proxy, &[], says);
    let (cut, written_too) = talk(proxy, events, says);
    assert_eq!(whole, cut);
    if whole.is_ok() {
        assert_eq!(written, written_too);
    }
}

/// The size of what is behind the last answer, which is the peer's.
fn talk(proxy: &Proxy, events: &[u8], says: &[u8]) -> (std::result::Result<usize, Code>, Vec<u8>) {
    let mut transport = Script {
        events: events.iter().copied().collect(),
        says: says.iter().copied().collect(),
        written: Vec::new(),
        fd: FD.with(|fd| fd.try_clone().expect("a descriptor")),
    };
    let mut dialogue = Dialogue::new(proxy, &Destination::Name("peer".to_owned(), 80));
    for _ in 0..2 * events.len() + 5 {
        match dialogue.step(&mut transport) {
            Ok(Step::Wait(_)) => {}
            Ok(Step::Done(())) => {
                let rest = dialogue.rest();
                let left = rest.len() + transport.says.len();
                assert!(says.ends_with(&[rest, transport.says.make_contiguous()].concat()));
                assert!(says.len() - left <= 16384);
                return (Ok(left), transport.written);
            }
            Err(error) => {
                let message = error.to_string();
                for secret in [USER, PASSWORD, BASIC] {
                    assert!(proxy.credentials.is_none() || !message.contains(secret), "{message}");
                }
                assert!(!message.contains(['\r', '\n', '\u{1b}']), "{message:?}");
                assert!(matches!(error.code(), Code::Proxy | Code::Refused | Code::Unreachable));
                assert!(proxy.kind != Kind::Http || error.code() == Code::Proxy);
                return (Err(error.code()), transport.written);
            }
        }
    }
    panic!("a dialogue that never ends");
}

thread_local! {
    static FD: PipeReader = std::io::pipe().expect("a pipe").0;
}

/// What every read and write of the script's bytes comes to.
struct Script {
    events: VecDeque<u8>,
    says: VecDeque<u8>,
    written: Vec<u8>,
    fd: PipeReader,
}

impl Transport for Script {
    fn read(&mut self, into: &mut Vec<u8>) -> Result<Step<usize>> {
        let event = self.events.pop_front();
        if event.is_some_and(|event| event >= 192) {
            return Ok(Step::Wait(Wait::new(&self.fd, Want::Read)));
        }
        let room = into.capacity() - into.len();
        assert!(room > 0);
        let size = event.map_or(usize::MAX, |event| usize::from(event) + 1);
        let size = size.min(room).min(self.says.len());
        into.extend(self.says.drain(..size));
        Ok(Step::Done(size))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<Step<usize>> {
        assert!(!bytes.is_empty());
        let event = self.events.pop_front();
        if event.is_some_and(|event| event >= 192) {
            return Ok(Step::Wait(Wait::new(&self.fd, Want::Write)));
        }
        let size = event.map_or(usize::MAX, |event| usize::from(event) + 1).min(bytes.len());
        self.written.extend_from_slice(&bytes[..size]);
        Ok(Step::Done(size))
    }

    fn shutdown(&mut self) -> Result<Step<()>> {
        Ok(Step::Done(()))
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    fn pending(&self) -> usize {
        0
    }
}
