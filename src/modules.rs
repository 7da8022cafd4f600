//! The result of `require`: tables of native functions, which the shim makes into modules. This
//! code runs only during `require`, so it may use mlua. Uses `ffi`, `ops`, `event_loop`.

use std::rc::Rc;

use mlua::{AnyUserData, Function, Lua, Table, Value};

use crate::alloc;
use crate::event_loop::Host;
use crate::ffi::call::Operation;
use crate::ffi::object::Kind;
use crate::ffi::trampoline::function;
#[cfg(not(any(feature = "lua51", feature = "luajit")))]
use crate::ffi::{direct, lines};
use crate::ffi::{loader, ready, reply, run_function, sink, waiting};
use crate::{json, listener, ops};

/// The module whose failures are returned and not thrown.
pub const SAFE: &str = "tcp.safe";

/// The face of LuaSocket and LuaSec.
pub const LUASOCKET: &str = "tcp.luasocket";

/// The registry key of the tables that the shim has made. Both modules share them, so that a
/// connection has the same methods in each. A module itself is made when it is first required.
const MODULES: &str = "tcp.modules";

/// The files of `lua/loops/`.
const LOOPS: [(&str, &str); 9] = [
    ("choose", include_str!("lua/loops/choose.lua")),
    ("coroutines", include_str!("lua/loops/coroutines.lua")),
    ("poller", include_str!("lua/loops/poller.lua")),
    ("cqueues", include_str!("lua/loops/cqueues.lua")),
    ("luv", include_str!("lua/loops/luv.lua")),
    ("copas", include_str!("lua/loops/copas.lua")),
    ("own", include_str!("lua/loops/own.lua")),
    ("run", include_str!("lua/loops/run.lua")),
    ("map", include_str!("lua/loops/map.lua")),
];

/// The files of `lua/luasocket/`.
const FACE: [(&str, &str); 20] = [
    ("init", include_str!("lua/luasocket/init.lua")),
    ("object", include_str!("lua/luasocket/object.lua")),
    ("words", include_str!("lua/luasocket/words.lua")),
    ("steps", include_str!("lua/luasocket/steps.lua")),
    ("dialing", include_str!("lua/luasocket/dialing.lua")),
    ("master", include_str!("lua/luasocket/master.lua")),
    ("names", include_str!("lua/luasocket/names.lua")),
    ("functions", include_str!("lua/luasocket/functions.lua")),
    ("client", include_str!("lua/luasocket/client.lua")),
    ("send", include_str!("lua/luasocket/send.lua")),
    ("options", include_str!("lua/luasocket/options.lua")),
    ("select", include_str!("lua/luasocket/select.lua")),
    ("dns", include_str!("lua/luasocket/dns.lua")),
    ("helpers", include_str!("lua/luasocket/helpers.lua")),
    ("ssl", include_str!("lua/luasocket/ssl.lua")),
    ("context", include_str!("lua/luasocket/context.lua")),
    ("session", include_str!("lua/luasocket/session.lua")),
    ("x509", include_str!("lua/luasocket/x509.lua")),
    ("cipher", include_str!("lua/luasocket/cipher.lua")),
    ("der", include_str!("lua/luasocket/der.lua")),
];

/// The upvalues of every native function.
struct Native<'a> {
    lua: &'a Lua,
    run: Function,
    host: AnyUserData,
}

/// Returns the table for `require` of this name.
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
    let native = Native { lua, run: modules.raw_get("run")?, host: modules.raw_get("host")? };
    if name == LUASOCKET {
        let face = native.face(&modules)?;
        modules.raw_set(name, &face)?;
        return Ok(face);
    }
    let make: Function = modules.raw_get("module")?;
    let module: Table = make.call((name, native.functions(safe)?, safe.then_some(true)))?;
    modules.raw_set(name, &module)?;
    Ok(module)
}

impl Native<'_> {
    fn table(
        &self,
        operations: impl IntoIterator<Item = &'static Operation>,
        safe: bool,
    ) -> mlua::Result<Table> {
        let table = self.lua.create_table()?;
        for operation in operations {
            table.raw_set(operation.name, self.function(operation, safe)?)?;
        }
        Ok(table)
    }

    fn function(&self, operation: &'static Operation, safe: bool) -> mlua::Result<Function> {
        function(self.lua, &self.run, &self.host, operation, safe)
    }

    fn functions(&self, safe: bool) -> mlua::Result<Table> {
        let last = [&ops::write::SEND_LAST, &ops::read::RECV_LAST];
        let functions = self.table(ops::FUNCTIONS.iter().chain(last), safe)?;
        functions.raw_set("json", self.table(&ops::CODEC, safe)?)?;
        Ok(functions)
    }
}

