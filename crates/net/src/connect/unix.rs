//! From the address of a Unix socket to a connected socket. The system connects at once, or says
//! that the backlog of the listener is full, and has nothing to wait for then. Uses
//! `unix::address`, `connect::race` (what it gives), `connect::socket`, `io::step`, `io::deadline`,
//! `trace`, `error`.

use std::io;

use rustix::io::Errno;
use rustix::net::SocketAddrUnix;

use crate::connect::race::Dialed;
use crate::connect::socket::new_unix_socket;
use crate::endpoint::Addresses;
use crate::error::{Code, Error, Pending, Result};
use crate::io::deadline::{Deadline, now};
use crate::io::step::{Step, Wait, Want};
use crate::io::system::{Poll, Socket, connect};
use crate::text::system_text;
use crate::trace::{Phase, Trace};
use crate::unix::address::UnixAddress;

/// Seconds before a connect is tried again: the first pause, doubled up to the longest.
const PAUSE: f64 = 0.001;
const LONGEST_PAUSE: f64 = 0.05;

pub struct UnixConnect {
    /// Taken when it is connected.
    socket: Option<Socket>,
    name: UnixAddress,
    address: SocketAddrUnix,
    pause: f64,
    /// When it is to be tried again.
    resumes: Deadline,
    /// Watches nothing, so that only time ends a wait for it.
    idle: Option<Poll>,
    phase: Option<Phase>,
}

impl UnixConnect {
    pub fn start(address: &UnixAddress, trace: Option<&Trace>) -> Result<Self> {
        Ok(Self {
            socket: Some(new_unix_socket()?),
            name: address.clone(),
            address: address.to_system()?,
            pause: PAUSE,
            resumes: Deadline::at(0.0),
            idle: None,
            phase: trace.map(|trace| trace.begin("connect")),
        })
    }

    pub fn step(&mut self) -> Result<Step<Dialed>> {
        let socket = self.socket.as_ref().expect("a step after the last");
        if !self.resumes.has_passed() {
            return self.wait();
        }
        match connect(socket, &self.address) {
            Ok(()) => {}
            Err(Errno::AGAIN) => {
                self.resumes = Deadline::after(self.pause);
                self.pause = (2.0 * self.pause).min(LONGEST_PAUSE);
                return self.wait();
            }
            Err(Errno::INTR) => return Ok(Step::Wait(Wait::yield_now(socket))),
            Err(errno) => return Err(self.fail(errno)),
        }
        // A peer that has gone already need not have a name any more.
        let known =
            || Addresses::new(socket, UnixAddress::Unnamed.into(), self.name.clone().into());
        let addresses = Addresses::of(socket).unwrap_or_else(|_| known());
        if let Some(phase) = self.phase.take() {
            phase.end("connected");
        }
        let socket = self.socket.take().expect("it was there just now");
        Ok(Step::Done(Dialed { socket, addresses, begun: now() }))
    }

    fn wait<T>(&mut self) -> Result<Step<T>> {
        let idle = match &mut self.idle {
            Some(idle) => idle,
            empty => empty.insert(Poll::new()?),
        };
        let wait = Wait::new(idle, Want::Read).waking(self.resumes);
        Ok(Step::Wait(wait.pending(Pending::Backlog)))
    }

    #[cold]
    fn fail(&mut self, errno: Errno) -> Error {
        let error = io::Error::from(errno);
        if let Some(phase) = self.phase.take() {
            phase.fail(system_text(&error));
        }
        match errno {
            // Without its file nobody can be there either.
            Errno::NOENT => Error::new(Code::Refused, system_text(&error)),
            _ => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::wait::{Driven, WaitMode, drive};

    #[test]
    #[cfg(target_os = "linux")]
    fn a_full_backlog_is_tried_again_until_there_is_room() {
        let name = format!("@tcp-net-{}", std::process::id());
        let address = UnixAddress::parse(name.as_bytes()).expect("an address");
        let listener = new_unix_socket().expect("a socket");
        rustix::net::bind(&listener, &address.to_system().expect("an address")).expect("bound");
        listener.listen(0).expect("listens");
        let mut first = UnixConnect::start(&address, None).expect("a socket");
        assert!(matches!(first.step(), Ok(Step::Done(_))));

        let mut second = UnixConnect::start(&address, None).expect("a socket");
        let begun = now();
        let mut tries = 0;
        let late = loop {
            let driven = drive(Deadline::at(begun + 0.2), WaitMode::Blocking, || {
                tries += 1;
                second.step()
            });
            match driven {
                Ok(Driven::Done(_)) => panic!("there is no room"),
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        assert_eq!((late.code(), late.phase()), (Code::Timeout, Some("connect")));
        assert!(now() - begun >= 0.2);
        // 1, 2, 4 ... 32, 50, 50 ms, and one that the deadline cuts off; each step may be made
        // twice. A busy machine makes fewer.
        assert!((6..=20).contains(&tries), "{tries} tries");

        listener.accept().expect("a client");
        let driven = drive(Deadline::after(5.0), WaitMode::Blocking, || second.step());
        assert!(matches!(driven, Ok(Driven::Done(_))));
    }
}
