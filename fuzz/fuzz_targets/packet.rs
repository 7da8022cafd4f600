//! A connection whose stream comes in arbitrary pieces, with waits between them, and ends or fails
//! anywhere. Arbitrary reads are made on it, and some give up at a wait. Each must return what the
//! stream holds there, however it is cut, or fail and consume nothing. Writes made meanwhile must
//! come out whole and in order.

#![no_main]

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::PipeReader;
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;

use libfuzzer_sys::fuzz_target;
use net::stream::{Stream, Limits};
use net::error::{Code, Error, Result};
use net::framing::text::{Item, Request};
use net::framing::Endian;
use net::json_scan::{self, Scan};
use net::io::step::{Step, Wait, Want};
use net::transport::Transport;
use tcp_fuzz::Bytes;

fuzz_target!(|bytes: &[u8]| {
    let mut bytes = Bytes(bytes);
    let manner = bytes.byte();
    let events = usize::from(bytes.byte());
    let script = bytes.take(events).to_vec();
    let count = usize::from(bytes.byte());
    let reads = bytes.take(count).to_vec();
    Run::new(manner, &script, bytes.0).reads(&reads);
});

/// The stream that the script's bytes describe.
struct Script {
    events: VecDeque<u8>,
    stream: VecDeque<u8>,
    /// The stream ends with an error.
    fails: bool,
    written: Rc<RefCell<Vec<u8>>>,
    fd: PipeReader,
}

const FAILURE: &str = "the script fails here";