impl Native<'_> {
    /// The face of LuaSocket, which is compiled now.
    fn face(&self, modules: &Table) -> mlua::Result<Table> {
        let native: Table = modules.raw_get("native")?;
        let operations = self.table(&ops::face::OPERATIONS, true)?;
        operations.raw_set("listener_options", self.function(&ops::face::OF_LISTENER, true)?)?;
        operations.raw_set("ready", modules.raw_get::<Function>("ready")?)?;
        native.raw_set("face", operations)?;
        native.raw_set("safe", open(self.lua, SAFE)?)?;
        let files = self.lua.create_table()?;
        for (name, text) in FACE {
            files.raw_set(name, loader::function(self.lua, &native, text)?)?;
        }
        native.raw_set("files", &files)?;
        files.raw_get::<Function>("init")?.call(())
    }
}

fn load(lua: &Lua) -> mlua::Result<Table> {
    // A panic becomes a Lua error, and must print nothing on the script's stderr. The hook is that
    // of this library's own copy of std.
    std::panic::set_hook(Box::new(|_| {}));
    alloc::prepare();
    let host = Rc::new(Host::new(lua)?);
    let kinds = host.kinds;
    reply::register_last(lua)?;
    sink::register_sink(lua)?;
    let (waiting_table, tickets) = waiting::register_tables(lua)?;
    let native = Native { lua, run: run_function(lua)?, host: Kind::new(lua)?.create(lua, host)? };

    let table = native.table(&ops::poller::OPERATIONS, false)?;
    table.raw_set("version", concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION")))?;
    table.raw_set("null", json::null())?;
    let (register_wait, is_in_wait) = waiting::functions(lua)?;
    table.raw_set("last", reply::last_function(lua)?)?;
    table.raw_set("register_wait", register_wait)?;
    table.raw_set("is_in_wait", is_in_wait)?;
    table.raw_set("waiting", waiting_table)?;
    table.raw_set("tickets", tickets)?;
    table.raw_set("descriptors", net::io::poller::DESCRIPTORS)?;
    #[cfg(not(any(feature = "lua51", feature = "luajit")))]
    {
        table.raw_set("direct", direct::function(lua)?)?;
        table.raw_set("lines", lines::function(lua, kinds.connections)?)?;
    }
    #[cfg(any(feature = "lua51", feature = "luajit"))]
    table.raw_set("blocks", loader::function(lua, &table, include_str!("lua/blocks.lua"))?)?;
    #[cfg(feature = "luajit")]
    table.raw_set("cuts", native.table(&ops::read::CUTS, false)?)?;
    let connection =
        ops::settings::METHODS.iter().chain(&ops::read::METHODS).chain(&ops::write::METHODS);
    let connection = connection.chain(&ops::copy::METHODS).chain(&ops::dialogue::METHODS);
    table.raw_set("connection", native.table(connection, false)?)?;
    table.raw_set("checks", native.table(&ops::read::CHECKS, false)?)?;
    table.raw_set("kept_lines", native.function(&ops::read::KEPT, false)?)?;
    table.raw_set("listener", native.table(&listener::METHODS, false)?)?;
    table.raw_set("awaited", native.function(&ops::copy::AWAITED, false)?)?;
    table.raw_set("next", native.function(&listener::NEXT, false)?)?;
    // Each loop is compiled when it is first used; this saves a tenth of the time of `require`.
    let loops = lua.create_table()?;
    for (name, text) in LOOPS {
        loops.raw_set(name, loader::function(lua, &table, text)?)?;
    }
    table.raw_set("loops", loops)?;

    let shim = lua.load(include_str!("lua/shim.lua")).set_name("=tcp").into_function()?;
    let modules: Table = shim.call(&table)?;
    modules.raw_set("native", table)?;
    modules.raw_set("ready", ready::function(lua, kinds.connections)?)?;
    register(lua, kinds.connections, "tcp.Connection", modules.raw_get("connection")?)?;
    register(lua, kinds.listeners, "tcp.Listener", modules.raw_get("listener")?)?;
    modules.raw_set("run", native.run)?;
    modules.raw_set("host", native.host)?;
    Ok(modules)
}

/// Completes the metatable of a kind of objects, with the methods that the shim has made.
fn register<T: 'static>(lua: &Lua, kind: Kind<T>, name: &str, methods: Table) -> mlua::Result<()> {
    let close: Function = methods.raw_get("close")?;
    // This method belongs in the metatable only.
    let tostring: Function = methods.raw_get("tostring")?;
    methods.raw_set("tostring", Value::Nil)?;
    let metatable = kind.metatable(lua)?;
    metatable.raw_set("__name", name)?;
    metatable.raw_set("__index", methods)?;
    metatable.raw_set("__close", close)?;
    metatable.raw_set("__tostring", tostring)
}
