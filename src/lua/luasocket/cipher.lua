-- What LuaSec tells of a cipher, from its name in the registry of IANA; and OpenSSL's words for the
-- result of a verification.

local cipher = {}

-- How much of each key there is, and what OpenSSL calls the cipher.
local encryptions = {
  AES_128_GCM = { "AES128-GCM", "AESGCM(128)", 128 }, AES_256_GCM = { "AES256-GCM", "AESGCM(256)", 256 },
  AES_128_CBC = { "AES128", "AES(128)", 128 }, AES_256_CBC = { "AES256", "AES(256)", 256 },
  AES_128_CCM = { "AES128-CCM", "AESCCM(128)", 128 }, AES_256_CCM = { "AES256-CCM", "AESCCM(256)", 256 },
  CHACHA20_POLY1305 = { "CHACHA20-POLY1305", "CHACHA20/POLY1305(256)", 256 },
  CAMELLIA_128_CBC = { "CAMELLIA128", "Camellia(128)", 128 },
  CAMELLIA_256_CBC = { "CAMELLIA256", "Camellia(256)", 256 },
  ARIA_128_GCM = { "ARIA128-GCM", "ARIAGCM(128)", 128 }, ARIA_256_GCM = { "ARIA256-GCM", "ARIAGCM(256)", 256 },
}

-- The key exchanges, and who is authenticated by what.
local exchanges = {
  ECDHE_RSA = { "ECDHE-RSA-", "ECDH", "RSA" }, ECDHE_ECDSA = { "ECDHE-ECDSA-", "ECDH", "ECDSA" },
  DHE_RSA = { "DHE-RSA-", "DH", "RSA" }, RSA = { "", "RSA", "RSA" },
  PSK = { "PSK-", "PSK", "PSK" }, ECDHE_PSK = { "ECDHE-PSK-", "ECDHEPSK", "PSK" },
}

local function split(name)
  for encryption, its in pairs(encryptions) do
    local before, after = name:match("^TLS_(.-)_?" .. encryption .. "_?(.*)$")
    if before then
      return before:gsub("_WITH$", ""), its, after
    end
  end
end

-- The table of `info`; nil where there is no cipher yet.
function cipher.describe(name, version)
  if not name then
    return nil
  end
  local before, its, mac = split(name)
  local all = { protocol = version, cipher = name, export = false }
  if not its then
    return all
  end
  local is_sealed = its[1]:find "%-" ~= nil
  all.bits, all.algbits, all.encryption = its[3] + 0.0, its[3] + 0.0, its[2]
  all.mac = is_sealed and "AEAD" or (mac:gsub("^SHA$", "SHA1"))
  local exchange = exchanges[before]
  if exchange then
    local short = exchange[1] .. its[1]
    if its[1] ~= "CHACHA20-POLY1305" and mac ~= "" then
      short = short .. "-" .. mac
    end
    all.cipher, all.key, all.authentication = short, exchange[2], exchange[3]
  elseif before == "" then
    all.key, all.authentication = "any", "any"
  end
  return all
end

-- X509_verify_cert_error_string of the codes that are seen.
local verified = {
  [2] = "unable to get issuer certificate", [7] = "certificate signature failure",
  [9] = "certificate is not yet valid", [10] = "certificate has expired",
  [18] = "self-signed certificate", [19] = "self-signed certificate in certificate chain",
  [20] = "unable to get local issuer certificate", [21] = "unable to verify the first certificate",
  [23] = "certificate revoked", [24] = "invalid CA certificate", [26] = "unsuitable certificate purpose",
  [27] = "certificate not trusted", [28] = "certificate rejected", [66] = "EE certificate key too weak",
}

-- This module's own words begin with what happened, where there is no code.
local beginnings = {
  { "^self%-signed certificate", 18 }, { "^unknown issuer: self%-signed root", 19 },
  { "^unknown issuer", 20 }, { "^expired", 10 }, { "^not yet valid", 9 },
}

function cipher.verify_words(code, why)
  if not code then
    for _, each in ipairs(beginnings) do
      if why:find(each[1]) then
        code = each[2]
      end
    end
  end
  return verified[code] or why
end

return cipher
