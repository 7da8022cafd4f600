-- Fails each allocation of reads, writes and a connect in turn. Bytes that were not read must still
-- be there, and those that were not written must not be sent. See sweep.lua; run by tests/oom/run.

local tcp = require "tcp"
local safe = require "tcp.safe"

local listener = tcp.listen("127.0.0.1", 0)
local conn = tcp.connect("127.0.0.1", listener:port(), 5)
local peer = listener:accept(5)

-- The text is built from pieces: Lua interns strings, and reading one that exists allocates
-- nothing.
local head, tail = ("text of some length "):rep(10), ("and some more of it "):rep(10)
local size = #head + #tail
local json_head, json_tail = '{"list":[1,2.5,[],"' .. head, tail .. '"],"name":"\\u00e9"}'
local value = { list = { 1, 2.5, {}, head }, name = tail }

local function sent(...)
  local parts = { ... }
  return function()
    for _, part in ipairs(parts) do peer:send(part) end
  end
end

local function packet(first, second)
  local length = #first + #second
  return sent(string.char(0, 0, math.floor(length / 256), length % 256), first, second)
end

local function members(result)
  return result.name .. result.list[4] .. #result.list
end

-- Returns all bytes that the other end has received.
local function came()
  conn:send "|"
  return peer:read_until "|"
end

local function connect()
  tcp.connect("127.0.0.1", listener:port(), 5):close()
  return "connected"
end

-- Accepts the connections of a connect, whether it succeeded or not.
local function accept_all(from)
  local ok, accepted
  from = from or listener
  repeat
    ok, accepted = pcall(from.accept, from, 0)
    if ok then accepted:close() end
  until not ok
end

-- Connections of their own for packets that are cut in other ways, and for copies.
local function pair()
  local one = tcp.connect("127.0.0.1", listener:port(), 5)
  return one, listener:accept(5)
end

