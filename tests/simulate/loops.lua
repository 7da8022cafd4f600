-- loops.lua [COUNT [FIRST [SEED]]]: random work in coroutines of a loop and in tasks, over the
-- module as it is built. The loops are scripted, see fake_luv.lua and own_loop.lua: they decide by
-- a seed who goes on when. Each run checks that
--   what was sent arrives, whole, once and in order
--   a second coroutine on one side of a connection is refused
--   nobody waits for what is there: as long as something is to be done, somebody goes on
--   `run`, `map` and `spawn` end when their tasks have, and tell the failure that came first
--   descriptors, handles and memory are what they were
-- A seed is a run. One that fails is printed; SEED alone runs it again.

local new_random = require "tests.simulate.random"
local new_fake_luv = require "tests.simulate.fake_luv"
local new_own_loop = require "tests.simulate.own_loop"
local tcp = require "tcp"

local FOREVER = 3600
local NAME = "@tcp-simulate-" .. tostring({}):gsub("%W", "")

local listener = tcp.listen_unix(NAME)

-- Two ends of a connection. Neither call has to wait.
local function new_pair()
  local one = tcp.connect_unix(NAME, FOREVER)
  local other = listener:accept(FOREVER)
  other:set_timeout(FOREVER)
  return one, other
end

-- The state of one run.
local world

local function done_something()
  world.steps = world.steps + 1
end

local function check(ok, ...)
  if not ok then
    error(("CHECK " .. select(1, ...)):format(select(2, ...)), 0)
  end
end

-- Starts `fn` as another coroutine of what is around.
local function start(group, fn, ...)
  world.alive = world.alive + 1
  local has_begun = false
  local is_spawned, refusal = pcall(world.spawn, function(...)
    has_begun = true
    done_something()
    local ok, why = pcall(fn, ...)
    world.alive = world.alive - 1
    done_something()
    if not ok then
      if group and not group.first then
        group.first = why
      end
      error(why, 0)
    end
  end, ...)
  if not is_spawned then
    -- The group has been ended already.
    world.alive = world.alive - (has_begun and 0 or 1)
    error(refusal, 0)
  end
end

-- Transfers ---------------------------------------------------------------------------------------

