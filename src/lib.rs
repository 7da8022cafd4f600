//! `tcp`: TCP and TLS connections for Lua scripts.
//!
//! ```text
//!            script
//!              |            raises at the caller's line, yields to a loop, calls again after EINTR
//!        src/lua/shim.lua, loops.lua      (src/entry.rs: what `require` finds)
//!              |            arguments in, values out; nothing waits here but through drive()
//!        src/lua/*.rs  ------------------------------->  src/lua/json/  (tape, replay, walk)
//!              |    \
//!              |     src/lua/raw/   what the million calls need without mlua: fast halves
//!              |
//!    ----------+----------------- crates/net: no Lua below this line -----------------------------
//!              |
//!        connect/ -> stream/   step_* operations: Done | Wait
//!              |   \
//!              |    stream/buffer.rs, framing/, json_scan/     pure: bytes in, decision out
//!        transport/  Tcp | Tls, a Traced one around either (trait Transport)
//!              |
//!        connect/race.rs, connect/resolve.rs, listen.rs, endpoint.rs socket2, rustix, mio, openssl
//!        io/wait.rs: the only poll(2)   io/deadline.rs: the only clock   error.rs: the only errors
//!        io/poller.rs: many waits behind one descriptor, for loops that watch no more
//!        trace.rs: the only lines for stderr, or for a function of the script's
//! ```
//!
//! Every operation is a step that never blocks and can simply be made again, because all progress
//! lives in the buffers. A call drives its step with `poll(2)` in between; in a coroutine of an
//! event loop it hands the very same wait to the loop (`lua/park.rs`).
//!
//! A script's call comes to a fast half first (`lua/raw/fast.rs`, `lua/raw/connect.rs`), where it
//! is one of those that are made a million times. It does what is plain, and leaves all else to the
//! full half, which makes the step again, or goes on with the connect that was begun.
//!
//! With one of the features `lua51` to `lua55` or `luajit` the crate is the Lua module; with none
//! it holds nothing: what is below the glue is the crate `net`, which is tested and fuzzed without
//! any Lua.

#![deny(unsafe_code)]

#[cfg(feature = "mlua")]
#[allow(unsafe_code)]
mod entry;
#[cfg(feature = "mlua")]
mod lua;
