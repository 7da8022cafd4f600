-- Functions for coroutines that all loops need, since Luas differ in them.

local native = ...
local running, status, yield = coroutine.running, coroutine.status, coroutine.yield

-- PUC Lua 5.1 cannot yield across pcall.
local has_yielding_pcall = coroutine.wrap(function()
  return pcall(yield, true)
end)() == true

-- Lua 5.1 and 5.2 have no coroutine.isyieldable.
local isyieldable = coroutine.isyieldable

-- Returns the running coroutine, if it may yield. In the comparator of a sort, for example, it may
-- not.
local function in_coroutine()
  local coroutine, is_main = running()
  if is_main or isyieldable and not isyieldable() then
    return nil
  end
  return coroutine
end

-- Calls a function that yields and may raise, so that the caller can clean up. Lua 5.2 only finds
-- out there that it cannot yield, and a script's own wait may raise anything. PUC Lua 5.1 cannot
-- catch these errors.
local function try(act, ...)
  if has_yielding_pcall then
    return pcall(act, ...)
  end
  return true, act(...)
end

-- The same for a function that raises only if it cannot yield.
local function try_yield(pause, ...)
  if isyieldable then
    return true, pause(...)
  end
  return try(pause, ...)
end

-- Whether a coroutine waits in `loop.wait`. Lua 5.1 cannot tell when a wait fails to yield, so
-- there the call stack is searched.
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
