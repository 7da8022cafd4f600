-- `read_until`: the bytes before a delimiter, which goes.

local helper = require "spec.support.helper"

for _, over in ipairs(helper.kinds) do
  describe("read_until over " .. over.name, function()
    after_each(helper.finish)

    local connect = over.connect

    it("gives what comes before, and takes the delimiter away", function()
      local conn = connect [[
        c.send(b"a,b,,c::d:\0:e\0f")
        c.hold()
      ]]
      assert.equal("a", conn:read_until ",")
      assert.equal("b", conn:read_until ",")
      assert.equal("", conn:read_until ",")
      assert.equal("c", conn:read_until "::")
      assert.equal("d", conn:read_until ":\0:")
      assert.equal("e", conn:read_until "\0")
      assert.equal("f", conn:recv())
    end)

    it("reads the head of a message, whatever it is cut into", function()
      local conn = connect [[
        c.drip(b"HTTP/1.1 200 OK\r\nA: b\r\n\r\nbody")
      ]]
      assert.equal("HTTP/1.1 200 OK\r\nA: b", conn:read_until "\r\n\r\n")
      assert.equal("body", conn:read_str())
    end)

    it("finds a delimiter that overlaps its own beginning", function()
      for _, case in ipairs {
        { "aab", "xaaab", "xa" }, { "abab", "aababab", "a" }, { "\r\n\r\n", "x\r\n\r\r\n\r\n", "x\r\n\r" },
        { "aaa", "aaaa", "" }, { "--end", "a---end", "a-" },
      } do
        local conn = connect(("c.drip(%s)"):format(helper.bytes(case[2])))
        assert.equal(case[3], conn:read_until(case[1]))
      end
    end)

    it("takes a number for the string that it is", function()
      local conn = connect [[ c.send(b"a12b") ]]
      assert.equal("a", conn:read_until(12))
    end)

    it("takes long delimiters and long text", function()
      local conn = connect [[ c.send(b"y" * 200000 + b"x" * 100000 + b"z") ]]
      assert.equal(("y"):rep(200000), conn:read_until(("x"):rep(100000)))
      assert.equal("z", conn:read_str())
    end)

    it("is closed where the stream ends without it, and keeps what came", function()
      local conn = connect [[ c.send(b"no end\r\n") ]]
      helper.fails("closed", "^read_until 127%.0%.0%.1:%d+: closed: ", function() conn:read_until "\r\n\r\n" end)
      assert.equal("no end", conn:read_until "\r\n")
      helper.fails("closed", "", function() conn:read_until "\r\n" end)
    end)

    it("goes on after a timeout, having lost nothing", function()
      local conn, peer = connect([[
        for part in (b"text\r", b"\n\r", b"\nmore"):
          c.send(part)
          c.wait()
      ]], { timeout = 0.05, connect_timeout = helper.timeout })
      helper.fails("timeout", "^read_until ", function() conn:read_until "\r\n\r\n" end)
      peer:go()
      helper.fails("timeout", "^read_until ", function() conn:read_until "\r\n\r\n" end)
      peer:go()
      assert.equal("text", conn:read_until "\r\n\r\n")
      assert.equal("more", conn:recv())
    end)

    it("may look for something else after a timeout", function()
      local conn = connect([[
        c.send(b"a;b,c")
        c.hold()
      ]], { timeout = 0.05, connect_timeout = helper.timeout })
      helper.fails("timeout", "", function() conn:read_until "." end)
      assert.equal("a;b", conn:read_until ",")
      helper.fails("timeout", "", function() conn:read_until ";" end)
      assert.equal("c", conn:recv())
    end)

    it("has a limit that does not count the delimiter", function()
      local conn = connect [[ c.send(b"12345--123456--") ]]
      assert.equal("12345", conn:read_until("--", 5))
      helper.fails("too_large", "^read_until .*%f[%d]5%f[%D]", function() conn:read_until("--", 5) end)
      assert.equal("123456", conn:read_until("--", 6))
    end)

    it("is too_large at once, though no delimiter has come", function()
      local conn = connect [[
        c.send(b"12345678--")
        c.hold()
      ]]
      helper.at_once(function()
        helper.fails("too_large", "", function() conn:read_until("==", 5) end)
      end)
      -- A delimiter may still begin where the limit is reached.
      assert.equal("12345678", conn:read_until("--", 8))
    end)

    it("waits at its limit for a delimiter that has begun", function()
      local conn, peer = connect [[
        c.send(b"12345-")
        c.wait()
        c.send(b"-rest")
      ]]
      peer:go()
      assert.equal("12345", conn:read_until("--", 5))
      assert.equal("rest", conn:read_str())
    end)

    it("is max_buffer at most", function()
      local conn = connect([[
        try: c.send(b"x" * 100000)
        except OSError: pass
        c.hold()
      ]], { max_buffer = 1000 })
      helper.fails("too_large", "^read_until .*1000", function() conn:read_until "," end)
    end)

    it("wants a delimiter that is not empty", function()
      local conn = connect ""
      helper.misuse("bad argument #1 to 'read_until' (string expected, got nil)", function() conn:read_until() end)
      helper.misuse("bad argument #1 to 'read_until' (string expected, got table)",
        function() conn:read_until {} end)
      helper.misuse("bad argument #2 to 'read_until' (number expected, got string)",
        function() conn:read_until(",", "many") end)
      local ok, message = pcall(function() conn:read_until "" end)
      assert.is_false(ok)
      assert.matches("bad argument #1 to 'read_until' %(", message)
    end)
  end)
end
