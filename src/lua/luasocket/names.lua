-- Who is at both ends of a socket, and what other libraries wait for.

local native = ...
local object, safe = native.part "object", native.safe
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
  local dialing = self.dialing
  if dialing and dialing.is_over and dialing.ok then
    return dialing.value:fd() + 0.0
  end
  local waiting = dialing or self.reserved
  return (waiting and waiting.fd or self.number or -1) + 0.0
end

-- Which object has a descriptor, for another one that is to take it over.
local holders = setmetatable({}, { __mode = "v" })
-- What was given up stays open: some other library has its descriptor now.
native.given_up = {}

local function hold(self, its)
  self.polled = its
  holders[its:fd()] = self
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
    self.conn = safe.from_fd(fd, { timeout = math.huge, max_buffer = 2 ^ 52 })
  end
  return self.conn or self.listener
end

-- Gives the socket up, and takes the one of this descriptor.
function any.setfd(self, fd)
  fd = tonumber(fd) or object.expected(1, "setfd", "number", fd)
  local its = self.conn or self.listener
  if its and its:is_open() then
    native.given_up[its:fd()] = its
  end
  self.conn, self.listener, self.polled, self.number = nil, nil, nil, nil
  if fd >= 0 then
    its = take(self, fd)
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
  local conn = self.conn
  if conn and conn:is_open() then
    local peer = conn:info().peer
    return name_of(self, peer, peer.port)
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

return { any_address = any_address, hold = hold }
