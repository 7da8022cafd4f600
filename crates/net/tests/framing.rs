//! Every framing and every pattern over a scripted transport: however the bytes are cut, the same
//! packets and matches come, and what fails loses nothing.

mod support;

use std::rc::Rc;
use std::time::Instant;

use net::error::{Code, Error, Result};
use net::framing::pattern::{Capture, Pattern};
use net::framing::text::Request;
use net::framing::{Endian, Few, Framing, Length};
use net::io::step::Step;
use net::stream::{Limits, Stream};
use support::Event::{Bytes, End, Fail, Take, Transient, Wait};
use support::{conn, cut, finish};

fn few(bytes: &[u8]) -> Few {
    Few::new(bytes).expect("is short")
}

fn field(size: usize, offset: usize, adjustment: i64, prefix: &[u8]) -> Framing {
    Framing::Length(Length { size, offset, adjustment, prefix: few(prefix) })
}

/// Each framing, the header of its packets, and whether an empty body can be.
fn framings() -> Vec<(Framing, &'static [u8])> {
    vec![
        (Framing::Plain, b""),
        (field(1, 0, 0, b""), b""),
        (field(2, 0, 0, b""), b""),
        (field(3, 0, 0, b""), b""),
        (field(8, 0, 0, b""), b""),
        (field(4, 1, -4, b""), b"Q"),
        (field(2, 4, 0, b""), b"\x12\x34\0\0"),
        (field(8, 5, 0, b"ZBXD\x01"), b""),
        (field(3, 4, 0, b"AB"), b"xy"),
        (Framing::Varint, b""),
        (Framing::Netstring, b""),
        (Framing::Delimiter(few(b"\0")), b""),
        (Framing::Delimiter(few(b"\r\n.\r\n")), b""),
    ]
}

fn limits(framing: Framing, endian: Endian) -> Limits {
    Limits { framing, endian, ..Limits::default() }
}

/// What a connection with this framing writes for these bodies.
fn wire(limits: Limits, header: &[u8], bodies: &[&[u8]]) -> Vec<u8> {
    let (mut conn, record) = conn(&[], &[Take(1), Wait], limits);
    for body in bodies {
        conn.queue_packet_bytes(header, body).expect("fits");
    }
    finish(|| conn.step_flush()).expect("is sent");
    record.borrow().written.clone()
}

/// Reads one packet to its end: its header and body, or none at a clean end.
fn read(conn: &mut Stream) -> Result<Option<(Vec<u8>, Vec<u8>)>> {
    let Some(item) = finish(|| conn.step_find_packet())? else { return Ok(None) };
    let header = conn.header(&item).unwrap_or_default().to_vec();
    let body = conn.text(&item).to_vec();
    conn.consume(item.size);
    Ok(Some((header, body)))
}

fn rest(conn: &mut Stream) -> Vec<u8> {
    let request = Request::All { max: 1 << 20 };
    let Ok(Some(item)) = finish(|| conn.step_find(request)) else { return Vec::new() };
    let bytes = conn.text(&item).to_vec();
    conn.consume(item.size);
    bytes
}

const BODIES: [&[u8]; 4] = [b"hello", b"", b"\r\n.\rx", &[7; 200]];

#[test]
fn packets_are_the_same_however_the_stream_is_cut() {
    for (framing, header) in framings() {
        for endian in [Endian::Big, Endian::Little] {
            let limits = limits(framing, endian);
            let stream = wire(limits, header, &BODIES);
            let every: Vec<_> = (0..stream.len()).collect();
            let cuts = (0..=stream.len()).map(|at| vec![at]).chain([every]);
            for cuts in cuts {
                let (mut conn, _) = conn(&cut(&stream, &cuts), &[], limits);
                for body in BODIES {
                    let packet = read(&mut conn).expect("reads").expect("is there");
                    assert_eq!(packet, (header.to_vec(), body.to_vec()), "{framing:?} {cuts:?}");
                }
                assert_eq!(read(&mut conn).expect("ends"), None, "{framing:?} {cuts:?}");
            }
        }
    }
}

