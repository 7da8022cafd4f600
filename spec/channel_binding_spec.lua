-- `channel_binding`: the same bytes as OpenSSL's commands have, as Python computes from the keys
-- and certificates, and as PostgreSQL wants them.

local helper = require "spec.support.helper"
local loops = require "spec.support.loops"
local tcp = require "tcp"
local safe = require "tcp.safe"

local output = helper.output
local unpack = table.unpack or unpack -- luacheck: ignore 143

local EXPORTER, END_POINT = "tls-exporter", "tls-server-end-point"

local function hex(bytes)
  return (bytes:gsub(".", function(c) return ("%02X"):format(c:byte()) end))
end

-- The hash of a certificate of the specs, or of a file, by OpenSSL's command.
local function hashed(file, hash)
  return output(("openssl x509 -in %s -outform DER | openssl dgst -%s -r"):format(file, hash)):match "^%x+":upper()
end

local function listen(options, module)
  local all = { cert_file = helper.pem "good", key_file = helper.pem("good", "key") }
  for name, value in pairs(options or {}) do all[name] = value end
  return helper.keep((module or tcp).listen("127.0.0.1", 0, { tls = all, timeout = helper.timeout }))
end

-- Both ends of a connection, through their handshake. They are of this process, in two tasks.
local function both(server, client, listener)
  local ends = {}
  listener = listener or listen(server)
  tcp.run(function()
    tcp.spawn(function()
      ends[2] = helper.keep(listener:accept(helper.timeout))
      ends[2]:send "x"
    end)
    ends[1] = helper.keep(tcp.connect_tls("127.0.0.1", listener:port(), helper.trusting(client)))
    ends[1]:read(1)
  end)
  return unpack(ends)
end

