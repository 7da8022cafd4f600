-- The other end: `listen`, `accept`, `connections`, and TLS as the server of it.

local helper = require "spec.support.helper"
local tcp = require "tcp"
local safe = require "tcp.safe"

-- A listener on a port of its own.
local function listen(options, module)
  return helper.keep((module or tcp).listen("127.0.0.1", 0, options))
end

local function accept(listener, timeout)
  return helper.keep(listener:accept(timeout or helper.timeout))
end

-- The options of a TLS listener with this certificate, and more.
local function serving(certificate, options)
  local all = { cert_file = helper.pem(certificate), key_file = helper.pem(certificate, "key") }
  for name, value in pairs(options or {}) do all[name] = value end
  return { tls = all, timeout = helper.timeout }
end

-- For a peer that dials only when the spec says so: its code, run by `c.wait()`.
local function later(port, code)
  return helper.connect(([[
    c.wait()
    time.sleep(0.1)
    with socket.create_connection(("127.0.0.1", %d), 5) as s:
      %s
      while s.recv(100): pass
  ]]):format(port, code or "pass"))
end

describe("listen", function()
  after_each(helper.finish)

  it("takes any free port for 0, and tells it", function()
    local listener = listen()
    local port = listener:port()
    assert.is_true(port > 0 and port < 65536 and port % 1 == 0)
    assert.not_equal(port, listen():port())
    assert.same({ host = "127.0.0.1", sock = { ip = "127.0.0.1", port = port } }, listener:info())
    assert.equal("tcp.Listener: 127.0.0.1:" .. port, tostring(listener))
    assert.equal("userdata", type(listener))
  end)

  it("takes the port that it is told", function()
    local host = "127.0.0.77" -- no other spec asks for a port there
    local listener = tcp.listen(host, 0)
    local port = listener:port()
    listener:close()
    listener = helper.keep(tcp.listen(host, port))
    assert.equal(port, listener:port())
    helper.dial(port, "", { host = host })
    accept(listener)
  end)

  it("takes a name", function()
    local listener = helper.keep(tcp.listen("localhost", 0, { family = "inet" }))
    assert.same({ host = "localhost", sock = { ip = "127.0.0.1", port = listener:port() } }, listener:info())
    helper.dial(listener:port(), "")
    accept(listener)
  end)

  it("takes an IPv6 address", function()
    for _, host in ipairs { "::1", "[::1]" } do
      local listener = helper.keep(tcp.listen(host, 0))
      assert.equal("::1", listener:info().sock.ip)
      assert.equal(("tcp.Listener: [::1]:%d"):format(listener:port()), tostring(listener))
      helper.dial(listener:port(), "", { host = "::1" })
      assert.equal("::1", accept(listener):info().peer.ip)
    end
  end)

  it("listens at every address for 0.0.0.0", function()
    local listener = helper.keep(tcp.listen("0.0.0.0", 0))
    helper.dial(listener:port(), "")
    assert.same({ ip = "127.0.0.1", port = listener:port() }, accept(listener):info().sock)
  end)

  describe("fails with address", function()
    it("where the address is in use", function()
      local port = listen():port()
      for _, options in ipairs { {}, { reuse_addr = false }, { reuse_addr = true }, { reuse_port = true } } do
        local message = helper.fails("address", "", function() tcp.listen("127.0.0.1", port, options) end)
        assert.equal(("listen 127.0.0.1:%d: address: address already in use"):format(port), message)
        helper.fails_safely("address", "", safe.listen("127.0.0.1", port, options))
      end
    end)

    it("where the address is not ours", function()
      helper.fails("address", "^listen 192%.0%.2%.1:0: address: cannot assign requested address$",
        function() tcp.listen("192.0.2.1", 0) end)
    end)

    it("but not where both share a port", function()
      local port = listen({ reuse_port = true }):port()
      helper.keep(tcp.listen("127.0.0.1", port, { reuse_port = true }))
      helper.fails("address", "in use", function() tcp.listen("127.0.0.1", port) end)
    end)

    it("with reuse_addr = false where an old connection lingers", function()
      local listener = listen()
      local port = listener:port()
      local peer = helper.dial(port, [[ return c.ending() ]])
      accept(listener):close() -- this end closes first, and waits a minute for stray packets
      assert.equal("end", peer:result())
      listener:close()
      helper.fails("address", "in use", function() tcp.listen("127.0.0.1", port, { reuse_addr = false }) end)
      helper.keep(tcp.listen("127.0.0.1", port))
    end)
  end)

  it("fails with dns where the name does not resolve", function()
    helper.fails("dns", "^listen nobody%.invalid:0: dns: ", function() tcp.listen("nobody.invalid", 0) end)
  end)

  it("fails with tls where the certificate cannot be used, and listens not", function()
    local before = helper.sockets()
    helper.fails("tls", "", function() tcp.listen("127.0.0.1", 0, { tls = {} }) end)
    assert.equal(before, helper.sockets())
  end)

  it("keeps as many clients as backlog says", function()
    local listener = listen { backlog = 1 }
    -- Linux keeps one more.
    local said = helper.run(([[
      local tcp = require "tcp.safe"
      local kept = {}
      for i = 1, 3 do
        local conn, _, code = tcp.connect("127.0.0.1", %d, 0.1)
        kept[i] = conn
        io.write(code or "connected", " ")
      end
    ]]):format(listener:port()))
    assert.equal("connected connected timeout ", said)
  end)

  for _, case in ipairs {
    { "a host", { nil, 80 }, "#1 to 'listen' (string expected, got nil)" },
    { "a port", { "127.0.0.1" }, "#2 to 'listen' (number expected, got nil)" },
    { "a port below 65536", { "127.0.0.1", 65536 }, "#2 to 'listen'" },
    { "a port not below 0", { "127.0.0.1", -1 }, "#2 to 'listen'" },
    { "a whole port", { "127.0.0.1", 1.5 }, "#2 to 'listen'" },
    { "options in a table", { "127.0.0.1", 0, 5 }, "#3 to 'listen' (table expected, got number)" },
    { "options that it knows", { "127.0.0.1", 0, { backlogg = 1 } }, "#3 to 'listen' (unknown option 'backlogg')" },
    { "no address to bind besides", { "127.0.0.1", 0, { bind = "127.0.0.1" } },
      "#3 to 'listen' (unknown option 'bind')" },
    { "the options of TLS under tls", { "127.0.0.1", 0, { verify = false } },
      "#3 to 'listen' (option 'verify': it belongs into the table tls)" },
    { "a whole backlog", { "127.0.0.1", 0, { backlog = 1.5 } }, "#3 to 'listen' (option 'backlog': " },
    { "reuse_addr to be a boolean", { "127.0.0.1", 0, { reuse_addr = 1 } },
      "#3 to 'listen' (option 'reuse_addr': boolean expected, got number)" },
    { "reuse_port to be a boolean", { "127.0.0.1", 0, { reuse_port = "yes" } },
      "#3 to 'listen' (option 'reuse_port': boolean expected, got string)" },
    { "tls to be a table", { "127.0.0.1", 0, { tls = true } },
      "#3 to 'listen' (option 'tls': table expected, got boolean)" },
  } do
    it("wants " .. case[1], function()
      for _, module in ipairs { tcp, safe } do
        local ok, message = pcall(module.listen, case[2][1], case[2][2], case[2][3])
        assert.is_false(ok)
        message = message:gsub("got no value", "got nil")
        assert.is_truthy(message:find("bad argument " .. case[3], 1, true), message)
      end
    end)
  end
end)

