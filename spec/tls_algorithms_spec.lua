-- `groups`, `signature_algorithms`, `security_level`, `legacy_renegotiation`: what a handshake may
-- agree upon. And the options of TLS that a side has not.

local helper = require "spec.support.helper"
local tcp = require "tcp"

local trusting = helper.trusting
local good, good_key = helper.pem "good", helper.pem("good", "key")

local function talks(peer, options)
  local conn = helper.keep(tcp.connect_tls("localhost", peer.port, trusting(options)))
  conn:send "hello\n"
  assert.equal("olleh", conn:read_line())
  local info = conn:info().tls
  conn:close()
  return info
end

-- What s_server says of its client, with a page of text for a browser: over `-www`.
local function seen(server, options)
  local words = ("openssl s_server -www -accept 127.0.0.1:0 -cert %s -key %s %s"):format(
    helper.pem(server.certificate or "good"), helper.pem(server.certificate or "good", "key"), server.words or "")
  local peer = helper.program(words, { ready = "^ACCEPT .*:([0-9]+)" })
  options = trusting({ close_notify = "ignore", verify = false }, options)
  local conn = helper.keep(tcp.connect_tls("localhost", peer.port, options))
  conn:send "GET / HTTP/1.0\r\n\r\n"
  local text = conn:read_str()
  conn:close()
  return text
end

describe("groups", function()
  after_each(helper.finish)

  for _, version in ipairs { "1.2", "1.3" } do
    it("choose the group of the key exchange, over TLS " .. version, function()
      for given, expected in pairs {
        ["X25519"] = "x25519", ["P-384"] = "secp384r1", ["secp521r1"] = "secp521r1",
        ["X448:P-256"] = "x448:secp256r1",
      } do
        -- Over TLS 1.2 they are also the curves that a certificate may have.
        local text = seen({ certificate = "rsa" }, { groups = given, max_version = version })
        assert.matches("\nSupported groups: " .. expected .. "\n", text)
      end
    end)

    it("that the server has not are no handshake, over TLS " .. version, function()
      local peer = helper.s_server("good", "-groups P-384 -tls" .. version:gsub("%.", "_"))
      assert.is_true(talks(peer, { groups = "P-256:P-384" }).verified)
      helper.fails("tls", "see ciphers, groups and signature_algorithms", function()
        tcp.connect_tls("localhost", peer.port, trusting { groups = "X25519" })
      end)
    end)

    it("restrict a server, over TLS " .. version, function()
      local listener = helper.keep(tcp.listen("127.0.0.1", 0, { timeout = helper.timeout,
        tls = { cert_file = helper.pem "rsa", key_file = helper.pem("rsa", "key"), groups = "P-384",
          ciphers = "ECDHE" } }))
      for groups, shakes in pairs { ["P-384"] = true, ["X25519:P-384"] = true, X25519 = false } do
        local client = io.popen(("echo hello | timeout 5 openssl s_client -connect 127.0.0.1:%d -tls%s -groups %s "
          .. "-quiet 2>/dev/null"):format(listener:port(), version:gsub("%.", "_"), groups), "r")
        local conn = helper.keep(listener:accept(helper.timeout))
        local ok, message = pcall(conn.handshake, conn)
        assert.equal(shakes, ok, message)
        if version == "1.3" and not ok then
          assert.matches("%(no key exchange group in common, see groups%)$", message)
        end
        conn:close()
        client:close()
      end
    end)
  end
end)

describe("signature_algorithms", function()
  after_each(helper.finish)

  it("are what a client offers", function()
    local text = seen({}, { signature_algorithms = "ecdsa_secp256r1_sha256:RSA+SHA384" })
    assert.matches("Signature Algorithms: ECDSA%+SHA256:RSA%+SHA384\n", text)
  end)

  for _, version in ipairs { "1.2", "1.3" } do
    it("that the server's key has not are no handshake, over TLS " .. version, function()
      local peer = helper.s_server("rsa", "-tls" .. version:gsub("%.", "_"))
      assert.is_true(talks(peer, { signature_algorithms = "rsa_pss_rsae_sha256" }).verified)
      helper.fails("tls", "handshake failed: .*handshake failure", function()
        tcp.connect_tls("localhost", peer.port, trusting { signature_algorithms = "ECDSA+SHA256" })
      end)
    end)
  end

  it("restrict a server", function()
    local listener = helper.keep(tcp.listen("127.0.0.1", 0, { timeout = helper.timeout,
      tls = { cert_file = helper.pem "rsa", key_file = helper.pem("rsa", "key"),
        signature_algorithms = "rsa_pss_rsae_sha512" } }))
    local client = io.popen(("echo | timeout 5 openssl s_client -connect 127.0.0.1:%d 2>/dev/null"):format(
      listener:port()), "r")
    helper.keep(listener:accept(helper.timeout)):handshake()
    assert.matches("Peer signing digest: SHA512", client:read "*a")
    client:close()
  end)
end)

