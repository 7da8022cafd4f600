-- `lines`, `packets`, `json_packets`, `json_values`: reading in a for loop.
-- luacheck: ignore 512 (a loop left after its first item is what is shown)

local helper = require "spec.support.helper"
local tcp = require "tcp"
local safe = require "tcp.safe"

-- {iterator, the method behind it, a peer's code for three items, the items, one that is torn}
local iterators = {
  { "lines", "read_line", [[c.send(b"one\r\n\nthree")]], { "one", "", "three" } },
  { "packets", "read_packet", [[c.send(packet(b"one") + packet(b"") + packet(b"three"))]], { "one", "", "three" },
    [[c.send(b"\0\0\0\x05ab")]] },
  { "json_packets", "read_json_packet", [[c.send(packet([1]) + packet(False) + packet({"a": 3}))]],
    { { 1 }, false, { a = 3 } }, [[c.send(b"\0\0\0")]] },
  { "json_values", "read_json", [=[c.send(b' [1]\n false {"a": 3} \n')]=], { { 1 }, false, { a = 3 } },
    [[c.send(b'{"a":')]] },
}

for _, over in ipairs(helper.kinds) do
  for _, case in ipairs(iterators) do
    local name, method, code, items, torn = case[1], case[2], case[3], case[4], case[5]

    describe(name .. " over " .. over.name, function()
      after_each(helper.finish)

      local connect = over.connect

      it("gives each, and ends with the stream", function()
        for _, sending in ipairs { code, (code:gsub("^c%.send", "c.drip")) } do
          local conn, got = connect(sending), {}
          for item in conn[name](conn) do got[#got + 1] = item end
          assert.same(items, got)
          assert.matches("^%s*$", conn:recv())
        end
      end)

      it("gives nothing where nothing comes", function()
        local conn = connect ""
        for item in conn[name](conn) do error("an item: " .. tostring(item)) end
      end)

      it("leaves to other reads what it has not given", function()
        local conn = connect(code)
        for item in conn[name](conn) do
          assert.same(items[1], item)
          break
        end
        assert.same(items[2], conn[method](conn))
        for item in conn[name](conn) do assert.same(items[3], item) end
        assert.matches("^%s*$", conn:recv())
      end)

      it("may be called by hand, and stays at its end", function()
        local conn = connect(code)
        local following, state, start = conn[name](conn)
        for _, item in ipairs(items) do assert.same(item, (following(state, start))) end
        assert.is_nil((following(state, start)))
        assert.is_nil((following(state, start)))
      end)

      it("throws, in tcp.safe too, and goes on after a timeout", function()
        for _, module in ipairs { tcp, safe } do
          local conn, peer = connect(("c.wait()\n%s"):format(code),
            { timeout = 0.05, connect_timeout = helper.timeout }, nil, module)
          local function first()
            for item in conn[name](conn) do return item end
          end
          local ok, message = pcall(first)
          assert.is_false(ok)
          assert.matches("^%S+spec%.lua:%d+: %l[%l_]+ " .. over.label .. ": timeout: ", message)
          peer:go()
          peer:result()
          assert.same(items[1], first())
        end
      end)

      if torn then
        it("throws where the stream ends inside an item", function()
          for _, module in ipairs { tcp, safe } do
            local conn = connect(torn, nil, nil, module)
            local ok, message = pcall(function()
              for item in conn[name](conn) do error("an item: " .. tostring(item)) end
            end)
            assert.is_false(ok)
            assert.matches(": closed: ", message)
          end
        end)
      end

      it("throws once the connection is closed", function()
        local conn = connect(code)
        local following, state, start = conn[name](conn)
        assert.same(items[1], (following(state, start)))
        conn:close()
        local ok, message = pcall(following, state, start)
        assert.is_false(ok)
        assert.matches(": closed: ", message)
      end)
    end)
  end

  describe("iterators over " .. over.name, function()
    after_each(helper.finish)

    local connect = over.connect

    it("can be mixed with every other read, line by line", function()
      local conn = connect [[
        c.send(b"one\ntwo\n[3]\n" + packet(b"four") + b"five\nsix\n" + b"x" * 10)
        c.hold()
      ]]
      local lines = conn:lines()
      assert.equal("one", lines(nil, nil))
      for line in conn:lines() do
        assert.equal("two", line)
        break
      end
      for value in conn:json_values() do
        assert.same({ 3 }, value)
        break
      end
      assert.equal("", conn:read_line())
      for body in conn:packets() do
        assert.equal("four", body)
        break
      end
      for line in conn:lines() do
        if line == "six" then break end
        assert.equal("five", line)
      end
      assert.equal(("x"):rep(10), conn:read(10))
    end)

    it("gives 20,000 lines quickly, and each of them", function()
      local conn = connect [[ c.send(b"".join(b"line %d\r\n" % i for i in range(20000))) ]]
      local count = 0
      for line in conn:lines() do
        if line ~= "line " .. count then assert.equal("line " .. count, line) end
        count = count + 1
      end
      assert.equal(20000, count)
    end)

    it("refuses a line over max_buffer", function()
      local conn = connect([[
        c.send(b"short\n" + b"x" * 2000 + b"\n")
      ]], { max_buffer = 1000 })
      local ok, message = pcall(function()
        for line in conn:lines() do assert.equal("short", line) end
      end)
      assert.is_false(ok)
      assert.matches(": too_large: ", message)
    end)

    it("goes on behind a packet that is no JSON", function()
      local conn = connect [[ c.send(packet(1) + packet(b"nope") + packet(3)) ]]
      local following, state, start = conn:json_packets()
      assert.equal(1, (following(state, start)))
      local ok, message = pcall(following, state, start)
      assert.is_false(ok)
      assert.matches(": json: ", message)
      assert.equal(3, (following(state, start)))
      assert.is_nil((following(state, start)))
    end)

    it("gives null as tcp.json.null, so that the loop goes on", function()
      local null = tcp.json.null
      for _, option in ipairs { "null", "nil" } do
        local conn, count = connect([[ c.send(b"1 null 2") ]], { null = option }), 0
        for value in conn:json_values() do
          count = count + 1
          if count == 2 then assert.equal(null, value) end
        end
        assert.equal(3, count)
      end
    end)
  end)
end

-- A block of lines is cut at once; what is not handed out is still the connection's.
describe("lines", function()
  after_each(helper.finish)

  local function numbered(count)
    return ([[
      c.send(b"".join(b"line %%d\r\n" %% i for i in range(1, %d)))
    ]]):format(count + 1)
  end

  it("mix with every other call, in the middle of the loop", function()
    local conn = helper.connect(numbered(1000))
    local n = 0
    for line in conn:lines() do
      n = n + 1
      assert.equal("line " .. n, line)
      if n % 3 == 0 then
        n = n + 1
        assert.equal("line " .. n, conn:read_line())
      elseif n % 7 == 0 then
        n = n + 1
        assert.equal("l", conn:recv(1))
        assert.equal("ine " .. n, conn:read_until "\r\n")
      elseif n % 11 == 0 then
        local before = conn:pending()
        assert.equal(before, conn:pending())
        assert.is_true(conn:is_open())
      end
    end
    assert.equal(1000, n)
  end)

  it("may be read by several loops in turns", function()
    local conn = helper.connect(numbered(99))
    local loops = { conn:lines(), conn:lines(), conn:lines(5) }
    for n = 1, 99 do
      local ok, line = pcall(loops[n % 2 + 1])
      assert.is_true(ok, line)
      assert.equal("line " .. n, line)
    end
    assert.is_nil(loops[1]())
    assert.is_nil(loops[2]())
    assert.is_nil(loops[3]())
  end)

  it("are all there where a finalizer takes one in the midst of another", function()
    local conn = helper.connect [[ c.send(b"one\ntwo\nthree\nfour\n") ]]
    local sub, lines, taken = string.sub, nil, nil
    -- Where the iterator is in Lua, it makes a line by this, and memory may be collected for it.
    string.sub = function(...) -- luacheck: ignore 122
      local line = sub(...)
      if not taken then
        taken = {}
        taken[1] = lines()
      end
      return line
    end
    lines = conn:lines()
    local given = {}
    local ok, message = pcall(function()
      for line in lines do
        given[#given + 1] = line
      end
    end)
    string.sub = sub -- luacheck: ignore 122
    assert(ok, message)
    if taken then table.insert(given, 1, taken[1]) end
    assert.same({ "one", "two", "three", "four" }, given)
  end)

  it("count only what was handed out", function()
    local conn = helper.connect [[ c.send(b"one\ntwo\nthree") ]]
    assert.equal(conn, (tcp.poll({ conn }, nil, 3))[1])
    for line in conn:lines() do
      assert.equal("one", line)
      break
    end
    assert.equal("two\nthree", conn:read_str())
  end)

  it("end in an error at the line that is too long, and not before", function()
    local conn = helper.connect [[ c.send(b"a\r\nbb\nccc\nd\n") ]]
    local lines = conn:lines(2)
    assert.equal("a", lines())
    assert.equal("bb", lines())
    helper.fails("too_large", "^lines ", function()
      local _ = lines()
    end)
    assert.equal("ccc\nd\n", conn:read_str())
  end)

  it("are what came before the connection was closed, and then closed", function()
    local conn = helper.connect [[ c.send(b"one\ntwo\n") ]]
    local lines = conn:lines()
    assert.equal("one", lines())
    conn:close()
    helper.fails("closed", "^lines ", function()
      local _ = lines()
    end)
  end)
end)
