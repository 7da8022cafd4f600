-- The options that a socket has: for `connect`, for what a listener accepts, and of a connection
-- that is there.

local helper = require "spec.support.helper"
local loops = require "spec.support.loops"
local tcp = require "tcp"
local safe = require "tcp.safe"

local sockopt = helper.sockopt()

-- Level and number of each option (linux/in.h, in6.h, tcp.h; asm-generic/socket.h).
local NUMBERS = {
  ttl = { 0, 2 }, hops = { 41, 16 }, tos = { 0, 1 }, class = { 41, 67 }, user_timeout = { 6, 18 },
  send_buffer = { 1, 7 }, receive_buffer = { 1, 8 }, linger = { 1, 13 }, nodelay = { 6, 1 },
  keepalive = { 1, 9 }, idle = { 6, 4 },
}

local function option(conn, name)
  return sockopt(conn:fd(), NUMBERS[name][1], NUMBERS[name][2])
end

local function is_linux() return helper.output "uname" == "Linux\n" end

-- A peer's code that says a byte, and then how the connection has ended: "reset", or "end" for a
-- FIN, by the state that its kernel gives it (TCP_INFO); behind it "goodbye" where TLS said so.
-- Python takes a reset under TLS for an end without a goodbye.
local ending = [=[
  c.send(b"!")
  said = c.ending()
  for _ in range(1000):
    state = c.raw.getsockopt(socket.IPPROTO_TCP, 11, 1)[0]
    if state != 1: break
    time.sleep(0.001)
  return {7: "reset", 8: "end"}[state] + (" goodbye" if said == "end" and hasattr(c.sock, "cipher") else "")
]=]

