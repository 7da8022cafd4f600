-- The option `proxy`: CONNECT and SOCKS 5, by proxies of other projects (tinyproxy, microsocks) and
-- by ones of our own, in Python, that can do what those do not: speak TLS, be slow, lie.

local helper = require "spec.support.helper"
local loops = require "spec.support.loops"
local tcp = require "tcp"
local safe = require "tcp.safe"

local root = helper.pem "root"

-- What a proxy of each kind does until the way is open: `port` is that of the peer, which is on
-- this machine whatever it is called, `asked` the host that it was asked for.
local connect = [[
head = b""
while not head.endswith(b"\r\n\r\n"): head += c.recv_exactly(1)
asked, port = head.split(b" ")[1].rsplit(b":", 1)
accept, refuse = b"HTTP/1.1 200 Connection established\r\nX: y\r\n\r\n", b"HTTP/1.1 502 Bad Gateway\r\n\r\n"
]]
local socks = [[
assert c.recv_exactly(1) == b"\5"
methods = c.recv_exactly(c.recv_exactly(1)[0])
c.send(b"\5\0")
assert c.recv_exactly(3) == b"\5\1\0"
kind = c.recv_exactly(1)[0]
asked = c.recv_exactly({1: 4, 4: 16}.get(kind) or c.recv_exactly(1)[0])
port = struct.unpack(">H", c.recv_exactly(2))[0]
accept, refuse = b"\5\0\0\1" + bytes(6), b"\5\5\0\1" + bytes(6)
]]
-- Then it hands on what comes. One thread, for TLS's sake.
local relay = [[
import select
out = socket.socket()
if out.connect_ex(("127.0.0.1", int(port))):
  c.send(refuse)
  return asked
c.send(accept)
to = {c.sock: out, out: c.sock}
while to:
  ready = [c.sock] if c.sock in to and getattr(c.sock, "pending", int)() else select.select(list(to), [], [])[0]
  for one in ready:
    data = one.recv(65536)
    if data:
      (out if one is c.sock else c.sock).sendall(data)
    else:
      del to[one]
      if one is c.sock: out.shutdown(socket.SHUT_WR)
      else: to = {}
out.close()
return asked
]]

local dialogues = { http = connect, https = connect, socks5 = socks, socks5h = socks }

-- A proxy of this kind, with other code or more options where they are given: its URL and the
-- peer.
local function proxy(kind, code, options)
  options = options or {}
  if kind == "https" then options.tls = options.tls or "good" end
  local peer = helper.listen(code or (dialogues[kind] .. relay), options)
  local host = kind == "https" and "localhost" or "127.0.0.1"
  return ("%s://%s:%d"):format(kind, host, peer.port), peer
end

-- The option, as it must be for the specs' CA.
local function option(kind, url)
  return kind == "https" and { url = url, tls = { ca_file = root } } or url
end

-- A proxy's code: its lines begin where the first one does.
local function lines(text)
  return (("\n" .. text):gsub("\n" .. text:match "^ *", "\n"):gsub(" *$", ""):sub(2))
end

local kinds = { "http", "https", "socks5", "socks5h" }

local echo = [[
while data := c.recv(): c.send(data)
]]

-- A mail server's code that echoes over TLS, behind a PROXY header if there is one.
local function smtp(has_header)
  return (has_header and 'assert c.recv_line() == b"PROXY TCP4 192.0.2.7 192.0.2.8 1 2\\r\\n"\n' or "") .. lines [[
    c.send(b"220 ready\r\n")
    assert c.recv_line() == b"EHLO [127.0.0.1]\r\n"
    c.send(b"250-x\r\n250 STARTTLS\r\n")
    assert c.recv_line() == b"STARTTLS\r\n"
    c.send(b"220 go ahead\r\n")
    c.handshake("good")
    while data := c.recv(): c.send(data)
  ]]
end

