-- The PROXY protocol against others who speak it: HAProxy in front of our listener and behind our
-- client, and nginx behind our client.

local helper = require "spec.support.helper"
local tcp = require "tcp"
local safe = require "tcp.safe"

local all_of_tls = "ssl,cert-cn,ssl-cipher,cert-sig,cert-key,crc32c"

local files = {}

local function write(text)
  local path = os.tmpname()
  files[#files + 1] = path
  local file = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
  return path
end

local function finish()
  helper.finish()
  for _, path in ipairs(files) do os.execute("rm -rf " .. path) end
  files = {}
end

local random = helper.generator(math.floor(tcp.now() * 1e6) % 2147483646 + 1)

-- A port that nobody has at the moment, below those that the system chooses for others.
local function free_port(host)
  for _ = 1, 100 do
    local port = 10000 + random(20000)
    local listener = safe.listen(host or "127.0.0.1", port)
    if listener then
      listener:close()
      return port
    end
  end
  error "no port is free"
end

local function is_there(program)
  if helper.output("command -v " .. program) ~= "" then return true end
  helper.excuse(program)
end

-- A certificate with its chain and its key in one file, as HAProxy takes them.
local function pem(name)
  return write(helper.contents(helper.pem(name)) .. helper.contents(helper.pem(name, "chain"))
    .. helper.contents(helper.pem(name, "key")))
end

-- HAProxy with these sections, in which {name} stands for what `values` has. It is ready when a
-- port of its own is open: nobody knocks at the others.
local function haproxy(sections, values)
  local config = write([[
global
  maxconn 200
defaults
  mode tcp
  timeout connect 3s
  timeout client 5s
  timeout server 5s
frontend ready
  bind "127.0.0.1:${READY}"
]] .. sections:gsub("{([%w_]+)}", values))
  return helper.program("env READY={port} haproxy -db -f " .. config)
end

-- HAProxy opens its ports one after the other: one may be refused for a moment.
local function connect(port, options, host)
  options = options or {}
  options.timeout = helper.timeout
  local open = options.ca_file and safe.connect_tls or safe.connect
  local late = helper.clock() + helper.timeout
  while true do
    local conn, message, code = open(host or "127.0.0.1", port, options)
    if conn then return helper.keep(conn) end
    if code ~= "refused" or helper.clock() > late then error(message, 2) end
    tcp.sleep(0.01)
  end
end

-- The body of an answer to a request.
local function get(conn)
  conn:send("GET / HTTP/1.0\r\nHost: localhost\r\n\r\n")
  local answer = assert(conn:read_str())
  assert.matches("^HTTP/1.[01] 200 ", answer)
  return answer:match "\r\n\r\n(.-)%s*$"
end

describe("HAProxy in front of our listener", function()
  after_each(finish)

  local function listen(options)
    options = options or {}
    options.proxy_protocol, options.timeout = true, helper.timeout
    return helper.keep(tcp.listen("127.0.0.1", 0, options))
  end

  local serving = function()
    return { tls = { cert_file = helper.pem "good", key_file = helper.pem("good", "key") } }
  end

  local ways = {
    { "version 1", "send-proxy" },
    { "version 2", "send-proxy-v2" },
    { "version 2 with TLVs", "send-proxy-v2 proxy-v2-options crc32c,unique-id,authority" },
    { "version 2 with TLVs of TLS", "send-proxy-v2-ssl-cn proxy-v2-options " .. all_of_tls },
    { "version 1 before TLS", "send-proxy ssl verify none", tls = true },
    { "version 2 before TLS", "send-proxy-v2 proxy-v2-options crc32c ssl verify none", tls = true },
  }
  for _, way in ipairs(ways) do
    for _, host in ipairs { "127.0.0.1", "::1" } do
      it("tells the peer at " .. host .. " by " .. way[1], function()
        if not is_there "haproxy" then return pending "there is no haproxy" end
        local listener = listen(way.tls and serving())
        local port = free_port(host)
        haproxy([[
frontend front
  bind {host}:{port}
  unique-id-format %[uuid()]
  default_backend ours
backend ours
  server ours 127.0.0.1:{ours} {way}
]], { host = host, port = port, ours = listener:port(), way = way[2] })
        local client = connect(port, nil, host)
        client:send("through HAProxy\n")
        local conn = helper.keep(listener:accept(helper.timeout))
        assert.is_nil(conn:info().peer)
        assert.equal("through HAProxy", conn:read_line())
        local info = conn:info()
        assert.same(client:info().sock, info.peer)
        assert.equal("127.0.0.1", info.via.ip)
        assert.not_equal(info.peer.port, info.via.port)
        assert.equal(way.tls or false, info.tls ~= nil)
        conn:send("and back\n")
        assert.equal("and back", client:read_line())
      end)
    end
  end

  it("tells the peer of a frontend with TLS, and what it is about", function()
    if not is_there "haproxy" then return pending "there is no haproxy" end
    local listener, port = listen(), free_port()
    haproxy([[
frontend front
  bind 127.0.0.1:{port} ssl crt {pem}
  default_backend ours
backend ours
  server ours 127.0.0.1:{ours} send-proxy-v2-ssl-cn proxy-v2-options authority,{tlvs}
]], { port = port, ours = listener:port(), pem = pem "good", tlvs = all_of_tls })
    local client = connect(port, { ca_file = helper.pem "root" })
    client:send("through HAProxy\n")
    local conn = helper.keep(listener:accept(helper.timeout))
    assert.equal("through HAProxy", conn:read_line())
    assert.same(client:info().sock, conn:info().peer)
  end)

  it("tells nothing of a client at a Unix socket, nor of itself", function()
    if not is_there "haproxy" then return pending "there is no haproxy" end
    for _, way in ipairs { "send-proxy", "send-proxy-v2" } do
      local listener, path = listen(), os.tmpname()
      files[#files + 1] = path
      os.remove(path)
      haproxy([[
frontend front
  bind unix@{path}
  default_backend ours
backend ours
  server ours 127.0.0.1:{ours} {way}
]], { path = path, ours = listener:port(), way = way })
      local peer = helper.listen(([[
        # HAProxy may have opened its port already, and not its path.
        while not os.path.exists(%q): time.sleep(0.01)
        with socket.socket(socket.AF_UNIX) as s:
          s.connect(%q)
          s.sendall(b"by a path\n")
          c.hold()
      ]]):format(path, path))
      connect(peer.port)
      local conn = helper.keep(listener:accept(helper.timeout))
      assert.equal("by a path", conn:read_line())
      assert.same(conn:info().via, conn:info().peer)
      finish()
    end
  end)

  it("checks whether we are there", function()
    if not is_there "haproxy" then return pending "there is no haproxy" end
    for _, way in ipairs { "check-send-proxy send-proxy", "check-send-proxy send-proxy-v2" } do
      local listener = listen()
      haproxy([[
backend ours
  option tcp-check
  tcp-check connect send-proxy
  tcp-check send-binary 70696e670a
  tcp-check expect string pong
  server ours 127.0.0.1:{ours} check inter 100ms {way}
]], { ours = listener:port(), way = way })
      for _ = 1, 3 do
        local conn = helper.keep(listener:accept(helper.timeout))
        assert.equal("ping", conn:read_line())
        -- A check of version 2 is LOCAL; one of version 1 tells its own ends.
        assert.same(conn:info().via, conn:info().peer)
        conn:send("pong\n")
        conn:close()
      end
      finish()
    end
  end)
end)

-- What goes out: option, host, and the ends as the server should tell them; `true` is its own.
local told = { source = { "192.0.2.7", 56324 }, destination = { "198.51.100.1", 443 } }
local told6 = { source = { "2001:db8::7", 56324 }, destination = { "2001:db8::1", 443 } }
local outgoing = {
  { "version 1", 1 },
  { "version 2", 2 },
  { "version 1 at ::1", 1, host = "::1" },
  { "version 2 at ::1", 2, host = "::1" },
  { "version 1 of others", { version = 1, source = told.source, destination = told.destination },
    "192.0.2.7 56324 198.51.100.1 443" },
  { "version 2 of others", { version = 2, source = told.source, destination = told.destination },
    "192.0.2.7 56324 198.51.100.1 443" },
  { "version 1 of others with IPv6", { version = 1, source = told6.source, destination = told6.destination },
    "2001:db8::7 56324 2001:db8::1 443" },
  { "version 2 of others with IPv6", { version = 2, source = told6.source, destination = told6.destination },
    "2001:db8::7 56324 2001:db8::1 443" },
}

local function ends_of(conn)
  local info = conn:info()
  return ("%s %d %s %d"):format(info.sock.ip, info.sock.port, info.peer.ip, info.peer.port)
end

-- Asks `port`, and over TLS `tls_port`, whom it takes us for.
local function asks(each, port, tls_port, is_local_known)
  for _, with in ipairs { { port = port }, { port = tls_port, ca_file = helper.pem "root" } } do
    local name = with.ca_file and "localhost" or nil
    local conn = connect(with.port, { ca_file = with.ca_file, server_name = name, proxy_protocol = each[2] }, each.host)
    local expected = each[3] or ends_of(conn)
    assert.equal(expected, get(conn))
    if is_local_known then
      conn = connect(with.port, { ca_file = with.ca_file, server_name = name, proxy_protocol = "local" }, each.host)
      expected = ends_of(conn)
      assert.equal(expected, get(conn))
    end
  end
end

describe("our client of HAProxy", function()
  after_each(finish)

  for _, each in ipairs(outgoing) do
    it("tells the peer by " .. each[1], function()
      if not is_there "haproxy" then return pending "there is no haproxy" end
      local host = each.host or "127.0.0.1"
      local port, tls_port = free_port(host), free_port(host)
      haproxy([[
frontend front
  mode http
  bind {host}:{port} accept-proxy
  bind {host}:{tls_port} accept-proxy ssl crt {pem}
  http-request return status 200 content-type text/plain lf-string "%[src] %[src_port] %[dst] %[dst_port]\n"
]], { host = host, port = port, tls_port = tls_port, pem = pem "good" })
      asks(each, port, tls_port, true)
      -- Without a header it takes nobody.
      local conn = helper.keep(safe.connect(host, port, helper.timeout))
      conn:send("GET / HTTP/1.0\r\n\r\n")
      local answer = conn:recv()
      assert.is_true(answer == nil or answer == "")
    end)
  end
end)

describe("our client of nginx", function()
  after_each(finish)

  for _, each in ipairs(outgoing) do
    it("tells the peer by " .. each[1], function()
      if not is_there "nginx" then return pending "there is no nginx" end
      local host = each.host or "127.0.0.1"
      local at = host:find ":" and "[" .. host .. "]" or host
      local port, tls_port = free_port(host), free_port(host)
      local folder = os.tmpname()
      files[#files + 1] = folder
      os.execute(("rm %s && mkdir %s"):format(folder, folder))
      local config = write(([[
daemon off;
master_process off;
pid {folder}/pid;
error_log stderr notice;
events {}
http {
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {
    listen {at}:{port} proxy_protocol;
    listen {at}:{tls_port} ssl proxy_protocol;
    ssl_certificate {pem};
    ssl_certificate_key {pem};
    location / {
      default_type text/plain;
      return 200 "$proxy_protocol_addr $proxy_protocol_port $proxy_protocol_server_addr $proxy_protocol_server_port\n";
    }
  }
}
]]):gsub("{([%w_]+)}", { folder = folder, at = at, port = port, tls_port = tls_port, pem = pem "good" }))
      helper.program("nginx -e stderr -c " .. config, { ready = "notice.* nginx/" })
      asks(each, port, tls_port)
      local conn = helper.keep(safe.connect(host, port, helper.timeout))
      conn:send("GET / HTTP/1.0\r\n\r\n")
      local answer = conn:recv()
      assert.is_true(answer == nil or answer == "" or answer:find "^HTTP/1.1 400" ~= nil, answer)
    end)
  end
end)
