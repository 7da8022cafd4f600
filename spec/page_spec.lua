-- The page that the module began from: its examples, word for word, against real servers.
--
-- The page's hosts exist nowhere, so the exported functions look them up in a table first: which
-- of our servers stands for which host and port. Nothing else is between the examples and the
-- module; over TLS the certificate is verified for the page's own host name. Where the machine
-- allows a network namespace, they run once more with no such table at all.

local helper = require "spec.support.helper"
local tcp = require "tcp"

local load = loadstring or load -- luacheck: ignore 113 143

local http = [==[
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
]==]

local api = [==[
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
]==]

local monitor = [==[
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
]==]

local chat = [==[
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
]==]

-- The small examples, one for each function.
local small = {
  connect = [==[
-- Connect to a server on port 8080 with a 10-second timeout
local conn = tcp.connect("servidor.exemplo.com", 8080, 10)

-- Connect with default timeout (5 seconds)
local conn2 = tcp.connect("192.168.1.100", 3000)
]==],
  connect_tls = [==[
-- Connect via TLS on port 443
local conn = tcp.connect_tls("api.exemplo.com", 443)

-- Connect with custom timeout
local conn2 = tcp.connect_tls("servidor-seguro.com", 8443, 15)
]==],
  send = [==[
-- Primeiro estabelece uma conexão
local conn = tcp.connect("servidor.exemplo.com", 8080)

-- Envia dados
send("GET / HTTP/1.1\r\nHost: servidor.exemplo.com\r\n\r\n")
]==],
  recv = [==[
-- Recebe resposta
local resposta = tcp.recv()
print("Resposta recebida:", resposta)
]==],
  read_str = [==[
local conn = tcp.connect("servidor.exemplo.com", 8080)
local dados = conn:read_str()
print("Dados recebidos:", dados)
]==],
  read_json = [==[
local conn = tcp.connect("api.exemplo.com", 3000)
local dados_json = conn:read_json()

-- Acessar dados decodificados
print("Status:", dados_json.status)
print("Mensagem:", dados_json.message)
]==],
  read_json_packet = [==[
local conn = tcp.connect("servidor-binario.com", 9000)
local pacote = conn:read_json_packet()
print("Pacote recebido:", pacote)
]==],
  write_json_packet = [==[
local conn = connect("servidor-binario.com", 9000)

-- Enviar um pacote JSON
local dados = {
    comando = "atualizar",
    id = 123,
    valores = {10, 20, 30}
}
conn:write_json_packet(dados)
]==],
}

-- What the servers do.

local web_server = [[
  request = b""
  while not request.endswith(b"\r\n\r\n"): request += c.recv_exactly(1)
  c.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\nbom dia")
  return request
]]
local api_server = [[
  request = json.loads(c.recv_packet())
  c.send_packet({"success": True, "usuario": {"nome": "João", "id": request["dados"]["id"]}})
  return request["endpoint"], request["timestamp"] > 1600000000, c.sni
]]
local ping_server = [[
  ping = json.loads(c.recv_packet())
  c.send_packet({"pong": ping["ping"], "versao": "1.4.2"})
]]

local names = {
  "fazer_requisicao_http", "consultar_api_json", "verificar_servico_tcp", "chat_client",
  "connect", "connect_tls", "send", "recv", "tcp", "print",
}

