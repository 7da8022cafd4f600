-- `require "tcp.luasocket"`: the functions, methods and results of LuaSocket and LuaSec, made of
-- this module's own operations. Each file here has one concern, and is compiled when it is needed.
--
-- `native` has, besides what the shim put into it: `face`, operations of this folder alone; `safe`,
-- what `require "tcp.safe"` gives; `files`, the loaders of these files.

local native = ...

local loaded = {}
function native.part(name)
  if loaded[name] == nil then
    loaded[name] = native.files[name]()
  end
  return loaded[name]
end

local face = { _NAME = "tcp.luasocket", _VERSION = "LuaSocket 3.1.0" }

native.module = face
for _, name in ipairs { "tcp", "tcp4", "tcp6" } do
  face[name] = native.part "master"[name]
end
for _, name in ipairs { "functions", "select", "dns", "helpers" } do
  for key, value in pairs(native.part(name)) do
    face[key] = value
  end
end

-- UDP is LuaSocket's own, where it is installed.
local function fail(name)
  return function()
    error("'" .. name .. "' is LuaSocket's own, and LuaSocket is not installed: "
      .. "tcp.luasocket has TCP and TLS alone", 2)
  end
end

-- Opens LuaSocket's library without `require`, so that its functions do not replace these.
local function find_core()
  local name = "socket.core"
  local file = name:gsub("%.", package.config:sub(1, 1))
  for template in package.cpath:gmatch "[^;]+" do
    local path = template:gsub("%?", (file:gsub("%%", "%%%%")))
    local handle = io.open(path, "rb")
    if handle then
      handle:close()
      local open = package.loadlib(path, "luaopen_socket_core")
      local ok, core = pcall(open or error, name)
      if ok and type(core) == "table" then
        return core
      end
    end
  end
end

local core
function native.core()
  if core == nil then
    core = find_core() or false
  end
  return core or nil
end

for _, name in ipairs { "udp", "udp4", "udp6" } do
  face[name] = function(...)
    local its = native.core()
    return (its and its[name] or fail(name))(...)
  end
end

-- LuaSec's module is compiled when it is first asked for.
local modules = {
  ["ssl"] = function() return native.part "ssl".ssl end,
  ["ssl.core"] = function() return native.part "ssl".core end,
  ["ssl.context"] = function() return native.part "ssl".context end,
  ["ssl.x509"] = function() return native.part "ssl".x509 end,
  ["socket"] = function() return face end,
  ["socket.core"] = function() return face end,
}

setmetatable(face, {
  __index = function(self, key)
    if key == "ssl" then
      local ssl = modules.ssl()
      rawset(self, key, ssl)
      return ssl
    end
  end,
})

-- Whether the name of a peer is verified where a client has called `sni`. False: as LuaSec does,
-- which leaves the name to its caller.
face.verify_names = true
function native.verifies_names()
  return face.verify_names ~= false
end

-- From now on `require` gives these modules under LuaSocket's and LuaSec's names.
function face.install()
  for name, get in pairs(modules) do
    local present = package.loaded[name]
    if present ~= nil and present ~= get() then
      error("'" .. name .. "' is loaded already: call install() before anything requires it", 2)
    end
  end
  for name, get in pairs(modules) do
    package.preload[name] = get
  end
  return face
end

return face
