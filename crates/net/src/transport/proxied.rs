//! Another transport, whose peer sends a PROXY header before anything else. Whoever reads or writes
//! first waits for it. Not a byte behind it is taken from the socket: the bytes are looked at, and
//! those of the header alone are received. Uses `transport::proxy_header`, `io::step`, `memory`,
//! `trace`, `error`.

use std::mem;
use std::os::fd::BorrowedFd;

use rustix::io::Errno;
use rustix::net::RecvFlags;

use super::proxy_header::{Ends, Parsed, parse};
use super::tcp::Tcp;
use super::{Carrier, Origin, Transport, tls};
use crate::error::{Code, Error, Pending, Result};
use crate::io::step::{Step, Wait, Want, ready};
use crate::io::system::recv;
use crate::memory::append;
use crate::trace::Trace;

/// Bytes looked at in one call: more than most headers have.
const PIECE: usize = 512;

pub struct Proxied {
    /// Nothing has been read from it before the header is whole.
    inner: Box<dyn Transport>,
    /// What has come of the header.
    header: Vec<u8>,
    /// How it ended: the ends that it tells, if it does.
    outcome: Option<Result<Option<Ends>>>,
    trace: Option<Trace>,
}

impl Proxied {
    pub fn new(inner: Box<dyn Transport>, trace: Option<Trace>) -> Self {
        Self { inner, header: Vec::new(), outcome: None, trace }
    }

    /// Receives what there is of the header: what it tells, once it is whole.
    fn step_receive(&mut self) -> Result<Step<Option<Ends>>> {
        loop {
            let mut piece = [0; PIECE];
            let seen = ready!(self.receive(&mut piece, RecvFlags::PEEK)?);
            if seen == 0 {
                return Err(self.end());
            }
            let had = self.header.len();
            append(&mut self.header, &piece[..seen])?;
            let parsed = parse(&self.header);
            self.header.truncate(had);
            let (size, ends) = match parsed? {
                Parsed::Partial => (had + seen, None),
                Parsed::Whole { size, ends } => (size, Some(ends)),
            };
            let taken = ready!(self.receive(&mut piece[..size - had], RecvFlags::empty())?);
            append(&mut self.header, &piece[..taken])?;
            if let Some(ends) = ends
                && self.header.len() == size
            {
                return Ok(Step::Done(ends));
            }
        }
    }

    fn receive(&self, into: &mut [u8], flags: RecvFlags) -> Result<Step<usize>> {
        let fd = self.inner.fd();
        match recv(fd, into, flags) {
            Ok((_, count)) => Ok(Step::Done(count)),
            Err(Errno::AGAIN) => Ok(Step::Wait(Wait::new(&fd, Want::Read))),
            Err(Errno::INTR) => Ok(Step::Wait(Wait::yield_now(&fd))),
            Err(errno) => Err(errno.into()),
        }
    }

    #[cold]
    fn end(&self) -> Error {
        let detail = match self.header.len() {
            0 => "the connection ended before a PROXY header".to_owned(),
            have => format!("the connection ended after {have} bytes of a PROXY header"),
        };
        Error::new(Code::Proxy, detail)
    }

    #[cold]
    fn note(&self, ends: Option<Ends>) {
        match (&self.trace, ends) {
            (Some(trace), Some(Ends { source, destination })) => {
                trace.note(format_args!("PROXY header: from {source} to {destination}"));
            }
            (Some(trace), None) => trace.note("PROXY header: without addresses"),
            (None, _) => {}
        }
    }
}

