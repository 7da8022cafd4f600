-- JSON API Client, the second of the four usage examples.
-- usage: lua examples/json_api.lua [PORT]

local tcp = require("tcp").export()
-- The example connects to api.exemplo.com, port 443, which nobody has: with PORT, a server on this machine stands in
-- for it. The certificate is still verified, and for the name that the example asks for.
if arg[1] then
  function connect_tls(host, port)
    assert(host == "api.exemplo.com" and port == 443)
    return tcp.connect_tls("127.0.0.1", assert(tonumber(arg[1])), { server_name = host })
  end
end

-- The example, word for word ---------------------------------------------------------------------

function consultar_api_json(endpoint, dados)
    local conn = connect_tls("api.exemplo.com", 443)

    -- Send data as a JSON packet
    conn:write_json_packet({
        endpoint = endpoint,
        dados = dados,
        timestamp = os.time()
    })

    -- Wait for response
    local resposta = conn:read_json_packet()

    return resposta
end

-- Exemplo de uso
local resultado = consultar_api_json("/usuarios", {id = 123})
if resultado.success then
    print("Usuário:", resultado.usuario.nome)
end

-- and what runs it ---------------------------------------------------------------------------------

print("success:", resultado.success)
