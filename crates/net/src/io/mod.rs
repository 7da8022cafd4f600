//! What waiting is made of: the step that never blocks, the wait between two steps, the clock, the
//! only `poll(2)`, and the poller that has many waits behind one descriptor.

pub mod deadline;
pub mod poller;
pub mod step;
pub mod wait;
