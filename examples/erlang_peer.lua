-- Talks to an Erlang process over a socket with {packet, 4}: its frames are our packets.
-- usage: escript examples/erlang_peer.escript     prints its port
--        lua examples/erlang_peer.lua HOST PORT WORD...

local tcp = require "tcp"

local host, port = assert(arg[1], "which host?"), assert(tonumber(arg[2]), "which port?")
local conn = tcp.connect(host, port)
for i = 3, #arg do
  conn:write_packet(arg[i]) -- any bytes: here the Erlang side reverses them
  print(arg[i], conn:read_packet())
end
conn:write_packet("") -- a packet may be empty
print("bytes in an empty packet:", #conn:read_packet())
conn:close()
