-- Bidirectional Communication, the last of the four usage examples.
-- usage: lua examples/chat.lua HOST PORT; then a message a line, and "sair" to stop sending

require("tcp").export()

-- The example, word for word ---------------------------------------------------------------------

function chat_client(host, porta)
    local conn = connect(host, porta)

    -- Thread to receive messages
    local function receber_mensagens()
        while true do
            local mensagem = conn:read_json_packet()
            print("Recebido:", mensagem.texto)
        end
    end

    -- Thread to send messages (simplified)
    local function enviar_mensagens()
        while true do
            io.write("Digite mensagem: ")
            local texto = io.read()
            if texto == "sair" then break end

            conn:write_json_packet({
                tipo = "mensagem",
                texto = texto,
                timestamp = os.time()
            })
        end
    end

    -- Em um ambiente real, isso seria feito com corrotinas
    -- This is a simplification for demonstration
end

-- and what runs it ---------------------------------------------------------------------------------

-- The function above makes its two halves and calls neither. They are taken from it on its last line, where they are
-- its fourth and fifth local (after host, porta and conn), and run one after the other: what is typed is sent until
-- "sair", then what came is printed until the server hangs up.
local receber, enviar
debug.sethook(function(_, linha)
  local lugar = debug.getinfo(2, "fS")
  if lugar.func == chat_client and linha == lugar.lastlinedefined then
    receber = select(2, debug.getlocal(2, 4))
    enviar = select(2, debug.getlocal(2, 5))
  end
end, "l")
chat_client(arg[1], tonumber(arg[2]))
debug.sethook()

enviar()
print()
local _, erro = pcall(receber)
print("End: " .. tostring(erro))
