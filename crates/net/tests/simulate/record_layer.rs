//! What stands for TLS: a transport over another one that has a handshake, records, and control
//! records in between, and that asks for the direction which is not the operation's own. A reader
//! and a writer may both carry on the handshake; a read may have to write.

use std::os::fd::BorrowedFd;

use net::error::{Error, Pending, Result};
use net::io::step::{Step, Wait, ready};
use net::transport::Transport;
use simulated::Random;

const PAYLOAD: u8 = 0x17;
/// It asks for an `ANSWER` before anything else is read.
const REQUEST: u8 = 0x18;
/// It carries nothing that is given to anybody.
const TICKET: u8 = 0x19;

const ANSWER: u8 = b'A';
const GREETING: &[u8] = b"GREET";
/// Most payload of a record that is written.
const RECORD: usize = 4096;
/// Raw writes of one call.
const CALLS: usize = 32;
/// Raw bytes that are taken at once.
const AHEAD: usize = 16 * 1024;

/// What a peer sends that has this payload.
pub fn encode(random: &mut Random, payload: &[u8]) -> Vec<u8> {
    let shake = random.between(1, 40);
    let mut raw = vec![shake as u8];
    raw.resize(1 + shake, b'H');
    let mut rest = payload;
    loop {
        match random.below(6) {
            0 => raw.push(REQUEST),
            1 => record(&mut raw, TICKET, &[b't'; 40][..random.below(40)]),
            2 => record(&mut raw, PAYLOAD, b""),
            _ => {}
        }
        if rest.is_empty() {
            return raw;
        }
        let most = random.one_of(&[1, 50, 16_000]).max(payload.len() / 50);
        let (piece, behind) = rest.split_at(random.between(1, most.min(rest.len())));
        record(&mut raw, PAYLOAD, piece);
        rest = behind;
    }
}

fn record(raw: &mut Vec<u8>, kind: u8, body: &[u8]) {
    raw.push(kind);
    raw.extend_from_slice(&(body.len() as u32).to_be_bytes());
    raw.extend_from_slice(body);
}

/// The payload of what was sent, as far as it has come.
pub fn decode(sent: &[u8]) -> Vec<u8> {
    let mut payload = Vec::new();
    let here = sent.len().min(GREETING.len());
    assert_eq!(sent[..here], GREETING[..here], "what is sent begins with the handshake");
    let mut rest = &sent[here..];
    while let Some((kind, behind)) = rest.split_first() {
        rest = match *kind {
            ANSWER => behind,
            PAYLOAD => {
                let Some((size, body)) = behind.split_first_chunk() else { break };
                let here = body.len().min(u32::from_be_bytes(*size) as usize);
                payload.extend_from_slice(&body[..here]);
                &body[here..]
            }
            other => panic!("a record that is none was sent, {other:#x}"),
        };
    }
    payload
}

/// How far the handshake is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shake {
    Size,
    First { left: usize, then: usize },
    Greeting { then: usize },
    Last { left: usize },
    Done,
}

pub struct RecordLayer {
    inner: Box<dyn Transport>,
    shake: Shake,
    /// What has come and is not decoded.
    raw: Vec<u8>,
    /// What is decoded and not given.
    plain: Vec<u8>,
    /// Raw bytes that wait to be sent, and what of a write is among them.
    out: Vec<u8>,
    written: Option<Vec<u8>>,
    must_answer: bool,
    has_ended: bool,
    random: Random,
}

impl RecordLayer {
    pub fn new(inner: Box<dyn Transport>, random: Random) -> Self {
        Self {
            inner,
            shake: Shake::Size,
            raw: Vec::new(),
            plain: Vec::new(),
            out: Vec::new(),
            written: None,
            must_answer: false,
            has_ended: false,
            random,
        }
    }

    fn step_handshake(&mut self) -> Result<Step<()>> {
        let step = self.step_shake()?;
        Ok(match step {
            Step::Wait(wait) => Step::Wait(wait.pending(Pending::Handshake)),
            done => done,
        })
    }

