-- `partial_chain`: which trusted certificate may end the path, by default a root alone.

local authority = require "spec.support.authority"
local helper = require "spec.support.helper"
local tcp = require "tcp"
local safe = require "tcp.safe"

local ca = "basicConstraints = critical, CA:TRUE\nkeyUsage = critical, keyCertSign, cRLSign"
  .. "\nsubjectKeyIdentifier = hash"
local past = "20200101000000Z 20210101000000Z"

local function pem(name)
  return helper.contents(name:find "/" and name or helper.pem(name))
end

-- Connects to a server with this certificate, trusting what the options say.
local function connect(certificate, options)
  local peer = helper.listen([[ c.send(b"hello") ]], { tls = certificate })
  local all = { timeout = helper.timeout }
  for name, value in pairs(options) do all[name] = value end
  return safe.connect_tls("localhost", peer.port, all)
end

-- The common names of the path that verified.
local function path(certificate, options)
  local conn, message = connect(certificate, options)
  assert(conn, message)
  helper.keep(conn)
  assert.equal("hello", conn:read_str())
  local info = conn:info().tls
  assert.is_true(info.verified)
  assert.is_nil(info.verify_error)
  local names = {}
  for i, each in ipairs(info.verified_chain) do names[i] = each.subject.CN end
  return names, info
end

local function is_refused(words, certificate, options)
  helper.fails_safely("certificate", ": certificate: " .. words .. "$", connect(certificate, options))
end

