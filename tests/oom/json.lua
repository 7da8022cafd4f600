-- Fails each allocation of a call of tcp.json in turn; see sweep.lua. Run by tests/oom/run.

local json = require("tcp").json

local text = [=[{"id":1,"name":"a name","list":[1,2.5,[],[[]],{},true,null,"\u00e9\n"],
  "more":{"long":"]=] .. ("0123456789"):rep(20) .. [=[","escaped":"]=] .. ("\\n"):rep(200) .. [=["}}]=]
local deep = ("["):rep(128) .. ("]"):rep(128)
local long = "[" .. ("12345,"):rep(2000) .. ('"x",'):rep(200) .. "0]"
local options = { null = "nil", bigint = "string" }
-- The strings differ from those of the texts, since decoding would not allocate an interned string.
local value, long_value = json.decode((text:gsub('"(%a)', '"x%1'))), json.decode((long:gsub("x", "y")))
local deep_value = json.decode(deep)
local unordered = { x = 1 }
for i = 50, 1, -1 do unordered[i] = { i } end
unordered.x = nil
local bad = { a = { { print } } }

-- Formats a decoded value with its keys sorted.
local function sorted(result)
  if type(result) ~= "table" then return tostring(result) end
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
  { "encode with options", function()
    return json.encode(value, { indent = 2, sort_keys = true, ascii = true })
  end },
  { "encode with options, 128 deep", function() return json.encode(deep_value, { sort_keys = true }) end },
  { "get", function() return json.get(text, "/more") end, sorted },
  { "get of a list", function() return json.get(text, { "/list", "/more/escaped", "/none", "/list/3" }) end, sorted },
  { "get what is wrong", function() return select(2, pcall(json.get, "[1,2,{", { "/0", "/3" })) end },
  { "get by what is no pointer", function() return select(2, pcall(json.get, "[]", { "/~0", "/~" })) end },
  { "encode what is wrong with options", function() return select(2, pcall(json.encode, bad, { indent = 1 })) end },
  { "decode what is wrong", function() return select(2, pcall(json.decode, "[1,2,{")) end },
  { "encode what is wrong", function() return select(2, pcall(json.encode, bad)) end },
}

require "sweep"(cases)
