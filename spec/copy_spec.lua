-- `copy_to`: what comes on one connection is handed on to another one.

local helper = require "spec.support.helper"
local loops = require "spec.support.loops"
local tcp = require "tcp"
local safe = require "tcp.safe"

local connect, connect_tls = helper.connect, helper.connect_tls

-- Most that is taken before it is sent.
local BLOCK = 256 * 1024

-- A source that sends so many bytes and gives their checksum, and a sink that gives that of all
-- that has come, and how many they are.
local function source(size)
  return ([[
    import hashlib
    block, left, sum = os.urandom(1 << 20), %d, hashlib.sha256()
    while left > 0:
      part = block[:min(left, len(block))]
      c.send(part)
      sum.update(part)
      left -= len(part)
    return sum.hexdigest()
  ]]):format(size)
end

local sink = [[
  import hashlib
  sum, count = hashlib.sha256(), 0
  while part := c.recv(1 << 20):
    sum.update(part)
    count += len(part)
  return [count, sum.hexdigest()]
]]

for _, pair in ipairs {
  { "TCP to TCP", connect, connect }, { "TCP to TLS", connect, connect_tls },
  { "TLS to TCP", connect_tls, connect }, { "TLS to TLS", connect_tls, connect_tls },
} do
  local from, into = pair[2], pair[3]

  describe("copy_to from " .. pair[1], function()
    after_each(helper.finish)

    it("hands on all until the end, and not the end", function()
      local a = from [[ c.send(b"hello") ]]
      local b, peer = into [[ return c.recv_all() ]]
      assert.equal(5, a:copy_to(b))
      assert.equal(0, a:copy_to(b))
      b:send " world"
      b:shutdown()
      assert.equal("hello world", peer:result())
      helper.fails("closed", "end of stream", function() a:read(1) end)
    end)

    it("begins with what is there on both sides", function()
      local a = from [[ c.send(b"line\nrest of it") ]]
      local b, peer = into([[
        c.wait()
        got = c.recv_all()
        return [len(got), got[-11:].decode()]
      ]], { timeout = 0.05, connect_timeout = helper.timeout })
      assert.equal("line", a:read_line())
      helper.fails("timeout", "", function() b:send(("q"):rep(2e7)) end)
      assert.is_true(b:queued() > 0)
      peer:go()
      assert.equal(10, a:copy_to(b))
      assert.equal(0, b:queued())
      b:set_timeout(helper.timeout)
      b:shutdown()
      assert.same({ 2e7 + 10, "qrest of it" }, peer:result())
    end)

    it("stops at `max` bytes, and leaves what is behind them", function()
      local a = from [[ c.send(b"0123456789" * 20000 + b"tail\n") ]]
      local b, peer = into [[ return c.recv_all() ]]
      assert.equal(0, a:copy_to(b, 0))
      assert.equal(3, a:copy_to(b, 3))
      assert.equal("3456", a:read(4))
      assert.equal(199993, a:copy_to(b, "199993"))
      assert.equal("tail", a:read_line())
      assert.equal(0, a:copy_to(b, 10))
      b:shutdown()
      local got = peer:result()
      assert.equal(199996, #got)
      assert.equal("012789", got:sub(1, 6))
    end)

    it("loses nothing, however often its time runs out", function()
      local plain = from == connect and into == connect
      local size = plain and 100 * 1024 * 1024 or 30 * 1024 * 1024
      local a, sender = from(source(size), { timeout = 0.01, connect_timeout = helper.timeout }, nil, safe)
      local b, receiver = into(sink, nil, nil, safe)
      local copied, late = 0, 0
      repeat
        local count, message, code, details = a:copy_to(b)
        if not count then
          assert.equal("timeout", code, message)
          assert.is_truthy(details.side == "read" or details.side == "write")
          late = late + 1
          count = details.bytes
        end
        assert.is_true(b:queued() <= BLOCK)
        assert.is_true(a:pending() <= 2 * BLOCK)
        copied = copied + count
      until code == nil
      assert.equal(size, copied)
      b:shutdown()
      assert.same({ size, sender:result() }, receiver:result())
      assert.is_true(late > 0)
    end)

    it("takes no longer than its own connection's timeout, however the source drips", function()
      helper.takes(0.15, function()
        local a = from([[
          try: c.drip(b"x" * 1000, 0.02)
          except OSError: pass
        ]], { timeout = 0.15, connect_timeout = helper.timeout }, nil, safe)
        return a, (into([[ c.recv_all() ]], { timeout = 60, connect_timeout = helper.timeout }))
      end, function(a, b)
        local message, details = helper.fails_safely("timeout", "^copy_to 127%.0%.0%.1:%d+: timeout: after %d+ bytes$",
          a:copy_to(b))
        assert.equal("read", details.side)
        assert.equal(tonumber(message:match "after (%d+) bytes"), details.bytes)
        assert.is_true(details.bytes > 0 and details.bytes < 20)
      end)
    end)

    it("takes no longer where the sink takes nothing", function()
      helper.takes(0.15, function()
        local a = from([[
          try:
            while True: c.send(b"x" * 65536)
          except OSError: pass
        ]], { timeout = 0.15, connect_timeout = helper.timeout }, nil, safe)
        return a, (into([[ c.hold() ]], { timeout = 60, connect_timeout = helper.timeout, send_buffer = 65536 }))
      end, function(a, b)
        local _, details = helper.fails_safely("timeout", "^copy_to .* bytes sent$", a:copy_to(b))
        assert.equal("write", details.side)
        assert.is_true(details.bytes > 0)
        assert.is_true(b:queued() > 0 and b:queued() <= BLOCK)
        assert.is_true(details.bytes >= b:info().bytes_written + b:queued())
      end)
    end)

    it("says which side has failed, and how much it had handed on", function()
      local a, peer = from([[
        c.send(b"x" * 1000)
        c.wait()
        c.reset()
      ]], nil, nil, safe)
      local b = into([[ c.recv_all() ]], nil, nil, safe)
      assert.equal(1000, a:copy_to(b, 1000))
      peer:go()
      local _, details = helper.fails_safely("closed", "^copy_to 127%.0%.0%.1:" .. peer.port, a:copy_to(b))
      assert.same({ side = "read", bytes = 0 }, details)

      a = from([[
        try:
          while True: c.send(b"x" * 65536)
        except OSError: pass
      ]], nil, nil, safe)
      b, peer = into([[
        c.recv_exactly(1000)
        c.reset()
      ]], nil, nil, safe)
      _, details = helper.fails_safely("closed", "^copy_to 127%.0%.0%.1:" .. peer.port, a:copy_to(b))
      assert.equal("write", details.side)
      assert.is_true(details.bytes >= 1000)
    end)

    it("says that the other one is closed", function()
      local a = from([[
        c.send(b"kept")
        c.hold()
      ]], nil, nil, safe)
      local b, peer = into("", nil, nil, safe)
      b:close()
      local _, details = helper.fails_safely("closed",
        "^copy_to 127%.0%.0%.1:" .. peer.port .. ": closed: .*closed by the script$", a:copy_to(b))
      assert.same({ side = "write", bytes = 0 }, details)
      assert.equal("kept", a:read(4))
      b = into("", nil, nil, safe)
      b:shutdown()
      _, details = helper.fails_safely("closed", "shut down for writing", a:copy_to(b))
      assert.same({ side = "write", bytes = 0 }, details)
      a:close()
      helper.fails_safely("closed", "^copy_to .*closed by the script$", a:copy_to(b))
    end)

    it("keeps within the other one's max_buffer", function()
      local a = from [[ c.send(b"x" * 100000) ]]
      local b, peer = into([[ return len(c.recv_all()) ]], { max_buffer = 100 })
      assert.equal(100000, a:copy_to(b))
      b:shutdown()
      assert.equal(100000, peer:result())
    end)

    for _, loop in ipairs(loops) do
      it("forwards both ways at once in " .. loop.name, function()
        if not loop.found then return pending(loop.reason) end
        local exchange = [[
          import hashlib
          sent, received = hashlib.sha256(), hashlib.sha256()
          for _ in range(50):
            part = os.urandom(65536)
            c.send(part)
            sent.update(part)
            received.update(c.recv_exactly(65536))
          return [sent.hexdigest(), received.hexdigest()]
        ]]
        local a, left = from(exchange, nil, nil, safe)
        local b, right = into(exchange, nil, nil, safe)
        local counts = {}
        loop.within(function()
          counts[1] = assert(a:copy_to(b))
          b:shutdown()
        end, function()
          counts[2] = assert(b:copy_to(a))
          a:shutdown()
        end)
        assert.same({ 50 * 65536, 50 * 65536 }, counts)
        local one, other = left:result(), right:result()
        assert.same({ one[1], one[2] }, { other[2], other[1] })
      end)
    end
  end)
end

describe("copy_to", function()
  after_each(helper.finish)

  it("throws at the caller's line", function()
    local a = connect("", { timeout = 0.05, connect_timeout = helper.timeout })
    local b = connect ""
    b:close()
    helper.fails("closed", "^copy_to ", function() a:copy_to(b) end)
  end)

  it("goes to and from Unix sockets", function()
    local a = helper.connect_unix(source(1000000))
    local b, peer = helper.connect_unix(sink)
    assert.equal(1000000, a:copy_to(b))
    b:shutdown()
    assert.equal(1000000, peer:result()[1])
  end)

  it("wants another connection, and a number of bytes", function()
    local a = connect ""
    helper.misuse("bad argument #1 to 'copy_to' (another connection expected, got nil)", function() a:copy_to() end)
    helper.misuse("bad argument #1 to 'copy_to' (another connection expected, got table)", function() a:copy_to {} end)
    helper.misuse("bad argument #1 to 'copy_to' (another connection expected)", function() a:copy_to(a) end)
    helper.misuse("bad argument #2 to 'copy_to' (number expected, got string)",
      function() a:copy_to(connect "", "x") end)
    helper.misuse("bad argument #2 to 'copy_to' (0 or more expected, got -1)", function() a:copy_to(connect "", -1) end)
    helper.misuse("bad argument #2 to 'copy_to' (number has no integer representation)",
      function() a:copy_to(connect "", 1.5) end)
    local listener = tcp.listen("127.0.0.1", 0)
    helper.misuse("bad argument #1 to 'copy_to' (another connection expected, got userdata)",
      function() a:copy_to(listener) end)
    listener:close()
  end)

  it("takes an end over TLS without its goodbye for a failure", function()
    local a = connect_tls([[
      c.send(b"x" * 10)
      c.cut()
    ]], nil, nil, safe)
    local b, peer = connect([[ return c.recv_all() ]], nil, nil, safe)
    local _, details = helper.fails_safely("closed", "close_notify", a:copy_to(b))
    assert.same({ side = "read", bytes = 10 }, details)
    b:shutdown()
    assert.equal(("x"):rep(10), peer:result())
  end)

  it("finishes the handshakes that are pending", function()
    local settings = { cert_file = helper.pem "good", key_file = helper.pem("good", "key") }
    local listener = tcp.listen("127.0.0.1", 0, { tls = settings, timeout = helper.timeout })
    helper.dial(listener:port(), [[ c.send(b"hello") ]], { tls = true })
    local a = helper.keep(listener:accept(helper.timeout))
    local sink_peer = helper.dial(listener:port(), [[ return c.recv_all() ]], { tls = true })
    local b = helper.keep(listener:accept(helper.timeout))
    listener:close()
    assert.equal(5, a:copy_to(b))
    b:shutdown()
    assert.equal("hello", sink_peer:result())
  end)

  it("leaves the lines that an iterator has not handed out", function()
    local a = connect [[ c.send(b"one\ntwo\nthree\n") ]]
    local b, peer = connect [[ return c.recv_all() ]]
    local lines = a:lines()
    assert.equal("one", lines())
    assert.equal(10, a:copy_to(b))
    b:shutdown()
    assert.equal("two\nthree\n", peer:result())
  end)

  it("holds no more than a buffer of what it copies", function()
    local a = connect(source(100 * 1024 * 1024))
    local b = connect(sink)
    a:copy_to(b, 1024 * 1024)
    collectgarbage()
    local before = helper.memory "VmRSS"
    assert.equal(99 * 1024 * 1024, a:copy_to(b))
    assert.is_true(helper.memory "VmRSS" - before < 4 * 1024 * 1024)
  end)

  for _, loop in ipairs(loops) do
    it("has both connections to itself in " .. loop.name, function()
      if not loop.found then return pending(loop.reason) end
      local a, peer = connect([[
        c.wait()
        c.send(b"x")
        return c.recv_line()
      ]], nil, nil, safe)
      local b, other = connect([[
        c.send(b"read\n")
        return c.recv_all()
      ]], nil, nil, safe)
      local third, pause = connect("", nil, nil, safe), loops.pause()
      loop.within(function()
        assert.equal(1, a:copy_to(b))
      end, function()
        pause()
        helper.fails_safely("busy", "reading", a:recv())
        helper.fails_safely("busy", "reading", a:copy_to(third))
        helper.fails_safely("busy", "writing", b:send "x")
        helper.fails_safely("busy", "^copy_to 127%.0%.0%.1:" .. other.port .. ": busy: .*writing", third:copy_to(b))
        -- The other directions are free.
        assert.equal("read", b:read_line())
        assert.is_true(a:send "line\n")
        peer:go()
      end)
      assert.equal("line\n", peer:result())
      b:shutdown()
      assert.equal("x", other:result())
    end)

    it("ends when either one is closed meanwhile in " .. loop.name, function()
      if not loop.found then return pending(loop.reason) end
      for _, closed in ipairs { "a", "b" } do
        local both = {
          a = connect([[ c.hold() ]], { timeout = 20, connect_timeout = helper.timeout }, nil, safe),
          b = connect([[ c.hold() ]], nil, nil, safe),
        }
        local before, said, pause = helper.clock(), {}, loops.pause()
        loop.within(function()
          said = { both.a:copy_to(both.b) }
        end, function()
          pause()
          both[closed]:close()
        end)
        assert.is_true(helper.clock() - before < 2, closed)
        helper.fails_safely("closed", "closed by the script", said[1], said[2], said[3], said[4])
      end
    end)

    it("ends when either one is closed while it must wait to write in " .. loop.name, function()
      if not loop.found then return pending(loop.reason) end
      for _, closed in ipairs { "a", "b" } do
        local both = {
          a = connect([[
            try:
              while True: c.send(b"x" * 65536)
            except OSError: pass
          ]], { timeout = 20, connect_timeout = helper.timeout }, nil, safe),
          b = connect([[ c.hold() ]], nil, nil, safe),
        }
        local before, said, pause = helper.clock(), {}, loops.pause()
        loop.within(function()
          said = { both.a:copy_to(both.b) }
        end, function()
          repeat
            local held = both.b:queued()
            pause()
          until held > 0 and both.b:queued() == held
          both[closed]:close()
        end)
        assert.is_true(helper.clock() - before < 3, closed)
        helper.fails_safely("closed", "closed by the script", said[1], said[2], said[3], said[4])
      end
    end)

    it("has one deadline in " .. loop.name, function()
      if not loop.found then return pending(loop.reason) end
      helper.takes(0.15, function()
        return connect([[
          try: c.drip(b"x" * 1000, 0.02)
          except OSError: pass
        ]], { timeout = 0.15, connect_timeout = helper.timeout }, nil, safe),
          (connect([[ c.recv_all() ]], nil, nil, safe))
      end, function(a, b)
        local said
        loop.within(function() said = { a:copy_to(b) } end)
        local _, details = helper.fails_safely("timeout", "", said[1], said[2], said[3], said[4])
        assert.equal("read", details.side)
        assert.is_true(details.bytes > 0 and details.bytes < 20)
      end)
    end)
  end
end)
