-- A connect that does not wait, in `tcp.luasocket` and in LuaSocket: whatever asks for the
-- connection carries it on, as with a descriptor of the system's. And what else must be as there:
-- odd arguments, descriptors that change hands.

local helper = require "spec.support.helper"
local faces = require "spec.support.faces"(it, pending)

-- A listener of LuaSocket's or ours, and a socket that has begun to connect to it.
local function begin(socket)
  local server = helper.keep(assert(socket.bind("127.0.0.1", 0)))
  server:settimeout(3)
  local _, port = server:getsockname()
  local client = helper.keep(socket.tcp())
  client:settimeout(0)
  client:connect("127.0.0.1", port)
  return client, server, tonumber(port)
end

-- A socket that has begun to connect to nobody, and knows it.
local function refused(socket)
  local server = assert(socket.bind("127.0.0.1", 0))
  local _, port = server:getsockname()
  server:close()
  local client = helper.keep(socket.tcp())
  client:settimeout(0)
  client:connect("127.0.0.1", port)
  socket.select({ client }, { client }, 3)
  return client, tonumber(port)
end

describe("a connect that has not waited", function()
  after_each(helper.finish)

  faces.same("needs no second one once select tells that it is through", function(socket, _, record)
    local client, server, port = begin(socket)
    record(#select(2, socket.select(nil, { client }, 3)))
    record(client:getoption "error")
    record((client:getpeername()))
    record(client:send "hello\n")
    local accepted = helper.keep(server:accept())
    record(accepted:receive())
    accepted:send "back\n"
    record(#socket.select({ client }, nil, 3))
    record(client:receive())
    record(client:getfamily(), (client:getstats()))
    record(client:connect("127.0.0.1", port))
    record(client:connect("127.0.0.1", port))
  end)

  faces.same("lets select tell what a peer says first", function(socket, _, record)
    local client, server = begin(socket)
    local accepted = helper.keep(server:accept())
    accepted:send "220 ready\n"
    record(#socket.select({ client }, nil, 3))
    record(client:receive())
    record(client:dirty())
  end)

  faces.same("is waited for by what is sent and received then", function(socket, _, record)
    for _, how in ipairs { "send", "receive" } do
      local client, server = begin(socket)
      client:settimeout(3)
      if how == "send" then
        record(client:send("hello\n", 2))
        record(helper.keep(server:accept()):receive())
      else
        local accepted = helper.keep(server:accept())
        accepted:send "first\nsecond\n"
        record(client:receive(3, "x"))
        record(client:receive())
      end
      record(client:gettimeout())
    end
  end)

  faces.same("keeps the options that are set meanwhile", function(socket, _, record)
    local client, _, port = begin(socket)
    record(client:setoption("tcp-nodelay", true))
    record(client:setoption("keepalive", true))
    socket.select(nil, { client }, 3)
    record(client:getoption "tcp-nodelay", client:getoption "keepalive")
    record(client:connect("127.0.0.1", port))
    record(client:getoption "tcp-nodelay", client:getoption "keepalive")
  end)

  faces.same("tells its failure once, to whoever asks first", function(socket, _, record)
    local client = refused(socket)
    record(client:send "x")
    record(client:send("xyz", 2))
    record(client:receive())
    client = refused(socket)
    record(client:receive())
    record(client:receive(5, "ab"))
    record(client:send "x")
    client = refused(socket)
    record(client:getpeername())
    record(client:getoption "error")
    record(client:getoption "error")
    record(client:receive())
    local other, port = refused(socket)
    client = other
    record(client:connect("127.0.0.1", port))
    local readable, writable = socket.select({ client }, { client }, 3)
    record(#readable, #writable)
    record(client:close())
  end)

  it("ends a receive and a send in their time", function()
    local socket = faces.socket
    local peer = helper.listen("c.hold()", { full = true })
    local client = helper.keep(socket.tcp())
    client:settimeout(0)
    assert.same({ nil, "timeout" }, { client:connect("127.0.0.1", peer.port) })
    client:settimeout(0.2)
    for _, call in ipairs { function() return client:receive() end, function() return client:send "x" end } do
      local before = helper.clock()
      assert.same({ nil, "timeout" }, { (call()), (select(2, call())) })
      local took = helper.clock() - before
      assert.is_true(took >= 0.39 and took < 0.7, tostring(took))
    end
  end)

  faces.same_ssl("may be wrapped already", function(socket, ssl, record)
    local peer = helper.listen([[ c.send(c.recv_line()) ]], { tls = "good" })
    for _, waits in ipairs { true, false } do
      local client = helper.keep(socket.tcp())
      client:settimeout(0)
      client:connect("127.0.0.1", peer.port)
      if waits then
        socket.select(nil, { client }, 3)
      end
      local conn = helper.keep(assert(ssl.wrap(client, { mode = "client", protocol = "any", verify = "none" })))
      record(client:getfd())
      conn:settimeout(3)
      record(conn:dohandshake())
      record(conn:send "hello\n")
      record(conn:receive(5))
      conn:close()
    end
  end)

  faces.same_ssl("is closed to who does not make the handshake, and to who has failed", function(socket, ssl, record)
    local client, server = begin(socket)
    local conn = helper.keep(ssl.wrap(client, { mode = "client", protocol = "any", verify = "none" }))
    conn:settimeout(0)
    record(conn:receive())
    record(conn:send "x")
    helper.keep(server:accept()):send "no TLS at all\n"
    conn:settimeout(3)
    record((conn:dohandshake()))
    -- LuaSec would go on with the socket.
    if socket == faces.socket then
      assert.same({ nil, "closed", "" }, { conn:receive() })
      assert.equal(-1, conn:getfd())
    end
    local readable, writable = socket.select({ conn }, { conn }, 3)
    record(#readable, #writable)
  end)

  it("is told as wantwrite by a handshake", function()
    local socket = faces.socket
    local peer = helper.listen("c.hold()", { full = true, delay = 0.3, tls = "good" })
    local client = helper.keep(socket.tcp())
    client:settimeout(0)
    client:connect("127.0.0.1", peer.port)
    local conn = helper.keep(socket.ssl.wrap(client, { mode = "client", protocol = "any", verify = "none" }))
    conn:settimeout(0)
    assert.same({ false, "wantwrite" }, { conn:dohandshake() })
    assert.equal("write", conn:want())
    local _, writable = socket.select(nil, { conn }, 5)
    assert.equal(conn, writable[1])
    conn:close()
    assert.same({ false, "closed" }, { conn:dohandshake() })
    local other = refused(socket)
    assert.same({ nil, "connection refused" },
      { socket.ssl.wrap(other, { mode = "client", protocol = "any", verify = "none" }) })
  end)

  it("leaves no descriptor where it is dropped, or closed meanwhile", function()
    local socket = faces.socket
    local peer = helper.listen("c.hold()", { full = true })
    collectgarbage()
    collectgarbage()
    local before = helper.sockets()
    for i = 1, 12 do
      local client = socket.tcp()
      client:settimeout(0)
      client:connect("127.0.0.1", peer.port)
      if i % 3 == 0 then
        client:close()
      elseif i % 3 == 1 then
        local conn = socket.ssl.wrap(client, { mode = "client", protocol = "any", verify = "none" })
        conn:settimeout(0)
        conn:dohandshake()
      end
    end
    collectgarbage()
    collectgarbage()
    assert.equal(before, helper.sockets())
  end)
end)

describe("odd arguments", function()
  after_each(helper.finish)

  faces.same("of send are cut as C cuts them", function(socket, _, record)
    local peer = helper.listen [[ return c.recv_all().decode() ]]
    local client = helper.keep(socket.connect("127.0.0.1", peer.port))
    for _, at in ipairs { { -1.5 }, { 1.9 }, { -0.5 }, { 2.5, 3.9 }, { -3.5, -1.5 }, { math.huge }, { -math.huge },
      { 1, math.huge }, { 1, -math.huge }, { 2 ^ 53 }, { 1, 2 ^ 63 }, { 2 ^ 63 } } do
      record(client:send("hello", at[1], at[2]))
    end
    record((pcall(client.send, client, "hello", false)))
    record((pcall(client.send, client, "hello", 1, false)))
    client:close()
    record(peer:result())
    record(client:send "")
    record(client:send("hello", 4, 2))
  end)

  faces.same("of receive may be huge", function(socket, _, record)
    local server = helper.keep(socket.bind("127.0.0.1", 0))
    local _, port = server:getsockname()
    for _, size in ipairs { 2 ^ 31, 2 ^ 32, 2 ^ 53, 2 ^ 62, 1e18 } do
      local client = helper.keep(socket.connect("127.0.0.1", port))
      local accepted = server:accept()
      accepted:send "hello"
      accepted:close()
      record(client:receive(size, "x"))
      record(client:receive(size))
    end
  end)

  faces.same("of bind and connect fail in words", function(socket, _, record)
    for _, port in ipairs { -1, 1.5, "no such service" } do
      record(socket.bind("127.0.0.1", port))
      record(socket.connect("127.0.0.1", port))
      record(helper.keep(socket.tcp()):bind("127.0.0.1", port))
    end
    record(socket.connect("127.0.0.1", 0))
    record(socket.connect("300.1.1.1", 1))
    record(socket.bind("1.2.3.4.5", 0))
    record(helper.keep(socket.tcp6()):bind("127.0.0.1", 0))
    record(helper.keep(socket.tcp()):listen())
    record((pcall(socket.connect, "127.0.0.1", 1, nil, nil, "no such family")))
    for _, name in ipairs { "1.2.3.4.5", "a b", "" } do
      record((socket.dns.toip(name)))
      record((socket.dns.getaddrinfo(name)))
    end
  end)

  faces.same("of listen are whole numbers of C", function(socket, _, record)
    for _, backlog in ipairs { 1.5, 2 ^ 31 - 1, -1, "5" } do
      local server = helper.keep(socket.tcp())
      server:bind("127.0.0.1", 0)
      record(server:listen(backlog))
      record(tostring(server))
    end
    record((pcall(socket.bind, "127.0.0.1", 0, false)))
  end)
end)

describe("a socket", function()
  after_each(helper.finish)

  faces.same("that is closed has no options", function(socket, _, record)
    local server = helper.keep(socket.bind("127.0.0.1", 0))
    local _, port = server:getsockname()
    local client = helper.keep(socket.connect("127.0.0.1", port))
    client:close()
    for _, name in ipairs { "keepalive", "tcp-nodelay", "linger", "error", "reuseaddr" } do
      record(client:getoption(name))
    end
    record(client:setoption("keepalive", true))
    record(client:connect("127.0.0.1", port))
    record(client:getoption "keepalive")
    record(pcall(function() client:setsockname("127.0.0.1", 0) end))
  end)

  faces.same("that listens gives its options to those that it accepts", function(socket, _, record)
    local server = helper.keep(socket.bind("127.0.0.1", 0))
    record(server:setoption("tcp-nodelay", true))
    record(server:getoption "tcp-nodelay")
    local _, port = server:getsockname()
    helper.keep(socket.connect("127.0.0.1", port))
    local accepted = helper.keep(server:accept())
    record(accepted:getoption "tcp-nodelay", accepted:getoption "keepalive")
  end)

  it("keeps who has connected between bind and listen", function()
    local socket = faces.socket
    local server = helper.keep(socket.tcp())
    server:bind("127.0.0.1", 0)
    local _, port = server:getsockname()
    local client = helper.keep(socket.connect("127.0.0.1", port))
    server:listen(7)
    server:settimeout(3)
    local accepted = helper.keep(server:accept())
    accepted:send "hello\n"
    assert.equal("hello", (client:receive()))
  end)

  it("that was given up is not closed later, whoever has its number then", function()
    local socket = faces.socket
    local server = helper.keep(socket.bind("127.0.0.1", 0))
    local _, port = server:getsockname()
    local given = socket.connect("127.0.0.1", port)
    local number = given:getfd()
    given:setfd(-1)
    -- Somebody else closes it, and its number is had again.
    local other = socket.tcp()
    other:setfd(number)
    other:close()
    other = nil -- luacheck: ignore 311
    local again = helper.keep(socket.connect("127.0.0.1", port))
    assert.equal(number, again:getfd())
    given = nil -- luacheck: ignore 311
    collectgarbage()
    collectgarbage()
    for _ = 1, 2 do
      helper.keep(server:accept()):send "still there\n"
    end
    assert.equal("still there", (again:receive()))
  end)

  faces.same_ssl("may be waited for before the handshake", function(socket, ssl, record)
    local server = helper.keep(socket.bind("127.0.0.1", 0))
    local _, port = server:getsockname()
    local client = helper.keep(socket.connect("127.0.0.1", port))
    local accepted = helper.keep(server:accept())
    local ours = helper.keep(ssl.wrap(client, { mode = "client", protocol = "any", verify = "none" }))
    ours:settimeout(0)
    record(ours:dohandshake())
    record(#socket.select({ accepted }, nil, 3))
    record(accepted:dirty())
    local theirs = helper.keep(ssl.wrap(accepted, { mode = "server", protocol = "any",
      certificate = helper.pem "good", key = helper.pem("good", "key") }))
    theirs:settimeout(0)
    local one, other
    for _ = 1, 50 do
      one, other = one or ours:dohandshake(), other or theirs:dohandshake()
    end
    record(one, other)
  end)

  faces.same("leaves what has come to whoever takes its descriptor", function(socket, _, record)
    local server = helper.keep(socket.bind("127.0.0.1", 0))
    local _, port = server:getsockname()
    local client = helper.keep(socket.connect("127.0.0.1", port))
    local accepted = server:accept()
    client:send "hello\n"
    record(#socket.select({ accepted, accepted }, nil, 3))
    local number = accepted:getfd()
    accepted:setfd(-1)
    local other = helper.keep(socket.connect("127.0.0.1", port))
    other:close()
    other:setfd(number)
    other:settimeout(3)
    record(other:receive())
  end)

  it("may be wrapped by what stands for it", function()
    local socket = faces.socket
    local peer = helper.listen([[ c.send(b"hello\n") ]], { tls = "good" })
    local inner = helper.keep(socket.connect("127.0.0.1", peer.port))
    local given
    local outer = { getfd = function() return inner:getfd() end, setfd = function(_, fd) given = fd end }
    local conn = helper.keep(socket.ssl.wrap(outer, { mode = "client", protocol = "any", verify = "none" }))
    assert.is_true(conn:dohandshake())
    assert.equal("hello", (conn:receive()))
    assert.equal(-1, given)
    assert.equal(-1, inner:getfd())
    assert.has_error(function() socket.ssl.wrap({}, { mode = "client", protocol = "any" }) end)
  end)
end)
