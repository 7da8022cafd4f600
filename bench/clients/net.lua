-- The scenarios with mah0x211's net (lua-net) and lua-cjson, as far as its sockets go: it receives
-- chunks, and what cuts them into packets and lines is by hand. Its TLS takes no file of trusted
-- certificates.

package.path = "bench/support/?.lua;" .. package.path

local inet = require "net.stream.inet"
local cjson = require "cjson"
local common = require "common"
local data = require "data"

local HOST, TIMEOUT, CHUNK = "127.0.0.1", 60, 65536
local encode, decode = cjson.encode, cjson.decode
local packet, length_at = common.packet, common.length_at
local find, sub = string.find, string.sub

local function ready(conn)
  conn:rcvtimeo(TIMEOUT)
  conn:sndtimeo(TIMEOUT)
  return conn
end

local function connect(port)
  local conn = ready(assert(inet.client.new(HOST, port, { deadline = TIMEOUT })))
  assert(conn:tcpnodelay(true) ~= nil)
  return conn
end

local function send(conn, bytes)
  local sent, why, is_late = conn:send(bytes)
  assert(sent == #bytes, why or is_late and "timeout")
end

-- The next chunk, nil at the end of the stream.
local function receive(conn)
  local chunk, why, is_late = conn:recv(CHUNK)
  assert(not why and not is_late, why or "timeout")
  return chunk
end

-- What gives the next packet's body each time, and nil at the end.
local function packets_of(conn)
  local chunk, from = "", 1
  return function()
    while true do
      local size = #chunk - from + 1
      if size >= 4 then
        local length = length_at(chunk, from)
        if size >= 4 + length then
          local body = sub(chunk, from + 4, from + 3 + length)
          from = from + 4 + length
          return body
        end
      end
      local more = receive(conn)
      if not more then return nil end
      chunk, from = sub(chunk, from) .. more, 1
    end
  end
end

-- The same for lines, without their ends.
local function lines_of(conn)
  local chunk, from = "", 1
  return function()
    while true do
      local newline = find(chunk, "\n", from, true)
      if newline then
        local line = sub(chunk, from, newline - 1)
        from = newline + 1
        return line
      end
      local more = receive(conn)
      if not more then return nil end
      chunk, from = sub(chunk, from) .. more, 1
    end
  end
end

local scenarios = {}

function scenarios.round_trips(port, count)
  local conn, value = connect(port), data.large
  local next_packet = packets_of(conn)
  for i = 0, count - 1 do
    value.id = 100000 + i
    send(conn, packet(encode(value)))
    local reply = decode(next_packet())
    assert(reply.id == value.id and #reply.items == 5)
  end
  conn:close()
end

function scenarios.read_packets(port, count)
  local conn, sum = connect(port), 0
  for body in packets_of(conn) do
    sum = sum + decode(body).id
  end
  assert(sum == common.sum_of_ids(count))
  conn:close()
end

function scenarios.write_packets(port, count)
  local conn, value = connect(port), data.small
  for i = 0, count - 1 do
    value.id = 100000 + i
    send(conn, packet(encode(value)))
  end
  assert(lines_of(conn)() == "taken")
  conn:close()
end

function scenarios.lines(port, count, size)
  local conn, lines, bytes = connect(port), 0, 0
  for line in lines_of(conn) do
    lines = lines + 1
    bytes = bytes + #line
  end
  assert(lines == count and bytes == count * size)
  conn:close()
end

scenarios.read_lines = scenarios.lines

function scenarios.read_often(port, count, size)
  for _ = 1, count do
    local conn, chunks = connect(port), {}
    for chunk in receive, conn do
      chunks[#chunks + 1] = chunk
    end
    assert(#table.concat(chunks) == size)
    conn:close()
  end
end

scenarios.read_once = scenarios.read_often

function scenarios.connects(port, count)
  for _ = 1, count do
    connect(port):close()
  end
end

function scenarios.unix_lines(path, count, size)
  local conn = ready(assert(require "net.stream.unix".client.new(path, { deadline = TIMEOUT })))
  local line, next_line = common.line(size), lines_of(conn)
  for _ = 1, count do
    send(conn, line .. "\n")
    assert(next_line() == line)
  end
  conn:close()
end

common.run(scenarios)
