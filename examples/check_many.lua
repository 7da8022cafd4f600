-- Checks many hosts at once, as a monitoring plugin: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.
-- usage: lua examples/check_many.lua [AT ONCE (100)] < LIST
-- A line of the list is HOST PORT, then what else to check: "tls" (the certificate holds, and for how
-- long), "ping" (a JSON packet is answered by one with status = "ok"), or both. CA_FILE in the
-- environment names certificates to trust in place of the system's. A line that is none of this is UNKNOWN,
-- before anything is checked: a host that is left out by mistake would seem to be well.
local tcp = require "tcp.safe"

local OK, WARNING, CRITICAL = 0, 1, 2
local names = { [0] = "OK", "WARNING", "CRITICAL", "UNKNOWN" }
local DAYS, TIMEOUT = 14, 5 -- a certificate that ends sooner is a warning; seconds to connect, and for an answer
local checks = { [""] = true, tls = true, ping = true, ["tls ping"] = true, ["ping tls"] = true }

local function finish(state, text)
  print(("%s - %s"):format(names[state], text))
  os.exit(state)
end

local function check(host, port, what)
  local connect = what:find "tls" and tcp.connect_tls or tcp.connect
  local conn, why = connect(host, port, { timeout = TIMEOUT, ca_file = what:find "tls" and os.getenv "CA_FILE" or nil })
  if not conn then return CRITICAL, why end
  local info, state, text = conn:info(), OK, ""
  if info.tls then
    local days = math.floor((info.tls.certificate.not_after - os.time()) / 86400)
    if days < DAYS then state = WARNING end
    text = (", certificate for %d days"):format(days)
  end
  if what:find "ping" then
    local sent, failure = conn:write_json_packet { action = "ping" }
    local answer = sent
    if sent then answer, failure = conn:read_json_packet() end
    local status = type(answer) == "table" and answer.status
    if answer == nil then
      state, text = CRITICAL, ", " .. failure
    elseif status ~= "ok" then
      state, text = WARNING, ", status " .. tostring(status)
    end
  end
  conn:close()
  return state, ("%.0f ms%s"):format(info.timings.total * 1000, text)
end

local at_once = tonumber(arg[1] or 100)
if not at_once or at_once < 1 or at_once % 1 ~= 0 then finish(3, "usage: check_many.lua [AT ONCE] < LIST") end
local hosts = {}
for line in io.lines() do
  local entry = line:gsub("#.*", ""):gsub("%s+", " ")
  local host, port, what = entry:match "^ ?(%S+) (%d+) ?(.-) ?$"
  if host and tonumber(port) >= 1 and tonumber(port) <= 65535 and checks[what] then
    hosts[#hosts + 1] = { name = host, port = tonumber(port), what = what }
  elseif entry:find "%S" then
    finish(3, "not HOST PORT [tls] [ping]: " .. line)
  end
end
if not hosts[1] then finish(3, "no hosts on stdin") end

local done, worst = 0, OK
local _, errors = tcp.map(hosts, function(host)
  host.state, host.text = check(host.name, host.port, host.what)
  done, worst = done + 1, math.max(worst, host.state)
  io.stderr:write(("\r%d of %d checked"):format(done, #hosts))
end, { concurrency = at_once })
io.stderr:write "\n"
local _, why = next(errors)
if why then finish(3, tostring(why)) end

local counts = { [0] = 0, 0, 0 }
for _, host in ipairs(hosts) do
  counts[host.state] = counts[host.state] + 1
end
print(("%s - %d hosts: %d ok, %d warnings, %d critical"):format(
  names[worst], #hosts, counts[OK], counts[WARNING], counts[CRITICAL]))
for _, host in ipairs(hosts) do
  print(("%-8s %-30s %s"):format(names[host.state], host.name .. ":" .. host.port, host.text))
end
os.exit(worst)
