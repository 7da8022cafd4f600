-- tcp.json: values to text and back, exactly, or a failure that says where.

local helper = require "spec.support.helper"
local tcp = require "tcp"
local safe = require "tcp.safe"

local json = tcp.json
local null = json.null

local has_integers = math.type ~= nil -- luacheck: ignore 143

local function decode_fails(text, pattern, options)
  local message = helper.fails("json", pattern, function()
    local value = json.decode(text, options)
    return value
  end)
  local _, returned = helper.fails_safely("json", pattern, safe.json.decode(text, options))
  assert.is_nil(returned)
  return message
end

local function encode_fails(value, pattern)
  helper.fails("json", pattern, function()
    local text = json.encode(value)
    return text
  end)
  helper.fails_safely("json", pattern, safe.json.encode(value))
end

-- Text that becomes a value and then the very same text.
local function same(text)
  assert.equal(text, json.encode(json.decode(text)))
end

local function character(code)
  if code < 0x80 then
    return string.char(code)
  elseif code < 0x800 then
    return string.char(0xC0 + math.floor(code / 64), 0x80 + code % 64)
  elseif code < 0x10000 then
    return string.char(0xE0 + math.floor(code / 4096), 0x80 + math.floor(code / 64) % 64, 0x80 + code % 64)
  end
  return string.char(0xF0 + math.floor(code / 262144), 0x80 + math.floor(code / 4096) % 64,
    0x80 + math.floor(code / 64) % 64, 0x80 + code % 64)
end

