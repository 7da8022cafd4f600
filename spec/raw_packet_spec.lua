-- Packets as they are: `read_packet`, `write_packet`, `skip_packet`.

local helper = require "spec.support.helper"
local tcp = require "tcp"

for _, over in ipairs(helper.kinds) do
  describe("a packet over " .. over.name, function()
    after_each(helper.finish)

    local connect = over.connect

    describe("read_packet", function()
      it("gives the body, whatever it is", function()
        local conn = connect [[ c.send(packet(b"not JSON") + packet(b"") + packet(b"\0\xff") + packet(b"[1]")) ]]
        for _, body in ipairs { "not JSON", "", "\0\255", "[1]" } do assert.equal(body, conn:read_packet()) end
        helper.fails("closed", "^read_packet 127%.0%.0%.1:%d+: closed: ", function() conn:read_packet() end)
      end)

      it("takes what drips, and leaves what follows", function()
        local conn = connect [[ c.drip(packet(b"hello") + b"rest") ]]
        assert.equal("hello", conn:read_packet())
        assert.equal("rest", conn:read_str())
      end)

      it("has the packets' limit", function()
        local conn = connect [[ c.send(packet(b"x" * 512000) + b"\x00\x07\xd0\x01") ]]
        assert.equal(512000, #conn:read_packet())
        helper.fails("too_large", "^read_packet .*512001.*512000", function() conn:read_packet() end)
        helper.fails("too_large", "", function() conn:read_json_packet() end)
      end)

      it("keeps what came, where the stream ends or the time is up", function()
        local conn = connect([[
          c.send(b"\0\0\0\x05ab")
          c.wait()
        ]], { timeout = 0.05, connect_timeout = helper.timeout })
        helper.fails("timeout", "^read_packet .*2 of 5 bytes", function() conn:read_packet() end)
        assert.equal("\0\0\0\5ab", conn:recv())
      end)
    end)

    describe("write_packet", function()
      it("sends the length and the bytes, and gives nothing", function()
        local conn, peer = connect [[ return c.recv_all() ]]
        assert.is_nil(conn:write_packet "\0\255 {")
        conn:write_packet ""
        conn:write_packet(12)
        conn:close()
        assert.equal("\0\0\0\4\0\255 {\0\0\0\0\0\0\0\00212", peer:result())
      end)

      it("has the packets' limit", function()
        local conn, peer = connect [[ return len(c.recv_packet()), c.recv_packet() ]]
        helper.fails("too_large", "^write_packet .*512001.*512000",
          function() conn:write_packet(("x"):rep(512001)) end)
        conn:write_packet(("x"):rep(512000))
        conn:write_packet "end"
        assert.same({ 512000, "end" }, peer:result())
      end)

      it("has the other byte order where it is told so", function()
        local conn, peer = connect([[ return c.recv_all() ]], { endian = "little" })
        conn:write_packet(("x"):rep(258))
        conn:close()
        assert.equal("\2\1\0\0" .. ("x"):rep(258), peer:result())
      end)

      it("wants a string", function()
        local conn = connect ""
        helper.misuse("bad argument #1 to 'write_packet' (string expected, got nil)",
          function() conn:write_packet() end)
        helper.misuse("bad argument #1 to 'write_packet' (string expected, got table)",
          function() conn:write_packet {} end)
      end)
    end)

    describe("skip_packet", function()
      it("throws a packet away, and gives its length", function()
        local conn = connect [[ c.send(packet(b"not JSON") + packet(b"") + packet([1])) ]]
        assert.equal(8, conn:skip_packet())
        assert.equal(0, conn:skip_packet())
        assert.same({ 1 }, conn:read_json_packet())
        helper.fails("closed", "^skip_packet ", function() conn:skip_packet() end)
      end)

      it("takes any size, without gathering it", function()
        local conn = connect([[
          c.send(struct.pack(">I", 50000000))
          for _ in range(50): c.send(b"x" * 1000000)
          c.send_packet("next")
        ]], { max_buffer = 100000, timeout = 10 })
        local before = helper.memory "VmRSS"
        helper.fails("too_large", "50000000", function() conn:read_json_packet() end)
        assert.equal(50000000, conn:skip_packet())
        assert.is_true(helper.memory "VmRSS" - before < 5e6)
        assert.equal("next", conn:read_json_packet())
      end)

      it("is finished by the next read, of any kind, when its time was up", function()
        for _, read in ipairs { "read_json_packet", "recv", "read_str", "read_line", "skip_packet", "read_json" } do
          local conn, peer = connect([[
            c.send(b"\0\0\0\x0ahello")
            c.wait()
            c.send(b"world")
            c.send_packet([1])
          ]], { timeout = 0.1, connect_timeout = helper.timeout })
          helper.fails("timeout", "^skip_packet .*5 of 10 bytes", function() conn:skip_packet() end)
          peer:go()
          peer:result()
          local expected = {
            read_json_packet = { 1 }, recv = "\0\0\0\3[1]", read_str = "\0\0\0\3[1]", read_line = "\0\0\0\3[1]",
            skip_packet = 10, -- it goes on with the same packet
          }
          if read == "read_json" then
            helper.fails("json", "", function() conn:read_json() end)
          else
            local value = conn[read](conn)
            assert.same(expected[read], value, read)
          end
        end
      end)

      it("goes on with the same packet where poll has taken the rest of it", function()
        local conn, peer = connect([[
          c.send(b"\0\0\0\x0ahello")
          c.wait()
          c.send(b"world")
          c.wait()
          c.send(packet(b"next"))
          c.hold()
        ]], { timeout = 0.1, connect_timeout = helper.timeout })
        tcp.poll({ conn }, nil, helper.timeout)
        helper.fails("timeout", "^skip_packet .*5 of 10 bytes", function() conn:skip_packet() end)
        peer:go()
        assert.equal(conn, (tcp.poll({ conn }, nil, helper.timeout))[1])
        peer:go()
        conn:set_timeout(helper.timeout)
        assert.equal(10, conn:skip_packet())
        assert.equal("next", conn:read_packet())
        assert.same({}, (tcp.poll({ conn }, nil, 0)))
      end)

      it("is over with the next read, also where poll has taken the rest", function()
        local conn, peer = connect([[
          c.send(b"\0\0\0\x0ahello")
          c.wait()
          c.send(b"world")
          c.send(packet(b"next"))
          c.send(packet(b"last"))
        ]], { timeout = 0.1, connect_timeout = helper.timeout })
        tcp.poll({ conn }, nil, helper.timeout)
        helper.fails("timeout", "", function() conn:skip_packet() end)
        peer:go()
        peer:result()
        conn:set_timeout(helper.timeout)
        assert.equal(conn, (tcp.poll({ conn }, nil, helper.timeout))[1])
        assert.equal("next", conn:read_packet())
        assert.equal(4, conn:skip_packet())
        assert.equal("", conn:recv())
      end)

      it("is closed where the packet is torn", function()
        for _, torn in ipairs { [[b"\0\0"]], [[b"\0\0\0\x05ab"]] } do
          local conn = connect(("c.send(%s)"):format(torn))
          helper.fails("closed", "^skip_packet 127%.0%.0%.1:%d+: closed: ", function() conn:skip_packet() end)
        end
      end)
    end)
  end)
end
