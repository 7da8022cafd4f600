-- The scenarios as far as no module for Lua can do without: see bench/native/least.c.

package.path = "bench/support/?.lua;" .. package.path

local least = require "least"
local common = require "common"
local data = require "data"

-- Connects, to exchange packets like `data[name]`, which it gives.
local function open(name, port, tls)
  least.connect(port, common.folder, tls)
  least.model(name, data[name])
  return data[name]
end

local function round_trips(port, count, tls)
  local value = open("large", port, tls)
  for i = 0, count - 1 do
    value.id = 100000 + i
    least.write(value)
    assert(#least.read().items == 5)
  end
  least.close()
end

local scenarios = {}

function scenarios.round_trips(port, count)
  round_trips(port, count, false)
end

function scenarios.round_trips_tls(port, count)
  round_trips(port, count, true)
end

function scenarios.read_packets(port, count)
  open("small", port, false)
  for _ = 1, count do
    assert(#least.read().samples == 4)
  end
  least.close()
end

function scenarios.write_packets(port, count)
  local value = open("small", port, false)
  for i = 0, count - 1 do
    value.id = 100000 + i
    least.write(value)
  end
  assert(least.answer() == "taken")
  least.close()
end

function scenarios.read_often(port, count, size)
  for _ = 1, count do
    assert(#least.read_all(port) == size)
  end
end

scenarios.read_once = scenarios.read_often

-- LuaJIT compiles a loop that cuts lines from blocks, and a C function for each line takes longer.
local function cut_lines(take)
  local rest = ""
  repeat
    local block = least.read_block()
    local from, newline = 1, block:find("\n", 1, true)
    while newline do
      take(rest == "" and block:sub(from, newline - 1) or rest .. block:sub(from, newline - 1))
      rest, from = "", newline + 1
      newline = block:find("\n", from, true)
    end
    rest = rest .. block:sub(from)
  until block == ""
end

function scenarios.lines(port, count, size)
  least.connect(port, common.folder, false)
  local lines, bytes = 0, 0
  local function take(line)
    lines = lines + 1
    bytes = bytes + #line
  end
  if type(jit) == "table" then
    cut_lines(take)
  else
    for line in least.read_line do take(line) end
  end
  assert(lines == count and bytes == count * size)
  least.close()
end

function scenarios.read_lines(port, count, size)
  if type(jit) == "table" then return scenarios.lines(port, count, size) end
  least.connect(port, common.folder, false)
  local bytes = 0
  for _ = 1, count do
    bytes = bytes + #least.read_line()
  end
  assert(not least.read_line() and bytes == count * size)
  least.close()
end

function scenarios.connects(port, count)
  for _ = 1, count do
    least.hang_up(least.dial(port))
  end
end

common.run(scenarios)
