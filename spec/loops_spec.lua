-- `tcp.use`: in a coroutine of an event loop each operation yields instead of blocking. That all
-- else is as it was is shown by the other specs, which run in a loop with TCP_SPEC_LOOP.

local helper = require "spec.support.helper"
local loops = require "spec.support.loops"
local tcp = require "tcp"
local safe = require "tcp.safe"

local unpack = table.unpack or unpack -- luacheck: ignore 143

describe("use", function()
  after_each(function()
    tcp.use(nil)
    helper.finish()
  end)

  it("takes the name of a loop, a table, a function or nil", function()
    helper.misuse("bad argument #1 to 'use' (string, table, function or nil expected, got number)",
      function() tcp.use(7) end)
    helper.misuse("bad argument #1 to 'use' (no loop named 'lov': \"cqueues\", \"copas\" or \"luv\" expected)",
      function() tcp.use "lov" end)
    helper.misuse("bad argument #1 to 'use' (field 'wait': function expected, got nil)", function() tcp.use {} end)
    helper.misuse("bad argument #1 to 'use' (field 'close': function expected, got string)",
      function() tcp.use { wait = print, close = "x" } end)
    assert.is_nil(tcp.use(function() end))
    assert.is_true(safe.use(nil))
  end)

  it("says why a loop cannot be had", function()
    local found = package.loaded.copas
    package.loaded.copas, package.preload.copas = nil, function() return { _VERSION = "Copas 1.2.1" } end
    helper.misuse("bad argument #1 to 'use' (copas 2.0 or newer is needed, this is Copas 1.2.1)",
      function() tcp.use "copas" end)
    package.loaded.copas, package.preload.copas = nil, function() error("no copas today", 0) end
    helper.misuse("bad argument #1 to 'use' (no copas today)", function() tcp.use "copas" end)
    package.loaded.copas, package.preload.copas = found, nil
    -- What was in use stays in use.
    local waits = 0
    tcp.use(function(_, _, seconds)
      waits = waits + 1
      return tcp.poll({}, {}, seconds)
    end)
    pcall(tcp.use, "lov")
    local conn = helper.connect([[ c.hold() ]], { timeout = 0.05 })
    local thread = coroutine.create(function() return conn:read_line() end)
    local ok, message = coroutine.resume(thread)
    assert.is_false(ok)
    assert.truthy(message:find "timeout")
    assert.is_true(waits > 0)
  end)

  for _, name in ipairs { "cqueues", "luv" } do
    it("says that there is no descriptor for the loop of " .. name .. ", and takes it once there is one", function()
      local found, why = helper.loop(name)
      if not found then return pending(why) end
      local said, status = helper.run(([[
        local loops = require "spec.support.loops"
        local library, tcp = require %q, require "tcp.safe"
        pcall(require, "cqueues.condition")
        local listener, files, code = tcp.listen("127.0.0.1", 0), {}, nil
        repeat
          local file = io.open "/dev/null"
          files[#files + 1] = file
        until not file
        io.write(select(2, pcall(tcp.use, %q)))
        for _, file in ipairs(files) do file:close() end
        loops.%s.within(function() code = select(3, listener:accept(0.05)) end)
        assert(code == "timeout", code)
      ]]):format(name, name, name), "ulimit -n 60 &&")
      assert.equal(0, status, said)
      assert.matches("^bad argument #1 to 'use' %(.*too many open files.*%)$", said)
    end)
  end

  it("takes the copas that is loaded now, also where another one was in use before", function()
    if not helper.library "socket" then return pending "LuaSocket is not installed" end
    local found = package.loaded.copas
    finally(function() package.loaded.copas = found end)
    -- A copas in which one coroutine runs at a time, and that resumes none of itself.
    local function load_copas()
      local copas = { _VERSION = "Copas 4.8.0", running = true, slept = 0 }
      function copas.addthread(body) return coroutine.create(body) end
      function copas.wakeup() end
      function copas.sleep()
        copas.slept = copas.slept + 1
        coroutine.yield()
      end
      package.loaded.copas = copas
      return copas
    end
    local first = load_copas()
    tcp.use "copas"
    first.running = false
    local second = load_copas()
    tcp.use "copas"
    local conn = helper.connect([[ c.hold() ]], { timeout = 0.2 })
    local thread = coroutine.create(function() conn:read_line() end)
    assert(coroutine.resume(thread))
    assert.equal("suspended", coroutine.status(thread))
    assert.same({ 0, 1 }, { first.slept, second.slept })
  end)

  it("hands over the descriptor, the mode and the time that is left", function()
    local asked = {}
    tcp.use { wait = function(...)
      asked[#asked + 1] = { ... }
      return coroutine.yield()
    end }
    local conn = helper.connect([[
      c.wait()
      c.send(b"hello\n")
      c.hold()
    ]], { timeout = 30 })
    local line
    local thread = coroutine.create(function() line = conn:read_line() end)
    assert(coroutine.resume(thread))
    assert.equal(conn:fd(), asked[#asked][1])
    assert.equal("r", asked[#asked][2])
    assert.is_true(asked[#asked][3] > 29 and asked[#asked][3] <= 30)
    -- A wait that ends early is asked for again, with what is left of the time.
    local before = #asked
    assert(coroutine.resume(thread, true))
    assert.equal(before + 1, #asked)
    assert.is_true(asked[#asked][3] <= asked[before][3])
    -- Outside a coroutine all is as it was.
    helper.fails("busy", "another coroutine is reading", function() conn:recv() end)
    assert.equal(before + 1, #asked)
    tcp.use(nil)
    assert.equal("suspended", coroutine.status(thread))
    assert.is_nil(line)
  end)

  it("tells a loop before a descriptor goes", function()
    local closed, waits = {}, 0
    tcp.use {
      wait = function(fd, mode, seconds)
        waits = waits + 1
        return tcp.poll(mode == "r" and { fd } or {}, mode == "w" and { fd } or {}, seconds)
      end,
      close = function(fd) closed[#closed + 1] = fd end,
    }
    local conn = helper.connect [[ c.hold() ]]
    local fd = conn:fd()
    conn:close()
    conn:close()
    assert.same({ fd }, closed)
    local listener = tcp.listen("127.0.0.1", 0)
    fd = listener:fd()
    listener:close()
    assert.equal(fd, closed[2])
    -- What a connect waits for may be closed by its next step. A name may be found before it has to
    -- wait.
    for _ = 1, 50 do
      closed, waits = {}, 0
      coroutine.wrap(function() conn = tcp.connect("localhost", helper.listen([[ c.hold() ]]).port) end)()
      assert.equal(waits, #closed)
      conn:close()
      if waits > 0 then break end
    end
    assert.is_true(waits > 0)
  end)

  it("raises in the caller what a loop raises", function()
    tcp.use(function() error("no more of this", 0) end)
    local conn = helper.connect [[ c.hold() ]]
    local thread = coroutine.create(function() conn:read_line() end)
    assert.same({ false, "no more of this" }, { coroutine.resume(thread) })
    -- The connection is whole, and free.
    tcp.use(nil)
    conn:set_timeout(0.01)
    helper.fails("timeout", "", function() conn:read_line() end)
  end)

  it("leaves a connection free whose wait was raised out of, whatever the coroutine does then", function()
    if not loops.has_yielding_pcall then return end
    local conn = helper.connect([[ c.send(b"one\ntwo\n"); c.hold() ]], nil, nil, safe)
    local other = helper.connect [[ c.hold() ]]
    -- A wait may make calls of its own, which wait within it.
    local outer
    tcp.use(function(fd)
      if fd == other:fd() then error "not this one" end
      if coroutine.running() == outer then pcall(other.recv, other) end
      if coroutine.yield() then error "no more" end
      return true
    end)
    helper.fails("timeout", "", function() other:set_timeout(0.01) other:recv() end)
    other:set_timeout(3)
    outer = coroutine.create(function()
      local ok = pcall(conn.read, conn, 100)
      coroutine.yield(ok)
    end)
    assert.is_true(coroutine.resume(outer))
    assert.equal("busy", select(3, conn:read_line()))
    assert.same({ true, false }, { coroutine.resume(outer, true) })
    assert.equal("suspended", coroutine.status(outer))
    assert.equal("one", conn:read_line())
    other:set_timeout(0.01)
    helper.fails("timeout", "", function() other:recv() end)
  end)
end)

-- Two loops, one after the other, in a process of their own: where they fail, they hang.
describe("two loops", function()
  -- The source sees `start.luv(body)` and `start.cqueues(body)`: the body begins with that loop in
  -- use. What they give runs the loop. `accepts(seconds)` is a body that notes its code in `codes`.
  local function it_runs(title, code)
    it(title, function()
      for _, name in ipairs { "cqueues", "luv" } do
        local found, why = helper.loop(name)
        if not found then return pending(why) end
      end
      local said, status = helper.run([[
        local helper = require "spec.support.helper"
        local tcp, cqueues, uv = require "tcp.safe", require "cqueues", require "luv"
        local listener = tcp.listen("127.0.0.1", 0)
        local start = {}
        function start.luv(body)
          tcp.use "luv"
          coroutine.wrap(body)()
          return uv.run
        end
        function start.cqueues(body)
          tcp.use "cqueues"
          local loop = cqueues.new()
          loop:wrap(body)
          loop:step(0)
          return function() assert(loop:loop()) end
        end
        local codes = {}
        local function accepts(seconds)
          return function()
            local _, _, code = listener:accept(seconds)
            codes[#codes + 1] = code
          end
        end
      ]] .. code)
      assert.equal(0, status, said)
    end)
  end

  it_runs("each end their waits in time, whichever was told when the next turn is due", [[
    for _, name in ipairs { "luv", "cqueues" } do
      local other = name == "luv" and "cqueues" or "luv"
      codes = {}
      local first = start[name](accepts(0.1))
      local second = start[other](accepts(0.3))
      local before = helper.clock()
      second()
      assert(helper.clock() - before < 1)
      first()
      assert(codes[1] == "timeout" and codes[2] == "timeout" and #codes == 2)
    end
  ]])

  it_runs("keep what they run for themselves", [[
    local client = tcp.connect("127.0.0.1", listener:port(), 5)
    local served = listener:accept(5)
    local line
    local run_luv = start.luv(function() line = client:read_line() end)
    start.cqueues(function()
      served:send "half of "
      -- Another turn is made here.
      listener:accept(0.1)
      served:send "it\n"
      listener:accept(0.1)
    end)()
    assert(line == nil)
    run_luv()
    assert(line == "half of it")
  ]])

  it_runs("or one, whose handles were all closed while it waited, end all waits in time", [[
    start.luv(accepts(0.1))
    uv.walk(function(handle)
      if not handle:is_closing() then handle:close() end
    end)
    uv.run()
    local before = helper.clock()
    start.luv(accepts(0.3))()
    assert(helper.clock() - before < 1)
    assert(codes[1] == "timeout" and codes[2] == "timeout")
  ]])
end)

-- What waits, each with what comes a moment after it has begun.
local reads = {
  { "json_packets", "\0\0\0\2[]" },
  { "json_values", "[]" },
  { "lines", "line\n" },
  { "packets", "\0\0\0\1x" },
  { "read", "four", 4 },
  { "read_json", "{}" },
  { "read_json_packet", "\0\0\0\2[]" },
  { "read_line", "line\n" },
  { "read_packet", "\0\0\0\1x" },
  { "read_str", "all" },
  { "read_until", "it;", ";" },
  { "recv", "any" },
  { "skip_packet", "\0\0\0\1x" },
  { "source", "any" },
}
-- And what writes more than the system takes at once.
local large = ("x"):rep(8000000)
local writes = {
  { "flush" },
  { "send", large },
  { "shutdown" },
  { "sink", large },
  { "write_json", large },
  { "write_json_packet", large },
  { "write_packet", large },
  { "write_str", large },
}
local makes_function = { json_packets = true, json_values = true, lines = true, packets = true, source = true }

for _, loop in ipairs(loops) do
  -- Lets the other coroutines run for a moment.
  local function others()
    local conn = safe.connect("127.0.0.1", helper.listen([[ c.hold() ]]).port,
      { timeout = 0.05, connect_timeout = helper.timeout })
    conn:recv()
    conn:close()
  end

  local function over_tcp(code)
    return (helper.connect(code))
  end

  local function it_runs(title, body)
    it(title, function()
      if not loop.found then return pending(loop.reason) end
      tcp.use(loop.use)
      body()
    end)
  end

  describe("in a loop of " .. loop.name, function()
    after_each(function()
      tcp.use(nil)
      helper.finish()
    end)

    it_runs("two hundred slow answers take the time of one", function()
      local count, pause = 200, 0.5
      local peer = helper.listen(([[
        import time
        time.sleep(%s)
        c.send(b"late\n")
      ]]):format(pause))
      local bodies, answers = {}, 0
      for i = 1, count do
        bodies[i] = function()
          local conn = tcp.connect(i % 2 == 0 and "127.0.0.1" or "localhost", peer.port, { timeout = 8 })
          assert.equal("late", conn:read_line())
          conn:close()
          answers = answers + 1
        end
      end
      local before = helper.clock()
      loop.run(unpack(bodies))
      local took = helper.clock() - before
      assert.equal(count, answers)
      assert.is_true(took >= pause - 0.01 and took < 10 * pause, ("%.2f s"):format(took))
    end)

    it_runs("who connects again and again leaves the others their turns, refused or not", function()
      local port = helper.listen([[ c.hold() ]]).port
      local refusing = helper.listen("", { listen = false }).port
      for _, target in ipairs { port, refusing } do
        local order = {}
        local function connects(name)
          return function()
            for _ = 1, 3 do
              safe.connect("127.0.0.1", target, 3)
              order[#order + 1] = name
            end
          end
        end
        loop.run(connects "a", connects "b")
        local met = table.concat(order)
        assert.is_true(met ~= "aaabbb" and met ~= "bbbaaa", met)
      end
    end)

    it_runs("every operation lets the others run", function()
      local client_turns, done = 0, false
      local listener = helper.keep(tcp.listen("127.0.0.1", 0, {
        tls = { cert_file = helper.pem "good", key_file = helper.pem("good", "key") },
      }))
      local port, text = listener:port(), ("x"):rep(3000000)
      local function server()
        local conn = listener:accept(5)
        conn:handshake()
        conn:write_json_packet { hello = "world" }
        assert.equal(#text, #conn:read(#text))
        conn:write_str "line\n"
        conn:write_json { 1, 2 }
        conn:shutdown()
        assert.equal("", conn:read_str())
        conn:close()
        assert.is_false(conn:is_open())
        done = true
      end
      local function client()
        assert.is_true(#tcp.resolve "localhost" > 0)
        local conn = tcp.connect_tls("localhost", port, { ca_file = helper.pem "root", timeout = 5 })
        assert.same({ hello = "world" }, conn:read_json_packet())
        conn:write_str(text)
        assert.equal("line", conn:read_line())
        assert.same({ 1, 2 }, conn:read_json())
        conn:close()
      end
      -- Runs as long as they do: each of its short waits is a turn of the loop.
      local other = helper.listen [[
        while True:
          c.send(b".")
          time.sleep(0.002)
      ]]
      local function bystander()
        local conn = helper.keep(tcp.connect("127.0.0.1", other.port, 5))
        while not done do
          conn:recv(1)
          client_turns = client_turns + 1
        end
      end
      loop.run(server, client, bystander)
      assert.is_true(done and client_turns > 0)
    end)

    it_runs("nothing that waits keeps the others waiting", function()
      local turns, is_over, failed = 0, false, {}
      local awaited -- the peer that answers when the other coroutine has had a turn
      local ticking = helper.listen "while True: c.send(b'.'); time.sleep(0.002)"
      -- Notes what has not gone well, or while nobody else had a turn.
      local function try(peer, name, act, ...)
        local before = turns
        awaited = peer
        local value, message = act(...)
        if not value or turns == before then failed[#failed + 1] = name .. ": " .. tostring(message) end
      end
      local options = { timeout = 5, max_packet = 9e6, ca_file = helper.pem "root" }
      local function each_kind(act)
        act("TCP", nil, function(port)
          return safe.connect("127.0.0.1", port, { timeout = 5, max_packet = 9e6 })
        end)
        act("TLS", "good", function(port) return safe.connect_tls("127.0.0.1", port, options) end)
      end
      local function all_reads(kind, certificate, connect)
        for _, each in ipairs(reads) do
          local name, code = each[1], ("c.wait(); c.send(%s)"):format(helper.bytes(each[2]))
          local peer = helper.listen(code, { tls = certificate })
          local conn = connect(peer.port)
          if makes_function[name] then
            try(peer, kind .. " " .. name, conn[name](conn))
          else
            try(peer, kind .. " " .. name, conn[name], conn, each[3])
          end
          conn:close()
        end
      end
      local function all_writes(kind, certificate, connect)
        for _, each in ipairs(writes) do
          local name = each[1]
          local peer = helper.listen("c.wait(); c.recv_all()", { tls = certificate })
          local conn = connect(peer.port)
          if name == "sink" then
            try(peer, kind .. " sink", conn:sink(), each[2])
          else
            if not each[2] then
              conn:set_timeout(0.01)
              conn:send(large)
              conn:set_timeout(5)
            end
            try(peer, kind .. " " .. name, conn[name], conn, each[2])
          end
          conn:close()
        end
      end
      local function others_of_them()
        local peer = helper.listen "c.wait(); c.handshake('good'); c.recv()"
        local conn = safe.connect("127.0.0.1", peer.port, 5)
        try(peer, "start_tls", conn.start_tls, conn, { ca_file = options.ca_file, server_name = "localhost" })
        peer = helper.listen "c.wait(); c.handshake('good'); c.recv()"
        try(peer, "connect_tls", safe.connect_tls, "localhost", peer.port, options)
        try(nil, "connect", function()
          local _, message, code = safe.connect("127.0.0.1", helper.listen("", { full = true }).port, 0.3)
          return code == "timeout", message
        end)
        peer = helper.listen "c.wait(); c.send(c.recv())"
        safe.connect("127.0.0.1", peer.port, 5)
        safe.send "hello"
        try(peer, "recv", safe.recv)
        local listener = helper.keep(safe.listen("127.0.0.1", 0))
        helper.dial(listener:port(), "c.hold()", { times = 2 })
        listener:accept(5)
        listener:accept(5)
        try(nil, "accept", function()
          local _, message, code = listener:accept(0.3)
          return code == "timeout", message
        end)
      end
      loop.run(function()
        each_kind(all_reads)
        each_kind(all_writes)
        others_of_them()
        is_over = true
      end, function()
        local conn = safe.connect("127.0.0.1", ticking.port, 5)
        while not is_over do
          conn:recv(1)
          turns = turns + 1
          if awaited then awaited:go() end
          awaited = nil
        end
        conn:close()
      end)
      assert.same({}, failed)
      assert.is_true(is_over)
    end)

    it_runs("times are kept", function()
      -- copas looks at its own clock ten times a second.
      if loop.name == "copas" then return end
      helper.takes(0.2, function() return (helper.connect([[ c.hold() ]], { timeout = 0.2 })) end, function(conn)
        local message
        loop.run(function()
          if loops.has_yielding_pcall then
            helper.fails("timeout", "after 0 bytes", function() conn:read_line() end)
          else
            conn = safe.connect("127.0.0.1", helper.listen([[ c.hold() ]]).port,
              { timeout = 0.2, connect_timeout = helper.timeout })
            local _
            _, message = conn:read_line()
            assert.truthy(message:find "timeout")
          end
        end)
      end)
    end)

    it_runs("one coroutine reads a connection while another writes it", function()
      for _, over in ipairs(helper.kinds) do
        local conn, peer = over.connect [[
          c.wait()
          c.send(b"ping\n")
          c.wait()
          return c.recv_exactly(9)
        ]]
        local heard
        loop.run(function()
          heard = conn:read_line()
          peer:go()
        end, function()
          conn:write_str "one"
          peer:go()
          conn:write_str "two"
          conn:write_str "six"
          conn:flush()
        end)
        assert.equal("ping", heard)
        assert.equal("onetwosix", peer:result())
      end
    end)

    it_runs("a reader is not forgotten while another coroutine writes", function()
      local conn = over_tcp [[
        c.recv_exactly(3)
        c.send(b"one\n")
        c.recv_exactly(3)
        c.send(b"two\n")
        c.hold()
      ]]
      local lines, took = {}, nil
      loop.run(function()
        conn:write_str "ask"
        lines[1] = conn:read_line()
        local before = helper.clock()
        lines[2] = conn:read_line()
        took = helper.clock() - before
      end, function()
        others()
        conn:write_str "a"
        conn:write_str "sk"
      end)
      assert.same({ "one", "two" }, lines)
      assert.is_true(took < 2)
    end)

    it_runs("an end that comes with the last bytes is seen at once", function()
      local conn = over_tcp [[
        c.send(b"last\n")
        c.sock.shutdown(socket.SHUT_WR)
        c.recv_exactly(3)
        c.hold()
      ]]
      others()
      local before, rest = helper.clock(), nil
      loop.run(function()
        conn:read_line()
        conn:write_str "ask"
        rest = conn:recv()
      end)
      assert.equal("", rest)
      assert.is_true(helper.clock() - before < 2)
    end)

    it_runs("who finishes a handshake leaves what came with it to the reader", function()
      local listener = helper.keep(tcp.listen("127.0.0.1", 0, {
        tls = { cert_file = helper.pem "good", key_file = helper.pem("good", "key") },
      }))
      local peer = helper.dial(listener:port(), [[
        c.send(b"hello\n")
        c.recv_exactly(3)
        c.hold()
      ]], { tls = true })
      local conn = helper.keep(listener:accept(helper.timeout))
      local line
      local before = helper.clock()
      loop.run(function() line = conn:read_line() end, function() conn:write_str "abc" end)
      assert.equal("hello", line)
      assert.is_true(helper.clock() - before < 2)
      assert.truthy(peer)
    end)

    it_runs("a wait outside of coroutines leaves the clock to those inside", function()
      local conn = helper.connect([[ c.hold() ]], 0.1, nil, safe)
      local codes = {}
      loop.run(function() codes[1] = select(3, conn:recv()) end)
      codes[2] = select(3, conn:recv())
      local before = helper.clock()
      loop.run(function() codes[3] = select(3, conn:recv()) end)
      assert.same({ "timeout", "timeout", "timeout" }, codes)
      assert.is_true(helper.clock() - before < 2)
    end)

    it_runs("tcp.poll leaves a reader what it waits for", function()
      local conn, peer = helper.connect [[
        c.wait()
        c.send(b"line\n")
        c.hold()
      ]]
      local line
      local before = helper.clock()
      loop.run(function() line = conn:read_line() end, function()
        others()
        peer:go()
        -- Which of them is told first is the loop's affair.
        local ready = tcp.poll({ conn }, nil, 0.2)
        assert.is_true(#ready == 0 or ready[1] == conn)
      end)
      assert.equal("line", line)
      assert.is_true(helper.clock() - before < 2)
    end)

    it_runs("a large write and a large read pass each other", function()
      for _, over in ipairs(helper.kinds) do
        local conn = over.connect [[
          for _ in range(200):
            c.send(c.recv_exactly(10000)[::-1])
          c.hold()
        ]]
        local size = 2000000
        local read
        loop.run(function() read = #conn:read(size) end, function() conn:write_str(("x"):rep(size)) end)
        assert.equal(size, read)
      end
    end)

    it_runs("a second reader is told so, and so is a second writer", function()
      local conn, peer = helper.connect [[
        c.wait()
        c.send(b"first\nsecond\n")
        c.wait()
        return len(c.recv_exactly(8000000))
      ]]
      local first, second
      loop.run(function()
        first = conn:read_line()
      end, function()
        others() -- until the first one waits
        for _, name in ipairs { "read_line", "recv", "read_json_packet", "skip_packet", "read_str", "handshake" } do
          if loops.has_yielding_pcall then
            helper.fails("busy", "another coroutine is reading from this connection", function() conn[name](conn) end)
          end
        end
        -- Writing goes on.
        assert.is_nil(conn:flush())
        peer:go()
      end)
      loop.run(function() second = conn:read_line() end)
      assert.same({ "first", "second" }, { first, second })
      loop.run(function()
        conn:write_str(("x"):rep(8000000))
      end, function()
        others()
        if loops.has_yielding_pcall then
          helper.fails("busy", "another coroutine is writing to this connection", function() conn:write_str "y" end)
          helper.fails("busy", "another coroutine is writing to this connection", function() conn:shutdown() end)
        end
        peer:go()
      end)
      assert.equal(8000000, peer:result())
    end)

    it_runs("a connection that is closed ends the wait for it", function()
      local conn = helper.connect([[ c.hold() ]], 5, nil, safe)
      local listener = helper.keep(safe.listen("127.0.0.1", 0))
      local code, accepted
      local before = helper.clock()
      loop.run(function()
        code = select(3, conn:read_line())
      end, function()
        accepted = select(3, listener:accept())
      end, function()
        others()
        conn:close()
        listener:close()
      end)
      assert.same({ "closed", "closed" }, { code, accepted })
      assert.is_true(helper.clock() - before < 2)
    end)

    if loop.name ~= "own" then
      it_runs("a finalizer that a script calls by hand ends a wait", function()
        if not loops.has_yielding_pcall then return pending "Lua 5.1 cannot yield across pcall" end
        local conn = helper.connect([[ c.hold() ]], 2, nil, safe)
        local ok, message
        loop.run(function()
          ok, message = pcall(conn.read_line, conn)
        end, function()
          others()
          debug.getmetatable(conn).__gc(conn)
        end)
        assert.is_false(ok)
        assert.matches("closed: the collector has closed this object$", message)
      end)

      it_runs("a close ends a wait also when another loop or none is in use", function()
        for _, other in ipairs { function() end, false } do
          tcp.use(loop.use)
          local conn = helper.connect([[ c.hold() ]], 5, nil, safe)
          local code
          local before = helper.clock()
          loop.run(function()
            code = select(3, conn:read_line())
          end, function()
            others()
            tcp.use(other or nil)
            conn:close()
          end)
          assert.equal("closed", code)
          assert.is_true(helper.clock() - before < 2)
        end
      end)
    end

    if loop.name == "cqueues" then
      it_runs("a timeout holds after a wait in a coroutine that must not wait", function()
        local first = helper.connect([[ c.hold() ]], 0.1, nil, safe)
        local second = helper.connect([[ c.hold() ]], 0.3, nil, safe)
        local code
        local controller = loop.library.new()
        controller:wrap(function()
          -- The poller knows both by then, and has nothing new to tell.
          assert(select(3, first:read_line()) == "timeout")
          assert(select(3, second:read_line()) == "timeout")
          loop.library.sleep(0.01)
          local ok, message = coroutine.resume(coroutine.create(function() first:read_line() end))
          assert(not ok and message:find "cannot wait in a coroutine inside a task", message)
          code = select(3, second:read_line())
        end)
        local till = helper.clock() + 3
        while not code and helper.clock() < till do controller:step(3) end
        assert.equal("timeout", code)
        assert.is_true(till - helper.clock() > 2)
      end)

      it_runs("a timeout holds where the watcher begins around a wait that must not be", function()
        for _, is_first in ipairs { true, false } do
          local conns = {}
          for i = 1, 3 do conns[i] = helper.connect([[ c.hold() ]], 0.02, nil, safe) end
          local controller = loop.library.new()
          -- The poller knows all by then.
          for i = 1, 3 do controller:wrap(function() conns[i]:read_line() end) end
          assert(controller:loop())
          for i, seconds in ipairs { 60, 0.1, 0.3 } do conns[i]:set_timeout(seconds) end
          local function long() conns[1]:read_line() end
          local function refused()
            assert(not coroutine.resume(coroutine.create(function() conns[2]:read_line() end)))
          end
          controller:wrap(is_first and long or refused)
          controller:wrap(is_first and refused or long)
          local code
          controller:wrap(function()
            loop.library.sleep(0.01)
            code = select(3, conns[3]:read_line())
          end)
          local till = helper.clock() + 3
          while not code and helper.clock() < till do controller:step(0.5) end
          assert.equal("timeout", code)
        end
      end)

      it_runs("an error in the coroutine that watches keeps nobody from a timeout", function()
        if type(jit) ~= "table" then return pending "a debug hook is a coroutine's own on this Lua" end
        local first = helper.connect([[ c.hold() ]], 0.3, nil, safe)
        local second = helper.connect([[ c.hold() ]], 0.3, nil, safe)
        local codes = {}
        local controller = loop.library.new()
        local function read(conn, hook)
          controller:wrap(function()
            if hook then debug.sethook(hook, "", 1) end
            local code = select(3, conn:read_line())
            codes[#codes + 1] = code
          end)
        end
        local reader
        read(first, function()
          local this = coroutine.running()
          reader = reader or this
          if this and this ~= reader and select(2, loop.library.running()) then error("a hook's", 0) end
        end)
        local ok, message
        local till = helper.clock() + 3
        repeat ok, message = controller:step(0.1) until not ok or helper.clock() > till
        debug.sethook()
        assert.matches("a hook's", message)
        read(second)
        while #codes < 2 and helper.clock() < till do controller:step(0.1) end
        assert.same({ "timeout", "timeout" }, codes)
      end)

      it_runs("a wait that could not begin takes nobody's name away", function()
        local first = helper.keep(safe.listen("127.0.0.1", 0))
        local shared = helper.keep(safe.listen("127.0.0.1", 0))
        local function pair()
          local client = helper.keep(safe.connect("127.0.0.1", first:port(), 5))
          return client, helper.keep(first:accept(5))
        end
        local early, of_early = pair()
        local late, of_late = pair()
        local accepted, timeouts = 0, 0
        local function accept(timeout)
          local served, _, code = helper.keep(shared:accept(timeout))
          accepted, timeouts = accepted + (served and 1 or 0), timeouts + (code == "timeout" and 1 or 0)
        end
        local controller = loop.library.new()
        controller:wrap(function()
          of_late:read_line()
          accept(0.2)
          accept(0.2)
        end)
        controller:wrap(function()
          pcall(table.sort, { 2, 1 }, function() return of_early:read_line() end)
          accept(1)
        end)
        controller:step(0)
        controller:step(0)
        -- All in one turn: the wait that could not begin, the one after it, and what lets the other
        -- begin.
        early:send "x\n"
        helper.keep(safe.connect("127.0.0.1", shared:port(), 5))
        late:send "x\n"
        local till = helper.clock() + 3
        while accepted + timeouts < 3 and helper.clock() < till do controller:step(0.1) end
        assert.same({ 1, 2 }, { accepted, timeouts })
      end)
    end

    if loop.name == "luv" then
      it_runs("a wait goes on in whichever loop the time comes", function()
        local copas = loops.copas
        if not copas.found then return pending(copas.reason) end
        local codes = {}
        local function wait_for(name)
          local conn = helper.connect([[ c.hold() ]], 0.2, nil, safe)
          return function() codes[name] = select(3, conn:recv()) end
        end
        local here = coroutine.create(wait_for "luv")
        assert(coroutine.resume(here))
        tcp.use "copas"
        copas.run(wait_for "copas")
        loop.run()
        assert.same({ luv = "timeout", copas = "timeout" }, codes)
      end)

      it_runs("who waits on in a loop of the script's own is still in the way of others", function()
        local conn = helper.connect([[ c.recv_exactly(1); c.send(b"par"); c.hold() ]], 1, nil, safe)
        local reader = coroutine.create(function() conn:read_line() end)
        assert(coroutine.resume(reader))
        local waits = 0
        tcp.use(function()
          waits = waits + 1
          return coroutine.yield()
        end)
        conn:send "x"
        local till = helper.clock() + 1
        while waits == 0 and helper.clock() < till do loop.library.run "nowait" end
        assert.equal(1, waits)
        assert.equal("busy", select(3, conn:read_line()))
      end)
    end

    it_runs("a descriptor's number is used again without harm", function()
      local peer = helper.listen [[
        c.send(b"a\n")
        c.recv_exactly(1)
        c.send(b"b\n")
      ]]
      local rounds = 0
      local function visit(close)
        return function()
          for _ = 1, 30 do
            local conn = tcp.connect("127.0.0.1", peer.port, 5)
            assert.equal("a", conn:read_line())
            conn:write_str "x"
            assert.equal("b", conn:read_line())
            rounds = rounds + 1
            -- Or it is left to the collector, in the same turn in which its wait has ended.
            if close then conn:close() else conn = nil end -- luacheck: ignore 311
            collectgarbage()
          end
        end
      end
      loop.run(visit(true), visit(false), visit(false))
      assert.equal(90, rounds)
    end)

    if loop.name == "luv" then
      it_runs("a script that closes all handles has not closed ours for good", function()
        local uv = loop.library
        for _ = 1, 2 do
          local code
          loop.run(function()
            local conn = safe.connect("127.0.0.1", helper.listen([[ c.hold() ]]).port,
              { timeout = 0.05, connect_timeout = helper.timeout })
            code = select(3, conn:read_line())
            conn:close()
          end)
          assert.equal("timeout", code)
          uv.walk(function(handle)
            if not handle:is_closing() then handle:close() end
          end)
          uv.run()
        end
      end)
    end

    it_runs("failures are the same", function()
      local refused = helper.listen("", { listen = false }).port
      local untrusted = helper.listen([[ c.hold() ]], { tls = "good" }).port
      local results = {}
      local function note(...) results[#results + 1] = select(3, ...) end
      loop.run(function()
        note(safe.connect("127.0.0.1", refused, 5))
        note(safe.connect("no-such-name.invalid", 1, 5))
        note(safe.connect_tls("localhost", untrusted, { timeout = 5 }))
        note(safe.listen("127.0.0.1", untrusted))
        local conn = safe.connect("127.0.0.1", helper.listen([[ c.send(b"\xff\xff\xff\xff") ]]).port, 5)
        note(conn:read_packet())
        conn:close()
        note(conn:read_packet())
      end)
      assert.same({ "refused", "dns", "certificate", "address", "too_large", "closed" }, results)
    end)

    it_runs("start_tls yields, too", function()
      local peer = helper.listen [[
        c.recv_exactly(9)
        c.send(b"go ahead\n")
        c.handshake("good")
        c.send(b"secret\n")
        c.hold()
      ]]
      local line
      loop.run(function()
        local conn = tcp.connect("127.0.0.1", peer.port, 5)
        conn:write_str "STARTTLS\n"
        conn:read_line()
        conn = helper.keep(conn:start_tls { ca_file = helper.pem "root", server_name = "localhost" })
        line = conn:read_line()
      end)
      assert.equal("secret", line)
    end)

    it_runs("send and recv on the last connection yield, too", function()
      local peer = helper.listen [[
        c.recv_exactly(2)
        c.send(b"ok")
        c.hold()
      ]]
      local answer
      loop.run(function()
        helper.keep(tcp.connect("127.0.0.1", peer.port, 5))
        tcp.send "hi"
        answer = tcp.recv()
      end)
      assert.equal("ok", answer)
    end)

    it_runs("outside a coroutine it blocks", function()
      local conn = helper.connect [[
        c.wait()
        c.send(b"x\n")
      ]]
      conn:set_timeout(0.05)
      helper.fails("timeout", "", function() conn:read_line() end)
    end)

    if coroutine.wrap(function() for _ in function() return coroutine.yield(true) end do return end end) then
      it_runs("iterators yield where the Lua lets them", function()
        if not loops.has_yielding_pcall then return end
        local conn = helper.connect [[
          for text in (b"one\n", b"two\n", b"three"):
            c.send(text)
            time.sleep(0.01)
        ]]
        local lines = {}
        loop.run(function()
          for line in conn:lines() do lines[#lines + 1] = line end
        end)
        assert.same({ "one", "two", "three" }, lines)
      end)
    end

    it_runs("what is abandoned is collected", function()
      collectgarbage()
      collectgarbage()
      local sockets = helper.sockets()
      local peer = helper.listen [[ c.hold() ]]
      do
        local thread = coroutine.create(function()
          local conn = tcp.connect("127.0.0.1", peer.port, 60)
          conn:read_line()
        end)
        if loop.name == "cqueues" then
          local queue = loop.library.new():wrap(function()
            local conn = tcp.connect("127.0.0.1", peer.port, 60)
            conn:read_line()
          end)
          for _ = 1, 5 do queue:step(0.05) end
          assert.is_true(helper.sockets() > sockets)
        elseif loop.name == "own" then
          -- A loop that forgets what it was asked for.
          tcp.use(coroutine.yield)
          for _ = 1, 10 do coroutine.resume(thread) end
          assert.is_true(helper.sockets() > sockets)
        end
      end
      tcp.use(nil)
      tcp.connect("127.0.0.1", peer.port):close() -- the last one is kept
      collectgarbage()
      collectgarbage()
      assert.equal(sockets, helper.sockets())
    end)
  end)
end
