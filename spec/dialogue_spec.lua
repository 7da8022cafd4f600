-- What protocols that are no packets are read with: `peek`, `skip`, `read_match`, and lines that
-- keep their ends.

local helper = require "spec.support.helper"
local loops = require "spec.support.loops"
local tcp = require "tcp"
local safe = require "tcp.safe"

local unpack = table.unpack or unpack -- luacheck: ignore 143

for _, over in ipairs(helper.kinds) do
  describe("over " .. over.name, function()
    after_each(helper.finish)

    local connect = over.connect

    describe("peek", function()
      it("gives what read would, and leaves it", function()
        local conn = connect [[ c.drip(b"abcdef") ]]
        assert.equal("abc", conn:peek(3))
        assert.equal("abcd", conn:peek(4))
        assert.equal("", conn:peek(0))
        assert.equal("ab", conn:read(2))
        assert.equal("cdef", conn:peek(4))
        helper.fails("closed", "^peek .*4 of 5 bytes", function() conn:peek(5) end)
        assert.equal("cdef", conn:read_str())
        helper.fails("closed", "^peek .*end of stream", function() conn:peek(1) end)
      end)

      it("gives what is there, and the end of the stream as an empty string", function()
        local conn, peer = connect [[
          c.send(b"ab")
          c.wait()
          c.send(b"cd")
        ]]
        local first = conn:peek()
        assert(first == "a" or first == "ab", first)
        assert.equal("ab", conn:read(2))
        peer:go()
        peer:result()
        assert.equal("cd", conn:peek(2))
        assert.equal("cd", conn:peek())
        assert.equal("cd", conn:read(2))
        assert.equal("", conn:peek())
        assert.equal("", conn:peek())
      end)

      it("has the limit of a read, and its time", function()
        local conn = connect([[
          c.send(b"ab")
          c.hold()
        ]], { max_buffer = 10, timeout = 0.05, connect_timeout = helper.timeout })
        helper.fails("too_large", "^peek .*max_buffer", function() conn:peek(11) end)
        helper.fails("timeout", "^peek .*2 of 3 bytes", function() conn:peek(3) end)
        assert.equal("ab", conn:peek(2))
        for _, wrong in ipairs { -1, 1.5, "x" } do
          assert.has_error(function() conn:peek(wrong) end)
        end
      end)
    end)

    describe("skip", function()
      it("throws bytes away, and gives nothing", function()
        local conn = connect [[ c.drip(b"abcdefgh") ]]
        assert.is_nil(conn:skip(3))
        assert.is_nil(conn:skip(0))
        assert.equal("defgh", conn:read_str())
        helper.fails("closed", "^skip ", function() conn:skip(1) end)
      end)

      it("takes any number, without gathering it", function()
        local conn = connect([[
          for _ in range(50): c.send(b"x" * 1000000)
          c.send(b"next")
        ]], { max_buffer = 100000, timeout = 10 })
        local before = helper.memory "VmRSS"
        conn:skip(50000000)
        assert.is_true(helper.memory "VmRSS" - before < 5e6)
        assert.equal("next", conn:read_str())
      end)

      it("goes on when its time was up, and the next read of another kind finishes it", function()
        for _, read in ipairs { "skip", "recv", "read_line", "read_str", "peek" } do
          local conn, peer = connect([[
            c.send(b"hello")
            c.wait()
            c.send(b"worldrest")
          ]], { timeout = 0.1, connect_timeout = helper.timeout })
          helper.fails("timeout", "^skip .*5 of 10 bytes skipped", function() conn:skip(10) end)
          peer:go()
          peer:result()
          conn:set_timeout(helper.timeout)
          if read == "skip" then
            conn:skip(10)
            assert.equal("rest", conn:read_str())
          else
            assert.equal("rest", conn[read](conn), read)
          end
        end
      end)
    end)

    describe("keep", function()
      it("gives lines with their ends, so that a last one without can be told", function()
        local conn = connect [[ c.drip(b"one\r\ntwo\n\n\rx\r\nlast") ]]
        assert.equal("one\r\n", conn:read_line(nil, "keep"))
        assert.equal("two\n", conn:read_line(3, "keep"))
        assert.equal("\n", conn:read_line(nil, "keep"))
        assert.equal("\rx", conn:read_line())
        assert.equal("last", conn:read_line(10, "keep"))
        helper.fails("closed", "^read_line ", function() conn:read_line(10, "keep") end)
      end)

      it("is for lines, too, beside reads of other kinds", function()
        local conn = connect [[ c.send(b"one\r\ntwo\nthree\nfour\nlast") ]]
        local got = {}
        for line in conn:lines(nil, "keep") do
          got[#got + 1] = line
          if #got == 2 then got[#got + 1] = conn:read_line() end
        end
        assert.same({ "one\r\n", "two\n", "three", "four\n", "last" }, got)
      end)

      it("has the limit without the end", function()
        local conn = connect [[ c.send(b"abc\r\nabcd\r\n") ]]
        local next_line = conn:lines(3, "keep")
        assert.equal("abc\r\n", next_line())
        helper.fails("too_large", "^lines .*3 bytes", function() next_line() end)
        assert.equal("abcd\r\n", conn:read_line(4, "keep"))
      end)

      it("is the only word", function()
        local conn = connect [[ c.send(b"x\n") ]]
        helper.misuse("bad argument #2 to 'read_line' ('keep' expected, got 'kep')",
          function() conn:read_line(1, "kep") end)
        helper.misuse("bad argument #2 to 'lines' ('keep' expected, got 'kep')",
          function() conn:lines(1, "kep")() end)
        helper.misuse("bad argument #2 to 'read_line' (string expected, got boolean)",
          function() conn:read_line(1, true) end)
        assert.equal("x", conn:read_line())
      end)
    end)

    describe("read_match", function()
      it("gives the captures, or the match, and consumes all up to its end", function()
        local conn = connect [[ c.drip(b"220 mail ready\r\nlogin: \xff\xfb\x01$12\r\n") ]]
        assert.same({ "220", "mail ready" }, { conn:read_match "^(%d%d%d) ([^\r\n]*)\r\n" })
        assert.equal("login: ", conn:read_match "[Ll]ogin: ")
        assert.equal(3, conn:read_match "\255.().")
        assert.same({ "12", 4 }, { conn:read_match "%$(%d+)()\r" })
        assert.equal("\n", conn:read_str())
      end)

      it("waits, loses nothing, and leaves what follows", function()
        local conn, peer = connect([[
          c.send(b"waiting for it; ")
          c.wait()
          c.send(b"OK 12\nrest")
        ]], { timeout = 0.05, connect_timeout = helper.timeout })
        for _ = 1, 3 do
          helper.fails("timeout", "^read_match .*after 16 bytes", function() conn:read_match "OK (%d+)\n" end)
        end
        peer:go()
        conn:set_timeout(helper.timeout)
        assert.equal("12", conn:read_match "OK (%d+)\n")
        assert.equal("rest", conn:read_str())
      end)

      it("is closed where the stream ends without a match, which stays", function()
        local conn = connect [[ c.send(b"abc") ]]
        helper.fails("closed", "^read_match .*end of stream", function() conn:read_match "x" end)
        assert.equal("abc", conn:read_str())
        helper.fails("closed", "^read_match .*end of stream", function() conn:read_match "x" end)
      end)

      it("looks at so many bytes", function()
        local conn = connect [[ c.send(b"x" * 70000 + b"end") ]]
        helper.fails("too_large", "^read_match .*no match in 65536 bytes", function() conn:read_match "end" end)
        helper.fails("too_large", "^read_match .*no match in 10 bytes", function()
          conn:read_match("end", { max = 10 })
        end)
        assert.equal("end", conn:read_match("end", { max = 70003 }))
        assert.equal("", conn:read_str())
        conn = connect [[ c.send(b"abcd") ]]
        helper.fails("too_large", "", function() conn:read_match("cd", { max = 3 }) end)
        assert.equal("cd", conn:read_match("cd", { max = 4 }))
      end)

      it("fails where the pattern to reject matches first, and nothing is consumed", function()
        local answer = "554-no service here\r\n554 go away\r\n"
        local conn = connect(("c.send(%s)"):format(helper.bytes(answer)))
        helper.fails("unexpected", "^read_match .*reject has matched '554%-no service here'", function()
          conn:read_match("^(220) ", { reject = "^[45]%d%d[^\r\n]*" })
        end)
        assert.equal("554-no service here", conn:read_line())
        assert.equal("go away", conn:read_match("554 ([^\r\n]*)\r\n", { reject = "away" }))
        conn = connect [[ c.send(b"5" * 1000 + b"\r\n") ]]
        local message = helper.fails("unexpected", "", function() conn:read_match("x", { reject = "5+\r" }) end)
        assert.equal(200, #message:match "'(5+)'")
      end)

      it("matches an end where that of what has come is", function()
        local conn, peer = connect [[
          c.send(b"$ ls\r\nfile\r\nuser@host:~$ ")
          c.wait()
        ]]
        assert.equal("user@host:~", conn:read_match("([^\r\n]*)%$ $"))
        peer:go()
      end)
    end)
  end)
end

describe("read_match", function()
  after_each(helper.finish)

  it("refuses a pattern that is none, before anything is read", function()
    for _, module in ipairs { tcp, safe } do
      local conn, peer = helper.connect([[
        c.wait()
        c.send(b"x")
      ]], nil, nil, module)
      for pattern, why in pairs {
        ["%"] = "malformed pattern (ends with '%')",
        ["a[b"] = "malformed pattern (missing ']')",
        ["(a"] = "unfinished capture",
        ["a)"] = "invalid pattern capture",
        ["%b()"] = "'%b' is not for read_match",
        ["%f[a]"] = "'%f' is not for read_match",
        ["(a)%1"] = "'%1' is not for read_match",
        [("()"):rep(33)] = "too many captures",
        [("a"):rep(1001)] = "a pattern of over 1000 items",
      } do
        helper.misuse(("bad argument #1 to 'read_match' (%s)"):format(why), function() conn:read_match(pattern) end)
        helper.misuse(("bad argument #2 to 'read_match' (option 'reject': %s)"):format(why),
          function() conn:read_match("a", { reject = pattern }) end)
      end
      helper.misuse("bad argument #1 to 'read_match' (string expected, got nil)", function() conn:read_match() end)
      helper.misuse("bad argument #2 to 'read_match' (table expected, got number)",
        function() conn:read_match("x", 5) end)
      helper.misuse("bad argument #2 to 'read_match' (unknown option 'rejects')",
        function() conn:read_match("x", { rejects = "y" }) end)
      helper.misuse("bad argument #2 to 'read_match' (option 'max': 1 or more expected, got 0)",
        function() conn:read_match("x", { max = 0 }) end)
      peer:go()
      assert.equal("x", conn:read_match "x")
      conn:close()
      if module == safe then
        helper.fails_safely("closed", "^read_match ", conn:read_match "x")
      else
        helper.fails("closed", "^read_match ", function() conn:read_match "x" end)
      end
    end
  end)

  it("returns failures in tcp.safe", function()
    local conn = helper.connect([[ c.send(b"550 no\r\n") ]], nil, nil, safe)
    helper.fails_safely("unexpected", "reject has matched '550'", conn:read_match("^2", { reject = "^5%d%d" }))
    helper.fails_safely("closed", "end of stream", conn:read_match "x")
    assert.same({ "550", "no" }, { conn:read_match "(%d+) (%a+)\r\n" })
    helper.fails_safely("closed", "", conn:skip(1))
    helper.fails_safely("closed", "", conn:peek(1))
    assert.equal("", conn:peek())
    conn = helper.connect([[ c.send(b"ab") ]], nil, nil, safe)
    assert.is_true(conn:skip(2))
  end)

  it("waits in every loop", function()
    for _, loop in ipairs(loops) do
      if loop.found then
        for _, module in ipairs { tcp, safe } do
          local conn = helper.connect([[ c.drip(b"one two\nthreefour\nfive") ]], nil, nil, module)
          local got = {}
          loop.within(function()
            got[1] = { conn:read_match "(%a+) (%a+)\n" }
            got[2] = conn:peek(5)
            conn:skip(5)
            got[3] = conn:read_line(nil, "keep")
            got[4] = conn:lines(nil, "keep")()
          end)
          assert.same({ { "one", "two" }, "three", "four\n", "five" }, got, loop.name)
        end
      end
    end
  end)

  it("is busy where another coroutine reads", function()
    for _, loop in ipairs(loops) do
      if loop.found then
        for _, name in ipairs { "peek", "skip", "read_match" } do
          local conn = helper.connect([[ c.hold() ]], { timeout = 0.1, connect_timeout = helper.timeout }, nil, safe)
          local codes = {}
          local function call()
            local _, _, code = conn[name](conn, name == "read_match" and "x" or 1)
            codes[#codes + 1] = code
          end
          loop.within(call, call)
          assert.same({ "busy", "timeout" }, codes, loop.name .. " " .. name)
        end
      end
    end
  end)

  it("takes time in proportion to what comes, whatever the pattern", function()
    local conn = helper.connect([[
      c.send(b"a" * 65535)
      c.recv(1)
      for _ in range(1000): c.send(b"a")
    ]], { timeout = 10 })
    conn:peek(65535)
    conn:send "x"
    local before = os.clock()
    helper.fails("too_large", "", function() conn:read_match(".-.-.-x", { max = 66535 }) end)
    assert(os.clock() - before < 1, "it took " .. os.clock() - before)
  end)

  it("keeps its timeout, and lets others go on, however much there is to capture", function()
    local listener = helper.keep(tcp.listen("127.0.0.1", 0))
    local writer = helper.keep(tcp.connect("127.0.0.1", listener:port(), helper.timeout))
    local reader = helper.keep(listener:accept(helper.timeout))
    local text, pattern = ("a"):rep(20000) .. "x", ("(.-)"):rep(30) .. (".-"):rep(900) .. "x"
    writer:send(text)
    reader:set_timeout(0.05)
    reader:peek(#text)
    local before = helper.clock()
    helper.fails("timeout", "^read_match .*after 20001 bytes", function() reader:read_match(pattern) end)
    assert(helper.clock() - before < 0.5, "it took " .. helper.clock() - before)
    reader:set_timeout(60)
    local turns, captures = 0, nil
    tcp.run(function()
      tcp.spawn(function()
        while not captures do
          turns = turns + 1
          tcp.sleep(0)
        end
      end)
      captures = { reader:read_match(pattern) }
    end)
    assert.equal(30, #captures)
    assert.equal("", table.concat(captures))
    assert(turns > 5, turns .. " turns of another task")
  end)

  -- Park and Miller's generator: what fails can be repeated.
  local seed = tonumber(os.getenv "TCP_SPEC_SEED") or os.time()
  local x = seed % 2147483646 + 1
  local function random(n)
    x = x * 16807 % 2147483647
    return x % n + 1
  end

  local singles = { "a", "b", "1", " ", ".", "%a", "%d", "%s", "%w", "%p", "%l", "%u", "%x", "%c", "%A", "%S", "%.",
    "%%", "[ab]", "[^a]", "[a-c1]", "[%d%s]", "[^%a]", "[]b]", "[^]]", "[a-]", "[%]a]", "$", "^", "[b-a]", "\n", "-" }
  local times = { "", "", "", "*", "+", "-", "?" }

  local function new_pattern()
    local parts, open = { random(4) == 1 and "^" or "" }, 0
    for _ = 1, random(6) do
      local what = random(8)
      if what == 1 then
        parts[#parts + 1], open = "(", open + 1
      elseif what == 2 and open > 0 then
        parts[#parts + 1], open = ")", open - 1
      elseif what == 3 then
        parts[#parts + 1] = "()"
      else
        parts[#parts + 1] = singles[random(#singles)] .. times[random(#times)]
      end
    end
    return table.concat(parts) .. (")"):rep(open) .. (random(6) == 1 and "$" or "")
  end

  local letters = { "a", "b", "c", "1", " ", "A", ".", "\n", "-", "]", "$", "%", "\0", "\255" }

  local function new_text()
    local parts = {}
    for i = 1, random(12) do parts[i] = letters[random(#letters)] end
    return table.concat(parts)
  end

  it("gives what string.find gives, on random patterns and texts", function()
    local listener = helper.keep(tcp.listen("127.0.0.1", 0))
    local writer = helper.keep(safe.connect("127.0.0.1", listener:port(), helper.timeout))
    local reader = helper.keep(listener:accept(helper.timeout))
    reader:set_timeout(helper.timeout)
    local matched = 0
    for round = 1, 3000 do
      local pattern, text = new_pattern(), new_text()
      writer:send(text)
      reader:peek(#text)
      local found = { text:find(pattern) }
      local got = { pcall(function() return reader:read_match(pattern, { max = #text }) end) }
      local where = ("%q in %q, seed %d, round %d"):format(pattern, text, seed, round)
      if found[1] then
        matched = matched + 1
        local captures = found[3] and { unpack(found, 3) } or { text:sub(found[1], found[2]) }
        assert.same({ true, unpack(captures) }, got, where)
        assert.equal(text:sub(found[2] + 1), found[2] < #text and reader:read(#text - found[2]) or "", where)
      else
        assert.is_false(got[1], where)
        assert.matches("too_large", got[2], 1, true)
        reader:read(#text)
      end
    end
    assert(matched > 1000, matched)
  end)

  it("finds the same where the text drips", function()
    local listener = helper.keep(tcp.listen("127.0.0.1", 0))
    local writer = helper.keep(safe.connect("127.0.0.1", listener:port(), helper.timeout))
    local reader = helper.keep(listener:accept(helper.timeout))
    reader:set_timeout(0.001)
    for round = 1, 150 do
      local pattern, text = new_pattern():gsub("%$$", ""), new_text()
      local where = ("%q in %q, seed %d, round %d"):format(pattern, text, seed, round)
      -- A match is taken as soon as there is one: with the first bytes that have it.
      local expected, at
      for i = 0, #text do
        at = { text:sub(1, i):find(pattern) }
        if at[1] then
          expected = at[3] and { unpack(at, 3) } or { text:sub(at[1], at[2]) }
          break
        end
      end
      local got
      for i = 0, #text do
        if i > 0 then
          writer:send(text:sub(i, i))
          reader:set_timeout(helper.timeout)
          reader:peek(i)
          reader:set_timeout(0.001)
        end
        got = { pcall(function() return reader:read_match(pattern) end) }
        if got[1] then
          if at[2] < i then reader:read(i - at[2]) end
          break
        end
      end
      if expected then
        assert.same({ true, unpack(expected) }, got, where)
      else
        assert.is_false(got[1], where)
        reader:read(#text)
      end
    end
  end)
end)
