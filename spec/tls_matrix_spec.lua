-- Whom `connect_tls` believes: each kind of certificate and of handshake, by host name and by
-- address, shown by two servers that are independent of each other, with the code and the words of
-- each refusal.

local helper = require "spec.support.helper"
local tcp = require "tcp"
local safe = require "tcp.safe"

local trusting = helper.trusting

local reverse = [[
  line = c.recv_line()
  c.send(line[:-1][::-1] + b"\n")
  return c.sock.getpeercert() and dict(pair[0] for pair in c.sock.getpeercert()["subject"])["commonName"]
]]

-- Both send a line back in reverse. `options` are those of helper.listen; s_server has its own for
-- each.
local servers = {
  {
    name = "Python's ssl",
    start = function(certificate, options)
      local all = { tls = certificate }
      for name, value in pairs(options or {}) do all[name] = value end
      return helper.listen(reverse, all)
    end,
  },
  {
    name = "openssl s_server",
    start = function(certificate, options)
      local words = {}
      for name, value in pairs(options or {}) do
        words[#words + 1] = ({
          version = "-tls" .. tostring(value):gsub("%.", "_"),
          ciphers = "-cipher " .. tostring(value),
          alpn = "-alpn " .. tostring(value),
          client_ca = ("-Verify 3 -verify_return_error -CAfile %s/%s.pem"):format(helper.certificates, value),
        })[name]
      end
      return helper.s_server(certificate, table.concat(words, " "))
    end,
  },
}

-- Connects, has a line sent back, and closes: s_server has one client at a time. Gives what was
-- known.
local function talks(host, peer, options)
  local conn = helper.keep(tcp.connect_tls(host, peer.port, options))
  conn:send "hello\n"
  assert.equal("olleh", conn:read_line())
  local info = conn:info().tls
  conn:close()
  return info
end

-- A refusal of the certificate, with exactly these words: thrown, returned with its details, and
-- with `verify = false` written down.
local function is_refused(host, peer, options, words)
  local expected = ("connect_tls %s:%d: certificate: %s"):format(host, peer.port, words)
  local message = helper.fails("certificate", "", function() tcp.connect_tls(host, peer.port, options) end)
  assert.equal(expected, message)

  local _, details = helper.fails_safely("certificate", "", safe.connect_tls(host, peer.port, options))
  assert.is_false(details.verified)
  assert.equal(words, details.verify_error)
  assert.equal(options.server_name or host, details.server_name)

  local unverified = { verify = false }
  for name, value in pairs(options) do unverified[name] = value end
  local info = talks(host, peer, unverified)
  assert.is_false(info.verified)
  assert.equal(words, info.verify_error)
  -- The same certificate each time.
  assert.equal(info.certificate.pem, details.certificate.pem)
end

local function is_believed(host, peer, options)
  local info = talks(host, peer, options)
  assert.is_true(info.verified)
  assert.is_nil(info.verify_error)
end

local untrusted = "not among the trusted certificates given"
local expired = "expired on Jun 30 12:00:00 2021 GMT ('localhost')"
local future = "not yet valid, only from Jan  1 00:00:00 2048 GMT on ('localhost')"
local self_signed = "self-signed certificate ('localhost'), " .. untrusted
local stranger = "unknown issuer 'Stranger Root' of 'localhost', " .. untrusted
local with_root = "unknown issuer: self-signed root 'Stranger Root', " .. untrusted
local old_issuer = "expired on Jun 30 12:00:00 2021 GMT ('Old Intermediate')"
local no_ca = "invalid CA certificate ('localhost')"
local incomplete = "unknown issuer 'Specs Intermediate' of 'localhost', " .. untrusted
local function mismatch(expected, names)
  return ("host name mismatch: expected %s, the certificate is for %s"):format(expected, names)
end
local nameless = "no name at all (the subject, 'localhost', does not count)"

