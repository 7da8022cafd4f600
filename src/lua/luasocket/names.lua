-- Who is at both ends of a socket, and what other libraries wait for.

local native = ...
local object = native.part "object"
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
  return dialing and dialing.fd and dialing.fd + 0.0 or -1.0
end

function any.setfd()
  error("setfd: a connection of tcp.luasocket keeps its descriptor; tcp.from_fd takes one", 2)
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
  elseif self.family == "unspec" or conn then
    return nil, "Bad file descriptor"
  end
  return nil, "Transport endpoint is not connected"
end

function any.getsockname(self)
  local its = self.conn or self.listener
  if its and its:is_open() then
    local sock = its:info().sock
    return name_of(self, sock, tostring(sock.port))
  elseif self.family == "unspec" or its then
    return nil, "Bad file descriptor"
  end
  return any_address(self), "0", self.family
end

return { any_address = any_address }
