//! The module's functions: `connect`, `connect_tls`, `resolve`, and `send` and `recv` on the last connection;
//! the full halves of `json`.

use std::net::SocketAddr;

use mlua::{Lua, Table, Value};

use net::connect::resolve::{self, Resolve};
use net::error::{self, Error, printable};
use net::io::deadline::Deadline;
use net::io::step::Step;

use super::call::{Call, Object, Outcome, Result, function, with};
use super::connecting::Connecting;
use super::connection::{Connection, Method};
use super::options::{self, Options, TIMEOUT};
use super::park::Sides;
use super::work::{Underway, Work};
use super::{debug, json, listener, poll, raw, reading, writing};

/// The registry's name for a table with the connection that `connect` made last.
const LAST: &str = "tcp.last";

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
    let table = table_of(lua, safe, &functions)?;
    table.raw_set(
        "connect",
        raw::connect::half(lua, safe, last(lua)?, table.raw_get("connect")?)?,
    )?;
    let json = table_of(lua, safe, &codecs)?;
    json.raw_set("decode", json::decode_function(lua, json.raw_get("decode")?)?)?;
    json.raw_set("encode", json::encode_function(lua, json.raw_get("encode")?)?)?;
    table.raw_set("json", json)?;
    Ok(table)
}

fn last(lua: &Lua) -> mlua::Result<Table> {
    if let Some(last) = lua.named_registry_value::<Option<Table>>(LAST)? {
        return Ok(last);
    }
    // No nil: what is there is only replaced, which needs no memory.
    let last = lua.create_sequence_from([false])?;
    lua.set_named_registry_value(LAST, &last)?;
    Ok(last)
}

fn table_of(lua: &Lua, safe: bool, functions: &[(&'static str, Function)]) -> mlua::Result<Table> {
    let table = lua.create_table_with_capacity(0, functions.len() + 2)?;
    for (name, body) in functions {
        table.raw_set(*name, function(lua, name, safe, *body)?)?;
    }
    Ok(table)
}

/// A name that is looked up.
struct Resolving {
    resolve: Resolve,
    host: String,
}

impl Work for Resolving {
    type Result = Vec<SocketAddr>;

    fn step(&mut self) -> error::Result<Step<Vec<SocketAddr>>> {
        self.resolve.step()
    }

    fn label(&self) -> String {
        printable(&self.host)
    }
}

fn connect(call: &mut Call<'_>) -> Result<Outcome> {
    let outcome = establish(call, false)?;
    if let Outcome::Value(connection) = &outcome {
        last(call.lua)?.raw_set(1, connection)?;
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
    call.object(work.connection(connected, call.parking))
}

fn begin_connect(call: &Call<'_>, is_tls: bool) -> Result<Underway<Connecting>> {
    let endpoint = call.endpoint(1)?;
    let mut options = match is_tls {
        true => Options::with_tls(endpoint.clone())
            .map_err(|error| error.during(call.name(), &endpoint))?,
        false => Options::new(endpoint),
    };
    options.apply(call.argument(3))?;
    Ok(Connecting::begin(call.name(), options, call.safe, call.parking)?)
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
    let host = resolve::host(&call.argument(1).string()?.as_bytes());
    let deadline = Deadline::after(call.argument(2).seconds_or(TIMEOUT)?);
    let label = printable(&host);
    let trace = call.parking.tracer().of(&label);
    let resolve = Resolve::start(&host, 0, trace.as_ref())
        .map_err(|error| error.during(call.name(), &label))?;
    Ok(Underway::new(Resolving { resolve, host }, deadline))
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
    let last: Value = last(call.lua)?.raw_get(1)?;
    with(
        call.lua,
        Some(&last),
        || no_connection().into(),
        |connection: &mut Connection| {
            let outcome = connection.own(call, sides, body);
            outcome.map_err(|failure| failure.during(call.name(), &connection.label()))
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
