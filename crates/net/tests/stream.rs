//! The connection over a scripted transport: whatever way bytes are cut, nothing is lost, and every
//! system call is counted.

mod support;

use net::error::{Code, Error, Result};
use net::framing::Endian;
use net::framing::text::Request;
use net::io::step::Step;
use net::stream::{Limits, Stream};
use support::Event::{Bytes, End, Fail, Take, Transient, Wait};
use support::{Event, conn, cut, finish};

const PACKET: Request<'static> = Request::Packet { max: 1000, endian: Endian::Big };
const LINE: Request<'static> = Request::Line { max: 1000, keep: false };
const JSON: Request<'static> = Request::Json { max: 1000 };
const ALL: Request<'static> = Request::All { max: 1000 };

/// Reads one item to its end: its bytes, or none at a clean end.
fn read(conn: &mut Stream, request: Request<'_>) -> Result<Option<Vec<u8>>> {
    let Some(item) = finish(|| conn.step_find(request))? else { return Ok(None) };
    let bytes = conn.text(&item).to_vec();
    conn.consume(item.size);
    Ok(Some(bytes))
}

fn packet(body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32).to_be_bytes(), body].concat()
}

/// Every stream, cut once at every byte, gives the same items.
fn check_cuts(stream: &[u8], request: Request<'_>, items: &[&[u8]]) {
    for at in 0..=stream.len() {
        let (mut conn, _) = conn(&cut(stream, &[at]), &[], Limits::default());
        for item in items {
            assert_eq!(read(&mut conn, request).expect("reads").as_deref(), Some(*item), "at {at}");
        }
        assert_eq!(read(&mut conn, request).expect("ends"), None, "at {at}");
    }
    let every: Vec<_> = (0..stream.len()).collect();
    let (mut conn, _) = conn(&cut(stream, &every), &[], Limits::default());
    for item in items {
        assert_eq!(read(&mut conn, request).expect("reads").as_deref(), Some(*item));
    }
}

#[test]
fn items_are_the_same_however_the_stream_is_cut() {
    let packets = [packet(b"{}"), packet(b""), packet("\"\u{20ac}\"".as_bytes())].concat();
    check_cuts(&packets, PACKET, &[b"{}", b"", "\"\u{20ac}\"".as_bytes()]);
    check_cuts(b"one\ntwo\r\n\n\rx\r\nlast", LINE, &[b"one", b"two", b"", b"\rx", b"last"]);
    let values = " {\"a\":[1,\"\\u20ac\u{20ac}\"]}12 [] \"x\"\n";
    check_cuts(
        values.as_bytes(),
        JSON,
        &[" {\"a\":[1,\"\\u20ac\u{20ac}\"]}".as_bytes(), b"12", b" []", b" \"x\""],
    );
    let until = Request::Until { delimiter: b"\r\n.\r\n", max: 1000 };
    check_cuts(b"a\r\nb\r\n.\r\n\r\n.\r\n", until, &[b"a\r\nb", b""]);
}

#[test]
fn an_item_cut_short_is_closed_and_stays() {
    for (stream, request) in [
        (&b"\0\0"[..], PACKET),
        (&b"\0\0\0\x05abc"[..], PACKET),
        (&b"{\"a\":"[..], JSON),
        (&b"-"[..], JSON),
        (&b"abc"[..], Request::Exact { size: 5, max: 10 }),
        (&b"abc"[..], Request::Until { delimiter: b";", max: 10 }),
    ] {
        for ending in [End, Fail("connection reset by peer")] {
            let events = [Bytes(stream.to_vec()), Wait, ending.clone()];
            let (mut conn, _) = conn(&events, &[], Limits::default());
            let error = read(&mut conn, request).expect_err("is cut short");
            assert_eq!(error.code(), Code::Closed, "{request:?} {ending:?}");
            let again = read(&mut conn, request).expect_err("stays so");
            assert_eq!(error.detail(), again.detail());
            let rest = Request::Available { max: 1000 };
            assert_eq!(read(&mut conn, rest).expect("is kept").as_deref(), Some(stream));
        }
    }
}

#[test]
fn all_of_a_stream_that_was_reset_is_an_error_with_the_data_kept() {
    let (mut conn, _) = conn(&[Bytes(b"abc".to_vec()), Fail("reset")], &[], Limits::default());
    assert_eq!(read(&mut conn, ALL).expect_err("was reset").code(), Code::Closed);
    assert_eq!(conn.pending(), 3);
    let rest = Request::Available { max: 2 };
    assert_eq!(read(&mut conn, rest).expect("is kept").as_deref(), Some(&b"ab"[..]));
    assert_eq!(read(&mut conn, rest).expect("is kept").as_deref(), Some(&b"c"[..]));
    assert_eq!(read(&mut conn, rest).expect_err("is over").code(), Code::Closed);
}

