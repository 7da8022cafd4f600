-- types/tcp.lua, for editors, names exactly what the module has; so does the README.

local helper = require "spec.support.helper"
local tcp = require "tcp"
local safe = require "tcp.safe"

local function sorted(set)
  local names = {}
  for name in pairs(set) do names[#names + 1] = name end
  table.sort(names)
  return names
end

-- What the annotations declare for one class: its functions and its fields.
local function declared(text, class, into)
  into = into or {}
  for name in text:gmatch("function " .. class .. "[.:]([%w_]+)%(") do into[name] = true end
  return into
end

local function fields(text, class)
  local into, inside = {}, false
  for line in text:gmatch "[^\n]+" do
    if line:find "^%-%-%-@field" then
      if inside then into[line:match "^%-%-%-@field ([%w_]+)"] = true end
    else
      inside = line == "---@class " .. class
    end
  end
  return into
end

-- The methods of an object: our metatables are not to be had, but `__index` answers. Names come
-- from the source, so that one that is only there is found, too.
local function methods_of(object, source)
  local names = {}
  for name in source:gmatch '"([%l_]+)"' do names[name] = true end
  for name in source:gmatch "[%l_]+%.([%l_]+)" do names[name] = true end
  for name in pairs(names) do
    if not pcall(function() return assert(type(object[name]) == "function") end) then names[name] = nil end
  end
  return names
end

describe("the annotations", function()
  after_each(helper.finish)

  local types = helper.contents "types/tcp.lua"
  local readme = helper.contents "README.md"
  local source = ""
  for _, file in ipairs {
    "lua/shim.lua", "ops/copy.rs", "ops/settings.rs", "ops/tls.rs", "ops/dialogue.rs", "ops/read.rs", "ops/write.rs",
    "listener.rs",
  } do
    source = source .. helper.contents("src/" .. file)
  end

  it("are Lua", function()
    assert(loadfile "types/tcp.lua")
  end)

  it("of tcp.safe are made from those of tcp", function()
    local made = helper.output(helper.interpreter() .. " scripts/types.lua 2>&1")
    assert(made == helper.contents "types/tcp/safe.lua", "types/tcp/safe.lua is not what `make types` makes")
    assert(loadfile "types/tcp/safe.lua")
    for class in ("Connection TlsConnection Listener json"):gmatch "%S+" do
      assert(made:find("---@class tcp.safe." .. class, 1, true), class)
      assert.same(sorted(declared(types, class)), sorted(declared(made, class)))
    end
  end)

  it("have in the details of a failure what the handshake tells", function()
    local details = fields(helper.contents "types/tcp/safe.lua", "tcp.Details: tcp.Failure")
    assert.is_true(details.verified)
    for name in pairs(fields(types, "tcp.TlsInfo")) do assert(details[name], name) end
  end)

  -- What the comments of types/tcp.lua say of failing, asked of closed objects.
  it("say which calls of tcp.safe cannot fail", function()
    local listener = helper.keep(safe.listen("127.0.0.1", 0))
    local conn = helper.keep(safe.connect("127.0.0.1", listener:port()))
    conn:close()
    listener:close()
    local count = 0
    for text, class, name in types:gmatch "\n\n(%-%-%-[^\n]*.-)\nfunction (%w+)[.:]([%w_]+)" do
      local comment = text:match ".*\n\n(.*)$" or text
      local object = ({ Connection = conn, Listener = listener })[class]
      if object and not comment:find("@param", 1, true) then
        local ok, value, message = pcall(object[name], object)
        local fails = not ok or value == nil and type(message) == "string"
        if comment:find "Never fails%." then
          assert(not fails, name)
        elseif comment:find "Fails only when closed%." then
          assert(fails, name)
        end
        count = count + 1
      end
    end
    assert(count > 20, count)
  end)

  it("name the module's functions", function()
    assert.same(sorted(tcp), sorted(declared(types, "tcp", fields(types, "tcp"))))
    assert.same(sorted(tcp), sorted(safe))
    assert.same(sorted(tcp.json), sorted(declared(types, "json", fields(types, "tcp.json"))))
  end)

  it("name the methods of a connection", function()
    local conn = helper.connect [[ c.hold() ]]
    local all = declared(types, "TlsConnection", declared(types, "Connection"))
    assert.same(sorted(all), sorted(methods_of(conn, source)))
  end)

  it("name the methods of a listener", function()
    local listener = helper.keep(tcp.listen("127.0.0.1", 0))
    assert.same(sorted(declared(types, "Listener")), sorted(methods_of(listener, source)))
  end)

  it("name every option, as the README does", function()
    local options = {}
    local text = helper.contents "src/options/mod.rs" .. helper.contents "src/options/tls.rs"
      .. helper.contents "src/options/unix.rs"
    for names in text:gmatch '\n%s*("[%l_| "0-9]-") =>' do
      for name in names:gmatch '"([%l_0-9]+)"' do options[name] = true end
    end
    assert.is_true(options.timeout and options.pin_sha256 and options.backlog)
    for name in pairs(options) do
      assert(types:find("---@field " .. name .. "?", 1, true) or types:find(name .. "?:", 1, true), name)
      assert(readme:find("`" .. name, 1, true) or readme:find(name .. " =", 1, true)
        or readme:find(" or `" .. name .. "`", 1, true), name)
    end
  end)

  it("name every code, as the README does", function()
    local codes = 0
    for name in helper.contents("crates/net/src/code.rs"):gmatch 'Self::%w+ => "([%l_]+)",' do
      assert(types:find('---| "' .. name .. '" #', 1, true), name)
      assert(readme:find("| `" .. name .. "` |", 1, true), name)
      codes = codes + 1
    end
    assert.equal(15, codes)
  end)
end)

describe("the README", function()
  after_each(helper.finish)

  it("names every function and method", function()
    local readme = helper.contents "README.md"
    local types = helper.contents "types/tcp.lua"
    for class, prefix in pairs { tcp = "tcp.", Connection = "conn:", TlsConnection = "tls:", Listener = "" } do
      for name in pairs(declared(types, class)) do
        assert(readme:find(prefix .. name .. "(", 1, true) or readme:find("`" .. name .. "`", 1, true)
          or (class == "Listener" and readme:find(":" .. name .. "(", 1, true)), class .. " " .. name)
      end
    end
  end)
end)
