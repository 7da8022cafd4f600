-- Length-prefixed packets: `read_json_packet`, `write_json_packet`, and their limits.

local helper = require "spec.support.helper"
local tcp = require "tcp"

local null = tcp.json.null

for _, over in ipairs(helper.kinds) do
  describe("read_json_packet over " .. over.name, function()
    after_each(helper.finish)

    local connect = over.connect

    it("gives the value of a packet", function()
      local conn = connect [[ c.send(b'\x00\x00\x00\x0d{"pong":true}') ]]
      assert.same({ pong = true }, conn:read_json_packet())
    end)

    it("gives any JSON value", function()
      local conn = connect [[
        for value in [{"a": [1, 2]}, [], {}, "text", "", 12, -0.5, True, False, None]: c.send_packet(value)
      ]]
      for _, value in ipairs { { a = { 1, 2 } }, {}, {}, "text", "", 12, -0.5, true, false, null } do
        assert.same(value, conn:read_json_packet())
      end
    end)

    it("takes white space around the value", function()
      local conn = connect [[ c.send_packet(b" \n[1]\t\r\n") ]]
      assert.same({ 1 }, conn:read_json_packet())
    end)

    it("reads packets that came together, and one that came in pieces", function()
      local conn = connect [[
        c.send(packet(1) + packet([2]) + packet({"n": 3}) + packet("four")[:6])
        time.sleep(0.01)
        c.send(packet("four")[6:])
      ]]
      assert.equal(1, conn:read_json_packet())
      assert.same({ 2 }, conn:read_json_packet())
      assert.same({ n = 3 }, conn:read_json_packet())
      assert.equal("four", conn:read_json_packet())
    end)

    it("reads a packet that comes a byte at a time", function()
      local conn = connect [[
        c.drip(packet({"name": "Conceição", "list": [1, 2, 3]}) + packet(b"[]"))
        c.hold()
      ]]
      assert.same({ name = "Conceição", list = { 1, 2, 3 } }, conn:read_json_packet())
      assert.same({}, conn:read_json_packet())
    end)

    it("reads a packet cut anywhere", function()
      local conn = connect [[
        whole = packet({"k": "é", "n": [1, -2.5]})
        for cut in range(1, len(whole)):
          c.send(whole[:cut])
          time.sleep(0.001)
          c.send(whole[cut:])
          c.recv_exactly(1)
        c.send_packet("done")
      ]]
      local count, value = 0, conn:read_json_packet()
      while value ~= "done" do
        assert.same({ k = "é", n = { 1, -2.5 } }, value)
        conn:send(".")
        count, value = count + 1, conn:read_json_packet()
      end
      assert.is_true(count > 20)
    end)

    it("leaves what follows the packet", function()
      local conn = connect [[ c.send(packet(1) + b"[2]" + packet(3) + b"rest") ]]
      assert.equal(1, conn:read_json_packet())
      assert.same({ 2 }, conn:read_json())
      assert.equal(3, conn:read_json_packet())
      assert.equal("rest", conn:read_str())
    end)

    it("does not wait for the end of the stream", function()
      local conn = connect [[
        c.send_packet({"a": 1})
        c.hold()
      ]]
      assert.same({ a = 1 }, helper.at_once(function() return conn:read_json_packet() end))
    end)

    describe("where the stream ends too early", function()
      for _, case in ipairs {
        { "before the header", [[]], "" },
        { "in the header", [[ c.send(b"\x00\x00\x00") ]], "\0\0\0" },
        { "after the header", [[ c.send(b"\x00\x00\x00\x05") ]], "\0\0\0\5" },
        { "in the body", [[ c.send(b"\x00\x00\x00\x05[12") ]], "\0\0\0\5[12" },
      } do
        it("is closed, and keeps what came: " .. case[1], function()
          local conn = connect(case[2])
          helper.fails("closed", "^read_json_packet 127%.0%.0%.1:%d+: closed: ",
            function() conn:read_json_packet() end)
          helper.fails("closed", "", function() conn:read_json_packet() end)
          assert.equal(case[3], conn:read_str())
        end)
      end

      it("says how much was missing", function()
        local conn = connect [[ c.send(b"\x00\x00\x00\x28[12") ]]
        helper.fails("closed", "%f[%d]3 of 40", function() conn:read_json_packet() end)
      end)

      it("is closed on a reset", function()
        local conn, peer = connect([[
          c.send(b"\x00\x00\x00\x05[12")
          c.wait()
          c.reset()
        ]], { timeout = 0.1, connect_timeout = helper.timeout })
        helper.fails("timeout", "", function() conn:read_json_packet() end)
        helper.prepare_reset(over, conn)
        peer:go()
        peer:result()
        helper.fails("closed", "reset", function() conn:read_json_packet() end)
        assert.equal("\0\0\0\5[12", conn:recv())
      end)
    end)

    it("goes on after a timeout, having lost nothing", function()
      local conn, peer = connect([[
        for part in (b"\x00\x00", b"\x00\x09", b"[1,2", b",3,4]", b"\x00"):
          c.send(part)
          c.wait()
      ]], { timeout = 0.04, connect_timeout = helper.timeout })
      for _ = 1, 3 do
        helper.fails("timeout", "^read_json_packet 127%.0%.0%.1:%d+: timeout: ",
          function() conn:read_json_packet() end)
        peer:go()
      end
      assert.same({ 1, 2, 3, 4 }, conn:read_json_packet())
      helper.fails("timeout", "", function() conn:read_json_packet() end)
    end)

    it("says how far it had come when the time was up", function()
      local conn = connect([[
        c.send(b"\x00\x00\x00\x28[1,2,3,4,5,")
        c.hold()
      ]], { timeout = 0.05, connect_timeout = helper.timeout })
      helper.fails("timeout", "%f[%d]11 of 40 bytes", function() conn:read_json_packet() end)
    end)

    it("takes no longer than its timeout, though bytes drip", function()
      helper.takes(0.15, function()
        return (connect([[ c.drip(packet([0] * 50), 0.01) ]], { timeout = 0.15, connect_timeout = helper.timeout }))
      end, function(conn)
        helper.fails("timeout", "", function() conn:read_json_packet() end)
      end)
    end)

    describe("with bad JSON in a whole packet", function()
      for _, case in ipairs {
        { "nothing", [[b""]] },
        { "white space", [[b"  "]] },
        { "no JSON", [[b"hello"]] },
        { "half a value", [[b'{"a":']] },
        { "two values", [[b"[1][2]"]] },
        { "a value and more", [[b"1 x"]] },
        { "no UTF-8", [[b'"\xff"']] },
        { "half a UTF-8 sequence", [[b'"\xc3"']] },
        { "a byte order mark", [[b'\xef\xbb\xbf1']] },
        { "a NUL at the end", [[b'[1]\x00']] },
        { "NaN", [[b"NaN"]] },
        { "129 levels", [[b"[" * 129 + b"]" * 129]] },
        { "100,000 levels", [[b"[" * 100000 + b"]" * 100000]] },
      } do
        it(("is json, and the next packet is readable: %s"):format(case[1]), function()
          local conn = connect(("c.send(packet(%s) + packet({'good': 1}))"):format(case[2]))
          helper.fails("json", "^read_json_packet 127%.0%.0%.1:%d+: json: ", function() conn:read_json_packet() end)
          assert.same({ good = 1 }, conn:read_json_packet())
        end)
      end

      it("says where", function()
        local conn = connect [[ c.send_packet(b'{"a": 1,\n "b": x}') ]]
        helper.fails("json", "line 2.* column 7", function() conn:read_json_packet() end)
      end)
    end)

    describe("with a lie about the length", function()
      it("takes 512,000 bytes", function()
        local conn = connect [[ c.send_packet(b'"' + b"x" * 511998 + b'"') ]]
        assert.equal(("x"):rep(511998), conn:read_json_packet())
      end)

      for _, length in ipairs { 512001, 600000, 2147483647, 2147483648, 4294967295 } do
        it(("refuses %.0f bytes on the header alone"):format(length), function()
          local conn = connect(([[
            c.send(struct.pack(">I", %.0f))
            c.hold()
          ]]):format(length))
          local message = helper.at_once(function()
            return helper.fails("too_large", "^read_json_packet 127%.0%.0%.1:%d+: too_large: .*512000",
              function() conn:read_json_packet() end)
          end)
          assert.matches(("%%f[%%d]%.0f%%f[%%D]"):format(length), message)
          -- The header stays, and so does the refusal.
          helper.fails("too_large", "", function() conn:read_json_packet() end)
          local header = conn:recv()
          local a, b, c, d = header:byte(1, 4)
          assert.equal(length, ((a * 256 + b) * 256 + c) * 256 + d)
        end)
      end

      it("refuses the third packet where the third lies", function()
        local conn = connect [[ c.send(packet(1) + packet(2) + b"\xff\xff\xff\xff" + packet(3)) ]]
        assert.equal(1, conn:read_json_packet())
        assert.equal(2, conn:read_json_packet())
        helper.fails("too_large", "4294967295", function() conn:read_json_packet() end)
        helper.fails("too_large", "4294967295", function() conn:read_json_packet() end)
      end)

      it("allocates nothing on the peer's word", function()
        local conn = connect([[
          c.send(struct.pack(">I", 1 << 30))
          c.hold()
        ]], { timeout = 0.1, connect_timeout = helper.timeout, max_packet = 2 ^ 30, max_buffer = 2 ^ 31 })
        local before = helper.memory "VmSize"
        helper.fails("timeout", "0 of 1073741824 bytes", function() conn:read_json_packet() end)
        assert.is_true(helper.memory "VmSize" - before < 2 ^ 26)
      end)
    end)

    it("says what the length may be instead", function()
      local conn = connect [[ c.send(b"HTTP/1.1 400 Bad Request\r\n\r\n") ]]
      helper.fails("too_large", "1213486160 bytes, .*, the bytes read 'HTTP', does the peer send packets%?$",
        function() conn:read_json_packet() end)
      -- Nothing is consumed.
      assert.equal("HTTP/1.1 400 Bad Request", conn:read_line())

      conn = connect [[ c.send(b"\x0d\0\0\0[1,2,3,4,5,6]") ]]
      helper.fails("too_large", "218103808 bytes, .*, in the other byte order it has 13, see endian$",
        function() conn:read_json_packet() end)
    end)

    describe("with max_packet", function()
      it("refuses more, and takes as much", function()
        local conn = connect([[ c.send(packet(b'"12345678"') + packet(b'"123456789"')) ]], { max_packet = 10 })
        assert.equal("12345678", conn:read_json_packet())
        helper.fails("too_large", "%f[%d]11%f[%D].*%f[%d]10%f[%D]", function() conn:read_json_packet() end)
      end)

      it("takes more than 512,000 bytes where it is told so", function()
        local conn = connect([[ c.send_packet(b'"' + b"x" * 2000000 + b'"') ]], { max_packet = 3e6 })
        assert.equal(2000000, #conn:read_json_packet())
      end)

      it("holds for packets alone", function()
        local conn = connect([[ c.send(b'"' + b"x" * 100 + b'"') ]], { max_packet = 10 })
        assert.equal(100, #conn:read_json())
      end)
    end)

    it("reads little-endian lengths where it is told so", function()
      local conn = connect([[
        for body in (b"[1]", b'"' + b"x" * 300 + b'"'): c.send(struct.pack("<I", len(body)) + body)
        c.send(b"\x01\xd0\x07\x00")
      ]], { endian = "little" })
      assert.same({ 1 }, conn:read_json_packet())
      assert.equal(("x"):rep(300), conn:read_json_packet())
      helper.fails("too_large", "512001", function() conn:read_json_packet() end)
    end)

    it("takes endian = \"big\" for what is usual", function()
      local conn = connect([[ c.send_packet([1]) ]], { endian = "big" })
      assert.same({ 1 }, conn:read_json_packet())
    end)
  end)

  describe("write_json_packet over " .. over.name, function()
    after_each(helper.finish)

    local connect = over.connect

    it("sends the length, big-endian, and the JSON, and gives nothing", function()
      local conn, peer = connect [[ return c.recv_all() ]]
      assert.is_nil(conn:write_json_packet { ping = true })
      conn:close()
      assert.equal('\0\0\0\13{"ping":true}', peer:result())
    end)

    it("sends any JSON value, nil for null", function()
      local conn, peer = connect [[ return c.recv_all() ]]
      for _, value in ipairs { { 1, 2 }, "x", 12, true, null } do conn:write_json_packet(value) end
      conn:write_json_packet(nil)
      conn:write_json_packet {}
      conn:close()
      assert.equal('\0\0\0\5[1,2]\0\0\0\3"x"\0\0\0\00212\0\0\0\4true\0\0\0\4null\0\0\0\4null\0\0\0\2{}',
        peer:result())
    end)

    it("is understood by the peer, and understands it", function()
      local conn = connect [[
        for _ in range(3): c.send_packet(json.loads(c.recv_packet()))
      ]]
      local command = { comando = "atualizar", id = 123, valores = { 10, 20, 30 } }
      for _, value in ipairs { command, "ação", { { { { 1 } } } } } do
        conn:write_json_packet(value)
        assert.same(value, conn:read_json_packet())
      end
    end)

    it("takes a body of 512,000 bytes, and no byte more", function()
      local conn, peer = connect [[ return len(c.recv_packet()), c.recv_packet() ]]
      helper.fails("too_large", "^write_json_packet 127%.0%.0%.1:%d+: too_large: .*512001.*512000",
        function() conn:write_json_packet(("x"):rep(511999)) end)
      conn:write_json_packet(("x"):rep(511998))
      helper.fails("too_large", "", function() conn:write_json_packet { ("x"):rep(600000) } end)
      conn:write_json_packet "end"
      assert.same({ 512000, '"end"' }, peer:result())
    end)

    it("has max_packet for its own packets too", function()
      local conn, peer = connect([[ return c.recv_all() ]], { max_packet = 5 })
      helper.fails("too_large", "%f[%d]6%f[%D].*%f[%d]5%f[%D]", function() conn:write_json_packet "1234" end)
      conn:write_json_packet "123"
      conn:close()
      assert.equal('\0\0\0\5"123"', peer:result())
    end)

    it("sends nothing of a value that has no JSON form", function()
      local conn, peer = connect [[ return c.recv_all() ]]
      local cycle = {}
      cycle.again = cycle
      for _, value in ipairs {
        print, { 1, { f = print } }, { 1, 2, x = 3 }, { [1] = 1, [3] = 3 }, { [true] = 1 }, 0 / 0, math.huge,
        "\255", { ["\255"] = 1 }, cycle, coroutine.create(function() end), conn,
      } do
        helper.fails("json", "^write_json_packet 127%.0%.0%.1:%d+: json: ",
          function() conn:write_json_packet(value) end)
      end
      conn:write_json_packet "good"
      conn:close()
      assert.equal('\0\0\0\6"good"', peer:result())
    end)

    it("names the path to what has no JSON form", function()
      local conn = connect [[ c.recv_all() ]]
      helper.fails("json", "valores%[3%]%.x", function()
        conn:write_json_packet { valores = { 1, 2, { x = print } } }
      end)
    end)

    it("writes little-endian lengths where it is told so", function()
      local conn, peer = connect([[ return c.recv_all() ]], { endian = "little" })
      conn:write_json_packet(("x"):rep(298))
      conn:close()
      assert.equal('\44\1\0\0"' .. ("x"):rep(298) .. '"', peer:result())
    end)

    it("arrives in one piece: header and body leave together (over TLS, in one record)", function()
      local conn, peer = connect [[
        sizes = []
        for _ in range(20):
          sizes.append(len(c.recv(65536)))
          c.send(b".")
        return sizes
      ]]
      local expected = {}
      for i = 1, 20 do
        conn:write_json_packet(("x"):rep(i * 50))
        assert.equal(".", conn:recv(1))
        expected[i] = 4 + 2 + i * 50
      end
      assert.same(expected, peer:result())
    end)
  end)
end
