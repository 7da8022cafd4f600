-- Writing: `send` and `write_str`, `write_json`; peers that are gone, and peers that do not read.

local helper = require "spec.support.helper"
local tcp = require "tcp"

for _, over in ipairs(helper.kinds) do
  describe("writing over " .. over.name, function()
    after_each(helper.finish)

    local connect = over.connect

    -- Packets, each with its number, until the kernel takes no more; gives how many were sent or
    -- are queued: all of them.
    local function fill(conn)
      local sent, late = 0, 0
      repeat
        local ok, message = pcall(conn.write_json_packet, conn, { n = sent, text = ("x"):rep(200000) })
        sent = sent + 1
        assert(ok or message:find ": timeout: ", message)
        late = ok and 0 or late + 1
        assert(sent < 300, "the kernel takes everything")
      until late == 3
      return sent
    end

    for _, name in ipairs { "send", "write_str" } do
      it(name .. " sends strings and numbers in order, and gives nothing", function()
        local conn, peer = connect [[ return c.recv_all() ]]
        assert.is_nil(conn[name](conn, "a", 1, "b", 2.5, "", "\0\255"))
        assert.is_nil(conn[name](conn, "c"))
        assert.is_nil(conn[name](conn, ""))
        assert.is_nil(conn[name](conn))
        conn:close()
        assert.equal("a1b2.5\0\255c", peer:result())
      end)

      it(name .. " sends many megabytes", function()
        local conn, peer = connect [[ return c.recv_exactly(10240000) == bytes(range(256)) * 40000 ]]
        local all = {}
        for i = 0, 255 do all[i + 1] = string.char(i) end
        conn[name](conn, (table.concat(all):rep(40000)))
        assert.is_true(peer:result())
      end)
    end

    it("sends numbers as Lua writes them", function()
      local conn, peer = connect [[ return c.recv_all() ]]
      local numbers = { 0, -1, 1e15, 0.1, 1e100, 2 ^ 53, 123456789012, 1e16 }
      local expected = {}
      for i, number in ipairs(numbers) do
        expected[i] = "" .. number
        conn:send(number, " ")
      end
      conn:close()
      assert.equal(table.concat(expected, " ") .. " ", peer:result())
    end)

    -- How many there may be is Lua's own limit, which is met before any is queued.
    it("that must wait sends as many strings as Lua can pass, or none", function()
      local unpack = table.unpack or unpack -- luacheck: ignore 143
      if os.getenv "TCP_SPEC_LOOP" then return pending "it has a loop of its own" end
      local pieces, waited = {}, 0
      tcp.use(coroutine.yield)
      finally(function() tcp.use(nil) end)
      local counts = helper.is_quick and { 7000, 200000 }
        or { 7000, 7900, 7985, 200000, 330000, 490000, 990000, 999900, 999960 }
      for _, count in ipairs(counts) do
        for i = #pieces + 1, count do pieces[i] = "two" end
        local conn, peer = connect [[
          c.wait()
          return len(c.recv_all())
        ]]
        local sent = 0
        conn:set_timeout(0.05)
        repeat
          sent = sent + 100000
          local ok = pcall(conn.send, conn, ("y"):rep(100000))
        until not ok
        conn:set_timeout(30)
        local finished
        local writer = coroutine.create(function()
          conn:send(unpack(pieces, 1, count))
          finished = true
        end)
        local ok, fd, mode, seconds = coroutine.resume(writer)
        peer:go()
        if ok then
          sent, waited = sent + count * 3, waited + 1
          repeat
            if fd then tcp.poll({}, mode == "w" and { fd } or {}, seconds) end
            ok, fd, mode, seconds = coroutine.resume(writer)
          until not ok or finished
          assert(ok, fd)
        else
          -- Lua 5.4.9 has no room left for its own message.
          assert(fd:find "too many results to unpack" or fd:find "error in error handling", fd)
        end
        conn:flush()
        conn:shutdown()
        assert.equal(sent, peer:result(), count)
      end
      assert(waited >= 2, waited)
    end)

    it("sends a thousand strings at once", function()
      local conn, peer = connect [[ return c.recv_all() ]]
      local strings = {}
      for i = 1, 200 do strings[i] = ("%d,"):format(i):rep(i) end
      conn:send((table.unpack or unpack)(strings)) -- luacheck: ignore 113 143
      conn:close()
      assert.equal(table.concat(strings), peer:result())
    end)

    it("write_json sends the text and a newline", function()
      local conn, peer = connect [[ return c.recv_all() ]]
      assert.is_nil(conn:write_json { a = { 1, "ç\n" } })
      conn:write_json(nil)
      conn:write_json "x"
      conn:write_json(tcp.json.array {})
      conn:close()
      assert.equal('{"a":[1,"ç\\n"]}\nnull\n"x"\n[]\n', peer:result())
    end)

    it("write_json sends nothing of a value that has no JSON form", function()
      local conn, peer = connect [[ return c.recv_all() ]]
      helper.fails("json", "^write_json .*%[2%]%.f", function() conn:write_json { 1, { f = print } } end)
      conn:write_json(1)
      conn:close()
      assert.equal("1\n", peer:result())
    end)

    it("write_json has no packet's limit", function()
      local conn, peer = connect [[ return c.recv_exactly(2000003)[-3:] ]]
      conn:write_json(("x"):rep(2e6))
      assert.equal('x"\n', peer:result())
    end)

    it("is closed when the peer has gone", function()
      for _, ending in ipairs { "close", "reset" } do
        local conn, peer = connect(("c.recv_exactly(1)\nc.%s()"):format(ending))
        conn:send "!"
        peer:result()
        -- The first bytes may still leave; it is their answer that tells.
        local message
        for _ = 1, 200 do
          local ok
          ok, message = pcall(function() conn:send(("x"):rep(1000)) end)
          if not ok then break end
        end
        assert.matches("^%S+ send " .. over.label .. ": closed: ", message)
        helper.fails("closed", "^write_json_packet ", function() conn:write_json_packet(1) end)
        helper.fails("closed", "^write_json ", function() conn:write_json(1) end)
      end
    end)

    it("leaves what had come readable, though writing failed", function()
      local conn, peer = connect [[
        c.send(packet("last words"))
        c.wait()
        c.close()
      ]]
      -- Seen by the module before the peer goes.
      assert.equal(1, #conn:recv(1))
      peer:go()
      peer:result()
      for _ = 1, 200 do
        if not pcall(conn.send, conn, ("x"):rep(1000)) then break end
      end
      assert.equal('\0\0\012"last words"', conn:recv())
    end)

    -- The kernel tells a reset once, and the write has heard it.
    for _, word in ipairs { "require", over.name == "TLS" and "ignore" or nil } do
      it(("that a reset has failed fails reading behind what had come (close_notify: %s)"):format(word), function()
        local options = over.name == "TLS" and { close_notify = word } or nil
        -- Of a Unix socket only readers hear that it was one.
        local said = over.is_unix and "broken pipe$" or "connection reset by peer$"
        for _, method in ipairs { "read_str", "recv", "read_line", "read_packet" } do
          for _, seen in ipairs { 0, 1, 10 } do
            local conn, peer = connect("c.send(b'last words'); c.wait(); c.reset()", options)
            assert.equal(("last words"):sub(1, seen), conn:read(seen))
            helper.prepare_reset(over, conn)
            peer:go()
            peer:result()
            helper.fails("closed", "^send %S+: closed: " .. said, function() conn:send "x" end)
            assert.equal(("last words"):sub(seen + 1), conn:read(10 - seen))
            for _ = 1, 2 do
              helper.fails("closed", ("^%s %%S+: closed: connection reset by peer$"):format(method),
                function() conn[method](conn) end)
            end
            helper.fails("closed", "^lines %S+: closed: connection reset by peer$",
              function() for _ in conn:lines() do end end)
            helper.fails("closed", "^send %S+: closed: " .. said, function() conn:send "x" end)
          end
        end
      end)
    end

    it("raises no SIGPIPE", function()
      local peer = helper.listen([[ c.close() ]], over.name == "TLS" and { tls = "good" } or nil)
      local said, status = helper.run(([[
        local tcp = require "tcp"
        for _, write in ipairs { "send", "write_str", "write_json", "write_json_packet" } do
          local conn
          if %q == "TLS" then
            conn = tcp.connect_tls("127.0.0.1", %d, { ca_file = %q, timeout = 3 })
          else
            conn = tcp.connect("127.0.0.1", %d, 3)
          end
          local ok, message
          for _ = 1, 1000 do
            ok, message = pcall(conn[write], conn, ("x"):rep(10000))
            if not ok then break end
          end
          assert(message:find ": closed: ", message)
          assert(not pcall(conn.send, conn, "a", "b", "c"))
          conn:close()
        end
        tcp = nil
        collectgarbage()
        io.write "alive"
      ]]):format(over.name, peer.port, helper.pem "root", peer.port), "env --default-signal=PIPE")
      assert.equal("alive", said)
      assert.equal(0, status)
    end)

    describe("to a peer that does not read", function()
      -- Reads as many packets as it is told with the first that has no text.
      local reader = [[
        c.wait()
        packets = []
        while True:
          value = json.loads(c.recv_packet())
          packets.append([value["n"], len(value["text"])])
          if not value["text"]: return packets
      ]]
      local slow = { timeout = 0.05, connect_timeout = helper.timeout }

      it("takes no longer than the timeout", function()
        local text = ("x"):rep(1.5e7) -- more than any kernel takes without a reader
        helper.takes(0.15, function()
          return (connect([[ c.hold() ]], { timeout = 0.15, connect_timeout = helper.timeout }))
        end, function(conn)
          helper.fails("timeout", "^send 127%.0%.0%.1:%d+: timeout: %d+ of 15000000 bytes",
            function() conn:send(text) end)
        end)
      end)

      it("keeps the framing: what is queued leaves first, each packet whole and once", function()
        local conn, peer = connect(reader, slow)
        local sent = fill(conn)
        peer:go()
        repeat
          local ok, message = pcall(conn.write_json_packet, conn, { n = sent, text = "more" })
          sent = sent + 1
          assert(ok or message:find ": timeout: ", message)
        until ok
        conn:write_json_packet { n = sent, text = "" }
        local packets = peer:result()
        assert.equal(sent + 1, #packets)
        for i, packet in ipairs(packets) do assert.equal(i - 1, packet[1]) end
      end)

      it("sends the rest with flush", function()
        local conn, peer = connect(reader, slow)
        local sent = fill(conn)
        helper.fails("timeout", "^flush 127%.0%.0%.1:%d+: timeout: ", function() conn:flush() end)
        peer:go()
        repeat
          local ok, message = pcall(conn.flush, conn)
          assert(ok or message:find ": timeout: ", message)
        until ok
        conn:flush()
        conn:write_json_packet { n = "last", text = "" }
        local packets = peer:result()
        assert.equal(sent + 1, #packets)
        for i = 1, sent do assert.same({ i - 1, 200000 }, packets[i]) end
      end)

      it("still reads", function()
        local conn = connect([[
          c.send_packet("hello")
          c.hold()
        ]], slow)
        fill(conn)
        assert.equal("hello", conn:read_json_packet())
      end)

      it("never keeps more than max_buffer, and queues nothing of what is over", function()
        local conn, peer = connect([[
          c.wait()
          data = b""
          while not data.endswith(b"."): data += c.recv()
          return data.count(b"x"), data.count(b"y")
        ]], { timeout = 0.05, connect_timeout = helper.timeout, max_buffer = 1000000 })
        -- Fills the kernel's buffers and some of ours.
        local sent = 0
        local ok, message
        repeat
          ok, message = pcall(conn.send, conn, ("x"):rep(100000))
          sent = sent + 1
          assert(sent < 500, "the kernel takes everything")
        until not ok
        assert.matches(": timeout: ", message)
        repeat
          ok, message = pcall(conn.send, conn, ("x"):rep(100000))
          if ok or message:find ": timeout: " then sent = sent + 1 end
          assert(sent < 500, "the kernel takes everything")
        until not ok and not message:find ": timeout: "
        assert.matches("^send " .. over.label .. ": too_large: .*1000000", message)
        helper.fails("too_large", "^send ", function() conn:send(("y"):rep(1000001)) end)
        peer:go()
        repeat
          ok, message = pcall(conn.flush, conn)
          assert(ok or message:find ": timeout: ", message)
        until ok
        conn:send "."
        assert.same({ sent * 100000, 0 }, peer:result())
      end)
    end)

    it("refuses one write over max_buffer before a byte leaves", function()
      local conn, peer = connect([[ return c.recv_all() ]], { max_buffer = 1000 })
      helper.fails("too_large", "^send .*1001.*1000", function() conn:send(("x"):rep(500), ("y"):rep(501)) end)
      helper.fails("too_large", "^write_json .*1000", function() conn:write_json(("x"):rep(1000)) end)
      conn:send(("x"):rep(500), ("y"):rep(500))
      conn:close()
      assert.equal(("x"):rep(500) .. ("y"):rep(500), peer:result())
    end)
  end)
end

describe("writing to a peer that has ended its stream before it reset the connection", function()
  after_each(helper.finish)

  it("fails, and reading ends as the peer has ended it", function()
    local conn, peer = helper.connect [[
      c.send(b"last words")
      c.raw.shutdown(socket.SHUT_WR)
      c.wait()
      c.reset()
    ]]
    peer:go()
    peer:result()
    helper.fails("closed", "^send %S+: closed: broken pipe$", function() conn:send "x" end)
    assert.equal("last words", conn:read_str())
    assert.equal("", conn:recv())
  end)
end)
