//! The option `proxy_protocol` of `connect` and `connect_tls`: which PROXY header goes first.

use std::net::SocketAddr;

use net::connect::announce::ProxyProtocol;
use net::connect::host;
use net::transport::proxy_header::{Ends, Version};

use crate::ffi::argument::{Argument, Type};
use crate::ffi::call::Result;

/// A version, `"local"`, or a table that tells another connection's ends.
pub fn proxy_protocol(option: Argument<'_>) -> Result<ProxyProtocol> {
    match option.value_type() {
        Type::Number => version(&option).map(ProxyProtocol::Own),
        Type::String => option.one_of(&[("local", ProxyProtocol::Local)]),
        Type::Table => told(option),
        _ => Err(option.expected("1, 2, 'local' or table")),
    }
}

fn version(option: &Argument<'_>) -> Result<Version> {
    Ok(if option.integer(1, 2)? == 1 { Version::One } else { Version::Two })
}

fn told(option: Argument<'_>) -> Result<ProxyProtocol> {
    let (mut which, mut source, mut destination) = (None, None, None);
    option.each_option(|member| {
        match member.name() {
            "version" => which = Some(version(&member)?),
            "source" => source = Some(end(member)?),
            "destination" => destination = Some(end(member)?),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    let (Some(version), Some(source), Some(destination)) = (which, source, destination) else {
        return Err(option.wrong("a table of version, source and destination expected"));
    };
    if source.is_ipv4() != destination.is_ipv4() {
        return Err(option.wrong("source and destination are not of one family"));
    }
    Ok(ProxyProtocol::Told(version, Ends { source, destination }))
}

/// `{ip, port}`, or as `info()` has it, `{ip =, port =}`.
fn end(option: Argument<'_>) -> Result<SocketAddr> {
    let (mut ip, mut port) = (None, None);
    option.each(|key, value| {
        let is = |place: usize, name: &[u8]| match key.value_type() {
            Type::Number => key.number().is_ok_and(|number| number == place as f64),
            Type::String => key.bytes().is_ok_and(|bytes| bytes == name),
            _ => false,
        };
        if is(1, b"ip") {
            ip = host::literal(value.text()?);
        } else if is(2, b"port") {
            port = Some(value.integer(0, 65535)? as u16);
        } else {
            return Err(option.wrong("a table of an IP address and a port expected"));
        }
        Ok(())
    })?;
    match (ip, port) {
        (Some(ip), Some(port)) => Ok((ip, port).into()),
        _ => Err(option.wrong("a table of an IP address and a port expected")),
    }
}
