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
local packet, length_at = common.packet, common.length_at
local sub, find = string.sub, string.find

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

-- What cuts the chunks that it is called with into packets, and calls `take` with each body.
local function splitter(take)
  local rest = ""
  return function(chunk)
    if rest ~= "" then chunk = rest .. chunk end
    local from, size = 1, #chunk
    while size - from >= 3 do
      local last = from + 3 + length_at(chunk, from)
      if last > size then break end
      take(sub(chunk, from + 4, last))
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

function scenarios.write_packets(port, count)
  local value, sent, answer = data.small, 0, ""
  connect(port, function(conn)
    read(conn, function(chunk)
      if chunk then answer = answer .. chunk else conn:close() end
    end)
    local function more()
      while sent < count do
        value.id = 100000 + sent
        sent = sent + 1
        local bytes = packet(encode(value))
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

function scenarios.lines(port, count, size)
  local lines, bytes, rest = 0, 0, ""
  local function take(line)
    lines = lines + 1
    bytes = bytes + #line
  end
  connect(port, function(conn)
    read(conn, function(chunk)
      if not chunk then return conn:close() end
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
    end)
  end)
  uv.run()
  assert(lines == count and bytes == count * size)
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
