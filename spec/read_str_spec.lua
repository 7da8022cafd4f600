-- `read_str`: everything until the end of the stream.

local helper = require "spec.support.helper"

for _, over in ipairs(helper.kinds) do
  describe("read_str over " .. over.name, function()
    after_each(helper.finish)

    local connect = over.connect

    it("gives everything until the end", function()
      assert.equal("hello", connect([[ c.send(b"hello") ]]):read_str())
    end)

    it("gives an empty string where nothing comes", function()
      local conn = connect ""
      assert.equal("", conn:read_str())
      assert.equal("", conn:read_str())
    end)

    it("gives bytes, whatever they are", function()
      local all = {}
      for i = 0, 255 do all[i + 1] = string.char(i) end
      assert.equal(table.concat(all):rep(3), connect([[ c.send(bytes(range(256)) * 3) ]]):read_str())
    end)

    it("gathers what drips", function()
      assert.equal(("0123456789"):rep(10), connect([[ c.drip(b"0123456789" * 10) ]]):read_str())
    end)

    it("gathers megabytes", function()
      local said = connect([[
        for i in range(256): c.send(bytes([i]) * 20000)
      ]]):read_str()
      assert.equal(256 * 20000, #said)
      for i = 0, 255 do
        assert.equal(string.char(i):rep(20000), said:sub(i * 20000 + 1, (i + 1) * 20000))
      end
    end)

    it("can be called again at the end", function()
      local conn = connect [[ c.send(b"once") ]]
      assert.equal("once", conn:read_str())
      assert.equal("", conn:read_str())
      assert.equal("", conn:recv())
    end)

    it("goes on after a timeout, having lost nothing", function()
      local conn, peer = connect([[
        for part in (b"one ", b"two ", b"three"):
          c.send(part)
          c.wait()
      ]], { timeout = 0.05, connect_timeout = helper.timeout })
      for _ = 1, 3 do
        helper.fails("timeout", "^read_str 127%.0%.0%.1:%d+: timeout: ", function() conn:read_str() end)
        peer:go()
      end
      assert.equal("one two three", conn:read_str())
    end)

    it("says how far it had come when the time was up", function()
      local conn = connect([[
        c.send(b"seven b")
        c.hold()
      ]], { timeout = 0.05, connect_timeout = helper.timeout })
      helper.fails("timeout", "^read_str .*%f[%d]7 bytes", function() conn:read_str() end)
    end)

    it("leaves what came before a timeout to other reads", function()
      local conn = connect([[
        c.send(b"abc")
        c.hold()
      ]], { timeout = 0.05, connect_timeout = helper.timeout })
      helper.fails("timeout", "", function() conn:read_str() end)
      assert.equal("abc", conn:recv())
    end)

    it("is closed after a reset, and keeps what came before", function()
      local conn, peer = connect([[
        c.send(b"abc")
        c.wait()
        c.reset()
      ]], { timeout = 0.1, connect_timeout = helper.timeout })
      helper.fails("timeout", "", function() conn:read_str() end)
      helper.prepare_reset(over, conn)
      peer:go()
      peer:result()
      helper.fails("closed", "^read_str 127%.0%.0%.1:%d+: closed: .*reset", function() conn:read_str() end)
      helper.fails("closed", "", function() conn:read_str() end)
      assert.equal("abc", conn:recv())
      helper.fails("closed", "", function() conn:recv() end)
    end)

    describe("with a limit", function()
      it("gives as many bytes as that", function()
        assert.equal("12345", connect([[ c.send(b"12345") ]]):read_str(5))
        assert.equal("12345", connect([[ c.drip(b"12345") ]]):read_str(5))
        assert.equal("12345", connect([[ c.send(b"12345") ]]):read_str(1e6))
        assert.equal("12345", connect([[ c.send(b"12345") ]]):read_str "5")
        assert.equal("", connect(""):read_str(0))
      end)

      it("is too_large with one byte more, and keeps them all", function()
        local conn = connect [[ c.send(b"123456") ]]
        helper.fails("too_large", "^read_str 127%.0%.0%.1:%d+: too_large: .*%f[%d]5%f[%D]",
          function() conn:read_str(5) end)
        helper.fails("too_large", "", function() conn:read_str(0) end)
        assert.equal("123456", conn:read_str(6))
      end)

      it("is too_large at once, not at the end of the stream", function()
        local conn = connect [[
          c.send(b"123456")
          c.hold()
        ]]
        helper.at_once(function()
          helper.fails("too_large", "", function() conn:read_str(5) end)
        end)
        assert.equal("123456", conn:recv())
      end)

      it("needs the end of the stream, even when the limit is reached", function()
        local conn = connect([[
          c.send(b"12345")
          c.hold()
        ]], { timeout = 0.05, connect_timeout = helper.timeout })
        helper.fails("timeout", "", function() conn:read_str(5) end)
        assert.equal("12345", conn:recv())
      end)
    end)

    it("never gathers more than max_buffer", function()
      local conn = connect([[
        try: c.send(b"x" * (1 << 22))
        except OSError: pass
      ]], { max_buffer = 100000 })
      helper.fails("too_large", "^read_str .*100000", function() conn:read_str() end)
      helper.fails("too_large", "", function() conn:read_str(200000) end)
      assert.equal(1000, #conn:recv(1000))
      conn:close()
    end)

    it("gives exactly max_buffer bytes", function()
      local conn = connect([[ c.send(b"x" * 100000) ]], { max_buffer = 100000 })
      assert.equal(("x"):rep(100000), conn:read_str())
    end)
  end)
end
