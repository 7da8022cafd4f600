//! A kernel of a test's own, for `crates/net` built with `--cfg simulate`: a clock that only moves
//! when a call is made, stream sockets with scripted peers, poll and epoll. All that happens comes
//! from one seed, so that the same seed is the same run. It knows nothing of `crates/net`, and has
//! no part in the module.
//!
//! Each thread has a kernel of its own. What is here by the names of mio, rustix, socket2 and nix
//! does what those do, as Linux does it: an edge is told once, a short read of a TCP socket took
//! all that there was, a write edge comes to those alone who have found no room.

#![deny(unsafe_code)]

mod epoll;
mod kernel;
mod network;
mod poll;
mod random;
mod readiness;
mod socket;
mod state;
mod transfer;
mod watching;

pub use epoll::{Event, Events, Poll, Registry, Waker};
pub use kernel::{Faults, Kernel, clock_gettime, with};
pub use network::{Act, Answer, Peer, Server};
pub use poll::{PollFd, poll};
pub use random::Random;
pub use socket::{Socket, connect};
pub use transfer::{Room, Spare, recv, send, spare_capacity};
