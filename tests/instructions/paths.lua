-- paths.lua: things that scripts do often, each COUNT times between two calls of os.clock.
-- tests/instructions/run has callgrind count the instructions from one such call to the next. Both
-- ends of each connection are in this process: no time and no other process has a part in it.

local tcp = require "tcp"
local COUNT, WARM = 100, 20
local name = "@tcp-instructions"

-- Numbers that depend on nothing.
local words = {}
for i = 1, 200 do
  words[i] = ("word %d"):format(i * 7919 % 1000)
end
local document = { id = 17, name = "a name", tags = { "one", "two", "three" }, nested = { x = 1.5, y = -2, ok = true } }
local rows = {}
for i = 1, 20 do
  rows[i] = { id = i, word = words[i], value = i / 8 }
end
-- In an order that is not that of a table, which is another one in each process.
local text = tcp.json.encode({ rows = rows, document = document }, { sort_keys = true })

local listener = tcp.listen_unix(name)
local function new_pair(options)
  local one = tcp.connect_unix(name, 30)
  local other = listener:accept(30)
  if options then
    one:set_options(options)
    other:set_options(options)
  end
  return one, other
end

-- Measures `step`, before which `prepare` is called for so many steps.
local paths = {}
local function path(title, step, prepare)
  paths[#paths + 1] = title
  local function run(count)
    if prepare then prepare(count) end
    collectgarbage()
    collectgarbage()
    collectgarbage "stop"
    os.clock()
    for i = 1, count do step(i) end
    os.clock()
    collectgarbage "restart"
  end
  run(WARM)
  run(COUNT)
end

-- A path that reads what the peer has sent before.
local function reading(title, message, step, options)
  local conn, peer = new_pair(options)
  path(title, function() step(conn) end, function(count)
    for _ = 1, count do message(peer) end
  end)
  conn:close()
  peer:close()
end

-- A path that writes what the peer reads afterwards.
local function writing(title, step, options)
  local conn, peer = new_pair(options)
  path(title, function() step(conn) end)
  conn:close()
  peer:close()
end

local line, packet = ("x"):rep(60), ("y"):rep(200)
reading("read_line", function(peer) peer:send(line, "\n") end, function(conn) conn:read_line() end)
local next_line
reading("lines", function(peer) peer:send(line, "\n") end, function(conn)
  next_line = next_line or conn:lines()
  next_line()
end)
reading("read", function(peer) peer:send(line) end, function(conn) conn:read(60) end)
reading("read_until", function(peer) peer:send(line, ";;") end, function(conn) conn:read_until ";;" end)
reading("read_match", function(peer) peer:send "key=value\n" end, function(conn)
  conn:read_match "(%w+)=(%w+)\n"
end)
reading("peek", function(peer) peer:send "x" end, function(conn) conn:peek(1) end)
reading("read_packet", function(peer) peer:write_packet(packet) end, function(conn) conn:read_packet() end)
reading("read_json_packet", function(peer) peer:write_json_packet(document) end, function(conn)
  conn:read_json_packet()
end)
local varint = { framing = "varint" }
reading("read_packet, varint", function(peer) peer:write_packet(packet) end, function(conn)
  conn:read_packet()
end, varint)
writing("send", function(conn) conn:send(line) end)
writing("write_packet", function(conn) conn:write_packet(packet) end)
writing("write_json_packet", function(conn) conn:write_json_packet(document) end)
writing("write_packet, varint", function(conn) conn:write_packet(packet) end, varint)
path("json.decode", function() tcp.json.decode(text) end)
path("json.encode", function() tcp.json.encode(document) end)
path("json.get", function() tcp.json.get(text, "/rows/10/word") end)

do
  local conn, peer = new_pair()
  path("info", function() conn:info() end)
  path("pending", function() conn:pending() end)
  path("round trip", function()
    conn:send "ping\n"
    peer:read_line()
    peer:send "pong\n"
    conn:read_line()
  end)
  path("round trip in tasks", function()
    tcp.run(function()
      tcp.spawn(function()
        peer:read_line()
        peer:send "pong\n"
      end)
      conn:send "ping\n"
      conn:read_line()
    end)
  end)
  conn:close()
  peer:close()
end

do
  local conn, peer = new_pair()
  tcp.run(function()
    local pem = os.getenv "TCP_INSTRUCTIONS_PEM"
    tcp.spawn(function() peer = peer:start_tls { side = "server", cert_file = pem } end)
    conn = conn:start_tls { verify = false, server_name = "localhost" }
  end)
  path("TLS round trip", function()
    conn:send "ping\n"
    peer:read_line()
    peer:send "pong\n"
    conn:read_line()
  end)
  conn:close()
  peer:close()
end

path("connect_unix", function()
  tcp.connect_unix(name, 30):close()
  listener:accept(30):close()
end)

local inet = tcp.listen("127.0.0.1", 0)
path("connect", function()
  tcp.connect("127.0.0.1", inet:port(), 30):close()
  inet:accept(30):close()
end)

io.write(table.concat(paths, "\n"), "\n")
