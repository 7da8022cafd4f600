-- The event loops that specs run coroutines in: those that `tcp.use` knows by name, as far as this
-- Lua has them, one of a script's own, "own", and the tasks of `tcp.run`, "run". Each is
--   name
--   use         the argument for `tcp.use`
--   found       whether the loop is installed
--   reason      why not
--   run(...)    runs functions as coroutines of the loop until all have ended; raises the error of
--               any of them

local helper = require "spec.support.helper"
local tcp = require "tcp"

local unpack = table.unpack or unpack -- luacheck: ignore 143

-- PUC Lua 5.1 cannot yield across pcall: there, the loop itself handles errors.
local has_yielding_pcall = coroutine.wrap(function()
  return pcall(coroutine.yield, true)
end)() == true

-- Wraps `body` so that its error is kept, and the loop does not see it.
local function guarded(body, failures)
  if not has_yielding_pcall then return body end
  return function()
    local ok, failure = pcall(body)
    if not ok then failures[#failures + 1] = { failure } end
  end
end

local runners = {}

function runners.cqueues(cqueues, bodies)
  local loop = cqueues.new()
  for _, body in ipairs(bodies) do loop:wrap(body) end
  local ok, failure = loop:loop()
  if not ok then error(failure, 0) end
end

function runners.copas(copas, bodies)
  for _, body in ipairs(bodies) do copas.addthread(body) end
  copas.loop()
end

function runners.luv(uv, bodies)
  for _, body in ipairs(bodies) do coroutine.wrap(body)() end
  uv.run()
end

local all = {}
for _, name in ipairs { "cqueues", "copas", "luv" } do
  local found, reason = helper.loop(name)
  all[#all + 1] = {
    name = name,
    use = name,
    found = found ~= nil,
    reason = reason,
    library = found,
    run = function(...)
      local failures, bodies = {}, {}
      for i = 1, select("#", ...) do bodies[i] = guarded(select(i, ...), failures) end
      runners[name](found, bodies)
      if failures[1] then error(failures[1][1], 0) end
    end,
  }
end

-- A loop as a script may have one: a list of waits, and tcp.poll. ---------------------------------

local waits = {}

local function wait(fd, mode, seconds)
  local one = { fd = fd, mode = mode, coroutine = coroutine.running(), till = seconds and helper.clock() + seconds }
  waits[#waits + 1] = one
  return coroutine.yield()
end

local function close(fd)
  for _, one in ipairs(waits) do
    if one.fd == fd then one.fd = nil end
  end
end

-- Waits for the first descriptor that is ready, and resumes the coroutines of all that are.
local function turn()
  local readers, writers, seconds = {}, {}, math.huge
  local now = helper.clock()
  for _, one in ipairs(waits) do
    local list = one.mode == "r" and readers or writers
    list[#list + 1] = one.fd
    seconds = math.max(0, math.min(seconds, not one.fd and 0 or one.till and one.till - now or math.huge))
  end
  local ready = {}
  for mode, fds in pairs { r = readers, w = writers } do ready[mode] = { list = fds } end
  ready.r.got, ready.w.got = tcp.poll(readers, writers, seconds)
  local is_ready = { r = {}, w = {} }
  for mode, each in pairs(ready) do
    for _, fd in ipairs(each.got) do is_ready[mode][fd] = true end
  end
  local before = waits
  waits = {}
  now = helper.clock()
  for _, one in ipairs(before) do
    local has_come = not one.fd or is_ready[one.mode][one.fd] or false
    if has_come or one.till and one.till <= now then
      local ok, failure = coroutine.resume(one.coroutine, has_come)
      if not ok then error(failure, 0) end
    else
      waits[#waits + 1] = one
    end
  end
end

all[#all + 1] = {
  name = "own",
  use = { wait = wait, close = close },
  found = true,
  run = function(...)
    for _, body in ipairs { ... } do
      local ok, failure = coroutine.resume(coroutine.create(body))
      if not ok then error(failure, 0) end
    end
    while waits[1] do turn() end
  end,
}

-- The module's own, which needs no `tcp.use`.
all[#all + 1] = {
  name = "run",
  found = true,
  run = function(...)
    tcp.run(function(...)
      for _, body in ipairs { ... } do tcp.spawn(body) end
    end, ...)
  end,
}

for _, loop in ipairs(all) do
  all[loop.name] = loop
  -- The same with `tcp.use` set to the loop meanwhile.
  function loop.within(...)
    tcp.use(loop.use)
    local results = { pcall(loop.run, ...) }
    tcp.use(nil)
    if not results[1] then error(results[2], 0) end
    return unpack(results, 2)
  end
end

-- A function that lets the other coroutines of a loop run for 10 ms: it reads from a connection on
-- which nothing comes.
function all.pause()
  local idle = helper.connect([[ c.hold() ]], { timeout = 0.01, connect_timeout = helper.timeout }, nil,
    require "tcp.safe")
  return function() idle:recv() end
end

-- A test that runs in a loop has no other loops within.
if os.getenv "TCP_SPEC_LOOP" then
  for i = #all, 1, -1 do all[i] = nil end
end

all.has_yielding_pcall = has_yielding_pcall

return all
