-- Certificates with the methods of LuaSec, read from their PEM text. What a certificate proves is
-- checked by the handshake alone; these methods show what it says.

local native = ...
local der, object = native.part "der", native.part "object"
local digest = native.face.digest

local certificate = {}
local metatable = { __index = certificate, __name = "SSL:Certificate" }
function metatable.__tostring(self)
  return "X509 certificate: " .. object.address(self)
end

-- OpenSSL's long names of what stands in a name.
local names = {
  ["2.5.4.3"] = "commonName", ["2.5.4.4"] = "surname", ["2.5.4.5"] = "serialNumber",
  ["2.5.4.6"] = "countryName", ["2.5.4.7"] = "localityName", ["2.5.4.8"] = "stateOrProvinceName",
  ["2.5.4.9"] = "streetAddress", ["2.5.4.10"] = "organizationName",
  ["2.5.4.11"] = "organizationalUnitName", ["2.5.4.12"] = "title", ["2.5.4.13"] = "description",
  ["2.5.4.15"] = "businessCategory", ["2.5.4.17"] = "postalCode", ["2.5.4.41"] = "name",
  ["2.5.4.42"] = "givenName", ["2.5.4.43"] = "initials", ["2.5.4.44"] = "generationQualifier",
  ["2.5.4.46"] = "dnQualifier", ["2.5.4.65"] = "pseudonym", ["2.5.29.17"] =
    "X509v3 Subject Alternative Name", ["1.2.840.113549.1.9.1"] = "emailAddress",
  ["0.9.2342.19200300.100.1.1"] = "userId", ["0.9.2342.19200300.100.1.25"] = "domainComponent",
  ["1.3.6.1.4.1.311.20.2.3"] = "Microsoft User Principal Name",
  ["1.3.6.1.5.5.7.8.5"] = "XmppAddr", ["1.3.6.1.5.5.7.8.7"] = "SRVName",
}

-- OpenSSL's short names of signatures.
local signatures = {
  ["1.2.840.113549.1.1.5"] = "RSA-SHA1", ["1.2.840.113549.1.1.10"] = "RSASSA-PSS",
  ["1.2.840.113549.1.1.11"] = "RSA-SHA256", ["1.2.840.113549.1.1.12"] = "RSA-SHA384",
  ["1.2.840.113549.1.1.13"] = "RSA-SHA512", ["1.2.840.10045.4.1"] = "ecdsa-with-SHA1",
  ["1.2.840.10045.4.3.2"] = "ecdsa-with-SHA256", ["1.2.840.10045.4.3.3"] = "ecdsa-with-SHA384",
  ["1.2.840.10045.4.3.4"] = "ecdsa-with-SHA512", ["1.3.101.112"] = "ED25519",
  ["1.3.101.113"] = "ED448",
}

local curves = {
  ["1.2.840.10045.3.1.7"] = 256, ["1.3.132.0.34"] = 384, ["1.3.132.0.35"] = 521,
  ["1.3.132.0.10"] = 256,
}

