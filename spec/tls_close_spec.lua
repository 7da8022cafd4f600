-- What a connection over TLS has sent arrives, although it is closed with something unread: the
-- session tickets of TLS 1.3, or what the peer said besides.

local helper = require "spec.support.helper"
local tcp = require "tcp"

local size = 2000000

-- Says `said` when it is told to, and reads so slowly that most is still under way when the other
-- end is closed. Gives how much came, and in which way it ended if that is none.
local slow = [[
  c.raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
  c.wait()
  c.send(%s)
  count = 0
  try:
    while data := c.recv(16384):
      count += len(data)
      time.sleep(0.001)
  except OSError as failure:
    return "%%s after %%d bytes" %% (failure, count)
  return count
]]

local ways = {
  {
    name = "a client",
    open = function(said, version)
      local peer = helper.listen(slow:format(said), { tls = "good", version = version })
      local options = { timeout = helper.timeout, ca_file = helper.pem "root" }
      return tcp.connect_tls("127.0.0.1", peer.port, options), peer
    end,
  },
  {
    name = "a server",
    open = function(said, version)
      local listener = helper.keep(tcp.listen("127.0.0.1", 0, { timeout = helper.timeout,
        tls = { cert_file = helper.pem "good", key_file = helper.pem("good", "key") } }))
      local peer = helper.dial(listener:port(), slow:format(said), { tls = true, version = version })
      return listener:accept(helper.timeout), peer
    end,
  },
}

-- Bytes that the kernel has for this end and nobody has read, from the table of its sockets.
local function unread(port)
  local pattern = (":%04X %%x+:%%x+ 01 %%x+:(%%x+)"):format(port)
  return tonumber(helper.contents("/proc/net/tcp"):match(pattern), 16)
end

local function wait_for_unread(conn)
  local port, late = conn:info().sock.port, helper.clock() + helper.timeout
  repeat assert(helper.clock() < late, "nothing has come") until unread(port) > 0
end

for _, way in ipairs(ways) do
  for _, version in ipairs { "1.2", "1.3" } do
    -- Where nothing is said, a server's tickets are unread.
    for _, said in ipairs { "b''", "b'x' * 20000" } do
      for _, ending in ipairs { "close", "the collector" } do
        describe(("%s of TLS %s to which %s is said"):format(way.name, version, said), function()
          after_each(helper.finish)

          it("loses nothing that it sent when it is closed by " .. ending, function()
            local conn, peer = way.open(said, version)
            conn:handshake()
            peer:go()
            if said ~= "b''" or (way.name == "a client" and version == "1.3") then wait_for_unread(conn) end
            conn:send(("x"):rep(size))
            if ending == "close" then conn:close() end
            conn = nil -- luacheck: ignore 311
            collectgarbage()
            collectgarbage()
            assert.equal(size, peer:result())
          end)
        end)
      end
    end
  end
end
