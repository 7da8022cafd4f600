-- tcp.json.encode with options: text for people and for signatures.

local helper = require "spec.support.helper"
local tcp = require "tcp"
local safe = require "tcp.safe"

local json = tcp.json

local function lines(...)
  return table.concat({ ... }, "\n")
end

local function refused(pattern, value, options)
  for _, module in ipairs { tcp, safe } do
    local ok, message = pcall(module.json.encode, value, options)
    assert.is_false(ok)
    assert.matches(pattern, message)
  end
end

-- A value of any shape.
local strings = { "", "plain", "é", "\240\159\152\128", "\"\\\n\1\127", "a/b~c", "\226\130\172 100" }
local function random_value(random, depth)
  local kind = random(depth > 4 and 5 or 7)
  if kind == 1 then
    return json.null
  elseif kind == 2 then
    return random(2) == 1
  elseif kind == 3 then
    return random(2000000) - 1000000
  elseif kind == 4 then
    return (random(2000000) - 1000000) / 2 ^ random(60)
  elseif kind == 5 then
    return strings[random(#strings)]
  end
  local value = kind == 6 and json.array {} or {}
  for i = 1, random(6) - 1 do
    value[kind == 6 and i or strings[random(#strings)] .. i] = random_value(random, depth + 1)
  end
  return value
end

describe("json.encode with options", function()
  describe("indent", function()
    it("puts each member on a line of its own", function()
      assert.equal(lines('[', '  1,', '  {', '    "a": [', '      true', '    ]', '  },', '  []', ']'),
        json.encode({ 1, { a = { true } }, json.array {} }, { indent = 2 }))
      assert.equal(lines("[", " 1", "]"), json.encode({ 1 }, { indent = 1 }))
      assert.equal(lines("[", (" "):rep(16) .. "1", "]"), json.encode({ 1 }, { indent = 16 }))
    end)

    it("leaves what is empty, and what is no table, on one line", function()
      local options = { indent = 4 }
      assert.equal("{}", json.encode({}, options))
      assert.equal("[]", json.encode(json.array {}, options))
      assert.equal("null", json.encode(nil, options))
      assert.equal('"a, b: [c]"', json.encode("a, b: [c]", options))
    end)

    it("is 1 to 16 spaces", function()
      refused("^bad argument #2 to 'encode' %(option 'indent': 1 to 16 expected, got 0%)", 1, { indent = 0 })
      refused("option 'indent': 1 to 16 expected, got 17", 1, { indent = 17 })
      refused("option 'indent': number expected, got boolean", 1, { indent = true })
    end)
  end)

  describe("sort_keys", function()
    it("puts names in the order of their bytes, at every level", function()
      local value = { b = 1, a = { z = {}, y = { { d = 4, c = 3 } } }, B = 2, ["é"] = 5, [""] = 0, aa = 6, ["a\n"] = 7 }
      assert.equal('{"":0,"B":2,"a":{"y":[{"c":3,"d":4}],"z":{}},"a\\n":7,"aa":6,"b":1,"é":5}',
        json.encode(value, { sort_keys = true }))
    end)

    it("makes one text of equal values", function()
      local there, back = {}, {}
      for i = 1, 1000 do
        there["key" .. i], back["key" .. 1001 - i] = i, 1001 - i
      end
      assert.equal(json.encode(there, { sort_keys = true }), json.encode(back, { sort_keys = true }))
    end)

    it("goes together with the others", function()
      assert.equal(lines("{", '  "a": "\\u00e9",', '  "b": [', "    1.5", "  ]", "}"),
        json.encode({ b = { 1.5 }, a = "é" }, { indent = 2, sort_keys = true, ascii = true }))
    end)

    it("is a boolean", function()
      refused("^bad argument #2 to 'encode' %(option 'sort_keys': boolean expected, got number%)", 1, { sort_keys = 1 })
    end)
  end)

  describe("ascii", function()
    it("escapes what is not ASCII, with surrogates where there must be", function()
      assert.equal([["a\u00e9\u20ac\ud83d\ude00\uffff\ud800\udc00\udbff\udfffz"]],
        json.encode("aé€😀\239\191\191\240\144\128\128\244\143\191\191z", { ascii = true }))
    end)

    it("escapes names, too, and leaves the rest as it is", function()
      assert.equal([[{"\u00e9\"":"\u0001\n\\/]] .. "\127" .. [["}]],
        json.encode({ ["é\""] = "\1\n\\/\127" }, { ascii = true }))
    end)

    it("gives the same value back for every character", function()
      local characters = {}
      for code = 0x80, 0xFFFF, 61 do
        if code < 0xD800 or code > 0xDFFF then
          characters[#characters + 1] = ("\\u%04x"):format(code)
        end
      end
      local text = '"' .. table.concat(characters) .. '"'
      assert.equal(text, json.encode(json.decode(text), { ascii = true }))
    end)

    it("is a boolean", function()
      refused("option 'ascii': boolean expected, got string", 1, { ascii = "yes" })
    end)
  end)

  it("takes no option that it does not know", function()
    refused("^bad argument #2 to 'encode' %(unknown option 'indnet'%)", 1, { indnet = 2 })
    refused("^bad argument #2 to 'encode' %(unknown option 'null'%)", 1, { null = "nil" })
    refused("^bad argument #2 to 'encode' %(unknown option '%[number%]'%)", 1, { 2 })
    refused("^bad argument #2 to 'encode' %(table expected, got number%)", 1, 2)
  end)

  it("is the plain encoder where nothing is asked for", function()
    local value = { 1, "é", { a = 1 } }
    local text = json.encode(value)
    assert.equal(text, json.encode(value, nil))
    assert.equal(text, json.encode(value, {}))
    assert.equal(text, json.encode(value, { sort_keys = false, ascii = false }))
  end)

  it("writes numbers as the plain encoder does", function()
    local numbers = {
      0, -0.0, 1, -1, 0.1, 1e15, 1e16, 1e17, 2 ^ 53, 2 ^ 53 + 2, 2 ^ 60, -2 ^ 62, 2 ^ 63, -2 ^ 63, 1e300, 5e-324,
      1.7976931348623157e308, 123456789012345680, 1 / 3, 100, 1e2, 1.5e-7,
    }
    if math.maxinteger then -- luacheck: ignore 143
      numbers[#numbers + 1] = math.maxinteger -- luacheck: ignore 143
      numbers[#numbers + 1] = math.mininteger -- luacheck: ignore 143
    end
    for _, number in ipairs(numbers) do
      assert.equal(json.encode(number), json.encode(number, { ascii = true }))
    end
    local random = helper.generator(1)
    for _ = 1, 5000 do
      local number = (random(2147483646) - 1073741823) * 2 ^ (random(1900) - 1000)
      assert.equal(json.encode(number), json.encode(number, { sort_keys = true }))
    end
  end)

  it("fails as the plain encoder does, with the same words and path", function()
    local cyclic = {}
    cyclic.a = { cyclic }
    for _, value in ipairs {
      print, { values = { 1, { x = print } } }, { 0 / 0 }, { a = { b = math.huge } }, { "\255" }, { ["\255"] = 1 },
      { 1, nil, 3, x = 1 }, { [1.5] = 1 }, { [1] = 1, [3] = 3 }, cyclic, { ["a b"] = { io.stdout } },
    } do
      local _, plain = safe.json.encode(value)
      for _, options in ipairs { { indent = 2 }, { sort_keys = true }, { ascii = true } } do
        helper.fails_safely("json", "", safe.json.encode(value, options))
        assert.equal(plain, (select(2, safe.json.encode(value, options))))
        helper.fails("json", "", function()
          local text = json.encode(value, options)
          return text
        end)
      end
    end
  end)

  it("goes to 128 levels and no further", function()
    local value = {}
    for _ = 2, 128 do
      value = { value }
    end
    assert.equal(("["):rep(127) .. "{}" .. ("]"):rep(127), json.encode(value, { sort_keys = true }))
    assert.equal(("["):rep(127) .. "{}" .. ("]"):rep(127), (json.encode(value, { indent = 3 }):gsub("%s", "")))
    helper.fails("json", "nested deeper than 128", function()
      local text = json.encode({ value }, { indent = 3 })
      return text
    end)
  end)

  it("gives the same value back, whatever the shape", function()
    local random = helper.generator(7)
    for _ = 1, 300 do
      local value = random_value(random, 0)
      local expected = json.encode(value, { sort_keys = true })
      for indent = 1, 3 do
        local text = json.encode(value, { indent = indent, ascii = indent ~= 2 })
        assert.is_nil(indent ~= 2 and text:find "[\128-\255]" or nil)
        assert.equal(expected, json.encode(json.decode(text), { sort_keys = true }))
      end
    end
  end)

  it("runs no metamethod", function()
    local function never()
      error "a metamethod ran"
    end
    local value = setmetatable({ a = 1 }, { __index = never, __len = never, __pairs = never, __tostring = never })
    assert.equal('{"a":1}', json.encode(value, { sort_keys = true }))
  end)

  it("takes a megabyte", function()
    local value = {}
    for i = 1, 20000 do
      value["key" .. i] = { i, ("é"):rep(i % 40) }
    end
    local text = json.encode(value, { indent = 2, sort_keys = true, ascii = true })
    assert.is_true(#text > 1e6)
    assert.same(value, json.decode(text))
  end)
end)
