-- A server of JSON packets: it adds up what it is sent, for many clients at once.
-- usage: lua examples/packet_server.lua PORT; ends with a client that sends {"stop": true}

local tcp = require "tcp.safe"

local port = assert(tonumber(arg[1]), "which port?")
local listener = assert(tcp.listen("127.0.0.1", port, { timeout = 5, max_packet = 65536 }))
print("listening on port " .. listener:port())
io.stdout:flush()
local function sum(numbers)
  local total = 0 ---@type number
  for _, number in ipairs(type(numbers) == "table" and numbers or {}) do
    total = total + (tonumber(number) or 0)
  end
  return total
end

local clients, running = {}, true
while running do
  local readers = { listener }
  for client in pairs(clients) do readers[#readers + 1] = client end
  for _, ready in ipairs((assert(tcp.poll(readers)))) do
    if ready == listener then
      local client = listener:accept(0)
      if client then clients[client] = true end
    else ---@cast ready tcp.safe.Connection
      -- A client that stops in the midst of a packet holds up the others for 5 seconds, and is out.
      local request, message, code = ready:read_json_packet()
      if code == "json" then
        ready:write_json_packet { error = message }
      elseif type(request) ~= "table" then -- the end, a failure, or no object
        clients[ready] = nil
        ready:close()
      else
        ready:write_json_packet { sum = sum(request.numbers) }
        running = not request.stop
      end
    end
  end
end
