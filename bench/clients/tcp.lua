-- The scenarios with this module, as the README has it.

package.path = "bench/support/?.lua;" .. package.path

local tcp = require "tcp"
local common = require "common"
local data = require "data"

local HOST, TIMEOUT = "127.0.0.1", 60
local TLS = { timeout = TIMEOUT, server_name = "localhost", ca_file = common.ca_file }

local function round_trips(conn, count)
  local value = data.large
  for i = 0, count - 1 do
    value.id = 100000 + i
    conn:write_json_packet(value)
    local reply = conn:read_json_packet()
    assert(reply.id == value.id and #reply.items == 5)
  end
  conn:close()
end

local scenarios = {}

function scenarios.round_trips(port, count)
  round_trips(tcp.connect(HOST, port, TIMEOUT), count)
end

function scenarios.round_trips_tls(port, count)
  round_trips(tcp.connect_tls(HOST, port, TLS), count)
end

function scenarios.read_packets(port, count)
  local conn = tcp.connect(HOST, port, TIMEOUT)
  local sum = 0
  for value in conn:json_packets() do
    sum = sum + value.id
  end
  assert(sum == common.sum_of_ids(count))
  conn:close()
end

function scenarios.write_packets(port, count)
  local conn = tcp.connect(HOST, port, TIMEOUT)
  local value = data.small
  for i = 0, count - 1 do
    value.id = 100000 + i
    conn:write_json_packet(value)
  end
  assert(conn:read_line() == "taken")
  conn:close()
end

function scenarios.lines(port, count, size)
  local conn = tcp.connect(HOST, port, TIMEOUT)
  local lines, bytes = 0, 0
  for line in conn:lines() do
    lines = lines + 1
    bytes = bytes + #line
  end
  assert(lines == count and bytes == count * size)
  conn:close()
end

function scenarios.match_lines(port, count, size)
  local conn = tcp.connect(HOST, port, TIMEOUT)
  local bytes = 0
  for _ = 1, count do
    local code, mark, text = conn:read_match "^(%d%d%d)([ -])([^\r\n]*)\r?\n"
    assert(code == "250" and mark == "-")
    bytes = bytes + #text + 4
  end
  assert(conn:recv() == "" and bytes == count * size)
  conn:close()
end

local function read_framed(framing)
  return function(port, count, size)
    local conn = tcp.connect(HOST, port, { timeout = TIMEOUT, framing = framing })
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
    local conn = tcp.connect(HOST, port, { timeout = TIMEOUT, framing = framing })
    local body = common.body()
    for _ = 1, count do
      conn:write_packet(body)
    end
    assert(conn:read_line() == "taken")
    conn:close()
  end
end

scenarios.read_two, scenarios.write_two = read_framed(2), write_framed(2)
scenarios.read_varint, scenarios.write_varint = read_framed "varint", write_framed "varint"

function scenarios.unix_lines(path, count, size)
  local conn = tcp.connect_unix(path, TIMEOUT)
  local line = common.line(size)
  for _ = 1, count do
    conn:send(line, "\n")
    assert(conn:read_line() == line)
  end
  conn:close()
end

function scenarios.copy(port, _, size)
  local from, into = tcp.connect(HOST, port, TIMEOUT), tcp.connect(HOST, port, TIMEOUT)
  assert(from:copy_to(into) == size)
  into:close()
  from:close()
end

function scenarios.read_often(port, count, size)
  for _ = 1, count do
    local conn = tcp.connect(HOST, port, { timeout = TIMEOUT, max_buffer = 2 ^ 31 })
    assert(#conn:read_str() == size)
    conn:close()
  end
end

scenarios.read_once = scenarios.read_often

function scenarios.read_tls(port, _, size)
  local conn = tcp.connect_tls(HOST, port, TLS)
  local bytes = 0
  repeat
    local block = conn:recv(65536)
    bytes = bytes + #block
  until block == ""
  assert(bytes == size)
  conn:close()
end

function scenarios.handshakes(port, count)
  for _ = 1, count do
    local conn = tcp.connect_tls(HOST, port, TLS)
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
    tcp.connect(HOST, port, TIMEOUT):close()
  end
end

common.run(scenarios)
