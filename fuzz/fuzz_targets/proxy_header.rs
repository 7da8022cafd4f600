//! A connection that begins with arbitrary bytes, in arbitrary pieces. They are a header or not, as
//! early as this is known, however they are cut. The bytes behind the header can be read. A header
//! that is parsed and written again must mean the same.

#![no_main]

use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use libfuzzer_sys::fuzz_target;
use net::error::{Code, Result};
use net::io::step::{Step, Wait, Want};
use net::transport::proxied::Proxied;
use net::transport::proxy_header::{Parsed, Version, parse, write};
use net::transport::{Origin, Transport};
use tcp_fuzz::Bytes;

/// The longest header, in bytes.
const LONGEST: usize = 16 + 216 + 4096;

fuzz_target!(|bytes: &[u8]| {
    let mut bytes = Bytes(bytes);
    let count = usize::from(bytes.byte() % 16);
    let pieces = bytes.take(count).to_vec();
    let stream = bytes.0;
    let outcome = parse(stream);
    cut(stream, &outcome);
    if let Ok(Parsed::Whole { ends: Some(ends), .. }) = outcome {
        for version in [Version::One, Version::Two] {
            let header = write(version, Some(&ends));
            let size = header.len();
            assert!(version == Version::Two || size <= 104);
            assert_eq!(parse(&header).ok(), Some(Parsed::Whole { size, ends: Some(ends) }));
        }
    }
    carry(stream, &pieces, &outcome);
});

/// A part of the stream must give the same header, ask for more, or fail as all of it does.
fn cut(stream: &[u8], outcome: &Result<Parsed>) {
    for length in (0..stream.len().min(160)).chain([stream.len() / 2, stream.len()]) {
        match (parse(&stream[..length]), outcome) {
            (Ok(Parsed::Partial), Ok(Parsed::Whole { size, .. })) => assert!(length < *size),
            (Ok(Parsed::Partial), _) => assert!(length < LONGEST),
            (Ok(whole), Ok(parsed)) => assert_eq!(whole, *parsed),
            (Ok(whole), Err(_)) => panic!("{whole:?}, and then an error"),
            (Err(error), Err(_)) => assert_eq!(error.code(), Code::Proxy),
            (Err(error), Ok(_)) => panic!("{error}, and then none"),
        }
    }
}

/// The bare end of a socket pair.
struct Bare(UnixStream);

impl Transport for Bare {
    fn read(&mut self, into: &mut Vec<u8>) -> Result<Step<usize>> {
        let mut piece = [0; 4096];
        match self.0.read(&mut piece) {
            Ok(count) => {
                into.extend_from_slice(&piece[..count]);
                Ok(Step::Done(count))
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                Ok(Step::Wait(Wait::new(&self.0, Want::Read)))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn write(&mut self, _: &[u8]) -> Result<Step<usize>> {
        unreachable!("nothing is written");
    }

    fn shutdown(&mut self) -> Result<Step<()>> {
        unreachable!("nothing is ended");
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    fn pending(&self) -> usize {
        0
    }
}

fn carry(stream: &[u8], pieces: &[u8], outcome: &Result<Parsed>) {
    let (mut theirs, ours) = UnixStream::pair().expect("a pair of sockets");
    ours.set_nonblocking(true).expect("an option");
    let mut proxied = Proxied::new(Box::new(Bare(ours)), None);
    let mut read = Vec::new();
    let mut rest = stream;
    for &piece in pieces {
        let (now, later) = rest.split_at(usize::from(piece).min(rest.len()));
        theirs.write_all(now).expect("room");
        rest = later;
        let sent = stream.len() - rest.len();
        match (proxied.read(&mut read), parse(&stream[..sent])) {
            (Err(error), Err(_)) => assert_eq!(error.code(), Code::Proxy),
            (Ok(Step::Wait(_)), Ok(Parsed::Partial)) => {
                assert_eq!(proxied.origin(), Origin::Unknown);
            }
            (Ok(_), Ok(Parsed::Whole { .. })) => assert_ne!(proxied.origin(), Origin::Unknown),
            (step, parsed) => panic!("{step:?} of {parsed:?}"),
        }
    }
    theirs.write_all(rest).expect("room");
    drop(theirs);
    let end = loop {
        match proxied.read(&mut read) {
            Ok(Step::Done(0)) => break Ok(()),
            Ok(Step::Done(_)) => {}
            Ok(Step::Wait(wait)) => panic!("{wait:?} at the end of the stream"),
            Err(error) => break Err(error),
        }
    };
    match (end, outcome) {
        (Ok(()), Ok(Parsed::Whole { size, .. })) => assert_eq!(read, stream[*size..]),
        (Err(error), Ok(Parsed::Partial) | Err(_)) => {
            assert_eq!(error.code(), Code::Proxy);
            assert!(read.is_empty());
        }
        (end, outcome) => panic!("{end:?} of {outcome:?}"),
    }
}