describe("channel_binding", function()
  after_each(helper.finish)

  describe("tls-exporter", function()
    for _, version in ipairs { "1.2", "1.3" } do
      it("is the same at both ends, and another one on each connection, over TLS " .. version, function()
        local session, seen, listener = nil, {}, listen()
        for i = 1, 3 do
          local client, server = both(nil, { max_version = version, session = session }, listener)
          local bytes = client:channel_binding(EXPORTER)
          assert.equal(32, #bytes)
          assert.equal(bytes, client:channel_binding(EXPORTER))
          assert.equal(bytes, server:channel_binding(EXPORTER))
          assert.is_nil(seen[bytes])
          assert.equal(i > 1, client:info().tls.resumed)
          seen[bytes], session = true, client:session()
        end
      end)
    end

    it("is what openssl s_client exports over TLS 1.3", function()
      local listener = listen()
      local client = io.popen(("openssl s_client -connect 127.0.0.1:%d -tls1_3 -keymatexport %s -keymatexportlen 32 "
        .. "</dev/null 2>&1"):format(listener:port(), "EXPORTER-Channel-Binding"))
      local conn = helper.keep(listener:accept(helper.timeout))
      conn:handshake()
      local said = client:read "*a"
      client:close()
      assert.equal(said:match "Keying material: (%x+)", hex(conn:channel_binding(EXPORTER)))
    end)

    -- The exporter of RFC 5705 by hand: from the randoms of the handshake, and the key log's master
    -- secret.
    for _, cipher in ipairs { "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384" } do
      it("is what Python computes over TLS 1.2 with " .. cipher, function()
        local conn, peer = helper.connect(([[
          import hashlib, hmac, tempfile
          context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
          context.load_cert_chain(os.path.join(CERTIFICATES, "good.pem"), os.path.join(CERTIFICATES, "good.key"))
          context.maximum_version = ssl.TLSVersion.TLSv1_2
          context.set_ciphers(%q)
          log = tempfile.NamedTemporaryFile()
          context.keylog_filename = log.name
          incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
          tls = context.wrap_bio(incoming, outgoing, server_side=True)
          heard, said, over = b"", b"", False
          while not over:
              part = c.recv()
              heard += part
              incoming.write(part)
              try:
                  tls.do_handshake()
                  over = True
              except ssl.SSLWantReadError:
                  pass
              part = outgoing.read()
              said += part
              c.send(part)
          client_random, server_random = heard[11:43], said[11:43]
          _, logged, master = log.read().splitlines()[-1].split()
          assert bytes.fromhex(logged.decode()) == client_random
          hash = hashlib.sha384 if b"SHA384" in %s else hashlib.sha256
          def mac(data): return hmac.new(bytes.fromhex(master.decode()), data, hash).digest()
          seed = b"EXPORTER-Channel-Binding" + client_random + server_random + b"\0\0"
          return mac(mac(seed) + seed)[:32].hex()
        ]]):format(cipher, helper.bytes(cipher)))
        local tls = helper.keep(conn:start_tls { ca_file = helper.pem "root", server_name = "localhost" })
        assert.equal(peer:result():upper(), hex(tls:channel_binding(EXPORTER)))
      end)
    end

    it("wants extended master secret below TLS 1.3", function()
      local conn = helper.connect [[
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(os.path.join(CERTIFICATES, "good.pem"), os.path.join(CERTIFICATES, "good.key"))
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.options |= 1 # SSL_OP_NO_EXTENDED_MASTER_SECRET
        c.sock = context.wrap_socket(c.sock, server_side=True)
        c.hold()
      ]]
      local tls = helper.keep(conn:start_tls { ca_file = helper.pem "root", server_name = "localhost" })
      helper.fails("tls", "^channel_binding 127%.0%.0%.1:%d+: tls: no tls%-exporter over TLSv1%.2 without extended "
        .. "master secret %(RFC 7627%)$", function() tls:channel_binding(EXPORTER) end)
      assert.equal(hashed(helper.pem "good", "sha256"), hex(tls:channel_binding(END_POINT)))
    end)
  end)

  describe("tls-server-end-point", function()
    -- Certificates that sign themselves, by the options of `openssl req`.
    local folder

    local function make(key, options)
      folder = folder or output "mktemp -d":gsub("\n", "")
      local said = output(("openssl req -x509 -subj /CN=localhost -days 2 -key %s %s -out %s/pem 2>&1; echo $?")
        :format(key, options, folder))
      assert.matches("%f[%d]0\n$", said)
      return folder .. "/pem", key
    end

    local rsa, p384, p256 = helper.pem("rsa", "key"), helper.pem("p384", "key"), helper.pem("good", "key")

    teardown(function()
      if folder then os.execute("rm -r " .. folder) end
    end)

    for _, case in ipairs(helper.some {
      { "MD5", rsa, "-md5", "sha256" },
      { "SHA-1", rsa, "-sha1", "sha256" },
      { "SHA-224", rsa, "-sha224", "sha224" },
      { "SHA-256", rsa, "-sha256", "sha256" },
      { "SHA-384", p384, "-sha384", "sha384" },
      { "SHA-512", p256, "-sha512", "sha512" },
      { "RSA-PSS and SHA-512", rsa, "-sha512 -sigopt rsa_padding_mode:pss", "sha512" },
    }) do
      it("is the certificate's hash by " .. case[4] .. ", where that is signed with " .. case[1], function()
        local pem, key = make(case[2], case[3])
        local weak = { ciphers = "DEFAULT:@SECLEVEL=0", verify = false }
        for _, version in ipairs { "1.2", "1.3" } do
          local client, server = both({ cert_file = pem, key_file = key, ciphers = weak.ciphers },
            { ciphers = weak.ciphers, verify = false, max_version = version })
          local expected = hashed(pem, case[4])
          assert.equal(expected, hex(client:channel_binding(END_POINT)))
          assert.equal(expected, hex(server:channel_binding(END_POINT)))
        end
      end)
    end

    for _, key in ipairs { "ED25519", "ED448" } do
      it("there is none where the signature has no hash: " .. key, function()
        local key_file = os.tmpname()
        output(("openssl genpkey -algorithm %s -out %s"):format(key, key_file))
        local pem = make(key_file, "")
        local client, server = both({ cert_file = pem, key_file = key_file }, { verify = false })
        for _, conn in ipairs { client, server } do
          helper.fails("tls", "^channel_binding 127%.0%.0%.1:%d+: tls: no tls%-server%-end%-point, the certificate's "
            .. "signature %(" .. key .. "%) has no hash$", function() conn:channel_binding(END_POINT) end)
          assert.equal(32, #conn:channel_binding(EXPORTER))
        end
        os.remove(key_file)
      end)
    end

    it("is the leaf's, whose issuer may have another kind of key", function()
      local client = both({ cert_file = helper.pem "ed25519", key_file = helper.pem("ed25519", "key") })
      assert.equal(hashed(helper.pem "ed25519", "sha256"), hex(client:channel_binding(END_POINT)))
    end)

    it("is that of the session on a resumed connection", function()
      for _, version in ipairs { "1.2", "1.3" } do
        local listener, session = listen(), nil
        for i = 1, 2 do
          tcp.run(function()
            tcp.spawn(function()
              local server = helper.keep(listener:accept(helper.timeout))
              server:send "x"
              assert.equal(hashed(helper.pem "good", "sha256"), hex(server:channel_binding(END_POINT)))
            end)
            local conn = helper.keep(tcp.connect_tls("127.0.0.1", listener:port(),
              helper.trusting { max_version = version, session = session }))
            conn:read(1)
            assert.equal(i == 2, conn:info().tls.resumed)
            assert.equal(hashed(helper.pem "good", "sha256"), hex(conn:channel_binding(END_POINT)))
            session = conn:session()
            conn:close()
          end)
        end
      end
    end)

    it("there is none without a certificate", function()
      local peer = helper.program("openssl s_server -nocert -accept 127.0.0.1:0 -tls1_2 -cipher aNULL:@SECLEVEL=0",
        { ready = "^ACCEPT .*:([0-9]+)" })
      local conn = helper.keep(tcp.connect_tls("127.0.0.1", peer.port,
        { verify = false, ciphers = "aNULL:@SECLEVEL=0", timeout = helper.timeout }))
      helper.fails("tls", "no tls%-server%-end%-point, the server has shown no certificate$",
        function() conn:channel_binding(END_POINT) end)
    end)
  end)

  it("comes after the handshake", function()
    local listener = listen(nil, safe)
    helper.dial(listener:port(), "c.hold()", { tls = true })
    local conn = helper.keep(listener:accept(helper.timeout))
    for _, kind in ipairs { EXPORTER, END_POINT } do
      helper.fails_safely("tls", "^channel_binding 127%.0%.0%.1:%d+: tls: no channel binding before the handshake has "
        .. "been made$", conn:channel_binding(kind))
    end
    conn:handshake()
    assert.equal(32, #conn:channel_binding(EXPORTER))
    conn:close()
    helper.fails_safely("closed", "closed by the script", conn:channel_binding(EXPORTER))
  end)

  it("is refused without TLS, and of other kinds", function()
    local conn = helper.connect "c.hold()"
    helper.fails("tls", "this connection has no TLS$", function() conn:channel_binding(EXPORTER) end)
    for _, wrong in ipairs { "tls-unique", "TLS-EXPORTER", "" } do
      helper.misuse("bad argument #1 to 'channel_binding' ('tls-exporter' or 'tls-server-end-point' expected, got '"
        .. wrong .. "')", function() conn:channel_binding(wrong) end)
    end
    helper.misuse("bad argument #1 to 'channel_binding' (string expected, got nil)",
      function() conn:channel_binding() end)
  end)
end)

-- A login to PostgreSQL ---------------------------------------------------------------------------

-- A type and a body, whose length counts itself; the first message has no type.
local MESSAGE = { length_size = 4, length_offset = 1, length_adjustment = -4 }

-- A message of the server: its type and its body.
local function message(conn)
  local body, kind = conn:read_packet()
  return kind, body
end

local function send(conn, kind, ...)
  conn:write_packet(table.concat { ... }, kind)
end

local function number(bytes)
  return (string.unpack(">I4", bytes))
end

-- Begins a session as this user.
local function begin(server, user)
  local conn = helper.keep(tcp.connect_tls("localhost", server.port,
    helper.trusting { starttls = "postgres", framing = { length_adjustment = -4 } }))
  conn:write_packet("\0\3\0\0user\0" .. user .. "\0database\0postgres\0\0")
  conn:set_options { framing = MESSAGE }
  return conn
end

-- The value of a query that has one.
local function ask(conn, query)
  send(conn, "Q", query, "\0")
  local value
  repeat
    local kind, body = message(conn)
    assert.not_equal("E", kind, body)
    if kind == "D" then value = body:sub(7) end
  until kind == "Z"
  return value
end

local function until_ready(conn)
  repeat
    local kind, body = message(conn)
    assert.not_equal("E", kind, body)
  until kind == "Z"
end

-- SCRAM-SHA-256-PLUS; gives the server's refusal if there is one.
local function login(conn, password, binding)
  local scram = require "spec.support.scram"
  local kind, body = message(conn)
  assert.same({ "R", 10 }, { kind, number(body) })
  assert.matches("SCRAM%-SHA%-256%-PLUS", body)
  local client = scram.client(password, scram.base64(tostring(tcp.now())), "tls-server-end-point", binding)
  send(conn, "p", "SCRAM-SHA-256-PLUS\0", string.pack(">s4", client.first))
  kind, body = message(conn)
  assert.same({ "R", 11 }, { kind, number(body) })
  send(conn, "p", client.answer(body:sub(5)))
  kind, body = message(conn)
  if kind == "E" then return body end
  assert.same({ "R", 12 }, { kind, number(body) })
  assert.is_true(client.accepts(body:sub(5)))
end

describe("SCRAM-SHA-256-PLUS", function()
  after_each(helper.finish)

  it("logs in to PostgreSQL", function()
    if not string.pack then return pending "SCRAM is written with the operators of Lua 5.3" end
    local server = helper.postgres()
    if not server then return pending "there is no PostgreSQL server here" end
    local admin = begin(server, "specs")
    until_ready(admin)
    ask(admin, "create role scram login password 'pencil'")

    local function log_in()
      local conn = begin(server, "scram")
      assert.is_nil(login(conn, "pencil", conn:channel_binding(END_POINT)))
      until_ready(conn)
      assert.equal("scram", ask(conn, "select current_user"))
      conn:close()
    end
    log_in()
    for _, loop in ipairs(loops) do
      if loop.found then loop.within(log_in) end
    end

    -- Another connection's binding is somebody in between.
    local conn = begin(server, "scram")
    assert.matches("channel binding check failed", login(conn, "pencil", ("x"):rep(32)))
    conn = begin(server, "scram")
    assert.matches("password authentication failed", login(conn, "pen", conn:channel_binding(END_POINT)))
  end)
end)
