//! The operations of a carrier, which TLS runs over. Uses `transport`, `transport::tcp`, `error`.

use std::io;
use std::os::fd::BorrowedFd;

use super::tcp::{Reason, Tcp};
use super::{Carrier, Transport};
use crate::error::Result;

impl From<Tcp> for Carrier {
    fn from(tcp: Tcp) -> Self {
        Self::Tcp(tcp)
    }
}

impl Carrier {
    pub fn as_transport(&mut self) -> &mut dyn Transport {
        match self {
            Self::Tcp(tcp) => tcp,
            Self::Tunnel(tunnel) => &mut **tunnel,
        }
    }

    pub fn into_transport(self) -> Box<dyn Transport> {
        match self {
            Self::Tcp(tcp) => Box::new(tcp),
            Self::Tunnel(tunnel) => tunnel,
        }
    }

    /// Puts bytes in front of those that come: what was read in excess.
    pub fn unread(&mut self, bytes: &[u8]) -> Result<()> {
        match self {
            Self::Tcp(tcp) => tcp.unread(bytes),
            Self::Tunnel(tunnel) => tunnel.unread(bytes),
        }
    }

    /// Whether the connection ends with a reset.
    pub fn is_reset_on_close(&mut self) -> bool {
        self.as_transport().as_tcp().is_some_and(|tcp| tcp.is_reset_on_close())
    }

    pub fn fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(tcp) => tcp.fd(),
            Self::Tunnel(tunnel) => tunnel.fd(),
        }
    }

    /// Whether more than is asked for may be taken for the TLS above. What carries a tunnel does so
    /// anyway.
    pub fn set_reads_ahead(&mut self, reads_ahead: bool) {
        match self {
            Self::Tcp(tcp) => tcp.set_reads_ahead(reads_ahead),
            Self::Tunnel(_) => {}
        }
    }

    /// Whether there is something that the TLS above has not taken.
    pub fn has_ahead(&self) -> bool {
        match self {
            Self::Tcp(tcp) => tcp.has_ahead(),
            Self::Tunnel(tunnel) => tunnel.pending() > 0 || tunnel.has_unseen(),
        }
    }

    /// Gives up sending, where that has failed: what the TLS above writes from now on is lost, so
    /// that it goes on to read. False where nothing has failed.
    pub fn abandon_writes(&mut self) -> bool {
        match self {
            Self::Tcp(tcp) => tcp.abandon_writes(),
            Self::Tunnel(_) => false,
        }
    }

    /// Throws away what has come, before it is closed. What carries a tunnel does so by itself.
    pub fn discard(&mut self) {
        match self {
            Self::Tcp(tcp) => tcp.discard(),
            Self::Tunnel(_) => {}
        }
    }

    /// Ends an operation of the TLS above: why its last call did not do what it should.
    pub fn take_reason(&mut self) -> Option<Reason> {
        match self {
            Self::Tcp(tcp) => tcp.take_reason(),
            Self::Tunnel(tunnel) => tunnel.take_reason(),
        }
    }
}

impl io::Read for Carrier {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(tcp) => io::Read::read(tcp, into),
            Self::Tunnel(tunnel) => io::Read::read(&mut **tunnel, into),
        }
    }
}

impl io::Write for Carrier {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(tcp) => io::Write::write(tcp, bytes),
            Self::Tunnel(tunnel) => io::Write::write(&mut **tunnel, bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
