//! The options of `connect` and its kin: a number of seconds or a table. Every key is checked, an
//! unknown one is a bad argument: a typo in a TLS option must not pass for a setting.

mod codec;
mod framing;
mod live;
mod names;
mod proxy;
mod proxy_protocol;
mod psk;
mod socket;
mod tls;
mod unix;

use std::net::SocketAddr;

use net::connect::host::{self, Family};
use net::connect::socket::ConnectOptions;
use net::connect::starttls;
use net::connect::starttls::dialogue::{PROTOCOLS, Protocol};
use net::endpoint::{Endpoint, Name};
use net::error;
use net::framing::Endian;
use net::socket_options::SocketOptions;
use net::stream::Limits;
use net::transport::tls::{Settings, Side, server_name};
use net::unix::socket_file::FileOptions;

use crate::ffi::argument::{Argument, Type};
use crate::ffi::call::Result;
use crate::json;

pub use codec::{layout, pointers, pointers_or_none};
pub use live::LiveOptions;
pub use proxy::ProxyOption;
pub use socket::keepalive;
pub use tls::{path, start as start_tls};

use proxy_protocol::proxy_protocol;
use tls::{is_known, set_of};

/// Seconds that a call may take unless the script says otherwise.
pub const TIMEOUT: f64 = 5.0;

/// What a connection is made with.
pub struct Options {
    /// What they are for, which decides which of them there are.
    pub name: Name,
    /// For a socket that is there already.
    pub is_given: bool,
    pub timeout: f64,
    pub connect_timeout: Option<f64>,
    pub limits: Limits,
    pub json: json::Options,
    pub connect: ConnectOptions,
    pub proxy: Option<ProxyOption>,
    /// The settings of TLS, where it is wanted.
    pub tls: Option<Box<Settings>>,
    /// What is said before it.
    pub starttls: Option<Protocol>,
    /// The name for EHLO and LHLO.
    pub hello: Option<String>,
}

impl Options {
    /// The defaults, without TLS.
    pub fn new(name: Name) -> Self {
        Self {
            name,
            is_given: false,
            timeout: TIMEOUT,
            connect_timeout: None,
            limits: Limits::default(),
            json: json::Options::default(),
            connect: ConnectOptions {
                family: None,
                bind: None,
                socket: SocketOptions { nodelay: Some(true), ..SocketOptions::default() },
                proxy_protocol: None,
                trace: None,
                is_eager: true,
            },
            proxy: None,
            tls: None,
            starttls: None,
            hello: None,
        }
    }

