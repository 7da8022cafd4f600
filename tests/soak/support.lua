-- What the soak tests share: their peers, and the check that memory and descriptors do not grow.

local support = {}

-- The most that resident memory may grow by, in kB.
local most_growth = 2 * 1024

local function output(command)
  local pipe = assert(io.popen(command, "r"))
  local text = pipe:read "*a"
  pipe:close()
  return text
end

local certificates = ".build/spec/certificates"
assert(os.execute("sh spec/support/make_ca.sh " .. certificates))
support.root = certificates .. "/root.pem"

-- The pipe is kept open: the peers end when it is closed.
local python = os.getenv "PYTHON" or "python3"
support.peers = assert(io.popen(("exec %s tests/soak/peer.py %s"):format(python, certificates)))
support.ports = assert((loadstring or load)(support.peers:read "*l"))() -- luacheck: ignore 113

-- Peers with which a handshake fails, and the codes that this may have. Sending to a peer that has
-- gone may give a reset.
support.failing = {
  { "stranger", { certificate = true } },
  { "other_host", { certificate = true } },
  { "expired", { certificate = true } },
  { "plain", { tls = true } },
  { "reset", { closed = true } },
  { "cut", { closed = true } },
}

support.packet = { comando = "atualizar", id = 0, valores = { 10, 20, 30 }, nome = "Conceição" }

local function resident()
  local file = assert(io.open "/proc/self/status")
  local kilobytes = file:read "*a":match "VmRSS:%s*(%d+) kB"
  file:close()
  return tonumber(kilobytes)
end

-- Reading the count through io.popen adds descriptors for a moment, so the least of some counts is
-- taken.
local function descriptors_now()
  local least = math.huge
  for _ = 1, 3 do least = math.min(least, tonumber(output "sleep 0.1; ls /proc/$PPID/fd | wc -l")) end
  return least
end

local function measure()
  for _ = 1, 3 do collectgarbage() end
  return resident(), descriptors_now()
end

-- Calls `act` ten times, and prints a line. `act` returns how much it has done. Memory and
-- descriptors must be the same after the last call as after the first; `spare` (0) descriptors may
-- differ.
function support.soak(name, act, spare)
  local begun = os.time()
  local done = act()
  local before, descriptors = measure()
  for _ = 2, 10 do done = done + act() end
  local after, descriptors_after = measure()
  local fine = after - before < most_growth and math.abs(descriptors - descriptors_after) <= (spare or 0)
  io.write(("%-42s %9d in %4d s, resident %5d kB then %+5d kB, descriptors %d then %+d%s\n"):format(
    name, done, os.time() - begun, before, after - before, descriptors, descriptors_after - descriptors,
    fine and "" or "  FAILED"))
  io.flush()
  support.has_failed = support.has_failed or not fine
end

-- Ends the process with its exit status.
function support.finish()
  os.exit(support.has_failed and 1 or 0, true)
end

return support
