//! Each framing and each pattern, on bytes that come in arbitrary pieces. Bodies that are written
//! come back as they were. Packets of hostile bytes are the same in one piece and in many, or fail
//! and stay; a skip passes what a read would give. A pattern matches in what drips where it matches
//! in the whole.

#![no_main]

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::PipeReader;
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;

use libfuzzer_sys::fuzz_target;
use net::error::{Code, Result};
use net::framing::pattern::Pattern;
use net::framing::text::Request;
use net::framing::{Endian, Few, Framing, Length};
use net::io::step::{Step, Wait, Want};
use net::stream::{Limits, Stream};
use net::transport::Transport;
use tcp_fuzz::Bytes;

fuzz_target!(|bytes: &[u8]| {
    let mut bytes = Bytes(bytes);
    let limits = Limits {
        max_packet: [5, 300, 70_000][usize::from(bytes.byte()) % 3],
        max_buffer: 1 << 20,
        endian: if bytes.byte() & 1 == 0 { Endian::Big } else { Endian::Little },
        framing: framing(&mut bytes),
    };
    let cuts = usize::from(bytes.byte());
    let cuts = bytes.take(cuts).to_vec();
    match bytes.byte() & 3 {
        0 => round_trip(limits, &cuts, &mut bytes),
        1 | 2 => hostile(limits, &cuts, bytes.0),
        _ => pattern(&cuts, &mut bytes),
    }
});

fn framing(bytes: &mut Bytes<'_>) -> Framing {
    match bytes.byte() % 6 {
        0 => Framing::Plain,
        1 => Framing::Varint,
        2 => Framing::Netstring,
        3 => {
            let size = usize::from(bytes.byte()) % 16 + 1;
            let delimiter = Few::new(bytes.take(size)).expect("is short");
            if delimiter.bytes().is_empty() { Framing::Varint } else { Framing::Delimiter(delimiter) }
        }
        _ => {
            let size = [1, 2, 3, 4, 8][usize::from(bytes.byte()) % 5];
            let prefix = usize::from(bytes.byte()) % 5;
            let prefix = Few::new(bytes.take(prefix)).expect("is short");
            let offset = prefix.bytes().len() + usize::from(bytes.byte()) % 4;
            let adjustment = i64::from(bytes.byte() as i8);
            Framing::Length(Length { size, offset, adjustment, prefix })
        }
    }
}

/// Bytes that come in pieces of these sizes, with a wait between any two.
struct Script {
    cuts: VecDeque<u8>,
    waits: bool,
    stream: VecDeque<u8>,
    written: Rc<RefCell<Vec<u8>>>,
    fd: PipeReader,
}

thread_local! {
    static FD: PipeReader = std::io::pipe().expect("a pipe").0;
}

fn connect(limits: Limits, cuts: &[u8], stream: &[u8]) -> (Stream, Rc<RefCell<Vec<u8>>>) {
    let written = Rc::new(RefCell::default());
    let script = Script {
        cuts: cuts.iter().copied().collect(),
        waits: true,
        stream: stream.iter().copied().collect(),
        written: Rc::clone(&written),
        fd: FD.with(|fd| fd.try_clone().expect("a descriptor")),
    };
    (Stream::new(Box::new(script), limits), written)
}

