-- Whether a TCP service answers, and how fast, for a monitoring system.
-- usage: lua examples/tcp_check.lua HOST PORT [TIMEOUT]
-- exit status: 0 it answers, 2 it does not, 3 the check was called wrongly

local tcp = require "tcp.safe"

local host, port, timeout = arg[1], tonumber(arg[2]), tonumber(arg[3] or 5)
if not (host and port and timeout) then
  io.stderr:write("usage: lua tcp_check.lua HOST PORT [TIMEOUT]\n")
  return os.exit(3)
end

local conn, message, code, details = tcp.connect(host, port, timeout)
if not conn then
  local phase = details and details.phase and (" (" .. details.phase .. ")") or ""
  print(("CRITICAL %s%s: %s"):format(code, phase, message))
  return os.exit(2)
end

local info = conn:info()
conn:close()
print(("OK %s:%d at %s | dns=%.4fs connect=%.4fs total=%.4fs"):format(
  host, port, info.peer.ip, info.timings.dns, info.timings.connect, info.timings.total))
