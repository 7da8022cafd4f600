-- What `info().tls` tells of a handshake besides the certificates: the group, the peer's signature,
-- what verification says and by which path, and whether a certificate of ours was wanted. Compared
-- with what `openssl s_client` prints of the same server.

local helper = require "spec.support.helper"
local tcp = require "tcp"
local safe = require "tcp.safe"

local trusting = helper.trusting
local unpack = table.unpack or unpack -- luacheck: ignore 113 143

local function connect(port, options, module)
  return helper.keep((module or tcp).connect_tls("localhost", port, trusting(options)))
end

-- s_server serves one at a time.
local function tls_of(port, options)
  local conn = connect(port, options)
  local tls = conn:info().tls
  conn:close()
  return tls
end

-- What s_client prints of a server.
local function s_client(port, options)
  local command = "echo | timeout 5 openssl s_client -connect 127.0.0.1:%d -servername localhost -CAfile %s %s 2>&1"
  return helper.output(command:format(port, helper.pem "root", options or ""))
end

-- A folder with certificates of the test's own.
local folder
local function make(script)
  folder = folder or os.tmpname()
  local said = helper.output(("rm -f %s; mkdir -p %s && cd %s && { set -e; %s\n} 2>&1; echo $?"):format(
    folder, folder, folder, script))
  assert(said:find "0\n$", said)
  return folder
end

local function finish()
  helper.finish()
  if folder then helper.output("rm -rf " .. folder) end
  folder = nil
end

local function names(chain)
  local all = {}
  for i, each in ipairs(chain) do all[i] = each.subject.CN end
  return all
end

describe("info().tls.group", function()
  after_each(finish)

  for _, version in ipairs { "1_2", "1_3" } do
    for group, name in pairs { X25519 = "x25519", ["P-256"] = "secp256r1", ["P-384"] = "secp384r1",
      ["P-521"] = "secp521r1", X448 = "x448" } do
      it(("is %s over TLS %s"):format(name, version), function()
        local peer = helper.s_server("good", ("-tls%s -groups %s"):format(version, group))
        assert.equal(name, tls_of(peer.port).group)
      end)
    end
  end

  it("is a finite field's, and nil where keys are exchanged without a group that has a name", function()
    assert.equal("ffdhe2048", tls_of(helper.s_server("good", "-tls1_3 -groups ffdhe2048").port).group)
    local peer = helper.s_server("rsa", "-tls1_2 -cipher AES128-GCM-SHA256")
    local tls = tls_of(peer.port, { ciphers = "AES128-GCM-SHA256" })
    assert.is_nil(tls.group)
    assert.is_nil(tls.signature_algorithm)
    assert.equal("TLS_RSA_WITH_AES_128_GCM_SHA256", tls.cipher)
  end)

  it("is there on a server", function()
    local listener = helper.keep(tcp.listen("127.0.0.1", 0, { timeout = helper.timeout, tls = {
      cert_file = helper.pem "good", key_file = helper.pem("good", "key") } }))
    helper.dial(listener:port(), "c.handshake()", { tls = true })
    local conn = helper.keep(listener:accept())
    assert.is_nil(conn:info().tls.group)
    conn:handshake()
    local tls = conn:info().tls
    -- OpenSSL 3.5 has the hybrid, if both ends do.
    assert(tls.group == "x25519" or tls.group == "X25519MLKEM768", tls.group)
    assert.is_nil(tls.signature_algorithm)
    assert.is_nil(tls.verify_code)
    assert.is_nil(tls.verify_depth)
    assert.is_nil(tls.expires)
    assert.is_false(tls.client_certificate_requested)
    assert.is_nil(tls.acceptable_issuers)
  end)

  it("is nil where no handshake came to one", function()
    local peer = helper.listen [[ c.send(b"no TLS at all") ]]
    local _, _, _, details = safe.connect_tls("localhost", peer.port, trusting())
    assert.is_nil(details and details.group)
  end)
end)

