-- `ocsp = "report"`: what the response says that a server has stapled to its certificate.

local authority = require "spec.support.authority"
local helper = require "spec.support.helper"
local tcp = require "tcp"

local trusting = helper.trusting
local response = authority.response

-- A server that staples what a file holds, whatever that is. From OpenSSL 3.6 on s_server does not.
local function staple(path)
  return helper.listen(([[
    import ctypes, ctypes.util
    tls, crypto = (ctypes.CDLL(ctypes.util.find_library(name)) for name in ("ssl", "crypto"))
    for function in tls.TLS_server_method, tls.SSL_CTX_new, tls.SSL_new, crypto.CRYPTO_malloc:
      function.restype = ctypes.c_void_p
    context = ctypes.c_void_p(tls.SSL_CTX_new(ctypes.c_void_p(tls.TLS_server_method())))
    assert tls.SSL_CTX_use_certificate_chain_file(context, os.path.join(CERTIFICATES, "good.pem").encode()) == 1
    assert tls.SSL_CTX_use_PrivateKey_file(context, os.path.join(CERTIFICATES, "good.key").encode(), 1) == 1
    response = open(%q, "rb").read()
    @ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
    def staple(connection, _):
      memory = ctypes.c_void_p(crypto.CRYPTO_malloc(ctypes.c_size_t(len(response) + 1), None, 0))
      ctypes.memmove(memory, response, len(response))
      tls.SSL_ctrl(ctypes.c_void_p(connection), 71, ctypes.c_long(len(response)), memory)
      return 0
    tls.SSL_CTX_callback_ctrl(context, 63, staple)
    connection = ctypes.c_void_p(tls.SSL_new(context))
    c.sock.setblocking(True)
    tls.SSL_set_fd(connection, c.sock.fileno())
    if tls.SSL_accept(connection) == 1:
      tls.SSL_write(connection, b"olleh\n", 6)
      c.hold()
  ]]):format(path))
end

-- What info() tells of a server with this response, and what the client has of its certificate.
local function report(path, options, version, certificate, server)
  local words = (path and "-status_file " .. path or "") .. " -tls" .. (version or "1_3")
  local peer = server or helper.s_server(certificate or "good", words)
  local conn = helper.keep(tcp.connect_tls("localhost", peer.port, trusting({ ocsp = "report" }, options)))
  conn:send "hello\n"
  assert.equal("olleh", conn:read_line())
  local info = conn:info().tls
  conn:close()
  assert.same(info.ocsp, conn:info().tls.ocsp)
  return info.ocsp, info
end

