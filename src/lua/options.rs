//! The options of `connect` and its kin: a number of seconds or a table. Every key is checked, an
//! unknown one is a bad argument: a typo in a TLS option must not pass for a setting.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use mlua::Value;
use socket2::TcpKeepalive;

use crate::conn::Limits;
use crate::dial::{Family, Target};
use crate::error;
use crate::frame::Endian;
use crate::resolve;
use crate::transport::tls;

use super::call::{Argument, Result};
use super::json;

/// Seconds that a call may take unless the script says otherwise.
pub const TIMEOUT: f64 = 5.0;

/// What a connection is made with.
pub struct Options {
    pub timeout: f64,
    pub connect_timeout: Option<f64>,
    pub limits: Limits,
    pub json: json::Options,
    pub target: Target,
    /// The settings of TLS, where it is wanted.
    pub tls: Option<tls::Settings>,
}

impl Options {
    /// The defaults for a host and a port, with TLS or without.
    pub fn new(host: String, port: u16, tls: bool) -> error::Result<Self> {
        let server_name = server_name(&host)?;
        let tls =
            tls.then(|| tls::Settings { server_name, verify: true, trust: tls::Trust::default() });
        Ok(Self {
            timeout: TIMEOUT,
            connect_timeout: None,
            limits: Limits::default(),
            json: json::Options::default(),
            target: Target { host, port, family: None, bind: None, nodelay: true, keepalive: None },
            tls,
        })
    }

    /// Takes what the argument says: nothing, a timeout, or a table.
    pub fn apply(&mut self, argument: Argument<'_>) -> Result<()> {
        match argument.value() {
            Value::Nil => Ok(()),
            Value::Table(_) => each(argument, |option| self.set(option)),
            Value::Number(_) | Value::Integer(_) | Value::String(_) => {
                self.timeout = argument.seconds()?;
                Ok(())
            }
            _ => Err(argument.expected("number or table")),
        }
    }

    /// Sets one option. False: it has no such name.
    fn set(&mut self, option: Argument<'_>) -> Result<bool> {
        match option.name() {
            "timeout" => self.timeout = option.seconds()?,
            "connect_timeout" => self.connect_timeout = Some(option.seconds()?),
            "family" => {
                let families = [("inet", Family::Inet), ("inet6", Family::Inet6)];
                self.target.family = Some(option.one_of(&families)?);
            }
            "bind" => self.target.bind = Some(address(option)?),
            "nodelay" => self.target.nodelay = option.boolean()?,
            "keepalive" => self.target.keepalive = keepalive(option)?,
            "max_packet" => self.limits.max_packet = option.integer(0, u32::MAX as usize)?,
            "max_buffer" => self.limits.max_buffer = option.integer(1, usize::MAX)?,
            "endian" => {
                let orders = [("big", Endian::Big), ("little", Endian::Little)];
                self.limits.endian = option.one_of(&orders)?;
            }
            _ => {
                let tls = match &mut self.tls {
                    Some(tls) => set_tls(tls, option)?,
                    None => false,
                };
                return Ok(tls || set_json(&mut self.json, option)?);
            }
        }
        Ok(true)
    }
}

/// The options of `json.decode`.
pub fn json(argument: Argument<'_>) -> Result<json::Options> {
    let mut options = json::Options::default();
    if !argument.is_absent() {
        each(argument, |option| set_json(&mut options, option))?;
    }
    Ok(options)
}

/// Hands every option of a table to `set`, which says whether it knows it.
fn each(argument: Argument<'_>, mut set: impl FnMut(Argument<'_>) -> Result<bool>) -> Result<()> {
    for pair in argument.table()?.pairs::<Value, Value>() {
        let (key, value) = pair?;
        let name = key.as_string().map(|name| name.to_string_lossy());
        let name = name.unwrap_or_else(|| format!("[{}]", key.type_name()));
        if !set(argument.option(&name, &value))? {
            return Err(argument.wrong(format_args!("unknown option '{name}'")));
        }
    }
    Ok(())
}

fn set_json(options: &mut json::Options, option: Argument<'_>) -> Result<bool> {
    use json::{BigInt, Null};
    match option.name() {
        "null" => options.null = option.one_of(&[("null", Null::Value), ("nil", Null::Nil)])?,
        "bigint" => {
            let words =
                [("float", BigInt::Float), ("string", BigInt::String), ("error", BigInt::Error)];
            options.bigint = option.one_of(&words)?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn set_tls(settings: &mut tls::Settings, option: Argument<'_>) -> Result<bool> {
    match option.name() {
        "verify" => settings.verify = option.boolean()?,
        "server_name" => {
            let name = server_name(&option.text()?);
            settings.server_name =
                name.map_err(|_| option.wrong("a host name or an IP address expected"))?;
        }
        "ca_file" => settings.trust.file = Some(path(option)?),
        "ca_dir" => settings.trust.dir = Some(path(option)?),
        "ca" => settings.trust.text = Some(option.string()?.as_bytes().to_vec()),
        _ => return Ok(false),
    }
    Ok(true)
}

/// A host as certificates have it: an address without brackets, a name in ASCII without the dot
/// that may end it.
fn server_name(host: &str) -> error::Result<String> {
    if let Some(ip) = resolve::literal(host) {
        return Ok(ip.to_string());
    }
    let name = resolve::ascii(host)?;
    Ok(name.strip_suffix('.').unwrap_or(&name).to_owned())
}

fn path(option: Argument<'_>) -> Result<PathBuf> {
    let path = option.text()?;
    if path.contains('\0') {
        return Err(option.wrong("a path without a zero byte expected"));
    }
    Ok(PathBuf::from(path))
}

/// A local address, or `{host, port}`.
fn address(option: Argument<'_>) -> Result<SocketAddr> {
    let wrong = || option.wrong("an IP address, or a table of one and a port, expected");
    let (host, port) = match option.value() {
        Value::Table(pair) => {
            let host: Value = pair.raw_get(1)?;
            let port: Value = pair.raw_get(2)?;
            let port = option.with(&port);
            let port = if port.is_absent() { 0 } else { port.integer(0, 65535)? };
            (option.with(&host).text()?, port)
        }
        _ => (option.text()?, 0),
    };
    let ip = resolve::literal(&host).ok_or_else(wrong)?;
    Ok((ip, port as u16).into())
}

/// A boolean, or a table of `idle`, `interval` (seconds) and `count`.
pub fn keepalive(option: Argument<'_>) -> Result<Option<TcpKeepalive>> {
    let Value::Table(table) = option.value() else {
        return Ok(option.boolean()?.then(TcpKeepalive::new));
    };
    let mut keepalive = TcpKeepalive::new();
    for pair in table.pairs::<Value, Value>() {
        let (key, value) = pair?;
        let value = option.with(&value);
        let seconds =
            || -> Result<Duration> { Ok(Duration::from_secs(value.integer(1, 32767)? as u64)) };
        keepalive = match key.as_string().map(|name| name.to_string_lossy()).as_deref() {
            Some("idle") => keepalive.with_time(seconds()?),
            Some("interval") => keepalive.with_interval(seconds()?),
            Some("count") => keepalive.with_retries(value.integer(1, 127)? as u32),
            _ => return Err(option.wrong("a table of idle, interval and count expected")),
        };
    }
    Ok(Some(keepalive))
}
