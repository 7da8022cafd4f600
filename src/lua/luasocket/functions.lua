-- The functions of `socket` that make a socket and use it at once.

local native = ...
local object, sockets = native.part "object", native.part "master"
local functions = {}

-- Connects, from a local address if one is given, within a family if one is given.
function functions.connect(host, port, local_host, local_port, family)
  object.check_text(host, 1, "connect")
  object.check_text(port, 2, "connect")
  if family ~= nil and family ~= "unspec" and family ~= "inet" and family ~= "inet6" then
    object.wrong(5, "connect", ("invalid option '%s'"):format(tostring(family)))
  end
  local self = sockets.new "unspec"
  if local_host then
    -- The family is that of the local address.
    self.family = family or "unspec"
    local ok, why = self.bind(self, local_host, local_port or 0)
    if not ok then
      return nil, why
    end
  end
  local ok, why = self:connect(host, port)
  if not ok then
    self:close()
    return nil, why
  end
  return self
end

function functions.connect4(host, port, local_host, local_port)
  return functions.connect(host, port, local_host, local_port, "inet")
end

function functions.connect6(host, port, local_host, local_port)
  return functions.connect(host, port, local_host, local_port, "inet6")
end

-- Listens at the first address of a host that can be had.
function functions.bind(host, port, backlog)
  local found, why = native.part "dns".dns.getaddrinfo(host == "*" and "0.0.0.0" or host)
  if not found then
    return nil, why
  end
  why = "no info on address"
  for _, each in ipairs(found) do
    local self = sockets.new(each.family)
    self:setoption("reuseaddr", true)
    local ok
    ok, why = self:bind(each.addr, port)
    if ok then
      ok, why = self:listen(backlog)
    end
    if ok then
      return self
    end
    self:close()
  end
  return nil, why
end

return functions
