--- What the clients share: `common.run(scenarios)` runs the one that the command line names, as in
-- `LUA bench/clients/PEER.lua SCENARIO PORT COUNT SIZE FOLDER`, and says on its output when it
-- starts and ends. A scenario gets the port (of a Unix socket the path), the count and the size. It
-- checks what it reads.

local common = {}

common.folder = arg[5]
common.ca_file = arg[5] .. "/root.pem"

function common.run(scenarios)
  local name, port, count, size = arg[1], tonumber(arg[2]) or arg[2], tonumber(arg[3]), tonumber(arg[4])
  io.stdout:setvbuf "no"
  io.write "start\n"
  scenarios[name](port, count, size)
  io.write "end\n"
end

--- What the ids of `count` packets must add up to.
function common.sum_of_ids(count)
  return count * 100000 + count * (count - 1) / 2
end

--- A line of so many bytes, without its end.
function common.line(size)
  return ("abcdefghijklmnopqrstuvwxyz"):rep(math.ceil(size / 26)):sub(1, size)
end

--- The body of the packets that are not decoded.
function common.body()
  local file = assert(io.open(common.folder .. "/small.json", "rb"))
  local body = file:read "*a"
  file:close()
  return body
end

-- A packet is four bytes of length, the highest first, and a body. What a script does for that
-- depends on what its Lua has.
if string.pack then
  function common.packet(body)
    return string.pack(">s4", body)
  end

  function common.length(header)
    return (string.unpack(">I4", header))
  end

  function common.length_at(bytes, from)
    return (string.unpack(">I4", bytes, from))
  end

  -- The same with two bytes.
  function common.two(body)
    return string.pack(">s2", body)
  end

  function common.two_at(bytes, from)
    return (string.unpack(">I2", bytes, from))
  end
else
  local byte, char, floor = string.byte, string.char, math.floor

  function common.packet(body)
    local n = #body
    return char(floor(n / 16777216), floor(n / 65536) % 256, floor(n / 256) % 256, n % 256) .. body
  end

  function common.length_at(bytes, from)
    local a, b, c, d = byte(bytes, from, from + 3)
    return ((a * 256 + b) * 256 + c) * 256 + d
  end

  function common.length(header)
    return common.length_at(header, 1)
  end

  function common.two(body)
    local n = #body
    return char(floor(n / 256), n % 256) .. body
  end

  function common.two_at(bytes, from)
    local a, b = byte(bytes, from, from + 1)
    return a * 256 + b
  end
end

-- Lengths of seven bits a byte, the lowest first, as protobuf has them.
local char, floor = string.char, math.floor

function common.varint(body)
  local n, head = #body, ""
  while n > 127 do
    head = head .. char(n % 128 + 128)
    n = floor(n / 128)
  end
  return head .. char(n) .. body
end

--- Reads such a length from what gives a byte each time.
function common.read_varint(next_byte)
  local length, scale = 0, 1
  local byte
  repeat
    byte = next_byte()
    length = length + byte % 128 * scale
    scale = scale * 128
  until byte < 128
  return length
end

return common
