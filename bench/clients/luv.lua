-- The scenarios with luv and lua-cjson, in callbacks. It has no TLS.

package.path = "bench/support/?.lua;" .. package.path

local uv = require "luv"
local cjson = require "cjson"
local common = require "common"
local data = require "data"

local HOST = "127.0.0.1"
-- Bytes that wait to be sent before a writer waits, too.
local HIGH_WATER = 65536

local encode, decode = cjson.encode, cjson.decode
local packet, length_at, two_at = common.packet, common.length_at, common.two_at
local byte, sub, find = string.byte, string.sub, string.find

-- Calls `ready` with a connection.
local function connect(port, ready)
  local conn = uv.new_tcp()
  conn:nodelay(true)
  assert(conn:connect(HOST, port, function(failure)
    assert(not failure, failure)
    ready(conn)
  end))
end

-- Calls `take` with each chunk that comes, and with nil at the end.
local function read(conn, take)
  assert(conn:read_start(function(failure, chunk)
    assert(not failure, failure)
    take(chunk)
  end))
end

-- The length that stands in a chunk, and where the body begins; none if more must come first.
local function head_of_four(chunk, from, size)
  if size - from >= 3 then return length_at(chunk, from), from + 4 end
end

local function head_of_two(chunk, from, size)
  if size - from >= 1 then return two_at(chunk, from), from + 2 end
end

local function head_of_varint(chunk, from, size)
  local length, scale = 0, 1
  for at = from, size do
    local bits = byte(chunk, at)
    length = length + bits % 128 * scale
    if bits < 128 then return length, at + 1 end
    scale = scale * 128
  end
end

-- What cuts the chunks that it is called with into packets, and calls `take` with each body.
local function splitter(take, head)
  local rest = ""
  head = head or head_of_four
  return function(chunk)
    if rest ~= "" then chunk = rest .. chunk end
    local from, size = 1, #chunk
    while true do
      local length, body = head(chunk, from, size)
      local last = length and body + length - 1
      if not last or last > size then break end
      take(sub(chunk, body, last))
      from = last + 1
    end
    rest = from > 1 and sub(chunk, from) or chunk
  end
end

local scenarios = {}

