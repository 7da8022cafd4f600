-- The end of a TLS stream: with the peer's goodbye (close_notify) it is an end, without it may be
-- an attacker's cut, which is `closed`, unless the script says `close_notify = "ignore"`.

local helper = require "spec.support.helper"
local tcp = require "tcp"
local safe = require "tcp.safe"

-- A peer's code, without its margin: something may go before it.
local function plain(code)
  return (code:gsub("^[ \n]*", ""):gsub("\n +", "\n"))
end

local ways = {
  {
    name = "connect_tls",
    open = function(code, options, listener, module) return (helper.connect_tls(code, options, listener, module)) end,
  },
  {
    name = "start_tls", versions = { "1.3" },
    open = function(code, options, listener, module)
      local handshake = ("c.handshake('good', version=%q)\n"):format(listener.version)
      local conn = helper.connect(handshake .. plain(code), nil, nil, module)
      options = options or {}
      options.ca_file = helper.pem "root"
      return helper.keep(conn:start_tls(options))
    end,
  },
  {
    name = "accept",
    open = function(code, options, listener, module)
      local tls = { cert_file = helper.pem "good", key_file = helper.pem("good", "key") }
      for name, value in pairs(options or {}) do tls[name] = value end
      local listening = helper.keep((module or tcp).listen("127.0.0.1", 0, { tls = tls, timeout = helper.timeout }))
      -- A socket that is closed with something unread is reset: the session tickets are read first.
      helper.dial(listening:port(), "c.recv_exactly(2)\n" .. plain(code), { tls = true, version = listener.version })
      local conn = helper.keep(listening:accept(helper.timeout))
      conn:send "go"
      return conn
    end,
  },
}

