-- A socket's life: made, bound, connected, listening, closed. What is bound listens already, and
-- does so on the same port when it is told to; a bound client's port is given to its connect.

local native = ...
local safe, face = native.safe, native.face
local object, words, steps = native.part "object", native.part "words", native.part "steps"
local options = native.part "options"
native.part "client"
native.part "send"

local huge = math.huge
local any, master, server = object.any, object.master, object.server
local sockets = {}

-- The most that a read gathers: LuaSocket has no limit.
local MOST = 2 ^ 52

function sockets.new(family)
  return object.new("master", family)
end

function sockets.tcp()
  return sockets.new "unspec"
end

-- A socket of one family has a descriptor from the beginning, until it has another one.
local function reserve(family)
  local self = sockets.new(family)
  self.reserved = steps.new(face.reserve, family)
  local ok, why, code = steps.step(self.reserved)
  if ok == false then
    return nil, words.of(why, code)
  end
  return self
end

local function unreserve(self)
  if self.reserved then
    steps.cancel(self.reserved)
    self.reserved = nil
  end
end

function sockets.tcp4()
  return reserve "inet"
end

function sockets.tcp6()
  return reserve "inet6"
end

-- The number of a service by its name, as /etc/services has it.
local function service(port)
  local number = tonumber(port)
  if number then
    return number
  end
  local file = io.open("/etc/services", "r")
  for line in file and file:lines() or function() end do
    local name, its = line:match "^(%S+)%s+(%d+)/tcp"
    if name == port then
      number = tonumber(its)
      break
    end
  end
  if file then
    file:close()
  end
  return number
end

-- What each connection is made with. LuaSocket leaves Nagle's algorithm on.
local function settings(self)
  local all = { timeout = huge, connect_timeout = huge, max_buffer = MOST, nodelay = false }
  if self.family ~= "unspec" then
    all.family = self.family
  end
  for name, value in pairs(options.of_connect(self)) do
    all[name] = value
  end
  return all
end

-- Bound and listening -----------------------------------------------------------------------------

local function listen(self, host, port, backlog)
  unreserve(self)
  local all = settings(self)
  all.connect_timeout = nil
  all.backlog = backlog
  all.reuse_addr = self.options.reuseaddr == true
  all.reuse_port = self.options.reuseport == true
  return safe.listen(host, port, all)
end

local any_address, hold = native.part "names".any_address, native.part "names".hold

local function set_family(self, ip)
  self.family = ip:find(":", 1, true) and "inet6" or "inet"
end

local BACKLOG = 32

function master.bind(self, host, port)
  object.check_text(host, 1, "bind")
  object.check_text(port, 2, "bind")
  local number = service(port)
  if not number then
    return nil, "service not supported for socket type"
  elseif self.listener then
    return nil, "Invalid argument"
  end
  host = host == "*" and any_address(self) or tostring(host)
  local listener, why, code = listen(self, host, number, BACKLOG)
  if not listener then
    return nil, words.of(why, code)
  end
  self.listener, self.backlog = listener, BACKLOG
  hold(self, listener)
  set_family(self, listener:info().sock.ip)
  return 1.0
end

function master.listen(self, backlog)
  backlog = tonumber(backlog or BACKLOG) or object.expected(1, "listen", "number", backlog)
  local sock = self.listener and self.listener:info().sock
  if not sock then
    sock = { ip = any_address(self), port = 0 }
  end
  if not self.listener or backlog ~= self.backlog then
    if self.listener then
      self.listener:close()
    end
    local why, code
    self.listener, why, code = listen(self, sock.ip, sock.port, math.max(backlog, 0))
    if not self.listener then
      return nil, words.of(why, code)
    end
  end
  self.backlog = backlog
  hold(self, self.listener)
  set_family(self, sock.ip)
  object.set_class(self, "server")
  return 1.0
end

function server.accept(self)
  if not self.listener then
    return nil, self.number and "Operation not supported" or "Bad file descriptor"
  end
  local conn, why, code = self.listener:accept(self.seconds)
  if not conn then
    return nil, words.of(why, code)
  end
  local client = object.new("client", self.family)
  client.conn, client.made = conn, safe.now()
  hold(client, conn)
  client.seconds = huge
  return client
end

-- Connected ---------------------------------------------------------------------------------------

local function connected(self, conn)
  self.conn, self.dialing = conn, nil
  hold(self, conn)
  self.made = safe.now()
  set_family(self, conn:info().peer.ip)
  object.apply_timeout(self)
  return 1.0
end

-- What a connect has come to. `unfinished` is the word where it goes on.
local function settle(self, unfinished, ok, value, code)
  if ok then
    return connected(self, value)
  elseif ok == nil then
    return nil, unfinished
  end
  self.dialing = nil
  return nil, words.of(value, code)
end

local function dial(self, host, port)
  unreserve(self)
  local all = settings(self)
  if self.listener then
    local sock = self.listener:info().sock
    self.listener:close()
    self.listener, self.polled = nil, nil
    all.bind = { sock.ip, sock.port }
  end
  self.dialing = steps.new(face.dial, host, port, all)
  return steps.drive(self.dialing, safe.now() + object.patience(self))
end

function any.connect(self, host, port)
  object.check_text(host, 1, "connect")
  object.check_text(port, 2, "connect")
  local number = service(port)
  if self.is_asked_again then
    -- Linux takes the connect that comes after one which has waited.
    self.is_asked_again = nil
    return 1.0
  elseif object.class(self) == "server" or self.conn and self.conn:is_open() then
    return nil, "already connected"
  elseif not number then
    return nil, "service not supported for socket type"
  end
  object.set_class(self, "client")
  local dialing = self.dialing
  if dialing and dialing.is_over then
    return settle(self, nil, dialing.ok, dialing.value, dialing.code)
  elseif dialing then
    return settle(self, "Operation already in progress", steps.step(dialing))
  end
  local ok, value, code = dial(self, tostring(host), number)
  self.is_asked_again = ok or nil
  return settle(self, "timeout", ok, value, code)
end
any.setpeername, any.setsockname = any.connect, nil
master.setsockname = master.bind

-- Makes a step of a connect, and keeps what comes of it for the next `connect`; true once there is
-- something. For `select`.
function sockets.has_dialed(self)
  local dialing = self.dialing
  if not dialing.is_over then
    local ok, value, code = steps.step(dialing)
    if ok ~= nil then
      dialing.is_over, dialing.ok, dialing.value, dialing.code = true, ok, value, code
      dialing.token = nil
    end
  end
  return dialing.is_over or false
end

-- Closed ------------------------------------------------------------------------------------------

function any.close(self)
  local dialing = self.dialing
  if dialing then
    if dialing.is_over and dialing.ok then
      dialing.value:close()
    end
    steps.cancel(dialing)
    self.dialing = nil
  end
  local its = self.conn or self.listener
  if its then
    its:close()
  end
  self.is_asked_again, self.is_closed = nil, true
  unreserve(self)
  return 1.0
end

object.complete()
return sockets
