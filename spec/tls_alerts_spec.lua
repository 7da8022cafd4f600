-- The alert of a failure over TLS: its name, its number and who has sent it, in the words and in
-- the details. Alerts of every number are made by hand (records.py); others are those that the
-- programs of OpenSSL and Python's ssl can be made to send.

local helper = require "spec.support.helper"
local loops = require "spec.support.loops"
local records = require "spec.support.records"
local tcp = require "tcp"
local safe = require "tcp.safe"

local trusting = helper.trusting

-- The registry of IANA, "TLS Alerts".
local NAMES = {
  [0] = "close_notify", [10] = "unexpected_message", [20] = "bad_record_mac", [21] = "decryption_failed",
  [22] = "record_overflow", [30] = "decompression_failure", [40] = "handshake_failure",
  [41] = "no_certificate", [42] = "bad_certificate", [43] = "unsupported_certificate",
  [44] = "certificate_revoked", [45] = "certificate_expired", [46] = "certificate_unknown",
  [47] = "illegal_parameter", [48] = "unknown_ca", [49] = "access_denied", [50] = "decode_error",
  [51] = "decrypt_error", [52] = "too_many_cids_requested", [60] = "export_restriction",
  [70] = "protocol_version", [71] = "insufficient_security", [80] = "internal_error",
  [86] = "inappropriate_fallback", [90] = "user_canceled", [100] = "no_renegotiation",
  [109] = "missing_extension", [110] = "unsupported_extension", [111] = "certificate_unobtainable",
  [112] = "unrecognized_name", [113] = "bad_certificate_status_response",
  [114] = "bad_certificate_hash_value", [115] = "unknown_psk_identity", [116] = "certificate_required",
  [117] = "general_error", [120] = "no_application_protocol", [121] = "ech_required",
}

-- All numbers, on Lua 5.4 and LuaJIT. Elsewhere, and under valgrind, those that have a name, and
-- one that has none: the others differ below Lua alone. `make quick` takes those that OpenSSL
-- treats in a way of their own, and one beside them.
local takes_all = (_VERSION == "Lua 5.4" or rawget(_G, "jit")) and not os.getenv "TCP_LUA"
local numbers = {}
if helper.is_quick then
  numbers = { 0, 40, 90, 100, 112, 200 }
