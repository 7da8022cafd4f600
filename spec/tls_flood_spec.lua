-- Peers that flood a connection with records of little or no payload (tests/hostile/flood.c): no
-- call outlasts its timeout, and an event loop goes on.

local helper = require "spec.support.helper"
local loops = require "spec.support.loops"
local tcp = require "tcp"
local safe = require "tcp.safe"

-- Seconds that a call may take beyond its timeout, on a busy machine.
local MARGIN = 1

-- The timeout of a call, in seconds. It is short, since a flood keeps two processors busy.
local TIME = 0.05

-- How often a call meets the flood.
local ROUNDS = helper.is_quick and 1 or 2

local program = ".build/spec/flood"

-- Whether the peer could be built.
local function is_built()
  local said = helper.output("{ test " .. program .. " -nt tests/hostile/flood.c"
    .. " || { cc -O2 -o " .. program .. ".$$ tests/hostile/flood.c"
    .. " $(pkg-config --cflags --libs openssl 2>/dev/null || echo -lssl -lcrypto) 2>&1"
    .. " && mv " .. program .. ".$$ " .. program .. "; }; } && echo built")
  return said:find "built\n$" ~= nil
end

-- A server that floods its clients.
local function flooding(kind)
  return helper.program(("%s %s %s %s"):format(program, kind, helper.pem "good", helper.pem("good", "key")),
    { ready = "^port ([0-9]+)" })
end

-- How long it takes, in seconds.
local function took(fn, ...)
  local before = helper.clock()
  fn(...)
  return helper.clock() - before
end

-- A connection in whose buffers the flood waits.
local function flooded(kind, module)
  local options = { ca_file = helper.pem "root", timeout = 10 }
  local conn = helper.keep((module or tcp).connect_tls("localhost", flooding(kind).port, options))
  assert.equal("ready", conn:read_line())
  conn:set_timeout(TIME)
  return conn
end

-- No call on this connection of `tcp.safe` outlasts its timeout, TIME.
local function keeps_time(conn)
  local longest = {}
  local function within(seconds, name, ...)
    local late = took(conn[name], conn, ...) - seconds
    if late > MARGIN then longest[name] = late end
  end
  for _ = 1, ROUNDS do
    local late = took(tcp.poll, { conn }, nil, 0)
    if late > MARGIN then longest.poll = late end
    for _, name in ipairs { "info", "pending", "dirty", "timeout", "session" } do within(0, name) end
    within(TIME, "read_line")
    within(TIME, "recv")
    within(TIME, "send", "x")
  end
  assert.same({}, longest)
end

local sleep = {}

function sleep.cqueues(cqueues, seconds) cqueues.sleep(seconds) end

function sleep.luv(uv, seconds)
  local thread, timer = coroutine.running(), uv.new_timer()
  timer:start(seconds * 1000, 0, function()
    timer:close()
    assert(coroutine.resume(thread))
  end)
  coroutine.yield()
end

-- With what `prepare` gives in one coroutine of a loop, another one has its turns.
local function goes_on_in_loops(what, prepare)
  for _, name in ipairs { "cqueues", "luv" } do
    it(what .. " does not stop the others in " .. name, function()
      local loop = loops[name]
      if not loop.found then return pending(name .. " is not here") end
      local act, longest, turns, is_over = prepare(), 0, 0, false
      loop.within(function()
        act()
        is_over = true
      end, function()
        local before = helper.clock()
        while not is_over do
          sleep[name](loop.library, TIME / 5)
          local now = helper.clock()
          longest, turns, before = math.max(longest, now - before), turns + 1, now
        end
      end)
      assert(turns >= 3, ("%d turns"):format(turns))
      assert(longest < TIME / 5 + MARGIN, ("%.3f s without a turn"):format(longest))
    end)
  end
end

describe("a peer that floods with", function()
  if not is_built() then
    helper.excuse "a C compiler, and OpenSSL's headers"
    pending("floods: a C compiler is not there")
    return
  end

  after_each(helper.finish)

  for _, case in ipairs(helper.some {
    { "session tickets", "tickets" },
    { "key updates", "key_updates" },
    { "key updates that ask for one", "key_requests" },
    { "hello requests, over TLS 1.2", "hello_requests" },
  }) do
    local what, kind = case[1], case[2]

    it(what .. " makes no call outlast its timeout", function() keeps_time(flooded(kind, safe)) end)

    it(what .. " is not taken for something to read", function()
      local conn = flooded(kind)
      for _ = 1, ROUNDS do
        local before = helper.clock()
        assert.same({}, (tcp.poll({ conn }, nil, TIME)))
        local late = helper.clock() - before - TIME
        assert(late < MARGIN, ("%.3f s late"):format(late))
      end
    end)

    goes_on_in_loops(what, function()
      local conn = flooded(kind, safe)
      return function() conn:read_line() end
    end)
  end

  it("records of one byte makes no call outlast its timeout", function() keeps_time(flooded("bytes", safe)) end)

  for _, case in ipairs(helper.some {
    { "hello requests", "plain_requests", "timeout", "TLS handshake" },
    { "records without a byte", "plain_empty", "tls", "handshake failed: record too small" },
    { "warnings", "plain_alerts", "tls", "handshake failed: too many warn alerts" },
    { "a certificate in pieces of one byte", "plain_pieces", "tls", "handshake failed: length mismatch" },
  }) do
    local what, kind, code, detail = case[1] .. " in the middle of the handshake", case[2], case[3], case[4]

    it(what .. " makes no handshake outlast its timeout", function()
      local port = flooding(kind).port
      local timeout = code == "timeout" and 0.2 or helper.timeout
      local late = took(function()
        helper.fails_safely(code, detail, safe.connect_tls("localhost", port, timeout))
      end) - timeout
      assert(late < MARGIN, ("%.3f s late"):format(late))
    end)

    goes_on_in_loops(what, function()
      local port = flooding(kind).port
      return function()
        local till = helper.clock() + TIME
        repeat safe.connect_tls("localhost", port, TIME) until helper.clock() > till
      end
    end)
  end

  it("one hello request is not blamed for an end that comes after more payload", function()
    local conn = helper.keep(safe.connect_tls("localhost", flooding "hello_request".port,
      { ca_file = helper.pem "root", timeout = 10 }))
    assert.equal("ready", conn:read_line())
    assert.equal("more", conn:read_line())
    helper.fails_safely("closed", "end of stream without TLS close_notify$", conn:read_line())
  end)

  for _, kind in ipairs { "key_updates", "key_requests" } do
    it("messages after the handshake make no call of a server outlast its timeout: " .. kind, function()
      local listener = helper.keep(safe.listen("127.0.0.1", 0, { timeout = 10,
        tls = { cert_file = helper.pem "good", key_file = helper.pem("good", "key") } }))
      local client = io.popen(("exec %s %s %d"):format(program, kind, listener:port()), "r")
      local conn = helper.keep(listener:accept())
      assert.equal("ready", conn:read_line())
      conn:set_timeout(TIME)
      keeps_time(conn)
      conn:close()
      client:close()
    end)
  end
end)
