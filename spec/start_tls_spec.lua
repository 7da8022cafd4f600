-- `start_tls`: TLS on a connection that began without it, with the protocols that do so (SMTP and
-- PostgreSQL, by real servers), and with peers that cheat.

local helper = require "spec.support.helper"
local tcp = require "tcp"
local safe = require "tcp.safe"

local root = helper.pem "root"

local output = helper.output

-- Upgrades, trusting the specs' CA.
local function upgrade(conn, options)
  local all = { ca_file = root }
  for name, value in pairs(options or {}) do all[name] = value end
  return helper.keep(conn:start_tls(all))
end

describe("start_tls with SMTP", function()
  after_each(helper.finish)

  local python = helper.python_with "aiosmtpd"

  -- A server (aiosmtpd) that wants TLS, and puts its mail into a folder.
  local function server(certificate, folder)
    if not python then pending "there is no aiosmtpd here" end
    return helper.program(("%s -m aiosmtpd -n -l 127.0.0.1:{port} --tlscert %s --tlskey %s"
      .. " -c aiosmtpd.handlers.Mailbox %s"):format(python, helper.pem(certificate),
      helper.pem(certificate, "key"), folder))
  end

  -- A command, and the code of its answer, which may be of several lines.
  local function ask(conn, command, code)
    if command then conn:send(command, "\r\n") end
    local lines = {}
    repeat
      local line = conn:read_line()
      assert.equal(code, tonumber(line:sub(1, 3)), line)
      lines[#lines + 1] = line
    until line:sub(4, 4) ~= "-"
    return table.concat(lines, "\n")
  end

  it("sends a mail", function()
    local folder = os.tmpname()
    os.remove(folder)
    local port = server("good", folder).port
    local conn = helper.keep(tcp.connect("localhost", port, helper.timeout))
    ask(conn, nil, 220)
    assert.matches("STARTTLS", ask(conn, "EHLO client.example", 250))
    ask(conn, "MAIL FROM:<a@example.com>", 530) -- not without TLS
    ask(conn, "STARTTLS", 220)
    local tls = upgrade(conn)
    assert.is_true(tls:info().tls.verified)
    assert.equal("localhost", tls:info().tls.server_name)
    -- All begins anew, and TLS is on offer no more.
    assert.is_nil(ask(tls, "EHLO client.example", 250):find "STARTTLS")
    ask(tls, "MAIL FROM:<a@example.com>", 250)
    ask(tls, "RCPT TO:<b@example.com>", 250)
    ask(tls, "DATA", 354)
    ask(tls, "Subject: a test\r\n\r\nOver TLS.\r\n.", 250)
    ask(tls, "QUIT", 221)
    tls:close()
    local mail = output("cat " .. folder .. "/new/*")
    assert.matches("Subject: a test", mail)
    assert.matches("Over TLS%.", mail)
    os.execute("rm -r " .. folder)
  end)

  it("refuses the server's certificate, and shows it", function()
    local folder = os.tmpname()
    os.remove(folder)
    local port = server("expired", folder).port
    local conn = helper.keep(safe.connect("localhost", port, helper.timeout))
    ask(conn, nil, 220)
    ask(conn, "EHLO client.example", 250)
    ask(conn, "STARTTLS", 220)
    local _, details = helper.fails_safely("certificate", "^start_tls localhost:" .. port
      .. ": certificate: expired on Jun 30 12:00:00 2021 GMT", conn:start_tls { ca_file = root })
    assert.equal("localhost", details.certificate.subject.CN)
    os.execute("rm -rf " .. folder)
  end)
end)

describe("start_tls with PostgreSQL", function()
  after_each(helper.finish)

  local function int32(n)
    return string.char(math.floor(n / 2^24) % 256, math.floor(n / 2^16) % 256, math.floor(n / 256) % 256, n % 256)
  end

  local function number(bytes)
    local a, b, c, d = bytes:byte(1, 4)
    return ((a * 256 + b) * 256 + c) * 256 + d
  end

  -- A message: its type and its body.
  local function message(conn)
    local kind, length = conn:read(1), number(conn:read(4))
    return kind, conn:read(length - 4)
  end

  -- The fields of the only row of a query's answer.
  local function row(conn, query)
    conn:send("Q", int32(#query + 5), query, "\0")
    local fields
    repeat
      local kind, body = message(conn)
      assert.not_equal("E", kind, body)
      if kind == "D" then
        fields = {}
        local at = 3
        for i = 1, body:byte(1) * 256 + body:byte(2) do
          local length = number(body:sub(at, at + 3))
          fields[i] = body:sub(at + 4, at + 3 + length)
          at = at + 4 + length
        end
      end
    until kind == "Z"
    return fields
  end

  it("asks a query", function()
    local server = helper.postgres()
    if not server then return pending "there is no PostgreSQL server here" end
    for _, host in ipairs { "localhost", "127.0.0.1" } do
      local conn = helper.keep(tcp.connect(host, server.port, helper.timeout))
      conn:send(int32(8), int32(80877103)) -- SSLRequest
      assert.equal("S", conn:read(1))
      local tls = upgrade(conn)
      assert.is_true(tls:info().tls.verified)
      local startup = int32(196608) .. "user\0specs\0database\0postgres\0\0"
      tls:send(int32(#startup + 4), startup)
      local kind, body
      repeat
        kind, body = message(tls)
        assert.not_equal("E", kind, body)
      until kind == "Z"
      local answer = row(tls, "select ssl, version, 6 * 7 from pg_stat_ssl where pid = pg_backend_pid()")
      assert.same({ "t", tls:info().tls.version, "42" }, answer)
      -- A megabyte each way.
      assert.same({ tostring(2^20):match "^%d+" }, row(tls, ("select length('%s')"):format(("x"):rep(2^20))))
      assert.equal(("y"):rep(2^20), row(tls, "select repeat('y', 1048576)")[1])
      tls:send("X", int32(4))
      assert.equal("", tls:read_str())
    end
  end)
end)

describe("start_tls", function()
  after_each(helper.finish)

  local polite = [[
    c.recv_line()
    c.send(b"go ahead\n")
    c.handshake("good")
    c.send(b"hello")
    return c.sni
  ]]

  local function begun(code, options, host, module)
    local peer = helper.listen(code or polite)
    local all = { timeout = helper.timeout }
    for name, value in pairs(options or {}) do all[name] = value end
    local conn = helper.keep((module or tcp).connect(host or "localhost", peer.port, all))
    conn:send "STARTTLS\n"
    assert.equal("go ahead", conn:read_line())
    return conn, peer
  end

  it("gives a new handle, and closes the old one without closing the socket", function()
    local conn = begun()
    local fd, name = conn:fd(), tostring(conn)
    local tls = upgrade(conn)
    assert.equal(fd, tls:fd())
    assert.equal((name:gsub("tcp%.Connection", "tcp.TlsConnection")), tostring(tls))
    assert.is_false(conn:is_open())
    assert.equal(name .. " (closed)", tostring(conn))
    helper.fails("closed", "^recv localhost:%d+: closed: this connection was closed by the script$",
      function() conn:recv() end)
    helper.fails("closed", "^start_tls localhost:%d+: closed: ", function() conn:start_tls() end)
    conn:close()
    conn = nil -- luacheck: ignore 311
    collectgarbage()
    collectgarbage()
    assert.equal("hello", tls:read_str())
  end)

  it("verifies the host that connect was given", function()
    local conn, peer = begun()
    local tls = upgrade(conn)
    local info = tls:info()
    assert.equal("localhost", info.host)
    assert.equal("localhost", info.tls.server_name)
    assert.is_true(info.tls.verified)
    assert.equal("hello", tls:read_str())
    assert.equal("localhost", peer:result())

    conn, peer = begun(nil, nil, "127.0.0.1")
    tls = upgrade(conn)
    assert.equal("127.0.0.1", tls:info().tls.server_name)
    assert.equal("hello", tls:read_str())
    assert.is_nil(peer:result())
  end)

  it("verifies server_name instead", function()
    local conn = begun()
    local message = helper.fails("certificate", "", function()
      conn:start_tls { ca_file = root, server_name = "other.example" }
    end)
    assert.matches("^start_tls localhost:%d+: certificate: host name mismatch: expected other%.example, ", message)
  end)

  it("keeps what connect was told", function()
    local conn = begun([[
      c.recv_line()
      c.send(b"go ahead\n")
      c.handshake("good")
      c.send(struct.pack("<I", 10) + b'{"a":null}' + struct.pack("<I", 11))
      c.hold()
    ]], { endian = "little", null = "nil", max_packet = 10, timeout = 0.5 })
    local tls = upgrade(conn)
    assert.same({}, tls:read_json_packet())
    helper.fails("too_large", "^read_packet localhost:%d+: ", function() tls:read_packet() end)
    helper.takes(0.5, function() end, function()
      helper.fails("timeout", "^read localhost:%d+: ", function() tls:read(100) end)
    end)
  end)

  it("times the handshake", function()
    local tls = upgrade((begun()))
    local timings = tls:info().timings
    assert.is_true(timings.tls > 0)
    assert.is_true(timings.tls + timings.connect + timings.dns <= timings.total + 0.001)
  end)

  it("sends first what is queued", function()
    local size = 8 * 2^20
    local conn, peer = helper.connect(([[
      c.wait()
      data = c.recv_exactly(%d)
      c.handshake("good")
      c.send(b"secret")
      return data.count(b"q")
    ]]):format(size))
    conn:set_timeout(0.05)
    helper.fails("timeout", "bytes sent", function() conn:send(("q"):rep(size)) end)
    -- As long as it cannot be sent, it waits, and nothing is lost.
    helper.fails("timeout", "^start_tls 127%.0%.0%.1:%d+: timeout: %d+ of %d+ bytes sent$",
      function() conn:start_tls { ca_file = root } end)
    assert.is_true(conn:is_open())
    conn:set_timeout(helper.timeout)
    peer:go()
    local tls = upgrade(conn)
    assert.equal("secret", tls:read_str())
    assert.equal(size, peer:result())
  end)

  describe("refuses plaintext that came before the handshake:", function()
    for _, case in ipairs {
      { "behind the go-ahead", [[
        c.recv_line()
        c.send(b"go ahead\n250 injected\n")
        c.handshake("good")
      ]] },
      { "a single byte", [[
        c.recv_line()
        c.send(b"go ahead\n\0")
        c.handshake("good")
      ]] },
    } do
      it(case[1], function()
        local conn = begun(case[2])
        local message = helper.fails("tls", "", function() conn:start_tls { ca_file = root } end)
        assert.matches("^start_tls localhost:%d+: tls: plaintext came before the handshake %(injected commands%?%)$",
          message)
        helper.fails("tls", "plaintext", function() conn:start_tls { verify = false } end)
        -- It is still a connection without TLS, and says so.
        assert.matches("^tcp%.Connection: ", tostring(conn))
        assert.is_true(conn:pending() > 0)
      end)
    end

    it("in its own time, where the handshake should be", function()
      for _, verify in ipairs { true, false } do
        local conn, peer = begun [[
          c.recv_line()
          c.send(b"go ahead\n")
          c.wait()
          c.send(b"250 injected\n")
          c.hold()
        ]]
        peer:go()
        helper.fails("tls", "^start_tls localhost:%d+: tls: the peer does not speak TLS",
          function() conn:start_tls { ca_file = root, verify = verify } end)
        assert.is_false(conn:is_open())
      end
    end)

    it("so that nothing injected is ever read from the new handle", function()
      local conn = begun [[
        c.recv_line()
        c.send(b"go ahead\ninjected")
        c.handshake("good")
      ]]
      local tls = select(2, pcall(conn.start_tls, conn, { ca_file = root }))
      assert.equal("string", type(tls)) -- an error
    end)
  end)

  describe("after a failure of the handshake", function()
    for _, case in ipairs {
      { "a bad certificate", "certificate", "expired", [[ c.handshake("expired") ]] },
      { "no TLS at all", "tls", "does not speak TLS", [[ c.recv(1); c.send(b"what?\n"); c.recv_all() ]] },
      { "the end of the stream", "closed", "in the TLS handshake", [[ c.close() ]] },
    } do
      it("leaves no socket behind: " .. case[1], function()
        local before = helper.sockets()
        for _, module in ipairs { tcp, safe } do
          local code = "c.recv_line()\nc.send(b'go ahead\\n')\n" .. case[4]:match "^%s*(.-)%s*$"
          local conn = begun(code, nil, nil, module)
          if module == tcp then
            helper.fails(case[2], "^start_tls localhost:%d+: .*" .. case[3],
              function() conn:start_tls { ca_file = root } end)
          else
            helper.fails_safely(case[2], "^start_tls localhost:%d+: .*" .. case[3], conn:start_tls { ca_file = root })
          end
          assert.is_false(conn:is_open())
          assert.equal(before, helper.sockets())
        end
      end)
    end
  end)

  it("has the connection's timeout as a whole", function()
    for _, code in ipairs { "c.hold()", [[ c.drip(b"\x16\x03\x03\x40\x00" + bytes(300), 0.005) ]] } do
      helper.takes(0.15, function()
        return (helper.connect(code, 0.15, nil, safe))
      end, function(conn)
        local _, details = helper.fails_safely("timeout", "TLS handshake$", conn:start_tls { ca_file = root })
        assert.same({ phase = "tls" }, details)
      end)
    end
  end)

  it("is refused on a connection that has TLS, which stays as it is", function()
    local conn, peer = helper.connect_tls [[ return c.recv_exactly(5) ]]
    helper.fails("tls", "^start_tls 127%.0%.0%.1:%d+: tls: TLS is in use already$", function() conn:start_tls() end)
    assert.is_true(conn:is_open())
    conn:send "hello"
    assert.equal("hello", peer:result())

    conn = begun()
    local tls = upgrade(conn)
    helper.fails("tls", "TLS is in use already", function() tls:start_tls { ca_file = root } end)
    assert.equal("hello", tls:read_str())
  end)

  it("takes options of TLS alone, in a table", function()
    local conn = helper.connect [[ c.hold() ]]
    for option, value in pairs { timeout = 1, connect_timeout = 1, nodelay = true, max_packet = 5, null = "nil" } do
      helper.misuse(("bad argument #1 to 'start_tls' (unknown option '%s')"):format(option),
        function() conn:start_tls { [option] = value } end)
    end
    helper.misuse("bad argument #1 to 'start_tls' (table expected, got number)", function() conn:start_tls(5) end)
    assert.is_true(conn:is_open())
  end)

  describe("on a connection that was accepted", function()
    -- A listener without TLS, and its next client.
    local function accepted(code, options, module)
      local listener = helper.keep((module or tcp).listen("127.0.0.1", 0, { timeout = helper.timeout }))
      local peer = helper.dial(listener:port(), code, options)
      return helper.keep(listener:accept(helper.timeout)), peer
    end

    local own = { cert_file = helper.pem "good", key_file = helper.pem("good", "key") }

    for _, version in ipairs { "1.2", "1.3" } do
      it("takes the server's part, over TLS " .. version, function()
        local conn, peer = accepted([[
          c.send(b"STARTTLS\n")
          c.recv_line()
          c.handshake()
          c.send(b"question")
          return c.recv_all()
        ]], { version = version })
        assert.equal("STARTTLS", conn:read_line())
        conn:send "go ahead\n"
        local tls = helper.keep(conn:start_tls(own))
        assert.is_false(conn:is_open())
        assert.equal("question", tls:read(8))
        local info = tls:info().tls
        assert.equal("TLSv" .. version, info.version)
        assert.equal("localhost", info.server_name)
        tls:send "answer"
        tls:shutdown()
        assert.equal("answer", peer:result())
      end)

      it("asks for the client's certificate where it is told whom to trust, over TLS " .. version, function()
        local options = { version = version, certificate = "client" }
        local conn = accepted("c.handshake(); c.send(b'x'); c.recv_all()", options)
        local tls = helper.keep(conn:start_tls { cert_file = own.cert_file, key_file = own.key_file, ca_file = root })
        assert.equal("client.example", tls:info().tls.certificate.subject.CN)
        assert.is_true(tls:info().tls.verified)
        options.certificate = "client_stranger"
        conn = accepted("c.handshake(); c.recv_all()", options, safe)
        local _, details = helper.fails_safely("certificate", "^start_tls 127%.0%.0%.1:%d+: .*unknown issuer",
          conn:start_tls { cert_file = own.cert_file, key_file = own.key_file, ca_file = root })
        assert.equal("client.example", details.certificate.subject.CN)
        assert.is_false(conn:is_open())
      end)
    end

    it("wants a certificate of its own, and no name and session of a server", function()
      local conn = accepted "c.hold()"
      helper.fails("tls", "a server needs a certificate %(cert_file, cert, or one in names%), or psk$",
        function() conn:start_tls() end)
      for _, option in ipairs { "server_name", "session" } do
        helper.misuse(("bad argument #1 to 'start_tls' (option '%s': a client's, this side is the server)")
          :format(option), function()
          conn:start_tls { cert_file = own.cert_file, key_file = own.key_file, [option] = "localhost" }
        end)
      end
      assert.is_true(conn:is_open())
    end)

    it("refuses plaintext that came before the handshake", function()
      local conn = accepted "c.send(b'STARTTLS\\nDATA\\n'); c.hold()"
      assert.equal("STARTTLS", conn:read_line())
      helper.fails("tls", "plaintext came before the handshake", function() conn:start_tls(own) end)
    end)
  end)

  it("takes the other part where side says so", function()
    local peer = helper.listen [[
      context = ssl.create_default_context(cafile=os.path.join(CERTIFICATES, "root.pem"))
      c.sock = context.wrap_socket(c.sock, server_hostname="localhost")
      return c.recv_all()
    ]]
    local conn = helper.keep(tcp.connect("127.0.0.1", peer.port, helper.timeout))
    local tls = helper.keep(conn:start_tls {
      side = "server", cert_file = helper.pem "good", key_file = helper.pem("good", "key") })
    tls:send "hello"
    tls:shutdown()
    assert.equal("hello", peer:result())

    conn = helper.connect "c.hold()"
    helper.misuse("bad argument #1 to 'start_tls' (option 'side': 'client' or 'server' expected, got 'peer')",
      function() conn:start_tls { side = "peer" } end)
    assert.is_true(conn:is_open())
  end)

  it("takes either part in each loop", function()
    local loops = require "spec.support.loops"
    for _, loop in ipairs(loops) do
      for _, side in ipairs { "client", "server" } do
        if loop.found then
          local listener = helper.keep(tcp.listen("127.0.0.1", 0, { timeout = helper.timeout }))
          local server = { cert_file = helper.pem "good", key_file = helper.pem("good", "key") }
          local client = { ca_file = root }
          local heard
          loop.within(function()
            local conn = helper.keep(listener:accept())
            -- Without `side` it is the server.
            if side == "client" then client.side, client.server_name = "client", "localhost" end
            local tls = helper.keep(conn:start_tls(side == "client" and client or server))
            heard = tls:read_line()
          end, function()
            local conn = helper.keep(tcp.connect("localhost", listener:port(), helper.timeout))
            if side == "client" then server.side = "server" end
            local tls = helper.keep(conn:start_tls(side == "client" and server or client))
            tls:send(tls:info().tls.version, "\n")
          end)
          assert.equal("TLSv1.3", heard, loop.name)
        end
      end
    end
  end)

  it("works on a connection that was accepted, whose other end is the server", function()
    local listener = helper.keep(tcp.listen("127.0.0.1", 0))
    helper.dial(listener:port(), [[
      context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
      context.load_cert_chain(os.path.join(]] .. ("%q"):format(helper.certificates) .. [[, "good.pem"),
                              os.path.join(]] .. ("%q"):format(helper.certificates) .. [[, "good.key"))
      c.sock = context.wrap_socket(c.sock, server_side=True)
      c.send(b"hello")
    ]])
    local tls = upgrade(helper.keep(listener:accept(helper.timeout)), { side = "client" })
    assert.equal("hello", tls:read_str())
  end)

  it("a hundred times over leaves nothing behind", function()
    local peer = helper.listen [[
      c.handshake("good")
      c.recv_all()
    ]]
    local before = helper.sockets()
    for _ = 1, 100 do
      local conn = tcp.connect("localhost", peer.port, helper.timeout)
      local tls = conn:start_tls { ca_file = root }
      tls:close()
    end
    assert.equal(before, helper.sockets())
  end)
end)
