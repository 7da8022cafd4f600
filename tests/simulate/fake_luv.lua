-- What the module uses of luv, by a loop that calls back in random order, too often, and never
-- without being asked: a handle that is stopped is not called. `run` ends when `is_done`, or says
-- why it cannot.

-- Turns in which nothing goes on, although each handle that waits was called.
local MOST_IDLE = 40

return function(tcp)
  local uv = {}
  local handles, random, progress = {}, nil, nil

  -- Begins a run, with all handles of the last one closed, as a script may close them.
  function uv.begin(its_random, its_progress)
    for i = 1, #handles do
      handles[i]:close()
    end
    handles, random, progress = {}, its_random, its_progress
  end

  local function new_handle(kind)
    local handle = { kind = kind }
    handles[#handles + 1] = handle

    function handle.start(self, ...)
      assert(not self.is_closed, "a closed handle is started")
      self.callback = select(select("#", ...), ...)
      assert(type(self.callback) == "function", "a callback expected")
    end

    function handle.stop(self)
      self.callback = nil
    end

    function handle.is_closing(self)
      return self.is_closed or false
    end

    function handle.close(self)
      self.is_closed, self.callback = true, nil
    end

    return handle
  end

  function uv.new_poll(fd)
    assert(type(fd) == "number", "a descriptor expected")
    return new_handle "poll"
  end

  function uv.new_timer()
    return new_handle "timer"
  end

  function uv.new_idle()
    return new_handle "idle"
  end

  -- Handles that wait to be called.
  function uv.active()
    local count = 0
    for i = 1, #handles do
      if handles[i].callback then
        count = count + 1
      end
    end
    return count
  end

  -- A timer may be early, and a descriptor may not be readable any more.
  local function turn(is_last)
    local order = {}
    for i = 1, #handles do
      table.insert(order, random.between(1, #order + 1), handles[i])
    end
    for i = 1, #order do
      local handle = order[i]
      local is_called = is_last or handle.kind == "idle" or random.chance(handle.kind == "poll" and 70 or 10)
      if handle.callback and is_called then
        handle.callback()
      end
    end
  end

  function uv.run(is_done)
    local idle, before = 0, progress()
    while not is_done() do
      turn(idle > 5)
      idle = progress() == before and idle + 1 or 0
      before = progress()
      if idle > 5 then
        tcp.sleep(0.0005) -- the time of a timeout must pass
      end
      if idle > MOST_IDLE then
        return nil, ("nobody goes on, with %d handles that wait"):format(uv.active())
      end
    end
    return true
  end

  return uv
end
