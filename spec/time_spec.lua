-- `tcp.now`, `tcp.sleep` and `tcp.using`: blocking, and in the coroutines of each loop.

local helper = require "spec.support.helper"
local loops = require "spec.support.loops"
local tcp = require "tcp"
local safe = require "tcp.safe"

local huge = math.huge

describe("now", function()
  it("counts seconds, on the clock of timings", function()
    local before, outside = tcp.now(), helper.clock()
    helper.takes(0.1, function() before, outside = tcp.now(), helper.clock() end, function() tcp.sleep(0.1) end)
    local took = tcp.now() - before
    assert.is_true(math.abs(took - (helper.clock() - outside)) < 0.02)
    assert.is_true(took >= 0.1)
    local last = tcp.now()
    for _ = 1, 1000 do
      local next_one = safe.now()
      assert.is_true(next_one >= last)
      last = next_one
    end
  end)
end)

describe("sleep", function()
  after_each(function()
    tcp.use(nil)
    helper.finish()
  end)

  it("takes its time, no less and not much more", function()
    for _, seconds in ipairs { 0.001, 0.05, 0.45 } do
      helper.takes(seconds, function() end, function() assert.is_nil(tcp.sleep(seconds)) end)
    end
    helper.takes(0, function() end, function() assert.is_true(safe.sleep(0)) end)
  end)

  it("wants seconds", function()
    helper.misuse("bad argument #1 to 'sleep' (number expected, got nil)", function() tcp.sleep() end)
    helper.misuse("bad argument #1 to 'sleep' (seconds over 0 expected, got -1)", function() safe.sleep(-1) end)
    helper.misuse("bad argument #1 to 'sleep' (number expected, got boolean)", function() tcp.sleep(true) end)
    assert.is_false(pcall(tcp.sleep, 0 / 0))
    assert.is_nil(tcp.sleep "0.001")
  end)

  it("ends at once with Ctrl-C, also for ever", function()
    for _, seconds in ipairs { "5", "math.huge" } do
      local before = helper.clock()
      local said = helper.run(([[
        local tcp = require "tcp"
        local pid = io.open("/proc/self/stat"):read "*n"
        os.execute("(sleep 0.2; kill -INT " .. pid .. ") &")
        io.write(tostring(select(2, pcall(tcp.sleep, %s))))
      ]]):format(seconds))
      -- A host without a handler ends.
      assert.is_true(said == "" or said:find "interrupted!" ~= nil, said)
      assert.is_true(helper.clock() - before < 1.5, "it slept on")
    end
  end)

  for _, loop in ipairs(loops) do
    local function it_runs(title, body)
      it(title .. " in a loop of " .. loop.name, function()
        if not loop.found then return pending(loop.reason) end
        tcp.use(loop.use)
        body()
      end)
    end

    it_runs("lets the others run", function()
      local order, before = {}, helper.clock()
      local function sleeper(name, seconds)
        return function()
          safe.sleep(seconds)
          order[#order + 1] = name
        end
      end
      loop.run(sleeper("c", 0.3), sleeper("a", 0.1), sleeper("d", 0.4), sleeper("b", 0.2))
      local took = helper.clock() - before
      assert.equal("a b c d", table.concat(order, " "))
      assert.is_true(took >= 0.39 and took < 0.8, ("%.2f s"):format(took))
    end)

    it_runs("for 0 seconds lets the others run once", function()
      local order = {}
      local function turns(name)
        return function()
          for i = 1, 3 do
            order[#order + 1] = name .. i
            safe.sleep(0)
          end
        end
      end
      loop.run(turns "a", turns "b")
      -- Nobody is two turns ahead.
      local ahead = 0
      for _, turn in ipairs(order) do
        ahead = ahead + (turn:find "a" and 1 or -1)
        assert.is_true(math.abs(ahead) <= 1, table.concat(order, " "))
      end
      assert.equal(6, #order)
    end)

    it_runs("leaves reads their turns", function()
      local conn = helper.connect([[
        for _ in range(10):
          time.sleep(0.02)
          c.send(b"x")
        c.hold()
      ]], nil, nil, safe)
      local read, slept = 0, 0
      loop.run(function()
        while read < 10 and conn:recv(1) do read = read + 1 end
      end, function()
        while read < 10 do
          safe.sleep(0.01)
          slept = slept + 1
        end
      end)
      assert.equal(10, read)
      assert.is_true(slept >= 5, slept)
    end)

    it_runs("outside of coroutines blocks", function()
      helper.takes(0.1, function() end, function() tcp.sleep(0.1) end)
    end)

    it_runs("leaves no descriptor behind", function()
      local function some()
        local bodies = {}
        for i = 1, 20 do bodies[i] = function() safe.sleep(0.01) end end
        loop.run((table.unpack or unpack)(bodies)) -- luacheck: ignore 143
      end
      local function count()
        collectgarbage()
        collectgarbage()
        return tonumber(helper.output "ls /proc/$PPID/fd | wc -l")
      end
      some()
      local before = count()
      for _ = 1, 5 do some() end
      -- That of the command may not be closed yet.
      assert.is_true(count() <= before + 2)
    end)
  end

  it("gives a loop of the script's own a descriptor for each sleeper, and tells when it goes", function()
    local asked, closed = {}, {}
    tcp.use {
      wait = function(fd, mode, seconds)
        asked[#asked + 1] = fd
        assert(mode == "r")
        return coroutine.yield(seconds)
      end,
      close = function(fd) closed[fd] = true end,
    }
    local one = coroutine.create(function() return tcp.sleep(0.05) end)
    local two = coroutine.create(function() return tcp.sleep(huge) end)
    local _, first = coroutine.resume(one)
    local _, second = coroutine.resume(two)
    assert.is_true(first > 0 and first <= 0.05)
    assert.is_nil(second)
    assert.are_not.equal(asked[1], asked[2])
    assert.same({}, (tcp.poll({ asked[1], asked[2] }, nil, 0)))
    -- A wait that ends early is asked for again.
    assert.is_true(coroutine.resume(one, true))
    assert.equal("suspended", coroutine.status(one))
    tcp.poll({}, nil, 0.06)
    assert.is_true(coroutine.resume(one, false))
    assert.equal("dead", coroutine.status(one))
    assert.is_true(closed[asked[1]])
  end)

  it("uses what a loop of the script's own brings", function()
    local slept = {}
    tcp.use {
      wait = function() error "not asked for" end,
      sleep = function(seconds)
        slept[#slept + 1] = seconds
        return coroutine.yield()
      end,
    }
    local now = coroutine.create(function() return safe.sleep(0) end)
    local ever = coroutine.create(function() return safe.sleep(huge) end)
    assert(coroutine.resume(now))
    assert(coroutine.resume(ever))
    assert.same({ 0, huge }, slept)
    assert.same({ true, true }, { coroutine.resume(now) })
    assert(coroutine.resume(ever))
    assert.equal("suspended", coroutine.status(ever))
    helper.misuse("bad argument #1 to 'use' (field 'sleep': function expected, got number)",
      function() tcp.use { wait = print, sleep = 1 } end)
  end)

  it("raises what the loop's own raises", function()
    tcp.use { wait = print, sleep = function() error("no sleep", 0) end }
    local ok, message = coroutine.resume(coroutine.create(function() tcp.sleep(1) end))
    assert.is_false(ok)
    assert.equal("no sleep", message)
  end)
end)

describe("using", function()
  after_each(function() tcp.use(nil) end)

  it("gives what `use` was last given, so that it can be put back", function()
    assert.is_nil(tcp.using())
    local own = { wait = function() end }
    assert.is_nil(tcp.use(own))
    assert.equal(own, tcp.using())
    assert.equal(own, safe.using())
    pcall(tcp.use, "lov")
    assert.equal(own, tcp.using())
    local before = tcp.using()
    tcp.use(print)
    assert.equal(print, tcp.using())
    assert.is_true(safe.use(before))
    assert.equal(own, tcp.using())
    tcp.use(nil)
    assert.is_nil(tcp.using())
    for _, loop in ipairs(loops) do
      if loop.found and type(loop.use) == "string" then
        tcp.use(loop.use)
        assert.equal(loop.use, tcp.using())
      end
    end
  end)
end)