impl Transport for Script {
    fn read(&mut self, into: &mut Vec<u8>) -> Result<Step<usize>> {
        let waits = self.waits;
        self.waits = !waits;
        if waits {
            return Ok(Step::Wait(Wait::new(&self.fd, Want::Read)));
        }
        let size = self.cuts.pop_front().map_or(usize::MAX, |cut| usize::from(cut) + 1);
        let size = size.min(into.capacity() - into.len()).min(self.stream.len());
        into.extend(self.stream.drain(..size));
        Ok(Step::Done(size))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<Step<usize>> {
        self.written.borrow_mut().extend_from_slice(bytes);
        Ok(Step::Done(bytes.len()))
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

/// Makes a step until it is done. Each of its waits is one of the script's.
fn finish<T>(mut step: impl FnMut() -> Result<Step<T>>) -> Result<T> {
    for _ in 0..2000 {
        if let Step::Done(value) = step()? {
            return Ok(value);
        }
    }
    panic!("a step that is never done");
}

fn header_size(framing: &Framing) -> usize {
    match framing {
        Framing::Length(length) => length.header_size(),
        _ => 0,
    }
}

/// What a read of a packet comes to: header and body, the end, or a failure.
type Outcome = std::result::Result<Option<(Vec<u8>, Vec<u8>)>, Code>;

fn read(conn: &mut Stream) -> Outcome {
    let Some(item) = finish(|| conn.step_find_packet()).map_err(|error| error.code())? else {
        return Ok(None);
    };
    let again = finish(|| conn.step_find_packet()).expect("is there");
    assert_eq!(again.as_ref(), Some(&item), "it stays until it is consumed");
    let header = conn.header(&item).unwrap_or_default().to_vec();
    let body = conn.text(&item).to_vec();
    conn.consume(item.size);
    Ok(Some((header, body)))
}

fn rest(conn: &mut Stream) -> Vec<u8> {
    let request = Request::All { max: 1 << 20 };
    match finish(|| conn.step_find(request)).expect("a clean end") {
        Some(item) => conn.text(&item).to_vec(),
        None => Vec::new(),
    }
}

fn round_trip(limits: Limits, cuts: &[u8], bytes: &mut Bytes<'_>) {
    let (mut writer, written) = connect(limits, &[], &[]);
    let mut sent = Vec::new();
    for _ in 0..4 {
        let header = vec![bytes.byte(); header_size(&limits.framing)];
        let size = usize::from(bytes.byte());
        let body = bytes.take(size).repeat(1 + usize::from(bytes.byte()) % 3);
        match writer.queue_packet_bytes(&header, &body) {
            Ok(()) => sent.push((header, body)),
            Err(error) => {
                assert!(error.unfit_argument().is_some() || error.code() == Code::TooLarge);
            }
        }
    }
    finish(|| writer.step_flush()).expect("is sent");
    let stream = written.borrow().clone();
    let (mut reader, _) = connect(limits, cuts, &stream);
    for packet in &sent {
        assert_eq!(read(&mut reader).as_ref(), Ok(&Some(packet.clone())));
    }
    assert_eq!(read(&mut reader), Ok(None));
    let (mut reader, _) = connect(limits, cuts, &stream);
    for (_, body) in &sent {
        assert_eq!(finish(|| reader.step_skip_packet()).expect("skips"), Some(body.len() as u64));
        let _ = reader.pending();
    }
    assert_eq!(finish(|| reader.step_skip_packet()).expect("ends"), None);
}

fn hostile(limits: Limits, cuts: &[u8], stream: &[u8]) {
    let (mut whole, _) = connect(limits, &[], stream);
    let (mut pieces, _) = connect(limits, cuts, stream);
    let (mut skipping, _) = connect(limits, cuts, stream);
    for _ in 0..20 {
        let expected = read(&mut whole);
        assert_eq!(read(&mut pieces), expected);
        match &expected {
            Ok(Some((_, body))) => {
                let skipped = finish(|| skipping.step_skip_packet());
                assert_eq!(skipped.expect("skips"), Some(body.len() as u64));
            }
            Ok(None) => break,
            Err(code) => {
                assert!(matches!(code, Code::TooLarge | Code::Unexpected | Code::Closed));
                assert_eq!(read(&mut pieces).as_ref(), Err(code), "so does the next read");
                let _ = pieces.pending();
                let skipped = finish(|| skipping.step_skip_packet());
                if *code != Code::TooLarge {
                    assert!(skipped.is_err(), "{skipped:?}");
                }
                break;
            }
        }
    }
    assert_eq!(rest(&mut pieces), rest(&mut whole));
}

/// The bytes that patterns are made of, so that many are well formed.
const LETTERS: &[u8] = b"ab1 ..%%[]()()^$*+-?-*dwsaA\n";

fn pattern(cuts: &[u8], bytes: &mut Bytes<'_>) {
    let size = usize::from(bytes.byte()) % 40;
    let source: Vec<u8> =
        bytes.take(size).iter().map(|byte| LETTERS[usize::from(*byte) % LETTERS.len()]).collect();
    let stream = bytes.0;
    let Ok(pattern) = Pattern::compile(&source) else { return };
    let (mut conn, _) = connect(Limits::default(), cuts, stream);
    let request = Request::Match { pattern: &pattern, reject: None, max: 3000 };
    let found = finish(|| conn.step_find(request));
    let come = conn.traffic().read as usize;
    // As soon as there is one: what has come has it.
    match found {
        Ok(Some(item)) => {
            let found = pattern.find(&stream[..come], come.min(3000)).expect("memory");
            let (text, captures) = found.expect("a match");
            assert_eq!((item.text, item.size), (text.clone(), text.end));
            assert_eq!(conn.captures(), captures);
        }
        Ok(None) => assert!(stream.is_empty()),
        Err(_) => {
            let is_to_end = source.ends_with(b"$");
            let found = pattern.find(stream, stream.len().min(3000)).expect("memory");
            assert!(is_to_end || found.is_none());
            assert_eq!(rest(&mut conn), stream);
        }
    }
}