    fn step_shake(&mut self) -> Result<Step<()>> {
        loop {
            self.shake = match self.shake {
                Shake::Size => {
                    let size = ready!(self.step_exactly(1)?)[0] as usize;
                    Shake::First { left: size / 2, then: size - size / 2 }
                }
                Shake::First { left: 0, then } => {
                    self.out.extend_from_slice(GREETING);
                    Shake::Greeting { then }
                }
                Shake::First { left, then } => {
                    let came = ready!(self.step_exactly(left)?).len();
                    Shake::First { left: left - came, then }
                }
                Shake::Greeting { then } => {
                    ready!(self.step_out()?);
                    Shake::Last { left: then }
                }
                Shake::Last { left: 0 } => Shake::Done,
                Shake::Last { left } => {
                    let came = ready!(self.step_exactly(left)?).len();
                    Shake::Last { left: left - came }
                }
                Shake::Done => return Ok(Step::Done(())),
            }
        }
    }

    /// Some bytes, at most so many: none of those behind the handshake.
    fn step_exactly(&mut self, most: usize) -> Result<Step<Vec<u8>>> {
        let mut bytes = Vec::with_capacity(most);
        if ready!(self.inner.read(&mut bytes)?) == 0 {
            return Err(Error::closed("end of stream in the handshake"));
        }
        assert!(bytes.len() <= most);
        Ok(Step::Done(bytes))
    }

    /// Sends all that waits.
    fn step_out(&mut self) -> Result<Step<()>> {
        for _ in 0..CALLS {
            if self.out.is_empty() {
                return Ok(Step::Done(()));
            }
            let count = ready!(self.inner.write(&self.out)?);
            self.out.drain(..count);
        }
        Ok(Step::Wait(Wait::yield_now(&self.fd())))
    }

    /// The size of the record in front, if it is whole.
    fn whole(&self) -> Option<usize> {
        match *self.raw.first()? {
            REQUEST => Some(1),
            _ => {
                let size = self.raw[1..].first_chunk()?;
                let size = 5 + u32::from_be_bytes(*size) as usize;
                (self.raw.len() >= size).then_some(size)
            }
        }
    }

    fn decode(&mut self, size: usize) {
        let record: Vec<u8> = self.raw.drain(..size).collect();
        match record[0] {
            REQUEST => {
                self.out.push(ANSWER);
                self.must_answer = true;
            }
            PAYLOAD => self.plain.extend_from_slice(&record[5..]),
            kind => assert_eq!(kind, TICKET, "a record that is none has come"),
        }
    }
}

impl Transport for RecordLayer {
    fn read(&mut self, into: &mut Vec<u8>) -> Result<Step<usize>> {
        ready!(self.step_handshake()?);
        if self.random.chance(30) {
            return Ok(Step::Wait(Wait::yield_now(&self.fd())));
        }
        loop {
            if self.must_answer {
                ready!(self.step_out()?);
                self.must_answer = false;
            }
            if !self.plain.is_empty() {
                let count = self.plain.len().min(into.capacity() - into.len());
                into.extend_from_slice(&self.plain[..count]);
                self.plain.drain(..count);
                return Ok(Step::Done(count));
            }
            if let Some(size) = self.whole() {
                self.decode(size);
                continue;
            }
            if self.has_ended {
                return Ok(Step::Done(0));
            }
            self.raw.reserve(AHEAD);
            self.has_ended = ready!(self.inner.read(&mut self.raw)?) == 0;
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<Step<usize>> {
        ready!(self.step_handshake()?);
        if self.written.is_none() {
            let part = bytes[..bytes.len().min(RECORD)].to_vec();
            record(&mut self.out, PAYLOAD, &part);
            self.written = Some(part);
        }
        let is_same = self.written.as_ref().is_some_and(|part| bytes.starts_with(part));
        assert!(is_same, "a write that is made again has other bytes");
        ready!(self.step_out()?);
        Ok(Step::Done(self.written.take().map_or(0, |part| part.len())))
    }

    fn shutdown(&mut self) -> Result<Step<()>> {
        ready!(self.step_handshake()?);
        ready!(self.step_out()?);
        self.inner.shutdown()
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.inner.fd()
    }

    fn pending(&self) -> usize {
        self.plain.len()
    }

    fn has_unseen(&self) -> bool {
        self.whole().is_some()
    }

    fn has_records(&self) -> bool {
        true
    }

    fn has_begun(&self) -> bool {
        self.shake == Shake::Done
    }
}
