-- cqueues: each controller has a coroutine that watches the poller while any other of its
-- coroutines waits for it.

local native = ...
local error, running, status, create = error, coroutine.running, coroutine.status, coroutine.create
local coroutines, polled = native.coroutines, native.polled
local in_coroutine, try_yield = coroutines.in_coroutine, coroutines.try_yield
-- Whether a coroutine that waits can be told from one that failed to yield.
local tells_yieldable = coroutine.isyieldable or coroutines.has_yielding_pcall

return function(cqueues)
  local condition = require "cqueues.condition"
  local monotime, poll = cqueues.monotime, cqueues.poll
  local loop = { is_owner = true }
  local readable = { pollfd = polled(loop), events = "r" }
  -- The number of waiting coroutines and the watcher, by controller. The condition of each waiting
  -- coroutine, by coroutine.
  local controllers = setmetatable({}, { __mode = "k" })
  local conditions = setmetatable({}, { __mode = "k" })
  -- The time when `poll_events` must be called. `changed` is signalled when it becomes earlier, or
  -- when a watcher must end.
  local timeout_at, changed = nil, condition.new()

  -- A generator inside a task of cqueues would yield to its own caller instead.
  function loop.inside()
    local controller, is_its_own = cqueues.running()
    if is_its_own then
      return in_coroutine()
    elseif controller and in_coroutine() then
      return nil, "cannot wait in a coroutine inside a task"
    end
  end

  -- On Lua 5.1, a coroutine that failed to yield stays counted. But if the poller has no waits, no
  -- watcher is needed.
  local function is_needed(controller)
    if controller.count == 0 then
      return false
    elseif tells_yieldable then
      return true
    end
    local _, count, seconds = native.next_timeout(nil)
    loop.arm(seconds)
    return count > 0 or loop.over[1] ~= nil
  end

  local function watcher(controller)
    return function()
      while is_needed(controller) do
        local left = timeout_at and timeout_at - monotime()
        if not left then
          poll(readable, changed)
        elseif left > 0 then
          poll(readable, changed, left)
        else
          timeout_at = nil
        end
        loop.poll_events()
      end
      controller.watcher = nil
    end
  end

  local function watch(controller, its)
    if controller.watcher and status(controller.watcher) == "dead" then
      -- An error ended the watcher, such as a debug hook's. It may have lost the timeout.
      controller.watcher, timeout_at = nil, monotime()
    end
    if not controller.watcher then
      controller.watcher = create(watcher(controller))
      its:attach(controller.watcher)
    end
  end

  function loop.pause()
    local this, running_controller = running(), cqueues.running()
    local controller = controllers[running_controller]
    if not controller then
      controller = { count = 0 }
      controllers[running_controller] = controller
    end
    controller.count = controller.count + 1
    watch(controller, running_controller)
    local mine = conditions[this]
    if not mine then
      mine = condition.new()
      conditions[this] = mine
    end
    local ok, message = try_yield(mine.wait, mine)
    controller.count = controller.count - 1
    if controller.count == 0 then
      changed:signal()
    end
    if not ok then
      error(message, 0)
    end
  end

  function loop.go_on(this)
    conditions[this]:signal()
  end

  function loop.arm(seconds)
    local at = seconds and monotime() + seconds
    if at and (not timeout_at or at < timeout_at) then
      timeout_at = at
      changed:signal()
    end
  end

  function loop.disarm()
    timeout_at = nil
  end

  -- Scripts may also wait for a connection with cqueues' own functions.
  local remove_fd = loop.close
  function loop.close(fd)
    cqueues.cancel(fd)
    remove_fd(fd)
  end

  return loop
end