describe("partial_chain", function()
  local leaf

  setup(function()
    leaf = pem("good"):match "^.-END CERTIFICATE%-%-%-%-%-\n"
  end)

  teardown(authority.finish)
  after_each(helper.finish)

  it("lets an intermediate end the path, and a leaf", function()
    assert.same({ "localhost", "Specs Intermediate" }, path("good", { ca = pem "middle", partial_chain = true }))
    local names, info = path("good", { ca = leaf, partial_chain = true })
    assert.same({ "localhost" }, names)
    -- What was sent is still told.
    assert.equal(2, #info.chain)
    -- A leaf that is sent alone is enough where its issuer is trusted.
    assert.same({ "localhost", "Specs Intermediate" }, path("incomplete", { ca = pem "middle", partial_chain = true }))
    assert.same({ "localhost" }, path("self_signed", { ca = pem "self_signed", partial_chain = true }))
  end)

  it("takes the same from each place", function()
    local dir = authority.path "hashed"
    local file = authority.write(pem "middle")
    authority.run("mkdir %s; cp %s %s/$(openssl x509 -in %s -noout -subject_hash).0", dir, file, dir, file)
    for _, place in ipairs { { ca_file = file }, { ca_dir = dir }, { ca = pem "middle" } } do
      place.partial_chain = true
      assert.same({ "localhost", "Specs Intermediate" }, path("good", place))
    end
    for _, environment in ipairs {
      "SSL_CERT_DIR= SSL_CERT_FILE=" .. file, "SSL_CERT_FILE=/nonexistent SSL_CERT_DIR=" .. dir,
    } do
      local peer = helper.listen([[ c.send(b"hello") ]], { tls = "good" })
      local said = helper.run(([[
        local conn = require("tcp").connect_tls("localhost", %d, { partial_chain = true, timeout = 3 })
        io.write(conn:read_str(), #conn:info().tls.verified_chain)
      ]]):format(peer.port), environment)
      assert.equal("hello2", said)
    end
  end)

  it("ends the path at the first, whatever is above it", function()
    for _, above in ipairs {
      -- A root that has expired, and one of the same name with another key.
      pem(authority.issue("self", "/CN=Specs Root", ca, past)), pem(authority.issue("self", "/CN=Specs Root", ca)),
      pem "root", pem "old_middle",
    } do
      for _, both in ipairs { above .. pem "middle", pem "middle" .. above } do
        assert.same({ "localhost", "Specs Intermediate" }, path("good", { ca = both, partial_chain = true }))
      end
      for _, both in ipairs { above .. leaf, leaf .. above, above .. leaf .. pem "middle" } do
        assert.same({ "localhost" }, path("good", { ca = both, partial_chain = true }))
      end
    end
  end)

  it("does not keep a root from ending it", function()
    assert.same({ "localhost", "Specs Intermediate", "Specs Root" },
      path("good", { ca = pem "root", partial_chain = true }))
  end)

  it("accepts nothing else", function()
    is_refused("unknown issuer 'Specs Root' of 'Specs Intermediate', not among the trusted certificates given",
      "good", { ca = pem "stranger", partial_chain = true })
    is_refused("expired on .* %('localhost'%)", "expired", { ca = pem "middle", partial_chain = true })
    local expired = pem("expired"):match "^.-END CERTIFICATE%-%-%-%-%-\n"
    is_refused("expired on .* %('localhost'%)", "expired", { ca = expired, partial_chain = true })
    is_refused("expired on .* %('Old Intermediate'%)", "old_issuer", { ca = pem "old_middle", partial_chain = true })
    is_refused("host name mismatch: .*", "other_host", { ca = pem "middle", partial_chain = true })
    -- Another certificate of the same name and issuer.
    is_refused("unknown issuer .*", "rsa", { ca = leaf, partial_chain = true })
  end)

  it("is named where a chain stops at an intermediate that is trusted", function()
    local hint = "unknown issuer 'Specs Root' of 'Specs Intermediate', but 'Specs Intermediate' is trusted: "
      .. "partial_chain = true ends the chain there"
    is_refused(hint, "good", { ca = pem "middle" })
    is_refused(hint, "good", { ca = pem "middle", partial_chain = false })
    is_refused(hint, "incomplete", { ca_file = helper.pem "middle" })
    is_refused("unknown issuer 'Specs Root' of 'Specs Intermediate', but 'localhost' is trusted: partial_chain = true "
      .. "ends the chain there", "good", { ca = leaf })
    -- Not where it does not help.
    is_refused("unknown issuer 'Specs Root' of 'Specs Intermediate', not among the trusted certificates given",
      "good", { ca = pem "stranger" })
  end)

  it("holds for clients of a server", function()
    local function accepts(options)
      local settings = { cert_file = helper.pem "good", key_file = helper.pem("good", "key"), ca = pem "middle" }
      for name, value in pairs(options) do settings[name] = value end
      local listener = helper.keep(tcp.listen("127.0.0.1", 0, { tls = settings, timeout = helper.timeout }))
      helper.dial(listener:port(), [[
        try:
          c.handshake()
          return c.recv_all()
        except OSError:
          pass
      ]], { certificate = "client", server_name = "localhost" })
      local conn = helper.keep(listener:accept(helper.timeout))
      local ok, message = pcall(conn.handshake, conn)
      return ok and conn:info().tls.verified, message
    end
    assert.is_true((accepts { partial_chain = true }))
    local ok, message = accepts {}
    assert.is_false(ok)
    assert.matches("but 'Specs Intermediate' is trusted: partial_chain = true ends the chain there$", message)
  end)

  it("is a setting that a session must share", function()
    local peer = helper.s_server "good"
    local function talk(options)
      options.ca, options.timeout = pem "middle" .. pem "root", helper.timeout
      local conn = helper.keep(tcp.connect_tls("localhost", peer.port, options))
      conn:send "hello\n"
      conn:read_line()
      local info, session = conn:info().tls, conn:session()
      conn:close()
      return info.resumed, session
    end
    local _, lax = talk { partial_chain = true }
    assert.is_true((talk { partial_chain = true, session = lax }))
    assert.is_false((talk { session = lax }))
    local _, strict = talk {}
    assert.is_false((talk { partial_chain = true, session = strict }))
  end)
end)
