-- What `info().tls` tells of certificates: field by field what `openssl x509` prints of the same
-- file, also for a certificate that was refused.

local helper = require "spec.support.helper"
local tcp = require "tcp"
local safe = require "tcp.safe"

local trusting = helper.trusting

-- What a shell command prints.
local function output(command, ...)
  return helper.output(command:format(...))
end

-- Days since 1970 of a date (Howard Hinnant's days_from_civil).
local function days(year, month, day)
  if month <= 2 then year = year - 1 end
  local era = math.floor(year / 400)
  local of_era = year - era * 400
  local of_year = math.floor((153 * (month + (month > 2 and -3 or 9)) + 2) / 5) + day - 1
  return era * 146097 + of_era * 365 + math.floor(of_era / 4) - math.floor(of_era / 100) + of_year - 719468
end

local function seconds(text)
  local year, month, day, h, m, s = text:match "(%d+)-(%d%d)-(%d%d) (%d%d):(%d%d):(%d%d)Z"
  return days(tonumber(year), tonumber(month), tonumber(day)) * 86400 + h * 3600 + m * 60 + s
end

-- A name as `info` has it, of what stands there a line for each attribute.
local function name(text, which)
  local attributes = {}
  for key, value in text:match("\n" .. which .. "=\n(    .-\n)%f[^\n%s]"):gmatch "    ([^=\n]+)=([^\n]*)" do
    attributes[key] = attributes[key] and attributes[key] .. ", " .. value or value
  end
  return attributes
end

-- The eight groups of an IPv6 address, as OpenSSL writes them.
local function groups(address)
  local a, b, c, d = address:match "^::ffff:(%d+)%.(%d+)%.(%d+)%.(%d+)$"
  if a then return ("0:0:0:0:0:FFFF:%X:%X"):format(a * 256 + b, c * 256 + d) end
  local head, tail = address:match "^(.-)::(.*)$"
  if head then
    local _, present = (head .. ":" .. tail):gsub("%x+", "")
    address = (head .. (":0"):rep(8 - present) .. ":" .. tail):gsub("^:", ""):gsub(":$", "")
  end
  return address:upper()
end

-- The words of OpenSSL for what a key may be used for, and those of RFC 5280.
local usages = {
  ["Digital Signature"] = "digitalSignature", ["Non Repudiation"] = "nonRepudiation",
  ["Key Encipherment"] = "keyEncipherment", ["Certificate Sign"] = "keyCertSign", ["CRL Sign"] = "cRLSign",
  ["TLS Web Server Authentication"] = "serverAuth", ["TLS Web Client Authentication"] = "clientAuth",
}

-- What stands below the title of an extension, as a list; nil if there is no such title.
local function extension(text, title)
  local words = text:match("X509v3 " .. title .. ": ?[^\n]*\n +([^\n]+)\n")
  if not words then return nil end
  local all = {}
  for word in (words .. ", "):gmatch "(.-), " do all[#all + 1] = usages[word] or word end
  return all
end

-- Those of them that begin so, without that.
local function beginning(all, prefix)
  local some = {}
  for _, word in ipairs(all or {}) do
    if word:sub(1, #prefix) == prefix then some[#some + 1] = word:sub(#prefix + 1) end
  end
  return some
end

-- What OpenSSL's own program says of the first certificate of a file, in the form of `info`.
local function described(file)
  local long = output("openssl x509 -in %s -noout -text -nameopt RFC2253 -fingerprint -sha1", file)
  local names = extension(long, "Subject Alternative Name")
  local algorithm = long:match "Public Key Algorithm: (%S+)"
  local text = output("openssl x509 -in %s -serial -dates -dateopt iso_8601 -subject -issuer -fingerprint -sha256"
    .. " -nameopt utf8,sep_multiline,sname,-esc_msb -ext subjectAltName 2>/dev/null", file)
  local dns, ips = {}, {}
  for entry in text:gmatch "DNS:([^,\n]+)" do dns[#dns + 1] = entry end
  for entry in text:gmatch "IP Address:([^,\n]+)" do ips[#ips + 1] = entry end
  return {
    subject = name(text, "subject"),
    issuer = name(text, "issuer"),
    serial = text:match "serial=(%x+)\n",
    not_before = seconds(text:match "notBefore=([^\n]+)"),
    not_after = seconds(text:match "notAfter=([^\n]+)"),
    version = tonumber(long:match "Version: (%d)"),
    subject_text = long:match "Subject: ?([^\n]*)",
    issuer_text = long:match "Issuer: ?([^\n]*)",
    signature_algorithm = long:match "Signature Algorithm: (%S+)",
    public_key = {
      algorithm = algorithm,
      bits = tonumber(long:match "Public%-Key: %((%d+) bit%)" or (algorithm == "ED448" and 456 or 256)),
      curve = long:match "ASN1 OID: (%S+)",
    },
    key_usage = extension(long, "Key Usage") or false,
    extended_key_usage = extension(long, "Extended Key Usage") or false,
    is_ca = long:find "CA:TRUE" ~= nil,
    emails = beginning(names, "email:"),
    uris = beginning(names, "URI:"),
    ocsp_urls = {},
    issuer_urls = {},
    crl_urls = {},
    fingerprint_sha1 = long:match "Fingerprint=([%x:]+)\n":gsub(":", ""):lower(),
    dns_names = dns,
    ip_addresses = ips,
    fingerprint_sha256 = text:match "Fingerprint=([%x:]+)\n":gsub(":", ""):lower(),
    public_key_sha256 = output("openssl x509 -in %s -noout -pubkey | openssl pkey -pubin -outform DER"
      .. " | openssl dgst -sha256 -binary | base64 -w 0", file),
    pem = text:match "%-%-%-%-%-BEGIN CERTIFICATE.-END CERTIFICATE%-%-%-%-%-\n",
  }
end

local remembered = {}

-- Checks every field.
local function agrees(certificate, file)
  remembered[file] = remembered[file] or described(file)
  local given = {}
  for key, value in pairs(certificate) do given[key] = value end
  given.ip_addresses = {}
  for i, address in ipairs(certificate.ip_addresses) do
    given.ip_addresses[i] = address:find ":" and groups(address) or address
  end
  for field, value in pairs(remembered[file]) do
    assert.same({ [field] = value }, { [field] = given[field] or false })
    given[field] = nil
  end
  assert.same({}, given)
end

-- A file with one certificate more than those of make_ca.sh has, and its key in it; gone with the
-- test.
local made
local function make(command)
  made = os.tmpname()
  local status = output("(%s) 2>&1; echo $?", (command:gsub("OUT", made)))
  assert(status:find "0\n$", status)
  return made
end

local greeting = [[ c.send(b"hello") ]]

-- What a client knows of a server with the certificate of this file, and its key.
local function shown(certificate, key)
  local peer = helper.listen(([[
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(%q, %q)
    c.sock = context.wrap_socket(c.sock, server_side=True)
    c.send(b"hello")
  ]]):format(certificate, key or certificate))
  local conn = helper.keep(tcp.connect_tls("localhost", peer.port, { verify = false, timeout = helper.timeout }))
  local info = conn:info().tls
  assert.equal("hello", conn:read_str())
  return info
end

describe("info().tls.certificate agrees with openssl x509:", function()
  after_each(function()
    helper.finish()
    if made then
      os.remove(made)
      remembered[made], made = nil, nil
    end
  end)

  for _, case in ipairs(helper.some {
    { "ECDSA", "good" },
    { "ECDSA on another curve, and a wildcard", "p384" },
    { "RSA", "rsa" },
    { "RSA-PSS", "pss" },
    { "ECDSA on a third curve", "p521" },
    { "Ed25519", "ed25519" },
    { "Ed448", "ed448" },
    { "a hundred alternative names, addresses among them", "many" },
    { "no alternative names", "cn_only" },
    { "a wildcard", "wildcard" },
    { "a subject in UTF-8, with an attribute twice", "utf8" },
    { "dates past 2050", "far" },
    { "expired", "expired" },
    { "self-signed", "self_signed" },
  }) do
    it(case[1], function()
      local peer = helper.listen(greeting, { tls = case[2] })
      local conn = helper.keep(tcp.connect_tls("localhost", peer.port, trusting { verify = false }))
      agrees(conn:info().tls.certificate, helper.pem(case[2]))
    end)
  end

  local request = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout OUT.key -out OUT"
    .. " -subj /CN=localhost %s && cat OUT.key >>OUT && rm OUT.key"

  local names = {}
  for i = 1, 500 do names[i] = ("DNS:host-%d.many.example"):format(i) end

  for _, case in ipairs(helper.some {
    { "five hundred alternative names", "-addext subjectAltName=" .. table.concat(names, ",") },
    { "a small serial", "-set_serial 5" },
    { "a serial of an odd number of digits", "-set_serial 0x123" },
    { "the serial 0", "-set_serial 0" },
    { "the largest serial", "-set_serial 0x7f" .. ("f"):rep(38) },
    { "an attribute that OpenSSL has no name for", "-subj /CN=localhost/1.2.3.4.5=x" },
    { "a subject without anything", "-subj /", "nameless" },
    { "an explicit curve", "-pkeyopt ec_param_enc:explicit" },
    { "alternative names of other kinds", "-addext subjectAltName=email:a@b.example,URI:https://c.example/,"
      .. "RID:1.2.3.4,otherName:1.2.3.4\\;UTF8:x" },
  }) do
    it(case[1], function()
      local file = make(request:format(case[2]))
      local certificate = shown(file).certificate
      if case[3] then
        assert.same({}, certificate.subject)
        assert.same({}, certificate.issuer)
        assert.same({ "", "" }, { certificate.subject_text, certificate.issuer_text })
        assert.equal(output("openssl x509 -in %s", file), certificate.pem)
      else
        agrees(certificate, file)
      end
    end)
  end

  it("addresses, in the shortest form", function()
    local peer = helper.listen(greeting, { tls = "many" })
    local conn = helper.keep(tcp.connect_tls("localhost", peer.port, trusting { verify = false }))
    assert.same({ "192.0.2.1", "2001:db8::1", "::ffff:192.0.2.2" }, conn:info().tls.certificate.ip_addresses)
  end)

  it("each of the chain, leaf first", function()
    local peer = helper.listen(greeting, { tls = "good" })
    local conn = helper.keep(tcp.connect_tls("localhost", peer.port, trusting()))
    local info = conn:info().tls
    assert.same(info.certificate, info.chain[1])
    assert.equal(2, #info.chain)
    agrees(info.chain[1], helper.pem "good")
    agrees(info.chain[2], helper.pem "middle")
  end)
end)

describe("a certificate that was refused", function()
  after_each(helper.finish)

  for _, case in ipairs(helper.some {
    { "expired", "expired on Jun 30 12:00:00 2021 GMT" }, { "not_yet", "not yet valid" },
    { "other_host", "host name mismatch" }, { "cn_only", "host name mismatch" }, { "self_signed", "self%-signed" },
    { "unknown_issuer", "unknown issuer" }, { "incomplete", "unknown issuer" }, { "many", "host name mismatch" },
    { "client_only", "purpose" },
  }) do
    local certificate, why = case[1], case[2]

    it("is in the details: " .. certificate, function()
      local peer = helper.listen(greeting, { tls = certificate, version = "1.2" })
      local message, details = helper.fails_safely("certificate", why,
        safe.connect_tls("localhost", peer.port, trusting()))
      agrees(details.certificate, helper.pem(certificate))
      assert.same(details.certificate, details.chain[1])
      assert.is_false(details.verified)
      -- The message says the same.
      assert.is_truthy(message:find(details.verify_error, 1, true))
      assert.equal("localhost", details.server_name)
      assert.equal("TLSv1.2", details.version)
      assert.is_false(details.resumed)
    end)

    it("is in info() where verify = false: " .. certificate, function()
      local peer = helper.listen(greeting, { tls = certificate })
      for _, module in ipairs { tcp, safe } do
        local conn = helper.keep(module.connect_tls("localhost", peer.port, trusting { verify = false }))
        local info = conn:info().tls
        assert.is_false(info.verified)
        assert.matches(why, info.verify_error)
        agrees(info.certificate, helper.pem(certificate))
        assert.equal("hello", conn:read_str())
      end
    end)
  end

  it("has the chain that was sent", function()
    local peer = helper.listen(greeting, { tls = "expired" })
    local _, details = helper.fails_safely("certificate", "", safe.connect_tls("localhost", peer.port, trusting()))
    agrees(details.chain[2], helper.pem "middle")
  end)

  it("cannot make a message of several lines, or of a megabyte", function()
    local names = {}
    for i = 1, 300 do names[i] = "DNS:" .. ("x"):rep(60) .. i .. ".example" end
    local file = os.tmpname()
    local made_it = output("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
      .. " -keyout %s.key -out %s -subj '/CN=evil\n\27[31mred\r\n' -addext subjectAltName=%s 2>&1; echo $?",
      file, file, table.concat(names, ","))
    assert(made_it:find "0\n$", made_it)
    local peer = helper.listen(([[
      context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
      context.load_cert_chain(%q, %q)
      c.sock = context.wrap_socket(c.sock, server_side=True)
    ]]):format(file, file .. ".key"))
    for _, ca in ipairs { helper.pem "root", file } do
      local message = helper.fails("certificate", "",
        function() tcp.connect_tls("localhost", peer.port, trusting { ca_file = ca }) end)
      assert.is_true(#message < 500, message)
      assert.is_nil(message:find "%c", message)
    end
    os.remove(file)
    os.remove(file .. ".key")
  end)
end)

describe("with verify = false", function()
  after_each(helper.finish)

  it("a good certificate counts as verified", function()
    local peer = helper.listen(greeting, { tls = "good" })
    for _, host in ipairs { "localhost", "127.0.0.1" } do
      local info = helper.keep(tcp.connect_tls(host, peer.port, trusting { verify = false })):info().tls
      assert.is_true(info.verified)
      assert.is_nil(info.verify_error)
    end
  end)

  it("a megabyte is moved with a refused certificate all the same", function()
    local conn = helper.connect_tls([[ c.send(c.recv_exactly(1 << 20)[::-1]) ]],
      { verify = false }, { tls = "expired" })
    local data = ("0123456789abcdef"):rep(65536)
    conn:send(data)
    assert.is_true(conn:read_str() == data:reverse())
  end)
end)
