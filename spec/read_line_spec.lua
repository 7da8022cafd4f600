-- `read_line`: a line without its end.

local helper = require "spec.support.helper"

for _, over in ipairs(helper.kinds) do
  describe("read_line over " .. over.name, function()
    after_each(helper.finish)

    local connect = over.connect

    it("takes off \\n or \\r\\n, and nothing else", function()
      local conn = connect [[
        c.send(b"one\ntwo\r\n\n\r\nthree\r\r\nfo\rur\n\rfive\n\0\xff\n")
        c.hold()
      ]]
      for _, line in ipairs { "one", "two", "", "", "three\r", "fo\rur", "\rfive", "\0\255" } do
        assert.equal(line, conn:read_line())
      end
    end)

    it("counts a last line without newline", function()
      local conn = connect [[ c.send(b"one\nlast") ]]
      assert.equal("one", conn:read_line())
      assert.equal("last", conn:read_line())
      helper.fails("closed", "^read_line 127%.0%.0%.1:%d+: closed: ", function() conn:read_line() end)
    end)

    it("leaves a carriage return alone that ends the stream", function()
      assert.equal("last\r", connect([[ c.send(b"last\r") ]]):read_line())
    end)

    it("is closed where nothing comes", function()
      local conn = connect ""
      helper.fails("closed", "^read_line ", function() conn:read_line() end)
      helper.fails("closed", "^read_line ", function() conn:read_line() end)
    end)

    it("joins a line that comes in pieces, also between \\r and \\n", function()
      local conn = connect [[ c.drip(b"one\r\ntwo\nlast") ]]
      assert.equal("one", conn:read_line())
      assert.equal("two", conn:read_line())
      assert.equal("last", conn:read_line())
    end)

    it("gives long lines", function()
      local conn = connect [[
        for i in range(5): c.send(b"%d" % i * 300000 + b"\r\n")
      ]]
      for i = 0, 4 do assert.equal(("%d"):format(i):rep(300000), conn:read_line()) end
    end)

    it("gives many short ones", function()
      local conn = connect [[ c.send(b"".join(b"line %d\n" % i for i in range(20000))) ]]
      for i = 0, 19999 do
        local line = conn:read_line()
        if line ~= "line " .. i then assert.equal("line " .. i, line) end
      end
    end)

    it("leaves to other reads what is behind it, however many lines were read before", function()
      local conn = connect [[
        for i in range(300): c.send(b"".join(b"line %d\n" % j for j in range(i)) + b"0123456789abcdef")
        c.send(b"end")
      ]]
      local reads = {
        function() return conn:read(16) end,
        function() return conn:read_until "f" .. "f" end,
        function()
          conn:pending()
          return conn:read(10) .. conn:recv(1) .. conn:read(5)
        end,
      }
      for i = 0, 299 do
        for j = 0, i - 1 do
          local line = conn:read_line(j % 50 == 49 and 100 or nil)
          if line ~= "line " .. j then assert.equal("line " .. j, line) end
        end
        assert.equal("0123456789abcdef", reads[i % 3 + 1]())
      end
      assert.equal("end", conn:read_line())
    end)

    it("goes on after a timeout, having lost nothing", function()
      local conn, peer = connect([[
        for part in (b"half ", b"a line\r", b"\nnext\n"):
          c.send(part)
          c.wait()
      ]], { timeout = 0.05, connect_timeout = helper.timeout })
      helper.fails("timeout", "^read_line ", function() conn:read_line() end)
      peer:go()
      helper.fails("timeout", "^read_line ", function() conn:read_line() end)
      peer:go()
      assert.equal("half a line", conn:read_line())
      assert.equal("next", conn:read_line())
    end)

    it("leaves what follows the line", function()
      local conn = connect [[ c.send(b"line\n[1]rest") ]]
      assert.equal("line", conn:read_line())
      assert.same({ 1 }, conn:read_json())
      assert.equal("rest", conn:read_line())
    end)

    describe("with a limit", function()
      it("counts the line without its end", function()
        local conn = connect [[ c.send(b"12345\r\n12345\n12345") ]]
        for _ = 1, 3 do assert.equal("12345", conn:read_line(5)) end
      end)

      it("is too_large with one byte more, and keeps the line", function()
        for _, ending in ipairs { [[\n]], [[\r\n]], "" } do
          local conn = connect(('c.send(b"123456%s")'):format(ending))
          helper.fails("too_large", "^read_line .*%f[%d]5%f[%D]", function() conn:read_line(5) end)
          assert.equal("123456", conn:read_line(6))
        end
      end)

      it("is too_large at once, though no end of the line has come", function()
        local conn = connect [[
          c.send(b"12345678")
          c.hold()
        ]]
        helper.at_once(function()
          helper.fails("too_large", "", function() conn:read_line(5) end)
        end)
      end)

      it("may be none: an empty line", function()
        local conn = connect [[ c.send(b"\n\r\nx\n") ]]
        assert.equal("", conn:read_line(0))
        assert.equal("", conn:read_line(0))
        helper.fails("too_large", "", function() conn:read_line(0) end)
      end)

      -- LuaJIT may have the next line in a block that a call with another limit has taken.
      it("holds for its own call alone, after whatever other reads", function()
        local conn = connect [[
          for i in range(3000): c.send(b"x" * (i % 7) + (b"\n", b"\r\n")[i % 2])
          c.hold()
        ]]
        local kinds = {
          function() return conn:read_line() end,
          function(length) return conn:read_line(length) end,
          function(length) return conn:read_line(tostring(length)) end,
          function(length) return (conn:read_line(length, "keep"):gsub("\r?\n$", "")) end,
          function(length)
            if length > 0 then
              helper.fails("too_large", "^read_line ", function() conn:read_line(length - 1) end)
            end
            return conn:read_line(1e6)
          end,
          function() return conn:read_line(2 ^ 40) end,
          function() return conn:lines()() end,
          function(length) return (conn:read_until "\n":sub(1, length)) end,
        }
        for i = 0, 2999 do
          -- Each kind several times in a row, and each after each.
          local kind = kinds[math.floor(i / (1 + math.floor(i / 600))) * 5 % #kinds + 1]
          local length = i % 7
          assert.equal(("x"):rep(length), kind(length))
        end
      end)

      it("is max_buffer at most", function()
        local conn = connect([[
          try: c.send(b"x" * 100000)
          except OSError: pass
          c.hold()
        ]], { max_buffer = 1000 })
        helper.fails("too_large", "^read_line .*1000", function() conn:read_line() end)
      end)
    end)

    it("wants a number, or nothing, for its limit", function()
      local conn = connect [[ c.send(b"a\nb\n") ]]
      assert.equal("a", conn:read_line(nil))
      assert.equal("b", conn:read_line "10")
      helper.misuse("bad argument #1 to 'read_line' (number expected, got table)", function() conn:read_line {} end)
      helper.misuse("bad argument #1 to 'read_line' (number expected, got string)",
        function() conn:read_line "*l" end)
    end)

    it("wants a whole number for its limit, also where lines were read before", function()
      local conn = connect [[
        c.send(b"a\n" * 100)
        c.hold()
      ]]
      for _, wrong in ipairs { -1, 1.5, 0 / 0, math.huge, 2 ^ 70, {}, "x", false } do
        for _ = 1, 3 do assert.equal("a", conn:read_line(10)) end
        local before = conn:info().bytes_read
        assert.is_false((pcall(conn.read_line, conn, wrong)))
        assert.equal(before, conn:info().bytes_read)
      end
    end)
  end)
end