#[test]
fn a_line_that_a_reset_ends_is_no_line() {
    let (mut conn, _) = conn(&[Bytes(b"abc".to_vec()), Fail("reset")], &[], Limits::default());
    assert_eq!(read(&mut conn, LINE).expect_err("was reset").code(), Code::Closed);
}

#[test]
fn limits_hold_before_more_is_read() {
    let header = 512_001_u32.to_be_bytes();
    let (mut peer, record) = conn(&[Bytes(header.to_vec())], &[], Limits::default());
    let request = Request::Packet { max: 512_000, endian: Endian::Big };
    for _ in 0..3 {
        let error = read(&mut peer, request).expect_err("is too large");
        assert_eq!(error.code(), Code::TooLarge);
    }
    assert_eq!(record.borrow().reads, 1);
    for (request, fits) in [
        (Request::Line { max: 3, keep: false }, &b"abc\r\n"[..]),
        (Request::Until { delimiter: b"--", max: 3 }, &b"abc--"[..]),
        (Request::All { max: 3 }, &b"abc"[..]),
    ] {
        let (mut peer, _) = conn(&cut(fits, &[1, 2, 3]), &[], Limits::default());
        assert_eq!(read(&mut peer, request).expect("fits").as_deref(), Some(&b"abc"[..]));
        let long = [b"x", fits].concat();
        let (mut peer, _) = conn(&cut(&long, &[1, 2, 3, 4]), &[], Limits::default());
        assert_eq!(read(&mut peer, request).expect_err("is over").code(), Code::TooLarge);
    }
}

#[test]
fn a_skipped_packet_is_gone_in_pieces_and_the_next_is_whole() {
    let stream = [packet(&[7; 300]), packet(b"next")].concat();
    for at in 0..=stream.len() {
        let (mut conn, _) = conn(&cut(&stream, &[at]), &[], Limits::default());
        assert_eq!(finish(|| conn.step_skip_packet()).expect("skips"), Some(300));
        assert_eq!(read(&mut conn, PACKET).expect("reads").as_deref(), Some(&b"next"[..]));
    }
}

#[test]
fn another_read_finishes_a_skip_first() {
    let stream = [packet(&[7; 300]), packet(b"next")].concat();
    let (mut conn, _) = conn(&cut(&stream, &[100, 200]), &[], Limits::default());
    assert!(matches!(conn.step_skip_packet(), Ok(Step::Wait(_))));
    assert_eq!(read(&mut conn, PACKET).expect("reads").as_deref(), Some(&b"next"[..]));
}

#[test]
fn one_packet_costs_one_write_and_one_read() {
    let body = vec![b'x'; 1000];
    let (mut peer, record) = conn(&[Bytes(packet(&body))], &[], Limits::default());
    peer.queue_packet(|out| {
        out.extend_from_slice(&body);
        Ok::<_, Error>(())
    })
    .expect("fits");
    finish(|| peer.step_flush()).expect("is sent");
    read(&mut peer, PACKET).expect("reads");
    assert_eq!((record.borrow().writes, record.borrow().reads), (1, 1));
    assert_eq!(record.borrow().written, packet(&body));
}

#[test]
fn packets_that_came_together_cost_one_read() {
    let stream = packet(b"12").repeat(100);
    let (mut conn, record) = conn(&[Bytes(stream)], &[], Limits::default());
    for _ in 0..100 {
        assert!(read(&mut conn, PACKET).expect("reads").is_some());
    }
    assert_eq!(record.borrow().reads, 1);
}

#[test]
fn strings_go_out_in_one_write() {
    let (mut conn, record) = conn(&[], &[], Limits::default());
    conn.queue_bytes(&[b"a", b"", b"bc"]).expect("fits");
    finish(|| conn.step_flush()).expect("is sent");
    assert_eq!(record.borrow().written, b"abc");
    assert_eq!(record.borrow().writes, 1);
}