describe("security_level", function()
  after_each(helper.finish)

  it("of 0 lets weak keys and old versions pass", function()
    local peer = helper.s_server("weak", "-cipher DEFAULT:@SECLEVEL=0")
    helper.fails("certificate", "EE certificate key too weak %('localhost'%), security_level = 0 allows weak keys and "
      .. "signatures$", function() tcp.connect_tls("localhost", peer.port, trusting()) end)
    assert.is_true(talks(peer, { security_level = 0 }).verified)
    for _, version in ipairs { "1.0", "1.1" } do
      peer = helper.s_server("good", ("-tls%s -cipher DEFAULT:@SECLEVEL=0"):format(version == "1.0" and "1" or "1_1"))
      helper.fails("tls", 'OpenSSL wants ciphers = "DEFAULT:@SECLEVEL=0", or security_level = 0, besides for a version '
        .. "below 1.2%)$", function() tcp.connect_tls("localhost", peer.port, trusting { min_version = version }) end)
      local info = talks(peer, { min_version = version, security_level = 0 })
      assert.equal("TLSv" .. version:gsub("1%.0", "1"), info.version)
    end
  end)

  it("refuses what is below it", function()
    -- Level 3 wants RSA keys of 3072 bits.
    local peer = helper.s_server "rsa"
    assert.is_true(talks(peer, { security_level = 2 }).verified)
    helper.fails("certificate", "EE certificate key too weak %('localhost'%)", function()
      tcp.connect_tls("localhost", peer.port, trusting { security_level = 3 })
    end)
    assert.is_true(talks(helper.s_server "good", { security_level = 3 }).verified)
    helper.fails("tls", ": cert: ee key too small %(security_level = 0 allows weak keys and signatures%)$", function()
      tcp.listen("127.0.0.1", 0, { tls = { cert_file = good, key_file = good_key, security_level = 4 } })
    end)
    -- Nothing is left: an error of this end alone.
    helper.fails("tls", "no ciphers available %(nothing is left to offer, see ciphers, ciphersuites, security_level "
      .. "and the versions%)$", function()
      tcp.connect_tls("localhost", peer.port, trusting { security_level = 5, ciphersuites = "TLS_AES_128_GCM_SHA256",
        ciphers = "AES128-SHA" })
    end)
  end)

  it("counts more than the level in ciphers", function()
    local peer = helper.s_server("weak", "-cipher DEFAULT:@SECLEVEL=0")
    assert.is_true(talks(peer, { security_level = 0, ciphers = "DEFAULT:@SECLEVEL=3" }).verified)
    helper.fails("certificate", "key too weak", function()
      tcp.connect_tls("localhost", peer.port, trusting { security_level = 2, ciphers = "DEFAULT:@SECLEVEL=0" })
    end)
  end)

  it("holds for a server", function()
    local weak = { cert_file = helper.pem "weak", key_file = helper.pem("weak", "key") }
    helper.fails("tls", "ee key too small", function() tcp.listen("127.0.0.1", 0, { tls = weak }) end)
    weak.security_level = 0
    local listener = helper.keep(tcp.listen("127.0.0.1", 0, { tls = weak, timeout = helper.timeout }))
    local client = io.popen(("echo hello | timeout 5 openssl s_client -quiet -connect 127.0.0.1:%d -tls1 "
      .. "-cipher DEFAULT:@SECLEVEL=0 2>/dev/null"):format(listener:port()), "r")
    local conn = helper.keep(listener:accept(helper.timeout))
    helper.fails("tls", "", function() conn:handshake() end) -- min_version still counts
    client:close()
  end)
end)

