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

local KINDS = 19

-- The items that the peer sends, in order: kind and text.
local function new_items(seed)
  local random, i = new_random(seed), 0
  return function()
    local kind = random(KINDS)
    local size = random(20) == 0 and random(60000) or random(200)
    i = i + 1
    return kind, ("%d:"):format(i) .. string.char(97 + random(26)):rep(size)
  end
end

local peer_code = [[
  rounds, seed, kinds = %d, %d, %d

  def new_random(seed):
    x = seed %% 2147483646 + 1
    def random(n):
      nonlocal x
      x = x * 16807 %% 2147483647
      return x %% n
    return random

  def varint(text):
    length, head = len(text), b""
    while length > 127:
      head, length = head + bytes([length & 127 | 128]), length >> 7
    return head + bytes([length]) + text

  def netstring(text):
    return b"%%d:%%b," %% (len(text), text)

  random, parts = new_random(seed), []
  for i in range(1, rounds + 1):
    kind = random(kinds)
    size = random(60000) if random(20) == 0 else random(200)
    text = b"%%d:" %% i + bytes([97 + random(26)]) * size
    quoted = b'"' + text + b'"'
    parts.append([
      text + b"\r\n", text + b"--", packet(text), packet(quoted), quoted, text, packet(text), varint(text),
      netstring(text), struct.pack(">H", len(text)) + text, text + b"\0", text + b"\r\n.\r\n",
      b"Q" + struct.pack(">I", len(text) + 4) + text, b"ZBXD" + struct.pack("<Q", len(text)) + text,
      text + b"$", text, text, text + b"\r\n", netstring(text)][kind])
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
  function(conn) return conn:read_packet() end,
  function(conn) return conn:read_packet() end,
  function(conn) return conn:read_packet() end,
  function(conn) return conn:read_packet() end,
  function(conn) return conn:read_packet() end,
  function(conn)
    local body, header = conn:read_packet()
    assert(header == "Q")
    return body
  end,
  function(conn) return conn:read_packet() end,
  function(conn)
    local number, letters = conn:read_match "^(%d+):(%l*)%$"
    return number .. ":" .. letters
  end,
  function(conn, text)
    assert(conn:peek(#text) == text)
    return conn:read(#text)
  end,
  function(conn, text)
    conn:skip(#text)
    return #text
  end,
  function(conn) return conn:read_line(nil, "keep") end,
  function(conn) return conn:skip_packet() end,
}

-- How the packets of a kind are cut, where that is not the default.
local POSTGRES = { length_size = 4, length_offset = 1, length_adjustment = -4 }
local framings = {
  [7] = "varint", [8] = "netstring", [9] = 2, [10] = { delimiter = "\0" }, [11] = { delimiter = "\r\n.\r\n" },
  [12] = POSTGRES, [13] = { length_size = 8, prefix = "ZBXD" }, [18] = "netstring",
}
local little = { [13] = true }

-- What a read of a kind gives, where that is not the text.
local function wanted_of(kind, text)
  if kind == 6 or kind == 16 or kind == 18 then return #text end
  return kind == 17 and text .. "\r\n" or text
end

local function varint(n)
  local head = ""
  while n > 127 do
    head, n = head .. string.char(n % 128 + 128), math.floor(n / 128)
  end
  return head .. string.char(n)
end

local function length(n, size)
  local head = ""
  for _ = 1, size do
    head, n = string.char(n % 256) .. head, math.floor(n / 256)
  end
  return head
end

-- Framings to write with, and what stands on the wire for a body.
local written = {
  [0] = { 4, function(body) return length(#body, 4) .. body end },
  { 3, function(body) return length(#body, 3) .. body end },
  { "varint", function(body) return varint(#body) .. body end },
  { "netstring", function(body) return ("%d:%s,"):format(#body, body) end },
  { { delimiter = "--" }, function(body) return body .. "--" end },
  { POSTGRES, function(body) return "Q" .. length(#body + 4, 4) .. body end, "Q" },
}

-- Something to send: what to call, the bytes that must arrive, and the framing.
local function new_write(random, i)
  local text = ("%d:"):format(i) .. ("w"):rep(random(10) == 0 and random(100000) or random(300))
  local kind = random(5)
  if kind == 0 then
    return "send", { text, 12, "end" }, text .. "12end"
  elseif kind == 1 then
    return "write_json", { { i, text } }, ('[%d,"%s"]\n'):format(i, text)
  end
  local framing = written[random(6)]
  if kind == 2 then return "write_packet", { text, framing[3] }, framing[2](text), framing[1] end
  return "write_json_packet", { text, framing[3] }, framing[2](('"%s"'):format(text)), framing[1]
end

for _, over in ipairs(helper.kinds) do
  describe("nothing is lost over " .. over.name, function()
    after_each(helper.finish)

    it(("in %d random reads and writes under short timeouts"):format(rounds), function()
      local seed = first_seed % 1000000
      local conn, peer = over.connect(peer_code:format(rounds, seed, KINDS))
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
        local method, arguments, bytes, framing = new_write(random, i)
        expected[#expected + 1] = bytes
        if framing then conn:set_options { framing = framing, endian = "big" } end
        -- A write whose time is up is queued all the same.
        try(function() conn[method](conn, (table.unpack or unpack)(arguments)) end) -- luacheck: ignore 113 143
      end

      for i = 1, rounds do
        local kind, text = next_item()
        local done, got
        repeat
          conn:set_options { framing = framings[kind] or 4, endian = little[kind] and "little" or "big" }
          done, got = try(readers[kind], text)
          if random(4) == 0 and #expected < rounds then write(#expected + 1) end
        until done
        local wanted = wanted_of(kind, text)
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
