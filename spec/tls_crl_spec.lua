-- `crl_file` and `crl`: lists of revoked certificates. The CA of the leaf must have one that is
-- valid today; those of other CAs count where they are there.

local authority = require "spec.support.authority"
local helper = require "spec.support.helper"
local tcp = require "tcp"
local safe = require "tcp.safe"

local trusting = helper.trusting
local list = authority.list

local root, client, client_key = helper.pem "root", helper.pem "client", helper.pem("client", "key")

-- What becomes of a connection to `good`, whose chain is good, Specs Intermediate, Specs Root.
local function connect(options, certificate, version)
  local peer = helper.listen([[ c.send(b"hello") ]], { tls = certificate or "good", version = version })
  return safe.connect_tls("localhost", peer.port, trusting(options))
end

local function is_believed(options, certificate)
  local conn, message = connect(options, certificate)
  assert(conn, message)
  assert.equal("hello", conn:read_str())
  local info = conn:info().tls
  assert.is_true(info.verified)
  conn:close()
end

-- Refused with these words; `verify = false` writes them down.
local function is_refused(words, options, certificate, version)
  local _, details = helper.fails_safely("certificate", ": certificate: " .. words .. "$",
    connect(options, certificate, version))
  assert.is_false(details.verified)
  local unverified = { verify = false }
  for name, value in pairs(options) do unverified[name] = value end
  local conn = assert(connect(unverified, certificate, version))
  local info = conn:info().tls
  assert.is_false(info.verified)
  assert.matches("^" .. words .. "$", info.verify_error)
  conn:close()
end

