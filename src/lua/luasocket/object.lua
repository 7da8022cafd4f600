-- The objects of LuaSocket: a socket is a master, a client or a server, and its metatable says
-- which. A method of another class says so, in the words of LuaSocket.

local native = ...
local face = native.face

-- `MOST`: the bytes that a read gathers at most, and a connection keeps. LuaSocket has no limit.
local object = { MOST = 2 ^ 52 }

-- The fields of an object: `conn` or `listener`, what this module has for it; `block` and `total`,
-- its timeouts, -1 where there is none; `family`, "unspec", "inet" or "inet6"; `options`, those
-- that were set.

local tostring, setmetatable, getmetatable = tostring, setmetatable, getmetatable

-- A table's address, as Lua prints it.
local function address(self)
  local metatable = getmetatable(self)
  setmetatable(self, nil)
  local text = tostring(self):match "0x%x+" or "0x0"
  setmetatable(self, metatable)
  return text
end
object.address = address

-- The methods of each class, and those that each object has.
object.any = {}
object.master, object.client, object.server = {}, {}, {}

local metatables = {}
for _, class in ipairs { "master", "client", "server" } do
  local name = "tcp{" .. class .. "}"
  metatables[class] = {
    __index = object[class],
    __name = name,
    __tostring = function(self)
      return name .. ": " .. address(self)
    end,
  }
end

-- Makes an object one of this class.
function object.set_class(self, class)
  return setmetatable(self, metatables[class])
end

-- The class of an object; nil where it is none of these.
function object.class(self)
  local metatable = type(self) == "table" and getmetatable(self)
  for class, its in pairs(metatables) do
    if its == metatable then
      return class
    end
  end
end

function object.new(class, family)
  return object.set_class({ block = -1, total = -1, family = family, options = {} }, class)
end

-- Which class each method belongs to; the others raise.
local owners = {
  bind = "master", listen = "master", setsockname = "master",
  accept = "server",
  send = "client", receive = "client", getstats = "client", setstats = "client",
  shutdown = "client",
}

-- Gives each class what it lacks, once all methods are there.
function object.complete()
  for _, class in ipairs { "master", "client", "server" } do
    object[class].class = "tcp{" .. class .. "}"
    for name, method in pairs(object.any) do
      object[class][name] = object[class][name] or method
    end
    for name, owner in pairs(owners) do
      object[class][name] = object[class][name] or function()
        error(("calling '%s' on bad self (tcp{%s} expected)"):format(name, owner), 2)
      end
    end
  end
end

-- Whether an argument is a string, or a number in its place.
local function is_text(value)
  local kind = type(value)
  return kind == "string" or kind == "number"
end

local function type_of(...)
  return select("#", ...) == 0 and "no value" or type((...))
end

-- Raises the error of a wrong argument of the method's caller.
function object.wrong(at, method, why)
  error(("bad argument #%d to '%s' (%s)"):format(at, method, why), 3)
end

function object.expected(at, method, kind, value)
  local got = type_of(value)
  if value == nil then
    got = "no value"
  end
  error(("bad argument #%d to '%s' (%s expected, got %s)"):format(at, method, kind, got), 3)
end

function object.check_text(value, at, method)
  if not is_text(value) then
    local got = value == nil and "no value" or type(value)
    error(("bad argument #%d to '%s' (string expected, got %s)"):format(at, method, got), 3)
  end
  return value
end

-- Timeouts ----------------------------------------------------------------------------------------

local huge, min = math.huge, math.min

-- The seconds that a call of this object may take. LuaSocket measures both of its timeouts from the
-- beginning of a call.
local function patience(self)
  local block, total = self.block, self.total
  if block < 0 then
    block = huge
  end
  if total < 0 then
    total = huge
  end
  return min(block, total)
end
object.patience = patience

local set_patience = face.patience

-- Tells the connection, if there is one.
function object.apply_timeout(self)
  self.seconds = patience(self)
  if self.conn then
    set_patience(nil, self.conn, self.seconds)
  end
end

function object.any.settimeout(self, seconds, mode)
  if seconds == nil then
    seconds = -1
  elseif not tonumber(seconds) then
    object.expected(1, "settimeout", "number", seconds)
  end
  mode = mode == nil and "b" or mode
  object.check_text(mode, 2, "settimeout")
  local first = tostring(mode):sub(1, 1)
  if first == "b" then
    self.block = tonumber(seconds)
  elseif first == "t" or first == "r" then
    self.total = tonumber(seconds)
  else
    object.wrong(2, "settimeout", "invalid timeout mode")
  end
  object.apply_timeout(self)
  return 1.0
end

function object.any.gettimeout(self)
  return self.block + 0.0, self.total + 0.0
end

return object
