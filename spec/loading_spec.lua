-- What `require` gives, and what it leaves alone.

local helper = require "spec.support.helper"
local tcp = require "tcp"
local safe = require "tcp.safe"

local run = helper.run_well

describe("loading", function()
  after_each(helper.finish)

  it("gives a table with name and version", function()
    assert.equal("table", type(tcp))
    assert.equal("tcp", tcp._NAME)
    assert.matches("%d+%.%d+%.%d+", tcp._VERSION)
    assert.equal("table", type(safe))
    assert.matches("^tcp", safe._NAME)
    assert.equal(tcp._VERSION, safe._VERSION)
  end)

  it("gives two modules with the same functions", function()
    assert.are_not.equal(tcp, safe)
    local missing = {}
    for name, value in pairs(tcp) do
      if type(safe[name]) ~= type(value) then missing[#missing + 1] = name end
    end
    for name, value in pairs(safe) do
      if type(tcp[name]) ~= type(value) then missing[#missing + 1] = name end
    end
    assert.same({}, missing)
    for _, name in ipairs { "connect", "connect_tls", "send", "recv", "export" } do
      assert.equal("function", type(tcp[name]), name)
    end
  end)

  it("says nothing and sets no global", function()
    assert.equal("", run [[
      local before = {}
      for name in pairs(_G) do before[name] = true end
      require "tcp"
      require "tcp.safe"
      for name in pairs(_G) do
        if not before[name] then print("new global: " .. name) end
      end
    ]])
  end)

  it("touches neither the metatables nor the libraries of Lua", function()
    assert.equal("", run [[
      local libraries, before = { "string", "table", "io", "os", "math", "coroutine", "debug" }, {}
      for _, library in ipairs(libraries) do
        before[library] = {}
        for name, value in pairs(_G[library]) do before[library][name] = value end
      end
      local string_metatable = getmetatable("").__index
      require "tcp"
      for _, library in ipairs(libraries) do
        for name, value in pairs(_G[library]) do
          if before[library][name] ~= value then print(library .. "." .. name) end
        end
      end
      assert(getmetatable("").__index == string_metatable)
      assert(getmetatable(nil) == nil and getmetatable(print) == nil and getmetatable(1) == nil)
    ]])
  end)

  it("gives tcp.safe to a script that never asks for tcp", function()
    assert.equal("nil\trefused", run(([[
      local value, _, code = require("tcp.safe").connect("127.0.0.1", %d, 3)
      io.write(tostring(value), "\t", code)
    ]]):format(helper.listen("", { listen = false }).port)))
  end)

  it("works when it is loaded first inside a coroutine that is collected then", function()
    local peer = helper.listen [[ c.send(b"still here") ]]
    assert.equal("still here", run(([[
      local tcp
      coroutine.wrap(function() tcp = require "tcp" end)()
      for _ = 1, 10 do collectgarbage() end
      local conn = tcp.connect("127.0.0.1", %d, 3)
      coroutine.wrap(function() io.write(conn:read_str()) end)()
      assert(not pcall(conn.read_json, conn))
    ]]):format(peer.port)))
  end)

  it("works again after package.loaded has forgotten it", function()
    local peer = helper.listen [[ c.send(b"again") ]]
    assert.equal("again", run(([[
      local first = require "tcp"
      package.loaded.tcp, package.loaded["tcp.safe"] = nil, nil
      collectgarbage()
      local conn = require("tcp").connect("127.0.0.1", %d, 3)
      io.write(conn:read_str())
      conn = nil
      collectgarbage()
      assert(first.connect)
    ]]):format(peer.port)))
  end)

  it("ends the process cleanly, with connections open or not", function()
    local peer = helper.listen [[ c.hold() ]]
    for _, ending in ipairs { "", "os.exit(0)", "os.exit(0, true)", "conn:close()" } do
      assert.equal("", run(([[
        local conn = require("tcp").connect("127.0.0.1", %d, 3)
        %s
      ]]):format(peer.port, ending)))
    end
  end)

  it("has words for finalizers older than it, which run when it has ended", function()
    local peer = helper.listen [[ c.hold() ]]
    local said = run(([[
      local act
      local function finalize()
        local ok, message = pcall(act)
        io.write(tostring(ok), " ", tostring(message), "\n")
      end
      local older
      if newproxy then
        older = newproxy(true)
        getmetatable(older).__gc = finalize
      else
        older = setmetatable({}, { __gc = finalize })
      end
      _G.kept = older
      local tcp, safe = require "tcp", require "tcp.safe"
      local conn, listener = tcp.connect("127.0.0.1", %d, 3), tcp.listen("127.0.0.1", 0)
      local lines, packets, clients = conn:lines(), conn:json_packets(), listener:connections()
      local source, sink = conn:source(), conn:sink()
      local calls = {
        function() conn:send "x" end, function() conn:read(1) end, function() conn:info() end,
        function() tostring(conn) end, function() conn:lines() end, function() return lines() end,
        function() return packets() end, function() return clients() end, function() return source() end,
        function() return sink "x" end, function() listener:port() end, function() tcp.resolve "127.0.0.1" end,
        function() tcp.connect("127.0.0.1", 1) end, function() safe.connect("127.0.0.1", 1) end,
        function() tcp.recv() end, function() tcp.use(nil) end, function() tcp.poll({}, nil, 0) end,
        function() tcp.json.encode {} end, function() tcp.json.decode "" end, function() tcp.json.array {} end,
      }
      function act()
        conn:close()
        listener:close()
        for i, call in ipairs(calls) do
          local ok, message = pcall(call)
          if ok or not tostring(message):find "this Lua state is being closed" then
            return i .. " " .. tostring(message)
          end
        end
      end
    ]]):format(peer.port))
    assert.equal("true nil\n", said)
  end)

  local clients = [[
    local function client(path, cpath, port)
      package.path, package.cpath = path, cpath
      local tcp = require "tcp"
      local conn = tcp.connect("127.0.0.1", port, 3)
      for i = 1, 20 do
        conn:write_json_packet({ number = i })
        assert(conn:read_json_packet().number == i)
      end
      tcp.send("x")
      conn:close()
      collectgarbage()
    end
  ]]
  local echo = [[
    for _ in range(20): c.send_packet(c.recv_packet())
    c.recv_exactly(1)
  ]]

  it("serves two Lua states of one process at once (luv)", function()
    if not pcall(require, "luv") then return pending "luv is not installed" end
    local peer = helper.listen(echo)
    assert.equal("done", run(clients .. ([[
      local luv = require "luv"
      local threads = {}
      for i = 1, 4 do
        threads[i] = luv.new_thread(client, package.path, package.cpath, %d)
      end
      client(package.path, package.cpath, %d)
      for i = 1, 4 do assert(luv.thread_join(threads[i])) end
      -- One more state after the others have been closed.
      assert(luv.thread_join(luv.new_thread(client, package.path, package.cpath, %d)))
      luv.run() -- from 1.48 on luv crashes at the state's end where it has not seen a thread's end
      io.write "done"
    ]]):format(peer.port, peer.port, peer.port)))
    assert.equal(6, peer:count())
  end)

  for _, other in ipairs { "ssl", "cqueues", "luv", "socket", "cjson" } do
    it("works before and after " .. other, function()
      if not pcall(require, other) then return pending(other .. " is not installed") end
      local peer = helper.listen([[ c.send(b"over TLS") ]], { tls = "good" })
      local client = ([[
        local function client()
          local conn = require("tcp").connect_tls("127.0.0.1", %d, { ca_file = %q, timeout = 3 })
          io.write(conn:read_str())
        end
      ]]):format(peer.port, helper.pem "root")
      assert.equal("over TLS", run(client .. ("require %q client()"):format(other)))
      assert.equal("over TLS", run(client .. ("client() require %q"):format(other)))
    end)
  end

  it("is not misled by what another library left in OpenSSL's error queue", function()
    if not pcall(require, "ssl") then return pending "LuaSec is not installed" end
    local peer = helper.listen([[
      c.recv_exactly(2)
      c.send(b"fine")
    ]], { tls = "good" })
    assert.equal("timeout fine", run(([[
      local ssl = require "ssl"
      local conn = require("tcp").connect_tls("127.0.0.1", %d,
        { ca_file = %q, timeout = 0.1, connect_timeout = 3 })
      local function litter()
        for _ = 1, 5 do
          assert(not ssl.newcontext { mode = "client", protocol = "any", cafile = "/nonexistent" })
        end
      end
      litter()
      local _, message = pcall(conn.read_str, conn)
      io.write(message:match ": (timeout): ", " ")
      litter()
      conn:send("go")
      litter()
      io.write(conn:read_str())
    ]]):format(peer.port, helper.pem "root")))
  end)
end)

describe("export", function()
  after_each(helper.finish)

  it("puts the page's four functions into a table, and gives the module", function()
    local env = {}
    assert.equal(tcp, tcp.export(env))
    assert.same({ connect = tcp.connect, connect_tls = tcp.connect_tls, send = tcp.send, recv = tcp.recv },
      env)
  end)

  it("puts them into _G by default", function()
    assert.equal("connect connect_tls recv send", run [[
      local before = {}
      for name in pairs(_G) do before[name] = true end
      local tcp = require("tcp").export()
      assert(tcp == require "tcp")
      local new = {}
      for name, value in pairs(_G) do
        if not before[name] then
          new[#new + 1] = name
          assert(value == tcp[name])
        end
      end
      table.sort(new)
      io.write(table.concat(new, " "))
    ]])
  end)

  it("exports what the module does: tcp.safe returns its failures", function()
    local env = {}
    assert.equal(safe, safe.export(env))
    local port = helper.listen("", { listen = false }).port
    helper.fails_safely("refused", "^connect ", env.connect("127.0.0.1", port, helper.timeout))
  end)

  it("takes only a table", function()
    helper.misuse("bad argument #1 to 'export' (table expected, got number)", function()
      tcp.export(12)
    end)
    helper.misuse("bad argument #1 to 'export' (table expected, got string)", function()
      safe.export("connect")
    end)
  end)
end)
