-- What a script can do to the module that it should not: call what Lua calls, raise from hooks in
-- the middle of an operation, use the module in hooks and finalizers. Nothing of it ends the
-- process, and nothing is lost.

local helper = require "spec.support.helper"

-- Runs code in a process of its own, which must end well and say "fine".
local function survives(code, before)
  local said, status = helper.run(code .. ' io.write "fine"', before)
  assert.equal("fine", said)
  assert.equal(0, status)
end

describe("no call from Lua ends the process:", function()
  after_each(helper.finish)

  -- Every function of the module's that can be reached, through upvalues and metatables, with this
  -- before it.
  local reach = [==[
    local tcp = require "tcp"
    local listener = tcp.listen("127.0.0.1", 0)
    local conn = tcp.connect("127.0.0.1", listener:port(), 1)
    local other = listener:accept(1)
    tcp.use { wait = function() end }
    tcp.use(nil)
    local functions, seen = {}, {}
    local function look(value)
      if seen[value] or value == _G or value == package then return end
      seen[value] = true
      if type(value) == "function" then
        local info = debug.getinfo(value, "S")
        if info.what == "C" then functions[#functions + 1] = value end
        for i = 1, 60 do
          local name, up = debug.getupvalue(value, i)
          if not name then break end
          if type(up) == "function" or type(up) == "table" or type(up) == "userdata" then look(up) end
        end
      elseif type(value) == "table" then
        for k, v in next, value do
          if type(v) == "function" or type(v) == "table" or type(v) == "userdata" then look(v) end
          if type(k) == "table" then look(k) end
        end
      end
      local meta = (type(value) == "table" or type(value) == "userdata") and debug.getmetatable(value)
      if meta then look(meta) end
    end
    look(tcp)
    look(conn)
    look(listener)
    look(conn:lines())
    look(listener:connections())
    local keep = {}
    for _, name in ipairs { "exit", "execute", "remove", "rename", "read", "lines", "getenv" } do
      keep[os[name] or io[name]] = true
    end
    -- One sleeps as long as it is told.
    for _, fn in ipairs { error, pcall, print, require, tcp.sleep } do keep[fn] = true end
    for _, library in ipairs { os, io, debug, coroutine, package } do
      for _, value in pairs(library) do
        if type(value) == "function" then keep[value] = true end
      end
    end
  ]==]

  it("the finalizer of one object, called by hand with anything", function()
    survives(reach .. [[
      local collect, other_collect = debug.getmetatable(conn).__gc, debug.getmetatable(listener).__gc
      local thread = coroutine.create(function() end)
      for _, given in ipairs { "x", 1, {}, print, io.stdout, listener, conn, tcp.json.null, thread } do
        pcall(collect, given)
        pcall(other_collect, given)
      end
      pcall(collect)
      assert(not conn:is_open())
      assert(not pcall(conn.read, conn, 1))
      assert(tostring(listener):find "closed" or not pcall(listener.port, listener))
      collectgarbage()
    ]])
  end)

  it("any function of the module, with values that it does not expect", function()
    survives(reach .. [[
      assert(#functions > 40, #functions)
      conn:set_timeout(0.001)
      other:set_timeout(0.001)
      local odd = { "x", 1, -1, 0 / 0, 2 ^ 53, {}, print, io.stdout, listener, conn, other, tcp.json.null, true, false,
        coroutine.create(function() end), ("x"):rep(300) }
      local count = #odd
      for _, fn in ipairs(functions) do
        if not keep[fn] then
          pcall(fn)
          for i = 1, count do
            pcall(fn, odd[i])
            pcall(fn, nil, odd[i])
            pcall(fn, odd[i], odd[count + 1 - i])
            pcall(fn, nil, conn, odd[i])
            pcall(fn, 0.001, conn, odd[i], odd[i])
            pcall(fn, odd[i], listener, 0.001)
          end
        end
      end
      collectgarbage()
      collectgarbage()
    ]])
  end)

  it("a method on what the script has given our metatable", function()
    survives(reach .. [[
      local meta = debug.getmetatable(conn)
      debug.setmetatable(io.stderr, meta)
      for name in pairs(meta.__index) do
        assert(not pcall(conn[name], io.stderr))
        pcall(conn[name], tcp.json.null)
      end
    ]])
  end)
end)

describe("a hook or a finalizer that uses the module while an operation runs", function()
  after_each(helper.finish)

  local events = { c = "call", r = "return", l = "line", [""] = "count" }
  for mask, name in pairs(events) do
    it("gets its answers at each " .. name, function()
      survives(([[
        local tcp = require "tcp"
        local listener = tcp.listen("127.0.0.1", 0)
        local conn = tcp.connect("127.0.0.1", listener:port(), 1)
        local peer, busy = listener:accept(1), false
        local mask, every = %q, %q == "" and 7 or 0
        debug.sethook(function()
          if busy then return end
          busy = true
          tostring(listener)
          tcp.json.decode(tcp.json.encode { a = { 1 } })
          pcall(conn.is_open, conn)
          busy = false
        end, mask, every)
        for i = 1, 300 do
          assert(tcp.resolve("127.0.0.1")[1] == "127.0.0.1")
          peer:write_json_packet { i, "x" }
          assert(conn:read_json_packet()[1] == i)
          peer:send(i, "\n")
          assert(conn:read_line() == tostring(i))
          assert(conn:info().peer.ip == "127.0.0.1")
        end
        debug.sethook()
      ]]):format(mask, mask))
    end)
  end

  it("gets its answers in finalizers", function()
    survives(helper.finalizing .. [[
      local tcp = require "tcp"
      local listener = tcp.listen("127.0.0.1", 0)
      local conn = tcp.connect("127.0.0.1", listener:port(), 1)
      local peer, runs = listener:accept(1), 0
      local function arm()
        finalized(function()
          runs = runs + 1
          tostring(listener)
          tcp.json.decode(tcp.json.encode { a = { 1 } })
          pcall(conn.pending, conn)
          if runs < 2000 then arm() end
        end)
      end
      arm()
      if _VERSION == "Lua 5.5" then collectgarbage("param", "pause", 1) else collectgarbage("setpause", 1) end
      for i = 1, 500 do
        collectgarbage("step", 100)
        tcp.resolve "127.0.0.1"
        peer:write_json_packet { i, ("x"):rep(100) }
        assert(conn:read_json_packet()[1] == i)
        assert(#tcp.poll({ listener, conn }, { conn }, 0) == 0)
        tcp.listen("127.0.0.1", 0):close()
      end
      assert(runs > 10)
    ]])
  end)

  -- Calls `act` in the first call, or at the first return, of a C function that a C function calls:
  -- that is in the midst of an operation.
  local amidst = [[
    local function amidst(mask, act)
      debug.sethook(function()
        local called, caller = debug.getinfo(2, "Sf"), debug.getinfo(3, "S")
        if called.what == "C" and caller and caller.what == "C" then
          debug.sethook()
          act(called.func)
        end
      end, mask)
    end
    local tcp = require "tcp"
    local listener = tcp.listen("127.0.0.1", 0)
    local conn = tcp.connect("127.0.0.1", listener:port(), 1)
    local peer = listener:accept(1)
  ]]

  it("that changes a table of options while it is read makes the call fail", function()
    survives(amidst .. [[
      local options = { key_password = 123, ciphersuites = 7, session = 55, alpn = 7 }
      amidst("c", function()
        for key in pairs(options) do options[key] = nil end
        for i = 1, 200 do options["other" .. i] = i end
      end)
      local ok, message = pcall(function() tcp.connect_tls("127.0.0.1", 1, options) end)
      debug.sethook()
      assert(not ok and message:find "^[^:]+:%d+: bad argument #3 to 'connect_tls' %(changed", message)
    ]])
  end)

  it("that calls what the operation was going to call has nothing to call", function()
    survives(amidst .. [[
      for _, call in ipairs {
        function() return #tcp.poll({ listener }, { conn, peer }, 0) end,
        function() return tcp.connect("127.0.0.1", listener:port(), 1):info().peer.port end,
        function() return #tcp.resolve "127.0.0.1" end,
      } do
        local expected = call()
        amidst("c", function(called)
          for _, given in ipairs { 1, "x", {}, conn, print } do called(given) end
          coroutine.wrap(function() called(1) end)()
          collectgarbage()
        end)
        assert(call() == expected)
        debug.sethook()
      end
    ]])
  end)

  it("that raises at an operation's end makes lines() repeat none", function()
    survives(amidst .. [[
      peer:send "a\nb\nc\n"
      peer:close()
      local got, nextline = {}, conn:lines()
      amidst("r", function() error "hooked" end)
      local ok, line = pcall(nextline)
      debug.sethook()
      got[1] = ok and line or nil
      for line in nextline do got[#got + 1] = line end
      assert(table.concat(got, " ") == "a b c", table.concat(got, " "))
    ]])
  end)

  it("that raises at the end of a connect leaves the last connection", function()
    survives(amidst .. [[
      amidst("r", function() error "hooked" end)
      local failed = not pcall(tcp.connect, "127.0.0.1", listener:port(), 1)
      debug.sethook()
      tcp.send "x"
      assert(not failed or peer:read(1) == "x")
    ]])
  end)

  it("that raises where a call begins to wait leaves no wait in the loop", function()
    if not helper.loop "luv" then return pending "luv is not here" end
    survives(amidst .. [[
      local uv, safe = require "luv", require "tcp.safe"
      tcp.use "luv"
      coroutine.wrap(function()
        conn:set_timeout(math.huge)
        amidst("c", function() error "hooked" end)
        assert(not pcall(conn.start_tls, conn, { verify = false }))
        debug.sethook()
        local other = safe.connect("127.0.0.1", listener:port(), 1)
        other:set_timeout(0.05)
        assert(select(3, other:read(1)) == "timeout")
      end)()
      local late = uv.new_timer()
      late:start(3000, 0, function() os.exit(1) end)
      late:unref()
      uv.run()
    ]])
  end)

  -- Calls a function, and raises in a hook after so many instructions, once.
  local function hooked(count, act)
    debug.sethook(function()
      debug.sethook()
      error("hooked", 0)
    end, "", count)
    local result = act()
    debug.sethook()
    return result
  end

  -- Raises in a hook at each instruction in turn until `act` comes through.
  local function interrupted(act)
    for count = 1, 400 do
      local raised = true
      local thread = coroutine.create(function()
        local ok, result = pcall(hooked, count, act)
        raised = not ok and result == "hooked"
      end)
      assert(coroutine.resume(thread))
      if not raised then return end
    end
    assert(false, "it never came through")
  end

  it("that raises makes lines() lose no line, and repeat none", function()
    for count = 1, 120 do
      local conn = helper.connect [[ c.send(b''.join(b'line %d\n' % i for i in range(60))) ]]
      local got, nextline = {}, conn:lines()
      for _ = 1, 500 do
        local ok, line = pcall(hooked, count, nextline)
        if ok and line == nil then break end
        if ok then got[#got + 1] = line end
        if not ok and not tostring(line):find "hooked" then error(line, 0) end
        -- The hook may raise each time: then it gets out of the way once.
        if not ok then
          local plain = nextline()
          if plain == nil then break end
          got[#got + 1] = plain
        end
      end
      -- What the iterator had cut when the hook raised is gone with the call; what comes behind is
      -- in order, once.
      local before = -1
      for _, line in ipairs(got) do
        local number = tonumber(line:match "^line (%d+)$")
        assert(number > before, ("%d after %d with a hook at %d"):format(number, before, count))
        before = number
      end
      assert(before >= 58)
      conn:close()
    end
  end)

  it("that raises leaves no failure for another call", function()
    local conn = helper.connect [[
      for i in range(400): c.send_packet(b'{bad')
      c.hold()
    ]]
    interrupted(function()
      helper.fails("json", "^read_json_packet ", function() conn:read_json_packet() end)
    end)
    assert.is_true(conn:is_open())
    assert.equal("127.0.0.1", conn:info().peer.ip)
    conn:close()
    assert.is_false(conn:is_open())
  end)
end)

describe("many objects at once", function()
  after_each(helper.finish)

  it("are limited by descriptors alone", function()
    survives([[
      local tcp = require "tcp"
      local listener = tcp.listen("127.0.0.1", 0, { backlog = 1000 })
      local lists, iterators = {}, {}
      local conn = tcp.connect("127.0.0.1", listener:port(), 1)
      local peer = listener:accept(1)
      for i = 1, 9000 do lists[i] = conn end
      assert(#tcp.poll(lists, nil, 0) == 0)
      peer:send "x\n"
      assert(#tcp.poll(lists, nil, 1) == 9000)
      for i = 1, 9000 do iterators[i] = conn:lines() end
      assert(iterators[1]() == "x")
      assert(tcp.resolve("127.0.0.1")[1] and conn:info().host == "127.0.0.1")
    ]])
  end)
end)

describe("lines(max) with max over max_buffer", function()
  after_each(helper.finish)

  it("refuses the line that read_line refuses", function()
    local conn = helper.connect([[ c.send(b'short\n' + b'x' * 200 + b'\n') ]], { max_buffer = 100 })
    local nextline = conn:lines(1000)
    assert.equal("short", nextline())
    helper.fails("too_large", "^lines ", function() nextline() end)
    helper.fails("too_large", "^read_line ", function() conn:read_line(1000) end)
  end)
end)

describe("an operation that must wait where its coroutine cannot yield", function()
  after_each(helper.finish)

  local loops = require "spec.support.loops"
  for _, name in ipairs { "luv", "cqueues", "own" } do
    local loop = loops[name]
    if loop and loop.found and (name ~= "own" or coroutine.isyieldable) then
      it("leaves the connection free, in " .. loop.name, function()
        local conn, peer = helper.connect [[
          c.wait()
          c.send(b'one\ntwo\nthree\n')
          c.hold()
        ]]
        local lines = {}
        loop.within(function()
          pcall(table.sort, { 2, 1 }, function()
            conn:set_timeout(0.1)
            local ok, line = pcall(conn.read_line, conn)
            lines[#lines + 1] = ok and line
            return false
          end)
          conn:set_timeout(3)
          peer:go()
          lines[#lines + 1] = conn:read_line()
        end)
        assert.equal("one", lines[#lines])
      end)
    else
      pending("leaves the connection free, in " .. name .. ": it is not there")
    end
  end
end)
