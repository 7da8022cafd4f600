-- loop.lua LOOP SECONDS: a long life in a loop of luv or cqueues: coroutines that exchange packets over TCP and
-- over TLS, connect anew, run out of time, are refused, fail a handshake, are closed while they wait. After
-- the first tenth of the time, resident memory must not grow by 2 MB, and descriptors not at all. Prints
-- a line; run by scripts/soak.

local name, seconds = arg[1], tonumber(arg[2])
local library = require(name)
local safe = require "tcp.safe"

package.path = "tests/soak/?.lua;" .. package.path
local support = require "support"

local COROUTINES = 24

local ports = support.ports
local plain, trusting = { timeout = 10 }, { timeout = 10, ca_file = support.root }
local short = { timeout = 0.02, connect_timeout = 10 }

local listener = safe.listen("127.0.0.1", 0)
local closed_port = listener:port()
listener:close()

local counts = {}
local function count(what)
  counts[what] = (counts[what] or 0) + 1
end

local function fails(code, ok, message, got)
  if ok or got ~= code then error(("%s expected: %s"):format(code, tostring(message)), 0) end
  count(code)
end

-- Twenty packets there and back, over this connection.
local function exchange(conn)
  for i = 1, 20 do
    assert(conn:write_json_packet { id = i, nome = "Conceição" })
    local answer = assert(conn:read_json_packet())
    assert(answer.id == i and answer.nome == "Conceição", "another packet")
    count "packets"
  end
end

-- What a coroutine does again and again, each by its turn.
local doings = {
  function()
    local conn = assert(safe.connect("127.0.0.1", ports.echo, plain))
    exchange(conn)
    conn:close()
  end,
  function()
    local conn = assert(safe.connect_tls("localhost", ports.echo_tls, trusting))
    exchange(conn)
    -- Left to the collector.
  end,
  function()
    local conn = assert(safe.connect("127.0.0.1", ports.echo, short))
    fails("timeout", conn:recv())
    conn:close()
  end,
  function() fails("refused", safe.connect("127.0.0.1", closed_port, plain)) end,
  function() fails("certificate", safe.connect_tls("127.0.0.1", ports.stranger, trusting)) end,
}

local ends, running, failure

-- Another coroutine closes what this one waits for.
local waiting
doings[#doings + 1] = function()
  if waiting then
    local conn = waiting
    waiting = nil
    conn:close()
    return
  end
  local conn = assert(safe.connect("localhost", ports.echo, plain))
  waiting = conn
  local ok, message, code = conn:recv()
  if code ~= "closed" and code ~= "timeout" then fails("closed", ok, message, code) end
  if waiting == conn then waiting = nil end
  conn:close()
  count "closed while waiting"
end

local function life(first)
  return function()
    local i = first
    while os.time() < ends and not failure do
      local ok, message = pcall(doings[i % #doings + 1])
      if not ok then failure = message end
      i = i + 1
    end
    running = running - 1
  end
end

local runners = {
  luv = function(bodies)
    for _, body in ipairs(bodies) do coroutine.wrap(body)() end
    library.run()
  end,
  cqueues = function(bodies)
    local loop = library.new()
    for _, body in ipairs(bodies) do loop:wrap(body) end
    assert(loop:loop())
  end,
}

local function run(time)
  local bodies = {}
  ends, running = os.time() + time, COROUTINES
  for i = 1, COROUTINES do bodies[i] = life(i) end
  safe.use(name)
  runners[name](bodies)
  safe.use(nil)
  if failure then error(failure, 0) end
  assert(running == 0, "a coroutine was forgotten")
end

run(math.ceil(seconds / 10))
local memory, descriptors = support.measure()
run(seconds - math.ceil(seconds / 10))
local memory_after, descriptors_after = support.measure()

local what = {}
for each, number in pairs(counts) do what[#what + 1] = number .. " " .. each end
table.sort(what)
print(("%s, %d s: %s; %d kB, %+d kB, %+d descriptors"):format(
  name, seconds, table.concat(what, ", "), memory_after, memory_after - memory, descriptors_after - descriptors))
assert(memory_after - memory < support.most_growth, "memory has grown")
assert(descriptors_after == descriptors, "descriptors have grown")
