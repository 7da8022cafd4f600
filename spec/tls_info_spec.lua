-- What a TLS connection tells of its handshake.

local helper = require "spec.support.helper"
local tcp = require "tcp"

describe("info over TLS", function()
  after_each(helper.finish)

  it("tells version, cipher, name and verdict", function()
    for _, version in ipairs { "1.2", "1.3" } do
      local peer = helper.listen([[ c.hold() ]], { tls = "good", version = version })
      local conn = helper.keep(tcp.connect_tls("localhost", peer.port,
        { timeout = helper.timeout, ca_file = helper.pem "root" }))
      local tls = conn:info().tls
      assert.equal("TLSv" .. version, tls.version)
      assert.equal("string", type(tls.cipher))
      assert.equal("localhost", tls.server_name)
      assert.is_true(tls.verified)
      assert.is_nil(tls.verify_error)
      assert.is_false(tls.resumed)
      assert.is_nil(tls.alpn)
    end
  end)

  it("is missing on a plain connection", function()
    assert.is_nil(helper.connect(""):info().tls)
  end)
end)
