-- The event loops for `tcp.use`. A loop has
--   inside()                     the running coroutine, if it may yield to the loop; or nil, and
--                                why it must not wait at all, if it must not
--   wait(claim, seconds, thread) yields until the poller ends the wait with this ticket; `seconds`:
--                                the next timeout, if the loop does not know it yet
--   close(fd)                    removes a descriptor from the loop, and resumes who waits for it
--   wait_for_time(claim, seconds, thread)
--                                waits for time alone, where `sleep` is there, too: for a loop that
--                                is not polled
--   is_cancelled(thread)         optional: whether the task that runs was ended
--   is_polled                    false where `wait` takes a descriptor and "r" or "w" besides, and
--                                yields until that is ready or so many seconds are over
-- A wait may end early: the operation is tried again after each.

local native = ...
local files = native.loops
local pcall, require, tostring, type = pcall, require, tostring, type
native.coroutines = files.coroutines()
native.polled = files.poller()
local own = files.own()
-- Each makes a loop, or returns nil and the reason.
local loops = { cqueues = files.cqueues, copas = files.copas, luv = files.luv }

-- The loops that were made, by library: a library that is loaded again in this state is another
-- loop. Coroutines may still wait in a loop that was in use before.
local made = setmetatable({}, { __mode = "k" })

-- Returns the loop that `tcp.use` names, or nil and the reason.
return function(which)
  if type(which) == "function" then
    return own(which)
  elseif type(which) == "table" then
    local wait, close, sleep = which.wait, which.close, which.sleep
    if type(wait) ~= "function" then
      return nil, "field 'wait': function expected, got " .. type(wait)
    elseif close ~= nil and type(close) ~= "function" then
      return nil, "field 'close': function expected, got " .. type(close)
    elseif sleep ~= nil and type(sleep) ~= "function" then
      return nil, "field 'sleep': function expected, got " .. type(sleep)
    end
    return own(wait, close, sleep)
  elseif type(which) ~= "string" then
    return nil, "string, table, function or nil expected, got " .. type(which)
  elseif not loops[which] then
    return nil, ("no loop named '%s': \"cqueues\", \"copas\" or \"luv\" expected"):format(which)
  end
  local found, library = pcall(require, which)
  if not found then
    return nil, tostring(library)
  elseif made[library] then
    return made[library]
  end
  local ok, loop, why = pcall(loops[which](), library)
  if not ok then
    return nil, tostring(loop)
  end
  made[library] = loop
  return loop, why
end
