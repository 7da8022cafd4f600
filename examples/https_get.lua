-- A page over HTTPS: HTTP/1.1 by hand, with a body of known length, in chunks, or until the end.
-- usage: lua examples/https_get.lua HOST [PATH [PORT]]

local tcp = require "tcp"

local host, path, port = assert(arg[1], "which host?"), arg[2] or "/", assert(tonumber(arg[3] or 443))
local conn = tcp.connect_tls(host, port, { timeout = 10, alpn = "http/1.1" })
conn:send("GET ", path, " HTTP/1.1\r\nHost: ", host, "\r\nUser-Agent: lua-tcp\r\nConnection: close\r\n\r\n")

local status = conn:read_line(8192)
local headers = {}
while true do
  local line = conn:read_line(8192)
  if line == "" then break end
  local name, value = line:match "^([^:]+):%s*(.-)%s*$"
  if name then headers[name:lower()] = value end
end

local function read_chunks()
  local parts = {}
  while true do
    local size = assert(tonumber(assert(conn:read_line(1024):match "^%x+", "no chunk"), 16))
    if size == 0 then return table.concat(parts) end
    parts[#parts + 1] = conn:read(size)
    conn:read_line(2) -- the line end behind each chunk
  end
end

local body
if headers["transfer-encoding"] == "chunked" then
  body = read_chunks()
elseif headers["content-length"] then
  body = conn:read(assert(tonumber(headers["content-length"]), "no length"))
else
  body = conn:read_str()
end
conn:close()
io.stderr:write(status, "\n")
io.write(body or "")
os.exit(status:find "^HTTP/1%.%d 2" and 0 or 1)
