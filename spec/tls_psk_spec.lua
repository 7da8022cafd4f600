-- `psk`: a key that both sides know, in place of certificates, over TLS 1.2 and 1.3. The peers are
-- OpenSSL's own commands and GnuTLS.

local helper = require "spec.support.helper"
local loops = require "spec.support.loops"
local tcp = require "tcp"
local safe = require "tcp.safe"

local key = "00112233445566778899aabbccddeeff"
local other = ("ab"):rep(32)
local mine = { identity = "monitor", key = key }
local good, good_key = helper.pem "good", helper.pem("good", "key")

-- s_server with a key. It sends back each line reversed.
local function s_server(options)
  return (helper.program("openssl s_server -rev -accept 127.0.0.1:0 " .. options, { ready = "^ACCEPT .*:([0-9]+)" }))
end

local function with_key(version, options)
  local words = "-nocert -psk %s -psk_identity monitor -tls%s %s"
  return s_server(words:format(key, version:gsub("%.", "_"), options or ""))
end

local function talks(peer, options)
  local all = { timeout = helper.timeout, psk = mine }
  for name, value in pairs(options or {}) do all[name] = value end
  local conn = helper.keep(tcp.connect_tls("127.0.0.1", peer.port, all))
  conn:send "hello\n"
  assert.equal("olleh", conn:read_line())
  local info = conn:info().tls
  assert.is_nil(conn:session())
  conn:close()
  return info
end

