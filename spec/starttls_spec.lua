-- The option `starttls` of `connect_tls`: what ten protocols say before their handshake. Their
-- servers are scripts by the protocols' documents, whole, slow, refusing and cheating; and two real
-- ones.

local helper = require "spec.support.helper"
local loops = require "spec.support.loops"
local tcp = require "tcp"
local safe = require "tcp.safe"

local root = helper.pem "root"

-- Scripts -----------------------------------------------------------------------------------------

local function u32(n)
  return string.char(n % 256, math.floor(n / 2^8) % 256, math.floor(n / 2^16) % 256, math.floor(n / 2^24) % 256)
end

local function mysql_packet(number, body)
  return u32(#body):sub(1, 3) .. string.char(number) .. body
end

-- A server's first packet, with the lower and the upper half of its flags.
local function mysql_greeting(lower, upper)
  return mysql_packet(0, "\0108.0.36\0" .. u32(7) .. "12345678\0" .. u32(lower):sub(1, 2) .. "\255\2\0"
    .. u32(upper):sub(1, 2) .. "\21" .. ("\0"):rep(10) .. "123456789012\0caching_sha2_password\0")
end

local xmpp_header = "<?xml version='1.0'?><stream:stream from='localhost' id='1' version='1.0' "
  .. "xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
local xmpp_features = "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>"
  .. "</stream:features>"
local xmpp_opening = "<?xml version='1.0'?><stream:stream to='localhost' version='1.0' xml:lang='en' "
  .. "xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
local xmpp_starttls = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"

local ldap_request = "\48\29\2\1\1\119\24\128\0221.3.6.1.4.1.1466.20037"

-- An LDAP answer; lengths in five bytes, as Active Directory has them, in the outer element.
local function ldap_answer(code, message)
  local body = "\2\1\1\120" .. string.char(7 + #message) .. "\10\1" .. string.char(code)
    .. "\4\0\4" .. string.char(#message) .. message
  return "\48\132\0\0\0" .. string.char(#body) .. body
end

-- Of each protocol: what the server says and what the client does, by turns, the server first; what
-- `info` tells of it; what timeouts name at each of the server's turns; and what goes wrong: the
-- turns up to the refusal, and the words that are expected.
local protocols = {
  {
    name = "smtp",
    "220-mail.example\r\n220 ready\r\n", "EHLO [127.0.0.1]\r\n",
    "250-mail.example\r\n250-SIZE 1000\r\n250-StartTLS\r\n250 HELP\r\n", "STARTTLS\r\n",
    "220 go ahead\r\n",
    greeting = 1, capabilities = 3,
    awaits = { "the greeting of SMTP", "the answer to EHLO", "the answer to STARTTLS" },
    endless = { "250-more\r\n", 3 },
    refusals = {
      { { "554 no service\r\n" }, 'the server refused the connection, it said "554 no service"' },
      { { "220 x\r\n", "EHLO [127.0.0.1]\r\n", "500 what?\r\n" },
        'the server refused EHLO, it said "500 what?"' },
      { { "220 x\r\n", "EHLO [127.0.0.1]\r\n", "250-STARTTLS\r\n250 HELP\r\n" },
        'the server does not offer STARTTLS, it said "250-STARTTLS\\r\\n250 HELP"' },
      { { "220 x\r\n", "EHLO [127.0.0.1]\r\n", "250-x\r\n250 STARTTLS\r\n", "STARTTLS\r\n", "454 not now\r\n" },
        'the server refused STARTTLS, it said "454 not now"' },
      { { "SSH-2.0-OpenSSH_9.2\r\n" }, 'the server does not speak SMTP, it said "SSH-2.0-OpenSSH_9.2"' },
    },
  },
  {
    name = "lmtp",
    "220 ready\r\n", "LHLO [127.0.0.1]\r\n", "250-x\r\n250 STARTTLS\r\n", "STARTTLS\r\n", "220 go\r\n",
    greeting = 1, capabilities = 3,
    awaits = { "the greeting of LMTP", "the answer to LHLO", "the answer to STARTTLS" },
    endless = { "220-x\r\n", 1 },
    refusals = {
      { { "220 x\r\n", "LHLO [127.0.0.1]\r\n", "250 x\r\n" },
        'the server does not offer STARTTLS, it said "250 x"' },
    },
  },
  {
    name = "imap",
    "* OK ready\r\n", "a1 CAPABILITY\r\n", "* CAPABILITY IMAP4rev1 STARTTLS\r\na1 OK done\r\n", "a2 STARTTLS\r\n",
    "* OK wait\r\na2 OK begin\r\n",
    greeting = 1, capabilities = 3,
    awaits = { "the greeting of IMAP", "the answer to CAPABILITY", "the answer to STARTTLS" },
    endless = { "* OK x\r\n", 3 },
    refusals = {
      { { "* BYE full\r\n" }, 'the server refused the connection, it said "* BYE full"' },
      { { "* PREAUTH hello\r\n" }, 'the server does not offer STARTTLS, it said "* PREAUTH hello"' },
      { { "* OK x\r\n", "a1 CAPABILITY\r\n", "* CAPABILITY IMAP4rev1 LOGINDISABLED\r\na1 OK x\r\n" },
        'the server does not offer STARTTLS, it said "* CAPABILITY IMAP4rev1 LOGINDISABLED\\r\\na1 OK x"' },
      { { "* OK [CAPABILITY STARTTLS] x\r\n", "a1 STARTTLS\r\n", "a1 NO not now\r\n" },
        'the server refused STARTTLS, it said "a1 NO not now"' },
      { { "* OK [CAPABILITY STARTTLS] x\r\n", "a1 STARTTLS\r\n", "a1 BAD what?\r\n" },
        'the server refused STARTTLS, it said "a1 BAD what?"' },
    },
  },
  {
    name = "imap", title = "imap, told by the greeting",
    "* OK [CAPABILITY IMAP4rev1 STARTTLS ID] ready\r\n", "a1 STARTTLS\r\n", "a1 OK begin\r\n",
    greeting = 1, capabilities = 1,
    awaits = { "the greeting of IMAP", "the answer to STARTTLS" },
    endless = { "x", 1 },
    refusals = {},
  },
  {
    name = "pop3",
    "+OK ready <1@x>\r\n", "CAPA\r\n", "+OK list\r\nTOP\r\nSTLS\r\n.\r\n", "STLS\r\n", "+OK begin\r\n",
    greeting = 1, capabilities = 3,
    awaits = { "the greeting of POP3", "the answer to CAPA", "the answer to STLS" },
    endless = { "MORE\r\n", 3, "+OK\r\n" },
    refusals = {
      { { "-ERR no\r\n" }, 'the server refused the connection, it said "-ERR no"' },
      { { "+OK\r\n", "CAPA\r\n", "+OK\r\nTOP\r\n.\r\n" },
        'the server does not offer STLS, it said "+OK\\r\\nTOP\\r\\n."' },
      { { "+OK\r\n", "CAPA\r\n", "-ERR what?\r\n", "STLS\r\n", "-ERR no\r\n" },
        'the server refused STLS, it said "-ERR no"' },
    },
  },
  {
    name = "ftp",
    "120 soon\r\n220-hello\r\nwhatever\r\n220 ready\r\n", "FEAT\r\n", "211-Features:\r\n AUTH TLS\r\n211 End\r\n",
    "AUTH TLS\r\n", "234 begin\r\n",
    greeting = 1, capabilities = 3,
    awaits = { "the greeting of FTP", "the answer to FEAT", "the answer to AUTH TLS" },
    endless = { "120 x\r\n", 1 },
    refusals = {
      { { "421 full\r\n" }, 'the server refused the connection, it said "421 full"' },
      { { "220 x\r\n", "FEAT\r\n", "500 what?\r\n", "AUTH TLS\r\n", "530 log in first\r\n" },
        'the server refused AUTH TLS, it said "530 log in first"' },
    },
  },
  {
    name = "sieve",
    '"IMPLEMENTATION" "x"\r\n"NOTIFY" {10}\r\nx\r\nNO "x"\r\n"STARTTLS"\r\nOK "ready"\r\n', "STARTTLS\r\n",
    'OK "begin"\r\n',
    greeting = 1, capabilities = 1,
    awaits = { "the greeting of ManageSieve", "the answer to STARTTLS" },
    endless = { '"X" {9999999}\r\nOK\r\n', 1 },
    refusals = {
      { { 'BYE "full"\r\n' }, 'the server refused the connection, it said "BYE "full""' },
      { { '"SIEVE" "STARTTLS"\r\nOK\r\n' },
        'the server does not offer STARTTLS, it said ""SIEVE" "STARTTLS"\\r\\nOK"' },
      { { '"STARTTLS"\r\nOK\r\n', "STARTTLS\r\n", 'NO (TRYLATER) "x"\r\n' },
        'the server refused STARTTLS, it said "NO (TRYLATER) "x""' },
    },
  },
  {
    name = "ldap",
    "", ldap_request, ldap_answer(0, ""),
    awaits = { nil, "the answer to StartTLS" },
    endless = { "\48\132\0\1\0\0", 3 },
    refusals = {
      { { "", ldap_request, ldap_answer(2, "unsupported extended operation") },
        'the server refused StartTLS, it said "protocolError (2): unsupported extended operation"' },
      { { "", ldap_request, "HTTP/1.0 400 what?\r\n" },
        'the server does not speak LDAP, it said "HTTP/1.0 400 what?"' },
    },
  },
  {
    name = "postgres",
    "", "\0\0\0\8\4\210\22\47", "S",
    awaits = { nil, "the answer to SSLRequest" },
    endless = { "E\0\1\0\0", 3 },
    refusals = {
      { { "", "\0\0\0\8\4\210\22\47", "N" }, 'the server does not offer TLS, it said "N"' },
      { { "", "\0\0\0\8\4\210\22\47", "E\0\0\0\29SFATAL\0C53300\0Mtoo many\0\0" },
        'the server refused TLS, it said "too many"' },
      { { "", "\0\0\0\8\4\210\22\47", "?" }, 'the server does not speak PostgreSQL, it said "?"' },
    },
  },
  {
    name = "mysql",
    mysql_greeting(0xffff, 0xdfff),
    mysql_packet(1, u32(0x88a00) .. u32(2^24) .. "\45" .. ("\0"):rep(23)), "",
    greeting = mysql_greeting(0xffff, 0xdfff):sub(5), capabilities = "\255\255\255\223",
    awaits = { "the greeting of MySQL" },
    endless = { "\255\255\0\0\10", 1 },
    refusals = {
      { { mysql_greeting(0xf7ff, 0xdfff) }, 'the server does not offer TLS, it said "8.0.36"' },
      { { mysql_packet(0, "\255\16\4Too many connections") },
        'the server refused the connection, it said "1040 Too many connections"' },
      { { mysql_packet(0, "\0093.20.1\0rest") }, "the server does not speak MySQL, it said " },
    },
  },
  {
    name = "xmpp",
    "", xmpp_opening, xmpp_header .. xmpp_features, xmpp_starttls,
    "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
    greeting = xmpp_header, capabilities = xmpp_features,
    awaits = { nil, "the features of XMPP", "the answer to starttls" },
    endless = { "<x>", 3, xmpp_header },
    refusals = {
      { { "", xmpp_opening, xmpp_header .. "<stream:features/>" },
        'the server does not offer starttls, it said "<stream:features/>"' },
      { { "", xmpp_opening, xmpp_header .. "<stream:error><host-unknown/></stream:error></stream:stream>" },
        'the server refused the connection, it said "<stream:error><host-unknown/></stream:error>"' },
      { { "", xmpp_opening, xmpp_header .. xmpp_features, xmpp_starttls,
          "<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:stream>" },
        "the server refused starttls, it said \"<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>\"" },
      { { "", xmpp_opening, "HTTP/1.0 400 what?\r\n" },
        'the server does not speak XMPP, it said "HTTP/1.0 400 what?"' },
    },
  },
}

-- The number of the server's last turn in which it says something.
local function last_said(script)
  local last
  for turn = 1, #script, 2 do
    if script[turn] ~= "" then last = turn end
  end
  return last
end

-- Python for the first `last` turns of a script. `say` is how the server says something.
local function played(script, last, say)
  local code = {}
  for turn = 1, last or #script do
    local bytes = helper.bytes(script[turn])
    if turn % 2 == 1 then
      if script[turn] ~= "" then code[#code + 1] = (say or "c.send(%s)"):format(bytes) end
    else
      code[#code + 1] = ("heard = c.recv_exactly(%d)"):format(#script[turn])
      code[#code + 1] = ("if heard != %s: raise ValueError(heard)"):format(bytes)
    end
  end
  return table.concat(code, "\n")
end

local secure = '\nc.handshake("good")\nc.send(b"hello")\nreturn c.sni'

local function connect(peer, script, options, module)
  local all = { timeout = helper.timeout, ca_file = root, starttls = script.name }
  for name, value in pairs(options or {}) do all[name] = value end
  return (module or tcp).connect_tls("localhost", peer.port, all)
end

-- What a connect to a peer that does so fails with: message and details.
local function failure(code, pattern, script, python, options)
  local peer = helper.listen(python)
  return helper.fails_safely(code, pattern, connect(peer, script, options, safe))
end

-- A connect to a peer that does so must fail with a timeout of this message, and in time. On a busy
-- machine what comes before takes its time, too.
local function times_out(pattern, script, python)
  for _, timeout in ipairs { 0.12, 0.5, 1.5 } do
    local peer = helper.listen(python)
    local began = helper.clock()
    local value, message, code, details = connect(peer, script, { timeout = timeout }, safe)
    local took = helper.clock() - began
    helper.fails_safely("timeout", "^connect_tls localhost:%d+: timeout: ", value, message, code)
    assert(took > timeout - 0.02, took)
    if timeout == 1.5 or (message:find(pattern) and took < timeout + 0.1) then
      assert.matches(pattern, message)
      assert(took < timeout + 0.5, took)
      assert.equal("starttls", details.phase)
      return
    end
  end
end

local function plain(text)
  return (text:gsub("%p", "%%%0"))
end

-- Specs -------------------------------------------------------------------------------------------

describe("starttls", function()
  after_each(helper.finish)

  for _, script in ipairs(protocols) do
    local name = script.title or script.name

    describe("with " .. name, function()
      it("begins TLS, and tells what the server has said", function()
        for _, module in ipairs { tcp, safe } do
          local peer = helper.listen(played(script) .. secure)
          local tls = helper.keep(connect(peer, script, nil, module))
          local info = tls:info()
          local function said(what)
            if type(script[what]) == "number" then return script[script[what]] end
            return script[what] or ""
          end
          assert.same({ protocol = script.name, greeting = said "greeting", capabilities = said "capabilities" },
            info.starttls)
          assert.is_true(info.tls.verified)
          assert.equal("localhost", info.tls.server_name)
          local timings = info.timings
          assert.is_true(timings.starttls > 0 and timings.tls > 0)
          assert.is_true(timings.dns + timings.connect + timings.starttls + timings.tls <= timings.total + 0.001)
          assert.matches("^tcp%.TlsConnection: ", tostring(tls))
          -- What was said before is no payload.
          assert.same({ 0, 0 }, { info.bytes_read, info.bytes_written })
          assert.equal("hello", tls:read_str())
          assert.equal("localhost", peer:result())
        end
      end)

      it("takes a server that says a byte at a time", function()
        local peer = helper.listen(played(script, nil, "c.drip(%s, 0)") .. secure)
        local tls = helper.keep(connect(peer, script))
        assert.equal("hello", tls:read_str())
      end)

      it("refuses what comes behind the go-ahead", function()
        local last = last_said(script)
        for _, more in ipairs { "x", "\r\n", "250 injected\r\n", "\22\3\1\0\5hello" } do
          local changed = {}
          for turn, text in ipairs(script) do changed[turn] = text end
          changed[last] = changed[last] .. more
          local _, details = failure("tls",
            "^connect_tls localhost:%d+: tls: plaintext came before the handshake %(injected commands%?%)$",
            script, played(changed, last) .. "\nc.hold()")
          assert.equal("starttls", details.phase)
        end
        -- In its own time it comes where the handshake should be.
        local peer = helper.listen(played(script) .. '\nc.recv(1)\nc.send(b"250 injected\\r\\n")\nc.hold()')
        local _, details = helper.fails_safely("tls", "the peer does not speak TLS",
          connect(peer, script, nil, safe))
        assert.equal("tls", details.phase)
      end)

      it("says no in the server's words", function()
        for _, case in ipairs(script.refusals) do
          local _, details = failure("unexpected", "^connect_tls localhost:%d+: unexpected: " .. plain(case[2]),
            script, played(case[1]) .. "\nc.hold()")
          assert.equal("starttls", details.phase)
        end
      end)

      it("names what it waits for, at each turn, and keeps the deadline", function()
        for turn = 1, #script, 2 do
          local awaits = script.awaits[(turn + 1) / 2]
          if awaits and script[turn] ~= "" then
            local before = played(script, turn - 1)
            -- Silence, and a server that is slow in what it says.
            for behind, slow in pairs { ["$"] = "", [""] = "c.drip(" .. helper.bytes(script[turn]) .. ", 0.2)" } do
              -- One byte is all of it.
              if slow == "" or #script[turn] > 1 then
                times_out("timeout: " .. awaits .. behind, script, before .. "\n" .. slow .. "\nc.hold()")
              end
            end
            local _, details = failure("closed", "^connect_tls localhost:%d+: closed: ", script,
              before .. "\nc.close()")
            assert.equal("starttls", details.phase)
            if #script[turn] > 1 then
              local half = helper.bytes(script[turn]:sub(1, 1))
              failure("closed", "end of stream: " .. awaits .. ", after %d+ bytes$", script,
                before .. "\nc.send(" .. half .. ")\nc.raw.shutdown(socket.SHUT_WR)\nc.hold()")
            end
          end
        end
      end)

      it("takes no answer without an end", function()
        local more, turn, first = script.endless[1], script.endless[2], script.endless[3] or ""
        local _, details = failure("too_large", "^connect_tls localhost:%d+: too_large: an answer of over 16384 bytes$",
          script, played(script, turn - 1) .. ([[

try:
  c.send(%s)
  for _ in range(100): c.send(%s * 1000)
except OSError: pass
c.hold()]]):format(helper.bytes(first), helper.bytes(more)))
        assert.equal("starttls", details.phase)
      end)

      it("leaves no socket behind", function()
        local before = helper.sockets()
        for _, ending in ipairs { "\nc.hold()", "\nc.reset()", secure } do
          local peer = helper.listen(played(script) .. ending)
          local tls = connect(peer, script, { timeout = ending == secure and helper.timeout or 0.1 }, safe)
          if tls then tls:close() end
          assert.equal(before, helper.sockets())
        end
      end)
    end)
  end

  local smtp = protocols[1]

  it("has one deadline for all of it", function()
    helper.takes(0.15, function()
      return helper.listen(played(smtp, nil, "c.drip(%s, 0.004)") .. "\nc.hold()")
    end, function(peer)
      helper.fails_safely("timeout", "", connect(peer, smtp, { timeout = 0.15 }, safe))
    end)
  end)

  it("raises at the caller's line", function()
    local peer = helper.listen "c.send(b'554 no\\r\\n'); c.hold()"
    helper.fails("unexpected", "554 no", function()
      tcp.connect_tls("localhost", peer.port, { starttls = "smtp", timeout = helper.timeout })
    end)
  end)

  it("shows a server's certificate that does not verify", function()
    local peer = helper.listen(played(smtp) .. '\nc.handshake("expired")\nc.hold()')
    local _, details = helper.fails_safely("certificate", "expired on", connect(peer, smtp, nil, safe))
    assert.equal("localhost", details.certificate.subject.CN)
    assert.equal("tls", details.phase)
    peer = helper.listen(played(smtp) .. '\nc.handshake("expired")\nc.hold()')
    local tls = helper.keep(connect(peer, smtp, { verify = false }))
    assert.is_false(tls:info().tls.verified)
    assert.matches("^220%-mail", tls:info().starttls.greeting)
    tls:close()
    -- It is told of a closed one, too.
    assert.equal("smtp", tls:info().starttls.protocol)
  end)

  it("is not told of where nothing was said", function()
    local tls = helper.connect_tls "c.hold()"
    assert.is_nil(tls:info().starttls)
    assert.is_nil(tls:info().timings.starttls)
  end)

  it("comes behind a PROXY header", function()
    local peer = helper.listen('header = c.recv_line()\n' .. played(smtp)
      .. '\nc.handshake("good")\nreturn header.decode()')
    helper.keep(connect(peer, smtp, { proxy_protocol = 1 })):close()
    assert.matches("^PROXY TCP4 127%.0%.0%.1 127%.0%.0%.1 ", peer:result())
  end)

  it("says the name that server_hello gives, or the address", function()
    for _, case in ipairs { { "smtp", "EHLO" }, { "lmtp", "LHLO" } } do
      local peer = helper.listen [[
        c.send(b"220 x\r\n")
        return c.recv_line().decode()
      ]]
      connect(peer, { name = case[1] }, { server_hello = "client.example" }, safe)
      assert.equal(case[2] .. " client.example\r\n", peer:result())
    end
    local peer = helper.listen([[
      c.send(b"220 x\r\n")
      return c.recv_line().decode()
    ]], { host = "::1" })
    safe.connect_tls("::1", peer.port, { starttls = "smtp", timeout = helper.timeout })
    assert.equal("EHLO [IPv6:::1]\r\n", peer:result())
  end)

  it("asks an XMPP server for server_name", function()
    local peer = helper.listen [[ return c.recv().decode() ]]
    connect(peer, { name = "xmpp" }, { server_name = "chat.example" }, safe)
    assert.matches(" to='chat%.example' ", peer:result())
  end)

  it("checks its options", function()
    local function misuse(expected, options, fn)
      helper.misuse(("bad argument #3 to '%s' (%s)"):format(fn or "connect_tls", expected), function()
        tcp[fn or "connect_tls"]("localhost", 25, options)
      end)
    end
    misuse("option 'starttls': 'smtp' or 'lmtp' or 'imap' or 'pop3' or 'ftp' or 'sieve' or 'ldap' or 'postgres' or "
      .. "'mysql' or 'xmpp' expected, got 'SMTP'", { starttls = "SMTP" })
    misuse("option 'starttls': string expected, got boolean", { starttls = true })
    misuse("option 'starttls': one of connect_tls", { starttls = "smtp" }, "connect")
    misuse("option 'server_hello': one of connect_tls", { server_hello = "x" }, "connect")
    for _, name in ipairs { "", "a b", "a\r\nRSET", "\0", ("x"):rep(256) } do
      misuse("option 'server_hello': a host name or an address literal expected",
        { starttls = "smtp", server_hello = name })
    end
    misuse("option 'server_hello': it goes with starttls = 'smtp' or 'lmtp'",
      { starttls = "imap", server_hello = "x" })
    misuse("option 'server_hello': it goes with starttls = 'smtp' or 'lmtp'", { server_hello = "x" })
    helper.misuse("bad argument #1 to 'start_tls' (unknown option 'starttls')", function()
      helper.connect("c.hold()"):start_tls { starttls = "smtp" }
    end)
  end)

  it("is traced, its words only where payload is", function()
    for _, detail in ipairs { true, "payload" } do
      local lines = {}
      tcp.debug(function(line) lines[#lines + 1] = line end, detail == "payload" and detail or nil)
      local peer = helper.listen(played(smtp) .. secure)
      helper.keep(connect(peer, smtp)):close()
      tcp.debug(false)
      local all = table.concat(lines, "\n")
      assert.matches("starttls smtp: begins\n", all)
      assert.matches("starttls smtp: the server begins TLS %(", all)
      assert.matches("starttls write: 18 bytes %(", all)
      assert.equal(detail == "payload", all:find("EHLO", 1, true) ~= nil)
    end
  end)

  for _, loop in ipairs(loops) do
    it("lets the others of a loop run meanwhile: " .. loop.name, function()
      if not loop.found then return pending(loop.reason) end
      local bodies, done = {}, 0
      local began = helper.clock()
      for _, script in ipairs(protocols) do
        -- Each takes 0.4 s at least, all of them together hardly more.
        local peer = helper.listen("time.sleep(0.4)\n" .. played(script, nil, "c.drip(%s, 0)") .. secure)
        bodies[#bodies + 1] = function()
          local tls = assert(connect(peer, script, nil, safe))
          assert(tls:info().starttls.protocol == script.name)
          assert(tls:read_str() == "hello")
          tls:close()
          done = done + 1
        end
      end
      loop.within((table.unpack or unpack)(bodies)) -- luacheck: ignore 143
      assert.equal(#protocols, done)
      local took = helper.clock() - began
      assert(took < 0.4 * #protocols, took)
    end)
  end
end)

describe("starttls with a server of others:", function()
  after_each(helper.finish)

  it("aiosmtpd", function()
    local python = helper.python_with "aiosmtpd"
    if not python then return pending "there is no aiosmtpd here" end
    local peer = helper.program(("%s -m aiosmtpd -n -l 127.0.0.1:{port} --tlscert %s --tlskey %s "
      .. "-c aiosmtpd.handlers.Sink"):format(python, helper.pem "good", helper.pem("good", "key")))
    local tls = helper.keep(connect(peer, protocols[1]))
    assert.matches("^220 ", tls:info().starttls.greeting)
    assert.matches("STARTTLS", tls:info().starttls.capabilities)
    tls:send "EHLO client.example\r\n"
    assert.matches("^250%-", tls:read_line())
  end)

  it("aiosmtpd without TLS", function()
    local python = helper.python_with "aiosmtpd"
    if not python then return pending "there is no aiosmtpd here" end
    local peer = helper.program(("%s -m aiosmtpd -n -l 127.0.0.1:{port} -c aiosmtpd.handlers.Sink"):format(python))
    helper.fails_safely("unexpected", "the server does not offer STARTTLS, it said \"250%-",
      connect(peer, protocols[1], nil, safe))
  end)

  it("PostgreSQL", function()
    local peer = helper.postgres()
    if not peer then return pending "there is no PostgreSQL server here" end
    local tls = helper.keep(connect(peer, { name = "postgres" }))
    local startup = "\0\3\0\0user\0specs\0database\0postgres\0\0"
    tls:send("\0\0\0", string.char(#startup + 4), startup)
    assert.equal("R\0\0\0\8\0\0\0\0", tls:read(9)) -- AuthenticationOk
  end)
end)
