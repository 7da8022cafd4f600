-- `tcp.debug` and TCP_DEBUG: lines that tell what connections do, to a function or on stderr, never
-- with what is sent unless that is asked for; and nothing that a script does is other for it.

local helper = require "spec.support.helper"
local loops = require "spec.support.loops"
local tcp = require "tcp"
local safe = require "tcp.safe"

local root = helper.pem "root"
local lines = {}

-- Has the lines collected from here on.
local function trace(detail)
  lines = {}
  tcp.debug(function(line) lines[#lines + 1] = line end, detail)
end

-- A line without what differs from run to run: its time and number, durations, ports.
local function plain(line)
  local rest = line:match "^tcp %d%d:%d%d:%d%d%.%d%d%dZ (.*)$"
  assert(rest, "not a line: " .. line)
  rest = rest:gsub(":%d%d%d+", ":N")
  if rest:find "^error: " then return rest end
  local told, took = rest:match "^#%d+ (.-)( %(%d+%.%d ms%).*)$"
  if not told then
    told, took = rest:match "^#%d+ (.*: begins)$", ""
  end
  assert(told, "not a line: " .. line)
  return told .. took:gsub("^ %(.- ms%)", "")
end

-- The lines so far, and none of them again.
local function told()
  local all = {}
  for i, line in ipairs(lines) do all[i] = plain(line) end
  lines = {}
  return all
end

-- The lines of such text, as a child process writes it; what else it writes must be `said`.
local function told_by(text, said)
  local all = {}
  text = text:gsub("tcp %d%d:%d%d:[^\n]*\n", function(line)
    all[#all + 1] = plain(line:sub(1, -2))
    return ""
  end)
  assert.equal(said or "", text)
  return all
end

local function run(code, before)
  local said, status = helper.run(code, before)
  assert.equal(0, status, said)
  return said
end

local function with_root(options)
  options = options or {}
  options.ca_file, options.timeout = root, options.timeout or helper.timeout
  return options
end

local function off()
  tcp.debug(false)
  helper.finish()
end

local echo = [[
  while data := c.recv(): c.send(data)
]]

describe("the trace", function()
  after_each(off)

  it("tells of a connection from its beginning to its end", function()
    trace()
    local conn = helper.connect [[ c.send(c.recv_exactly(5) + b"!") ]]
    conn:send("hello")
    assert.equal("hello!", conn:read(6))
    assert.equal("", conn:read_str())
    conn:shutdown()
    conn:close()
    conn:close()
    assert.same({
      "127.0.0.1:N connect 127.0.0.1: begins",
      "127.0.0.1:N connect 127.0.0.1: connected from 127.0.0.1:N",
      "127.0.0.1:N write: 5 bytes",
      "127.0.0.1:N read: 6 bytes",
      "127.0.0.1:N read: end of stream",
      "127.0.0.1:N shutdown: nothing more is sent",
      "127.0.0.1:N close: 6 bytes read, 5 written",
    }, told())
  end)

  it("says when, on whose side, and how long it took", function()
    trace()
    local conn = helper.connect [[
      c.recv()
      time.sleep(0.15)
      c.send(b"late")
    ]]
    local one, another = conn:info().sock.port, conn:info().peer.port
    conn:send("x")
    conn:recv()
    conn:close()
    assert(lines[2]:find(("127.0.0.1:%d connect 127.0.0.1: connected from 127.0.0.1:%d "):format(another, one),
      1, true), lines[2])
    local waited = tonumber(lines[4]:match "read: 4 bytes %((%d+%.%d) ms%)$")
    assert(waited >= 100 and waited < 1000, lines[4])
    local open = tonumber(lines[5]:match "close: .* %((%d+%.%d) ms%)$")
    assert(open >= waited, lines[5])
    local number = lines[1]:match "#%d+"
    for _, line in ipairs(lines) do assert.equal(number, line:match "#%d+") end
    local hour, minute = lines[1]:match "^tcp (%d%d):(%d%d):"
    local away = math.abs(os.date("!%H") * 60 + os.date("!%M") - (hour * 60 + minute))
    assert(away <= 1 or away == 24 * 60 - 1, lines[1])
  end)

  it("gives each connection a number of its own", function()
    trace()
    local peer = helper.listen(echo)
    local numbers = {}
    for _ = 1, 3 do
      helper.keep(tcp.connect("127.0.0.1", peer.port, helper.timeout))
      local number = lines[#lines]:match "#(%d+)"
      assert.is_nil(numbers[number])
      numbers[number] = true
    end
  end)

  it("tells of a name", function()
    trace()
    tcp.resolve("localhost", helper.timeout)
    tcp.resolve("127.0.0.1", helper.timeout)
    local all = told()
    assert.equal("localhost dns: begins", all[1])
    assert.matches("^localhost dns: .*127%.0%.0%.1", all[2])
    assert.equal(2, #all)
  end)

  it("tells of a name that does not resolve", function()
    trace()
    local name = ("a"):rep(64) .. ".invalid"
    local _, message = safe.connect(name, 80, helper.timeout)
    local why = message:match "dns: (.*)$"
    assert.same({
      name .. ":80 dns: begins",
      name .. ":80 dns: failed: " .. why,
      "error: connect " .. name .. ":80: dns: " .. why,
    }, told())
  end)

  it("tells of a port where nobody listens", function()
    trace()
    local port = helper.listen("", { listen = false }).port
    assert.is_nil(safe.connect("127.0.0.1", port, helper.timeout))
    assert.same({
      "127.0.0.1:N connect 127.0.0.1: begins",
      "127.0.0.1:N connect 127.0.0.1: failed: connection refused",
      "error: connect 127.0.0.1:N: refused: connection refused (tried 127.0.0.1)",
    }, told())
  end)

  it("tells of every address that is tried", function()
    if not helper.has_namespaces() then return pending "this machine allows no network namespaces" end
    local said = run([[
      local helper = require "spec.support.helper"
      local tcp = require "tcp"
      local peer = helper.listen [=[ c.hold() ]=]
      tcp.debug(true)
      tcp.connect("two.example", peer.port, 3)
      tcp.debug(false)
      helper.finish()
    ]], helper.namespace { "::1=two.example", "127.0.0.1=two.example" })
    assert.same({
      "two.example:N dns: begins",
      "two.example:N dns: ::1, 127.0.0.1",
      "two.example:N connect ::1: begins",
      "two.example:N connect ::1: failed: connection refused",
      "two.example:N connect 127.0.0.1: begins",
      "two.example:N connect 127.0.0.1: connected from 127.0.0.1:N",
    }, told_by(said))
  end)

  it("tells what was given up when the time ran out", function()
    helper.connect_tls("c.hold()"):close() -- trusted certificates are read once
    trace()
    local full, silent = helper.listen("", { full = true }), helper.listen [[ c.hold() ]]
    assert.is_nil(safe.connect("127.0.0.1", full.port, 0.1))
    assert.is_nil(safe.connect_tls("127.0.0.1", silent.port, with_root { timeout = 0.5 }))
    local conn = helper.keep(safe.connect("127.0.0.1", silent.port,
      { timeout = 0.1, connect_timeout = helper.timeout }))
    assert.is_nil(conn:read(4))
    assert.same({
      "127.0.0.1:N connect 127.0.0.1: begins",
      "127.0.0.1:N connect 127.0.0.1: given up",
      "error: connect 127.0.0.1:N: timeout: connecting to 127.0.0.1",
      "127.0.0.1:N connect 127.0.0.1: begins",
      "127.0.0.1:N connect 127.0.0.1: connected from 127.0.0.1:N",
      "127.0.0.1:N tls: begins",
      "127.0.0.1:N tls: given up",
      "error: connect_tls 127.0.0.1:N: timeout: TLS handshake",
      "127.0.0.1:N connect 127.0.0.1: begins",
      "127.0.0.1:N connect 127.0.0.1: connected from 127.0.0.1:N",
      "error: read 127.0.0.1:N: timeout: 0 of 4 bytes",
    }, told())
  end)

  it("tells of what breaks", function()
    local conn
    local peer = helper.listen [[
      c.wait()
      c.reset()
    ]]
    trace()
    conn = helper.keep(safe.connect("127.0.0.1", peer.port, helper.timeout))
    lines = {}
    peer:go()
    conn:read(4)
    assert.same({
      "127.0.0.1:N read: failed: closed: connection reset by peer",
      "error: read 127.0.0.1:N: closed: connection reset by peer",
    }, told())
  end)

  it("tells how much of a write was taken", function()
    trace()
    local conn = helper.connect([[ c.hold() ]], { timeout = 0.1 }, nil, safe)
    conn:send(("x"):rep(3e7))
    local all = told()
    assert.matches("^127%.0%.0%.1:N write: %d+ of 30000000 bytes$", all[3])
    assert.matches("^error: send 127%.0%.0%.1:N: timeout: %d+ of 30000000 bytes sent$", all[#all])
  end)

  it("tells what a handshake came to", function()
    trace()
    local conn = helper.connect_tls(echo, { alpn = "echo/1" }, { version = "1.2", alpn = "echo/1" })
    conn:send("hello")
    conn:read(5)
    conn:close()
    local all = told()
    assert.equal("127.0.0.1:N tls: begins", all[3])
    assert.matches("^127%.0%.0%.1:N tls: TLSv1%.2, TLS_[%w_]+, new session, ALPN echo/1, verified$", all[4])
    assert.equal("127.0.0.1:N write: 5 bytes", all[5])
    assert.equal("127.0.0.1:N read: 5 bytes", all[6])
    assert.equal("127.0.0.1:N close: 5 bytes read, 5 written", all[7])
    assert.equal(7, #all)
  end)

  it("tells that a session is resumed", function()
    local server = helper.s_server("good", "-tls1_2")
    local first = helper.keep(tcp.connect_tls("127.0.0.1", server.port, with_root()))
    local session = first:session()
    first:close()
    trace()
    helper.keep(tcp.connect_tls("127.0.0.1", server.port, with_root { session = session }))
    assert.matches("tls: TLSv1%.2, TLS_[%w_]+, resumed, verified$", told()[4])
  end)

  it("tells why a certificate is refused, or would be", function()
    trace()
    local peer = helper.listen("c.hold()", { tls = "expired" })
    local options = with_root()
    local _, message = safe.connect_tls("127.0.0.1", peer.port, options)
    local why = message:match "certificate: (expired on .*)$"
    local all = told()
    assert.equal("127.0.0.1:N tls: failed: certificate: " .. why, all[4])
    assert.matches("^error: connect_tls 127%.0%.0%.1:N: certificate: expired on ", all[5])
    options.verify = false
    helper.keep(safe.connect_tls("127.0.0.1", peer.port, options))
    assert.matches(", new session, not verified: expired on ", told()[4])
  end)

  it("goes on where a connection goes on with TLS", function()
    trace()
    local conn = helper.connect([[
      c.recv_exactly(4)
      c.handshake("good")
      c.send(c.recv_exactly(4))
      c.hold()
    ]])
    conn:send("TLS?")
    local tls = helper.keep(conn:start_tls { ca_file = root })
    tls:send("TLS!")
    tls:read(4)
    local number = lines[1]:match "#%d+"
    for _, line in ipairs(lines) do assert.equal(number, line:match "#%d+") end
    local all = told()
    assert.matches("tls: TLSv1%.[23], .*, verified$", table.remove(all, 5))
    assert.same({
      "127.0.0.1:N connect 127.0.0.1: begins",
      "127.0.0.1:N connect 127.0.0.1: connected from 127.0.0.1:N",
      "127.0.0.1:N write: 4 bytes",
      "127.0.0.1:N tls: begins",
      "127.0.0.1:N write: 4 bytes",
      "127.0.0.1:N read: 4 bytes",
    }, all)
  end)

  it("tells of a listener and its clients", function()
    trace()
    local listener = helper.keep(tcp.listen("127.0.0.1", 0))
    local peer = helper.dial(listener:port(), [[ return c.recv_all() ]])
    local conn = helper.keep(listener:accept(helper.timeout))
    conn:send("hello")
    conn:close()
    listener:close()
    assert.equal("hello", peer:result())
    assert.same({
      "127.0.0.1:0 listen: at 127.0.0.1:N",
      "127.0.0.1:N accept: at 127.0.0.1:N",
      "127.0.0.1:N write: 5 bytes",
      "127.0.0.1:N close: 0 bytes read, 5 written",
      "127.0.0.1:0 close",
    }, told())
  end)

  it("tells of a client's handshake, which begins with the first read", function()
    trace()
    local listener = helper.keep(tcp.listen("127.0.0.1", 0, {
      tls = { cert_file = helper.pem "good", key_file = helper.pem("good", "key") } }))
    local peer = helper.dial(listener:port(), [[ c.send(b"hello") ]], { tls = true })
    local conn = helper.keep(listener:accept(helper.timeout))
    lines = {}
    assert.equal("hello", conn:read(5))
    local all = told()
    assert.equal("127.0.0.1:N tls: begins", all[1])
    assert.matches("^127%.0%.0%.1:N tls: TLSv1%.3, TLS_[%w_]+, new session, no certificate$", all[2])
    assert.equal("127.0.0.1:N read: 5 bytes", all[3])
    conn:close()
    peer:result()
  end)

  it("tells of a connection that the collector closes with the next call", function()
    trace()
    local peer = helper.listen [[ c.hold() ]]
    coroutine.wrap(function() tcp.connect("127.0.0.1", peer.port, helper.timeout) end)()
    helper.keep(tcp.connect("127.0.0.1", peer.port, helper.timeout)) -- the last one is kept
    lines = {}
    for _ = 1, 3 do collectgarbage() end
    tcp.resolve("127.0.0.1")
    assert.same({ "127.0.0.1:N close: 0 bytes read, 0 written" }, told())
  end)

  it("leaves connections alone that were made while it was off", function()
    local conn = helper.connect(echo)
    trace()
    conn:send("hello")
    conn:read(5)
    conn:close()
    assert.same({}, told())
  end)

  it("tells of the clients of a listener that was made while it was off", function()
    local listener = helper.keep(tcp.listen("127.0.0.1", 0))
    helper.dial(listener:port(), "c.hold()")
    trace()
    helper.keep(listener:accept(helper.timeout))
    assert.same({ "127.0.0.1:N accept: at 127.0.0.1:N" }, told())
  end)

  it("ends and begins again on a connection that it knows", function()
    trace()
    local conn = helper.connect(echo)
    tcp.debug(nil)
    lines = {}
    conn:send("hello")
    conn:read(5)
    assert.same({}, told())
    trace()
    conn:send("hello")
    assert.same({ "127.0.0.1:N write: 5 bytes" }, told())
  end)
end)

describe("what is sent and read", function()
  after_each(off)

  local secret = "swordfish"

  -- Lets the secret pass by every way there is.
  local function pass(conn)
    conn:send(secret)
    conn:read(#secret)
    conn:write_json({ [secret] = secret })
    conn:read_json()
    conn:write_json_packet({ secret })
    conn:read_json_packet()
    conn:send(secret, "\n")
    conn:read_line()
    conn:send("[1, ", secret, "]\n")
    local _, _, code = conn:read_json()
    assert.equal("json", code)
    conn:read_line()
    local _, message = conn:write_json({ [secret] = print })
    assert(message:find(secret, 1, true))
    conn:close()
  end

  for _, kind in ipairs(helper.kinds) do
    it("is in no line unless asked for over " .. kind.name, function()
      trace()
      pass((kind.connect(echo, nil, nil, safe)))
      for _, line in ipairs(lines) do assert(not line:find(secret, 1, true), line) end
      assert(#lines > 10)
    end)

    it("is in the lines where it is asked for over " .. kind.name, function()
      trace("payload")
      local conn = kind.connect(echo)
      lines = {}
      conn:send(secret, " \"é\"\r\n\27[31m\0\255")
      conn:read(23)
      local shown = secret .. [[ "é"\r\n\u{1b}[31m\0\xff]]
      local peer = kind.is_unix and "unix:" .. conn:info().peer.path or "127.0.0.1:N"
      assert.same({ peer .. " write: 23 bytes: " .. shown, peer .. " read: 23 bytes: " .. shown }, told())
    end)
  end

  it("is bounded in a line", function()
    trace("payload")
    local conn = helper.connect(echo)
    lines = {}
    conn:send(("x"):rep(513))
    conn:read(513)
    assert.equal("127.0.0.1:N write: 513 bytes, the first 512: " .. ("x"):rep(512), told()[1])
    conn:send(("\255"):rep(60000))
    conn:read(60000)
    for _, line in ipairs(lines) do assert(#line < 4096) end
  end)

  it("is in an error's line where it is asked for", function()
    trace("payload")
    local conn = helper.connect(echo, nil, nil, safe)
    lines = {}
    conn:write_json({ [secret] = print })
    assert.matches("^error: write_json 127%.0%.0%.1:N: json: .*" .. secret, told()[1])
  end)
end)

describe("tcp.debug", function()
  after_each(off)

  it("takes a boolean, a function or \"payload\"", function()
    helper.misuse("bad argument #1 to 'debug' (boolean, function or 'payload' expected, got number)",
      function() tcp.debug(1) end)
    helper.misuse("bad argument #1 to 'debug' ('payload' expected, got 'all')", function() tcp.debug("all") end)
    helper.misuse("bad argument #2 to 'debug' ('payload' expected, got 'all')",
      function() safe.debug(print, "all") end)
    helper.misuse("bad argument #2 to 'debug' (string expected, got boolean)",
      function() tcp.debug(print, true) end)
    assert.is_nil(tcp.debug(print))
    assert.is_nil(tcp.debug(nil))
    assert.is_true(safe.debug(false))
  end)

  it("counts for tcp and tcp.safe alike", function()
    safe.debug(function(line) lines[#lines + 1] = line end)
    lines = {}
    helper.connect(echo)
    helper.connect(echo, nil, nil, safe)
    assert.equal(4, #told())
  end)

  it("writes to stderr, and stops", function()
    local peer = helper.listen(echo)
    local code = ([[
      local tcp = require "tcp"
      tcp.debug(%%s)
      local conn = tcp.connect("127.0.0.1", %d, 3)
      conn:send("hello")
      tcp.debug(false)
      conn:send("hello")
      tcp.connect("127.0.0.1", %d, 3)
    ]]):format(peer.port, peer.port)
    local begins = "127.0.0.1:N connect 127.0.0.1: begins"
    local connected = "127.0.0.1:N connect 127.0.0.1: connected from 127.0.0.1:N"
    assert.same({ begins, connected, "127.0.0.1:N write: 5 bytes" }, told_by(run(code:format "true")))
    assert.same({ begins, connected, "127.0.0.1:N write: 5 bytes: hello" },
      told_by(run(code:format "'payload'")))
    assert.same({ begins, connected, "127.0.0.1:N write: 5 bytes: hello" },
      told_by(run(code:format "true, 'payload'")))
  end)

  it("has a function that raises change nothing but the trace", function()
    local peer = helper.listen(echo)
    for _, case in ipairs {
      { [[error("no\nroom")]], "[^\n]*: no\\nroom" },
      { [[error({})]], "[^\n]+" },
      { [[coroutine.yield()]], "[^\n]*attempt to yield [^\n]+" },
    } do
      local said = run(([[
        local tcp = require "tcp"
        local conn
        coroutine.wrap(function()
          local count = 0
          tcp.debug(function()
            count = count + 1
            if count == 4 then %s end
          end)
          conn = tcp.connect("127.0.0.1", %d, 3)
          conn:send("hello")
          assert(conn:read(5) == "hello")
          conn:send("hello")
          assert(conn:read(5) == "hello")
          assert(count == 4)
        end)()
        assert(conn, "the coroutine has yielded")
      ]]):format(case[1], peer.port))
      local complaint = "^tcp %d%d:%d%d:%d%d%.%d%d%dZ debug: off, its function failed: "
      assert.matches(complaint .. case[2] .. "\n$", said)
    end
  end)

  it("lets its function use the module, and does not trace that", function()
    local log = helper.listen [[ return c.recv_all() ]]
    local peer = helper.listen(echo)
    local sink = tcp.connect("127.0.0.1", log.port, helper.timeout)
    trace()
    local traced = helper.keep(tcp.connect("127.0.0.1", peer.port, helper.timeout))
    lines = {}
    tcp.debug(function(line)
      lines[#lines + 1] = line
      sink:send(line, "\n")
      traced:send("also here")
      safe.connect("127.0.0.1", log.port, helper.timeout):close()
      traced:info()
    end)
    traced:send("hello")
    local all = table.concat(lines, "\n") .. "\n"
    assert.same({ "127.0.0.1:N write: 5 bytes" }, told())
    tcp.debug(false)
    sink:close()
    assert.equal(all, log:result())
  end)

  it("may be called by its own function", function()
    local count = 0
    tcp.debug(function()
      count = count + 1
      tcp.debug(function(line) lines[#lines + 1] = line end)
    end)
    lines = {}
    local conn = helper.connect(echo)
    conn:send("hello")
    assert.equal(1, count)
    assert.equal("127.0.0.1:N write: 5 bytes", table.remove(told()))
    tcp.debug(function() tcp.debug(false) end)
    conn:send("hello")
    assert.same({}, told())
  end)

  it("lets its function choose the loop", function()
    local conn, waits = helper.connect [[ c.recv(); time.sleep(0.1); c.send(b"hello") ]], 0
    tcp.debug(function()
      tcp.debug(false)
      tcp.use { wait = function() waits = waits + 1 end }
    end)
    tcp.listen("127.0.0.1", 0):close()
    coroutine.wrap(function()
      conn:send("hello")
      conn:read(5)
    end)()
    tcp.use(nil)
    assert.is_true(waits > 0)
  end)

  for _, loop in ipairs(loops) do
    it("lets its function block in a loop's coroutine: " .. loop.name, function()
      if not loop.found then return pending(loop.reason) end
      local log = helper.listen [[
        while line := c.recv(): c.send(b"ok\n")
      ]]
      local peer = helper.listen(echo)
      local sink = helper.keep(tcp.connect("127.0.0.1", log.port, helper.timeout))
      trace()
      local handed = lines
      tcp.debug(function(line)
        handed[#handed + 1] = line
        sink:send(line, "\n")
        assert(sink:read_line() == "ok")
      end)
      local function talk()
        local conn = helper.keep(tcp.connect("127.0.0.1", peer.port, helper.timeout))
        for _ = 1, 3 do
          conn:send("hello")
          assert(conn:read(5) == "hello")
        end
        conn:close()
      end
      loop.within(talk, talk)
      tcp.debug(false)
      assert.equal(2 * (2 + 6 + 1), #told())
    end)
  end
end)

describe("TCP_DEBUG", function()
  after_each(off)

  local function child(before, more)
    local peer = helper.listen(echo)
    return run(([[
      %s
      local tcp = require "tcp.safe"
      local conn = tcp.connect("127.0.0.1", %d, 3)
      conn:send("swordfish")
      assert(conn:read(9) == "swordfish")
      conn:close()
      io.write "fine"
    ]]):format(more or "", peer.port), before)
  end

  local expected = {
    "127.0.0.1:N connect 127.0.0.1: begins",
    "127.0.0.1:N connect 127.0.0.1: connected from 127.0.0.1:N",
    "127.0.0.1:N write: 9 bytes",
    "127.0.0.1:N read: 9 bytes",
    "127.0.0.1:N close: 9 bytes read, 9 written",
  }

  it("traces on stderr when it is 1", function()
    assert.same(expected, told_by(child "TCP_DEBUG=1", "fine"))
  end)

  it("shows what is sent and read when it is payload", function()
    local all = told_by(child "TCP_DEBUG=payload", "fine")
    assert.equal("127.0.0.1:N write: 9 bytes: swordfish", all[3])
    assert.equal("127.0.0.1:N read: 9 bytes: swordfish", all[4])
  end)

  it("is off when it is 0, empty or not there", function()
    for _, before in ipairs { "TCP_DEBUG=0", "TCP_DEBUG=", "env -u TCP_DEBUG" } do
      assert.equal("fine", child(before))
    end
  end)

  it("does no harm where stderr is closed", function()
    assert.equal("fine", child [[TCP_DEBUG=1 sh -c 'exec "$@" 2>&-' sh]])
  end)

  it("does not write to a connection that has stderr's number", function()
    local peer = helper.listen [[ return c.recv_all() ]]
    local code = ([[
      local tcp = require "tcp"
      %%s
      local conn = tcp.connect("127.0.0.1", %d, 3)
      assert(conn:fd() == 2)
      tcp.debug(true)
      conn:send("hello")
      tcp.resolve "localhost"
      conn:close()
    ]]):format(peer.port)
    run(code:format "", [[sh -c 'exec "$@" 2>&-' sh]])
    assert.equal("hello", peer:result())
    if not helper.library "luv" then return end
    code = code:gsub("tcp.debug%(true%)", "")
    local all = told_by(run(code:format "assert(require('luv').fs_close(2))", "TCP_DEBUG=1"))
    assert.equal("127.0.0.1:N write: 5 bytes", all[3])
    assert.equal("hello", peer:result(2))
  end)

  for _, how in ipairs { "default", "ignore" } do
    it("does no harm where nobody reads stderr any more (SIGPIPE: " .. how .. ")", function()
      local before = [[TCP_DEBUG=1 sh -c '{ env --%s-signal=PIPE "$@" 2>&1 >&3 | true; } 3>&1' sh]]
      assert.equal("fine", child(before:format(how), "os.execute 'sleep 0.2'"))
    end)
  end
end)
