-- How many days a server's certificate is still good for, whether it verifies or not.
-- usage: lua examples/certificate_expiry.lua HOST PORT [WARN_DAYS [CRITICAL_DAYS]]
-- exit status: 0 good, 1 fewer than WARN_DAYS (30) left, 2 fewer than CRITICAL_DAYS (7) left, expired, or not
-- trusted, 3 there is no certificate to look at

local tcp = require "tcp.safe"

local host, port = arg[1], tonumber(arg[2])
local warn, critical = tonumber(arg[3] or 30), tonumber(arg[4] or 7)

-- Without `verify` any certificate can be read; `info` tells all the same what verification says.
local conn, message = tcp.connect_tls(host, port, { timeout = 10, verify = false })
if not conn then
  print("UNKNOWN " .. message)
  os.exit(3)
end
local tls = conn:info().tls
conn:close()

local certificate = tls.certificate
local days = math.floor((certificate.not_after - os.time()) / 86400)
local words = ("%s: %d days left, until %s, issued by %s, %s"):format(
  certificate.subject.CN or certificate.dns_names[1] or host, days,
  os.date("!%Y-%m-%d", certificate.not_after), certificate.issuer.CN or certificate.issuer.O or "?", tls.version)

if not tls.verified then
  print("CRITICAL " .. tls.verify_error .. "; " .. words)
  os.exit(2)
elseif days < critical then
  print("CRITICAL " .. words)
  os.exit(2)
elseif days < warn then
  print("WARNING " .. words)
  os.exit(1)
end
print("OK " .. words)
