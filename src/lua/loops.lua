-- The event loops that `tcp.use` knows: for each a function that gives
--   inside()                     the coroutine that runs, if it may yield to the loop; or nil, and
--                                why it must not wait at all, if it must not
--   wait(claim, seconds, thread) yields until the poller ends the wait with this ticket; `seconds`:
--                                when the poller is due for a turn, if the loop does not know yet
--   close(fd)                    has the loop forget a descriptor; who waits for it goes on
--   is_polled                    false where `wait` takes a descriptor and "r" or "w" besides, and
--                                yields until that is ready or so many seconds are over
-- or nil and why there is none. Who waits asks again and again: a wait may end early.

local native = ...
local error, ceil, min = error, math.ceil, math.min
local running, status = coroutine.running, coroutine.status
local create, yield, resume = coroutine.create, coroutine.yield, coroutine.resume
local traceback = debug and debug.traceback or function(_, message) return message end

-- Who waits, which keeps nobody: by descriptor, if its ticket is there, else by claim.
local waiting, tickets, descriptors = native.waiting, native.tickets, native.descriptors

local loops = {}

-- The values of a table. Old LuaJITs compile a loop over `pairs` to one that may not end where the
-- collector changes the table meanwhile.
local function list(values)
  local all = {}
  for _, value in pairs(values) do
    all[#all + 1] = value
  end
  return all
end
if type(jit) == "table" then
  jit.off(list)
end

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

-- In which loop a coroutine waits by way of the poller, until a turn ends its wait, which may be
-- another's: those whom nobody else keeps, and those of a loop that is their owner.
local kept, owned = {}, setmetatable({}, { __mode = "k" })

-- Which loop has heard when the poller's next turn is due: what is news for the others is not told.
local told

-- A loop that watches one descriptor for all waits, the poller's: its `wait` is told when a turn is
-- due if that is sooner than it knew. `arm(seconds)` is to have the loop call `turn` when the
-- poller can be read, and in so many seconds if given; `disarm()` ends that. `pause()` yields until
-- `go_on(coroutine)`; `is_owner` says that the loop itself keeps its coroutines, or has dropped
-- them; `is_turning`, that `turn` is being called, which arms the loop at its end.
local function polled(loop)
  local is_there, poller, why = native.poller(nil)
  if not is_there then
    error(why or "not enough memory", 0)
  end
  local home = loop.is_owner and owned or kept
  -- The tickets that the turn of another loop has found to be over.
  loop.home, loop.over = home, {}

  -- A name for one that begins to wait.
  local function new_name(ticket)
    local fd = ticket % descriptors
    if waiting[fd] then
      return ticket
    end
    tickets[fd] = ticket
    return fd
  end

  local function name_of(ticket)
    local fd = ticket % descriptors
    return tickets[fd] == ticket and fd or ticket
  end

  local function settle()
    told = loop
    local _, count, seconds = native.due(nil)
    if count == 0 and not loop.over[1] then
      loop.disarm()
    else
      loop.arm(seconds)
    end
  end

  -- Has all look for themselves: who has to wait again hears what is wrong with the poller, if it
  -- still is. Those of another loop do so with its own turn.
  local function wake()
    local all = list(waiting)
    for i = 1, #all do
      local its = kept[all[i]] or owned[all[i]]
      if its and still_waits(all[i]) then
        if its == loop then
          loop.go_on(all[i])
        else
          its.arm(0)
        end
      end
    end
  end

  -- Ends the waits with these tickets. Who waits in another loop is not to run within this one:
  -- that loop ends it with a turn of its own.
  local function finish(over)
    for i = 1, #over do
      local name = name_of(over[i])
      local this = waiting[name]
      local its = this and (kept[this] or owned[this])
      if not (its and still_waits(this)) then
        waiting[name] = nil
        if its then
          its.home[this] = nil
        end
      elseif its == loop then
        home[this] = nil
        loop.go_on(this)
      else
        its.over[#its.over + 1] = over[i]
        its.arm(0)
      end
    end
  end

  function loop.turn()
    local handed = loop.over
    if handed[1] then
      loop.over = {}
      finish(handed)
    end
    local ok, over = native.turn(nil)
    if ok then
      finish(over)
    else
      wake()
    end
    settle()
  end

  function loop.wait(ticket, seconds, this)
    local name = new_name(ticket)
    waiting[name], home[this] = this, loop
    if told ~= loop then
      told = loop
      seconds = select(3, native.due(nil))
    end
    if seconds or not loop.is_turning then
      loop.arm(seconds)
    end
    local ok, message = try_yield(loop.pause)
    -- What woke this may have been an earlier wait of its own, which could not yield: then a turn
    -- has cleared the name already, and another may have it.
    if waiting[name] == this then
      waiting[name] = nil
    end
    if home[this] then
      -- Resumed, but not for a turn's sake.
      home[this] = nil
      native.unwatch(nil, ticket)
      settle()
    end
    if not ok then
      error(message, 0)
    end
  end

  function loop.close(fd)
    native.forget(nil, fd)
    settle()
  end

  loop.is_polled = true
  return poller
end

-- Of cqueues, each controller has a coroutine that watches the poller as long as any other of its
-- waits there.
function loops.cqueues(cqueues)
  local condition = require "cqueues.condition"
  local monotime, poll = cqueues.monotime, cqueues.poll
  local loop = { is_owner = true }
  local readable = { pollfd = polled(loop), events = "r" }
  -- How many wait, and which coroutine watches, by controller; what each waits for, by coroutine.
  local controllers = setmetatable({}, { __mode = "k" })
  local conditions = setmetatable({}, { __mode = "k" })
  -- When a turn is due; and what tells those who watch that this, or their end, has come nearer.
  local due, news = nil, condition.new()

  -- A generator within one of cqueues' coroutines would yield to whoever resumed it.
  function loop.inside()
    local controller, is_its_own = cqueues.running()
    if is_its_own then
      return in_coroutine()
    elseif controller and in_coroutine() then
      return nil, "cannot wait in a coroutine inside a task"
    end
  end

  -- Who could not yield on Lua 5.1 is counted for ever; but where nobody waits, nobody needs a
  -- watcher.
  local function is_needed(controller)
    if controller.count == 0 then
      return false
    elseif isyieldable or has_yielding_pcall then
      return true
    end
    local _, count, seconds = native.due(nil)
    loop.arm(seconds)
    return count > 0 or loop.over[1] ~= nil
  end

  local function watcher(controller)
    return function()
      while is_needed(controller) do
        local left = due and due - monotime()
        if not left then
          poll(readable, news)
        elseif left > 0 then
          poll(readable, news, left)
        else
          due = nil
        end
        loop.turn()
      end
      controller.watcher = nil
    end
  end

  local function watch(controller, its)
    if controller.watcher and status(controller.watcher) == "dead" then
      -- It died of an error, as of a debug hook's, and may have lost when a turn is due.
      controller.watcher, due = nil, monotime()
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
      news:signal()
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
    if at and (not due or at < due) then
      due = at
      news:signal()
    end
  end

  function loop.disarm()
    due = nil
  end

  -- Scripts may have cqueues wait for a connection itself.
  local forget = loop.close
  function loop.close(fd)
    cqueues.cancel(fd)
    forget(fd)
  end

  return loop
end

function loops.luv(uv)
  local loop = { inside = in_coroutine, pause = yield }
  local fd = polled(loop)
  local poll, timer, idle
  local is_armed, failure = false, nil

  local function turn()
    loop.is_turning = true
    loop.turn()
    loop.is_turning = false
    if failure then
      local message = failure
      failure = nil
      error(message, 0)
    end
  end

  -- At once, but after what else is due: a timer of 0 ms that starts itself again keeps libuv from
  -- all else, and one of 1 ms is slow.
  local function turn_now()
    idle:stop()
    turn()
  end

  -- Whoever closes all handles of libuv's loop closes these, too.
  local function are_open()
    return poll and not (poll:is_closing() or timer:is_closing() or idle:is_closing())
  end

  function loop.arm(seconds)
    if not are_open() then
      poll, timer, idle = assert(uv.new_poll(fd)), uv.new_timer(), uv.new_idle()
      is_armed = false
      -- The timer that knew has gone.
      seconds = seconds or select(3, native.due(nil))
    end
    if not is_armed then
      is_armed = true
      poll:start("r", turn)
    end
    if seconds == 0 then
      idle:start(turn_now)
    elseif seconds then
      -- A turn may come early.
      timer:start(ceil(min(seconds, 1e6) * 1000), 0, turn)
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
    -- Raised when all whose turn it is have had it.
    if not ok then
      failure = failure or traceback(this, message)
    end
  end

  return loop
end

-- copas waits for sockets of LuaSocket's, and for what looks like one to `select`: here the one
-- descriptor, for which one of two coroutines waits; the other one sleeps until a turn is due.
function loops.copas(copas)
  local major = tonumber(tostring(copas._VERSION):match "(%d+)%.")
  if not major or major < 2 then
    return nil, "copas 2.0 or newer is needed, this is " .. tostring(copas._VERSION)
  end
  local gettime = require("socket").gettime
  local reader, sleeper, due
  local loop = {
    -- Before copas 4 a coroutine begins when it is added, which may be before the loop runs.
    inside = function()
      return (major < 4 or copas.running) and in_coroutine()
    end,
    pause = function()
      copas.sleep(-1)
    end,
    go_on = copas.wakeup,
  }
  local fd = polled(loop)

  -- `receive` says first that there is nothing yet.
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
      loop.turn()
    end
  end

  -- A turn is never made within `arm`, whose caller does not wait yet: copas 2 starts a coroutine
  -- at once.
  local function sleep()
    copas.sleep(0)
    while not socket.over do
      local left = due and due - gettime()
      if left and left <= 0 then
        due = nil
        loop.turn()
      else
        copas.sleep(left or -1)
      end
    end
  end

  -- One that runs, which may have ended, or died of an error.
  local function started(helper, body)
    if helper and status(helper) ~= "dead" then
      return helper
    end
    return copas.addthread(body)
  end

  function loop.arm(seconds)
    socket.over = false
    due = seconds and gettime() + seconds or due
    reader, sleeper = started(reader, read), started(sleeper, sleep)
    if seconds then
      copas.wakeup(sleeper)
    end
  end

  function loop.disarm()
    socket.over, due = true, nil
    if sleeper then
      copas.wakeup(sleeper)
    end
  end

  return loop
end

-- A loop of the script's own: its `wait`, and `close` where it has one.
local function own(wait, close)
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

-- By the library itself: one that is loaded anew in this state is another loop. Coroutines may
-- still wait in one that was in use before.
local made = setmetatable({}, { __mode = "k" })

-- The loop that `tcp.use` names; nil and why not.
return function(which)
  if type(which) == "function" then
    return own(which)
  elseif type(which) == "table" then
    local wait, close = which.wait, which.close
    if type(wait) ~= "function" then
      return nil, "field 'wait': function expected, got " .. type(wait)
    elseif close ~= nil and type(close) ~= "function" then
      return nil, "field 'close': function expected, got " .. type(close)
    end
    return own(wait, close)
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
  local ok, loop, why = pcall(loops[which], library)
  if not ok then
    return nil, tostring(loop)
  end
  made[library] = loop
  return loop, why
end
