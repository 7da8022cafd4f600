-- What one call costs: `LUA client.lua SETTING SERVER SINK DOOR SECONDS DOCUMENTS`, with the module on LUA_CPATH.
--
-- Prints a line for each case: its name, a tab, and the microseconds of CPU time of one call in the fastest batch. A
-- batch is many calls on what has come before it begins, so that no call in it waits; only a round trip does. CPU time
-- does not count who else has the processor meanwhile. SERVER, SINK and DOOR are ports of compare.py's: the first sends
-- what it is asked for, the second takes anything, the third closes each connection.

local setting, seconds = arg[1], tonumber(arg[5])
local server, sink, door = tonumber(arg[2]), tonumber(arg[3]), tonumber(arg[4])
package.path = arg[6] .. "/?.lua;" .. package.path
local documents = require "documents"

local HOST = "127.0.0.1"
-- Calls in a batch. Their input fits into the buffer of LuaSocket, which has 8 KB, but for lines of 60 bytes.
local CALLS = 1000
local LEAST_BATCHES = 5

local clock = os.clock

-- The microseconds of one call. `prepare` is not measured; `run(count)` makes so many calls.
local function report(name, count, run, prepare)
  local best, batches, stop = math.huge, 0, clock() + seconds
  collectgarbage()
  while batches < LEAST_BATCHES or clock() < stop do
    if prepare then
      prepare()
    end
    local start = clock()
    run(count)
    best = math.min(best, clock() - start)
    batches = batches + 1
  end
  print(("%s\t%.4f"):format(name, best / count * 1e6))
end

local function large_text()
  return "[" .. documents.api() .. ("," .. documents.api()):rep(20) .. "]"
end

-- `decode_bad` gives false or nil for a text that is no JSON: here one whose last byte is wrong.
local function codec_cases(encode, decode, decode_bad)
  local small = '{"id":17,"name":"alpha","ok":true}'
  for _, document in ipairs { { "small", small, CALLS }, { "22 KB", large_text(), 20 } } do
    local size, text, count = document[1], document[2], document[3]
    local value, bad = decode(text), text:sub(1, -2) .. "!"
    report("json.encode " .. size, count, function(n) for _ = 1, n do encode(value) end end)
    report("json.decode " .. size, count, function(n) for _ = 1, n do decode(text) end end)
    assert(not decode_bad(bad))
    report("json.decode " .. size .. ", bad", count, function(n) for _ = 1, n do decode_bad(bad) end end)
  end
end