#[test]
fn a_packet_cut_short_is_closed_and_stays() {
    for (framing, header) in framings() {
        let limits = limits(framing, Endian::Big);
        let stream = wire(limits, header, &[b"hello"]);
        for at in 1..stream.len() {
            for ending in [End, Fail("connection reset by peer")] {
                let events = [Bytes(stream[..at].to_vec()), Wait, Transient, ending];
                let (mut conn, _) = conn(&events, &[], limits);
                let first = conn.step_find_packet();
                assert!(matches!(first, Ok(Step::Wait(_))), "{framing:?} at {at}");
                assert!(read(&mut conn).expect_err("fails").is_transient());
                for _ in 0..2 {
                    let error = read(&mut conn).expect_err("is cut short");
                    assert_eq!(error.code(), Code::Closed, "{framing:?} at {at}");
                }
                let available = Request::Available { max: 1 << 20 };
                let item = finish(|| conn.step_find(available)).expect("is kept");
                assert_eq!(item.map(|item| item.size), Some(at));
            }
        }
    }
}

#[test]
fn a_skipped_packet_is_gone_in_pieces_and_the_next_is_whole() {
    for (framing, header) in framings() {
        let limits = limits(framing, Endian::Big);
        let stream = wire(limits, header, &[&[9; 200], b"", b"next"]);
        let every: Vec<_> = (0..stream.len()).collect();
        for cuts in (0..=stream.len()).map(|at| vec![at]).chain([every]) {
            let (mut conn, _) = conn(&cut(&stream, &cuts), &[], limits);
            for length in [200, 0] {
                let skipped = finish(|| conn.step_skip_packet()).expect("skips");
                assert_eq!(skipped, Some(length), "{framing:?} {cuts:?}");
            }
            let packet = read(&mut conn).expect("reads").expect("is there");
            assert_eq!(packet.1, b"next", "{framing:?} {cuts:?}");
            assert_eq!(finish(|| conn.step_skip_packet()).expect("ends"), None);
        }
    }
}

#[test]
fn another_read_finishes_a_skip_first_and_what_can_be_read_is_counted_without_it() {
    for (framing, header) in framings() {
        let limits = limits(framing, Endian::Big);
        let stream = wire(limits, header, &[&[9; 200], b"next"]);
        let next = wire(limits, header, &[b"next"]);
        for at in 0..stream.len() {
            let (mut conn, _) = conn(&cut(&stream, &[at]), &[], limits);
            let is_begun = matches!(conn.step_skip_packet(), Ok(Step::Done(_)));
            let skipped = stream.len() - next.len();
            if !is_begun && conn.traffic().read as usize == at && at >= 13 {
                assert_eq!(conn.pending(), at.saturating_sub(skipped), "{framing:?} at {at}");
            }
            if is_begun || at >= 13 {
                let packet = read(&mut conn).expect("reads").expect("is there");
                assert_eq!(packet.1, b"next", "{framing:?} at {at}");
            }
        }
    }
}

#[test]
fn a_body_over_the_limit_is_refused_before_it_is_gathered() {
    for (framing, header) in framings() {
        let small = Limits { max_packet: 5, ..limits(framing, Endian::Big) };
        let (mut writer, record) = conn(&[], &[], small);
        assert_eq!(
            writer.queue_packet_bytes(header, b"longer").expect_err("is over").code(),
            Code::TooLarge
        );
        writer.queue_packet_bytes(header, b"short").expect("fits");
        finish(|| writer.step_flush()).expect("is sent");
        let short = record.borrow().written.clone();

        let long = wire(limits(framing, Endian::Big), header, &[&[b'x'; 100]]);
        for at in 0..=long.len() {
            let stream = [&short[..], &long[..], &short[..]].concat();
            let (mut conn, _) = conn(&cut(&stream, &[short.len() + at]), &[], small);
            assert_eq!(read(&mut conn).expect("fits").expect("is there").1, b"short");
            for _ in 0..2 {
                let error = read(&mut conn).expect_err("is over");
                assert_eq!(error.code(), Code::TooLarge, "{framing:?}");
                assert!(error.detail().contains("(max_packet)"), "{error}");
            }
            assert_eq!(finish(|| conn.step_skip_packet()).expect("skips"), Some(100));
            assert_eq!(read(&mut conn).expect("fits").expect("is there").1, b"short");
        }
    }
}

