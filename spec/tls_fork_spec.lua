-- Processes that share a TLS connection after a fork: the one that goes on with it is not disturbed
-- by another one that ends or closes it.

local helper = require "spec.support.helper"

-- What the processes begin with.
local prelude = helper.forking() .. [[
  local tcp = require "tcp"
  local function connect(port)
    return tcp.connect_tls("localhost", port, { ca_file = %q, timeout = 5 })
  end
]]

local function run(code, ...)
  return helper.run_well((prelude .. code):format(helper.pem "root", ...))
end

for _, version in ipairs { "1.2", "1.3" } do
  describe("after a fork, over TLS " .. version .. ",", function()
    after_each(helper.finish)

    -- Each word is answered; gives how it ended.
    local function answering()
      return helper.listen([[
        while True:
          data = c.recv()
          if not data: return "goodbye"
          c.send(data.upper())
      ]], { tls = "good", version = version })
    end

    for _, way in ipairs {
      { "closes", "conn:close()" }, { "collects", "conn = nil collectgarbage() collectgarbage()" },
    } do
      it("a worker that " .. way[1] .. " what it inherited leaves it to its parent", function()
        local peer = answering()
        assert.equal("BEFORE AFTER", run([[
          local conn = connect(%d)
          conn:send "before"
          io.write(conn:recv(), " ")
          io.stdout:flush()
          if fork() == 0 then
            %s
            os.exit(0)
          end
          assert(wait() == 0)
          conn:send "after"
          io.write(conn:recv())
          conn:close()
        ]], peer.port, way[2]))
        assert.equal("goodbye", peer:result())
      end)

      it("a worker that " .. way[1] .. " what it inherited leaves what has come unread", function()
        local peer = helper.listen("c.recv()\nc.send(b'a word')\nc.recv()", { tls = "good", version = version })
        assert.equal("a word", run([[
          local conn = connect(%d)
          conn:send "go"
          repeat until #tcp.poll({ conn:fd() }, nil, 5) > 0
          if fork() == 0 then
            %s
            os.exit(0)
          end
          assert(wait() == 0)
          io.write(conn:read(6))
          conn:close()
        ]], peer.port, way[2]))
      end)

      it("a daemon goes on with what its parent " .. way[1], function()
        local peer = answering()
        assert.equal("BEFORE AFTER", run([[
          local conn = connect(%d)
          conn:send "before"
          io.write(conn:recv(), " ")
          io.stdout:flush()
          if fork() ~= 0 then
            %s
            os.exit(wait())
          end
          os.execute "sleep 0.1"
          conn:send "after"
          io.write(conn:recv())
          io.stdout:flush()
          conn:close()
          os.exit(0)
        ]], peer.port, way[2]))
        assert.equal("goodbye", peer:result())
      end)
    end

    it("a server serves each client in a process of its own", function()
      local said = run([[
        local listener = tcp.listen("127.0.0.1", 0, { tls = { cert_file = %q, key_file = %q } })
        local port = listener:port()
        if fork() == 0 then
          for i = 1, 3 do
            local conn = connect(port)
            conn:send("client " .. i .. "\n")
            io.write(conn:read_str(), " ")
          end
          io.stdout:flush()
          os.exit(0)
        end
        for _ = 1, 3 do
          local conn = listener:accept(5)
          if fork() == 0 then
            os.execute "sleep 0.05"
            conn:send("served " .. conn:read_line())
            conn:close()
            os.exit(0)
          end
          conn:close()
        end
        for _ = 1, 4 do assert(wait() == 0) end
      ]], helper.pem "good", helper.pem("good", "key"))
      assert.equal("served client 1 served client 2 served client 3 ", said)
    end)

    it("programs that the script starts change nothing", function()
      local peer = answering()
      run([[
        local conn = connect(%d)
        os.execute "true"
        io.popen("true"):close()
        conn:close()
      ]], peer.port)
      assert.equal("goodbye", peer:result())
    end)
  end)
end
