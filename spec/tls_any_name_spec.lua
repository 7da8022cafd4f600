-- What a name has to do with verification: `verify = "chain"`, `server_name = false`, and servers
-- whose clients may show a certificate (`verify = "optional"`).

local helper = require "spec.support.helper"
local tcp = require "tcp"
local safe = require "tcp.safe"

local function connect(options, certificate)
  local peer = helper.listen([[ c.send(b"hello\n"); c.hold() ]], { tls = certificate or "good" })
  return helper.keep(safe.connect_tls("127.0.0.1", peer.port, helper.trusting(options)))
end

describe("verify = 'chain'", function()
  after_each(helper.finish)

  it("takes a certificate for another name, and no other chain", function()
    for _, name in ipairs { "localhost", "elsewhere.example", "192.0.2.1" } do
      local conn = connect { verify = "chain", server_name = name }
      assert.equal("hello", conn:read_line())
      assert.is_true(conn:info().tls.verified)
      assert.equal(name, conn:info().tls.server_name)
    end
    helper.fails_safely("certificate", "", connect({ verify = "chain" }, "self_signed"))
    helper.fails_safely("certificate", "expired", connect({ verify = "chain" }, "expired"))
  end)

  it("is another setting than `true`, and so resumes no session of it", function()
    local server = helper.s_server "good"
    local function visit(options)
      local conn = helper.keep(tcp.connect_tls("127.0.0.1", server.port, helper.trusting(options)))
      conn:send "x\n"
      conn:read_line()
      local resumed, session = conn:info().tls.resumed, conn:session()
      conn:close()
      return resumed, session
    end
    local _, kept = visit { verify = "chain", server_name = "localhost" }
    assert.is_true((visit { verify = "chain", server_name = "localhost", session = kept }))
    assert.is_false((visit { server_name = "localhost", session = kept }))
  end)

  it("is no word of a server", function()
    for _, word in ipairs { "chain", "none", "" } do
      local ok, message = pcall(tcp.listen, "127.0.0.1", 0, { tls = { verify = word } })
      assert.is_false(ok)
      assert.matches("option 'verify': boolean expected, got string", message, 1, true)
    end
    for _, word in ipairs { "optional", "none", "" } do
      local ok, message = pcall(tcp.connect_tls, "127.0.0.1", 1, { verify = word })
      assert.is_false(ok)
      assert.matches("option 'verify': boolean expected, got string", message, 1, true)
    end
  end)
end)

describe("server_name = false", function()
  after_each(helper.finish)

  it("sends no name, and verifies the chain alone", function()
    local conn = connect { server_name = false }
    assert.equal("hello", conn:read_line())
    assert.is_nil(conn:info().tls.server_name)
    assert.is_true(conn:info().tls.verified)
    helper.fails_safely("certificate", "", connect({ server_name = false }, "self_signed"))
  end)

  it("is what start_tls takes, too, also over a Unix socket, which has no host", function()
    for _, over in ipairs { helper.connect, helper.connect_unix } do
      local conn = over [[
        c.handshake("good")
        c.send(b"hello\n")
        c.hold()
      ]]
      local tls = helper.keep(conn:start_tls { server_name = false, ca_file = helper.pem "root" })
      assert.equal("hello", tls:read_line())
      assert.is_nil(tls:info().tls.server_name)
    end
  end)

  it("goes with `false` alone", function()
    local ok, message = pcall(tcp.connect_tls, "127.0.0.1", 1, { server_name = true })
    assert.is_false(ok)
    assert.matches("bad argument #3 to 'connect_tls'", message, 1, true)
  end)
end)

describe("verify = 'optional'", function()
  after_each(helper.finish)

  it("takes clients without a certificate, and verifies those that show one", function()
    local listener = helper.keep(safe.listen("127.0.0.1", 0, { timeout = helper.timeout, tls = {
      cert_file = helper.pem "good", key_file = helper.pem("good", "key"), ca_file = helper.pem "root",
      verify = "optional" } }))
    for _, certificate in ipairs { "client", "none", "client_stranger" } do
      helper.dial(listener:port(), [[
        try:
          c.send(b"hello\n")
          c.recv_all()
        except OSError:
          pass
      ]], { tls = true, server_name = "localhost", certificate = certificate ~= "none" and certificate or nil })
      local conn = helper.keep(listener:accept(helper.timeout))
      local line, message, code = conn:read_line()
      if certificate == "client_stranger" then
        assert.equal("certificate", code, message)
      else
        assert.equal("hello", line, message)
        assert.equal(certificate == "client", conn:info().tls.certificate ~= nil)
        assert.equal(certificate == "client", conn:info().tls.verified)
      end
      conn:close()
    end
  end)
end)
