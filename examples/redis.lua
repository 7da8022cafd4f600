-- Redis by hand: its protocol (RESP) is lines, and strings with a length in front.
-- usage: lua examples/redis.lua HOST PORT COMMAND [ARGUMENT]...

local tcp = require "tcp"

local function write_command(conn, words)
  local parts = { "*" .. #words .. "\r\n" }
  for _, word in ipairs(words) do
    parts[#parts + 1] = ("$%d\r\n%s\r\n"):format(#word, word)
  end
  conn:send(table.concat(parts))
end

-- A reply: a string, a number, a list, or nil for what does not exist.
local function read_reply(conn)
  local line = conn:read_line(65536)
  local kind, rest = line:sub(1, 1), line:sub(2)
  if kind == "+" then return rest end
  if kind == "-" then error(rest, 0) end
  local number = assert(tonumber(rest), "not a reply of Redis")
  if kind == ":" then return number end
  if number < 0 then return nil end
  if kind == "$" then return conn:read(number + 2):sub(1, number) end
  local list = {}
  for i = 1, number do list[i] = read_reply(conn) or "(nil)" end
  return list
end

local host, port = assert(arg[1], "which host?"), assert(tonumber(arg[2]), "which port?")
local conn = tcp.connect(host, port)
write_command(conn, { (table.unpack or unpack)(arg, 3) }) -- luacheck: ignore 143
local reply = read_reply(conn)
conn:close()
print(type(reply) == "table" and table.concat(reply, "\n") or tostring(reply))