describe("legacy_renegotiation", function()
  after_each(helper.finish)

  it("connects to a server without RFC 5746", function()
    if helper.output "command -v gnutls-serv" == "" then
      helper.excuse "gnutls-serv"
      return pending "there is no gnutls-serv"
    end
    local peer = helper.program(("gnutls-serv --echo --port {port} --x509certfile %s --x509keyfile %s --priority "
      .. "NORMAL:-VERS-ALL:+VERS-TLS1.2:%%DISABLE_SAFE_RENEGOTIATION"):format(good, good_key))
    for _, options in ipairs { {}, { legacy_renegotiation = false } } do
      helper.fails("tls", "unsafe legacy renegotiation disabled %(the server is too old to renegotiate securely "
        .. "%(RFC 5746%): it must be updated, legacy_renegotiation = true connects all the same%)$", function()
        tcp.connect_tls("localhost", peer.port, trusting(options))
      end)
    end
    local conn = helper.keep(tcp.connect_tls("localhost", peer.port, trusting { legacy_renegotiation = true }))
    conn:send "hello\n"
    assert.equal("hello", conn:read_line())
    assert.is_true(conn:info().tls.verified)
    conn = tcp.connect("localhost", peer.port, helper.timeout)
    conn = helper.keep(conn:start_tls { ca_file = helper.pem "root", legacy_renegotiation = true })
    conn:send "hello\n"
    assert.equal("hello", conn:read_line())
  end)
end)

-- {option, what is wrong, its value, the words}: of a client; the others have none.
local misused = {
  { "groups", "empty", "", "OpenSSL's names of groups expected" },
  { "groups", "with a zero byte", "X25519\0", "OpenSSL's names of groups expected" },
  { "groups", "a list", { "X25519" }, "string expected, got table" },
  { "groups", "too long", ("P-256:"):rep(1000), "OpenSSL's names of groups expected" },
  { "signature_algorithms", "empty", "", "OpenSSL's names of signature algorithms expected" },
  { "signature_algorithms", "a boolean", true, "string expected, got boolean" },
  { "security_level", "too high", 6, "0 to 5 expected, got 6" },
  { "security_level", "negative", -1, "0 to 5 expected, got -1" },
  { "security_level", "a fraction", 1.5, "number has no integer representation" },
  { "security_level", "a word", "high", "number expected, got string" },
  { "partial_chain", "a word", "yes", "boolean expected, got string" },
  { "crl_file", "a boolean", true, "string expected, got boolean" },
  { "crl_file", "with a zero byte", "a\0b", "a path of up to 4096 bytes, without a zero byte, expected" },
  { "crl", "a table", {}, "string expected, got table" },
  { "ocsp", "another word", "require", "'report' expected, got 'require'" },
  { "ocsp", "a boolean", true, "string expected, got boolean" },
  { "legacy_renegotiation", "a number", 1, "boolean expected, got number" },
}

local refused = {
  { "groups", "unknown", "X25519:no_such_group", "groups: this OpenSSL has no 'no_such_group'" },
  { "groups", "with an empty name", "X25519::P-256", "groups: this OpenSSL " },
  { "signature_algorithms", "unknown", "ECDSA+SHA256:RSA+NONE",
    "signature_algorithms: this OpenSSL has no 'RSA+NONE'" },
}