for _, way in ipairs(ways) do
  for _, version in ipairs(way.versions or { "1.2", "1.3" }) do
    describe(("a stream of TLS %s by %s"):format(version, way.name), function()
      after_each(helper.finish)

      local function open(bytes, options, module)
        local code = ("c.send(%s)\nc.cut()"):format(helper.bytes(bytes))
        return way.open(code, options, { version = version }, module)
      end

      -- {method, what came, its arguments}: what does not end quietly where the stream was cut.
      for _, case in ipairs {
        { "read_str", "half of it" }, { "read_line", "half of it" }, { "read", "half of it", 100 },
        { "read_until", "half of it", "!" }, { "read_json", "[1, 2" }, { "read_json", "12" },
        { "read_packet", "\0\0\0\9half" }, { "read_json_packet", "\0\0" }, { "skip_packet", "\0\0\0\9" },
      } do
        local method, sent, argument = case[1], case[2], case[3]

        it(("that was cut is closed for %s, and keeps its data (%q)"):format(method, sent:gsub("%z", "0")), function()
          local conn = open(sent)
          helper.fails("closed", ("^%s %%S+: closed: end of stream without TLS close_notify$"):format(method),
            function() conn[method](conn, argument) end)
          -- And again.
          helper.fails("closed", "close_notify", function() conn[method](conn, argument) end)
          if method ~= "skip_packet" then
            assert.equal(#sent, conn:pending())
            assert.equal(sent, conn:recv())
          end
          helper.fails("closed", "^recv %S+: closed: end of stream without TLS close_notify$",
            function() conn:recv() end)
          helper.fails("closed", "close_notify", function() conn:read_str() end)

          local other = open(sent, nil, safe)
          helper.fails_safely("closed", "close_notify", other[method](other, argument))
        end)
      end

      it("that was cut hands out what is whole first", function()
        local conn = open "one\ntwo\nthr"
        assert.equal("one", conn:read_line())
        assert.equal("two", conn:read_line())
        helper.fails("closed", "close_notify", function() conn:read_line() end)
        assert.equal("thr", conn:read(3))
        conn = open "\0\0\0\2[]\0\0\0\1"
        assert.same({}, conn:read_json_packet())
        helper.fails("closed", "close_notify", function() conn:read_json_packet() end)
      end)

      it("that was cut ends no iterator quietly", function()
        for _, module in ipairs { tcp, safe } do
          for name, sent in pairs {
            lines = "a\nb\n", packets = "\0\0\0\1a\0\0\0\1b",
            json_packets = "\0\0\0\0011\0\0\0\0012", json_values = "1 2 ",
          } do
            local conn = open(sent, nil, module)
            local items = 0
            helper.fails("closed", "^" .. name .. " %S+: closed: end of stream without TLS close_notify$", function()
              for _ in conn[name](conn) do items = items + 1 end
            end)
            assert.equal(2, items)
          end
        end
      end)

      it("that was cut before anything came is closed too", function()
        local conn = way.open("c.cut()", nil, { version = version })
        helper.fails("closed", "", function() conn:recv() end)
        helper.fails("closed", "", function() conn:read_str() end)
      end)

      it("that ended with a goodbye has an end", function()
        local function ended() return way.open("c.send(b'all of it')\nc.close()", nil, { version = version }) end
        local conn = ended()
        assert.equal("all of it", conn:read_str())
        assert.equal("", conn:read_str())
        assert.equal("", conn:recv())
        conn = ended()
        assert.equal("all of it", conn:read_line())
        helper.fails("closed", "^read_line %S+: closed: end of stream$", function() conn:read_line() end)
        local items = 0
        for _ in ended():lines() do items = items + 1 end
        assert.equal(1, items)
      end)

      it('that was cut has an end with close_notify = "ignore"', function()
        local conn = open("all of it", { close_notify = "ignore" })
        assert.equal("all of it", conn:read_str())
        assert.equal("", conn:read_str())
        assert.equal("", conn:recv())
        conn = open("one\ntwo", { close_notify = "ignore" })
        local lines = {}
        for line in conn:lines() do lines[#lines + 1] = line end
        assert.same({ "one", "two" }, lines)
        -- What is cut in the middle of an item is closed all the same.
        conn = open("\0\0\0\9half", { close_notify = "ignore" })
        helper.fails("closed", "^read_packet %S+: closed: end of stream", function() conn:read_packet() end)
      end)

      it('keeps the difference with close_notify = "require"', function()
        local conn = open("half of it", { close_notify = "require" })
        helper.fails("closed", "close_notify", function() conn:read_str() end)
      end)

      it("that was reset is closed, whatever close_notify says", function()
        for _, word in ipairs { "require", "ignore" } do
          local conn = way.open("c.reset()", { close_notify = word }, { version = version })
          helper.fails("closed", "reset", function() conn:read_str() end)
        end
      end)

      it("in the midst of a record is cut, and none of that record is handed out", function()
        for _, word in ipairs { "require", "ignore" } do
          local conn = way.open([[
            c.send(b"whole")
            c.raw.sendall(b"\x17\x03\x03\x00\x40" + bytes(20))
            c.cut()
          ]], { close_notify = word }, { version = version })
          assert.equal("whole", conn:read(5))
          local ok, message = pcall(conn.recv, conn)
          if word == "require" then
            assert.is_false(ok)
            assert.matches(": closed: ", message)
          else
            assert.is_true(ok)
            assert.equal("", message)
          end
        end
      end)

      it("with a forged record is refused with tls", function()
        local conn = way.open([[
          c.send(b"whole")
          c.raw.sendall(b"\x17\x03\x03\x00\x20" + bytes(32))
          c.recv()
        ]], nil, { version = version })
        assert.equal("whole", conn:read(5))
        helper.fails("tls", "^recv %S+: tls: ", function() conn:recv() end)
        helper.fails("tls", "^read_str %S+: tls: ", function() conn:read_str() end)
      end)
    end)
  end
end

describe("a client that says something and is gone", function()
  after_each(helper.finish)

  for _, version in ipairs { "1.2", "1.3" } do
    for _, ending in ipairs { "close", "cut" } do
      it(("by %s over TLS %s has said it"):format(ending, version), function()
        local listener = helper.keep(tcp.listen("127.0.0.1", 0, { timeout = helper.timeout,
          tls = { cert_file = helper.pem "good", key_file = helper.pem("good", "key"), close_notify = "ignore" } }))
        for _ = 1, 20 do
          local peer = helper.dial(listener:port(), ("c.send(b'a word')\nc.%s()"):format(ending),
            { tls = true, version = version })
          local conn = helper.keep(listener:accept(helper.timeout))
          if version == "1.3" then
            -- One step at a time, until the client has been answered; then it is through and gone.
            conn:set_timeout(1e-9)
            repeat pcall(conn.handshake, conn) until conn:info().tls.server_name
            peer:result()
            conn:set_timeout(helper.timeout)
          end
          assert.equal("a word", conn:read(6))
          conn:close()
        end
      end)
    end
  end
end)
