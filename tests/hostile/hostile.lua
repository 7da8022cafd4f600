-- hostile.lua SEED COUNT: connects COUNT times to servers that misbehave at random (peer.py), and
-- makes random calls on each connection. No call may outlast its timeout, and each failure has a
-- documented code and form. When all of it is repeated, neither memory nor descriptors grow. SEED
-- alone decides all random choices. Run by tests/hostile/run.

local clock = require("spec.support.helper").clock
local tcp = require "tcp.safe"

local seed, count = tonumber(arg[1]), tonumber(arg[2])
local timeout = 0.15
local margin = tonumber(os.getenv "TCP_MARGIN" or 1.5) -- of a busy machine, in seconds
local certificates = ".build/spec/certificates"

local codes = {}
for code in ("timeout closed refused unreachable dns address tls certificate json too_large busy io"):gmatch "%S+" do
  codes[code] = 0
end

assert(os.execute("sh spec/support/make_ca.sh " .. certificates))
local ports -- of the servers

-- A generator that gives the same numbers on every Lua.
local state
local function random(n)
  state = state * 16807 % 2147483647
  return state % n + 1
end

local long = ("y"):rep(100000)
local calls = {
  function(conn) return conn:read_str(random(2) == 1 and 10000 or nil) end,
  function(conn) return conn:read(random(20) * random(20)) end,
  function(conn) return conn:read_line(random(2) == 1 and 50 or nil) end,
  function(conn) return conn:read_until(";;", random(2) == 1 and 100 or nil) end,
  function(conn) return conn:recv(random(100)) end,
  function(conn) return conn:recv() end,
  function(conn) return conn:read_json() end,
  function(conn) return conn:read_json() end,
  function(conn) return conn:read_json_packet() end,
  function(conn) return conn:read_json_packet() end,
  function(conn) return conn:read_packet() end,
  function(conn) return conn:skip_packet() end,
  function(conn) return conn:send "hello\n" end,
  function(conn) return conn:write_json_packet { 1, "two" } end,
  function(conn) return conn:write_str(long) end,
  function(conn) return conn:flush() end,
  function(conn) return conn:shutdown() end,
  function(conn) return conn:info() end,
  function(conn) return conn:pending() end,
  function(conn) return tcp.poll({ conn }, { conn }, timeout) end,
  function(conn) return tcp.poll({ conn }, {}, 0) end,
  function(conn)
    for _ in conn:packets() do if random(10) == 1 then break end end
    return true
  end,
  function(conn)
    for _ in conn:json_values() do if random(10) == 1 then break end end
    return true
  end,
}

local failed = false
local function complain(i, text)
  failed = true
  print(("seed %d: %s"):format(seed + i - 1, text))
end

local made, longest = 0, 0

-- Makes a call and checks its result; returns its value if it succeeded.
local function check(i, name, fn, ...)
  made = made + 1
  local before = clock()
  local ok, value, message, code = pcall(fn, ...)
  local took = clock() - before
  longest = math.max(longest, took)
  if took > timeout + margin then complain(i, ("%s took %.2f s"):format(name, took)) end
  if not ok then -- from inside an iterator: a string with the same form
    value, message, code = nil, tostring(value), tostring(value):match "%S+: ([%l_]+): "
  end
  if value == nil then
    if code == nil and message == nil then return nil end -- a JSON null in an iterator, or no more items
    if not codes[code] or type(message) ~= "string" or not message:find(": " .. code .. ": .") then
      complain(i, ("%s: no documented failure: %s"):format(name, tostring(message)))
    else
      codes[code] = codes[code] + 1
    end
  end
  return value
end

local last -- the module keeps the last connection, for tcp.recv

local function play(i)
  state = (seed + i) * 7919 % 2147483646 + 1
  for _ = 1, 5 do random(2) end
  local over_tls = i % 2 == 0
  local options = { timeout = timeout, max_packet = random(2) == 1 and 4000 or nil }
  if over_tls then
    options.verify = random(3) ~= 1
    options.ca_file = certificates .. "/root.pem"
    options.close_notify = random(3) == 1 and "ignore" or nil
  end
  local connect = over_tls and tcp.connect_tls or tcp.connect
  local conn = check(i, "connect", connect, "127.0.0.1", over_tls and ports.tls or ports.plain, options)
  if not conn then return end
  last = conn
  for _ = 1, random(6) do
    local call = random(#calls)
    check(i, "call " .. call, calls[call], conn)
  end
  if not over_tls and random(4) == 1 then
    local tls = check(i, "start_tls", conn.start_tls, conn, { verify = false })
    if tls then tls:close() end
  end
  if random(3) ~= 1 then conn:close() end -- or the collector does
end

-- Reading the count through io.popen adds descriptors for a moment, so the least of some counts is
-- taken.
local function descriptors_now()
  local least = math.huge
  for _ = 1, 3 do
    local pipe = assert(io.popen("sleep 0.1; ls /proc/$PPID/fd | wc -l", "r"))
    least = math.min(least, tonumber(pipe:read "*a"))
    pipe:close()
  end
  return least
end

local function measure()
  if last then last:close() end
  last = nil
  for _ = 1, 3 do collectgarbage() end
  local file = assert(io.open "/proc/self/status")
  local resident = tonumber(file:read "*a":match "VmRSS:%s*(%d+) kB")
  file:close()
  return resident, descriptors_now()
end

local function play_all()
  local peers = assert(io.popen(("exec %s tests/hostile/peer.py %s %d"):format(os.getenv "PYTHON" or "python3",
    certificates, seed)))
  ports = assert((loadstring or load)(peers:read "*l"))() -- luacheck: ignore 113
  for i = 1, count do play(i) end
  local resident, descriptors = measure()
  peers:close()
  return resident, descriptors
end

local resident, descriptors = play_all()
local resident_after, descriptors_after = play_all()
if resident_after - resident >= 2 * 1024 then
  complain(1, ("resident memory: %d kB, then %d"):format(resident, resident_after))
end
if descriptors_after ~= descriptors then
  complain(1, ("descriptors: %d, then %d"):format(descriptors, descriptors_after))
end

local words = {}
for code, times in pairs(codes) do if times > 0 then words[#words + 1] = code .. " " .. times end end
table.sort(words)
print(("%d servers, twice, %d calls, the longest %.2f s; resident %d kB then %+d; failures: %s"):format(
  count, made, longest, resident, resident_after - resident, table.concat(words, ", ")))
os.exit(failed and 1 or 0, true)
