-- The options of TLS, for `connect_tls`, `start_tls` and `listen`: a wrong one is a clear error
-- before any byte goes out, PEM may be text or a file, and no message shows what is secret.

local helper = require "spec.support.helper"
local loops = require "spec.support.loops"
local tcp = require "tcp"

local root = helper.pem "root"
local good, good_key = helper.pem "good", helper.pem("good", "key")
local client, client_key = helper.pem "client", helper.pem("client", "key")
local secret = "open sesame"

local files = {}

-- A file with this text, gone with the tests.
local function file(text)
  local path = os.tmpname()
  local handle = assert(io.open(path, "wb"))
  handle:write(text)
  handle:close()
  files[#files + 1] = path
  return path
end

-- The file that a shell command makes of OUT.
local function made(command)
  local path = file ""
  local pipe = io.popen(command:gsub("OUT", path) .. " >/dev/null 2>&1 && echo made")
  assert.equal("made\n", pipe:read "*a")
  pipe:close()
  return path
end

local encrypted = made("openssl pkcs8 -topk8 -v2 aes-256-cbc -in " .. client_key .. " -passout 'pass:" .. secret
  .. "' -out OUT")
local encrypted_old = made("openssl ec -aes-128-cbc -in " .. client_key .. " -passout 'pass:" .. secret
  .. "' -out OUT")

local function with(options, defaults)
  local all = {}
  for name, value in pairs(defaults) do all[name] = value end
  for name, value in pairs(options) do all[name] = value end
  return all
end

-- Where the options of TLS may stand: what is called, where they are among its arguments, and the
-- call with these options, and what checks that nothing has gone out.
local calls = {
  {
    name = "connect_tls", argument = 3, label = "localhost:%d+",
    prepare = function(options)
      local peer = helper.listen("", { tls = "good" })
      options = with(options, { timeout = helper.timeout })
      return function() tcp.connect_tls("localhost", peer.port, options) end,
        function() assert.equal(0, peer:count()) end
    end,
  },
  {
    name = "start_tls", argument = 1, label = "127%.0%.0%.1:%d+",
    prepare = function(options)
      local conn, peer = helper.connect [[ return c.recv_all() ]]
      return function() conn:start_tls(options) end, function()
        -- The connection is what it was.
        conn:send "still here"
        conn:shutdown()
        assert.equal("still here", peer:result())
      end
    end,
  },
  {
    name = "listen", argument = 3, label = "127%.0%.0%.1:0", server = true,
    prepare = function(options)
      local own = options.cert_file or options.key_file
      options = { tls = own and options or with(options, { cert_file = good, key_file = good_key }) }
      return function() tcp.listen("127.0.0.1", 0, options) end, function() end
    end,
  },
}

local not_pem = file "This is not PEM.\n"
local broken = file(helper.contents(client):gsub("\n%w%w%w%w", "\n!!!!", 1))
local bundle = file(helper.contents(root) .. helper.contents(broken) .. helper.contents(root))
local broken_key = file(helper.contents(client_key):gsub("\n%w%w%w%w%w%w%w%w", "\nAAAAAAAA", 1))

-- {what, options, code, the words of the detail}
local wrong = {
  { "a ca_file that is not there", { ca_file = "/nonexistent/ca.pem" }, "io",
    "cannot read ca_file '/nonexistent/ca.pem': no such file or directory" },
  { "a ca_file that is a folder", { ca_file = "/tmp" }, "io", "cannot read ca_file '/tmp': is a directory" },
  { "a ca_file without a certificate", { ca_file = not_pem }, "tls",
    "no PEM certificate in ca_file '" .. not_pem .. "'" },
  { "a ca_file that is empty", { ca_file = "/dev/null" }, "tls", "no PEM certificate in ca_file '/dev/null'" },
  { "a ca_file that is broken", { ca_file = broken }, "tls",
    "certificate 1 in ca_file '" .. broken .. "' cannot be read: bad base64 decode" },
  { "a ca_file with a broken one among others", { ca_file = bundle }, "tls",
    "certificate 2 in ca_file '" .. bundle .. "' cannot be read: bad base64 decode" },
  { "a ca with one that is cut off", { ca = helper.contents(root) .. helper.contents(root):sub(1, 200) }, "tls",
    "certificate 2 in ca cannot be read: " },
  { "a ca with one that is no certificate inside",
    { ca = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n" .. helper.contents(root) }, "tls",
    "certificate 1 in ca cannot be read: " },
  { "a ca_file without end", { ca_file = "/dev/zero" }, "io",
    "cannot read ca_file '/dev/zero': it is larger than 16777216 bytes" },
  { "a ca without a certificate", { ca = "not PEM" }, "tls", "no PEM certificate in ca" },
  { "a ca_file in DER", { ca_file = made("openssl x509 -in " .. root .. " -outform DER -out OUT") }, "tls",
    "no PEM certificate in ca_file '" },
  { "a ca_dir that is not there", { ca_dir = "/nonexistent" }, "io",
    "cannot read ca_dir '/nonexistent': no such file or directory" },
  { "a ca_dir that is a file", { ca_dir = root }, "io", "cannot read ca_dir '" .. root .. "': not a directory" },
  { "a ca_dir where nothing has its hash for a name", { ca_dir = helper.certificates }, "tls",
    "no certificate in ca_dir '" .. helper.certificates .. "' is named by its hash, openssl rehash does it" },
  { "a cert_file that is not there", { cert_file = "/nonexistent/own.pem", key_file = client_key }, "io",
    "cannot read cert_file '/nonexistent/own.pem': no such file or directory" },
  { "a cert_file without a certificate", { cert_file = client_key, key_file = client_key }, "tls",
    "no PEM certificate in cert_file '" .. client_key .. "'" },
  { "a cert_file that is broken", { cert_file = broken, key_file = client_key }, "tls",
    "certificate 1 in cert_file '" .. broken .. "' cannot be read: bad base64 decode" },
  { "a certificate with a key too short for anybody", { cert_file = helper.pem "weak",
    key_file = helper.pem("weak", "key") }, "tls", "cert: ee key too small" },
  { "a key_file that is not there", { cert_file = client, key_file = "/nonexistent/own.key" }, "io",
    "cannot read key_file '/nonexistent/own.key': no such file or directory" },
  { "a key_file without a key", { cert_file = client, key_file = client }, "tls",
    "no PEM private key in key_file '" .. client .. "'" },
  { "a key_file in DER", { cert_file = client,
    key_file = made("openssl pkey -in " .. client_key .. " -outform DER -out OUT") }, "tls",
    "no PEM private key in key_file '" },
  { "a key that is a path", { cert_file = client, key = client_key }, "tls", "no PEM private key in key" },
  { "a cert that is a path", { cert = client, key_file = client_key }, "tls", "no PEM certificate in cert" },
  { "a key_file that is broken", { cert_file = client, key_file = broken_key }, "tls",
    "the private key in key_file '" .. broken_key .. "' cannot be read: " },
  { "a key_file with the public key", { cert_file = client,
    key_file = made("openssl pkey -in " .. client_key .. " -pubout -out OUT") }, "tls",
    "no PEM private key in key_file '" },
  { "a key of another certificate", { cert_file = client, key_file = good_key }, "tls",
    "the key does not match the certificate" },
  { "a key of another kind", { cert_file = client, key_file = helper.pem("rsa", "key") }, "tls",
    "the key does not match the certificate" },
  { "an encrypted key without its password", { cert_file = client, key_file = encrypted }, "tls",
    "key_file '" .. encrypted .. "' is encrypted, and there is no key_password" },
  { "an encrypted key with a wrong password", { cert_file = client, key_file = encrypted,
    key_password = "guess" }, "tls", "key_password does not open key_file '" .. encrypted .. "'" },
  { "an encrypted key with an empty password", { cert_file = client, key_file = encrypted, key_password = "" }, "tls",
    "key_password does not open key_file '" .. encrypted .. "'" },
  { "an encrypted key with a password too long for any", { cert_file = client, key_file = encrypted,
    key_password = secret:rep(1000) }, "tls", "key_password does not open key_file '" .. encrypted .. "'" },
  { "an encrypted key of the old kind with a wrong password", { cert_file = client, key_file = encrypted_old,
    key_password = "guess" }, "tls", "key_password does not open key_file '" .. encrypted_old .. "'" },
  { "an encrypted key as text without its password", { cert_file = client, key = helper.contents(encrypted) }, "tls",
    "key is encrypted, and there is no key_password" },
  { "unknown ciphers", { ciphers = "NO-SUCH-CIPHER" }, "tls", "ciphers: no cipher match" },
  { "unknown ciphersuites", { ciphersuites = "TLS_NO_SUCH" }, "tls", "ciphersuites: no cipher match" },
  { "a max_version lower than min_version", { max_version = "1.2", min_version = "1.3" }, "tls",
    "max_version is lower than min_version" },
  { "a max_version lower than the default of min_version", { max_version = "1.1" }, "tls",
    "max_version is lower than min_version, which is 1.2 unless it is given" },
}

-- {what, options, the words of the bad argument, without what every one begins with}
local misused = {
  { "unknown option", { certfile = client }, "unknown option 'certfile'" },
  { "a misspelt option", { Verify = false }, "unknown option 'Verify'" },
  { "verify", { verify = "no" }, "option 'verify': boolean expected, got string" },
  { "ca_file", { ca_file = true }, "option 'ca_file': string expected, got boolean" },
  { "ca_file with a zero byte", { ca_file = "a\0b" },
    "option 'ca_file': a path of up to 4096 bytes, without a zero byte, expected" },
  { "a path that is not UTF-8", { ca_file = "\255" }, "option 'ca_file': not UTF-8" },
  { "ca", { ca = {} }, "option 'ca': string expected, got table" },
  { "ca_dir", { ca_dir = {} }, "option 'ca_dir': string expected, got table" },
  { "ca_dir with a zero byte", { ca_dir = "a\0b" },
    "option 'ca_dir': a path of up to 4096 bytes, without a zero byte, expected" },
  { "cert", { cert = true }, "option 'cert': string expected, got boolean" },
  { "cert_file with a zero byte", { cert_file = "a\0b", key = "x" },
    "option 'cert_file': a path of up to 4096 bytes, without a zero byte, expected" },
  { "key_file", { key_file = print }, "option 'key_file': string expected, got function" },
  { "key_file with a zero byte", { key_file = "a\0b" },
    "option 'key_file': a path of up to 4096 bytes, without a zero byte, expected" },
  { "key_password", { key_password = {} }, "option 'key_password': string expected, got table" },
  { "min_version", { min_version = "1.4" },
    "option 'min_version': '1.0' or '1.1' or '1.2' or '1.3' expected, got '1.4'" },
  { "max_version", { max_version = "TLSv1.2" },
    "option 'max_version': '1.0' or '1.1' or '1.2' or '1.3' expected, got 'TLSv1.2'" },
  { "SSLv3", { min_version = "3" }, "option 'min_version': '1.0' or '1.1' or '1.2' or '1.3' expected, got '3'" },
  { "ciphers", { ciphers = "" }, "option 'ciphers': OpenSSL's names of ciphers expected" },
  { "ciphers with a zero byte", { ciphers = "ALL\0" }, "option 'ciphers': OpenSSL's names of ciphers expected" },
  { "ciphers in a list", { ciphers = { "ALL" } }, "option 'ciphers': string expected, got table" },
  { "ciphersuites", { ciphersuites = 1 == 1 }, "option 'ciphersuites': string expected, got boolean" },
  { "an empty name for ALPN", { alpn = { "h2", "" } }, "option 'alpn': names of 1 to 255 bytes expected" },
  { "a name too long for ALPN", { alpn = { ("x"):rep(256) } }, "option 'alpn': names of 1 to 255 bytes expected" },
  { "no name for ALPN", { alpn = {} }, "option 'alpn': one value or a list of up to 64 expected" },
  { "names for ALPN with a hole", { alpn = { "h2", nil, "imap" } },
    "option 'alpn': one value or a list of up to 64 expected" },
  { "alpn", { alpn = { {} } }, "option 'alpn': string expected, got table" },
  { "a pin too short", { pin_sha256 = "abcd" },
    "option 'pin_sha256': the SHA-256 of a public key, in base64 or hexadecimal, expected" },
  { "a pin of letters", { pin_sha256 = ("zz"):rep(32) },
    "option 'pin_sha256': the SHA-256 of a public key, in base64 or hexadecimal, expected" },
  { "no pin", { pin_sha256 = {} }, "option 'pin_sha256': one value or a list of up to 64 expected" },
  { "pins with names", { pin_sha256 = { ("00"):rep(32), old = ("00"):rep(32) } },
    "option 'pin_sha256': one value or a list of up to 64 expected" },
  { "the second pin", { pin_sha256 = { ("00"):rep(32), "x" } },
    "option 'pin_sha256': the SHA-256 of a public key, in base64 or hexadecimal, expected" },
  { "close_notify", { close_notify = "maybe" }, "option 'close_notify': 'require' or 'ignore' expected, got 'maybe'" },
  { "close_notify = false", { close_notify = false }, "option 'close_notify': string expected, got boolean" },
  { "session", { session = {} }, "option 'session': string expected, got table" },
  { "keylog", { keylog = "/tmp/keys" }, "option 'keylog': boolean expected, got string" },
  { "server_name", { server_name = "" }, "option 'server_name': a host name or an IP address expected" },
  { "a server_name that is too long", { server_name = ("a."):rep(150) .. "test" },
    "option 'server_name': a host name or an IP address expected" },
  { "a server_name with too long a part", { server_name = ("a"):rep(64) .. ".test" },
    "option 'server_name': a host name or an IP address expected" },
  { "a server_name that is a wildcard", { server_name = "*.example.test" },
    "option 'server_name': a host name or an IP address expected" },
  { "a server_name with nothing between two dots", { server_name = "a..test" },
    "option 'server_name': a host name or an IP address expected" },
  { "server_name with a zero byte", { server_name = "local\0host" },
    "option 'server_name': a host name or an IP address expected" },
}

for _, call in ipairs(calls) do
  describe(call.name .. " refuses, before any byte goes out,", function()
    after_each(helper.finish)

    for _, case in ipairs(wrong) do
      it(case[1], function()
        local act, untouched = call.prepare(case[2])
        local message = helper.fails(case[3], "^" .. call.name .. " " .. call.label .. ": ", act)
        local detail = message:match(": " .. case[3] .. ": (.*)$")
        assert.equal(case[4], detail:sub(1, #case[4]))
        -- Neither a password nor anything of a PEM's inside.
        assert.is_nil(message:find(secret, 1, true))
        assert.is_nil(message:find "BEGIN")
        assert.is_nil(message:find "%w%w%w%w%w%w%w%w%w%w%w%w%w%w%w%w%w%w%w%w%w%w%w%w%w%w%w%w%w%w")
        untouched()
      end)
    end

    for _, case in ipairs(misused) do
      it("as a mistake of the script: " .. case[1], function()
        local act, untouched = call.prepare(case[2])
        local words = case[3]
        if call.server and words:find "^option 's" then -- what only a client has
          words = ("option '%s': a client's, this side is the server"):format(words:match "'(.-)'")
        end
        if call.server and words:find "^unknown" then words = "option 'tls': " .. words end
        helper.misuse(("bad argument #%d to '%s' (%s)"):format(call.argument, call.name, words), act)
        untouched()
      end)
    end

    it("a key without a certificate", function()
      if call.server then
        helper.fails("tls", "^listen 127%.0%.0%.1:0: tls: a server needs a certificate %(cert_file, cert, or one in "
          .. "names%), or psk$", function() tcp.listen("127.0.0.1", 0, { tls = { key_file = good_key } }) end)
        helper.fails("tls", "a server needs a certificate",
          function() tcp.listen("127.0.0.1", 0, { tls = {} }) end)
        return
      end
      local act, untouched = call.prepare { key_file = client_key }
      helper.fails("tls", ": a key without a certificate, give cert_file or cert$", act)
      untouched()
    end)

    it("a certificate without a key", function()
      if call.server then
        helper.fails("tls", ": no PEM private key in cert_file '" .. good:gsub("%p", "%%%0")
          .. "', and no key_file or key is given$",
          function() tcp.listen("127.0.0.1", 0, { tls = { cert_file = good } }) end)
        return
      end
      local act, untouched = call.prepare { cert_file = client }
      helper.fails("tls", ": no PEM private key in cert_file '[^']*', and no key_file or key is given$", act)
      untouched()
    end)
  end)
end

describe("PEM", function()
  after_each(helper.finish)

  teardown(function()
    for _, path in ipairs(files) do os.remove(path) end
  end)

  local text, key = helper.contents(client), helper.contents(client_key)

  -- Ways to say the same.
  local ways = {
    { "in two files", { cert_file = client, key_file = client_key } },
    { "as text", { cert = text, key = key } },
    { "as a file and text", { cert_file = client, key = key } },
    { "as text and a file", { cert = text, key_file = client_key } },
    { "in one file, the key at its end", { cert_file = file(text .. key) } },
    { "in one file, the key at its beginning", { cert_file = file(key .. text) } },
    { "as one text", { cert = text .. key } },
    { "with words around it", { cert = "Subject: x\n" .. text .. "\nthe key:\n" .. key .. "the end\n" } },
    { "with the line ends of Windows", { cert = text:gsub("\n", "\r\n"), key = key:gsub("\n", "\r\n") } },
    { "with a key in the form of its own kind",
      { cert_file = client, key_file = made("openssl ec -in " .. client_key .. " -out OUT") } },
    { "with an encrypted key", { cert_file = client, key_file = encrypted, key_password = secret } },
    { "with an encrypted key as text", { cert = text, key = helper.contents(encrypted), key_password = secret } },
    { "with an encrypted key of the old kind",
      { cert_file = client, key_file = encrypted_old, key_password = secret } },
    { "with a password that the key does not need", { cert = text, key = key, key_password = "whatever" } },
    { "with a password that is a number", { cert_file = client, key_password = 12345,
      key_file = made("openssl pkcs8 -topk8 -in " .. client_key .. " -passout pass:12345 -out OUT") } },
    { "with a password in UTF-8", { cert_file = client, key_password = "segredo é só nosso",
      key_file = made("openssl pkcs8 -topk8 -in " .. client_key .. " -passout 'pass:segredo é só nosso' -out OUT") } },
  }

  local subject = [[ return dict(pair[0] for pair in c.sock.getpeercert()["subject"])["commonName"] ]]

  for _, way in ipairs(ways) do
    it("of a client's certificate: " .. way[1], function()
      local conn, peer = helper.connect_tls(subject, way[2], { client_ca = "root" })
      assert.equal("client.example", peer:result())
      conn:close()
      -- And where TLS comes later.
      conn, peer = helper.connect([[ c.handshake("good", client_ca="root"); ]] .. subject)
      helper.keep(conn:start_tls(with(way[2], { ca_file = root })))
      assert.equal("client.example", peer:result())
    end)
  end

  it("of a server's certificate may be text, or encrypted", function()
    local server_key = helper.contents(good_key)
    local locked = made("openssl pkcs8 -topk8 -in " .. good_key .. " -passout pass:x -out OUT")
    for _, options in ipairs {
      { cert = helper.contents(good), key = server_key },
      { cert = helper.contents(good) .. server_key },
      { cert_file = good, key_file = locked, key_password = "x" },
    } do
      local listener = helper.keep(tcp.listen("127.0.0.1", 0, { tls = options }))
      local peer = helper.dial(listener:port(), [[ return c.recv_all() ]], { tls = true })
      local conn = helper.keep(listener:accept(helper.timeout))
      conn:send "hello"
      conn:shutdown()
      assert.equal("hello", peer:result())
    end
  end)

  it("of trusted certificates may be a file and text and a folder at once", function()
    local peer = helper.listen([[ c.send(b"hello") ]], { tls = "unknown_issuer" })
    local conn = helper.keep(tcp.connect_tls("localhost", peer.port, {
      ca_file = root, ca = helper.contents(helper.pem "stranger"), ca_dir = helper.certificates .. "/hashed",
      timeout = helper.timeout }))
    assert.equal("hello", conn:read_str())
  end)
end)

-- A pipe with a name, and what writes into it.
local function pipe(writer)
  local path = os.tmpname()
  os.remove(path)
  assert.equal("", helper.output("mkfifo " .. path .. " 2>&1"))
  files[#files + 1] = path
  if writer then os.execute(("(%s) > %s &"):format(writer, path)) end
  return path
end

describe("a file that is a pipe", function()
  after_each(helper.finish)

  it("is read as it comes", function()
    for _, writer in ipairs {
      "cat " .. root, "sleep 0.3; cat " .. root, ("head -c 100 %s; sleep 0.3; tail -c +101 %s"):format(root, root),
    } do
      helper.connect_tls([[ c.hold() ]], { ca_file = pipe(writer) })
      local conn = helper.connect [[ c.handshake("good"); c.hold() ]]
      helper.keep(conn:start_tls { ca_file = pipe(writer) })
    end
    local conn, peer = helper.connect_tls([[ return c.sock.getpeercert() and "known" ]],
      { cert_file = pipe("sleep 0.1; cat " .. client), key_file = pipe("sleep 0.2; cat " .. client_key) },
      { client_ca = "root" })
    assert.equal("known", peer:result())
    conn:close()
    local listener = helper.keep(tcp.listen("127.0.0.1", 0, {
      tls = { cert_file = pipe("sleep 0.1; cat " .. good), key_file = pipe("sleep 0.2; cat " .. good_key) },
    }))
    peer = helper.dial(listener:port(), [[ return c.recv_all() ]], { tls = true })
    conn = helper.keep(listener:accept(helper.timeout))
    conn:send "hello"
    conn:shutdown()
    assert.equal("hello", peer:result())
  end)

  it("is read once, also where start_tls has to send first", function()
    local conn, peer = helper.connect([[
      c.wait()
      time.sleep(0.5)
      c.recv_exactly(8 << 20)
      c.handshake("good")
      c.send(b"hello")
    ]], 0.05)
    helper.fails("timeout", "bytes sent", function() conn:send(("q"):rep(8 * 2^20)) end)
    conn:set_timeout(helper.timeout)
    local path = pipe("cat " .. root)
    peer:go()
    assert.equal("hello", helper.keep(conn:start_tls { ca_file = path }):read_str())
  end)

  it("may be what a shell gives for <(...)", function()
    local peer = helper.listen([[ c.send(b"hello") ]], { tls = "good" })
    local said, status = helper.run(([[
      local conn = require("tcp").connect_tls("localhost", %d, { ca_file = os.getenv "FILE", timeout = 3 })
      io.write(conn:read_str())
    ]]):format(peer.port), ("exec 3< <(sleep 0.1; cat %s); FILE=/dev/fd/3"):format(root), nil, "bash")
    assert.equal("hello", said)
    assert.equal(0, status)
  end)

  it("may be the system's store", function()
    local peer = helper.listen([[ c.send(b"hello") ]], { tls = "good" })
    local function run(path, timeout)
      return helper.run(([[
        local began = os.time()
        local conn, message, code = require("tcp.safe").connect_tls("localhost", %d, %s)
        io.write(conn and conn:read_str() or code .. message:match ":[^:]*$", " ", tostring(os.time() - began < 3))
      ]]):format(peer.port, timeout), "SSL_CERT_DIR= SSL_CERT_FILE=" .. path)
    end
    assert.equal("hello true", run(pipe("sleep 0.2; cat " .. root), 3))
    assert.equal("io: cannot read ca_file in time true", run(pipe(), 0.2))
  end)

  it("in a folder of trusted certificates is refused", function()
    local dir = os.tmpname()
    local hash = helper.output("ls " .. helper.certificates .. "/hashed"):match "%S+"
    helper.output(("rm %s; mkdir %s; mkfifo %s/%s"):format(dir, dir, dir, hash))
    local message = ("cannot read ca_dir '%s': %s is a pipe"):format(dir, hash):gsub("%p", "%%%0")
    local port = helper.listen("", { tls = "good" }).port
    helper.fails("io", message .. "$", function()
      tcp.connect_tls("localhost", port, { ca_dir = dir, timeout = 1 })
    end)
    local said = helper.run(([[
      io.write((select(2, require("tcp.safe").connect_tls("localhost", %d, 1))))
    ]]):format(port), "SSL_CERT_DIR=" .. dir)
    assert.matches(message .. "$", said)
    helper.output("rm -r " .. dir)
  end)

  it("without a certificate is like any other", function()
    local path = pipe "true"
    helper.fails("tls", "no PEM certificate in ca_file", function()
      tcp.connect_tls("127.0.0.1", helper.listen("", { tls = "good" }).port, { ca_file = path, timeout = 1 })
    end)
  end)

  for _, case in ipairs {
    { "that nobody writes to" }, { "that is not written to its end", "cat " .. root .. "; sleep 2" },
  } do
    it(case[1] .. " is waited for as long as the call may take", function()
      helper.takes(0.2, function() return helper.listen("", { tls = "good" }), pipe(case[2]) end, function(peer, path)
        helper.fails("io", "^connect_tls 127%.0%.0%.1:%d+: io: cannot read ca_file in time$", function()
          tcp.connect_tls("127.0.0.1", peer.port, { ca_file = path, timeout = 0.2 })
        end)
      end)
      helper.takes(0.2, function() return helper.connect("c.hold()", 0.2), pipe(case[2]) end, function(conn, path)
        helper.fails("io", "^start_tls 127%.0%.0%.1:%d+: io: cannot read ca_file in time$", function()
          conn:start_tls { ca_file = path }
        end)
      end)
      helper.takes(0.2, function() return pipe(case[2]) end, function(path)
        helper.fails("io", "^listen 127%.0%.0%.1:0: io: cannot read cert_file in time$", function()
          tcp.listen("127.0.0.1", 0, { timeout = 0.2, tls = { cert_file = path, key_file = good_key } })
        end)
      end)
    end)
  end

  for _, loop in ipairs(loops) do
    it("does not hold up others in a loop: " .. loop.name, function()
      if not loop.found then return pending(loop.name .. " is not there") end
      local peer = helper.listen("c.hold()", { tls = "good" })
      local plain = helper.listen "c.send(b'hello')"
      local come = os.tmpname()
      os.remove(come)
      -- Not written to before the other one is done.
      local writer = "for i in $(seq 300); do test -e %s && break; sleep 0.02; done; cat %s"
      local path, order = pipe(writer:format(come, root)), {}
      loop.within(function()
        helper.keep(tcp.connect_tls("127.0.0.1", peer.port, { ca_file = path, timeout = helper.timeout }))
        order[#order + 1] = "late"
      end, function()
        local conn = tcp.connect("127.0.0.1", plain.port, helper.timeout)
        order[#order + 1] = conn:read_str()
        conn:close()
        files[#files + 1] = come
        assert(io.open(come, "w")):close()
      end)
      assert.same({ "hello", "late" }, order)
    end)
  end
end)

describe("keylog", function()
  after_each(helper.finish)

  local client_code = [[
    local conn = require("tcp").connect_tls("localhost", %d, { ca_file = %q, keylog = true, timeout = 3 })
    io.write(conn:read_str())
  ]]

  it("to a pipe is refused, whether somebody reads it or not", function()
    local peer = helper.listen("c.send(b'hello')", { tls = "good" })
    for reader, why in pairs { ["true"] = "no such device or address", ["exec 3<>PATH;"] = "it is a pipe" } do
      local path = pipe()
      local said = helper.run(client_code:format(peer.port, root),
        ("%s SSLKEYLOGFILE=%s"):format(reader:gsub("PATH", path):gsub("true", "true;"), path))
      assert(said:find(("io: cannot write SSLKEYLOGFILE '%s': %s"):format(path, why), 1, true), said)
    end
    assert.equal(0, peer:count())
  end)

  it("to stderr works, whatever stderr is", function()
    local peer = helper.listen("c.send(b'hello')", { tls = "good" })
    local said = helper.run(client_code:format(peer.port, root), "SSLKEYLOGFILE=/dev/stderr")
    assert.matches("SERVER_HANDSHAKE_TRAFFIC_SECRET %x+ %x+", said)
    assert.matches("hello", said)
  end)

  it("to a stderr that nobody reads any more harms nobody", function()
    local peer = helper.listen("c.send(b'hello')", { tls = "good" })
    local out = file ""
    local path = file(("package.cpath = %q "):format(package.cpath) .. client_code:format(peer.port, root))
    helper.output(("{ sleep 0.2; env --default-signal=PIPE SSLKEYLOGFILE=/dev/stderr %s %s 2>&3 >%s; echo $? >>%s; } "
      .. "3>&1 | true; sleep 0.5"):format(helper.interpreter(), path, out, out))
    assert.equal("hello0\n", helper.contents(out))
  end)

  it("to a file that cannot be written is an error before any byte goes out", function()
    local peer = helper.listen("", { tls = "good" })
    local said, status = helper.run(([[
      local tcp = require "tcp.safe"
      local conn, message, code = tcp.connect_tls("localhost", %d, { ca_file = %q, keylog = true })
      io.write(tostring(conn), "|", message, "|", code)
    ]]):format(peer.port, root), "SSLKEYLOGFILE=/nonexistent/keys")
    assert.equal(0, status, said)
    assert.equal(("nil|connect_tls localhost:%d: io: cannot write SSLKEYLOGFILE '/nonexistent/keys': "
      .. "no such file or directory|io"):format(peer.port), said)
    assert.equal(0, peer:count())
  end)
end)

describe("ciphers and ciphersuites", function()
  after_each(helper.finish)

  it("choose what is spoken", function()
    for _, case in ipairs {
      { "1.2", { ciphers = "ECDHE-ECDSA-AES128-GCM-SHA256" }, "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256" },
      { "1.2", { ciphers = "ECDHE-ECDSA-CHACHA20-POLY1305" }, "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256" },
      { "1.3", { ciphersuites = "TLS_AES_128_GCM_SHA256" }, "TLS_AES_128_GCM_SHA256" },
      { "1.3", { ciphersuites = "TLS_CHACHA20_POLY1305_SHA256" }, "TLS_CHACHA20_POLY1305_SHA256" },
    } do
      local conn, peer = helper.connect_tls([[ return c.sock.cipher()[0] ]], case[2], { version = case[1] })
      assert.equal(case[3], conn:info().tls.cipher)
      local _, given = next(case[2])
      assert.equal(given, peer:result())
    end
  end)
end)
