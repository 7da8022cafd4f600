-- Whether a mail server offers TLS, and how good it is: SMTP until after STARTTLS.
-- usage: lua examples/smtp_starttls.lua HOST [PORT]

local tcp = require "tcp"

local host, port = assert(arg[1], "which host?"), assert(tonumber(arg[2] or 25))
local conn = tcp.connect(host, port, 10)

-- Sends a command, and reads an answer: lines "250-..." and a last one "250 ...".
local function ask(command, expected)
  if command then conn:send(command, "\r\n") end
  local lines = {}
  repeat
    local line = conn:read_line(1000)
    lines[#lines + 1] = line
  until line:sub(4, 4) ~= "-"
  local answer = table.concat(lines, "\n")
  if answer:sub(1, 3) ~= expected then error((command or "greeting") .. ": " .. answer, 0) end
  return answer
end

ask(nil, "220")
if not ask("EHLO localhost", "250"):upper():find "STARTTLS" then
  print(host .. " offers no TLS")
  os.exit(2)
end
ask("STARTTLS", "220")
conn = conn:start_tls() -- verified for `host`; throws if that fails
ask("EHLO localhost", "250")

local tls = conn:info().tls
local certificate = assert(tls.certificate)
print(("%s: %s, %s, certificate good until %s"):format(
  host, tls.version, tls.cipher, os.date("!%Y-%m-%d", certificate.not_after)))
ask("QUIT", "221")
conn:close()