describe("info().tls.signature_algorithm", function()
  after_each(finish)

  for _, case in ipairs(helper.some {
    { "rsa", "1_3", "rsa_pss_rsae_sha256", "RSA%-PSS", "SHA256" },
    { "rsa", "1_2", "rsa_pss_rsae_sha256", "RSA%-PSS", "SHA256" },
    { "pss", "1_3", "rsa_pss_pss_sha256", "RSA%-PSS", "SHA256" },
    { "good", "1_3", "ecdsa_secp256r1_sha256", "ECDSA", "SHA256" },
    { "good", "1_2", "ecdsa_secp256r1_sha256", "ECDSA", "SHA256" },
    { "p384", "1_3", "ecdsa_secp384r1_sha384", "ECDSA", "SHA384" },
    { "p521", "1_3", "ecdsa_secp521r1_sha512", "ECDSA", "SHA512" },
    { "ed25519", "1_3", "ed25519", "Ed25519" },
    { "ed25519", "1_2", "ed25519", "Ed25519" },
    { "ed448", "1_3", "ed448", "Ed448" },
    { "rsa", "1_2", "rsa_pkcs1_sha384", "RSA", "SHA384", "-client_sigalgs RSA+SHA384 -sigalgs RSA+SHA384" },
  }) do
    local certificate, version, name, kind, digest, options = unpack(case, 1, 6)
    it(("is %s of %s over TLS %s"):format(name, certificate, version), function()
      local peer = helper.s_server(certificate, ("-tls%s %s"):format(version, options or ""))
      assert.equal(name, tls_of(peer.port).signature_algorithm)
      local said = s_client(peer.port)
      -- From OpenSSL 3.5 on it prints the same name.
      local title = "Peer signature type: "
      assert(said:find(title .. kind .. "\n") or said:find(title .. name .. "\n", 1, true), said)
      if digest then assert.matches("Peer signing digest: " .. digest .. "\n", said) end
    end)
  end

  it("is the client's on a server", function()
    for client, name in pairs { client = "ecdsa_secp256r1_sha256" } do
      local listener = helper.keep(tcp.listen("127.0.0.1", 0, { timeout = helper.timeout, tls = {
        cert_file = helper.pem "good", key_file = helper.pem("good", "key"), ca_file = helper.pem "root" } }))
      helper.dial(listener:port(), "c.handshake()", { tls = true, certificate = client })
      local conn = helper.keep(listener:accept())
      conn:handshake()
      local tls = conn:info().tls
      assert.equal(name, tls.signature_algorithm)
      assert.is_true(tls.client_certificate_requested)
      assert.is_nil(tls.acceptable_issuers)
      assert.equal(0, tls.verify_code)
      assert.equal(2524607999, tls.expires)
      assert.same({ "client.example", "Specs Intermediate", "Specs Root" }, names(tls.verified_chain))
    end
  end)
end)

describe("info().tls.verify_code and verify_depth", function()
  after_each(finish)

  it("are 0 and nil for a good certificate", function()
    for _, verify in ipairs { true, false } do
      local tls = tls_of(helper.s_server("good").port, { verify = verify })
      assert.equal(0, tls.verify_code)
      assert.is_nil(tls.verify_depth)
    end
  end)

  for certificate, depth in pairs { expired = 0, not_yet = 0, old_issuer = 1, self_signed = 0, unknown_issuer = 0,
    incomplete = 0, with_root = 1, client_only = 0, other_host = 0, no_ca = 1, weak = 0 } do
    it("are those of s_client: " .. certificate, function()
      local level = certificate == "weak" and "-cipher DEFAULT:@SECLEVEL=0" or ""
      local peer = helper.s_server(certificate, level)
      local said = s_client(peer.port, "-verify_return_error -verify_hostname localhost")
      local code = tonumber(said:match "verify error:num=(%d+):")
      assert.is_number(code, said)
      local _, details = helper.fails_safely("certificate", "", safe.connect_tls("localhost", peer.port, trusting()))
      assert.same({ code, depth }, { details.verify_code, details.verify_depth })
      assert.is_string(details.verify_error)
      local tls = tls_of(peer.port, { verify = false })
      assert.same({ code, depth }, { tls.verify_code, tls.verify_depth })
    end)
  end
end)

