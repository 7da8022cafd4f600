-- `read_json`: one JSON value, as soon as it is complete.

local helper = require "spec.support.helper"
local tcp = require "tcp"

local null = tcp.json.null

for _, over in ipairs(helper.kinds) do
  describe("read_json over " .. over.name, function()
    after_each(helper.finish)

    local connect = over.connect

    it("gives each kind of value", function()
      -- {JSON text as Python bytes, the value}
      for _, case in ipairs {
        { [=[b'{"status": "ok", "n": [1, 2.5, -3e2]}']=], { status = "ok", n = { 1, 2.5, -300 } } },
        { [=[b'[]']=], {} },
        { [=[b'{}']=], {} },
        { [=[b'[[[]], {"a": {}}]']=], { { {} }, { a = {} } } },
        { [=[b'"text"']=], "text" },
        { [=[b'""']=], "" },
        { [=[b'"\\u00e9\\n\\ud83d\\ude00"']=], "é\n😀" },
        { [=['"é😀"'.encode()]=], "é😀" },
        { [=[b'true']=], true },
        { [=[b'false']=], false },
        { [=[b'null']=], null },
        { [=[b'0']=], 0 },
        { [=[b'-12.5e-1']=], -1.25 },
        { [=[b'9007199254740991']=], 9007199254740991 },
      } do
        local conn = connect(("c.send(%s)"):format(case[1]))
        assert.same(case[2], conn:read_json())
      end
    end)

    it("does not wait for the end of the stream", function()
      for _, text in ipairs { '{"a": [1, {"b": "}"}]}', "[]", '"x\\""', "true", "false", "null", '[1,"]"]' } do
        local conn = connect(("c.send(%s)\nc.hold()"):format(helper.bytes(text)))
        assert.is_not_nil(helper.at_once(function() return conn:read_json() end, text))
      end
    end)

    it("ends a bare number at what cannot belong to it, or at the end", function()
      for _, case in ipairs {
        { "12 ", 12 }, { "12\n", 12 }, { "-0.5e+3\t", -500 }, { "7,", 7 }, { "7]", 7 }, { "12[", 12 }, { '1"', 1 },
      } do
        local conn = connect(("c.send(%s)\nc.hold()"):format(helper.bytes(case[1])))
        assert.equal(case[2], conn:read_json())
      end
      for _, case in ipairs { { "12", 12 }, { "-0.5e+3", -500 }, { "0", 0 } } do
        assert.equal(case[2], connect(("c.drip(b'%s')"):format(case[1])):read_json())
      end
    end)

    it("waits for the rest of a bare number", function()
      local conn, peer = connect([[
        c.send(b"12")
        c.wait()
        c.send(b"34 ")
        c.hold()
      ]], { timeout = 0.05, connect_timeout = helper.timeout })
      helper.fails("timeout", "^read_json ", function() conn:read_json() end)
      peer:go()
      assert.equal(1234, conn:read_json())
    end)

    it("reads values that follow each other, with or without something between", function()
      local conn = connect [[
        c.send(b'{"a":1}{"a":2} \r\n\t[3]"4"\n5 6\ntrue null[7]')
      ]]
      assert.same({ a = 1 }, conn:read_json())
      assert.same({ a = 2 }, conn:read_json())
      assert.same({ 3 }, conn:read_json())
      assert.equal("4", conn:read_json())
      assert.equal(5, conn:read_json())
      assert.equal(6, conn:read_json())
      assert.is_true(conn:read_json())
      assert.equal(null, conn:read_json())
      assert.same({ 7 }, conn:read_json())
      helper.fails("closed", "^read_json ", function() conn:read_json() end)
    end)

    it("reads JSON lines", function()
      local conn = connect [[
        for i in range(500): c.send(json.dumps({"number": i, "text": "x" * i}).encode() + b"\n")
      ]]
      for i = 0, 499 do
        local value = conn:read_json()
        assert.equal(i, value.number)
        assert.equal(i, #value.text)
      end
      helper.fails("closed", "", function() conn:read_json() end)
      assert.matches("^%s*$", conn:recv())
    end)

    it("leaves what follows the value to the next read of any kind", function()
      local conn = connect [[ c.send(b'{"a": "}"}' + packet({"b": 2}) + b"[3] and text") ]]
      assert.same({ a = "}" }, conn:read_json())
      assert.same({ b = 2 }, conn:read_json_packet())
      assert.same({ 3 }, conn:read_json())
      assert.equal(" and text", conn:read_str())
    end)

    it("skips white space before the value, however much", function()
      local conn = connect [[ c.send(b" \t\r\n" * 50000 + b"[1]") ]]
      assert.same({ 1 }, conn:read_json())
    end)

    it("is closed where the stream ends before the value does, and keeps what came", function()
      for _, text in ipairs {
        '{"a": 1', "[1, 2", '"abc', "tru", "nul", "-", "1.", "1e", '"\\u12', "{", '{"a"', "[[]",
      } do
        local conn = connect(("c.send(%s)"):format(helper.bytes(text)))
        helper.fails("closed", "^read_json 127%.0%.0%.1:%d+: closed: ", function() conn:read_json() end)
        helper.fails("closed", "", function() conn:read_json() end)
        assert.equal(text, conn:read_str())
      end
    end)

    it("is closed where nothing comes at all", function()
      helper.fails("closed", "^read_json ", function() connect(""):read_json() end)
      helper.fails("closed", "^read_json ", function() connect([[ c.send(b" \n") ]]):read_json() end)
    end)

    it("is json at the first byte that cannot be, though the stream goes on", function()
      for _, text in ipairs {
        "x", "{x", "[1,]", '{"a" 1', "{'a'", "[1 2", "tRue", "nulL", "nan", "]", "}", ",", ":", '{"a":1,}', "{1:2}",
        "[1}", '{"a":]', "\239\187\191[]", "HTTP/1.1 200 OK", "<html>", '["\\x"', '"\\u12g', "+1 ", ".5 ", "-a",
        "1.a", "1ea", "[1.]", "[-]", '["a\tb', '["a\0b', "\0", "Infinity", "/* */ 1",
      } do
        local conn = connect(("c.send(%s)\nc.hold()"):format(helper.bytes(text)))
        local message = helper.at_once(function()
          return helper.fails("json", "^read_json 127%.0%.0%.1:%d+: json: ", function() conn:read_json() end)
        end, text)
        assert.matches("line 1.* column %d+", message)
      end
    end)

    it("is json where the bytes are no UTF-8", function()
      for _, text in ipairs {
        "\255", "\195(", "\192\175", "\237\160\128", "\245\128\128\128", "a\128", "\226\130(",
      } do
        local conn = connect(("c.send(%s)"):format(helper.bytes('["' .. text .. '"]')))
        helper.fails("json", "^read_json ", function() conn:read_json() end)
      end
    end)

    it("consumes nothing where it is json", function()
      local conn = connect [[ c.send(b'{"a": nope} tail') ]]
      helper.fails("json", "", function() conn:read_json() end)
      helper.fails("json", "", function() conn:read_json() end)
      assert.equal('{"a": nope} tail', conn:read_str())
    end)

    it("says where the JSON is wrong", function()
      local conn = connect [[ c.send(b'{"a": 1,\n "b": [1,\n  x]}') ]]
      helper.fails("json", "line 3.* column 3", function() conn:read_json() end)
    end)

    it("says of a text what decode and read_json_packet say of it", function()
      for _, text in ipairs {
        "x", "tRue", "[nul]", "\n\n [1,]", "[1,\n 2 3]", '{"a" 1}', "{a:1}", '["\\x"]', '["\\ud800"]', '["\\u12g4"]',
        '["\t"]', '["é\255"]', '["é\226\130"]', "é", "[01]", "[1.]", "[-a]", "\n[1e999]", '["é", 1e999, x]',
        "\239\187\191{}", ("["):rep(129), "[1}",
      } do
        local length = "\0\0\0" .. string.char(#text)
        local conn = connect(("c.send(%s)\nc.send(%s)"):format(helper.bytes(length .. text), helper.bytes(text)))
        local function words(fn)
          return helper.fails("json", "", fn):match "line %d+ column %d+: .+$"
        end
        local expected = words(function() tcp.json.decode(text) end)
        assert.equal(expected, words(function() conn:read_json_packet() end), text)
        assert.equal(expected, words(function() conn:read_json() end), text)
      end
    end)

    it("goes on after a timeout, having lost nothing", function()
      local conn, peer = connect([[
        for part in (b'{"na', b'me": "J', "ã".encode()[:1], "ã".encode()[1:] + b'o", "x": "\\', b'u00', b'e9"', b'}'):
          c.send(part)
          c.wait()
      ]], { timeout = 0.04, connect_timeout = helper.timeout })
      for _ = 1, 6 do
        helper.fails("timeout", "^read_json 127%.0%.0%.1:%d+: timeout: ", function() conn:read_json() end)
        peer:go()
      end
      assert.same({ name = "Jão", x = "é" }, conn:read_json())
    end)

    it("takes no longer than its timeout, though bytes drip", function()
      helper.takes(0.15, function()
        return (connect([[ c.drip(b"[" + b"1," * 100, 0.01) ]], { timeout = 0.15, connect_timeout = helper.timeout }))
      end, function(conn)
        helper.fails("timeout", "^read_json ", function() conn:read_json() end)
      end)
    end)

    it("gives a value that has been cut at every byte", function()
      -- Inside names, escapes, surrogate pairs, UTF-8 sequences, numbers and literals.
      local conn = connect [[
        text = '{"ação": ["\\u00e7\\ud83d\\ude00\\"\\\\", -12.5e+2, true, false, null, "€😀"], "b": {}}'.encode()
        for cut in range(1, len(text)):
          c.send(text[:cut])
          time.sleep(0.001)
          c.send(text[cut:])
          c.recv_exactly(1)
        c.send(b'"done"')
      ]]
      local count, value = 0, conn:read_json()
      while value ~= "done" do
        assert.same({ ["ação"] = { 'ç😀"\\', -1250, true, false, null, "€😀" }, b = {} }, value)
        conn:send(".")
        count, value = count + 1, conn:read_json()
      end
      assert.is_true(count > 80)
      helper.fails("closed", "", function() conn:read_json() end)
    end)

    it("gives a value whose bytes all come one by one", function()
      local conn = connect [[
        c.drip('{"ação": ["\\u00e7\\ud83d\\ude00\\"\\\\", -12.5e+2, true, null, "€😀"]}'.encode(), 0.0005)
        c.hold()
      ]]
      assert.same({ ["ação"] = { 'ç😀"\\', -1250, true, null, "€😀" } }, conn:read_json())
    end)

    it("is too_large over max_buffer, which bounds one value", function()
      local conn = connect([[
        c.send(b'"' + b"x" * 998 + b'"')
        try: c.send(b'["' + b"x" * 100000)
        except OSError: pass
        c.hold()
      ]], { max_buffer = 1000 })
      assert.equal(998, #conn:read_json())
      helper.fails("too_large", "^read_json .*1000", function() conn:read_json() end)
      helper.fails("too_large", "", function() conn:read_json() end)
      assert.equal('["', conn:recv(2))
    end)

    it("needs no more time for a value that comes in many pieces", function()
      -- Twice as many bytes must not take four times as long.
      local conn = connect [[
        body = b'"' + b"x" * 1000 + b'",'
        c.send(b"[")
        for _ in range(3000): c.send(body)
        c.send(b"0]")
      ]]
      local before = os.clock()
      assert.equal(3001, #conn:read_json())
      assert.is_true(os.clock() - before < 2, "reading is quadratic")
    end)

    it("counts nesting: 128 levels, no more", function()
      local conn = connect [[ c.send(b"[" * 128 + b"]" * 128) ]]
      local depth, value = 0, conn:read_json()
      while value do depth, value = depth + 1, value[1] end
      assert.equal(128, depth)
      -- An endless run of brackets is refused as soon as it is too deep.
      conn = connect [[
        c.send(b"[" * 100000)
        c.hold()
      ]]
      helper.fails("json", "128", function() conn:read_json() end)
    end)
  end)
end
