-- luv: a poll handle for the poller, a timer for the next timeout, and an idle handle for one that
-- has passed.

local native = ...
local assert, error, select = assert, error, select
local ceil, min = math.ceil, math.min
local yield, resume = coroutine.yield, coroutine.resume
local traceback = debug and debug.traceback or function(_, message) return message end

return function(uv)
  local loop = { inside = native.coroutines.in_coroutine, pause = yield }
  local fd = native.polled(loop)
  local poll, timer, idle
  local is_armed, failure = false, nil

  local function poll_events()
    loop.is_polling = true
    loop.poll_events()
    loop.is_polling = false
    if failure then
      local message = failure
      failure = nil
      error(message, 0)
    end
  end

  -- Polls at once, but after other callbacks. A timer of 0 ms that restarts itself would starve
  -- them, and one of 1 ms is slow.
  local function poll_now()
    idle:stop()
    poll_events()
  end

  -- A script that closes all handles of libuv's loop closes these, too.
  local function are_open()
    return poll and not (poll:is_closing() or timer:is_closing() or idle:is_closing())
  end

  function loop.arm(seconds)
    if not are_open() then
      poll, timer, idle = assert(uv.new_poll(fd)), uv.new_timer(), uv.new_idle()
      is_armed = false
      -- The timer that was set for this has been closed.
      seconds = seconds or select(3, native.next_timeout(nil))
    end
    if not is_armed then
      is_armed = true
      poll:start("r", poll_events)
    end
    if seconds == 0 then
      idle:start(poll_now)
    elseif seconds then
      -- The timer may fire early.
      timer:start(ceil(min(seconds, 1e6) * 1000), 0, poll_events)
    end
  end

  function loop.disarm()
    is_armed = false
    if are_open() then
      poll:stop()
      timer:stop()
      idle:stop()
    end
  end

  function loop.go_on(this)
    local ok, message = resume(this)
    -- The error is raised when all other coroutines have been resumed.
    if not ok then
      failure = failure or traceback(this, message)
    end
  end

  return loop
end