describe("an option of TLS", function()
  after_each(helper.finish)

  for _, case in ipairs(misused) do
    local option, what, value, words = case[1], case[2], case[3], case[4]
    it(("that is wrong is a bad argument: %s, %s"):format(option, what), function()
      local peer = helper.listen("", { tls = "good" })
      local message = ("(option '%s': %s)"):format(option, words)
      helper.misuse("bad argument #3 to 'connect_tls' " .. message, function()
        tcp.connect_tls("localhost", peer.port, { [option] = value })
      end)
      assert.equal(0, peer:count())
      helper.misuse("bad argument #3 to 'connect' " .. "(option 'proxy': unknown option '" .. option .. "')", function()
        tcp.connect("localhost", peer.port, { proxy = { url = "http://localhost:1", [option] = value } })
      end)
      helper.misuse("bad argument #3 to 'connect' " .. message, function()
        tcp.connect("localhost", peer.port, { proxy = { url = "https://localhost:1", tls = { [option] = value } } })
      end)
      helper.misuse(("bad argument #3 to 'connect' (option '%s': one of connect_tls and start_tls)"):format(option),
        function() tcp.connect("localhost", peer.port, { [option] = value }) end)
      local conn = helper.connect [[ return c.recv_all() ]]
      helper.misuse("bad argument #1 to 'start_tls' " .. message, function() conn:start_tls { [option] = value } end)
      conn:close()
      local clients = option == "ocsp" or option == "legacy_renegotiation"
      if clients then message = ("(option '%s': a client's, this side is the server)"):format(option) end
      helper.misuse("bad argument #3 to 'listen' " .. message, function()
        tcp.listen("127.0.0.1", 0, { tls = { cert_file = good, key_file = good_key, [option] = value } })
      end)
      helper.misuse(("bad argument #3 to 'listen' (option '%s': it belongs into the table tls)"):format(option),
        function() tcp.listen("127.0.0.1", 0, { [option] = value }) end)
    end)
  end

  for _, case in ipairs(refused) do
    local option, what, value, words = case[1], case[2], case[3], case[4]
    it(("that OpenSSL does not know is an error: %s, %s"):format(option, what), function()
      local peer = helper.listen("", { tls = "good" })
      -- The words for an empty name differ from OpenSSL 3.5 on.
      local pattern = ": tls: " .. words:gsub("%p", "%%%0") .. (words:find " $" and "" or "$")
      helper.fails("tls", "^connect_tls .*" .. pattern, function()
        tcp.connect_tls("localhost", peer.port, trusting { [option] = value })
      end)
      helper.fails("tls", "^listen .*" .. pattern, function()
        tcp.listen("127.0.0.1", 0, { tls = { cert_file = good, key_file = good_key, [option] = value } })
      end)
      assert.equal(0, peer:count())
    end)
  end

  it("is named where nothing is in common", function()
    local function both(server, client)
      server.cert_file, server.key_file = good, good_key
      return helper.refusals(server, trusting(client))
    end
    local message = both({}, { groups = "brainpoolP256r1", min_version = "1.3" })
    assert.matches("%(none of groups is for these versions, see groups and min_version%)$", message)
    for _, version in ipairs { "1.2", "1.3" } do
      local ours, theirs = both({ max_version = version }, { signature_algorithms = "rsa_pss_rsae_sha256" })
      assert.matches("ciphers, groups and signature_algorithms, or a client certificate is wanted, see cert_file%)$",
        ours)
      assert.matches("signature_algorithms, and the kind of key in key_file%)$", theirs)
    end
  end)

  it("is refused in a line of words, however large a number is", function()
    helper.misuse("bad argument #3 to 'connect_tls' (option 'security_level': 0 to 5 expected, got 1e300)",
      function() tcp.connect_tls("localhost", 1, { security_level = 1e300 }) end)
  end)

  it("of a client alone is refused by a server", function()
    for option, value in pairs {
      ocsp = "report", legacy_renegotiation = true, server_name = "localhost", session = "",
    } do
      helper.misuse(("bad argument #3 to 'listen' (option '%s': a client's, this side is the server)"):format(option),
        function()
          tcp.listen("127.0.0.1", 0, { tls = { cert_file = good, key_file = good_key, [option] = value } })
        end)
      local conn = helper.connect [[ c.hold() ]]
      local words = "(option '%s': a client's, this side is the server)"
      helper.misuse("bad argument #1 to 'start_tls' " .. words:format(option),
        function() conn:start_tls { side = "server", cert_file = good, key_file = good_key, [option] = value } end)
      conn:close()
    end
  end)
end)

-- A session is offered only with the settings that it was made with.
describe("a session", function()
  after_each(helper.finish)

  for option, value in pairs {
    groups = "P-256", signature_algorithms = "ECDSA+SHA256", security_level = 1, legacy_renegotiation = true,
  } do
    it("of other settings is not offered: " .. option, function()
      local peer = helper.s_server "good"
      local function talk(options)
        local conn = helper.keep(tcp.connect_tls("localhost", peer.port, trusting(options)))
        conn:send "hello\n"
        conn:read_line()
        local resumed, session = conn:info().tls.resumed, conn:session()
        conn:close()
        return resumed, session
      end
      local _, plain = talk {}
      local _, set = talk { [option] = value }
      assert.is_true((talk { session = plain }))
      assert.is_true((talk { [option] = value, session = set }))
      assert.is_false((talk { [option] = value, session = plain }))
      assert.is_false((talk { session = set }))
    end)
  end
end)
