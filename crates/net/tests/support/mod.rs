//! A transport that plays a script, and counts what is asked of it.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::PipeReader;
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;

use net::error::{Error, Result};
use net::io::step::{Step, Wait, Want};
use net::stream::{Limits, Stream};
use net::transport::Transport;
use rustix::io::Errno;

/// What happens at one read or write.
#[derive(Clone, Debug)]
pub enum Event {
    /// These bytes come.
    Bytes(Vec<u8>),
    /// So many bytes are taken.
    Take(usize),
    Wait,
    End,
    Fail(&'static str),
    /// Fails for this once.
    Transient,
}

#[derive(Default)]
pub struct Record {
    pub reads: usize,
    pub writes: usize,
    pub written: Vec<u8>,
    pub shutdowns: usize,
}

pub struct Script {
    reads: VecDeque<Event>,
    /// When it is played out, writes take all.
    writes: VecDeque<Event>,
    record: Rc<RefCell<Record>>,
    fd: PipeReader,
}

/// A connection over a script of reads and writes, and the record of what it does.
pub fn conn(reads: &[Event], writes: &[Event], limits: Limits) -> (Stream, Rc<RefCell<Record>>) {
    let (transport, record) = transport(reads, writes);
    (Stream::new(transport, limits), record)
}

/// The transport alone.
pub fn transport(reads: &[Event], writes: &[Event]) -> (Box<dyn Transport>, Rc<RefCell<Record>>) {
    let record = Rc::new(RefCell::new(Record::default()));
    let (fd, _) = std::io::pipe().expect("pipe");
    let script = Script {
        reads: reads.iter().cloned().collect(),
        writes: writes.iter().cloned().collect(),
        record: Rc::clone(&record),
        fd,
    };
    (Box::new(script), record)
}

/// The pieces of `bytes`, cut at `cuts`, a wait between any two.
pub fn cut(bytes: &[u8], cuts: &[usize]) -> Vec<Event> {
    let mut events = Vec::new();
    let mut from = 0;
    for &to in cuts.iter().chain([&bytes.len()]) {
        if from < to {
            events.push(Event::Bytes(bytes[from..to].to_vec()));
        }
        events.push(Event::Wait);
        from = to;
    }
    events
}

/// Makes a step until it is done, at most a thousand times.
pub fn finish<T>(mut step: impl FnMut() -> Result<Step<T>>) -> Result<T> {
    for _ in 0..1000 {
        if let Step::Done(value) = step()? {
            return Ok(value);
        }
    }
    panic!("a step that is never done");
}

impl Transport for Script {
    fn read(&mut self, into: &mut Vec<u8>) -> Result<Step<usize>> {
        self.record.borrow_mut().reads += 1;
        match self.reads.pop_front() {
            Some(Event::Bytes(mut bytes)) => {
                let room = into.capacity() - into.len();
                if bytes.len() > room {
                    self.reads.push_front(Event::Bytes(bytes.split_off(room)));
                }
                into.extend_from_slice(&bytes);
                Ok(Step::Done(bytes.len()))
            }
            Some(Event::Wait) => Ok(Step::Wait(Wait::new(&self.fd, Want::Read))),
            Some(Event::Fail(why)) => Err(Error::closed(why)),
            Some(Event::Transient) => Err(Errno::NOBUFS.into()),
            Some(Event::Take(_)) => panic!("a read is no write"),
            Some(Event::End) | None => Ok(Step::Done(0)),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<Step<usize>> {
        let mut record = self.record.borrow_mut();
        record.writes += 1;
        let count = match self.writes.pop_front() {
            Some(Event::Take(count)) => count.min(bytes.len()),
            Some(Event::Wait) => return Ok(Step::Wait(Wait::new(&self.fd, Want::Write))),
            Some(Event::Fail(why)) => return Err(Error::closed(why)),
            Some(Event::Transient) => return Err(Errno::NOBUFS.into()),
            Some(_) => panic!("a write is no read"),
            None => bytes.len(),
        };
        record.written.extend_from_slice(&bytes[..count]);
        Ok(Step::Done(count))
    }

    fn shutdown(&mut self) -> Result<Step<()>> {
        self.record.borrow_mut().shutdowns += 1;
        Ok(Step::Done(()))
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    fn pending(&self) -> usize {
        0
    }
}
