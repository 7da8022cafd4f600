//! The calls of the system that wait, move bytes or read the clock, under the names by which the
//! rest of the crate calls them. A simulation (`--cfg simulate`, see CONTRIBUTING.md) puts a kernel
//! of its own behind the same names; all else is as it is in the module. Uses nothing of ours.

#[cfg(simulate)]
pub use simulated::{
    Events, Poll, PollFd, Socket, Waker, clock_gettime, connect, poll, recv, send, spare_capacity,
};

#[cfg(not(simulate))]
pub use {
    mio::{Events, Poll, Waker},
    nix::time::clock_gettime,
    rustix::buffer::spare_capacity,
    rustix::event::{PollFd, poll},
    rustix::net::{connect, recv, send},
    socket2::Socket,
};