impl Transport for Script {
    fn read(&mut self, into: &mut Vec<u8>) -> Result<Step<usize>> {
        let event = self.events.pop_front();
        if event.is_some_and(|event| event >= 192) {
            return Ok(Step::Wait(Wait::new(&self.fd, Want::Read)));
        }
        if self.stream.is_empty() && self.fails {
            return Err(Error::closed(FAILURE));
        }
        let room = into.capacity() - into.len();
        assert!(room > 0);
        // The size of a piece: 1 to 128 bytes, or thousands.
        let size = match event {
            Some(event @ 0..128) => usize::from(event) + 1,
            Some(event) => usize::from(event - 127) << 10,
            None => usize::MAX,
        };
        let size = size.min(room).min(self.stream.len());
        into.extend(self.stream.drain(..size));
        Ok(Step::Done(size))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<Step<usize>> {
        assert!(!bytes.is_empty());
        match self.events.pop_front() {
            Some(192..) => Ok(Step::Wait(Wait::new(&self.fd, Want::Write))),
            event => {
                let size =
                    event.map_or(usize::MAX, |event| usize::from(event) + 1).min(bytes.len());
                self.written.borrow_mut().extend_from_slice(&bytes[..size]);
                Ok(Step::Done(size))
            }
        }
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

/// The result of a read.
#[derive(Debug, PartialEq)]
enum Outcome {
    Item(Item),
    /// The stream ends where an item would begin.
    End,
    Failed(Code),
}

struct Run<'a> {
    conn: Stream,
    limits: Limits,
    stream: &'a [u8],
    fails: bool,
    /// The number of bytes that are consumed, or will be skipped, so far.
    at: usize,
    /// The body's length of a packet whose skip was begun, and then given up or cut off.
    skipping: Option<usize>,
    queued: Vec<u8>,
    written: Rc<RefCell<Vec<u8>>>,
    /// No step has more waits than this.
    turns: usize,
}

thread_local! {
    static FD: PipeReader = std::io::pipe().expect("a pipe").0;
}

impl<'a> Run<'a> {
    fn new(manner: u8, script: &[u8], stream: &'a [u8]) -> Self {
        let endian = if manner & 1 == 0 { Endian::Big } else { Endian::Little };
        let fails = manner & 2 != 0;
        let max_packet = [0, 7, 300, 512_000][usize::from(manner >> 2 & 3)];
        let limits = Limits { max_packet, max_buffer: 1 << 20, endian, ..Limits::default() };
        let written = Rc::new(RefCell::default());
        let transport = Script {
            events: script.iter().copied().collect(),
            stream: stream.iter().copied().collect(),
            fails,
            written: Rc::clone(&written),
            fd: FD.with(|fd| fd.try_clone().expect("a descriptor")),
        };
        Self {
            conn: Stream::new(Box::new(transport), limits),
            limits,
            stream,
            fails,
            at: 0,
            skipping: None,
            queued: Vec::new(),
            written,
            turns: 2 * script.len() + 5,
        }
    }

    fn reads(&mut self, reads: &[u8]) {
        for &read in reads {
            // One read of four gives up at the first wait.
            let patience = if read & 0xC0 == 0xC0 { 0 } else { self.turns };
            let size = usize::from(read >> 3 & 7);
            let max = [0, 3, 16, 1 << 20][size & 3];
            match read & 7 {
                0 => self.read(
                    Request::Packet { max: self.limits.max_packet, endian: self.limits.endian },
                    patience,
                ),
                1 => self.read(Request::Line { max, keep: read & 0x20 != 0 }, patience),
                2 => self.read(Request::Json { max }, patience),
                3 => {
                    let delimiter: &[u8] = [b"\r\n".as_slice(), b"aab", b",", b"\0\0"][size >> 1];
                    self.read(
                        Request::Until { delimiter, max: if size & 1 == 0 { 1 << 20 } else { 5 } },
                        patience,
                    );
                }
                4 => self.read(Request::Exact { size: size * size, max: 40 }, patience),
                5 if size == 7 => self.read(Request::All { max: 1 << 20 }, patience),
                5 if size == 6 => self.read(Request::All { max: 16 }, patience),
                5 => self
                    .read(Request::Available { max: [0, 1, 2, 9, 100, 1 << 20][size] }, patience),
                6 => self.skip(patience),
                _ => self.write(read, patience),
            }
            self.check();
        }
        // All bytes must still be there.
        self.read(Request::All { max: 1 << 20 }, self.turns);
        self.flush(self.turns);
        assert_eq!(*self.written.borrow(), self.queued);
    }

    /// Checks that exactly the bytes that have come can be read without waiting, without those
    /// consumed or to be skipped.
    fn check(&mut self) {
        for _ in 0..2 {
            let read = self.conn.traffic().read as usize;
            let pending = self.conn.pending();
            assert!(read <= self.stream.len());
            assert_eq!(pending, read.saturating_sub(self.at));
            let is_readable = self.conn.is_readable();
            let pending = self.conn.pending();
            let has_ended = self.conn.traffic().read as usize == self.stream.len();
            // A skip that `is_readable` has finished must still be reported.
            let may_be_told = pending > 0 || has_ended || self.skipping.is_some();
            assert!(if is_readable { may_be_told } else { pending == 0 });
        }
    }

    /// The rest of the stream.
    fn rest(&self) -> &'a [u8] {
        self.stream.get(self.at..).unwrap_or_default()
    }

    fn read(&mut self, request: Request<'_>, patience: usize) {
        let mut left = patience;
        let outcome = loop {
            match self.conn.step_find(request) {
                Ok(Step::Done(Some(item))) => {
                    // An item that is not consumed is found again.
                    let again = self.conn.step_find(request);
                    assert!(matches!(again, Ok(Step::Done(Some(again))) if again == item));
                    break Outcome::Item(item);
                }
                Ok(Step::Done(None)) => break Outcome::End,
                Ok(Step::Wait(_)) if left > 0 => left -= 1,
                Ok(Step::Wait(_)) => {
                    assert_eq!(patience, 0, "a read that is never done");
                    return;
                }
                Err(error) => break Outcome::Failed(error.code()),
            }
        };
        if self.at > self.stream.len() {
            assert_eq!(
                outcome,
                Outcome::Failed(Code::Closed),
                "the packet that is skipped is cut off"
            );
            return;
        }
        self.skipping = None;
        match (request, &outcome) {
            (Request::Available { max }, Outcome::Item(item)) => {
                assert!((1..=max).contains(&item.size) && item.text == (0..item.size));
            }
            _ => assert_eq!(outcome, self.expected(request), "{request:?} at {}", self.at),
        }
        if let Outcome::Item(item) = outcome {
            assert_eq!(self.conn.text(&item), &self.rest()[item.text.clone()]);
            let size = match request {
                Request::Line { max: 16, keep: false } => self.lines(&item, 16),
                _ => item.size,
            };
            self.conn.consume(size);
            self.at += size;
        }
    }

    /// Returns the size of the line that was found and of the whole lines behind it.
    fn lines(&self, first: &Item, most: usize) -> usize {
        let lines = self.conn.lines(first, most);
        let (line, others) = lines.split_at(first.size);
        assert_eq!(lines, &self.rest()[..lines.len()]);
        assert!(others.is_empty() || others.ends_with(b"\n") && lines.len() <= most);
        line.len() + others.len()
    }

    /// Returns the result of a read if the rest of the stream came in one piece.
    fn expected(&self, request: Request<'_>) -> Outcome {
        let rest = self.rest();
        let item = |text, size| Outcome::Item(Item { text, size });
        let large = Outcome::Failed(Code::TooLarge);
        // The result if no more comes.
        let cut = || {
            if rest.is_empty() && !self.fails {
                Outcome::End
            } else {
                Outcome::Failed(Code::Closed)
            }
        };
        let split =
            |delimiter: &[u8]| rest.windows(delimiter.len()).position(|window| window == delimiter);
        match request {
            Request::All { max } => match rest.len() {
                length if length > max => large,
                length if !self.fails => item(0..length, length),
                _ => Outcome::Failed(Code::Closed),
            },
            Request::Available { max } => {
                assert!(rest.is_empty() || max == 0);
                cut()
            }
            Request::Exact { size, max } if size > max => large,
            Request::Exact { size, .. } if size <= rest.len() => item(0..size, size),
            Request::Exact { .. } => cut(),
            Request::Line { max, keep } => {
                let (length, size) = match split(b"\n") {
                    Some(at) => (at - usize::from(rest[..at].ends_with(b"\r")), at + 1),
                    None if rest.is_empty() || self.fails && rest.len() <= max + 1 => return cut(),
                    None => (rest.len(), rest.len()),
                };
                let text = 0..if keep { size } else { length };
                if length > max { large } else { item(text, size) }
            }
            Request::Until { delimiter, max } => match split(delimiter) {
                Some(at) if at > max => large,
                Some(at) => item(0..at, at + delimiter.len()),
                None if (rest.len() + 1).saturating_sub(delimiter.len()) > max => large,
                None => cut(),
            },
            Request::Packet { max, endian } => match length(rest, endian) {
                None => cut(),
                Some(length) if length > max => large,
                Some(length) if length > rest.len() - 4 => cut(),
                Some(length) => item(4..4 + length, 4 + length),
            },
            Request::Json { max } => match Scan::default().step(rest, !self.fails) {
                // The white space before the value, or before the error, counts.
                Err(invalid) if invalid.at > max => large,
                Err(_) => Outcome::Failed(Code::Json),
                Ok(json_scan::Scanned::Value(text)) if text.end > max => large,
                Ok(json_scan::Scanned::Value(text)) => item(0..text.end, text.end),
                Ok(_) if rest.len() > max => large,
                Ok(json_scan::Scanned::Nothing) if !self.fails => Outcome::End,
                Ok(_) => Outcome::Failed(Code::Closed),
            },
            _ => unreachable!("the target framing has the others"),
        }
    }

    fn skip(&mut self, patience: usize) {
        // A skip that was begun continues until all of it has come.
        let begun = self.skipping.filter(|_| self.at > self.conn.traffic().read as usize);
        let last = self.skipping.take();
        let mut left = patience;
        let outcome = loop {
            let step = self.conn.step_skip_packet();
            match step.map(|step| step.map(|length| length.map(|length| length as usize))) {
                Ok(Step::Wait(_)) if left > 0 => left -= 1,
                outcome => break outcome,
            }
        };
        let read = self.conn.traffic().read as usize;
        let pending = self.conn.pending();
        let next = length(self.rest(), self.limits.endian);
        match outcome {
            Ok(Step::Done(Some(length))) if begun.is_some() => {
                assert_eq!(begun, Some(length));
                assert_eq!(pending, read - self.at);
            }
            // All bytes had come, but the skip took another step.
            Ok(Step::Done(Some(length))) if last == Some(length) && pending == read - self.at => {}
            Ok(Step::Done(Some(length))) => {
                assert_eq!(next, Some(length));
                self.at += 4 + length;
                assert_eq!(pending, read - self.at);
            }
            Ok(Step::Done(None)) => {
                assert!(begun.is_none() && !self.fails && self.rest().is_empty())
            }
            Ok(Step::Wait(_)) | Err(_) => {
                assert!(outcome.is_err() || patience == 0, "a skip that is never done");
                if begun.is_some() {
                    self.skipping = begun;
                } else if let Some(length) = next.filter(|_| read >= self.at + 4) {
                    self.at += 4 + length;
                    self.skipping = Some(length);
                }
            }
        }
    }

    fn write(&mut self, read: u8, patience: usize) {
        let size = usize::from(read >> 3) * 13;
        let body: Vec<u8> = (0..size).map(|index| (index * 7) as u8).collect();
        let max = self.limits.max_packet;
        let packed = self.conn.queue_packet(|out| {
            out.extend_from_slice(&body);
            if read & 8 == 0 { Ok(()) } else { Err(Error::new(Code::Json, "no form")) }
        });
        assert_eq!(packed.is_ok(), read & 8 == 0 && size <= max);
        if packed.is_ok() {
            let length = size as u32;
            self.queued.extend_from_slice(&match self.limits.endian {
                Endian::Big => length.to_be_bytes(),
                Endian::Little => length.to_le_bytes(),
            });
            self.queued.extend_from_slice(&body);
        }
        self.conn.queue_bytes(&[b"a", b"", &body]).expect("room");
        self.queued.push(b'a');
        self.queued.extend_from_slice(&body);
        self.flush(patience);
    }

    fn flush(&mut self, patience: usize) {
        let mut left = patience;
        while let Step::Wait(_) = self.conn.step_flush().expect("nothing fails") {
            if left == 0 {
                assert_eq!(patience, 0, "a write that is never done");
                return;
            }
            left -= 1;
        }
        assert_eq!(self.written.borrow().len(), self.queued.len());
    }
}

fn length(bytes: &[u8], endian: Endian) -> Option<usize> {
    let header = bytes.first_chunk()?;
    Some(match endian {
        Endian::Big => u32::from_be_bytes(*header),
        Endian::Little => u32::from_le_bytes(*header),
    } as usize)
}
