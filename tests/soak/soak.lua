-- soak.lua PARTS: a long life of the module, 1/PARTS of it: a million packets over TCP and over
-- TLS, 100,000 connects and so on (the table at the end). After the first tenth of each, resident
-- memory must not grow by 2 MB, and descriptors not at all. Prints a line for each; run by
-- scripts/soak.

local tcp = require "tcp"
local safe = require "tcp.safe"

local support = dofile "tests/soak/support.lua"

local parts = tonumber(arg[1])
local ports, root, packet = support.ports, support.root, support.packet
local unpack = table.unpack or unpack -- luacheck: ignore 143

local plain = { timeout = 10 }
local trusting = { timeout = 10, ca_file = root }

local function connect(port, host)
  return tcp.connect(host or "127.0.0.1", port, plain)
end

-- Exchanges packets, twenty at a time.
local function exchange(conn)
  return function(times)
    for at = 1, times, 20 do
      for i = at, at + 19 do
        packet.id = i
        conn:write_json_packet(packet)
      end
      for i = at, at + 19 do
        local answer = conn:read_json_packet()
        if answer.id ~= i or answer.nome ~= packet.nome then error "another packet" end
      end
    end
  end
end

-- Every other connection is closed, the rest are left to the collector.
local function finish(conn, i)
  if #conn:read_json_packet() ~= 3 then error "another packet" end
  if i % 2 == 0 then conn:close() end
  if i % 100 == 0 then collectgarbage() end
end

local function connects(times)
  for i = 1, times do
    finish(connect(ports.greet, i % 10 == 0 and "localhost" or nil), i)
  end
end

local function tls_connects(times)
  local session
  for i = 1, times do
    local options = { timeout = 10, ca_file = root, session = i % 4 == 0 and session or nil }
    local conn = tcp.connect_tls("127.0.0.1", ports.greet_tls, options)
    if i % 4 == 3 then
      conn:read_json_packet()
      session = conn:session()
      conn:close()
    else
      finish(conn, i)
    end
  end
end

local function failures(times)
  local failing = support.failing
  for i = 1, times do
    local name, codes = unpack(failing[i % #failing + 1])
    local conn, message, code = safe.connect_tls("127.0.0.1", ports[name], trusting)
    if conn or not codes[code] then error(name .. ": " .. tostring(message)) end
  end
end

local function refusals(times)
  for _ = 1, times do
    local conn, message, code = safe.connect("127.0.0.1", ports.refusing, 10)
    if conn or code ~= "refused" then error(tostring(message)) end
  end
end

local function accepts(times)
  local listener = tcp.listen("127.0.0.1", 0)
  for i = 1, times do
    local client = connect(listener:port())
    local served = listener:accept(10)
    client:send "hello"
    client:close()
    if served:read_str() ~= "hello" then error "something else" end
    if i % 2 == 0 then served:close() end
    if i % 100 == 0 then collectgarbage() end
  end
  listener:close()
end

local function timeouts(times)
  local quiet = safe.connect("127.0.0.1", ports.echo, 10)
  quiet:set_timeout(0.00001)
  for _ = 1, times do
    local value, message, code = quiet:read(1)
    if value or code ~= "timeout" then error(tostring(message)) end
  end
  quiet:close()
end

local function json(times)
  local text = tcp.json.encode { packet, packet, { "é", 1.5, true, tcp.json.null } }
  for i = 1, times do
    -- The order of keys differs between Luas.
    if #tcp.json.encode(tcp.json.decode(text)) ~= #text then error "another text" end
    if i % 10 == 0 and safe.json.decode "[1, 2, {" then error "no failure" end
  end
end

-- The name server answers nothing. A thread's wait may be over at any moment.
local most_threads = 256

local function unanswered(times)
  for i = 1, times do
    local conn, message, code = safe.connect("host-" .. i .. ".test", 1, 0.002)
    if conn or code ~= "timeout" then error(tostring(message)) end
  end
end

-- A child uses its own connection, and must leave the parent's alone when it ends.
local function forks(conn)
  local exchange_here = exchange(conn)
  return function(times)
    for i = 1, times do
      if os.getenv "fault:fork" == "0" then
        local ok = pcall(function() finish(tcp.connect_tls("127.0.0.1", ports.greet_tls, trusting), i) end)
        os.exit(ok and 0 or 1, i % 2 == 0)
      end
      if os.getenv "fault:wait" ~= "0" then error "the child has failed" end
      exchange_here(20)
    end
  end
end

-- A TLS server that sends records without payload as fast as it can.
local function floods(port)
  return function(times)
    for _ = 1, times do
      local conn = safe.connect_tls("127.0.0.1", port, trusting)
      conn:set_timeout(0.02)
      conn:read_line()
      local value, message, code = conn:read_line()
      if value or code ~= "timeout" then error(tostring(message)) end
      conn:close()
    end
  end
end

local function soak(name, times, act)
  local tenth = math.ceil(times / parts / 10 / 20) * 20
  support.soak(name, function()
    act(tenth)
    return tenth
  end)
end

local over_tcp = connect(ports.echo)
soak("packets over TCP, there and back", 1000000, exchange(over_tcp))
over_tcp:close()
local over_tls = tcp.connect_tls("127.0.0.1", ports.echo_tls, trusting)
soak("packets over TLS, there and back", 1000000, exchange(over_tls))
over_tls:close()
soak("connects", 100000, connects)
soak("TLS connects, a quarter with a session", 10000, tls_connects)
soak("failed TLS handshakes, six kinds", 10000, failures)
soak("refused connects", 20000, refusals)
soak("accepted connections", 20000, accepts)
soak("reads that time out", 100000, timeouts)
soak("JSON texts, one in ten of them bad", 1000000, json)
if os.getenv "fault:fds" then
  over_tls = tcp.connect_tls("127.0.0.1", ports.echo_tls, trusting)
  soak("forks, and a TLS connection that goes on", 2000, forks(over_tls))
  over_tls:close()
end
if os.getenv "TCP_SOAK_FLOOD" then
  local server = assert(io.popen("exec " .. os.getenv "TCP_SOAK_FLOOD"))
  soak("TLS servers that flood", 500, floods(tonumber(server:read "*l":match "%d+")))
end
if os.getenv "NAME_SERVER" then
  -- Begins once all resolver threads wait. They end at unknown times, so no other line may follow.
  unanswered(5 * most_threads)
  support.soak("names that nobody answers for", function()
    unanswered(most_threads)
    return most_threads
  end, 2 * most_threads)
end
support.finish()
