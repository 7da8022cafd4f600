-- `tcp.poll`: which of many connections, listeners and descriptors are ready.

local helper = require "spec.support.helper"
local tcp = require "tcp"

describe("poll", function()
  after_each(helper.finish)

  it("tells who can be read and who can be written", function()
    local idle = helper.connect [[ c.hold() ]]
    local conn, peer = helper.connect [[
      c.wait()
      c.send(b"one\ntwo\n")
      c.hold()
    ]]
    local readable, writable = tcp.poll({ idle, conn }, { idle }, 0)
    assert.same({}, readable)
    assert.equal(idle, writable[1])
    peer:go()
    readable, writable = tcp.poll({ idle, conn }, nil, 3)
    assert.equal(conn, readable[1])
    assert.equal(1, #readable)
    assert.same({}, writable)
    conn:read_line()
    assert.equal(conn, (tcp.poll({ idle, conn }, {}, 3))[1])
    conn:read_line()
    assert.same({}, (tcp.poll({ idle, conn }, {}, 0)))
  end)

  it("counts what waits inside of OpenSSL", function()
    local conn = helper.connect_tls [[
      c.send(b"x" * 16000)
      c.hold()
    ]]
    for _ = 1, 16000 do
      assert.equal(conn, (tcp.poll({ conn }, nil, 3))[1])
      assert.equal("x", conn:recv(1))
    end
    assert.same({}, (tcp.poll({ conn }, nil, 0)))
  end)

  it("takes listeners and plain descriptors", function()
    local listener = helper.keep(tcp.listen("127.0.0.1", 0))
    local conn = helper.connect [[ c.hold() ]]
    assert.same({}, (tcp.poll({ listener, conn:fd() }, nil, 0)))
    local _, writable = tcp.poll({}, { conn:fd() }, 0)
    assert.same({ conn:fd() }, writable)
    helper.dial(listener:port(), [[ c.hold() ]])
    assert.equal(listener, (tcp.poll({ listener }, nil, 3))[1])
  end)

  it("takes no longer than its timeout, and no less", function()
    for _, seconds in ipairs { 0.05, 0.3 } do
      helper.takes(seconds, function() return (helper.connect [[ c.hold() ]]) end, function(conn)
        local readable, writable = tcp.poll({ conn }, nil, seconds)
        assert.same({}, readable)
        assert.same({}, writable)
      end)
    end
  end)

  it("sees the end of a stream", function()
    local conn = helper.connect [[ c.close() ]]
    assert.equal(conn, (tcp.poll({ conn }, nil, 3))[1])
    assert.equal("", conn:recv())
    assert.equal(conn, (tcp.poll({ conn }, nil, 3))[1])
  end)

  it("takes more members than the process may have descriptors", function()
    local said, status = helper.run([[
      local tcp = require "tcp"
      local listener = tcp.listen("127.0.0.1", 0)
      local conn = tcp.connect("127.0.0.1", listener:port(), 3)
      local served = listener:accept(3)
      local readers, writers = {}, {}
      for i = 1, 100 do
        readers[i], writers[i] = conn, conn
      end
      local readable, writable = tcp.poll(readers, writers, 3)
      assert(#readable == 0 and #writable == 100)
      served:send "x"
      readable, writable = tcp.poll(readers, nil, 3)
      assert(#readable == 100 and #writable == 0)
      -- So many different ones there cannot be.
      for fd = 1, 100 do readers[fd] = fd end
      print(select(2, pcall(tcp.poll, readers, nil, 0)))
    ]], "ulimit -n 40 &&")
    assert.equal(0, status, said)
    assert.matches("poll: io: more descriptors than this process may have, see ulimit %-n\n$", said)
  end)

  it("keeps no descriptor in a loop of the script's own, with the collector stopped", function()
    local said, status = helper.run([[
      local tcp = require "tcp"
      collectgarbage "stop"
      tcp.use { wait = function(fd) return coroutine.yield(fd) end }
      local listener = tcp.listen("127.0.0.1", 0)
      for i = 1, 100 do
        local poller = coroutine.create(function() return tcp.poll({ listener }, nil, 0.001) end)
        assert(coroutine.resume(poller))
        while coroutine.status(poller) ~= "dead" do assert(coroutine.resume(poller, false)) end
      end
    ]], "ulimit -n 40 &&")
    assert.equal(0, status, said)
    assert.equal("", said)
  end)

  it("wants lists of what can be waited for", function()
    helper.misuse("bad argument #1 to 'poll' (table expected, got nil)", function() tcp.poll() end)
    helper.misuse("bad argument #1 to 'poll' (connections, listeners and descriptors expected)",
      function() tcp.poll { "x" } end)
    helper.misuse("bad argument #2 to 'poll' (connections, listeners and descriptors expected)",
      function() tcp.poll({}, { {} }) end)
    helper.misuse("bad argument #3 to 'poll' (seconds over 0 expected, got -1)",
      function() tcp.poll({}, {}, -1) end)
    local conn = helper.connect [[ c.hold() ]]
    local fd = conn:fd()
    conn:close()
    helper.fails("closed", "", function() tcp.poll({ conn }, nil, 0) end)
    helper.fails("io", "bad file descriptor", function() tcp.poll({ fd }, nil, 0) end)
  end)
end)
