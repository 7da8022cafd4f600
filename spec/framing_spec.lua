-- The option `framing`: every way to cut packets, read and written by peers of their own.

local helper = require "spec.support.helper"
local loops = require "spec.support.loops"
local tcp = require "tcp"
local safe = require "tcp.safe"

-- {name, framing, what a peer makes of `body` and `header`, header, endian}
local rows = {
  { "the default", nil, 'struct.pack(">I", len(body)) + body' },
  { "1 byte", 1, "bytes([len(body)]) + body" },
  { "2 bytes", 2, 'struct.pack(">H", len(body)) + body' },
  { "2 bytes, little", 2, 'struct.pack("<H", len(body)) + body', nil, "little" },
  { "3 bytes", 3, 'len(body).to_bytes(3, "big") + body' },
  { "3 bytes, little", 3, 'len(body).to_bytes(3, "little") + body', nil, "little" },
  { "4 bytes", 4, 'struct.pack(">I", len(body)) + body' },
  { "8 bytes", 8, 'struct.pack(">Q", len(body)) + body' },
  { "8 bytes, little", "8", 'struct.pack("<Q", len(body)) + body', nil, "little" },
  { "varint", "varint", [[
    (bytes([len(body)]) if len(body) < 128 else bytes([len(body) % 128 + 128, len(body) // 128])) + body]] },
  { "netstring", "netstring", 'b"%d:%s," % (len(body), body)' },
  { "a zero byte", { delimiter = "\0" }, 'body + b"\\0"' },
  { "lines with a dot", { delimiter = "\r\n.\r\n" }, 'body + b"\\r\\n.\\r\\n"' },
  { "PostgreSQL's", { length_size = 4, length_offset = 1, length_adjustment = -4 },
    'header + struct.pack(">I", len(body) + 4) + body', "Q" },
  { "Modbus", { length_size = 2, length_offset = 4 }, 'header + struct.pack(">H", len(body)) + body', "\0\1\0\0" },
  { "Zabbix", { prefix = "ZBXD\1", length_size = 8 }, 'b"ZBXD\\1" + struct.pack("<Q", len(body)) + body', nil,
    "little" },
  { "a prefix and a header", { prefix = "<>", length_size = 3, length_offset = 4, length_adjustment = -7 },
    'b"<>" + header + (len(body) + 7).to_bytes(3, "big") + body', "xy" },
}

-- A peer's code, with `pack` and the header.
local function code(row, text)
  local indent = text:match "^%s-\n?( *)%S"
  text = ("\n" .. text:gsub("^%s-\n?( *%S)", "%1")):gsub("\n" .. indent, "\n")
  local made = row[3]:gsub("^%s+", "")
  return ("def pack(body, header=%s): return %s\n%s"):format(helper.bytes(row[4] or ""), made, text)
end

local function options(row, more)
  local all = { framing = row[2], endian = row[5] }
  for k, v in pairs(more or {}) do all[k] = v end
  return all
end

for _, over in ipairs(helper.kinds) do
  for _, row in ipairs(rows) do
    describe(("packets of %s over %s"):format(row[1], over.name), function()
      after_each(helper.finish)

      local header = row[4]

      local function connect(text, more) return over.connect(code(row, text), options(row, more)) end

      it("are read as they drip, and leave what follows", function()
        local conn = connect [[ c.drip(pack(b"hello") + pack(b"") + pack(b"x" * 200) + b"rest", 0) ]]
        assert.same({ "hello", header }, { conn:read_packet() })
        assert.same({ "", header }, { conn:read_packet() })
        assert.same({ ("x"):rep(200), header }, { conn:read_packet() })
        assert.equal("rest", conn:read_str())
        assert.equal(header and 2 or 1, select("#", connect([[ c.send(pack(b"")) ]]):read_packet()))
      end)

      it("are written", function()
        local conn, peer = connect [[
          return c.recv_all() == b"".join(map(pack, (b"hello", b"", b"x" * 200, b"{}")))
        ]]
        assert.is_nil(conn:write_packet("hello", header))
        conn:write_packet("", header)
        conn:write_packet(("x"):rep(200), header)
        conn:write_json_packet({}, header)
        conn:close()
        assert.is_true(peer:result())
      end)

      it("have JSON in them, and a bad one is consumed", function()
        local conn = connect [[ c.send(pack(b"[1]") + pack(b"[1,") + pack(b"") + pack(b'"x"') + pack(b"2")) ]]
        assert.same({ { 1 }, header }, { conn:read_json_packet() })
        helper.fails("json", "^read_json_packet ", function() conn:read_json_packet() end)
        helper.fails("json", "^read_json_packet ", function() conn:read_json_packet() end)
        local got = {}
        for value, head in conn:json_packets() do
          got[#got + 1] = value
          assert.equal(header, head)
        end
        assert.same({ "x", 2 }, got)
      end)

      it("are skipped, whatever their size, and iterated over", function()
        local conn = connect([[ c.send(pack(b"x" * 200) + pack(b"") + pack(b"a") + pack(b"b")) ]], { max_packet = 100 })
        helper.fails("too_large", "^read_packet .*%(max_packet%)", function() conn:read_packet() end)
        assert.equal(200, conn:skip_packet())
        assert.equal(0, conn:skip_packet())
        local got = {}
        for body, head in conn:packets() do
          got[#got + 1] = body
          assert.equal(header, head)
        end
        assert.same({ "a", "b" }, got)
        helper.fails("closed", "^skip_packet ", function() conn:skip_packet() end)
      end)

      it("lose nothing to timeouts at every byte", function()
        local conn, peer = connect([[
          for byte in pack(b"abc"):
            c.wait()
            c.send(bytes([byte]))
          c.send(pack(b"next"))
        ]], { timeout = 0.02, connect_timeout = helper.timeout })
        local count = 0
        local body, head
        repeat
          local ok, what, how = pcall(function()
            local one, two = conn:read_packet()
            return one, two
          end)
          if ok then
            body, head = what, how
          else
            assert.matches(": timeout: ", what)
            peer:go()
            count = count + 1
          end
        until ok or count > 200
        assert.same({ "abc", header }, { body, head })
        conn:set_timeout(helper.timeout)
        assert.equal("next", (conn:read_packet()))
      end)

      it("finish a skip whose time was up with the next read", function()
        local conn, peer = connect([[
          whole = pack(b"abcdefgh")
          c.send(whole[:-3])
          c.wait()
          c.send(whole[-3:] + pack(b"next"))
        ]], { timeout = 0.05, connect_timeout = helper.timeout })
        helper.fails("timeout", "^skip_packet .* bytes skipped", function() conn:skip_packet() end)
        peer:go()
        conn:set_timeout(helper.timeout)
        assert.equal("next", (conn:read_packet()))
      end)

      it("that are cut short are closed, and stay", function()
        local conn, peer = connect [[
          whole = pack(b"abc")
          c.send(whole[:-1])
          return whole[:-1]
        ]]
        helper.fails("closed", "^read_packet ", function() conn:read_packet() end)
        assert.equal(peer:result(), conn:recv())
      end)
    end)
  end
end

describe("a framing", function()
  after_each(helper.finish)

  local pg = { length_offset = 1, length_adjustment = -4 }

  it("is refused where it cannot be", function()
    local table_of = "a table of delimiter, or of length_size, length_offset, length_adjustment and prefix, expected"
    for framing, why in pairs {
      [0] = "1 to 8 expected, got 0",
      [5] = "a length of 1, 2, 3, 4 or 8 bytes, got 5",
      [9] = "1 to 8 expected, got 9",
      [1.5] = "number has no integer representation",
      packet = "'varint' or 'netstring' expected, got 'packet'",
      [true] = "number, string or table expected, got boolean",
      [{}] = table_of,
      [{ length = 4 }] = table_of,
      [{ 4 }] = table_of,
      [{ delimiter = "\n", prefix = "x" }] = table_of,
      [{ delimiter = "" }] = "1 to 16 bytes expected, got 0",
      [{ delimiter = ("x"):rep(17) }] = "1 to 16 bytes expected, got 17",
      [{ prefix = ("x"):rep(17) }] = "0 to 16 bytes expected, got 17",
      [{ prefix = "abc", length_offset = 2 }] = "length_offset is within the prefix",
      [{ length_size = 7 }] = "a length of 1, 2, 3, 4 or 8 bytes, got 7",
      [{ length_offset = -1 }] = "0 to 4096 expected, got -1",
      [{ length_adjustment = 0.5 }] = "number has no integer representation",
      [{ length_adjustment = 2 ^ 40 }] = ("-4294967295 to 4294967295 expected, got %d"):format(2 ^ 40),
      [{ length_adjustment = {} }] = "number expected, got table",
    } do
      for _, module in ipairs { tcp, safe } do
        for _, name in ipairs { "connect", "connect_tls", "listen" } do
          helper.misuse(("bad argument #3 to '%s' (option 'framing': %s)"):format(name, why),
            function() module[name]("127.0.0.1", 1, { framing = framing }) end)
        end
      end
    end
  end)

  it("is that of what a listener accepts", function()
    local listener = helper.keep(tcp.listen("127.0.0.1", 0, { framing = "varint", timeout = helper.timeout }))
    local conn = helper.keep(tcp.connect("127.0.0.1", listener:port(), { framing = "varint" }))
    local other = helper.keep(listener:accept(helper.timeout))
    conn:write_packet(("x"):rep(300))
    assert.equal(300, #other:peek() - 2)
    assert.equal(("x"):rep(300), other:read_packet())
  end)

  it("may change on a live connection, from the next packet on in each direction", function()
    local conn, peer = helper.connect [[
      c.send(b"\0\0\0\3one" + b"\0\3two" + b"5:three,")
      return c.recv_exactly(7 + 5 + 8)
    ]]
    conn:write_packet "one"
    assert.equal("one", conn:read_packet())
    conn:set_options { framing = 2 }
    conn:write_packet "two"
    assert.equal("two", conn:read_packet())
    conn:set_options { framing = "netstring" }
    conn:write_packet "three"
    assert.equal("three", conn:read_packet())
    assert.equal("\0\0\0\3one\0\3two5:three,", peer:result())
  end)

  it("that a length cannot say is too large, and sends nothing", function()
    local conn, peer = helper.connect([[ return c.recv_all() ]], { framing = 1 })
    helper.fails("too_large", "^write_packet .*a length of 256, one of length_size 1 is 255 at most",
      function() conn:write_packet(("x"):rep(256)) end)
    conn:write_packet(("x"):rep(255))
    conn:close()
    assert.equal("\255" .. ("x"):rep(255), peer:result())
  end)

  it("tells what cannot be written, in both modules", function()
    for _, module in ipairs { tcp, safe } do
      local function connect(framing)
        return (helper.connect([[ c.hold() ]], { framing = framing }, nil, module))
      end
      local conn = connect { delimiter = "\n" }
      helper.misuse("bad argument #1 to 'write_packet' (the delimiter is in the body)",
        function() conn:write_packet "a\nb" end)
      conn = connect { delimiter = "a," }
      helper.misuse("bad argument #1 to 'write_json_packet' (the delimiter is in the body)",
        function() conn:write_json_packet { "a", "b", "a,a" } end)
      conn = connect { length_size = 2, length_adjustment = 4 }
      helper.misuse("bad argument #1 to 'write_packet' (a body of 3 bytes, length_adjustment is 4)",
        function() conn:write_packet "abc" end)
      helper.misuse("bad argument #1 to 'write_json_packet' (a body of 1 bytes, length_adjustment is 4)",
        function() conn:write_json_packet(1) end)
      conn = connect(pg)
      helper.misuse("bad argument #2 to 'write_packet' (a header of 1 bytes expected, got 0)",
        function() conn:write_packet "abc" end)
      helper.misuse("bad argument #2 to 'write_json_packet' (a header of 1 bytes expected, got 2)",
        function() conn:write_json_packet({}, "ab") end)
      helper.misuse("bad argument #2 to 'write_packet' (string expected, got table)",
        function() conn:write_packet("abc", {}) end)
      conn = connect(nil)
      helper.misuse("bad argument #2 to 'write_packet' (this framing has no header)",
        function() conn:write_packet("abc", "Q") end)
      assert.equal(0, conn:info().bytes_written)
    end
  end)

  it("that is malformed is unexpected, and stays", function()
    for _, case in ipairs {
      { "netstring", "012:hello world!,", "a packet begins with '01', it is no netstring" },
      { "netstring", "GET / HTTP/1.1", "a packet begins with 'G', it is no netstring" },
      { "netstring", "3:abcd", "a netstring ends with 'd', a comma expected" },
      { "varint", ("\255"):rep(11), "a length of over 64 bits, it is no varint" },
      { pg, "Q\0\0\0\3", "a length of 3, length_adjustment is %-4" },
      { { prefix = "ZBXD\1" }, "HTTP/1.1", "a packet begins with 'HTTP/', the prefix is 'ZBXD\\u{1}'" },
    } do
      for _, module in ipairs { tcp, safe } do
        local conn = helper.connect(("c.send(%s)"):format(helper.bytes(case[2])), { framing = case[1] }, nil, module)
        for _, name in ipairs { "read_packet", "read_json_packet", "read_packet" } do
          if module == safe then
            helper.fails_safely("unexpected", case[3], conn[name](conn))
          else
            helper.fails("unexpected", "^" .. name .. " .*" .. case[3], function() conn[name](conn) end)
          end
        end
        assert.equal(case[2], conn:read_str())
      end
    end
  end)

  it("gives header and body in every loop", function()
    for _, loop in ipairs(loops) do
      if loop.found then
        for _, module in ipairs { tcp, safe } do
          local conn = helper.connect([[
            c.drip(b"Q\0\0\0\x07abc" * 2)
            c.drip(b"R\0\0\0\x05" + b"1" + b"R\0\0\0\x05" + b"2")
          ]], { framing = pg }, nil, module)
          local got = {}
          loop.within(function()
            got[1] = { conn:read_packet() }
            got[2] = { conn:packets()() }
            got[3] = { conn:read_json_packet() }
            got[4] = { conn:json_packets()() }
          end)
          assert.same({ { "abc", "Q" }, { "abc", "Q" }, { 1, "R" }, { 2, "R" } }, got, loop.name)
        end
      end
    end
  end)
end)

describe("other people's packets:", function()
  after_each(helper.finish)

  for _, size in ipairs { 1, 2, 4 } do
    it(("Erlang's {packet, %d}"):format(size), function()
      if not helper.output("command -v escript"):find "escript" then
        helper.excuse "Erlang"
        return pending "there is no Erlang here"
      end
      local server = helper.program("escript spec/support/packets.escript " .. size, { ready = "^port ([0-9]+)" })
      local conn = helper.keep(tcp.connect("127.0.0.1", server.port, { framing = size, timeout = 10 }))
      for _, body in ipairs { "hello", "\0\255", ("x"):rep(255), size > 1 and ("y"):rep(65535) or "y" } do
        conn:write_packet(body)
        assert.equal(body, conn:read_packet())
      end
      conn:write_json_packet { a = 1 }
      assert.same({ a = 1 }, conn:read_json_packet())
    end)
  end

  it("protobuf's, by its own library for Python", function()
    local python = helper.python_with "google.protobuf"
    if not python then return pending "there is no protobuf for Python here" end
    local server = helper.program(python .. " spec/support/protobuf_peer.py", { ready = "^port ([0-9]+)" })
    local conn = helper.keep(tcp.connect("127.0.0.1", server.port, { framing = "varint", timeout = 10 }))
    -- A string in the first field: its tag, its length, its bytes.
    conn:write_packet "\10\5hello"
    conn:write_packet ""
    conn:write_packet("\10\232\7" .. ("x"):rep(1000))
    assert.equal("\10\5HELLO", conn:read_packet())
    assert.equal("", conn:read_packet())
    assert.equal("\10\232\7" .. ("X"):rep(1000), conn:read_packet())
  end)

  it("PostgreSQL's messages", function()
    local server = helper.postgres()
    if not server then return pending "there is no PostgreSQL here" end
    local conn = helper.keep(tcp.connect("127.0.0.1", server.port, {
      framing = { length_size = 4, length_offset = 1, length_adjustment = -4 }, timeout = 10,
    }))
    local startup = "\0\3\0\0user\0specs\0database\0postgres\0\0"
    conn:send("\0\0\0", string.char(#startup + 4), startup)
    local kinds = {}
    for body, kind in conn:packets() do
      kinds[#kinds + 1] = kind
      if kind == "R" then assert.equal("\0\0\0\0", body) end
      if kind == "Z" then break end
    end
    assert.matches("^RS+KZ$", table.concat(kinds))
    conn:write_packet("select 6 * 7\0", "Q")
    local answer = {}
    for body, kind in conn:packets() do
      answer[kind] = body
      if kind == "Z" then break end
    end
    assert.equal("\0\1\0\0\0\00242", answer.D)
    conn:write_packet("", "X")
    assert.equal("", conn:read_str())
  end)

  it("Modbus TCP", function()
    local conn = helper.connect([[
      registers = [11, 22, 33, 44]
      for _ in range(2):
        transaction, protocol, length = struct.unpack(">HHH", c.recv_exactly(6))
        unit, function, first, count = struct.unpack(">BBHH", c.recv_exactly(length))
        assert (protocol, function) == (0, 3)
        values = struct.pack(">%dH" % count, *registers[first:first + count])
        answer = struct.pack(">BBB", unit, function, len(values)) + values
        c.drip(struct.pack(">HHH", transaction, 0, len(answer)) + answer)
    ]], { framing = { length_size = 2, length_offset = 4 } })
    conn:write_packet("\17\3\0\1\0\2", "\0\1\0\0")
    assert.same({ "\17\3\4\0\22\0\33", "\0\1\0\0" }, { conn:read_packet() })
    conn:write_packet("\17\3\0\0\0\1", "\0\2\0\0")
    assert.same({ "\17\3\2\0\11", "\0\2\0\0" }, { conn:read_packet() })
  end)

  it("DNS over TCP", function()
    local conn = helper.connect([[
      query = c.recv_exactly(struct.unpack(">H", c.recv_exactly(2))[0])
      name = query[12:query.index(b"\0", 12) + 1]
      answer = query[:2] + struct.pack(">HHHHH", 0x8180, 1, 1, 0, 0) + name + struct.pack(">HH", 1, 1)
      answer += b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 60, 4) + bytes([192, 0, 2, 7])
      c.drip(struct.pack(">H", len(answer)) + answer)
    ]], { framing = 2 })
    conn:write_packet("\18\52\1\0\0\1\0\0\0\0\0\0\3www\7example\3com\0\0\1\0\1")
    local answer = conn:read_packet()
    assert.equal("\18\52", answer:sub(1, 2))
    assert.equal("\192\0\2\7", answer:sub(-4))
  end)
end)
