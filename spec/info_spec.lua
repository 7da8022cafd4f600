-- What a connection tells of itself: `info`, `fd`, `pending`.

local helper = require "spec.support.helper"
local tcp = require "tcp"

for _, over in ipairs(helper.kinds) do
  describe("info over " .. over.name, function()
    after_each(helper.finish)

    local connect = over.connect

    it("tells host and both addresses", function()
      local conn, peer = connect [[ c.hold() ]]
      local info = conn:info()
      if over.is_unix then
        -- unix_spec.lua has the rest.
        assert.is_nil(info.host)
        assert.is_nil(next(info.sock))
        assert.equal(tostring(conn), "tcp.Connection: unix:" .. info.peer.path)
        return
      end
      assert.equal("127.0.0.1", info.host)
      assert.same({ ip = "127.0.0.1", port = peer.port }, info.peer)
      assert.same({ ip = "127.0.0.1", port = peer:sees()[2] }, info.sock)
    end)

    it("tells of a closed connection what it told when that was closed", function()
      local conn, peer = connect [[
        c.send(b"hello")
        c.recv_exactly(3)
      ]]
      assert.equal("hello", conn:read(5))
      conn:send "abc"
      peer:result()
      local before = conn:info()
      conn:close()
      -- The kernel knows nothing of it any more.
      before.tcp = nil
      assert.same(before, conn:info())
      assert.equal(5, conn:info().bytes_read)
      collectgarbage()
      assert.same(before, conn:info())
    end)

    it("tells the host as it was given", function()
      local peer = helper.listen([[ c.hold() ]], { tls = over.name == "TLS" and "good" or nil })
      local options = { timeout = helper.timeout }
      if over.name == "TLS" then options.ca_file = helper.pem "root" end
      local open = over.name == "TLS" and tcp.connect_tls or tcp.connect
      local info = helper.keep(open("localhost", peer.port, options)):info()
      assert.equal("localhost", info.host)
      assert.equal("127.0.0.1", info.peer.ip)
      assert.is_true(info.timings.dns > 0)
    end)

    it("tells how long each phase took, in seconds", function()
      local before = helper.clock()
      local conn = connect [[ c.hold() ]]
      local all = helper.clock() - before + 0.02 -- the coarsest clock's grain
      local timings = conn:info().timings
      for _, name in ipairs { "dns", "connect", "total" } do
        assert.equal("number", type(timings[name]), name)
        assert.is_true(timings[name] >= 0 and timings[name] <= all, name)
      end
      assert.equal(over.name == "TLS" and "number" or "nil", type(timings.tls))
      local sum = timings.dns + timings.connect + (timings.tls or 0)
      assert.is_true(math.abs(sum - timings.total) < 1e-9)
      assert.is_true(timings.total > 0)
      assert.equal(0, timings.dns) -- it is an address
      if timings.tls then assert.is_true(timings.tls > 0) end
    end)

    it("counts the script's bytes both ways", function()
      local conn, peer = connect [[
        c.recv_exactly(1009)
        c.send(b"x" * 12345)
      ]]
      assert.equal(0, conn:info().bytes_read)
      assert.equal(0, conn:info().bytes_written)
      conn:send(("y"):rep(1000))
      conn:write_json_packet { 1 }
      conn:send "12"
      peer:result()
      conn:read_str()
      assert.equal(12345, conn:info().bytes_read)
      assert.equal(1009, conn:info().bytes_written)
    end)

    it("is a fresh table each time", function()
      local conn = connect [[ c.hold() ]]
      local peer = conn:info().peer
      conn:info().peer.ip = "somewhere"
      assert.same(peer, conn:info().peer)
    end)

    it("has a descriptor", function()
      local conn = connect [[ c.hold() ]]
      local fd = conn:fd()
      assert.equal("number", type(fd))
      assert.is_true(fd > 2 and fd % 1 == 0)
      assert.equal(fd, conn:getfd())
      assert.equal(fd, conn:pollfd())
      conn:close()
      helper.fails("closed", "^fd ", function() conn:fd() end)
    end)

    it("tells how much is buffered", function()
      local conn = connect [[
        c.send(b"one\ntwo\n")
        c.hold()
      ]]
      assert.equal(0, conn:pending())
      assert.equal("one", conn:read_line())
      assert.equal(4, conn:pending())
      assert.is_true(conn:dirty())
      assert.equal("two", conn:read_line())
      assert.equal(0, conn:pending())
      assert.is_false(conn:dirty())
    end)

    it("is refused once the connection is closed", function()
      local conn = connect ""
      conn:close()
      for _, method in ipairs { "pending", "fd", "set_timeout", "set_nodelay", "set_keepalive", "flush" } do
        helper.fails("closed", "^" .. method .. " 127%.0%.0%.1:%d+: closed: ",
          function() conn[method](conn, method == "set_timeout" and 1 or true) end)
      end
    end)
  end)
end
