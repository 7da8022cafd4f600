-- doubles.lua [COUNT [SEED]]: encodes and decodes random doubles of every size, which must keep
-- each bit. strtod must read the text as the same number. 10 million by default, with tcp on
-- LUA_CPATH.

local json = require "tcp".json

local count, seed = tonumber((...)) or 1e7, tonumber((select(2, ...))) or 1
local batch = 1000

-- Park and Miller's generator, which is exact with doubles.
local function random(n)
  seed = seed * 16807 % 2147483647
  return seed % n
end

-- Returns a double of any sign, exponent and mantissa; no infinity and no NaN.
local function double()
  local sign, exponent, mantissa = 1 - 2 * random(2), random(2047), random(2 ^ 26) * 2 ^ 26 + random(2 ^ 26)
  if exponent == 0 then return sign * mantissa * 2 ^ -1074 end
  return sign * (2 ^ 52 + mantissa) * 2 ^ (exponent - 1075)
end

local function is_same(a, b)
  return a == b and 1 / a == 1 / b
end

local digits = 0
for first = 1, count, batch do
  local doubles = {}
  for i = 1, batch do doubles[i] = double() end
  local text = json.encode(doubles)
  local again, i = json.decode(text), 0
  for written in text:gmatch "[^%[%],]+" do
    i = i + 1
    if not (is_same(doubles[i], again[i]) and is_same(doubles[i], tonumber(written) + 0.0)) then
      error(("double %d: %.17g was written %s and read %.17g"):format(first + i - 1, doubles[i], written, again[i]))
    end
    digits = digits + #written
  end
  assert(i == batch)
end
print(("%d doubles came back to the bit, %.2f characters each"):format(count, digits / count))
