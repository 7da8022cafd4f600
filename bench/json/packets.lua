-- packets.lua: answers one client. packets.lua PORT: reads 20 JSON packets of 200 KB, and writes
-- them.

local tcp = require "tcp"

local port, count = tonumber(arg[1]), 20

if port then
  local conn = tcp.connect("127.0.0.1", port, 60)
  local value
  for _ = 1, count do value = conn:read_json_packet() end
  for _ = 1, count do conn:write_json_packet(value) end
  conn:shutdown()
  conn:read_str()
  return
end

local numbers = {}
for i = 1, 20000 do numbers[i] = ("%d.5"):format(1000000 + 7 * i) end
local body = "[" .. table.concat(numbers, ",") .. "]"
local listener = tcp.listen("127.0.0.1", 0)
print(listener:port())
io.stdout:flush()
local conn = listener:accept(60)
for _ = 1, count do conn:write_packet(body) end
for _ = 1, count do assert(conn:skip_packet() == #body) end
conn:close()
