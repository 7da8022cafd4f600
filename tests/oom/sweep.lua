-- require "sweep"(cases): fails each allocation of each case in turn, alone and with all that
-- follow. It must say `not enough memory` or be right, be right when it is done again, and leave
-- nothing behind. A case is
--   its name; what is done; what its result looks like, if that is no string; what goes before, if
--   anything

local oom = oom -- luacheck: ignore 113

-- What tells a result without keeping it: a string that is kept need not be allocated again.
local function quoted(result)
  return "'" .. tostring(result) .. "'"
end

local function nothing() end

local function is_memory(message)
  return type(message) == "string" and message:find("not enough memory", 1, true) ~= nil
end

-- Gives how many allocations there were to fail, before the call was right.
local function sweep(case, keeps)
  local name, run, image, before = case[1], case[2], case[3] or quoted, case[4] or nothing
  before()
  local expected, n = image(run()), 0
  repeat
    n = n + 1
    before()
    local failed, ok, result = oom.call(n, keeps, run)
    if ok and not is_memory(result) then
      assert(image(result) == expected, name .. ": another result")
      before()
    elseif not is_memory(result) then
      error(("%s, allocation %d: %s"):format(name, n, tostring(result)))
    end
    assert(image(run()) == expected, name .. ": not as before")
  until not failed
  return n - 1
end

return function(cases)
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
  local left = "left by one sweep more: %d bytes of Lua's, %d blocks of others"
  print(left:format(lua_again - lua, native_again - native))
  assert(lua_again - lua < 1024, "Lua's memory has grown")
  assert(native_again == native, "the module's memory has grown")
end
