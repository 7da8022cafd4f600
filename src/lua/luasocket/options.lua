-- `setoption` and `getoption`. An option of a socket that is not connected yet is kept, and set
-- when it connects or listens.

local native = ...
local face = native.face
local object, dialing = native.part "object", native.part "dialing"
local any = object.any
local options = {}

-- Raises the error of a wrong value, which is the second argument of `setoption`.
local function expected(kind, value)
  local got = value == nil and "no value" or type(value)
  error(("bad argument #2 to 'setoption' (%s expected, got %s)"):format(kind, got), 4)
end

local function boolean(value)
  if type(value) ~= "boolean" then
    expected("boolean", value)
  end
  return value
end

local function number(value)
  return tonumber(value) or expected("number", value)
end

local function text(value)
  if type(value) ~= "string" and type(value) ~= "number" then
    expected("string", value)
  end
  return tostring(value)
end

-- The table `{on = true, timeout = 1}`; the older form is a number.
local function linger(value)
  if type(value) ~= "table" then
    expected("table", value)
  elseif type(value.on) ~= "boolean" then
    error("bad argument #2 to 'setoption' (boolean 'on' field expected)", 4)
  elseif not tonumber(value.timeout) then
    error("bad argument #2 to 'setoption' (number 'timeout' field expected)", 4)
  end
  return { on = value.on, timeout = tonumber(value.timeout) }
end

-- What each value must be.
local kinds = {
  ["bindtodevice"] = text, ["ipv6-v6only"] = boolean, ["keepalive"] = boolean, ["linger"] = linger,
  ["recv-buffer-size"] = number, ["reuseaddr"] = boolean, ["reuseport"] = boolean,
  ["send-buffer-size"] = number, ["tcp-defer-accept"] = number, ["tcp-fastopen"] = number,
  ["tcp-fastopen-connect"] = boolean, ["tcp-keepcnt"] = number, ["tcp-keepidle"] = number,
  ["tcp-keepintvl"] = number, ["tcp-nodelay"] = boolean,
}

-- What this module has no counterpart for.
local missing = {
  ["ipv6-v6only"] = true, ["tcp-defer-accept"] = true, ["tcp-fastopen"] = true,
  ["tcp-fastopen-connect"] = true,
}

-- Those that `getoption` has.
local readable = {
  ["bindtodevice"] = true, ["error"] = true, ["keepalive"] = true, ["linger"] = true,
  ["recv-buffer-size"] = true, ["reuseaddr"] = true, ["reuseport"] = true,
  ["send-buffer-size"] = true, ["tcp-keepcnt"] = true, ["tcp-keepidle"] = true,
  ["tcp-keepintvl"] = true, ["tcp-nodelay"] = true,
}

-- The option `keepalive` of this module, from LuaSocket's four.
local function keepalive(set)
  if not set.keepalive then
    return set.keepalive
  end
  local all = { idle = set["tcp-keepidle"], interval = set["tcp-keepintvl"],
    count = set["tcp-keepcnt"] }
  return next(all) and all or true
end

-- This module's options for those that were set, for `set_options` too.
local function of(set)
  local resets
  if set.linger then
    resets = set.linger.on and set.linger.timeout == 0
  end
  return {
    nodelay = set["tcp-nodelay"],
    keepalive = keepalive(set),
    receive_buffer = set["recv-buffer-size"],
    send_buffer = set["send-buffer-size"],
    reset_on_close = resets,
  }
end

-- The options that a connection or a listener of this object is made with.
function options.of_connect(self)
  local all = of(self.options)
  all.device = self.options.bindtodevice
  return all
end

-- Sets on the connection what was set on its object.
function options.apply(self)
  return self.conn:set_options(of(self.options))
end

-- What a socket that this listener accepts was told.
function options.inherited(self)
  local all = {}
  for name, value in pairs(self.options) do
    all[name] = value
  end
  return all
end

-- Whether there was a socket which is closed.
local function is_closed(self)
  return self.is_closed or self.conn ~= nil and not self.conn:is_open()
end

local function unsupported(name)
  error(("bad argument #1 to '%s' (unsupported option `%s')"):format(name[1], name[2]:sub(1, 35)), 3)
end

function any.setoption(self, name, value)
  object.check_text(name, 1, "setoption")
  local check = kinds[name]
  if not check then
    unsupported { "setoption", tostring(name) }
  end
  value = check(value)
  if missing[name] then
    return nil, "setsockopt failed: tcp.luasocket has no option " .. name
  end
  if is_closed(self) then
    return nil, "setsockopt failed"
  end
  local before = self.options[name]
  self.options[name] = value
  if self.conn then
    local ok, why = options.apply(self)
    if not ok then
      self.options[name] = before
      return nil, "setsockopt failed", why
    end
  elseif self.dialing or self.listener then
    self.is_late = true
  end
  return 1.0
end

-- What the socket itself says; nothing of one that is not there yet.
local function read(self)
  local its, operation = self.conn, face.socket_options
  if self.listener then
    its, operation = self.listener, face.listener_options
  end
  if its and its:is_open() then
    local _, all = operation(nil, its)
    return all
  end
  return self.family ~= "unspec" and {} or nil
end

-- Where a socket that is not there yet was not told otherwise.
local defaults = {
  ["keepalive"] = false, ["reuseaddr"] = false, ["reuseport"] = false, ["tcp-nodelay"] = false,
}

-- As LuaSocket gives it. `value`: what the socket says, nil where it says nothing.
local function value_of(self, name, value)
  local own = self.options[name]
  if name == "linger" then
    return own and { on = own.on, timeout = own.timeout }
      or { on = value ~= nil and value >= 0, timeout = math.max(value or 0, 0) }
  elseif defaults[name] ~= nil then
    -- What a listener was told is for the sockets that it accepts.
    if own ~= nil and (value == nil or self.listener) then
      return own
    end
    return value == nil and defaults[name] or value ~= nil and value ~= 0
  end
  value = value or own
  if value == nil then
    return nil, "getsockopt failed"
  end
  return value + 0.0
end

function any.getoption(self, name)
  object.check_text(name, 1, "getoption")
  if not readable[name] then
    unsupported { "getoption", tostring(name) }
  end
  if self.dialing then
    dialing.step(self)
  end
  if name == "error" and self.failure then
    return dialing.take_failure(self)
  end
  local all = read(self)
  if is_closed(self) or not all and not self.dialing and not self.is_dead then
    return nil, "getsockopt failed"
  elseif name == "error" then
    return nil
  elseif name == "bindtodevice" then
    return self.options[name] or ""
  end
  return value_of(self, name, all and all[name])
end

return options
