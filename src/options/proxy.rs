//! The option `proxy`. No message of it shows a part of a URL: there may be a password in it. Uses
//! `ffi`, `options::tls`.

use std::env;

use net::connect::proxy::{self, Field, Kind, Proxy};
use net::error;
use net::transport::tls::{Settings, Side, server_name};

use super::tls::{is_false, set_of};
use crate::ffi::argument::{Argument, Type};
use crate::ffi::call::Result;

/// Variables of the environment decide.
const ENVIRONMENT: &str = "environment";

/// A proxy as the script gives it.
pub struct ProxyOption {
    /// None where the environment decides.
    given: Option<Box<Proxy>>,
    headers: Vec<Field>,
    /// Its server name is empty where the script gives none.
    tls: Option<Box<Settings>>,
    /// No server name is sent to the proxy, nor verified.
    is_nameless: bool,
}

impl ProxyOption {
    /// A URL, `"environment"`, or a table of one of these and what belongs to it.
    pub fn new(option: Argument<'_>) -> Result<Self> {
        let mut this = Self { given: None, headers: Vec::new(), tls: None, is_nameless: false };
        if option.value_type() != Type::Table {
            this.given = url(option)?;
            return Ok(this);
        }
        let mut has_url = false;
        option.each_option(|option| {
            match option.name() {
                "url" => {
                    this.given = url(option)?;
                    has_url = true;
                }
                "headers" => option.each(|name, value| {
                    // A number would become text in its place, and the table have no next key.
                    if name.value_type() != Type::String {
                        return Err(option.wrong("names of header fields expected"));
                    }
                    let field = Field::new(name.bytes()?, value.bytes()?);
                    this.headers.push(field.map_err(|why| option.wrong(why))?);
                    Ok(())
                })?,
                "tls" => {
                    let settings = this.tls.insert(Box::new(Settings::new(String::new())));
                    let is_nameless = &mut this.is_nameless;
                    option.each_option(|option| {
                        *is_nameless |= option.name() == "server_name" && is_false(option);
                        set_of(Side::Client, settings, option)
                    })?;
                }
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        if !has_url {
            return Err(option.wrong("a table with a url expected"));
        }
        this.headers.sort();
        match this.given.as_ref().map(|proxy| proxy.kind) {
            Some(kind) if kind.is_socks() && !this.headers.is_empty() => {
                Err(option.wrong("headers are for http and https proxies"))
            }
            Some(kind) if kind != Kind::Https && this.tls.is_some() => {
                Err(option.wrong("tls is for https proxies"))
            }
            _ => Ok(this),
        }
    }

    /// The proxy for this host; none where the environment names none.
    pub fn for_host(self, host: &str) -> error::Result<Option<Box<Proxy>>> {
        let found = match self.given {
            Some(proxy) => Some(proxy),
            None => proxy::find(host, |name| env::var_os(name))?.map(Box::new),
        };
        let Some(mut proxy) = found else { return Ok(None) };
        if !proxy.kind.is_socks() {
            proxy.headers = self.headers;
        }
        if proxy.kind == Kind::Https
            && let Some(mut settings) = self.tls
        {
            if settings.server_name.is_empty() && !self.is_nameless {
                let named = |error: error::Error| error.prefixed(format_args!("the proxy {proxy}"));
                settings.server_name = server_name(&proxy.endpoint.host).map_err(named)?;
            }
            proxy.tls = Some(settings);
        }
        Ok(Some(proxy))
    }
}

fn url(option: Argument<'_>) -> Result<Option<Box<Proxy>>> {
    let text = option.text()?;
    if text == ENVIRONMENT {
        return Ok(None);
    }
    Proxy::parse(text).map(|proxy| Some(Box::new(proxy))).map_err(|why| option.wrong(why))
}