local framed, framed_peer = pair()
local sink, sink_peer = pair()
-- What comes here is never consumed.
local rejected, rejecting = pair()
rejecting:send(head)
rejected:peek(#head)

local function framed_came()
  framed:send "|"
  return framed_peer:read_until "|"
end

local function sink_came()
  sink:send "|"
  return sink_peer:read_until "|"
end

-- Each framing, and what stands in front of a body and behind it. A header is the packet's second
-- part.
local framings = {
  { "varint", "varint", function(n) return string.char(n % 128 + 128, math.floor(n / 128)) end, "" },
  { "netstring", "netstring", function(n) return n .. ":" end, "," },
  { "a delimiter", { delimiter = "\0\1" }, function() return "" end, "\0\1" },
  { "a header", { length_size = 2, length_offset = 3, prefix = "AB" },
    function(n) return "ABx" .. string.char(math.floor(n / 256), n % 256) end, "", "x" },
}

local clients = {}
local client_header = { version = 1, source = { "192.0.2.7", 56324 }, destination = { "198.51.100.1", 443 } }
local headed = tcp.listen("127.0.0.1", 0, { timeout = 5, proxy_protocol = true })

-- Two clients whose headers have come, and a line behind them.
local function connect_clients()
  for i = #clients, 1, -1 do table.remove(clients, i):close() end
  accept_all(headed)
  for i = 1, 2 do
    client_header.version = i
    clients[i] = tcp.connect("127.0.0.1", headed:port(), { timeout = 5, proxy_protocol = client_header })
    clients[i]:send "behind the header\n"
  end
end

local function accept_with_header()
  local served = headed:accept(5)
  local line = served:read_line()
  local ip = served:info().peer.ip
  served:close()
  return line .. ip
end

local path = ".build/oom.sock"
local unix = tcp.listen_unix(path, { unlink = true })

local function listen_unix()
  tcp.listen_unix(path .. "2", { mode = "0600", unlink = true }):close()
  return "closed"
end

-- Iterators continue after a failure.
local lines, packets = conn:lines(), conn:json_packets()

-- Tasks that wait and end, and one that fails.
local function run_tasks()
  return tcp.run(function()
    tcp.spawn(tcp.sleep, 0)
    local results, errors = tcp.map({ 1, 2 }, function(item)
      tcp.sleep(0)
      if item == 2 then return nil, "no " .. item end
      return item
    end)
    -- An item that had no memory says so.
    return (results[1] or errors[1]) .. errors[2]
  end)
end

local function fail_a_task()
  local _, failure = pcall(tcp.run, function()
    tcp.spawn(function() conn:read(1) end)
    tcp.sleep(0)
    error("the first", 0)
  end)
  -- Without memory it may be Lua's own error that was the first.
  if failure ~= "the first" then error(failure, 0) end
end

-- Tasks that could not even be ended hold what they wait for until they are collected.
local function collect()
  collectgarbage()
  collectgarbage()
end

local cases = {
  { "read_match", function() return conn:read_match "^(%l[^|]*)|()([^\r]*)\r\n" end, nil,
    sent(head, "|", tail, "\r\n") },
  { "read_match that rejects", function()
    return select(2, pcall(rejected.read_match, rejected, "^x", { reject = "text" }))
  end },
  { "peek", function()
    local seen = conn:peek(size)
    return conn:read(size) == seen
  end, nil, sent(head, tail) },
  { "skip", function() conn:skip(size) return "skipped" end, nil, sent(head, tail) },
  { "read_json_packet by pointer", function() return conn:read_json_packet "/name" end, nil,
    packet(json_head, json_tail) },
  { "copy_to", function() conn:copy_to(sink, size) end, sink_came, sent(head, tail) },
  { "connect with a PROXY header", function()
    tcp.connect("127.0.0.1", listener:port(), { timeout = 5, proxy_protocol = client_header }):close()
    return "connected"
  end, nil, accept_all },
  { "accept with a PROXY header", accept_with_header, nil, connect_clients },
  { "connect_unix and close", function()
    tcp.connect_unix(path, 5):close()
    return "connected"
  end, nil, function() accept_all(unix) end },
  { "connect_unix to nobody", function() return select(3, safe.connect_unix(path .. "3", 5)) end },
  { "listen_unix and close", listen_unix, nil, nil, mend = collect },
  { "read", function() return conn:read(size) end, nil, sent(head, tail) },
  { "read_line", function() return conn:read_line() end, nil, sent(head, tail, "\r\n") },
  { "lines", function() return lines() end, nil, sent(head, tail, "\r\n") },
  { "recv", function() return conn:recv() end, nil, sent(head, tail) },
  { "read_packet", function() return conn:read_packet() end, nil, packet(head, tail) },
  { "read_json_packet", function() return conn:read_json_packet() end, members, packet(json_head, json_tail) },
  { "json_packets", function() return packets() end, members, packet(json_head, json_tail) },
  { "read_json", function() return conn:read_json() end, members, sent(json_head, json_tail) },
  { "read_until", function() return conn:read_until "--" end, nil, sent(head, tail, "--") },
  { "send", function() conn:send(head, 12, tail) end, came },
  { "write_packet", function() conn:write_packet(head) end, came },
  { "write_json_packet", function() conn:write_json_packet(value) end, came },
  { "write_json", function() conn:write_json(value) end, came },
  { "connect and close", connect, nil, accept_all },
  { "connect to nobody", function() return select(3, safe.connect("127.0.0.1", 1, 5)) end },
}
for _, framing in ipairs(framings) do
  local name, option, before, behind, header = framing[1], { framing = framing[2] }, framing[3], framing[4], framing[5]
  local function set() framed:set_options(option) end
  local function arriving(first, second)
    return function()
      set()
      for _, part in ipairs { before(#first + #second), first, second, behind } do framed_peer:send(part) end
    end
  end
  local more = {
    { "read_packet, ", function() return framed:read_packet() end, nil, arriving(head, tail) },
    { "skip_packet, ", function() return framed:skip_packet() end, nil, arriving(head, tail) },
    { "read_json_packet, ", function() return framed:read_json_packet() end, members, arriving(json_head, json_tail) },
    { "write_packet, ", function() framed:write_packet(head, header) end, framed_came, set },
    { "write_json_packet, ", function() framed:write_json_packet(value, header) end, framed_came, set },
  }
  for _, case in ipairs(more) do
    case[1] = case[1] .. name
    cases[#cases + 1] = case
  end
end
-- LuaJIT loses upvalues if there is no memory for their closure, and tasks are closures.
if type(jit) ~= "table" then
  cases[#cases + 1] = { "run and map", run_tasks }
  cases[#cases + 1] = { "run, a task that fails", fail_a_task, came, mend = collect }
end
-- The iterator is a C function here. LuaJIT loses upvalues if there is no memory for their closure.
if _VERSION ~= "Lua 5.1" then
  cases[#cases + 1] = { "lines, an iterator", function() return type(conn:lines()) end }
end

require "sweep"(cases)