-- {what, certificate, what is wrong with it for `localhost`, and for `127.0.0.1`}; false: nothing.
local matrix = helper.some {
  { "good", "good", false, false },
  { "good, without an intermediate", "direct", false, false },
  { "good, with an RSA key", "rsa", false, false },
  { "good, with an RSA-PSS key", "pss", false, false },
  { "good, with an Ed25519 key", "ed25519", false, false },
  { "expired", "expired", expired, expired },
  { "not yet valid", "not_yet", future, future },
  { "wrong host", "other_host",
    mismatch("localhost", "other.example, www.other.example"),
    mismatch("127.0.0.1", "other.example, www.other.example") },
  { "another address", "other_ip", false, mismatch("127.0.0.1", "localhost, 192.0.2.7") },
  { "a host name alone", "name_only", false, mismatch("127.0.0.1", "localhost") },
  { "the address as a DNS name", "dns_for_ip",
    mismatch("localhost", "127.0.0.1"),
    mismatch("127.0.0.1", "127.0.0.1 (there as a DNS name, which an address does not match)") },
  { "the name in the CN alone", "cn_only",
    mismatch("localhost", nameless), mismatch("127.0.0.1", nameless) },
  { "self-signed", "self_signed", self_signed, self_signed },
  { "unknown root", "unknown_issuer", stranger, stranger },
  { "unknown root, sent along", "with_root", with_root, with_root },
  { "missing intermediate", "incomplete", incomplete, incomplete },
  { "expired intermediate", "old_issuer", old_issuer, old_issuer },
  { "an intermediate that is no CA", "no_ca", no_ca, no_ca },
  { "for clients alone", "client_only",
    "unsuitable certificate purpose ('localhost')", "unsuitable certificate purpose ('localhost')" },
}

