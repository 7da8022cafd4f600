//! The options that a live connection can change. Uses `ffi`, `json`.

use net::socket_options::SocketOptions;
use net::stream::Limits;

use super::{set_json, set_limit, socket, unix};
use crate::ffi::argument::Argument;
use crate::ffi::call::Result;
use crate::json;

/// What a live connection can change.
pub struct LiveOptions {
    pub timeout: f64,
    pub limits: Limits,
    pub json: json::Options,
    pub socket: SocketOptions,
}

impl LiveOptions {
    pub fn apply(&mut self, argument: Argument<'_>, is_unix: bool) -> Result<()> {
        argument.each_option(|option| {
            if let Some(why) = unix::why_none(option.name(), is_unix, false) {
                return Err(option.wrong(why));
            }
            match option.name() {
                "timeout" => self.timeout = option.seconds()?,
                "bind" | "connect_timeout" | "device" | "family" | "proxy" => {
                    return Err(option.wrong("it is chosen when connecting"));
                }
                _ if set_limit(&mut self.limits, option)? => {}
                _ if socket::set(&mut self.socket, option)? => {}
                _ => return set_json(&mut self.json, option),
            }
            Ok(true)
        })
    }
}
