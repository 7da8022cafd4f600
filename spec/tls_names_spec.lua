-- A server's certificates by name (`names`), and `reload_tls`, with clients of Python's and
-- OpenSSL's.

local helper = require "spec.support.helper"
local loops = require "spec.support.loops"
local tcp = require "tcp"
local safe = require "tcp.safe"

local output = helper.output

local function own(name)
  return { cert_file = helper.pem(name), key_file = helper.pem(name, "key") }
end

local function listen(tls, module, options)
  local all = { tls = tls, timeout = helper.timeout }
  for name, value in pairs(options or {}) do all[name] = value end
  return helper.keep((module or tcp).listen("127.0.0.1", 0, all))
end

-- The first certificate of a file, in DER.
local ders = {}
local function der(name)
  ders[name] = ders[name] or output("openssl x509 -outform DER -in " .. helper.pem(name))
  return ders[name]
end

-- A client that trusts anybody; gives the certificate that it was shown, or why there was none.
local function client(listener, name, version)
  return helper.dial(listener:port(), ([[
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_%s
    try:
        c.sock = context.wrap_socket(c.sock, server_hostname=%s)
    except ssl.SSLError as error:
        c.cut()
        return error.reason
    return c.sock.getpeercert(True)
  ]]):format((version or "1.3"):sub(-1), name and ("%q"):format(name) or "None"))
end

-- The certificate that a client of this name is shown.
local function shown(listener, name, version)
  local peer = client(listener, name, version)
  local conn = helper.keep(listener:accept(helper.timeout))
  conn:handshake()
  local got = peer:result()
  conn:close()
  return got
end

-- What openssl s_client says, whose name is sent as it is.
local function s_client(listener, options)
  local pipe = io.popen(("openssl s_client -connect 127.0.0.1:%d %s </dev/null 2>&1"):format(listener:port(), options))
  local conn = helper.keep(listener:accept(helper.timeout))
  pcall(conn.handshake, conn)
  local info = conn:info().tls
  conn:close()
  local said = pipe:read "*a"
  pipe:close()
  return said, info
end

local function begins_with(said)
  local pem = said:match "%-%-%-%-%-BEGIN CERTIFICATE%-%-%-%-%-.-%-%-%-%-%-END CERTIFICATE%-%-%-%-%-\n"
  local _, count = said:gsub("%-%-%-%-%-BEGIN CERTIFICATE", "")
  return pem, count
end

