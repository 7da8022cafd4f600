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

function scenarios.connects(port, count)
  for _ = 1, count do
    least.hang_up(least.dial(port))
  end
end

common.run(scenarios)
