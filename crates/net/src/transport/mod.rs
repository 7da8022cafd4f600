//! Transports carry the bytes of a connection, plain or encrypted. They never block and have no
//! timeouts. The layers above do not depend on the kind of transport. Uses `io::step`, `trace`,
//! `error`.

mod carrier;
pub mod proxied;
pub mod proxy_header;
pub mod tcp;
pub mod tls;
pub mod tracing;
pub mod tunnel;

use std::net::SocketAddr;
use std::os::fd::BorrowedFd;

use crate::error::Result;
use crate::io::step::{Step, Wait, Want};
use crate::trace::Trace;

/// What TLS runs over. A choice of two, and no trait object: each record is read by several calls.
pub enum Carrier {
    Tcp(tcp::Tcp),
    /// A tunnel through another transport, as through TLS to a proxy.
    Tunnel(Box<tunnel::Tunnel>),
}

/// The source of the peer's address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// The address that the socket is connected to.
    #[default]
    Socket,
    /// The address of a PROXY header that has not come yet.
    Unknown,
    /// The address that a PROXY header has told.
    Told(SocketAddr),
}

/// When a transport is dropped, it closes: TLS sends close_notify first, without waiting.
pub trait Transport {
    /// Appends received bytes to `into`, within its spare capacity. Returns their number, 0 at the
    /// end of the stream.
    fn read(&mut self, into: &mut Vec<u8>) -> Result<Step<usize>>;

    /// Sends some of `bytes`, and returns how many.
    fn write(&mut self, bytes: &[u8]) -> Result<Step<usize>>;

    /// Ends the sending side; reading still works.
    fn shutdown(&mut self) -> Result<Step<()>>;

    /// What the next read would give, 0 at the end of the stream; it stays. A wait where nothing is
    /// known to have come.
    fn peek(&mut self) -> Result<Step<usize>> {
        Ok(Step::Wait(Wait::new(&self.fd(), Want::Read)))
    }

    fn fd(&self) -> BorrowedFd<'_>;

    /// Returns the number of received bytes inside the transport, where poll cannot see them.
    fn pending(&self) -> usize;

    /// Whether the transport holds input that it has not decoded: the next read decodes it before
    /// it waits.
    fn has_unseen(&self) -> bool {
        false
    }

    /// Whether the last read took all received bytes, as far as this is known.
    fn was_short(&self) -> bool {
        false
    }

    /// Whether all is over that comes before payload, a PROXY header or a handshake: whoever reads
    /// or writes first carries it on.
    fn has_begun(&self) -> bool {
        true
    }

    /// Receives the PROXY header, if the transport expects one.
    fn step_header(&mut self) -> Result<Step<()>> {
        Ok(Step::Done(()))
    }

    fn origin(&self) -> Origin {
        Origin::Socket
    }

    /// Returns the carrier, for another transport; none if this transport is more than a carrier.
    fn into_carrier(self: Box<Self>) -> Option<Carrier> {
        None
    }

    /// Whether payload comes in records: `peek` does not tell an end that is in one of them.
    fn has_records(&self) -> bool {
        false
    }

    /// The socket at the bottom.
    fn as_tcp(&mut self) -> Option<&mut tcp::Tcp> {
        None
    }

    /// Returns the TLS transport, for what only TLS knows.
    fn as_tls(&mut self) -> Option<&mut tls::Tls> {
        None
    }

    /// Returns the trace of this connection, if it is traced.
    fn trace(&self) -> Option<&Trace> {
        None
    }
}
