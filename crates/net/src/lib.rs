//! `net`: connections as steps that never block. Everything below the Lua glue, and nothing of Lua.
//!
//! Every operation is a step that can simply be made again, because all progress lives in the
//! buffers. A call drives its step with `poll(2)` in between; in a coroutine of an event loop the
//! caller hands the very same wait to the loop.

#![deny(unsafe_code)]

pub mod alert;
pub mod code;
pub mod connect;
pub mod endpoint;
pub mod errno;
pub mod error;
pub mod framing;
pub mod io;
pub mod json_scan;
pub mod listen;
pub mod memory;
pub mod pending;
pub mod socket_options;
pub mod stream;
pub mod text;
pub mod trace;
pub mod transport;
pub mod unix;
