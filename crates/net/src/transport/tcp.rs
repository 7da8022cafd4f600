//! A connected stream socket in nonblocking mode, TCP or Unix. No path of it raises SIGPIPE. Uses
//! `io::step`, `error`.

use std::io;
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use rustix::io::{Errno, retry_on_intr};
use rustix::net::{RecvFlags, SendFlags};

use super::{Carrier, Transport};
use crate::errno::is_transient;
use crate::error::{Error, Result};
use crate::io::step::{Step, Wait, Want};
use crate::io::system::{Socket, recv, send, spare_capacity};
use crate::stream::buffer::Buffer;

/// Apple's systems have a socket option instead, which socket2 sets.
#[cfg(not(target_vendor = "apple"))]
const QUIET: SendFlags = SendFlags::NOSIGNAL;
#[cfg(target_vendor = "apple")]
const QUIET: SendFlags = SendFlags::empty();

/// Bytes taken at once for the TLS above, which asks for each record in two pieces.
const AHEAD: usize = 64 * 1024;

/// Reads and writes that one operation of the TLS above may make. OpenSSL goes on by itself behind
/// each record that carries no payload, so that a peer could keep it busy without end.
pub const CALLS: usize = 32;

/// Bytes that one read throws away before the socket is closed, and the number of these reads.
const DISCARD: usize = 16 * 1024;
const DISCARDS: usize = 16;

/// Why a call of the TLS above did not do what it should, where the socket's readiness is not the
/// reason.
pub enum Reason {
    /// It has failed for good. OpenSSL keeps this to itself in some of its versions.
    Broken(Error),
    /// The system had no memory at that moment.
    Failed(Error),
    /// The operation has made its calls: the clock and the interpreter come first.
    Yield,
    /// The transport under it must wait.
    Wait(Box<Wait>),
}

pub struct Tcp {
    socket: Socket,
    /// What came already and was not asked for yet: for the TLS above, or behind a proxy's answer.
    ahead: Buffer,
    reads_ahead: bool,
    was_short: bool,
    /// One of the Unix domain stops a read where its peer has sent descriptors along, so that a
    /// short read says nothing of what is behind (unix(7), SCM_RIGHTS).
    is_unix: bool,
    /// Calls that the operation of the TLS above has left.
    calls: usize,
    reason: Option<Reason>,
    writes: Writes,
    is_reset_on_close: bool,
}

/// What becomes of the writes of the TLS above.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Writes {
    Sent,
    /// One has failed.
    Broken,
    /// They are thrown away.
    Abandoned,
}

impl Tcp {
    /// Takes a connected socket in nonblocking mode.
    pub fn new(socket: Socket, is_unix: bool) -> Self {
        Self {
            socket,
            is_unix,
            ahead: Buffer::default(),
            reads_ahead: true,
            was_short: false,
            calls: CALLS,
            reason: None,
            writes: Writes::Sent,
            is_reset_on_close: false,
        }
    }

    /// Whether the connection ends with a reset, and what was not sent is lost. Never waits: the
    /// time that is set is 0.
    pub fn set_reset_on_close(&mut self, is_on: bool) -> Result<()> {
        self.socket.set_linger(is_on.then_some(Duration::ZERO))?;
        self.is_reset_on_close = is_on;
        Ok(())
    }

    pub fn is_reset_on_close(&self) -> bool {
        self.is_reset_on_close
    }

    /// Whether more than is asked for may be taken for the TLS above.
    pub fn set_reads_ahead(&mut self, reads_ahead: bool) {
        self.reads_ahead = reads_ahead;
    }

    /// Puts bytes in front of those that come.
    pub fn unread(&mut self, bytes: &[u8]) -> Result<()> {
        self.ahead.spare(bytes.len())?.extend_from_slice(bytes);
        Ok(())
    }

    pub fn has_ahead(&self) -> bool {
        !self.ahead.is_empty()
    }

    /// Gives up sending for the TLS above, where that has failed.
    pub fn abandon_writes(&mut self) -> bool {
        let is_broken = self.writes == Writes::Broken;
        if is_broken {
            self.writes = Writes::Abandoned;
        }
        is_broken
    }

    /// Throws away what has come, without waiting, and as much as a receive buffer usually holds.
    /// The kernel resets a connection that is closed with something unread (RFC 1122, section
    /// 4.2.2.13), and the peer would lose what it has not read yet.
    pub fn discard(&mut self) {
        let mut room = [MaybeUninit::<u8>::uninit(); DISCARD];
        for _ in 0..DISCARDS {
            match recv(&self.socket, &mut room, RecvFlags::empty()) {
                Ok((_, 1..)) | Err(Errno::INTR) => {}
                _ => return,
            }
        }
    }

    /// Ends an operation of the TLS above: why its last call did not do what it should.
    pub fn take_reason(&mut self) -> Option<Reason> {
        self.calls = CALLS;
        self.reason.take()
    }

    /// Counts a call of the TLS above.
    fn count_call(&mut self) -> io::Result<()> {
        let Some(left) = self.calls.checked_sub(1) else {
            self.reason = Some(Reason::Yield);
            return Err(io::ErrorKind::WouldBlock.into());
        };
        self.calls = left;
        Ok(())
    }

