//! The options of a socket. Uses `ffi`.

use std::env::consts::OS;
use std::time::Duration;

use net::socket_options::{DEVICE_NAME, HAS_LINUX_OPTIONS, SocketOptions};
use net::text::number_text;
use socket2::TcpKeepalive;

use crate::ffi::argument::{Argument, Type};
use crate::ffi::call::Result;

/// Most that the kernel keeps of `user_timeout`, in seconds: a signed number of milliseconds.
const LONGEST: f64 = 2_147_483.0;

/// Takes one option. False: it is not one of a socket.
pub fn set(options: &mut SocketOptions, option: Argument<'_>) -> Result<bool> {
    match option.name() {
        "nodelay" => options.nodelay = Some(option.boolean()?),
        "keepalive" => options.keepalive = Some(keepalive(option)?),
        "ttl" => options.ttl = Some(option.integer(1, 255)? as u8),
        "tos" => options.tos = Some(option.integer(0, 255)? as u8),
        "device" => options.device = Some(device(option)?),
        "user_timeout" => options.user_timeout = Some(user_timeout(option)?),
        "send_buffer" => options.send_buffer = Some(size(option)?),
        "receive_buffer" => options.receive_buffer = Some(size(option)?),
        "reset_on_close" => options.reset_on_close = Some(option.boolean()?),
        _ => return Ok(false),
    }
    Ok(true)
}

/// Bytes, as many as the system can be told.
fn size(option: Argument<'_>) -> Result<usize> {
    option.integer(1, i32::MAX as usize)
}

fn device(option: Argument<'_>) -> Result<String> {
    let name = option.owned_text()?;
    check_system(option)?;
    if name.is_empty() || name.len() > DEVICE_NAME || name.contains('\0') {
        return Err(option.wrong("the name of a network interface expected"));
    }
    Ok(name)
}

/// In the kernel's milliseconds, and not shorter than it was given.
fn user_timeout(option: Argument<'_>) -> Result<Duration> {
    let seconds = option.seconds()?;
    check_system(option)?;
    if seconds > LONGEST {
        let given = number_text(seconds);
        return Err(option.wrong(format_args!("at most {LONGEST} seconds expected, got {given}")));
    }
    Ok(Duration::from_millis((seconds * 1000.0).ceil() as u64))
}

/// What only Linux has is refused elsewhere.
fn check_system(option: Argument<'_>) -> Result<()> {
    match HAS_LINUX_OPTIONS {
        true => Ok(()),
        false => Err(option.wrong(format_args!("{OS} does not have it"))),
    }
}

/// A boolean, or a table of `idle`, `interval` (seconds) and `count`.
pub fn keepalive(option: Argument<'_>) -> Result<Option<TcpKeepalive>> {
    if option.value_type() != Type::Table {
        return Ok(option.boolean()?.then(TcpKeepalive::new));
    }
    let mut keepalive = TcpKeepalive::new();
    option.each(|key, value| {
        let seconds =
            || -> Result<Duration> { Ok(Duration::from_secs(value.integer(1, 32767)? as u64)) };
        let name = if key.value_type() == Type::String { key.bytes()? } else { b"" };
        keepalive = match name {
            b"idle" => keepalive.clone().with_time(seconds()?),
            b"interval" => keepalive.clone().with_interval(seconds()?),
            b"count" => keepalive.clone().with_retries(value.integer(1, 127)? as u32),
            _ => return Err(option.wrong("a table of idle, interval and count expected")),
        };
        Ok(())
    })?;
    Ok(Some(keepalive))
}
