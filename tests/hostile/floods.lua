-- floods.lua PROGRAM: connects to servers that flood their clients with records of little or no
-- payload (flood.c), and makes calls on each connection. No call may outlast its timeout. Run by
-- tests/hostile/run.

local clock = require("spec.support.helper").clock
local tcp = require "tcp.safe"

local program = arg[1]
local timeout = 0.15
local margin = tonumber(os.getenv "TCP_MARGIN" or 1.5) -- of a busy machine, in seconds
local certificates = ".build/spec/certificates"

local calls = {
  { timeout, function(conn) return conn:read_line() end },
  { timeout, function(conn) return conn:recv() end },
  { timeout, function(conn) return conn:send "hello\n" end },
  { timeout, function(conn) return tcp.poll({ conn }, nil, timeout) end },
  { 0, function(conn) return tcp.poll({ conn }, nil, 0) end },
  { 0, function(conn) return conn:info() end },
  { 0, function(conn) return conn:pending() end },
  { 0, function(conn) return conn:dirty() end },
  { 0, function(conn) return conn:timeout() end },
}

local failed = false
local kinds = {
  "tickets", "key_updates", "key_requests", "hello_requests", "bytes",
  "plain_requests", "plain_empty", "plain_alerts", "plain_pieces",
}
for _, kind in ipairs(kinds) do
  local peer = assert(io.popen(("exec %s %s %s/good.pem %s/good.key"):format(program, kind, certificates,
    certificates)))
  local port = tonumber(peer:read "*l":match "%d+")
  local made, longest = 0, 0
  local function measure(seconds, fn, ...)
    local before = clock()
    local value = fn(...)
    made, longest = made + 1, math.max(longest, clock() - before - seconds)
    return value
  end
  local options = { ca_file = certificates .. "/root.pem", timeout = kind:find "^plain" and timeout or 10 }
  local conn = measure(options.timeout, tcp.connect_tls, "localhost", port, options)
  if conn then
    assert(conn:read_line())
    conn:set_timeout(timeout)
    for _ = 1, 5 do
      for _, call in ipairs(calls) do measure(call[1], call[2], conn) end
    end
    conn:close()
  end
  peer:close()
  failed = failed or longest > margin
  print(("flood of %s: %d calls, the longest %.2f s past its timeout"):format(kind, made, longest))
end
os.exit(failed and 1 or 0, true)
