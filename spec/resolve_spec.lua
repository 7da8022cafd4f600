-- Names: `tcp.resolve`, resolution inside the timeout, and every address tried (RFC 8305).

local helper = require "spec.support.helper"
local tcp = require "tcp"
local safe = require "tcp.safe"

describe("resolve", function()
  it("gives an address as it is", function()
    assert.same({ "127.0.0.1" }, tcp.resolve "127.0.0.1")
    assert.same({ "::1" }, tcp.resolve "::1")
    assert.same({ "::1" }, tcp.resolve "[::1]")
    assert.same({ "2001:db8::7" }, tcp.resolve("2001:0DB8:0:0::7", helper.timeout))
  end)

  it("gives a name's addresses", function()
    local found = {}
    for _, address in ipairs(tcp.resolve("localhost", helper.timeout)) do found[address] = true end
    assert.is_true(found["127.0.0.1"])
  end)

  it("gives each address once", function()
    local seen = {}
    for _, address in ipairs(tcp.resolve "localhost") do
      assert.is_nil(seen[address], address)
      seen[address] = true
    end
  end)

  it("says that a name is none", function()
    local name = ("a"):rep(64) .. ".invalid"
    helper.fails("dns", "^resolve " .. name, function() tcp.resolve(name, helper.timeout) end)
    helper.fails_safely("dns", "^resolve ", safe.resolve(name, helper.timeout))
  end)

  it("wants a name and a timeout", function()
    helper.misuse("bad argument #1 to 'resolve' (string expected, got nil)", function() tcp.resolve() end)
    helper.misuse("bad argument #2 to 'resolve' (number expected, got table)",
      function() tcp.resolve("localhost", {}) end)
    for _, timeout in ipairs { 0, -1, 0 / 0 } do
      local ok, message = pcall(function() tcp.resolve("localhost", timeout) end)
      assert.is_false(ok)
      assert.matches("bad argument #2 to 'resolve'", message)
    end
  end)
end)