describe("accept", function()
  after_each(helper.finish)

  it("gives the next client, in the order that they came", function()
    local listener = listen()
    local first = helper.dial(listener:port(), [[ c.send(b"first"); c.recv_all() ]])
    local second = helper.dial(listener:port(), [[ c.send(b"second"); c.recv_all() ]])
    local one, two = accept(listener), accept(listener)
    assert.equal("first", one:read(5))
    assert.equal("second", two:read(6))
    assert.same({ ip = "127.0.0.1", port = first:sees()[2] }, one:info().sock)
    assert.equal(listener:port(), second:sees()[2])
  end)

  it("gives a connection like any other", function()
    local listener = listen()
    helper.dial(listener:port(), [[
      c.send_packet({"question": 1})
      c.recv_packet()
      c.send(b"a line\nthe rest")
    ]])
    local conn = accept(listener)
    local info = conn:info()
    assert.equal("127.0.0.1", info.host)
    assert.equal("127.0.0.1", info.peer.ip)
    assert.equal(listener:port(), info.sock.port)
    assert.is_nil(info.tls)
    assert.equal(("tcp.Connection: 127.0.0.1:%d -> 127.0.0.1:%d"):format(info.sock.port, info.peer.port),
      tostring(conn))
    assert.same({ question = 1 }, conn:read_json_packet())
    conn:write_json_packet { answer = true }
    assert.equal("a line", conn:read_line())
    assert.equal("the rest", conn:read_str())
    -- Its messages name the client.
    conn:close()
    helper.fails("closed", ("^recv 127%%.0%%.0%%.1:%d: closed: "):format(info.peer.port), function() conn:recv() end)
  end)

  it("waits for ever by default, whatever the timeout of its connections", function()
    local listener = listen { timeout = 0.02 }
    local _, peer = later(listener:port())
    local before = helper.clock()
    peer:go()
    accept(listener, nil) -- helper's own
    assert.is_true(helper.clock() - before > 0.05)
    helper.finish()

    listener = listen { timeout = 0.02 }
    _, peer = later(listener:port())
    peer:go()
    local conn = helper.keep(listener:accept())
    helper.fails("timeout", "^read_str ", function() conn:read_str() end)
  end)

  it("waits as long as it is told", function()
    local listener = listen()
    helper.takes(0.15, function() end, function()
      helper.fails("timeout", ("^accept 127%%.0%%.0%%.1:%d: timeout: no client$"):format(listener:port()),
        function() listener:accept(0.15) end)
    end)
    helper.takes(0.05, function() end, function()
      helper.fails_safely("timeout", "no client", listen(nil, safe):accept(0.05))
    end)
    -- Nothing is wrong with the listener.
    helper.dial(listener:port(), "")
    accept(listener)
  end)

  it("does not wait with 0", function()
    local listener = listen()
    helper.takes(0, function() end, function()
      helper.fails("timeout", "no client", function() listener:accept(0) end)
    end)
    local peer = helper.dial(listener:port(), "")
    peer:sees() -- it is connected
    helper.keep(listener:accept(0))
  end)

  it("wants a time", function()
    local listener = listen()
    for _, case in ipairs {
      { -1, "seconds over 0 expected, got -1" }, { 0 / 0, "seconds over 0 expected, got " },
      { "soon", "number expected, got string" }, { {}, "number expected, got table" },
    } do
      local ok, message = pcall(listener.accept, listener, case[1])
      assert.is_false(ok)
      assert.is_truthy(message:lower():find("bad argument #1 to 'accept' (" .. case[2], 1, true), message)
    end
    helper.fails("timeout", "", function() listener:accept "0.01" end)
  end)

  it("gives clients their options", function()
    local listener = listen { timeout = 0.05, max_packet = 10, endian = "little", null = "nil", nodelay = false }
    helper.dial(listener:port(), [[
      c.send(struct.pack("<I", 4) + b"null" + struct.pack("<I", 8) + b'[{"a":0}' + struct.pack("<I", 11))
      c.hold()
    ]])
    local conn = accept(listener)
    assert.equal(tcp.json.null, conn:read_json_packet())
    helper.fails("json", "", function() conn:read_json_packet() end)
    helper.fails("too_large", "", function() conn:read_json_packet() end)
    helper.takes(0.05, function() end, function()
      helper.fails("timeout", "", function() conn:read(1000) end)
    end)
  end)

  it("gives what the module gave that made the listener", function()
    local listener = listen(nil, safe)
    helper.dial(listener:port(), "")
    local conn = accept(listener)
    conn:set_timeout(0.02)
    assert.equal("", conn:read_str())
    helper.fails_safely("closed", "end of stream", conn:read(1))
  end)

  it("leaves alone the connection that send and recv are about", function()
    helper.connect [[ c.send(b"from the other end"); c.hold() ]]
    local listener = listen()
    helper.dial(listener:port(), [[ c.send(b"from a client"); c.hold() ]])
    accept(listener)
    assert.equal("from the other end", tcp.recv())
  end)

  it("passes over a client that is gone already", function()
    local listener = listen()
    local gone = helper.dial(listener:port(), [[ c.reset() ]])
    gone:result()
    helper.dial(listener:port(), [[ c.send(b"here"); c.recv_all() ]])
    local conn = accept(listener)
    -- A system may hand it out all the same; that one cannot be read from.
    local ok, said = pcall(conn.read, conn, 4)
    if not ok then
      assert.matches(": closed: ", said)
      said = accept(listener):read(4)
    end
    assert.equal("here", said)
  end)

  it("takes a thousand clients one after the other, and leaves no socket behind", function()
    local listener = listen()
    local before = helper.sockets()
    local peer = helper.connect(([[
      for i in range(1000):
        with socket.create_connection(("127.0.0.1", %d), 5) as s:
          s.sendall(b"%%d" %% i)
      c.send(b"done")
    ]]):format(listener:port()))
    for i = 0, 999 do
      local conn = listener:accept(helper.timeout)
      assert.equal(tostring(i), conn:read_str())
      conn:close()
    end
    assert.equal("done", peer:read_str())
    peer:close()
    assert.equal(before, helper.sockets())
  end)
end)

