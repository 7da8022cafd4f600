-- `connect_tls`: verified by default, against the system's store or one's own; what is said when
-- a certificate or a handshake is refused.

local helper = require "spec.support.helper"
local tcp = require "tcp"
local safe = require "tcp.safe"

local root = helper.pem "root"

local trusting = helper.trusting

local greeting = [[
  c.send(b"hello")
  return c.sni
]]

-- A peer with this certificate.
local function server(certificate, options)
  options = options or {}
  options.tls = certificate
  return helper.listen(greeting, options)
end

-- Connects, and is greeted.
local function greets(host, port, options)
  local conn = helper.keep(tcp.connect_tls(host, port, options))
  assert.equal("hello", conn:read_str())
end

describe("connect_tls", function()
  after_each(helper.finish)

  it("gives an object of its own kind", function()
    local conn = helper.connect_tls(greeting)
    assert.equal("userdata", type(conn))
    assert.matches("^tcp%.TlsConnection: ", tostring(conn))
  end)

  for _, case in ipairs {
    { "a host name", "localhost", "good" },
    { "a host name in capitals", "LocalHost", "good" },
    { "an IPv4 address", "127.0.0.1", "good" },
    { "a chain without an intermediate", "localhost", "direct" },
    { "an RSA key", "localhost", "rsa" },
    { "an Ed25519 key", "localhost", "ed25519" },
  } do
    it("accepts a good certificate: " .. case[1], function()
      greets(case[2], server(case[3]).port, trusting())
    end)
  end

  it("accepts a good certificate: an IPv6 address", function()
    local port = server("good", { host = "::1" }).port
    greets("::1", port, trusting())
    greets("[::1]", port, trusting())
  end)

  for _, version in ipairs { "1.2", "1.3" } do
    it("speaks TLS " .. version, function()
      greets("localhost", server("good", { version = version }).port, trusting())
    end)
  end

  for _, version in ipairs { "1.0", "1.1" } do
    it("refuses a peer that speaks TLS " .. version .. " alone", function()
      local port = server("good", { version = version, ciphers = "ALL:@SECLEVEL=0" }).port
      helper.fails("tls", "^connect_tls localhost:%d+: tls: .*version",
        function() tcp.connect_tls("localhost", port, trusting()) end)
      helper.fails("tls", "^connect_tls ",
        function() tcp.connect_tls("localhost", port, trusting { verify = false }) end)
    end)
  end

  describe("asks for the name (SNI)", function()
    it("that it connects to", function()
      local peer = server "good"
      greets("localhost", peer.port, trusting())
      assert.equal("localhost", peer:result())
    end)

    it("of server_name instead", function()
      local peer = server "other_host"
      greets("127.0.0.1", peer.port, trusting { server_name = "other.example" })
      assert.equal("other.example", peer:result())
    end)

    it("also where nothing is verified", function()
      local peer = server "good"
      greets("localhost", peer.port, trusting { verify = false })
      assert.equal("localhost", peer:result())
    end)

    it("but not for an address", function()
      local peer = server "good"
      greets("127.0.0.1", peer.port, trusting())
      assert.is_nil(peer:result())
      peer = server "good"
      greets("localhost", peer.port, trusting { server_name = "127.0.0.1" })
      assert.is_nil(peer:result())
      peer = server("good", { host = "::1" })
      greets("[::1]", peer.port, trusting())
      assert.is_nil(peer:result())
    end)

    it("without the dot that may end a name", function()
      local peer = server "good"
      greets("localhost", peer.port, trusting { server_name = "localhost." })
      assert.equal("localhost", peer:result())
    end)
  end)

  describe("refuses", function()
    -- {certificate, host, server_name, patterns of what must be said...}
    for _, case in ipairs {
      { "for another host", "other_host", "localhost", nil,
        "localhost", "other%.example", "www%.other%.example", "name" },
      { "for another host than server_name", "good", "localhost", "other.example",
        "other%.example", "localhost" },
      { "for another address", "other_ip", "127.0.0.1", nil, "127%.0%.0%.1", "192%.0%.2%.7" },
      { "for a name, where an address is asked for", "name_only", "127.0.0.1", nil, "127%.0%.0%.1", "localhost" },
      { "with an address as a DNS name", "dns_for_ip", "127.0.0.1", nil, "127%.0%.0%.1" },
      { "with the name as common name alone", "cn_only", "localhost", nil, "localhost" },
      { "that has expired", "expired", "localhost", nil, "expired", "2021" },
      { "that is not valid yet", "not_yet", "localhost", nil, "not yet valid", "2048" },
      { "signed by itself", "self_signed", "localhost", nil, "self.signed" },
      { "from an unknown CA", "unknown_issuer", "localhost", nil, "issuer" },
      { "whose intermediate is missing", "incomplete", "localhost", nil, "issuer" },
      { "that is for clients alone", "client_only", "localhost", nil, "purpose" },
      { "for a wildcard's own domain", "wildcard", "127.0.0.1", "wild.example",
        "wild%.example", "%*%.wild%.example" },
      { "for a wildcard of one label fewer", "wildcard", "127.0.0.1", "a.b.wild.example",
        "a%.b%.wild%.example", "%*%.wild%.example" },
    } do
      local why, certificate, host, server_name = case[1], case[2], case[3], case[4]

      it("a certificate " .. why, function()
        local peer = server(certificate)
        local options = trusting { server_name = server_name }
        local message = helper.fails("certificate", ("^connect_tls %s:%d: certificate: "):format(host, peer.port),
          function() tcp.connect_tls(host, peer.port, options) end)
        for i = 5, #case do assert.matches(case[i], message) end
        helper.fails_safely("certificate", "", safe.connect_tls(host, peer.port, options))
      end)

      it("but with verify = false takes a certificate " .. why, function()
        greets(host, server(certificate).port, trusting { server_name = server_name, verify = false })
      end)
    end

    it("a good certificate that only our own CA stands for, if it is not told so", function()
      helper.fails("certificate", "issuer", function()
        tcp.connect_tls("localhost", server("good").port, helper.timeout)
      end)
    end)

    it("any certificate that ca_file does not stand for", function()
      helper.fails("certificate", "", function()
        tcp.connect_tls("localhost", server("good").port, trusting { ca_file = helper.pem "stranger" })
      end)
    end)

    it("before it has sent a byte of the script's", function()
      local peer = helper.listen([[ return c.recv_all() ]], { tls = "unknown_issuer" })
      helper.fails("certificate", "", function() tcp.connect_tls("localhost", peer.port, trusting()) end)
      -- The peer's handshake, or its first read, fails with our alert.
      assert.has_error(function() peer:result() end)
    end)

    it("and leaves no socket behind", function()
      local before = helper.sockets()
      local port = server("expired").port
      for _ = 1, 10 do
        pcall(tcp.connect_tls, "localhost", port, trusting())
      end
      collectgarbage()
      assert.is_true(helper.sockets() - before <= 0)
    end)
  end)

  it("takes one label for a wildcard", function()
    local port = server("wildcard").port
    greets("127.0.0.1", port, trusting { server_name = "a.wild.example" })
    greets("127.0.0.1", port, trusting { server_name = "B-2.Wild.Example" })
  end)

  it("takes a self-signed certificate that is trusted by name", function()
    greets("localhost", server("self_signed").port, trusting { ca_file = helper.pem "self_signed" })
  end)

  it("says all that is wrong in one line", function()
    local message = helper.fails("certificate", "", function()
      tcp.connect_tls("localhost", server("expired").port, trusting())
    end)
    assert.is_true(#message < 400, message)
    assert.is_nil(message:find("error:%x%x%x%x"), "OpenSSL's own codes are for nobody: " .. message)
  end)

  describe("trusts", function()
    it("ca_file", function()
      greets("localhost", server("good").port, { ca_file = root, timeout = helper.timeout })
    end)

    it("ca_dir", function()
      greets("localhost", server("good").port,
        { ca_dir = helper.certificates .. "/hashed", timeout = helper.timeout })
    end)

    it("ca, PEM text", function()
      greets("localhost", server("good").port, { ca = helper.contents(root), timeout = helper.timeout })
    end)

    it("each of several certificates in ca and ca_file", function()
      local both = helper.contents(helper.pem "stranger") .. "some words between\n" .. helper.contents(root)
      for _, certificate in ipairs { "good", "unknown_issuer" } do
        greets("localhost", server(certificate).port, { ca = both, timeout = helper.timeout })
      end
      local path = os.tmpname()
      local file = assert(io.open(path, "wb"))
      file:write(both)
      file:close()
      for _, certificate in ipairs { "good", "unknown_issuer" } do
        greets("localhost", server(certificate).port, { ca_file = path, timeout = helper.timeout })
      end
      os.remove(path)
    end)

    it("nothing of the system's where it is told what to trust", function()
      local said, status = helper.run(([[
        local tcp = require "tcp.safe"
        local function code(options)
          options.timeout = 3
          return (select(3, tcp.connect_tls("localhost", %d, options))) or "none"
        end
        io.write(code {}, " ", code { ca_file = %q }, " ", code { ca = io.open(%q):read "*a" })
      ]]):format(server("good").port, helper.pem "stranger", helper.pem "stranger"), "SSL_CERT_FILE=" .. root)
      assert.equal(0, status, said)
      assert.equal("none certificate certificate", said)
    end)

    for _, variable in ipairs { "SSL_CERT_FILE=" .. root, "SSL_CERT_DIR=" .. helper.certificates .. "/hashed" } do
      it(variable:match "^[%u_]+" .. ", as the system does", function()
        local said, status = helper.run(([[
          local conn = require("tcp").connect_tls("localhost", %d, 3)
          io.write(conn:read_str())
        ]]):format(server("good").port), variable)
        assert.equal("hello", said)
        assert.equal(0, status)
      end)
    end

    it("a CA file that has changed since", function()
      local path = os.tmpname()
      local function write(name)
        local file = assert(io.open(path, "wb"))
        file:write(helper.contents(helper.pem(name)))
        file:close()
      end
      local port = server("good").port
      write "stranger"
      helper.fails("certificate", "", function() tcp.connect_tls("localhost", port, trusting { ca_file = path }) end)
      -- The two differ in size: no clock has to move on.
      write "root"
      greets("localhost", port, trusting { ca_file = path })
      write "stranger"
      helper.fails("certificate", "", function() tcp.connect_tls("localhost", port, trusting { ca_file = path }) end)
      os.remove(path)
    end)
  end)

  describe("refuses before any byte goes out", function()
    for _, case in ipairs {
      { "a ca_file that is not there", "io", { ca_file = "/nonexistent/ca.pem" }, "/nonexistent/ca%.pem" },
      { "a ca_file that is a folder", "io", { ca_file = "/tmp" }, "/tmp" },
      { "a ca_file that is no PEM", "tls", { ca_file = "spec/support/helper.lua" }, "spec/support/helper%.lua" },
      { "a ca_file that is empty", "tls", { ca_file = "/dev/null" }, "/dev/null" },
      { "a ca_file with a key alone", "tls", { ca_file = helper.pem("root", "key") }, "root%.key" },
      { "a ca_dir that is not there", "io", { ca_dir = "/nonexistent/certs" }, "/nonexistent/certs" },
      { "a ca that is no PEM", "tls", { ca = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n" }, "" },
      { "a ca that is empty", "tls", { ca = "" }, "" },
    } do
      it(case[1], function()
        local peer = server "good"
        case[3].timeout = helper.timeout
        helper.fails(case[2], case[4], function() tcp.connect_tls("localhost", peer.port, case[3]) end)
        assert.equal(0, peer:count())
      end)
    end

    for _, case in ipairs {
      { "verify", "no" }, { "verify", 0 }, { "server_name", {} }, { "server_name", true },
      { "ca_file", {} }, { "ca_file", true }, { "ca_dir", false }, { "ca", {} },
      { "server_name", "" }, { "server_name", "local\0host" },
    } do
      it(("%s = %q"):format(case[1], tostring(case[2])), function()
        local ok, message = pcall(function()
          tcp.connect_tls("localhost", 9, trusting { [case[1]] = case[2] })
        end)
        assert.is_false(ok)
        assert.matches("bad argument #3 to 'connect_tls' %(.*" .. case[1], message)
      end)
    end
  end)

  describe("in the handshake", function()
    it("has the timeout of connect, whatever the peer sends", function()
      for _, code in ipairs {
        [[ c.hold() ]],
        -- A record that comes a byte at a time, and never ends.
        [[ c.drip(b"\x16\x03\x03\x40\x00" + bytes(200), 0.005) ]],
      } do
        helper.takes(0.15, function() return helper.listen(code).port end, function(port)
          helper.fails("timeout", "TLS handshake",
            function() tcp.connect_tls("127.0.0.1", port, trusting { timeout = 0.15 }) end)
        end)
      end
    end)

    it("has connect_timeout where it is given", function()
      local port = helper.listen([[ c.hold() ]]).port
      helper.takes(0.1, function() end, function()
        helper.fails("timeout", "TLS handshake",
          function() tcp.connect_tls("127.0.0.1", port, trusting { connect_timeout = 0.1 }) end)
      end)
    end)

    it("gets on with a peer that sends a byte at a time", function()
      local conn = helper.connect_tls(greeting, nil, { drip = true })
      assert.equal("hello", conn:read_str())
    end)

    for _, case in ipairs {
      { "a web server without TLS", [[
        c.recv()
        c.send(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\nThis is not TLS.\r\n")
      ]] },
      { "a server that speaks first", [[ c.send(b"220 mail.example ESMTP ready\r\n") ]] },
      { "a packet server", [[ c.send_packet({"hello": 1}) ]] },
      { "an alert", [[
        c.recv()
        c.send(b"\x15\x03\x03\x00\x02\x02\x28")
      ]] },
      { "noise", [[
        c.recv()
        c.send(bytes(range(256)))
      ]] },
    } do
      it("fails with words on " .. case[1], function()
        local port = helper.listen(case[2]).port
        local message = helper.fails("tls", "^connect_tls 127%.0%.0%.1:%d+: tls: ",
          function() tcp.connect_tls("127.0.0.1", port, trusting()) end)
        assert.is_nil(message:find("error:%x%x%x%x"), "OpenSSL's own codes are for nobody: " .. message)
        assert.is_nil(message:find("closed"), message)
        helper.fails("tls", "", function() tcp.connect_tls("127.0.0.1", port, trusting { verify = false }) end)
      end)
    end

    for _, case in ipairs {
      { "ends", [[ c.recv(); c.close() ]], "end of stream in the TLS handshake$" },
      { "ends at once", [[ c.close() ]], " in the TLS handshake$" },
      { "resets", [[ c.recv(); c.reset() ]], "connection reset by peer in the TLS handshake$" },
      { "ends inside a record", [[ c.recv(); c.send(b"\x16\x03\x03\x40\x00\x02"); c.close() ]],
        "end of stream in the TLS handshake$" },
    } do
      it("is closed when the peer " .. case[1], function()
        local port = helper.listen(case[2]).port
        helper.fails("closed", "^connect_tls 127%.0%.0%.1:%d+: closed: .*" .. case[3],
          function() tcp.connect_tls("127.0.0.1", port, trusting()) end)
      end)
    end

    it("agrees on nothing with a peer that has no common cipher", function()
      local port = server("good", { version = "1.2", ciphers = "AES128-SHA:@SECLEVEL=0" }).port
      helper.fails("tls", "handshake",
        function() tcp.connect_tls("localhost", port, trusting()) end)
    end)
  end)

  it("moves a megabyte each way, byte for byte", function()
    local conn, peer = helper.connect_tls [[
      data = c.recv_exactly(1 << 20)
      c.send(data[::-1])
      return data == bytes(range(256)) * 4096
    ]]
    local all = {}
    for i = 0, 255 do all[i + 1] = string.char(i) end
    local block = table.concat(all):rep(4096)
    conn:send(block)
    assert.is_true(conn:read_str() == block:reverse())
    assert.is_true(peer:result())
  end)

  it("says goodbye when it is closed", function()
    local conn, peer = helper.connect_tls [[ return c.ending() ]]
    conn:close()
    assert.equal("end", peer:result())
  end)

  it("tells a truncated stream from one that ended", function()
    local conn = helper.connect_tls [[
      c.send(b"half of it")
      c.cut()
    ]]
    helper.fails("closed", "^read_str .*close_notify", function() conn:read_str() end)
    -- What did arrive is still there; only its end is in doubt.
    assert.equal("half of it", conn:recv())
    helper.fails("closed", "^recv ", function() conn:recv() end)

    conn = helper.connect_tls [[
      c.send(b"all of it")
      c.close()
    ]]
    assert.equal("all of it", conn:read_str())
    assert.equal("", conn:recv())
  end)
end)
