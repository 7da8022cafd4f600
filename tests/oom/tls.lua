-- Fails each allocation, also those of OpenSSL and the resolver, while connecting by name and over
-- TLS. It does the same for calls on such a connection, and for listening, polling and choosing a
-- loop. See sweep.lua; run by tests/oom/run.

local tcp = require "tcp"
local safe = require "tcp.safe"
local support = require "support"

local ports, root = support.ports, support.root

local silent = tcp.listen("127.0.0.1", 0)
local plain = tcp.connect("127.0.0.1", silent:port())

-- Lets the resolver thread become idle. Starting one allocates in Rust's library, which cannot
-- fail.
local function rest() tcp.poll({ plain }, nil, 0.003) end

-- Messages of OpenSSL and of the C library's resolver when memory is short, also misleading ones.
local openssl = { "malloc failure", "internal error", "tls: ", "certificate: " }
local resolver = { "dns: " }

local function connect(name, port, options)
  local conn = tcp.connect_tls(name, port, options)
  local version = conn:info().tls.version
  conn:close()
  return version
end

-- A TLS connection, made again when OpenSSL has given it up.
local conn
local function reconnect()
  if conn then conn:close() end
  conn = tcp.connect_tls("localhost", ports.echo_tls, { ca_file = root })
end

local text = ("some text over TLS "):rep(2000)

-- Whether exactly the bytes that were written come back.
local function echoed()
  local ok, came = pcall(function()
    conn:send "|"
    return conn:read_until "|"
  end)
  if ok then return came end
  reconnect()
end

local function open()
  rest()
  if not pcall(echoed) then reconnect() end
end

local function exchange()
  conn:send(text, "\n")
  return conn:read_line()
end

local session
do
  local first = tcp.connect_tls("localhost", ports.greet_tls, { ca_file = root })
  first:read_json_packet()
  session = first:session()
  first:close()
end

local listening = {}
local function stop_listening()
  rest()
  for i = #listening, 1, -1 do table.remove(listening, i):close() end
end
local function listen(options)
  return function()
    local listener = tcp.listen("localhost", 0, options)
    listening[#listening + 1] = listener
    return listener:is_open()
  end
end

local certificate = root:gsub("root%.pem$", "good")

local cases = {
  { "resolve", function() return tcp.resolve("localhost")[1] end, nil, rest, says = resolver },
  { "connect by name", function()
    tcp.connect("localhost", ports.echo):close()
    return "connected"
  end, nil, rest, says = resolver },
  { "connect_tls", function() return connect("127.0.0.1", ports.greet_tls, { ca_file = root, verify = false }) end,
    nil, nil, says = openssl },
  { "connect_tls by name", function() return connect("localhost", ports.greet_tls, { ca_file = root }) end,
    nil, rest, says = { "dns: ", "tls: ", "certificate: " } },
  { "connect_tls with a session", function()
    return connect("localhost", ports.greet_tls, { ca_file = root, session = session })
  end, nil, rest, says = { "dns: ", "tls: ", "certificate: " } },
  { "a refused certificate", function()
    return (select(3, safe.connect_tls("localhost", ports.stranger, { ca_file = root })))
  end, nil, rest, says = { "dns", "tls", "certificate" } },
  { "write and read over TLS", exchange, nil, open, says = openssl, mend = open },
  { "info over TLS", function() return conn:info().tls.version end, nil, open, says = openssl, mend = open },
  { "listen", listen(), nil, stop_listening, says = resolver },
  { "listen over TLS", listen { tls = { cert_file = certificate .. ".pem", key_file = certificate .. ".key" } }, nil,
    stop_listening, says = { "dns: ", "tls: ", "io: " } },
  { "poll", function() return #tcp.poll({ plain }, { plain }, 0) end },
}

-- LuaJIT loses upvalues if there is no memory for their closure.
if type(jit) ~= "table" then
  cases[#cases + 1] = { "use", function()
    tcp.use(function() end)
    tcp.use(nil)
    return "used"
  end }
end

-- OpenSSL has caches, and resolver threads start and end.
require "sweep"(cases, { first = 8, passes = 1, blocks = 64 })
if conn then conn:close() end
