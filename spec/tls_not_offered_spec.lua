-- What TLS once had and this module does not offer: renegotiation, post-handshake authentication,
-- compression, SSL 3 and SSL 2. Each is refused in words of its own, which the details go with.

local helper = require "spec.support.helper"
local records = require "spec.support.records"
local tcp = require "tcp"
local safe = require "tcp.safe"

local trusting = helper.trusting

local SERVER_RENEGOTIATES = "%(the server wanted to renegotiate, often to ask for a client certificate for some "
  .. "paths alone, and this is refused: it must ask for one in the first handshake%)$"
local CLIENT_RENEGOTIATES = "%(the client wanted to renegotiate, and this is refused: it must connect again%)$"
local COMPRESSES = "%(the peer wanted compression, and this is refused: it must do without%)$"
local IS_OLD = "%(the peer speaks SSL 3 or older, and this is refused: it must be updated%)$"

-- A server that says this in place of its handshake, in Python.
local function saying(answer)
  return helper.listen(([[
    import records
    def server_hello(version, compression=0, extensions=b"\xff\1\0\1\0", suite=b"\xc0\x2b", record_version=0x303):
      body = struct.pack(">H", version) + bytes(32) + b"\0" + suite + bytes([compression])
      if extensions: body += struct.pack(">H", len(extensions)) + extensions
      return records.record(22, records.message(2, body), record_version)
    c.recv()
    c.send(%s)
    return c.recv()
  ]]):format(answer))
end

-- A client that says this in place of its handshake.
local function asking(listener, question)
  return helper.dial(listener:port(), ([[
    import records
    def client_hello(version, compressions=b"\0", record_version=0x301, extensions=b""):
      suites = b"\xc0\x2b\xc0\x2f\0\x2f\0\xff"
      body = struct.pack(">H", version) + bytes(32) + b"\0" + struct.pack(">H", len(suites)) + suites
      body += bytes([len(compressions)]) + compressions
      groups = b"\0\x0a\0\4\0\2\0\x17" + b"\0\x0d\0\4\0\2\4\3"
      if version > 0x300: body += struct.pack(">H", len(groups + extensions)) + groups + extensions
      return records.record(22, records.message(1, body), record_version)
    def ssl2_hello(version):
      suites, challenge = b"\1\0\x80\0\0\x2f\0\0\xff", bytes(16)
      body = b"\1" + struct.pack(">HHHH", version, len(suites), 0, len(challenge)) + suites + challenge
      return struct.pack(">H", 0x8000 | len(body)) + body
    c.send(%s)
    return c.recv()
  ]]):format(question))
end

local function listening(more)
  local tls = { cert_file = helper.pem "good", key_file = helper.pem("good", "key") }
  for name, value in pairs(more or {}) do tls[name] = value end
  return helper.keep(safe.listen("127.0.0.1", 0, { timeout = helper.timeout, tls = tls }))
end

-- The alert that the peer has got is the one that the details tell.
local function is_answered(peer, number, details)
  assert.same({ number, "here", "tls" }, { details.alert_number, details.from, details.phase })
  assert.equal(("\2%c"):format(number), peer:result():sub(6, 7))
end

describe("SSL 3", function()
  after_each(helper.finish)

  for name, options in pairs {
    ["by default"] = {}, ["also with min_version 1.0"] = { min_version = "1.0" },
    ["also with the ciphers of old"] = { min_version = "1.0", ciphers = "ALL:@SECLEVEL=0" },
  } do
    it("of a server is refused, " .. name, function()
      for _, hello in ipairs { "server_hello(0x300, extensions=b'', record_version=0x300)",
        "server_hello(0x300, suite=b'\\0\\x2f', extensions=b'')", "server_hello(2)" } do
        local peer = saying(hello)
        local _, details = helper.fails_safely("tls", IS_OLD,
          safe.connect_tls("localhost", peer.port, trusting(options)))
        is_answered(peer, 70, details)
      end
    end)
    it("of a client is refused, " .. name, function()
      local listener = listening(options)
      -- SSL 3 has no alert protocol_version (RFC 6101, section 5.4).
      for hello, number in pairs {
        ["client_hello(0x300, record_version=0x300)"] = 40, ["ssl2_hello(0x300)"] = 40, ["ssl2_hello(2)"] = 70,
      } do
        local peer = asking(listener, hello)
        local conn = helper.keep(listener:accept(helper.timeout))
        local _, details = helper.fails_safely("tls", IS_OLD, conn:read_line())
        is_answered(peer, number, details)
      end
    end)
  end

  it("is not what an alert in a record of its version speaks, nor a server of TLS 1.0", function()
    local peer = saying "records.alert(2, 40, 0x300)"
    helper.fails_safely("tls", "alert handshake failure %(often no cipher",
      safe.connect_tls("localhost", peer.port, trusting()))
    peer = saying "server_hello(0x301)"
    local _, details = helper.fails_safely("tls", "%(no version in common, see min_version and max_version%)$",
      safe.connect_tls("localhost", peer.port, trusting()))
    is_answered(peer, 70, details)
  end)

  it("is no value of min_version", function()
    for _, word in ipairs { "3.0", "ssl3", "SSLv3", "0.9" } do
      local ok, message = pcall(tcp.connect_tls, "localhost", 1, { min_version = word })
      assert.is_false(ok)
      assert.matches("option 'min_version'", message)
      assert.matches("'1.0'", message)
    end
  end)
end)

