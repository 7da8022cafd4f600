-- Runs before each script of a suite (LUA_INIT). With TCP_FACE=1 `tcp.luasocket` takes the place of
-- LuaSocket and LuaSec. With VERIFY_NAMES=0 it verifies no names, as LuaSec. With ELAPSED=1
-- `receive` and `send` give the time that they took as a fourth value, as LuaSocket does where it
-- is built with LUASOCKET_DEBUG, which its test suite asks for.

if os.getenv "TCP_FACE" == "1" then
  local face = require("tcp.luasocket").install()
  face.verify_names = os.getenv "VERIFY_NAMES" ~= "0"
end

if os.getenv "ELAPSED" == "1" then
  local socket = require "socket"
  socket._DEBUG = true
  local server = assert(socket.bind("127.0.0.1", 0))
  local client = assert(socket.connect("127.0.0.1", (select(2, server:getsockname()))))
  local methods = getmetatable(client).__index
  for _, name in ipairs { "receive", "send" } do
    local method = methods[name]
    methods[name] = function(...)
      local before = socket.gettime()
      local one, two, three = method(...)
      return one, two, three, socket.gettime() - before
    end
  end
  client:close()
  server:close()
end

-- What copas asks for, which is this where coroutines can yield across pcall.
package.preload.coxpcall = function()
  return { pcall = pcall, xpcall = xpcall, running = coroutine.running }
end
