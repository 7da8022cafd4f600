//! How a proxy itself is reached, and what its failures and waits are called. Uses
//! `connect::{dial, socket}`, `connect::proxy::{destination, url}`, `transport::tls`, `endpoint`,
//! `io::step`, `error`.

use std::net::SocketAddr;

use super::destination::Destination;
use super::url::{Kind, Proxy};
use crate::connect::dial::Dial;
use crate::connect::socket::ConnectOptions;
use crate::endpoint::{Address, Addresses, Endpoint, Name};
use crate::error::{Code, Error, Pending, ProxyStage, Result};
use crate::io::step::Step;
use crate::transport::tls::{self, Side};

/// A destination that the proxy has no way to, and what it says of it.
pub type Refusal = (Destination, Code, String);

/// Begins to connect to the proxy. Where the peer's name is resolved here, the family that is asked
/// for is the peer's.
pub fn dial(proxy: &Proxy, endpoint: &Endpoint, options: &ConnectOptions) -> Result<Box<Dial>> {
    let family = options.family.filter(|_| proxy.kind != Kind::Socks5);
    let options = ConnectOptions { family, ..options.clone() };
    let name = Name::Host(endpoint.clone());
    let dial = Dial::start(&name, options).map_err(|error| failed(proxy, error))?;
    Ok(Box::new(dial))
}

/// The address that the proxy was connected to.
pub fn remote(addresses: &Addresses) -> SocketAddr {
    match addresses.remote {
        Address::Inet(address) => address,
        Address::Unix(_) => unreachable!("a proxy has a host and a port"),
    }
}

/// The proxy cannot be connected to.
#[cold]
pub fn failed(proxy: &Proxy, error: Error) -> Error {
    if error.is_transient() {
        return error;
    }
    let phase = if error.code() == Code::Dns { "dns" } else { "connect" };
    error.prefixed(format_args!("the proxy {proxy}")).in_phase(phase)
}

/// The same step; a wait says that it is for the proxy.
pub fn waiting<T>(step: Step<T>) -> Step<T> {
    let Step::Wait(wait) = step else { return step };
    let pending = match wait.pending {
        Pending::Connecting(address) => Pending::Proxy(address, ProxyStage::Connecting),
        Pending::Resolution { before: 0 } => Pending::ProxyResolution,
        other => other,
    };
    Step::Wait(wait.pending(pending))
}

/// TLS to an https proxy, whose name is verified.
pub fn setup(proxy: &Proxy) -> Result<tls::Setup> {
    let settings = match &proxy.tls {
        Some(settings) => (**settings).clone(),
        None => {
            let name = tls::server_name(&proxy.endpoint.host);
            tls::Settings::new(name.map_err(|error| failed(proxy, error))?)
        }
    };
    let setup = tls::Setup::new(Side::Client, settings);
    setup.map_err(|error| error.prefixed(format_args!("the proxy {proxy}")).in_phase("proxy"))
}

/// What the proxy says of each address. Where one of them refuses, the peer is there.
#[cold]
pub fn all_refused(proxy: &Proxy, refusals: &[Refusal]) -> Error {
    let codes = refusals.iter().map(|(_, code, _)| *code);
    let code = codes.max_by_key(|code| match code {
        Code::Refused => 2,
        Code::Unreachable => 1,
        _ => 0,
    });
    let each = |(destination, _, words): &Refusal| format!("{destination}: {words}");
    let each: Vec<_> = refusals.iter().map(each).collect();
    let detail = format!("the proxy {proxy} says: {}", each.join(", "));
    Error::new(code.unwrap_or(Code::Proxy), detail)
}
