-- server.lua OPTIONS: what `openssl s_server -www` is, on the module's listener: a page for each
-- GET, and everything else ignored. OPTIONS is JSON: the `tls` table of tcp.listen. Prints the
-- port, then a line for each call that lasted longer than its timeout, or failed without a code
-- that is documented.

local tcp = require "tcp.safe"

local timeout = 12 -- longer than any script waits for nothing
local options = tcp.json.decode((assert(arg[1])))
local listener = assert(tcp.listen("127.0.0.1", 0, { tls = options, timeout = timeout, nodelay = true }))
local page = "HTTP/1.0 200 ok\r\nContent-type: text/html\r\n\r\n<html>" .. ("<p>served</p>\n"):rep(300) .. "</html>\n"
local known = {}
for code in ("timeout closed tls certificate io too_large unexpected"):gmatch "%S+" do known[code] = true end

io.stdout:setvbuf "line"
print(listener:port())

-- Calls a method of a connection, and says so where it took too long.
local function call(conn, name, ...)
  local begun = tcp.now()
  local value, message, code = conn[name](conn, ...)
  local took = tcp.now() - begun
  if took > timeout + 0.5 then print(("late: %s took %.2f s"):format(name, took)) end
  if value == nil and not known[code] then print(("odd: %s: %s: %s"):format(name, code, message)) end
  return value
end

local function serve(conn)
  if call(conn, "handshake") then
    local line = call(conn, "read_line", 65536)
    while line and not line:find "^GET " do line = call(conn, "read_line", 65536) end
    if line and call(conn, "send", page) and call(conn, "shutdown") then
      call(conn, "read_str", 65536)
    end
  end
  conn:close()
end

tcp.run(function()
  for conn in listener:connections() do tcp.spawn(serve, conn) end
end)
