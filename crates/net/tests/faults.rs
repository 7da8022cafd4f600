//! The connection over a transport that moves one byte at a time and fails at each point in turn:
//! nothing that came is lost, nothing is sent twice, and what a failure leaves is still of use.

mod support;

use net::error::{Code, Error, Result};
use net::framing::Endian;
use net::framing::text::Request;
use net::io::step::Step;
use net::stream::{Limits, Stream};
use support::Event::{Bytes, End, Fail, Take, Transient, Wait};
use support::{Event, conn, cut, finish};

const MAX: usize = 1000;

/// What is read from [`stream`], in this order.
const REQUESTS: [Request<'static>; 6] = [
    Request::Line { max: MAX, keep: false },
    Request::Until { delimiter: b";;", max: MAX },
    Request::Packet { max: MAX, endian: Endian::Big },
    Request::Json { max: MAX },
    Request::Exact { size: 5, max: MAX },
    Request::All { max: MAX },
];

fn stream() -> Vec<u8> {
    [&b"a line\r\nuntil;;\0\0\0\x04four{\"a\":[1,\"\xe2\x82\xac\"]}"[..], b"exactthe rest"].concat()
}

/// One byte at a time, with a wait after each, and then how it ends.
fn dripping(bytes: &[u8], ending: Event) -> Vec<Event> {
    let mut events = cut(bytes, &(0..bytes.len()).collect::<Vec<_>>());
    events.push(ending);
    events
}

/// Reads one item: the bytes that it takes off the stream.
fn take(conn: &mut Stream, request: Request<'_>) -> Result<Vec<u8>> {
    // What the item is made of, and what separates it from the next.
    let before = conn.traffic().read as usize - conn.pending();
    let Some(item) = finish(|| conn.step_find(request))? else { return Ok(Vec::new()) };
    conn.consume(item.size);
    let after = conn.traffic().read as usize - conn.pending();
    Ok(stream()[before..after].to_vec())
}

/// What is left, whatever it is.
fn drain(conn: &mut Stream) -> Vec<u8> {
    let mut rest = Vec::new();
    while let Ok(Some(item)) = finish(|| conn.step_find(Request::Available { max: 3 })) {
        rest.extend_from_slice(conn.text(&item));
        conn.consume(item.size);
    }
    rest
}

#[test]
fn a_read_that_fails_at_any_byte_loses_none() {
    let stream = stream();
    for at in 0..=stream.len() {
        let (mut conn, _) = conn(&dripping(&stream[..at], Fail("reset")), &[], Limits::default());
        let mut taken = Vec::new();
        let mut failures = 0;
        for request in REQUESTS {
            match take(&mut conn, request) {
                Ok(bytes) => taken.extend(bytes),
                Err(error) => {
                    // The same again, however often it is asked.
                    let again = take(&mut conn, request).expect_err("is over");
                    assert_eq!((error.code(), again.code()), (Code::Closed, Code::Closed));
                    failures += 1;
                    break;
                }
            }
        }
        assert_eq!(failures, 1, "at {at}");
        taken.extend(drain(&mut conn));
        assert_eq!(taken, stream[..at], "at {at}");
        assert_eq!(conn.traffic().read, at as u64);
    }
}

#[test]
fn a_read_that_fails_for_a_moment_at_any_byte_goes_on_there() {
    let stream = stream();
    for at in 0..=stream.len() {
        let mut events = dripping(&stream[..at], Transient);
        events.extend(dripping(&stream[at..], End));
        let (mut conn, _) = conn(&events, &[], Limits::default());
        let (mut taken, mut failures) = (Vec::new(), 0);
        for request in REQUESTS {
            let bytes = take(&mut conn, request).or_else(|error| {
                assert_eq!((error.code(), error.detail()), (Code::Io, "no buffer space available"));
                failures += 1;
                take(&mut conn, request)
            });
            taken.extend(bytes.expect("reads"));
        }
        assert_eq!((taken, failures), (stream.clone(), 1), "at {at}");
    }
}

#[test]
fn reads_of_one_byte_give_what_one_read_gives() {
    let stream = stream();
    for events in [dripping(&stream, End), vec![Bytes(stream.clone())]] {
        let (mut conn, _) = conn(&events, &[], Limits::default());
        let sizes = REQUESTS.map(|request| take(&mut conn, request).expect("reads").len());
        assert_eq!(sizes, [8, 7, 8, 15, 5, 8]);
    }
}

#[test]
fn a_skip_that_fails_at_any_byte_goes_no_further() {
    let packet = [&12_u32.to_be_bytes()[..], b"twelve bytes"].concat();
    for at in 0..packet.len() {
        let (mut conn, _) = conn(&dripping(&packet[..at], Fail("reset")), &[], Limits::default());
        for _ in 0..2 {
            let error = finish(|| conn.step_skip_packet()).expect_err("is cut short");
            assert_eq!(error.code(), Code::Closed, "at {at}");
        }
        // The header stays until it is whole.
        assert_eq!(conn.pending(), if at < 4 { at } else { 0 });
    }
}

/// Queues what is sent: the bytes that must arrive.
fn queue(conn: &mut Stream) -> Vec<u8> {
    conn.queue_bytes(&[b"one", b"", b"two"]).expect("fits");
    let body = |out: &mut Vec<u8>| {
        out.extend_from_slice(b"three");
        Ok::<_, Error>(())
    };
    conn.queue_packet(body).expect("fits");
    conn.queue_bytes(&[b"four"]).expect("fits");
    b"onetwo\0\0\0\x05threefour".to_vec()
}

#[test]
fn a_write_that_fails_at_any_byte_has_sent_those_before() {
    for at in 0..19 {
        let mut events = vec![Take(1); at];
        events.push(Fail("broken pipe"));
        let (mut conn, record) = conn(&[Bytes(b"bye\n".to_vec())], &events, Limits::default());
        let whole = queue(&mut conn);
        for _ in 0..2 {
            let error = finish(|| conn.step_flush()).expect_err("is broken");
            assert_eq!(error.code(), Code::Closed, "at {at}");
        }
        assert_eq!(record.borrow().written, whole[..at]);
        assert_eq!(record.borrow().writes, at + 1);
        assert_eq!(conn.traffic().written, at as u64);
        assert_eq!(conn.queue_bytes(&[b"more"]).expect_err("stays so").code(), Code::Closed);
        // Reading goes on.
        assert!(
            finish(|| conn.step_find(Request::Line { max: MAX, keep: false }))
                .expect("reads")
                .is_some()
        );
    }
}

#[test]
fn a_write_that_fails_for_a_moment_at_any_byte_goes_on_there() {
    for at in 0..19 {
        let mut events = vec![Take(1); at];
        events.push(Transient);
        let (mut conn, record) = conn(&[], &events, Limits::default());
        let whole = queue(&mut conn);
        assert_eq!(finish(|| conn.step_flush()).expect_err("fails once").code(), Code::Io);
        assert_eq!(record.borrow().written, whole[..at]);
        finish(|| conn.step_shutdown()).expect("is sent");
        assert_eq!(record.borrow().written, whole);
    }
}

#[test]
fn writes_of_one_byte_with_waits_send_all_once() {
    let events: Vec<_> = (0..19).flat_map(|_| [Wait, Take(1)]).collect();
    let (mut conn, record) = conn(&[], &events, Limits::default());
    let whole = queue(&mut conn);
    finish(|| conn.step_flush()).expect("is sent");
    assert_eq!(record.borrow().written, whole);
    assert!(matches!(conn.step_flush(), Ok(Step::Done(()))));
    assert_eq!(record.borrow().written, whole);
}