local function text(random, size)
  local piece = ("%d."):format(random.between(1, 1e6))
  return (piece:rep(math.ceil(size / #piece)):sub(1, size))
end

-- What one side sends and the other one reads, step by step.
local function new_script(random)
  local script = {}
  for i = 1, random.between(1, 6) do
    local size = random.one_of { 0, 1, 20, 3000, 3000, 400000 }
    script[i] = { how = random.one_of { "line", "packet", "bytes", "json" }, text = text(random, size) }
  end
  return script
end

local write = {
  line = function(conn, words) conn:send(words, "\n") end,
  packet = function(conn, words) conn:write_packet(words) end,
  bytes = function(conn, words) conn:send(words) end,
  json = function(conn, words) conn:write_json_packet { words } end,
}
local read = {
  line = function(conn) return conn:read_line() end,
  packet = function(conn) return conn:read_packet() end,
  bytes = function(conn, size) return conn:read(size) end,
  json = function(conn) return conn:read_json_packet()[1] end,
}

local function send_all(conn, script, random)
  for _, step in ipairs(script) do
    write[step.how](conn, step.text)
    done_something()
    if random.chance(30) then
      tcp.sleep(0)
    end
  end
end

-- `reading` tells others that this side is taken.
local function read_all(conn, script, reading)
  for i, step in ipairs(script) do
    reading[conn] = true
    local got = read[step.how](conn, #step.text)
    reading[conn] = nil
    check(got == step.text, "step %d, a %s of %d bytes: others were read", i, step.how, #step.text)
    done_something()
  end
end

-- Somebody who comes between.
local function intrude(conn, reading)
  for _ = 1, 3 do
    if reading[conn] then
      local ok, why = pcall(conn.read_line, conn)
      check(not ok and tostring(why):find ": busy: ", "a second reader got %s", tostring(why))
    end
    done_something()
    tcp.sleep(0)
  end
end

local function transfer(group, random)
  local one, other = new_pair()
  local reading = {}
  local left = 0
  local function job(fn, ...)
    start(group, function(...)
      local ok, why = pcall(fn, ...)
      left = left - 1
      if left == 0 or not ok then
        one:close()
        other:close()
      end
      if not ok then
        error(why, 0)
      end
    end, ...)
  end
  local forth, back = new_script(random), random.chance(50) and new_script(random)
  local jobs = { { send_all, one, forth, random }, { read_all, other, forth, reading } }
  if back then
    jobs[#jobs + 1] = { send_all, other, back, random }
    jobs[#jobs + 1] = { read_all, one, back, reading }
  end
  if random.chance(30) then
    jobs[#jobs + 1] = { intrude, other, reading }
  end
  left = #jobs
  while jobs[1] do
    local each = table.remove(jobs, random.between(1, #jobs))
    job(each[1], each[2], each[3], each[4])
  end
end

-- Waits that end in another way than by what comes ------------------------------------------------

-- A reader whose connection is closed by somebody else.
local function close_under(group, random)
  local one, other = new_pair()
  start(group, function()
    local ok, why = pcall(one.read_line, one)
    check(not ok and tostring(why):find ": closed: " or tostring(why):find ": cancelled: ",
      "the reader of a closed connection got %s", tostring(why))
    other:close()
    if tostring(why):find ": cancelled: " then
      one:close()
      error(why, 0)
    end
  end)
  start(group, function()
    for _ = 1, random.between(0, 3) do
      tcp.sleep(0)
    end
    one:close()
  end)
end

-- A read whose time is up, which must not lose what comes later.
local function time_out(group, random)
  local one, other = new_pair()
  start(group, function()
    one:set_timeout(random.one_of { 0.0001, 0.001 })
    local ok, why = pcall(one.read, one, 4)
    check(not ok and tostring(why):find ": timeout: " or tostring(why):find ": cancelled: ",
      "a read that nothing came for got %s", tostring(why))
    other:send "12"
    pcall(one.read, one, 4)
    other:send "34"
    one:set_timeout(FOREVER)
    check(one:read(4) == "1234", "a read after a timeout lost something")
    one:close()
    other:close()
  end)
end

local function wait_and_poll(group, random)
  local one, other = new_pair()
  start(group, function()
    local ready = tcp.poll({ one }, nil, FOREVER)
    check(ready[1] == one and one:read_line() == "x", "poll gave something else")
    done_something()
    one:close()
    other:close()
  end)
  start(group, function()
    for _ = 1, random.between(0, 3) do
      tcp.sleep(0)
    end
    other:send "x\n"
  end)
end

local work = { transfer, transfer, transfer, close_under, time_out, wait_and_poll }

-- Tasks -------------------------------------------------------------------------------------------

local family

-- Runs `fn` in a group of its own, and checks how that ends.
local function run_group(fn)
  local group = {}
  local spawn_before, alive_before = world.spawn, world.alive
  local own, inside = 0, nil
  local function counted(task, ...)
    tcp.spawn(function(...)
      own = own + 1
      world.spawn = inside
      local ok, why = pcall(task, ...)
      own = own - 1
      if not ok then
        error(why, 0)
      end
    end, ...)
  end
  inside = counted
  world.spawn = counted
  local ok, why = pcall(tcp.run, function()
    local fine, what = pcall(fn, group)
    if not fine then
      group.first = group.first or what
      error(what, 0)
    end
    return "value"
  end)
  world.spawn = spawn_before
  done_something()
  local is_cancelled = not ok and tostring(why):find "cancelled: the task was ended"
  if group.first and not is_cancelled then
    check(not ok and why == group.first, "run gave %s, the first failure was %s", tostring(why), tostring(group.first))
  elseif not is_cancelled then
    check(ok and why == "value", "run gave %s", tostring(why))
  end
  check(own <= 0 or is_cancelled, "run ended before %d of its tasks", own)
  return alive_before, ok, why
end

local function map_some(random)
  local list = {}
  for i = 1, random.between(0, 12) do
    list[i] = i
  end
  local at_once, most = 0, random.one_of { 1, 2, 5, 100 }
  local turns = {}
  for i = 1, #list do
    turns[i] = random.between(0, 3)
  end
  local fails = random.between(1, 20)
  local results, errors = tcp.map(list, function(item, index)
    at_once = at_once + 1
    check(at_once <= most, "map: %d at once, %d asked for", at_once, most)
    check(item == index, "map: item %d at %d", item, index)
    for _ = 1, turns[index] do
      tcp.sleep(0)
    end
    at_once = at_once - 1
    done_something()
    if index == fails then
      error("failed " .. index, 0)
    end
    return 2 * item
  end, { concurrency = most })
  for i = 1, #list do
    if i == fails then
      check(results[i] == nil and errors[i] == "failed " .. i, "map: %s", tostring(errors[i]))
    else
      check(results[i] == 2 * i and errors[i] == nil, "map: %s, %s", tostring(results[i]), tostring(errors[i]))
    end
  end
end

-- What one task does: work, tasks and groups of its own, and perhaps a failure.
function family(group, random, depth)
  for _ = 1, random.between(1, 3) do
    local choice = random.between(1, 10)
    if choice <= 4 then
      random.one_of(work)(group, random)
    elseif choice == 5 then
      tcp.sleep(0)
    elseif choice == 6 then
      coroutine.yield()
    elseif choice == 7 then
      map_some(random)
    elseif choice == 8 and depth < 2 then
      start(group, family, group, random, depth + 1)
    elseif choice == 9 and depth < 2 then
      local _, ok, why = run_group(function(inner) family(inner, random, depth + 1) end)
      if not ok and tostring(why):find "cancelled: the task was ended" then
        error(why, 0)
      end
    elseif choice == 10 and random.chance(40) then
      local why = ("failure %d"):format(random.between(1, 1e6))
      if group and not group.first then
        group.first = why
      end
      error(why, 0)
    end
    done_something()
  end
end

-- Runs --------------------------------------------------------------------------------------------

local function is_done()
  return world.alive == 0
end

local function many(group, random)
  for _ = 1, random.between(1, 4) do
    random.one_of(work)(group, random)
  end
end

local function steps()
  return world.steps
end

-- Each runs its share of the work, and gives why it could not, if it could not.
local scenes = {}

function scenes.tasks(random)
  run_group(function(group) family(group, random, 0) end)
end

local function in_loop(random, spawn, run)
  world.spawn = spawn
  many(nil, random)
  if random.chance(50) then
    start(nil, function()
      run_group(function(group) family(group, random, 0) end)
    end)
  end
  local ok, why = run(is_done)
  tcp.use(nil)
  return not ok and why or nil
end

-- One library for all runs: the module keeps each that was in use.
local uv = new_fake_luv(tcp)

function scenes.luv(random)
  uv.begin(random, steps)
  package.loaded.luv = uv
  tcp.use "luv"
  local why = in_loop(random, function(fn, ...) coroutine.wrap(fn)(...) end, uv.run)
  package.loaded.luv = nil
  -- A loop ends when no handle waits, which it finds out in its next turns.
  if not why and not uv.run(function() return uv.active() == 0 end) then
    why = ("%d handles are left"):format(uv.active())
  end
  return why
end

function scenes.own(random)
  local own = new_own_loop(tcp, random, steps, random.chance(50))
  tcp.use(own.functions)
  return in_loop(random, own.spawn, own.run)
end

local names = { "tasks", "luv", "luv", "own" }

local function run(seed)
  local random = new_random(seed)
  world = { steps = 0, alive = 0, spawn = nil }
  local scene = random.one_of(names)
  local ok, why = pcall(scenes[scene], random)
  tcp.use(nil)
  local failure = not ok and why or why
  if failure then
    return ("%s: %s"):format(scene, tostring(failure))
  end
end

-- The descriptor that the next connection gets.
local function next_descriptor()
  collectgarbage()
  collectgarbage()
  local conn = tcp.connect_unix(NAME, FOREVER)
  local fd = conn:fd()
  conn:close()
  listener:accept(FOREVER):close()
  return fd
end

local count, first, only = tonumber(arg[1] or 1000), tonumber(arg[2] or 1), tonumber(arg[3])
if only then
  count, first = 1, only
end
for seed = -20, -1 do
  run(seed * -7919)
end
local began, fd, memory, total = tcp.now(), next_descriptor(), collectgarbage "count", 0
local failures = 0
for seed = first, first + count - 1 do
  local failure = run(seed)
  total = total + world.steps
  if not failure and seed % 10 == 0 then
    local now = next_descriptor()
    if now ~= fd then
      failure = ("descriptors are left open by this or the nine before: %d, %d before"):format(now, fd)
      fd = now
    end
  end
  if failure then
    failures = failures + 1
    print(("simulate loops: seed %d: %s"):format(seed, failure))
    if failures == 5 then
      break
    end
  end
end
world = nil
collectgarbage()
collectgarbage()
local growth = collectgarbage "count" - memory
-- LuaJIT keeps what it compiles.
if growth > (type(jit) == "table" and 2048 or 64) then
  failures = failures + 1
  print(("simulate loops: %.0f KiB of memory are left"):format(growth))
end
print(("simulate loops: %s, seeds %d to %d, %d steps, %.1f s, %+.0f KiB: %s"):format(
  type(jit) == "table" and jit.version or _VERSION, first, first + count - 1, total, tcp.now() - began, growth,
  failures == 0 and "all well" or "FAILED"))
os.exit(failures == 0 and 0 or 1)
