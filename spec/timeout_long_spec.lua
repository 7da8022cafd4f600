-- Timeouts of a second and more; the others are in timeout_spec.lua.

local helper = require "spec.support.helper"

local much = ("x"):rep(1.5e7) -- more than any kernel takes without a reader

for _, over in ipairs(helper.kinds) do
  describe("a timeout of a second over " .. over.name, function()
    after_each(helper.finish)

    it("begins anew with each call", function()
      local conn = over.connect([[
        for i in range(1, 7): c.drip(packet(i), 0.05)
      ]], { timeout = 1, connect_timeout = helper.timeout })
      -- 1.5 s in all; each call has its own second, and needs a quarter of it.
      for i = 1, 6 do assert.equal(i, conn:read_json_packet()) end
    end)
  end)
end

describe("a long timeout", function()
  after_each(helper.finish)

  it("is 2 s for a read and for a write", function()
    helper.takes(2, function() return helper.connect([[ c.hold() ]], 2) end, function(conn)
      helper.fails("timeout", "^recv ", function() conn:recv() end)
    end)
    helper.takes(2, function() return helper.connect_tls([[ c.hold() ]], 2) end, function(conn)
      helper.fails("timeout", "^send ", function() conn:send(much) end)
    end)
  end)
end)