for _, server in ipairs(servers) do
  describe("a certificate shown by " .. server.name .. ":", function()
    after_each(helper.finish)

    for _, row in ipairs(matrix) do
      local what, certificate = row[1], row[2]
      it(what, function()
        local peer = server.start(certificate)
        for i, host in ipairs { "localhost", "127.0.0.1" } do
          local wrong = row[i + 2]
          if wrong then
            is_refused(host, peer, trusting(), wrong)
          else
            is_believed(host, peer, trusting())
          end
        end
      end)
    end

    it("a wildcard, for one label and no other number", function()
      local peer = server.start "wildcard"
      local function as(name) return trusting { server_name = name } end
      for _, host in ipairs { "localhost", "127.0.0.1" } do
        is_believed(host, peer, as "a.wild.example")
        is_believed(host, peer, as "XN--B-1.WILD.example")
        for _, name in ipairs {
          "wild.example", "a.b.wild.example", "a.wild.example.org", "awild.example", "127.0.0.1",
        } do
          is_refused(host, peer, as(name), mismatch(name, "*.wild.example"))
        end
      end
    end)

    it("a wildcard for a part of a label, for nobody", function()
      local peer = server.start "partial"
      for _, host in ipairs { "localhost", "127.0.0.1" } do
        is_refused(host, peer, trusting { server_name = "www.wild.example" },
          mismatch("www.wild.example", "w*.wild.example"))
      end
    end)

    it("not in the system's store", function()
      local peer = server.start "good"
      for _, host in ipairs { "localhost", "127.0.0.1" } do
        is_refused(host, peer, { timeout = helper.timeout }, "unknown issuer 'Specs Root' of "
          .. "'Specs Intermediate', not in the system's CA store (ca_file or ca names others to trust)")
      end
    end)

    it("where there is no store at all", function()
      local peer = server.start "good"
      local said = helper.run(([[
        local tcp = require "tcp.safe"
        print((select(2, tcp.connect_tls("localhost", %d))))
      ]]):format(peer.port), "SSL_CERT_FILE=/nonexistent/ca.pem SSL_CERT_DIR=/nonexistent:/proc/self/fd")
      assert.equal(("connect_tls localhost:%d: certificate: unknown issuer 'Specs Root' of 'Specs Intermediate', and "
        .. "the system's CA store is empty or missing (/nonexistent/ca.pem, /nonexistent, /proc/self/fd): install "
        .. "ca-certificates, or name one with ca_file or SSL_CERT_FILE\n"):format(peer.port), said)
      -- One certificate in a file or a folder is a store.
      for _, store in ipairs {
        "SSL_CERT_DIR=/nonexistent SSL_CERT_FILE=" .. helper.pem "stranger",
        "SSL_CERT_FILE=/nonexistent SSL_CERT_DIR=/nonexistent:" .. helper.certificates .. "/hashed",
      } do
        said = helper.run(([[
          local tcp = require "tcp.safe"
          local conn, why = tcp.connect_tls("localhost", %d)
          print(why)
        ]]):format(peer.port), store)
        assert.is_nil(said:find("empty", 1, true), said)
      end
    end)

    it("the first of two things wrong is told", function()
      local peer = server.start "expired_other"
      for _, host in ipairs { "localhost", "127.0.0.1" } do
        is_refused(host, peer, trusting(), mismatch(host, "other.example"))
      end
    end)

    it("its key is pinned", function()
      local peer = server.start "good"
      local key = talks("localhost", peer, trusting()).certificate.public_key_sha256
      local other = ("A"):rep(43) .. "="
      local words = "pin mismatch: the public key's SHA-256 is " .. key
      for _, host in ipairs { "localhost", "127.0.0.1" } do
        is_believed(host, peer, trusting { pin_sha256 = key })
        is_believed(host, peer, trusting { pin_sha256 = { other, key } })
        for _, options in ipairs { { pin_sha256 = other }, { pin_sha256 = { other, ("00"):rep(32) } },
          { pin_sha256 = other, verify = false } } do
          local message = helper.fails("certificate", "",
            function() tcp.connect_tls(host, peer.port, trusting(options)) end)
          assert.equal(("connect_tls %s:%d: certificate: %s"):format(host, peer.port, words), message)
          local _, details = helper.fails_safely("certificate", "",
            safe.connect_tls(host, peer.port, trusting(options)))
          assert.equal(key, details.certificate.public_key_sha256)
        end
      end
    end)

    it("a pin does not make up for what is wrong otherwise", function()
      local peer = server.start "self_signed"
      local info = talks("localhost", peer, trusting { verify = false })
      local key = info.certificate.public_key_sha256
      for _, host in ipairs { "localhost", "127.0.0.1" } do
        is_refused(host, peer, trusting { pin_sha256 = key }, self_signed)
      end
    end)
  end)

  describe("a client certificate for " .. server.name, function()
    after_each(helper.finish)

    local function own(name)
      return { cert_file = helper.pem(name), key_file = helper.pem(name, "key") }
    end

    for _, version in ipairs { "1.2", "1.3" } do
      -- The server's refusal: on TLS 1.2 a failed connect, on 1.3 a failed read.
      local function is_rejected(options, words)
        local peer = server.start("good", { version = version, client_ca = "root" })
        for _, host in ipairs { "localhost", "127.0.0.1" } do
          if version == "1.2" then
            helper.fails("tls", "^connect_tls " .. host .. ":%d+: tls: handshake failed: .*" .. words,
              function() tcp.connect_tls(host, peer.port, trusting(options)) end)
          else
            local conn = helper.keep(tcp.connect_tls(host, peer.port, trusting(options)))
            helper.fails("tls", "^read_line " .. host .. ":%d+: tls: .*" .. words, function() conn:read_line() end)
            conn:close()
          end
        end
      end

      it("over TLS " .. version .. " is given", function()
        local peer = server.start("good", { version = version, client_ca = "root" })
        for _, host in ipairs { "localhost", "127.0.0.1" } do
          talks(host, peer, trusting(own "client"))
        end
        if server.name:find "Python" then assert.equal("client.example", peer:result()) end
      end)

      it("over TLS " .. version .. " is missing", function()
        is_rejected({}, version == "1.2"
          and "handshake failure %(often no cipher, key exchange group or signature algorithm in common, see ciphers, "
            .. "groups and signature_algorithms, or a client certificate is wanted, see cert_file%)$"
          or "certificate required %(the server wants a client certificate, see cert_file%)$")
      end)

      it("over TLS " .. version .. " is from a CA that the server does not know", function()
        is_rejected(own "client_stranger",
          "unknown ca %(the server does not know the CA of our certificate, see cert_file%)$")
      end)

      it("over TLS " .. version .. " has expired", function()
        is_rejected(own "client_expired",
          "certificate expired %(the server refuses our certificate, see cert_file%)$")
      end)

      it("over TLS " .. version .. " is for servers alone", function()
        is_rejected(own "good", "unsupported certificate %(the server refuses our certificate, see cert_file%)$")
      end)
    end

    it("does no harm where the server does not ask", function()
      local peer = server.start "good"
      for _, host in ipairs { "localhost", "127.0.0.1" } do talks(host, peer, trusting(own "client")) end
    end)
  end)

  describe("the version, with " .. server.name .. ",", function()
    after_each(helper.finish)

    for _, version in ipairs { "1.2", "1.3" } do
      it("is " .. version .. " where the server has no other, or the script", function()
        local name = "TLSv" .. version
        for _, host in ipairs { "localhost", "127.0.0.1" } do
          assert.equal(name, talks(host, server.start("good", { version = version }), trusting()).version)
          local only = trusting { min_version = version, max_version = version }
          assert.equal(name, talks(host, server.start "good", only).version)
        end
      end)
    end

    for _, case in ipairs { { "1.2", { min_version = "1.3" } }, { "1.3", { max_version = "1.2" } } } do
      it("cannot be " .. case[1] .. " where the script does not want it", function()
        local peer = server.start("good", { version = case[1] })
        for _, host in ipairs { "localhost", "127.0.0.1" } do
          helper.fails("tls", "^connect_tls " .. host .. ":%d+: tls: handshake failed: .*"
            .. "%(no version in common, see min_version and max_version%)$",
            function() tcp.connect_tls(host, peer.port, trusting(case[2])) end)
        end
      end)
    end

    for _, version in ipairs { "1.0", "1.1" } do
      it("is not " .. version .. " unless the script asks for it with every word", function()
        local peer = server.start("good",
          { version = version == "1.0" and server.name:find "openssl" and "1" or version, ciphers = "ALL:@SECLEVEL=0" })
        for _, host in ipairs { "localhost", "127.0.0.1" } do
          for _, verify in ipairs { true, false } do
            helper.fails("tls", "^connect_tls " .. host .. ":%d+: tls: handshake failed: [%w ]+ "
              .. "%(no version in common, see min_version and max_version%)$",
              function() tcp.connect_tls(host, peer.port, trusting { verify = verify }) end)
          end
          -- OpenSSL wants another word besides.
          helper.fails("tls", 'handshake failed: .*ciphers = "DEFAULT:@SECLEVEL=0"',
            function() tcp.connect_tls(host, peer.port, trusting { min_version = version }) end)
          local old = trusting { min_version = version, ciphers = "DEFAULT:@SECLEVEL=0" }
          assert.equal(version == "1.0" and "TLSv1" or "TLSv1.1", talks(host, peer, old).version)
        end
      end)
    end
  end)

  describe("ALPN with " .. server.name, function()
    after_each(helper.finish)

    it("agrees on a name that both have", function()
      local peer = server.start("good", { alpn = "h2,http/1.1" })
      for _, host in ipairs { "localhost", "127.0.0.1" } do
        assert.equal("http/1.1", talks(host, peer, trusting { alpn = { "http/1.1" } }).alpn)
        assert.equal("h2", talks(host, peer, trusting { alpn = { "spdy/1", "h2" } }).alpn)
      end
    end)

    it("is left out by a script that does not ask for it", function()
      local peer = server.start("good", { alpn = "h2" })
      for _, host in ipairs { "localhost", "127.0.0.1" } do assert.is_nil(talks(host, peer, trusting()).alpn) end
    end)

    it("is left out by a server that does not know it", function()
      local peer = server.start "good"
      for _, host in ipairs { "localhost", "127.0.0.1" } do
        assert.is_nil(talks(host, peer, trusting { alpn = { "h2" } }).alpn)
      end
    end)

    it("agrees on nothing where there is nothing in common", function()
      local peer = server.start("good", { alpn = "h2" })
      for _, host in ipairs { "localhost", "127.0.0.1" } do
        local options = trusting { alpn = { "smtp", "imap" } }
        if server.name:find "openssl" then -- which has it as RFC 7301 wants it
          helper.fails("tls", "handshake failed: .*no application protocol "
            .. "%(the server speaks none of these protocols, see alpn%)$",
            function() tcp.connect_tls(host, peer.port, options) end)
        else -- which goes on without
          assert.is_nil(talks(host, peer, options).alpn)
        end
      end
    end)
  end)
