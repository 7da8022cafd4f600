-- Resumption: what `session()` gave resumes a later connection to the same server with the same
-- settings, as long as its certificate is good; and the keys of a session in the file that
-- SSLKEYLOGFILE names.

local helper = require "spec.support.helper"
local tcp = require "tcp"
local safe = require "tcp.safe"

local root = helper.pem "root"

local trusting = helper.trusting

-- A server whose connections can be resumed, since they share a context: Python code that runs for
-- each, with `certificate` and `key` (files), and `options` (code that has the new `context`). It
-- says whether the session was resumed.
local function server(certificate, options)
  options = options or {}
  return helper.listen(([[
    context = getattr(c.listener, "context", None)
    if not context:
      c.listener.context = context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
      context.load_cert_chain(%q, %q)
      %s
    c.sock = context.wrap_socket(c.sock, server_side=True, suppress_ragged_eofs=False)
    c.send(b"resumed" if c.sock.session_reused else b"full")
    c.recv()
  ]]):format(options.pem or helper.pem(certificate), options.key or helper.pem(certificate, "key"),
    options.code or "pass"))
end

local function only(version)
  return ("context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_%s"):format(version:sub(-1))
end

-- Connects: how it went according to the server, which is what info() says too; and the new
-- session.
local function connect(peer, options, host)
  local conn = helper.keep(tcp.connect_tls(host or "localhost", peer.port, trusting(options)))
  local resumed = conn:info().tls.resumed
  local said = conn:recv()
  assert.equal(resumed and "resumed" or "full", said)
  local session = conn:session()
  local info = conn:info().tls
  conn:close()
  return said, session, info
end

