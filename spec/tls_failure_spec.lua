-- What a failure over TLS tells: the words, and the details that `tcp.safe` gives with them, as far
-- as the handshake got.

local helper = require "spec.support.helper"
local tcp = require "tcp"
local safe = require "tcp.safe"

local trusting = helper.trusting

-- Files that a test makes; gone with it.
local made = {}

-- Runs a shell command in which `OUT` stands for the files of a new name: that name.
local function make(command)
  local name = os.tmpname()
  made[#made + 1] = name
  local said = helper.output("(" .. command:gsub("OUT", name) .. ") 2>&1; echo $?")
  assert(said:find "0\n$", said)
  return name
end

local function finish()
  helper.finish()
  for _, name in ipairs(made) do os.execute("rm -f " .. name .. " " .. name .. ".*") end
  made = {}
end

-- A CA, OUT.ca, and a certificate that it has signed before somebody changed it: OUT.pem and
-- OUT.key.
local function forged()
  return make(table.concat({
    "new='-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes'",
    "openssl req -x509 $new -subj '/CN=Broker CA' -keyout OUT.ca.key -out OUT.ca",
    "openssl req -new $new -subj /CN=broker -keyout OUT.key -out OUT.csr",
    "printf 'subjectAltName=DNS:localhost' >OUT.ext",
    "openssl x509 -req -in OUT.csr -CA OUT.ca -CAkey OUT.ca.key -set_serial 7 -extfile OUT.ext -outform DER"
      .. " -out OUT.der",
    "(head -c -4 OUT.der && printf spam) | openssl x509 -inform DER -out OUT.pem",
  }, " && "))
end

-- A server of this version with this certificate.
local function server(name, version)
  return helper.listen(([[
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = ssl.TLSVersion.TLSv1_%s
    context.load_cert_chain(%q, %q)
    c.sock = context.wrap_socket(c.sock, server_side=True)
    c.send(b"hello")
  ]]):format(version, name .. ".pem", name .. ".key"))
end

-- A server that sends a ServerHello of TLS 1.2 with these extensions, and then this certificate,
-- whatever is in it, and no proof that it is its own.
local function raw_server(der, extensions)
  return helper.listen(([[
    c.recv()
    def message(kind, body): return bytes([kind]) + struct.pack(">I", len(body))[1:] + body
    extensions = bytes.fromhex(%q)
    hello = b"\3\3" + bytes(32) + b"\0" + b"\xc0\x2f" + b"\0" + struct.pack(">H", len(extensions)) + extensions
    certificate = %s
    def framed(body): return struct.pack(">I", len(body))[1:] + body
    flight = message(2, hello) + message(11, framed(framed(certificate))) + message(12, bytes(100))
    c.send(b"\x16\3\3" + struct.pack(">H", len(flight)) + flight)
    c.hold()
  ]]):format(extensions or "ff01000100", helper.bytes(der)))
end

-- A certificate in DER, with these bytes in place of others of the same length.
local function patched(pattern, others)
  local name = make("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 20000"
    .. " -subj /CN=localhost -keyout OUT.key -out OUT.pem && openssl x509 -in OUT.pem -outform DER -out OUT.der")
  local der = helper.contents(name .. ".der")
  local from, to = der:find(pattern)
  assert(from, "not there")
  return der:sub(1, from - 1) .. others .. der:sub(to + 1)
end

describe("a certificate", function()
  after_each(finish)

  for _, version in ipairs { 2, 3 } do
    it("whose signature does not verify is refused in these words, with details, over TLS 1." .. version, function()
      local name = forged()
      local port = server(name, version).port
      local options = { ca_file = name .. ".ca", timeout = helper.timeout }
      local _, details = helper.fails_safely("certificate", "certificate signature failure %('broker'%)$",
        safe.connect_tls("localhost", port, options))
      assert.equal("broker", details.certificate.subject.CN)
      assert.equal("here", details.from)
      options.verify = false
      local conn = helper.keep(tcp.connect_tls("localhost", port, options))
      assert.equal("hello", conn:read_str())
      assert.equal("certificate signature failure ('broker')", conn:info().tls.verify_error)
    end)

    it("of a client, too, over TLS 1." .. version, function()
      local name = forged()
      for _, verify in ipairs { true, false } do
        local listener = helper.keep(safe.listen("127.0.0.1", 0, { timeout = helper.timeout, tls = {
          cert_file = helper.pem "good", key_file = helper.pem("good", "key"), ca_file = name .. ".ca",
          verify = verify } }))
        local peer = helper.listen(([[
          context = ssl.create_default_context(cafile=%q)
          context.maximum_version = ssl.TLSVersion.TLSv1_%s
          context.load_cert_chain(%q, %q)
          with socket.create_connection(("127.0.0.1", %d), 3) as plain:
            with context.wrap_socket(plain, server_hostname="localhost") as sock:
              sock.sendall(b"hello\n")
              return sock.recv(1)
        ]]):format(helper.pem "root", version, name .. ".pem", name .. ".key", listener:port()))
        helper.keep(tcp.connect("127.0.0.1", peer.port))
        local conn = helper.keep(listener:accept())
        if verify then
          local _, details = helper.fails_safely("certificate", "certificate signature failure %('broker'%)$",
            conn:read_line())
          assert.equal("broker", details.certificate.subject.CN)
          pcall(peer.result, peer)
        else
          assert.equal("hello", conn:read_line())
          assert.equal("certificate signature failure ('broker')", conn:info().tls.verify_error)
        end
      end
    end)
  end

  it("with malformed alternative names is refused as one", function()
    local name = make("openssl req -x509 -key " .. helper.pem("rsa", "key") .. " -subj /CN=localhost -out OUT.pem"
      .. " -addext subjectAltName=DER:30:03:82:05:61 && openssl x509 -in OUT.pem -outform DER -out OUT.der")
    local peer = raw_server(helper.contents(name .. ".der"))
    local _, details = helper.fails_safely("certificate",
      "malformed certificate %('localhost'%), an extension cannot be read$",
      safe.connect_tls("localhost", peer.port, { ca_file = name .. ".pem" }))
    assert.equal("localhost", details.certificate.subject.CN)
    assert.is_nil(details.certificate.dns_names)
  end)

  for _, case in ipairs {
    { "a date that is none", "%d%d%d%d%d%d%d%d%d%d%d%d%d%dZ", ("x"):rep(14) .. "Z", "not_after" },
    { "a key of an unknown kind", "\6\7%*\134H\206=\2\1", "\6\7*\134H\206=\2\127", "public_key_sha256" },
  } do
    it("with " .. case[1] .. " is in the details, without that field", function()
      local der = patched(case[2], case[3])
      for _, verify in ipairs { true, false } do
        local _, _, code, details = safe.connect_tls("localhost", raw_server(der).port,
          trusting { verify = verify, timeout = 1 })
        assert.is_truthy(code)
        if code == "timeout" then break end -- let in: the server does not go on
        assert.equal("localhost", details.certificate.subject.CN)
        assert.is_nil(details.certificate[case[4]])
        assert.is_string(details.certificate.fingerprint_sha256)
      end
    end)
  end

  it("with a key of an unknown kind is not taken for one with a weak key", function()
    local der = patched("\6\7%*\134H\206=\2\1", "\6\7*\134H\206=\2\127")
    for _, verify in ipairs { true, false } do
      helper.fails_safely("certificate",
        "unreadable key %('localhost'%), of a kind that this OpenSSL does not know$",
        safe.connect_tls("localhost", raw_server(der).port, trusting { verify = verify }))
    end
  end)

  it("with an address for a name says so", function()
    local peer = helper.listen("", { tls = "dns_for_ip" })
    helper.fails("certificate", "host name mismatch: expected 127.0.0.1, the certificate is for 127.0.0.1 "
      .. "%(there as a DNS name, which an address does not match%)$",
      function() tcp.connect_tls("127.0.0.1", peer.port, trusting()) end)
  end)

  it("with a key too weak names the option", function()
    local peer = helper.s_server("weak", "-cipher DEFAULT:@SECLEVEL=0")
    helper.fails("certificate",
      "EE certificate key too weak %('localhost'%), security_level = 0 allows weak keys and signatures$",
      function() tcp.connect_tls("localhost", peer.port, trusting()) end)
    local options = trusting { ciphers = "DEFAULT:@SECLEVEL=0" }
    helper.keep(tcp.connect_tls("localhost", peer.port, options))
  end)
end)

describe("details.chain is what was sent, details.verified_chain the path", function()
  after_each(finish)

  local function names(chain)
    local all = {}
    for i, each in ipairs(chain) do all[i] = each.subject.CN end
    return all
  end

  for _, version in ipairs { "1.2", "1.3" } do
    it("of a certificate that is refused, and in info() of one that is not, over TLS " .. version, function()
      for _, certificate in ipairs { "expired", "good" } do
        local peer = helper.listen([[ c.hold() ]], { tls = certificate, version = version })
        local conn, _, _, tls = safe.connect_tls("localhost", peer.port, trusting())
        if conn then tls = helper.keep(conn):info().tls end
        assert.same({ "localhost", "Specs Intermediate" }, names(tls.chain))
        assert.same({ "localhost", "Specs Intermediate", "Specs Root" }, names(tls.verified_chain))
      end
    end)
  end

  it("as far as it could be built", function()
    local peer = helper.listen("", { tls = "unknown_issuer" })
    local _, _, _, details = safe.connect_tls("localhost", peer.port, trusting())
    assert.same({ "localhost" }, names(details.chain))
    assert.same({ "localhost" }, names(details.verified_chain))
  end)
end)

describe("a failure of code tls", function()
  after_each(finish)

  it("has the server's certificate where a client certificate is wanted, over TLS 1.2", function()
    for _, verify in ipairs { true, false } do
      local peer = helper.listen("", { tls = "good", version = "1.2", client_ca = "root" })
      local _, details = helper.fails_safely("tls", "client certificate",
        safe.connect_tls("localhost", peer.port, trusting { verify = verify }))
      assert.equal("localhost", details.certificate.subject.CN)
      assert.equal("TLSv1.2", details.version)
      assert.same({ "handshake_failure", 40, "peer", "tls" },
        { details.alert, details.alert_number, details.from, details.phase })
      pcall(peer.result, peer)
    end
  end)

  it("has it with the first read over TLS 1.3", function()
    local conn, peer = helper.connect_tls("", {}, { version = "1.3", client_ca = "root" }, safe)
    local _, details = helper.fails_safely("tls", "the server wants a client certificate, see cert_file%)$",
      conn:read_line())
    assert.equal("localhost", details.certificate.subject.CN)
    assert.same({ "certificate_required", 116, "peer", "tls" },
      { details.alert, details.alert_number, details.from, details.phase })
    pcall(peer.result, peer)
  end)

  it("is what a write fails with, where the peer has said why", function()
    local conn, peer = helper.connect_tls("", {}, { version = "1.3", client_ca = "root" }, safe)
    pcall(peer.result, peer)
    local sent, message, code, details
    for _ = 1, 100 do
      sent, message, code, details = conn:send(("x"):rep(10000))
      if not sent then break end
      tcp.poll({}, {}, 0.01)
    end
    helper.fails_safely("tls", "the server wants a client certificate, see cert_file%)$", sent, message, code)
    assert.same({ "certificate_required", 116, "peer" }, { details.alert, details.alert_number, details.from })
    -- And it stays so: this is not the end of the stream.
    helper.fails_safely("tls", "certificate required", conn:read_str())
    helper.fails_safely("tls", "certificate required", conn:send "x")
  end)

  it("is what a write fails with, where a read has failed before", function()
    local conn = helper.connect_tls("", {}, { version = "1.3", client_ca = "root" }, safe)
    helper.fails_safely("tls", "certificate required", conn:read_str())
    local _, details = helper.fails_safely("tls", "certificate required", conn:send "x")
    assert.same({ "certificate_required", 116, "peer" }, { details.alert, details.alert_number, details.from })
    for _, version in ipairs { "1.2", "1.3" } do
      conn = helper.connect_tls([[ c.raw.sendall(b"\x17\3\3\0\x40" + bytes(64)); c.hold() ]], {},
        { version = version }, safe)
      helper.fails_safely("tls", "bad record mac", conn:read_str())
      helper.fails_safely("tls", "bad record mac", conn:send "x")
    end
  end)

  it("loses nothing that came before the alert", function()
    local conn, peer = helper.connect_tls([[ c.send(b"hello\n"); c.wait(); c.reset() ]], {}, nil, safe)
    peer:go()
    peer:result()
    local sent, message, code
    for _ = 1, 100 do
      sent, message, code = conn:send(("x"):rep(10000))
      if not sent then break end
      tcp.poll({}, {}, 0.01)
    end
    helper.fails_safely("closed", "", sent, message, code)
    assert.equal("hello", conn:read_line())
  end)

  it("names the alert of this end, too", function()
    local peer = helper.listen("", { tls = "expired" })
    local _, details = helper.fails_safely("certificate", "", safe.connect_tls("localhost", peer.port, trusting()))
    assert.same({ "certificate_expired", 45, "here", "tls" },
      { details.alert, details.alert_number, details.from, details.phase })
  end)

  it("has no alert, and no certificate, of a peer that does not speak TLS", function()
    local peer = helper.listen [[ c.send(b"220 hello\r\n") ]]
    local _, details = helper.fails_safely("tls", "", safe.connect_tls("localhost", peer.port, trusting()))
    assert.same({ phase = "tls", server_name = "localhost", verified = false, resumed = false, chain = {} },
      { phase = details.phase, server_name = details.server_name, verified = details.verified,
        resumed = details.resumed, chain = details.chain, version = details.version, cipher = details.cipher,
        certificate = details.certificate })
  end)

  it("is verified for no peer that has not proved that it has the key, server or client", function()
    local function der_of(name)
      return helper.bytes(helper.output("openssl x509 -outform DER -in " .. helper.pem(name)))
    end
    local port = raw_server(helper.output("openssl x509 -outform DER -in " .. helper.pem "direct")).port
    local _, details = helper.fails_safely("tls", "", safe.connect_tls("localhost", port, trusting()))
    assert.equal("localhost", details.certificate.subject.CN)
    assert.is_false(details.verified)

    local listener = helper.keep(safe.listen("127.0.0.1", 0, { timeout = 1.5, tls = {
      cert_file = helper.pem "rsa", key_file = helper.pem("rsa", "key"), ca_file = helper.pem "root",
      max_version = "1.2", ciphers = "AES128-GCM-SHA256" } }))
    -- Has shown the certificate of somebody else, and says nothing more.
    helper.dial(listener:port(), ([[
      def message(kind, body): return bytes([kind]) + struct.pack(">I", len(body))[1:] + body
      def record(body): return b"\x16\3\3" + struct.pack(">H", len(body)) + body
      def framed(body): return struct.pack(">I", len(body))[1:] + body
      algorithms = bytes.fromhex("000d 000a 0008 0401 0804 0501 0403")
      hello = b"\3\3" + bytes(32) + b"\0" + b"\0\2\0\x9c" + b"\1\0" + b"\0\x0e" + algorithms
      c.send(record(message(1, hello)))
      said = b""
      while b"\x0e\0\0\0" not in said: said += c.sock.recv(65536)
      chain = framed(%s) + framed(%s)
      c.send(record(message(11, framed(chain))))
      c.hold()
    ]]):format(der_of "client", der_of "middle"))
    local conn = helper.keep(listener:accept(helper.timeout))
    helper.fails_safely("timeout", "TLS handshake", conn:handshake())
    local tls = conn:info().tls
    assert.equal(2, #tls.chain)
    assert.is_nil(tls.verify_error)
    assert.is_false(tls.verified)
  end)

  it("has no details before there is a peer", function()
    local _, details = helper.fails_safely("tls", "a key without a certificate",
      safe.connect_tls("localhost", 1, { key = "x" }))
    assert.is_nil(details)
  end)
end)

-- 1,024 bits (RFC 2409, section 6.2).
local OAKLEY_2 = [[
-----BEGIN DH PARAMETERS-----
MIGHAoGBAP//////////yQ/aoiFowjTExmKLgNwc0SkCTgiKZ8x0Agu+pjsTmyJR
Sgh5jjQE3e+VGbPNOkMbMCsKbfJfFDdP4TVtbVHCReSFtXZiXn7G9ExC6aY37WsL
/1y29Aa37e44a/taiZ+lrp8kEXxLH+ZJKGZR7OZTgf//////////AgEC
-----END DH PARAMETERS-----]]

describe("a handshake fails in words that name what helps:", function()
  after_each(finish)

  -- A program of OpenSSL's that is given a command again and again, for 10 s, once this file is
  -- there.
  local function commanded(command, arguments, file)
    return ("bash -c 'exec openssl %s < <(for i in {1..25}; do sleep 0.4; test ! -e %s || echo %s; done)'")
      :format(arguments, file, command)
  end

  it("a server that wants to renegotiate", function()
    local is_connected = make "rm OUT"
    local peer = helper.program(commanded("r", ("s_server -accept 127.0.0.1:0 -tls1_2 -cert %s -key %s")
      :format(helper.pem "direct", helper.pem("direct", "key")), is_connected), { ready = "^ACCEPT .*:([0-9]+)" })
    local conn = helper.keep(safe.connect_tls("localhost", peer.port, trusting()))
    assert(io.open(is_connected, "w")):close()
    local _, details = helper.fails_safely("tls", "handshake failure %(the server wanted to renegotiate, often to ask "
      .. "for a client certificate for some paths alone, and this is refused: it must ask for one in the first "
      .. "handshake%)$", conn:read_str())
    assert.equal("handshake_failure", details.alert)
  end)

  it("a client that wants to renegotiate", function()
    local listener = helper.keep(safe.listen("127.0.0.1", 0, { timeout = helper.timeout,
      tls = { cert_file = helper.pem "good", key_file = helper.pem("good", "key") } }))
    local client = io.popen(commanded("R", ("s_client -tls1_2 -connect 127.0.0.1:%d >/dev/null 2>&1")
      :format(listener:port()), "."), "r")
    local conn = helper.keep(listener:accept())
    local line, message, code
    repeat line, message, code = conn:read_line() until not line
    helper.fails_safely(code, "%(the client wanted to renegotiate, and this is refused: it must connect again%)$",
      nil, message, code)
    conn:close()
    client:close()
  end)

  it("a server without RFC 5746", function()
    local peer = raw_server("", "")
    helper.fails("tls", "unsafe legacy renegotiation disabled %(the server is too old to renegotiate securely "
      .. "%(RFC 5746%): it must be updated, legacy_renegotiation = true connects all the same%)$",
      function() tcp.connect_tls("localhost", peer.port, trusting()) end)
  end)

  it("a server with a short DH group", function()
    local group = make("cat >OUT <<END\n" .. OAKLEY_2 .. "\nEND\n")
    local peer = helper.s_server("rsa", "-tls1_2 -cipher DHE-RSA-AES128-GCM-SHA256:@SECLEVEL=0 -dhparam " .. group)
    helper.fails("tls", "dh key too small %(security_level = 0 allows weak keys and signatures%)$",
      function() tcp.connect_tls("localhost", peer.port, trusting()) end)
    helper.keep(tcp.connect_tls("localhost", peer.port, trusting { ciphers = "DEFAULT:@SECLEVEL=0" }))
  end)

  for _, version in ipairs { "1_2", "1_3" } do
    it("a server with other key exchange groups, over TLS " .. version, function()
      local peer = helper.s_server("good", "-groups brainpoolP256r1 -tls" .. version)
      helper.fails("tls", "%(often no cipher, key exchange group or signature algorithm in common, see ciphers, groups "
        .. "and signature_algorithms, or a client ",
        function() tcp.connect_tls("localhost", peer.port, trusting()) end)
    end)
  end
end)
