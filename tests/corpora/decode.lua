-- decode.lua JOBS RESULTS: decodes each text of the file JOBS, encodes what came of it, decodes
-- that again, asks for parts of it by pointers, and reads it from a connection. Writes down what
-- came of each step. A value is written in a form that another decoder's can be compared with.
--
-- A job is the text, the number of its pointers, and these; each string has its length in front.

local tcp = require "tcp.safe"
local json = tcp.json

local jobs = assert(io.open((assert(arg[1])), "rb"))
local results = assert(io.open((assert(arg[2])), "wb"))
local is_array = getmetatable(json.array {})

local function take()
  local size = jobs:read "*l"
  if not size then return nil end
  return tonumber(size) == 0 and "" or assert(jobs:read(tonumber(size)))
end

local function give(text)
  results:write(#text, "\n", text)
end

-- math.frexp, which newer Luas do not have.
local frexp = math.frexp or function(x)
  local exponent = 0
  while x >= 1 or x <= -1 do x, exponent = x / 2, exponent + 1 end
  while x < 0.5 and x > -0.5 do x, exponent = x * 2, exponent - 1 end
  return x, exponent
end

-- Each bit of a float. LuaJIT's %.17g rounds otherwise than the C library's.
local function describe_float(x)
  if x == 0 then return 1 / x < 0 and "d-0;" or "d0;" end
  local fraction, exponent = frexp(x)
  return ("d%.0f:%d;"):format(fraction * 2 ^ 53, exponent)
end

local describe

local function describe_list(list, out)
  out[#out + 1] = "["
  for i = 1, #list do describe(list[i], out) end
  out[#out + 1] = "]"
end

local function describe_object(object, out)
  local names = {}
  for name in pairs(object) do
    assert(type(name) == "string", "a name that is no string")
    names[#names + 1] = name
  end
  table.sort(names)
  out[#out + 1] = "{"
  for _, name in ipairs(names) do
    describe(name, out)
    describe(object[name], out)
  end
  out[#out + 1] = "}"
end

describe = function(value, out)
  local kind = type(value)
  if value == json.null then
    out[#out + 1] = "n"
  elseif kind == "boolean" then
    out[#out + 1] = value and "t" or "f"
  elseif kind == "string" then
    out[#out + 1] = "s" .. #value .. ":" .. value -- Lua 5.1's %s ends at a zero
  elseif kind == "number" then
    local is_integer = math.type and math.type(value) == "integer"
    out[#out + 1] = is_integer and ("i%d;"):format(value) or describe_float(value)
  elseif getmetatable(value) == is_array then
    describe_list(value, out)
  else
    assert(kind == "table", "a " .. kind)
    describe_object(value, out)
  end
end

local function form(value, message)
  if value == nil then return "refused: " .. tostring(message) end
  local out = {}
  describe(value, out)
  return table.concat(out)
end

-- The forms of what the pointers lead to: each by itself, and all in one call. They must agree.
local function parts(text, pointers)
  local single, all = {}, {}
  local found, message = json.get(text, pointers)
  for i, pointer in ipairs(pointers) do
    local value, why = json.get(text, pointer)
    single[i] = value == nil and not why and "nothing" or form(value, why)
    local same = found and found[i]
    all[i] = found and same == nil and "nothing" or form(same, message)
  end
  return single, all
end

-- What `read_json` makes of the text, sent by another task in pieces: the form of the value, and
-- what follows it.
local listener = assert(tcp.listen("127.0.0.1", 0))
local function streamed(text)
  local value_form, rest
  tcp.run(function()
    local client = assert(tcp.connect("127.0.0.1", listener:port(), { nodelay = true }))
    local server = assert(listener:accept(5))
    tcp.spawn(function()
      local half = math.floor(#text / 2)
      client:send(text:sub(1, half))
      tcp.sleep(0)
      client:send(text:sub(half + 1))
      client:shutdown()
      client:skip(1)
      client:close()
    end)
    value_form = form(server:read_json())
    rest = server:read_str() or "?"
    server:close()
  end)
  return value_form, rest
end

local function work(text)
  local pointers = {}
  for i = 1, tonumber(take()) do pointers[i] = take() end
  local value, message = json.decode(text)
  give(form(value, message))
  give(form(json.decode(text, { bigint = "string" })))
  local written = ""
  if value ~= nil then written = assert(json.encode(value)) end
  give(written)
  give(value == nil and "" or form(json.decode(written)))
  give(value == nil and "" or json.encode(value, { indent = 2, sort_keys = true, ascii = true }))
  local single, all = parts(text, pointers)
  for i = 1, #pointers do
    give(single[i])
    give(all[i])
  end
  local value_form, rest = streamed(text)
  give(value_form)
  give(rest)
end

for text in take do work(text) end
assert(results:close())
