-- Sockets that somebody else has opened, and hands over by their descriptors.

local helper = require "spec.support.helper"
local tcp = require "tcp"
local safe = require "tcp.safe"

-- Runs Lua source in a process that finds a socket of this kind as descriptor 3 (hand_over.py);
-- gives its output.
local function given(what, code)
  local said = helper.run_well([[
    local tcp, safe, helper = require "tcp", require "tcp.safe", require "spec.support.helper"
    assert(os.getenv "LISTEN_FDS" == "1")
  ]] .. code, nil, helper.python .. " spec/support/hand_over.py " .. what)
  return said
end

-- Lua source: whether a descriptor is open, and its flags as the system has them.
local LOOK = [[
  local function flags(fd)
    local info = io.open(("/proc/self/fdinfo/%d"):format(fd))
    return info and tonumber(info:read "*a":match "flags:%s*(%d+)", 8)
  end
  local function has(fd, flag) return math.floor(flags(fd) / flag) % 2 == 1 end
  local NONBLOCK, CLOEXEC = 2048, 524288
]]

-- The same: each of these options is refused in these words, and the descriptor stays as it is.
local REFUSES = [[
  local function refuses(name, options)
    local before = flags(3)
    for option, expected in pairs(options) do
      local ok, message = pcall(tcp[name], 3, { [option] = true })
      assert(not ok and message == ("bad argument #2 to '%s' (%s)"):format(name, expected), message)
      assert(flags(3) == before)
    end
  end
]]

