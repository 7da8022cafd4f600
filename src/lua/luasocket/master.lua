-- A socket's life: made, bound, connected, listening, closed. What is bound listens already, and
-- does so on the same port when it is told to; a bound client's port is given to its connect.

local native = ...
local safe, face = native.safe, native.face
local object, words, steps = native.part "object", native.part "words", native.part "steps"
local options, dialing = native.part "options", native.part "dialing"
native.part "client"
native.part "send"

local huge = math.huge
local any, master, server = object.any, object.master, object.server
local sockets = {}

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

local NO_SERVICE = "service not supported for socket type"

-- The number of a service by its name, as /etc/services has it; nil and a word where there is none.
local function service(port)
  local number = port == "" and 0 or tonumber(port)
  if number then
    if number < 0 or number > 65535 or number % 1 ~= 0 then
      return nil, NO_SERVICE
    end
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
  return number, NO_SERVICE
end

-- What each connection is made with. LuaSocket leaves Nagle's algorithm on.
local function settings(self)
  local all = { timeout = huge, connect_timeout = huge, max_buffer = object.MOST, nodelay = false }
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
  local ok, a, b, c, d, e = face.listen(nil, host, port, all)
  if ok == nil then
    ok, a, b, c = native.resume(face.listen, a, b, c, d, e, host, port, all)
  end
  if ok then
    return a
  end
  return nil, words.of(b, c)
end

local any_address, hold = native.part "names".any_address, native.part "names".hold

local function set_family(self, ip)
  self.family = ip:find(":", 1, true) and "inet6" or "inet"
end

local BACKLOG = 32

function master.bind(self, host, port)
  object.check_text(host, 1, "bind")
  object.check_text(port, 2, "bind")
  local number, why = service(port)
  if not number then
    return nil, why
  elseif self.listener then
    return nil, "Invalid argument"
  end
  host = host == "*" and any_address(self) or tostring(host)
  local listener
  listener, why = listen(self, host, number, BACKLOG)
  if not listener then
    return nil, why
  end
  self.listener, self.backlog = listener, BACKLOG
  hold(self, listener)
  set_family(self, listener:info().sock.ip)
  return 1.0
end

-- The number of connections that wait, as the system takes it.
local function whole(backlog)
  return math.floor(math.max(math.min(backlog, 2 ^ 31 - 1), 0))
end

function master.listen(self, backlog)
  if backlog == nil then
    backlog = BACKLOG
  end
  backlog = whole(tonumber(backlog) or object.expected(1, "listen", "number", backlog))
  if not self.listener then
    if self.family == "unspec" or self.is_closed then
      return nil, "Bad file descriptor"
    end
    local listener, why = listen(self, any_address(self), 0, backlog)
    if not listener then
      return nil, why
    end
    self.listener = listener
  elseif backlog ~= self.backlog then
    face.set_backlog(nil, self.listener, backlog)
  end
  self.backlog = backlog
  hold(self, self.listener)
  set_family(self, self.listener:info().sock.ip)
  object.set_class(self, "server")
  return 1.0
end

function server.accept(self)
  if not self.listener then
    return nil, self.is_closed and "closed" or self.number and "Operation not supported" or "Bad file descriptor"
  end
  local conn, why, code = self.listener:accept(self.seconds)
  if not conn then
    return nil, words.of(why, code)
  end
  local client = object.new("client", self.family)
  client.conn, client.made = conn, safe.now()
  hold(client, conn)
  client.seconds = huge
  -- An accepted socket has what its listener was told, also after `listen`.
  if next(self.options) then
    client.options = options.inherited(self)
    options.apply(client)
  end
  return client
end

-- Connected ---------------------------------------------------------------------------------------

-- Takes the connection that a connect has come to.
local function adopt(self, conn)
  self.conn = conn
  hold(self, conn)
  self.made = safe.now()
  set_family(self, conn:info().peer.ip)
  object.apply_timeout(self)
  if self.is_late then
    -- Options that were set while it was connecting.
    self.is_late = nil
    options.apply(self)
  end
end
object.client.adopt = adopt

local function dial(self, host, port)
  unreserve(self)
  local all = settings(self)
  if self.listener then
    local sock = self.listener:info().sock
    self.listener:close()
    self.listener, self.polled = nil, nil
    all.bind = { sock.ip, sock.port }
  end
  self.conn, self.is_closed = nil, nil
  dialing.begin(self, face.dial, host, port, all)
  return dialing.go_on(self, safe.now() + object.patience(self))
end

-- What `connect` gives, after a step that gave `ok`.
local function result(self, ok, unfinished)
  if ok then
    return 1.0
  elseif ok == nil then
    return nil, unfinished
  end
  return nil, dialing.take_failure(self)
end

function any.connect(self, host, port)
  object.check_text(host, 1, "connect")
  object.check_text(port, 2, "connect")
  local number, why = service(port)
  if self.is_asked_again then
    -- Linux takes the connect that comes after one which has waited.
    self.is_asked_again = nil
    return 1.0
  elseif object.class(self) == "server" or self.conn and self.conn:is_open() then
    return nil, "already connected"
  end
  object.set_class(self, "client")
  if self.dialing then
    return result(self, dialing.step(self), "Operation already in progress")
  elseif self.failure then
    return nil, dialing.take_failure(self)
  elseif not number then
    return nil, why
  elseif number == 0 then
    return nil, "connection refused"
  end
  local ok = dial(self, host == "*" and any_address(self) or tostring(host), number)
  self.is_asked_again = ok
  return result(self, ok, "timeout")
end
any.setpeername = any.connect
master.setsockname = master.bind

-- Makes a step of a connect that others wait for: `connect` gives its result again. True once there
-- is something.
function sockets.has_dialed(self)
  if self.dialing then
    self.is_asked_again = dialing.step(self) or nil
  end
  return self.dialing == nil
end

-- Closed ------------------------------------------------------------------------------------------

function any.close(self)
  dialing.cancel(self)
  local its = self.conn or self.listener
  if its then
    its:close()
  end
  self.listener, self.is_asked_again, self.is_closed = nil, nil, true
  unreserve(self)
  return 1.0
end

object.complete()
return sockets
