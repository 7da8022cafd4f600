-- TLS in `tcp.luasocket`, beside LuaSec in the same process.

local helper = require "spec.support.helper"
local faces = require "spec.support.faces"(it, pending)

local pem = helper.pem
local unpack = table.unpack or unpack -- luacheck: ignore 143

local function parameters(more)
  local all = { mode = "client", protocol = "any", verify = "none", options = { "all", "no_sslv3" } }
  for key, value in pairs(more or {}) do
    all[key] = value
  end
  return all
end

-- Connects, and wraps the socket.
local function wrap(socket, ssl, peer, more, name)
  local plain = helper.keep(assert(socket.connect("127.0.0.1", peer.port)))
  local conn = helper.keep(assert(ssl.wrap(plain, parameters(more))))
  if name then
    conn:sni(name)
  end
  return conn, plain
end

describe("a handshake", function()
  after_each(helper.finish)

  faces.same_ssl("is made at once, and gives a connection", function(socket, ssl, record)
    local peer = helper.listen([[
      line = c.recv_line()
      c.send(b"you said " + line + b"\nand\rmore")
    ]], { tls = "good" })
    local conn, plain = wrap(socket, ssl, peer)
    record(plain:getfd())
    record(plain:send "x")
    record(conn:getfd() > 2)
    record(conn:send "x")
    record(conn:receive())
    record(conn:getpeercertificate())
    record(conn:settimeout(3))
    record(conn:dohandshake())
    record(conn:dohandshake())
    record(conn:send "hello\n")
    record(conn:receive())
    record(conn:dirty())
    record((conn:getstats()))
    record(conn:receive "*a")
    record(conn:receive "*a")
    record(conn:want())
    record(conn:close())
    record(conn:getfd())
    record(conn:dirty())
    record(conn:receive())
    record(conn:send "x")
    record(tostring(conn))
  end)

  faces.same_ssl("is made in steps", function(socket, ssl, record)
    local server = helper.keep(socket.bind("127.0.0.1", 0))
    local _, port = server:getsockname()
    local client = helper.keep(socket.connect("127.0.0.1", port))
    local accepted = helper.keep(server:accept())
    local ours = helper.keep(ssl.wrap(client, parameters()))
    local theirs = helper.keep(ssl.wrap(accepted, parameters { mode = "server", certificate = pem "good",
      key = pem("good", "key") }))
    ours:settimeout(0)
    theirs:settimeout(0)
    record(theirs:dohandshake())
    record(theirs:want())
    record(ours:dohandshake())
    local is_done = {}
    for _ = 1, 20 do
      for _, each in ipairs { ours, theirs } do
        local ok, why = each:dohandshake()
        is_done[each] = ok
        assert(ok or why == "wantread" or why == "wantwrite", why)
      end
    end
    record(is_done[ours], is_done[theirs])
    record(ours:receive())
    record(ours:want())
    record(theirs:send "from the server\n")
    record(#socket.select({ ours }, nil, 3))
    record(ours:receive())
    record(ours:receive(5))
    ours:settimeout(0.1)
    record(ours:receive(5))
    record(ours:send("x", 1))
    theirs:settimeout(3)
    record(theirs:receive(1))
    ours:close()
    record(theirs:receive(1))
  end)

  faces.same_ssl("is verified where that is asked for", function(socket, ssl, record)
    local peer = helper.listen([[ c.send(b"hello\n") ]], { tls = "good" })
    local conn = wrap(socket, ssl, peer, { verify = "peer", cafile = pem "root" })
    record(conn:dohandshake())
    record(conn:getpeerverification())
    record(conn:receive())
    for _, certificate in ipairs { "expired", "self_signed", "other_host" } do
      peer = helper.listen([[ c.send(b"hello\n") ]], { tls = certificate })
      conn = wrap(socket, ssl, peer, { verify = "peer", cafile = pem "root" })
      record(conn:dohandshake())
      conn = wrap(socket, ssl, peer, { verify = "none", cafile = pem "root" })
      record(conn:dohandshake())
      record(conn:receive())
      record((conn:getpeerverification()))
    end
  end)

  for _, is_strict in ipairs { false, true } do
    for _, name in ipairs { "a.example", "other.example" } do
      faces.same_ssl(("shows %s its certificate, others %s"):format(name, is_strict and "none" or "another"),
        function(socket, ssl, record)
          local function context(certificate)
            return assert(ssl.newcontext(parameters { mode = "server", certificate = pem(certificate),
              key = pem(certificate, "key") }))
          end
          local server = helper.keep(socket.bind("127.0.0.1", 0))
          local _, port = server:getsockname()
          local client = helper.keep(socket.connect("127.0.0.1", port))
          local accepted = helper.keep(server:accept())
          local ours = helper.keep(ssl.wrap(client, parameters()))
          local theirs = helper.keep(ssl.wrap(accepted, context "good"))
          theirs:sni({ ["a.example"] = context "rsa" }, is_strict)
          ours:sni(name)
          ours:settimeout(0)
          theirs:settimeout(0)
          local last = {}
          for _ = 1, 20 do
            for each, other in pairs { ours = ours, theirs = theirs } do
              if last[each] ~= true then last[each] = other:dohandshake() end
            end
          end
          record(last.ours)
          local shown = ours:getpeercertificate()
          record(shown and shown:pem())
        end)
    end
  end

  it("verifies the name where a client has called sni, unless it is told not to", function()
    local socket = faces.socket
    local peer = helper.listen([[ c.send(b"hello\n") ]], { tls = "good" })
    local function shake(name)
      local conn = wrap(socket, socket.ssl, peer, { verify = "peer", cafile = pem "root" }, name)
      return conn:dohandshake()
    end
    assert.same({ true }, { shake() })
    assert.same({ false, "certificate verify failed" }, { shake "elsewhere.example" })
    assert.same({ true }, { shake "localhost" })
    socket.verify_names = false
    assert.same({ true }, { shake "elsewhere.example" })
    socket.verify_names = true
    assert.same({ false, "certificate verify failed" }, { shake "elsewhere.example" })
  end)

  faces.same_ssl("asks a client for its certificate", function(socket, ssl, record)
    local server = helper.keep(socket.bind("127.0.0.1", 0))
    local _, port = server:getsockname()
    local context = assert(ssl.newcontext(parameters { mode = "server", certificate = pem "good",
      key = pem("good", "key"), cafile = pem "root", verify = { "peer", "fail_if_no_peer_cert" } }))
    for _, certificate in ipairs { "client", false } do
      helper.dial(port, [[ c.send(b"hello\n") ]],
        { tls = true, server_name = "localhost", certificate = certificate or nil })
      local conn = helper.keep(ssl.wrap(helper.keep(server:accept()), context))
      conn:settimeout(3)
      local ok = conn:dohandshake()
      record(ok)
      if ok then
        record(conn:receive())
        record(conn:getpeercertificate():subject())
        record(#conn:getpeerchain() > 0)
      end
      pcall(helper.finish)
      if certificate then
        server = helper.keep(socket.bind("127.0.0.1", 0))
        port = select(2, server:getsockname())
      end
    end
  end)
end)

describe("a connection", function()
  after_each(helper.finish)

  it("sends again what a timeout has left, and nothing twice", function()
    local socket = faces.socket
    for _, version in ipairs { "1.2", "1.3" } do
      local peer = helper.listen([[
        import hashlib
        digest, size = hashlib.sha1(), 0
        while (data := c.recv(65536)):
          digest.update(data)
          size += len(data)
          time.sleep(0.0002)
        return [size, digest.hexdigest()]
      ]], { tls = "good", version = version })
      local conn = wrap(socket, socket.ssl, peer)
      assert(conn:dohandshake())
      local parts = {}
      for i = 1, 300000 do parts[i] = ("line %d of a long text that is sent in pieces of any size\n"):format(i) end
      local data = table.concat(parts)
      conn:settimeout(0)
      local last, waits = 0, 0
      while last < #data do
        local sent, why, partial = conn:send(data, last + 1)
        if not sent then
          assert.equal("wantwrite", why)
          waits = waits + 1
          socket.select(nil, { conn }, 3)
        end
        last = sent or partial
      end
      conn:close()
      local size, digest = unpack(peer:result())
      assert.equal(#data, size)
      assert.is_true(waits > 0)
      local file = os.tmpname()
      local out = assert(io.open(file, "wb"))
      out:write(data)
      out:close()
      assert.equal(digest, helper.output("sha1sum " .. file):match "^%x+")
      os.remove(file)
      helper.finish()
    end
  end)

  faces.same_ssl("tells what was agreed on", function(socket, ssl, record)
    for _, version in ipairs { "1.2", "1.3" } do
      local peer = helper.listen([[ c.hold() ]], { tls = "good", version = version, alpn = "one,two" })
      local conn = wrap(socket, ssl, peer, { alpn = { "two", "three" } }, "localhost")
      record(conn:dohandshake())
      record(conn:info())
      record(conn:info "protocol")
      record(conn:info "cipher")
      record(conn:info "bits")
      record(conn:getalpn())
      record(conn:getsniname())
      record(conn:getpeercertificate():pem())
      record(conn:getpeercertificate(99))
      record(conn:getpeercertificate(0))
      record(#conn:getpeerchain())
      helper.finish()
    end
  end)
end)

describe("keying material", function()
  after_each(helper.finish)

  -- LuaSec has it from 1.3 on.
  it("is the same at both ends, by label, size and context", function()
    local socket = faces.socket
    local ssl = socket.ssl
    for _, version in ipairs { "tlsv1_2", "tlsv1_3" } do
      local server = helper.keep(socket.bind("127.0.0.1", 0))
      local _, port = server:getsockname()
      local client = helper.keep(socket.connect("127.0.0.1", port))
      local ours = helper.keep(ssl.wrap(client, parameters { protocol = version, certificate = pem "client",
        key = pem("client", "key") }))
      local theirs = helper.keep(ssl.wrap(helper.keep(server:accept()), parameters { mode = "server",
        certificate = pem "good", key = pem("good", "key") }))
      assert.same({ nil, "closed" }, { ours:exportkeyingmaterial("EXPORTER-Channel-Binding", 32) })
      ours:settimeout(0)
      theirs:settimeout(0)
      local one, other
      for _ = 1, 50 do
        one, other = one or ours:dohandshake(), other or theirs:dohandshake()
      end
      assert.is_true(one and other)
      local seen = {}
      for _, each in ipairs { { "EXPORTER-Channel-Binding", 32, "" }, { "EXPORTER-Channel-Binding", 32 },
        { "EXPERIMENTAL-other", 20 }, { "EXPERIMENTAL-other", 20, "context" } } do
        local bytes = ours:exportkeyingmaterial(each[1], each[2], each[3])
        assert.equal(each[2], #bytes)
        assert.equal(bytes, (theirs:exportkeyingmaterial(each[1], each[2], each[3])))
        -- From TLS 1.3 on no context is an empty one.
        assert.is_true(not seen[bytes] or version == "tlsv1_3" and each[3] == nil)
        seen[bytes] = true
      end
      assert.equal(ours.conn:channel_binding "tls-exporter",
        (ours:exportkeyingmaterial("EXPORTER-Channel-Binding", 32, "")))
      assert.same({ nil, "error exporting keying material" }, { ours:exportkeyingmaterial("x", 1e9) })
      assert.has_error(function() ours:exportkeyingmaterial() end)
      assert.has_error(function() ours:exportkeyingmaterial("x", {}) end)
      -- Only a server's chain begins with its own certificate.
      assert.equal("client.example", ours:getlocalcertificate():subject()[1].value)
      local chain = theirs:getlocalchain()
      assert.equal(theirs:getlocalcertificate():pem(), chain[1]:pem())
      for _, certificate in ipairs(ours:getlocalchain()) do
        assert.not_equal(ours:getlocalcertificate():pem(), certificate:pem())
      end
      helper.finish()
    end
  end)
end)

describe("newcontext", function()
  for name, cfg in pairs {
    ["a protocol that is none"] = { protocol = "tlsv9" },
    ["a verification that is none"] = { verify = "perhaps" },
    ["an option that is none"] = { options = "no_such_option" },
    ["a password that is none"] = { key = "x", password = {} },
    ["an ALPN that is none"] = { alpn = 5 },
    ["a curve that is none"] = { curve = "no-such-curve" },
    ["curves that are none"] = { curveslist = "P-256:no-such-curve" },
    ["an empty list of curves"] = { curveslist = "" },
    ["an empty ALPN"] = { alpn = {} },
    ["an empty ALPN name"] = { alpn = { "" } },
  } do
    faces.same_ssl("refuses " .. name, function(_, ssl, record)
      record(ssl.newcontext(parameters(cfg)))
    end)
  end

  it("refuses what it does not have, and files that are none, in words", function()
    local ssl = faces.socket.ssl
    for _, each in ipairs {
      { { certificate = "/nonexistent" }, "^error loading certificate" },
      { { certificate = pem "good", key = "/nonexistent" }, "^error loading private key" },
      { { certificate = pem "good", key = pem("client", "key") }, "^private key does not match public key" },
      { { cafile = "/nonexistent" }, "^error loading CA locations" },
      { { ciphers = "NONE-SUCH" }, "^error setting cipher list" },
      { { mode = "both" }, "^invalid mode %(both%)" },
      { { psk = function() end }, "has no parameter psk" },
      { { dane = true }, "has no parameter dane" },
      { { verifyext = "crl_check" }, "has no verification flag crl_check" },
      { { certificates = { {}, {} } }, "one certificate for each context" },
    } do
      local context, why = ssl.newcontext(parameters(each[1]))
      assert.is_nil(context)
      assert.matches(each[2], why)
    end
    assert.has_error(function() ssl.wrap({}, parameters()) end)
  end)
end)

describe("a certificate", function()
  for _, name in ipairs { "good", "client", "expired", "ed25519", "many", "root", "self_signed" } do
    faces.same_ssl(name .. " says the same of itself", function(_, ssl, record)
      local text = helper.contents(pem(name))
      local certificate = ssl.loadcertificate(text)
      record(certificate:subject())
      record(certificate:issuer())
      record(certificate:serial())
      record(certificate:notbefore())
      record(certificate:notafter())
      record(certificate:digest())
      record(certificate:digest "sha256")
      record(certificate:digest "sha512")
      record(certificate:digest "md99")
      record(certificate:pem())
      record((certificate:pubkey()))
      record((select(2, certificate:pubkey())))
      record(certificate:extensions())
      record(certificate:validat(os.time()))
      record(certificate:validat(0))
      record(certificate:getsignaturename())
      record(certificate:setencode "utf8")
      record(certificate:setencode "none")
      record(certificate:subject())
      record(tostring(certificate))
    end)
  end

  faces.same_ssl("that is none is nil", function(_, ssl, record)
    record(ssl.loadcertificate "")
    record(ssl.loadcertificate "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n")
    record((pcall(ssl.loadcertificate)))
  end)

  it("may be garbage anywhere", function()
    local ssl = faces.socket.ssl
    local der = helper.contents(pem "good")
    local random = helper.generator(1)
    for _ = 1, 300 do
      local at = 30 + random(#der - 60)
      local text = der:sub(1, at - 1) .. string.char(64 + random(26)) .. der:sub(at + 1)
      local certificate = ssl.loadcertificate(text)
      if certificate then
        pcall(certificate.subject, certificate)
        pcall(certificate.pubkey, certificate)
        certificate:extensions()
      end
    end
  end)
end)
