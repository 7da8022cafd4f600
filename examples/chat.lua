-- Chat over JSON packets: what is typed goes out, what comes is printed, whichever is first.
-- usage: lua examples/chat.lua HOST PORT; then a message a line, and "sair" to stop sending
local tcp = require "tcp.safe"

local host, port = assert(arg[1], "which host?"), assert(tonumber(arg[2]), "which port?")
local conn = assert(tcp.connect(host, port))
local terminal = 0 -- the descriptor of stdin
-- Else a line that is typed ahead would sit in a buffer, where `poll` cannot see it.
io.stdin:setvbuf "no"
local watched = { conn, terminal } ---@type (tcp.safe.Connection | integer)[]

print("Digite mensagens; \"sair\" termina.")
while true do
  for _, ready in ipairs((assert(tcp.poll(watched)))) do
    if ready == conn then
      local message, why = conn:read_json_packet()
      if not message then
        print("End: " .. why)
        os.exit(0)
      end
      print("Recebido:", message.texto)
    else
      local text = io.read()
      if text and text ~= "sair" then
        assert(conn:write_json_packet { tipo = "mensagem", texto = text, timestamp = os.time() })
      else
        conn:shutdown() -- nothing more from here; what the others say is still read
        watched = { conn }
      end
    end
  end
end
