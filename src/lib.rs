//! `tcp`: TCP and TLS connections for Lua scripts.
//!
//! ```text
//!             script
//!               |            raises at the caller's line, yields to a loop, calls again after EINTR
//!         lua/shim.lua, loops.lua      (entry.rs: what `require` finds)
//!               |            arguments in, values out; nothing waits here but through drive()
//!         lua/*.rs  ------------------------------->  lua/json/  (tape, replay, walk)
//!               |    \
//!               |     lua/raw/   what the million calls need without mlua: fast halves, our userdata
//!               |
//!        connect.rs -> conn.rs   step_* operations: Done | Wait
//!               |   \
//!               |    buffer.rs, find.rs, frame.rs, json_scan.rs     pure: bytes in, decision out
//!         transport/  Tcp | Tls, Traced around one (trait Transport)
//!               |
//!         dial.rs, resolve.rs, listen.rs, endpoint.rs      socket2, rustix, mio, openssl
//!         wait.rs: the only poll(2)      deadline.rs: the only clock      error.rs: the only errors
//!         poller.rs: many waits behind one descriptor, for loops that watch no more
//!         trace.rs: the only lines for stderr, or for a function of the script's
//! ```
//!
//! Every operation is a step that never blocks and can simply be made again, because all progress
//! lives in the buffers. A call drives its step with `poll(2)` in between; in a coroutine of an event
//! loop it hands the very same wait to the loop (`lua/park.rs`).
//!
//! A script's call comes to a fast half first (`lua/raw/fast.rs`, `lua/raw/connect.rs`), where it is one of
//! those that are made a million times. It does what is plain, and leaves all else to the full half, which
//! makes the step again, or goes on with the connect that was begun.
//!
//! With one of the features `lua51` to `lua55` or `luajit` the crate is the Lua module; with none it
//! is everything below the Lua glue, which is how its tests and fuzz targets use it.

#![deny(unsafe_code)]

pub mod buffer;
pub mod conn;
pub mod connect;
pub mod deadline;
pub mod dial;
pub mod endpoint;
pub mod error;
pub mod find;
pub mod frame;
pub mod json_scan;
pub mod listen;
pub mod poller;
pub mod resolve;
pub mod step;
pub mod trace;
pub mod transport;
pub mod wait;

#[cfg(feature = "mlua")]
#[allow(unsafe_code)]
mod entry;
#[cfg(feature = "mlua")]
mod lua;
