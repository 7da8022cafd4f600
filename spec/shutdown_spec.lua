-- `shutdown`: no more writes, while reading goes on.

local helper = require "spec.support.helper"

for _, over in ipairs(helper.kinds) do
  describe("shutdown over " .. over.name, function()
    after_each(helper.finish)

    local connect = over.connect

    it("ends what the peer reads, and gives nothing", function()
      local conn, peer = connect [[ return c.recv_all() ]]
      conn:send "all of it"
      assert.is_nil(conn:shutdown())
      assert.equal("all of it", peer:result())
      assert.is_true(conn:is_open())
    end)

    it("leaves reading as it was", function()
      local conn = connect [[
        request = c.recv_all()
        c.send(request[::-1])
        c.send_packet([1])
      ]]
      conn:send "hello"
      conn:shutdown()
      assert.equal("olleh", conn:read(5))
      assert.same({ 1 }, conn:read_json_packet())
      assert.equal("", conn:recv())
    end)

    it("refuses every later write", function()
      local conn = connect [[ c.recv_all() ]]
      conn:shutdown()
      for _, method in ipairs { "send", "write_str", "write_json", "write_json_packet", "write_packet" } do
        helper.fails("closed", "^" .. method .. " 127%.0%.0%.1:%d+: closed: ", function() conn[method](conn, "x") end)
      end
    end)

    it("may be said again", function()
      local conn = connect [[ c.recv_all() ]]
      for _ = 1, 3 do conn:shutdown() end
      assert.equal("", conn:read_str())
    end)

    it("that a reset has failed leaves the failure to the reader, behind what had come", function()
      if over.is_unix then return end -- it does not fail
      local options = over.name == "TLS" and { close_notify = "ignore" } or nil
      local conn, peer = connect("c.send(b'last words'); c.wait(); c.reset()", options)
      peer:go()
      peer:result()
      helper.fails("closed", "^shutdown ", function() conn:shutdown() end)
      assert.equal("last words", conn:read(10))
      helper.fails("closed", "connection reset by peer$", function() conn:read_str() end)
    end)

    it("sends what is queued first, within the timeout", function()
      local conn, peer = connect([[
        c.wait()
        return len(c.recv_all())
      ]], { timeout = 0.05, connect_timeout = helper.timeout })
      helper.fails("timeout", "^send ", function() conn:send(("x"):rep(3e7)) end)
      helper.fails("timeout", "^shutdown ", function() conn:shutdown() end)
      peer:go()
      while not pcall(conn.shutdown, conn) do end
      assert.equal(3e7, peer:result())
    end)
  end)
end
