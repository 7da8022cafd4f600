//! `tcp`: TCP and TLS connections for Lua scripts.
//!
//! ```text
//!            script
//!              |            raises at the caller's line, yields to a loop, calls again after EINTR
//!        lua/shim.lua, lua/loops/*.lua    (luaopen.rs, modules.rs: what `require` gives)
//!              |
//!        ffi/trampoline.rs   the one C function behind all: operation, push, commit
//!              |                       (from 5.2 on scripts call it by ffi/direct.rs)
//!              |                 \
//!        ops/*.rs             ffi/argument.rs, ffi/reply.rs: arguments in, data out
//!        each operation once  json/: tape, replay, walk
//!              |
//!    ----------+------------- crates/net: no Lua below this line -----------------------
//!              |
//!        connect/ -> stream/   step_* operations: Done | Wait
//!              |   \
//!              |    stream/buffer.rs, framing/, json_scan/     pure: bytes in, decision out
//!        transport/  Tcp | Tls | Tunnel, a Traced one around any (trait Transport)
//!              |
//!        connect/race.rs, connect/resolve.rs, listen.rs, endpoint.rs
//!        io/wait.rs: the only poll(2)                 io/deadline.rs: the only clock
//!        io/poller.rs: many waits, one descriptor     io/fork.rs: whose they are
//!        error.rs: the only errors                    trace.rs: the only lines
//!        memory.rs: what may be refused               (src/alloc.rs: a reserve)
//! ```
//!
//! Every operation is a step that never blocks and can simply be made again, because all progress
//! lives in the buffers. A call drives its step with `poll(2)` in between; in a coroutine of an
//! event loop it hands the very same wait to the loop (`event_loop.rs`).
//!
//! An operation exists once. It reads its arguments from Lua's stack, works in safe Rust, and
//! answers with data, which the trampoline pushes in one protected call. Only then is it committed,
//! so what raises on the way loses nothing.
//!
//! With one of the features `lua51` to `lua55` or `luajit` the crate is the Lua module; with none
//! it holds nothing: what is below the glue is the crate `net`, which is tested and fuzzed without
//! any Lua.

#![deny(unsafe_code)]

#[cfg(feature = "mlua")]
#[allow(unsafe_code)]
mod alloc;
#[cfg(feature = "mlua")]
mod connection;
#[cfg(feature = "mlua")]
mod event_loop;
#[cfg(feature = "mlua")]
#[allow(unsafe_code)]
mod ffi;
#[cfg(feature = "mlua")]
#[allow(unsafe_code)]
mod json;
#[cfg(feature = "mlua")]
mod line_block;
#[cfg(feature = "mlua")]
mod listener;
#[cfg(feature = "mlua")]
#[allow(unsafe_code)]
mod luaopen;
#[cfg(feature = "mlua")]
mod modules;
#[cfg(feature = "mlua")]
mod ops;
#[cfg(feature = "mlua")]
mod options;
#[cfg(feature = "mlua")]
mod owners;
#[cfg(feature = "mlua")]
mod pending;
