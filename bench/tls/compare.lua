-- TLS handshakes against LuaSec in one process: `lua bench/tls/compare.lua [PAIRS]`, with tcp on LUA_CPATH,
-- in the project's folder. The peer is `openssl s_server`, for both.
-- Each figure is the median, over pairs of slices run in turn, of LuaSec's time by ours (over 1: we are
-- faster). Both connect, verify the chain against the same CA file, check the host name, and close. LuaSec
-- checks no names: its half looks through the alternative names itself, as a careful script would. It runs
-- once with a context that is kept, and once as scripts mostly have it, with the parameters for each
-- connection. The last column is LuaSec with a kept context against itself: how far from 1 a ratio is by
-- chance.

local tcp = require "tcp"
local socket = require "socket"
local ssl = require "ssl"

local PAIRS = tonumber(arg[1]) or 201
local SLICE = 3 -- handshakes: short, so that a noisy machine is the same for both of a pair
local FOLDER = ".build/spec/certificates"

assert(os.execute("sh spec/support/make_ca.sh " .. FOLDER))

-- A server with this certificate: its port, and what ends it.
local function serve(name, version)
  local log = os.tmpname()
  local pipe = io.popen(("timeout 600 openssl s_server -rev -accept 127.0.0.1:0 -tls%s -cert %s/%s.pem -key %s/%s.key"
    .. " -cert_chain %s/middle.pem >%s 2>&1 & echo $!"):format(version:gsub("%.", "_"), FOLDER, name, FOLDER, name,
    FOLDER, log))
  local pid = pipe:read "*l"
  pipe:close()
  local port
  for _ = 1, 100 do
    local file = assert(io.open(log))
    port = file:read "*a":match "ACCEPT [%d.]*:(%d+)"
    file:close()
    if port then break end
    socket.sleep(0.05)
  end
  assert(port, "openssl s_server does not listen")
  return tonumber(port), function()
    os.execute("kill " .. pid)
    os.remove(log)
  end
end

local function ours(port)
  local conn = tcp.connect_tls("127.0.0.1", port, { server_name = "localhost", ca_file = FOLDER .. "/root.pem" })
  conn:close()
end

local parameters = {
  mode = "client", protocol = "any", options = { "all", "no_sslv2", "no_sslv3", "no_tlsv1", "no_tlsv1_1" },
  verify = "peer", cafile = FOLDER .. "/root.pem",
}
local kept = assert(ssl.newcontext(parameters))

local function is_for(certificate, name)
  for _, extension in pairs(certificate:extensions()) do
    for _, each in ipairs(extension.dNSName or {}) do
      if each == name then return true end
    end
  end
  return false
end

local function luasec(port, context)
  local plain = assert(socket.tcp())
  plain:settimeout(5)
  assert(plain:connect("127.0.0.1", port))
  plain:setoption("tcp-nodelay", true)
  local conn = assert(ssl.wrap(plain, context))
  conn:settimeout(5)
  conn:sni "localhost"
  assert(conn:dohandshake())
  assert(is_for(conn:getpeercertificate(), "localhost"))
  conn:close()
end

local function with_kept(port) luasec(port, kept) end
local function with_parameters(port) luasec(port, parameters) end

-- The server works too: the time that passes, not our processor's.
local function time(run, port)
  collectgarbage()
  local start = socket.gettime()
  for _ = 1, SLICE do run(port) end
  return socket.gettime() - start
end

local function median(list)
  table.sort(list)
  return list[math.floor(#list / 2) + 1]
end

-- The medians of theirs / ours, and of the time of ours for one handshake.
local function compare(theirs, mine, port)
  theirs(port)
  mine(port)
  local ratios, times = {}, {}
  for pair = 1, PAIRS do
    local a, b
    if pair % 2 == 0 then
      a = time(theirs, port)
      b = time(mine, port)
    else
      b = time(mine, port)
      a = time(theirs, port)
    end
    ratios[pair], times[pair] = a / b, b / SLICE
  end
  return median(ratios), median(times)
end

print(("%s, LuaSec %s, median of %d pairs"):format(jit and jit.version or _VERSION, ssl._VERSION, PAIRS))
print(("%-16s %9s  %14s %16s  %s"):format("certificate", "per second", "kept context", "with parameters", "self-check"))
local worst = math.huge
for _, version in ipairs { "1.3", "1.2" } do
  for _, name in ipairs { "good", "rsa" } do
    local port, stop = serve(name, version)
    local ok, message = pcall(function()
      local ratio, seconds = compare(with_kept, ours, port)
      local usual = compare(with_parameters, ours, port)
      local check = compare(with_kept, with_kept, port)
      worst = math.min(worst, ratio)
      print(("%-16s %9.0f  %14.2f %16.2f  %8.2f"):format(
        (name == "rsa" and "RSA" or "ECDSA") .. ", TLS " .. version, 1 / seconds, ratio, usual, check))
    end)
    stop()
    if not ok then error(message, 0) end
  end
end
print(("worst %.2f"):format(worst))
