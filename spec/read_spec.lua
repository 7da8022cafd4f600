-- `read`: exactly so many bytes.

local helper = require "spec.support.helper"

for _, over in ipairs(helper.kinds) do
  describe("read over " .. over.name, function()
    after_each(helper.finish)

    local connect = over.connect

    it("gives exactly as many bytes as it is asked for", function()
      local conn = connect [[
        c.send(b"hello world")
        c.hold()
      ]]
      assert.equal("hello", conn:read(5))
      assert.equal(" ", conn:read(1))
      assert.equal("world", conn:read "5")
    end)

    it("gives an empty string for none, at any time", function()
      local conn = connect [[ c.send(b"x") ]]
      assert.equal("", conn:read(0))
      assert.equal("x", conn:read(1))
      assert.equal("", conn:read(0))
      helper.fails("closed", "^read ", function() conn:read(1) end)
      assert.equal("", conn:read(0))
    end)

    it("gathers what drips", function()
      local conn = connect [[
        c.drip(b"0123456789" * 5)
        c.hold()
      ]]
      assert.equal(("0123456789"):rep(5), conn:read(50))
    end)

    it("gives megabytes, byte for byte", function()
      local conn = connect [[
        for i in range(256): c.send(bytes([i]) * 20000)
      ]]
      local said = conn:read(256 * 20000 - 1)
      for i = 0, 254 do
        assert.equal(string.char(i):rep(20000), said:sub(i * 20000 + 1, (i + 1) * 20000))
      end
      assert.equal(("\255"):rep(19999), said:sub(255 * 20000 + 1))
      assert.equal("\255", conn:read_str())
    end)

    it("is closed where the stream ends too early, and keeps what came", function()
      local conn = connect [[ c.send(b"hel") ]]
      helper.fails("closed", "^read 127%.0%.0%.1:%d+: closed: .*3 of 5", function() conn:read(5) end)
      assert.equal("he", conn:read(2))
      helper.fails("closed", "1 of 5", function() conn:read(5) end)
      assert.equal("l", conn:read_str())
    end)

    it("goes on after a timeout, having lost nothing", function()
      local conn, peer = connect([[
        for part in (b"he", b"ll", b"o!"):
          c.send(part)
          c.wait()
      ]], { timeout = 0.05, connect_timeout = helper.timeout })
      helper.fails("timeout", "^read .*2 of 5 bytes", function() conn:read(5) end)
      peer:go()
      helper.fails("timeout", "^read .*4 of 5 bytes", function() conn:read(5) end)
      peer:go()
      assert.equal("hello", conn:read(5))
      assert.equal("!", conn:recv())
    end)

    it("may be asked for less after a timeout", function()
      local conn = connect([[
        c.send(b"abc")
        c.hold()
      ]], { timeout = 0.05, connect_timeout = helper.timeout })
      helper.fails("timeout", "", function() conn:read(10) end)
      assert.equal("ab", conn:read(2))
      assert.equal("c", conn:read(1))
    end)

    it("is too_large over max_buffer, whatever has come", function()
      local conn = connect([[ c.send(b"x" * 1000) ]], { max_buffer = 1000 })
      helper.fails("too_large", "^read 127%.0%.0%.1:%d+: too_large: .*1000", function() conn:read(1001) end)
      assert.equal(1000, #conn:read(1000))
    end)

    it("allocates nothing on the script's word alone", function()
      local conn = connect([[
        c.send(b"abc")
        c.hold()
      ]], { timeout = 0.1, connect_timeout = helper.timeout })
      local before = helper.memory "VmSize"
      helper.fails("timeout", "3 of 200000000", function() conn:read(2e8) end)
      assert.is_true(helper.memory "VmSize" - before < 2 ^ 26)
    end)

    it("wants a number of bytes", function()
      local conn = connect ""
      helper.misuse("bad argument #1 to 'read' (number expected, got nil)", function() conn:read() end)
      helper.misuse("bad argument #1 to 'read' (number expected, got string)", function() conn:read "*a" end)
      helper.misuse("bad argument #1 to 'read' (number has no integer representation)",
        function() conn:read(1.5) end)
      for _, n in ipairs { -1, 0 / 0, -math.huge, math.huge } do
        local ok, message = pcall(function() conn:read(n) end)
        assert.is_false(ok)
        assert.matches("bad argument #1 to 'read'", message)
      end
    end)
  end)
end