-- The parts of a certificate (RFC 5280, section 4.1).
local function parse(bytes)
  local whole = der.list(bytes, 1, #bytes)[1]
  assert(whole.tag == 0x30, "certificate")
  local outer = der.children(bytes, whole)
  local parts = der.children(bytes, outer[1])
  -- The version is left out of the first one.
  if parts[1].tag ~= 0xA0 then
    table.insert(parts, 1, false)
  end
  local validity = der.children(bytes, parts[5])
  local self = { bytes = bytes:sub(1, whole.to), serial_number = parts[2], issuer_name = parts[4],
    subject_name = parts[6], key = parts[7], signature = der.children(bytes, outer[2])[1] }
  self.from, self.from_words = der.time(bytes, validity[1])
  self.till, self.till_words = der.time(bytes, validity[2])
  for i = 8, #parts do
    if parts[i].tag == 0xA3 then
      self.extension_list = der.children(bytes, parts[i])[1]
    end
  end
  assert(#outer == 3 and self.key and self.signature, "certificate")
  return self
end

-- What it says ------------------------------------------------------------------------------------

-- A string as `setencode` wants it.
local function text(self, value)
  local bytes = der.contents(self.parts.bytes, value)
  return self.is_utf8 and der.utf8(bytes, value.tag) or bytes
end

local function name(self, value)
  local bytes, all = self.parts.bytes, {}
  for _, set in ipairs(der.children(bytes, value)) do
    for _, pair in ipairs(der.children(bytes, set)) do
      local its = der.children(bytes, pair)
      local oid = der.oid(bytes, its[1])
      all[#all + 1] = { oid = oid, name = names[oid] or oid, value = text(self, its[2]) }
    end
  end
  return all
end

function certificate.subject(self)
  return name(self, self.parts.subject_name)
end

function certificate.issuer(self)
  return name(self, self.parts.issuer_name)
end

function certificate.serial(self)
  return der.integer(self.parts.bytes, self.parts.serial_number)
end

function certificate.notbefore(self)
  return self.parts.from_words
end

function certificate.notafter(self)
  return self.parts.till_words
end

function certificate.validat(self, time)
  time = tonumber(time) or object.expected(1, "validat", "number", time)
  return self.parts.from <= time and time <= self.parts.till
end

function certificate.pem(self)
  return der.pem("CERTIFICATE", self.parts.bytes)
end

function certificate.getsignaturename(self)
  local oid = der.oid(self.parts.bytes, self.parts.signature)
  return signatures[oid] or oid
end

function certificate.digest(self, algorithm)
  algorithm = tostring(algorithm == nil and "sha1" or object.check_text(algorithm, 1, "digest"))
  local _, bytes = digest(nil, algorithm, self.parts.bytes)
  if not bytes then
    return nil, "digest algorithm not supported (" .. algorithm .. ")"
  end
  return (bytes:gsub(".", function(each) return ("%02x"):format(each:byte()) end))
end

function certificate.setencode(self, encoding)
  encoding = tostring(object.check_text(encoding, 1, "setencode"))
  local is_utf8 = encoding:sub(1, 4) == "utf8"
  if not is_utf8 and encoding:sub(1, 3) ~= "ai5" then
    return false
  end
  self.is_utf8 = is_utf8
  return true
end

function certificate.issued()
  error("issued: tcp.luasocket verifies chains in the handshake alone", 2)
end

-- The kind of a key, and how many bits it has.
local function kind_of(bytes, algorithm, key)
  local oid = der.oid(bytes, algorithm[1])
  if oid == "1.2.840.113549.1.1.1" or oid == "1.2.840.113549.1.1.10" then
    -- One byte of a bit string says how many bits are unused.
    local numbers = der.list(bytes, key.from + 1, key.to)[1]
    local modulus = der.children(bytes, numbers)[1]
    return oid:sub(-2) == "10" and "Unknown" or "RSA", der.bits(bytes, modulus)
  elseif oid == "1.2.840.10045.2.1" then
    return "EC", curves[der.oid(bytes, algorithm[2])] or (key.to - key.from - 1) * 4
  elseif oid == "1.3.101.112" then
    return "Unknown", 256
  end
  return "Unknown", (key.to - key.from) * 8
end

function certificate.pubkey(self)
  local bytes, key = self.parts.bytes, self.parts.key
  local its = der.children(bytes, key)
  local kind, bits = kind_of(bytes, der.children(bytes, its[1]), its[2])
  return der.pem("PUBLIC KEY", der.whole(bytes, key)), kind, bits
end

-- Subject alternative names, by the kinds that LuaSec has.
local general = { [0x81] = "rfc822Name", [0x82] = "dNSName", [0x86] = "uniformResourceIdentifier" }

local function push(all, key, value, label)
  all[key] = all[key] or { name = label }
  table.insert(all[key], value)
end

local function alternative_names(self, value)
  local bytes, all = self.parts.bytes, { name = names["2.5.29.17"] }
  local _, from, to = der.read(bytes, value.from)
  for _, each in ipairs(der.list(bytes, from, to)) do
    local kind = general[each.tag]
    if kind then
      push(all, kind, der.contents(bytes, each))
    elseif each.tag == 0x87 then
      push(all, "iPAddress", der.address(der.contents(bytes, each)))
    elseif each.tag == 0xA0 then
      local its = der.children(bytes, each)
      local oid = der.oid(bytes, its[1])
      push(all, oid, text(self, der.children(bytes, its[2])[1]), names[oid] or oid)
    end
  end
  return all
end

function certificate.extensions(self)
  local bytes, all = self.parts.bytes, {}
  for _, each in ipairs(self.parts.extension_list and der.children(bytes, self.parts.extension_list) or {}) do
    local its = der.children(bytes, each)
    local oid = der.oid(bytes, its[1])
    if oid == "2.5.29.17" then
      local ok, names_of = pcall(alternative_names, self, its[#its])
      all[oid] = ok and names_of or nil
    end
  end
  return all
end

-- Loading -----------------------------------------------------------------------------------------

-- A certificate whose parts can all be read; nil where one cannot.
local function new(bytes)
  local ok, self = pcall(function()
    local made = setmetatable({ parts = parse(bytes) }, metatable)
    made:subject()
    made:issuer()
    made:pubkey()
    made:extensions()
    return made
  end)
  return ok and self or nil
end

-- The certificates of a PEM text, at most so many.
local function load_all(pem, most)
  local all = {}
  for _, body in pem:gmatch "%-%-%-%-%-BEGIN ([%u%d ]*CERTIFICATE)%-%-%-%-%-\r?\n(.-)%-%-%-%-%-END" do
    all[#all + 1] = new(der.decode(body))
    if #all == most then
      break
    end
  end
  return all
end

local x509 = { load_all = load_all }

function x509.load(pem)
  object.check_text(pem, 1, "load")
  return load_all(tostring(pem), 1)[1]
end

return x509
