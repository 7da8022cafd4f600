//! The dialogue with a proxy over a transport that moves one byte at a time and fails at each point
//! in turn: what comes behind the last answer is the peer's, whatever it is. And the tunnel through
//! TLS to a proxy: bytes that were put back come first, waits are those of the transport outside,
//! and its failures are named.

mod support;

use std::io::{ErrorKind, Read, Write};

use net::connect::proxy::{Destination, Dialogue, Proxy};
use net::error::{Code, Error, Result};
use net::io::step::Step;
use net::stream::Limits;
use net::transport::tunnel::Tunnel;
use net::transport::{Transport, tcp};
use support::Event::{Bytes, End, Fail, Take, Transient, Wait};
use support::{Event, conn, cut, finish, transport};

const BEHIND: &[u8] = b"HTTP/1.1 220 of the peer\r\n\r\n";

/// A proxy, all that it says, and all that it hears.
fn dialogues() -> Vec<(&'static str, Vec<u8>, &'static [u8])> {
    let open = |answers: &[&[u8]]| [answers.concat(), BEHIND.to_vec()].concat();
    vec![
        (
            "http://user:secret@a",
            open(&[b"HTTP/1.1 103 Hints\r\nA: b\r\n\r\n", b"HTTP/1.1 200 OK\r\nC: d\r\n\r\n"]),
            b"CONNECT peer:80 HTTP/1.1\r\nHost: peer:80\r\n\
              Proxy-Authorization: Basic dXNlcjpzZWNyZXQ=\r\n\r\n",
        ),
        (
            "socks5h://a",
            open(&[b"\x05\0", b"\x05\0\0\x03\x02hi\0\0"]),
            b"\x05\x01\0\x05\x01\0\x03\x04peer\0\x50",
        ),
        (
            "socks5h://user:secret@a",
            open(&[b"\x05\x02", b"\x01\0", b"\x05\0\0\x01\0\0\0\0\0\0"]),
            b"\x05\x02\0\x02\x01\x04user\x06secret\x05\x01\0\x03\x04peer\0\x50",
        ),
    ]
}

fn dialogue(url: &str) -> Dialogue {
    let proxy = Proxy::parse(url).expect("a URL");
    Dialogue::new(&proxy, &Destination::Name("peer".to_owned(), 80))
}

/// What a dialogue of these events comes to: what is behind it, and what was sent.
fn talk(url: &str, reads: &[Event], writes: &[Event]) -> Result<(Vec<u8>, Vec<u8>)> {
    let (mut conn, record) = conn(reads, writes, Limits::default());
    let mut dialogue = dialogue(url);
    finish(|| dialogue.step(conn.transport()))?;
    Ok((dialogue.rest().to_vec(), record.borrow().written.clone()))
}

#[test]
fn however_it_is_cut_it_is_the_same() {
    for (url, says, hears) in dialogues() {
        for at in 0..says.len() {
            let (rest, written) =
                talk(url, &cut(&says, &[at]), &[Take(1), Wait, Take(2)]).expect(url);
            assert_eq!(written, hears, "{url}");
            assert!(BEHIND.starts_with(&rest), "{url}");
            // What has come in one piece with the answer is there.
            assert!(at > 0 || rest == BEHIND);
        }
        let (rest, written) =
            talk(url, &cut(&says, &(0..says.len()).collect::<Vec<_>>()), &[]).expect(url);
        assert_eq!((rest, written.as_slice()), (Vec::new(), hears), "{url}");
    }
}

#[test]
fn an_end_anywhere_is_the_proxys() {
    for (url, says, hears) in dialogues() {
        for at in 0..says.len() - BEHIND.len() {
            for ending in [End, Fail("connection reset by peer")] {
                let error = talk(url, &[Bytes(says[..at].to_vec()), ending], &[]).expect_err(url);
                assert_eq!(error.code(), Code::Proxy);
                assert!(error.detail().ends_with(" instead of an answer"), "{error}");
                assert!(!error.to_string().contains("secret"));
            }
        }
        // Where nothing of the first request goes out.
        let error =
            talk(url, &[], &[Take(hears.len().min(2)), Fail("broken pipe")]).expect_err(url);
        assert_eq!(error.code(), Code::Proxy);
    }
}

#[test]
fn a_want_of_memory_that_passes_is_none_of_its_failures() {
    for (url, says, hears) in dialogues() {
        let reads = [Transient, Bytes(says[..1].to_vec()), Transient, Bytes(says[1..].to_vec())];
        let (mut conn, record) = conn(&reads, &[Transient, Take(1), Transient], Limits::default());
        let mut dialogue = dialogue(url);
        let mut failures = 0;
        loop {
            match dialogue.step(conn.transport()) {
                Ok(Step::Done(())) => break,
                Ok(Step::Wait(_)) => {}
                Err(error) => {
                    assert!(error.is_transient());
                    failures += 1;
                }
            }
        }
        assert_eq!((failures, dialogue.rest()), (4, BEHIND));
        assert_eq!(record.borrow().written, hears);
    }
}