describe("info().tls.expires", function()
  after_each(finish)

  it("is the leaf's where that expires first, and is there in the details", function()
    local expired = tls_of(helper.s_server("expired").port, { verify = false })
    assert.equal(expired.certificate.not_after, expired.expires)
    local _, details = helper.fails_safely("certificate", "",
      safe.connect_tls("localhost", helper.s_server("expired").port, trusting()))
    assert.equal(expired.expires, details.expires)
  end)

  it("is an issuer's where that expires first", function()
    local tls = tls_of(helper.s_server("old_issuer").port, { verify = false })
    assert.equal(tls.chain[2].not_after, tls.expires)
    assert.is_true(tls.expires < tls.certificate.not_after)
  end)

  -- A root of today, whose key an old root has signed, too: what a server sends for old clients.
  local function cross_signed(old_days, cross_days)
    return make(([[
      ca="basicConstraints=critical,CA:TRUE"
      key() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out $1.key; }
      sign() { # NAME ISSUER DAYS EXTENSION SUBJECT
        openssl req -new -key $1.key -subj "/CN=$5" -out $1.csr; echo "$4" >ext
        openssl x509 -req -in $1.csr -CA $2.pem -CAkey $2.key -set_serial 9 -days $3 -extfile ext -out $1.pem
      }
      for name in old new middle leaf; do key $name; done
      openssl req -new -key old.key -subj /CN=Old -out old.csr; echo "$ca" >ext
      # From OpenSSL 3.4 on, no number of days is negative.
      until_day() {
        if [ $1 -gt 0 ]; then echo -days $1
        elif openssl x509 -help 2>&1 | grep -q not_after; then
          echo -not_before 200101000000Z -not_after 210101000000Z
        else echo -days $1; fi
      }
      openssl x509 -req -in old.csr -signkey old.key $(until_day %d) -extfile ext -out old.pem
      openssl req -x509 -key new.key -subj /CN=New -days 300 -addext "$ca" -out root.pem
      openssl req -new -key new.key -subj /CN=New -out new.csr
      openssl x509 -req -in new.csr -CA old.pem -CAkey old.key -set_serial 8 $(until_day %d) -extfile ext -out new.pem
      sign middle new 200 "$ca" Middle
      sign leaf middle 100 "subjectAltName=DNS:localhost" localhost
      cat middle.pem new.pem old.pem >sent]]):format(old_days, cross_days))
  end

  local function serve(where)
    local command = "sh -c 'cd %s && exec openssl s_server -rev -accept 127.0.0.1:0 -cert leaf.pem -key leaf.key"
      .. " -cert_chain sent'"
    return helper.program(command:format(where), { ready = "^ACCEPT .*:([0-9]+)" })
  end

  it("looks at the path, and not at expired roots that are sent besides", function()
    local where = cross_signed(-1, -1)
    local peer = serve(where)
    local tls = tls_of(peer.port, { ca_file = where .. "/root.pem" })
    assert.is_true(tls.verified)
    assert.same({ "localhost", "Middle", "New", "Old" }, names(tls.chain))
    assert.is_true(tls.chain[3].not_after < os.time() and tls.chain[4].not_after < os.time())
    assert.same({ "localhost", "Middle", "New" }, names(tls.verified_chain))
    assert.equal(tls.verified_chain[3].subject_text, tls.verified_chain[3].issuer_text)
    assert.equal(tls.certificate.not_after, tls.expires)
    -- Nothing is trusted: what was sent counts.
    local stranger = tls_of(peer.port, { ca_file = helper.pem "stranger", verify = false })
    assert.is_false(stranger.verified)
    assert.is_true(stranger.expires < os.time())
  end)

  it("is the cross-signed root's where the path leads over it", function()
    local where = cross_signed(60, 50)
    local tls = tls_of(serve(where).port, { ca_file = where .. "/old.pem" })
    assert.same({ "localhost", "Middle", "New", "Old" }, names(tls.verified_chain))
    assert.equal(tls.chain[3].not_after, tls.expires)
    assert.is_true(tls.expires < tls.certificate.not_after)
  end)
end)