describe("the page", function()
  local saved, places, printed

  before_each(function()
    saved, places, printed = {}, {}, {}
    for _, name in ipairs(names) do saved[name] = rawget(_G, name) end
    assert.equal(tcp, tcp.export())
    local connect, connect_tls = _G.connect, _G.connect_tls

    function _G.connect(host, port, timeout)
      local place = assert(places[host .. ":" .. port], "no such place on the page")
      return helper.keep(connect("127.0.0.1", place, timeout))
    end

    function _G.connect_tls(host, port, timeout)
      local place = assert(places[host .. ":" .. port], "no such place on the page")
      return helper.keep(connect_tls("127.0.0.1", place,
        { timeout = timeout, server_name = host, ca_file = helper.pem "root" }))
    end

    _G.tcp = setmetatable({ connect = _G.connect, connect_tls = _G.connect_tls }, { __index = tcp })

    function _G.print(...)
      local words = {}
      for i = 1, select("#", ...) do words[i] = tostring((select(i, ...))) end
      printed[#printed + 1] = table.concat(words, "\t")
    end
  end)

  after_each(function()
    for _, name in ipairs(names) do rawset(_G, name, saved[name]) end
    helper.finish()
  end)

  -- Has a peer stand for one of the page's places.
  local function stand_for(place, code, options)
    local peer = helper.listen(code, options)
    places[place] = peer.port
    return peer
  end

  local function run(example)
    assert(load(example, "=the page"))()
  end

  describe("Usage Examples", function()
    it("Simple HTTP Communication", function()
      local peer = stand_for("www.exemplo.com:80", web_server)
      run(http)
      assert.equal("bom dia", _G.fazer_requisicao_http("www.exemplo.com", 80, "/caminho"))
      assert.equal("GET /caminho HTTP/1.1\r\nHost: www.exemplo.com\r\nConnection: close\r\n\r\n", peer:result())
    end)

    it("JSON API Client", function()
      local peer = stand_for("api.exemplo.com:443", api_server, { tls = "page" })
      run(api)
      assert.same({ "Usuário:\tJoão" }, printed)
      assert.same({ "/usuarios", true, "api.exemplo.com" }, peer:result())
      assert.same({ success = true, usuario = { nome = "João", id = 7 } }, _G.consultar_api_json("/x", { id = 7 }))
    end)

    it("TCP Service Monitoring: online", function()
      stand_for("servico:9000", ping_server)
      run(monitor)
      local result = _G.verificar_servico_tcp("servico", 9000)
      assert.equal("online", result.status)
      assert.equal("1.4.2", result.versao)
      assert.is_true(result.tempo_resposta <= 1)
      assert.is_nil(result.erro)
    end)

    it("TCP Service Monitoring: offline", function()
      local peer = stand_for("servico:9000", "", { listen = false })
      run(monitor)
      local result = _G.verificar_servico_tcp("servico", 9000)
      assert.equal("offline", result.status)
      assert.equal("string", type(result.erro))
      assert.matches("connect 127%.0%.0%.1:" .. peer.port .. ": refused: ", result.erro)
    end)

    it("Bidirectional Communication", function()
      local peer = stand_for("chat.exemplo.com:7000", [[ return "somebody came" ]])
      run(chat)
      assert.is_nil(_G.chat_client("chat.exemplo.com", 7000))
      assert.equal("somebody came", peer:result())
    end)

    it("Bidirectional Communication, its two threads", function()
      -- The example stops short of starting them; here they are what it defines.
      stand_for("chat.exemplo.com:7000", [[
        for _ in range(2):
          message = json.loads(c.recv_packet())
          c.send_packet({"texto": message["texto"].upper(), "tipo": message["tipo"]})
      ]])
      local started, changes = chat:gsub("    %-%- Em um ambiente real.*$",
        "    return receber_mensagens, enviar_mensagens\nend\n")
      assert.equal(1, changes)
      run(started)
      local receive, send = _G.chat_client("chat.exemplo.com", 7000)
      local typed, read, write = { "bom dia", "até logo", "sair" }, io.read, io.write
      io.read = function() return table.remove(typed, 1) end -- luacheck: ignore 122
      io.write = function() end -- luacheck: ignore 122
      local ok, message = pcall(send)
      io.read, io.write = read, write -- luacheck: ignore 122
      assert(ok, message)
      ok, message = pcall(receive)
      assert.is_false(ok)
      assert.matches(": closed: ", message)
      assert.same({ "Recebido:\tBOM DIA", "Recebido:\tATÉ LOGO" }, printed)
    end)
  end)

  describe("the example of", function()
    it("connect", function()
      local one = stand_for("servidor.exemplo.com:8080", [[ return "reached" ]])
      local other = stand_for("192.168.1.100:3000", [[ return "reached" ]])
      run(small.connect)
      assert.equal("reached", one:result())
      assert.equal("reached", other:result())
    end)

    it("connect_tls", function()
      local one = stand_for("api.exemplo.com:443", [[ return c.sni ]], { tls = "page" })
      local other = stand_for("servidor-seguro.com:8443", [[ return c.sni ]], { tls = "page" })
      run(small.connect_tls)
      assert.equal("api.exemplo.com", one:result())
      assert.equal("servidor-seguro.com", other:result())
    end)

    it("tcp.send and tcp.recv", function()
      local peer = stand_for("servidor.exemplo.com:8080", web_server)
      run(small.send)
      assert.equal("GET / HTTP/1.1\r\nHost: servidor.exemplo.com\r\n\r\n", peer:result())
      run(small.recv)
      assert.equal(1, #printed)
      assert.matches("^Resposta recebida:\tHTTP/1%.1 200 OK\r\n.*bom dia$", printed[1])
    end)

    it("read_str", function()
      stand_for("servidor.exemplo.com:8080", [[ c.drip("até o fim".encode()) ]])
      run(small.read_str)
      assert.same({ "Dados recebidos:\taté o fim" }, printed)
    end)

    it("read_json", function()
      stand_for("api.exemplo.com:3000", [[
        c.send('{"status": "ok", "message": "olá"}'.encode())
        c.hold()
      ]])
      run(small.read_json)
      assert.same({ "Status:\tok", "Mensagem:\tolá" }, printed)
    end)

    it("read_json_packet", function()
      stand_for("servidor-binario.com:9000", [[ c.send_packet("um pacote") ]])
      run(small.read_json_packet)
      assert.same({ "Pacote recebido:\tum pacote" }, printed)
    end)

    it("write_json_packet", function()
      local peer = stand_for("servidor-binario.com:9000", [[ return json.loads(c.recv_packet()) ]])
      run(small.write_json_packet)
      assert.same({ comando = "atualizar", id = 123, valores = { 10, 20, 30 } }, peer:result())
    end)
  end)
end)

describe("the page in a network of its own", function()

  -- Runs Lua source where the page's hosts are real, and the helper has the page's ports.
  local function run(code)
    local hosts = {
      "127.0.0.1=localhost", "127.0.1.1=api.exemplo.com", "127.0.1.2=servidor.exemplo.com",
      "127.0.1.3=servidor-seguro.com", "127.0.1.4=servidor-binario.com", "192.168.1.100=somewhere",
    }
    return helper.run(code, helper.namespace(hosts) .. " env SSL_CERT_FILE=" .. helper.pem "root")
  end

  it("needs no table of places", function()
    if not helper.has_namespaces() then return pending "this machine allows no network namespaces" end
    local servers = ([[
      local helper = require "spec.support.helper"
      local web = helper.listen(%q, { host = "127.0.1.2", port = 8080 })
      helper.listen(%q, { host = "127.0.1.1", port = 443, tls = "page" })
      helper.listen(%q, { host = "127.0.1.4", port = 9000 })
      helper.listen("", { host = "127.0.1.3", port = 8443, tls = "page" })
      helper.listen("", { host = "192.168.1.100", port = 3000 })
      require("tcp").export()
      tcp = require "tcp"
    ]]):format(web_server, api_server, ping_server)
    local examples = { http, api, monitor, small.connect, small.connect_tls, small.send, small.recv }
    for i, example in ipairs(examples) do examples[i] = "do\n" .. example .. "end\n" end
    local said, status = run(servers .. table.concat(examples) .. [[
      print(fazer_requisicao_http("servidor.exemplo.com", 8080, "/"))
      print(verificar_servico_tcp("servidor-binario.com", 9000).versao)
      print(verificar_servico_tcp("servidor-binario.com", 9001).erro)
    ]])
    local expected = "^Usuário:\tJoão\nResposta recebida:\tHTTP/1%.1 200 OK\r\n.*bom dia\nbom dia\n1%.4%.2\n"
      .. "connect servidor%-binario%.com:9001: refused: .*127%.0%.1%.4.*\n$"
    assert.matches(expected, said)
    assert.equal(0, status, said)
  end)
end)
