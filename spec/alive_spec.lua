-- What a pool asks of a connection that lies there: `is_alive`, `queued`.

local helper = require "spec.support.helper"
local loops = require "spec.support.loops"
local tcp = require "tcp"
local safe = require "tcp.safe"

-- Whether it is no longer alive, within the time that anything may take.
local function dies(conn, pause)
  local late = helper.clock() + helper.timeout
  while conn:is_alive() do
    if helper.clock() > late then return false end
    if pause then pause() else tcp.poll({}, {}, 0.005) end
  end
  return true
end

for _, over in ipairs(helper.kinds) do
  describe("is_alive over " .. over.name, function()
    after_each(helper.finish)

    local connect = over.connect

    it("is true as long as the peer is there", function()
      local conn, peer = connect [[
        c.send(c.recv_exactly(5))
        c.wait()
        c.send(b"more")
        c.hold()
      ]]
      for _ = 1, 3 do assert.is_true(conn:is_alive()) end
      conn:send "hello"
      assert.equal("hello", conn:read(5))
      assert.is_true(conn:is_alive())
      peer:go()
      assert.equal("mo", conn:read(2))
      assert.is_true(conn:is_alive())
      assert.equal("re", conn:read(2))
    end)

    it("waits for nothing, and takes nothing", function()
      local conn = connect [[
        c.send(b"x" * 10000000)
        c.hold()
      ]]
      local before = helper.clock()
      for _ = 1, 1000 do conn:is_alive() end
      assert.is_true(helper.clock() - before < 0.5)
      tcp.poll({ conn }, nil, helper.timeout)
      for _ = 1, 100 do
        assert.is_true(conn:is_alive())
        assert.is_true(conn:pending() < 512 * 1024)
      end
      assert.equal(("x"):rep(1e7), conn:read(1e7))
    end)

    it("is false once the peer has ended, and what came before stays", function()
      for _, ending in ipairs { "c.send(b'bye')", "c.send(b'bye')\nc.close()" } do
        local conn = connect(ending)
        assert.is_true(dies(conn))
        assert.is_false(conn:is_alive())
        assert.is_true(conn:is_open())
        assert.equal("bye", conn:read_str())
        assert.is_false(conn:is_alive())
        assert.equal("", conn:recv())
      end
    end)

    it("is false once the peer has reset, and the next read says so", function()
      local conn, peer = connect [[
        c.recv_exactly(1)
        c.reset()
      ]]
      conn:send "x"
      peer:result()
      assert.is_true(dies(conn))
      for _ = 1, 2 do
        -- A Unix socket ends without a reset, unless the peer has left something unread.
        helper.fails("closed", over.name:find "Unix" and "^read " or "^read .*reset", function() conn:read(1) end)
        assert.is_false(conn:is_alive())
      end
    end)

    it("is false once a write has failed", function()
      local conn, peer = connect([[
        c.recv_exactly(1)
        c.reset()
      ]], nil, nil, safe)
      conn:send "x"
      peer:result()
      local late, sent = helper.clock() + helper.timeout
      repeat sent = conn:send "x" until not sent or helper.clock() > late
      assert.is_nil(sent)
      assert.is_false(conn:is_alive())
    end)

    it("is true where this side has ended alone", function()
      local conn, peer = connect [[
        c.recv_all()
        c.wait()
        c.send(b"answer")
      ]]
      conn:shutdown()
      assert.is_true(conn:is_alive())
      peer:go()
      assert.equal("answer", conn:read_str())
      assert.is_false(conn:is_alive())
    end)

    it("is not for a connection that the script has closed", function()
      local conn = connect ""
      conn:close()
      helper.fails("closed", "^is_alive ", function() conn:is_alive() end)
      helper.fails("closed", "^queued ", function() conn:queued() end)
    end)

    it("tells how much waits to be sent", function()
      local conn, peer = connect([[
        c.wait()
        return len(c.recv_all())
      ]], { timeout = 0.05, connect_timeout = helper.timeout })
      assert.equal(0, conn:queued())
      conn:send "x"
      assert.equal(0, conn:queued())
      helper.fails("timeout", "", function() conn:send(("x"):rep(3e7)) end)
      local queued = conn:queued()
      assert.equal(3e7 + 1 - conn:info().bytes_written, queued)
      assert.is_true(queued > 0)
      conn:set_timeout(10)
      peer:go()
      conn:flush()
      assert.equal(0, conn:queued())
      conn:shutdown()
      assert.equal(3e7 + 1, peer:result())
    end)

    for _, loop in ipairs(loops) do
      it("keeps nothing from a reader that waits in " .. loop.name, function()
        if not loop.found then return pending(loop.reason) end
        local conn, peer = connect([[
          c.wait()
          c.send(b"hello")
          c.wait()
        ]], nil, nil, safe)
        local said, pause = {}, loops.pause()
        loop.within(function()
          said[1] = conn:read(5)
          said[2] = conn:read(1) == nil
        end, function()
          assert.is_true(conn:is_alive())
          peer:go()
          -- Looks while the bytes come, before the reader has its turn.
          local late = helper.clock() + (helper.is_quick and 0.03 or 0.1)
          while helper.clock() < late do assert.is_true(conn:is_alive()) end
          while not said[1] do pause() end
          peer:go()
          assert.is_true(dies(conn, pause))
        end)
        assert.same({ "hello", true }, said)
      end)
    end
  end)
end

describe("is_alive over TLS", function()
  after_each(helper.finish)

  it("takes tickets that come behind the handshake for no end, and keeps them", function()
    local conn = helper.connect_tls([[
      c.recv_exactly(1)
      c.hold()
    ]], nil, { version = "1.3" })
    tcp.poll({}, {}, 0.05)
    for _ = 1, 3 do assert.is_true(conn:is_alive()) end
    assert.equal("string", type(conn:session()))
  end)

  it("knows the goodbye of a peer that keeps the socket open", function()
    local conn = helper.connect_tls [[
      c.send(b"last")
      try: c.sock.unwrap()
      except OSError: pass
      c.hold()
    ]]
    assert.equal("last", conn:read(4))
    assert.is_true(dies(conn))
    helper.fails("closed", "end of stream", function() conn:read(1) end)
  end)

  it("tells of the alert that has ended it with the next read", function()
    local conn = helper.connect_tls([[ c.hold() ]], { timeout = 1 }, { version = "1.3", client_ca = "root" })
    assert.is_true(dies(conn))
    helper.fails("tls", "certificate required", function() conn:read(1) end)
  end)

  it("begins no handshake", function()
    local settings = { cert_file = helper.pem "good", key_file = helper.pem("good", "key") }
    local listener = tcp.listen("127.0.0.1", 0, { tls = settings, timeout = helper.timeout })
    local peer = helper.dial(listener:port(), [[
      c.wait()
      c.handshake()
      return c.recv_exactly(2)
    ]])
    local conn = helper.keep(listener:accept(helper.timeout))
    listener:close()
    assert.is_true(conn:is_alive())
    peer:go()
    tcp.poll({ conn }, nil, 0.1)
    assert.is_true(conn:is_alive())
    conn:send "ok"
    assert.equal("ok", peer:result())
  end)
end)
