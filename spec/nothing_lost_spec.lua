-- Nothing is lost: a long random run of reads and writes of every kind, under timeouts so short
-- that many run out anywhere, and every byte is compared. TCP_SPEC_ROUNDS sets its length,
-- TCP_SPEC_SEED repeats one.

local helper = require "spec.support.helper"

local rounds = tonumber(os.getenv "TCP_SPEC_ROUNDS") or 500
local first_seed = tonumber(os.getenv "TCP_SPEC_SEED") or os.time()

-- Park and Miller's generator, which the peer has too: both sides know the same items.
local function new_random(seed)
  local x = seed % 2147483646 + 1
  return function(n)
    x = x * 16807 % 2147483647
    return x % n
  end
end

-- The items that the peer sends, in order: kind and text.
local function new_items(seed)
  local random, i = new_random(seed), 0
  return function()
    local kind = random(7)
    local size = random(20) == 0 and random(60000) or random(200)
    i = i + 1
    return kind, ("%d:"):format(i) .. string.char(97 + random(26)):rep(size)
  end
end

local peer_code = [[
  rounds, seed = %d, %d

  def new_random(seed):
    x = seed %% 2147483646 + 1
    def random(n):
      nonlocal x
      x = x * 16807 %% 2147483647
      return x %% n
    return random

  random, parts = new_random(seed), []
  for i in range(1, rounds + 1):
    kind = random(7)
    size = random(60000) if random(20) == 0 else random(200)
    text = b"%%d:" %% i + bytes([97 + random(26)]) * size
    quoted = b'"' + text + b'"'
    parts.append([text + b"\r\n", text + b"--", packet(text), packet(quoted), quoted, text, packet(text)][kind])
  stream = b"".join(parts)

  # Sends and receives by turns, in random pieces with random pauses.
  random, got, sent = new_random(seed + 1), [], 0
  done = b"the end"
  c.sock.settimeout(0)
  deadline = time.monotonic() + 60 + rounds / 50
  while sent < len(stream) or not (got and b"".join(got[-8:]).endswith(done)):
    if time.monotonic() > deadline: raise EOFError("too slow: %%d of %%d" %% (sent, len(stream)))
    if sent < len(stream):
      size = 1 + (random(8000) if random(10) == 0 else random(300))
      c.sock.settimeout(10)
      c.send(stream[sent:sent + size])
      c.sock.settimeout(0)
      sent += size
    try:
      data = c.recv(1 + random(20000))
      if not data: raise EOFError("the end came too early")
      got.append(data)
    except (BlockingIOError, ssl.SSLWantReadError):
      pass
    if random(4) == 0: time.sleep(random(1000) / 1e6)
  c.sock.settimeout(10)
  return b"".join(got)
]]

local readers = {
  [0] = function(conn) return conn:read_line() end,
  function(conn) return conn:read_until "--" end,
  function(conn) return conn:read_packet() end,
  function(conn) return conn:read_json_packet() end,
  function(conn) return conn:read_json() end,
  function(conn, text) return conn:read(#text) end,
  function(conn) return conn:skip_packet() end,
}

-- Something to send: what to call, and the bytes that must arrive.
local function new_write(random, i)
  local text = ("%d:"):format(i) .. ("w"):rep(random(10) == 0 and random(100000) or random(300))
  local kind = random(5)
  if kind == 0 then
    return "send", { text, 12, "end" }, text .. "12end"
  elseif kind == 1 then
    return "write_json", { { i, text } }, ('[%d,"%s"]\n'):format(i, text)
  end
  local body = kind == 2 and text or ('"%s"'):format(text)
  local header = string.char(0, math.floor(#body / 65536) % 256, math.floor(#body / 256) % 256, #body % 256)
  if kind == 2 then return "write_packet", { text }, header .. body end
  return "write_json_packet", { text }, header .. body
end

for _, over in ipairs(helper.kinds) do
  describe("nothing is lost over " .. over.name, function()
    after_each(helper.finish)

    it(("in %d random reads and writes under short timeouts"):format(rounds), function()
      local seed = first_seed % 1000000
      local conn, peer = over.connect(peer_code:format(rounds, seed))
      local random, next_item, expected = new_random(seed + 2), new_items(seed), {}
      local timeouts, hint = 0, ("TCP_SPEC_SEED=%d: "):format(seed)

      -- Calls once, under a timeout of its own; true when it was done in time.
      local function try(method, ...)
        conn:set_timeout((1 + random(1000)) / (random(3) == 0 and 1e7 or 1e6))
        local ok, result = pcall(method, conn, ...)
        if ok then return true, result end
        if not result:find ": timeout: " then error(hint .. result, 0) end
        timeouts = timeouts + 1
        return false
      end

      local function write(i)
        local method, arguments, bytes = new_write(random, i)
        expected[#expected + 1] = bytes
        -- A write whose time is up is queued all the same.
        try(function() conn[method](conn, (table.unpack or unpack)(arguments)) end) -- luacheck: ignore 113 143
      end

      for i = 1, rounds do
        local kind, text = next_item()
        local done, got
        repeat
          done, got = try(readers[kind], text)
          if random(4) == 0 and #expected < rounds then write(#expected + 1) end
        until done
        local wanted = kind == 6 and #text or text
        if got ~= wanted then
          assert.equal(wanted, got, hint .. ("item %d of kind %d"):format(i, kind))
        end
      end
      conn:set_timeout(20)
      conn:send "the end"
      local received = peer:result()
      assert.is_true(received == table.concat(expected) .. "the end", hint .. "what was written did not arrive")
      assert.is_true(timeouts > rounds / 20, hint .. "hardly any timeout: this shows nothing")
    end)
  end)
end