#[test]
fn a_write_goes_on_in_order_wherever_it_stopped() {
    let queue = |conn: &mut Stream, body: &[u8]| {
        let fill = |out: &mut Vec<u8>| {
            out.extend_from_slice(body);
            Ok::<_, Error>(())
        };
        conn.queue_packet(fill).expect("fits");
    };
    let whole = [packet(b"first"), packet(b"second")].concat();
    for at in 0..packet(b"first").len() {
        let (mut conn, record) = conn(&[], &[Take(at.max(1)), Wait], Limits::default());
        queue(&mut conn, b"first");
        if let Step::Wait(wait) = conn.step_flush().expect("goes on") {
            assert_eq!(wait.want, net::io::step::Want::Write);
        }
        queue(&mut conn, b"second");
        finish(|| conn.step_flush()).expect("is sent");
        assert_eq!(record.borrow().written, whole);
        assert_eq!(conn.traffic().written, whole.len() as u64);
    }
}

#[test]
fn what_cannot_be_made_is_not_queued() {
    let (mut conn, record) = conn(&[], &[], Limits { max_packet: 5, ..Limits::default() });
    let failing = conn.queue_packet(|out| {
        out.extend_from_slice(b"half");
        Err(Error::new(Code::Json, "no JSON form"))
    });
    assert_eq!(failing.expect_err("fails").code(), Code::Json);
    let large = conn.queue_packet(|out| {
        out.extend_from_slice(b"longer");
        Ok::<_, Error>(())
    });
    assert_eq!(large.expect_err("is too large").code(), Code::TooLarge);
    conn.queue_bytes(&[b"ok"]).expect("fits");
    finish(|| conn.step_flush()).expect("is sent");
    assert_eq!(record.borrow().written, b"ok");
}

#[test]
fn a_queue_over_its_limit_takes_nothing() {
    let limits = Limits { max_buffer: 10, ..Limits::default() };
    let (mut conn, record) = conn(&[], &[Wait], limits);
    conn.queue_bytes(&[b"12345678"]).expect("fits");
    assert!(matches!(conn.step_flush(), Ok(Step::Wait(_))));
    assert_eq!(conn.queue_bytes(&[b"abc"]).expect_err("is over").code(), Code::TooLarge);
    finish(|| conn.step_flush()).expect("is sent");
    assert_eq!(record.borrow().written, b"12345678");
}

#[test]
fn what_fails_for_a_moment_is_news_for_a_reader() {
    let (mut conn, _) = conn(&[Transient, Wait], &[], Limits::default());
    assert!(conn.is_readable());
    assert!(!conn.is_readable());
}

#[test]
fn a_broken_pipe_stays_broken_and_leaves_reading_alone() {
    let (mut conn, _) =
        conn(&[Bytes(b"bye\n".to_vec())], &[Fail("broken pipe")], Limits::default());
    conn.queue_bytes(&[b"x"]).expect("is queued");
    assert_eq!(finish(|| conn.step_flush()).expect_err("is broken").code(), Code::Closed);
    assert_eq!(conn.queue_bytes(&[b"y"]).expect_err("stays so").detail(), "broken pipe");
    assert_eq!(read(&mut conn, LINE).expect("reads").as_deref(), Some(&b"bye"[..]));
}

#[test]
fn a_peer_that_never_stops_leaves_room_for_the_clock() {
    let flood: Vec<Event> = (0..100).map(|_| Bytes(vec![b'x'; 10])).collect();
    let (mut conn, record) = conn(&flood, &[], Limits::default());
    let request = Request::Exact { size: 990, max: 1000 };
    assert!(matches!(conn.step_find(request), Ok(Step::Wait(wait)) if wait.wake.has_passed()));
    assert!(record.borrow().reads < 50);
    assert_eq!(read(&mut conn, request).expect("reads").map(|bytes| bytes.len()), Some(990));
}

#[test]
fn each_byte_is_searched_once() {
    // Quadratic work would take minutes.
    let line = [vec![b'x'; 200_000], b"\n".to_vec()].concat();
    let events: Vec<Event> = line.iter().flat_map(|byte| [Bytes(vec![*byte]), Wait]).collect();
    let (mut conn, _) = conn(&events, &[], Limits::default());
    let mut steps = 0;
    loop {
        steps += 1;
        match conn.step_find(Request::Line { max: 1 << 20, keep: false }).expect("reads") {
            Step::Done(item) => break assert_eq!(item.map(|item| item.size), Some(200_001)),
            Step::Wait(_) => assert!(steps < 500_000),
        }
    }
}

