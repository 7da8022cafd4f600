-- copas waits for LuaSocket's sockets, and for objects that have the methods which `select` needs:
-- here one for the poller's descriptor. One coroutine waits for it, and another sleeps until the
-- next timeout.

local native = ...
local tonumber, tostring, status = tonumber, tostring, coroutine.status
local in_coroutine = native.coroutines.in_coroutine

return function(copas)
  local major = tonumber(tostring(copas._VERSION):match "(%d+)%.")
  if not major or major < 2 then
    return nil, "copas 2.0 or newer is needed, this is " .. tostring(copas._VERSION)
  end
  local gettime = require("socket").gettime
  local reader, sleeper, timeout_at
  local loop = {
    -- Before version 4, copas starts a coroutine when it is added, perhaps before the loop runs.
    inside = function()
      return (major < 4 or copas.running) and in_coroutine()
    end,
    pause = function()
      copas.sleep(-1)
    end,
    go_on = copas.wakeup,
  }
  local fd = native.polled(loop)

  -- `receive` first returns "timeout", so that copas waits for the descriptor.
  local socket = { asked = false, over = false }
  function socket.getfd()
    return fd
  end
  function socket.dirty()
    return socket.over
  end
  function socket.receive()
    socket.asked = not socket.asked
    if socket.asked then
      return nil, "timeout"
    end
    return ""
  end
  function socket.close() end

  local function read()
    while not socket.over do
      copas.receive(socket)
      loop.poll_events()
    end
  end

  -- `arm` must not call `poll_events`, since its caller does not wait yet. copas 2 starts a
  -- coroutine at once, so this one sleeps first.
  local function sleep()
    copas.sleep(0)
    while not socket.over do
      local left = timeout_at and timeout_at - gettime()
      if left and left <= 0 then
        timeout_at = nil
        loop.poll_events()
      else
        copas.sleep(left or -1)
      end
    end
  end

  -- Returns a helper that runs. It is started again if it has ended, or died of an error.
  local function started(helper, body)
    if helper and status(helper) ~= "dead" then
      return helper
    end
    return copas.addthread(body)
  end

  function loop.arm(seconds)
    socket.over = false
    timeout_at = seconds and gettime() + seconds or timeout_at
    reader, sleeper = started(reader, read), started(sleeper, sleep)
    if seconds then
      copas.wakeup(sleeper)
    end
  end

  function loop.disarm()
    socket.over, timeout_at = true, nil
    if sleeper then
      copas.wakeup(sleeper)
    end
  end

  return loop
end
