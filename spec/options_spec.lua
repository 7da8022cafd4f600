-- Options that change what a connection is: `bind`, `family`, `keepalive`, `null`, `bigint`; and
-- what may be set later.

local helper = require "spec.support.helper"
local tcp = require "tcp"
local safe = require "tcp.safe"

local null = tcp.json.null

describe("the option", function()
  after_each(helper.finish)

  it("bind chooses our own address", function()
    for _, bind in ipairs { "127.0.0.3", { "127.0.0.3", 0 } } do
      local conn, peer = helper.connect([[ c.hold() ]], { bind = bind })
      assert.equal("127.0.0.3", peer:sees()[1])
      assert.equal("127.0.0.3", conn:info().sock.ip)
    end
  end)

  it("bind chooses our own port", function()
    local port = helper.listen("", { listen = false, host = "127.0.0.4" }).port
    local _, peer = helper.connect([[ c.hold() ]], { bind = { "127.0.0.5", port } })
    assert.same({ "127.0.0.5", port }, peer:sees())
  end)

  it("bind takes a port again whose last connection has just ended", function()
    local port = helper.listen("", { listen = false, host = "127.0.0.4" }).port
    for _ = 1, 2 do
      local conn, peer = helper.connect([[ c.recv_all() ]], { bind = { "127.0.0.5", port } })
      -- The end that closes first waits a minute for stray packets.
      conn:close()
      peer:result()
    end
  end)

  it("bind is address where it cannot be had", function()
    local peer = helper.listen ""
    -- A documentation address: nobody's.
    helper.fails("address", "^connect 127%.0%.0%.1:%d+: address: .*192%.0%.2%.1", function()
      tcp.connect("127.0.0.1", peer.port, { bind = "192.0.2.1", timeout = helper.timeout })
    end)
    local taken = helper.listen("", { host = "127.0.0.6" }).port
    helper.fails_safely("address", "", safe.connect("127.0.0.1", peer.port,
      { bind = { "127.0.0.6", taken }, timeout = helper.timeout }))
  end)

  it("family keeps to one", function()
    local port = helper.listen([[ c.send(b"x") ]]).port
    local conn = helper.keep(tcp.connect("localhost", port, { family = "inet", timeout = helper.timeout }))
    assert.equal("x", conn:read_str())
    local value = safe.connect("127.0.0.1", port, { family = "inet6", timeout = helper.timeout })
    assert.is_nil(value)
  end)

  it("null may be nil: members of objects are left out, all else is as it was", function()
    local code = [[
      text = b'{"a": null, "b": [null, 1, {"c": null}], "d": {"e": null, "f": 2}} null'
      c.send(text + packet(b'[{"x": null}]'))
    ]]
    local conn = helper.connect(code, { null = "nil" })
    assert.same({ b = { null, 1, {} }, d = { f = 2 } }, conn:read_json())
    assert.equal(null, conn:read_json())
    assert.same({ {} }, conn:read_json_packet())
    conn = helper.connect(code, { null = "null" })
    assert.same({ a = null, b = { null, 1, { c = null } }, d = { e = null, f = 2 } }, conn:read_json())
  end)

  it("bigint says what an integer becomes that this Lua cannot hold", function()
    local big = "123456789012345678901234567890"
    local code = ("c.send(b'[%s]' + packet(b'[%s]'))"):format(big, big)
    for _, option in ipairs { "float", "string", "error" } do
      local conn = helper.connect(code, { bigint = option })
      if option == "error" then
        helper.fails("json", "^read_json .*integer", function() conn:read_json() end)
      else
        local expected = option == "float" and 123456789012345678901234567890.0 or big
        assert.same({ expected }, conn:read_json())
        assert.same({ expected }, conn:read_json_packet())
      end
    end
  end)

  for _, case in ipairs {
    { "bind", 5 }, { "bind", {} }, { "bind", { "127.0.0.1", "x" } }, { "bind", { "127.0.0.1", 65536 } },
    { "family", "ipv4" }, { "family", 4 }, { "keepalive", "yes" }, { "keepalive", { idel = 1 } },
    { "keepalive", { idle = -1 } }, { "null", "none" }, { "null", false }, { "bigint", "round" }, { "bigint", 1 },
  } do
    it(("%s cannot be %s"):format(case[1], type(case[2]) == "table" and "such a table" or tostring(case[2])), function()
      local ok, message = pcall(function() tcp.connect("127.0.0.1", 9, { [case[1]] = case[2] }) end)
      assert.is_false(ok)
      assert.matches("bad argument #3 to 'connect' %(.*" .. case[1], message)
    end)
  end

  -- A name that is written wrong must not pass for a setting.
  it("no option that is a table takes a key that it does not know", function()
    local one_or_list = "one value or a list of up to 64 expected"
    local tables = {
      bind = { { "127.0.0.1", port = 7 }, "an IP address, or a table of one and a port, expected" },
      keepalive = { { idle = 1, idel = 1 }, "a table of idle, interval and count expected" },
      alpn = { { "h2", "http/1.1", first = "h2" }, one_or_list },
      pin_sha256 = { { ("a"):rep(64), [3] = ("b"):rep(64) }, one_or_list },
    }
    for name, case in pairs(tables) do
      helper.misuse(("bad argument #3 to 'connect_tls' (option '%s': %s)"):format(name, case[2]),
        function() tcp.connect_tls("127.0.0.1", 9, { [name] = case[1] }) end)
    end
    for _, bind in ipairs { { "127.0.0.1", 0, "inet" }, { "127.0.0.1", 0, [4] = 1 }, { "127.0.0.1", [0] = 7 } } do
      local expected = tables.bind[2]
      helper.misuse(("bad argument #3 to 'connect' (option 'bind': %s)"):format(expected),
        function() tcp.connect("127.0.0.1", 9, { bind = bind }) end)
    end
    helper.misuse("bad argument #3 to 'listen' (option 'tls': unknown option 'cert_fiel')",
      function() tcp.listen("127.0.0.1", 0, { tls = { cert_fiel = "x" } }) end)
  end)
end)