describe("crl_file and crl", function()
  local middle, middle_old, roots

  setup(function()
    middle = list("middle", { "rsa", "client_only" })
    middle_old = list("middle", {}, { from = "20200101000000Z", to = "20210101000000Z" })
    roots = list("root", {})
  end)

  teardown(authority.finish)
  after_each(helper.finish)

  it("let a certificate pass that no list names", function()
    is_believed { crl = middle }
    is_believed { crl_file = authority.write(middle) }
    is_believed { crl = "words before it\n" .. middle .. roots }
    is_believed { crl = roots, crl_file = authority.write(middle) }
  end)

  for _, version in ipairs { "1.2", "1.3" } do
    it("refuse one that is revoked, over TLS " .. version, function()
      is_refused("revoked on Jan  2 03:04:05 2024 GMT %('localhost'%)", { crl = middle }, "rsa", version)
      local _, _, _, details = connect({ crl = middle }, "rsa", version)
      assert.same({ "certificate_revoked", 44, "here" }, { details.alert, details.alert_number, details.from })
      assert.same({ "localhost" }, details.certificate.dns_names)
    end)
  end

  it("want a list of the leaf's issuer", function()
    is_refused("no list of 'Specs Intermediate'", { crl = roots })
    is_refused("no list of 'Specs Intermediate'", { crl = list("stranger", {}) })
    is_refused("no list of 'Specs Root'", { crl = middle }, "direct")
    is_believed({ crl = roots }, "direct")
  end)

  it("want one that is valid today", function()
    is_refused("no list of 'Specs Intermediate' that is valid today, there is one that expired on "
      .. "Jan  1 00:00:00 2021 GMT", { crl = middle_old })
    local future = list("middle", {}, { from = "20480101000000Z", to = "20490101000000Z" })
    is_refused("no list of 'Specs Intermediate' that is valid today, there is one only from "
      .. "Jan  1 00:00:00 2048 GMT on", { crl = future })
    -- One that is valid is enough, in any order.
    is_believed { crl = middle_old .. middle .. future }
    is_believed { crl = middle .. middle_old }
    is_refused("revoked on .*", { crl = middle_old .. middle }, "rsa")
  end)

  it("want one that the issuer has signed", function()
    -- Its end is the signature.
    local der, pem = authority.path(), authority.path()
    authority.run("openssl crl -in %s -outform DER -out %s", authority.write(middle), der)
    local bytes = helper.contents(der)
    local damaged = authority.write(bytes:sub(1, -2) .. string.char((bytes:byte(-1) + 1) % 256))
    authority.run("openssl crl -inform DER -in %s -out %s", damaged, pem)
    is_refused("no list of 'Specs Intermediate' that it has signed, there is one with another signature",
      { crl_file = pem })
    -- Another CA of the same name.
    local other = authority.issue("self", "/CN=Specs Intermediate",
      "basicConstraints = critical, CA:TRUE\nkeyUsage = keyCertSign, cRLSign\nsubjectKeyIdentifier = hash")
    is_refused("no list of 'Specs Intermediate'", { crl = list(other, {}) })
  end)

  it("count for other CAs of the path where they are there", function()
    local revoked = list("root", { "middle" })
    is_refused("revoked on Jan  2 03:04:05 2024 GMT %('Specs Intermediate'%)", { crl = middle .. revoked })
    -- What is there must be good.
    local expired = list("root", {}, { to = "20210101000000Z" })
    is_refused("no list of 'Specs Root' that is valid today, there is one that expired on .*",
      { crl = middle .. expired })
    -- One that is not of the path does not count.
    is_believed { crl = middle .. list("stranger", {}, { to = "20210101000000Z" }) }
  end)

  it("are not asked about what is above the end of a partial chain", function()
    local ends = { ca_file = false, ca = helper.contents(helper.pem "middle"), partial_chain = true }
    local function with(lists)
      local options = { crl = lists }
      for name, value in pairs(ends) do options[name] = value end
      return options
    end
    is_believed(with(middle))
    is_believed(with(middle .. list("root", { "middle" })))
    is_refused("revoked on .*", with(middle), "rsa")
    is_refused("no list of 'Specs Intermediate'", with(roots))
  end)

  it("are verified with the CA of a leaf that is trusted itself", function()
    local contents = helper.contents
    local leaf, ca = contents(helper.pem "good"), contents(helper.pem "middle")
    local function trusts(text, lists) return { ca_file = false, ca = text, partial_chain = true, crl = lists } end
    is_believed(trusts(leaf .. ca, middle))
    is_refused("revoked on .*", trusts(leaf .. ca, list("middle", { "good" })))
    is_refused("no list of 'Specs Intermediate'", trusts(leaf .. ca, roots))
    is_refused("no list of 'Specs Intermediate' that can be verified: its certificate must be trusted, too, see "
      .. "ca_file", trusts(contents(helper.pem "incomplete"), middle), "incomplete")
    -- Also where the list does not say whose key has signed it.
    is_refused("no list of 'Specs Intermediate' that can be verified: its certificate must be trusted, too, see "
      .. "ca_file", trusts(contents(helper.pem "incomplete"),
        list("middle", {}, { extensions = "crlNumber = DER:02:01:01" })), "incomplete")
    is_believed(trusts(leaf, middle))
  end)

  it("take their memory once, however many settings have them, and whatever a file held before", function()
    local path = authority.write "none"
    local function connect_with(lists, protocol)
      authority.write(lists, path:match "[^/]*$")
      local _, message = safe.connect_tls("127.0.0.1", 1, { crl_file = path, alpn = protocol })
      assert.matches("refused", message)
    end
    local many, before = middle:rep(4000), helper.memory "VmRSS"
    connect_with(many, "a")
    -- The new lists are parsed while the old ones are there, and malloc keeps some pages.
    local most = before + 5 * (helper.memory "VmRSS" - before)
    for turn = 1, 8 do connect_with(many .. ("\n"):rep(turn), "a") end
    for turn = 1, 8 do connect_with(many .. ("\n"):rep(8), "p" .. turn) end
    local now = helper.memory "VmRSS"
    assert(now <= most, ("%d bytes, at most %d"):format(now, most))
  end)

  it("hold for clients of a server", function()
    local function accepts(options, certificate)
      local settings = { cert_file = helper.pem "good", key_file = helper.pem("good", "key") }
      for name, value in pairs(options) do settings[name] = value end
      local listener = helper.keep(tcp.listen("127.0.0.1", 0, { tls = settings, timeout = helper.timeout }))
      local peer = helper.dial(listener:port(), [[
        c.handshake()
        try:
          return c.recv_all()
        except ssl.SSLError as error:
          return error.reason
      ]], { certificate = certificate, server_name = "localhost" })
      local conn = helper.keep(listener:accept(helper.timeout))
      local ok, message = pcall(conn.send, conn, "hello")
      if ok then conn:shutdown() end
      return peer:result(), message
    end
    local lists = list("middle", { "client_expired" })
    assert.equal("hello", (accepts({ ca_file = root, crl = lists }, "client")))
    local said, message = accepts({ ca_file = root, crl = list("middle", { "client" }) }, "client")
    assert.matches("certificate: revoked on .* %('client.example'%)$", message)
    assert.matches("CERTIFICATE_REVOKED", said)
    helper.fails("tls", ": crl_file and crl go with ca_file, ca_dir or ca, which ask for a certificate$", function()
      tcp.listen("127.0.0.1", 0, { tls = { cert_file = client, key_file = client_key, crl = lists } })
    end)
  end)

  it("hold for start_tls", function()
    local conn = helper.connect [[ c.handshake("rsa"); c.hold() ]]
    helper.fails("certificate", "^start_tls .*: certificate: revoked on ", function()
      conn:start_tls { server_name = "localhost", ca_file = root, crl = middle }
    end)
  end)

  it("hold for the way to an https proxy", function()
    local peer = helper.listen([[ c.hold() ]], { tls = "rsa" })
    local proxy = { url = "https://localhost:" .. peer.port, tls = { ca_file = root, crl = middle } }
    helper.fails("certificate", "the proxy https://localhost:%d+: revoked on ", function()
      tcp.connect("127.0.0.1", 1, { proxy = proxy, timeout = helper.timeout })
    end)
  end)

  it("may come out of a pipe, within the timeout", function()
    local pipe = authority.path "pipe"
    helper.output("mkfifo " .. pipe)
    os.execute(("(sleep 0.1; cat %s) > %s &"):format(authority.write(middle), pipe))
    is_believed { crl_file = pipe }
    local port = helper.listen("", { tls = "good" }).port
    helper.takes(0.2, function() end, function()
      helper.fails("io", ": io: cannot read crl_file in time$", function()
        tcp.connect_tls("localhost", port, trusting { crl_file = pipe, timeout = 0.2 })
      end)
    end)
  end)

  it("are read anew where the file changes", function()
    local path = authority.write(middle)
    is_believed { crl_file = path }
    authority.write(list("middle", { "good" }), path:match "[^/]*$")
    is_refused("revoked on .*", { crl_file = path })
  end)

  it("keep a session from being resumed once its certificate is revoked", function()
    local path = authority.write(middle)
    local peer = helper.listen(([[
      context = getattr(c.listener, "context", None)
      if not context:
        c.listener.context = context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(%q, %q)
      c.sock = context.wrap_socket(c.sock, server_side=True, suppress_ragged_eofs=False)
      c.send(b"resumed" if c.sock.session_reused else b"full")
      c.recv()
    ]]):format(helper.pem "good", helper.pem("good", "key")))
    local function session(options)
      local conn = helper.keep(tcp.connect_tls("localhost", peer.port, trusting(options)))
      return conn:recv(), conn:session()
    end
    local _, first = session { crl_file = path }
    assert.equal("resumed", (session { crl_file = path, session = first }))
    -- Of a profile that is less strict.
    local _, lax = session {}
    assert.equal("full", (session { crl_file = path, session = lax }))
    authority.write(list("middle", { "good" }), path:match "[^/]*$")
    helper.fails("certificate", "revoked on ", function()
      tcp.connect_tls("localhost", peer.port, trusting { crl_file = path, session = first })
    end)
  end)

  it("fail before any byte goes out where they cannot be read", function()
    local peer = helper.listen("", { tls = "good" })
    local broken = authority.write((middle:gsub("\n%w%w%w%w", "\n!!!!", 1)))
    local both = authority.write(roots .. helper.contents(broken))
    local none = authority.write(helper.contents(root))
    -- A delta that is newer must not take the place of the list that it goes with.
    local revoked, delta = list("middle", { "good" }), list("middle", {}, { from = "20220101000000Z",
      extensions = "authorityKeyIdentifier = keyid\n2.5.29.27 = critical, DER:02:01:01" })
    for _, case in ipairs {
      { { crl_file = "/nonexistent.crl" }, "io", "cannot read crl_file '/nonexistent.crl': no such file or directory" },
      { { crl_file = broken }, "tls", ("list 1 in crl_file '%s' cannot be read: bad base64 decode"):format(broken) },
      { { crl_file = both }, "tls", ("list 2 in crl_file '%s' cannot be read: bad base64 decode"):format(both) },
      { { crl_file = none }, "tls", ("no PEM list in crl_file '%s'"):format(none) },
      { { crl = "" }, "tls", "no PEM list in crl" },
      { { crl = revoked .. delta }, "tls", "list 2 in crl is a delta, a whole list is wanted" },
      { { crl = helper.contents(root) }, "tls", "no PEM list in crl" },
    } do
      helper.fails(case[2], ": " .. case[2] .. ": " .. case[3]:gsub("%p", "%%%0") .. "$", function()
        tcp.connect_tls("localhost", peer.port, trusting(case[1]))
      end)
    end
    assert.equal(0, peer:count())
  end)
end)
