-- A loop of a script's own, as small as one can be, that resumes in random order: who is ready,
-- whose time is up, and now and then somebody else.

local MOST_IDLE = 40

return function(tcp, random, progress, with_sleep)
  local loop = { waiting = {} }
  local waiting = loop.waiting

  local function pause(fd, mode, seconds)
    local ends = seconds and tcp.now() + seconds
    waiting[#waiting + 1] = { thread = coroutine.running(), fd = fd, mode = mode, ends = ends }
    return coroutine.yield()
  end

  local functions = { wait = pause }
  if with_sleep then
    function functions.sleep(seconds)
      pause(nil, nil, seconds)
    end
  end
  function functions.close(fd)
    for i = 1, #waiting do
      if waiting[i].fd == fd then
        waiting[i].is_closed = true
      end
    end
  end
  loop.functions = functions

  local function go_on(thread, ...)
    local ok, why = coroutine.resume(thread, ...)
    if not ok then
      error(why, 0)
    end
  end

  function loop.spawn(fn, ...)
    go_on(coroutine.create(fn), ...)
  end

  -- Those that may go on: each keeps its place in `waiting` until it is resumed.
  local function find_ready()
    local readers, writers, ready = {}, {}, {}
    for i = 1, #waiting do
      local wait = waiting[i]
      if wait.is_closed or wait.ends and wait.ends <= tcp.now() or random.chance(3) then
        ready[wait] = true
      elseif wait.fd then
        local list = wait.mode == "r" and readers or writers
        list[#list + 1] = wait.fd
      end
    end
    local can_read, can_write = tcp.poll(readers, writers, 0)
    local found = { r = {}, w = {} }
    for _, fd in ipairs(can_read) do found.r[fd] = true end
    for _, fd in ipairs(can_write) do found.w[fd] = true end
    for i = 1, #waiting do
      if waiting[i].fd and found[waiting[i].mode][waiting[i].fd] then
        ready[waiting[i]] = true
      end
    end
    return ready
  end

  local function turn()
    local ready, order = find_ready(), {}
    for i = #waiting, 1, -1 do
      if ready[waiting[i]] then
        table.insert(order, random.between(1, #order + 1), table.remove(waiting, i))
      end
    end
    for i = 1, #order do
      if coroutine.status(order[i].thread) == "suspended" then
        go_on(order[i].thread, true)
      end
    end
  end

  function loop.run(is_done)
    local idle, before = 0, progress()
    while not is_done() do
      turn()
      idle = progress() == before and idle + 1 or 0
      before = progress()
      if idle > 5 then
        tcp.sleep(0.0005) -- the time of a timeout must pass
      end
      if idle > MOST_IDLE then
        return nil, ("nobody goes on, with %d that wait"):format(#waiting)
      end
    end
    return true
  end

  return loop
end