local function tcp_cases(tcp, is_safe)
  local conn = tcp.connect(HOST, server)

  -- Asks for the items of a batch and one more, and reads that one: then the others have come, too.
  local function asking(kind, read)
    return function()
      conn:write_str(("%s%07d"):format(kind, CALLS + 1))
      read()
    end
  end

  local function on_lines(name, run, read)
    report(name, CALLS, run, asking("l", read or function() conn:read_line() end))
  end

  on_lines("read_line()", function(n) for _ = 1, n do conn:read_line() end end)
  on_lines("read_line(100)", function(n) for _ = 1, n do conn:read_line(100) end end)
  on_lines("read_until('\\n')", function(n) for _ = 1, n do conn:read_until "\n" end end)
  on_lines("read_until('\\n', 100)", function(n) for _ = 1, n do conn:read_until("\n", 100) end end)
  on_lines("read_until('f\\n')", function(n) for _ = 1, n do conn:read_until "f\n" end end)
  on_lines("read(7)", function(n) for _ = 1, n do conn:read(7) end end)
  on_lines("recv(7)", function(n) for _ = 1, n do conn:recv(7) end end)
  report("read_line(), 60 bytes", CALLS, function(n) for _ = 1, n do conn:read_line() end end,
    asking("L", function() conn:read_line() end))
  local next_line = conn:lines()
  on_lines("lines()", function(n) for _ = 1, n do next_line() end end)
  report("lines(), 60 bytes", CALLS, function(n) for _ = 1, n do next_line() end end,
    asking("L", function() conn:read_line() end))
  next_line = conn:lines(100)
  on_lines("lines(100)", function(n) for _ = 1, n do next_line() end end)

  local function on_values(name, run, read)
    report(name, CALLS, run, asking("j", read or function() conn:read_json() end))
  end

  on_values("read_json()", function(n) for _ = 1, n do conn:read_json() end end)
  local next_value = conn:json_values()
  on_values("json_values()", function(n) for _ = 1, n do next_value() end end)
  conn:write_str "l0000001"
  conn:read_until "f\n"

  local function on_packets(name, run)
    report(name, CALLS, run, asking("p", function() conn:read_packet() end))
  end

  on_packets("read_packet()", function(n) for _ = 1, n do conn:read_packet() end end)
  on_packets("skip_packet()", function(n) for _ = 1, n do conn:skip_packet() end end)
  on_packets("read_json_packet()", function(n) for _ = 1, n do conn:read_json_packet() end end)
  local next_packet, next_json_packet = conn:packets(), conn:json_packets()
  on_packets("packets()", function(n) for _ = 1, n do next_packet() end end)
  on_packets("json_packets()", function(n) for _ = 1, n do next_json_packet() end end)

  -- With input, which these leave.
  conn:write_str "l0000009"
  conn:read_line()
  report("pending()", CALLS, function(n) for _ = 1, n do conn:pending() end end)
  report("is_open()", CALLS, function(n) for _ = 1, n do conn:is_open() end end)
  report("dirty()", CALLS, function(n) for _ = 1, n do conn:dirty() end end)
  report("getfd()", CALLS, function(n) for _ = 1, n do conn:getfd() end end)
  report("set_timeout(9)", CALLS, function(n) for _ = 1, n do conn:set_timeout(9) end end)
  report("tostring(conn)", CALLS, function(n) for _ = 1, n do tostring(conn) end end)
  report("info()", CALLS, function(n) for _ = 1, n do conn:info() end end)
  report("flush()", CALLS, function(n) for _ = 1, n do conn:flush() end end)
  local list = { conn }
  report("tcp.poll({conn}, nil, 0)", CALLS, function(n) for _ = 1, n do tcp.poll(list, nil, 0) end end)
  for _ = 1, 8 do conn:read_line() end

  report("round trip of a line", 100, function(n)
    for _ = 1, n do
      conn:send "l0000001"
      conn:read_line()
    end
  end)
  conn:close()

  conn = tcp.connect(HOST, sink)
  local value = { id = 17 }
  report("send(7 bytes)", 200, function(n) for _ = 1, n do conn:send "abcdef\n" end end)
  report("send(6 bytes, '\\n')", 200, function(n) for _ = 1, n do conn:send("abcdef", "\n") end end)
  report("write_packet(9 bytes)", 200, function(n) for _ = 1, n do conn:write_packet '{"id":17}' end end)
  report("write_json({id = 17})", 200, function(n) for _ = 1, n do conn:write_json(value) end end)
  report("write_json_packet({id = 17})", 200, function(n) for _ = 1, n do conn:write_json_packet(value) end end)
  conn:close()

  local table_of_one = { timeout = 5 }
  local table_of_four = { timeout = 5, nodelay = true, max_packet = 4096, family = "inet" }
  local function connects(name, options)
    report(name, 50, function(n) for _ = 1, n do tcp.connect(HOST, door, options):close() end end)
  end
  connects("connect(host, port), close()")
  connects("connect(.., 5), close()", 5)
  connects("connect(.., {timeout = 5}), close()", table_of_one)
  connects("connect(.., {of four}), close()", table_of_four)

  local decode = tcp.json.decode
  local decode_bad = decode
  if not is_safe then
    function decode_bad(text) return (pcall(decode, text)) end
  end
  codec_cases(tcp.json.encode, decode, decode_bad)