-- Runs Lua source in a fresh process that may have 40 descriptors; gives its output. `exhaust()`
-- takes all that are left, and `relieve()` gives some back.
local function run_short(code, preload)
  local said, status = helper.run([[
    local tcp, safe, helper = require "tcp", require "tcp.safe", require "spec.support.helper"
    helper.clock()
    local files = {}
    local function exhaust()
      repeat
        local file = io.open "/dev/null"
        files[#files + 1] = file
      until not file
    end
    local function relieve()
      for _ = 1, 5 do table.remove(files):close() end
    end
  ]] .. code, "ulimit -n 40 &&", preload)
  assert.equal(0, status, said)
  return said
end

describe("a listener that has no descriptor for a client", function()
  it("fails, keeps the client, and is not readable for a moment", function()
    run_short [[
      local listener = tcp.listen("127.0.0.1", 0)
      local client = tcp.connect("127.0.0.1", listener:port(), 3)
      assert(#tcp.poll({ listener }, nil, 3) == 1)
      exhaust()
      local before, rounds, quiet, took = helper.clock(), 0, 0, 0
      repeat
        assert(tcp.poll({ listener }, nil, 1)[1] == listener)
        local failed = helper.clock()
        local ok, message = pcall(listener.accept, listener, 0)
        assert(not ok and message:find "io: too many open files", message)
        local is_quiet = #tcp.poll({ listener, client }, { listener }, 0) == 0
        -- For 100 ms, which a slow machine may have taken for this; the clock may be one of 10 ms.
        assert(is_quiet or helper.clock() - failed > 0.08)
        quiet = quiet + (is_quiet and 1 or 0)
        rounds = rounds + 1
        took = helper.clock() - before
        -- There are 100 ms between two; the clock may be one of 10 ms.
        assert((rounds - 1) * 0.1 <= took + 0.011, rounds)
      until took > 0.5 and quiet > 1
      relieve()
      client:send "x"
      assert(listener:accept(0):read(1) == "x")
    ]]
  end)

  it("goes on with its iterator when there are some again", function()
    run_short [[
      local listener = tcp.listen("127.0.0.1", 0)
      local client = tcp.connect("127.0.0.1", listener:port(), 3)
      client:send "x"
      exhaust()
      local before, cpu = helper.clock(), os.clock()
      debug.sethook(function()
        if helper.clock() - before > 0.3 then
          debug.sethook()
          relieve()
        end
      end, "", 1)
      for conn in listener:connections() do
        assert(conn:read(1) == "x")
        assert(helper.clock() - before < 1)
        assert(os.clock() - cpu < 0.2, os.clock() - cpu)
        listener:close()
      end
    ]]
  end)

  for _, name in ipairs { "cqueues", "luv" } do
    it("goes on with its iterator in a loop of " .. name .. ", where others have their turns", function()
      local found, why = helper.loop(name)
      if not found then return pending(why) end
      run_short(([[
        local loops = require "spec.support.loops"
        local listener, silent = safe.listen("127.0.0.1", 0), safe.listen("127.0.0.1", 0)
        local cpu, turns = os.clock(), 0
        local is_short = false
        loops.%s.within(function()
          -- The loop has its own descriptors by then.
          assert(select(3, listener:accept(0.01)) == "timeout")
          local client = safe.connect("127.0.0.1", listener:port(), 3)
          client:send "x"
          exhaust()
          is_short = true
          local next = listener:connections()
          assert(next():read(1) == "x")
          assert(turns > 3, turns)
          listener:close()
          assert(next() == nil)
        end, function()
          repeat silent:accept(0.01) until is_short
          for _ = 1, 4 do
            silent:accept(0.1)
            turns = turns + 1
          end
          relieve()
        end)
        assert(os.clock() - cpu < 0.3)
      ]]):format(name))
    end)
  end
end)

describe("a listener whose client failed before it was accepted", function()
  after_each(helper.finish)

  local preload
  setup(function() preload = helper.preload "tests/faults/fault.c" end)

  for _, case in ipairs {
    { "the connection was aborted", "accept4", 103 }, { "its protocol failed", "accept4", 71 },
    { "the network is down", "accept4", 100 }, { "there is no such option", "accept4", 92 },
    { "its host is down", "accept4", 112 }, { "the machine is not on the network", "accept4", 64 },
    { "no route to it", "accept4", 113 }, { "not supported", "accept4", 95 },
    { "the network is unreachable", "accept4", 101 }, { "a firewall forbids it", "accept4", 1 },
    { "an option is refused", "setsockopt", 22 }, { "its address is refused", "getsockname", 107 },
  } do
    it("goes on with the next one: " .. case[1], function()
      if not preload then return pending "there is no C compiler for it" end
      run_short(([[
        local listener = tcp.listen("127.0.0.1", 0)
        local clients = {}
        for i = 1, 4 do
          clients[i] = tcp.connect("127.0.0.1", listener:port(), 3)
          clients[i]:send "x"
        end
        os.getenv "fault:arm %s 1 %d"
        local conn = listener:accept(0)
        assert(os.getenv "fault:stop":find "hits=1 ")
        assert(conn:read(1) == "x")
        os.getenv "fault:arm %s 1 %d"
        for each in listener:connections() do
          assert(os.getenv "fault:stop":find "hits=1 ")
          assert(each:read(1) == "x")
          break
        end
      ]]):format(case[2], case[3], case[2], case[3]), preload)
    end)
  end
end)

describe("connections", function()
  after_each(helper.finish)

  it("iterates over clients until the listener is closed", function()
    for _, module in ipairs { tcp, safe } do
      local listener = listen(nil, module)
      helper.dial(listener:port(), [[ c.send(b"x"); c.recv_all() ]], { times = 3 })
      local count = 0
      for conn in listener:connections() do
        assert.equal("x", conn:read(1))
        conn:close()
        count = count + 1
        if count == 3 then listener:close() end
      end
      assert.equal(3, count)
    end
  end)

  it("ends at once on one that is closed", function()
    local listener = listen()
    listener:close()
    for _ in listener:connections() do assert(false, "a client of a closed listener") end
  end)

  it("wants a listener", function()
    local listener = listen()
    local connection = helper.connect [[ c.hold() ]]
    for _, self in ipairs { 5, "x", connection } do
      local ok, message = pcall(function()
        for _ in listener.connections(self) do break end
      end)
      assert.is_false(ok)
      assert.matches("bad argument #1 to '[%l_]+' %(tcp%.Listener expected, got ", message)
    end
  end)
end)

describe("a listener", function()
  after_each(helper.finish)

  it("frees its port when it is closed, any number of times", function()
    local listener = listen()
    local port = listener:port()
    assert.is_true(listener:is_open())
    listener:close()
    listener:close()
    assert.is_false(listener:is_open())
    assert.equal(("tcp.Listener: 127.0.0.1:%d (closed)"):format(port), tostring(listener))
    helper.keep(tcp.listen("127.0.0.1", port, { reuse_addr = false }))
  end)

  it("says closed to every call after that", function()
    local listener = listen()
    local port = listener:port()
    listener:close()
    for _, name in ipairs { "accept", "port", "info", "fd", "getfd", "pollfd", "dirty", "events", "timeout" } do
      local pattern = "^%s 127%%.0%%.0%%.1:%d: closed: this listener was closed by the script$"
      helper.fails("closed", pattern:format(name, port), function() listener[name](listener) end)
    end
    local other = listen(nil, safe)
    other:close()
    helper.fails_safely("closed", "", other:accept(1))
  end)

  it("is closed by the collector", function()
    local port
    do
      local listener = tcp.listen("127.0.0.1", 0)
      port = listener:port()
    end
    collectgarbage()
    collectgarbage()
    helper.keep(tcp.listen("127.0.0.1", port, { reuse_addr = false }))
  end)

  if _VERSION >= "Lua 5.4" then
    it("is closed by its variable's end", function()
      local port = assert(load [[
        local listener <close> = require("tcp").listen("127.0.0.1", 0)
        return listener:port()
      ]])()
      helper.keep(tcp.listen("127.0.0.1", port, { reuse_addr = false }))
    end)
  end

  it("has what loops wait on", function()
    local listener = listen()
    local fd = listener:fd()
    assert.is_true(fd > 2 and fd % 1 == 0)
    assert.equal(fd, listener:getfd())
    assert.equal(fd, listener:pollfd())
    assert.equal("r", listener:events())
    assert.is_nil(listener:timeout())
    assert.is_false(listener:dirty())
  end)

  it("takes no method of a connection for its own", function()
    local listener = listen()
    assert.is_nil(listener.recv)
    local connection = helper.connect [[ c.hold() ]]
    assert.has_error(function() listener.accept(connection) end,
      "bad argument #1 to 'accept' (tcp.Listener expected, got userdata)")
    assert.has_error(function() connection.recv(listener) end,
      "bad argument #1 to 'recv' (tcp.Connection expected, got userdata)")
  end)

  it("is not inherited by programs that the script starts", function()
    local listener = listen()
    helper.dial(listener:port(), [[ c.hold() ]])
    local conn = accept(listener)
    local command = "ls -l /proc/self/fd/%d /proc/self/fd/%d 2>&1 | grep -c socket:"
    local pipe = io.popen(command:format(listener:fd(), conn:fd()))
    assert.equal("0\n", pipe:read "*a")
    pipe:close()
  end)
end)

describe("TLS at the listening end", function()
  after_each(helper.finish)

  -- What went wrong at the client's end.
  local function trouble(peer)
    local ok, message = pcall(peer.result, peer)
    assert.is_false(ok)
    return message
  end

  for _, version in ipairs { "1.2", "1.3" } do
    it("speaks TLS " .. version, function()
      local listener = listen(serving "good")
      local peer = helper.dial(listener:port(), [[
        c.send(b"question")
        return c.recv_all()
      ]], { tls = true, version = version })
      local conn = accept(listener)
      assert.matches("^tcp%.TlsConnection: ", tostring(conn))
      assert.equal("question", conn:read(8))
      local info = conn:info().tls
      assert.equal("TLSv" .. version, info.version)
      assert.equal("localhost", info.server_name)
      assert.is_false(info.resumed)
      -- The client has shown nothing.
      assert.is_nil(info.certificate)
      assert.same({}, info.chain)
      assert.is_false(info.verified)
      assert.is_nil(info.verify_error)
      conn:send "answer"
      conn:shutdown()
      assert.equal("answer", peer:result())
    end)
  end

  it("shows the chain, and the key of its kind", function()
    for _, certificate in ipairs { "rsa", "ed25519", "p384", "pss" } do
      local listener = listen(serving(certificate))
      local peer = helper.dial(listener:port(), [[ return c.sock.getpeercert(True) ]], { tls = true })
      accept(listener):handshake()
      local der = peer:result()
      local pem = helper.contents(helper.pem(certificate))
      local pipe = io.popen("openssl x509 -outform DER -in " .. helper.pem(certificate), "r")
      assert.is_true(pipe:read "*a" == der, pem)
      pipe:close()
    end
  end)

  describe("runs the handshake", function()
    for _, case in ipairs {
      { "first read", function(conn) assert.equal("hello", conn:read(5)) end },
      { "first write", function(conn) conn:send "hi" end },
      { "handshake()", function(conn) conn:handshake(); conn:handshake() end },
      { "shutdown()", function(conn) conn:shutdown() end },
    } do
      it("with the " .. case[1], function()
        local listener = listen(serving "good")
        local peer = helper.dial(listener:port(), [[
          c.send(b"hello")
          return c.recv_all()
        ]], { tls = true })
        local conn = accept(listener)
        case[2](conn)
        assert.equal("TLSv1.3", conn:info().tls.version)
        conn:shutdown()
        assert.equal(case[1] == "first write" and "hi" or "", peer:result())
      end)
    end

    it("in the time of that call", function()
      local listener = listen(serving "good")
      for _, act in ipairs {
        function(conn) conn:read(1) end, function(conn) conn:send "x" end,
        function(conn) conn:handshake() end, function(conn) conn:shutdown() end,
      } do
        helper.takes(0.1, function()
          helper.dial(listener:port(), [[ c.hold() ]])
          local conn = accept(listener)
          conn:set_timeout(0.1)
          return conn
        end, function(conn)
          local ok, message = pcall(act, conn)
          assert.is_false(ok)
          assert.matches(": timeout: ", message)
        end)
      end
    end)

    it("and no silent client holds up another one", function()
      local listener = listen(serving "good")
      helper.dial(listener:port(), [[ c.hold() ]], { times = 100 })
      helper.dial(listener:port(), [[
        c.send(b"here I am")
        c.recv_all()
      ]], { tls = true })
      local before = helper.clock()
      local conn
      for _ = 1, 101 do conn = accept(listener) end
      assert.equal("here I am", conn:read(9))
      assert.is_true(helper.clock() - before < 2)
    end)

    it("not for a client that is closed without", function()
      local listener = listen(serving "good")
      local peer = helper.dial(listener:port(), [[ return c.ending() ]])
      local conn = accept(listener)
      conn:close()
      assert.equal("end", peer:result())
    end)
  end)

  describe("says of a client that", function()
    for _, case in ipairs {
      { "speaks no TLS", [[ c.send(b"EHLO there\r\n"); c.recv_all() ]], "tls", "the peer does not speak TLS" },
      { "speaks HTTP", [[ c.send(b"GET / HTTP/1.0\r\n\r\n"); c.recv_all() ]], "tls",
        "the peer does not speak TLS %(http request%)$" },
      { "goes away", [[ c.close() ]], "closed", "in the TLS handshake" },
      { "resets", [[ c.reset() ]], "closed", "in the TLS handshake" },
      { "stops in its first record", [[ c.send(b"\x16\x03\x01\x02\x00\x01"); c.close() ]], "closed",
        "in the TLS handshake" },
    } do
      it(case[1], function()
        local listener = listen(serving "good")
        helper.dial(listener:port(), case[2])
        local conn = accept(listener)
        local label = ("127%%.0%%.0%%.1:%d: "):format(conn:info().peer.port)
        helper.fails(case[3], "^handshake " .. label .. ".*" .. case[4], function() conn:handshake() end)
        -- And again, whatever is tried.
        helper.fails(case[3], "^read " .. label .. ".*" .. case[4], function() conn:read(1) end)
        helper.fails(case[3], "^send " .. label .. ".*" .. case[4], function() conn:send "x" end)
      end)
    end

    it("does not believe us", function()
      local listener = listen(serving "self_signed")
      local peer = helper.dial(listener:port(), "", { tls = true })
      local conn = accept(listener)
      helper.fails("tls", "^read 127%.0%.0%.1:%d+: tls: .*unknown ca "
        .. "%(the client refuses our certificate; the chain belongs into cert_file, too%)$",
        function() conn:read(1) end)
      assert.matches("CERTIFICATE_VERIFY_FAILED", trouble(peer))
    end)

    it("has no cipher in common with us", function()
      local listener = listen(serving("good", { ciphers = "ECDHE-ECDSA-AES128-GCM-SHA256" }))
      local peer = helper.dial(listener:port(), "",
        { tls = true, version = "1.2", ciphers = "ECDHE-RSA-AES128-GCM-SHA256" })
      local words = "no shared cipher %(see ciphers, signature_algorithms, and the kind of key in key_file%)$"
      helper.fails("tls", words, function()
        local conn = accept(listener)
        conn:read(1)
      end)
      assert.matches("HANDSHAKE.FAILURE", trouble(peer):upper())
    end)

    it("has no version in common with us", function()
      local options = serving("good", { min_version = "1.3" })
      local listener = listen(options)
      local peer = helper.dial(listener:port(), "", { tls = true, version = "1.2" })
      helper.fails("tls", "unsupported protocol %(no version in common, see min_version and max_version%)$", function()
        local conn = accept(listener)
        conn:read(1)
      end)
      assert.matches("PROTOCOL.VERSION", trouble(peer):upper())
    end)
  end)

  describe("with ca_file", function()
    for _, version in ipairs { "1.2", "1.3" } do
      local function dial(listener, certificate)
        return helper.dial(listener:port(), [[
          c.send(b"hello")
          return c.recv_all()
        ]], { tls = true, version = version, certificate = certificate })
      end

      it("knows who a client is, over TLS " .. version, function()
        local listener = listen(serving("good", { ca_file = helper.pem "root" }))
        local peer = dial(listener, "client")
        local conn = accept(listener)
        assert.equal("hello", conn:read(5))
        local info = conn:info().tls
        assert.is_true(info.verified)
        assert.equal("client.example", info.certificate.subject.CN)
        assert.same(info.certificate, info.chain[1])
        assert.equal("Specs Intermediate", info.chain[2].subject.CN)
        conn:shutdown()
        assert.equal("", peer:result())
      end)

      for _, case in ipairs {
        { "without a certificate", nil, "tls",
          "peer did not return a certificate %(ca_file, ca_dir, ca or pin_sha256 demand one of each client%)",
          "required" },
        { "of another CA", "client_stranger", "certificate", "unknown issuer 'Stranger Root'", "UNKNOWN_CA" },
        { "whose certificate has expired", "client_expired", "certificate",
          "expired on Jun 30 12:00:00 2021 GMT %('client.example'%)", "EXPIRED" },
        { "with a certificate for servers", "direct", "certificate", "purpose", "" },
      } do
        it("refuses a client " .. case[1] .. " over TLS " .. version, function()
          for _, options in ipairs {
            { ca_file = helper.pem "root" }, { ca = helper.contents(helper.pem "root") },
            { ca_dir = helper.certificates .. "/hashed" },
          } do
            local listener = listen(serving("good", options))
            local peer = dial(listener, case[2])
            local conn = accept(listener)
            helper.fails(case[3], ("^read 127%%.0%%.0%%.1:%%d+: %s: .*%s"):format(case[3], case[4]),
              function() conn:read(5) end)
            helper.fails(case[3], case[4], function() conn:send "x" end)
            if case[3] == "certificate" then
              local info = conn:info().tls
              assert.is_false(info.verified)
              assert.matches(case[4], info.verify_error)
            end
            conn:close()
            trouble(peer)
          end
        end)
      end

      it("and verify = false takes each client, and tells, over TLS " .. version, function()
        local listener = listen(serving("good", { ca_file = helper.pem "root", verify = false }))
        for _, case in ipairs {
          { "client", true }, { "client_stranger", false, "unknown issuer" }, { "client_expired", false, "expired on" },
          { nil, false },
        } do
          local peer = dial(listener, case[1])
          local conn = accept(listener)
          assert.equal("hello", conn:read(5))
          local info = conn:info().tls
          assert.equal(case[2], info.verified)
          assert.equal(case[1] and "client.example", info.certificate and info.certificate.subject.CN)
          if case[3] then assert.matches(case[3], info.verify_error) else assert.is_nil(info.verify_error) end
          conn:shutdown()
          assert.equal("", peer:result())
        end
      end)

      it("and a pin wants that very key, over TLS " .. version, function()
        local plain = listen(serving("good", { ca_file = helper.pem "root" }))
        dial(plain, "client")
        local conn = accept(plain)
        conn:handshake()
        local key = conn:info().tls.certificate.public_key_sha256
        conn:close()

        local pinned = listen(serving("good", { ca_file = helper.pem "root", pin_sha256 = key }))
        local peer = dial(pinned, "client")
        conn = accept(pinned)
        assert.equal("hello", conn:read(5))
        conn:shutdown()
        assert.equal("", peer:result())

        local other = listen(serving("good", { ca_file = helper.pem "root", pin_sha256 = ("00"):rep(32) }))
        for _, act in ipairs {
          function(this) this:read(5) end, function(this) this:send "secret" end, function(this) this:shutdown() end,
        } do
          peer = dial(other, "client")
          conn = accept(other)
          helper.fails("certificate", "pin mismatch: the public key's SHA%-256 is " .. key:gsub("%p", "%%%0"),
            function() conn:handshake() end)
          -- Nothing passes afterwards either.
          assert.has_error(function() act(conn) end)
          conn:close()
          assert.not_equal("secret", select(2, pcall(peer.result, peer)))
        end
        -- Nor without the handshake's own method.
        dial(other, "client")
        conn = accept(other)
        helper.fails("certificate", "pin mismatch", function() conn:read(5) end)

        -- A pin alone is reason to ask.
        local unverified = listen(serving("good", { verify = false, pin_sha256 = key }))
        dial(unverified, "client")
        assert.equal("hello", accept(unverified):read(5))
        dial(unverified, nil)
        helper.fails("tls", "did not return a certificate", function()
          conn = accept(unverified)
          conn:read(5)
        end)
      end)
    end
  end)

  it("gives a refused client in the details of tcp.safe", function()
    local listener = listen(serving("good", { ca_file = helper.pem "root" }), safe)
    helper.dial(listener:port(), [[ c.recv_all() ]], { tls = true, certificate = "client_expired" })
    local conn = accept(listener)
    local _, details = helper.fails_safely("certificate", "expired", conn:handshake())
    assert.equal("client.example", details.certificate.subject.CN)
  end)

  describe("with alpn", function()
    local function agreed(ours, theirs)
      local listener = listen(serving("good", { alpn = ours }))
      local peer = helper.dial(listener:port(), [[ return c.sock.selected_alpn_protocol() ]],
        { tls = true, alpn = theirs })
      local conn = accept(listener)
      conn:handshake()
      assert.equal(peer:result(), conn:info().tls.alpn)
      return conn:info().tls.alpn
    end

    it("takes the first of its own that the client has", function()
      assert.equal("h2", agreed({ "h2", "http/1.1" }, "http/1.1,h2"))
      assert.equal("http/1.1", agreed({ "imap", "http/1.1" }, "http/1.1,h2"))
    end)

    it("goes on without where the client does not ask, or the listener does not offer", function()
      assert.is_nil(agreed({ "h2" }, nil))
      assert.is_nil(agreed(nil, "h2"))
    end)

    it("refuses a client that has none of its own", function()
      local listener = listen(serving("good", { alpn = { "h2" } }))
      local peer = helper.dial(listener:port(), "", { tls = true, alpn = "imap" })
      helper.fails("tls", "no application protocol %(the client speaks none of alpn%)$", function()
        local conn = accept(listener)
        conn:handshake()
      end)
      assert.matches("NO.APPLICATION.PROTOCOL", trouble(peer):upper())
    end)
  end)

  for _, version in ipairs { "1.2", "1.3" } do
    -- Dials these ports one after the other with one session, in whose context `code` has a say;
    -- the peer sends how it went each time.
    local function resuming(ports, code)
      return helper.connect(([[
        context = ssl.create_default_context(cafile=os.path.join(CERTIFICATES, "root.pem"))
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_%s
        %s
        session = None
        for port in [%s]:
          raw = socket.create_connection(("127.0.0.1", port), 5)
          s = context.wrap_socket(raw, server_hostname="localhost", session=session)
          s.recv(100)
          session = session or s.session
          c.send(b"resumed " if s.session_reused else b"full ")
          s.close()
      ]]):format(version:sub(-1), code or "pass", table.concat(ports, ", ")))
    end

    it("lets clients resume a session, of TLS " .. version .. ", and of no other listener", function()
      local options = serving "good"
      local listener, other = listen(options), listen(options)
      local peer = resuming { listener:port(), listener:port(), other:port() }
      for i, each in ipairs { listener, listener, other } do
        local conn = accept(each)
        conn:send "x"
        assert.equal(i == 2, conn:info().tls.resumed)
        conn:close()
      end
      assert.equal("full resumed full ", peer:read_str())
    end)

    for _, way in ipairs { { "a ticket", "pass" }, { "a session id", "context.options |= ssl.OP_NO_TICKET" } } do
      it("verifies whole each time who shows a certificate, over TLS " .. version .. " with " .. way[1], function()
        local pin = helper.output(("openssl x509 -in %s -noout -pubkey | openssl pkey -pubin -outform DER | "
          .. "openssl dgst -sha256 -r"):format(helper.pem "client")):match "^%x+"
        for _, case in ipairs {
          { "client", { ca_file = helper.pem "root" }, true },
          { "client_stranger", { ca_file = helper.pem "root", verify = false }, false, "unknown issuer" },
          { "client_expired", { ca_dir = helper.certificates .. "/hashed", verify = false }, false, "expired" },
          { "client", { pin_sha256 = pin, verify = false }, false, "unknown issuer" },
        } do
          local listener = listen(serving("good", case[2]))
          local peer = resuming({ listener:port(), listener:port() },
            ("context.load_cert_chain(%q, %q); %s"):format(helper.pem(case[1]), helper.pem(case[1], "key"), way[2]))
          for _ = 1, 2 do
            local conn = accept(listener)
            conn:send "x"
            local info = conn:info().tls
            assert.is_false(info.resumed)
            assert.equal("client.example", info.certificate.subject.CN)
            assert.equal(case[3], info.verified)
            if case[4] then assert.matches(case[4], info.verify_error) else assert.is_nil(info.verify_error) end
            conn:close()
          end
          assert.equal("full full ", peer:read_str())
        end
      end)
    end
  end

  it("keeps nothing of connections that are closed", function()
    -- Certificates that fill a hundred kilobytes of memory, of clients that ask for no ticket.
    local chain = os.tmpname()
    local file = assert(io.open(chain, "wb"))
    file:write(helper.contents(helper.pem "client"), helper.contents(helper.pem "middle"):rep(100))
    file:close()
    local settings = { { ca_file = helper.pem "root", verify = false } }
    if not helper.is_quick then settings[2] = {} end
    for _, options in ipairs(settings) do
      local listener = listen(serving("good", options))
      helper.dial(listener:port(), ([[
        context = getattr(c.listener, "context", None)
        if not context:
            context = ssl.create_default_context(cafile=os.path.join(CERTIFICATES, "root.pem"))
            context.maximum_version = ssl.TLSVersion.TLSv1_2
            context.options |= ssl.OP_NO_TICKET
            context.load_cert_chain(%q, os.path.join(CERTIFICATES, "client.key"))
            c.listener.context = context
        c.sock.settimeout(60) # forty wait for each other
        context.wrap_socket(c.sock, server_hostname="localhost").recv(1)
      ]]):format(chain), { times = 40 })
      local function serve(times)
        for _ = 1, times do
          local conn = accept(listener)
          conn:handshake()
          conn:close()
        end
        collectgarbage()
        return helper.memory "VmRSS"
      end
      local before = serve(10)
      assert.is_true(serve(30) - before < 1.5 * 2^20)
    end
    os.remove(chain)
  end)

  it("reads certificates anew with each listen, and only then", function()
    local cert, key = os.tmpname(), os.tmpname()
    local function put(name) helper.put_certificate(name, cert, key) end
    -- The common name of what a client is shown.
    local function shown(listener)
      local peer = helper.dial(listener:port(), [[
        return [pair[0][1] for pair in c.sock.getpeercert()["subject"] if pair[0][0] == "organizationName"]
      ]], { tls = true })
      accept(listener):handshake()
      return peer:result()[1]
    end

    put "good" -- of the organization Specs
    local options = { tls = { cert_file = cert, key_file = key } }
    local old = listen(options)
    assert.equal("Specs", shown(old))
    put "direct" -- of none
    local new = listen(options)
    assert.equal("Specs", shown(old))
    assert.is_nil(shown(new))
    os.remove(cert)
    os.remove(key)
    assert.equal("Specs", shown(old))
    assert.is_nil(shown(new))
    helper.fails("io", "no such file", function() tcp.listen("127.0.0.1", 0, options) end)
  end)

  it("shows nothing of its key", function()
    local listener = listen(serving "good")
    local key = helper.contents(helper.pem("good", "key")):match "\n(.-)\n"
    helper.dial(listener:port(), [[ c.send(b"no TLS at all\n"); c.recv_all() ]])
    local conn = accept(listener)
    local _, message = pcall(conn.read, conn, 1)
    for _, text in ipairs { message, tostring(listener), tostring(conn) } do
      assert.is_nil(text:find(key:sub(1, 20), 1, true))
    end
    for _, value in pairs(conn:info().tls) do
      assert.is_nil(tostring(value):find(key:sub(1, 20), 1, true))
    end
  end)
end)