describe("names", function()
  after_each(helper.finish)

  for _, version in ipairs { "1.2", "1.3" } do
    it("choose the certificate, over TLS " .. version, function()
      local tls = own "good"
      tls.names = {
        ["a.example"] = own "rsa", ["*.b.example"] = own "wildcard", ["x.b.example"] = own "ed25519",
        ["localhost"] = own "p384",
      }
      local listener = listen(tls)
      for _, case in ipairs {
        { "a.example", "rsa" }, { "A.Example", "rsa" }, { "any.b.example", "wildcard" }, { "x.b.example", "ed25519" },
        { "X.B.EXAMPLE", "ed25519" }, { "localhost", "p384" }, { "b.example", "good" }, { "x.y.b.example", "good" },
        { "other.example", "good" }, { "a.example.org", "good" }, { "xa.example", "good" }, { nil, "good" },
      } do
        assert(shown(listener, case[1], version) == der(case[2]), case[1])
      end
    end)
  end

  it("choose it in each loop, and for several clients at once", function()
    local tls = own "good"
    tls.names = { ["a.example"] = own "rsa", ["*.b.example"] = own "wildcard" }
    local expected = { ["a.example"] = "rsa", ["x.b.example"] = "wildcard", ["c.example"] = "good" }
    for _, loop in ipairs(loops) do
      if loop.found then
        local peers = {}
        loop.within(function()
          local listener = listen(tls)
          local silent = helper.dial(listener:port(), "c.hold()")
          helper.keep(listener:accept())
          for name in pairs(expected) do peers[name] = client(listener, name) end
          for _ = 1, 3 do helper.keep(listener:accept()):handshake() end
          assert.equal(1, silent:count())
        end)
        for name, certificate in pairs(expected) do assert(peers[name]:result() == der(certificate), name) end
      end
    end
  end)

  it("stand for what a client sends, with a final dot and in any case", function()
    local listener = listen { names = { ["A.example."] = own "rsa", ["*.wild.example"] = own "wildcard" } }
    for sent, expected in pairs {
      ["a.example"] = "rsa", ["a.example."] = "rsa", ["A.EXAMPLE."] = "rsa", ["w.WILD.example."] = "wildcard",
    } do
      local said, info = s_client(listener, "-servername " .. sent)
      assert(helper.contents(helper.pem(expected)):find(begins_with(said), 1, true), sent .. "\n" .. said)
      assert.equal(sent, info.server_name)
    end
    for _, sent in ipairs { "a.example..", ".a.example", "*.wild.example", ".wild.example", "a", "x.a.example" } do
      local said = s_client(listener, "-servername '" .. sent .. "'")
      local is_wild = sent == "*.wild.example"
      assert.equal(is_wild, said:find "unrecognized name" == nil, sent .. "\n" .. said)
    end
  end)

  it("may be written in other letters than ASCII", function()
    local listener = listen { names = { ["bücher.example"] = own "rsa", ["*.Bücher.example"] = own "good" } }
    assert.equal(der "rsa", shown(listener, "xn--bcher-kva.example"))
    assert.equal(der "rsa", shown(listener, "XN--BCHER-KVA.example"))
    assert.equal(der "good", shown(listener, "a.xn--bcher-kva.example"))
    -- The module's own client sends what it sends anywhere.
    local conn
    tcp.run(function()
      tcp.spawn(function() helper.keep(listener:accept()):handshake() end)
      conn = helper.keep(tcp.connect_tls("127.0.0.1", listener:port(),
        { verify = false, server_name = "bücher.example", timeout = helper.timeout }))
    end)
    assert.equal(helper.contents(helper.pem "rsa"):match "^.-END CERTIFICATE%-%-%-%-%-\n",
      conn:info().tls.certificate.pem)
  end)

  for _, version in ipairs { "1.2", "1.3" } do
    it("without a default certificate, others get unrecognized_name, over TLS " .. version, function()
      local listener = listen({ names = { ["a.example"] = own "rsa" } }, safe)
      for _, case in ipairs { { "b.example" }, {} } do
        local peer = client(listener, case[1], version)
        local conn = helper.keep(listener:accept(helper.timeout))
        local _, details = helper.fails_safely("tls", "handshake failed: callback failed %(there is no certificate for "
          .. "the name that the client asks for, see names%)$", conn:handshake())
        assert.equal("unrecognized_name", details.alert)
        assert.equal(112, details.alert_number)
        assert.equal("here", details.from)
        assert.equal(case[1], details.server_name)
        conn:close()
        assert.matches("UNRECOGNIZED_NAME", peer:result())
      end
      assert.equal(der "rsa", shown(listener, "a.example", version))
    end)
  end

  it("show the chain of their own file, and no other one", function()
    local alone = os.tmpname()
    local file = assert(io.open(alone, "wb"))
    file:write(output("openssl x509 -in " .. helper.pem "direct"))
    file:close()
    local tls = own "good"
    tls.names = { ["a.example"] = own "rsa", ["localhost"] = own "name_only",
      ["b.example"] = { cert_file = alone, key_file = helper.pem("direct", "key") } }
    local listener = listen(tls)
    for sent, count in pairs { ["a.example"] = 2, ["b.example"] = 1, ["c.example"] = 2 } do
      local said = s_client(listener, "-showcerts -servername " .. sent)
      assert.equal(count, select(2, begins_with(said)), said)
    end
    -- And clients verify it.
    local peer = helper.dial(listener:port(), "return 'verified'", { tls = true })
    helper.keep(listener:accept(helper.timeout)):handshake()
    assert.equal("verified", peer:result())
    os.remove(alone)
  end)

  it("show it once, also to a client that has to begin again (HelloRetryRequest)", function()
    local conf = os.tmpname()
    local file = assert(io.open(conf, "wb"))
    file:write "openssl_conf = a\n[a]\nssl_conf = b\n[b]\nsystem_default = c\n[c]\nGroups = P-384\n"
    file:close()
    local said = helper.run_well(([[
      local tcp = require "tcp"
      local listener = tcp.listen("127.0.0.1", 0, { timeout = 5,
        tls = { cert_file = %q, key_file = %q, names = { ["a.example"] = { cert_file = %q, key_file = %q } } } })
      local pipe = io.popen("OPENSSL_CONF= openssl s_client -groups P-256:P-384 -showcerts -msg -servername a.example "
        .. "-connect 127.0.0.1:" .. listener:port() .. " </dev/null 2>&1")
      listener:accept(5):handshake()
      io.write(pipe:read "*a")
    ]]):format(helper.pem "good", helper.pem("good", "key"), helper.pem "rsa", helper.pem("rsa", "key")),
      "env OPENSSL_CONF=" .. conf)
    local _, hellos = said:gsub(">>> TLS 1.3, Handshake %[length %x+%], ClientHello", "")
    assert.equal(2, hellos, said)
    local pem, count = begins_with(said)
    assert.equal(2, count)
    assert(helper.contents(helper.pem "rsa"):find(pem, 1, true))
    os.remove(conf)
  end)

  it("leave all else as it is: ALPN, client certificates, versions, tickets", function()
    for _, version in ipairs { "1.2", "1.3" } do
      local tls = own "good"
      tls.ca_file, tls.alpn, tls.max_version = helper.pem "root", { "imap" }, version
      tls.names = { localhost = own "rsa" }
      local listener = listen(tls)
      local peer = helper.dial(listener:port(), [[
        c.send(b"x")
        return c.sock.selected_alpn_protocol() + c.recv_exactly(1).decode()
      ]], { tls = true, certificate = "client", alpn = "imap" })
      local conn = helper.keep(listener:accept(helper.timeout))
      conn:send(conn:read(1))
      assert.equal("imapx", peer:result())
      local info = conn:info().tls
      assert.equal("TLSv" .. version, info.version)
      assert.equal("client.example", info.certificate.subject.CN)
      assert.is_true(info.verified)
      peer = helper.dial(listener:port(), "c.recv_all()", { tls = true })
      conn = helper.keep(listener:accept(helper.timeout))
      helper.fails("tls", "did not return a certificate", function() conn:read(1) end)
      conn:close()
      assert.has_error(function() peer:result() end)
    end
  end)

  it("are asked for again when a session is resumed", function()
    for _, version in ipairs { "1.2", "1.3" } do
      local listener = listen { names = { ["a.example"] = own "rsa", localhost = own "good" } }
      local session
      for _, resumed in ipairs { false, true } do
        tcp.run(function()
          tcp.spawn(function() helper.keep(listener:accept()):send "x" end)
          local conn = helper.keep(tcp.connect_tls("localhost", listener:port(),
            helper.trusting { session = session, max_version = version }))
          conn:read(1)
          assert.equal(resumed, conn:info().tls.resumed)
          session = conn:session()
          conn:close()
        end)
      end
    end
  end)

  it("may have keys with passwords, and be PEM text", function()
    local key = output(("openssl pkey -in %s -aes128 -passout pass:secret"):format(helper.pem("rsa", "key")))
    local listener = listen {
      key_password = "secret",
      names = {
        ["a.example"] = { cert = helper.contents(helper.pem "rsa"), key = key },
        ["b.example"] = { cert = helper.contents(helper.pem "rsa"), key = key, key_password = "secret" },
        ["c.example"] = { cert = helper.contents(helper.pem "good") .. helper.contents(helper.pem("good", "key")) },
      },
    }
    for name, certificate in pairs { a = "rsa", b = "rsa", c = "good" } do
      assert.equal(der(certificate), shown(listener, name .. ".example"))
    end
    local why = "^listen 127%.0%.0%.1:0: tls: key_password does not open key %(names, 'a%.example'%)$"
    helper.fails("tls", why, function()
      tcp.listen("127.0.0.1", 0, { tls = { key_password = "secret", names = {
        ["a.example"] = { cert = helper.contents(helper.pem "rsa"), key = key, key_password = "wrong" } } } })
    end)
  end)

  it("fail with listen where a certificate cannot be used", function()
    local function try(entry, tls)
      tls = tls or {}
      tls.names = { ["A.example"] = entry, ["good.example"] = own "good" }
      return safe.listen("127.0.0.1", 0, { tls = tls })
    end
    local good, key = helper.pem "good", helper.pem("good", "key")
    local at = " %(names, 'a%.example'%)$"
    helper.fails_safely("tls", "a server needs a certificate %(cert_file, cert, or one in names%), or psk" .. at,
      try {})
    helper.fails_safely("tls", "a key without a certificate, give cert_file or cert" .. at, try { key_file = key })
    helper.fails_safely("tls", "the key does not match the certificate" .. at,
      try { cert_file = good, key_file = helper.pem("direct", "key") })
    helper.fails_safely("tls", "the key does not match the certificate" .. at,
      try { cert_file = good, key_file = helper.pem("rsa", "key") })
    helper.fails_safely("tls", "no PEM certificate in cert_file '[^']*'" .. at, try { cert_file = key, key_file = key })
    helper.fails_safely("tls", "no PEM private key in key_file '[^']*'" .. at,
      try { cert_file = good, key_file = good })
    helper.fails_safely("tls", "cert: ee key too small %(.*%)" .. at, try(own "weak"))
    helper.fails_safely("io", "cannot read cert_file '/nowhere': no such file", try { cert_file = "/nowhere" })
    helper.fails_safely("tls", "the key does not match the certificate$",
      try(own "rsa", { cert_file = good, key_file = helper.pem("rsa", "key") }))
    helper.fails_safely("tls", "a key without a certificate, give cert_file or cert$",
      try(own "rsa", { key_file = key }))
    helper.fails_safely("tls", "a server needs a certificate %(cert_file, cert, or one in names%), or psk$",
      safe.listen("127.0.0.1", 0, { tls = { names = {} } }))
  end)

  it("must be names, with tables of a certificate", function()
    local function misuse(why, names, where)
      helper.misuse("bad argument #3 to 'listen' (option '" .. (where or "names") .. "'" .. why .. ")",
        function() tcp.listen("127.0.0.1", 0, { tls = { names = names } }) end)
    end
    local a = own "good"
    misuse(": table expected, got string", "a.example")
    misuse(": table expected, got string", { ["a.example"] = "good.pem" })
    misuse(": host names, or '*.' and one, expected, got a number", { a })
    for _, wrong in ipairs { "", "*", "*.", "a b", "127.0.0.1", "::1", "*.*.example", "w*.example", "a..b", ".a" } do
      misuse(": host names, or '*.' and one, expected, got '" .. wrong .. "'", { [wrong] = a })
    end
    misuse(": 'a.example' is there twice, in other spellings", { ["a.example"] = a, ["A.EXAMPLE."] = a })
    misuse(": unknown option 'cert_fil'", { ["a.example"] = { cert_fil = "x" } })
    misuse(": only the certificate and its key differ by name", { ["a.example"] = { verify = false } }, "verify")
    misuse(": only the certificate and its key differ by name", { ["a.example"] = { alpn = "h2" } }, "alpn")
    misuse(": only the certificate and its key differ by name", { ["a.example"] = { names = {} } }, "names")
    local _, why = pcall(tcp.listen, "127.0.0.1", 0,
      { tls = { names = { ["a.example"] = { cert_file = "a", cert = "b" } } } })
    assert.matches("%(option 'cert%l*_?%l*': given as a file and as text%)$", why)
  end)

  it("are a server's alone", function()
    helper.misuse("bad argument #3 to 'connect_tls' (option 'names': a server's, this side is the client)",
      function() tcp.connect_tls("localhost", 1, { names = {} }) end)
    helper.misuse("bad argument #3 to 'listen' (option 'names': it belongs into the table tls)",
      function() tcp.listen("127.0.0.1", 0, { names = {} }) end)
    local conn = helper.connect "c.hold()"
    helper.misuse("bad argument #1 to 'start_tls' (option 'names': a server's, this side is the client)",
      function() conn:start_tls { names = {} } end)
  end)

  it("are for start_tls as a server, too, and for Unix sockets", function()
    local listener = helper.keep(tcp.listen("127.0.0.1", 0, { timeout = helper.timeout }))
    local peer = helper.dial(listener:port(), [[
      c.handshake(server_name="localhost")
      return c.sock.getpeercert(True)
    ]])
    local conn = helper.keep(listener:accept(helper.timeout))
    helper.keep(conn:start_tls { names = { localhost = own "rsa" } })
    assert.equal(der "rsa", peer:result())
    local path = helper.unix_path()
    listener = helper.keep(tcp.listen_unix(path,
      { timeout = helper.timeout, tls = { names = { localhost = own "rsa" } } }))
    peer = helper.dial(nil, "c.handshake(); return c.sock.getpeercert(True)", { path = path })
    helper.keep(listener:accept(helper.timeout)):handshake()
    assert.equal(der "rsa", peer:result())
  end)

  it("may be hundreds", function()
    local names = {}
    for i = 1, 200 do
      names["host-" .. i .. ".example"] = { cert = helper.contents(helper.pem "good"),
        key = helper.contents(helper.pem("good", "key")) }
    end
    names["last.example"] = own "rsa"
    local listener = listen { names = names }
    assert.equal(der "rsa", shown(listener, "last.example"))
    assert.equal(der "good", shown(listener, "HOST-123.example"))
  end)
end)

