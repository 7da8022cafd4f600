-- Tasks: `tcp.run` and `tcp.spawn`; `tcp.map` is in map.lua. A scheduler resumes coroutines, which
-- wait by way of the poller. While none can go on, it waits itself as whatever called it does: it
-- yields to the loop around it, or blocks.
--
-- A task belongs to a group, which is one `run` or one item of `map`. A group's first failure ends
-- all its tasks: each of their calls that would have to wait raises `cancelled`.

local native = ...
local create, resume, yield = coroutine.create, coroutine.resume, coroutine.yield
local running, status = coroutine.running, coroutine.status
local error, ipairs, pairs, pcall, select = error, ipairs, pairs, pcall, select
local setmetatable, type = setmetatable, type
local unpack = table.unpack or unpack -- luacheck: ignore 113 143
local coroutines = native.coroutines
local in_coroutine, has_yielding_pcall = coroutines.in_coroutine, coroutines.has_yielding_pcall

-- What a task yields where it waits. What it yields by itself is something else.
local WAIT = {}
-- As often a task that was ended may go on.
local MOST = 100
local GENERATOR = "cannot wait in a coroutine inside a task"
-- So many seconds a scheduler waits at a time in the loop around it. A script may close the
-- coroutine in which it waits: then nobody ends its wait, and the loop would have to wait for ever.
local LONGEST = 1

-- The task that runs, if any; and all tasks by their coroutines.
local current
local tasks = setmetatable({}, { __mode = "kv" })

local function cancelled(operation)
  return ("%s: %s: the task was ended"):format(operation, "cancelled")
end

local function bad_argument(number, operation, what)
  return ("bad argument #%s to '%s' (%s)"):format(number, operation, what)
end

-- What is wrong with the type of an argument, if anything.
local function wrong_type(number, operation, value, expected)
  if type(value) ~= expected then
    local got = value == nil and "nil" or type(value)
    return bad_argument(number, operation, ("%s expected, got %s"):format(expected, got))
  end
end

local function pack(...)
  return { n = select("#", ...), ... }
end

-- A task's coroutine. Its failure is caught within, so that its `<close>` variables are closed
-- there, and may wait. PUC Lua 5.1 could not yield across that, and makes no coroutines of C
-- functions.
local body = has_yielding_pcall and pcall or function(fn, ...)
  return true, fn(...)
end

