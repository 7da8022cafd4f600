-- require "sweep"(cases, options): fails each allocation of each case in turn, alone and with all
-- that follow. The case must fail for want of memory or be right, be right when it is repeated, and
-- leave nothing behind. A case is a list of
--   its name; its function; a function that formats its result, if that is not a string;
--   a function to call before it, if any; in `says`, further messages that it may fail with;
--   and in `mend`, a function to call before it is repeated
-- Options: of many allocations the `first` (100) fail each, then fewer and fewer of the others.
-- There are `passes` (10) calls before memory is measured; then it may grow by `blocks` (0) outside
-- of Lua.

local oom = oom -- luacheck: ignore 113

-- Formats a result without keeping it: an interned string would not be allocated again.
local function quoted(result)
  return "'" .. tostring(result) .. "'"
end

local function nothing() end

local function is_memory(message, says)
  if type(message) ~= "string" then return false end
  for _, words in ipairs(says or {}) do
    if message:find(words) then return true end
  end
  return message:find("not enough memory", 1, true) ~= nil
end

-- Returns the number of allocations that had to fail before the call succeeded.
local function sweep(case, keeps, first)
  local name, run, image, before = case[1], case[2], case[3] or quoted, case[4] or nothing
  before()
  local expected, n, last = image(run()), 0
  repeat
    last, n = n, n + math.max(1, math.floor(n / first))
    before()
    local failed, ok, result = oom.call(n, keeps, run)
    if ok and not is_memory(result, case.says) then
      assert(image(result) == expected, name .. ": another result")
      before()
    elseif not is_memory(result, case.says) then
      error(("%s, allocation %d: %s"):format(name, n, tostring(result)))
    end
    if case.mend then case.mend() end
    assert(image(run()) == expected, name .. ": not as before")
  until not failed
  return last
end

return function(cases, options)
  options = options or {}
  local first = options.first or 100
  local function everything()
    for _, case in ipairs(cases) do
      case.allocations = math.max(sweep(case, false, first), sweep(case, true, first))
    end
    collectgarbage()
    collectgarbage()
    return oom.lua(), oom.native()
  end

  -- The JIT compiler would allocate at unpredictable times.
  if type(jit) == "table" then jit.off() end

  for _ = 1, options.passes or 10 do everything() end
  local lua, native = everything()
  local lua_again, native_again = everything()
  for _, case in ipairs(cases) do
    print(("%-26s fails well at each of some %d allocations"):format(case[1], case.allocations))
  end
  local left = "left by one sweep more: %d bytes of Lua's, %d blocks of others"
  print(left:format(lua_again - lua, native_again - native))
  assert(lua_again - lua < 1024, "Lua's memory has grown")
  assert(native_again - native <= (options.blocks or 0), "the module's memory has grown")
end
