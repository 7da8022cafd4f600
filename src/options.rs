//! The options of `connect` and its kin: a number of seconds or a table. Every key is checked, an
//! unknown one is a bad argument: a typo in a TLS option must not pass for a setting.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use socket2::TcpKeepalive;

use net::connect::race::Target;
use net::connect::resolve::{self, Family};
use net::endpoint::Endpoint;
use net::error;
use net::framing::Endian;
use net::stream::Limits;
use net::transport::tls::{self, Side};

use crate::ffi::argument::{Argument, Type};
use crate::ffi::call::Result;
use crate::json;

/// Seconds that a call may take unless the script says otherwise.
pub const TIMEOUT: f64 = 5.0;

/// What a connection is made with.
pub struct Options {
    pub endpoint: Endpoint,
    pub timeout: f64,
    pub connect_timeout: Option<f64>,
    pub limits: Limits,
    pub json: json::Options,
    pub target: Target,
    /// The settings of TLS, where it is wanted.
    pub tls: Option<Box<tls::Settings>>,
}

impl Options {
    /// The defaults for an endpoint, without TLS.
    pub fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            timeout: TIMEOUT,
            connect_timeout: None,
            limits: Limits::default(),
            json: json::Options::default(),
            target: Target {
                family: None,
                bind: None,
                nodelay: true,
                keepalive: None,
                trace: None,
                is_eager: true,
            },
            tls: None,
        }
    }

    /// The defaults with TLS.
    pub fn with_tls(endpoint: Endpoint) -> error::Result<Self> {
        let settings = Box::new(tls::Settings::new(tls::server_name(&endpoint.host)?));
        Ok(Self { tls: Some(settings), ..Self::new(endpoint) })
    }

    /// Takes what the argument says: nothing, a timeout, or a table.
    pub fn apply(&mut self, argument: Argument<'_>) -> Result<()> {
        match argument.value_type() {
            Type::Absent => Ok(()),
            Type::Table => argument.each_option(|option| self.set(option)),
            Type::Number | Type::String => {
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
                    None if is_of_tls(option) => {
                        return Err(option.wrong("one of connect_tls and start_tls"));
                    }
                    None => false,
                };
                return Ok(tls || set_json(&mut self.json, option)?);
            }
        }
        Ok(true)
    }
}

/// What a listener is made with.
pub struct ListenOptions {
    /// What its connections are like; the endpoint is where it listens.
    pub accepted: Options,
    pub backlog: i32,
    pub reuse_addr: bool,
    pub reuse_port: bool,
    pub tls: Option<tls::Settings>,
}

impl ListenOptions {
    pub fn new(endpoint: Endpoint) -> Self {
        let accepted = Options::new(endpoint);
        Self { accepted, backlog: 128, reuse_addr: true, reuse_port: false, tls: None }
    }

    pub fn apply(&mut self, argument: Argument<'_>) -> Result<()> {
        if argument.is_absent() {
            return Ok(());
        }
        argument.each_option(|option| {
            match option.name() {
                "backlog" => self.backlog = option.integer(0, i32::MAX as usize)? as i32,
                "reuse_addr" => self.reuse_addr = option.boolean()?,
                "reuse_port" => self.reuse_port = option.boolean()?,
                "tls" => {
                    let settings = self.tls.insert(tls::Settings::new(String::new()));
                    option.each_option(|option| set_tls_of(Side::Server, settings, option))?;
                }
                // It listens at its host, and these are a client's.
                "bind" | "server_name" | "session" => return Ok(false),
                _ if is_of_tls(option) => return Err(option.wrong("it belongs into the table tls")),
                _ => return self.accepted.set(option),
            }
            Ok(true)
        })
    }
}

/// The options of `start_tls` on a connection to `host`, and the side that they are for.
pub fn start_tls(argument: Argument<'_>, side: Side, host: &str) -> Result<(Side, tls::Settings)> {
    let mut side = side;
    if !argument.is_absent() {
        // It decides which of the others there are.
        argument.each_option(|option| {
            if option.name() == "side" {
                side = option.one_of(&[("client", Side::Client), ("server", Side::Server)])?;
            }
            Ok(true)
        })?;
    }
    let name = if side == Side::Client { tls::server_name(host)? } else { String::new() };
    let mut settings = tls::Settings::new(name);
    if !argument.is_absent() {
        argument.each_option(|option| match option.name() {
            "side" => Ok(true),
            _ => set_tls_of(side, &mut settings, option),
        })?;
    }
    Ok((side, settings))
}