-- Where names are ours to give, and a resolver is there that never answers.
describe("in a network of its own, a name", function()
  local possible
  setup(function() possible = helper.has_namespaces() end)

  -- Runs Lua source with these names. It sees tcp, safe, helper, and `took(fn)`, in seconds.
  local function run(hosts, code)
    local said, status = helper.run([[
      local helper = require "spec.support.helper"
      local tcp, safe = require "tcp", require "tcp.safe"
      local function took(fn)
        local before = helper.clock()
        fn()
        return helper.clock() - before
      end
    ]] .. code .. " helper.finish()", helper.namespace(hosts))
    assert.equal(0, status, said)
    return said
  end

  local function it_there(name, body)
    it(name, function()
      if not possible then return pending "this machine allows no network namespaces" end
      body()
    end)
  end

  it_there("that is not answered for takes no longer than the timeout", function()
    assert.equal("timeout dns timeout", run({ "127.0.0.1=localhost" }, [[
      local value, message, code, details
      for _, seconds in ipairs { 0.1, 0.3 } do
        local time = took(function()
          value, message, code, details = safe.connect("silent.example", 80, seconds)
        end)
        assert(time > seconds - 0.02 and time < seconds + 0.15, time)
        assert(message:find "name resolution", message)
        assert(message:find "^connect silent%.example:80: timeout: ", message)
      end
      io.write(code, " ", details.phase)
      local time = took(function() value, message, code = safe.resolve("silent.example", 0.1) end)
      assert(time > 0.08 and time < 0.25, time)
      io.write(" ", code)
    ]]))
  end)

  it_there("that is not answered for does not hold the process at its end", function()
    for _, ending in ipairs { "", "os.exit(0)", "os.exit(0, true)", "error 'ends'" } do
      local before = helper.clock()
      helper.run(([[
        local ok = pcall(require("tcp").connect, "silent.example", 80, 0.05)
        assert(not ok)
        collectgarbage()
        %s
      ]]):format(ending), helper.namespace { "127.0.0.1=localhost" })
      assert.is_true(helper.clock() - before < 2)
    end
  end)

  it_there("that is not answered for leaves the others alone", function()
    run({ "127.0.0.1=localhost", "127.0.0.1=here.example" }, [[
      for _ = 1, 20 do assert(not safe.connect("silent.example", 80, 0.01)) end
      local peer = helper.listen [=[ c.send(b"x") ]=]
      local time = took(function() assert(safe.connect("here.example", peer.port, 3)) end)
      assert(time < 0.3, time)
    ]])
  end)

  for _, order in ipairs { { "192.0.2.1", "192.0.2.2" }, { "192.0.2.2", "192.0.2.1" } } do
    it_there(("with a dead address (192.0.2.1) and a live one connects soon: %s first"):format(order[1]), function()
      run({ order[1] .. "=both.example", order[2] .. "=both.example" }, [[
        local peer = helper.listen([=[ c.send(b"live") ]=], { host = "192.0.2.2" })
        helper.listen("", { host = "192.0.2.1", port = peer.port, full = true })
        local time = took(function()
          local conn = tcp.connect("both.example", peer.port, 3)
          assert(conn:read_str() == "live")
          conn:close()
        end)
        assert(time < 0.6, time)
      ]])
    end)
  end

  it_there("with a dead IPv6 and a live IPv4 address connects soon, and the other way round", function()
    for _, live in ipairs { "127.0.0.1", "::1" } do
      run({ "127.0.0.1=both.example", "::1=both.example" }, ([[
        local live = %q
        local peer = helper.listen([=[ c.send(b"live") ]=], { host = live })
        helper.listen("", { host = live == "::1" and "127.0.0.1" or "::1", port = peer.port, full = true })
        local time = took(function()
          assert(tcp.connect("both.example", peer.port, 3):read_str() == "live")
        end)
        assert(time < 0.6, time)
      ]]):format(live))
    end
  end)

  it_there("is tried at every address within one timeout", function()
    run({ "192.0.2.1=dead.example", "192.0.2.2=dead.example", "192.0.2.3=dead.example" }, [[
      local port = helper.listen("", { host = "192.0.2.1", full = true }).port
      helper.listen("", { host = "192.0.2.2", port = port, full = true })
      helper.listen("", { host = "192.0.2.3", port = port, full = true })
      for _, seconds in ipairs { 0.1, 0.7 } do
        helper.takes(seconds, function() end, function()
          local _, message, code = safe.connect("dead.example", port, seconds)
          assert(code == "timeout", message)
        end)
      end
    ]])
  end)

  it_there("that fails everywhere tells each address", function()
    run({ "192.0.2.1=none.example", "192.0.2.2=none.example" }, [[
      local port = helper.listen("", { host = "192.0.2.1", listen = false }).port
      helper.listen("", { host = "192.0.2.2", port = port, listen = false })
      local _, message, code = safe.connect("none.example", port, 3)
      assert(code == "refused", message)
      assert(message:find "192%.0%.2%.1" and message:find "192%.0%.2%.2", message)
    ]])
  end)

  it_there("is refused if any address refuses, unreachable if none does", function()
    run({ "192.0.2.1=mixed.example", "::1=mixed.example" }, [[
      local port = helper.listen("", { host = "192.0.2.1", listen = false }).port
      local _, message, code = safe.connect("mixed.example", port, 3)
      assert(code == "refused", message)
      -- No route: only the loopback interface is here.
      _, message, code = safe.connect("198.51.100.1", 80, 3)
      assert(code == "unreachable", message)
    ]])
  end)

  it_there("leaves no second connection behind when two addresses answer", function()
    run({ "192.0.2.1=both.example", "192.0.2.2=both.example" }, [[
      local one = helper.listen([=[ c.send(b"x") ]=], { host = "192.0.2.1" })
      local two = helper.listen([=[ c.send(b"x") ]=], { host = "192.0.2.2", port = one.port })
      local before = helper.sockets()
      local conn = tcp.connect("both.example", one.port, 3)
      assert(helper.sockets() == before + 1)
      assert(conn:read_str() == "x") -- it has come
      conn:close()
      assert(one:count() + two:count() == 1)
    ]])
  end)

  it_there("with other letters than ASCII's is converted", function()
    run({ "127.0.0.1=xn--bcher-kva.example", "127.0.0.1=xn--conceio-2wa9a.example" }, [[
      local peer = helper.listen [=[ c.send(b"x") ]=]
      for _, name in ipairs { "bücher.example", "BÜCHER.example", "bu\204\136cher.example", "conceição.example" } do
        assert(tcp.connect(name, peer.port, 3):read_str() == "x")
      end
      assert(tcp.resolve("bücher.example", 3)[1] == "127.0.0.1")
    ]])
  end)

  it_there("of one family is tried in that family", function()
    run({ "127.0.0.1=both.example", "::1=both.example" }, [[
      local four = helper.listen([=[ c.send(b"four") ]=], { host = "127.0.0.1" })
      helper.listen([=[ c.send(b"six") ]=], { host = "::1", port = four.port })
      assert(tcp.connect("both.example", four.port, { family = "inet", timeout = 3 }):read_str() == "four")
      assert(tcp.connect("both.example", four.port, { family = "inet6", timeout = 3 }):read_str() == "six")
    ]])
  end)
end)
