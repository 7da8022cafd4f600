-- The scenarios with JSON as far as no module for Lua can do without: see bench/native/least.c.

package.path = "bench/support/?.lua;" .. package.path

local least = require "least"
local common = require "common"
local data = require "data"

local function round_trips(port, count, tls)
  local value = data.large
  least.connect(port, common.folder, tls)
  least.model("large", value)
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
  least.connect(port, common.folder, false)
  least.model("small", data.small)
  for _ = 1, count do
    assert(#least.read().samples == 4)
  end
  least.close()
end

function scenarios.write_packets(port, count)
  local value = data.small
  least.connect(port, common.folder, false)
  least.model("small", value)
  for i = 0, count - 1 do
    value.id = 100000 + i
    least.write(value)
  end
  assert(least.answer() == "taken")
  least.close()
end

common.run(scenarios)