-- A string made of other parts: those of a session, each with its length before it.
local function parts_of(session)
  local magic, rest = session:match "^([^\n]*\n)(.*)$"
  local parts = {}
  while rest ~= "" do
    local a, b, c, d = rest:byte(1, 4)
    local length = ((a * 256 + b) * 256 + c) * 256 + d
    parts[#parts + 1] = rest:sub(5, 4 + length)
    rest = rest:sub(5 + length)
  end
  return parts, magic
end

local function whole(parts, magic)
  local text = { magic }
  for i, part in ipairs(parts) do
    local n = #part
    text[i + 1] = string.char(math.floor(n / 2^24), math.floor(n / 2^16) % 256, math.floor(n / 256) % 256, n % 256)
      .. part
  end
  return table.concat(text)
end

local function der(name)
  local pipe = io.popen("openssl x509 -outform DER -in " .. helper.pem(name), "r")
  local text = pipe:read "*a"
  pipe:close()
  return text
end

for _, version in ipairs { "1.2", "1.3" } do
  describe("a session of TLS " .. version, function()
    after_each(helper.finish)

    local function versioned(certificate, options)
      options = options or {}
      options.code = only(version) .. "\n      " .. (options.code or "")
      return server(certificate, options)
    end

    it("is resumed", function()
      local peer = versioned "good"
      local said, session, first = connect(peer)
      assert.equal("full", said)
      assert.equal("string", type(session))
      local info
      said, session, info = connect(peer, { session = session })
      assert.equal("resumed", said)
      -- What is known of the server is what it showed then.
      assert.is_true(info.verified)
      assert.is_nil(info.verify_error)
      assert.same(first.chain, info.chain)
      assert.same(first.certificate, info.certificate)
      assert.equal("localhost", info.server_name)
      assert.equal("TLSv" .. version, info.version)
      -- The new one is as good as the old.
      assert.equal("resumed", (connect(peer, { session = session })))
    end)

    it("is resumed in another process", function()
      local peer = versioned "good"
      local _, session = connect(peer)
      local said = helper.run(([[
        local conn = require("tcp").connect_tls("localhost", %d, { ca_file = %q, session = %s })
        io.write(conn:recv(), " ", tostring(conn:info().tls.resumed))
      ]]):format(peer.port, root, '"' .. session:gsub(".", function(c) return ("\\%03d"):format(c:byte()) end) .. '"'))
      assert.equal("resumed true", said)
    end)

    it("is resumed in other processes, where several CAs are named", function()
      local peer = versioned "good"
      local options = ("{ ca_file = %q, ca = %q }"):format(root, helper.contents(helper.pem "stranger"))
      local _, session = connect(peer, { ca = helper.contents(helper.pem "stranger") })
      local bytes = session:gsub(".", function(c) return ("\\%03d"):format(c:byte()) end)
      -- Each process has an order of its own for the keys of a table.
      for _ = 1, 8 do
        local said = helper.run(([[
          local options = %s
          options.session = "%s"
          io.write(require("tcp").connect_tls("localhost", %d, options):recv())
        ]]):format(options, bytes, peer.port))
        assert.equal("resumed", said)
      end
    end)

    it("is not offered unless the script says so", function()
      local peer = versioned "good"
      connect(peer)
      assert.equal("full", (connect(peer)))
    end)

    it("takes less of both ends' time than a full handshake", function()
      local peer = versioned "rsa"
      local _, session = connect(peer)
      local function median(options)
        local times = {}
        for i = 1, 21 do
          local conn = tcp.connect_tls("localhost", peer.port, trusting(options))
          times[i] = conn:info().timings.tls
          conn:close()
        end
        table.sort(times)
        return times[11]
      end
      -- A busy machine may be unfair to one of them.
      for attempt = 1, 5 do
        local full, resumed = median(), median { session = session }
        if resumed < full then break end
        assert(attempt < 5, ("resumed %.2f ms, full %.2f ms"):format(resumed * 1000, full * 1000))
      end
    end)

    -- {what, options of the first connection, options of the second, host of the second}
    for _, case in ipairs {
      { "of another host", {}, {}, "127.0.0.1" },
      -- Without SNI, no server would notice.
      { "of another address", { server_name = "127.0.0.1" }, { server_name = "::1" } },
      { "of another server_name", { server_name = "localhost" }, { server_name = "127.0.0.1" } },
      { "of verify = false", { verify = false }, {} },
      { "of verify = true", {}, { verify = false } },
      { "of other trusted certificates", {}, { ca_file = false, ca = helper.contents(root) } },
      { "of one more trusted certificate", {}, { ca = helper.contents(helper.pem "stranger") } },
      { "of no pin", {}, { pin_sha256 = "good" } },
      { "of other pins", { pin_sha256 = { "good" } }, { pin_sha256 = { "good", ("00"):rep(32) } } },
      { "of no client certificate", {}, { cert_file = helper.pem "client", key_file = helper.pem("client", "key") } },
      { "of a client certificate", { cert_file = helper.pem "client", key_file = helper.pem("client", "key") }, {} },
      { "of another client certificate",
        { cert_file = helper.pem "client", key_file = helper.pem("client", "key") },
        { cert_file = helper.pem "good", key_file = helper.pem("good", "key") } },
      { "of another min_version", {}, { min_version = version == "1.2" and "1.1" or version } },
      { "of another max_version", {}, { max_version = version } },
      { "of other ciphers", {}, { ciphers = "ECDHE+AESGCM" } },
      { "of other ciphersuites", {}, { ciphersuites = "TLS_AES_256_GCM_SHA384" } },
      { "of other names for ALPN", {}, { alpn = { "h2" } } },
    } do
      it(case[1] .. " is not offered", function()
        local peer = versioned "good"
        local pin = select(3, connect(peer)).certificate.public_key_sha256
        local options = {}
        for i = 1, 2 do
          options[i] = {}
          for name, value in pairs(case[i + 1]) do
            if value == "good" then value = pin end
            if type(value) == "table" and value[1] == "good" then value = { pin, value[2] } end
            options[i][name] = value
          end
        end
        local _, session = connect(peer, options[1])
        -- It is good for what it was made with.
        local again = {}
        for name, value in pairs(options[1]) do again[name] = value end
        again.session = session
        assert.equal("resumed", (connect(peer, again)))
        options[2].session = session
        assert.equal("full", (connect(peer, options[2], case[4])))
      end)
    end

    it("of another client certificate in the same file is not offered", function()
      local cert, key = os.tmpname(), os.tmpname()
      local function put(name) helper.put_certificate(name, cert, key) end
      local peer = versioned("good", { code = ("context.load_verify_locations(%q)\n      context.verify_mode"
        .. " = ssl.CERT_REQUIRED"):format(root) })
      put "client"
      local options = { cert_file = cert, key_file = key }
      local _, session = connect(peer, options)
      options.session = session
      assert.equal("resumed", (connect(peer, options)))
      put "client_expired"
      local conn = helper.keep(safe.connect_tls("localhost", peer.port, trusting(options)))
      if conn then conn = conn:recv() end
      assert.is_nil(conn)
      os.remove(cert)
      os.remove(key)
    end)

    it("of verify = false is resumed where that is said again, and still tells why", function()
      local peer = versioned "other_host"
      local _, session, first = connect(peer, { verify = false })
      local said, _, info = connect(peer, { verify = false, session = session })
      assert.equal("resumed", said)
      assert.is_false(info.verified)
      assert.equal(first.verify_error, info.verify_error)
      assert.matches("host name mismatch", info.verify_error)
      assert.same(first.certificate, info.certificate)
      helper.fails("certificate", "host name mismatch", function()
        tcp.connect_tls("localhost", peer.port, trusting { session = session })
      end)
    end)

    it("of a server whose CA is trusted no more is not offered", function()
      local path = os.tmpname()
      local function put(name)
        local file = assert(io.open(path, "wb"))
        file:write(helper.contents(helper.pem(name)))
        file:close()
      end
      local peer = versioned "good"
      put "root"
      local _, session = connect(peer, { ca_file = path })
      assert.equal("resumed", (connect(peer, { ca_file = path, session = session })))
      put "stranger"
      helper.fails("certificate", "unknown issuer", function()
        tcp.connect_tls("localhost", peer.port, trusting { ca_file = path, session = session })
      end)
      os.remove(path)
    end)

    it("of a chain that does not verify today is not offered", function()
      local peer = versioned "good"
      local _, session = connect(peer)
      local parts, magic = parts_of(session)
      assert.equal(session, whole(parts, magic)) -- these are its parts
      assert.equal("localhost", parts[1])
      assert.equal(der "good", parts[5])
      for _, other in ipairs { "expired", "not_yet", "unknown_issuer", "self_signed" } do
        parts[5] = der(other)
        assert.equal("full", (connect(peer, { session = whole(parts, magic) })))
      end
      -- Nor is one whose intermediate is missing.
      parts[5], parts[6] = der "good", nil
      assert.equal("full", (connect(peer, { session = whole(parts, magic) })))
    end)

    it("of another key than the pinned one is not offered", function()
      local peer = versioned "good"
      local pin = select(3, connect(peer)).certificate.public_key_sha256
      local _, session = connect(peer, { pin_sha256 = pin })
      assert.equal("resumed", (connect(peer, { pin_sha256 = pin, session = session })))
      local parts, magic = parts_of(session)
      parts[5] = der "direct"
      assert.equal("full", (connect(peer, { pin_sha256 = pin, session = whole(parts, magic) })))
    end)

    it("that the server does not know any more ends in a full handshake", function()
      local _, session = connect(versioned "good")
      local said, fresh = connect(versioned "good", { session = session })
      assert.equal("full", said)
      assert.not_equal(session, fresh)
    end)

    it("that is garbage is as good as none", function()
      local peer = versioned "good"
      local _, session = connect(peer)
      for _, garbage in ipairs {
        "", "x", "\0", ("\255"):rep(1000), "tcp session 1\n", "tcp session 1\n\255\255\255\255",
        "tcp session 2\n" .. session:sub(15), session:sub(1, -2), session:sub(2), session .. "\0", session:reverse(),
        session:upper(), ("x"):rep(2^20),
      } do
        assert.equal("full", (connect(peer, { session = garbage })))
      end
    end)

    it("with a byte changed is ignored, or refused in words", function()
      local peer = versioned "good"
      local _, session = connect(peer)
      for i = 1, #session, math.floor(#session / 60) do
        local byte = string.char((session:byte(i) + 1) % 256)
        local conn, message, code = safe.connect_tls("localhost", peer.port,
          trusting { session = session:sub(1, i - 1) .. byte .. session:sub(i + 1) })
        if conn then
          local said
          said, message, code = conn:recv()
          if said then assert.is_truthy(said == "full" or said == "resumed", said) end
          conn:close()
        end
        assert.is_truthy(code == nil or code == "tls", message)
      end
    end)

    it("is none over a server that gives none", function()
      local peer = versioned("good", { code = version == "1.2"
        and "context.options |= ssl.OP_NO_TICKET\n      context.set_ciphers('DEFAULT')" or "context.num_tickets = 0" })
      local _, session = connect(peer)
      if version == "1.3" then
        assert.is_nil(session)
      else -- the server keeps it, under a number
        assert.equal("resumed", (connect(peer, { session = session })))
      end
    end)

    it("works with start_tls", function()
      local context = [[
        context = getattr(c.listener, "context", None)
        if not context:
          c.listener.context = context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
          context.load_cert_chain(%q, %q)
          %s
        c.recv_line()
        c.sock = context.wrap_socket(c.sock, server_side=True)
        c.send(b"resumed" if c.sock.session_reused else b"full")
        c.recv()
      ]]
      local peer = helper.listen(context:format(helper.pem "good", helper.pem("good", "key"), only(version)))
      local session
      for _, expected in ipairs { "full", "resumed" } do
        local conn = helper.keep(tcp.connect("localhost", peer.port, helper.timeout))
        conn:send "STARTTLS\n"
        local tls = helper.keep(conn:start_tls { ca_file = root, session = session })
        assert.equal(expected, tls:recv())
        session = tls:session()
        tls:close()
      end
    end)
  end)
end

describe("session()", function()
  after_each(helper.finish)

  it("is nil over TLS 1.3 until the server's ticket has been read", function()
    local conn, peer = helper.connect_tls([[
      c.send(b"x")
      c.recv()
    ]], nil, { version = "1.3" })
    -- The ticket may be there, but nothing has read it.
    assert.is_nil(conn:session())
    assert.equal("x", conn:recv())
    assert.equal("string", type(conn:session()))
    conn:close()
    peer:result()
  end)

  it("is refused where there is no TLS", function()
    local conn = helper.connect [[ c.hold() ]]
    helper.fails("tls", "no TLS", function() conn:session() end)
    conn:close()
    helper.fails("closed", "", function() conn:session() end)
  end)

  it("of a CA that is trusted with servers no longer is not offered", function()
    local folder = os.tmpname()
    os.remove(folder)
    local function put(options)
      local said = helper.output(("mkdir -p %s && openssl x509 -in %s %s -out %s/$(openssl x509 -noout -hash -in %s).0"
        .. " && sleep 1.1 && echo made"):format(folder, helper.pem "root", options, folder, helper.pem "root"))
      assert.equal("made\n", said)
    end
    put ""
    local options = { ca_dir = folder, timeout = helper.timeout }
    local peer = server "good"
    local first = helper.keep(tcp.connect_tls("localhost", peer.port, options))
    first:recv()
    options.session = first:session()
    first:close()
    local second = helper.keep(tcp.connect_tls("localhost", peer.port, options))
    assert.is_true(second:info().tls.resumed)
    second:close()
    put "-addreject serverAuth -trustout"
    helper.fails("certificate", "rejected", function() tcp.connect_tls("localhost", peer.port, options) end)
    os.execute("rm -r " .. folder)
  end)

  it("of a certificate that has expired since is not offered", function()
    -- Good for four seconds more, and for no connection after that.
    local folder = os.tmpname()
    os.remove(folder)
    local pipe = io.popen(([[
      exec 2>&1
      mkdir %s && cd %s && touch index && printf '%%s\n' '[ca]' 'default_ca=a' '[a]' \
        'database=index' 'new_certs_dir=.' 'default_md=sha256' \
        'policy=p' 'rand_serial=yes' '[p]' 'commonName=supplied' '[e]' 'subjectAltName=DNS:localhost' >cnf &&
      openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key -subj /CN=localhost -out csr &&
      openssl ca -config cnf -batch -notext -selfsign -keyfile key -in csr -out pem -extfile cnf -extensions e \
        -startdate 200101000000Z -enddate $(date -u -d '+4 seconds' +%%y%%m%%d%%H%%M%%SZ) && echo made
    ]]):format(folder, folder), "r")
    assert.matches("made\n$", pipe:read "*a")
    pipe:close()
    local options = { ca_file = folder .. "/pem" }
    local peer = server(nil, { pem = folder .. "/pem", key = folder .. "/key" })
    local _, session, info = connect(peer, options)
    options.session = session
    assert.equal("resumed", (connect(peer, options)))
    local unverified = { ca_file = options.ca_file, verify = false }
    local _, other = connect(peer, unverified)
    unverified.session = other
    assert.equal("resumed", (connect(peer, unverified)))

    local begun = helper.clock()
    while os.time() <= info.certificate.not_after do
      assert(helper.clock() - begun < 10, "it does not expire")
      os.execute "sleep 0.1"
    end
    helper.fails("certificate", "expired on", function()
      tcp.connect_tls("localhost", peer.port, trusting(options))
    end)
    -- A monitor without verification is told today's state.
    local said, _, today = connect(peer, unverified)
    assert.equal("full", said)
    assert.is_false(today.verified)
    assert.matches("^expired on", today.verify_error)
    os.execute("rm -r " .. folder)
  end)
end)

describe("what belongs to one connection is shared with no other:", function()
  after_each(helper.finish)

  it("a client certificate", function()
    for _, version in ipairs { "1.2", "1.3" } do
      local peer = helper.listen([[ c.send(b"hello"); c.recv() ]],
        { tls = "good", client_ca = "root", version = version })
      local own = { cert_file = helper.pem "client", key_file = helper.pem("client", "key") }
      local conn = helper.keep(tcp.connect_tls("localhost", peer.port, trusting(own)))
      assert.equal("hello", conn:recv())
      conn:close()
      helper.fails("tls", "", function()
        local other = helper.keep(tcp.connect_tls("localhost", peer.port, trusting()))
        other:recv()
      end)
    end
  end)

  it("a session, whatever the order of connections", function()
    local peer = server "good"
    for _ = 1, 3 do assert.equal("full", (connect(peer))) end
    for _ = 1, 3 do assert.equal("full", (connect(peer, nil, "127.0.0.1"))) end
  end)

  it("what was found wrong with a certificate", function()
    local bad, good = helper.listen("c.recv()", { tls = "expired" }), helper.listen("c.recv()", { tls = "good" })
    local first = helper.keep(tcp.connect_tls("localhost", bad.port, trusting { verify = false }))
    local second = helper.keep(tcp.connect_tls("localhost", good.port, trusting { verify = false }))
    assert.is_false(first:info().tls.verified)
    assert.is_true(second:info().tls.verified)
  end)
end)

describe("what is dear is kept:", function()
  after_each(helper.finish)

  -- Writes a file whose size and date are the same each time.
  local function put(path, name)
    local text = helper.contents(helper.pem(name))
    local file = assert(io.open(path, "wb"))
    file:write(text, ("\n"):rep(100000 - #text))
    file:close()
    assert(os.execute("touch -d '2020-01-01 00:00:00' " .. path))
  end

  local function trusts(peer, options)
    options.timeout = helper.timeout
    local conn, message, code = safe.connect_tls("localhost", peer.port, options)
    if not conn then
      assert.equal("certificate", code, message)
      return false
    end
    conn:close()
    return true
  end

  local greeting = "c.send(b'hello'); c.recv()"

  it("the CA file is read once, until it changes", function()
    local path = os.tmpname()
    local peer = helper.listen(greeting, { tls = "good" })
    local function read()
      return tonumber(helper.contents("/proc/self/io"):match "rchar: (%d+)")
    end
    put(path, "root")
    os.execute "sleep 0.05" -- Right behind a change, another one could not be told.
    assert.is_true(trusts(peer, { ca_file = path }))
    local before = read()
    for _ = 1, 20 do assert.is_true(trusts(peer, { ca_file = path })) end
    assert.is_true(read() - before < 100000)
    -- Whatever its size and date say.
    put(path, "stranger")
    assert.is_false(trusts(peer, { ca_file = path }))
    put(path, "root")
    assert.is_true(trusts(peer, { ca_file = path }))
    -- Another one in its place.
    put(path .. ".new", "stranger")
    assert(os.rename(path .. ".new", path))
    assert.is_false(trusts(peer, { ca_file = path }))
    os.remove(path)
    helper.fails_safely("io", "no such file", safe.connect_tls("localhost", peer.port, { ca_file = path }))
  end)

  -- A folder with a link by the root's hash, whose target is in another one; and that target.
  local function linked()
    local dir = os.tmpname()
    os.remove(dir)
    local target = dir .. "/elsewhere/ca.pem"
    assert(os.execute(("mkdir -p %s/elsewhere %s/certs"):format(dir, dir)))
    put(target, "root")
    local hash = helper.output("openssl x509 -noout -subject_hash -in " .. helper.pem "root"):match "%x+"
    assert(os.execute(("ln -s %s %s/certs/%s.0"):format(target, dir, hash)))
    return dir .. "/certs", target, dir
  end

  -- Changes are seen after a second at most, and on a busy machine the last look is late.
  local function soon(expected, peer, options)
    local till = helper.clock() + 2
    repeat
      tcp.sleep(0.02)
      local trusted = trusts(peer, options)
      if trusted == expected then return end
    until helper.clock() > till
    error "the change was not seen"
  end

  it("a folder counts as it is, through its links", function()
    local certs, target, dir = linked()
    local peer = helper.listen(greeting, { tls = "good" })
    assert.is_true(trusts(peer, { ca_dir = certs }))
    put(target, "stranger")
    soon(false, peer, { ca_dir = certs })
    put(target, "root")
    soon(true, peer, { ca_dir = certs })
    os.remove(target)
    soon(false, peer, { ca_dir = certs })
    os.execute("rm -r " .. dir)
  end)

  -- Runs a script that has `trusts()`, `wait(expected)` and `sh`, with the system's store there.
  local function with_store(variables, code)
    local peer = helper.listen(greeting, { tls = "good" })
    local said, status = helper.run(([[
      local tcp, clock, PORT = require "tcp.safe", os.time, %d
      local function trusts()
        local conn, message, code = tcp.connect_tls("localhost", PORT, 3)
        if conn then conn:close() end
        return conn and "yes" or code
      end
      local function wait(expected)
        local till, got = clock() + 3
        repeat
          tcp.sleep(0.02)
          got = trusts()
        until got == expected or clock() > till
        io.write(got, " ")
      end
      local function sh(command) os.execute(command) end
      %s
    ]]):format(peer.port, code), variables)
    assert.equal(0, status, said)
    return said
  end

  it("the system's store counts as it is: a file", function()
    local path = os.tmpname()
    put(path, "root")
    put(path .. ".stranger", "stranger")
    assert.equal("yes certificate yes certificate yes ", with_store("SSL_CERT_DIR= SSL_CERT_FILE=" .. path, ([[
      local path, root, stranger = %q, %q, %q
      io.write(trusts(), " ")
      sh("cat " .. stranger .. " >" .. path .. "; touch -d '2020-01-01' " .. path)
      io.write(trusts(), " ")
      sh("cp " .. root .. " " .. path .. ".new; mv " .. path .. ".new " .. path)
      io.write(trusts(), " ")
      os.remove(path)
      io.write(trusts(), " ")
      sh("cp " .. root .. " " .. path)
      io.write(trusts(), " ")
    ]]):format(path, root, path .. ".stranger")))
    os.remove(path)
    os.remove(path .. ".stranger")
  end)

  it("the system's store counts as it is: folders", function()
    local certs, target, dir = linked()
    assert.equal("yes certificate yes certificate ",
      with_store(("SSL_CERT_DIR=/nonexistent:%s SSL_CERT_FILE=/nonexistent"):format(certs), ([[
      local certs, target, root, stranger = %q, %q, %q, %q
      io.write(trusts(), " ")
      sh("cp " .. stranger .. " " .. target)
      wait "certificate"
      sh("cp " .. root .. " " .. target)
      wait "yes"
      sh("rm " .. certs .. "/*")
      wait "certificate"
    ]]):format(certs, target, root, helper.pem "stranger")))
    os.execute("rm -r " .. dir)
  end)

  -- {the store, what comes of a connect that has one descriptor}: a folder is read in the
  -- handshake.
  for _, case in ipairs {
    { "SSL_CERT_DIR= SSL_CERT_FILE=" .. root, "yes" },
    { ("SSL_CERT_FILE=/nonexistent SSL_CERT_DIR=%s/hashed"):format(helper.certificates), "too many open files" },
  } do
    it("the system's store is read as soon as there are descriptors for it: " .. case[1]:match "%S+$", function()
      local said = with_store("ulimit -n 80 && " .. case[1], [[
        local files, file = {}, io.open "/dev/null"
        while file do
          files[#files + 1] = file
          file = io.open "/dev/null"
        end
        local function try(free)
          for _ = 1, free do table.remove(files):close() end
          local conn, message, code = tcp.connect_tls("127.0.0.1", PORT, 3)
          if conn then conn:close() end
          io.write(conn and "yes" or message:match "io: (.*) %(the limit is 80" or message, " ")
        end
        try(0)
        try(1)
        try(10)
      ]])
      assert.equal("too many open files " .. case[2] .. " yes ", said)
    end)
  end

  it("many sets of options do not gather", function()
    local peer = helper.listen("c.recv()", { tls = "good" })
    local function use(i)
      local conn = tcp.connect_tls("localhost", peer.port, trusting { alpn = { "name-" .. i } })
      conn:close()
    end
    for i = 1, 60 do use(i) end
    collectgarbage()
    local before = helper.memory "VmRSS"
    for i = 61, 260 do use(i) end
    collectgarbage()
    -- A context is 50 kB or more.
    assert.is_true(helper.memory "VmRSS" - before < 4 * 2^20)
  end)
end)

describe("keylog", function()
  after_each(helper.finish)

  -- Runs a script with SSLKEYLOGFILE; gives what is in that file afterwards, or nil.
  local function logged(code, before)
    local path = os.tmpname()
    os.remove(path)
    local said, status = helper.run(code, (before or "") .. " SSLKEYLOGFILE=" .. path)
    assert.equal(0, status, said)
    local file = io.open(path, "rb")
    if not file then return nil, said end
    local text = file:read "*a"
    file:close()
    return text, said, path
  end

  local client = [[
    local conn = require("tcp").connect_tls("localhost", %d, { ca_file = %q, keylog = %s })
    conn:send "question"
    io.write(conn:read_str())
  ]]

  for _, case in ipairs {
    { "1.2", "CLIENT_RANDOM" },
    { "1.3", "CLIENT_HANDSHAKE_TRAFFIC_SECRET SERVER_HANDSHAKE_TRAFFIC_SECRET CLIENT_TRAFFIC_SECRET_0"
      .. " SERVER_TRAFFIC_SECRET_0 EXPORTER_SECRET" },
  } do
    local version, labels = case[1], case[2]

    it("writes the keys that the server has too, over TLS " .. version, function()
      local theirs = os.tmpname()
      local peer = helper.listen(([[
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(%q, %q)
        %s
        context.keylog_filename = %q
        c.sock = context.wrap_socket(c.sock, server_side=True)
        c.recv_exactly(8)
        c.send(b"answer")
      ]]):format(helper.pem "good", helper.pem("good", "key"), only(version), theirs))
      local text, said, path = logged(client:format(peer.port, root, "true"))
      assert.equal("answer", said)
      local ours, other = {}, {}
      for line in text:gmatch "([^\n]*)\n" do
        assert.matches("^[%u_%d]+ %x+ %x+$", line)
        ours[line:match "^%S+"] = line
      end
      for line in helper.contents(theirs):gmatch "[^\n]+" do other[line:match "^%S+"] = line end
      for label in labels:gmatch "%S+" do
        assert.is_truthy(ours[label], label)
        assert.equal(other[label], ours[label])
      end
      os.remove(path)
      os.remove(theirs)
    end)

    it("opens a capture in tshark, over TLS " .. version, function()
      if not io.popen("command -v tshark"):read "*l" then
        helper.excuse "tshark"
        pending "there is no tshark here"
      end
      -- A relay writes down what passes, as a capture of a network would have it.
      local capture = os.tmpname()
      local peer = helper.listen([[
        c.recv_exactly(8)
        c.send(b"a secret answer")
      ]], { tls = "good", version = version })
      local relay = helper.listen(([[
        far = socket.create_connection(("127.0.0.1", %d), 5)
        sequence = [1, 1]
        with open(%q, "wb") as out:
          out.write(struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 228)) # IPv4
          lock = threading.Lock()
          def packet(way, flags, data=b""):
            tcp = struct.pack(">HHIIBBHHH", *((40000, 443) if way == 0 else (443, 40000)),
                              sequence[way], sequence[1 - way], 0x50, flags, 65535, 0, 0) + data
            ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(tcp), 0, 0, 64, 6, 0,
                             *(bytes([127, 0, 0, 1 + way]), bytes([127, 0, 0, 2 - way])))
            out.write(struct.pack("<IIII", 0, 0, len(ip + tcp), len(ip + tcp)) + ip + tcp)
            sequence[way] += len(data)
          def pump(way, source, target):
            while True:
              data = source.recv(16384)
              if not data:
                break
              with lock:
                packet(way, 0x18, data)
              target.sendall(data)
            target.shutdown(socket.SHUT_WR)
          sequence[0] = sequence[1] = 0
          packet(0, 0x02)
          sequence[0] = 1
          packet(1, 0x12)
          sequence[1] = 1
          back = threading.Thread(target=pump, args=(1, far, c.sock))
          back.start()
          pump(0, c.sock, far)
          back.join()
        far.close()
      ]]):format(peer.port, capture))
      local _, said, path = logged(client:format(relay.port, root, "true"))
      assert.equal("a secret answer", said)
      relay:result()
      local pipe = io.popen(("HOME=/tmp tshark -r %s -o tls.keylog_file:%s -d tcp.port==443,tls -T fields -e data.data"
        .. " -o tls.desegment_ssl_records:TRUE -d tls.port==443,data 2>&1"):format(capture, path), "r")
      local seen = pipe:read "*a"
      pipe:close()
      local hex = ("a secret answer"):gsub(".", function(c) return ("%02x"):format(c:byte()) end)
      assert.is_truthy(seen:find(hex, 1, true), seen)
      os.remove(path)
      os.remove(capture)
    end)
  end

  it("appends to the file, one session after another, and nobody else can read it", function()
    local peer = helper.listen([[ c.recv_exactly(8); c.send(b"answer") ]], { tls = "good", version = "1.2" })
    local text, _, path = logged((client:format(peer.port, root, "true") .. "\n"):gsub("local conn", "conn"):rep(3))
    local _, lines = text:gsub("CLIENT_RANDOM", "")
    assert.equal(3, lines)
    local pipe = io.popen("stat -c %a " .. path)
    assert.equal("600\n", pipe:read "*a")
    pipe:close()
    os.remove(path)
  end)

  it("writes into the new file, where another process has put the old one away", function()
    local peer = helper.listen([[ c.recv_exactly(8); c.send(b"answer") ]], { tls = "good", version = "1.2" })
    local call = client:format(peer.port, root, "true"):gsub("local conn", "conn")
    local text, said, path = logged(call .. call .. [[
      os.rename(os.getenv "SSLKEYLOGFILE", os.getenv "SSLKEYLOGFILE" .. ".old")
    ]] .. call)
    assert.equal("answeransweranswer", said)
    local _, old = helper.contents(path .. ".old"):gsub("CLIENT_RANDOM", "")
    local _, new = (text or ""):gsub("CLIENT_RANDOM", "")
    assert.same({ 2, 1 }, { old, new })
    os.remove(path)
    os.remove(path .. ".old")
  end)

  it("writes nothing unless the script says so", function()
    local peer = helper.listen([[ c.recv_exactly(8); c.send(b"answer") ]], { tls = "good" })
    local text, said = logged(client:format(peer.port, root, "false"))
    assert.equal("answer", said)
    assert.is_nil(text)
  end)

  it("writes nothing where no file is named", function()
    local peer = helper.listen([[ c.recv_exactly(8); c.send(b"answer") ]], { tls = "good", times = 2 })
    for _, before in ipairs { "env -u SSLKEYLOGFILE", "SSLKEYLOGFILE=" } do
      local said, status = helper.run(client:format(peer.port, root, "true"), before)
      assert.equal("answer", said)
      assert.equal(0, status)
    end
  end)
end)
