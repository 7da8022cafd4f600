-- The documentation is true: every block of Lua in the READMEs and in docs/ runs, and prints what
-- the comments with `-->` say; every function, method, option and field of types/tcp.lua is
-- described, every message of the source stands in docs/errors.md, and no link leads nowhere.
--
-- The hosts of the examples exist nowhere. The module that a block requires looks them up in
-- `places`: a peer of ours stands for each, and TLS is verified for the name that the block gives.

local authority = require "spec.support.authority"
local helper = require "spec.support.helper"

local setfenv = rawget(_G, "setfenv")
local load = loadstring or load -- luacheck: ignore 113 143

local pages = { "README.md", "README.pt-br.md" }
for page in io.popen("ls docs/*.md"):lines() do pages[#pages + 1] = page end

-- The hosts ---------------------------------------------------------------------------------------

local folder -- of their certificate: `site` for *.example.com

local function make_certificates()
  folder = helper.pem("root"):gsub("[^/]+/root.pem$", "docs." .. os.tmpname():match "[^/]+$")
  local middle = helper.pem "middle"
  local command = { "set -e; umask 077; mkdir " .. folder .. "; cd " .. folder }
  command[#command + 1] = [[
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=site -keyout site.key -out csr
    echo 'subjectAltName = DNS:*.example.com' >ext
    openssl x509 -req -in csr -CA ../certificates/middle.pem -CAkey ../certificates/middle.key \
      -set_serial 2 -days 2 -extfile ext -out site.pem
    cat ../certificates/middle.pem >>site.pem]]
  -- A page has a command of its own, which must work.
  command[#command + 1] = helper.contents("docs/getting-started.md"):match "```sh\n(openssl req.-)```"
  local pipe = io.popen("{ " .. table.concat(command, "\n") .. "\n} 2>&1; echo $?")
  local said = pipe:read "*a"
  pipe:close()
  assert(said:find "\n0\n$", middle .. ": " .. said)
end

local echo = [[
  while data := c.recv(): c.send(data)
]]
-- A SOCKS proxy that has a way to port 7 alone, and ends as `ssh -D` does otherwise.
local bastion = [[
  c.recv_exactly(3)
  c.send(b"\5\0")
  c.recv_exactly(c.recv_exactly(5)[4])
  if c.recv_exactly(2) != b"\0\7": return
  c.send(b"\5\0\0\1" + bytes(6))
]] .. echo
local site = function(name) return "../" .. folder:match "[^/]+$" .. "/" .. name end

local places = {
  ["echo.example.com:7"] = function() return helper.listen(echo) end,
  -- OpenSSL's own server resumes sessions. It reverses lines: those of one letter come back as they
  -- were.
  ["echo.example.com:8443"] = function()
    return helper.program(
      ("openssl s_server -rev -accept 127.0.0.1:0 -cert %s/site.pem -key %s/site.key -cert_chain %s"):format(
        folder, folder, helper.pem "middle"), { ready = "^ACCEPT .*:([0-9]+)" })
  end,
  ["db.example.com:5432"] = function() return helper.listen("", { listen = false }) end,
  ["silent.example.com:9000"] = function() return helper.listen "c.hold()" end,
  ["log.example.com:514"] = function() return helper.listen [[ c.send(b"first line\nsecond line\nthe last") ]] end,
  ["feed.example.com:4000"] = function()
    return helper.listen [[ c.send(b'{"id": 1, "text": "first"}\n{"id": 2, "text": "second"}\n') ]]
  end,
  ["proxy.example.com:1080"] = function() return helper.listen(bastion) end,
  ["127.0.0.1:1080"] = function() return helper.listen(bastion) end,
  ["www.example.com:80"] = function()
    return helper.listen [[
      request = b""
      while not request.endswith(b"\r\n\r\n"): request += c.recv_exactly(1)
      c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
    ]]
  end,
  ["www.example.com:443"] = function() return helper.listen("c.hold()", { tls = site "site" }) end,
  ["expired.example.com:443"] = function() return helper.listen("c.hold()", { tls = "expired_docs" }) end,
  ["clients.example.com:8444"] = function()
    return helper.listen([[
      name = dict(part[0] for part in c.sock.getpeercert()["subject"])["commonName"]
      c.send(("hello %s\n" % name).encode())
    ]], { tls = site "site", client_ca = "root" })
  end,
  ["api.example.com:8443"] = function()
    return helper.listen([[
      while True:
        request = json.loads(c.recv_packet())
        c.send_packet({"pong": request["ping"], "version": "1.4"})
    ]], { tls = site "site" })
  end,
  ["mail.example.com:25"] = function()
    return helper.listen(([[
      c.send(b"220 mail.example.com\r\n")
      assert c.recv_line() == b"STARTTLS\r\n"
      c.send(b"220 go ahead\r\n")
      c.handshake(%q)
      c.hold()
    ]]):format(site "site"))
  end,
}

-- Unix sockets: a peer of ours stands at each, or nobody yet.
local paths = {
  ["/run/haproxy/admin.sock"] = [[
    assert c.recv_line() == b"show stat\n"
    c.send(b"# pxname,svname,qcur,status,\nweb,FRONTEND,,OPEN,\nweb,app1,0,UP,\nweb,app2,0,DOWN,\n\n")
  ]],
  ["/var/run/docker.sock"] = [[
    request = b""
    while not request.endswith(b"\r\n\r\n"): request += c.recv_exactly(1)
    answers = {"/version": {"Version": "24.0.7"}, "/containers/json": [
      {"Names": ["/web"], "State": "running", "Status": "Up 3 days"},
      {"Names": ["/db"], "State": "running", "Status": "Up 3 days (healthy)"}]}
    words = request.split()
    assert words[0] == b"GET" and words[2] == b"HTTP/1.0", request
    answer = json.dumps(answers[words[1].decode()]).encode()
    c.send(b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n" + answer + b"\n")
  ]],
  ["/run/app.sock"] = false,
}

places["mx.example.com:25"] = function()
  return helper.listen(([[
    c.send(b"220 mx.example.com\r\n")
    c.recv_line()
    c.send(b"250-mx.example.com\r\n250 STARTTLS\r\n")
    assert c.recv_line() == b"STARTTLS\r\n"
    c.send(b"220 go ahead\r\n")
    c.handshake(%q)
    if c.recv(): c.send(b"250-mx.example.com\r\n250 HELP\r\n")
    c.hold()
  ]]):format(site "site"))
end
places["imap.example.com:143"] = function()
  return helper.listen(([[
    c.send(b"* OK [CAPABILITY IMAP4rev1 STARTTLS] ready\r\n")
    assert c.recv_line() == b"a1 STARTTLS\r\n"
    c.send(b"a1 OK begin\r\n")
    c.handshake(%q)
    c.hold()
  ]]):format(site "site"))
end

-- The servers of docs/dialogues.md. Each says what a server of its protocol does, and checks what
-- it is told.
local function dialogue(steps)
  return function()
    local code = { "def say(line): c.send(line + b'\\r\\n')", "def hear(line):", "  got = c.recv_line()",
      "  assert got == line + b'\\r\\n', got" }
    for line in steps:gmatch "[^\n]+" do code[#code + 1] = line:gsub("^%s+|?", "") end
    return helper.listen(table.concat(code, "\n"))
  end
end

places["mail.example.com:2525"] = dialogue [[
  say(b"220 mail.example.com ESMTP")
  hear(b"EHLO client.example.com")
  c.drip(b"250-mail.example.com\r\n250-SIZE 1000000\r\n250 HELP\r\n")
  hear(b"MAIL FROM:<me@example.com>")
  say(b"250 ok")
  hear(b"RCPT TO:<you@example.com>")
  say(b"250 ok")
  hear(b"DATA")
  say(b"354 go on")
  for line in (b"Subject: hello", b"", b"hello", b"."): hear(line)
  say(b"250 queued")
  hear(b"RCPT TO:<nobody@example.com>")
  say(b"550 no such user")
  hear(b"QUIT")
  say(b"221 bye")
]]

places["mail.example.com:110"] = dialogue [[
  say(b"+OK ready")
  hear(b"USER me")
  say(b"+OK")
  hear(b"PASS secret")
  say(b"+OK welcome")
  hear(b"STAT")
  say(b"+OK 2 3120")
  hear(b"LIST")
  c.drip(b"+OK 2 messages\r\n1 120\r\n2 3000\r\n.\r\n")
  hear(b"QUIT")
  say(b"+OK")
]]

places["ftp.example.com:21"] = dialogue [[
  say(b"220 ready")
  hear(b"USER anonymous")
  say(b"331 your address, please")
  hear(b"PASS me@example.com")
  say(b"230 welcome")
  hear(b"PASV")
  data = socket.create_server(("127.0.0.1", 0))
  data.settimeout(10)
  high, low = divmod(data.getsockname()[1], 256)
  say(b"227 Entering Passive Mode (127,0,0,1,%d,%d)" % (high, low))
  hear(b"RETR hello.txt")
  say(b"150 here it comes")
  other, _ = data.accept()
  other.sendall(b"hello")
  other.close()
  data.close()
  say(b"226 done")
  hear(b"QUIT")
  say(b"221 bye")
]]

places["router.example.com:23"] = dialogue [[
  c.send(b"\xff\xfd\x18\xff\xfb\x01")
  assert c.recv_exactly(6) == b"\xff\xfc\x18\xff\xfe\x01"
  c.drip(b"\r\nLast login: yesterday\r\nlogin: ")
  hear(b"admin")
  c.send(b"Password: ")
  hear(b"secret")
  c.send(b"\r\nrouter> ")
  hear(b"show uptime")
  c.drip(b"show uptime\r\nup 12 days\r\nrouter> ")
]]

places["redis.example.com:6379"] = dialogue [[
  def words():
  |  count = int(c.recv_line()[1:])
  |  return [c.recv_exactly(int(c.recv_line()[1:]) + 2)[:-2] for _ in range(count)]
  assert words() == [b"SET", b"name", b"Lua"]
  say(b"+OK")
  assert words() == [b"GET", b"name"]
  c.drip(b"$3\r\nLua\r\n")
  assert words() == [b"MGET", b"name", b"nothing"]
  c.drip(b"*2\r\n$3\r\nLua\r\n$-1\r\n")
  assert words() == [b"INCR", b"name"]
  say(b"-ERR value is not an integer or out of range")
]]

places["www.example.com:8080"] = dialogue [[
  while c.recv_line() != b"\r\n": pass
  c.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
  c.drip(b"6;name=value\r\nhello \r\nd\r\nin two chunks\r\n0\r\nChecksum: 1\r\n\r\n")
]]

places["log.example.com:601"] = dialogue [[
  for text in (b"first", b"second"):
  |  message = b"<13>1 - host app - - - " + text
  |  c.drip(b"%d %s" % (len(message), message))
]]

-- The servers of docs/recipes.md.

-- It takes clients and lets them go, in one thread: there are ten thousand of them.
places["many.example.com:7"] = function()
  return helper.program(helper.python .. [[ -c '
import socket
listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
print("port", listener.getsockname()[1], flush=True)
while True: listener.accept()[0].close()
']], { ready = "^port ([0-9]+)" })
end

-- A proxy that has a way to port 443 alone, and is that host itself.
places["proxy.example.com:3128"] = function()
  return helper.listen(([[
    import re
    request = b""
    while not request.endswith(b"\r\n\r\n"): request += c.recv_exactly(1)
    # me:secret, and in Portuguese eu:segredo
    assert re.search(rb"\r\nProxy-Authorization: Basic (bWU6c2VjcmV0|ZXU6c2VncmVkbw==)\r\n", request), request
    if request.startswith(b"CONNECT intranet.example.com:443 "):
      c.send(b"HTTP/1.1 200 OK\r\n\r\n")
      c.handshake(%q)
      c.hold()
    else:
      c.send(b"HTTP/1.1 403 Forbidden\r\n\r\n")
  ]]):format(site "site"))
end

places["db.example.com:5433"] = function()
  return helper.listen(([[
    def say(kind, body): c.drip(kind + struct.pack(">I", len(body) + 4) + body)
    def hear(): return c.recv_exactly(struct.unpack(">I", c.recv_exactly(4))[0] - 4)
    assert hear() == struct.pack(">I", 80877103)
    c.send(b"S")
    c.handshake(%q)
    assert hear() == b"\0\3\0\0user\0monitor\0database\0app\0\0"
    say(b"R", struct.pack(">I", 3))
    assert c.recv_exactly(1) == b"p" and hear() in (b"secret\0", b"segredo\0")
    say(b"R", struct.pack(">I", 0))
    say(b"S", b"server_version\00015.0\0")
    say(b"K", bytes(8))
    say(b"Z", b"I")
    assert c.recv_exactly(1) == b"Q" and hear() == b"select count(*) from jobs\0"
    say(b"T", struct.pack(">H", 1) + b"count\0" + bytes(18))
    say(b"D", struct.pack(">HI", 1, 2) + b"17")
    say(b"C", b"SELECT 1\0")
    say(b"Z", b"I")
  ]]):format(site "site"))
end

places["graphite.example.com:2003"] = dialogue [[
  lines = [c.recv_line().split(b" ") for _ in range(1000)]
  assert lines[999][:2] == [b"app.worker.1000", b"500.0"] or lines[999][1] == b"500", lines[999]
]]

places["log.example.com:6514"] = function()
  return helper.listen([[
    for text in (b"<134>1 ", b"<131>1 "):
      length = 0
      while (digit := c.recv_exactly(1)) != b" ": length = 10 * length + int(digit)
      message = c.recv_exactly(length)
      assert message.startswith(text), message
  ]], { tls = site "site" })
end

places["plc.example.com:502"] = dialogue [[
  transaction, protocol, length = struct.unpack(">HHH", c.recv_exactly(6))
  unit, function, first, count = struct.unpack(">BBHH", c.recv_exactly(length))
  assert (unit, function, protocol) == (17, 3, 0)
  values = struct.pack(">%dH" % count, *[11, 22, 33, 44][first:first + count])
  answer = struct.pack(">BBB", unit, function, len(values)) + values
  c.drip(struct.pack(">HHH", transaction, 0, len(answer)) + answer)
]]

places["zabbix.example.com:10051"] = dialogue [[
  assert c.recv_exactly(5) == b"ZBXD\1"
  told = json.loads(c.recv_exactly(struct.unpack("<Q", c.recv_exactly(8))[0]))
  assert told["request"] == "sender data" and told["data"][0]["value"] == "17"
  answer = b'{"response": "success", "info": "processed: 1; failed: 0; total: 1"}'
  c.drip(b"ZBXD\1" + struct.pack("<Q", len(answer)) + answer)
]]

local files = {
  ["clients-ca.pem"] = function() return helper.pem "root" end,
  ["server-ca.pem"] = function() return helper.pem "root" end,
  ["client.pem"] = function() return helper.pem "client" end,
  ["client.key"] = function() return helper.pem("client", "key") end,
  ["a.pem"] = function() return helper.pem "rsa" end,
  ["a.key"] = function() return helper.pem("rsa", "key") end,
  ["b.pem"] = function() return helper.pem "wildcard" end,
  ["b.key"] = function() return helper.pem("wildcard", "key") end,
  ["server.pem"] = function() return helper.pem "good" end,
  ["server.key"] = function() return helper.pem("good", "key") end,
  ["localhost.pem"] = function() return folder .. "/localhost.pem" end,
  ["localhost.key"] = function() return folder .. "/localhost.key" end,
  ["ca.crl.pem"] = function() return authority.write(authority.list("middle", { folder .. "/site.pem" })) end,
}

-- A block -----------------------------------------------------------------------------------------

-- The world of one block: the modules that it requires, what it prints, and the peers that it
-- meets.
local function new_world(block)
  local world = { printed = {}, here = {}, is_in_loop = block.code:find("tcp.use", 1, true) }

  local function find(host, port)
    local place = tostring(host) .. ":" .. tostring(port)
    if not places[place] then return end
    world.here[place] = world.here[place] or places[place]()
    return world.here[place].port
  end

  -- The URL of a proxy, with a peer of ours in its place.
  local function near(url)
    local start, host, port = url:match "^(%w+://.-@?)([^@/]*):(%d+)$"
    return start .. "127.0.0.1:" .. find(host, port)
  end

  -- With the files of the examples replaced by ours.
  local function real(options)
    if type(options) ~= "table" then return options end
    local copy = {}
    for k, v in pairs(options) do
      if type(v) == "table" then v = real(v) end
      if k == "proxy" then v = near(v) end
      copy[k] = files[v] and files[v]() or v
    end
    return copy
  end

  -- The options of TLS with a peer that stands for `host`: our CA is the system's.
  local function trusting(options, host)
    options = type(options) == "table" and real(options) or { timeout = options }
    options.server_name = options.server_name or host
    if not (options.ca or options.ca_dir) then options.ca_file = options.ca_file or helper.pem "root" end
    return options
  end

  function world.module(name)
    local module = require(name)
    local ours = setmetatable({}, { __index = module })
    function ours.connect(host, port, options)
      local here = find(host, port)
      local conn, message, code, details =
        helper.keep(module.connect(here and "127.0.0.1" or host, here or port, real(options)))
      if not conn then return nil, message, code, details end
      world.methods = debug.getmetatable(conn).__index
      world.start_tls = world.start_tls or world.methods.start_tls
      function world.methods.start_tls(self, how) return world.start_tls(self, trusting(how, host)) end
      return conn
    end
    -- The path of ours that stands for one.
    local function at(path)
      local code = paths[path]
      if code == nil then return path end
      local here = world.here[path] or { path = helper.unix_path() }
      if code and not world.here[path] then helper.listen(code, { path = here.path }) end
      world.here[path] = here
      return here.path
    end
    function ours.connect_unix(path, options)
      return helper.keep(module.connect_unix(at(path), real(options)))
    end
    function ours.listen_unix(path, options)
      return helper.keep(module.listen_unix(at(path), real(options)))
    end
    function ours.connect_tls(host, port, options)
      local here = find(host, port)
      if type(options) == "table" and options.proxy then
        return helper.keep(module.connect_tls(host, port, trusting(options, host)))
      end
      if not here then return helper.keep(module.connect_tls(host, port, real(options))) end
      return helper.keep(module.connect_tls("127.0.0.1", here, trusting(options, host)))
    end
    function ours.certificates(of)
      return module.certificates(real(of))
    end
    function ours.listen(host, port, options)
      return helper.keep(module.listen(host, port, real(options)))
    end
    function ours.export(env)
      env = env or world.env
      module.export(env)
      env.connect, env.connect_tls = ours.connect, ours.connect_tls
      return ours
    end
    return ours
  end

  -- Undoes what the block has set.
  function world.restore()
    if world.methods then world.methods.start_tls = world.start_tls end
    if world.is_in_loop then require("tcp").use(nil) end
  end

  -- The text with the peers' addresses as the block has them.
  function world.told(text)
    for place, peer in pairs(world.here) do
      local ours = peer.path and peer.path:gsub("%p", "%%%0") or "127%.0%.0%.1:" .. peer.port .. "%f[%D]"
      text = text:gsub(ours, (place:gsub("%%", "%%%%")))
    end
    return text
  end

  function world.print(...)
    local words = {}
    for i = 1, select("#", ...) do words[i] = tostring((select(i, ...))) end
    world.printed[#world.printed + 1] = world.told(table.concat(words, " "):gsub("%s+$", ""))
  end

  return world
end

-- What the comments of a block expect it to print; `...` in them is any text.
local function expectations(code)
  local expected = {}
  for text in code:gmatch "%-%->%s?([^\n]*)" do
    local pattern = text:gsub("%p", "%%%0"):gsub("%%%.%%%.%%%.", ".*")
    expected[#expected + 1] = { text = text, pattern = "^" .. pattern .. "$" }
  end
  return expected
end

-- Why a library that is not ours, and that the block requires, cannot be had here.
local function missing_library(code)
  for name in code:gmatch "require[%s(]*\"([%w_.]+)\"" do
    local found, why = true, nil
    if not name:find "^tcp%f[%W]" then found, why = helper.library(name) end
    if not found then return why end
  end
end

local function run(block)
  local world = new_world(block)
  -- What a block says of its progress is nobody's here.
  local quiet = { write = function(self) return self end }
  local env = setmetatable({ print = world.print, io = setmetatable({ stderr = quiet }, { __index = io }) },
    { __index = _G })
  env._G, world.env = env, env
  function env.require(name)
    if name == "tcp" or name == "tcp.safe" then return world.module(name) end
    return require(name)
  end
  local chunk
  if setfenv then
    chunk = assert(load(("\n"):rep(block.line) .. block.code, "=" .. block.page))
    setfenv(chunk, env)
  else
    chunk = assert(load(("\n"):rep(block.line) .. block.code, "=" .. block.page, "t", env))
  end
  local ok, message = pcall(chunk)
  world.restore()
  assert(ok, message)
  local expected = expectations(block.code)
  if #expected == 0 then return end
  local said = table.concat(world.printed, "\n")
  for i, line in ipairs(expected) do
    local printed = world.printed[i]
    assert(printed and printed:find(line.pattern),
      ("%s:%d: expected %q of:\n%s"):format(block.page, block.line, line.text, said))
  end
  assert(#world.printed == #expected, ("%s:%d: printed more:\n%s"):format(block.page, block.line, said))
end

-- The Lua blocks of a page, with the lines that they begin after.
local function blocks_of(page)
  local blocks, block, number = {}, nil, 0
  for line in (helper.contents(page) .. "\n"):gmatch "(.-)\n" do
    number = number + 1
    if line == "```lua" then
      block = { page = page, line = number, lines = {} }
    elseif line == "```" and block then
      block.code = table.concat(block.lines, "\n")
      blocks[#blocks + 1] = block
      block = nil
    elseif block then
      block.lines[#block.lines + 1] = line
    end
  end
  assert(not block, page .. ": a block without an end")
  return blocks
end

describe("the code of", function()
  setup(make_certificates)
  teardown(function()
    os.execute("rm -rf " .. folder)
    authority.finish()
  end)
  after_each(helper.finish)

  for _, page in ipairs(pages) do
    for _, block in ipairs(blocks_of(page)) do
      it(("%s:%d runs"):format(page, block.line), function()
        local missing = missing_library(block.code)
        if missing then return pending(missing) end
        run(block)
      end)
    end
  end

  -- The checks themselves can fail.
  it("a page is not believed", function()
    local function of(code) return { page = "page", line = 1, code = code } end
    assert(not pcall(run, of 'print("a") --> b'))
    assert(not pcall(run, of 'print("a") --> a\nprint("b")'))
    assert(not pcall(run, of 'require("tcp").connect("db.example.com", 5432)'))
    assert(not pcall(run, of 'require("tcp").connect_tls("expired.example.com", 443)'))
    assert(not pcall(run, of "no Lua"))
    run(of 'print("a", 1) --> a ...')
  end)
end)

-- Names -------------------------------------------------------------------------------------------

describe("the pages", function()
  local types = helper.contents "types/tcp.lua"
  local reference = ""
  for _, page in ipairs(pages) do
    -- What only developers read describes nothing to scripts.
    local is_manual = page:find "^docs/" and not page:find "%.pt%-br%." and page ~= "docs/architecture.md"
    if is_manual then reference = reference .. helper.contents(page) end
  end

  local headings, rows = "\n", "\n"
  for line in reference:gmatch "[^\n]+" do
    if line:find "^### " then headings = headings .. line .. "\n" end
    if line:find "^| `" then rows = rows .. line:match "^| ([^|]*)|" .. "\n" end
  end

  it("have a heading, or a row, for every function and method", function()
    local prefixes = { tcp = { "tcp." }, json = { "tcp.json." }, Connection = { "conn:" },
      TlsConnection = { "tls:", "conn:" }, Listener = { "listener:" } }
    local count = 0
    for class, name in types:gmatch "\nfunction (%w+)[.:]([%w_]+)%(" do
      local found = false
      for _, prefix in ipairs(assert(prefixes[class], class)) do
        local call = "`" .. prefix .. name .. "("
        found = found or headings:find(call, 1, true) or rows:find(call, 1, true)
      end
      assert(found, class .. "." .. name .. " is not described")
      count = count + 1
    end
    assert(count > 50)
  end)

  it("have no heading for what is not there", function()
    for prefix, name in headings:gmatch "`([%w.]+[.:])([%w_]+)%(" do
      local class = ({ ["tcp."] = "tcp", ["tcp.json."] = "json", ["conn:"] = "Connection",
        ["tls:"] = "TlsConnection", ["listener:"] = "Listener" })[prefix]
      assert(class, prefix)
      assert(types:find("\nfunction " .. class .. "[.:]" .. name .. "%("), prefix .. name .. " does not exist")
    end
  end)

  it("name what the module exports", function()
    local tcp = require "tcp"
    for name in pairs(tcp) do
      assert(name == "json" or reference:find("`tcp." .. name, 1, true), name)
    end
    for name in pairs(tcp.json) do assert(reference:find("`tcp.json." .. name, 1, true), name) end
    assert(loadfile "types/tcp/safe.lua")
    for name in helper.contents("types/tcp/safe.lua"):gmatch "function tcp%.([%w_]+)" do
      assert.equal("function", type(tcp[name]), name)
    end
  end)

  it("have a row, or a word, for every option and field", function()
    local class
    for line in types:gmatch "[^\n]+" do
      class = line:match "^%-%-%-@class ([%w_.]+)" or class
      local name = line:match "^%-%-%-@field ([%w_]+)"
      if name then
        assert(rows:find("`" .. name .. "`", 1, true) or reference:find("`" .. name .. "`", 1, true)
          or rows:find("`" .. name .. "(", 1, true)
          or reference:find(name .. " =", 1, true) or reference:find("`tcp." .. name, 1, true),
          class .. "." .. name .. " is not described")
      end
    end
    for name in types:match("%-%-%-@class tcp.Options(.-)\n\n"):gmatch "@field ([%w_]+)" do
      assert(rows:find("`" .. name .. "`", 1, true), "there is no row for the option " .. name)
    end
    for name in types:match("%-%-%-@class tcp.TlsOnlyOptions(.-)\n\n"):gmatch "@field ([%w_]+)" do
      assert(rows:find("`" .. name .. "`", 1, true), "there is no row for the option " .. name)
    end
  end)

  it("have a row for every code", function()
    local errors = helper.contents "docs/errors.md"
    for code in types:gmatch '\n%-%-%-| "([%l_]+)" #' do
      assert(errors:find("\n| `" .. code .. "` | ", 1, true), code)
    end
  end)
end)

-- The developers' pages ---------------------------------------------------------------------------

-- All that is there to be named, with what the manual calls a connection; and the files, each of
-- which has a row.
local source, source_files = "conn " .. helper.contents "types/tcp.lua", {}
for path in io.popen("find src crates/net/src -name '*.rs' -o -name '*.lua' | sort"):lines() do
  source_files[#source_files + 1] = path
  source = source .. helper.contents(path):gsub(path:find "%.rs$" and "//[^\n]*" or "%-%-[^\n]*", "")
end

-- All matches of a pattern in the source, as a set.
local function found(pattern)
  local set = {}
  for name in source:gmatch(pattern) do set[name] = true end
  return set
end
local names, functions = found "[%w_]+", found "fn ([%w_]+)"

-- The first word of this code that the source does not have, but for its comments.
local function unknown_word(code)
  for name in code:gmatch "%u%w*::(%l[%w_]*)" do
    if not functions[name] then return name end
  end
  for word in code:gmatch "[%a_][%w_]*" do
    if not names[word] then return word end
  end
end

-- The words in backquotes that are wrong: a path without a file, a target that the Makefile does
-- not have, a name that is in no source.
local function wrong_names(text)
  local wrong = {}
  for code in ("\n" .. text):gsub("\n```.-\n```", ""):gmatch "`([^`\n]+)`" do
    local is_right
    local target = code:match "^make ([%w-]+)"
    if target then
      is_right = helper.contents("Makefile"):find("\n" .. target .. ":", 1, true)
    elseif code:find "^[%w_.-]+/[%w_./-]*$" or code:find "^[%w_-]+%.rs$" or code == "Makefile" then
      local file = io.open(code)
      is_right = file and file:close()
    else
      is_right = not unknown_word(code)
    end
    if not is_right then wrong[#wrong + 1] = code end
  end
  return wrong
end

local function picture_of(page)
  return (helper.contents(page):match "\n```text\n(.-)\n```":gsub("[ \t]+", " "))
end

describe("the picture", function()
  local lines = {}
  for line in helper.contents("src/lib.rs"):match "//! ```text\n(.-)//! ```":gmatch "//!([^\n]*)\n" do
    lines[#lines + 1] = (line:gsub("[ \t]+", " "):gsub("^ %f[%S]", ""))
  end

  for _, page in ipairs { "CONTRIBUTING.md", "docs/architecture.md" } do
    it("of " .. page .. " is that of the crate's documentation", function()
      local at = 0
      for line in picture_of(page):gmatch "[^\n]+" do
        at = at + 1
        assert.equal((lines[at] or ""):gsub("^ ", ""), (line:gsub("^ ", "")))
      end
      assert.equal(#lines, at)
    end)
  end
end)

describe("docs/architecture.md", function()
  local text = helper.contents "docs/architecture.md"

  it("names only what is there", function()
    assert.same({}, wrong_names(text))
  end)

  it("has a row for each file of the source", function()
    for _, path in ipairs(source_files) do
      assert(text:find("\n| `" .. path .. "` | ", 1, true), path)
    end
    assert(#source_files > 60)
  end)

  it("is not believed", function()
    assert.same({ "src/ffi/gone.rs", "gone.rs", "make gone", "Stream::step_gone" },
      wrong_names "`src/ffi/give.rs` `src/ffi/gone.rs` `gone.rs` `make gone` `make oom` `Stream::step_gone` `src/`")
  end)
end)

describe("the example in CONTRIBUTING.md", function()
  it("is made of what is there", function()
    local count = 0
    for code in helper.contents("CONTRIBUTING.md"):gmatch "\n```rust\n(.-)\n```" do
      assert.is_nil(unknown_word((code:gsub("//[^\n]*", ""))))
      count = count + 1
    end
    assert.equal(2, count)
  end)
end)

describe("the README in Portuguese", function()
  it("has a row for each of the English one", function()
    local portuguese, count = helper.contents "README.pt-br.md", 0
    for cell in helper.contents("README.md"):match("\n## Failing\n(.-)\n## Building\n"):gmatch "\n| ([^|\n]*)" do
      for name in cell:gmatch "`([%w_.:]+)" do
        assert(portuguese:find("`" .. name, 1, true), name)
        count = count + 1
      end
    end
    assert(count > 80)
  end)
end)

-- Messages ----------------------------------------------------------------------------------------

-- The strings of a source that a person may read: those with a blank in them. What can only be a
-- fault of ours (`expect`, `unreachable!`) does not count.
local function strings_of(path)
  local text, lua = helper.contents(path), path:find "%.lua$"
  text = ("\n" .. text):gsub("\n#%[cfg%(test%)%]\n.*", "\n"):gsub("\\\n%s*", "")
  text = lua and text:gsub("%-%-[^\n]*", "") or text:gsub("\n%s*//[^\n]*", "\n"):gsub("%s//%s[^\n]*", "")
  text = text:gsub("'\\?\"'", "' '")
  local strings, at = {}, 1
  while true do
    local from = text:find('"', at, true)
    if not from then return strings end
    local to = from + 1
    while text:sub(to, to) ~= '"' do to = to + (text:sub(to, to) == "\\" and 2 or 1) end
    local before = text:sub(math.max(1, from - 14), from - 1)
    local literal = text:sub(from + 1, to - 1):gsub('\\"', '"'):gsub("\\\\", "\\")
    if literal:find "%a %S" and not before:find "%.expect%($" and not before:find "unreachable!%($" then
      strings[#strings + 1] = literal
    end
    at = to + 1
  end
end

-- No messages for scripts: names, what is cut out of the words of others, and what only this
-- module's own Lua could bring about.
local silent = {
  ["tcp session 1\\n"] = true, ["\\nstack traceback:\\n"] = true, ["no value"] = true,
  ["tcp object (closed)"] = true, ["without a name"] = true, [" (os error "] = true,
  ["there is no poller"] = true, ["CONNECT {destination} HTTP/1.1\\r\\n"] = true,
}
for i = 1, 5 do silent["Lua 5." .. i] = true end
-- What is said before TLS is no message.
for _, said in ipairs { "a1 STARTTLS\\r\\n", "a1 CAPABILITY\\r\\n", "a2 STARTTLS\\r\\n", "AUTH TLS\\r\\n",
  "{} {}\\r\\n", "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>", "<?xml version='1.0'?><stream:stream "
    .. "to='{}' version='1.0' xml:lang='en' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>" } do
  silent[said] = true
end

describe("the table of messages", function()
  local errors = helper.contents "docs/errors.md"
  -- The words of the trace stand on a page of their own, and so do those of the face of LuaSocket.
  local described = errors .. helper.contents "docs/debugging.md" .. helper.contents "docs/existing-clients.md"

  -- The first part of a message that the page does not have: `{...}` and `%s` are filled in at run
  -- time.
  local function unknown(message)
    if silent[message] or message:find "^bad argument #%d to '%l+' %(" then return end
    for part in (message:gsub("%b{}", "\1"):gsub("%%[sd]", "\1") .. "\1"):gmatch "([^\1]*)\1" do
      local words = part:gsub("^[%s:,()']+", ""):gsub("[%s:,()]+$", ""):gsub(" '$", "")
      if words:find "%a%a" and not described:find(words, 1, true) then return words end
    end
  end

  it("has all of the source", function()
    local count, missing = 0, {}
    for path in io.popen("find src crates/net/src -name '*.rs' -o -name '*.lua' | sort"):lines() do
      -- What LuaSocket and LuaSec say, too, is theirs.
      local is_face = path:find "^src/lua/luasocket/"
      for _, message in ipairs(strings_of(path)) do
        count = count + 1
        local is_ours = not is_face or message:find("tcp.luasocket ", 1, true) or message:find "install"
        local part = is_ours and unknown(message)
        if part then missing[#missing + 1] = ("%s: %s (in %q)"):format(path, part, message) end
      end
    end
    assert(count > 100, "only " .. count .. " messages were found")
    assert.same({}, missing)
  end)

  it("says what to do about each", function()
    for row in errors:match("\n## Messages\n(.*)"):gmatch "\n(|[^\n]*)" do
      assert(not row:find "| *|$" or row:find("<what>", 1, true), row)
    end
  end)

  it("would miss one", function()
    assert.equal("is on fire", unknown "{peer} is on fire")
    assert.is_nil(unknown "{have} of {need} bytes sent")
  end)
end)

-- Tables ------------------------------------------------------------------------------------------

describe("the tables of", function()
  local function cells(row)
    local _, count = row:gsub("\\|", ""):gsub("|", "")
    return count - 1
  end

  local all = { "CHANGELOG.md", "CONTRIBUTING.md" }
  for _, page in ipairs(pages) do all[#all + 1] = page end
  for page in io.popen("ls docs/decisions/*.md"):lines() do all[#all + 1] = page end

  for _, page in ipairs(all) do
    it(page .. " have a cell for each column", function()
      local columns
      for line in helper.contents(page):gmatch "([^\n]*)\n" do
        local count = line:find "^|" and cells(line)
        columns = count and (columns or count)
        assert(count == columns, line)
      end
    end)
  end
end)

-- Links -------------------------------------------------------------------------------------------

-- As GitHub makes an anchor of a heading.
local function anchor(heading)
  return (heading:gsub("%b()(%b[])", "%1"):lower():gsub("[^%w%s_\128-\255-]", ""):gsub("%s", "-"))
end

-- A list of the headings' anchors, which are its keys, too.
local function anchors_of(page)
  local anchors = {}
  local text = ("\n" .. helper.contents(page)):gsub("\n```.-\n```", "")
  for heading in text:gmatch "\n#+ ([^\n]*)" do
    anchors[#anchors + 1] = anchor(heading)
    anchors[anchor(heading)] = #anchors
  end
  return anchors
end

describe("the links", function()
  local all = { "CHANGELOG.md", "CONTRIBUTING.md" }
  for _, page in ipairs(pages) do all[#all + 1] = page end
  for page in io.popen("ls docs/decisions/*.md"):lines() do all[#all + 1] = page end

  for _, page in ipairs(all) do
    it("of " .. page .. " lead somewhere", function()
      for link in helper.contents(page):gmatch "%]%(([^)%s]+)%)" do
        if not link:find "^https?://" then
          local path, fragment = link:match "^([^#]*)#?(.*)$"
          local target = path == "" and page or (page:match "^(.*/)" or "") .. path
          target = target:gsub("[^/]+/%.%./", "")
          local file = assert(io.open(target), page .. ": " .. link)
          file:close()
          if fragment ~= "" then assert(anchors_of(target)[fragment], page .. ": " .. link) end
        end
      end
    end)
  end
end)

-- Translations ------------------------------------------------------------------------------------

describe("the translation", function()
  -- Pages that say the same in both languages. The READMEs and the examples do not.
  local translations = {}
  for page in io.popen("ls docs/*.pt-br.md"):lines() do
    if page ~= "docs/examples.pt-br.md" then translations[page:gsub("%.pt%-br", "")] = page end
  end

  -- The code without what is translated: comments and the contents of strings. Names may be other
  -- ones, if each stands for the same one all over the block: so each is a number.
  local function shape(code)
    local numbers, count = {}, 0
    code = code:gsub("%-%-[^\n]*", ""):gsub('\\"', ""):gsub('"[^"\n]*"', '""')
    return (code:gsub("[%a_][%w_]*", function(name)
      if not numbers[name] then
        count = count + 1
        numbers[name] = "n" .. count
      end
      return numbers[name]
    end):gsub("%s+", " "))
  end

  local function depths_of(page)
    local depths = {}
    for marks in ("\n" .. helper.contents(page)):gmatch "\n(##+) " do depths[#depths + 1] = #marks end
    return depths
  end

  local function links_of(page)
    local links = {}
    for text, link in helper.contents(page):gmatch "%[([^%]\n]*)%]%(([^)%s]+)%)" do
      if text ~= "Em português" and text ~= "In English" then links[link] = true end
    end
    return links
  end

  -- What the translation of a page has in place of this link.
  local function translated(english, link)
    local path, fragment = link:match "^([^#]*)#?(.*)$"
    local target = path == "" and english or "docs/" .. path
    local other = translations[target]
    if not other then return link end
    if path ~= "" then path = other:match "[^/]*$" end
    if fragment == "" then return path end
    return path .. "#" .. anchors_of(other)[anchors_of(target)[fragment]]
  end

  for english, portuguese in pairs(translations) do
    it(portuguese .. " has the blocks of " .. english, function()
      local ours, theirs = blocks_of(portuguese), blocks_of(english)
      for i, block in ipairs(theirs) do
        assert(ours[i] and shape(ours[i].code) == shape(block.code),
          ("%s:%d is not %s:%d"):format(portuguese, ours[i] and ours[i].line or 0, english, block.line))
      end
      assert.equal(#theirs, #ours)
    end)

    it(portuguese .. " has the headings of " .. english, function()
      assert.same(depths_of(english), depths_of(portuguese))
    end)

    it(portuguese .. " has the links of " .. english .. ", to translations where there are some", function()
      local expected = {}
      for link in pairs(links_of(english)) do expected[translated(english, link)] = true end
      -- It may lead to more pages in Portuguese.
      for link in pairs(links_of(portuguese)) do
        if link:find("%.pt%-br%.md$") then expected[link] = true end
      end
      assert.same(expected, links_of(portuguese))
    end)
  end

  it("is what other pages in Portuguese lead to", function()
    for _, page in ipairs { "README.pt-br.md", "docs/examples.pt-br.md" } do
      for link in pairs(links_of(page)) do
        local target = link:gsub("#.*", ""):gsub("^docs/", "")
        assert(not translations["docs/" .. target], page .. ": " .. link)
      end
    end
  end)

  it("is not believed", function()
    assert.equal(shape 'print("a", b) -- c', shape 'print("x", y) -- z')
    assert.not_equal(shape "print(a, b, a)", shape "print(a, b, b)")
    assert.not_equal(shape "print(1)", shape "print(2)")
  end)
end)
