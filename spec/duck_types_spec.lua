-- The words of other libraries: LuaSocket's `select` and cqueues wait on our connections and
-- listeners. Neither is packaged for every Lua; where one is missing, that is said.

local helper = require "spec.support.helper"
local tcp = require "tcp"

local function it_with(name, title, body)
  it(title, function()
    local found, why = helper.library(name)
    if not found then return pending(why) end
    body(found)
  end)
end

for _, over in ipairs(helper.kinds) do
  describe("over " .. over.name, function()
    after_each(helper.finish)

    -- What TLS 1.3 says for itself after the handshake is not for a reader, but other libraries see
    -- it in the socket. Our own poll takes it out.
    local function settled(conn)
      assert.same({}, (tcp.poll({ conn }, nil, 0.1)))
      return conn
    end

    local two_lines = [[
      c.recv_exactly(2)
      c.send(b"one\ntwo\n")
      c.hold()
    ]]

    it_with("socket", "LuaSocket's select waits for a connection", function(socket)
      local conn = settled(over.connect(two_lines))
      assert.same({}, (socket.select({ conn }, nil, 0.05)))
      assert.same({ conn }, { (select(2, socket.select(nil, { conn }, 1)))[1] })
      conn:send "go"
      assert.equal(conn, (socket.select({ conn }, nil, 3))[1])
      assert.equal("one", conn:read_line())
      -- Nothing is left in the socket: what select cannot see, `dirty` tells.
      assert.is_true(conn:dirty())
      assert.equal(conn, (socket.select({ conn }, nil, 3))[1])
      assert.equal("two", conn:read_line())
      assert.is_false(conn:dirty())
      assert.same({}, (socket.select({ conn }, nil, 0.05)))
    end)

    it_with("cqueues", "cqueues polls a connection", function(cqueues)
      local conn = settled(over.connect(two_lines))
      local lines = {}
      local loop = cqueues.new()
      loop:wrap(function()
        assert(cqueues.poll(conn, 0.05) ~= conn)
        conn:send "go"
        for i = 1, 2 do
          assert(cqueues.poll(conn, 3) == conn)
          lines[i] = conn:read_line()
        end
        assert(cqueues.poll(conn, 0.05) ~= conn)
        cqueues.cancel(conn:pollfd())
      end)
      assert(loop:loop())
      assert.same({ "one", "two" }, lines)
    end)
  end)
end

describe("a listener", function()
  after_each(helper.finish)

  it_with("socket", "is what LuaSocket's select waits for", function(socket)
    local listener = helper.keep(tcp.listen("127.0.0.1", 0))
    assert.same({}, (socket.select({ listener }, nil, 0.05)))
    helper.dial(listener:port(), [[ c.hold() ]])
    assert.equal(listener, (socket.select({ listener }, nil, 3))[1])
    helper.keep(listener:accept(0))
  end)

  it_with("cqueues", "is what cqueues polls", function(cqueues)
    local listener = helper.keep(tcp.listen("127.0.0.1", 0))
    local accepted
    local loop = cqueues.new()
    loop:wrap(function()
      assert(cqueues.poll(listener, 0.05) ~= listener)
      helper.dial(listener:port(), [[ c.hold() ]])
      assert(cqueues.poll(listener, 3) == listener)
      accepted = helper.keep(listener:accept(0))
      cqueues.cancel(listener:pollfd())
    end)
    assert(loop:loop())
    assert.is_true(accepted:is_open())
  end)
end)

describe("the descriptor", function()
  after_each(helper.finish)

  it("has one number under all its names, and none once it is closed", function()
    local conn = helper.connect [[ c.hold() ]]
    assert.equal(conn:fd(), conn:getfd())
    assert.equal(conn:fd(), conn:pollfd())
    assert.equal("r", conn:events())
    assert.is_nil(conn:timeout())
    conn:close()
    for _, name in ipairs { "fd", "getfd", "pollfd", "events", "timeout", "dirty" } do
      helper.fails("closed", "^" .. name .. " ", function() conn[name](conn) end)
    end
  end)
end)
