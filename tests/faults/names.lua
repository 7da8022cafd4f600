-- The name server is dead for a while. Lookups that time out must not leak descriptors or memory.
-- Names of /etc/hosts and addresses are found at once; once the server answers again, so are names.
-- Run by tests/faults/run, in a network namespace (spec/support/namespace.py).

local helper = require "spec.support.helper"
local tcp = require "tcp.safe"

local checks, wrong = 0, 0

local function check(what, is_so, got)
  checks = checks + 1
  if is_so then return end
  wrong = wrong + 1
  print(("names: %s: %s"):format(what, tostring(got)))
end

-- The most descriptors and bytes for resolver threads, of which there are at most 256.
local most_descriptors, most_memory = 300, 64 * 2 ^ 20

local function descriptors()
  return tonumber((helper.output "ls /proc/$PPID/fd | wc -l"))
end

local port = helper.listen("c.send(b'.')").port
local descriptors_before, memory_before = descriptors(), helper.memory "VmRSS"

local longest, codes = 0, {}
for i = 1, 2000 do
  local before = helper.clock()
  local _, message, code = tcp.connect(("host-%d.test"):format(i), port, 0.01)
  longest = math.max(longest, helper.clock() - before)
  codes[tostring(code)] = message or "a connection"
end
for code, message in pairs(codes) do check("a lookup", code == "timeout", message) end
check("the longest lookup", longest < 1, longest)
local more = descriptors() - descriptors_before
check("descriptors", more <= most_descriptors, more)
local growth = helper.memory "VmRSS" - memory_before
check("memory", growth < most_memory, growth)

for _, host in ipairs { "localhost", "127.0.0.1", "known.test" } do
  local before = helper.clock()
  local conn, message = tcp.connect(host, port, 3)
  check("meanwhile " .. host, conn and helper.clock() - before < 1, message or helper.clock() - before)
  if conn then conn:close() end
end

local server = assert(io.popen((os.getenv "PYTHON" or "python3") .. " tests/faults/name_server.py"))
assert(server:read "*l" == "ready")
-- The C library repeats its query after five seconds, twice.
local late, conn, message = helper.clock() + 25
repeat conn, message = tcp.connect("again.test", port, 1) until conn or helper.clock() > late
check("when the server answers again", conn, message)
if conn then conn:close() end
-- By then the threads that hung have an answer, or have ended.
repeat until descriptors() - descriptors_before <= 3 or helper.clock() > late
check("descriptors in the end", descriptors() - descriptors_before <= 3, descriptors() - descriptors_before)

helper.finish()
print(("%d checks of names: %d wrong"):format(checks, wrong))
os.exit(wrong == 0 and 0 or 1, false)
