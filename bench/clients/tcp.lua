-- The scenarios with this module. The last argument says in which of four ways scripts write them:
--   plain     as the README has it: a timeout for the connection, calls without arguments
--   options   a table of options for each connection, and a limit for each read that takes one
--   safe      tcp.safe, with a look at each answer
--   run       in a task of tcp.run
-- The code of a scenario is the same in all of them. `why` is what tcp.safe returns in the second
-- place of a failure; `tcp` raises it, and `why` stays nil.

package.path = "bench/support/?.lua;" .. package.path

local common = require "common"
local data = require "data"

local way = arg[6] or "plain"
local tcp = require(way == "safe" and "tcp.safe" or "tcp")

local HOST, TIMEOUT = "127.0.0.1", 60
local TLS = { timeout = TIMEOUT, server_name = "localhost", ca_file = common.ca_file }
-- The most bytes of a line.
local MOST = way == "options" and 8192 or nil

-- `framing` and `max_buffer` where a scenario needs these options.
local function connect(port, framing, max_buffer)
  local options = TIMEOUT
  if way == "options" then
    options = {
      timeout = TIMEOUT, connect_timeout = 10, max_packet = 65536, framing = framing, max_buffer = max_buffer,
    }
  elseif framing or max_buffer then
    options = { timeout = TIMEOUT, framing = framing, max_buffer = max_buffer }
  end
  local conn, why = tcp.connect(HOST, port, options)
  if why then error(why, 0) end
  return conn
end

local function connect_tls(port)
  local options = TLS
  if way == "options" then
    options = {
      timeout = TIMEOUT, connect_timeout = 10, max_packet = 65536, server_name = "localhost", ca_file = common.ca_file,
      min_version = "1.2",
    }
  end
  local conn, why = tcp.connect_tls(HOST, port, options)
  if why then error(why, 0) end
  return conn
end

local function round_trips(conn, count)
  local value = data.large
  for i = 0, count - 1 do
    value.id = 100000 + i
    local _, why = conn:write_json_packet(value)
    if why then error(why, 0) end
    local reply
    reply, why = conn:read_json_packet()
    if why then error(why, 0) end
    assert(reply.id == value.id and #reply.items == 5)
  end
  conn:close()
end

local scenarios = {}

function scenarios.round_trips(port, count)
  round_trips(connect(port), count)
end

function scenarios.round_trips_tls(port, count)
  round_trips(connect_tls(port), count)
end

function scenarios.read_packets(port, count)
  local conn = connect(port)
  local sum = 0
  for value in conn:json_packets() do
    sum = sum + value.id
  end
  assert(sum == common.sum_of_ids(count))
  conn:close()
end

function scenarios.write_packets(port, count)
  local conn = connect(port)
  local value = data.small
  for i = 0, count - 1 do
    value.id = 100000 + i
    local _, why = conn:write_json_packet(value)
    if why then error(why, 0) end
  end
  assert(conn:read_line() == "taken")
  conn:close()
end

function scenarios.lines(port, count, size)
  local conn = connect(port)
  local lines, bytes = 0, 0
  for line in conn:lines(MOST) do
    lines = lines + 1
    bytes = bytes + #line
  end
  assert(lines == count and bytes == count * size)
  conn:close()
end

function scenarios.read_lines(port, count, size)
  local conn = connect(port)
  local bytes = 0
  for _ = 1, count do
    local line, why = conn:read_line(MOST)
    if why then error(why, 0) end
    bytes = bytes + #line
  end
  assert(conn:recv() == "" and bytes == count * size)
  conn:close()
end

function scenarios.match_lines(port, count, size)
  local conn = connect(port)
  local options = MOST and { max = MOST }
  local bytes = 0
  for _ = 1, count do
    local code, mark, text = conn:read_match("^(%d%d%d)([ -])([^\r\n]*)\r?\n", options)
    assert(code == "250" and mark == "-", mark)
    bytes = bytes + #text + 4
  end
  assert(conn:recv() == "" and bytes == count * size)
  conn:close()
end

local function read_framed(framing)
  return function(port, count, size)
    local conn = connect(port, framing)
    local bytes = 0
    for body in conn:packets() do
      bytes = bytes + #body
    end
    assert(bytes == count * size)
    conn:close()
  end
end

local function write_framed(framing)
  return function(port, count)
    local conn = connect(port, framing)
    local body = common.body()
    for _ = 1, count do
      local _, why = conn:write_packet(body)
      if why then error(why, 0) end
    end
    assert(conn:read_line() == "taken")
    conn:close()
  end
end

scenarios.read_two, scenarios.write_two = read_framed(2), write_framed(2)
scenarios.read_varint, scenarios.write_varint = read_framed "varint", write_framed "varint"

function scenarios.unix_lines(path, count, size)
  local options = way == "options" and { timeout = TIMEOUT, connect_timeout = 10, max_packet = 65536 } or TIMEOUT
  local conn, why = tcp.connect_unix(path, options)
  if why then error(why, 0) end
  local line = common.line(size)
  for _ = 1, count do
    local _, failure = conn:send(line, "\n")
    if failure then error(failure, 0) end
    local reply
    reply, failure = conn:read_line(MOST)
    if failure then error(failure, 0) end
    assert(reply == line)
  end
  conn:close()
end

function scenarios.copy(port, _, size)
  local from, into = connect(port), connect(port)
  assert(from:copy_to(into) == size)
  into:close()
  from:close()
end

function scenarios.read_often(port, count, size)
  for _ = 1, count do
    local conn = connect(port, nil, 2 ^ 31)
    local all, why = conn:read_str()
    if why then error(why, 0) end
    assert(#all == size)
    conn:close()
  end
end

scenarios.read_once = scenarios.read_often

function scenarios.read_tls(port, _, size)
  local conn = connect_tls(port)
  local bytes = 0
  repeat
    local block, why = conn:recv(65536)
    if why then error(why, 0) end
    bytes = bytes + #block
  until block == ""
  assert(bytes == size)
  conn:close()
end

function scenarios.handshakes(port, count)
  for _ = 1, count do
    local conn = connect_tls(port)
    assert(conn:read(1) == "!")
    conn:close()
  end
end

function scenarios.resumed(port, count)
  local options = { timeout = TIMEOUT, server_name = "localhost", ca_file = common.ca_file }
  for _ = 1, count do
    local conn = tcp.connect_tls(HOST, port, options)
    assert(conn:read(1) == "!")
    options.session = conn:session()
    conn:close()
  end
end

function scenarios.connects(port, count)
  for _ = 1, count do
    connect(port):close()
  end
end

if way == "run" then
  for name, scenario in pairs(scenarios) do
    scenarios[name] = function(...)
      tcp.run(scenario, ...)
    end
  end
end

common.run(scenarios)
