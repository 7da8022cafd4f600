--- JSON beside other libraries in one process: `lua bench/json/compare.lua [ROUNDS [FILE]]`, with
-- tcp on LUA_CPATH, and what it is compared with: lua-cjson, and lua-simdjson and lua-rapidjson
-- where they are installed. In each round all take their turn, in an order that shifts. Each figure
-- is the median, over the rounds, of a library's time by ours in the same round (over 1: we are
-- faster). Only such ratios mean something on a shared machine. "best" is the ratio to the fastest
-- of the others. The last column is lua-cjson against itself in the same way: how far from 1 a
-- ratio is by chance. Each library encodes what it has decoded itself. "floor" is
-- bench/native/least.c, where `least.so` is on LUA_CPATH: it makes the tables of a text that it
-- does not read; it looks at each part of a value, and copies its strings, but writes no JSON. FILE
-- gets the figures as JSON, for bench/chart.py.

local folder = arg[0]:match("^(.*)/") or "."
package.path = folder .. "/?.lua;" .. package.path

local documents = require "documents"
local tcp = require "tcp"

-- What is wanted of the documents that are like well-known ones, by the fastest of the others.
local WANTED = { decode = 1.25, encode = 1.70 }
local ROUNDS = tonumber(arg[1]) or 41
local SLICE = 0.010

local function version(library)
  return tostring(library._VERSION or "")
end

-- The libraries that are there, ours first.
local libraries = { { name = "tcp", decode = tcp.json.decode, encode = tcp.json.encode } }
for _, each in ipairs { { "cjson", "decode" }, { "simdjson", "parse" }, { "rapidjson", "decode" } } do
  local is_there, library = pcall(require, each[1])
  if is_there and library.encode then
    libraries[#libraries + 1] = {
      name = each[1], decode = library[each[2]], encode = library.encode, version = version(library),
    }
  else
    print(("lua-%s is not on LUA_CPATH, and left out"):format(each[1]))
  end
end

local has_floor, least = pcall(require, "least")

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
  return list[math.floor((#list + 1) / 2)]
end

-- As many runs as fill a slice.
local function calibrate(run, argument)
  local count = 1
  while time(run, argument, count) < SLICE do
    count = count * 2
  end
  return count
end

-- What each run takes by the time of the first, and what the first takes for one call. A run is
-- { function, argument }.
local function compare(runs)
  local ratios, times = {}, {}
  for i, run in ipairs(runs) do
    run.count = calibrate(run[1], run[2])
    ratios[i] = {}
  end
  for round = 1, ROUNDS do
    local took = {}
    for turn = 0, #runs - 1 do
      local i = (round + turn) % #runs + 1
      local run = runs[i]
      took[i] = time(run[1], run[2], run.count) / run.count
    end
    times[round] = took[1]
    for i = 2, #runs do ratios[i][round] = took[i] / took[1] end
  end
  for i = 2, #runs do ratios[i] = median(ratios[i]) end
  return ratios, median(times)
end

-- Decoding, or encoding, of one text by all libraries: ratios by name, and bytes per second of
-- ours.
local function measure(action, text)
  local runs = {}
  for i, library in ipairs(libraries) do
    runs[i] = { library[action], action == "decode" and text or library.decode(text) }
  end
  if has_floor then
    local value = libraries[1].decode(text)
    least.learn(value)
    runs[#runs + 1] = { action == "decode" and least.make or least.walk, value }
  end
  local size = action == "decode" and #text or #libraries[1].encode(runs[1][2])
  local ratios, seconds = compare(runs)
  local figures = { MB_per_second = size / seconds / 1e6 }
  for i = 2, #libraries do
    figures[libraries[i].name] = ratios[i]
    figures.best = math.min(figures.best or math.huge, ratios[i])
  end
  figures.floor = has_floor and ratios[#runs] or nil
  return figures
end

local lua = jit and jit.version or _VERSION
local result = { lua = lua, date = os.date "%Y-%m-%d", rounds = ROUNDS, versions = {}, rows = tcp.json.array {} }
local head = ("%-22s %-6s %8s %7s"):format("document", "", "bytes", "MB/s")
local words = {}
for i = 2, #libraries do
  local library = libraries[i]
  result.versions[library.name] = library.version
  words[#words + 1] = ("lua-%s %s"):format(library.name, library.version)
  head = head .. ("%11s"):format(library.name)
end
print(("%s beside %s; median of %d rounds; times by ours"):format(lua, table.concat(words, ", "), ROUNDS))
print(head .. ("%8s%8s"):format("best", "floor"))

local cjson = libraries[2] and libraries[2].name == "cjson" and libraries[2]
for _, name in ipairs(documents.names) do
  local text = documents[name]()
  local like = documents.like[name]
  for _, action in ipairs { "decode", "encode" } do
    local figures = measure(action, text)
    local line = ("%-22s %-6s %8d %7.1f"):format(like and name .. " (" .. like .. ")" or name, action, #text,
      figures.MB_per_second)
    for i = 2, #libraries do line = line .. ("%11.2f"):format(figures[libraries[i].name]) end
    local misses = like and figures.best and figures.best < WANTED[action]
    print(line .. (figures.best and ("%8.2f"):format(figures.best) or "")
      .. (figures.floor and ("%8.2f"):format(figures.floor) or "")
      .. (misses and ("  misses %.2f"):format(WANTED[action]) or ""))
    result.rows[#result.rows + 1] = { document = name, like = like, action = action, bytes = #text, figures = figures }
  end
  if cjson then
    local itself = compare { { cjson.decode, text }, { cjson.decode, text } }
    print(("%-22s %-6s %43s"):format("", "check", ("lua-cjson by lua-cjson %.2f"):format(itself[2])))
  end
end

if arg[2] then
  local file = assert(io.open(arg[2], "w"))
  file:write(tcp.json.encode(result), "\n")
  file:close()
end
