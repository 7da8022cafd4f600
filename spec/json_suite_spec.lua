-- nst/JSONTestSuite: each `y_` file is decoded, each `n_` file refused, and none of the `i_` files,
-- about which parsers may differ, does harm. JSON_TEST_SUITE names the folder of the files.

local json = require "tcp.safe".json

local folder = os.getenv "JSON_TEST_SUITE" or "../shared/data/JSONTestSuite/test_parsing"

-- As of 2024; there may be more.
local least = { y = 95, n = 188, i = 35 }

local function names()
  local list = {}
  local listing = io.popen("ls '" .. folder .. "' 2>/dev/null")
  for name in listing:lines() do
    if name:find "^[yni]_.*%.json$" then list[#list + 1] = name end
  end
  listing:close()
  return list
end

local function contents(name)
  local file = assert(io.open(folder .. "/" .. name, "rb"))
  local text = file:read "*a"
  file:close()
  return text
end

local check = {
  y = function(name, value, message)
    assert(value ~= nil, name .. " was refused: " .. tostring(message))
    assert.same(value, json.decode(assert(json.encode(value))))
  end,
  n = function(name, value, message, code)
    assert(value == nil, name .. " was decoded")
    assert.equal("json", code)
    assert(message:find "line %d+ column %d+: ", message)
  end,
  i = function(_, value, _, code)
    assert(value ~= nil or code == "json")
  end,
}

describe("JSONTestSuite", function()
  local list = names()
  if #list == 0 then
    local missing = "there is no JSONTestSuite in " .. folder .. " (see JSON_TEST_SUITE)"
    if (os.getenv "CI" or "") ~= "" then
      it("is there", function() error(missing, 0) end)
    else
      pending(missing)
    end
    return
  end

  it("is all there", function()
    local counts = { y = 0, n = 0, i = 0 }
    for _, name in ipairs(list) do
      counts[name:sub(1, 1)] = counts[name:sub(1, 1)] + 1
    end
    for kind, count in pairs(least) do
      assert(counts[kind] >= count, ("%d files %s_ of %d"):format(counts[kind], kind, count))
    end
  end)

  for _, name in ipairs(list) do
    it(name, function()
      check[name:sub(1, 1)](name, json.decode(contents(name)))
    end)
  end
end)
