-- What each loop needs to know of coroutines, which differ from Lua to Lua.

local native = ...
local running, status, yield = coroutine.running, coroutine.status, coroutine.yield

-- PUC Lua 5.1 cannot yield across pcall.
local has_yielding_pcall = coroutine.wrap(function()
  return pcall(yield, true)
end)() == true

-- Lua 5.1 and 5.2 cannot tell whether a coroutine may yield where it is.
local isyieldable = coroutine.isyieldable

-- The coroutine that runs, if it may yield. In the comparator of a sort it may not, for example.
local function in_coroutine()
  local coroutine, is_main = running()
  if is_main or isyieldable and not isyieldable() then
    return nil
  end
  return coroutine
end

-- Calls what yields, and may raise: Lua 5.2 finds out there that it cannot yield, and a script's
-- own wait may raise anything. What has begun must be ended all the same. On Lua 5.1 it cannot be.
local function try(act, ...)
  if has_yielding_pcall then
    return pcall(act, ...)
  end
  return true, act(...)
end

-- The same, where all that can be raised is that it cannot yield.
local function try_yield(pause, ...)
  if isyieldable then
    return true, pause(...)
  end
  return try(pause, ...)
end

-- Whether a coroutine waits in `loop.wait`. Where a wait could not yield, and nobody was told, it
-- does not.
local function still_waits(this)
  if isyieldable or has_yielding_pcall then
    return status(this) == "suspended"
  end
  return status(this) == "suspended" and native.is_in_wait(this)
end

return {
  has_yielding_pcall = has_yielding_pcall,
  in_coroutine = in_coroutine,
  try = try,
  try_yield = try_yield,
  still_waits = still_waits,
}
