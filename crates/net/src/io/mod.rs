//! What waiting is made of: the step that never blocks, the wait between two steps, the clock, the
//! only `poll(2)`, the poller that has many waits behind one descriptor, the set that has many
//! descriptors behind one, and what a fork changes.

pub mod deadline;
pub mod fork;
pub mod poll_set;
pub mod poller;
mod slot;
pub mod step;
pub mod system;
pub mod tcp_info;
pub mod ticket;
mod timers;
pub mod wait;
