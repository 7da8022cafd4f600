-- The scenarios with LuaSocket, LuaSec and lua-cjson. LuaSec's context is made once. It checks no
-- host names: that is done here, in the alternative names of the certificate.

package.path = "bench/support/?.lua;" .. package.path

local socket = require "socket"
local ssl = require "ssl"
local cjson = require "cjson"
local common = require "common"
local data = require "data"

local HOST, TIMEOUT = "127.0.0.1", 60
local encode, decode = cjson.encode, cjson.decode
local packet, length = common.packet, common.length

local function connect(port)
  local conn = assert(socket.tcp())
  conn:settimeout(TIMEOUT)
  assert(conn:connect(HOST, port))
  conn:setoption("tcp-nodelay", true)
  return conn
end

local function is_for(certificate, name)
  for _, extension in pairs(certificate:extensions()) do
    for _, each in ipairs(extension.dNSName or {}) do
      if each == name then return true end
    end
  end
  return false
end

local context

local function connect_tls(port)
  context = context or assert(ssl.newcontext {
    mode = "client", protocol = "any", options = { "all", "no_sslv2", "no_sslv3", "no_tlsv1", "no_tlsv1_1" },
    verify = "peer", cafile = common.ca_file,
  })
  local conn = assert(ssl.wrap(connect(port), context))
  conn:settimeout(TIMEOUT)
  conn:sni "localhost"
  assert(conn:dohandshake())
  assert(is_for(conn:getpeercertificate(), "localhost"))
  return conn
end

local function receive_packet(conn)
  local header = assert(conn:receive(4))
  local body = assert(conn:receive(length(header)))
  return decode(body)
end

local function round_trips(conn, count)
  local value = data.large
  for i = 0, count - 1 do
    value.id = 100000 + i
    assert(conn:send(packet(encode(value))))
    local reply = receive_packet(conn)
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
  for _ = 1, count do
    sum = sum + receive_packet(conn).id
  end
  local _, message = conn:receive(1)
  assert(message == "closed" and sum == common.sum_of_ids(count))
  conn:close()
end

function scenarios.write_packets(port, count)
  local conn = connect(port)
  local value = data.small
  for i = 0, count - 1 do
    value.id = 100000 + i
    assert(conn:send(packet(encode(value))))
  end
  assert(conn:receive "*l" == "taken")
  conn:close()
end

function scenarios.lines(port, count, size)
  local conn = connect(port)
  local lines, bytes = 0, 0
  while true do
    local line, message = conn:receive "*l"
    if not line then
      assert(message == "closed")
      break
    end
    lines = lines + 1
    bytes = bytes + #line
  end
  assert(lines == count and bytes == count * size)
  conn:close()
end

scenarios.read_lines = scenarios.lines

function scenarios.match_lines(port, count, size)
  local conn = connect(port)
  local bytes = 0
  for _ = 1, count do
    local code, mark, text = assert(conn:receive "*l"):match "^(%d%d%d)([ -])(.*)$"
    assert(code == "250" and mark == "-")
    bytes = bytes + #text + 4
  end
  local _, message = conn:receive(1)
  assert(message == "closed" and bytes == count * size)
  conn:close()
end

-- Packets whose body is not decoded. `read_length` reads a length; `make` makes a packet.
local function read_framed(read_length)
  return function(port, count, size)
    local conn = connect(port)
    local bytes = 0
    for _ = 1, count do
      bytes = bytes + #assert(conn:receive(read_length(conn)))
    end
    local _, message = conn:receive(1)
    assert(message == "closed" and bytes == count * size)
    conn:close()
  end
end

local function write_framed(make)
  return function(port, count)
    local conn = connect(port)
    local body = common.body()
    for _ = 1, count do
      assert(conn:send(make(body)))
    end
    assert(conn:receive "*l" == "taken")
    conn:close()
  end
end

scenarios.read_two = read_framed(function(conn)
  return common.two_at(assert(conn:receive(2)), 1)
end)
scenarios.read_varint = read_framed(function(conn)
  return common.read_varint(function() return assert(conn:receive(1)):byte() end)
end)
scenarios.write_two, scenarios.write_varint = write_framed(common.two), write_framed(common.varint)

function scenarios.unix_lines(path, count, size)
  local unix = require "socket.unix"
  local conn = assert((type(unix) == "table" and unix.stream or unix)())
  assert(conn:connect(path))
  conn:settimeout(TIMEOUT)
  local line = common.line(size)
  for _ = 1, count do
    assert(conn:send(line .. "\n"))
    assert(conn:receive "*l" == line)
  end
  conn:close()
end

function scenarios.copy(port, _, size)
  local from, into = connect(port), connect(port)
  local bytes = 0
  repeat
    local block, message, rest = from:receive(65536)
    assert(block or message == "closed", message)
    local got = block or rest
    if got ~= "" then assert(into:send(got)) end
    bytes = bytes + #got
  until not block
  assert(bytes == size)
  into:close()
  from:close()
end

function scenarios.read_often(port, count, size)
  for _ = 1, count do
    local conn = connect(port)
    assert(#assert(conn:receive "*a") == size)
    conn:close()
  end
end

scenarios.read_once = scenarios.read_often

function scenarios.read_tls(port, _, size)
  local conn = connect_tls(port)
  local bytes = 0
  repeat
    local block, message, rest = conn:receive(65536)
    assert(block or message == "closed")
    bytes = bytes + #(block or rest)
  until not block
  assert(bytes == size)
  conn:close()
end

function scenarios.handshakes(port, count)
  for _ = 1, count do
    local conn = connect_tls(port)
    assert(conn:receive(1) == "!")
    conn:close()
  end
end

function scenarios.connects(port, count)
  for _ = 1, count do
    connect(port):close()
  end
end

common.run(scenarios)