#[test]
fn a_malformed_length_is_unexpected_and_stays() {
    for (framing, stream) in [
        (field(4, 1, -4, b""), &b"Q\0\0\0\x03rest"[..]),
        (field(4, 5, 0, b"ZBXD\x01"), b"ZBXD\x02\0\0\0\0"),
        (field(4, 5, 0, b"ZBXD\x01"), b"GET / HTTP/1.1\r\n"),
        (Framing::Varint, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xffrest"),
        (Framing::Varint, b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x02rest"),
        (Framing::Netstring, b"012:hello world!,"),
        (Framing::Netstring, b":x,"),
        (Framing::Netstring, b"-1:x,"),
        (Framing::Netstring, b"3:abcd,"),
        (Framing::Netstring, b"GET / HTTP/1.1\r\n"),
        (Framing::Netstring, b"99999999999999999999:"),
    ] {
        for at in 0..=stream.len() {
            let limits = limits(framing, Endian::Big);
            let (mut conn, _) = conn(&cut(stream, &[at]), &[], limits);
            for _ in 0..2 {
                let error = read(&mut conn).expect_err("is malformed");
                assert_eq!(error.code(), Code::Unexpected, "{framing:?} {stream:?} at {at}");
            }
            assert_eq!(rest(&mut conn), stream);
        }
    }
}

#[test]
fn a_skipped_netstring_without_its_comma_is_told_once() {
    let stream = b"3:abcd2:ok,";
    for at in 0..=stream.len() {
        let limits = limits(Framing::Netstring, Endian::Big);
        let (mut conn, _) = conn(&cut(stream, &[at]), &[], limits);
        let error = finish(|| conn.step_skip_packet()).expect_err("is malformed");
        assert_eq!(error.code(), Code::Unexpected);
        assert_eq!(rest(&mut conn), b"d2:ok,");
    }
}

#[test]
fn absurd_lengths_take_no_memory() {
    for (framing, head) in [
        (Framing::Plain, &b"\xff\xff\xff\xff"[..]),
        (field(8, 0, 0, b""), &[0xff; 8]),
        (field(8, 0, i64::from(u32::MAX), b""), b"\xff\xff\xff\xfe\0\0\0\0"),
        (Framing::Varint, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
        (Framing::Netstring, b"18446744073709551615:"),
    ] {
        let (mut conn, record) =
            conn(&[Bytes(head.to_vec()), Wait], &[], limits(framing, Endian::Big));
        assert_eq!(read(&mut conn).expect_err("is absurd").code(), Code::TooLarge, "{framing:?}");
        assert_eq!(record.borrow().reads, 1);
        assert!(matches!(conn.step_skip_packet(), Ok(Step::Wait(_))));
        assert_eq!(conn.pending(), 0);
    }
}

#[test]
fn what_a_framing_cannot_say_is_not_queued() {
    let unfit = |framing, header: &[u8], body: &[u8]| {
        let (mut conn, record) = conn(&[], &[], limits(framing, Endian::Big));
        let error: Error = conn.queue_packet_bytes(header, body).expect_err("cannot be said");
        finish(|| conn.step_flush()).expect("nothing is queued");
        assert_eq!(record.borrow().written, b"");
        (error.code(), error.unfit_argument())
    };
    assert_eq!(unfit(field(1, 0, 0, b""), b"", &[0; 256]).0, Code::TooLarge);
    assert_eq!(unfit(field(2, 0, -4, b""), b"", &[0; 65_532]).0, Code::TooLarge);
    assert_eq!(unfit(field(4, 0, 4, b""), b"", b"abc").1, Some(1));
    assert_eq!(unfit(field(4, 1, 0, b""), b"", b"abc").1, Some(2));
    assert_eq!(unfit(Framing::Plain, b"x", b"abc").1, Some(2));
    assert_eq!(unfit(Framing::Varint, b"x", b"abc").1, Some(2));
    assert_eq!(unfit(Framing::Delimiter(few(b"\0")), b"", b"a\0b").1, Some(1));
    assert_eq!(unfit(Framing::Delimiter(few(b"aa")), b"", b"xa").1, Some(1));
}

#[test]
fn bytes_are_skipped_in_pieces_and_a_call_for_as_many_goes_on() {
    let stream: Vec<u8> = (0..=255).collect();
    for at in 0..=stream.len() {
        let (mut conn, _) = conn(&cut(&stream, &[at]), &[], Limits::default());
        finish(|| conn.step_skip(100)).expect("skips");
        finish(|| conn.step_skip(0)).expect("skips");
        assert_eq!(rest(&mut conn), &stream[100..], "at {at}");
    }
    let (mut conn, _) = conn(&cut(&stream, &[50]), &[], Limits::default());
    assert!(matches!(conn.step_skip(100), Ok(Step::Wait(_))));
    finish(|| conn.step_skip(10)).expect("skips");
    assert_eq!(rest(&mut conn), &stream[110..], "the first one was finished");
    let events = [Bytes(b"abc".to_vec()), End];
    let (mut conn, _) = support::conn(&events, &[], Limits::default());
    for _ in 0..2 {
        assert_eq!(finish(|| conn.step_skip(4)).expect_err("is cut short").code(), Code::Closed);
    }
    assert_eq!(finish(|| conn.step_find(Request::Available { max: 1 })).expect("ends"), None);
}

fn pattern(source: &str) -> Rc<Pattern> {
    Pattern::compile(source.as_bytes()).expect("is a pattern")
}

#[test]
fn a_match_is_the_same_however_its_bytes_are_cut() {
    let stream = b"250-mail.example.com\r\n250-SIZE 1000\r\n250 HELP\r\nnext";
    let reply = pattern("^(%d%d%d)-?([^\r\n]*)\r?\n");
    let last = pattern("()(%d%d%d) ([^\r\n]*)\r?\n");
    let every: Vec<_> = (0..stream.len()).collect();
    for cuts in (0..=stream.len()).map(|at| vec![at]).chain([every]) {
        let (mut conn, _) = conn(&cut(stream, &cuts), &[], Limits::default());
        let request = Request::Match { pattern: &reply, reject: None, max: 1000 };
        let item = finish(|| conn.step_find(request)).expect("matches").expect("is there");
        assert_eq!(conn.text(&item), b"250-mail.example.com\r\n");
        assert_eq!(conn.captures(), [Capture::Text(0..3), Capture::Text(4..20)]);
        conn.consume(item.size);
        let request = Request::Match { pattern: &last, reject: None, max: 1000 };
        let item = finish(|| conn.step_find(request)).expect("matches").expect("is there");
        let texts = [Capture::Text(15..18), Capture::Text(19..23)];
        assert_eq!(conn.captures()[0], Capture::Position(15));
        assert_eq!(conn.captures()[1..], texts);
        conn.consume(item.size);
        assert_eq!(rest(&mut conn), b"next");
    }
}

#[test]
fn of_two_matches_the_one_that_begins_first_counts() {
    let (ok, bad) = (pattern("^220 [^\n]*\n"), pattern("[45]%d%d"));
    for (stream, code) in [
        (&b"220 ready 500\n"[..], None),
        (b"554 no 220 \n", Some(Code::Unexpected)),
        (b"waiting for 450", Some(Code::Unexpected)),
        (b"xxxxxxxxxxxxxxxxxxxxx", Some(Code::TooLarge)),
        (b"xxxxx", Some(Code::Closed)),
    ] {
        let (mut conn, _) = conn(&[Bytes(stream.to_vec()), End], &[], Limits::default());
        let request = Request::Match { pattern: &ok, reject: Some(&bad), max: 20 };
        let found = finish(|| conn.step_find(request));
        assert_eq!(found.as_ref().err().map(Error::code), code, "{stream:?}");
        if code.is_some() {
            assert_eq!(rest(&mut conn), stream, "nothing is consumed");
        }
    }
}

#[test]
fn an_end_is_that_of_what_has_come() {
    let prompt = pattern("([%w]+)[$#] $");
    let events = [Bytes(b"root# ls\nboot\nroot".to_vec()), Wait, Bytes(b"# ".to_vec()), End];
    let (mut conn, _) = conn(&events, &[], Limits::default());
    let request = Request::Match { pattern: &prompt, reject: None, max: 1000 };
    assert!(matches!(conn.step_find(request), Ok(Step::Wait(_))));
    let item = finish(|| conn.step_find(request)).expect("matches").expect("is there");
    assert_eq!((conn.text(&item), item.size), (&b"root# "[..], 20));
}

#[test]
fn time_is_linear_in_what_drips() {
    let text = vec![b'a'; 65_536];
    for source in
        [".-.-.-x", ".*.*.*x", "a-a-a-a-a-a-a-b", "[^b]*[^c]*[^d]*$d", ".-.-.-.-.-.-.-.-xy"]
    {
        let wanted = pattern(source);
        let events: Vec<_> = text.iter().flat_map(|byte| [Bytes(vec![*byte]), Wait]).collect();
        let (mut conn, _) = conn(&events, &[], Limits::default());
        let request = Request::Match { pattern: &wanted, reject: None, max: 70_000 };
        let began = Instant::now();
        loop {
            match conn.step_find(request) {
                Ok(Step::Wait(_)) => {}
                Ok(Step::Done(item)) => panic!("{source}: {item:?}"),
                Err(error) => break assert_eq!(error.code(), Code::Closed),
            }
        }
        let took = began.elapsed().as_secs_f64();
        println!("{source}: {took:.3} s");
        assert!(took < 2.0, "{source}: {took} s");
    }
}
