-- `tcp.certificates`: the certificates of a file, field by field what `openssl x509 -text` prints
-- of them; broken ones and hostile ones.

local helper = require "spec.support.helper"
local tcp = require "tcp"
local safe = require "tcp.safe"

local python = helper.python

local made = {}

-- The path of a file that goes with the test.
local function path(text)
  local name = os.tmpname()
  made[#made + 1] = name
  local file = assert(io.open(name, "wb"))
  file:write(text or "")
  file:close()
  return name
end

-- The path of a file with the certificates that a Python expression makes (see certificates.py).
local function make(expression)
  local name = path()
  local said = helper.output(("%s spec/support/certificates.py make %s '%s' 2>&1"):format(python, name,
    expression:gsub("'", [['\'']])))
  assert.equal("", said)
  return name
end

local function certificates(expression)
  return tcp.certificates { file = make(expression) }
end

local function clean()
  helper.finish()
  for _, name in ipairs(made) do os.remove(name) end
  made = {}
end

-- What `openssl x509` prints of the first certificate of a file.
local function printed(file, what)
  return helper.output(("openssl x509 -in %s -noout -nameopt RFC2253 %s 2>&1"):format(file, what))
end

describe("tcp.certificates", function()
  after_each(clean)

  it("reads a text, and a file", function()
    local name = helper.pem "good"
    for _, list in ipairs { tcp.certificates(helper.contents(name)), tcp.certificates { file = name },
      safe.certificates { file = name }, tcp.certificates { file = name, timeout = 1 } } do
      assert.equal(2, #list)
      assert.equal("localhost", list[1].subject.CN)
      assert.equal("CN=localhost,O=Specs", list[1].subject_text)
      assert.same({ "localhost" }, list[1].dns_names)
      assert.equal("Specs Intermediate", list[2].subject.CN)
      assert.is_true(list[2].is_ca)
    end
  end)

  it("gives the tables that info() gives", function()
    local conn = helper.connect_tls "c.hold()"
    assert.same(conn:info().tls.chain, tcp.certificates { file = helper.pem "good" })
  end)

  it("leaves out what stands between them", function()
    local good = helper.contents(helper.pem "middle")
    local key = helper.contents(helper.pem("good", "key"))
    local list = tcp.certificates("# CA\n" .. good .. "text\n" .. key .. "\r\n\r\n" .. good:gsub("\n", "\r\n") .. key)
    assert.equal(2, #list)
    assert.same(list[1], list[2])
  end)

  it("takes OpenSSL's other two labels", function()
    local list = certificates [[ pem(certificate(), "X509 CERTIFICATE") + pem(certificate(), "TRUSTED CERTIFICATE") ]]
    assert.equal(2, #list)
    assert.same(list[1], list[2])
    local file = path()
    assert.equal("", helper.output(("openssl x509 -in %s -addtrust serverAuth -trustout -out %s 2>&1"):format(
      helper.pem "root", file)))
    assert.matches("BEGIN TRUSTED", helper.contents(file))
    assert.same(tcp.certificates { file = helper.pem "root" }, tcp.certificates { file = file })
  end)

  it("tells at its place why an entry cannot be read", function()
    local good = helper.contents(helper.pem "middle")
    local broken = {
      { good:gsub("MII", "MI*"), "base64" },
      { good:gsub("%-%-%-%-%-END.*", ""), "%a" },
      { good:gsub("\nMII", "\nAAA"), "%a" },
      { "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n", "%a" },
      { "-----BEGIN CERTIFICATE-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00112233445566778899AABBCCDDEEFF\n"
        .. "\nAAAA\n-----END CERTIFICATE-----\n", "^it has a header, as an encrypted entry has$" },
    }
    for _, case in ipairs(broken) do
      local list = tcp.certificates(good .. case[1] .. good)
      assert.equal(3, #list)
      assert.same(list[1], list[3])
      assert.equal("Specs Intermediate", list[1].subject.CN)
      assert.matches(case[2], list[2].error)
      assert.is_nil(next(list[2], next(list[2])))
    end
    local all = ""
    for _, case in ipairs(broken) do all = all .. case[1] end
    for _, entry in ipairs(tcp.certificates(all)) do assert.is_string(entry.error) end
    assert.equal(#broken, #tcp.certificates(all))
  end)

  it("fails where there is none", function()
    for _, text in ipairs { "", "\0", "-----BEGIN PRIVATE KEY-----\n", "CERTIFICATE-----" } do
      helper.fails("tls", "^certificates: tls: no PEM certificate in the text$",
        function() tcp.certificates(text) end)
    end
    local name = helper.pem("good", "key")
    helper.fails_safely("tls", "no PEM certificate in file '.*good%.key'$", safe.certificates { file = name })
  end)

  it("fails where the file cannot be read", function()
    helper.fails("io", "^certificates: io: cannot read file '/nowhere/x%.pem': no such file or directory$",
      function() tcp.certificates { file = "/nowhere/x.pem" } end)
    helper.fails_safely("io", "cannot read file '/': is a directory$", safe.certificates { file = "/" })
    helper.fails_safely("io", "larger than 16777216 bytes$", safe.certificates { file = "/dev/zero" })
  end)

  it("reads a pipe to its end, in time", function()
    local fifo = os.tmpname()
    os.remove(fifo)
    made[#made + 1] = fifo
    helper.output(("mkfifo %s; (sleep 0.1; cat %s >%s) >/dev/null 2>&1 &"):format(fifo, helper.pem "good", fifo))
    assert.equal(2, #tcp.certificates { file = fifo })
    helper.fails("io", "^certificates: io: cannot read file in time$",
      function() tcp.certificates { file = fifo, timeout = 0.05 } end)
  end)

  it("takes what describes a text or a file, and nothing else", function()
    for given, why in pairs { [false] = "boolean", [1] = "number" } do
      helper.misuse("bad argument #1 to 'certificates' (string or table expected, got " .. why .. ")",
        function() tcp.certificates(given) end)
    end
    helper.misuse("bad argument #1 to 'certificates' (string or table expected, got nil)",
      function() tcp.certificates() end)
    helper.misuse("bad argument #1 to 'certificates' (option 'file' expected)",
      function() tcp.certificates {} end)
    helper.misuse("bad argument #1 to 'certificates' (unknown option 'path')",
      function() tcp.certificates { path = "x" } end)
    helper.misuse("bad argument #1 to 'certificates' (option 'file': string expected, got boolean)",
      function() tcp.certificates { file = true } end)
    helper.misuse("bad argument #1 to 'certificates' (option 'timeout': seconds over 0 expected, got 0)",
      function() tcp.certificates { file = "x", timeout = 0 } end)
  end)

  it("ends when the time is up", function()
    local name = path(helper.contents(helper.pem "good"):rep(5000))
    helper.fails("timeout", "^certificates: timeout: after %d+ certificates$",
      function() tcp.certificates { file = name, timeout = 0.05 } end)
  end)

  it("runs in a task", function()
    local fifo = os.tmpname()
    os.remove(fifo)
    made[#made + 1] = fifo
    helper.output(("mkfifo %s; (sleep 0.2; cat %s >%s) >/dev/null 2>&1 &"):format(fifo, helper.pem "good", fifo))
    local turns = 0
    local counts = tcp.map({ "read", "count" }, function(what)
      if what == "read" then return #tcp.certificates { file = fifo } end
      for _ = 1, 10 do tcp.sleep(0.01) turns = turns + 1 end
      return turns
    end)
    assert.same({ 2, 10 }, counts)
  end)
end)

describe("a certificate's fields agree with openssl x509 -text", function()
  after_each(clean)

  local count = helper.is_quick and 10 or 50
  for seed = 1, helper.is_quick and 1 or 4 do
    it("where they are random, seed " .. seed, function()
      -- Made once for all Luas, by this script and this OpenSSL.
      local folder = (".build/spec/random-%d-%d"):format(seed, count)
      local said = helper.output(([[{
        made=%s/random.json script=spec/support/certificates.py
        [ $made -nt $script ] && [ $made -nt "$(command -v openssl)" ] ||
          { rm -rf %s; %s $script random %d %d %s; }
      } 2>&1]]):format(folder, folder, python, seed, count, folder))
      assert.equal("", said)
      local expected = tcp.json.decode(helper.contents(folder .. "/random.json"))
      local given = tcp.certificates { file = folder .. "/random.pem" }
      assert.equal(count, #given)
      for i, certificate in ipairs(given) do
        for field, value in pairs(expected[i]) do
          assert.same({ [field] = value, n = i }, { [field] = certificate[field], n = i })
          certificate[field] = nil
        end
        assert.same({}, certificate)
      end
    end)
  end

  it("whatever their version", function()
    local list = certificates "[certificate(version=v) for v in (1, 2, 3, 4, 1 << 40)]"
    for i = 1, 3 do assert.equal(i, list[i].version) end
    for i = 4, 5 do assert.is_nil(list[i].version) end
    -- Who may sign is said from version 3 on.
    assert.same({ n = 3, [3] = false }, { n = 3, list[1].is_ca, list[2].is_ca, list[3].is_ca })
  end)

  it("whatever their serial", function()
    local file = make "[certificate(serial=n) for n in (0, 1, -1, -256, 1 << 159, -(1 << 159), 1 << 4000)]"
    for _, certificate in ipairs(tcp.certificates { file = file }) do
      local one = path(certificate.pem)
      assert.equal(printed(one, "-serial"):gsub("\\\n", ""), "serial=" .. certificate.serial .. "\n")
    end
  end)

  it("from 1950 to 9999", function()
    local list = certificates [[ [certificate(begin=(1950, 1, 1, 0, 0, 0), end=(9999, 12, 31, 23, 59, 59)),
      certificate(begin=(1969, 12, 31, 23, 59, 59), end=(2050, 1, 1, 0, 0, 0)),
      certificate(begin=(1949, 12, 31, 23, 59, 59), end=(2049, 12, 31, 23, 59, 59)),
      certificate(begin=tlv(23, b"no time of Z"), end=tlv(24, b"99991332235959Z"))] ]]
    assert.same({ -631152000, 253402300799 }, { list[1].not_before, list[1].not_after })
    assert.same({ -1, 2524608000 }, { list[2].not_before, list[2].not_after })
    assert.same({ -631152001, 2524607999 }, { list[3].not_before, list[3].not_after })
    -- OpenSSL 3.5 takes no certificate whose dates are none.
    if not list[4].error then
      assert.same({}, { list[4].not_before, list[4].not_after })
      assert.equal("localhost", list[4].subject.CN)
    end
  end)

  it("with names in each of ASN.1's strings", function()
    local file = make [[ certificate(subject=name(*[attribute("OU", "Padaria é", kind) for kind in
      (UTF8, T61, UNIVERSAL, BMP)], attribute("C", "BR", PRINTABLE), attribute("emailAddress", "a@b.example", IA5))) ]]
    local certificate = tcp.certificates { file = file }[1]
    assert.same({ OU = "Padaria é, Padaria é, Padaria é, Padaria é", C = "BR", emailAddress = "a@b.example" },
      certificate.subject)
    assert.equal(printed(file, "-subject"), "subject=" .. certificate.subject_text .. "\n")
    local _, equal = certificate.subject_text:gsub("OU=", "")
    assert.equal(4, equal)
  end)

  it("with attributes that stand together", function()
    local file = make [[ certificate(subject=name([attribute("CN", "a, b"), attribute("UID", "c+d")],
      attribute("O", "#x "))) ]]
    local certificate = tcp.certificates { file = file }[1]
    assert.same({ CN = "a, b", UID = "c+d", O = "#x " }, certificate.subject)
    assert.equal(printed(file, "-subject"), "subject=" .. certificate.subject_text .. "\n")
  end)
end)

describe("a hostile certificate", function()
  after_each(clean)

  -- Reads it within a second of this process's time.
  local function read(file)
    local before = os.clock()
    local list = tcp.certificates { file = file }
    local took = os.clock() - before
    assert(took < 1, took .. " s")
    return list[1]
  end

  it("keeps zero bytes in its names", function()
    local certificate = certificates [[ certificate(subject=name(attribute("CN", "good.example\0.evil")),
      extensions=[alternative_names((DNS, b"good.example\0.evil"), (EMAIL, b"\0"), (URI, b"a\xff\0"),
        (DNS, b""))]) ]][1]
    assert.equal("good.example\0.evil", certificate.subject.CN)
    assert.equal("CN=good.example\\00.evil", certificate.subject_text)
    assert.same({ "good.example\0.evil", "" }, certificate.dns_names)
    assert.same({ "\0" }, certificate.emails)
    assert.same({ "a\255\0" }, certificate.uris)
  end)

  it("lacks what cannot be described, and nothing else", function()
    local list = certificates [[ [
      certificate(subject=name(attribute("CN", b"\xff\xfe"), attribute("O", "good"))),
      certificate(subject=name(attribute("CN", b"\xd8", BMP), attribute("O", "good"))),
      certificate(subject=name(attribute("CN", b"\0bits", 3), attribute("O", "good"))),
      certificate(extensions=[alternative_names((DNS, b"a.example"), (IP, b"12345"))]),
      certificate(extensions=[alternative_names((DNS, b"a.example")), alternative_names((DNS, b"b.example"))]),
      certificate(extensions=[extension("2.5.29.15", b"\x04\x00"), extension("2.5.29.37", b"\x30\x80"),
        extension("2.5.29.19", b"\x30\x02\x01"), extension("2.5.29.31", b""), extension("1.3.6.1.5.5.7.1.1", b"x"),
        alternative_names((DNS, b"a.example"))]),
      certificate(extensions=[extension("2.5.29.15", tlv(3, b"\x07\x00\x00")), extension("2.5.29.37", sequence())]),
      certificate(key=sequence(sequence(oid("1.2.3.4.5")), tlv(3, b"\0key"))),
      certificate(key=sequence(sequence(oid("1.2.840.113549.1.1.1"), tlv(5)), tlv(3, b"\0key"))),
      certificate(key=sequence(sequence(oid("1.2.840.10045.2.1"), oid("1.2.3.4.5")), tlv(3, b"\0key"))),
    ] ]]
    -- OpenSSL reads no certificate with a name like that.
    for _ = 1, 2 do assert.matches("asn1", table.remove(list, 1).error) end
    assert.same({ O = "good" }, list[1].subject)
    assert.equal("O=good,CN=#03050062697473", list[1].subject_text)
    assert.is_nil(list[2].ip_addresses)
    assert.same({ "a.example" }, list[2].dns_names)
    assert.is_nil(list[3].dns_names)
    assert.is_nil(list[3].uris)
    for _, field in ipairs { "key_usage", "extended_key_usage", "is_ca", "crl_urls", "ocsp_urls", "issuer_urls" } do
      assert.is_nil(list[4][field], field)
    end
    assert.same({ "a.example" }, list[4].dns_names)
    assert.same({ {}, {} }, { list[5].key_usage, list[5].extended_key_usage })
    assert.same({ algorithm = "1.2.3.4.5" }, list[6].public_key)
    assert.same({ algorithm = "rsaEncryption" }, list[7].public_key)
    assert.same({ algorithm = "id-ecPublicKey", curve = "1.2.3.4.5" }, list[8].public_key)
    for i = 6, 8 do assert.is_nil(list[i].public_key_sha256) end
    for _, certificate in ipairs(list) do
      assert.is_string(certificate.fingerprint_sha256)
      assert.equal("CN=issuer", certificate.issuer_text)
    end
  end)

  it("may have a megabyte in an extension", function()
    local certificate = read(make [[ certificate(extensions=[extension("1.2.3.4", bytes(1 << 20)),
      extension("2.5.29.31", bytes(1 << 20)), alternative_names((DNS, b"a" * (1 << 20)), (URI, b"\0" * (1 << 20)))]) ]])
    assert.same({ ("a"):rep(1048576) }, certificate.dns_names)
    assert.equal(1048576, #certificate.uris[1])
    assert.is_nil(certificate.crl_urls)
  end)

  it("may have tens of thousands of names", function()
    local certificate = read(make [[ certificate(extensions=[
      alternative_names(*[(DNS, b"%d.example" % n) for n in range(30000)], *[(IP, bytes(4))] * 10000)]) ]])
    assert.equal(30000, #certificate.dns_names)
    assert.equal("29999.example", certificate.dns_names[30000])
    assert.equal(10000, #certificate.ip_addresses)
  end)

  it("may have tens of thousands of attributes", function()
    local certificate = read(make [[ certificate(subject=name(*[attribute("OU", "x")] * 40000),
      issuer=name(*[attribute("1.2.3.%d" % n, "x") for n in range(20000)])) ]])
    assert.equal(40000 * 3 - 2, #certificate.subject.OU)
    assert.equal("x", certificate.issuer["1.2.3.19999"])
  end)

  it("may have numbers without end", function()
    local certificate = read(make [[ certificate(serial=1 << 800000,
      subject=name(*[sequence(numbers, tlv(UTF8, b"x")) for numbers in
        (oid(b"*" + b"\x83" * 500 + b"\1"), oid(b"*" + b"\3" * 200000), oid(b"*" + b"\x83" * 200000 + b"\1"))]),
      signature=sequence(oid(b"*" + b"\x83" * 500 + b"\1"))) ]])
    assert.equal(200002, #certificate.serial)
    assert.same({}, certificate.subject)
    assert.is_nil(certificate.signature_algorithm)
  end)

  it("is one of many", function()
    local before = os.clock()
    local one = helper.contents(make "certificate()")
    local function count(text) return #tcp.certificates { file = path(text), timeout = 60 } end
    assert.equal(2000, count(one:rep(2000)))
    assert.equal(20000, count(("-----BEGIN CERTIFICATE-----\n"):rep(20000)))
    assert(os.clock() - before < 2)
  end)
end)