describe("json", function()
  describe("words and white space", function()
    it("has true, false and null", function()
      assert.is_true(json.decode "true")
      assert.is_false(json.decode "false")
      assert.equal(null, json.decode "null")
      assert.equal("userdata", type(null))
      assert.equal("[true,false,null]", json.encode { true, false, null })
    end)

    it("takes a bare nil for null", function()
      assert.equal("null", json.encode(nil))
      assert.equal("null", (json.encode()))
    end)

    it("is not harmed by odd calls of what debug finds behind it", function()
      local said, status = helper.run [[
        local json = require("tcp").json
        local odd = { {}, { 1 }, { "x" }, { json.null }, { json.null, 1 }, { {} }, { io.stdout }, { print, {}, "x" } }
        local function call(f)
          for _, arguments in ipairs(odd) do pcall(f, (table.unpack or unpack)(arguments)) end
        end
        for _, f in ipairs { json.decode, json.encode } do
          for i = 1, 9 do
            local _, native = debug.getupvalue(f, i)
            if type(native) == "function" and debug.getinfo(native, "S").what == "C" then
              call(native)
              local _, inner = debug.getupvalue(native, 1)
              if type(inner) == "function" then
                call(inner)
                for _, other in ipairs { 1, "x", {}, error } do
                  debug.setupvalue(native, 1, other)
                  pcall(native, nil, "[1]")
                  pcall(native, nil, { 1 })
                end
                debug.setupvalue(native, 1, inner)
              end
            end
          end
        end
        io.write(json.encode(json.decode "[1]"))
      ]]
      assert.same({ "[1]", 0 }, { said, status })
    end)

    it("shares its null with lua-cjson", function()
      local found, cjson = pcall(require, "cjson")
      if not found then return pending "lua-cjson is not here" end
      assert.equal(cjson.null, null)
      assert.equal("[null]", json.encode { cjson.null })
    end)

    it("allows white space around everything, of four kinds", function()
      assert.same({ { a = 1 } }, json.decode " \t\r\n[ \t\r\n{ \t\r\n\"a\" \t\r\n: \t\r\n1 \t\r\n} \t\r\n] \t\r\n")
      decode_fails("\v1", "line 1 column 1: ")
      decode_fails("\f1", "line 1 column 1: ")
      decode_fails("\194\1601", "line 1 column 1: ") -- a no-break space
    end)
  end)

  describe("numbers", function()
    it("keep integers", function()
      for _, text in ipairs { "0", "1", "-1", "9007199254740991", "-9007199254740991", "9007199254740992" } do
        same(text)
      end
      assert.equal(2 ^ 53, json.decode "9007199254740992")
    end)

    it("keep integers of 64 bits, where Lua has them", function()
      if not has_integers then return end
      local integers = { "9223372036854775807", "-9223372036854775808", "9007199254740993", "1000000000000000000" }
      for _, text in ipairs(integers) do
        assert.equal("integer", math.type(json.decode(text)))
        assert.equal(math.tointeger(text), json.decode(text)) -- luacheck: ignore 143
        same(text)
      end
      for shift = 0, 62 do
        local power = math.tointeger(2 ^ shift) -- luacheck: ignore 143
        for _, integer in ipairs { power - 1, power, power + 1, -power - 1, -power, 1 - power } do
          assert.equal(("%d"):format(integer), json.encode(integer))
          assert.equal(integer, json.decode(("%d"):format(integer)))
        end
      end
    end)

    it("tell floats from integers, where Lua does", function()
      if not has_integers then return end
      assert.equal("float", math.type(json.decode "1.0"))
      assert.equal("float", math.type(json.decode "1e2"))
      assert.equal("integer", math.type(json.decode "1"))
      assert.equal("1.0", json.encode(json.decode "1.0"))
      assert.equal("float", math.type(json.decode(json.encode(2 ^ 53))))
    end)

    it("write whole numbers without a fraction, where Lua has one kind", function()
      if has_integers then return end
      assert.equal("1", json.encode(1))
      assert.equal("-3", json.encode(-3.0))
      assert.equal("9007199254740992", json.encode(2 ^ 53))
      assert.equal("[1,2.5]", json.encode { 1, 2.5 })
    end)

    it("keep the sign of a negative zero", function()
      for _, text in ipairs { "-0", "-0.0", "-0e0", "-0.000e-3" } do
        assert.equal(-math.huge, 1 / json.decode(text))
      end
      assert.equal("-0.0", json.encode(-1 / math.huge)) -- LuaJIT on arm64 drops the sign of -0.0
      assert.equal(math.huge, 1 / json.decode "0.0")
    end)

    it("become the nearest float, and the shortest text that gives it back", function()
      local floats = { "0.1", "1.5", "-2.25", "5e-324", "1.7976931348623157e308", "2.2250738585072014e-308",
        "0.30000000000000004", "123456.789", "1e-7", "-65.613616999999977", "2.2250738585072011e-308",
        "9007199254740993.0", "1e22", "1e23", "8.41e21", "0.000001", "123456789012345678", "4.35", "1e-400",
        "179769313486231580793728971405301e276", "0.1234567890123456789012345678901234567890" }
      for _, text in ipairs(floats) do
        local value = json.decode(text)
        assert.equal(tonumber(text), value)
        assert.equal(value, json.decode(json.encode(value)))
      end
      assert.equal("0.1", json.encode(0.1))
      assert.equal("0.30000000000000004", json.encode(0.1 + 0.2))
      assert.equal("5e-324", json.encode(5e-324))
    end)

    it("round-trip to the bit, whatever the float", function()
      local random = helper.generator(5)
      for _ = 1, 50000 do
        local mantissa = (random(2 ^ 26) - 1) * 2 ^ 27 + random(2 ^ 27) - 1
        local float = (2 ^ 53 + mantissa) * 2 ^ (random(2046) - 1075 - 53) * (random(2) == 1 and 1 or -1)
        if json.decode(json.encode(float)) ~= float then
          error(("%.17g became %s"):format(float, json.encode(float)))
        end
      end
    end)

    it("decode as strtod does, whatever the digits", function()
      local random = helper.generator(6)
      local function digits(n)
        local list = {}
        for i = 1, n do list[i] = random(10) - 1 end
        return table.concat(list)
      end
      for _ = 1, 20000 do
        local text = ("%d.%s"):format(random(1000), digits(random(20)))
        if random(3) == 1 then text = ("%se%d"):format(text, random(600) - 300) end
        if random(2) == 1 then text = "-" .. text end
        if json.decode(text) ~= tonumber(text) then
          error(("%s became %.17g"):format(text, json.decode(text)))
        end
      end
    end)

    it("round an integer that Lua cannot hold, if they may", function()
      local big = { ["18446744073709551616"] = 2 ^ 64, ["-18446744073709551616"] = -2 ^ 64,
        ["36893488147419103232"] = 2 ^ 65, ["123456789012345678901234567890"] = 123456789012345678901234567890,
        ["9223372036854775808"] = 2 ^ 63, ["9223372036854775809"] = 2 ^ 63, ["-9223372036854775809"] = -2 ^ 63 }
      for text, float in pairs(big) do
        assert.equal(float, json.decode(text))
        assert.equal(float, json.decode(text, { bigint = "float" }))
        assert.equal(text, json.decode(text, { bigint = "string" }))
        assert.same({ text }, json.decode("[" .. text .. "]", { bigint = "string" }))
        decode_fails("[1,\n" .. text .. "]", "line 2 column 1: ", { bigint = "error" })
      end
      local digits = ("9"):rep(400)
      assert.equal(digits, json.decode(digits, { bigint = "string" }))
      decode_fails(digits, "line 1 column 1: ")
      -- What Lua holds is none of these options' business.
      assert.equal(9007199254740992, json.decode("9007199254740992", { bigint = "error" }))
      assert.equal(1e300, json.decode("1e300", { bigint = "error" }))
    end)

    it("draw the line where this Lua's integers end", function()
      local last = has_integers and "9223372036854775807" or "9007199254740992"
      local beyond = has_integers and "9223372036854775808" or "9007199254740993"
      assert.equal("number", type(json.decode(last, { bigint = "string" })))
      assert.equal("number", type(json.decode("-" .. last, { bigint = "string" })))
      assert.equal(beyond, json.decode(beyond, { bigint = "string" }))
    end)

    it("are refused out of range, or in another form", function()
      for _, text in ipairs { "1e309", "-1e309", "1e999999999999", "123e400" } do
        decode_fails(text, "line 1 column 1: number out of range")
      end
      for _, text in ipairs { "01", "-01", "+1", ".5", "1.", "1.e1", "-", "--1", "1e", "1e+", "0x10", "1_000",
        "NaN", "nan", "Infinity", "-Infinity", "inf", "1.2.3", "1e5.5", "٣" } do
        decode_fails(text, "line 1 column %d: ")
      end
      for _, value in ipairs { 0 / 0, math.huge, -math.huge } do
        encode_fails(value, "json: NaN and infinities have no JSON form$")
        encode_fails({ a = { value } }, "json: a%[1%]: NaN")
      end
    end)
  end)

  describe("strings", function()
    it("have escapes both ways", function()
      assert.equal('"\\/\b\f\n\r\tA\0', json.decode [["\"\\\/\b\f\n\r\t\u0041\u0000"]])
      assert.equal([["\"\\/\b\f\n\r\t\u0000\u001f]] .. '\127"', json.encode('"\\/\b\f\n\r\t\0\31\127'))
      assert.equal("aéb", json.decode [["a\u00e9b"]])
      assert.equal("aéb", json.decode [["a\u00E9b"]])
      assert.equal("😀", json.decode [["\ud83d\uDE00"]])
      assert.equal('"é😀"', json.encode "é😀")
    end)

    it("hold every Unicode scalar", function()
      local low, last_bytes, blocks = {}, {}, {}
      for code = 0, 127 do low[code + 1] = string.char(code) end
      for i = 1, 64 do last_bytes[i] = string.char(127 + i) end
      low, last_bytes = table.concat(low), table.concat(last_bytes)
      for code = 128, 0x10FFFF, 64 do -- those that differ in their last byte alone
        if code < 0xD800 or code > 0xDFFF then
          blocks[#blocks + 1] = last_bytes:gsub(".", character(code):sub(1, -2) .. "%0")
        end
      end
      local all = low .. table.concat(blocks)
      assert(all == json.decode(json.encode(all)))
      for i = 1, #blocks do
        if json.decode(json.encode(blocks[i])) ~= blocks[i] then error("from code " .. 128 + 64 * (i - 1)) end
      end
    end)

    it("are decoded from escapes of every code unit", function()
      for code = 0, 0xFFFF, 7 do
        local text = ('"\\u%04x"'):format(code)
        if code < 0xD800 or code > 0xDFFF then
          assert.equal(character(code), json.decode(text))
        else
          local column = code < 0xDC00 and 8 or 5
          decode_fails(text, ("line 1 column %d: half of a surrogate pair"):format(column))
        end
      end
      for code = 0x10000, 0x10FFFF, 1021 do
        local rest = code - 0x10000
        local text = ('"\\u%04X\\u%04x"'):format(0xD800 + math.floor(rest / 1024), 0xDC00 + rest % 1024)
        assert.equal(character(code), json.decode(text))
      end
    end)

    it("may be of any length, with the escape anywhere", function()
      for length = 0, 40 do
        local plain = ("x"):rep(length)
        same('"' .. plain .. '"')
        for at = 0, length do
          for _, special in ipairs { [[\"]], [[\\]], [[\n]], [[\u001f]], " ", "!", "#", "[", "]", "é", "\127" } do
            local text = '"' .. plain:sub(1, at) .. special .. plain:sub(at + 1) .. '"'
            same(text)
            same("{" .. text .. ":1}")
          end
        end
      end
      local long = ("abcdefghij"):rep(500000)
      assert(long == json.decode(json.encode(long)))
    end)

    it("are refused where they are not JSON", function()
      for at = 0, 20 do
        local before = ("y"):rep(at)
        local column = "line 1 column " .. at + 2 .. ": "
        decode_fails('"' .. before .. "\n\"", column .. "control character")
        decode_fails('"' .. before .. "\0\"", column .. "control character")
        decode_fails('"' .. before .. "\31zzzzzzzzzz\"", column .. "control character")
        decode_fails('"' .. before .. "\255zzzzzzzzzz\"", column .. "not UTF%-8")
        decode_fails('"' .. before .. "\\x41\"", "line 1 column " .. at + 3 .. ": unknown escape")
        decode_fails('"' .. before, "column " .. at + 2 .. ": unexpected end")
        decode_fails('"' .. before .. "\\", "unexpected end")
        encode_fails(before .. "\255zzzzzzzzzzz", "json: a string is not UTF%-8$")
      end
      for _, text in ipairs { [["\u"]], [["\u12"]], [["\u123"]], [["\u123g"]], [["\u+123"]], [["\u 123"]],
        [["\u12é"]] } do
        decode_fails(text, "line 1 column %d: expected four hexadecimal digits after \\u")
      end
      for _, text in ipairs { [["\ud800"]], [["\udc00"]], [["\ud800x"]], [["\ud800\n"]], [["\ud800\u0041"]],
        [["\ud800\ud800"]], [["\udc00\ud800"]] } do
        decode_fails(text, "line 1 column %d+: half of a surrogate pair")
      end
      decode_fails([["\ud800\u12"]], "line 1 column 10: ")
    end)

    it("are UTF-8 without exception", function()
      local bad = { "\192\128", "\224\128\128", "\237\160\128", "\237\191\191", "\244\144\128\128", "\245\128\128\128",
        "\128", "\255", "\254", "\195", "\226\130", "\240\159\152", "\195(", "\240\128\128\128" }
      for _, bytes in ipairs(bad) do
        encode_fails(bytes, "not UTF%-8")
        encode_fails({ [bytes] = 1 }, "a key is not UTF%-8")
        encode_fails({ a = { [bytes] = {} } }, "a: a key is not UTF%-8")
        encode_fails({ a = { bytes } }, "a%[1%]: a string is not UTF%-8")
        decode_fails('"' .. bytes .. '"', "line 1 column 2: not UTF%-8")
        decode_fails('{"' .. bytes .. '":1}', "line 1 column 3: not UTF%-8")
      end
      decode_fails("\239\187\191{}", "line 1 column 1: a byte order mark")
      assert.equal("\239\187\191", json.decode '"\239\187\191"')
    end)
  end)

  describe("arrays", function()
    it("are what has the keys 1..n", function()
      assert.equal("[1,2,3]", json.encode { 1, 2, 3 })
      assert.same({ 1, { 2, {} }, "x" }, json.decode '[1,[2,[]],"x"]')
      assert.equal(3, #json.decode "[null,null,null]")
    end)

    it("stay arrays, also when they are empty or have been emptied", function()
      same "[]"
      same "[[],[[]]]"
      same '{"a":[]}'
      same '{"a":{}}'
      local list = json.decode "[1,2]"
      list[2], list[1] = nil, nil
      assert.equal("[]", json.encode(list))
      assert.equal("{}", json.encode {})
    end)

    it("are marked by tcp.json.array, which returns them", function()
      local list = {}
      assert.equal(list, json.array(list))
      assert.equal("[]", json.encode(list))
      list[1] = "x"
      assert.equal('["x"]', json.encode(list))
      assert.equal(getmetatable(list), getmetatable(json.decode "[]"))
      assert.equal(getmetatable(list), getmetatable(safe.json.array {}))
      encode_fails(json.array { x = 1 }, "json: an array has string keys$")
      encode_fails({ a = json.array { 1, nil, 3 } }, "json: a: an array with holes: 2 keys, the largest 3$")
      assert.is_nil(getmetatable(json.decode "{}"))
    end)

    it("may lie in a table's hash part, in any order", function()
      local backwards = {}
      for i = 100, 1, -1 do backwards[i] = i end
      local after_a_name = { name = 1 }
      for i = 1, 100 do after_a_name[i] = i end
      after_a_name.name = nil
      local forwards = {}
      for i = 1, 100 do forwards[i] = i end
      local expected = "[" .. table.concat(forwards, ",") .. "]"
      assert.equal(expected, json.encode(backwards))
      assert.equal(expected, json.encode(after_a_name))
      local random = helper.generator(7)
      for size = 1, 40 do
        local keys, list = {}, {}
        for i = 1, size do keys[i] = i end
        for i = size, 2, -1 do
          local other = random(i)
          keys[i], keys[other] = keys[other], keys[i]
        end
        for _, key in ipairs(keys) do list[key] = { key } end
        local parts = {}
        for i = 1, size do parts[i] = "[" .. i .. "]" end
        assert.equal("[" .. table.concat(parts, ",") .. "]", json.encode(list))
      end
    end)

    it("have no holes", function()
      encode_fails({ 1, nil, 3 }, "json: an array with holes: 2 keys, the largest 3$")
      encode_fails({ [2] = 1 }, "an array with holes")
      encode_fails({ [2 ^ 26] = 1 }, "json: an array with holes: 1 keys, the largest 67108864$")
      encode_fails({ 1, 2, [2 ^ 53] = 1 }, "an array with holes")
      encode_fails({ valores = { { 1, 2, nil, 4 } } }, "json: valores%[1%]: an array with holes")
    end)
  end)

  describe("objects", function()
    it("are what has string keys", function()
      assert.same({ a = 1, b = { c = "d" } }, json.decode '{"a":1,"b":{"c":"d"}}')
      same '{"a":{"b":{"c":{}}}}'
      assert.same({ [""] = 1, ["1"] = 2, ["\0"] = 3 }, json.decode [[{"":1,"1":2,"\u0000":3}]])
    end)

    it("take the last of equal keys", function()
      assert.same({ a = 3 }, json.decode [[{"a":1,"\u0061":2,"a":3}]])
      assert.same({ a = { c = 2 } }, json.decode [[{"a":{"b":1},"a":{"c":2}}]])
    end)

    it("may have 100,000 keys", function()
      local object, parts = {}, {}
      for i = 1, 100000 do
        object["key" .. i] = i
        parts[i] = ('"key%d":%d'):format(i, i)
      end
      assert.same(object, json.decode("{" .. table.concat(parts, ",") .. "}"))
      assert.same(object, json.decode(json.encode(object)))
    end)

    it("have no other keys, and the path says where", function()
      encode_fails({ valores = { 1, 2, { x = print } } }, "json: valores%[3%]%.x: a function has no JSON form$")
      encode_fails({ [true] = 1 }, "json: a boolean key has no JSON form$")
      encode_fails({ a = { [{}] = 1 } }, "json: a: a table key has no JSON form$")
      encode_fails({ a = { { [print] = 1 } } }, "json: a%[1%]: a function key has no JSON form$")
      encode_fails({ [1.5] = 1 }, "json: the key 1%.5 is neither a string nor an array index$")
      encode_fails({ [0] = 1 }, "json: the key 0 is neither")
      encode_fails({ [-1] = 1 }, "json: the key %-1 is neither")
      encode_fails({ [math.huge] = 1 }, "json: the key inf is neither")
      encode_fails({ a = { 1, 2, x = 3 } }, "json: a: a table has both string and number keys$")
      encode_fails({ x = 1, [1] = 2 }, "both string and number keys")
      encode_fails({ 1, ["2"] = 2 }, "both string and number keys")
      encode_fails({ 1, 2, 3, [true] = 2 }, "json: a boolean key")
      encode_fails({ 1, 2, 3, [2.5] = 2 }, "json: the key 2%.5 is neither")
    end)
  end)

  describe("null = 'nil'", function()
    local options = { null = "nil" }

    it("leaves null members out", function()
      assert.same({ b = 1, c = {} }, json.decode('{"a":null,"b":1,"c":{"d":null}}', options))
    end)

    it("keeps the places of array elements, and a bare null", function()
      assert.same({ 1, null, { null } }, json.decode("[1,null,[null]]", options))
      assert.equal(null, json.decode("null", options))
      assert.same({ a = { null } }, json.decode('{"a":[null]}', options))
    end)

    it("lets the last of equal keys win all the same", function()
      assert.same({}, json.decode('{"a":1,"a":null}', options))
      assert.same({ a = 1 }, json.decode('{"a":null,"a":1}', options))
    end)

    it("is not the default", function()
      assert.same({ a = null }, json.decode '{"a":null}')
      assert.same({ a = null }, json.decode('{"a":null}', { null = "null" }))
      assert.same({ a = null }, json.decode('{"a":null}', {}))
    end)
  end)

  describe("what has no JSON form", function()
    it("is named", function()
      encode_fails(print, "json: a function has no JSON form$")
      encode_fails({ coroutine.create(function() end) }, "json: %[1%]: a thread has no JSON form$")
      encode_fails(io.stdout, "json: a userdata has no JSON form$")
      if type(jit) == "table" then
        encode_fails(require "ffi".new("int64_t", 1), "json: a cdata has no JSON form$")
      end
    end)

    it("has its path in names, indices and quotes", function()
      encode_fails({ ["a b"] = { { ["1st"] = { ok = print } } } }, 'json: %["a b"%]%[1%]%["1st"%]%.ok: a function')
      encode_fails({ { { print } } }, "json: %[1%]%[1%]%[1%]: a function")
      encode_fails({ ['"\n'] = print }, 'json: %["\\"\\n"%]: a function')
      encode_fails({ [("k"):rep(1e6)] = print }, "json: %[?\"?kkkk")
    end)

    it("leaves no trace: the next value is encoded as ever", function()
      for _ = 1, 100 do
        pcall(json.encode, { ("x"):rep(1000), { { print } } })
        assert.equal("[1]", json.encode { 1 })
      end
    end)
  end)

  describe("nesting", function()
    local function nested(depth)
      local value = {}
      for _ = 2, depth do value = { value } end
      return value
    end

    it("goes to 128, both ways", function()
      local text = ("["):rep(128) .. ("]"):rep(128)
      assert.equal(text, json.encode(json.decode(text)))
      same(('{"a":'):rep(127) .. "{}" .. ("}"):rep(127))
      assert.equal(("["):rep(127) .. "{}" .. ("]"):rep(127), json.encode(nested(128)))
    end)

    it("goes no further", function()
      decode_fails(("["):rep(129) .. ("]"):rep(129), "line 1 column 129: nested deeper than 128")
      decode_fails(('{"a":'):rep(129) .. "1", "nested deeper than 128")
      decode_fails(("["):rep(100000), "nested deeper than 128")
      encode_fails(nested(129), "nested deeper than 128")
      encode_fails(nested(10000), "nested deeper than 128")
    end)

    it("catches a cycle", function()
      local cycle = {}
      cycle.again = { cycle }
      encode_fails(cycle, "json: again%[1%]%.again%[1%]")
      local itself = {}
      itself[1] = itself
      encode_fails(itself, "nested deeper than 128")
    end)

    it("works deep in the stack and in coroutines", function()
      local function deep(n, fn)
        if n == 0 then return fn() end
        local result = deep(n - 1, fn)
        return result
      end
      local text = ("["):rep(128) .. ("]"):rep(128)
      local function both() return json.encode(json.decode(text)) end
      assert.equal(text, deep(150, both))
      assert.equal(text, coroutine.wrap(both)())
      assert.equal(text, coroutine.wrap(function() return deep(150, both) end)())
    end)
  end)

  describe("metatables", function()
    it("are left alone: no metamethod runs", function()
      local function never() error "a metamethod ran" end
      local metatable = { __index = never, __newindex = never, __pairs = never, __ipairs = never, __len = never,
        __tostring = never, __call = never, __eq = never, __concat = never, __name = "thing" }
      assert.equal('{"a":[1]}', json.encode(setmetatable({ a = setmetatable({ 1 }, metatable) }, metatable)))
      assert.equal("{}", json.encode(setmetatable({}, metatable)))
      encode_fails({ setmetatable({ print }, metatable) }, "%[1%]%[1%]: a function")
    end)

    it("do not hide what a proxy holds not", function()
      assert.equal("{}", json.encode(setmetatable({}, { __index = { a = 1 } })))
    end)
  end)

  describe("a finalizer", function()
    local function collectable(finalize)
      if _VERSION == "Lua 5.1" then
        local proxy = newproxy(true) -- luacheck: ignore 113
        getmetatable(proxy).__gc = finalize
        return proxy
      end
      return setmetatable({}, { __gc = finalize })
    end

    it("may decode and encode while decode is at work", function()
      local runs, text = 0, "[" .. ('{"a":[1,2,"x\\n"],"b":{"c":null}},'):rep(2000) .. "1]"
      local expected = json.encode(json.decode(text))
      local function finalize()
        runs = runs + 1
        assert(json.encode(json.decode '["again",{"x":["\\u00e9"]}]') == '["again",{"x":["é"]}]')
        if runs < 200 then collectable(finalize) end
      end
      collectable(finalize)
      for _ = 1, 50 do
        local again = json.encode(json.decode(text))
        assert(#again == #expected)
      end
      collectgarbage()
      collectgarbage()
      assert(runs > 0)
    end)
  end)

  describe("a failure to decode", function()
    it("says where: lines, and columns in characters", function()
      decode_fails("", "^%S*decode: json: line 1 column 1: ")
      decode_fails("  ", "line 1 column 3: ")
      decode_fails("[1,\n 2,\n x]", "line 3 column 2: ")
      decode_fails("[1,\r\n2,\r\n\r\n\tx]", "line 4 column 2: ")
      decode_fails('["ééé", x]', "line 1 column 9: ")
      decode_fails("{\n\n\n", "line 4 column 1: ")
      decode_fails("[1,2,3", "line 1 column 7: ")
    end)

    it("says what was expected", function()
      decode_fails("[1 2]", "line 1 column 4: expected ',' or '%]'")
      decode_fails('{"a" 1}', "line 1 column 6: expected ':'")
      decode_fails('{"a":1 "b":2}', "line 1 column 8: expected ',' or '}'")
      decode_fails("{a:1}", "line 1 column 2: expected a member name in double quotes")
      decode_fails("{1:1}", "line 1 column 2: expected a member name")
      decode_fails('{"a":1,}', "line 1 column 8: expected a member name")
      decode_fails("[1,]", "line 1 column 4: expected a value")
      decode_fails("[,1]", "line 1 column 2: expected a value")
      decode_fails("'a'", "line 1 column 1: expected a value")
      decode_fails("1 2", "line 1 column 3: unexpected text after the value")
      decode_fails("{}}", "line 1 column 3: unexpected text after the value")
      decode_fails("nul", "line 1 column 4: unexpected end, expected a value")
      decode_fails("truE", "line 1 column 4: expected true")
      decode_fails("nulll", "line 1 column 5: unexpected text")
      decode_fails("// x\n1", "line 1 column 1: expected a value")
      decode_fails("1\0", "line 1 column 2: unexpected text")
    end)

    it("is one at every cut of a text", function()
      local text = [[{"a":[1,-2.5e3,true,null,"x\n\u00e9\ud83d\ude00"],"b":{"":[]},"c":false}]]
      assert(json.decode(text))
      for cut = 0, #text - 1 do
        decode_fails(text:sub(1, cut), "line 1 column %d+: ")
      end
    end)
  end)

  it("survives any bytes", function()
    local random = helper.generator(8)
    local seed = [[{"a":[1,-2.5e3,true,null,"x\n\u00e9\ud83d\ude00é"],"b":{"":[]},"c":false}]]
    for _ = 1, 20000 do
      local at = random(#seed)
      local length = random(3) - 1
      local text = seed:sub(1, at - 1) .. string.char(random(256) - 1) .. seed:sub(at + length)
      local value, message, code = safe.json.decode(text)
      if value == nil then
        assert(code == "json" and message:find "line %d column %d+: ", message)
      else
        assert(json.encode(value))
      end
    end
  end)

  it("gives back what it was given, whatever the shape", function()
    local random = helper.generator(9)
    local function value(depth)
      local kind = random(depth > 0 and 8 or 6)
      if kind == 1 then return null end
      if kind == 2 then return random(2) == 1 end
      if kind == 3 then return random(2 ^ 31) - 2 ^ 30 end
      if kind == 4 then return (random(2 ^ 31) - 2 ^ 30) / random(2 ^ 20) end
      if kind <= 6 then
        local text = {}
        for i = 1, random(12) do text[i] = character(random(0xD7FF)) end
        return table.concat(text)
      end
      local container = kind == 7 and json.array {} or {}
      for i = 1, random(6) - 1 do
        container[kind == 7 and i or "key " .. random(100)] = value(depth - 1)
      end
      return container
    end
    for _ = 1, 1000 do
      local original = value(5)
      local text = json.encode(original)
      local again = json.decode(text)
      assert.same(original, again)
      assert.same(again, json.decode(json.encode(again)))
    end
  end)
end)
