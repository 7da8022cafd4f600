-- `recv`: what there is, as soon as there is anything.

local helper = require "spec.support.helper"

for _, over in ipairs(helper.kinds) do
  describe("recv over " .. over.name, function()
    after_each(helper.finish)

    local connect = over.connect

    it("gives what there is, though the stream goes on", function()
      local conn, peer = connect [[
        c.send(b"hel")
        c.wait()
        c.send(b"lo")
      ]]
      assert.equal("hel", conn:recv())
      peer:go()
      assert.equal("lo", conn:recv())
    end)

    it("gives an empty string at the end, again and again", function()
      local conn = connect [[ c.send(b"x") ]]
      assert.equal("x", conn:recv())
      for _ = 1, 3 do assert.equal("", conn:recv()) end
    end)

    it("gives at most 8192 bytes, or what it is told", function()
      local conn = connect [[
        c.send(b"x" * 50000)
        c.hold()
      ]]
      -- All of it has come before the first call that measures.
      local got = #conn:recv(1)
      assert.equal(1, got)
      while got < 20000 do
        local part = #conn:recv()
        assert.is_true(part >= 1 and part <= 8192, part .. " bytes")
        got = got + part
      end
      while got < 40000 do
        local part = #conn:recv(100)
        assert.is_true(part >= 1 and part <= 100, part .. " bytes")
        got = got + part
      end
      for _ = 1, 10 do assert.equal(1, #conn:recv "1") end
      got = got + 10
      while got < 50000 do
        local part = #conn:recv(1e6)
        assert.is_true(part >= 1)
        got = got + part
      end
      assert.equal(50000, got)
    end)

    it("cuts nothing and adds nothing", function()
      local conn = connect [[
        for i in range(300): c.send(bytes([i % 251]) * 997)
      ]]
      local parts, sizes = {}, { 1, 7, 8192, 100, 4096, 65536 }
      while true do
        local part = conn:recv(sizes[#parts % #sizes + 1])
        if part == "" then break end
        parts[#parts + 1] = part
      end
      local all = table.concat(parts)
      assert.equal(300 * 997, #all)
      for i = 0, 299 do
        assert.equal(string.char(i % 251):rep(997), all:sub(i * 997 + 1, (i + 1) * 997))
      end
    end)

    it("takes no longer than its timeout, and loses nothing then", function()
      local conn, peer = connect([[
        c.wait()
        c.send(b"late")
      ]], { timeout = 0.05, connect_timeout = helper.timeout })
      helper.fails("timeout", "^recv 127%.0%.0%.1:%d+: timeout: ", function() conn:recv() end)
      helper.fails("timeout", "", function() conn:recv(1) end)
      peer:go()
      peer:result()
      assert.equal("late", conn:recv())
    end)

    it("is closed after a reset", function()
      local conn, peer = connect [[
        c.wait()
        c.reset()
      ]]
      helper.prepare_reset(over, conn)
      peer:go()
      helper.fails("closed", "^recv 127%.0%.0%.1:%d+: closed: .*reset", function() conn:recv() end)
      helper.fails("closed", "", function() conn:recv() end)
    end)

    it("hands out what came before a reset first", function()
      local conn, peer = connect [[
        c.send(b"abcdef")
        c.wait()
        c.reset()
      ]]
      assert.equal("ab", conn:recv(2))
      helper.prepare_reset(over, conn)
      peer:go()
      peer:result()
      assert.equal("cdef", conn:recv())
      helper.fails("closed", "", function() conn:recv() end)
    end)

    it("gives what other reads have left", function()
      local conn = connect [[ c.send(b'{"a": 1} and more') ]]
      assert.same({ a = 1 }, conn:read_json())
      local rest = {}
      repeat
        rest[#rest + 1] = conn:recv(3)
      until rest[#rest] == ""
      assert.equal(" and more", table.concat(rest))
    end)
  end)
end
