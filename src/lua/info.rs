//! `connection:info()`: a fresh table of what a monitoring script wants to know.

use std::net::SocketAddr;

use mlua::{Lua, Table, Value};

use net::error::Error;
use net::transport::tls::{Certificate, Report};

use super::call::{Call, Outcome, Result};
use super::connection::Connection;

pub fn info(call: &mut Call<'_>, this: &mut Connection) -> Result<Outcome> {
    let lua = call.lua;
    let traffic = this.stream()?.traffic();
    let info = lua.create_table()?;
    info.raw_set("host", &*this.manner.endpoint.host)?;
    info.raw_set("peer", address(lua, this.addresses.peer)?)?;
    info.raw_set("sock", address(lua, this.addresses.sock)?)?;
    info.raw_set("timings", timings(lua, this)?)?;
    info.raw_set("bytes_read", traffic.read)?;
    info.raw_set("bytes_written", traffic.written)?;
    if let Some(report) = this.stream()?.transport().as_tls().map(|tls| tls.report()) {
        info.raw_set("tls", tls(lua, report)?)?;
    }
    Ok(Outcome::Value(Value::Table(info)))
}

pub fn address(lua: &Lua, address: SocketAddr) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    table.raw_set("ip", address.ip().to_string())?;
    table.raw_set("port", address.port())?;
    Ok(table)
}

fn timings(lua: &Lua, this: &Connection) -> mlua::Result<Table> {
    let phases = this.timings;
    let table = lua.create_table()?;
    table.raw_set("dns", phases.dns)?;
    table.raw_set("connect", phases.connect)?;
    table.raw_set("tls", phases.tls)?;
    table.raw_set("total", phases.total())?;
    Ok(table)
}

/// What a handshake came to, also one that failed.
pub fn tls(lua: &Lua, report: Report) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    table.raw_set("version", report.version)?;
    table.raw_set("cipher", report.cipher)?;
    table.raw_set("alpn", report.alpn.map(|name| lua.create_string(name)).transpose()?)?;
    table.raw_set("resumed", report.resumed)?;
    table.raw_set("server_name", report.server_name)?;
    table.raw_set("verified", report.verified)?;
    table.raw_set("verify_error", report.verify_error)?;
    let chain = certificates(lua, &report.chain)?;
    table.raw_set("certificate", chain.raw_get::<Value>(1)?)?;
    table.raw_set("chain", chain)?;
    let path = report.verified_chain.map(|path| certificates(lua, &path)).transpose()?;
    table.raw_set("verified_chain", path)?;
    Ok(table)
}

/// What is known of a failure on a connection with TLS.
pub fn details(lua: &Lua, error: &Error, report: Report) -> mlua::Result<Table> {
    let alert = report.alert;
    let table = tls(lua, report)?;
    table.raw_set("phase", error.phase())?;
    if let Some(alert) = alert {
        table.raw_set("alert", alert.name())?;
        table.raw_set("alert_number", alert.number)?;
        table.raw_set("from", if alert.is_peers { "peer" } else { "here" })?;
    }
    Ok(table)
}

fn certificates(lua: &Lua, chain: &[Certificate]) -> mlua::Result<Table> {
    let chain = chain.iter().map(|each| certificate(lua, each));
    lua.create_sequence_from(chain.collect::<mlua::Result<Vec<_>>>()?)
}

fn certificate(lua: &Lua, facts: &Certificate) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    table.raw_set("subject", name(lua, &facts.subject)?)?;
    table.raw_set("issuer", name(lua, &facts.issuer)?)?;
    table.raw_set("serial", facts.serial.as_deref())?;
    table.raw_set("not_before", facts.not_before)?;
    table.raw_set("not_after", facts.not_after)?;
    table.raw_set("dns_names", lua.create_sequence_from(facts.dns_names.iter().map(|n| &**n))?)?;
    table.raw_set(
        "ip_addresses",
        lua.create_sequence_from(facts.ip_addresses.iter().map(|n| &**n))?,
    )?;
    table.raw_set("fingerprint_sha256", facts.fingerprint_sha256.as_deref())?;
    table.raw_set("public_key_sha256", facts.public_key_sha256.as_deref())?;
    table.raw_set("pem", facts.pem.as_deref())?;
    Ok(table)
}

/// A distinguished name by attribute; the values of one that stands there several times are joined.
fn name(lua: &Lua, attributes: &[(String, String)]) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    for (key, value) in attributes {
        let value = match table.raw_get::<Option<String>>(&**key)? {
            Some(before) => format!("{before}, {value}"),
            None => value.clone(),
        };
        table.raw_set(&**key, value)?;
    }
    Ok(table)
}