-- Ends a scheduler's wait: one of its tasks can go on.
local function wake(scheduler)
  local ticket, outer = scheduler.ticket, scheduler.outer
  if ticket then
    scheduler.ticket = nil
    native.cancel(nil, ticket)
    outer.over[#outer.over + 1] = ticket
    outer.arm(0)
  elseif scheduler.is_idle then
    native.wake(nil, scheduler.number)
  end
end

local function make_ready(task)
  if not task.is_ready then
    local scheduler = task.group.scheduler
    local last = scheduler.last + 1
    -- Memory may be refused here, before anything has changed.
    scheduler.ready[last] = task
    scheduler.last, task.is_ready = last, true
    wake(scheduler)
  end
end

-- The loop of tasks, as `wait` of the shim knows one. `arm` has nothing to do: a scheduler asks for
-- the next timeout when it begins to wait.
local loop = { is_owner = true, is_deferring = true, arm = function() end, disarm = function() end }
local poller

function loop.inside()
  if not current then
    return nil
  elseif running() ~= current.thread then
    return nil, GENERATOR
  end
  return in_coroutine()
end

function loop.pause()
  yield(WAIT)
end

function loop.go_on(this)
  if tasks[this] then
    make_ready(tasks[this])
  end
end

-- Whether the task that runs was ended, which counts. One that goes on all the same yields at last,
-- where it can, and is not resumed any more.
function loop.is_cancelled(this)
  if not (current and current.is_cancelled) then
    return false
  end
  current.cancels = current.cancels + 1
  return current.cancels <= MOST or not this
end

poller = native.polled(loop)

-- A task that is not resumed any more leaves no wait in the poller.
local wait = loop.wait
function loop.wait(ticket, seconds, this)
  if current.cancels > MOST then
    native.cancel(nil, ticket)
    yield(WAIT)
  end
  wait(ticket, seconds, this)
end

-- Groups ------------------------------------------------------------------------------------------

-- `done(group)` is called when all tasks have ended. `parent` is the task in which it began.
local function new_group(scheduler, parent, done)
  return { scheduler = scheduler, count = 0, done = done, is_cancelled = parent and parent.is_cancelled }
end

local function add_task(group, fn, ...)
  local task = {
    group = group, thread = create(body), values = pack(fn, ...), cancels = 0, is_cancelled = group.is_cancelled,
  }
  tasks[task.thread] = task
  -- Memory may be refused: the count says what is there.
  task.place = group.count + 1
  group[task.place] = task
  group.count = task.place
  group.main = group.main or task
  return task
end

-- Ends a group: who waits goes on and hears of it. What it waits for ends first, where that is a
-- group of its own.
local function cancel(group)
  local groups = { group }
  for _, each in ipairs(groups) do
    each.is_cancelled = true
    for i = 1, each.count do
      local task = each[i]
      task.is_cancelled = true
      if task.inner then
        groups[#groups + 1] = task.inner
      else
        make_ready(task)
      end
    end
    groups[#groups + 1] = each.timer
    for item in pairs(each.items or {}) do
      groups[#groups + 1] = item
    end
  end
end

local function begin(group)
  if group.begin then
    group.begin(group)
  else
    make_ready(group.main)
  end
end

local function end_task(task, ok, ...)
  if task.is_ended then
    return
  end
  local group = task.group
  local count = group.count
  local last = group[count]
  group[task.place], last.place = last, task.place
  group.count = count - 1
  group[count] = nil
  task.is_ended = true
  if not ok and not group.failure then
    group.failure = { (...) }
    cancel(group)
  elseif ok and task == group.main then
    group.values = pack(...)
  end
  if group.count == 0 then
    group.done(group)
  end
end

-- What a task has done when it was resumed.
local function after(task, ok, ...)
  if not ok then
    return end_task(task, false, ...)
  elseif status(task.thread) == "dead" then
    return end_task(task, ...)
  end
  local first, inner = ...
  if first ~= WAIT then
    task.values = pack(...)
    if task.is_cancelled then
      task.cancels = task.cancels + 1
    end
    make_ready(task)
  elseif inner then
    task.inner = inner
    begin(inner)
  end
  if task.cancels > MOST then
    task.inner = nil
    end_task(task, true)
  end
end

-- Schedulers --------------------------------------------------------------------------------------

local schedulers = 0

local function new_scheduler()
  schedulers = schedulers + 1
  return { number = schedulers, ready = {}, first = 1, last = 0 }
end

-- Resumes each that could go on when this began.
local function resume_ready(scheduler)
  local ready, last = scheduler.ready, scheduler.last
  while scheduler.first <= last do
    local task = ready[scheduler.first]
    ready[scheduler.first] = nil
    scheduler.first = scheduler.first + 1
    if not task.is_ended then
      task.is_ready, current = false, task
      local values = task.values
      if values then
        task.values = nil
        after(task, resume(task.thread, unpack(values, 1, values.n)))
      else
        after(task, resume(task.thread))
      end
    end
  end
end

-- Waits until a task may go on, or lets the loop around run once if one can. Gives why it must not
-- wait, if it must not.
local function rest(scheduler, is_busy)
  local outer, this, why = native.innermost(), nil, nil
  if outer then
    this, why = outer.inside()
  end
  if why then
    return why
  elseif this and outer.is_polled then
    local ok, ticket, seconds = native.add_timer(nil, is_busy and 0 or LONGEST)
    if not ok then
      error(seconds, 0)
    end
    scheduler.ticket, scheduler.outer = ticket, outer
    native.wait_for(nil, ticket, seconds)
    scheduler.ticket = nil
    return
  end
  local seconds = is_busy and 0 or select(3, native.next_timeout(nil))
  if this then
    scheduler.is_idle = true
    native.call(native.idle, scheduler.number, seconds)
    scheduler.is_idle = false
  elseif seconds ~= 0 then
    native.wait(nil, 0, seconds, poller, false)
  end
end

-- Runs until a group has ended. Gives why it must not wait, if it must not.
local function drive(scheduler, group)
  local before = current
  while true do
    local loop_before = native.set_tasks(loop)
    local ok, message = pcall(resume_ready, scheduler)
    current = before
    native.set_tasks(loop_before)
    if not ok then
      error(message, 0)
    elseif group.is_over then
      -- The loop around it may sleep for a wait of a task that was ended.
      local outer = native.innermost()
      if outer and outer.is_polled then
        outer.rearm()
      end
      return
    end
    local is_busy, why = scheduler.first <= scheduler.last, nil
    if not group.is_ending then
      why = rest(scheduler, is_busy)
    end
    if why or group.is_ending and not is_busy then
      return why
    end
    loop.poll_events()
  end
end
-- A compiled loop would not look whether a signal came.
if type(jit) == "table" then
  jit.off(drive)
end

-- Ends what is left when the scheduler itself was interrupted, as by Ctrl-C.
local function abandon(scheduler, group)
  if scheduler.ticket then
    native.cancel(nil, scheduler.ticket)
  end
  scheduler.is_idle, scheduler.ticket = false, nil
  scheduler.ready, scheduler.first, scheduler.last = {}, 1, 0
  group.is_ending = true
  local groups = { group }
  for _, each in ipairs(groups) do
    for i = each.count, 1, -1 do
      local task = each[i]
      groups[#groups + 1] = task.inner
      task.is_ready = false
      if status(task.thread) == "dead" then
        end_task(task, true)
      end
    end
    groups[#groups + 1] = each.timer
    for item in pairs(each.items or {}) do
      groups[#groups + 1] = item
    end
  end
  cancel(group)
  if not group.is_over then
    drive(scheduler, group)
  end
end

local function call_plain(fn, ...)
  return true, fn(...)
end

-- An interrupt may come between any two steps, and leave a task as the one that runs.
local function restore(task, tasks_before)
  current = task
  native.set_tasks(tasks_before)
end

-- Runs a group that begins outside of tasks, or where a task cannot yield. PUC Lua 5.1 cannot yield
-- across pcall, and drops there what was interrupted.
local function run_here(group)
  local scheduler, outer = group.scheduler, native.innermost()
  local task, tasks_before = current, native.tasks()
  begin(group)
  local may_yield = not has_yielding_pcall and outer and outer.inside()
  local try = may_yield and call_plain or pcall
  local ok, why = try(drive, scheduler, group)
  if not ok then
    restore(task, tasks_before)
  end
  if (not ok or why) and not try(abandon, scheduler, group) then
    restore(task, tasks_before)
  end
  if not ok then
    error(why, 0)
  end
  return why
end

local function is_over(group)
  group.is_over = true
end

-- Begins a group in the task that runs, which waits until the group is done.
local function wait_for_group(group)
  local task = current
  function group.done()
    if task.inner == group then
      task.inner = nil
      make_ready(task)
    end
  end
  yield(WAIT, group)
end

-- The group that was run to its end; or nil and why not.
local function run(fn, ...)
  local wrong = wrong_type(1, "run", fn, "function")
  if wrong then
    return nil, wrong
  end
  local task = current
  if not (task and running() == task.thread and in_coroutine()) then
    local group = new_group(new_scheduler(), task, is_over)
    add_task(group, fn, ...)
    local why = run_here(group)
    return not why and group, why
  end
  local was_cancelled = task.is_cancelled
  if was_cancelled then
    task.cancels = task.cancels + 1
    if task.cancels > MOST then
      yield(WAIT)
    end
  end
  local group = new_group(task.group.scheduler, task)
  add_task(group, fn, ...)
  wait_for_group(group)
  if not group.failure and task.is_cancelled and not was_cancelled then
    group.failure = { cancelled "run" }
  end
  return group
end

-- What `run` gives of a group: what its function gave, or what was raised first.
local function results(group)
  if group.failure then
    error(group.failure[1], 0)
  end
  local values = group.values or pack()
  return unpack(values, 1, values.n)
end

-- Why not, if it cannot.
local function spawn(fn, ...)
  local wrong = wrong_type(1, "spawn", fn, "function")
  if wrong then
    return wrong
  elseif not current then
    return "bad call of 'spawn' (only a function that tcp.run or tcp.map calls can)"
  elseif current.is_cancelled then
    return cancelled "spawn"
  end
  make_ready(add_task(current.group, fn, ...))
end

return {
  loop = loop, run = run, results = results, spawn = spawn,
  -- For map.lua.
  add_task = add_task, bad_argument = bad_argument, cancel = cancel, cancelled = cancelled, make_ready = make_ready,
  new_group = new_group, wait_for_group = wait_for_group, wrong_type = wrong_type,
  current = function() return current end,
}
