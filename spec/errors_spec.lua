-- The form of failures: what they say, where they say it happened, and their codes.

local helper = require "spec.support.helper"
local tcp = require "tcp"
local safe = require "tcp.safe"

local unpack = table.unpack or unpack -- luacheck: ignore 113 143

-- A port of 127.0.0.1 that refuses.
local function refusing()
  return helper.listen("", { listen = false }).port
end

describe("a failure", function()
  after_each(helper.finish)

  it("is a plain string with the caller's position", function()
    local port = refusing()
    local line = debug.getinfo(1, "l").currentline + 1
    local ok, message = pcall(function() tcp.connect("127.0.0.1", port, helper.timeout) end)
    assert.is_false(ok)
    assert.equal("string", type(message))
    local expected = ("spec/errors_spec.lua:%d: connect 127.0.0.1:%d: refused: "):format(line, port)
    assert.equal(expected, message:sub(1, #expected))
  end)

  it("has the position of the line that called, also for methods", function()
    local conn = helper.connect [[ c.close() ]]
    local line = debug.getinfo(1, "l").currentline + 2
    local ok, message = pcall(function()
      conn:read_json()
    end)
    assert.is_false(ok)
    assert.matches("^spec/errors_spec%.lua:" .. line .. ": read_json 127%.0%.0%.1:%d+: closed: ", message)
  end)

  it("has no position where a C function is the caller, as with Lua's own", function()
    local port = refusing()
    local ok, message = pcall(tcp.connect, "127.0.0.1", port, helper.timeout)
    assert.is_false(ok)
    assert.equal("string", type(message))
    assert.matches("^connect 127%.0%.0%.1:" .. port .. ": refused: ", message)
  end)

  it("puts an IPv6 address into brackets", function()
    local port = helper.listen("", { listen = false, host = "::1" }).port
    for _, host in ipairs { "::1", "[::1]" } do
      local message = helper.fails("refused", "", function() tcp.connect(host, port, helper.timeout) end)
      local expected = ("connect [::1]:%d: refused: "):format(port)
      assert.equal(expected, message:sub(1, #expected))
    end
  end)

  it("names the operation that the script called", function()
    local conn = helper.connect [[ c.close() ]]
    for _, method in ipairs { "read_json", "read_json_packet" } do
      helper.fails("closed", "^" .. method .. " 127", function() conn[method](conn) end)
    end
    local port = helper.listen([[ c.close() ]]).port
    helper.fails("timeout", "^connect_tls 127", function()
      tcp.connect_tls("127.0.0.1", helper.listen([[ c.hold() ]]).port, 0.05)
    end)
    local plain = helper.keep(tcp.connect("127.0.0.1", port, helper.timeout))
    plain:close()
    helper.fails("closed", "^write_json_packet 127", function() plain:write_json_packet(1) end)
    helper.fails("closed", "^recv 127", function() plain:recv() end)
  end)

  it("can be matched and joined like any string", function()
    local _, message = pcall(tcp.connect, "127.0.0.1", refusing(), helper.timeout)
    assert.equal("refused", message:match ": (%l+): ")
    assert.equal("string", type("failed: " .. message))
  end)

  describe("in tcp.safe", function()
    it("is returned as nil, message and code, without a position", function()
      local port = refusing()
      local results = { n = select("#", safe.connect("127.0.0.1", port, helper.timeout)),
        safe.connect("127.0.0.1", port, helper.timeout) }
      assert.is_true(results.n >= 3)
      assert.is_nil(results[1])
      assert.matches("^connect 127%.0%.0%.1:" .. port .. ": refused: ", results[2])
      assert.equal("refused", results[3])
    end)

    it("is returned by the methods of its connections too", function()
      local conn = helper.connect([[ c.close() ]], nil, nil, safe)
      helper.fails_safely("closed", "^read_json 127", conn:read_json())
      helper.fails_safely("closed", "^read_json_packet 127", conn:read_json_packet())
      conn:close()
      helper.fails_safely("closed", "^write_json 127", conn:write_json(1))
      helper.fails_safely("closed", "^send 127", conn:send("x"))
    end)

    it("is true where tcp gives nothing", function()
      local conn, peer = helper.connect([[ return c.recv_all() ]], nil, nil, safe)
      assert.same({ true }, { conn:send("a") })
      assert.same({ true }, { conn:write_str("b") })
      assert.same({ true }, { conn:write_json(1) })
      assert.same({ true }, { conn:write_json_packet(2) })
      assert.same({ true }, { safe.send("c") })
      assert.same({ true }, { conn:close() })
      assert.same({ true }, { conn:close() })
      assert.equal("ab1\n\0\0\0\0012c", peer:result())
    end)

    it("is thrown by the connections of tcp, and returned by those of tcp.safe", function()
      local throwing = helper.connect [[ c.close() ]]
      local returning = helper.connect([[ c.close() ]], nil, nil, safe)
      helper.fails("closed", "^read_json ", function() throwing:read_json() end)
      helper.fails_safely("closed", "^read_json ", returning:read_json())
    end)

    it("gives details of a timeout in connect", function()
      local port = helper.listen("", { full = true }).port
      local message, details = helper.fails_safely("timeout", "^connect 127%.0%.0%.1:%d+: ",
        safe.connect("127.0.0.1", port, 0.05))
      assert.matches("connecting to 127%.0%.0%.1", message)
      assert.equal("connect", details.phase)

      port = helper.listen([[ c.hold() ]]).port
      message, details = helper.fails_safely("timeout", "^connect_tls 127%.0%.0%.1:%d+: ",
        safe.connect_tls("127.0.0.1", port, 0.5))
      assert.matches("TLS handshake", message)
      assert.equal("tls", details.phase)
    end)
  end)
end)

-- Each code by what gives rise to it: what to call, made ready with tcp or tcp.safe.
describe("the code", function()
  after_each(helper.finish)

  -- A method of a connection to a peer with this code.
  local function method(name, code, argument, options)
    return function(module)
      local conn, peer = helper.connect(code, options, nil, module)
      peer:go()
      if argument == nil then return conn[name], conn end
      return conn[name], conn, argument
    end
  end

  -- `connect_tls` to a peer with this certificate.
  local function tls(certificate, options)
    return function(module)
      local port = helper.listen("", { tls = certificate }).port
      options = options or { ca_file = helper.pem "root" }
      options.timeout = helper.timeout
      return module.connect_tls, "127.0.0.1", port, options
    end
  end

  local cases = {
    { "timeout", "a read takes too long", method("read_str", [[ c.hold() ]], nil, 0.05) },
    { "timeout", "a value takes too long", method("read_json", [[ c.hold() ]], nil, 0.05) },
    { "timeout", "a packet takes too long", method("read_json_packet", [[ c.hold() ]], nil, 0.05) },
    { "timeout", "a write takes too long", method("send", [[ c.hold() ]], ("x"):rep(3e7), 0.05) },
    { "timeout", "the kernel of the peer does not answer", function(module)
      return module.connect, "127.0.0.1", helper.listen("", { full = true }).port, 0.05
    end },
    { "timeout", "the handshake takes too long", function(module)
      return module.connect_tls, "127.0.0.1", helper.listen([[ c.hold() ]]).port, 0.05
    end },
    { "closed", "the stream ends before a JSON value does", method("read_json", [[ c.send(b'{"a":') ]]) },
    { "closed", "the stream ends before a packet does", method("read_json_packet", [[ c.send(b"\0\0") ]]) },
    { "closed", "the peer resets", method("read_str", "c.wait()\nc.reset()") },
    { "closed", "the script has closed the connection", function(module)
      local conn = helper.connect("", nil, nil, module)
      conn:close()
      return conn.read_str, conn
    end },
    { "refused", "nobody listens", function(module)
      return module.connect, "127.0.0.1", refusing(), helper.timeout
    end },
    { "refused", "nobody listens for TLS", function(module)
      return module.connect_tls, "127.0.0.1", refusing(), helper.timeout
    end },
    -- TCP cannot reach a multicast group; the kernel says so without sending anything.
    { "unreachable", "there is no way to the address", function(module)
      return module.connect, "224.0.0.1", 9, helper.timeout
    end },
    -- A label of 64 letters is no name: no resolver has to be asked.
    { "dns", "there is no such name", function(module)
      return module.connect, ("a"):rep(64) .. ".invalid", 9, helper.timeout
    end },
    { "proxy", "a proxy does not serve us", function(module)
      local proxy = helper.listen [[
        c.recv()
        c.send(b"HTTP/1.1 403 Forbidden\r\n\r\n")
      ]]
      return module.connect, "192.0.2.7", 9, { timeout = helper.timeout, proxy = "http://127.0.0.1:" .. proxy.port }
    end },
    { "tls", "the peer does not speak TLS", function(module)
      return module.connect_tls, "127.0.0.1", helper.listen([[
        c.recv()
        c.send(b"HTTP/1.0 400 Bad Request\r\n\r\nthis is no TLS\r\n")
      ]]).port, helper.timeout
    end },
    { "tls", "the text of a CA is no PEM", tls("good", { ca = "this is no certificate" }) },
    { "certificate", "the certificate is not trusted", tls("unknown_issuer") },
    { "certificate", "the certificate is for another host", tls("other_ip") },
    { "proxy", "a client begins with no PROXY header", function(module)
      local listener = helper.keep(module.listen("127.0.0.1", 0, { proxy_protocol = true }))
      helper.dial(listener:port(), [[ c.send(b"hello") ]])
      local conn = helper.keep(listener:accept(helper.timeout))
      return conn.recv, conn
    end },
    { "json", "a value is not JSON", method("read_json", [[ c.send(b"{]") ]]) },
    { "json", "a packet is not JSON", method("read_json_packet", [[ c.send(packet(b"{]")) ]]) },
    { "json", "a value has no JSON form", method("write_json", "", print) },
    { "json", "a packet's value has no JSON form", method("write_json_packet", "", { 1, x = 2 }) },
    { "too_large", "a packet is announced as too large",
      method("read_json_packet", [[ c.send(b"\0\x07\xd0\x01") ]]) },
    { "too_large", "a packet to send is too large", method("write_json_packet", "", ("x"):rep(512000)) },
    { "too_large", "more arrives than read_str may gather", method("read_str", [[ c.send(b"12345") ]], 4) },
    { "io", "a CA's file cannot be read", tls("good", { ca_file = "/nonexistent/ca.pem" }) },
  }

  for _, case in ipairs(cases) do
    local code, why, prepare = case[1], case[2], case[3]

    it(("%s: %s"):format(code, why), function()
      local call = { prepare(tcp) }
      helper.fails(code, "", function() call[1](unpack(call, 2)) end)
      call = { prepare(safe) }
      helper.fails_safely(code, "", call[1](unpack(call, 2)))
    end)
  end
end)

describe("a programming error", function()
  local conn, other

  setup(function()
    local peer = helper.listen [[ c.recv_all() ]]
    conn = tcp.connect("127.0.0.1", peer.port, helper.timeout)
    other = safe.connect("127.0.0.1", peer.port, helper.timeout)
  end)
  teardown(function()
    conn:close()
    other:close()
    helper.finish()
  end)

  local nan = 0 / 0

  -- {what is said, function, arguments...}; `n` where the last of them is nil.
  local calls = {
    { "bad argument #1 to 'connect' (string expected, got nil)", "connect", n = 0 },
    { "bad argument #1 to 'connect' (string expected, got nil)", "connect", nil, 80, n = 2 },
    { "bad argument #1 to 'connect' (string expected, got table)", "connect", {}, 80 },
    { "bad argument #1 to 'connect' (string expected, got boolean)", "connect", true, 80 },
    { "bad argument #2 to 'connect' (number expected, got nil)", "connect", "127.0.0.1" },
    { "bad argument #2 to 'connect' (number expected, got string)", "connect", "127.0.0.1", "http" },
    { "bad argument #2 to 'connect' (number expected, got table)", "connect", "127.0.0.1", {} },
    { "bad argument #3 to 'connect' (unknown option 'timout')", "connect", "127.0.0.1", 80, { timout = 1 } },
    { "bad argument #1 to 'connect_tls' (string expected, got nil)", "connect_tls", n = 0 },
    { "bad argument #2 to 'connect_tls' (number expected, got nil)", "connect_tls", "127.0.0.1" },
    { "bad argument #3 to 'connect_tls' (unknown option 'verfy')", "connect_tls", "127.0.0.1", 80, { verfy = 1 } },
    -- An option of TLS alone, where there is no TLS: silence would be a hole.
    { "bad argument #3 to 'connect' (option 'verify': one of connect_tls and start_tls)",
      "connect", "127.0.0.1", 80, { verify = true } },
    { "bad argument #3 to 'connect' (option 'ca_file': one of connect_tls and start_tls)",
      "connect", "127.0.0.1", 80, { ca_file = true } },
    { "bad argument #3 to 'listen' (option 'cert_file': it belongs into the table tls)",
      "listen", "127.0.0.1", 0, { cert_file = "x" } },
    { "bad argument #3 to 'listen' (unknown option 'session')", "listen", "127.0.0.1", 0, { session = "x" } },
  }
  for _, call in ipairs(calls) do
    local expected, name, n = call[1], call[2], call.n or #call - 2
    it(("%s [%d arguments]"):format(expected, n), function()
      for _, module in ipairs { tcp, safe } do
        helper.misuse(expected, function() module[name](unpack(call, 3, n + 2)) end)
      end
    end)
  end

  -- {number of the argument, pattern of what is said, host, port, third}
  local values = {
    { 2, "", 0 }, { 2, "", -1 }, { 2, "", 65536 }, { 2, "", 1e300 }, { 2, "", nan }, { 2, "", math.huge },
    { 2, "", "0" }, { 2, "", "65536" },
    { 2, "number has no integer representation", 80.5 },
    { 2, "number has no integer representation", "80.5" },
    { 3, "", 80, 0 }, { 3, "", 80, -1 }, { 3, "", 80, nan }, { 3, "", 80, -math.huge }, { 3, "", 80, "0" },
    { 3, "number", 80, "soon" }, { 3, "number", 80, true }, { 3, "number", 80, print },
    { 3, "timeout", 80, { timeout = 0 } }, { 3, "timeout", 80, { timeout = -1 } },
    { 3, "timeout", 80, { timeout = nan } }, { 3, "timeout", 80, { timeout = "soon" } },
    { 3, "timeout", 80, { timeout = {} } },
    { 3, "connect_timeout", 80, { connect_timeout = 0 } },
    { 3, "connect_timeout", 80, { connect_timeout = "x" } },
    { 3, "max_packet", 80, { max_packet = -1 } }, { 3, "max_packet", 80, { max_packet = 1.5 } },
    { 3, "max_packet", 80, { max_packet = "big" } }, { 3, "max_packet", 80, { max_packet = 2 ^ 32 } },
    { 3, "max_buffer", 80, { max_buffer = -1 } }, { 3, "max_buffer", 80, { max_buffer = nan } },
    { 3, "endian", 80, { endian = "middle" } }, { 3, "endian", 80, { endian = 1 } },
    { 3, "nodelay", 80, { nodelay = "yes" } },
    { 3, "unknown option", 80, { [1] = 5 } }, { 3, "unknown option", 80, { [true] = 5 } },
    { 3, "unknown option", 80, { Timeout = 5 } },
  }
  for _, value in ipairs(values) do
    local number, pattern, port, third = value[1], value[2], value[3], value[4]
    local shown = third
    if type(third) == "table" then
      local key, held = next(third)
      shown = ("{%s = %s}"):format(tostring(key), type(held) == "table" and "{}" or tostring(held))
    elseif type(third) == "function" then
      shown = "print"
    end

    it(("is port %s, third argument %s"):format(tostring(port), tostring(shown)), function()
      for _, name in ipairs { "connect", "connect_tls" } do
        for _, module in ipairs { tcp, safe } do
          local ok, message = pcall(function() module[name]("127.0.0.1", port, third) end)
          assert.is_false(ok)
          local said = message:match(("^spec/errors_spec%%.lua:%%d+: bad argument #%d to '%s' %%((.+)%%)$")
            :format(number, name))
          assert(said, message)
          assert.matches(pattern, said)
        end
      end
    end)
  end

  it("is not a numeric string, or a float that is whole", function()
    local peer = helper.listen [[ c.recv_all() ]]
    for _, port in ipairs { tostring(peer.port), " " .. peer.port .. " ", peer.port + 0.0 } do
      for _, third in ipairs { "3", 3, " 3.5 ", { timeout = "3", connect_timeout = "2.5", max_packet = "1000" } } do
        tcp.connect("127.0.0.1", port, third):close()
      end
    end
    peer:result(12)
    assert.equal(12, peer:count())
  end)

  it("shows a wrong option before any connection is made", function()
    local peer = helper.listen ""
    assert.has_error(function() tcp.connect("127.0.0.1", peer.port, { timeout = 1, colour = "red" }) end)
    assert.has_error(function() safe.connect_tls("127.0.0.1", peer.port, { ca_fiel = "x" }) end)
    assert.equal(0, peer:count())
  end)

  it("is `.` for `:`", function()
    for _, method in ipairs { "read_str", "recv", "send", "read_json", "write_json_packet", "close" } do
      for _, connection in ipairs { conn, other } do
        local ok, message = pcall(function() connection[method](12) end)
        assert.is_false(ok)
        assert.matches("^spec/errors_spec%.lua:%d+: .*'" .. method .. "'", message)
        assert.matches("tcp%.Connection expected, got number", message)
        ok, message = pcall(function() connection[method]() end)
        assert.is_false(ok)
        assert.matches("^spec/errors_spec%.lua:%d+: .*'" .. method .. "'", message)
        assert.matches("tcp%.Connection expected, got n", message)
      end
    end
  end)

  it("is another kind of object in a connection's place", function()
    for _, wrong in ipairs { {}, "conn", print, coroutine.create(function() end) } do
      local ok, message = pcall(function() conn.recv(wrong) end)
      assert.is_false(ok)
      assert.matches("tcp%.Connection expected, got " .. type(wrong):sub(1, 3), message)
    end
  end)

  -- {what is said, method, arguments...}
  local methods = {
    { "bad argument #1 to 'recv' (number expected, got string)", "recv", "many" },
    { "bad argument #1 to 'recv' (number has no integer representation)", "recv", 1.5 },
    { "bad argument #1 to 'read_str' (number expected, got table)", "read_str", {} },
    { "bad argument #1 to 'read_str' (number has no integer representation)", "read_str", 0.5 },
    { "bad argument #1 to 'send' (string expected, got table)", "send", {} },
    { "bad argument #1 to 'send' (string expected, got boolean)", "send", true },
    { "bad argument #1 to 'write_str' (string expected, got nil)", "write_str", nil, n = 1 },
    { "bad argument #2 to 'send' (string expected, got function)", "send", "a", print },
    { "bad argument #3 to 'send' (string expected, got nil)", "send", "a", 1, nil, n = 3 },
  }
  for _, call in ipairs(methods) do
    local expected, name, n = call[1], call[2], call.n or #call - 2
    it(expected, function()
      for _, connection in ipairs { conn, other } do
        helper.misuse(expected, function() connection[name](connection, unpack(call, 3, n + 2)) end)
      end
    end)
  end

  it("is a size that cannot be", function()
    for _, size in ipairs { -1, nan, -math.huge } do
      for _, method in ipairs { "recv", "read_str" } do
        local ok, message = pcall(function() conn[method](conn, size) end)
        assert.is_false(ok, method .. " took " .. size)
        assert.matches("^spec/errors_spec%.lua:%d+: bad argument #1 to '" .. method .. "' %(", message)
      end
    end
  end)

  it("sends nothing", function()
    local writer, peer = helper.connect [[ return c.recv_all() ]]
    assert.has_error(function() writer:send("never", {}) end)
    assert.has_error(function() writer:write_str("never", "sent", nil) end)
    writer:send("only this")
    writer:close()
    assert.equal("only this", peer:result())
  end)

  it("is told by tcp.send too", function()
    for _, module in ipairs { tcp, safe } do
      helper.misuse("bad argument #1 to 'send' (string expected, got nil)", function() module.send() end)
      helper.misuse("bad argument #1 to 'send' (string expected, got table)", function() module.send {} end)
    end
  end)
end)
