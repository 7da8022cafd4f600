-- TCP Service Monitoring, the third of the four usage examples.
-- usage: lua examples/monitor.lua HOST PORT [HOST PORT]...

local tcp = require("tcp").export()

-- The example, word for word ---------------------------------------------------------------------

function verificar_servico_tcp(host, porta)
    local inicio = os.time()
    local sucesso, conn = pcall(connect, host, porta, 5)

    if sucesso then
        local tempo_resposta = os.time() - inicio

        -- Test basic communication
        conn:write_json_packet({ping = true})
        local resposta = conn:read_json_packet()

        if resposta and resposta.pong then
            return {
                status = "online",
                tempo_resposta = tempo_resposta,
                versao = resposta.versao
            }
        end
    end

    return {
        status = "offline",
        erro = conn  -- conn contains the error message when pcall fails
    }
end

-- and what runs it ---------------------------------------------------------------------------------

for i = 1, #arg, 2 do
  local inicio, estado = tcp.now(), verificar_servico_tcp(arg[i], tonumber(arg[i + 1]))
  print(("%s:%s is %s, %.1f ms"):format(arg[i], arg[i + 1], estado.status, (tcp.now() - inicio) * 1000))
  print(estado.erro or "  version " .. estado.versao)
end
