-- Simple HTTP Communication, the first of the four usage examples.
-- usage: lua examples/simple_http.lua HOST PORT [PATH]

require("tcp").export()

-- The example, word for word ---------------------------------------------------------------------

function fazer_requisicao_http(host, porta, caminho)
    local conn = connect(host, porta, 10)

    -- Send HTTP request
    local requisicao = string.format(
        "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n",
        caminho, host
    )

    -- Use the send method (connection is in the registry)
    send(requisicao)

    -- Read response
    local resposta = recv()

    -- Extract response body (simplified)
    local corpo = resposta:match("\r\n\r\n(.+)$")

    return corpo
end

-- and what runs it ---------------------------------------------------------------------------------

print(fazer_requisicao_http(arg[1], tonumber(arg[2]), arg[3] or "/"))
