-- The client of SCRAM-SHA-256-PLUS (RFC 5802, RFC 7677), in Lua alone. It needs the operators of
-- Lua 5.3.

local MASK = 0xffffffff

-- The constants of SHA-256 (FIPS 180-4): fractions of the roots of the first primes.
local K, START = {}, {}
do
  local number = 2
  while #K < 64 do
    local is_prime = true
    for divisor = 2, number - 1 do
      is_prime = is_prime and number % divisor ~= 0
    end
    if is_prime then
      K[#K + 1] = math.floor(number ^ (1 / 3) % 1 * 2 ^ 32)
      if #START < 8 then START[#START + 1] = math.floor(number ^ 0.5 % 1 * 2 ^ 32) end
    end
    number = number + 1
  end
end

local function rotate(x, by)
  return (x >> by | x << (32 - by)) & MASK
end

-- The state after another block of 64 bytes.
local function compress(state, text, at)
  local w = { string.unpack(">" .. ("I4"):rep(16), text, at) }
  for i = 17, 64 do
    local x, y = w[i - 15], w[i - 2]
    local s0 = rotate(x, 7) ~ rotate(x, 18) ~ x >> 3
    local s1 = rotate(y, 17) ~ rotate(y, 19) ~ y >> 10
    w[i] = w[i - 16] + s0 + w[i - 7] + s1 & MASK
  end
  local a, b, c, d, e, f, g, h = table.unpack(state)
  for i = 1, 64 do
    local t1 = h + (rotate(e, 6) ~ rotate(e, 11) ~ rotate(e, 25)) + (e & f ~ ~e & g) + K[i] + w[i]
    local t2 = (rotate(a, 2) ~ rotate(a, 13) ~ rotate(a, 22)) + (a & b ~ a & c ~ b & c)
    h, g, f, e, d, c, b, a = g, f, e, d + t1 & MASK, c, b, a, t1 + t2 & MASK
  end
  local after = { a, b, c, d, e, f, g, h }
  for i = 1, 8 do after[i] = after[i] + state[i] & MASK end
  return after
end

-- The hash of a text whose first `before` bytes have led to `state`.
local function sha256(text, state, before)
  state, before = state or START, before or 0
  local size = #text + before
  text = text .. "\128" .. ("\0"):rep(-(#text + 9) % 64) .. string.pack(">I8", size * 8)
  for at = 1, #text, 64 do state = compress(state, text, at) end
  return string.pack(">" .. ("I4"):rep(8), table.unpack(state))
end

-- A function that gives the HMAC of a text (RFC 2104).
local function hmac(key)
  key = (#key > 64 and sha256(key) or key)
  key = key .. ("\0"):rep(64 - #key)
  local function pad(byte)
    return compress(START, (key:gsub(".", function(c) return string.char(c:byte() ~ byte) end)), 1)
  end
  local inner, outer = pad(0x36), pad(0x5c)
  return function(text) return sha256(sha256(text, inner, 64), outer, 64) end
end

local function xor(one, two)
  local a, b, c, d = string.unpack(">I8I8I8I8", one)
  local e, f, g, h = string.unpack(">I8I8I8I8", two)
  return string.pack(">I8I8I8I8", a ~ e, b ~ f, c ~ g, d ~ h)
end

-- The last key, which takes long to make.
local last_of, last_key

-- The first 32 bytes of PBKDF2 (RFC 8018).
local function pbkdf2(password, salt, iterations)
  local of = ("%d %d %s%s"):format(iterations, #salt, salt, password)
  if of == last_of then return last_key end
  local of_password = hmac(password)
  local last = of_password(salt .. "\0\0\0\1")
  local result = last
  for _ = 2, iterations do
    last = of_password(last)
    result = xor(result, last)
  end
  last_of, last_key = of, result
  return result
end

local DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

local function base64(bytes)
  local text = bytes:gsub("..?.?", function(three)
    local number = string.unpack(">I3", three .. ("\0"):rep(3 - #three))
    local four = ""
    for shift = 18, 18 - 6 * #three, -6 do
      local digit = number >> shift & 63
      four = four .. DIGITS:sub(digit + 1, digit + 1)
    end
    return four .. ("="):rep(3 - #three)
  end)
  return text
end

local function from_base64(text)
  local bytes = text:gsub("=", ""):gsub("..?.?.?", function(four)
    local number = 0
    for digit in four:gmatch "." do number = number << 6 | DIGITS:find(digit, 1, true) - 1 end
    number = number << 6 * (4 - #four)
    return string.pack(">I3", number):sub(1, #four - 1)
  end)
  return bytes
end

-- Returns a client: `first`, its first message; `answer(message)`, its answer to the server's
-- first; `accepts(message)`, whether the server's last shows that it knows the password.
-- `kind` and `binding` are a channel binding.
local function client(password, nonce, kind, binding)
  local header = "p=" .. kind .. ",,"
  local bare = "n=,r=" .. nonce
  local signature
  return {
    first = header .. bare,
    answer = function(challenge)
      local both, salt, iterations = challenge:match "^r=([^,]*),s=([^,]*),i=(%d+)$"
      assert(both and both:sub(1, #nonce) == nonce, challenge)
      local salted = hmac(pbkdf2(password, from_base64(salt), tonumber(iterations)))
      local final = "c=" .. base64(header .. binding) .. ",r=" .. both
      local all = bare .. "," .. challenge .. "," .. final
      local key = salted "Client Key"
      signature = hmac(salted "Server Key")(all)
      return final .. ",p=" .. base64(xor(key, hmac(sha256(key))(all)))
    end,
    accepts = function(message) return message == "v=" .. base64(signature) end,
  }
end

return { client = client, sha256 = sha256, hmac = hmac, pbkdf2 = pbkdf2, base64 = base64,
  from_base64 = from_base64 }
