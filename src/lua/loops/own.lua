-- A loop of the script's own: its `wait`, and `close` and `sleep` where it has them.

local native = ...
local error, huge = error, math.huge
local setmetatable = setmetatable
local coroutines = native.coroutines
local in_coroutine, try = coroutines.in_coroutine, coroutines.try
local waiting = native.waiting

-- The coroutines in which such a function runs. PUC Lua 5.1 does not hear of one that raised.
local within = setmetatable({}, { __mode = "k" })
local function is_within(this)
  return within[this] and (coroutines.has_yielding_pcall or native.is_in_wait(this))
end

return function(wait, close, sleep)
  local loop = { sleep = sleep }
  -- What these functions call themselves, as `tcp.poll`, blocks.
  function loop.inside()
    local this = in_coroutine()
    return not is_within(this) and this or nil
  end
  local function leave(claim, this, pause, ...)
    waiting[claim], within[this] = this, true
    local ok, message = try(pause, ...)
    waiting[claim], within[this] = nil, nil
    if not ok then
      error(message, 0)
    end
  end
  function loop.wait(claim, seconds, this, fd, mode)
    leave(claim, this, wait, fd, mode, seconds)
  end
  function loop.wait_for_time(claim, seconds, this)
    leave(claim, this, sleep, seconds or huge)
  end
  -- Who waits for a set in which the descriptor is, hears of it, too.
  function loop.close(fd)
    native.remove_fd(nil, fd)
    if close then
      close(fd)
    end
  end
  return loop
end
