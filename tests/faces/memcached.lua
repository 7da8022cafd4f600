-- Runs the tests of lua-memcached, which are written for lunatest: only what they use of that is
-- here.

local checks = {
  assert_true = function(value) return value end,
  assert_false = function(value) return not value end,
  assert_nil = function(value) return value == nil end,
  assert_equal = function(one, other) return one == other end,
  assert_match = function(pattern, text) return type(text) == "string" and text:find(pattern) end,
  assert_table = function(value) return type(value) == "table" end,
  assert_number = function(value) return type(value) == "number" end,
  assert_not_nil = function(value) return value ~= nil end,
}
for name, check in pairs(checks) do
  _G[name] = function(...)
    if not check(...) then
      error(name .. " failed", 2)
    end
  end
end

_G.lunatest = { run = function() end }
package.loaded.lunatest = _G.lunatest
-- It is written for a LuaSocket that set a global.
_G.socket = require "socket"
package.path = "./?.lua;" .. package.path

assert(loadfile "test.lua")()

local names = {}
for name, value in pairs(_G) do
  if name:find "^test_" and type(value) == "function" then
    names[#names + 1] = name
  end
end
table.sort(names)
for _, name in ipairs(names) do
  local ok, why = pcall(function()
    _G.setup()
    _G[name]()
    _G.teardown()
  end)
  print(ok and "ok " .. name or "not ok " .. name .. ": " .. tostring(why))
end