-- Bytes as `conn` gives them back, more than a record of TLS.
local function echoes(conn)
  local text = ("0123456789"):rep(10000)
  conn:send(text)
  assert.equal(text, conn:read(#text))
  conn:shutdown()
  assert.equal("", conn:read_str())
  conn:close()
end

-- The ways through --------------------------------------------------------------------------------

local cases = {}
for _, kind in ipairs(kinds) do
  cases[#cases + 1] = { "plain through " .. kind, function()
    local url = proxy(kind)
    local peer = helper.listen(echo)
    echoes(helper.keep(tcp.connect("127.0.0.1", peer.port, { timeout = helper.timeout, proxy = option(kind, url) })))
  end }
  cases[#cases + 1] = { "over TLS through " .. kind, function()
    local url = proxy(kind)
    local peer = helper.listen(echo, { tls = "good" })
    local conn = helper.keep(tcp.connect_tls("localhost", peer.port, {
      timeout = helper.timeout, ca_file = root, proxy = option(kind, url) }))
    local tls = conn:info().tls
    assert.is_true(tls.verified)
    assert.equal("localhost", tls.server_name)
    echoes(conn)
  end }
  cases[#cases + 1] = { "by start_tls through " .. kind, function()
    local url = proxy(kind)
    local peer = helper.listen([[
      c.send(b"220 hello\r\n")
      assert c.recv_line() == b"STARTTLS\r\n"
      c.send(b"220 go ahead\r\n")
      c.handshake("good")
      while data := c.recv(): c.send(data)
    ]])
    local conn = helper.keep(tcp.connect("localhost", peer.port, {
      timeout = helper.timeout, proxy = option(kind, url) }))
    assert.equal("220 hello", conn:read_line())
    conn:send "STARTTLS\r\n"
    assert.equal("220 go ahead", conn:read_line())
    local tls = helper.keep(conn:start_tls { ca_file = root })
    assert.is_false(conn:is_open())
    local info = tls:info()
    assert.is_true(info.tls.verified)
    assert.equal(kind, info.proxy.kind)
    assert(info.timings.proxy > 0)
    echoes(tls)
  end }
end

describe("a connection", function()
  after_each(helper.finish)
  for _, case in ipairs(cases) do it("goes " .. case[1], case[2]) end
end)

for _, loop in ipairs(loops) do
  describe("in a loop of " .. loop.name .. ", a connection", function()
    after_each(helper.finish)
    for _, case in ipairs(cases) do
      it("goes " .. case[1], function()
        if not loop.found then return pending(loop.reason) end
        local others = 0
        loop.within(case[2], function() others = others + 1 end)
        assert.equal(1, others)
      end)
    end

    it("lets others run while a proxy is silent", function()
      if not loop.found then return pending(loop.reason) end
      local url = proxy("http", "c.hold()")
      local order = {}
      loop.within(function()
        local _, _, code, details = safe.connect("192.0.2.7", 80, { timeout = 0.2, proxy = url })
        order[#order + 1] = code .. " " .. details.phase
      end, function()
        local peer = helper.listen(echo)
        echoes(helper.keep(tcp.connect("127.0.0.1", peer.port, helper.timeout)))
        order[#order + 1] = "echo"
      end)
      assert.same({ "echo", "timeout proxy" }, order)
    end)
  end)
end

describe("through proxies of others", function()
  after_each(helper.finish)

  local function program(name, command, options)
    if helper.output("command -v " .. name) == "" then
      helper.excuse(name)
      return pending("there is no " .. name .. " here")
    end
    return helper.program(command, options).port
  end

  local function microsocks(who)
    return program("microsocks", "microsocks -i 127.0.0.1 -p {port} " .. (who or ""))
  end

  -- With a file of settings, which is gone by the end.
  local function tinyproxy(settings)
    local path = os.tmpname()
    local port = program("tinyproxy", ("sh -c 'echo Listen 127.0.0.1 >%s; echo Port {port} >>%s;"
      .. " echo LogLevel Critical >>%s; %s exec tinyproxy -d -c %s'"):format(path, path, path,
      settings and ("echo " .. settings .. " >>" .. path .. ";") or "", path))
    os.remove(path)
    return port
  end

  it("bytes go there and back, over TLS too", function()
    local socks_port, http_port = microsocks(), tinyproxy()
    if not (socks_port and http_port) then return end
    for _, url in ipairs { "socks5://127.0.0.1:" .. socks_port, "socks5h://127.0.0.1:" .. socks_port,
      "http://127.0.0.1:" .. http_port } do
      local peer = helper.listen(echo)
      echoes(helper.keep(tcp.connect("localhost", peer.port, { timeout = helper.timeout, proxy = url })))
      peer = helper.listen(echo, { tls = "good" })
      echoes(helper.keep(tcp.connect_tls("localhost", peer.port, {
        timeout = helper.timeout, ca_file = root, proxy = url })))
      peer = helper.listen(smtp())
      echoes(helper.keep(tcp.connect_tls("localhost", peer.port, {
        timeout = helper.timeout, ca_file = root, proxy = url, starttls = "smtp" })))
    end
  end)

  it("user and password are asked for, decoded and checked", function()
    local socks_port, http_port = microsocks "-u user -P pass", tinyproxy "BasicAuth user pass"
    if not (socks_port and http_port) then return end
    local peer = helper.listen(echo)
    for kind, port in pairs { socks5h = socks_port, http = http_port } do
      local function connect_as(who)
        return safe.connect("127.0.0.1", peer.port, { timeout = helper.timeout,
          proxy = ("%s://%s127.0.0.1:%d"):format(kind, who, port) })
      end
      local _, message = helper.fails_safely("proxy", "the proxy " .. kind .. "://127", connect_as "")
      assert.equal("proxy", message.phase)
      helper.fails_safely("proxy", "the proxy " .. kind .. "://127", connect_as "user:Pass@")
      echoes(helper.keep(assert(connect_as "%75ser:p%61ss@")))
    end
  end)

  it("a peer that refuses is told apart by SOCKS alone", function()
    local socks_port, http_port = microsocks(), tinyproxy()
    if not (socks_port and http_port) then return end
    local port = helper.listen("", { listen = false }).port
    helper.fails("refused", "the proxy socks5h://127%.0%.0%.1:%d+ says: connection refused$", function()
      tcp.connect("127.0.0.1", port, { timeout = helper.timeout, proxy = "socks5h://127.0.0.1:" .. socks_port })
    end)
    helper.fails("proxy", "the proxy http://127%.0%.0%.1:%d+ says: 500 Unable to connect$", function()
      tcp.connect("127.0.0.1", port, { timeout = helper.timeout, proxy = "http://127.0.0.1:" .. http_port })
    end)
  end)
end)

-- What a proxy is asked, and what is told of it ---------------------------------------------------

describe("a proxy", function()
  after_each(helper.finish)

  it("is told a name, or the addresses that it has here", function()
    local peer = helper.listen(echo)
    for _, kind in ipairs { "http", "socks5h" } do
      local url, asked = proxy(kind)
      echoes(helper.keep(tcp.connect("no-such-name.example", peer.port, { timeout = helper.timeout, proxy = url })))
      assert.equal("no-such-name.example", asked:result())
    end
    local url, asked = proxy "socks5"
    echoes(helper.keep(tcp.connect("localhost", peer.port, {
      timeout = helper.timeout, family = "inet", proxy = url })))
    assert.equal("\127\0\0\1", asked:result())
    helper.fails("dns", "", function()
      tcp.connect("a..example", peer.port, { timeout = helper.timeout, proxy = url })
    end)
  end)

  it("is told an address as one, without its zone", function()
    for host, expected in pairs {
      ["192.0.2.7"] = "\192\0\2\7",
      ["2001:db8::7"] = "\32\1\13\184" .. ("\0"):rep(11) .. "\7",
      ["[2001:db8::7]"] = "\32\1\13\184" .. ("\0"):rep(11) .. "\7",
      ["fe80::7%lo"] = "\254\128" .. ("\0"):rep(13) .. "\7",
    } do
      local peer = helper.listen(echo)
      local url, asked = proxy "socks5h"
      helper.keep(tcp.connect(host, peer.port, { timeout = helper.timeout, proxy = url })):close()
      assert.equal(expected, asked:result())
      url, asked = proxy "http"
      helper.keep(tcp.connect(host, peer.port, { timeout = helper.timeout, proxy = url })):close()
      local bare = host:gsub("[%[%]]", ""):gsub("%%.*", "")
      assert.equal(bare:find ":" and "[" .. bare .. "]" or bare, asked:result())
    end
  end)

  it("is told a name in ASCII, of 253 characters at most", function()
    local peer = helper.listen(echo)
    local url, asked = proxy "http"
    helper.keep(tcp.connect("bücher.example", peer.port, { timeout = helper.timeout, proxy = url })):close()
    assert.equal("xn--bcher-kva.example", asked:result())
    local long = ("a"):rep(60) .. "."
    for _, kind in ipairs { "http", "socks5h", "socks5" } do
      url, asked = proxy(kind)
      helper.fails("dns", "", function()
        tcp.connect(long:rep(5), peer.port, { timeout = helper.timeout, proxy = url })
      end)
      assert.equal(0, asked:count())
    end
    url, asked = proxy "socks5h"
    local name = long:rep(4) .. "bcdefghij"
    helper.keep(tcp.connect(name, peer.port, { timeout = helper.timeout, proxy = url })):close()
    assert.equal(name, asked:result())
  end)

  it("is asked for each address of the peer, until it has a way to one", function()
    if not helper.has_namespaces() then return pending "there are no network namespaces here" end
    local said = helper.run([==[
      local helper = require "spec.support.helper"
      local tcp = require "tcp.safe"
      local all = tcp.resolve("peer.example")
      local asked = helper.listen(([=[
        c.recv_exactly(3)
        c.send(b"\5\0")
        address = socket.inet_ntoa(c.recv_exactly(10)[4:8])
        c.send((b"\5\0\0\1" if address == "%s" else b"\5\5\0\1") + bytes(6) + address.encode())
      ]=]):format(all[3]))
      local url = "socks5://127.0.0.1:" .. asked.port
      local conn, message = tcp.connect("peer.example", 80, { timeout = 3, proxy = url })
      print(conn and conn:read_str() == all[3], asked:count(), message)
      print((select(2, tcp.connect("127.0.0.9", 80, { timeout = 3, proxy = url }))))
      print((select(2, tcp.connect("others.example", 80, { timeout = 3, proxy = url }))))
      print((select(2, tcp.connect("127.0.0.9", 80, { timeout = 3, family = "inet6", proxy = url }))))
      helper.finish()
    ]==], helper.namespace { "127.0.0.2=peer.example", "127.0.0.3=peer.example", "127.0.0.4=peer.example",
      "127.0.0.5=others.example", "127.0.0.6=others.example" })
    local told = {}
    for line in said:gmatch "[^\n]+" do told[#told + 1] = line:gsub("127%.0%.0%.1:%d+", "P") end
    assert.equal("true\t3\tnil", told[1])
    assert.equal("connect 127.0.0.9:80: refused: the proxy socks5://P says: connection refused", told[2])
    assert.matches("^connect others%.example:80: refused: the proxy socks5://P says: "
      .. "127%.0%.0%.[56]:80: connection refused, 127%.0%.0%.[56]:80: connection refused$", told[3])
    assert.equal("connect 127.0.0.9:80: dns: no address of the family asked for", told[4])
  end)

  it("is asked for each address in loops, too", function()
    if not helper.has_namespaces() then return pending "there are no network namespaces here" end
    local said = helper.run([==[
      local helper = require "spec.support.helper"
      local loops = require "spec.support.loops"
      local tcp = require "tcp.safe"
      local all = tcp.resolve("peer.example")
      local asked = helper.listen(([=[
        c.recv_exactly(3)
        time.sleep(0.01)
        c.send(b"\5\0")
        address = socket.inet_ntoa(c.recv_exactly(10)[4:8])
        time.sleep(0.01)
        c.send((b"\5\0\0\1" if address == "%s" else b"\5\5\0\1") + bytes(6) + address.encode())
      ]=]):format(all[3]))
      for _, loop in ipairs(loops) do
        if loop.found then
          local come = 0
          local function one()
            local conn = tcp.connect("peer.example", 80, { timeout = 3, proxy = "socks5://127.0.0.1:" .. asked.port })
            if conn and conn:read_str() == all[3] then come = come + 1 end
          end
          loop.within(one, one, one)
          if come ~= 3 then print(loop.name, come) end
        end
      end
      print "through"
      helper.finish()
    ]==], helper.namespace { "127.0.0.2=peer.example", "127.0.0.3=peer.example", "127.0.0.4=peer.example" })
    assert.equal("through\n", said)
  end)

  it("is shown by info, with the time that it took", function()
    for _, kind in ipairs(kinds) do
      local url, asked = proxy(kind)
      local peer = helper.listen(echo)
      local conn = helper.keep(tcp.connect("127.0.0.1", peer.port, {
        timeout = helper.timeout, proxy = option(kind, (url:gsub("//", "//user:secret@"))) }))
      local info = conn:info()
      local host = kind == "https" and "localhost" or "127.0.0.1"
      assert.same({ host = host, port = asked.port, kind = kind }, info.proxy)
      assert.equal("127.0.0.1", info.host)
      assert.equal(asked.port, info.peer.port)
      assert(info.timings.proxy > 0)
      assert.is_nil(info.tls)
      local sum = info.timings.dns + info.timings.connect + info.timings.proxy
      assert(math.abs(sum - info.timings.total) < 1e-9)
      assert.matches("^tcp%.Connection: ", tostring(conn))
      assert.equal(0, info.bytes_read)
      conn:close()
      assert.same(info.proxy, conn:info().proxy)
    end
    local direct = helper.connect(echo)
    assert.is_nil(direct:info().proxy)
    assert.is_nil(direct:info().timings.proxy)
  end)

  it("is given the headers of the script", function()
    local url, asked = proxy("http", connect .. "c.send(accept)\nreturn head")
    helper.keep(tcp.connect("peer.example", 80, { timeout = helper.timeout, proxy = {
      url = url, headers = { ["X-One"] = "a b", ["User-Agent"] = "specs" } } }))
    assert.equal("CONNECT peer.example:80 HTTP/1.1\r\nHost: peer.example:80\r\n"
      .. "User-Agent: specs\r\nX-One: a b\r\n\r\n", asked:result())
  end)

  it("may send what is the peer's behind its answer", function()
    for _, kind in ipairs(kinds) do
      for _, send in ipairs { "send", "drip" } do
        local url = proxy(kind, ([[%s
c.%s(accept + b"220 hello\r\nmore")
assert c.recv_all() == b"quit"]]):format(dialogues[kind], send))
        local conn = helper.keep(tcp.connect("127.0.0.1", 25, {
          timeout = helper.timeout, proxy = option(kind, url) }))
        assert.equal("220 hello", conn:read_line())
        assert.equal("more", conn:read(4))
        assert.equal(15, conn:info().bytes_read)
        conn:send "quit"
        conn:close()
      end
    end
  end)

  it("hands a PROXY header on before TLS", function()
    for _, kind in ipairs(kinds) do
      local peer = helper.listen [[
        header = c.recv_line()
        c.handshake("good")
        return header
      ]]
      local url = proxy(kind)
      helper.keep(tcp.connect_tls("localhost", peer.port, {
        timeout = helper.timeout, ca_file = root, proxy = option(kind, url),
        proxy_protocol = { version = 1, source = { "192.0.2.7", 1 }, destination = { "192.0.2.8", 2 } },
      })):close()
      assert.equal("PROXY TCP4 192.0.2.7 192.0.2.8 1 2\r\n", peer:result())
    end
  end)

  it("hands a PROXY header on before what a script sends", function()
    for _, kind in ipairs(kinds) do
      local peer = helper.listen "return c.recv_all()"
      local url = proxy(kind)
      local conn = helper.keep(tcp.connect("127.0.0.1", peer.port, {
        timeout = helper.timeout, proxy = option(kind, url), proxy_protocol = 1 }))
      local info = conn:info()
      conn:send "payload"
      conn:close()
      -- The ends are those of the socket: the other one is the proxy.
      assert.equal(info.proxy.port, info.peer.port)
      assert.equal(("PROXY TCP4 127.0.0.1 127.0.0.1 %d %d\r\npayload"):format(info.sock.port, info.peer.port),
        peer:result())
    end
  end)

  it("hands on what is said before TLS, behind a PROXY header", function()
    for _, kind in ipairs(kinds) do
      local peer = helper.listen(smtp(true))
      local url = proxy(kind)
      local conn = helper.keep(tcp.connect_tls("localhost", peer.port, {
        timeout = helper.timeout, ca_file = root, proxy = option(kind, url), starttls = "smtp", proxy_protocol = {
          version = 1, source = { "192.0.2.7", 1 }, destination = { "192.0.2.8", 2 } } }))
      local info = conn:info()
      assert.equal(kind, info.proxy.kind)
      assert.equal("220 ready\r\n", info.starttls.greeting)
      assert.is_true(info.tls.verified)
      local times = info.timings
      local sum = times.dns + times.connect + times.proxy + times.starttls + times.tls
      assert(times.proxy > 0 and times.starttls > 0 and times.tls > 0 and math.abs(times.total - sum) < 1e-6)
      echoes(conn)
      peer:result()
    end
  end)

  it("is none of those whom starttls blames", function()
    for _, kind in ipairs(kinds) do
      local options = { timeout = helper.timeout, ca_file = root, starttls = "smtp" }
      options.proxy = option(kind, (proxy(kind)))
      local peer = helper.listen "c.send(b'554 no service\\r\\n')"
      local message, details = helper.fails_safely("unexpected", "the server refused the connection",
        safe.connect_tls("localhost", peer.port, options))
      assert.not_matches("proxy", message)
      assert.equal("starttls", details.phase)
      peer = helper.listen "c.hold()"
      options.proxy, options.timeout = option(kind, (proxy(kind))), 0.5
      local began = helper.clock()
      local _, late = helper.fails_safely("timeout", "the greeting of SMTP",
        safe.connect_tls("localhost", peer.port, options))
      assert(helper.clock() - began < 1.5)
      assert.equal("starttls", late.phase)
    end
  end)

  it("is on the way of a peer whose end is_alive sees", function()
    for _, kind in ipairs(kinds) do
      local url = proxy(kind)
      local peer = helper.listen "c.send(b'hello')\nc.recv_line()"
      local conn = helper.keep(tcp.connect("127.0.0.1", peer.port, {
        timeout = helper.timeout, proxy = option(kind, url) }))
      assert.equal("hello", conn:read(5))
      assert.is_true(conn:is_alive())
      conn:send "bye\r\n"
      local deadline = helper.clock() + helper.timeout
      while conn:is_alive() and helper.clock() < deadline do tcp.sleep(0.01) end
      assert.is_false(conn:is_alive())
      assert.equal("", conn:read_str())
    end
  end)

  it("sees the reset of reset_on_close, and is the one among the attempts", function()
    for _, kind in ipairs(kinds) do
      local url, peer = proxy(kind, dialogues[kind] .. lines [[
        c.send(accept)
        said = c.ending()
        # TCP_CLOSE is the state behind a reset.
        for _ in range(1000):
          if c.raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == 7: return "reset"
          time.sleep(0.001)
        return said
      ]])
      helper.keep(tcp.connect("127.0.0.1", 80, {
        timeout = helper.timeout, proxy = option(kind, url), reset_on_close = true })):close()
      assert.equal("reset", peer:result())
      url = proxy(kind, "c.hold()")
      local _, details = helper.fails_safely("timeout", "answer of the proxy", safe.connect("127.0.0.1", 80, {
        timeout = 0.5, proxy = option(kind, url) }))
      local tried = {}
      for i, attempt in ipairs(details.attempts) do tried[i] = attempt.ip .. " " .. attempt.code end
      -- `localhost` may have that other address.
      if tried[1] == "::1 refused" then table.remove(tried, 1) end
      assert.same({ "127.0.0.1 timeout" }, tried)
    end
  end)

  it("may send bytes that TLS takes for what they are", function()
    for _, kind in ipairs(kinds) do
      local url = proxy(kind, dialogues[kind] .. "c.send(accept + b'220 no TLS')\nc.recv_all()")
      local _, details = helper.fails_safely("tls", "does not speak TLS", safe.connect_tls("127.0.0.1", 443, {
        timeout = helper.timeout, proxy = option(kind, url) }))
      assert.equal("tls", details.phase)
    end
  end)

  it("may hold bytes behind its answer that poll and pending see", function()
    for _, kind in ipairs(kinds) do
      local url = proxy(kind, dialogues[kind] .. "c.send(accept + b'hello')\nc.hold()")
      local conn = helper.keep(tcp.connect("127.0.0.1", 25, {
        timeout = helper.timeout, proxy = option(kind, url) }))
      -- A record behind the answer's may be on its way still.
      assert.equal(conn, tcp.poll({ conn }, nil, helper.timeout)[1])
      assert.equal("hello", conn:recv())
      assert.same({}, (tcp.poll({ conn }, nil, 0)))
      assert.equal(0, conn:pending())
    end
  end)
end)

-- What proxies say no with ------------------------------------------------------------------------

describe("a proxy that refuses", function()
  after_each(helper.finish)

  local function fails(code, pattern, url, options)
    options = options or {}
    options.timeout, options.proxy = options.timeout or helper.timeout, url
    return helper.fails_safely(code, pattern, safe.connect("peer.example", 5432, options))
  end

  it("has the codes of SOCKS", function()
    for reply, expected in pairs {
      { "proxy", "general failure" },
      { "proxy", "connection not allowed by ruleset" },
      { "unreachable", "network unreachable" },
      { "unreachable", "host unreachable" },
      { "refused", "connection refused" },
      { "unreachable", "TTL expired" },
      { "proxy", "command not supported" },
      { "proxy", "address type not supported" },
      { "proxy", "failure 0x09" },
    } do
      local url = proxy("socks5h", socks .. ("c.send(bytes([5, %d, 0, 1]) + bytes(6))"):format(reply))
      local message, details = fails(expected[1], "", url)
      assert.equal(("connect peer.example:5432: %s: the proxy %s says: %s"):format(
        expected[1], url, expected[2]), message)
      assert.equal("proxy", details.phase)
    end
  end)

  it("has the words of HTTP", function()
    for _, words in ipairs { "403 Forbidden", "407 Proxy Authentication Required", "502 Bad Gateway",
      "503 no", "504 Gateway Timeout", "301 Moved" } do
      local url = proxy("http", connect
        .. ("c.send(b'HTTP/1.1 %s\\r\\nContent-Length: 3\\r\\n\\r\\nno\\n')"):format(words))
      local message, details = fails("proxy", "", url)
      assert.equal(("connect peer.example:5432: proxy: the proxy %s says: %s"):format(url, words), message)
      assert.equal("proxy", details.phase)
    end
    local url = proxy("http", connect
      .. "c.send(b'HTTP/1.1 407 Who?\\r\\nProxy-Authenticate: Digest x=y\\r\\nProxy-Authenticate: NTLM\\r\\n\\r\\n')")
    fails("proxy", "says: 407 Who%? %(it takes Digest, NTLM%)$", url)
  end)

  it("has another dialogue than it should", function()
    for kind, answers in pairs {
      http = {
        { "SSH-2.0-OpenSSH_9.2\r\n", "its answer is not HTTP: 'SSH%-2%.0%-OpenSSH_9%.2'$" },
        { "\5\255", "its answer is not HTTP: .*, it speaks SOCKS: socks5://%?$" },
        { "\21\3\1\0\2\2\70", "its answer is not HTTP: .*, it speaks TLS: https://%?$" },
        { "HTTP/2 200\r\n\r\n", "its answer is not HTTP: 'HTTP/2 200'$" },
        { "HTTP/1.1 2oo OK\r\n\r\n", "its answer is not HTTP: 'HTTP/1%.1 2oo OK'$" },
        { "HTTP/1.1 200 OK\r\n", "end of stream instead of an answer$" },
        { "", "end of stream instead of an answer$" },
      },
      socks5h = {
        { "\4\90", "it speaks SOCKS 4, not 5$" },
        { "\0\90", "it speaks SOCKS 4, not 5$" },
        { "HTTP/1.1 400 Bad Request\r\n\r\n", "its answer is not SOCKS 5, it speaks HTTP: http://%?$" },
        { "\21\3\1", "its answer is not SOCKS 5 but begins with 0x15$" },
        { "\5\2", "it chose authentication 0x02, not offered$" },
        { "\5\255", "says: it wants to know who asks: no user and password given$" },
        { "\5\0\1\0", "its answer is not SOCKS 5 but begins with 0x01$" },
        { "\5\0\5\0\0\2", "an address of type 0x02 in its answer$" },
        { "\5", "end of stream instead of an answer$" },
        { "\5\0\5\0\0\1\0\0", "end of stream instead of an answer$" },
      },
    } do
      for _, answer in ipairs(answers) do
        for _, send in ipairs { "send", "drip" } do
          local url = proxy(kind, ("c.recv()\nc.%s(%s)"):format(send, helper.bytes(answer[1])))
          -- Of one that drips, no more is heard than it takes.
          local message, details = fails("proxy", send == "send" and answer[2] or "", url)
          assert(message:find(url, 1, true), message)
          assert.equal("proxy", details.phase)
        end
      end
    end
  end)

  it("resets", function()
    for _, kind in ipairs { "http", "socks5h" } do
      local url = proxy(kind, "c.recv()\nc.reset()")
      fails("proxy", "connection reset by peer instead of an answer$", url)
    end
  end)

  it("never ends its answer", function()
    for _, line in ipairs { "a: b\\r\\n", "a", "HTTP/1.1 100 Continue\\r\\n\\r\\n" } do
      local url = proxy("http", connect .. lines([[
        c.send(b"HTTP/1.1 %s OK\r\n" + b"\r\n" * %d)
        try:
          while True: c.send(b"%s" * 100)
        except OSError: pass
      ]]):format(line:find "HTTP" and 100 or 200, line:find "HTTP" and 1 or 0, line))
      fails("proxy", "the proxy http://127.0.0.1:%d+: an answer over 16384 bytes$", url)
    end
    -- One of just this size is none too many.
    local head = "HTTP/1.1 200 OK\r\nX: "
    for more, code in pairs { [0] = "ok", "proxy" } do
      local rest = 16384 - #head - 4 + more
      local url = proxy("http", connect .. ("c.send(%s + b'x' * %d + b'\\r\\n\\r\\nhi')"):format(
        helper.bytes(head), rest))
      if code == "ok" then
        local conn = helper.keep(assert(safe.connect("peer.example", 80, { timeout = helper.timeout, proxy = url })))
        assert.equal("hi", conn:read_str())
      else
        fails(code, "over 16384 bytes", url)
      end
    end
  end)

  it("is not there", function()
    local port = helper.listen("", { listen = false }).port
    for _, kind in ipairs(kinds) do
      local url = ("%s://127.0.0.1:%d"):format(kind, port)
      local message, details = helper.fails_safely("refused", "", safe.connect("127.0.0.1", 5432, {
        timeout = helper.timeout, proxy = url }))
      assert.equal(("connect 127.0.0.1:5432: refused: the proxy %s: connection refused (tried 127.0.0.1)")
        :format(url), message)
      assert.equal("connect", details.phase)
      message, details = helper.fails_safely("dns", "", safe.connect("127.0.0.1", 5432, {
        timeout = helper.timeout, proxy = kind .. "://" .. ("a"):rep(64) .. ".invalid:1" }))
      assert.matches("5432: dns: the proxy " .. kind .. "://a+%.invalid:1: ", message)
      assert.equal("dns", details.phase)
    end
  end)

  it("has a certificate that is none", function()
    for certificate, pattern in pairs { expired = "expired", unknown_issuer = "issuer", other_host = "localhost" } do
      local url = proxy("https", nil, { tls = certificate })
      local message, details = fails("certificate", pattern, { url = url, tls = { ca_file = root } })
      assert(message:find("certificate: the proxy " .. url .. ": ", 1, true), message)
      assert.equal("proxy", details.phase)
      assert.is_false(details.verified)
      assert.equal("localhost", details.server_name)
      assert(details.certificate.pem)
    end
    -- It may be let pass, or be for another name.
    for certificate, tls in pairs { expired = { verify = false }, other_host = { server_name = "other.example" } } do
      tls.ca_file = root
      local peer = helper.listen(echo)
      local url = proxy("https", nil, { tls = certificate })
      echoes(helper.keep(tcp.connect("127.0.0.1", peer.port, {
        timeout = helper.timeout, proxy = { url = url, tls = tls } })))
    end
    -- Without a name, the chain alone counts, and no name is sent.
    local peer = helper.listen(echo)
    local url = proxy("https", "assert c.sni is None, c.sni\n" .. connect .. relay, { tls = "other_host" })
    echoes(helper.keep(tcp.connect("127.0.0.1", peer.port, {
      timeout = helper.timeout, proxy = { url = url, tls = { ca_file = root, server_name = false } } })))
    url = proxy("https", nil, { tls = "unknown_issuer" })
    local _, details = fails("certificate", "issuer", { url = url, tls = { ca_file = root, server_name = false } })
    assert.is_nil(details.server_name)
  end)

  it("does not speak TLS, or wants a certificate", function()
    local plain = proxy("http"):gsub("^http", "https")
    fails("timeout", "TLS handshake with the proxy 127", plain, { timeout = 0.2 })
    local ssh = proxy("http", "c.send(b'SSH-2.0-x\\r\\n')\nc.recv()"):gsub("^http", "https")
    local message = fails("tls", "does not speak TLS", ssh)
    assert.matches("tls: the proxy https://127%.0%.0%.1:%d+: ", message)
    -- Over TLS 1.3 it says so after the handshake.
    for _, version in ipairs { "1.2", "1.3" } do
      local wanting = proxy("https", nil, { tls = "good", client_ca = "root", version = version })
      local details
      message, details = fails("tls", "cert_file", { url = wanting, tls = { ca_file = root } })
      assert.matches("tls: the proxy https://localhost:%d+: ", message)
      assert.is_nil(message:find("proxy .* proxy"))
      assert.equal("proxy", details.phase)
      assert.equal("peer", details.from)
      assert.equal("localhost", details.server_name)
      assert(details.certificate.pem)
      local peer = helper.listen(echo)
      echoes(helper.keep(tcp.connect("127.0.0.1", peer.port, { timeout = helper.timeout, proxy = {
        url = wanting,
        tls = { ca_file = root, cert_file = helper.pem "client", key_file = helper.pem("client", "key") } } })))
    end
  end)

  it("leaves the certificate of the peer to be verified", function()
    for _, kind in ipairs(kinds) do
      local peer = helper.listen("", { tls = "other_host" })
      local message, details = helper.fails_safely("certificate", "localhost",
        safe.connect_tls("localhost", peer.port, {
          timeout = helper.timeout, ca_file = root, proxy = option(kind, (proxy(kind))) }))
      assert.is_nil(message:find "proxy")
      assert.equal("tls", details.phase)
      assert.same({ "other.example", "www.other.example" }, details.certificate.dns_names)
    end
  end)

  it("tells of its end, where it is its own", function()
    local url = proxy("https", connect .. "c.send(accept)\nc.recv_exactly(1)\nc.cut()")
    local conn = helper.keep(tcp.connect("peer.example", 80, {
      timeout = helper.timeout, proxy = { url = url, tls = { ca_file = root } } }))
    conn:send "x"
    helper.fails("closed", "closed: TLS to the proxy https://localhost:%d+: end of stream without TLS close_notify$",
      function() conn:read_line() end)
  end)
end)

-- Time --------------------------------------------------------------------------------------------

describe("the time", function()
  after_each(helper.finish)

  -- What a proxy does that takes long, and the message of the timeout.
  local slow = {
    { "connect", "http", "connecting to the proxy 127%.0%.0%.1:%d+$", "", { full = true } },
    { "proxy", "http", "answer of the proxy 127%.0%.0%.1:%d+$", "c.hold()" },
    { "proxy", "http", "answer of the proxy 127%.0%.0%.1:%d+$", "c.send(b'HTTP/1.1 200 OK\\r\\n')\nc.hold()" },
    { "proxy", "http", "answer of the proxy 127%.0%.0%.1:%d+$", "c.drip(b'HTTP/1.1 200 OK\\r\\n' + b'a' * 999, 0.01)" },
    { "proxy", "socks5h", "answer of the proxy 127%.0%.0%.1:%d+$", "c.hold()" },
    { "proxy", "socks5h", "answer of the proxy 127%.0%.0%.1:%d+$", "c.recv()\nc.send(b'\\5\\0')\nc.hold()" },
    { "proxy", "https", "TLS handshake with the proxy 127%.0%.0%.1:%d+$", "c.hold()" },
    { "proxy", "https", "answer of the proxy 127%.0%.0%.1:%d+$", "c.handshake('good')\nc.hold()" },
    { "tls", "http", "TLS handshake$", connect .. "c.send(accept)\nc.hold()" },
    { "tls", "https", "TLS handshake$", "c.handshake('good')\n" .. connect .. "c.send(accept)\nc.hold()" },
  }
  for _, case in ipairs(slow) do
    local phase, kind, pattern, code, options = case[1], case[2], case[3], case[4], case[5]
    it(("is that of one call: %s, %s, %s"):format(kind, phase, (code:match "[^\n]*$")), function()
      helper.takes(0.15, function()
        return option(kind, ("%s://127.0.0.1:%d"):format(kind, helper.listen(code, options).port))
      end, function(through)
        local connector = phase == "tls" and safe.connect_tls or safe.connect
        local _, details = helper.fails_safely("timeout", pattern, connector("peer.example", 80, {
          timeout = 9, connect_timeout = 0.15, proxy = through }))
        assert.same({ phase = phase }, { phase = details.phase })
      end)
    end)
  end

  it("counts the name of the proxy", function()
    if not helper.has_namespaces() then return pending "there are no network namespaces here" end
    local said = helper.run([[
      local tcp = require "tcp.safe"
      for _, kind in ipairs { "http", "socks5" } do
        local _, message, _, details = tcp.connect("127.0.0.1", 80, { timeout = 0.1, proxy = kind .. "://p.example:1" })
        print(message, details.phase)
      end
      local _, message, _, details = tcp.connect("peer.example", 80, { timeout = 0.1, proxy = "socks5://127.0.0.1:1" })
      print(message, details.phase)
    ]], helper.namespace { "127.0.0.1=localhost" })
    assert.equal("connect 127.0.0.1:80: timeout: name resolution of the proxy\tdns\n"
      .. "connect 127.0.0.1:80: timeout: name resolution of the proxy\tdns\n"
      .. "connect peer.example:80: timeout: name resolution\tdns\n", said)
  end)

  it("suffices for bytes that come one at a time", function()
    for _, kind in ipairs(kinds) do
      local url = proxy(kind, (dialogues[kind] .. "c.drip(accept + b'hello')"):gsub("c%.send%(", "c.drip("),
        { drip = kind == "https" or nil })
      local conn = helper.keep(tcp.connect("127.0.0.1", 80, {
        timeout = helper.timeout, proxy = option(kind, url) }))
      assert.equal("hello", conn:read_str())
    end
  end)
end)

-- Secrets -----------------------------------------------------------------------------------------

describe("user and password", function()
  after_each(function()
    tcp.debug(false)
    helper.finish()
  end)

  local secrets = { "Ulrike", "Sesam%d", "Sesam%25d", "VWxyaWtlOlNlc2FtJWQ=", "Bearer-of-News" }

  local function is_silent(text)
    for _, secret in ipairs(secrets) do
      assert(not text:find(secret, 1, true), text)
    end
  end

  -- Proxies that repeat to us what they have heard.
  local gossips = {
    http = connect .. lines [[
      field = [line for line in head.split(b"\r\n") if line.lower().startswith(b"proxy-auth")][0]
      c.send(b"HTTP/1.1 407 no, " + field + b"\r\nProxy-Authenticate: " + field.split(b" ")[-1] + b"\r\n\r\n")
    ]],
    nonsense = connect .. lines [[
      c.send(b"no HTTP: " + head.replace(b"\r\n", b" "))
    ]],
    socks5h = [[
      c.recv()
      c.send(b"\5\2")
      said = c.recv()
      c.send(said[2:])
    ]],
  }

  it("are sent, and shown nowhere", function()
    local traced = {}
    tcp.debug(function(line) traced[#traced + 1] = line end, "payload")
    local peer = helper.listen(echo)
    for _, kind in ipairs(kinds) do
      local asks = connect .. "assert b'\\r\\nProxy-Authorization: Basic VWxyaWtlOlNlc2FtJWQ=\\r\\n' in head\n"
      if kind:find "socks" then
        asks = lines [[
          assert c.recv() == b"\5\2\0\2"
          c.send(b"\5\2")
          assert c.recv() == b"\1\6Ulrike\7Sesam%d"
          c.send(b"\1\0")
          assert c.recv_exactly(4) == b"\5\1\0\1"
          asked, port = c.recv_exactly(4), struct.unpack(">H", c.recv_exactly(2))[0]
          accept = b"\5\0\0\1" + bytes(6)
        ]]
      end
      local url, asked = proxy(kind, asks .. relay)
      local conn = helper.keep(tcp.connect("127.0.0.1", peer.port, { timeout = helper.timeout,
        proxy = option(kind, (url:gsub("//", "//Ulrike:Sesam%%25d@"))) }))
      conn:send "payload\n"
      assert.equal("payload", conn:read_line())
      local info = conn:info()
      for _, part in pairs(info.proxy) do is_silent(tostring(part)) end
      is_silent(tostring(conn))
      conn:close()
      asked:result()
    end
    for kind, code in pairs(gossips) do
      local scheme = kind == "nonsense" and "http" or kind
      local url = proxy(scheme, code):gsub("//", "//Ulrike:Sesam%%25d@")
      is_silent((helper.fails_safely("proxy", "the proxy " .. scheme .. "://127",
        safe.connect("127.0.0.1", 80, { timeout = helper.timeout, proxy = url }))))
    end
    local url = proxy("http", connect .. lines [[
      c.send(b"HTTP/1.1 403 not with " + head.split(b"X-Key: ")[1])
    ]])
    is_silent((helper.fails_safely("proxy", "says: 403 %.%.%.$", safe.connect("127.0.0.1", 80, {
      timeout = helper.timeout, proxy = { url = url, headers = { ["X-Key"] = "Bearer-of-News" } } }))))
    tcp.debug(false)
    assert(#traced > 20)
    local text = table.concat(traced, "\n")
    is_silent(text)
    assert.matches("proxy https://localhost:%d+: open to 127%.0%.0%.1:%d+", text)
    assert.matches("payload", text)
  end)

  it("hide the proxy's words only where they stand in them, and not as a part of others", function()
    local url = proxy("http", connect .. lines [[
      c.send(b"HTTP/1.1 403 Access from here is not allowed\r\n\r\n")
    ]])
    local function fails(user, words)
      local message = helper.fails_safely("proxy", words, safe.connect("127.0.0.1", 80, {
        timeout = helper.timeout, proxy = (url:gsub("//", "//" .. user .. "@")) }))
      return message
    end
    fails("a", "says: 403 Access from here is not allowed$")
    fails("u:s", "says: 403 Access from here is not allowed$")
    fails("here:x", "says: 403 %.%.%.$")
    fails("x:allowed", "says: 403 %.%.%.$")
  end)

  it("are not shown of a URL that is wrong", function()
    for _, url in ipairs { "ftp://Ulrike:Sesam%25d@a", "http://Ulrike:Sesam%25d@a:x", "Ulrike:Sesam%25d@",
      "http://a/Ulrike", "http://Ulrike:Sesam%25d", "http://Ulrike:1/@a" } do
      local ok, message = pcall(tcp.connect, "127.0.0.1", 80, { proxy = url })
      assert.is_false(ok)
      assert.matches("bad argument #3 to 'connect' %(option 'proxy': .* expected", message)
      is_silent(message)
      message = helper.run("print(pcall(require('tcp').connect, '127.0.0.1', 80, { proxy = 'environment' }))",
        ("env -u no_proxy -u NO_PROXY all_proxy=%s"):format(url))
      assert.matches("proxy: the variable all_proxy: .* expected", message)
      is_silent(message)
    end
  end)
end)

-- Arguments ---------------------------------------------------------------------------------------

describe("the option", function()
  after_each(helper.finish)

  local function misuse(words, value)
    local expected = ("bad argument #3 to 'connect' (%s)"):format(words)
    helper.misuse(expected, function() tcp.connect("127.0.0.1", 80, { proxy = value }) end)
  end

  it("is a URL or a table of one", function()
    misuse("option 'proxy': string expected, got boolean", true)
    misuse("option 'proxy': a URL of http, https, socks5 or socks5h expected", "socks4://a")
    misuse("option 'proxy': a host and a port expected, an IPv6 address in brackets", "http://::1")
    misuse("option 'proxy': a table with a url expected", {})
    misuse("option 'proxy': a table with a url expected", { headers = { a = "b" } })
    misuse("option 'url': a host and a port expected, an IPv6 address in brackets", { url = "" })
    misuse("option 'proxy': unknown option 'tsl'", { url = "http://a", tsl = {} })
    misuse("option 'tls': unknown option 'verfy'", { url = "https://a", tls = { verfy = true } })
    misuse("option 'proxy': tls is for https proxies", { url = "http://a", tls = {} })
    misuse("option 'proxy': headers are for http and https proxies", { url = "socks5://a", headers = { a = "b" } })
    misuse("option 'headers': names of header fields expected", { url = "http://a", headers = { ["a b"] = "" } })
    misuse("option 'headers': names of header fields expected", { url = "http://a", headers = { "a" } })
    misuse("option 'headers': values of header fields expected, without line ends",
      { url = "http://a", headers = { a = "b\r\nc: d" } })
  end)

  it("is one of those that connect", function()
    helper.misuse("bad argument #3 to 'listen' (unknown option 'proxy')", function()
      tcp.listen("127.0.0.1", 0, { proxy = "http://a" })
    end)
  end)

  it("leaves no descriptor behind", function()
    local before = helper.sockets()
    for _, kind in ipairs { "http", "socks5h" } do
      for _, code in ipairs { "c.recv()\nc.send(b'nonsense')", "c.hold()", "c.reset()" } do
        for _ = 1, 5 do
          local url = proxy(kind, code)
          local _, message = safe.connect("peer.example", 80, { timeout = 0.05, proxy = url })
          assert.matches("proxy", message)
        end
      end
    end
    assert.equal(before, helper.sockets())
  end)
end)