for _, over in ipairs { helper.kinds[1], helper.kinds[2] } do
  describe("a socket over " .. over.name, function()
    after_each(helper.finish)

    local connect = over.connect

    it("has what connect was told", function()
      local conn = connect([[ c.hold() ]], {
        ttl = 17, tos = 0x48, user_timeout = 1.2345, send_buffer = 30000, receive_buffer = 40000, reset_on_close = true,
      })
      assert.equal(17, option(conn, "ttl"))
      assert.equal(0x48, option(conn, "tos"))
      assert.equal(1235, option(conn, "user_timeout"))
      -- Linux has room for its own bookkeeping besides: twice as much.
      assert.equal(60000, option(conn, "send_buffer"))
      assert.equal(80000, option(conn, "receive_buffer"))
      assert.equal(0, option(conn, "linger"))
    end)

    it("has the system's own values otherwise", function()
      local conn = connect [[ c.hold() ]]
      assert.equal(64, option(conn, "ttl"))
      assert.equal(0, option(conn, "tos"))
      assert.equal(0, option(conn, "user_timeout"))
      assert.equal(-1, option(conn, "linger"))
    end)

    it("has hop limit and traffic class over IPv6", function()
      local conn = connect([[ c.hold() ]], { ttl = 255, tos = 16 },
        { host = "::1", tls = over.name == "TLS" and "good" or nil })
      assert.equal(255, option(conn, "hops"))
      assert.equal(16, option(conn, "class"))
    end)

    it("has what a live connection is told", function()
      local conn, peer = connect [[
        c.wait()
        c.send(packet([1]) + packet(b'[null, 12345678901234567890123]'))
        c.hold()
      ]]
      assert.is_nil(conn:set_options {
        ttl = 9, tos = 8, user_timeout = 3, send_buffer = 20000, receive_buffer = 21000, reset_on_close = true,
        nodelay = false, keepalive = { idle = 11 }, timeout = 0.05, bigint = "string", null = "nil",
      })
      for name, value in pairs {
        ttl = 9, tos = 8, user_timeout = 3000, send_buffer = 40000, receive_buffer = 42000, linger = 0, nodelay = 0,
        idle = 11,
      } do
        assert.equal(value, option(conn, name), name)
      end
      helper.takes(0.05, function() end, function()
        helper.fails("timeout", "", function() conn:recv() end)
      end)
      conn:set_options { timeout = helper.timeout }
      peer:go()
      assert.same({ 1 }, conn:read_json_packet())
      assert.same({ tcp.json.null, "12345678901234567890123" }, conn:read_json_packet())
      conn:set_options { reset_on_close = false, keepalive = false, nodelay = true }
      assert.equal(-1, option(conn, "linger"))
      assert.equal(0, option(conn, "keepalive"))
      assert.are_not.equal(0, option(conn, "nodelay"))
    end)

    it("is framed anew from the next packet on", function()
      local conn, peer = connect [[
        c.send(packet(b"x" * 20) + struct.pack("<I", 3) + b"abc")
        return c.recv_all()
      ]]
      conn:set_options { max_packet = 10 }
      helper.fails("too_large", "the limit %(max_packet%) is 10", function() conn:read_packet() end)
      conn:set_options { max_packet = 20 }
      assert.equal(("x"):rep(20), conn:read_packet())
      conn:set_options { endian = "little" }
      assert.equal("abc", conn:read_packet())
      conn:set_options { max_buffer = 5 }
      helper.fails("too_large", "max_buffer", function() conn:send "123456" end)
      helper.fails("too_large", "max_buffer", function() conn:read(6) end)
      conn:set_options { max_buffer = 100 }
      conn:write_packet "xyz"
      conn:shutdown()
      assert.equal("\3\0\0\0xyz", peer:result())
    end)

    it("keeps all as it was where one of the options is wrong", function()
      local conn = connect [[ c.hold() ]]
      for _, wrong in ipairs { { tos = 256 }, { timeout = 0 }, { endian = "middle" }, { no_such = 1 } } do
        local options = { ttl = 9, max_packet = 1, keepalive = true }
        for name, value in pairs(wrong) do options[name] = value end
        local ok, message = pcall(function() conn:set_options(options) end)
        assert.is_false(ok)
        assert.matches("bad argument #1 to 'set_options' %(.*" .. next(wrong), message)
        assert.equal(64, option(conn, "ttl"))
        assert.equal(0, option(conn, "keepalive"))
      end
    end)

    it("has none of them once it is closed", function()
      local conn = connect ""
      conn:close()
      helper.fails("closed", "^set_options ", function() conn:set_options { ttl = 1 } end)
      helper.fails("closed", "^set_options ", function() conn:set_options {} end)
    end)

    it("is set the same way by tcp.safe", function()
      local conn = connect([[ c.hold() ]], nil, nil, safe)
      assert.is_true(conn:set_options { ttl = 3 })
      assert.equal(3, option(conn, "ttl"))
      conn:close()
      helper.fails_safely("closed", "^set_options ", conn:set_options {})
    end)

    for _, how in ipairs { "close", "the collector" } do
      it("with reset_on_close is reset by " .. how, function()
        local peer = helper.listen(ending, { tls = over.name == "TLS" and "good" or nil })
        local options = { timeout = helper.timeout, reset_on_close = true }
        if over.name == "TLS" then options.ca_file = helper.pem "root" end
        do
          local conn = (over.name == "TLS" and tcp.connect_tls or tcp.connect)("127.0.0.1", peer.port, options)
          conn:read(1)
          conn:send "x"
          if how == "close" then conn:close() end
        end
        -- `tcp.send` keeps the last one.
        if over.name == "TCP" then connect "" end
        collectgarbage()
        collectgarbage()
        assert.equal("reset", peer:result())
      end)
    end

    it("is reset at once, whatever waits to be sent or to be read", function()
      local conn, peer = connect("  c.send(b'unread' * 1000)\n  c.wait()\n" .. ending:gsub("c%.send.-\n", "pass\n", 1),
        { timeout = 0.05, connect_timeout = helper.timeout, reset_on_close = true })
      helper.fails("timeout", "", function() conn:send(("x"):rep(2e7)) end)
      local before = helper.clock()
      conn:close()
      assert.is_true(helper.clock() - before < 0.5)
      peer:go()
      assert.equal("reset", peer:result())
    end)

    it("is reset no more once that is taken back", function()
      local conn, peer = connect(ending, { reset_on_close = true })
      conn:set_options { reset_on_close = false }
      conn:read(1)
      conn:close()
      assert.equal(over.name == "TLS" and "end goodbye" or "end", peer:result())
    end)

    it("of a listener has what it was told, for each that it accepts", function()
      local tls = over.name == "TLS" and { cert_file = helper.pem "good", key_file = helper.pem("good", "key") }
      local listener = tcp.listen("127.0.0.1", 0, {
        timeout = helper.timeout, ttl = 17, tos = 0x48, user_timeout = 2, send_buffer = 30000, receive_buffer = 40000,
        reset_on_close = true, keepalive = { idle = 8 }, tls = tls or nil,
      })
      local peer = helper.dial(listener:port(), ending, { tls = over.name == "TLS" or nil })
      local conn = helper.keep(listener:accept(helper.timeout))
      listener:close()
      for name, value in pairs {
        ttl = 17, tos = 0x48, user_timeout = 2000, send_buffer = 60000, receive_buffer = 80000, linger = 0, idle = 8,
      } do
        assert.equal(value, option(conn, name), name)
      end
      assert.equal("!", conn:read(1))
      conn:close()
      assert.equal("reset", peer:result())
    end)
  end)
