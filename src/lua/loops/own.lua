-- A script's own loop: its function `wait`, and `close` if it has one.

local native = ...
local error = error
local in_coroutine, try = native.coroutines.in_coroutine, native.coroutines.try
local waiting = native.waiting

return function(wait, close)
  local loop = { inside = in_coroutine, close = close }
  function loop.wait(claim, seconds, this, fd, mode)
    waiting[claim] = this
    local ok, message = try(wait, fd, mode, seconds)
    waiting[claim] = nil
    if not ok then
      error(message, 0)
    end
  end
  return loop
end