#[test]
fn an_answer_has_16384_bytes_at_most() {
    let head = |size: usize| {
        let mut head = b"HTTP/1.1 200 OK\r\nA: ".to_vec();
        head.resize(size - 4, b'x');
        [&head, &b"\r\n\r\n"[..]].concat()
    };
    for (size, is_open) in [(16384, true), (16385, false)] {
        let answer = [head(size), BEHIND.to_vec()].concat();
        for cuts in [&[][..], &[1, 5000], &(0..size).step_by(100).collect::<Vec<_>>()] {
            assert_eq!(talk("http://a", &cut(&answer, cuts), &[]).is_ok(), is_open);
        }
    }
    let hints = b"HTTP/1.1 100 Continue\r\n\r\n".repeat(1000);
    let error = talk("http://a", &[Bytes(hints)], &[]).expect_err("it goes on and on");
    assert_eq!(error.detail(), "the proxy http://a:1080: an answer over 16384 bytes");
}

const LABEL: &str = "TLS to the proxy";

fn tunnel(reads: &[Event], writes: &[Event]) -> Tunnel {
    let mut tunnel = Tunnel::new(transport(reads, writes).0);
    tunnel.set_label(LABEL.to_owned());
    tunnel
}

fn read(tunnel: &mut Tunnel, room: usize) -> Vec<u8> {
    let mut into = Vec::with_capacity(room);
    let step = Transport::read(tunnel, &mut into).expect("no failure");
    assert!(matches!(step, Step::Done(count) if count == into.len()));
    into
}

#[test]
fn what_was_put_back_comes_first() {
    let mut tunnel = tunnel(&[Bytes(b"behind".to_vec())], &[]);
    tunnel.unread(b"first").expect("memory");
    assert_eq!(tunnel.pending(), 5);
    assert_eq!(read(&mut tunnel, 3), b"fir");
    let mut two = [0; 2];
    assert_eq!(Read::read(&mut tunnel, &mut two).expect("bytes"), 2);
    assert_eq!((&two, tunnel.pending()), (b"st", 0));
    assert_eq!(read(&mut tunnel, 100), b"behind");
}

#[test]
fn what_was_read_ahead_for_tls_is_pending() {
    let mut tunnel = tunnel(&[Bytes(b"abc".to_vec())], &[]);
    assert_eq!(Read::read(&mut tunnel, &mut [0]).expect("a byte"), 1);
    assert_eq!(tunnel.pending(), 2);
    assert_eq!(read(&mut tunnel, 100), b"bc");
    // The end of the stream.
    assert_eq!(Read::read(&mut tunnel, &mut [0]).expect("the end"), 0);
}

#[test]
fn tls_waits_as_the_transport_outside_does() {
    let mut tunnel = tunnel(&[Wait, Transient], &[Wait, Take(2)]);
    let waits = |result: std::io::Result<usize>, tunnel: &mut Tunnel| {
        assert_eq!(result.expect_err("a wait").kind(), ErrorKind::WouldBlock);
        tunnel.take_reason()
    };
    let result = Read::read(&mut tunnel, &mut [0]);
    assert!(matches!(waits(result, &mut tunnel), Some(tcp::Reason::Wait(_))));
    let result = Read::read(&mut tunnel, &mut [0]);
    assert!(matches!(waits(result, &mut tunnel), Some(tcp::Reason::Failed(_))));
    let result = Write::write(&mut tunnel, b"abc");
    assert!(matches!(waits(result, &mut tunnel), Some(tcp::Reason::Wait(_))));
    assert_eq!(Write::write(&mut tunnel, b"abc").expect("taken"), 2);
    assert!(tunnel.take_reason().is_none());
}

#[test]
fn an_operation_of_tls_makes_so_many_calls_and_then_yields() {
    let mut tunnel = tunnel(&vec![Bytes(vec![7]); 100], &[]);
    let mut count = 0;
    let late = loop {
        match Read::read(&mut tunnel, &mut [0]) {
            Ok(_) => count += 1,
            Err(error) => break error,
        }
    };
    assert_eq!((count, late.kind()), (32, ErrorKind::WouldBlock));
    let Some(tcp::Reason::Wait(wait)) = tunnel.take_reason() else { panic!("no wait") };
    assert!(wait.wake.has_passed());
    assert_eq!(Read::read(&mut tunnel, &mut [0]).expect("the next operation"), 1);
}

#[test]
fn a_failure_is_named_and_is_kept_for_the_tls_inside() {
    let failing = || tunnel(&[Fail("gone")], &[Fail("gone")]);
    let expected = (Code::Closed, "TLS to the proxy: gone".to_owned());
    let parts = |error: Error| (error.code(), error.detail().to_owned());
    let error = Transport::read(&mut failing(), &mut Vec::with_capacity(1)).expect_err("gone");
    assert_eq!(parts(error), expected);
    let error = Transport::write(&mut failing(), b"x").expect_err("gone");
    assert_eq!(parts(error), expected);
    let calls: [fn(&mut Tunnel) -> std::io::Result<usize>; 2] =
        [|tunnel| Read::read(tunnel, &mut [0]), |tunnel| Write::write(tunnel, b"x")];
    for call in calls {
        let mut tunnel = failing();
        assert_ne!(call(&mut tunnel).expect_err("gone").kind(), ErrorKind::WouldBlock);
        let Some(tcp::Reason::Broken(error)) = tunnel.take_reason() else { panic!("no failure") };
        assert_eq!(parts(error), expected);
    }
}
