//! What carries the bytes of a connection, plain or encrypted. A transport never blocks and keeps
//! no time; all above it is written once. Uses `io::step`, `trace`, `error`.

pub mod proxied;
pub mod proxy_header;
pub mod tcp;
pub mod tls;
pub mod tracing;

use std::net::SocketAddr;
use std::os::fd::BorrowedFd;

use crate::error::Result;
use crate::io::step::Step;
use crate::trace::Trace;

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// The one that the socket is connected to.
    #[default]
    Socket,
    /// Whom a PROXY header will tell, which has not come.
    Unknown,
    /// Whom a PROXY header has told.
    Told(SocketAddr),
}

/// Dropped, a transport says goodbye where its protocol has one, without waiting, and closes.
pub trait Transport {
    /// Appends to `into` what has come, at most its spare capacity: the number of bytes, 0 at the
    /// end of the stream.
    fn read(&mut self, into: &mut Vec<u8>) -> Result<Step<usize>>;

    /// Sends some of `bytes`: how many were taken.
    fn write(&mut self, bytes: &[u8]) -> Result<Step<usize>>;

    /// Ends the sending side; reading goes on.
    fn shutdown(&mut self) -> Result<Step<()>>;

    fn fd(&self) -> BorrowedFd<'_>;

    /// Bytes that have come and wait inside the transport, where poll cannot see them.
    fn pending(&self) -> usize;

    /// Whether more has come that the transport has not looked into: the next read does not wait
    /// for the descriptor before it has.
    fn has_unseen(&self) -> bool {
        false
    }

    /// Whether the last read took all that had come, as far as this can be told.
    fn was_short(&self) -> bool {
        false
    }

    /// Receives what comes before all else, if that is wanted: a PROXY header.
    fn step_header(&mut self) -> Result<Step<()>> {
        Ok(Step::Done(()))
    }

    fn origin(&self) -> Origin {
        Origin::Socket
    }

    /// The bare socket, to be carried by another transport; none once something is on top of it.
    fn into_tcp(self: Box<Self>) -> Option<tcp::Tcp> {
        None
    }

    /// What only TLS knows.
    fn as_tls(&mut self) -> Option<&mut tls::Tls> {
        None
    }

    /// Where this connection is traced.
    fn trace(&self) -> Option<&Trace> {
        None
    }
}