describe("from_fd", function()
  after_each(helper.finish)

  for _, case in ipairs {
    { "tcp", "tcp%.Connection: 127%.0%.0%.1:%d+ %-> 127%.0%.0%.1:%d+", "127.0.0.1" },
    { "tcp6", "tcp%.Connection: %[::1%]:%d+ %-> %[::1%]:%d+", "::1" },
    { "unix", "tcp%.Connection: unix:@hand%-over%-%d+" },
    { "pair", "tcp%.Connection: unix:%(unnamed%)" },
  } do
    it("goes on with a connected socket: " .. case[1], function()
      local said = given(case[1], LOOK .. [[
        assert(not has(3, NONBLOCK) and not has(3, CLOEXEC))
        local conn = tcp.from_fd(3, { timeout = 0.2, max_packet = 10 })
        assert(has(3, NONBLOCK) and has(3, CLOEXEC))
        assert(conn:fd() == 3 and conn:is_open())
        conn:send "line\n"
        assert(conn:read_line() == "line")
        local before = helper.clock()
        local ok, message = pcall(conn.read, conn, 1)
        assert(not ok and message:find "^read %S+: timeout: 0 of 1 bytes", message)
        assert(helper.clock() - before < 0.4)
        assert(not pcall(conn.write_packet, conn, ("x"):rep(11)))
        print(tostring(conn), conn:info().host)
        local info = conn:info()
        assert(info.timings.total == 0 and info.bytes_read == 5)
        assert((info.peer.port == nil) == (info.host == nil))
        assert((info.peer.uid ~= nil) == (info.host == nil))
        conn:close()
        assert(not flags(3))
      ]])
      local shown, host = said:match "^(.-)\t(.-)\n$"
      assert.matches("^" .. case[2] .. "$", shown)
      assert.equal(case[3] or "nil", host)
    end)
  end

  it("works in tcp.safe, and in loops", function()
    for _, name in ipairs { "cqueues", "luv", "copas" } do
      if helper.loop(name) then
        given("pair", ([[
          local loop = require("spec.support.loops").%s
          loop.within(function()
            local conn = safe.from_fd(3, 3)
            assert(conn:send "line\n" and conn:read_line() == "line")
            conn:set_timeout(0.05)
            assert(select(3, conn:read(1)) == "timeout")
            conn:close()
          end)
        ]]):format(name))
      end
    end
  end)

  it("begins TLS with start_tls on either side", function()
    given("pair", [[
      local conn = tcp.from_fd(3, { timeout = 0.3 })
      local ok, message = pcall(conn.start_tls, conn)
      assert(message:find "option 'server_name' expected")
      local cert, key = helper.pem "good", helper.pem("good", "key")
      -- Its peer sends back what it gets, which is no handshake.
      _, message = pcall(conn.start_tls, conn, { side = "server", cert_file = cert, key_file = key })
      assert(message:find "^start_tls unix:%(unnamed%): timeout: TLS handshake", message)
    ]])
  end)

  for what, expected in pairs {
    udp = "not a stream socket",
    datagrams = "not a stream socket",
    seqpacket = "not a stream socket",
    pipe = "not a socket",
    file = "not a socket",
    bound = "not connected",
    reset = "not connected",
    listen = "a listening socket, listener_from_fd takes it",
  } do
    it("refuses another kind, and leaves it as it is: " .. what, function()
      given(what, LOOK .. ([[
        local before = flags(3)
        local ok, message = pcall(tcp.from_fd, 3)
        assert(not ok and message == "from_fd 3: io: %s", message)
        local conn, message, code = safe.from_fd(3)
        assert(conn == nil and code == "io" and message == "from_fd 3: io: %s", message)
        assert(flags(3) == before)
      ]]):format(expected, expected))
    end)
  end

  it("refuses what is not open", function()
    helper.fails("io", "^from_fd 999: io: not open$", function() tcp.from_fd(999) end)
    helper.fails("io", "^listener_from_fd 999: io: not open$", function() tcp.listener_from_fd(999) end)
    for _, name in ipairs { "from_fd", "listener_from_fd" } do
      for said, value in pairs {
        ["number expected, got nil"] = false, ["number expected, got string"] = "x",
        ["0 to 2147483647 expected, got -1"] = -1, ["number has no integer representation"] = 1.5,
      } do
        helper.misuse(("bad argument #1 to '%s' (%s)"):format(name, said), function() tcp[name](value or nil) end)
      end
    end
  end)

  it("knows its options, and leaves the descriptor alone where one is wrong", function()
    given("tcp", LOOK .. REFUSES .. [[
      refuses("from_fd", {
        timout = "unknown option 'timout'", family = "option 'family': this socket is open already",
        bind = "option 'bind': this socket is open already",
        proxy = "option 'proxy': this socket is open already",
        connect_timeout = "option 'connect_timeout': this socket is open already",
        proxy_protocol = "option 'proxy_protocol': this socket is open already",
        verify = "option 'verify': one of connect_tls and start_tls",
      })
      tcp.from_fd(3, { nodelay = false, keepalive = { idle = 5 }, endian = "little", timeout = 1 })
    ]])
    given("pair", LOOK .. REFUSES .. [[
      refuses("from_fd", {
        nodelay = "option 'nodelay': a Unix socket has none", keepalive = "option 'keepalive': a Unix socket has none",
      })
    ]])
  end)

  it("closes at once what was told to linger", function()
    given("lingering", [[
      local conn = tcp.from_fd(3, 1)
      pcall(function() for _ = 1, 100 do conn:send(("x"):rep(1e6)) end end)
      local before = helper.clock()
      conn:close()
      assert(helper.clock() - before < 0.1)
    ]])
  end)

  it("is closed by the collector", function()
    given("pair", LOOK .. [[
      tcp.from_fd(3)
      collectgarbage()
      collectgarbage()
      assert(not flags(3))
    ]])
  end)
end)