describe("later", function()
  after_each(helper.finish)

  it("set_timeout changes the timeout of the calls that follow", function()
    local conn = helper.connect [[ c.hold() ]]
    for _, seconds in ipairs { 0.05, "0.1" } do
      assert.is_nil(conn:set_timeout(seconds))
      helper.takes(tonumber(seconds), function() end, function()
        helper.fails("timeout", "", function() conn:recv() end)
      end)
    end
    conn:set_timeout(math.huge)
    conn:set_timeout(helper.timeout)
  end)

  it("set_timeout wants a time that can be", function()
    local conn = helper.connect ""
    helper.misuse("bad argument #1 to 'set_timeout' (number expected, got nil)", function() conn:set_timeout() end)
    for _, seconds in ipairs { 0, -1, 0 / 0, -math.huge } do
      local ok, message = pcall(function() conn:set_timeout(seconds) end)
      assert.is_false(ok)
      assert.matches("bad argument #1 to 'set_timeout'", message)
    end
  end)

  -- Only LuaJIT lets a script look at a socket's options.
  local has_ffi, ffi = pcall(require, "ffi")
  if not has_ffi then return end
  ffi.cdef "int getsockopt(int, int, int, int *, unsigned int *);"

  local function option(conn, level, name)
    local value, length = ffi.new("int[1]", -1), ffi.new("unsigned int[1]", 4)
    assert.equal(0, ffi.C.getsockopt(conn:fd(), level, name, value, length))
    return value[0]
  end

  local TCP, NODELAY, IDLE, INTERVAL, COUNT, SOCKET, KEEPALIVE = 6, 1, 4, 5, 6, 1, 9

  it("set_nodelay and set_keepalive set the socket's options", function()
    local conn = helper.connect [[ c.hold() ]]
    conn:set_nodelay(false)
    assert.equal(0, option(conn, TCP, NODELAY))
    conn:set_nodelay(true)
    assert.are_not.equal(0, option(conn, TCP, NODELAY))
    assert.equal(0, option(conn, SOCKET, KEEPALIVE))
    conn:set_keepalive(true)
    assert.are_not.equal(0, option(conn, SOCKET, KEEPALIVE))
    conn:set_keepalive { idle = 7, interval = 3, count = 5 }
    assert.same({ 7, 3, 5 }, { option(conn, TCP, IDLE), option(conn, TCP, INTERVAL), option(conn, TCP, COUNT) })
    conn:set_keepalive(false)
    assert.equal(0, option(conn, SOCKET, KEEPALIVE))
  end)

  it("keepalive does so from the start", function()
    local conn = helper.connect([[ c.hold() ]], { keepalive = { idle = 9 } })
    assert.are_not.equal(0, option(conn, SOCKET, KEEPALIVE))
    assert.equal(9, option(conn, TCP, IDLE))
  end)
end)
