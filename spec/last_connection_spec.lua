-- `tcp.send` and `tcp.recv`: on the last connection that `connect` opened.

local helper = require "spec.support.helper"
local tcp = require "tcp"
local safe = require "tcp.safe"

-- Runs Lua source in a fresh process, which must end well; gives its output.
local function run(code, ...)
  return helper.run_well(code:format(...))
end

describe("the last connection", function()
  after_each(function()
    tcp.use(nil)
    helper.finish()
  end)

  it("is what send and recv use", function()
    local conn, peer = helper.connect [[
      c.send(c.recv_exactly(5)[::-1])
      return c.recv_all()
    ]]
    assert.is_nil(tcp.send "hello")
    assert.equal("olleh", tcp.recv())
    tcp.send(12)
    tcp.send "\0\255"
    conn:close()
    assert.equal("12\0\255", peer:result())
  end)

  it("is none in the beginning: closed", function()
    assert.equal("closed closed", run [[
      local safe = require "tcp.safe"
      local value, message, code = safe.send "x"
      assert(value == nil and message:find("^send: closed: .*connection") and code == "closed", message)
      value, message, code = safe.recv()
      assert(value == nil and message:find("^recv: closed: .*connection") and code == "closed", message)
      local tcp = require "tcp"
      local _, sent = pcall(function() tcp.send("x") end)
      local _, received = pcall(function() tcp.recv() end)
      assert(sent:match "^%%S+:%%d+: " and received:match "^%%S+:%%d+: ", sent)
      io.write(sent:match ": (closed): .*connection", " ", received:match ": (closed): .*connection")
    ]])
  end)

  it("is the newest of several", function()
    local first, older = helper.connect [[ return c.recv_all() ]]
    tcp.send "to the first"
    local second, newer = helper.connect [[ return c.recv_all() ]]
    tcp.send "to the second"
    first:close()
    second:close()
    assert.equal("to the first", older:result())
    assert.equal("to the second", newer:result())
  end)

  it("is that of a call's beginning for as long as the call waits", function()
    local first, older = helper.connect [[ return len(c.recv_all()) ]]
    local size, calls = 20e6, 0
    tcp.use(coroutine.yield)
    local sender = coroutine.create(function() tcp.send(("x"):rep(size)) end)
    assert(coroutine.resume(sender))
    local second, newer = helper.connect [[ return c.recv_all() ]]
    while coroutine.status(sender) ~= "dead" and calls < 1e5 do
      tcp.poll({}, { first }, 0.1)
      assert(coroutine.resume(sender, true))
      calls = calls + 1
    end
    tcp.use(nil)
    first:close()
    second:close()
    assert.equal(size, older:result())
    assert.equal("", newer:result())
  end)

  it("does not fall back to an older one when it is closed", function()
    helper.connect [[ c.hold() ]]
    local conn = helper.connect ""
    conn:close()
    helper.fails("closed", "^send ", function() tcp.send "x" end)
    helper.fails("closed", "^recv ", function() tcp.recv() end)
  end)

  it("stays alive though the script has forgotten it", function()
    local peer = helper.listen [[
      c.send(c.recv_exactly(4))
      return c.ending()
    ]]
    tcp.connect("127.0.0.1", peer.port, helper.timeout)
    collectgarbage()
    collectgarbage()
    tcp.send "ping"
    assert.equal("ping", tcp.recv())
    -- The next one takes its place, and then it may be collected.
    helper.connect ""
    collectgarbage()
    collectgarbage()
    assert.equal("end", peer:result())
  end)

  it("is not changed by a connect that fails", function()
    local _, peer = helper.connect [[ return c.recv_exactly(5) ]]
    local port = helper.listen("", { listen = false }).port
    helper.fails("refused", "", function() tcp.connect("127.0.0.1", port, helper.timeout) end)
    tcp.send "still"
    assert.equal("still", peer:result())
  end)

  it("is not changed by connect_tls", function()
    local _, peer = helper.connect [[ return c.recv_exactly(5) ]]
    helper.connect_tls ""
    tcp.send "plain"
    assert.equal("plain", peer:result())
  end)

  it("is shared by tcp and tcp.safe, each failing in its own way", function()
    local _, peer = helper.connect([[ return c.recv_exactly(6) ]], nil, nil, safe)
    tcp.send "one"
    assert.is_true(safe.send "two")
    assert.equal("onetwo", peer:result())
    local conn = helper.connect [[ c.hold() ]]
    conn:close()
    helper.fails("closed", "^send ", function() tcp.send "x" end)
    helper.fails("closed", "^recv ", function() tcp.recv() end)
    helper.fails_safely("closed", "^send ", safe.send "x")
    helper.fails_safely("closed", "^recv ", safe.recv())
  end)

  it("is shared with the connection's own methods", function()
    local conn = helper.connect [[ c.send(b'{"a":1}rest') ]]
    assert.same({ a = 1 }, conn:read_json())
    assert.equal("rest", tcp.recv())
  end)

  it("has the timeout that it was opened with", function()
    helper.connect([[ c.hold() ]], { timeout = 0.05, connect_timeout = helper.timeout })
    helper.fails("timeout", "^recv 127%.0%.0%.1:%d+: timeout: ", function() tcp.recv() end)
  end)

  it("gives at most 8192 bytes a time, and an empty string at the end", function()
    local _, peer = helper.connect [[ c.send(b"x" * 30000) ]]
    peer:result()
    local got = 0
    repeat
      local part = tcp.recv()
      assert.is_true(#part <= 8192)
      got = got + #part
    until part == ""
    assert.equal(30000, got)
    assert.equal("", tcp.recv())
  end)

  it("works from a coroutine", function()
    local _, peer = helper.connect [[ return c.recv_exactly(2) ]]
    coroutine.wrap(function() tcp.send "co" end)()
    assert.equal("co", peer:result())
  end)

  it("belongs to one Lua state alone", function()
    if not pcall(require, "luv") then return pending "luv is not installed" end
    local peer = helper.listen [[ return c.recv_all() ]]
    assert.equal("closed", run([[
      local luv = require "luv"
      require("tcp").connect("127.0.0.1", %d, 3)
      luv.thread_join(luv.new_thread(function(path, cpath)
        package.path, package.cpath = path, cpath
        io.write((select(3, require("tcp.safe").send "x")))
      end, package.path, package.cpath))
      luv.run() -- from 1.48 on luv crashes at the state's end where it has not seen a thread's end
    ]], peer.port))
    assert.equal("", peer:result())
  end)
end)