end

describe("a server without a certificate", function()
  after_each(helper.finish)

  -- Ciphers that do without: nobody has them by chance.
  local function anonymous(options)
    return trusting(options, { ciphers = "aNULL:@SECLEVEL=0", max_version = "1.2" })
  end

  it("is refused, unless nothing is asked of it", function()
    local peer = helper.program("openssl s_server -rev -nocert -tls1_2 -cipher aNULL:@SECLEVEL=0 -accept 127.0.0.1:0",
      { ready = "^ACCEPT .*:([0-9]+)" })
    for _, host in ipairs { "localhost", "127.0.0.1" } do
      for words, options in pairs {
        ["the server showed no certificate"] = {},
        ["pin mismatch: there is no certificate"] = { verify = false, pin_sha256 = ("00"):rep(32) },
      } do
        local message = helper.fails("certificate", "",
          function() tcp.connect_tls(host, peer.port, anonymous(options)) end)
        assert.equal(("connect_tls %s:%d: certificate: %s"):format(host, peer.port, words), message)
      end
      local info = talks(host, peer, anonymous { verify = false })
      assert.is_false(info.verified)
      assert.is_nil(info.certificate)
      -- And who does not ask for such ciphers has none in common with it.
      helper.fails("tls", "handshake failure", function() tcp.connect_tls(host, peer.port, trusting()) end)
    end
  end)
end)