end

describe("a Unix socket", function()
  after_each(helper.finish)

  it("has buffers, and what is not the socket's", function()
    local path = os.tmpname()
    os.remove(path)
    local listener = tcp.listen_unix(path, { send_buffer = 30000 })
    local conn = helper.keep(tcp.connect_unix(path, { send_buffer = 20000, receive_buffer = 21000, timeout = 3 }))
    local accepted = helper.keep(listener:accept(helper.timeout))
    listener:close()
    assert.equal(40000, option(conn, "send_buffer"))
    assert.equal(42000, option(conn, "receive_buffer"))
    assert.equal(60000, option(accepted, "send_buffer"))
    conn:set_options { send_buffer = 25000, timeout = 2, max_packet = 5 }
    assert.equal(50000, option(conn, "send_buffer"))
    for name, value in pairs { ttl = 5, tos = 5, user_timeout = 5, reset_on_close = true, nodelay = true } do
      helper.misuse(("bad argument #1 to 'set_options' (option '%s': a Unix socket has none)"):format(name),
        function() conn:set_options { [name] = value } end)
      helper.misuse(("bad argument #2 to 'connect_unix' (option '%s': a Unix socket has none)"):format(name),
        function() tcp.connect_unix(path, { [name] = value }) end)
    end
    assert.is_nil(conn:info().tcp)
    accepted:send "abc"
    assert.equal("abc", conn:read(3))
  end)
end)