describe("reload_tls", function()
  after_each(helper.finish)

  local cert, key = os.tmpname(), os.tmpname()
  teardown(function()
    os.remove(cert)
    os.remove(key)
  end)

  local function put(name) helper.put_certificate(name, cert, key) end

  local function swapped(module, more)
    put "good"
    local tls = { cert_file = cert, key_file = key }
    for name, value in pairs(more or {}) do tls[name] = value end
    return listen(tls, module)
  end

  it("reads the files again, for the connections that come", function()
    local listener = swapped()
    assert.equal(der "good", shown(listener, "a.example"))
    put "rsa"
    assert.equal(der "good", shown(listener, "a.example"))
    assert.is_nil(listener:reload_tls())
    assert.equal(der "rsa", shown(listener, "a.example"))
    assert.is_true(swapped(safe):reload_tls())
  end)

  it("reads those of names, and whom to trust", function()
    local trusted = os.tmpname()
    local function trust(name)
      local file = assert(io.open(trusted, "wb"))
      file:write(helper.contents(helper.pem(name)))
      file:close()
    end
    trust "stranger"
    put "good"
    local listener = listen { ca_file = trusted, names = { ["localhost"] = { cert_file = cert, key_file = key } } }
    local function serve()
      local peer = helper.dial(listener:port(), "c.send(b'x'); return c.sock.getpeercert(True)",
        { tls = true, certificate = "client" })
      local conn = helper.keep(listener:accept(helper.timeout))
      local ok, why = pcall(conn.read, conn, 1)
      conn:close()
      return ok and peer:result() or why
    end
    assert.matches("certificate: unknown issuer", serve())
    trust "root"
    put "rsa"
    assert.matches("certificate: unknown issuer", serve())
    listener:reload_tls()
    assert.equal(der "rsa", serve())
    os.remove(trusted)
  end)

  it("leaves connections that were accepted with what they had", function()
    local listener = swapped()
    local peer = helper.dial(listener:port(), [[
      c.wait()
      c.handshake(server_name="localhost")
      c.send(c.recv_exactly(5))
      return c.sock.getpeercert(True)
    ]])
    local conn = helper.keep(listener:accept(helper.timeout))
    put "rsa"
    listener:reload_tls()
    peer:go()
    conn:send "hello"
    assert.equal("hello", conn:read(5))
    assert.equal(der "good", peer:result())
  end)

  it("fails as listen does, and changes nothing then", function()
    local listener = swapped(safe)
    local port = listener:port()
    local function still()
      assert.equal(der "good", shown(listener, "localhost"))
    end
    os.remove(cert)
    helper.fails_safely("io", "^reload_tls 127%.0%.0%.1:" .. port .. ": io: cannot read cert_file '" .. cert
      .. "': no such file", listener:reload_tls())
    still()
    helper.put_certificate("rsa", cert, os.tmpname())
    helper.fails_safely("tls", "the key does not match the certificate$", listener:reload_tls())
    still()
    local file = assert(io.open(cert, "wb"))
    file:write "no PEM"
    file:close()
    helper.fails_safely("tls", "no PEM certificate in cert_file", listener:reload_tls())
    still()
    put "rsa"
    assert.is_true(listener:reload_tls())
    assert.equal(der "rsa", shown(listener, "localhost"))
  end)

  it("needs TLS, and a listener that is open", function()
    local listener = helper.keep(tcp.listen("127.0.0.1", 0))
    helper.fails("tls", "^reload_tls 127%.0%.0%.1:%d+: tls: this listener has no TLS$",
      function() listener:reload_tls() end)
    listener:close()
    helper.fails("closed", "^reload_tls 127%.0%.0%.1:%d+: closed: this listener was closed by the script$",
      function() listener:reload_tls() end)
    helper.misuse("bad argument #1 to 'reload_tls' (tcp.Listener expected, got string)",
      function() listener.reload_tls "x" end)
  end)

  it("leaves no descriptor and no memory behind", function()
    local listener = swapped(safe, { names = { ["a.example"] = own "rsa" } })
    local function reload(times)
      for _ = 1, times do listener:reload_tls() end
      os.remove(cert)
      for _ = 1, times do listener:reload_tls() end
      put "good"
      return helper.memory "VmRSS"
    end
    -- The pipe of the command itself may be open at both ends.
    local function count()
      return tonumber(output "ls -l /proc/$PPID/fd | grep -cv pipe:")
    end
    -- Waits until the number stays: a thread may be at a file still.
    local function files()
      collectgarbage()
      collectgarbage()
      local before, now
      for _ = 1, 100 do
        before, now = now, count()
        if now == before then break end
        tcp.sleep(0.05)
      end
      return now
    end
    local before, opened = reload(10), files()
    assert.is_true(reload(40) - before < 2 * 2^20)
    assert.equal(opened, files())
  end)

  it("waits for a pipe within the timeout, and a loop goes on meanwhile", function()
    local pipe = os.tmpname()
    os.remove(pipe)
    local function write(name)
      os.execute(("cat %s %s >%s &"):format(helper.pem(name), helper.pem(name, "key"), pipe))
    end
    output("mkfifo " .. pipe)
    write "good"
    local listener = listen({ cert_file = pipe }, safe, { connect_timeout = 0.2 })
    helper.takes(0.2, function() end, function()
      helper.fails_safely("io", "^reload_tls 127%.0%.0%.1:%d+: io: cannot read cert_file in time$",
        listener:reload_tls())
    end)
    assert.equal(der "good", shown(listener, "localhost"))
    for _, loop in ipairs(loops) do
      if loop.found then
        local order = {}
        listener = nil
        write "good"
        loop.within(function()
          listener = listen({ cert_file = pipe }, safe)
        end)
        loop.within(function()
          order[#order + 1] = "begun"
          assert.is_true(listener:reload_tls())
          order[#order + 1] = "reloaded"
        end, function()
          tcp.sleep(0.05)
          order[#order + 1] = "meanwhile"
          write "rsa"
        end)
        assert.same({ "begun", "meanwhile", "reloaded" }, order)
        assert.equal(der "rsa", shown(listener, "localhost"))
        -- A listener that is closed meanwhile.
        loop.within(function()
          helper.fails_safely("closed", "closed by the script$", listener:reload_tls())
        end, function()
          tcp.sleep(0.02)
          listener:close()
          write "rsa"
        end)
      end
    end
    os.remove(pipe)
  end)

  it("is a child's own after a fork", function()
    put "good"
    assert.equal("good rsa", helper.run_well(helper.forking() .. ([[
      local tcp = require "tcp"
      local listener = tcp.listen("127.0.0.1", 0, { timeout = 5, tls = { cert_file = %q, key_file = %q } })
      local function put(from, to)
        local source, target = io.open(from, "rb"), io.open(to, "wb")
        target:write(source:read "*a")
        source:close()
        target:close()
      end
      local function show()
        local client
        tcp.run(function()
          tcp.spawn(function() listener:accept(5):handshake() end)
          client = tcp.connect_tls("127.0.0.1", listener:port(), { verify = false, timeout = 5 })
        end)
        return client:info().tls.certificate.subject.O and "good" or "rsa"
      end
      put(%q, %q)
      put(%q, %q)
      if fork() == 0 then
        listener:reload_tls()
        os.exit(show() == "rsa" and 0 or 1)
      end
      assert(wait() == 0)
      io.write(show(), " ")
      listener:reload_tls()
      io.write(show())
    ]]):format(cert, key, helper.pem "rsa", cert, helper.pem("rsa", "key"), key)))
  end)

  -- Clients in threads of Python's, some of which resume sessions, while certificates are changed
  -- as fast as that goes.
  local function under_load(version)
    local listener = swapped(safe)
    local trigger = helper.connect(([[
      context = ssl.create_default_context(cafile=os.path.join(CERTIFICATES, "root.pem"))
      context.maximum_version = ssl.TLSVersion.TLSv1_%s
      failures, kinds, resumed = [], set(), [0]
      def work():
          session = None
          for i in range(15):
              try:
                  with socket.create_connection(("127.0.0.1", %d), 10) as raw:
                      with context.wrap_socket(raw, server_hostname="localhost", session=session) as s:
                          s.sendall(b"12345")
                          assert s.recv(5) == b"12345"
                          if s.session_reused: resumed[0] += 1
                          else: kinds.add(len(s.getpeercert(True)))
                          session = s.session if i %% 3 else None
              except Exception as failure:
                  failures.append(repr(failure))
      threads = [threading.Thread(target=work) for _ in range(6)]
      for each in threads: each.start()
      for each in threads: each.join()
      c.send(json.dumps([failures, len(kinds), resumed[0] > 0]).encode() + b"\n")
    ]]):format(version:sub(-1), listener:port()), { timeout = 60 })
    local said, is_over, reloads = nil, false, 0
    local function serve(conn)
      conn:send(conn:read(5) or "")
      conn:read(1)
      conn:close()
    end
    tcp.run(function()
      tcp.spawn(function()
        said = trigger:read_line()
        is_over = true
        listener:close()
      end)
      tcp.spawn(function()
        local conn = listener:accept()
        while conn do
          tcp.spawn(serve, conn)
          conn = listener:accept()
        end
      end)
      while not is_over do
        put(reloads % 2 == 0 and "rsa" or "good")
        listener:reload_tls()
        reloads = reloads + 1
        tcp.sleep(0.003)
      end
    end)
    local told = tcp.json.decode(said)
    assert.same({}, told[1])
    assert.equal(2, told[2])
    assert(reloads > 10, reloads)
    return told[3]
  end

  for _, version in ipairs { "1.2", "1.3" } do
    it("under load fails no handshake, over TLS " .. version, function()
      under_load(version)
    end)
  end
end)
