//! The module's functions: `connect`, `connect_tls`, `resolve`, and `send` and `recv` on the last connection;
//! the full halves of `json`.

use std::net::SocketAddr;

use mlua::{Lua, RegistryKey, Table, Value};

use crate::connect::{Connect, Connected};
use crate::deadline::Deadline;
use crate::dial;
use crate::error::{self, Error, printable};
use crate::resolve::{self, Resolve};
use crate::step::Step;
use crate::transport::tls::Report;
use crate::wait::Place;

use super::call::{Call, Object, Outcome, Result, function, with};
use super::connection::{Connection, Manner, Method};
use super::options::{self, Options, TIMEOUT};
use super::park::Sides;
use super::work::{Underway, Work};
use super::{debug, json, listener, poll, reading, writing};

/// The connection that `connect` made last.
struct Last(RegistryKey);

type Function = fn(&mut Call<'_>) -> Result<Outcome>;

/// The functions, by name, as the shim calls them.
pub fn functions(lua: &Lua, safe: bool) -> mlua::Result<Table> {
    let functions: [(&'static str, Function); 8] = [
        ("connect", connect),
        ("connect_tls", connect_tls),
        ("debug", debug::debug),
        ("listen", listener::listen),
        ("poll", poll::tcp_poll),
        ("recv", recv),
        ("resolve", resolve),
        ("send", send),
    ];
    let codecs: [(&'static str, Function); 3] =
        [("array", json_array), ("decode", json_decode), ("encode", json_encode)];
    if lua.app_data_ref::<Last>().is_none() {
        // No nil: the registry has a place for it from now on, and later ones only take it.
        lua.set_app_data(Last(lua.create_registry_value(false)?));
    }
    let table = table_of(lua, safe, &functions)?;
    let json = table_of(lua, safe, &codecs)?;
    json.raw_set("decode", json::decode_function(lua, json.raw_get("decode")?)?)?;
    json.raw_set("encode", json::encode_function(lua, json.raw_get("encode")?)?)?;
    table.raw_set("json", json)?;
    Ok(table)
}

fn table_of(lua: &Lua, safe: bool, functions: &[(&'static str, Function)]) -> mlua::Result<Table> {
    let table = lua.create_table_with_capacity(0, functions.len() + 2)?;
    for (name, body) in functions {
        table.raw_set(*name, function(lua, name, safe, *body)?)?;
    }
    Ok(table)
}

/// A connect, and how its connection is wanted.
struct Connecting {
    connect: Connect,
    manner: Manner,
    is_tls: bool,
}

impl Work for Connecting {
    type Result = Connected;

    fn step(&mut self) -> error::Result<Step<Connected>> {
        self.connect.step()
    }

    fn label(&self) -> &str {
        &self.manner.label
    }

    fn report(&self) -> Option<Report> {
        self.connect.report()
    }
}

/// A name that is looked up.
struct Resolving {
    resolve: Resolve,
    label: String,
}

impl Work for Resolving {
    type Result = Vec<SocketAddr>;

    fn step(&mut self) -> error::Result<Step<Vec<SocketAddr>>> {
        self.resolve.step()
    }

    fn label(&self) -> &str {
        &self.label
    }
}

fn connect(call: &mut Call<'_>) -> Result<Outcome> {
    let outcome = establish(call, false)?;
    if let Outcome::Value(connection) = &outcome {
        let mut last = call.lua.app_data_mut::<Last>().expect("set with the functions");
        call.lua.replace_registry_value(&mut last.0, connection)?;
    }
    Ok(outcome)
}

fn connect_tls(call: &mut Call<'_>) -> Result<Outcome> {
    establish(call, true)
}

fn establish(call: &mut Call<'_>, tls: bool) -> Result<Outcome> {
    let begin = |call: &Call<'_>| begin_connect(call, tls);
    let (connected, Underway { work, .. }) = match Underway::drive(call, begin)? {
        Ok(done) => done,
        Err(again) => return Ok(again),
    };
    let Connecting { manner, is_tls, .. } = work;
    call.object(Connection::new(connected, manner, is_tls, call.parking))
}

fn begin_connect(call: &Call<'_>, is_tls: bool) -> Result<Underway<Connecting>> {
    let host = call.argument(1).string()?.to_string_lossy();
    let port = call.argument(2).integer(1, 65535)? as u16;
    let label = dial::label(&host, port);
    let mut options =
        Options::new(host, port, is_tls).map_err(|error| error.during(call.name(), &label))?;
    options.apply(call.argument(3))?;
    let Options { timeout, connect_timeout, limits, json, mut target, tls } = options;
    target.trace = call.parking.tracer().of(&label);
    target.is_eager = call.parking.place() == Place::Here;
    let deadline = Deadline::after(connect_timeout.unwrap_or(timeout));
    let manner = Manner { safe: call.safe, host: target.host.clone(), label, timeout, json };
    let connect = Connect::start(target, tls, limits)
        .map_err(|error| error.during(call.name(), &manner.label))?;
    Ok(Underway { work: Connecting { connect, manner, is_tls }, deadline })
}

fn resolve(call: &mut Call<'_>) -> Result<Outcome> {
    let (addresses, _) = match Underway::drive(call, begin_resolve)? {
        Ok(done) => done,
        Err(again) => return Ok(again),
    };
    let texts = addresses.iter().map(resolve::text);
    Ok(Outcome::Value(Value::Table(call.lua.create_sequence_from(texts)?)))
}

fn begin_resolve(call: &Call<'_>) -> Result<Underway<Resolving>> {
    let host = call.argument(1).string()?.to_string_lossy();
    let deadline = Deadline::after(call.argument(2).seconds_or(TIMEOUT)?);
    let label = printable(&host);
    let trace = call.parking.tracer().of(&label);
    let resolve =
        Resolve::start(&host, trace.as_ref()).map_err(|error| error.during(call.name(), &label))?;
    Ok(Underway { work: Resolving { resolve, label }, deadline })
}

fn send(call: &mut Call<'_>) -> Result<Outcome> {
    if call.is_first() {
        call.argument(1).string()?;
    }
    on_last(call, Sides::WRITE, writing::send)
}

fn recv(call: &mut Call<'_>) -> Result<Outcome> {
    on_last(call, Sides::READ, reading::recv)
}

/// Does something with the connection that `connect` made last.
fn on_last(call: &mut Call<'_>, sides: Sides, body: Method) -> Result<Outcome> {
    let last: Value = {
        let last = call.lua.app_data_ref::<Last>().expect("set with the functions");
        call.lua.registry_value(&last.0)?
    };
    with(
        call.lua,
        Some(&last),
        || no_connection().into(),
        |connection: &mut Connection| {
            let outcome = connection.own(call, sides, body);
            outcome.map_err(|failure| failure.during(call.name(), connection.label()))
        },
    )
}

fn no_connection() -> Error {
    Error::closed("no active connection, connect opens one")
}

fn json_array(call: &mut Call<'_>) -> Result<Outcome> {
    let argument = call.argument(1);
    let table = argument.table()?;
    let mark = json::array_metatable(call.lua)?;
    if table.metatable().is_some_and(|other| other != mark) {
        return Err(argument.wrong("a table without a metatable expected"));
    }
    table.set_metatable(Some(mark))?;
    Ok(Outcome::Value(Value::Table(table.clone())))
}

fn json_decode(call: &mut Call<'_>) -> Result<Outcome> {
    let text = call.argument(1).string()?;
    let options = options::json(call.argument(2))?;
    let value = json::decode(call.lua, &text.as_bytes(), options)?;
    Ok(Outcome::Value(value))
}

fn json_encode(call: &mut Call<'_>) -> Result<Outcome> {
    let mut text = Vec::new();
    json::encode(call.lua, call.argument(1).value(), &mut text)?;
    Ok(Outcome::Value(Value::String(call.lua.create_string(&text)?)))
}
