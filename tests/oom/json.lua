-- Fails each allocation of a call of tcp.json in turn, alone and with all that follow: the call must say
-- `not enough memory` or be right, and leave nothing behind. Run by tests/oom/run.

local oom, tcp = oom, require "tcp" -- luacheck: ignore 113
local json = tcp.json

local text = [=[{"id":1,"name":"a name","list":[1,2.5,[],[[]],{},true,null,"\u00e9\n"],
  "more":{"long":"]=] .. ("0123456789"):rep(20) .. [=[","escaped":"]=] .. ("\\n"):rep(200) .. [=["}}]=]
local deep = ("["):rep(128) .. ("]"):rep(128)
local long = "[" .. ("12345,"):rep(2000) .. ('"x",'):rep(200) .. "0]"
local options = { null = "nil", bigint = "string" }
-- Other strings than those of the texts, which would be there already when a text is decoded.
local value, long_value = json.decode((text:gsub('"(%a)', '"x%1'))), json.decode((long:gsub("x", "y")))
local deep_value = json.decode(deep)
local unordered = { x = 1 }
for i = 50, 1, -1 do unordered[i] = { i } end
unordered.x = nil
local bad = { a = { { print } } }

-- What tells a result without keeping it: a string that is kept need not be allocated again.
local function quoted(result)
  return "'" .. result .. "'"
end

-- Of a decoded value, without Lua's own order of keys.
local function sorted(result)
  if type(result) ~= "table" then return quoted(tostring(result)) end
  local members = {}
  for key, member in pairs(result) do members[#members + 1] = tostring(key) .. "=" .. sorted(member) end
  table.sort(members)
  return "{" .. table.concat(members, ",") .. "}"
end

local cases = {
  { "decode", function() return json.decode(text) end, sorted },
  { "decode with options", function() return json.decode(text, options) end, sorted },
  { "decode, 128 deep", function() return json.decode(deep) end, sorted },
  { "decode a long array", function() return json.decode(long) end, sorted },
  { "encode", function() return json.encode(value) end },
  { "encode, 128 deep", function() return json.encode(deep_value) end },
  { "encode a long array", function() return json.encode(long_value) end },
  { "encode an unordered array", function() return json.encode(unordered) end },
  { "decode what is wrong", function() return select(2, pcall(json.decode, "[1,2,{")) end },
  { "encode what is wrong", function() return select(2, pcall(json.encode, bad)) end },
}

local function is_memory(message)
  return type(message) == "string" and message:find("not enough memory", 1, true) ~= nil
end

-- Gives how many allocations there were to fail, before the call was right.
local function sweep(case, keeps)
  local name, run, image = case[1], case[2], case[3] or quoted
  local expected, n = image(run()), 0
  repeat
    n = n + 1
    local failed, ok, result = oom.call(n, keeps, run)
    if ok and not is_memory(result) then
      assert(image(result) == expected, name .. ": another result")
    elseif not is_memory(result) then
      error(("%s, allocation %d: %s"):format(name, n, tostring(result)))
    end
  until not failed
  assert(image(run()) == expected, name .. ": not as before")
  return n - 1
end

local function everything()
  for _, case in ipairs(cases) do
    case.allocations = math.max(sweep(case, false), sweep(case, true))
  end
  collectgarbage()
  collectgarbage()
  return oom.lua(), oom.native()
end

-- Compiled code and its memory would come when it likes.
if type(jit) == "table" then jit.off() end

for _ = 1, 10 do everything() end
local lua, native = everything()
local lua_again, native_again = everything()
for _, case in ipairs(cases) do
  print(("%-26s fails well at each of %d allocations"):format(case[1], case.allocations))
end
print(("left by one sweep more: %d bytes of Lua's, %d blocks of others"):format(lua_again - lua, native_again - native))
assert(lua_again - lua < 1024, "Lua's memory has grown")
assert(native_again == native, "the module's memory has grown")
