//! The module's functions: `connect`, `connect_tls`, and `send` and `recv` on the last connection;
//! the full halves of `json`.

use mlua::{AnyUserData, Lua, Table, Value};

use crate::connect::Connect;
use crate::deadline::Deadline;
use crate::dial;
use crate::error::Error;
use crate::wait::{Driven, drive};

use super::call::{Call, Object, Outcome, Result, borrow, function};
use super::connection::{self, Connection};
use super::json;
use super::options::{self, Options};

/// The registry's name for the connection that `connect` made last.
const LAST: &str = "tcp.last";

type Function = fn(&mut Call<'_>) -> Result<Outcome>;

/// The functions, by name, as the shim calls them.
pub fn functions(lua: &Lua, safe: bool) -> mlua::Result<Table> {
    let functions: [(&'static str, Function); 4] =
        [("connect", connect), ("connect_tls", connect_tls), ("recv", recv), ("send", send)];
    let codecs: [(&'static str, Function); 3] =
        [("array", json_array), ("decode", json_decode), ("encode", json_encode)];
    let table = table_of(lua, safe, &functions)?;
    table.raw_set("json", table_of(lua, safe, &codecs)?)?;
    Ok(table)
}

fn table_of(
    lua: &Lua,
    safe: bool,
    functions: &[(&'static str, Function)],
) -> mlua::Result<Table> {
    let table = lua.create_table_with_capacity(0, functions.len() + 2)?;
    for (name, body) in functions {
        table.raw_set(*name, function(lua, name, safe, *body)?)?;
    }
    Ok(table)
}

/// A connect under way: the token of a call that was interrupted.
struct Connecting {
    connect: Connect,
    options: Options,
    deadline: Deadline,
    label: String,
}

fn connect(call: &mut Call<'_>) -> Result<Outcome> {
    let outcome = establish(call, false)?;
    if let Outcome::Value(connection) = &outcome {
        call.lua.set_named_registry_value(LAST, connection)?;
    }
    Ok(outcome)
}

fn connect_tls(call: &mut Call<'_>) -> Result<Outcome> {
    establish(call, true)
}

fn establish(call: &mut Call<'_>, tls: bool) -> Result<Outcome> {
    let mut connecting = match &call.token {
        Value::UserData(token) => token.take::<Connecting>()?,
        _ => begin(call, tls)?,
    };
    let driven = drive(connecting.deadline, || connecting.connect.step());
    let value = match driven.map_err(|error| error.during(call.name(), &connecting.label))? {
        Driven::Interrupted => {
            return Ok(Outcome::Again(Value::UserData(call.lua.create_any_userdata(connecting)?)));
        }
        Driven::Done(connected) => {
            let Connecting { options, label, .. } = connecting;
            Connection::new(connected, &options, label, call.safe)
        }
    };
    Ok(Outcome::Value(Value::UserData(call.lua.create_any_userdata(value)?)))
}

fn begin(call: &mut Call<'_>, tls: bool) -> Result<Connecting> {
    let host = call.argument(1).text()?;
    let port = call.argument(2).integer(1, 65535)? as u16;
    let label = dial::label(&host, port);
    let mut options = Options::new(host, port, tls);
    options.apply(call.argument(3))?;
    let deadline = Deadline::after(options.connect_timeout.unwrap_or(options.timeout));
    let connect = Connect::start(options.target.clone(), options.tls.as_ref(), options.limits)
        .map_err(|error| error.during(call.name(), &label))?;
    Ok(Connecting { connect, options, deadline, label })
}

fn send(call: &mut Call<'_>) -> Result<Outcome> {
    if call.is_first() {
        call.argument(1).string()?;
    }
    on_last(call, connection::send)
}

fn recv(call: &mut Call<'_>) -> Result<Outcome> {
    on_last(call, connection::recv)
}

/// Does something with the connection that `connect` made last.
fn on_last(
    call: &mut Call<'_>,
    body: fn(&mut Call<'_>, &mut Connection) -> Result<Outcome>,
) -> Result<Outcome> {
    let last: Option<AnyUserData> = call.lua.named_registry_value(LAST)?;
    let Some(last) = last else {
        return Err(Error::closed("no active connection, connect opens one").into());
    };
    let mut connection = borrow::<Connection>(&last, || unreachable!("only connections are kept"))?;
    body(call, &mut connection).map_err(|failure| failure.during(call.name(), connection.label()))
}

fn json_array(call: &mut Call<'_>) -> Result<Outcome> {
    let table = call.argument(1).table()?;
    table.set_metatable(Some(json::array_metatable(call.lua)?))?;
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