describe("what a server's alert asks for is said:", function()
  after_each(helper.finish)

  it("a cipher", function()
    for host, options in pairs { localhost = {}, ["127.0.0.1"] = {
      cert_file = helper.pem "client", key_file = helper.pem("client", "key") } } do
      local peer = helper.s_server("good", "-tls1_2 -cipher AES128-SHA256")
      local words = options.cert_file and "" or ", or a client certificate is wanted, see cert_file"
      helper.fails("tls",
        "handshake failure %(often no cipher, key exchange group or signature algorithm in common, see ciphers, groups "
        .. "and signature_algorithms" .. words .. "%)$",
        function() tcp.connect_tls(host, peer.port, trusting(options)) end)
    end
  end)

  it("another name", function()
    local peer = helper.s_server("good",
      ("-servername other.example -servername_fatal -cert2 %s -key2 %s"):format(
        helper.pem "other_host", helper.pem("other_host", "key")))
    helper.fails("tls", "unrecognized name %(the server has no such name, see server_name%)$",
      function() tcp.connect_tls("localhost", peer.port, trusting()) end)
  end)

  -- Each by its number, from a peer that only knows that much of TLS.
  for number, words in pairs {
    [42] = "bad certificate %(perhaps the server wants a client certificate, see cert_file%)",
    [71] = "insufficient security %(the server wants stronger ciphers, see ciphers%)",
    [80] = "internal error", -- nothing that an option could change
  } do
    it("alert " .. number, function()
      local peer = helper.listen(([[
        c.recv()
        c.send(b"\x15\x03\x03\x00\x02\x02" + bytes([%d]))
      ]]):format(number))
      helper.fails("tls", ": handshake failed: [^(]*alert " .. words .. "$",
        function() tcp.connect_tls("localhost", peer.port, trusting()) end)
    end)
  end
end)

describe("a certificate for an IPv6 address", function()
  after_each(helper.finish)

  it("is believed by that address", function()
    local peer = helper.listen(reverse, { tls = "good", host = "::1" })
    is_believed("::1", peer, trusting())
    is_believed("[::1]", peer, trusting())
    is_believed("::1", peer, trusting { server_name = "0:0:0:0:0:0:0:1" })
  end)

  it("is refused by another, or without one", function()
    local peer = helper.listen(reverse, { tls = "name_only", host = "::1" })
    local message = helper.fails("certificate", "", function() tcp.connect_tls("::1", peer.port, trusting()) end)
    assert.equal(("connect_tls [::1]:%d: certificate: %s"):format(peer.port, mismatch("::1", "localhost")), message)
    peer = helper.listen(reverse, { tls = "good", host = "::1" })
    helper.fails("certificate", "expected ::2, the certificate is for localhost, 127%.0%.0%.1, ::1",
      function() tcp.connect_tls("::1", peer.port, trusting { server_name = "::2" }) end)
  end)
end)