for _, version in ipairs { "1.2", "1.3" } do
  describe("psk over TLS " .. version, function()
    after_each(helper.finish)

    it("connects to a server that knows the key", function()
      for _, verify in ipairs { true, false } do
        local info = talks(with_key(version), { verify = verify })
        assert.equal("TLSv" .. version, info.version)
        assert.equal("monitor", info.psk_identity)
        assert.is_false(info.resumed)
        assert.is_false(info.verified)
        assert.is_nil(info.verify_error)
        assert.is_nil(info.certificate)
        assert.same({}, info.chain)
        if version == "1.2" then assert.matches("^TLS_ECDHE_PSK_", info.cipher) end
      end
    end)

    it("prefers the key where the server has a certificate, too", function()
      local peer = s_server(("-cert %s -key %s -psk %s -psk_identity monitor -tls%s"):format(good, good_key, key,
        version:gsub("%.", "_")))
      assert.is_nil(talks(peer).certificate)
    end)

    it("takes the ciphers that are given", function()
      if version == "1.2" then
        assert.equal("TLS_PSK_WITH_AES_128_GCM_SHA256",
          talks(with_key(version), { ciphers = "PSK-AES128-GCM-SHA256" }).cipher)
      else
        assert.equal("TLS_CHACHA20_POLY1305_SHA256",
          talks(with_key(version), { ciphersuites = "TLS_CHACHA20_POLY1305_SHA256" }).cipher)
      end
    end)

    it("takes keys and identities of any size that is allowed", function()
      for _, case in ipairs {
        { "m", key }, { ("i"):rep(128), ("0F"):rep(64) }, { "senhor monitor, é", ("aB"):rep(256) },
      } do
        local peer = s_server(("-nocert -psk %s -psk_identity '%s' -tls%s"):format(case[2], case[1],
          version:gsub("%.", "_")))
        assert.equal(case[1], talks(peer, { psk = { identity = case[1], key = case[2] } }).psk_identity)
      end
    end)

    it("fails where the server knows another key, or not the identity", function()
      for _, wrong in ipairs { { identity = "monitor", key = other }, { identity = "nobody", key = key } } do
        -- s_server takes any identity, and warns.
        if wrong.identity ~= "nobody" then
          local peer = with_key(version)
          local message = helper.fails("tls", "%(perhaps the server does not know the identity, has another key for "
            .. "it, or no cipher suite with SHA%-256, see psk%)$", function()
            tcp.connect_tls("127.0.0.1", peer.port, { psk = wrong, timeout = helper.timeout })
          end)
          assert.is_nil(message:find(wrong.key, 1, true))
        end
        local listener = helper.keep(tcp.listen("127.0.0.1", 0, { tls = { psk = { monitor = key },
          min_version = version, max_version = version } }))
        local dialled = helper.dial(listener:port(), ("return os.popen(%q).read()"):format(
          ("echo | timeout 5 openssl s_client -connect 127.0.0.1:%d -psk %s -psk_identity %s 2>&1"):format(
            listener:port(), wrong.key, wrong.identity)))
        listener:accept(helper.timeout):close() -- the dialler's own
        local server = helper.keep(listener:accept(helper.timeout))
        server:set_timeout(helper.timeout)
        helper.fails("tls", "^handshake 127%.0%.0%.1:%d+: tls: handshake failed: ", function() server:handshake() end)
        assert.matches("alert", dialled:result())
      end
    end)

    it("fails where the server shows a certificate instead", function()
      local peer = helper.listen([[ c.hold() ]], { tls = "good", version = version })
      for _, options in ipairs { {}, { verify = false }, { ca_file = helper.pem "root", server_name = "localhost" } } do
        options.psk, options.timeout = mine, helper.timeout
        local _, details = helper.fails_safely("tls", version == "1.3"
          and ": the server shows a certificate instead of using psk, perhaps it does not know the identity$"
          or "see psk%)$", safe.connect_tls("127.0.0.1", peer.port, options))
        assert.equal("tls", details.phase)
        assert.is_false(details.verified)
        if version == "1.3" then
          assert.equal("localhost", details.certificate.subject.CN)
          assert.equal("here", details.from)
        else
          assert.equal("peer", details.from)
        end
      end
      -- Also where the ciphers allow it to.
      helper.fails("tls", "shows a certificate instead", function()
        tcp.connect_tls("127.0.0.1", peer.port, { psk = mine, verify = false, ciphers = "DEFAULT",
          ciphersuites = "TLS_AES_256_GCM_SHA384", timeout = helper.timeout })
      end)
    end)

    it("tells a server with both that perhaps it does not know the client's identity", function()
      local _, message = helper.refusals({ psk = { other = mine.key }, cert_file = good, key_file = good_key,
        min_version = version, max_version = version }, { psk = mine })
      assert.matches(version == "1.3"
        and "unknown ca %(the client refuses our certificate, perhaps it has an identity that is not in psk; "
          .. "the chain belongs into cert_file, too%)$"
        or "%(the client's identity is not in psk%)$", message)
    end)

    it("serves clients that know a key of the map", function()
      local names = { monitor = key, second = other }
      local listener = helper.keep(tcp.listen("127.0.0.1", 0, { timeout = helper.timeout,
        tls = { psk = names, min_version = version, max_version = version } }))
      for identity, secret in pairs(names) do
        local command = ("(echo hello; sleep 0.3) | timeout 5 openssl s_client -quiet -connect 127.0.0.1:%d -psk %s "
          .. "-psk_identity %s 2>/dev/null"):format(listener:port(), secret, identity)
        local client = io.popen(command, "r")
        local conn = helper.keep(listener:accept(helper.timeout))
        assert.equal("hello", conn:read_line())
        conn:send "and you\n"
        local info = conn:info().tls
        assert.equal(identity, info.psk_identity)
        assert.equal("TLSv" .. version, info.version)
        assert.is_false(info.resumed)
        assert.is_nil(info.certificate)
        conn:close()
        assert.equal("and you\n", client:read "*a")
        client:close()
        assert.equal(identity, conn:info().tls.psk_identity)
      end
    end)

    it("serves clients with a certificate beside those with a key", function()
      local settings = { cert_file = good, key_file = good_key, psk = { monitor = key }, min_version = version,
        max_version = version }
      local function serve(options, client_options)
        for name, value in pairs(settings) do options[name] = options[name] or value end
        local listener = helper.keep(tcp.listen("127.0.0.1", 0, { timeout = helper.timeout, tls = options }))
        local code = [[
          try:
            c.handshake()
            c.send(b"hello")
            return c.recv_all()
          except OSError as error:
            return b"refused"
        ]]
        client_options.server_name = "localhost"
        helper.dial(listener:port(), code, client_options)
        local conn = helper.keep(listener:accept(helper.timeout))
        local ok, message = pcall(conn.handshake, conn)
        if ok then
          assert.equal("hello", conn:read(5))
          conn:shutdown()
        end
        return ok and conn:info().tls or message
      end
      assert.is_nil(serve({}, {}).psk_identity)
      assert.is_nil(serve({ ca_file = helper.pem "root" }, { certificate = "client" }).psk_identity)
      -- Without either, nobody comes in.
      assert.matches("did not return a certificate", serve({ ca_file = helper.pem "root" }, {}))
    end)

    it("lets a client with a key in where others must show a certificate", function()
      for _, more in ipairs { { ca_file = helper.pem "root" }, { pin_sha256 = ("00"):rep(32) } } do
        more.cert_file, more.key_file, more.psk = good, good_key, { monitor = key }
        more.min_version, more.max_version = version, version
        local listener = helper.keep(tcp.listen("127.0.0.1", 0, { timeout = helper.timeout, tls = more }))
        local client = io.popen(("(echo hello; sleep 0.2) | timeout 5 openssl s_client -quiet -connect 127.0.0.1:%d "
          .. "-psk %s -psk_identity monitor %s 2>/dev/null"):format(listener:port(), key, version == "1.3"
          and "-ciphersuites TLS_AES_128_GCM_SHA256" or "-cipher PSK"), "r")
        local conn = helper.keep(listener:accept(helper.timeout))
        assert.equal("hello", conn:read_line())
        assert.equal("monitor", conn:info().tls.psk_identity)
        conn:close()
        client:close()
      end
    end)

    it("works with start_tls, on both sides, and in loops", function()
      local peer = with_key(version)
      local conn = tcp.connect("127.0.0.1", peer.port, helper.timeout)
      conn = helper.keep(conn:start_tls { psk = mine })
      conn:send "hello\n"
      assert.equal("olleh", conn:read_line())
      conn:close()
      for _, loop in ipairs(loops) do
        if loop.found then
          local listener = tcp.listen("127.0.0.1", 0, { timeout = helper.timeout })
          loop.within(function()
            local accepted = listener:accept(helper.timeout)
            accepted = accepted:start_tls { psk = { monitor = key }, min_version = version, max_version = version }
            assert.equal("monitor", accepted:info().tls.psk_identity)
            accepted:send(accepted:read_line())
            accepted:close()
          end, function()
            local dialled = tcp.connect("127.0.0.1", listener:port(), helper.timeout)
            dialled = dialled:start_tls { psk = mine }
            dialled:send "both\n"
            assert.equal("both", dialled:read_str())
            dialled:close()
          end)
          listener:close()
        end
      end
    end)

    it("works with GnuTLS", function()
      if helper.output "command -v gnutls-serv" == "" then
        helper.excuse "gnutls-serv"
        return pending "there is no gnutls-serv"
      end
      local path = os.tmpname()
      local file = assert(io.open(path, "w"))
      file:write("monitor:", key, "\n")
      file:close()
      local peer = helper.program(("gnutls-serv --echo --port {port} --pskpasswd %s --priority "
        .. "NORMAL:-VERS-ALL:+VERS-TLS%s:-KX-ALL:+ECDHE-PSK:+DHE-PSK:+PSK"):format(path, version))
      local conn = helper.keep(tcp.connect_tls("127.0.0.1", peer.port, { psk = mine, timeout = helper.timeout }))
      conn:send "hello\n"
      assert.equal("hello", conn:read_line())
      assert.equal("monitor", conn:info().tls.psk_identity)
      os.remove(path)
    end)
  end)
