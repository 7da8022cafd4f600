-- check.lua CASES: verifies the chains of the file CASES, a JSON list, by connecting to a server or
-- by serving a client. Prints a line of JSON for each: what came of it, and how long it took.
--
-- The other end speaks TLS up to its certificates, and then sends the alert internal_error: that
-- this alert is the failure means that the chain was accepted.

local tcp = require "tcp.safe"

local file = assert(io.open((assert(arg[1])), "rb"))
local cases = assert(tcp.json.decode(file:read "*a"))
file:close()

local timeout = 20
io.stdout:setvbuf "line"

local function connect(case)
  return tcp.connect_tls("127.0.0.1", case.port, {
    server_name = case.name, ca = case.ca, partial_chain = case.partial_chain, crl = case.crl,
    timeout = timeout, max_version = "1.2",
  })
end

local function serve(case)
  local listener, message, code = tcp.listen("127.0.0.1", 0, { timeout = timeout, tls = {
    cert_file = case.cert_file, ca = case.ca, partial_chain = case.partial_chain, max_version = "1.2",
  } })
  if not listener then return nil, message, code end
  print(tcp.json.encode { port = listener:port() })
  local conn = assert(listener:accept(timeout))
  listener:close()
  local value
  value, message, code = conn:handshake()
  conn:close()
  return value, message, code
end

for _, case in ipairs(cases) do
  local begun = tcp.now()
  local value, message, code = (case.port and connect or serve)(case)
  print(tcp.json.encode {
    id = case.id, code = code, message = message, seconds = tcp.now() - begun, went_through = value ~= nil,
  })
end
