-- tcp.json.get and read_json_packet with pointers: the part of a text that is asked for.

local helper = require "spec.support.helper"
local tcp = require "tcp"
local safe = require "tcp.safe"

local json = tcp.json
local null = json.null
local get = json.get

local function get_fails(pattern, text, pointers)
  helper.fails("json", pattern, function()
    local value = get(text, pointers)
    return value
  end)
  helper.fails_safely("json", pattern, safe.json.get(text, pointers))
  return (select(2, safe.json.get(text, pointers)))
end

local function refused(pattern, ...)
  for _, module in ipairs { tcp, safe } do
    local ok, message = pcall(module.json.get, ...)
    assert.is_false(ok)
    assert.matches(pattern, message)
  end
end

local function escaped(token)
  return (token:gsub("~", "~0"):gsub("/", "~1"))
end

local names = { "", "a", "b", "a/b", "m~n", "~1", "0", "1", "01", "-", "é", "\"", "\\", "\n", "long name of a member" }

-- A value, and in `paths` a pointer for each value in it with what it leads to.
local function random_value(random, depth, pointer, paths)
  local value
  local kind = random(depth > 4 and 4 or 7)
  if kind == 1 then
    value = null
  elseif kind == 2 then
    value = random(2) == 1
  elseif kind == 3 then
    value = random(1000)
  elseif kind == 4 then
    value = names[random(#names)]
  elseif kind == 5 then
    value = json.array {}
    for i = 1, random(15) - 1 do
      value[i] = random_value(random, depth + 1, pointer .. "/" .. i - 1, paths)
    end
  else
    value = {}
    for _ = 1, random(6) - 1 do
      local name = names[random(#names)]
      if value[name] == nil then
        value[name] = random_value(random, depth + 1, pointer .. "/" .. escaped(name), paths)
      end
    end
  end
  paths[#paths + 1] = { pointer, value }
  return value
end

describe("json.get", function()
  describe("with a pointer", function()
    -- The examples of RFC 6901, section 5.
    local text = [[{ "foo": ["bar", "baz"], "": 0, "a/b": 1, "c%d": 2, "e^f": 3, "g|h": 4, "i\\j": 5, "k\"l": 6,
      " ": 7, "m~n": 8 }]]

    it("gives what it leads to", function()
      assert.same(json.decode(text), get(text, ""))
      assert.same({ "bar", "baz" }, get(text, "/foo"))
      assert.equal("bar", get(text, "/foo/0"))
      for pointer, value in pairs {
        ["/"] = 0, ["/a~1b"] = 1, ["/c%d"] = 2, ["/e^f"] = 3, ["/g|h"] = 4, ["/i\\j"] = 5, ["/k\"l"] = 6, ["/ "] = 7,
        ["/m~0n"] = 8,
      } do
        assert.equal(value, get(text, pointer))
      end
    end)

    it("gives nil where there is nothing", function()
      for _, pointer in ipairs {
        "/bar", "/foo/2", "/foo/-", "/foo/00", "/foo/01", "/foo/+1", "/foo/-1", "/foo/1.0", "/foo/1e0", "/foo/ 1",
        "/foo/", "/foo/18446744073709551616", "/foo/99999999999999999999999", "/foo/0/0", "/foo/bar", "//", "/a",
        "/a~1b/c", "/foo/0/",
      } do
        assert.equal(1, select("#", get(text, pointer)))
        assert.is_nil(get(text, pointer))
        assert.is_nil(safe.json.get(text, pointer))
      end
    end)

    it("takes digits for a name in an object", function()
      assert.equal("a", get('{"01":"a","-":"b","0":"c"}', "/01"))
      assert.equal("b", get('{"01":"a","-":"b","0":"c"}', "/-"))
      assert.equal("c", get('{"01":"a","-":"b","0":"c"}', "/0"))
    end)

    it("undoes ~1 and ~0 once, from the left", function()
      assert.equal(1, get('{"~1":1,"/":2}', "/~01"))
      assert.equal(2, get('{"~1":1,"/":2}', "/~1"))
      assert.equal(3, get('{"~":3,"~0":4}', "/~0"))
      assert.equal(4, get('{"~":3,"~0":4}', "/~00"))
    end)

    it("finds names whatever their escapes in the text", function()
      assert.equal(1, get([[{"\u0061\u00e9\ud83d\ude00\n":1}]], "/aé😀\n"))
      assert.equal(2, get([[{"\u0061":{"\"\\":2}}]], "/a/\"\\"))
      assert.equal("a\nb", get([[{"x\t":"a\nb"}]], "/x\t"))
    end)

    it("gives any value, as decode does", function()
      for _, value in ipairs {
        "null", "true", "false", "-0.5", "1e3", "12", '"a\\u00e9"', "[]", "{}", '[{"a":[null]}]',
      } do
        assert.same(json.decode(value), get(value, ""))
        assert.same(json.decode(value), get('[0, {"a":\n' .. value .. " } ]", "/1/a"))
      end
      assert.equal("[]", json.encode(get('{"a":[]}', "/a")))
    end)

    it("takes the first of equal names, and decodes what it finds as ever", function()
      local twice = '{"a":{"x":1},"a":{"y":2},"b":{"c":1,"c":2}}'
      assert.same({ x = 1 }, get(twice, "/a"))
      assert.is_nil(get(twice, "/a/y"))
      assert.same({ c = 2 }, get(twice, "/b"))
      assert.equal(1, get(twice, "/b/c"))
      assert.same({ { c = 2 }, 1 }, get(twice, { "/b", "/b/c" }))
    end)

    it("is empty, or begins with a slash", function()
      refused("^bad argument #2 to 'get' %(a JSON Pointer is empty or begins with '/'%)", "{}", "a")
      refused("^bad argument #2 to 'get' %(a JSON Pointer is empty or begins with '/'%)", "{}", "#/a")
      refused("^bad argument #2 to 'get' %(in a JSON Pointer '~' stands before 0 or 1%)", "{}", "/a~")
      refused("^bad argument #2 to 'get' %(in a JSON Pointer '~' stands before 0 or 1%)", "{}", "/~2/a")
      refused("^bad argument #2 to 'get' %(not UTF%-8%)", "{}", "/\255")
      refused("^bad argument #2 to 'get' %(string or table expected, got n", "{}")
      refused("^bad argument #2 to 'get' %(string or table expected, got boolean%)", "{}", true)
      refused("^bad argument #1 to 'get' %(string expected, got nil%)", nil, "")
    end)
  end)

  describe("with a list of pointers", function()
    it("gives a table of what they lead to, in the order of the list", function()
      local text = '{"a":1,"b":[10,20,{"c":true}],"d":null}'
      assert.same({ true, 1, 20, null }, get(text, { "/b/2/c", "/a", "/b/1", "/d" }))
      local found = get(text, { "/x", "/a", "/b/9", "/b/0" })
      assert.same({ [2] = 1, [4] = 10 }, found)
      assert.is_nil(getmetatable(found))
      assert.same({}, get(text, { "/x" }))
    end)

    it("finds a value that is in another, and one that is asked for twice", function()
      local text = '{"a":{"b":[1,{"c":2}]}}'
      local found = get(text, { "/a/b/1/c", "/a", "", "/a/b", "/a/b/1/c", "/a/b/0", "/a/x", "/a/b/1/c/d" })
      assert.same({ 2, { b = { 1, { c = 2 } } }, { a = { b = { 1, { c = 2 } } } }, { 1, { c = 2 } }, 2, 1 }, found)
    end)

    it("takes an empty list, and one of many", function()
      assert.same({}, get("{}", {}))
      local pointers, items = {}, {}
      for i = 1, 2000 do
        pointers[i], items[i] = "/" .. 2000 - i, i
      end
      local found = get(json.encode(items), pointers)
      for i = 1, 2000 do
        assert.equal(2001 - i, found[i])
      end
    end)

    it("takes a list of strings alone", function()
      refused("^bad argument #2 to 'get' %(string expected, got boolean%)", "{}", { "/a", true })
      refused("^bad argument #2 to 'get' %(a JSON Pointer is empty or begins with '/'%)", "{}", { "/a", "b" })
      refused("^bad argument #2 to 'get' %(a list of JSON Pointers expected%)", "{}", { a = "/a" })
      refused("^bad argument #2 to 'get' %(a list of JSON Pointers expected%)", "{}", { "/a", nil, "/b", n = 3 })
    end)
  end)

  describe("is strict about what it passes", function()
    it("and fails as decode does, with the same place", function()
      for _, text in ipairs {
        "", " ", "[", "[1", "[1,", "[1,]", "{", '{"a"', '{"a":', '{"a":1', '{"a":1,', '{"a":1,}', "{a:1}", "[1 2]",
        "[01]", "[-]", "[1.]", "[.5]", "[1e]", "[+1]", "[00]", "[tru]", "[nul", "[NaN]", "['a']", '["\\x"]',
        '["\\u12"]', '["\\ud800"]', '["\\udc00"]', '["\1"]', '["\255"]', '["\195"]', '["\237\160\128"]', '{"\255":1}',
        "\239\187\191[1]", "[1]]", "[1] x", "[1]\0", "{} {}", ("["):rep(129) .. ("]"):rep(129), ("["):rep(100000),
        ('{"a":'):rep(129) .. "1" .. ("}"):rep(129), '[\n"a",\n  b]', "[1}", '{"a":1]', '{"a" 1}',
        '{"a":1 "b":2}', "[,1]", "[1,,2]", "{,}",
      } do
        local _, expected = safe.json.decode(text)
        expected = expected:gsub("^decode", "get")
        for _, pointers in ipairs { "/x", "/9", { "/x", "/0/9", "/a/b", "" } } do
          assert.equal(expected, get_fails("", text, pointers))
        end
      end
    end)

    it("names a byte order mark", function()
      get_fails("^get: json: line 1 column 1: a byte order mark", "\239\187\191{}", "/a")
    end)

    it("and lets a number that is out of range pass, but does not give it", function()
      assert.equal(1, get("[1e999,1]", "/1"))
      assert.equal("get: json: line 1 column 4: number out of range", get_fails("", "[0,1e999,1]", "/1"))
    end)

    it("at every cut of a text", function()
      local text = '{"a":[1,-2.5e3,"x\\u00e9\\n",{"b":true}],"c":null,"d":"é"}'
      for length = 0, #text - 1 do
        local cut = text:sub(1, length)
        local _, expected = safe.json.decode(cut)
        assert.equal((expected:gsub("^decode", "get")), get_fails("", cut, "/x"))
      end
    end)
  end)

  describe("ends when all is found", function()
    it("and does not look at what follows", function()
      assert.equal(1, get('{"a":1,,,', "/a"))
      assert.equal(1, get('{"a":1 \255', "/a"))
      assert.same({ 1, 2 }, get('[2,1,"\255', { "/1", "/0" }))
      assert.same({}, get("nonsense", {}))
      assert.equal(12, get("[12,", "/0"))
    end)

    it("but looks at all before it", function()
      get_fails("line 1 column 4: not UTF%-8", '["a\255",1]', "/1")
      get_fails("line 1 column 4: expected", "[1,,2]", "/2")
      get_fails("unexpected text after the value", '{"a":1} x', { "", "/b" })
      get_fails("line 1 column 8", '{"a":1 x', "/b")
    end)
  end)

  it("finds what decode and a look-up find", function()
    local random = helper.generator(3)
    for _ = 1, 300 do
      local paths = {}
      local value = random_value(random, 0, "", paths)
      local text = json.encode(value, { indent = random(4) > 2 and 2 or nil, ascii = random(2) == 1 })
      local pointers, expected = {}, {}
      for i = 1, math.min(#paths, random(12)) do
        local path = paths[random(#paths)]
        pointers[i], expected[i] = path[1], path[2]
        assert.same(path[2], get(text, path[1]))
        assert.is_nil(get(text, path[1] .. "/none"))
      end
      assert.same(expected, get(text, pointers))
    end
  end)

  it("survives any bytes", function()
    local random = helper.generator(5)
    local text = '{"a":[1,-2.5e3,"x\\u00e9\\n",{"b":true}],"c":null,"d":"é"}'
    for _ = 1, 3000 do
      local at = random(#text)
      local broken = text:sub(1, at - 1) .. string.char(random(256) - 1) .. text:sub(at + random(2))
      local value, message = safe.json.decode(broken)
      local found, why = safe.json.get(broken, { "", "/none" })
      assert.same(value, found and found[1])
      assert.equal(message and (message:gsub("^decode", "get")), why)
      safe.json.get(broken, { "/a/3/b", "/d", "/a/2" })
    end
  end)

  it("takes names and depths without end", function()
    local deep = ("/0"):rep(127)
    assert.equal(1, get(("["):rep(128) .. "1" .. ("]"):rep(128), deep .. "/0"))
    assert.is_nil(get(("["):rep(128) .. "1" .. ("]"):rep(128), ("/0"):rep(100000)))
    local name = ("n"):rep(100000)
    assert.equal(1, get('{"' .. name .. '":1}', "/" .. name))
  end)

  it("may be called by a finalizer while it is at work", function()
    local text = json.encode { list = { {}, {}, "x" }, more = ("y"):rep(100) }
    for _ = 1, 200 do
      setmetatable({}, { __gc = function() get(text, { "/list", "/more" }) end })
      local found = get(text, { "/list/2", "/more" })
      assert.equal("x", found[1])
    end
    collectgarbage()
  end)
end)

for _, over in ipairs(helper.kinds) do
  describe("read_json_packet with pointers over " .. over.name, function()
    after_each(helper.finish)

    local connect = over.connect

    it("gives what they lead to, and the next packet after it", function()
      local conn = connect [[
        for value in [{"a": {"b": [1, 2]}}, {"a": 3}, [4], {"c": None}, {"last": True}]: c.send_packet(value)
      ]]
      assert.equal(2, conn:read_json_packet "/a/b/1")
      assert.same({ 3 }, conn:read_json_packet { "/a", "/b" })
      assert.is_nil(conn:read_json_packet "/a")
      assert.equal(null, conn:read_json_packet "/c")
      assert.same({ last = true }, conn:read_json_packet())
    end)

    it("reads a packet that comes a byte at a time", function()
      local conn = connect [[ c.drip(packet({"name": "Conceição", "list": [1, 2, 3]}) + packet([5])) ]]
      assert.same({ 3, "Conceição" }, conn:read_json_packet { "/list/2", "/name" })
      assert.equal(5, conn:read_json_packet "/0")
    end)

    it("consumes a packet that is no JSON where it passes", function()
      local conn = connect [[
        for value in [b'{"a": 1, x', b'{"a": 1, x', {"good": 1}]: c.send_packet(value)
      ]]
      assert.equal(1, conn:read_json_packet "/a")
      helper.fails("json", "^read_json_packet 127%.0%.0%.1:%d+: json: line 1 column 10", function()
        conn:read_json_packet "/b"
      end)
      assert.same({ good = 1 }, conn:read_json_packet(nil))
    end)

    it("does as the connection's options say", function()
      local conn = connect([[ c.send_packet(b'{"n": null, "l": [null], "i": 123456789012345678901}') ]],
        { null = "nil", bigint = "string" })
      assert.same({ nil, { null }, null, "123456789012345678901" },
        conn:read_json_packet { "/n", "/l", "/l/0", "/i" })
    end)

    it("refuses what is no pointer before it reads", function()
      local conn = connect [[ c.send_packet([1]) ]]
      for _, wrong in ipairs { "a", "/~", { "/a", 1 }, true } do
        local ok, message = pcall(conn.read_json_packet, conn, wrong)
        assert.is_false(ok)
        assert.matches("bad argument #1 to 'read_json_packet'", message)
      end
      assert.equal(1, conn:read_json_packet "/0")
    end)

    it("loses nothing when it times out", function()
      local conn = connect([[
        c.send(packet({"a": 1})[:7])
        c.recv_exactly(2)
        c.send(packet({"a": 1})[7:])
      ]], { timeout = 0.05, connect_timeout = helper.timeout })
      helper.fails("timeout", "3 of 8 bytes", function() conn:read_json_packet "/a" end)
      conn:send "go"
      conn:set_timeout(helper.timeout)
      assert.equal(1, conn:read_json_packet "/a")
    end)
  end)
end
