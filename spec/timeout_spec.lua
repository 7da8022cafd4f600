-- Timeouts: a total for each call, never less, hardly more, whatever the peer does. Those that take
-- seconds are in timeout_long_spec.lua.

local helper = require "spec.support.helper"
local tcp = require "tcp"

local much = ("x"):rep(1.5e7) -- more than any kernel takes without a reader

for _, over in ipairs(helper.kinds) do
  describe("a timeout over " .. over.name, function()
    after_each(helper.finish)

    local function connect(code, seconds)
      return (over.connect(code, { timeout = seconds, connect_timeout = helper.timeout }))
    end

    local reads = {
      read_str = [[ c.drip(b"x" * 500, 0.005) ]],
      read_json = [[ c.drip(b'"' + b"x" * 500, 0.005) ]],
      read_json_packet = [[ c.drip(packet("x" * 500), 0.005) ]],
    }

    for _, seconds in ipairs { 0.05, 0.2 } do
      for method, dripping in pairs(reads) do
        it(("is %s s for all of %s, though bytes drip"):format(seconds, method), function()
          helper.takes(seconds, function() return connect(dripping, seconds) end, function(conn)
            helper.fails("timeout", "^" .. method .. " ", function() conn[method](conn) end)
          end)
        end)
      end

      for _, method in ipairs { "read_str", "recv", "read_json", "read_json_packet" } do
        it(("is %s s for %s, where nothing comes"):format(seconds, method), function()
          helper.takes(seconds, function() return connect([[ c.hold() ]], seconds) end, function(conn)
            helper.fails("timeout", "^" .. method .. " ", function() conn[method](conn) end)
          end)
        end)
      end

      for _, method in ipairs { "send", "write_json" } do
        it(("is %s s for %s, where nothing is read"):format(seconds, method), function()
          helper.takes(seconds, function() return connect([[ c.hold() ]], seconds) end, function(conn)
            helper.fails("timeout", "^" .. method .. " ", function() conn[method](conn, much) end)
          end)
        end)
      end
    end

    it("is one for a write whose bytes are taken slowly", function()
      helper.takes(0.2, function()
        return connect([[
          c.raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
          for _ in range(1000):
            if not c.recv(4096): break
            time.sleep(0.002)
        ]], 0.2)
      end, function(conn)
        helper.fails("timeout", "^send ", function() conn:send(much) end)
      end)
    end)

    it("asks for no time where the bytes are there", function()
      local conn, peer = over.connect([[
        c.send(packet(1) + packet(2))
        c.wait()
      ]])
      assert.equal(1, conn:read_json_packet())
      conn:set_timeout(1e-9)
      assert.equal(2, conn:read_json_packet())
      peer:go()
    end)

    it("waits without working", function()
      local conn = connect([[ c.hold() ]], 0.3)
      local before = os.clock()
      helper.fails("timeout", "", function() conn:read_str() end)
      assert.is_true(os.clock() - before < 0.1, "it spins")
    end)
  end)
end

describe("a timeout in the midst of TLS", function()
  after_each(helper.finish)

  it("comes in the handshake, however its bytes drip", function()
    for _, seconds in ipairs { 0.2, 0.5 } do
      -- The beginning of a record that would be 512 bytes long.
      for _, code in ipairs { [[ c.hold() ]], [[ c.drip(b"\x16\x03\x03\x02\x00" + b"x" * 500, 0.005) ]] } do
        helper.takes(seconds, function() return helper.listen(code) end, function(peer)
          helper.fails("timeout", "TLS handshake", function()
            local conn = tcp.connect_tls("127.0.0.1", peer.port, seconds)
            conn:close()
          end)
        end)
      end
    end
  end)

  it("comes in the midst of a record, of which nothing is lost", function()
    local conn = helper.connect_tls([[ c.send(b"x" * 500) ]], { timeout = 0.05, connect_timeout = 8 },
      { drip = true, pause = 0.001 })
    local timeouts, text = 0, nil
    for _ = 1, 100 do
      local ok, result = pcall(conn.read, conn, 500)
      if ok then
        text = result
        break
      end
      assert.matches(": timeout: 0 of 500 bytes", result)
      timeouts = timeouts + 1
    end
    assert.equal(("x"):rep(500), text)
    assert.is_true(timeouts > 3)
  end)
end)
