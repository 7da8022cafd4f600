--- `json.get` against decoding all: `lua bench/json/get.lua [PAIRS]`, with tcp on LUA_CPATH.
-- Three fields of a text of about 100 KB, and texts of 10 MB that are passed whole. A ratio is the
-- median, over pairs of slices run back to back, of the other's time by that of `get`. Where
-- lua-simdjson is installed (`luarocks install lua-simdjson`), its pointers are compared, too: it
-- parses all of a text before it looks for the first.

local folder = arg[0]:match("^(.*)/") or "."
package.path = folder .. "/?.lua;" .. package.path

local documents = require "documents"
local tcp = require "tcp"
local has_simdjson, simdjson = pcall(require, "simdjson")

local PAIRS = tonumber(arg[1]) or 21
local SLICE = 0.010

local function time(run, argument, count)
  collectgarbage()
  local start = os.clock()
  for _ = 1, count do
    run(argument)
  end
  return (os.clock() - start) / count
end

local function median(list)
  table.sort(list)
  return list[math.ceil(#list / 2)]
end

local function calibrate(run, argument)
  local count = 1
  while time(run, argument, count) * count < SLICE do
    count = count * 2
  end
  return count
end

-- The medians of theirs / ours and of our time for one run.
local function compare(theirs, ours, argument)
  local theirs_count, ours_count = calibrate(theirs, argument), calibrate(ours, argument)
  local ratios, times = {}, {}
  for pair = 1, PAIRS do
    local other = time(theirs, argument, theirs_count)
    times[pair] = time(ours, argument, ours_count)
    ratios[pair] = other / times[pair]
  end
  return median(ratios), median(times)
end

local records = documents.records()
local text = '{"first":{"id":1,"name":"x","list":[2,3]},"pages":[' .. (records .. ","):rep(7) .. records
  .. '],"last":{"id":1,"name":"x","list":[2,3]}}'
local fields = {
  { "front", { "/first/id", "/first/name", "/first/list/1" } },
  { "tenth", { "/pages/0/records/1/host", "/pages/0/records/20/id", "/pages/0/records/40/message" } },
  { "end", { "/last/id", "/last/name", "/last/list/1" } },
}

print(("%s, three fields of %d bytes, median of %d pairs"):format(jit and jit.version or _VERSION, #text, PAIRS))
if not has_simdjson then print "lua-simdjson is not installed, its pointers are left out" end
print(("%-8s %8s  %9s  %s"):format("fields", "us", "decode", has_simdjson and "simdjson" or ""))
for _, case in ipairs(fields) do
  local pointers = case[2]
  local function get(of)
    local found = tcp.json.get(of, pointers)
    assert(found[1] ~= nil and found[2] ~= nil and found[3] ~= nil)
  end
  local ratio, seconds = compare(tcp.json.decode, get, text)
  local theirs = has_simdjson and compare(function(of)
    local opened = simdjson.open(of)
    for i = 1, 3 do
      assert(opened:atPointer(pointers[i]) ~= nil)
    end
  end, get, text)
  print(("%-8s %8.1f  x%8.1f  %s"):format(case[1], seconds * 1e6, ratio, theirs and ("x%.2f"):format(theirs) or ""))
end

print(("%-8s %9s  %8s"):format("passed", "bytes", "GB/s"))
for _, name in ipairs(documents.names) do
  local one = documents[name]()
  local long = "[" .. (one .. ","):rep(math.ceil(1e7 / #one)) .. "0]"
  local times = {}
  for i = 1, PAIRS do
    times[i] = time(function() assert(tcp.json.get(long, "/none") == nil) end, nil, 1)
  end
  print(("%-8s %9d  %8.2f"):format(name, #long, #long / median(times) / 1e9))
end
