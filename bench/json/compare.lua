--- JSON against lua-cjson in one process: `lua bench/json/compare.lua [PAIRS]`, with tcp on LUA_CPATH.
-- Each figure is the median, over pairs of slices run back to back, of lua-cjson's time by ours (over 1:
-- we are faster). Only such ratios mean something on a shared machine. The last column is lua-cjson
-- against itself in the same way: how far from 1 a ratio is by chance.

local folder = arg[0]:match("^(.*)/") or "."
package.path = folder .. "/?.lua;" .. package.path

local documents = require "documents"
local tcp = require "tcp"
local cjson = require "cjson"

local PAIRS = tonumber(arg[1]) or 41
local SLICE = 0.010

local function time(run, argument, count)
  collectgarbage()
  local start = os.clock()
  for _ = 1, count do
    run(argument)
  end
  return os.clock() - start
end

local function median(list)
  table.sort(list)
  return list[(#list + 1) / 2]
end

-- As many runs as fill a slice.
local function calibrate(run, argument)
  local count = 1
  while time(run, argument, count) < SLICE do
    count = count * 2
  end
  return count
end

-- The medians of theirs / ours and of our time for one run.
local function compare(theirs, ours, argument)
  local count = calibrate(theirs, argument)
  local ratios, times = {}, {}
  for pair = 1, PAIRS do
    local a, b
    if pair % 2 == 0 then
      a = time(theirs, argument, count)
      b = time(ours, argument, count)
    else
      b = time(ours, argument, count)
      a = time(theirs, argument, count)
    end
    ratios[pair], times[pair] = a / b, b / count
  end
  return median(ratios), median(times)
end

print(("%s, lua-cjson %s, median of %d pairs"):format(jit and jit.version or _VERSION, cjson._VERSION, PAIRS))
print(("%-8s %9s  %7s %9s  %7s %9s  %s"):format("document", "bytes", "decode", "MB/s", "encode", "MB/s", "self-check"))
for _, name in ipairs(documents.names) do
  local text = documents[name]()
  local value = tcp.json.decode(text)
  local decode, decode_time = compare(cjson.decode, tcp.json.decode, text)
  local encode, encode_time = compare(cjson.encode, tcp.json.encode, value)
  local itself = compare(cjson.decode, cjson.decode, text)
  print(("%-8s %9d  x%6.2f %9.1f  x%6.2f %9.1f  x%.2f"):format(
    name, #text, decode, #text / decode_time / 1e6, encode, #tcp.json.encode(value) / encode_time / 1e6, itself))
end
