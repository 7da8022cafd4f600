//! What a task asks of connections, as the module's own operations ask it.

use net::connect::race::{Dialed, Race};
use net::connect::socket::ConnectOptions;
use net::connect::unix::UnixConnect;
use net::error::{Copied, Error, Result};
use net::io::deadline::Deadline;
use net::io::step::{Step, Wait};
use net::listen::Listener;
use net::socket_options::SocketOptions;
use net::stream::copy::step_copy;
use net::transport::Transport;
use net::transport::tcp::Tcp;

use crate::connection::Connection;
use crate::content::Ask;
use crate::peers::Plan;

#[allow(clippy::large_enum_variant)]
pub enum Operation {
    Read { at: usize, ask: Ask },
    Skip { at: usize, size: usize },
    SkipPacket { at: usize },
    Flush { at: usize },
    Shutdown { at: usize },
    Copy { from: usize, into: usize, most: usize, copied: Copied },
    Connect(Box<Connecting>),
    ConnectUnix { connect: UnixConnect, plan: Option<Plan>, accepts: bool },
    Accept { is_next: bool },
    Sleep { until: Deadline },
}

/// A connect to several addresses.
pub struct Connecting {
    pub race: Race,
    pub options: ConnectOptions,
    /// By port: what is known of each address.
    pub targets: Vec<Target>,
}

pub struct Target {
    pub port: u16,
    /// None of one that is not accepted.
    pub plan: Option<Plan>,
    /// Seconds until it answers.
    pub after: f64,
}

/// What came of it.
pub enum Outcome {
    /// The text and the bytes that it has taken; nothing at the end of the stream.
    Item(Option<(Vec<u8>, usize)>),
    SkippedPacket(Option<usize>),
    Dialed(Dialed),
    Accepted(Box<dyn Transport>),
    Done,
}

impl Operation {
    pub fn options(is_eager: bool) -> ConnectOptions {
        let (family, bind, proxy_protocol, trace) = (None, None, None, None);
        ConnectOptions {
            family,
            bind,
            socket: SocketOptions::default(),
            proxy_protocol,
            trace,
            is_eager,
        }
    }

    /// The connections of which it needs a side to itself: the reading one, the writing one.
    pub fn sides(&self) -> (Option<usize>, Option<usize>) {
        match self {
            Self::Read { at, .. } | Self::Skip { at, .. } | Self::SkipPacket { at } => {
                (Some(*at), None)
            }
            Self::Flush { at } | Self::Shutdown { at } => (None, Some(*at)),
            Self::Copy { from, into, .. } => (Some(*from), Some(*into)),
            _ => (None, None),
        }
    }

    pub fn step(
        &mut self,
        connections: &mut [Connection],
        listener: Option<&Listener>,
    ) -> Result<Step<Outcome>> {
        match self {
            Self::Connect(connecting) => {
                Ok(connecting.race.step(&connecting.options)?.map(Outcome::Dialed))
            }
            Self::ConnectUnix { connect, .. } => Ok(connect.step()?.map(Outcome::Dialed)),
            Self::Accept { is_next } => {
                let listener = listener.expect("there is one where this is asked");
                let step = if *is_next { listener.step_next() } else { listener.step_accept() };
                Ok(step?.map(|established| Outcome::Accepted(unwrap(*established.stream))))
            }
            Self::Sleep { until } if until.has_passed() => Ok(Step::Done(Outcome::Done)),
            Self::Sleep { until } => Ok(Step::Wait(Wait::timer(*until))),
            Self::Copy { from, into, most, copied } => {
                let both = connections.get_disjoint_mut([*from, *into]).expect("two of them");
                let [Some(source), Some(target)] = both.map(|each| each.stream.as_mut()) else {
                    return Err(closed());
                };
                Ok(step_copy(source, target, *most as u64, copied)?.map(|()| Outcome::Done))
            }
            Self::Read { at, ask } => {
                let stream = open(connections, *at)?;
                Ok(stream.step_find(ask.request())?.map(|item| {
                    Outcome::Item(item.map(|item| {
                        let text = stream.text(&item).to_vec();
                        stream.consume(item.size);
                        (text, item.size)
                    }))
                }))
            }
            Self::Skip { at, size } => {
                let stream = open(connections, *at)?;
                Ok(stream.step_skip(*size as u64)?.map(|()| Outcome::Done))
            }
            Self::SkipPacket { at } => {
                let stream = open(connections, *at)?;
                Ok(stream
                    .step_skip_packet()?
                    .map(|length| Outcome::SkippedPacket(length.map(|length| length as usize))))
            }
            Self::Flush { at } => {
                let stream = open(connections, *at)?;
                Ok(stream.step_flush()?.map(|()| Outcome::Done))
            }
            Self::Shutdown { at } => {
                let stream = open(connections, *at)?;
                Ok(stream.step_shutdown()?.map(|()| Outcome::Done))
            }
        }
    }
}

fn open(connections: &mut [Connection], at: usize) -> Result<&mut net::stream::Stream> {
    connections[at].stream.as_mut().ok_or_else(closed)
}

fn closed() -> Error {
    Error::closed("closed by the script")
}

/// The socket of a connection on which nothing was done, to put another layer on it.
fn unwrap(stream: net::stream::Stream) -> Box<dyn Transport> {
    stream.into_carrier().expect("nothing is on top of it").into_transport()
}

/// The socket of a connect that is through.
pub fn dialed(dialed: Dialed) -> (Tcp, net::endpoint::Address) {
    let is_unix = dialed.addresses.remote.is_unix();
    (Tcp::new(dialed.socket, is_unix), dialed.addresses.remote)
}
