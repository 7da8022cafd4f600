-- The end of a connection: `close`, `is_open`, `tostring`, garbage collection and `<close>`.

local helper = require "spec.support.helper"
local tcp = require "tcp"
local safe = require "tcp.safe"

local load = loadstring or load -- luacheck: ignore 113 143

for _, over in ipairs(helper.kinds) do
  describe("a connection over " .. over.name, function()
    after_each(helper.finish)

    local connect = over.connect
    local ending = [[ return c.ending() ]]

    it("is closed once, and may be closed again", function()
      local conn, peer = connect(ending)
      assert.is_nil(conn:close())
      assert.equal("end", peer:result())
      for _ = 1, 3 do assert.is_nil(conn:close()) end
    end)

    it("knows whether it is open", function()
      local conn = connect(ending)
      assert.is_true(conn:is_open())
      conn:close()
      assert.is_false(conn:is_open())
    end)

    it("stays open when its stream has ended, until the script closes it", function()
      local conn = connect [[ c.send(b"x") ]]
      assert.equal("x", conn:read_str())
      assert.is_true(conn:is_open())
      conn:close()
      assert.is_false(conn:is_open())
    end)

    it("shows both its ends, or the path of a Unix socket", function()
      local conn, peer = connect(ending)
      if over.is_unix then
        local path = conn:info().peer.path
        assert.equal("tcp.Connection: unix:" .. path, tostring(conn))
        conn:close()
        assert.equal("tcp.Connection: unix:" .. path .. " (closed)", tostring(conn))
        return
      end
      local port = peer:sees()[2]
      assert.equal(("%s: 127.0.0.1:%d -> 127.0.0.1:%d"):format(over.class, port, peer.port), tostring(conn))
      conn:close()
      assert.equal(("%s: 127.0.0.1:%d -> 127.0.0.1:%d (closed)"):format(over.class, port, peer.port),
        tostring(conn))
    end)

    it("shows IPv6 addresses in brackets", function()
      if over.is_unix then return end
      local conn, peer = connect(ending, nil, { host = "::1", tls = over.name == "TLS" and "good" or nil })
      assert.equal(("%s: [::1]:%d -> [::1]:%d"):format(over.class, peer:sees()[2], peer.port), tostring(conn))
    end)

    it("refuses every call but close, is_open and tostring once it is closed", function()
      for _, module in ipairs { tcp, safe } do
        local conn = connect([[ c.send(b"never read") ]], nil, nil, module)
        conn:close()
        for _, call in ipairs {
          { "read_str" }, { "recv" }, { "read_json" }, { "read_json_packet" }, { "send", "x" },
          { "write_str", "x" }, { "write_json", 1 }, { "write_json_packet", 1 },
        } do
          local method, argument = call[1], call[2]
          local pattern = "^" .. method .. " 127%.0%.0%.1:%d+: closed: "
          if module == tcp then
            helper.fails("closed", pattern, function() conn[method](conn, argument) end)
          else
            helper.fails_safely("closed", pattern, conn[method](conn, argument))
          end
        end
      end
    end)

    it("tells of a wrong argument first, also once it is closed", function()
      local conn = connect([[ c.hold() ]], nil, nil, safe)
      conn:close()
      for _, method in ipairs {
        "read", "read_str", "read_line", "read_until", "recv", "send", "write_str", "write_packet",
        "set_timeout", "set_nodelay",
      } do
        local ok, message = pcall(function() return conn[method](conn, {}) end)
        assert.is_false(ok, method)
        assert.matches("bad argument #1 to '" .. method .. "'", message, 1, true)
      end
    end)

    it("closes at once, though much has come that nobody read", function()
      local conn, peer = connect [[
        try: c.send(b"x" * (1 << 24))
        except OSError: pass
      ]]
      assert.equal(1, #conn:recv(1))
      local before = helper.clock()
      conn:close()
      assert.is_true(helper.clock() - before < 1)
      peer:result()
    end)

    it("closes at once, though the peer reads nothing", function()
      local conn = connect([[ c.hold() ]], { timeout = 0.05, connect_timeout = helper.timeout })
      helper.fails("timeout", "", function() conn:send(("x"):rep(3e7)) end)
      local before = helper.clock()
      conn:close()
      assert.is_true(helper.clock() - before < 1)
    end)

    it("frees its descriptor when it is closed", function()
      local before = helper.sockets()
      local conn = connect(ending)
      assert.equal(before + 1, helper.sockets())
      conn:close()
      assert.equal(before, helper.sockets())
    end)

    it("is closed when it is collected", function()
      collectgarbage()
      collectgarbage()
      local before = helper.sockets()
      local path = over.is_unix and helper.unix_path() or nil
      local peer = helper.listen(ending, { tls = over.name == "TLS" and "good" or nil, path = path })
      do
        local options = { timeout = helper.timeout }
        if over.name == "TLS" then options.ca_file = helper.pem "root" end
        local open = over.name == "TLS" and tcp.connect_tls or tcp.connect
        for _ = 1, 5 do
          if path then tcp.connect_unix(path, options) else open("127.0.0.1", peer.port, options) end
        end
        -- tcp.send keeps the last plain one alive; this one takes its place, and stays.
        if over.name == "TCP" then connect(ending) end
      end
      collectgarbage()
      collectgarbage()
      for i = 1, 5 do assert.equal("end", peer:result(i)) end
      assert.equal(before + (over.name == "TCP" and 1 or 0), helper.sockets())
    end)

    it("is not collected while it is used", function()
      local conn = connect [[ c.drip(b"hello", 0.01) ]]
      collectgarbage()
      assert.equal("hello", conn:read_str())
    end)

    local scoped = load [[
      local connect, code, act = ...
      local conn <close>, peer = connect(code)
      if act then act(conn) end
      return peer, tostring(conn)
    ]]

    if not scoped then return end -- before Lua 5.4

    it("is closed where its scope ends", function()
      local peer, shown = scoped(connect, ending)
      assert.equal("end", peer:result())
      assert.is_nil(shown:find "closed")
    end)

    it("is closed where an error leaves its scope", function()
      local conn
      local ok, message = pcall(scoped, connect, ending, function(opened)
        conn = opened
        error("out of here", 0)
      end)
      assert.is_false(ok)
      assert.equal("out of here", message)
      assert.is_false(conn:is_open())
    end)

    it("may be closed before its scope ends", function()
      assert.has_no_error(function() scoped(connect, ending, function(conn) conn:close() end) end)
    end)
  end)
end

describe("the end of the process", function()
  after_each(helper.finish)

  it("closes what is open", function()
    for _, code in ipairs { "", "os.exit(0, true)", "os.exit(0)" } do
      local peer = helper.listen [[ return c.ending() ]]
      local said, status = helper.run(("conn = require('tcp').connect('127.0.0.1', %d, 3) %s"):format(peer.port, code))
      assert.equal("", said)
      assert.equal(0, status)
      assert.equal("end", peer:result())
    end
  end)
end)
