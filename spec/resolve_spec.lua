-- Names: `tcp.resolve`, resolution inside the timeout, and every address tried (RFC 8305).

local helper = require "spec.support.helper"
local tcp = require "tcp"
local safe = require "tcp.safe"

describe("resolve", function()
  it("gives an address as it is", function()
    assert.same({ "127.0.0.1" }, tcp.resolve "127.0.0.1")
    assert.same({ "::1" }, tcp.resolve "::1")
    assert.same({ "::1" }, tcp.resolve "[::1]")
    assert.same({ "2001:db8::7" }, tcp.resolve("2001:0DB8:0:0::7", helper.timeout))
  end)

  it("does not blame other lookups where there are none", function()
    for _ = 1, 20 do
      local found, message = safe.resolve("localhost", 1e-9)
      if not found then assert.matches("timeout: name resolution$", message) end
    end
  end)

  it("gives a name's addresses", function()
    local found = {}
    for _, address in ipairs(tcp.resolve("localhost", helper.timeout)) do found[address] = true end
    assert.is_true(found["127.0.0.1"])
  end)

  it("gives each address once", function()
    local seen = {}
    for _, address in ipairs(tcp.resolve "localhost") do
      assert.is_nil(seen[address], address)
      seen[address] = true
    end
  end)

  it("says that a name is none", function()
    local name = ("a"):rep(64) .. ".invalid"
    helper.fails("dns", "^resolve " .. name, function() tcp.resolve(name, helper.timeout) end)
    helper.fails_safely("dns", "^resolve ", safe.resolve(name, helper.timeout))
  end)

  it("takes no path for a name, and says what takes one", function()
    for _, path in ipairs { "/run/x.sock", "./x.sock", "@x", "unix:/run/x.sock" } do
      helper.fails_safely("dns", "not a name but a path, connect_unix", safe.connect(path, 1))
    end
    helper.fails_safely("dns", "not a name but a URL", safe.connect("http://localhost/", 80))
  end)

  -- What a filter of names and addresses in Lua would let pass.
  it("takes an address in its usual form alone", function()
    for _, host in ipairs {
      "127.1", "0x7f.1", "0x7F000001", "2130706433", "0177.0.0.1", "127.0.0.1.", "[127.0.0.1]", "[127.1]",
      "\239\188\145\239\188\146\239\188\151.1", "127\227\128\1301",
    } do
      local wrong = "' (a name, or an address in its usual form, expected)"
      helper.misuse("bad argument #1 to 'connect" .. wrong, function() safe.connect(host, 80, 1) end)
      helper.misuse("bad argument #1 to 'connect_tls" .. wrong, function() safe.connect_tls(host, 80, 1) end)
      helper.misuse("bad argument #1 to 'resolve" .. wrong, function() tcp.resolve(host) end)
      helper.misuse("bad argument #1 to 'listen" .. wrong, function() tcp.listen(host, 0) end)
      helper.misuse("bad argument #3 to 'connect_tls' (option 'server_name': a host name or an IP address expected)",
        function() tcp.connect_tls("localhost", 80, { server_name = host }) end)
    end
  end)

  it("wants a name and a timeout", function()
    helper.misuse("bad argument #1 to 'resolve' (string expected, got nil)", function() tcp.resolve() end)
    helper.misuse("bad argument #2 to 'resolve' (number expected, got table)",
      function() tcp.resolve("localhost", {}) end)
    for _, timeout in ipairs { 0, -1, 0 / 0 } do
      local ok, message = pcall(function() tcp.resolve("localhost", timeout) end)
      assert.is_false(ok)
      assert.matches("bad argument #2 to 'resolve'", message)
    end
  end)
end)

