-- loop.lua LOOP SECONDS: a long life in a loop, cqueues, luv or run (tasks of tcp.run): for so
-- long, forty coroutines at once exchange packets over TCP and TLS, connect, accept, fail, time
-- out, are closed while they wait, and are abandoned. In ten rounds, after each of which all have
-- ended: after the first, resident memory must not grow by 2 MB, and descriptors not at all. Prints
-- a line; run by scripts/soak.

local tcp = require "tcp"
local safe = require "tcp.safe"

local support = dofile "tests/soak/support.lua"

local name, seconds = arg[1], tonumber(arg[2])
local ports = support.ports
local plain = { timeout = 10 }
local trusting = { timeout = 10, ca_file = support.root }
local unpack = table.unpack or unpack -- luacheck: ignore 143

local library = name ~= "run" and require(name)
local loops = {}

-- Runs functions as coroutines until all have ended; an error ends the process.
function loops.cqueues(bodies)
  local loop = library.new()
  for _, body in ipairs(bodies) do loop:wrap(body) end
  assert(loop:loop())
end

function loops.luv(bodies)
  for _, body in ipairs(bodies) do coroutine.wrap(body)() end
  library.run()
end

function loops.run(bodies)
  tcp.run(function()
    for _, body in ipairs(bodies) do tcp.spawn(body) end
  end)
end

local run = assert(loops[name], "cqueues, luv or run")

local function expect(code, value, message, got)
  if value or got ~= code then error(("%s expected, got %s"):format(code, tostring(message))) end
end

local over, done = 0, 0

-- Repeats `act` until the round is over, with its count. A coroutine that ran only once was
-- starved.
local function meanwhile(act, ...)
  local times = 0
  while os.time() < over do
    act(times, ...)
    times, done = times + 1, done + 1
  end
  assert(times > 1, "the others have left no turn")
end

-- What the coroutines do. -------------------------------------------------------------------------

-- Exchanges twenty packets.
local function exchange(times, conn)
  for i = 1, 20 do
    local id = times * 20 + i
    conn:write_json_packet { id = id, valores = support.packet.valores, nome = support.packet.nome }
  end
  for i = 1, 20 do
    local answer = conn:read_json_packet()
    if answer.id ~= times * 20 + i or answer.nome ~= support.packet.nome then error "another packet" end
  end
end

local function packets()
  local conn = tcp.connect("127.0.0.1", ports.echo, plain)
  meanwhile(exchange, conn)
  conn:close()
end

local function packets_over_tls()
  local conn = tcp.connect_tls("127.0.0.1", ports.echo_tls, trusting)
  meanwhile(exchange, conn)
  conn:close()
end

-- Every other connection is closed, the rest are left to the collector.
local function finish(times, conn)
  if #conn:read_json_packet() ~= 3 then error "another packet" end
  if times % 2 == 0 then conn:close() end
end

local function connects()
  meanwhile(function(times)
    finish(times, tcp.connect(times % 10 == 0 and "localhost" or "127.0.0.1", ports.greet, plain))
  end)
end

local function tls_connects()
  meanwhile(function(times) finish(times, tcp.connect_tls("127.0.0.1", ports.greet_tls, trusting)) end)
end

local function failures()
  meanwhile(function(times)
    local peer, codes = unpack(support.failing[times % #support.failing + 1])
    local conn, message, code = safe.connect_tls("127.0.0.1", ports[peer], trusting)
    if conn or not codes[code] then error(peer .. ": " .. tostring(message)) end
  end)
end

local function refusals()
  meanwhile(function() expect("refused", safe.connect("127.0.0.1", ports.refusing, 10)) end)
end

local function timeouts()
  local quiet = safe.connect("127.0.0.1", ports.echo, 10)
  quiet:set_timeout(0.002)
  meanwhile(function() expect("timeout", quiet:read(1)) end)
  quiet:close()
end

-- The coroutines at a listener: one serves, and one connects.
local listener
local function serves()
  meanwhile(function(times)
    local served = listener:accept(10)
    if served:read_str() ~= "hello" then error "something else" end
    if times % 2 == 0 then served:close() end
  end)
  listener:close()
  listener = nil
end

local function calls()
  while listener do
    local client = safe.connect("127.0.0.1", listener:port(), 10)
    if client then
      client:send "hello"
      client:close()
    end
  end
end

-- The coroutines at a connection: one waits, and one closes it.
local has_waiter, waited_for
local function waits()
  meanwhile(function()
    waited_for = safe.connect("127.0.0.1", ports.echo, 10)
    expect("closed", waited_for:read(1))
    waited_for = nil
  end)
  has_waiter = false
end

local function closes()
  local quiet = safe.connect("127.0.0.1", ports.echo, 10)
  quiet:set_timeout(0.001)
  while has_waiter do
    quiet:read(1)
    if waited_for then waited_for:close() end
  end
  quiet:close()
end

-- A coroutine that nobody resumes any more, its connection with it: in cqueues with its loop. In
-- luv it is held until its time is up. A task goes on until it is not resumed any more.
local function abandon()
  local function body() safe.connect("127.0.0.1", ports.echo, 0.05):read(1) end
  if name == "cqueues" then
    local loop = library.new()
    loop:wrap(body)
    for _ = 1, 3 do loop:step(0) end
  elseif name == "run" then
    pcall(tcp.run, function()
      tcp.spawn(function()
        while true do pcall(body) end
      end)
      tcp.sleep(0)
      error "the end of the other"
    end)
  else
    coroutine.wrap(body)()
  end
end

local function abandons()
  local conn = tcp.connect("127.0.0.1", ports.echo, plain)
  meanwhile(function(times)
    exchange(times, conn)
    abandon()
    if times % 100 == 0 then collectgarbage() end
  end)
  conn:close()
end

local bodies = {}
for _, each in ipairs {
  { 12, packets }, { 4, packets_over_tls }, { 6, connects }, { 3, tls_connects }, { 2, failures }, { 2, refusals },
  { 4, timeouts }, { 1, serves }, { 2, calls }, { 1, waits }, { 1, closes }, { 2, abandons },
} do
  for _ = 1, each[1] do bodies[#bodies + 1] = each[2] end
end

if name ~= "run" then tcp.use(name) end
support.soak("in a loop of " .. name, function()
  over, done = os.time() + math.ceil(seconds / 10), 0
  listener, has_waiter = tcp.listen("127.0.0.1", 0), true
  run(bodies)
  tcp.connect("127.0.0.1", ports.greet, plain):close() -- the last one is kept
  return done
end)
support.finish()
