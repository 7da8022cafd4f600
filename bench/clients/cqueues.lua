-- The scenarios with cqueues, its TLS by luaossl, and lua-cjson, in a coroutine of a controller.

package.path = "bench/support/?.lua;" .. package.path

local cqueues = require "cqueues"
local socket = require "cqueues.socket"
local cjson = require "cjson"
local common = require "common"
local data = require "data"

local HOST, TIMEOUT = "127.0.0.1", 60
local encode, decode = cjson.encode, cjson.decode
local packet, length = common.packet, common.length

local function connect(port)
  local conn = assert(socket.connect { host = HOST, port = port, nodelay = true })
  conn:settimeout(TIMEOUT)
  conn:setmode("bf", "bf")
  assert(conn:connect())
  return conn
end

local context, new_ssl

local function prepare_tls()
  local contexts = require "openssl.ssl.context"
  local store = require "openssl.x509.store".new()
  local param = require "openssl.x509.verify_param".new()
  new_ssl = require "openssl.ssl".new
  context = contexts.new("TLS", false)
  store:add(common.ca_file)
  param:setHost "localhost"
  context:setStore(store)
  context:setParam(param)
  context:setVerify(contexts.VERIFY_PEER)
end

local function connect_tls(port)
  if not context then prepare_tls() end
  local conn, ssl = connect(port), new_ssl(context)
  ssl:setHostName "localhost"
  assert(conn:starttls(ssl))
  return conn
end

local function read_packet(conn)
  local header = assert(conn:read(4))
  local body = assert(conn:read(length(header)))
  return decode(body)
end

local function round_trips(conn, count)
  local value = data.large
  for i = 0, count - 1 do
    value.id = 100000 + i
    assert(conn:write(packet(encode(value))))
    assert(conn:flush())
    local reply = read_packet(conn)
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
    sum = sum + read_packet(conn).id
  end
  assert(conn:read(1) == nil and sum == common.sum_of_ids(count))
  conn:close()
end

function scenarios.write_packets(port, count)
  local conn = connect(port)
  local value = data.small
  for i = 0, count - 1 do
    value.id = 100000 + i
    assert(conn:write(packet(encode(value))))
    assert(conn:flush())
  end
  assert(conn:read "*l" == "taken")
  conn:close()
end

function scenarios.lines(port, count, size)
  local conn = connect(port)
  local lines, bytes = 0, 0
  for line in conn:lines() do
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
    bytes = bytes + #assert(conn:read "*l")
  end
  assert(conn:read(1) == nil and bytes == count * size)
  conn:close()
end

function scenarios.match_lines(port, count, size)
  local conn = connect(port)
  local bytes = 0
  for _ = 1, count do
    local code, mark, text = assert(conn:read "*l"):match "^(%d%d%d)([ -])(.*)$"
    assert(code == "250" and mark == "-")
    bytes = bytes + #text + 4
  end
  assert(conn:read(1) == nil and bytes == count * size)
  conn:close()
end

-- Packets whose body is not decoded. `read_length` reads a length; `make` makes a packet.
local function read_framed(read_length)
  return function(port, count, size)
    local conn = connect(port)
    local bytes = 0
    for _ = 1, count do
      bytes = bytes + #assert(conn:read(read_length(conn)))
    end
    assert(conn:read(1) == nil and bytes == count * size)
    conn:close()
  end
end

local function write_framed(make)
  return function(port, count)
    local conn = connect(port)
    local body = common.body()
    for _ = 1, count do
      assert(conn:write(make(body)))
      assert(conn:flush())
    end
    assert(conn:read "*l" == "taken")
    conn:close()
  end
end

scenarios.read_two = read_framed(function(conn)
  return common.two_at(assert(conn:read(2)), 1)
end)
scenarios.read_varint = read_framed(function(conn)
  return common.read_varint(function() return assert(conn:read(1)):byte() end)
end)
scenarios.write_two, scenarios.write_varint = write_framed(common.two), write_framed(common.varint)

function scenarios.unix_lines(path, count, size)
  local conn = assert(socket.connect { path = path })
  conn:settimeout(TIMEOUT)
  conn:setmode("bf", "bf")
  local line = common.line(size)
  for _ = 1, count do
    assert(conn:write(line, "\n"))
    assert(conn:flush())
    assert(conn:read "*l" == line)
  end
  conn:close()
end

function scenarios.copy(port, _, size)
  local from, into = connect(port), connect(port)
  local bytes = 0
  while true do
    local block = from:read(-65536)
    if not block then break end
    assert(into:write(block))
    bytes = bytes + #block
  end
  assert(into:flush())
  assert(bytes == size)
  into:close()
  from:close()
end

function scenarios.read_often(port, count, size)
  for _ = 1, count do
    local conn = connect(port)
    assert(#assert(conn:read "*a") == size)
    conn:close()
  end
end

scenarios.read_once = scenarios.read_often

function scenarios.read_tls(port, _, size)
  local conn = connect_tls(port)
  local bytes = 0
  while true do
    local block = conn:read(-65536)
    if not block then break end
    bytes = bytes + #block
  end
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

function scenarios.connects(port, count)
  for _ = 1, count do
    connect(port):close()
  end
end

-- Each scenario in a coroutine.
for name, scenario in pairs(scenarios) do
  scenarios[name] = function(...)
    local arguments = { ... }
    local loop = cqueues.new()
    loop:wrap(function()
      scenario((table.unpack or unpack)(arguments))
    end)
    assert(loop:loop())
  end
end

common.run(scenarios)
