-- The PROXY protocol (HAProxy's proxy-protocol.txt) at both ends: a header that tells who the peer
-- is. Against headers written by hand, and against HAProxy and nginx themselves.

local helper = require "spec.support.helper"
local loops = require "spec.support.loops"
local tcp = require "tcp"
local safe = require "tcp.safe"

local unpack = table.unpack or unpack -- luacheck: ignore 113 143

-- Headers -----------------------------------------------------------------------------------------

local signature = "\r\n\r\n\0\r\nQUIT\n"

local function two(number)
  return string.char(math.floor(number / 256) % 256, number % 256)
end

-- A header of version 2; `length` where it lies.
local function block(command, family, body, length)
  return signature .. string.char(command, family) .. two(length or #body) .. body
end

local function ipv4(source, from, destination, to)
  local function octets(ip) return string.char(ip:match "^(%d+)%.(%d+)%.(%d+)%.(%d+)$") end
  return octets(source) .. octets(destination) .. two(from) .. two(to)
end

local four = ipv4("192.0.2.7", 56324, "198.51.100.1", 443)
local six = "\32\1\13\184" .. ("\0"):rep(11) .. "\7" .. ("\0"):rep(15) .. "\1" .. two(56324) .. two(443)
local unix = "/run/x" .. ("\0"):rep(210)
local noop, large = "\4\0\0", "\4" .. two(4093) .. ("x"):rep(4093)

-- The peer that a header tells, as `info` and messages have it; false where it tells none.
local headers = {
  { "version 1, IPv4", "PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n", "192.0.2.7" },
  { "version 1, IPv6", "PROXY TCP6 2001:db8::7 ::1 56324 443\r\n", "2001:db8::7" },
  { "version 1, IPv6 in full", "PROXY TCP6 2001:0DB8:0:0:0:0:0:0007 0:0:0:0:0:0:0:1 56324 443\r\n", "2001:db8::7" },
  { "version 1, unknown", "PROXY UNKNOWN\r\n", false },
  { "version 1, unknown with more", "PROXY UNKNOWN ::7 ::1 56324 443\r\n", false },
  { "version 1, unknown, the longest", "PROXY UNKNOWN " .. ("f"):rep(91) .. "\r\n", false },
  { "version 2, IPv4", block(0x21, 0x11, four), "192.0.2.7" },
  { "version 2, IPv6", block(0x21, 0x21, six), "2001:db8::7" },
  { "version 2, IPv4 with TLVs", block(0x21, 0x11, four .. noop .. "\1\0\2h2\238\0\1x"), "192.0.2.7" },
  { "version 2, IPv6 with 4 KB of TLVs", block(0x21, 0x21, six .. large), "2001:db8::7" },
  { "version 2, Unix", block(0x21, 0x31, unix .. noop), false },
  { "version 2, unspecified", block(0x21, 0x00, ""), false },
  { "version 2, unspecified with more", block(0x21, 0x00, "whatever"), false },
  { "version 2, local", block(0x20, 0x00, ""), false },
  { "version 2, local with addresses", block(0x20, 0x11, four), false },
  { "version 2, local of a family that does not count", block(0x20, 0xFF, "whatever"), false },
}

-- What is no header, although all of it may have come: the reason, and the bytes.
local malformed = {}
local function wrong(reason, bytes) malformed[#malformed + 1] = { reason, bytes } end

-- A byte of each fixed part is another one.
for _, header in ipairs { block(0x21, 0x11, four), "PROXY TCP4 ", "PROXY TCP6 ", "PROXY UNKNOWN\r\n" } do
  for at = 1, math.min(#header, 13) do
    local byte = string.char((header:byte(at) + 64) % 256)
    wrong("P?R?O?X?Y? ?", header:sub(1, at - 1) .. byte .. header:sub(at + 1) .. ("x"):rep(200))
  end
end
-- Versions, commands, families and protocols.
for command = 0, 255 do
  if command ~= 0x20 and command ~= 0x21 then
    wrong("version and command 0x", block(command, 0x11, four))
  end
end
for family = 0, 255 do
  if family ~= 0x00 and family ~= 0x11 and family ~= 0x21 and family ~= 0x31 then
    wrong("family and protocol 0x", block(0x21, family, six))
  end
end
-- Lengths.
for length = 0, 11 do wrong("bytes of addresses, not 12", block(0x21, 0x11, four, length)) end
for length = 0, 35 do wrong("bytes of addresses, not 36", block(0x21, 0x21, six, length)) end
for length = 0, 215, 5 do wrong("bytes of addresses, not 216", block(0x21, 0x31, unix, length)) end
for _, over in ipairs { 4097, 4098, 8192, 65535 - 216 } do
  wrong("of TLVs, over 4096", block(0x20, 0x00, "", over))
  wrong("of TLVs, over 4096", block(0x21, 0x00, "", over))
  wrong("of TLVs, over 4096", block(0x21, 0x11, four, 12 + over))
  wrong("of TLVs, over 4096", block(0x21, 0x21, six, 36 + over))
  wrong("of TLVs, over 4096", block(0x21, 0x31, unix, 216 + over))
end
for _, tlvs in ipairs { "\4", "\4\0", "\4\0\1", noop .. "\4", noop .. "\1\0\3h2", "\4\255\255" .. ("x"):rep(99) } do
  wrong("a TLV that is cut off", block(0x21, 0x11, four .. tlvs))
  wrong("a TLV that is cut off", block(0x21, 0x31, unix .. tlvs))
end
-- Addresses and ports of version 1.
for _, port in ipairs { "", "65536", "99999", "100000", "-1", "+1", "01", "00", "1.0", "0x1", "1e1", "x", "1 1" } do
  wrong("bad PROXY header, 'TCP4 ", ("PROXY TCP4 192.0.2.7 198.51.100.1 %s 443\r\n"):format(port))
  wrong("bad PROXY header, 'TCP6 ", ("PROXY TCP6 ::7 ::1 56324 %s\r\n"):format(port))
end
for _, ip in ipairs { "", "1", "1.2.3", "1.2.3.4.5", "256.1.1.1", "01.2.3.4", "1.2.3.+4", "1.2.3.4 ", "::1", "x",
  "0x7f.0.0.1", "1..3.4", "localhost", "\0", "\255" } do
  wrong("bad PROXY header, 'TCP4 ", ("PROXY TCP4 %s 198.51.100.1 56324 443\r\n"):format((ip:gsub("%z", "%%z"))))
  wrong("bad PROXY header, 'TCP4 ", "PROXY TCP4 192.0.2.7 " .. ip .. " 56324 443\r\n")
end
for _, ip in ipairs { "", ":", "1", "1::2::3", ":::1", "12345::1", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "g::1",
  "::1%lo", "[::1]", "192.0.2.7", "::1.2.3" } do
  wrong("bad PROXY header, 'TCP6 ", "PROXY TCP6 " .. ip .. " ::1 56324 443\r\n")
  wrong("bad PROXY header, 'TCP6 ", "PROXY TCP6 ::7 " .. ip .. " 56324 443\r\n")
end
-- Lines.
wrong("bad PROXY header, 'UNKNOWNX'", "PROXY UNKNOWNX\r\n")
for _, line in ipairs { "PROXY TCP4 192.0.2.7 198.51.100.1 56324 443", "PROXY UNKNOWN", "PROXY UNKNOWN a" } do
  wrong("does not end with CR and LF", line .. "\n")
  wrong("does not end with CR and LF", line .. "\r\r\n")
  wrong("does not end with CR and LF", line .. "\rx\n")
end
for _, over in ipairs { 92, 93, 94, 200, 5000 } do
  wrong("a line of over 107 bytes", "PROXY UNKNOWN " .. ("f"):rep(over) .. "\r\n")
  wrong("a line of over 107 bytes", "PROXY TCP6 " .. ("f"):rep(over + 3) .. "\r\n")
end
-- Other protocols.
for _, text in ipairs { "GET / HTTP/1.1\r\n\r\n", "\22\3\1\2\0\1\0\1\252\3\3", "SSH-2.0-x\r\n", "\0", "hello", "\r\n\n",
  "PROXYTCP4 ", "PROXY  TCP4", "PROXY UDP4 ", "PROXY tcp4", "proxy TCP4", " PROXY TCP4" } do
  wrong("no PROXY header, the connection begins with '", text)
end

-- Both ends ---------------------------------------------------------------------------------------

-- Our listener, whose clients begin with a header, and what a client does behind it.
local kinds = {
  { name = "TCP", class = "tcp.Connection" },
  { name = "TLS", class = "tcp.TlsConnection", tls = true },
}

local function listen(kind, options, module)
  local all = { proxy_protocol = true, timeout = helper.timeout }
  if kind.tls then all.tls = { cert_file = helper.pem "good", key_file = helper.pem("good", "key") } end
  for name, value in pairs(options or {}) do all[name] = value end
  return helper.keep((module or tcp).listen("127.0.0.1", 0, all))
end

-- A client whose bytes stand in the spec: of Python, and over TLS from the handshake on.
local function dial(kind, listener, header, code)
  local margin = code:match "^\n?( *)"
  local begin = ("%sc.send(%s)\n"):format(margin, helper.bytes(header))
  if kind.tls then begin = begin .. margin .. "c.handshake()\n" end
  return helper.dial(listener:port(), begin .. code)
end

local function accept(listener)
  return helper.keep(listener:accept(helper.timeout))
end

-- A client that is a bare connection of ours.
local function bare(listener, bytes)
  local client = helper.keep(tcp.connect("127.0.0.1", listener:port(), helper.timeout))
  if bytes then client:send(bytes) end
  return client
end

-- How a connection names its ends.
local function named(kind, conn, peer)
  local sock = conn:info().sock
  return ("%s: 127.0.0.1:%d%s"):format(kind.class, sock.port, peer and " -> " .. peer or "")
end

local function label(ip)
  return (ip:find ":" and "[" .. ip .. "]" or ip) .. ":56324"
end

for _, kind in ipairs(kinds) do
  describe("a " .. kind.name .. " listener with proxy_protocol", function()
    after_each(helper.finish)

    for _, each in ipairs(headers) do
      local name, header, ip = unpack(each)
      it("knows the peer by a header of " .. name, function()
        local listener = listen(kind)
        local peer = dial(kind, listener, header, [[
          c.send(b"\r\nPROXY UNKNOWN\r\n")
          return c.recv_all()
        ]])
        local conn = accept(listener)
        local via = conn:info().via
        assert.equal("127.0.0.1", via.ip)
        conn:handshake()
        local info, port = conn:info(), via.port
        assert.same(via, info.via)
        assert.same({ ip = ip or "127.0.0.1", port = ip and 56324 or port }, info.peer)
        assert.equal(ip or "127.0.0.1", info.host)
        local peer_name = ip and label(ip) or "127.0.0.1:" .. port
        assert.equal(named(kind, conn, peer_name), tostring(conn))
        assert.equal("\r\nPROXY UNKNOWN\r\n", conn:read(17))
        assert.equal(17, conn:info().bytes_read)
        conn:send("as is")
        conn:shutdown()
        assert.equal("as is", peer:result())
        conn:close()
        assert.same(info.peer, conn:info().peer)
        assert.same(via, conn:info().via)
        assert.equal(named(kind, conn, peer_name) .. " (closed)", tostring(conn))
        helper.fails("closed", ("^read %s: closed: "):format(peer_name:gsub("%p", "%%%0")),
          function() conn:read(1) end)
      end)
    end

    it("does not know the peer before", function()
      local listener = listen(kind, nil, safe)
      local peer = helper.dial(listener:port(), ([[
        c.wait()
        c.send(%s)
        %s
        c.send(b"x")
        c.hold()
      ]]):format(helper.bytes(headers[1][2]), kind.tls and "c.handshake()" or ""))
      local conn = accept(listener)
      local info = conn:info()
      assert.is_nil(info.peer)
      assert.is_nil(info.host)
      assert.same({ ip = "127.0.0.1", port = info.via.port }, info.via)
      assert.equal(named(kind, conn), tostring(conn))
      local who = "127%.0%.0%.1:" .. info.via.port
      for _, call in ipairs { { "read", 1 }, { "recv" }, { "handshake" }, { "send", "early" }, { "shutdown" } } do
        conn:set_timeout(0.03)
        local _, details = helper.fails_safely("timeout", ("^%s %s: timeout: PROXY header$"):format(call[1], who),
          conn[call[1]](conn, call[2]))
        assert.equal("proxy", details.phase)
      end
      assert.equal(named(kind, conn), tostring(conn))
      peer:go()
      conn:set_timeout(helper.timeout)
      assert.equal("x", conn:read(1))
      assert.equal("192.0.2.7", conn:info().peer.ip)
      conn:close()

      bare(listener)
      conn = accept(listener)
      local via = conn:info().via
      conn:close()
      assert.is_nil(conn:info().peer)
      assert.same(via, conn:info().via)
      assert.equal(named(kind, conn) .. " (closed)", tostring(conn))
    end)

    it("loses no byte behind the header", function()
      local listener = listen(kind, { timeout = 10 })
      for _, each in ipairs(headers) do
        -- All at once; over TLS the ClientHello stands behind the header.
        dial(kind, listener, each[2], [[ c.send(bytes(i % 251 for i in range(300000))) ]])
        local conn = accept(listener)
        local bytes = conn:read(300000)
        for _, at in ipairs { 1, 2, 5000, 100000, 300000 } do assert.equal((at - 1) % 251, bytes:byte(at)) end
        assert.equal("", conn:recv())
        conn:close()
      end
    end)

    it("takes a header byte by byte", function()
      local listener = listen(kind)
      for _, each in ipairs(headers) do
        if #each[2] < 300 then
          helper.dial(listener:port(), ([[
            c.drip(%s, 0.0005)
            %s
            c.drip(b"hello")
          ]]):format(helper.bytes(each[2]), kind.tls and "c.handshake()" or ""))
          local conn = accept(listener)
          assert.equal("hello", conn:read(5))
          assert.equal(each[3] or "127.0.0.1", conn:info().peer.ip)
          conn:close()
        end
      end
    end)

    it("refuses what is no header, hundreds of them, without waiting for more", function()
      local listener = listen(kind, nil, safe)
      assert.is_true(#malformed > 600)
      for number, each in ipairs(malformed) do
        local reason, bytes = unpack(each)
        local client = bare(listener, bytes)
        local conn = accept(listener)
        local operation = ({ "handshake", "recv", "read_line", "read_packet" })[number % 4 + 1]
        local value, message, code = conn[operation](conn)
        assert(code == "proxy" and message:find(reason), ("%s for %q"):format(message or value, bytes))
        assert.equal("proxy", select(3, conn:send "x"))
        assert.equal(message:match ": proxy: .*", select(2, conn:recv()):match ": proxy: .*")
        assert.is_nil(conn:info().peer)
        conn:close()
        client:close()
      end
    end)

    it("refuses a header that is cut off, wherever", function()
      local listener = listen(kind, nil, safe)
      for _, each in ipairs(headers) do
        local header = each[2]
        for length = 0, #header - 1, #header > 300 and 97 or 1 do
          local client = bare(listener, header:sub(1, length))
          client:shutdown()
          local conn = accept(listener)
          local _, message, code = conn:recv()
          assert(code == "proxy", ("%s for %q"):format(message, header:sub(1, length)))
          local expected = length == 0 and "the connection ended before a PROXY header"
            or ("the connection ended after %d bytes of a PROXY header"):format(length)
          assert.equal(expected, message:match ": proxy: (.*)")
          conn:close()
          client:close()
        end
      end
    end)

    it("waits for a header no longer than the call's timeout, however it drips", function()
      local listener = listen(kind, { timeout = 0.2 }, safe)
      local conn
      helper.takes(0.2, function()
        helper.dial(listener:port(), ("c.drip(%s, 0.02)"):format(helper.bytes(headers[1][2])))
        conn = accept(listener)
      end, function()
        helper.fails_safely("timeout", "PROXY header$", conn:recv())
      end)
      conn:set_timeout(helper.timeout)
      if not kind.tls then
        assert.equal("", conn:recv())
        assert.equal("192.0.2.7", conn:info().peer.ip)
      end
    end)

    it("is told of a reset", function()
      local listener = listen(kind, nil, safe)
      local peer = helper.dial(listener:port(), [[
        c.send(b"PROXY")
        c.wait()
        c.reset()
      ]])
      local conn = accept(listener)
      conn:set_timeout(0.02)
      helper.fails_safely("timeout", "PROXY header$", conn:recv())
      conn:set_timeout(helper.timeout)
      peer:go()
      helper.fails_safely("closed", "reset", conn:recv())
    end)

    it("is readable for tcp.poll by a payload or a failure, and not by a header", function()
      local listener = listen({}, nil, safe)
      local client = bare(listener, "PROXY TCP4 192.0.2.7 ")
      local conn = accept(listener)
      assert.same({}, (tcp.poll({ conn }, nil, 0.02)))
      assert.is_false(conn:dirty())
      client:send("198.51.100.1 56324 443\r\n")
      assert.same({}, (tcp.poll({ conn }, nil, 0.02)))
      assert.equal("192.0.2.7", conn:info().peer.ip)
      client:send("x")
      assert.same({ conn }, (tcp.poll({ conn }, nil, helper.timeout)))
      assert.equal("x", conn:recv())

      bare(listener, "GET")
      conn = accept(listener)
      assert.same({ conn }, (tcp.poll({ conn }, nil, helper.timeout)))
      helper.fails_safely("proxy", "begins with 'GET'$", conn:recv())
    end)

    it("leaves nothing behind", function()
      local listener = listen(kind, nil, safe)
      collectgarbage() collectgarbage()
      local before = helper.sockets()
      for _, bytes in ipairs { "", "PROXY TCP4 1", "GET /", headers[1][2] } do
        local client = tcp.connect("127.0.0.1", listener:port())
        client:send(bytes)
        local conn = listener:accept(helper.timeout)
        conn:set_timeout(0.01)
        conn:recv()
        client:close()
        if bytes == "GET /" then conn:close() end
      end
      collectgarbage() collectgarbage()
      assert.equal(before, helper.sockets())
    end)

    for _, loop in ipairs(loops) do
      it("serves others in " .. loop.name .. " while a client says nothing", function()
        if not loop.found then return pending(loop.reason) end
        local listener = listen(kind, nil, safe)
        bare(listener)
        local silent = accept(listener)
        helper.dial(listener:port(), ([[
          c.drip(%s, 0.002)
          %s
          c.drip(b"slow\n")
          c.hold()
        ]]):format(helper.bytes(headers[7][2]), kind.tls and "c.handshake()" or ""))
        local slow = accept(listener)
        bare(listener, "nonsense")
        local bad = accept(listener)
        dial(kind, listener, headers[2][2], [[ c.send(b"quick\n" + c.recv_exactly(5)); c.hold() ]])
        local quick = accept(listener)
        local order = {}
        local function note(what) order[#order + 1] = what end
        loop.within(function()
          silent:set_timeout(0.4)
          local _, message, code = silent:recv()
          note(code .. " " .. message:match ": timeout: (.*)")
        end, function()
          note(slow:read_line())
        end, function()
          note((select(3, bad:send "x")))
        end, function()
          -- A reader waits for the header, and a writer as well.
          quick:handshake()
          quick:send("12345")
          note(quick:read_line())
          assert.equal("12345", quick:read(5))
        end)
        table.sort(order)
        assert.same({ "proxy", "quick", "slow", "timeout PROXY header" }, order)
        assert.equal("192.0.2.7", slow:info().peer.ip)
        assert.equal("2001:db8::7", quick:info().peer.ip)
        assert.is_nil(silent:info().peer)
      end)
    end
  end)
end

describe("a connection behind a PROXY header", function()
  after_each(helper.finish)

  it("has a handshake without TLS only where a header comes", function()
    local listener = helper.keep(safe.listen("127.0.0.1", 0))
    bare(listener)
    helper.fails_safely("tls", "this connection has no TLS$", accept(listener):handshake())
    listener = listen(kinds[1], nil, safe)
    bare(listener, "PROXY UNKNOWN\r\n")
    local conn = accept(listener)
    assert.is_true(conn:handshake())
    assert.is_true(conn:handshake())
    helper.fails_safely("tls", "this connection has no TLS$", conn:session())
  end)

  it("begins TLS later, and keeps its peer", function()
    local listener = listen(kinds[1])
    local peer = helper.dial(listener:port(), ([[
      c.send(%s)
      c.handshake()
      c.send(b"hidden")
      return c.recv_all()
    ]]):format(helper.bytes(headers[1][2])))
    local conn = accept(listener)
    local via = conn:info().via
    local tls = helper.keep(conn:start_tls { cert_file = helper.pem "good", key_file = helper.pem("good", "key") })
    assert.equal("192.0.2.7", tls:info().peer.ip)
    assert.equal("192.0.2.7", tls:info().host)
    assert.same(via, tls:info().via)
    assert.equal("192.0.2.7", conn:info().peer.ip)
    assert.equal("hidden", tls:read(6))
    tls:send("seen")
    tls:shutdown()
    assert.equal("seen", peer:result())
    tls:set_timeout(0.01)
    tls:close()
    helper.fails("closed", "^read 192%.0%.2%.7:56324: ", function() tls:read(1) end)
  end)

  it("begins no TLS where the header is none", function()
    local listener = listen(kinds[1], nil, safe)
    bare(listener, "GET / HTTP/1.1\r\n")
    local conn = accept(listener)
    helper.fails_safely("proxy", "^start_tls ", conn:start_tls {
      cert_file = helper.pem "good", key_file = helper.pem("good", "key") })
    assert.is_true(conn:is_open())
  end)

  it("fails in TLS as any other where the header is right", function()
    local listener = listen(kinds[2], nil, safe)
    bare(listener, headers[1][2] .. "GET / HTTP/1.1\r\n\r\n")
    local conn = accept(listener)
    helper.fails_safely("tls", "^handshake 192%.0%.2%.7:56324: tls: the peer does not speak TLS", conn:handshake())
    bare(listener, headers[1][2]):shutdown()
    helper.fails_safely("closed", "in the TLS handshake", accept(listener):handshake())
  end)

  it("is traced", function()
    local lines = {}
    tcp.debug(function(line) lines[#lines + 1] = line end)
    local listener = listen(kinds[1])
    helper.keep(tcp.connect("127.0.0.1", listener:port(), { proxy_protocol = 2 })):send "x"
    local conn = accept(listener)
    conn:read(1)
    bare(listener, "PROXY UNKNOWN\r\n")
    accept(listener):handshake()
    tcp.debug(false)
    local text = table.concat(lines, "\n")
    assert.matches("PROXY header: 28 bytes sent", text)
    assert.matches("PROXY header: from 127%.0%.0%.1:%d+ to 127%.0%.0%.1:%d+", text)
    assert.matches("PROXY header: without addresses", text)
  end)
end)

describe("listen", function()
  after_each(helper.finish)

  it("takes proxy_protocol as a boolean", function()
    for _, value in ipairs { 1, "local", {} } do
      local got = type(value)
      helper.misuse(("bad argument #3 to 'listen' (option 'proxy_protocol': boolean expected, got %s)"):format(got),
        function() tcp.listen("127.0.0.1", 0, { proxy_protocol = value }) end)
    end
    local listener = helper.keep(tcp.listen("127.0.0.1", 0, { proxy_protocol = false }))
    bare(listener, "GET")
    local conn = accept(listener)
    assert.equal("GET", conn:read(3))
    assert.is_nil(conn:info().via)
  end)

  it("accepts while thousands of clients say nothing", function()
    for _, kind in ipairs(kinds) do
      local listener = listen(kind, { backlog = 4096 }, safe)
      -- As many as the peers' process may have.
      local count = math.min(2000, (tonumber(helper.output "ulimit -Hn") or 1e6) - 200)
      local crowd = helper.dial(listener:port(), ([[
        import resource
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        begins = [b"", b"PROXY TCP4 ", b"\r\n\r\n\0"]
        crowd = []
        for i in range(%d):
          crowd.append(socket.create_connection(c.sock.getpeername(), 5))
          crowd[-1].sendall(begins[i %% 3])
        c.send(%s)
        c.hold()
      ]]):format(count, helper.bytes(headers[1][2])))
      local first = accept(listener)
      -- The crowd stands in the queue, and is taken one after the other; none is waited for.
      first:set_timeout(20)
      if not kind.tls then first:handshake() else first:close() end
      local before = helper.clock()
      local open = {}
      for i = 1, count do
        local conn = assert(listener:accept(helper.timeout))
        if i <= 500 then open[i] = conn else conn:close() end
      end
      dial(kind, listener, headers[1][2], [[ c.send(b"served") ]])
      assert.equal("served", accept(listener):read(6))
      local took = helper.clock() - before
      assert(took < 10, took)
      assert.is_number(crowd.port)
      for _, conn in ipairs(open) do conn:close() end
      helper.finish()
    end
  end)
end)

-- The header that goes out ------------------------------------------------------------------------

describe("connect with proxy_protocol", function()
  after_each(helper.finish)

  local told = { source = { "192.0.2.7", 56324 }, destination = { "198.51.100.1", 443 } }
  local told6 = { source = { ip = "2001:db8::7", port = 56324 }, destination = { "[::1]", 443 } }

  local function of(version, ends)
    return { version = version, source = ends.source, destination = ends.destination }
  end

  -- Connects with this option: what the peer received first, and its address as it saw it.
  local function received(option, size, host)
    local conn, peer = helper.connect(("return c.recv_exactly(%d) + c.recv_exactly(2)"):format(size),
      { proxy_protocol = option }, { host = host or "127.0.0.1" })
    conn:send("hi")
    local info = conn:info()
    assert.is_nil(info.via)
    local bytes = peer:result()
    assert.equal("hi", bytes:sub(-2))
    assert.equal(2, info.bytes_written)
    return bytes:sub(1, -3), info.sock.port, info.peer.port
  end

  it("sends the ends that it is told, byte for byte", function()
    assert.equal(headers[1][2], (received(of(1, told), #headers[1][2])))
    assert.equal(headers[2][2], (received(of(1, told6), #headers[2][2])))
    assert.equal(block(0x21, 0x11, four), (received(of(2, told), 28)))
    assert.equal(block(0x21, 0x21, six), (received(of(2, told6), 52)))
    assert.equal(block(0x20, 0, ""), (received("local", 16)))
  end)

  it("sends its own ends", function()
    local conn, peer = helper.connect([[ return c.recv_line() ]], { proxy_protocol = 1 })
    local info = conn:info()
    assert.equal(("PROXY TCP4 127.0.0.1 127.0.0.1 %d %d\r\n"):format(info.sock.port, info.peer.port), peer:result())
    conn, peer = helper.connect([[ return c.recv_line() ]], { proxy_protocol = 1 }, { host = "::1" })
    info = conn:info()
    assert.equal(("PROXY TCP6 ::1 ::1 %d %d\r\n"):format(info.sock.port, info.peer.port), peer:result())
    local bytes, from, to = received(2, 28)
    assert.equal(block(0x21, 0x11, ipv4("127.0.0.1", from, "127.0.0.1", to)), bytes)
    bytes, from, to = received(2, 52, "::1")
    local one = ("\0"):rep(15) .. "\1"
    assert.equal(block(0x21, 0x21, one .. one .. two(from) .. two(to)), bytes)
  end)

  it("sends it before TLS, and at once", function()
    for _, option in ipairs { 1, 2, "local", of(1, told), of(2, told6) } do
      local peer = helper.listen([[
        header = c.recv_exactly(16)
        if header.startswith(b"PROXY"): header += c.recv_line()
        else: header += c.recv_exactly(header[15])
        c.handshake("good")
        c.send(b"over TLS")
        return header
      ]])
      local conn = helper.keep(tcp.connect_tls("127.0.0.1", peer.port, {
        proxy_protocol = option, ca_file = helper.pem "root", timeout = helper.timeout }))
      assert.equal("over TLS", conn:read(8))
      assert.matches(type(option) == "table" and option.version == 1 and "^PROXY TCP4 192" or "^[P\r]", peer:result())
    end
    -- Also where the server speaks first.
    local conn = helper.connect([[
      c.recv_line()
      c.send(b"220 hello\r\n")
      c.hold()
    ]], { proxy_protocol = 1 })
    assert.equal("220 hello", conn:read_line())
  end)

  it("is understood by listen, over TCP and TLS", function()
    for _, kind in ipairs(kinds) do
      local listener = listen(kind)
      for _, option in ipairs { 1, 2, "local", of(1, told), of(2, told), of(1, told6), of(2, told6) } do
        local client
        if kind.tls then
          helper.dial(listener:port(), "c.cut()")
          accept(listener):close()
        else
          client = bare(listener)
          client:close()
          accept(listener):close()
          client = helper.keep(tcp.connect("127.0.0.1", listener:port(), { proxy_protocol = option }))
          client:send("x")
          local conn = accept(listener)
          assert.equal("x", conn:read(1))
          local expected = type(option) == "table" and (option.source.ip or option.source[1]) or "127.0.0.1"
          assert.equal(expected, conn:info().peer.ip)
          if type(option) ~= "table" then assert.same(conn:info().via, conn:info().peer) end
        end
      end
    end
  end)

  it("hands on what info tells of a peer", function()
    local front, back = listen(kinds[1]), listen(kinds[1])
    bare(front, headers[1][2])
    local client = accept(front)
    client:handshake()
    local info = client:info()
    helper.keep(tcp.connect("127.0.0.1", back:port(), {
      proxy_protocol = { version = 2, source = info.peer, destination = info.sock } }))
    local served = accept(back)
    served:handshake()
    assert.same(info.peer, served:info().peer)
  end)

  it("takes nothing else", function()
    local function refuses(option, why)
      helper.misuse("bad argument #3 to 'connect' (" .. why .. ")", function()
        tcp.connect("127.0.0.1", 9, { proxy_protocol = option })
      end)
    end
    local name = "option 'proxy_protocol': "
    refuses(true, name .. "1, 2, 'local' or table expected, got boolean")
    refuses(0, name .. "1 to 2 expected, got 0")
    refuses(3, name .. "1 to 2 expected, got 3")
    refuses(1.5, name .. "number has no integer representation")
    refuses("remote", name .. "'local' expected, got 'remote'")
    refuses({}, name .. "a table of version, source and destination expected")
    refuses({ version = 2, source = told.source }, name .. "a table of version, source and destination expected")
    refuses({ source = told.source, destination = told.destination },
      name .. "a table of version, source and destination expected")
    refuses({ version = 2, source = told.source, destination = told6.destination },
      name .. "source and destination are not of one family")
    refuses({ version = 3, source = told.source, destination = told.destination },
      "option 'version': 1 to 2 expected, got 3")
    refuses({ version = 1, from = 1 }, name .. "unknown option 'from'")
    local ends = "a table of an IP address and a port expected"
    for _, source in ipairs { {}, { "192.0.2.7" }, { "example.com", 1 }, { "192.0.2.7", 1, 2 }, { ip = "192.0.2.7" },
      { "", 1 }, { "127.1", 1 } } do
      refuses({ version = 1, source = source, destination = told.destination }, "option 'source': " .. ends)
    end
    refuses({ version = 1, source = "192.0.2.7:1", destination = told.destination },
      "option 'source': table expected, got string")
    refuses({ version = 1, source = { "192.0.2.7", 65536 }, destination = told.destination },
      "option 'source': 0 to 65535 expected, got 65536")
  end)
end)
