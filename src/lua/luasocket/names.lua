-- Who is at both ends of a socket, and what other libraries wait for.

local native = ...
local object, safe, face = native.part "object", native.safe, native.face
local dialing = native.part "dialing"
local any = object.any

-- The address that stands for all of them.
local function any_address(self)
  return self.family == "inet6" and "::" or "0.0.0.0"
end

function any.getfd(self)
  local its = self.conn or self.listener
  if its then
    return its:is_open() and its:fd() + 0.0 or -1.0
  end
  local waiting = self.dialing or self.reserved
  return (waiting and waiting.fd or self.number or -1) + 0.0
end

-- Which object has a descriptor, for another one that is to take it over.
local holders = setmetatable({}, { __mode = "v" })

local function hold(self, its)
  self.polled = its
  holders[its:fd()] = self
end

-- The object of ours whose descriptor something else tells by `getfd`; nil where there is none.
local function holder_of(other)
  local kind = type(other)
  local getfd = (kind == "table" or kind == "userdata") and other.getfd
  local fd = getfd and tonumber(getfd(other))
  local holder = fd and holders[fd]
  if holder and rawget(holder, "polled") and holder:getfd() == fd then
    return holder
  end
end

-- Takes what another object has, or a descriptor of somebody else's.
local function take(self, fd)
  local holder = holders[fd]
  local class = object.class(self)
  if holder and rawget(holder, "polled") and holder:getfd() == fd then
    self.conn, self.listener, self.family = holder.conn, holder.listener, holder.family
    holder.conn, holder.listener, holder.polled = nil, nil, nil
  elseif class == "server" then
    self.listener = safe.listener_from_fd(fd)
  else
    self.conn = safe.from_fd(fd, { timeout = math.huge, max_buffer = object.MOST })
  end
  return self.conn or self.listener
end

-- Gives the socket up, and takes the one of this descriptor.
function any.setfd(self, fd)
  fd = tonumber(fd) or object.expected(1, "setfd", "number", fd)
  -- What is given up stays open: some other library has its descriptor now.
  if self.conn then
    face.give_up(nil, self.conn)
  elseif self.listener then
    face.give_up_listener(nil, self.listener)
  end
  self.conn, self.listener, self.polled, self.number = nil, nil, nil, nil
  if fd >= 0 then
    local its = take(self, fd)
    if its then
      hold(self, its)
      object.apply_timeout(self)
    else
      self.number = fd
    end
  end
end

function any.dirty(self)
  return self.conn ~= nil and self.conn:is_open() and self.conn:dirty() or false
end

function any.getfamily(self)
  return self.family == "inet6" and "inet6" or "inet4"
end

-- LuaSocket 3.1 gives the port of this end as a string.
local function name_of(self, address, port)
  return address.ip, port, self.family
end

function any.getpeername(self)
  if self.dialing then
    dialing.step(self)
  end
  local conn = self.conn
  if conn and conn:is_open() then
    local peer = conn:info().peer
    return name_of(self, peer, peer.port)
  elseif self.dialing or self.is_dead then
    return nil, "Transport endpoint is not connected"
  elseif self.family == "unspec" or conn or self.is_closed then
    return nil, "Bad file descriptor"
  end
  return nil, "Transport endpoint is not connected"
end

function any.getsockname(self)
  local its = self.conn or self.listener
  if its and its:is_open() then
    local sock = its:info().sock
    return name_of(self, sock, tostring(sock.port))
  elseif self.family == "unspec" or its or self.is_closed then
    return nil, "Bad file descriptor"
  end
  return any_address(self), "0", self.family
end

return { any_address = any_address, hold = hold, holder_of = holder_of }
