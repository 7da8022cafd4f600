//! Each operation once: arguments in, a reply out. Safe code but where an operation must make sure
//! of the stack.

pub mod certificates;
pub mod codec;
pub mod connect;
pub mod copy;
pub mod debug;
pub mod dialogue;
pub mod face;
pub mod info;
pub mod poll;
pub mod poller;
pub mod read;
pub mod resolve;
pub mod scheduler;
pub mod settings;
pub mod start_tls;
pub mod time;
pub mod tls;
pub mod write;

use crate::ffi::call::Body::Function;
use crate::ffi::call::Operation;
use crate::listener;

/// The module's functions, by name, besides `send` and `recv`, which are methods of the last
/// connection.
pub static FUNCTIONS: [Operation; 13] = [
    Operation { name: "certificates", body: Function(certificates::certificates) },
    Operation { name: "connect", body: Function(connect::connect) },
    Operation { name: "connect_tls", body: Function(connect::connect_tls) },
    Operation { name: "connect_unix", body: Function(connect::connect_unix) },
    Operation { name: "debug", body: Function(debug::debug) },
    Operation { name: "from_fd", body: Function(connect::from_fd) },
    Operation { name: "listen", body: Function(listener::listen) },
    Operation { name: "listen_unix", body: Function(listener::listen_unix) },
    Operation { name: "listener_from_fd", body: Function(listener::listener_from_fd) },
    Operation { name: "now", body: Function(time::now) },
    Operation { name: "poll", body: Function(poll::tcp_poll) },
    Operation { name: "resolve", body: Function(resolve::resolve) },
    Operation { name: "sleep", body: Function(time::sleep) },
];

/// `tcp.json`.
pub static CODEC: [Operation; 4] = [
    Operation { name: "array", body: Function(codec::array) },
    Operation { name: "decode", body: Function(codec::decode) },
    Operation { name: "encode", body: Function(codec::encode) },
    Operation { name: "get", body: Function(codec::get) },
];