describe("listener_from_fd", function()
  after_each(helper.finish)

  it("accepts what comes to a listening socket", function()
    for _, what in ipairs { "listen", "listen:" .. helper.unix_path(), "listen:@" .. helper.unix_path() } do
      local path = what:match "^listen:(.*)"
      local said = given(what, LOOK .. [[
        local listener = tcp.listener_from_fd(3, { timeout = 3, max_packet = 10 })
        assert(has(3, NONBLOCK) and has(3, CLOEXEC) and listener:fd() == 3)
        local path = listener:info().sock.path
        local client
        if path then
          assert(listener:port() == nil)
          client = tcp.connect_unix(path, 3)
        else
          client = tcp.connect("127.0.0.1", listener:port(), 3)
        end
        local conn = listener:accept(3)
        client:write_packet "0123456789"
        assert(conn:read_packet() == "0123456789")
        assert(not pcall(conn.write_packet, conn, ("x"):rep(11)))
        assert(select(2, pcall(listener.accept, listener, 0)):find ": timeout: no client$")
        print(listener)
        listener:close()
        assert(not flags(3))
      ]])
      if path then
        assert.equal(("tcp.Listener: unix:%s\n"):format(path), said)
        -- It is not this module's to remove.
        assert.is_true(path:find "^@" ~= nil or os.remove(path))
      else
        assert.matches("^tcp%.Listener: 127%.0%.0%.1:%d+\n$", said)
      end
    end
  end)

  it("accepts TLS", function()
    given("listen", [[
      local certificate = { cert_file = helper.pem "good", key_file = helper.pem("good", "key") }
      local listener = tcp.listener_from_fd(3, { tls = certificate })
      local peer = helper.dial(listener:port(), "return c.recv_line()", { tls = true })
      local conn = listener:accept(3)
      conn:send "over TLS\n"
      assert(peer:result() == "over TLS\n" and tostring(conn):find "^tcp.TlsConnection: ")
      conn:close()
    ]])
  end)

  it("leaves the descriptor alone where it fails", function()
    given("listen", LOOK .. [[
      local before = flags(3)
      local listener, message, code = safe.listener_from_fd(3, { tls = { cert_file = "/nonexistent" } })
      assert(code == "io" and message:find "^listener_from_fd 127.0.0.1:%d+: io: cannot read cert_file", message)
      assert(flags(3) == before)
    ]])
  end)

  for what, expected in pairs {
    tcp = "a connected socket, from_fd takes it", pair = "a connected socket, from_fd takes it",
    udp = "not a stream socket", pipe = "not a socket", bound = "not listening",
  } do
    it("refuses another kind, and leaves it as it is: " .. what, function()
      given(what, LOOK .. ([[
        local before = flags(3)
        local listener, message, code = safe.listener_from_fd(3)
        assert(listener == nil and code == "io" and message == "listener_from_fd 3: io: %s", message)
        assert(flags(3) == before)
      ]]):format(expected))
    end)
  end

  it("knows its options", function()
    given("listen", LOOK .. REFUSES .. [[
      refuses("listener_from_fd", {
        timout = "unknown option 'timout'", family = "option 'family': this socket is open already",
        backlog = "option 'backlog': this socket listens already",
        reuse_addr = "option 'reuse_addr': this socket listens already",
        reuse_port = "option 'reuse_port': this socket listens already",
        mode = "unknown option 'mode'", unlink = "unknown option 'unlink'",
        verify = "option 'verify': it belongs into the table tls",
      })
    ]])
    local path = helper.unix_path()
    given("listen:" .. path, LOOK .. REFUSES .. [[
      refuses("listener_from_fd", {
        nodelay = "option 'nodelay': a Unix socket has none", mode = "unknown option 'mode'",
      })
    ]])
    os.remove(path)
  end)

  it("takes what systemd hands over", function()
    if helper.output "command -v systemd-socket-activate" == "" then
      return pending "there is no systemd-socket-activate here"
    end
    local path, script = helper.unix_path(), os.tmpname()
    local file = io.open(script, "w")
    file:write(("package.cpath = %q\n"):format(package.cpath), [[
      local tcp = require "tcp"
      assert(os.getenv "LISTEN_FDS" == "1")
      local conn = tcp.listener_from_fd(3):accept(3)
      conn:send("hello ", conn:read_line(), "\n")
    ]])
    file:close()
    helper.output(("timeout 10 systemd-socket-activate -l %s %s %s >/dev/null 2>&1 &"):format(
      path, helper.interpreter(), script))
    local late, conn = helper.clock() + 5 -- luacheck: ignore 311
    repeat
      conn = safe.connect_unix(path, helper.timeout)
    until conn or helper.clock() > late
    helper.keep(conn):send "world\n"
    assert.equal("hello world", conn:read_line())
    os.remove(script)
    os.remove(path)
  end)
end)