describe("compression", function()
  after_each(helper.finish)

  it("that a server chooses is refused", function()
    for _, hello in ipairs { "server_hello(0x303, 1)", "server_hello(0x303, 64)" } do
      local peer = saying(hello)
      local _, details = helper.fails_safely("tls", COMPRESSES,
        safe.connect_tls("localhost", peer.port, trusting()))
      is_answered(peer, 47, details)
    end
    local peer = saying "server_hello(0x303, 1, b'\\0\\x2b\\0\\2\\3\\4', b'\\x13\\1')"
    helper.fails_safely("tls", COMPRESSES, safe.connect_tls("localhost", peer.port, trusting()))
  end)

  it("that a client cannot do without is refused", function()
    local listener = listening()
    local peer = asking(listener, "client_hello(0x303, b'\\1')")
    local conn = helper.keep(listener:accept(helper.timeout))
    local _, details = helper.fails_safely("tls", COMPRESSES, conn:read_line())
    -- OpenSSL 3.5 says illegal_parameter.
    is_answered(peer, details.alert_number == 47 and 47 or 50, details)
  end)

  it("that a client offers besides is not used", function()
    local listener = listening()
    local peer = asking(listener, "client_hello(0x303, b'\\1\\0')")
    local conn = helper.keep(listener:accept(helper.timeout))
    -- The client goes no further.
    helper.fails_safely("closed", "end of stream in the TLS handshake$", conn:handshake())
    -- Behind record and message header, version, random and a session of no bytes: the cipher.
    local hello = peer:result()
    local id = hello:byte(44)
    assert.equal(0, hello:byte(44 + id + 3))
  end)

  it("is offered to no server", function()
    local asked = helper.listen([[
      hello = c.recv()
      at = 44 + hello[43]
      at += 2 + struct.unpack(">H", hello[at:at + 2])[0]
      return hello[at:at + 2]
    ]])
    pcall(tcp.connect_tls, "localhost", asked.port, trusting())
    assert.equal("\1\0", asked:result())
  end)
end)

-- A server that, behind the handshake, sends this handshake message, and then goes on in Python.
local function renegotiating_server(version, kind, go_on)
  return helper.listen(([[
    import records
    end = records.Endpoint(c.sock, %q, %q)
    end.handshake()
    c.sock.sendall(end.protected(records.HANDSHAKE, records.message(%d, b"")))
    %s
  ]]):format(version, helper.certificates .. "/good", kind, (go_on:gsub("^%s+", ""))))
end

local function connect(peer, version, more)
  local options = trusting { ciphers = records.CIPHER, ciphersuites = records.SUITE, max_version = version }
  for name, value in pairs(more or {}) do options[name] = value end
  return helper.keep(assert(safe.connect_tls("localhost", peer.port, options)))
end

