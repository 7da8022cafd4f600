-- `connect`: hosts, ports, the third argument, and what is said when it fails.

local helper = require "spec.support.helper"
local tcp = require "tcp"
local safe = require "tcp.safe"

describe("connect", function()
  after_each(helper.finish)

  local greeting = [[ c.send(b"hello") ]]

  -- Whoever answers at this address must be our peer.
  local function greets(host, port, third)
    local conn = helper.keep(tcp.connect(host, port, third or helper.timeout))
    assert.equal("hello", conn:read_str())
  end

  it("takes an IPv4 address", function()
    greets("127.0.0.1", helper.listen(greeting).port)
    greets("127.0.0.2", helper.listen(greeting, { host = "127.0.0.2" }).port)
  end)

  it("takes an IPv6 address, with or without brackets", function()
    local port = helper.listen(greeting, { host = "::1" }).port
    for _, host in ipairs { "::1", "[::1]", "0:0:0:0:0:0:0:1", "[0::1]" } do
      greets(host, port)
    end
  end)

  it("takes a name", function()
    greets("localhost", helper.listen(greeting).port)
    greets("LOCALHOST", helper.listen(greeting).port)
  end)

  it("makes no connection but the one that it gives", function()
    local peer = helper.listen(greeting)
    greets("localhost", peer.port)
    peer:result()
    assert.equal(1, peer:count())
  end)

  it("waits for one that is not through at once, and makes no other", function()
    local peer = helper.listen(greeting, { full = true, delay = 0.1 })
    greets("127.0.0.1", peer.port)
    peer:result()
    assert.equal(1, peer:count())
  end)

  it("uses 5 seconds where nothing else is said", function()
    -- Not waited for: it must only not be over too soon.
    local conn = helper.keep(tcp.connect("127.0.0.1", helper.listen([[
      time.sleep(0.15)
      c.send(b"late")
    ]]).port))
    assert.equal("late", conn:read_str())
    for _, third in ipairs { {}, { connect_timeout = 1 } } do
      conn = helper.keep(tcp.connect("127.0.0.1", helper.listen(greeting).port, third))
      assert.equal("hello", conn:read_str())
    end
  end)

  it("takes math.huge for no timeout", function()
    greets("127.0.0.1", helper.listen(greeting).port, math.huge)
    greets("127.0.0.1", helper.listen(greeting).port, { timeout = math.huge })
    greets("127.0.0.1", helper.listen(greeting).port, { timeout = 1e300 })
    greets("127.0.0.1", helper.listen(greeting).port, { connect_timeout = math.huge, timeout = helper.timeout })
  end)

  it("takes the smallest timeout for what it is", function()
    local port = helper.listen("", { full = true }).port
    for _, third in ipairs { 1e-300, 1e-9, { timeout = 1e-9 } } do
      local before = helper.clock()
      helper.fails("timeout", "", function() tcp.connect("127.0.0.1", port, third) end)
      assert.is_true(helper.clock() - before < 1)
    end
  end)

  it("gives each connection the timeout for connecting and for later calls", function()
    local conn = helper.connect([[ c.hold() ]], { timeout = 0.05 })
    helper.fails("timeout", "^read_str ", function() conn:read_str() end)
    conn = helper.connect([[ c.hold() ]], 0.05)
    helper.fails("timeout", "^recv ", function() conn:recv() end)
  end)

  it("keeps connect_timeout for connecting alone", function()
    local conn = helper.connect([[
      c.wait()
      c.send(b"later")
    ]], { connect_timeout = helper.timeout, timeout = 0.05 })
    helper.fails("timeout", "^read_str ", function() conn:read_str() end)

    local port = helper.listen("", { full = true }).port
    helper.fails("timeout", "^connect ", function()
      tcp.connect("127.0.0.1", port, { connect_timeout = 0.05, timeout = math.huge })
    end)
    local slow
    conn, slow = helper.connect([[
      c.wait()
      c.send(b"later")
    ]], { connect_timeout = 0.05, timeout = helper.timeout })
    slow:go()
    assert.equal("later", conn:read_str())
  end)

  it("takes no longer than its timeout where nothing answers", function()
    local port = helper.listen("", { full = true }).port
    helper.takes(0.15, function() end, function()
      helper.fails("timeout", "connecting to 127%.0%.0%.1", function() tcp.connect("127.0.0.1", port, 0.15) end)
    end)
  end)

  it("does not take itself for a peer, where the system gives its end the port that it is to connect to", function()
    -- No other spec asks for a port there.
    for _, host in ipairs { "127.0.0.78", "::1" } do
      local listener = tcp.listen(host, 0)
      local port = listener:port()
      listener:close()
      helper.fails("refused", "connection refused", function()
        tcp.connect(host, port, { timeout = 3, bind = { host, port } })
      end)
    end
  end)

  it("says at once that nobody listens, and where it tried", function()
    local port = helper.listen("", { listen = false }).port
    local before = helper.clock()
    helper.fails("refused", "^connect 127%.0%.0%.1:" .. port .. ": refused: .*127%.0%.0%.1",
      function() tcp.connect("127.0.0.1", port, 60) end)
    helper.fails("refused", "^connect localhost:" .. port .. ": refused: .*127%.0%.0%.1",
      function() tcp.connect("localhost", port, 60) end)
    helper.fails("refused", "connection refused",
      function() tcp.connect("::1", helper.listen("", { host = "::1", listen = false }).port, 60) end)
    assert.is_true(helper.clock() - before < 10)
  end)

  it("says that an address cannot be reached", function()
    -- No TCP goes to a group; the kernel knows without sending anything.
    helper.fails("unreachable", "^connect 224%.0%.0%.1:9: unreachable: .*224%.0%.0%.1",
      function() tcp.connect("224.0.0.1", 9, helper.timeout) end)
  end)

  it("says that there is no network", function()
    if not helper.has_namespaces() then return pending "this machine allows no network namespaces" end
    -- A network of its own has not even a loopback interface that is up.
    local said, status = helper.run([[
      local tcp = require "tcp.safe"
      for _, host in ipairs { "192.0.2.1", "2001:db8::1", "example.com" } do
        local _, message, code = tcp.connect(host, 80, 3)
        print(code, message)
      end
    ]], "unshare -rn")
    assert.equal(0, status, said)
    local lines = {}
    for line in said:gmatch "[^\n]+" do lines[#lines + 1] = line end
    assert.equal("unreachable\tconnect 192.0.2.1:80: unreachable: network is unreachable (tried 192.0.2.1)", lines[1])
    -- Without any address of IPv6, the kernel has these words for it.
    assert.matches("^unreachable\tconnect %[2001:db8::1%]:80: unreachable: [%a ]+ %(tried 2001:db8::1%)$", lines[2])
    assert.equal("dns\tconnect example.com:80: dns: temporary failure in name resolution", lines[3])
  end)

  it("binds to an address of one link alone on the peer's link", function()
    if not helper.has_namespaces() then return pending "this machine allows no network namespaces" end
    local said, status = helper.run([[
      local tcp = require "tcp"
      local listener = tcp.listen("fe80::1%lo", 0)
      local conn = tcp.connect("fe80::1%lo", listener:port(), { bind = "fe80::2", timeout = 3 })
      io.write(conn:info().sock.ip)
    ]], [[unshare -rn sh -c 'ip link set lo up && ip addr add fe80::1/64 dev lo nodad &&
      ip addr add fe80::2/64 dev lo nodad && exec "$@"' sh]])
    assert.same({ "fe80::2", 0 }, { said, status })
  end)

  it("names an address of one link alone with its zone", function()
    if not helper.has_namespaces() then return pending "this machine allows no network namespaces" end
    local said, status = helper.run([[
      local tcp = require "tcp"
      local listener = tcp.listen("[fe80::1%lo]", 0)
      local port = listener:port()
      local conn = tcp.connect("[fe80::1%lo]", port, 3)
      local peer = listener:accept(3)
      local function show(...)
        local _, message = pcall(...)
        print((message:gsub(port, "PORT")))
      end
      show(tcp.connect, "[fe80::1%lo]", 9, 3)
      show(tcp.connect, "fe80::1%lo", 9, 3)
      show(tcp.connect, "fe80::1%lo", 9, { timeout = 3, bind = "fe80::9" })
      show(tcp.listen, "[fe80::1%lo]", port)
      conn:set_timeout(0.01)
      show(conn.read, conn, 1)
      show(function() return tostring(listener) end)
      show(function() return tostring(conn):match "%->.*" end)
      show(function() return tostring(peer):match "%->.*":gsub(":%d+$", ":N") end)
      peer:set_timeout(0.01)
      show(function() peer:read(1) end)
    ]], [[unshare -rn sh -c 'ip link set lo up && ip addr add fe80::1/64 dev lo nodad && exec "$@"' sh]])
    assert.equal(0, status, said)
    said = said:gsub("(read %[fe80::1%%1%]):%d+", "%1:N"):gsub("/[^ ]*:%d+: ", "")
    assert.equal(table.concat({
      "connect [fe80::1%lo]:9: refused: connection refused (tried fe80::1%1)",
      "connect [fe80::1%lo]:9: refused: connection refused (tried fe80::1%1)",
      "connect [fe80::1%lo]:9: address: cannot bind [fe80::9%1]:0: cannot assign requested address",
      "listen [fe80::1%lo]:PORT: address: address already in use",
      "read [fe80::1%lo]:PORT: timeout: 0 of 1 bytes",
      "tcp.Listener: [fe80::1%1]:PORT",
      "-> [fe80::1%1]:PORT",
      "-> [fe80::1%1]:N",
      "read [fe80::1%1]:N: timeout: 0 of 1 bytes",
    }, "\n") .. "\n", said)
  end)

  it("says that a name is none", function()
    local long = ("a"):rep(64)
    for _, host in ipairs { long .. ".invalid", long, "a..invalid", "" } do
      local ok, message = pcall(tcp.connect, host, 9, helper.timeout)
      assert.is_false(ok, host)
      assert.matches(": dns: ", message, 1, true)
    end
  end)

  it("says what to leave out of a host", function()
    for host, words in pairs {
      ["https://localhost"] = "not a name but a URL, give the host alone, without scheme and path",
      ["http://127.0.0.1:80/"] = "not a name but a URL, give the host alone, without scheme and path",
      ["localhost/status"] = "not a name but a URL, give the host alone, without scheme and path",
      ["localhost:80"] = "not a name but a host with a port, give the port as an argument of its own",
      ["127.0.0.1:80"] = "not a name but a host with a port, give the port as an argument of its own",
      ["[::1]:80"] = "not a name but a host with a port, give the port as an argument of its own",
      ["localhost\r"] = "not a name, there is a blank or a line end in it",
      ["localhost\n"] = "not a name, there is a blank or a line end in it",
    } do
      local function ends(message) assert.equal(words, message:sub(-#words)) end
      ends(helper.fails_safely("dns", "^connect ", safe.connect(host, 9, helper.timeout)))
      ends(helper.fails_safely("dns", "^connect_tls ", safe.connect_tls(host, 9, helper.timeout)))
      ends(helper.fails_safely("dns", "^listen ", safe.listen(host, 0)))
      local _, message = safe.resolve(host)
      ends(message)
    end
  end)

  it("does not take half of a host for the whole", function()
    -- C code sees a shorter string: 127.0.0.1, where our peer listens.
    local peer = helper.listen(greeting)
    for _, host in ipairs { "127.0.0.1\0", "127.0.0.1\0.example.com", "localhost\0", "\0", "127.0.0.1\n" } do
      for _, connect in ipairs { tcp.connect, tcp.connect_tls } do
        local ok, message = pcall(connect, host, peer.port, helper.timeout)
        assert.is_false(ok)
        assert.equal("string", type(message))
        assert.is_nil(message:find "[%z\n]", "control characters in a message")
      end
    end
    assert.equal(0, peer:count())
  end)

  it("survives a host of any bytes and any length", function()
    for _, host in ipairs { "\255\254", "\195", ("x"):rep(100000), ("x."):rep(50000), "xn--\255", "xn--a-\195\188" } do
      local value, message, code = safe.connect(host, 9, helper.timeout)
      assert.is_nil(value)
      assert.equal("dns", code)
      assert.is_true(#message < 1000, "the message repeats a huge host")
    end
  end)

  it("gives an object of its own kind", function()
    local conn = helper.connect ""
    assert.equal("userdata", type(conn))
    assert.matches("^tcp%.Connection: ", tostring(conn))
    assert.is_nil(conn.no_such_method)
  end)

  it("is closed to scripts inside", function()
    local conn = helper.connect ""
    assert.has_error(function() conn.timeout = 3 end)
    assert.has_error(function() conn.read_str = print end)
  end)

  it("can have many connections at once", function()
    local peer = helper.listen [[ c.send(c.recv_exactly(4)) ]]
    local conns = {}
    for i = 1, 50 do conns[i] = helper.keep(tcp.connect("127.0.0.1", peer.port, helper.timeout)) end
    for i = 50, 1, -1 do conns[i]:send(("%04d"):format(i)) end
    for i = 1, 50 do assert.equal(("%04d"):format(i), conns[i]:read_str()) end
  end)
end)

describe("the option nodelay", function()
  after_each(helper.finish)

  -- Only LuaJIT lets a script look at a socket's options.
  local has_ffi, ffi = pcall(require, "ffi")

  it("is set unless it is refused", function()
    if not has_ffi then return pending "seen with LuaJIT's ffi alone" end
    ffi.cdef "int getsockopt(int, int, int, int *, unsigned int *);"
    local function nodelay(options)
      local value, length = ffi.new("int[1]", -1), ffi.new("unsigned int[1]", 4)
      local conn = helper.connect("", options)
      assert.equal(0, ffi.C.getsockopt(conn:fd(), 6, 1, value, length))
      return value[0] ~= 0
    end
    assert.is_true(nodelay())
    assert.is_true(nodelay { nodelay = true })
    assert.is_false(nodelay { nodelay = false })
  end)

  it("may be given either way", function()
    for _, value in ipairs { true, false } do
      local conn = helper.connect([[ c.send(b"hello") ]], { nodelay = value })
      assert.equal("hello", conn:read_str())
    end
  end)
end)
