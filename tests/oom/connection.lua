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
local function accept_all()
  local ok, accepted
  repeat
    ok, accepted = pcall(listener.accept, listener, 0)
    if ok then accepted:close() end
  until not ok
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