end

describe("psk", function()
  after_each(helper.finish)

  it("is no secret that a trace or a message shows", function()
    local peer = with_key "1.3"
    local said = helper.run(([[
      local tcp = require "tcp.safe"
      local psk = { identity = "monitor", key = %q }
      local conn = tcp.connect_tls("127.0.0.1", %d, { psk = psk, timeout = 3 })
      conn:send "hello\n"
      conn:read_line()
      for name, value in pairs(conn:info().tls) do io.write(name, " ", tostring(value), "\n") end
      psk.key = psk.key .. "x"
      print(pcall(tcp.connect_tls, "127.0.0.1", %d, { psk = psk }))
    ]]):format(key, peer.port, peer.port), "TCP_DEBUG=1")
    assert.matches("psk_identity monitor", said)
    assert.matches("tls: TLSv1.3, TLS_AES_128_GCM_SHA256, new session, the key of 'monitor' %(", said)
    assert.is_nil(said:find(key, 1, true))
  end)

  local identity = "an identity of 1 to 255 bytes, without a zero byte, expected"
  local secret = "a key of 16 to 256 bytes in hexadecimal expected"

  for _, case in ipairs {
    { "a string", key, "table expected, got string" },
    { "an empty table", {}, "a table with identity and key expected" },
    { "no key", { identity = "x" }, "a table with identity and key expected" },
    { "no identity", { key = key }, "a table with identity and key expected" },
    { "an empty identity", { identity = "", key = key }, identity },
    { "a long identity", { identity = ("x"):rep(256), key = key }, identity },
    { "an identity with a zero byte", { identity = "a\0b", key = key }, identity },
    { "a short key", { identity = "x", key = ("00"):rep(15) }, secret },
    { "a long key", { identity = "x", key = ("00"):rep(257) }, secret },
    { "half a byte", { identity = "x", key = key .. "0" }, secret },
    { "another letter", { identity = "x", key = key:gsub("0", "g") }, secret },
    { "spaces", { identity = "x", key = key:gsub("00", "0 ") }, secret },
    { "a number for a key", { identity = "x", key = 12345678901234567890 }, secret },
    { "a line end", { identity = "x", key = key .. "\n" }, secret },
  } do
    it("of a client is a bad argument: " .. case[1], function()
      local peer = helper.listen("", { tls = "good" })
      helper.misuse(("bad argument #3 to 'connect_tls' (option 'psk': %s)"):format(case[3]), function()
        tcp.connect_tls("127.0.0.1", peer.port, { psk = case[2] })
      end)
      assert.equal(0, peer:count())
    end)
  end

  it("of a client does not go with a pin", function()
    local words = ": pin_sha256 is for a certificate, and with psk the server shows none$"
    helper.fails("tls", words, function()
      tcp.connect_tls("127.0.0.1", 1, { psk = mine, pin_sha256 = ("00"):rep(32) })
    end)
    local conn = helper.connect "c.hold()"
    helper.fails("tls", words, function() conn:start_tls { psk = mine, pin_sha256 = ("00"):rep(32) } end)
  end)

  it("needs a cipher suite with SHA-256 over TLS 1.3, and both sides say so", function()
    local message, refused = helper.refusals({ psk = { monitor = key } },
      { psk = mine, ciphersuites = "TLS_AES_256_GCM_SHA384", min_version = "1.3" })
    assert.matches("or no cipher suite with SHA%-256, see psk%)$", message)
    assert.matches("or no cipher suite with SHA%-256 in common, and there is no certificate, see cert_file%)$", refused)
  end)

  it("of a client has no other member", function()
    local peer = helper.listen("", { tls = "good" })
    helper.misuse("bad argument #3 to 'connect_tls' (option 'psk': unknown option 'hint')", function()
      tcp.connect_tls("127.0.0.1", peer.port, { psk = { identity = "x", key = key, hint = "" } })
    end)
    assert.equal(0, peer:count())
  end)

  for _, case in ipairs {
    { "a string", key, "table expected, got string" },
    { "an empty table", {}, "a table of identities and their keys expected" },
    { "a list", { key }, identity },
    { "an empty identity", { [""] = key }, identity },
    { "a long identity", { [("x"):rep(256)] = key }, identity },
    { "a client's", { identity = "x", key = key }, secret },
    { "a short key", { x = ("00"):rep(15) }, secret },
    { "a table for a key", { x = { key } }, secret },
  } do
    it("of a server is a bad argument: " .. case[1], function()
      helper.misuse(("bad argument #3 to 'listen' (option 'psk': %s)"):format(case[3]), function()
        tcp.listen("127.0.0.1", 0, { tls = { psk = case[2] } })
      end)
    end)
  end
end)
