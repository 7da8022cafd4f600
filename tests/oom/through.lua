-- Fails each allocation of connects through proxies, and of what ten protocols say before TLS. The
-- peers are a process of their own. See sweep.lua; run by tests/oom/run.

local tcp = require "tcp"
local support = require "support"

local ports, root = support.ports, support.root

-- What OpenSSL says when memory is short may be misleading.
local openssl = { "malloc failure", "internal error", "tls: ", "certificate: " }

-- Connects through a proxy: what comes back of a line.
local function through(url, tls)
  local headers = not url:find "^socks" and { ["X-Key"] = "a key of some length" } or nil
  local options = { timeout = 5, proxy = { url = url, tls = tls, headers = headers } }
  return function()
    local conn = tcp.connect("127.0.0.1", 9, options)
    conn:send "a line that goes to the peer and back\n"
    local line = conn:read_line()
    conn:close()
    return line
  end
end

-- The same over TLS, or with a dialogue before it.
local function greeted(port, options)
  options.timeout, options.ca_file, options.server_name = 5, root, "localhost"
  return function()
    local conn = tcp.connect_tls("127.0.0.1", port, options)
    local greeting = conn:read_json_packet()
    conn:close()
    return #greeting
  end
end

local function url(scheme, host, port)
  return ("%s://Ulrike:Sesam%%25d@%s:%d"):format(scheme, host, port)
end

local cases = {
  { "connect through CONNECT", through(url("http", "127.0.0.1", ports.connect_proxy)) },
  { "connect through SOCKS", through(url("socks5h", "127.0.0.1", ports.socks_proxy)) },
  { "connect through TLS", through(url("https", "localhost", ports.https_proxy), { ca_file = root }),
    says = { "dns: ", "malloc failure", "internal error", "tls: ", "certificate: ", "proxy: " } },
  { "connect_tls through CONNECT", greeted(9, { proxy = url("http", "127.0.0.1", ports.connect_proxy_tls) }),
    says = openssl },
}
for _, name in ipairs { "smtp", "lmtp", "imap", "pop3", "ftp", "sieve", "ldap", "postgres", "mysql", "xmpp" } do
  cases[#cases + 1] = { "starttls, " .. name, greeted(ports[name], { starttls = name }), says = openssl }
end

-- OpenSSL has caches, and resolver threads start and end.
require "sweep"(cases, { first = 8, passes = 1, blocks = 64 })
