//! The Lua side: what `require` gives. Arguments in, values out; nothing here waits but through
//! `wait::drive`, and nothing here raises but the shim.

mod argument;
mod call;
mod connecting;
mod connection;
mod debug;
mod functions;
mod info;
#[allow(unsafe_code)]
mod json;
mod lent;
mod listener;
mod options;
mod park;
mod poll;
#[allow(unsafe_code)]
mod raw;
mod reading;
mod upgrade;
mod work;
mod writing;

use mlua::{Function, Lua, Table, Value};

use call::{Object, function};
use connection::Connection;
use listener::Listener;
use raw::object::Kind;

use crate::alloc;

/// The module whose failures are returned and not thrown.
pub const SAFE: &str = "tcp.safe";

/// The registry's name for what the shim made, once for both modules: a connection has the same
/// methods wherever it comes from. Each module is made when it is first wanted.
const MODULES: &str = "tcp.modules";

/// The table that `require` gives for this name.
pub fn open(lua: &Lua, name: &str) -> mlua::Result<Table> {
    let modules = match lua.named_registry_value::<Option<Table>>(MODULES)? {
        Some(modules) => modules,
        None => {
            let modules = load(lua)?;
            lua.set_named_registry_value(MODULES, &modules)?;
            modules
        }
    };
    if let Some(module) = modules.raw_get::<Option<Table>>(name)? {
        return Ok(module);
    }
    let safe = name == SAFE;
    let make: Function = modules.raw_get("module")?;
    let module: Table =
        make.call((name, functions::functions(lua, safe)?, safe.then_some(true)))?;
    modules.raw_set(name, &module)?;
    Ok(module)
}

fn load(lua: &Lua) -> mlua::Result<Table> {
    // A panic becomes an error of Lua's; nothing of it belongs on the script's stderr. This library has
    // a hook of its own, whatever else is in the process.
    std::panic::set_hook(Box::new(|_| {}));
    alloc::prepare();
    let native = lua.create_table()?;
    native.raw_set("version", concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION")))?;
    native.raw_set("null", json::null())?;
    #[cfg(not(any(feature = "lua51", feature = "luajit")))]
    {
        native.raw_set("lines", raw::lines::function(lua)?)?;
        native.raw_set("count", raw::lines::count_function(lua)?)?;
    }
    native.raw_set("connection", connection::methods(lua)?)?;
    native.raw_set("checks", connection::checks(lua)?)?;
    native.raw_set("listener", listener::methods(lua)?)?;
    for (name, body) in park::FUNCTIONS {
        native.raw_set(name, function(lua, name, false, body)?)?;
    }
    // Compiled for the first that asks: it is a tenth of what `require` takes.
    let loops = |lua: &Lua, native: Table| -> mlua::Result<Function> {
        lua.load(include_str!("loops.lua")).set_name("=tcp").call(native)
    };
    native.raw_set("loops", lua.create_function(loops)?)?;
    let shim = lua.load(include_str!("shim.lua")).set_name("=tcp").into_function()?;
    let modules: Table = shim.call(native)?;
    register::<Connection>(lua, modules.raw_get("connection")?)?;
    register::<Listener>(lua, modules.raw_get("listener")?)?;
    Ok(modules)
}

/// Completes a kind of object's metatable: what the shim made of its methods.
fn register<T: Object>(lua: &Lua, methods: Table) -> mlua::Result<()> {
    let close: Function = methods.raw_get("close")?;
    // A method for the metatable alone.
    let tostring: Function = methods.raw_get("tostring")?;
    methods.raw_set("tostring", Value::Nil)?;
    let metatable = Kind::<T>::of(lua)?.metatable(lua)?;
    metatable.raw_set("__name", T::NAME)?;
    metatable.raw_set("__index", methods)?;
    metatable.raw_set("__close", close)?;
    metatable.raw_set("__tostring", tostring)
}
