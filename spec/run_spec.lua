-- `tcp.run`, `tcp.spawn` and `tcp.map`: tasks without another library, blocking and in each loop.

local helper = require "spec.support.helper"
local loops = require "spec.support.loops"
local tcp = require "tcp"
local safe = require "tcp.safe"

local unpack = table.unpack or unpack -- luacheck: ignore 143
local load = loadstring or load -- luacheck: ignore 113 143
local run, spawn, map = tcp.run, tcp.spawn, tcp.map

-- PUC Lua 5.1 cannot yield across pcall.
local can_catch = loops.has_yielding_pcall

-- A peer that says nothing.
local function silent()
  return helper.listen([[ c.hold() ]]).port
end

local function connect(options)
  return (helper.connect([[ c.hold() ]], options or { timeout = 30 }))
end

local function failing(fn, ...)
  local ok, failure = pcall(fn, ...)
  assert.is_false(ok)
  return failure
end

describe("run", function()
  after_each(function()
    tcp.use(nil)
    helper.finish()
  end)

  it("gives what its function gives, nils among it", function()
    assert.same({ 2, "x" }, { run(function(a, b) return b + 1, a end, "x", 1) })
    assert.equal(4, select("#", run(function() return 1, nil, nil, nil end)))
    assert.equal(0, select("#", run(function(...) assert(select("#", ...) == 0) end)))
    assert.equal(3, select("#", safe.run(function(...) return ... end, nil, nil, nil)))
    assert.same({ "a", nil, "c" }, { run(function() return tcp.sleep(0.01) or "a", nil, "c" end) })
  end)

  it("takes a function that is C's, too", function()
    assert.equal("7", run(tostring, 7))
    local conn = helper.connect [[ c.send(b"12345") ]]
    assert.equal("123", run(conn.read, conn, 3))
  end)

  it("wants a function", function()
    helper.misuse("bad argument #1 to 'run' (function expected, got nil)", function() tcp.run() end)
    helper.misuse("bad argument #1 to 'run' (function expected, got table)", function() safe.run {} end)
    run(function()
      helper.misuse("bad argument #1 to 'spawn' (function expected, got string)", function() tcp.spawn "x" end)
      helper.misuse("bad argument #1 to 'run' (function expected, got number)", function() tcp.run(1) end)
    end)
  end)

  it("has spawn say that it is outside, also when a run is over", function()
    local words = "bad call of 'spawn' (only a function that tcp.run or tcp.map calls can)"
    helper.misuse(words, function() tcp.spawn(print) end)
    run(function() end)
    failing(run, error, "x")
    helper.misuse(words, function() safe.spawn(print) end)
    local thread = coroutine.wrap(function() return pcall(tcp.spawn, print) end)
    assert.is_false((thread()))
  end)

  it("waits for all that were spawned, by whomever", function()
    local ended = {}
    local function leaf(name) return function() tcp.sleep(0.02) ended[#ended + 1] = name end end
    assert.equal("result", run(function(first)
      assert.is_nil(tcp.spawn(leaf(first)))
      assert.is_true(safe.spawn(function(...)
        assert.same({ 1, 2 }, { ... })
        spawn(leaf "b")
        spawn(spawn, leaf "c")
      end, 1, 2))
      return "result"
    end, "a"))
    table.sort(ended)
    assert.equal("a b c", table.concat(ended, " "))
  end)

  it("takes the time of the longest", function()
    local count, before = 0, helper.clock()
    run(function()
      for i = 1, 300 do spawn(function() tcp.sleep(0.1 + i / 3000) count = count + 1 end) end
    end)
    local took = helper.clock() - before
    assert.equal(300, count)
    assert.is_true(took >= 0.18 and took < 0.6, took)
  end)

  it("blocks where nobody else can go on, without work", function()
    local cpu = os.clock()
    run(function() tcp.sleep(0.5) end)
    assert.is_true(os.clock() - cpu < 0.1)
  end)

  it("exchanges data between tasks over TCP and TLS", function()
    local listener = helper.keep(tcp.listen("127.0.0.1", 0))
    local secure = helper.keep(tcp.listen("127.0.0.1", 0,
      { tls = { cert_file = helper.pem "good", key_file = helper.pem("good", "key") } }))
    local function serve(listening, count)
      for _ = 1, count do
        spawn(function(conn)
          conn:write_json_packet { got = conn:read_json_packet() }
          conn:shutdown()
          conn:close()
        end, listening:accept(5))
      end
    end
    local sum = 0
    run(function()
      spawn(serve, listener, 20)
      spawn(serve, secure, 5)
      for i = 1, 25 do
        spawn(function()
          local conn = i <= 20 and tcp.connect("127.0.0.1", listener:port(), 5)
            or tcp.connect_tls("localhost", secure:port(), { timeout = 5, ca_file = helper.pem "root" })
          conn:write_json_packet(i)
          local got = conn:read_json_packet().got
          sum = sum + got
          conn:close()
        end)
      end
    end)
    assert.equal(25 * 26 / 2, sum)
  end)

  it("raises the first error as it was, when all have ended", function()
    local problem, later = { "as it was" }, false
    assert.equal(problem, failing(run, function()
      spawn(function()
        if can_catch then pcall(tcp.sleep, 5) else tcp.sleep(5) end
        later = true
        error "not the first"
      end)
      tcp.sleep(0.01)
      error(problem)
    end))
    assert.equal(can_catch, later)
    assert.equal("text", failing(run, function() error("text", 0) end))
    assert.matches("^spec/run_spec.lua:%d+: here$", failing(safe.run, function()
      spawn(function() error "here" end)
    end))
    local ok, failure = pcall(run, function() error() end)
    assert.is_false(ok)
    assert.is_true(failure == nil or type(failure) == "string")
  end)

  it("ends the others where they wait", function()
    local conn, told, before = connect(), {}, helper.clock()
    local port, listener = silent(), helper.keep(tcp.listen("127.0.0.1", 0))
    local full = helper.listen("", { full = true }).port
    local waits = {
      { "read_line 127%.0%.0%.1:%d+", function() conn:read_line() end },
      { "sleep", function() tcp.sleep(math.huge) end },
      { "poll", function() tcp.poll({ connect() }, nil, 30) end },
      { "accept 127%.0%.0%.1:%d+", function() listener:accept() end },
      { "connect 127%.0%.0%.1:%d+", function() tcp.connect("127.0.0.1", full, 30) end },
      { "connect_tls 127%.0%.0%.1:%d+", function() tcp.connect_tls("127.0.0.1", port, 30) end },
      { "send 127%.0%.0%.1:%d+", function() connect():send(("x"):rep(3e7)) end },
      { "start_tls 127%.0%.0%.1:%d+", function() connect():start_tls() end },
      { "read 127%.0%.0%.1:%d+", function() safe.connect("127.0.0.1", port, 30):read(1) end },
    }
    assert.equal("stop", failing(run, function()
      for i, each in ipairs(waits) do
        spawn(function()
          if not can_catch then
            told[i] = each[1]
            return each[2]()
          end
          local ok, message = pcall(each[2])
          assert(not ok)
          told[i] = message
        end)
      end
      tcp.sleep(0.2)
      error("stop", 0)
    end))
    assert.is_true(helper.clock() - before < 3)
    for i, each in ipairs(waits) do
      assert.is_string(told[i], each[1])
      if can_catch then assert.matches(each[1] .. ": cancelled: the task was ended$", told[i]) end
    end
    -- The connection is free for others, and goes on.
    conn:set_timeout(0.05)
    helper.fails("timeout", "", function() conn:read_line() end)
  end)

  if can_catch then
    it("raises cancelled in tcp.safe, in sources and in iterators, too, and lets what need not wait go on", function()
      local conn = helper.connect([[
        c.send(b"one\ntwo\n")
        c.hold()
      ]], { timeout = 30 }, nil, safe)
      local told = {}
      local function note(fn, ...) told[#told + 1] = { pcall(fn, ...) } end
      assert.equal("stop", failing(safe.run, function()
        safe.spawn(function()
          conn:read_line()
          note(conn.read, conn, 5)
          note(conn.read_line, conn)
          note(conn.read_line, conn)
          note(conn:source())
          note(conn:lines())
          note(safe.sleep, 0)
          note(safe.poll, { conn }, nil, 0)
          note(safe.poll, { conn }, nil, 1)
          note(safe.spawn, print)
        end)
        tcp.sleep(0.1)
        error("stop", 0)
      end))
      local expected = { "read ", true, "read_line ", "recv ", "lines ", "sleep: ", true, "poll: ", "spawn: " }
      for i, each in ipairs(expected) do
        if each == true then
          assert.is_true(told[i][1], i)
        else
          assert.is_false(told[i][1], each)
          assert.matches("cancelled: the task was ended", told[i][2])
          assert(told[i][2]:find(each, 1, true), told[i][2])
        end
      end
      assert.equal("two", told[2][2])
    end)

    it("resumes one that goes on no more after a hundred errors", function()
      local errors, ended, before = 0, false, helper.clock()
      assert.equal("stop", failing(run, function()
        spawn(function()
          while true do
            local ok, message = pcall(tcp.sleep, 1)
            if not ok then
              assert(message:find "cancelled")
              errors = errors + 1
            end
          end
        end)
        spawn(function()
          for _ = 1, 100 do pcall(tcp.sleep, 10) end
          ended = true
        end)
        tcp.sleep(0.05)
        error("stop", 0)
      end))
      assert.equal(100, errors)
      assert.is_true(ended)
      assert.is_true(helper.clock() - before < 1)
    end)

    it("ends one that only yields, spawns or runs again, too", function()
      local before = helper.clock()
      assert.equal("stop", failing(run, function()
        spawn(function() while true do coroutine.yield() end end)
        local function again()
          pcall(tcp.sleep, 5)
          pcall(spawn, again)
        end
        spawn(again)
        spawn(function()
          while true do pcall(run, function() tcp.sleep(5) end) end
        end)
        tcp.sleep(0.05)
        error("stop", 0)
      end))
      assert.is_true(helper.clock() - before < 2)
    end)

    it("has errors and the end of a run reach pcall and <close> in each task", function()
      local closed = {}
      local chunk = [[
        local tcp, closed, name = ...
        local guard <close> = setmetatable({}, { __close = function() closed[#closed + 1] = name end })
        tcp.sleep(30)
      ]]
      local waits = load(chunk) or function(_, list, name)
        local ok, message = pcall(tcp.sleep, 30)
        list[#list + 1] = name
        if not ok then error(message, 0) end
      end
      failing(run, function()
        for i = 1, 5 do spawn(waits, tcp, closed, i) end
        tcp.sleep(0.01)
        error "stop"
      end)
      table.sort(closed)
      assert.same({ 1, 2, 3, 4, 5 }, closed)
    end)

    it("gives a task what it yields by itself back at the next turn", function()
      assert.same({ 1, nil, 3, n = 3 }, run(function()
        local function pack(...) return { n = select("#", ...), ... } end
        return pack(coroutine.yield(1, nil, 3))
      end))
      local order = {}
      run(function()
        for i = 1, 2 do
          spawn(function()
            for turn = 1, 3 do
              order[#order + 1] = i .. "." .. turn
              assert.equal("x", coroutine.yield "x")
            end
          end)
        end
      end)
      assert.equal("1.1 2.1 1.2 2.2 1.3 2.3", table.concat(order, " "))
    end)
  end

  it("lets a generator in a task read what is there, and not wait", function()
    local conn = helper.connect [[
      c.send(b"1\n2\n3\n")
      c.hold()
    ]]
    local sum, message, code = 0, nil, nil
    -- What has come is in the buffer.
    conn:set_timeout(0.3)
    pcall(conn.read, conn, 100)
    conn:set_timeout(3)
    local words = "cannot wait in a coroutine inside a task"
    run(function()
      local generator = coroutine.wrap(function()
        for _ = 1, 3 do coroutine.yield(tonumber((conn:read_line()))) end
      end)
      for _ = 1, 3 do sum = sum + generator() end
      for _, act in ipairs {
        function() conn:read_line() end, function() tcp.sleep(0) end,
        function() tcp.run(function() tcp.sleep(1) end) end,
      } do
        local thread = coroutine.create(act)
        local ok
        ok, message = coroutine.resume(thread)
        assert.is_false(ok)
        assert.matches("^spec/run_spec.lua:%d+: " .. words .. "$", message)
      end
      local thread = coroutine.create(function() return spawn(function() code = "spawned" end) end)
      assert(coroutine.resume(thread))
    end)
    assert.equal(6, sum)
    assert.equal("spawned", code)
  end)

  it("in a run is a group of its own", function()
    local order = {}
    run(function()
      spawn(function() tcp.sleep(0.1) order[#order + 1] = "outer" end)
      assert.equal("given", run(function()
        spawn(function() tcp.sleep(0.02) order[#order + 1] = "inner" end)
        return "given"
      end))
      order[#order + 1] = "behind"
    end)
    assert.equal("inner behind outer", table.concat(order, " "))
    if not can_catch then return end
    -- Its failure is its own.
    local outer
    run(function()
      spawn(function() tcp.sleep(0.05) outer = true end)
      assert.equal("inner", failing(run, function()
        spawn(function() tcp.sleep(30) end)
        tcp.sleep(0.01)
        error("inner", 0)
      end))
    end)
    assert.is_true(outer)
    -- The end of the outer one is its end, before the outer task goes on.
    order = {}
    assert.equal("outer", failing(run, function()
      spawn(function()
        local message = failing(run, function()
          local ok, failure = pcall(tcp.sleep, 30)
          order[#order + 1] = "innermost"
          assert(not ok)
          error(failure, 0)
        end)
        order[#order + 1] = message
        message = failing(run, function() pcall(tcp.sleep, 30) end)
        assert(message == nil)
      end)
      tcp.sleep(0.02)
      error("outer", 0)
    end))
    assert.equal("innermost", order[1])
    assert.matches("cancelled", order[2])
  end)

  it("may be in a run in a run, a thousand deep", function()
    local function deeper(level)
      if level == 0 then return tcp.sleep(0.01) or "bottom" end
      return run(deeper, level - 1)
    end
    assert.equal("bottom", run(deeper, 1000))
    assert.equal("bottom", failing(run, function()
      local function failing_deep(level)
        if level == 0 then error("bottom", 0) end
        return run(failing_deep, level - 1)
      end
      return failing_deep(1000)
    end))
    -- In a task the stack is as deep as anywhere.
    local function recurse(n)
      if n > 0 then return 1 + recurse(n - 1) end
      tcp.sleep(0)
      return 0
    end
    assert.equal(5000, run(recurse, 5000))
    assert.matches("stack overflow", failing(run, function()
      local function endless() return 1 + endless() end
      return endless()
    end))
  end)

  it("blocks in place where a task cannot yield", function()
    if not coroutine.isyieldable then return pending "this Lua cannot tell" end
    local slept = 0
    run(function()
      spawn(function() tcp.sleep(0.01) slept = slept + 1 end)
      local list = { 2, 1 }
      table.sort(list, function(a, b)
        tcp.sleep(0.02)
        assert.equal("within", run(function() tcp.sleep(0.02) return "within" end))
        return a < b
      end)
      assert.same({ 1, 2 }, list)
    end)
    assert.equal(1, slept)
  end)

  it("leaves the rest as it was, also tcp.use within", function()
    local waits = 0
    local function own(_, _, seconds)
      waits = waits + 1
      return coroutine.yield(seconds)
    end
    run(function()
      tcp.use(own)
      tcp.sleep(0.01)
      spawn(function() tcp.sleep(0.01) end)
    end)
    assert.equal(0, waits)
    local thread = coroutine.create(function() tcp.sleep(0.01) end)
    assert(coroutine.resume(thread))
    assert.equal(1, waits)
    assert.equal("suspended", coroutine.status(thread))
    tcp.use(nil)
    helper.takes(0.05, function() end, function() tcp.sleep(0.05) end)
  end)

  it("wakes a task whose connection is closed, also where it polls", function()
    local conn, other = connect(), connect()
    local before, message = helper.clock(), nil
    local ok, first = pcall(run, function()
      spawn(function() tcp.sleep(0.05) conn:close() end)
      spawn(function() tcp.sleep(0.1) other:close() end)
      spawn(function()
        local _, text = safe.poll({ other }, nil, 30)
        message = text
      end)
      return conn:read_line()
    end)
    assert.is_false(ok)
    assert.matches("closed", first)
    if can_catch then
      run(function()
        conn = connect()
        spawn(function() tcp.sleep(0.05) conn:close() end)
        local _, text = safe.poll({ conn }, nil, 30)
        message = text
      end)
      assert.matches("^poll: closed: ", message)
    end
    assert.is_true(helper.clock() - before < 3)
  end)

  it("polls without keeping others", function()
    local turns, conn, peer = 0, helper.connect [[
      c.wait()
      c.send(b"x")
      c.hold()
    ]]
    run(function()
      local is_over = false
      spawn(function()
        while not is_over do
          tcp.sleep(0.01)
          turns = turns + 1
          if turns == 5 then peer:go() end
        end
      end)
      local readable, writable = tcp.poll({ conn, connect() }, nil, 5)
      assert.equal(conn, readable[1])
      assert.same({}, writable)
      -- Nothing else is ready, until the time is up.
      conn:recv()
      local before = helper.clock()
      assert.same({}, (tcp.poll({ conn }, nil, 0.1)))
      assert.is_true(helper.clock() - before >= 0.08)
      assert.same({}, (tcp.poll({}, {}, 0.01)))
      assert.equal(conn, select(2, tcp.poll({ conn }, { conn }, 5))[1])
      is_over = true
    end)
    assert.is_true(turns >= 10, turns)
  end)

  it("keeps no connection that nobody has any more", function()
    local listener = helper.keep(tcp.listen("127.0.0.1", 0))
    local port = listener:port()
    collectgarbage()
    local before = helper.sockets()
    pcall(run, function()
      for _ = 1, 20 do
        spawn(function()
          local conn = tcp.connect("127.0.0.1", port, 5)
          conn:read_line()
        end)
      end
      tcp.sleep(0.1)
      error "stop"
    end)
    collectgarbage()
    collectgarbage()
    assert.is_true(helper.sockets() <= before + 1)
  end)

  it("that its loop has dropped is collected, and its tasks' connections with it", function()
    local listener = helper.keep(tcp.listen("127.0.0.1", 0))
    local port = listener:port()
    tcp.use { wait = function(...) return coroutine.yield(...) end }
    collectgarbage()
    local before = helper.sockets()
    local thread = coroutine.create(function()
      run(function()
        for _ = 1, 10 do
          spawn(function() safe.connect("127.0.0.1", port, 5):read_line() end)
        end
      end)
    end)
    for _ = 1, 10 do assert(coroutine.resume(thread)) end
    assert.equal("suspended", coroutine.status(thread))
    assert.equal(before + 10, helper.sockets())
    thread = nil -- luacheck: ignore 311
    collectgarbage()
    collectgarbage()
    -- `recv` has the last one.
    assert.is_true(helper.sockets() <= before + 1)
  end)

  it("of ten thousand tasks takes no memory along", function()
    local function some(count)
      run(function()
        for _ = 1, count do spawn(function() tcp.sleep(0.01) tcp.sleep(0) end) end
      end)
      collectgarbage()
      collectgarbage()
      return collectgarbage "count"
    end
    some(10000)
    local before = some(10000)
    local after = some(10000)
    assert.is_true(after < before + 100, ("%.0f KB more"):format(after - before))
  end)

  it("leaves no wait behind of a task that is not resumed any more", function()
    if not loops.has_yielding_pcall then return pending "this Lua cannot yield across pcall" end
    local found, why = helper.loop "luv"
    if not found then return pending(why) end
    local said, status = helper.run([[
      local uv, tcp = require "luv", require "tcp"
      local listener = tcp.listen("127.0.0.1", 0)
      tcp.use "luv"
      coroutine.wrap(function()
        io.write(select(2, pcall(tcp.run, function()
          tcp.spawn(function()
            while true do pcall(listener.accept, listener) end
          end)
          tcp.sleep(0.05)
          error("stop", 0)
        end)))
      end)()
      uv.run()
      io.write " ended"
    ]], "timeout 10")
    assert.equal("0 stop ended", status .. " " .. said)
  end)

  it("leaves nothing behind where its own coroutine is closed", function()
    if not coroutine.close then return pending "this Lua cannot close a coroutine" end -- luacheck: ignore 143
    local found, why = helper.loop "luv"
    if not found then return pending(why) end
    local said, status = helper.run([[
      local uv, tcp = require "luv", require "tcp"
      tcp.use "luv"
      local thread = coroutine.create(function()
        tcp.run(function() tcp.sleep(1000) end)
      end)
      assert(coroutine.resume(thread))
      local timer = uv.new_timer()
      timer:start(50, 0, function()
        timer:close()
        assert(coroutine.close(thread))
        collectgarbage()
        collectgarbage()
      end)
      uv.run()
      io.write "ended"
    ]], "timeout 10")
    assert.equal("0 ended", status .. " " .. said)
  end)

  it("leaves nothing behind where it is interrupted, at whatever instruction", function()
    if type(jit) == "table" then return pending "hooks are the state's, and not run in compiled code" end
    local function work()
      return run(function()
        spawn(function() tcp.sleep(0) end)
        pcall(tcp.map, { 1, 2 }, function() tcp.sleep(0) end)
      end)
    end
    for count = 1, 2500 do
      pcall(function()
        debug.sethook(function()
          debug.sethook()
          error("interrupted!", 0)
        end, "", count)
        work()
        debug.sethook()
      end)
      assert.equal(count, run(function()
        tcp.sleep(0)
        return count
      end))
      local ok, message = pcall(spawn, work)
      assert(not ok and message:find("bad call of 'spawn'", 1, true), message)
    end
  end)

  it("survives a hook that raises in a task, and one that raises between", function()
    if type(jit) == "table" then return pending "hooks are the state's, and not run in compiled code" end
    for _, count in ipairs { 7, 100, 1001 } do
      local thread = coroutine.create(function()
        return run(function()
          for _ = 1, 10 do spawn(function() for _ = 1, 10 do tcp.sleep(0.001) end end) end
        end)
      end)
      local raised = 0
      debug.sethook(thread, function()
        raised = raised + 1
        if raised == 3 then
          debug.sethook(thread)
          error("hooked", 0)
        end
      end, "", count)
      local ok, message = coroutine.resume(thread)
      assert.is_true(ok or message == "hooked", message)
      assert.equal("fine", run(function() tcp.sleep(0.001) return "fine" end))
    end
  end)

  it("ends at once with Ctrl-C, and its tasks with it", function()
    local before = helper.clock()
    local said = helper.run [[
      local tcp = require "tcp"
      local pid = io.open("/proc/self/stat"):read "*n"
      os.execute("(sleep 0.2; kill -INT " .. pid .. ") &")
      local ok, message = pcall(tcp.run, function()
        tcp.spawn(function()
          if _VERSION ~= "Lua 5.1" or jit then
            local _, why = pcall(tcp.sleep, 30)
            io.write(tostring(why), "|")
          else
            io.write("|")
          end
        end)
        tcp.sleep(30)
      end)
      io.write(tostring(message))
      assert(tcp.run(function() tcp.sleep(0.01) return true end))
    ]]
    assert.is_true(helper.clock() - before < 2, "it went on waiting")
    if said == "" then return end -- a host without a handler
    assert.matches("interrupted!$", said)
    if can_catch and type(jit) ~= "table" then assert.matches("^[^|]*cancelled: [^|]*|", said) end
  end)
end)

describe("map", function()
  after_each(function()
    tcp.use(nil)
    helper.finish()
  end)

  it("gives the results, and the errors, in the list's order", function()
    local results, errors = map({ "a", "b", "c", "d", "e", "f" }, function(item, index)
      safe.sleep(0.05 - index / 200)
      if item == "b" then error("no b", 0) end
      if item == "c" then return nil, "no c" end
      if item == "d" then return end
      if item == "e" then return false end
      return item .. index, "more"
    end)
    assert.same({ "a1", nil, nil, nil, false, "f6" }, results)
    assert.same({ nil, "no b", "no c" }, errors)
    assert.same({ {}, {} }, { safe.map({}, print) })
  end)

  it("has so many at work, begun in order", function()
    for _, concurrency in ipairs { 1, 7, 100, math.huge } do
      local most, now, begun, items = 0, 0, {}, {}
      for i = 1, 150 do items[i] = i end
      local results = map(items, function(item)
        begun[#begun + 1] = item
        now = now + 1
        most = math.max(most, now)
        tcp.sleep(item % 3 / 1000)
        now = now - 1
        return item
      end, { concurrency = concurrency })
      assert.equal(math.min(concurrency, 150), most)
      assert.same(items, results)
      assert.same(items, begun)
    end
    local most, now = 0, 0
    local items = {}
    for i = 1, 250 do items[i] = i end
    map(items, function()
      now = now + 1
      most = math.max(most, now)
      tcp.sleep(0.001)
      now = now - 1
    end)
    assert.equal(100, most)
  end)

  it("ends those at work when its time is up, and begins no more", function()
    local begun, before = 0, helper.clock()
    local results, errors = map({ 0.01, 5, 5, 5, 5 }, function(seconds)
      begun = begun + 1
      tcp.sleep(seconds)
      return seconds
    end, { concurrency = 2, timeout = 0.2 })
    local took = helper.clock() - before
    assert.is_true(took >= 0.18 and took < 0.5, took)
    assert.equal(3, begun)
    assert.same({ 0.01 }, results)
    assert.same({ nil, "map: timeout: not done after 0.2 seconds", "map: timeout: not done after 0.2 seconds",
      "map: timeout: not begun after 0.2 seconds", "map: timeout: not begun after 0.2 seconds" }, errors)
    -- One that has time enough takes no longer for it.
    before = helper.clock()
    assert.same({ 1 }, (map({ 1 }, function(x) return x end, { timeout = 10 })))
    assert.is_true(helper.clock() - before < 1)
  end)

  it("has what an item spawns be the item's", function()
    local ended = 0
    local results, errors = map({ 1, 2, 3 }, function(item)
      spawn(function()
        tcp.sleep(0.02)
        ended = ended + 1
        if item == 2 then error("spawned", 0) end
      end)
      return item
    end)
    assert.equal(3, ended)
    assert.same({ 1, nil, 3 }, results)
    assert.same({ nil, "spawned" }, errors)
  end)

  it("works in a task, in itself, and is ended with its task", function()
    assert.equal(1 + 4 + 2 + 5 + 3 + 6, run(function()
      local sum = 0
      map({ { 1, 4 }, { 2, 5 }, { 3, 6 } }, function(inner)
        map(inner, function(item) tcp.sleep(0.01) sum = sum + item end)
      end)
      return sum
    end))
    local began, before = 0, helper.clock()
    assert.equal("stop", failing(run, function()
      spawn(map, { 1, 2, 3 }, function() began = began + 1 tcp.sleep(30) end, { concurrency = 2, timeout = 20 })
      tcp.sleep(0.05)
      error("stop", 0)
    end))
    assert.equal(2, began)
    assert.is_true(helper.clock() - before < 1)
  end)

  it("says what is wrong with a call", function()
    local function nothing() end
    helper.misuse("bad argument #1 to 'map' (table expected, got nil)", function() tcp.map() end)
    helper.misuse("bad argument #2 to 'map' (function expected, got table)", function() safe.map({}, {}) end)
    helper.misuse("bad argument #3 to 'map' (table expected, got number)", function() tcp.map({}, nothing, 5) end)
    helper.misuse("bad argument #3 to 'map' (unknown option 'at_once')",
      function() tcp.map({}, nothing, { at_once = 5 }) end)
    for _, wrong in ipairs { 0, 1.5, -1, 0 / 0 } do
      assert.matches("option 'concurrency': whole number over 0 expected, got ",
        failing(map, {}, nothing, { concurrency = wrong }))
    end
    assert.matches("option 'timeout': seconds over 0 expected, got 0%)$", failing(map, {}, nothing, { timeout = 0 }))
    assert.matches("got x%)$", failing(map, {}, nothing, { timeout = "x" }))
  end)

  it("checks a thousand hosts, of which some do not answer", function()
    local peer = helper.listen [[ c.send(b"ready\n") ]]
    local refusing = helper.listen("", { listen = false }).port
    local ports = {}
    for i = 1, 1000 do ports[i] = i % 10 == 0 and refusing or peer.port end
    local results, errors = safe.map(ports, function(port)
      local conn, why = safe.connect("127.0.0.1", port, 10)
      if not conn then return nil, why end
      local line = conn:read_line()
      conn:close()
      return line
    end)
    for i = 1, 1000 do
      if i % 10 == 0 then
        assert.matches("refused", errors[i])
      else
        assert.equal("ready", results[i], tostring(errors[i]))
      end
    end
  end)
end)

for _, loop in ipairs(loops) do
  describe("run in a loop of " .. loop.name, function()
    local function it_runs(title, body)
      it(title, function()
        if not loop.found then return pending(loop.reason) end
        tcp.use(loop.use)
        body()
      end)
    end

    after_each(function()
      tcp.use(nil)
      helper.finish()
    end)

    it_runs("yields to that loop, whose coroutines go on, and so do their timers", function()
      local ticks, result, is_over = 0, nil, false
      loop.run(function()
        result = run(function()
          for i = 1, 10 do spawn(function() safe.sleep(i / 50) end) end
          return "done"
        end)
        is_over = true
      end, function()
        while not is_over do
          safe.sleep(0.01)
          ticks = ticks + 1
        end
      end)
      assert.equal("done", result)
      assert.is_true(ticks >= 5, ticks)
    end)

    it_runs("leaves the loop's coroutines their turns however busy its tasks are", function()
      local turns, is_over, ticks = 0, false, 0
      loop.run(function()
        run(function()
          for _ = 1, 3 do
            spawn(function()
              while not is_over do
                safe.sleep(0)
                turns = turns + 1
              end
            end)
          end
        end)
      end, function()
        for _ = 1, 10 do
          safe.sleep(0.01)
          ticks = ticks + 1
        end
        is_over = true
      end)
      assert.equal(10, ticks)
      assert.is_true(turns >= 10, turns)
    end)

    it_runs("may be there more than once, beside others", function()
      local listener = helper.keep(tcp.listen("127.0.0.1", 0))
      local port, count, sum, ended = listener:port(), 60, 0, 0
      local function client(i)
        local conn = safe.connect("127.0.0.1", port, 5)
        conn:write_json_packet(i)
        local got = conn:read_json_packet()
      sum = sum + got
        conn:close()
      end
      local bodies = { function()
        run(function()
          for _ = 1, count do
            spawn(function(conn)
              safe.sleep(0.01)
              conn:write_json_packet(conn:read_json_packet())
              conn:close()
            end, listener:accept(5))
          end
        end)
      end }
      for part = 0, 4 do
        bodies[#bodies + 1] = function()
          local items = {}
          for i = 1, count / 6 do items[i] = part * count / 6 + i end
          map(items, client)
          ended = ended + 1
        end
      end
      bodies[#bodies + 1] = function()
        for i = count / 6 * 5 + 1, count do client(i) end
        ended = ended + 1
      end
      loop.run(unpack(bodies))
      assert.equal(6, ended)
      assert.equal(count * (count + 1) / 2, sum)
    end)

    it_runs("raises there what its tasks raise, and ends the others", function()
      if not can_catch then return end
      local message, told, before = nil, nil, helper.clock()
      local conn = connect()
      loop.run(function()
        message = failing(run, function()
          spawn(function() told = failing(conn.read_line, conn) end)
          safe.sleep(0.02)
          error("problem", 0)
        end)
      end)
      assert.equal("problem", message)
      assert.matches("cancelled", told)
      assert.is_true(helper.clock() - before < 2)
    end)

    it_runs("polls without keeping others", function()
      local ticks, is_over = 0, false
      local conn, peer = helper.connect [[
        c.wait()
        c.send(b"x")
        c.hold()
      ]]
      loop.run(function()
        local ready = tcp.poll({ conn }, nil, 5)
        assert.equal(conn, ready[1])
        assert.same({}, (tcp.poll({}, nil, 0.05)))
        is_over = true
      end, function()
        while not is_over do
          safe.sleep(0.01)
          ticks = ticks + 1
          if ticks == 5 then peer:go() end
        end
      end)
      assert.is_true(ticks >= 5)
    end)

    it_runs("hears while it polls that a connection is closed", function()
      local conn, message, before = connect(), nil, helper.clock()
      loop.run(function()
        local _
        _, message = safe.poll({ conn, connect() }, nil, 30)
      end, function()
        safe.sleep(0.05)
        conn:close()
      end)
      assert.matches("^poll: closed: ", message)
      assert.is_true(helper.clock() - before < 3)
    end)

    it_runs("blocks outside of its coroutines", function()
      local before = helper.clock()
      assert.equal(7, run(function()
        spawn(function() safe.sleep(0.05) end)
        return 7
      end))
      assert.is_true(helper.clock() - before >= 0.03)
    end)
  end)
end