describe("a socket", function()
  after_each(helper.finish)

  it("keeps reset_on_close when TLS begins on it", function()
    local conn, peer = helper.connect("  c.handshake('good')\n" .. ending, { reset_on_close = true })
    conn = helper.keep(conn:start_tls { ca_file = helper.pem "root", server_name = "localhost" })
    assert.equal(0, option(conn, "linger"))
    conn:read(1)
    conn:close()
    assert.equal("reset", peer:result())
  end)

  for _, case in ipairs {
    { "ttl", 0 }, { "ttl", 256 }, { "ttl", 1.5 }, { "ttl", "x" }, { "tos", -1 }, { "tos", 256 }, { "device", true },
    { "device", "" }, { "device", "sixteen-letters." }, { "device", "lo\0" }, { "user_timeout", 0 },
    { "user_timeout", math.huge }, { "send_buffer", 0 }, { "receive_buffer", -1 }, { "receive_buffer", 2 ^ 31 },
    { "reset_on_close", 1 },
  } do
    it(("cannot have %s = %s"):format(case[1], tostring(case[2]):gsub("%z", "?")), function()
      local options = { [case[1]] = case[2] }
      local conn = helper.connect ""
      for place, call in pairs {
        ["#3 to 'connect'"] = function() tcp.connect("127.0.0.1", 9, options) end,
        ["#3 to 'connect_tls'"] = function() tcp.connect_tls("127.0.0.1", 9, options) end,
        ["#3 to 'listen'"] = function() tcp.listen("127.0.0.1", 0, options) end,
        ["#1 to 'set_options'"] = function() conn:set_options(options) end,
      } do
        local ok, message = pcall(call)
        assert.is_false(ok)
        assert.matches("bad argument " .. place .. " (option '" .. case[1] .. "'", message, 1, true)
      end
    end)
  end

  it("is told what only connecting can choose", function()
    local conn = helper.connect ""
    local options = { device = "lo", bind = "127.0.0.1", family = "inet", connect_timeout = 1, proxy = "http://a:1" }
    for name, value in pairs(options) do
      helper.misuse(("bad argument #1 to 'set_options' (option '%s': it is chosen when connecting)"):format(name),
        function() conn:set_options { [name] = value } end)
    end
    helper.misuse("bad argument #1 to 'set_options' (table expected, got nil)", function() conn:set_options() end)
    helper.misuse("bad argument #1 to 'set_options' (table expected, got number)", function() conn:set_options(5) end)
  end)

  it("says which option the system refuses", function()
    if not is_linux() then return pending "interfaces are named on Linux alone" end
    local port = helper.listen("").port
    helper.fails("io", "^connect 127%.0%.0%.1:%d+: io: cannot set device nosuch0: no such device$", function()
      tcp.connect("127.0.0.1", port, { device = "nosuch0", timeout = helper.timeout })
    end)
    helper.fails_safely("io", "^listen 127%.0%.0%.1:0: io: cannot set device nosuch0: no such device$",
      safe.listen("127.0.0.1", 0, { device = "nosuch0" }))
  end)

  -- Runs in a network with the loopback, and with an interface named "wire" at 10.9.0.1 besides.
  local function in_network(code)
    return helper.run([[
      local tcp = require "tcp.safe"
      local function run(command) assert(os.execute(command), command) end
      run "ip link add wire type veth peer name other && ip addr add 10.9.0.1/24 dev wire"
      run "ip link set wire up && ip link set other up"
    ]] .. code, helper.namespace { "127.0.0.1=localhost" })
  end

  it("goes through the interface that it was told", function()
    if not helper.has_namespaces() then return pending "this machine allows no network namespaces" end
    local said, status = in_network [[
      local listener = tcp.listen("127.0.0.1", 0)
      local port = listener:port()
      local conn = assert(tcp.connect("127.0.0.1", port, { device = "lo", timeout = 3 }))
      local shown = io.popen("ss -Htn dst 127.0.0.1:" .. port):read "*a"
      assert(shown:find "%%lo:", shown)
      -- 10.9.0.9 is beyond the wire, where nobody is; lo has no way there.
      local _, message, code = tcp.connect("10.9.0.9", port, { device = "lo", timeout = 0.3 })
      io.write(code, " ", message:match ": (.*)", "\n")
      -- To its own address a packet comes by lo, which is not the wire.
      io.write((select(3, tcp.connect("127.0.0.1", port, { device = "wire", timeout = 0.3 }))), "\n")
      -- A listener at an interface hears that interface alone.
      local wired = tcp.listen("0.0.0.0", 0, { device = "wire" })
      io.write((select(3, tcp.connect("127.0.0.1", wired:port(), 0.3))), "\n")
      local looped = tcp.listen("0.0.0.0", 0, { device = "lo" })
      local client = assert(tcp.connect("127.0.0.1", looped:port(), 3))
      local accepted = assert(looped:accept(3))
      shown = io.popen("ss -Htn sport = :" .. looped:port()):read "*a"
      assert(shown:find "%%lo:", shown)
    ]]
    assert.equal(0, status, said)
    assert.matches("^%a+ .*10%.9%.0%.9.*\ntimeout\nrefused\n$", said)
  end)

  it("connects more often from one address than there are ports", function()
    if not helper.has_namespaces() then return pending "this machine allows no network namespaces" end
    local said, status = in_network [[
      -- With fewer ports it takes fewer connects, where this may be set.
      local RANGE = "/proc/sys/net/ipv4/ip_local_port_range"
      os.execute("echo 40000 40999 2>/dev/null >" .. RANGE)
      local first, last = io.open(RANGE):read("*n", "*n")
      local listeners = {}
      for i = 1, 2 do listeners[i] = tcp.listen("127.0.0.1", 0, { backlog = 1024 }) end
      for i = 1, (last - first + 1) * 1.2 do
        local listener = listeners[i % 2 + 1]
        local conn, why = tcp.connect("127.0.0.1", listener:port(), { bind = "127.0.0.7", timeout = 3 })
        if not conn then error(i .. ": " .. why) end
        local accepted = listener:accept(3)
        -- The end that closes first keeps the port for a minute.
        conn:close()
        accepted:close()
      end
      io.write "fine"
    ]]
    assert.same({ "fine", 0 }, { said, status })
  end)

  it("that is bound to a port in use fails at that address alone", function()
    if not helper.has_namespaces() then return pending "this machine allows no network namespaces" end
    local said, status = helper.run([[
      local tcp = require "tcp.safe"
      local far, near = tcp.listen("127.0.0.2", 0), nil
      near = tcp.listen("127.0.0.3", far:port())
      local port = tcp.listen("127.0.0.9", 0):port()
      -- From this port there is a connection to the first address already.
      local first = assert(tcp.connect("127.0.0.2", far:port(), { bind = { "127.0.0.1", port }, timeout = 3 }))
      local conn, why = tcp.connect("both.example", far:port(), { bind = { "127.0.0.1", port }, timeout = 3 })
      io.write(conn and conn:info().peer.ip or why)
      assert(first:info().sock.port == port)
    ]], helper.namespace { "127.0.0.2=both.example", "127.0.0.3=both.example" })
    assert.same({ "127.0.0.3", 0 }, { said, status })
  end)

  for _, name in ipairs { "cqueues", "copas", "luv", "own" } do
    it("is reset in a coroutine of " .. name .. ", too", function()
      local loop = loops[name]
      if not loop.found then return pending(loop.reason) end
      local peer = helper.listen(ending)
      loop.within(function()
        local conn = safe.connect("127.0.0.1", peer.port, { reset_on_close = true, timeout = helper.timeout })
        conn:set_options { ttl = 5 }
        conn:read(1)
        conn:close()
      end)
      assert.equal("reset", peer:result())
    end)
  end
end)