    /// The defaults with TLS.
    pub fn with_tls(endpoint: Endpoint) -> error::Result<Self> {
        let settings = Box::new(Settings::new(server_name(&endpoint.host)?));
        Ok(Self { tls: Some(settings), ..Self::new(Name::Host(endpoint)) })
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

    /// What is said before TLS. Only SMTP and LMTP say a name.
    pub fn starttls(&self, argument: Argument<'_>) -> Result<Option<Box<starttls::Settings>>> {
        let says_name = matches!(self.starttls, Some(Protocol::Smtp | Protocol::Lmtp));
        if self.hello.is_some() && !says_name {
            let why = "option 'server_hello': it goes with starttls = 'smtp' or 'lmtp'";
            return Err(argument.wrong(why));
        }
        let server = self.tls.as_ref().map_or("", |settings| &settings.server_name);
        Ok(self.starttls.map(|protocol| {
            let (hello, server) = (self.hello.clone(), server.to_owned());
            Box::new(starttls::Settings { protocol, hello, server })
        }))
    }

    /// Sets one option. False: it has no such name.
    fn set(&mut self, option: Argument<'_>) -> Result<bool> {
        if let Some(why) = unix::why_none(option.name(), self.name.is_unix(), self.is_given) {
            return Err(option.wrong(why));
        }
        match option.name() {
            "timeout" => self.timeout = option.seconds()?,
            "connect_timeout" => self.connect_timeout = Some(option.seconds()?),
            "family" => {
                let families = [("inet", Family::Inet), ("inet6", Family::Inet6)];
                self.connect.family = Some(option.one_of(&families)?);
            }
            "bind" => self.connect.bind = Some(address(option)?),
            "proxy" => self.proxy = Some(ProxyOption::new(option)?),
            "proxy_protocol" => self.connect.proxy_protocol = Some(proxy_protocol(option)?),
            "starttls" | "server_hello" | "handshake" if self.tls.is_none() => {
                return Err(option.wrong("one of connect_tls"));
            }
            "starttls" => self.starttls = Some(option.one_of(&PROTOCOLS)?),
            "server_hello" => self.hello = Some(hello(option)?),
            "handshake" => {
                let is_later = option.one_of(&[("now", false), ("later", true)])?;
                self.tls.iter_mut().for_each(|tls| tls.is_handshake_later = is_later);
            }
            _ if set_limit(&mut self.limits, option)? => {}
            _ if socket::set(&mut self.connect.socket, option)? => {}
            _ => {
                let tls = match &mut self.tls {
                    Some(tls) => set_of(Side::Client, tls, option)?,
                    None if is_known(option) => {
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

/// A name for EHLO, which must not end its line (RFC 5321, sections 4.1.1.1 and 4.5.3.1.2).
fn hello(option: Argument<'_>) -> Result<String> {
    let name = option.text()?;
    if !(1..=255).contains(&name.len()) || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(option.wrong("a host name or an address literal expected"));
    }
    option.owned_text()
}

/// What a listener is made with.
pub struct ListenOptions {
    /// What its connections are like; the name is where it listens.
    pub accepted: Options,
    pub backlog: i32,
    pub reuse_addr: bool,
    pub reuse_port: bool,
    pub proxy_protocol: bool,
    pub tls: Option<Settings>,
    /// How the file of a Unix socket is made.
    pub file: FileOptions,
}

impl ListenOptions {
    pub fn new(name: Name) -> Self {
        Self {
            accepted: Options::new(name),
            backlog: 128,
            reuse_addr: true,
            reuse_port: false,
            proxy_protocol: false,
            tls: None,
            file: FileOptions::default(),
        }
    }

    pub fn apply(&mut self, argument: Argument<'_>) -> Result<()> {
        if argument.is_absent() {
            return Ok(());
        }
        argument.each_option(|option| {
            match option.name() {
                "backlog" | "reuse_addr" | "reuse_port" if self.accepted.is_given => {
                    return Err(option.wrong("this socket listens already"));
                }
                "backlog" => self.backlog = option.integer(0, i32::MAX as usize)? as i32,
                "reuse_addr" => self.reuse_addr = option.boolean()?,
                "reuse_port" => self.reuse_port = option.boolean()?,
                "proxy_protocol" => self.proxy_protocol = option.boolean()?,
                "tls" => {
                    let settings = self.tls.insert(Settings::new(String::new()));
                    option.each_option(|option| set_of(Side::Server, settings, option))?;
                }
                // It listens at its host, and these are a client's.
                "bind" | "proxy" | "server_name" | "session" => return Ok(false),
                "mode" | "unlink" if !self.accepted.is_given && self.accepted.name.is_unix() => {
                    unix::set_file(&mut self.file, &self.accepted.name, option)?;
                }
                _ if is_known(option) => return Err(option.wrong("it belongs into the table tls")),
                _ => return self.accepted.set(option),
            }
            Ok(true)
        })
    }
}

/// What is said of packets and buffers, which a live connection can change, too.
fn set_limit(limits: &mut Limits, option: Argument<'_>) -> Result<bool> {
    match option.name() {
        "max_packet" => limits.max_packet = option.integer(0, u32::MAX as usize)?,
        "max_buffer" => limits.max_buffer = option.integer(1, usize::MAX)?,
        "endian" => {
            limits.endian = option.one_of(&[("big", Endian::Big), ("little", Endian::Little)])?;
        }
        "framing" => limits.framing = framing::framing(option)?,
        _ => return Ok(false),
    }
    Ok(true)
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

/// A local address, or `{host, port}`.
fn address(option: Argument<'_>) -> Result<SocketAddr> {
    let wrong = || option.wrong("an IP address, or a table of one and a port, expected");
    let (mut host, mut port) = (None, 0);
    match option.value_type() {
        Type::Table => {
            let mut count = 0;
            let is_sequence = option.each_of_sequence(|element| {
                count += 1;
                match count {
                    1 => host = host::literal(element.text()?),
                    2 => port = element.integer(0, 65535)?,
                    _ => return Err(wrong()),
                }
                Ok(())
            })?;
            if !is_sequence {
                return Err(wrong());
            }
        }
        _ => host = host::literal(option.text()?),
    }
    Ok((host.ok_or_else(wrong)?, port as u16).into())
}