describe("info().tls.client_certificate_requested", function()
  after_each(finish)

  for _, version in ipairs { "1_2", "1_3" } do
    it("is true where the server asks for one, with the issuers that it accepts, over TLS " .. version, function()
      local peer = helper.s_server("good", ("-tls%s -verify 2 -CAfile %s"):format(version, helper.pem "utf8"))
      for _, options in ipairs { {}, { cert_file = helper.pem "client", key_file = helper.pem("client", "key") } } do
        local tls = tls_of(peer.port, options)
        assert.is_true(tls.client_certificate_requested)
        local wanted = tcp.certificates { file = helper.pem "utf8" }
        table.sort(tls.acceptable_issuers)
        local expected = { wanted[1].subject_text, wanted[2].subject_text }
        table.sort(expected)
        assert.same(expected, tls.acceptable_issuers)
      end
      assert.matches("Acceptable client certificate CA names", s_client(peer.port))
    end)

    it("has no issuers where the server names none, over TLS " .. version, function()
      local peer = helper.s_server("good", ("-tls%s -verify 2"):format(version))
      local tls = tls_of(peer.port)
      assert.is_true(tls.client_certificate_requested)
      assert.same({}, tls.acceptable_issuers)
    end)

    it("is false where it does not, over TLS " .. version, function()
      local tls = tls_of(helper.s_server("good", "-tls" .. version).port)
      assert.is_false(tls.client_certificate_requested)
      assert.is_nil(tls.acceptable_issuers)
    end)
  end

  it("is there in the details, and after close", function()
    local peer = helper.listen("", { tls = "good", version = "1.2", client_ca = "root" })
    local _, details = helper.fails_safely("tls", "", safe.connect_tls("localhost", peer.port, trusting()))
    assert.is_true(details.client_certificate_requested)
    assert.same({}, details.acceptable_issuers)
    local conn = connect(helper.s_server("good", "-verify 2 -CAfile " .. helper.pem "root").port)
    local before = conn:info().tls
    conn:close()
    assert.same(before, conn:info().tls)
    assert.same({ "CN=Specs Root" }, before.acceptable_issuers)
  end)
end)

describe("info().tls of a resumed session", function()
  after_each(finish)

  local function resumed(certificate, version, options)
    local peer = helper.s_server(certificate, "-tls" .. version)
    local first = connect(peer.port, options)
    first:send "x\n"
    first:read_line()
    local before, session = first:info().tls, first:session()
    first:close()
    local all = { session = session }
    for key, value in pairs(options or {}) do all[key] = value end
    local tls = tls_of(peer.port, all)
    assert.is_true(tls.resumed)
    return tls, before
  end

  for _, version in ipairs { "1_2", "1_3" } do
    it("has the chain of the session, and the path of today, over TLS " .. version, function()
      local tls, before = resumed("good", version)
      assert.same(before.chain, tls.chain)
      assert.same(before.verified_chain, tls.verified_chain)
      assert.equal(before.expires, tls.expires)
      assert.equal(0, tls.verify_code)
      assert.is_true(tls.verified)
      assert.is_nil(tls.signature_algorithm)
      assert.is_nil(tls.ocsp)
      assert.is_false(tls.client_certificate_requested)
    end)

    it("has the failure of a session that was not verified, over TLS " .. version, function()
      local tls, before = resumed("expired", version, { verify = false })
      assert.is_false(tls.verified)
      for _, field in ipairs { "verify_error", "verify_code", "verify_depth", "expires", "chain" } do
        assert.same(before[field], tls[field])
      end
      assert.equal(10, tls.verify_code)
      assert.is_nil(tls.verified_chain)
    end)
  end

  it("knows another path where another is trusted by then", function()
    local peer = helper.s_server("good", "-tls1_3")
    local file = os.tmpname()
    helper.output(("cat %s >%s"):format(helper.pem "root", file))
    local first = connect(peer.port, { ca_file = file })
    first:send "x\n"
    first:read_line()
    local session = first:session()
    first:close()
    -- The intermediate is in the file, too: the path is the same, and is built anew.
    helper.output(("cat %s %s >%s"):format(helper.pem "middle", helper.pem "root", file))
    local tls = tls_of(peer.port, { ca_file = file, session = session })
    os.remove(file)
    assert.is_true(tls.resumed)
    assert.same({ "localhost", "Specs Intermediate", "Specs Root" }, names(tls.verified_chain))
  end)
end)