impl Transport for Proxied {
    fn read(&mut self, into: &mut Vec<u8>) -> Result<Step<usize>> {
        ready!(self.step_header()?);
        self.inner.read(into)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<Step<usize>> {
        ready!(self.step_header()?);
        self.inner.write(bytes)
    }

    fn shutdown(&mut self) -> Result<Step<()>> {
        ready!(self.step_header()?);
        self.inner.shutdown()
    }

    fn peek(&mut self) -> Result<Step<usize>> {
        match self.inner.peek()? {
            // The end before a header is a failure.
            Step::Done(0) if self.outcome.is_none() => Err(self.end()),
            other => Ok(other),
        }
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.inner.fd()
    }

    fn pending(&self) -> usize {
        self.inner.pending()
    }

    fn has_unseen(&self) -> bool {
        self.inner.has_unseen()
    }

    fn was_short(&self) -> bool {
        self.inner.was_short()
    }

    fn into_carrier(self: Box<Self>) -> Option<Carrier> {
        self.inner.into_carrier()
    }

    fn has_records(&self) -> bool {
        self.inner.has_records()
    }

    fn as_tcp(&mut self) -> Option<&mut Tcp> {
        self.inner.as_tcp()
    }

    fn as_tls(&mut self) -> Option<&mut tls::Tls> {
        self.inner.as_tls()
    }

    fn has_begun(&self) -> bool {
        self.outcome.is_some() && self.inner.has_begun()
    }

    fn step_header(&mut self) -> Result<Step<()>> {
        match &self.outcome {
            Some(Ok(_)) => return Ok(Step::Done(())),
            Some(Err(error)) => return Err(error.clone()),
            None => {}
        }
        let outcome = match self.step_receive() {
            Ok(Step::Wait(wait)) => return Ok(Step::Wait(wait.pending(Pending::ProxyHeader))),
            Err(error) if error.is_transient() => return Err(error),
            Ok(Step::Done(ends)) => {
                self.note(ends);
                Ok(ends)
            }
            Err(error) => Err(error),
        };
        mem::take(&mut self.header);
        self.outcome.insert(outcome).clone().map(|_| Step::Done(()))
    }

    fn origin(&self) -> Origin {
        match &self.outcome {
            Some(Ok(Some(ends))) => Origin::Told(ends.source),
            Some(Ok(None)) => Origin::Socket,
            Some(Err(_)) | None => Origin::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use socket2::{Domain, Socket, Type};

    use super::*;

    fn pair() -> (Socket, Proxied) {
        let (theirs, ours) = Socket::pair(Domain::UNIX, Type::STREAM, None).expect("a pair");
        ours.set_nonblocking(true).expect("an option");
        (theirs, Proxied::new(Box::new(Tcp::new(ours, true)), None))
    }

    fn read(proxied: &mut Proxied) -> Result<Option<Vec<u8>>> {
        let mut into = Vec::with_capacity(100);
        Ok(match proxied.read(&mut into)? {
            Step::Done(_) => Some(into),
            Step::Wait(wait) => {
                assert_eq!(wait.want, Want::Read);
                None
            }
        })
    }

    #[test]
    fn what_stands_behind_a_header_is_not_touched() {
        for header in [&b"PROXY TCP4 192.0.2.7 198.51.100.1 1 2\r\n"[..], b"PROXY UNKNOWN\r\n"] {
            for cut in 0..=header.len() {
                let (theirs, mut proxied) = pair();
                (&theirs).write_all(&header[..cut]).expect("room");
                assert!(read(&mut proxied).expect("no error yet").is_none());
                assert_eq!(proxied.origin() == Origin::Unknown, cut < header.len());
                (&theirs).write_all(&header[cut..]).expect("room");
                (&theirs).write_all(b"\r\nbehind").expect("room");
                let got = read(&mut proxied).expect("a header");
                assert_eq!(got.as_deref(), Some(&b"\r\nbehind"[..]));
            }
        }
    }

    #[test]
    fn nothing_is_written_before_the_header_or_without_one() {
        let (theirs, mut proxied) = pair();
        assert!(matches!(proxied.write(b"x"), Ok(Step::Wait(_))));
        (&theirs).write_all(b"PROXY TCP5").expect("room");
        for _ in 0..2 {
            let error = proxied.write(b"x").expect_err("no header");
            let words = "no PROXY header, the connection begins with 'PROXY TC'";
            assert_eq!((error.code(), error.detail()), (Code::Proxy, words));
        }
        drop(proxied);
        // The end that the other one sees is a reset where bytes were left unread.
        let mut into = [0; 1];
        assert!(recv(&theirs, &mut into[..], RecvFlags::empty()).map_or(true, |got| got.1 == 0));
    }

    #[test]
    fn an_end_before_the_header_is_whole_is_an_error() {
        for (bytes, words) in [
            (&b""[..], "the connection ended before a PROXY header"),
            (b"\r\n\r\n", "the connection ended after 4 bytes of a PROXY header"),
        ] {
            let (theirs, mut proxied) = pair();
            (&theirs).write_all(bytes).expect("room");
            drop(theirs);
            assert_eq!(read(&mut proxied).expect_err("no header").detail(), words);
        }
    }
}
