-- What the soak tests share: the servers of peer.py, and what is measured.

local support = {
  -- kB of resident memory that a test may grow by.
  most_growth = 2 * 1024,
}

local certificates = ".build/spec/certificates"

local function output(command)
  local pipe = assert(io.popen(command, "r"))
  local text = pipe:read "*a"
  pipe:close()
  return text
end

assert(os.execute("sh spec/support/make_ca.sh " .. certificates))
local peers = assert(io.popen(("exec %s tests/soak/peer.py %s"):format(os.getenv "PYTHON" or "python3", certificates)))

support.peers = peers -- they end with it
support.ports = assert((loadstring or load)(peers:read "*l"))() -- luacheck: ignore 113
support.root = certificates .. "/root.pem"

local function resident()
  local file = assert(io.open "/proc/self/status")
  local kilobytes = file:read "*a":match "VmRSS:%s*(%d+) kB"
  file:close()
  return tonumber(kilobytes)
end

-- io.popen's own pipe has two ends for a moment, so the least of some counts is it.
local function descriptors_now()
  local least = math.huge
  for _ = 1, 3 do least = math.min(least, tonumber(output "sleep 0.1; ls /proc/$PPID/fd | wc -l")) end
  return least
end

-- kB of resident memory, and descriptors.
function support.measure()
  for _ = 1, 3 do collectgarbage() end
  return resident(), descriptors_now()
end

return support