-- Where names are ours to give, and a resolver is there that never answers.
describe("in a network of its own, a name", function()
  local possible
  setup(function() possible = helper.has_namespaces() end)

  -- Runs Lua source with these names. It sees tcp, safe, helper, and `took(fn)`, in seconds.
  local function run(hosts, code, before)
    local said, status = helper.run([[
      local helper = require "spec.support.helper"
      local tcp, safe = require "tcp", require "tcp.safe"
      local function took(fn)
        local before = helper.clock()
        fn()
        return helper.clock() - before
      end
    ]] .. code .. " helper.finish()", (before or "") .. helper.namespace(hosts))
    assert.equal(0, status, said)
    return said
  end

  local function it_there(name, body)
    it(name, function()
      if not possible then return pending "this machine allows no network namespaces" end
      body()
    end)
  end

  it_there("that is not answered for takes no longer than the timeout", function()
    assert.equal("timeout dns timeout", run({ "127.0.0.1=localhost" }, [[
      local value, message, code, details
      for _, seconds in ipairs { 0.1, 0.3 } do
        local time = took(function()
          value, message, code, details = safe.connect("silent.example", 80, seconds)
        end)
        assert(time > seconds - 0.02 and time < seconds + 1, time)
        assert(message:find "name resolution", message)
        assert(message:find "^connect silent%.example:80: timeout: ", message)
      end
      io.write(code, " ", details.phase)
      local time = took(function() value, message, code = safe.resolve("silent.example", 0.1) end)
      assert(time > 0.08 and time < 1.1, time)
      io.write(" ", code)
    ]]))
  end)

  it_there("of two addresses is connected to where there is no descriptor to watch both", function()
    local found, why = helper.loop "luv"
    if not found then return pending(why) end
    run({ "127.0.0.1=two.example", "127.0.0.2=two.example" }, [[
      local uv = require "luv"
      local slow = helper.listen("", { full = true, delay = 0.6 })
      helper.listen("", { full = true, host = "127.0.0.2", port = slow.port })
      local conn, message
      tcp.use "luv"
      coroutine.wrap(function() conn, message = safe.connect("two.example", slow.port, 5) end)()
      local timer, files = uv.new_timer(), {}
      uv.update_time()
      -- The first is under way, the second not yet.
      timer:start(100, 0, function()
        repeat
          local file = io.open "/dev/null"
          files[#files + 1] = file
        until not file
        table.remove(files):close()
        timer:close()
      end)
      uv.run()
      tcp.use(nil)
      for _, file in ipairs(files) do file:close() end
      assert(conn, message)
    ]], "ulimit -n 60 && ")
  end)

  it_there("of two addresses has the second tried again that there was no descriptor for", function()
    local found, why = helper.loop "luv"
    if not found then return pending(why) end
    run({ "192.0.2.1=two.example", "192.0.2.2=two.example" }, [[
      local uv = require "luv"
      local live = helper.listen([=[ c.send(b"live") ]=], { host = "192.0.2.2" })
      helper.listen("", { full = true, host = "192.0.2.1", port = live.port })
      local said
      tcp.use "luv"
      coroutine.wrap(function()
        local conn, message = safe.connect("two.example", live.port, 3)
        said = conn and conn:read_str() or message
      end)()
      local fill, free, files = uv.new_timer(), uv.new_timer(), {}
      uv.update_time()
      -- The first is under way, the second not yet.
      fill:start(100, 0, function()
        local file
        repeat
          file = io.open "/dev/null"
          files[#files + 1] = file
        until not file
        fill:close()
      end)
      free:start(400, 0, function()
        for _, file in ipairs(files) do file:close() end
        free:close()
      end)
      uv.run()
      tcp.use(nil)
      assert(said == "live", said)
    ]], "ulimit -n 60 && ")
  end)

  it_there("that is not answered for does not hold the process at its end", function()
    for _, ending in ipairs { "", "os.exit(0)", "os.exit(0, true)", "error 'ends'" } do
      local before = helper.clock()
      helper.run(([[
        local ok = pcall(require("tcp").connect, "silent.example", 80, 0.05)
        assert(not ok)
        collectgarbage()
        %s
      ]]):format(ending), helper.namespace { "127.0.0.1=localhost" })
      assert.is_true(helper.clock() - before < 2)
    end
  end)

  it_there("that is not answered for leaves the others alone", function()
    run({ "127.0.0.1=localhost", "127.0.0.1=here.example" }, [[
      for _ = 1, 20 do assert(not safe.connect("silent.example", 80, 0.01)) end
      local peer = helper.listen [=[ c.send(b"x") ]=]
      local time = took(function() assert(safe.connect("here.example", peer.port, 3)) end)
      assert(time < 2, time)
    ]])
  end)

  it_there("that nobody waits for any more leaves neither descriptors nor its place behind", function()
    run({ "127.0.0.1=localhost", "127.0.0.1=here.example" }, [[
      local function descriptors()
        return tonumber(helper.output "ls /proc/$PPID/fd | wc -l")
      end
      local peer = helper.listen [=[ c.send(b"x") ]=]
      assert(safe.resolve("localhost", 3))
      local before, message = descriptors(), nil
      for i = 1, 1000 do
        local _, said, code = safe.resolve("silent" .. i .. ".example", 0.001)
        assert(code == "timeout", said)
        message = said
      end
      assert(message:find "name resolution, behind 256 lookups that have no answer yet$", message)
      -- The resolver's own sockets are there still, of as many as are at work.
      local now = descriptors()
      assert(now - before <= 300, now - before)
      for _, host in ipairs { "localhost", "here.example", "HERE.example" } do
        local time = took(function() assert(safe.connect(host, peer.port, { timeout = 3, family = "inet" })) end)
        assert(time < 2, time)
      end
    ]])
  end)

  it_there("of two addresses is tried at both from one port of our own", function()
    run({ "192.0.2.1=both.example", "192.0.2.2=both.example" }, [[
      for _, live in ipairs { "192.0.2.1", "192.0.2.2" } do
        local dead = live == "192.0.2.1" and "192.0.2.2" or "192.0.2.1"
        local peer = helper.listen([=[ c.send(b"live") ]=], { host = live })
        helper.listen("", { host = dead, port = peer.port, full = true })
        local port = helper.listen("", { listen = false, host = "127.0.0.9" }).port
        local time = took(function()
          local conn = tcp.connect("both.example", peer.port, { bind = { "127.0.0.9", port }, timeout = 3 })
          assert(conn:info().sock.port == port and conn:read_str() == "live")
        end)
        assert(time < 0.25 + 1, time)
      end
      -- A port that another program listens at.
      local taken = helper.listen("", { host = "127.0.0.9" }).port
      local _, message, code = safe.connect("both.example", 80, { bind = { "127.0.0.9", taken }, timeout = 3 })
      assert(code == "address", message)
      assert(message:find "address: cannot bind 127%.0%.0%.9:%d+: address already in use$", message)
    ]])
  end)

  it_there("and an address to connect from: the ports count for each peer by itself", function()
    run({ "127.0.0.1=localhost" }, [[
      local ports = assert(io.open("/proc/sys/net/ipv4/ip_local_port_range", "w"))
      assert(ports:write "50000 50039\n" and ports:close())
      local conns = {}
      for i = 1, 3 do
        local listener = helper.keep(tcp.listen("127.0.0.1", 40000 + i))
        for _ = 1, 25 do
          conns[#conns + 1] = tcp.connect("127.0.0.1", 40000 + i, { bind = "127.0.0.1", timeout = 3 })
        end
        conns[#conns + 1] = listener
      end
      assert(#conns == 78)
    ]])
  end)

  it_there("that several ask for at once is asked for once", function()
    local found, why = helper.loop "cqueues"
    if not found then return pending(why) end
    run({ "127.0.0.1=localhost" }, [[
      local loop = require("cqueues").new()
      tcp.use "cqueues"
      local function threads()
        return tonumber(io.open("/proc/self/status"):read("*a"):match "Threads:%s*(%d+)")
      end
      local before, most = threads(), 0
      for _ = 1, 50 do
        loop:wrap(function()
          local _, message, code = safe.resolve("silent.example", 0.2)
          assert(code == "timeout", message)
          most = math.max(most, threads())
        end)
      end
      assert(loop:loop())
      assert(most - before <= 1, most - before)
    ]])
  end)

  it_there("of which one family alone is asked for needs no answer about the other", function()
    run({ "127.0.0.1=localhost", "127.0.0.1~four.example" }, [[
      local peer = helper.listen [=[ c.send(b"x") ]=]
      local time = took(function()
        assert(tcp.connect("four.example", peer.port, { family = "inet", timeout = 2 }):read_str() == "x")
        assert(tcp.connect("four.example", peer.port, { bind = "127.0.0.1", timeout = 2 }):read_str() == "x")
        tcp.listen("four.example", 0, { family = "inet", timeout = 2 }):close()
      end)
      assert(time < 1, time)
      local _, _, code = safe.connect("four.example", peer.port, 0.1)
      assert(code == "timeout")
    ]])
  end)

  it_there("of another family than asked for is told so", function()
    run({ "127.0.0.1=localhost", "::1=six.example" }, [[
      local _, message, code = safe.connect("six.example", 80, { bind = "127.0.0.1", family = "inet6" })
      assert(code == "dns" and message:find "no address of the family asked for", message)
    ]])
  end)

  for _, order in ipairs { { "192.0.2.1", "192.0.2.2" }, { "192.0.2.2", "192.0.2.1" } } do
    it_there(("with a dead address (192.0.2.1) and a live one connects soon: %s first"):format(order[1]), function()
      run({ order[1] .. "=both.example", order[2] .. "=both.example" }, [[
        local peer = helper.listen([=[ c.send(b"live") ]=], { host = "192.0.2.2" })
        helper.listen("", { host = "192.0.2.1", port = peer.port, full = true })
        local time = took(function()
          local conn = tcp.connect("both.example", peer.port, 3)
          assert(conn:read_str() == "live")
          conn:close()
        end)
        assert(time < 0.25 + 1, time)
      ]])
    end)
  end

  it_there("with a dead IPv6 and a live IPv4 address connects soon, and the other way round", function()
    for _, live in ipairs { "127.0.0.1", "::1" } do
      run({ "127.0.0.1=both.example", "::1=both.example" }, ([[
        local live = %q
        local peer = helper.listen([=[ c.send(b"live") ]=], { host = live })
        helper.listen("", { host = live == "::1" and "127.0.0.1" or "::1", port = peer.port, full = true })
        local time = took(function()
          assert(tcp.connect("both.example", peer.port, 3):read_str() == "live")
        end)
        assert(time < 0.25 + 1, time)
      ]]):format(live))
    end
  end)

  it_there("is tried at every address within one timeout", function()
    run({ "192.0.2.1=dead.example", "192.0.2.2=dead.example", "192.0.2.3=dead.example" }, [[
      local port = helper.listen("", { host = "192.0.2.1", full = true }).port
      helper.listen("", { host = "192.0.2.2", port = port, full = true })
      helper.listen("", { host = "192.0.2.3", port = port, full = true })
      for _, seconds in ipairs { 0.1, 0.7 } do
        helper.takes(seconds, function() end, function()
          local _, message, code = safe.connect("dead.example", port, seconds)
          assert(code == "timeout", message)
        end)
      end
    ]])
  end)

  it_there("that fails everywhere tells each address", function()
    run({ "192.0.2.1=none.example", "192.0.2.2=none.example" }, [[
      local port = helper.listen("", { host = "192.0.2.1", listen = false }).port
      helper.listen("", { host = "192.0.2.2", port = port, listen = false })
      local _, message, code = safe.connect("none.example", port, 3)
      assert(code == "refused", message)
      assert(message:find "192%.0%.2%.1" and message:find "192%.0%.2%.2", message)
    ]])
  end)

  it_there("is refused if any address refuses, unreachable if none does", function()
    run({ "192.0.2.1=mixed.example", "::1=mixed.example" }, [[
      local port = helper.listen("", { host = "192.0.2.1", listen = false }).port
      local _, message, code = safe.connect("mixed.example", port, 3)
      assert(code == "refused", message)
      -- No route: only the loopback interface is here.
      _, message, code = safe.connect("198.51.100.1", 80, 3)
      assert(code == "unreachable", message)
    ]])
  end)

  it_there("leaves no second connection behind when two addresses answer", function()
    run({ "192.0.2.1=both.example", "192.0.2.2=both.example" }, [[
      local code = [=[
        c.send(b"x")
        try: return c.recv_all()
        except ConnectionError: return b""
      ]=]
      local one = helper.listen(code, { host = "192.0.2.1" })
      local two = helper.listen(code, { host = "192.0.2.2", port = one.port })
      local before = helper.sockets()
      local conn = tcp.connect("both.example", one.port, 3)
      assert(helper.sockets() == before + 1)
      assert(conn:read(1) == "x") -- it has come
      -- A slow machine may have begun the second one before it came: that one has an end.
      local is_first = conn:info().peer.ip == "192.0.2.1"
      local ours, other = is_first and one or two, is_first and two or one
      for n = 1, other:count() do assert(other:result(n) == "") end
      assert(ours:count() == 1)
      assert(helper.sockets() == before + 1)
      conn:close()
    ]])
  end)

  it_there("leaves no connection behind at an address that has not answered yet", function()
    run({ "192.0.2.1=both.example", "192.0.2.2=both.example" }, [[
      for _, live in ipairs { "192.0.2.1", "192.0.2.2" } do
        local dead = live == "192.0.2.1" and "192.0.2.2" or "192.0.2.1"
        local peer = helper.listen([=[ c.hold() ]=], { host = live })
        helper.listen("", { host = dead, port = peer.port, full = true })
        local before = helper.sockets()
        local conn = tcp.connect("both.example", peer.port, 3)
        assert(helper.sockets() == before + 1)
        conn:close()
        assert(helper.sockets() == before)
      end
    ]])
  end)

  it_there("with other letters than ASCII's is converted", function()
    run({ "127.0.0.1=xn--bcher-kva.example", "127.0.0.1=xn--conceio-2wa9a.example" }, [[
      local peer = helper.listen [=[ c.send(b"x") ]=]
      for _, name in ipairs { "bücher.example", "BÜCHER.example", "bu\204\136cher.example", "conceição.example" } do
        assert(tcp.connect(name, peer.port, 3):read_str() == "x")
      end
      assert(tcp.resolve("bücher.example", 3)[1] == "127.0.0.1")
    ]])
  end)

  it_there("of one family is tried in that family", function()
    run({ "127.0.0.1=both.example", "::1=both.example" }, [[
      local four = helper.listen([=[ c.send(b"four") ]=], { host = "127.0.0.1" })
      helper.listen([=[ c.send(b"six") ]=], { host = "::1", port = four.port })
      assert(tcp.connect("both.example", four.port, { family = "inet", timeout = 3 }):read_str() == "four")
      assert(tcp.connect("both.example", four.port, { family = "inet6", timeout = 3 }):read_str() == "six")
    ]])
  end)
end)