/// The options of `json.decode`.
pub fn json(argument: Argument<'_>) -> Result<json::Options> {
    let mut options = json::Options::default();
    if !argument.is_absent() {
        argument.each_option(|option| set_json(&mut options, option))?;
    }
    Ok(options)
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

/// Sets an option of TLS that this side has.
fn set_tls_of(side: Side, settings: &mut tls::Settings, option: Argument<'_>) -> Result<bool> {
    match option.name() {
        "server_name" | "session" if side == Side::Server => Ok(false),
        _ => set_tls(settings, option),
    }
}

fn set_tls(settings: &mut tls::Settings, option: Argument<'_>) -> Result<bool> {
    let profile = &mut settings.profile;
    match option.name() {
        "verify" => settings.verify = option.boolean()?,
        "server_name" => {
            settings.server_name = tls::server_name(option.text()?)
                .map_err(|_| option.wrong("a host name or an IP address expected"))?;
        }
        "ca_file" | "ca" => profile.trust.certificates.push(pem(option)?),
        "ca_dir" => profile.trust.dir = Some(path(option)?),
        "cert_file" | "cert" => once(&mut profile.certificate, option)?,
        "key_file" | "key" => once(&mut profile.key, option)?,
        "key_password" => profile.key_password = Some(Arc::new(option.owned_bytes()?)),
        "min_version" => profile.min_version = version(option)?,
        "max_version" => profile.max_version = Some(version(option)?),
        "ciphers" => profile.ciphers = Some(words(option)?),
        "ciphersuites" => profile.ciphersuites = Some(words(option)?),
        "alpn" => profile.alpn = list(option, protocol)?,
        "session" => settings.session = Some(option.owned_bytes()?),
        "pin_sha256" => settings.pins = list(option, pin)?,
        "close_notify" => {
            settings.ignore_truncation = option.one_of(&[("require", false), ("ignore", true)])?;
        }
        "keylog" => profile.keylog = option.boolean()?,
        _ => return Ok(false),
    }
    Ok(true)
}

/// Whether TLS has an option of this name, be its value right or wrong.
fn is_of_tls(option: Argument<'_>) -> bool {
    !matches!(set_tls(&mut tls::Settings::new(String::new()), option), Ok(false))
}

/// PEM text, or with `_file` in the option's name the path of a file of it.
fn pem(option: Argument<'_>) -> Result<tls::Pem> {
    Ok(match option.name().ends_with("_file") {
        true => tls::Pem::File(path(option)?),
        false => tls::Pem::Text(Arc::new(option.owned_bytes()?)),
    })
}

/// Sets what may be given as a file or as text, and not as both.
fn once(pem_of: &mut Option<tls::Pem>, option: Argument<'_>) -> Result<()> {
    match pem_of.replace(pem(option)?) {
        Some(_) => Err(option.wrong("given as a file and as text")),
        None => Ok(()),
    }
}

fn version(option: Argument<'_>) -> Result<tls::Version> {
    use tls::Version::{Tls10, Tls11, Tls12, Tls13};
    option.one_of(&[("1.0", Tls10), ("1.1", Tls11), ("1.2", Tls12), ("1.3", Tls13)])
}

/// The longest path, and list in OpenSSL's notation, in bytes.
const LONGEST: usize = 4096;
/// Values of an option that may be a list.
const MANY: usize = 64;

/// A list in OpenSSL's notation.
fn words(option: Argument<'_>) -> Result<String> {
    let words = option.text()?;
    if words.is_empty() || words.len() > LONGEST || words.contains('\0') {
        return Err(option.wrong("OpenSSL's names of ciphers expected"));
    }
    option.owned_text()
}

/// One value or a table of several.
fn list<T>(option: Argument<'_>, one: fn(Argument<'_>) -> Result<T>) -> Result<Vec<T>> {
    if option.value_type() != Type::Table {
        return Ok(vec![one(option)?]);
    }
    let wrong = || option.wrong(format_args!("one value or a list of up to {MANY} expected"));
    let (mut values, mut count) = (Vec::new(), 0);
    option.each_element(|element| {
        if values.len() == MANY {
            return Err(wrong());
        }
        values.push(one(element)?);
        Ok(())
    })?;
    option.each(|_, _| {
        count += 1;
        Ok(())
    })?;
    // A list that is empty, or not read to its end, would pass for one that asks for less.
    if values.is_empty() || values.len() != count {
        return Err(wrong());
    }
    Ok(values)
}

/// A protocol's name for ALPN (RFC 7301, section 3.1).
fn protocol(option: Argument<'_>) -> Result<Vec<u8>> {
    match option.bytes()?.len() {
        1..=255 => option.owned_bytes(),
        _ => Err(option.wrong("names of 1 to 255 bytes expected")),
    }
}

/// A SHA-256, in hexadecimal or base64.
fn pin(option: Argument<'_>) -> Result<tls::Pin> {
    let text = option.text()?;
    tls::parse_pin(text).ok_or_else(|| {
        option.wrong("the SHA-256 of a public key, in base64 or hexadecimal, expected")
    })
}

fn path(option: Argument<'_>) -> Result<PathBuf> {
    let path = option.text()?;
    if path.len() > LONGEST || path.contains('\0') {
        return Err(option.wrong("a path of up to 4096 bytes, without a zero byte, expected"));
    }
    Ok(PathBuf::from(option.owned_text()?))
}

/// A local address, or `{host, port}`.
fn address(option: Argument<'_>) -> Result<SocketAddr> {
    let wrong = || option.wrong("an IP address, or a table of one and a port, expected");
    let (mut host, mut port) = (None, 0);
    match option.value_type() {
        Type::Table => {
            let mut count = 0;
            option.each_element(|element| {
                count += 1;
                match count {
                    1 => host = resolve::literal(element.text()?),
                    2 => port = element.integer(0, 65535)?,
                    _ => {}
                }
                Ok(())
            })?;
        }
        _ => host = resolve::literal(option.text()?),
    }
    Ok((host.ok_or_else(wrong)?, port as u16).into())
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
