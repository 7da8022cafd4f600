-- What once went wrong, by its symptom.

local helper = require "spec.support.helper"
local tcp = require "tcp"
local safe = require "tcp.safe"

-- Resident memory of this process, in kB.
local function resident()
  return tonumber(helper.contents("/proc/self/status"):match "VmRSS:%s*(%d+)")
end

describe("it does not happen again that", function()
  after_each(helper.finish)

  it("a backlog that is never quite sent grows with all that is sent", function()
    local conn = helper.connect([[
      while c.recv(1 << 16): pass
    ]])
    local piece = ("x"):rep(1e6)
    conn:set_timeout(1e-6)
    local function push(total)
      local queued = 0
      while queued < total do
        local ok = pcall(conn.send, conn, piece)
        queued = queued + #piece
        -- Some of it always waits.
        if not ok and queued % 4e6 == 0 then
          conn:set_timeout(0.02)
          pcall(conn.flush, conn)
          conn:set_timeout(1e-6)
        end
      end
    end
    push(6e7)
    local before = resident()
    push(2e8)
    assert(resident() - before < 120000, resident() - before)
  end)

  it("a skip goes on after the connection is closed", function()
    local conn = helper.connect [[
      c.send(b"\0\0\1\0half")
      c.hold()
    ]]
    conn:set_timeout(0.05)
    helper.fails("timeout", "4 of 256 bytes skipped", function() conn:skip_packet() end)
    conn:close()
    helper.fails("closed", "^skip_packet ", function() conn:skip_packet() end)
  end)

  it("what is being skipped counts as something to read", function()
    local conn, peer = helper.connect [[
      c.send(b"\0\0\0\10half")
      c.wait()
      c.send(b"and it")
      c.hold()
    ]]
    conn:set_timeout(0.05)
    helper.fails("timeout", "", function() conn:skip_packet() end)
    assert.same({}, (tcp.poll({ conn }, nil, 0.05)))
    peer:go()
    assert.equal(conn, (tcp.poll({ conn }, nil, 3))[1])
    assert.equal("it", conn:recv():sub(-2))
  end)

  it("a list of pins that holds none lets everybody in", function()
    local port = helper.listen([[ c.hold() ]], { tls = "good" }).port
    for _, pins in ipairs { {}, { primary = ("A"):rep(43) .. "=" }, { [2] = ("A"):rep(43) .. "=" } } do
      local ok, message = pcall(function()
        return tcp.connect_tls("127.0.0.1", port, { verify = false, pin_sha256 = pins })
      end)
      assert.is_false(ok)
      assert.matches("bad argument #3 to 'connect_tls' %(option 'pin_sha256': ", message)
    end
  end)

  it("a certificate is given twice, and one of the two is taken", function()
    helper.fails_safely("io", "", safe.connect_tls("127.0.0.1", 9, { cert_file = "no such file" }))
    local ok, message = pcall(function()
      return tcp.connect_tls("127.0.0.1", 9, { cert_file = "a", cert = "b" })
    end)
    assert.is_false(ok)
    assert.matches("given as a file and as text", message)
  end)

  it("a write after the peer's goodbye is anything but closed", function()
    local conn = helper.connect_tls [[ c.close() ]]
    assert.equal("", conn:read_str())
    local ok, message
    for _ = 1, 200 do
      ok, message = pcall(conn.send, conn, ("x"):rep(1e4))
      if not ok then break end
      tcp.poll({}, {}, 0.01)
    end
    assert.is_false(ok)
    assert.matches(": closed: ", message)
  end)

  it("poll waits where the end of the stream is in the buffer already", function()
    for _, over in ipairs(helper.kinds) do
      local conn = over.connect [[ c.send(b"last line\n") ]]
      assert.equal("last line", conn:read_line())
      assert.equal(conn, (tcp.poll({ conn }, nil, 3))[1])
      assert.equal("", conn:recv())
      assert.equal(conn, (tcp.poll({ conn }, nil, 0))[1])
      assert.is_true(conn:dirty())
      assert.equal(0, conn:timeout())
    end
  end)

  it("a source or a sink takes a mistake of the script for the end", function()
    local conn = helper.connect [[ c.hold() ]]
    helper.misuse("bad argument #1 to 'recv' (1 or more expected, got -1)", function()
      local _ = conn:source(-1)()
    end)
    helper.misuse("bad argument #1 to 'send' (string expected, got table)", function()
      local _ = conn:sink()({})
    end)
    conn:close()
    for _, name in ipairs { "lines", "packets", "json_packets", "json_values", "source", "sink" } do
      helper.fails("closed", "^" .. name .. " ", function() conn[name](conn) end)
    end
  end)

  it("a packet gathers more than max_buffer", function()
    local conn = helper.connect([[ c.send(packet(b"x" * 2000)) ]], { max_buffer = 1000, max_packet = 5000 })
    helper.fails("too_large", "2000", function() conn:read_packet() end)
  end)

  it("a finalizer that closes a connection fails, because the collector was there before", function()
    local port = helper.listen([[ c.hold() ]]).port
    local said, status = helper.run((helper.finalizing .. [[
      local tcp = require "tcp"
      for _ = 1, 3 do
        local holder = {}
        holder.guard = finalized(function()
          local conn = holder.conn
          local ok, message = pcall(conn.close, conn)
          io.write(tostring(ok), tostring(message), tostring(conn:is_open()), " ")
          io.write(type(tostring(conn)), " ")
          ok, message = pcall(function() return conn:read(1) end)
          io.write(tostring(ok), type(message), tostring(message):find ": closed: " and "closed" or "?", "\n")
        end)
        holder.conn = tcp.connect("127.0.0.1", %d, 3)
      end
      collectgarbage()
      collectgarbage()
    ]]):format(port))
    assert.equal(0, status, said)
    assert.equal(("truenilfalse string falsestringclosed\n"):rep(3), said)
  end)

  -- At each instruction of a read in turn, once, a hook uses the same connection.
  local function each_line_once(reader, name)
    local uses = {
      ["looks at"] = function(conn) conn:pending() end,
      ["reads one line of"] = function(_, read) return { read() } end,
      ["reads two lines of"] = function(_, read) return { read(), read() } end,
      ["reads, looks at and reads"] = function(conn, read)
        local first = read()
        conn:pending()
        return { first, read() }
      end,
      ["looks at and reads"] = function(conn, read)
        conn:pending()
        return { read() }
      end,
      ["reads by other calls"] = function(conn)
        local first = conn:read_line(100)
        for line in conn:lines() do return { first, line } end
      end,
      ["raises in"] = function() error "hooked" end,
    }
    for doing, use in pairs(uses) do
      it(("a hook that %s a connection within %s has each line given once"):format(doing, name), function()
        if jit then jit.off() end
        finally(function()
          debug.sethook()
          if jit then jit.on() end
        end)
        local listener = helper.keep(tcp.listen("127.0.0.1", 0))
        for turn = 1, 300 do
          local before, at = turn % 2 * 3, math.ceil(turn / 2)
          local conn = tcp.connect("127.0.0.1", listener:port(), helper.timeout)
          local client, expected = listener:accept(helper.timeout), {}
          for i = 1, 12 do expected[i] = ("%d of many lines"):format(i) end
          client:send(table.concat(expected, "\n"), "\nlast")
          expected[#expected + 1] = "last"
          client:close()
          local read, got, count = reader(conn), {}, 0
          for _ = 1, before do got[#got + 1] = read() end
          local seen, line = {}, nil
          local fine, message = pcall(function()
            debug.sethook(function()
              count = count + 1
              if count == at then
                debug.sethook()
                seen = use(conn, read) or {}
              end
            end, "", 1)
            line = read()
            debug.sethook()
          end)
          assert(fine or message:find "hooked$", message)
          got[#got + 1] = line
          for _, each in ipairs(seen) do got[#got + 1] = each end
          for _ = 1, 20 do
            local _, rest = pcall(read)
            if type(rest) ~= "string" or rest:find ": closed: " then break end
            got[#got + 1] = rest
          end
          conn:close()
          -- What a call gives goes with the error that a hook raises while it returns.
          if not fine and #got < #expected then table.remove(expected, before + 1) end
          table.sort(got)
          table.sort(expected)
          assert.same(expected, got, turn)
        end
      end)
    end
  end
  each_line_once(function(conn) return conn:lines() end, "lines")
  each_line_once(function(conn) return function() return conn:read_line() end end, "read_line")

  it("an error of a hook comes with a traceback, or in place of an end", function()
    local conn = helper.connect [[ c.hold() ]]
    local source = conn:source()
    conn:set_timeout(3)
    local calls = 0
    debug.sethook(function()
      calls = calls + 1
      if calls > 40 then
        debug.sethook()
        error("stop", 0)
      end
    end, "c")
    local ok, message = pcall(function()
      for _ = 1, 100 do local _ = tcp.json.decode "[1,2,3]" end
      return source()
    end)
    debug.sethook()
    assert.is_false(ok)
    assert.equal("stop", message)
  end)
end)