    /// A failed call as the TLS above is told: what passes it takes for a wait, all else for the
    /// end.
    fn carried(&mut self, errno: Errno) -> io::Error {
        if is_transient(errno) {
            return self.passing(errno.into());
        }
        if errno != Errno::AGAIN {
            self.reason = Some(Reason::Broken(errno.into()));
        }
        // OpenSSL looks there: a server forgives a client that is gone before its tickets come,
        // whose data may have come already.
        nix::errno::Errno::set_raw(errno.raw_os_error());
        errno.into()
    }

    fn passing(&mut self, error: Error) -> io::Error {
        self.reason = Some(Reason::Failed(error));
        io::ErrorKind::WouldBlock.into()
    }

    fn step(&self, result: rustix::io::Result<usize>, want: Want) -> Result<Step<usize>> {
        match result {
            Ok(count) => Ok(Step::Done(count)),
            Err(Errno::AGAIN) => Ok(Step::Wait(Wait::new(&self.fd(), want))),
            Err(Errno::INTR) => Ok(Step::Wait(Wait::yield_now(&self.fd()))),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl Transport for Tcp {
    fn read(&mut self, into: &mut Vec<u8>) -> Result<Step<usize>> {
        if !self.ahead.is_empty() {
            self.was_short = false;
            return Ok(Step::Done(self.ahead.take_into(into)));
        }
        let room = into.capacity() - into.len();
        let result = recv(self.fd(), spare_capacity(into), RecvFlags::empty());
        self.was_short = match &result {
            Ok((_, count)) => *count < room && !self.is_unix,
            Err(errno) => *errno == Errno::AGAIN,
        };
        self.step(result.map(|(_, count)| count), Want::Read)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<Step<usize>> {
        self.step(send(self.fd(), bytes, QUIET), Want::Write)
    }

    fn shutdown(&mut self) -> Result<Step<()>> {
        self.socket.shutdown(Shutdown::Write)?;
        Ok(Step::Done(()))
    }

    fn peek(&mut self) -> Result<Step<usize>> {
        if !self.ahead.is_empty() {
            return Ok(Step::Done(self.ahead.len()));
        }
        let result = recv(self.fd(), &mut [0], RecvFlags::PEEK);
        self.step(result.map(|(_, count)| count), Want::Read)
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    fn pending(&self) -> usize {
        self.ahead.len()
    }

    /// But for an end, which the poller remembers.
    fn was_short(&self) -> bool {
        self.was_short
    }

    fn into_carrier(self: Box<Self>) -> Option<Carrier> {
        Some(Carrier::Tcp(*self))
    }

    fn as_tcp(&mut self) -> Option<&mut Tcp> {
        Some(self)
    }
}

/// For the TLS above: OpenSSL's own socket layer would raise SIGPIPE. An interrupt is not passed
/// on: it would be the end of the TLS connection.
impl io::Read for Tcp {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.count_call()?;
        if !self.reads_ahead && self.ahead.is_empty() {
            let result = retry_on_intr(|| recv(&self.socket, &mut *into, RecvFlags::empty()));
            return result.map(|(_, count)| count).map_err(|errno| self.carried(errno));
        }
        if self.ahead.is_empty() {
            let spare = match self.ahead.spare(AHEAD) {
                Ok(spare) => spare,
                Err(error) => return Err(self.passing(error)),
            };
            let result =
                retry_on_intr(|| recv(&self.socket, spare_capacity(spare), RecvFlags::empty()));
            self.ahead.release_if_empty();
            result.map_err(|errno| self.carried(errno))?;
        }
        let count = into.len().min(self.ahead.len());
        into[..count].copy_from_slice(&self.ahead.filled()[..count]);
        self.ahead.consume(count);
        Ok(count)
    }
}

impl io::Write for Tcp {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.count_call()?;
        if self.writes == Writes::Abandoned {
            return Ok(bytes.len());
        }
        let result = retry_on_intr(|| send(&self.socket, bytes, QUIET));
        result.map_err(|errno| {
            if errno != Errno::AGAIN && !is_transient(errno) {
                self.writes = Writes::Broken;
            }
            self.carried(errno)
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    #[test]
    fn an_operation_of_tls_makes_so_many_calls_and_then_yields() {
        let (ours, theirs) = Socket::pair(socket2::Domain::UNIX, socket2::Type::STREAM, None)
            .expect("a pair of sockets");
        let mut tcp = Tcp::new(ours, true);
        (&theirs).write_all(&[7; 2 * CALLS]).expect("room for these");
        for _ in 0..2 {
            for _ in 0..CALLS {
                assert_eq!(Read::read(&mut tcp, &mut [0]).expect("a byte"), 1);
            }
            let late = Read::read(&mut tcp, &mut [0]).expect_err("the calls are made");
            assert_eq!(late.kind(), io::ErrorKind::WouldBlock);
            assert!(matches!(tcp.take_reason(), Some(Reason::Yield)));
            assert!(tcp.take_reason().is_none());
        }
    }

    #[test]
    fn writes_are_given_up_only_where_one_has_failed() {
        let (ours, theirs) = Socket::pair(socket2::Domain::UNIX, socket2::Type::STREAM, None)
            .expect("a pair of sockets");
        let mut tcp = Tcp::new(ours, true);
        assert_eq!(Write::write(&mut tcp, b"x").expect("room for it"), 1);
        assert!(!tcp.abandon_writes());
        drop(theirs);
        assert!(Write::write(&mut tcp, b"x").is_err());
        assert!(tcp.abandon_writes());
        assert_eq!(Write::write(&mut tcp, b"lost").expect("nothing is sent"), 4);
    }
}
