-- How long the certificates of a server, or of a PEM file, are still good: a plugin for Nagios.
-- usage: lua examples/certificate_expiry.lua HOST PORT | FILE [WARN [CRITICAL]] [OPTION=VALUE]...
--   starttls=smtp   what the server speaks before TLS   name=NAME   the name to verify, if not HOST
--   ca=FILE         the certificates that are trusted   crl=FILE    lists of revoked certificates
--   ocsp=report     asks the server for what its CA says of revocation
-- The certificate on the path that expires first counts. Exit status: 0 good, 1 under WARN (30)
-- days, 2 under CRITICAL (7), expired, revoked or not trusted, 3 no certificate to look at.

local tcp = require "tcp.safe"

local words, options = {}, {}
for _, word in ipairs(arg) do
  local name, value = word:match "^(%l+)=(.*)$"
  if name then options[name] = value else words[#words + 1] = word end
end
local host = table.remove(words, 1)
local is_file = not words[1] or io.open(host or "")
local port = not is_file and tonumber(table.remove(words, 1))
local warning, critical = tonumber(words[1] or 30), tonumber(words[2] or 7)

local function finish(status, text)
  print(({ [0] = "OK", "WARNING", "CRITICAL", "UNKNOWN" })[status] .. " " .. text)
  return os.exit(status)
end

local path, expires, problem, rest, times = {}, math.huge, nil, "", ""
if is_file then
  local list, message = tcp.certificates { file = host or "" }
  if not list then return finish(3, message) end
  for i, each in ipairs(list) do
    problem = problem or each.error and ("certificate %d cannot be read: %s"):format(i, each.error)
    if each.not_after then path[#path + 1] = each end
    if each.not_after and each.not_after < expires then expires = each.not_after end
  end
else
  -- Without `verify` any certificate can be read; `info` tells all the same what verification says.
  local ok, conn, message = pcall(tcp.connect_tls, host, port or 0, {
    timeout = 10, verify = false, ca_file = options.ca, crl_file = options.crl, ocsp = options.ocsp,
    starttls = options.starttls, server_name = options.name,
  })
  if not ok or not conn then return finish(3, ok and message or conn) end
  ---@cast conn tcp.safe.TlsConnection
  local info = conn:info()
  conn:close()
  local tls, ocsp = info.tls, info.tls.ocsp and info.tls.ocsp.status
  path, expires, problem = tls.verified and tls.verified_chain or tls.chain, tls.expires or expires, tls.verify_error
  problem = problem or ocsp == "revoked" and "revoked, by OCSP" or nil
  rest = (", %s %s%s"):format(tls.version, tls.group or tls.cipher, ocsp and ", OCSP " .. ocsp or "")
  times = (" connect=%.3fs tls=%.3fs"):format(info.timings.connect, info.timings.tls)
end
if expires == math.huge then finish(3, problem or "no certificate with a date") end

local days, leaf, first = math.floor((expires - os.time()) / 86400), assert(path[1]), assert(path[1])
for _, each in ipairs(path) do if each.not_after == expires then first = each break end end
local key = leaf.public_key
finish((problem or days < critical) and 2 or days < warning and 1 or 0,
  ("%s%s: %d days left, until %s%s, issued by %s, %s %s%s, %s%s | days=%d;%d:;%d:%s"):format(
    problem and problem .. "; " or "", leaf.subject.CN or host, days, os.date("!%Y-%m-%d", expires),
    first == leaf and "" or " of " .. first.subject_text, leaf.issuer.CN or leaf.issuer_text, key.algorithm,
    key.bits, key.curve and " " .. key.curve or "", leaf.signature_algorithm, rest, days, warning, critical, times))
