-- Who waits for what is there goes on, whatever others do meanwhile. Both cases were found by the
-- simulator (CONTRIBUTING, "Simulate"): the call slept until its timeout, and was right only then.

local helper = require "spec.support.helper"
local loops = require "spec.support.loops"
local tcp = require "tcp.safe"
local throwing = require "tcp"

-- Two ends of a connection of this process.
local function new_pair(options)
  local listener = tcp.listen("127.0.0.1", 0, options)
  local one = tcp.connect("127.0.0.1", listener:port(), 5)
  local other = listener:accept(5)
  listener:close()
  one:set_timeout(3)
  other:set_timeout(3)
  return one, other
end

describe("a task", function()
  after_each(helper.finish)

  -- PUC Lua 5.1 cannot yield across pcall.
  local it_catches = loops.has_yielding_pcall and it or function() end
  it_catches("reads what another one was told of that was ended before it has read", function()
    local took = tcp.run(function()
      local conn, peer = new_pair()
      tcp.spawn(function() peer:send "a\n" end)
      assert.equal("a", conn:read_line())
      -- Ends a reader that the poller has woken already.
      local ended = not pcall(throwing.run, function()
        tcp.spawn(function() conn:read_line() end)
        tcp.sleep(0)
        peer:send "b\n"
        coroutine.yield()
        error("stop", 0)
      end)
      conn:send "c\n"
      local before = helper.clock()
      assert.equal("b", conn:read_line())
      assert.is_true(ended)
      return helper.clock() - before
    end)
    assert.is_true(took < 2)
  end)

  it("writes once another one has received the PROXY header for which it waits", function()
    local took = tcp.run(function()
      local client, server = new_pair { proxy_protocol = true }
      tcp.spawn(function() assert(server:send "welcome\n") end)
      tcp.sleep(0)
      client:send "PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\nline\n"
      local before = helper.clock()
      assert.equal("line", server:read_line())
      assert.equal("welcome", client:read_line())
      return helper.clock() - before
    end)
    assert.is_true(took < 2)
  end)
end)