describe('ocsp = "report" tells of a response', function()
  teardown(authority.finish)
  after_each(helper.finish)

  for _, version in ipairs { "1_2", "1_3" } do
    local name = ", over TLS " .. version:gsub("_", ".")

    it("that the certificate is good" .. name, function()
      local began = os.time()
      local ocsp, info = report(response("middle", "good", { known = { good = "valid" } }), nil, version)
      assert.equal("good", ocsp.status)
      assert.is_nil(ocsp.error)
      assert(math.abs(ocsp.this_update - began) <= 10, ocsp.this_update)
      assert.equal(7 * 86400, ocsp.next_update - ocsp.this_update)
      assert.is_nil(ocsp.revoked_at)
      assert.is_true(info.verified)
    end)

    it("that it is revoked, and connects" .. name, function()
      local ocsp, info = report(response("middle", "good", { known = { good = "revoked" } }), nil, version)
      assert.equal("revoked", ocsp.status)
      assert.equal("2024-01-02 03:04:05", os.date("!%Y-%m-%d %H:%M:%S", ocsp.revoked_at))
      assert.is_true(info.verified)
    end)

    it("that the responder does not know it" .. name, function()
      assert.equal("unknown", report(response("middle", "good", { known = { rsa = "valid" } }), nil, version).status)
    end)

    it("nothing where there is none" .. name, function()
      assert.is_nil((report(nil, nil, version)))
    end)
  end

  it("that OpenSSL refuses, in words: an empty one, and one of 60 KB over TLS 1.2", function()
    for _, case in ipairs { { "", "1.2" }, { "", "1.3" }, { ("x"):rep(60000), "1.2" } } do
      local peer = staple(authority.write(case[1]))
      local options = trusting { ocsp = "report", max_version = case[2] }
      local ok, conn = pcall(tcp.connect_tls, "localhost", peer.port, options)
      if ok then -- from OpenSSL 3.6 on a server does not send it
        assert.is_nil(helper.keep(conn):info().tls.ocsp)
      else
        assert.matches("tls: .*%(perhaps the server's OCSP response is empty or too large, see ocsp%)$", conn)
      end
    end
  end)

  it("without a next_update", function()
    local ocsp = report(response("middle", "good", { known = { good = "valid" }, more = "" }))
    assert.equal("good", ocsp.status)
    assert.is_nil(ocsp.next_update)
  end)

  it("that its time is over, or has not come", function()
    local clock = helper.preload "spec/support/clock.c"
    if not clock then return pending "there is no C compiler" end
    local function at(seconds, state)
      local before = ("%s SPEC_TIME=%d"):format(clock, seconds)
      return report(response("middle", "good", { known = { good = state }, before = before }))
    end
    local ocsp = at(1700000000, "valid")
    assert.same({ status = "stale", error = "it was valid until next_update", this_update = 1700000000,
      next_update = 1700000000 + 7 * 86400 }, ocsp)
    assert.equal("stale", at(1700000000, "unknown").status)
    -- What was revoked stays so.
    ocsp = at(1710000000, "revoked")
    assert.same({ "revoked", "it was valid until next_update" }, { ocsp.status, ocsp.error })
    ocsp = at(os.time() + 3600, "valid")
    assert.same({ "stale", "it is valid from this_update on" }, { ocsp.status, ocsp.error })
    -- Clocks may differ a little.
    assert.equal("good", at(os.time() + 60, "valid").status)
  end)

  local function is_invalid(words, ocsp)
    assert.equal("invalid", ocsp.status)
    assert(ocsp.error:find(words, 1, true), ocsp.error)
    assert.is_nil(ocsp.this_update)
    assert.is_nil(ocsp.next_update)
  end

  it("that somebody else has signed it", function()
    local known = { good = "valid" }
    for _, signer in ipairs { "stranger", "client", "root", "good" } do
      is_invalid("the issuer has neither signed it nor let somebody sign",
        report(response("middle", "good", { known = known, signer = signer })))
    end
    -- Not one whom the issuer lets sign, but one whom another CA does.
    local foreign = authority.issue("stranger", "/CN=Responder", "extendedKeyUsage = OCSPSigning")
    is_invalid("the issuer has neither", report(response("middle", "good", { known = known, signer = foreign })))
    local over = authority.issue("middle", "/CN=Responder", "extendedKeyUsage = OCSPSigning",
      "20200101000000Z 20210101000000Z")
    is_invalid("the issuer has neither", report(response("middle", "good", { known = known, signer = over })))
  end)

  it("that somebody has signed whom the issuer lets sign", function()
    local signer = authority.issue("middle", "/CN=Responder", "extendedKeyUsage = OCSPSigning")
    assert.equal("good", report(response("middle", "good", { known = { good = "valid" }, signer = signer })).status)
  end)

  it("that it is about another certificate", function()
    local path = response("middle", "rsa", { known = { rsa = "valid", good = "valid" } })
    local ocsp = report(nil, nil, nil, nil, staple(path))
    if not ocsp then return pending "a server of OpenSSL 3.6 staples no such response" end
    is_invalid("it is about another certificate", ocsp)
  end)

  it("that is damaged, or none", function()
    local path = response("middle", "good", { known = { good = "valid" }, more = "-resp_no_certs -ndays 7" })
    assert.equal("good", report(path).status)
    -- Its end is the signature.
    local bytes = helper.contents(path)
    local damaged = authority.write(bytes:sub(1, -2) .. string.char((bytes:byte(-1) + 1) % 256))
    is_invalid("the issuer has neither", report(nil, nil, nil, nil, staple(damaged)))
    -- The responder has no answer: tryLater.
    local later = staple(authority.write "\48\3\10\1\3")
    is_invalid("the responder has no answer: tryLater", report(nil, nil, nil, nil, later))
  end)

  it("of a certificate that does not verify", function()
    local path = response("middle", "good", { known = { good = "valid" } })
    local ocsp, info = report(path, { verify = false, ca_file = helper.pem "stranger" })
    assert.is_false(info.verified)
    assert.equal("good", ocsp.status)
    -- The issuer is not known where nobody has sent it.
    path = response("middle", "incomplete", { known = { incomplete = "valid" } })
    is_invalid("the certificate's issuer is not known here", report(path, { verify = false }, nil, "incomplete"))
  end)

  it("not where it was not asked for, and not where a session is resumed", function()
    local path = response("middle", "good", { known = { good = "valid" } })
    local peer = helper.s_server("good", "-status_file " .. path)
    local function talk(options)
      local conn = helper.keep(tcp.connect_tls("localhost", peer.port, trusting(options)))
      conn:send "hello\n"
      conn:read_line()
      local info, session = conn:info().tls, conn:session()
      conn:close()
      return info, session
    end
    local info, lax = talk {}
    assert.is_nil(info.ocsp)
    local _, session = talk { ocsp = "report" }
    info = talk { ocsp = "report", session = session }
    assert.is_true(info.resumed)
    assert.is_nil(info.ocsp)
    -- Of a profile that did not ask.
    info = talk { ocsp = "report", session = lax }
    assert.is_false(info.resumed)
    assert.equal("good", info.ocsp.status)
  end)

  it("with start_tls", function()
    local path = response("middle", "good", { known = { good = "revoked" } })
    local peer = helper.s_server("good", "-status_file " .. path)
    local conn = tcp.connect("localhost", peer.port, helper.timeout)
    conn = helper.keep(conn:start_tls({ ocsp = "report", ca_file = helper.pem "root", server_name = "localhost" }))
    assert.equal("revoked", conn:info().tls.ocsp.status)
  end)
end)
