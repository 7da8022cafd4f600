//! `connection:info()`: a fresh table of what a monitoring script wants to know.

use std::net::SocketAddr;

use mlua::{Lua, Table, Value};

use super::call::{Call, Outcome, Result};
use super::connection::Connection;

pub fn info(call: &mut Call<'_>, this: &mut Connection) -> Result<Outcome> {
    let lua = call.lua;
    this.conn.transport()?;
    let traffic = this.conn.traffic();
    let info = lua.create_table()?;
    info.raw_set("host", &*this.host)?;
    info.raw_set("peer", address(lua, this.ends.peer)?)?;
    info.raw_set("sock", address(lua, this.ends.sock)?)?;
    info.raw_set("timings", timings(lua, this)?)?;
    info.raw_set("bytes_read", traffic.read)?;
    info.raw_set("bytes_written", traffic.written)?;
    Ok(Outcome::Value(Value::Table(info)))
}

fn address(lua: &Lua, address: SocketAddr) -> mlua::Result<Table> {
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
    table.raw_set("total", phases.total)?;
    Ok(table)
}
