//! What a connection's TLS is asked for: its handshake, its session, its channel binding. Uses
//! `ffi`, `connection`.

use std::os::fd::AsRawFd;

use net::error::{Code, Error};
use net::transport::tls::ChannelBinding;

use crate::connection::Connection;
use crate::ffi::call::{Call, Result};
use crate::ffi::reply::Reply;

/// Finishes what a connection begins with: a PROXY header, a TLS handshake.
pub fn handshake(call: &mut Call<'_>, this: &mut Connection) -> Result<Reply> {
    let (timeout, mode) = (this.config.timeout, this.wait_mode(call));
    let is_proxied = this.via.is_some();
    let stream = this.stream()?;
    if !is_proxied && stream.transport().as_tls().is_none() {
        return Err(no_tls().into());
    }
    call.drive(timeout, mode, || stream.step_begin())?;
    Ok(Reply::Nothing)
}

/// What resumes this TLS session later; nil before the server has sent it.
pub fn session(_: &mut Call<'_>, this: &mut Connection) -> Result<Reply> {
    let tls = this.stream()?.transport().as_tls().ok_or_else(no_tls)?;
    Ok(tls.session()?.into())
}

/// Bytes that an authentication above TLS binds itself to (RFC 5929, RFC 9266).
pub fn channel_binding(call: &mut Call<'_>, this: &mut Connection) -> Result<Reply> {
    let kind = call.argument(1).one_of(&[
        ("tls-exporter", ChannelBinding::Exporter),
        ("tls-server-end-point", ChannelBinding::ServerEndPoint),
    ])?;
    let tls = this.stream()?.transport().as_tls().ok_or_else(no_tls)?;
    Ok(tls.channel_binding(kind)?.into())
}

pub fn no_tls() -> Error {
    Error::new(Code::Tls, "this connection has no TLS")
}

/// Closes a connection whose handshake was left for later and has failed. Another coroutine that
/// waits for the same handshake is to hear of the failure first.
#[cold]
pub fn close_failed(call: &Call<'_>, this: &mut Connection) {
    let is_awaited = this.awaited(call) != [None, None];
    let Ok(stream) = this.stream() else { return };
    let has_failed = stream.transport().as_tls().is_some_and(|tls| tls.is_failed_client());
    if has_failed && !is_awaited {
        call.host.remove_fd(stream.fd().as_raw_fd());
        this.close();
        this.has_failed = true;
    }
}