function scenarios.round_trips(port, count)
  local value, done = data.large, 0
  connect(port, function(conn)
    local function ask()
      value.id = 100000 + done
      conn:write(packet(encode(value)))
    end
    read(conn, splitter(function(body)
      local reply = decode(body)
      assert(reply.id == value.id and #reply.items == 5)
      done = done + 1
      if done == count then conn:close() else ask() end
    end))
    ask()
  end)
  uv.run()
  assert(done == count)
end

function scenarios.read_packets(port, count)
  local sum = 0
  connect(port, function(conn)
    local split = splitter(function(body)
      sum = sum + decode(body).id
    end)
    read(conn, function(chunk)
      if chunk then split(chunk) else conn:close() end
    end)
  end)
  uv.run()
  assert(sum == common.sum_of_ids(count))
end

local function read_framed(head)
  return function(port, count, size)
    local bytes = 0
    connect(port, function(conn)
      local split = splitter(function(body)
        bytes = bytes + #body
      end, head)
      read(conn, function(chunk)
        if chunk then split(chunk) else conn:close() end
      end)
    end)
    uv.run()
    assert(bytes == count * size)
  end
end

scenarios.read_two, scenarios.read_varint = read_framed(head_of_two), read_framed(head_of_varint)

-- Writes what `make` gives for each number from 0 on, and waits for the answer.
local function write_all(port, count, make)
  local sent, answer = 0, ""
  connect(port, function(conn)
    read(conn, function(chunk)
      if chunk then answer = answer .. chunk else conn:close() end
    end)
    local function more()
      while sent < count do
        local bytes = make(sent)
        sent = sent + 1
        if conn:get_write_queue_size() > HIGH_WATER then
          conn:write(bytes, more)
          return
        end
        conn:write(bytes)
      end
    end
    more()
  end)
  uv.run()
  assert(answer == "taken\n")
end

function scenarios.write_packets(port, count)
  local value = data.small
  write_all(port, count, function(number)
    value.id = 100000 + number
    return packet(encode(value))
  end)
end

local function write_framed(make)
  return function(port, count)
    local body = common.body()
    write_all(port, count, function() return make(body) end)
  end
end

scenarios.write_two, scenarios.write_varint = write_framed(common.two), write_framed(common.varint)

-- What cuts chunks into lines, and calls `take` with each.
local function line_splitter(take)
  local rest = ""
  return function(chunk)
    local from, newline = 1, find(chunk, "\n", 1, true)
    while newline do
      local line = sub(chunk, from, newline - 1)
      if rest ~= "" then
        line, rest = rest .. line, ""
      end
      take(line)
      from = newline + 1
      newline = find(chunk, "\n", from, true)
    end
    rest = rest .. sub(chunk, from)
  end
end

function scenarios.lines(port, count, size)
  local lines, bytes = 0, 0
  connect(port, function(conn)
    local split = line_splitter(function(line)
      lines = lines + 1
      bytes = bytes + #line
    end)
    read(conn, function(chunk)
      if chunk then split(chunk) else conn:close() end
    end)
  end)
  uv.run()
  assert(lines == count and bytes == count * size)
end

scenarios.read_lines = scenarios.lines

function scenarios.match_lines(port, count, size)
  local lines, bytes = 0, 0
  connect(port, function(conn)
    local split = line_splitter(function(line)
      local code, mark, text = line:match "^(%d%d%d)([ -])(.*)$"
      assert(code == "250" and mark == "-")
      lines = lines + 1
      bytes = bytes + #text + 4
    end)
    read(conn, function(chunk)
      if chunk then split(chunk) else conn:close() end
    end)
  end)
  uv.run()
  assert(lines == count and bytes == count * size)
end

function scenarios.unix_lines(path, count, size)
  local line, done = common.line(size), 0
  local conn = uv.new_pipe(false)
  assert(conn:connect(path, function(failure)
    assert(not failure, failure)
    local function ask()
      conn:write(line .. "\n")
    end
    local split = line_splitter(function(reply)
      assert(reply == line)
      done = done + 1
      if done == count then conn:close() else ask() end
    end)
    read(conn, function(chunk)
      if chunk then split(chunk) end
    end)
    ask()
  end))
  uv.run()
  assert(done == count)
end

function scenarios.copy(port, _, size)
  local bytes = 0
  connect(port, function(from)
    connect(port, function(into)
      local take
      local function go_on()
        read(from, take)
      end
      function take(chunk)
        if not chunk then
          from:close()
          into:shutdown(function() into:close() end)
          return
        end
        bytes = bytes + #chunk
        if into:get_write_queue_size() > HIGH_WATER then
          from:read_stop()
          into:write(chunk, go_on)
        else
          into:write(chunk)
        end
      end
      go_on()
    end)
  end)
  uv.run()
  assert(bytes == size)
end

function scenarios.read_often(port, count, size)
  local done = 0
  local function next_one()
    connect(port, function(conn)
      local chunks = {}
      read(conn, function(chunk)
        if chunk then
          chunks[#chunks + 1] = chunk
          return
        end
        local all = table.concat(chunks)
        assert(#all == size)
        done = done + 1
        conn:close(done < count and next_one or nil)
      end)
    end)
  end
  next_one()
  uv.run()
  assert(done == count)
end

scenarios.read_once = scenarios.read_often

function scenarios.connects(port, count)
  local done = 0
  local function next_one()
    connect(port, function(conn)
      done = done + 1
      conn:close(done < count and next_one or nil)
    end)
  end
  next_one()
  uv.run()
  assert(done == count)
end

common.run(scenarios)
