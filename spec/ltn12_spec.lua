-- `source` and `sink`, for LTN12.

local helper = require "spec.support.helper"
local tcp = require "tcp"
local safe = require "tcp.safe"

local has_ltn12, ltn12 = pcall(require, "ltn12")

for _, over in ipairs(helper.kinds) do
  describe("LTN12 over " .. over.name, function()
    after_each(helper.finish)

    local connect = over.connect

    it("has a source that gives blocks and then nil", function()
      local conn = connect [[ c.send(b"x" * 100000) ]]
      local source, size = conn:source(1000), 0
      while true do
        local block, message = source()
        if not block then
          assert.is_nil(message)
          break
        end
        assert.is_true(#block >= 1 and #block <= 1000)
        size = size + #block
      end
      assert.equal(100000, size)
    end)

    it("has a source that returns its failure", function()
      for _, module in ipairs { tcp, safe } do
        local conn = connect([[
          c.send(b"abc")
          c.hold()
        ]], { timeout = 0.05, connect_timeout = helper.timeout }, nil, module)
        local source = conn:source()
        assert.equal("abc", source())
        local block, message = source()
        assert.is_nil(block)
        assert.matches(": timeout: ", message)
      end
    end)

    it("has a sink that takes blocks, and a last nil", function()
      local conn, peer = connect [[ return c.recv_exactly(6) ]]
      local sink = conn:sink()
      assert.equal(1, sink "abc")
      assert.equal(1, sink "")
      assert.equal(1, sink "def")
      assert.equal(1, sink(nil))
      assert.is_true(conn:is_open())
      assert.equal("abcdef", peer:result())
    end)

    it("has a sink that returns its failure", function()
      local conn = connect ""
      local sink = conn:sink()
      conn:close()
      local ok, message = sink "x"
      assert.is_nil(ok)
      assert.matches(": closed: ", message)
    end)

    it("is driven by ltn12.pump.all", function()
      if not has_ltn12 then return pending "ltn12 is not installed" end
      local from = connect [[ c.send(bytes(range(256)) * 1000) ]]
      local to, peer = connect [[ return c.recv_exactly(256000) == bytes(range(256)) * 1000 ]]
      assert.equal(1, ltn12.pump.all(from:source(), to:sink()))
      assert.is_true(peer:result())
    end)
  end)
end