else
  for number = 0, 255 do
    if NAMES[number] or number == 200 or takes_all then numbers[#numbers + 1] = number end
  end
end

-- What the details say of the alert.
local function alert_of(details)
  return { details.alert, details.alert_number, details.from, details.phase }
end

local function told(number, from)
  return { NAMES[number] or "unknown", number, from, "tls" }
end

-- What an alert of this level and number comes to, for an end that has agreed on TLS 1.3 or not:
-- "fatal", "end", "ignored", or the number of the alert that answers it.
local function outcome(is_13, level, number)
  if is_13 then return number == 0 and "end" or number == 90 and "ignored" or "fatal" end
  if level == 2 then return "fatal" end
  if number == 100 then return 40 end
  if level ~= 1 then return 47 end
  return number == 0 and "end" or "ignored"
end

-- OpenSSL's words for an alert, or ours.
local function words_of(number)
  return number >= 110 and number <= 114 and "tlsv1 %l" or "alert [%l%d]"
end

-- Checks a failure of `tcp.safe`, and gives the details.
local function check_failure(expected, number, value, message, code, details)
  if expected == "fatal" then
    helper.fails_safely("tls", words_of(number), value, message, code)
    assert.same(told(number, "peer"), alert_of(details))
    if not NAMES[number] then assert.matches(("alert number %d %%(unknown%%)"):format(number), message) end
  elseif expected == "end" then
    helper.fails_safely("closed", "end of stream$", value, (message:gsub("the peer has closed the connection.*",
      "end of stream")), code)
    assert.is_nil((details or {}).alert)
  elseif expected == "ignored" then
    assert.equal("on", value, message)
  else
    helper.fails_safely("tls", "", value, message, code)
    assert.same(told(expected, "here"), alert_of(details))
  end
  assert.is_nil((message or ""):find "error:%x%x%x")
  return details
end

local ciphers = { ["1.2"] = { ciphers = records.CIPHER, max_version = "1.2" },
  ["1.3"] = { ciphersuites = records.SUITE, min_version = "1.3" } }

-- A server that sends an alert of the number in the name that it is asked for.
local function alerting_server(version, when, level)
  return helper.listen(([[
    import records
    records.alert_as_server(c.sock, %q, %q, %q, %d)
    c.cut()
  ]]):format(helper.certificates .. "/good", version, when, level)).port
end

local function asking(version, number)
  local options = { verify = false, server_name = ("n%d.test"):format(number), timeout = helper.timeout }
  for name, value in pairs(ciphers[version]) do options[name] = value end
  return options
end

-- Connects to it, and reads.
local function is_told_by_client(port, version, when, level, number)
  local expected = outcome(version == "1.3" and when ~= "before", level, number)
  local conn, message, code, details = safe.connect_tls("127.0.0.1", port, asking(version, number))
  local value
  if conn then value, message, code, details = conn:read_line() end
  if expected == "ignored" and version == "1.3" and when == "within" then
    -- The peer goes no further.
    helper.fails_safely("closed", "end of stream in the TLS handshake$", value, message, code)
  else
    details = check_failure(expected, number, value, message, code, details)
    if expected == "fatal" and when == "after" then
      assert.equal("localhost", details.certificate.subject.CN)
      assert.equal("TLSv" .. version, details.version)
      -- Again, and for a write, too.
      assert.same(told(number, "peer"), alert_of(select(4, conn:read_line())))
      assert.same(told(number, "peer"), alert_of(select(4, conn:send "x")))
    end
  end
  if conn then conn:close() end
end

-- A client that sends one.
local function alerting_client(listener, version, when, level, number, is_plain)
  helper.dial(listener:port(), ([[
    import records
    records.alert_as_client(c.sock, %q, %q, %q, %d, %d, %s)
    c.cut()
  ]]):format(helper.pem "root", version, when, level, number, is_plain and "True" or "False"))
end

local function is_told_by_server(listener, version, when, level, number, is_plain)
  alerting_client(listener, version, when, level, number, is_plain)
  local conn = assert(listener:accept(helper.timeout))
  -- To a server nothing but a hello may come first, and OpenSSL looks at nothing else.
  local expected = when == "before" and 10 or outcome(version == "1.3", level, number)
  local value, message, code, details = conn:read_line()
  if expected == "ignored" and version == "1.3" and when == "within" then
    helper.fails_safely("closed", "end of stream in the TLS handshake$", value, message, code)
  else
    check_failure(expected, number, value, message, code, details)
  end
  conn:close()
end

local function accepting(module, version)
  local tls = { cert_file = helper.pem "good", key_file = helper.pem("good", "key") }
  for name, value in pairs(ciphers[version]) do tls[name] = value end
  return helper.keep(module.listen("127.0.0.1", 0, { timeout = helper.timeout, tls = tls }))
end

-- {version, when, level}. Before the handshake there is no version yet.
local rounds = {
  { "1.3", "before", 2 }, { "1.2", "before", 1 }, { "1.2", "within", 2 }, { "1.2", "within", 1 },
  { "1.3", "within", 2 }, { "1.2", "after", 2 }, { "1.2", "after", 1 }, { "1.3", "after", 2 },
}

describe("an alert of every number,", function()
  after_each(helper.finish)

  for _, round in ipairs(rounds) do
    local version, when, level = round[1], round[2], round[3]
    local what = ("of level %d, %s the handshake of TLS %s,"):format(level, when, version)

    it(what .. " is told by a client", function()
      local port = alerting_server(version, when, level)
      for _, number in ipairs(numbers) do is_told_by_client(port, version, when, level, number) end
    end)

    it(what .. " is told by a server", function()
      local listener = accepting(safe, version)
      for i, number in ipairs(numbers) do
        -- What comes before a hello is the same to a server.
        if when ~= "before" or i % 10 == 0 then is_told_by_server(listener, version, when, level, number) end
      end
    end)
  end

  it("of other levels, is told, too", function()
    for _, level in ipairs { 0, 1, 3, 255 } do
      for _, round in ipairs(rounds) do
        local version, when = round[1], round[2]
        local port, listener = alerting_server(version, when, level), accepting(safe, version)
        for _, number in ipairs { 0, 40, 90, 100, 112, 200 } do
          is_told_by_client(port, version, when, level, number)
          is_told_by_server(listener, version, when, level, number)
        end
      end
    end
  end)

  it("unprotected, within the handshake of TLS 1.3, is told by a server", function()
    local listener = accepting(safe, "1.3")
    for number in pairs(NAMES) do
      if number ~= 90 then is_told_by_server(listener, "1.3", "within", 2, number, true) end
    end
  end)

  it("is told in the message that `tcp` throws", function()
    for _, round in ipairs(rounds) do
      local version, when, level = round[1], round[2], round[3]
      local port, listener = alerting_server(version, when, level), accepting(tcp, version)
      for number, name in pairs { [40] = "handshake failure", [51] = "decrypt error", [52] = "number 52 %(" } do
        if level == 2 then
          helper.fails("tls", "alert " .. name, function()
            local conn = tcp.connect_tls("127.0.0.1", port, asking(version, number))
            helper.keep(conn)
            conn:read_line()
          end)
        end
        if level == 2 and when ~= "before" then
          alerting_client(listener, version, when, level, number)
          local conn = helper.keep(listener:accept(helper.timeout))
          helper.fails("tls", "alert " .. name, function() conn:read_line() end)
        end
      end
    end
  end)

  for _, loop in ipairs(loops) do
    it("is told in a loop: " .. loop.name, function()
      if not loop.found then return pending(loop.reason) end
      local ports, listeners, bodies, count = {}, {}, {}, 0
      for i, round in ipairs(rounds) do
        ports[i], listeners[i] = alerting_server(round[1], round[2], round[3]), accepting(safe, round[1])
      end
      for i, round in ipairs(rounds) do
        bodies[#bodies + 1] = function()
          for number = 40 + i, 255, 29 do
            is_told_by_client(ports[i], round[1], round[2], round[3], number)
            count = count + 1
          end
        end
        bodies[#bodies + 1] = function()
          for number = 40 + i, 255, 29 do
            is_told_by_server(listeners[i], round[1], round[2], round[3], number)
            count = count + 1
          end
        end
      end
      loop.within((table.unpack or unpack)(bodies)) -- luacheck: ignore 143 113
      assert(count >= 100, count)
    end)
  end
end)

-- What a peer of Python's says of our alert: "SSLV3_ALERT_CERTIFICATE_EXPIRED", or OpenSSL's words.
local function peer_reason(peer)
  local ok, message = pcall(peer.result, peer)
  assert(not ok, "the peer has not failed")
  return message
end

local function said_by_peer(peer, number)
  assert.matches("alert_" .. NAMES[number], (peer_reason(peer):lower():gsub(" ", "_")))
end

describe("an alert of Python's ssl", function()
  after_each(helper.finish)

  -- Its SNI callback may return any number; OpenSSL sends those that its protocol version has.
  for _, version in ipairs { "1.2", "1.3" } do
    it("is told, whatever its SNI callback returns, over TLS " .. version, function()
      local peer = helper.listen(([[
        import records
        def choose(sock, name, context): return int(name[1:-5])
        end = records.Endpoint(c.sock, %q, %q, choose=choose)
        end.receive()
        try: end.step()
        except ssl.SSLError: pass
        sent = end.outgoing.read()
        c.sock.sendall(sent)
        return sent[6] if sent else -1
      ]]):format(version, helper.certificates .. "/good"))
      local seen = 0
      for i, number in ipairs(numbers) do
        local _, message, code, details = safe.connect_tls("127.0.0.1", peer.port, asking(version, number))
        local sent = peer:result(i)
        if sent >= 0 then
          seen = seen + 1
          helper.fails_safely("tls", words_of(sent), nil, message, code)
          assert.same(told(sent, "peer"), alert_of(details))
        else
          helper.fails_safely("closed", "", nil, message, code)
        end
      end
      assert(seen >= (helper.is_quick and 3 or 20), seen)
    end)
  end
end)

describe("the alert of", function()
  after_each(helper.finish)

  local both = { "1.2", "1.3" }

  -- {what, its number by version, the sender, the server's options, ours}: to a client.
  local to_client = {
    { "no client certificate", { 40, 116 }, "peer", { client_ca = "root" } },
    { "one of another CA", { 48, 48 }, "peer", { client_ca = "root" },
      { cert_file = "client_stranger", key_file = "client_stranger" } },
    { "one that has expired", { 45, 45 }, "peer", { client_ca = "root" },
      { cert_file = "client_expired", key_file = "client_expired" } },
    { "one for servers", { 43, 43 }, "peer", { client_ca = "root" }, { cert_file = "good", key_file = "good" } },
    { "an expired certificate", { 45, 45 }, "here", { tls = "expired" } },
    { "one that is not valid yet", { 42, 42 }, "here", { tls = "not_yet" } },
    { "a self-signed one", { 48, 48 }, "here", { tls = "self_signed" } },
    { "one of an unknown issuer", { 48, 48 }, "here", { tls = "unknown_issuer" } },
    { "one with an intermediate one missing", { 48, 48 }, "here", { tls = "incomplete" } },
    { "one for another host", { 42, 42 }, "here", { tls = "other_host" } },
    { "one for clients", { 43, 43 }, "here", { tls = "client_only" } },
    { "one of an issuer that is no CA", { 48, 48 }, "here", { tls = "no_ca" } },
  }
  for i, version in ipairs(both) do
    for _, case in ipairs(to_client) do
      it(("%s, over TLS %s, is told to a client"):format(case[1], version), function()
        local ours, theirs = {}, { version = version, tls = "good" }
        for name, value in pairs(case[5] or {}) do ours[name] = helper.pem(value, name == "key_file" and "key") end
        for name, value in pairs(case[4]) do theirs[name] = value end
        local peer = helper.listen([[ c.recv() ]], theirs)
        local conn, message, code, details = safe.connect_tls("localhost", peer.port, trusting(ours))
        if conn then
          helper.keep(conn)
          local _
          _, message, code, details = conn:read_line()
        end
        helper.fails_safely(case[3] == "here" and "certificate" or "tls", "", nil, message, code)
        assert.same(told(case[2][i], case[3]), alert_of(details))
        assert.equal("string", type(details.certificate.pem))
        if case[3] == "here" then said_by_peer(peer, case[2][i]) else peer_reason(peer) end
      end)
    end
  end

  -- {what, its number by version, the sender, the client's options, ours, the certificate shown}:
  -- to a server.
  local to_server = {
    { "a client that does not trust it", { 48, 48 }, "peer", {}, { cert_file = "unknown_issuer" } },
    { "a client that finds it expired", { 45, 45 }, "peer", {}, { cert_file = "expired" } },
    { "a client that finds another name", { 42, 42 }, "peer", {}, { cert_file = "other_host" } },
    { "a client without a certificate", { 40, 116 }, "here", {}, { ca_file = "root" } },
    { "a client with one of another CA", { 48, 48 }, "here", { certificate = "client_stranger" },
      { ca_file = "root" }, "client.example" },
    { "a client with an expired one", { 45, 45 }, "here", { certificate = "client_expired" },
      { ca_file = "root" }, "client.example" },
    { "a client with one for servers", { 43, 43 }, "here", { certificate = "good" }, { ca_file = "root" },
      "localhost" },
    { "a client of other protocols", { 120, 120 }, "here", { alpn = "h2" }, { alpn = "imap" } },
    { "a client of another version", { 70, 70 }, "here", {}, { other_version = true } },
  }
  for i, version in ipairs(both) do
    for _, case in ipairs(to_server) do
      it(("%s, over TLS %s, is told to a server"):format(case[1], version), function()
        local ours, theirs = { cert_file = "good" }, { version = version, tls = true }
        for name, value in pairs(case[5]) do ours[name] = value end
        for name, value in pairs(case[4]) do theirs[name] = value end
        local tls = { cert_file = helper.pem(ours.cert_file), key_file = helper.pem(ours.cert_file, "key"),
          alpn = ours.alpn, ca_file = ours.ca_file and helper.pem(ours.ca_file) }
        if ours.other_version then
          tls.min_version, tls.max_version = both[3 - i], both[3 - i]
        end
        local listener = helper.keep(safe.listen("127.0.0.1", 0, { timeout = helper.timeout, tls = tls }))
        local peer = helper.dial(listener:port(), [[ c.recv() ]], theirs)
        local conn = helper.keep(listener:accept(helper.timeout))
        local _, message, code, details = conn:read_line()
        helper.fails_safely(case[6] and "certificate" or "tls", "", nil, message, code)
        assert.same(told(case[2][i], case[3]), alert_of(details))
        assert.equal(case[6], details.certificate and details.certificate.subject.CN)
        if case[3] == "here" then said_by_peer(peer, case[2][i]) else peer_reason(peer) end
      end)
    end
  end

  -- {arguments of s_server, its certificate, our options, number}
  for what, case in pairs {
    ["no cipher in common"] = { "-tls1_2 -cipher AES128-SHA256", {}, 40 },
    ["a server of TLS 1.3 alone"] = { "-tls1_3", { max_version = "1.2" }, 70 },
    ["a server of TLS 1.2 at most"] = { "-tls1_2", { min_version = "1.3" }, 70 },
    ["an unknown name"] = { "-servername other.example -servername_fatal -cert2 %s -key2 %s", {}, 112 },
    ["no protocol in common"] = { "-alpn h2", { alpn = "http/1.1" }, 120 },
  } do
    it(what .. " is told to a client of openssl s_server", function()
      local peer = helper.s_server("good", case[1]:format(helper.pem "other_host", helper.pem("other_host", "key")))
      local _, details = helper.fails_safely("tls", "",
        safe.connect_tls("localhost", peer.port, trusting(case[2])))
      assert.same(told(case[3], "peer"), alert_of(details))
      assert.is_nil(details.certificate)
    end)
  end

  it("a fallback that nobody wanted is told to the server of openssl s_client", function()
    local listener = accepting(safe, "1.2")
    listener:close()
    local tls = { cert_file = helper.pem "good", key_file = helper.pem("good", "key") }
    listener = helper.keep(safe.listen("127.0.0.1", 0, { timeout = helper.timeout, tls = tls }))
    local client = io.popen(("openssl s_client -fallback_scsv -tls1_2 -connect 127.0.0.1:%d 2>&1 </dev/null")
      :format(listener:port()))
    local conn = helper.keep(listener:accept(helper.timeout))
    local _, details = helper.fails_safely("tls", "", conn:read_line())
    assert.same(told(86, "here"), alert_of(details))
    conn:close()
    assert.matches("alert number 86", client:read "*a")
    client:close()
  end)

  for _, version in ipairs(both) do
    it("a forged record, over TLS " .. version .. ", is told to whoever has sent what was forged", function()
      -- Somebody in between has changed the last byte that the client says in its handshake.
      local peer = helper.listen(([[
        import records
        end = records.Endpoint(c.sock, %q, %q)
        end.receive()
        c.sock.sendall(end.step()[0])
        data = c.sock.recv(65536)
        end.incoming.write(data[:-1] + bytes([data[-1] ^ 1]))
        try: end.step()
        except ssl.SSLError: pass
        c.sock.sendall(end.outgoing.read())
      ]]):format(version, helper.certificates .. "/good"))
      local conn, message, code, details = safe.connect_tls("127.0.0.1", peer.port, asking(version, 1))
      if conn then
        local _
        _, message, code, details = helper.keep(conn):read_line()
      end
      helper.fails_safely("tls", "", nil, message, code)
      assert.same(told(20, "peer"), alert_of(details))
      assert.equal("localhost", details.certificate.subject.CN)
    end)
  end
end)

describe("an alert that came before the connection broke", function()
  after_each(helper.finish)

  it("is told by a server whose own handshake cannot be sent any more", function()
    local tls = { cert_file = helper.pem "good", key_file = helper.pem("good", "key") }
    local listener = helper.keep(safe.listen("127.0.0.1", 0, { timeout = helper.timeout, tls = tls }))
    for _, number in ipairs { 40, 48, 80, 90, 112, 200 } do
      local peer = helper.dial(listener:port(), ([[
        import records
        end = records.Endpoint(c.sock, "1.2", ca=%q)
        c.sock.sendall(end.step()[0] + records.alert(2, %d))
        c.reset()
      ]]):format(helper.pem "root", number))
      peer:result()
      local conn = helper.keep(listener:accept(helper.timeout))
      local _, details = helper.fails_safely("tls", "", conn:handshake())
      assert.same(told(number, "peer"), alert_of(details))
      assert.same(told(number, "peer"), alert_of(select(4, conn:send "x")))
    end
  end)

  it("is told by a client whose hello cannot be sent any more", function()
    local peer = helper.listen [[
      import records
      c.recv()
      c.send(b"HTTP/1.1 200 OK\r\n\r\n" + records.alert(2, 40))
      c.reset()
    ]]
    for _ = 1, 10 do
      local _, details = helper.fails_safely("tls", "alert handshake failure",
        safe.connect_tls("localhost", 443, trusting { proxy = "http://127.0.0.1:" .. peer.port }))
      assert.same(told(40, "peer"), alert_of(details))
    end
  end)

  it("is not made up where there was none", function()
    local tls = { cert_file = helper.pem "good", key_file = helper.pem("good", "key") }
    local listener = helper.keep(safe.listen("127.0.0.1", 0, { timeout = helper.timeout, tls = tls }))
    local peer = helper.dial(listener:port(), ([[
      import records
      end = records.Endpoint(c.sock, "1.2", ca=%q)
      c.sock.sendall(end.step()[0])
      c.reset()
    ]]):format(helper.pem "root"))
    peer:result()
    local conn = helper.keep(listener:accept(helper.timeout))
    helper.fails_safely("closed", "in the TLS handshake$", conn:handshake())
  end)

  for _, version in ipairs { "1.2", "1.3" } do
    it("is told by a write, also behind payload, which can still be read, over TLS " .. version, function()
      local peer = helper.listen(([[
        import records
        end = records.Endpoint(c.sock, %q, %q)
        end.handshake()
        payload = end.protected(records.DATA, b"one\n") + end.protected(records.DATA, b"two\n")
        c.sock.sendall(payload + end.protected(records.ALERT, b"\2\x31"))
        c.wait()
        c.reset()
      ]]):format(version, helper.certificates .. "/good"))
      local conn = helper.keep(assert(safe.connect_tls("127.0.0.1", peer.port, asking(version, 1))))
      assert.equal("one", conn:read_line())
      peer:go()
      peer:result()
      local sent, message, code, details
      for _ = 1, 100 do
        sent, message, code, details = conn:send "x"
        if not sent then break end
        tcp.poll({}, {}, 0.01)
      end
      helper.fails_safely("tls", "alert access denied$", sent, message, code)
      assert.same(told(49, "peer"), alert_of(details))
      assert.equal("localhost", details.certificate.subject.CN)
      assert.equal("two", conn:read_line())
      assert.same(told(49, "peer"), alert_of(select(4, conn:read_line())))
      assert.same(told(49, "peer"), alert_of(select(4, conn:send "x")))
    end)
  end

  it("is told by `shutdown` and by `copy_to`", function()
    local function refused()
      local conn, peer = helper.connect_tls("", {}, { version = "1.3", client_ca = "root" }, safe)
      pcall(peer.result, peer)
      tcp.poll({}, {}, 0.05)
      return conn
    end
    local conn = refused()
    for _ = 1, 100 do
      local _, message, code, details = conn:send "x"
      if code then
        helper.fails_safely("tls", "certificate required", nil, message, code)
        assert.same(told(116, "peer"), alert_of(details))
        break
      end
      tcp.poll({}, {}, 0.01)
    end
    assert.same(told(116, "peer"), alert_of(select(4, conn:shutdown())))
    local source = helper.connect([[ c.send(b"x" * 100000) ]], {}, nil, safe)
    assert.same(told(116, "peer"), alert_of(select(4, source:copy_to(conn))))
    local other = helper.connect([[ c.recv_all() ]], {}, nil, safe)
    local details = select(4, refused():copy_to(other))
    assert.same(told(116, "peer"), alert_of(details))
    assert.equal("read", details.side)
  end)
end)

describe("a warning", function()
  after_each(helper.finish)

  it("is not blamed for what ends the connection later", function()
    local peer = helper.listen(([[
      import records
      end = records.Endpoint(c.sock, "1.2", %q)
      end.receive()
      c.sock.sendall(records.alert(1, 112) + end.step()[0])
      c.recv()
    ]]):format(helper.certificates .. "/good"))
    local options = trusting { max_version = "1.2", ciphers = records.CIPHER, server_name = "other.example" }
    local _, details = helper.fails_safely("certificate", "host name mismatch",
      safe.connect_tls("localhost", peer.port, options))
    assert.same(told(42, "here"), alert_of(details))
  end)
end)

describe("a record of an alert", function()
  after_each(helper.finish)

  -- What comes of these bytes in place of a server's hello.
  local function answered(bytes, way)
    local peer = helper.listen(([[
      import records
      c.recv()
      c.%s(%s)
    ]]):format(way or "send", bytes))
    return helper.at_once(function()
      return { safe.connect_tls("localhost", peer.port, trusting()) }
    end)
  end

  it("is told where it comes byte by byte", function()
    local failed = answered("records.alert(2, 40)", "drip")
    helper.fails_safely("tls", "alert handshake failure", failed[1], failed[2], failed[3])
    assert.same(told(40, "peer"), alert_of(failed[4]))
  end)

  it("is none where it was cut", function()
    for size = 0, 6 do
      local failed = answered(("records.alert(2, 40)[:%d]"):format(size))
      helper.fails_safely("closed", "end of stream in the TLS handshake$", failed[1], failed[2], failed[3])
      assert.is_nil(failed[4].alert)
    end
  end)

  it("is refused where it is malformed", function()
    for _, body in ipairs { "b'\\2'", "b'\\2\\x28\\2\\x28'", "b'\\2\\x28' * 1000", "bytes(3)" } do
      local failed = answered(("records.record(records.ALERT, %s)"):format(body))
      helper.fails_safely("tls", "handshake failed: [%l ]+$", failed[1], failed[2], failed[3])
      assert.equal("here", failed[4].from)
      assert.equal(NAMES[failed[4].alert_number], failed[4].alert)
    end
  end)

  it("leaves no descriptor behind, whether its connection is closed or not", function()
    local port, listener = alerting_server("1.3", "after", 2), accepting(safe, "1.3")
    local function round()
      for number = 40, 60 do
        local conn = assert(safe.connect_tls("127.0.0.1", port, asking("1.3", number)))
        assert.is_nil((conn:read_line()))
        alerting_client(listener, "1.3", "within", 2, number)
        local other = assert(listener:accept(helper.timeout))
        assert.is_nil((other:read_line()))
      end
      collectgarbage()
      collectgarbage()
    end
    round()
    local before = helper.sockets()
    round()
    assert.equal(before, helper.sockets())
  end)
end)
