-- client.lua PEER PORT CONNECTIONS ROUNDS: opens so many connections at once and, when all are
-- open, exchanges ROUNDS packets of 300 bytes on each, every connection at its own pace. Prints the
-- wall and the CPU seconds of the exchange, and the bytes of memory of each connection when all are
-- open.

local peer, port, count, rounds = arg[1], tonumber(arg[2]), tonumber(arg[3]), tonumber(arg[4])
local body = ("x"):rep(300)

-- The clock for all: that of cqueues.
local now = require("cqueues").monotime

local function resident()
  collectgarbage()
  collectgarbage()
  local file = assert(io.open "/proc/self/status")
  local size = file:read("*a"):match "VmRSS:%s*(%d+) kB"
  file:close()
  return size * 1024
end

local opened, ended, kept = 0, 0, {}
local base, began, cpu, memory

-- Whether this connection is the last to open: then all begin.
local function all_open()
  opened = opened + 1
  if opened < count then return false end
  memory = (resident() - base) / count
  began, cpu = now(), os.clock()
  return true
end

local function over()
  ended = ended + 1
  if ended == count then
    print(("%.6f %.6f %.0f"):format(now() - began, os.clock() - cpu, memory))
  end
end

-- What a connection of the module does, in either loop. `pause` and `start` are the loop's own.
local function exchange(tcp, pause, start)
  local connection = tcp.connect("127.0.0.1", port, { timeout = 60 })
  if all_open() then start() else pause() end
  for _ = 1, rounds do
    connection:write_packet(body)
    assert(connection:read_packet() == body)
  end
  connection:close()
  over()
end

local peers = {}

peers["tcp+cqueues"] = function()
  local cqueues, condition = require "cqueues", require "cqueues.condition"
  local tcp = require "tcp"
  tcp.use "cqueues"
  base = resident()
  local loop, all = cqueues.new(), condition.new()
  for _ = 1, count do
    loop:wrap(exchange, tcp, function() all:wait() end, function() all:signal() end)
  end
  assert(loop:loop())
end

peers.cqueues = function()
  local cqueues, condition = require "cqueues", require "cqueues.condition"
  local socket = require "cqueues.socket"
  base = resident()
  local loop, all = cqueues.new(), condition.new()
  local header = string.char(0, 0, #body / 256 - #body / 256 % 1, #body % 256)
  local packet = header .. body
  for _ = 1, count do
    loop:wrap(function()
      local connection = socket.connect { host = "127.0.0.1", port = port, nodelay = true }
      connection:setmode("bn", "bn")
      assert(connection:connect(60))
      if all_open() then all:signal() else all:wait() end
      for _ = 1, rounds do
        assert(connection:xwrite(packet, "bn", 60))
        local a, b, c, d = connection:xread(4, "b", 60):byte(1, 4)
        assert(connection:xread(((a * 256 + b) * 256 + c) * 256 + d, "b", 60) == body)
      end
      connection:close()
      over()
    end)
  end
  assert(loop:loop())
end

-- For coroutines that luv resumes: one that waits until all connections are open, and what lets
-- them go on.
local function gate()
  local waiting = {}
  local function pause()
    waiting[#waiting + 1] = coroutine.running()
    coroutine.yield()
  end
  local function start()
    for _, each in ipairs(waiting) do
      assert(coroutine.resume(each))
    end
  end
  return pause, start
end

peers["tcp+luv"] = function()
  local uv = require "luv"
  local tcp = require "tcp"
  tcp.use "luv"
  base = resident()
  local pause, start = gate()
  for _ = 1, count do
    coroutine.wrap(exchange)(tcp, pause, start)
  end
  uv.run()
end

peers.luv = function()
  local uv = require "luv"
  base = resident()
  local packet = string.char(0, 0, #body / 256 - #body / 256 % 1, #body % 256) .. body
  local starts = {}
  for _ = 1, count do
    local connection, timer = uv.new_tcp(), nil
    connection:nodelay(true)
    connection:connect("127.0.0.1", port, function(failure)
      assert(not failure, failure)
      local done, buffer = 0, ""
      local function send()
        connection:write(packet)
      end
      connection:read_start(function(broken, chunk)
        assert(not broken and chunk, broken)
        buffer = buffer == "" and chunk or buffer .. chunk
        while #buffer >= 4 do
          local a, b, c, d = buffer:byte(1, 4)
          local length = ((a * 256 + b) * 256 + c) * 256 + d
          if #buffer < 4 + length then return end
          assert(buffer:sub(5, 4 + length) == body)
          buffer = buffer:sub(5 + length)
          done = done + 1
          if done == rounds then
            timer:close()
            connection:close()
            return over()
          end
          -- As long as any of the others would wait.
          timer:again()
          send()
        end
      end)
      timer = uv.new_timer()
      timer:start(60000, 60000, function() error "timeout" end)
      starts[#starts + 1] = send
      if all_open() then
        for _, start in ipairs(starts) do start() end
      end
    end)
  end
  uv.run()
end

-- The least for a coroutine in each loop: send, wait for the descriptor, receive a string, by the C
-- functions of bench/native/least.c. Without timeouts, buffers and checks, but for the size.
-- `watch(fd)` gives the loop's way to wait for a descriptor, and to forget it.
local function least_exchange(pause, start, watch)
  local least = require "least"
  local packet = string.char(0, 0, #body / 256 - #body / 256 % 1, #body % 256) .. body
  local fd = least.dial(port)
  if all_open() then start() else pause() end
  local wait, forget = watch(fd)
  for _ = 1, rounds do
    least.put(fd, packet)
    local reply
    repeat
      wait()
      reply = least.take(fd, #packet)
    until reply
  end
  forget()
  least.hang_up(fd)
  over()
end

peers["floor+cqueues"] = function()
  local cqueues, condition = require "cqueues", require "cqueues.condition"
  base = resident()
  local loop, all = cqueues.new(), condition.new()
  local function watch(fd)
    local readable = { pollfd = fd, events = "r" }
    return function() cqueues.poll(readable) end, function() cqueues.cancel(fd) end
  end
  for _ = 1, count do
    loop:wrap(least_exchange, function() all:wait() end, function() all:signal() end, watch)
  end
  assert(loop:loop())
end

peers["floor+luv"] = function()
  local uv = require "luv"
  base = resident()
  local pause, start = gate()
  local function watch(fd)
    local this, poll = coroutine.running(), uv.new_poll(fd)
    poll:start("r", function() assert(coroutine.resume(this)) end)
    return coroutine.yield, function() poll:close() end
  end
  for _ = 1, count do
    coroutine.wrap(least_exchange)(pause, start, watch)
  end
  uv.run()
end

-- Connections alone, opened one by one without a loop, each after one packet: what an idle one
-- costs.
peers["tcp idle"] = function()
  local tcp = require "tcp"
  base = resident()
  for i = 1, count do
    local connection = tcp.connect("127.0.0.1", port)
    connection:write_packet(body)
    assert(connection:read_packet() == body)
    kept[i] = connection
  end
  print(("0 0 %.0f"):format((resident() - base) / #kept))
end

peers[peer]()
