-- A loop that watches one descriptor for all waits: the poller's (io/poller.rs).

local native = ...
local error, pairs, select, setmetatable, type = error, pairs, select, setmetatable, type
local status = coroutine.status
local try_yield, still_waits = native.coroutines.try_yield, native.coroutines.still_waits

-- The waiting coroutines: by descriptor if `tickets` has the wait's ticket, or else by claim. These
-- tables are weak, and keep no coroutine alive.
local waiting, tickets, descriptors = native.waiting, native.tickets, native.descriptors

-- Returns the values of a table. Old LuaJITs compile a loop over `pairs` so that it may not end if
-- the collector changes the table meanwhile.
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

-- The loop of each waiting coroutine, until `poll_events` of any loop ends the wait. `kept` keeps
-- its coroutines alive. `owned` is weak, for a loop that keeps them alive itself.
local kept, owned = {}, setmetatable({}, { __mode = "k" })

-- The loop that knows the next timeout. `native` gives no `seconds` for a timeout that is known.
local informed

-- Adds `wait`, `close` and `poll_events` to `loop`; returns the poller's descriptor. A loop has:
--   arm(seconds)       has it call `poll_events` when the descriptor can be read, and in so many
--                      seconds if given
--   disarm()           ends that
--   rearm()            one of the two, as the poller's waits want it
--   pause()            yields until `go_on(coroutine)`
--   is_deferring       whether `go_on` only notes who is to go on, and so may be called anywhere
--   is_owner           whether it keeps its coroutines itself
--   is_polling         whether `poll_events` is being called, which arms it at its end
return function(loop)
  local is_there, poller, why = native.poller(nil)
  if not is_there then
    error(why or "not enough memory", 0)
  end
  local home = loop.is_owner and owned or kept
  -- The tickets of waits that `poll_events` of another loop has found to be over.
  loop.home, loop.over = home, {}

  -- Returns the key in `waiting` for a new wait.
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

  -- Tells the loop when `poll_events` must be called: at once where a wait was ended meanwhile.
  local function rearm()
    informed = loop
    local _, count, seconds = native.next_timeout(nil)
    if loop.over[1] then
      loop.arm(0)
    elseif count == 0 then
      loop.disarm()
    else
      loop.arm(seconds)
    end
  end
  loop.rearm = rearm

  -- Resumes all coroutines after the poller has failed. One that must wait again gets the poller's
  -- error, if it persists. Coroutines of another loop are resumed by that loop.
  local function wake()
    local all = list(waiting)
    for i = 1, #all do
      local its = kept[all[i]] or owned[all[i]]
      if its and still_waits(all[i]) then
        if its == loop or its.is_deferring then
          its.go_on(all[i])
        else
          its.arm(0)
        end
      end
    end
  end

  -- Ends the waits with these tickets. A coroutine of another loop must not run within this loop,
  -- so the other loop ends its wait in its own `poll_events`.
  local function finish(over)
    for i = 1, #over do
      local name = name_of(over[i])
      local this = waiting[name]
      local its = this and (kept[this] or owned[this])
      if not (its and still_waits(this)) then
        waiting[name] = nil
        if its then
          its.home[this] = nil
          -- The script has closed or resumed a task itself: its scheduler hears of the end.
          if its.is_deferring and status(this) == "dead" then
            its.go_on(this)
          end
        end
      elseif its == loop or its.is_deferring then
        its.home[this] = nil
        its.go_on(this)
      else
        its.over[#its.over + 1] = over[i]
        its.arm(0)
      end
    end
  end

  function loop.poll_events()
    local handed = loop.over
    if handed[1] then
      loop.over = {}
      finish(handed)
    end
    local ok, over = native.poll_events(nil)
    if ok then
      finish(over)
    else
      wake()
    end
    rearm()
  end

  function loop.wait(ticket, seconds, this)
    local name = new_name(ticket)
    waiting[name], home[this] = this, loop
    if informed ~= loop then
      informed = loop
      seconds = select(3, native.next_timeout(nil))
    end
    if seconds or not loop.is_polling then
      loop.arm(seconds)
    end
    local ok, message = try_yield(loop.pause)
    -- An earlier wait of this coroutine that could not yield may have woken it. Then `finish` has
    -- already removed the name, and another coroutine may have it.
    if waiting[name] == this then
      waiting[name] = nil
    end
    if home[this] then
      -- It was resumed by something other than `poll_events`.
      home[this] = nil
      native.cancel(nil, ticket)
      rearm()
    end
    if not ok then
      error(message, 0)
    end
  end

  function loop.close(fd)
    native.remove_fd(nil, fd)
    rearm()
  end

  loop.is_polled = true
  return poller
end
