-- Nothing is lost, whatever times out: random items, read and written with random timeouts that
-- mostly are too short, arrive whole and in order. 10,000 rounds in all, the same ones in each run.

local helper = require "spec.support.helper"

local rounds = 2500 -- for each direction of each kind of connection

-- Numbers that every Lua draws alike (Park and Miller's generator).
local function generator(seed)
  return function(low, high)
    seed = seed * 16807 % 2147483647
    return low + seed % (high - low + 1)
  end
end

-- What is read, by how it stands in the stream.
local makers = {
  function(random)
    local text = ("x"):rep(random(0, 40)) .. ("\r"):rep(random(0, 1)) .. "y"
    return { "read_line", text, text .. ("\r"):rep(random(0, 1)) .. "\n" }
  end,
  function(random)
    local text = ("\n-"):rep(random(0, 30))
    return { "read_until", text, text .. "--\0--", "--\0--" }
  end,
  function(random)
    local text = ("\0\1\2\255"):rep(random(0, 100))
    return { "read", text, text, #text }
  end,
  function(random)
    local value = { n = random(0, 1e6), text = ("\195\169\"\\"):rep(random(0, 20)) }
    return { "read_json", value, (" "):rep(random(0, 2)) .. require("tcp").json.encode(value) }
  end,
  function(random)
    local size = random(0, 255)
    return { "read_packet", ("p"):rep(size), "\0\0\0" .. string.char(size) .. ("p"):rep(size) }
  end,
  function()
    return { "read_json_packet", { true, "x" }, "\0\0\0\10[true,\"x\"]" }
  end,
}

-- Makes a call until it does not time out any more; how often it did.
local function insist(random, conn, method, argument)
  local timeouts = 0
  for _ = 1, 5000 do
    conn:set_timeout(random(1, 20) / 20000)
    local ok, result = pcall(conn[method], conn, argument)
    if ok then return result, timeouts end
    assert(result:find(": timeout: ", 1, true), result)
    timeouts = timeouts + 1
  end
  error(method .. " never ends")
end

for _, over in ipairs(helper.kinds) do
  describe("random timeouts over " .. over.name, function()
    after_each(helper.finish)

    it("lose nothing that is read", function()
      local conn, peer = over.connect([[
        import random
        draw = random.Random(7)
        data = c.recv_packet()
        at = 0
        while at < len(data):
          size = draw.randint(1, draw.choice([3, 30, 3000]))
          c.send(data[at:at + size])
          at += size
          if draw.random() < 0.5: time.sleep(draw.random() / 200)
      ]], { max_packet = 1e8 })
      local random, items, stream = generator(42), {}, {}
      for i = 1, rounds do
        items[i] = makers[random(1, #makers)](random)
        stream[i] = items[i][3]
      end
      conn:write_packet(table.concat(stream))
      local total = 0
      for i, item in ipairs(items) do
        local got, timeouts = insist(random, conn, item[1], item[4])
        total = total + timeouts
        assert.same(item[2], got, i .. " " .. item[1])
      end
      assert(total > 100, "too few timeouts to prove anything: " .. total)
      conn:set_timeout(helper.timeout)
      assert.equal("", conn:recv())
      peer:result()
    end)

    it("lose nothing that is written", function()
      local conn, peer = over.connect(([[
        import random
        draw = random.Random(9)
        for i in range(%d):
          if draw.random() < 0.2: time.sleep(draw.random() / 200)
          size = i * 7919 %% 9000
          if c.recv_packet() != b"%%d:" %% i + b"w" * size: return i
        return "all"
      ]]):format(rounds))
      local random, timeouts = generator(43), 0
      for i = 0, rounds - 1 do
        conn:set_timeout(random(1, 20) / 20000)
        local ok, message = pcall(conn.write_packet, conn, i .. ":" .. ("w"):rep(i * 7919 % 9000))
        if not ok then
          assert(message:find(": timeout: ", 1, true), message)
          timeouts = timeouts + 1
        end
      end
      local _, more = insist(random, conn, "flush")
      assert(timeouts + more > 10, "too few timeouts to prove anything: " .. timeouts + more)
      assert.equal("all", peer:result())
    end)
  end)
end
