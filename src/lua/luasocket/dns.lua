-- `socket.dns`. Names are looked up by this module, which lets the other coroutines of a loop run.
-- The name of an address is LuaSocket's to find, where it is installed.

local native = ...
local face = native.face
local object, words = native.part "object", native.part "words"
local dns = {}

local function family(ip)
  return ip:find(":", 1, true) and "inet6" or "inet"
end

-- The addresses of a name; nil, message and code where there is none.
local function resolve(host)
  local operation = face.resolve
  local ok, a, b, c, d, e = operation(nil, host, math.huge)
  if ok == nil then
    ok, a, b, c = native.resume(operation, a, b, c, d, e, host, math.huge)
  end
  if ok then
    return a
  elseif a ~= "return" and not (b and b:find "^bad argument #1") then
    error(b or "not enough memory", 0)
  end
  return nil, b, c
end

function dns.getaddrinfo(host)
  object.check_text(host, 1, "getaddrinfo")
  local found, why, code = resolve(tostring(host))
  if not found then
    return nil, words.of(why, code)
  end
  local all = {}
  for i, ip in ipairs(found) do
    all[i] = { family = family(ip), addr = ip }
  end
  return all
end

-- The IPv4 addresses of a name, with the name that was asked for.
local function lookup(host)
  local found, why, code = resolve(host)
  if not found then
    return nil, (code == "dns" or code == nil) and "host not found" or words.of(why, code)
  end
  local ips = {}
  for _, ip in ipairs(found) do
    if family(ip) == "inet" then
      ips[#ips + 1] = ip
    end
  end
  if not ips[1] then
    return nil, "host not found"
  end
  return { name = host, alias = {}, ip = ips }
end

-- Asks LuaSocket, for the name of an address.
local function ask(name, ...)
  local core = native.core()
  if not core then
    return nil, "LuaSocket is not installed, which finds the names of addresses"
  end
  return core.dns[name](...)
end

local function is_address(host)
  return host:find "^%d+%.%d+%.%d+%.%d+$" ~= nil
end

function dns.toip(host)
  host = tostring(object.check_text(host, 1, "toip"))
  if is_address(host) and native.core() then
    return ask("toip", host)
  end
  local found, why = lookup(host)
  if not found then
    return nil, why
  end
  return found.ip[1], found
end

function dns.tohostname(host)
  host = tostring(object.check_text(host, 1, "tohostname"))
  if is_address(host) then
    return ask("tohostname", host)
  end
  local found, why = lookup(host)
  if not found then
    return nil, why
  end
  return found.name, found
end

function dns.getnameinfo(host, service)
  if host == nil and service == nil then
    error("host and serv cannot be both nil", 2)
  end
  return ask("getnameinfo", host, service)
end

function dns.gethostname()
  local ok, name, message = face.hostname(nil)
  if not ok then
    return nil, message
  end
  return name
end

return { dns = dns }