#[test]
fn a_shutdown_sends_what_is_queued_and_happens_once() {
    let (mut conn, record) =
        conn(&[Bytes(b"late\n".to_vec())], &[Take(1), Wait], Limits::default());
    conn.queue_bytes(&[b"abc"]).expect("fits");
    finish(|| conn.step_shutdown()).expect("shuts down");
    assert_eq!(record.borrow().written, b"abc");
    finish(|| conn.step_shutdown()).expect("is shut down");
    assert_eq!(record.borrow().shutdowns, 1);
    assert_eq!(conn.queue_bytes(&[b"x"]).expect_err("is over").code(), Code::Closed);
    assert_eq!(read(&mut conn, LINE).expect("goes on").as_deref(), Some(&b"late"[..]));
}

#[test]
fn a_shutdown_after_a_failed_write_is_that_failure() {
    let (mut conn, record) = conn(&[], &[Fail("broken pipe")], Limits::default());
    conn.queue_bytes(&[b"abc"]).expect("fits");
    assert_eq!(finish(|| conn.step_shutdown()).expect_err("is broken").detail(), "broken pipe");
    assert_eq!(record.borrow().shutdowns, 0);
}

#[test]
fn what_can_be_read_is_looked_for_once_and_kept() {
    let events = [Wait, Bytes(b"ab".to_vec()), Fail("reset")];
    let (mut conn, record) = conn(&events, &[], Limits::default());
    assert!(!conn.is_readable());
    assert!(conn.is_readable());
    assert!(conn.is_readable());
    assert_eq!(record.borrow().reads, 2);
    let two = Request::Exact { size: 2, max: 2 };
    assert_eq!(read(&mut conn, two).expect("is there").as_deref(), Some(&b"ab"[..]));
    assert!(conn.is_readable());
    assert_eq!(read(&mut conn, LINE).expect_err("was reset").detail(), "reset");
}

#[test]
fn plaintext_before_an_upgrade_is_refused() {
    let (mut conn, _) = conn(&[Bytes(b"220 go\r\nINJECTED".to_vec())], &[], Limits::default());
    assert_eq!(read(&mut conn, LINE).expect("reads").as_deref(), Some(&b"220 go"[..]));
    assert_eq!(conn.check_bare().expect_err("is refused").code(), Code::Tls);
}

#[test]
fn the_limit_of_a_json_value_does_not_depend_on_the_cuts() {
    for (stream, max, code) in [
        (&b"   [1]"[..], 5, Some(Code::TooLarge)),
        (&b"   [1]"[..], 6, None),
        (&b"        "[..], 5, Some(Code::TooLarge)),
        (&b"[1,2,3,x"[..], 5, Some(Code::TooLarge)),
        (&b"[1,x,2,3"[..], 5, Some(Code::Json)),
    ] {
        for at in 0..=stream.len() {
            let (mut conn, _) = conn(&cut(stream, &[at]), &[], Limits::default());
            let result = read(&mut conn, Request::Json { max });
            assert_eq!(result.err().map(|error| error.code()), code, "{stream:?} cut at {at}");
        }
    }
}

#[test]
fn a_write_that_fails_ends_reading_behind_what_came() {
    let came = || Bytes(b"ab\ncd".to_vec());
    for reads in
        [vec![came(), End], vec![came(), Wait, Fail("end of stream")], vec![came(), Wait, End]]
    {
        let (mut conn, _) = conn(&reads, &[Take(1), Fail("reset")], Limits::default());
        conn.queue_bytes(&[b"xyz"]).expect("queued");
        assert_eq!(finish(|| conn.step_flush()).expect_err("fails").detail(), "reset");
        assert_eq!(read(&mut conn, LINE).expect("came").as_deref(), Some(&b"ab"[..]));
        for _ in 0..2 {
            assert_eq!(read(&mut conn, LINE).expect_err("is lost").detail(), "reset");
        }
        let rest = Request::Available { max: 1000 };
        assert_eq!(read(&mut conn, rest).expect("is kept").as_deref(), Some(&b"cd"[..]));
        assert_eq!(read(&mut conn, ALL).expect_err("is lost").detail(), "reset");
    }
}

#[test]
fn a_write_that_fails_at_this_moment_leaves_the_end_as_it_is() {
    let (mut conn, _) = conn(&[Bytes(b"ab".to_vec()), End], &[Transient], Limits::default());
    conn.queue_bytes(&[b"xyz"]).expect("queued");
    assert!(finish(|| conn.step_flush()).expect_err("fails").is_transient());
    finish(|| conn.step_flush()).expect("sent");
    assert_eq!(read(&mut conn, ALL).expect("all").as_deref(), Some(&b"ab"[..]));
    assert_eq!(read(&mut conn, LINE).expect("ends"), None);
}
