-- `connect_tls` with `handshake = "later"`: it connects, and the first read, write or `handshake`
-- does the rest.

local helper = require "spec.support.helper"
local loops = require "spec.support.loops"
local tcp = require "tcp"
local safe = require "tcp.safe"

-- Runs a body as it is, and in each loop.
local function everywhere(body)
  body()
  for _, loop in ipairs(loops) do
    if loop.found and loops.has_yielding_pcall then loop.within(body) end
  end
end

-- A connection whose handshake is to come, to a peer with this code.
local function connect(code, options, listener, module)
  local all = { handshake = "later" }
  for name, value in pairs(options or {}) do all[name] = value end
  return helper.connect_tls(code, all, listener, module)
end

-- The bare socket: the peer sees what comes before TLS.
local function bare(code, options, module)
  local peer = helper.listen(code)
  local all = helper.trusting({ handshake = "later" }, options)
  return helper.keep((module or tcp).connect_tls("127.0.0.1", peer.port, all)), peer
end

local ways = {
  { "read", function(conn) assert.equal("hello", conn:read(5)) end, "" },
  { "read_line", function(conn) assert.equal("hello", conn:read_line()) end, "" },
  { "send", function(conn) conn:send "question" end, "question" },
  { "handshake", function(conn) assert.is_nil(conn:handshake()) end, "" },
  { "shutdown", function(conn) conn:shutdown() end, "" },
  { "lines", function(conn)
    for line in conn:lines() do assert.equal("hello", line) break end
  end, "" },
  { "peek", function(conn) assert.equal("hello", conn:peek(5)) end, "" },
}
if helper.is_quick then ways = { ways[1], ways[3] } end