end

-- The counterparts, under the names of ours.
local function luasocket_cases()
  local socket, cjson = require "socket", require "cjson"
  local conn = assert(socket.connect(HOST, server))
  conn:setoption("tcp-nodelay", true)
  conn:settimeout(5)

  local function on_lines(name, run)
    report(name, CALLS, run, function()
      conn:send(("l%07d"):format(CALLS + 1))
      conn:receive "*l"
    end)
  end

  on_lines("read_line()", function(n) for _ = 1, n do conn:receive "*l" end end)
  on_lines("read(7)", function(n) for _ = 1, n do conn:receive(7) end end)
  report("read_line(), 60 bytes", CALLS, function(n) for _ = 1, n do conn:receive "*l" end end, function()
    conn:send(("L%07d"):format(CALLS + 1))
    conn:receive "*l"
  end)
  report("dirty()", CALLS, function(n) for _ = 1, n do conn:dirty() end end)
  report("getfd()", CALLS, function(n) for _ = 1, n do conn:getfd() end end)
  report("set_timeout(9)", CALLS, function(n) for _ = 1, n do conn:settimeout(9) end end)
  local list = { conn }
  conn:send "l0000002"
  conn:receive "*l"
  report("tcp.poll({conn}, nil, 0)", CALLS, function(n) for _ = 1, n do socket.select(list, nil, 0) end end)
  conn:receive "*l"
  report("round trip of a line", 100, function(n)
    for _ = 1, n do
      conn:send "l0000001"
      conn:receive "*l"
    end
  end)
  conn:close()

  conn = assert(socket.connect(HOST, sink))
  conn:setoption("tcp-nodelay", true)
  conn:settimeout(5)
  report("send(7 bytes)", 200, function(n) for _ = 1, n do conn:send "abcdef\n" end end)
  conn:close()
  report("connect(host, port), close()", 50, function(n)
    for _ = 1, n do
      assert(socket.connect(HOST, door)):close()
    end
  end)
  report("connect(.., 5), close()", 50, function(n)
    for _ = 1, n do
      local one = assert(socket.tcp())
      one:settimeout(5)
      assert(one:connect(HOST, door))
      one:close()
    end
  end)

  codec_cases(cjson.encode, cjson.decode, function(text) return (pcall(cjson.decode, text)) end)
end

-- In which setting the cases run: how the module is called, or in whose coroutine.
local settings = {}

function settings.plain()
  local tcp = require "tcp"
  tcp_cases(tcp)
end

function settings.safe()
  local tcp = require "tcp.safe"
  tcp_cases(tcp, true)
end

-- Traced by a function. What does not reach the system writes no line.
function settings.traced()
  local tcp = require "tcp"
  tcp.debug(function() end)
  tcp_cases(tcp)
end

function settings.cqueues()
  local tcp, cqueues = require "tcp", require "cqueues"
  tcp.use "cqueues"
  local loop = cqueues.new()
  loop:wrap(tcp_cases, tcp)
  assert(loop:loop())
end

function settings.luv()
  local tcp, uv = require "tcp", require "luv"
  tcp.use "luv"
  local thread = coroutine.create(tcp_cases)
  assert(coroutine.resume(thread, tcp))
  uv.run()
end

-- The script's own, which waits as `poll` of the module does.
function settings.own()
  local tcp = require "tcp"
  tcp.use { wait = coroutine.yield }
  local thread = coroutine.create(tcp_cases)
  local ok, fd, mode, timeout = coroutine.resume(thread, tcp)
  while coroutine.status(thread) ~= "dead" do
    assert(ok, fd)
    local fds = { fd }
    tcp.poll(mode == "r" and fds or {}, mode == "w" and fds or {}, timeout)
    ok, fd, mode, timeout = coroutine.resume(thread, true)
  end
  assert(ok, fd)
end

settings.luasocket = luasocket_cases

settings[setting]()
print "end"
