-- The encodings of certificates: PEM and base64 (RFC 7468), DER (X.690), and the types of X.509
-- that LuaSec shows. What is malformed is an error, which `x509.load` catches.

local der = {}

local byte, char, concat = string.byte, string.char, table.concat
local floor = math.floor

-- Base64 ------------------------------------------------------------------------------------------

local ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
local values = {}
for i = 1, #ALPHABET do
  values[byte(ALPHABET, i)] = i - 1
end

function der.decode(text)
  local parts, bits, count = {}, 0, 0
  for i = 1, #text do
    local value = values[byte(text, i)]
    if value then
      bits, count = bits * 64 + value, count + 6
      if count >= 8 then
        count = count - 8
        local power = 2 ^ count
        parts[#parts + 1] = char(floor(bits / power))
        bits = bits % power
      end
    end
  end
  return concat(parts)
end

local function encode(bytes)
  local parts = {}
  for i = 1, #bytes, 3 do
    local one, two, three = byte(bytes, i, i + 2)
    local all = one * 65536 + (two or 0) * 256 + (three or 0)
    for shift = 18, 0, -6 do
      local at = floor(all / 2 ^ shift) % 64 + 1
      parts[#parts + 1] = ALPHABET:sub(at, at)
    end
    if not two then
      parts[#parts - 1] = "="
    end
    if not three then
      parts[#parts] = "="
    end
  end
  return concat(parts)
end

-- A PEM text, in lines of 64 letters.
function der.pem(label, bytes)
  local lines = { "-----BEGIN " .. label .. "-----" }
  local text = encode(bytes)
  for i = 1, #text, 64 do
    lines[#lines + 1] = text:sub(i, i + 63)
  end
  lines[#lines + 1] = "-----END " .. label .. "-----\n"
  return concat(lines, "\n")
end

-- Values ------------------------------------------------------------------------------------------

-- Reads the value at `at`: its tag, where its contents begin and end, and where the next one is.
function der.read(bytes, at, last)
  local tag, size = byte(bytes, at, at + 1)
  local from = at + 2
  if size and size >= 128 then
    local count = size - 128
    assert(count >= 1 and count <= 4, "length")
    size = 0
    for i = 1, count do
      size = size * 256 + assert(byte(bytes, from + i - 1), "length")
    end
    from = from + count
  end
  local to = from + assert(size, "length") - 1
  assert(to <= (last or #bytes), "length")
  return tag, from, to, to + 1
end

-- The values between `from` and `to`, as {tag, from, to, begin}.
function der.list(bytes, from, to)
  local all = {}
  while from <= to do
    local tag, first, last, after = der.read(bytes, from, to)
    all[#all + 1] = { tag = tag, from = first, to = last, at = from }
    from = after
  end
  return all
end

function der.children(bytes, value)
  return der.list(bytes, value.from, value.to)
end

-- The bytes of a value: its contents, or the whole of it.
function der.contents(bytes, value)
  return bytes:sub(value.from, value.to)
end

function der.whole(bytes, value)
  return bytes:sub(value.at, value.to)
end

-- An object identifier in dots.
function der.oid(bytes, value)
  local numbers, number = {}, 0
  for i = value.from, value.to do
    local each = byte(bytes, i)
    number = number * 128 + each % 128
    if each < 128 then
      if #numbers == 0 then
        numbers[1] = math.min(floor(number / 40), 2)
        number = number - numbers[1] * 40
      end
      numbers[#numbers + 1] = number
      number = 0
    end
  end
  for i = 1, #numbers do
    numbers[i] = ("%.0f"):format(numbers[i])
  end
  return concat(numbers, ".")
end

-- Two's complement, in hexadecimal digits as OpenSSL writes a number.
function der.integer(bytes, value)
  local text = der.contents(bytes, value)
  local sign = ""
  if (byte(text) or 0) >= 128 then
    sign = "-"
    local carry, parts = 1, {}
    for i = #text, 1, -1 do
      local each = 255 - byte(text, i) + carry
      carry = each > 255 and 1 or 0
      parts[i] = char(each % 256)
    end
    text = concat(parts)
  end
  text = text:gsub("^%z+", "")
  if text == "" then
    return "0"
  end
  return sign .. text:gsub(".", function(each) return ("%02X"):format(byte(each)) end)
end

-- How many bits a number has.
function der.bits(bytes, value)
  local text = der.contents(bytes, value):gsub("^%z+", "")
  local first, bits = byte(text) or 0, 0
  while first > 0 do
    first, bits = floor(first / 2), bits + 1
  end
  return bits + math.max(#text - 1, 0) * 8
end

-- Days since 1970 of a date.
local function days(year, month, day)
  if month <= 2 then
    year, month = year - 1, month + 12
  end
  return 365 * year + floor(year / 4) - floor(year / 100) + floor(year / 400)
    + floor((153 * (month - 3) + 2) / 5) + day - 719469
end

-- UTCTime (tag 23) or GeneralizedTime: seconds since 1970, and as OpenSSL prints it.
function der.time(bytes, value)
  local text = der.contents(bytes, value)
  local digits = value.tag == 23 and "(%d%d)" or "(%d%d%d%d)"
  local year, month, day, hour, minute, second =
    text:match("^" .. digits .. "(%d%d)(%d%d)(%d%d)(%d%d)(%d?%d?)")
  assert(year, "time")
  year, second = tonumber(year), tonumber(second) or 0
  if value.tag == 23 then
    year = year + (year < 50 and 2000 or 1900)
  end
  month, day, hour, minute = tonumber(month), tonumber(day), tonumber(hour), tonumber(minute)
  local names = { "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" }
  local words = ("%s %2d %02d:%02d:%02d %d GMT"):format(assert(names[month], "time"), day, hour,
    minute, second, year)
  return days(year, month, day) * 86400 + hour * 3600 + minute * 60 + second, words
end

-- Text --------------------------------------------------------------------------------------------

local function utf8_of(code)
  if code < 128 then
    return char(code)
  elseif code < 2048 then
    return char(192 + floor(code / 64), 128 + code % 64)
  end
  return char(224 + floor(code / 4096), 128 + floor(code / 64) % 64, 128 + code % 64)
end

-- The text of a string type in UTF-8: BMPString (30) and T61String (20) are of other encodings.
function der.utf8(text, tag)
  if tag == 30 then
    return (text:gsub("(.)(.?)", function(high, low)
      return utf8_of(byte(high) * 256 + (byte(low) or 0))
    end))
  elseif tag == 20 then
    return (text:gsub(".", function(each) return utf8_of(byte(each)) end))
  end
  return text
end

-- An address of 4 or 16 bytes; nil for others. The longest run of zeros is left out (RFC 5952).
function der.address(bytes)
  if #bytes == 4 then
    return ("%d.%d.%d.%d"):format(byte(bytes, 1, 4))
  elseif #bytes ~= 16 then
    return nil
  end
  local groups = {}
  if bytes:sub(1, 12) == ("\0"):rep(10) .. "\255\255" then
    return "::ffff:" .. der.address(bytes:sub(13))
  end
  for i = 1, 16, 2 do
    groups[#groups + 1] = ("%x"):format(byte(bytes, i) * 256 + byte(bytes, i + 1))
  end
  local best, size, run = 0, 1, 0
  for i = 1, 8 do
    run = groups[i] == "0" and run + 1 or 0
    if run > size then
      best, size = i - run + 1, run
    end
  end
  if best == 0 then
    return concat(groups, ":")
  end
  return concat(groups, ":", 1, best - 1) .. "::" .. concat(groups, ":", best + size, 8)
end

return der