describe("handshake = 'later'", function()
  after_each(helper.finish)

  for _, version in ipairs { "1.2", "1.3" } do
    for _, way in ipairs(ways) do
      it("leaves it to " .. way[1] .. ", over TLS " .. version, function()
        everywhere(function()
          local conn, peer = connect("c.send(b'hello\\n'); return c.recv_all()", nil,
            { tls = "good", version = version })
          assert.matches("^tcp%.TlsConnection: ", tostring(conn))
          assert.same({ server_name = "127.0.0.1" }, conn:info().tls)
          assert.is_nil(conn:info().timings.tls)
          way[2](conn)
          local info = conn:info()
          assert.equal("TLSv" .. version, info.tls.version)
          assert.is_true(info.tls.verified)
          assert.equal("127.0.0.1", info.tls.server_name)
          assert.is_true(info.timings.tls > 0)
          conn:shutdown()
          assert.equal(way[3], peer:result())
          conn:close()
          assert.equal(info.timings.tls, conn:info().timings.tls)
          assert.is_true(conn:info().tls.verified)
        end)
      end)
    end
  end

  it("sends nothing before", function()
    everywhere(function()
      local conn, peer = bare "return c.ending()"
      assert.is_true(conn:is_open())
      assert.is_true(conn:is_alive())
      assert.equal(0, conn:pending())
      assert.same({}, (tcp.poll({ conn }, nil, 0.05)))
      assert.same({ conn }, (select(2, tcp.poll({}, { conn }, 0.05))))
      assert.is_nil(conn:session())
      conn:close()
      assert.equal("end", peer:result())
      assert.equal(0, conn:info().bytes_written)
      assert.same({ server_name = "127.0.0.1" }, conn:info().tls)
    end)
  end)

  it("counts the handshake, and not the wait before it", function()
    local conn = connect "c.hold()"
    tcp.sleep(0.3)
    conn:handshake()
    local timings = conn:info().timings
    assert.is_true(timings.tls > 0 and timings.tls < 0.3, timings.tls)
    assert.is_true(math.abs(timings.dns + timings.connect + timings.tls - timings.total) < 1e-9)
    conn:handshake() -- there is nothing left to do
    assert.equal(timings.tls, conn:info().timings.tls)
  end)

  it("does not need the server to answer yet, and goes on after a timeout", function()
    everywhere(function()
      for _, act in ipairs {
        function(conn) return conn:handshake() end, function(conn) return conn:read(5) end,
        function(conn) return conn:send "early" end, function(conn) return conn:read_line() end,
      } do
        local conn, peer = bare([[
          c.wait()
          c.handshake("good")
          c.send(b"hello\n")
          return c.recv_all()
        ]], { timeout = 0.05, connect_timeout = helper.timeout }, safe)
        for _ = 1, 3 do
          helper.fails_safely("timeout", "^%l+_?%l* 127%.0%.0%.1:%d+: timeout: .*TLS handshake$", act(conn))
          assert.is_true(conn:is_open())
          assert.same({ server_name = "127.0.0.1" }, conn:info().tls)
        end
        peer:go()
        conn:set_timeout(helper.timeout)
        assert.equal("hello", conn:read_line())
        conn:shutdown()
        local heard = peer:result()
        -- What was queued goes out once, however often it was tried.
        assert(heard == "" or heard == ("early"):rep(3), heard)
        conn:close()
      end
    end)
  end)

  it("takes an answer that comes one byte at a time", function()
    local conn = connect("c.send(b'hello'); c.hold()", nil, { tls = "good", drip = true })
    assert.equal("hello", conn:read(5))
  end)

  it("is within the timeout of its call", function()
    for _, act in ipairs {
      function(conn) return conn:handshake() end, function(conn) return conn:read(1) end,
      function(conn) return conn:send "x" end, function(conn) return conn:shutdown() end,
    } do
      for _, code in ipairs { "c.hold()", [[ c.drip(b"\x16\x03\x03\x40\x00" + bytes(300), 0.005) ]] } do
        helper.takes(0.1, function()
          return (bare(code, { timeout = 0.1, connect_timeout = helper.timeout }, safe))
        end, function(conn)
          assert.equal("timeout", select(3, act(conn)))
        end)
      end
    end
  end)

  describe("a failure", function()
    for _, case in ipairs {
      { "of the certificate", "certificate", "expired on Jun 30 12:00:00 2021 GMT", "expired" },
      { "of the name", "certificate", "host name mismatch: expected 127%.0%.0%.1", "other_host" },
      { "of the issuer", "certificate", "unknown issuer", "unknown_issuer" },
    } do
      for _, way in ipairs(ways) do
        it(case[1] .. " comes from " .. way[1] .. ", and closes the connection", function()
          everywhere(function()
            local before = helper.sockets()
            local conn, peer = connect("c.recv_all()", nil, { tls = case[4] })
            local label = tostring(conn)
            local ok, message = pcall(way[2], conn)
            assert.is_false(ok)
            assert.matches(": " .. way[1] .. " 127%.0%.0%.1:%d+: certificate: " .. case[3], message)
            assert.is_false(conn:is_open())
            assert.equal(label .. " (closed)", tostring(conn))
            assert.has_error(function() peer:result() end)
            local info = conn:info().tls
            assert.is_false(info.verified)
            assert.matches(case[3], info.verify_error)
            assert.equal("string", type(info.certificate.pem))
            helper.fails("closed", "^read 127%.0%.0%.1:%d+: closed: this connection was closed when its handshake "
              .. "failed$", function() conn:read(1) end)
            conn:close()
            assert.equal(before, helper.sockets())
          end)
        end)
      end
    end

    it("of the certificate has the details that connect_tls gives", function()
      everywhere(function()
        local conn = connect("c.recv_all()", nil, { tls = "expired" }, safe)
        local _, details = helper.fails_safely("certificate", "^read 127%.0%.0%.1:%d+: certificate: expired",
          conn:read(1))
        assert.equal("tls", details.phase)
        assert.equal("localhost", details.certificate.subject.CN)
        assert.equal(2, #details.chain)
        helper.fails_safely("closed", "closed when its handshake failed$", conn:read(1))
        assert.is_true(conn:close())
      end)
    end)

    it("of a pin closes, too", function()
      local conn = connect("c.recv_all()", { pin_sha256 = ("A"):rep(43) .. "=" }, nil, safe)
      helper.fails_safely("certificate", "pin mismatch", conn:handshake())
      assert.is_false(conn:is_open())
    end)

    for _, case in ipairs {
      { "without TLS", "tls", "does not speak TLS", "c.recv(); c.send(b'220 hello\\r\\n'); c.recv_all()" },
      { "that ends", "closed", "end of stream in the TLS handshake", "c.recv(); c.close()" },
      { "that resets", "closed", "in the TLS handshake", "c.recv(); c.reset()" },
      { "with an alert", "tls", "handshake failure",
        "c.recv(); c.send(b'\\x15\\x03\\x03\\0\\2\\2\\x28'); c.recv_all()" },
    } do
      it("of a server " .. case[1] .. " closes the connection", function()
        for _, module in ipairs { tcp, safe } do
          local before = helper.sockets()
          local conn = bare(case[4], nil, module)
          if module == tcp then
            helper.fails(case[2], "^send 127%.0%.0%.1:%d+: .*" .. case[3], function() conn:send "x" end)
          else
            helper.fails_safely(case[2], "^send 127%.0%.0%.1:%d+: .*" .. case[3], conn:send "x")
          end
          assert.is_false(conn:is_open())
          assert.equal(before, helper.sockets())
        end
      end)
    end

    it("with copy_to is that of the side that it is on, and closes that one", function()
      local source = helper.connect("c.send(b'hello'); c.hold()", nil, nil, safe)
      local target = connect("c.recv_all()", nil, { tls = "expired" }, safe)
      local _, details = helper.fails_safely("certificate", "^copy_to 127%.0%.0%.1:%d+: certificate: expired",
        source:copy_to(target, 5))
      assert.equal("write", details.side)
      assert.is_true(source:is_open())
      assert.is_false(target:is_open())
      helper.fails_safely("closed", "closed when its handshake failed$", target:send "x")
    end)
  end)

  it("is done by whichever of two coroutines comes first", function()
    for _, loop in ipairs(loops) do
      if loop.found then
        for _, certificate in ipairs { "good", "expired" } do
          local read, code, written
          local conn, peer = bare(([[
            c.wait()
            c.handshake(%q)
            c.send(c.recv_exactly(5))
            c.recv_all()
          ]]):format(certificate), nil, safe)
          loop.within(function()
            local answer = { conn:read(5) }
            read, code = answer[1], answer[3]
          end, function()
            written = select(3, conn:send "hello")
          end, function()
            tcp.sleep(0.02)
            peer:go()
          end)
          assert.equal(certificate == "good" and "hello" or nil, read, loop.name)
          if certificate == "good" then
            assert.is_nil(written)
          else
            assert.equal("certificate", code, loop.name)
            assert.equal("certificate", written, loop.name)
            assert.is_false(conn:is_open())
          end
          conn:close()
        end
      end
    end
  end)

  it("works with starttls and through proxies", function()
    local peer = helper.listen [[
      c.send(b"220 mx.example.com\r\n")
      c.recv_line()
      c.send(b"250-mx.example.com\r\n250 STARTTLS\r\n")
      c.recv_line()
      c.send(b"220 go ahead\r\n")
      c.wait()
      c.handshake("good")
      c.send(b"hello")
    ]]
    local conn = helper.keep(tcp.connect_tls("localhost", peer.port,
      helper.trusting { starttls = "smtp", handshake = "later" }))
    assert.equal("220 mx.example.com\r\n", conn:info().starttls.greeting)
    assert.same({ server_name = "localhost" }, conn:info().tls)
    peer:go()
    assert.equal("hello", conn:read(5))

    local proxy = [[
      %s
      while c.recv_line() != b"\r\n": pass
      c.send(b"HTTP/1.1 200 OK\r\n\r\n")
      other = socket.create_connection(("127.0.0.1", %d), 5)
      def pump(source, target):
          try:
              while data := source.recv(65536): target.sendall(data)
              target.shutdown(socket.SHUT_WR)
          except OSError: pass
      threading.Thread(target=pump, args=(other, c.sock), daemon=True).start()
      pump(c.sock, other)
    ]]
    for scheme, handshake in pairs { http = "pass", https = "c.handshake('good')" } do
      for _, certificate in ipairs { "good", "expired" } do
        local server = helper.listen("c.send(b'hello'); c.recv_all()", { tls = certificate })
        local through = helper.listen(proxy:format(handshake, server.port))
        conn = helper.keep(safe.connect_tls("localhost", server.port, helper.trusting {
          handshake = "later",
          proxy = { url = ("%s://localhost:%d"):format(scheme, through.port),
            tls = scheme == "https" and { ca_file = helper.pem "root" } or nil },
        }))
        assert.same({ server_name = "localhost" }, conn:info().tls)
        if certificate == "good" then
          assert.equal("hello", conn:read(5))
          assert.is_true(conn:info().tls.verified)
        else
          helper.fails_safely("certificate", "^read localhost:%d+: certificate: expired", conn:read(5))
          assert.is_false(conn:is_open())
        end
      end
    end
  end)

  it("resumes a session", function()
    local peer = helper.s_server "good"
    local options = helper.trusting { handshake = "later" }
    for i = 1, 2 do
      local conn = helper.keep(tcp.connect_tls("localhost", peer.port, options))
      conn:send "x\n"
      assert.equal("x", conn:read_line())
      assert.equal(i == 2, conn:info().tls.resumed)
      options.session = conn:session()
      conn:close()
    end
  end)

  it("finds wrong settings before it connects", function()
    local peer = helper.listen "c.hold()"
    helper.fails("io", "cannot read ca_file", function()
      tcp.connect_tls("127.0.0.1", peer.port, { handshake = "later", ca_file = "/nowhere" })
    end)
    helper.fails("tls", "^connect_tls 127%.0%.0%.1:%d+: tls: ", function()
      tcp.connect_tls("127.0.0.1", peer.port, { handshake = "later", ciphers = "nonsense" })
    end)
    assert.equal(0, peer:count())
  end)

  it("is an option of connect_tls, with two words", function()
    for _, wrong in ipairs { "never", "" } do
      helper.misuse("bad argument #3 to 'connect_tls' (option 'handshake': 'now' or 'later' expected, got '" .. wrong
        .. "')", function() tcp.connect_tls("localhost", 1, { handshake = wrong }) end)
    end
    helper.misuse("bad argument #3 to 'connect_tls' (option 'handshake': string expected, got boolean)",
      function() tcp.connect_tls("localhost", 1, { handshake = true }) end)
    helper.misuse("bad argument #3 to 'connect' (option 'handshake': one of connect_tls)",
      function() tcp.connect("localhost", 1, { handshake = "later" }) end)
    helper.misuse("bad argument #3 to 'listen' (option 'handshake': one of connect_tls)",
      function() tcp.listen("127.0.0.1", 0, { handshake = "later" }) end)
    local conn = helper.connect "c.hold()"
    helper.misuse("bad argument #1 to 'start_tls' (unknown option 'handshake')",
      function() conn:start_tls { handshake = "later" } end)
    conn = helper.connect_tls("c.hold()", { handshake = "now" })
    assert.is_true(conn:info().tls.verified)
  end)

  it("is left alone by the collector, and by a fork", function()
    local before = helper.sockets()
    for _ = 1, 20 do
      local peer = helper.listen "return c.ending()"
      tcp.connect_tls("127.0.0.1", peer.port, helper.trusting { handshake = "later" })
      collectgarbage()
      collectgarbage()
      assert.equal("end", peer:result())
    end
    assert.equal(before, helper.sockets())

    local peer = helper.listen("c.send(c.recv_exactly(5)); return c.ending()", { tls = "good" })
    assert.equal("hello", helper.run_well(helper.forking() .. ([[
      local tcp = require "tcp"
      local conn = tcp.connect_tls("127.0.0.1", %d, { ca_file = %q, timeout = 5, handshake = "later" })
      if fork() == 0 then
        conn:send "hello"
        io.write(conn:read(5))
        io.stdout:flush()
        conn:close()
        os.exit(0)
      end
      conn:close()
      assert(wait() == 0)
    ]]):format(peer.port, helper.pem "root")))
    assert.equal("end", peer:result())
  end)

  it("two hundred times over leaves nothing behind", function()
    local peer = helper.listen("c.recv_all()", { tls = "expired" })
    local options = helper.trusting { handshake = "later" }
    local before = helper.sockets()
    for i = 1, 200 do
      local conn = safe.connect_tls("127.0.0.1", peer.port, options)
      if i % 2 == 0 then assert.equal("certificate", select(3, conn:handshake())) else conn:close() end
    end
    assert.equal(before, helper.sockets())
  end)
end)

describe("an accepted connection", function()
  after_each(helper.finish)

  it("tells how long its handshake took", function()
    local listener = helper.keep(tcp.listen("127.0.0.1", 0, { timeout = helper.timeout,
      tls = { cert_file = helper.pem "good", key_file = helper.pem("good", "key") } }))
    local peer = helper.dial(listener:port(), "c.wait(); c.handshake(); c.hold()", {})
    local conn = helper.keep(listener:accept(helper.timeout))
    assert.is_nil(conn:info().tls.version)
    assert.is_nil(conn:info().timings.tls)
    peer:go()
    conn:handshake()
    assert.equal("localhost", conn:info().tls.server_name)
    assert.is_true(conn:info().timings.tls > 0)
  end)
end)
