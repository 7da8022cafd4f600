//! A copy from one connection to another, over transports that move few bytes at a time and fail at
//! each point in turn: every byte arrives once, and the count says how many were handed on.

mod support;

use net::error::{Code, Copied, CopySide, Result};
use net::framing::text::Request;
use net::stream::copy::step_copy;
use net::stream::{Limits, Stream};
use support::Event::{Bytes, End, Fail, Take, Transient, Wait};
use support::{conn, cut, finish};

const TEXT: &[u8] = b"what comes is handed on";

fn copy(from: &mut Stream, into: &mut Stream, most: u64, copied: &mut Copied) -> Result<()> {
    finish(|| step_copy(from, into, most, copied))
}

#[test]
fn every_byte_arrives_once_however_reads_and_writes_are_cut() {
    let drips: Vec<usize> = (0..TEXT.len()).collect();
    for cuts in [&drips[..], &[5], &[]] {
        for take in [1, 3, 1000] {
            let writes: Vec<_> = (0..2 * TEXT.len()).flat_map(|_| [Wait, Take(take)]).collect();
            let (mut from, _) = conn(&cut(TEXT, cuts), &[], Limits::default());
            let (mut into, record) = conn(&[], &writes, Limits::default());
            let mut copied = Copied::default();
            copy(&mut from, &mut into, u64::MAX, &mut copied).expect("copies");
            assert_eq!(copied.bytes, TEXT.len() as u64);
            assert_eq!((&*record.borrow().written, into.queued()), (TEXT, 0));
        }
    }
}

#[test]
fn it_stops_at_any_byte_and_leaves_what_is_behind() {
    for most in 0..=TEXT.len() {
        let (mut from, _) = conn(&[Bytes(TEXT.to_vec()), End], &[], Limits::default());
        let (mut into, record) = conn(&[], &[], Limits::default());
        let mut copied = Copied::default();
        copy(&mut from, &mut into, most as u64, &mut copied).expect("copies");
        assert_eq!((copied.bytes, &*record.borrow().written), (most as u64, &TEXT[..most]));
        let rest = finish(|| from.step_find(Request::All { max: 100 })).expect("reads");
        assert_eq!(rest.map_or(&b""[..], |item| from.text(&item)), &TEXT[most..]);
    }
}

#[test]
fn a_source_that_fails_at_any_byte_has_handed_on_those_before() {
    for at in 0..=TEXT.len() {
        let mut reads = cut(&TEXT[..at], &[]);
        reads.push(Fail("reset"));
        let (mut from, _) = conn(&reads, &[], Limits::default());
        let (mut into, record) = conn(&[], &[], Limits::default());
        let mut copied = Copied::default();
        let error = copy(&mut from, &mut into, u64::MAX, &mut copied).expect_err("is cut");
        assert_eq!((error.code(), error.detail()), (Code::Closed, "reset"));
        assert_eq!(copied, Copied { side: CopySide::Read, bytes: at as u64 });
        assert_eq!(record.borrow().written, TEXT[..at]);
    }
}

#[test]
fn a_sink_that_fails_at_any_byte_has_those_before() {
    for at in 0..TEXT.len() {
        let (mut from, _) = conn(&[Bytes(TEXT.to_vec()), End], &[], Limits::default());
        let (mut into, record) = conn(&[], &[Take(at), Wait, Fail("reset")], Limits::default());
        let mut copied = Copied::default();
        let error = copy(&mut from, &mut into, u64::MAX, &mut copied).expect_err("is cut");
        assert_eq!((error.code(), copied.side), (Code::Closed, CopySide::Write));
        assert_eq!(copied.bytes as usize, record.borrow().written.len() + into.queued());
        assert_eq!(record.borrow().written, TEXT[..at]);
    }
}

#[test]
fn what_fails_for_a_moment_goes_on_there() {
    let reads = [Bytes(TEXT[..7].to_vec()), Transient, Bytes(TEXT[7..].to_vec()), End];
    let (mut from, _) = conn(&reads, &[], Limits::default());
    let (mut into, record) = conn(&[], &[Take(2), Transient], Limits::default());
    let (mut copied, mut failures) = (Copied::default(), Vec::new());
    while let Err(error) = copy(&mut from, &mut into, u64::MAX, &mut copied) {
        assert_eq!(error.code(), Code::Io);
        failures.push(copied.side);
    }
    assert_eq!(failures, [CopySide::Write, CopySide::Read]);
    assert_eq!((copied.bytes, &*record.borrow().written), (TEXT.len() as u64, TEXT));
}

#[test]
fn no_more_is_taken_than_the_other_may_queue() {
    let limits = Limits { max_buffer: 4, ..Limits::default() };
    let (mut from, _) = conn(&[Bytes(TEXT.to_vec()), End], &[], Limits::default());
    let (mut into, record) = conn(&[], &[Wait, Take(1), Wait, Wait], limits);
    let mut copied = Copied::default();
    for _ in 0..3 {
        assert!(step_copy(&mut from, &mut into, u64::MAX, &mut copied).is_ok());
        assert!(into.queued() <= 4);
    }
    copy(&mut from, &mut into, u64::MAX, &mut copied).expect("copies");
    assert_eq!(record.borrow().written, TEXT);
}

#[test]
fn a_large_piece_changes_hands_and_is_not_copied() {
    let large = vec![7; 100_000];
    let (mut from, _) = conn(&[Bytes(large.clone()), End], &[], Limits::default());
    let (mut into, record) = conn(&[], &[], Limits::default());
    let mut copied = Copied::default();
    copy(&mut from, &mut into, u64::MAX, &mut copied).expect("copies");
    assert_eq!((copied.bytes, record.borrow().written.len()), (100_000, 100_000));
    // As many writes as reads that gave something.
    assert!(record.borrow().writes <= 2);
}