describe("renegotiation", function()
  after_each(helper.finish)

  it("that a server asks for is refused with a warning, and the connection goes on", function()
    local peer = renegotiating_server("1.2", 0, [[
    c.sock.sendall(end.protected(records.DATA, b"on\n"))
    answer = c.recv_exactly(23)
    c.sock.sendall(end.protected(records.ALERT, b"\1\0"))
    return answer]])
    local conn = connect(peer, "1.2")
    assert.equal("on", conn:read_line())
    helper.fails_safely("closed", "end of stream$", conn:read_line())
    -- An alert, protected.
    assert.equal("\21\3\3\0\18", peer:result():sub(1, 5))
  end)

  for what, go_on in pairs {
    ["ends the connection"] = [[ c.sock.sendall(end.protected(records.ALERT, b"\1\0")) ]],
    ["cuts the connection"] = [[ c.sock.shutdown(socket.SHUT_WR) ]],
    ["says nothing more"] = [[ c.hold() ]],
    ["refuses in turn"] = [[ c.sock.sendall(end.protected(records.ALERT, b"\2\x28")) ]],
  } do
    it("that a server asks for is what is told where it " .. what, function()
      for _, close_notify in ipairs { "require", "ignore" } do
        for _, method in ipairs { "read_line", "recv", "read_str" } do
          local peer = renegotiating_server("1.2", 0, go_on)
          local conn = connect(peer, "1.2", { close_notify = close_notify })
          if what == "says nothing more" then conn:set_timeout(0.1) end
          local value, message, code, details
          for _ = 1, 50 do
            value, message, code, details = conn[method](conn)
            -- A busy machine may not have brought it yet.
            if code ~= "timeout" or message:find "renegotiate" then break end
          end
          helper.fails_safely(code or "closed", SERVER_RENEGOTIATES, value, message, code)
          local expected = what == "says nothing more" and "timeout" or what == "refuses in turn" and "tls" or "closed"
          assert.equal(expected, code)
          if code == "tls" then
            assert.same({ "handshake_failure", 40, "peer" }, { details.alert, details.alert_number, details.from })
          end
        end
      end
    end)
  end

  it("that a client asks for is what is told, whatever it does then", function()
    for go_on, expected in pairs {
      ["c.sock.sendall(end.protected(records.ALERT, b'\\1\\0'))"] = "closed",
      ["c.sock.shutdown(socket.SHUT_WR)"] = "closed",
      ["c.hold()"] = "timeout",
      ["c.sock.sendall(end.protected(records.ALERT, b'\\2\\x28'))"] = "tls",
    } do
      local listener = listening { ciphers = records.CIPHER }
      helper.dial(listener:port(), ([=[
        import records
        end = records.Endpoint(c.sock, "1.2", ca=%q)
        end.handshake()
        hello = end.said["ours"]
        c.sock.sendall(end.protected(records.HANDSHAKE, hello[5:5 + struct.unpack(">H", hello[3:5])[0]]))
        %s
      ]=]):format(helper.pem "root", go_on))
      local conn = helper.keep(listener:accept(helper.timeout))
      assert.is_true(conn:handshake())
      if expected == "timeout" then conn:set_timeout(0.1) end
      local value, message, code
      for _ = 1, 50 do
        value, message, code = conn:read_line()
        if code ~= "timeout" or message:find "renegotiate" then break end
      end
      helper.fails_safely(expected, CLIENT_RENEGOTIATES, value, message, code)
    end
  end)

  it("over TLS 1.3, which does not have it, is a message out of place", function()
    local conn = connect(renegotiating_server("1.3", 0, "c.hold()"), "1.3")
    local _, details = helper.fails_safely("tls", "unexpected message %(perhaps the server asked for", conn:read_line())
    assert.same({ "unexpected_message", 10, "here" }, { details.alert, details.alert_number, details.from })
    local listener = listening { ciphersuites = records.SUITE }
    helper.dial(listener:port(), ([=[
      import records
      end = records.Endpoint(c.sock, "1.3", ca=%q)
      end.handshake()
      hello = end.said["ours"]
      c.sock.sendall(end.protected(records.HANDSHAKE, hello[5:5 + struct.unpack(">H", hello[3:5])[0]]))
      c.hold()
    ]=]):format(helper.pem "root"))
    conn = helper.keep(listener:accept(helper.timeout))
    _, details = helper.fails_safely("tls",
      "unexpected message %(perhaps the client wanted to renegotiate, which TLS 1.3 does not have: it must connect "
        .. "again%)$",
      conn:read_line())
    assert.same({ "unexpected_message", 10, "here" }, { details.alert, details.alert_number, details.from })
  end)
end)

describe("post-handshake authentication", function()
  after_each(helper.finish)

  it("is offered to no server, so that one which would use it says so", function()
    local peer = helper.listen(([[
      context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
      context.load_cert_chain(%q, %q)
      context.load_verify_locations(%q)
      context.verify_mode, context.post_handshake_auth = ssl.CERT_REQUIRED, True
      tls = context.wrap_socket(c.sock, server_side=True)
      try:
        tls.verify_client_post_handshake()
        return "asked"
      except ssl.SSLError as failure: return failure.reason
    ]]):format(helper.pem "good", helper.pem("good", "key"), helper.pem "root"))
    local conn = helper.keep(safe.connect_tls("localhost", peer.port, trusting {
      cert_file = helper.pem "client", key_file = helper.pem("client", "key") }))
    assert.equal("EXTENSION_NOT_RECEIVED", peer:result())
    conn:close()
  end)

  it("that a server asks for all the same is refused", function()
    local conn = connect(renegotiating_server("1.3", 13, "c.hold()"), "1.3")
    local _, details = helper.fails_safely("tls", "unexpected message %(perhaps the server asked for a client "
      .. "certificate after the handshake, and this is refused: it must ask for one in the handshake, see cert_file%)$",
      conn:read_line())
    assert.same({ "unexpected_message", 10, "here", "tls" },
      { details.alert, details.alert_number, details.from, details.phase })
    assert.equal("localhost", details.certificate.subject.CN)
  end)
end)
