-- A client of packet_server.lua: sends numbers, prints their sum.
-- usage: lua examples/packet_client.lua HOST PORT NUMBER...; "stop" for a number ends the server

local tcp = require "tcp"

local numbers, stop = tcp.json.array {}, false
for i = 3, #arg do
  if arg[i] == "stop" then
    stop = true
  else
    numbers[#numbers + 1] = assert(tonumber(arg[i]), arg[i] .. " is not a number")
  end
end

local host, port = assert(arg[1], "which host?"), assert(tonumber(arg[2]), "which port?")
local conn = tcp.connect(host, port, { timeout = 5 })
conn:write_json_packet { numbers = numbers, stop = stop }
local reply = conn:read_json_packet()
conn:close()
print(reply.sum or reply.error)
